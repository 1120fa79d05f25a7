import { describe, expect, it } from "vitest";
import { type CheckoutState, refuseCancel, refusePayment, untilDeadline } from "./checkouts.js";
import { type CheckoutStatus, checkoutStatuses } from "./contract.js";

const deadlineMs = 1_000_000;
const payment = { paymentMethodId: "pm_card_visa", returnUrl: "https://shop.example/return" };
const state = (status: CheckoutStatus, more: Partial<CheckoutState> = {}): CheckoutState => ({
  status,
  deadlineMs,
  ending: undefined,
  cancelAsked: false,
  ...more,
});
const codes = (refuse: (status: CheckoutStatus) => { code: string } | undefined) =>
  Object.fromEntries(checkoutStatuses.map((status) => [status, refuse(status)?.code]));

describe("a payment", () => {
  it("is taken while held, and in no other status", () => {
    expect(codes((status) => refusePayment(state(status), payment, deadlineMs - 1))).toEqual({
      held: undefined,
      paying: "CHECKOUT_BUSY",
      requires_action: "CHECKOUT_BUSY",
      completed: "CHECKOUT_COMPLETED",
      expired: "CHECKOUT_EXPIRED",
      cancelled: "CHECKOUT_CANCELLED",
      refunded: "CHECKOUT_CANCELLED",
    });
  });

  it("is late from the deadline on, to the millisecond", () => {
    expect(refusePayment(state("held"), payment, deadlineMs - 1)).toBeUndefined();
    expect(refusePayment(state("held"), payment, deadlineMs)?.code).toBe("CHECKOUT_EXPIRED");
  });

  it("is refused with the end that has begun, whatever the status says meanwhile", () => {
    expect(refusePayment(state("held", { ending: "expired" }), payment, 0)?.code).toBe("CHECKOUT_EXPIRED");
    expect(refusePayment(state("paying", { ending: "cancelled" }), payment, 0)?.code).toBe("CHECKOUT_CANCELLED");
    expect(refusePayment(state("held", { cancelAsked: true }), payment, 0)?.code).toBe("CHECKOUT_CANCELLED");
  });

  it("without a method or a return address is not one", () => {
    const nonsense = [undefined, null, 7, {}, { ...payment, paymentMethodId: "" }, { ...payment, returnUrl: 1 }];
    for (const one of [...nonsense, { ...payment, paymentMethodId: "p".repeat(256) }])
      expect(refusePayment(state("held"), one as never, 0)?.code).toBe("REQUEST_INVALID");
  });
});

describe("a buyer's cancellation", () => {
  it("is taken while held or waiting for approval", () => {
    expect(codes((status) => refuseCancel(state(status)))).toEqual({
      held: undefined,
      paying: "CHECKOUT_BUSY",
      requires_action: undefined,
      completed: "CHECKOUT_COMPLETED",
      expired: "CHECKOUT_EXPIRED",
      cancelled: "CHECKOUT_CANCELLED",
      refunded: "CHECKOUT_CANCELLED",
    });
    expect(refuseCancel(state("paying", { ending: "expired" }))?.code).toBe("CHECKOUT_EXPIRED");
  });
});

it("every refusal is a sentence for the buyer", () => {
  for (const status of checkoutStatuses) {
    const refused = refusePayment(state(status), payment, 0);
    if (refused) expect(refused.message).toMatch(/^[A-Z].{20,}\.$/);
  }
});

it("the timer never runs backwards", () => {
  expect(untilDeadline(1_000, 400)).toBe(600);
  expect(untilDeadline(1_000, 5_000)).toBe(0);
});
