// The budget that processes share, the breaker, and what happens while a store is away.
import { createLogger } from "@onsale/kit/log";
import { PaymentStatus } from "@onsale/proto/payment/v1/payment";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { createSlots, type Lane, type Wanted } from "../src/budget.js";
import { createSharedSlots } from "../src/valkey.js";
import {
  newCheckoutId,
  newDatabase,
  orderFor,
  refusalOf,
  type Simulator,
  startPaymentService,
  startSimulator,
  startWire,
  until,
  untilAnswered,
  withMongo,
} from "./harness.js";
import { readLedger, requestsRefusedForRate } from "./ledger-of-sim.js";

const databases: string[] = [];
function database(): string {
  const name = newDatabase();
  databases.push(name);
  return name;
}
afterAll(() =>
  withMongo(async (client) => {
    for (const name of databases) await client.db(name).dropDatabase();
  }),
);

const addressOf = (url: string): [string, number] => {
  const { hostname, port } = new URL(url);
  return [hostname, Number(port)];
};

describe("the shared slots", () => {
  const rates = { perEndpoint: 40, total: 100, newShare: 0.8 };
  const open = (name: string) =>
    createSharedSlots({ url: inject("backing").redisUrl, name, rates, log: createLogger("test", "silent") });
  const wanted = (endpoint: string, lane: Lane, maxWaitMs = 60_000): Wanted => ({
    endpoint,
    lane,
    shared: endpoint === "retrieve",
    maxWaitMs,
  });

  it("give the same turns as the rule that they are written after", async () => {
    const slots = open(newDatabase());
    // The rule's clock stands where Valkey's is when the first turn is given; both queues are far ahead of it then.
    const asked: Wanted[] = Array.from({ length: 200 }, (_, index) =>
      wanted(["create", "confirm", "capture", "retrieve"][index % 4] as string, index % 3 === 0 ? "money" : "new"),
    );
    await until(async () => (await slots.reserve(wanted("warm-up", "money")).catch(() => undefined)) !== undefined);
    const before = Date.now();
    const given: number[] = [];
    for (const each of asked) given.push(Date.now() - before + (await slots.reserve(each)).waitMs);
    const rule = createSlots(rates, () => before);
    await rule.reserve(wanted("warm-up", "money"));
    const expected: number[] = [];
    for (const each of asked) expected.push((await rule.reserve(each)).waitMs);
    // Apart by what the calls themselves took, which moves the first turns; the queue's length is the same.
    const last = asked.length - 1;
    expect(Math.abs((given[last] as number) - (expected[last] as number))).toBeLessThan(300);
    slots.stop();
  });

  it("are one queue for all processes, and reserve nothing that comes too late", async () => {
    const name = newDatabase();
    const [one, other] = [open(name), open(name)];
    await until(async () => (await one.reserve(wanted("x", "money")).catch(() => undefined)) !== undefined);
    await until(async () => (await other.reserve(wanted("y", "money")).catch(() => undefined)) !== undefined);
    const start = Date.now();
    const turns = await Promise.all(
      Array.from({ length: 120 }, async (_, index) => {
        const turn = await (index % 2 === 0 ? one : other).reserve(wanted("capture", "money", 1_000));
        return { ...turn, at: Date.now() - start + turn.waitMs };
      }),
    );
    const askedForMs = Date.now() - start;
    const granted = turns.filter((turn) => turn.granted).map(({ at }) => at);
    // One second at 40/s, and the slot that is running; the queue moves on while they are asked for.
    expect(granted.length).toBeGreaterThanOrEqual(38);
    expect(granted.length).toBeLessThanOrEqual(44 + (askedForMs * 40) / 1_000);
    const late = turns.find((turn) => !turn.granted);
    expect(late?.waitMs).toBeGreaterThan(1_000);
    one.stop();
    other.stop();
  });

  describe("when Valkey's clock has gone back", () => {
    const operator = new Redis(inject("backing").redisUrl);
    afterAll(() => operator.disconnect());
    const prefixOf = (name: string) => `{onsale:${name}:${rates.perEndpoint}:${rates.total}}`;

    /** All that is stored, as a clock leaves it that goes back by so much: so much ahead of it. */
    async function leaveAhead(name: string, seconds: number): Promise<void> {
      const prefix = prefixOf(name);
      for (const [row, perSecond] of [
        [`${prefix}:all`, rates.total],
        [`${prefix}:at:capture`, rates.perEndpoint],
      ] as const) {
        const taken = await operator.zrange(row, "0", "-1");
        await operator.del(row);
        const moved = taken.map((slot) => String(Number(slot) + seconds * perSecond));
        if (moved.length > 0) await operator.zadd(row, ...moved.flatMap((slot) => [slot, slot]));
      }
      const cursors = await operator.hgetall(`${prefix}:cursors`);
      for (const [field, value] of Object.entries(cursors)) {
        if (field === "now") await operator.hincrby(`${prefix}:cursors`, field, seconds * 1_000_000);
        if (field.includes(":"))
          await operator.hset(`${prefix}:cursors`, field, Number(value) + seconds * rates.perEndpoint);
      }
    }

    it.each([5, 25, 3_600])("by %i s, turns go on from where they were", async (seconds) => {
      const name = newDatabase();
      const slots = open(name);
      await until(async () => (await slots.reserve(wanted("x", "money")).catch(() => undefined)) !== undefined);
      // A queue of two seconds.
      for (let index = 0; index < 80; index += 1) await slots.reserve(wanted("capture", "money", 4_000));
      await leaveAhead(name, seconds);
      const next = await slots.reserve(wanted("capture", "money", 4_000));
      expect(next.granted).toBe(true);
      // Those who were promised a turn before keep it.
      expect(next.waitMs).toBeGreaterThan(500);
      expect(await slots.reserve(wanted("confirm", "new", 4_000))).toMatchObject({ granted: true });
      await leaveAhead(name, seconds);
      expect(await slots.reserve(wanted("capture", "money", 4_000))).toMatchObject({ granted: true });
      slots.stop();
    });

    it("and nothing tells what the time was: a cursor ahead of what anybody waits for is none", async () => {
      const name = newDatabase();
      const slots = open(name);
      await until(async () => (await slots.reserve(wanted("capture", "money")).catch(() => undefined)) !== undefined);
      await leaveAhead(name, 3_600);
      await operator.hdel(`${prefixOf(name)}:cursors`, "now", "ahead");
      const turn = await slots.reserve(wanted("capture", "money", 1_000));
      expect(turn.granted).toBe(true);
      slots.stop();
    });
  });
});

