// Orders and tickets: what they are, which requests make sense, and what a refund changes.
import { derivedId } from "@onsale/kit/ids";
import { addAmounts } from "@onsale/kit/money";

export interface TicketEvent {
  readonly eventId: string;
  readonly name: string;
  readonly startsAtMs: number;
  readonly venueName: string;
  readonly city: string;
  readonly timeZone: string;
}

export interface Seat {
  readonly seatId: string;
  readonly sectionId: string;
  /** Empty in general admission. */
  readonly row: string;
  readonly number: string;
  readonly tierId: string;
  /** Minor units. */
  readonly amount: number;
}

export interface Refund {
  readonly refundId: string;
  readonly seatIds: readonly string[];
  /** Minor units. */
  readonly amount: number;
  readonly atMs: number;
  /** Seats and money are set aside, and the money has not gone back yet. */
  readonly pending?: true | undefined;
}

export const orderStatuses = ["completed", "partially_refunded", "refunded"] as const;
export type OrderStatus = (typeof orderStatuses)[number];

export interface Order {
  readonly checkoutId: string;
  readonly userId: string;
  readonly event: TicketEvent;
  readonly seats: readonly Seat[];
  readonly amount: number;
  readonly currency: string;
  readonly createdAtMs: number;
  readonly refunds: readonly Refund[];
}

export interface Ticket {
  readonly ticketId: string;
  readonly checkoutId: string;
  readonly userId: string;
  readonly event: TicketEvent;
  readonly seat: Seat;
  readonly currency: string;
  readonly issuedAtMs: number;
  /** Undefined while the ticket is valid. */
  readonly voidedAtMs?: number | undefined;
  /** Signed; the same for the ticket's whole life. */
  readonly token: string;
}

export type Decision<Value> = ({ readonly ok: true } & Value) | { readonly ok: false; readonly problem: string };

export const ticketIdFor = (checkoutId: string, seatId: string): string => derivedId("tkt", checkoutId, seatId);

export interface Purchase {
  readonly checkoutId: string;
  readonly userId: string;
  readonly event: TicketEvent | undefined;
  readonly seats: readonly Seat[];
  readonly amount: number;
  readonly currency: string;
}

/** More seats than any sale allows; an order is one document and one transaction. */
const mostSeats = 1_000;
const isId = (text: string): boolean => /^[\x21-\x7e]{1,200}$/.test(text);
// Organisers choose these words: any script, but nothing that breaks a line, a log or a page.
const isText = (text: string, longest: number): boolean => text.length <= longest && !/\p{Cc}/u.test(text);
const isAmount = (amount: number): boolean => Number.isSafeInteger(amount) && amount >= 0;

/** The order that a paid checkout becomes; a purchase that does not add up is a mistake of whoever sent it. */
export function orderFrom(purchase: Purchase, nowMs: number): Decision<{ readonly order: Order }> {
  const { checkoutId, userId, event, seats, amount, currency } = purchase;
  const refuse = (problem: string) => ({ ok: false, problem }) as const;
  if (!isId(checkoutId) || !isId(userId)) return refuse("An order needs a checkout and an owner.");
  if (!event || !isId(event.eventId) || !event.name || event.startsAtMs <= 0)
    return refuse("An order needs its event.");
  if (![event.name, event.venueName, event.city, event.timeZone].every((text) => isText(text, 500)))
    return refuse("The event's name, venue, city or time zone is too long, or has control characters in it.");
  if (seats.length === 0) return refuse("An order needs at least one seat.");
  if (seats.length > mostSeats) return refuse(`An order has at most ${mostSeats} seats.`);
  if (!seats.every(({ seatId, sectionId }) => isText(seatId, 100) && seatId && isText(sectionId, 100) && sectionId))
    return refuse("A seat has no id, or a strange one.");
  if (!seats.every(({ row, number, tierId }) => [row, number, tierId].every((text) => isText(text, 100))))
    return refuse("A seat's row, number or tier is too long, or has control characters in it.");
  if (new Set(seats.map(({ seatId }) => seatId)).size !== seats.length) return refuse("A seat is in the order twice.");
  if (!/^[A-Z]{3}$/.test(currency)) return refuse("The currency is not an ISO 4217 code.");
  if (!isAmount(amount) || !seats.every((seat) => isAmount(seat.amount)))
    return refuse("An amount is not a whole number of minor units.");
  // Added as they are: addAmounts throws on sums that no money has, and these come from outside.
  if (seats.reduce((sum, seat) => sum + seat.amount, 0) !== amount)
    return refuse("The seats' prices do not add up to the order's amount.");
  return { ok: true, order: { checkoutId, userId, event, seats, amount, currency, createdAtMs: nowMs, refunds: [] } };
}

export function isSamePurchase(order: Order, other: Order): boolean {
  const seatIds = (of: Order) => of.seats.map(({ seatId }) => seatId).sort();
  return (
    order.userId === other.userId &&
    order.event.eventId === other.event.eventId &&
    order.amount === other.amount &&
    order.currency === other.currency &&
    JSON.stringify(seatIds(order)) === JSON.stringify(seatIds(other))
  );
}

const paidBack = ({ refunds }: Order): readonly Refund[] => refunds.filter(({ pending }) => !pending);

export const amountRefunded = (order: Order): number => addAmounts(paidBack(order).map(({ amount }) => amount));

export function voidedSeatIds(order: Order): ReadonlySet<string> {
  return new Set(paidBack(order).flatMap(({ seatIds }) => seatIds));
}

