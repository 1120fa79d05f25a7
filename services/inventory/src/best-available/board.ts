// The free seats of an event as those see them who choose: one bit a seat, less those that somebody is about to have. Pure.
import type { RowPlan, Run, SectionPlan } from "../hall/layout.js";
import { seatStates, stateAt } from "../hall/seat-map.js";

export interface FreeSeats {
  readonly section: SectionPlan;
  readonly map: Uint8Array;
  /** Every free seat. */
  readonly all: Uint32Array;
  /** Those that are neither accessible nor a companion's; the same array where there are no such seats. */
  readonly ordinary: Uint32Array;
  readonly count: Record<View, number>;
  /** No more than so many are side by side, in the section and in each of its rows, as was found when somebody looked in vain. */
  readonly atMost: Record<View, number>;
  readonly atMostInRow: Record<View, number[] | undefined>;
  /** Just so many are, as long as nothing changes. */
  readonly longest: Record<View, number | undefined>;
}
export type View = "all" | "ordinary";

export interface Board {
  /** Undefined: the board has no such section. */
  of(section: SectionPlan): FreeSeats | undefined;
  /** These are somebody's now. */
  take(runs: readonly Run[]): void;
  /** They are not, after all: they are again what the map says. */
  giveBack(runs: readonly Run[]): void;
}

/** `maps` have 2 bits a seat and are not changed. A section is looked at when it is first asked for. */
export function openBoard(maps: ReadonlyMap<SectionPlan, Uint8Array>): Board {
  const opened = new Map<SectionPlan, FreeSeats>();

  function of(section: SectionPlan): FreeSeats | undefined {
    const known = opened.get(section);
    if (known) return known;
    const map = maps.get(section);
    if (!map) return undefined;
    const free = readFree(section, map);
    opened.set(section, free);
    return free;
  }

  function set(runs: readonly Run[], isFree: (map: Uint8Array, index: number) => boolean): void {
    for (const { section, start, length } of runs) {
      const free = of(section);
      if (!free) continue;
      for (let index = start; index < start + length; index++) setFree(free, index, isFree(free.map, index));
    }
  }

  return {
    of,
    take: (runs) => set(runs, () => false),
    giveBack: (runs) => set(runs, (map, index) => stateAt(map, index) === seatStates.free),
  };
}

// Which of a byte's four seats are free, as four bits.
const freeLanes = Uint8Array.from({ length: 256 }, (_, byte) =>
  [0, 1, 2, 3].reduce((bits, lane) => bits | (Number(((byte >> (lane * 2)) & 3) === seatStates.free) << lane), 0),
);
const lanesOf = (map: Uint8Array, at: number): number => freeLanes[map[at] as number] as number;

