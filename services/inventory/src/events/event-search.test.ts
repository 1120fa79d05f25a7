import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  allEvents,
  cityKey,
  type EventSearch,
  eventSorts,
  placeOf,
  readCursor,
  type SearchPlace,
  searchKeysOf,
  sortFields,
  writeCursor,
} from "./event-search.js";
import type { EventRecord } from "./events.js";

const venue = { name: "Große Freiheit", city: "São Paulo", country: "BR", timeZone: "America/Sao_Paulo" };
const tiers = [
  { tierId: "a", name: "Gold", amount: 9900 },
  { tierId: "b", name: "Standing", amount: 2500 },
];
const search: EventSearch = { ...allEvents, words: ["ferry"], limit: 5, after: undefined };
const place: SearchPlace = { keys: [1_800_000_000_000], eventId: "evt_7" };

describe("what is stored of an event", () => {
  test("is what its name, its place and its price say, without case and accents", () => {
    expect(searchKeysOf({ name: "The Night-Ferry", venue, tiers })).toEqual({
      searchText: "the night ferry grosse freiheit sao paulo",
      cityKey: "sao paulo",
      nameKey: "the night ferry",
      leastAmount: 2500,
    });
    expect(cityKey("SÃO-PAULO")).toBe("sao paulo");
    expect(searchKeysOf({ name: "?!", venue, tiers }).nameKey).toBe("");
  });
});

describe("a cursor", () => {
  test("is of its own search and its own order", () => {
    const cursor = writeCursor(search, place);
    expect(readCursor(search, cursor)).toEqual(place);
    for (const change of [
      { words: ["boat"] },
      { city: "kiel" },
      { fromMs: 5 },
      { toMs: 5 },
      { currency: "EUR" },
      { currency: "EUR", priceFrom: 1 },
      { currency: "EUR", priceTo: 1 },
      { sort: "price" },
      { sort: "name" },
    ] as const)
      expect(readCursor({ ...search, ...change }, cursor), JSON.stringify(change)).toBeUndefined();
    // How many events a page has is no part of it.
    expect(readCursor({ ...search, limit: 50 }, cursor)).toEqual(place);
  });

  test("from before there were prices and orders goes on", () => {
    const before = "WzE4MDAwMDAwMDAwMDAsImV2dF83IiwiODVkM2RiNDQyYjg5OWQzZiJd";
    expect(readCursor(search, before)).toEqual(place);
  });

  test("says the same place again, in every order and whatever events are called", () => {
    const text = (maxLength: number) => fc.string({ minLength: 1, maxLength, unit: "grapheme" });
    const searches = fc.record({
      words: fc.array(text(10), { maxLength: 3 }),
      city: text(20),
      fromMs: fc.nat(),
      toMs: fc.nat(),
      currency: fc.constantFrom("", "EUR", "JPY"),
      priceFrom: fc.nat(),
      priceTo: fc.nat(),
      sort: fc.constantFrom(...eventSorts),
      limit: fc.constant(5),
      after: fc.constant(undefined),
    });
    const events = fc.record({
      eventId: fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
      name: text(200),
      startsAtMs: fc.nat(4_000_000_000_000),
      currency: fc.constantFrom("EUR", "JPY"),
      amount: fc.integer({ min: 1, max: 99_999_999 }),
    });
    fc.assert(
      fc.property(searches, searches, events, (one, other, { amount, ...made }) => {
        const event = { ...made, venue, tiers: [{ tierId: "a", name: "A", amount }] } as unknown as EventRecord;
        const here = placeOf(event, one.sort);
        expect(here.keys).toHaveLength(sortFields[one.sort].length);
        const cursor = writeCursor(one, here);
        expect(cursor).toMatch(/^[A-Za-z0-9_-]{1,500}$/); // what the REST API takes
        expect(readCursor(one, cursor)).toEqual(here);
        if (JSON.stringify({ ...one, limit: 0 }) !== JSON.stringify({ ...other, limit: 0 }))
          expect(readCursor(other, cursor)).toBeUndefined();
      }),
    );
  });

  test("that is another one is none", () => {
    const forge = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
    for (const cursor of [
      "",
      "!",
      "e30",
      forge(null),
      forge([1, "evt_7"]),
      forge([place.keys[0], "evt_8", "x"]),
      forge([{ $gt: 0 }, "a", "b"]),
    ])
      expect(readCursor(search, cursor)).toBeUndefined();
    fc.assert(fc.property(fc.string({ maxLength: 600 }), (text) => readCursor(search, text) === undefined));
    const bytes = Buffer.from(writeCursor(search, place), "base64url");
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(readCursor(search, changed.toString("base64url"))).toBeUndefined();
    }
  });
});
