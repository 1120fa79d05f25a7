// Refunds of an order, decided: what may be set aside, what its end changes, and what becomes of one that failed.
import { currencies } from "@onsale/kit/currencies";
import { addAmounts } from "@onsale/kit/money";
import { allocation } from "./allocation.js";
import {
  amountRefunded,
  type Decision,
  isAmount,
  isId,
  isText,
  leftOf,
  type Order,
  type Refund,
  type SeatMoney,
  validSeatIds,
} from "./tickets.js";

export interface RefundWish {
  readonly refundId: string;
  readonly kind: "return" | "goodwill" | "void";
  /** Empty: return and void: all whose tickets are valid; goodwill: of all. */
  readonly seatIds: readonly string[];
  /** Minor units; 0: all that is left of these seats. */
  readonly amount: number;
  /** Of workflows that began before there were kinds: seats that were given back before may be named, for more money. */
  readonly again: boolean;
  readonly requestedBy: string;
  readonly reason: string;
  /** The failed refund that it pays; empty: none. */
  readonly insteadOf: string;
}

export type Reservation =
  | { readonly ok: true; readonly order: Order; readonly refund: Refund }
  | { readonly ok: false; readonly code: "SEAT_UNKNOWN" | "SEAT_REFUNDED"; readonly seatIds: readonly string[] }
  | { readonly ok: false; readonly code: "REFUND_TOO_LARGE"; readonly left: number }
  | { readonly ok: false; readonly code: "REFUND_NOT_FOUND" | "REFUND_NOT_FAILED" }
  | { readonly ok: false; readonly code: "REQUEST_INVALID"; readonly problem: string };

/** The order with this refund's seats and money set aside, so that no other refund can have them; unchanged when it has them already. */
export function withReservation(order: Order, wish: RefundWish, nowMs: number): Reservation {
  const known = order.refunds.find(({ refundId }) => refundId === wish.refundId);
  if (known) return { ok: true, order, refund: known };
  if (!isId(wish.refundId)) return invalid("A refund needs an id, so that a retry is not a second refund.");
  if (!isText(wish.reason, 500) || !isText(wish.requestedBy, 200))
    return invalid("A refund's reason has at most 500 characters, and no control characters.");
  if (wish.insteadOf !== "") return withSuccessor(order, wish, nowMs);
  const unknown = wish.seatIds.filter((seatId) => !order.seats.some((seat) => seat.seatId === seatId));
  if (unknown.length > 0) return { ok: false, code: "SEAT_UNKNOWN", seatIds: unknown };

  const scope = scopeOf(order, wish);
  if (!scope.ok) return scope;
  const left = leftOf(order);
  const most = addAmounts(scope.pool.map((seatId) => left.get(seatId) ?? 0));
  const amount = wish.amount === 0 ? most : wish.amount;
  if (!isAmount(amount) || amount > most) return { ok: false, code: "REFUND_TOO_LARGE", left: most };
  const step = currencies.get(order.currency)?.step ?? 1;
  if (amount !== most && amount % step !== 0)
    return invalid(`Amounts in ${order.currency} are multiples of ${step} in its minor unit, as at Stripe.`);
  const { kind, seatIds, pool } = scope;
  return added(order, wish, { kind, seatIds, amount, money: allocation(order, amount, pool) }, nowMs);
}

type Scope =
  | {
      readonly ok: true;
      readonly kind: Refund["kind"];
      readonly seatIds: readonly string[];
      readonly pool: readonly string[];
    }
  | Extract<Reservation, { readonly ok: false }>;

/** Whose tickets become void, and whose money it is. */
function scopeOf(order: Order, { kind, seatIds, amount, again }: RefundWish): Scope {
  const valid = validSeatIds(order);
  const named = [...new Set(seatIds)];
  if (kind === "goodwill") {
    if (amount === 0) return invalid("Goodwill is an amount of money: say how much.");
    const all = valid.length > 0 ? valid : order.seats.map(({ seatId }) => seatId);
    return { ok: true, kind, seatIds: [], pool: named.length > 0 ? named : all };
  }
  if (kind === "void" && amount !== 0) return invalid("Tickets are made void without money: leave the amount out.");
  const taken = named.filter((seatId) => !valid.includes(seatId));
  if (taken.length > 0 && !again) return { ok: false, code: "SEAT_REFUNDED", seatIds: taken };
  const back = named.length > 0 ? named.filter((seatId) => valid.includes(seatId)) : valid;
  if (back.length > 0) return { ok: true, kind, seatIds: back, pool: kind === "void" ? [] : again ? named : back };
  if (!again || amount === 0) return { ok: false, code: "SEAT_REFUNDED", seatIds: named };
  return { ok: true, kind: "goodwill", seatIds: [], pool: named };
}

/** A failed refund is asked for again: the same money for the same seats, by a refund of its own. */
function withSuccessor(order: Order, wish: RefundWish, nowMs: number): Reservation {
  const failed = order.refunds.find(({ refundId }) => refundId === wish.insteadOf);
  if (!failed) return { ok: false, code: "REFUND_NOT_FOUND" };
  if (failed.state !== "failed") return { ok: false, code: "REFUND_NOT_FAILED" };
  const { kind, seatIds, amount, money } = failed;
  // One that was made at Stripe is made by us this time.
  const ours = kind === "outside" ? (seatIds.length > 0 ? "return" : "goodwill") : kind;
  return added(replaced(order, failed, wish.refundId, nowMs), wish, { kind: ours, seatIds, amount, money }, nowMs);
}

