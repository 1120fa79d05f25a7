// Seats by arithmetic: from an event's sections and rows to seat ids and places in a section's order, and back. Pure.
import type { Section } from "@onsale/proto/inventory/v1/catalog";

export const mostSeatsInEvent = 60_000;
/** The one row of a general-admission section. */
export const generalAdmissionRow = "GA";

/** Seats side by side, without a gap between them. */
export interface Segment {
  /** Place of the first in the section's order. */
  readonly offset: number;
  readonly firstNumber: number;
  readonly length: number;
}

export interface RowPlan {
  /** Place among the section's rows, from 0. */
  readonly at: number;
  readonly label: string;
  readonly firstNumber: number;
  /** Gaps included: what makes the row's middle. */
  readonly positions: number;
  readonly segments: readonly Segment[];
  /** How many rows away from the focal point's row; and twice the number in this row that is nearest to it, for that may be between two. */
  readonly rowsAway: number;
  readonly focalHalves: number;
  /** Places of the section's order, in order. */
  readonly accessible: readonly number[];
}

export interface SectionPlan {
  readonly sectionId: string;
  readonly name: string;
  readonly tierId: string;
  readonly generalAdmission: boolean;
  readonly seats: number;
  readonly rows: readonly RowPlan[];
  readonly rowByLabel: ReadonlyMap<string, RowPlan>;
  /** The rows again, by how far they are from the focal point's row. */
  readonly rowsByDistance: readonly (readonly RowPlan[])[];
  /** Places that are not for sale, in order. */
  readonly blocked: readonly number[];
  /** Places for people who use a wheelchair or need its room; and for who comes with them. In order. */
  readonly accessible: ReadonlySet<number>;
  readonly companion: ReadonlySet<number>;
}

export interface Layout {
  readonly version: string;
  readonly sections: readonly SectionPlan[];
  readonly sectionById: ReadonlyMap<string, SectionPlan>;
}

/** A seat: its section and its place in the section's order, from 0. */
export interface Seat {
  readonly section: SectionPlan;
  readonly index: number;
}

/** Adjacent places of one section. */
export interface Run {
  readonly section: SectionPlan;
  readonly start: number;
  readonly length: number;
}

/** The sections must have passed the checks of events.ts. */
export function planLayout(version: string, sections: readonly Section[]): Layout {
  const plans = sections.map(planSection);
  return { version, sections: plans, sectionById: new Map(plans.map((plan) => [plan.sectionId, plan])) };
}

function planSection(section: Section): SectionPlan {
  const { sectionId, name, tierId, generalAdmission, capacity, rows } = section;
  const plans: RowPlan[] = [];
  const blocked: number[] = [];
  const accessible: number[] = [];
  const companion: number[] = [];
  const focal = focalPointOf(section);
  let seats = 0;
  if (generalAdmission) {
    plans.push({
      at: 0,
      label: generalAdmissionRow,
      firstNumber: 1,
      positions: capacity,
      segments: [{ offset: 0, firstNumber: 1, length: capacity }],
      rowsAway: 0,
      focalHalves: 2,
      accessible: [],
    });
    seats = capacity;
  }
  for (const [at, row] of rows.entries()) {
    const segments: Segment[] = [];
    const end = row.firstSeat + row.seatCount;
    let from = row.firstSeat;
    for (const gap of [...new Set(row.gaps)].sort((a, b) => a - b).concat(end)) {
      if (gap > from) {
        segments.push({ offset: seats, firstNumber: from, length: gap - from });
        seats += gap - from;
      }
      from = gap + 1;
    }
    const rooms = placesIn({ segments }, row.accessible);
    const plan: RowPlan = {
      at,
      label: row.label,
      firstNumber: row.firstSeat,
      positions: row.seatCount,
      segments,
      rowsAway: Math.abs(at - focal.row),
      focalHalves: 2 * row.firstSeat + Math.round(focal.along * (row.seatCount - 1) * 2),
      accessible: rooms,
    };
    plans.push(plan);
    blocked.push(...placesIn(plan, row.blocked));
    accessible.push(...rooms);
    companion.push(...placesIn(plan, row.companion));
  }
  const rowByLabel = new Map(plans.map((plan) => [plan.label, plan]));
  const rowsByDistance: RowPlan[][] = [];
  for (const plan of plans) {
    while (rowsByDistance.length <= plan.rowsAway) rowsByDistance.push([]);
    rowsByDistance[plan.rowsAway]?.push(plan);
  }
  const head = { sectionId, name, tierId, generalAdmission, seats };
  const rooms = { accessible: new Set(accessible), companion: new Set(companion) };
  return { ...head, rows: plans, rowByLabel, rowsByDistance, blocked, ...rooms };
}

