// Blocks in MongoDB: why seats are off the sale and by whom, and the claims that keep them so.
import { type Database, isDuplicateKey } from "@onsale/kit/mongodb";
import { type Claim, type ClaimDocument, type ClaimStore, claimTries, type NewClaims } from "./claim-store.js";

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

export type StoredBlock = Omit<BlockDocument, "_id" | "eventId">;

export class BlockStore {
  readonly #asked;
  readonly #client;
  readonly #blocks;
  readonly #claims;
  readonly #owners: ClaimStore;

  constructor({ client, db, asked }: Database, claims: ClaimStore) {
    this.#asked = asked;
    this.#client = client;
    this.#blocks = db.collection<BlockDocument>("blocks");
    this.#claims = db.collection<ClaimDocument>("claims");
    this.#owners = claims;
  }

  /** The block that has this id now: this one, or the one that came before. */
  begin(eventId: string, block: StoredBlock): Promise<StoredBlock> {
    return this.#asked(async () => {
      const _id = `${eventId}:${block.blockId}`;
      try {
        await this.#blocks.insertOne({ _id, eventId, ...block });
        return block;
      } catch (error) {
        if (!isDuplicateKey(error)) throw error;
      }
      const found = await this.#blocks.findOne({ _id });
      return found ? blockFrom(found) : block;
    });
  }

  /** Claims the seats of a pending block, all or none. "gone": it was given up meanwhile. */
  commit(
    eventId: string,
    { blockId, holdId, accountId, at }: StoredBlock,
    seats: NewClaims["seats"],
  ): Promise<{ kind: "blocked" | "gone" } | { kind: "taken"; owners: readonly Claim[] }> {
    return this.#asked(async () => {
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
          const pending = await this.#client.withSession((session) =>
            session.withTransaction(
              async () => {
                const begun = await this.#blocks.updateOne(
                  { _id, state: "pending" },
                  { $set: { state: "blocked" } },
                  { session },
                );
                if (begun.matchedCount === 1) await this.#claims.insertMany(documents, { session, ordered: true });
                return begun.matchedCount === 1;
              },
              { writeConcern: { w: "majority" } },
            ),
          );
          if (pending) return { kind: "blocked" };
          return { kind: (await this.#blocks.findOne({ _id }))?.state === "blocked" ? "blocked" : "gone" };
        } catch (error) {
          if (!isDuplicateKey(error)) throw error;
        }
        const found = await this.#owners.forSeats(
          eventId,
          seats.map(({ seatId }) => seatId),
        );
        const owners = found.filter(({ checkoutId }) => checkoutId !== blockId);
        if (owners.length > 0) return { kind: "taken", owners };
        if (tries >= claimTries) throw new Error(`a block met duplicates ${tries} times, and each time they were gone`);
      }
    });
  }

  /** Gives a block up that has no claims yet, if it was begun before `begunBeforeMs`. False: there is no such one. */
  abandon(eventId: string, holdId: string, begunBeforeMs: number): Promise<boolean> {
    return this.#asked(async () => {
      const range = { $gte: `${eventId}:`, $lt: `${eventId};` };
      const filter = { _id: range, holdId, state: "pending" as const, at: { $lte: new Date(begunBeforeMs) } };
      return (await this.#blocks.deleteOne(filter)).deletedCount === 1;
    });
  }

  /** All of an event, with those that are being made. */
  of(eventId: string): Promise<StoredBlock[]> {
    return this.#asked(async () => {
      const found = await this.#blocks.find({ _id: { $gte: `${eventId}:`, $lt: `${eventId};` } }).toArray();
      return found.map(blockFrom);
    });
  }

  /** Ends the claims of a block on these seats; how many it still had. */
  endClaims(eventId: string, holdId: string, seatIds: readonly string[]): Promise<number> {
    return this.#asked(async () => {
      const ids = seatIds.map((seatId) => `${eventId}:${seatId}`);
      return (await this.#claims.deleteMany({ _id: { $in: ids }, kind: "block", holdId })).deletedCount;
    });
  }

  /** Once Valkey knows that they are free. */
  forgetSeats(eventId: string, blockId: string, seatIds: readonly string[]): Promise<void> {
    return this.#asked(async () => {
      await this.#blocks.updateOne({ _id: `${eventId}:${blockId}` }, { $pull: { seatIds: { $in: [...seatIds] } } });
    });
  }
}

function blockFrom({ _id, eventId: _event, ...block }: BlockDocument): StoredBlock {
  return block;
}
