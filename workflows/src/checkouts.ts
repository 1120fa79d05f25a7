// Checkouts: the states one goes through and which request is taken in which. Pure.
import type { RefusalCode } from "@onsale/kit/errors";
import type { CheckoutStatus, SubmitPayment } from "./contract.js";

export interface CheckoutState {
  readonly status: CheckoutStatus;
  readonly deadlineMs: number;
  /** The end that has begun: undoing takes a while, and nothing new is taken meanwhile. */
  readonly ending: CheckoutStatus | undefined;
  /** A cancellation by the buyer that was taken and is about to end it. */
  readonly cancelAsked: boolean;
}

export interface Refused {
  readonly code: RefusalCode;
  /** For the buyer. */
  readonly message: string;
}

/** May a payment be submitted now? undefined: yes. */
export function refusePayment(state: CheckoutState, payment: SubmitPayment, nowMs: number): Refused | undefined {
  if (!isText(payment?.paymentMethodId, 255) || !isText(payment?.returnUrl, 2_048))
    return { code: "REQUEST_INVALID", message: "A payment needs a payment method and an address to return to." };
  const over = refuseOver(state.ending ?? state.status);
  if (over) return over;
  if (state.cancelAsked) return refuseOver("cancelled");
  if (state.status !== "held")
    return {
      code: "CHECKOUT_BUSY",
      message: "A payment for this checkout is being processed. Wait for its outcome before you try another.",
    };
  if (nowMs >= state.deadlineMs) return refuseOver("expired");
  return undefined;
}

/** May the buyer cancel now? While a card is being charged the answer is no: the outcome comes within seconds. */
export function refuseCancel(state: CheckoutState): Refused | undefined {
  if (state.ending === undefined && state.status === "paying")
    return {
      code: "CHECKOUT_BUSY",
      message: "A payment for this checkout is being processed, so it can't be cancelled now. Wait for its outcome.",
    };
  return refuseOver(state.ending ?? state.status);
}

function refuseOver(status: CheckoutStatus): Refused | undefined {
  switch (status) {
    case "completed":
      return { code: "CHECKOUT_COMPLETED", message: "This checkout is paid. Your tickets are under /v1/tickets." };
    case "refunded":
      return { code: "CHECKOUT_CANCELLED", message: "This checkout has ended and its money was given back." };
    case "expired":
      return { code: "CHECKOUT_EXPIRED", message: "The time to pay is over and the seats are free again." };
    case "cancelled":
      return { code: "CHECKOUT_CANCELLED", message: "This checkout was cancelled and its seats are free again." };
    case "held":
    case "paying":
    case "requires_action":
      return undefined;
  }
}

const isText = (value: unknown, longest: number): boolean =>
  typeof value === "string" && value.length > 0 && value.length <= longest;

/** Milliseconds of the workflow's clock until the hold ends; a deadline already past is now. */
export function untilDeadline(deadlineMs: number, nowMs: number): number {
  return Math.max(deadlineMs - nowMs, 0);
}
