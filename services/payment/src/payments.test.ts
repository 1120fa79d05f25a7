// The rules of a payment: legal moves, what each request may do, and that no order of news makes a wrong record.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { DisputeEntry } from "./disputes.js";
import {
  type AuthorizeOrder,
  agrees,
  applySnapshot,
  beginRecord,
  changeAttempt,
  changeRefund,
  decideAuthorize,
  decideCancel,
  decideCapture,
  decideRefund,
  dropRefund,
  type IntentSnapshot,
  isTaken,
  mayMove,
  openAttempt,
  type PaymentRecord,
  type PaymentState,
  paymentStates,
  stateOf,
  stripeKey,
  tombstone,
} from "./payments.js";
import type { RefundEntry } from "./refunds.js";

const order: AuthorizeOrder = {
  checkoutId: "co_1",
  accountId: "acc_1",
  eventId: "ev_1",
  attempt: 1,
  amount: 5_000,
  currency: "EUR",
  paymentMethodId: "pm_one",
  description: "Two seats",
  returnUrl: "https://shop.example/back",
};
const intent = (status: IntentSnapshot["status"], more: Partial<IntentSnapshot> = {}): IntentSnapshot => ({
  intentId: "pi_1",
  status,
  amount: 5_000,
  currency: "EUR",
  amountReceived: status === "succeeded" ? 5_000 : 0,
  checkoutId: "co_1",
  ...more,
});
const begun: PaymentRecord = { ...beginRecord(order, 1_000), intentId: "pi_1" };
function after(record: PaymentRecord, snapshot: IntentSnapshot, answered?: Parameters<typeof applySnapshot>[2]) {
  const applied = applySnapshot(record, snapshot, answered);
  if (!applied.ok) throw new Error(applied.reason);
  return applied.record;
}
const authorized = after(begun, intent("requires_capture"), { attempt: 1 });
const captured = after(authorized, intent("succeeded", { amountRefunded: 0 }));
const cancelled = after(authorized, intent("canceled"));
const declined = after(begun, intent("requires_payment_method"), { attempt: 1, decline: { code: "expired_card" } });

describe("idempotency keys", () => {
  it("name the workflow, the step, and after a stored error the generation", () => {
    expect(stripeKey("co_1", "create", 0)).toBe("checkout-co_1:create");
    expect(stripeKey("co_1", "confirm:2", 0)).toBe("checkout-co_1:confirm:2");
    expect(stripeKey("co_1", "capture", 1)).toBe("checkout-co_1:capture:again-1");
  });
});

