// An order wins: what operators do in the Web UI (Reset, Terminate), and what moves at Stripe itself, undoes nothing that stands, and
// leaves nothing behind that nobody looks after.
import { randomUUID } from "node:crypto";
import { DisputeStatus, PaymentStatus, RefundStatus } from "@onsale/proto/payment/v1/payment";
import { OrderRefund, RefundKind, RefundState } from "@onsale/proto/ticket/v1/ticket";
import {
  cancelEventWorkflowId,
  checkoutWorkflowId,
  disputeWorkflowId,
  type FindOrphansResult,
  failedRefundWorkflowId,
  latePaymentWorkflowId,
  type RefundInput,
  type RefundResult,
  refundSeenToSignal,
  refundWorkflowId,
  workflowTypes,
} from "@onsale/workflows/contract";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { after, fails } from "./scripted-services.js";
import { events, openStage, pay, result, type Stage, until } from "./stage.js";

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

async function sold() {
  const input = stage.newCheckout();
  const handle = await stage.startCheckout(input);
  expect((await pay(handle)).status).toBe("completed");
  await result(handle);
  return { input, id: input.checkoutId, facts: stage.services.facts(input.checkoutId) };
}

/** What the Web UI's Reset does: to the first workflow task, or to the last that there was. */
async function reset(workflowId: string, to: "first" | "last", keepUpdates = true): Promise<void> {
  const handle = stage.client.workflow.getHandle(workflowId);
  const done = (await events(handle)).filter((event) => event.workflowTaskCompletedEventAttributes);
  const event = to === "first" ? done[0] : done.at(-1);
  await stage.client.workflowService.resetWorkflowExecution({
    namespace: "default",
    workflowExecution: { workflowId },
    reason: "a test",
    workflowTaskFinishEventId: event?.eventId ?? null,
    requestId: randomUUID(),
    // temporal.api.enums.v1.ResetReapplyType: ALL_ELIGIBLE, or NONE
    resetReapplyType: keepUpdates ? 3 : 2,
  });
}

const methodsSince = (id: string, count: number) => stage.services.methods(id).slice(count);
const undoing = ["cancel", "refund", "releaseClaims", "voidTickets"];

const startRefund = async (id: string, more: Partial<RefundInput> = {}) => {
  const input: RefundInput = {
    ...{ refundId: `rfd_${randomUUID().slice(0, 8)}`, checkoutId: id, accountId: `acc_${id}`, eventId: `evt_${id}` },
    ...{ seatIds: [], amount: 0, kind: "return", requestedBy: "acc_operator" },
    ...more,
  };
  const handle = await stage.client.workflow.start(workflowTypes.refund, {
    workflowId: refundWorkflowId(input.refundId),
    taskQueue: stage.taskQueue,
    args: [input],
  });
  return { input, handle, outcome: () => handle.result() as Promise<RefundResult> };
};

async function findOrphans(settledAfterMs = -60_000): Promise<FindOrphansResult> {
  return (await stage.client.workflow.execute(workflowTypes.findOrphans, {
    workflowId: `orphans-${randomUUID()}`,
    taskQueue: stage.taskQueue,
    args: [{ settledAfterMs }],
  })) as FindOrphansResult;
}
const clearOrphanage = () => {
  for (const list of Object.values(stage.services.orphanage)) list.length = 0;
};
const isRunning = async (workflowId: string) =>
  (await stage.client.workflow.getHandle(workflowId).describe()).status.name === "RUNNING";

describe("a completed checkout that is reset", () => {
  it.each([
    ["first", true],
    ["first", false],
    ["last", true],
  ] as const)("to its %s task (updates kept: %s) comes to the same order, and undoes nothing", async (to, kept) => {
    const { id, facts } = await sold();
    const before = stage.services.methods(id).length;
    const order = structuredClone(facts.order);
    await reset(checkoutWorkflowId(id), to, kept);
    const handle = stage.client.workflow.getHandle(checkoutWorkflowId(id));
    if (!kept) await pay(handle as never).catch(() => undefined);
    expect(await handle.result()).toMatchObject({ status: "completed", ticketIds: order?.ticketIds });
    expect(methodsSince(id, before).filter((method) => undoing.includes(method))).toEqual([]);
    expect(facts.order).toEqual(order);
    expect(facts.captures).toBe(1);
    expect(facts.claimed).toBe(true);
  });

  it("past its deadline, with a seat given back, still stands on its order", async () => {
    const input = stage.newCheckout({ deadlineMs: Date.now() + 4_000, graceMs: 0 });
    const checkout = await stage.startCheckout(input);
    await pay(checkout);
    await result(checkout);
    const id = input.checkoutId;
    const facts = stage.services.facts(id);
    const { outcome } = await startRefund(id, { seatIds: ["A-1-2"] });
    expect(await outcome()).toMatchObject({ amount: 4_950, seatIds: ["A-1-2"] });
    await until(() => Date.now() > input.deadlineMs + 500);
    const before = stage.services.methods(id).length;
    for (const kept of [true, false]) {
      await reset(checkoutWorkflowId(id), "first", kept);
      const handle = stage.client.workflow.getHandle(checkoutWorkflowId(id));
      expect(await handle.result()).toMatchObject({ status: "completed", ticketIds: facts.order?.ticketIds });
    }
    expect(methodsSince(id, before).filter((method) => undoing.includes(method))).toEqual([]);
    expect(facts.payment).toMatchObject({ status: PaymentStatus.PARTIALLY_REFUNDED, amountRefunded: 4_950 });
    expect(facts.claimed).toBe(true);
  });
});

