// kill -9 of any one process at any step of a checkout: it ends completed or undone, and is charged at most once.
import { randomUUID } from "node:crypto";
import type { StartedProcess } from "@onsale/backing/child-process";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CheckoutBody, type Person, publishEvent, signUp, untilStatus } from "../e2e/rest.js";
import { audit, openShop, plantFault, type Shop, stripeLedger } from "../e2e/shop.js";

const holdSeconds = 45;
let shop: Shop;
let buyer: Person;
let eventId: string;
let nextSeat = 1;

beforeAll(async () => {
  shop = await openShop({
    ownServers: true,
    settings: { inventory: { HOLD_TTL_SECONDS: String(holdSeconds) } },
  });
  buyer = await signUp(shop.url);
  eventId = await publishEvent(shop.organiser, { seatsPerRow: 50, seatsPerPerson: 50 });
});
afterAll(() => shop?.stop());

const processNamed = (name: string): StartedProcess => {
  const found = { ...shop.stack.processes, ...shop.backing?.processes } as Record<string, StartedProcess | undefined>;
  const process = found[name];
  if (!process) throw new Error(`there is no process ${name}`);
  return process;
};

async function held(): Promise<CheckoutBody & { readonly seatId: string }> {
  const seatId = `A-A-${nextSeat++}`;
  // A server that was killed in the test before may need a moment until everyone has found it again.
  for (let tries = 0; ; tries += 1) {
    const hold = await buyer.hold(eventId, [seatId]);
    if (hold.status === 201) return { ...hold.body, seatId };
    if (hold.status < 500 || tries > 30) throw new Error(`hold: ${hold.status} ${JSON.stringify(hold.body)}`);
    await pause(500);
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const paymentOf = async (checkoutId: string) =>
  (await stripeLedger(shop)).filter(({ metadata }) => metadata["checkoutId"] === checkoutId);

async function until(what: string, met: () => Promise<boolean>, withinMs = 30_000): Promise<void> {
  const giveUpAt = Date.now() + withinMs;
  while (Date.now() < giveUpAt) {
    if (await met().catch(() => false)) return;
    await pause(20);
  }
  throw new Error(`it did not come to this: ${what}`);
}

/** Asks to pay until someone answers: the way a client with retries does. */
async function payThrough(checkoutId: string, key: string = randomUUID()): Promise<void> {
  const giveUpAt = Date.now() + (holdSeconds + 60) * 1000;
  while (Date.now() < giveUpAt) {
    const answer = await buyer.pay(checkoutId, "pm_card_visa", key).catch(() => undefined);
    if (answer && answer.status < 500 && answer.body.code !== "IDEMPOTENCY_IN_FLIGHT") return;
    await pause(300);
  }
}

const ends = ["completed", "cancelled", "expired", "refunded"];

async function expectOneCleanEnd(checkoutId: string, statuses = ends): Promise<string> {
  const { status } = await untilStatus(buyer, checkoutId, statuses, (holdSeconds + 120) * 1000);
  const payments = await paymentOf(checkoutId);
  const charged = payments.filter(({ captured, refunded }) => captured - refunded > 0);
  expect(charged).toHaveLength(status === "completed" ? 1 : 0);
  expect(payments.filter(({ captured }) => captured > 0).length).toBeLessThanOrEqual(1);
  expect((await audit(shop, eventId)).contradictions).toEqual([]);
  return status;
}

describe("at a chosen step", () => {
  it("the worker after authorize: the checkout completes when it is back", async () => {
    const { checkoutId } = await held();
    await plantFault(shop, { match: { path: "/capture$" }, action: { type: "latency", ms: 3000 } });
    const paying = payThrough(checkoutId);
    await until("authorized", async () => (await paymentOf(checkoutId)).some(({ authorized }) => authorized > 0));
    await processNamed("worker").kill9();
    await processNamed("worker").restart();
    await paying;
    expect(await expectOneCleanEnd(checkoutId)).toBe("completed");
  });

  it("the payment service after capture and before its answer: captured once", async () => {
    const { checkoutId } = await held();
    await plantFault(shop, { match: { path: "/capture$" }, action: { type: "reset_after_commit" }, count: 6 });
    const paying = payThrough(checkoutId);
    await until("captured", async () => (await paymentOf(checkoutId)).some(({ captured }) => captured > 0));
    await processNamed("payment").kill9();
    await processNamed("payment").restart();
    await paying;
    expect(await expectOneCleanEnd(checkoutId)).toBe("completed");
  });

  it("Valkey emptied while seats are held: whoever claims first gets the seat, nobody pays for nothing", async () => {
    const { checkoutId, seatId } = await held();
    const redis = new Redis(shop.backing?.redisUrl ?? "");
    await redis.flushall();
    await redis.quit();
    const rival = await signUp(shop.url);
    const second = await rival.hold(eventId, [seatId]).catch(() => undefined);
    const [, rivalEnd] = await Promise.all([
      payThrough(checkoutId),
      second?.status === 201
        ? rival.pay(second.body.checkoutId).then(() => untilStatus(rival, second.body.checkoutId, ends, 120_000))
        : undefined,
    ]);
    const end = await expectOneCleanEnd(checkoutId);
    expect([end, rivalEnd?.status].filter((status) => status === "completed").length).toBeLessThanOrEqual(1);
    expect((await audit(shop, eventId)).contradictions).toEqual([]);
  });

  it("Temporal restarted while seats are held: the checkout is paid afterwards", async () => {
    const { checkoutId } = await held();
    await processNamed("temporal").kill9();
    await processNamed("temporal").restart();
    await payThrough(checkoutId);
    expect(await expectOneCleanEnd(checkoutId)).toBe("completed");
  });

  it("the gateway after the hold, before the buyer has seen the answer: the retry meets the same checkout", async () => {
    const key = randomUUID();
    const seatId = `A-A-${nextSeat++}`;
    const first = await buyer.hold(eventId, [seatId], key);
    await processNamed("gateway").kill9();
    await processNamed("gateway").restart();
    const second = await buyer.hold(eventId, [seatId], key);
    expect(second).toMatchObject({ status: 201, body: { checkoutId: first.body.checkoutId } });
    await payThrough(second.body.checkoutId);
    expect(await expectOneCleanEnd(second.body.checkoutId)).toBe("completed");
  });
});

const everyone = [
  "gateway",
  "worker",
  "ticket",
  "payment",
  "inventory",
  "account",
  "stripe-sim",
  "valkey",
  "mongodb",
  "temporal",
] as const;

// One is held and one is being paid when it happens.
it.each(everyone)("%s killed: both checkouts end completed or undone, each charged at most once", async (name) => {
  const [waiting, inPayment] = [await held(), await held()];
  const paying = payThrough(inPayment.checkoutId);
  const delay = Math.floor(Math.random() * 400);
  await pause(delay);
  await processNamed(name).kill9();
  await pause(700);
  await processNamed(name).restart();
  await Promise.all([paying, payThrough(waiting.checkoutId)]);
  const [one, other] = [await expectOneCleanEnd(inPayment.checkoutId), await expectOneCleanEnd(waiting.checkoutId)];
  console.log(`${name} killed ${delay} ms into a payment: ${one}; the held one: ${other}`);
});
