// Buying the way people do, on the real stores: the best seats for a crowd, groups, accessible seats, orphans, layouts that changed.
import { OrphanRule, type Section } from "@onsale/proto/inventory/v1/catalog";
import type { BestAvailable, HoldRequest, HoldResponse } from "@onsale/proto/inventory/v1/seats";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import {
  expectRefusal,
  freshId,
  hall,
  type Inventory,
  newEvent,
  publishEvent,
  quantityWish,
  releaseOf,
  rowName,
  seatsWish,
  standing,
  startForTest,
} from "./inventory.js";

let inventory: Inventory;
let other: Inventory;
beforeAll(async () => {
  inventory = await startForTest(inject("backing"));
  other = await startForTest(inject("backing"), {}, inventory.database);
});
afterAll(() => Promise.all([inventory?.stop(), other?.stop()]));

const hold = (wish: HoldRequest) => inventory.seats.hold(wish);
const idsOf = ({ seats }: HoldResponse) => seats.map(({ seatId }) => seatId);

function bestWish(eventId: string, best: Partial<BestAvailable>, who: { checkoutId?: string; userId?: string } = {}) {
  const value = { quantity: 1, sectionIds: [], accessible: 0, companions: 0, split: false, ...best };
  return {
    checkoutId: who.checkoutId ?? freshId("chk"),
    userId: who.userId ?? freshId("acc"),
    eventId,
    selection: { $case: "bestAvailable", value },
  } satisfies HoldRequest;
}

/** Rows of these lengths. */
const rowsOf = (lengths: readonly number[], section: Partial<Section> = {}): Section => ({
  ...hall(0, 0, section),
  rows: lengths.map((seatCount, at) => ({
    label: rowName(at),
    firstSeat: 1,
    seatCount,
    gaps: [],
    blocked: [],
    accessible: [],
    companion: [],
  })),
});

describe("a crowd that asks for the best seats at once", () => {
  async function rush(services: readonly Inventory[], buyers: number, eventId: string, quantity: number) {
    // Each process has the same map, of before the rush.
    await Promise.all(services.map(({ seats }) => seats.getSeatStates({ eventId })));
    const scriptsBefore = await scriptCalls();
    const outcomes = await Promise.allSettled(
      Array.from({ length: buyers }, (_, at) =>
        (services[at % services.length] as Inventory).seats.hold(bestWish(eventId, { quantity })),
      ),
    );
    const calls = (await scriptCalls()) - scriptsBefore;
    const won = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
    const refused = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as unknown] : []));
    return { won, refused, calls };
  }

  /** Choices that were tried in Valkey. */
  async function scriptCalls(): Promise<number> {
    let sum = 0;
    for (const { context } of [inventory, other]) {
      const { values } = (await context.metrics.registry.getSingleMetric("onsale_seats_chosen_total")?.get()) ?? {};
      for (const { labels, value } of values ?? []) if (labels["outcome"] !== "nothing") sum += value;
    }
    return sum;
  }

  test("is served, no seat twice, and nearly nobody loses a race to another of the same process", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(30, 40)]));
    const { won, refused, calls } = await rush([inventory], 300, eventId, 2);
    expect(refused).toEqual([]);
    expect(won).toHaveLength(300);
    const all = won.flatMap(idsOf);
    expect(new Set(all).size).toBe(600);
    for (const { seats } of won) {
      expect(seats[0]?.row).toBe(seats[1]?.row);
      expect(Number(seats[1]?.number) - Number(seats[0]?.number)).toBe(1);
    }
    process.stdout.write(`300 buyers of pairs, one process: ${(calls / 300).toFixed(2)} script calls a hold\n`);
    expect(calls / 300).toBeLessThan(1.2);
    // No one sits alone in between: 600 of 1,200 are sold as pairs, and every row's free seats are in twos or more.
    const { states } = await inventory.seats.getSeatStates({ eventId });
    const free = Array.from({ length: 1200 }, (_, at) => (((states[at >> 2] ?? 0) >> ((at & 3) * 2)) & 3) === 0);
    const single = free.filter(
      (is, at) => is && !(at % 40 > 0 && free[at - 1]) && !(at % 40 < 39 && free[at + 1]),
    ).length;
    expect(single).toBe(0);
  });

  test("is served by two processes too, with few races lost", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(30, 40)]));
    const { won, refused, calls } = await rush([inventory, other], 300, eventId, 2);
    expect(refused).toEqual([]);
    expect(new Set(won.flatMap(idsOf)).size).toBe(600);
    process.stdout.write(`300 buyers of pairs, two processes: ${(calls / 300).toFixed(2)} script calls a hold\n`);
    expect(calls / 300).toBeLessThan(4);
  });

  test("that is larger than the house sells it out, and the others are told what there is", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(10, 20)]));
    const { won, refused } = await rush([inventory, other], 300, eventId, 2);
    const all = won.flatMap(idsOf);
    expect(new Set(all).size).toBe(all.length);
    expect(won.length + refused.length).toBe(300);
    for (const reason of refused) expect(reason).toMatchObject({ code: "NOT_ENOUGH_SEATS" });
    // Whoever comes after the crowd gets what it left, down to single seats.
    for (const quantity of [2, 1])
      for (;;) {
        const more = await hold(bestWish(eventId, { quantity })).catch(() => undefined);
        if (!more) break;
        all.push(...idsOf(more));
      }
    expect(all).toHaveLength(200);
    expect(new Set(all).size).toBe(200);
    const none = await expectRefusal(hold(bestWish(eventId, { quantity: 2 })), "NOT_ENOUGH_SEATS");
    expect(none.details).toEqual({ section: "A", free: 0, largestGroup: 0, splitWouldHelp: false });
  });
});

