// The schedule that has seats compared with claims: made once, left alone by later workers, and what its workflow does.
import { DomainError } from "@onsale/kit/errors";
import { ScheduleNotFoundError, ScheduleOverlapPolicy } from "@temporalio/client";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type ReconcileResult, reconcileScheduleId, workflowTypes } from "../src/contract.js";
import { openStage, record, type Stage, until } from "./stage.js";

let stage: Stage;
beforeAll(async () => {
  stage = await openStage({ worker: false });
});
afterAll(async () => {
  await schedule()
    .delete()
    .catch(() => undefined);
  await stage.close();
});

const schedule = () => stage.client.schedule.getHandle(reconcileScheduleId(stage.taskQueue));

async function runOnce() {
  const before = (await schedule().describe()).info.recentActions.length;
  await schedule().trigger();
  await until(async () => (await schedule().describe()).info.recentActions.length > before);
  const last = (await schedule().describe()).info.recentActions.at(-1);
  if (!last) throw new Error("the schedule has started nothing");
  return stage.client.workflow.getHandle(last.action.workflow.workflowId, last.action.workflow.firstExecutionRunId);
}

it("is not made when it is not wanted", async () => {
  const worker = await stage.startWorker({ RECONCILE_EVERY_SECONDS: "0" });
  await worker.stop();
  await expect(schedule().describe()).rejects.toThrow(ScheduleNotFoundError);
});

it("is made by the first worker, and what an operator changes stays", async () => {
  await Promise.all([1, 2].map(() => stage.startWorker({ RECONCILE_EVERY_SECONDS: "3600" })));
  await until(() =>
    schedule()
      .describe()
      .then(
        () => true,
        () => false,
      ),
  );
  const made = await schedule().describe();
  expect(made.spec.intervals).toMatchObject([{ every: 3_600_000 }]);
  expect(made.policies).toMatchObject({ overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: 60_000 });
  expect(made.action).toMatchObject({ workflowType: workflowTypes.reconcileInventory, taskQueue: stage.taskQueue });
  expect(made.state.note).toMatch(/leaves it alone/);
  await schedule().pause("the operator looks into something");
  await stage.startWorker({ RECONCILE_EVERY_SECONDS: "60" });
  const still = await schedule().describe();
  expect(still.state).toMatchObject({ paused: true, note: "the operator looks into something" });
  expect(still.spec.intervals).toMatchObject([{ every: 3_600_000 }]);
  await schedule().unpause();
});

it("goes through all events, tries again what is away, and says what it found", async () => {
  const { reconcile } = stage.services;
  let away = 1;
  reconcile.answer = (cursor) => {
    if (cursor === "1:evt_b" && away-- > 0) throw new DomainError("UNAVAILABLE", "scripted: MongoDB is away");
    return cursor === ""
      ? { events: 50, seats: 60_000, corrected: 2, unavailable: 0, nextCursor: "1:evt_b" }
      : { events: 3, seats: 600, corrected: 0, unavailable: 1, nextCursor: "" };
  };
  const run = await runOnce();
  const sum: ReconcileResult = { events: 53, seats: 60_600, corrected: 2, unavailable: 1 };
  expect(await run.result()).toEqual(sum);
  expect(reconcile.cursors).toEqual(["", "1:evt_b", "1:evt_b"]);
  expect(await (await run.describe()).staticSummary()).toBe("Seats in Valkey compared with the claims in MongoDB");
  await record("reconcile", run);
});
