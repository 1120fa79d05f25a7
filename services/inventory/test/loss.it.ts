// What happens when Valkey loses what it knew: nothing sold is forgotten, nothing is shown free that is not, and holders keep their chance.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "@onsale/kit/grpc-client";
import { createMetrics } from "@onsale/kit/metrics";
import { ReconcileServiceService } from "@onsale/proto/inventory/v1/reconcile";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { serverProgram } from "../../../tools/backing/src/programs.js";
import { rememberEvents } from "../src/events/known-events.js";
import { Generations } from "../src/generations/generations.js";
import { Rebuild } from "../src/recovery/rebuild.js";
import { openStore } from "../src/store.js";
import { openValkey } from "../src/valkey/valkey.js";
import {
  claimOf,
  claimsIn,
  entriesOf,
  expectRefusal,
  freshId,
  hall,
  type Inventory,
  insist,
  newEvent,
  publishEvent,
  quantityWish,
  releaseOf,
  seatsWish,
  standing,
  startForTest,
} from "./inventory.js";

let valkey: OwnValkey;
let inventory: Inventory;
/** A second process of the same service. */
let sibling: Inventory;
beforeAll(async () => {
  valkey = await OwnValkey.start();
  const stores = { ...inject("backing"), redisUrl: valkey.url };
  inventory = await startForTest(stores, { AVAILABILITY_CACHE_MS: "0" });
  sibling = await startForTest(stores, { AVAILABILITY_CACHE_MS: "0" }, inventory.database);
});
afterAll(async () => {
  await inventory?.stop();
  await sibling?.stop();
  await valkey?.end();
});

async function buy(service: Inventory, eventId: string, seatIds: string[], userId = freshId("acc")) {
  const wish = seatsWish(eventId, seatIds, { userId });
  const held = await insist(() => service.seats.hold(wish));
  const claim = claimOf(wish, held);
  await insist(() => service.seats.claimSeats(claim));
  return { wish, held, claim };
}

/** Until the seats are back; and in between never one free that is sold. */
async function countsAfter(service: Inventory, eventId: string) {
  return (await insist(() => service.seats.getAvailability({ eventId }))).sections;
}