describe("what Stripe says becomes our state", () => {
  it.each([
    ["requires_payment_method", "unpaid"],
    ["requires_confirmation", "unpaid"],
    ["requires_action", "requires_action"],
    ["processing", "processing"],
    ["requires_capture", "authorized"],
    ["canceled", "cancelled"],
    ["succeeded", "captured"],
  ] as const)("%s is %s", (status, state) => {
    expect(stateOf(intent(status), 0)).toBe(state);
  });
  it("tells part of the money back from all of it", () => {
    expect(stateOf(intent("succeeded", { amountRefunded: 1 }), 0)).toBe("partially_refunded");
    expect(stateOf(intent("succeeded", { amountRefunded: 5_000 }), 0)).toBe("refunded");
    expect(stateOf(intent("succeeded"), 5_000)).toBe("refunded");
  });
  it("keeps the way to 3-D Secure only while it is needed", () => {
    const acting = after(begun, intent("requires_action", { actionUrl: "https://bank.example" }), { attempt: 1 });
    expect(acting).toMatchObject({ state: "requires_action", actionUrl: "https://bank.example" });
    expect(acting.attempts).toMatchObject([{ outcome: "requires_action" }]);
    expect(after(acting, intent("requires_capture"))).not.toHaveProperty("actionUrl");
    const failed = after(
      acting,
      intent("requires_payment_method", { decline: { code: "payment_intent_authentication_failure" } }),
    );
    expect(failed.attempts).toMatchObject([
      { outcome: "declined", declineCode: "payment_intent_authentication_failure" },
    ]);
  });
  it("leaves an attempt open when the news may be older than it", () => {
    const second = openAttempt(declined, { ...order, attempt: 2, paymentMethodId: "pm_two" });
    expect(after(second, intent("requires_payment_method")).attempts[1]).toMatchObject({ outcome: "open" });
    expect(after(second, intent("requires_capture")).attempts[1]).toMatchObject({ outcome: "authorized" });
    expect(after(second, intent("requires_capture")).attempts[0]).toMatchObject({ outcome: "declined" });
  });
  it("knows by a new charge that the open attempt was declined, though its answer was lost", () => {
    const first = after(
      begun,
      intent("requires_payment_method", { chargeId: "ch_1", decline: { code: "expired_card" } }),
    );
    expect(first.attempts).toMatchObject([{ outcome: "declined", declineCode: "expired_card" }]);
    const second = openAttempt(first, { ...order, attempt: 2, paymentMethodId: "pm_two" });
    const same = after(
      second,
      intent("requires_payment_method", { chargeId: "ch_1", decline: { code: "expired_card" } }),
    );
    expect(same.attempts[1]).toMatchObject({ outcome: "open" });
    const next = after(second, intent("requires_payment_method", { chargeId: "ch_2", decline: { code: "lost_card" } }));
    expect(next.attempts[1]).toMatchObject({ outcome: "declined", declineCode: "lost_card" });
  });
  it("refuses another intent, another amount, another currency, and the way back", () => {
    expect(applySnapshot(begun, intent("requires_capture", { intentId: "pi_2" }))).toMatchObject({
      reason: "OTHER_INTENT",
    });
    expect(applySnapshot(begun, intent("requires_capture", { amount: 4_999 }))).toMatchObject({
      reason: "MONEY_DIFFERS",
    });
    expect(applySnapshot(begun, intent("requires_capture", { currency: "USD" }))).toMatchObject({
      reason: "MONEY_DIFFERS",
    });
    expect(applySnapshot(authorized, intent("succeeded", { amountReceived: 1 }))).toMatchObject({
      reason: "MONEY_DIFFERS",
    });
    expect(applySnapshot(captured, intent("requires_capture"))).toMatchObject({ reason: "BACKWARDS" });
    expect(applySnapshot(cancelled, intent("requires_capture"))).toMatchObject({ reason: "BACKWARDS" });
    expect(applySnapshot(authorized, intent("requires_action"))).toMatchObject({ reason: "BACKWARDS" });
  });
  it("forgets the doubt, and a cancellation that came too late", () => {
    const doubtful = {
      ...authorized,
      unsureSinceMs: 5,
      cancellation: { requestedAtMs: 6, reason: "abandoned" as const },
    };
    expect(after(doubtful, intent("requires_capture"))).toEqual({ ...authorized, cancellation: doubtful.cancellation });
    expect(after(doubtful, intent("succeeded", { amountRefunded: 0 }))).toEqual(captured);
  });
  it("needs no question when a delivery says what is known", () => {
    expect(agrees(authorized, intent("requires_capture"))).toBe(true);
    expect(agrees(authorized, intent("succeeded"))).toBe(false);
    expect(agrees(captured, intent("requires_capture"))).toBe(false);
    expect(agrees(begun, intent("requires_payment_method"))).toBe(false);
    expect(agrees({ ...authorized, unsureSinceMs: 5 }, intent("requires_capture"))).toBe(false);
  });
});

