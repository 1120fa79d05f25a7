// What happened to a checkout, step by step, read from its workflow's history and its order's refunds. Pure.
import { type OrderDispute, type OrderRefund, RefundKind, RefundState } from "@onsale/proto/ticket/v1/ticket";
import { searchAttributes } from "@onsale/workflows/contract";
import type { HistoryEvent } from "../clients/temporal.js";
import type { timelineSteps } from "../organisers/schemas.js";
import type { RefundAsker } from "./orders.js";

export type TimelineStep = (typeof timelineSteps)[number];

export interface Moment {
  readonly atMs: number;
  readonly step: TimelineStep;
  readonly detail?: string;
  readonly amount?: number;
  readonly seats?: readonly string[];
  readonly by?: RefundAsker | undefined;
  /** An account. */
  readonly account?: string;
  readonly reason?: string;
}

/** What the history says of a step that the workflow had done: its name, and the code it was refused with, if it was. */
interface Done {
  readonly name: string;
  readonly refusal: string | undefined;
}

/** Steps after which it is known what the payment came to, once it is seen how the workflow went on. */
const asks = new Set(["authorizePayment", "awaitPayment", "getPayment"]);
const succeeded: Readonly<Record<string, TimelineStep>> = {
  claimSeats: "claimed",
  capturePayment: "captured",
  issueTickets: "issued",
  cancelPayment: "payment_cancelled",
  releaseHold: "released",
  refundPayment: "refunded",
};
const refused: Readonly<Record<string, TimelineStep>> = {
  authorizePayment: "declined",
  claimSeats: "seats_lost",
  capturePayment: "stopped",
};
const byStatus: Readonly<Record<string, TimelineStep>> = {
  completed: "completed",
  expired: "expired",
  cancelled: "cancelled",
  refunded: "refunded",
};

/**
 * Oldest first. Only names, times, codes and statuses are taken from the history, so that nothing of its contents can be shown, and
 * nothing of it needs to be decrypted.
 */
export function momentsOf(history: readonly HistoryEvent[]): Moment[] {
  const moments: Moment[] = [];
  const scheduled = new Map<string, string>();
  /** When a payment was last asked about, until it is known what that meant. */
  let askedAtMs: number | undefined;
  const say = (atMs: number, step: TimelineStep, detail?: string) =>
    moments.push({ atMs, step, ...(detail === undefined ? {} : { detail }) });

  function decide(step: TimelineStep): void {
    if (askedAtMs !== undefined) say(askedAtMs, step);
    askedAtMs = undefined;
  }

  function done(atMs: number, { name, refusal }: Done): void {
    if (refusal !== undefined) {
      if (asks.has(name)) askedAtMs = undefined;
      const step = refused[name];
      if (step) {
        if (name === "claimSeats") decide("authorized");
        say(atMs, step, refusal);
      }
      return;
    }
    if (asks.has(name)) {
      askedAtMs = atMs;
      return;
    }
    if (name === "claimSeats") decide("authorized");
    const step = succeeded[name];
    if (step) say(atMs, step);
  }

  for (const event of history) {
    const atMs = millis(event.eventTime);
    if (event.workflowExecutionStartedEventAttributes) say(atMs, "held");
    const activity = event.activityTaskScheduledEventAttributes;
    if (activity) scheduled.set(String(event.eventId), activity.activityType?.name ?? "");
    const completed = event.activityTaskCompletedEventAttributes;
    if (completed) done(atMs, { name: scheduled.get(String(completed.scheduledEventId)) ?? "", refusal: undefined });
    const failed = event.activityTaskFailedEventAttributes;
    if (failed) {
      const code = failed.failure?.applicationFailureInfo?.type ?? "";
      done(atMs, { name: scheduled.get(String(failed.scheduledEventId)) ?? "", refusal: code });
    }
    const marker = event.markerRecordedEventAttributes;
    if (marker) {
      const name = localActivity(marker.details?.["data"]?.payloads?.[0]?.data);
      const code = marker.failure?.applicationFailureInfo;
      // One that failed for now goes on as an activity of its own, which says how it ended.
      if (name !== undefined && (!marker.failure || code?.nonRetryable))
        done(atMs, { name, refusal: marker.failure ? (code?.type ?? "") : undefined });
    }
    const status = statusOf(event);
    if (status === "requires_action") decide("requires_action");
    if (status === "held") decide("declined");
    if (status !== undefined && byStatus[status]) say(atMs, byStatus[status]);
    if (event.workflowExecutionTerminatedEventAttributes) say(atMs, "stopped", "TERMINATED");
    if (event.workflowExecutionTimedOutEventAttributes) say(atMs, "stopped", "TIMED_OUT");
    if (event.workflowExecutionFailedEventAttributes) say(atMs, "stopped", "FAILED");
  }
  return moments;
}

