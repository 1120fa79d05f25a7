// CronJob around a known on-sale: sets the autoscalers' lower bounds, and draws the seats before the doors open.
import { ask } from "./cluster-api.mjs";
import { warmUp } from "./warm-up.mjs";

const {
  NAMESPACE: namespace,
  PLANNED_AT = "",
  LOWER_BOUNDS = "{}",
  WARM_UP,
  SHOP_URL,
  HOURS_AHEAD = "48",
} = process.env;
const say = (line) => process.stdout.write(`${line}\n`);
const hour = 60 * 60 * 1000;

// A cron line comes back every year.
const off = Math.abs(Date.now() - Date.parse(PLANNED_AT));
if (!(off < 12 * hour)) {
  say(`planned for ${PLANNED_AT}, which is not today: nothing to do`);
  process.exit(0);
}
for (const [name, minReplicas] of Object.entries(JSON.parse(LOWER_BOUNDS))) {
  const path = `/apis/autoscaling/v2/namespaces/${namespace}/horizontalpodautoscalers/${name}`;
  const changed = await ask("PATCH", path, { spec: { minReplicas } }, "application/merge-patch+json");
  if (changed === undefined) throw new Error(`There is no autoscaler ${name} in ${namespace}.`);
  say(`${name}: at least ${changed.spec.minReplicas}, at most ${changed.spec.maxReplicas}`);
}
if (WARM_UP === "true") say(`${await warmUp(SHOP_URL, Number(HOURS_AHEAD), say)} event(s) are drawn`);
