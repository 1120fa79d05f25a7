import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import type { BooksCause } from "../contract.js";
import {
  addFigures,
  compare,
  compareSecond,
  type DisputeFact,
  type Entry,
  type OrderFact,
  type OrderRefundFact,
  type PaymentFact,
  type StripeRefundFact,
} from "./compare.js";
import { booksCauses } from "./findings.js";

// Hundreds of histories, on a machine that may have other things to do.
vi.setConfig({ testTimeout: 60_000 });

const price = 5_000;
const currency = "EUR";

/** A sold order, and what people, Stripe and banks do to it, told to all of the books. */
function sold(seatCount: number) {
  const seats = Array.from({ length: seatCount }, (_, at) => ({ seatId: `S${at + 1}`, amount: price }));
  const amount = price * seatCount;
  const refunds: OrderRefundFact[] = [];
  const atStripe: StripeRefundFact[] = [];
  const disputes: DisputeFact[] = [];
  const counts = (state: OrderRefundFact["state"]) => state !== "replaced";
  const left = (seatId: string) =>
    refunds
      .filter(({ state }) => counts(state))
      .flatMap(({ money }) => money)
      .reduce((rest, one) => (one.seatId === seatId ? rest - one.amount : rest), price);
  const isVoid = (seatId: string) =>
    refunds.some(({ state, seatIds }) => state !== "pending" && seatIds.includes(seatId));
  const valid = () => seats.map(({ seatId }) => seatId).filter((seatId) => !isVoid(seatId));
  /** Of these seats as far as it goes, then of the last. */
  function moneyOf(wanted: number, seatIds: readonly string[]) {
    let open = wanted;
    const money = seatIds.map((seatId) => {
      const part = Math.min(open, Math.max(0, left(seatId)));
      open -= part;
      return { seatId, amount: part };
    });
    const [last = { seatId: "S1", amount: 0 }] = money.slice(-1);
    return [...money.slice(0, -1), { ...last, amount: last.amount + open }].filter((one) => one.amount > 0);
  }
  const sum = (of: readonly { amount: number }[]) => of.reduce((total, one) => total + one.amount, 0);
  const notBack = () =>
    amount -
    sum(atStripe.filter(({ status }) => status === "succeeded" || status === "pending")) -
    sum(disputes.filter(({ status }) => status === "lost"));
  let made = 0;
  const nextId = (prefix: string) => `${prefix}_${++made}`;
  const change = (refundId: string, to: Partial<OrderRefundFact>) => {
    const at = refunds.findIndex((one) => one.refundId === refundId);
    const known = refunds[at];
    if (known) refunds[at] = { ...known, ...to };
  };

  const told = {
    giveBack(kind: "return" | "goodwill", seatId: string, share: number, state: "pending" | "paid" = "paid") {
      const most = Math.min(kind === "return" ? left(seatId) : left(seatId), notBack());
      const given = Math.floor(Math.max(0, most) * share);
      if (given === 0 || isVoid(seatId)) return;
      const refundId = nextId("rfd");
      const money = moneyOf(given, [seatId]);
      refunds.push({ refundId, kind, state, amount: given, seatIds: kind === "return" ? [seatId] : [], money });
      const status = state === "paid" ? "succeeded" : "pending";
      atStripe.push({ refundId, amount: given, status, outside: false });
    },
    makeVoid(seatId: string) {
      if (isVoid(seatId)) return;
      refunds.push({ refundId: nextId("rfd"), kind: "void", state: "paid", amount: 0, seatIds: [seatId], money: [] });
    },
    outside(share: number) {
      const given = Math.floor(notBack() * share);
      if (given <= 0) return;
      const refundId = nextId("re");
      const money = moneyOf(
        given,
        seats.map(({ seatId }) => seatId),
      );
      atStripe.push({ refundId, amount: given, status: "succeeded", outside: true });
      refunds.push({ refundId, kind: "outside", state: "paid", amount: given, seatIds: [], money });
      if (notBack() <= 0) change(refundId, { seatIds: valid() });
    },
    sendBack(at: number) {
      const said = atStripe.filter(({ status }) => status === "succeeded")[at];
      if (!said) return;
      atStripe[atStripe.indexOf(said)] = { ...said, status: "failed" };
      change(said.refundId, { state: "failed" });
    },
    askAgain() {
      const failed = refunds.find(({ state, kind }) => state === "failed" && kind !== "dispute");
      if (!failed || failed.amount > notBack()) return;
      const refundId = nextId("rfd");
      change(failed.refundId, { state: "replaced" });
      refunds.push({ ...failed, refundId, state: "paid" });
      atStripe.push({ refundId, amount: failed.amount, status: "succeeded", outside: false });
    },
    close() {
      const failed = refunds.find(({ state }) => state === "failed");
      if (failed) change(failed.refundId, { state: "closed" });
    },
    dispute(status: "needs_response" | "lost" | "won", share: number) {
      const disputed = Math.floor(amount * share);
      if (disputed === 0) return;
      const disputeId = nextId("du");
      disputes.push({ disputeId, amount: disputed, status });
      if (status !== "lost") return;
      const money = moneyOf(
        disputed,
        seats.map(({ seatId }) => seatId),
      );
      const wasValid = valid();
      refunds.push({ refundId: disputeId, kind: "dispute", state: "paid", amount: disputed, seatIds: [], money });
      if (notBack() <= 0) change(disputeId, { seatIds: wasValid });
    },
  };

  function entry(): Entry {
    const stripe: PaymentFact = {
      ...{ intentId: "pi_1", state: "captured", amount, currency, captured: amount },
      refunded: sum(atStripe.filter(({ status }) => status === "succeeded" || status === "pending")),
      refunds: [...atStripe],
      disputes: [...disputes],
    };
    const order: OrderFact = { amount, currency, seats, refunds: [...refunds], disputes: [...disputes] };
    const tickets = seats.map(({ seatId }) => ({ seatId, valid: !isVoid(seatId) }));
    return { checkoutId: "chk_1", stripe, record: stripe, order, tickets, claimedSeatIds: valid() };
  }
  return { ...told, entry };
}

