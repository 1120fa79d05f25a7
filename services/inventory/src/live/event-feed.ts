// The feed of one event's seats in one process: follows the versions in Valkey, writes them when it leads, and rings its callers.
import { DomainError, type RefusalCode } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import { SeatChange, SeatSnapshot, type SeatVersion } from "@onsale/proto/inventory/v1/live";
import type { KnownEvents } from "../events/known-events.js";
import type { Generations } from "../generations/generations.js";
import { rebuilding } from "../generations/trust.js";
import type { Layout } from "../hall/layout.js";
import type { Generation } from "../valkey/marker.js";
import type { Valkey } from "../valkey/valkey.js";
import { withRuns } from "./seat-changes.js";
import {
  changeBetween,
  headOf,
  imageOf,
  isOf,
  isSame,
  readHead,
  snapshotOf,
  type Told,
  versionOf,
} from "./versions.js";

export interface FeedDependencies {
  readonly eventId: string;
  readonly valkey: Valkey;
  readonly generations: Generations;
  readonly events: KnownEvents;
  /** How often the leader reads the maps. */
  readonly tickMs: number;
  readonly log: Logger;
  /** Of this process: whose lock it is. */
  readonly me: string;
  readonly written: ReturnType<Metrics["counter"]>;
  readonly leading: ReturnType<Metrics["gauge"]>;
  readonly isStopping: () => boolean;
  /** It has ended: nobody watches, there is no such event, or the process stops. */
  readonly onEnd: () => void;
}

/** A leader that says nothing for so long is none any more. */
const lockMs = 1_500;
const lookEveryMs = 500;
/** Numbers of general admission change with each hold: they are told this often at most. */
const placesEveryMs = 1_000;
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

interface Past {
  readonly change: SeatChange;
  readonly bytes: number;
  readonly atMs: number;
}

export class EventFeed {
  readonly #eventId;
  readonly #valkey;
  readonly #generations;
  readonly #events;
  readonly #tickMs;
  readonly #log;
  readonly #me;
  readonly #written;
  readonly #leading;
  readonly #isStopping;
  readonly #onEnd;
  readonly #callers = new Set<() => void>();
  #told: Told | undefined;
  #past: Past[];
  /** Why nothing newer than `told` can be told; undefined: it is up to date. */
  #waiting: RefusalCode | undefined;
  readonly #sinceMs;
  #settled = false;
  #ended: DomainError | undefined;
  #leads = false;
  #lookedAtMs;
  #placesAtMs;
  #lonelySinceMs;
  /** The maps as they were read, and the version that says so: while both stay, there is nothing to write. */
  #read: { readonly maps: readonly Buffer[]; readonly told: Told | undefined } | undefined;
  #placesOwed = false;
  #wake: (() => void) | undefined;
  readonly #running;

  constructor({
    eventId,
    valkey,
    generations,
    events,
    tickMs,
    log,
    me,
    written,
    leading,
    isStopping,
    onEnd,
  }: FeedDependencies) {
    this.#eventId = eventId;
    this.#valkey = valkey;
    this.#generations = generations;
    this.#events = events;
    this.#tickMs = tickMs;
    this.#log = log;
    this.#me = me;
    this.#written = written;
    this.#leading = leading;
    this.#isStopping = isStopping;
    this.#onEnd = onEnd;
    this.#past = [];
    this.#waiting = "UNAVAILABLE";
    this.#sinceMs = performance.now();
    this.#lookedAtMs = Number.NEGATIVE_INFINITY;
    this.#placesAtMs = Number.NEGATIVE_INFINITY;
    this.#lonelySinceMs = performance.now();
    this.#running = this.#run();
  }

  /** Until it ends. */
  running() {
    return this.#running;
  }

  /** Rings when there is something to tell. */
  join(call: () => void) {
    return void this.#callers.add(call);
  }

  stop() {
    return this.#wake?.();
  }

  /** Whether callers may be told to wait. */
  settled() {
    return this.#settled;
  }

  ended() {
    return this.#ended;
  }

  waiting() {
    return this.#waiting;
  }

