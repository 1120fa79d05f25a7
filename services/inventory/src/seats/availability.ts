// How many seats are free, and which: read from the 2-bit maps, shared by everyone who asks at the same time.
import type { Metrics } from "@onsale/kit/metrics";
import type { EventRecord } from "../events/events.js";
import type { KnownEvents } from "../events/known-events.js";
import type { Generations } from "../generations/generations.js";
import type { SectionPlan } from "../hall/layout.js";
import { countStates, joinMaps, type SeatCounts } from "../hall/seat-map.js";
import type { Valkey } from "../valkey/valkey.js";

/** An event's maps at one moment. */
export interface SeatMapsRead {
  readonly event: EventRecord;
  readonly layoutVersion: string;
  readonly maps: ReadonlyMap<SectionPlan, Uint8Array>;
  /** By Valkey's clock. */
  readonly asOfMs: number;
}

export interface SeatMaps {
  /** At most as old as the cache may be. */
  recent(event: EventRecord): Promise<SeatMapsRead>;
  /** Read after this was called. */
  fresh(event: EventRecord): Promise<SeatMapsRead>;
  /** Clears expired holds away, a bounded number. How many. */
  sweep(event: EventRecord): Promise<number>;
}

export interface SeatMapsDependencies {
  readonly valkey: Valkey;
  readonly generations: Generations;
  readonly events: KnownEvents;
  readonly cacheMs: number;
  readonly metrics: Metrics;
}

/** So few that nobody waits for one of these steps; between two of them others have their turn. */
const sweptAtOnce = 25;
const sweepsInARow = 80;
const mostEvents = 500;

export function createSeatMaps({ valkey, generations, events, cacheMs, metrics }: SeatMapsDependencies): SeatMaps {
  const swept = metrics.counter("onsale_holds_swept_total", "Expired holds cleared away");
  const cache = new Map<string, { read: SeatMapsRead; readAtMs: number }>();
  const reading = new Map<string, Promise<SeatMapsRead>>();
  const next = new Map<string, Promise<SeatMapsRead>>();

  async function sweep(event: EventRecord): Promise<number> {
    let total = 0;
    for (let rounds = 0; rounds < sweepsInARow; rounds++) {
      const step = await generations.run(event, (generation) => valkey.seats.sweep(generation, sweptAtOnce));
      swept.inc(step.cleared);
      total += step.cleared;
      if (!step.more) break;
    }
    return total;
  }

  async function readNow(event: EventRecord): Promise<SeatMapsRead> {
    const { sections, version } = await events.layoutOf(event.layoutVersion);
    await sweep(event); // so that no seat is shown held whose hold is long over
    const found = await generations.run(event, (generation) => valkey.read.maps(generation, sections));
    const maps = new Map(found.maps.map((map, at) => [sections[at] as SectionPlan, map as Uint8Array]));
    const read = { event, layoutVersion: version, maps, asOfMs: found.nowMs };
    cache.delete(event.eventId);
    cache.set(event.eventId, { read, readAtMs: performance.now() });
    if (cache.size > mostEvents) cache.delete(cache.keys().next().value as string);
    return read;
  }

  function shared(event: EventRecord): Promise<SeatMapsRead> {
    const { eventId } = event;
    const running = reading.get(eventId);
    if (running) return running;
    const work = readNow(event).finally(() => reading.delete(eventId));
    reading.set(eventId, work);
    return work;
  }

  return {
    sweep,

    async recent(event) {
      const known = cache.get(event.eventId);
      if (known && performance.now() - known.readAtMs < cacheMs) return known.read;
      return await shared(event);
    },

    async fresh(event) {
      const { eventId } = event;
      const running = reading.get(eventId);
      if (!running) return await shared(event);
      // That one began before we asked: the one after it is shared by all who ask until it begins.
      const waiting = next.get(eventId);
      if (waiting) return await waiting;
      const work = running
        .then(
          () => undefined,
          () => undefined,
        )
        .then(() => {
          next.delete(eventId);
          return shared(event);
        });
      next.set(eventId, work);
      return await work;
    },
  };
}

// ---- the two answers

export interface Availability {
  readonly sections: readonly ({ readonly sectionId: string } & SeatCounts)[];
  readonly asOfMs: number;
}

export function countAvailability({ maps, asOfMs }: SeatMapsRead): Availability {
  const sections = [...maps].map(([section, map]) => ({
    sectionId: section.sectionId,
    ...countStates(map, section.seats),
  }));
  return { sections, asOfMs };
}

export interface SeatStates {
  /** 2 bits a seat in layout order, the first in the lowest bits. */
  readonly states: Uint8Array;
  readonly seatCount: number;
  readonly layoutVersion: string;
}

export function describeStates({ maps, layoutVersion }: SeatMapsRead): SeatStates {
  const seated = [...maps].filter(([{ generalAdmission }]) => !generalAdmission);
  const states = joinMaps(seated.map(([{ seats }, map]) => ({ map, seats })));
  return { states, seatCount: seated.reduce((sum, [{ seats }]) => sum + seats, 0), layoutVersion };
}
