// preStop of a versioned worker: says that it leaves, so that another build may take over, and lets it work on while it is needed: until
// another build has taken over and every checkout that its own began has ended. It still polls meanwhile. Ends soon where other pods of
// the current build stay, after UNREACHABLE_SECONDS without Temporal, and in any case after DRAIN_SECONDS.
import { createHash } from "node:crypto";
import { appendFileSync, readFileSync } from "node:fs";
import { Connection } from "@temporalio/client";
import { temporalConnection } from "../../../kit/dist/temporal.js";
import { duty } from "../../../workflows/dist/builds.js";
import { deploymentAt } from "../../../workflows/dist/deployment.js";

const {
  TEMPORAL_NAMESPACE: namespace = "default",
  DEPLOYMENT_NAME: deploymentName = "onsale-checkout",
  TASK_QUEUE: taskQueue = "checkout",
  POD_NAME: name = "",
  BUILD_ID,
  DRAIN_SECONDS = "900",
  SETTLE_SECONDS = "30",
  POLL_SECONDS = "5",
  UNREACHABLE_SECONDS = "300",
} = process.env;
const bundle = new URL("../../../workflows/dist/workflow-bundle.js", import.meta.url);
// As the worker names its build (workflows/src/bundle.ts, hashOf).
const buildId = BUILD_ID || createHash("sha256").update(readFileSync(bundle)).digest("hex").slice(0, 16);
const startedAt = Date.now();
const secondsGone = () => (Date.now() - startedAt) / 1000;

const notFound = 5;

const words = {
  spared: "not needed: others of this build stay, and it is the current one",
  awaiting: "the last of the current build, and another is about to take over",
  busy: "busy: workflows of it are open",
  done: "done: no workflow of it is open",
  unknown: "unknown: Temporal does not answer",
};

/** To the log of the container, whose process 1 this is not. */
function say(line) {
  const entry = `${JSON.stringify({ level: "info", time: Date.now(), name: "drain-worker", buildId, msg: line })}\n`;
  try {
    appendFileSync("/proc/1/fd/1", entry);
  } catch {
    process.stdout.write(entry);
  }
}

let connection;
let isTold = false;
async function look() {
  connection ??= await Connection.connect({ ...temporalConnection(process.env), connectTimeout: 5_000 });
  const deployment = deploymentAt(connection, { namespace, deploymentName, taskQueue });
  if (!isTold && name !== "")
    await deployment.mark(buildId, name, "leaving").catch((error) => {
      if (error.code !== notFound) throw error; // a build that Temporal never heard of has nothing to hand over
    });
  isTold = true;
  return duty(await deployment.look(), buildId, await deployment.countOpen(buildId));
}

let quietInARow = 0;
let last;
let answeredAt = Date.now();
while (secondsGone() < Number(DRAIN_SECONDS)) {
  let now;
  try {
    now = await look();
    answeredAt = Date.now();
  } catch (error) {
    now = "unknown";
    if (now !== last) say(error.message);
  }
  if (now !== last) say(`this pod's build is ${words[now]}`);
  last = now;
  // Without Temporal nothing can be done for a checkout; and after an uninstall it never comes back.
  if (Date.now() - answeredAt >= Number(UNREACHABLE_SECONDS) * 1000) break;
  quietInARow = now === "done" || now === "spared" ? quietInARow + 1 : 0;
  // Twice, and not at once: a start of a moment ago may not be counted yet, nor a new build's worker be seen.
  if (quietInARow >= 2 && secondsGone() >= Number(SETTLE_SECONDS)) break;
  await new Promise((resolve) => setTimeout(resolve, Number(POLL_SECONDS) * 1000));
}
say(`stops after ${Math.round(secondsGone())} s`);
await connection?.close();