describe("after a flush", () => {
  test("seats are refused until they are restored, sold ones stay sold, holders may still claim", async () => {
    const eventId = await publishEvent(inventory, newEvent({ seatsPerPerson: 3 }));
    const bought = await buy(inventory, eventId, ["A-A-1", "A-A-2"]);
    const wish = seatsWish(eventId, ["A-B-1", "A-B-2"]);
    const held = await inventory.seats.hold(wish);
    expect(held.epoch).toBe(1);
    await inventory.redis.flushall();

    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-1"])), "INVENTORY_REBUILDING");
    await expectRefusal(
      insist(() => inventory.seats.hold(seatsWish(eventId, ["A-A-1"]))),
      "SEAT_TAKEN",
    );
    expect(await countsAfter(inventory, eventId)).toEqual([{ sectionId: "A", free: 48, held: 0, sold: 2, blocked: 0 }]);
    // The person's limit counts what was bought before.
    const more = seatsWish(eventId, ["A-C-1", "A-C-2"], { userId: bought.wish.userId });
    expect((await expectRefusal(inventory.seats.hold(more), "SEAT_LIMIT_EXCEEDED")).details).toEqual({
      limit: 3,
      has: 2,
    });

    expect(await insist(() => inventory.seats.claimSeats(claimOf(wish, held)))).toEqual({ fresh: true });
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-B-1"])), "SEAT_TAKEN");
    expect(await inventory.seats.claimSeats(bought.claim)).toEqual({ fresh: false });
    expect(await claimsIn(inventory, eventId)).toHaveLength(4);
    const { epoch } = await inventory.seats.hold(seatsWish(eventId, ["A-D-1"]));
    expect(epoch).toBe(2);
  });

  test("a claim is refused when another has held the seat meanwhile, and nobody can buy it twice", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const wish = seatsWish(eventId, ["A-A-1", "A-A-2"]);
    const held = await inventory.seats.hold(wish);
    await inventory.redis.flushall();
    const other = seatsWish(eventId, ["A-A-2"]);
    const otherHeld = await insist(() => inventory.seats.hold(other));
    const refused = await expectRefusal(inventory.seats.claimSeats(claimOf(wish, held)), "SEAT_TAKEN");
    expect(refused.details).toEqual({ seats: ["A-A-2"] });
    expect(await inventory.seats.claimSeats(claimOf(other, otherHeld))).toEqual({ fresh: true });
    expect(await inventory.seats.releaseHold(releaseOf(wish, held))).toEqual({ released: 0 });
    expect(await claimsIn(inventory, eventId)).toHaveLength(1);
  });

  test("a hold that was released stays released, and a retry of a lost one is held anew", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const wish = seatsWish(eventId, ["A-A-1"]);
    const held = await inventory.seats.hold(wish);
    await inventory.redis.flushall();
    await insist(() => inventory.seats.releaseHold(releaseOf(wish, held)));
    await expectRefusal(inventory.seats.claimSeats(claimOf(wish, held)), "HOLD_EXPIRED");
    await expectRefusal(inventory.seats.hold(wish), "HOLD_EXPIRED");
    const second = seatsWish(eventId, ["A-A-2"]);
    await inventory.seats.hold(second);
    await inventory.redis.flushall();
    expect(await insist(() => inventory.seats.hold(second))).toMatchObject({ epoch: 3 });
  });

  test("general admission goes on behind what is sold, with the free places before it", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [standing(10), hall(1, 3)]));
    const wishes = [2, 3, 2].map((quantity) => quantityWish(eventId, "FLOOR", quantity));
    const [first, middle, last] = await Promise.all(wishes.map((wish) => inventory.seats.hold(wish)));
    if (!first || !middle || !last || !wishes[0] || !wishes[2]) throw new Error("three were asked for");
    await inventory.seats.claimSeats(claimOf(wishes[0], first));
    await inventory.seats.claimSeats(claimOf(wishes[2], last));
    await inventory.redis.flushall();
    expect((await countsAfter(inventory, eventId))[0]).toEqual({
      sectionId: "FLOOR",
      free: 6,
      held: 0,
      sold: 4,
      blocked: 0,
    });
    const rest = await inventory.seats.hold(quantityWish(eventId, "FLOOR", 6));
    const sold = (await claimsIn(inventory, eventId)).map(({ seatId }) => seatId);
    const all = [...rest.seats.map(({ seatId }) => seatId), ...sold];
    expect(new Set(all).size).toBe(10);
    await expectRefusal(inventory.seats.hold(quantityWish(eventId, "FLOOR", 1)), "NOT_ENOUGH_SEATS");
  });

  test("two processes restore at the same time without harm, while claims go on", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(6, 20)]));
    const seats = Array.from({ length: 30 }, (_, at) => `A-${"ABC"[at % 3]}-${1 + Math.floor(at / 3)}`);
    const holds = await Promise.all(
      seats.map(async (seat) => {
        const wish = seatsWish(eventId, [seat]);
        return claimOf(wish, await inventory.seats.hold(wish));
      }),
    );
    // Valkey is flushed again and again in the middle of the claims.
    let claiming = true;
    const flushing = (async () => {
      // Ever less often, so that a slow machine gets there too.
      for (let pauseMs = 150; claiming; pauseMs *= 1.25) {
        await inventory.redis.flushall();
        for (let waited = 0; claiming && waited < pauseMs; waited += 50)
          await new Promise((resolve) => setTimeout(resolve, 50));
      }
    })();
    const outcomes = await Promise.allSettled(
      holds.map((claim, at) => insist(() => (at % 2 ? inventory : sibling).seats.claimSeats(claim), 30_000)),
    );
    claiming = false;
    await flushing;
    const claims = await claimsIn(inventory, eventId);
    expect(claims).toHaveLength(outcomes.filter(({ status }) => status === "fulfilled").length);
    expect(claims.length).toBe(30);
    for (const service of [inventory, sibling])
      expect((await countsAfter(service, eventId))[0]).toMatchObject({ sold: 30, free: 90, held: 0 });
    for (const seat of seats.slice(0, 5))
      await expectRefusal(
        insist(() => sibling.seats.hold(seatsWish(eventId, [seat]))),
        "SEAT_TAKEN",
      );
  }, 90_000);

  test("a claim or a release that falls between the reading of the claims and the new marker is not lost", async () => {
    const { MONGODB_URI: uri, MONGODB_DATABASE: database, REDIS_URL: url } = inventory.context.config;
    const { log } = inventory.context;
    const metrics = createMetrics("test");
    const eventId = await publishEvent(inventory, newEvent());
    const given = await buy(inventory, eventId, ["A-A-1"]);
    const kept = await buy(inventory, eventId, ["A-A-2"]);
    const store = openStore({ uri, database });
    const own = openValkey({ url, holdTtlMs: 1000, holdMarginMs: 1000, holdMemoryMs: 1000, log });
    const events = rememberEvents(store, { eventCacheMs: 0, layoutCacheSize: 1 });
    let reads = 0;
    const readAll = store.claims.all.bind(store.claims);
    store.claims.all = async (id) => {
      const claims = await readAll(id);
      reads += 1;
      if (reads > 1) return claims;
      // Both of these find no marker in Valkey, so there is nothing to tell it.
      const late = { eventId, checkoutId: freshId("chk"), holdId: "00000000000000aa", userId: "acc_late" };
      await store.claims.claim({ ...late, seats: [{ seatId: "A-A-3", sectionId: "A", amount: 4950 }] });
      await store.claims.release(eventId, given.wish.checkoutId, []);
      return claims;
    };
    const rebuild = new Rebuild({ store, valkey: own, layoutOf: events.layoutOf, log, metrics });
    await expect.poll(() => own.connection.connected()).toBe(true);
    const event = await events.published(eventId);
    // The service's own upkeep may be the first to see the loss, and to mend it: then the seats are lost once more.
    for (let losses = 0; reads === 0 && losses < 100; losses++) {
      await inventory.redis.flushall();
      await new Generations({ valkey: own, rebuild: (one) => rebuild.make(one) }).ensure(event, 10_000);
    }
    expect(reads).toBe(2);
    own.connection.close();
    await store.close();

    expect((await countsAfter(inventory, eventId))[0]).toEqual({
      sectionId: "A",
      free: 48,
      held: 0,
      sold: 2,
      blocked: 0,
    });
    for (const seat of ["A-A-2", "A-A-3"])
      await expectRefusal(inventory.seats.hold(seatsWish(eventId, [seat])), "SEAT_TAKEN");
    await inventory.seats.hold(seatsWish(eventId, ["A-A-1"]));
    const entries = (userId: string) => entriesOf(inventory, eventId, 2, userId);
    expect(await entries("acc_late")).toMatchObject([{ holdId: "00000000000000aa", seats: 1, expiresAtMs: 0 }]);
    expect(await entries(given.wish.userId)).toEqual([]);
    expect(await entries(kept.wish.userId)).toMatchObject([{ holdId: kept.held.holdId, seats: 1, expiresAtMs: 0 }]);
  });

  test("a generation that its maker never opened is made anew", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const marker = (await inventory.redis.get(`{${eventId}}:epoch`)) ?? "";
    expect(marker).toMatch(/^1\|open\|[0-9a-f]{40}\|0$/);
    await buy(inventory, eventId, ["A-A-1"]);
    await inventory.redis.set(`{${eventId}}:epoch`, marker.replace("1|open", "2|closed"));
    expect((await countsAfter(inventory, eventId))[0]).toMatchObject({ sold: 1, free: 49 });
  });

  test("one section's seats that are gone by themselves are noticed and restored", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(2, 5), hall(2, 5, { sectionId: "B" })]));
    await buy(inventory, eventId, ["B-A-1"]);
    await inventory.redis.del(`{${eventId}}:1:r:B`);
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["B-A-1"])), "INVENTORY_REBUILDING");
    await expectRefusal(
      insist(() => inventory.seats.hold(seatsWish(eventId, ["B-A-1"]))),
      "SEAT_TAKEN",
    );
    const kept = seatsWish(eventId, ["A-A-1"]);
    const held = await inventory.seats.hold(kept);
    await inventory.redis.del(`{${eventId}}:2:m:A`);
    expect((await countsAfter(inventory, eventId))[0]).toMatchObject({ held: 1, free: 9 });
    expect(await inventory.seats.hold(kept)).toMatchObject({ deadlineMs: held.deadlineMs });
  });
});

