// The ticket process.
import { runProcess } from "@onsale/kit/process";
import { ticketSettings } from "./config.js";
import { startTicket } from "./service.js";

await runProcess("ticket", ticketSettings, startTicket);
