// Holding seats: all or none, one winner, one answer to a retry, limits, expiry.
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import {
  claimOf,
  claimsIn,
  expectRefusal,
  freshId,
  hall,
  hallSeats,
  type Inventory,
  newEvent,
  publishEvent,
  quantityWish,
  refusalOf,
  releaseOf,
  seatsWish,
  standing,
  startForTest,
} from "./inventory.js";

let inventory: Inventory;
beforeAll(async () => {
  inventory = await startForTest(inject("backing"));
});
afterAll(() => inventory?.stop());

const hold = (wish: Parameters<Inventory["seats"]["hold"]>[0]) => inventory.seats.hold(wish);

describe("a hold", () => {
  test("answers with the seats, their price, the deadline and the event", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const before = Date.now();
    const held = await hold(seatsWish(eventId, ["A-B-3", "A-B-2"]));
    expect(held.holdId).toMatch(/^[0-9a-f]{16}$/);
    expect(held.epoch).toBe(1);
    expect(held.deadlineMs).toBeGreaterThan(before + 299_000);
    expect(held.deadlineMs).toBeLessThan(Date.now() + 301_000);
    expect(held).toMatchObject({
      amount: 9900,
      currency: "EUR",
      eventName: "The Night Ferry",
      venueName: "Große Freiheit",
      city: "Hamburg",
      timeZone: "Europe/Berlin",
      seats: [
        { seatId: "A-B-2", sectionId: "A", row: "B", number: "2", tierId: "standard", amount: 4950 },
        { seatId: "A-B-3", sectionId: "A", row: "B", number: "3", tierId: "standard", amount: 4950 },
      ],
    });
  });

  test("takes all of the seats, over rows and sections, or none", async () => {
    const eventId = await publishEvent(
      inventory,
      newEvent({}, [hall(2, 4), hall(2, 4, { sectionId: "B2" }), hall(1, 4, { sectionId: "C" })]),
    );
    await hold(seatsWish(eventId, ["B2-A-2"]));
    const refused = await expectRefusal(hold(seatsWish(eventId, ["A-A-1", "C-A-4", "B2-A-2", "B2-B-1"])), "SEAT_TAKEN");
    expect(refused.details).toEqual({ seats: ["B2-A-2"] });
    const held = await hold(seatsWish(eventId, ["A-A-1", "C-A-4", "B2-B-1"]));
    expect(held.seats.map(({ seatId }) => seatId)).toEqual(["A-A-1", "B2-B-1", "C-A-4"]);
    expect((await expectRefusal(hold(seatsWish(eventId, ["A-A-1", "C-A-4", "C-A-1"])), "SEAT_TAKEN")).details).toEqual({
      seats: ["A-A-1", "C-A-4"],
    });
  });

  test("has 50 winners when 200 want 50 seats, and tells the others which seat is gone", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const seats = hallSeats(5, 10);
    const wishes = Array.from({ length: 200 }, (_, at) => seatsWish(eventId, [seats[at % 50] as string]));
    const outcomes = await Promise.allSettled(wishes.map(hold));
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(50);
    for (const [at, outcome] of outcomes.entries())
      if (outcome.status === "rejected")
        expect(outcome.reason).toMatchObject({ code: "SEAT_TAKEN", details: { seats: [seats[at % 50]] } });
    const { sections } = await inventory.seats.getAvailability({ eventId });
    expect(sections).toEqual([{ sectionId: "A", free: 0, held: 50, sold: 0, blocked: 0 }]);
  });

  test("is all or none under contention for overlapping seats", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 20)]));
    const wishes = Array.from({ length: 120 }, (_, at) => {
      const first = 1 + ((at * 7) % 16);
      return seatsWish(
        eventId,
        [0, 1, 3, 4].map((more) => `A-A-${first + more}`),
      );
    });
    const outcomes = await Promise.allSettled(wishes.map(hold));
    const owned = outcomes.flatMap((outcome) =>
      outcome.status === "fulfilled" ? outcome.value.seats.map(({ seatId }) => seatId) : [],
    );
    expect(owned.length % 4).toBe(0);
    expect(owned.length).toBeGreaterThan(0);
    expect(new Set(owned).size).toBe(owned.length);
    const { sections } = await inventory.seats.getAvailability({ eventId });
    expect(sections[0]).toMatchObject({ held: owned.length, free: 20 - owned.length });
  });

  test("again with the same checkout gives the same answer, also at the same time", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const wish = seatsWish(eventId, ["A-C-5", "A-C-6"]);
    const [first, ...others] = await Promise.all(Array.from({ length: 10 }, () => hold(wish)));
    for (const other of others) expect(other).toEqual(first);
    expect(await hold(wish)).toEqual(first);
    const { sections } = await inventory.seats.getAvailability({ eventId });
    expect(sections[0]?.held).toBe(2);
  });

  test("with the same checkout for other seats or another person is refused", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const wish = seatsWish(eventId, ["A-A-1"]);
    await hold(wish);
    await expectRefusal(hold({ ...wish, userId: freshId("acc") }), "IDEMPOTENCY_KEY_REUSED");
    await expectRefusal(hold(seatsWish(eventId, ["A-A-2"], wish)), "IDEMPOTENCY_KEY_REUSED");
    await expectRefusal(hold(quantityWish(eventId, "A", 2, wish)), "IDEMPOTENCY_KEY_REUSED");
  });

  test("refuses seats that don't exist, and nonsense", async () => {
    const eventId = await publishEvent(
      inventory,
      newEvent({}, [
        hall(5, 10, {
          rows: [{ label: "A", firstSeat: 5, seatCount: 6, gaps: [7], blocked: [10], accessible: [], companion: [] }],
        }),
        standing(5),
      ]),
    );
    const refused = await expectRefusal(hold(seatsWish(eventId, ["A-A-5", "A-A-7", "A-B-1", "X-A-5"])), "SEAT_UNKNOWN");
    expect(refused.details).toEqual({ seats: ["A-A-7", "A-B-1", "X-A-5"] });
    for (const seat of [
      "A-A-4",
      "A-A-11",
      "A-A-05",
      "A-A-5 ",
      "a-A-5",
      "A-A-5\u0000",
      "",
      "--",
      "A-A--1",
      "A-A-99999999",
    ])
      await expectRefusal(hold(seatsWish(eventId, [seat])), "SEAT_UNKNOWN");
    expect((await expectRefusal(hold(seatsWish(eventId, ["A-A-10"])), "SEAT_TAKEN")).details).toEqual({
      seats: ["A-A-10"],
    });
    await expectRefusal(hold(seatsWish(eventId, [])), "REQUEST_INVALID");
    await expectRefusal(hold(seatsWish(eventId, ["A-A-5", "A-A-5"])), "REQUEST_INVALID");
    await expectRefusal(
      hold(
        seatsWish(
          eventId,
          Array.from({ length: 1000 }, (_, at) => `A-A-${at + 1}`),
        ),
      ),
      "REQUEST_INVALID",
    );
    await expectRefusal(hold(seatsWish(eventId, ["FLOOR-GA-1"])), "REQUEST_INVALID");
    await expectRefusal(hold({ ...seatsWish(eventId, []), selection: undefined }), "REQUEST_INVALID");
    for (const userId of ["", "a|b", "x".repeat(65), "a\u0000"])
      await expectRefusal(hold(seatsWish(eventId, ["A-A-5"], { userId })), "REQUEST_INVALID");
    await expectRefusal(hold(seatsWish(eventId, ["A-A-5"], { checkoutId: "a b" })), "REQUEST_INVALID");
    for (const quantity of [0, -1, 101, 2_000_000_000])
      await expectRefusal(hold(quantityWish(eventId, "A", quantity)), "REQUEST_INVALID");
    await expectRefusal(hold(quantityWish(eventId, "NOSUCH", 2)), "SECTION_UNKNOWN");
    await expectRefusal(hold(seatsWish("evt_nosuch", ["A-A-5"])), "EVENT_NOT_FOUND");
    await expectRefusal(hold(seatsWish("{x}:epoch\u0000", ["A-A-5"])), "EVENT_NOT_FOUND");
    const { sections } = await inventory.seats.getAvailability({ eventId });
    expect(sections[0]).toEqual({ sectionId: "A", free: 4, held: 0, sold: 0, blocked: 1 });
  });

  test("is refused for a draft, before the sale and after it", async () => {
    const draft = newEvent();
    await inventory.catalog.createEvent(draft);
    await expectRefusal(hold(seatsWish(draft.event?.eventId ?? "", ["A-A-1"])), "EVENT_NOT_FOUND");
    const onSaleAtMs = Date.now() + 3_600_000;
    const early = await publishEvent(inventory, newEvent({ onSaleAtMs }));
    expect((await expectRefusal(hold(seatsWish(early, ["A-A-1"])), "SALE_NOT_OPEN")).details).toEqual({
      onSaleAt: new Date(onSaleAtMs).toISOString(),
    });
    await expectRefusal(hold(quantityWish(early, "A", 2)), "SALE_NOT_OPEN");
    const over = await publishEvent(inventory, newEvent({ offSaleAtMs: Date.now() - 1000 }));
    await expectRefusal(hold(seatsWish(over, ["A-A-1"])), "SALE_ENDED");
    await expectRefusal(hold(quantityWish(over, "A", 1)), "SALE_ENDED");
  });
});

