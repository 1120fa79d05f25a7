// Valkey's clock goes back: what was made before then lasts longer than anything can, and must keep nobody waiting for that.
import { randomUUID } from "node:crypto";
import { createLogger } from "@onsale/kit/log";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { openValkey } from "../src/valkey/valkey.js";
import { freshId, type Inventory, insist, newEvent, publishEvent, seatsWish, startForTest } from "./inventory.js";

const hourMs = 3_600_000;
let inventory: Inventory;
beforeAll(async () => {
  const times = { HOLD_TTL_SECONDS: "1", HOLD_MARGIN_SECONDS: "0.5", SWEEP_SECONDS: "0.1" };
  inventory = await startForTest(inject("backing"), { AVAILABILITY_CACHE_MS: "0", ...times });
});
afterAll(() => inventory?.stop());

test("a lock whose holder is gone is free as soon as one that is taken now would be", async () => {
  const url = inventory.context.config.REDIS_URL;
  const times = { holdTtlMs: 1_000, holdMarginMs: 500, holdMemoryMs: 1_000 };
  const valkey = openValkey({ url, ...times, log: createLogger("test", "silent") });
  const eventId = freshId("evt");
  const take = () => insist(() => valkey.connection.lock(eventId, "rebuild", randomUUID(), 400));
  try {
    await expect.poll(() => valkey.connection.connected(eventId)).toBe(true);
    expect(await take()).toBe(true);
    await inventory.redis.pexpire(`{${eventId}}:lock:rebuild`, hourMs);
    expect(await take()).toBe(false);
    await expect.poll(take, { timeout: 10_000 }).toBe(true);
  } finally {
    valkey.connection.close();
  }
});

test("a hold from before does not keep those that were made after it from being cleared away", async () => {
  const eventId = await publishEvent(inventory, newEvent());
  await inventory.seats.hold(seatsWish(eventId, ["A-A-1"]));
  const queue = `{${eventId}}:1:q`;
  const entry = (await inventory.redis.lrangeBuffer(queue, 0, 0))[0] as Buffer;
  entry.writeUIntBE(entry.readUIntBE(0, 6) + hourMs, 0, 6);
  await inventory.redis.lset(queue, 0, entry);
  await inventory.seats.hold(seatsWish(eventId, ["A-A-2", "A-A-3"]));
  const held = async () => (await insist(() => inventory.seats.getAvailability({ eventId }))).sections[0]?.held;
  await expect.poll(held, { timeout: 10_000 }).toBeLessThanOrEqual(1);
  expect(await inventory.redis.llen(queue)).toBe(0);
});
