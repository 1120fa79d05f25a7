// Hot routes skip Express: the same bytes, sent to a gateway with and to one without that, get the same answer to the last byte.
import { connect as connectTcp } from "node:net";
import { DomainError, type RefusalCode, refusals } from "@onsale/kit/errors";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test, vi } from "vitest";
import type { AppDependencies } from "../src/http/app.js";
import { aHold, anAccount, aSession, eventually, type Harness, startHarness } from "./harness.js";

const { mode, asked } = vi.hoisted(() => ({
  mode: { hot: true },
  /** How many requests each way has passed to Express. */
  asked: { hot: 0, express: 0 },
}));
// Hot is a property of a route, so that is where the two ways part; nothing else differs. In the hot one every route that can be
// hot is, whether or not the crowd walks it today.
vi.mock("../src/http/app.js", async (original) => {
  const { createApp } = await original<typeof import("../src/http/app.js")>();
  return {
    createApp(dependencies: AppDependencies) {
      const { hot } = mode;
      const routes = dependencies.routes.map((one) => ({ ...one, hot: hot && !one.path.includes("{") }));
      const app = createApp({ ...dependencies, routes });
      const router = app.router as unknown as { handle(...request: unknown[]): unknown };
      const { handle } = router;
      router.handle = (...request) => {
        asked[hot ? "hot" : "express"] += 1;
        return handle.apply(router, request);
      };
      return app;
    },
  };
});

const ways = ["hot", "express"] as const;
type Way = (typeof ways)[number];
const gateways = {} as Record<Way, Harness>;
const settings = {
  TRUST_PROXY: "loopback",
  CORS_ORIGINS: "https://shop.example.test",
  RATE_ACCOUNT: "60/3600",
  RATE_ANONYMOUS: "100000/3600",
  RATE_CREDENTIALS: "100000/3600",
};
const deadlineMs = Date.now() + 300_000;

async function startPair(more: Record<string, string> = {}): Promise<Record<Way, Harness>> {
  const pair = {} as Record<Way, Harness>;
  for (const way of ways) {
    mode.hot = way === "hot";
    pair[way] = await startHarness({ ...inject("backing"), settings: { ...settings, ...more } });
    pair[way].replies.account = {
      getAccount: async () => ({ account: anAccount() }),
      logIn: async () => ({ account: anAccount(), session: aSession() }),
      signUp: async () => ({ account: anAccount() }),
    };
    pair[way].replies.catalog = { searchEvents: async () => ({ events: [], nextCursor: "" }) };
    // What comes of a hold is told by the event's name.
    pair[way].replies.seats = {
      hold: async ({ eventId, selection }) => {
        const code = eventId?.replace(/^evt_/, "") as RefusalCode;
        if (code in refusals) throw new DomainError(code, `As the test wants it: ${code}.`, { seats: ["A-A-1"] });
        if ((code as string) === "bug") throw new TypeError("a bug");
        return aHold(selection?.$case === "seats" ? selection.value.seatIds : ["A-A-1"], { deadlineMs });
      },
    };
  }
  return pair;
}
beforeAll(async () => {
  Object.assign(gateways, await startPair());
});
beforeEach(() => {
  for (const way of ways) gateways[way].calls.length = 0;
});
afterAll(() => Promise.all(Object.values(gateways).map((gateway) => gateway.stop())));

// ---- requests as bytes

/** <answer>: until as many answers are here as were waited for. */
type Piece = string | Buffer | "<wait>" | "<answer>" | "<half-close>" | "<reset>";
interface Asker {
  readonly token: string;
  readonly key: string;
  readonly address: string;
}
type Conversation = (asker: Asker) => Piece[];

/** All that comes back until the gateway closes. */
async function converse(port: number, pieces: readonly Piece[]): Promise<string> {
  const socket = connectTcp({ port, host: "127.0.0.1", allowHalfOpen: true });
  let told = "";
  socket.setEncoding("latin1").on("error", () => undefined);
  socket.on("data", (data: string) => {
    told += data;
    socket.emit("told");
  });
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.once("end", () => socket.end());
  await new Promise((resolve) => socket.once("connect", resolve));
  let awaited = 0;
  for (const piece of pieces) {
    if (piece === "<answer>") {
      awaited += 1;
      while (finalStatusesOf(told).length < awaited && !socket.closed)
        await Promise.race([closed, new Promise((resolve) => socket.once("told", resolve))]);
    } else if (piece === "<wait>") await new Promise((resolve) => setTimeout(resolve, 25));
    else if (piece === "<half-close>") socket.end();
    else if (piece === "<reset>") socket.resetAndDestroy();
    else if (socket.writable) socket.write(piece);
  }
  await closed;
  return told;
}

