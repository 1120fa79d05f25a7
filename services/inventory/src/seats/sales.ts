// What checkouts have bought, read from the claims: for those who look for claims that nothing stands behind.
import { DomainError } from "@onsale/kit/errors";
import { type EventRecord, isId } from "../events/events.js";
import type { KnownEvents } from "../events/known-events.js";
import { findSeats } from "../hall/find-seats.js";
import type { ClaimStore } from "./claim-store.js";
import { describeSeat } from "./held-seats.js";
import type { HeldSeat } from "./hold-request.js";

export interface Sale {
  readonly event: EventRecord;
  readonly userId: string;
  /** Those that are still its own, in the order in which they were claimed. */
  readonly seats: readonly HeldSeat[];
  /** It has given none back. */
  readonly whole: boolean;
  /** Minor units: of these seats. */
  readonly amount: number;
}

export interface ListedSale {
  readonly eventId: string;
  readonly checkoutId: string;
  /** When it claimed its seats. */
  readonly atMs: number;
}

export interface SalesPage {
  readonly sinceMs: number;
  readonly beforeMs: number;
  readonly cursor: string;
  /** 0: 200. */
  readonly limit: number;
}

const mostAtOnce = 500;
const mostClaimsAtOnce = 1_000;

export type Sales = ReturnType<typeof createSales>;

export function createSales({
  store,
  events,
}: {
  readonly store: { readonly claims: ClaimStore };
  readonly events: KnownEvents;
}) {
  return {
    /** undefined: it has claimed nothing, or all of it is back. Refusals: EVENT_NOT_FOUND, REQUEST_INVALID. */
    async of(eventId: string, checkoutId: string): Promise<Sale | undefined> {
      if (!isId(checkoutId)) throw new DomainError("REQUEST_INVALID", "That is not a checkout's id.");
      const event = await events.published(eventId);
      const sale = await store.claims.saleOf(eventId, checkoutId);
      const own = new Set(sale?.claims.map(({ seatId }) => seatId));
      const [first] = sale?.claims ?? [];
      if (!sale || !first) return undefined;
      const layout = await events.layoutOf(event.layoutVersion);
      const left = sale.seatIds.filter((seatId) => own.has(seatId));
      const seats = findSeats(layout, left).map((seat) => describeSeat(event, seat));
      return {
        event,
        userId: first.userId,
        seats,
        whole: left.length === sale.seatIds.length,
        amount: seats.reduce((sum, { amount }) => sum + amount, 0),
      };
    },

    /** Whose checkouts have claims in an event: those among the next so many claims, by their seats' ids. Refusals: REQUEST_INVALID. */
    async claimants(
      eventId: string,
      cursor: string,
      limit: number,
    ): Promise<{ checkoutIds: string[]; nextCursor: string }> {
      if (!isId(eventId) || /[\p{C}\s]/u.test(cursor) || cursor.length > 64)
        throw new DomainError("REQUEST_INVALID", "The event's id or the cursor is not one.");
      if (!Number.isInteger(limit) || limit < 0 || limit > mostClaimsAtOnce)
        throw new DomainError("REQUEST_INVALID", `At most ${mostClaimsAtOnce} claims can be looked at in one go.`);
      const most = limit === 0 ? mostClaimsAtOnce / 2 : limit;
      const found = await store.claims.after(eventId, cursor, most);
      const sold = found.filter(({ kind }) => kind !== "block");
      return {
        checkoutIds: [...new Set(sold.map(({ checkoutId }) => checkoutId))],
        nextCursor: found.length === most ? (found.at(-1)?.seatId ?? "") : "",
      };
    },

    /** Refusal: REQUEST_INVALID. */
    async between({
      sinceMs,
      beforeMs,
      cursor,
      limit,
    }: SalesPage): Promise<{ sales: ListedSale[]; nextCursor: string }> {
      if (![sinceMs, beforeMs].every((ms) => Number.isSafeInteger(ms) && ms >= 0))
        throw new DomainError("REQUEST_INVALID", "The times must be milliseconds since 1970.");
      if (!Number.isInteger(limit) || limit < 0 || limit > mostAtOnce)
        throw new DomainError("REQUEST_INVALID", `At most ${mostAtOnce} sales can be listed in one go.`);
      const most = limit === 0 ? 200 : limit;
      const found = await store.claims.salesBetween(sinceMs, beforeMs, readCursor(cursor), most);
      const last = found.at(-1);
      return {
        sales: found.map(({ eventId, checkoutId, atMs }) => ({ eventId, checkoutId, atMs })),
        nextCursor: found.length === most && last ? `${last.atMs}.${last.id}` : "",
      };
    },
  };
}

function readCursor(cursor: string): { atMs: number; id: string } | undefined {
  if (cursor === "") return undefined;
  const [, atMs, id] = /^(\d{1,15})\.([\x21-\x7e]{1,200})$/.exec(cursor) ?? [];
  if (atMs === undefined || id === undefined)
    throw new DomainError("REQUEST_INVALID", "The cursor is not one of this list. Start again without it.");
  return { atMs: Number(atMs), id };
}