describe("the limit of seats a person", () => {
  test("counts all holds and claims of the person, and no one else's", async () => {
    const eventId = await publishEvent(inventory, newEvent({ seatsPerPerson: 4 }));
    const userId = freshId("acc");
    const two = seatsWish(eventId, ["A-A-1", "A-A-2"], { userId });
    await inventory.seats.claimSeats(claimOf(two, await hold(two)));
    const one = seatsWish(eventId, ["A-A-3"], { userId });
    const held = await hold(one);
    const refused = await expectRefusal(
      hold(seatsWish(eventId, ["A-A-4", "A-A-5"], { userId })),
      "SEAT_LIMIT_EXCEEDED",
    );
    expect(refused.details).toEqual({ limit: 4, has: 3 });
    await hold(seatsWish(eventId, ["A-A-4", "A-A-5"]));
    await inventory.seats.releaseHold(releaseOf(one, held));
    await hold(seatsWish(eventId, ["A-A-6", "A-A-7"], { userId }));
    await inventory.seats.releaseClaims({ eventId, checkoutId: two.checkoutId, userId, seatIds: ["A-A-1"] });
    await expectRefusal(hold(seatsWish(eventId, ["A-A-8", "A-A-9"], { userId })), "SEAT_LIMIT_EXCEEDED");
    await hold(seatsWish(eventId, ["A-A-1"], { userId }));
    await expectRefusal(hold(seatsWish(eventId, hallSeats(1, 5), {})), "SEAT_LIMIT_EXCEEDED");
  });

  test("holds when one person asks many times at once", async () => {
    const eventId = await publishEvent(inventory, newEvent({ seatsPerPerson: 6 }, [hall(5, 10), standing(100)]));
    const userId = freshId("acc");
    const wishes = hallSeats(4, 10).map((seat, at) =>
      at % 2 === 0 ? seatsWish(eventId, [seat], { userId }) : quantityWish(eventId, "FLOOR", 2, { userId }),
    );
    const outcomes = await Promise.allSettled(wishes.map(hold));
    const owned = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? outcome.value.seats : []));
    expect(owned).toHaveLength(6);
    for (const outcome of outcomes)
      if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "SEAT_LIMIT_EXCEEDED" });
  });
});

