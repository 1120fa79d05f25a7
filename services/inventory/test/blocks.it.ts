// Blocks: seats that an organiser takes off the sale. A seat is never both blocked and a buyer's, whatever is lost or killed.
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { personOf } from "../src/hall/seat-map.js";
import { blockHoldId } from "../src/seats/block.js";
import {
  claimOf,
  claimsIn,
  eventually,
  expectRefusal,
  freshId,
  hall,
  type Inventory,
  insist,
  newEvent,
  publishEvent,
  releaseOf,
  seatsWish,
  standing,
  startForTest,
} from "./inventory.js";

let inventory: Inventory;
beforeAll(async () => {
  inventory = await startForTest(inject("backing"), {
    AVAILABILITY_CACHE_MS: "0",
    SWEEP_SECONDS: "0.1",
    RECONCILE_SECONDS: "0.3",
  });
});
afterAll(() => inventory?.stop());

const block = (
  eventId: string,
  seatIds: string[],
  who: { blockId?: string; organiserId?: string; reason?: string } = {},
) =>
  inventory.blocks.blockSeats({
    eventId,
    blockId: freshId("blk"),
    organiserId: "acc_organiser",
    accountId: "acc_organiser",
    seatIds,
    reason: "Camera position",
    ...who,
  });
const unblock = (eventId: string, seatIds: string[], organiserId = "acc_organiser") =>
  inventory.blocks.unblockSeats({ eventId, organiserId, seatIds });
const list = async (eventId: string) => await inventory.blocks.listBlocks({ eventId, organiserId: "acc_organiser" });
const counts = async (eventId: string) => (await inventory.seats.getAvailability({ eventId })).sections[0];
const shut = (label: string, blocked: number[]) =>
  hall(1, 6, { rows: [{ label, firstSeat: 1, seatCount: 6, gaps: [], blocked, accessible: [], companion: [] }] });

