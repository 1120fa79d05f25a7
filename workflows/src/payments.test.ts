import { describe, expect, it } from "vitest";
import { judge, type PaymentState, paymentStatuses, settlement } from "./payments.js";

const payment = (status: PaymentState["status"], more: Partial<PaymentState> = {}): PaymentState => ({
  status,
  amountCaptured: 0,
  amountRefunded: 0,
  ...more,
});
const each = <Answer>(answer: (state: PaymentState) => Answer) =>
  Object.fromEntries(paymentStatuses.map((status) => [status, answer(payment(status))]));

describe("what a payment means for its checkout", () => {
  it("by status", () => {
    expect(each((state) => judge(state).kind)).toEqual({
      unpaid: "declined",
      requires_action: "undecided",
      processing: "undecided",
      authorized: "secured",
      captured: "secured",
      cancelled: "gone",
      partially_refunded: "gone",
      refunded: "gone",
    });
  });

  it("a decline says why, also when Stripe did not", () => {
    const decline = { code: "insufficient_funds", message: "Your card has insufficient funds." };
    expect(judge(payment("unpaid", { decline }))).toEqual({ kind: "declined", decline });
    expect(judge(payment("unpaid"))).toMatchObject({ kind: "declined", decline: { code: "card_declined" } });
  });

  it("nothing is decided while the buyer or the bank is at it", () => {
    expect(judge(payment("requires_action"))).toEqual({ kind: "undecided" });
    expect(judge(payment("processing"))).toEqual({ kind: "undecided" });
  });
});

it("money without tickets is returned, and nothing is returned twice", () => {
  expect(settlement(undefined)).toBe("nothing");
  expect(each(settlement)).toEqual({
    unpaid: "cancel",
    requires_action: "cancel",
    processing: "cancel",
    authorized: "cancel",
    captured: "refund",
    cancelled: "nothing",
    partially_refunded: "refund",
    refunded: "nothing",
  });
});
