// Finding orders for those who look after them: by order, ticket, buyer or seat, by refunds that wait for somebody, or by change.
import { DomainError } from "@onsale/kit/errors";
import { pageFrom, programs, readPage } from "./pages.js";
import type { StoredOrder, TicketStore } from "./store.js";
import {
  type Dispute,
  disputeOrderMs,
  isOpen,
  type Order,
  type OrderStatus,
  type Refund,
  type RefundState,
  statusOf,
} from "./tickets.js";

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

function checkEvents(eventIds: readonly string[]): void {
  if (eventIds.length > mostEvents)
    throw new DomainError("REQUEST_INVALID", `Orders of at most ${mostEvents} events can be looked for at once.`);
}

/** Newest first. A page by seat may be shorter than asked for, and not the last. Refusal: REQUEST_INVALID. */
export async function searchOrders(
  store: TicketStore,
  wish: SearchWish,
): Promise<{ readonly entries: readonly Order[]; readonly nextCursor: string }> {
  const { eventIds, status, checkoutId, ticketId, userId, seatId, cursor } = wish;
  const page = readPage(cursor, wish.limit);
  checkEvents(eventIds);
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

export interface RefundList {
  readonly state: RefundState | undefined;
  /** In that state since before then; 0: any time. */
  readonly beforeMs: number;
  readonly eventIds: readonly string[];
  readonly cursor: string;
  readonly limit: number;
}

/** Refunds under way, or failed, oldest first; a page is of orders. Refusal: REQUEST_INVALID. */
export async function listRefunds(
  store: TicketStore,
  { state, beforeMs, eventIds, cursor, limit }: RefundList,
): Promise<{
  readonly entries: readonly { readonly order: Order; readonly refund: Refund }[];
  readonly nextCursor: string;
}> {
  if (state !== "pending" && state !== "failed")
    throw new DomainError("REQUEST_INVALID", "Refunds are listed that are pending or failed.");
  checkEvents(eventIds);
  const page = readPage(cursor, limit, programs);
  const found = await store.ordersWithRefunds({ state, beforeMs, eventIds, page });
  const fits = (refund: Refund) => refund.state === state && (beforeMs === 0 || refund.atMs < beforeMs);
  const { entries, nextCursor } = pageFrom(found, page.limit, (order) => ({
    atMs: order.refunds
      .filter((refund) => refund.state === state)
      .reduce((least, { atMs }) => Math.min(least, atMs), Number.MAX_SAFE_INTEGER),
    id: order.checkoutId,
  }));
  return {
    entries: entries.flatMap((order) => order.refunds.filter(fits).map((refund) => ({ order, refund }))),
    nextCursor,
  };
}

export interface DisputeList {
  readonly decided: boolean;
  readonly eventIds: readonly string[];
  readonly cursor: string;
  readonly limit: number;
}

/** Open disputes, the first that wants an answer first; or decided ones, oldest first. A page is of orders. Refusal: REQUEST_INVALID. */
export async function listDisputes(
  store: TicketStore,
  { decided, eventIds, cursor, limit }: DisputeList,
): Promise<{
  readonly entries: readonly { readonly order: Order; readonly dispute: Dispute }[];
  readonly nextCursor: string;
}> {
  checkEvents(eventIds);
  const page = readPage(cursor, limit, programs);
  const wanted = ({ disputes }: Order) =>
    disputes.filter((dispute) => isOpen(dispute) !== decided).sort((a, b) => disputeOrderMs(a) - disputeOrderMs(b));
  const found = await store.ordersWithDisputes({ decided, eventIds, page });
  const { entries, nextCursor } = pageFrom(found, page.limit, (order) => {
    const [first] = wanted(order);
    return { atMs: first ? disputeOrderMs(first) : 0, id: order.checkoutId };
  });
  return { entries: entries.flatMap((order) => wanted(order).map((dispute) => ({ order, dispute }))), nextCursor };
}

export interface ChangeList {
  readonly changedSinceMs: number;
  /** 0: until now. */
  readonly changedBeforeMs: number;
  readonly cursor: string;
  readonly limit: number;
}

/** Orders by their last change, oldest first. Refusal: REQUEST_INVALID. */
export async function listChangedOrders(
  store: TicketStore,
  { changedSinceMs, changedBeforeMs, cursor, limit }: ChangeList,
): Promise<{ readonly entries: readonly StoredOrder[]; readonly nextCursor: string }> {
  const page = readPage(cursor, limit, programs);
  const found = await store.ordersByChange({ sinceMs: changedSinceMs, beforeMs: changedBeforeMs, page });
  return pageFrom(found, page.limit, (order) => ({ atMs: order.changedAtMs, id: order.checkoutId }));
}