describe("after kill -9 of Valkey", () => {
  test("calls are refused as UNAVAILABLE while it is away, and go on when it is back with nothing", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    await buy(inventory, eventId, ["A-A-1"]);
    const wish = seatsWish(eventId, ["A-A-2"]);
    const held = await inventory.seats.hold(wish);
    await valkey.kill9();
    const asked = Date.now();
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-1"])), "UNAVAILABLE");
    await expectRefusal(inventory.seats.claimSeats(claimOf(wish, held)), "UNAVAILABLE");
    await expectRefusal(inventory.seats.getAvailability({ eventId }), "UNAVAILABLE");
    expect(Date.now() - asked).toBeLessThan(5_000);
    expect(await inventory.ready()).toBe(false);
    await valkey.launch();
    expect(await insist(() => inventory.seats.claimSeats(claimOf(wish, held)))).toEqual({ fresh: true });
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-1"])), "SEAT_TAKEN");
    expect((await countsAfter(sibling, eventId))[0]).toMatchObject({ sold: 2, free: 48 });
    expect(await inventory.ready()).toBe(true);
  });

  test("what it wrote to its file is checked before it is believed: holds survive, a lost sale is sold again", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    await buy(inventory, eventId, ["A-A-1"]);
    const wish = seatsWish(eventId, ["A-B-1", "A-B-2"]);
    const held = await inventory.seats.hold(wish);
    await inventory.redis.save();
    // All of this is lost with the process: a sale, a hold, a release.
    await buy(inventory, eventId, ["A-A-2"]);
    const lost = seatsWish(eventId, ["A-C-1"]);
    const lostHold = await inventory.seats.hold(lost);
    await valkey.kill9();
    await valkey.launch();

    await expectRefusal(
      insist(() => inventory.seats.hold(seatsWish(eventId, ["A-A-2"]))),
      "SEAT_TAKEN",
    );
    expect((await countsAfter(inventory, eventId))[0]).toEqual({
      sectionId: "A",
      free: 46,
      held: 2,
      sold: 2,
      blocked: 0,
    });
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-B-1"])), "SEAT_TAKEN");
    expect(await inventory.seats.hold(wish)).toMatchObject({ deadlineMs: held.deadlineMs, seats: held.seats });
    expect(await inventory.seats.claimSeats(claimOf(wish, held))).toEqual({ fresh: true });
    expect(await inventory.seats.claimSeats(claimOf(lost, lostHold))).toEqual({ fresh: true });
    expect(await claimsIn(inventory, eventId)).toHaveLength(5);
  });

  test("a claim goes through although Valkey dies before it can be told, and the seat is shown sold in the end", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const wishes = Array.from({ length: 6 }, (_, at) => seatsWish(eventId, [`A-A-${at + 1}`]));
    const claims = await Promise.all(wishes.map(async (wish) => claimOf(wish, await inventory.seats.hold(wish))));
    const claiming = claims.map((claim) => insist(() => inventory.seats.claimSeats(claim), 30_000));
    await new Promise((resolve) => setTimeout(resolve, 15));
    await valkey.kill9();
    await new Promise((resolve) => setTimeout(resolve, 300));
    await valkey.launch();
    await Promise.all(claiming);
    expect(await claimsIn(inventory, eventId)).toHaveLength(6);
    expect((await countsAfter(inventory, eventId))[0]).toMatchObject({ sold: 6, free: 44, held: 0 });
  });
});

