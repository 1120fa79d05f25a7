// The workflow of an event that is called off: no seat of it is sold any more, and every order is given back.
import { WorkflowExecutionAlreadyStartedError } from "@temporalio/common";
import {
  ApplicationFailure,
  ChildWorkflowFailure,
  continueAsNew,
  executeChild,
  log,
  ParentClosePolicy,
  patched,
  setCurrentDetails,
  sleep,
  workflowInfo,
} from "@temporalio/workflow";
import {
  type CancelEventInput,
  type CancelEventResult,
  cancelledEventRefundId,
  cancelledEventVoidId,
  latePaymentWorkflowId,
  type RefundInput,
  type RefundResult,
  refundWorkflowId,
} from "../contract.js";
import { attributeKeys, index } from "./checkout-page.js";
import type { refund } from "./refund.js";
import { inHouse, insist, refusalOf } from "./running-steps.js";
import type { settleLatePayment } from "./settle-late-payment.js";

/** Refunds that run at the same time: what Stripe is asked is paced by the payment service anyway. */
const atOnce = 5;
const shortestPauseSeconds = 5;
const longestPauseSeconds = 600;

/** Refusals of the ticket service and of Stripe that say: as things are, no money will go back. */
const final: readonly string[] = ["REFUND_TOO_LARGE", "PAYMENT_STATE_CONFLICT", "PAYMENT_NOT_FOUND"];
const mostNamed = 100;

/**
 * Claims say who has seats, so they say when it is done: each pass gives back the orders of those who have, until nobody has. An order
 * that was under way when the event was cancelled is found by a later pass, and one that can't be given back now is tried again, ever
 * more seldom. What is back already is done; money that Stripe refuses twice becomes a person's work, and the seats are free all the
 * same, so that it always ends. Fails with EVENT_NOT_FOUND or EVENT_IS_DRAFT.
 */
