// The rest of the REST contract: what each route asks of which service, and how its answer looks.
import { randomUUID } from "node:crypto";
import { DomainError } from "@onsale/kit/errors";
import { EventStatus } from "@onsale/proto/inventory/v1/catalog";
import { TicketStatus } from "@onsale/proto/ticket/v1/ticket";
import { exportJWK, generateKeyPair } from "jose";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import {
  aHold,
  anAccount,
  anEvent,
  anOrder,
  aSession,
  aTicket,
  eventually,
  type Harness,
  startHarness,
} from "./harness.js";

let gateway: Harness;
let buyer: string;
let organiser: string;
let operator: string;

beforeAll(async () => {
  gateway = await startHarness({
    ...inject("backing"),
    settings: { CORS_ORIGINS: "https://shop.example, https://b.example" },
  });
  buyer = await gateway.token("acc_1");
  organiser = await gateway.token("acc_org", { roles: ["organiser"] });
  operator = await gateway.token("acc_op", { roles: ["operator"] });
});
afterEach(() => gateway.reset());
afterAll(() => gateway.stop());
const asked = (method: string) => gateway.calls.filter((call) => call.method === method).map(({ request }) => request);

describe("accounts and sessions", () => {
  test("signing up", async () => {
    gateway.replies.account = {
      signUp: async ({ accountId, email, name }) => ({ account: anAccount({ accountId, email, name }) }),
    };
    const body = { email: " Ada@Example.test ", password: "correct horse battery", name: " Ada Lovelace 👩‍💻 " };
    const told = await gateway.post("/v1/accounts", { body });
    expect(told.status, told.text).toBe(201);
    expect(told.body).toEqual({
      accountId: expect.stringMatching(/^acc_[0-9a-z]{26}$/),
      email: "Ada@Example.test",
      name: "Ada Lovelace 👩‍💻",
      roles: ["buyer"],
      createdAt: "2027-01-01T00:00:00.000Z",
    });
    expect(told.text).not.toContain("correct horse");
    const again = await gateway.post("/v1/accounts", { body });
    expect(again.body.accountId).not.toBe(told.body.accountId);
  });

  test("signing up with a key: a retry whose answer was lost meets its own account", async () => {
    const ids: string[] = [];
    gateway.replies.account = {
      signUp: async ({ accountId }) => {
        ids.push(accountId);
        if (ids.length === 1) throw new DomainError("UNAVAILABLE", "The answer is lost.");
        return { account: anAccount({ accountId }) };
      },
    };
    const sign = () =>
      gateway.post("/v1/accounts", {
        key: `sign-up-${gateway.run}`,
        body: { email: "a@b.test", password: "pw pw pw pw", name: "A" },
      });
    expect((await sign()).status).toBe(503);
    expect((await sign()).status).toBe(201);
    expect(ids[0]).toBe(ids[1]);
  });

  test("logging in and refreshing", async () => {
    gateway.replies.account = {
      logIn: async () => ({ account: anAccount(), session: aSession() }),
      refreshSession: async () => ({ account: anAccount(), session: aSession({ refreshToken: "another" }) }),
    };
    const told = await gateway.post("/v1/sessions", { body: { email: "ada@example.test", password: "pw" } });
    expect(told.status).toBe(201);
    expect(told.headers.get("cache-control")).toBe("no-store");
    expect(told.body).toMatchObject({
      accessToken: "a.b.c",
      tokenType: "Bearer",
      expiresAt: "2027-01-01T00:00:00.000Z",
      refreshToken: "refresh-secret-value",
      refreshExpiresAt: "2027-02-01T00:00:00.000Z",
      sessionId: "ses_1",
      account: { accountId: "acc_1", roles: ["buyer"] },
    });
    expect(asked("account.logIn")).toEqual([{ email: "ada@example.test", password: "pw", clientAddress: "127.0.0.1" }]);
    const refreshed = await gateway.post("/v1/sessions/refresh", { body: { refreshToken: "refresh-secret-value" } });
    expect({ status: refreshed.status, token: refreshed.body.refreshToken }).toEqual({ status: 200, token: "another" });
  });

  test.each<[string, number, string | null]>([
    ["CREDENTIALS_INVALID", 401, null],
    ["TOO_MANY_ATTEMPTS", 429, "60"],
  ])("logging in is refused: %s", async (code, status, wait) => {
    gateway.replies.account = {
      logIn: async () => {
        throw new DomainError(code as "CREDENTIALS_INVALID", "No.", wait ? { retryAfterSeconds: 60 } : {});
      },
    };
    const told = await gateway.post("/v1/sessions", { body: { email: "ada@example.test", password: "pw" } });
    expect({ status: told.status, code: told.body.code, wait: told.headers.get("retry-after") }).toEqual({
      status,
      code,
      wait,
    });
  });

  test("a web page's session: its refresh token is in a cookie for the session's own routes only", async () => {
    gateway.replies.account = {
      logIn: async () => ({ account: anAccount(), session: aSession({ refreshToken: "first" }) }),
      refreshSession: async () => ({ account: anAccount(), session: aSession({ refreshToken: "second" }) }),
      logOut: async () => ({}),
    };
    const body = { email: "ada@example.test", password: "four candles on a hill", cookie: true };
    const opened = await gateway.post("/v1/sessions", { body });
    expect({ status: opened.status, token: opened.body.refreshToken }).toEqual({ status: 201, token: undefined });
    expect(opened.headers.get("set-cookie")).toMatch(
      /^onsale_session=first; Path=\/v1\/sessions; Max-Age=\d+; HttpOnly; SameSite=Strict$/,
    );
    expect(asked("account.logIn")[0]).not.toHaveProperty("cookie");

    const refresh = (cookie: string | undefined, key: string) =>
      gateway.post("/v1/sessions/refresh", { body: { cookie: true }, key, headers: cookie ? { cookie } : {} });
    const key = randomUUID();
    const fresh = await refresh("other=1; onsale_session=first", key);
    expect({ status: fresh.status, token: fresh.body.refreshToken }).toEqual({ status: 200, token: undefined });
    expect(fresh.headers.get("set-cookie")).toContain("onsale_session=second;");
    expect(asked("account.refreshSession").at(-1)).toEqual({ refreshToken: "first" });

    // The answer was lost: the same request gives it again, cookie and all, without using the token twice.
    const again = await refresh("other=1; onsale_session=first", key);
    expect(again.headers.get("idempotent-replayed")).toBe("true");
    expect(again.headers.get("set-cookie")).toContain("onsale_session=second;");
    expect(asked("account.refreshSession")).toHaveLength(1);
    // Who has the key and not the cookie gets nothing.
    expect((await refresh("onsale_session=guessed", key)).body.code).toBe("IDEMPOTENCY_KEY_REUSED");

    const without = await refresh(undefined, randomUUID());
    expect({ status: without.status, code: without.body.code }).toEqual({ status: 401, code: "SESSION_REVOKED" });
    for (const path of ["/v1/sessions/current", "/v1/sessions"]) {
      const out = await gateway.delete(path, { token: buyer });
      expect(out.headers.get("set-cookie")).toMatch(/^onsale_session=; Path=\/v1\/sessions; Max-Age=0; HttpOnly/);
    }
    expect(asked("account.logOut")).toEqual([
      { accountId: "acc_1", sessionId: "ses_1", everywhere: false },
      { accountId: "acc_1", sessionId: "", everywhere: true },
    ]);
  });

  test("one's account, and logging out", async () => {
    gateway.replies.account = { getAccount: async () => ({ account: anAccount() }), logOut: async () => ({}) };
    expect((await gateway.get("/v1/accounts/me", { token: buyer })).body.email).toBe("ada@example.test");
    const out = await gateway.delete("/v1/sessions/current", { token: buyer });
    expect({ status: out.status, text: out.text }).toEqual({ status: 204, text: "" });
    expect(asked("account.logOut")).toEqual([{ accountId: "acc_1", sessionId: "ses_1", everywhere: false }]);
  });

  test("roles are set by operators", async () => {
    gateway.replies.account = {
      setRoles: async ({ accountId, roles }) => ({ account: anAccount({ accountId, roles }) }),
    };
    const told = await gateway.put("/v1/accounts/acc_9/roles", {
      token: operator,
      body: { roles: ["buyer", "organiser"] },
    });
    expect({ status: told.status, roles: told.body.roles }).toEqual({ status: 200, roles: ["buyer", "organiser"] });
    for (const roles of [["root"], ["buyer", "buyer"], "buyer"])
      expect((await gateway.put("/v1/accounts/acc_9/roles", { token: operator, body: { roles } })).status).toBe(400);
  });

  test("a key that was rotated in is found, and unknown key ids do not hammer the account service", async () => {
    const next = await generateKeyPair("EdDSA", { crv: "Ed25519" });
    const known = JSON.parse(gateway.keys.jwksJson);
    known.keys.push({ ...(await exportJWK(next.publicKey)), kid: "key-2", alg: "EdDSA", use: "sig" });
    gateway.keys.jwksJson = JSON.stringify(known);
    gateway.replies.account = { ...gateway.replies.account, getAccount: async () => ({ account: anAccount() }) };
    const token = await gateway.token("acc_1", { kid: "key-2", key: next.privateKey });
    await eventually(async () => expect((await gateway.get("/v1/accounts/me", { token })).status).toBe(200));
    const before = gateway.keys.asked;
    const forged = await Promise.all(
      Array.from({ length: 30 }, (_, n) =>
        gateway
          .token("acc_1", { kid: `forged-${n}`, key: next.privateKey })
          .then((forgery) => gateway.get("/v1/accounts/me", { token: forgery })),
      ),
    );
    expect(forged.map(({ status }) => status)).toEqual(Array(30).fill(401));
    expect(gateway.keys.asked - before).toBeLessThanOrEqual(1);
    const jwks = await gateway.get("/.well-known/jwks.json");
    expect(jwks.headers.get("content-type")).toBe("application/jwk-set+json");
    expect(jwks.body.keys.map(({ kid }: { kid: string }) => kid)).toEqual(["key-1", "key-2"]);
    expect(jwks.text).not.toContain('"d"');
  });
});

