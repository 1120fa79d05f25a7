// Seats as they change, as callers of WatchSeats hear of them: from any process, in one order, without a hole.
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { DomainError } from "@onsale/kit/errors";
import { connect, openChannel } from "@onsale/kit/grpc-client";
import { watch } from "@onsale/kit/grpc-watch";
import {
  LiveSeatServiceService,
  type SeatChange,
  type SeatChanges,
  type SeatVersion,
} from "@onsale/proto/inventory/v1/live";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { withRuns } from "../src/live/seat-changes.js";
import {
  claimOf,
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

const quick = { LIVE_TICK_MS: "30", AVAILABILITY_CACHE_MS: "0", SWEEP_SECONDS: "0.1" };
let inventory: Inventory;
let sibling: Inventory;
const open: { stop(): void }[] = [];
beforeAll(async () => {
  inventory = await startForTest(inject("backing"), quick);
  sibling = await startForTest(inject("backing"), quick, inventory.database);
});
afterEach(() => {
  for (const one of open.splice(0)) one.stop();
});
afterAll(async () => {
  await inventory?.stop();
  await sibling?.stop();
});

async function until(check: () => unknown, what: string, forMs = 30_000): Promise<void> {
  for (const end = Date.now() + forMs; !(await check()); ) {
    if (Date.now() > end) expect.fail(`it never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}

/** Someone who watches, and holds what he hears to the rules. */
function reader(port: number, eventId: string, after?: SeatVersion) {
  const heard: string[] = [];
  const changes: SeatChange[] = [];
  let states: Uint8Array = Buffer.alloc(0);
  let seatCount = 0;
  let version = after;
  let recent: SeatChange[] = [];
  let places = new Map<string, unknown>();
  let refusal: DomainError | undefined;
  const channel = openChannel({ address: `127.0.0.1:${port}`, trust: {} });
  const watching = watch({
    channel,
    trust: {},
    method: LiveSeatServiceService.watchSeats,
    silenceMs: 15_000,
    request: () => ({ eventId, after: version }),
    heard: ({ what }: SeatChanges) => {
      heard.push(what?.$case ?? "nothing");
      if (what?.$case === "snapshot") {
        ({ states, seatCount, version, recent } = what.value);
        places = new Map(what.value.places.map((one) => [one.sectionId, one]));
      }
      if (what?.$case === "change") {
        const { value } = what;
        if (version && value.version?.epoch === version.epoch) expect(value.version.version).toBe(version.version + 1);
        changes.push(value);
        version = value.version;
        if (seatCount > 0) states = value.states.length > 0 ? value.states : withRuns(states, value.runs, seatCount);
        for (const one of value.places) places.set(one.sectionId, one);
      }
    },
    lost: (why, again) => {
      if (!again) refusal = why;
    },
  });
  const one = {
    heard,
    changes,
    states: () => Buffer.from(states).toString("hex"),
    version: () => version,
    recent: () => recent,
    places: (sectionId: string) => places.get(sectionId),
    refusal: () => refusal,
    stop() {
      watching.stop();
      channel.close();
    },
  };
  open.push(one);
  return one;
}

const stateOf = async ({ seats }: Inventory, eventId: string) =>
  (await insist(() => seats.getSeatStates({ eventId }))).states.toString("hex");

/** Everybody sees what the map says. */
const agree = (eventId: string, ...readers: ReturnType<typeof reader>[]) =>
  until(async () => {
    const states = await stateOf(inventory, eventId);
    return readers.every((one) => one.states() === states);
  }, "all readers see the map as it is");

describe("watching", () => {
  test("a hold, a claim, a release and an expiry are told, each as the run of seats that it is", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const one = reader(inventory.port, eventId);
    await until(() => one.heard.length > 0, "a snapshot");
    expect(one.heard).toEqual(["snapshot"]);
    expect(one.states()).toBe("00".repeat(13));

    const wish = seatsWish(eventId, ["A-B-2", "A-B-3", "A-B-4"]);
    const held = await inventory.seats.hold(wish);
    await until(() => one.changes.length === 1, "the hold");
    expect(one.changes[0]?.runs).toEqual([11, 3, 1]);
    await inventory.seats.claimSeats(claimOf(wish, held));
    await until(() => one.changes.length === 2, "the claim");
    expect(one.changes[1]?.runs).toEqual([11, 3, 2]);
    await inventory.seats.releaseClaims(releaseOf(wish, held));
    await until(() => one.changes.length === 3, "the release");
    expect(one.changes[2]?.runs).toEqual([11, 3, 0]);
    expect(one.states()).toBe("00".repeat(13));
  });

  test("what expires becomes free for readers by itself", async () => {
    const short = await startForTest(
      inject("backing"),
      { ...quick, HOLD_TTL_SECONDS: "0.3", HOLD_MARGIN_SECONDS: "0.2" },
      inventory.database,
    );
    try {
      const eventId = await publishEvent(short, newEvent());
      const one = reader(short.port, eventId);
      await until(() => one.heard.length > 0, "a snapshot");
      await short.seats.hold(seatsWish(eventId, ["A-A-1"]));
      await until(() => one.changes.length === 2, "the expiry");
      expect(one.changes.map(({ runs }) => runs)).toEqual([
        [0, 1, 1],
        [0, 1, 0],
      ]);
    } finally {
      await short.stop();
    }
  });

  test("numbers of general admission come along, without the seats of sections with rows", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(2, 4), standing(1_000)]));
    const one = reader(inventory.port, eventId);
    await until(() => one.heard.length > 0, "a snapshot");
    expect(one.places("FLOOR")).toMatchObject({ free: 1_000, held: 0 });
    for (let at = 0; at < 5; at++) await inventory.seats.hold(quantityWish(eventId, "FLOOR", 4));
    await until(() => (one.places("FLOOR") as { held: number }).held === 20, "the places");
    expect(one.changes.every(({ runs }) => runs.length === 0)).toBe(true);
    expect(one.changes.length).toBeLessThanOrEqual(3);
    expect(one.states()).toBe("0000");
  });

  test("a change in many places comes as a map, not as a long list of runs", async () => {
    const eventId = await publishEvent(inventory, newEvent({ seatsPerPerson: 100 }, [hall(40, 40)]));
    const one = reader(inventory.port, eventId);
    await until(() => one.heard.length > 0, "a snapshot");
    const everySecond = (rows: string, seats: number) =>
      [...rows].flatMap((row) => Array.from({ length: seats }, (_, at) => `A-${row}-${at * 2 + 1}`));
    await inventory.seats.hold(seatsWish(eventId, everySecond("A", 20)));
    await agree(eventId, one);
    expect(one.changes.map(({ runs, states }) => [runs.length, states.length])).toEqual([[60, 0]]);
    await inventory.seats.hold(seatsWish(eventId, everySecond("BCDEF", 20)));
    await agree(eventId, one);
    expect(one.changes.map(({ runs, states }) => [runs.length, states.length])).toEqual([
      [60, 0],
      [0, 400],
    ]);
  });

  test("many events and many callers: one subscription", async () => {
    const only = await startForTest(inject("backing"), quick, inventory.database);
    try {
      const eventIds = await Promise.all(
        Array.from({ length: 9 }, () => publishEvent(only, newEvent())), // so many as nobody else here watches at once
      );
      const readers = [...eventIds, ...eventIds].map((eventId) => reader(only.port, eventId));
      await until(() => readers.every(({ heard }) => heard.length > 0), "snapshots");
      const channels = eventIds.map((eventId) => `{${eventId}}:live`);
      const subscribed = (await inventory.redis.call("PUBSUB", "NUMSUB", ...channels)) as (string | number)[];
      expect(subscribed.filter((_, at) => at % 2 === 1)).toEqual(eventIds.map(() => 1));
      const listening = (await inventory.redis.call("CLIENT", "LIST", "TYPE", "pubsub")) as string;
      expect(listening.split("\n").filter((line) => / sub=9 /.test(line))).toHaveLength(1);
    } finally {
      await only.stop();
    }
  });

  test("an event that is not there, or a draft, is refused once and not asked for again", async () => {
    const one = reader(inventory.port, freshId("evt"));
    await until(() => one.refusal(), "the refusal");
    expect(one.refusal()?.code).toBe("EVENT_NOT_FOUND");
    const { event } = await inventory.catalog.createEvent(newEvent());
    const draft = reader(inventory.port, event?.eventId ?? "");
    await until(() => draft.refusal(), "the refusal");
    expect(draft.refusal()?.code).toBe("EVENT_NOT_FOUND");
  });

  test("a caller without the shared secret hears nothing", async () => {
    const shy = await startForTest(
      inject("backing"),
      { ...quick, GRPC_SHARED_SECRET: "a-secret-of-the-inventory" },
      inventory.database,
    );
    try {
      const eventId = await publishEvent(inventory, newEvent());
      const one = reader(shy.port, eventId);
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(one.heard).toEqual([]);
    } finally {
      await shy.stop();
    }
  });
});

describe("two processes", () => {
  test("tell the same versions, whichever of them leads and whichever holds the seats", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(10, 20)]));
    const here = reader(inventory.port, eventId);
    const there = reader(sibling.port, eventId);
    await until(() => here.heard.length > 0 && there.heard.length > 0, "snapshots");
    for (let row = 0; row < 10; row++) {
      const at = row % 2 === 0 ? inventory : sibling;
      await at.seats.hold(seatsWish(eventId, [`A-${String.fromCharCode(65 + row)}-${row + 1}`]));
      if (row % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 60));
    }
    await agree(eventId, here, there);
    await until(() => JSON.stringify(here.version()) === JSON.stringify(there.version()), "the same version");
    const known = new Map(here.changes.map((change) => [change.version?.version, JSON.stringify(change.runs)]));
    for (const { version, runs } of there.changes) {
      const same = known.get(version?.version);
      if (same !== undefined) expect(JSON.stringify(runs)).toBe(same);
    }
    expect(await leaders()).toBe(1);

    async function leaders(): Promise<number> {
      const counts = await Promise.all(
        [inventory, sibling].map(async ({ context }) => {
          const metric = await context.metrics.registry.getSingleMetric("onsale_live_versions_total")?.get();
          return metric?.values.reduce((sum, { value }) => sum + value, 0) ?? 0;
        }),
      );
      expect(counts.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0);
      const lock = await inventory.redis.get(`{${eventId}}:lock:live`);
      return lock === null ? 0 : 1;
    }
  });

  test("a reader goes on at the other process where he was, and misses nothing", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const first = reader(inventory.port, eventId);
    const witness = reader(sibling.port, eventId);
    await until(() => first.heard.length > 0 && witness.heard.length > 0, "snapshots");
    await inventory.seats.hold(seatsWish(eventId, ["A-A-1"]));
    await agree(eventId, first, witness);
    const left = first.version();
    first.stop();
    await inventory.seats.hold(seatsWish(eventId, ["A-A-2"]));
    await agree(eventId, witness);
    await inventory.seats.hold(seatsWish(eventId, ["A-A-3"]));
    await agree(eventId, witness);

    const back = reader(sibling.port, eventId, left);
    await until(() => back.changes.length === 2, "what was missed");
    expect(back.heard).toEqual(["change", "change"]);
    expect(back.changes.map(({ runs }) => runs)).toEqual([
      [1, 1, 1],
      [2, 1, 1],
    ]);
    const upToDate = reader(sibling.port, eventId, back.version());
    await until(() => upToDate.heard.length > 0, "a sign of life");
    expect(upToDate.heard).toEqual(["alive"]);
    // A version that nobody can know any more, and one of another epoch: all seats anew, with the changes that led there.
    for (const strange of [
      { epoch: left?.epoch ?? 0, version: 1 },
      { epoch: 99, version: left?.version ?? 0 },
    ]) {
      const stranger = reader(sibling.port, eventId, strange);
      await until(() => stranger.heard.length > 0, "a snapshot");
      expect(stranger.heard[0]).toBe("snapshot");
      expect(stranger.recent().length).toBeGreaterThanOrEqual(3);
    }
  });

  test("a process that starts later knows the changes from before it", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const first = reader(inventory.port, eventId);
    await until(() => first.heard.length > 0, "a snapshot");
    const began = first.version();
    await inventory.seats.hold(seatsWish(eventId, ["A-A-1"]));
    await agree(eventId, first);
    const late = await startForTest(inject("backing"), quick, inventory.database);
    try {
      const resumed = reader(late.port, eventId, began);
      await until(() => resumed.changes.length === 1, "the change from before");
      expect(resumed.heard).toEqual(["change"]);
    } finally {
      await late.stop();
    }
  });

  test("a leader that stops gives its place away, and its callers are sent to another", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const leaving = await startForTest(inject("backing"), quick, inventory.database);
    const cut = reader(leaving.port, eventId);
    await until(() => cut.heard.length > 0, "a snapshot");
    const other = reader(inventory.port, eventId);
    await until(() => other.heard.length > 0, "a snapshot");
    await leaving.stop();
    await inventory.seats.hold(seatsWish(eventId, ["A-A-1"]));
    await agree(eventId, other);
    expect(other.heard).not.toContain("wait");
  });
});

describe("a leader that is killed", () => {
  const processes: ChildProcess[] = [];
  afterAll(() => {
    for (const child of processes) child.kill("SIGKILL");
  });

  async function startProcess(): Promise<{ port: number; child: ChildProcess }> {
    const { redisUrl, mongodbUri } = inject("backing");
    const child = spawn(process.execPath, [fileURLToPath(new URL("../dist/main.js", import.meta.url))], {
      env: {
        ...quick,
        NODE_ENV: "test",
        GRPC_LISTEN: "127.0.0.1:0",
        OPS_LISTEN: "127.0.0.1:0",
        REDIS_URL: redisUrl,
        MONGODB_URI: mongodbUri,
        MONGODB_DATABASE: inventory.database,
        LOG_LEVEL: "info",
      },
      stdio: ["ignore", "pipe", "inherit"],
    });
    processes.push(child);
    const port = await new Promise<number>((resolve, reject) => {
      let text = "";
      child.once("exit", () => reject(new Error(`the process ended: ${text}`)));
      child.stdout?.on("data", (chunk: Buffer) => {
        text += chunk;
        const found = /"port":(\d+)[^\n]*"ready"/.exec(text)?.[1];
        if (found) resolve(Number(found));
      });
    });
    return { port, child };
  }

  test("takes no change with it: the next one compares with what was written", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(10, 20)]));
    const { port, child } = await startProcess();
    const doomed = reader(port, eventId);
    await until(() => doomed.heard.includes("snapshot"), "a snapshot of the first leader", 30_000);
    const survivor = reader(inventory.port, eventId);
    await until(() => survivor.heard.length > 0, "a snapshot");
    await inventory.seats.hold(seatsWish(eventId, ["A-A-1"]));
    await agree(eventId, survivor, doomed);
    const led = survivor.version();

    // Stands still, so that it neither writes nor renews its lock, and then is gone without a word.
    child.kill("SIGSTOP");
    await inventory.seats.hold(seatsWish(eventId, ["A-B-1"]));
    child.kill("SIGKILL");
    await inventory.seats.hold(seatsWish(eventId, ["A-C-1"]));
    await agree(eventId, survivor);
    expect(survivor.version()?.epoch).toBe(led?.epoch);
    expect(survivor.changes.length).toBe((survivor.version()?.version ?? 0) - firstVersion(survivor) + 1);
    expect(survivor.heard).not.toContain("wait");
    // One who was with the dead one goes on here.
    const back = reader(inventory.port, eventId, led);
    await until(() => back.changes.length > 0, "what was missed");
    expect(back.heard).not.toContain("snapshot");
  });

  const firstVersion = (one: ReturnType<typeof reader>) => one.changes[0]?.version?.version ?? 0;

  test("a leader that died before Valkey's clock went back has no lock for so much longer", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    await inventory.redis.set(`{${eventId}}:lock:live`, "a dead process", "PX", 3_600_000);
    const one = reader(inventory.port, eventId);
    await until(() => one.heard.length > 0, "a snapshot");
  });

  test("a leader that stood still and comes back does not write over the one that has followed", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(10, 20)]));
    const { port, child } = await startProcess();
    const sleeper = reader(port, eventId);
    await until(() => sleeper.heard.includes("snapshot"), "a snapshot of the first leader", 30_000);
    const survivor = reader(inventory.port, eventId);
    await until(() => survivor.heard.length > 0, "a snapshot");
    child.kill("SIGSTOP");
    for (const row of ["A", "B", "C"]) await inventory.seats.hold(seatsWish(eventId, [`A-${row}-1`]));
    await agree(eventId, survivor);
    child.kill("SIGCONT");
    await inventory.seats.hold(seatsWish(eventId, ["A-D-1"]));
    await agree(eventId, survivor, sleeper);
    child.kill("SIGKILL");
  });
});

describe("when the seats are lost", () => {
  test("readers are told to wait, then get all seats anew under another epoch", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const one = reader(inventory.port, eventId);
    const two = reader(sibling.port, eventId);
    await until(() => one.heard.length > 0 && two.heard.length > 0, "snapshots");
    const wish = seatsWish(eventId, ["A-A-1", "A-A-2"]);
    await inventory.seats.claimSeats(claimOf(wish, await inventory.seats.hold(wish)));
    await agree(eventId, one, two);
    const before = one.version();
    // As a flush does it, but of this event alone: the store is shared with other tests.
    const keys = await inventory.redis.keys(`{${eventId}}:*`);
    await inventory.redis.del(...keys);
    await until(() => (one.version()?.epoch ?? 0) > (before?.epoch ?? 0), "another epoch");
    await until(() => (two.version()?.epoch ?? 0) > (before?.epoch ?? 0), "another epoch at the other process");
    await agree(eventId, one, two);
    // Who leads notices at once; the other one may be told of the new seats before it has missed the old ones.
    expect([...one.heard, ...two.heard]).toContain("wait");
    for (const { heard } of [one, two]) expect(heard.filter((what) => what === "snapshot")).toHaveLength(2);
    // Never shown as free in between.
    expect(one.states().slice(0, 2)).toBe("0a");
  });

  test("a lost log alone begins anew above all versions that were", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const one = reader(inventory.port, eventId);
    await until(() => one.heard.length > 0, "a snapshot");
    await inventory.seats.hold(seatsWish(eventId, ["A-A-1"]));
    await agree(eventId, one);
    const before = one.version();
    await inventory.redis.del(`{${eventId}}:live`, `{${eventId}}:live:s`, `{${eventId}}:live:c`);
    await inventory.seats.hold(seatsWish(eventId, ["A-A-2"]));
    await agree(eventId, one);
    expect(one.version()?.epoch).toBe(before?.epoch);
    expect(one.version()?.version).toBeGreaterThan((before?.version ?? 0) + 1);
  });
});

describe("one's own seats", () => {
  const own = (port: number, eventId: string, userId: string) => {
    const client = connect(LiveSeatServiceService, { address: `127.0.0.1:${port}`, trust: {} });
    return insist(() => client.getOwnSeats({ eventId, userId })).finally(() => client.close());
  };

  test("are those held, with their deadline, and those owned, with their checkout; also after a rebuilding", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(5, 10), standing(50)]));
    const userId = freshId("acc");
    expect((await own(inventory.port, eventId, userId)).own).toEqual([]);
    const wish = seatsWish(eventId, ["A-A-1", "A-A-2"], { userId });
    const held = await inventory.seats.hold(wish);
    const floor = quantityWish(eventId, "FLOOR", 2, { userId });
    const places = await inventory.seats.hold(floor);
    await inventory.seats.hold(seatsWish(eventId, ["A-B-1"])); // another's
    const seatIds = (one: { seats: readonly { seatId: string }[] }) => one.seats.map(({ seatId }) => seatId);
    const found = await own(inventory.port, eventId, userId);
    expect(found.own.map((one) => [one.holdId, one.deadlineMs, one.checkoutId, seatIds(one)])).toEqual([
      [held.holdId, held.deadlineMs, "", ["A-A-1", "A-A-2"]],
      [places.holdId, places.deadlineMs, "", ["FLOOR-GA-1", "FLOOR-GA-2"]],
    ]);
    expect(found.asOfMs).toBeLessThan(held.deadlineMs);

    await inventory.seats.claimSeats(claimOf(wish, held));
    await inventory.seats.releaseHold(releaseOf(floor, places));
    const bought = await own(sibling.port, eventId, userId);
    expect(bought.own).toMatchObject([{ holdId: held.holdId, deadlineMs: 0, checkoutId: wish.checkoutId }]);

    // Some of them given back.
    await inventory.seats.releaseClaims({ ...releaseOf(wish, held), seatIds: ["A-A-1"] });
    expect(seatIds((await own(inventory.port, eventId, userId)).own[0] ?? { seats: [] })).toEqual(["A-A-2"]);

    // The holds' own records are gone: the seats' records tell.
    const again = seatsWish(eventId, ["A-C-1"], { userId });
    await inventory.seats.hold(again);
    await inventory.redis.del(...(await inventory.redis.keys(`{${eventId}}:*`)));
    await expectRefusal(
      connect(LiveSeatServiceService, { address: `127.0.0.1:${inventory.port}`, trust: {} }).getOwnSeats({
        eventId,
        userId,
      }),
      "INVENTORY_REBUILDING",
    );
    const restored = await own(inventory.port, eventId, userId);
    expect(restored.own.map((one) => [one.checkoutId, seatIds(one)])).toEqual([[wish.checkoutId, ["A-A-2"]]]);
  });

  test("are no strangers' to who asks for them again", async () => {
    const section = hall(5, 10);
    section.rows[0]?.blocked.push(10);
    const eventId = await publishEvent(inventory, newEvent({}, [section]));
    const userId = freshId("acc");
    const bought = seatsWish(eventId, ["A-A-1"], { userId });
    await inventory.seats.claimSeats(claimOf(bought, await inventory.seats.hold(bought)));
    await inventory.seats.hold(seatsWish(eventId, ["A-A-2"], { userId }));
    await inventory.seats.hold(seatsWish(eventId, ["A-A-3"]));
    const all = ["A-A-1", "A-A-2", "A-A-3"];
    const again = await expectRefusal(inventory.seats.hold(seatsWish(eventId, all, { userId })), "SEAT_TAKEN");
    expect(again.details).toEqual({ seats: all, own: ["A-A-1", "A-A-2"] });
    expect(again.message).toMatch(/^The seats A-A-1, A-A-2 are yours already.* A-A-3 is another's\.$/);
    const one = await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-2"], { userId })), "SEAT_TAKEN");
    expect(one.message).toMatch(/^Seat A-A-2 is yours already, held or bought/);
    const stranger = await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-2"])), "SEAT_TAKEN");
    expect(stranger.details).toEqual({ seats: ["A-A-2"] });
    // Nobody's, but not for sale.
    const blocked = await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-10"], { userId })), "SEAT_TAKEN");
    expect(blocked.details).toEqual({ seats: ["A-A-10"] });
  });

  test("are nobody's in an event that is not there", async () => {
    await expectRefusal(own(inventory.port, freshId("evt"), freshId("acc")), "EVENT_NOT_FOUND");
  });
});
