// Events, layouts and claims in MongoDB. A claim is one document a seat: its _id is what makes it impossible to sell a seat twice.
import { type DatabaseSettings, isDuplicateKey, openDatabase } from "@onsale/kit/mongodb";
import type { PriceTier, Section, Venue } from "@onsale/proto/inventory/v1/catalog";
import type { ClientSession, Filter } from "mongodb";
import { cityKey, type EventRecord, type EventSearch, searchText } from "./events.js";

interface EventDocument {
  _id: string;
  organiserId: string;
  name: string;
  description: string;
  venue: Venue;
  status: "draft" | "published";
  startsAtMs: number;
  onSaleAtMs: number;
  offSaleAtMs: number;
  currency: string;
  seatsPerPerson: number;
  tiers: PriceTier[];
  capacity: number;
  layoutVersion: string;
  epoch: number;
  /** Of the request that made it. */
  fingerprint: string;
  searchText: string;
  cityKey: string;
  createdAt: Date;
}

interface LayoutDocument {
  /** Its version. */
  _id: string;
  sections: Section[];
}

interface ClaimDocument {
  /** "<eventId>:<seatId>": at most one in the world. */
  _id: string;
  eventId: string;
  sectionId: string;
  seatId: string;
  checkoutId: string;
  holdId: string;
  userId: string;
  /** Minor units. */
  amount: number;
  claimedAt: Date;
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
  at: Date;
  /** Released ones are forgotten after a while. */
  forgetAt?: Date;
}

export interface Claim {
  readonly seatId: string;
  readonly checkoutId: string;
  readonly holdId: string;
  readonly userId: string;
}

export interface NewClaims {
  readonly eventId: string;
  readonly checkoutId: string;
  readonly holdId: string;
  readonly userId: string;
  readonly seats: readonly { readonly seatId: string; readonly sectionId: string; readonly amount: number }[];
}

export type ClaimOutcome =
  | { readonly kind: "claimed"; readonly fresh: boolean }
  /** These seats are others'. */
  | { readonly kind: "taken"; readonly owners: readonly Claim[] }
  /** The checkout has given its seats back, before or after it had them. */
  | { readonly kind: "released" };

export type Store = ReturnType<typeof openStore>;

