// preStop of a versioned worker: lets it work on until every checkout that its build began has ended; the pod still polls meanwhile.
// Ends soon where the build stays the current one (other pods of it go on), after UNREACHABLE_SECONDS without Temporal, and in any
// case after DRAIN_SECONDS.
import { createHash } from "node:crypto";
import { appendFileSync, readFileSync } from "node:fs";
import { Connection } from "@temporalio/client";
import { temporalConnection } from "../../../kit/dist/temporal.js";

const {
  TEMPORAL_NAMESPACE: namespace = "default",
  DEPLOYMENT_NAME: deploymentName = "onsale-checkout",
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
const drained = 2; // temporal.api.enums.v1.VersionDrainageStatus.VERSION_DRAINAGE_STATUS_DRAINED

/** To the log of the container, whose process 1 this is not. */
function say(line) {
  const entry = `${JSON.stringify({ level: "info", time: Date.now(), name: "drain-worker", buildId, msg: line })}\n`;
  try {
    appendFileSync("/proc/1/fd/1", entry);
  } catch {
    process.stdout.write(entry);
  }
}

/** "current": this build takes new checkouts. "busy": others do, and some of ours are open. "done": none of ours is open. */
async function look(connection) {
  const service = connection.workflowService;
  const { workerDeploymentInfo: deployment } = await service.describeWorkerDeployment({ namespace, deploymentName });
  const current = deployment?.routingConfig?.currentDeploymentVersion?.buildId;
  if (current === undefined || current === buildId) return "current";
  const { workerDeploymentVersionInfo: version } = await service.describeWorkerDeploymentVersion({
    namespace,
    deploymentVersion: { deploymentName, buildId },
  });
  if (version?.drainageInfo?.status === drained) return "done";
  // The server looks for itself every few minutes only. Count what is open, provided that the count knows this build at all.
  const ours = `TemporalWorkerDeploymentVersion = "${deploymentName}:${buildId}"`;
  const count = async (query) => Number((await service.countWorkflowExecutions({ namespace, query })).count);
  const open = await count(`${ours} AND ExecutionStatus = "Running"`);
  if (open > 0) return "busy";
  return (await count(ours)) > 0 ? "done" : "busy";
}

let connection;
let doneInARow = 0;
let last;
let answeredAt = Date.now();
while (secondsGone() < Number(DRAIN_SECONDS)) {
  let now;
  try {
    connection ??= await Connection.connect({ ...temporalConnection(process.env), connectTimeout: 5_000 });
    now = await connection.withDeadline(Date.now() + 5_000, () => look(connection));
    answeredAt = Date.now();
  } catch (error) {
    now = "unknown: Temporal does not answer";
    if (now !== last) say(error.message);
  }
  if (now !== last) say(`this build is ${now}`);
  last = now;
  // Without Temporal nothing can be done for a checkout; and after an uninstall it never comes back.
  if (Date.now() - answeredAt >= Number(UNREACHABLE_SECONDS) * 1000) break;
  // The new build makes itself the current one moments after its pod is ready: to be current just now may mean nothing yet.
  if (now === "current" && secondsGone() >= Number(SETTLE_SECONDS)) break;
  doneInARow = now === "done" ? doneInARow + 1 : 0;
  // Twice, because a start of a moment ago may not be counted yet.
  if (doneInARow >= 2 && secondsGone() >= Number(SETTLE_SECONDS)) break;
  await new Promise((resolve) => setTimeout(resolve, Number(POLL_SECONDS) * 1000));
}
say(`stops after ${Math.round(secondsGone())} s`);
await connection?.close();