function added(
  order: Order,
  { refundId, requestedBy, reason, insteadOf }: RefundWish,
  what: Pick<Refund, "kind" | "seatIds" | "amount" | "money">,
  nowMs: number,
): Reservation {
  const refund: Refund = {
    refundId,
    ...what,
    state: "pending",
    requestedAtMs: nowMs,
    atMs: nowMs,
    requestedBy,
    reason,
    ...(insteadOf === "" ? {} : { insteadOf }),
  };
  return { ok: true, order: { ...order, refunds: [...order.refunds, refund] }, refund };
}

export const replaced = (order: Order, failed: Refund, by: string, nowMs: number): Order =>
  withChanged(order, { ...failed, state: "replaced", replacedBy: by, atMs: nowMs });

export const withChanged = (order: Order, changed: Refund): Order => ({
  ...order,
  refunds: order.refunds.map((refund) => (refund.refundId === changed.refundId ? changed : refund)),
});

/** The order without a refund that was set aside and never paid, and what that was to pay owed again; unchanged when there is none. */
export function withoutReservation(order: Order, refundId: string, nowMs: number): Order {
  const dropped = order.refunds.find((refund) => refund.refundId === refundId);
  if (dropped?.state !== "pending" || dropped.kind === "outside") return order;
  const refunds = order.refunds
    .filter((refund) => refund !== dropped)
    .map((refund) => (refund.replacedBy === refundId ? owedAgain(refund, nowMs) : refund));
  return { ...order, refunds };
}

/** One that had failed, once the refund that was to pay it is none. */
export const owedAgain = (refund: Refund, nowMs: number): Refund => ({
  ...refund,
  state: "failed",
  replacedBy: undefined,
  atMs: nowMs,
});

/** The order once a refund's money is back: its tickets are void. Unchanged when that is known already. */
export function withPaid(
  order: Order,
  wish: { readonly refundId: string; readonly seatIds: readonly string[]; readonly amount: number },
  nowMs: number,
): Decision<{ readonly order: Order }> {
  const { refundId, seatIds, amount } = wish;
  const known = order.refunds.find((refund) => refund.refundId === refundId);
  if (known && known.kind !== "outside" && known.state !== "pending") return { ok: true, order };
  if (!isId(refundId)) return { ok: false, problem: "A refund needs an id, so that a retry is not a second refund." };
  const unknown = seatIds.filter((seatId) => !order.seats.some((seat) => seat.seatId === seatId));
  if (unknown.length > 0) return { ok: false, problem: `These seats are not in the order: ${shown(unknown)}.` };
  // Stripe told of it before its workflow did, which had set nothing aside.
  if (known?.kind === "outside") return { ok: true, order: withSeatsOf(order, known, seatIds) };
  // One that was set aside was decided on then: its money is gone, whatever else went back since.
  const back = known ? 0 : amountRefunded(order);
  if (!isAmount(amount) || back + amount > order.amount)
    return { ok: false, problem: "More would be refunded than was paid." };
  if (known) return { ok: true, order: withChanged(order, paid(order, known, amount, nowMs)) };
  const voided = stillValid(order, seatIds);
  const refund: Refund = {
    refundId,
    kind: voided.length > 0 ? "return" : "goodwill",
    state: "paid",
    seatIds: voided,
    amount,
    money: allocation(order, amount, voided.length > 0 ? voided : seatIds),
    requestedAtMs: nowMs,
    atMs: nowMs,
    requestedBy: "",
    reason: "",
  };
  return { ok: true, order: { ...order, refunds: [...order.refunds, refund] } };
}

/** A refund that is paid now, with as much as Stripe says. */
export function paid(order: Order, refund: Refund, amount: number, nowMs: number): Refund {
  return { ...refund, state: "paid", amount, money: moneyOf(order, refund, amount), atMs: nowMs };
}

function moneyOf(order: Order, refund: Refund, amount: number): readonly SeatMoney[] {
  if (amount === refund.amount) return refund.money;
  const others = { ...order, refunds: order.refunds.filter((one) => one !== refund) };
  return allocation(others, amount, [...refund.money.map(({ seatId }) => seatId), ...refund.seatIds]);
}

function withSeatsOf(order: Order, known: Refund, seatIds: readonly string[]): Order {
  const voided = stillValid(order, seatIds);
  if (voided.length === 0) return order;
  return withChanged(order, { ...known, kind: "return", seatIds: [...known.seatIds, ...voided] });
}

/** None named: all. */
const stillValid = (order: Order, seatIds: readonly string[]): string[] =>
  validSeatIds(order).filter((seatId) => seatIds.length === 0 || seatIds.includes(seatId));

export type Closure =
  | { readonly ok: true; readonly order: Order }
  | { readonly ok: false; readonly code: "REFUND_NOT_FOUND" | "REFUND_NOT_FAILED" };

/** The order once a refund that had failed was paid another way; unchanged when the same was said before. */
export function withClosed(
  order: Order,
  { refundId, closedBy, reason }: { readonly refundId: string; readonly closedBy: string; readonly reason: string },
  nowMs: number,
): Closure {
  const refund = order.refunds.find((one) => one.refundId === refundId);
  if (!refund) return { ok: false, code: "REFUND_NOT_FOUND" };
  if (refund.state === "closed" && refund.closedBy === closedBy && refund.closedReason === reason)
    return { ok: true, order };
  if (refund.state !== "failed") return { ok: false, code: "REFUND_NOT_FAILED" };
  return {
    ok: true,
    order: withChanged(order, { ...refund, state: "closed", closedBy, closedReason: reason, atMs: nowMs }),
  };
}

const invalid = (problem: string) => ({ ok: false, code: "REQUEST_INVALID", problem }) as const;

/** A few of many, for a sentence. */
function shown(seatIds: readonly string[]): string {
  const first = seatIds.slice(0, 5).map((seatId) => seatId.slice(0, 40));
  return first.join(", ") + (seatIds.length > 5 ? ` and ${seatIds.length - 5} more` : "");
}
