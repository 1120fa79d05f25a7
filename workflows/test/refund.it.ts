// Refunds and late payments: money first, then tickets, then seats, each once.

import { randomUUID } from "node:crypto";
import { PaymentStatus } from "@onsale/proto/payment/v1/payment";
import {
  latePaymentWorkflowId,
  type RefundInput,
  type RefundResult,
  refundWorkflowId,
  type SettleLatePaymentResult,
  workflowTypes,
} from "@onsale/workflows/contract";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fails, losesAnswer, times, wantsApproval } from "./scripted-services.js";
import { cancel, openStage, pay, record, result, type Stage, until } from "./stage.js";

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

/** A paid checkout. */
async function sold() {
  const input = stage.newCheckout();
  const handle = await stage.startCheckout(input);
  expect((await pay(handle)).status).toBe("completed");
  await result(handle);
  return { input, id: input.checkoutId };
}

const refund = async (id: string, more: Partial<RefundInput> = {}) => {
  const input: RefundInput = {
    refundId: `ref_${id}`,
    checkoutId: id,
    accountId: `acc_of_${id}`,
    eventId: `evt_of_${id}`,
    seatIds: [],
    amount: 0,
    requestedBy: "acc_operator",
    ...more,
  };
  return stage.client.workflow.start(workflowTypes.refund, {
    workflowId: refundWorkflowId(input.refundId),
    taskQueue: stage.taskQueue,
    args: [input],
  });
};
const outcome = async (handle: { result(): Promise<unknown> }) => (await handle.result()) as RefundResult;
const since = (id: string, method: string) => {
  const methods = stage.services.methods(id);
  return methods.slice(methods.indexOf(method as never));
};

describe("a refund", () => {
  it("of everything sets it aside, gives back the money, voids the tickets and frees the seats, in this order", async () => {
    const { id, input } = await sold();
    const handle = await refund(id);
    expect(await outcome(handle)).toEqual({
      refundId: `ref_${id}`,
      checkoutId: id,
      amount: 14_850,
      seatIds: input.seats.map((seat) => seat.seatId),
    });
    expect(since(id, "reserveRefund")).toEqual(["reserveRefund", "refund", "voidTickets", "releaseClaims"]);
    expect(stage.services.calls(id).find(({ method }) => method === "voidTickets")?.request).toMatchObject({
      refundId: `ref_${id}`,
      seatIds: input.seats.map((seat) => seat.seatId),
      amountRefunded: 14_850,
    });
    await record("refund", handle);
    const query = `OnsaleEventId = 'evt_of_${id}' AND OnsaleStatus = 'refunded'`;
    await until(async () => (await stage.client.workflow.count(query)).count === 1);
  });

  it("of one seat gives back its price and frees this seat alone", async () => {
    const { id } = await sold();
    expect(await outcome(await refund(id, { seatIds: ["A-1-2"], amount: 4_950 }))).toMatchObject({
      amount: 4_950,
      seatIds: ["A-1-2"],
    });
    expect(stage.services.calls(id).at(-1)).toMatchObject({ method: "releaseClaims", request: { seatIds: ["A-1-2"] } });
  });

  it("frees no seat and voids no ticket while the money is not back", async () => {
    const { id } = await sold();
    stage.services.script(id, "refund", ...times(3, fails("UNAVAILABLE")), losesAnswer);
    const handle = await refund(id);
    await until(() => stage.services.methods(id).filter((method) => method === "refund").length >= 3);
    expect(stage.services.methods(id)).not.toContain("voidTickets");
    await outcome(handle);
    expect(stage.services.facts(id).payment).toMatchObject({ amountRefunded: 14_850 });
    expect(stage.services.facts(id).refunds.size).toBe(1);
  });

  it("is finished whoever cancels it, through failures of tickets and seats", async () => {
    const { id } = await sold();
    stage.services.script(id, "voidTickets", ...times(4, fails("UNAVAILABLE")));
    stage.services.script(id, "releaseClaims", ...times(4, fails("INVENTORY_REBUILDING")));
    const handle = await refund(id);
    await until(() => stage.services.methods(id).includes("voidTickets"));
    await handle.cancel();
    expect((await outcome(handle)).amount).toBe(14_850);
    expect(stage.services.facts(id).claimed).toBe(false);
  });

  it("of more than is left fails with its code and changes nothing", async () => {
    const { id } = await sold();
    const handle = await refund(id, { amount: 999_999 });
    await expect(outcome(handle)).rejects.toMatchObject({ cause: { type: "REFUND_TOO_LARGE", nonRetryable: true } });
    expect(since(id, "reserveRefund")).toEqual(["reserveRefund", "getOrder"]);
  });

  it("that Stripe refuses is given up: what was set aside for it is free for another", async () => {
    const { id } = await sold();
    stage.services.script(id, "refund", fails("PAYMENT_STATE_CONFLICT"));
    const handle = await refund(id);
    await expect(outcome(handle)).rejects.toMatchObject({ cause: { type: "PAYMENT_STATE_CONFLICT" } });
    expect(since(id, "reserveRefund")).toEqual([
      "reserveRefund",
      "refund",
      "dropRefund",
      "getPayment",
      "recordPayment",
    ]);
    expect(await outcome(await refund(id, { refundId: `ref2_${id}` }))).toMatchObject({ amount: 14_850 });
  });

  it("that was ended by force is taken over by another of the same seats, and may be started again itself", async () => {
    const { id } = await sold();
    stage.services.goDown(id, "refund");
    const first = await refund(id);
    await until(() => stage.services.methods(id).includes("refund"));
    await first.terminate("by mistake");
    stage.services.comeUp(id, "refund");
    const other = await refund(id, { refundId: `ref2_${id}` });
    expect(await outcome(other)).toMatchObject({ refundId: `ref2_${id}`, amount: 14_850 });
    expect(await outcome(await refund(id))).toMatchObject({ amount: 14_850 });
    expect(stage.services.facts(id).refunds.size).toBe(1);
  });

  it("of seats that were given back before is refused, whoever asks at the same time", async () => {
    const { id } = await sold();
    const one = { seatIds: ["A-1-2"], amount: 4_950 };
    const both = await Promise.allSettled(
      ["a", "b"].map(async (which) => outcome(await refund(id, { ...one, refundId: `ref_${which}_${id}` }))),
    );
    expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(both.find(({ status }) => status === "rejected")).toMatchObject({
      reason: { cause: { type: "SEAT_REFUNDED" } },
    });
    expect(stage.services.facts(id).payment).toMatchObject({ amountRefunded: 4_950 });
  });

  it("of seats whose money is back already asks Stripe for nothing", async () => {
    const { id } = await sold();
    await outcome(await refund(id, { seatIds: ["A-1-1"], amount: 14_850 }));
    expect(await outcome(await refund(id, { refundId: `ref2_${id}` }))).toMatchObject({
      amount: 0,
      seatIds: ["A-1-2", "A-1-3"],
    });
    expect(stage.services.methods(id).filter((method) => method === "refund")).toHaveLength(1);
  });

  it("of some seats needs an amount: 0 would give all of the money back for some of the seats", async () => {
    const { id } = await sold();
    await expect(outcome(await refund(id, { seatIds: ["A-1-2"] }))).rejects.toMatchObject({
      cause: { type: "REQUEST_INVALID" },
    });
    expect(stage.services.methods(id)).not.toContain("refund");
  });
});

