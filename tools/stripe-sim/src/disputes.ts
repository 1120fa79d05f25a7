// A dispute's life: the buyer's bank asks for the money, evidence is sent, the bank decides. Pure.
// Source: https://docs.stripe.com/disputes/how-disputes-work, https://docs.stripe.com/api/disputes and, for what decides
// a test dispute, https://docs.stripe.com/testing#disputes
import type { Charge, Refusal } from "./payment-intents.js";

export const disputeReasons = [
  "credit_not_processed",
  "duplicate",
  "fraudulent",
  "general",
  "product_not_received",
  "product_unacceptable",
  "unrecognized",
] as const;
export type DisputeReason = (typeof disputeReasons)[number];

export type DisputeStatus =
  | "lost"
  | "needs_response"
  | "under_review"
  | "warning_closed"
  | "warning_needs_response"
  | "warning_under_review"
  | "won";

/** escalated: an inquiry becomes a chargeback. */
export type Verdict = "escalated" | "lost" | "won";

/** Amounts in minor units, times in seconds but for `actsAt`. */
export interface Dispute {
  readonly id: string;
  readonly chargeId: string;
  readonly paymentId: string;
  readonly created: number;
  readonly amount: number;
  readonly currency: string;
  readonly brand: string;
  readonly reason: DisputeReason;
  readonly status: DisputeStatus;
  /** Text only. */
  readonly evidence: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly dueBy: number;
  readonly submissions: number;
  /** When the money was taken from the account, and when it was given back. */
  readonly withdrawnAt?: number;
  readonly reinstatedAt?: number;
  /** Milliseconds: when the bank speaks next if nobody else does; unset: it waits, or all is said. */
  readonly actsAt?: number;
}

export type DisputeEvent =
  | "charge.dispute.closed"
  | "charge.dispute.created"
  | "charge.dispute.funds_reinstated"
  | "charge.dispute.funds_withdrawn"
  | "charge.dispute.updated";

export interface DisputeStep {
  readonly ok: true;
  readonly dispute: Dispute;
  readonly charge: Charge;
  readonly events: readonly DisputeEvent[];
}

export interface DisputeOrder {
  readonly id: string;
  readonly reason: DisputeReason;
  /** The bank only asks: no money moves, and the charge can still be refunded. */
  readonly inquiry: boolean;
  /** Unset: all that was not refunded. */
  readonly amount?: number;
  /** Seconds. */
  readonly now: number;
  readonly dueBy: number;
}

export function openDispute(charge: Charge, order: DisputeOrder): DisputeStep | Refusal {
  const left = charge.amountCaptured - charge.amountRefunded;
  const amount = order.amount ?? left;
  if (!charge.captured || left === 0 || amount > left)
    return { ok: false, code: "", message: `Charge ${charge.id} has not so much left that could be disputed.` };
  if (charge.chargedBack)
    return { ok: false, code: "charge_disputed", message: `Charge ${charge.id} has been charged back.` };
  const { id, reason, inquiry, now, dueBy } = order;
  const dispute: Dispute = {
    id,
    chargeId: charge.id,
    paymentId: charge.paymentId,
    created: now,
    amount,
    currency: charge.currency,
    brand: charge.card.brand,
    reason,
    status: "warning_needs_response",
    evidence: {},
    metadata: {},
    dueBy,
    submissions: 0,
    actsAt: dueBy * 1000,
  };
  const { disputeAt: _, ...rest } = charge;
  const disputed: Charge = { ...rest, disputed: true };
  if (inquiry) return { ok: true, dispute, charge: disputed, events: ["charge.dispute.created"] };
  return chargeBack(dispute, disputed, now, "charge.dispute.created");
}

function chargeBack(dispute: Dispute, charge: Charge, now: number, event: DisputeEvent): DisputeStep {
  return {
    ok: true,
    dispute: { ...dispute, status: "needs_response", withdrawnAt: now },
    charge: { ...charge, chargedBack: true },
    events: [event, "charge.dispute.funds_withdrawn"],
  };
}

export const takesEvidence = ({ status }: Dispute): boolean =>
  status === "needs_response" || status === "warning_needs_response";

/** The words in `uncategorized_text` that decide a test dispute. */
const verdictOf: Readonly<Record<string, Verdict>> = {
  winning_evidence: "won",
  losing_evidence: "lost",
  escalate_inquiry_evidence: "escalated",
};
export const verdictByEvidence = ({ evidence }: Dispute): Verdict | undefined =>
  verdictOf[evidence["uncategorized_text"] ?? ""];

export interface EvidenceChange {
  readonly evidence: Readonly<Record<string, string>>;
  readonly submit: boolean;
  /** Milliseconds: when the bank decides on evidence that says how. */
  readonly settlesAt: number;
}

export function giveEvidence(
  dispute: Dispute,
  charge: Charge,
  { evidence, submit, settlesAt }: EvidenceChange,
): DisputeStep | Refusal {
  if (!takesEvidence(dispute))
    return {
      ok: false,
      code: "",
      message: `Evidence can't be changed: this dispute has a status of ${dispute.status}.`,
      param: "evidence",
    };
  const given: Dispute = { ...dispute, evidence };
  const events = ["charge.dispute.updated"] as const;
  if (!submit) return { ok: true, dispute: given, charge, events };
  const { actsAt: _, ...waiting } = given;
  return {
    ok: true,
    dispute: {
      ...waiting,
      status: dispute.status === "needs_response" ? "under_review" : "warning_under_review",
      submissions: dispute.submissions + 1,
      ...(verdictByEvidence(given) === undefined ? {} : { actsAt: settlesAt }),
    },
    charge,
    events,
  };
}

const isInquiry = ({ status }: Dispute): boolean => status.startsWith("warning_");
const isClosed = ({ status }: Dispute): boolean => status === "won" || status === "lost" || status === "warning_closed";

/** The bank's word. Of an inquiry only its escalation matters: whatever else it says closes it, and no money moves. */
export function decideDispute(
  dispute: Dispute,
  charge: Charge,
  verdict: Verdict,
  { now, dueBy }: { readonly now: number; readonly dueBy: number },
): DisputeStep | Refusal {
  if (isClosed(dispute) || (verdict === "escalated" && !isInquiry(dispute)))
    return { ok: false, code: "", message: `A dispute with a status of ${dispute.status} can't be ${verdict}.` };
  const { actsAt: _, ...rest } = dispute;
  if (verdict === "escalated")
    return chargeBack({ ...rest, dueBy, actsAt: dueBy * 1000 }, charge, now, "charge.dispute.updated");
  if (isInquiry(dispute))
    return { ok: true, dispute: { ...rest, status: "warning_closed" }, charge, events: ["charge.dispute.closed"] };
  if (verdict === "lost")
    return { ok: true, dispute: { ...rest, status: "lost" }, charge, events: ["charge.dispute.closed"] };
  return {
    ok: true,
    dispute: { ...rest, status: "won", reinstatedAt: now },
    charge: { ...charge, chargedBack: false },
    events: ["charge.dispute.funds_reinstated", "charge.dispute.closed"],
  };
}

/** Money that a dispute keeps from the account. */
export const withheld = ({ amount, withdrawnAt, reinstatedAt }: Dispute): number =>
  withdrawnAt === undefined || reinstatedAt !== undefined ? 0 : amount;
