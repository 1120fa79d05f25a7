// A payment as we know it: its states, the legal moves between them, and what each request may do next. Pure.

import { isDeepStrictEqual } from "node:util";
import { currencies } from "@onsale/kit/currencies";
import type { RefusalCode, RefusalDetails } from "@onsale/kit/errors";
import { derivedHex64 } from "@onsale/kit/ids";
import { type DisputeEntry, disputedAmount } from "./disputes.js";
import { givenBy, mergeRefunds, type RefundEntry, type RefundSnapshot } from "./refunds.js";

export const paymentStates = [
  "unpaid",
  "requires_action",
  "processing",
  "authorized",
  "captured",
  "cancelled",
  "partially_refunded",
  "refunded",
] as const;
export type PaymentState = (typeof paymentStates)[number];

const taken: readonly PaymentState[] = ["captured", "partially_refunded", "refunded"];

/** Has the buyer's money been taken, even if some of it went back? */
export const isTaken = (state: PaymentState): boolean => taken.includes(state);

/**
 * Where a payment may go. Forward only, but for two cases: a buyer who fails 3-D Secure is unpaid again, and a refund
 * that the bank sends back makes the payment captured again.
 */
const moves: Readonly<Record<PaymentState, readonly PaymentState[]>> = {
  unpaid: ["requires_action", "processing", "authorized", "cancelled", ...taken],
  requires_action: ["unpaid", "processing", "authorized", "cancelled", ...taken],
  processing: ["unpaid", "requires_action", "authorized", "cancelled", ...taken],
  authorized: ["cancelled", ...taken],
  captured: taken,
  partially_refunded: taken,
  refunded: taken,
  cancelled: [],
};
export const mayMove = (from: PaymentState, to: PaymentState): boolean => from === to || moves[from].includes(to);

/** Why Stripe, or the buyer's bank, said no: Stripe's code. */
export interface Decline {
  readonly code: string;
}

/** A PaymentIntent as Stripe tells it, as far as we use it. */
export interface IntentSnapshot {
  readonly intentId: string;
  readonly status:
    | "requires_payment_method"
    | "requires_confirmation"
    | "requires_action"
    | "processing"
    | "requires_capture"
    | "succeeded"
    | "canceled";
  /** Minor units. */
  readonly amount: number;
  /** ISO 4217, upper case. */
  readonly currency: string;
  readonly amountReceived: number;
  /** Known only where the charge came with the intent. */
  readonly amountRefunded?: number;
  /** All of them, oldest first; known only where Stripe was asked for them. */
  readonly refunds?: readonly RefundSnapshot[];
  readonly disputes?: readonly DisputeEntry[];
  /** The last attempt's, while Stripe keeps it. */
  readonly decline?: Decline;
  /** Of the last attempt that came as far as the bank; each has its own. */
  readonly chargeId?: string;
  readonly actionUrl?: string;
  /** From the metadata that we gave it. */
  readonly checkoutId?: string;
}

export interface Attempt {
  /** 1, 2, …: the buyer's submissions. */
  readonly attempt: number;
  /** Tells one payment method from another without keeping it. */
  readonly methodHash: string;
  /** open: sent to Stripe or about to be; its outcome isn't known yet. */
  readonly outcome: "open" | "declined" | "method_invalid" | "requires_action" | "processing" | "authorized";
  readonly declineCode?: string;
  /** Counts the idempotency keys that this step has used up; see stripeKey. */
  readonly generation: number;
}

export const cancelReasons = ["requested_by_customer", "abandoned", "duplicate", "fraudulent"] as const;
export type CancelReason = (typeof cancelReasons)[number];