const step = fc.oneof(
  fc.record({
    do: fc.constant("back" as const),
    kind: fc.constantFrom("return" as const, "goodwill" as const),
    seat: fc.nat(3),
    share: fc.double({ min: 0.01, max: 1, noNaN: true }),
    state: fc.constantFrom("paid" as const, "paid" as const, "pending" as const),
  }),
  fc.record({ do: fc.constant("void" as const), seat: fc.nat(3) }),
  fc.record({ do: fc.constant("outside" as const), share: fc.double({ min: 0.01, max: 1, noNaN: true }) }),
  fc.record({ do: fc.constant("fail" as const), at: fc.nat(2) }),
  fc.constant({ do: "again" as const }),
  fc.constant({ do: "close" as const }),
  fc.record({
    do: fc.constant("dispute" as const),
    status: fc.constantFrom("needs_response" as const, "lost" as const, "won" as const),
    share: fc.double({ min: 0.01, max: 1, noNaN: true }),
  }),
);

const history = fc.record({ seatCount: fc.integer({ min: 1, max: 4 }), steps: fc.array(step, { maxLength: 8 }) });

function lived({ seatCount, steps }: typeof history extends fc.Arbitrary<infer Value> ? Value : never): Entry {
  const order = sold(seatCount);
  for (const one of steps) {
    const seatId = "seat" in one ? `S${(one.seat % seatCount) + 1}` : "S1";
    if (one.do === "back") order.giveBack(one.kind, seatId, one.share, one.state);
    else if (one.do === "void") order.makeVoid(seatId);
    else if (one.do === "outside") order.outside(one.share);
    else if (one.do === "fail") order.sendBack(one.at);
    else if (one.do === "again") order.askAgain();
    else if (one.do === "close") order.close();
    else order.dispute(one.status, one.share);
  }
  return order.entry();
}

const causesOf = (entry: Entry) => compare(entry).findings.map(({ cause }) => cause);
const differenceOf = (entry: Entry) => compare(entry).figures.map(({ difference }) => difference);

