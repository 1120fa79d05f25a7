// How workflows run their steps: the ones at Stripe as activities with their own rows in the Web UI, the in-house ones
// within the workflow task, and how a step's refusal is told from its trouble.

import type { RefusalCode, RefusalDetails } from "@onsale/kit/errors";
import {
  ActivityCancellationType,
  ActivityFailure,
  ApplicationFailure,
  isCancellation,
  log,
  proxyActivities,
  proxyLocalActivities,
  sleep,
  TemporalFailure,
} from "@temporalio/workflow";
import { longestStepMs } from "../contract.js";
import type { Steps } from "../steps.js";

// No maximumAttempts anywhere: a step that must happen is tried until it does, each try visible in the Web UI.
const backoff = { initialInterval: "250ms", backoffCoefficient: 2, maximumInterval: "10s" } as const;

/** A step that was begun is waited for, even by a workflow that is being cancelled: its outcome decides what to undo. */
const waited = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED;

/** Steps at Stripe. The heartbeat tells the server within seconds that a worker has died. */
export const atStripe = proxyActivities<Steps>({
  startToCloseTimeout: longestStepMs,
  heartbeatTimeout: "10s",
  retry: backoff,
  cancellationType: waited,
});

/** Asking until the buyer has approved: a refused try is the server's to repeat, so the wait costs no history. */
export const untilDecided = proxyActivities<Steps>({
  startToCloseTimeout: longestStepMs,
  retry: { initialInterval: "5s", backoffCoefficient: 1.5, maximumInterval: "30s" },
  cancellationType: ActivityCancellationType.TRY_CANCEL,
});

/** A bank may take days for a refund. */
export const untilFinal = proxyActivities<Steps>({
  startToCloseTimeout: longestStepMs,
  retry: { initialInterval: "30s", backoffCoefficient: 2, maximumInterval: "1h" },
  cancellationType: ActivityCancellationType.TRY_CANCEL,
});

const inTask = proxyLocalActivities<Steps>({
  startToCloseTimeout: "3s",
  scheduleToCloseTimeout: "5s",
  retry: { initialInterval: "100ms", backoffCoefficient: 3, maximumAttempts: 3 },
  cancellationType: waited,
});

const atServer = proxyActivities<Steps>({
  startToCloseTimeout: "15s",
  heartbeatTimeout: "10s",
  retry: backoff,
  cancellationType: waited,
});

/**
 * An in-house step: at first within the workflow task, which costs one history event; if it fails for some seconds, as
 * an activity of its own, which the server repeats without limit and without further events, and which the Web UI shows
 * with its last failure. The steps are idempotent, so a first try that took effect unnoticed does no harm.
 */
export async function inHouse<Name extends InHouse>(
  name: Name,
  summary: string,
  args: Parameters<Steps[Name]>,
  onTrouble: (problem: string) => void = () => undefined,
): Promise<Awaited<ReturnType<Steps[Name]>>> {
  // The proxies' types don't survive a generic name.
  const first = inTask[name] as unknown as Step<Name>;
  const then = atServer[name] as unknown as Step<Name>;
  try {
    return await first.executeWithOptions({ summary }, args);
  } catch (error) {
    if (isCancellation(error) || refusalOf(error) || !(error instanceof TemporalFailure)) throw error;
    const problem = troubleOf(error);
    log.warn("a step goes on as an activity of its own", { step: name, problem });
    onTrouble(problem);
    return await then.executeWithOptions({ summary }, args);
  }
}

type InHouse =
  | "claimSeats"
  | "releaseClaims"
  | "releaseHold"
  | "issueTickets"
  | "voidTickets"
  | "findOrder"
  | "endCheckout"
  | "findSale"
  | "findDeadRefunds"
  | "isRefundOwed"
  | "reserveRefund"
  | "dropRefund"
  | "cancelEvent"
  | "listClaimants"
  | "isCheckoutRunning";

interface Step<Name extends keyof Steps> {
  executeWithOptions(
    options: { summary: string },
    args: Parameters<Steps[Name]>,
  ): Promise<Awaited<ReturnType<Steps[Name]>>>;
}

/**
 * For what must happen before the workflow may end. The steps repeat without limit by themselves; this goes on even when
 * someone fails one by hand, or Temporal gives it up for a reason of its own. Refusals that are an answer are thrown.
 */
export async function insist<Answer>(
  step: () => Promise<Answer>,
  onTrouble: (problem: string) => void = () => undefined,
  answers: readonly RefusalCode[] = [],
): Promise<Answer> {
  for (let pauseSeconds = 10; ; pauseSeconds = Math.min(pauseSeconds * 2, 600)) {
    try {
      return await step();
    } catch (error) {
      if (!(error instanceof TemporalFailure)) throw error; // a bug of ours: the workflow task fails, and shows it
      const refusal = refusalOf(error);
      if (refusal && (answers as readonly string[]).includes(refusal.code)) throw error;
      onTrouble(troubleOf(error));
      await sleep(pauseSeconds * 1_000, { summary: "until it is tried again" });
    }
  }
}

/** The refusal by which a step ended, if that is how it ended. Activities wrap their failure, local ones do not. */
export function refusalOf(error: unknown): Refusal | undefined {
  const failure = error instanceof ActivityFailure ? error.cause : error;
  if (!(failure instanceof ApplicationFailure) || failure.nonRetryable !== true) return undefined;
  const [details] = failure.details ?? [];
  return { code: failure.type ?? "INTERNAL", message: failure.message, details: (details ?? {}) as RefusalDetails };
}

interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly details: RefusalDetails;
}

/** In one line, for operators. */
export function troubleOf(error: TemporalFailure): string {
  const failure = error instanceof ActivityFailure ? error.cause : error;
  if (failure instanceof ApplicationFailure) return `${failure.type}: ${failure.message}`;
  return failure?.message ?? error.message;
}
