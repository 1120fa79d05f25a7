// Refunds as they were stored before they had a kind, a state and seats of their own: read as what they were.
import { allocation } from "./allocation.js";
import type { Order, Refund } from "./tickets.js";

export interface OldRefund {
  readonly refundId: string;
  readonly seatIds: readonly string[];
  readonly amount: number;
  readonly atMs: number;
  readonly pending?: true | undefined;
}

/** With what a process of before reads of a refund under way: both may serve at once, while a release rolls out or back. */
export type StoredRefund = Refund & Pick<OldRefund, "pending">;
export const storedRefund = (refund: Refund): StoredRefund =>
  refund.state === "pending" ? { ...refund, pending: true } : refund;

/** Each in its turn, so that no money is two seats'. An amount could be larger than its seats' price then: the rest is the others'. */
export function refundsFrom(
  order: Omit<Order, "refunds">,
  stored: readonly (StoredRefund | OldRefund)[],
): readonly Refund[] {
  const refunds: Refund[] = [];
  for (const refund of stored)
    refunds.push("kind" in refund ? withoutPending(refund) : named({ ...order, refunds: [...refunds] }, refund));
  return refunds;
}

function withoutPending({ pending: _, ...refund }: StoredRefund): Refund {
  return refund;
}

const named = (before: Order, { refundId, seatIds, amount, atMs, pending }: OldRefund): Refund => ({
  refundId,
  kind: seatIds.length > 0 ? "return" : "goodwill",
  state: pending ? "pending" : "paid",
  seatIds,
  amount,
  money: allocation(before, amount, seatIds),
  requestedAtMs: atMs,
  atMs,
  requestedBy: "",
  reason: "",
});
