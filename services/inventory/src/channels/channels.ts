// The organiser's use cases of channels, and what their codes open; and bringing Valkey's pools in line with what is stored.
import { createHmac, randomBytes, randomUUID } from "node:crypto";
import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import type { EventStore } from "../events/event-store.js";
import { type EventRecord, isId } from "../events/events.js";
import { eventNotFound, type KnownEvents } from "../events/known-events.js";
import type { Generations } from "../generations/generations.js";
import { findSeats } from "../hall/find-seats.js";
import { type Layout, nameSeat, type Run, runsOf, type Seat, type SectionPlan, writeRuns } from "../hall/layout.js";
import { mapBytes, readRecord, type SeatCounts, seatStates, setState } from "../hall/seat-map.js";
import type { Generation } from "../valkey/marker.js";
import type { Valkey } from "../valkey/valkey.js";
import {
  type Allotments,
  allottedToOthers,
  type Channel,
  type ChannelWish,
  channelRuns,
  channelSeats,
  choosePlaces,
  codeIdOf,
  codeInvalid,
  codesInCommon,
  generalPool,
  hasCode,
  hashCode,
  mostCodesInEvent,
  mostPools,
  packCodes,
  placesOf,
  poolsOf,
  problemsOfChannel,
  seatIdsOf,
} from "./channel.js";
import type { ChannelStore } from "./channel-store.js";

export interface ChannelDependencies {
  readonly store: { readonly channels: ChannelStore; readonly events: EventStore };
  readonly events: KnownEvents;
  readonly generations: Generations;
  readonly valkey: Valkey;
  /** Mixed into what is kept of codes; the same in every process. */
  readonly codeSecret: string;
  /** How old what a process knows of channels may be. */
  readonly cacheMs: number;
  /** How old the states of a channel's seats may be. */
  readonly statesCacheMs: number;
  readonly now: () => number;
  readonly log: Logger;
}

/** What a code opens. */
export interface Opened {
  readonly channel: Channel;
  /** Names the code where seats are counted by it. */
  readonly codeId: string;
}

export type ChannelState = Channel & { readonly seatIds: string[]; readonly places: ReturnType<typeof placesOf> };

export interface OpenedSeats {
  readonly channel: Channel;
  readonly free: string[];
  readonly held: string[];
  readonly sold: string[];
  readonly blocked: string[];
  readonly places: ({ readonly sectionId: string } & SeatCounts)[];
  readonly asOfMs: number;
}

const tries = 8;
const runsAtOnce = 500;
const mostEvents = 2_000;
const mostCodeSets = 200;
const mostMaps = 200;
/** While MongoDB is away, codes go on opening what they did. */
const withoutStoreMs = 15 * 60 * 1000;
const mostProblemsTold = 50;

export class Channels {
  readonly #store;
  readonly #events;
  readonly #generations;
  readonly #valkey;
  readonly #codeSecret;
  readonly #cacheMs;
  readonly #statesCacheMs;
  readonly #now;
  readonly #log;
  readonly #known = new Map<string, { allotments: Allotments; readAtMs: number }>();
  readonly #reading = new Map<string, Promise<Allotments>>();
  readonly #codeSets = new Map<string, Buffer>();
  /** Which version this process has seen in Valkey, in which generation. */
  readonly #inValkey = new Map<string, { marker: string; version: number }>();
  readonly #ownMaps = new Map<string, { readAtMs: number; maps: Promise<ReadonlyMap<SectionPlan, Uint8Array>> }>();
  readonly #looking = new Map<string, { readAtMs: number; records: Promise<Buffer> }>();

  constructor({
    store,
    events,
    generations,
    valkey,
    codeSecret,
    cacheMs,
    statesCacheMs,
    now,
    log,
  }: ChannelDependencies) {
    this.#store = store;
    this.#events = events;
    this.#generations = generations;
    this.#valkey = valkey;
    this.#codeSecret = codeSecret;
    this.#cacheMs = cacheMs;
    this.#statesCacheMs = statesCacheMs;
    this.#now = now;
    this.#log = log;
  }

