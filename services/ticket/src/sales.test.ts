// What an event has sold: sums that add up whatever happened to the orders, and a series that is even, whole and short.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { withPaid, withReservation } from "./refunds.js";
import { createSales, factsOf, stepFor, sumUp } from "./sales.js";
import { withStripesWord } from "./stripes-word.js";
import type { Order } from "./tickets.js";

const order = (checkoutId: string, seats: readonly [tierId: string, amount: number][], atMs: number): Order => ({
  checkoutId,
  userId: "acc_1",
  event: { eventId: "evt_1", name: "x", startsAtMs: 1, venueName: "", city: "", timeZone: "" },
  seats: seats.map(([tierId, amount], at) => ({
    seatId: `${checkoutId}-${at}`,
    sectionId: "A",
    row: "A",
    number: String(at),
    tierId,
    amount,
  })),
  amount: seats.reduce((sum, [, amount]) => sum + amount, 0),
  currency: "EUR",
  createdAtMs: atMs,
  refunds: [],
  disputes: [],
});
function given(back: Order, seatIds: readonly string[], amount: number): Order {
  const decision = withPaid(back, { refundId: `r-${seatIds.join()}`, seatIds, amount }, 5);
  if (!decision.ok) throw new Error(decision.problem);
  return decision.order;
}

describe("the sums", () => {
  it("count what is left, and the money that came and went", () => {
    const whole = order(
      "a",
      [
        ["t1", 100],
        ["t2", 50],
      ],
      1_000,
    );
    const part = given(
      order(
        "b",
        [
          ["t1", 100],
          ["t1", 100],
        ],
        2_000,
      ),
      ["b-0"],
      80,
    );
    const gone = given(order("c", [["t2", 50]], 3_000), ["c-0"], 50);
    const sales = sumUp([whole, part, gone].map(factsOf), 10_000);
    expect(sales).toMatchObject({
      gross: 400,
      refunded: 130,
      orders: 3,
      ordersRefunded: 1,
      tickets: 3,
      refunds: 2,
      seriesStepMs: 1_000,
    });
    expect(sales.tiers).toEqual([
      { tierId: "t1", sold: 2, amount: 200 },
      { tierId: "t2", sold: 1, amount: 50 },
    ]);
    expect(sales.series.slice(0, 3)).toEqual([
      { atMs: 1_000, sold: 2, amount: 150 },
      { atMs: 2_000, sold: 2, amount: 200 },
      { atMs: 3_000, sold: 1, amount: 50 },
    ]);
    expect(sales.series).toHaveLength(10);
  });

  it("know no refund whose money has not gone back", () => {
    const reserved = withReservation(
      order("a", [["t1", 100]], 1),
      {
        refundId: "r",
        kind: "return",
        seatIds: [],
        amount: 0,
        again: false,
        requestedBy: "acc_1",
        reason: "",
        insteadOf: "",
      },
      2,
    );
    expect(reserved.ok && sumUp([factsOf(reserved.order)], 3)).toMatchObject({ refunded: 0, refunds: 0, tickets: 1 });
  });

  it("tell what failed from what went back, and goodwill from a seat that came back", () => {
    const back = given(order("a", [["t1", 100]], 1), ["a-0"], 100);
    const word = { amount: 100, failureReason: "expired_or_canceled_card", createdAtMs: 2, outside: false };
    const failed = withStripesWord(
      back,
      { refunds: [{ refundId: "r-a-0", status: "failed", ...word }], disputes: [] },
      9,
    );
    expect(sumUp([factsOf(failed)], 10)).toMatchObject({
      refunded: 0,
      refunds: 0,
      refundsFailed: 1,
      amountFailed: 100,
      ordersRefunded: 1,
      tickets: 0,
    });
    const money = withStripesWord(
      order("b", [["t1", 100]], 1),
      { refunds: [{ ...word, refundId: "re_1", amount: 40, status: "succeeded", outside: true }], disputes: [] },
      9,
    );
    expect(sumUp([factsOf(money)], 10)).toMatchObject({ refunded: 40, refunds: 1, ordersRefunded: 0, tickets: 1 });
  });

  it("of nothing are nothing", () => {
    expect(sumUp([], 5)).toMatchObject({ gross: 0, orders: 0, tiers: [], series: [] });
  });

  it("make an even series of at most 120 points that has every sale, over any time", () => {
    const year = 365 * 86_400_000;
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 30 * year }), { minLength: 1, maxLength: 30 }),
        fc.integer({ min: 0, max: year }),
        (times, later) => {
          const nowMs = Math.max(...times) + later - 500; // clocks differ
          const { series, seriesStepMs } = sumUp(
            times.map((atMs, at) => factsOf(order(String(at), [["t", 7]], atMs))),
            nowMs,
          );
          expect(series.length).toBeLessThanOrEqual(120);
          expect(series.reduce((sum, { sold }) => sum + sold, 0)).toBe(times.length);
          expect(series.reduce((sum, { amount }) => sum + amount, 0)).toBe(7 * times.length);
          for (const [at, { atMs }] of series.entries()) expect(atMs).toBe((series[0]?.atMs ?? 0) + at * seriesStepMs);
          expect(seriesStepMs).toBe(stepFor(Math.max(nowMs, ...times) - Math.min(nowMs, ...times)));
        },
      ),
    );
  });
});

describe("what is kept", () => {
  it("is read whole once, then only what has changed, and not at all within two seconds", async () => {
    let nowMs = 1_000_000;
    const asked: number[] = [];
    let stored = [order("a", [["t1", 100]], nowMs)];
    const sales = createSales(
      {
        async *changedOrders(_eventId, sinceMs) {
          asked.push(sinceMs);
          yield* stored;
        },
      },
      () => nowMs,
    );
    const [first, same] = await Promise.all([sales.of("evt_1"), sales.of("evt_1")]);
    expect(same).toBe(first);
    nowMs += 1_999;
    expect(await sales.of("evt_1")).toBe(first);
    nowMs += 1;
    stored = [given(stored[0] as Order, [], 100), order("b", [["t1", 30]], nowMs)];
    expect(await sales.of("evt_1")).toMatchObject({ gross: 130, refunded: 100, tickets: 1 });
    expect(asked).toEqual([0, 1_000_000 - 60_000]);
  });

  it("of a reading that failed is nothing: the next one tries again", async () => {
    let away = true;
    const sales = createSales(
      {
        async *changedOrders() {
          if (away) throw new Error("away");
          yield order("a", [["t1", 100]], 1);
        },
      },
      () => 5,
    );
    await expect(sales.of("evt_1")).rejects.toThrow("away");
    away = false;
    expect(await sales.of("evt_1")).toMatchObject({ gross: 100 });
  });
});
