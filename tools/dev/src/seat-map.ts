// Finds seats that are free, from an event's layout and its two bits a seat. Pure.

export interface Layout {
  readonly layoutVersion: string;
  readonly seatCount: number;
  readonly sections: readonly {
    readonly id: string;
    readonly rows: readonly {
      readonly label: string;
      readonly first: number;
      readonly count: number;
      readonly gaps?: readonly number[];
    }[];
  }[];
}

export const seatStates = ["free", "held", "sold", "blocked"] as const;
export type SeatState = (typeof seatStates)[number];

/** Four seats a byte, the first in the lowest bits. */
export function stateAt(states: Uint8Array, index: number): SeatState {
  const bits = ((states[index >> 2] ?? 0) >> ((index & 3) * 2)) & 3;
  return seatStates[bits] ?? "free";
}

/** The ids of the first `count` neighbours in a row that are all free; undefined when no row has so many. A gap parts neighbours. */
export function freeNeighbours(layout: Layout, states: Uint8Array, count: number): string[] | undefined {
  let index = 0;
  for (const section of layout.sections)
    for (const row of section.rows) {
      const gaps = new Set(row.gaps ?? []);
      let run: string[] = [];
      let found: string[] | undefined;
      for (let number = row.first; number < row.first + row.count; number++) {
        if (gaps.has(number)) {
          run = [];
          continue;
        }
        run = stateAt(states, index) === "free" ? [...run, `${section.id}-${row.label}-${number}`] : [];
        index += 1;
        if (run.length === count) found ??= run;
      }
      if (found) return found;
    }
  return undefined;
}
