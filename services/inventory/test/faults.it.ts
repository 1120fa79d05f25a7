// Valkey at its worst, short of losing things (loss.it.ts): slow, silent, full, turning everybody away. No seat is lost or doubled.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DomainError } from "@onsale/kit/errors";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import type { StartedProcess } from "../../../tools/backing/src/child-process.js";
import { freePort } from "../../../tools/backing/src/ports.js";
import { startValkey } from "../../../tools/backing/src/servers.js";
import {
  claimOf,
  claimsIn,
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

let folder: string;
let valkey: StartedProcess;
/** Breaks and mends it, over a connection of its own that is there before. */
let operator: Redis;
let inventory: Inventory;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "onsale-faults-"));
  const port = await freePort();
  valkey = await startValkey({ port, dataDir: folder, env: process.env, keepsData: false });
  operator = new Redis(port, "127.0.0.1");
  const stores = { ...inject("backing"), redisUrl: `redis://127.0.0.1:${port}` };
  inventory = await startForTest(stores, { AVAILABILITY_CACHE_MS: "0", SWEEP_SECONDS: "0.2" });
});
afterEach(async () => {
  await operator.call("CLIENT", "UNPAUSE");
  await operator.config("SET", "maxmemory", "0");
  await operator.config("SET", "maxclients", "1000");
  await operator.config("SET", "min-replicas-to-write", "0");
  await operator.config("SET", "save", "");
  await operator.replicaof("NO", "ONE");
});
afterAll(async () => {
  await inventory?.stop();
  operator?.disconnect();
  await valkey?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

const fill = () => operator.config("SET", "maxmemory", "1000");
const countsOf = async (eventId: string) => (await insist(() => inventory.seats.getAvailability({ eventId }))).sections;

describe("slow", () => {
  test("holds come late, and each seat has one holder", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    await operator.call("CLIENT", "PAUSE", 400, "ALL");
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, at) => inventory.seats.hold(seatsWish(eventId, [`A-A-${1 + (at % 5)}`]))),
    );
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(5);
    for (const outcome of outcomes)
      if (outcome.status === "rejected") expect((outcome.reason as DomainError).code).toBe("SEAT_TAKEN");
    expect(await countsOf(eventId)).toMatchObject([{ held: 5, free: 45 }]);
  });

  test("an answer that came too late was one hold: trying again finds it, and it is counted once", async () => {
    const eventId = await publishEvent(inventory, newEvent({ seatsPerPerson: 3 }));
    const wish = seatsWish(eventId, ["A-A-1", "A-A-2"]);
    // Longer than the service waits for an answer. The command is run afterwards all the same.
    await operator.call("CLIENT", "PAUSE", 2_300, "ALL");
    await expectRefusal(inventory.seats.hold(wish), "UNAVAILABLE");
    await operator.call("CLIENT", "UNPAUSE");
    const held = await insist(() => inventory.seats.hold(wish));
    expect(held.seats).toHaveLength(2);
    expect(await countsOf(eventId)).toMatchObject([{ held: 2, free: 48 }]);
    await inventory.seats.hold(seatsWish(eventId, ["A-A-3"], { userId: wish.userId }));
    const more = seatsWish(eventId, ["A-A-4"], { userId: wish.userId });
    expect((await expectRefusal(inventory.seats.hold(more), "SEAT_LIMIT_EXCEEDED")).details).toMatchObject({ has: 3 });
    expect(await inventory.seats.claimSeats(claimOf(wish, held))).toEqual({ fresh: true });
  });

  test("a release whose answer was lost frees once", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const wish = seatsWish(eventId, ["A-A-1", "A-A-2"]);
    const held = await inventory.seats.hold(wish);
    await operator.call("CLIENT", "PAUSE", 2_300, "ALL");
    await expectRefusal(inventory.seats.releaseHold(releaseOf(wish, held)), "UNAVAILABLE");
    await operator.call("CLIENT", "UNPAUSE");
    const next = seatsWish(eventId, ["A-A-1"]);
    const nextHold = await insist(() => inventory.seats.hold(next));
    // The release again, from a workflow that knows nothing of its success, takes nothing from who came after.
    expect(await inventory.seats.releaseHold(releaseOf(wish, held))).toEqual({ released: 0 });
    expect(await countsOf(eventId)).toMatchObject([{ held: 1, free: 49 }]);
    expect(await inventory.seats.claimSeats(claimOf(next, nextHold))).toEqual({ fresh: true });
  });
});

