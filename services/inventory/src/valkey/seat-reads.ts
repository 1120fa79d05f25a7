// What is read of seats and of people's holds, without a script. Undefined always means that the generation is not the one that Valkey has.
import type { SectionPlan } from "../hall/layout.js";
import { type HoldEntry, mapBytes, personOf, readEntries, recordBytes } from "../hall/seat-map.js";
import { executed, peopleAtOnce, type ValkeyConnection } from "./connection.js";
import { keysOf } from "./keys.js";
import { type Generation, readMarker } from "./marker.js";

/** A hold that Valkey knows of. */
export interface KnownHold {
  readonly state: "held" | "sold";
  readonly epoch: number;
  readonly deadlineMs: number;
  readonly expiresAtMs: number;
  readonly userId: string;
  readonly runs: string;
}

/** As the people of an event have them. */
export interface OwnHold {
  readonly holdId: string;
  /** 0: sold. */
  readonly expiresAtMs: number;
  readonly known: KnownHold | undefined;
}

export interface KnownAnswer {
  readonly kind: "known";
  /** Undefined: it has ended. */
  readonly hold: KnownHold | undefined;
  readonly nowMs: number;
}

export class SeatReads {
  readonly #connection: ValkeyConnection;

  constructor(connection: ValkeyConnection) {
    this.#connection = connection;
  }

  /** All maps at one moment, or undefined when the generation is another by then. And the server's clock. */
  async maps(
    { eventId, epoch, marker, connection: on }: Generation,
    sections: readonly SectionPlan[],
  ): Promise<{ maps: Buffer[]; nowMs: number } | undefined> {
    if (on !== this.#connection.of(eventId)) return undefined;
    const names = keysOf(eventId, epoch);
    const [[found, ...maps], nowMs] = await this.#connection.asked(() =>
      Promise.all([
        this.#connection.at(eventId).mgetBuffer(names.marker, ...sections.map(names.map)),
        this.#connection.now(eventId),
      ]),
    );
    if (found?.toString() !== marker) return undefined;
    if (maps.every((map, at) => map?.length === mapBytes(sections[at]?.seats ?? 0)))
      return { maps: maps as Buffer[], nowMs };
    await this.#connection.closeBroken(eventId, names.marker, marker);
    return undefined;
  }

  /** All records of a section, or undefined as above. */
  async records({ eventId, epoch, marker, connection: on }: Generation, section: SectionPlan) {
    if (on !== this.#connection.of(eventId)) return undefined;
    const names = keysOf(eventId, epoch);
    const [found, records] = await this.#connection.asked(() =>
      this.#connection.at(eventId).mgetBuffer(names.marker, names.records(section)),
    );
    if (found?.toString() !== marker) return undefined;
    if (records?.length === section.seats * recordBytes) return records;
    await this.#connection.closeBroken(eventId, names.marker, marker);
    return undefined;
  }

  /** The record of each of these seats, in their order. Undefined: the generation is not the one that Valkey has. */
  async seatRecords(
    { eventId, epoch, connection: on }: Generation,
    seats: readonly { readonly section: SectionPlan; readonly index: number }[],
  ): Promise<Buffer[] | undefined> {
    if (on !== this.#connection.of(eventId)) return undefined;
    const names = keysOf(eventId, epoch);
    const pipeline = this.#connection.at(eventId).pipeline();
    for (const { section, index } of seats)
      pipeline.getrangeBuffer(names.records(section), index * recordBytes, (index + 1) * recordBytes - 1);
    // Last, so that what was read before it was this epoch's.
    pipeline.get(names.marker);
    const replies = await this.#connection.asked(() => executed(pipeline));
    const records = replies.slice(0, -1) as Buffer[];
    const present = readMarker(replies.at(-1) as string | null)?.epoch === epoch;
    return present && records.every((record) => record.length === recordBytes) ? records : undefined;
  }

  /** The version of the channels that all pools are of; 0: there was none. */
  async poolsVersion({ eventId, epoch }: Generation): Promise<number> {
    const text = await this.#connection.asked(() => this.#connection.at(eventId).get(keysOf(eventId, epoch).pools));
    return Number(/:(\d+)$/.exec(text ?? "")?.[1] ?? 0);
  }

  /** What is known of a person's hold, without changing anything; undefined: nothing. */
  async knownHold(eventId: string, holdId: string, userId: string): Promise<KnownAnswer | undefined> {
    const epoch =
      readMarker(await this.#connection.asked(() => this.#connection.at(eventId).get(keysOf(eventId, 0).marker)))
        ?.epoch ?? 0;
    const names = keysOf(eventId, epoch);
    const [ended, entries, nowMs] = await this.#connection.asked(() =>
      Promise.all([
        this.#connection.at(eventId).exists(names.ended(holdId)),
        this.#connection.at(eventId).hgetBuffer(names.people, personOf(userId)),
        this.#connection.now(eventId),
      ]),
    );
    if (ended === 1) return { kind: "known", hold: undefined, nowMs };
    const entry = readEntries(entries ?? Buffer.alloc(0)).find((one) => one.holdId === holdId);
    return entry && { kind: "known", hold: describeHold(epoch, userId, entry), nowMs };
  }

  /** The holds that a person has. Undefined: another generation is there. */
  async holdsOf(
    { eventId, epoch, marker, connection: on }: Generation,
    userId: string,
  ): Promise<{ holds: OwnHold[]; nowMs: number } | undefined> {
    if (on !== this.#connection.of(eventId)) return undefined;
    const names = keysOf(eventId, epoch);
    const [found, entries, nowMs] = await this.#connection.asked(() =>
      Promise.all([
        this.#connection.at(eventId).get(names.marker),
        this.#connection.at(eventId).hgetBuffer(names.people, personOf(userId)),
        this.#connection.now(eventId),
      ]),
    );
    if (found !== marker) return undefined;
    const holds = readEntries(entries ?? Buffer.alloc(0)).map((entry) => ({
      holdId: entry.holdId,
      expiresAtMs: entry.expiresAtMs,
      known: entry.runs === "" ? undefined : describeHold(epoch, userId, entry),
    }));
    return { holds, nowMs };
  }

  /** Whose holds are these? Reads all people of the event, a few at a time: for repairs. */
  async peopleOf({ eventId, epoch }: Generation, holdIds: ReadonlySet<string>): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    const { people } = keysOf(eventId, epoch);
    for (let cursor = "0"; ; ) {
      const [next, fields] = await this.#connection.asked(() =>
        this.#connection.at(eventId).hscanBuffer(people, cursor, "COUNT", peopleAtOnce),
      );
      for (let field = 0; field < fields.length; field += 2)
        for (const { holdId } of readEntries(fields[field + 1] as Buffer))
          if (holdIds.has(holdId)) found.set(holdId, (fields[field] as Buffer).toString());
      cursor = next.toString();
      if (cursor === "0") return found;
    }
  }
}

export function describeHold(
  epoch: number,
  userId: string,
  { deadlineMs, expiresAtMs, runs }: Pick<HoldEntry, "deadlineMs" | "expiresAtMs" | "runs">,
): KnownHold {
  return { state: expiresAtMs === 0 ? "sold" : "held", epoch, deadlineMs, expiresAtMs, userId, runs };
}
