// An event that is called off: every order is given back once, also those that were under way, and the stuck ones when they can be.
import { randomUUID } from "node:crypto";
import {
  type CancelEventInput,
  type CancelEventResult,
  cancelEventWorkflowId,
  cancelledEventRefundId,
  refundWorkflowId,
  workflowTypes,
} from "@onsale/workflows/contract";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fails, times } from "./scripted-services.js";
import { openStage, pay, record, result, type Stage, until } from "./stage.js";

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

const newEventId = () => `evt_${randomUUID().slice(0, 8)}`;

async function sold(): Promise<string> {
  const input = stage.newCheckout();
  const handle = await stage.startCheckout(input);
  expect((await pay(handle)).status).toBe("completed");
  await result(handle);
  return input.checkoutId;
}

const cancelEvent = (eventId: string, more: Partial<CancelEventInput> = {}) =>
  stage.client.workflow.start(workflowTypes.cancelEvent, {
    workflowId: cancelEventWorkflowId(eventId),
    taskQueue: stage.taskQueue,
    args: [{ eventId, requestedBy: "acc_organiser", settleMs: 200, ...more }],
  });
const outcome = async (handle: { result(): Promise<unknown> }) => (await handle.result()) as CancelEventResult;
const refundsOf = (checkoutId: string) => [...stage.services.facts(checkoutId).refunds];

describe("an event that is cancelled", () => {
  it("is off the sale, and its orders are given back, page after page", async () => {
    const eventId = newEventId();
    const orders = [await sold(), await sold(), await sold()];
    stage.services.events.claimants.set(eventId, orders);
    const handle = await cancelEvent(eventId);
    expect(await outcome(handle)).toEqual({ refunded: 3 });
    expect(stage.services.events.cancelled).toContain(eventId);
    for (const checkoutId of orders) {
      expect(refundsOf(checkoutId)).toEqual([[cancelledEventRefundId(checkoutId), 14_850]]);
      expect(stage.services.facts(checkoutId).claimed).toBe(false);
    }
    await record("event-cancelled", handle);
  });

  it("without orders is done at once, and so is a second cancellation", async () => {
    const eventId = newEventId();
    expect(await outcome(await cancelEvent(eventId))).toEqual({ refunded: 0 });
    expect(await outcome(await cancelEvent(eventId))).toEqual({ refunded: 0 });
  });

  it("that goes on in a new run, because the old one grew long, waits and cancels no second time, and keeps its sum", async () => {
    const eventId = newEventId();
    stage.services.events.claimants.set(eventId, [await sold()]);
    const handle = await cancelEvent(eventId, { settleMs: 3_600_000, soFar: { refunded: 5 } });
    expect(await outcome(handle)).toEqual({ refunded: 6 });
    expect(stage.services.events.cancelled).not.toContain(eventId);
  });

  it("that was a draft is refused with its code", async () => {
    await expect(outcome(await cancelEvent(`${newEventId()}draft`))).rejects.toMatchObject({
      cause: { type: "EVENT_IS_DRAFT", nonRetryable: true },
    });
  });

  it("gives back what was sold while it was being cancelled, once the order is there", async () => {
    const eventId = newEventId();
    const [early, late] = [await sold(), await sold()];
    const { order } = stage.services.facts(late);
    stage.services.facts(late).order = undefined; // claimed and captured, its tickets not issued yet
    stage.services.events.claimants.set(eventId, [early, late]);
    const handle = await cancelEvent(eventId);
    await until(() => stage.services.methods(late).filter((method) => method === "getOrder").length >= 1);
    await until(() => refundsOf(early).length === 1);
    expect(refundsOf(late)).toEqual([]);
    stage.services.facts(late).order = order;
    expect(await outcome(handle)).toEqual({ refunded: 2 });
    expect(refundsOf(late)).toEqual([[cancelledEventRefundId(late), 14_850]]);
  });

  it("does not stop at an order that can't be given back, and tries it again", async () => {
    const eventId = newEventId();
    const [stuck, fine] = [await sold(), await sold()];
    stage.services.script(stuck, "refund", ...times(1, fails("PAYMENT_STATE_CONFLICT", "Stripe said no.")));
    stage.services.events.claimants.set(eventId, [stuck, fine]);
    const handle = await cancelEvent(eventId);
    expect(await outcome(handle)).toEqual({ refunded: 2 });
    expect(refundsOf(stuck)).toEqual([[cancelledEventRefundId(stuck), 14_850]]);
    expect(refundsOf(fine)).toHaveLength(1);
    const first = await stage.client.workflow.getHandle(refundWorkflowId(cancelledEventRefundId(stuck))).describe();
    expect(first.status.name).toBe("COMPLETED");
  });
});
