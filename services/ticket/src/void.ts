// Makes the tickets of a refund worthless and writes the refund on the order: once a refund id.
import { DomainError } from "@onsale/kit/errors";
import type { TicketStore } from "./store.js";
import { type Order, ticketIdFor, withRefund } from "./tickets.js";

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
