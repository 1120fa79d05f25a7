// Which free seats to offer: side by side, near the focal point, leaving no orphan, at random among the best. Pure.

import type { OrphanRule } from "../events/events.js";
import type { RowPlan, Run, Seat, SectionPlan } from "../hall/layout.js";
import { type Board, eachStretch, type FreeSeats, isBit, type View } from "./board.js";

/*
 * How good a place is, is counted in eighths of a row: a row further from the focal point's row is 8, a seat further aside is 2, so
 * that four seats aside are as bad as one row back. Half a seat is 1. Sections are equals: the best place of each is a tie.
 */
const badnessOfRow = 8;
const badnessOfHalfSeat = 1;

// ---- what is asked for

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

const viewOf = ({ reserved }: Pick<BestChoice, "reserved">): View => (reserved ? "ordinary" : "all");

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

/** Of seats side by side from this number on. */
function badnessAt(row: RowPlan, firstNumber: number, quantity: number): number {
  const halfSeatsAside = Math.abs(2 * firstNumber + quantity - 1 - row.focalHalves);
  return row.rowsAway * badnessOfRow + halfSeatsAside * badnessOfHalfSeat;
}

/** One of the `spread` best and of those that are as good as the last of them, each as likely as another. Its place in the list. */
function pickNear(badness: readonly number[], spread: number, random: () => number): number | undefined {
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

// ---- in groups

interface Stretch {
  readonly section: SectionPlan;
  readonly start: number;
  readonly length: number;
  readonly row: number;
  readonly number: number;
  readonly badness: number;
}

/** So many places to begin are compared, and in so many sections at most. */
const anchorsCompared = 12;

/** Groups as large as there are, in one section if it has enough; then as near to each other, and to the focal point, as can be. */
function inGroups(
  free: readonly FreeSeats[],
  view: View,
  quantity: number,
  { orphans, spread, random }: BestChoice,
): Run[] | undefined {
  const enough = free.filter(({ count }) => count[view] >= quantity);
  const pools = (enough.length > 0 ? enough.map((one) => [one]) : [free]).map((pool) => ({
    pool,
    lengths: lengthsIn(pool, view, quantity),
  }));
  const first = Math.max(...pools.map(({ lengths }) => lengths.findLastIndex((count) => count > 0)));
  if (first < 1) return undefined;
  const withFirst = pools
    .map(({ pool, lengths }) => ({ pool, groups: (lengths[first] ?? 0) > 0 ? groupsNeeded(lengths, quantity) : 0 }))
    .filter(({ groups }) => groups > 0);
  if (withFirst.length === 0) return undefined;
  const fewest = Math.min(...withFirst.map(({ groups }) => groups));
  const best = atRandom(
    withFirst.filter(({ groups }) => groups === fewest),
    anchorsCompared,
    random,
  );

  const plans: { runs: Run[]; apart: number; badness: number }[] = [];
  for (const { pool } of best) {
    const rows = stretchesOf(pool, view);
    const anchors = [...rows.values()]
      .flat()
      .filter(({ length }) => length === first)
      .sort((a, b) => a.badness - b.badness);
    for (const anchor of anchors.slice(0, Math.ceil(anchorsCompared / best.length)))
      plans.push(groupsAround(anchor, rows, quantity, fewest, orphans !== "off"));
  }
  plans.sort((a, b) => a.apart + a.badness - b.apart - b.badness);
  const near = plans.slice(0, spread);
  const plan = near[Math.floor(random() * near.length)];
  return plan && inOrder(free, plan.runs);
}

/** How many stretches there are of each length; the longest count as `most`. */
function lengthsIn(pool: readonly FreeSeats[], view: View, most: number): number[] {
  const lengths = new Array<number>(most + 1).fill(0);
  for (const free of pool)
    if (free.count[view] > 0)
      for (const row of free.section.rows)
        eachStretch(free[view], row, 1, (start, end) => {
          const length = Math.min(most, end - start);
          lengths[length] = (lengths[length] ?? 0) + 1;
        });
  return lengths;
}

/** When each group is as large as can be. 0: there are not so many seats. */
function groupsNeeded(lengths: readonly number[], quantity: number): number {
  let left = quantity;
  let groups = 0;
  for (let length = lengths.length - 1; length > 0; length--)
    for (let count = lengths[length] ?? 0; count > 0; count--) {
      left -= length;
      groups += 1;
      if (left <= 0) return groups;
    }
  return 0;
}

/** Some of them, at most so many. */
function atRandom<T>(all: readonly T[], most: number, random: () => number): readonly T[] {
  if (all.length <= most) return all;
  const from = Math.floor(random() * all.length);
  return [...all.slice(from), ...all.slice(0, from)].slice(0, most);
}

/** By row, over all sections: a section's rows follow each other, and between two sections is a wide space. */
function stretchesOf(pool: readonly FreeSeats[], view: View): Map<number, Stretch[]> {
  const byRow = new Map<number, Stretch[]>();
  let first = 0;
  for (const free of pool) {
    const { section } = free;
    for (const [at, plan] of section.rows.entries())
      eachStretch(free[view], plan, 1, (start, end, number) => {
        const length = end - start;
        const stretch = { section, start, length, row: first + at, number, badness: badnessAt(plan, number, length) };
        const ofRow = byRow.get(stretch.row);
        if (ofRow) ofRow.push(stretch);
        else byRow.set(stretch.row, [stretch]);
      });
    first += section.rows.length + rowsBetweenSections;
  }
  return byRow;
}

const rowsBetweenSections = 100;
const widestWindow = 64;

/** The anchor whole, then the largest of the rest, the nearest first; from as few rows around as make no more groups. */
function groupsAround(
  anchor: Stretch,
  rows: ReadonlyMap<number, readonly Stretch[]>,
  quantity: number,
  groups: number,
  avoidOrphans: boolean,
) {
  const near = ({ row, number }: Stretch) =>
    Math.abs(row - anchor.row) * badnessOfRow + Math.abs(number - anchor.number) * 2 * badnessOfHalfSeat;

  const choose = (stretches: readonly Stretch[]) => {
    const rest = stretches
      .filter((one) => one !== anchor)
      .map((one) => ({ one, apart: near(one) }))
      .sort((a, b) => b.one.length - a.one.length || a.apart - b.apart);
    const runs = [runOf(anchor, anchor.start, Math.min(anchor.length, quantity))];
    let left = quantity - anchor.length;
    let apart = 0;
    let next = 0;
    for (; left > 0; next++) {
      const larger = rest[next];
      if (!larger || larger.one.length > left) break;
      runs.push(runOf(larger.one, larger.one.start, larger.one.length));
      apart += larger.apart;
      left -= larger.one.length;
    }
    if (left <= 0) return { runs, apart, badness: anchor.badness };
    // The last group does not need all of a stretch. One of just its length, or at least two longer, is left without an orphan.
    const fitting = rest.slice(next).filter(({ one }) => one.length >= left);
    const clean = fitting.filter(({ one }) => one.length !== left + 1);
    const last = (avoidOrphans && clean.length > 0 ? clean : fitting).reduce<(typeof fitting)[number] | undefined>(
      (nearer, other) => (nearer && nearer.apart <= other.apart ? nearer : other),
      undefined,
    );
    if (!last) return undefined;
    const { one } = last;
    const isEndNearer = Math.abs(one.number + one.length - left - anchor.number) < Math.abs(one.number - anchor.number);
    runs.push(runOf(one, isEndNearer ? one.start + one.length - left : one.start, left));
    return { runs, apart: apart + last.apart, badness: anchor.badness };
  };

  for (let within = 1; within <= widestWindow; within *= 2) {
    const around: Stretch[] = [];
    for (let row = anchor.row - within; row <= anchor.row + within; row++) around.push(...(rows.get(row) ?? []));
    const plan = choose(around);
    if (plan && plan.runs.length === groups) return plan;
  }
  const plan = choose([...rows.values()].flat());
  if (!plan) throw new Error("there were enough seats when they were counted");
  return plan;
}

const runOf = ({ section }: Stretch, start: number, length: number): Run => ({ section, start, length });

/** As runsOf of layout.ts would have them. */
function inOrder(free: readonly FreeSeats[], runs: readonly Run[]): Run[] {
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

// ---- seats picked by hand

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
