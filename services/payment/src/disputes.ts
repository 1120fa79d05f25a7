// A dispute as we know it: whose the money is, and what evidence it takes. Pure.
// Source: https://docs.stripe.com/api/disputes and https://docs.stripe.com/disputes/how-disputes-work
import { isDeepStrictEqual } from "node:util";
import { derivedHex64 } from "@onsale/kit/ids";

export const disputeStatuses = [
  "needs_response",
  "under_review",
  "won",
  "lost",
  "warning_needs_response",
  "warning_under_review",
  "warning_closed",
  "prevented",
] as const;
/** unknown: a word of Stripe's that we don't know. Until somebody teaches it to us, the money counts as disputed. */
export type DisputeStatus = (typeof disputeStatuses)[number] | "unknown";

export interface DisputeEntry {
  readonly disputeId: string;
  /** Minor units. */
  readonly amount: number;
  /** Stripe's word. */
  readonly reason: string;
  readonly status: DisputeStatus;
  readonly createdAtMs: number;
  /** Until when evidence is taken; absent: none is asked for. */
  readonly evidenceDueMs?: number;
  readonly hasEvidence: boolean;
}

/** An appeal of a lost dispute counts as the dispute it is about: open again. */
const appeals: Readonly<Record<string, DisputeStatus>> = {
  appeal_needs_response: "needs_response",
  appeal_under_review: "under_review",
};
export const disputeStatusOf = (word: string): DisputeStatus =>
  disputeStatuses.find((status) => status === word) ?? appeals[word] ?? "unknown";

const keepsMoney: ReadonlySet<DisputeStatus> = new Set(["needs_response", "under_review", "lost", "unknown"]);

/**
 * The money that disputes keep from us: open or lost, it can't be refunded. An inquiry (warning_…) keeps nothing, and
 * refunding it is often the best answer.
 */
export const disputedAmount = (disputes: readonly DisputeEntry[]): number =>
  disputes.reduce((sum, { amount, status }) => sum + (keepsMoney.has(status) ? amount : 0), 0);

/** A dispute that waits for our word. */
export const takesEvidence = (status: DisputeStatus): boolean =>
  status === "needs_response" || status === "warning_needs_response";

/** Evidence that is text. What Stripe wants as a file is added in its dashboard. */
export const evidenceFields = [
  "access_activity_log",
  "billing_address",
  "cancellation_policy_disclosure",
  "cancellation_rebuttal",
  "customer_email_address",
  "customer_name",
  "customer_purchase_ip",
  "duplicate_charge_explanation",
  "duplicate_charge_id",
  "product_description",
  "refund_policy_disclosure",
  "refund_refusal_explanation",
  "service_date",
  "shipping_address",
  "shipping_carrier",
  "shipping_date",
  "shipping_tracking_number",
  "uncategorized_text",
] as const;
export type EvidenceField = (typeof evidenceFields)[number];
export type Evidence = Readonly<Partial<Record<EvidenceField, string>>>;

/** A dispute as Stripe tells it, with the evidence that is on it. */
export interface DisputeSnapshot extends DisputeEntry {
  readonly intentId: string | undefined;
  readonly evidence: Evidence;
  /** How often evidence was sent to the bank. */
  readonly submissions: number;
}

export type EvidenceStep = "answer" | "send" | "too_late";

/** What a request for evidence comes to; one that is fulfilled already is only answered. */
export function decideEvidence(
  dispute: DisputeSnapshot,
  wanted: Evidence,
  submit: boolean,
  nowMs: number,
): EvidenceStep {
  const isThere = isDeepStrictEqual({ ...dispute.evidence, ...wanted }, { ...dispute.evidence });
  const isOpen = takesEvidence(dispute.status);
  // An inquiry that became a dispute asks again for what the bank was sent before.
  if (isThere && (!submit || (dispute.submissions > 0 && !isOpen))) return "answer";
  const inTime = dispute.evidenceDueMs === undefined || nowMs < dispute.evidenceDueMs;
  return isOpen && inTime ? "send" : "too_late";
}

/**
 * Names the change for the idempotency key: what it begins with, and what it wants. So the same request again is the same
 * change, but going back to earlier evidence is a new one.
 */
export const evidenceChange = (dispute: DisputeSnapshot, wanted: Evidence, submit: boolean): string =>
  derivedHex64("evidence", inOrder(dispute.evidence), String(dispute.submissions), inOrder(wanted), String(submit));

const inOrder = (evidence: Evidence): string =>
  JSON.stringify(Object.entries(evidence).sort(([a], [b]) => (a < b ? -1 : 1)));
