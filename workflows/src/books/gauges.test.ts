import { createLogger } from "@onsale/kit/log";
import { createMetrics } from "@onsale/kit/metrics";
import { afterEach, expect, it, vi } from "vitest";
import type { CloseBooksResult } from "../contract.js";
import { type ClosedBooks, watchBooks } from "./gauges.js";

let stop: () => void = () => undefined;
afterEach(() => stop());

const result: CloseBooksResult = {
  ...{ scope: "usual", sinceMs: 0, beforeMs: 0, compared: 1, findings: [], foreign: 0 },
  causes: { captured_twice: 2 },
  figures: [],
  inFlight: { count: 0, checkoutIds: [] },
};

it("tells what the books came to the last time, also once Temporal has forgotten that", async () => {
  const metrics = createMetrics("workflows");
  const answers: (ClosedBooks | undefined | Error)[] = [
    undefined,
    { closedAtMs: 1_000, result: undefined },
    { closedAtMs: 90_000, result },
    { closedAtMs: 1_000, result: undefined },
    new Error("away"),
  ];
  let asked = 0;
  const last = async () => {
    const answer = answers[Math.min(asked, answers.length - 1)];
    asked += 1;
    if (answer instanceof Error) throw answer;
    return answer;
  };
  stop = watchBooks(last, metrics, createLogger("workflows", "silent"), 20);
  const told = () => metrics.registry.metrics();
  const closed = /onsale_books_last_success_timestamp_seconds\{[^}]*\} (\S+)/;
  const seen = new Set<string>();
  await vi.waitFor(async () => {
    seen.add(closed.exec(await told())?.[1] ?? "none");
    expect(asked).toBeGreaterThan(answers.length + 3);
  }, 10_000);
  expect([...seen]).toContain("Nan");
  expect(closed.exec(await told())?.[1]).toBe("90");
  expect(await told()).toMatch(/onsale_books_findings\{[^}]*cause="captured_twice"[^}]*\} 2/);
  expect(await told()).toMatch(/onsale_books_findings\{[^}]*cause="ticket_missing"[^}]*\} 0/);
});
