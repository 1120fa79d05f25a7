// The storefront's process.
import { runProcess } from "@onsale/kit/process";
import { storefrontSettings } from "./config.js";
import { startStorefront } from "./service.js";

await runProcess("storefront", storefrontSettings, startStorefront);
