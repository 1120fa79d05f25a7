// The preStop of a versioned worker's pod (tools/kube/jobs/drain-worker.mjs): when it lets the pod go, on a real Temporal.
import { afterAll, beforeAll, expect, it } from "vitest";
import { drain, type Installation, openInstallation } from "./installation.js";
import { look, openStage, pay, type Stage, until } from "./stage.js";

let stage: Stage;
let shop: Installation;
beforeAll(async () => {
  stage = await openStage({ worker: false });
  shop = openInstallation(stage);
}, 120_000);
afterAll(() => stage.close());

it("spares a pod of the current build that is one of several, and keeps the last one until another build has its place", async () => {
  const one = await shop.startPod("one");
  const other = await shop.startPod("one");
  await shop.untilCurrent("one");
  const handle = await stage.startCheckout(stage.newCheckout());
  await until(async () => (await look(handle)).status === "held");

  const spared = other.tellToGo();
  expect(await spared.exited).toBe(0);
  expect(spared.output()).toContain("others of this build stay");

  const last = one.tellToGo();
  await until(() => last.output().includes("busy"));
  await shop.startPod("two");
  await shop.untilCurrent("two");
  expect(last.isRunning()).toBe(true);
  expect((await pay(handle)).status).toBe("completed");
  expect(await last.exited).toBe(0);
  expect(last.output()).toContain("no workflow of it is open");
}, 120_000);

it("lets the pods of a build that never was current go at once", async () => {
  const began = await shop.startPod("three");
  const leaving = began.tellToGo();
  expect(await leaving.exited).toBe(0);
  expect(leaving.output()).not.toContain("busy");
  const unheardOf = drain(stage, { DEPLOYMENT_NAME: "onsale-nowhere", POD_NAME: "nobody", BUILD_ID: "four" });
  expect(await unheardOf.exited).toBe(0);
}, 60_000);

it("lets the pod go after a while without Temporal", async () => {
  const alone = drain(stage, { TEMPORAL_ADDRESS: "127.0.0.1:1", UNREACHABLE_SECONDS: "2", BUILD_ID: "one" });
  expect(await alone.exited).toBe(0);
  expect(alone.output()).toContain("Temporal does not answer");
}, 60_000);
