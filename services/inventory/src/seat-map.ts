// The two forms in which Valkey keeps a section's seats: 2 bits a seat for readers, 16 bytes a seat for holds and claims. Pure.
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

// ---- the records: state (1 byte), 1 byte unused, expiry in epoch ms (6 bytes), hold id (8 bytes); big-endian; free is all zeros

export const recordBytes = 16;

export interface SeatRecord {
  readonly state: SeatState;
  /** 0: never. Only a held seat has one. */
  readonly expiresAtMs: number;
  /** 16 hex digits. */
  readonly holdId: string;
}

const nobody = "0".repeat(16);

export function writeRecord(records: Buffer, index: number, { state, expiresAtMs, holdId }: SeatRecord): void {
  const at = index * recordBytes;
  records.writeUInt8(state, at);
  records.writeUInt8(0, at + 1);
  records.writeUIntBE(expiresAtMs, at + 2, 6);
  records.write(holdId, at + 8, "hex");
}

export function readRecord(records: Buffer, index: number): SeatRecord {
  const at = index * recordBytes;
  return {
    state: records.readUInt8(at) as SeatState,
    expiresAtMs: records.readUIntBE(at + 2, 6),
    holdId: records.toString("hex", at + 8, at + 16),
  };
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
}

/** A section with its blocked and its sold seats, all others free. */
export function drawSection(section: SectionPlan, sold: readonly Sold[]): SectionImage {
  const records = Buffer.alloc(section.seats * recordBytes);
  const map = Buffer.alloc(mapBytes(section.seats));
  for (const index of section.blocked) {
    writeRecord(records, index, { state: seatStates.blocked, expiresAtMs: 0, holdId: nobody });
    setState(map, index, seatStates.blocked);
  }
  for (const { index, holdId } of sold) {
    writeRecord(records, index, { state: seatStates.sold, expiresAtMs: 0, holdId });
    setState(map, index, seatStates.sold);
  }
  const nextPlace = section.generalAdmission ? sold.reduce((next, { index }) => Math.max(next, index + 1), 0) : 0;
  const returnedPlaces = Array.from({ length: nextPlace }, (_, index) => index).filter(
    (index) => stateAt(map, index) === seatStates.free,
  );
  return { section, records, map, nextPlace, returnedPlaces };
}
