import { describe, expect, it } from "vitest";
import { behaviourOf, brandOf, cardOfName, luhn, readCard, testCardNames, testCardNumbers } from "./cards.js";
import { StripeFailure } from "./failures.js";

const now = Date.UTC(2026, 10, 24);
const typed = (number: string, more: object = {}) => readCard({ number, expMonth: 12, expYear: 2030, ...more }, now);

describe("test cards", () => {
  it("have good check digits, a known brand, and a behaviour", () => {
    expect(new Set(testCardNumbers).size).toBe(testCardNumbers.length);
    for (const number of testCardNumbers) {
      expect(luhn(number), number).toBe(true);
      expect(brandOf(number), number).not.toBe("unknown");
      const card = typed(number);
      expect(card).not.toBeInstanceOf(StripeFailure);
      if (!(card instanceof StripeFailure)) expect(behaviourOf(card).authentication).toBeDefined();
    }
  });

  it("are known by number and by name as the same card", () => {
    const named = cardOfName("pm_card_chargeDeclined", "pm_card_", now)!;
    const numbered = typed("4000 0000 0000 0002");
    expect(numbered).toMatchObject({ key: named.key, last4: "0002", fingerprint: named.fingerprint });
    expect(cardOfName("tok_visa", "tok_", now)).toMatchObject({ brand: "visa", expYear: 2027 });
    for (const name of testCardNames) expect(cardOfName(`pm_card_${name}`, "pm_card_", now), name).toBeDefined();
    for (const id of ["pm_card_", "pm_card_nobody", "tok_visa", "visa", "pm_card___proto__"])
      expect(cardOfName(id, "pm_card_", now), id).toBeUndefined();
  });

  it("leave nothing of the number but its last four digits", () => {
    const kept = JSON.stringify(typed("4242424242424242", { cvc: "987" }));
    expect(kept).not.toContain("42424");
    expect(kept).not.toContain("987");
  });

  it.each([
    [{ expMonth: 10, expYear: 2026 }, "invalid_expiry_month"],
    [{ expMonth: 0 }, "invalid_expiry_month"],
    [{ expYear: 2025 }, "invalid_expiry_year"],
    [{ expYear: 2099 }, "invalid_expiry_year"],
    [{ cvc: "12" }, "invalid_cvc"],
    [{ cvc: "1234" }, "invalid_cvc"],
  ])("%j is refused as %s", (more, code) => {
    expect(typed("4242424242424242", more)).toMatchObject({ status: 402, error: { code, type: "card_error" } });
  });

  it("may expire this month, and in two digits", () => {
    expect(typed("4242424242424242", { expMonth: 11, expYear: 26 })).toMatchObject({ expYear: 2026 });
    expect(typed("378282246310005", { cvc: "1234" })).toMatchObject({ brand: "amex" });
  });
});
