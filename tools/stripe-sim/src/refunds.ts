// A refund's life: how much can be given back of a charge, and what becomes of it. Pure.
// Source: https://docs.stripe.com/refunds and https://docs.stripe.com/api/refunds
import { amountInWords } from "./amounts.js";
import { behaviourOf } from "./cards.js";
import type { Charge, Refusal } from "./payment-intents.js";

export interface Refund {
  readonly id: string;
  readonly chargeId: string;
  readonly paymentId: string;
  readonly methodId: string;
  readonly created: number;
  readonly amount: number;
  readonly currency: string;
  readonly status: "pending" | "requires_action" | "succeeded" | "failed" | "canceled";
  readonly failureReason?: RefundFailure;
  readonly reason?: "duplicate" | "fraudulent" | "requested_by_customer";
  readonly metadata: Readonly<Record<string, string>>;
  /** Milliseconds: when the bank's last word comes; unset once it has come. */
  readonly settlesAt?: number;
}

export const refundFailures = [
  "charge_for_pending_refund_disputed",
  "declined",
  "expired_or_canceled_card",
  "insufficient_funds",
  "lost_or_stolen_card",
  "merchant_request",
  "unknown",
] as const;
export type RefundFailure = (typeof refundFailures)[number];

/** charge.refund.updated is the older name of refund.updated; cards' refunds send both. */
export type RefundEvent =
  | "charge.refund.updated"
  | "charge.refunded"
  | "refund.created"
  | "refund.failed"
  | "refund.updated";

export interface RefundStep {
  readonly ok: true;
  readonly refund: Refund;
  readonly charge: Charge;
  readonly events: readonly RefundEvent[];
}

export interface RefundOrder {
  readonly id: string;
  readonly amount?: number;
  readonly reason?: NonNullable<Refund["reason"]>;
  readonly metadata: Readonly<Record<string, string>>;
  /** Seconds. */
  readonly now: number;
  /** Milliseconds: when a refund settles whose card makes it wait. */
  readonly settlesAt: number;
}

export function refundCharge(charge: Charge, order: RefundOrder): RefundStep | Refusal {
  const left = charge.amountCaptured - charge.amountRefunded;
  if (!charge.captured)
    return {
      ok: false,
      code: "",
      message: `This PaymentIntent (${charge.paymentId}) does not have a successful charge to refund.`,
      param: "payment_intent",
    };
  if (charge.chargedBack)
    return {
      ok: false,
      code: "charge_disputed",
      message: `Charge ${charge.id} has been charged back; cannot issue a refund.`,
    };
  if (left === 0)
    return {
      ok: false,
      code: "charge_already_refunded",
      message: `Charge ${charge.id} has already been refunded.`,
    };
  const amount = order.amount ?? left;
  const shown = (minor: number) => amountInWords(minor, charge.currency);
  if (amount > charge.amount)
    return {
      ok: false,
      code: "",
      message: `Refund amount (${shown(amount)}) is greater than charge amount (${shown(charge.amount)})`,
      param: "amount",
    };
  if (amount > left)
    return {
      ok: false,
      code: "",
      message: `Refund amount (${shown(amount)}) is greater than unrefunded amount on charge (${shown(left)})`,
      param: "amount",
    };
  const ways = behaviourOf(charge.card).refund;
  const { now, settlesAt, ...rest } = order;
  return {
    ok: true,
    refund: {
      ...rest,
      amount,
      chargeId: charge.id,
      paymentId: charge.paymentId,
      methodId: charge.methodId,
      created: now,
      currency: charge.currency,
      status: ways === "pending" ? "pending" : "succeeded",
      ...(ways === undefined ? {} : { settlesAt }),
    },
    charge: { ...charge, amountRefunded: charge.amountRefunded + amount },
    events: ["refund.created", "charge.refunded"],
  };
}

/** The bank's last word on a refund that waited: a pending one arrives, a failing one comes back to us. */
export function settleRefund(refund: Refund, charge: Charge): RefundStep | Refusal {
  return tellRefund(refund, charge, { status: refund.status === "pending" ? "succeeded" : "failed" });
}

export interface RefundWord {
  readonly status: Exclude<Refund["status"], "pending">;
  readonly failureReason?: RefundFailure;
}

const words: Readonly<Record<Refund["status"], readonly RefundWord["status"][]>> = {
  pending: ["requires_action", "succeeded", "failed", "canceled"],
  requires_action: ["succeeded", "failed", "canceled"],
  // A bank can send back what it has taken, days later.
  succeeded: ["failed"],
  failed: [],
  canceled: [],
};

/** What failed or was cancelled is not refunded: the charge has it again. */
export function tellRefund(refund: Refund, charge: Charge, word: RefundWord): RefundStep | Refusal {
  if (!words[refund.status].includes(word.status))
    return {
      ok: false,
      code: "",
      message: `A refund with a status of ${refund.status} can't become ${word.status}.`,
    };
  const { settlesAt: _, ...rest } = refund;
  const { status } = word;
  const isBack = status === "failed" || status === "canceled";
  return {
    ok: true,
    refund: {
      ...rest,
      status,
      ...(status === "failed" ? { failureReason: word.failureReason ?? "expired_or_canceled_card" } : {}),
    },
    charge: isBack ? { ...charge, amountRefunded: charge.amountRefunded - refund.amount } : charge,
    events: ["refund.updated", "charge.refund.updated", ...(status === "failed" ? (["refund.failed"] as const) : [])],
  };
}