describe("whatever is done to an order", () => {
  it("what was captured is tickets, what was kept and what went back, and there is nothing to find", () => {
    fc.assert(
      fc.property(history, (of) => {
        const entry = lived(of);
        const { findings, figures } = compare(entry);
        expect(findings).toEqual([]);
        const [total] = figures;
        expect(figures).toHaveLength(1);
        expect(total).toMatchObject({ currency, captured: entry.stripe?.captured, difference: 0, payments: 1 });
        expect(total?.refunds).toBe(entry.stripe?.refunded);
      }),
      { numRuns: 500 },
    );
  });

  const damages: ReadonlyArray<(entry: Entry) => Entry> = [
    (entry) => ({ ...entry, tickets: entry.tickets.slice(1) }),
    (entry) => ({ ...entry, tickets: entry.tickets.map(({ seatId }) => ({ seatId, valid: false })) }),
    (entry) => ({ ...entry, tickets: entry.tickets.map(({ seatId }) => ({ seatId, valid: true })) }),
    (entry) => ({ ...entry, order: undefined }),
    (entry) => ({ ...entry, stripe: undefined }),
    (entry) => ({ ...entry, order: entry.order && { ...entry.order, refunds: entry.order.refunds.slice(1) } }),
    (entry) => ({ ...entry, order: entry.order && { ...entry.order, amount: entry.order.amount + 100 } }),
    (entry) => ({ ...entry, order: entry.order && { ...entry.order, currency: "USD" } }),
    (entry) => ({ ...entry, stripe: entry.stripe && { ...entry.stripe, captured: entry.stripe.captured - 100 } }),
    (entry) => ({ ...entry, stripe: entry.stripe && { ...entry.stripe, refunds: entry.stripe.refunds.slice(1) } }),
    (entry) => ({ ...entry, stripe: entry.stripe && { ...entry.stripe, disputes: entry.stripe.disputes.slice(1) } }),
    (entry) => ({
      ...entry,
      stripe: entry.stripe && {
        ...entry.stripe,
        refunds: [...entry.stripe.refunds, { refundId: "re_x", amount: 700, status: "succeeded", outside: true }],
      },
    }),
  ];

  it("money that nothing explains always has a finding", () => {
    let explained = 0;
    fc.assert(
      fc.property(history, fc.array(fc.constantFrom(...damages), { minLength: 1, maxLength: 3 }), (of, hurts) => {
        const entry = hurts.reduce((sofar, hurt) => hurt(sofar), lived(of));
        const { findings, figures } = compare(entry);
        if (figures.every(({ difference }) => difference === 0)) return;
        explained += 1;
        expect(findings).not.toEqual([]);
      }),
      { numRuns: 1_000 },
    );
    expect(explained).toBeGreaterThan(100);
  });
});

