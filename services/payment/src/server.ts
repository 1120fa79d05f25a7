// Transport only: gRPC messages in and out, checked before a use case sees them.
import { chargeFault, currencies, mostInAny } from "@onsale/kit/currencies";
import { DomainError } from "@onsale/kit/errors";
import type { CallContext, ServiceHandlers } from "@onsale/kit/grpc-server";
import { tellPriceFault } from "@onsale/kit/money";
import {
  type Dispute,
  DisputeStatus,
  type Payment,
  type PaymentRefund,
  type PaymentServiceService,
  PaymentStatus,
  RefundStatus,
} from "@onsale/proto/payment/v1/payment";
import { z } from "zod";
import type { Books, StripePaymentRow } from "./books.js";
import type { Charges } from "./charge.js";
import { tellDecline } from "./declines.js";
import { type DisputeEntry, type DisputeStatus as DisputeState, disputedAmount, evidenceFields } from "./disputes.js";
import type { DisputeEvidence } from "./evidence.js";
import type { Ledger } from "./ledger.js";
import { cancelReasons, isTombstone, lastAnswered, type PaymentRecord, type PaymentState } from "./payments.js";
import type { Refunds } from "./refund.js";
import { foundRefund, givenBy, type RefundEntry } from "./refunds.js";
import type { ListedRecord, Store } from "./store.js";
import type { Webhooks } from "./webhook.js";

const id = z.string().regex(/^[A-Za-z0-9_-]{1,100}$/, "must be 1 to 100 letters, digits, _ or -");
const money = z.int().max(mostInAny, "is more than Stripe takes in one payment");

const authorizeRequest = z
  .object({
    checkoutId: id,
    userId: id,
    eventId: id,
    attempt: z.int().min(1).max(100),
    amount: money.min(1),
    currency: z
      .string()
      .transform((text) => text.toUpperCase())
      .refine((code) => currencies.has(code), "must be a currency that Stripe takes"),
    paymentMethodId: z.string(),
    description: z
      .string()
      .max(500)
      .regex(/^\P{Cc}*$/u, "must not have control characters"),
    returnUrl: z.url({ protocol: /^https?$/ }).max(2000),
  })
  .superRefine(({ amount, currency: code }, context) => {
    const currency = currencies.get(code);
    const fault = currency && chargeFault(amount, currency);
    // The least is Stripe's to say: it depends on what the account is paid out in, where ours is only a cautious guess.
    if (fault && fault.reason !== "too small")
      context.addIssue({ code: "custom", path: ["amount"], message: tellPriceFault(fault, code) });
  });
const paymentMethodId = /^pm_[A-Za-z0-9_]{1,200}$/;
const captureRequest = z.object({ checkoutId: id });
const cancelRequest = z.object({
  checkoutId: id,
  reason: z.enum(["", ...cancelReasons], { error: `must be empty or one of ${cancelReasons.join(", ")}` }),
});
const refundRequest = z.object({ checkoutId: id, refundId: id, amount: money.min(0) });
const getRequest = z.object({ checkoutId: id, refresh: z.boolean() });

const moment = z.int().min(0);
const cursor = z.string().max(300);
const listRequest = z
  .object({
    changedSinceMs: moment,
    changedBeforeMs: moment,
    statuses: z.array(z.string()),
    cursor,
    limit: z.int().min(0).max(500),
  })
  .transform(({ changedSinceMs, changedBeforeMs, statuses: asked, limit, ...rest }) => ({
    ...rest,
    changedSinceMs,
    ...(changedBeforeMs > 0 && { changedBeforeMs }),
    states: asked.map(stateOfStatus),
    limit: limit || 100,
  }));
const findRequest = z.object({ checkoutIds: z.array(id).max(500, "can't be more than 500") });
const stripeListRequest = z
  .object({ createdSinceMs: moment, createdBeforeMs: moment, cursor, limit: z.int().min(0).max(100) })
  .transform(({ createdSinceMs, createdBeforeMs, limit, ...rest }) => ({
    ...rest,
    ...(createdSinceMs > 0 && { createdSinceMs }),
    ...(createdBeforeMs > 0 && { createdBeforeMs }),
    limit: limit || 50,
  }));
const disputeId = z
  .string()
  .regex(/^d[up]_[A-Za-z0-9_]{1,200}$/, "must be the id of a dispute at Stripe (du_… or dp_…)");
