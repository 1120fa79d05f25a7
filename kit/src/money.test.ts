// Money: whole minor units, how operators see them, and what was typed.
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { currencies, priceFault } from "./currencies.js";
import { addAmounts, formatMoney, readAmount, tellPriceFault, writeAmount } from "./money.js";

test("amounts add up exactly, or not at all", () => {
  expect(addAmounts([])).toBe(0);
  expect(addAmounts([4950, -50, 1])).toBe(4901);
  for (const amounts of [[Number.MAX_SAFE_INTEGER, 1], [0.1, 0.2], [Number.NaN], [Number.POSITIVE_INFINITY]])
    expect(() => addAmounts(amounts)).toThrow(RangeError);
});

test.each([
  [4950, "EUR", "EUR 49.50"],
  [123_456_789, "EUR", "EUR 1,234,567.89"],
  [4950, "JPY", "JPY 4,950"],
  [4950, "KWD", "KWD 4.950"],
  [1_234_560, "KWD", "KWD 1,234.560"],
  [990_000, "ISK", "ISK 9,900"],
  [990_050, "ISK", "ISK 9,900.50"],
  [5_000_000, "UGX", "UGX 50,000"],
  [1_500_000, "HUF", "HUF 15,000.00"],
  [999_999_999_999, "IDR", "IDR 9,999,999,999.99"],
  [250, "CUP", "CUP 2.50"],
  [-5, "USD", "USD -0.05"],
  [-123_456, "USD", "USD -1,234.56"],
  [0, "EUR", "EUR 0.00"],
])("%d of %s is %s", (amount, currency, text) => {
  expect(formatMoney({ amount, currency })).toBe(text);
});

describe("what is typed", () => {
  it("is read in the currency's own digits", () => {
    expect(["9900", " 9900 ", "9900.0", "9,900", "9900,00"].map((text) => readAmount(text, "ISK"))).toEqual([
      990_000,
      990_000,
      ...Array(3).fill(undefined),
    ]);
    expect(["49.50", "49,5", "49", "0"].map((text) => readAmount(text, "EUR"))).toEqual([4950, 4950, 4900, 0]);
    expect(["1.25", "1.250", "1,005"].map((text) => readAmount(text, "KWD"))).toEqual([1250, 1250, 1005]);
    expect(["15000", "15000.00"].map((text) => readAmount(text, "HUF"))).toEqual([1_500_000, 1_500_000]);
    for (const text of ["", "-1", "1e3", "1.500,00", "1 000", ".5", "1."])
      expect(readAmount(text, "KWD")).toBe(undefined);
  });

  it("is the same again when it is written, in every currency", () => {
    for (const { code, step, least, most } of currencies.values())
      fc.assert(
        fc.property(fc.integer({ min: least / step, max: (most - (most % step)) / step }), (steps) => {
          const amount = steps * step;
          expect(readAmount(writeAmount(amount, code), code)).toBe(amount);
          expect(readAmount(formatMoney({ amount, currency: code }).slice(4).replaceAll(",", ""), code)).toBe(amount);
        }),
        { numRuns: 50 },
      );
  });

  it("is refused as a price in words that say what would do", () => {
    const told = (price: number, code: string, pieces = 8) => {
      const currency = currencies.get(code);
      const fault = currency && priceFault(price, pieces, currency);
      return fault && tellPriceFault(fault, code);
    };
    expect(told(25, "EUR")).toMatch(/^is less than EUR 0\.50 \(50 in minor units\)/);
    expect(told(40, "JPY")).toMatch(/^is less than JPY 50 /);
    expect(told(1_005, "KWD")).toMatch(/^must be a multiple of 10, which is KWD 0\.010/);
    expect(told(50, "ISK")).toMatch(/^must be a multiple of 100, which is ISK 1:/);
    expect(told(100_000_000, "EUR")).toMatch(/^is more than EUR 999,999\.99 /);
    expect(told(50_000_000, "EUR", 2)).toMatch(/^is too much: 2 of them would cost more than EUR 999,999\.99/);
    expect(told(50, "EUR")).toBeUndefined();
  });
});
