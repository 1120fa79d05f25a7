// The price that is shown is the price that is charged, in currencies with no, two and three decimals, with Stripe's special cases,
// and with more digits than most: on the whole stack, from the form's text to the ticket, and back.
import { randomUUID } from "node:crypto";
import { formatMoney, readAmount } from "@onsale/kit/money";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Person, publishEvent, request, signUp, untilStatus } from "./rest.js";
import { audit, openShop, type Shop } from "./shop.js";

let shop: Shop;
let buyer: Person;
beforeAll(async () => {
  shop = await openShop();
  buyer = await signUp(shop.url);
});
afterAll(() => shop?.stop());

interface Priced {
  readonly amount: number;
  readonly currency: string;
}

describe("a seat in", () => {
  it.each([
    // What is typed, what Stripe must be asked for, and what people must see.
    ["ISK", "9900", 990_000, "ISK 9,900"],
    ["UGX", "50000", 5_000_000, "UGX 50,000"],
    ["JPY", "4950", 4_950, "JPY 4,950"],
    ["KWD", "12,5", 12_500, "KWD 12.500"],
    ["HUF", "15000", 1_500_000, "HUF 15,000.00"],
    ["IDR", "1500000", 150_000_000, "IDR 1,500,000.00"],
  ])("%s for %s is charged as %d and shown as %s everywhere", async (currency, typed, minor, shown) => {
    const eventId = await publishEvent(shop.organiser, {
      currency,
      amount: readAmount(typed, currency) ?? 0,
      capacity: 1,
    });
    const event = await request<{ currency: string; tiers: { amount: number }[] }>(
      shop.url,
      "GET",
      `/v1/events/${eventId}`,
    );
    const held = await buyer.hold(eventId, ["A-A-1"]);
    expect(held.status, JSON.stringify(held.body)).toBe(201);
    const { checkoutId } = held.body;
    const started = await shop.temporal.workflow.getHandle(`checkout-${checkoutId}`).describe();
    expect(await started.staticSummary()).toMatch(new RegExp(`· ${shown}$`));
    const paid = await buyer.pay(checkoutId);
    expect(paid, JSON.stringify(paid.body)).toMatchObject({ status: 200, body: { status: "completed" } });

    const [tickets, orders, listed] = await Promise.all([
      buyer.ask<{ tickets: { checkoutId: string; currency: string; seat: { amount: number } }[] }>(
        "GET",
        "/v1/tickets",
      ),
      buyer.ask<{ orders: (Priced & { checkoutId: string })[] }>("GET", "/v1/orders"),
      request<{ events: { eventId: string; currency: string; tiers: { amount: number }[] }[] }>(
        shop.url,
        "GET",
        `/v1/events?currency=${currency}&priceFrom=${minor}&priceTo=${minor}`,
      ),
    ]);
    const ticket = tickets.body.tickets.find((one) => one.checkoutId === checkoutId);
    const order = orders.body.orders.find((one) => one.checkoutId === checkoutId);
    const inList = listed.body.events.find((one) => one.eventId === eventId);
    const { contradictions, payments } = await audit(shop, eventId);
    expect(contradictions).toEqual([]);
    expect(payments).toMatchObject([{ captured: minor, authorized: minor, currency: currency.toLowerCase() }]);
    const seen: (Priced | undefined)[] = [
      event.body.tiers[0] && { amount: event.body.tiers[0].amount, currency: event.body.currency },
      inList?.tiers[0] && { amount: inList.tiers[0].amount, currency: inList.currency },
      held.body,
      paid.body,
      ticket && { amount: ticket.seat.amount, currency: ticket.currency },
      order,
      payments[0] && { amount: payments[0].captured, currency: payments[0].currency.toUpperCase() },
    ];
    expect(seen.map((price) => price && formatMoney(price))).toEqual(seen.map(() => shown));

    const refund = await shop.organiser.ask("POST", `/v1/orders/${checkoutId}/refund`, { key: randomUUID(), body: {} });
    expect([200, 202], JSON.stringify(refund.body)).toContain(refund.status);
    await untilStatus(buyer, checkoutId, ["refunded"]);
    expect((await audit(shop, eventId)).payments).toMatchObject([{ captured: minor, refunded: minor }]);
  });
});

describe("an event that nobody could pay for", () => {
  it.each([
    ["EUR", 25, "/tiers/0/amount"],
    ["JPY", 40, "/tiers/0/amount"],
    ["KWD", 1_005, "/tiers/0/amount"],
    ["ISK", 9_950, "/tiers/0/amount"],
    ["HUF", 15_000, "/tiers/0/amount"],
    ["EUR", 20_000_000, "/tiers/0/amount"],
    ["CUP", 4_950, "/currency"],
  ])(
    "in %s, at %d, is refused when it is made and when a draft is edited so, at %s",
    async (currency, amount, pointer) => {
      const content = {
        name: "Too dear or too cheap",
        venue: { name: "Test Hall", city: "Leipzig", country: "DE", timeZone: "Europe/Berlin" },
        startsAt: new Date(Date.now() + 30 * 86_400_000).toISOString(),
        onSaleAt: new Date(Date.now() - 60_000).toISOString(),
        currency: "EUR",
        seatsPerPerson: 8,
        tiers: [{ id: "T1", name: "Everywhere", amount: 4_950 }],
        sections: [{ id: "GA", name: "Floor", tier: "T1", capacity: 10 }],
      };
      const odd = { ...content, currency, tiers: [{ id: "T1", name: "Everywhere", amount }] };
      const path = "/v1/organiser/events";
      const refusal = { status: 400, body: { code: "REQUEST_INVALID", errors: [{ in: "body", pointer }] } };
      const made = (body: object) => shop.organiser.ask<{ eventId: string }>("POST", path, { key: randomUUID(), body });
      expect(await made(odd)).toMatchObject(refusal);
      const draft = await made(content);
      expect(draft.status).toBe(201);
      const headers = { "if-match": draft.headers.get("etag") ?? '"0"' };
      const edited = await shop.organiser.ask("PUT", `${path}/${draft.body.eventId}`, { body: odd, headers });
      expect(edited).toMatchObject(refusal);
    },
  );
});