describe("events", () => {
  test("what a search can be narrowed by", async () => {
    const facets = {
      cities: [{ value: "Kiel", events: 2 }],
      currencies: [{ value: "EUR", events: 2 }],
    };
    gateway.replies.catalog = { getEventFacets: async () => facets };
    const told = await gateway.get("/v1/event-facets");
    expect([told.status, told.body]).toEqual([200, facets]);
    expect(told.headers.get("cache-control")).toContain("public");
    const headers = { "if-none-match": told.headers.get("etag") ?? "" };
    expect((await gateway.get("/v1/event-facets", { headers })).status).toBe(304);
  });

  test("searching", async () => {
    gateway.replies.catalog = { searchEvents: async () => ({ events: [anEvent()], nextCursor: "c2" }) };
    const told = await gateway.get(
      "/v1/events?q=%C3%A9toile&city=Kiel&from=2027-05-01&to=2027-05-31&cursor=c1&limit=5",
    );
    expect(told.status, told.text).toBe(200);
    expect(asked("catalog.searchEvents")).toEqual([
      {
        query: "étoile",
        city: "Kiel",
        fromMs: Date.UTC(2027, 4, 1),
        toMs: Date.UTC(2027, 4, 31, 23, 59, 59, 999),
        currency: "",
        priceFrom: 0,
        priceTo: 0,
        sort: "EVENT_SORT_DATE",
        cursor: "c1",
        limit: 5,
      },
    ]);
    expect(told.body).toEqual({
      events: [
        {
          eventId: "evt_1",
          name: "The Night Ferry",
          description: "",
          venue: { name: "Harbour Hall", city: "Kiel", country: "DE", timeZone: "Europe/Berlin" },
          status: "published",
          startsAt: "2027-05-01T18:00:00.000Z",
          onSaleAt: "2027-04-01T10:00:00.000Z",
          offSaleAt: "2027-05-01T18:00:00.000Z",
          currency: "EUR",
          seatsPerPerson: 8,
          tiers: [{ id: "standard", name: "Standard", amount: 4950 }],
          capacity: 100,
          layoutVersion: "v1",
          orphanRule: "lenient",
          accessibleUntil: "2027-05-01T18:00:00.000Z",
        },
      ],
      nextCursor: "c2",
    });
    expect(told.headers.get("cache-control")).toContain("public");
    await gateway.get("/v1/events?from=2027-05-01T20:00:00%2B02:00");
    expect(asked("catalog.searchEvents")[1]).toMatchObject({
      fromMs: Date.UTC(2027, 4, 1, 18),
      toMs: 0,
      limit: 20,
      query: "",
    });
    const priced = await gateway.get("/v1/events?sort=price&currency=JPY&priceFrom=1000&priceTo=2500");
    expect(priced.status, priced.text).toBe(200);
    expect(priced.headers.get("cache-control")).toContain("public");
    expect(asked("catalog.searchEvents")[2]).toMatchObject({
      sort: "EVENT_SORT_PRICE",
      currency: "JPY",
      priceFrom: 1000,
      priceTo: 2500,
    });
    const long = await gateway.get("/v1/events?currency=IDR&priceFrom=0&priceTo=999999999999");
    expect(long.status, long.text).toBe(200);
    expect(asked("catalog.searchEvents").pop()).toMatchObject({ currency: "IDR", priceTo: 999_999_999_999 });
    for (const query of [
      "currency=CUP&priceTo=5000",
      "currency=EUR&priceTo=100000000",
      "currency=COP&priceTo=10000000000",
    ])
      expect((await gateway.get(`/v1/events?${query}`)).status, query).toBe(400);
    await gateway.get("/v1/events?sort=name&currency=EUR&priceFrom=0");
    expect(asked("catalog.searchEvents").pop()).toMatchObject({ sort: "EVENT_SORT_NAME", priceFrom: 0, priceTo: 0 });
  });

  test("drafts are shown to whom they belong, and no shared cache keeps them", async () => {
    gateway.replies.catalog = {
      getEvent: async ({ viewerId }) => {
        if (viewerId === "") throw new DomainError("EVENT_NOT_FOUND", "There is no such event.");
        return { event: anEvent({ status: EventStatus.DRAFT }), sections: [] };
      },
    };
    const told = await gateway.get("/v1/events/evt_1", { token: organiser });
    expect(told.body.status).toBe("draft");
    expect(told.headers.get("cache-control")).toBe("private, no-cache");
    await gateway.get("/v1/events/evt_1", { token: operator });
    gateway.replies.catalog = { getEvent: async () => ({ event: anEvent(), sections: [] }) };
    expect((await gateway.get("/v1/events/evt_1")).headers.get("cache-control")).toContain("public");
    expect(asked("catalog.getEvent").map(({ viewerId }) => viewerId)).toEqual(["", "acc_org", "", "*", ""]);
  });

  test("the seat map, once for each version", async () => {
    gateway.replies.catalog = {
      getLayout: async () => ({
        eventId: "evt_1",
        layoutVersion: "v7",
        sections: [
          {
            sectionId: "A",
            name: "Stalls",
            tierId: "standard",
            generalAdmission: false,
            capacity: 6,
            focalRow: "A",
            focalSeat: 2,
            rows: [
              { label: "A", firstSeat: 1, seatCount: 4, gaps: [2], blocked: [4], accessible: [1], companion: [3] },
              { label: "B", firstSeat: 1, seatCount: 3, gaps: [], blocked: [], accessible: [], companion: [] },
            ],
          },
          {
            sectionId: "GA",
            name: "Floor",
            tierId: "standard",
            generalAdmission: true,
            capacity: 50,
            focalRow: "",
            focalSeat: 0,
            rows: [],
          },
        ],
      }),
    };
    const told = await gateway.get("/v1/events/evt_1/seats");
    expect(told.body).toEqual({
      eventId: "evt_1",
      layoutVersion: "v7",
      seatCount: 6,
      sections: [
        {
          id: "A",
          name: "Stalls",
          tier: "standard",
          capacity: 6,
          generalAdmission: false,
          focalPoint: { row: "A", seat: 2 },
          rows: [
            { label: "A", first: 1, count: 4, gaps: [2], blocked: [4], accessible: [1], companion: [3] },
            { label: "B", first: 1, count: 3 },
          ],
        },
        { id: "GA", name: "Floor", tier: "standard", capacity: 50, generalAdmission: true, rows: [] },
      ],
    });
    expect(told.headers.get("etag")).toBe('"v7"');
    expect(told.headers.get("cache-control")).toMatch(/^public, max-age=\d+, stale-while-revalidate=\d+$/);
    const same = await gateway.get("/v1/events/evt_1/seats", { headers: { "if-none-match": '"v7"' } });
    expect({ status: same.status, text: same.text, etag: same.headers.get("etag") }).toEqual({
      status: 304,
      text: "",
      etag: '"v7"',
    });
    expect((await gateway.get("/v1/events/evt_1/seats", { headers: { "if-none-match": '"v6"' } })).status).toBe(200);
  });

  test("two bits a seat", async () => {
    let states = Buffer.from([0b11_10_01_00, 0b00_00_00_01]);
    gateway.replies.seats = { getSeatStates: async () => ({ states, seatCount: 5, layoutVersion: "v7" }) };
    const told = await gateway.get("/v1/events/evt_1/seats/state");
    expect(told.headers.get("content-type")).toBe("application/octet-stream");
    expect(told.body).toEqual(states);
    expect(told.headers.get("onsale-layout-version")).toBe("v7");
    expect(told.headers.get("onsale-seat-count")).toBe("5");
    const headers = { "if-none-match": told.headers.get("etag") ?? "" };
    expect((await gateway.get("/v1/events/evt_1/seats/state", { headers })).status).toBe(304);
    states = Buffer.from([0b11_10_01_01, 1]);
    expect((await gateway.get("/v1/events/evt_1/seats/state", { headers })).status).toBe(200);
  });

  test("how many are left; who asks at the same time shares the answer", async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    gateway.replies.seats = {
      getAvailability: async () => {
        await held;
        return {
          sections: [
            { sectionId: "A", free: 1, held: 2, sold: 3, blocked: 4 },
            { sectionId: "B", free: 10, held: 0, sold: 0, blocked: 0 },
          ],
          asOfMs: Date.UTC(2027, 0, 1),
        };
      },
    };
    const many = Array.from({ length: 20 }, () => gateway.get("/v1/events/evt_1/availability"));
    await eventually(() => expect(asked("seats.getAvailability").length).toBeGreaterThan(0));
    await new Promise((resolve) => setTimeout(resolve, 100));
    release();
    const [told] = await Promise.all(many);
    expect(told?.body).toEqual({
      sections: [
        { section: "A", free: 1, held: 2, sold: 3, blocked: 4 },
        { section: "B", free: 10, held: 0, sold: 0, blocked: 0 },
      ],
      totals: { free: 11, held: 2, sold: 3, blocked: 4 },
      asOf: "2027-01-01T00:00:00.000Z",
    });
    expect(asked("seats.getAvailability")).toHaveLength(1);
    expect(told?.headers.get("cache-control")).toContain("max-age=1");
    await gateway.get("/v1/events/evt_1/availability");
    expect(asked("seats.getAvailability")).toHaveLength(2);
  });
});