describe("authorize", () => {
  it("begins, resumes, and answers what is answered", () => {
    expect(decideAuthorize(undefined, order)).toEqual({ kind: "begin" });
    expect(decideAuthorize(begun, order)).toMatchObject({ kind: "confirm", attempt: { attempt: 1 } });
    expect(decideAuthorize(declined, order)).toEqual({ kind: "answer" });
    expect(decideAuthorize(authorized, order)).toEqual({ kind: "answer" });
    expect(decideAuthorize(captured, { ...order, attempt: 2 })).toEqual({ kind: "answer" });
  });
  it("opens the next attempt after a decline, and answers an earlier one's repetition with the present", () => {
    const second = { ...order, attempt: 2, paymentMethodId: "pm_two" };
    expect(decideAuthorize(declined, second)).toEqual({ kind: "next" });
    expect(decideAuthorize(openAttempt(declined, second), order)).toEqual({ kind: "answer" });
  });
  it("refuses what is cancelled or about to be, another amount, and another card under the same number", () => {
    const refused = (record: PaymentRecord, asked = order) => decideAuthorize(record, asked);
    expect(refused(cancelled)).toMatchObject({ code: "PAYMENT_STATE_CONFLICT" });
    expect(refused(tombstone("co_1", undefined, 1))).toMatchObject({ code: "PAYMENT_STATE_CONFLICT" });
    expect(refused({ ...authorized, cancellation: { requestedAtMs: 1 } })).toMatchObject({
      code: "PAYMENT_STATE_CONFLICT",
    });
    expect(refused(begun, { ...order, amount: 1 })).toMatchObject({ code: "INTERNAL" });
    expect(refused(begun, { ...order, currency: "USD" })).toMatchObject({ code: "INTERNAL" });
    expect(refused(begun, { ...order, paymentMethodId: "pm_two" })).toMatchObject({ code: "IDEMPOTENCY_KEY_REUSED" });
    expect(refused(changeAttempt(begun, 1, { outcome: "method_invalid" }))).toMatchObject({
      code: "PAYMENT_METHOD_INVALID",
    });
  });
  it("waits while the bank is still working on an attempt", () => {
    const working = after(begun, intent("processing"), { attempt: 1 });
    expect(decideAuthorize(working, { ...order, attempt: 2 })).toEqual({ kind: "answer" });
  });
});

describe("capture and cancel", () => {
  it("captures what is authorized, after a look when in doubt", () => {
    expect(decideCapture(authorized, false)).toEqual({ kind: "capture" });
    expect(decideCapture({ ...authorized, unsureSinceMs: 5 }, false)).toEqual({ kind: "look" });
    expect(decideCapture(begun, false)).toEqual({ kind: "look" });
    expect(decideCapture(captured, false)).toEqual({ kind: "answer" });
  });
  it("refuses to capture what isn't there, isn't authorized, or is cancelled", () => {
    expect(decideCapture(undefined, false)).toMatchObject({ code: "PAYMENT_NOT_FOUND" });
    expect(decideCapture(begun, true)).toMatchObject({ code: "PAYMENT_STATE_CONFLICT" });
    expect(decideCapture(cancelled, false)).toMatchObject({ code: "PAYMENT_STATE_CONFLICT" });
    expect(decideCapture({ ...authorized, cancellation: { requestedAtMs: 1 } }, false)).toMatchObject({
      code: "PAYMENT_STATE_CONFLICT",
    });
  });
  it("cancels in two steps, and leaves what is captured", () => {
    expect(decideCancel(undefined)).toEqual({ kind: "tombstone" });
    expect(decideCancel(begun)).toEqual({ kind: "mark" });
    expect(decideCancel({ ...begun, cancellation: { requestedAtMs: 1 } })).toEqual({ kind: "cancel" });
    expect(decideCancel(captured)).toEqual({ kind: "answer" });
    expect(decideCancel(cancelled)).toEqual({ kind: "answer" });
  });
});

