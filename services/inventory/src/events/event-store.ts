// Events in MongoDB, and what they are found by.
import { type Database, isDuplicateKey } from "@onsale/kit/mongodb";
import type { PriceTier, Section, Venue } from "@onsale/proto/inventory/v1/catalog";
import type { Filter } from "mongodb";
import type { LayoutStore } from "../hall/layout-store.js";
import { type EventSearch, type SearchKeys, searchKeysOf, sortFields } from "./event-search.js";
import type { EventRecord, EventStatus, OrphanRule } from "./events.js";
import type { OwnEventSearch } from "./own-events.js";

export interface EventDocument extends SearchKeys {
  _id: string;
  organiserId: string;
  name: string;
  description: string;
  venue: Venue;
  status: EventStatus;
  startsAtMs: number;
  onSaleAtMs: number;
  offSaleAtMs: number;
  currency: string;
  seatsPerPerson: number;
  tiers: PriceTier[];
  capacity: number;
  layoutVersion: string;
  /** Absent in events from before there was this; so is the next. */
  orphanRule?: OrphanRule;
  accessibleUntilMs?: number;
  refundableUntilMs?: number;
  /** With status cancelled. */
  cancelledAtMs?: number;
  cancelReason?: string;
  epoch: number;
  /** Absent in drafts from before they could be edited, as is the next: their layout's words have the event's id. */
  revision?: number;
  layoutSourceId?: string;
  /** Of the request that made it. */
  fingerprint: string;
  createdAt: Date;
}

export interface Facet {
  readonly value: string;
  readonly events: number;
}

const mostFacets = 1_000;

export class EventStore {
  readonly #asked;
  readonly #layouts: LayoutStore;
  readonly #events;

  constructor({ db, asked }: Database, layouts: LayoutStore) {
    this.#asked = asked;
    this.#layouts = layouts;
    this.#events = db.collection<EventDocument>("events");
  }

