// What may go back of an order, and what becomes of it, decided without a store: by example, and over random histories.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type RefundWish, withClosed, withoutReservation, withPaid, withReservation } from "./refunds.js";
import { type StripesWord, withAnswer, withStripesWord } from "./stripes-word.js";
import {
  amountClosed,
  amountFailed,
  amountRefunded,
  isDisputed,
  leftOf,
  type Order,
  type Refund,
  refundingSeatIds,
  statusOf,
  validSeatIds,
  voidedSeatIds,
} from "./tickets.js";

const orderOf = (...prices: number[]): Order => ({
  checkoutId: "chk_1",
  userId: "acc_1",
  event: { eventId: "evt_1", name: "x", startsAtMs: 1, venueName: "", city: "", timeZone: "" },
  seats: prices.map((amount, at) => ({
    seatId: `S${at + 1}`,
    sectionId: "A",
    row: "A",
    number: String(at + 1),
    tierId: "t",
    amount,
  })),
  amount: prices.reduce((sum, price) => sum + price, 0),
  currency: "EUR",
  createdAtMs: 1,
  refunds: [],
  disputes: [],
});
const wish = (refundId: string, over: Partial<RefundWish> = {}): RefundWish => ({
  refundId,
  kind: "return",
  seatIds: [],
  amount: 0,
  again: false,
  requestedBy: "acc_org",
  reason: "",
  insteadOf: "",
  ...over,
});
function reserved(order: Order, asked: RefundWish): Order {
  const decision = withReservation(order, asked, 10);
  if (!decision.ok) throw new Error(JSON.stringify(decision));
  return decision.order;
}
const refused = (order: Order, asked: RefundWish) => {
  const decision = withReservation(order, asked, 10);
  if (decision.ok) throw new Error("it was set aside");
  return decision;
};
function paid(order: Order, refundId: string, amount = refundIn(order, refundId).amount): Order {
  const decision = withPaid(order, { refundId, seatIds: [], amount }, 20);
  if (!decision.ok) throw new Error(decision.problem);
  return decision.order;
}
function refundIn(order: Order, refundId: string): Refund {
  const refund = order.refunds.find((one) => one.refundId === refundId);
  if (!refund) throw new Error(`no ${refundId}`);
  return refund;
}
const given = (order: Order, refundId: string, over: Partial<RefundWish> = {}) =>
  paid(reserved(order, wish(refundId, over)), refundId);
const left = (order: Order) => [...leftOf(order).values()];
const said = (order: Order, refundId: string, status: string, over: Partial<StripesWord["refunds"][number]> = {}) =>
  withStripesWord(
    order,
    {
      refunds: [
        {
          refundId,
          status,
          amount: order.refunds.find((one) => one.refundId === refundId)?.amount ?? 0,
          failureReason: status === "failed" ? "expired_or_canceled_card" : "",
          createdAtMs: 5,
          outside: refundId.startsWith("re_"),
          ...over,
        },
      ],
      disputes: [],
    },
    30,
  );
const disputed = (order: Order, status: string, amount = order.amount) =>
  withStripesWord(
    order,
    {
      refunds: [],
      disputes: [{ disputeId: "dp_1", amount, reason: "fraudulent", status, createdAtMs: 6, evidenceDueMs: 99 }],
    },
    40,
  );

