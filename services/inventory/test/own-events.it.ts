// An organiser's events: listed, shown as they were made, cancelled for good; who has seats in them, and how the race for them went.
import type { EventStatus } from "@onsale/proto/inventory/v1/catalog";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import {
  anySearch,
  claimOf,
  claimsIn,
  eventually,
  expectRefusal,
  freshId,
  hall,
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
beforeAll(async () => {
  inventory = await startForTest(inject("backing"), { EVENT_CACHE_MS: "0" });
});
afterAll(() => inventory?.stop());

const draft = "EVENT_STATUS_DRAFT" as EventStatus;
const published = "EVENT_STATUS_PUBLISHED" as EventStatus;
const cancelled = "EVENT_STATUS_CANCELLED" as EventStatus;
const any = "EVENT_STATUS_UNSPECIFIED" as EventStatus;
const soon = Date.now() + 10 * 24 * 60 * 60 * 1000;

async function make(organiserId: string, name = "The Night Ferry"): Promise<string> {
  const { event } = await inventory.catalog.createEvent(newEvent({ organiserId, name }));
  return event?.eventId ?? "";
}
const list = (
  organiserId: string,
  more: Partial<{ status: EventStatus; query: string; cursor: string; limit: number }> = {},
) => inventory.catalog.listEvents({ organiserId, status: any, query: "", cursor: "", limit: 0, ...more });
const idsOf = async (...args: Parameters<typeof list>) => (await list(...args)).events.map(({ eventId }) => eventId);
const cancel = (eventId: string, organiserId = "", reason = "") =>
  inventory.catalog.cancelEvent({ eventId, organiserId, reason });

describe("an organiser's list", () => {
  test("has their events in any status, newest first, page by page, and nobody else's", async () => {
    const [mine, theirs] = [freshId("acc"), freshId("acc")];
    const made: string[] = [];
    for (let at = 0; at < 5; at++) made.unshift(await make(mine));
    const foreign = await make(theirs);
    const seen: string[] = [];
    for (let cursor = "", pages = 0; pages === 0 || cursor !== ""; pages++) {
      const page = await list(mine, { limit: 2, cursor });
      seen.push(...page.events.map(({ eventId }) => eventId));
      cursor = page.nextCursor;
      expect(pages).toBeLessThan(4);
    }
    // Of those made in the same millisecond, none is newer.
    expect([...seen].sort()).toEqual([...made].sort());
    expect(new Set(seen).size).toBe(5);
    const everybodys = await idsOf("", { limit: 6 });
    expect(everybodys).toEqual(expect.arrayContaining([foreign, ...made]));
  });

  test("by status, and by words", async () => {
    const mine = freshId("acc");
    const [a, b, c] = [await make(mine, "Alpha night"), await make(mine, "Beta night"), await make(mine, "Gamma")];
    for (const eventId of [b, c]) await inventory.catalog.publishEvent({ eventId, organiserId: mine });
    await cancel(c, mine);
    expect(await idsOf(mine, { status: draft })).toEqual([a]);
    expect(await idsOf(mine, { status: published })).toEqual([b]);
    expect(await idsOf(mine, { status: cancelled })).toEqual([c]);
    expect((await idsOf(mine, { query: "NIGHT" })).sort()).toEqual([a, b].sort());
    expect(await idsOf(mine, { query: "!?" })).toEqual([]);
    expect(await idsOf(mine, { query: "night", status: published })).toEqual([b]);
  });

  test.each<[string, Parameters<typeof list>[1]]>([
    ["a cursor that is none", { cursor: "bm9uc2Vuc2U" }],
    ["a page too long", { limit: 501 }],
    ["words too long", { query: "x".repeat(201) }],
    ["too many words", { query: "a b c d e f g h i j k" }],
    ["control characters", { query: "a\u0007" }],
  ])("with %s is refused", async (_, more) => {
    await expectRefusal(list(freshId("acc"), more), "REQUEST_INVALID");
  });

  test("for nobody, or with another's cursor, is refused", async () => {
    await expectRefusal(list("acc 1"), "REQUEST_INVALID");
    const [mine, theirs] = [freshId("acc"), freshId("acc")];
    for (const who of [mine, mine, theirs, theirs]) await make(who);
    const { nextCursor } = await list(mine, { limit: 1 });
    expect(nextCursor).not.toBe("");
    await expectRefusal(list(theirs, { cursor: nextCursor }), "REQUEST_INVALID");
    await expectRefusal(list(mine, { cursor: nextCursor, status: draft }), "REQUEST_INVALID");
  });
});

describe("an organiser's event", () => {
  test("comes with its layout in the words that it was sent in, to its organiser and operators alone", async () => {
    const request = newEvent({ organiserId: "acc_mine", refundableUntilMs: soon }, [hall(2, 3)]);
    const layoutSource = '[{"id":"A","rows":{"count":2,"seats":3}}]';
    const eventId = request.event?.eventId ?? "";
    await inventory.catalog.createEvent({ ...request, layoutSource });
    const own = await inventory.catalog.getOwnEvent({ eventId, organiserId: "acc_mine" });
    expect(own).toMatchObject({ layoutSource, event: { eventId, status: draft, refundableUntilMs: soon } });
    expect(own.event?.createdAtMs).toBeGreaterThan(Date.now() - 60_000);
    expect(own.sections[0]?.rows).toHaveLength(2);
    expect(await inventory.catalog.getOwnEvent({ eventId, organiserId: "" })).toEqual(own);
    await inventory.catalog.publishEvent({ eventId, organiserId: "" });
    await expectRefusal(inventory.catalog.getOwnEvent({ eventId, organiserId: "acc_other" }), "EVENT_NOT_FOUND");
    await expectRefusal(inventory.catalog.getOwnEvent({ eventId: "evt_none", organiserId: "" }), "EVENT_NOT_FOUND");
  });

  test("made by a retry keeps the words of the first try; without words there are none", async () => {
    const request = newEvent();
    await inventory.catalog.createEvent({ ...request, layoutSource: "[1]" });
    await inventory.catalog.createEvent({ ...request, layoutSource: "[2]" });
    const eventId = request.event?.eventId ?? "";
    expect((await inventory.catalog.getOwnEvent({ eventId, organiserId: "" })).layoutSource).toBe("[1]");
    const wordless = await make("acc_1");
    expect((await inventory.catalog.getOwnEvent({ eventId: wordless, organiserId: "" })).layoutSource).toBe("");
    const huge = { ...newEvent(), layoutSource: "x".repeat(2 * 1024 * 1024 + 1) };
    await expectRefusal(inventory.catalog.createEvent(huge), "REQUEST_INVALID");
  });

  test("that may be given back has another fingerprint than one that may not, and a time that is one", async () => {
    const request = newEvent();
    await inventory.catalog.createEvent(request);
    const other = newEvent({ ...request.event, refundableUntilMs: soon });
    await expectRefusal(inventory.catalog.createEvent(other), "EVENT_EXISTS");
    await expectRefusal(inventory.catalog.createEvent(newEvent({ refundableUntilMs: 5 })), "REQUEST_INVALID");
  });

  test("is among several that are asked for, unless it is a draft", async () => {
    const [a, b] = [await publishEvent(inventory, newEvent()), await make("acc_1")];
    const { events } = await inventory.catalog.getEvents({ eventIds: [a, b, "evt_none", "no id at all"] });
    expect(events.map(({ eventId }) => eventId)).toEqual([a]);
    expect(await inventory.catalog.getEvents({ eventIds: [] })).toEqual({ events: [] });
    const many = Array.from({ length: 101 }, (_, at) => `evt_${at}`);
    await expectRefusal(inventory.catalog.getEvents({ eventIds: many }), "REQUEST_INVALID");
  });
});

describe("a cancelled event", () => {
  test("sells nothing more: no hold, and no claim of seats that were held", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(2, 5), standing(9)]));
    const wish = seatsWish(eventId, ["A-A-1"]);
    const held = await inventory.seats.hold(wish);
    const sold = seatsWish(eventId, ["A-A-2"]);
    const soldClaim = claimOf(sold, await inventory.seats.hold(sold));
    await inventory.seats.claimSeats(soldClaim);
    await cancel(eventId, "acc_organiser", "The singer is ill.");

    const refused = await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-3"])), "EVENT_CANCELLED");
    expect(refused.refusal.http).toBe(409);
    await expectRefusal(inventory.seats.hold(quantityWish(eventId, "FLOOR", 2)), "EVENT_CANCELLED");
    await expectRefusal(inventory.seats.claimSeats(claimOf(wish, held)), "EVENT_CANCELLED");
    expect((await claimsIn(inventory, eventId)).map(({ seatId }) => seatId)).toEqual(["A-A-2"]);
    // What is there can be given back, and is still shown.
    expect(await inventory.seats.releaseHold(releaseOf(wish, held))).toEqual({ released: 1 });
    const back = { eventId, checkoutId: sold.checkoutId, userId: sold.userId, seatIds: [] };
    expect(await inventory.seats.releaseClaims(back)).toEqual({ released: 1 });
    const { event } = await inventory.catalog.getEvent({ eventId, viewerId: "" });
    expect(event).toMatchObject({ status: cancelled, cancelReason: "The singer is ill." });
    expect((await inventory.seats.getAvailability({ eventId })).sections).toHaveLength(2);
  });

  test("is not found by searches, stays cancelled, and keeps its first reason", async () => {
    const name = `Moonless ${freshId("n")}`;
    const eventId = await publishEvent(inventory, newEvent({ name }));
    const find = () => inventory.catalog.searchEvents({ ...anySearch, query: name, limit: 5 });
    expect((await find()).events).toHaveLength(1);
    const [first] = await Promise.all([cancel(eventId, "", "One"), cancel(eventId, "", "One")]);
    const second = await cancel(eventId, "acc_organiser", "Two");
    expect(second.event).toEqual(first.event);
    expect(second.event).toMatchObject({ cancelReason: "One", status: cancelled });
    expect((await find()).events).toEqual([]);
    await expectRefusal(inventory.catalog.publishEvent({ eventId, organiserId: "" }), "EVENT_CANCELLED");
  });

  test("is cancelled by its organiser or an operator, once it is published, for a reason that is a line", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    await expectRefusal(cancel(eventId, "acc_other"), "EVENT_NOT_FOUND");
    await expectRefusal(cancel("evt_none"), "EVENT_NOT_FOUND");
    await expectRefusal(cancel(eventId, "", "two\nlines"), "REQUEST_INVALID");
    await expectRefusal(cancel(await make("acc_1")), "EVENT_IS_DRAFT");
    expect((await inventory.catalog.getEvent({ eventId, viewerId: "" })).event?.status).toBe(published);
  });
});