describe("blocked seats", () => {
  test("are off the sale until they are put back, and counted as blocked, not as sold", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 6)]));
    const made = await block(eventId, ["A-A-1", "A-A-2"], { blockId: "blk_one" });
    expect(made.block).toMatchObject({ blockId: "blk_one", reason: "Camera position", accountId: "acc_organiser" });
    expect(made.block?.seatIds).toEqual(["A-A-1", "A-A-2"]);
    expect(await counts(eventId)).toMatchObject({ free: 4, sold: 0, blocked: 2 });
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-1"])), "SEAT_TAKEN");
    // The same again is the same.
    expect(await block(eventId, ["A-A-2", "A-A-1"], { blockId: "blk_one" })).toEqual(made);
    await expectRefusal(block(eventId, ["A-A-1", "A-A-3"], { blockId: "blk_one" }), "IDEMPOTENCY_KEY_REUSED");

    expect(await unblock(eventId, ["A-A-2", "A-A-3"])).toEqual({ seatIds: ["A-A-2"] });
    expect(await unblock(eventId, ["A-A-2"])).toEqual({ seatIds: [] });
    await inventory.seats.hold(seatsWish(eventId, ["A-A-2"]));
    expect((await list(eventId)).blocks).toMatchObject([{ blockId: "blk_one", seatIds: ["A-A-1"] }]);
    await block(eventId, ["A-A-3"], { blockId: "blk_two", reason: "Sound desk", organiserId: "" });
    expect((await list(eventId)).blocks).toMatchObject([
      { blockId: "blk_one", seatIds: ["A-A-1"] },
      { blockId: "blk_two", reason: "Sound desk", seatIds: ["A-A-3"], blockedAtMs: expect.any(Number) },
    ]);
    await unblock(eventId, ["A-A-1", "A-A-3"]);
    expect((await list(eventId)).blocks).toEqual([]);
    expect(await counts(eventId)).toMatchObject({ free: 5, held: 1, blocked: 0 });
    await block(eventId, ["A-A-1"]);
  });

  test("are none of a buyer's: all or none, and told which", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 6)]));
    const held = seatsWish(eventId, ["A-A-1"]);
    const hold = await inventory.seats.hold(held);
    const bought = seatsWish(eventId, ["A-A-2"]);
    await inventory.seats.claimSeats(claimOf(bought, await inventory.seats.hold(bought)));
    await block(eventId, ["A-A-3"]);
    const refused = await expectRefusal(block(eventId, ["A-A-1", "A-A-2", "A-A-3", "A-A-4"]), "SEAT_TAKEN");
    expect(refused.details["seats"]).toEqual(["A-A-1", "A-A-2"]);
    const again = await expectRefusal(block(eventId, ["A-A-3", "A-A-4"]), "SEATS_BLOCKED");
    expect(again.details["seats"]).toEqual(["A-A-3"]);
    expect(await counts(eventId)).toMatchObject({ free: 3, held: 1, sold: 1, blocked: 1 });
    const lifted = await expectRefusal(unblock(eventId, ["A-A-2", "A-A-3"]), "SEAT_TAKEN");
    expect(lifted.details["seats"]).toEqual(["A-A-2"]);
    expect((await list(eventId)).blocks).toHaveLength(1);
    expect(await inventory.seats.claimSeats(claimOf(held, hold))).toEqual({ fresh: true });
    expect((await claimsIn(inventory, eventId)).map(({ seatId }) => seatId).sort()).toEqual([
      "A-A-1",
      "A-A-2",
      "A-A-3",
    ]);
    await inventory.seats.releaseClaims({ eventId, checkoutId: held.checkoutId, userId: held.userId, seatIds: [] });
    await block(eventId, ["A-A-1"]);
  });

  test("and buyers race for the same seats, and each seat has one of them", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 8)]));
    const seats = Array.from({ length: 8 }, (_, at) => `A-A-${at + 1}`);
    const outcomes = await Promise.all(
      seats.flatMap((seatId) => [
        block(eventId, [seatId]).then(
          () => "blocked",
          (error: { code: string }) => error.code,
        ),
        inventory.seats.hold(seatsWish(eventId, [seatId])).then(
          () => "held",
          (error: { code: string }) => error.code,
        ),
      ]),
    );
    for (let at = 0; at < outcomes.length; at += 2)
      expect([
        ["blocked", "SEAT_TAKEN"],
        ["SEAT_TAKEN", "held"],
      ]).toContainEqual(outcomes.slice(at, at + 2));
    const blocked = outcomes.filter((outcome) => outcome === "blocked").length;
    expect(await counts(eventId)).toMatchObject({ free: 0, blocked, held: 8 - blocked });
    expect(await claimsIn(inventory, eventId)).toHaveLength(blocked);
  });

  test("of the layout stay so, with a clear word", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [shut("A", [1, 2])]));
    const refused = await expectRefusal(unblock(eventId, ["A-A-1"]), "BLOCKED_BY_LAYOUT");
    expect(refused.details["seats"]).toEqual(["A-A-1"]);
    expect((await expectRefusal(block(eventId, ["A-A-1"]), "SEATS_BLOCKED")).details["seats"]).toEqual(["A-A-1"]);
    expect(await list(eventId)).toEqual({ blocks: [], byLayout: ["A-A-1", "A-A-2"] });
  });

  test("are the business of the organiser and of operators", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    await expectRefusal(block(eventId, ["A-A-1"], { organiserId: "acc_other" }), "EVENT_NOT_FOUND");
    await expectRefusal(unblock(eventId, ["A-A-1"], "acc_other"), "EVENT_NOT_FOUND");
    await expectRefusal(inventory.blocks.listBlocks({ eventId, organiserId: "acc_other" }), "EVENT_NOT_FOUND");
    const request = newEvent();
    await inventory.catalog.createEvent(request);
    await expectRefusal(block(request.event?.eventId ?? "", ["A-A-1"]), "EVENT_IS_DRAFT");
    await expectRefusal(block("evt_nosuch", ["A-A-1"]), "EVENT_NOT_FOUND");
  });

  test("are refused as nonsense", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 6), standing(5)]));
    expect((await expectRefusal(block(eventId, ["A-A-1", "A-Z-1"]), "SEAT_UNKNOWN")).details["seats"]).toEqual([
      "A-Z-1",
    ]);
    await expectRefusal(unblock(eventId, ["A-Z-1"]), "SEAT_UNKNOWN");
    for (const seats of [
      [],
      ["A-A-1", "A-A-1"],
      ["FLOOR-GA-1"],
      Array.from({ length: 5_001 }, (_, at) => `A-A-${at}`),
    ]) {
      await expectRefusal(block(eventId, seats), "REQUEST_INVALID");
      await expectRefusal(unblock(eventId, seats), "REQUEST_INVALID");
    }
    for (const reason of ["", "a\u0000b", "x".repeat(201)])
      await expectRefusal(block(eventId, ["A-A-1"], { reason }), "REQUEST_INVALID");
    await expectRefusal(block(eventId, ["A-A-1"], { blockId: "a b" }), "REQUEST_INVALID");
    expect(await counts(eventId)).toMatchObject({ free: 6, blocked: 0 });
  });
});

