// Channels: seats set aside for who has a code. What one may be, what a code opens, and whose each seat is. Pure.
import { createHmac } from "node:crypto";
import { DomainError } from "@onsale/kit/errors";
import { type EventRecord, saleEndsAtMs } from "../events/events.js";
import {
  findSeat,
  type Layout,
  nameSeat,
  type Run,
  readRuns,
  runsOf,
  type Seat,
  type SectionPlan,
  seatsOf,
  writeRuns,
} from "../hall/layout.js";
import { lineProblem, type Problem, timeProblem } from "../hall/problems.js";

/** The pool of every seat that is no channel's. */
export const generalPool = 0;
/** A pool's number is one byte of a seat's record, and is never given a second time. */
export const mostPools = 250;
export const mostCodesInChannel = 10_000;
export const mostCodesInEvent = 100_000;

/** A channel as it is stored. */
export interface Channel {
  readonly channelId: string;
  /** 1 to 250: what its seats carry in Valkey. */
  readonly pool: number;
  readonly name: string;
  readonly opensAtMs: number;
  readonly closesAtMs: number;
  /** 0: the event's own limit. */
  readonly seatsPerPerson: number;
  /** 0: no limit. */
  readonly seatsPerCode: number;
  /** Its seats and places, as writeRuns wrote them. */
  readonly runs: string;
  readonly codesId: string;
  readonly codeCount: number;
  /** The window is over, and its seats are the general sale's again. */
  readonly ended: boolean;
  /** Of the request that made it. */
  readonly fingerprint: string;
}

/** All channels of an event, and by their version in which order they changed. */
export interface Allotments {
  readonly eventId: string;
  /** Rises with every change; 0: there never was a channel. */
  readonly version: number;
  readonly nextPool: number;
  /** Random; codes are hashed with it, so that the same code in two events does not look the same. */
  readonly salt: string;
  readonly channels: readonly Channel[];
}

// ---- codes

export const codeBytes = 16;
const shortestCode = 4;
const longestCode = 64;

/** As people mean it: case, width and surrounding spaces do not matter. */
export const plainCode = (code: string): string => code.normalize("NFKC").trim().toUpperCase();

/** What is kept of a code: its first 128 bits of HMAC-SHA-256. Without the secret and the salt nobody can try codes against it. */
export function hashCode(
  secret: string,
  { eventId, salt }: Pick<Allotments, "eventId" | "salt">,
  code: string,
): Buffer {
  return createHmac("sha256", secret)
    .update(`${salt}\n${eventId}\n${plainCode(code)}`)
    .digest()
    .subarray(0, codeBytes);
}

/** Names a code in Valkey and in claims: 16 hex digits. */
export const codeIdOf = (hash: Buffer): string => hash.toString("hex", 0, 8);

/** Sorted, one behind the other: 10,000 codes are 160 KB. Undefined: two are the same, at these places in the list. */
export function packCodes(
  hashes: readonly Buffer[],
): { readonly packed: Buffer } | { readonly same: [number, number] } {
  const order = hashes
    .map((_, at) => at)
    .sort((a, b) => Buffer.compare(hashes[a] as Buffer, hashes[b] as Buffer) || a - b);
  for (let at = 1; at < order.length; at++) {
    const [one, next] = [order[at - 1] as number, order[at] as number];
    if ((hashes[one] as Buffer).equals(hashes[next] as Buffer)) return { same: [one, next] };
  }
  return { packed: Buffer.concat(order.map((at) => hashes[at] as Buffer)) };
}

/** Whether the hash is among them. It takes as long for a hash that is near one as for any other that helps nobody: hashes can't be aimed. */
export function hasCode(packed: Buffer, hash: Buffer): boolean {
  let low = 0;
  let high = packed.length / codeBytes;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const order = packed.compare(hash, 0, codeBytes, middle * codeBytes, (middle + 1) * codeBytes);
    if (order === 0) return true;
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return false;
}

export function codesInCommon(one: Buffer, other: Buffer): number {
  const [few, many] = one.length < other.length ? [one, other] : [other, one];
  let common = 0;
  for (let at = 0; at < few.length; at += codeBytes) if (hasCode(many, few.subarray(at, at + codeBytes))) common += 1;
  return common;
}

// ---- what may be stored

export interface ChannelWish {
  readonly channelId: string;
  readonly name: string;
  readonly codes: readonly string[];
  readonly opensAtMs: number;
  readonly closesAtMs: number;
  readonly seatsPerPerson: number;
  readonly seatsPerCode: number;
  readonly seatIds: readonly string[];
  readonly places: readonly { readonly sectionId: string; readonly quantity: number }[];
}

