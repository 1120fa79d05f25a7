import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseForm } from "./form.js";

const read = (...sources: string[]) => {
  const result = parseForm(...sources);
  return result.ok ? JSON.parse(JSON.stringify(result.tree)) : result.problem;
};

describe("parseForm", () => {
  it("nests by brackets", () => {
    expect(read("a=1&b[c]=2&b[d][e]=3")).toEqual({ a: "1", b: { c: "2", d: { e: "3" } } });
    expect(read("l[]=1&l[]=2&m[0]=x&m[1]=y")).toEqual({ l: ["1", "2"], m: { 0: "x", 1: "y" } });
    expect(read("l[][a]=1&l[][a]=2")).toEqual({ l: [{ a: "1" }, { a: "2" }] });
  });

  it("decodes names and values, and keeps what has no value", () => {
    expect(read("a%5Bb%5D=x+y%26z&flag&empty=")).toEqual({ a: { b: "x y&z" }, flag: "", empty: "" });
    expect(read("a=1", "a=2&b=3")).toEqual({ a: "2", b: "3" });
  });

  it("takes odd brackets as plain names", () => {
    expect(read("a[b=1&]a=2&[x]=3")).toEqual({ "a[b": "1", "]a": "2", "[x]": "3" });
  });

  it("refuses contradictions, depth, numbers and wrong encoding", () => {
    for (const text of [
      "a=1&a[b]=2",
      "a[b]=1&a=2",
      "a[]=1&a[b]=2",
      "a[b]=1&a[]=2",
      "a=%",
      "a=%FF",
      `a${"[x]".repeat(8)}=1`,
    ])
      expect(typeof read(text), text).toBe("string");
    expect(typeof read("a=1&".repeat(1001))).toBe("string");
  });

  it("does not touch prototypes", () => {
    const result = parseForm("__proto__[polluted]=yes&constructor[prototype][polluted]=yes");
    expect(result.ok && Object.keys(result.tree)).toEqual(["__proto__", "constructor"]);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });

  it("never throws, whatever comes", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        parseForm(text);
      }),
    );
  });
});
