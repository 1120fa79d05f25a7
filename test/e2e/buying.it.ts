// A buyer's ways through a checkout on the whole stack: paid, declined, 3-D Secure, cancelled, expired, refunded, retried.
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CheckoutBody, logIn, type Person, publishEvent, request, signUp, untilStatus } from "./rest.js";
import { answerBank, audit, openShop, type Shop } from "./shop.js";

let shop: Shop;
let buyer: Person;
let eventId: string;
/** Begun first, looked at last. */
let expiring: { readonly seats: string[]; readonly checkoutId: string };

beforeAll(async () => {
  // A short hold, so that an expiry can be waited for; the real five minutes are tested with skipped time in workflows/test.
  shop = await openShop({ settings: { inventory: { HOLD_TTL_SECONDS: "20" } } });
  buyer = await signUp(shop.url);
  eventId = await publishEvent(shop.organiser, { rows: 2, seatsPerRow: 30, capacity: 6, seatsPerPerson: 40 });
  const seats = freeSeats(1);
  expiring = { seats, checkoutId: (await held(seats)).checkoutId };
});
afterAll(() => shop?.stop());

let nextSeat = 1;
const freeSeats = (count: number) => Array.from({ length: count }, () => `A-A-${nextSeat++}`);

async function held(seats = freeSeats(1)): Promise<CheckoutBody> {
  const hold = await buyer.hold(eventId, seats);
  expect(hold.status, JSON.stringify(hold.body)).toBe(201);
  return hold.body;
}

describe("a checkout", () => {
  it("is paid at the first try: tickets, an order, at most 28 history events", async () => {
    const seats = freeSeats(2);
    const checkout = await held(seats);
    expect(checkout).toMatchObject({ status: "held", amount: 9900, currency: "EUR" });
    expect(checkout.seats.map(({ seatId }) => seatId)).toEqual(seats);
    expect(Date.parse(checkout.deadline)).toBeGreaterThan(Date.now());

    const payment = await buyer.pay(checkout.checkoutId);
    expect(payment).toMatchObject({ status: 200, body: { status: "completed" } });
    const tickets = await buyer.ask<{ tickets: { ticketId: string; seat: { seatId: string } }[] }>(
      "GET",
      "/v1/tickets",
    );
    const mine = tickets.body.tickets.filter(({ seat }) => seats.includes(seat.seatId));
    expect(mine).toHaveLength(2);
    const ticket = await buyer.ask<{ qrSvg: string; token: string }>("GET", `/v1/tickets/${mine[0]?.ticketId}`);
    expect(ticket.body.qrSvg).toContain("<svg");
    const orders = await buyer.ask<{ orders: { checkoutId: string; status: string }[] }>("GET", "/v1/orders");
    expect(orders.body.orders[0]).toMatchObject({ checkoutId: checkout.checkoutId, status: "completed" });
    expect(await shop.historyLength(checkout.checkoutId)).toBeLessThanOrEqual(28);
  });

  it("is declined, stays held, and is paid with another card", async () => {
    const { checkoutId } = await held();
    const declined = await buyer.pay(checkoutId, "pm_card_chargeDeclinedInsufficientFunds");
    expect(declined).toMatchObject({
      status: 200,
      body: { status: "declined", decline: { code: "insufficient_funds", message: expect.any(String) } },
    });
    expect((await buyer.checkout(checkoutId)).body.status).toBe("held");
    expect((await buyer.pay(checkoutId)).body.status).toBe("completed");
  });

  it.each(["approve", "fail"] as const)("asks for 3-D Secure, and the buyer can %s", async (decision) => {
    const { checkoutId } = await held();
    const asked = await buyer.pay(checkoutId, "pm_card_threeDSecure2Required");
    expect(asked).toMatchObject({ status: 200, body: { status: "requires_action" } });
    const page = await fetch(asked.body.actionUrl ?? "");
    expect(page.status).toBe(200);
    await answerBank(shop, checkoutId, decision);
    const after = await untilStatus(buyer, checkoutId, decision === "approve" ? ["completed"] : ["held"]);
    if (decision === "fail") {
      expect(after.decline?.code).toBeTruthy();
      await buyer.cancel(checkoutId);
    }
  });

  it("is cancelled by the buyer, and its seats are free for the next", async () => {
    const seats = freeSeats(2);
    const { checkoutId } = await held(seats);
    expect((await buyer.cancel(checkoutId)).body.status).toBe("cancelled");
    expect((await buyer.pay(checkoutId)).body).toMatchObject({ code: "CHECKOUT_CANCELLED" });
    const next = await signUp(shop.url);
    expect((await next.hold(eventId, seats)).status).toBe(201);
  });

  it("of general admission takes places until there are none", async () => {
    const first = await buyer.hold(eventId, { section: "GA", quantity: 4 });
    expect(first.status).toBe(201);
    expect(first.body.seats).toHaveLength(4);
    const other = await signUp(shop.url);
    const tooMany = await other.hold(eventId, { section: "GA", quantity: 3 });
    expect(tooMany).toMatchObject({ status: 409, body: { code: "NOT_ENOUGH_SEATS" } });
    expect((await other.hold(eventId, { section: "GA", quantity: 2 })).status).toBe(201);
    expect((await buyer.pay(first.body.checkoutId)).body.status).toBe("completed");
  });

  it("is refunded by the organiser: money back, tickets void, seats free", async () => {
    const seats = freeSeats(2);
    const { checkoutId } = await held(seats);
    expect((await buyer.pay(checkoutId)).body.status).toBe("completed");
    const stranger = await signUp(shop.url);
    const denied = await stranger.ask("POST", `/v1/orders/${checkoutId}/refund`, { key: randomUUID(), body: {} });
    expect([403, 404]).toContain(denied.status);
    const key = randomUUID();
    const refund = await shop.organiser.ask("POST", `/v1/orders/${checkoutId}/refund`, { key, body: {} });
    expect([200, 202], JSON.stringify(refund.body)).toContain(refund.status);
    await untilStatus(buyer, checkoutId, ["refunded"]);
    const again = await shop.organiser.ask("POST", `/v1/orders/${checkoutId}/refund`, { key, body: {} });
    expect(again.status).toBe(refund.status);
    const next = await signUp(shop.url);
    expect((await next.hold(eventId, seats)).status).toBe(201);
  });

  it("belongs to its buyer: for others it does not exist", async () => {
    const { checkoutId } = await held();
    const stranger = await signUp(shop.url);
    expect((await stranger.checkout(checkoutId)).status).toBe(404);
    expect((await stranger.cancel(checkoutId)).status).toBe(404);
    expect((await stranger.pay(checkoutId)).status).toBe(404);
    expect((await request(shop.url, "GET", `/v1/checkouts/${checkoutId}`)).status).toBe(401);
    expect((await buyer.cancel(checkoutId)).body.status).toBe("cancelled");
  });
});

