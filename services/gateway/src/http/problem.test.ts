// Tests of problem documents: every refusal has one, and none shows too much.
import { DomainError, type RefusalCode, refusals } from "@onsale/kit/errors";
import { expect, test } from "vitest";
import { codesByStatus, problemOf } from "./problem.js";

test.each(Object.keys(refusals) as RefusalCode[])("%s becomes a problem document with its own status", (code) => {
  const { status, body, headers } = problemOf(new DomainError(code, "In words."), "req_1");
  expect(status).toBe(refusals[code].http);
  expect(body).toMatchObject({
    type: `urn:onsale:problem:${code}`,
    status,
    code,
    requestId: "req_1",
    instance: "urn:onsale:request:req_1",
  });
  expect(body.title).toBe(refusals[code].title);
  expect(headers["WWW-Authenticate"] !== undefined).toBe(status === 401);
  expect(headers["Retry-After"] !== undefined).toBe(refusals[code].retryable);
});

test("details come along, but can't pose as the problem itself", () => {
  const { body } = problemOf(
    new DomainError("SEAT_TAKEN", "Gone.", { seats: ["A-A-1"], code: "FINE", status: 200 }),
    "req_1",
  );
  expect(body).toMatchObject({ seats: ["A-A-1"], code: "SEAT_TAKEN", status: 409 });
});

test("a bug shows neither its message nor its details", () => {
  const { body } = problemOf(new DomainError("INTERNAL", "at /srv/x.ts:1", { secret: 1 }, new Error("deep")), "req_1");
  expect(JSON.stringify(body)).not.toMatch(/srv|secret|deep/);
});

test("a wait is told in whole seconds, never less than one", () => {
  const wait = (retryAfterSeconds: number) =>
    problemOf(new DomainError("TOO_MANY_ATTEMPTS", "Wait.", { retryAfterSeconds }), "r").headers["Retry-After"];
  expect([wait(0.2), wait(1.2), wait(900)]).toEqual(["1", "2", "900"]);
});

test("codes are sorted by status, each once", () => {
  expect([...codesByStatus(["INTERNAL", "SEAT_TAKEN", "SEAT_TAKEN", "SALE_ENDED"])]).toEqual([
    [409, ["SEAT_TAKEN", "SALE_ENDED"]],
    [500, ["INTERNAL"]],
  ]);
});
