// Seats as they change: one process an event writes versions of its map to Valkey, and all of them tell their callers.

/*
 * Of the processes that watch an event, the one with the lock "live" reads the 2-bit maps some five times a second, compares them
 * with the last version, and writes what differs as the next one. So nothing needs to be told by the scripts that change seats: an
 * expiry, a sweep, a correction and a rebuilding are seen like any hold, and a hundred changes of one seat cost as much as one.
 *
 * The map that a version describes is written in the same step as the version, and only while the version before is still the last.
 * So a leader that dies between reading and writing takes nothing with it: whoever comes next compares the maps with what was
 * written, not with what was read. And two that believe to lead do no harm: the second finds another head, and looks again.
 * The lock is for economy.
 *
 * Versions belong to an epoch of the event's seats (see generation.ts). The first one of a log is the server's clock in
 * milliseconds, each next one is one more: should the log be lost within an epoch, the new one begins above all that were.
 */
import { randomUUID } from "node:crypto";
import { DomainError, type RefusalCode } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import { SeatChange, type SeatChanges, SeatSnapshot, type SeatVersion } from "@onsale/proto/inventory/v1/live";
import type { SectionAvailability } from "@onsale/proto/inventory/v1/seats";
import type { KnownEvents } from "../events/known-events.js";
import type { Generations } from "../generations/generations.js";
import { rebuilding } from "../generations/trust.js";
import type { Layout } from "../hall/layout.js";
import { countStates, joinMaps } from "../hall/seat-map.js";
import type { Generation } from "../valkey/marker.js";
import type { Valkey } from "../valkey/valkey.js";
import { outgrowsMap, runsBetween, withRuns } from "./seat-changes.js";

