// The workflow of an event that is called off: no seat of it is sold any more, and every order is given back.
import { WorkflowExecutionAlreadyStartedError } from "@temporalio/common";
import {
  ApplicationFailure,
  ChildWorkflowFailure,
  continueAsNew,
  executeChild,
  log,
  ParentClosePolicy,
  setCurrentDetails,
  sleep,
  workflowInfo,
} from "@temporalio/workflow";
import {
  type CancelEventInput,
  type CancelEventResult,
  cancelledEventRefundId,
  refundWorkflowId,
} from "../contract.js";
import { attributeKeys, index } from "./checkout-page.js";
import type { refund } from "./refund.js";
import { inHouse, insist, refusalOf } from "./running-steps.js";

/** Refunds that run at the same time: what Stripe is asked is paced by the payment service anyway. */
const atOnce = 5;
const shortestPauseSeconds = 5;
const longestPauseSeconds = 600;

/**
 * Claims say who has seats, so they say when it is done: each pass gives back the orders of those who have, until nobody has. An order
 * that was under way when the event was cancelled is found by a later pass, and one that can't be given back now is tried again, ever
 * more seldom. Fails with EVENT_NOT_FOUND or EVENT_IS_DRAFT.
 */
export async function cancelEvent(input: CancelEventInput): Promise<CancelEventResult> {
  const { eventId, settleMs } = input;
  let refunded = input.soFar?.refunded ?? 0;
  /** Of this pass: what could not be given back, by checkout. */
  let stuck = new Map<string, string>();
  const say = (now: string) => {
    const lines = [`${now}`, "", `- orders given back: ${refunded}`];
    for (const [checkoutId, problem] of [...stuck].slice(0, 20)) lines.push(`- \`${checkoutId}\`: ${problem}`);
    if (stuck.size > 20) lines.push(`- and ${stuck.size - 20} more`);
    setCurrentDetails(lines.join("\n"));
  };

  index({ eventId });
  if (!input.soFar) {
    say("the sale has been stopped; waits until every process knows");
    // Whoever asked for this cancels the event too, and at once; this is for when they died before they did.
    await sleep(settleMs / 2, { summary: "the one who asked cancels the event" });
    try {
      await inHouse("cancelEvent", "Take the event off the sale", [eventId]);
    } catch (error) {
      const refusal = refusalOf(error);
      if (!refusal) throw error;
      throw ApplicationFailure.nonRetryable(refusal.message, refusal.code);
    }
    await sleep(settleMs, { summary: "until no process sells its seats" });
  }

  for (let pauseSeconds = shortestPauseSeconds; ; ) {
    const found = await pass();
    if (found.claimants === 0) break;
    if (found.refunded < found.claimants) {
      say("has given back what could be; looks again for orders that were under way, or stuck");
      await sleep(pauseSeconds * 1_000, { summary: "until claims are looked at again" });
      // As long as something moves, soon; if nothing does, there is no hurry.
      pauseSeconds = found.refunded > 0 ? shortestPauseSeconds : Math.min(pauseSeconds * 2, longestPauseSeconds);
    }
    if (workflowInfo().continueAsNewSuggested) await goOn();
  }
  say("has ended: nobody has a seat of this event any more");
  log.info("an event was cancelled, and its orders given back", { eventId, refunded });
  return { refunded };

  async function goOn(): Promise<never> {
    return await continueAsNew<typeof cancelEvent>({ ...input, soFar: { refunded } });
  }

  /** Once through all claims. */
  async function pass(): Promise<{ claimants: number; refunded: number }> {
    const before = refunded;
    let claimants = 0;
    stuck = new Map();
    for (let cursor = "", first = true; first || cursor !== ""; first = false) {
      const page = await insist(() => inHouse("listClaimants", "Who has seats?", [{ eventId, cursor }]));
      claimants += page.checkoutIds.length;
      for (let at = 0; at < page.checkoutIds.length; at += atOnce) {
        await Promise.all(page.checkoutIds.slice(at, at + atOnce).map(giveBack));
        say("gives the orders back");
      }
      cursor = page.nextCursor;
      if (cursor !== "" && workflowInfo().continueAsNewSuggested) await goOn();
    }
    return { claimants, refunded: refunded - before };
  }

  /** Never throws for an order's sake: the others go on. */
  async function giveBack(checkoutId: string): Promise<void> {
    const order = await insist(() => inHouse("findOrder", "Is there an order?", [checkoutId]));
    // Its checkout is about to issue tickets, or to give the seats back by itself.
    if (!order) return;
    const refundId = cancelledEventRefundId(checkoutId);
    const { accountId } = order;
    try {
      await executeChild<typeof refund>("refund", {
        workflowId: refundWorkflowId(refundId),
        // One that failed may be tried again; the refund's id makes the money go back once.
        workflowIdReusePolicy: "ALLOW_DUPLICATE",
        parentClosePolicy: ParentClosePolicy.ABANDON,
        args: [{ refundId, checkoutId, accountId, eventId, seatIds: [], amount: 0, requestedBy: input.requestedBy }],
        typedSearchAttributes: [
          { key: attributeKeys.eventId, value: eventId },
          { key: attributeKeys.accountId, value: accountId },
        ],
        staticSummary: `Refund of ${checkoutId}: the event was cancelled`,
      });
      refunded += 1;
    } catch (error) {
      const problem = problemOf(error);
      if (problem === undefined) throw error;
      stuck.set(checkoutId, problem);
    }
  }
}

/** In words for operators; undefined: a bug of ours, or a cancellation. */
function problemOf(error: unknown): string | undefined {
  if (error instanceof WorkflowExecutionAlreadyStartedError) return "its refund is running";
  if (!(error instanceof ChildWorkflowFailure)) return undefined;
  const { cause } = error;
  return cause instanceof ApplicationFailure ? `${cause.type}: ${cause.message}` : error.message;
}
