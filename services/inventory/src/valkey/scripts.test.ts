import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readLua, scripts } from "./scripts.js";

const folder = fileURLToPath(new URL("./lua/", import.meta.url));
const filesIn = (path: string) =>
  readdirSync(folder + path)
    .filter((name) => name.endsWith(".lua"))
    .map((name) => path + name.slice(0, -".lua".length));
const textOf = (name: string) => readFileSync(`${folder}${name}.lua`, "utf8");

describe("the Lua in files", () => {
  it("is all used, and each script is one of the files", () => {
    expect(filesIn("").map(readLua).sort()).toEqual(Object.values(scripts).sort());
    const included = [...filesIn(""), ...filesIn("parts/")].flatMap((name) =>
      [...textOf(name).matchAll(/^ *-- include (.*)$/gm)].map(([, part]) => `parts/${part}`),
    );
    expect([...new Set(included)].sort()).toEqual(filesIn("parts/").sort());
  });

  it("has each part once where it defines functions, and nothing left to include", () => {
    for (const [name, lua] of Object.entries(scripts)) {
      expect(lua, name).not.toMatch(/-- include/);
      const defined = [...lua.matchAll(/^local function (\w+)/gm)].map(([, one]) => one);
      expect(new Set(defined).size, name).toBe(defined.length);
    }
  });

  it("says at its head what it does, its KEYS and ARGV, and what it answers", () => {
    for (const name of filesIn("")) {
      const head = /^(?:#!lua[^\n]*\n)?((?:-- [^\n]*\n)+)\n/.exec(textOf(name))?.[1] ?? "";
      expect(head, name).toMatch(/^-- (?!KEYS|ARGV|Answers|include)/);
      for (const part of [/^-- KEYS/m, /ARGV/, /^-- Answers: /m]) expect(head, name).toMatch(part);
    }
  });
});
