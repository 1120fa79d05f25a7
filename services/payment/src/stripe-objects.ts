// Stripe's objects in our own words, as far as we use them.
import type Stripe from "stripe";
import { type DisputeEntry, type DisputeSnapshot, disputeStatusOf, evidenceFields, takesEvidence } from "./disputes.js";
import type { IntentSnapshot } from "./payments.js";
import type { RefundSnapshot } from "./refunds.js";

/** A verified delivery. */
export interface WebhookEvent {
  readonly id: string;
  readonly type: string;
  /** The intent that it is about, whether directly or by way of a charge, refund or dispute. */
  readonly intentId?: string;
  /** From the object's metadata. */
  readonly checkoutId?: string;
  /** The intent as it was when the event was made, in events about intents. */
  readonly intent?: IntentSnapshot;
}

const statuses: ReadonlySet<string> = new Set<IntentSnapshot["status"]>([
  "requires_payment_method",
  "requires_confirmation",
  "requires_action",
  "processing",
  "requires_capture",
  "succeeded",
  "canceled",
]);
const isStatus = (text: string): text is IntentSnapshot["status"] => statuses.has(text);

export function readIntent(intent: Stripe.PaymentIntent): IntentSnapshot {
  const { last_payment_error: error, latest_charge: charge } = intent;
  const actionUrl = intent.next_action?.redirect_to_url?.url;
  const checkoutId = intent.metadata?.["checkoutId"];
  if (!isStatus(intent.status)) throw new Error(`Stripe uses a status that we don't know: ${intent.status}`);
  return {
    intentId: intent.id,
    status: intent.status,
    amount: intent.amount,
    currency: intent.currency.toUpperCase(),
    amountReceived: intent.amount_received ?? 0,
    // Stripe counts what was authorized but not captured as refunded, too.
    ...(charge && typeof charge === "object"
      ? { amountRefunded: Math.max(0, charge.amount_refunded - (charge.amount - charge.amount_captured)) }
      : {}),
    ...(error ? { decline: { code: error.decline_code ?? error.code ?? "generic_decline" } } : {}),
    ...(charge ? { chargeId: typeof charge === "string" ? charge : charge.id } : {}),
    ...(actionUrl ? { actionUrl } : {}),
    ...(checkoutId ? { checkoutId } : {}),
  };
}

export interface IntentWithCharge {
  readonly snapshot: IntentSnapshot;
  readonly isDisputed: boolean;
  readonly hasAllRefunds: boolean;
}

export function readIntentWithCharge(intent: Stripe.PaymentIntent): IntentWithCharge {
  const snapshot = readIntent(intent);
  const { latest_charge: charge } = intent;
  // Stripe lists an authorization that was let go as a refund, too.
  if (!charge || typeof charge === "string" || !charge.captured)
    return { snapshot, isDisputed: false, hasAllRefunds: true };
  const { refunds, disputed: isDisputed } = charge;
  if (!refunds || refunds.has_more) return { snapshot, isDisputed, hasAllRefunds: false };
  return {
    snapshot: { ...snapshot, refunds: refunds.data.map(readRefund).reverse() },
    isDisputed,
    hasAllRefunds: true,
  };
}

export const lastOf = (data: readonly { readonly id: string }[]): { last?: string } => {
  const id = data.at(-1)?.id;
  return id === undefined ? {} : { last: id };
};

const refundStatuses = ["pending", "requires_action", "succeeded", "failed", "canceled"] as const;

export function readRefund({ id, metadata, amount, status, created, failure_reason }: Stripe.Refund): RefundSnapshot {
  const { refundId, checkoutId } = metadata ?? {};
  return {
    stripeRefundId: id,
    ...(refundId && { refundId }),
    ...(checkoutId && { checkoutId }),
    amount,
    // A word that we don't know is not the end of a refund.
    status: refundStatuses.find((word) => word === status) ?? "pending",
    createdAtMs: created * 1000,
    ...(failure_reason && { failureReason: failure_reason }),
  };
}

export function readDispute(dispute: Stripe.Dispute): DisputeSnapshot {
  const { id, amount, reason, created, payment_intent: of, evidence, evidence_details: details } = dispute;
  const status = disputeStatusOf(dispute.status);
  const filled = evidenceFields.flatMap((field) => {
    const value = evidence[field];
    return value ? [[field, value] as const] : [];
  });
  return {
    disputeId: id,
    amount,
    reason,
    status,
    createdAtMs: created * 1000,
    ...(details.due_by && takesEvidence(status) ? { evidenceDueMs: details.due_by * 1000 } : {}),
    hasEvidence: details.has_evidence,
    intentId: typeof of === "string" ? of : of?.id,
    evidence: Object.fromEntries(filled),
    submissions: details.submission_count,
  };
}

/** What is kept of it: what people wrote as evidence stays at Stripe. */
export function entryOf({
  intentId: _of,
  evidence: _words,
  submissions: _count,
  ...entry
}: DisputeSnapshot): DisputeEntry {
  return entry;
}

/** Throws when it isn't one: a right signature says who sent it, not what it is. */
export function readEvent(event: Stripe.Event): WebhookEvent {
  const { id, type } = event;
  const object = event.data.object as {
    readonly object?: unknown;
    readonly payment_intent?: unknown;
    readonly metadata?: Readonly<Record<string, unknown>> | null;
  };
  if (typeof id !== "string" || id === "" || typeof type !== "string" || typeof object !== "object")
    throw new TypeError("an event has an id, a type and an object");
  const named = object.metadata?.["checkoutId"];
  const checkoutId = typeof named === "string" && named !== "" ? { checkoutId: named } : {};
  if (object.object === "payment_intent") {
    const intent = readIntent(event.data.object as Stripe.PaymentIntent);
    return { id, type, intentId: intent.intentId, intent, ...checkoutId };
  }
  const of = object.payment_intent as string | { readonly id?: unknown } | null | undefined;
  const intentId = typeof of === "string" ? of : of?.id;
  return { id, type, ...(typeof intentId === "string" ? { intentId } : {}), ...checkoutId };
}
