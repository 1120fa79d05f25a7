import { describe, expect, it } from "vitest";
import { german } from "./de.js";
import { english } from "./en.js";
import { fill } from "./fill.js";
import { french } from "./fr.js";

const placeholders = (message: string): string[] =>
  [...message.matchAll(/\{(\w+)/g)].map((match) => match[1] ?? "").sort();

describe("messages", () => {
  it.each([
    ["de", german],
    ["fr", french],
  ])("%s says all that English says, with the same values", (_, messages) => {
    expect(Object.keys(messages).sort()).toEqual(Object.keys(english).sort());
    const odd = Object.entries(english).filter(
      ([key, message]) => placeholders(message).join() !== placeholders(messages[key as keyof typeof english]).join(),
    );
    expect(odd.map(([key]) => key)).toEqual([]);
  });

  it("are filled with values and the right form for a count", () => {
    expect(fill("Row {row}", { row: "C" }, "en")).toBe("Row C");
    expect(fill("{count|One seat|# seats}", { count: 1 }, "en")).toBe("One seat");
    expect(fill("{count|One seat|# seats}", { count: 12_460 }, "de")).toBe("12.460 seats");
    // In French, none is singular.
    expect(fill("{count|une place|# places}", { count: 0 }, "fr")).toBe("une place");
  });
});
