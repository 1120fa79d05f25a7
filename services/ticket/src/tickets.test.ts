// Orders and tickets, decided without a store.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { amountRefunded, type Order, orderFrom, type Purchase, statusOf, ticketIdFor, withRefund } from "./tickets.js";

const seat = (number: string, amount = 4950) => ({
  seatId: `A-1-${number}`,
  sectionId: "A",
  row: "1",
  number,
  tierId: "T1",
  amount,
});
const event = {
  eventId: "evt_1",
  name: "An evening",
  startsAtMs: 1_800_000_000_000,
  venueName: "Hall",
  city: "Leipzig",
  timeZone: "Europe/Berlin",
};
const purchase: Purchase = {
  checkoutId: "chk_1",
  userId: "acc_1",
  event,
  seats: [seat("1"), seat("2")],
  amount: 9900,
  currency: "EUR",
};

function orderOf(given: Purchase = purchase): Order {
  const decision = orderFrom(given, 1000);
  if (!decision.ok) throw new Error(decision.problem);
  return decision.order;
}

function refunded(order: Order, refundId: string, seatIds: readonly string[], amount: number): Order {
  const decision = withRefund(order, { refundId, seatIds, amount }, 2000);
  if (!decision.ok) throw new Error(decision.problem);
  return decision.order;
}

describe("orderFrom", () => {
  it("makes a completed order", () => {
    expect(statusOf(orderOf())).toBe("completed");
    expect(amountRefunded(orderOf())).toBe(0);
  });

  it.each<[string, Partial<Purchase>]>([
    ["no checkout", { checkoutId: "" }],
    ["no owner", { userId: "" }],
    ["no event", { event: undefined }],
    ["no seats", { seats: [], amount: 0 }],
    ["a seat twice", { seats: [seat("1"), seat("1")] }],
    ["a seat without id", { seats: [{ ...seat("1"), seatId: "" }], amount: 4950 }],
    ["another amount", { amount: 9899 }],
    ["a negative price", { seats: [seat("1", -1), seat("2", 9901)] }],
    ["no currency", { currency: "eur" }],
    ["a checkout with a NUL byte", { checkoutId: "chk\0" }],
    ["an owner of a million characters", { userId: "x".repeat(1_000_000) }],
    ["an event name with a NUL byte", { event: { ...event, name: "An\0evening" } }],
    ["an event name of a million characters", { event: { ...event, name: "x".repeat(1_000_000) } }],
    ["an event before 1970", { event: { ...event, startsAtMs: -1 } }],
    ["a seat with a NUL byte", { seats: [seat("1\0"), seat("2")] }],
    ["a row of a million characters", { seats: [{ ...seat("1"), row: "x".repeat(1_000_000) }, seat("2")] }],
    ["too many seats", { seats: Array.from({ length: 1_001 }, (_, at) => seat(String(at), 1)), amount: 1_001 }],
    ["half a cent", { seats: [seat("1", 0.5)], amount: 0.5 }],
    ["more money than there is", { seats: [seat("1", 2 ** 53 - 1), seat("2", 2 ** 53 - 1)], amount: 2 ** 53 - 1 }],
  ])("refuses %s", (_, change) => {
    expect(orderFrom({ ...purchase, ...change }, 1000)).toMatchObject({ ok: false });
  });
});

describe("withRefund", () => {
  it("voids single seats, then the rest", () => {
    const first = refunded(orderOf(), "ref_1", ["A-1-1"], 4950);
    expect(statusOf(first)).toBe("partially_refunded");
    const second = refunded(first, "ref_2", [], 4950);
    expect(statusOf(second)).toBe("refunded");
    expect(second.refunds.map(({ seatIds }) => seatIds)).toEqual([["A-1-1"], ["A-1-2"]]);
    expect(amountRefunded(second)).toBe(9900);
  });

  it("changes nothing when the refund is there already", () => {
    const order = refunded(orderOf(), "ref_1", [], 9900);
    expect(refunded(order, "ref_1", [], 9900)).toBe(order);
  });

  it("never gives back more than was paid, nor loses a seat, whatever refunds come in whatever order", () => {
    const seats = Array.from({ length: 5 }, (_, at) => seat(String(at + 1), 1000));
    const wish = fc.record({
      refundId: fc.constantFrom("ref_1", "ref_2", "ref_3", "ref_4"),
      seatIds: fc.subarray(seats.map(({ seatId }) => seatId)),
      amount: fc.integer({ min: 0, max: 3000 }),
    });
    fc.assert(
      fc.property(fc.array(wish, { maxLength: 8 }), (wishes) => {
        let order = orderOf({ ...purchase, seats, amount: 5000 });
        const voided: string[] = [];
        for (const wished of wishes) {
          const decision = withRefund(order, wished, 2000);
          if (!decision.ok) continue;
          if (decision.order !== order) voided.push(...decision.voided);
          order = decision.order;
        }
        expect(amountRefunded(order)).toBeLessThanOrEqual(order.amount);
        expect(new Set(voided).size).toBe(voided.length); // no seat is voided twice
        expect(new Set(order.refunds.map(({ refundId }) => refundId)).size).toBe(order.refunds.length);
        const status = voided.length === 5 ? "refunded" : order.refunds.length > 0 ? "partially_refunded" : "completed";
        expect(statusOf(order)).toBe(status);
      }),
      { numRuns: 300 },
    );
  });

  it("refuses seats of another order, too much money, and a refund without id", () => {
    const wish = { refundId: "ref_1", seatIds: [], amount: 9901 };
    expect(withRefund(orderOf(), wish, 0)).toMatchObject({ ok: false });
    expect(withRefund(orderOf(), { ...wish, amount: 1, seatIds: ["B-1-1"] }, 0)).toMatchObject({ ok: false });
    expect(withRefund(orderOf(), { ...wish, amount: -1 }, 0)).toMatchObject({ ok: false });
    expect(withRefund(orderOf(), { ...wish, amount: 1, refundId: "" }, 0)).toMatchObject({ ok: false });
  });
});

it("a ticket id is the same for the same checkout and seat, and for no other", () => {
  expect(ticketIdFor("chk_1", "A-1-1")).toBe(ticketIdFor("chk_1", "A-1-1"));
  expect(new Set([ticketIdFor("a", "b-c"), ticketIdFor("a-b", "c"), ticketIdFor("a", "b-d")]).size).toBe(3);
});
