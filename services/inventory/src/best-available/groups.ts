// A party that sits in groups: the largest ones, near each other. Pure.
import type { Run, SectionPlan } from "../hall/layout.js";
import { eachStretch, type FreeSeats, type View } from "./board.js";
import { type BestChoice, badnessAt, badnessOfHalfSeat, badnessOfRow, inOrder } from "./choice.js";

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
export function inGroups(
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
