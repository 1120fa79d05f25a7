// Which adjacent seats to offer: front rows and the middle first, at random among the best, so that a crowd does not aim at one. Pure.
import type { Run, SectionPlan } from "./layout.js";
import { seatStates, stateAt } from "./seat-map.js";

export interface AdjacentChoice {
  readonly section: SectionPlan;
  /** 2 bits a seat. */
  readonly map: Uint8Array;
  readonly quantity: number;
  /** Of how many best ones one is chosen: the more people ask at once, the more. */
  readonly spread: number;
  /** From 0 to below 1. */
  readonly random: () => number;
}

/** Sitting this many seats further from the middle is as bad as sitting one row further back. */
const seatsAsideForARowBack = 4;

/** Free seats side by side in one row, or undefined when there are none. The section's first row is the front one. */
export function chooseAdjacent({ section, map, quantity, spread, random }: AdjacentChoice): Run | undefined {
  const best: { start: number; badness: number }[] = []; // ordered, at most `spread`
  for (const [rank, row] of section.rows.entries()) {
    // No seat of this row or of those behind it can be among the best any more.
    if (best.length === spread && rank > (best.at(-1)?.badness ?? 0)) break;
    const middle = row.firstNumber + (row.positions - 1) / 2;
    for (const { offset, firstNumber, length } of row.segments) {
      let free = 0;
      for (let at = 0; at < length; at++) {
        free = stateAt(map, offset + at) === seatStates.free ? free + 1 : 0;
        if (free < quantity) continue;
        const first = at - quantity + 1;
        const aside = Math.abs(firstNumber + first + (quantity - 1) / 2 - middle);
        keepBest(best, { start: offset + first, badness: rank + aside / seatsAsideForARowBack }, spread);
      }
    }
  }
  const chosen = best[Math.floor(random() * best.length)];
  return chosen && { section, start: chosen.start, length: quantity };
}

function keepBest<T extends { badness: number }>(best: T[], candidate: T, most: number): void {
  if (best.length === most && candidate.badness >= (best.at(-1)?.badness ?? 0)) return;
  let at = best.length;
  while (at > 0 && (best[at - 1] as T).badness > candidate.badness) at -= 1;
  best.splice(at, 0, candidate);
  if (best.length > most) best.pop();
}