describe("the comparison of seats with claims", () => {
  test("asked for: of one event, or of all that are on sale", async () => {
    const reconcile = connect(ReconcileServiceService, {
      address: `127.0.0.1:${inventory.port}`,
      trust: {},
      deadlineMs: 60_000,
    });
    try {
      const eventId = await publishEvent(inventory, newEvent());
      await buy(inventory, eventId, ["A-A-1"]);
      const gone = await buy(inventory, eventId, ["A-A-2"]);
      const one = { events: 1, seats: 50, unavailable: 0, nextCursor: "" };
      const ask = () => reconcile.reconcileSeats({ eventId, cursor: "" });
      expect(await ask()).toEqual({ ...one, corrected: 0 });
      await inventory.redis.setrange(`{${eventId}}:1:r:A`, 0, Buffer.alloc(16) as unknown as string);
      const claims = inventory.mongodb.db(inventory.database).collection<{ _id: string }>("claims");
      await claims.deleteOne({ _id: `${eventId}:A-A-2` });
      expect(await ask()).toEqual({ ...one, corrected: 2 });
      expect(await ask()).toEqual({ ...one, corrected: 0 });
      await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-1"])), "SEAT_TAKEN");
      await inventory.seats.hold(seatsWish(eventId, gone.claim.seatIds));

      // One whose seats are lost is not compared but restored; one that is long over is nobody's concern.
      const lost = await publishEvent(inventory, newEvent({ startsAtMs: Date.now() + 1_000_000 }));
      await inventory.redis.del(`{${lost}}:epoch`);
      const events = inventory.mongodb.db(inventory.database).collection<{ _id: string; startsAtMs: number }>("events");
      const published = await events.countDocuments({});
      await events.updateOne({ _id: eventId }, { $set: { startsAtMs: Date.now() - 3 * 24 * 60 * 60 * 1000 } });
      let [compared, unavailable] = [0, 0];
      for (let cursor = "", first = true; first || cursor !== ""; first = false) {
        const part = await reconcile.reconcileSeats({ eventId: "", cursor });
        compared += part.events;
        unavailable += part.unavailable;
        expect(part.corrected).toBe(0);
        cursor = part.nextCursor;
      }
      expect(compared + unavailable).toBe(published - 1);
      expect(unavailable).toBeGreaterThanOrEqual(1);
      expect(await countsAfter(inventory, lost)).toMatchObject([{ free: 50 }]);

      await expectRefusal(reconcile.reconcileSeats({ eventId: "evt_none", cursor: "" }), "EVENT_NOT_FOUND");
      for (const cursor of ["x", "1:", "1:a b", "12345678901234567:evt_a"])
        await expectRefusal(reconcile.reconcileSeats({ eventId: "", cursor }), "REQUEST_INVALID");
    } finally {
      reconcile.close();
    }
  });

  test("puts right both what Valkey believes sold and what it does not know is sold", async () => {
    const vigilant = await startForTest(
      { ...inject("backing"), redisUrl: valkey.url },
      { RECONCILE_SECONDS: "0.5", AVAILABILITY_CACHE_MS: "0" },
    );
    try {
      const eventId = await publishEvent(vigilant, newEvent());
      const { claim } = await buy(vigilant, eventId, ["A-A-1", "A-A-2"]);
      const gone = await buy(vigilant, eventId, ["A-A-3"]);
      // A sale that Valkey lost, and one that was given back without Valkey being told.
      await vigilant.redis.setrange(`{${eventId}}:1:r:A`, 16, Buffer.alloc(16) as unknown as string);
      const database = vigilant.mongodb.db(vigilant.database);
      await database.collection<{ _id: string }>("claims").deleteOne({ _id: `${eventId}:A-A-3` });
      await expect
        .poll(async () => (await insist(() => vigilant.seats.getAvailability({ eventId }))).sections[0], {
          timeout: 15_000,
        })
        .toMatchObject({ sold: 2, free: 48 });
      await expectRefusal(vigilant.seats.hold(seatsWish(eventId, ["A-A-2"])), "SEAT_TAKEN");
      await vigilant.seats.hold(seatsWish(eventId, gone.claim.seatIds));
      expect(await entriesOf(vigilant, eventId, 1, claim.userId)).toMatchObject([
        { holdId: claim.holdId, seats: 2, expiresAtMs: 0 },
      ]);
    } finally {
      await vigilant.stop();
    }
  });
});

