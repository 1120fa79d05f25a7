// Issues the tickets of a paid checkout: once, whatever is sent twice.
import { DomainError } from "@onsale/kit/errors";
import type { TicketStore } from "./store.js";
import { isSamePurchase, type Order, orderFrom, type Purchase, type Ticket, ticketIdFor } from "./tickets.js";
import type { TokenSigner } from "./tokens.js";

export interface IssueParts {
  readonly store: TicketStore;
  readonly signer: TokenSigner;
  readonly now: () => number;
}

/** The checkout's order: made now, or by an earlier call. REQUEST_INVALID for a purchase that does not add up. */
export async function issueTickets({ store, signer, now }: IssueParts, purchase: Purchase): Promise<Order> {
  const decision = orderFrom(purchase, now());
  if (!decision.ok) throw new DomainError("REQUEST_INVALID", decision.problem);
  const { order } = decision;

  const before = await store.order(order.checkoutId);
  if (before) return same(before, order);
  const tickets = await Promise.all(order.seats.map((seat) => signedTicket(order, seat, signer)));
  const outcome = await store.add(order, tickets);
  if (outcome === "added") return order;
  // Someone holds a valid ticket for a seat that this checkout has claimed and paid: never to be papered over.
  if (outcome === "seat taken")
    throw new Error(`Checkout ${order.checkoutId} has a seat with a valid ticket of another order.`);
  const stored = await store.order(order.checkoutId);
  if (!stored) throw new DomainError("UNAVAILABLE", "The order is being written. Please try again.");
  return same(stored, order);
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
  return { ticketId, checkoutId, userId, event, seat, currency, issuedAtMs, token };
}
