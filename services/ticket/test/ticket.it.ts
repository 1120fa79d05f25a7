// The whole ticket service over gRPC, against a real MongoDB-protocol server.
import { randomUUID } from "node:crypto";
import { connect } from "@onsale/kit/grpc-client";
import { createContext } from "@onsale/kit/process";
import {
  type IssueTicketsRequest,
  OrderStatus,
  TicketServiceService,
  TicketStatus,
} from "@onsale/proto/ticket/v1/ticket";
import { compactVerify, createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet } from "jose";
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

beforeAll(async () => {
  const { port } = await startTicket(context);
  tickets = connect(TicketServiceService, { address: `127.0.0.1:${port}`, trust: {}, deadlineMs: 20_000 });
});
afterAll(async () => {
  tickets.close();
  await context.lifecycle.stop("test");
  await mongo.db(database).dropDatabase();
  await mongo.close();
});

function purchase(change: Partial<IssueTicketsRequest> = {}, seats = ["1", "2"]): IssueTicketsRequest {
  const checkoutId = `chk_${randomUUID()}`;
  return {
    checkoutId,
    userId: `acc_${checkoutId}`,
    event: {
      eventId: `evt_${checkoutId}`,
      name: "An evening",
      startsAtMs: Date.now() + 86_400_000,
      venueName: "Hall",
      city: "Leipzig",
      timeZone: "Europe/Berlin",
    },
    seats: seats.map((number) => ({
      seatId: `A-1-${number}`,
      sectionId: "A",
      row: "1",
      number,
      tierId: "T1",
      amount: 4950,
    })),
    amount: 4950 * seats.length,
    currency: "EUR",
    ...change,
  };
}

describe("issuing", () => {
  it("gives one signed ticket a seat, which a gate verifies with the public keys alone", async () => {
    const bought = purchase();
    const { order } = await tickets.issueTickets(bought);
    expect(order).toMatchObject({ status: OrderStatus.COMPLETED, amount: 9900, amountRefunded: 0 });
    expect(order?.ticketIds).toHaveLength(2);

    const { jwksJson } = await tickets.getVerificationKeys({});
    const keys = createLocalJWKSet(JSON.parse(jwksJson) as JSONWebKeySet);
    const { tickets: listed } = await tickets.listTickets({ userId: bought.userId, cursor: "", limit: 0 });
    expect(listed.map(({ seat }) => seat?.seatId).sort()).toEqual(["A-1-1", "A-1-2"]);
    for (const { token, ticketId, seat } of listed) {
      const { payload, protectedHeader } = await compactVerify(token, keys, { algorithms: ["EdDSA"] });
      expect(protectedHeader).toEqual({ alg: "EdDSA", kid: expect.any(String) });
      expect(JSON.parse(new TextDecoder().decode(payload))).toEqual({
        iss: "onsale",
        tid: ticketId,
        eid: bought.event?.eventId,
        seat: seat?.seatId,
        iat: expect.any(Number),
      });
      expect(token).not.toContain(bought.userId);
      const forged = `${token.slice(0, -4)}${token.endsWith("AAAA") ? "BBBB" : "AAAA"}`;
      await expect(compactVerify(forged, keys)).rejects.toThrow();
    }
  });

  it("issues once, however often and however parallel it is asked", async () => {
    const bought = purchase();
    const answers = await Promise.all(Array.from({ length: 8 }, () => tickets.issueTickets(bought)));
    for (const { order } of answers) expect(order?.ticketIds).toEqual(answers[0]?.order?.ticketIds);
    const stored = mongo.db(database).collection("tickets");
    expect(await stored.countDocuments({ checkoutId: bought.checkoutId })).toBe(2);
    const [before] = (await tickets.listTickets({ userId: bought.userId, cursor: "", limit: 1 })).tickets;
    await tickets.issueTickets(bought);
    const [after] = (await tickets.listTickets({ userId: bought.userId, cursor: "", limit: 1 })).tickets;
    expect(after?.token).toBe(before?.token);
  });

  it("never gives a second valid ticket for a seat, and leaves nothing of the attempt", async () => {
    const first = purchase();
    await tickets.issueTickets(first);
    const second = purchase({ event: first.event });
    await expect(tickets.issueTickets(second)).rejects.toMatchObject({ code: "INTERNAL" });
    await expect(tickets.getOrder({ checkoutId: second.checkoutId, userId: "" })).rejects.toMatchObject({
      code: "ORDER_NOT_FOUND",
    });
  });

  it("refuses the same checkout with other seats", async () => {
    const bought = purchase();
    await tickets.issueTickets(bought);
    const other = purchase({ ...bought, seats: purchase({}, ["3", "4"]).seats });
    await expect(tickets.issueTickets(other)).rejects.toMatchObject({ code: "INTERNAL" });
  });

  it("gives a seat to one of two checkouts that both come with it at once, and says so loudly to the other", async () => {
    const first = purchase();
    const second = purchase({ event: first.event });
    const outcomes = await Promise.allSettled([tickets.issueTickets(first), tickets.issueTickets(second)]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    for (const outcome of outcomes)
      if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "INTERNAL" });
    const valid = { eventId: first.event?.eventId, status: "valid" };
    expect(await mongo.db(database).collection("tickets").countDocuments(valid)).toBe(2);
  });

  it("answers a late retry after a refund with the refunded order, and makes nothing valid again", async () => {
    const bought = purchase();
    await tickets.issueTickets(bought);
    await tickets.voidTickets({
      checkoutId: bought.checkoutId,
      refundId: "ref_1",
      seatIds: [],
      amountRefunded: bought.amount,
    });
    const { order } = await tickets.issueTickets(bought);
    expect(order?.status).toBe(OrderStatus.REFUNDED);
    const { tickets: listed } = await tickets.listTickets({ userId: bought.userId, cursor: "", limit: 0 });
    expect(listed.map(({ status }) => status)).toEqual([TicketStatus.VOID, TicketStatus.VOID]);
  });

  it.each<[string, Partial<IssueTicketsRequest>]>([
    ["no seats", { seats: [], amount: 0 }],
    ["a wrong sum", { amount: 1 }],
    ["no event", { event: undefined }],
    ["no owner", { userId: "" }],
    ["an owner with a NUL byte", { userId: "acc\0" }],
    ["more money than there is", { amount: Number.MAX_SAFE_INTEGER }],
    ["a currency that is none", { currency: "€" }],
  ])("refuses %s", async (_, change) => {
    const bought = purchase(change);
    await expect(tickets.issueTickets(bought)).rejects.toMatchObject({ code: "REQUEST_INVALID" });
    await expect(tickets.getOrder({ checkoutId: bought.checkoutId, userId: "" })).rejects.toMatchObject({
      code: "ORDER_NOT_FOUND",
    });
  });
});

