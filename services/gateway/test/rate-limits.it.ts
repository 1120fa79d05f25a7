// How exact a limit is that several gateways count together, each some of it for itself: whatever the order, outage or clock.
import { randomUUID } from "node:crypto";
import { createLogger } from "@onsale/kit/log";
import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test, vi } from "vitest";
import { connectValkey, type Valkey } from "../src/clients/valkey.js";
import { createRateLimits, type Policy, type RateLimits } from "../src/http/rate-limit.js";
import { eventually } from "./harness.js";
import { startValve } from "./valve.js";

const points = 100;
const share = points / 50;
/** What one caller may have at most: the limit, and what each gateway has counted without telling. */
const mostOf = (gateways: number) => points + gateways * share;

const prefix = `rates-${randomUUID().slice(0, 8)}:`;
const log = createLogger("rates", "silent");
const rates: Record<Policy, { points: number; seconds: number }> = {
  anonymous: { points, seconds: 600 },
  account: { points, seconds: 600 },
  credentials: { points: 49, seconds: 600 },
  codes: { points, seconds: 600 },
  codesByAddress: { points, seconds: 600 },
  webhooks: { points: 50, seconds: 1 },
};
const lines: Valkey[] = [];
let gateways: [RateLimits, RateLimits, RateLimits];
let behindValve: RateLimits;
let valve: Awaited<ReturnType<typeof startValve>>;

async function startGateway(valkey: Valkey): Promise<RateLimits> {
  lines.push(valkey);
  await eventually(() => valkey.ping());
  return createRateLimits(valkey, prefix, rates);
}
beforeAll(async () => {
  const { redisUrl } = inject("backing");
  valve = await startValve(redisUrl);
  // Patient ones: what a gateway does when Valkey is late is for those with the valve.
  const patient = () => startGateway(new Redis(redisUrl));
  gateways = [await patient(), await patient(), await patient()];
  behindValve = await startGateway(connectValkey(valve.url, log));
});
afterEach(() => vi.useRealTimers());
afterAll(() => {
  for (const valkey of lines) valkey.disconnect();
  valve.stop();
});

let callers = 0;
const newCaller = () => `caller-${++callers}`;
const allowed = async (gateway: RateLimits, who: string, policy: Policy = "account"): Promise<boolean> =>
  (await gateway.take(policy, who)).refusal === undefined;
/** How many of so many, one after the other, are let through. */
async function allowedOf(asks: number, gateway: RateLimits, who: string, policy: Policy = "account"): Promise<number> {
  let count = 0;
  for (let n = 0; n < asks; n++) if (await allowed(gateway, who, policy)) count += 1;
  return count;
}

describe("one caller", () => {
  test("one gateway, one after the other: exactly the limit, and what is left is told truly", async () => {
    const who = newCaller();
    const left: number[] = [];
    for (let n = 0; n < points + 5; n++) {
      const { headers, refusal } = await gateways[0].take("account", who);
      left.push(Number(/;r=(\d+);/.exec(headers["RateLimit"] ?? "")?.[1]));
      expect(refusal === undefined).toBe(n < points);
    }
    expect(left).toEqual(Array.from({ length: points + 5 }, (_, n) => Math.max(0, points - 1 - n)));
  });

  test("one gateway, some at once: exactly the limit", async () => {
    // Turns of the event loop between one request and the next: answers of Valkey come in between, or several together.
    const turns = fc.array(fc.nat({ max: 3 }), { minLength: points + 20, maxLength: points + 20 });
    await fc.assert(
      fc.asyncProperty(turns, async (waits) => {
        const who = newCaller();
        const told: Promise<boolean>[] = [];
        for (const [nth, turns] of waits.entries()) {
          told.push(allowed(gateways[0], who));
          // With more than half of the limit in flight it may be exceeded by what a gateway counts for itself.
          await told[nth - 20];
          for (let n = 0; n < turns; n++) await new Promise((resolve) => setImmediate(resolve));
        }
        expect((await Promise.all(told)).filter(Boolean)).toHaveLength(points);
      }),
      { numRuns: 60 },
    );
  });

  test("over two gateways: what one has counted for itself is all that can be had beyond the limit", async () => {
    const who = newCaller();
    const first = await allowedOf(1 + share, gateways[0], who);
    const second = await allowedOf(points + share, gateways[1], who);
    expect(first).toBe(1 + share);
    expect(first + second).toBeGreaterThanOrEqual(points - share);
    expect(first + second).toBeLessThanOrEqual(mostOf(1));
    expect(await allowed(gateways[1], who)).toBe(false);
  });

  test("one gateway, all at once, and more as soon as there is a first answer", async () => {
    const who = newCaller();
    const told = Array.from({ length: points }, () => allowed(gateways[0], who));
    await told[0];
    while (told.length < 2 * points) told.push(allowed(gateways[0], who));
    const count = (await Promise.all(told)).filter(Boolean).length;
    expect(count).toBeGreaterThanOrEqual(points);
    expect(count).toBeLessThanOrEqual(mostOf(1));
  });

  test("over three, in any order and any number at once (fast-check)", async () => {
    const step = fc.record({ gateway: fc.nat({ max: 2 }), crowd: fc.integer({ min: 1, max: 9 }), waits: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 25, maxLength: 40 }), async (steps) => {
        const who = newCaller();
        const told: Promise<boolean>[] = [];
        for (const { gateway, crowd, waits } of steps) {
          for (let n = 0; n < crowd; n++) told.push(allowed(gateways[gateway] as RateLimits, who));
          await (waits ? Promise.all(told) : told.at(-1));
        }
        const count = (await Promise.all(told)).filter(Boolean).length;
        expect(count).toBeLessThanOrEqual(mostOf(3));
        expect(count).toBeGreaterThanOrEqual(Math.min(told.length, points) - 3 * share);
        // And whoever is above it is out everywhere, soon.
        for (const gateway of gateways) await allowedOf(points / 2, gateway, who);
        for (const gateway of gateways) expect(await allowed(gateway, who)).toBe(false);
      }),
      { numRuns: 40 },
    );
  });
});

