// Which free seats to offer: side by side, near the focal point, leaving no orphan, at random among the best. Pure.

import type { RowPlan, Run, SectionPlan } from "../hall/layout.js";
import { type Board, eachStretch, type FreeSeats, isBit, type View } from "./board.js";
import { type BestChoice, badnessAt, badnessOfHalfSeat, badnessOfRow, inOrder, pickNear, viewOf } from "./choice.js";
import { inGroups } from "./groups.js";

/** Free seats, in layout order, or undefined when there are none that fit. All in one row, or in groups if they may be split. */
export function chooseBest(board: Board, choice: BestChoice): Run[] | undefined {
  const free = choice.sections.flatMap((section) => board.of(section) ?? []);
  if (choice.accessible > 0) return withRoom(board, free, choice);
  const { quantity } = choice;
  const view = viewOf(choice);
  const found = nearest(free, view, choice);
  if (found) return [found];
  return choice.split && quantity > 1 ? inGroups(free, view, quantity, choice) : undefined;
}

/** What can be said when nothing fits. */
export interface Leftover {
  readonly free: number;
  /** So many are side by side somewhere. */
  readonly largestGroup: number;
  readonly accessibleFree: number;
}

export function describeLeftover(board: Board, choice: Pick<BestChoice, "sections" | "reserved">): Leftover {
  const view = viewOf(choice);
  let sum = 0;
  let largestGroup = 0;
  let accessibleFree = 0;
  for (const section of choice.sections) {
    const free = board.of(section);
    if (!free) continue;
    sum += free.count[view];
    for (const index of section.accessible) if (isBit(free.all, index)) accessibleFree += 1;
    const longest = longestIn(free, view);
    largestGroup = Math.max(largestGroup, longest);
  }
  return { free: sum, largestGroup, accessibleFree };
}

function longestIn(free: FreeSeats, view: View): number {
  const known = free.longest[view];
  if (known !== undefined) return known;
  let longest = 0;
  if (free.count[view] > 0)
    for (const row of free.section.rows)
      if ((free.atMostInRow[view]?.[row.at] ?? row.positions) > longest)
        eachStretch(free[view], row, longest + 1, (start, end) => {
          longest = Math.max(longest, end - start);
        });
  free.longest[view] = free.atMost[view] = longest;
  return longest;
}

// ---- side by side

/** As lists, for there may be thousands. */
interface Candidates {
  readonly sections: SectionPlan[];
  readonly starts: number[];
  readonly badness: number[];
}

/** A seat more on either side than the places that leave an orphan there, so that these don't crowd out others. */
const orphansAside = 2;

function nearest(
  all: readonly FreeSeats[],
  view: View,
  { quantity, orphans, spread, random }: BestChoice,
): Run | undefined {
  const clean: Candidates = { sections: [], starts: [], badness: [] };
  const others: Candidates = { sections: [], starts: [], badness: [] };
  // Of one stretch, so many places around the one that is nearest can be among the best.
  const around = Math.ceil(spread / 2) + orphansAside;
  const hits = new Uint8Array(all.length);
  // Where all sections are alike, enough of them are looked at, beginning with any.
  const from = Math.floor(random() * all.length);
  const rows = all.reduce((most, { section }) => Math.max(most, section.rowsByDistance.length), 0);
  let enough = false;
  let away = 0;
  let lowest = 0;
  let perfect = 0; // so many are no worse than what follows can be
  let row: RowPlan | undefined;
  let section: SectionPlan | undefined;
  let isHit = false;
  // One function for all stretches: a stadium has thousands of rows.
  const found = (start: number, end: number, firstNumber: number) => {
    if (!row || !section) return;
    isHit = true;
    const last = end - quantity;
    const ideal = start + ((row.focalHalves - quantity + 1) >> 1) - firstNumber;
    const low = Math.max(start, Math.min(ideal - around, last - 2 * around));
    for (let place = low; place <= last && place <= low + 2 * around; place++) {
      const isClean = orphans === "off" || (place - start !== 1 && last - place !== 1);
      if (!isClean && clean.starts.length > 0) continue;
      const badness = badnessAt(row, firstNumber + place - start, quantity);
      const list = isClean ? clean : others;
      list.sections.push(section);
      list.starts.push(place);
      list.badness.push(badness);
      if (isClean && badness <= lowest) perfect += 1;
    }
  };

  for (; away < rows && !enough; away++) {
    lowest = lowestIn(all, away, quantity);
    perfect = 0;
    for (let nth = 0; nth < all.length && perfect < spread; nth++) {
      const at = (from + nth) % all.length;
      const free = all[at] as FreeSeats;
      if (free.count[view] < quantity || free.atMost[view] < quantity) continue;
      section = free.section;
      let atMost = free.atMostInRow[view];
      for (row of section.rowsByDistance[away] ?? []) {
        if (atMost && (atMost[row.at] as number) < quantity) continue;
        isHit = false;
        eachStretch(free[view], row, quantity, found);
        if (isHit) hits[at] = 1;
        else {
          atMost ??= free.atMostInRow[view] = section.rows.map(({ positions }) => positions);
          atMost[row.at] = quantity - 1;
        }
      }
    }
    let near = 0;
    const behind = (away + 1) * badnessOfRow;
    for (const badness of clean.badness) if (badness <= behind) near += 1;
    enough = near >= spread;
  }
  if (!enough) for (const [at, free] of all.entries()) if (!hits[at]) free.atMost[view] = quantity - 1;
  const best = clean.starts.length > 0 ? clean : others;
  const at = pickNear(best.badness, spread, random);
  return at === undefined
    ? undefined
    : { section: best.sections[at] as SectionPlan, start: best.starts[at] as number, length: quantity };
}

