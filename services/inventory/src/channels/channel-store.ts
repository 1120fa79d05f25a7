// An event's channels in MongoDB, all in one document, and the hashes of their codes.
import { type Database, isDuplicateKey } from "@onsale/kit/mongodb";
import { Binary, type ClientSession } from "mongodb";
import type { Allotments, Channel } from "./channel.js";

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

const codesSettleMs = 60 * 60 * 1000;

export class ChannelStore {
  readonly #asked;
  readonly #allotments;
  readonly #codes;

  constructor({ db, asked }: Database) {
    this.#asked = asked;
    this.#allotments = db.collection<AllotmentsDocument>("allotments");
    this.#codes = db.collection<CodesDocument>("codes");
  }

  /** Idempotent. */
  prepare(): Promise<void> {
    return this.#asked(async () => {
      await this.#codes.createIndex({ eventId: 1 });
    });
  }

  of(eventId: string): Promise<Allotments> {
    return this.#asked(async () => {
      const found = await this.#allotments.findOne({ _id: eventId });
      if (!found) return { eventId, version: 0, nextPool: 1, salt: "", channels: [] };
      const { version, nextPool, salt, channels } = found;
      return { eventId, version, nextPool, salt, channels };
    });
  }

  /** In place of the version just before. False: someone else was quicker. */
  save(next: Allotments): Promise<boolean> {
    return this.#asked(() => this.#save(next));
  }

  /** The same as a part of the caller's transaction. */
  saveWithin(session: ClientSession, next: Allotments): Promise<boolean> {
    return this.#save(next, { session });
  }

  /** False: someone else was quicker. */
  async #save({ eventId, channels, ...rest }: Allotments, options: { session?: ClientSession } = {}): Promise<boolean> {
    const closes = channels.flatMap(({ ended, closesAtMs }) => (ended ? [] : [closesAtMs]));
    const document = { ...rest, channels: [...channels], nextCloseMs: closes.length > 0 ? Math.min(...closes) : 0 };
    if (rest.version > 1) {
      const before = { _id: eventId, version: rest.version - 1 };
      return (await this.#allotments.replaceOne(before, document, options)).matchedCount === 1;
    }
    try {
      await this.#allotments.insertOne({ _id: eventId, ...document }, options);
      return true;
    } catch (error) {
      if (isDuplicateKey(error)) return false;
      throw error;
    }
  }

  /** Of those of the events that have channels: which version they are at, and when the next channel closes (0: none will). */
  heads(eventIds: readonly string[]): Promise<{ eventId: string; version: number; nextCloseMs: number }[]> {
    return this.#asked(async () => {
      const found = await this.#allotments
        .find({ _id: { $in: [...eventIds] } }, { projection: { version: 1, nextCloseMs: 1 } })
        .toArray();
      return found.map(({ _id, version, nextCloseMs }) => ({ eventId: _id, version, nextCloseMs }));
    });
  }

  addCodes(eventId: string, codesId: string, packed: Buffer): Promise<void> {
    return this.#asked(async () => {
      await this.#codes.insertOne({ _id: codesId, eventId, hashes: new Binary(packed), at: new Date() });
    });
  }

  /** Undefined: the channel has got others since. */
  codes(codesId: string): Promise<Buffer | undefined> {
    return this.#asked(async () => {
      const found = await this.#codes.findOne({ _id: codesId });
      return found && Buffer.from(found.hashes.buffer.subarray(0, found.hashes.position));
    }).then((found) => found ?? undefined);
  }

  /** Those that no channel has any more; young ones may be about to be somebody's. */
  dropCodes(eventId: string, kept: readonly string[]): Promise<void> {
    return this.#asked(async () => {
      const at = { $lt: new Date(Date.now() - codesSettleMs) };
      await this.#codes.deleteMany({ eventId, _id: { $nin: [...kept] }, at });
    });
  }
}