describe("who has seats", () => {
  test("is told checkout by checkout, page by page, without organisers' blocks", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const expected: string[] = [];
    for (const seatIds of [["A-A-1", "A-A-2"], ["A-A-3"], ["A-C-1"]]) {
      const wish = seatsWish(eventId, seatIds);
      await inventory.seats.claimSeats(claimOf(wish, await inventory.seats.hold(wish)));
      expected.push(wish.checkoutId);
    }
    const block = { blockId: freshId("blk"), organiserId: "", accountId: "acc_1", reason: "Cameras" };
    await inventory.blocks.blockSeats({ eventId, ...block, seatIds: ["A-B-1", "A-B-2"] });
    const ask = (cursor: string, limit: number) => inventory.catalog.listClaimants({ eventId, cursor, limit });
    expect((await ask("", 0)).checkoutIds.sort()).toEqual([...expected].sort());
    const seen = new Set<string>();
    for (let cursor = "", pages = 0; pages === 0 || cursor !== ""; pages++) {
      const page = await ask(cursor, 2);
      for (const checkoutId of page.checkoutIds) seen.add(checkoutId);
      cursor = page.nextCursor;
      expect(pages).toBeLessThan(6);
    }
    expect([...seen].sort()).toEqual([...expected].sort());
    expect(await inventory.catalog.listClaimants({ eventId: "evt_none", cursor: "", limit: 0 })).toEqual({
      checkoutIds: [],
      nextCursor: "",
    });
    await expectRefusal(ask("a b", 0), "REQUEST_INVALID");
    await expectRefusal(ask("", 1_001), "REQUEST_INVALID");
    await expectRefusal(inventory.catalog.listClaimants({ eventId: "", cursor: "", limit: 0 }), "REQUEST_INVALID");
  });
});

