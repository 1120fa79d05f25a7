// The refund workflow: money first, then tickets, then seats, so that no seat is sold again while its buyer is unpaid.
import { ApplicationFailure, CancellationScope, log, setCurrentDetails } from "@temporalio/workflow";
import type { RefundInput, RefundResult } from "../contract.js";
import { index } from "./checkout-page.js";
import { atStripe, inHouse, insist, refusalOf } from "./running-steps.js";

/** Fails with the refusal's code (REFUND_TOO_LARGE, PAYMENT_NOT_FOUND, …) when Stripe gives nothing back; nothing is changed then. */
export async function refund(input: RefundInput): Promise<RefundResult> {
  const { refundId, checkoutId, accountId, eventId, seatIds } = input;
  if (seatIds.length > 0 && input.amount === 0)
    throw ApplicationFailure.nonRetryable(
      "To give back some of the seats, say how much money goes back with them: 0 would give back all of it.",
      "REQUEST_INVALID",
    );
  index({ eventId, accountId });
  setCurrentDetails("gives the money back");
  // A refund that was begun is finished: half of it would leave tickets without money or money without seats.
  return CancellationScope.nonCancellable(async () => {
    let amount: number;
    try {
      const summary = input.amount === 0 ? "Give all of the money back" : "Give some of the money back";
      ({ amount } = await atStripe.refundPayment.executeWithOptions({ summary }, [
        { checkoutId, refundId, amount: input.amount },
      ]));
    } catch (error) {
      const refusal = refusalOf(error);
      if (!refusal) throw error;
      throw ApplicationFailure.nonRetryable(refusal.message, refusal.code);
    }
    setCurrentDetails("the money went back; voids the tickets");
    const voided = await insist(() =>
      inHouse("voidTickets", "Void the tickets", [{ checkoutId, refundId, seatIds, amountRefunded: amount }]),
    );
    setCurrentDetails("the tickets are void; frees the seats");
    await insist(() => inHouse("releaseClaims", "Free the seats", [{ eventId, checkoutId, accountId, seatIds }]));
    index({ status: "refunded" });
    setCurrentDetails("has ended: money, tickets and seats are back");
    log.info("a refund ended", { refundId, checkoutId, amount });
    return { refundId, checkoutId, amount, seatIds: voided };
  });
}
