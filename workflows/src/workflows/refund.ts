// The refund workflow: set aside, then money, tickets and seats, so that no seat is sold again while its buyer is unpaid.
import {
  ApplicationFailure,
  CancellationScope,
  executeChild,
  log,
  ParentClosePolicy,
  patched,
  setCurrentDetails,
} from "@temporalio/workflow";
import { type RefundInput, type RefundResult, refundWorkflowId } from "../contract.js";
import type { RefundedStep, ReservedStep } from "../steps.js";
import { attributeKeys, index } from "./checkout-page.js";
import { takeStripesWord } from "./follow-payment.js";
import { atStripe, inHouse, insist, refusalOf, untilFinal } from "./running-steps.js";

/**
 * Fails with the refusal's code (SEAT_REFUNDED, REFUND_TOO_LARGE, PAYMENT_NOT_FOUND, …) when nothing goes back; nothing is changed then.
 * It runs until Stripe's word is final; money that the bank did not take is a person's work from then on (outcome "failed").
 */
export async function refund(input: RefundInput): Promise<RefundResult> {
  const { accountId, eventId } = input;
  // Of those that began before reservations; since then the ticket service says what 0 is.
  if (input.seatIds.length > 0 && input.amount === 0 && input.kind === undefined)
    throw ApplicationFailure.nonRetryable(
      "To give back some of the seats, say how much money goes back with them: 0 would give back all of it.",
      "REQUEST_INVALID",
    );
  index({ eventId, accountId });
  setCurrentDetails("gives the money back");
  // A refund that was begun is finished: half of it would leave tickets without money or money without seats.
  return CancellationScope.nonCancellable(async () => {
    // Seats and money are set aside first, so that two refunds at once never give the same back. Refunds that began before that
    // was done here go on as they began.
    if (!patched("reserve-refund")) return await giveBack(input, undefined);
    const reserved = await reserve(input);
    return "refundId" in reserved ? reserved : await giveBack(input, reserved);
  });
}

async function giveBack(input: RefundInput, reserved: ReservedStep | undefined): Promise<RefundResult> {
  const { refundId, checkoutId, accountId, eventId } = input;
  const seats = reserved?.seatIds ?? input.seatIds;
  const { amount, outcome } =
    reserved?.amount === 0 ? { amount: 0 } : await lastWord(input, await pay(input, reserved));
  if (outcome === "failed") {
    // The order voids its tickets and owes the money by Stripe's word; that frees the seats, too.
    await takeStripesWord(checkoutId);
    index({ status: "refund_failed" });
    setCurrentDetails("has ended: the bank did not take the money, and a person has to see to it; tickets are void");
    return { refundId, checkoutId, amount, seatIds: seats, outcome };
  }
  setCurrentDetails("the money went back; voids the tickets");
  const voided = await insist(() =>
    inHouse("voidTickets", "Void the tickets", [{ checkoutId, refundId, seatIds: seats, amountRefunded: amount }]),
  );
  setCurrentDetails("the tickets are void; frees the seats");
  // Money alone frees none. Naming no seat would free all of them.
  if (!reserved || seats.length > 0)
    await insist(() =>
      inHouse("releaseClaims", "Free the seats", [{ eventId, checkoutId, accountId, seatIds: seats }]),
    );
  index({ status: "refunded" });
  setCurrentDetails("has ended: money, tickets and seats are back");
  log.info("a refund ended", { refundId, checkoutId, amount });
  return { refundId, checkoutId, amount, seatIds: reserved ? seats : voided };
}