/** Whose refunds are under way. */
export const refundingSeatIds = ({ refunds }: Order): string[] =>
  refunds.filter(({ pending }) => pending).flatMap(({ seatIds }) => seatIds);

/** Refunded when no seat is left; money given back for a seat that stays (goodwill) makes it partial. */
export function statusOf(order: Order): OrderStatus {
  const voided = voidedSeatIds(order);
  if (order.seats.every(({ seatId }) => voided.has(seatId))) return "refunded";
  return paidBack(order).length > 0 ? "partially_refunded" : "completed";
}

export interface RefundWish {
  readonly refundId: string;
  /** Empty: all that are left. */
  readonly seatIds: readonly string[];
  /** Minor units; 0: all that is left. */
  readonly amount: number;
  /** Seats that were given back before may be named: more money for them. */
  readonly again: boolean;
}

export type Reservation =
  | { readonly ok: true; readonly order: Order; readonly refund: Refund }
  | { readonly ok: false; readonly code: "SEAT_UNKNOWN" | "SEAT_REFUNDED"; readonly seatIds: readonly string[] }
  | { readonly ok: false; readonly code: "REFUND_TOO_LARGE"; readonly left: number };

/** The order with this refund's seats and money set aside, so that no other refund can have them; unchanged when it has them already. */
export function withReservation(order: Order, wish: RefundWish, nowMs: number): Reservation {
  const known = order.refunds.find(({ refundId }) => refundId === wish.refundId);
  if (known) return { ok: true, order, refund: known };
  const seats = new Set(order.seats.map(({ seatId }) => seatId));
  const unknown = wish.seatIds.filter((seatId) => !seats.has(seatId));
  if (unknown.length > 0) return { ok: false, code: "SEAT_UNKNOWN", seatIds: unknown };
  const gone = new Set(order.refunds.flatMap(({ seatIds }) => seatIds));
  const left = order.amount - addAmounts(order.refunds.map(({ amount }) => amount));
  const named = [...new Set(wish.seatIds)];
  const taken = named.filter((seatId) => gone.has(seatId));
  if (taken.length > 0 && !wish.again) return { ok: false, code: "SEAT_REFUNDED", seatIds: taken };
  const seatIds = (named.length > 0 ? named : [...seats]).filter((seatId) => !gone.has(seatId));
  if (seatIds.length === 0 && !(wish.again && wish.amount > 0))
    return { ok: false, code: "SEAT_REFUNDED", seatIds: named };
  const amount = wish.amount === 0 ? left : wish.amount;
  if (!isAmount(amount) || amount > left) return { ok: false, code: "REFUND_TOO_LARGE", left };
  const refund: Refund = { refundId: wish.refundId, seatIds, amount, atMs: nowMs, pending: true };
  return { ok: true, order: { ...order, refunds: [...order.refunds, refund] }, refund };
}

/** The order without a refund that was set aside and never paid; unchanged when there is none. */
export function withoutReservation(order: Order, refundId: string): Order {
  const refunds = order.refunds.filter((refund) => refund.refundId !== refundId || !refund.pending);
  return refunds.length === order.refunds.length ? order : { ...order, refunds };
}

/** The order after a refund; unchanged when this refund is in it already. No seat ids: all that are left. */
export function withRefund(
  order: Order,
  wish: { readonly refundId: string; readonly seatIds: readonly string[]; readonly amount: number },
  nowMs: number,
): Decision<{ readonly order: Order; readonly voided: readonly string[] }> {
  const known = order.refunds.find(({ refundId }) => refundId === wish.refundId);
  if (known && !known.pending) return { ok: true, order, voided: known.seatIds };
  if (known) return withPaid(order, known, wish.amount, nowMs);
  if (!isId(wish.refundId))
    return { ok: false, problem: "A refund needs an id, so that a retry is not a second refund." };
  const unknown = wish.seatIds.filter((seatId) => !order.seats.some((seat) => seat.seatId === seatId));
  if (unknown.length > 0) return { ok: false, problem: `These seats are not in the order: ${shown(unknown)}.` };
  if (!isAmount(wish.amount) || amountRefunded(order) + wish.amount > order.amount)
    return { ok: false, problem: "More would be refunded than was paid." };
  const before = new Set([...voidedSeatIds(order), ...refundingSeatIds(order)]);
  const wanted = wish.seatIds.length > 0 ? wish.seatIds : order.seats.map(({ seatId }) => seatId);
  const voided = [...new Set(wanted)].filter((seatId) => !before.has(seatId));
  const refund = { refundId: wish.refundId, seatIds: voided, amount: wish.amount, atMs: nowMs };
  return { ok: true, order: { ...order, refunds: [...order.refunds, refund] }, voided };
}

/** The money of a refund that was set aside has gone back. */
function withPaid(
  order: Order,
  { refundId, seatIds }: Refund,
  amount: number,
  atMs: number,
): Decision<{ readonly order: Order; readonly voided: readonly string[] }> {
  if (!isAmount(amount) || amountRefunded(order) + amount > order.amount)
    return { ok: false, problem: "More would be refunded than was paid." };
  const refunds = order.refunds.map((refund) =>
    refund.refundId === refundId ? { refundId, seatIds, amount, atMs } : refund,
  );
  return { ok: true, order: { ...order, refunds }, voided: seatIds };
}

/** A few of many, for a sentence. */
function shown(seatIds: readonly string[]): string {
  const first = seatIds.slice(0, 5).map((seatId) => seatId.slice(0, 40));
  return first.join(", ") + (seatIds.length > 5 ? ` and ${seatIds.length - 5} more` : "");
}
