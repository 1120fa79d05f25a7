// The gateway as a process.
import { runProcess } from "@onsale/kit/process";
import { gatewaySettings } from "./config.js";
import { startGateway } from "./service.js";

await runProcess("gateway", gatewaySettings, startGateway);
