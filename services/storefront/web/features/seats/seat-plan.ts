// Where each seat lies on the map, in layout order: positions, names, prices. Pure; a unit is the distance of two seats.
import type { Layout } from "../../api/client.js";

/** As the API tells them; and free for others, not for this buyer's code. */
export const seatStates = { free: 0, held: 1, sold: 2, blocked: 3, elsewhere: 4 } as const;
/** What a seat is kept for, beside the general sale. */
export const seatRooms = { none: 0, accessible: 1, companion: 2 } as const;

export interface PlannedRow {
  readonly label: string;
  /** In layout order. */
  readonly firstSeat: number;
  readonly seats: number;
  readonly y: number;
  /** Of the row's first position. */
  readonly x: number;
}

export interface PlannedSection {
  readonly id: string;
  readonly name: string;
  readonly tier: string;
  readonly capacity: number;
  readonly generalAdmission: boolean;
  readonly firstSeat: number;
  readonly seats: number;
  readonly rows: readonly PlannedRow[];
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface SeatPlan {
  readonly layoutVersion: string;
  readonly seatCount: number;
  readonly sections: readonly PlannedSection[];
  /** One number a seat. */
  readonly x: Float32Array;
  readonly y: Float32Array;
  readonly number: Uint16Array;
  readonly sectionOf: Uint16Array;
  /** One of `seatRooms`. */
  readonly room: Uint8Array;
  readonly width: number;
  readonly height: number;
}

const gap = 3;
/** Above a section's first row, for its name. */
export const sectionHeading = 2;
export const stageHeight = 4;
/** Wide as halls and screens are. */
const aspect = 1.5;

export function planSeats(layout: Layout): SeatPlan {
  const { seatCount } = layout;
  const plan = {
    x: new Float32Array(seatCount),
    y: new Float32Array(seatCount),
    number: new Uint16Array(seatCount),
    sectionOf: new Uint16Array(seatCount),
    room: new Uint8Array(seatCount),
  };
  const sizes = layout.sections.map((section) => {
    if (section.generalAdmission) {
      const side = Math.max(6, Math.sqrt(section.capacity));
      return { width: Math.ceil(side * 1.8), height: Math.ceil(side * 0.7) + sectionHeading };
    }
    return {
      width: Math.max(4, ...section.rows.map(({ count }) => count)),
      height: section.rows.length + sectionHeading,
    };
  });
  const area = sizes.reduce((sum, { width, height }) => sum + (width + gap) * (height + gap), 0);
  const most = Math.max(Math.sqrt(area * aspect), ...sizes.map(({ width }) => width));

  // Sections stand in lines before the stage, in the organiser's order, each line in the middle.
  const lines: number[][] = [];
  let used = Number.POSITIVE_INFINITY;
  for (const [at, { width }] of sizes.entries()) {
    if (used + width > most) {
      lines.push([]);
      used = 0;
    }
    lines.at(-1)?.push(at);
    used += width + gap;
  }
  const lineWidth = (line: readonly number[]) => line.reduce((sum, at) => sum + (sizes[at]?.width ?? 0) + gap, -gap);
  const width = Math.max(...lines.map(lineWidth));

  const sections: PlannedSection[] = [];
  let seat = 0;
  let top = stageHeight + gap;
  for (const line of lines) {
    let left = (width - lineWidth(line)) / 2;
    for (const at of line) {
      const section = layout.sections[at];
      const size = sizes[at];
      if (!section || !size) continue;
      const firstSeat = seat;
      const rows = section.rows.map((row, rank): PlannedRow => {
        const gaps = new Set(row.gaps);
        const accessible = new Set(row.accessible);
        const companion = new Set(row.companion);
        const x = left + (size.width - row.count) / 2;
        const y = top + sectionHeading + rank;
        const first = seat;
        for (let position = 0; position < row.count; position++) {
          const number = row.first + position;
          if (gaps.has(number)) continue;
          plan.x[seat] = x + position + 0.5;
          plan.y[seat] = y + 0.5;
          plan.number[seat] = number;
          plan.sectionOf[seat] = at;
          if (accessible.has(number)) plan.room[seat] = seatRooms.accessible;
          else if (companion.has(number)) plan.room[seat] = seatRooms.companion;
          seat += 1;
        }
        return { label: row.label, firstSeat: first, seats: seat - first, x, y };
      });
      const { id, name, tier, capacity, generalAdmission } = section;
      sections[at] = {
        id,
        name,
        tier,
        capacity,
        generalAdmission,
        firstSeat,
        seats: seat - firstSeat,
        rows,
        x: left,
        y: top,
        ...size,
      };
      left += size.width + gap;
    }
    top += Math.max(...line.map((at) => sizes[at]?.height ?? 0)) + gap;
  }
  return { layoutVersion: layout.layoutVersion, seatCount, sections, ...plan, width, height: top - gap };
}

export interface SeatName {
  readonly seatId: string;
  readonly section: string;
  readonly row: string;
  readonly number: number;
  readonly tier: string;
}

export function nameSeat(plan: SeatPlan, seat: number): SeatName {
  const section = plan.sections[plan.sectionOf[seat] ?? 0] as PlannedSection;
  let low = 0;
  let high = section.rows.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((section.rows[middle]?.firstSeat ?? 0) <= seat) low = middle;
    else high = middle - 1;
  }
  const row = section.rows[low]?.label ?? "";
  const number = plan.number[seat] ?? 0;
  return { seatId: `${section.id}-${row}-${number}`, section: section.id, row, number, tier: section.tier };
}

/** By "section-row-number"; undefined when there is none. */
export function findSeat(plan: SeatPlan, seatId: string): number | undefined {
  const [sectionId, label, number] = seatId.split("-");
  const row = plan.sections.find(({ id }) => id === sectionId)?.rows.find((one) => one.label === label);
  if (!row) return undefined;
  for (let seat = row.firstSeat; seat < row.firstSeat + row.seats; seat++)
    if (plan.number[seat] === Number(number)) return seat;
  return undefined;
}

/** The seat at a point of the map. */
export function seatAt(plan: SeatPlan, x: number, y: number): number | undefined {
  const section = plan.sections.find(
    (one) => x >= one.x && x < one.x + one.width && y >= one.y && y < one.y + one.height,
  );
  const row = section?.rows.find((one) => y >= one.y && y < one.y + 1);
  if (!row) return undefined;
  for (let seat = row.firstSeat; seat < row.firstSeat + row.seats; seat++)
    if (Math.abs((plan.x[seat] ?? 0) - x) <= 0.5) return seat;
  return undefined;
}

/** Two bits a seat, the first in the lowest, to one byte a seat. */
export function unpackStates(packed: Uint8Array, seatCount: number): Uint8Array {
  const states = new Uint8Array(seatCount);
  for (let seat = 0; seat < seatCount; seat++) states[seat] = ((packed[seat >> 2] ?? 0) >> ((seat & 3) * 2)) & 3;
  return states;
}

/** What the map says of a seat, as it is for who has a code: its seats are blocked for others and free for them, and the reverse. */
export function stateByCode(state: number, isOpened: boolean): number {
  if (isOpened) return state === seatStates.blocked ? seatStates.free : state;
  return state === seatStates.free ? seatStates.elsewhere : state;
}