export interface PaymentRecord {
  readonly checkoutId: string;
  /** Counts the writes. A write names the version it was decided on, and is lost when another one came first. */
  readonly version: number;
  readonly state: PaymentState;
  readonly accountId: string;
  readonly eventId: string;
  /** Minor units. */
  readonly amount: number;
  /** ISO 4217, upper case. */
  readonly currency: string;
  readonly description: string;
  readonly amountCaptured: number;
  readonly amountRefunded: number;
  /** Absent only on a tombstone: a checkout that was cancelled before it ever had a payment. */
  readonly creation?: {
    /** When the key of this generation was first used. Epoch milliseconds. */
    readonly firstSentAtMs: number;
    readonly generation: number;
  };
  readonly intentId?: string;
  readonly latestChargeId?: string;
  readonly attempts: readonly Attempt[];
  readonly actionUrl?: string;
  /** Somebody wants it cancelled; from here on it never gets authorized or captured by us. */
  readonly cancellation?: { readonly reason?: CancelReason; readonly requestedAtMs: number };
  /** A step's outcome is unknown since then: Stripe is asked before anything else happens. */
  readonly unsureSinceMs?: number;
  readonly captureGeneration: number;
  readonly cancelGeneration: number;
  /** Ours, and those made at Stripe itself. */
  readonly refunds: readonly RefundEntry[];
  readonly disputes: readonly DisputeEntry[];
}

/**
 * The idempotency key of one step. Stripe keeps a key's answer for at least 24 hours, errors of its servers included;
 * a generation above 0 is a fresh key for the same step, taken only after Stripe was asked and had done nothing.
 */
export function stripeKey(checkoutId: string, step: string, generation: number): string {
  return `checkout-${checkoutId}:${step}${generation === 0 ? "" : `:again-${generation}`}`;
}

/** Stripe forgets a key after 24 hours at the earliest; an hour's margin. From then on a repetition would be a second request. */
export const keyLifetimeMs = 23 * 60 * 60 * 1000;

export const methodHash = (paymentMethodId: string): string => derivedHex64("payment-method", paymentMethodId);

export interface AuthorizeOrder {
  readonly checkoutId: string;
  readonly accountId: string;
  readonly eventId: string;
  readonly attempt: number;
  readonly amount: number;
  readonly currency: string;
  readonly paymentMethodId: string;
  readonly description: string;
  readonly returnUrl: string;
}

export function beginRecord(order: AuthorizeOrder, nowMs: number): PaymentRecord {
  return {
    checkoutId: order.checkoutId,
    version: 1,
    state: "unpaid",
    accountId: order.accountId,
    eventId: order.eventId,
    amount: order.amount,
    currency: order.currency,
    description: order.description,
    amountCaptured: 0,
    amountRefunded: 0,
    creation: { firstSentAtMs: nowMs, generation: 0 },
    attempts: [openedAttempt(order)],
    captureGeneration: 0,
    cancelGeneration: 0,
    refunds: [],
    disputes: [],
  };
}

/** A checkout that was cancelled before it had a payment: whoever comes too late to authorize it finds this. */
export function tombstone(checkoutId: string, reason: CancelReason | undefined, nowMs: number): PaymentRecord {
  return {
    checkoutId,
    version: 1,
    state: "cancelled",
    accountId: "",
    eventId: "",
    amount: 0,
    currency: "",
    description: "",
    amountCaptured: 0,
    amountRefunded: 0,
    attempts: [],
    cancellation: { requestedAtMs: nowMs, ...(reason && { reason }) },
    captureGeneration: 0,
    cancelGeneration: 0,
    refunds: [],
    disputes: [],
  };
}
export const isTombstone = (record: PaymentRecord): boolean => record.creation === undefined;

const openedAttempt = (order: AuthorizeOrder): Attempt => ({
  attempt: order.attempt,
  methodHash: methodHash(order.paymentMethodId),
  outcome: "open",
  generation: 0,
});

export function openAttempt(record: PaymentRecord, order: AuthorizeOrder): PaymentRecord {
  return { ...record, attempts: [...record.attempts, openedAttempt(order)] };
}

/** Changes the attempt of that number; the others stay. */
export function changeAttempt(record: PaymentRecord, attempt: number, change: Partial<Attempt>): PaymentRecord {
  return {
    ...record,
    attempts: record.attempts.map((each) => (each.attempt === attempt ? { ...each, ...change } : each)),
  };
}

/** The last attempt that Stripe has answered. */
export const lastAnswered = (record: PaymentRecord): Attempt | undefined =>
  record.attempts.findLast((attempt) => attempt.outcome !== "open");

// ---- what each request may do next