/** Asks Stripe for the money. When it refuses, what was set aside is given up, and the order learns what Stripe knows. */
async function pay(input: RefundInput, reserved: ReservedStep | undefined): Promise<RefundedStep> {
  const { refundId, checkoutId } = input;
  const amount = reserved?.amount ?? input.amount;
  try {
    const summary = input.amount === 0 ? "Give all of the money back" : "Give some of the money back";
    return await atStripe.refundPayment.executeWithOptions({ summary }, [{ checkoutId, refundId, amount }]);
  } catch (error) {
    const refusal = refusalOf(error);
    if (!refusal) throw error;
    // This very refund was sent back before: an earlier run of it was closed by force.
    if (refusal.details["refundStatus"] !== undefined) return { amount, outcome: "failed" };
    if (reserved) await insist(() => inHouse("dropRefund", "Give the refund up", [{ checkoutId, refundId }]));
    // Money that moved at Stripe itself is why it has less left than the order says.
    if (patched("refund-truth")) await takeStripesWord(checkoutId);
    throw ApplicationFailure.nonRetryable(refusal.message, refusal.code);
  }
}

/** While Stripe's word is not final the tickets stay, and the seats are nobody else's. */
async function lastWord({ refundId, checkoutId }: RefundInput, paid: RefundedStep): Promise<RefundedStep> {
  if (paid.outcome !== "pending") return paid;
  setCurrentDetails("waits for the bank to take the money");
  const summary = "Wait until the bank has taken the money";
  return insist(() => untilFinal.awaitRefund.executeWithOptions({ summary }, [{ checkoutId, refundId }]));
}

/** Sets seats and money aside. A refund of the same seats that died halfway is ended first: its result is the answer. */
async function reserve(input: RefundInput): Promise<ReservedStep | RefundResult> {
  const { checkoutId, refundId, seatIds, amount, again = false, kind = "return", requestedBy } = input;
  const step = { checkoutId, refundId, seatIds, amount, again, kind, requestedBy };
  const ask = () =>
    inHouse("reserveRefund", "Set seats and money aside", [
      { ...step, reason: input.reason ?? "", insteadOf: input.insteadOf ?? "" },
    ]);
  try {
    return await ask();
  } catch (error) {
    const refusal = refusalOf(error);
    if (!refusal) throw error;
    const mayBeDead = refusal.code === "SEAT_REFUNDED" || refusal.code === "REFUND_TOO_LARGE";
    if (!mayBeDead || !patched("take-over-refunds"))
      throw ApplicationFailure.nonRetryable(refusal.message, refusal.code);
    const ended = await endDeadRefunds(input);
    const same = ended.find((one) => seatIds.length === 0 || seatIds.every((seatId) => one.seatIds.includes(seatId)));
    if (same && kind === "return") return { ...same, refundId };
    throw ApplicationFailure.nonRetryable(refusal.message, refusal.code);
  }
}

/** Refunds of this order whose workflows were closed by force are begun again under their own ids, and waited for. */
async function endDeadRefunds({ checkoutId, refundId }: RefundInput): Promise<RefundResult[]> {
  const dead = await insist(() =>
    inHouse("findDeadRefunds", "Has a refund of it died halfway?", [{ checkoutId, refundId }]),
  );
  const ended: RefundResult[] = [];
  for (const one of dead) {
    log.warn("a refund that died halfway is begun again", { refundId: one.refundId, checkoutId });
    try {
      ended.push(await beginAgain(one));
    } catch (error) {
      log.warn("a refund that died halfway can't be ended now", { refundId: one.refundId, error: String(error) });
    }
  }
  return ended;
}

/** The same refund once more: its id makes money, tickets and seats go back once. */
export const beginAgain = (input: RefundInput): Promise<RefundResult> =>
  executeChild<typeof refund>("refund", {
    workflowId: refundWorkflowId(input.refundId),
    workflowIdReusePolicy: "ALLOW_DUPLICATE",
    parentClosePolicy: ParentClosePolicy.ABANDON,
    args: [input],
    typedSearchAttributes: [
      { key: attributeKeys.eventId, value: input.eventId },
      { key: attributeKeys.accountId, value: input.accountId },
    ],
    staticSummary: `Refund of ${input.checkoutId}, which had stopped halfway`,
  });