/** A Valkey of our own, to be killed; it finds again what it has saved, and nothing else. */
class OwnValkey {
  private child: ChildProcess | undefined;

  private constructor(
    readonly url: string,
    private readonly port: number,
    private readonly folder: string,
  ) {}

  static async start(): Promise<OwnValkey> {
    const port = await new Promise<number>((resolve) => {
      const server = createServer().listen(0, "127.0.0.1", () => {
        const { port: free } = server.address() as { port: number };
        server.close(() => resolve(free));
      });
    });
    const own = new OwnValkey(`redis://127.0.0.1:${port}`, port, await mkdtemp(join(tmpdir(), "onsale-valkey-")));
    await own.launch();
    return own;
  }

  async launch(): Promise<void> {
    const { command, args, env } = serverProgram("valkey");
    const own = [
      "--bind",
      "127.0.0.1",
      "--port",
      String(this.port),
      "--dir",
      this.folder,
      "--save",
      "",
      "--appendonly",
      "no",
    ];
    this.child = spawn(command, [...args, ...own], { stdio: "ignore", env: { ...process.env, ...env } });
    const redis = new Redis(this.url, { retryStrategy: () => 50, maxRetriesPerRequest: 200 });
    redis.on("error", () => undefined);
    await redis.ping();
    redis.disconnect();
  }

  async kill9(): Promise<void> {
    const { child } = this;
    const gone = new Promise((resolve) => child?.once("exit", resolve));
    child?.kill("SIGKILL");
    await gone;
  }

  async end(): Promise<void> {
    await this.kill9();
    await rm(this.folder, { recursive: true, force: true });
  }
}