export interface LiveDependencies {
  readonly valkey: Valkey;
  readonly generations: Generations;
  readonly events: KnownEvents;
  /** How often the leader reads the maps. */
  readonly tickMs: number;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface LiveSeats {
  /**
   * What SeatChanges says, from `after` on. A caller who is slow to take them gets fewer and larger ones, in the end a snapshot.
   * Ends when the signal is aborted. Throws EVENT_NOT_FOUND, and UNAVAILABLE when this process stops.
   */
  watch(eventId: string, after: SeatVersion | undefined, signal: AbortSignal): AsyncIterable<SeatChanges>;
  stop(): Promise<void>;
}

/** A leader that says nothing for so long is none any more. */
const lockMs = 1_500;
const lookEveryMs = 500;
/** Numbers of general admission change with each hold: they are told this often at most. */
const placesEveryMs = 1_000;
const aliveEveryMs = 5_000;
/** How much of the past is kept, for readers who come back. */
const windowMs = 60_000;
const windowBytes = 512 * 1024;
const windowChanges = 1_000;
/** The written versions of an event that nobody watches any more go away by themselves. */
const keepMs = 60 * 60 * 1000;
/** After its last caller, an event is followed a little longer: one who comes back finds all there. */
const lingerMs = 10_000;
/** The first caller of an event is not told to wait before this: another process may be about to write the first version. */
const patienceMs = 400;

/** All that a version says. */
interface Told {
  readonly version: SeatVersion;
  readonly layoutVersion: string;
  readonly seatCount: number;
  readonly states: Uint8Array;
  readonly places: readonly SectionAvailability[];
}
type Image = Pick<Told, "seatCount" | "states" | "places">;
type Head = Pick<Told, "version" | "layoutVersion">;

interface Past {
  readonly change: SeatChange;
  readonly bytes: number;
  readonly atMs: number;
}

const headOf = ({ version, layoutVersion }: Head): string => `${version.epoch}|${version.version}|${layoutVersion}`;

function readHead(head: string): Head | undefined {
  const [, epoch, version, layoutVersion] = /^(\d+)\|(\d+)\|(.*)$/.exec(head) ?? [];
  if (layoutVersion === undefined) return undefined;
  return { version: { epoch: Number(epoch), version: Number(version) }, layoutVersion };
}

const isOf = ({ version, layoutVersion }: Head, generation: Generation, layout: Layout): boolean =>
  version.epoch === generation.epoch && layoutVersion === layout.version;

export function createLiveSeats({ valkey, generations, events, tickMs, log, metrics }: LiveDependencies): LiveSeats {
  const written = metrics.counter("onsale_live_versions_total", "Versions of seat maps written, by kind", ["kind"]);
  const following = metrics.gauge("onsale_live_events", "Events whose seats are watched here");
  const leading = metrics.gauge("onsale_live_events_led", "Events whose versions this process writes");
  const me = randomUUID();
  const followed = new Map<string, Following>();
  const ear = valkey.live.listen((eventId, head, change) => followed.get(eventId)?.hear(head, change));
  let stopping = false;

  type Following = ReturnType<typeof follow>;

  function follow(eventId: string) {
    const callers = new Set<() => void>();
    let told: Told | undefined;
    let past: Past[] = [];
    /** Why nothing newer than `told` can be told; undefined: it is up to date. */
    let waiting: RefusalCode | undefined = "UNAVAILABLE";
    const sinceMs = performance.now();
    let settled = false;
    let ended: DomainError | undefined;
    let leads = false;
    let lookedAtMs = Number.NEGATIVE_INFINITY;
    let placesAtMs = Number.NEGATIVE_INFINITY;
    let lonelySinceMs = performance.now();
    /** The maps as they were read, and the version that says so: while both stay, there is nothing to write. */
    let read: { readonly maps: readonly Buffer[]; readonly told: Told | undefined } | undefined;
    let placesOwed = false;
    let wake = () => {};

    const ring = () => {
      for (const call of callers) call();
    };
    const lead = (now: boolean) => {
      if (now !== leads) leading.inc(now ? 1 : -1);
      leads = now;
    };
    const lookSoon = () => {
      lookedAtMs = Number.NEGATIVE_INFINITY;
      wake();
    };

    function forgetTooOld(): void {
      const oldest = performance.now() - windowMs;
      let bytes = past.reduce((sum, one) => sum + one.bytes, 0);
      let from = 0;
      for (; from < past.length; from++) {
        const { atMs, bytes: size } = past[from] as Past;
        if (atMs >= oldest && bytes <= windowBytes && past.length - from <= windowChanges) break;
        bytes -= size;
      }
      past = past.slice(from);
    }

    /** The next version, if it is the next one. */
    function accept(change: SeatChange, bytes: number): boolean {
      const { epoch, version } = versionOf(change);
      if (!told || told.version.epoch !== epoch || told.version.version + 1 !== version) return false;
      const changed = new Map(change.places.map((one) => [one.sectionId, one]));
      told = {
        ...told,
        version: { epoch, version },
        states: change.states.length > 0 ? change.states : withRuns(told.states, change.runs, told.seatCount),
        places: told.places.map((one) => changed.get(one.sectionId) ?? one),
      };
      past.push({ change, bytes, atMs: performance.now() });
      return true;
    }

    function begin(first: Told): void {
      told = first;
      past = [];
    }

    /** What Valkey has stored becomes what is told. */
    async function load(): Promise<void> {
      const stored = await valkey.live.stored(eventId);
      const head = stored && readHead(stored.head);
      if (!stored || !head) return;
      const changes = stored.changes.map((bytes) => ({ change: SeatChange.decode(bytes), bytes: bytes.length }));
      for (const { change, bytes } of changes) accept(change, bytes);
      if (told && headOf(told) === stored.head) return;
      if (told && told.version.epoch === head.version.epoch && told.version.version > head.version.version) return;
      const { recent: _none, version: _same, ...snapshot } = SeatSnapshot.decode(stored.snapshot);
      begin({ ...snapshot, ...head });
      const atMs = performance.now();
      // Those that led there, without a hole; and then those that have come since.
      let expected = head.version.version;
      for (const { change, bytes } of changes.toReversed()) {
        const { epoch, version } = versionOf(change);
        if (epoch !== head.version.epoch || version !== expected) continue;
        past.unshift({ change, bytes, atMs });
        expected -= 1;
      }
      for (const { change, bytes } of changes) accept(change, bytes);
    }

    /** Undefined, here and in the next: another generation is there. */
    async function look(generation: Generation, layout: Layout): Promise<true | undefined> {
      const seen = await valkey.live.look(generation, { token: me, lockMs, keepMs });
      if (!seen) return undefined;
      lookedAtMs = performance.now();
      lead(seen.leads);
      if (told && headOf(told) === seen.head) return true;
      const head = readHead(seen.head);
      if (head && isOf(head, generation, layout)) {
        if (!told || !isOf(told, generation, layout) || told.version.version < head.version.version) {
          await load();
          return true;
        }
        // A change was heard after the look.
        if (!leads) return true;
      }
      // The log is lost, or another generation's: who leads begins one.
      if (leads) told = undefined;
      return true;
    }

    /** Writes what comes after `base`, which is the last version; without base, a log begins. */
    async function write(
      generation: Generation,
      next: Told,
      base: Told | undefined,
      change?: SeatChange,
    ): Promise<true | undefined> {
      const before = base ? headOf(base) : await headBefore(generation, next);
      if (before === undefined) {
        lookSoon();
        return true;
      }
      forgetTooOld();
      const packed = change ? Buffer.from(SeatChange.encode(change).finish()) : Buffer.alloc(0);
      const outcome = await valkey.live.publish(generation, {
        before,
        head: headOf(next),
        snapshot: Buffer.from(SeatSnapshot.encode(snapshotOf(next, [])).finish()),
        change: packed,
        version: next.version.version,
        keepFrom: past[0] ? versionOf(past[0].change).version : next.version.version,
        keepMs,
      });
      if (!outcome) return undefined;
      if (outcome === "overtaken") {
        lookSoon();
        return true;
      }
      written.inc({ kind: change === undefined ? "snapshot" : change.states.length > 0 ? "map" : "runs" });
      if (!change) begin(next);
      else accept(change, packed.length); // unless it was heard already
      return true;
    }

    /** What stands in the place where a log is to begin; undefined: another process has just begun it. */
    async function headBefore(generation: Generation, next: Told): Promise<string | undefined> {
      const there = (await valkey.live.look(generation, { token: me, lockMs, keepMs }))?.head ?? "";
      const head = readHead(there);
      const isBegun = head?.layoutVersion === next.layoutVersion && head.version.epoch === next.version.epoch;
      return isBegun ? undefined : there;
    }

    async function readAndWrite(generation: Generation, layout: Layout): Promise<true | undefined> {
      const found = await valkey.read.maps(generation, layout.sections);
      if (!found) return undefined;
      const { maps, nowMs } = found;
      const base = told && isOf(told, generation, layout) ? told : undefined;
      const mayTellPlaces = performance.now() - placesAtMs >= placesEveryMs;
      const isSameAsRead =
        base !== undefined && read?.told === base && read.maps.every((map, at) => maps[at]?.equals(map));
      if (isSameAsRead && !(placesOwed && mayTellPlaces)) return true;

      const image = imageOf(layout, maps);
      let next: Told = {
        version: { epoch: generation.epoch, version: nowMs },
        layoutVersion: layout.version,
        ...image,
      };
      if (!base) {
        if (!(await write(generation, next, undefined))) return undefined;
        placesAtMs = performance.now();
        placesOwed = false;
      } else {
        next = { ...next, version: { ...base.version, version: base.version.version + 1 } };
        if (!mayTellPlaces) next = { ...next, places: base.places };
        const change = changeBetween(base, next);
        if (change && !(await write(generation, next, base, change))) return undefined;
        if (!change) next = base;
        placesOwed = !mayTellPlaces && image.places.some((one, at) => !isSame(one, base.places[at]));
        if (change && change.places.length > 0) placesAtMs = performance.now();
      }
      // Not if another has written: then what it wrote must be compared with the maps first.
      read = told && headOf(told) === headOf(next) ? { maps, told } : undefined;
      return true;
    }

    async function stepIn(generation: Generation, layout: Layout): Promise<Generation | undefined> {
      if (performance.now() - lookedAtMs >= lookEveryMs && !(await look(generation, layout))) return undefined;
      if (leads && !(await readAndWrite(generation, layout))) return undefined;
      return generation;
    }

    async function step(): Promise<void> {
      const event = await events.published(eventId);
      const layout = await events.layoutOf(event.layoutVersion);
      const generation = await generations.run(event, (one) => stepIn(one, layout), { tries: 1 });
      // Until the leader has written its first version, there is none to tell.
      if (told?.version.epoch !== generation.epoch || told.layoutVersion !== layout.version) throw rebuilding();
      forgetTooOld();
    }

    function wait(code: RefusalCode): void {
      lead(false);
      lookedAtMs = Number.NEGATIVE_INFINITY;
      waiting = code;
    }

    async function run(): Promise<void> {
      while (!stopping && (callers.size > 0 || performance.now() - lonelySinceMs < lingerMs)) {
        const before = told;
        const waitedFor = waiting;
        try {
          await step();
          waiting = undefined;
        } catch (thrown) {
          const error = DomainError.from(thrown);
          if (error.code === "EVENT_NOT_FOUND") {
            ended = error;
            break;
          }
          if (!error.refusal.retryable)
            log.error({ err: thrown, eventId }, "a bug: an event's seats can't be followed");
          wait(error.code === "INVENTORY_REBUILDING" ? error.code : "UNAVAILABLE");
        }
        const first = !settled && (waiting === undefined || performance.now() - sinceMs > patienceMs);
        settled ||= first;
        if (told !== before || waiting !== waitedFor || first) ring();
        await pause(leads || waiting !== undefined ? tickMs : lookEveryMs);
      }
      if (stopping) ended = new DomainError("UNAVAILABLE", "This process stops: another one tells about the seats.");
      followed.delete(eventId);
      following.set(followed.size);
      ear.leave(eventId);
      const led = leads;
      lead(false);
      ring();
      if (led) await valkey.connection.renewLock(eventId, "live", me, 0).catch(() => undefined);
    }

    function pause(ms: number): Promise<void> {
      return new Promise((resolve) => {
        const timer = setTimeout(done, ms);
        function done() {
          clearTimeout(timer);
          wake = () => {};
          resolve();
        }
        wake = done;
      });
    }

    /** The changes after a version, or undefined when they are not all known any more. */
    function since(after: SeatVersion | undefined): readonly SeatChange[] | undefined {
      if (!told || !after || after.epoch !== told.version.epoch) return undefined;
      const behind = told.version.version - after.version;
      if (behind < 0 || behind > past.length) return undefined;
      return past.slice(past.length - behind).map(({ change }) => change);
    }

    ear.join(eventId);
    return {
      running: run(),
      callers,
      stop: () => wake(),
      settled: () => settled,
      ended: () => ended,
      waiting: () => waiting,
      since,
      snapshot: () =>
        told &&
        snapshotOf(
          told,
          past.map(({ change }) => change),
        ),

      hear(head: string, change: Buffer): void {
        const next = readHead(head);
        if (!next || !told) return;
        const { epoch, version } = next.version;
        if (epoch === told.version.epoch && version <= told.version.version) return;
        // Heard something else than what follows: the log has it.
        if (change.length === 0 || !accept(SeatChange.decode(change), change.length)) lookSoon();
        else if (waiting === undefined) ring();
      },

      leave(call: () => void): void {
        callers.delete(call);
        if (callers.size === 0) lonelySinceMs = performance.now();
      },
    };
  }

  function followedEvent(eventId: string): Following {
    const known = followed.get(eventId);
    if (known) return known;
    const fresh = follow(eventId);
    followed.set(eventId, fresh);
    following.set(followed.size);
    return fresh;
  }

  return {
    async *watch(eventId, after, signal) {
      if (stopping) throw new DomainError("UNAVAILABLE", "This process stops: another one tells about the seats.");
      await events.published(eventId); // so that what does not exist is never followed
      const event = followedEvent(eventId);
      let sent = after;
      /** What the caller believes: undefined once it is up to date. */
      let mood: string | undefined = "new";
      let call = () => {};
      const calling = () => call();
      event.callers.add(calling);
      signal.addEventListener("abort", calling);
      try {
        while (!signal.aborted) {
          const ended = event.ended();
          if (ended) throw ended;
          let quiet = true;
          const waiting = event.waiting();
          if (waiting !== undefined) {
            if (event.settled() && waiting !== mood) {
              mood = waiting;
              quiet = false;
              yield { what: { $case: "wait", value: { code: waiting } } };
            }
          } else {
            const changes = event.since(sent);
            const snapshot = changes ? undefined : event.snapshot();
            quiet = changes?.length === 0 && mood === undefined;
            if (snapshot) {
              sent = snapshot.version;
              yield { what: { $case: "snapshot", value: snapshot } };
            }
            for (const change of changes ?? []) {
              sent = change.version;
              yield { what: { $case: "change", value: change } };
            }
            if (changes?.length === 0 && mood !== undefined) yield { what: { $case: "alive", value: {} } };
            mood = undefined;
          }
          if (!quiet || signal.aborted) continue;
          const timely = await new Promise<boolean>((resolve) => {
            const timer = setTimeout(() => resolve(false), aliveEveryMs);
            call = () => {
              clearTimeout(timer);
              resolve(true);
            };
          });
          call = () => {};
          if (timely || !event.settled()) continue;
          if (mood === undefined) yield { what: { $case: "alive", value: {} } };
          else mood = "new"; // says again that it waits
        }
      } finally {
        signal.removeEventListener("abort", calling);
        event.leave(calling);
      }
    },

    async stop() {
      stopping = true;
      const all = [...followed.values()];
      for (const event of all) event.stop();
      await Promise.all(all.map(({ running }) => running));
      ear.close();
    },
  };
}

// ---- what versions say

function versionOf({ version }: SeatChange): SeatVersion {
  if (!version) throw new Error("a change of seats has no version");
  return version;
}

function imageOf(layout: Layout, maps: readonly Uint8Array[]): Image {
  const parts = layout.sections.map((section, at) => ({ section, map: maps[at] as Uint8Array, seats: section.seats }));
  const seated = parts.filter(({ section }) => !section.generalAdmission);
  return {
    seatCount: seated.reduce((sum, { seats }) => sum + seats, 0),
    states: joinMaps(seated),
    places: parts
      .filter(({ section }) => section.generalAdmission)
      .map(({ section, map, seats }) => ({ sectionId: section.sectionId, ...countStates(map, seats) })),
  };
}

/** The step from a version to the next, or undefined when nothing has changed. */
function changeBetween(told: Told, next: Told): SeatChange | undefined {
  const runs = runsBetween(told.states, next.states, told.seatCount);
  const before = new Map(told.places.map((one) => [one.sectionId, one]));
  const places = next.places.filter((one) => !isSame(one, before.get(one.sectionId)));
  if (runs.length === 0 && places.length === 0) return undefined;
  return outgrowsMap(runs, told.seatCount)
    ? { version: next.version, runs: [], states: Buffer.from(next.states), places }
    : { version: next.version, runs, states: Buffer.alloc(0), places };
}

const isSame = (one: SectionAvailability, other: SectionAvailability | undefined): boolean =>
  other !== undefined &&
  one.free === other.free &&
  one.held === other.held &&
  one.sold === other.sold &&
  one.blocked === other.blocked;

function snapshotOf({ states, places, ...told }: Told, recent: SeatChange[]): SeatSnapshot {
  return { ...told, states: Buffer.from(states.buffer, states.byteOffset, states.length), places: [...places], recent };
}
