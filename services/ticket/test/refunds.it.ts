// Refunds over gRPC on the real store: what is raced for, what Stripe says, what waits for somebody, and ends that exclude orders.
import { randomUUID } from "node:crypto";
import { connect } from "@onsale/kit/grpc-client";
import { createContext } from "@onsale/kit/process";
import {
  OrderStatus,
  type RecordPaymentRequest,
  RefundKind,
  RefundState,
  type ReserveRefundRequest,
  TicketServiceService,
  TicketStatus,
} from "@onsale/proto/ticket/v1/ticket";
import { MongoClient } from "mongodb";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { ticketSettings } from "../src/config.js";
import { startTicket } from "../src/service.js";

const backing = inject("backing");
const database = `ticket-${randomUUID()}`;
const mongo = new MongoClient(backing.mongodbUri);
const context = createContext("ticket", ticketSettings, {
  GRPC_LISTEN: "127.0.0.1:0",
  MONGODB_URI: backing.mongodbUri,
  MONGODB_DATABASE: database,
  TICKET_KEY_SECRET: "a secret of more than thirty-two characters",
  LOG_LEVEL: "silent",
});
let tickets: ReturnType<typeof connect<typeof TicketServiceService>>;
let nowMs = Date.now();

beforeAll(async () => {
  const { port } = await startTicket(context, () => nowMs);
  tickets = connect(TicketServiceService, { address: `127.0.0.1:${port}`, trust: {}, deadlineMs: 20_000 });
});
afterAll(async () => {
  tickets.close();
  await context.lifecycle.stop("test");
  await mongo.db(database).dropDatabase();
  await mongo.close();
});

const newId = (prefix: string) => `${prefix}_${randomUUID().slice(0, 8)}`;
const purchaseOf = (checkoutId: string, seatCount: number, eventId = newId("evt"), first = 1) => ({
  checkoutId,
  userId: `acc_${checkoutId}`,
  event: {
    eventId,
    name: "An evening",
    startsAtMs: Date.now() + 86_400_000,
    venueName: "Hall",
    city: "Leipzig",
    timeZone: "Europe/Berlin",
  },
  seats: Array.from({ length: seatCount }, (_, at) => ({
    seatId: `S${at + first}`,
    sectionId: "A",
    row: "1",
    number: String(at + first),
    tierId: "T1",
    amount: 4950,
  })),
  amount: 4950 * seatCount,
  currency: "EUR",
});
async function buy(seatCount: number, eventId?: string, first?: number) {
  nowMs += 10;
  const { order } = await tickets.issueTickets(purchaseOf(newId("chk"), seatCount, eventId, first));
  if (!order) throw new Error("no order");
  return order;
}
const reserve = (checkoutId: string, refundId: string, over: Partial<ReserveRefundRequest> = {}) =>
  tickets.reserveRefund({
    checkoutId,
    refundId,
    seatIds: [],
    amount: 0,
    again: false,
    kind: RefundKind.RETURN,
    requestedBy: "acc_org",
    reason: "",
    insteadOf: "",
    ...over,
  });
async function giveBack(checkoutId: string, refundId: string, over: Partial<ReserveRefundRequest> = {}) {
  nowMs += 10;
  const { amount } = await reserve(checkoutId, refundId, over);
  await tickets.voidTickets({ checkoutId, refundId, seatIds: [], amountRefunded: amount });
}
const says = (refundId: string, status: string, amount: number): RecordPaymentRequest["refunds"][number] => ({
  refundId,
  status,
  amount,
  failureReason: status === "failed" ? "lost_or_stolen_card" : "",
  createdAtMs: nowMs,
  outside: refundId.startsWith("re_"),
});
const record = (
  checkoutId: string,
  refunds: RecordPaymentRequest["refunds"],
  over: Partial<RecordPaymentRequest> = {},
) => tickets.recordPayment({ checkoutId, refunds, disputes: [], ...over });
const orderNow = async (checkoutId: string) => {
  const { order } = await tickets.getOrder({ checkoutId, userId: "" });
  if (!order) throw new Error("no order");
  return order;
};
const ticketsOf = async (userId: string) =>
  (await tickets.listTickets({ userId, cursor: "", limit: 0 })).tickets.sort((a, b) =>
    (a.seat?.seatId ?? "").localeCompare(b.seat?.seatId ?? ""),
  );