describe("sixty buyers at two processes", () => {
  it("all wait for their turn, none is refused by Stripe, and money in flight does not wait behind them", async () => {
    const simulator = await startSimulator({ SIM_RATE_PER_ENDPOINT: "12", SIM_RATE_TOTAL: "30" });
    const name = database();
    const env = {
      STRIPE_RATE_PER_ENDPOINT: "12",
      STRIPE_RATE_TOTAL: "30",
      STRIPE_BUDGET_NAME: name,
      STRIPE_TIMEOUT_SECONDS: "8",
    };
    const pods = await Promise.all(
      [0, 1].map(() => startPaymentService({ stripeUrl: simulator.url, database: name, env })),
    );
    try {
      await until(async () => (await Promise.all(pods.map((pod) => pod.ready()))).every(Boolean));
      const [first, second] = pods as [(typeof pods)[number], (typeof pods)[number]];
      const early = newCheckoutId();
      await first.client.authorize(orderFor(early));
      let waiting = 60;
      const crowd = Array.from({ length: 60 }, async (_, index) => {
        const checkoutId = newCheckoutId();
        const { client } = index % 2 === 0 ? first : second;
        const { payment } = await untilAnswered(() => client.authorize(orderFor(checkoutId), { deadlineMs: 30_000 }));
        expect(payment).toMatchObject({ status: PaymentStatus.AUTHORIZED });
        waiting -= 1;
      });
      await new Promise((resolve) => setTimeout(resolve, 500));
      const { payment } = await untilAnswered(() => second.client.capture({ checkoutId: early }));
      expect(payment).toMatchObject({ status: PaymentStatus.CAPTURED });
      // Told by the order, not by a clock: the queue that was there before it is still long.
      expect(waiting).toBeGreaterThan(20);
      await Promise.all(crowd);
      expect(await requestsRefusedForRate(simulator)).toBe(0);
      expect(await first.metrics()).toMatch(
        /budget_wait_seconds_count\{service="payment",endpoint="create",lane="new",budget="shared"\} \d/,
      );
    } finally {
      for (const pod of pods) await pod.stop();
      await simulator.stop();
    }
  });

  it("are told to come again, with nothing charged, when their turn would come after their deadline", async () => {
    const simulator = await startSimulator();
    // So slow that even on a busy machine, where they come one after another, the last of them are too many.
    const env = { STRIPE_RATE_PER_ENDPOINT: "1", STRIPE_RATE_TOTAL: "8" };
    const pod = await startPaymentService({ stripeUrl: simulator.url, database: database(), env });
    try {
      await until(() => pod.ready());
      const ids = Array.from({ length: 12 }, newCheckoutId);
      const results = await Promise.all(
        ids.map((id) => refusalOf(pod.client.authorize(orderFor(id), { deadlineMs: 2_500 }))),
      );
      const late = results.filter(({ code }) => code === "UNAVAILABLE");
      expect(late.length).toBeGreaterThan(0);
      expect(results.every(({ code }) => ["none", "UNAVAILABLE", "DEADLINE_EXCEEDED"].includes(code))).toBe(true);
      for (const { error } of late) expect(error?.details["retryAfterSeconds"]).toBeGreaterThan(0);
      // And coming again works.
      const last = ids[results.findIndex(({ code }) => code === "UNAVAILABLE")] as string;
      const { payment } = await untilAnswered(() => pod.client.authorize(orderFor(last)));
      expect(payment).toMatchObject({ status: PaymentStatus.AUTHORIZED });
      expect(await readLedger(simulator, last)).toMatchObject({ intents: 1, authorized: 1 });
    } finally {
      await pod.stop();
      await simulator.stop();
    }
  });
});

