// The Temporal Schedules of the worker: made once each, by whichever worker comes first.
import { type Client, ScheduleAlreadyRunning, ScheduleOverlapPolicy } from "@temporalio/client";
import { type FindOrphansInput, orphansScheduleId, reconcileScheduleId, workflowTypes } from "./contract.js";

interface Scheduled {
  readonly scheduleId: string;
  readonly workflowType: string;
  readonly taskQueue: string;
  readonly everySeconds: number;
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
    everySeconds,
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
    everySeconds,
    args: [input],
    summary: "What no workflow looks after is found and settled",
    details:
      "After a Terminate, or a restore of Temporal from an older copy: claims and money without an order, refunds and cancellations that " +
      "stopped halfway. What is certain is mended; what needs a person is named. In quiet times there is nothing.",
  });

/** One that is there is left as it is: an operator may have paused it, or chosen another interval. */
async function ensureSchedule(
  client: Client,
  { scheduleId, workflowType, taskQueue, everySeconds, args, summary, details }: Scheduled,
): Promise<void> {
  try {
    await client.schedule.create({
      scheduleId,
      spec: { intervals: [{ every: `${everySeconds}s` }] },
      policies: {
        overlap: ScheduleOverlapPolicy.SKIP, // the one that runs does what the next would
        catchupWindow: "1m", // after an outage one run is enough
      },
      action: {
        type: "startWorkflow",
        workflowType,
        workflowId: scheduleId,
        taskQueue,
        args: [...args],
        workflowExecutionTimeout: "1h",
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