test("turning everybody away: refused to try again, and used again when it lets us in", async () => {
  const eventId = await publishEvent(inventory, newEvent());
  await inventory.seats.hold(seatsWish(eventId, ["A-A-1"]));
  await operator.config("SET", "maxclients", "1");
  await operator.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  for (let tries = 0; tries < 3; tries++)
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-2"])), "UNAVAILABLE");
  expect(await inventory.ready()).toBe(false);
  await operator.config("SET", "maxclients", "1000");
  await insist(() => inventory.seats.hold(seatsWish(eventId, ["A-A-2"])));
  expect(await countsOf(eventId)).toMatchObject([{ held: 2, free: 48 }]);
  expect(await operator.get(`{${eventId}}:epoch`)).toMatch(/^1\|open/);
});

describe("full", () => {
  test("no hold is given, with the reason; what is held can be bought and given back", async () => {
    const sections = [hall(2, 10), hall(2, 10, { sectionId: "B" }), standing(10)];
    const eventId = await publishEvent(inventory, newEvent({}, sections));
    const [bought, given, taken] = ["A-A-1", "A-A-2", "A-A-3"].map((seat) => seatsWish(eventId, [seat]));
    const places = quantityWish(eventId, "FLOOR", 2);
    if (!bought || !given || !taken) throw new Error("three were made");
    const holds = await Promise.all([bought, given, taken, places].map((wish) => inventory.seats.hold(wish)));
    const [boughtHold, givenHold, takenHold, placesHold] = holds;
    if (!boughtHold || !givenHold || !takenHold || !placesHold) throw new Error("four were made");
    await inventory.seats.claimSeats(claimOf(taken, takenHold));
    await fill();

    const over = seatsWish(eventId, ["A-B-1", "B-A-1"]);
    const refused = await expectRefusal(inventory.seats.hold(over), "UNAVAILABLE");
    expect(refused.message).toMatch(/at its limit\. Nothing was taken/);
    await expectRefusal(inventory.seats.hold(quantityWish(eventId, "FLOOR", 1)), "UNAVAILABLE");
    // All or none: nothing of what was refused is there.
    expect(await countsOf(eventId)).toMatchObject([
      { free: 17, held: 2, sold: 1 },
      { free: 20, held: 0 },
      { free: 8, held: 2 },
    ]);
    expect(await inventory.seats.claimSeats(claimOf(bought, boughtHold))).toEqual({ fresh: true });
    expect(await inventory.seats.claimSeats(claimOf(bought, boughtHold))).toEqual({ fresh: false });
    expect(await inventory.seats.releaseHold(releaseOf(given, givenHold))).toEqual({ released: 1 });
    expect(await inventory.seats.releaseHold(releaseOf(given, givenHold))).toEqual({ released: 0 });
    expect(await inventory.seats.releaseHold(releaseOf(places, placesHold))).toEqual({ released: 2 });
    const { checkoutId, userId } = taken;
    expect(await inventory.seats.releaseClaims({ eventId, checkoutId, userId, seatIds: [] })).toEqual({ released: 1 });
    expect(await countsOf(eventId)).toMatchObject([
      { free: 19, held: 0, sold: 1 },
      { free: 20, held: 0 },
      { free: 10, held: 0 },
    ]);
    await operator.config("SET", "maxmemory", "0");
    expect((await inventory.seats.hold(over)).seats).toHaveLength(2);
    expect(await operator.get(`{${eventId}}:epoch`)).toMatch(/^1\|open/);
  });

  test("holds that run out meanwhile are cleared away", async () => {
    const stores = { ...inject("backing"), redisUrl: inventory.context.config.REDIS_URL };
    const times = { HOLD_TTL_SECONDS: "0.3", HOLD_MARGIN_SECONDS: "0.1", SWEEP_SECONDS: "0.1" };
    const brief = await startForTest(stores, { AVAILABILITY_CACHE_MS: "0", ...times });
    try {
      const eventId = await publishEvent(brief, newEvent());
      const wish = seatsWish(eventId, ["A-A-1"]);
      const held = await brief.seats.hold(wish);
      await fill();
      await expect
        .poll(async () => (await brief.seats.getAvailability({ eventId })).sections[0], { timeout: 10_000 })
        .toMatchObject({ held: 0, free: 50 });
      await expectRefusal(brief.seats.claimSeats(claimOf(wish, held)), "HOLD_EXPIRED");
    } finally {
      await brief.stop();
    }
  });

  test("and lost besides: nothing is shown or given until there is room for it, and then all that was sold is sold", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const wish = seatsWish(eventId, ["A-A-1"]);
    await inventory.seats.claimSeats(claimOf(wish, await inventory.seats.hold(wish)));
    await operator.flushall();
    await fill();
    for (let tries = 0; tries < 3; tries++) {
      const refused = await inventory.seats.hold(seatsWish(eventId, ["A-A-1"])).catch((error: unknown) => error);
      expect((refused as DomainError).refusal.retryable).toBe(true);
      const unseen = await inventory.seats.getAvailability({ eventId }).catch((error: unknown) => error);
      expect((unseen as DomainError).refusal.retryable).toBe(true);
    }
    await operator.config("SET", "maxmemory", "0");
    await expectRefusal(
      insist(() => inventory.seats.hold(seatsWish(eventId, ["A-A-1"]))),
      "SEAT_TAKEN",
    );
    expect(await countsOf(eventId)).toMatchObject([{ sold: 1, free: 49 }]);
  });
});

