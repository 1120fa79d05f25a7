// @vitest-environment happy-dom
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { ApiError } from "./api/client.js";
import { messagesOf } from "./features/organiser/organiser-text.js";
import { german } from "./messages/de.js";
import { english } from "./messages/en.js";
import { fill } from "./messages/fill.js";
import { french } from "./messages/fr.js";
import { declineText, meanings, refusalText, wordier } from "./refusal-text.js";
import type { Language, Text } from "./text.js";

const textIn = (language: Language, messages: typeof german): Text =>
  Object.assign((key: keyof typeof german, values = {}) => fill(messages[key], values, language), {
    language,
    locale: language,
  });
const en = textIn("en", english);
const de = textIn("de", german);
const fr = textIn("fr", french);
const berlin = { name: "Hall", city: "Berlin", country: "DE", timeZone: "Europe/Berlin" };
const refused = (code: string, details = {}, message = "The API's words.") =>
  new ApiError(409, code, message, false, { code, ...details });

/** Every code that openapi.json names, and whether only organisers and operators can meet it. */
function codesOfTheApi(): ReadonlyMap<string, { readonly organisersOnly: boolean }> {
  const file = join(fileURLToPath(import.meta.url), "../../../gateway/openapi.json");
  const document = JSON.parse(readFileSync(file, "utf8")) as {
    paths: Record<string, Record<string, { description?: string; responses: Record<string, { description: string }> }>>;
  };
  const codes = new Map<string, { organisersOnly: boolean }>();
  for (const [path, operations] of Object.entries(document.paths)) {
    if (path.startsWith("/v1/webhooks/")) continue; // Stripe reads those
    for (const { description, responses } of Object.values(operations)) {
      const organisers = path.startsWith("/v1/organiser/") || description?.includes("Needs the role ") === true;
      for (const { description: says } of Object.values(responses))
        for (const [, code = ""] of says.matchAll(/^- `([A-Z_]+)`/gm))
          codes.set(code, {
            // A buyer who goes where organisers go meets that one.
            organisersOnly: organisers && code !== "ROLE_REQUIRED" && (codes.get(code)?.organisersOnly ?? true),
          });
    }
  }
  return codes;
}

/** As much as a refusal can tell. */
const allFacts = {
  seats: ["A-A-1", "A-A-2"],
  orphans: ["A-A-3"],
  alternative: ["A-B-1"],
  section: "X",
  sections: ["X"],
  free: 3,
  largestGroup: 2,
  limit: 8,
  has: 2,
  most: 100,
  positions: [0, 4],
  channels: [{ channelId: "c", name: "Fans", problem: "…" }],
  problems: [{ at: "sections[0]", problem: "…" }],
  errors: [{ in: "body" as const, pointer: "/email", detail: "…" }],
  opensAt: "2027-05-01T18:00:00.000Z",
  onSaleAt: "2027-05-01T18:00:00.000Z",
  refundableUntil: "2027-05-01T18:00:00.000Z",
  retryAfterSeconds: 30,
  requestId: "req_1",
};

/** What these always tell; their sentences need it. */
const always: Readonly<Record<string, readonly (keyof typeof allFacts)[]>> = {
  SEAT_LIMIT_EXCEEDED: ["limit"],
  CODE_LIMIT_EXCEEDED: ["limit"],
  CHANNEL_NOT_OPEN: ["opensAt"],
  SALE_NOT_OPEN: ["onSaleAt"],
  SEATS_ALLOCATED: ["seats"],
  SEATS_BLOCKED: ["seats"],
  BLOCKED_BY_LAYOUT: ["seats"],
  CHANNEL_LIMIT_REACHED: ["most"],
  CHANNEL_IN_THE_WAY: ["channels"],
};

