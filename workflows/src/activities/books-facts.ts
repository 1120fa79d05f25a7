// What the services answer, as the facts that the books compare. Pure.
import {
  type Dispute,
  DisputeStatus,
  type Payment,
  type PaymentRefund,
  PaymentStatus,
  RefundStatus,
  type StripePayment,
} from "@onsale/proto/payment/v1/payment";
import { type FoundTicket, type Order, RefundKind, RefundState, TicketStatus } from "@onsale/proto/ticket/v1/ticket";
import type {
  DisputeFact,
  OrderFact,
  OrderRefundFact,
  PaymentFact,
  StripeRefundFact,
  TicketFact,
} from "../books/compare.js";
import { disputeWords } from "./payment.js";

export const stripeFact = (payment: StripePayment): PaymentFact => ({
  intentId: payment.paymentIntentId,
  state: stateOfIntent(payment.stripeStatus),
  amount: payment.amount,
  currency: payment.currency,
  captured: payment.amountCaptured,
  refunded: payment.amountRefunded,
  refunds: refundFacts(payment.refunds),
  disputes: payment.disputes.map(disputeFact),
});

export const recordFact = (payment: Payment): PaymentFact => ({
  intentId: payment.paymentIntentId,
  state: states[payment.status],
  amount: payment.amount,
  currency: payment.currency,
  captured: payment.amountCaptured,
  refunded: payment.amountRefunded,
  refunds: refundFacts(payment.refunds),
  disputes: payment.disputes.map(disputeFact),
});

export const orderFact = ({ amount, currency, seats, refunds, disputes }: Order): OrderFact => ({
  amount,
  currency,
  seats: seats.map(({ seatId, amount: price }) => ({ seatId, amount: price })),
  refunds: refunds.map(({ refundId, kind, state, amount: given, seatIds, money }) => ({
    ...{ refundId, amount: given, seatIds, money },
    kind: kinds[kind],
    state: refundStates[state],
  })),
  disputes: disputes.map(({ disputeId, amount: disputed, status }) => ({ disputeId, amount: disputed, status })),
});

export const ticketFacts = (tickets: readonly FoundTicket[] = []): readonly TicketFact[] =>
  tickets.map(({ seatId, status }) => ({ seatId, valid: status === TicketStatus.VALID }));

function stateOfIntent(status: string): PaymentFact["state"] {
  switch (status) {
    case "succeeded":
      return "captured";
    case "requires_capture":
      return "authorized";
    case "canceled":
      return "cancelled";
    default:
      return "open";
  }
}

const states: Readonly<Record<PaymentStatus, PaymentFact["state"]>> = {
  [PaymentStatus.UNSPECIFIED]: "open",
  [PaymentStatus.UNPAID]: "open",
  [PaymentStatus.REQUIRES_ACTION]: "open",
  [PaymentStatus.PROCESSING]: "open",
  [PaymentStatus.AUTHORIZED]: "authorized",
  [PaymentStatus.CAPTURED]: "captured",
  [PaymentStatus.CANCELLED]: "cancelled",
  [PaymentStatus.PARTIALLY_REFUNDED]: "captured",
  [PaymentStatus.REFUNDED]: "captured",
};

/** Without those that are not known to be at Stripe. */
const refundWords: Readonly<Record<RefundStatus, StripeRefundFact["status"] | undefined>> = {
  [RefundStatus.UNSPECIFIED]: undefined,
  [RefundStatus.OPEN]: undefined,
  [RefundStatus.PENDING]: "pending",
  [RefundStatus.REQUIRES_ACTION]: "requires_action",
  [RefundStatus.SUCCEEDED]: "succeeded",
  [RefundStatus.FAILED]: "failed",
  [RefundStatus.CANCELED]: "canceled",
};

/** Two with the same id of ours: somebody at Stripe wrote it into another refund's metadata, which doesn't make it that refund. */
function refundFacts(refunds: readonly PaymentRefund[]): readonly StripeRefundFact[] {
  const facts: StripeRefundFact[] = [];
  for (const { refundId, stripeRefundId, amount, status: word, outside } of refunds) {
    const status = refundWords[word];
    if (status === undefined) continue;
    const isTaken = facts.some((fact) => fact.refundId === refundId);
    facts.push({ amount, status, refundId: isTaken ? stripeRefundId : refundId, outside: isTaken || outside });
  }
  return facts;
}

const disputeFact = ({ disputeId, amount, status }: Dispute): DisputeFact => ({
  disputeId,
  amount,
  status: disputeWords[status] ?? disputeWords[DisputeStatus.UNSPECIFIED],
});

const kinds: Readonly<Record<RefundKind, OrderRefundFact["kind"]>> = {
  [RefundKind.UNSPECIFIED]: "return",
  [RefundKind.RETURN]: "return",
  [RefundKind.GOODWILL]: "goodwill",
  [RefundKind.VOID]: "void",
  [RefundKind.OUTSIDE]: "outside",
  [RefundKind.DISPUTE]: "dispute",
};

const refundStates: Readonly<Record<RefundState, OrderRefundFact["state"]>> = {
  [RefundState.UNSPECIFIED]: "pending",
  [RefundState.PENDING]: "pending",
  [RefundState.PAID]: "paid",
  [RefundState.FAILED]: "failed",
  [RefundState.REPLACED]: "replaced",
  [RefundState.CLOSED]: "closed",
};
