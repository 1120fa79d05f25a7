// What a worker counts: how workflows ended, the checkouts that should have ended long ago, and what waits for a person.
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import { searchAttributes, workflowTypes } from "./contract.js";
import { booksOutcomes, checkoutOutcomes, orphanOutcomes, reconcileOutcomes } from "./outcomes.js";

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
  for (const outcome of orphanOutcomes) seconds.zero({ type: workflowTypes.findOrphans, outcome });
  for (const outcome of booksOutcomes) seconds.zero({ type: workflowTypes.closeBooks, outcome });
  return (type, outcome, took) => seconds.observe({ type, outcome }, took);
}

const overdueAfterMs = 15 * 60_000;
const lookEveryMs = 30_000;

/** Asks Temporal now and then, and answers how to stop that. While Temporal can't be asked, the numbers are not numbers. */
export function watchTemporal(count: (query: string) => Promise<number>, metrics: Metrics, log: Logger): () => void {
  const running = (type: string) => `WorkflowType = "${type}" AND ExecutionStatus = "Running"`;
  const known = { overdue: Number.NaN, failedRefunds: Number.NaN, disputes: Number.NaN, disputesDue: Number.NaN };
  const queries: Readonly<Record<keyof typeof known, () => string>> = {
    overdue: () =>
      `${running(workflowTypes.checkout)} AND StartTime < "${new Date(Date.now() - overdueAfterMs).toISOString()}"`,
    failedRefunds: () => running(workflowTypes.failedRefund),
    disputes: () => running(workflowTypes.openDispute),
    disputesDue: () => `${running(workflowTypes.openDispute)} AND ${searchAttributes.status} = "dispute_due"`,
  };
  metrics.gaugeOf(
    "onsale_overdue_checkouts",
    "Checkouts that have not ended 15 minutes after their start",
    () => known.overdue,
  );
  metrics.gaugeOf(
    "onsale_failed_refunds",
    "Refunds that the bank sent back, and that nobody has seen to",
    () => known.failedRefunds,
  );
  metrics.gaugeOf("onsale_open_disputes", "Disputes that the bank has not decided", () => known.disputes);
  metrics.gaugeOf(
    "onsale_disputes_due",
    "Disputes that still want an answer, with less than three days left for it",
    () => known.disputesDue,
  );
  const look = async () => {
    for (const name of Object.keys(queries) as (keyof typeof known)[])
      try {
        known[name] = await count(queries[name]());
      } catch (err) {
        known[name] = Number.NaN;
        log.debug({ err, name }, "workflows can't be counted");
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