describe("money and tickets", () => {
  it("are two things: who, why and whose money stand on the order", async () => {
    const { checkoutId, userId } = await buy(4);
    await expect(reserve(checkoutId, newId("rfd"), { seatIds: ["S1"], amount: 19_800 })).rejects.toMatchObject({
      code: "REFUND_TOO_LARGE",
      details: { left: 4950 },
    });
    await giveBack(checkoutId, "rfd_1", { kind: RefundKind.GOODWILL, amount: 600, reason: "The show began late" });
    expect(await orderNow(checkoutId)).toMatchObject({
      status: OrderStatus.PARTIALLY_REFUNDED,
      amountRefunded: 600,
      left: ["S1", "S2", "S3", "S4"].map((seatId) => ({ seatId, amount: 4800 })),
      refunds: [
        {
          kind: RefundKind.GOODWILL,
          state: RefundState.PAID,
          requestedBy: "acc_org",
          reason: "The show began late",
          seatIds: [],
          money: ["S1", "S2", "S3", "S4"].map((seatId) => ({ seatId, amount: 150 })),
        },
      ],
    });
    await giveBack(checkoutId, "rfd_2", { kind: RefundKind.VOID, seatIds: ["S4"], reason: "Sold on at a profit" });
    expect(await orderNow(checkoutId)).toMatchObject({ amountRefunded: 600, status: OrderStatus.PARTIALLY_REFUNDED });
    const shown = await ticketsOf(userId);
    expect(shown.map(({ status }) => status)).toEqual([...Array(3).fill(TicketStatus.VALID), TicketStatus.VOID]);
    // What is void carries no code.
    expect(shown.map(({ token }) => token !== "")).toEqual([true, true, true, false]);
    expect((await tickets.getTicket({ ticketId: shown[3]?.ticketId ?? "", userId })).ticket).toMatchObject({
      token: "",
      qrSvg: "",
    });
    await giveBack(checkoutId, "rfd_3");
    expect(await orderNow(checkoutId)).toMatchObject({ amountRefunded: 600 + 3 * 4800 });
    for (const kind of [RefundKind.OUTSIDE, RefundKind.DISPUTE])
      await expect(reserve(checkoutId, newId("rfd"), { kind })).rejects.toMatchObject({ code: "REQUEST_INVALID" });
  });

  it("of a seat are given back once, however many ask for whatever at once", async () => {
    const { checkoutId } = await buy(3);
    const asked: Partial<ReserveRefundRequest>[] = [
      { seatIds: ["S1"] },
      { seatIds: ["S1", "S2"] },
      { kind: RefundKind.GOODWILL, amount: 5_000 },
      { kind: RefundKind.GOODWILL, amount: 5_000, seatIds: ["S2", "S3"] },
      { kind: RefundKind.VOID, seatIds: ["S3"] },
      {},
    ];
    const outcomes = await Promise.allSettled([
      ...asked.map((over) => reserve(checkoutId, newId("rfd"), over)),
      record(checkoutId, [says("re_1", "succeeded", 1_000)]),
    ]);
    for (const outcome of outcomes)
      if (outcome.status === "rejected")
        expect(["SEAT_REFUNDED", "REFUND_TOO_LARGE", "UNAVAILABLE"]).toContain(outcome.reason.code);
    const { refunds, left, seats } = await orderNow(checkoutId);
    const back = new Map(seats.map(({ seatId }) => [seatId, 0]));
    const outside = new Map(back);
    for (const { money, amount, kind } of refunds) {
      expect(money.reduce((sum, part) => sum + part.amount, 0)).toBe(amount);
      const whose = kind === RefundKind.OUTSIDE ? outside : back;
      for (const part of money) whose.set(part.seatId, (whose.get(part.seatId) ?? 0) + part.amount);
    }
    // What was given back at Stripe meanwhile may be money that was set aside already: nobody could refuse it.
    for (const { seatId, amount } of left) {
      const ours = back.get(seatId) ?? 0;
      expect(ours).toBeLessThanOrEqual(4950);
      expect(amount).toBe(Math.max(0, 4950 - ours - (outside.get(seatId) ?? 0)));
    }
    const given = refunds.flatMap(({ seatIds }) => seatIds);
    expect(new Set(given).size).toBe(given.length);
  });
});

