// A new generation of an event's seats in Valkey, step by step: written, begun, taken over into, opened; and an old one forgotten.
import type { SectionPlan } from "../hall/layout.js";
import { personOf, type SectionImage } from "../hall/seat-map.js";
import { executed, inParts, peopleAtOnce, type ValkeyConnection } from "./connection.js";
import { keysOf } from "./keys.js";
import { type Generation, type Marker, writeMarker } from "./marker.js";

/** Keys of a generation that never opens go away by themselves. */
const unopenedMs = 60 * 60 * 1000;

export class Epochs {
  readonly #connection: ValkeyConnection;

  constructor(connection: ValkeyConnection) {
    this.#connection = connection;
  }

  /**
   * Writes the keys of an epoch that nobody uses yet. People: user id → entries as seat-map.ts writes them; codes: code → seats.
   * The version is that of the channels whose pools are drawn.
   */
  async draw(
    eventId: string,
    epoch: number,
    images: readonly SectionImage[],
    people: ReadonlyMap<string, Buffer>,
    codes: ReadonlyMap<string, number> = new Map(),
    version = 0,
  ) {
    const names = keysOf(eventId, epoch);
    await this.#connection.asked(() =>
      this.#connection.at(eventId).unlink(...names.all(images.map(({ section }) => section))),
    );
    await this.#connection.asked(() =>
      this.#connection.at(eventId).set(names.pools, `${version}:${version}`, "PX", unopenedMs),
    );
    for (const { section, records, map, nextPlace, returnedPlaces, pooledPlaces } of images) {
      const pipeline = this.#connection.at(eventId).pipeline();
      pipeline.set(names.records(section), records, "PX", unopenedMs);
      pipeline.set(names.map(section), map, "PX", unopenedMs);
      if (section.generalAdmission) {
        pipeline.set(names.nextPlace(section), String(nextPlace), "PX", unopenedMs);
        for (const part of inParts(returnedPlaces, 1_000)) pipeline.rpush(names.returned(section), ...part.map(String));
        pipeline.pexpire(names.returned(section), unopenedMs);
        // These lists stay when the generation does not: a key more or less, of a channel's places.
        for (const [pool, places] of pooledPlaces) {
          pipeline.unlink(names.returned(section, pool));
          for (const part of inParts(places, 1_000)) pipeline.rpush(names.returned(section, pool), ...part.map(String));
        }
      }
      await this.#connection.asked(() => executed(pipeline));
    }
    for (const [key, fields] of [
      [names.people, [...people].map(([userId, entries]) => [personOf(userId), entries] as const)],
      [names.codes, [...codes]],
    ] as const)
      for (const part of inParts<readonly [string, Buffer | number]>(fields, 1_000)) {
        const pipeline = this.#connection.at(eventId).pipeline();
        pipeline.hset(key, ...part.flat());
        pipeline.pexpire(key, unopenedMs);
        await this.#connection.asked(() => executed(pipeline));
      }
  }

  /** False: an epoch as new or newer is there. */
  async begin(eventId: string, marker: Marker): Promise<boolean> {
    return (
      (await this.#connection.asked(() =>
        this.#connection.at(eventId).begin(1, keysOf(eventId, 0).marker, marker.epoch, writeMarker(marker)),
      )) === 1
    );
  }

  /** Brings the holds that an earlier epoch still has into this one, where their seats are free. How many. Undefined: as above. */
  async adopt(generation: Generation, from: number): Promise<number | undefined> {
    const names = keysOf(generation.eventId, generation.epoch);
    const { people } = keysOf(generation.eventId, from);
    const keys = [names.marker, names.people, names.late, names.codes, people];
    let adopted = 0;
    for (let cursor = "0"; ; ) {
      const [next, fields] = await this.#connection.asked(() =>
        this.#connection.at(generation.eventId).hscan(people, cursor, "COUNT", peopleAtOnce),
      );
      const users = fields.filter((_, field) => field % 2 === 0);
      for (const part of inParts(users, peopleAtOnce)) {
        const args = [generation.marker, names.event, names.generation, ...part];
        const [kind, count] = (await this.#connection.script("adopt", generation, keys, args)) ?? [];
        if (kind !== "ok") return undefined;
        adopted += count as number;
      }
      cursor = next;
      if (cursor === "0") return adopted;
    }
  }

  /** False: another epoch has taken over meanwhile. */
  async open(eventId: string, marker: Marker, sections: readonly SectionPlan[]): Promise<boolean> {
    const names = keysOf(eventId, marker.epoch);
    const keys = [names.marker, ...names.all(sections)];
    const [closed, open] = [writeMarker({ ...marker, open: false }), writeMarker({ ...marker, open: true })];
    return (
      (await this.#connection.asked(() => this.#connection.at(eventId).open(keys.length, ...keys, closed, open))) === 1
    );
  }

  async forget(eventId: string, epoch: number, sections: readonly SectionPlan[]): Promise<void> {
    await this.#connection.asked(() => this.#connection.at(eventId).unlink(...keysOf(eventId, epoch).all(sections)));
  }
}
