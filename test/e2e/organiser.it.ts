// The organiser's side of the whole shop: what was sold, to whom, what happened to each order; refunds by buyers; an event called off.
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type CheckoutBody, logIn, type Person, signUp, untilStatus } from "./rest.js";
import { audit, openShop, type Shop } from "./shop.js";

let shop: Shop;
beforeAll(async () => {
  shop = await openShop({
    settings: {
      gateway: { TEMPORAL_UI_URL: "http://temporal.example", CANCEL_SETTLE_SECONDS: "3" },
      inventory: { EVENT_CACHE_MS: "500" },
    },
  });
});
afterAll(() => shop?.stop());

interface Sales {
  readonly seats: Record<string, number>;
  readonly revenue: Record<string, number>;
  readonly orders: number;
  readonly tickets: number;
  readonly holds: { readonly won: number; readonly lost: number };
  readonly checkouts: Record<string, number>;
  readonly series: readonly { readonly sold: number; readonly revenue: number }[];
}
interface SoldOrder {
  readonly checkoutId: string;
  readonly status: string;
  readonly buyer: { readonly email?: string };
  readonly payment?: { readonly reference: string; readonly status: string };
  readonly timeline: readonly { readonly step: string; readonly at: string }[];
  readonly workflowUrl?: string;
}

async function newOrganiser(): Promise<Person> {
  const newcomer = await signUp(shop.url);
  await shop.operator.ask("PUT", `/v1/accounts/${newcomer.accountId}/roles`, {
    body: { roles: ["buyer", "organiser"] },
  });
  return await logIn(shop.url, newcomer.email, newcomer.password);
}

async function newEvent(organiser: Person): Promise<string> {
  const day = 86_400_000;
  const iso = (ms: number) => new Date(Date.now() + ms).toISOString();
  const created = await organiser.ask<{ eventId: string }>("POST", "/v1/organiser/events", {
    key: randomUUID(),
    body: {
      name: "An evening of tests",
      venue: { name: "Test Hall", city: "Leipzig", country: "DE", timeZone: "Europe/Berlin" },
      startsAt: iso(30 * day),
      onSaleAt: iso(-60_000),
      refundableUntil: iso(20 * day),
      currency: "EUR",
      tiers: [{ id: "T1", name: "Everywhere", amount: 4950 }],
      sections: [{ id: "A", name: "Stalls", tier: "T1", rows: { count: 1, seats: 20 } }],
    },
  });
  expect(created.status, JSON.stringify(created.body)).toBe(201);
  const { eventId } = created.body;
  const published = await organiser.ask("POST", `/v1/organiser/events/${eventId}/publish`, { key: randomUUID() });
  expect(published.status).toBe(200);
  return eventId;
}

async function buy(person: Person, eventId: string, seats: readonly string[], card?: string): Promise<CheckoutBody> {
  const held = await person.hold(eventId, seats);
  expect(held.status, JSON.stringify(held.body)).toBe(201);
  const { checkoutId } = held.body;
  if (card) expect((await person.pay(checkoutId, card)).body.status).toBe("declined");
  await person.pay(checkoutId);
  return await untilStatus(person, checkoutId, ["completed"]);
}