/** The steps of an order: what its checkout's history tells, or at least that it was issued; and its refunds. */
export function timelineOf(
  history: readonly HistoryEvent[] | undefined,
  order: {
    readonly createdAtMs: number;
    readonly refunds: readonly OrderRefund[];
    readonly disputes: readonly OrderDispute[];
  },
  asker: (refund: OrderRefund) => Moment["by"],
): Moment[] {
  const moments = history ? momentsOf(history) : [];
  if (!moments.some(({ step }) => step === "issued")) moments.push({ atMs: order.createdAtMs, step: "issued" });
  for (const refund of order.refunds) moments.push(...momentsOfRefund(refund, asker(refund)));
  for (const { disputeId, amount, reason, createdAtMs, answeredAtMs, answeredBy } of order.disputes) {
    moments.push({ atMs: createdAtMs, step: "dispute_opened", detail: disputeId, amount, reason });
    if (answeredAtMs > 0)
      moments.push({ atMs: answeredAtMs, step: "dispute_answered", detail: disputeId, amount, account: answeredBy });
  }
  return moments.sort((a, b) => a.atMs - b.atMs);
}

const paidSteps: Readonly<Record<RefundKind, TimelineStep>> = {
  [RefundKind.UNSPECIFIED]: "refunded",
  [RefundKind.RETURN]: "refunded",
  [RefundKind.GOODWILL]: "goodwill",
  [RefundKind.VOID]: "voided",
  [RefundKind.OUTSIDE]: "refunded_outside",
  [RefundKind.DISPUTE]: "dispute_lost",
};
const laterSteps: Readonly<Record<RefundState, TimelineStep | undefined>> = {
  [RefundState.UNSPECIFIED]: undefined,
  [RefundState.PENDING]: undefined,
  [RefundState.PAID]: undefined,
  [RefundState.FAILED]: "refund_failed",
  [RefundState.REPLACED]: "refund_replaced",
  [RefundState.CLOSED]: "refund_closed",
};

/** When it was asked for, by whom and why; and what it came to, if that is not all of it. */
function momentsOfRefund(refund: OrderRefund, by: Moment["by"]): Moment[] {
  const { refundId, kind, state, amount, seatIds, requestedBy, reason, requestedAtMs, atMs } = refund;
  const what = { detail: refundId, amount, seats: seatIds };
  const who = { ...(by && { by }), ...(requestedBy !== "" && requestedBy !== "stripe" && { account: requestedBy }) };
  const why = reason === "" ? {} : { reason };
  if (state === RefundState.PAID) return [{ atMs, step: paidSteps[kind], ...what, ...who, ...why }];
  const asked: Moment = { atMs: requestedAtMs, step: "refund_started", ...what, ...who, ...why };
  const step = laterSteps[state];
  if (!step) return [asked];
  const { failureReason, replacedBy, closedBy, closedReason } = refund;
  const later: Moment =
    state === RefundState.CLOSED
      ? { atMs, step, ...what, account: closedBy, reason: closedReason }
      : state === RefundState.REPLACED
        ? { atMs, step, detail: replacedBy, amount }
        : { atMs, step, ...what, ...(failureReason !== "" && { reason: failureReason }) };
  return [asked, later];
}

/** The checkout's status as the event sets it, if it does. */
function statusOf(event: HistoryEvent): string | undefined {
  const data =
    event.upsertWorkflowSearchAttributesEventAttributes?.searchAttributes?.indexedFields?.[searchAttributes.status]
      ?.data;
  const value = parsed(data);
  return typeof value === "string" ? value : undefined;
}

/** A local activity's name: Temporal's SDK core writes it into a marker of its own, as JSON. */
function localActivity(data: Uint8Array | null | undefined): string | undefined {
  const value = parsed(data);
  const name = typeof value === "object" && value !== null ? (value as Record<string, unknown>)["activity_type"] : "";
  return typeof name === "string" && name !== "" ? name : undefined;
}

function parsed(data: Uint8Array | null | undefined): unknown {
  if (!data) return undefined;
  try {
    return JSON.parse(Buffer.from(data).toString("utf8"));
  } catch {
    return undefined; // not ours, or not in the clear
  }
}

function millis(time: HistoryEvent["eventTime"]): number {
  return Number(time?.seconds ?? 0) * 1_000 + Math.floor((time?.nanos ?? 0) / 1_000_000);
}
