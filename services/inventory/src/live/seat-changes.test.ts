import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mapBytes, type SeatState, setState } from "../hall/seat-map.js";
import { outgrowsMap, runsBetween, withRuns } from "./seat-changes.js";

const mapOf = (states: readonly number[]): Uint8Array => {
  const map = new Uint8Array(mapBytes(states.length));
  for (const [at, state] of states.entries()) setState(map, at, state as SeatState);
  return map;
};

describe("runs between two maps", () => {
  it("names seats that changed, side by side and of one state, as one run", () => {
    const before = mapOf([0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    const after = mapOf([0, 1, 1, 1, 0, 0, 2, 1, 0, 3]);
    expect(runsBetween(before, after, 10)).toEqual([1, 3, 1, 2, 1, 2, 0, 1, 1, 1, 1, 3]);
  });

  it("has none when nothing changed, and does not look at what is left of the last byte", () => {
    const map = mapOf([1, 2, 3]);
    expect(runsBetween(map, Uint8Array.from(map), 3)).toEqual([]);
    const padded = Uint8Array.from(map);
    padded[0] = (padded[0] as number) | 0b11000000;
    expect(runsBetween(map, padded, 3)).toEqual([]);
  });

  it("makes the one map the other, whatever both are, with the fewest runs", () => {
    const pair = fc
      .integer({ min: 0, max: 300 })
      .chain((seats) =>
        fc.tuple(
          fc.array(fc.integer({ min: 0, max: 3 }), { minLength: seats, maxLength: seats }),
          fc.array(fc.integer({ min: 0, max: 3 }), { minLength: seats, maxLength: seats }),
        ),
      );
    fc.assert(
      fc.property(pair, ([before, after]) => {
        const runs = runsBetween(mapOf(before), mapOf(after), before.length);
        expect(withRuns(mapOf(before), runs, before.length)).toEqual(mapOf(after));
        const changed = after.map((state, at) => (state === before[at] ? undefined : state));
        const begins = changed.filter((state, at) => state !== undefined && changed[at - 1] !== state).length;
        expect(runs.length / 3).toBe(begins);
      }),
      { numRuns: 300 },
    );
  });

  it("does not change the map that it is given, and refuses a run that lies outside", () => {
    const map = mapOf([0, 0, 0, 0, 0]);
    withRuns(map, [0, 5, 2], 5);
    expect(map).toEqual(mapOf([0, 0, 0, 0, 0]));
    expect(() => withRuns(map, [4, 2, 1], 5)).toThrow(RangeError);
  });

  it("knows when the whole map is the shorter message", () => {
    expect(
      outgrowsMap(
        Array.from({ length: 3 * 2_000 }, () => 1),
        60_000,
      ),
    ).toBe(false);
    expect(
      outgrowsMap(
        Array.from({ length: 3 * 3_000 }, () => 1),
        60_000,
      ),
    ).toBe(true);
    expect(outgrowsMap([0, 1, 1], 4)).toBe(false);
  });
});