describe("reading", () => {
  it("shows a ticket with its QR code to its owner, and to nobody else", async () => {
    const bought = purchase();
    const { order } = await tickets.issueTickets(bought);
    const ticketId = order?.ticketIds[0] ?? "";
    const { ticket } = await tickets.getTicket({ ticketId, userId: bought.userId });
    expect(ticket).toMatchObject({ status: TicketStatus.VALID, voidedAtMs: 0, currency: "EUR" });
    expect(ticket?.qrSvg).toMatch(/^<svg .*<\/svg>\s*$/s);
    for (const userId of ["acc_other", `${bought.userId}x`])
      await expect(tickets.getTicket({ ticketId, userId })).rejects.toMatchObject({ code: "TICKET_NOT_FOUND" });
    await expect(tickets.getTicket({ ticketId, userId: "" })).rejects.toMatchObject({ code: "REQUEST_INVALID" });
    await expect(tickets.getTicket({ ticketId: "\0", userId: bought.userId })).rejects.toMatchObject({
      code: "TICKET_NOT_FOUND",
    });
    await expect(tickets.getOrder({ checkoutId: bought.checkoutId, userId: "acc_other" })).rejects.toMatchObject({
      code: "ORDER_NOT_FOUND",
    });
  });

  it("lists page by page, newest first, each once", async () => {
    const userId = `acc_${randomUUID()}`;
    for (let order = 0; order < 5; order += 1) await tickets.issueTickets(purchase({ userId }));
    const seen: string[] = [];
    let cursor = "";
    do {
      const page = await tickets.listTickets({ userId, cursor, limit: 3 });
      expect(page.tickets.length).toBeLessThanOrEqual(3);
      seen.push(...page.tickets.map(({ ticketId }) => ticketId));
      cursor = page.nextCursor;
    } while (cursor);
    expect(seen).toHaveLength(10);
    expect(new Set(seen).size).toBe(10);
    const orders = await tickets.listOrders({ userId, cursor: "", limit: 100 });
    expect(orders.orders).toHaveLength(5);
    const times = orders.orders.map(({ createdAtMs }) => createdAtMs);
    expect(times).toEqual([...times].sort((a, b) => b - a));
    await expect(tickets.listOrders({ userId, cursor: "nonsense", limit: 1 })).rejects.toMatchObject({
      code: "REQUEST_INVALID",
    });
    await expect(tickets.listTickets({ userId, cursor: "", limit: 101 })).rejects.toMatchObject({
      code: "REQUEST_INVALID",
    });
  });
});

