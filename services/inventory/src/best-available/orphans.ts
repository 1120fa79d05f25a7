// Seats picked by hand that would leave a single one between taken ones, and what to take instead. Pure.
import type { Seat, SectionPlan } from "../hall/layout.js";
import { type Board, eachStretch, isBit } from "./board.js";
import { type BestChoice, viewOf } from "./choice.js";

export interface Orphans {
  /** The single seats that would be left. */
  readonly orphans: readonly Seat[];
  /** As many seats as were picked, of which those that leave orphans are moved along their row. */
  readonly instead: readonly Seat[];
}

/**
 * What picked seats would leave single though as many in the same stretch of free seats need not: who picks by hand has chosen the
 * place, so other rows are no alternative. Undefined: nothing; or not all are free, which is for the hold to find out.
 */
export function orphansOfPick(
  board: Board,
  picked: readonly Seat[],
  { reserved }: Pick<BestChoice, "reserved">,
): Orphans | undefined {
  const view = viewOf({ reserved });
  const orphans: Seat[] = [];
  const instead: Seat[] = [];
  const bySection = new Map<SectionPlan, Set<number>>();
  for (const { section, index } of picked) {
    const free = board.of(section);
    if (!free || !isBit(free.all, index)) return undefined;
    const ofSection = bySection.get(section) ?? new Set<number>();
    bySection.set(section, ofSection.add(index));
  }
  for (const [section, indexes] of bySection) {
    const bits = board.of(section)?.[view];
    if (!bits) continue;
    const left = new Set(indexes);
    const sorted = [...indexes].sort((a, b) => a - b);
    for (const row of section.rows) {
      if (!row.segments.some(({ offset, length }) => sorted.some((at) => at >= offset && at < offset + length)))
        continue;
      eachStretch(bits, row, 1, (start, end) => {
        const own = sorted.filter((index) => index >= start && index < end);
        const singles = own.length === 0 ? [] : singlesLeft(own, start, end);
        if (singles.length === 0 || end - start - own.length < 2) return;
        orphans.push(...singles.map((index) => ({ section, index })));
        for (const index of own) left.delete(index);
        const first = nearestClean(own, start, end);
        instead.push(...own.map((_, nth) => ({ section, index: first + nth })));
      });
    }
    instead.push(...[...left].map((index) => ({ section, index })));
  }
  return orphans.length > 0 ? { orphans, instead } : undefined;
}

/** Of the places from `start` to before `end`, those that stay free with none beside them. */
function singlesLeft(own: readonly number[], start: number, end: number): number[] {
  const singles: number[] = [];
  let from = start;
  for (const edge of [...own, end]) {
    if (edge - from === 1) singles.push(from);
    from = edge + 1;
  }
  return singles;
}

function nearestClean(own: readonly number[], start: number, end: number): number {
  const wanted = own[0] ?? start;
  let best = start;
  for (let at = start; at + own.length <= end; at++)
    if (at - start !== 1 && end - at - own.length !== 1 && Math.abs(at - wanted) < Math.abs(best - wanted)) best = at;
  return best;
}