describe("whose money a refund is", () => {
  const four = orderOf(4950, 4950, 4950, 4950);
  it("never gives a seat back for more than was paid for it", () => {
    expect(refused(four, wish("r", { seatIds: ["S1"], amount: 19_800 }))).toEqual({
      ok: false,
      code: "REFUND_TOO_LARGE",
      left: 4950,
    });
  });

  it("keeps a fee that was kept from the buyer's own return of the others", () => {
    const fee = given(orderOf(4950, 4950), "r1", { seatIds: ["S1"], amount: 3000 });
    expect(left(fee)).toEqual([1950, 4950]);
    const rest = given(fee, "r2");
    expect(refundIn(rest, "r2")).toMatchObject({
      seatIds: ["S2"],
      amount: 4950,
      money: [{ seatId: "S2", amount: 4950 }],
    });
    expect(statusOf(rest)).toBe("partially_refunded");
  });

  it("leaves the tickets alone when money goes back out of goodwill, which is in their shares", () => {
    const kind = given(orderOf(4000, 2000), "r1", { kind: "goodwill", amount: 600, reason: "late start" });
    expect(statusOf(kind)).toBe("partially_refunded");
    expect(validSeatIds(kind)).toEqual(["S1", "S2"]);
    expect(left(kind)).toEqual([3600, 1800]);
    expect(refundIn(given(kind, "r2", { seatIds: ["S1"] }), "r2").amount).toBe(3600);
    expect(refused(kind, wish("r3", { kind: "goodwill" })).code).toBe("REQUEST_INVALID");
    expect(refused(kind, wish("r3", { kind: "goodwill", seatIds: ["S2"], amount: 1801 }))).toMatchObject({
      left: 1800,
    });
  });

  it("makes tickets void without money, and has money for them still", () => {
    const gone = given(orderOf(100, 100), "r1", { kind: "void", reason: "fraud" });
    expect(statusOf(gone)).toBe("voided");
    expect(left(gone)).toEqual([100, 100]);
    expect(refused(gone, wish("r2")).code).toBe("SEAT_REFUNDED");
    const later = given(gone, "r2", { kind: "goodwill", amount: 200, reason: "it was none" });
    expect(statusOf(later)).toBe("refunded");
    expect(refused(orderOf(100), wish("r", { kind: "void", amount: 1 })).code).toBe("REQUEST_INVALID");
  });

  it("gives a seat back for which nothing is left, and free ones", () => {
    const all = given(orderOf(100), "r1", { kind: "goodwill", amount: 100 });
    expect(statusOf(all)).toBe("refunded");
    expect(refundIn(given(all, "r2"), "r2")).toMatchObject({ seatIds: ["S1"], amount: 0, money: [] });
    const free = given(orderOf(0, 0), "r1", { seatIds: ["S2"] });
    expect(statusOf(free)).toBe("completed");
    expect(statusOf(given(free, "r2"))).toBe("voided");
  });

  it("of workflows that began before kinds: more money for seats that are void is goodwill", () => {
    const fee = given(orderOf(100, 100), "r1", { seatIds: ["S1"], amount: 60 });
    expect(refused(fee, wish("r2", { seatIds: ["S1"], amount: 40 })).code).toBe("SEAT_REFUNDED");
    const more = given(fee, "r2", { seatIds: ["S1"], amount: 40, again: true });
    expect(refundIn(more, "r2")).toMatchObject({
      kind: "goodwill",
      seatIds: [],
      money: [{ seatId: "S1", amount: 40 }],
    });
  });

  it("needs words that a page can show", () => {
    expect(refused(orderOf(1), wish("r", { reason: "a\nb" })).code).toBe("REQUEST_INVALID");
    expect(refused(orderOf(1), wish("\0")).code).toBe("REQUEST_INVALID");
  });
});

describe("a refund that the bank sent back", () => {
  const failed = said(given(orderOf(100, 100), "r1", { seatIds: ["S1"] }), "r1", "failed");
  it("is owed: it is not back, it is not left, and its ticket stays void", () => {
    expect([amountRefunded(failed), amountFailed(failed)]).toEqual([0, 100]);
    expect(left(failed)).toEqual([0, 100]);
    expect([...voidedSeatIds(failed)]).toEqual(["S1"]);
    expect(refundIn(failed, "r1")).toMatchObject({
      state: "failed",
      failureReason: "expired_or_canceled_card",
      atMs: 30,
    });
    expect(refused(failed, wish("r2", { kind: "goodwill", seatIds: ["S1"], amount: 1 })).code).toBe("REFUND_TOO_LARGE");
  });

  it("is asked for again by another, which is owed again when that is given up", () => {
    const again = reserved(failed, wish("r2", { insteadOf: "r1" }));
    expect(refundIn(again, "r1")).toMatchObject({ state: "replaced", replacedBy: "r2" });
    expect(refundIn(again, "r2")).toMatchObject({ kind: "return", seatIds: ["S1"], amount: 100, state: "pending" });
    expect(amountFailed(again)).toBe(0);
    expect(left(again)).toEqual([0, 100]);
    expect(refundingSeatIds(again)).toEqual([]); // void it is already
    expect(withoutReservation(again, "r2", 50).refunds).toEqual([
      { ...refundIn(failed, "r1"), replacedBy: undefined, atMs: 50 },
    ]);
    const done = paid(again, "r2");
    expect(amountRefunded(done)).toBe(100);
    expect(refused(done, wish("r3", { insteadOf: "r1" })).code).toBe("REFUND_NOT_FAILED");
    expect(refused(done, wish("r3", { insteadOf: "r9" })).code).toBe("REFUND_NOT_FOUND");
  });

  it("is paid another way, once", () => {
    const close = { refundId: "r1", closedBy: "acc_org", reason: "bank transfer of 1 March" };
    const closed = withClosed(failed, close, 60);
    if (!closed.ok) throw new Error(closed.code);
    expect([amountRefunded(closed.order), amountClosed(closed.order), amountFailed(closed.order)]).toEqual([
      100, 100, 0,
    ]);
    expect(withClosed(closed.order, close, 61)).toEqual({ ok: true, order: closed.order });
    expect(withClosed(closed.order, { ...close, reason: "cash" }, 61)).toMatchObject({ code: "REFUND_NOT_FAILED" });
    expect(withClosed(failed, { ...close, refundId: "r9" }, 61)).toMatchObject({ code: "REFUND_NOT_FOUND" });
  });

  it("takes its tickets with it when it failed before they were void", () => {
    const early = said(reserved(orderOf(100), wish("r1")), "r1", "failed");
    expect([...voidedSeatIds(early)]).toEqual(["S1"]);
    expect(withoutReservation(early, "r1", 50)).toBe(early);
    expect(paid(early, "r1")).toBe(early);
  });
});