describe("a checkout that was terminated", () => {
  /** Terminated while this step hangs, as it is seen by the next search. */
  async function terminatedIn(method: "claimSeats" | "capture" | "issueTickets") {
    const input = stage.newCheckout();
    const id = input.checkoutId;
    stage.services.script(
      id,
      method,
      method === "issueTickets" ? fails("UNAVAILABLE") : after(1_500),
      ...(method === "issueTickets" ? Array.from({ length: 20 }, () => fails("UNAVAILABLE")) : []),
    );
    const handle = await stage.startCheckout(input);
    void pay(handle).catch(() => undefined);
    await until(() => stage.services.methods(id).includes(method));
    await handle.terminate("a test");
    await until(() => method === "issueTickets" || stage.services.facts(id).claimed);
    if (method === "capture")
      await until(() => stage.services.facts(id).payment?.status === PaymentStatus.CAPTURED, 10_000);
    clearOrphanage();
    const { eventId } = input.event;
    stage.services.orphanage.sales.push({ eventId, checkoutId: id, atMs: Date.now() });
    stage.services.orphanage.payments.push({ eventId, checkoutId: id, changedAtMs: Date.now() });
    stage.services.comeUp(id, method);
    return { id, eventId, facts: stage.services.facts(id) };
  }

  it("once it was paid and has its seats gets its tickets", async () => {
    const { id, facts } = await terminatedIn("capture");
    expect((await findOrphans()).mended).toBe(1);
    expect(facts.order?.ticketIds).toHaveLength(3);
    expect(facts.payment?.status).toBe(PaymentStatus.CAPTURED);
    const settled = stage.client.workflow.getHandle(latePaymentWorkflowId(id));
    expect(await settled.result()).toMatchObject({ action: "finished", amount: 14_850 });
    expect(await findOrphans()).toMatchObject({ mended: 0, forAPerson: [] });
  });

  it("before that is undone: the seats are free, and nothing stays reserved", async () => {
    const { facts } = await terminatedIn("claimSeats");
    expect((await findOrphans()).mended).toBe(1);
    expect(facts).toMatchObject({ claimed: false, ended: true, order: undefined });
    expect(facts.payment?.status).toBe(PaymentStatus.CANCELLED);
  });

  it("is left alone while its workflow runs, and looked at again the next time", async () => {
    const input = stage.newCheckout();
    const handle = await stage.startCheckout(input);
    clearOrphanage();
    const atMs = Date.now() - 1_000;
    stage.services.orphanage.sales.push({ eventId: input.event.eventId, checkoutId: input.checkoutId, atMs });
    expect(await findOrphans()).toMatchObject({ mended: 0, lookedUntilMs: atMs });
    await handle.terminate("a test");
  });

  it("whose order was written meanwhile keeps it: of an order and an end, the first stands", async () => {
    const { id, facts } = await sold();
    facts.order = undefined;
    facts.ended = true;
    await reset(checkoutWorkflowId(id), "last");
    const handle = stage.client.workflow.getHandle(checkoutWorkflowId(id));
    // Its tickets are refused, so it gives back what it took.
    expect(await handle.result()).toMatchObject({ status: "refunded", reason: "CHECKOUT_CANCELLED" });
    expect(facts).toMatchObject({ claimed: false, order: undefined });
    expect(facts.payment?.status).toBe(PaymentStatus.REFUNDED);
  });
});