describe("voiding", () => {
  it("voids one seat, then all, each refund once, and frees the seat for a new ticket", async () => {
    const bought = purchase();
    const { order } = await tickets.issueTickets(bought);
    const one = { checkoutId: bought.checkoutId, refundId: "ref_1", seatIds: ["A-1-1"], amountRefunded: 4950 };
    const answers = await Promise.all([tickets.voidTickets(one), tickets.voidTickets(one), tickets.voidTickets(one)]);
    for (const answer of answers)
      expect(answer.order).toMatchObject({ status: OrderStatus.PARTIALLY_REFUNDED, amountRefunded: 4950 });
    const ticket = await tickets.getTicket({ ticketId: order?.ticketIds[0] ?? "", userId: bought.userId });
    expect(ticket.ticket).toMatchObject({ status: TicketStatus.VOID, token: "", qrSvg: "" });

    const all = await tickets.voidTickets({ ...one, refundId: "ref_2", seatIds: [] });
    expect(all.order).toMatchObject({ status: OrderStatus.REFUNDED, amountRefunded: 9900 });
    const again = await tickets.issueTickets(purchase({ event: bought.event }));
    expect(again.order?.status).toBe(OrderStatus.COMPLETED);
  });

  it("writes every one of several refunds that come at once", async () => {
    const bought = purchase({}, ["1", "2", "3"]);
    await tickets.issueTickets(bought);
    await Promise.all(
      ["A-1-1", "A-1-2", "A-1-3"].map((seatId, at) =>
        tickets.voidTickets({
          checkoutId: bought.checkoutId,
          refundId: `ref_${at}`,
          seatIds: [seatId],
          amountRefunded: 4950,
        }),
      ),
    );
    const { order } = await tickets.getOrder({ checkoutId: bought.checkoutId, userId: bought.userId });
    expect(order).toMatchObject({ status: OrderStatus.REFUNDED, amountRefunded: bought.amount });
  });

  it("of two refunds at once that are more than was paid, writes one", async () => {
    const bought = purchase();
    await tickets.issueTickets(bought);
    const wish = { checkoutId: bought.checkoutId, seatIds: ["A-1-1"], amountRefunded: 6000 };
    const outcomes = await Promise.allSettled(
      ["ref_1", "ref_2"].map((refundId) => tickets.voidTickets({ ...wish, refundId })),
    );
    expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    const { order } = await tickets.getOrder({ checkoutId: bought.checkoutId, userId: bought.userId });
    expect(order).toMatchObject({ status: OrderStatus.PARTIALLY_REFUNDED, amountRefunded: 6000 });
  });

  it("refuses unknown orders, foreign seats and more money than was paid", async () => {
    const bought = purchase();
    await tickets.issueTickets(bought);
    const wish = { checkoutId: bought.checkoutId, refundId: "ref_1", seatIds: [], amountRefunded: 9901 };
    await expect(tickets.voidTickets(wish)).rejects.toMatchObject({ code: "REQUEST_INVALID" });
    await expect(tickets.voidTickets({ ...wish, amountRefunded: 1, seatIds: ["Z-1-1"] })).rejects.toMatchObject({
      code: "REQUEST_INVALID",
    });
    for (const nonsense of [{ refundId: "" }, { refundId: "\0" }, { amountRefunded: -1 }, { seatIds: ["\0"] }])
      await expect(tickets.voidTickets({ ...wish, amountRefunded: 1, ...nonsense })).rejects.toMatchObject({
        code: "REQUEST_INVALID",
      });
    const { order } = await tickets.getOrder({ checkoutId: bought.checkoutId, userId: "" });
    expect(order).toMatchObject({ status: OrderStatus.COMPLETED, amountRefunded: 0 });
    await expect(tickets.voidTickets({ ...wish, checkoutId: "chk_none" })).rejects.toMatchObject({
      code: "ORDER_NOT_FOUND",
    });
  });
});

describe("signing keys", () => {
  const settings = (env: Record<string, string>) =>
    createContext("ticket", ticketSettings, {
      GRPC_LISTEN: "127.0.0.1:0",
      MONGODB_URI: backing.mongodbUri,
      MONGODB_DATABASE: `${database}-keys`,
      TICKET_KEY_SECRET: "a secret of more than thirty-two characters",
      LOG_LEVEL: "silent",
      ...env,
    });
  afterAll(() => mongo.db(`${database}-keys`).dropDatabase());

  it("change with time, and what an old one signed is verified for ever", async () => {
    const day = 24 * 60 * 60 * 1000;
    let now = Date.now();
    const own = settings({});
    const { port } = await startTicket(own, () => now);
    const client = connect(TicketServiceService, { address: `127.0.0.1:${port}`, trust: {}, deadlineMs: 20_000 });
    const kids: string[] = [];
    const tokens: string[] = [];
    for (let year = 0; year < 3; year += 1) {
      const bought = purchase();
      await client.issueTickets(bought);
      const { tickets: listed } = await client.listTickets({ userId: bought.userId, cursor: "", limit: 1 });
      tokens.push(listed[0]?.token ?? "");
      kids.push(decodeProtectedHeader(listed[0]?.token ?? "").kid ?? "");
      now += 364.5 * day; // the next key is published
      await client.getVerificationKeys({});
      now += day;
    }
    expect(new Set(kids).size).toBe(3);
    const { jwksJson } = await client.getVerificationKeys({});
    const published = createLocalJWKSet(JSON.parse(jwksJson) as JSONWebKeySet);
    for (const token of tokens) await compactVerify(token, published);
    client.close();
    await own.lifecycle.stop("test");
  });

  it("do not start a service that has another secret: it could not sign what people have paid for", async () => {
    const stranger = settings({ TICKET_KEY_SECRET: "another secret of more than thirty-two characters" });
    await expect(startTicket(stranger)).rejects.toThrow(/sealed with another secret/);
    await stranger.lifecycle.stop("test");
  });
});
