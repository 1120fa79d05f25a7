import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StripeFailure } from "./failures.js";
import type { Payment } from "./payment-intents.js";
import { matchesSearch, parseSearch } from "./search.js";

const payment = {
  id: "pi_1",
  amount: 1000,
  currency: "eur",
  created: 500,
  status: "requires_capture",
  metadata: { key: 'It\'s "here" \\', empty: "" },
} as unknown as Payment;
const found = (query: string) => matchesSearch(parseSearch(query), payment);

describe("search", () => {
  it.each([
    ["status:'requires_capture'", true],
    ["status:'succeeded'", false],
    ["-status:'succeeded'", true],
    ['currency:"EUR"', true],
    ["amount:1000", true],
    ["amount>999 AND amount<1001", true],
    ["amount>=1000 created<=500", true],
    ["amount>1000 OR created:500", true],
    [`metadata['key']:"It's \\"here\\" \\\\"`, true],
    [`metadata["key"]~'HERE'`, true],
    ["metadata['none']:null", true],
    ["metadata['key']:null", false],
    ["-metadata['key']:null", true],
    ["metadata['none']:'x'", false],
    ["customer:'cus_1'", false],
  ])("%s is %s", (query, expected) => {
    expect(found(query)).toBe(expected);
  });

  it("refuses the rest, and never with anything but a 400", () => {
    for (const query of [
      "",
      "status",
      "status:requires_capture",
      "amount:'a'",
      "status>'a'",
      "metadata:'a'",
      "amount~1",
      "a:'b' AND",
    ])
      expect(() => parseSearch(query), query).toThrow(StripeFailure);
    expect(() => parseSearch(Array.from({ length: 11 }, () => "amount:1").join(" AND "))).toThrow("up to 10");
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), (query) => {
        try {
          parseSearch(query);
        } catch (error) {
          expect(error).toMatchObject({ status: 400, error: { param: "query" } });
        }
      }),
    );
  });
});
