// The table of currencies against what ISO 4217 and Stripe's documentation say, written down here once more by hand.
import { describe, expect, it, test } from "vitest";
import { chargeFault, currencies, digitsToShow, minorPerUnit, mostInAny, priceFault } from "./currencies.js";

const of = (code: string) => {
  const currency = currencies.get(code);
  if (!currency) throw new Error(`${code} is not in the table`);
  return currency;
};
const codesWith = (field: "decimals" | "exponent", value: number) =>
  [...currencies.values()].filter((currency) => currency[field] === value).map(({ code }) => code);

describe("the table", () => {
  it("has each currency once, with bounds that some amount keeps", () => {
    expect(currencies.size).toBeGreaterThan(125);
    expect([...currencies.keys()]).toEqual([...currencies.keys()].sort());
    for (const [key, currency] of currencies) {
      const { code, decimals, exponent, step, least, most } = currency;
      expect(key).toBe(code);
      expect(code).toMatch(/^[A-Z]{3}$/);
      expect(decimals, code).toBeLessThanOrEqual(exponent);
      for (const number of [step, least, most]) expect(Number.isSafeInteger(number), code).toBe(true);
      // A seat can be sold at the least, and five of them in one basket.
      expect(priceFault(least, 5, currency), code).toBeUndefined();
      expect(chargeFault(most, currency), code).toBeUndefined();
      expect(chargeFault(least - step, currency), code).toEqual({ reason: "too small", least });
      expect(chargeFault(most + step, currency), code).toEqual({ reason: "too large", most });
    }
  });

  it("leaves out what ISO 4217 has withdrawn and what Stripe does not take", () => {
    for (const code of ["CUP", "IRR", "KPW", "SYP", "HRK", "BGN", "ANG", "VEF", "STD", "XAU", "XTS", "eur", ""])
      expect(currencies.has(code), code).toBe(false);
  });

  it("has Stripe's zero-decimal and three-decimal currencies, and its special cases", () => {
    const zero = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split(" ");
    expect(codesWith("exponent", 0)).toEqual(zero);
    expect(codesWith("decimals", 0)).toEqual([...zero, "ISK", "UGX"].sort());
    const three = ["BHD", "JOD", "KWD", "OMR", "TND"];
    expect(codesWith("exponent", 3)).toEqual(three);
    expect(codesWith("decimals", 3)).toEqual(three);
    for (const { code, step } of currencies.values())
      expect(step, code).toBe(code === "ISK" || code === "UGX" ? 100 : three.includes(code) ? 10 : 1);
  });

  test.each([
    ["USD", 50, 99_999_999],
    ["EUR", 50, 99_999_999],
    ["GBP", 30, 99_999_999],
    ["HUF", 17_500, 99_999_999],
    ["CZK", 1_500, 99_999_999],
    ["AED", 200, 99_999_999],
    ["DKK", 250, 99_999_999],
    ["MXN", 1_000, 99_999_999],
    ["JPY", 50, 99_999_999],
    ["IDR", 2_000_000, 999_999_999_999],
    ["COP", 500_000, 9_999_999_999],
    ["INR", 10_000, 999_999_999],
    ["ISK", 20_000, 99_999_900],
    ["KWD", 500, 99_999_990],
  ])("%s can be charged from %d to %d", (code, least, most) => {
    expect(of(code)).toMatchObject({ least, most });
    expect(most).toBeLessThanOrEqual(mostInAny);
  });

  it("asks for no less than Stripe does in any currency in which it names a minimum", () => {
    const named = {
      ...{ USD: 0.5, AED: 2, ARS: 0.5, AUD: 0.5, BRL: 0.5, CAD: 0.5, CHF: 0.5, COP: 0.5, CZK: 15, DKK: 2.5, EUR: 0.5 },
      ...{ GBP: 0.3, HKD: 4, HUF: 175, IDR: 0.5, ILS: 0.5, INR: 0.5, JPY: 50, KRW: 50, MXN: 10, MYR: 2, NOK: 3 },
      ...{ NZD: 0.5, PHP: 0.5, PLN: 2, RON: 2, RUB: 0.5, SEK: 3, SGD: 0.5, THB: 10, ZAR: 0.5 },
    };
    for (const [code, units] of Object.entries(named))
      expect(of(code).least, code).toBeGreaterThanOrEqual(Math.round(units * minorPerUnit(code)));
  });
});

describe("an amount", () => {
  it("must be whole where the currency has no smaller part", () => {
    expect(chargeFault(990_050, of("ISK"))).toEqual({ reason: "uneven", step: 100 });
    expect(chargeFault(1_005, of("KWD"))).toEqual({ reason: "uneven", step: 10 });
    expect(chargeFault(49.5, of("EUR"))).toEqual({ reason: "uneven", step: 1 });
    expect(chargeFault(1_010, of("KWD"))).toBeUndefined();
    expect(chargeFault(1_500_001, of("HUF"))).toBeUndefined();
  });

  it("is a price when a full basket can be charged too", () => {
    expect(priceFault(20_000_000, 4, of("EUR"))).toBeUndefined();
    expect(priceFault(20_000_000, 5, of("EUR"))).toEqual({ reason: "basket too large", pieces: 5, most: 99_999_999 });
    expect(priceFault(150_000_000, 8, of("IDR"))).toBeUndefined();
  });

  it("is shown with the currency's digits, and never without a fraction that it has", () => {
    expect([digitsToShow(990_000, "ISK"), digitsToShow(990_050, "ISK"), digitsToShow(5, "JPY")]).toEqual([0, 2, 0]);
    expect([digitsToShow(1_000, "KWD"), digitsToShow(15_000, "HUF"), digitsToShow(100, "CUP")]).toEqual([3, 2, 2]);
  });
});
