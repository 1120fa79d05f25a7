import { expect, it, test } from "vitest";
import { amountInWords, checkAmount, checkPart, currency } from "./amounts.js";
import { StripeFailure } from "./failures.js";

const refusalOf = (act: () => unknown) => {
  try {
    act();
  } catch (error) {
    if (error instanceof StripeFailure) return error.error;
    throw error;
  }
  return undefined;
};

// What docs.stripe.com/currencies says, currency by currency.
test.each([
  [49, "eur", "amount_too_small"],
  [50, "eur", undefined],
  [99_999_999, "eur", undefined],
  [100_000_000, "eur", "amount_too_large"],
  [40, "jpy", "amount_too_small"],
  [50, "jpy", undefined],
  [15_000, "huf", "amount_too_small"],
  [1_500_000, "huf", undefined],
  [1_500_045, "huf", undefined],
  [990_000, "isk", undefined],
  [990_050, "isk", "parameter_invalid_integer"],
  [5_000_000, "ugx", undefined],
  [5_000_001, "ugx", "parameter_invalid_integer"],
  [5_120, "kwd", undefined],
  [5_124, "kwd", "parameter_invalid_integer"],
  [999_999_999_999, "idr", undefined],
  [1_000_000_000_000, "idr", "amount_too_large"],
])("%d %s is refused with %s", (amount, code, refusal) => {
  expect(refusalOf(() => checkAmount(amount, code))?.code).toBe(refusal);
});

test("a part of a charge may be small, but not smaller than its currency allows", () => {
  expect(refusalOf(() => checkPart(1, "eur", "amount"))).toBeUndefined();
  expect(refusalOf(() => checkPart(100, "isk", "amount"))).toBeUndefined();
  expect(refusalOf(() => checkPart(50, "isk", "amount"))).toMatchObject({ param: "amount" });
  expect(refusalOf(() => checkPart(5, "bhd", "amount_to_capture"))).toMatchObject({ param: "amount_to_capture" });
});

test("a currency that is not charged is refused by name", () => {
  expect([currency("ISK", "currency"), currency("kwd", "currency")]).toEqual(["isk", "kwd"]);
  expect(refusalOf(() => currency("cup", "currency"))).toMatchObject({
    param: "currency",
    message: expect.stringMatching(/^Invalid currency: cup\. Stripe currently supports these currencies: aed, afn, /),
  });
});

it("says amounts with the digits that a currency has", () => {
  expect(
    [
      [1050, "usd"],
      [500, "jpy"],
      [1234567, "eur"],
      [990_000, "isk"],
      [5_120, "kwd"],
      [1_500_000, "huf"],
    ].map(([minor, code]) => amountInWords(Number(minor), String(code)).replace(/\u00a0/g, " ")),
  ).toEqual(["$10.50", "¥500", "€12,345.67", "ISK 9,900", "KWD 5.120", "HUF 15,000.00"]);
});
