// The real five minutes, without waiting for them: the server skips a workflow's time while nothing else goes on.

import { randomUUID } from "node:crypto";
import { checkoutWorkflowId, workflowTypes } from "@onsale/workflows/contract";
import { defaultPayloadConverter } from "@temporalio/common";
import { temporal } from "@temporalio/proto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { fails, times, wantsApproval } from "./scripted-services.js";
import { type Event, events, type Handle, kinds, openStage, pay, result, type Stage, until } from "./stage.js";

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

/** Starts a checkout whose time is skipped. The client has no option for it, so the request is made by hand. */
async function begin(more: Parameters<Stage["newCheckout"]>[0] = {}) {
  const input = stage.newCheckout(more);
  const workflowId = checkoutWorkflowId(input.checkoutId);
  await stage.client.workflowService.startWorkflowExecution({
    namespace: "default",
    workflowId,
    requestId: randomUUID(),
    workflowType: { name: workflowTypes.checkout },
    taskQueue: { name: stage.taskQueue },
    input: { payloads: [defaultPayloadConverter.toPayload(input)!] },
    timeSkippingConfig: { enabled: true },
  });
  return { input, id: input.checkoutId, handle: stage.client.workflow.getHandle(workflowId) };
}

const { EVENT_TYPE_TIMER_STARTED, EVENT_TYPE_TIMER_FIRED, EVENT_TYPE_WORKFLOW_EXECUTION_STARTED } =
  temporal.api.enums.v1.EventType;
const seconds = (time: Event["eventTime"]) => Number(time?.seconds ?? 0) + (time?.nanos ?? 0) / 1e9;
async function find(handle: Handle, type: temporal.api.enums.v1.EventType): Promise<Event[]> {
  return (await events(handle)).filter(({ eventType }) => eventType === type);
}

/** From now on this execution's time is skipped. */
async function skipTime({ workflowId }: Handle): Promise<void> {
  await stage.client.workflowService.updateWorkflowExecutionOptions({
    namespace: "default",
    workflowExecution: { workflowId },
    workflowExecutionOptions: { timeSkippingConfig: { enabled: true } },
    updateMask: { paths: ["time_skipping_config"] },
  });
}

/** How many events a run has without those that only skipping adds. */
const ownEvents = async (handle: Handle) =>
  (await kinds(handle)).filter((kind) => !/TimeSkipping|OptionsUpdated/.test(kind)).length;

// They wait most of the time, so they wait together.
it.concurrent("an unpaid hold of 300 s ends after 300 s of its own time, within seconds of ours", async () => {
  const began = Date.now();
  const { handle, id } = await begin();
  expect(await result(handle)).toMatchObject({ status: "expired", reason: "CHECKOUT_EXPIRED" });
  expect(Date.now() - began).toBeLessThan(60_000);
  const [start] = await find(handle, EVENT_TYPE_WORKFLOW_EXECUTION_STARTED);
  const [timer] = await find(handle, EVENT_TYPE_TIMER_STARTED);
  const [fired] = await find(handle, EVENT_TYPE_TIMER_FIRED);
  expect(Number(timer?.timerStartedEventAttributes?.startToFireTimeout?.seconds)).toBeGreaterThanOrEqual(298);
  const lasted = seconds(fired?.eventTime) - seconds(start?.eventTime);
  expect(lasted).toBeGreaterThanOrEqual(298);
  expect(lasted).toBeLessThan(310);
  expect(stage.services.methods(id)).toEqual(["releaseHold", "getOrder", "getPayment"]);
});

it.concurrent("a payment in flight at the deadline gets its 60 s, then is cancelled, then the seats are freed", async () => {
  const input = stage.newCheckout();
  const { checkoutId: id } = input;
  const handle = await stage.startCheckout(input);
  stage.services.script(id, "authorize", wantsApproval);
  expect((await pay(handle)).status).toBe("requires_action");
  const began = Date.now();
  await skipTime(handle);
  expect(await result(handle)).toMatchObject({ status: "expired" });
  expect(Date.now() - began).toBeLessThan(50_000);
  const fired = await find(handle, EVENT_TYPE_TIMER_FIRED);
  expect(fired).toHaveLength(2);
  const grace = seconds(fired[1]?.eventTime) - seconds(fired[0]?.eventTime);
  expect(grace).toBeGreaterThanOrEqual(60);
  expect(grace).toBeLessThan(70);
  expect(stage.services.methods(id).slice(-3)).toEqual(["cancel", "endCheckout", "releaseHold"]);
  expect(await ownEvents(handle)).toBeLessThanOrEqual(45); // one less when the authorization is cancelled within the task that asks for it
});

it.concurrent("issuing fails 20 times and then works, in a history no longer than after one failure", async () => {
  const input = stage.newCheckout();
  const { checkoutId: id } = input;
  const handle = await stage.startCheckout(input);
  stage.services.script(id, "issueTickets", ...times(20, fails("UNAVAILABLE")));
  const paying = pay(handle);
  await until(() => stage.services.methods(id).includes("issueTickets"));
  await skipTime(handle);
  expect((await paying).status).toBe("completed");
  expect(stage.services.methods(id).filter((method) => method === "issueTickets")).toHaveLength(21);
  expect(stage.services.facts(id)).toMatchObject({ captures: 1, holdReleased: false });
  expect(await ownEvents(handle)).toBeLessThanOrEqual(36);
});