test("an organiser makes an event and publishes it", async () => {
  gateway.replies.catalog = {
    createEvent: async ({ event }) => ({ event: anEvent({ ...event, status: EventStatus.DRAFT }) }),
    publishEvent: async ({ eventId }) => ({ event: anEvent({ eventId }) }),
  };
  const body = {
    name: "The Night Ferry",
    description: "One night,\nat sea.",
    venue: { name: "Harbour Hall", city: "Kiel", country: "DE", timeZone: "Europe/Berlin" },
    startsAt: "2027-05-01T20:00:00+02:00",
    onSaleAt: "2027-04-01T10:00:00Z",
    currency: "EUR",
    tiers: [{ id: "standard", name: "Standard", amount: 4950 }],
    sections: [
      { id: "A", name: "Stalls", tier: "standard", rows: { count: 2, seats: 3, gaps: [2], blocked: ["A-1"] } },
      { id: "GA", name: "Floor", tier: "standard", capacity: 50 },
    ],
  };
  const key = `event-${gateway.run}`;
  const told = await gateway.post("/v1/organiser/events", { token: organiser, key, body });
  expect(told.status, told.text).toBe(201);
  expect(told.body.status).toBe("draft");
  expect(told.headers.get("location")).toBe(`/v1/events/${told.body.eventId}`);
  const [created] = asked("catalog.createEvent");
  expect(created.event).toMatchObject({
    eventId: told.body.eventId,
    organiserId: "acc_org",
    startsAtMs: Date.UTC(2027, 4, 1, 18),
    offSaleAtMs: 0,
    seatsPerPerson: 8,
  });
  expect(created.sections).toMatchObject([
    {
      sectionId: "A",
      generalAdmission: false,
      rows: [
        { label: "A", gaps: [2], blocked: [1] },
        { label: "B", gaps: [2], blocked: [] },
      ],
    },
    { sectionId: "GA", generalAdmission: true, capacity: 50, rows: [] },
  ]);
  const again = await gateway.post("/v1/organiser/events", { token: organiser, key, body });
  expect(again.body.eventId).toBe(told.body.eventId);
  expect(asked("catalog.createEvent")).toHaveLength(1);

  const path = `/v1/organiser/events/${told.body.eventId}/publish`;
  const published = await gateway.post(path, { token: organiser, key: `${key}-p` });
  expect({ status: published.status, said: published.body.status }).toEqual({ status: 200, said: "published" });
  expect((await gateway.post(path, { token: operator, key: `${key}-p`, body: {} })).status).toBe(200);
  expect(asked("catalog.publishEvent").map(({ organiserId }) => organiserId)).toEqual(["acc_org", ""]);
  expect((await gateway.post(path, { token: organiser, key: `${key}-q`, body: { force: true } })).status).toBe(400);
});

