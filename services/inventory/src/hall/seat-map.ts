// The two forms in which Valkey keeps a section's seats: 2 bits a seat for readers, 16 bytes a seat for holds and claims. Pure.
import { hash } from "node:crypto";
import type { SectionPlan } from "./layout.js";

export const seatStates = { free: 0, held: 1, sold: 2, blocked: 3 } as const;
export type SeatState = (typeof seatStates)[keyof typeof seatStates];

// ---- the map: four seats a byte, the first in the lowest bits

export const mapBytes = (seats: number): number => Math.ceil(seats / 4);

export function stateAt(map: Uint8Array, index: number): SeatState {
  return (((map[index >> 2] ?? 0) >> ((index & 3) * 2)) & 3) as SeatState;
}

export function setState(map: Uint8Array, index: number, state: SeatState): void {
  const shift = (index & 3) * 2;
  map[index >> 2] = ((map[index >> 2] ?? 0) & ~(3 << shift)) | (state << shift);
}

export interface SeatCounts {
  readonly free: number;
  readonly held: number;
  readonly sold: number;
  readonly blocked: number;
}

// How many of a byte's four seats are in each state, one table a state.
const countsByByte = Object.values(seatStates).map((state) =>
  Uint8Array.from({ length: 256 }, (_, byte) => [0, 2, 4, 6].filter((shift) => ((byte >> shift) & 3) === state).length),
) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];

export function countStates(map: Uint8Array, seats: number): SeatCounts {
  const [, heldOf, soldOf, blockedOf] = countsByByte;
  let held = 0;
  let sold = 0;
  let blocked = 0;
  const whole = seats >> 2;
  for (let at = 0; at < whole; at++) {
    const byte = map[at] as number;
    held += heldOf[byte] as number;
    sold += soldOf[byte] as number;
    blocked += blockedOf[byte] as number;
  }
  for (let index = whole * 4; index < seats; index++) {
    const state = stateAt(map, index);
    if (state === seatStates.held) held += 1;
    else if (state === seatStates.sold) sold += 1;
    else if (state === seatStates.blocked) blocked += 1;
  }
  return { free: seats - held - sold - blocked, held, sold, blocked };
}

/** One map behind the other, without padding between them: a section may begin in the middle of a byte. */
export function joinMaps(parts: readonly { readonly map: Uint8Array; readonly seats: number }[]): Uint8Array {
  const joined = new Uint8Array(mapBytes(parts.reduce((sum, { seats }) => sum + seats, 0)));
  let done = 0;
  for (const { map, seats } of parts) {
    const shift = (done & 3) * 2;
    const bytes = mapBytes(seats);
    for (let at = 0; at < bytes; at++) {
      const left = seats - at * 4;
      const byte = (map[at] ?? 0) & (left >= 4 ? 0xff : (1 << (left * 2)) - 1);
      const target = (done >> 2) + at;
      joined[target] = (joined[target] ?? 0) | ((byte << shift) & 0xff);
      if (shift > 0 && byte >> (8 - shift) > 0) joined[target + 1] = byte >> (8 - shift);
    }
    done += seats;
  }
  return joined;
}

// ---- the records: state (1 byte), pool (1 byte), expiry in epoch ms (6 bytes), hold id (8 bytes); big-endian; free is all zeros but for the pool

export const recordBytes = 16;

export interface SeatRecord {
  readonly state: SeatState;
  /** 0: the general sale's; 1 to 250: a channel's. It stays when the seat is held, sold or blocked. */
  readonly pool: number;
  /** 0: never. Only a held seat has one. */
  readonly expiresAtMs: number;
  /** 16 hex digits. */
  readonly holdId: string;
}

const nobody = "0".repeat(16);

export function writeRecord(records: Buffer, index: number, { state, pool, expiresAtMs, holdId }: SeatRecord): void {
  const at = index * recordBytes;
  records.writeUInt8(state, at);
  records.writeUInt8(pool, at + 1);
  records.writeUIntBE(expiresAtMs, at + 2, 6);
  records.write(holdId, at + 8, "hex");
}

export function readRecord(records: Buffer, index: number): SeatRecord {
  const at = index * recordBytes;
  return {
    state: records.readUInt8(at) as SeatState,
    pool: records.readUInt8(at + 1),
    expiresAtMs: records.readUIntBE(at + 2, 6),
    holdId: records.toString("hex", at + 8, at + 16),
  };
}

// ---- what a person has: one entry behind the other, for each hold, sold ones included

/**
 * What Valkey calls a person: 60 bits of the id's SHA-256, behind a character that no id has. It is there twice for each hold, and
 * so short that a seat takes a third less memory than with the id itself; with a million people at one event, two are taken for
 * one once in two million events. A name of this kind, and nobody's (""), stays as it is.
 */
