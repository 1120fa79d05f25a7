// What is wrong with a request is said as a problem document: its code, a 4xx, no stack; and nothing reaches the services.
import { connect as connectTcp } from "node:net";
import { DomainError } from "@onsale/kit/errors";
import { generateKeyPair } from "jose";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { type Asked, aHold, type Harness, startHarness, type Told } from "./harness.js";

let gateway: Harness;
let buyer: string;
let organiser: string;

beforeAll(async () => {
  gateway = await startHarness(inject("backing"));
  buyer = await gateway.token("acc_1");
  organiser = await gateway.token("acc_org", { roles: ["buyer", "organiser"] });
});
afterEach(() => gateway.reset());
afterAll(() => gateway.stop());

let keys = 0;
const newKey = () => `bad-input-${++keys}`;
const checkout = (body: unknown, asked: Asked = {}) =>
  gateway.post("/v1/checkouts", { token: buyer, key: newKey(), body, ...asked });

function expectProblem(told: Told, status: number, code: string): void {
  expect({ status: told.status, code: told.body.code }, told.text).toEqual({ status, code });
  expect(told.headers.get("content-type")).toBe("application/problem+json");
  expect(told.body).toMatchObject({ type: `urn:onsale:problem:${code}`, status, code });
  expect(told.body.title).toBeTruthy();
  expect(told.body.detail).toBeTruthy();
  expect(told.body.requestId).toBe(told.headers.get("x-request-id"));
  expect(told.text).not.toMatch(/\bat .*\(|node:internal|\.ts:\d|\.js:\d|node_modules/);
  expect(told.headers.get("x-powered-by")).toBeNull();
}
const nothingReached = () => expect(gateway.calls).toEqual([]);

describe("the body", () => {
  test.each([
    ["not JSON", "{"],
    ["cut off", '{"eventId":"evt_1","seats":["A-A-1"'],
    ["a trailing comma", '{"eventId":"evt_1",}'],
    ["empty", ""],
    ["not UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])],
    ["NaN", '{"eventId":NaN}'],
  ])("malformed JSON: %s", async (_, raw) => {
    const told = await gateway.post("/v1/checkouts", {
      token: buyer,
      key: newKey(),
      raw,
      headers: { "content-type": "application/json" },
    });
    expectProblem(told, 400, "JSON_MALFORMED");
    nothingReached();
  });

  test("a malformed body is not quoted: it may hold a password", async () => {
    const told = await gateway.post("/v1/sessions", {
      raw: '{"email":"a@b.test","password":"hunter2secret"',
      headers: { "content-type": "application/json" },
    });
    expectProblem(told, 400, "JSON_MALFORMED");
    expect(told.text).not.toContain("hunter2secret");
  });

  test.each([
    ["a string", '"evt_1"'],
    ["an array", "[]"],
    ["null", "null"],
    ["a number", "7"],
    ["10,000 levels deep", `${"[".repeat(10_000)}${"]".repeat(10_000)}`],
    ["objects 3,000 levels deep", `${'{"a":'.repeat(3000)}1${"}".repeat(3000)}`],
  ])("JSON, but not the object that is expected: %s", async (_, raw) => {
    const told = await gateway.post("/v1/checkouts", {
      token: buyer,
      key: newKey(),
      raw,
      headers: { "content-type": "application/json" },
    });
    expectProblem(told, 400, "REQUEST_INVALID");
    nothingReached();
  });

  test.each([
    ["text", { "content-type": "text/plain" }],
    ["a form", { "content-type": "application/x-www-form-urlencoded" }],
    ["another charset", { "content-type": "application/json; charset=latin1" }],
    ["compressed", { "content-type": "application/json", "content-encoding": "gzip" }],
  ])("a media type that is not taken: %s", async (_, headers) => {
    const told = await gateway.post("/v1/checkouts", {
      token: buyer,
      key: newKey(),
      raw: '{"eventId":"evt_1","seats":["A-A-1"]}',
      headers,
    });
    expectProblem(told, 415, "MEDIA_TYPE_UNSUPPORTED");
    nothingReached();
  });

  test("a body of 10 MB, said to be so", async () => {
    const told = await gateway.post("/v1/checkouts", {
      token: buyer,
      key: newKey(),
      raw: Buffer.alloc(10_000_000, 0x20),
      headers: { "content-type": "application/json" },
    });
    expectProblem(told, 413, "BODY_TOO_LARGE");
    expect(told.headers.get("connection")).toBe("close");
    nothingReached();
  });

  test.each([
    ["/v1/accounts", undefined],
    ["/v1/sessions", undefined],
    ["/v1/webhooks/stripe", undefined],
    ["/v1/organiser/events", "organiser"],
  ])("a body of 10 MB to %s", async (path, who) => {
    const told = await gateway.post(path, {
      token: who ? organiser : undefined,
      key: newKey(),
      raw: Buffer.alloc(10_000_000, 0x20),
      headers: { "content-type": "application/json" },
    });
    expectProblem(told, 413, "BODY_TOO_LARGE");
    nothingReached();
  });

  test("a body of 10 MB in pieces, whose length nobody said: it is not read to its end", async () => {
    const { status, sent } = await sendPieces(gateway.port, buyer, 10_000_000);
    expect(status).toBe(413);
    expect(sent).toBeLessThan(9_000_000);
    nothingReached();
  });
});

describe("fields", () => {
  const good = { eventId: "evt_1", seats: ["A-A-1"] };

  test.each<[string, unknown, string]>([
    ["wrong types", { eventId: 1, seats: "A-A-1" }, "/eventId"],
    ["a seat that is a number", { eventId: "evt_1", seats: [1] }, "/seats/0"],
    ["a seat that is an object", { eventId: "evt_1", seats: [{ $gt: "" }] }, "/seats/0"],
    ["no event", { seats: ["A-A-1"] }, "/eventId"],
    ["an unknown field", { ...good, price: 1 }, "/price"],
    ["an unknown field with a name that needs escaping", { ...good, "a/b~c": 1 }, "/a~1b~0c"],
    ["0 seats", { eventId: "evt_1", seats: [] }, "/seats"],
    ["1,000 seats", { eventId: "evt_1", seats: Array.from({ length: 1000 }, (_, n) => `A-A-${n}`) }, "/seats"],
    ["a seat twice", { eventId: "evt_1", seats: ["A-A-1", "A-A-2", "A-A-1"] }, "/seats"],
    ["a NUL byte in a seat", { eventId: "evt_1", seats: ["A-A-\u00001"] }, "/seats/0"],
    ["quantity 0", { eventId: "evt_1", section: "A", quantity: 0 }, "/quantity"],
    ["quantity 1,000", { eventId: "evt_1", section: "A", quantity: 1000 }, "/quantity"],
    ["a negative quantity", { eventId: "evt_1", section: "A", quantity: -1 }, "/quantity"],
    ["half a seat", { eventId: "evt_1", section: "A", quantity: 1.5 }, "/quantity"],
    ["a quantity beyond all integers", { eventId: "evt_1", section: "A", quantity: 1e300 }, "/quantity"],
    ["seats and quantity", { ...good, section: "A", quantity: 1 }, ""],
    ["neither seats nor quantity", { eventId: "evt_1" }, ""],
  ])("%s", async (_, body, pointer) => {
    const told = await checkout(body);
    expectProblem(told, 400, "REQUEST_INVALID");
    expect(told.body.errors.length).toBeGreaterThan(0);
    if (pointer) expect(told.body.errors.map((error: { pointer: string }) => error.pointer)).toContain(pointer);
    nothingReached();
  });

  test.each([
    ["__proto__", '{"eventId":"evt_1","seats":["A-A-1"],"__proto__":{"roles":["operator"]}}'],
    ["constructor", '{"eventId":"evt_1","seats":["A-A-1"],"constructor":{"prototype":{"polluted":true}}}'],
    ["a prototype within", '{"eventId":"evt_1","section":"A","quantity":1,"__proto__":{"quantity":5}}'],
  ])("a key that would pollute a prototype: %s", async (_, raw) => {
    const told = await gateway.post("/v1/checkouts", {
      token: buyer,
      key: newKey(),
      raw,
      headers: { "content-type": "application/json" },
    });
    expectProblem(told, 400, "REQUEST_INVALID");
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
    nothingReached();
  });

  test.each([
    ["a NUL byte", "Ada\u0000"],
    ["an escape sequence", "\u001b[31mAda"],
    ["a line break", "Ada\nLovelace"],
    ["half a surrogate pair", "Ada \ud800"],
    ["a turned direction", "Ada \u202egnp.exe"],
    ["nothing but blanks", "   "],
    ["1,000 characters", "A".repeat(1000)],
  ])("a name with %s", async (_, name) => {
    const told = await gateway.post("/v1/accounts", {
      body: { email: "ada@example.test", password: "correct horse battery", name },
    });
    expectProblem(told, 400, "REQUEST_INVALID");
    expect(told.body.errors).toMatchObject([{ in: "body", pointer: "/name" }]);
    nothingReached();
  });

  test.each([
    "ada",
    "ada@",
    "a b@example.test",
    "ada@example",
    "ada@exam\u0000ple.test",
    `${"a".repeat(300)}@example.test`,
    7,
    null,
  ])("an e-mail that is none: %j", async (email) => {
    const told = await gateway.post("/v1/accounts", {
      body: { email, password: "correct horse battery", name: "Ada" },
    });
    expectProblem(told, 400, "REQUEST_INVALID");
    nothingReached();
  });

  test("a wrong password field is not repeated in the answer", async () => {
    const told = await gateway.post("/v1/accounts", {
      body: { email: "a@b.test", password: "x".repeat(5000), name: "Ada" },
    });
    expectProblem(told, 400, "REQUEST_INVALID");
    expect(told.text).not.toContain("xxxx");
  });

  test.each(["pm", "4242424242424242", "tok_visa", "pm_card\u0000", "pm_", "", null, 1])(
    "a payment method that is none: %j",
    async (paymentMethodId) => {
      const told = await gateway.post("/v1/checkouts/chk_1/payment", {
        token: buyer,
        key: newKey(),
        body: { paymentMethodId },
      });
      expectProblem(told, 400, "REQUEST_INVALID");
      expect(told.text).not.toContain("4242");
      nothingReached();
    },
  );

  test.each([
    ["limit=0", "limit"],
    ["limit=1000", "limit"],
    ["limit=1e2", "limit"],
    ["limit=5&limit=6", "limit"],
    ["from=yesterday", "from"],
    ["from=2027-02-30", "from"],
    ["to=2027-13-01T00:00:00Z", "to"],
    ["q=%00", "q"],
    ["city=%0A", "city"],
    ["cursor=a%20b", "cursor"],
    ["sort=cheap", "sort"],
    ["sort=", "sort"],
    ["sort=date&sort=price", "sort"],
    ["currency=XXQ", "currency"],
    ["currency=EUR&priceFrom=-1", "priceFrom"],
    ["currency=EUR&priceFrom=10.5", "priceFrom"],
    ["currency=EUR&priceFrom=100000000", "priceFrom"],
    ["currency=EUR&priceTo=0", "priceTo"],
    ["currency=EUR&priceFrom=2&priceTo=1", "priceTo"],
    ["priceFrom=1", "currency"],
    ["priceTo=1", "currency"],
    ["q[$ne]=1", "q[$ne]"],
  ])("the query ?%s", async (query, parameter) => {
    const told = await gateway.get(`/v1/events?${query}`);
    expectProblem(told, 400, "REQUEST_INVALID");
    expect(told.body.errors).toMatchObject([{ in: "query", parameter }]);
    nothingReached();
  });

  test("a field's name can't smuggle anything into the answer, and not too much of it", async () => {
    const told = await checkout({ ...good, [`\u001b[31m${"x".repeat(500)}`]: 1 });
    expectProblem(told, 400, "REQUEST_INVALID");
    expect(told.body.errors[0].pointer.length).toBeLessThan(130);
    expect(told.text).not.toContain("\u001b");
    expect(told.text).not.toContain("\\u001b");
  });
});

describe("the organiser's event", () => {
  const event = {
    name: "Ferry",
    venue: { name: "Hall", city: "Kiel", country: "DE", timeZone: "Europe/Berlin" },
    startsAt: "2027-05-01T18:00:00Z",
    onSaleAt: "2027-04-01T10:00:00Z",
    currency: "EUR",
    tiers: [{ id: "standard", name: "Standard", amount: 4950 }],
    sections: [{ id: "A", name: "Stalls", tier: "standard", capacity: 100 }],
  };
  const create = (over: object) =>
    gateway.post("/v1/organiser/events", { token: organiser, key: newKey(), body: { ...event, ...over } });

  test.each<[string, object]>([
    ["a NUL byte in its name", { name: "Fer\u0000ry" }],
    ["a NUL byte in its description", { description: "\u0000" }],
    ["a currency that does not exist", { currency: "QQQ" }],
    ["a currency in small letters", { currency: "eur" }],
    ["a time zone that does not exist", { venue: { ...event.venue, timeZone: "Mars/Olympus" } }],
    ["a time without its offset", { startsAt: "2027-05-01T18:00:00" }],
    ["the 30th of February", { startsAt: "2027-02-30T18:00:00Z" }],
    ["a negative price", { tiers: [{ id: "standard", name: "S", amount: -1 }] }],
    ["a price with cents as a fraction", { tiers: [{ id: "standard", name: "S", amount: 49.5 }] }],
    ["no section", { sections: [] }],
    [
      "a section with rows and a capacity",
      { sections: [{ id: "A", name: "S", tier: "standard", capacity: 1, rows: [] }] },
    ],
    ["a section id that is too free", { sections: [{ id: "a-b", name: "S", tier: "standard", capacity: 1 }] }],
    ["a row of 10,000", { sections: [{ id: "A", name: "S", tier: "standard", rows: { count: 1, seats: 10_000 } }] }],
    ["an owner", { organiserId: "acc_other" }],
  ])("%s", async (_, over) => {
    expectProblem(await create(over), 400, "REQUEST_INVALID");
    nothingReached();
  });

  test.each([
    ["EUR", 25, 8, "/tiers/1/amount", /less than EUR 0\.50/],
    ["JPY", 40, 8, "/tiers/1/amount", /less than JPY 50/],
    ["KWD", 1_005, 8, "/tiers/1/amount", /multiple of 10/],
    ["ISK", 50, 8, "/tiers/1/amount", /multiple of 100/],
    ["EUR", 12_500_000, 8, "/tiers/1/amount", /8 of them would cost more than EUR 999,999\.99/],
    ["COP", 10_000_000_000, 1, "/tiers/1/amount", /more than COP 99,999,999\.99/],
    ["IDR", 1_000_000_000_000, 1, "/tiers/1/amount", /./],
    ["CUP", 4950, 8, "/currency", /can be charged/],
  ])(
    "a price in %s of %d, %d a person, that could never be paid, by its pointer",
    async (currency, amount, seatsPerPerson, pointer, why) => {
      const common = { id: "standard", name: "Standard", amount: 5_000_000 };
      const over = { currency, seatsPerPerson, tiers: [common, { ...common, id: "other", amount }] };
      const edit = { ...event, ...over };
      for (const told of [
        await create(over),
        await gateway.put("/v1/organiser/events/evt_1", {
          token: organiser,
          body: edit,
          headers: { "If-Match": '"0"' },
        }),
      ]) {
        expectProblem(told, 400, "REQUEST_INVALID");
        expect(told.body.errors).toEqual([{ in: "body", pointer, detail: expect.stringMatching(why) }]);
      }
      nothingReached();
    },
  );

  test.each<[string, object]>([
    [
      "more seats than an event may have",
      { sections: [{ id: "A", name: "S", tier: "standard", rows: { count: 1000, seats: 2000 } }] },
    ],
    [
      "a blocked seat in a row that is not there",
      { sections: [{ id: "A", name: "S", tier: "standard", rows: { count: 2, seats: 2, blocked: ["C-1"] } }] },
    ],
  ])("%s", async (_, over) => {
    expectProblem(await create(over), 422, "LAYOUT_INVALID");
    nothingReached();
  });
});

describe("tokens", () => {
  const me = (token: string) => gateway.get("/v1/accounts/me", { token });
  const b64 = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = () => Math.floor(Date.now() / 1000);
  const claims = () => ({
    iss: "onsale",
    aud: "onsale",
    sub: "acc_1",
    sid: "s",
    roles: ["operator"],
    iat: now(),
    exp: now() + 600,
  });

  test("none", async () => {
    const told = await gateway.get("/v1/accounts/me");
    expectProblem(told, 401, "TOKEN_MISSING");
    expect(told.headers.get("www-authenticate")).toBe('Bearer realm="onsale"');
    nothingReached();
  });

  test.each<[string, () => Promise<string> | string]>([
    ["alg none, without a signature", () => `${b64({ alg: "none", typ: "at+jwt", kid: "key-1" })}.${b64(claims())}.`],
    ["alg none, with one", () => `${b64({ alg: "none", typ: "at+jwt" })}.${b64(claims())}.AAAA`],
    ["alg None", () => `${b64({ alg: "None", typ: "at+jwt", kid: "key-1" })}.${b64(claims())}.`],
    [
      "HS256, signed with the public key",
      () =>
        gateway.token("acc_1", { alg: "HS256", key: new TextEncoder().encode(JSON.stringify(gateway.keys.jwksJson)) }),
    ],
    [
      "signed by someone else, under our key's id",
      async () => gateway.token("acc_1", { key: (await generateKeyPair("EdDSA", { crv: "Ed25519" })).privateKey }),
    ],
    [
      "signed by someone else, under an unknown id",
      async () =>
        gateway.token("acc_1", { kid: "key-9", key: (await generateKeyPair("EdDSA", { crv: "Ed25519" })).privateKey }),
    ],
    ["of another issuer", () => gateway.token("acc_1", { issuer: "evil" })],
    ["for another audience", () => gateway.token("acc_1", { audience: "gates" })],
    ["of another type: a ticket", () => gateway.token("acc_1", { typ: "ticket+jwt" })],
    ["without a session", () => gateway.token("acc_1", { claims: { sid: undefined } })],
    ["with roles that are none", () => gateway.token("acc_1", { claims: { roles: "operator" } })],
    ["with a subject that is no id", () => gateway.token("acc_1\u0000' OR 1=1")],
    [
      "changed by one letter",
      async () =>
        (await gateway.token("acc_1"))
          .replace(/.$/, (last) => (last === "A" ? "B" : "A"))
          .replace(/\.(.)/, (_, first) => `.${first === "e" ? "f" : "e"}`),
    ],
    ["of rubbish", () => "rubbish"],
    ["of 8 KB", () => `${"a".repeat(8000)}.b.c`],
  ])("forged: %s", async (_, forge) => {
    const told = await me(await forge());
    expectProblem(told, 401, "TOKEN_INVALID");
    expect(told.headers.get("www-authenticate")).toBe('Bearer realm="onsale", error="invalid_token"');
    expect(told.body.detail).toBe("The access token is not valid. Log in again.");
    nothingReached();
  });

  test("expired", async () => {
    const told = await me(await gateway.token("acc_1", { expires: now() - 1 }));
    expectProblem(told, 401, "TOKEN_EXPIRED");
    nothingReached();
  });

  test.each(["Basic YTpi", "Bearer", "Bearer a b", "bearer\ttoken", "Bearer ü"])(
    "a strange Authorization header: %s",
    async (authorization) => {
      const told = await gateway.get("/v1/accounts/me", {
        headers: { authorization: Buffer.from(authorization).toString("latin1") },
      });
      expectProblem(told, 401, "TOKEN_INVALID");
      nothingReached();
    },
  );

  test("a bad token is refused even where none is needed, rather than ignored", async () => {
    expectProblem(await gateway.get("/v1/events/evt_1", { token: "rubbish" }), 401, "TOKEN_INVALID");
    nothingReached();
  });

  test("a role that the account does not have", async () => {
    for (const [method, path, body] of [
      ["POST", "/v1/organiser/events", {}],
      ["POST", "/v1/organiser/events/evt_1/publish", undefined],
      ["GET", "/v1/organiser/events", undefined],
      ["GET", "/v1/organiser/events/evt_1", undefined],
      ["PUT", "/v1/organiser/events/evt_1", {}],
      ["GET", "/v1/organiser/events/evt_1/sales", undefined],
      ["POST", "/v1/organiser/events/evt_1/cancel", {}],
      ["GET", "/v1/organiser/orders", undefined],
      ["GET", "/v1/organiser/orders/chk_1", undefined],
      ["PUT", "/v1/accounts/acc_1/roles", { roles: ["operator"] }],
    ] as const)
      expectProblem(await gateway.send(method, path, { token: buyer, key: newKey(), body }), 403, "ROLE_REQUIRED");
    expectProblem(
      await gateway.put("/v1/accounts/acc_org/roles", { token: organiser, body: { roles: ["operator"] } }),
      403,
      "ROLE_REQUIRED",
    );
    nothingReached();
  });
});

describe("addresses and methods", () => {
  test.each<[string, string, string]>([
    ["/v1/checkouts/a.b", "CHECKOUT_NOT_FOUND", "GET"],
    ["/v1/checkouts/%00", "CHECKOUT_NOT_FOUND", "GET"],
    ["/v1/checkouts/..%2f..%2fetc", "CHECKOUT_NOT_FOUND", "DELETE"],
    [`/v1/checkouts/${"x".repeat(300)}`, "CHECKOUT_NOT_FOUND", "GET"],
    ["/v1/tickets/%F0%9F%8E%AB", "TICKET_NOT_FOUND", "GET"],
    ["/v1/orders/'%20OR%201=1", "ORDER_NOT_FOUND", "GET"],
    ["/v1/events/evt%201", "EVENT_NOT_FOUND", "GET"],
    ["/v1/events/$ne/seats", "EVENT_NOT_FOUND", "GET"],
    ["/v1/events/a.b/seats/state", "EVENT_NOT_FOUND", "GET"],
    ["/v1/events/a.b/availability", "EVENT_NOT_FOUND", "GET"],
  ])("an id that can't be one: %s", async (path, code, method) => {
    expectProblem(await gateway.send(method, path, { token: path.includes("events") ? undefined : buyer }), 404, code);
    nothingReached();
  });

  test.each([
    "/",
    "/v1",
    "/v1/nothing",
    "/V1/EVENTS",
    "/v1/events/evt_1/seats/state/x",
    "/v1//events",
    "/favicon.ico",
    "/.env",
  ])("an address where nothing is: %s", async (path) => {
    expectProblem(await gateway.get(path), 404, "ROUTE_NOT_FOUND");
    nothingReached();
  });

  test("an address that does not decode", async () => {
    expectProblem(await gateway.get("/v1/events/%E0%A4%A"), 400, "REQUEST_INVALID");
    nothingReached();
  });

  test.each([
    ["PATCH", "/v1/checkouts/chk_1", "GET, DELETE, OPTIONS, HEAD"],
    ["DELETE", "/v1/checkouts", "POST, OPTIONS"],
    ["GET", "/v1/sessions", "POST, DELETE, OPTIONS"],
    ["POST", "/v1/events", "GET, OPTIONS, HEAD"],
    ["PUT", "/healthz", "GET, OPTIONS, HEAD"],
  ])("a method that is not allowed: %s %s", async (method, path, allow) => {
    const told = await gateway.send(method, path, { token: buyer });
    expectProblem(told, 405, "METHOD_NOT_ALLOWED");
    expect(told.headers.get("allow")).toBe(allow);
    nothingReached();
  });

  test("OPTIONS says what is allowed, and lets no foreign page in", async () => {
    const told = await gateway.send("OPTIONS", "/v1/checkouts", {
      headers: { origin: "https://evil.test", "access-control-request-method": "POST" },
    });
    expect(told.status).toBe(204);
    expect(told.headers.get("allow")).toBe("POST, OPTIONS");
    expect(told.headers.get("access-control-allow-origin")).toBeNull();
  });

  test("HEAD is GET without its body", async () => {
    gateway.replies.catalog = { searchEvents: async () => ({ events: [], nextCursor: "" }) };
    const told = await gateway.send("HEAD", "/v1/events");
    expect(told.status).toBe(200);
    expect(told.text).toBe("");
    expect(Number(told.headers.get("content-length"))).toBeGreaterThan(0);
  });

  test.each([
    "no HTTP at all\r\n\r\n",
    "GET /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    `GET / HTTP/1.1\r\nHost: a\r\nX: ${"y".repeat(20_000)}\r\n\r\n`,
  ])("what is not HTTP, or not quite: %#", async (bytes) => {
    const answer = await speak(gateway.port, bytes);
    expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect(answer).toContain("application/problem+json");
    expect(answer).toContain('"code":"REQUEST_INVALID"');
  });
});

describe("Idempotency-Key", () => {
  const good = { eventId: "evt_1", seats: ["A-A-1"] };

  test("missing where it is needed", async () => {
    for (const [path, token, body] of [
      ["/v1/checkouts", buyer, good],
      ["/v1/checkouts/chk_1/payment", buyer, { paymentMethodId: "pm_card_visa" }],
      ["/v1/organiser/events/evt_1/publish", organiser, undefined],
      ["/v1/orders/chk_1/refund", organiser, {}],
      ["/v1/orders/chk_1/refunds/rfd_1/closure", organiser, { reason: "by bank transfer" }],
    ] as const)
      expectProblem(await gateway.post(path, { token, body }), 400, "IDEMPOTENCY_KEY_REQUIRED");
    nothingReached();
  });

  test.each([" ", "a b", "x".repeat(256), "schlüssel"])("not a key: %j", async (key) => {
    const told = await gateway.post("/v1/checkouts", {
      token: buyer,
      body: good,
      headers: { "idempotency-key": Buffer.from(key).toString("latin1") },
    });
    expect([400]).toContain(told.status);
    expect(["REQUEST_INVALID", "IDEMPOTENCY_KEY_REQUIRED"]).toContain(told.body.code);
    nothingReached();
  });
});

describe("what the services refuse comes through as it is", () => {
  test.each<[string, number, Record<string, unknown>]>([
    ["SEAT_TAKEN", 409, { seats: ["A-A-1"] }],
    ["SEAT_UNKNOWN", 422, { seats: ["Z-Z-1"] }],
    ["SALE_NOT_OPEN", 409, { onSaleAtMs: 1 }],
    ["EVENT_NOT_FOUND", 404, {}],
    ["SEAT_LIMIT_EXCEEDED", 409, {}],
    ["INVENTORY_REBUILDING", 503, {}],
  ])("%s", async (code, status, details) => {
    gateway.replies.seats = {
      hold: async () => {
        throw new DomainError(code as "SEAT_TAKEN", "In the inventory's words.", details);
      },
    };
    const told = await checkout({ eventId: "evt_1", seats: ["A-A-1"] });
    expectProblem(told, status, code);
    expect(told.body).toMatchObject({ detail: "In the inventory's words.", ...details });
    expect(gateway.calls.map(({ method }) => method)).toEqual(["seats.hold"]);
  });

  test("details can't overwrite what a problem is made of", async () => {
    gateway.replies.seats = {
      hold: async () => {
        throw new DomainError("SEAT_TAKEN", "Gone.", { status: 200, code: "FINE", type: "x", requestId: "y" });
      },
    };
    expectProblem(await checkout({ eventId: "evt_1", seats: ["A-A-1"] }), 409, "SEAT_TAKEN");
  });

  test("a bug in a service shows nothing of itself", async () => {
    gateway.replies.seats = {
      hold: async () => {
        throw new Error("secret internals at /srv/app/hold.ts:12");
      },
    };
    const told = await checkout({ eventId: "evt_1", seats: ["A-A-1"] });
    expectProblem(told, 500, "INTERNAL");
    expect(told.text).not.toContain("secret internals");
  });

  test("a wrong webhook signature, and one that is missing", async () => {
    gateway.replies.payment = {
      handleWebhook: async () => {
        throw new DomainError("WEBHOOK_SIGNATURE_INVALID", "The signature does not fit the body.");
      },
    };
    const event = {
      raw: '{"id":"evt_1"}',
      headers: { "content-type": "application/json", "stripe-signature": "t=1,v1=00" },
    };
    expectProblem(await gateway.post("/v1/webhooks/stripe", event), 400, "WEBHOOK_SIGNATURE_INVALID");
    expectProblem(await gateway.post("/v1/webhooks/stripe", { raw: "{}" }), 400, "WEBHOOK_SIGNATURE_INVALID");
    expect(gateway.calls.map(({ method }) => method)).toEqual(["payment.handleWebhook", "payment.handleWebhook"]);
    expect(Buffer.from(gateway.calls[0]?.request.body).toString()).toBe('{"id":"evt_1"}');
  });

  test("nothing of a hold that was refused is left behind: a valid one goes through afterwards", async () => {
    gateway.replies.seats = { hold: async () => aHold(["A-A-1"]) };
    expect((await checkout({ eventId: "evt_1", seats: ["A-A-1"] })).status).toBe(201);
  });
});

/** Sends so many bytes in pieces, as a client without a Content-Length does, and says how many went out before the answer. */
async function sendPieces(port: number, token: string, bytes: number): Promise<{ status: number; sent: number }> {
  const socket = connectTcp(port, "127.0.0.1");
  let answer = "";
  socket.on("data", (data) => {
    answer += data.toString("latin1");
  });
  socket.on("error", () => undefined);
  socket.write(
    `POST /v1/checkouts HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\nIdempotency-Key: pieces\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`,
  );
  const piece = Buffer.alloc(16_384, 0x20);
  let sent = 0;
  while (sent < bytes && answer === "" && !socket.destroyed) {
    socket.write(`${piece.length.toString(16)}\r\n`);
    if (!socket.write(Buffer.concat([piece, Buffer.from("\r\n")])))
      await new Promise((resolve) => setTimeout(resolve, 5));
    sent += piece.length;
    await new Promise((resolve) => setImmediate(resolve));
  }
  const left = socket.writableLength;
  socket.destroy();
  return { status: Number(answer.split(" ")[1]), sent: sent - left };
}

async function speak(port: number, bytes: string): Promise<string> {
  const socket = connectTcp(port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.write(bytes);
  let answer = "";
  for await (const data of socket) answer += data;
  return answer;
}