/** How many of its bits are set: in pairs, in fours, in bytes, and the bytes together. */
function countBits(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

function readFree(section: SectionPlan, map: Uint8Array): FreeSeats {
  const { seats, accessible, companion } = section;
  const all = new Uint32Array((seats + 31) >> 5);
  let free = 0;
  const whole = seats >> 5;
  for (let word = 0, at = 0; word < whole; word++, at += 8) {
    const low =
      lanesOf(map, at) | (lanesOf(map, at + 1) << 4) | (lanesOf(map, at + 2) << 8) | (lanesOf(map, at + 3) << 12);
    const high =
      lanesOf(map, at + 4) | (lanesOf(map, at + 5) << 4) | (lanesOf(map, at + 6) << 8) | (lanesOf(map, at + 7) << 12);
    const bits = low | (high << 16);
    all[word] = bits;
    free += countBits(bits);
  }
  for (let index = whole << 5; index < seats; index++)
    if (stateAt(map, index) === seatStates.free) {
      free += 1;
      setBit(all, index);
    }
  const count = { all: free, ordinary: free };
  const ordinary = accessible.size + companion.size === 0 ? all : all.slice();
  if (ordinary !== all)
    for (const index of [...accessible, ...companion])
      if (isBit(all, index)) {
        count.ordinary -= 1;
        clearBit(ordinary, index);
      }
  const atMost = { all: seats, ordinary: seats };
  const notLooked = () => ({ all: undefined, ordinary: undefined });
  return { section, map, all, ordinary, count, atMost, atMostInRow: notLooked(), longest: notLooked() };
}

function setFree(free: FreeSeats, index: number, isFree: boolean): void {
  const { all, ordinary, count, atMost, atMostInRow, longest, section } = free;
  if (isBit(all, index) === isFree) return;
  longest.all = longest.ordinary = undefined;
  const change = isFree ? 1 : -1;
  const put = isFree ? setBit : clearBit;
  put(all, index);
  count.all += change;
  if (ordinary === all) count.ordinary = count.all;
  else if (!section.accessible.has(index) && !section.companion.has(index)) {
    put(ordinary, index);
    count.ordinary += change;
  }
  if (!isFree) return;
  atMost.all = atMost.ordinary = section.seats;
  atMostInRow.all = atMostInRow.ordinary = undefined;
}

export const isBit = (bits: Uint32Array, at: number): boolean => (((bits[at >> 5] as number) >>> (at & 31)) & 1) === 1;
const setBit = (bits: Uint32Array, at: number): void => {
  bits[at >> 5] = (bits[at >> 5] as number) | (1 << (at & 31));
};
const clearBit = (bits: Uint32Array, at: number): void => {
  bits[at >> 5] = (bits[at >> 5] as number) & ~(1 << (at & 31));
};

/** The first from here that is free (`flip` 0) or is not (`flip` -1); `end` if there is none before it. */
function next(bits: Uint32Array, from: number, end: number, flip: 0 | -1): number {
  if (from >= end) return end;
  let word = from >> 5;
  let value = ((bits[word] as number) ^ flip) & (-1 << (from & 31));
  while (value === 0) {
    word += 1;
    if (word << 5 >= end) return end;
    value = (bits[word] as number) ^ flip;
  }
  return Math.min(end, (word << 5) + 31 - Math.clz32(value & -value));
}

/** Calls for each stretch of free seats side by side, with the number of its first seat. */
export function eachStretch(
  bits: Uint32Array,
  { segments }: RowPlan,
  least: number,
  found: (start: number, end: number, firstNumber: number) => void,
): void {
  for (const { offset, firstNumber, length } of segments) {
    const last = offset + length;
    for (let start = next(bits, offset, last, 0); start + least <= last; ) {
      const end = next(bits, start, last, -1);
      if (end - start >= least) found(start, end, firstNumber + start - offset);
      start = next(bits, end, last, 0);
    }
  }
}

// ---- boards that a crowd shares

export type Boards = ReturnType<typeof createBoards>;

const mostBoards = 500;

/**
 * One board for each map that was read, from which each takes what he is about to ask for, so that people in one process do not race
 * each other. What is asked for at this moment is taken off the next map's board too.
 */
export function createBoards() {
  const boards = new Map<string, { maps: ReadonlyMap<SectionPlan, Uint8Array>; board: Board; asRead?: Board }>();
  const asked = new Map<string, Set<readonly Run[]>>();

  return {
    /** `key` names the event, and whose view of it. */
    of(key: string, maps: ReadonlyMap<SectionPlan, Uint8Array>): Board {
      const known = boards.get(key);
      if (known?.maps === maps) return known.board;
      const board = openBoard(maps);
      for (const runs of asked.get(key) ?? []) board.take(runs);
      boards.delete(key);
      boards.set(key, { maps, board });
      if (boards.size > mostBoards) boards.delete(boards.keys().next().value as string);
      return board;
    },

    /** Without what others are asking for right now, who may not get it. Undefined: nobody is asking. */
    asRead(key: string, maps: ReadonlyMap<SectionPlan, Uint8Array>): Board | undefined {
      const known = boards.get(key);
      if (!asked.has(key) || known?.maps !== maps) return undefined;
      known.asRead ??= openBoard(maps);
      return known.asRead;
    },

    /** These are somebody's now: nobody needs to try for them. */
    gone(key: string, runs: readonly Run[]): void {
      boards.get(key)?.board.take(runs);
    },

    /** To be settled, whatever becomes of it: with the runs that are somebody's now. */
    take(key: string, runs: readonly Run[]): (nowTaken: readonly Run[]) => void {
      const here = asked.get(key) ?? new Set();
      asked.set(key, here.add(runs));
      boards.get(key)?.board.take(runs);
      return (nowTaken) => {
        here.delete(runs);
        if (here.size === 0) asked.delete(key);
        const board = boards.get(key)?.board;
        board?.giveBack(runs);
        board?.take(nowTaken);
      };
    },
  };
}