describe("refusing for a reason of its own", () => {
  test("unable to write its file: refused to try again, nothing taken; and all goes on when it can", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const [bought, given] = [seatsWish(eventId, ["A-A-1"]), seatsWish(eventId, ["A-A-2"])];
    const [boughtHold, givenHold] = [await inventory.seats.hold(bought), await inventory.seats.hold(given)];
    await rm(folder, { recursive: true, force: true });
    await operator.config("SET", "save", "3600 1");
    await operator.bgsave();
    await expect.poll(() => operator.info("persistence")).toContain("rdb_last_bgsave_status:err");
    const refused = await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-3"])), "UNAVAILABLE");
    expect(refused.message).toMatch(/could not be kept safely\. Nothing was taken/);
    await expectRefusal(inventory.seats.hold(quantityWish(eventId, "A", 2)), "UNAVAILABLE");
    await expectRefusal(inventory.seats.claimSeats(claimOf(bought, boughtHold)), "UNAVAILABLE");
    await expectRefusal(inventory.seats.releaseHold(releaseOf(given, givenHold)), "UNAVAILABLE");
    expect(await inventory.ready()).toBe(false);
    await operator.config("SET", "save", "");
    expect(await inventory.seats.claimSeats(claimOf(bought, boughtHold))).toEqual({ fresh: true });
    expect(await inventory.seats.releaseHold(releaseOf(given, givenHold))).toEqual({ released: 1 });
    expect(await countsOf(eventId)).toMatchObject([{ free: 49, held: 0, sold: 1 }]);
  });

  test("with too few replicas, or as one itself: refused to try again, and used again when it takes writes", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    await inventory.seats.hold(seatsWish(eventId, ["A-A-1"]));
    await operator.config("SET", "min-replicas-to-write", "1");
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-2"])), "UNAVAILABLE");
    await operator.config("SET", "min-replicas-to-write", "0");
    await operator.replicaof("127.0.0.1", await freePort());
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-2"])), "UNAVAILABLE");
    await operator.replicaof("NO", "ONE");
    await insist(() => inventory.seats.hold(seatsWish(eventId, ["A-A-2"])));
    expect(await countsOf(eventId)).toMatchObject([{ held: 2, free: 48 }]);
  });

  test("not letting our user do what scripts do: refused to try again", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    await inventory.seats.hold(seatsWish(eventId, ["A-A-1"]));
    await operator.acl("SETUSER", "default", "-setrange");
    try {
      await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-2"])), "UNAVAILABLE");
    } finally {
      await operator.acl("SETUSER", "default", "+@all");
    }
    await insist(() => inventory.seats.hold(seatsWish(eventId, ["A-A-2"])));
  });

  test("forgetting scripts again and again: nobody notices", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    let forgetting = true;
    const forget = (async () => {
      while (forgetting) await operator.script("FLUSH");
    })();
    try {
      const wishes = Array.from({ length: 50 }, (_, at) =>
        seatsWish(eventId, [`A-${"ABCDE"[at % 5]}-${1 + (at % 10)}`]),
      );
      const answers = await Promise.allSettled(wishes.map((wish) => inventory.seats.hold(wish)));
      for (const answer of answers)
        if (answer.status === "rejected") expect((answer.reason as DomainError).code).toBe("SEAT_TAKEN");
      expect(answers.some(({ status }) => status === "fulfilled")).toBe(true);
    } finally {
      forgetting = false;
      await forget;
    }
  });
});