/** One after the other; the line before it may be the end of a body. */
const statusesOf = (text: string): number[] =>
  [...text.matchAll(/HTTP\/1\.1 (\d{3}) [A-Z]/g)].map(([, status]) => Number(status));
const finalStatusesOf = (text: string): number[] => statusesOf(text).filter((status) => status >= 200);

/** What differs by nature: when, and the names that were drawn. */
const plain = (text: string): string =>
  text
    .replaceAll(/^Date: .*\r$/gm, "Date: \r")
    .replaceAll(/\breq_[A-Za-z0-9]+/g, "req_")
    .replaceAll(/\bchk_[A-Za-z0-9]+/g, "chk_")
    .replaceAll(/\bacc_[he]_/g, "acc_")
    .replaceAll(/;t=\d+/g, ";t=")
    .replaceAll(/^(Retry-After: |retry-after: )\d{3,}\r$/gm, "$1many\r")
    .replaceAll(/(retryAfterSeconds":|Try again in )\d{3,}/g, "$1many");

let askers = 0;
async function askerOf(way: Way, nth: number): Promise<Asker> {
  return {
    // Accounts of their own, as both have one Temporal.
    token: await gateways[way].token(`acc_${way[0]}_${nth}`),
    key: `key-${nth}`,
    address: `203.0.${Math.floor(nth / 250)}.${nth % 250}`,
  };
}

/** The answer of both, which is one. */
async function sameOf(conversation: Conversation, seen: (text: string) => string = plain): Promise<string> {
  askers += 1;
  const nth = askers;
  const [hot = "", express = ""] = await Promise.all(
    ways.map(async (way) => seen(await converse(gateways[way].port, conversation(await askerOf(way, nth))))),
  );
  expect(hot).toBe(express);
  return hot;
}

interface Shape {
  readonly method?: string;
  readonly target?: string;
  readonly version?: string;
  /** undefined leaves one out; an array sends one more than once. */
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body?: string | Buffer;
  /** The connection serves on. */
  readonly stays?: boolean;
}
const good = JSON.stringify({ eventId: "evt_1", seats: ["A-A-1"] });

/** Another signature for certain: the last characters of one hold bits that say nothing. */
const forged = (token: string): string =>
  token.replace(/[^.]*$/, (signature) => `${signature.startsWith("A") ? "B" : "A"}${signature.slice(1)}`);

function head(
  asker: Asker,
  { method = "POST", target, version = "HTTP/1.1", headers = {}, body, stays }: Shape,
): string {
  const all: NonNullable<Shape["headers"]> = {
    Host: "tickets.example.test",
    "X-Forwarded-For": asker.address,
    Authorization: `Bearer ${asker.token}`,
    "Idempotency-Key": asker.key,
    ...(method === "GET" || method === "HEAD" ? {} : { "Content-Type": "application/json" }),
    ...(body === undefined ? {} : { "Content-Length": String(Buffer.byteLength(body)) }),
    ...(stays ? {} : { Connection: "close" }),
    ...headers,
  };
  const lines = Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : [value].flat().map((one) => `${name}: ${one}\r\n`),
  );
  return `${method} ${target ?? "/v1/checkouts"} ${version}\r\n${lines.join("")}\r\n`;
}
const ask =
  (shape: Shape = {}): Conversation =>
  (asker) => {
    const body = shape.body ?? (shape.method === undefined ? good : undefined);
    // As latin1, so that a header can have any byte.
    return [
      Buffer.from(head(asker, body === undefined ? shape : { ...shape, body }), "latin1"),
      ...(body === undefined ? [] : [body]),
    ];
  };
const withHeaders = (headers: NonNullable<Shape["headers"]>): Conversation => ask({ headers });
const withBody = (body: string | Buffer, headers: NonNullable<Shape["headers"]> = {}): Conversation =>
  ask({ body, headers });
/** Such a connection stays for a while after its answer, so that its sender can read it; one test waits for the end of that. */
const left =
  (conversation: Conversation): Conversation =>
  (asker) => [...conversation(asker), "<answer>", "<wait>", "<reset>"];
/** A body in pieces, its length not said. */
const chunked =
  (pieces: readonly Piece[], headers: NonNullable<Shape["headers"]> = {}): Conversation =>
  (asker) => [head(asker, { headers: { "Transfer-Encoding": "chunked", ...headers } }), ...pieces];
const chunk = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;

describe("one request", () => {
  const cases: [what: string, statuses: number[], conversation: Conversation][] = [
    ["that is good", [201], ask()],
    ["a section", [201], withBody('{"eventId":"evt_1","section":"A","quantity":1}')],
    ["with blanks around its JSON", [201], withBody(` \n\t${good} \r\n`)],
    ["with a mark of byte order", [201], withBody(`\ufeff${good}`)],
    ["with a request id", [201], withHeaders({ "X-Request-Id": "mine-1" })],
    ["with a request id that is none", [201], withHeaders({ "X-Request-Id": "<script>" })],
    ["with two request ids", [201], withHeaders({ "X-Request-Id": ["one", "two"] })],
    ["from a page of ours", [201], withHeaders({ Origin: "https://shop.example.test" })],
    ["from another page", [201], withHeaders({ Origin: "https://evil.example.test" })],
    [
      "that looks like a preflight, but for its method",
      [201],
      withHeaders({ Origin: "https://shop.example.test", "Access-Control-Request-Method": "POST" }),
    ],
    ["with If-None-Match", [201], withHeaders({ "If-None-Match": "*" })],
    [
      "with Accept, cookies and more",
      [201],
      withHeaders({ Accept: "text/html", Cookie: "a=b", "Accept-Encoding": "br", Range: "bytes=0-1" }),
    ],
    [
      "with headers of an object's own names",
      [201],
      withHeaders({ ["__proto__" as string]: "x", constructor: "y", toString: "z" }),
    ],
    ["that would change its method", [201], withHeaders({ "X-HTTP-Method-Override": "DELETE" })],
    [
      "that would change its address",
      [201],
      withHeaders({ "X-Original-URL": "/healthz", "X-Rewrite-URL": "/healthz" }),
    ],
    ["that would have it upgraded", [201], withHeaders({ Upgrade: "websocket", Connection: "upgrade, close" })],
    ["of HTTP/1.0", [201], ask({ version: "HTTP/1.0" })],
    ["of HTTP/1.0 without a host", [201], ask({ version: "HTTP/1.0", headers: { Host: undefined } })],
    ["over three proxies", [201], withHeaders({ "X-Forwarded-For": "1.2.3.4, 10.0.0.1, 127.0.0.1" })],
    ["for an address that is none", [201], withHeaders({ "X-Forwarded-For": 'unknown, "_x"' })],
    [
      "with a proxy's host and protocol",
      [201],
      withHeaders({ "X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "a.test, b.test" }),
    ],

    ["without a token", [401], withHeaders({ Authorization: undefined })],
    ["with an empty Authorization", [401], withHeaders({ Authorization: "" })],
    ["with Basic", [401], withHeaders({ Authorization: "Basic YTpi" })],
    ["with bytes beyond ASCII in Authorization", [401], withHeaders({ Authorization: "Bearer \u00fc\u00ff" })],
    [
      "with a forged token",
      [401],
      (asker) => ask({ headers: { Authorization: `Bearer ${forged(asker.token)}` } })(asker),
    ],
    [
      "with a good token and then a forged one",
      [201],
      (asker) => ask({ headers: { Authorization: [`Bearer ${asker.token}`, "Bearer forged"] } })(asker),
    ],
    [
      "with a forged token and then a good one",
      [401],
      (asker) => ask({ headers: { Authorization: ["Bearer forged", `Bearer ${asker.token}`] } })(asker),
    ],

    ["without a key", [400], withHeaders({ "Idempotency-Key": undefined })],
    ["with an empty key", [400], withHeaders({ "Idempotency-Key": "" })],
    ["with a key of 255", [201], withHeaders({ "Idempotency-Key": "k".repeat(255) })],
    ["with a key of 256", [400], withHeaders({ "Idempotency-Key": "k".repeat(256) })],
    ["with a key that has a blank", [400], withHeaders({ "Idempotency-Key": "a b" })],
    ["with a key beyond ASCII", [400], withHeaders({ "Idempotency-Key": "\u00fc" })],
    ["with two keys", [400], withHeaders({ "Idempotency-Key": ["one", "two"] })],
    ["with the same key twice", [400], withHeaders({ "Idempotency-Key": ["one", "one"] })],

    ["of text", [415], withHeaders({ "Content-Type": "text/plain" })],
    ["of a type that only begins well", [415], withHeaders({ "Content-Type": "application/json2" })],
    ["without a type", [415], withHeaders({ "Content-Type": undefined })],
    ["with an empty type", [415], withHeaders({ "Content-Type": "" })],
    ["in capitals", [201], withHeaders({ "Content-Type": "APPLICATION/JSON; CHARSET=UTF-8" })],
    ["in latin1", [415], withHeaders({ "Content-Type": "application/json; charset=latin1" })],
    ["with two types", [201], withHeaders({ "Content-Type": ["application/json", "text/plain"] })],
    ["with two types, the other way", [415], withHeaders({ "Content-Type": ["text/plain", "application/json"] })],
    ["compressed", [415], withHeaders({ "Content-Encoding": "gzip" })],
    ["compressed by nothing", [201], withHeaders({ "Content-Encoding": "identity" })],
    ["compressed twice", [415], withHeaders({ "Content-Encoding": ["identity", "gzip"] })],

    ["of nothing", [400], withBody("")],
    ["of nothing, not even its length", [400], ask({ method: "POST" })],
    ["that is no JSON", [400], withBody("{")],
    ["that is not UTF-8", [400], withBody(Buffer.from([0x22, 0xff, 0xfe, 0x22]))],
    ["of NUL", [400], withBody("\0\0\0")],
    ["of null", [400], withBody("null")],
    ["of a list", [400], withBody("[]")],
    ["of text alone", [400], withBody('"evt_1"')],
    ["deep as a well", [400], withBody("[".repeat(10_000) + "]".repeat(10_000))],
    ["that would pollute", [400], withBody('{"eventId":"evt_1","seats":["A-A-1"],"__proto__":{"a":1}}')],
    ["with a field twice", [201], withBody('{"eventId":"evt_2","eventId":"evt_1","seats":["A-A-1"]}')],
    ["without its fields", [400], withBody("{}")],
    ["with a field too many", [400], withBody('{"eventId":"evt_1","seats":["A-A-1"],"price":1}')],
    ["with wrong types", [400], withBody('{"eventId":1,"seats":"A-A-1"}')],
    ["with a seat twice", [400], withBody('{"eventId":"evt_1","seats":["A-A-1","A-A-1"]}')],
    [
      "with 10,000 seats",
      [413],
      withBody(JSON.stringify({ eventId: "evt_1", seats: Array.from({ length: 10_000 }, (_, n) => `A-A-${n}`) })),
    ],
    ["of exactly as many bytes as allowed", [201], withBody(good.padEnd(32 * 1024))],
    ["of a byte more", [413], withBody(good.padEnd(32 * 1024 + 1))],
    ["of 64 KiB and a byte", [413], left(withBody(good.padEnd(64 * 1024 + 1)))],
    ["that says it is huge", [413], left(withHeaders({ "Content-Length": "99999999999" }))],
    ["that says it is beyond all numbers", [400], withHeaders({ "Content-Length": "9".repeat(40) })],
    ["of a negative length", [400], withHeaders({ "Content-Length": "-1" })],
    ["of a signed length", [400], withHeaders({ "Content-Length": "+42" })],
    ["of a length that is no number", [400], withHeaders({ "Content-Length": "many" })],
    ["of two lengths", [400], withHeaders({ "Content-Length": ["42", "43"] })],
    ["of a length and in chunks", [400], withHeaders({ "Transfer-Encoding": "chunked" })],
    [
      "that ends early",
      [],
      (asker) => [head(asker, { headers: { "Content-Length": "100" } }), good, "<wait>", "<half-close>"],
    ],
    [
      "that breaks off",
      [],
      (asker) => [head(asker, { headers: { "Content-Length": "100" } }), good, "<wait>", "<reset>"],
    ],
    ["in two pieces", [201], (asker) => [head(asker, { body: good }), good.slice(0, 9), "<wait>", good.slice(9)]],
    ["byte by byte", [201], (asker) => [...`${head(asker, { body: good })}${good}`].map((byte) => byte)],
    [
      "cut within its address",
      [201],
      (asker) => {
        const text = `${head(asker, { body: good })}${good}`;
        return [text.slice(0, 8), "<wait>", text.slice(8)];
      },
    ],

    ["in chunks", [201], chunked([chunk(good.slice(0, 5)), "<wait>", chunk(good.slice(5)), "0\r\n\r\n"])],
    ["in chunks, all at once", [201], chunked([`${chunk(good)}0\r\n\r\n`])],
    [
      "in chunks with an extension and a trailer",
      [201],
      chunked([`${good.length.toString(16)};a=b\r\n${good}\r\n0\r\nX-Trailer: 1\r\n\r\n`]),
    ],
    ["in chunks, capitals", [201], chunked([`${chunk(good)}0\r\n\r\n`], { "Transfer-Encoding": "Chunked" })],
    ["in chunks that are none", [], chunked(["zz\r\n"])],
    ["in chunks, one broken later", [], chunked([chunk(good.slice(0, 5)), "<wait>", "zz\r\n"])],
    ["in chunks that break off", [], chunked([chunk(good), "<wait>", "<reset>"])],
    [
      "in chunks of more than allowed",
      [413],
      chunked([chunk("a".repeat(20_000)), "<wait>", chunk("a".repeat(20_000)), "0\r\n\r\n"]),
    ],
    ["in no chunk at all", [400], chunked(["0\r\n\r\n"])],
    ["coded by something else", [], withHeaders({ "Transfer-Encoding": "gzip", "Content-Length": undefined })],

    [
      "that asks before it sends",
      [100, 201],
      (asker) => [head(asker, { body: good, headers: { Expect: "100-continue" } }), "<wait>", good],
    ],
    ["that asks and sends at once", [100, 201], withHeaders({ Expect: "100-continue" })],
    ["that asks in capitals", [100, 201], withHeaders({ Expect: "100-CONTINUE" })],
    [
      "that asks before it sends too much",
      [413],
      (asker) => [head(asker, { headers: { Expect: "100-continue", "Content-Length": "999999" } })],
    ],
    [
      "that asks without a token",
      [401],
      (asker) => [
        head(asker, { headers: { Expect: "100-continue", "Content-Length": "42", Authorization: undefined } }),
      ],
    ],
    ["that expects something else", [417], withHeaders({ Expect: "a miracle" })],

    ["without a host", [400], withHeaders({ Host: undefined })],
    ["with two hosts", [201], withHeaders({ Host: ["a.test", "b.test"] })],
    ["with a header that has no name", [400], (asker) => [head(asker, { body: good }).replace("Host", "")]],
    ["with a folded header", [400], (asker) => [head(asker, { body: good }).replace("Host:", "Host:\r\n x:")]],
    ["with a NUL in a header", [400], withHeaders({ "X-Odd": "a\0b" })],
    ["with headers of 20 KB", [431], withHeaders({ "X-Long": "a".repeat(20_000) })],
    [
      "with bare line feeds",
      [400],
      (asker) => [head(asker, { body: good }).replaceAll("\r\n", "\n"), good, "<wait>", "<half-close>"],
    ],
    ["of a version to come", [400], ask({ version: "HTTP/3.7" })],
    ["that is none", [400], () => ["\x16\x03\x01\x02\x00", "<wait>", "<half-close>"]],

    ["GET", [405], ask({ method: "GET" })],
    ["HEAD", [405], ask({ method: "HEAD" })],
    ["OPTIONS", [204], ask({ method: "OPTIONS" })],
    ["OPTIONS of everything", [404], ask({ method: "OPTIONS", target: "*" })],
    [
      "a preflight",
      [204],
      ask({
        method: "OPTIONS",
        headers: { Origin: "https://shop.example.test", "Access-Control-Request-Method": "POST" },
      }),
    ],
    [
      "a preflight of another page",
      [204],
      ask({
        method: "OPTIONS",
        headers: { Origin: "https://evil.example.test", "Access-Control-Request-Method": "POST" },
      }),
    ],
    ["PUT", [405], ask({ method: "PUT", body: good })],
    ["DELETE", [405], ask({ method: "DELETE" })],
    ["PATCH", [405], ask({ method: "PATCH", body: good })],
    ["TRACE", [405], ask({ method: "TRACE" })],
    ["CONNECT", [], ask({ method: "CONNECT" })],
    ["a method in small letters", [400], ask({ method: "post", body: good })],
    ["a method that nobody knows", [400], ask({ method: "BUY", body: good })],

    ...(
      [
        ["/v1/checkouts?", 201],
        ["/v1/checkouts?a=1", 201],
        ["/v1/checkouts?a=1&a=2&b[c]=3", 201],
        ["/v1/checkouts#top", 201],
        ["/v1/checkouts/", 201],
        ["/v1/checkouts//", 404],
        ["//v1/checkouts", 404],
        ["/v1//checkouts", 404],
        ["/V1/checkouts", 404],
        ["/v1/Checkouts", 404],
        ["/v1/%63heckouts", 404],
        ["/v1%2Fcheckouts", 404],
        ["/v1/checkouts%20", 404],
        ["/v1/checkouts%00", 404],
        ["/v1/checkouts;a=1", 404],
        ["/v1/checkouts/%zz", 400],
        ["/v1/%zz", 404],
        ["/v1/x/../checkouts", 404],
        ["http://tickets.example.test/v1/checkouts", 201],
        ["http://evil.example.test:99/v1/checkouts?x", 201],
        ["/constructor", 404],
        ["/__proto__", 404],
        [`/v1/checkouts?${"q".repeat(9_000)}`, 201],
      ] as const
    ).map(([target, status]): [string, number[], Conversation] => [
      `to ${target.slice(0, 60)}`,
      [status],
      ask({ target, body: good }),
    ]),

    ["for a bug", [500], withBody('{"eventId":"evt_bug","seats":["A-A-1"]}')],
  ];

  test.each(cases)("%s", async (_, statuses, conversation) => {
    const told = await sameOf(conversation);
    if (statuses.length > 0) expect(statusesOf(told), told.slice(0, 2_000)).toEqual(statuses);
    for (const way of ways) await answersStill(way);
    expect(reached("hot")).toEqual(reached("express"));
  });

  test.each(Object.keys(refusals) as RefusalCode[])("refused by the inventory with %s", async (code) => {
    const told = await sameOf(withBody(JSON.stringify({ eventId: `evt_${code}`, seats: ["A-A-1"] })));
    expect(statusesOf(told)).toHaveLength(1);
    expect(reached("hot")).toEqual(reached("express"));
  });
});

/** What the services were asked, without names that were drawn. */
const reached = (way: Way): string[] =>
  gateways[way].calls.map(({ method, request }) => plain(JSON.stringify([method, request])));
const answersStill = async (way: Way) => expect((await fetch(`${gateways[way].url}/healthz`)).status).toBe(200);

describe("other routes, should they become hot", () => {
  const logIn = '{"email":"ada@example.test","password":"correct horse"}';
  test.each<[string, number, Shape]>([
    ["events", 200, { method: "GET", target: "/v1/events" }],
    ["events, with a query", 200, { method: "GET", target: "/v1/events?limit=5" }],
    ["events, with a wrong query", 400, { method: "GET", target: "/v1/events?limit=0" }],
    ["events, headers alone", 200, { method: "HEAD", target: "/v1/events" }],
    ["events, with a body", 200, { method: "GET", target: "/v1/events", body: "{}" }],
    ["my account", 200, { method: "GET", target: "/v1/accounts/me" }],
    ["my account, changed", 405, { method: "PUT", target: "/v1/accounts/me", body: "{}" }],
    ["log in", 201, { method: "POST", target: "/v1/sessions", body: logIn }],
    [
      "log in, without a key",
      201,
      { method: "POST", target: "/v1/sessions", body: logIn, headers: { "Idempotency-Key": undefined } },
    ],
    ["refresh, without a cookie", 400, { method: "POST", target: "/v1/sessions/refresh", body: "{}" }],
    [
      "a webhook",
      500,
      { method: "POST", target: "/v1/webhooks/stripe", body: "{}", headers: { "Content-Type": "text/odd" } },
    ],
    ["the API's description", 200, { method: "GET", target: "/openapi.json" }],
    [
      "the API's description, known",
      200,
      { method: "GET", target: "/openapi.json", headers: { "If-None-Match": '"x"' } },
    ],
    ["its pages", 200, { method: "GET", target: "/docs" }],
    ["readiness", 200, { method: "GET", target: "/readyz" }],
    ["organiser's events, by a buyer", 403, { method: "POST", target: "/v1/organiser/events", body: "{}" }],
  ])("%s", async (_, status, shape) => {
    expect(statusesOf(await sameOf(ask(shape)))).toEqual([status]);
    expect(reached("hot")).toEqual(reached("express"));
  });
});

describe("one connection", () => {
  // Of requests that are in the works together, which is counted first is open.
  const uncounted = (text: string) => plain(text).replaceAll(/;r=\d+;/g, ";r=;");

  test("five requests in one piece are answered in their order, good and bad", async () => {
    const told = await sameOf(
      (asker) => [
        [
          ask({ stays: true }),
          ask({ stays: true, body: "{" }),
          ask({ stays: true, method: "GET", target: "/v1/events" }),
          ask({ stays: true, headers: { Authorization: undefined } }),
          ask({ body: good, headers: { "Idempotency-Key": "another" } }),
        ]
          .flatMap((one) => one(asker))
          .map((piece) => piece.toString("latin1"))
          .join(""),
      ],
      uncounted,
    );
    expect(statusesOf(told)).toEqual([201, 400, 200, 401, 201]);
  });

  test("a second one comes while the first is still in the works", async () => {
    const told = await sameOf(
      (asker) => [...ask({ stays: true })(asker), "<wait>", ...ask({ method: "GET", target: "/v1/events" })(asker)],
      uncounted,
    );
    expect(statusesOf(told)).toEqual([201, 200]);
  });

  test("what follows a body that nobody reads is no request", async () => {
    const told = await sameOf(
      (asker) => [
        ...ask({
          stays: true,
          headers: { Authorization: undefined },
          body: "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        })(asker),
        ...ask({ body: good })(asker),
      ],
      uncounted,
    );
    expect(statusesOf(told)).toEqual([401, 201]);
  });

  test("nothing is served after one that is too large", async () => {
    const told = await sameOf((asker) => [
      ...ask({ stays: true, body: "x".repeat(70_000) })(asker),
      ...ask({ body: good })(asker),
    ]);
    expect(statusesOf(told)).toEqual([413]);
  });
});

describe("a key once more", () => {
  const twice =
    (first: Shape, second: Shape): Conversation =>
    (asker) => [...ask({ ...first, stays: true })(asker), "<answer>", ...ask(second)(asker)];
  const taken = '{"eventId":"evt_SEAT_TAKEN","seats":["A-A-1"]}';
  test.each<[string, number[], boolean, Shape, Shape]>([
    ["the same", [201, 201], true, {}, {}],
    ["the same, written otherwise", [201, 422], false, {}, { body: ` ${good}` }],
    ["another body", [201, 422], false, {}, { body: taken }],
    ["after a refusal", [409, 409], true, { body: taken }, { body: taken }],
    ["after a refusal, with another body", [409, 422], false, { body: taken }, {}],
    ["after one that was malformed", [400, 201], false, { body: "{" }, {}],
  ])("%s", async (_, statuses, replayed, first, second) => {
    const told = await sameOf(twice(first, second));
    expect(statusesOf(told)).toEqual(statuses);
    expect(told.includes("Idempotent-Replayed: true")).toBe(replayed);
    expect(reached("hot")).toEqual(reached("express"));
  });
});

test("whoever has had enough is refused by both at the same request, with the same numbers", async () => {
  const told = await sameOf((asker) =>
    Array.from({ length: 64 }, (_, nth) =>
      ask({ stays: nth < 63, body: "{", headers: { "Idempotency-Key": `k${nth}` } })(asker).concat("<answer>"),
    ).flat(),
  );
  expect(statusesOf(told)).toEqual([...Array(60).fill(400), ...Array(4).fill(429)]);
  expect(told).toMatch(/^RateLimit: "account";r=0;t=\r$/m);
});

test("any mixture of method, address, headers and body (fast-check)", async () => {
  const from = <Value>(...values: Value[]) => fc.constantFrom(...values);
  const header = fc.oneof(
    fc.tuple(
      from("Content-Type"),
      from("application/json", "application/json;charset=utf8", "text/json", "", undefined),
    ),
    fc.tuple(from("Idempotency-Key"), from("a", "b", "a b", "\u00fc", undefined)),
    fc.tuple(from("Authorization"), from(undefined, "Bearer", "Bearer x.y.z", "bearer ")),
    fc.tuple(
      from(
        "Origin",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "If-None-Match",
        "Accept",
        "Cookie",
        "X-Request-Id",
      ),
      from("https://shop.example.test", "*", "1.2.3.4", "::1, 127.0.0.1", "https", "a=b", "", "\u00e9", "%00"),
    ),
    fc.tuple(from("X-Any", "Forwarded", "Via", "Prefer"), fc.stringMatching(/^[ -~]{0,40}$/)),
  );
  const shape = fc.record({
    method: fc.oneof(
      { weight: 6, arbitrary: fc.constant("POST") },
      from("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"),
    ),
    target: fc.oneof(
      { weight: 6, arbitrary: fc.constant("/v1/checkouts") },
      from("/v1/events", "/v1/accounts/me", "/v1/sessions", "/healthz"),
      fc.stringMatching(/^[!$&'()*+,;=:@%\w.~-]{0,12}$/).map((rest) => `/v1/checkouts${rest}`),
      fc.stringMatching(/^\?[!$&'()*+,;=:@%\w.~-]{0,12}$/).map((rest) => `/v1/checkouts${rest}`),
    ),
    headers: fc.array(header, { maxLength: 4 }).map((list) => Object.fromEntries(list)),
    body: fc.oneof(
      { weight: 3, arbitrary: fc.constant(good) },
      fc.json().map((text) => Buffer.from(text)),
      fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
      fc
        .record({
          eventId: from<unknown>("evt_1", "evt_SEAT_TAKEN", "evt_bug", "", 1),
          seats: fc.array(from<unknown>("A-A-1", "B-B-2", "", 1)),
        })
        .map((body) => JSON.stringify(body)),
    ),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(shape, { minLength: 1, maxLength: 3 }), async (shapes) => {
      const told = await sameOf((asker) =>
        shapes.flatMap((one, at) => [...ask({ ...one, stays: at < shapes.length - 1 })(asker), "<answer>"]),
      );
      // A good request is one whose answer was read, not one that both have dropped.
      expect(statusesOf(told).length).toBeGreaterThan(0);
    }),
    { numRuns: 100 },
  );
});

// Again, should the machine have stood still: a gateway that waits for Valkey for half a second counts by itself, from nothing.
test("who stands behind no proxy is seen as what the connection says", { retry: 2 }, async () => {
  const pair = await startPair({ TRUST_PROXY: "false", RATE_ANONYMOUS: "3/3600" });
  const mine = { ...gateways };
  Object.assign(gateways, pair);
  try {
    const told = await sameOf((asker) =>
      Array.from({ length: 5 }, (_, nth) =>
        ask({ stays: nth < 4, headers: { Authorization: undefined, "X-Forwarded-For": `203.0.113.${nth}` } })(
          asker,
        ).concat("<answer>"),
      ).flat(),
    );
    expect(statusesOf(told)).toEqual([401, 401, 401, 429, 429]);
  } finally {
    Object.assign(gateways, mine);
    await Promise.all(ways.map((way) => pair[way].stop()));
  }
});

test("the two were counted alike by route and status; and one went by Express, the other hardly", async () => {
  const counts = async (way: Way) =>
    (await (await fetch(`${gateways[way].url}/metrics`)).text())
      .split("\n")
      .filter((line) => line.startsWith("onsale_http_seconds_count") && !/route="\/(metrics|healthz)"/.test(line))
      // Of hot routes alone, what was never answered is counted too.
      .filter((line) => !line.endsWith(" 0"))
      .sort();
  await eventually(async () => expect(await counts("hot")).toEqual(await counts("express")), 5_000);
  expect((await counts("hot")).join("\n")).toMatch(/method="POST",route="\/v1\/checkouts",status="409"/);
  expect(asked.express).toBeGreaterThan(300);
  expect(asked.hot).toBeLessThan(asked.express / 2);
  const before = { ...asked };
  await sameOf(ask());
  expect({ hot: asked.hot - before.hot, express: asked.express - before.express }).toEqual({ hot: 0, express: 1 });
});
