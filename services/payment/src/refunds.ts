// The refunds of a payment, ours and those made at Stripe itself: what each gives back, and how Stripe's list and ours become
// one. Pure.

export interface RefundEntry {
  readonly refundId: string;
  /** As the caller asked: 0 is "all that is left". */
  readonly requested: number;
  /** What it came to, fixed before Stripe was asked. Minor units. */
  readonly amount: number;
  /** open: sent to Stripe or about to be. The others are Stripe's words. */
  readonly status: "open" | "pending" | "requires_action" | "succeeded" | "failed" | "canceled";
  readonly stripeRefundId?: string;
  readonly createdAtMs?: number;
  readonly failureReason?: string;
  /** Made at Stripe itself, by its dashboard or another program: refundId is Stripe's. */
  readonly outside?: true;
  readonly generation: number;
}

/** A refund as Stripe tells it. */
export interface RefundSnapshot {
  readonly stripeRefundId: string;
  /** From the metadata that we gave it; one that was made at Stripe itself has none. */
  readonly refundId?: string;
  readonly checkoutId?: string;
  readonly amount: number;
  readonly status: Exclude<RefundEntry["status"], "open">;
  readonly createdAtMs: number;
  /** Stripe's word. */
  readonly failureReason?: string;
}

/** What Stripe's refunds give back: the failed and cancelled ones nothing. */
export const givenBy = (refunds: readonly Pick<RefundEntry, "amount" | "status">[]): number =>
  refunds.reduce((sum, { amount, status }) => sum + (status === "failed" || status === "canceled" ? 0 : amount), 0);

/** An entry with Stripe's word on it. */
export const toldRefund = (
  entry: RefundEntry,
  { stripeRefundId, status, createdAtMs, failureReason }: RefundSnapshot,
): RefundEntry => ({
  ...entry,
  stripeRefundId,
  status,
  createdAtMs,
  ...(failureReason === undefined ? {} : { failureReason }),
});

/** The entry of a refund that is known from Stripe only; without our metadata it was made there. */
export function foundRefund(told: RefundSnapshot, checkoutId: string): RefundEntry {
  const { stripeRefundId, amount, status } = told;
  const isOurs = told.refundId !== undefined && told.checkoutId === checkoutId;
  const refundId = isOurs ? told.refundId : stripeRefundId;
  const entry = { refundId, requested: amount, amount, status, generation: 0 };
  return toldRefund(isOurs ? entry : { ...entry, outside: true }, told);
}

/** What we know and all that Stripe has, together, oldest first; what isn't known to be at Stripe comes last. */
export function mergeRefunds(
  ours: readonly RefundEntry[],
  told: readonly RefundSnapshot[],
  checkoutId: string,
): readonly RefundEntry[] {
  let merged = ours;
  for (const each of told) {
    const { stripeRefundId, amount } = each;
    const entry =
      merged.find((known) => known.stripeRefundId === stripeRefundId) ??
      merged.find(
        (known) => known.stripeRefundId === undefined && known.refundId === each.refundId && known.amount === amount,
      );
    if (entry) {
      merged = merged.map((known) => (known === entry ? toldRefund(entry, each) : known));
      continue;
    }
    const found = foundRefund(each, checkoutId);
    // Somebody at Stripe wrote another refund's id into the metadata: that doesn't make it that refund.
    const isTaken = merged.some(({ refundId }) => refundId === found.refundId);
    merged = [...merged, isTaken ? { ...found, refundId: stripeRefundId, outside: true } : found];
  }
  const age = ({ createdAtMs }: RefundEntry) => createdAtMs ?? Number.POSITIVE_INFINITY;
  return [...merged].sort((one, other) => (age(one) === age(other) ? 0 : age(one) - age(other)));
}