describe("without Valkey", () => {
  it("a process keeps to a small budget of its own, and shares again when Valkey is back", async () => {
    const simulator = await startSimulator();
    const wire = await startWire(...addressOf(inject("backing").redisUrl));
    const env = {
      REDIS_URL: `redis://127.0.0.1:${wire.port}`,
      STRIPE_RATE_PER_ENDPOINT: "100",
      STRIPE_RATE_TOTAL: "400",
    };
    const pod = await startPaymentService({ stripeUrl: simulator.url, database: database(), env });
    const authorize = async () => {
      const { payment } = await pod.client.authorize(orderFor(newCheckoutId()));
      expect(payment).toMatchObject({ status: PaymentStatus.AUTHORIZED });
    };
    try {
      await until(() => pod.ready());
      await until(async () => {
        await authorize();
        return /onsale_stripe_budget_alone\{[^}]*\} 0/.test(await pod.metrics());
      });
      wire.cut();
      const start = Date.now();
      await Promise.all(Array.from({ length: 6 }, authorize));
      expect(Date.now() - start).toBeLessThan(5_000);
      expect(await pod.metrics()).toMatch(/onsale_stripe_budget_alone\{[^}]*\} 1/);
      wire.mend();
      await until(async () => {
        await authorize();
        return /onsale_stripe_budget_alone\{[^}]*\} 0/.test(await pod.metrics());
      });
    } finally {
      await pod.stop();
      await wire.stop();
      await simulator.stop();
    }
  });
});