const evidenceRequest = z.object({ checkoutId: id, disputeId });
/** https://docs.stripe.com/api/disputes/update */
const [longestField, longestEvidence] = [20_000, 150_000];
const giveEvidenceRequest = z.object({
  checkoutId: id,
  disputeId,
  evidence: z
    .partialRecord(z.enum(evidenceFields), z.string().min(1).max(longestField))
    .refine(
      (evidence) => Object.values(evidence).reduce((sum, text) => sum + (text?.length ?? 0), 0) <= longestEvidence,
      `must have at most ${longestEvidence} characters in all`,
    ),
  submit: z.boolean(),
});

function checked<Shape extends z.ZodType>(shape: Shape, request: unknown): z.infer<Shape> {
  const result = shape.safeParse(request);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new DomainError("REQUEST_INVALID", `The request is not valid: ${problems.join("; ")}.`, { problems });
}

/** For a call that brings no deadline. */
const longestCallMs = 30_000;
function deadlineOf({ deadline }: CallContext): number {
  return Number.isFinite(deadline) ? deadline : Date.now() + longestCallMs;
}

const statuses: Readonly<Record<PaymentState, PaymentStatus>> = {
  unpaid: PaymentStatus.UNPAID,
  requires_action: PaymentStatus.REQUIRES_ACTION,
  processing: PaymentStatus.PROCESSING,
  authorized: PaymentStatus.AUTHORIZED,
  captured: PaymentStatus.CAPTURED,
  cancelled: PaymentStatus.CANCELLED,
  partially_refunded: PaymentStatus.PARTIALLY_REFUNDED,
  refunded: PaymentStatus.REFUNDED,
};

/** Throws REQUEST_INVALID for what no payment of ours ever has. */
const stateOfStatus = (status: string): PaymentState => {
  const found = Object.entries(statuses).find(([, each]) => each === status);
  if (!found) throw new DomainError("REQUEST_INVALID", `The request is not valid: statuses can't have ${status}.`);
  return found[0] as PaymentState;
};

const refundStatuses: Readonly<Record<RefundEntry["status"], RefundStatus>> = {
  open: RefundStatus.OPEN,
  pending: RefundStatus.PENDING,
  requires_action: RefundStatus.REQUIRES_ACTION,
  succeeded: RefundStatus.SUCCEEDED,
  failed: RefundStatus.FAILED,
  canceled: RefundStatus.CANCELED,
};

const refundMessage = (refund: RefundEntry): PaymentRefund => ({
  refundId: refund.refundId,
  stripeRefundId: refund.stripeRefundId ?? "",
  amount: refund.amount,
  status: refundStatuses[refund.status],
  createdAtMs: refund.createdAtMs ?? 0,
  failureReason: refund.failureReason ?? "",
  outside: refund.outside ?? false,
});

const disputeStatuses: Readonly<Record<DisputeState, DisputeStatus>> = {
  needs_response: DisputeStatus.NEEDS_RESPONSE,
  under_review: DisputeStatus.UNDER_REVIEW,
  won: DisputeStatus.WON,
  lost: DisputeStatus.LOST,
  warning_needs_response: DisputeStatus.WARNING_NEEDS_RESPONSE,
  warning_under_review: DisputeStatus.WARNING_UNDER_REVIEW,
  warning_closed: DisputeStatus.WARNING_CLOSED,
  prevented: DisputeStatus.PREVENTED,
  unknown: DisputeStatus.UNSPECIFIED,
};

const disputeMessage = (dispute: DisputeEntry): Dispute => ({
  disputeId: dispute.disputeId,
  amount: dispute.amount,
  reason: dispute.reason,
  status: disputeStatuses[dispute.status],
  createdAtMs: dispute.createdAtMs,
  evidenceDueMs: dispute.evidenceDueMs ?? 0,
  hasEvidence: dispute.hasEvidence,
});

export function paymentMessage(record: PaymentRecord): Payment {
  const answered = lastAnswered(record);
  const decline = answered?.outcome === "declined" ? tellDecline(answered.declineCode ?? "") : undefined;
  return {
    checkoutId: record.checkoutId,
    userId: record.accountId,
    eventId: record.eventId,
    paymentIntentId: record.intentId ?? "",
    status: statuses[record.state],
    amount: record.amount,
    currency: record.currency,
    amountCaptured: record.amountCaptured,
    amountRefunded: record.amountRefunded,
    attempt: answered?.attempt ?? 0,
    declineCode: decline?.code ?? "",
    declineMessage: decline?.message ?? "",
    actionUrl: record.actionUrl ?? "",
    refunds: record.refunds.map(refundMessage),
    disputes: record.disputes.map(disputeMessage),
  };
}

