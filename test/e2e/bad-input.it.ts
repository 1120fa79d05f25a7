// Nonsense at the whole stack: each a problem document with its code and a 4xx, nothing stored, nobody charged.
import { createHmac, randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Answer, logIn, type Person, publishEvent, request, signUp, untilStatus } from "./rest.js";
import { openShop, type Shop } from "./shop.js";

const webhookSecret = `whsec_${"a".repeat(32)}`;
let shop: Shop;
let buyer: Person;
let eventId: string;
let otherEventId: string;
let laterEventId: string;

beforeAll(async () => {
  shop = await openShop({
    settings: {
      payment: { STRIPE_WEBHOOK_SECRET: webhookSecret },
      "stripe-sim": { STRIPE_WEBHOOK_SECRET: webhookSecret },
    },
  });
  buyer = await signUp(shop.url);
  eventId = await publishEvent(shop.organiser);
  otherEventId = await publishEvent(shop.organiser, { rows: 3 });
  laterEventId = await publishEvent(shop.organiser, { onSaleInMs: 3_600_000 });
});
afterAll(() => shop?.stop());

/** Everything that a refused request must leave as it was. */
async function stored(): Promise<Record<string, number>> {
  const db = shop.mongo.db(shop.database);
  const names = ["accounts", "events", "claims", "payments", "orders", "tickets"];
  const counts = await Promise.all(names.map((name) => db.collection(name).countDocuments({})));
  return Object.fromEntries(names.map((name, at) => [name, counts[at] ?? 0]));
}

function expectProblem(answer: Answer<unknown>, status: number, code: string): void {
  expect(answer, JSON.stringify(answer.body)).toMatchObject({
    status,
    body: { code, status, title: expect.any(String), detail: expect.any(String) },
  });
  expect(answer.headers.get("content-type")).toMatch(/^application\/problem\+json/);
  expect(JSON.stringify(answer.body)).not.toMatch(/\bat .*\.(ts|js):\d+|node_modules/);
}

const hold = (body: unknown) => buyer.ask("POST", "/v1/checkouts", { key: randomUUID(), body });
const seats = (count: number) => Array.from({ length: count }, (_, at) => `A-A-${at + 1}`);

describe("a hold", () => {
  it.each<[string, () => unknown, number, string]>([
    ["of no seats", () => ({ eventId, seats: [] }), 400, "REQUEST_INVALID"],
    ["of 1,000 seats", () => ({ eventId, seats: seats(1000) }), 400, "REQUEST_INVALID"],
    ["of one seat twice", () => ({ eventId, seats: ["A-A-1", "A-A-1"] }), 400, "REQUEST_INVALID"],
    ["of a seat that only another event has", () => ({ eventId, seats: ["A-C-1"] }), 422, "SEAT_UNKNOWN"],
    ["of a section that is not there", () => ({ eventId, section: "ZZ", quantity: 1 }), 422, "SECTION_UNKNOWN"],
    ["of no event", () => ({ eventId: "evt_none", seats: ["A-A-1"] }), 404, "EVENT_NOT_FOUND"],
    ["before the sale", () => ({ eventId: laterEventId, seats: ["A-A-1"] }), 409, "SALE_NOT_OPEN"],
    ["of more than a person may have", () => ({ eventId, seats: seats(9) }), 409, "SEAT_LIMIT_EXCEEDED"],
    ["with an unknown field", () => ({ eventId, seats: ["A-A-1"], price: 1 }), 400, "REQUEST_INVALID"],
    ["with wrong types", () => ({ eventId: 1, seats: "A-A-1" }), 400, "REQUEST_INVALID"],
    ["of -1 places", () => ({ eventId, section: "GA", quantity: -1 }), 400, "REQUEST_INVALID"],
  ])("%s is refused", async (_, body, status, code) => {
    const before = await stored();
    expectProblem(await hold(body()), status, code);
    expect(await stored()).toEqual(before);
    for (const id of [eventId, otherEventId, laterEventId]) {
      const availability = await request<{ totals: { held: number } }>(
        shop.url,
        "GET",
        `/v1/events/${id}/availability`,
      );
      expect(availability.body.totals.held).toBe(0);
    }
  });

  it("without a key, without a token, with a forged one, and with alg none is refused", async () => {
    const body = { eventId, seats: ["A-A-1"] };
    expectProblem(await buyer.ask("POST", "/v1/checkouts", { body }), 400, "IDEMPOTENCY_KEY_REQUIRED");
    const key = randomUUID();
    const as = (token: string | undefined) => request(shop.url, "POST", "/v1/checkouts", { key, body, token });
    expectProblem(await as(undefined), 401, "TOKEN_MISSING");
    const [header = "", payload = "", signature = ""] = buyer.token.split(".");
    expectProblem(
      await as(`${header}.${payload}.${signature.startsWith("A") ? "B" : "A"}${signature.slice(1)}`),
      401,
      "TOKEN_INVALID",
    );
    const none = Buffer.from(JSON.stringify({ alg: "none", typ: "at+jwt" })).toString("base64url");
    expectProblem(await as(`${none}.${payload}.`), 401, "TOKEN_INVALID");
  });
});