describe("letting go", () => {
  test("frees the seats, once; again is fine, and the checkout can't take them again", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const wish = seatsWish(eventId, ["A-A-1", "A-A-2"]);
    const release = releaseOf(wish, await hold(wish));
    expect(await inventory.seats.releaseHold(release)).toEqual({ released: 2 });
    expect(await inventory.seats.releaseHold(release)).toEqual({ released: 0 });
    await expectRefusal(hold(wish), "HOLD_EXPIRED");
    const other = seatsWish(eventId, ["A-A-1", "A-A-2"]);
    const held = await hold(other);
    expect(await inventory.seats.releaseHold(release)).toEqual({ released: 0 });
    expect(await hold(other)).toEqual(held);
    expect(await inventory.seats.releaseHold({ ...releaseOf(other, held), seatIds: [] })).toEqual({ released: 2 });
  });

  test("is refused with a hold id that is not the checkout's", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const wish = seatsWish(eventId, ["A-A-1"]);
    const release = releaseOf(wish, await hold(wish));
    await expectRefusal(inventory.seats.releaseHold({ ...release, checkoutId: freshId("chk") }), "REQUEST_INVALID");
    await expectRefusal(inventory.seats.releaseHold({ ...release, holdId: "zz" }), "REQUEST_INVALID");
  });

  test("does nothing to seats that are sold", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const wish = seatsWish(eventId, ["A-A-1"]);
    const held = await hold(wish);
    await inventory.seats.claimSeats(claimOf(wish, held));
    expect(await inventory.seats.releaseHold(releaseOf(wish, held))).toEqual({ released: 0 });
    await expectRefusal(hold(seatsWish(eventId, ["A-A-1"])), "SEAT_TAKEN");
    expect(await claimsIn(inventory, eventId)).toHaveLength(1);
  });
});

