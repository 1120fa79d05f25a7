import { describe, expect, it } from "vitest";
import { organiserGerman } from "./de.js";
import { organiserEnglish } from "./en.js";
import { organiserFrench } from "./fr.js";

const placeholders = (message: string): string[] =>
  [...message.matchAll(/\{(\w+)/g)].map((match) => match[1] ?? "").sort();

describe("the organiser's messages", () => {
  it.each([
    ["de", organiserGerman],
    ["fr", organiserFrench],
  ])("%s says all that English says, with the same values", (_, messages) => {
    expect(Object.keys(messages).sort()).toEqual(Object.keys(organiserEnglish).sort());
    const odd = Object.entries(organiserEnglish).filter(
      ([key, message]) =>
        placeholders(message).join() !== placeholders(messages[key as keyof typeof organiserEnglish]).join(),
    );
    expect(odd.map(([key]) => key)).toEqual([]);
  });
});
