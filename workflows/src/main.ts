// The worker process.
import { runProcess } from "@onsale/kit/process";
import { workerSettings } from "./config.js";
import { startWorkflows } from "./service.js";

await runProcess("workflows", workerSettings, startWorkflows);