describe("seats side by side", () => {
  test("are in one row, and every one is sold in the end when a crowd wants pairs", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(5, 10)]));
    const outcomes = await Promise.allSettled(Array.from({ length: 60 }, () => hold(quantityWish(eventId, "A", 2))));
    const won = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
    for (const { seats } of won) {
      expect(seats[0]?.row).toBe(seats[1]?.row);
      expect(Number(seats[1]?.number) - Number(seats[0]?.number)).toBe(1);
    }
    const all = won.flatMap(({ seats }) => seats.map(({ seatId }) => seatId));
    expect(new Set(all).size).toBe(all.length);
    for (const outcome of outcomes)
      if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "NOT_ENOUGH_SEATS" });
    // Whoever comes after the crowd gets what it left, until no two seats lie side by side.
    for (;;) {
      const more = await hold(quantityWish(eventId, "A", 2)).catch(() => undefined);
      if (!more) break;
      all.push(...more.seats.map(({ seatId }) => seatId));
    }
    await expectRefusal(hold(quantityWish(eventId, "A", 2)), "NOT_ENOUGH_SEATS");
    const { states } = await inventory.seats.getSeatStates({ eventId });
    const free = hallSeats(5, 10).map((_, at) => ((states[at >> 2] ?? 0) >> ((at & 3) * 2)) & 3);
    for (let at = 0; at < 50; at++) if (at % 10 > 0) expect(free[at] === 0 && free[at - 1] === 0).toBe(false);
  });

  test("again with the same checkout are the same seats, also when they were the last", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(1, 3)]));
    const wish = quantityWish(eventId, "A", 3);
    const held = await hold(wish);
    expect(await hold(wish)).toEqual(held);
    await inventory.seats.releaseHold(releaseOf(wish, held));
    await expectRefusal(hold(wish), "HOLD_EXPIRED");
    await expectRefusal(hold(quantityWish(eventId, "A", 4)), "NOT_ENOUGH_SEATS");
  });
});

describe("general admission", () => {
  test("never gives out more places than there are, whoever asks at the same time", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [standing(50), hall(1, 4)]));
    const outcomes = await Promise.allSettled(
      Array.from({ length: 60 }, (_, at) => hold(quantityWish(eventId, "FLOOR", 1 + (at % 3)))),
    );
    const places = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? outcome.value.seats : []));
    expect(new Set(places.map(({ seatId }) => seatId)).size).toBe(places.length);
    expect(places).toHaveLength(50);
    expect(places[0]).toMatchObject({ sectionId: "FLOOR", row: "" });
    for (const outcome of outcomes)
      if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "NOT_ENOUGH_SEATS" });
    // Its places are counted, and are not in the seat map.
    const { sections } = await inventory.seats.getAvailability({ eventId });
    expect(sections[0]).toEqual({ sectionId: "FLOOR", free: 0, held: 50, sold: 0, blocked: 0 });
    expect(await inventory.seats.getSeatStates({ eventId })).toMatchObject({ seatCount: 4 });
  });

  test("gives returned places out again, and a retry the same ones", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [standing(10)]));
    const wishes = [3, 4, 3].map((quantity) => quantityWish(eventId, "FLOOR", quantity));
    const held = await Promise.all(wishes.map(hold));
    await expectRefusal(hold(quantityWish(eventId, "FLOOR", 1)), "NOT_ENOUGH_SEATS");
    const [, middle] = wishes;
    const [, middleHold] = held;
    if (!middle || !middleHold) throw new Error("three were asked for");
    expect(await hold(middle)).toEqual(middleHold);
    await inventory.seats.releaseHold(releaseOf(middle, middleHold));
    expect((await refusalOf(hold(quantityWish(eventId, "FLOOR", 5)))).details).toMatchObject({ free: 4 });
    const claimed = quantityWish(eventId, "FLOOR", 4);
    const again = await hold(claimed);
    expect(again.seats.map(({ seatId }) => seatId).sort()).toEqual(middleHold.seats.map(({ seatId }) => seatId).sort());
    await inventory.seats.claimSeats(claimOf(claimed, again));
    await inventory.seats.releaseClaims({ ...claimOf(claimed, again), seatIds: [] });
    expect((await hold(quantityWish(eventId, "FLOOR", 4))).seats).toHaveLength(4);
  });
});

test("the metrics tell how holds ended", async () => {
  const eventId = await publishEvent(inventory, newEvent());
  await hold(seatsWish(eventId, ["A-A-1"]));
  await expectRefusal(hold(seatsWish(eventId, ["A-A-1"])), "SEAT_TAKEN");
  const text = await inventory.context.metrics.registry.metrics();
  expect(text).toMatch(/onsale_holds_total{outcome="held",service="inventory"} [1-9]/);
  expect(text).toMatch(/onsale_holds_total{outcome="SEAT_TAKEN",service="inventory"} [1-9]/);
  expect(text).toMatch(/onsale_hold_script_seconds_count{service="inventory"} [1-9]/);
  expect(text).toMatch(/onsale_seat_rebuilds_total{outcome="opened",service="inventory"} [1-9]/);
});
