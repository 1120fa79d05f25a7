// A hall as an organiser types it: sections, rows and numbers as text; what is wrong and where; what the API and the map take. Pure.
import type { Layout, Schemas } from "../../../api/client.js";

export type NewSection = Schemas["NewEvent"]["sections"][number];

export interface RowForm {
  readonly label: string;
  /** How many positions, gaps included. */
  readonly seats: string;
  /** Number of the first position; empty: 1. */
  readonly first: string;
  /** Lists of numbers, as "3 8 10-12". */
  readonly gaps: string;
  readonly accessible: string;
  readonly companion: string;
  readonly blocked: string;
}

export interface SectionForm {
  readonly id: string;
  readonly name: string;
  readonly tier: string;
  readonly kind: "rows" | "places";
  /** Of places: how many. */
  readonly capacity: string;
  readonly rows: readonly RowForm[];
  /** Where the best seats are counted from; both empty: the middle of the first row. */
  readonly focalRow: string;
  readonly focalSeat: string;
}

export const faultKeys = {
  missing: "faultMissing",
  sectionId: "faultSectionId",
  rowLabel: "faultRowLabel",
  twice: "faultTwice",
  tooLong: "faultTooLong",
  whole: "faultWhole",
  list: "faultList",
  outside: "faultOutside",
  isGap: "faultIsGap",
  isAccessible: "faultIsAccessible",
  repeated: "faultRepeated",
  noSeat: "faultNoSeat",
  unknownTier: "faultUnknownTier",
  noSections: "faultNoSections",
  noRows: "faultNoRows",
  noSuchRow: "faultNoSuchRow",
  tooMany: "faultTooMany",
} as const;

/** Something wrong. `at` is a JSON Pointer into the event, as "/sections/2/rows/0/gaps"; the message's key has its words. */
export interface Fault {
  readonly at: string;
  readonly key: string;
  readonly values?: Readonly<Record<string, string | number>>;
}

export const mostSeats = 60_000;
const mostPositions = 2_000;
const mostNumber = 9_999;
const mostRowsInSection = 1_000;
const mostSections = 500;

export const emptyRow: RowForm = {
  label: "",
  seats: "",
  first: "",
  gaps: "",
  accessible: "",
  companion: "",
  blocked: "",
};
export const emptySection: SectionForm = {
  id: "",
  name: "",
  tier: "",
  kind: "rows",
  capacity: "",
  rows: [],
  focalRow: "",
  focalSeat: "",
};

/** A to Z, AA, AB, … */
export function rowLabel(index: number): string {
  let label = "";
  for (let rest = index + 1; rest > 0; rest = Math.floor((rest - 1) / 26))
    label = String.fromCharCode(65 + ((rest - 1) % 26)) + label;
  return label;
}

/** "3 8 10-12", also with commas or semicolons between; undefined: it can't be read. Never longer than a row may be. */
export function readNumbers(text: string): number[] | undefined {
  const numbers: number[] = [];
  for (const part of text.split(/[\s,;]+/).filter(Boolean)) {
    const range = /^(\d{1,4})(?:[-–](\d{1,4}))?$/.exec(part);
    if (!range) return undefined;
    const from = Number(range[1]);
    const to = Number(range[2] ?? range[1]);
    if (from < 1 || to < from || numbers.length + to - from >= mostPositions) return undefined;
    for (let number = from; number <= to; number++) numbers.push(number);
  }
  return numbers;
}

/** The shortest such text for a set of numbers. */
export function writeNumbers(numbers: Iterable<number>): string {
  const sorted = [...new Set(numbers)].sort((a, b) => a - b);
  const parts: string[] = [];
  for (let at = 0; at < sorted.length; ) {
    let end = at;
    while (sorted[end + 1] === (sorted[end] ?? 0) + 1) end += 1;
    const [from, to] = [sorted[at] ?? 0, sorted[end] ?? 0];
    parts.push(from === to ? `${from}` : to === from + 1 ? `${from} ${to}` : `${from}-${to}`);
    at = end + 1;
  }
  return parts.join(" ");
}

export function readWhole(text: string, least: number, most: number): number | undefined {
  if (!/^\d{1,9}$/.test(text.trim())) return undefined;
  const value = Number(text);
  return value >= least && value <= most ? value : undefined;
}

export interface ReadLayout {
  /** What could be read; only without faults is it all that was typed. */
  readonly sections: readonly NewSection[];
  readonly faults: readonly Fault[];
  /** Places in all. */
  readonly seats: number;
}