describe("every refusal in the API's document", () => {
  const codes = codesOfTheApi();
  beforeAll(async () => {
    await Promise.all((["en", "de", "fr"] as const).map(messagesOf));
  });

  it("is one that the pages know, and they know no other", () => {
    expect(codes.size).toBeGreaterThan(50);
    const buyers = [...codes].filter(([, { organisersOnly }]) => !organisersOnly).map(([code]) => code);
    expect(Object.keys(meanings).sort()).toEqual(buyers.sort());
  });

  it.each([
    ["en", en],
    ["de", de],
    ["fr", fr],
  ] as const)("has its sentence in %s, with facts and without", (language, text) => {
    const faults: string[] = [];
    for (const [code, { organisersOnly }] of codes)
      for (const details of [
        Object.fromEntries((always[code] ?? []).map((name) => [name, allFacts[name]])),
        allFacts,
      ]) {
        // In English the API's own words are good, where they say more.
        const own = language === "en" && (organisersOnly || wordier.has(code));
        const told = refusalText(text, refused(code, details), berlin);
        if (own !== (told === "The API's words.")) faults.push(`${code}: ${told}`);
        // A sentence that ends, has no place left empty, and no word that is none.
        const facts = details === allFacts;
        if (!/[.!…]$/.test(told) && !told.startsWith(text("eventCancelled")))
          faults.push(`${code} does not end: ${told}`);
        if (/[{}]|undefined|NaN|null|\[object| {2}|^[:,.;]/.test(told)) faults.push(`${code} has a hole: ${told}`);
        if (facts && /:\s*[.;]|“”/.test(told)) faults.push(`${code} tells nothing: ${told}`);
        // Without the API's words there is still something to read.
        expect(refusalText(text, refused(code, details, "")).length, code).toBeGreaterThan(10);
      }
    expect(faults).toEqual([]);
  });

  it("keeps the facts that the API gave", () => {
    const said = (code: string, facts: object = allFacts) => refusalText(de, refused(code, facts), berlin);
    expect(said("SEAT_TAKEN")).toBe("A-A-1, A-A-2: Jemand war schneller. Bitte wähle andere.");
    expect(said("SEAT_TAKEN", { ...allFacts, own: ["A-A-2"] })).toMatch(/^A-A-2: Die hast du schon/);
    expect(said("SEAT_ORPHANED")).toContain("A-A-3");
    expect(said("SEAT_ORPHANED")).toContain("A-B-1");
    expect(said("SEAT_LIMIT_EXCEEDED")).toMatch(/8.*2/);
    expect(said("SEAT_LIMIT_EXCEEDED", { limit: 8, has: 0 })).not.toContain("schon");
    expect(said("CODE_LIMIT_EXCEEDED")).toMatch(/8.*6/);
    expect(said("NOT_ENOUGH_SEATS")).toContain("höchstens 2 Plätze");
    expect(said("NOT_ENOUGH_SEATS", { free: 1 })).toContain("ist ein Platz frei");
    expect(said("NOT_ENOUGH_SEATS", { free: 9, largestGroup: 4, accessibleFree: 0 })).toContain("dort: 0.");
    expect(said("RATE_LIMITED")).toContain("30 Sekunden");
    expect(said("TOO_MANY_ATTEMPTS", { retryAfterSeconds: 301 })).toContain("6 Minuten");
    expect(said("REQUEST_INVALID")).toContain("E-Mail");
    expect(said("REQUEST_INVALID", { errors: [{ in: "body", pointer: "/seats/3", detail: "" }] })).toContain("seats");
    expect(said("REFUND_NOT_ALLOWED")).toContain("20:00");
    expect(said("INTERNAL")).toContain("req_1");
    expect(said("SEATS_BLOCKED")).toContain("A-A-1, A-A-2");
    expect(said("CHANNEL_IN_THE_WAY")).toContain("Fans");
    expect(said("CODE_DUPLICATE")).toContain("1 und 5");
    expect(said("LAYOUT_INVALID")).toContain("sections[0]");
  });
});

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
