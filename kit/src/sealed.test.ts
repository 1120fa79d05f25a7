// Sealing: only the same secret, purpose and label open it, and nothing that was changed opens.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createSealer, deriveKey } from "./sealed.js";

const secret = "a long random text for these tests";
const purpose = "tests";
const sealer = createSealer({ secret, purpose });

describe("a sealed value", () => {
  test("opens again, whatever it is", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.string(), (plain, label) => {
        expect(sealer.open(sealer.seal(plain, label), label)).toEqual(Buffer.from(plain));
      }),
      { numRuns: 200 },
    );
  });

  test("looks different each time, and shows nothing of what is in it", () => {
    const plain = Buffer.from("the same text");
    const seals = new Set(Array.from({ length: 100 }, () => sealer.seal(plain, "x")));
    expect(seals.size).toBe(100);
    for (const sealed of seals) expect(Buffer.from(sealed, "base64url").includes(plain)).toBe(false);
  });

  test("does not open with another label, purpose or secret", () => {
    const sealed = sealer.seal(Buffer.from("x"), "kid-1");
    expect(() => sealer.open(sealed, "kid-2")).toThrow(/another secret, or it was changed/);
    expect(() => createSealer({ secret, purpose: "other" }).open(sealed, "kid-1")).toThrow(/can't be opened/);
    expect(() => createSealer({ secret: `${secret}!`, purpose }).open(sealed, "kid-1")).toThrow(/can't be opened/);
  });

  test("does not open when a bit of it was changed", () => {
    const sealed = sealer.seal(Buffer.from("a few bytes"), "x");
    const [version, ...parts] = sealed.split(".") as [string, string, string];
    parts.forEach((part, which) => {
      const bytes = Buffer.from(part, "base64url");
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const changed = Buffer.from(bytes);
        changed[bit >> 3]! ^= 1 << (bit & 7);
        const text = [version, ...parts.with(which, changed.toString("base64url"))].join(".");
        expect(() => sealer.open(text, "x")).toThrow();
      }
    });
  });

  test.each(["", "s1", "s1..", "s2.AAAA.AAAA", "s1.AAAAAAAAAAAAAAAA.", "s1.AAAAAAAAAAAAAAAA.AAAA", "x.y.z.w"])(
    "is not %j",
    (text) => {
      expect(() => sealer.open(text, "x")).toThrow(/not a sealed value/);
    },
  );

  test("of the previous secret opens while that is kept; new ones need the new secret", () => {
    const old = sealer.seal(Buffer.from("x"), "k");
    const changed = createSealer({ secret: "another long random text", previousSecret: secret, purpose });
    expect(changed.open(old, "k").toString()).toBe("x");
    expect(() => sealer.open(changed.seal(Buffer.from("y"), "k"), "k")).toThrow();
  });
});

test("derived keys are these for ever (checked against Python's hmac), and one purpose tells nothing of another", () => {
  expect(deriveKey("secret", "tests").toString("hex")).toBe(
    "9065737ac26017341da6c8b81ac977ef81fb9f92fd94356b1ad78bd2251ffe52",
  );
  expect(deriveKey("secret", "tests")).not.toEqual(deriveKey("secret", "test"));
});
