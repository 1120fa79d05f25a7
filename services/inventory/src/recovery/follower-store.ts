// Which process follows the claims in MongoDB, how far it has come, and the changes that it follows.
import { type Database, isDuplicateKey } from "@onsale/kit/mongodb";
import type { ClaimDocument } from "../seats/claim-store.js";

/** Which process follows the claims, and how far it has come. */
interface FollowerDocument {
  _id: "claims";
  owner: string;
  until: Date;
  /** A change stream's resume token. */
  place?: string;
}

/** A seat got a claim, or lost it. */
export interface ClaimChange {
  readonly eventId: string;
  readonly seatId: string;
  /** Of the claim that is there now; undefined: none is. */
  readonly holdId: string | undefined;
}

const changesWaitMs = 500;

export class FollowerStore {
  readonly #asked;
  readonly #claims;
  readonly #followers;

  constructor({ db, asked }: Database) {
    this.#asked = asked;
    this.#claims = db.collection<ClaimDocument>("claims");
    this.#followers = db.collection<FollowerDocument>("followers");
  }

  /**
   * Takes the right to follow the claims, or keeps it, for so long; and keeps the place that was reached. Answers the place that
   * was kept, or undefined when another process follows. By this process's clock: for economy, not for correctness.
   */
  follow(owner: string, leaseMs: number, place?: string): Promise<{ place: string | undefined } | undefined> {
    return this.#asked(async () => {
      const now = Date.now();
      try {
        const lease = await this.#followers.findOneAndUpdate(
          { _id: "claims", $or: [{ owner }, { until: { $lte: new Date(now) } }] },
          { $set: { owner, until: new Date(now + leaseMs), ...(place !== undefined && { place }) } },
          { upsert: true, returnDocument: "after" },
        );
        return { place: lease?.place };
      } catch (error) {
        if (isDuplicateKey(error)) return undefined; // it is there, and another's
        throw error;
      }
    });
  }

  /** Changes of claims in their order, from after this place on, or from now on. An error that can't be tried again: the place is lost. */
  changes(place: string | undefined) {
    const fields = { operationType: 1, documentKey: 1, "fullDocument.holdId": 1 };
    const stream = this.#claims.watch([{ $project: fields }], {
      maxAwaitTimeMS: changesWaitMs,
      ...(place !== undefined && { resumeAfter: { _data: place } }),
    });
    return {
      /** Waits half a second for one. */
      next: (): Promise<ClaimChange | undefined> =>
        this.#asked(async () => {
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
  }
}