describe("the best seats", () => {
  const tiers = [
    { tierId: "standard", name: "Standard", amount: 5000 },
    { tierId: "balcony", name: "Balcony", amount: 3000 },
  ];
  const house = () => [
    hall(2, 10),
    hall(2, 10, { sectionId: "BAL", tierId: "balcony" }),
    hall(1, 10, { sectionId: "BOX", focalRow: "A", focalSeat: 10 }),
    standing(20),
  ];

  test("fit the price and the sections asked for", async () => {
    const eventId = await publishEvent(inventory, newEvent({ tiers }, house()));
    for (const [best, sectionId] of [
      [{ maxAmount: 3000 }, "BAL"],
      [{ minAmount: 3001, sectionIds: ["BAL", "A"] }, "A"],
      [{ sectionIds: ["BOX"] }, "BOX"],
    ] as const) {
      const held = await hold(
        bestWish(eventId, { ...best, quantity: 2, sectionIds: [...("sectionIds" in best ? best.sectionIds : [])] }),
      );
      expect(held.seats.map((seat) => seat.sectionId)).toEqual([sectionId, sectionId]);
    }
    expect(idsOf(await hold(bestWish(eventId, { quantity: 8, sectionIds: ["BAL"] })))).toHaveLength(8);
    const none = await expectRefusal(hold(bestWish(eventId, { minAmount: 9000 })), "NOT_ENOUGH_SEATS");
    expect(none.details).toEqual({ free: 0, largestGroup: 0, splitWouldHelp: false });
    expect(none.message).toMatch(/price/);
  });

  test("are near the section's focal point", async () => {
    const eventId = await publishEvent(
      inventory,
      newEvent({ seatsPerPerson: 10 }, [hall(9, 12, { focalRow: "E", focalSeat: 1 })]),
    );
    // In eighths of a row, as choices are: a row away is 8, a seat aside 2. At random it would be 28 in the mean.
    const away: number[] = [];
    for (let buyer = 0; buyer < 6; buyer++) {
      const [first] = (await hold(bestWish(eventId, { quantity: 2 }))).seats;
      expect(["C", "D", "E", "F", "G"]).toContain(first?.row);
      away.push(8 * Math.abs("ABCDEFGHI".indexOf(first?.row ?? "") - 4) + 2 * (Number(first?.number) - 1));
    }
    expect(away[0]).toBeLessThanOrEqual(16);
    // Of six, the last have few places left that leave no orphan.
    expect(away.reduce((sum, one) => sum + one, 0) / away.length).toBeLessThanOrEqual(18);
  });

  test("again with the same checkout are the same, also when they were the last, and other ones are refused", async () => {
    const eventId = await publishEvent(
      inventory,
      newEvent({ seatsPerPerson: 9 }, [hall(1, 4), hall(1, 5, { sectionId: "B" })]),
    );
    const wish = bestWish(eventId, { quantity: 9, split: true });
    const held = await hold(wish);
    expect(new Set(held.seats.map(({ sectionId }) => sectionId))).toEqual(new Set(["A", "B"]));
    expect(await hold(wish)).toEqual(held);
    expect(await other.seats.hold(wish)).toEqual(held);
    await expectRefusal(hold(bestWish(eventId, { quantity: 8, split: true }, wish)), "IDEMPOTENCY_KEY_REUSED");
    await expectRefusal(hold(bestWish(eventId, { quantity: 9, sectionIds: ["A"] }, wish)), "IDEMPOTENCY_KEY_REUSED");
    await expectRefusal(hold(bestWish(eventId, { quantity: 1 })), "NOT_ENOUGH_SEATS");
    await inventory.seats.releaseHold(releaseOf(wish, held));
    await expectRefusal(hold(wish), "HOLD_EXPIRED");
    expect(idsOf(await hold(bestWish(eventId, { quantity: 5 })))).toHaveLength(5);
  });

  test("are together or not at all, unless groups apart from each other are allowed: then all of them or none", async () => {
    const sections = [rowsOf([3, 2, 4]), rowsOf([2, 2], { sectionId: "B" })];
    const eventId = await publishEvent(inventory, newEvent({ seatsPerPerson: 20 }, sections));
    const refused = await expectRefusal(hold(bestWish(eventId, { quantity: 7 })), "NOT_ENOUGH_SEATS");
    expect(refused.details).toEqual({ free: 13, largestGroup: 4, splitWouldHelp: true });
    expect(refused.message).toMatch(/4.*split/);
    const held = await hold(bestWish(eventId, { quantity: 7, split: true }));
    expect(idsOf(held)).toEqual(["A-A-1", "A-A-2", "A-A-3", "A-C-1", "A-C-2", "A-C-3", "A-C-4"]);
    // No section has five by itself any more: over both of them.
    const over = await hold(bestWish(eventId, { quantity: 5, split: true }));
    expect(new Set(over.seats.map(({ sectionId }) => sectionId)).size).toBe(2);
    const late = await expectRefusal(hold(bestWish(eventId, { quantity: 2, split: true })), "NOT_ENOUGH_SEATS");
    expect(late.details).toEqual({ free: 1, largestGroup: 1, splitWouldHelp: false });
  });

  test("can't be asked for nonsensically", async () => {
    const eventId = await publishEvent(inventory, newEvent({ tiers }, house()));
    for (const best of [
      { quantity: 0 },
      { quantity: -1 },
      { quantity: 101 },
      { quantity: 2_000_000_000 },
      { quantity: 2, accessible: -1 },
      { quantity: 2, accessible: 3 },
      { quantity: 2, companions: 1 },
      { quantity: 8, accessible: 1, companions: 4 },
      { quantity: 3, accessible: 2, companions: 2 },
      { quantity: 2, minAmount: -1 },
      { quantity: 2, minAmount: 2, maxAmount: 1 },
      { quantity: 2, sectionIds: ["A", "FLOOR"] },
    ])
      await expectRefusal(hold(bestWish(eventId, best)), "REQUEST_INVALID");
    const general = await expectRefusal(hold(bestWish(eventId, { sectionIds: ["FLOOR"] })), "REQUEST_INVALID");
    expect(general.message).toMatch(/FLOOR.*section and quantity/);
    const unknown = await expectRefusal(hold(bestWish(eventId, { sectionIds: ["A", "X", "y z"] })), "SECTION_UNKNOWN");
    expect(unknown.details).toMatchObject({ sections: ["X", "y z"] });
    await expectRefusal(hold(bestWish(eventId, { quantity: 9 })), "SEAT_LIMIT_EXCEEDED");
    await expectRefusal(hold(bestWish("evt_nosuch", {})), "EVENT_NOT_FOUND");
    const onlyStanding = await publishEvent(inventory, newEvent({}, [standing(5)]));
    expect((await expectRefusal(hold(bestWish(onlyStanding, {})), "REQUEST_INVALID")).message).toMatch(
      /general admission/,
    );
    const { sections } = await inventory.seats.getAvailability({ eventId });
    expect(sections.every(({ held }) => held === 0)).toBe(true);
  });
});