describe("what Stripe says", () => {
  it("of money given back there: some of it leaves the tickets, all of it makes them void", () => {
    const some = said(orderOf(300, 100), "re_1", "succeeded", { amount: 40 });
    expect(refundIn(some, "re_1")).toMatchObject({
      kind: "outside",
      requestedBy: "stripe",
      money: [
        { seatId: "S1", amount: 30 },
        { seatId: "S2", amount: 10 },
      ],
    });
    expect(validSeatIds(some)).toEqual(["S1", "S2"]);
    const all = said(some, "re_2", "succeeded", { amount: 360 });
    expect([statusOf(all), validSeatIds(all)]).toEqual(["refunded", []]);
    expect(refundIn(all, "re_2").seatIds).toEqual(["S1", "S2"]);
    const sentBack = said(all, "re_2", "failed");
    expect([statusOf(sentBack), amountFailed(sentBack), validSeatIds(sentBack)]).toEqual([
      "partially_refunded",
      360,
      [],
    ]);
    expect(refundIn(reserved(sentBack, wish("r9", { insteadOf: "re_2" })), "r9").kind).toBe("return");
  });

  it("of a pending one, is not final", () => {
    const pending = said(orderOf(100), "re_1", "pending", { amount: 100 });
    expect([statusOf(pending), left(pending), validSeatIds(pending)]).toEqual(["completed", [0], ["S1"]]);
    expect(statusOf(said(pending, "re_1", "succeeded"))).toBe("refunded");
    expect(withoutReservation(pending, "re_1", 50)).toBe(pending);
  });

  it("of money given back there and taken back before a ticket was void: nothing has happened", () => {
    const pending = said(orderOf(100, 100), "re_1", "pending", { amount: 120 });
    expect(left(pending)).not.toEqual([100, 100]);
    const never = said(pending, "re_1", "canceled");
    expect([never.refunds, left(never), amountFailed(never), statusOf(never)]).toEqual([
      [],
      [100, 100],
      0,
      "completed",
    ]);
    // Told again, or only afterwards.
    expect(said(never, "re_1", "canceled", { amount: 120 })).toBe(never);
    // The bank is another matter: whoever gave the money back there wants the buyer to have it.
    expect(amountFailed(said(pending, "re_1", "failed"))).toBe(120);
    // Its tickets are sold again by then, so the money is owed.
    const all = said(orderOf(100), "re_1", "succeeded", { amount: 100 });
    expect(amountFailed(said(all, "re_1", "canceled"))).toBe(100);
  });

  it("of what was to pay a failed one, taken back: that one is owed again", () => {
    const failed = said(given(orderOf(100, 50), "r1", { seatIds: ["S1"] }), "r1", "failed");
    const never = said(said(failed, "re_1", "pending", { amount: 100 }), "re_1", "canceled");
    expect([never.refunds.length, refundIn(never, "r1").state, amountFailed(never)]).toEqual([1, "failed", 100]);
  });

  it("of exactly what is owed, given there, pays it", () => {
    const failed = said(given(orderOf(100, 50), "r1", { seatIds: ["S1"] }), "r1", "failed");
    const settled = said(failed, "re_1", "succeeded", { amount: 100 });
    expect(refundIn(settled, "r1")).toMatchObject({ state: "replaced", replacedBy: "re_1" });
    expect([amountFailed(settled), amountRefunded(settled), left(settled)]).toEqual([0, 100, [0, 50]]);
    expect(validSeatIds(settled)).toEqual(["S2"]);
  });

  it("of a refund of ours that the order has lost, is kept as money that went back, and its workflow's word takes the tickets", () => {
    const lost = said(orderOf(100, 100), "rfd_1", "succeeded", { amount: 100 });
    expect(refundIn(lost, "rfd_1").kind).toBe("outside");
    expect(said(orderOf(100), "rfd_1", "failed", { amount: 100 }).refunds).toEqual([]);
    const told = withPaid(lost, { refundId: "rfd_1", seatIds: ["S1"], amount: 100 }, 50);
    expect(told.ok && refundIn(told.order, "rfd_1")).toMatchObject({ kind: "return", seatIds: ["S1"], amount: 100 });
  });

  it("of a dispute that was answered keeps who did, until the bank asks again", () => {
    const inquiry = withAnswer(disputed(orderOf(100), "warning_needs_response"), "dp_1", "acc_org", 45);
    if (!inquiry) throw new Error("it is there");
    expect(withAnswer(inquiry, "dp_1", "acc_other", 46)).toBe(inquiry);
    expect(withAnswer(inquiry, "dp_2", "acc_org", 46)).toBeUndefined();
    const reviewed = disputed(inquiry, "warning_under_review");
    expect(reviewed.disputes).toMatchObject([
      { status: "warning_under_review", answeredAtMs: 45, answeredBy: "acc_org" },
    ]);
    expect(disputed(reviewed, "needs_response").disputes[0]?.answeredAtMs).toBeUndefined();
  });

  it("of a dispute: a flag while it is open, and once it is lost the money, and the tickets if that was all", () => {
    const open = disputed(orderOf(100, 100), "needs_response");
    expect(isDisputed(open)).toBe(true);
    expect(isDisputed(disputed(open, "warning_closed"))).toBe(true); // said late
    const lost = disputed(open, "lost");
    expect([isDisputed(lost), statusOf(lost), validSeatIds(lost)]).toEqual([false, "refunded", []]);
    expect(refundIn(lost, "dp_1")).toMatchObject({ kind: "dispute", state: "paid", amount: 200, reason: "fraudulent" });
    for (const late of ["lost", "won", "needs_response"]) expect(disputed(lost, late)).toBe(lost);
    expect(validSeatIds(disputed(orderOf(100, 100), "lost", 100))).toEqual(["S1", "S2"]);
    const won = disputed(open, "won");
    expect([isDisputed(won), statusOf(won), won.refunds]).toEqual([false, "completed", []]);
  });
});