/** Everything that is wrong, at once, but for seats and sections that the event does not have. Never repeats a code. */
export function problemsOfChannel(wish: ChannelWish, event: EventRecord, layout: Layout): Problem[] {
  const problems: Problem[] = [];
  const say = (at: string, problem: string | undefined) => {
    if (problem) problems.push({ at, problem });
  };
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(wish.channelId)) say("channel_id", "must be 1 to 64 of A-Z, a-z, 0-9, _ and -");
  say("name", lineProblem(wish.name, 100));
  if (wish.codes.length < 1 || wish.codes.length > mostCodesInChannel)
    say("codes", `must be 1 to ${mostCodesInChannel} codes`);
  else {
    const bad = wish.codes.findIndex((code) => codeProblem(code) !== undefined);
    if (bad >= 0) say(`codes[${bad}]`, codeProblem(wish.codes[bad] ?? ""));
  }
  say("opens_at_ms", timeProblem(wish.opensAtMs));
  say("closes_at_ms", timeProblem(wish.closesAtMs));
  if (wish.closesAtMs <= wish.opensAtMs) say("closes_at_ms", "must be after the channel opens");
  if (wish.closesAtMs > saleEndsAtMs(event)) say("closes_at_ms", "must not be after the end of the event's sale");
  if (!isCount(wish.seatsPerPerson, event.seatsPerPerson))
    say("seats_per_person", `must be from 1 to ${event.seatsPerPerson}, the event's own limit`);
  if (!isCount(wish.seatsPerCode, event.capacity)) say("seats_per_code", `must be from 1 to ${event.capacity}`);
  if (wish.seatIds.length + wish.places.length === 0)
    say("seats", "must be at least one, or places in general admission");
  if (new Set(wish.seatIds).size < wish.seatIds.length) say("seats", "name a seat twice");
  const general = wish.seatIds.find((seatId) => findSeat(layout, seatId)?.section.generalAdmission);
  if (general !== undefined)
    say("seats", `name ${general}, a place in general admission: give its section and a quantity`);
  const seen = new Set<string>();
  for (const [at, { sectionId, quantity }] of wish.places.entries()) {
    const section = layout.sectionById.get(sectionId);
    if (seen.has(sectionId)) say(`places[${at}].section_id`, "is used twice");
    seen.add(sectionId);
    if (section && !section.generalAdmission) say(`places[${at}].section_id`, "has rows: name its seats");
    else if (section && !(quantity >= 1 && isCount(quantity, section.seats)))
      say(`places[${at}].quantity`, `must be from 1 to ${section.seats}`);
  }
  return problems;
}

function codeProblem(code: string): string | undefined {
  if (/[\p{Cc}\p{Cs}]/u.test(code)) return "must be text without control characters";
  const { length } = plainCode(code);
  return length < shortestCode || length > longestCode
    ? `must have ${shortestCode} to ${longestCode} characters`
    : undefined;
}

/** 0: not given. */
const isCount = (value: number, most: number): boolean => Number.isSafeInteger(value) && value >= 0 && value <= most;

// ---- whose each seat is

/** The channel's seats and places. */
export const channelRuns = ({ runs }: Pick<Channel, "runs">, layout: Layout): Run[] =>
  runs === "" ? [] : readRuns(layout, runs);

/** Which seats are the channel's: 1 at each of its places. */
export function channelSeats(channel: Pick<Channel, "runs">, layout: Layout): ReadonlyMap<SectionPlan, Uint8Array> {
  const known = seatsByLayout.get(layout)?.get(channel.runs);
  if (known) return known;
  const seats = new Map<SectionPlan, Uint8Array>();
  for (const { section, start, length } of channelRuns(channel, layout)) {
    const ofSection = seats.get(section) ?? new Uint8Array(section.seats);
    ofSection.fill(1, start, start + length);
    seats.set(section, ofSection);
  }
  const ofLayout = seatsByLayout.get(layout) ?? new Map();
  if (ofLayout.size >= mostPools) ofLayout.clear();
  ofLayout.set(channel.runs, seats);
  seatsByLayout.set(layout, ofLayout);
  return seats;
}

/** Each hold with a code asks this, and a channel may have 30,000 runs. */
const seatsByLayout = new WeakMap<Layout, Map<string, ReadonlyMap<SectionPlan, Uint8Array>>>();

/** A pool for each seat of each section that has a channel's seats; all other sections are the general sale's. */
export function poolsOf(layout: Layout, { channels }: Pick<Allotments, "channels">): Map<SectionPlan, Uint8Array> {
  const pools = new Map<SectionPlan, Uint8Array>();
  for (const channel of channels)
    for (const { section, start, length } of channel.ended ? [] : channelRuns(channel, layout)) {
      const ofSection = pools.get(section) ?? new Uint8Array(section.seats);
      ofSection.fill(channel.pool, start, start + length);
      pools.set(section, ofSection);
    }
  return pools;
}

/** Seats of the wish that another channel has. */
export function allottedToOthers(
  { channels }: Pick<Allotments, "channels">,
  channelId: string,
  layout: Layout,
  seatIds: readonly string[],
): string[] {
  const pools = poolsOf(layout, { channels: channels.filter((channel) => channel.channelId !== channelId) });
  return seatIds.filter((seatId) => {
    const seat = findSeat(layout, seatId);
    return seat && (pools.get(seat.section)?.[seat.index] ?? generalPool) !== generalPool;
  });
}