describe("refund", () => {
  const ask = { checkoutId: "co_1", refundId: "r1", amount: 2_000 };
  const entry: RefundEntry = { refundId: "r1", requested: 2_000, amount: 2_000, status: "open", generation: 0 };
  it("writes down first, sends what is written, answers what is done", () => {
    expect(decideRefund(captured, ask, false)).toEqual({ kind: "reserve", refund: entry });
    expect(decideRefund(changeRefund(captured, entry), ask, false)).toMatchObject({ kind: "send" });
    expect(decideRefund(changeRefund(captured, { ...entry, status: "pending" }), ask, false)).toMatchObject({
      kind: "answer",
    });
  });
  it("gives all that is left for 0, once other refunds are settled", () => {
    expect(decideRefund(captured, { ...ask, amount: 0 }, false)).toMatchObject({ refund: { amount: 5_000 } });
    const other = changeRefund(captured, { ...entry, refundId: "r0" });
    expect(decideRefund(other, { ...ask, amount: 0 }, false)).toMatchObject({
      kind: "send",
      refund: { refundId: "r0" },
    });
    expect(decideRefund(other, { ...ask, amount: 3_000 }, false)).toMatchObject({ kind: "reserve" });
    expect(decideRefund(other, { ...ask, amount: 3_001 }, false)).toMatchObject({
      kind: "send",
      refund: { refundId: "r0" },
    });
  });
  it("refuses, but only after a look when Stripe may know better", () => {
    expect(decideRefund(undefined, ask, false)).toMatchObject({ code: "PAYMENT_NOT_FOUND" });
    expect(decideRefund(tombstone("co_1", undefined, 1), ask, false)).toMatchObject({ code: "PAYMENT_NOT_FOUND" });
    expect(decideRefund(authorized, ask, false)).toEqual({ kind: "look" });
    expect(decideRefund(authorized, ask, true)).toMatchObject({ code: "PAYMENT_STATE_CONFLICT" });
    expect(decideRefund(captured, { ...ask, amount: 5_001 }, false)).toEqual({ kind: "look" });
    expect(decideRefund(captured, { ...ask, amount: 5_001 }, true)).toMatchObject({
      code: "REFUND_TOO_LARGE",
      details: { left: 5_000 },
    });
    const all = { ...captured, amountRefunded: 5_000, state: "refunded" as const };
    expect(decideRefund(all, { ...ask, amount: 0 }, true)).toMatchObject({ code: "REFUND_TOO_LARGE" });
    expect(decideRefund(changeRefund(captured, entry), { ...ask, amount: 1 }, false)).toMatchObject({
      code: "IDEMPOTENCY_KEY_REUSED",
    });
    expect(decideRefund(changeRefund(captured, { ...entry, status: "failed" }), ask, false)).toMatchObject({
      code: "PAYMENT_STATE_CONFLICT",
    });
  });
  it("leaves the money that a dispute keeps, open or lost, and refunds an inquiry's", () => {
    const disputed = (status: DisputeEntry["status"], amount = 5_000): PaymentRecord => ({
      ...captured,
      disputes: [{ disputeId: "du_1", amount, reason: "fraudulent", status, createdAtMs: 1, hasEvidence: false }],
    });
    for (const status of ["needs_response", "under_review", "lost"] as const) {
      expect(decideRefund(disputed(status), ask, false)).toEqual({ kind: "look" });
      expect(decideRefund(disputed(status), ask, true)).toMatchObject({
        code: "PAYMENT_STATE_CONFLICT",
        details: { left: 0, disputed: 5_000 },
      });
    }
    for (const status of ["won", "warning_needs_response", "warning_closed"] as const)
      expect(decideRefund(disputed(status), ask, true)).toMatchObject({ kind: "reserve" });
    expect(decideRefund(disputed("lost", 1_000), { ...ask, amount: 0 }, true)).toMatchObject({
      refund: { amount: 4_000 },
    });
    // Refunded before the dispute about all of it came.
    const both = { ...disputed("needs_response"), amountRefunded: 2_000, state: "partially_refunded" as const };
    expect(decideRefund(both, ask, true)).toMatchObject({ code: "PAYMENT_STATE_CONFLICT", details: { left: 0 } });
    expect(decideRefund(both, { ...ask, amount: 3_001 }, true)).toMatchObject({ code: "REFUND_TOO_LARGE" });
    const all = { ...both, amountRefunded: 5_000, state: "refunded" as const };
    expect(decideRefund(all, { ...ask, amount: 0 }, true)).toMatchObject({ code: "REFUND_TOO_LARGE" });
  });
  it("takes the refunds' word before the charge's sum, and a released authorization for none", () => {
    const refunds = [
      { stripeRefundId: "re_1", amount: 1_000, status: "succeeded", createdAtMs: 1 },
      { stripeRefundId: "re_2", amount: 4_000, status: "failed", createdAtMs: 2 },
    ] as const;
    const partly = after(captured, intent("succeeded", { amountRefunded: 5_000, refunds }));
    expect(partly).toMatchObject({ state: "partially_refunded", amountRefunded: 1_000 });
    expect(partly.refunds).toHaveLength(2);
    expect(after(authorized, intent("canceled", { refunds })).refunds).toEqual([]);
  });
  it("frees the money of a refund that Stripe refused", () => {
    expect(dropRefund(changeRefund(captured, entry), "r1")).toEqual(captured);
  });
  it("never promises more than was captured, whatever is asked in whatever order", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat({ max: 9 }), fc.nat({ max: 6_000 })), { maxLength: 30 }), (asked) => {
        let record = captured;
        for (const [number, amount] of asked) {
          const step = decideRefund(record, { checkoutId: "co_1", refundId: `r${number}`, amount }, true);
          if (step.kind === "reserve") record = changeRefund(record, step.refund);
          if (step.kind === "send") {
            record = changeRefund(record, { ...step.refund, status: "succeeded" });
            const amountRefunded = record.amountRefunded + step.refund.amount;
            record = after(record, intent("succeeded", { amountRefunded }));
          }
        }
        expect(record.refunds.reduce((sum, { amount }) => sum + amount, 0)).toBeLessThanOrEqual(5_000);
        expect(new Set(record.refunds.map(({ refundId }) => refundId)).size).toBe(record.refunds.length);
      }),
    );
  });
});

