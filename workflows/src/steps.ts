// The steps that workflows take outside of themselves: their names, what they are given and what they answer. Plain data.
import type { CheckoutInput, ReconcileResult, RefundKind } from "./contract.js";
import type { PaymentState } from "./payments.js";

/** Refusals arrive in the workflow as ApplicationFailure with the refusal's code as its type. */
export interface Steps {
  // at Stripe, through the payment service
  authorizePayment(input: AuthorizeStep): Promise<PaymentState>;
  /** Asks Stripe until the payment is decided; each try that finds it undecided fails as PAYMENT_UNDECIDED and is retried. */
  awaitPayment(checkoutId: string): Promise<PaymentState>;
  capturePayment(checkoutId: string): Promise<PaymentState>;
  /** undefined: there never was a payment. */
  cancelPayment(checkoutId: string, reason: "requested_by_customer" | "abandoned"): Promise<PaymentState | undefined>;
  refundPayment(input: RefundStep): Promise<RefundedStep>;
  /** Asks Stripe. undefined: there never was a payment. */
  getPayment(checkoutId: string): Promise<PaymentState | undefined>;

  // in the house
  claimSeats(input: CheckoutInput): Promise<void>;
  releaseClaims(input: SeatsStep): Promise<void>;
  releaseHold(input: CheckoutInput): Promise<void>;
  /** The ids of the tickets, one a seat. */
  issueTickets(input: CheckoutInput): Promise<readonly string[]>;
  /** The seats whose tickets are void now. */
  voidTickets(input: VoidStep): Promise<readonly string[]>;
  findOrder(checkoutId: string): Promise<OrderState | undefined>;
  /** Sets seats and money of an order aside for one refund: what is given back. */
  reserveRefund(input: ReserveStep): Promise<ReservedStep>;
  /** Gives up a refund that was set aside and not paid. */
  dropRefund(input: { readonly checkoutId: string; readonly refundId: string }): Promise<void>;
  /** Takes an event off the sale for good. */
  cancelEvent(eventId: string): Promise<void>;
  /** Checkouts that have claims in an event, some at a time; where to go on, empty when that was all. */
  listClaimants(input: { readonly eventId: string; readonly cursor: string }): Promise<ClaimantsStep>;
  isCheckoutRunning(checkoutId: string): Promise<boolean>;

  /** Compares some events' seats with their claims; where to go on, empty when that was all. */
  reconcileSeats(cursor: string): Promise<ReconciledStep>;
}

export interface AuthorizeStep {
  readonly checkoutId: string;
  readonly accountId: string;
  readonly eventId: string;
  readonly attempt: number;
  readonly amount: number;
  readonly currency: string;
  readonly paymentMethodId: string;
  readonly description: string;
  readonly returnUrl: string;
}

export interface RefundStep {
  readonly checkoutId: string;
  readonly refundId: string;
  /** Minor units; 0: all that is left. */
  readonly amount: number;
}

export interface RefundedStep {
  /** Minor units. */
  readonly amount: number;
}

export interface SeatsStep {
  readonly eventId: string;
  readonly checkoutId: string;
  readonly accountId: string;
  /** Empty: all. */
  readonly seatIds: readonly string[];
}

export interface VoidStep {
  readonly checkoutId: string;
  readonly refundId: string;
  readonly seatIds: readonly string[];
  readonly amountRefunded: number;
}

export interface ReserveStep {
  readonly checkoutId: string;
  readonly refundId: string;
  /** Empty: all that are left. */
  readonly seatIds: readonly string[];
  /** Minor units; 0: all that is left. */
  readonly amount: number;
  readonly again: boolean;
  readonly kind?: RefundKind | undefined;
  readonly requestedBy?: string | undefined;
  readonly reason?: string | undefined;
  readonly insteadOf?: string | undefined;
}

export interface ReservedStep {
  /** May be empty: money only. */
  readonly seatIds: readonly string[];
  /** Minor units; 0: there is none left to give back. */
  readonly amount: number;
}

export interface ClaimantsStep {
  readonly checkoutIds: readonly string[];
  readonly nextCursor: string;
}

export interface ReconciledStep extends ReconcileResult {
  readonly nextCursor: string;
}

export interface OrderState {
  readonly seatIds: readonly string[];
  readonly amountRefunded: number;
  readonly accountId: string;
}

/** The type of the failure by which awaitPayment says "not yet". */
export const paymentUndecided = "PAYMENT_UNDECIDED";