/** By the same rules as the API's, so that what is wrong can be said before it is sent, at its field or line. */
export function readLayout(forms: readonly SectionForm[], tierIds: readonly string[]): ReadLayout {
  const faults: Fault[] = [];
  const say = (at: string, key: Fault["key"], values?: Fault["values"]) =>
    faults.push({ at, key, ...(values ? { values } : {}) });
  const sections: NewSection[] = [];
  const seen = new Set<string>();
  const tiers = new Set(tierIds);
  let seats = 0;
  if (forms.length === 0) say("/sections", faultKeys.noSections);
  if (forms.length > mostSections) say("/sections", faultKeys.tooMany, { most: mostSections });
  for (const [at, form] of forms.entries()) {
    const where = `/sections/${at}`;
    const { id, tier } = form;
    const name = form.name.trim();
    if (id === "") say(`${where}/id`, faultKeys.missing);
    else if (!/^[A-Z0-9]{1,12}$/.test(id)) say(`${where}/id`, faultKeys.sectionId);
    else if (seen.has(id)) say(`${where}/id`, faultKeys.twice);
    seen.add(id);
    if (name === "") say(`${where}/name`, faultKeys.missing);
    else if (name.length > 100) say(`${where}/name`, faultKeys.tooLong, { most: 100 });
    if (tier === "") say(`${where}/tier`, faultKeys.missing);
    else if (!tiers.has(tier)) say(`${where}/tier`, faultKeys.unknownTier);
    if (form.kind === "places") {
      const capacity = readWhole(form.capacity, 1, mostSeats);
      if (form.capacity.trim() === "") say(`${where}/capacity`, faultKeys.missing);
      else if (capacity === undefined) say(`${where}/capacity`, faultKeys.whole, { least: 1, most: mostSeats });
      seats += capacity ?? 0;
      sections.push({ id, name, tier, capacity: capacity ?? 1 });
      continue;
    }
    if (form.rows.length === 0) say(`${where}/rows`, faultKeys.noRows);
    if (form.rows.length > mostRowsInSection) say(`${where}/rows`, faultKeys.tooMany, { most: mostRowsInSection });
    const labels = new Set<string>();
    const rows = form.rows.map((row, rank) => {
      const read = readRow(row, `${where}/rows/${rank}`, labels, say);
      labels.add(row.label);
      seats += read.seats - (read.gaps?.length ?? 0);
      return read;
    });
    const focalPoint = readFocalPoint(form, where, say);
    sections.push({ id, name, tier, ...(focalPoint ? { focalPoint } : {}), rows });
  }
  if (seats > mostSeats) say("/sections", faultKeys.tooMany, { most: mostSeats });
  return { sections, faults, seats };
}

type Say = (at: string, key: Fault["key"], values?: Fault["values"]) => void;

function readRow(row: RowForm, where: string, labels: ReadonlySet<string>, say: Say) {
  const { label } = row;
  if (label === "") say(`${where}/label`, faultKeys.missing);
  else if (!/^[A-Z0-9]{1,4}$/.test(label)) say(`${where}/label`, faultKeys.rowLabel);
  else if (labels.has(label)) say(`${where}/label`, faultKeys.twice);
  const seats = readWhole(row.seats, 1, mostPositions);
  if (row.seats.trim() === "") say(`${where}/seats`, faultKeys.missing);
  else if (seats === undefined) say(`${where}/seats`, faultKeys.whole, { least: 1, most: mostPositions });
  const first = row.first.trim() === "" ? 1 : readWhole(row.first, 1, mostNumber);
  if (first === undefined || first + (seats ?? 1) - 1 > mostNumber)
    say(`${where}/first`, faultKeys.whole, { least: 1, most: mostNumber - (seats ?? 1) + 1 });

  const lists: Partial<Record<"gaps" | "accessible" | "companion" | "blocked", number[]>> = {};
  const from = first ?? 1;
  const to = from + (seats ?? mostPositions) - 1;
  for (const name of ["gaps", "accessible", "companion", "blocked"] as const) {
    const numbers = readNumbers(row[name]);
    if (numbers === undefined) {
      say(`${where}/${name}`, faultKeys.list);
      continue;
    }
    if (numbers.length === 0) continue;
    const stray = numbers.find((number) => number < from || number > to);
    const gap = name === "gaps" ? undefined : numbers.find((number) => lists.gaps?.includes(number));
    const both = name === "companion" ? numbers.find((number) => lists.accessible?.includes(number)) : undefined;
    if (stray !== undefined && seats !== undefined)
      say(`${where}/${name}`, faultKeys.outside, { number: stray, from, to });
    else if (new Set(numbers).size < numbers.length) say(`${where}/${name}`, faultKeys.repeated);
    else if (gap !== undefined) say(`${where}/${name}`, faultKeys.isGap, { number: gap });
    else if (both !== undefined) say(`${where}/${name}`, faultKeys.isAccessible, { number: both });
    else if (name === "gaps" && seats !== undefined && numbers.length >= seats) say(`${where}/gaps`, faultKeys.noSeat);
    else lists[name] = numbers;
  }
  return { label, seats: seats ?? 1, ...(from === 1 ? {} : { first: from }), ...lists };
}

