// How a choice of seats is asked for, and how good a place is. Pure.
import type { OrphanRule } from "../events/events.js";
import type { RowPlan, Run, SectionPlan } from "../hall/layout.js";
import type { FreeSeats, View } from "./board.js";

/*
 * How good a place is, is counted in eighths of a row: a row further from the focal point's row is 8, a seat further aside is 2, so
 * that four seats aside are as bad as one row back. Half a seat is 1. Sections are equals: the best place of each is a tie.
 */
export const badnessOfRow = 8;
export const badnessOfHalfSeat = 1;

export interface BestChoice {
  /** Those that may be chosen from, with rows. */
  readonly sections: readonly SectionPlan[];
  readonly quantity: number;
  /** So many of the quantity are accessible seats … */
  readonly accessible: number;
  /** … and for so many who come with them; on companions' seats as far as there are any beside them. */
  readonly companions: number;
  /** Accessible and companions' seats are only for who asks for them. */
  readonly reserved: boolean;
  readonly split: boolean;
  readonly orphans: OrphanRule;
  /** Of at least how many best ones one is chosen: the more people ask at once, the more. */
  readonly spread: number;
  /** From 0 to below 1. */
  readonly random: () => number;
}

export const mostCompanionsEach = 3;

export const viewOf = ({ reserved }: Pick<BestChoice, "reserved">): View => (reserved ? "ordinary" : "all");

/** Of seats side by side from this number on. */
export function badnessAt(row: RowPlan, firstNumber: number, quantity: number): number {
  const halfSeatsAside = Math.abs(2 * firstNumber + quantity - 1 - row.focalHalves);
  return row.rowsAway * badnessOfRow + halfSeatsAside * badnessOfHalfSeat;
}

/** One of the `spread` best and of those that are as good as the last of them, each as likely as another. Its place in the list. */
export function pickNear(badness: readonly number[], spread: number, random: () => number): number | undefined {
  if (badness.length === 0) return undefined;
  let limit = Number.POSITIVE_INFINITY;
  let among = badness.length;
  if (among > spread) {
    let worst = 0;
    for (const value of badness) if (value > worst) worst = value;
    const counts = new Int32Array(worst + 1);
    for (const value of badness) counts[value] = (counts[value] as number) + 1;
    among = counts[0] as number;
    for (limit = 0; among < spread; ) among += counts[++limit] as number;
  }
  let left = Math.floor(random() * among);
  for (let at = 0; at < badness.length; at++) if ((badness[at] as number) <= limit && left-- === 0) return at;
  return undefined;
}

/** As runsOf of layout.ts would have them. */
export function inOrder(free: readonly FreeSeats[], runs: readonly Run[]): Run[] {
  const rank = new Map(free.map(({ section }, at) => [section, at]));
  const sorted = [...runs].sort((a, b) => (rank.get(a.section) ?? 0) - (rank.get(b.section) ?? 0) || a.start - b.start);
  const merged: { section: SectionPlan; start: number; length: number }[] = [];
  for (const { section, start, length } of sorted) {
    const last = merged.at(-1);
    if (last?.section === section && last.start + last.length === start) last.length += length;
    else merged.push({ section, start, length });
  }
  return merged;
}