describe("after a failure", () => {
  const documents = () =>
    inventory.mongodb
      .db(inventory.database)
      .collection<{ _id: string; state: string; at: Date; seatIds: string[] }>("blocks");
  const claims = () => inventory.mongodb.db(inventory.database).collection<{ _id: string }>("claims");

  test("Valkey's loss forgets no block", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 6)]));
    await block(eventId, ["A-A-1", "A-A-2"]);
    for (const key of await inventory.redis.keys(`{${eventId}}*`)) await inventory.redis.del(key);
    await insist(() => inventory.seats.hold(seatsWish(eventId, ["A-A-3"])));
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-1"])), "SEAT_TAKEN");
    expect(await counts(eventId)).toMatchObject({ free: 3, held: 1, sold: 0, blocked: 2 });
    await unblock(eventId, ["A-A-1"]);
    await inventory.seats.hold(seatsWish(eventId, ["A-A-1"]));
    // A block is nobody's seat: it counts for no person's limit.
    for (const user of await inventory.redis.hkeys(`{${eventId}}:2:u`))
      expect(user).not.toBe(personOf("acc_organiser"));
  });

  test("a block that died between the stores is finished by a retry, and by nothing else while it may come", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 6)]));
    await block(eventId, ["A-A-1"], { blockId: "blk_dead" });
    // As it is when the process dies after Valkey and before MongoDB.
    await claims().deleteMany({ _id: `${eventId}:A-A-1` });
    await documents().updateOne({ _id: `${eventId}:blk_dead` }, { $set: { state: "pending", at: new Date() } });
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-1"])), "SEAT_TAKEN");
    const made = await block(eventId, ["A-A-1"], { blockId: "blk_dead" });
    expect(made.block?.seatIds).toEqual(["A-A-1"]);
    expect(await claimsIn(inventory, eventId)).toHaveLength(1);
  });

  test("a block that died and is not tried again is given up, and its seats are free", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 6)]));
    await block(eventId, ["A-A-1"], { blockId: "blk_lost" });
    await claims().deleteMany({ _id: `${eventId}:A-A-1` });
    await documents().updateOne(
      { _id: `${eventId}:blk_lost` },
      { $set: { state: "pending", at: new Date(Date.now() - 10 * 60_000) } },
    );
    await eventually(() => inventory.seats.hold(seatsWish(eventId, ["A-A-1"])));
    expect(await documents().findOne({ _id: `${eventId}:blk_lost` })).toBeNull();
  });

  test("lifting that died midway is finished by a retry, or by the reconciliation", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 6)]));
    await block(eventId, ["A-A-1", "A-A-2"]);
    await claims().deleteMany({ _id: { $in: [`${eventId}:A-A-1`, `${eventId}:A-A-2`] } });
    expect((await list(eventId)).blocks).toEqual([]);
    expect(await unblock(eventId, ["A-A-1"])).toEqual({ seatIds: ["A-A-1"] });
    await inventory.seats.hold(seatsWish(eventId, ["A-A-1"]));
    await eventually(() => inventory.seats.hold(seatsWish(eventId, ["A-A-2"])));
  });

  test("a seat that Valkey believes free and that is blocked is refused at the claim, and then is blocked there too", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 6)]));
    await block(eventId, ["A-A-1"], { blockId: "blk_kept" });
    // Valkey has lost its last writes, and is believed: the worst that a failover can do.
    const redis = inventory.redis;
    await redis.setrange(`{${eventId}}:1:r:A`, 0, Buffer.alloc(16));
    const wish = seatsWish(eventId, ["A-A-1"]);
    const hold = await inventory.seats.hold(wish);
    const refused = await expectRefusal(inventory.seats.claimSeats(claimOf(wish, hold)), "SEAT_TAKEN");
    expect(refused.details["seats"]).toEqual(["A-A-1"]);
    await inventory.seats.releaseHold(releaseOf(wish, hold));
    await eventually(async () => expect(await counts(eventId)).toMatchObject({ free: 5, blocked: 1 }));
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-1"])), "SEAT_TAKEN");
    expect((await redis.getrangeBuffer(`{${eventId}}:1:r:A`, 8, 15)).toString("hex")).toBe(blockHoldId("blk_kept"));
    expect(await counts(eventId)).toMatchObject({ free: 5, blocked: 1 });
  });

  test("a seat that is sold in MongoDB and free in Valkey is never blocked", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 6)]));
    const bought = seatsWish(eventId, ["A-A-2"]);
    await inventory.seats.claimSeats(claimOf(bought, await inventory.seats.hold(bought)));
    await inventory.redis.setrange(`{${eventId}}:1:r:A`, 16, Buffer.alloc(16));
    const refused = await expectRefusal(block(eventId, ["A-A-1", "A-A-2"], { blockId: "blk_none" }), "SEAT_TAKEN");
    expect(refused.details["seats"]).toEqual(["A-A-2"]);
    // Nothing of it is left, and Valkey has learnt who owns the seat.
    expect(await counts(eventId)).toMatchObject({ free: 5, sold: 1, blocked: 0 });
    expect(await documents().findOne({ _id: `${eventId}:blk_none` })).toBeNull();
    expect((await claimsIn(inventory, eventId)).map(({ checkoutId }) => checkoutId)).toEqual([bought.checkoutId]);
  });
});
