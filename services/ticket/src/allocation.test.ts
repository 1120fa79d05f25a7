// Amounts shared among seats: to the last minor unit, fairly, and the same way each time.
import fc from "fast-check";
import { expect, it } from "vitest";
import { share } from "./allocation.js";

it("shares in proportion, the largest remainders first", () => {
  expect(share(100, [1, 1, 1])).toEqual([34, 33, 33]);
  expect(share(600, [4950, 1050])).toEqual([495, 105]);
  expect(share(1, [0, 5])).toEqual([0, 1]);
  expect(share(0, [7, 9])).toEqual([0, 0]);
  expect(share(9_000_000_000_000_000, [1, 2])).toEqual([3_000_000_000_000_000, 6_000_000_000_000_000]);
});

it("adds up to the amount, and gives nobody more than its weight while the weights suffice", () => {
  const weights = fc.array(fc.integer({ min: 0, max: 1_000_000 }), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(weights, fc.nat(2_000_000), (given, amount) => {
      const parts = share(amount, given);
      expect(parts.reduce((sum, part) => sum + part, 0)).toBe(amount);
      const all = given.reduce((sum, weight) => sum + weight, 0);
      for (const [at, part] of parts.entries()) {
        expect(part).toBeGreaterThanOrEqual(0);
        if (amount <= all) expect(part).toBeLessThanOrEqual(given[at] ?? 0);
      }
    }),
  );
});