/** A row's place among the rows, and how far along a row from its first position (0) to its last (1): rows have different lengths and numbers. */
function focalPointOf({ rows, focalRow, focalSeat }: Section): { row: number; along: number } {
  const at = rows.findIndex(({ label }) => label === focalRow);
  const row = rows[at];
  if (!row) return { row: 0, along: 0.5 };
  const along = row.seatCount === 1 ? 0.5 : (focalSeat - row.firstSeat) / (row.seatCount - 1);
  return { row: at, along: Math.min(1, Math.max(0, along)) };
}

function placesIn(row: Pick<RowPlan, "segments">, numbers: readonly number[]): number[] {
  return [...new Set(numbers)].sort((a, b) => a - b).flatMap((number) => indexInRow(row, number) ?? []);
}

function indexInRow(row: Pick<RowPlan, "segments">, number: number): number | undefined {
  const segment = findLast(row.segments, ({ firstNumber }) => firstNumber <= number);
  if (!segment || number >= segment.firstNumber + segment.length) return undefined;
  return segment.offset + number - segment.firstNumber;
}

// No leading zeros: a seat has one id, or two requests could ask for it under two.
const seatIdShape = /^([A-Z0-9]{1,12})-([A-Z0-9]{1,4})-([1-9]\d{0,4})$/;

export function findSeat(layout: Layout, seatId: string): Seat | undefined {
  const [, sectionId = "", label = "", number = ""] = seatIdShape.exec(seatId) ?? [];
  const section = layout.sectionById.get(sectionId);
  const row = section?.rowByLabel.get(label);
  if (!section || !row) return undefined;
  const index = indexInRow(row, Number(number));
  return index === undefined ? undefined : { section, index };
}

export interface SeatName {
  readonly seatId: string;
  readonly row: string;
  readonly number: number;
}

/** Throws RangeError when the section has no such place. */
export function nameSeat({ section, index }: Seat): SeatName {
  const row = findLast(section.rows, ({ segments }) => (segments[0]?.offset ?? Number.POSITIVE_INFINITY) <= index);
  const segment = row && findLast(row.segments, ({ offset }) => offset <= index);
  if (!row || !segment || index >= segment.offset + segment.length)
    throw new RangeError(`section ${section.sectionId} has no place ${index}`);
  const number = segment.firstNumber + index - segment.offset;
  return { seatId: `${section.sectionId}-${row.label}-${number}`, row: row.label, number };
}

/** The last that passes; those that pass must come first. A row without seats passes none, so rows need at least one. */
function findLast<T>(ordered: readonly T[], passes: (item: T) => boolean): T | undefined {
  let low = 0;
  let high = ordered.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (passes(ordered[middle] as T)) low = middle + 1;
    else high = middle;
  }
  return ordered[low - 1];
}

/** In layout order, each as long as can be. */
export function runsOf(layout: Layout, seats: readonly Seat[]): Run[] {
  const rank = new Map(layout.sections.map((section, at) => [section, at]));
  const ordered = [...seats].sort(
    (a, b) => (rank.get(a.section) ?? 0) - (rank.get(b.section) ?? 0) || a.index - b.index,
  );
  const runs: { section: SectionPlan; start: number; length: number }[] = [];
  for (const { section, index } of ordered) {
    const last = runs.at(-1);
    if (last && last.section === section && last.start + last.length === index) last.length += 1;
    else runs.push({ section, start: index, length: 1 });
  }
  return runs;
}

export function seatsOf(runs: readonly Run[]): Seat[] {
  return runs.flatMap(({ section, start, length }) =>
    Array.from({ length }, (_, at) => ({ section, index: start + at })),
  );
}

/** As a hold's record in Valkey has them: "A:0:3,~FLOOR:17:1"; the tilde marks general admission. */
export function writeRuns(runs: readonly Run[]): string {
  return runs
    .map(
      ({ section, start, length }) => `${section.generalAdmission ? "~" : ""}${section.sectionId}:${start}:${length}`,
    )
    .join(",");
}

export function readRuns(layout: Layout, text: string): Run[] {
  return text.split(",").map((part) => {
    const [, sectionId = "", start, length] = /^~?([A-Z0-9]+):(\d+):(\d+)$/.exec(part) ?? [];
    const section = layout.sectionById.get(sectionId);
    if (!section) throw new Error(`a hold's record names "${part}", which is not in layout ${layout.version}`);
    return { section, start: Number(start), length: Number(length) };
  });
}
