// What an order's page tells of its checkout: read from recorded histories of the real workflow, one for each way to end.
import { readFileSync } from "node:fs";
import { temporal } from "@temporalio/proto";
import { describe, expect, test } from "vitest";
import type { HistoryEvent } from "./temporal.js";
import { momentsOf, timelineOf } from "./timeline.js";

/** As the worker's tests recorded them (workflows/test/histories): only read here. */
function recorded(name: string): HistoryEvent[] {
  const path = new URL(`../../../workflows/test/histories/${name}.json`, import.meta.url);
  const json = JSON.parse(readFileSync(path, "utf8")) as object;
  return temporal.api.history.v1.History.fromObject(json).events;
}
const steps = (events: readonly HistoryEvent[]) =>
  momentsOf(events).map(({ step, detail }) => (detail === undefined ? step : `${step} ${detail}`));

describe("the moments of a checkout", () => {
  test.each<[string, string[]]>([
    ["paid", ["held", "authorized", "claimed", "captured", "issued", "completed"]],
    ["declined-then-paid", ["held", "declined", "authorized", "claimed", "captured", "issued", "completed"]],
    ["3ds", ["held", "requires_action", "authorized", "claimed", "captured", "issued", "completed"]],
    ["expired", ["held", "released", "expired"]],
    ["cancelled", ["held", "released", "cancelled"]],
    ["seat-lost", ["held", "authorized", "seats_lost SEAT_TAKEN", "payment_cancelled", "released", "cancelled"]],
  ])("that was %s", (name, expected) => {
    expect(steps(recorded(name))).toEqual(expected);
  });

  test("a capture that Stripe refused ends with everything undone", () => {
    const told = steps(recorded("capture-refused"));
    expect(told.slice(0, 4)).toEqual(["held", "authorized", "claimed", "stopped PAYMENT_STATE_CONFLICT"]);
    expect(told.at(-1)).toBe("cancelled");
  });

  test("are in order and have times", () => {
    for (const name of ["paid", "3ds", "seat-lost"]) {
      const times = momentsOf(recorded(name)).map(({ atMs }) => atMs);
      expect([...times].sort((a, b) => a - b)).toEqual(times);
      expect(times[0]).toBeGreaterThan(Date.UTC(2020, 0, 1));
    }
  });

  test("tell nothing of what is in the history: no seats, amounts, cards, links or words", () => {
    for (const name of ["paid", "3ds", "declined-then-paid"]) {
      const text = JSON.stringify(momentsOf(recorded(name)));
      for (const secret of ["A-1-", "4950", "pm_", "http", "Ferry", "acc_", "decline_code"])
        expect(text).not.toContain(secret);
    }
  });

  test("need nothing that is encrypted: with unreadable payloads the outcome is still told", () => {
    const scrambled = recorded("paid").map((event) => {
      const marker = event.markerRecordedEventAttributes?.details?.["data"]?.payloads?.[0];
      return marker ? { ...event, markerRecordedEventAttributes: { markerName: "core_local_activity" } } : event;
    });
    expect(steps(scrambled)).toEqual(["held", "captured", "completed"]);
  });

  test("of one that is under way, or was ended by force, or of nothing", () => {
    const begun = recorded("paid").slice(0, 9);
    expect(steps(begun)).toEqual(["held"]);
    const ended: HistoryEvent = {
      eventTime: { seconds: 1_800_000_000 as never },
      workflowExecutionTerminatedEventAttributes: {},
    };
    expect(steps([...begun, ended])).toEqual(["held", "stopped TERMINATED"]);
    expect(momentsOf([])).toEqual([]);
  });
});

describe("an order's timeline", () => {
  const refund = { refundId: "rfd_1", amount: 4950, seatIds: ["A-A-1"], atMs: Date.UTC(2030, 0, 2) };
  test("has its refunds, and what is set aside, after its checkout", () => {
    const order = { createdAtMs: 5, refunds: [refund], refunding: ["A-A-2"] };
    const told = timelineOf(recorded("paid"), order, Date.UTC(2030, 0, 3));
    expect(told.slice(-2)).toEqual([
      { atMs: refund.atMs, step: "refunded", detail: "rfd_1", amount: 4950, seats: ["A-A-1"] },
      { atMs: Date.UTC(2030, 0, 3), step: "refund_started", seats: ["A-A-2"] },
    ]);
    expect(told.map(({ step }) => step)).not.toContain("stopped");
  });
  test("whose checkout is forgotten says at least when its tickets were issued", () => {
    const order = { createdAtMs: 5, refunds: [refund], refunding: [] };
    expect(timelineOf(undefined, order, 9).map(({ step }) => step)).toEqual(["issued", "refunded"]);
  });
});
