// What an event has sold: money, seats by price tier, and how it went over time, from its orders.
import { amountFailed, amountRefunded, type Order, voidedSeatIds } from "./tickets.js";

/** What one order adds to the sums. */
export interface OrderFacts {
  readonly atMs: number;
  /** Minor units. */
  readonly amount: number;
  readonly refunded: number;
  /** By which money went back. */
  readonly refunds: number;
  /** Owed: refunds that failed. */
  readonly failed: number;
  readonly refundsFailed: number;
  /** No ticket of it is valid. */
  readonly over: boolean;
  readonly seats: number;
  /** Seats whose tickets are valid, by price tier. */
  readonly tiers: ReadonlyMap<string, { readonly sold: number; readonly amount: number }>;
}

export interface Sales {
  readonly asOfMs: number;
  readonly gross: number;
  readonly refunded: number;
  readonly orders: number;
  readonly ordersRefunded: number;
  /** That are valid. */
  readonly tickets: number;
  readonly refunds: number;
  readonly refundsFailed: number;
  readonly amountFailed: number;
  readonly tiers: { tierId: string; sold: number; amount: number }[];
  readonly series: { atMs: number; sold: number; amount: number }[];
  readonly seriesStepMs: number;
}

const mostPoints = 120;
const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
/** Steps that people read clocks and calendars by. */
const steps = [
  second,
  5 * second,
  15 * second,
  minute,
  5 * minute,
  15 * minute,
  hour,
  3 * hour,
  6 * hour,
  12 * hour,
  day,
  2 * day,
  7 * day,
  30 * day,
  90 * day,
  365 * day,
];

export function factsOf(order: Order): OrderFacts {
  const voided = voidedSeatIds(order);
  const tiers = new Map<string, { sold: number; amount: number }>();
  for (const { seatId, tierId, amount } of order.seats) {
    if (voided.has(seatId)) continue;
    const tier = tiers.get(tierId) ?? { sold: 0, amount: 0 };
    tiers.set(tierId, { sold: tier.sold + 1, amount: tier.amount + amount });
  }
  const back = order.refunds.filter(({ kind, state }) => kind !== "void" && (state === "paid" || state === "closed"));
  return {
    atMs: order.createdAtMs,
    amount: order.amount,
    refunded: amountRefunded(order),
    refunds: back.length,
    failed: amountFailed(order),
    refundsFailed: order.refunds.filter(({ state }) => state === "failed").length,
    over: order.seats.every(({ seatId }) => voided.has(seatId)),
    seats: order.seats.length,
    tiers,
  };
}

/** The shortest step by which that much time makes no more points than may be told. */
export const stepFor = (spanMs: number): number =>
  // One point more than whole steps fit: the span need not begin where a step does.
  steps.find((step) => spanMs / step < mostPoints - 1) ?? Math.ceil(spanMs / (mostPoints - 2));

export function sumUp(facts: Iterable<OrderFacts>, nowMs: number): Sales {
  const money = { gross: 0, refunded: 0, amountFailed: 0 };
  const count = { orders: 0, ordersRefunded: 0, tickets: 0, refunds: 0, refundsFailed: 0 };
  const tiers = new Map<string, { tierId: string; sold: number; amount: number }>();
  const all = [...facts];
  const firstMs = all.reduce((least, { atMs }) => Math.min(least, atMs), nowMs);
  const lastMs = all.reduce((most, { atMs }) => Math.max(most, atMs), nowMs); // clocks of processes differ a little
  const step = stepFor(lastMs - firstMs);
  const beginMs = Math.floor(firstMs / step) * step;
  const points = all.length === 0 ? 0 : Math.floor((lastMs - beginMs) / step) + 1;
  const series = Array.from({ length: points }, (_, at) => ({ atMs: beginMs + at * step, sold: 0, amount: 0 }));
  for (const one of all) {
    money.gross += one.amount;
    money.refunded += one.refunded;
    money.amountFailed += one.failed;
    count.orders += 1;
    count.ordersRefunded += one.over ? 1 : 0;
    count.refunds += one.refunds;
    count.refundsFailed += one.refundsFailed;
    for (const [tierId, { sold, amount }] of one.tiers) {
      const tier = tiers.get(tierId) ?? { tierId, sold: 0, amount: 0 };
      tier.sold += sold;
      tier.amount += amount;
      tiers.set(tierId, tier);
      count.tickets += sold;
    }
    const point = series[Math.floor((one.atMs - beginMs) / step)];
    if (point) {
      point.sold += one.seats;
      point.amount += one.amount;
    }
  }
  return { asOfMs: nowMs, ...money, ...count, tiers: [...tiers.values()], series, seriesStepMs: step };
}

// ---- kept up to date

export interface ChangedOrders {
  changedOrders(eventId: string, sinceMs: number): AsyncIterable<Order>;
}

interface Known {
  readonly facts: Map<string, OrderFacts>;
  /** Everything that was committed before then is in it. */
  readMs: number;
  sums: Sales;
}

/** Some hundred bytes an order. */
const mostEvents = 30;
const freshMs = 2_000;
/** How long a change may take from being dated to being seen, clocks that differ included. */
const overlapMs = 60_000;

/**
 * Reads an event's orders once, and from then on those that have changed since: who looks at the numbers every few seconds must not
 * cost the event's whole history each time. Nobody looks: nothing is read.
 */
export function createSales(store: ChangedOrders, now: () => number) {
  const known = new Map<string, Known>();
  const reading = new Map<string, Promise<Sales>>();

  async function read(eventId: string): Promise<Sales> {
    const before = known.get(eventId);
    const nowMs = now();
    if (before && nowMs - before.sums.asOfMs < freshMs) return before.sums;
    const facts = before?.facts ?? new Map<string, OrderFacts>();
    for await (const order of store.changedOrders(eventId, before ? before.readMs - overlapMs : 0))
      facts.set(order.checkoutId, factsOf(order));
    const sums = sumUp(facts.values(), nowMs);
    known.delete(eventId);
    known.set(eventId, { facts, readMs: nowMs, sums });
    if (known.size > mostEvents) known.delete(known.keys().next().value as string);
    return sums;
  }

  return {
    /** One reading at a time for each event, whoever asks. */
    of(eventId: string): Promise<Sales> {
      const running = reading.get(eventId);
      if (running) return running;
      const work = read(eventId).finally(() => reading.delete(eventId));
      reading.set(eventId, work);
      return work;
    },
  };
}