function readFocalPoint(form: SectionForm, where: string, say: Say): { row: string; seat: number } | undefined {
  const { focalRow, focalSeat } = form;
  if (focalRow === "" && focalSeat.trim() === "") return undefined;
  const row = form.rows.find(({ label }) => label === focalRow);
  const from = readWhole(row?.first ?? "", 1, mostNumber) ?? 1;
  const to = from + (readWhole(row?.seats ?? "", 1, mostPositions) ?? 1) - 1;
  const seat = readWhole(focalSeat, from, to);
  if (!row) say(`${where}/focalPoint/row`, faultKeys.noSuchRow);
  else if (focalSeat.trim() === "") say(`${where}/focalPoint/seat`, faultKeys.missing);
  else if (seat === undefined) say(`${where}/focalPoint/seat`, faultKeys.whole, { least: from, most: to });
  else return { row: focalRow, seat };
  return undefined;
}

// ---- the other way: what the API has, as it would have been typed

export function formOf(section: NewSection): SectionForm {
  const head = { ...emptySection, id: section.id, name: section.name, tier: section.tier };
  if ("capacity" in section) return { ...head, kind: "places", capacity: String(section.capacity) };
  const focal = section.focalPoint
    ? { focalRow: section.focalPoint.row, focalSeat: String(section.focalPoint.seat) }
    : {};
  if (Array.isArray(section.rows)) return { ...head, ...focal, rows: section.rows.map(rowFormOf) };
  const { count, seats, first, gaps, ...named } = section.rows;
  const inRow = (list: readonly string[] | undefined, label: string) =>
    (list ?? []).filter((seat) => seat.startsWith(`${label}-`)).map((seat) => Number(seat.slice(label.length + 1)));
  const rows = Array.from({ length: count }, (_, rank) => {
    const label = rowLabel(rank);
    return rowFormOf({
      label,
      seats,
      ...(first === undefined ? {} : { first }),
      ...(gaps ? { gaps } : {}),
      accessible: inRow(named.accessible, label),
      companion: inRow(named.companion, label),
      blocked: inRow(named.blocked, label),
    });
  });
  return { ...head, ...focal, rows };
}

function rowFormOf(row: Schemas["NewSectionOfRows"]["rows"][number]): RowForm {
  const { label, seats, first = 1, gaps = [], accessible = [], companion = [], blocked = [] } = row;
  return {
    label,
    seats: String(seats),
    first: first === 1 ? "" : String(first),
    gaps: writeNumbers(gaps),
    accessible: writeNumbers(accessible),
    companion: writeNumbers(companion),
    blocked: writeNumbers(blocked),
  };
}

/** So many rows of the same length, labelled on from those that are there. */
export function addRows(section: SectionForm, count: number, seats: string): SectionForm {
  const labels = new Set(section.rows.map(({ label }) => label));
  const rows: RowForm[] = [];
  for (let index = 0; rows.length < count; index++)
    if (!labels.has(rowLabel(index))) rows.push({ ...emptyRow, label: rowLabel(index), seats });
  return { ...section, rows: [...section.rows, ...rows] };
}

// ---- drawing: a seat that is tapped becomes what the brush says, and back

export const brushes = ["accessible", "companion", "blocked", "gaps", "focal"] as const;
export type Brush = (typeof brushes)[number];

/** What a seat stops being when it becomes something else. */
const excluded = {
  gaps: ["accessible", "companion", "blocked"],
  accessible: ["gaps", "companion"],
  companion: ["gaps", "accessible"],
  blocked: ["gaps"],
} as const;

/** `number` of the row; a seat is at most one of accessible and companion, and a gap is nothing else. */
export function paintSeat(section: SectionForm, label: string, number: number, brush: Brush): SectionForm {
  if (brush === "focal") {
    const same = section.focalRow === label && section.focalSeat === String(number);
    return { ...section, focalRow: same ? "" : label, focalSeat: same ? "" : String(number) };
  }
  const rows = section.rows.map((row) => {
    if (row.label !== label) return row;
    const had = new Set(readNumbers(row[brush]));
    const painting = !had.has(number);
    const without = (list: string) => writeNumbers((readNumbers(list) ?? []).filter((other) => other !== number));
    const cleared = painting ? Object.fromEntries(excluded[brush].map((name) => [name, without(row[name])])) : {};
    return { ...row, ...cleared, [brush]: painting ? writeNumbers([...had, number]) : without(row[brush]) };
  });
  return { ...section, rows };
}

// ---- the preview

/** As the API would show this layout to the map. What can't be read yet is left out. */
export function layoutOf(sections: readonly NewSection[]): Layout {
  const shown = sections.map((section): Layout["sections"][number] => {
    const { id, name, tier } = section;
    if ("capacity" in section) {
      const { capacity } = section;
      return { id, name, tier, capacity, generalAdmission: true, rows: [] };
    }
    const rows = (Array.isArray(section.rows) ? section.rows : []).map(({ seats, first = 1, label, ...lists }) => ({
      label,
      first,
      count: seats,
      ...lists,
    }));
    const capacity = rows.reduce((sum, { count, gaps = [] }) => sum + count - gaps.length, 0);
    return { id, name, tier, capacity, generalAdmission: false, rows };
  });
  const seatCount = shown
    .filter(({ generalAdmission }) => !generalAdmission)
    .reduce((sum, { capacity }) => sum + capacity, 0);
  return { eventId: "", layoutVersion: "", seatCount, sections: shown };
}
