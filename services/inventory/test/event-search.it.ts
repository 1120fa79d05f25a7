// Searching a shop of hundreds of events: by price and in each order, page by page, also while events are added; and what it can be narrowed by.
import { EventSort, type SearchEventsRequest } from "@onsale/proto/inventory/v1/catalog";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { searchKeysOf, sortFields } from "../src/events/event-search.js";
import {
  anySearch,
  expectRefusal,
  freshId,
  type Inventory,
  newDatabase,
  newEvent,
  publishEvent,
  startForTest,
} from "./inventory.js";

interface Stored {
  _id: string;
  name: string;
  currency: string;
  startsAtMs: number;
  status: string;
  tiers: { tierId: string; name: string; amount: number }[];
  venue: { name: string; city: string; country: string; timeZone: string };
  leastAmount: number;
  nameKey: string;
}

const many = 300;
const day = 24 * 60 * 60 * 1000;
const start = Date.now() + 100 * day;
const tier = (tierId: string, amount: number) => ({ tierId, name: tierId, amount });
const of = (inventory: Inventory) => inventory.mongodb.db(inventory.database).collection<Stored>("events");

/** As they are stored: a real one, and as many more like it. Many are equal in what they are sorted by. */
async function fill(inventory: Inventory): Promise<Stored[]> {
  const eventId = await publishEvent(inventory, newEvent());
  const model = await of(inventory).findOne({ _id: eventId });
  if (!model) throw new Error("the event is not stored");
  await of(inventory).deleteOne({ _id: eventId });
  const made = Array.from({ length: many }, (_, at): Stored => {
    const currency = at % 10 === 9 ? "JPY" : "EUR";
    const event = {
      ...model,
      _id: freshId("evt"),
      name: ["Éclair", "eclair", "Zoë", "the Night Ferry", "!!!"][at % 5] + (at % 7 === 0 ? ` ${at}` : ""),
      venue: { ...model.venue, city: ["Kiel", "São Paulo", "Sao Paulo"][at % 3] ?? "" },
      startsAtMs: start + (at % 20) * day,
      currency,
      tiers: [tier("a", 1000 + (at % 25) * 100), tier("b", 5000 + (at % 4) * 5000)],
    };
    return { ...event, ...searchKeysOf(event) };
  });
  await of(inventory).insertMany(made);
  return made;
}

let inventory: Inventory;
let events: Stored[];
beforeAll(async () => {
  inventory = await startForTest(inject("backing"));
  events = await fill(inventory);
});
afterAll(() => inventory?.stop());

const search = (wish: Partial<SearchEventsRequest>) => inventory.catalog.searchEvents({ ...anySearch, ...wish });

/** All pages; `between` is done after each. */
async function all(wish: Partial<SearchEventsRequest>, between?: () => Promise<unknown>) {
  const found: { eventId: string }[] = [];
  for (let cursor = "", pages = 0; pages === 0 || cursor !== ""; pages++) {
    const page = await search({ limit: 37, ...wish, cursor });
    found.push(...page.events);
    cursor = page.nextCursor;
    await between?.();
    expect(pages).toBeLessThan(100);
  }
  return found.map(({ eventId }) => eventId);
}

const sorts = [
  ["date", EventSort.DATE],
  ["price", EventSort.PRICE],
  ["name", EventSort.NAME],
] as const;

/** What a search must find, reckoned without a database. */
function expected(sort: keyof typeof sortFields, fits: (event: Stored) => boolean = () => true): string[] {
  const keysOf = (event: Stored) => [...sortFields[sort].map((field) => event[field]), event._id];
  const order = (one: Stored, other: Stored) => {
    const theirs = keysOf(other);
    for (const [at, key] of keysOf(one).entries()) {
      const against = theirs[at] ?? "";
      if (key !== against) return typeof key === "number" ? key - Number(against) : key < String(against) ? -1 : 1;
    }
    return 0;
  };
  return events
    .filter(fits)
    .sort(order)
    .map(({ _id }) => _id);
}