describe("several sections in one checkout", () => {
  test("are held all or none, in one script; seats of another event are unknown", async () => {
    const sections = [hall(1, 4), hall(1, 4, { sectionId: "B" }), hall(1, 4, { sectionId: "C" })];
    const eventId = await publishEvent(inventory, newEvent({}, sections));
    const elsewhere = await publishEvent(inventory, newEvent({}, [hall(1, 4, { sectionId: "Z" })]));
    await hold(seatsWish(eventId, ["B-A-2"]));
    const wanted = ["A-A-1", "B-A-2", "C-A-1"];
    const refused = await expectRefusal(hold(seatsWish(eventId, wanted)), "SEAT_TAKEN");
    expect(refused.details).toEqual({ seats: ["B-A-2"] });
    expect((await expectRefusal(hold(seatsWish(eventId, ["A-A-1", "Z-A-1"])), "SEAT_UNKNOWN")).details).toEqual({
      seats: ["Z-A-1"],
    });
    const free = await inventory.seats.getAvailability({ eventId });
    expect(free.sections.map(({ held }) => held)).toEqual([0, 1, 0]);
    const mixed = seatsWish(eventId, ["C-A-1", "A-A-1", "B-A-3"]);
    expect(idsOf(await hold(mixed))).toEqual(["A-A-1", "B-A-3", "C-A-1"]);
    expect(idsOf(await hold(mixed))).toEqual(["A-A-1", "B-A-3", "C-A-1"]);
    expect(idsOf(await hold(seatsWish(elsewhere, ["Z-A-1"])))).toEqual(["Z-A-1"]);
    // Many at once for the same three sections: one winner, and nobody has a part.
    const race = await Promise.allSettled(
      Array.from({ length: 30 }, (_, at) =>
        (at % 2 ? inventory : other).seats.hold(seatsWish(eventId, ["A-A-3", "B-A-4", "C-A-3"])),
      ),
    );
    expect(race.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    await expect
      .poll(async () => (await inventory.seats.getAvailability({ eventId })).sections.map(({ held }) => held))
      .toEqual([2, 3, 2]);
  });
});

describe("a layout that the buyer has seen", () => {
  test("must be the event's present one, if it is named", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const { event } = await inventory.catalog.getEvent({ eventId, viewerId: "" });
    const layoutVersion = event?.layoutVersion ?? "";
    for (const wish of [seatsWish(eventId, ["A-A-1"]), quantityWish(eventId, "A", 1), bestWish(eventId, {})]) {
      const refused = await expectRefusal(hold({ ...wish, layoutVersion: "0000000000000000" }), "LAYOUT_CHANGED");
      expect(refused.details).toEqual({ layoutVersion });
      expect((await hold({ ...wish, layoutVersion })).seats).toHaveLength(1);
    }
  });
});

