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

/** Each in its turn, so that no money is two seats'. An amount could be larger than its seats' price then: the rest is the others'. */
export function refundsFrom(order: Omit<Order, "refunds">, stored: readonly (Refund | OldRefund)[]): readonly Refund[] {
  const refunds: Refund[] = [];
  for (const refund of stored)
    refunds.push("kind" in refund ? refund : named({ ...order, refunds: [...refunds] }, refund));
  return refunds;
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