/** No seats in rows so far away are better: their middle is where the focal point is, or half a seat aside. */
function lowestIn(all: readonly FreeSeats[], away: number, quantity: number): number {
  for (const { section } of all)
    for (const row of section.rowsByDistance[away] ?? [])
      if (((quantity - 1 - row.focalHalves) & 1) === 0) return away * badnessOfRow;
  return away * badnessOfRow + badnessOfHalfSeat;
}

// ---- accessible seats, and who comes with them

function withRoom(board: Board, free: readonly FreeSeats[], choice: BestChoice): Run[] | undefined {
  const together = nearestWithRoom(free, choice, undefined);
  if (together) return [together];
  if (!choice.split) return undefined;

  // Each accessible seat with its share of companions, all in one section if that can be; then the others.
  const { accessible, companions } = choice;
  const others = choice.quantity - accessible - companions;
  const parties = Array.from({ length: accessible }, (_, at) => {
    const own = Math.floor(companions / accessible) + (at < companions % accessible ? 1 : 0);
    return { quantity: 1 + own, accessible: 1, companions: own };
  });
  for (const where of [...free.map((one) => [one]), ...(free.length > 1 ? [free] : [])]) {
    const runs: Run[] = [];
    for (const party of parties) {
      const run = nearestWithRoom(where, { ...choice, ...party }, runs[0]);
      if (!run) break;
      runs.push(run);
      board.take([run]);
    }
    const rest =
      runs.length < parties.length
        ? undefined
        : others === 0
          ? []
          : chooseBest(board, {
              ...choice,
              sections: where.map(({ section }) => section),
              quantity: others,
              accessible: 0,
              companions: 0,
            });
    board.giveBack(runs);
    if (rest) return inOrder(free, [...runs, ...rest]);
  }
  return undefined;
}

/** Side by side, with exactly so many accessible seats, and with no companion's seat for anyone else. `beside`: near these instead. */
function nearestWithRoom(
  free: readonly FreeSeats[],
  { quantity, accessible, companions, orphans, spread, random }: BestChoice,
  beside: Run | undefined,
): Run | undefined {
  const found: { run: Run; badness: number; companionSeats: number; orphans: number }[] = [];
  for (const { section, all, ordinary, count } of free) {
    if (section.accessible.size === 0 || count.all < quantity) continue;
    const from = beside?.section === section ? placeOf(section, beside.start) : undefined;
    for (const [at, row] of section.rows.entries()) {
      if (row.accessible.length === 0) continue;
      eachStretch(all, row, quantity, (start, end, firstNumber) => {
        let looked = start;
        for (const room of row.accessible) {
          if (room < start || room >= end) continue;
          for (let first = Math.max(looked, room - quantity + 1); first <= room && first + quantity <= end; first++) {
            looked = first + 1;
            let rooms = 0;
            let companionSeats = 0;
            for (let index = first; index < first + quantity; index++)
              if (section.accessible.has(index)) rooms += 1;
              else if (section.companion.has(index)) companionSeats += 1;
            if (rooms !== accessible || companionSeats > companions) continue;
            const number = firstNumber + first - start;
            const badness = from
              ? Math.abs(at - from.row) * badnessOfRow + 2 * Math.abs(number - from.number) * badnessOfHalfSeat
              : badnessAt(row, number, quantity);
            const left = orphans === "off" ? 0 : orphansBeside(ordinary, row, first, first + quantity);
            found.push({ run: { section, start: first, length: quantity }, badness, companionSeats, orphans: left });
          }
        }
      });
    }
  }
  // Companions' seats first, since nobody else may have them; then orphans; then the distance.
  const most = Math.max(...found.map(({ companionSeats }) => companionSeats));
  const inSeats = found.filter(({ companionSeats }) => companionSeats === most);
  const fewest = Math.min(...inSeats.map(({ orphans: left }) => left));
  const best = inSeats.filter(({ orphans: left }) => left === fewest);
  const at = pickNear(
    best.map(({ badness }) => badness),
    beside ? 1 : spread,
    random,
  );
  return at === undefined ? undefined : best[at]?.run;
}

/** How many single free seats would be left on both sides. */
function orphansBeside(bits: Uint32Array, { segments }: RowPlan, start: number, end: number): number {
  const segment = segments.find(({ offset, length }) => start >= offset && end <= offset + length);
  if (!segment) return 0;
  const isFree = (index: number) =>
    index >= segment.offset && index < segment.offset + segment.length && isBit(bits, index);
  return Number(isFree(start - 1) && !isFree(start - 2)) + Number(isFree(end) && !isFree(end + 1));
}

function placeOf({ rows }: SectionPlan, index: number): { row: number; number: number } {
  for (const [row, { segments }] of rows.entries())
    for (const { offset, firstNumber, length } of segments)
      if (index >= offset && index < offset + length) return { row, number: firstNumber + index - offset };
  throw new RangeError(`the section has no place ${index}`);
}