describe("without MongoDB", () => {
  it("calls are refused in time, as worth a retry, and work again when it is back", async () => {
    const simulator = await startSimulator();
    const wire = await startWire(...addressOf(inject("backing").mongodbUri));
    const env = { MONGODB_URI: `mongodb://127.0.0.1:${wire.port}/?directConnection=true` };
    wire.cut();
    const starting = startPaymentService({ stripeUrl: simulator.url, database: database(), env });
    // It waits for MongoDB, however late that comes up.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    wire.mend();
    const pod = await starting;
    try {
      await until(() => pod.ready());
      const checkoutId = newCheckoutId();
      await pod.client.authorize(orderFor(checkoutId));
      wire.cut();
      expect(await refusalOf(pod.client.capture({ checkoutId }))).toMatchObject({
        code: expect.stringMatching(/^(UNAVAILABLE|DEADLINE_EXCEEDED)$/),
      });
      expect(await pod.ready()).toBe(false);
      wire.mend();
      await until(() => pod.ready());
      const { payment } = await untilAnswered(() => pod.client.capture({ checkoutId }));
      expect(payment).toMatchObject({ status: PaymentStatus.CAPTURED });
      expect(await readLedger(simulator, checkoutId)).toMatchObject({ captured: 5_000 });
    } finally {
      await pod.stop();
      await wire.stop();
      await simulator.stop();
    }
  });
});

describe("the circuit breaker", () => {
  let simulator: Simulator;
  beforeAll(async () => {
    simulator = await startSimulator();
  });
  afterAll(() => simulator.stop());
  const start = (env: Record<string, string>) =>
    startPaymentService({ stripeUrl: simulator.url, database: database(), env });

  it("opens after failures in a row, refuses at once, and closes when a probe succeeds", async () => {
    const pod = await start({ STRIPE_BREAKER_FAILURES: "4", STRIPE_BREAKER_OPEN_SECONDS: "3" });
    try {
      await until(() => pod.ready());
      await simulator.plan({ match: { method: "POST" }, action: { type: "error_500_unstored" }, count: 4 });
      const checkoutId = newCheckoutId();
      for (let time = 0; time < 4; time += 1)
        expect(await refusalOf(pod.client.authorize(orderFor(newCheckoutId())))).toMatchObject({ code: "UNAVAILABLE" });
      expect(await pod.metrics()).toMatch(/onsale_stripe_breaker_state\{[^}]*\} 1/);
      const refused = await refusalOf(pod.client.authorize(orderFor(checkoutId)));
      expect(refused).toMatchObject({ code: "UNAVAILABLE" });
      expect([1, 2, 3]).toContain(refused.error?.details["retryAfterSeconds"]);
      expect(await readLedger(simulator, checkoutId)).toMatchObject({ intents: 0 });
      await new Promise((resolve) => setTimeout(resolve, 3_050));
      const { payment } = await pod.client.authorize(orderFor(checkoutId));
      expect(payment).toMatchObject({ status: PaymentStatus.AUTHORIZED });
      expect(await pod.metrics()).toMatch(/onsale_stripe_breaker_state\{[^}]*\} 0/);
    } finally {
      await pod.stop();
    }
  });

  it("does not mind declines, unknown cards and limits, and counts only failures in a row", async () => {
    const pod = await start({ STRIPE_BREAKER_FAILURES: "2", STRIPE_BREAKER_OPEN_SECONDS: "60" });
    try {
      await until(() => pod.ready());
      await simulator.plan({ match: { method: "POST", path: "/confirm$" }, action: { type: "error_429" }, count: 3 });
      for (const paymentMethodId of [
        "pm_card_visa_chargeDeclined",
        "pm_unknown",
        "pm_card_visa_chargeDeclined",
        "pm_unknown",
      ]) {
        // One failure, and then something sound: never two in a row.
        await simulator.ask("POST", "/_sim/faults", [
          { match: { method: "POST", path: "^/v1/payment_intents$" }, action: { type: "error_500_unstored" } },
        ]);
        const order = orderFor(newCheckoutId(), { paymentMethodId });
        await refusalOf(untilAnswered(() => pod.client.authorize(order)));
      }
      expect(await pod.metrics()).toMatch(/onsale_stripe_breaker_state\{[^}]*\} 0/);
    } finally {
      await pod.stop();
    }
  });
});
