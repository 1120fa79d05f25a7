// The route of Stripe's webhooks: verified and stored by the payment service, then told to the checkout that waits for it.
import { DomainError } from "@onsale/kit/errors";
import type { CallOptions } from "@onsale/kit/grpc-client";
import { type Payment, PaymentStatus, RefundStatus } from "@onsale/proto/payment/v1/payment";
import {
  awaitsPaymentSignal,
  type CheckoutStatus,
  type CheckoutView,
  checkoutStatuses,
  checkoutWorkflowId,
  type FollowPaymentInput,
  followPaymentWorkflowId,
  latePaymentWorkflowId,
  paymentChangedSignal,
  type SettleLatePaymentInput,
  searchAttributes,
  workflowTypes,
} from "@onsale/workflows/contract";
import type { Services } from "../clients/services.js";
import type { Start, Temporal } from "../clients/temporal.js";
import { type Route, route } from "../http/route.js";
import * as schema from "../schemas.js";
import type { Checkouts } from "./checkouts.js";

export interface WebhookDependencies {
  readonly services: Services;
  readonly temporal: Temporal;
  readonly checkouts: Checkouts;
  readonly taskQueue: string;
}

export function webhookRoutes({ services, temporal, checkouts, taskQueue }: WebhookDependencies): Route[] {
  /** Returns only when what the payment said can't be lost any more. */
  async function tell(
    checkoutId: string,
    payment: Payment | undefined,
    stripeEventId: string,
    options: CallOptions,
  ): Promise<void> {
    const workflowId = checkoutWorkflowId(checkoutId);
    const checkout = await temporal.describe(workflowId);
    if (checkout?.open) {
      const status = checkoutStatuses.find((one) => one === checkout.attributes[searchAttributes.status]);
      if (status && !awaitsPaymentSignal(status)) return;
      if (await temporal.signal(workflowId, paymentChangedSignal)) return;
      // It closed in this moment.
    }
    const attributes = checkout ? whose(checkout.attributes) : {};
    if (payment && movedAtStripe(payment)) {
      const follow: FollowPaymentInput = { checkoutId };
      await begin({
        type: workflowTypes.followPayment,
        // One for each word of Stripe's: one that runs already may have asked before it.
        workflowId: followPaymentWorkflowId(checkoutId, stripeEventId),
        input: follow,
        attributes,
        summary: `Stripe's word on the money of ${checkoutId}`,
      });
    }
    if (payment && isSettled(await endOf(checkoutId, checkout !== undefined, options), payment)) return;
    const input: SettleLatePaymentInput = { checkoutId };
    await begin({
      type: workflowTypes.settleLatePayment,
      workflowId: latePaymentWorkflowId(checkoutId),
      input,
      attributes,
      summary: `Money of ${checkoutId}, which had ended`,
    });
  }

  /** Returns once it is certain to run. */
  async function begin(start: Omit<Start, "taskQueue">): Promise<void> {
    const started = await temporal.start({ ...start, taskQueue, mayRepeat: true });
    if (started.kind === "not-started" || started.kind === "unknown")
      throw new DomainError(
        "UNAVAILABLE",
        "The webhook can't be taken right now. Please deliver it again.",
        {},
        started.cause,
      );
  }

  /** How a checkout that runs no more has ended; undefined when nothing tells. */
  async function endOf(checkoutId: string, kept: boolean, options: CallOptions): Promise<CheckoutStatus | undefined> {
    const returned = kept
      ? await temporal.result<CheckoutView>(checkoutWorkflowId(checkoutId)).catch(() => undefined)
      : undefined;
    if (returned?.kind === "done") return returned.result.status;
    return (await checkouts.order(checkoutId, "", options).catch(() => undefined)) ? "completed" : undefined;
  }

  return [
    route(
      {
        method: "post",
        path: "/v1/webhooks/stripe",
        operationId: "receiveStripeWebhook",
        tag: "webhooks",
        summary: "Stripe's webhooks",
        description:
          "Signed by Stripe (header Stripe-Signature over the body as it is). Stripe sends no Idempotency-Key; its event ids serve for that. 2xx means that it is stored and acted upon for good.",
        access: "anyone",
        limits: ["webhooks"],
        rawBody: true,
        bodyLimitBytes: 256 * 1024,
        answers: { 200: { description: "Taken.", schema: schema.webhookReceipt } },
        refusals: ["WEBHOOK_SIGNATURE_INVALID"],
      },
      async ({ raw, header, rpc }) => {
        const { checkoutId, payment, stripeEventId } = await services.payment.handleWebhook(
          { body: raw, signature: header("stripe-signature") ?? "" },
          rpc(10_000),
        );
        if (checkoutId !== "") await tell(checkoutId, payment, stripeEventId, rpc());
        return { status: 200, body: { received: true } };
      },
    ),
  ];
}

/** Event and account of the checkout, so that operators find this beside it. */
function whose(attributes: Readonly<Record<string, string>>): Record<string, string> {
  const names = [searchAttributes.eventId, searchAttributes.accountId];
  return Object.fromEntries(names.flatMap((name) => (attributes[name] ? [[name, attributes[name]]] : [])));
}

/** Has money moved that its order can't know of: made at Stripe itself, sent back by a bank, or disputed? */
export const movedAtStripe = ({ refunds, disputes }: Pick<Payment, "refunds" | "disputes">): boolean =>
  disputes.length > 0 ||
  refunds.some(({ outside, status }) => outside || status === RefundStatus.FAILED || status === RefundStatus.CANCELED);

/** Do the money and the end of its checkout agree, so that nothing is left to do? */
export function isSettled(end: CheckoutStatus | undefined, payment: Payment): boolean {
  switch (payment.status) {
    case PaymentStatus.CAPTURED:
    case PaymentStatus.PARTIALLY_REFUNDED:
      return end === "completed";
    case PaymentStatus.UNPAID:
    case PaymentStatus.CANCELLED:
    case PaymentStatus.REFUNDED:
      return end !== undefined;
    default:
      return false;
  }
}
