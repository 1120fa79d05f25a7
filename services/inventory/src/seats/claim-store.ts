// Claims in MongoDB. A claim is one document a seat: its _id is what makes it impossible to sell a seat twice.
import { type Database, isDuplicateKey } from "@onsale/kit/mongodb";
import type { ClientSession } from "mongodb";

export interface ClaimDocument {
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

export interface Claim {
  /** Of a block, the checkout's id is the block's. */
  readonly kind?: "block";
  readonly seatId: string;
  readonly checkoutId: string;
  readonly holdId: string;
  readonly userId: string;
  readonly codeId?: string;
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

const releasedKeptMs = 30 * 24 * 60 * 60 * 1000;
/** How often a claim is tried that meets others which are gone when they are looked at. */
export const claimTries = 5;

export class ClaimStore {
  readonly #asked;
  readonly #client;
  readonly #claims;
  readonly #sales;

  constructor({ client, db, asked }: Database) {
    this.#asked = asked;
    this.#client = client;
    this.#claims = db.collection<ClaimDocument>("claims");
    this.#sales = db.collection<SaleDocument>("sales");
  }

  /** Idempotent. No index here is needed for a seat not to be sold twice: _id does that. */
  prepare(): Promise<void> {
    return this.#asked(async () => {
      await this.#sales.createIndex({ forgetAt: 1 }, { expireAfterSeconds: 0 });
      await this.#sales.createIndex({ state: 1, at: 1, _id: 1 }, { name: "by_state_and_time" });
    });
  }

