// What of an order can still be given back, and what stands in its way: read from what the API says of it. Pure.
import type { Schemas } from "../../api/client.js";

type Standing = Pick<Schemas["Order"], "seats" | "refundedSeats" | "refunds" | "disputes">;
type Seat = Schemas["Order"]["seats"][number];

/** Seats whose tickets are valid, and not about to be void. */
export function openSeats({ seats, refundedSeats, refunds }: Standing): Seat[] {
  const under = refunds.filter(({ state }) => state === "pending").flatMap((refund) => refund.seats);
  const out = new Set([...refundedSeats, ...under]);
  return seats.filter(({ seatId }) => !out.has(seatId));
}

export const leftOf = (seats: readonly Seat[]): number => seats.reduce((sum, { left }) => sum + left, 0);

export const failedRefunds = ({ refunds }: Pick<Standing, "refunds">) =>
  refunds.filter(({ state }) => state === "failed");

/** The bank has not decided yet. */
export const openDispute = ({ disputes }: Pick<Standing, "disputes">) =>
  disputes.find(({ status }) => /needs_response$|under_review$/.test(status));

export const orderStatusKeys = {
  completed: "orderPaid",
  refunded: "orderRefunded",
  partially_refunded: "orderPartly",
  voided: "orderVoid",
} as const;

export const refundKindKeys = {
  return: "refundKindReturn",
  goodwill: "refundKindGoodwill",
  void: "refundKindVoid",
  outside: "refundKindOutside",
  dispute: "refundKindDispute",
} as const;

export const refundStateKeys = {
  pending: "refundStatePending",
  paid: "refundStatePaid",
  failed: "refundStateFailed",
  replaced: "refundStateReplaced",
  closed: "refundStateClosed",
} as const;
