// A decline is told in words a buyer can use, and never says more than Stripe allows.
import { describe, expect, it } from "vitest";
import { tellDecline } from "./declines.js";

describe("tellDecline", () => {
  it("says what to do about a decline that the buyer can mend", () => {
    expect(tellDecline("insufficient_funds")).toEqual({
      code: "insufficient_funds",
      message: "There is not enough money on the card. Please use another card.",
    });
    expect(tellDecline("incorrect_cvc").message).toContain("security code");
  });
  it.each(["lost_card", "stolen_card", "fraudulent", "pickup_card", "merchant_blacklist"])(
    "does not tell that a card is %s",
    (code) => {
      expect(tellDecline(code)).toEqual(tellDecline("generic_decline"));
    },
  );
  it.each(["", "a_code_of_next_year", "constructor", "__proto__"])("has general words for %j", (code) => {
    expect(tellDecline(code).message).toContain("declined, and nothing was charged");
  });
});
