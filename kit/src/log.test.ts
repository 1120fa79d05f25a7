// What gets into a log line, and what never does.
import { Writable } from "node:stream";
import { describe, expect, test } from "vitest";
import { createLogger, describeError } from "./log.js";

function captured(level = "trace") {
  const lines: string[] = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  return { log: createLogger("tested", level, sink), lines, entry: () => JSON.parse(lines.at(-1) ?? "{}") };
}

describe("a line", () => {
  test("is one JSON object with service, level by name and time", () => {
    const { log, entry, lines } = captured();
    log.info({ port: 1 }, "ready\nand more");
    expect(lines).toHaveLength(1);
    expect(entry()).toMatchObject({ service: "tested", level: "info", port: 1, msg: "ready\nand more" });
    expect(Date.parse(entry().time)).toBeGreaterThan(0);
  });

  test.each([
    "password",
    "token",
    "accessToken",
    "refresh_token",
    "authorization",
    "email",
    "name",
    "client_secret",
    "paymentMethodId",
  ])("has no %s in it, at the top, one or two levels down, or in a list", (key) => {
    const { log, lines } = captured();
    log.warn({ [key]: "hunter2" });
    log.warn({ request: { [key]: "hunter2" } });
    log.warn({ request: { headers: { [key]: "hunter2" } } });
    log.warn({ people: [{ [key]: "hunter2" }] });
    log.child({ [key]: "hunter2" }).warn("from a child");
    expect(lines).toHaveLength(5);
    expect(lines.join("")).not.toContain("hunter2");
  });

  test("leaves what was logged as it was", () => {
    const given = { password: "hunter2" };
    captured().log.info(given);
    expect(given).toEqual({ password: "hunter2" });
  });
});

describe("an error", () => {
  test("is told with its causes, and without what client libraries hang on it", () => {
    const { log, entry, lines } = captured();
    const cause = Object.assign(new TypeError("inner"), { code: "ECONNRESET", config: { headers: "hunter2" } });
    const err = Object.assign(new Error("outer", { cause }), { request: { body: "hunter2" }, code: 7 });
    log.error({ err }, "failed");
    expect(entry().err).toMatchObject({
      type: "Error",
      message: "outer",
      code: 7,
      stack: expect.stringContaining("log.test"),
      cause: { type: "TypeError", message: "inner", code: "ECONNRESET" },
    });
    expect(lines.join("")).not.toContain("hunter2");
  });

  test("may be anything", () => {
    expect(describeError("text")).toEqual({ type: "string", message: "text" });
    expect(describeError(undefined)).toEqual({ type: "undefined", message: "undefined" });
    expect(describeError(Object.create(null))).toMatchObject({ type: "object" });
  });

  test("that is its own cause is told once or a few times, not for ever", () => {
    const err = new Error("circular");
    err.cause = err;
    const { log, entry } = captured();
    log.error({ err }, "failed");
    expect(entry().err.message).toBe("circular");
  });
});
