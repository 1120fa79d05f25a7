// A refund on its order: seats and money set aside for it; then, once the money is back, its tickets worthless. Once a refund id.
import { DomainError } from "@onsale/kit/errors";
import type { TicketStore } from "./store.js";
import {
  type Order,
  type Refund,
  type RefundWish,
  ticketIdFor,
  withoutReservation,
  withRefund,
  withReservation,
} from "./tickets.js";

export interface VoidWish {
  readonly checkoutId: string;
  readonly refundId: string;
  /** Empty: all that are left. */
  readonly seatIds: readonly string[];
  /** Minor units. */
  readonly amount: number;
}

const tries = 5;

/** The order as it is now. ORDER_NOT_FOUND; REQUEST_INVALID for seats of another order or more money than was paid. */
export async function voidTickets(store: TicketStore, wish: VoidWish, nowMs: number): Promise<Order> {
  for (let attempt = 1; attempt <= tries; attempt += 1) {
    const order = await store.order(wish.checkoutId);
    if (!order) throw new DomainError("ORDER_NOT_FOUND", "There is no order for this checkout.");
    const decision = withRefund(order, wish, nowMs);
    if (!decision.ok) throw new DomainError("REQUEST_INVALID", decision.problem);
    if (decision.order === order) return order;
    const ticketIds = decision.voided.map((seatId) => ticketIdFor(order.checkoutId, seatId));
    if (await store.replaceOrder({ ...decision.order, version: order.version }, ticketIds, nowMs))
      return decision.order;
  }
  throw new DomainError("UNAVAILABLE", "Several refunds of this order run at once. Please try again.");
}

/**
 * Sets the refund's seats and money aside. Two refunds at once never get the same. Refusals: ORDER_NOT_FOUND, SEAT_UNKNOWN, SEAT_REFUNDED
 * (details.seats), REFUND_TOO_LARGE (details.left), REQUEST_INVALID.
 */
export async function reserveRefund(
  store: TicketStore,
  wish: RefundWish & { readonly checkoutId: string },
  nowMs: number,
): Promise<Refund> {
  if (!isRefundId(wish.refundId))
    throw new DomainError("REQUEST_INVALID", "A refund needs an id, so that a retry is not a second refund.");
  return await changed(store, wish.checkoutId, nowMs, (order) => {
    const decision = withReservation(order, wish, nowMs);
    if (decision.ok) return { order: decision.order, answer: decision.refund };
    switch (decision.code) {
      case "SEAT_UNKNOWN":
        throw new DomainError("SEAT_UNKNOWN", "Some of these seats are not part of the order.", {
          seats: decision.seatIds,
        });
      case "SEAT_REFUNDED":
        throw new DomainError("SEAT_REFUNDED", "These seats were given back already, or are about to be.", {
          seats: decision.seatIds,
        });
      case "REFUND_TOO_LARGE":
        throw new DomainError("REFUND_TOO_LARGE", "The refund is larger than what is left of the order.", {
          left: decision.left,
        });
    }
  });
}

/** Gives a refund up that was set aside and not paid. Refusal: ORDER_NOT_FOUND. */
export async function dropRefund(
  store: TicketStore,
  { checkoutId, refundId }: { readonly checkoutId: string; readonly refundId: string },
  nowMs: number,
): Promise<void> {
  await changed(store, checkoutId, nowMs, (order) => ({
    order: withoutReservation(order, refundId),
    answer: undefined,
  }));
}

/** Decides on the order as it is, and again when it has changed meanwhile. */
async function changed<Answer>(
  store: TicketStore,
  checkoutId: string,
  nowMs: number,
  decide: (order: Order) => { readonly order: Order; readonly answer: Answer },
): Promise<Answer> {
  for (let attempt = 1; attempt <= tries; attempt += 1) {
    const order = await store.order(checkoutId);
    if (!order) throw new DomainError("ORDER_NOT_FOUND", "There is no order for this checkout.");
    const decided = decide(order);
    if (decided.order === order) return decided.answer;
    if (await store.replaceOrder({ ...decided.order, version: order.version }, [], nowMs)) return decided.answer;
  }
  throw new DomainError("UNAVAILABLE", "Several refunds of this order run at once. Please try again.");
}

const isRefundId = (text: string): boolean => /^[\x21-\x7e]{1,200}$/.test(text);