test("a layout of 60,000 seats, half of them blocked one by one, fits into a request", async () => {
  gateway.replies.catalog = { createEvent: async ({ event }) => ({ event: anEvent(event) }) };
  const blocked = Array.from(
    { length: 30_000 },
    (_, n) => `${String.fromCharCode(65 + (n % 26))}-${1 + Math.floor(n / 26)}`,
  );
  const told = await gateway.post("/v1/organiser/events", {
    token: organiser,
    key: `big-${gateway.run}`,
    body: {
      name: "Stadium",
      venue: { name: "V", city: "C", country: "DE", timeZone: "UTC" },
      startsAt: "2027-05-01T20:00:00Z",
      onSaleAt: "2027-04-01T10:00:00Z",
      currency: "JPY",
      tiers: [{ id: "t", name: "T", amount: 4950 }],
      sections: [{ id: "A", name: "A", tier: "t", rows: { count: 30, seats: 2000, blocked } }],
    },
  });
  expect(told.status, told.text.slice(0, 300)).toBe(201);
});

describe("orders and tickets", () => {
  test("a page of each, and one of each", async () => {
    gateway.replies.ticket = {
      listOrders: async () => ({ orders: [anOrder("chk_1", "acc_1")], nextCursor: "" }),
      getOrder: async () => ({ order: anOrder("chk_1", "acc_1") }),
      listTickets: async () => ({
        tickets: [
          aTicket({ qrSvg: "" }),
          aTicket({ status: TicketStatus.VOID, token: "", qrSvg: "", voidedAtMs: Date.UTC(2027, 3, 2) }),
        ],
        nextCursor: "t2",
      }),
      getTicket: async () => ({ ticket: aTicket() }),
    };
    gateway.replies.catalog = { getEvents: async () => ({ events: [anEvent()] }) };
    const orders = await gateway.get("/v1/orders?limit=2", { token: buyer });
    expect(orders.body.orders).toMatchObject([
      {
        checkoutId: "chk_1",
        amount: 9900,
        amountRefunded: 0,
        status: "completed",
        tickets: ["tkt_1", "tkt_2"],
        refundable: false,
        refundedSeats: [],
        event: { venue: "Harbour Hall" },
      },
    ]);
    expect(orders.body.nextCursor).toBeUndefined();
    expect(asked("ticket.listOrders")).toEqual([{ userId: "acc_1", cursor: "", limit: 2 }]);
    expect((await gateway.get("/v1/orders/chk_1", { token: buyer })).body.checkoutId).toBe("chk_1");
    const tickets = await gateway.get("/v1/tickets", { token: buyer });
    expect(tickets.body.nextCursor).toBe("t2");
    expect(tickets.body.tickets[0]).toMatchObject({
      ticketId: "tkt_1",
      status: "valid",
      token: "t.o.k",
      seat: { seatId: "A-A-1", section: "A" },
    });
    expect(tickets.body.tickets[0].qrSvg).toBeUndefined();
    expect(tickets.body.tickets[1]).toMatchObject({ status: "void", voidedAt: "2027-04-02T00:00:00.000Z" });
    expect(tickets.body.tickets[1].token).toBeUndefined();
    const one = await gateway.get("/v1/tickets/tkt_1", { token: buyer });
    expect(one.body.qrSvg).toBe("<svg/>");
    expect(asked("ticket.getTicket")).toEqual([{ ticketId: "tkt_1", userId: "acc_1" }]);
  });

  test("the keys of gates", async () => {
    gateway.replies.ticket = { getVerificationKeys: async () => ({ jwksJson: '{"keys":[{"kid":"t1"}]}' }) };
    const told = await gateway.get("/v1/tickets/keys");
    expect({ status: told.status, body: told.body }).toEqual({ status: 200, body: { keys: [{ kid: "t1" }] } });
  });
});

