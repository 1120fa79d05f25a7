// How published events are searched: the keys that are stored for it, the orders, and what a cursor means. Pure.
import { derivedHex64 } from "@onsale/kit/ids";
import { readCursorParts, writeCursorParts } from "./cursors.js";
import type { EventRecord } from "./events.js";
import { searchWords } from "./search-words.js";

export const eventSorts = ["date", "price", "name"] as const;
export type EventSort = (typeof eventSorts)[number];

/** What is stored beside an event, so that it is found; to be made anew whenever the event changes. */
export interface SearchKeys {
  /** The words of its name, its venue and its city. */
  readonly searchText: string;
  readonly cityKey: string;
  /** Where it stands by name. */
  readonly nameKey: string;
  /** Of its cheapest price tier, in the minor unit of its currency: where it stands by price. */
  readonly leastAmount: number;
}

/** Of a longer name these many characters decide, so that a cursor stays short; events that are equal in them come by their ids. */
const longestNameKey = 40;

export const searchKeysOf = ({ name, venue, tiers }: Pick<EventRecord, "name" | "venue" | "tiers">): SearchKeys => ({
  searchText: searchWords(`${name} ${venue.name} ${venue.city}`).join(" "),
  cityKey: cityKey(venue.city),
  nameKey: [...searchWords(name).join(" ")].slice(0, longestNameKey).join(""),
  leastAmount: Math.min(...tiers.map(({ amount }) => amount)),
});

export const cityKey = (city: string): string => searchWords(city).join(" ");

export interface EventSearch {
  /** Each must begin a word of the event. */
  readonly words: readonly string[];
  /** As cityKey made it; empty: any. */
  readonly city: string;
  /** 0: open. */
  readonly fromMs: number;
  readonly toMs: number;
  /** Empty: any; but a price needs one. */
  readonly currency: string;
  /** One of the event's price tiers lies between them, both included, in the currency's minor unit. 0: open. */
  readonly priceFrom: number;
  readonly priceTo: number;
  readonly sort: EventSort;
  /** How many at most; asked from outside, 0 means 20. */
  readonly limit: number;
  readonly after: SearchPlace | undefined;
}

export const allEvents = {
  words: [],
  city: "",
  fromMs: 0,
  toMs: 0,
  currency: "",
  priceFrom: 0,
  priceTo: 0,
  sort: "date",
} as const satisfies Omit<EventSearch, "limit" | "after">;

/** Where an event stands in an order. */
export interface SearchPlace {
  /** The values of the order's fields, as sortFields names them. */
  readonly keys: readonly (string | number)[];
  readonly eventId: string;
}

/** An order's fields, rising; then the event's id, so that no two events have one place. Each order has its index in the store. */
export const sortFields = {
  date: ["startsAtMs"],
  price: ["currency", "leastAmount"],
  name: ["nameKey"],
} as const satisfies Readonly<Record<EventSort, readonly string[]>>;

export function placeOf(event: EventRecord, sort: EventSort): SearchPlace {
  const { eventId, startsAtMs, currency } = event;
  const { nameKey, leastAmount } = searchKeysOf(event);
  const values = { startsAtMs, currency, nameKey, leastAmount };
  return { keys: sortFields[sort].map((field) => values[field]), eventId };
}

/** A cursor belongs to its search and its order: with another one, or changed by hand, it is refused. */
export function writeCursor(search: EventSearch, { keys, eventId }: SearchPlace): string {
  return writeCursorParts([...keys, eventId, cursorCheck(search, { keys, eventId })]);
}

export function readCursor(search: EventSearch, cursor: string): SearchPlace | undefined {
  const parts = readCursorParts(cursor);
  if (parts?.length !== sortFields[search.sort].length + 2) return undefined;
  const [eventId, check] = parts.slice(-2);
  const keys = parts.slice(0, -2);
  if (typeof eventId !== "string" || !keys.every((key) => typeof key === "string" || Number.isSafeInteger(key)))
    return undefined;
  const place = { keys: keys as (string | number)[], eventId };
  return check === cursorCheck(search, place) ? place : undefined;
}

function cursorCheck(search: EventSearch, { keys, eventId }: SearchPlace): string {
  const { words, city, fromMs, toMs, currency, priceFrom, priceTo, sort } = search;
  // Only where they are given: cursors from before there were these go on.
  const more = [currency, priceFrom, priceTo, sort].join() === ",0,0,date" ? [] : [currency, priceFrom, priceTo, sort];
  return derivedHex64("cursor", JSON.stringify([words, city, fromMs, toMs, ...more]), ...keys.map(String), eventId);
}