  /** All or none. A claim of this checkout before counts as success, unless it was given back. */
  claim(wanted: NewClaims): Promise<ClaimOutcome> {
    return this.#asked(async () => {
      const { eventId, checkoutId } = wanted;
      const seatIds = wanted.seats.map(({ seatId }) => seatId);
      for (let tries = 1; ; tries++) {
        try {
          await this.#client.withSession((session) =>
            session.withTransaction(() => this.#insert(wanted, session), { writeConcern: { w: "majority" } }),
          );
          return { kind: "claimed", fresh: true };
        } catch (error) {
          if (!isDuplicateKey(error)) throw error;
        }
        const found = await this.#forSeats(eventId, seatIds);
        const owners = found.filter((claim) => claim.checkoutId !== checkoutId);
        const sale = await this.#sales.findOne({ _id: `${eventId}:${checkoutId}` });
        if (sale?.state === "released") return { kind: "released" };
        if (sale && found.length - owners.length === seatIds.length) return { kind: "claimed", fresh: false };
        // It has had claims, and has given back some of these: they are no more its to take.
        if (sale) return { kind: "released" };
        if (owners.length > 0) return { kind: "taken", owners };
        // Whoever stood in the way is gone again.
        if (tries >= claimTries) throw new Error(`a claim met duplicates ${tries} times, and each time they were gone`);
      }
    });
  }

  /** Does this checkout own all of these seats? */
  owns(eventId: string, checkoutId: string, seatIds: readonly string[]): Promise<boolean> {
    return this.#asked(async () => {
      const found = await this.#forSeats(eventId, seatIds);
      return found.length === seatIds.length && found.every((claim) => claim.checkoutId === checkoutId);
    });
  }

  /**
   * Gives back the seats that are this checkout's own. With all of them, or none named, the checkout can't claim any more.
   * Answers how many were given back now, which ever were or may be (so that Valkey can be told again), and whether it was all.
   */
  release(eventId: string, checkoutId: string, named: readonly string[]) {
    return this.#asked(async () => {
      const _id = `${eventId}:${checkoutId}`;
      const ended = { state: "released" as const, at: new Date(), forgetAt: new Date(Date.now() + releasedKeptMs) };
      const sale = await this.#sales.findOne({ _id });
      const all = named.length === 0 || !sale || sale.seatIds.every((seatId) => named.includes(seatId));
      if (all)
        await this.#sales.updateOne(
          { _id },
          { $set: ended, $setOnInsert: { eventId, checkoutId, seatIds: [...named] } },
          { upsert: true },
        );
      // Read again: a claim may have come between.
      const present = all ? await this.#sales.findOne({ _id }) : sale;
      const seatIds = all ? [...new Set([...named, ...(present?.seatIds ?? [])])] : [...named];
      const ids = seatIds.map((seatId) => `${eventId}:${seatId}`);
      const { deletedCount } =
        ids.length === 0 ? { deletedCount: 0 } : await this.#claims.deleteMany({ _id: { $in: ids }, checkoutId });
      return { released: deletedCount, seatIds, all, codeId: present?.codeId };
    });
  }

  /** All claims of a checkout. */
  ofCheckout(eventId: string, checkoutId: string): Promise<Claim[]> {
    return this.#asked(async () => {
      const sale = await this.#sales.findOne({ _id: `${eventId}:${checkoutId}` });
      const found = sale ? await this.#forSeats(eventId, sale.seatIds) : [];
      return found.filter((claim) => claim.checkoutId === checkoutId);
    });
  }

  forSeats(eventId: string, seatIds: readonly string[]) {
    return this.#asked(() => this.#forSeats(eventId, seatIds));
  }

  /** What a checkout has claimed, whether or not it has given some of it back; undefined: nothing, or all is back. */
  saleOf(eventId: string, checkoutId: string): Promise<{ seatIds: string[]; claims: Claim[] } | undefined> {
    return this.#asked(async () => {
      const sale = await this.#sales.findOne({ _id: `${eventId}:${checkoutId}`, state: "claimed" });
      if (!sale) return undefined;
      const found = await this.#forSeats(eventId, sale.seatIds);
      return { seatIds: sale.seatIds, claims: found.filter((claim) => claim.checkoutId === checkoutId) };
    });
  }

  /** Checkouts that have claimed seats within [sinceMs, beforeMs), oldest first, after the one named. */
  salesBetween(
    sinceMs: number,
    beforeMs: number,
    after: { readonly atMs: number; readonly id: string } | undefined,
    limit: number,
  ): Promise<{ id: string; eventId: string; checkoutId: string; atMs: number }[]> {
    return this.#asked(async () => {
      const from = after && {
        $or: [{ at: { $gt: new Date(after.atMs) } }, { at: new Date(after.atMs), _id: { $gt: after.id } }],
      };
      const found = await this.#sales
        .find(
          { state: "claimed", at: { $gte: new Date(sinceMs), $lt: new Date(beforeMs) }, ...from },
          { projection: { eventId: 1, checkoutId: 1, at: 1 } },
        )
        .sort({ at: 1, _id: 1 })
        .limit(limit)
        .toArray();
      return found.map(({ _id: id, eventId, checkoutId, at }) => ({ id, eventId, checkoutId, atMs: at.getTime() }));
    });
  }

  /** Every claim of an event that was committed before this was called. By _id, so that no further index is paid for by each sale. */
  all(eventId: string): Promise<Claim[]> {
    return this.#asked(() =>
      this.#claims
        .find({ _id: { $gte: `${eventId}:`, $lt: `${eventId};` } }, { projection: claimFields, batchSize: 2_000 })
        .toArray(),
    );
  }

  /** Buyers' and organisers' claims of an event, by their seats' ids. */
  after(eventId: string, seatId: string, limit: number): Promise<Claim[]> {
    return this.#asked(() =>
      this.#claims
        .find({ _id: { $gt: `${eventId}:${seatId}`, $lt: `${eventId};` } }, { projection: claimFields })
        .sort({ _id: 1 })
        .limit(limit)
        .toArray(),
    );
  }

  async #insert(wanted: NewClaims, session: ClientSession): Promise<void> {
    const { eventId, checkoutId, holdId, userId, codeId, seats } = wanted;
    const at = new Date();
    const seatIds = seats.map(({ seatId }) => seatId);
    await this.#sales.insertOne(
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
    await this.#claims.insertMany(documents, { session, ordered: true });
  }

  /** All of them by their ids; those that don't exist are left out. */
  async #forSeats(eventId: string, seatIds: readonly string[]): Promise<Claim[]> {
    const ids = seatIds.map((seatId) => `${eventId}:${seatId}`);
    return await this.#claims.find({ _id: { $in: ids } }, { projection: claimFields }).toArray();
  }
}

const claimFields = { _id: 0, kind: 1, seatId: 1, checkoutId: 1, holdId: 1, userId: 1, codeId: 1 } as const;
