// Ids: stable for ever, since they are in databases, and never the same for different things.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { derivedHex64, derivedId, newId } from "./ids.js";

describe("derived ids", () => {
  // If one of these changes, every retry in flight meets another checkout. Checked against Python's hashlib.
  test("are these, for ever", () => {
    expect(derivedId("chk", "acc_1", "key-1")).toBe("chk_cvsxpk9dezy9axvzajcd2r5smt");
    expect(derivedId("chk")).toBe("chk_werc8gmrzge196qvyk49jvxs4g");
    expect(derivedId("tkt", "zoë", "💺")).toBe("tkt_sta9v68nxy98pkyb9k582tfvpv");
    expect(derivedHex64("acc_1", "key-1")).toBe("66f3db4d2d77fc95");
  });

  test("parts can't run together", () => {
    const part = fc.string({ unit: fc.constantFrom("a", "b", "1", "2", ":", "é"), maxLength: 6 });
    fc.assert(
      fc.property(fc.array(part, { maxLength: 4 }), fc.array(part, { maxLength: 4 }), (one, other) => {
        const same = JSON.stringify(one) === JSON.stringify(other);
        expect(derivedId("x", ...one) === derivedId("x", ...other)).toBe(same);
        expect(derivedHex64(...one) === derivedHex64(...other)).toBe(same);
      }),
      { numRuns: 2_000 },
    );
    expect(derivedId("x", "1:a", "b")).not.toBe(derivedId("x", "1", "a1:b"));
    expect(derivedId("x", "", "ab")).not.toBe(derivedId("x", "ab", ""));
  });
});

describe("new ids", () => {
  test("look like one, and are all different", () => {
    const ids = Array.from({ length: 10_000 }, () => newId("ses"));
    for (const id of ids) expect(id).toMatch(/^ses_[0-9a-hjkmnp-tv-z]{26}$/);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("sort by age", () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 47 }), fc.integer({ min: 1, max: 2 ** 40 }), (then, later) => {
        expect(newId("x", then) < newId("x", then + later)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
