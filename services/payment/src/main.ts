// The payment process.
import { runProcess } from "@onsale/kit/process";
import { paymentSettings } from "./config.js";
import { startPayment } from "./service.js";

await runProcess("payment", paymentSettings, startPayment);
