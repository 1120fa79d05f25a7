// What Stripe says of an order's money, taken over: refunds made there, refunds that the bank sent back, disputes.
import { allocation } from "./allocation.js";
import { owedAgain, paid, replaced, withChanged } from "./refunds.js";
import { amountRefunded, type Dispute, type Order, type Refund, type RefundState, voidedSeatIds } from "./tickets.js";

export interface StripeRefund {
  /** Ours; of one made at Stripe itself: Stripe's. */
  readonly refundId: string;
  readonly amount: number;
  /** Stripe's word. */
  readonly status: string;
  readonly failureReason: string;
  readonly createdAtMs: number;
  readonly outside: boolean;
}

export interface StripesWord {
  readonly refunds: readonly StripeRefund[];
  readonly disputes: readonly Dispute[];
}

/** The order as Stripe's word makes it; unchanged by what is known, and by what is older than what is known. */
export function withStripesWord(order: Order, { refunds, disputes }: StripesWord, nowMs: number): Order {
  const inTime = [...refunds].sort((a, b) => a.createdAtMs - b.createdAtMs || (a.refundId < b.refundId ? -1 : 1));
  const refunded = inTime.reduce((sofar, refund) => withStripeRefund(sofar, refund, nowMs), order);
  return disputes.reduce((sofar, dispute) => withDispute(sofar, dispute, nowMs), refunded);
}

/** Whose tickets have become void by Stripe's word, however long ago. */
export const voidByStripe = ({ refunds }: Order): string[] => [
  ...new Set(
    refunds
      .filter(({ kind, state }) => (kind === "outside" || kind === "dispute" ? state !== "pending" : hasFailed(state)))
      .flatMap(({ seatIds }) => seatIds),
  ),
];

const hasFailed = (state: RefundState): boolean => state === "failed" || state === "replaced" || state === "closed";

const stateSaid: Readonly<Record<string, "pending" | "paid" | "failed">> = {
  pending: "pending",
  requires_action: "pending",
  succeeded: "paid",
  failed: "failed",
  canceled: "failed",
};

function withStripeRefund(order: Order, said: StripeRefund, nowMs: number): Order {
  const state = stateSaid[said.status];
  if (state === undefined || said.amount <= 0) return order;
  const known = order.refunds.find(({ refundId }) => refundId === said.refundId);
  if (!known) return withOutside(order, said, state, nowMs);
  if (said.status === "canceled" && neverMind(known)) return withoutOutside(order, known, nowMs);
  if (known.state === "pending" && state === "paid")
    return allBack(withChanged(order, paid(order, known, said.amount, nowMs)), known.refundId);
  // The tickets of a pending one become void here, too: whoever asked has given them back, and the money is owed.
  if (state === "failed" && (known.state === "pending" || known.state === "paid"))
    return withChanged(order, { ...known, state, failureReason: said.failureReason, atMs: nowMs });
  return order;
}

/** One that the order does not know: made at Stripe, or ours, and its trace was lost. */
function withOutside(order: Order, said: StripeRefund, state: "pending" | "paid" | "failed", nowMs: number): Order {
  // Ours that failed and that nobody knows was given up because it failed; whoever cancels theirs wants nothing to have happened.
  if (state === "failed" && (!said.outside || said.status === "canceled")) return order;
  // Who gives exactly what is owed pays what is owed.
  const owed = order.refunds.find((one) => one.state === "failed" && one.amount === said.amount);
  const pays = state === "failed" ? undefined : owed;
  const { refundId, amount, failureReason } = said;
  const madeAtMs = said.createdAtMs || nowMs;
  const refund: Refund = {
    refundId,
    kind: "outside",
    state,
    seatIds: [],
    amount,
    money: pays ? pays.money : allocation(order, amount, []),
    requestedAtMs: madeAtMs,
    atMs: state === "failed" ? nowMs : madeAtMs,
    requestedBy: "stripe",
    reason: "",
    ...(failureReason === "" ? {} : { failureReason }),
    ...(pays && { insteadOf: pays.refundId }),
  };
  const before = pays ? replaced(order, pays, refundId, nowMs) : order;
  const after = { ...before, refunds: [...before.refunds, refund] };
  return state === "paid" ? allBack(after, refundId) : after;
}

