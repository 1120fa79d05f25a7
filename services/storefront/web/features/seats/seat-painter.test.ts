// What tells prices apart on the map without colour: a shape each, and where it is strewn over sections seen from afar.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { strewn, tierColours, tierShape } from "./seat-painter.js";

describe("the shapes of prices", () => {
  it("are another for each colour, so that neither two look the same to who sees only one of both", () => {
    const shapes = tierColours.map((_, tier) => JSON.stringify(tierShape(tier)));
    expect(new Set(shapes).size).toBe(tierColours.length);
    // The next round begins with the first again, both together.
    expect(tierShape(tierColours.length)).toEqual(tierShape(0));
  });

  it("are seen on each section at least once, whole and apart from each other, however far away it is", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 6, max: 4_000, noNaN: true }),
        fc.double({ min: 6, max: 3_000, noNaN: true }),
        (w, h) => {
          const { at, size } = strewn(w, h);
          expect(at.length).toBeGreaterThan(0);
          expect(size).toBeGreaterThanOrEqual(3);
          expect(at.every(([x, y]) => Math.min(x, w - x, y, h - y) >= size / 2)).toBe(true);
          // In order, so that neighbours are the nearest ones.
          const apart = at
            .slice(1)
            .map(([x, y], before) => Math.hypot(x - (at[before]?.[0] ?? 0), y - (at[before]?.[1] ?? 0)));
          expect(apart.every((distance) => distance >= 1.5 * size)).toBe(true);
          // Seats stay what one sees most.
          expect(at.length * size * size).toBeLessThan(0.3 * w * h);
        },
      ),
    );
  });
});
