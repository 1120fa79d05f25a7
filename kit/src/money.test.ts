// Money: whole minor units, and how operators see them.
import { expect, test } from "vitest";
import { addAmounts, formatMoney } from "./money.js";

test("amounts add up exactly, or not at all", () => {
  expect(addAmounts([])).toBe(0);
  expect(addAmounts([4950, -50, 1])).toBe(4901);
  for (const amounts of [[Number.MAX_SAFE_INTEGER, 1], [0.1, 0.2], [Number.NaN], [Number.POSITIVE_INFINITY]])
    expect(() => addAmounts(amounts)).toThrow(RangeError);
});

test.each([
  [4950, "EUR", "EUR 49.50"],
  [4950, "JPY", "JPY 4950"],
  [4950, "KWD", "KWD 4.950"],
  [-5, "USD", "USD -0.05"],
  [0, "EUR", "EUR 0.00"],
])("%d of %s is %s", (amount, currency, text) => {
  expect(formatMoney({ amount, currency })).toBe(text);
});