/**
 * Which places of a section a channel gets: those it has, then the last ones that are nobody's, so that the general sale, which
 * gives out the first ones first, meets them last. Undefined: there are not so many. `isFree`: not held, sold or blocked now.
 */
export function choosePlaces(
  section: SectionPlan,
  quantity: number,
  own: Uint8Array | undefined,
  others: Uint8Array | undefined,
  isFree: (index: number) => boolean,
): { readonly places: readonly number[] } | { readonly free: number } {
  const open: number[] = [];
  const mine: number[] = [];
  for (let index = section.seats - 1; index >= 0; index--) {
    if ((others?.[index] ?? generalPool) !== generalPool) continue;
    if ((own?.[index] ?? generalPool) !== generalPool) mine.push(index);
    else if (isFree(index)) open.push(index);
  }
  // A channel that becomes smaller keeps those first that buyers have got through it.
  mine.sort((a, b) => Number(isFree(a)) - Number(isFree(b)));
  const places = [...mine, ...open].slice(0, quantity);
  return places.length === quantity ? { places: places.sort((a, b) => a - b) } : { free: mine.length + open.length };
}

export function writePlaces(section: SectionPlan, places: readonly number[], layout: Layout): string {
  return writeRuns(
    runsOf(
      layout,
      places.map((index) => ({ section, index })),
    ),
  );
}

// ---- a draft that is edited

/** A channel that an edited draft has no place for. */
export interface Misfit {
  readonly channelId: string;
  readonly name: string;
  /** "has seats that are not in the new hall" */
  readonly problem: string;
  /** Which, if it is about seats. */
  readonly seats: readonly string[];
}

/**
 * The channels of a draft in its new hall and with its new times: each keeps its seats by their names, and as many places as it had.
 * One that is over keeps what is left of them, has ended, and is in nobody's way.
 */
export function refitChannels(
  channels: readonly Channel[],
  from: Layout,
  to: Layout,
  event: Pick<EventRecord, "startsAtMs" | "offSaleAtMs" | "seatsPerPerson" | "capacity">,
  nowMs: number,
): { readonly channels: readonly Channel[]; readonly misfits: readonly Misfit[] } {
  const refitted: Channel[] = [];
  const misfits: Misfit[] = [];
  for (const channel of channels) {
    const { channelId, name, closesAtMs, seatsPerPerson, seatsPerCode } = channel;
    const isOver = channel.ended || closesAtMs <= nowMs;
    const say = (problem: string, seats: readonly string[] = []) => {
      if (!isOver) misfits.push({ channelId, name, problem, seats });
    };
    if (closesAtMs > saleEndsAtMs(event)) say("closes after the end of the event's sale");
    if (seatsPerPerson > event.seatsPerPerson)
      say(`allows ${seatsPerPerson} seats a person, but the event ${event.seatsPerPerson}`);
    if (seatsPerCode > event.capacity)
      say(`allows ${seatsPerCode} seats a code, but the event has ${event.capacity} places`);

    const seats: Seat[] = [];
    const gone: string[] = [];
    for (const seatId of seatIdsOf(channel, from)) {
      const seat = findSeat(to, seatId);
      if (seat && !seat.section.generalAdmission) seats.push(seat);
      else gone.push(seatId);
    }
    if (gone.length > 0) say("has seats that are not in the new hall", gone);
    const others = poolsOf(to, { channels: refitted });
    for (const { sectionId, quantity } of placesOf(channel, from)) {
      const section = to.sectionById.get(sectionId);
      if (!section?.generalAdmission) {
        say(`has places in section ${sectionId}, which is no general admission in the new hall`);
        continue;
      }
      const chosen = choosePlaces(section, quantity, undefined, others.get(section), () => true);
      if ("free" in chosen)
        say(`has ${quantity} places in section ${sectionId}, where ${chosen.free} are left for it in the new hall`);
      else seats.push(...chosen.places.map((index) => ({ section, index })));
    }
    refitted.push({ ...channel, ended: isOver, runs: writeRuns(runsOf(to, seats)) });
  }
  return { channels: refitted, misfits };
}

// ---- what is shown

export function seatIdsOf(channel: Pick<Channel, "runs">, layout: Layout): string[] {
  const seated = channelRuns(channel, layout).filter(({ section }) => !section.generalAdmission);
  return seatsOf(seated).map((seat) => nameSeat(seat).seatId);
}

export function placesOf(channel: Pick<Channel, "runs">, layout: Layout): { sectionId: string; quantity: number }[] {
  const quantities = new Map<string, number>();
  for (const { section, length } of channelRuns(channel, layout))
    if (section.generalAdmission) quantities.set(section.sectionId, (quantities.get(section.sectionId) ?? 0) + length);
  return [...quantities].map(([sectionId, quantity]) => ({ sectionId, quantity }));
}

/** The same whether there is no such code, or none at all, or it is another event's. */
export const codeInvalid = (): DomainError =>
  new DomainError(
    "ACCESS_CODE_INVALID",
    "This code does not open seats of this event. Check how it is written, and that it is for this event.",
  );