describe("the race", () => {
  test("counts who got seats and for whom others were quicker; not who was too greedy, or too late", async () => {
    const eventId = await publishEvent(inventory, newEvent({ seatsPerPerson: 2 }));
    const hold = (seatIds: string[]) => inventory.seats.hold(seatsWish(eventId, seatIds));
    await hold(["A-A-1"]);
    await hold(["A-A-2"]);
    for (let at = 0; at < 3; at++) await expectRefusal(hold(["A-A-1"]), "SEAT_TAKEN");
    await expectRefusal(hold(["A-B-1", "A-B-2", "A-B-3"]), "SEAT_LIMIT_EXCEEDED");
    await expectRefusal(hold(["A-Z-1"]), "SEAT_UNKNOWN");
    await eventually(async () => expect(await inventory.catalog.countHolds({ eventId })).toEqual({ won: 2, lost: 3 }));
    expect(await inventory.catalog.countHolds({ eventId: "evt_none" })).toEqual({ won: 0, lost: 0 });
    await cancel(eventId);
    await expectRefusal(hold(["A-A-1"]), "EVENT_CANCELLED");
  });

  test("is told by a process that stops, and counted on by the next", async () => {
    const stores = inject("backing");
    const other = await startForTest(stores, {}, inventory.database);
    const eventId = await publishEvent(inventory, newEvent());
    await other.seats.hold(seatsWish(eventId, ["A-A-1"]));
    await other.stop();
    expect(await inventory.catalog.countHolds({ eventId })).toEqual({ won: 1, lost: 0 });
  });
});