test("all of it in turn, under a crowd: every hold, claim and release has its effect once", async () => {
  const eventId = await publishEvent(inventory, newEvent({ seatsPerPerson: 4 }, [hall(3, 10)]));
  let breaking = true;
  const faults = (async () => {
    for (let at = 0; breaking; at++) {
      if (at % 3 === 0) await fill();
      if (at % 3 === 1) await operator.call("CLIENT", "PAUSE", 150, "ALL");
      if (at % 3 === 2) await operator.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
      await new Promise((resolve) => setTimeout(resolve, 60));
      await operator.config("SET", "maxmemory", "0");
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
  })();
  const owned = new Map<string, string>();
  const kept = new Map<string, string>();
  const buyers = Array.from({ length: 24 }, async (_, buyer) => {
    const userId = freshId("acc");
    for (let round = 0; round < 2; round++) {
      const seat = `A-${"ABC"[(buyer + round) % 3]}-${1 + ((buyer * 7 + round * 3) % 10)}`;
      const wish = seatsWish(eventId, [seat], { userId });
      try {
        const held = await insist(() => inventory.seats.hold(wish));
        if (buyer % 3 === 0) {
          await insist(() => inventory.seats.releaseHold(releaseOf(wish, held)));
          await insist(() => inventory.seats.releaseHold(releaseOf(wish, held)));
        } else if (buyer % 3 === 1) {
          await insist(() => inventory.seats.claimSeats(claimOf(wish, held)));
          expect(await insist(() => inventory.seats.claimSeats(claimOf(wish, held)))).toEqual({ fresh: false });
          expect(owned.has(seat), `${seat} is owned already`).toBe(false);
          owned.set(seat, wish.checkoutId);
        } else {
          expect(kept.has(seat), `${seat} is held already`).toBe(false);
          kept.set(seat, wish.checkoutId);
        }
      } catch (error) {
        if (!(error instanceof DomainError && error.code === "SEAT_TAKEN")) throw error;
      }
    }
  });
  try {
    await Promise.all(buyers);
  } finally {
    breaking = false;
    await faults;
  }
  expect(owned.size).toBeGreaterThan(0);
  expect(kept.size).toBeGreaterThan(0);
  const claims = (await claimsIn(inventory, eventId)).map(({ seatId, checkoutId }) => `${seatId} ${checkoutId}`).sort();
  expect(claims).toEqual([...owned].map(([seat, checkoutId]) => `${seat} ${checkoutId}`).sort());
  const [sold, held] = [owned.size, kept.size];
  await expect
    .poll(async () => (await countsOf(eventId))[0], { timeout: 15_000 })
    .toMatchObject({ sold, held, free: 30 - sold - held });
});