describe("a retry", () => {
  it("of a hold, of a payment and of both at once gives the same answer and no second charge", async () => {
    const seats = freeSeats(1);
    const key = randomUUID();
    const first = await buyer.hold(eventId, seats, key);
    const second = await buyer.hold(eventId, seats, key);
    expect(second).toMatchObject({ status: 201, body: first.body });
    const other = await buyer.hold(eventId, freeSeats(1), key);
    expect(other).toMatchObject({ status: 422, body: { code: "IDEMPOTENCY_KEY_REUSED" } });

    const { checkoutId } = first.body;
    const payKey = randomUUID();
    const payments = await Promise.all([1, 2, 3].map(() => buyer.pay(checkoutId, "pm_card_visa", payKey)));
    for (const payment of payments) expect([200, 202, 409]).toContain(payment.status);
    await untilStatus(buyer, checkoutId, ["completed"]);
    const again = await buyer.pay(checkoutId, "pm_card_visa", payKey);
    expect(again).toMatchObject({ status: 200, body: { status: "completed" } });
    const books = await audit(shop, eventId);
    expect(books.payments.filter(({ metadata }) => metadata["checkoutId"] === checkoutId)).toHaveLength(1);
  });
});

describe("a session", () => {
  it("is refreshed once a token; a token used twice ends it", async () => {
    const person = await signUp(shop.url);
    const refresh = (refreshToken: string) =>
      request<{ refreshToken: string; accessToken: string }>(shop.url, "POST", "/v1/sessions/refresh", {
        body: { refreshToken },
      });
    const second = await refresh(person.refreshToken);
    expect(second.status).toBe(200);
    expect(await refresh(person.refreshToken)).toMatchObject({ status: 401, body: { code: "SESSION_REVOKED" } });
    expect(await refresh(second.body.refreshToken)).toMatchObject({ status: 401, body: { code: "SESSION_REVOKED" } });
    const back = await logIn(shop.url, person.email, person.password);
    expect((await back.ask("DELETE", "/v1/sessions/current")).status).toBe(204);
    expect((await refresh(back.refreshToken)).status).toBe(401);
  });
});

// Late: its time has passed while the others were looked at.
it("a checkout expires when nobody pays: seats free, at most 16 history events", async () => {
  const { seats, checkoutId } = expiring;
  const end = await untilStatus(buyer, checkoutId, ["expired"], 60_000);
  expect(end.reason).toBeTruthy();
  expect(await shop.historyLength(checkoutId)).toBeLessThanOrEqual(16);
  expect((await buyer.pay(checkoutId)).body).toMatchObject({ code: "CHECKOUT_EXPIRED", status: 410 });
  const next = await signUp(shop.url);
  expect((await next.hold(eventId, seats)).status).toBe(201);
});

it("leaves the books in agreement after all of this", async () => {
  const books = await audit(shop, eventId);
  expect(books.contradictions).toEqual([]);
});
