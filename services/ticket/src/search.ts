// Finding orders for those who look after them: by order, ticket, buyer or seat, or simply the newest.
import { DomainError } from "@onsale/kit/errors";
import { pageFrom, readPage } from "./pages.js";
import type { TicketStore } from "./store.js";
import { type Order, type OrderStatus, statusOf } from "./tickets.js";

export interface SearchWish {
  /** None: of all events. */
  readonly eventIds: readonly string[];
  readonly status: OrderStatus | undefined;
  /** At most one of these four is not empty. */
  readonly checkoutId: string;
  readonly ticketId: string;
  readonly userId: string;
  readonly seatId: string;
  readonly cursor: string;
  /** 0: 20. */
  readonly limit: number;
}

const mostEvents = 500;

/** Newest first. A page by seat may be shorter than asked for, and not the last. Refusal: REQUEST_INVALID. */
export async function searchOrders(
  store: TicketStore,
  wish: SearchWish,
): Promise<{ readonly entries: readonly Order[]; readonly nextCursor: string }> {
  const { eventIds, status, checkoutId, ticketId, userId, seatId, cursor } = wish;
  const page = readPage(cursor, wish.limit);
  if (eventIds.length > mostEvents)
    throw new DomainError("REQUEST_INVALID", `Orders of at most ${mostEvents} events can be looked for at once.`);
  if ([checkoutId, ticketId, userId, seatId].filter((one) => one !== "").length > 1)
    throw new DomainError("REQUEST_INVALID", "Look for an order, a ticket, a buyer or a seat: one of them.");
  const fits = (order: Order) =>
    (eventIds.length === 0 || eventIds.includes(order.event.eventId)) &&
    (status === undefined || statusOf(order) === status);

  if (checkoutId !== "" || ticketId !== "") {
    const id = ticketId === "" ? checkoutId : (await store.ticket(ticketId))?.checkoutId;
    const order = id === undefined ? undefined : await store.order(id);
    return { entries: order && fits(order) ? [order] : [], nextCursor: "" };
  }
  if (seatId !== "") {
    if (eventIds.length === 0)
      throw new DomainError("REQUEST_INVALID", "A seat is looked for in events: name them too.");
    const found = await store.checkoutsWithSeat(seatId, eventIds, page);
    const { entries, nextCursor } = pageFrom(found, page.limit, (one) => ({
      atMs: one.issuedAtMs,
      id: one.checkoutId,
    }));
    const orders = new Map(
      (await store.ordersWith(entries.map((one) => one.checkoutId))).map((order) => [order.checkoutId, order]),
    );
    return { entries: entries.flatMap((one) => orders.get(one.checkoutId) ?? []).filter(fits), nextCursor };
  }
  const found = await store.orderPage({ eventIds, status, userId: userId === "" ? undefined : userId, page });
  return pageFrom(found, page.limit, (order) => ({ atMs: order.createdAtMs, id: order.checkoutId }));
}
