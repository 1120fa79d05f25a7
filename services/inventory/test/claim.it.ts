// Making held seats one's own: who may, who loses, what a retry gets, and what expiry means.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { personOf } from "../src/hall/seat-map.js";
import { openStore } from "../src/store.js";
import {
  claimOf,
  claimsIn,
  entriesOf,
  expectRefusal,
  freshId,
  hall,
  holdIdFor,
  type Inventory,
  newEvent,
  publishEvent,
  quantityWish,
  releaseOf,
  seatsWish,
  standing,
  startForTest,
} from "./inventory.js";

let inventory: Inventory;
/** Its holds expire soon, but not while a busy machine makes a claim of one. */
let hasty: Inventory;
beforeAll(async () => {
  inventory = await startForTest(inject("backing"));
  const seconds = { HOLD_TTL_SECONDS: "3", HOLD_MARGIN_SECONDS: "0.3", SWEEP_SECONDS: "0.2" };
  hasty = await startForTest(inject("backing"), seconds, inventory.database);
});
afterAll(async () => {
  await inventory?.stop();
  await hasty?.stop();
});

const lapse = 3_600;

async function heldBy(service: Inventory, eventId: string, seatIds: string[]) {
  const wish = seatsWish(eventId, seatIds);
  const held = await service.seats.hold(wish);
  return { wish, held, claim: claimOf(wish, held) };
}

const countsOf = async (service: Inventory, eventId: string, at = 0) =>
  (await service.seats.getAvailability({ eventId })).sections[at];

/** Availability may be a quarter of a second old. */
const eventually = (assert: () => Promise<void>) =>
  expect.poll(async () => await assert().then(() => true), { timeout: 15_000 }).toBe(true);

describe("a claim", () => {
  test("makes seats the checkout's own, once; again is the same", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const { wish, held, claim } = await heldBy(inventory, eventId, ["A-A-1", "A-A-2", "A-B-1"]);
    expect(await inventory.seats.claimSeats(claim)).toEqual({ fresh: true });
    expect(await inventory.seats.claimSeats(claim)).toEqual({ fresh: false });
    const claims = await claimsIn(inventory, eventId);
    expect(claims.map(({ _id }) => _id).sort()).toEqual(
      ["A-A-1", "A-A-2", "A-B-1"].map((seat) => `${eventId}:${seat}`),
    );
    expect(claims[0]).toMatchObject({
      eventId,
      sectionId: "A",
      checkoutId: claim.checkoutId,
      userId: claim.userId,
      amount: 4950,
    });
    await eventually(async () =>
      expect(await countsOf(inventory, eventId)).toMatchObject({ sold: 3, held: 0, free: 47 }),
    );
    // The hold of a checkout that has bought its seats is still the same hold.
    expect(await inventory.seats.hold(wish)).toEqual(held);
  });

  test("at the same time as its own retries has one fresh answer at most, and one claim a seat", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const { claim } = await heldBy(inventory, eventId, ["A-A-1", "A-A-2"]);
    const answers = await Promise.all(Array.from({ length: 5 }, () => inventory.seats.claimSeats(claim)));
    expect(answers.filter(({ fresh }) => fresh).length).toBeLessThanOrEqual(1);
    expect(await claimsIn(inventory, eventId)).toHaveLength(2);
  });

  test("needs the checkout's own hold, real seats and sane numbers", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const { claim } = await heldBy(inventory, eventId, ["A-A-1"]);
    const seats = inventory.seats;
    await expectRefusal(seats.claimSeats({ ...claim, holdId: "0123456789abcdef" }), "REQUEST_INVALID");
    await expectRefusal(seats.claimSeats({ ...claim, checkoutId: freshId("chk") }), "REQUEST_INVALID");
    await expectRefusal(seats.claimSeats({ ...claim, checkoutId: "\u0000" }), "REQUEST_INVALID");
    await expectRefusal(seats.claimSeats({ ...claim, userId: "" }), "REQUEST_INVALID");
    await expectRefusal(seats.claimSeats({ ...claim, epoch: -1 }), "REQUEST_INVALID");
    await expectRefusal(seats.claimSeats({ ...claim, deadlineMs: -1 }), "REQUEST_INVALID");
    await expectRefusal(seats.claimSeats({ ...claim, seatIds: [] }), "REQUEST_INVALID");
    await expectRefusal(seats.claimSeats({ ...claim, seatIds: ["A-A-1", "A-A-1"] }), "REQUEST_INVALID");
    await expectRefusal(seats.claimSeats({ ...claim, seatIds: ["A-Z-1"] }), "SEAT_UNKNOWN");
    await expectRefusal(seats.claimSeats({ ...claim, eventId: "evt_nosuch" }), "EVENT_NOT_FOUND");
    await expectRefusal(seats.claimSeats({ ...claim, userId: freshId("acc") }), "HOLD_EXPIRED");
    // A seat that the hold does not have, free or another's, is not claimed with those that it has.
    await expectRefusal(seats.claimSeats({ ...claim, seatIds: ["A-A-1", "A-A-2"] }), "HOLD_EXPIRED");
    await heldBy(inventory, eventId, ["A-A-3"]);
    const refused = await expectRefusal(seats.claimSeats({ ...claim, seatIds: ["A-A-1", "A-A-3"] }), "SEAT_TAKEN");
    expect(refused.details).toEqual({ seats: ["A-A-3"] });
    expect(await claimsIn(inventory, eventId)).toEqual([]);
  });

  test("of a checkout that never held anything is refused", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const checkoutId = freshId("chk");
    const forged = {
      eventId,
      checkoutId,
      userId: "acc_x",
      holdId: holdIdFor(checkoutId),
      epoch: 1,
      deadlineMs: Date.now() + 9e5,
    };
    await expectRefusal(inventory.seats.claimSeats({ ...forged, seatIds: ["A-A-1"] }), "HOLD_EXPIRED");
  });
});