describe("what Stripe says", () => {
  it("of all the money, given back there, makes the tickets void, and is told twice without effect", async () => {
    const { checkoutId, userId } = await buy(2);
    const all = [says("re_1", "succeeded", 9900)];
    const first = await record(checkoutId, all);
    expect(first.voidSeatIds).toEqual(["S1", "S2"]);
    expect(first.order).toMatchObject({
      status: OrderStatus.REFUNDED,
      refunds: [{ refundId: "re_1", kind: RefundKind.OUTSIDE, requestedBy: "stripe", state: RefundState.PAID }],
    });
    nowMs += 1_000;
    expect(await record(checkoutId, all)).toEqual(first);
    expect((await ticketsOf(userId)).map(({ status }) => status)).toEqual([TicketStatus.VOID, TicketStatus.VOID]);
    await expect(record("chk_none", all)).rejects.toMatchObject({ code: "ORDER_NOT_FOUND" });
  });

  it("of a refund that the bank sent back: owed, listed, asked for again or paid another way", async () => {
    const eventId = newId("evt");
    const [one, two] = [await buy(2, eventId), await buy(1, eventId, 3)];
    await giveBack(one.checkoutId, "rfd_a", { seatIds: ["S1"] });
    await giveBack(two.checkoutId, "rfd_b");
    nowMs += 10;
    await record(one.checkoutId, [says("rfd_a", "failed", 4950)]);
    nowMs += 10;
    const since = nowMs;
    await record(two.checkoutId, [says("rfd_b", "canceled", 4950)]);
    const failed = (over = {}) =>
      tickets.listRefunds({
        state: RefundState.FAILED,
        beforeMs: 0,
        cursor: "",
        limit: 0,
        eventIds: [eventId],
        ...over,
      });
    const ids = async (over = {}) => (await failed(over)).refunds.map(({ refund }) => refund?.refundId);
    expect(await ids()).toEqual(["rfd_a", "rfd_b"]);
    expect(await ids({ beforeMs: since })).toEqual(["rfd_a"]);
    expect(await ids({ eventIds: [newId("evt")] })).toEqual([]);
    expect(await ids({ eventIds: [] })).toEqual(expect.arrayContaining(["rfd_a", "rfd_b"]));
    const page = await failed({ limit: 1 });
    expect(page.refunds).toMatchObject([
      {
        checkoutId: one.checkoutId,
        userId: one.userId,
        eventId,
        currency: "EUR",
        refund: { failureReason: "lost_or_stolen_card" },
      },
    ]);
    expect(await ids({ limit: 1, cursor: page.nextCursor })).toEqual(["rfd_b"]);
    expect(await orderNow(one.checkoutId)).toMatchObject({ amountRefunded: 0, amountFailed: 4950 });
    nowMs += 3_000;
    expect(await tickets.getSales({ eventId })).toMatchObject({ refunded: 0, refundsFailed: 2, amountFailed: 9900 });

    await giveBack(one.checkoutId, "rfd_c", { insteadOf: "rfd_a" });
    const close = { checkoutId: two.checkoutId, refundId: "rfd_b", closedBy: "acc_op", reason: "by bank transfer" };
    const closed = await tickets.closeRefund(close);
    expect(closed.order).toMatchObject({ amountRefunded: 4950, amountClosed: 4950, amountFailed: 0 });
    expect(await tickets.closeRefund(close)).toEqual(closed);
    expect(await ids()).toEqual([]);
    await expect(tickets.closeRefund({ ...close, refundId: "rfd_z" })).rejects.toMatchObject({
      code: "REFUND_NOT_FOUND",
    });
    await expect(tickets.closeRefund({ ...close, reason: "" })).rejects.toMatchObject({ code: "REQUEST_INVALID" });
    const again = { ...close, checkoutId: one.checkoutId, refundId: "rfd_c" };
    await expect(tickets.closeRefund(again)).rejects.toMatchObject({ code: "REFUND_NOT_FAILED" });
    for (const state of [RefundState.PAID, RefundState.UNSPECIFIED])
      await expect(failed({ state })).rejects.toMatchObject({ code: "REQUEST_INVALID" });
  });

  it("of a dispute flags the tickets that are valid until it is decided", async () => {
    const { checkoutId, userId } = await buy(2);
    await giveBack(checkoutId, "rfd_1", { seatIds: ["S1"] });
    const dispute = {
      disputeId: "dp_1",
      amount: 4950,
      reason: "fraudulent",
      createdAtMs: nowMs,
      evidenceDueMs: nowMs + 9,
      ...{ answeredAtMs: 0, answeredBy: "" },
    };
    const flags = async () => (await ticketsOf(userId)).map(({ disputed }) => disputed);
    await record(checkoutId, [], { disputes: [{ ...dispute, status: "needs_response" }] });
    expect(await flags()).toEqual([false, true]);
    expect((await orderNow(checkoutId)).disputes).toMatchObject([{ disputeId: "dp_1", status: "needs_response" }]);
    const lost = await record(checkoutId, [], { disputes: [{ ...dispute, status: "lost" }] });
    expect(lost.voidSeatIds).toEqual(["S2"]);
    expect(lost.order).toMatchObject({ status: OrderStatus.REFUNDED });
    expect(await flags()).toEqual([false, false]);
  });
});