export interface Refused {
  readonly kind: "refuse";
  readonly code: RefusalCode;
  readonly message: string;
  readonly details: RefusalDetails;
}
const refuse = (code: RefusalCode, message: string, details: RefusalDetails = {}): Refused => ({
  kind: "refuse",
  code,
  message,
  details,
});
const answer = { kind: "answer" } as const;

export type AuthorizeStep =
  | { readonly kind: "begin" }
  | { readonly kind: "next" }
  | { readonly kind: "answer" }
  | { readonly kind: "confirm"; readonly attempt: Attempt }
  | Refused;

export function decideAuthorize(record: PaymentRecord | undefined, order: AuthorizeOrder): AuthorizeStep {
  if (!record) return { kind: "begin" };
  if (record.state === "cancelled" || record.cancellation)
    return refuse(
      "PAYMENT_STATE_CONFLICT",
      "This checkout's payment was cancelled, so nothing can be charged for it any more. Start a new checkout.",
      { status: "cancelled" },
    );
  if (record.amount !== order.amount || record.currency !== order.currency)
    return refuse("INTERNAL", "The amount differs from the one this payment began with; nothing was charged.");
  if (record.state === "authorized" || isTaken(record.state)) return answer;
  const last = record.attempts.at(-1);
  if (!last || order.attempt > last.attempt) return record.state === "processing" ? answer : { kind: "next" };
  if (order.attempt < last.attempt) return answer;
  if (last.methodHash !== methodHash(order.paymentMethodId))
    return refuse(
      "IDEMPOTENCY_KEY_REUSED",
      `Attempt ${order.attempt} was made with another payment method. A new payment method needs a new attempt number.`,
    );
  if (last.outcome === "open") return { kind: "confirm", attempt: last };
  if (last.outcome === "method_invalid") return methodInvalid;
  return answer;
}

export const methodInvalid: Refused = refuse(
  "PAYMENT_METHOD_INVALID",
  "Stripe does not accept this payment method: it is unknown, was used up, or belongs to somebody else. Enter the card again.",
);

/** `fresh`: Stripe has just been asked, so the record can be taken at its word. */
export type CaptureStep = { readonly kind: "answer" | "look" | "capture" } | Refused;

export function decideCapture(record: PaymentRecord | undefined, fresh: boolean): CaptureStep {
  if (!record) return refuse("PAYMENT_NOT_FOUND", "This checkout has no payment, so there is nothing to capture.");
  if (isTaken(record.state)) return answer;
  if (record.state === "cancelled" || record.cancellation)
    return refuse("PAYMENT_STATE_CONFLICT", "The payment was cancelled; its money can't be captured any more.", {
      status: record.state,
    });
  if (record.state === "authorized" && (fresh || record.unsureSinceMs === undefined)) return { kind: "capture" };
  if (!fresh && record.intentId) return { kind: "look" };
  return refuse("PAYMENT_STATE_CONFLICT", "The payment isn't authorized, so there is nothing to capture.", {
    status: record.state,
  });
}

export type CancelStep = { readonly kind: "tombstone" | "answer" | "mark" | "cancel" };

export function decideCancel(record: PaymentRecord | undefined): CancelStep {
  if (!record) return { kind: "tombstone" };
  if (record.state === "cancelled" || isTaken(record.state)) return answer;
  return { kind: record.cancellation ? "cancel" : "mark" };
}

export interface RefundOrder {
  readonly checkoutId: string;
  readonly refundId: string;
  /** 0: all that is left. */
  readonly amount: number;
}
export type RefundStep =
  | { readonly kind: "look" }
  | { readonly kind: "answer"; readonly refund: RefundEntry }
  /** Ask Stripe for it, whether for the first time or again. */
  | { readonly kind: "send"; readonly refund: RefundEntry }
  /** Write it down first, with the amount it comes to. */
  | { readonly kind: "reserve"; readonly refund: RefundEntry }
  | Refused;