describe.concurrent("when a hold has expired", () => {
  test("its seats are another's to hold and to buy, and its claim is refused", async () => {
    const eventId = await publishEvent(hasty, newEvent());
    const first = await heldBy(hasty, eventId, ["A-A-1", "A-A-2"]);
    await sleep(lapse);
    await expectRefusal(hasty.seats.claimSeats(first.claim), "HOLD_EXPIRED");
    await expectRefusal(hasty.seats.hold(first.wish), "HOLD_EXPIRED");
    const second = await heldBy(inventory, eventId, ["A-A-2", "A-A-3"]);
    await expectRefusal(hasty.seats.claimSeats(first.claim), "HOLD_EXPIRED");
    expect(await hasty.seats.releaseHold(releaseOf(first.wish, first.held))).toEqual({ released: 0 });
    expect(await hasty.seats.claimSeats(second.claim)).toEqual({ fresh: true });
    await expectRefusal(hasty.seats.claimSeats(first.claim), "HOLD_EXPIRED");
    const claims = await claimsIn(hasty, eventId);
    expect(claims.map(({ seatId }) => seatId).sort()).toEqual(["A-A-2", "A-A-3"]);
  });

  test("its seats are shown free soon, its places in general admission come back, and its person may hold again", async ({
    expect,
  }) => {
    const eventId = await publishEvent(hasty, newEvent({ seatsPerPerson: 4 }, [standing(4), hall(1, 4)]));
    const userId = freshId("acc");
    await hasty.seats.hold(quantityWish(eventId, "FLOOR", 4, { userId }));
    await expectRefusal(hasty.seats.hold(seatsWish(eventId, ["A-A-1"], { userId })), "SEAT_LIMIT_EXCEEDED");
    await expectRefusal(hasty.seats.hold(quantityWish(eventId, "FLOOR", 1)), "NOT_ENOUGH_SEATS");
    await sleep(lapse);
    await hasty.seats.hold(quantityWish(eventId, "FLOOR", 4, { userId }));
    await expect
      .poll(() => countsOf(hasty, eventId))
      .toEqual({ sectionId: "FLOOR", free: 4, held: 0, sold: 0, blocked: 0 });
    await hasty.seats.hold(quantityWish(eventId, "FLOOR", 4));
    expect(await entriesOf(hasty, eventId, 1, userId)).toEqual([]);
  });

  test("its seats can be had at once, also where nothing has cleared it away yet", async () => {
    const env = { HOLD_TTL_SECONDS: "3", HOLD_MARGIN_SECONDS: "0.5", SWEEP_SECONDS: "3600" };
    const idle = await startForTest(inject("backing"), env);
    try {
      const eventId = await publishEvent(idle, newEvent({ seatsPerPerson: 4 }, [hall(1, 4), standing(4)]));
      const userId = freshId("acc");
      const first = seatsWish(eventId, ["A-A-1", "A-A-2"], { userId });
      const held = await idle.seats.hold(first);
      await idle.seats.hold(quantityWish(eventId, "FLOOR", 2, { userId }));
      await sleep(3_700);
      const next = seatsWish(eventId, ["A-A-2", "A-A-3"], { userId });
      const nextHeld = await idle.seats.hold(next);
      await expectRefusal(idle.seats.claimSeats(claimOf(first, held)), "HOLD_EXPIRED");
      expect(await idle.seats.releaseHold(releaseOf(first, held))).toEqual({ released: 1 });
      expect(await idle.seats.hold(next)).toEqual(nextHeld);
      expect((await idle.seats.hold(quantityWish(eventId, "FLOOR", 4))).seats).toHaveLength(4);
      expect(await countsOf(idle, eventId)).toEqual({ sectionId: "A", free: 2, held: 2, sold: 0, blocked: 0 });
    } finally {
      await idle.stop();
    }
  });

  test("a claim that is under way keeps its seats for the time it needs", async () => {
    const eventId = await publishEvent(hasty, newEvent());
    const { claim } = await heldBy(hasty, eventId, ["A-A-1"]);
    await hasty.seats.claimSeats(claim);
    await sleep(lapse);
    await expectRefusal(hasty.seats.hold(seatsWish(eventId, ["A-A-1"])), "SEAT_TAKEN");
  });
});

