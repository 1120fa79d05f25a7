import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { fillIn, inMarkdown, onTerminal, type Result } from "./findings.js";
import { questionNames } from "./question-names.js";

const result: Result = {
  question: "hold",
  title: "Holds",
  at: "2026-01-02T03:04:05.000Z",
  command: "npm run bench -- hold",
  machine: "2 cores",
  seconds: 3,
  tables: [{ title: "CPU", columns: ["arm", "µs"], rows: [["raw", "12.5"]] }],
  goals: [
    { goal: "≤ 20×", figure: "11×", reached: true },
    { goal: "≤ 1 ms", figure: "2 ms", reached: false },
  ],
  notes: ["on loopback"],
};

describe("findings", () => {
  it("say on both sides what was reached and what was not", () => {
    expect(onTerminal(result)).toMatch(/reached +≤ 20×: 11×\nNOT reached +≤ 1 ms: 2 ms/);
    expect(inMarkdown(result)).toContain("| ≤ 1 ms | 2 ms | **not reached** |");
    expect(inMarkdown(result)).toContain("2026-01-02 03:04 UTC, on 2 cores");
  });

  it("are put in their place, again and again", () => {
    const page = "a\n<!-- hold: written by npm run bench -- --write -->\n<!-- /hold -->\nb";
    const once = fillIn(page, "hold", "one");
    expect(fillIn(once, "hold", "two")).toBe(once.replace("one", "two"));
    expect(() => fillIn(page, "peers", "x")).toThrow("no place for peers");
  });

  it("have a place in the README for each question", () => {
    const page = readFileSync(new URL("../README.md", import.meta.url), "utf8");
    for (const name of ["summary", ...questionNames]) expect(() => fillIn(page, name, ""), name).not.toThrow();
  });
});
