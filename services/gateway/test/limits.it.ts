// Rate limits and stored answers, with Valkey there, gone, stalled and lost; slow senders; stopping.
import { connect as connectTcp } from "node:net";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { aHold, anAccount, aSession, eventually, type Harness, startHarness } from "./harness.js";
import { startValve } from "./valve.js";

const backing = inject("backing");

describe("rate limits", () => {
  let gateway: Harness;
  beforeAll(async () => {
    gateway = await startHarness({
      ...backing,
      settings: { RATE_ANONYMOUS: "8/60", RATE_ACCOUNT: "5/60", RATE_CREDENTIALS: "3/60", TRUST_PROXY: "loopback" },
    });
    gateway.replies.catalog = { searchEvents: async () => ({ events: [], nextCursor: "" }) };
    gateway.replies.account = {
      getAccount: async () => ({ account: anAccount() }),
      logIn: async () => ({ account: anAccount(), session: aSession() }),
    };
  });
  afterAll(() => gateway.stop());
  const from = (address: string) => ({ headers: { "x-forwarded-for": address } });

  test("by address without a token, with the headers of the draft standard", async () => {
    const told = [];
    for (let n = 0; n < 9; n++) told.push(await gateway.get("/v1/events", from("203.0.113.1")));
    expect(told.map(({ status }) => status)).toEqual([...Array(8).fill(200), 429]);
    expect(told[0]?.headers.get("ratelimit-policy")).toBe('"anonymous";q=8;w=60');
    expect(told[0]?.headers.get("ratelimit")).toMatch(/^"anonymous";r=7;t=(59|60)$/);
    const last = told[8];
    expect(last?.headers.get("content-type")).toBe("application/problem+json");
    expect(last?.body).toMatchObject({ code: "RATE_LIMITED", retryable: true });
    expect(Number(last?.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(Number(last?.headers.get("retry-after"))).toBeLessThanOrEqual(60);
    expect(last?.headers.get("ratelimit")).toMatch(/^"anonymous";r=0;t=\d+$/);
    expect((await gateway.get("/v1/events", from("203.0.113.2"))).status).toBe(200);
    expect((await gateway.get("/healthz", from("203.0.113.1"))).status).toBe(200);
  });

  test("by account with one, from wherever it comes", async () => {
    const one = await gateway.token("acc_limited");
    const ask = (n: number, token: string) =>
      gateway.get("/v1/accounts/me", { token, ...from(`203.0.113.${100 + n}`) });
    const told = [];
    for (let n = 0; n < 6; n++) told.push((await ask(n, one)).status);
    expect(told).toEqual([200, 200, 200, 200, 200, 429]);
    expect((await ask(0, await gateway.token("acc_other"))).status).toBe(200);
  });

  test("bad tokens count against their address", async () => {
    const told = [];
    for (let n = 0; n < 9; n++)
      told.push((await gateway.get("/v1/accounts/me", { token: "forged", ...from("203.0.113.3") })).status);
    expect(told).toEqual([...Array(8).fill(401), 429]);
  });

  test("stricter for credentials; nothing reaches the account service", async () => {
    gateway.calls.length = 0;
    const told = [];
    for (let n = 0; n < 5; n++)
      told.push(
        (await gateway.post("/v1/sessions", { body: { email: "a@b.test", password: "pw" }, ...from("203.0.113.4") }))
          .status,
      );
    expect(told).toEqual([201, 201, 201, 429, 429]);
    expect(gateway.calls).toHaveLength(3);
  });

  test("a subscriber's IPv6 addresses count as one", async () => {
    const told = [];
    for (let n = 0; n < 9; n++) told.push((await gateway.get("/v1/events", from(`2001:db8:7:7::${n + 1}`))).status);
    expect(told).toEqual([...Array(8).fill(200), 429]);
  });
});

test("who claims to be a proxy without being trusted is counted by its own address", async () => {
  const gateway = await startHarness({ ...backing, settings: { RATE_ANONYMOUS: "3/60" } });
  try {
    gateway.replies.catalog = { searchEvents: async () => ({ events: [], nextCursor: "" }) };
    const told = [];
    for (let n = 0; n < 4; n++)
      told.push((await gateway.get("/v1/events", { headers: { "x-forwarded-for": `203.0.113.${n}` } })).status);
    expect(told).toEqual([200, 200, 200, 429]);
  } finally {
    await gateway.stop();
  }
});

describe("Valkey", () => {
  let gateway: Harness;
  let valve: Awaited<ReturnType<typeof startValve>>;
  let holds = 0;
  beforeAll(async () => {
    valve = await startValve(backing.redisUrl);
    gateway = await startHarness({ ...backing, redisUrl: valve.url, settings: { RATE_ANONYMOUS: "50/60" } });
    gateway.replies.catalog = { searchEvents: async () => ({ events: [], nextCursor: "" }) };
    gateway.replies.seats = {
      hold: async () => {
        holds += 1;
        return aHold(["A-A-1"]);
      },
    };
  });
  afterEach(() => valve.set("open"));
  afterAll(async () => {
    await gateway.stop();
    valve.stop();
  });
  const buy = async (key: string) =>
    gateway.post("/v1/checkouts", {
      token: await gateway.token("acc_v"),
      key,
      body: { eventId: "evt_1", seats: ["A-A-1"] },
    });

  test.each<["cut" | "stalled", number]>([
    ["cut", 300],
    ["stalled", 2_500],
  ])("%s: requests go on, none is refused for it, none hangs", async (mode, usual) => {
    await eventually(async () => expect((await gateway.get("/v1/events")).status).toBe(200));
    valve.set(mode);
    const took: number[] = [];
    for (let n = 0; n < 5; n++) {
      const begun = Date.now();
      expect((await gateway.get("/v1/events")).status).toBe(200);
      took.push(Date.now() - begun);
    }
    // The one in the middle: one may have met a busy machine.
    expect(took.sort((a, b) => a - b)[2]).toBeLessThan(usual);
    expect(took[4]).toBeLessThan(5_000);
    holds = 0;
    const bought = await buy(`while-${mode}`);
    expect(bought.status, bought.text).toBe(201);
    // Unstored, so done again, for the same checkout: its id is derived.
    const again = await buy(`while-${mode}`);
    expect({ status: again.status, id: again.body.checkoutId }).toEqual({ status: 201, id: bought.body.checkoutId });
    expect(holds).toBe(2);
  });

  test("gone: the limit still holds, counted by the gateway itself", async () => {
    valve.set("cut");
    const told = await Promise.all(Array.from({ length: 60 }, () => gateway.get("/v1/events")));
    expect(told.filter(({ status }) => status === 429).length).toBeGreaterThan(0);
    expect(told.filter(({ status }) => status === 200).length).toBeGreaterThan(0);
  });

  test("back: answers are stored again", async () => {
    valve.set("open");
    await eventually(async () => {
      const key = `back-${Math.random()}`;
      await buy(key);
      expect((await buy(key)).headers.get("idempotent-replayed")).toBe("true");
    });
  });
});

async function recordsOf(gateway: Harness, valkey: Redis) {
  const keys = await valkey.keys(`${gateway.redisPrefix}answer:*`);
  return await Promise.all(
    keys.map(async (key) => ({ key, ttl: await valkey.pttl(key), record: (await valkey.get(key)) ?? "" })),
  );
}

describe("stored answers", () => {
  let gateway: Harness;
  let valkey: Redis;
  beforeAll(async () => {
    gateway = await startHarness({ ...backing, settings: { IDEMPOTENCY_SECRET: "a-secret-of-this-test" } });
    valkey = new Redis(backing.redisUrl);
  });
  afterEach(() => gateway.reset());
  afterAll(async () => {
    await gateway.stop();
    valkey.disconnect();
  });
  test("can't be read by who reads Valkey, and are kept for a day", async () => {
    gateway.replies.account = { logIn: async () => ({ account: anAccount(), session: aSession() }) };
    const body = { email: "ada@example.test", password: "hunter2 hunter2" };
    const key = "log-in-1";
    const first = await gateway.post("/v1/sessions", { key, body });
    const again = await gateway.post("/v1/sessions", { key, body });
    expect(again.body).toEqual(first.body);
    expect(again.headers.get("idempotent-replayed")).toBe("true");
    expect(gateway.calls).toHaveLength(1);
    const stored = await recordsOf(gateway, valkey);
    expect(stored).toHaveLength(1);
    const text = JSON.stringify(stored);
    for (const secret of ["refresh-secret-value", "a.b.c", "hunter2", "ada@example", "log-in-1", "sessions"]) {
      expect(text).not.toContain(secret);
      expect(text).not.toContain(Buffer.from(secret).toString("base64").slice(0, -3));
    }
    expect(stored[0]?.ttl).toBeGreaterThan(23 * 3600_000);
    expect(stored[0]?.ttl).toBeLessThanOrEqual(24 * 3600_000);
  });

  test("of someone else's body are not given out: another password with the same key is another request", async () => {
    gateway.replies.account = { logIn: async () => ({ account: anAccount(), session: aSession() }) };
    await gateway.post("/v1/sessions", { key: "log-in-2", body: { email: "ada@example.test", password: "right" } });
    const told = await gateway.post("/v1/sessions", {
      key: "log-in-2",
      body: { email: "ada@example.test", password: "wrong" },
    });
    expect({ status: told.status, code: told.body.code }).toEqual({ status: 422, code: "IDEMPOTENCY_KEY_REUSED" });
    expect(gateway.calls).toHaveLength(1);
  });

  test("are forgotten with a new secret, rather than taken for those of other requests", async () => {
    gateway.replies.account = { logIn: async () => ({ account: anAccount(), session: aSession() }) };
    const ask = (to: Harness) =>
      to.post("/v1/sessions", { key: "rotated", body: { email: "a@b.test", password: "pw" } });
    expect((await ask(gateway)).status).toBe(201);
    const rotated = await startHarness({
      ...backing,
      settings: { IDEMPOTENCY_SECRET: "another-secret-of-this-test", REDIS_PREFIX: gateway.redisPrefix },
    });
    rotated.replies.account = gateway.replies.account;
    try {
      const told = await ask(rotated);
      expect({ status: told.status, replayed: told.headers.get("idempotent-replayed") }).toEqual({
        status: 201,
        replayed: null,
      });
    } finally {
      await rotated.stop();
    }
  });

  test("a key belongs to its address and method: the same one elsewhere is another", async () => {
    gateway.replies.account = {
      logIn: async () => ({ account: anAccount(), session: aSession() }),
      signUp: async () => ({ account: anAccount() }),
    };
    const key = "shared-key";
    expect((await gateway.post("/v1/sessions", { key, body: { email: "a@b.test", password: "pw" } })).status).toBe(201);
    expect(
      (await gateway.post("/v1/accounts", { key, body: { email: "a@b.test", password: "pw", name: "A" } })).status,
    ).toBe(201);
  });

  test("what was malformed is not kept: the repaired request goes through with the same key", async () => {
    gateway.replies.seats = { hold: async () => aHold(["A-A-1"]) };
    const token = await gateway.token("acc_r");
    expect(
      (await gateway.post("/v1/checkouts", { token, key: "repair", body: { eventId: "evt_1", seats: [] } })).status,
    ).toBe(400);
    expect(
      (await gateway.post("/v1/checkouts", { token, key: "repair", body: { eventId: "evt_1", seats: ["A-A-1"] } }))
        .status,
    ).toBe(201);
  });
});

// Each with a gateway of its own, and all together: they mostly wait.
describe.concurrent("what takes its time", () => {
  test("a request that is still running refuses its double; one whose gateway died does not block for long", async () => {
    const gateway = await startHarness(backing);
    const valkey = new Redis(backing.redisUrl);
    try {
      let letGo: () => void = () => undefined;
      gateway.replies.account = {
        logIn: () =>
          new Promise((resolve) => {
            letGo = () => resolve({ account: anAccount(), session: aSession() });
          }),
      };
      const ask = () => gateway.post("/v1/sessions", { key: "slow", body: { email: "a@b.test", password: "pw" } });
      const first = ask();
      await eventually(() => expect(gateway.calls).toHaveLength(1));
      const double = await ask();
      expect({ status: double.status, code: double.body.code, wait: double.headers.get("retry-after") }).toEqual({
        status: 409,
        code: "IDEMPOTENCY_IN_FLIGHT",
        wait: "1",
      });
      // Longer than the lock lives by itself: it is renewed while the work goes on.
      await new Promise((resolve) => setTimeout(resolve, 7_000));
      expect((await ask()).status).toBe(409);
      letGo();
      expect((await first).status).toBe(201);
      expect((await ask()).headers.get("idempotent-replayed")).toBe("true");
      // As a gateway leaves it that was killed in the middle: a lock that nobody renews.
      const before = await valkey.keys(`${gateway.redisPrefix}answer:*`);
      gateway.calls.length = 0;
      gateway.replies.account = { logIn: async () => ({ account: anAccount(), session: aSession() }) };
      const ask2 = () => gateway.post("/v1/sessions", { key: "killed", body: { email: "a@b.test", password: "pw" } });
      await ask2();
      const fingerprintLength = 43;
      for (const { key, record } of await recordsOf(gateway, valkey))
        if (!before.includes(key)) {
          expect(record[0]).toBe("a");
          const begun = `r${record.slice(1, 1 + fingerprintLength)}of-another-gateway`;
          await valkey.set(key, begun, "PX", 24 * 3600_000 - 3_000); // 3 of the 6 s that nobody else may have it
        }
      expect((await ask2()).status).toBe(409);
      await eventually(async () => expect((await ask2()).status).toBe(201));
    } finally {
      valkey.disconnect();
      await gateway.stop();
    }
  });

  test("a refused request with a short body does not cost its sender the connection", async () => {
    const gateway = await startHarness(backing);
    try {
      const socket = connectTcp(gateway.port, "127.0.0.1");
      let answers = "";
      socket.on("data", (data) => {
        answers += data;
      });
      const request = (method: string, path: string) =>
        `${method} ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`;
      for (let n = 1; n <= 3; n++) {
        socket.write(request("POST", "/v1/checkouts"));
        await eventually(() => expect(answers.match(/HTTP\/1\.1 401 /g)).toHaveLength(n));
      }
      socket.write(request("DELETE", "/v1/nothing"));
      await eventually(() => expect(answers).toMatch(/HTTP\/1\.1 404 /));
      expect(answers).not.toContain("Connection: close");
      socket.destroy();
    } finally {
      await gateway.stop();
    }
  });

  test("whoever sends its headers too slowly is cut off with an answer", async () => {
    const gateway = await startHarness(backing);
    try {
      const socket = connectTcp(gateway.port, "127.0.0.1");
      socket.write("GET /v1/events HTTP/1.1\r\nHost: a\r\n");
      const drip = setInterval(() => socket.write("X-Slow: 1\r\n"), 500);
      let answer = "";
      const begun = Date.now();
      socket.on("error", () => undefined);
      for await (const data of socket) answer += data;
      clearInterval(drip);
      expect(Date.now() - begun).toBeLessThan(30_000);
      expect(answer).toMatch(/^HTTP\/1\.1 408 /);
      expect(answer).toContain("application/problem+json");
    } finally {
      await gateway.stop();
    }
  });

  test("a gateway that stops: not ready at once, idle connections closed, what runs finishes", async () => {
    const gateway = await startHarness({ ...backing, settings: { DRAIN_DELAY_SECONDS: "0.5" } });
    let letGo: () => void = () => undefined;
    gateway.replies.catalog = {
      searchEvents: () =>
        new Promise((resolve) => {
          letGo = () => resolve({ events: [], nextCursor: "" });
        }),
    };
    const idle = connectTcp(gateway.port, "127.0.0.1");
    idle.on("error", () => undefined);
    idle.write("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    await new Promise((resolve) => idle.once("data", resolve));
    const idleClosed = new Promise<void>((resolve) => idle.once("close", () => resolve()));
    const running = gateway.get("/v1/events");
    await eventually(() => expect(gateway.calls).toHaveLength(1));
    const stopped = gateway.stop();
    const readiness = await gateway.get("/readyz");
    expect(readiness.status).toBe(503);
    await idleClosed;
    letGo();
    const told = await running;
    expect(told.status).toBe(200);
    expect(told.headers.get("connection")).toBe("close");
    await stopped;
    await expect(fetch(`${gateway.url}/healthz`)).rejects.toThrow();
  });

  test("clients that ask before they send a body are told to go on, or that it is not wanted", async () => {
    const gateway = await startHarness(backing);
    gateway.replies.account = { logIn: async () => ({ account: anAccount(), session: aSession() }) };
    const ask = async (length: number, body: string) => {
      const socket = connectTcp(gateway.port, "127.0.0.1");
      socket.write(
        `POST /v1/sessions HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\nExpect: 100-continue\r\n\r\n`,
      );
      let answer = "";
      socket.on("data", (data) => {
        if (answer === "" && data.toString().startsWith("HTTP/1.1 100")) socket.write(body);
        answer += data;
      });
      await new Promise((resolve) => socket.once("close", resolve));
      return answer;
    };
    try {
      const body = JSON.stringify({ email: "a@b.test", password: "pw" });
      const good = await ask(body.length, body);
      expect(good).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 201 /);
      const large = await ask(10_000_000, "");
      expect(large).toMatch(/^HTTP\/1\.1 413 /);
    } finally {
      await gateway.stop();
    }
  });
});