const listedMessage = ({ record, createdAtMs, changedAtMs }: ListedRecord) => ({
  payment: paymentMessage(record),
  userId: record.accountId,
  eventId: record.eventId,
  createdAtMs,
  changedAtMs,
});

function stripePaymentMessage({ intent, record }: StripePaymentRow) {
  const { intentId, checkoutId = "", status, amount, currency, amountReceived, createdAtMs } = intent;
  const { refunds = [], disputes = [] } = intent;
  return {
    paymentIntentId: intentId,
    checkoutId,
    stripeStatus: status,
    amount,
    currency,
    amountCaptured: amountReceived,
    amountRefunded: givenBy(refunds),
    amountDisputed: disputedAmount(disputes),
    createdAtMs,
    refunds: refunds.map((refund) => refundMessage(foundRefund(refund, checkoutId))),
    disputes: disputes.map(disputeMessage),
    ...(record && { record: paymentMessage(record) }),
  };
}

/** A tombstone is no payment. */
const paymentOrNone = (record: PaymentRecord | undefined): { payment?: Payment } =>
  record && !isTombstone(record) ? { payment: paymentMessage(record) } : {};

export interface UseCases {
  readonly charges: Charges;
  readonly refunds: Refunds;
  readonly webhooks: Webhooks;
  readonly evidence: DisputeEvidence;
  readonly books: Books;
  readonly ledger: Ledger;
  readonly store: Store;
}

export function createHandlers(useCases: UseCases): ServiceHandlers<PaymentServiceService> {
  const { charges, refunds, webhooks, evidence, books, ledger, store } = useCases;
  return {
    async authorize(request, context) {
      const { userId, ...order } = checked(authorizeRequest, request);
      if (!paymentMethodId.test(order.paymentMethodId))
        throw new DomainError(
          "PAYMENT_METHOD_INVALID",
          "That is not the id of a payment method at Stripe (pm_…). Enter the card again.",
        );
      const record = await charges.authorize({ ...order, accountId: userId }, deadlineOf(context));
      return { payment: paymentMessage(record) };
    },
    async capture(request, context) {
      const { checkoutId } = checked(captureRequest, request);
      return { payment: paymentMessage(await charges.capture(checkoutId, deadlineOf(context))) };
    },
    async cancel(request, context) {
      const { checkoutId, reason } = checked(cancelRequest, request);
      return paymentOrNone(await charges.cancel(checkoutId, reason === "" ? undefined : reason, deadlineOf(context)));
    },
    async refund(request, context) {
      const order = checked(refundRequest, request);
      const { record, refund } = await refunds.refund(order, deadlineOf(context));
      return {
        payment: paymentMessage(record),
        stripeRefundId: refund.stripeRefundId ?? "",
        amount: refund.amount,
        status: refundStatuses[refund.status],
      };
    },
    async getPayment(request, context) {
      const { checkoutId, refresh } = checked(getRequest, request);
      const record = await store.read(checkoutId);
      if (!record || !refresh) return paymentOrNone(record);
      const call = { lane: "new", deadlineMs: deadlineOf(context) } as const;
      return paymentOrNone(await ledger.refresh(record, call));
    },
    async handleWebhook({ body, signature }, context) {
      const { stripeEventId, stripeEventType, record, seenBefore } = await webhooks.handle(
        Buffer.from(body),
        signature,
        deadlineOf(context),
      );
      return {
        stripeEventId,
        stripeEventType,
        checkoutId: record?.checkoutId ?? "",
        seenBefore,
        ...paymentOrNone(record),
      };
    },
    async listPayments(request) {
      const { rows, nextCursor } = await books.ours(checked(listRequest, request));
      return { payments: rows.map(listedMessage), nextCursor };
    },
    async findPayments(request) {
      return { payments: (await store.find(checked(findRequest, request).checkoutIds)).map(listedMessage) };
    },
    async listStripePayments(request, context) {
      const { rows, nextCursor } = await books.atStripe(checked(stripeListRequest, request), deadlineOf(context));
      return { payments: rows.map(stripePaymentMessage), nextCursor };
    },
    async getDisputeEvidence(request, context) {
      const of = checked(evidenceRequest, request);
      const dispute = await evidence.read(of.checkoutId, of.disputeId, deadlineOf(context));
      return { dispute: disputeMessage(dispute), evidence: { ...dispute.evidence } };
    },
    async submitDisputeEvidence(request, context) {
      const order = checked(giveEvidenceRequest, request);
      return { dispute: disputeMessage(await evidence.give(order, deadlineOf(context))) };
    },
  };
}