test.each<[Policy, number]>([
  ["credentials", 49],
  ["codes", points],
])("over two gateways, exactly so many of %s: %i", async (policy, most) => {
  const who = newCaller();
  const told = await Promise.all(
    Array.from({ length: most + 20 }, (_, n) => allowed(gateways[n % 2] as RateLimits, who, policy)),
  );
  expect(told.filter(Boolean)).toHaveLength(most);
});

test("one caller's use is not another's", async () => {
  const [one, other] = [newCaller(), newCaller()];
  await allowedOf(points + 1, gateways[0], one);
  expect(await allowed(gateways[0], one)).toBe(false);
  expect(await allowed(gateways[0], other)).toBe(true);
  expect(await allowed(gateways[0], one, "anonymous")).toBe(true);
});

test("a new window: all of it again, and nothing of the old one's lease", async () => {
  const who = newCaller();
  const first = await allowedOf(60, gateways[0], who, "webhooks");
  expect(first).toBeLessThanOrEqual(50 * 2);
  await eventually(async () => expect(await allowed(gateways[0], who, "webhooks")).toBe(true), 5_000);
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  // A window of a second may end in between, on a slow machine: then twice as many are right.
  const begun = performance.now();
  const told = await allowedOf(60, gateways[0], who, "webhooks");
  const windows = 1 + Math.ceil((performance.now() - begun) / 1000);
  expect(told).toBeGreaterThanOrEqual(50);
  expect(told).toBeLessThanOrEqual(50 * windows);
});

describe("the clock jumps", () => {
  const hour = 3_600_000;
  test.each([
    ["forward a day", 24 * hour],
    ["back a day", -24 * hour],
    ["to the year 2038", Date.UTC(2038, 0, 20) - Date.now()],
  ])("%s: no request more, and none less", async (_, jump) => {
    const who = newCaller();
    expect(await allowedOf(points / 2 + 3, gateways[0], who)).toBe(points / 2 + 3);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + jump });
    const { headers } = await gateways[0].take("account", who);
    const seconds = Number(/;t=(\d+)$/.exec(headers["RateLimit"] ?? "")?.[1]);
    expect(seconds).toBeGreaterThan(500);
    expect(seconds).toBeLessThanOrEqual(600);
    expect(await allowedOf(points, gateways[0], who)).toBe(points / 2 - 4);
  });
});

test.each<Policy>(["account", "credentials"])(
  "Valkey's clock goes back: who is at the limit for %s is not kept there until it comes round again",
  async (policy) => {
    const who = newCaller();
    await allowedOf(points + 10, gateways[0], who, policy);
    expect(await allowed(gateways[0], who, policy)).toBe(false);
    const [valkey] = lines as [Valkey];
    expect(await valkey.pexpire(`${prefix}rate:${policy}:${who}`, 2 * 600_000)).toBe(1);
    expect(await allowed(gateways[0], who, policy)).toBe(true);
    // And not for ever: the limit is one again.
    await allowedOf(points + 10, gateways[0], who, policy);
    expect(await allowed(gateways[0], who, policy)).toBe(false);
  },
);

describe("Valkey is away", () => {
  afterEach(() => valve.set("open"));

  test("each gateway counts for itself: the limit again at most, and never an error", async () => {
    const who = newCaller();
    const before = await allowedOf(30, behindValve, who);
    valve.set("cut");
    const during = await allowedOf(2 * points, behindValve, who);
    expect(before).toBe(30);
    expect(during).toBeGreaterThanOrEqual(points - 1 - share);
    expect(during).toBeLessThanOrEqual(points + share);
    valve.set("open");
    // What Valkey was told before is still true.
    await eventually(async () => {
      const { headers } = await gateways[1].take("account", who);
      const left = Number(/;r=(\d+);/.exec(headers["RateLimit"] ?? "")?.[1]);
      expect(left).toBeLessThanOrEqual(points - 30 + share);
    });
    await eventually(() => lines.at(-1)?.ping());
    const after = await allowedOf(2 * points, behindValve, who);
    expect(after).toBeLessThanOrEqual(points - 30 + 2 * share);
    expect(await allowed(behindValve, who)).toBe(false);
  });

  test("and the clock jumps meanwhile: still never an error, and it still ends", async () => {
    const who = newCaller();
    valve.set("cut");
    expect(await allowedOf(5, behindValve, who)).toBe(5);
    for (const jump of [-24 * 3_600_000, 24 * 3_600_000]) {
      vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + jump });
      expect(await allowedOf(3 * points, behindValve, who)).toBeLessThanOrEqual(points + share);
      expect(await allowed(behindValve, who)).toBe(false);
    }
  });
});

test("20,000 callers and more: each is still counted, and memory has an end", async () => {
  const who = newCaller();
  expect(await allowedOf(points, gateways[0], who)).toBe(points);
  const others = 21_000;
  for (let n = 0; n < others; n += 1_000)
    await Promise.all(Array.from({ length: 1_000 }, (_, at) => allowed(gateways[0], `crowd-${n + at}`, "anonymous")));
  expect(await allowed(gateways[0], who)).toBe(false);
  // The first of them are forgotten here, not there: so many more only.
  expect(await allowedOf(2 * points, gateways[0], "crowd-0", "anonymous")).toBeLessThanOrEqual(points - 1 + share);
});
