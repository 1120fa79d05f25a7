// The Temporal Schedules of the worker: made once each, by whichever worker comes first.
import { type Client, ScheduleAlreadyRunning, ScheduleOverlapPolicy, type ScheduleSpec } from "@temporalio/client";
import type { Duration } from "@temporalio/common";
import {
  booksScheduleId,
  type CloseBooksInput,
  type FindOrphansInput,
  orphansScheduleId,
  reconcileScheduleId,
  workflowTypes,
} from "./contract.js";

/** Every few minutes: after an outage one run is enough. */
const often = (everySeconds: number) => ({
  when: { intervals: [{ every: `${everySeconds}s` as Duration }] },
  catchupWindow: "1m" as const,
  timeout: "1h" as const,
});

interface Scheduled {
  readonly scheduleId: string;
  readonly workflowType: string;
  readonly taskQueue: string;
  readonly when: ScheduleSpec;
  /** How late a run may begin that an outage held up. */
  readonly catchupWindow: Duration;
  readonly timeout: Duration;
  readonly args: readonly unknown[];
  readonly summary: string;
  readonly details: string;
}

/** Seats in Valkey are compared with the claims in MongoDB. */
export const ensureReconcileSchedule = (client: Client, taskQueue: string, everySeconds: number): Promise<void> =>
  ensureSchedule(client, {
    scheduleId: reconcileScheduleId(taskQueue),
    workflowType: workflowTypes.reconcileInventory,
    taskQueue,
    ...often(everySeconds),
    args: [],
    summary: "Seats in Valkey compared with the claims in MongoDB",
    details:
      "Seats that differ are put right by the claims. Some seats put right after a failure are nothing to worry about; in quiet " +
      "times the number is 0.",
  });

/** Claims, payments, refunds and cancelled events that no workflow looks after are found and settled. */
export const ensureOrphansSchedule = (
  client: Client,
  taskQueue: string,
  everySeconds: number,
  input: FindOrphansInput,
): Promise<void> =>
  ensureSchedule(client, {
    scheduleId: orphansScheduleId(taskQueue),
    workflowType: workflowTypes.findOrphans,
    taskQueue,
    ...often(everySeconds),
    args: [input],
    summary: "What no workflow looks after is found and settled",
    details:
      "After a Terminate, or a restore of Temporal from an older copy: claims and money without an order, refunds and cancellations that " +
      "stopped halfway. What is certain is mended; what needs a person is named. In quiet times there is nothing.",
  });

export interface BooksTime {
  /** Of a day, UTC. */
  readonly hour: number;
  readonly minute: number;
}

/** Stripe's payments are compared with payments, orders, tickets and claims, each night. */
export const ensureBooksSchedule = (
  client: Client,
  taskQueue: string,
  { hour, minute }: BooksTime,
  input: CloseBooksInput,
): Promise<void> =>
  ensureSchedule(client, {
    scheduleId: booksScheduleId(taskQueue),
    workflowType: workflowTypes.closeBooks,
    taskQueue,
    when: { calendars: [{ hour, minute }] },
    catchupWindow: "12h",
    timeout: "12h",
    args: [input],
    summary: "The books: Stripe against payments, orders, tickets and claims",
    details:
      "What was captured is what tickets cost, what was kept and what went back; each difference is named with its cause, and who can mend it. " +
      "What changed in the last minutes, or has a workflow that runs, is under way and no difference.",
  });

/** One that is there is left as it is: an operator may have paused it, or chosen another interval. */
async function ensureSchedule(
  client: Client,
  { scheduleId, workflowType, taskQueue, when, catchupWindow, timeout, args, summary, details }: Scheduled,
): Promise<void> {
  try {
    await client.schedule.create({
      scheduleId,
      spec: when,
      policies: {
        overlap: ScheduleOverlapPolicy.SKIP, // the one that runs does what the next would
        catchupWindow,
      },
      action: {
        type: "startWorkflow",
        workflowType,
        workflowId: scheduleId,
        taskQueue,
        args: [...args],
        workflowExecutionTimeout: timeout,
        staticSummary: summary,
        staticDetails: details,
      },
      state: {
        note: "Made by the worker. Pausing it or changing its interval here is fine: the worker leaves it alone.",
      },
    });
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
  }
}
