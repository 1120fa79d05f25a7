// How a checkout ends: its tickets are issued, or it ends without, once and never both, whatever is sent twice.
import { DomainError } from "@onsale/kit/errors";
import type { TicketStore } from "./store.js";
import {
  isId,
  isSamePurchase,
  isText,
  type Order,
  orderFrom,
  type Purchase,
  type Ticket,
  ticketIdFor,
} from "./tickets.js";
import type { TokenSigner } from "./tokens.js";

export interface IssueParts {
  readonly store: TicketStore;
  readonly signer: TokenSigner;
  readonly now: () => number;
}

/**
 * The checkout's order: made now, or by an earlier call. REQUEST_INVALID for a purchase that does not add up, CHECKOUT_CANCELLED when the
 * checkout has ended without an order.
 */
export async function issueTickets({ store, signer, now }: IssueParts, purchase: Purchase): Promise<Order> {
  const decision = orderFrom(purchase, now());
  if (!decision.ok) throw new DomainError("REQUEST_INVALID", decision.problem);
  const { order } = decision;

  const before = await store.order(order.checkoutId);
  if (before) return same(before, order);
  const tickets = await Promise.all(order.seats.map((seat) => signedTicket(order, seat, signer)));
  const outcome = await store.add(order, tickets);
  if (outcome === "added") return order;
  if (outcome === "ended") throw new DomainError("CHECKOUT_CANCELLED", "The checkout has ended without an order.");
  // Someone holds a valid ticket for a seat that this checkout has claimed and paid: never to be papered over.
  if (outcome === "seat taken")
    throw new Error(`Checkout ${order.checkoutId} has a seat with a valid ticket of another order.`);
  const stored = await store.order(order.checkoutId);
  if (!stored) throw new DomainError("UNAVAILABLE", "The order is being written. Please try again.");
  return same(stored, order);
}

/**
 * Ends a checkout without an order, for good; if it has an order, that is the answer and nothing is written. Of an order and an end, the first to
 * be written stands. Refusal: REQUEST_INVALID.
 */
export async function endCheckout(
  store: TicketStore,
  { checkoutId, reason }: { readonly checkoutId: string; readonly reason: string },
): Promise<Order | undefined> {
  if (!isId(checkoutId) || !isText(reason, 200))
    throw new DomainError("REQUEST_INVALID", "Say which checkout ends, and why, by a code.");
  if (await store.end(checkoutId, reason)) return undefined;
  const order = await store.order(checkoutId);
  // An end of long ago may go away just now; the next try writes a new one.
  if (!order) throw new DomainError("UNAVAILABLE", "The checkout's end is being written. Please try again.");
  return order;
}

function same(stored: Order, asked: Order): Order {
  if (!isSamePurchase(stored, asked))
    throw new Error(`Checkout ${stored.checkoutId} was issued with other seats or another amount.`);
  return stored;
}

async function signedTicket(order: Order, seat: Order["seats"][number], signer: TokenSigner): Promise<Ticket> {
  const { checkoutId, userId, event, currency, createdAtMs: issuedAtMs } = order;
  const ticketId = ticketIdFor(checkoutId, seat.seatId);
  const token = await signer.sign({ ticketId, eventId: event.eventId, seatId: seat.seatId, issuedAtMs });
  return { ticketId, checkoutId, userId, event, seat, currency, issuedAtMs, token, disputed: false };
}