describe("each kind of difference", () => {
  const good = sold(2).entry();
  const { stripe, order } = good;
  if (!stripe || !order) throw new Error("a sold order has both");
  const returned = sold(2);
  returned.giveBack("return", "S1", 0.9);
  const withReturn = returned.entry();
  const theirs = withReturn.stripe ?? stripe;
  const ours = withReturn.order ?? order;
  const refund = ours.refunds[0];
  if (!refund) throw new Error("it was given back");
  const refundOf = (to: Partial<OrderRefundFact>): OrderFact => ({ ...ours, refunds: [{ ...refund, ...to }] });
  const saidOf = (to: Partial<StripeRefundFact>): PaymentFact => {
    const refunds = theirs.refunds.map((said) => ({ ...said, ...to }));
    const refunded = to.status === "failed" ? 0 : (to.amount ?? theirs.refunded);
    return { ...theirs, refunds, refunded };
  };
  const paidAs = (fact: PaymentFact) => ({ stripe: fact, record: fact });
  const none = { order: undefined, tickets: [], claimedSeatIds: [] };
  const reserved: PaymentFact = { ...stripe, state: "authorized", captured: 0 };
  const dispute = { disputeId: "du_1", amount: 10_000, status: "lost" };

  const kinds: ReadonlyArray<[BooksCause, Entry, number[]]> = [
    ["captured_without_order", { ...good, ...none }, [10_000]],
    ["captured_amount_differs", { ...good, ...paidAs({ ...stripe, captured: 9_000 }) }, [-1_000]],
    ["currency_differs", { ...good, order: { ...order, currency: "USD" } }, [10_000, -10_000]],
    ["order_not_captured", { ...good, ...paidAs(reserved) }, [-10_000]],
    ["order_without_payment", { ...good, stripe: undefined, record: undefined }, [-10_000]],
    [
      "order_inconsistent",
      {
        ...good,
        order: {
          ...order,
          seats: [
            { seatId: "S1", amount: 4_000 },
            { seatId: "S2", amount: 5_000 },
          ],
        },
      },
      [1_000],
    ],
    ["authorization_left", { ...good, ...paidAs(reserved), ...none }, []],
    ["record_missing", { ...good, record: undefined }, [0]],
    ["record_differs", { ...good, record: { ...reserved, amount: stripe.amount } }, [0]],
    ["record_contradicts", { ...good, record: { ...stripe, amount: 1 } }, [0]],
    ["intent_unknown", { ...good, stripe: undefined, recordProblem: "intent_unknown" }, [-10_000]],
    ["refund_unknown", { ...good, ...paidAs(saidOf({})) }, [-4_500]],
    ["refund_not_at_stripe", { ...withReturn, ...paidAs(stripe) }, [4_500]],
    ["refund_amount_differs", { ...withReturn, ...paidAs(saidOf({ amount: 4_000 })) }, [500]],
    ["refund_failed_unnoticed", { ...withReturn, ...paidAs(saidOf({ status: "failed" })) }, [4_500]],
    ["refund_state_differs", { ...withReturn, order: refundOf({ state: "closed" }) }, [-4_500]],
    ["refund_unfinished", { ...good, order: refundOf({ state: "pending" }) }, [0]],
    [
      "dispute_unknown",
      { ...good, ...paidAs({ ...stripe, disputes: [{ ...dispute, status: "needs_response" }] }) },
      [0],
    ],
    ["ticket_missing", { ...good, tickets: good.tickets.slice(1) }, [5_000]],
    ["ticket_without_order", { ...good, tickets: [...good.tickets, { seatId: "S9", valid: false }] }, [0]],
    ["ticket_valid_after_refund", { ...withReturn, tickets: good.tickets, claimedSeatIds: ["S1", "S2"] }, [0]],
    [
      "ticket_void_without_reason",
      {
        ...good,
        tickets: [
          { seatId: "S1", valid: false },
          { seatId: "S2", valid: true },
        ],
        claimedSeatIds: ["S2"],
      },
      [5_000],
    ],
    ["seat_not_claimed", { ...good, claimedSeatIds: ["S2"] }, [0]],
    ["seat_claimed_after_void", { ...withReturn, claimedSeatIds: ["S1", "S2"] }, [0]],
    ["claim_without_order", { ...good, claimedSeatIds: ["S1", "S2", "S3"] }, [0]],
  ];

  it.each(kinds)("%s", (cause, entry, differences) => {
    expect(causesOf(entry)).toContain(cause);
    expect(differenceOf(entry)).toEqual(differences);
  });

  it("ticket_without_money: all of it went back at Stripe, and the order has kept a ticket", () => {
    const all = { refundId: "re_1", amount: 10_000, status: "succeeded", outside: true } as const;
    const money = [
      { seatId: "S1", amount: 5_000 },
      { seatId: "S2", amount: 5_000 },
    ];
    const outside = { refundId: "re_1", kind: "outside", state: "paid", amount: 10_000, seatIds: [], money } as const;
    const paid = paidAs({ ...stripe, refunded: 10_000, refunds: [all] });
    expect(causesOf({ ...good, ...paid, order: { ...order, refunds: [outside] } })).toEqual(["ticket_without_money"]);
    // Goodwill may be all of it.
    const goodwill = { ...outside, kind: "goodwill" } as const;
    expect(causesOf({ ...good, ...paid, order: { ...order, refunds: [goodwill] } })).toEqual([]);
  });

  it("dispute_differs: counted as lost, and not lost at Stripe", () => {
    const lost = sold(1);
    lost.dispute("lost", 1);
    const entry = lost.entry();
    const won = entry.stripe && { ...entry.stripe, disputes: [{ ...dispute, disputeId: "du_1", status: "won" }] };
    expect(causesOf({ ...entry, stripe: won, record: won })).toContain("dispute_differs");
  });

  it("captured_twice, and what a second payment may leave", () => {
    const second = { ...stripe, intentId: "pi_2" };
    expect(compareSecond("chk_1", second)).toMatchObject({
      findings: [{ cause: "captured_twice", who: "person", about: ["pi_2"], amount: 10_000 }],
      figures: [{ captured: 10_000, difference: 10_000 }],
    });
    expect(compareSecond("chk_1", { ...second, ...reserved }).findings).toMatchObject([
      { cause: "authorization_left" },
    ]);
    const back = { refundId: "re_1", amount: 10_000, status: "succeeded", outside: true } as const;
    expect(compareSecond("chk_1", { ...second, refunds: [back] })).toMatchObject({
      findings: [],
      figures: [{ captured: 10_000, refunds: 10_000, difference: 0 }],
    });
    expect(compareSecond("chk_1", { ...second, state: "cancelled", captured: 0 })).toEqual({
      findings: [],
      figures: [],
    });
  });

  it("is tested here", () => {
    const tested = new Set([
      ...kinds.map(([cause]) => cause),
      "ticket_without_money",
      "dispute_differs",
      "captured_twice",
    ]);
    expect([...booksCauses].filter((cause) => !tested.has(cause))).toEqual([]);
  });
});

it("what was declined or given up is nothing", () => {
  const open: PaymentFact = {
    ...{ intentId: "pi_1", state: "open", amount: 100, currency, captured: 0, refunded: 0, refunds: [], disputes: [] },
  };
  for (const state of ["open", "cancelled"] as const) {
    const stripe = { ...open, state };
    const entry = { checkoutId: "chk_1", stripe, record: stripe, order: undefined, tickets: [], claimedSeatIds: [] };
    expect(compare(entry)).toEqual({ findings: [], figures: [] });
  }
});

it("currencies are never added", () => {
  const euros = compare(sold(1).entry()).figures;
  const yen = euros.map((one) => ({ ...one, currency: "JPY" }));
  expect(addFigures(addFigures(yen, euros), euros)).toMatchObject([
    { currency: "EUR", captured: 10_000, payments: 2 },
    { currency: "JPY", captured: 5_000, payments: 1 },
  ]);
});
