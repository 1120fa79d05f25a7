// What a layout must be like to be stored: its sections, rows and numbers. Pure.
import type { PriceTier, Section } from "@onsale/proto/inventory/v1/catalog";
import { mostSeatsInEvent } from "./layout.js";
import { isWithin, lineProblem, type Problem } from "./problems.js";

const mostSections = 500;
const mostRows = 10_000;
const mostPositions = 9_999;

/** `tiers`: those that the event has. */
export function problemsInLayout(tiers: readonly Pick<PriceTier, "tierId">[], sections: readonly Section[]): Problem[] {
  const problems: Problem[] = [];
  const say = (at: string, problem: string | undefined) => {
    if (problem) problems.push({ at, problem });
  };
  if (!isWithin(sections.length, 1, mostSections)) say("sections", `must be 1 to ${mostSections}`);
  if (sections.reduce((sum, { rows }) => sum + rows.length, 0) > mostRows)
    say("sections", `may have at most ${mostRows} rows together`);

  const tierIds = new Set(tiers.map(({ tierId }) => tierId));
  const seen = new Set<string>();
  let seats = 0;
  for (const [at, section] of sections.entries()) {
    const where = `sections[${at}]`;
    if (!/^[A-Z0-9]{1,12}$/.test(section.sectionId)) say(`${where}.section_id`, "must be 1 to 12 of A-Z and 0-9");
    if (seen.has(section.sectionId)) say(`${where}.section_id`, "is used twice");
    seen.add(section.sectionId);
    say(`${where}.name`, lineProblem(section.name, 100));
    if (!tierIds.has(section.tierId)) say(`${where}.tier_id`, "is not among the event's price tiers");
    if (section.generalAdmission) {
      if (section.rows.length > 0) say(`${where}.rows`, "must be empty in general admission");
      if (section.focalRow !== "" || section.focalSeat !== 0)
        say(`${where}.focal_row`, "must be empty in general admission, which has no rows");
      if (!isWithin(section.capacity, 1, mostSeatsInEvent))
        say(`${where}.capacity`, `must be from 1 to ${mostSeatsInEvent}`);
      else seats += section.capacity;
    } else if (section.rows.length === 0)
      say(`${where}.rows`, "must be at least one, or the section general admission");
    else {
      seats += problemsInRows(section, where, say);
      say(`${where}.focal_row`, focalProblem(section));
    }
  }
  if (seats > mostSeatsInEvent)
    say("sections", `have ${seats} seats, but an event may have at most ${mostSeatsInEvent}`);
  return problems;
}

function focalProblem({ focalRow, focalSeat, rows }: Section): string | undefined {
  if (focalRow === "" && focalSeat === 0) return undefined;
  const row = rows.find(({ label }) => label === focalRow);
  if (!row) return `is "${focalRow.slice(0, 12)}", but the section has no such row`;
  const last = row.firstSeat + row.seatCount - 1;
  return isWithin(focalSeat, row.firstSeat, last)
    ? undefined
    : `points to seat ${focalSeat}, but row ${row.label} has ${row.firstSeat} to ${last}`;
}

/** Answers how many seats the rows have. */
function problemsInRows({ rows }: Section, section: string, say: (at: string, problem: string) => void): number {
  const labels = new Set<string>();
  let seats = 0;
  for (const [at, { label, firstSeat, seatCount, gaps, blocked, accessible, companion }] of rows.entries()) {
    const where = `${section}.rows[${at}]`;
    if (!/^[A-Z0-9]{1,4}$/.test(label)) say(`${where}.label`, "must be 1 to 4 of A-Z and 0-9");
    if (labels.has(label)) say(`${where}.label`, "is used twice in the section");
    labels.add(label);
    const last = firstSeat + seatCount - 1;
    if (!isWithin(firstSeat, 1, mostPositions)) say(`${where}.first_seat`, `must be from 1 to ${mostPositions}`);
    if (!isWithin(seatCount, 1, mostPositions)) say(`${where}.seat_count`, `must be from 1 to ${mostPositions}`);
    else if (last > mostPositions)
      say(`${where}.seat_count`, `reaches number ${last}; the highest is ${mostPositions}`);
    const none = new Set(gaps);
    const closed = new Set(blocked);
    if (none.size < gaps.length) say(`${where}.gaps`, "names a seat twice");
    if (closed.size < blocked.length) say(`${where}.blocked`, "names a seat twice");
    const outside = (number: number) => !isWithin(number, firstSeat, last);
    const strayGap = gaps.find(outside);
    if (strayGap !== undefined) say(`${where}.gaps`, `has ${strayGap}, but the row has ${firstSeat} to ${last}`);
    const strayBlock = blocked.find(outside);
    if (strayBlock !== undefined) say(`${where}.blocked`, `has ${strayBlock}, but the row has ${firstSeat} to ${last}`);
    const both = blocked.find((number) => none.has(number));
    if (both !== undefined) say(`${where}.blocked`, `has ${both}, which is a gap`);
    for (const [name, list] of [
      ["accessible", accessible],
      ["companion", companion],
    ] as const) {
      if (new Set(list).size < list.length) say(`${where}.${name}`, "names a seat twice");
      const stray = list.find(outside);
      if (stray !== undefined) say(`${where}.${name}`, `has ${stray}, but the row has ${firstSeat} to ${last}`);
      const gap = list.find((number) => none.has(number));
      if (gap !== undefined) say(`${where}.${name}`, `has ${gap}, which is a gap`);
    }
    const forBoth = companion.find((number) => accessible.includes(number));
    if (forBoth !== undefined) say(`${where}.companion`, `has ${forBoth}, which is accessible already`);
    if (none.size >= seatCount) say(`${where}.gaps`, "leave no seat in the row");
    seats += Math.max(0, seatCount - none.size);
  }
  return seats;
}
