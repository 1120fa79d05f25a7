// The inventory process.
import { runProcess } from "@onsale/kit/process";
import { inventorySettings } from "./config.js";
import { startInventory } from "./service.js";

await runProcess("inventory", inventorySettings, startInventory);