describe("orphans", () => {
  const pick = (eventId: string, ...seatIds: string[]) => hold(seatsWish(eventId, seatIds));

  test("are refused where the event is strict and they could be avoided, with what to take instead", async () => {
    const eventId = await publishEvent(inventory, newEvent({ orphanRule: OrphanRule.STRICT }, [hall(2, 7)]));
    const refused = await expectRefusal(pick(eventId, "A-A-2", "A-A-3", "A-B-1"), "SEAT_ORPHANED");
    expect(refused.details).toEqual({ orphans: ["A-A-1"], alternative: ["A-A-1", "A-A-2", "A-B-1"] });
    expect(refused.message).toMatch(/A-A-1 .*A-A-2/);
    const wish = seatsWish(eventId, refused.details["alternative"] as string[]);
    const held = await hold(wish);
    expect(await hold(wish)).toEqual(held); // by now they are not free, but its own
    await expectRefusal(pick(eventId, "A-A-4"), "SEAT_ORPHANED");
    await pick(eventId, "A-A-3", "A-A-4", "A-A-5", "A-A-6"); // of five, four leave one whichever they are
    await expectRefusal(pick(eventId, "A-A-3"), "SEAT_TAKEN");
    await pick(eventId, "A-A-7");
  });

  test("are avoided by the service in strict and lenient events; there, hands are free", async () => {
    for (const orphanRule of [OrphanRule.LENIENT, OrphanRule.OFF]) {
      const eventId = await publishEvent(inventory, newEvent({ orphanRule }, [hall(1, 7)]));
      await pick(eventId, "A-A-2", "A-A-4");
      if (orphanRule === OrphanRule.LENIENT)
        expect(idsOf(await hold(bestWish(eventId, { quantity: 3 })))).toEqual(["A-A-5", "A-A-6", "A-A-7"]);
    }
    const eventId = await publishEvent(inventory, newEvent({ orphanRule: OrphanRule.STRICT }, [hall(3, 4)]));
    for (let pairs = 0; pairs < 6; pairs++) {
      const [first] = (await hold(bestWish(eventId, { quantity: 2 }))).seats;
      expect(["1", "3"]).toContain(first?.number);
    }
  });
});

