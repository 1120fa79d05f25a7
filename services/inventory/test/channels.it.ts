// Channels: codes open seats that the general sale does not have, in their window and to their limits; then the seats go back.
import { derivedHex64 } from "@onsale/kit/ids";
import type { PutChannelRequest } from "@onsale/proto/inventory/v1/channels";
import type { HoldRequest } from "@onsale/proto/inventory/v1/seats";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import {
  claimOf,
  eventually,
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

let inventory: Inventory;
/** A second process on the same stores. */
let second: Inventory;
const quick = { EVENT_CACHE_MS: "50", AVAILABILITY_CACHE_MS: "0", SWEEP_SECONDS: "0.1" };
beforeAll(async () => {
  inventory = await startForTest(inject("backing"), quick);
  second = await startForTest(inject("backing"), quick, inventory.database);
});
afterAll(async () => {
  await inventory?.stop();
  await second?.stop();
});

const hour = 60 * 60 * 1000;
const day = 24 * hour;
/** On sale to everybody tomorrow. */
const tomorrow = () => newEvent({ onSaleAtMs: Date.now() + day }, [hall(2, 10), standing(20)]);

const put = (eventId: string, channel: Partial<PutChannelRequest> = {}, at = inventory) =>
  at.channels.putChannel({
    eventId,
    channelId: "fans",
    organiserId: "acc_organiser",
    name: "Fan club",
    codes: ["ANCHOR-1", "ANCHOR-2"],
    opensAtMs: Date.now() - hour,
    closesAtMs: Date.now() + hour,
    seatsPerPerson: 0,
    seatsPerCode: 0,
    seatIds: ["A-A-1", "A-A-2", "A-A-3", "A-A-4"],
    places: [],
    ...channel,
  });

const withCode = (wish: HoldRequest, accessCode = "ANCHOR-1"): HoldRequest => ({ ...wish, accessCode });
const open = (eventId: string, code = "ANCHOR-1") => inventory.channels.openWithCode({ eventId, code });
const countsOf = async (eventId: string, section = "A") =>
  (await inventory.seats.getAvailability({ eventId })).sections.find(({ sectionId }) => sectionId === section);

describe("a channel's seats", () => {
  test("are for its codes alone, before the general sale opens", async () => {
    const eventId = await publishEvent(inventory, tomorrow());
    const { channel, notFree } = await put(eventId);
    expect(notFree).toEqual([]);
    expect(channel).toMatchObject({
      channelId: "fans",
      codeCount: 2,
      ended: false,
      seatIds: ["A-A-1", "A-A-2", "A-A-3", "A-A-4"],
    });
    expect(JSON.stringify(channel)).not.toContain("ANCHOR");
    expect(await countsOf(eventId)).toMatchObject({ free: 16, blocked: 4 });

    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-1"])), "SALE_NOT_OPEN");
    const wish = withCode(seatsWish(eventId, ["A-A-1", "A-A-2"]), " anchor-2 ");
    const hold = await inventory.seats.hold(wish);
    expect(hold.seats.map(({ seatId }) => seatId)).toEqual(["A-A-1", "A-A-2"]);
    expect((await inventory.seats.hold(wish)).holdId).toBe(hold.holdId);
    const shown = await open(eventId);
    expect(shown).toMatchObject({
      name: "Fan club",
      ended: false,
      free: ["A-A-3", "A-A-4"],
      held: ["A-A-1", "A-A-2"],
      sold: [],
    });
    const refused = await expectRefusal(inventory.seats.hold(withCode(seatsWish(eventId, ["A-A-1"]))), "SEAT_TAKEN");
    expect(refused.details["seats"]).toEqual(["A-A-1"]);
    const other = await expectRefusal(
      inventory.seats.hold(withCode(seatsWish(eventId, ["A-A-3", "A-A-5"]))),
      "SEAT_NOT_IN_CHANNEL",
    );
    expect(other.details["seats"]).toEqual(["A-A-5"]);
  });

  test("stay the channel's when they come back from a buyer, and are a buyer's for good when bought", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 4)]));
    await put(eventId, { seatIds: ["A-A-1", "A-A-2"] });
    const wish = withCode(seatsWish(eventId, ["A-A-1"]));
    const hold = await inventory.seats.hold(wish);
    await inventory.seats.releaseHold(releaseOf(wish, hold));
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-1"])), "SEAT_TAKEN");
    const again = withCode(seatsWish(eventId, ["A-A-1"]));
    const held = await inventory.seats.hold(again);
    await inventory.seats.claimSeats(claimOf(again, held));
    expect(await open(eventId)).toMatchObject({ free: ["A-A-2"], sold: ["A-A-1"] });
    // A refund: the channel's again.
    await inventory.seats.releaseClaims({ eventId, checkoutId: again.checkoutId, userId: again.userId, seatIds: [] });
    expect((await open(eventId)).free).toEqual(["A-A-1", "A-A-2"]);
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-1"])), "SEAT_TAKEN");
  });

  test("are told from the general sale's, which a code buys too once that is open, but not both at once", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 8)]));
    await put(eventId);
    await inventory.seats.hold(seatsWish(eventId, ["A-A-5"]));
    await inventory.seats.hold(withCode(seatsWish(eventId, ["A-A-6"])));
    await inventory.seats.hold(withCode(seatsWish(eventId, ["A-A-1"])));
    await expectRefusal(inventory.seats.hold(withCode(seatsWish(eventId, ["A-A-2", "A-A-7"]))), "SEAT_NOT_IN_CHANNEL");
  });

  test("are chosen for a code's buyer too, the best of the channel's and no others", async () => {
    const eventId = await publishEvent(inventory, tomorrow());
    await put(eventId, { seatIds: ["A-A-1", "A-A-2", "A-A-9", "A-B-4", "A-B-5", "A-B-6"] });
    const three = await inventory.seats.hold(withCode(quantityWish(eventId, "A", 3)));
    expect(three.seats.map(({ seatId }) => seatId)).toEqual(["A-B-4", "A-B-5", "A-B-6"]);
    const refused = await expectRefusal(
      inventory.seats.hold(withCode(quantityWish(eventId, "A", 3))),
      "NOT_ENOUGH_SEATS",
    );
    expect(refused.details).toMatchObject({ free: 3, largestGroup: 2 });
    const two = await inventory.seats.hold(withCode(quantityWish(eventId, "A", 2)));
    expect(two.seats.map(({ seatId }) => seatId)).toEqual(["A-A-1", "A-A-2"]);
    await expectRefusal(inventory.seats.hold(quantityWish(eventId, "A", 1)), "SALE_NOT_OPEN");
  });

  test("that a buyer has already stay the buyer's, and are said", async () => {
    const eventId = await publishEvent(
      inventory,
      newEvent({}, [
        hall(1, 6, {
          rows: [{ label: "A", firstSeat: 1, seatCount: 6, gaps: [], blocked: [6], accessible: [], companion: [] }],
        }),
      ]),
    );
    const wish = seatsWish(eventId, ["A-A-1"]);
    const hold = await inventory.seats.hold(wish);
    const bought = seatsWish(eventId, ["A-A-2"]);
    await inventory.seats.claimSeats(claimOf(bought, await inventory.seats.hold(bought)));
    const { notFree } = await put(eventId, { seatIds: ["A-A-1", "A-A-2", "A-A-3", "A-A-6"] });
    expect(notFree).toEqual(["A-A-1", "A-A-2", "A-A-6"]);
    expect(await inventory.seats.claimSeats(claimOf(wish, hold))).toEqual({ fresh: true });
    await inventory.seats.releaseClaims({ eventId, checkoutId: wish.checkoutId, userId: wish.userId, seatIds: [] });
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-1"])), "SEAT_TAKEN");
    await inventory.seats.hold(withCode(seatsWish(eventId, ["A-A-1"])));
  });

  test("in general admission are the last places, counted by themselves", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 4), standing(20)]));
    await put(eventId, { seatIds: [], places: [{ sectionId: "FLOOR", quantity: 8 }] });
    expect(await countsOf(eventId, "FLOOR")).toMatchObject({ free: 12, blocked: 8 });
    const general = await inventory.seats.hold(quantityWish(eventId, "FLOOR", 8));
    expect(general.seats).toHaveLength(8);
    const short = await expectRefusal(inventory.seats.hold(quantityWish(eventId, "FLOOR", 5)), "NOT_ENOUGH_SEATS");
    expect(short.details["free"]).toBe(4);
    const wish = withCode(quantityWish(eventId, "FLOOR", 8));
    const coded = await inventory.seats.hold(wish);
    expect(new Set([...general.seats, ...coded.seats].map(({ seatId }) => seatId)).size).toBe(16);
    expect(coded.seats.every(({ number }) => Number(number) > 12)).toBe(true);
    await expectRefusal(inventory.seats.hold(withCode(quantityWish(eventId, "FLOOR", 1))), "NOT_ENOUGH_SEATS");
    expect((await open(eventId)).places).toEqual([{ sectionId: "FLOOR", free: 0, held: 8, sold: 0, blocked: 0 }]);
    await inventory.seats.releaseHold(releaseOf(wish, coded));
    await inventory.seats.hold(withCode(quantityWish(eventId, "FLOOR", 3)));
    await inventory.channels.deleteChannel({ eventId, channelId: "fans", organiserId: "" });
    expect(await countsOf(eventId, "FLOOR")).toMatchObject({ free: 9, held: 11, blocked: 0 });
    await inventory.seats.hold(quantityWish(eventId, "FLOOR", 8));
    const last = await expectRefusal(inventory.seats.hold(quantityWish(eventId, "FLOOR", 2)), "NOT_ENOUGH_SEATS");
    expect(last.details["free"]).toBe(1);
  });

  test("that come back go to the code's buyer, however many others want them at the same time", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 4)]));
    await put(eventId, { seatIds: ["A-A-1"] });
    for (let round = 0; round < 4; round++) {
      const wish = withCode(seatsWish(eventId, ["A-A-1"]));
      const hold = await inventory.seats.hold(wish);
      const coded = seatsWish(eventId, ["A-A-1"]);
      const [, ...others] = await Promise.all([
        inventory.seats.releaseHold(releaseOf(wish, hold)),
        ...Array.from({ length: 10 }, (_, at) =>
          (at % 2 === 0 ? inventory : second).seats.hold(seatsWish(eventId, ["A-A-1"])).then(
            () => "held",
            (error: { code: string }) => error.code,
          ),
        ),
      ]);
      expect(new Set(others)).toEqual(new Set(["SEAT_TAKEN"]));
      const mine = await inventory.seats.hold(withCode(coded));
      await inventory.seats.releaseHold(releaseOf(coded, mine));
    }
  });
});

