// The table of refusals, and what becomes of whatever is thrown.
import { status as Grpc } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { DomainError, isRefusalCode, type RefusalCode, refusals } from "./errors.js";

describe("the table", () => {
  const rows = Object.entries(refusals);

  test("has codes that clients can branch on, and titles for people", () => {
    for (const [code, { title }] of rows) {
      expect(code).toMatch(/^[A-Z]+(_[A-Z]+)*$/);
      expect(title, code).toMatch(/^[A-Z].*[^.]$/);
    }
  });

  test("gives each code an error status on both sides", () => {
    for (const [code, { http, grpc }] of rows) {
      expect(http, code).toBeGreaterThanOrEqual(400);
      expect(http, code).toBeLessThan(600);
      expect(grpc, code).not.toBe(Grpc.OK);
    }
  });

  test("never tells a person that trying again is of use after a mistake of their own", () => {
    for (const [code, { http, retryable }] of rows) if (retryable) expect([409, 429, 503, 504], code).toContain(http);
  });
});

describe("DomainError", () => {
  test("keeps code, message, details and cause", () => {
    const cause = new Error("the store said no");
    const error = new DomainError("SEAT_TAKEN", "These seats are gone.", { seats: ["A-1"] }, cause);
    expect(error).toMatchObject({ name: "DomainError", code: "SEAT_TAKEN", details: { seats: ["A-1"] }, cause });
    expect(error.refusal).toBe(refusals.SEAT_TAKEN);
    expect("cause" in new DomainError("SEAT_TAKEN", "x")).toBe(false);
  });

  test("is what it is when it is thrown", () => {
    const error = new DomainError("SEAT_TAKEN", "x");
    expect(DomainError.from(error)).toBe(error);
  });

  test.each([new TypeError("x is not a function, password hunter2"), "text", undefined, { code: "SEAT_TAKEN" }])(
    "makes INTERNAL of what is not one, and keeps it as the cause only: %o",
    (thrown) => {
      const error = DomainError.from(thrown);
      expect(error.code).toBe("INTERNAL");
      expect(error.message).not.toContain("hunter2");
      expect(error.details).toEqual({});
      if (thrown !== undefined) expect(error.cause).toBe(thrown);
    },
  );
});

test("codes that are only on Object's prototype are none", () => {
  for (const code of ["toString", "__proto__", "constructor", "", "seat_taken"])
    expect(isRefusalCode(code)).toBe(false);
  expect(isRefusalCode("SEAT_TAKEN" satisfies RefusalCode)).toBe(true);
});