describe("disputes", () => {
  it("are listed while they are open, the first that wants an answer first, and then among the decided", async () => {
    const eventId = newId("evt");
    const [one, two, three] = [await buy(1, eventId), await buy(1, eventId, 2), await buy(1, eventId, 3)];
    const dispute = (disputeId: string, status: string, evidenceDueMs: number) => ({
      ...{ disputeId, status, evidenceDueMs, amount: 4950, reason: "fraudulent", createdAtMs: nowMs },
      ...{ answeredAtMs: 0, answeredBy: "" },
    });
    const due = nowMs + 1_000_000;
    await record(one.checkoutId, [], { disputes: [dispute("dp_late", "needs_response", due + 9)] });
    await record(two.checkoutId, [], { disputes: [dispute("dp_soon", "needs_response", due)] });
    await record(three.checkoutId, [], { disputes: [dispute("dp_won", "won", due - 9)] });
    const list = (over = {}) =>
      tickets.listDisputes({ decided: false, cursor: "", limit: 0, eventIds: [eventId], ...over });
    const ids = async (over = {}) => (await list(over)).disputes.map((one) => one.dispute?.disputeId);
    expect(await ids()).toEqual(["dp_soon", "dp_late"]);
    expect(await ids({ decided: true })).toEqual(["dp_won"]);
    expect(await ids({ eventIds: [newId("evt")] })).toEqual([]);
    expect(await ids({ eventIds: [] })).toEqual(expect.arrayContaining(["dp_soon", "dp_late"]));
    const page = await list({ limit: 1 });
    expect(page.disputes).toMatchObject([
      { checkoutId: two.checkoutId, userId: two.userId, event: { eventId }, currency: "EUR" },
    ]);
    expect(await ids({ limit: 1, cursor: page.nextCursor })).toEqual(["dp_late"]);

    const answer = { checkoutId: two.checkoutId, disputeId: "dp_soon", answeredBy: "acc_org" };
    const { order } = await tickets.recordDisputeAnswer(answer);
    expect(order?.disputes).toMatchObject([{ answeredBy: "acc_org", answeredAtMs: nowMs }]);
    nowMs += 10;
    expect((await tickets.recordDisputeAnswer({ ...answer, answeredBy: "acc_other" })).order).toEqual(order);
    await expect(tickets.recordDisputeAnswer({ ...answer, disputeId: "dp_none" })).rejects.toMatchObject({
      code: "DISPUTE_NOT_FOUND",
    });
    await expect(tickets.recordDisputeAnswer({ ...answer, answeredBy: "" })).rejects.toMatchObject({
      code: "REQUEST_INVALID",
    });
    // Stripe's word comes later, and does not know who it was.
    const after = await record(two.checkoutId, [], { disputes: [dispute("dp_soon", "under_review", due)] });
    expect(after.order?.disputes).toMatchObject([{ status: "under_review", answeredBy: "acc_org" }]);
    await record(two.checkoutId, [], { disputes: [dispute("dp_soon", "won", due)] });
    expect(await ids()).toEqual(["dp_late"]);
    expect((await ids({ decided: true })).sort()).toEqual(["dp_soon", "dp_won"]);
  });
});

