// Orders as those see them who look after them: found by whatever is known, summed up, and given back without doubles.
import { randomUUID } from "node:crypto";
import { connect } from "@onsale/kit/grpc-client";
import { createContext } from "@onsale/kit/process";
import {
  type IssueTicketsRequest,
  OrderStatus,
  RefundKind,
  RefundState,
  type SearchOrdersRequest,
  TicketServiceService,
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
/** The service's clock: of orders made in the same millisecond, none is newer. */
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

const aReturn = (seatIds: string[], amount: number) => ({ seatIds, amount, kind: RefundKind.RETURN });
const newId = (prefix: string) => `${prefix}_${randomUUID().slice(0, 8)}`;
const eventNamed = (eventId: string) => ({
  eventId,
  name: "An evening",
  startsAtMs: Date.now() + 86_400_000,
  venueName: "Hall",
  city: "Leipzig",
  timeZone: "Europe/Berlin",
});
async function buy(eventId: string, numbers: readonly number[], more: Partial<IssueTicketsRequest> = {}) {
  nowMs += 10;
  const checkoutId = newId("chk");
  const seats = numbers.map((number) => ({
    seatId: `A-1-${number}`,
    sectionId: "A",
    row: "1",
    number: String(number),
    tierId: number % 2 === 0 ? "even" : "odd",
    amount: 1_000,
  }));
  const { order } = await tickets.issueTickets({
    checkoutId,
    userId: newId("acc"),
    event: eventNamed(eventId),
    seats,
    amount: 1_000 * seats.length,
    currency: "EUR",
    ...more,
  });
  if (!order) throw new Error("no order");
  return order;
}
const search = (wish: Partial<SearchOrdersRequest>) =>
  tickets.searchOrders({
    eventIds: [],
    status: OrderStatus.UNSPECIFIED,
    checkoutId: "",
    ticketId: "",
    userId: "",
    seatId: "",
    cursor: "",
    limit: 0,
    ...wish,
  });
const found = async (wish: Partial<SearchOrdersRequest>) =>
  (await search(wish)).orders.map(({ checkoutId }) => checkoutId);
const aWish = { kind: RefundKind.UNSPECIFIED, requestedBy: "acc_1", reason: "", insteadOf: "" };
const reserve = (checkoutId: string, refundId: string, seatIds: string[] = [], amount = 0, again = false) =>
  tickets.reserveRefund({ ...aWish, checkoutId, refundId, seatIds, amount, again });
const paidBack = (checkoutId: string, refundId: string, amountRefunded: number, seatIds: string[] = []) =>
  tickets.voidTickets({ checkoutId, refundId, seatIds, amountRefunded });
/** A refund from its begin to its end. */
async function giveBack(checkoutId: string, seatIds: string[] = [], amount = 0) {
  nowMs += 10;
  const refundId = newId("rfd");
  const reserved = await reserve(checkoutId, refundId, seatIds, amount);
  await paidBack(checkoutId, refundId, reserved.amount);
  return refundId;
}

describe("a search", () => {
  it("finds an event's orders, newest first, page by page, without holes or doubles", async () => {
    const eventId = newId("evt");
    const made = [];
    for (let at = 1; at <= 7; at++) made.push((await buy(eventId, [at])).checkoutId);
    await buy(newId("evt"), [1]);
    const seen: string[] = [];
    for (let cursor = "", pages = 0; pages === 0 || cursor !== ""; pages++) {
      const page = await search({ eventIds: [eventId], cursor, limit: 3 });
      seen.push(...page.orders.map(({ checkoutId }) => checkoutId));
      cursor = page.nextCursor;
      expect(pages).toBeLessThan(4);
    }
    expect(seen).toEqual(made.reverse());
  });

  it("of several events, or of all, takes what is asked for and nothing else", async () => {
    const [one, two, other] = [newId("evt"), newId("evt"), newId("evt")];
    const first = await buy(one, [1]);
    const second = await buy(two, [1]);
    const third = await buy(other, [1]);
    expect(await found({ eventIds: [one, two] })).toEqual([second.checkoutId, first.checkoutId]);
    expect((await found({ limit: 3 })).slice(0, 3)).toEqual([third, second, first].map((order) => order.checkoutId));
  });

  it("by status", async () => {
    const eventId = newId("evt");
    const whole = await buy(eventId, [1]);
    const part = await buy(eventId, [2, 3]);
    const gone = await buy(eventId, [4]);
    const unpaid = await buy(eventId, [5]);
    const refundId = newId("rfd");
    await tickets.reserveRefund({
      ...aWish,
      checkoutId: unpaid.checkoutId,
      refundId,
      seatIds: [],
      amount: 0,
      again: false,
      kind: RefundKind.VOID,
    });
    await paidBack(unpaid.checkoutId, refundId, 0);
    await giveBack(part.checkoutId, ["A-1-2"], 1_000);
    await giveBack(gone.checkoutId);
    const by = (status: OrderStatus) => found({ eventIds: [eventId], status });
    expect(await by(OrderStatus.COMPLETED)).toEqual([whole.checkoutId]);
    expect(await by(OrderStatus.PARTIALLY_REFUNDED)).toEqual([part.checkoutId]);
    expect(await by(OrderStatus.REFUNDED)).toEqual([gone.checkoutId]);
    expect(await by(OrderStatus.VOIDED)).toEqual([unpaid.checkoutId]);
  });

  it("by order, ticket, buyer and seat, within the events that one may see", async () => {
    const [mine, theirs] = [newId("evt"), newId("evt")];
    const order = await buy(mine, [5, 6]);
    const foreign = await buy(theirs, [5], { userId: order.userId });
    const [ticketId = ""] = order.ticketIds;
    const [foreignTicket = ""] = foreign.ticketIds;
    for (const wish of [
      { checkoutId: order.checkoutId },
      { ticketId },
      { userId: order.userId },
      { seatId: "A-1-6" },
      { seatId: "A-1-5" },
    ])
      expect(await found({ eventIds: [mine], ...wish }), JSON.stringify(wish)).toEqual([order.checkoutId]);
    for (const wish of [{ checkoutId: foreign.checkoutId }, { ticketId: foreignTicket }, { seatId: "A-1-7" }])
      expect(await found({ eventIds: [mine], ...wish }), JSON.stringify(wish)).toEqual([]);
    expect(await found({ userId: order.userId })).toEqual([foreign.checkoutId, order.checkoutId]);
    expect(await found({ ticketId: "tkt_none" })).toEqual([]);
  });

  it("by seat finds those who had it before, too", async () => {
    const eventId = newId("evt");
    const before = await buy(eventId, [1]);
    await giveBack(before.checkoutId);
    const after = await buy(eventId, [1]);
    expect(await found({ eventIds: [eventId], seatId: "A-1-1" })).toEqual([after.checkoutId, before.checkoutId]);
    const first = await search({ eventIds: [eventId], seatId: "A-1-1", limit: 1 });
    expect(first.orders[0]?.checkoutId).toBe(after.checkoutId);
    const rest = await search({ eventIds: [eventId], seatId: "A-1-1", limit: 1, cursor: first.nextCursor });
    expect(rest.orders[0]?.checkoutId).toBe(before.checkoutId);
    expect(rest.nextCursor).toBe("");
    expect(await found({ eventIds: [eventId], seatId: "A-1-1", status: OrderStatus.REFUNDED })).toEqual([
      before.checkoutId,
    ]);
  });

  it.each<[string, Partial<SearchOrdersRequest>]>([
    ["two things at once", { checkoutId: "chk_1", seatId: "A-1-1", eventIds: ["evt_1"] }],
    ["a seat of no event", { seatId: "A-1-1" }],
    ["too many events", { eventIds: Array.from({ length: 501 }, (_, at) => `evt_${at}`) }],
    ["a cursor that is none", { cursor: "x" }],
    ["a page too long", { limit: 101 }],
  ])("of %s is refused", async (_, wish) => {
    await expect(search(wish)).rejects.toMatchObject({ code: "REQUEST_INVALID" });
  });

  it("finds orders that were stored before they had a status to be found by, or by other rules", async () => {
    const eventId = newId("evt");
    const order = await buy(eventId, [1, 2]);
    // As they were stored then: all of the money for one seat, and a refund that is under way.
    const rich = await buy(eventId, [3, 4, 5]);
    const orders = mongo.db(database).collection<{ _id: string }>("orders");
    const old = (checkoutId: string, refunds: object[], status: object) =>
      orders.updateOne({ _id: checkoutId }, { $set: { refunds, ...status }, $unset: { rules: "", disputes: "" } });
    await old(order.checkoutId, [{ refundId: "rfd_o", seatIds: ["A-1-1"], amount: 1_000, atMs: 7 }], {});
    await orders.updateOne({ _id: order.checkoutId }, { $unset: { status: "", changedAtMs: "" } });
    await old(
      rich.checkoutId,
      [
        { refundId: "rfd_r", seatIds: ["A-1-3"], amount: 2_500, atMs: 7 },
        { refundId: "rfd_p", seatIds: ["A-1-4"], amount: 500, atMs: 8, pending: true },
      ],
      { status: "partially_refunded" },
    );
    const again = createContext("ticket", ticketSettings, { ...envOf(), MONGODB_DATABASE: database });
    await startTicket(again, () => nowMs);
    await again.lifecycle.stop("test");
    expect(await found({ eventIds: [eventId], status: OrderStatus.PARTIALLY_REFUNDED })).toEqual([
      rich.checkoutId,
      order.checkoutId,
    ]);
    expect((await tickets.getOrder({ checkoutId: rich.checkoutId, userId: "" })).order).toMatchObject({
      amountRefunded: 2_500,
      refundingSeatIds: ["A-1-4"],
      left: [
        { seatId: "A-1-3", amount: 0 },
        { seatId: "A-1-4", amount: 0 },
        { seatId: "A-1-5", amount: 0 },
      ],
      refunds: [
        { refundId: "rfd_r", state: RefundState.PAID, kind: RefundKind.RETURN },
        { refundId: "rfd_p", state: RefundState.PENDING, money: expect.anything() },
      ],
    });
    const { refunds } = await tickets.listRefunds({
      state: RefundState.PENDING,
      beforeMs: 0,
      cursor: "",
      limit: 0,
      eventIds: [eventId],
    });
    expect(refunds).toMatchObject([{ checkoutId: rich.checkoutId, refund: { refundId: "rfd_p" } }]);
    await paidBack(rich.checkoutId, "rfd_p", 500);
    expect((await tickets.getOrder({ checkoutId: rich.checkoutId, userId: "" })).order).toMatchObject({
      status: OrderStatus.REFUNDED,
      amountRefunded: 3_000,
      refundingSeatIds: [],
    });
  });
});

const envOf = () => ({
  GRPC_LISTEN: "127.0.0.1:0",
  MONGODB_URI: backing.mongodbUri,
  TICKET_KEY_SECRET: "a secret of more than thirty-two characters",
  LOG_LEVEL: "silent",
});

describe("sales", () => {
  it("are the sums of the orders, and follow them", async () => {
    const eventId = newId("evt");
    expect(await tickets.getSales({ eventId })).toMatchObject({ gross: 0, orders: 0, series: [], tiers: [] });
    nowMs += 3_000;
    const order = await buy(eventId, [1, 2, 3]);
    await buy(eventId, [4]);
    const before = await tickets.getSales({ eventId });
    expect(before).toMatchObject({ gross: 4_000, refunded: 0, orders: 2, tickets: 4, refunds: 0 });
    await giveBack(order.checkoutId, ["A-1-1"], 400);
    nowMs += 3_000;
    const after = await tickets.getSales({ eventId });
    expect(after).toMatchObject({ gross: 4_000, refunded: 400, orders: 2, ordersRefunded: 0, tickets: 3, refunds: 1 });
    expect(after.tiers.sort((a, b) => a.tierId.localeCompare(b.tierId))).toEqual([
      { tierId: "even", sold: 2, amount: 2_000 },
      { tierId: "odd", sold: 1, amount: 1_000 },
    ]);
    expect(after.series.reduce((sum, { sold }) => sum + sold, 0)).toBe(4);
  });
});

describe("a refund that is set aside", () => {
  it("keeps its seats and money from every other, however many ask at once", async () => {
    const { checkoutId } = await buy(newId("evt"), [1, 2, 3]);
    const wishes = [["A-1-1"], ["A-1-1"], ["A-1-1", "A-1-2"], ["A-1-2"], ["A-1-3"], []];
    const outcomes = await Promise.allSettled(
      wishes.map((seatIds) => reserve(checkoutId, newId("rfd"), seatIds, 1_000 * seatIds.length)),
    );
    const won = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
    const seats = won.flatMap(({ seatIds }) => seatIds);
    expect(new Set(seats).size).toBe(seats.length);
    expect(won.reduce((sum, { amount }) => sum + amount, 0)).toBeLessThanOrEqual(3_000);
    expect(won.reduce((sum, { amount }) => sum + amount, 0)).toBe(1_000 * seats.length);
    for (const outcome of outcomes)
      if (outcome.status === "rejected")
        expect(["SEAT_REFUNDED", "REFUND_TOO_LARGE", "UNAVAILABLE"]).toContain(outcome.reason.code);
  });

  it("is the same when it is asked for again, is shown as under way, and changes no status until the money is back", async () => {
    const { checkoutId, userId } = await buy(newId("evt"), [1, 2]);
    expect(await reserve(checkoutId, "rfd_1", ["A-1-1"], 1_000)).toEqual(aReturn(["A-1-1"], 1_000));
    expect(await reserve(checkoutId, "rfd_1", ["A-1-2"], 900)).toEqual(aReturn(["A-1-1"], 1_000));
    const { order } = await tickets.getOrder({ checkoutId, userId });
    expect(order).toMatchObject({
      status: OrderStatus.COMPLETED,
      amountRefunded: 0,
      refunds: [{ refundId: "rfd_1", state: RefundState.PENDING, kind: RefundKind.RETURN }],
      refundingSeatIds: ["A-1-1"],
    });
    await paidBack(checkoutId, "rfd_1", 1_000);
    await paidBack(checkoutId, "rfd_1", 1_000);
    expect((await tickets.getOrder({ checkoutId, userId })).order).toMatchObject({
      status: OrderStatus.PARTIALLY_REFUNDED,
      amountRefunded: 1_000,
      refunds: [{ refundId: "rfd_1", state: RefundState.PAID, amount: 1_000, seatIds: ["A-1-1"] }],
      refundingSeatIds: [],
    });
    expect(await reserve(checkoutId, "rfd_2")).toEqual(aReturn(["A-1-2"], 1_000));
  });

  it("is free again once it is given up; one that was paid stays", async () => {
    const { checkoutId } = await buy(newId("evt"), [1]);
    await reserve(checkoutId, "rfd_1");
    await expect(reserve(checkoutId, "rfd_2")).rejects.toMatchObject({ code: "SEAT_REFUNDED" });
    await tickets.dropRefund({ checkoutId, refundId: "rfd_1" });
    await tickets.dropRefund({ checkoutId, refundId: "rfd_1" });
    await reserve(checkoutId, "rfd_2");
    await paidBack(checkoutId, "rfd_2", 1_000);
    await tickets.dropRefund({ checkoutId, refundId: "rfd_2" });
    await expect(reserve(checkoutId, "rfd_3")).rejects.toMatchObject({ code: "SEAT_REFUNDED" });
  });

  it("gives more money for seats that were given back before only to who says so", async () => {
    const { checkoutId } = await buy(newId("evt"), [1, 2]);
    await giveBack(checkoutId, ["A-1-1"], 700);
    await expect(reserve(checkoutId, "rfd_a", ["A-1-1"], 300)).rejects.toMatchObject({
      code: "SEAT_REFUNDED",
      details: { seats: ["A-1-1"] },
    });
    expect(await reserve(checkoutId, "rfd_a", ["A-1-1"], 300, true)).toEqual({
      seatIds: [],
      amount: 300,
      kind: RefundKind.GOODWILL,
    });
    await paidBack(checkoutId, "rfd_a", 300);
    const { order } = await tickets.getOrder({ checkoutId, userId: "" });
    expect(order).toMatchObject({ status: OrderStatus.PARTIALLY_REFUNDED, amountRefunded: 1_000 });
  });

  it.each<[string, string[], number, string]>([
    ["of another order's seats", ["A-1-9"], 1_000, "SEAT_UNKNOWN"],
    ["of more than was paid", [], 2_001, "REFUND_TOO_LARGE"],
    ["of less than nothing", [], -5, "REFUND_TOO_LARGE"],
  ])("%s is refused", async (_, seatIds, amount, code) => {
    const { checkoutId } = await buy(newId("evt"), [1, 2]);
    await expect(reserve(checkoutId, newId("rfd"), seatIds, amount)).rejects.toMatchObject({ code });
  });

  it("needs an order and an id", async () => {
    const { checkoutId } = await buy(newId("evt"), [1]);
    await expect(reserve("chk_none", "rfd_1")).rejects.toMatchObject({ code: "ORDER_NOT_FOUND" });
    await expect(reserve(checkoutId, "")).rejects.toMatchObject({ code: "REQUEST_INVALID" });
    await expect(tickets.dropRefund({ checkoutId: "chk_none", refundId: "r" })).rejects.toMatchObject({
      code: "ORDER_NOT_FOUND",
    });
  });
});
