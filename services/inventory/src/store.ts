// Events, layouts, channels, blocks and claims in MongoDB. A claim is one document a seat: its _id is what makes it impossible to sell a seat twice.
import { randomUUID } from "node:crypto";
import { type DatabaseSettings, isDuplicateKey, openDatabase } from "@onsale/kit/mongodb";
import type { PriceTier, Section, Venue } from "@onsale/proto/inventory/v1/catalog";
import { Binary, type ClientSession, type Filter } from "mongodb";
import type { Allotments, Channel } from "./channels/channel.js";
import { type EventSearch, type SearchKeys, searchKeysOf, sortFields } from "./events/event-search.js";
import type { EventRecord, EventStatus, OrphanRule } from "./events/events.js";
import type { OwnEventSearch } from "./events/own-events.js";

interface EventDocument extends SearchKeys {
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

interface LayoutDocument {
  /** Its version. */
  _id: string;
  sections: Section[];
}

/** The layout of an event in the words of whoever made it: looked at by nobody but them, so it stands apart. */
interface LayoutSourceDocument {
  /** The event's id; of an edit, "<eventId>:<random>", so that what is half done replaces nothing. */
  _id: string;
  source: string;
}

interface ClaimDocument {
  /** "<eventId>:<seatId>": at most one in the world. */
  _id: string;
  /** Absent: sold. */
  kind?: "block";
  eventId: string;
  sectionId: string;
  seatId: string;
  checkoutId: string;
  holdId: string;
  userId: string;
  /** Minor units. */
  amount: number;
  claimedAt: Date;
  /** The code that the seat was bought with, as channels.ts names it. */
  codeId?: string;
}

/**
 * What a checkout did with its claims: made in the same transaction as they are, or by a release that came first. Either way
 * a claim that arrives after the release, because a process stood still, finds it and is refused.
 */
interface SaleDocument {
  /** "<eventId>:<checkoutId>" */
  _id: string;
  eventId: string;
  checkoutId: string;
  state: "claimed" | "released";
  seatIds: string[];
  /** As in its claims, which are gone when this is asked again. */
  codeId?: string;
  at: Date;
  /** Released ones are forgotten after a while. */
  forgetAt?: Date;
}

/** All channels of an event in one document, so that no seat is ever two channels', and that their changes have an order. */
interface AllotmentsDocument {
  /** The event's id. */
  _id: string;
  version: number;
  nextPool: number;
  salt: string;
  channels: Channel[];
  /** When the next of them closes that has not ended; 0: none. */
  nextCloseMs: number;
}

/** Never changed; a channel that gets other codes gets another set. */
interface CodesDocument {
  _id: string;
  eventId: string;
  /** As packCodes made them. */
  hashes: Binary;
  at: Date;
}

/** Why seats are blocked, and by whom. Written before Valkey is told, so that what a crash leaves there can be told from what is coming. */
interface BlockDocument {
  /** "<eventId>:<blockId>" */
  _id: string;
  eventId: string;
  blockId: string;
  holdId: string;
  accountId: string;
  reason: string;
  state: "pending" | "blocked";
  /** Those that are not lifted. */
  seatIds: string[];
  at: Date;
}

/** Which process follows the claims, and how far it has come. */
interface FollowerDocument {
  _id: "claims";
  owner: string;
  until: Date;
  /** A change stream's resume token. */
  place?: string;
}

export interface Claim {
  /** Of a block, the checkout's id is the block's. */
  readonly kind?: "block";
  readonly seatId: string;
  readonly checkoutId: string;
  readonly holdId: string;
  readonly userId: string;
  readonly codeId?: string;
}

/** A seat got a claim, or lost it. */
export interface ClaimChange {
  readonly eventId: string;
  readonly seatId: string;
  /** Of the claim that is there now; undefined: none is. */
  readonly holdId: string | undefined;
}

export type StoredBlock = Omit<BlockDocument, "_id" | "eventId">;

/** A draft's content in place of another, and its channels as they fit this one. */
export interface Edit {
  /** With the revision that follows. */
  readonly event: EventRecord;
  readonly sections: readonly Section[];
  /** Empty: none. */
  readonly layoutSource: string;
  /** Those of the version before, or none, with the version that follows. */
  readonly allotments: Allotments;
}

export interface NewClaims {
  readonly eventId: string;
  readonly checkoutId: string;
  readonly holdId: string;
  readonly userId: string;
  readonly codeId?: string | undefined;
  readonly seats: readonly { readonly seatId: string; readonly sectionId: string; readonly amount: number }[];
}

export type ClaimOutcome =
  | { readonly kind: "claimed"; readonly fresh: boolean }
  /** These seats are others'. */
  | { readonly kind: "taken"; readonly owners: readonly Claim[] }
  /** The checkout has given its seats back, before or after it had them. */
  | { readonly kind: "released" };

export interface Facet {
  readonly value: string;
  readonly events: number;
}

export type Store = ReturnType<typeof openStore>;

const releasedKeptMs = 30 * 24 * 60 * 60 * 1000;
const claimTries = 5;
const changesWaitMs = 500;
const mostFacets = 1_000;
const codesSettleMs = 60 * 60 * 1000;

export function openStore({ uri, database: databaseName }: Pick<DatabaseSettings, "uri" | "database">) {
  const database = openDatabase({
    appName: "onsale inventory",
    uri,
    database: databaseName,
    what: "The events and seats",
  });
  const { client, db, asked } = database;
  const events = db.collection<EventDocument>("events");
  const layouts = db.collection<LayoutDocument>("layouts");
  const layoutSources = db.collection<LayoutSourceDocument>("layout_sources");
  const claims = db.collection<ClaimDocument>("claims");
  const sales = db.collection<SaleDocument>("sales");
  const followers = db.collection<FollowerDocument>("followers");
  const allotments = db.collection<AllotmentsDocument>("allotments");
  const codes = db.collection<CodesDocument>("codes");
  const blocks = db.collection<BlockDocument>("blocks");

  /** All of them by their ids; those that don't exist are left out. */
  async function claimsFor(eventId: string, seatIds: readonly string[]): Promise<Claim[]> {
    const ids = seatIds.map((seatId) => `${eventId}:${seatId}`);
    return await claims.find({ _id: { $in: ids } }, { projection: claimFields }).toArray();
  }

  /** Events from before there were names and prices to sort by get them; until then they are missing in those orders. */
  async function addSearchKeys(): Promise<void> {
    for (;;) {
      const without = { nameKey: { $exists: false } };
      const found = await events
        .find(without, { projection: { name: 1, venue: 1, tiers: 1 } })
        .limit(500)
        .toArray();
      if (found.length === 0) return;
      await events.bulkWrite(
        found.map((event) => ({
          updateOne: { filter: { _id: event._id, ...without }, update: { $set: searchKeysOf(event) } },
        })),
        { ordered: false },
      );
    }
  }

  async function keepLayout(version: string, sections: readonly Section[]): Promise<void> {
    await layouts.updateOne({ _id: version }, { $setOnInsert: { sections: [...sections] } }, { upsert: true });
  }

  async function insertClaims(wanted: NewClaims, session: ClientSession): Promise<void> {
    const { eventId, checkoutId, holdId, userId, codeId, seats } = wanted;
    const at = new Date();
    const seatIds = seats.map(({ seatId }) => seatId);
    await sales.insertOne(
      {
        _id: `${eventId}:${checkoutId}`,
        eventId,
        checkoutId,
        state: "claimed",
        seatIds,
        at,
        ...(codeId === undefined ? {} : { codeId }),
      },
      { session },
    );
    const documents = seats.map(({ seatId, sectionId, amount }) => ({
      _id: `${eventId}:${seatId}`,
      eventId,
      sectionId,
      seatId,
      checkoutId,
      holdId,
      userId,
      amount,
      claimedAt: at,
      ...(codeId === undefined ? {} : { codeId }),
    }));
    await claims.insertMany(documents, { session, ordered: true });
  }

  /** False: someone else was quicker. */
  async function saveAllotments(
    { eventId, channels, ...rest }: Allotments,
    options: { session?: ClientSession } = {},
  ): Promise<boolean> {
    const closes = channels.flatMap(({ ended, closesAtMs }) => (ended ? [] : [closesAtMs]));
    const document = { ...rest, channels: [...channels], nextCloseMs: closes.length > 0 ? Math.min(...closes) : 0 };
    if (rest.version > 1) {
      const before = { _id: eventId, version: rest.version - 1 };
      return (await allotments.replaceOne(before, document, options)).matchedCount === 1;
    }
    try {
      await allotments.insertOne({ _id: eventId, ...document }, options);
      return true;
    } catch (error) {
      if (isDuplicateKey(error)) return false;
      throw error;
    }
  }

  return {
    ping: database.ping,
    close: database.close,

    /** Idempotent. No index here is needed for a seat not to be sold twice: _id does that. */
    prepare: () =>
      asked(async () => {
        await events.createIndex({ status: 1, startsAtMs: 1, _id: 1 });
        await events.createIndex({ status: 1, currency: 1, leastAmount: 1, _id: 1 });
        await events.createIndex({ status: 1, nameKey: 1, _id: 1 });
        await events.createIndex({ status: 1, cityKey: 1, startsAtMs: 1, _id: 1 });
        await events.createIndex({ organiserId: 1, createdAt: -1, _id: -1 });
        await events.createIndex({ status: 1, createdAt: -1, _id: -1 });
        await sales.createIndex({ forgetAt: 1 }, { expireAfterSeconds: 0 });
        await sales.createIndex({ state: 1, at: 1, _id: 1 }, { name: "by_state_and_time" });
        await codes.createIndex({ eventId: 1 });
        await addSearchKeys();
      }),

    // ---- events

    /** False: the id is taken. */
    addEvent: (
      event: EventRecord,
      sections: readonly Section[],
      layoutSource: string,
      fingerprint: string,
    ): Promise<boolean> =>
      asked(async () => {
        // The layout first, so that no event is ever without.
        if (layoutSource !== "")
          await layoutSources.updateOne(
            { _id: event.eventId },
            { $setOnInsert: { source: layoutSource } },
            { upsert: true },
          );
        await keepLayout(event.layoutVersion, sections);
        const { eventId, published, tiers, createdAtMs, cancelledAtMs: _never, cancelReason: _none, ...rest } = event;
        try {
          await events.insertOne({
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
      }),

    findEvent: (
      eventId: string,
    ): Promise<{ event: EventRecord; fingerprint: string; layoutSourceId: string } | undefined> =>
      asked(async () => {
        const found = await events.findOne({ _id: eventId });
        if (!found) return undefined;
        const { fingerprint, layoutSourceId = eventId } = found;
        return { event: eventFrom(found), fingerprint, layoutSourceId };
      }),

    /** A draft, at this revision if one is named: as it was published. Undefined: it is no draft, or another revision. */
    publish: (eventId: string, revision: number | undefined): Promise<EventRecord | undefined> =>
      asked(async () => {
        const found = await events.findOneAndUpdate(
          { _id: eventId, status: "draft", ...(revision === undefined ? {} : atRevision(revision)) },
          { $set: { status: "published" } },
          { returnDocument: "after" },
        );
        return found ? eventFrom(found) : undefined;
      }),

    /**
     * In place of the revision and the channels just before, together or not at all. False: the event is no draft any more, or
     * someone else was quicker.
     */
    replaceDraft: ({ event, sections, layoutSource, allotments: channels }: Edit): Promise<boolean> =>
      asked(async () => {
        const { eventId, revision, tiers } = event;
        // What the event will point to is there before it does; until then nobody reads it.
        const layoutSourceId = `${eventId}:${randomUUID()}`;
        if (layoutSource !== "") await layoutSources.insertOne({ _id: layoutSourceId, source: layoutSource });
        await keepLayout(event.layoutVersion, sections);
        const { name, description, venue, startsAtMs, onSaleAtMs, offSaleAtMs, currency, seatsPerPerson } = event;
        const { capacity, layoutVersion, orphanRule, accessibleUntilMs, refundableUntilMs } = event;
        const content = {
          ...{ name, description, venue, startsAtMs, onSaleAtMs, offSaleAtMs, currency, seatsPerPerson },
          ...{ capacity, layoutVersion, orphanRule, accessibleUntilMs, refundableUntilMs },
          tiers: [...tiers],
          ...searchKeysOf(event),
        };
        let before = eventId;
        const saved = await client.withSession((session) =>
          session.withTransaction(
            async () => {
              const replaced = await events.findOneAndUpdate(
                { _id: eventId, status: "draft", ...atRevision(revision - 1) },
                { $set: { ...content, revision, layoutSourceId } },
                { session, projection: { layoutSourceId: 1 } },
              );
              before = replaced?.layoutSourceId ?? eventId;
              if (replaced && (await saveAllotments(channels, { session }))) return true;
              await session.abortTransaction();
              return false;
            },
            { writeConcern: { w: "majority" } },
          ),
        );
        await layoutSources.deleteOne({ _id: saved ? before : layoutSourceId });
        return saved;
      }),

    /** Once: the first time and reason stay. */
    cancel: (eventId: string, cancelledAtMs: number, cancelReason: string): Promise<void> =>
      asked(async () => {
        await events.updateOne(
          { _id: eventId, status: "published" },
          { $set: { status: "cancelled", cancelledAtMs, cancelReason } },
        );
      }),

    /** Newest first. */
    ownEvents: ({ organiserId, statuses, words, limit, after }: OwnEventSearch): Promise<EventRecord[]> =>
      asked(async () => {
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
        const found = await events.find(filter).sort({ createdAt: -1, _id: -1 }).limit(limit).toArray();
        return found.map(eventFrom);
      }),

    /** Those that are there, drafts too, in any order. */
    eventsOf: (eventIds: readonly string[]): Promise<EventRecord[]> =>
      asked(async () => (await events.find({ _id: { $in: [...eventIds] } }).toArray()).map(eventFrom)),

    /** Empty: none was kept, or an edit has replaced it just now. */
    layoutSource: (layoutSourceId: string): Promise<string> =>
      asked(async () => (await layoutSources.findOne({ _id: layoutSourceId }))?.source ?? ""),

    searchEvents: (search: EventSearch): Promise<EventRecord[]> =>
      asked(async () => {
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
          const place = [
            ...fields.map((field, at) => [field, after.keys[at]] as const),
            ["_id", after.eventId] as const,
          ];
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
        const found = await events.find(filter).sort(order).limit(limit).toArray();
        return found.map(eventFrom);
      }),

    /** How many published events that start at this time or later there are in each city and each currency; most first. */
    eventFacets: (fromMs: number): Promise<{ cities: Facet[]; currencies: Facet[] }> =>
      asked(async () => {
        const count = async (key: string, value: string): Promise<Facet[]> => {
          const found = await events
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
      }),

    findSections: (layoutVersion: string): Promise<Section[] | undefined> =>
      asked(async () => (await layouts.findOne({ _id: layoutVersion }))?.sections.map(sectionFrom)),

    /** The next epoch of the event's seats, higher than any before and than `than`. */
    raiseEpoch: (eventId: string, than: number): Promise<number | undefined> =>
      asked(async () => {
        await events.updateOne({ _id: eventId }, { $max: { epoch: than } });
        const raised = await events.findOneAndUpdate(
          { _id: eventId },
          { $inc: { epoch: 1 } },
          { returnDocument: "after", projection: { epoch: 1 } },
        );
        return raised?.epoch;
      }),

    // ---- channels

    allotmentsOf: (eventId: string): Promise<Allotments> =>
      asked(async () => {
        const found = await allotments.findOne({ _id: eventId });
        if (!found) return { eventId, version: 0, nextPool: 1, salt: "", channels: [] };
        const { version, nextPool, salt, channels } = found;
        return { eventId, version, nextPool, salt, channels };
      }),

    /** In place of the version just before. False: someone else was quicker. */
    saveAllotments: (next: Allotments): Promise<boolean> => asked(() => saveAllotments(next)),

    /** Of those of the events that have channels: which version they are at, and when the next channel closes (0: none will). */
    allotmentHeads: (
      eventIds: readonly string[],
    ): Promise<{ eventId: string; version: number; nextCloseMs: number }[]> =>
      asked(async () => {
        const found = await allotments
          .find({ _id: { $in: [...eventIds] } }, { projection: { version: 1, nextCloseMs: 1 } })
          .toArray();
        return found.map(({ _id, version, nextCloseMs }) => ({ eventId: _id, version, nextCloseMs }));
      }),

    addCodes: (eventId: string, codesId: string, packed: Buffer): Promise<void> =>
      asked(async () => {
        await codes.insertOne({ _id: codesId, eventId, hashes: new Binary(packed), at: new Date() });
      }),

    /** Undefined: the channel has got others since. */
    codesOf: (codesId: string): Promise<Buffer | undefined> =>
      asked(async () => {
        const found = await codes.findOne({ _id: codesId });
        return found && Buffer.from(found.hashes.buffer.subarray(0, found.hashes.position));
      }).then((found) => found ?? undefined),

    /** Those that no channel has any more; young ones may be about to be somebody's. */
    dropCodes: (eventId: string, kept: readonly string[]): Promise<void> =>
      asked(async () => {
        const at = { $lt: new Date(Date.now() - codesSettleMs) };
        await codes.deleteMany({ eventId, _id: { $nin: [...kept] }, at });
      }),

    // ---- blocks

    /** The block that has this id now: this one, or the one that came before. */
    beginBlock: (eventId: string, block: StoredBlock): Promise<StoredBlock> =>
      asked(async () => {
        const _id = `${eventId}:${block.blockId}`;
        try {
          await blocks.insertOne({ _id, eventId, ...block });
          return block;
        } catch (error) {
          if (!isDuplicateKey(error)) throw error;
        }
        const found = await blocks.findOne({ _id });
        return found ? blockFrom(found) : block;
      }),

    /** Claims the seats of a pending block, all or none. "gone": it was given up meanwhile. */
    commitBlock: (
      eventId: string,
      { blockId, holdId, accountId, at }: StoredBlock,
      seats: NewClaims["seats"],
    ): Promise<{ kind: "blocked" | "gone" } | { kind: "taken"; owners: readonly Claim[] }> =>
      asked(async () => {
        const _id = `${eventId}:${blockId}`;
        const documents = seats.map(({ seatId, sectionId }) => ({
          _id: `${eventId}:${seatId}`,
          kind: "block" as const,
          eventId,
          sectionId,
          seatId,
          checkoutId: blockId,
          holdId,
          userId: accountId,
          amount: 0,
          claimedAt: at,
        }));
        for (let tries = 1; ; tries++) {
          try {
            const pending = await client.withSession((session) =>
              session.withTransaction(
                async () => {
                  const begun = await blocks.updateOne(
                    { _id, state: "pending" },
                    { $set: { state: "blocked" } },
                    { session },
                  );
                  if (begun.matchedCount === 1) await claims.insertMany(documents, { session, ordered: true });
                  return begun.matchedCount === 1;
                },
                { writeConcern: { w: "majority" } },
              ),
            );
            if (pending) return { kind: "blocked" };
            return { kind: (await blocks.findOne({ _id }))?.state === "blocked" ? "blocked" : "gone" };
          } catch (error) {
            if (!isDuplicateKey(error)) throw error;
          }
          const found = await claimsFor(
            eventId,
            seats.map(({ seatId }) => seatId),
          );
          const owners = found.filter(({ checkoutId }) => checkoutId !== blockId);
          if (owners.length > 0) return { kind: "taken", owners };
          if (tries >= claimTries)
            throw new Error(`a block met duplicates ${tries} times, and each time they were gone`);
        }
      }),

    /** Gives a block up that has no claims yet, if it was begun before `begunBeforeMs`. False: there is no such one. */
    abandonBlock: (eventId: string, holdId: string, begunBeforeMs: number): Promise<boolean> =>
      asked(async () => {
        const range = { $gte: `${eventId}:`, $lt: `${eventId};` };
        const filter = { _id: range, holdId, state: "pending" as const, at: { $lte: new Date(begunBeforeMs) } };
        return (await blocks.deleteOne(filter)).deletedCount === 1;
      }),

    /** All of an event, with those that are being made. */
    blocksOf: (eventId: string): Promise<StoredBlock[]> =>
      asked(async () => {
        const found = await blocks.find({ _id: { $gte: `${eventId}:`, $lt: `${eventId};` } }).toArray();
        return found.map(blockFrom);
      }),

    /** Ends the claims of a block on these seats; how many it still had. */
    endBlockClaims: (eventId: string, holdId: string, seatIds: readonly string[]): Promise<number> =>
      asked(async () => {
        const ids = seatIds.map((seatId) => `${eventId}:${seatId}`);
        return (await claims.deleteMany({ _id: { $in: ids }, kind: "block", holdId })).deletedCount;
      }),

    /** Once Valkey knows that they are free. */
    forgetBlockedSeats: (eventId: string, blockId: string, seatIds: readonly string[]): Promise<void> =>
      asked(async () => {
        await blocks.updateOne({ _id: `${eventId}:${blockId}` }, { $pull: { seatIds: { $in: [...seatIds] } } });
      }),

    // ---- claims

    /** All or none. A claim of this checkout before counts as success, unless it was given back. */
    claim: (wanted: NewClaims): Promise<ClaimOutcome> =>
      asked(async () => {
        const { eventId, checkoutId } = wanted;
        const seatIds = wanted.seats.map(({ seatId }) => seatId);
        for (let tries = 1; ; tries++) {
          try {
            await client.withSession((session) =>
              session.withTransaction(() => insertClaims(wanted, session), { writeConcern: { w: "majority" } }),
            );
            return { kind: "claimed", fresh: true };
          } catch (error) {
            if (!isDuplicateKey(error)) throw error;
          }
          const found = await claimsFor(eventId, seatIds);
          const owners = found.filter((claim) => claim.checkoutId !== checkoutId);
          const sale = await sales.findOne({ _id: `${eventId}:${checkoutId}` });
          if (sale?.state === "released") return { kind: "released" };
          if (sale && found.length - owners.length === seatIds.length) return { kind: "claimed", fresh: false };
          // It has had claims, and has given back some of these: they are no more its to take.
          if (sale) return { kind: "released" };
          if (owners.length > 0) return { kind: "taken", owners };
          // Whoever stood in the way is gone again.
          if (tries >= claimTries)
            throw new Error(`a claim met duplicates ${tries} times, and each time they were gone`);
        }
      }),

    /** Does this checkout own all of these seats? */
    owns: (eventId: string, checkoutId: string, seatIds: readonly string[]): Promise<boolean> =>
      asked(async () => {
        const found = await claimsFor(eventId, seatIds);
        return found.length === seatIds.length && found.every((claim) => claim.checkoutId === checkoutId);
      }),

    /**
     * Gives back the seats that are this checkout's own. With all of them, or none named, the checkout can't claim any more.
     * Answers how many were given back now, which ever were or may be (so that Valkey can be told again), and whether it was all.
     */
    releaseClaims: (eventId: string, checkoutId: string, named: readonly string[]) =>
      asked(async () => {
        const _id = `${eventId}:${checkoutId}`;
        const ended = { state: "released" as const, at: new Date(), forgetAt: new Date(Date.now() + releasedKeptMs) };
        const sale = await sales.findOne({ _id });
        const all = named.length === 0 || !sale || sale.seatIds.every((seatId) => named.includes(seatId));
        if (all)
          await sales.updateOne(
            { _id },
            { $set: ended, $setOnInsert: { eventId, checkoutId, seatIds: [...named] } },
            { upsert: true },
          );
        // Read again: a claim may have come between.
        const present = all ? await sales.findOne({ _id }) : sale;
        const seatIds = all ? [...new Set([...named, ...(present?.seatIds ?? [])])] : [...named];
        const ids = seatIds.map((seatId) => `${eventId}:${seatId}`);
        const { deletedCount } =
          ids.length === 0 ? { deletedCount: 0 } : await claims.deleteMany({ _id: { $in: ids }, checkoutId });
        return { released: deletedCount, seatIds, all, codeId: present?.codeId };
      }),

    /** All claims of a checkout. */
    claimsOf: (eventId: string, checkoutId: string): Promise<Claim[]> =>
      asked(async () => {
        const sale = await sales.findOne({ _id: `${eventId}:${checkoutId}` });
        const found = sale ? await claimsFor(eventId, sale.seatIds) : [];
        return found.filter((claim) => claim.checkoutId === checkoutId);
      }),

    claimsFor: (eventId: string, seatIds: readonly string[]) => asked(() => claimsFor(eventId, seatIds)),

    /** What a checkout has claimed, whether or not it has given some of it back; undefined: nothing, or all is back. */
    saleOf: (eventId: string, checkoutId: string): Promise<{ seatIds: string[]; claims: Claim[] } | undefined> =>
      asked(async () => {
        const sale = await sales.findOne({ _id: `${eventId}:${checkoutId}`, state: "claimed" });
        if (!sale) return undefined;
        const found = await claimsFor(eventId, sale.seatIds);
        return { seatIds: sale.seatIds, claims: found.filter((claim) => claim.checkoutId === checkoutId) };
      }),

    /** Checkouts that have claimed seats within [sinceMs, beforeMs), oldest first, after the one named. */
    salesBetween: (
      sinceMs: number,
      beforeMs: number,
      after: { readonly atMs: number; readonly id: string } | undefined,
      limit: number,
    ): Promise<{ id: string; eventId: string; checkoutId: string; atMs: number }[]> =>
      asked(async () => {
        const from = after && {
          $or: [{ at: { $gt: new Date(after.atMs) } }, { at: new Date(after.atMs), _id: { $gt: after.id } }],
        };
        const found = await sales
          .find(
            { state: "claimed", at: { $gte: new Date(sinceMs), $lt: new Date(beforeMs) }, ...from },
            { projection: { eventId: 1, checkoutId: 1, at: 1 } },
          )
          .sort({ at: 1, _id: 1 })
          .limit(limit)
          .toArray();
        return found.map(({ _id: id, eventId, checkoutId, at }) => ({ id, eventId, checkoutId, atMs: at.getTime() }));
      }),

    /** Every claim of an event that was committed before this was called. By _id, so that no further index is paid for by each sale. */
    allClaims: (eventId: string): Promise<Claim[]> =>
      asked(() =>
        claims
          .find({ _id: { $gte: `${eventId}:`, $lt: `${eventId};` } }, { projection: claimFields, batchSize: 2_000 })
          .toArray(),
      ),

    /** Buyers' and organisers' claims of an event, by their seats' ids. */
    claimsAfter: (eventId: string, seatId: string, limit: number): Promise<Claim[]> =>
      asked(() =>
        claims
          .find({ _id: { $gt: `${eventId}:${seatId}`, $lt: `${eventId};` } }, { projection: claimFields })
          .sort({ _id: 1 })
          .limit(limit)
          .toArray(),
      ),

    // ---- following the claims (see follower.ts)

    /**
     * Takes the right to follow the claims, or keeps it, for so long; and keeps the place that was reached. Answers the place that
     * was kept, or undefined when another process follows. By this process's clock: for economy, not for correctness.
     */
    follow: (owner: string, leaseMs: number, place?: string): Promise<{ place: string | undefined } | undefined> =>
      asked(async () => {
        const now = Date.now();
        try {
          const lease = await followers.findOneAndUpdate(
            { _id: "claims", $or: [{ owner }, { until: { $lte: new Date(now) } }] },
            { $set: { owner, until: new Date(now + leaseMs), ...(place !== undefined && { place }) } },
            { upsert: true, returnDocument: "after" },
          );
          return { place: lease?.place };
        } catch (error) {
          if (isDuplicateKey(error)) return undefined; // it is there, and another's
          throw error;
        }
      }),

    /** Changes of claims in their order, from after this place on, or from now on. An error that can't be tried again: the place is lost. */
    changesOfClaims(place: string | undefined) {
      const fields = { operationType: 1, documentKey: 1, "fullDocument.holdId": 1 };
      const stream = claims.watch([{ $project: fields }], {
        maxAwaitTimeMS: changesWaitMs,
        ...(place !== undefined && { resumeAfter: { _data: place } }),
      });
      return {
        /** Waits half a second for one. */
        next: (): Promise<ClaimChange | undefined> =>
          asked(async () => {
            const change = await stream.tryNext();
            if (!change) return undefined;
            if (!("documentKey" in change))
              throw new Error(`the claims can't be followed any more: ${change.operationType}`);
            const id = String(change.documentKey._id);
            const colon = id.indexOf(":");
            const made = "fullDocument" in change ? change.fullDocument?.holdId : undefined;
            const holdId = change.operationType === "delete" ? undefined : (made ?? "unknown");
            return { eventId: id.slice(0, colon), seatId: id.slice(colon + 1), holdId };
          }),
        /** Where the last answer of `next` leads. */
        place: (): string | undefined => (stream.resumeToken as { _data?: string } | undefined)?._data,
        close: () => stream.close().catch(() => undefined),
      };
    },
  };
}

const claimFields = { _id: 0, kind: 1, seatId: 1, checkoutId: 1, holdId: 1, userId: 1, codeId: 1 } as const;

function blockFrom({ _id, eventId: _event, ...block }: BlockDocument): StoredBlock {
  return block;
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
const atRevision = (revision: number): Filter<EventDocument> =>
  revision === 0 ? { $or: [{ revision }, { revision: { $exists: false } }] } : { revision };

/** Each must begin a word of the event. */
const matching = (words: readonly string[]): Filter<EventDocument>[] =>
  words.map((word) => ({ searchText: { $regex: `(^| )${word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}` } }));

/** Layouts from before there were accessible seats and focal points lack them. */
function sectionFrom(stored: Section): Section {
  const rows = stored.rows.map((row) => ({ ...row, accessible: row.accessible ?? [], companion: row.companion ?? [] }));
  return { ...stored, focalRow: stored.focalRow ?? "", focalSeat: stored.focalSeat ?? 0, rows };
}
