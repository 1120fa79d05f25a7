// The account process.
import { runProcess } from "@onsale/kit/process";
import { accountSettings } from "./config.js";
import { startAccount } from "./service.js";

await runProcess("account", accountSettings, startAccount);
