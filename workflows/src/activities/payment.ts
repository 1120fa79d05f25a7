// The steps at Stripe, through the payment service.

import { DomainError } from "@onsale/kit/errors";
import type { ServiceClient } from "@onsale/kit/grpc-client";
import {
  DisputeStatus,
  type Payment,
  type PaymentServiceService,
  PaymentStatus,
  RefundStatus,
} from "@onsale/proto/payment/v1/payment";
import {
  type OrderDispute,
  type RecordedRefund,
  RefundState,
  type TicketServiceService,
} from "@onsale/proto/ticket/v1/ticket";
import { ApplicationFailure, ApplicationFailureCategory } from "@temporalio/common";
import { judge, type PaymentState, type PaymentStatus as Status, settlement } from "../payments.js";
import { paymentUndecided, type RefundedStep, type Steps } from "../steps.js";
import type { Attempt } from "./attempts.js";

type PaymentSteps = Pick<
  Steps,
  | "authorizePayment"
  | "awaitPayment"
  | "capturePayment"
  | "cancelPayment"
  | "refundPayment"
  | "awaitRefund"
  | "getPayment"
  | "followPayment"
>;

export function paymentSteps(
  payment: ServiceClient<PaymentServiceService>,
  ticket: ServiceClient<TicketServiceService>,
  attempt: Attempt,
): PaymentSteps {
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
          const { amount, status } = await payment.refund(step, options);
          return { amount, outcome: outcomeOf(status) };
        },
      ),

    awaitRefund: ({ checkoutId, refundId }) =>
      attempt([], async (options) => {
        const { payment: found } = await payment.getPayment({ checkoutId, refresh: true }, options);
        const refund = required(found).refunds.find((one) => one.refundId === refundId);
        if (!refund) throw new Error(`the payment service knows no refund ${refundId} of ${checkoutId}`);
        const outcome = outcomeOf(refund.status);
        if (outcome === "pending") throw notYet("Stripe has not told yet whether the refund reached the buyer.");
        return { amount: refund.amount, outcome };
      }),

    getPayment: (checkoutId) =>
      attempt([], async (options) => {
        const { payment: found } = await payment.getPayment({ checkoutId, refresh: true }, options);
        return found && stateOf(found);
      }),

    followPayment: (checkoutId) =>
      attempt([], async (options) => {
        const { payment: found } = await payment.getPayment({ checkoutId, refresh: true }, options);
        if (!found) return undefined;
        const disputes = found.disputes.map((dispute) => ({ ...dispute, status: disputeWords[dispute.status] }));
        const { order, voidSeatIds } = await ticket
          .recordPayment(
            {
              checkoutId,
              refunds: found.refunds.flatMap((refund): RecordedRefund[] => {
                const status = refundWords[refund.status];
                return status === undefined ? [] : [{ ...refund, status }];
              }),
              disputes: disputes.map((dispute): OrderDispute => ({ ...dispute, answeredAtMs: 0, answeredBy: "" })),
            },
            options,
          )
          .catch((thrown: unknown) => {
            if (thrown instanceof DomainError && thrown.code === "ORDER_NOT_FOUND")
              return { order: undefined, voidSeatIds: [] };
            throw thrown;
          });
        if (!order) return undefined;
        const whose = { checkoutId, accountId: order.userId, eventId: order.event?.eventId ?? "" };
        const { currency } = order;
        return {
          ...whose,
          voidSeatIds,
          failedRefunds: order.refunds
            .filter(({ state }) => state === RefundState.FAILED)
            .map(({ refundId, amount }) => ({ ...whose, refundId, amount, currency })),
          disputes: disputes.map(({ disputeId, amount, reason, evidenceDueMs, status }) => ({
            ...whose,
            ...{ disputeId, amount, currency, reason, evidenceDueMs, status },
          })),
        };
      }),
  };
}

function outcomeOf(status: RefundStatus): NonNullable<RefundedStep["outcome"]> {
  switch (status) {
    case RefundStatus.FAILED:
    case RefundStatus.CANCELED:
      return "failed";
    case RefundStatus.PENDING:
    case RefundStatus.REQUIRES_ACTION:
      return "pending";
    default:
      return "succeeded";
  }
}

/** Stripe's words; undefined: Stripe is not known to have it. */
const refundWords: Readonly<Record<RefundStatus, string | undefined>> = {
  [RefundStatus.UNSPECIFIED]: undefined,
  [RefundStatus.OPEN]: undefined,
  [RefundStatus.PENDING]: "pending",
  [RefundStatus.REQUIRES_ACTION]: "requires_action",
  [RefundStatus.SUCCEEDED]: "succeeded",
  [RefundStatus.FAILED]: "failed",
  [RefundStatus.CANCELED]: "canceled",
};

/** Stripe's words. */
export const disputeWords: Readonly<Record<DisputeStatus, string>> = {
  [DisputeStatus.UNSPECIFIED]: "unknown",
  [DisputeStatus.NEEDS_RESPONSE]: "needs_response",
  [DisputeStatus.UNDER_REVIEW]: "under_review",
  [DisputeStatus.WON]: "won",
  [DisputeStatus.LOST]: "lost",
  [DisputeStatus.WARNING_NEEDS_RESPONSE]: "warning_needs_response",
  [DisputeStatus.WARNING_UNDER_REVIEW]: "warning_under_review",
  [DisputeStatus.WARNING_CLOSED]: "warning_closed",
  [DisputeStatus.PREVENTED]: "prevented",
};

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
    ...(payment.eventId && { eventId: payment.eventId }),
    ...(payment.declineCode && { decline: { code: payment.declineCode, message: payment.declineMessage } }),
  };
}