describe("a code", () => {
  test("of another event, or that never was, opens nothing, and both look the same", async () => {
    const eventId = await publishEvent(inventory, tomorrow());
    const other = await publishEvent(inventory, tomorrow());
    const without = await publishEvent(inventory, tomorrow());
    await put(eventId);
    await put(other, { codes: ["STARBOARD"] });
    const refusals = await Promise.all(
      [
        open(eventId, "STARBOARD"),
        open(eventId, "NO-SUCH"),
        open(without, "ANCHOR-1"),
        open(eventId, ""),
        open(eventId, "x".repeat(100_000)),
        inventory.seats.hold(withCode(seatsWish(eventId, ["A-A-1"]), "STARBOARD")),
        inventory.seats.hold(withCode(seatsWish(without, ["A-A-1"]), "ANCHOR-1")),
      ].map((call) => expectRefusal(call, "ACCESS_CODE_INVALID")),
    );
    expect(new Set(refusals.map(({ message, details }) => JSON.stringify([message, details]))).size).toBe(1);
    await expectRefusal(open("evt_nosuch"), "EVENT_NOT_FOUND");
  });

  test("is good in its window only", async () => {
    const eventId = await publishEvent(inventory, tomorrow());
    const opensAtMs = Date.now() + hour;
    await put(eventId, { opensAtMs, closesAtMs: Date.now() + 2 * hour });
    const early = await expectRefusal(
      inventory.seats.hold(withCode(seatsWish(eventId, ["A-A-1"]))),
      "CHANNEL_NOT_OPEN",
    );
    expect(early.details["opensAt"]).toBe(new Date(opensAtMs).toISOString());
    await put(eventId, { closesAtMs: Date.now() + 600 });
    await inventory.seats.hold(withCode(seatsWish(eventId, ["A-A-1"])));
    await eventually(() =>
      expectRefusal(inventory.seats.hold(withCode(seatsWish(eventId, ["A-A-2"]))), "CHANNEL_ENDED"),
    );
  });

  test("is kept as a keyed hash, and told to no log", async () => {
    const eventId = await publishEvent(inventory, tomorrow());
    await put(eventId, { codes: ["A-VERY-SECRET-CODE"] });
    await open(eventId, "A-VERY-SECRET-CODE");
    await inventory.seats.hold(withCode(seatsWish(eventId, ["A-A-1"]), "A-VERY-SECRET-CODE"));
    const db = inventory.mongodb.db(inventory.database);
    for (const name of ["allotments", "codes", "claims", "sales", "events"]) {
      const documents = await db.collection(name).find({}).toArray();
      expect(JSON.stringify(documents)).not.toMatch(/SECRET-CODE|U0VDUkVULUNPREU/);
    }
    for (const key of await inventory.redis.keys(`{${eventId}}*`))
      expect((await inventory.redis.dumpBuffer(key))?.toString("latin1")).not.toContain("SECRET-CODE");
  });

  test("has its limit over all people, and a person has theirs, each in one step with the hold", async () => {
    const eventId = await publishEvent(inventory, newEvent({ onSaleAtMs: Date.now() + day }, [hall(2, 20)]));
    const seatIds = Array.from({ length: 20 }, (_, at) => `A-A-${at + 1}`);
    await put(eventId, { seatIds, seatsPerPerson: 2, seatsPerCode: 5 });
    // 20 people with one code at once, over two processes.
    const outcomes = await Promise.all(
      seatIds.map((seatId, at) =>
        (at % 2 === 0 ? inventory : second).seats.hold(withCode(seatsWish(eventId, [seatId]))).then(
          () => "held",
          (error: { code: string }) => error.code,
        ),
      ),
    );
    expect(outcomes.filter((outcome) => outcome === "held")).toHaveLength(5);
    expect(outcomes.filter((outcome) => outcome === "CODE_LIMIT_EXCEEDED")).toHaveLength(15);
    const free = seatIds.filter((_, at) => outcomes[at] !== "held");
    // The other code has its own five; one person only two, over all of their checkouts and at once.
    const userId = freshId("acc");
    const mine = await Promise.all(
      free.slice(0, 6).map((seatId) =>
        inventory.seats.hold(withCode(seatsWish(eventId, [seatId], { userId }), "ANCHOR-2")).then(
          () => "held",
          (error: { code: string; details: unknown }) => error.code,
        ),
      ),
    );
    expect(mine.filter((outcome) => outcome === "held")).toHaveLength(2);
    expect(mine.filter((outcome) => outcome === "SEAT_LIMIT_EXCEEDED")).toHaveLength(4);
    const many = await expectRefusal(
      inventory.seats.hold(withCode(seatsWish(eventId, free.slice(10, 13)), "ANCHOR-2")),
      "SEAT_LIMIT_EXCEEDED",
    );
    expect(many.details).toMatchObject({ limit: 2 });
  });

  test("counts what was bought, and no more what came back", async () => {
    const eventId = await publishEvent(inventory, tomorrow());
    await put(eventId, { seatsPerCode: 2 });
    const bought = withCode(seatsWish(eventId, ["A-A-1"]));
    await inventory.seats.claimSeats(claimOf(bought, await inventory.seats.hold(bought)));
    const held = withCode(seatsWish(eventId, ["A-A-2"]));
    const hold = await inventory.seats.hold(held);
    const refused = await expectRefusal(
      inventory.seats.hold(withCode(seatsWish(eventId, ["A-A-3"]))),
      "CODE_LIMIT_EXCEEDED",
    );
    expect(refused.details).toMatchObject({ limit: 2, has: 2 });
    await inventory.seats.releaseHold(releaseOf(held, hold));
    await inventory.seats.hold(withCode(seatsWish(eventId, ["A-A-3"])));
    await expectRefusal(inventory.seats.hold(withCode(seatsWish(eventId, ["A-A-4"]))), "CODE_LIMIT_EXCEEDED");
    await inventory.seats.releaseClaims({ eventId, checkoutId: bought.checkoutId, userId: bought.userId, seatIds: [] });
    await inventory.seats.hold(withCode(seatsWish(eventId, ["A-A-4"])));
  });
});