describe("refunds that are under way", () => {
  it("are listed since when they are, and no longer once they have ended", async () => {
    const eventId = newId("evt");
    const { checkoutId } = await buy(2, eventId);
    const since = nowMs;
    await reserve(checkoutId, "rfd_1", { seatIds: ["S1"] });
    nowMs += 100;
    await reserve(checkoutId, "rfd_2", { seatIds: ["S2"] });
    const pending = async (beforeMs: number) =>
      (
        await tickets.listRefunds({ state: RefundState.PENDING, beforeMs, cursor: "", limit: 0, eventIds: [eventId] })
      ).refunds.map(({ refund }) => refund?.refundId);
    expect(await pending(0)).toEqual(["rfd_1", "rfd_2"]);
    // A process of the release before, beside this one or after it, must not take them for paid.
    const stored = await mongo.db(database).collection<{ _id: string }>("orders").findOne({ _id: checkoutId });
    expect(stored).toMatchObject({ refunds: [{ pending: true }, { pending: true }] });
    expect(await pending(since + 50)).toEqual(["rfd_1"]);
    await tickets.dropRefund({ checkoutId, refundId: "rfd_1" });
    expect(await pending(0)).toEqual(["rfd_2"]);
    await tickets.voidTickets({ checkoutId, refundId: "rfd_2", seatIds: [], amountRefunded: 4950 });
    expect(await pending(0)).toEqual([]);
  });
});

it("finds the tickets of some checkouts, as they are themselves", async () => {
  const [one, other] = [await buy(2), await buy(1)];
  await giveBack(one.checkoutId, newId("rfd"), { seatIds: ["S1"] });
  const found = await tickets.findTickets({ checkoutIds: [one.checkoutId, other.checkoutId, "chk_unheard_of"] });
  const told = found.tickets.map((ticket) => [ticket.checkoutId, ticket.seatId, ticket.status, ticket.amount]);
  expect(told.toSorted()).toEqual(
    [
      [one.checkoutId, "S1", TicketStatus.VOID, 4_950],
      [one.checkoutId, "S2", TicketStatus.VALID, 4_950],
      [other.checkoutId, "S1", TicketStatus.VALID, 4_950],
    ].toSorted(),
  );
  expect(found.tickets.map(({ ticketId }) => ticketId).toSorted()).toEqual(
    [...one.ticketIds, ...other.ticketIds].toSorted(),
  );
  const many = Array.from({ length: 501 }, (_, at) => `chk_${at}`);
  await expect(tickets.findTickets({ checkoutIds: many })).rejects.toMatchObject({ code: "REQUEST_INVALID" });
});