  /** Idempotent. */
  prepare(): Promise<void> {
    return this.#asked(async () => {
      await this.#events.createIndex({ status: 1, startsAtMs: 1, _id: 1 });
      await this.#events.createIndex({ status: 1, currency: 1, leastAmount: 1, _id: 1 });
      await this.#events.createIndex({ status: 1, nameKey: 1, _id: 1 });
      await this.#events.createIndex({ status: 1, cityKey: 1, startsAtMs: 1, _id: 1 });
      await this.#events.createIndex({ organiserId: 1, createdAt: -1, _id: -1 });
      await this.#events.createIndex({ status: 1, createdAt: -1, _id: -1 });
      await this.#addSearchKeys();
    });
  }

  /** Events from before there were names and prices to sort by get them; until then they are missing in those orders. */
  async #addSearchKeys(): Promise<void> {
    for (;;) {
      const without = { nameKey: { $exists: false } };
      const found = await this.#events
        .find(without, { projection: { name: 1, venue: 1, tiers: 1 } })
        .limit(500)
        .toArray();
      if (found.length === 0) return;
      await this.#events.bulkWrite(
        found.map((event) => ({
          updateOne: { filter: { _id: event._id, ...without }, update: { $set: searchKeysOf(event) } },
        })),
        { ordered: false },
      );
    }
  }

  /** False: the id is taken. */
  add(event: EventRecord, sections: readonly Section[], layoutSource: string, fingerprint: string): Promise<boolean> {
    return this.#asked(async () => {
      // The layout first, so that no event is ever without.
      if (layoutSource !== "") await this.#layouts.keepSource(event.eventId, layoutSource);
      await this.#layouts.keep(event.layoutVersion, sections);
      const { eventId, published, tiers, createdAtMs, cancelledAtMs: _never, cancelReason: _none, ...rest } = event;
      try {
        await this.#events.insertOne({
          _id: eventId,
          ...rest,
          tiers: [...tiers],
          status: published ? "published" : "draft",
          fingerprint,
          ...searchKeysOf(event),
          createdAt: new Date(createdAtMs),
        });
        return true;
      } catch (error) {
        if (isDuplicateKey(error)) return false;
        throw error;
      }
    });
  }

  find(eventId: string): Promise<{ event: EventRecord; fingerprint: string; layoutSourceId: string } | undefined> {
    return this.#asked(async () => {
      const found = await this.#events.findOne({ _id: eventId });
      if (!found) return undefined;
      const { fingerprint, layoutSourceId = eventId } = found;
      return { event: eventFrom(found), fingerprint, layoutSourceId };
    });
  }

  /** A draft, at this revision if one is named: as it was published. Undefined: it is no draft, or another revision. */
  publish(eventId: string, revision: number | undefined): Promise<EventRecord | undefined> {
    return this.#asked(async () => {
      const found = await this.#events.findOneAndUpdate(
        { _id: eventId, status: "draft", ...(revision === undefined ? {} : atRevision(revision)) },
        { $set: { status: "published" } },
        { returnDocument: "after" },
      );
      return found ? eventFrom(found) : undefined;
    });
  }

  /** Once: the first time and reason stay. */
  cancel(eventId: string, cancelledAtMs: number, cancelReason: string): Promise<void> {
    return this.#asked(async () => {
      await this.#events.updateOne(
        { _id: eventId, status: "published" },
        { $set: { status: "cancelled", cancelledAtMs, cancelReason } },
      );
    });
  }

  /** Newest first. */
  own({ organiserId, statuses, words, limit, after }: OwnEventSearch): Promise<EventRecord[]> {
    return this.#asked(async () => {
      const conditions: Filter<EventDocument>[] = matching(words);
      if (after) {
        const createdAt = new Date(after.createdAtMs);
        conditions.push({
          $or: [{ createdAt: { $lt: createdAt } }, { createdAt, _id: { $lt: after.eventId } }],
        });
      }
      const filter: Filter<EventDocument> = {
        // Of one organiser there are not many. Of all others, each status has its own run in an index, newest first.
        ...(organiserId === ""
          ? { status: { $in: statuses.length === 0 ? ["draft", "published", "cancelled"] : [...statuses] } }
          : { organiserId, ...(statuses.length === 0 ? {} : { status: { $in: [...statuses] } }) }),
        ...(conditions.length === 0 ? {} : { $and: conditions }),
      };
      const found = await this.#events.find(filter).sort({ createdAt: -1, _id: -1 }).limit(limit).toArray();
      return found.map(eventFrom);
    });
  }

  /** Those that are there, drafts too, in any order. */
  some(eventIds: readonly string[]): Promise<EventRecord[]> {
    return this.#asked(async () => (await this.#events.find({ _id: { $in: [...eventIds] } }).toArray()).map(eventFrom));
  }

  search(search: EventSearch): Promise<EventRecord[]> {
    return this.#asked(async () => {
      const { words, city, fromMs, toMs, currency, priceFrom, priceTo, sort, limit, after } = search;
      const fields = sortFields[sort];
      const conditions: Filter<EventDocument>[] = matching(words);
      if (fromMs > 0) conditions.push({ startsAtMs: { $gte: fromMs } });
      if (toMs > 0) conditions.push({ startsAtMs: { $lte: toMs } });
      if (priceTo > 0) conditions.push({ leastAmount: { $lte: priceTo } }); // implied by the next, but there is an index for it
      if (priceFrom > 0 || priceTo > 0)
        conditions.push({
          tiers: { $elemMatch: { amount: { $gte: priceFrom, ...(priceTo > 0 && { $lte: priceTo }) } } },
        });
      // An event that has no such key yet has no place in the order.
      if (sort === "price") conditions.push({ leastAmount: { $gt: 0 } });
      if (sort === "name") conditions.push({ nameKey: { $gte: "" } });
      if (after) {
        const place = [...fields.map((field, at) => [field, after.keys[at]] as const), ["_id", after.eventId] as const];
        // Equal in the fields before, and greater in this one.
        const beyond = place.map(([field, key], at) => ({
          ...Object.fromEntries(place.slice(0, at)),
          [field]: { $gt: key },
        }));
        // The first is implied by the second; it lets an index be read from there on.
        conditions.push({ [fields[0]]: { $gte: after.keys[0] } }, { $or: beyond });
      }
      const filter: Filter<EventDocument> = {
        status: "published",
        ...(city === "" ? {} : { cityKey: city }),
        ...(currency === "" ? {} : { currency }),
        ...(conditions.length === 0 ? {} : { $and: conditions }),
      };
      const order = Object.fromEntries([...fields, "_id"].map((field) => [field, 1 as const]));
      const found = await this.#events.find(filter).sort(order).limit(limit).toArray();
      return found.map(eventFrom);
    });
  }

  /** How many published events that start at this time or later there are in each city and each currency; most first. */
  facets(fromMs: number): Promise<{ cities: Facet[]; currencies: Facet[] }> {
    return this.#asked(async () => {
      const count = async (key: string, value: string): Promise<Facet[]> => {
        const found = await this.#events
          .aggregate<{ value: string; events: number }>([
            { $match: { status: "published", startsAtMs: { $gte: fromMs } } },
            // Of a city that is written in several ways, one.
            { $group: { _id: key, value: { $min: value }, events: { $sum: 1 } } },
            { $sort: { events: -1, _id: 1 } },
            { $limit: mostFacets },
          ])
          .toArray();
        return found.map(({ value: said, events: number }) => ({ value: said, events: number }));
      };
      const [cities, currencies] = await Promise.all([
        count("$cityKey", "$venue.city"),
        count("$currency", "$currency"),
      ]);
      return { cities, currencies };
    });
  }

  /** The next epoch of the event's seats, higher than any before and than `than`. */
  raiseEpoch(eventId: string, than: number): Promise<number | undefined> {
    return this.#asked(async () => {
      await this.#events.updateOne({ _id: eventId }, { $max: { epoch: than } });
      const raised = await this.#events.findOneAndUpdate(
        { _id: eventId },
        { $inc: { epoch: 1 } },
        { returnDocument: "after", projection: { epoch: 1 } },
      );
      return raised?.epoch;
    });
  }
}

function eventFrom(document: EventDocument): EventRecord {
  const { _id, status, fingerprint: _made, layoutSourceId: _source, createdAt, ...stored } = document;
  const { searchText: _words, cityKey: _city, nameKey: _name, leastAmount: _amount, ...rest } = stored;
  return {
    orphanRule: "lenient",
    accessibleUntilMs: 0,
    refundableUntilMs: 0,
    cancelledAtMs: 0,
    cancelReason: "",
    revision: 0,
    ...rest,
    eventId: _id,
    published: status !== "draft",
    createdAtMs: createdAt.getTime(),
  };
}

/** Those from before there were revisions are at none. */
export const atRevision = (revision: number): Filter<EventDocument> =>
  revision === 0 ? { $or: [{ revision }, { revision: { $exists: false } }] } : { revision };

/** Each must begin a word of the event. */
const matching = (words: readonly string[]): Filter<EventDocument>[] =>
  words.map((word) => ({ searchText: { $regex: `(^| )${word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}` } }));