export async function cancelEvent(input: CancelEventInput): Promise<CancelEventResult> {
  const { eventId, settleMs } = input;
  let refunded = input.soFar?.refunded ?? 0;
  const owed = new Map(input.soFar?.owed?.map(({ checkoutId, because }) => [checkoutId, because]));
  /** Whose money Stripe has refused to give back once. */
  const refusedOnce = new Set<string>();
  /** Of this pass: what could not be given back, by checkout. */
  let stuck = new Map<string, string>();
  const say = (now: string) => {
    const lines = [`${now}`, "", `- orders given back: ${refunded}`];
    for (const [checkoutId, problem] of [...stuck].slice(0, 20)) lines.push(`- \`${checkoutId}\`: ${problem}`);
    if (stuck.size > 20) lines.push(`- and ${stuck.size - 20} more`);
    if (owed.size > 0) lines.push("", `**needs a person**: ${owed.size} orders whose money did not reach their buyers`);
    for (const [checkoutId, because] of [...owed].slice(0, 20)) lines.push(`- \`${checkoutId}\`: ${because}`);
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
  log.info("an event was cancelled, and its orders given back", { eventId, refunded, owed: owed.size });
  return result();

  function result(): CancelEventResult {
    const named = [...owed].slice(0, mostNamed).map(([checkoutId, because]) => ({ checkoutId, because }));
    return { refunded, ...(named.length > 0 && { owed: named }) };
  }

  async function goOn(): Promise<never> {
    return await continueAsNew<typeof cancelEvent>({ ...input, soFar: result() });
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
    if (!order) return settle(checkoutId);
    const { accountId } = order;
    const refundId = cancelledEventRefundId(checkoutId);
    const whole = { refundId, checkoutId, accountId, eventId, seatIds: [], amount: 0, requestedBy: input.requestedBy };
    try {
      const { outcome } = await refundOf(whole);
      refunded += 1;
      if (outcome === "failed") owed.set(checkoutId, "the buyer's bank did not take the money");
    } catch (error) {
      const problem = problemOf(error);
      if (!problem) throw error;
      stuck.set(checkoutId, problem.text);
      if (problem.code === "SEAT_REFUNDED" && patched("take-back-as-done")) await freeWhatIsBack(checkoutId);
      if (final.includes(problem.code) && patched("owe-what-is-refused")) await owe(whole, problem.text);
    }
  }

  /** Everything was given back before: what is left of its claims goes. */
  async function freeWhatIsBack(checkoutId: string): Promise<void> {
    const order = await insist(() => inHouse("findOrder", "What of it is back?", [checkoutId]));
    if (!order || order.voidSeatIds.length === 0) return;
    const { accountId, voidSeatIds: seatIds } = order;
    await insist(() =>
      inHouse("releaseClaims", "Free what was given back", [{ eventId, checkoutId, accountId, seatIds }]),
    );
    if (seatIds.length === order.seatIds.length) stuck.delete(checkoutId);
  }

  /** At the second refusal the tickets are void without money, and a person sees to that. */
  async function owe(whole: RefundInput, because: string): Promise<void> {
    const { checkoutId } = whole;
    if (!refusedOnce.has(checkoutId)) {
      refusedOnce.add(checkoutId);
      return;
    }
    try {
      const reason = "The event was cancelled, and Stripe refused to give the money back.";
      await refundOf({ ...whole, refundId: cancelledEventVoidId(checkoutId), kind: "void", reason });
      owed.set(checkoutId, because);
      stuck.delete(checkoutId);
    } catch (error) {
      if (!problemOf(error)) throw error;
    }
  }

  function refundOf(refundInput: RefundInput): Promise<RefundResult> {
    return executeChild<typeof refund>("refund", {
      workflowId: refundWorkflowId(refundInput.refundId),
      // One that failed may be tried again; the refund's id makes the money go back once.
      workflowIdReusePolicy: "ALLOW_DUPLICATE",
      parentClosePolicy: ParentClosePolicy.ABANDON,
      args: [refundInput],
      typedSearchAttributes: [
        { key: attributeKeys.eventId, value: eventId },
        { key: attributeKeys.accountId, value: refundInput.accountId },
      ],
      staticSummary: `Refund of ${refundInput.checkoutId}: the event was cancelled`,
    });
  }

  /** Its checkout is about to issue tickets, or to give the seats back by itself; unless it was closed by force. */
  async function settle(checkoutId: string): Promise<void> {
    if (!patched("settle-closed-checkouts")) return;
    if (await insist(() => inHouse("isCheckoutRunning", "Does its checkout run?", [checkoutId]))) return;
    try {
      const { action, because } = await executeChild<typeof settleLatePayment>("settleLatePayment", {
        workflowId: latePaymentWorkflowId(checkoutId),
        workflowIdReusePolicy: "ALLOW_DUPLICATE",
        parentClosePolicy: ParentClosePolicy.ABANDON,
        args: [{ checkoutId, eventId }],
        typedSearchAttributes: [{ key: attributeKeys.eventId, value: eventId }],
        staticSummary: `Checkout ${checkoutId}, which was closed by force: its event was cancelled`,
      });
      if (action === "person") owed.set(checkoutId, because);
    } catch (error) {
      const problem = problemOf(error);
      if (!problem) throw error;
      stuck.set(checkoutId, problem.text);
    }
  }
}

/** In words for operators; undefined: a bug of ours, or a cancellation. */
function problemOf(error: unknown): { readonly code: string; readonly text: string } | undefined {
  if (error instanceof WorkflowExecutionAlreadyStartedError) return { code: "", text: "it is being given back" };
  if (!(error instanceof ChildWorkflowFailure)) return undefined;
  const { cause } = error;
  if (!(cause instanceof ApplicationFailure)) return { code: "", text: error.message };
  return { code: cause.type ?? "", text: `${cause.type}: ${cause.message}` };
}