describe("operations and documentation", () => {
  test("probes and metrics", async () => {
    expect((await gateway.get("/healthz")).text).toBe("ok\n");
    expect((await gateway.get("/readyz")).text).toBe("ready\n");
    const metrics = await gateway.get("/metrics");
    expect(metrics.headers.get("content-type")).toContain("text/plain");
    expect(metrics.text).toMatch(/onsale_http_seconds_count\{.*method="GET",route="\/healthz",status="200"/);
    expect(metrics.text).not.toContain("acc_1");
  });

  test("a gateway that has no keys yet is not ready, and says so", async () => {
    const { port: _, ...nowhere } = { port: 1, ...inject("backing") };
    const lost = await startHarness({ ...nowhere, settings: { ACCOUNT_ADDRESS: "127.0.0.1:1" } });
    try {
      const told = await lost.get("/readyz");
      expect({ status: told.status, code: told.body.code }).toEqual({ status: 503, code: "UNAVAILABLE" });
      expect((await lost.get("/healthz")).status).toBe(200);
      const me = await lost.get("/v1/accounts/me", { token: await lost.token("acc_1") });
      expect({ status: me.status, code: me.body.code }).toEqual({ status: 503, code: "UNAVAILABLE" });
    } finally {
      await lost.stop();
    }
  });

  test("the document, and a viewer that needs nothing from elsewhere", async () => {
    const document = await gateway.get("/openapi.json");
    expect(document.body.openapi).toBe("3.1.0");
    const page = await gateway.get("/docs");
    expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
    const policy = page.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("script-src 'self'");
    expect(policy).not.toMatch(/https?:|\*/);
    const links = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link]) => link ?? "");
    expect(links.length).toBeGreaterThanOrEqual(4);
    for (const link of links) {
      expect(link).toMatch(/^\/docs\//);
      const file = await gateway.get(link);
      expect(file.status).toBe(200);
      expect(file.body.length).toBeGreaterThan(10);
      expect((await gateway.get(link, { headers: { "if-none-match": file.headers.get("etag") ?? "" } })).status).toBe(
        304,
      );
    }
    expect((await gateway.get("/docs/package.json")).status).toBe(404);
    expect((await gateway.get("/docs/..%2fpackage.json")).status).toBe(404);
  });

  test("security headers on every answer", async () => {
    for (const path of ["/healthz", "/v1/nothing", "/docs"]) {
      const { headers } = await gateway.get(path);
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("content-security-policy")).toContain("default-src 'none'");
      expect(headers.get("strict-transport-security")).toContain("max-age=");
      expect(headers.get("x-frame-options")).toBe("SAMEORIGIN");
      expect(headers.get("referrer-policy")).toBe("no-referrer");
      expect(headers.get("x-powered-by")).toBeNull();
    }
  });

  test("request ids: a sane one is kept, another replaced", async () => {
    expect(
      (await gateway.get("/healthz", { headers: { "x-request-id": "abc-1.2_3" } })).headers.get("x-request-id"),
    ).toBe("abc-1.2_3");
    for (const bad of ["a b", "x".repeat(200), "<script>", '"'])
      expect((await gateway.get("/healthz", { headers: { "x-request-id": bad } })).headers.get("x-request-id")).toMatch(
        /^req_[0-9a-z]{26}$/,
      );
  });

  test("browsers of the shop's origins may call, others not", async () => {
    const origin = "https://shop.example";
    const preflight = await gateway.send("OPTIONS", "/v1/checkouts", {
      headers: { origin, "access-control-request-method": "POST" },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-origin")).toBe(origin);
    expect(preflight.headers.get("access-control-allow-headers")).toContain("Idempotency-Key");
    expect(preflight.headers.get("access-control-allow-credentials")).toBeNull();
    const told = await gateway.get("/healthz", { headers: { origin } });
    expect(told.headers.get("access-control-allow-origin")).toBe(origin);
    expect(told.headers.get("vary")).toContain("Origin");
    const evil = await gateway.get("/healthz", { headers: { origin: "https://evil.example" } });
    expect(evil.headers.get("access-control-allow-origin")).toBeNull();
  });
});

test("a service that is away, or does not answer in time", async () => {
  gateway.replies.seats = { hold: async () => aHold(["A-A-1"]), getAvailability: () => new Promise(() => undefined) };
  const begun = Date.now();
  const late = await gateway.get("/v1/events/evt_1/availability");
  expect({ status: late.status, code: late.body.code, retryable: late.body.retryable }).toEqual({
    status: 504,
    code: "DEADLINE_EXCEEDED",
    retryable: true,
  });
  expect(late.body.detail).not.toContain("onsale.inventory");
  expect(Date.now() - begun).toBeLessThan(15_000);
  const alone = await startHarness({ ...inject("backing"), settings: { TICKET_ADDRESS: "127.0.0.1:1" } });
  try {
    const away = await alone.get("/v1/tickets", { token: await alone.token("acc_1") });
    expect({ status: away.status, code: away.body.code }).toEqual({ status: 503, code: "UNAVAILABLE" });
    expect(away.body.detail).toBe("Orders and tickets can't be reached right now. Please try again in a few seconds.");
  } finally {
    await alone.stop();
  }
});
