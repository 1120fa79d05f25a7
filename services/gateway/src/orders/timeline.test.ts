// What an order's page tells of its checkout: read from recorded histories of the real workflow, one for each way to end.
import { readFileSync } from "node:fs";
import { OrderRefund, RefundKind, RefundState } from "@onsale/proto/ticket/v1/ticket";
import { temporal } from "@temporalio/proto";
import { describe, expect, test } from "vitest";
import type { HistoryEvent } from "../clients/temporal.js";
import { momentsOf, timelineOf } from "./timeline.js";

/** As the worker's tests recorded them (workflows/test/histories): only read here. */
function recorded(name: string): HistoryEvent[] {
  const path = new URL(`../../../../workflows/test/histories/${name}.json`, import.meta.url);
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
  const day = (at: number) => Date.UTC(2030, 0, at);
  const refund = OrderRefund.create({
    refundId: "rfd_1",
    kind: RefundKind.RETURN,
    state: RefundState.PAID,
    amount: 4950,
    seatIds: ["A-A-1"],
    requestedAtMs: day(1),
    atMs: day(2),
    requestedBy: "acc_1",
  });
  const what = { detail: "rfd_1", amount: 4950, seats: ["A-A-1"] };
  const told = (...refunds: OrderRefund[]) =>
    timelineOf(undefined, { createdAtMs: 5, refunds, disputes: [] }, () => "buyer").slice(1);

  test("has its refunds after its checkout, with who and why", () => {
    const order = { createdAtMs: 5, refunds: [{ ...refund, reason: "ill" }], disputes: [] };
    const moments = timelineOf(recorded("paid"), order, () => "organiser");
    expect(moments.slice(-1)).toEqual([
      { atMs: day(2), step: "refunded", ...what, by: "organiser", account: "acc_1", reason: "ill" },
    ]);
    expect(moments.map(({ step }) => step)).not.toContain("stopped");
  });
  test("whose checkout is forgotten says at least when its tickets were issued", () => {
    const order = { createdAtMs: 5, refunds: [refund], disputes: [] };
    expect(timelineOf(undefined, order, () => undefined).map(({ step }) => step)).toEqual(["issued", "refunded"]);
  });
  test.each([
    [RefundKind.GOODWILL, "goodwill"],
    [RefundKind.VOID, "voided"],
    [RefundKind.OUTSIDE, "refunded_outside"],
    [RefundKind.DISPUTE, "dispute_lost"],
  ] as const)("%s is told apart: %s", (kind, step) => {
    expect(told({ ...refund, kind })).toMatchObject([{ step, atMs: day(2) }]);
  });
  test("of a refund that is under way, has failed, was asked for again or paid another way: both moments", () => {
    const asked = { atMs: day(1), step: "refund_started", ...what, by: "buyer", account: "acc_1" };
    expect(told({ ...refund, state: RefundState.PENDING })).toEqual([asked]);
    expect(told({ ...refund, state: RefundState.FAILED, failureReason: "lost_or_stolen_card" })).toEqual([
      asked,
      { atMs: day(2), step: "refund_failed", ...what, reason: "lost_or_stolen_card" },
    ]);
    expect(told({ ...refund, state: RefundState.REPLACED, replacedBy: "rfd_2" })).toEqual([
      asked,
      { atMs: day(2), step: "refund_replaced", detail: "rfd_2", amount: 4950 },
    ]);
    expect(told({ ...refund, state: RefundState.CLOSED, closedBy: "acc_op", closedReason: "in cash" })).toEqual([
      asked,
      { atMs: day(2), step: "refund_closed", ...what, account: "acc_op", reason: "in cash" },
    ]);
  });
  test("has its disputes", () => {
    const dispute = {
      disputeId: "dp_1",
      amount: 9900,
      reason: "fraudulent",
      status: "lost",
      createdAtMs: 7,
      evidenceDueMs: 0,
      answeredAtMs: 8,
      answeredBy: "acc_org",
    };
    expect(timelineOf(undefined, { createdAtMs: 5, refunds: [], disputes: [dispute] }, () => undefined)).toEqual([
      { atMs: 5, step: "issued" },
      { atMs: 7, step: "dispute_opened", detail: "dp_1", amount: 9900, reason: "fraudulent" },
      { atMs: 8, step: "dispute_answered", detail: "dp_1", amount: 9900, account: "acc_org" },
    ]);
  });
});
