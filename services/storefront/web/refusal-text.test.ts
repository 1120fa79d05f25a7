// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";
import { ApiError } from "./api/client.js";
import { german } from "./messages/de.js";
import { english } from "./messages/en.js";
import { fill } from "./messages/fill.js";
import { declineText, refusalText } from "./refusal-text.js";
import type { Text } from "./text.js";

const textIn = (language: "en" | "de", messages: typeof german): Text =>
  Object.assign((key: keyof typeof german, values = {}) => fill(messages[key], values, language), {
    language,
    locale: language,
  });
const en = textIn("en", english);
const de = textIn("de", german);
const berlin = { name: "Hall", city: "Berlin", country: "DE", timeZone: "Europe/Berlin" };
const refused = (code: string, details = {}, message = "The API's words.") =>
  new ApiError(409, code, message, false, { code, ...details });

describe("what a refusal means", () => {
  it("is said in the reader's language, with its facts", () => {
    expect(refusalText(en, refused("SEAT_LIMIT_EXCEEDED", { limit: 8 }))).toContain("at most 8 seats");
    expect(refusalText(de, refused("SEAT_LIMIT_EXCEEDED", { limit: 8 }))).toContain("höchstens 8 Plätze");
  });

  it("has times at the venue", () => {
    const told = refusalText(en, refused("CHANNEL_NOT_OPEN", { opensAt: "2027-05-01T18:00:00.000Z" }), berlin);
    expect(told).toMatch(/8:00\sPM/);
  });

  it("is the API's own sentence where that says more, and where nothing is known", () => {
    expect(refusalText(en, refused("PASSWORD_WEAK", {}, "It needs at least 10."))).toBe("It needs at least 10.");
    expect(refusalText(de, refused("PASSWORD_WEAK", {}, "It needs at least 10."))).toContain("zu leicht zu erraten");
    expect(refusalText(de, refused("SOMETHING_NEW"))).toBe("The API's words.");
    expect(refusalText(de, refused("SOMETHING_NEW", {}, ""))).toBe(german.refusalUnavailable);
  });

  it("of a card says no more than the bank does", () => {
    expect(declineText(de, { code: "insufficient_funds", message: "…" })).toBe(german.declinedFunds);
    expect(declineText(de, { code: "generic_decline", message: "…" })).toBe(german.declinedBank);
    expect(declineText(en, { code: "expired_card", message: "The card has expired." })).toBe("The card has expired.");
  });
});