async function eventually<Result>(look: () => Promise<Result>, withinMs = 60_000): Promise<Result> {
  for (const end = Date.now() + withinMs; ; ) {
    try {
      return await look();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

it("an event from its sale to its end: numbers, orders, refunds by buyers, and everything given back", async () => {
  const [organiser, other] = [await newOrganiser(), await newOrganiser()];
  const eventId = await newEvent(organiser);
  const [ada, ben, cyd] = [await signUp(shop.url), await signUp(shop.url), await signUp(shop.url)];

  // ---- a sale: bought, bought at the second try, lost, given up, held
  const first = await buy(ada, eventId, ["A-A-1", "A-A-2", "A-A-3"]);
  const second = await buy(ben, eventId, ["A-A-4"], "pm_card_chargeDeclined");
  expect((await cyd.hold(eventId, ["A-A-1"])).body.code).toBe("SEAT_TAKEN");
  const givenUp = await cyd.hold(eventId, ["A-A-5"]);
  await cyd.cancel(givenUp.body.checkoutId);
  const open = await cyd.hold(eventId, ["A-A-6"]);

  await eventually(async () => {
    const { status, body } = await organiser.ask<Sales>("GET", `/v1/organiser/events/${eventId}/sales`);
    expect(status, JSON.stringify(body)).toBe(200);
    expect(body).toMatchObject({
      seats: { total: 20, sold: 4, held: 1, free: 15, blocked: 0 },
      revenue: { gross: 19_800, refunded: 0, net: 19_800 },
      orders: 2,
      tickets: 4,
      tiers: [{ tierId: "T1", total: 20, sold: 4, revenue: 19_800 }],
      holds: { won: 4, lost: 1 },
      checkouts: { started: 4, completed: 2, expired: 0, cancelled: 1, running: 1 },
      conversion: 0.5,
    });
    expect(body.series.reduce((sum, { sold }) => sum + sold, 0)).toBe(4);
  });

  // ---- found by whatever is known, by who may
  const find = async (who: Person, query: string) =>
    (await who.ask<{ orders: SoldOrder[] }>("GET", `/v1/organiser/orders?${query}`)).body.orders.map(
      ({ checkoutId }) => checkoutId,
    );
  const [ticketId = ""] = (first as unknown as { tickets: string[] }).tickets;
  const ways = [first.checkoutId, ticketId, "A-A-2", encodeURIComponent(ada.email.toUpperCase())];
  for (const q of ways) {
    expect(await find(organiser, `q=${q}`), q).toEqual([first.checkoutId]);
    expect(await find(organiser, `q=${q}&eventId=${eventId}&status=completed`), q).toEqual([first.checkoutId]);
    expect(await find(organiser, `q=${q}&status=refunded`), q).toEqual([]);
    expect(await find(other, `q=${q}`), q).toEqual([]);
  }
  expect(await find(organiser, `eventId=${eventId}`)).toEqual([second.checkoutId, first.checkoutId]);
  expect(await find(shop.operator, `eventId=${eventId}&limit=1`)).toEqual([second.checkoutId]);
  expect(await find(other, "limit=5")).toEqual([]);
  const foreign = await other.ask("GET", `/v1/organiser/orders?eventId=${eventId}`);
  expect({ status: foreign.status, code: foreign.body["code"] }).toEqual({ status: 404, code: "EVENT_NOT_FOUND" });

  // ---- one order, and what happened to it
  const look = (who: Person, id: string) => who.ask<SoldOrder>("GET", `/v1/organiser/orders/${id}`);
  const told = (await look(organiser, second.checkoutId)).body;
  expect(told).toMatchObject({
    buyer: { email: ben.email },
    payment: { reference: expect.stringMatching(/^pi_/), status: "captured" },
    workflowUrl: `http://temporal.example/namespaces/default/workflows/checkout-${second.checkoutId}`,
  });
  const way = told.timeline.map(({ step }) => step);
  expect(way).toEqual(["held", "declined", "authorized", "claimed", "captured", "issued", "completed"]);
  expect((await look(other, second.checkoutId)).status).toBe(404);

  // ---- a buyer gives a seat back: once, however often and from however many tabs it is asked
  const giveBack = (who: Person, id: string, seats?: readonly string[]) =>
    who.ask<{ status: string; code?: string }>("POST", `/v1/orders/${id}/refund`, {
      key: randomUUID(),
      body: seats ? { seats } : {},
    });
  expect((await giveBack(ben, first.checkoutId)).body.code).toBe("ORDER_NOT_FOUND");
  const tabs = await Promise.all([1, 2, 3].map(() => giveBack(ada, first.checkoutId, ["A-A-1"])));
  expect(tabs.map(({ status, body }) => body.code ?? status).sort()).toEqual([200, "SEAT_REFUNDED", "SEAT_REFUNDED"]);
  expect((await giveBack(ada, first.checkoutId, ["A-A-1"])).body.code).toBe("SEAT_REFUNDED");
  const left = await ada.ask<{ amountRefunded: number; refundable: boolean; refundedSeats: string[] }>(
    "GET",
    `/v1/orders/${first.checkoutId}`,
  );
  expect(left.body).toMatchObject({ amountRefunded: 4_950, refundable: true, refundedSeats: ["A-A-1"] });
  expect((await audit(shop, eventId)).contradictions).toEqual([]);
  // It can be bought again, by whoever comes.
  const third = await buy(cyd, eventId, ["A-A-1"]);

  // ---- called off: nothing is sold any more, and what was under way is undone
  const cancelled = await organiser.ask("POST", `/v1/organiser/events/${eventId}/cancel`, {
    key: randomUUID(),
    body: { reason: "The hall has no roof." },
  });
  expect(cancelled.status, JSON.stringify(cancelled.body)).toBe(202);
  await eventually(async () => expect((await ben.hold(eventId, ["A-A-9"])).body.code).toBe("EVENT_CANCELLED"));
  await cyd.pay(open.body.checkoutId);
  const undone = await untilStatus(cyd, open.body.checkoutId, ["cancelled"]);
  expect(undone.reason).toBe("EVENT_CANCELLED");
  const done = await eventually(async () => {
    const { body } = await organiser.ask("GET", `/v1/organiser/events/${eventId}`);
    expect(body).toMatchObject({
      status: "cancelled",
      cancellation: { reason: "The hall has no roof.", refunded: 3, total: 3 },
    });
    return body;
  });
  expect(done["sections"]).toEqual([{ id: "A", name: "Stalls", tier: "T1", rows: { count: 1, seats: 20 } }]);
  for (const { checkoutId } of [first, second, third])
    expect((await look(organiser, checkoutId)).body.status).toBe("refunded");
  expect(await giveBack(ada, first.checkoutId)).toMatchObject({ body: { code: "REFUND_NOT_ALLOWED" } });

  const books = await eventually(async () => {
    const found = await audit(shop, eventId);
    expect(found.contradictions).toEqual([]);
    expect(found.sold).toBe(0);
    return found;
  });
  expect(books.payments.reduce((sum, { captured, refunded }) => sum + captured - refunded, 0)).toBe(0);
  const shown = await ada.ask<{ events: { eventId: string }[] }>("GET", "/v1/events?q=evening");
  expect(shown.body.events.map((event) => event.eventId)).not.toContain(eventId);
  expect((await ada.ask("GET", `/v1/events/${eventId}`)).body).toMatchObject({ status: "cancelled" });
});

it("a new password ends the other sessions, and the old one opens nothing", async () => {
  const person = await signUp(shop.url);
  const elsewhere = await logIn(shop.url, person.email, person.password);
  const newPassword = "a short and loud brook";
  const change = (currentPassword: string) =>
    person.ask("PUT", "/v1/accounts/me/password", { body: { currentPassword, newPassword } });
  expect((await change("not this one, surely")).body["code"]).toBe("PASSWORD_WRONG");
  expect((await change(person.password)).status).toBe(204);
  const refresh = (refreshToken: string) =>
    person.ask("POST", "/v1/sessions/refresh", { key: randomUUID(), body: { refreshToken } });
  expect((await refresh(elsewhere.refreshToken)).body["code"]).toBe("SESSION_REVOKED");
  expect((await refresh(person.refreshToken)).status).toBe(200);
  await expect(logIn(shop.url, person.email, person.password)).rejects.toThrow(/CREDENTIALS_INVALID/);
  await logIn(shop.url, person.email, newPassword);
});