describe("MongoDB decides", () => {
  /** Gives a seat to another checkout in Valkey, as a failover that forgot the first hold would. */
  async function forgetHold(eventId: string, userId: string, index: number) {
    const { redis } = inventory;
    await redis.setrange(`{${eventId}}:1:r:A`, index * 16, Buffer.alloc(16) as unknown as string);
    await redis.hdel(`{${eventId}}:1:u`, personOf(userId));
  }

  test("between two checkouts that Valkey both let pass: exactly one gets the seat", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    for (let seat = 1; seat <= 8; seat++) {
      const first = await heldBy(inventory, eventId, [`A-A-${seat}`]);
      const claiming = inventory.seats.claimSeats(first.claim);
      claiming.catch(() => undefined); // it may be refused before it is waited for
      await forgetHold(eventId, first.wish.userId, seat - 1);
      const second = heldBy(inventory, eventId, [`A-A-${seat}`]).then(({ claim }) => inventory.seats.claimSeats(claim));
      const outcomes = await Promise.allSettled([claiming, second]);
      expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
      const claims = await claimsIn(inventory, eventId);
      expect(claims.filter(({ seatId }) => seatId === `A-A-${seat}`)).toHaveLength(1);
    }
  });

  test("all or none, however many claims of overlapping seats arrive at once", async () => {
    const { MONGODB_URI: uri, MONGODB_DATABASE: database } = inventory.context.config;
    const store = openStore({ uri, database });
    const eventId = freshId("evt");
    const wishes = Array.from({ length: 12 }, (_, at) => {
      const checkoutId = freshId("chk");
      const seats = [0, 1, 2].map((more) => ({
        seatId: `A-A-${1 + ((at * 2 + more) % 9)}`,
        sectionId: "A",
        amount: 100,
      }));
      return { eventId, checkoutId, holdId: holdIdFor(checkoutId), userId: "acc_x", seats };
    });
    const outcomes = await Promise.all(wishes.map((wish) => store.claims.claim(wish)));
    await store.close();
    const claims = await claimsIn(inventory, eventId);
    for (const [at, outcome] of outcomes.entries()) {
      const own = claims.filter(({ checkoutId }) => checkoutId === wishes[at]?.checkoutId);
      expect(own).toHaveLength(outcome.kind === "claimed" ? 3 : 0);
      if (outcome.kind === "taken") expect(outcome.owners.length).toBeGreaterThan(0);
    }
    expect(claims.length).toBeGreaterThan(0);
  });

  test("when Valkey has lost a sale: the second buyer is refused, and the seat is shown sold again", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const owner = await heldBy(inventory, eventId, ["A-A-1", "A-A-2"]);
    await inventory.seats.claimSeats(owner.claim);
    await forgetHold(eventId, owner.wish.userId, 1);
    const second = await heldBy(inventory, eventId, ["A-A-2", "A-A-3"]);
    const refused = await expectRefusal(inventory.seats.claimSeats(second.claim), "SEAT_TAKEN");
    expect(refused.details).toEqual({ seats: ["A-A-2"] });
    expect(await claimsIn(inventory, eventId)).toHaveLength(2);
    await inventory.seats.releaseHold(releaseOf(second.wish, second.held));
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-2"])), "SEAT_TAKEN");
    expect(await entriesOf(inventory, eventId, 1, owner.claim.userId)).toMatchObject([
      { holdId: owner.claim.holdId, seats: 2, expiresAtMs: 0 },
    ]);
    expect(await entriesOf(inventory, eventId, 1, second.claim.userId)).toEqual([]);
  });

  test("also when Valkey says that one's own claim is over: a retry finds what the first try has written", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const { claim } = await heldBy(inventory, eventId, ["A-A-1"]);
    await inventory.seats.claimSeats(claim);
    await forgetHold(eventId, claim.checkoutId, 0);
    expect(await inventory.seats.claimSeats(claim)).toEqual({ fresh: false });
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-1"])), "SEAT_TAKEN");
  });
});

