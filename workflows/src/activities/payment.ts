// The steps at Stripe, through the payment service.
import type { ServiceClient } from "@onsale/kit/grpc";
import { type Payment, type PaymentServiceService, PaymentStatus } from "@onsale/proto/payment/v1/payment";
import { ApplicationFailure, ApplicationFailureCategory } from "@temporalio/common";
import { judge, type PaymentState, type PaymentStatus as Status, settlement } from "../payments.js";
import { paymentUndecided, type Steps } from "../steps.js";
import type { Attempt } from "./attempts.js";

type PaymentSteps = Pick<
  Steps,
  "authorizePayment" | "awaitPayment" | "capturePayment" | "cancelPayment" | "refundPayment" | "getPayment"
>;

export function paymentSteps(payment: ServiceClient<PaymentServiceService>, attempt: Attempt): PaymentSteps {
  return {
    authorizePayment: ({ accountId, ...step }) =>
      attempt("all", async (options) => {
        const answer = await payment.authorize({ ...step, userId: accountId }, options);
        return stateOf(required(answer.payment));
      }),

    awaitPayment: (checkoutId) =>
      attempt([], async (options) => {
        const { payment: found } = await payment.getPayment({ checkoutId, refresh: true }, options);
        const state = stateOf(required(found));
        if (judge(state).kind !== "undecided") return state;
        throw notYet(
          state.status === "requires_action"
            ? "The buyer has not approved the payment at the bank yet."
            : "Stripe has not decided the payment yet.",
        );
      }),

    capturePayment: (checkoutId) =>
      attempt(["PAYMENT_STATE_CONFLICT", "PAYMENT_NOT_FOUND"], async (options) => {
        const state = stateOf(required((await payment.capture({ checkoutId }, options)).payment));
        if (state.status !== "captured") throw notYet(`The payment is ${state.status} after its capture.`);
        return state;
      }),

    cancelPayment: (checkoutId, reason) =>
      attempt([], async (options) => {
        const { payment: left } = await payment.cancel({ checkoutId, reason }, options);
        if (!left) return undefined;
        const state = stateOf(left);
        // Money may still come of it: not cancelled, whatever the call said.
        if (settlement(state) === "cancel" && state.status !== "unpaid")
          throw notYet(`The payment is ${state.status} after it was cancelled.`);
        return state;
      }),

    refundPayment: (step) =>
      attempt(
        ["REFUND_TOO_LARGE", "PAYMENT_NOT_FOUND", "PAYMENT_STATE_CONFLICT", "REQUEST_INVALID"],
        async (options) => {
          const { amount } = await payment.refund(step, options);
          return { amount };
        },
      ),

    getPayment: (checkoutId) =>
      attempt([], async (options) => {
        const { payment: found } = await payment.getPayment({ checkoutId, refresh: true }, options);
        return found && stateOf(found);
      }),
  };
}

/** Waiting is no fault: benign failures are repeated without alarming whoever watches error rates. */
function notYet(message: string): ApplicationFailure {
  return ApplicationFailure.create({
    type: paymentUndecided,
    message,
    nonRetryable: false,
    category: ApplicationFailureCategory.BENIGN,
  });
}

function required(payment: Payment | undefined): Payment {
  if (!payment) throw new Error("the payment service answered without a payment");
  return payment;
}

const statuses: Readonly<Record<PaymentStatus, Status | undefined>> = {
  [PaymentStatus.UNSPECIFIED]: undefined,
  [PaymentStatus.UNPAID]: "unpaid",
  [PaymentStatus.REQUIRES_ACTION]: "requires_action",
  [PaymentStatus.PROCESSING]: "processing",
  [PaymentStatus.AUTHORIZED]: "authorized",
  [PaymentStatus.CAPTURED]: "captured",
  [PaymentStatus.CANCELLED]: "cancelled",
  [PaymentStatus.PARTIALLY_REFUNDED]: "partially_refunded",
  [PaymentStatus.REFUNDED]: "refunded",
};

export function stateOf(payment: Payment): PaymentState {
  const status = statuses[payment.status];
  if (!status) throw new Error(`the payment service answered with an unknown status: ${payment.status}`);
  return {
    status,
    amountCaptured: payment.amountCaptured,
    amountRefunded: payment.amountRefunded,
    ...(payment.declineCode && { decline: { code: payment.declineCode, message: payment.declineMessage } }),
  };
}
