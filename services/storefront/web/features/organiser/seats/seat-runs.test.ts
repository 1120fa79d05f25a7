// @vitest-environment happy-dom
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { roundAbove } from "../sale/charts.js";
import { seatRuns } from "./seat-runs.js";

describe("runs of seats", () => {
  it("put neighbours together, and nobody else", () => {
    const short = seatRuns(["A-C-3", "A-C-1", "A-C-2", "A-C-5", "A-D-6", "B-C-4"]).map(
      ({ section, row, from, to }) => `${section}${row}${from}-${to}`,
    );
    expect(short).toEqual(["AC1-3", "AC5-5", "AD6-6", "BC4-4"]);
  });

  it("have each seat once, whatever the order", () => {
    const seat = fc.tuple(fc.constantFrom("A", "B"), fc.constantFrom("A", "AA"), fc.integer({ min: 1, max: 30 }));
    fc.assert(
      fc.property(fc.uniqueArray(seat.map((parts) => parts.join("-"))), (ids) => {
        const runs = seatRuns(ids);
        expect(runs.flatMap(({ seats }) => seats).sort()).toEqual([...ids].sort());
        for (const { from, to, seats } of runs) expect(seats).toHaveLength(to - from + 1);
      }),
    );
  });
});

describe("the upper end of a chart", () => {
  it("is a round number that nothing is above", () => {
    expect([0, 1, 2, 3, 7, 11, 50, 51, 4950].map(roundAbove)).toEqual([1, 1, 2, 5, 10, 20, 50, 100, 5000]);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000_000_000 }), (value) => {
        expect(roundAbove(value)).toBeGreaterThanOrEqual(value);
        expect(roundAbove(value)).toBeLessThanOrEqual(value * 2.5);
      }),
    );
  });
});
