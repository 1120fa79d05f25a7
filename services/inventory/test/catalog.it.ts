// Events: created once, seen by whom they are for, found by words, place and time; and the largest that may be.

import { connect } from "@onsale/kit/grpc-client";
import type { Section } from "@onsale/proto/inventory/v1/catalog";
import { SeatServiceService } from "@onsale/proto/inventory/v1/seats";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import {
  anySearch,
  expectRefusal,
  freshId,
  hall,
  type Inventory,
  newEvent,
  publishEvent,
  rowName,
  seatsWish,
  standing,
  startForTest,
} from "./inventory.js";

let inventory: Inventory;
beforeAll(async () => {
  inventory = await startForTest(inject("backing"));
});
afterAll(() => inventory?.stop());

const day = 24 * 60 * 60 * 1000;

describe("an event", () => {
  test("is created as a draft, with what follows from its layout", async () => {
    const request = newEvent({}, [
      hall(2, 10, {
        rows: [{ label: "A", firstSeat: 1, seatCount: 10, gaps: [5], blocked: [1, 2], accessible: [], companion: [] }],
      }),
      standing(30),
    ]);
    const { event } = await inventory.catalog.createEvent(request);
    const layoutVersion = expect.stringMatching(/^[0-9a-f]{16}$/);
    const made = { status: "EVENT_STATUS_DRAFT", capacity: 39, layoutVersion, createdAtMs: expect.any(Number) };
    expect(event).toEqual({ ...request.event, ...made });
    const layout = await inventory.catalog.getLayout({ eventId: event?.eventId ?? "", viewerId: "acc_organiser" });
    expect(layout.layoutVersion).toBe(event?.layoutVersion);
    expect(layout.sections[0]).toEqual({ ...request.sections[0], capacity: 9 });
    expect(layout.sections[1]).toEqual(request.sections[1]);
  });

  test("is the same when created again, also at the same time, and can't be replaced", async () => {
    const request = newEvent();
    const answers = await Promise.all(Array.from({ length: 4 }, () => inventory.catalog.createEvent(request)));
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    expect(await inventory.catalog.createEvent(request)).toEqual(answers[0]);
    await expectRefusal(inventory.catalog.createEvent({ ...request, sections: [hall(5, 11)] }), "EVENT_EXISTS");
    const other = { ...request.event, organiserId: "acc_other" } as typeof request.event;
    await expectRefusal(inventory.catalog.createEvent({ ...request, event: other }), "EVENT_EXISTS");
  });

  test("is refused with everything that is wrong with it", async () => {
    const refused = await expectRefusal(
      inventory.catalog.createEvent(newEvent({ name: "a\u0000b", currency: "EURO" }, [hall(1, 5, { tierId: "none" })])),
      "REQUEST_INVALID",
    );
    expect(refused.details["problems"]).toEqual([
      { at: "event.name", problem: "must not have control characters" },
      { at: "event.currency", problem: "must be a currency that can be charged, in capital letters, as EUR" },
      { at: "sections[0].tier_id", problem: "is not among the event's price tiers" },
    ]);
    expect(refused.message).toContain("event.currency must be a currency");
    const layout = await expectRefusal(
      inventory.catalog.createEvent(newEvent({}, [hall(1, 5), hall(1, 5)])),
      "LAYOUT_INVALID",
    );
    expect(layout.details["problems"]).toEqual([{ at: "sections[1].section_id", problem: "is used twice" }]);
    await expectRefusal(
      inventory.catalog.createEvent({ event: undefined, sections: [], layoutSource: "" }),
      "REQUEST_INVALID",
    );
    await expectRefusal(
      inventory.catalog.createEvent(newEvent({ startsAtMs: Date.now() - day, onSaleAtMs: Date.now() - 2 * day })),
      "REQUEST_INVALID",
    );
    const free = newEvent({ tiers: [{ tierId: "standard", name: "Free", amount: 0 }] });
    expect((await expectRefusal(inventory.catalog.createEvent(free), "REQUEST_INVALID")).message).toContain(
      "can't charge 0",
    );
  });

  test.each([
    ["EUR", 25, 8, "event.tiers[0].amount", /^is less than EUR 0\.50/],
    ["JPY", 40, 8, "event.tiers[0].amount", /^is less than JPY 50/],
    ["KWD", 1_005, 8, "event.tiers[0].amount", /^must be a multiple of 10/],
    ["ISK", 990_050, 8, "event.tiers[0].amount", /^must be a multiple of 100/],
    ["EUR", 100_000_000, 1, "event.tiers[0].amount", /^is more than EUR 999,999\.99/],
    ["HUF", 15_000_000, 8, "event.tiers[0].amount", /^is too much: 8 of them/],
    ["CUP", 4_950, 8, "event.currency", /^must be a currency that can be charged/],
  ])(
    "in %s for %d, %d a person, can't be paid: not stored, not edited so, not published",
    async (currency, amount, seatsPerPerson, at, why) => {
      const { catalog } = inventory;
      const tiers = [{ tierId: "standard", name: "Standard", amount }];
      const problems = [{ at, problem: expect.stringMatching(why) }];
      const refusedWith = async (call: Promise<unknown>) =>
        expect((await expectRefusal(call, "REQUEST_INVALID")).details["problems"]).toEqual(problems);
      await refusedWith(catalog.createEvent(newEvent({ currency, tiers, seatsPerPerson })));

      const request = newEvent();
      const eventId = request.event?.eventId ?? "";
      await catalog.createEvent(request);
      const { revision } = await catalog.getOwnEvent({ eventId, organiserId: "acc_organiser" });
      const edited = newEvent({ ...request.event, currency, tiers, seatsPerPerson });
      await refusedWith(catalog.replaceDraft({ ...edited, organiserId: "acc_organiser", revision: revision ?? "" }));
      // As a draft was stored before prices were checked.
      await inventory.mongodb
        .db(inventory.database)
        .collection<{ _id: string }>("events")
        .updateOne({ _id: eventId }, { $set: { currency, tiers, seatsPerPerson } });
      await refusedWith(catalog.publishEvent({ eventId, organiserId: "acc_organiser" }));
      const { event } = await catalog.getEvent({ eventId, viewerId: "acc_organiser" });
      expect(event?.status).toBe("EVENT_STATUS_DRAFT");
    },
  );

  test("can cost as much as its currency allows: twelve digits in IDR", async () => {
    const tiers = [{ tierId: "standard", name: "Standard", amount: 124_999_999_999 }];
    const { event } = await inventory.catalog.createEvent(newEvent({ currency: "IDR", tiers, seatsPerPerson: 8 }));
    const eventId = event?.eventId ?? "";
    await inventory.catalog.publishEvent({ eventId, organiserId: "acc_organiser" });
    const hold = await inventory.seats.hold(seatsWish(eventId, ["A-A-1", "A-A-2"]));
    expect(hold).toMatchObject({ currency: "IDR", amount: 249_999_999_998 });
    const bounds = { ...anySearch, currency: "IDR", priceFrom: 124_999_999_999, priceTo: 124_999_999_999 };
    const found = await inventory.catalog.searchEvents(bounds);
    expect(found.events.map((one) => one.eventId)).toEqual([eventId]);
  });

  test("is found as a draft by its organiser and by operators only, and by everyone once it is published", async () => {
    const { event } = await inventory.catalog.createEvent(newEvent());
    const eventId = event?.eventId ?? "";
    const { catalog, seats } = inventory;
    for (const viewerId of ["", "acc_other"]) {
      await expectRefusal(catalog.getEvent({ eventId, viewerId }), "EVENT_NOT_FOUND");
      await expectRefusal(catalog.getLayout({ eventId, viewerId }), "EVENT_NOT_FOUND");
    }
    for (const viewerId of ["acc_organiser", "*"]) {
      const shown = await catalog.getEvent({ eventId, viewerId });
      expect(shown.event).toEqual(event);
      expect(shown.sections).toEqual([
        {
          sectionId: "A",
          name: "Hall",
          tierId: "standard",
          rows: [],
          generalAdmission: false,
          capacity: 50,
          focalRow: "",
          focalSeat: 0,
        },
      ]);
    }
    await expectRefusal(seats.getAvailability({ eventId }), "EVENT_NOT_FOUND");
    await expectRefusal(seats.getSeatStates({ eventId }), "EVENT_NOT_FOUND");
    await expectRefusal(catalog.publishEvent({ eventId, organiserId: "acc_other" }), "EVENT_NOT_FOUND");
    const published = await catalog.publishEvent({ eventId, organiserId: "acc_organiser" });
    expect(published.event).toEqual({ ...event, status: "EVENT_STATUS_PUBLISHED" });
    expect(await catalog.publishEvent({ eventId, organiserId: "" })).toEqual(published);
    expect((await catalog.getEvent({ eventId, viewerId: "" })).event).toEqual(published.event);
    // Publishing again does not restore the seats again.
    expect(await inventory.redis.get(`{${eventId}}:epoch`)).toMatch(/^1\|open/);
  });

  test("that does not exist is not found, whatever it is called", async () => {
    for (const eventId of ["evt_nosuch", "", "a\u0000", "{evt}", "x".repeat(10_000)]) {
      await expectRefusal(inventory.catalog.getEvent({ eventId, viewerId: "*" }), "EVENT_NOT_FOUND");
      await expectRefusal(inventory.catalog.getLayout({ eventId, viewerId: "*" }), "EVENT_NOT_FOUND");
      await expectRefusal(inventory.catalog.publishEvent({ eventId, organiserId: "" }), "EVENT_NOT_FOUND");
      await expectRefusal(inventory.seats.getAvailability({ eventId }), "EVENT_NOT_FOUND");
    }
  });
});