describe("a refund that was terminated halfway", () => {
  async function halfway() {
    const { id, input, facts } = await sold();
    stage.services.goDown(id, "refund");
    const { handle, input: wanted } = await startRefund(id, { eventId: input.event.eventId });
    await until(() => stage.services.methods(id).includes("refund"));
    await handle.terminate("a test");
    stage.services.comeUp(id, "refund");
    return { id, facts, wanted };
  }

  it("is taken over by the next that asks for the same seats, and the money goes back once", async () => {
    const { id, facts, wanted } = await halfway();
    const { outcome, input } = await startRefund(id);
    expect(await outcome()).toMatchObject({ refundId: input.refundId, amount: 14_850 });
    expect(facts.payment?.amountRefunded).toBe(14_850);
    expect(facts.order?.refunds).toMatchObject([{ refundId: wanted.refundId, state: RefundState.PAID }]);
    expect(facts.claimed).toBe(false);
  });

  it("is begun again by the search for orphans", async () => {
    const { id, facts, wanted } = await halfway();
    clearOrphanage();
    const refund = facts.order?.refunds[0];
    if (!refund) throw new Error("it was set aside");
    const { eventId } = wanted;
    const listed = { checkoutId: id, userId: wanted.accountId, eventId, currency: "EUR", refund };
    stage.services.orphanage.refunds.push({ state: RefundState.PENDING, listed });
    expect((await findOrphans()).mended).toBe(1);
    expect(facts.order?.refunds).toMatchObject([{ refundId: wanted.refundId, state: RefundState.PAID }]);
    expect(facts.claimed).toBe(false);
    clearOrphanage();
  });
});

describe("an order that lost its tickets", () => {
  it("loses its claims too, if its refund was terminated in between; one that lost its claims is told to a person", async () => {
    const { id, facts } = await sold();
    const lost = await sold();
    for (const { facts: each } of [{ facts }, lost]) {
      const seatIds = each === facts ? ["A-1-2"] : ["A-1-1"];
      each.order?.refunds.push(OrderRefund.create({ refundId: "rfd_1", seatIds, atMs: 7, state: RefundState.PAID }));
    }
    lost.facts.sale = undefined;
    clearOrphanage();
    const atMs = Date.now();
    stage.services.orphanage.changedOrders.push({ checkoutId: id, atMs }, { checkoutId: lost.id, atMs });
    const found = await findOrphans();
    expect(found).toMatchObject({ mended: 1, lookedUntilMs: 7, forAPerson: [{ checkoutId: lost.id }] });
    expect(found.forAPerson[0]?.because).toContain("A-1-2, A-1-3");
    expect(facts.sale?.seats.map(({ seatId }) => seatId)).toEqual(["A-1-1", "A-1-3"]);
    clearOrphanage();
  });
});

describe("a refund that the bank sends back", () => {
  it("waits for Stripe's last word, is owed then, and calls for a person until somebody has seen to it", async () => {
    const { id, facts } = await sold();
    const stripe = (status: RefundStatus, refundId: string) => {
      const payment = facts.payment;
      if (!payment) throw new Error("it was paid");
      const made = {
        refundId,
        stripeRefundId: `re_${id}`,
        amount: 14_850,
        createdAtMs: 1,
        failureReason: "",
        outside: false,
      };
      payment.refunds = [{ ...made, status }];
    };
    stage.services.script(id, "refund", async (_, model) => {
      const answer = (await model()) as { amount: number };
      return { ...answer, status: RefundStatus.PENDING };
    });
    const refundId = `rfd_${randomUUID().slice(0, 8)}`;
    stripe(RefundStatus.PENDING, refundId);
    const { handle, outcome } = await startRefund(id, { refundId });
    await until(() => stage.services.methods(id).includes("getPayment"));
    expect(await isRunning(handle.workflowId)).toBe(true);
    expect(stage.services.methods(id)).not.toContain("voidTickets");
    stripe(RefundStatus.FAILED, refundId);
    // The wait is repeated by the server, ever more seldom: the next try need not be waited for.
    await handle.terminate("a test: not to wait for half a minute");
    const again = await stage.client.workflow.start(workflowTypes.followPayment, {
      workflowId: `follow-${id}`,
      taskQueue: stage.taskQueue,
      args: [{ checkoutId: id }],
    });
    await again.result();
    expect(facts.order?.refunds).toMatchObject([{ refundId, state: RefundState.FAILED, amount: 14_850 }]);
    void outcome;

    const person = stage.client.workflow.getHandle(failedRefundWorkflowId(refundId));
    expect(await isRunning(person.workflowId)).toBe(true);
    await person.signal(refundSeenToSignal);
    expect(await isRunning(person.workflowId)).toBe(true);
    const refund = facts.order?.refunds[0];
    if (refund) refund.state = RefundState.CLOSED;
    await person.signal(refundSeenToSignal);
    await person.result();
  });
});