describe("a payment that comes too late", () => {
  const settle = async (id: string): Promise<SettleLatePaymentResult> =>
    (await stage.client.workflow.execute(workflowTypes.settleLatePayment, {
      workflowId: `${latePaymentWorkflowId(id)}-${randomUUID()}`,
      taskQueue: stage.taskQueue,
      args: [{ checkoutId: id }],
    })) as SettleLatePaymentResult;

  /** A checkout that ended without tickets, whose payment then turns out to be this. */
  async function endedWith(status: PaymentStatus | undefined, amountCaptured = 0): Promise<string> {
    const input = stage.newCheckout();
    const handle = await stage.startCheckout(input);
    stage.services.script(input.checkoutId, "authorize", wantsApproval);
    if (status !== undefined) await pay(handle);
    await cancel(handle);
    Object.assign(stage.services.facts(input.checkoutId).payment ?? {}, { status, amountCaptured });
    return input.checkoutId;
  }

  it("authorized: it is cancelled, and a second look changes nothing", async () => {
    const id = await endedWith(PaymentStatus.AUTHORIZED);
    expect(await settle(id)).toMatchObject({ action: "cancelled", amount: 0 });
    expect(stage.services.facts(id).payment?.status).toBe(PaymentStatus.CANCELLED);
    expect(await settle(id)).toMatchObject({ action: "nothing" });
  });

  it("captured: it is refunded in full, once", async () => {
    const id = await endedWith(PaymentStatus.CAPTURED, 14_850);
    expect(await settle(id)).toMatchObject({ action: "refunded", amount: 14_850 });
    expect(stage.services.facts(id).payment).toMatchObject({ status: PaymentStatus.REFUNDED, amountRefunded: 14_850 });
    expect(await settle(id)).toMatchObject({ action: "nothing" });
    expect(stage.services.facts(id).refunds.size).toBe(1);
  });

  it("declined and never paid: it is closed at Stripe, and nothing is refunded", async () => {
    const id = await endedWith(PaymentStatus.UNPAID);
    stage.services.script(id, "cancel", (facts) => ({ payment: facts.payment }));
    expect(await settle(id)).toMatchObject({ action: "cancelled", amount: 0 });
    expect(stage.services.methods(id)).not.toContain("refund");
  });

  it("captured between the look and the cancellation: it is refunded", async () => {
    const id = await endedWith(PaymentStatus.AUTHORIZED);
    stage.services.script(id, "cancel", (facts) => {
      Object.assign(facts.payment ?? {}, { status: PaymentStatus.CAPTURED, amountCaptured: 14_850 });
      return { payment: facts.payment };
    });
    expect(await settle(id)).toMatchObject({ action: "refunded", amount: 14_850 });
  });

  it("never there, or with an order: nothing is done", async () => {
    const id = await endedWith(undefined);
    expect(await settle(id)).toMatchObject({ action: "nothing", because: "there never was a payment" });
    const { id: paid } = await sold();
    expect(await settle(paid)).toMatchObject({ action: "nothing", because: "the order stands" });
    expect(stage.services.facts(paid).payment?.status).toBe(PaymentStatus.CAPTURED);
  });

  it("of a checkout that still runs is left to it", async () => {
    const input = stage.newCheckout();
    const handle = await stage.startCheckout(input);
    stage.services.script(input.checkoutId, "authorize", wantsApproval);
    await pay(handle);
    expect(await settle(input.checkoutId)).toMatchObject({ action: "nothing" });
    expect(stage.services.facts(input.checkoutId).payment?.status).toBe(PaymentStatus.REQUIRES_ACTION);
    await cancel(handle);
  });
});