describe("the end of a channel", () => {
  test("comes by itself: what is left is the general sale's, what is held stays its buyer's", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 6)]));
    await put(eventId, { closesAtMs: Date.now() + 800 });
    const wish = withCode(seatsWish(eventId, ["A-A-1"]));
    const hold = await inventory.seats.hold(wish);
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-2"])), "SEAT_TAKEN");
    await eventually(() => inventory.seats.hold(seatsWish(eventId, ["A-A-2"])));
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-1"])), "SEAT_TAKEN");
    expect(await inventory.seats.claimSeats(claimOf(wish, hold))).toEqual({ fresh: true });
    const { channels } = await inventory.channels.listChannels({ eventId, organiserId: "" });
    expect(channels).toMatchObject([{ channelId: "fans", ended: true }]);
    const shown = await open(eventId);
    expect(shown).toMatchObject({ ended: true, free: [], sold: [], held: [] });
    // What comes back now is the general sale's too.
    await inventory.seats.releaseClaims({ eventId, checkoutId: wish.checkoutId, userId: wish.userId, seatIds: [] });
    await inventory.seats.hold(seatsWish(eventId, ["A-A-1"]));
    expect(await countsOf(eventId)).toMatchObject({ blocked: 0 });
  });

  test("is the same after a crash between the stores, in whichever process", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(2, 6)]));
    await put(eventId);
    // As a process left it that died after MongoDB and in the middle of Valkey: one seat of four is the general sale's.
    expect(await inventory.redis.get(`{${eventId}}:1:a`)).toBe("1:1");
    await inventory.redis.set(`{${eventId}}:1:a`, "2:1");
    await inventory.redis.setrange(`{${eventId}}:1:r:A`, 1, Buffer.from([0]));
    const db = inventory.mongodb.db(inventory.database);
    await db
      .collection<{ _id: string; version: number; channels: { ended: boolean }[] }>("allotments")
      .updateOne({ _id: eventId }, { $set: { "channels.0.ended": true, nextCloseMs: 0 }, $inc: { version: 1 } });
    await eventually(() => second.seats.hold(seatsWish(eventId, ["A-A-1", "A-A-4"])));
    expect(await countsOf(eventId)).toMatchObject({ blocked: 0, held: 2 });
    // And a change that is newer than what a slow process still writes wins.
    await Promise.all([
      put(eventId, { channelId: "one", codes: ["ONE1"], seatIds: ["A-B-1", "A-B-2"] }),
      put(eventId, { channelId: "two", codes: ["TWO2"], seatIds: ["A-B-3"] }, second),
      put(eventId, { channelId: "six", codes: ["SIX6"], seatIds: ["A-B-6"] }),
    ]);
    await eventually(async () => expect(await countsOf(eventId)).toMatchObject({ blocked: 4, free: 6 }));
    await inventory.seats.hold(withCode(seatsWish(eventId, ["A-B-3"]), "TWO2"));
    await inventory.seats.hold(withCode(seatsWish(eventId, ["A-B-1"]), "ONE1"));
    await inventory.seats.hold(withCode(seatsWish(eventId, ["A-B-6"]), "SIX6"));
  });

  test("by deletion forgets its codes", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 6)]));
    await put(eventId);
    await inventory.channels.deleteChannel({ eventId, channelId: "fans", organiserId: "acc_organiser" });
    await inventory.channels.deleteChannel({ eventId, channelId: "fans", organiserId: "acc_organiser" });
    await inventory.seats.hold(seatsWish(eventId, ["A-A-1"]));
    await expectRefusal(open(eventId), "ACCESS_CODE_INVALID");
    expect((await inventory.channels.listChannels({ eventId, organiserId: "" })).channels).toEqual([]);
  });

  test("and all else survives the loss of Valkey", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 8), standing(10)]));
    await put(eventId, { seatsPerCode: 2, places: [{ sectionId: "FLOOR", quantity: 4 }] });
    const bought = withCode(seatsWish(eventId, ["A-A-1"]));
    await inventory.seats.claimSeats(claimOf(bought, await inventory.seats.hold(bought)));
    for (const key of await inventory.redis.keys(`{${eventId}}*`)) await inventory.redis.del(key);
    await insist(() => inventory.seats.hold(seatsWish(eventId, ["A-A-5"])));
    expect(await countsOf(eventId)).toMatchObject({ blocked: 3, sold: 1, held: 1, free: 3 });
    expect(await countsOf(eventId, "FLOOR")).toMatchObject({ blocked: 4, free: 6 });
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-2"])), "SEAT_TAKEN");
    await expectRefusal(inventory.seats.hold(withCode(seatsWish(eventId, ["A-A-2", "A-A-3"]))), "CODE_LIMIT_EXCEEDED");
    await inventory.seats.hold(withCode(seatsWish(eventId, ["A-A-2"])));
    await inventory.seats.hold(withCode(quantityWish(eventId, "FLOOR", 2), "ANCHOR-2"));
  });
});