describe("money that moves at Stripe itself", () => {
  const follow = async (id: string) =>
    (
      await stage.client.workflow.start(workflowTypes.followPayment, {
        workflowId: `follow-${id}-${randomUUID()}`,
        taskQueue: stage.taskQueue,
        args: [{ checkoutId: id }],
      })
    ).result();

  it("reaches the order, and frees the seats of tickets that are void by it; again, nothing happens", async () => {
    const { id, facts } = await sold();
    const outside = {
      refundId: `re_${id}`,
      stripeRefundId: `re_${id}`,
      amount: 14_850,
      status: RefundStatus.SUCCEEDED,
    };
    if (facts.payment) facts.payment.refunds = [{ ...outside, createdAtMs: 1, failureReason: "", outside: true }];
    for (let time = 1; time <= 2; time++) {
      await follow(id);
      expect(facts.order?.refunds).toMatchObject([{ kind: RefundKind.OUTSIDE, state: RefundState.PAID }]);
      expect(facts.claimed).toBe(false);
    }
  });

  it("in dispute calls for a person, until it is decided", async () => {
    const { id, facts } = await sold();
    const disputeId = `dp_${randomUUID().slice(0, 8)}`;
    const about = { disputeId, amount: 14_850, reason: "fraudulent", createdAtMs: 1, hasEvidence: false };
    const dispute = (status: DisputeStatus) => {
      const evidenceDueMs = Date.now() + 48 * 3_600_000;
      if (facts.payment) facts.payment.disputes = [{ ...about, status, evidenceDueMs }];
    };
    dispute(DisputeStatus.NEEDS_RESPONSE);
    await follow(id);
    const handle = stage.client.workflow.getHandle(disputeWorkflowId(disputeId));
    await until(async () => (await handle.describe()).searchAttributes["OnsaleStatus"]?.[0] === "dispute_due");
    dispute(DisputeStatus.WON);
    await follow(id);
    await handle.result();
    expect(facts.order?.disputes).toMatchObject([{ disputeId, status: "won" }]);
  });
});

describe("a cancelled event", () => {
  const cancelled = async (eventId: string) =>
    stage.client.workflow.execute(workflowTypes.cancelEvent, {
      workflowId: cancelEventWorkflowId(eventId),
      taskQueue: stage.taskQueue,
      args: [{ eventId, requestedBy: "acc_operator", settleMs: 0 }],
    });

  it("whose order was given back at Stripe's dashboard ends", async () => {
    const { id, input, facts } = await sold();
    const { eventId } = input.event;
    stage.services.events.claimants.set(eventId, [id]);
    if (facts.payment)
      Object.assign(facts.payment, {
        amountRefunded: 14_850,
        refunds: [
          {
            ...{ refundId: `re_${id}`, stripeRefundId: `re_${id}`, amount: 14_850, status: RefundStatus.SUCCEEDED },
            ...{ createdAtMs: 1, failureReason: "", outside: true },
          },
        ],
      });
    stage.services.script(id, "reserveRefund", (_, model) => {
      const whole = facts.payment;
      if (whole) whole.amountRefunded = 0; // as the order still believes
      const answer = model();
      if (whole) whole.amountRefunded = 14_850;
      return answer;
    });
    expect(await cancelled(eventId)).toMatchObject({ refunded: 0 });
    expect(facts.claimed).toBe(false);
  });

  it("whose money Stripe refuses to give back ends too, and says who is owed", async () => {
    const { id, input, facts } = await sold();
    const { eventId } = input.event;
    stage.services.events.claimants.set(eventId, [id]);
    const disputed = fails("PAYMENT_STATE_CONFLICT", "The payment is disputed.");
    stage.services.script(id, "refund", disputed, disputed, disputed, disputed);
    expect(await cancelled(eventId)).toEqual({
      refunded: 0,
      owed: [{ checkoutId: id, because: "PAYMENT_STATE_CONFLICT: The payment is disputed." }],
    });
    expect(facts.claimed).toBe(false);
    expect(facts.order?.refunds).toMatchObject([{ kind: RefundKind.VOID, amount: 0, state: RefundState.PAID }]);
  });

  it("whose workflow was terminated is gone on with", async () => {
    const { id, input, facts } = await sold();
    const { eventId } = input.event;
    stage.services.events.claimants.set(eventId, [id]);
    clearOrphanage();
    const startsAtMs = Date.now() + 86_400_000;
    stage.services.orphanage.cancelledEvents.push({ eventId, cancelledAtMs: Date.now() - 1_000, startsAtMs });
    expect((await findOrphans()).mended).toBe(1);
    await stage.client.workflow.getHandle(cancelEventWorkflowId(eventId)).result();
    expect(facts.claimed).toBe(false);
    clearOrphanage();
  });
});
