// @vitest-environment happy-dom
import { currencies } from "@onsale/kit/currencies";
import { describe, expect, it } from "vitest";
import { money, roundMoney } from "./format.js";

const languages = ["en", "de", "fr", "ar-u-nu-latn"];
const plain = (text: string) => text.replace(/[\u00a0\u202f]/g, " ");

describe("money", () => {
  it.each([
    [990_000, "ISK", "en", "ISK 9,900"],
    [990_000, "ISK", "de", "9.900 ISK"],
    [5_000_000, "UGX", "en", "UGX 50,000"],
    [1_500_000, "HUF", "en", "HUF 15,000.00"],
    [4_950, "JPY", "en", "¥4,950"],
    [12_500, "KWD", "en", "KWD 12.500"],
    [150_000_000, "IDR", "en", "IDR 1,500,000.00"],
    [4_950, "EUR", "fr", "49,50 €"],
    [990_050, "ISK", "en", "ISK 9,900.50"],
  ])("%d of %s is shown to %s as %s", (amount, currency, language, text) => {
    expect(plain(money(amount, currency, language))).toBe(text);
  });

  it("without its zeros in ranges", () => {
    expect(["EUR", "KWD", "HUF", "ISK"].map((code) => plain(roundMoney(50_000, code, "en")))).toEqual([
      "€500",
      "KWD 50",
      "HUF 500",
      "ISK 500",
    ]);
    expect(roundMoney(4_950, "EUR", "en")).toBe("€49.50");
  });
});

describe("the digits", () => {
  // An ICU has others for a dozen of these, HUF and IDR among them, and which ones depends on its version.
  it("are ours in every currency and language", () => {
    for (const { code, decimals, exponent, least, step } of currencies.values())
      for (const language of languages) {
        const shown = money(least + step, code, language);
        const digits = String((least + step) / 10 ** (exponent - decimals)).padStart(decimals + 1, "0");
        expect(shown.replace(/\D/g, ""), `${code} in ${language}: ${shown}`).toBe(digits);
      }
  });
});
