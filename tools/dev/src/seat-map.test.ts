// Which seats the demo picks.
import { expect, it } from "vitest";
import { freeNeighbours, type Layout, stateAt } from "./seat-map.js";

const layout: Layout = {
  layoutVersion: "1",
  seatCount: 9,
  sections: [
    { id: "GA", rows: [] },
    {
      id: "S",
      rows: [
        { label: "A", first: 1, count: 6, gaps: [3] },
        { label: "B", first: 11, count: 4 },
      ],
    },
  ],
};
// Row A has seats 1 2 4 5 6, row B 11 12 13 14; states in layout order:
const bits = (states: readonly number[]) => {
  const bytes = new Uint8Array(Math.ceil(states.length / 4));
  for (const [index, state] of states.entries())
    bytes[index >> 2] = (bytes[index >> 2] ?? 0) | (state << ((index & 3) * 2));
  return bytes;
};

it("reads two bits a seat, the first in the lowest", () => {
  const states = Uint8Array.of(0b11_10_01_00, 0b01);
  expect([0, 1, 2, 3, 4].map((index) => stateAt(states, index))).toEqual(["free", "held", "sold", "blocked", "held"]);
});

it("takes the first neighbours that are free", () => {
  expect(freeNeighbours(layout, bits([0, 0, 0, 0, 0, 0, 0, 0, 0]), 2)).toEqual(["S-A-1", "S-A-2"]);
  expect(freeNeighbours(layout, bits([2, 0, 0, 0, 0, 0, 0, 0, 0]), 2)).toEqual(["S-A-4", "S-A-5"]);
});

it("does not sit people on two sides of a gap, or in two rows", () => {
  expect(freeNeighbours(layout, bits([1, 0, 0, 1, 0, 0, 3, 0, 0]), 2)).toEqual(["S-B-13", "S-B-14"]);
  expect(freeNeighbours(layout, bits([0, 0, 0, 0, 0, 0, 0, 0, 0]), 5)).toBeUndefined();
});
