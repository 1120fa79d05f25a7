// Layouts: from the organiser's compact form to sections of rows, and from there to what a seat map needs. Pure.
import { DomainError } from "@onsale/kit/errors";
import type { Row, Section } from "@onsale/proto/inventory/v1/catalog";
import type { z } from "zod";
import { mostSeats, type newSection } from "../schemas.js";

type NewSection = z.output<typeof newSection>;

/** A to Z, AA to AZ, BA, … as on the doors of theatres and the columns of spreadsheets. */
export function rowLabel(index: number): string {
  let label = "";
  for (let rest = index + 1; rest > 0; rest = Math.floor((rest - 1) / 26))
    label = String.fromCharCode(65 + ((rest - 1) % 26)) + label;
  return label;
}

/** Refusal: LAYOUT_INVALID. What a row may be (gaps that exist, …) the inventory judges. */
export function expandLayout(sections: readonly NewSection[]): Section[] {
  let seats = 0;
  return sections.map((section) => {
    const expanded = expandSection(section);
    seats += expanded.capacity;
    if (seats > mostSeats)
      throw new DomainError("LAYOUT_INVALID", `An event may have at most ${mostSeats} seats.`, { mostSeats });
    return expanded;
  });
}

function expandSection(section: NewSection): Section {
  const head = { sectionId: section.id, name: section.name, tierId: section.tier };
  if ("capacity" in section)
    return { ...head, rows: [], generalAdmission: true, capacity: section.capacity, focalRow: "", focalSeat: 0 };
  const focal = { focalRow: section.focalPoint?.row ?? "", focalSeat: section.focalPoint?.seat ?? 0 };
  const rows = Array.isArray(section.rows)
    ? section.rows.map(({ label, seats, first = 1, gaps = [], blocked = [], accessible = [], companion = [] }) => ({
        label,
        firstSeat: first,
        seatCount: seats,
        gaps,
        blocked,
        accessible,
        companion,
      }))
    : equalRows(section.id, section.rows);
  return {
    ...head,
    ...focal,
    rows,
    generalAdmission: false,
    capacity: rows.reduce((sum, row) => sum + seatsIn(row), 0),
  };
}

function equalRows(
  sectionId: string,
  { count, seats, first = 1, gaps = [], ...named }: Extract<NewSection, { rows: { count: number } }>["rows"],
): Row[] {
  const rows = Array.from({ length: count }, (_, index) => ({
    label: rowLabel(index),
    firstSeat: first,
    seatCount: seats,
    gaps: [...gaps],
    blocked: [] as number[],
    accessible: [] as number[],
    companion: [] as number[],
  }));
  const byLabel = new Map(rows.map((row) => [row.label, row]));
  for (const what of ["blocked", "accessible", "companion"] as const)
    for (const seat of named[what] ?? []) {
      const [label = "", number = ""] = seat.split("-");
      const row = byLabel.get(label);
      if (!row)
        throw new DomainError(
          "LAYOUT_INVALID",
          `Section ${sectionId} has no row ${label}, so its seat ${seat} can't be ${whatSeatsAre[what]}.`,
        );
      row[what].push(Number(number));
    }
  return rows;
}

const whatSeatsAre = { blocked: "blocked", accessible: "accessible", companion: "a companion's" } as const;

export const seatsIn = ({ seatCount, gaps }: Pick<Row, "seatCount" | "gaps">): number =>
  Math.max(0, seatCount - new Set(gaps).size);

/** A row as a seat map reads it; empty lists are left out: a stadium has thousands of rows. */
export function shownRow({ label, firstSeat, seatCount, gaps, blocked, accessible, companion }: Row) {
  return {
    label,
    first: firstSeat,
    count: seatCount,
    ...(gaps.length > 0 ? { gaps } : {}),
    ...(blocked.length > 0 ? { blocked } : {}),
    ...(accessible.length > 0 ? { accessible } : {}),
    ...(companion.length > 0 ? { companion } : {}),
  };
}

/** A layout in the organiser's form: in their own words, or, where those were not kept, row by row. */
export function sectionsAsSent(source: string, sections: readonly Section[]): unknown[] {
  if (source !== "") return JSON.parse(source) as unknown[];
  return sections.map(({ sectionId, name, tierId, generalAdmission, capacity, focalRow, focalSeat, rows }) => {
    const head = { id: sectionId, name, tier: tierId };
    if (generalAdmission) return { ...head, capacity };
    return {
      ...head,
      ...(focalRow === "" ? {} : { focalPoint: { row: focalRow, seat: focalSeat } }),
      rows: rows.map((row) => {
        const { count: seats, ...rest } = shownRow(row);
        return { ...rest, seats };
      }),
    };
  });
}
