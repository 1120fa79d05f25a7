// The workflow that a Schedule starts every few minutes: what no workflow looks after any more, after a Terminate or a restore of
// Temporal from an older copy, is found and settled, or told to a person.
import { WorkflowExecutionAlreadyStartedError } from "@temporalio/common";
import {
  ChildWorkflowFailure,
  continueAsNew,
  executeChild,
  log,
  ParentClosePolicy,
  proxyActivities,
  setCurrentDetails,
  startChild,
  workflowInfo,
} from "@temporalio/workflow";
import {
  cancelEventWorkflowId,
  type FindOrphansInput,
  type FindOrphansResult,
  latePaymentWorkflowId,
  refundWorkflowId,
} from "../contract.js";
import { type Orphan, type OrphanKind, orphanKinds, type Steps } from "../steps.js";
import type { cancelEvent } from "./cancel-event.js";
import { attributeKeys } from "./checkout-page.js";
import { callForRefund } from "./follow-payment.js";
import { beginAgain } from "./refund.js";
import { inHouse, insist } from "./running-steps.js";
import type { settleLatePayment } from "./settle-late-payment.js";

// Some tries only: the next run comes in a few minutes, and a run that failed shows that something is wrong.
const { lookForOrphans } = proxyActivities<Pick<Steps, "lookForOrphans">>({
  startToCloseTimeout: "60s",
  heartbeatTimeout: "10s",
  retry: { initialInterval: "1s", maximumInterval: "10s", maximumAttempts: 5 },
});

/** What is mended at the same time: what Stripe is asked is paced by the payment service anyway. */
const atOnce = 5;
const mostNamed = 100;

/** Where a search stands that goes on in another run of the same workflow. */
interface Progress {
  readonly sinceMs: number;
  readonly beforeMs: number;
  readonly at: OrphanKind;
  readonly cursor: string;
  readonly oldestOpenMs: number;
  readonly looked: number;
  readonly mended: number;
  readonly forAPerson: FindOrphansResult["forAPerson"];
}