export const personOf = (userId: string): string =>
  userId === "" || userId.startsWith(".") ? userId : `.${hash("sha256", userId, "base64url").slice(0, 10)}`;

/*
 * An entry: hold id (8 bytes), seats (1), deadline (6) and expiry (6) in epoch ms, code (a byte with its length before it), runs (two
 * bytes with their length before them); big-endian. The expiry of what is sold is 0.
 */
export interface HoldEntry {
  /** 16 hex digits. */
  readonly holdId: string;
  readonly seats: number;
  readonly deadlineMs: number;
  /** 0: sold. */
  readonly expiresAtMs: number;
  /** With which it was made; 16 hex digits. */
  readonly codeId: string | undefined;
  /** As writeRuns writes them: the seats that were held. */
  readonly runs: string;
}

export function writeEntry({ holdId, seats, deadlineMs, expiresAtMs, codeId = "", runs }: HoldEntry): Buffer {
  const entry = Buffer.alloc(24 + codeId.length + runs.length);
  entry.write(holdId, 0, "hex");
  entry.writeUInt8(seats, 8);
  entry.writeUIntBE(deadlineMs, 9, 6);
  entry.writeUIntBE(expiresAtMs, 15, 6);
  entry.writeUInt8(codeId.length, 21);
  entry.write(codeId, 22, "latin1");
  entry.writeUInt16BE(runs.length, 22 + codeId.length);
  entry.write(runs, 24 + codeId.length, "latin1");
  return entry;
}

export function readEntries(entries: Buffer): HoldEntry[] {
  const found: HoldEntry[] = [];
  for (let at = 0; at < entries.length; ) {
    const codeLength = entries.readUInt8(at + 21);
    const runsAt = at + 24 + codeLength;
    const runsLength = entries.readUInt16BE(runsAt - 2);
    found.push({
      holdId: entries.toString("hex", at, at + 8),
      seats: entries.readUInt8(at + 8),
      deadlineMs: entries.readUIntBE(at + 9, 6),
      expiresAtMs: entries.readUIntBE(at + 15, 6),
      codeId: codeLength === 0 ? undefined : entries.toString("latin1", at + 22, at + 22 + codeLength),
      runs: entries.toString("latin1", runsAt, runsAt + runsLength),
    });
    at = runsAt + runsLength;
  }
  return found;
}

// ---- a section as it begins

export interface Sold {
  readonly index: number;
  readonly holdId: string;
}

export interface SectionImage {
  readonly section: SectionPlan;
  readonly records: Buffer;
  readonly map: Buffer;
  /** General admission: the place that is given out next … */
  readonly nextPlace: number;
  /** … after these, which are free and lie before it. */
  readonly returnedPlaces: readonly number[];
  /** And the free places of each other pool. */
  readonly pooledPlaces: ReadonlyMap<number, readonly number[]>;
}

/** What else is known of a section's seats: those that a block has, and the pool of each. */
export interface SetAside {
  readonly blocked: readonly Sold[];
  readonly pools: Uint8Array | undefined;
}

/** A section with its blocked and its sold seats, all others free. */
export function drawSection(
  section: SectionPlan,
  sold: readonly Sold[],
  { blocked, pools }: SetAside = { blocked: [], pools: undefined },
): SectionImage {
  const records = Buffer.alloc(section.seats * recordBytes);
  const map = Buffer.alloc(mapBytes(section.seats));
  const poolOf = (index: number) => pools?.[index] ?? 0;
  const draw = (state: SeatState, index: number, holdId: string) => {
    writeRecord(records, index, { state, pool: poolOf(index), expiresAtMs: 0, holdId });
    setState(map, index, state);
  };
  for (let index = 0; pools && index < section.seats; index++) {
    if (poolOf(index) === 0) continue;
    draw(seatStates.free, index, nobody);
    setState(map, index, seatStates.blocked);
  }
  for (const index of section.blocked) draw(seatStates.blocked, index, nobody);
  for (const { index, holdId } of blocked) draw(seatStates.blocked, index, holdId);
  for (const { index, holdId } of sold) draw(seatStates.sold, index, holdId);

  const nextPlace = section.generalAdmission ? sold.reduce((next, { index }) => Math.max(next, index + 1), 0) : 0;
  const returnedPlaces: number[] = [];
  const pooledPlaces = new Map<number, number[]>();
  for (let index = 0; section.generalAdmission && index < section.seats; index++) {
    if (readRecord(records, index).state !== seatStates.free) continue;
    const pool = poolOf(index);
    if (pool !== 0) {
      const places = pooledPlaces.get(pool);
      if (places) places.push(index);
      else pooledPlaces.set(pool, [index]);
    } else if (index < nextPlace) returnedPlaces.push(index);
  }
  return { section, records, map, nextPlace, returnedPlaces, pooledPlaces };
}