describe("the search", () => {
  const ids: string[] = [];
  const start = Date.now() + 100 * day;
  const search = (query: Partial<Parameters<Inventory["catalog"]["searchEvents"]>[0]>) =>
    inventory.catalog.searchEvents({ ...anySearch, ...query });
  const found = async (query: Parameters<typeof search>[0]) =>
    (await search(query)).events.map(({ eventId }) => ids.indexOf(eventId));

  let inventory: Inventory;
  beforeAll(async () => {
    inventory = await startForTest(inject("backing"));
    for (const [at, [name, venueName, city]] of [
      ["Café del Mar", "Große Freiheit", "Hamburg"],
      ["The Night Ferry", "Elbphilharmonie", "Hamburg"],
      ["Night of the (Proms) [live].*", "Arena", "São Paulo"],
      ["Ferry Corsten", "Arena", "Sao Paulo"],
      ["The Night Ferry II", "Halle", "Zürich"],
    ].entries()) {
      const venue = { name: venueName ?? "", city: city ?? "", country: "DE", timeZone: "Europe/Berlin" };
      // Two of them start at the same time.
      const request = newEvent({ name: name ?? "", venue, startsAtMs: start + Math.min(at, 3) * day });
      ids.push(await publishEvent(inventory, request));
    }
    // The two at the same time come in the order of their ids.
    const [fourth = "", fifth = ""] = ids.slice(3);
    if (fourth > fifth) ids.splice(3, 2, fifth, fourth);
    await inventory.catalog.createEvent(newEvent({ name: "The Night Ferry, a draft" }));
  });
  afterAll(() => inventory?.stop());

  test("has all published events by start time", async () => {
    expect(await found({})).toEqual([0, 1, 2, 3, 4]);
  });

  test("finds words of name, venue and city, without case and accents, from their beginning", async () => {
    expect(await found({ query: "night" })).toHaveLength(3);
    expect(await found({ query: "NIGHT ferr" })).toHaveLength(2);
    expect(await found({ query: "cafe grosse" })).toEqual([0]);
    expect(await found({ query: "sao paulo arena" })).toHaveLength(2);
    expect(await found({ query: "zurich" })).toHaveLength(1);
    expect(await found({ query: "ight" })).toEqual([]);
    expect(await found({ query: "(Proms) [live].*" })).toEqual([2]);
    for (const query of [".*", "^", "$", "\\", "(", "???"]) expect(await found({ query }), query).toEqual([]);
  });

  test("finds by city and time, both ends included", async () => {
    expect(await found({ city: "hamburg" })).toEqual([0, 1]);
    expect(await found({ city: "SAO PAULO" })).toHaveLength(2);
    expect(await found({ city: "Ham" })).toEqual([]);
    expect(await found({ fromMs: start + day, toMs: start + 2 * day })).toEqual([1, 2]);
    expect(await found({ fromMs: start + 3 * day })).toEqual([3, 4]);
    expect(await found({ toMs: start - 1 })).toEqual([]);
  });

  test("gives pages that together are the whole, each event once", async () => {
    const seen: number[] = [];
    let cursor = "";
    for (let pages = 0; pages < 10; pages++) {
      const page = await search({ limit: 2, cursor });
      expect(page.events.length).toBeLessThanOrEqual(2);
      seen.push(...page.events.map(({ eventId }) => ids.indexOf(eventId)));
      cursor = page.nextCursor;
      if (cursor === "") break;
    }
    expect(seen).toEqual([0, 1, 2, 3, 4]);
    const { nextCursor } = await search({ limit: 1 });
    await expectRefusal(search({ limit: 1, cursor: nextCursor, query: "night" }), "REQUEST_INVALID");
    await expectRefusal(search({ cursor: "nonsense" }), "REQUEST_INVALID");
    await expectRefusal(search({ limit: 1, cursor: nextCursor.slice(0, -4) }), "REQUEST_INVALID");
  });

  test("refuses nonsense", async () => {
    await expectRefusal(search({ limit: -1 }), "REQUEST_INVALID");
    await expectRefusal(search({ limit: 101 }), "REQUEST_INVALID");
    await expectRefusal(search({ fromMs: -1 }), "REQUEST_INVALID");
    await expectRefusal(search({ query: "a\u0000" }), "REQUEST_INVALID");
    await expectRefusal(search({ query: "x".repeat(201) }), "REQUEST_INVALID");
    await expectRefusal(search({ query: "a b c d e f g h i j k" }), "REQUEST_INVALID");
    await expectRefusal(search({ city: "x".repeat(101) }), "REQUEST_INVALID");
  });
});

