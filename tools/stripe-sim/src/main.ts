// The process.
import { runProcess } from "@onsale/kit/process";
import { stripeSimSettings } from "./config.js";
import { startStripeSim } from "./service.js";

await runProcess("stripe-sim", stripeSimSettings, startStripeSim);