describe("accessible seats", () => {
  const rooms = { gaps: [], blocked: [], accessible: [1, 8], companion: [2, 3] };
  const withRoom = (event: Parameters<typeof newEvent>[0] = {}) =>
    publishEvent(
      inventory,
      newEvent(event, [{ ...hall(1, 8), rows: [{ label: "A", firstSeat: 1, seatCount: 8, ...rooms }] }]),
    );

  test("are only for who asks for them, while they are kept", async () => {
    const eventId = await withRoom();
    for (const seats of [["A-A-1"], ["A-A-2"], ["A-A-4", "A-A-8"]]) {
      const refused = await expectRefusal(hold(seatsWish(eventId, seats)), "SEAT_ACCESSIBLE");
      expect(refused.details).toEqual({ seats: seats.slice(-1) });
      expect(refused.message).toMatch(/accessible/);
    }
    const none = await expectRefusal(hold(bestWish(eventId, { quantity: 5 })), "NOT_ENOUGH_SEATS");
    expect(none.details).toEqual({ section: "A", free: 4, largestGroup: 4, splitWouldHelp: false });
    await expectRefusal(hold(quantityWish(eventId, "A", 5)), "NOT_ENOUGH_SEATS");
    const wish = bestWish(eventId, { quantity: 3, accessible: 1, companions: 2 });
    expect(idsOf(await hold(wish))).toEqual(["A-A-1", "A-A-2", "A-A-3"]);
    expect(idsOf(await hold(wish))).toEqual(["A-A-1", "A-A-2", "A-A-3"]);
    const more = await expectRefusal(hold(bestWish(eventId, { quantity: 2, accessible: 2 })), "NOT_ENOUGH_SEATS");
    expect(more.details).toMatchObject({ accessibleFree: 1, splitWouldHelp: false });
    const picked = seatsWish(eventId, ["A-A-7", "A-A-8"]);
    const byHand = {
      ...picked,
      selection: { $case: "seats", value: { seatIds: ["A-A-7", "A-A-8"], accessible: true } },
    };
    expect(idsOf(await hold(byHand as HoldRequest))).toEqual(["A-A-7", "A-A-8"]);
  });

  test("may be picked by hand by who says so; companions' seats with an accessible one only", async () => {
    const eventId = await withRoom();
    const byHand = (seatIds: string[]): HoldRequest => ({
      ...seatsWish(eventId, seatIds),
      selection: { $case: "seats", value: { seatIds, accessible: true } },
    });
    expect((await expectRefusal(hold(byHand(["A-A-2", "A-A-4"])), "SEAT_ACCESSIBLE")).details).toEqual({
      seats: ["A-A-2"],
    });
    expect(idsOf(await hold(byHand(["A-A-1", "A-A-2"])))).toEqual(["A-A-1", "A-A-2"]);
  });

  test("are seats like others when that time is over", async () => {
    const eventId = await withRoom({ accessibleUntilMs: Date.now() - 1000 });
    expect(idsOf(await hold(bestWish(eventId, { quantity: 8 })))).toHaveLength(8);
    const another = await withRoom({ accessibleUntilMs: Date.now() - 1000 });
    expect(idsOf(await hold(seatsWish(another, ["A-A-1", "A-A-2"])))).toEqual(["A-A-1", "A-A-2"]);
  });
});