describe("an end", () => {
  it("keeps an order from ever being issued, and is never an order", async () => {
    const bought = purchaseOf(newId("chk"), 1);
    const end = { checkoutId: bought.checkoutId, reason: "CHECKOUT_EXPIRED" };
    expect(await tickets.endCheckout(end)).toEqual({ order: undefined });
    expect(await tickets.endCheckout(end)).toEqual({ order: undefined });
    await expect(tickets.issueTickets(bought)).rejects.toMatchObject({ code: "CHECKOUT_CANCELLED" });
    await expect(orderNow(bought.checkoutId)).rejects.toMatchObject({ code: "ORDER_NOT_FOUND" });
    await expect(reserve(bought.checkoutId, "rfd_1")).rejects.toMatchObject({ code: "ORDER_NOT_FOUND" });
    expect(await ticketsOf(bought.userId)).toEqual([]);
    expect((await tickets.findOrders({ checkoutIds: [bought.checkoutId] })).orders).toEqual([]);
    expect(await tickets.findTickets({ checkoutIds: [bought.checkoutId] })).toEqual({ tickets: [] });
    const searched = await tickets.searchOrders({
      eventIds: [],
      status: OrderStatus.UNSPECIFIED,
      checkoutId: "",
      ticketId: "",
      userId: "",
      seatId: "",
      cursor: "",
      limit: 100,
    });
    expect(searched.orders.map(({ checkoutId }) => checkoutId)).not.toContain(bought.checkoutId);
    const changed = await tickets.listChangedOrders({ changedSinceMs: 0, changedBeforeMs: 0, cursor: "", limit: 500 });
    expect(changed.orders.map(({ checkoutId }) => checkoutId)).not.toContain(bought.checkoutId);
    await expect(tickets.endCheckout({ ...end, checkoutId: "" })).rejects.toMatchObject({ code: "REQUEST_INVALID" });
  });

  it("and goes away by itself, a month later", async () => {
    const indexes = await mongo.db(database).collection("orders").indexes();
    expect(indexes).toContainEqual(expect.objectContaining({ key: { endedAt: 1 }, expireAfterSeconds: 30 * 86_400 }));
  });

  it("of a checkout with an order is refused with it", async () => {
    const { checkoutId } = await buy(1);
    expect((await tickets.endCheckout({ checkoutId, reason: "X" })).order).toMatchObject({ checkoutId });
    expect((await orderNow(checkoutId)).status).toBe(OrderStatus.COMPLETED);
  });

  it("and an order at once: the first to be written stands", async () => {
    for (let round = 0; round < 5; round++) {
      const bought = purchaseOf(newId("chk"), 1);
      const [issued, ended] = await Promise.allSettled([
        tickets.issueTickets(bought),
        tickets.endCheckout({ checkoutId: bought.checkoutId, reason: "X" }),
      ]);
      if (ended.status === "rejected") throw ended.reason;
      if (issued.status === "fulfilled") expect(ended.value.order?.checkoutId).toBe(bought.checkoutId);
      else {
        expect(issued.reason).toMatchObject({ code: "CHECKOUT_CANCELLED" });
        expect(ended.value.order).toBeUndefined();
      }
    }
  });
});

describe("changed orders", () => {
  it("come by their last change, oldest first, page by page, each once", async () => {
    nowMs += 10_000;
    const begin = nowMs;
    const made = [await buy(1), await buy(1), await buy(1)].map(({ checkoutId }) => checkoutId);
    await giveBack(made[0] ?? "", "rfd_1");
    const read = async (over: object = {}) => {
      const seen: string[] = [];
      for (let cursor = "", pages = 0; pages === 0 || cursor !== ""; pages++) {
        const page = await tickets.listChangedOrders({
          changedSinceMs: begin,
          changedBeforeMs: 0,
          limit: 1,
          ...over,
          cursor,
        });
        seen.push(...page.orders.map(({ checkoutId }) => checkoutId));
        cursor = page.nextCursor;
        expect(pages).toBeLessThan(5);
      }
      return seen;
    };
    expect(await read()).toEqual([made[1], made[2], made[0]]);
    expect(await read({ changedBeforeMs: nowMs })).toEqual([made[1], made[2]]);
    expect(await read({ changedSinceMs: nowMs, limit: 500 })).toEqual([made[0]]);
  });
});