describe("an organiser", () => {
  test("puts the same channel twice, and changes it", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 8)]));
    const window = { opensAtMs: Date.now() - hour, closesAtMs: Date.now() + hour };
    const first = await put(eventId, window);
    const again = await put(eventId, { ...window, codes: ["anchor-2", "ANCHOR-1"] });
    expect(again).toEqual(first);
    const db = inventory.mongodb.db(inventory.database);
    const version = async () =>
      (await db.collection<{ _id: string; version: number }>("allotments").findOne({ _id: eventId }))?.version;
    expect(await version()).toBe(1);
    await put(eventId, { ...window, seatIds: ["A-A-4", "A-A-5"], codes: ["ANCHOR-3"] });
    expect(await version()).toBe(2);
    await inventory.seats.hold(seatsWish(eventId, ["A-A-1"]));
    await eventually(() => expectRefusal(open(eventId), "ACCESS_CODE_INVALID"));
    await eventually(() => inventory.seats.hold(withCode(seatsWish(eventId, ["A-A-5"]), "ANCHOR-3")));
  });

  test("sets channels up in a draft, and they are there when it is published", async () => {
    const request = newEvent({}, [hall(1, 8)]);
    await inventory.catalog.createEvent(request);
    const eventId = request.event?.eventId ?? "";
    await put(eventId);
    await expectRefusal(open(eventId), "EVENT_NOT_FOUND");
    await inventory.catalog.publishEvent({ eventId, organiserId: "" });
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-1"])), "SEAT_TAKEN");
    await inventory.seats.hold(withCode(seatsWish(eventId, ["A-A-1"])));
  });

  test("is refused what can't be, with the reason", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 8), standing(10)]));
    await put(eventId);
    const elsewhere = { channelId: "press", codes: ["PRESS-1"] };
    const refused = async (change: Partial<PutChannelRequest>, code: Parameters<typeof expectRefusal>[1]) =>
      expectRefusal(put(eventId, { ...elsewhere, seatIds: ["A-A-8"], ...change }), code);
    await refused({ organiserId: "acc_other" }, "EVENT_NOT_FOUND");
    await refused({ eventId: "evt_nosuch" }, "EVENT_NOT_FOUND");
    expect((await refused({ seatIds: ["A-A-8", "A-Z-9"] }, "SEAT_UNKNOWN")).details["seats"]).toEqual(["A-Z-9"]);
    await refused({ places: [{ sectionId: "NONE", quantity: 1 }] }, "SECTION_UNKNOWN");
    expect((await refused({ seatIds: ["A-A-1", "A-A-8"] }, "SEATS_ALLOCATED")).details["seats"]).toEqual(["A-A-1"]);
    expect((await refused({ codes: ["SAME", "other", "same "] }, "CODE_DUPLICATE")).details["positions"]).toEqual([
      0, 2,
    ]);
    const common = await refused({ codes: ["PRESS-1", "anchor-1"] }, "CODE_DUPLICATE");
    expect(common.details).toEqual({ channel: "fans", codes: 1 });
    expect(common.message).not.toMatch(/anchor/i);
    await refused({ closesAtMs: Date.now() - 1000, opensAtMs: Date.now() - hour }, "REQUEST_INVALID");
    await refused({ codes: [], name: "" }, "REQUEST_INVALID");
    await refused({ seatsPerPerson: 9 }, "REQUEST_INVALID");
    await inventory.seats.hold(quantityWish(eventId, "FLOOR", 6));
    const short = await refused({ places: [{ sectionId: "FLOOR", quantity: 5 }] }, "NOT_ENOUGH_SEATS");
    expect(short.details).toEqual({ section: "FLOOR", free: 4 });
    expect((await inventory.channels.listChannels({ eventId, organiserId: "acc_organiser" })).channels).toHaveLength(1);
    await expectRefusal(inventory.channels.listChannels({ eventId, organiserId: "acc_other" }), "EVENT_NOT_FOUND");
    await expectRefusal(
      inventory.channels.deleteChannel({ eventId, channelId: "fans", organiserId: "acc_other" }),
      "EVENT_NOT_FOUND",
    );
  });

  test("gives out 10,000 codes for 1,000 seats, each at once good", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(20, 100)]));
    const codes = Array.from({ length: 10_000 }, (_, at) => `FAN-${derivedHex64("code", String(at))}`);
    const seatIds = Array.from({ length: 2_000 }, (_, at) => at)
      .filter((at) => at % 2 === 0)
      .map((at) => `A-${rowOf(Math.floor(at / 100))}-${(at % 100) + 1}`);
    const { channel } = await put(eventId, { codes, seatIds });
    expect(channel).toMatchObject({ codeCount: 10_000 });
    expect(await countsOf(eventId)).toMatchObject({ free: 1_000, blocked: 1_000 });
    for (const [row, at] of [0, 4_999, 9_999].entries())
      await inventory.seats.hold(withCode(seatsWish(eventId, [`A-${rowOf(row)}-1`]), codes[at]));
  });
});

const rowOf = (at: number): string =>
  (at >= 26 ? rowOf(Math.floor(at / 26) - 1) : "") + String.fromCharCode(65 + (at % 26));