describe("giving claims back", () => {
  test("frees the seats for others, once, and ends the checkout", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const { claim, wish } = await heldBy(inventory, eventId, ["A-A-1", "A-A-2"]);
    await inventory.seats.claimSeats(claim);
    const { checkoutId, userId } = claim;
    expect(await inventory.seats.releaseClaims({ eventId, checkoutId, userId, seatIds: [] })).toEqual({ released: 2 });
    expect(await inventory.seats.releaseClaims({ eventId, checkoutId, userId, seatIds: [] })).toEqual({ released: 0 });
    const other = await heldBy(inventory, eventId, ["A-A-1", "A-A-2"]);
    expect(await inventory.seats.releaseClaims({ eventId, checkoutId, userId, seatIds: claim.seatIds })).toEqual({
      released: 0,
    });
    expect(await inventory.seats.claimSeats(other.claim)).toEqual({ fresh: true });
    expect(await inventory.seats.releaseClaims({ eventId, checkoutId, userId, seatIds: [] })).toEqual({ released: 0 });
    await expectRefusal(inventory.seats.hold(wish), "HOLD_EXPIRED");
    await expectRefusal(inventory.seats.claimSeats(claim), "HOLD_EXPIRED");
    expect(await claimsIn(inventory, eventId)).toHaveLength(2);
  });

  test("of some seats leaves the others", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const { claim } = await heldBy(inventory, eventId, ["A-A-1", "A-A-2", "A-A-3"]);
    await inventory.seats.claimSeats(claim);
    const { checkoutId, userId } = claim;
    expect(await inventory.seats.releaseClaims({ eventId, checkoutId, userId, seatIds: ["A-A-2"] })).toEqual({
      released: 1,
    });
    expect((await claimsIn(inventory, eventId)).map(({ seatId }) => seatId).sort()).toEqual(["A-A-1", "A-A-3"]);
    await heldBy(inventory, eventId, ["A-A-2"]);
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-3"])), "SEAT_TAKEN");
    // The refunded seat does not come back by a retry of the old claim.
    await expectRefusal(inventory.seats.claimSeats(claim), "SEAT_TAKEN");
  });

  test("before the claim arrives makes the claim fail, so that no seat stays sold to nobody", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const { claim } = await heldBy(inventory, eventId, ["A-A-1"]);
    const { checkoutId, userId } = claim;
    expect(await inventory.seats.releaseClaims({ eventId, checkoutId, userId, seatIds: ["A-A-1"] })).toEqual({
      released: 0,
    });
    await expectRefusal(inventory.seats.claimSeats(claim), "HOLD_EXPIRED");
    await heldBy(inventory, eventId, ["A-A-1"]);
  });

  test("at the same time as the claim leaves no seat claimed or shown sold", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const seatIds = Array.from({ length: 10 }, (_, at) => `A-A-${at + 1}`);
    const all = await Promise.all(seatIds.map((seat) => heldBy(inventory, eventId, [seat])));
    await Promise.allSettled(
      all.flatMap(({ claim: { checkoutId, userId, seatIds: own }, claim }) => [
        inventory.seats.claimSeats(claim),
        inventory.seats.releaseClaims({ eventId, checkoutId, userId, seatIds: own }),
      ]),
    );
    expect(await claimsIn(inventory, eventId)).toEqual([]);
    await eventually(async () =>
      expect(await countsOf(inventory, eventId)).toMatchObject({ free: 50, held: 0, sold: 0 }),
    );
  });

  test("is decided in MongoDB too: a claim that was on its way meets the release, whichever comes first", async () => {
    const { MONGODB_URI: uri, MONGODB_DATABASE: database } = inventory.context.config;
    const store = openStore({ uri, database });
    const eventId = freshId("evt");
    const wish = (seat: number) => {
      const checkoutId = freshId("chk");
      const seats = [{ seatId: `A-A-${seat}`, sectionId: "A", amount: 100 }];
      return { eventId, checkoutId, holdId: holdIdFor(checkoutId), userId: "acc_x", seats };
    };
    const late = wish(1);
    expect(await store.claims.release(eventId, late.checkoutId, ["A-A-1"])).toMatchObject({ released: 0, all: true });
    expect(await store.claims.claim(late)).toEqual({ kind: "released" });
    await Promise.all(
      Array.from({ length: 10 }, (_, at) => wish(at + 1)).flatMap((one) => [
        store.claims.claim(one),
        store.claims.release(
          eventId,
          one.checkoutId,
          one.seats.map(({ seatId }) => seatId),
        ),
      ]),
    );
    expect(await claimsIn(inventory, eventId)).toEqual([]);
    await store.close();
  });

  test("refuses nonsense", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const wish = { eventId, checkoutId: freshId("chk"), userId: "acc_x", seatIds: [] as string[] };
    await expectRefusal(inventory.seats.releaseClaims({ ...wish, checkoutId: "" }), "REQUEST_INVALID");
    await expectRefusal(inventory.seats.releaseClaims({ ...wish, userId: "a b" }), "REQUEST_INVALID");
    await expectRefusal(inventory.seats.releaseClaims({ ...wish, seatIds: ["nope"] }), "SEAT_UNKNOWN");
    await expectRefusal(inventory.seats.releaseClaims({ ...wish, eventId: "nope" }), "EVENT_NOT_FOUND");
    expect(await inventory.seats.releaseClaims(wish)).toEqual({ released: 0 });
  });
});