describe("a body", () => {
  const send = (body: string, type = "application/json") =>
    fetch(`${shop.url}/v1/accounts`, { method: "POST", headers: { "content-type": type }, body }).then(
      async (answer) => ({
        status: answer.status,
        headers: answer.headers,
        body: (await answer.json()) as unknown,
      }),
    );

  it("that is no JSON, too large, of another type, or has a NUL byte in a name is refused", async () => {
    const before = await stored();
    expectProblem(await send('{"email":'), 400, "JSON_MALFORMED");
    expectProblem(await send(JSON.stringify({ name: "x".repeat(10 * 1024 * 1024) })), 413, "BODY_TOO_LARGE");
    expectProblem(await send("email=x", "application/x-www-form-urlencoded"), 415, "MEDIA_TYPE_UNSUPPORTED");
    const person = { email: `${randomUUID()}@example.test`, password: "a long and quiet river", name: "A\0B" };
    expectProblem(await send(JSON.stringify(person)), 400, "REQUEST_INVALID");
    expect(await stored()).toEqual(before);
  });
});

describe("a webhook", () => {
  const deliver = (body: string, secret: string, atMs = Date.now()) => {
    const at = Math.floor(atMs / 1000);
    const signature = createHmac("sha256", secret).update(`${at}.${body}`).digest("hex");
    return fetch(`${shop.url}/v1/webhooks/stripe`, {
      method: "POST",
      headers: { "content-type": "application/json", "stripe-signature": `t=${at},v1=${signature}` },
      body,
    }).then(async (answer) => ({
      status: answer.status,
      headers: answer.headers,
      body: (await answer.json()) as unknown,
    }));
  };

  it("with another signature or an old one is refused; one played again changes nothing", async () => {
    const { body } = await buyer.hold(eventId, ["A-A-2"]);
    await buyer.pay(body.checkoutId);
    await untilStatus(buyer, body.checkoutId, ["completed"]);
    const before = await stored();
    const events = await fetch(`${shop.stack.stripeUrl}/v1/events?type=payment_intent.succeeded&limit=1`, {
      headers: { authorization: "Bearer sk_test_reader" },
    });
    const [event] = ((await events.json()) as { data: unknown[] }).data;
    const delivery = JSON.stringify(event);
    expectProblem(await deliver(delivery, `whsec_${"b".repeat(32)}`), 400, "WEBHOOK_SIGNATURE_INVALID");
    expectProblem(await deliver(delivery, webhookSecret, Date.now() - 3_600_000), 400, "WEBHOOK_SIGNATURE_INVALID");
    for (let times = 0; times < 3; times += 1) expect((await deliver(delivery, webhookSecret)).status).toBe(200);
    expect(await stored()).toEqual(before);
    expect((await buyer.checkout(body.checkoutId)).body.status).toBe("completed");
  });
});

it("roles are asked for: a buyer creates no event, an organiser publishes no other's", async () => {
  expectProblem(
    await buyer.ask("POST", "/v1/organiser/events", { key: randomUUID(), body: { name: "Mine" } }),
    403,
    "ROLE_REQUIRED",
  );
  const stranger = await signUp(shop.url);
  await shop.operator.ask("PUT", `/v1/accounts/${stranger.accountId}/roles`, { body: { roles: ["organiser"] } });
  const organiser = await logIn(shop.url, stranger.email, stranger.password);
  expectProblem(
    await organiser.ask("POST", `/v1/organiser/events/${eventId}/publish`, { key: randomUUID() }),
    404,
    "EVENT_NOT_FOUND",
  );
});
