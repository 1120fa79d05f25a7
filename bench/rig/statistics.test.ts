import { describe, expect, it } from "vitest";
import { median, medianRatio, percentile, shown, times } from "./statistics.js";

describe("statistics", () => {
  it("take the middle, whatever the order", () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(percentile([10, 20, 30, 40, 50], 99)).toBeCloseTo(49.6);
    expect(percentile([7], 99)).toBe(7);
    expect(median([])).toBeNaN();
  });

  it("compare the sides of each round, and leave out rounds that have no other side", () => {
    expect(medianRatio([10, 40, 90], [5, 10, 30])).toBe(3);
    expect(medianRatio([10, 40], [0, 10])).toBe(4);
  });

  it("write three figures that count", () => {
    expect([12.345, 0.012345, 1234.5, 99.95, 0, Number.NaN].map(shown)).toEqual([
      "12.3",
      "0.0123",
      "1,235",
      "100",
      "0",
      "-",
    ]);
    expect([3.25, 32.5].map(times)).toEqual(["3.25×", "32.5×"]);
  });
});
