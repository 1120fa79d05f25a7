// Job, in the image of each service with a store: makes its indexes. Any number of times; what is there stays.
import { existsSync, readdirSync } from "node:fs";

const { MONGODB_URI: uri, MONGODB_DATABASE: database = "onsale", STRIPE_WEBHOOK_MEMORY_DAYS = "30" } = process.env;
const services = new URL("../../../services/", import.meta.url);
const [service] = readdirSync(services).filter((name) => existsSync(new URL(`${name}/dist/store.js`, services)));
if (!uri || service === undefined) {
  process.stderr.write(uri ? "There is no service with a store in this image.\n" : "MONGODB_URI is not set.\n");
  process.exit(2);
}
const { openStore } = await import(new URL(`${service}/dist/store.js`, services).href);
const store = openStore({ uri, database, webhookMemoryDays: Number(STRIPE_WEBHOOK_MEMORY_DAYS) });
for (let attempt = 1; ; attempt++) {
  try {
    await store.prepare();
    break;
  } catch (error) {
    if (error?.code !== "UNAVAILABLE" || attempt >= 60) throw error;
    process.stdout.write(`MongoDB does not answer yet (${attempt})\n`);
    await new Promise((resolve) => setTimeout(resolve, 2_000));
  }
}
await store.close();
process.stdout.write(`${service}: its indexes are there\n`);
