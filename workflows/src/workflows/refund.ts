// The refund workflow: set aside, then money, tickets and seats, so that no seat is sold again while its buyer is unpaid.
import { ApplicationFailure, CancellationScope, log, patched, setCurrentDetails } from "@temporalio/workflow";
import type { RefundInput, RefundResult } from "../contract.js";
import type { ReservedStep } from "../steps.js";
import { index } from "./checkout-page.js";
import { atStripe, inHouse, insist, refusalOf } from "./running-steps.js";

/** Fails with the refusal's code (SEAT_REFUNDED, REFUND_TOO_LARGE, PAYMENT_NOT_FOUND, …) when nothing goes back; nothing is changed then. */
export async function refund(input: RefundInput): Promise<RefundResult> {
  const { refundId, checkoutId, accountId, eventId, seatIds } = input;
  // Since there are kinds, the ticket service knows what is left of each seat.
  if (input.kind === undefined && seatIds.length > 0 && input.amount === 0)
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
    const reserved = patched("reserve-refund") ? await reserve(input) : undefined;
    const seats = reserved?.seatIds ?? seatIds;
    let amount = 0;
    // Seats whose money went back before, out of goodwill, are void and free now, and that is all.
    if (reserved?.amount !== 0) {
      try {
        const summary = input.amount === 0 ? "Give all of the money back" : "Give some of the money back";
        ({ amount } = await atStripe.refundPayment.executeWithOptions({ summary }, [
          { checkoutId, refundId, amount: reserved?.amount ?? input.amount },
        ]));
      } catch (error) {
        const refusal = refusalOf(error);
        if (!refusal) throw error;
        if (reserved) await insist(() => inHouse("dropRefund", "Give the refund up", [{ checkoutId, refundId }]));
        throw ApplicationFailure.nonRetryable(refusal.message, refusal.code);
      }
    }
    setCurrentDetails("the money went back; voids the tickets");
    const voided = await insist(() =>
      inHouse("voidTickets", "Void the tickets", [{ checkoutId, refundId, seatIds: seats, amountRefunded: amount }]),
    );
    setCurrentDetails("the tickets are void; frees the seats");
    // Money alone, for seats that were given back before. Naming no seat would free all of them.
    if (!reserved || seats.length > 0)
      await insist(() =>
        inHouse("releaseClaims", "Free the seats", [{ eventId, checkoutId, accountId, seatIds: seats }]),
      );
    index({ status: "refunded" });
    setCurrentDetails("has ended: money, tickets and seats are back");
    log.info("a refund ended", { refundId, checkoutId, amount });
    return { refundId, checkoutId, amount, seatIds: reserved ? seats : voided };
  });
}

async function reserve(input: RefundInput): Promise<ReservedStep> {
  const { checkoutId, refundId, seatIds, amount, again = false, kind, reason, insteadOf, requestedBy } = input;
  try {
    return await inHouse("reserveRefund", "Set seats and money aside", [
      { checkoutId, refundId, seatIds, amount, again, kind, reason, insteadOf, requestedBy },
    ]);
  } catch (error) {
    const refusal = refusalOf(error);
    if (!refusal) throw error;
    throw ApplicationFailure.nonRetryable(refusal.message, refusal.code);
  }
}