describe("a stadium of 60,000 seats", () => {
  const stand = (at: number): Section => ({
    sectionId: `S${at}`,
    name: `Stand ${at}`,
    tierId: "standard",
    generalAdmission: false,
    capacity: 0,
    focalRow: "",
    focalSeat: 0,
    // 1,499 seats, so that sections begin in the middle of a byte; and one more in the last row of each second stand.
    rows: Array.from({ length: 30 }, (_, row) => ({
      label: rowName(row),
      firstSeat: 1,
      seatCount: row === 29 && at % 2 === 0 ? 49 : row === 29 ? 51 : 50,
      gaps: [],
      blocked: row === 0 ? [1] : [],
      accessible: [],
      companion: [],
    })),
  });

  test("is created, published, sold from and shown in 15,000 bytes", async () => {
    const request = newEvent(
      {},
      Array.from({ length: 40 }, (_, at) => stand(at)),
    );
    const before = performance.now();
    const eventId = await publishEvent(inventory, request);
    expect(performance.now() - before).toBeLessThan(30_000);
    const { event } = await inventory.catalog.getEvent({ eventId, viewerId: "" });
    expect(event?.capacity).toBe(60_000);
    await inventory.seats.hold(seatsWish(eventId, ["S1-A-2", "S39-AD-51"]));
    const { states, seatCount, layoutVersion } = await inventory.seats.getSeatStates({ eventId });
    expect(states).toHaveLength(15_000);
    expect(seatCount).toBe(60_000);
    expect(layoutVersion).toBe(event?.layoutVersion);
    const stateAt = (at: number) => ((states[at >> 2] ?? 0) >> ((at & 3) * 2)) & 3;
    expect([stateAt(0), stateAt(1), stateAt(1499), stateAt(1500), stateAt(59_999)]).toEqual([3, 0, 3, 1, 1]);
    const { sections } = await inventory.seats.getAvailability({ eventId });
    expect(sections).toHaveLength(40);
    expect(sections[1]).toEqual({ sectionId: "S1", free: 1499, held: 1, sold: 0, blocked: 1 });
    const layout = await inventory.catalog.getLayout({ eventId, viewerId: "" });
    expect(layout.sections[39]?.rows).toHaveLength(30);
  });

  test("is refused with one seat more", async () => {
    const request = newEvent({}, [...Array.from({ length: 40 }, (_, at) => stand(at)), standing(1)]);
    const refused = await expectRefusal(inventory.catalog.createEvent(request), "LAYOUT_INVALID");
    expect(refused.details["problems"]).toEqual([
      { at: "sections", problem: "have 60001 seats, but an event may have at most 60000" },
    ]);
  });
});

test("a caller without the shared secret gets nothing", async () => {
  const guarded = await startForTest(inject("backing"), { GRPC_SHARED_SECRET: "a-secret-of-this-test" });
  const stranger = connect(SeatServiceService, { address: `127.0.0.1:${guarded.port}`, trust: {} });
  await expectRefusal(stranger.hold(seatsWish(freshId("evt"), ["A-A-1"])), "PEER_UNAUTHENTICATED");
  await expectRefusal(guarded.seats.getAvailability({ eventId: "evt_x" }), "EVENT_NOT_FOUND");
  stranger.close();
  await guarded.stop();
});