  /** Refusals: those of ChannelService.PutChannel. Fails until Valkey knows too, so that the caller tries again. */
  async put(
    eventId: string,
    organiserId: string,
    wish: ChannelWish,
  ): Promise<{ channel: ChannelState; notFree: string[] }> {
    for (let attempt = 1; ; attempt++) {
      // First the channels: an edit of a draft changes them with the event, so while they stay the same this event is the one to save them for.
      const before = await this.#store.channels.of(eventId);
      const event = await this.#owned(eventId, organiserId);
      const layout = await this.#events.layoutOf(event.layoutVersion);
      const problems = problemsOfChannel(wish, event, layout);
      if (problems.length > 0) throw refused(problems);
      const seats = findSeats(layout, wish.seatIds);
      for (const { sectionId } of wish.places)
        if (!layout.sectionById.has(sectionId))
          throw new DomainError("SECTION_UNKNOWN", `This event has no section "${sectionId}".`, { section: sectionId });

      const planned = await this.#plan(event, layout, before, wish, seats);
      if (planned) await this.#store.channels.addCodes(eventId, planned.codesId, planned.packed);
      if (planned && !(await this.#store.channels.save(planned.next))) {
        if (attempt < tries) continue;
        throw new DomainError(
          "UNAVAILABLE",
          "The channels of this event are being changed by others. Please try again.",
        );
      }
      const present = planned?.next ?? before;
      this.#known.delete(eventId);
      await this.#follow(event, present);
      const channel = present.channels.find(({ channelId }) => channelId === wish.channelId) as Channel;
      const notFree = event.published ? await this.#takenIn(event, layout, channel) : [];
      return { channel: describe(channel, layout), notFree };
    }
  }

  async delete(eventId: string, channelId: string, organiserId: string): Promise<void> {
    const event = await this.#owned(eventId, organiserId);
    for (let attempt = 1; ; attempt++) {
      const before = await this.#store.channels.of(eventId);
      const channels = before.channels.filter((channel) => channel.channelId !== channelId);
      const unchanged = channels.length === before.channels.length;
      const next = unchanged ? before : { ...before, version: before.version + 1, channels };
      if (unchanged || (await this.#store.channels.save(next))) {
        this.#known.delete(eventId);
        return await this.#follow(event, next);
      }
      if (attempt === tries)
        throw new DomainError(
          "UNAVAILABLE",
          "The channels of this event are being changed by others. Please try again.",
        );
    }
  }

  async list(eventId: string, organiserId: string): Promise<ChannelState[]> {
    let event = await this.#owned(eventId, organiserId);
    for (;;) {
      const { layoutVersion } = event;
      const { channels } = await this.#store.channels.of(eventId);
      // A draft may have got another hall meanwhile.
      if (!event.published) event = await this.#owned(eventId, organiserId);
      if (event.layoutVersion !== layoutVersion) continue;
      const layout = await this.#events.layoutOf(layoutVersion);
      return channels.map((channel) => describe(channel, layout));
    }
  }

  /** What a code opens in an event, its window aside; undefined: nothing. Refusal: UNAVAILABLE. */
  async find(eventId: string, code: string): Promise<Opened | undefined> {
    for (let last = false; ; last = true) {
      const allotments = await this.recent(eventId);
      const hash = hashCode(this.#codeSecret, allotments, code);
      let outdated = false;
      for (const channel of allotments.channels) {
        const packed = await this.#codesOf(channel.codesId);
        if (packed && hasCode(packed, hash)) return { channel, codeId: codeIdOf(hash) };
        outdated ||= packed === undefined;
      }
      if (!outdated || last) return undefined;
      this.#known.delete(eventId); // its codes were replaced since we read of them
    }
  }

  /** The channels as they were up to a few seconds ago. */
  recent(eventId: string): Promise<Allotments> {
    const found = this.#known.get(eventId);
    if (found && this.#now() - found.readAtMs < this.#cacheMs) return Promise.resolve(found.allotments);
    const running = this.#reading.get(eventId);
    if (running) return running;
    const work = this.#read(eventId).finally(() => this.#reading.delete(eventId));
    this.#reading.set(eventId, work);
    return work;
  }

  /** Refusals: EVENT_NOT_FOUND, ACCESS_CODE_INVALID, INVENTORY_REBUILDING. */
  async open(eventId: string, code: string): Promise<OpenedSeats> {
    const event = await this.#events.published(eventId);
    const opened = await this.find(eventId, code);
    if (!opened) throw codeInvalid();
    const { channel } = opened;
    const layout = await this.#events.layoutOf(event.layoutVersion);
    return {
      channel,
      ...(await this.#look(layout, channel.ended ? { ...channel, runs: "" } : channel, (section) =>
        this.#recordsLately(event, section),
      )),
    };
  }

  /**
   * The seats of the sections where the channel has some, as the 2-bit maps have them, but for the channel's buyer: free are the
   * channel's own, and all others are blocked. Sections without its seats are blocked as a whole.
   */
  async mapsOf(
    event: EventRecord,
    layout: Layout,
    channel: Channel,
    isFresh: boolean,
  ): Promise<ReadonlyMap<SectionPlan, Uint8Array>> {
    const key = `${event.eventId}:${channel.channelId}:${channel.fingerprint}`;
    const known = this.#ownMaps.get(key);
    if (known && !isFresh && performance.now() - known.readAtMs < this.#statesCacheMs) return await known.maps;
    const maps = this.#drawOwn(event, layout, channel);
    remember(this.#ownMaps, key, { readAtMs: performance.now(), maps }, mostMaps);
    maps.catch(() => this.#ownMaps.delete(key));
    return await maps;
  }

  /** For each event: ends what is due, and sees to it that Valkey is as new as MongoDB. Again and again, in any process, also after a crash midway. */
  async tend(used: readonly EventRecord[]): Promise<void> {
    if (used.length === 0) return;
    const byId = new Map(used.map((event) => [event.eventId, event]));
    for (const { eventId, version, nextCloseMs } of await this.#store.channels.heads([...byId.keys()])) {
      const event = byId.get(eventId) as EventRecord;
      const isDue = nextCloseMs !== 0 && nextCloseMs <= this.#now();
      try {
        const { marker } = await this.#generations.current(event);
        const last = this.#inValkey.get(eventId);
        if (!isDue && last?.marker === marker && last.version >= version) continue;
        await this.#bringInLine(event, isDue ? await this.#endDue(eventId) : await this.#store.channels.of(eventId));
      } catch (error) {
        // One event that is being restored does not keep the others waiting.
        if (!(error instanceof DomainError && error.refusal.retryable)) throw error;
      }
    }
  }

  // ---- what is known

  async #read(eventId: string): Promise<Allotments> {
    try {
      const allotments = await this.#store.channels.of(eventId);
      remember(this.#known, eventId, { allotments, readAtMs: this.#now() }, mostEvents);
      return allotments;
    } catch (error) {
      const before = this.#known.get(eventId);
      const away = error instanceof DomainError && error.code === "UNAVAILABLE";
      if (!away || !before || this.#now() - before.readAtMs > withoutStoreMs) throw error;
      return before.allotments;
    }
  }

  async #codesOf(codesId: string): Promise<Buffer | undefined> {
    const found = this.#codeSets.get(codesId) ?? (await this.#store.channels.codes(codesId));
    if (found) remember(this.#codeSets, codesId, found, mostCodeSets);
    return found;
  }

  // ---- Valkey follows

  /** Gives each seat the pool that it has in this version, unless a newer one has begun to. */
  async #bringInLine(event: EventRecord, allotments: Allotments): Promise<void> {
    const { version } = allotments;
    const layout = await this.#events.layoutOf(event.layoutVersion);
    const wanted = poolsOf(layout, allotments);
    await this.#generations.run(event, (generation) => this.#assignAll(generation, layout, wanted, version), { tries });
  }

  async #assignAll(
    generation: Generation,
    layout: Layout,
    wanted: ReadonlyMap<SectionPlan, Uint8Array>,
    version: number,
  ): Promise<true | undefined> {
    const done = await this.#valkey.read.poolsVersion(generation);
    if (done < version) {
      for (const section of layout.sections) {
        const records = await this.#valkey.read.records(generation, section);
        if (!records) return undefined;
        for (const [pool, runs] of misplaced(layout, section, records, wanted.get(section)))
          for (let at = 0; at < runs.length; at += runsAtOnce) {
            const answer = await this.#valkey.seats.assign(generation, version, pool, runs.slice(at, at + runsAtOnce));
            if (!answer) return undefined;
            if (answer === "old") return true;
          }
      }
      await this.#valkey.seats.poolsDone(generation, version);
    }
    this.#seen(generation, version);
    return true;
  }

  #seen({ eventId, marker }: Generation, version: number) {
    return remember(this.#inValkey, eventId, { marker, version }, mostEvents);
  }

  /** Ends the channels whose window is over. */
  async #endDue(eventId: string): Promise<Allotments> {
    for (let attempt = 1; ; attempt++) {
      const before = await this.#store.channels.of(eventId);
      const isDue = ({ ended, closesAtMs }: Channel) => !ended && closesAtMs <= this.#now();
      if (!before.channels.some(isDue)) return before;
      const channels = before.channels.map((channel) => (isDue(channel) ? { ...channel, ended: true } : channel));
      const next = { ...before, version: before.version + 1, channels };
      if (await this.#store.channels.save(next)) {
        this.#known.delete(eventId);
        this.#log.info(
          { eventId, channels: before.channels.filter(isDue).map(({ channelId }) => channelId) },
          "channels have ended",
        );
        return next;
      }
      if (attempt === tries) return before; // others are at it
    }
  }

  // ---- the organiser

  async #owned(eventId: string, organiserId: string): Promise<EventRecord> {
    const found = isId(eventId) ? (await this.#store.events.find(eventId))?.event : undefined;
    if (!found || (organiserId !== "" && found.organiserId !== organiserId)) throw eventNotFound();
    return found;
  }

  async #isFreeIn(event: EventRecord, section: SectionPlan): Promise<(index: number) => boolean> {
    if (!event.published) return () => true;
    const records = await this.#recordsOf(event, section);
    const nowMs = this.#now();
    return (index) => stateOf(records, index, nowMs) === "free";
  }

  /** All records of a section now. */
  #recordsOf(event: EventRecord, section: SectionPlan): Promise<Buffer> {
    return this.#generations.run(event, (generation) => this.#valkey.read.records(generation, section), { tries });
  }

  /** The same, shared by all who look at about the same time. */
  #recordsLately(event: EventRecord, section: SectionPlan): Promise<Buffer> {
    const key = `${event.eventId}:${section.sectionId}`;
    const found = this.#looking.get(key);
    if (found && performance.now() - found.readAtMs < this.#statesCacheMs) return found.records;
    const records = this.#recordsOf(event, section);
    remember(this.#looking, key, { readAtMs: performance.now(), records }, mostEvents);
    records.catch(() => this.#looking.delete(key));
    return records;
  }

  async #placesFor(event: EventRecord, layout: Layout, before: Allotments, wish: ChannelWish): Promise<Seat[]> {
    const chosen: Seat[] = [];
    const others = poolsOf(layout, {
      channels: before.channels.filter(({ channelId }) => channelId !== wish.channelId),
    });
    const own = poolsOf(layout, { channels: before.channels.filter(({ channelId }) => channelId === wish.channelId) });
    for (const { sectionId, quantity } of wish.places) {
      const section = layout.sectionById.get(sectionId) as SectionPlan;
      const isFree = await this.#isFreeIn(event, section);
      const places = choosePlaces(section, quantity, own.get(section), others.get(section), isFree);
      if ("free" in places)
        throw new DomainError(
          "NOT_ENOUGH_SEATS",
          `Section ${sectionId} has only ${places.free} places left for this channel; the others are sold, held, blocked or another channel's.`,
          { section: sectionId, free: places.free },
        );
      chosen.push(...places.places.map((index) => ({ section, index })));
    }
    return chosen;
  }

  /** What is to be stored in place of `before`, and the new codes if they are new; undefined: it is stored already. */
  async #plan(event: EventRecord, layout: Layout, before: Allotments, wish: ChannelWish, seats: readonly Seat[]) {
    const { eventId } = event;
    const salt = before.salt === "" ? randomBytes(16).toString("hex") : before.salt;
    const stored = before.channels.find(({ channelId }) => channelId === wish.channelId);
    const hashes = wish.codes.map((code) => hashCode(this.#codeSecret, { eventId, salt }, code));
    const codes = packCodes(hashes);
    if ("same" in codes)
      throw new DomainError(
        "CODE_DUPLICATE",
        `Codes ${codes.same[0] + 1} and ${codes.same[1] + 1} of the list are the same (case and surrounding spaces do not matter). Leave one out.`,
        { positions: codes.same },
      );
    const fingerprint = fingerprintOf(wish, codes.packed, salt);
    if (stored && stored.fingerprint === fingerprint && !stored.ended) return undefined;
    if (wish.closesAtMs <= this.#now()) throw refused([{ at: "closes_at_ms", problem: "is in the past" }]);

    const theirs = allottedToOthers(before, wish.channelId, layout, wish.seatIds);
    if (theirs.length > 0) throw allocated(theirs);
    const pool = stored?.pool ?? before.nextPool;
    if (pool > mostPools)
      throw new DomainError(
        "CHANNEL_LIMIT_REACHED",
        `An event may have ${mostPools} channels in its life, deleted ones included.`,
        {
          most: mostPools,
        },
      );
    let count = wish.codes.length;
    for (const { channelId, codesId, codeCount } of before.channels) {
      if (channelId === wish.channelId) continue;
      count += codeCount;
      const common = codesInCommon((await this.#codesOf(codesId)) ?? Buffer.alloc(0), codes.packed);
      if (common > 0)
        throw new DomainError(
          "CODE_DUPLICATE",
          `${common === 1 ? "One of the codes opens" : `${common} of the codes open`} channel ${channelId} already. A code opens one channel of an event.`,
          { channel: channelId, codes: common },
        );
    }
    if (count > mostCodesInEvent)
      throw new DomainError(
        "CHANNEL_LIMIT_REACHED",
        `An event may have ${mostCodesInEvent} codes in all its channels.`,
        {
          most: mostCodesInEvent,
        },
      );
    const places = await this.#placesFor(event, layout, before, wish);
    const codesId = randomUUID();
    const { channelId, name, opensAtMs, closesAtMs, seatsPerPerson, seatsPerCode } = wish;
    const channel: Channel = {
      channelId,
      pool,
      name,
      opensAtMs,
      closesAtMs,
      seatsPerPerson,
      seatsPerCode,
      runs: writeRuns(runsOf(layout, [...seats, ...places])),
      codesId,
      codeCount: wish.codes.length,
      ended: false,
      fingerprint,
    };
    const next: Allotments = {
      eventId,
      version: before.version + 1,
      nextPool: Math.max(before.nextPool, pool + 1),
      salt,
      channels: stored ? before.channels.map((one) => (one === stored ? channel : one)) : [...before.channels, channel],
    };
    return { next, codesId, packed: codes.packed };
  }

  /** Tells Valkey; clears away what is of no use any more. */
  async #follow(event: EventRecord, present: Allotments): Promise<void> {
    // Read again: a draft may have been published meanwhile, with the channels as they were before.
    const published = event.published || (await this.#store.events.find(event.eventId))?.event.published;
    if (published) await this.#bringInLine(event, present);
    await this.#store.channels.dropCodes(
      event.eventId,
      present.channels.map(({ codesId }) => codesId),
    );
  }

  async #takenIn(event: EventRecord, layout: Layout, channel: Channel): Promise<string[]> {
    const { held, sold, blocked } = await this.#look(layout, channel, (section) => this.#recordsOf(event, section));
    return [...held, ...sold, ...blocked];
  }

  async #look(layout: Layout, channel: Channel, recordsIn: (section: SectionPlan) => Promise<Buffer>) {
    const found = { free: [] as string[], held: [] as string[], sold: [] as string[], blocked: [] as string[] };
    const places = new Map<string, { free: number; held: number; sold: number; blocked: number }>();
    const nowMs = this.#now();
    for (const { section, start, length } of channelRuns(channel, layout)) {
      const records = await recordsIn(section);
      const counts = places.get(section.sectionId) ?? { free: 0, held: 0, sold: 0, blocked: 0 };
      for (let index = start; index < start + length; index++) {
        const state = stateOf(records, index, nowMs);
        if (section.generalAdmission) counts[state] += 1;
        else found[state].push(nameSeat({ section, index }).seatId);
      }
      if (section.generalAdmission) places.set(section.sectionId, counts);
    }
    return { ...found, places: [...places].map(([sectionId, counts]) => ({ sectionId, ...counts })), asOfMs: nowMs };
  }

  async #drawOwn(event: EventRecord, layout: Layout, channel: Channel): Promise<ReadonlyMap<SectionPlan, Uint8Array>> {
    const own = channelSeats(channel, layout);
    const nowMs = this.#now();
    const maps = new Map<SectionPlan, Uint8Array>();
    for (const section of layout.sections) {
      const map = new Uint8Array(mapBytes(section.seats)).fill(0xff);
      const mine = own.get(section);
      if (mine) {
        const records = await this.#recordsOf(event, section);
        for (let index = 0; index < section.seats; index++) {
          if (mine[index] !== 1 || readRecord(records, index).pool !== channel.pool) continue;
          setState(map, index, seatStates[stateOf(records, index, nowMs)]);
        }
      }
      maps.set(section, map);
    }
    return maps;
  }
}

/** The seats of a section that have another pool than they should, by the pool that they should have. */
function misplaced(
  layout: Layout,
  section: SectionPlan,
  records: Buffer,
  wanted: Uint8Array | undefined,
): Map<number, Run[]> {
  const wrong = new Map<number, Seat[]>();
  for (let index = 0; index < section.seats; index++) {
    const pool = wanted?.[index] ?? generalPool;
    if (readRecord(records, index).pool === pool) continue;
    const seats = wrong.get(pool);
    if (seats) seats.push({ section, index });
    else wrong.set(pool, [{ section, index }]);
  }
  return new Map([...wrong].map(([pool, seats]) => [pool, runsOf(layout, seats)]));
}

function stateOf(records: Buffer, index: number, nowMs: number): keyof SeatCounts {
  const { state, expiresAtMs } = readRecord(records, index);
  switch (state) {
    case seatStates.held:
      return expiresAtMs > nowMs ? "held" : "free";
    case seatStates.sold:
      return "sold";
    case seatStates.blocked:
      return "blocked";
    default:
      return "free";
  }
}

function describe(channel: Channel, layout: Layout): ChannelState {
  return { ...channel, seatIds: seatIdsOf(channel, layout), places: placesOf(channel, layout) };
}

/** Of a request, whatever the order of its codes and seats. Keyed, since it is made of codes too. */
function fingerprintOf(wish: ChannelWish, packed: Buffer, salt: string): string {
  const { channelId, name, opensAtMs, closesAtMs, seatsPerPerson, seatsPerCode, seatIds, places } = wish;
  const sortedPlaces = places.map(({ sectionId, quantity }) => `${sectionId}:${quantity}`).sort();
  return createHmac("sha256", salt)
    .update(JSON.stringify([channelId, name, opensAtMs, closesAtMs, seatsPerPerson, seatsPerCode]))
    .update(JSON.stringify([[...seatIds].sort(), sortedPlaces]))
    .update(packed)
    .digest("hex");
}

function remember<T>(map: Map<string, T>, key: string, value: T, most: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > most) map.delete(map.keys().next().value as string);
}

// ---- refusals

function allocated(seats: readonly string[]): DomainError {
  const told = seats.slice(0, 50);
  const more = seats.length > told.length ? ` and ${seats.length - told.length} more` : "";
  return new DomainError(
    "SEATS_ALLOCATED",
    `${told.join(", ")}${more} ${seats.length === 1 ? "is" : "are"} another channel's. Take ${seats.length === 1 ? "it" : "them"} out of that channel first.`,
    { seats: told },
  );
}

function refused(problems: readonly { at: string; problem: string }[]): DomainError {
  const told = problems.slice(0, mostProblemsTold);
  const lines = told.map(({ at, problem }) => `${at} ${problem}`);
  return new DomainError("REQUEST_INVALID", `The channel can't be stored: ${lines.join("; ")}.`, { problems: told });
}
