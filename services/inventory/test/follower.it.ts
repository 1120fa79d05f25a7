// The follower: claims whose writer died before it could tell Valkey, on a MongoDB that is killed and restarted.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import type { StartedProcess } from "../../../tools/backing/src/child-process.js";
import { freePort } from "../../../tools/backing/src/ports.js";
import { startMongodb } from "../../../tools/backing/src/servers.js";
import { blockHoldId } from "../src/seats/block.js";
import { openStore, type Store } from "../src/store.js";
import {
  expectRefusal,
  freshId,
  hall,
  holdIdFor,
  type Inventory,
  newDatabase,
  newEvent,
  publishEvent,
  seatsWish,
  startForTest,
} from "./inventory.js";

/** The lease is longer than a busy machine makes a process wait: a leader that loses it by that is no fault. */
const follows = { FOLLOW_CLAIMS: "true", FOLLOW_GRACE_SECONDS: "0.1", FOLLOW_LEASE_SECONDS: "10" };
const database = newDatabase();

let folder: string;
let mongodb: StartedProcess;
let mongodbUri: string;
/** A process that writes to MongoDB and then is no more. */
let dying: Store;
/** Does not follow. */
let inventory: Inventory;
const others: Inventory[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "onsale-follower-"));
  const port = await freePort();
  mongodb = await startMongodb({ port, dataDir: folder, env: process.env });
  mongodbUri = `mongodb://127.0.0.1:${port}/?directConnection=true`;
  inventory = await startForTest({ ...inject("backing"), mongodbUri }, { AVAILABILITY_CACHE_MS: "0" }, database);
  dying = openStore({ uri: mongodbUri, database });
});
afterAll(async () => {
  for (const other of [inventory, ...others]) await other?.stop();
  await dying?.close();
  await mongodb?.stop();
  if (folder) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

async function startFollowing(): Promise<Inventory> {
  const follower = await startForTest({ ...inject("backing"), mongodbUri }, follows, database);
  others.push(follower);
  return follower;
}

async function claimUntold(eventId: string, seatId: string, checkoutId = freshId("chk")): Promise<string> {
  const holdId = holdIdFor(checkoutId);
  const wanted = { eventId, checkoutId, holdId, userId: freshId("acc") };
  await dying.claims.claim({ ...wanted, seats: [{ seatId, sectionId: "A", amount: 4950 }] });
  return checkoutId;
}

const counts = async (eventId: string) =>
  (await inventory.seats.getAvailability({ eventId }).catch(() => undefined))?.sections[0];
const eventually = (eventId: string, expected: object) =>
  expect.poll(() => counts(eventId), { timeout: 30_000, interval: 50 }).toMatchObject(expected);

const metric = async ({ context }: Inventory, name: string) =>
  Number(new RegExp(`^${name}\\S* (\\d+)$`, "m").exec(await context.metrics.registry.metrics())?.[1] ?? 0);

test("what another process wrote and did not tell: sold, blocked, given back", async () => {
  const follower = await startFollowing();
  const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 6)]));
  // A seat that is held by someone, one that nobody holds, and one that is its own buyer's.
  await inventory.seats.hold(seatsWish(eventId, ["A-A-1"]));
  const own = seatsWish(eventId, ["A-A-3"]);
  await inventory.seats.hold(own);
  await claimUntold(eventId, "A-A-1");
  const given = await claimUntold(eventId, "A-A-2");
  await claimUntold(eventId, "A-A-3", own.checkoutId);
  await eventually(eventId, { sold: 3, held: 0, free: 3 });
  await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-2"])), "SEAT_TAKEN");

  await dying.claims.release(eventId, given, []);
  const [blockId, at] = ["blk_untold", new Date()];
  const holdId = blockHoldId(blockId);
  const block = { blockId, holdId, accountId: "acc_organiser", reason: "Sound desk", seatIds: ["A-A-6"], at };
  const pending = await dying.blocks.begin(eventId, { ...block, state: "pending" });
  await dying.blocks.commit(eventId, pending, [{ seatId: "A-A-6", sectionId: "A", amount: 0 }]);
  await eventually(eventId, { sold: 2, blocked: 1, free: 3 });
  await dying.blocks.endClaims(eventId, holdId, ["A-A-6"]);
  await eventually(eventId, { sold: 2, blocked: 0, free: 4 });
  await inventory.seats.hold(seatsWish(eventId, ["A-A-2", "A-A-6"]));
  expect(await metric(follower, "onsale_claim_changes_total")).toBeGreaterThanOrEqual(6);
});

test("MongoDB is killed and comes back: it goes on where it was", async () => {
  const [follower] = others as [Inventory];
  const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 6)]));
  await claimUntold(eventId, "A-A-1");
  await mongodb.kill9();
  await mongodb.restart();
  await expect.poll(() => claimUntold(eventId, "A-A-2").catch(() => undefined), { timeout: 20_000 }).toBeTruthy();
  await eventually(eventId, { sold: 2, free: 4 });
  expect(await metric(follower, "onsale_claim_places_lost_total")).toBe(0);
});

test("one follows, and when it is gone another goes on from its place", async () => {
  const [first] = others as [Inventory];
  const second = await startFollowing();
  const leases = second.mongodb.db(database).collection<{ _id: string; owner: string; place?: string }>("followers");
  const before = await leases.findOne({ _id: "claims" });
  const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 6)]));
  await claimUntold(eventId, "A-A-1");
  await eventually(eventId, { sold: 1 });
  expect(await metric(second, "onsale_claim_changes_total")).toBe(0);
  await first.stop();
  await claimUntold(eventId, "A-A-2");
  await eventually(eventId, { sold: 2 });
  const after = await leases.findOne({ _id: "claims" });
  expect(after?.owner).not.toBe(before?.owner);
  expect(await metric(second, "onsale_claim_places_lost_total")).toBe(0);
});

test("a place that is no more: everything is compared, and it follows from now on", async () => {
  await others[1]?.stop();
  const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 6)]));
  await claimUntold(eventId, "A-A-1");
  const leases = inventory.mongodb.db(database).collection<{ _id: string; owner: string; place?: string }>("followers");
  await leases.updateOne({ _id: "claims" }, { $set: { place: "82" } });
  const third = await startFollowing();
  await eventually(eventId, { sold: 1 });
  await claimUntold(eventId, "A-A-2");
  await eventually(eventId, { sold: 2 });
  expect(await metric(third, "onsale_claim_places_lost_total")).toBe(1);
});
