import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cardOfName, type Method } from "./cards.js";
import {
  authenticatePayment,
  type Charge,
  cancelPayment,
  capturePayment,
  confirmPayment,
  type Payment,
  refuseChangeOf,
  type Step,
} from "./payment-intents.js";
import { type Refund, refundCharge, settleRefund } from "./refunds.js";

const now = 1_800_000_000;
const methodNamed = (name: string): Method => ({
  id: `pm_${name}`,
  created: now,
  card: cardOfName(`pm_card_${name}`, "pm_card_", now * 1000)!,
  billing: {},
  metadata: {},
  used: false,
});
const fresh: Payment = {
  id: "pi_1",
  clientSecret: "pi_1_secret_1",
  created: now,
  changedAt: now * 1000,
  amount: 1000,
  currency: "eur",
  status: "requires_payment_method",
  captureMethod: "manual",
  requestThreeDSecure: "automatic",
  metadata: {},
  amountCapturable: 0,
  amountReceived: 0,
};
const confirmation = (name: string) => ({
  method: methodNamed(name),
  now,
  chargeId: "ch_1",
  sourceId: "src_1",
  offSession: false,
  errorOnRequiresAction: false,
  useSdk: false,
});
const taken = (step: ReturnType<typeof confirmPayment>): Step => {
  if (!step.ok) throw new Error(step.message);
  return step;
};

describe("moves", () => {
  it("a used payment method is refused, but not before the state is looked at", () => {
    const method = { ...methodNamed("visa"), used: true };
    expect(confirmPayment(fresh, { ...confirmation("visa"), method })).toMatchObject({
      ok: false,
      param: "payment_method",
    });
    expect(confirmPayment({ ...fresh, status: "canceled" }, { ...confirmation("visa"), method })).toMatchObject({
      code: "payment_intent_unexpected_state",
    });
  });

  it("use_stripe_sdk hides the address to come back to", () => {
    const payment = { ...fresh, returnUrl: "https://shop.example/" };
    const redirected = taken(confirmPayment(payment, confirmation("authenticationRequired")));
    expect(redirected.payment.action).toEqual({ sourceId: "src_1", returnUrl: "https://shop.example/" });
    const shown = taken(confirmPayment(payment, { ...confirmation("authenticationRequired"), useSdk: true }));
    expect(shown.payment.action).toEqual({ sourceId: "src_1" });
  });

  it("terms are fixed once money is held; a capture needs a held amount", () => {
    const held = taken(confirmPayment(fresh, confirmation("visa"))).payment;
    expect(refuseChangeOf(held, ["amount"])).toMatchObject({ ok: false });
    expect(refuseChangeOf(held, [])).toBeUndefined();
    expect(refuseChangeOf(fresh, ["amount"])).toBeUndefined();
    expect(capturePayment(held, undefined, 1)).toMatchObject({ ok: false });
    expect(
      authenticatePayment(held, { outcome: "approve", method: methodNamed("visa"), chargeId: "ch_2", now }),
    ).toMatchObject({ ok: false });
  });
});

type Move =
  | { readonly kind: "confirm"; readonly card: string }
  | { readonly kind: "authenticate"; readonly outcome: "approve" | "fail" }
  | { readonly kind: "capture"; readonly amount: number | undefined }
  | { readonly kind: "cancel" }
  | { readonly kind: "refund"; readonly amount: number | undefined }
  | { readonly kind: "settle" };

const cards = [
  "visa",
  "chargeDeclined",
  "authenticationRequired",
  "threeDSecureRequiredChargeDeclined",
  "refundFail",
  "pendingRefund",
];
const amount = fc.option(fc.integer({ min: 1, max: 1300 }), { nil: undefined });
const move: fc.Arbitrary<Move> = fc.oneof(
  fc.record({ kind: fc.constant("confirm" as const), card: fc.constantFrom(...cards) }),
  fc.record({
    kind: fc.constant("authenticate" as const),
    outcome: fc.constantFrom("approve" as const, "fail" as const),
  }),
  fc.record({ kind: fc.constant("capture" as const), amount }),
  fc.record({ kind: fc.constant("cancel" as const) }),
  fc.record({ kind: fc.constant("refund" as const), amount }),
  fc.record({ kind: fc.constant("settle" as const) }),
);

describe("any sequence of moves", () => {
  it("keeps the books: nothing is given back that was not taken, nothing taken that was not held", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("manual" as const, "automatic" as const),
        fc.array(move, { maxLength: 25 }),
        (captureMethod, moves) => {
          let payment: Payment = { ...fresh, captureMethod };
          const charges = new Map<string, Charge>();
          const refunds = new Map<string, Refund>();
          let method: Method | undefined;
          for (const [index, one] of moves.entries()) {
            const before = payment;
            const charge = charges.get(payment.latestChargeId ?? "");
            const chargeId = `ch_${index}`;
            if (one.kind === "refund" || one.kind === "settle") {
              if (charge?.status !== "succeeded") continue;
              const waiting = [...refunds.values()].find(({ settlesAt }) => settlesAt !== undefined);
              const step =
                one.kind === "settle"
                  ? waiting && settleRefund(waiting, charge)
                  : refundCharge(charge, {
                      id: `re_${index}`,
                      metadata: {},
                      now,
                      settlesAt: 1,
                      ...(one.amount === undefined ? {} : { amount: one.amount }),
                    });
              if (step?.ok !== true) continue;
              charges.set(step.charge.id, step.charge);
              refunds.set(step.refund.id, step.refund);
            } else {
              if (one.kind === "confirm") method = methodNamed(one.card);
              const step =
                one.kind === "confirm"
                  ? confirmPayment(payment, { ...confirmation(one.card), chargeId, sourceId: `src_${index}` })
                  : one.kind === "authenticate"
                    ? authenticatePayment(payment, {
                        outcome: one.outcome,
                        method: method ?? methodNamed("visa"),
                        chargeId,
                        now,
                      })
                    : one.kind === "capture"
                      ? capturePayment(payment, charge, one.amount)
                      : cancelPayment(payment, charge, undefined, now);
              if (!step.ok) continue;
              expect(["succeeded", "canceled"], "an ended payment does not move").not.toContain(before.status);
              payment = step.payment;
              if (step.charge !== undefined) charges.set(step.charge.id, step.charge);
            }
          }
          const successful = [...charges.values()].filter(({ status }) => status === "succeeded");
          expect(successful.length).toBeLessThanOrEqual(1);
          for (const charge of successful) {
            expect(charge.amountCaptured + charge.amountReleased).toBeLessThanOrEqual(charge.amount);
            expect(charge.amountRefunded).toBeLessThanOrEqual(charge.amountCaptured);
            const given = [...refunds.values()].filter(({ status }) => status !== "failed" && status !== "canceled");
            expect(given.reduce((sum, refund) => sum + refund.amount, 0)).toBe(charge.amountRefunded);
          }
          const [charge] = successful;
          expect(payment.amountReceived).toBe(charge?.amountCaptured ?? 0);
          expect(payment.amountCapturable).toBe(payment.status === "requires_capture" ? 1000 : 0);
          expect(payment.status === "requires_action").toBe(payment.action !== undefined);
          if (payment.status === "succeeded") expect(payment.amountReceived).toBeGreaterThan(0);
          if (payment.status === "canceled") expect(charge?.amountReleased ?? 1000).toBe(1000);
        },
      ),
      { numRuns: 300 },
    );
  });
});