  /** The changes after a version, or undefined when they are not all known any more. */
  since(after: SeatVersion | undefined): readonly SeatChange[] | undefined {
    if (!this.#told || !after || after.epoch !== this.#told.version.epoch) return undefined;
    const behind = this.#told.version.version - after.version;
    if (behind < 0 || behind > this.#past.length) return undefined;
    return this.#past.slice(this.#past.length - behind).map(({ change }) => change);
  }

  snapshot() {
    return (
      this.#told &&
      snapshotOf(
        this.#told,
        this.#past.map(({ change }) => change),
      )
    );
  }

  hear(head: string, change: Buffer): void {
    const next = readHead(head);
    if (!next || !this.#told) return;
    const { epoch, version } = next.version;
    if (epoch === this.#told.version.epoch && version <= this.#told.version.version) return;
    // Heard something else than what follows: the log has it.
    if (change.length === 0 || !this.#accept(SeatChange.decode(change), change.length)) this.#lookSoon();
    else if (this.#waiting === undefined) this.#ring();
  }

  leave(call: () => void): void {
    this.#callers.delete(call);
    if (this.#callers.size === 0) this.#lonelySinceMs = performance.now();
  }

  #ring() {
    for (const call of this.#callers) call();
  }

  #lead(now: boolean) {
    if (now !== this.#leads) this.#leading.inc(now ? 1 : -1);
    this.#leads = now;
  }

  #lookSoon() {
    this.#lookedAtMs = Number.NEGATIVE_INFINITY;
    this.#wake?.();
  }

  #forgetTooOld(): void {
    const oldest = performance.now() - windowMs;
    let bytes = this.#past.reduce((sum, one) => sum + one.bytes, 0);
    let from = 0;
    for (; from < this.#past.length; from++) {
      const { atMs, bytes: size } = this.#past[from] as Past;
      if (atMs >= oldest && bytes <= windowBytes && this.#past.length - from <= windowChanges) break;
      bytes -= size;
    }
    this.#past = this.#past.slice(from);
  }

  /** The next version, if it is the next one. */
  #accept(change: SeatChange, bytes: number): boolean {
    const { epoch, version } = versionOf(change);
    if (!this.#told || this.#told.version.epoch !== epoch || this.#told.version.version + 1 !== version) return false;
    const changed = new Map(change.places.map((one) => [one.sectionId, one]));
    this.#told = {
      ...this.#told,
      version: { epoch, version },
      states: change.states.length > 0 ? change.states : withRuns(this.#told.states, change.runs, this.#told.seatCount),
      places: this.#told.places.map((one) => changed.get(one.sectionId) ?? one),
    };
    this.#past.push({ change, bytes, atMs: performance.now() });
    return true;
  }

  #begin(first: Told): void {
    this.#told = first;
    this.#past = [];
  }

  /** What Valkey has stored becomes what is told. */
  async #load(): Promise<void> {
    const stored = await this.#valkey.live.stored(this.#eventId);
    const head = stored && readHead(stored.head);
    if (!stored || !head) return;
    const changes = stored.changes.map((bytes) => ({ change: SeatChange.decode(bytes), bytes: bytes.length }));
    for (const { change, bytes } of changes) this.#accept(change, bytes);
    if (this.#told && headOf(this.#told) === stored.head) return;
    if (
      this.#told &&
      this.#told.version.epoch === head.version.epoch &&
      this.#told.version.version > head.version.version
    )
      return;
    const { recent: _none, version: _same, ...snapshot } = SeatSnapshot.decode(stored.snapshot);
    this.#begin({ ...snapshot, ...head });
    const atMs = performance.now();
    // Those that led there, without a hole; and then those that have come since.
    let expected = head.version.version;
    for (const { change, bytes } of changes.toReversed()) {
      const { epoch, version } = versionOf(change);
      if (epoch !== head.version.epoch || version !== expected) continue;
      this.#past.unshift({ change, bytes, atMs });
      expected -= 1;
    }
    for (const { change, bytes } of changes) this.#accept(change, bytes);
  }

  /** Undefined, here and in the next: another generation is there. */
  async #look(generation: Generation, layout: Layout): Promise<true | undefined> {
    const seen = await this.#valkey.live.look(generation, { token: this.#me, lockMs, keepMs });
    if (!seen) return undefined;
    this.#lookedAtMs = performance.now();
    this.#lead(seen.leads);
    if (this.#told && headOf(this.#told) === seen.head) return true;
    const head = readHead(seen.head);
    if (head && isOf(head, generation, layout)) {
      if (!this.#told || !isOf(this.#told, generation, layout) || this.#told.version.version < head.version.version) {
        await this.#load();
        return true;
      }
      // A change was heard after the look.
      if (!this.#leads) return true;
    }
    // The log is lost, or another generation's: who leads begins one.
    if (this.#leads) this.#told = undefined;
    return true;
  }

  /** Writes what comes after `base`, which is the last version; without base, a log begins. */
  async #write(
    generation: Generation,
    next: Told,
    base: Told | undefined,
    change?: SeatChange,
  ): Promise<true | undefined> {
    const before = base ? headOf(base) : await this.#headBefore(generation, next);
    if (before === undefined) {
      this.#lookSoon();
      return true;
    }
    this.#forgetTooOld();
    const packed = change ? Buffer.from(SeatChange.encode(change).finish()) : Buffer.alloc(0);
    const outcome = await this.#valkey.live.publish(generation, {
      before,
      head: headOf(next),
      snapshot: Buffer.from(SeatSnapshot.encode(snapshotOf(next, [])).finish()),
      change: packed,
      version: next.version.version,
      keepFrom: this.#past[0] ? versionOf(this.#past[0].change).version : next.version.version,
      keepMs,
    });
    if (!outcome) return undefined;
    if (outcome === "overtaken") {
      this.#lookSoon();
      return true;
    }
    this.#written.inc({ kind: change === undefined ? "snapshot" : change.states.length > 0 ? "map" : "runs" });
    if (!change) this.#begin(next);
    else this.#accept(change, packed.length); // unless it was heard already
    return true;
  }

  /** What stands in the place where a log is to begin; undefined: another process has just begun it. */
  async #headBefore(generation: Generation, next: Told): Promise<string | undefined> {
    const there = (await this.#valkey.live.look(generation, { token: this.#me, lockMs, keepMs }))?.head ?? "";
    const head = readHead(there);
    const isBegun = head?.layoutVersion === next.layoutVersion && head.version.epoch === next.version.epoch;
    return isBegun ? undefined : there;
  }

  async #readAndWrite(generation: Generation, layout: Layout): Promise<true | undefined> {
    const found = await this.#valkey.read.maps(generation, layout.sections);
    if (!found) return undefined;
    const { maps, nowMs } = found;
    const base = this.#told && isOf(this.#told, generation, layout) ? this.#told : undefined;
    const mayTellPlaces = performance.now() - this.#placesAtMs >= placesEveryMs;
    const isSameAsRead =
      base !== undefined && this.#read?.told === base && this.#read.maps.every((map, at) => maps[at]?.equals(map));
    if (isSameAsRead && !(this.#placesOwed && mayTellPlaces)) return true;

    const image = imageOf(layout, maps);
    let next: Told = {
      version: { epoch: generation.epoch, version: nowMs },
      layoutVersion: layout.version,
      ...image,
    };
    if (!base) {
      if (!(await this.#write(generation, next, undefined))) return undefined;
      this.#placesAtMs = performance.now();
      this.#placesOwed = false;
    } else {
      next = { ...next, version: { ...base.version, version: base.version.version + 1 } };
      if (!mayTellPlaces) next = { ...next, places: base.places };
      const change = changeBetween(base, next);
      if (change && !(await this.#write(generation, next, base, change))) return undefined;
      if (!change) next = base;
      this.#placesOwed = !mayTellPlaces && image.places.some((one, at) => !isSame(one, base.places[at]));
      if (change && change.places.length > 0) this.#placesAtMs = performance.now();
    }
    // Not if another has written: then what it wrote must be compared with the maps first.
    this.#read = this.#told && headOf(this.#told) === headOf(next) ? { maps, told: this.#told } : undefined;
    return true;
  }

  async #stepIn(generation: Generation, layout: Layout): Promise<Generation | undefined> {
    if (performance.now() - this.#lookedAtMs >= lookEveryMs && !(await this.#look(generation, layout)))
      return undefined;
    if (this.#leads && !(await this.#readAndWrite(generation, layout))) return undefined;
    return generation;
  }

  async #step(): Promise<void> {
    const event = await this.#events.published(this.#eventId);
    const layout = await this.#events.layoutOf(event.layoutVersion);
    const generation = await this.#generations.run(event, (one) => this.#stepIn(one, layout), { tries: 1 });
    // Until the leader has written its first version, there is none to tell.
    if (this.#told?.version.epoch !== generation.epoch || this.#told.layoutVersion !== layout.version)
      throw rebuilding();
    this.#forgetTooOld();
  }

  #wait(code: RefusalCode): void {
    this.#lead(false);
    this.#lookedAtMs = Number.NEGATIVE_INFINITY;
    this.#waiting = code;
  }

  async #run(): Promise<void> {
    while (!this.#isStopping() && (this.#callers.size > 0 || performance.now() - this.#lonelySinceMs < lingerMs)) {
      const before = this.#told;
      const waitedFor = this.#waiting;
      try {
        await this.#step();
        this.#waiting = undefined;
      } catch (thrown) {
        const error = DomainError.from(thrown);
        if (error.code === "EVENT_NOT_FOUND") {
          this.#ended = error;
          break;
        }
        if (!error.refusal.retryable)
          this.#log.error({ err: thrown, eventId: this.#eventId }, "a bug: an event's seats can't be followed");
        this.#wait(error.code === "INVENTORY_REBUILDING" ? error.code : "UNAVAILABLE");
      }
      const first = !this.#settled && (this.#waiting === undefined || performance.now() - this.#sinceMs > patienceMs);
      this.#settled ||= first;
      if (this.#told !== before || this.#waiting !== waitedFor || first) this.#ring();
      await this.#pause(this.#leads || this.#waiting !== undefined ? this.#tickMs : lookEveryMs);
    }
    if (this.#isStopping())
      this.#ended = new DomainError("UNAVAILABLE", "This process stops: another one tells about the seats.");
    this.#onEnd();
    const led = this.#leads;
    this.#lead(false);
    this.#ring();
    if (led) await this.#valkey.connection.renewLock(this.#eventId, "live", this.#me, 0).catch(() => undefined);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#wake = done;
    });
  }
}
