// Orders and tickets, decided without a store.
import { describe, expect, it } from "vitest";
import { amountRefunded, type Order, orderFrom, type Purchase, statusOf, ticketIdFor } from "./tickets.js";

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

it("a ticket id is the same for the same checkout and seat, and for no other", () => {
  expect(ticketIdFor("chk_1", "A-1-1")).toBe(ticketIdFor("chk_1", "A-1-1"));
  expect(new Set([ticketIdFor("a", "b-c"), ticketIdFor("a-b", "c"), ticketIdFor("a", "b-d")]).size).toBe(3);
});