describe("300 events", () => {
  test.each(sorts)("by %s, page by page, are each there once and in order", async (name, sort) => {
    expect(await all({ sort })).toEqual(expected(name));
  });

  test.each(sorts)("by %s, narrowed by price, city and time, are those that fit", async (name, sort) => {
    const fits = (least: number, most: number) => (event: Stored) =>
      event.currency === "EUR" && event.tiers.some(({ amount }) => amount >= least && amount <= most);
    const within = await all({ sort, currency: "EUR", priceFrom: 1500, priceTo: 2000 });
    expect(within.length).toBeGreaterThan(20);
    expect(within).toEqual(expected(name, fits(1500, 2000)));
    // Between the cheapest and the dearest there is no tier of this price.
    expect(await all({ sort, currency: "EUR", priceFrom: 3501, priceTo: 4999 })).toEqual([]);
    expect(await all({ sort, currency: "EUR", priceTo: 1200 })).toEqual(expected(name, fits(0, 1200)));
    expect(await all({ sort, currency: "EUR", priceFrom: 20_000 })).toEqual(expected(name, fits(20_000, Infinity)));
    expect(await all({ sort, currency: "JPY" })).toEqual(expected(name, ({ currency }) => currency === "JPY"));
    const wish = { sort, city: "sao paulo", fromMs: start + 5 * day, toMs: start + 15 * day, limit: 11 };
    expect(await all({ ...wish, query: "ecl" })).toEqual(
      expected(
        name,
        ({ venue, startsAtMs, nameKey }) =>
          venue.city !== "Kiel" && nameKey.startsWith("ecl") && startsAtMs >= wish.fromMs && startsAtMs <= wish.toMs,
      ),
    );
  });

  test("a cursor leads on in its own order and search only", async () => {
    for (const [, sort] of sorts) {
      const { nextCursor } = await search({ sort, currency: "EUR", limit: 3 });
      for (const [, other] of sorts)
        if (other !== sort)
          await expectRefusal(search({ sort: other, currency: "EUR", cursor: nextCursor }), "REQUEST_INVALID");
      await expectRefusal(search({ sort, currency: "JPY", cursor: nextCursor }), "REQUEST_INVALID");
      const refused = search({ sort, currency: "EUR", priceTo: 5000, cursor: nextCursor });
      expect((await expectRefusal(refused, "REQUEST_INVALID")).message).toContain("Start again without it");
    }
  });

  test("nonsense about prices is refused, and so is a price without a currency", async () => {
    for (const wish of [
      { currency: "EURO" },
      { currency: "eur" },
      { currency: "EUR", priceFrom: -1 },
      { currency: "EUR", priceTo: -1 },
      { currency: "EUR", priceFrom: 3, priceTo: 2 },
    ])
      await expectRefusal(search(wish), "REQUEST_INVALID");
    for (const wish of [{ priceFrom: 1 }, { priceTo: 1 }])
      expect((await expectRefusal(search(wish), "REQUEST_INVALID")).message).toContain("currency");
  });

  test("can be narrowed by cities and currencies, the most common first, each city once however it is written", async () => {
    // One that is over is nothing to choose.
    const past = await publishEvent(
      inventory,
      newEvent({ venue: { name: "Hall", city: "Bygone", country: "DE", timeZone: "Europe/Berlin" } }),
    );
    await of(inventory).updateOne({ _id: past }, { $set: { startsAtMs: Date.now() - 2 * day } });
    expect(await inventory.catalog.getEventFacets({})).toEqual({
      cities: [
        { value: "Sao Paulo", events: 200 },
        { value: "Kiel", events: 100 },
      ],
      currencies: [
        { value: "EUR", events: 270 },
        { value: "JPY", events: 30 },
      ],
    });
    await of(inventory).deleteOne({ _id: past });
  });
});

describe("while events are added and cancelled", () => {
  test.each(sorts)("by %s, those that were there all the time are found exactly once", async (_, sort) => {
    const before = events.filter(({ status }) => status === "published").map(({ _id }) => _id);
    const added: string[] = [];
    let at = 0;
    const found = await all({ sort, limit: 100 }, async () => {
      at += 1;
      const event = {
        name: at % 2 ? "A first one" : "Zz a last one",
        startsAtMs: start + (at % 2 ? -day : 30 * day),
        tiers: [tier("standard", at % 2 ? 50 : 90_000)],
      };
      added.push(await publishEvent(inventory, newEvent(event)));
    });
    expect(found.filter((eventId) => !added.includes(eventId)).sort()).toEqual([...before].sort());
    expect(new Set(found).size).toBe(found.length);
    for (const eventId of added) await inventory.catalog.cancelEvent({ eventId, organiserId: "", reason: "" });
  });
});

test("events from before there were these orders get their place when a process starts", async () => {
  const database = newDatabase();
  const stores = inject("backing");
  const before = await startForTest(stores, {}, database);
  const ids: string[] = [];
  for (const [name, amount] of [
    ["Beta", 300],
    ["alpha", 900],
  ] as const)
    ids.push(await publishEvent(before, newEvent({ name, tiers: [tier("standard", amount)] })));
  await of(before).updateMany({}, { $unset: { nameKey: "", leastAmount: "" } });
  const found = async (from: Inventory, sort: EventSort) =>
    (await from.catalog.searchEvents({ ...anySearch, sort })).events.map(({ eventId }) => ids.indexOf(eventId));
  expect((await found(before, EventSort.DATE)).sort()).toEqual([0, 1]);
  expect([await found(before, EventSort.NAME), await found(before, EventSort.PRICE)]).toEqual([[], []]);
  await before.stop();
  const after = await startForTest(stores, {}, database);
  expect(await found(after, EventSort.NAME)).toEqual([1, 0]);
  expect(await found(after, EventSort.PRICE)).toEqual([0, 1]);
  await after.stop();
});
