// How a service's log looks on the terminal.
import { expect, it } from "vitest";
import { paints, renderLine } from "./log-line.js";

const line = (entry: object) =>
  JSON.stringify({ level: "info", time: "2026-11-24T12:34:56.789Z", service: "gateway", ...entry });

it("puts the time, the service, the level, what happened and the facts in one line", () => {
  expect(renderLine("gateway", line({ msg: "ready", port: 8080, seats: ["A-1"] }))).toBe(
    '12:34:56 gateway    info  ready port=8080 seats=["A-1"]',
  );
});

it("shows an error with its cause and where it came from, without the libraries' frames", () => {
  const err = {
    message: "the store does not answer",
    stack:
      "Error: x\n    at hold (services/inventory/src/hold.ts:10:3)\n    at send (node_modules/ioredis/built/Redis.js:1:1)",
    cause: { message: "connect ECONNREFUSED" },
  };
  expect(renderLine("inventory", line({ level: "error", msg: "a bug", err })).split("\n")).toEqual([
    "12:34:56 inventory  ERROR a bug",
    "    the store does not answer",
    "    at hold (services/inventory/src/hold.ts:10:3)",
    "    connect ECONNREFUSED",
  ]);
});

it("leaves lines that are no JSON log as they are", () => {
  expect(renderLine("valkey", "* Ready to accept connections")).toBe("valkey     * Ready to accept connections");
  expect(renderLine("worker", "{ not json")).toBe("worker     { not json");
  expect(renderLine("worker", "[1]")).toBe("worker     [1]");
});

it("lets no control character of a log through to the terminal", () => {
  const rendered = renderLine("gateway", line({ msg: "bad \u001b[2J name\u0007", path: "\u009b31m" }), paints(false));
  expect(rendered).toBe("12:34:56 gateway    info  bad \\x1b[2J name\\x07 path=\\x9b31m");
});

it("colours only when asked to", () => {
  expect(renderLine("gateway", line({ msg: "slow", level: "warn" }), paints(true))).toContain(
    "\u001b[33mslow\u001b[0m",
  );
  expect(renderLine("gateway", line({ msg: "slow", level: "warn" }), paints(false))).not.toContain("\u001b");
});
