// What a worker counts: how workflows ended, and the checkouts that should have ended long ago.
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import { workflowTypes } from "./contract.js";
import { checkoutOutcomes, reconcileOutcomes } from "./outcomes.js";

/** A hold, its grace and some undoing are over after this time. 480 divides the checkouts that ended in time from those that did not. */
const buckets = [1, 5, 15, 60, 180, 300, 480, 900, 3_600];

export type CountEnd = (workflowType: string, outcome: string, seconds: number) => void;

export function createEndCounter(metrics: Metrics): CountEnd {
  const seconds = metrics.histogram(
    "onsale_workflow_seconds",
    "Time from a workflow's start to its end, by type and outcome",
    ["type", "outcome"],
    buckets,
  );
  for (const outcome of checkoutOutcomes) seconds.zero({ type: workflowTypes.checkout, outcome });
  for (const outcome of reconcileOutcomes) seconds.zero({ type: workflowTypes.reconcileInventory, outcome });
  return (type, outcome, took) => seconds.observe({ type, outcome }, took);
}

const overdueAfterMs = 15 * 60_000;
const lookEveryMs = 30_000;

/** Asks Temporal now and then, and answers how to stop that. While Temporal can't be asked, the number is not a number. */
export function watchOverdue(count: (query: string) => Promise<number>, metrics: Metrics, log: Logger): () => void {
  let overdue = Number.NaN;
  metrics.gaugeOf(
    "onsale_overdue_checkouts",
    "Checkouts that have not ended 15 minutes after their start",
    () => overdue,
  );
  const look = async () => {
    const since = new Date(Date.now() - overdueAfterMs).toISOString();
    try {
      overdue = await count(
        `WorkflowType = "${workflowTypes.checkout}" AND ExecutionStatus = "Running" AND StartTime < "${since}"`,
      );
    } catch (err) {
      overdue = Number.NaN;
      log.debug({ err }, "overdue checkouts can't be counted");
    }
  };
  const timer = setInterval(() => void look(), lookEveryMs);
  const first = setTimeout(() => void look(), 2_000);
  timer.unref();
  first.unref();
  return () => {
    clearInterval(timer);
    clearTimeout(first);
  };
}
