// The Temporal Schedule that has seats compared with claims: made once, by whichever worker comes first.
import { type Client, ScheduleAlreadyRunning, ScheduleOverlapPolicy } from "@temporalio/client";
import { reconcileScheduleId, workflowTypes } from "./contract.js";

/** One that is there is left as it is: an operator may have paused it, or chosen another interval. */
export async function ensureReconcileSchedule(client: Client, taskQueue: string, everySeconds: number): Promise<void> {
  const scheduleId = reconcileScheduleId(taskQueue);
  try {
    await client.schedule.create({
      scheduleId,
      spec: { intervals: [{ every: `${everySeconds}s` }] },
      policies: {
        overlap: ScheduleOverlapPolicy.SKIP, // the one that runs does what the next would
        catchupWindow: "1m", // after an outage one comparison is enough
      },
      action: {
        type: "startWorkflow",
        workflowType: workflowTypes.reconcileInventory,
        workflowId: scheduleId,
        taskQueue,
        args: [],
        workflowExecutionTimeout: "1h",
        staticSummary: "Seats in Valkey compared with the claims in MongoDB",
        staticDetails:
          "Seats that differ are put right by the claims. Some seats put right after a failure are nothing to worry about; in quiet " +
          "times the number is 0.",
      },
      state: {
        note: "Made by the worker. Pausing it or changing its interval here is fine: the worker leaves it alone.",
      },
    });
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
  }
}
