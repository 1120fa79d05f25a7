// The workflow that a Schedule starts every few minutes: Valkey's seats are compared with MongoDB's claims, and put right by them.
import { log, proxyActivities, setCurrentDetails } from "@temporalio/workflow";
import type { ReconcileResult } from "../contract.js";
import type { Steps } from "../steps.js";

// Some tries only: the next run comes in a few minutes, and a run that failed shows that something is wrong.
const { reconcileSeats } = proxyActivities<Pick<Steps, "reconcileSeats">>({
  startToCloseTimeout: "60s",
  heartbeatTimeout: "10s",
  retry: { initialInterval: "1s", maximumInterval: "10s", maximumAttempts: 5 },
});

/** The sums of all steps. */
export async function reconcileInventory(): Promise<ReconcileResult> {
  const sum = { events: 0, seats: 0, corrected: 0, unavailable: 0 };
  for (let cursor = "", step = 1; step === 1 || cursor !== ""; step++) {
    const summary = step === 1 ? "Compare seats with claims" : `Compare seats with claims, part ${step}`;
    const found = await reconcileSeats.executeWithOptions({ summary }, [cursor]);
    sum.events += found.events;
    sum.seats += found.seats;
    sum.corrected += found.corrected;
    sum.unavailable += found.unavailable;
    setCurrentDetails(describe(sum));
    cursor = found.nextCursor;
  }
  if (sum.corrected > 0) log.warn("seats in Valkey were put right by the claims", sum);
  return sum;
}

function describe({ events, seats, corrected, unavailable }: ReconcileResult): string {
  const lines = [`${events} events with ${seats} seats compared; ${corrected} seats put right.`];
  if (unavailable > 0)
    lines.push(`${unavailable} events could not be compared: their seats are being restored, or their server is away.`);
  return lines.join("\n\n");
}