/** Looks at what has changed since the last search, once it has stood for so long that its own workflow should have ended it. */
export async function findOrphans(input: FindOrphansInput, progress?: Progress): Promise<FindOrphansResult> {
  const last = progress ? undefined : (workflowInfo().lastResult as FindOrphansResult | undefined);
  const sinceMs = progress?.sinceMs ?? last?.lookedUntilMs ?? 0;
  const beforeMs = progress?.beforeMs ?? Date.now() - input.settledAfterMs;
  let looked = progress?.looked ?? 0;
  let mended = progress?.mended ?? 0;
  let oldestOpenMs = progress?.oldestOpenMs ?? 0;
  const forAPerson = new Map(progress?.forAPerson.map(({ checkoutId, because }) => [checkoutId, because]));
  const named = () => [...forAPerson].slice(0, mostNamed).map(([checkoutId, because]) => ({ checkoutId, because }));
  const say = (now: string) =>
    setCurrentDetails(
      [
        now,
        "",
        `- looked at: ${looked}, from ${new Date(sinceMs).toISOString()} to ${new Date(beforeMs).toISOString()}`,
        `- mended: ${mended}`,
        ...named().map(({ checkoutId, because }) => `- **needs a person**: \`${checkoutId}\`: ${because}`),
      ].join("\n"),
    );

  // What a person had to see to the last time may be settled by now.
  for (const { checkoutId } of last?.forAPerson ?? []) await mend({ kind: "checkout", checkoutId, eventId: "" });

  const begin = progress ? orphanKinds.indexOf(progress.at) : 0;
  for (const kind of orphanKinds.slice(begin)) {
    let cursor = kind === progress?.at ? progress.cursor : "";
    do {
      say(`looks for orphans: ${kind}`);
      const summary = `Look for orphans: ${kind}`;
      const found = await lookForOrphans.executeWithOptions({ summary }, [{ kind, sinceMs, beforeMs, cursor }]);
      looked += found.looked;
      if (found.oldestOpenMs > 0)
        oldestOpenMs = oldestOpenMs > 0 ? Math.min(oldestOpenMs, found.oldestOpenMs) : found.oldestOpenMs;
      for (let at = 0; at < found.orphans.length; at += atOnce)
        await Promise.all(found.orphans.slice(at, at + atOnce).map(mend));
      cursor = found.nextCursor;
      if (cursor !== "" && workflowInfo().continueAsNewSuggested)
        await continueAsNew<typeof findOrphans>(input, {
          ...{ sinceMs, beforeMs, at: kind, cursor, oldestOpenMs, looked, mended, forAPerson: named() },
        });
    } while (cursor !== "");
  }
  if (mended > 0) log.warn("orphans were found and put right", { mended });
  if (forAPerson.size > 0) log.error("orphans were found that need a person", { checkouts: named() });
  say("has ended");
  // What a workflow still looks after is looked at again the next time.
  const lookedUntilMs = oldestOpenMs > 0 ? Math.min(oldestOpenMs, beforeMs) : beforeMs;
  return { lookedUntilMs: Math.max(lookedUntilMs, 0), looked, mended, forAPerson: named() };

  /** Never throws for one's sake: the others go on. */
  async function mend(orphan: Orphan): Promise<void> {
    switch (orphan.kind) {
      case "checkout":
        return settle(orphan.checkoutId, orphan.eventId);
      case "refund": {
        const { checkoutId, refundId } = orphan.refund;
        return tried(checkoutId, `its refund ${refundWorkflowId(refundId)} can't be ended`, async () => {
          await beginAgain(orphan.refund);
          return true;
        });
      }
      case "failed refund":
        await callForRefund(orphan.refund);
        mended += 1;
        return;
      case "seats":
        await insist(() => inHouse("releaseClaims", "Free the seats of void tickets", [orphan.seats]));
        mended += 1;
        return;
      case "unclaimed":
        forAPerson.set(
          orphan.checkoutId,
          `its tickets for ${orphan.seatIds.slice(0, 10).join(", ")} are valid, and the seats are not claimed for it`,
        );
        return;
      case "cancelled event":
        return giveBackAll(orphan.eventId);
    }
  }

  async function settle(checkoutId: string, eventId: string): Promise<void> {
    await tried(checkoutId, "it can't be settled", async () => {
      const { action, because } = await executeChild<typeof settleLatePayment>("settleLatePayment", {
        workflowId: latePaymentWorkflowId(checkoutId),
        workflowIdReusePolicy: "ALLOW_DUPLICATE",
        parentClosePolicy: ParentClosePolicy.ABANDON,
        args: [{ checkoutId, ...(eventId !== "" && { eventId }) }],
        ...(eventId !== "" && { typedSearchAttributes: [{ key: attributeKeys.eventId, value: eventId }] }),
        staticSummary: `Checkout ${checkoutId}, which was closed by force`,
      });
      if (action === "person") throw new NeedsAPerson(because);
      return action !== "nothing";
    });
  }

  async function giveBackAll(eventId: string): Promise<void> {
    try {
      await startChild<typeof cancelEvent>("cancelEvent", {
        workflowId: cancelEventWorkflowId(eventId),
        workflowIdReusePolicy: "ALLOW_DUPLICATE",
        parentClosePolicy: ParentClosePolicy.ABANDON,
        args: [{ eventId, requestedBy: "onsale", settleMs: 0 }],
        typedSearchAttributes: [{ key: attributeKeys.eventId, value: eventId }],
        staticSummary: `Orders of ${eventId}, which was cancelled, are given back`,
      });
      mended += 1;
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
  }

  /** The work answers whether there was something to mend. */
  async function tried(checkoutId: string, what: string, work: () => Promise<boolean>): Promise<void> {
    try {
      if (await work()) mended += 1;
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) return;
      if (error instanceof NeedsAPerson) forAPerson.set(checkoutId, error.message);
      else if (error instanceof ChildWorkflowFailure)
        forAPerson.set(checkoutId, `${what}: ${error.cause?.message ?? error.message}`);
      else throw error;
    }
  }
}

class NeedsAPerson extends Error {}