describe.concurrent("the faults of the project that this one was learnt from", () => {
  test("a hold is as long as it says: its seats are not given away after 5 seconds, nor at any time before its deadline", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const { wish, held, claim } = await heldBy(inventory, eventId, ["A-A-1"]);
    const record = await inventory.redis.getrangeBuffer(`{${eventId}}:1:r:A`, 0, 15);
    const keptUntilMs = record.readUIntBE(2, 6);
    expect(held.deadlineMs - Date.now()).toBeGreaterThan(295_000);
    expect(keptUntilMs).toBe(held.deadlineMs + 120_000);
    expect(await entriesOf(inventory, eventId, 1, wish.userId)).toMatchObject([{ expiresAtMs: keptUntilMs }]);
    expect(await inventory.redis.pttl(`{${eventId}}:1:u`)).toBe(-1);
    await sleep(5_500);
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-1"])), "SEAT_TAKEN");
    expect(await inventory.seats.claimSeats(claim)).toEqual({ fresh: true });
  });

  test("a sold seat can't be reserved again, by anybody, also long after the hold would have expired", async () => {
    const eventId = await publishEvent(hasty, newEvent());
    const { wish, claim } = await heldBy(hasty, eventId, ["A-A-1"]);
    await hasty.seats.claimSeats(claim);
    await sleep(lapse);
    await expectRefusal(hasty.seats.hold(seatsWish(eventId, ["A-A-1"])), "SEAT_TAKEN");
    await expectRefusal(hasty.seats.hold(seatsWish(eventId, ["A-A-1"], { userId: wish.userId })), "SEAT_TAKEN");
    expect((await hasty.seats.hold(wish)).holdId).toBe(claim.holdId);
    expect(await claimsIn(hasty, eventId)).toHaveLength(1);
  });

  test("nothing that says what is sold has a time to live", async () => {
    const eventId = await publishEvent(hasty, newEvent());
    const { claim } = await heldBy(hasty, eventId, ["A-A-1", "A-A-2"]);
    await hasty.seats.claimSeats(claim);
    const { redis } = hasty;
    for (const key of [`{${eventId}}:epoch`, `{${eventId}}:1:r:A`, `{${eventId}}:1:m:A`, `{${eventId}}:1:u`])
      expect(await redis.pttl(key), key).toBe(-1);
    const { states } = await hasty.seats.getSeatStates({ eventId });
    expect((states[0] ?? 0) & 0b1111).toBe(0b1010);
  });
});
