// The preStop of a versioned worker's pod (tools/kube/jobs/drain-worker.mjs): when it lets the pod go, on a real Temporal.
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { look, openStage, pay, type Stage, until } from "./stage.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
let stage: Stage;
beforeAll(async () => {
  stage = await openStage({ worker: false });
}, 120_000);
afterAll(() => stage.close());

function drain(settings: Record<string, string>) {
  const child = spawn(process.execPath, ["tools/kube/jobs/drain-worker.mjs"], {
    cwd: root,
    env: {
      PATH: process.env["PATH"],
      ...stage.env,
      SETTLE_SECONDS: "2",
      POLL_SECONDS: "1",
      DRAIN_SECONDS: "80",
      ...settings,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  return { output: () => output, exited, isRunning: () => child.exitCode === null && child.signalCode === null };
}

it("keeps an old build's pod until the checkouts that it began have ended, and the current build's for a moment", async () => {
  const deployment = { DEPLOYMENT_NAME: `onsale-${randomUUID()}` };
  const versioned = { ...deployment, WORKER_VERSIONING: "true", WORKER_PROMOTE: "true" };
  const isCurrent = (buildId: string) =>
    until(async () => {
      const { workerDeploymentInfo } = await stage.client.workflowService
        .describeWorkerDeployment({ namespace: "default", deploymentName: deployment.DEPLOYMENT_NAME })
        .catch(() => ({ workerDeploymentInfo: undefined }));
      return workerDeploymentInfo?.routingConfig?.currentDeploymentVersion?.buildId === buildId;
    });
  await stage.startWorker({ ...versioned, BUILD_ID: "one" });
  await isCurrent("one");
  const handle = await stage.startCheckout(stage.newCheckout());
  await until(async () => (await look(handle)).status === "held");
  await stage.startWorker({ ...versioned, BUILD_ID: "two" });
  await isCurrent("two");

  const [old, current] = [drain({ ...deployment, BUILD_ID: "one" }), drain({ ...deployment, BUILD_ID: "two" })];
  await until(() => old.output().includes("this build is busy"));
  expect(await current.exited).toBe(0);
  expect(current.output()).toContain("this build is current");
  expect(old.isRunning()).toBe(true);

  expect((await pay(handle)).status).toBe("completed");
  expect(await old.exited).toBe(0);
  expect(old.output()).toContain("this build is done");
}, 120_000);

it("lets the pod go after a while without Temporal", async () => {
  const alone = drain({ TEMPORAL_ADDRESS: "127.0.0.1:1", UNREACHABLE_SECONDS: "2", BUILD_ID: "one" });
  expect(await alone.exited).toBe(0);
  expect(alone.output()).toContain("Temporal does not answer");
}, 60_000);