const releasedKeptMs = 30 * 24 * 60 * 60 * 1000;
const claimTries = 5;

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
  const claims = db.collection<ClaimDocument>("claims");
  const sales = db.collection<SaleDocument>("sales");

  /** All of them by their ids; those that don't exist are left out. */
  async function claimsFor(eventId: string, seatIds: readonly string[]): Promise<Claim[]> {
    const ids = seatIds.map((seatId) => `${eventId}:${seatId}`);
    return await claims.find({ _id: { $in: ids } }, { projection: claimFields }).toArray();
  }

  async function insertClaims(wanted: NewClaims, session: ClientSession): Promise<void> {
    const { eventId, checkoutId, holdId, userId, seats } = wanted;
    const at = new Date();
    const seatIds = seats.map(({ seatId }) => seatId);
    await sales.insertOne(
      { _id: `${eventId}:${checkoutId}`, eventId, checkoutId, state: "claimed", seatIds, at },
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
    }));
    await claims.insertMany(documents, { session, ordered: true });
  }

  return {
    ping: database.ping,
    close: database.close,

    /** Idempotent. No index here is needed for a seat not to be sold twice: _id does that. */
    prepare: () =>
      asked(async () => {
        await events.createIndex({ status: 1, startsAtMs: 1, _id: 1 });
        await events.createIndex({ status: 1, cityKey: 1, startsAtMs: 1, _id: 1 });
        await sales.createIndex({ forgetAt: 1 }, { expireAfterSeconds: 0 });
      }),

    // ---- events

    /** False: the id is taken. */
    addEvent: (event: EventRecord, sections: readonly Section[], fingerprint: string): Promise<boolean> =>
      asked(async () => {
        // The layout first, so that no event is ever without.
        await layouts.updateOne(
          { _id: event.layoutVersion },
          { $setOnInsert: { sections: [...sections] } },
          { upsert: true },
        );
        const { eventId, published, tiers, ...rest } = event;
        try {
          await events.insertOne({
            _id: eventId,
            ...rest,
            tiers: [...tiers],
            status: published ? "published" : "draft",
            fingerprint,
            searchText: searchText(event),
            cityKey: cityKey(event.venue.city),
            createdAt: new Date(),
          });
          return true;
        } catch (error) {
          if (isDuplicateKey(error)) return false;
          throw error;
        }
      }),

    findEvent: (eventId: string): Promise<{ event: EventRecord; fingerprint: string } | undefined> =>
      asked(async () => {
        const found = await events.findOne({ _id: eventId });
        return found ? { event: eventFrom(found), fingerprint: found.fingerprint } : undefined;
      }),

    publish: (eventId: string): Promise<void> =>
      asked(async () => {
        await events.updateOne({ _id: eventId }, { $set: { status: "published" } });
      }),

    searchEvents: ({ words, city, fromMs, toMs, limit, after }: EventSearch): Promise<EventRecord[]> =>
      asked(async () => {
        const conditions: Filter<EventDocument>[] = words.map((word) => ({
          searchText: { $regex: `(^| )${word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}` },
        }));
        if (fromMs > 0) conditions.push({ startsAtMs: { $gte: fromMs } });
        if (toMs > 0) conditions.push({ startsAtMs: { $lte: toMs } });
        if (after)
          conditions.push({
            $or: [
              { startsAtMs: { $gt: after.startsAtMs } },
              { startsAtMs: after.startsAtMs, _id: { $gt: after.eventId } },
            ],
          });
        const filter: Filter<EventDocument> = {
          status: "published",
          ...(city === "" ? {} : { cityKey: city }),
          ...(conditions.length === 0 ? {} : { $and: conditions }),
        };
        const found = await events.find(filter).sort({ startsAtMs: 1, _id: 1 }).limit(limit).toArray();
        return found.map(eventFrom);
      }),

    findSections: (layoutVersion: string): Promise<Section[] | undefined> =>
      asked(async () => (await layouts.findOne({ _id: layoutVersion }))?.sections),

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
        const seatIds = all ? [...new Set([...named, ...((await sales.findOne({ _id }))?.seatIds ?? [])])] : [...named];
        const ids = seatIds.map((seatId) => `${eventId}:${seatId}`);
        const { deletedCount } =
          ids.length === 0 ? { deletedCount: 0 } : await claims.deleteMany({ _id: { $in: ids }, checkoutId });
        return { released: deletedCount, seatIds, all };
      }),

    /** All claims of a checkout. */
    claimsOf: (eventId: string, checkoutId: string): Promise<Claim[]> =>
      asked(async () => {
        const sale = await sales.findOne({ _id: `${eventId}:${checkoutId}` });
        const found = sale ? await claimsFor(eventId, sale.seatIds) : [];
        return found.filter((claim) => claim.checkoutId === checkoutId);
      }),

    claimsFor: (eventId: string, seatIds: readonly string[]) => asked(() => claimsFor(eventId, seatIds)),

    /** Every claim of an event that was committed before this was called. By _id, so that no further index is paid for by each sale. */
    allClaims: (eventId: string): Promise<Claim[]> =>
      asked(() =>
        claims
          .find({ _id: { $gte: `${eventId}:`, $lt: `${eventId};` } }, { projection: claimFields, batchSize: 2_000 })
          .toArray(),
      ),
  };
}

const claimFields = { _id: 0, seatId: 1, checkoutId: 1, holdId: 1, userId: 1 } as const;

function eventFrom(document: EventDocument): EventRecord {
  const { _id, status, fingerprint: _made, searchText: _words, cityKey: _city, createdAt: _at, ...rest } = document;
  return { ...rest, eventId: _id, published: status === "published" };
}