/** Begun at Stripe and taken back there, before a ticket was void by it: nobody is owed anything. */
const neverMind = ({ kind, state, seatIds }: Refund): boolean =>
  kind === "outside" && (state === "pending" || state === "paid") && seatIds.length === 0;

/** What it was to pay is owed again. */
function withoutOutside(order: Order, cancelled: Refund, nowMs: number): Order {
  const refunds = order.refunds
    .filter((refund) => refund !== cancelled)
    .map((refund) => (refund.replacedBy === cancelled.refundId ? owedAgain(refund, nowMs) : refund));
  return { ...order, refunds };
}

/** Money that went back at Stripe, or by the bank, takes the tickets with it when it was the last of the order's. */
function allBack(order: Order, refundId: string): Order {
  const refund = order.refunds.find((one) => one.refundId === refundId);
  if (!refund || (refund.kind !== "outside" && refund.kind !== "dispute")) return order;
  if (amountRefunded(order) < order.amount) return order;
  const voided = voidedSeatIds(order);
  const seatIds = order.seats.map(({ seatId }) => seatId).filter((seatId) => !voided.has(seatId));
  return withChanged(order, { ...refund, seatIds });
}

/** How far a dispute is. An inquiry may become a chargeback, also after it was closed; a decision is final. */
const stages = [
  ["warning_needs_response"],
  ["warning_under_review"],
  ["warning_closed"],
  ["needs_response"],
  ["under_review"],
  ["won", "lost", "prevented"],
];
const stageOf = (status: string): number => stages.findIndex((stage) => stage.includes(status));

function withDispute(order: Order, said: Dispute, nowMs: number): Order {
  const known = order.disputes.find(({ disputeId }) => disputeId === said.disputeId);
  const stage = stageOf(said.status);
  if (stage < 0 || (known && (stage < stageOf(known.status) || isSame(known, said) || isDecided(known)))) return order;
  const disputes = known
    ? order.disputes.map((dispute) => (dispute === known ? { ...said, ...answerOf(known, said) } : dispute))
    : [...order.disputes, said];
  const told = { ...order, disputes };
  return said.status === "lost" ? withLost(told, said, nowMs) : told;
}

/** What Stripe does not know of a dispute. An inquiry that became a chargeback wants another answer. */
function answerOf(known: Dispute, said: Dispute): Pick<Dispute, "answeredAtMs" | "answeredBy"> {
  const { status, answeredAtMs, answeredBy } = known;
  const asksAgain = said.status === "needs_response" && status !== said.status;
  return answeredAtMs === undefined || asksAgain ? {} : { answeredAtMs, answeredBy };
}

/** The order once somebody has answered the bank; the first who is told stands. Undefined: it has no such dispute. */
export function withAnswer(order: Order, disputeId: string, answeredBy: string, nowMs: number): Order | undefined {
  const known = order.disputes.find((dispute) => dispute.disputeId === disputeId);
  if (!known || known.answeredAtMs !== undefined) return known && order;
  const answered = { ...known, answeredAtMs: nowMs, answeredBy };
  return { ...order, disputes: order.disputes.map((dispute) => (dispute === known ? answered : dispute)) };
}

const isDecided = ({ status }: Dispute): boolean => stageOf(status) === stages.length - 1;

const isSame = (one: Dispute, other: Dispute): boolean =>
  one.status === other.status &&
  one.amount === other.amount &&
  one.reason === other.reason &&
  one.evidenceDueMs === other.evidenceDueMs;

function withLost(order: Order, { disputeId, amount, reason }: Dispute, nowMs: number): Order {
  if (order.refunds.some(({ refundId }) => refundId === disputeId)) return order;
  const refund: Refund = {
    refundId: disputeId,
    kind: "dispute",
    state: "paid",
    seatIds: [],
    amount,
    money: allocation(order, amount, []),
    requestedAtMs: nowMs,
    atMs: nowMs,
    requestedBy: "stripe",
    reason,
  };
  return allBack({ ...order, refunds: [...order.refunds, refund] }, disputeId);
}
