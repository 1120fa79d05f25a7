// E-mails, names and roles: what is accepted, and under which one spelling.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkName, checkRoles, isId, normaliseEmail, roles } from "./accounts.js";

const emailOf = (given: string) => {
  const checked = normaliseEmail(given);
  return checked.ok ? checked.value : undefined;
};

describe("normaliseEmail", () => {
  test.each([
    ["Ann@Example.COM", "ann@example.com"],
    [" ann+tickets@example.co.uk\n", "ann+tickets@example.co.uk"],
    ["o'brien@example.ie", "o'brien@example.ie"],
    ["zoe\u0308@example.com", "zoë@example.com"],
    ["İ@example.com", "i̇@example.com"],
    ["ann@bücher.example", "ann@xn--bcher-kva.example"],
    ["ann@BU\u0308CHER.example", "ann@xn--bcher-kva.example"],
    ["ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"],
    ["用户@例子.广告", "用户@xn--fsqu00a.xn--4rr70v"],
  ])("spells %j as %j", (given, expected) => {
    expect(emailOf(given)).toBe(expected);
  });

  test.each([
    "",
    " ",
    "ann",
    "@example.com",
    "ann@",
    "ann@localhost",
    "ann@127.0.0.1",
    "ann@0x7f.1",
    "ann@example.com.",
    "ann@.example.com",
    "ann@exa_mple.com",
    "ann@-example.com",
    "ann@example.c om",
    "ann @example.com",
    ".ann@example.com",
    "ann.@example.com",
    "a..nn@example.com",
    "ann@bob@example.com",
    '"ann"@example.com',
    "ann<script>@example.com",
    "ann\u0000@example.com",
    "ann\r\nBcc: x@example.com",
    "ann\u202e@example.com",
    "ann@exam\u0000ple.com",
    `${"a".repeat(65)}@example.com`,
    `${"ü".repeat(33)}@example.com`,
    `ann@${"a".repeat(64)}.com`,
    `ann@${"abcdefg.".repeat(32)}com`,
  ])("refuses %j", (given) => {
    expect(emailOf(given)).toBeUndefined();
  });

  test("normalising twice is normalising once, and nothing throws", () => {
    const dirty = fc.string({ unit: "binary", maxLength: 40 });
    const likely = fc
      .tuple(fc.string({ unit: "grapheme", maxLength: 12 }), fc.domain())
      .map((parts) => parts.join("@"));
    fc.assert(
      fc.property(fc.oneof(dirty, likely, fc.emailAddress()), (given) => {
        const once = emailOf(given);
        if (once !== undefined) expect(emailOf(once)).toBe(once);
      }),
      { numRuns: 500 },
    );
  });

  test("ordinary addresses are accepted", () => {
    const local = fc.stringMatching(/^[a-zA-Z0-9]{1,20}([.+_-][a-zA-Z0-9]{1,20}){0,2}$/);
    fc.assert(
      fc.property(local, fc.domain(), (before, domain) => {
        expect(emailOf(`${before}@${domain}`)).toBe(`${before}@${domain}`.toLowerCase());
      }),
      { numRuns: 300 },
    );
  });
});

describe("checkName", () => {
  test.each([
    ["  Ann  ", "Ann"],
    ["Zoe\u0308", "Zoë"],
    ["நி\u200cர", "நி\u200cர"],
    ["💺".repeat(100), "💺".repeat(100)],
  ])("takes case %#", (given, value) => {
    expect(checkName(given)).toEqual({ ok: true, value });
  });

  test.each([
    "",
    "  ",
    "a\u0000b",
    "a\nb",
    "a\u202eb",
    "\u200c\u202e",
    "n".repeat(101),
    "💺".repeat(101),
    "x".repeat(1e6),
  ])("refuses nonsense, case %#", (given) => {
    expect(checkName(given)).toMatchObject({ ok: false });
  });
});

test("roles come back in the table's order, each once; others are refused", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...roles), { minLength: 1 }), (given) => {
      expect(checkRoles(given)).toEqual({ ok: true, value: roles.filter((role) => given.includes(role)) });
      expect(checkRoles([...given, "root"])).toMatchObject({ ok: false });
    }),
  );
  expect(checkRoles([])).toMatchObject({ ok: false });
});

test("ids are short printable ASCII", () => {
  for (const id of ["acc_01", "x", "x".repeat(100)]) expect(isId(id)).toBe(true);
  for (const id of ["", " ", "a b", "é", "a\u0000", "a\n", "x".repeat(101)]) expect(isId(id)).toBe(false);
});