export function decideRefund(record: PaymentRecord | undefined, order: RefundOrder, fresh: boolean): RefundStep {
  if (!record || isTombstone(record))
    return refuse("PAYMENT_NOT_FOUND", "This checkout has no payment, so there is nothing to refund.");
  const known = record.refunds.find((refund) => refund.refundId === order.refundId);
  if (known) {
    if (known.requested !== order.amount)
      return refuse("IDEMPOTENCY_KEY_REUSED", "This refund id was used with another amount. Use a new refund id.");
    if (known.status === "open") return { kind: "send", refund: known };
    if (known.status === "failed" || known.status === "canceled")
      return refuse(
        "PAYMENT_STATE_CONFLICT",
        "The buyer's bank did not take this refund, and the money is back on our side. Refund again with a new id, or pay the buyer another way.",
        { refundStatus: known.status, stripeRefundId: known.stripeRefundId, failureReason: known.failureReason },
      );
    return { kind: "answer", refund: known };
  }
  if (!isTaken(record.state)) {
    if (!fresh && record.intentId && record.state !== "cancelled") return { kind: "look" };
    return refuse("PAYMENT_STATE_CONFLICT", "Nothing was captured for this checkout, so there is nothing to refund.", {
      status: record.state,
    });
  }
  const open = record.refunds.filter((refund) => refund.status === "open");
  const disputed = disputedAmount(record.disputes);
  const promised = record.amountRefunded + open.reduce((sum, refund) => sum + refund.amount, 0);
  // A dispute can be about money that was refunded before.
  const left = Math.max(0, record.amountCaptured - promised - disputed);
  const amount = order.amount === 0 ? left : order.amount;
  if (open[0] && (order.amount === 0 || amount > left)) return { kind: "send", refund: open[0] };
  if (amount > left || amount === 0) {
    if (!fresh) return { kind: "look" };
    if (disputed > 0 && promised < record.amountCaptured && amount <= record.amountCaptured - promised)
      return refuse(
        "PAYMENT_STATE_CONFLICT",
        "The buyer's bank disputes this payment, so this money can't be refunded: the bank decides whose it is.",
        { left, disputed, currency: record.currency },
      );
    return refuse(
      "REFUND_TOO_LARGE",
      left === 0 ? "All of this payment was refunded already." : `Only ${left} (in minor units) is left to refund.`,
      { left, currency: record.currency },
    );
  }
  const step = currencies.get(record.currency)?.step ?? 1;
  if (amount !== left && amount % step !== 0)
    return refuse("REQUEST_INVALID", `In ${record.currency} only multiples of ${step} can be refunded.`, { step });
  return {
    kind: "reserve",
    refund: { refundId: order.refundId, requested: order.amount, amount, status: "open", generation: 0 },
  };
}

/** Sets or adds a refund's entry. */
export function changeRefund(record: PaymentRecord, refund: RefundEntry): PaymentRecord {
  const isKnown = record.refunds.some(({ refundId }) => refundId === refund.refundId);
  const refunds = isKnown
    ? record.refunds.map((each) => (each.refundId === refund.refundId ? refund : each))
    : [...record.refunds, refund];
  return { ...record, refunds };
}

/** Stripe refused it for good: nothing went back, and the id is free again. */
export function dropRefund(record: PaymentRecord, refundId: string): PaymentRecord {
  return { ...record, refunds: record.refunds.filter((each) => each.refundId !== refundId) };
}

// ---- what Stripe says

export function stateOf(snapshot: IntentSnapshot, knownRefunded: number): PaymentState {
  switch (snapshot.status) {
    case "requires_payment_method":
    case "requires_confirmation":
      return "unpaid";
    case "requires_action":
    case "processing":
      return snapshot.status;
    case "requires_capture":
      return "authorized";
    case "canceled":
      return "cancelled";
    case "succeeded": {
      const refunded = refundedOf(snapshot, knownRefunded);
      if (refunded <= 0) return "captured";
      return refunded < snapshot.amountReceived ? "partially_refunded" : "refunded";
    }
  }
}

/** The refunds themselves are the better witnesses than the sum that the charge has. */
const refundedOf = ({ refunds, amountRefunded }: IntentSnapshot, knownRefunded: number): number =>
  refunds ? givenBy(refunds) : (amountRefunded ?? knownRefunded);

