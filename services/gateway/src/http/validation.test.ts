// Tests of how wrong requests are told what is wrong with them.
import { DomainError } from "@onsale/kit/errors";
import fc from "fast-check";
import { expect, test } from "vitest";
import { newCheckout, newEvent } from "../schemas.js";
import { validate } from "./validation.js";

const faults = (value: unknown, schema: Parameters<typeof validate>[0] = newCheckout): unknown => {
  try {
    validate(schema, value, "body");
    return undefined;
  } catch (error) {
    return (error as DomainError).details["errors"];
  }
};

test("a fault is told where it is, as a JSON Pointer", () => {
  expect(faults({ eventId: "evt_1", seats: ["A-A-1", 2] })).toEqual([
    { in: "body", pointer: "/seats/1", detail: expect.stringContaining("string") },
  ]);
});

test("of two forms, the one that was most likely meant is spoken of", () => {
  expect(faults({ eventId: "evt_1", section: "A", quantity: "3" })).toMatchObject([{ pointer: "/quantity" }]);
  expect(faults({ eventId: "evt_1", seats: [] })).toMatchObject([{ pointer: "/seats" }]);
  // However much is wrong with it.
  expect(faults({ eventId: "evt_1", seats: [1, 2, 3, 4] })).toMatchObject(
    [0, 1, 2, 3].map((at) => ({ pointer: `/seats/${at}` })),
  );
});

test("whatever JSON comes, the answer is a value or REQUEST_INVALID with bounded faults, and never repeats a string that was sent", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
      for (const schema of [newCheckout, newEvent]) {
        try {
          validate(schema, value, "body");
        } catch (error) {
          expect(error).toBeInstanceOf(DomainError);
          expect((error as DomainError).code).toBe("REQUEST_INVALID");
          expect(((error as DomainError).details["errors"] as unknown[]).length).toBeLessThanOrEqual(20);
        }
      }
    }),
    { numRuns: 300 },
  );
  expect(JSON.stringify(faults({ eventId: "hunter2 secret", seats: ["hunter2 secret"] }))).not.toContain("hunter2");
});
