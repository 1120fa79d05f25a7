// What a worker counts: how workflows ended, the checkouts that should have ended long ago, and what waits for a person.
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import { type FindOrphansResult, searchAttributes, workflowTypes } from "./contract.js";
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
/** A worker that has just started is not connected yet. */
const retryMs = 2_000;

/** What is asked of Temporal. */
export interface Watched {
  /** How many workflows a query of its visibility finds. */
  count(query: string): Promise<number>;
  /** What the newest workflow of this type that completed has answered; undefined: none has. */
  lastResult(workflowType: string): Promise<unknown>;
}

/** Asks Temporal now and then, and answers how to stop that. While Temporal can't be asked, the numbers are not numbers. */
export function watchTemporal({ count, lastResult }: Watched, metrics: Metrics, log: Logger): () => void {
  const running = (type: string) => `WorkflowType = "${type}" AND ExecutionStatus = "Running"`;
  const disputes = (...statuses: readonly string[]) =>
    `${running(workflowTypes.openDispute)} AND ${searchAttributes.status} IN (${statuses.map((status) => `"${status}"`).join(", ")})`;
  const counted = {
    ...{ overdue: Number.NaN, failedRefunds: Number.NaN, orphans: Number.NaN },
    ...{ disputes: Number.NaN, disputesDue: Number.NaN, disputesLastDay: Number.NaN },
  };
  const looks: Readonly<Record<keyof typeof counted, () => Promise<number>>> = {
    overdue: () =>
      count(
        `${running(workflowTypes.checkout)} AND StartTime < "${new Date(Date.now() - overdueAfterMs).toISOString()}"`,
      ),
    failedRefunds: () => count(running(workflowTypes.failedRefund)),
    disputes: () => count(running(workflowTypes.openDispute)),
    disputesDue: () => count(disputes("dispute_due", "dispute_last_day")),
    disputesLastDay: () => count(disputes("dispute_last_day")),
    orphans: async () => {
      const last = (await lastResult(workflowTypes.findOrphans)) as FindOrphansResult | undefined;
      return last ? last.forAPerson.length : Number.NaN;
    },
  };
  metrics.gaugeOf(
    "onsale_overdue_checkouts",
    "Checkouts that have not ended 15 minutes after their start",
    () => counted.overdue,
  );
  metrics.gaugeOf(
    "onsale_failed_refunds",
    "Refunds that the bank sent back, and that nobody has seen to",
    () => counted.failedRefunds,
  );
  metrics.gaugeOf("onsale_open_disputes", "Disputes that the bank has not decided", () => counted.disputes);
  metrics.gaugeOf(
    "onsale_disputes_due",
    "Disputes that still want an answer, with less than three days left for it",
    () => counted.disputesDue,
  );
  metrics.gaugeOf(
    "onsale_disputes_last_day",
    "Disputes that still want an answer, with less than a day left for it",
    () => counted.disputesLastDay,
  );
  metrics.gaugeOf(
    "onsale_orphans_for_a_person",
    "Checkouts that the last search for orphans could not settle, and named; not a number until there was one",
    () => counted.orphans,
  );
  const look = async () => {
    let known = true;
    for (const name of Object.keys(looks) as (keyof typeof counted)[])
      try {
        counted[name] = await looks[name]();
      } catch (err) {
        counted[name] = Number.NaN;
        known = false;
        log.debug({ err, count: name }, "workflows can't be counted");
      }
    return known;
  };
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const lookIn = (ms: number) => {
    if (stopped) return;
    timer = setTimeout(async () => lookIn((await look()) ? lookEveryMs : retryMs), ms).unref();
  };
  lookIn(retryMs);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
