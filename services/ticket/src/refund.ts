// A refund on its order, from its wish to its end, and what Stripe says later: each a decision on the order as it is, written once.
import { DomainError } from "@onsale/kit/errors";
import {
  type RefundWish,
  type Reservation,
  withClosed,
  withoutReservation,
  withPaid,
  withReservation,
} from "./refunds.js";
import type { TicketChange, TicketStore } from "./store.js";
import { type StripesWord, voidByStripe, withAnswer, withStripesWord } from "./stripes-word.js";
import { isDisputed, isText, type Order, type Refund, ticketIdFor, voidedSeatIds } from "./tickets.js";

export interface VoidWish {
  readonly checkoutId: string;
  readonly refundId: string;
  /** Empty: all that are left. */
  readonly seatIds: readonly string[];
  /** Minor units. */
  readonly amount: number;
}

const tries = 8;

/** The order as it is now. ORDER_NOT_FOUND; REQUEST_INVALID for seats of another order or more money than was paid. */
export async function voidTickets(store: TicketStore, wish: VoidWish, nowMs: number): Promise<Order> {
  return await changed(store, wish.checkoutId, nowMs, (order) => {
    const decision = withPaid(order, wish, nowMs);
    if (!decision.ok) throw new DomainError("REQUEST_INVALID", decision.problem);
    return decision;
  });
}

/**
 * Sets the refund's seats and money aside. Two refunds at once never get the same. Refusals: ORDER_NOT_FOUND, SEAT_UNKNOWN, SEAT_REFUNDED
 * (details.seats), REFUND_TOO_LARGE (details.left), REFUND_NOT_FOUND, REFUND_NOT_FAILED, REQUEST_INVALID.
 */
export async function reserveRefund(
  store: TicketStore,
  wish: RefundWish & { readonly checkoutId: string },
  nowMs: number,
): Promise<Refund> {
  const order = await changed(store, wish.checkoutId, nowMs, (before) => {
    const decision = withReservation(before, wish, nowMs);
    if (!decision.ok) throw refusalOf(decision);
    return decision;
  });
  const refund = order.refunds.find(({ refundId }) => refundId === wish.refundId);
  if (!refund) throw new Error(`Refund ${wish.refundId} was set aside and is not there.`);
  return refund;
}

function refusalOf(refusal: Extract<Reservation, { readonly ok: false }>): DomainError {
  switch (refusal.code) {
    case "SEAT_UNKNOWN":
      return new DomainError("SEAT_UNKNOWN", "Some of these seats are not part of the order.", {
        seats: refusal.seatIds,
      });
    case "SEAT_REFUNDED":
      return new DomainError("SEAT_REFUNDED", "These seats were given back already, or are about to be.", {
        seats: refusal.seatIds,
      });
    case "REFUND_TOO_LARGE":
      return new DomainError("REFUND_TOO_LARGE", "The refund is larger than what is left of these seats' money.", {
        left: refusal.left,
      });
    case "REQUEST_INVALID":
      return new DomainError("REQUEST_INVALID", refusal.problem);
    case "REFUND_NOT_FOUND":
    case "REFUND_NOT_FAILED":
      return noFailedRefund(refusal.code);
  }
}

const noFailedRefund = (code: "REFUND_NOT_FOUND" | "REFUND_NOT_FAILED"): DomainError =>
  code === "REFUND_NOT_FOUND"
    ? new DomainError(code, "The order has no refund with this id.")
    : new DomainError(code, "This refund has not failed, or has been seen to already.");

/** Gives a refund up that was set aside and not paid. Refusal: ORDER_NOT_FOUND. */
export async function dropRefund(
  store: TicketStore,
  { checkoutId, refundId }: { readonly checkoutId: string; readonly refundId: string },
  nowMs: number,
): Promise<void> {
  await changed(store, checkoutId, nowMs, (order) => ({ order: withoutReservation(order, refundId, nowMs) }));
}

/** A failed refund was paid another way. Refusals: ORDER_NOT_FOUND, REFUND_NOT_FOUND, REFUND_NOT_FAILED, REQUEST_INVALID. */
export async function closeRefund(
  store: TicketStore,
  wish: { readonly checkoutId: string; readonly refundId: string; readonly closedBy: string; readonly reason: string },
  nowMs: number,
): Promise<Order> {
  if (wish.closedBy === "" || wish.reason === "" || !isText(wish.closedBy, 200) || !isText(wish.reason, 500))
    throw new DomainError("REQUEST_INVALID", "Say who paid it another way, and how, in at most 500 characters.");
  return await changed(store, wish.checkoutId, nowMs, (order) => {
    const decision = withClosed(order, wish, nowMs);
    if (!decision.ok) throw noFailedRefund(decision.code);
    return decision;
  });
}

/** Takes over what Stripe says of the order's money. Refusal: ORDER_NOT_FOUND. */
export async function recordPayment(
  store: TicketStore,
  { checkoutId, ...word }: StripesWord & { readonly checkoutId: string },
  nowMs: number,
): Promise<{ readonly order: Order; readonly voidSeatIds: string[] }> {
  const order = await changed(store, checkoutId, nowMs, (before) => ({ order: withStripesWord(before, word, nowMs) }));
  return { order, voidSeatIds: voidByStripe(order) };
}

/** Somebody has answered the bank. Refusals: ORDER_NOT_FOUND, DISPUTE_NOT_FOUND, REQUEST_INVALID. */
export async function recordAnswer(
  store: TicketStore,
  wish: { readonly checkoutId: string; readonly disputeId: string; readonly answeredBy: string },
  nowMs: number,
): Promise<Order> {
  const { checkoutId, disputeId, answeredBy } = wish;
  if (answeredBy === "" || !isText(answeredBy, 200)) throw new DomainError("REQUEST_INVALID", "Say who answered it.");
  return await changed(store, checkoutId, nowMs, (before) => {
    const order = withAnswer(before, disputeId, answeredBy, nowMs);
    if (!order) throw new DomainError("DISPUTE_NOT_FOUND", "The order has no dispute with this id.");
    return { order };
  });
}

/** Decides on the order as it is, and again when it has changed meanwhile; its tickets follow it in the same write. */
async function changed(
  store: TicketStore,
  checkoutId: string,
  nowMs: number,
  decide: (order: Order) => { readonly order: Order },
): Promise<Order> {
  for (let attempt = 1; attempt <= tries; attempt += 1) {
    const before = await store.order(checkoutId);
    if (!before) throw new DomainError("ORDER_NOT_FOUND", "There is no order for this checkout.");
    const { order } = decide(before);
    if (order === before) return order;
    if (await store.replaceOrder({ ...order, version: before.version }, ticketChange(before, order), nowMs))
      return order;
  }
  throw new DomainError("UNAVAILABLE", "This order is being changed by others at once. Please try again.");
}

function ticketChange(before: Order, after: Order): TicketChange {
  const gone = voidedSeatIds(before);
  const voided = [...voidedSeatIds(after)].filter((seatId) => !gone.has(seatId));
  const disputed = isDisputed(after);
  return {
    voidedTicketIds: voided.map((seatId) => ticketIdFor(after.checkoutId, seatId)),
    disputed: disputed === isDisputed(before) ? undefined : disputed,
  };
}