export type Applied =
  | { readonly ok: true; readonly record: PaymentRecord; readonly changed: boolean }
  | { readonly ok: false; readonly reason: "OTHER_INTENT" | "MONEY_DIFFERS" | "BACKWARDS"; readonly to: PaymentState };

/**
 * The record after Stripe told its intent's present state. `answered` names the attempt that this is the answer to;
 * without it, an open attempt stays open unless the money is authorized or there is a charge that no earlier attempt
 * made, because the snapshot may be older than the attempt.
 *
 * The caller makes sure that the snapshot is newer than the record's version (it was asked for after that version
 * was read, and is stored only if that version still stands). So a move backwards can only be a bug, and is refused.
 */
export function applySnapshot(
  record: PaymentRecord,
  snapshot: IntentSnapshot,
  answered?: { readonly attempt: number; readonly decline?: Decline | undefined },
): Applied {
  const state = stateOf(snapshot, record.amountRefunded);
  if (record.intentId !== snapshot.intentId) return { ok: false, reason: "OTHER_INTENT", to: state };
  if (record.amount !== snapshot.amount || record.currency !== snapshot.currency)
    return { ok: false, reason: "MONEY_DIFFERS", to: state };
  if (isTaken(state) && snapshot.amountReceived !== record.amount)
    return { ok: false, reason: "MONEY_DIFFERS", to: state };
  if (!mayMove(record.state, state)) return { ok: false, reason: "BACKWARDS", to: state };

  const { actionUrl: _url, unsureSinceMs: _since, cancellation, ...rest } = record;
  const next: PaymentRecord = {
    ...rest,
    state,
    ...(isTaken(state)
      ? {
          amountCaptured: snapshot.amountReceived,
          amountRefunded: refundedOf(snapshot, record.amountRefunded),
          // What Stripe lists for a payment that was never captured is an authorization it let go.
          ...(snapshot.refunds ? { refunds: mergeRefunds(record.refunds, snapshot.refunds, record.checkoutId) } : {}),
          ...(snapshot.disputes ? { disputes: snapshot.disputes } : {}),
        }
      : {}),
    ...(state === "requires_action" && snapshot.actionUrl ? { actionUrl: snapshot.actionUrl } : {}),
    ...(snapshot.chargeId ? { latestChargeId: snapshot.chargeId } : {}),
    // What was captured stays; the wish to cancel it came too late.
    ...(cancellation && !isTaken(state) ? { cancellation } : {}),
    attempts: record.attempts.map((attempt, index) =>
      index === record.attempts.length - 1
        ? answerAttempt(attempt, state, snapshot, answered, snapshot.chargeId !== record.latestChargeId)
        : attempt,
    ),
  };
  return { ok: true, record: next, changed: !isDeepStrictEqual(next, record) };
}

function answerAttempt(
  attempt: Attempt,
  state: PaymentState,
  snapshot: IntentSnapshot,
  answered: { readonly attempt: number; readonly decline?: Decline | undefined } | undefined,
  chargedAnew: boolean,
): Attempt {
  if (attempt.outcome === "declined" || attempt.outcome === "method_invalid") return attempt;
  if (state === "authorized" || isTaken(state)) return { ...attempt, outcome: "authorized" };
  const isAnswer =
    attempt.outcome !== "open" ||
    answered?.attempt === attempt.attempt ||
    (chargedAnew && snapshot.chargeId !== undefined && snapshot.decline !== undefined);
  if (!isAnswer || state === "cancelled") return attempt;
  if (state === "unpaid") {
    const declineCode = answered?.decline?.code ?? snapshot.decline?.code ?? "generic_decline";
    return { ...attempt, outcome: "declined", declineCode };
  }
  return state === "requires_action" || state === "processing" ? { ...attempt, outcome: state } : attempt;
}

/** Does a snapshot, of unknown age, say what the record says? Then nobody needs to ask Stripe. */
export function agrees(record: PaymentRecord, snapshot: IntentSnapshot): boolean {
  if (record.unsureSinceMs !== undefined || record.attempts.at(-1)?.outcome === "open") return false;
  const applied = applySnapshot(record, snapshot);
  return applied.ok && !applied.changed;
}
