// What others know of the workflows: names, ids, inputs, answers. Plain data only: shared by workflow code and its callers.

export const checkoutTaskQueue = "checkout";

/** Search attributes, all of type Keyword, registered by `registerSearchAttributes` before the first start. */
export const searchAttributes = {
  eventId: "OnsaleEventId",
  accountId: "OnsaleAccountId",
  status: "OnsaleStatus",
} as const;

export const workflowTypes = {
  checkout: "checkout",
  refund: "refund",
  settleLatePayment: "settleLatePayment",
} as const;

export const checkoutWorkflowId = (checkoutId: string): string => `checkout-${checkoutId}`;
export const refundWorkflowId = (refundId: string): string => `refund-${refundId}`;
export const latePaymentWorkflowId = (checkoutId: string): string => `late-payment-${checkoutId}`;

/** Update `submitPayment`(SubmitPayment) → CheckoutView. Rejected (ApplicationFailure whose type is a RefusalCode) when late, busy or done. */
export const submitPaymentUpdate = "submitPayment";
/** Update `cancel`() → CheckoutView. Rejected when paid or being paid. */
export const cancelUpdate = "cancel";
/** Signal: Stripe said something about this checkout's payment; the workflow asks the payment service what is true now. */
export const paymentChangedSignal = "paymentChanged";
/** Query → CheckoutView. */
export const checkoutQuery = "checkout";

export const checkoutStatuses = [
  "held",
  "paying",
  "requires_action",
  "completed",
  "expired",
  "cancelled",
  "refunded",
] as const;
export type CheckoutStatus = (typeof checkoutStatuses)[number];

export interface CheckoutSeat {
  readonly seatId: string;
  readonly sectionId: string;
  /** Empty in general admission. */
  readonly row: string;
  readonly number: string;
  readonly tierId: string;
  /** Minor units. */
  readonly amount: number;
}

/** The event as it goes on the ticket. */
export interface CheckoutEvent {
  readonly eventId: string;
  readonly name: string;
  readonly startsAtMs: number;
  readonly venueName: string;
  readonly city: string;
  readonly timeZone: string;
}

/** The workflow's input: the hold that was won. No personal data: it stays in histories. */
export interface CheckoutInput {
  readonly checkoutId: string;
  readonly accountId: string;
  readonly event: CheckoutEvent;
  readonly holdId: string;
  readonly epoch: number;
  /** By the seat store's clock. */
  readonly deadlineMs: number;
  readonly seats: readonly CheckoutSeat[];
  readonly amount: number;
  readonly currency: string;
  /** How long a payment in flight at the deadline may take to tell its outcome. */
  readonly graceMs: number;
}

export interface SubmitPayment {
  /** Stripe's id, pm_… */
  readonly paymentMethodId: string;
  /** Where Stripe sends the buyer after 3-D Secure. */
  readonly returnUrl: string;
}

export interface CheckoutView {
  readonly checkoutId: string;
  readonly accountId: string;
  readonly eventId: string;
  readonly status: CheckoutStatus;
  readonly deadlineMs: number;
  readonly seats: readonly CheckoutSeat[];
  readonly amount: number;
  readonly currency: string;
  /** Why the last payment was declined, in Stripe's words and ours. The buyer may try again while status is held. */
  readonly decline?: { readonly code: string; readonly message: string };
  /** Where the buyer approves the payment, while status is requires_action. */
  readonly actionUrl?: string;
  /** Why it ended without tickets, when it did: HOLD_EXPIRED, SEAT_TAKEN, … */
  readonly reason?: string;
  readonly ticketIds: readonly string[];
}

/** An order, or some of its seats, is given back: money first, then tickets, then seats. */
export interface RefundInput {
  readonly refundId: string;
  readonly checkoutId: string;
  readonly accountId: string;
  readonly eventId: string;
  /** Empty: all. */
  readonly seatIds: readonly string[];
  /** Minor units; 0: all that is left. */
  readonly amount: number;
  readonly requestedBy: string;
}

export interface RefundResult {
  readonly refundId: string;
  readonly checkoutId: string;
  readonly amount: number;
  readonly seatIds: readonly string[];
}

export interface SettleLatePaymentInput {
  readonly checkoutId: string;
}