describe("moves", () => {
  it("never leave cancelled, never undo a capture, and never go from authorized to less but by cancelling", () => {
    for (const to of paymentStates) {
      expect(mayMove("cancelled", to)).toBe(to === "cancelled");
      expect(mayMove("captured", to)).toBe(isTaken(to));
      expect(mayMove("authorized", to)).toBe(to === "authorized" || to === "cancelled" || isTaken(to));
    }
  });
  it("hold for every sequence of snapshots", () => {
    const anySnapshot = fc
      .record({
        status: fc.constantFrom<IntentSnapshot["status"]>(
          "requires_payment_method",
          "requires_confirmation",
          "requires_action",
          "processing",
          "requires_capture",
          "succeeded",
          "canceled",
        ),
        amountRefunded: fc.nat({ max: 5_000 }),
        answers: fc.boolean(),
      })
      .map(({ status, amountRefunded, answers }) => ({ snapshot: intent(status, { amountRefunded }), answers }));
    fc.assert(
      fc.property(fc.array(anySnapshot, { maxLength: 20 }), (news) => {
        let record = begun;
        const seen: PaymentState[] = [record.state];
        for (const { snapshot, answers } of news) {
          const applied = applySnapshot(record, snapshot, answers ? { attempt: 1 } : undefined);
          if (applied.ok) record = applied.record;
          seen.push(record.state);
        }
        const end = seen.indexOf("cancelled");
        if (end >= 0) expect(seen.slice(end).every((state) => state === "cancelled")).toBe(true);
        const took = seen.findIndex(isTaken);
        if (took >= 0) expect(seen.slice(took).every(isTaken)).toBe(true);
        expect(record.amountCaptured).toBe(isTaken(record.state) ? 5_000 : 0);
        expect(record.amountRefunded).toBeLessThanOrEqual(record.amountCaptured);
      }),
    );
  });
});