describe("over random histories", () => {
  const seatIds = ["S1", "S2", "S3"];
  const ours = fc.constantFrom("r1", "r2", "r3", "r4", "r5");
  const theirs = fc.constantFrom("re_1", "re_2");
  const status = fc.constantFrom("pending", "requires_action", "succeeded", "failed", "canceled");
  const own = fc.oneof(
    fc.record({
      do: fc.constant("reserve" as const),
      refundId: ours,
      kind: fc.constantFrom("return" as const, "goodwill" as const, "void" as const),
      seatIds: fc.subarray(seatIds),
      amount: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 400 })),
      again: fc.boolean(),
      insteadOf: fc.oneof({ weight: 3, arbitrary: fc.constant("") }, { weight: 1, arbitrary: ours }),
    }),
    fc.record({ do: fc.constant("pay" as const), refundId: ours }),
    fc.record({ do: fc.constant("drop" as const), refundId: ours }),
    fc.record({ do: fc.constant("close" as const), refundId: ours }),
    fc.record({ do: fc.constant("hear" as const), refundId: ours, status }),
  );
  const stripe = fc.oneof(
    fc.record({
      do: fc.constant("outside" as const),
      refundId: theirs,
      status,
      amount: fc.integer({ min: 1, max: 300 }),
    }),
    fc.record({
      do: fc.constant("dispute" as const),
      status: fc.constantFrom("needs_response", "warning_closed", "won", "lost"),
      amount: fc.integer({ min: 1, max: 600 }),
    }),
  );
  type Step = typeof own extends fc.Arbitrary<infer One> ? One : never;
  type StripeStep = typeof stripe extends fc.Arbitrary<infer One> ? One : never;

  function after(order: Order, step: Step | StripeStep): Order {
    switch (step.do) {
      case "reserve": {
        const decision = withReservation(order, wish(step.refundId, step), 10);
        if (!decision.ok) return order;
        if (decision.order !== order && step.insteadOf === "")
          for (const { seatId, amount } of decision.refund.money)
            expect(amount).toBeLessThanOrEqual(leftOf(order).get(seatId) ?? 0);
        return decision.order;
      }
      case "pay": {
        const known = order.refunds.find(({ refundId }) => refundId === step.refundId);
        const decision = known && withPaid(order, { refundId: step.refundId, seatIds: [], amount: known.amount }, 20);
        return decision?.ok ? decision.order : order;
      }
      case "drop":
        return withoutReservation(order, step.refundId, 25);
      case "close": {
        const decision = withClosed(order, { refundId: step.refundId, closedBy: "acc", reason: "cash" }, 27);
        return decision.ok ? decision.order : order;
      }
      case "hear":
        return order.refunds.some(({ refundId }) => refundId === step.refundId)
          ? said(order, step.refundId, step.status)
          : order;
      case "outside":
        return said(order, step.refundId, step.status, { amount: step.amount });
      case "dispute":
        return disputed(order, step.status, step.amount);
    }
  }

  function check(order: Order, wasVoid: ReadonlySet<string>) {
    for (const { amount, money } of order.refunds)
      expect(money.reduce((sum, part) => sum + part.amount, 0)).toBe(amount);
    for (const one of left(order)) expect(one).toBeGreaterThanOrEqual(0);
    expect(new Set(order.refunds.map(({ refundId }) => refundId)).size).toBe(order.refunds.length);
    const gone = voidedSeatIds(order);
    for (const seatId of wasVoid) expect(gone).toContain(seatId); // never valid again
    const back = amountRefunded(order);
    const expected =
      back > 0 ? (back >= order.amount ? "refunded" : "partially_refunded") : gone.size === 3 ? "voided" : "completed";
    expect(statusOf(order)).toBe(expected);
    expect([...gone, ...refundingSeatIds(order), ...validSeatIds(order)].sort()).toEqual(seatIds);
    for (const { replacedBy } of order.refunds.filter(({ state }) => state === "replaced"))
      expect(order.refunds.some(({ refundId }) => refundId === replacedBy)).toBe(true);
  }

  it("what we decide never gives back more for a seat than it cost, and every step twice is once", () => {
    fc.assert(
      fc.property(fc.array(own, { maxLength: 25 }), (steps) => {
        let order = orderOf(100, 250, 0);
        for (const step of steps) {
          const before = order;
          order = after(order, step);
          expect(after(order, step)).toBe(order);
          check(order, voidedSeatIds(before));
          for (const { seatId, amount: price } of order.seats) {
            const counted = order.refunds
              .filter(({ state }) => state !== "replaced")
              .flatMap(({ money }) => money.filter((part) => part.seatId === seatId));
            expect(counted.reduce((sum, { amount }) => sum + amount, 0)).toBeLessThanOrEqual(price);
          }
          expect(amountRefunded(order) + amountFailed(order)).toBeLessThanOrEqual(order.amount);
        }
      }),
      { numRuns: 400 },
    );
  });

  it("with whatever Stripe and the bank do in between, the sums agree and nothing is written twice", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(own, stripe), { maxLength: 25 }), (steps) => {
        let order = orderOf(100, 250, 0);
        for (const step of steps) {
          const before = order;
          order = after(order, step);
          expect(after(order, step)).toBe(order);
          check(order, voidedSeatIds(before));
        }
      }),
      { numRuns: 400 },
    );
  });
});

describe("in a currency that Stripe counts in steps", () => {
  const krona = { ...orderOf(100_000, 200_000, 300_000), currency: "ISK" };

  it("only whole steps go back, or all that is left", () => {
    expect(refused(krona, wish("rfd_1", { kind: "goodwill", amount: 150, reason: "rain" }))).toMatchObject({
      code: "REQUEST_INVALID",
    });
    expect(left(given(krona, "rfd_1", { seatIds: ["S1"] }))).toEqual([0, 200_000, 300_000]);
  });

  it("money is shared among seats in whole steps, so that what is left of each can go back", () => {
    for (const steps of [1, 2, 7, 100, 5_999]) {
      const after = given(krona, "rfd_1", { kind: "goodwill", amount: steps * 100, reason: "rain" });
      expect(left(after).every((amount) => amount % 100 === 0)).toBe(true);
      expect(left(after).reduce((sum, amount) => sum + amount, 0)).toBe(600_000 - steps * 100);
    }
  });
});
