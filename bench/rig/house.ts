// The house that is sold: how many sections and rows it has, and which seats a request asks for. Pure.
import { Section } from "@onsale/proto/inventory/v1/catalog";

export const seatsInRow = 50;

/** Sections of equal size, rows of 50; the last row of a section may be shorter. */
export interface House {
  readonly seats: number;
  readonly sections: number;
}

/** Adjacent seats of one row. */
export interface Block {
  readonly section: number;
  readonly row: number;
  /** Number of the first seat, from 1. */
  readonly first: number;
  readonly length: number;
}

export const sectionId = (section: number): string => `S${section + 1}`;

export function seatsOfSection({ seats, sections }: House, section: number): number {
  return Math.floor(seats / sections) + (section < seats % sections ? 1 : 0);
}

export function sectionsOf(house: House, tierId: string): Section[] {
  return Array.from({ length: house.sections }, (_, section) => {
    const seats = seatsOfSection(house, section);
    const rows = Array.from({ length: Math.ceil(seats / seatsInRow) }, (_, row) => ({
      label: String(row + 1),
      firstSeat: 1,
      seatCount: Math.min(seatsInRow, seats - row * seatsInRow),
    }));
    return Section.fromPartial({ sectionId: sectionId(section), name: `Section ${section + 1}`, tierId, rows });
  });
}

/** Every place for `length` seats side by side, each seat in one block at most; section by section, row by row. */
export function blocksOf(house: House, length: number): Block[] {
  const blocks: Block[] = [];
  for (let section = 0; section < house.sections; section++) {
    const seats = seatsOfSection(house, section);
    for (let row = 0; row * seatsInRow < seats; row++) {
      const inRow = Math.min(seatsInRow, seats - row * seatsInRow);
      for (let first = 1; first + length - 1 <= inRow; first += length) blocks.push({ section, row, first, length });
    }
  }
  return blocks;
}

export function seatIdsOf({ section, row, first, length }: Block): string[] {
  return Array.from({ length }, (_, at) => `${sectionId(section)}-${row + 1}-${first + at}`);
}

/** Place of the block's first seat in its section's order. */
export const startOf = ({ row, first }: Block): number => row * seatsInRow + first - 1;

/** A known sequence of numbers in [0, 1) from a seed, so that a run can be repeated (mulberry32). */
export function chanceFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

// ---- what a round of holds asks for

/** The first tenth of every section's rows is taken before a round begins; losers ask there, winners elsewhere. */
const takenTenths = 1;

export interface Traffic {
  readonly house: House;
  readonly seatsPerHold: number;
  /** Share of the requests that ask for taken seats, 0 to 1. */
  readonly losers: number;
  /** Losers ask for one of so many blocks; undefined: of all that are taken. */
  readonly hotBlocks?: number;
  /** Nothing is taken beforehand: winners may ask for any seat. Not with losers. */
  readonly whole?: boolean;
  readonly count: number;
  readonly seed: number;
}

export function splitHouse(house: House, length: number): { taken: Block[]; free: Block[] } {
  const isTaken = ({ section, row }: Block) =>
    row < Math.max(1, Math.floor((Math.ceil(seatsOfSection(house, section) / seatsInRow) * takenTenths) / 10));
  const blocks = blocksOf(house, length);
  return { taken: blocks.filter(isTaken), free: blocks.filter((block) => !isTaken(block)) };
}

export interface Wanted {
  readonly block: Block;
  readonly loses: boolean;
}

/** What each request asks for. Winners never meet: throws when the house has too few free seats for all of them. */
export function requestsOf({ house, seatsPerHold, losers, hotBlocks, whole, count, seed }: Traffic): Wanted[] {
  const chance = chanceFrom(seed);
  const split = splitHouse(house, seatsPerHold);
  const { taken } = split;
  const free = whole ? blocksOf(house, seatsPerHold) : split.free;
  // Spread over the house, as buyers are: not along the rows.
  for (let at = free.length - 1; at > 0; at--) {
    const other = Math.floor(chance() * (at + 1));
    [free[at], free[other]] = [free[other] as Block, free[at] as Block];
  }
  const aims = taken.slice(0, hotBlocks ?? taken.length);
  let next = 0;
  return Array.from({ length: count }, (_, at) => {
    // In even steps rather than by chance, so that every round has the same share.
    const loses = Math.floor((at + 1) * losers) > Math.floor(at * losers);
    if (loses) return { block: aims[Math.floor(chance() * aims.length)] as Block, loses };
    const block = free[next++];
    if (!block) throw new Error(`${house.seats} seats are too few for ${count} holds of ${seatsPerHold}`);
    return { block, loses };
  });
}
