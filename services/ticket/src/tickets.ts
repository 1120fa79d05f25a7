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

/** Money and tickets are two things: return gives back both, goodwill money, void tickets; outside and dispute are done at Stripe or the bank. */
export const refundKinds = ["return", "goodwill", "void", "outside", "dispute"] as const;
export type RefundKind = (typeof refundKinds)[number];

/**
 * pending: set aside, or Stripe's word is not final. failed: the bank sent the money back, so it is owed. replaced: it had failed, and another
 * refund pays it. closed: it had failed, and was paid another way.
 */
export const refundStates = ["pending", "paid", "failed", "replaced", "closed"] as const;
export type RefundState = (typeof refundStates)[number];

export interface SeatMoney {
  readonly seatId: string;
  /** Minor units. */
  readonly amount: number;
}

export interface Refund {
  readonly refundId: string;
  readonly kind: RefundKind;
  readonly state: RefundState;
  /** Whose tickets it makes void: once it is no longer pending, they are. */
  readonly seatIds: readonly string[];
  /** Minor units. */
  readonly amount: number;
  /** Whose money it is: adds up to the amount. */
  readonly money: readonly SeatMoney[];
  readonly requestedAtMs: number;
  /** Since when it is in its state. */
  readonly atMs: number;
  /** An account; "stripe": whoever did it at Stripe itself, or the bank. Empty: nobody wrote it down then. */
  readonly requestedBy: string;
  readonly reason: string;
  readonly failureReason?: string | undefined;
  /** The failed refund that it pays. */
  readonly insteadOf?: string | undefined;
  readonly replacedBy?: string | undefined;
  readonly closedBy?: string | undefined;
  readonly closedReason?: string | undefined;
}

export interface Dispute {
  readonly disputeId: string;
  readonly amount: number;
  /** Stripe's words. */
  readonly reason: string;
  readonly status: string;
  readonly createdAtMs: number;
  /** 0: none. */
  readonly evidenceDueMs: number;
  /** When somebody sent an answer to the bank through us, and which account: Stripe knows neither. */
  readonly answeredAtMs?: number | undefined;
  readonly answeredBy?: string | undefined;
}

export const orderStatuses = ["completed", "partially_refunded", "refunded", "voided"] as const;
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
  readonly disputes: readonly Dispute[];
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
  /** Its payment is disputed at the buyer's bank, and that is not decided. */
  readonly disputed: boolean;
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
export const isId = (text: string): boolean => /^[\x21-\x7e]{1,200}$/.test(text);
// Organisers choose these words: any script, but nothing that breaks a line, a log or a page.
export const isText = (text: string, longest: number): boolean => text.length <= longest && !/\p{Cc}/u.test(text);
export const isAmount = (amount: number): boolean => Number.isSafeInteger(amount) && amount >= 0;

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
  return {
    ok: true,
    order: { checkoutId, userId, event, seats, amount, currency, createdAtMs: nowMs, refunds: [], disputes: [] },
  };
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

// ---- what has become of an order, by its refunds

const sumOf = (refunds: readonly Refund[], ...states: RefundState[]): number =>
  addAmounts(refunds.filter(({ state }) => states.includes(state)).map(({ amount }) => amount));

/** By Stripe or another way. */
export const amountRefunded = ({ refunds }: Order): number => sumOf(refunds, "paid", "closed");
export const amountClosed = ({ refunds }: Order): number => sumOf(refunds, "closed");
/** Owed to the buyer. */
export const amountFailed = ({ refunds }: Order): number => sumOf(refunds, "failed");

export function voidedSeatIds({ refunds }: Order): ReadonlySet<string> {
  return new Set(refunds.filter(({ state }) => state !== "pending").flatMap(({ seatIds }) => seatIds));
}

/** Whose refunds are under way: their tickets are valid still. */
export function refundingSeatIds(order: Order): string[] {
  const voided = voidedSeatIds(order);
  return order.refunds
    .filter(({ state }) => state === "pending")
    .flatMap(({ seatIds }) => seatIds)
    .filter((seatId) => !voided.has(seatId));
}

/** Neither void nor about to be. */
export function validSeatIds(order: Order): string[] {
  const out = new Set([...voidedSeatIds(order), ...refundingSeatIds(order)]);
  return order.seats.map(({ seatId }) => seatId).filter((seatId) => !out.has(seatId));
}

/** What is left of each seat's price once refunds in these states have had theirs, in the order of the seats. */
function remaining({ seats, refunds }: Order, states: readonly RefundState[]): ReadonlyMap<string, number> {
  const left = new Map(seats.map(({ seatId, amount }) => [seatId, amount]));
  for (const { state, money } of refunds)
    if (states.includes(state))
      for (const { seatId, amount } of money) left.set(seatId, Math.max(0, (left.get(seatId) ?? 0) - amount));
  return left;
}

/** What may still go back for each seat. What has failed is owed, and so not left; what was replaced counts where it is paid now. */
export const leftOf = (order: Order): ReadonlyMap<string, number> =>
  remaining(order, ["pending", "paid", "failed", "closed"]);

/** What has not gone back for each seat, whoever has it set aside. */
export const notBackOf = (order: Order): ReadonlyMap<string, number> => remaining(order, ["paid", "closed"]);

/** By money first: refunded means that all of it went back, whatever became of the tickets. */
export function statusOf(order: Order): OrderStatus {
  const back = amountRefunded(order);
  if (back > 0) return back >= order.amount ? "refunded" : "partially_refunded";
  const voided = voidedSeatIds(order);
  return order.seats.every(({ seatId }) => voided.has(seatId)) ? "voided" : "completed";
}

const openDisputes = ["needs_response", "under_review", "warning_needs_response", "warning_under_review"];

/** The bank has not decided yet. */
export const isOpen = ({ status }: Dispute): boolean => openDisputes.includes(status);

export const isDisputed = ({ disputes }: Order): boolean => disputes.some(isOpen);

/** By what disputes are listed: open ones by the time until which an answer is taken, decided ones by their beginning. */
export const disputeOrderMs = (dispute: Dispute): number =>
  (isOpen(dispute) && dispute.evidenceDueMs) || dispute.createdAtMs;
