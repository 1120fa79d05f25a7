// The steps that workflows take outside of themselves: their names, what they are given and what they answer. Plain data.
import type {
  BooksFigures,
  BooksFinding,
  CheckoutInput,
  DisputeInput,
  FailedRefundInput,
  ReconcileResult,
  RefundInput,
  RefundKind,
} from "./contract.js";
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
  /** Asks Stripe until its word on a refund is final; each try before that fails as PAYMENT_UNDECIDED and is retried. */
  awaitRefund(input: { readonly checkoutId: string; readonly refundId: string }): Promise<RefundedStep>;
  /** Asks Stripe. undefined: there never was a payment. */
  getPayment(checkoutId: string): Promise<PaymentState | undefined>;
  /** Asks Stripe what became of an order's money, and takes it to the order. undefined: there is no payment, or no order. */
  followPayment(checkoutId: string): Promise<FollowedStep | undefined>;

  // in the house
  claimSeats(input: CheckoutInput): Promise<void>;
  releaseClaims(input: SeatsStep): Promise<void>;
  releaseHold(input: CheckoutInput): Promise<void>;
  /** The ids of the tickets, one a seat. Refusal: CHECKOUT_CANCELLED, when it has ended without an order. */
  issueTickets(input: Purchase): Promise<readonly string[]>;
  /** The seats whose tickets are void now. */
  voidTickets(input: VoidStep): Promise<readonly string[]>;
  findOrder(checkoutId: string): Promise<OrderState | undefined>;
  /** Ends a checkout without an order, for good; the order, if it has one after all. */
  endCheckout(input: { readonly checkoutId: string; readonly reason: string }): Promise<OrderState | undefined>;
  /** What a checkout has claimed and not given back; undefined: nothing. */
  findSale(input: { readonly eventId: string; readonly checkoutId: string }): Promise<SaleState | undefined>;
  /** Refunds of an order that were set aside and whose workflow does not run, but for the one that asks. */
  findDeadRefunds(input: { readonly checkoutId: string; readonly refundId: string }): Promise<readonly RefundInput[]>;
  /** Does this refund of an order still need a person? */
  isRefundOwed(input: { readonly checkoutId: string; readonly refundId: string }): Promise<boolean>;
  /** Sets seats and money of an order aside for one refund: what is given back. */
  reserveRefund(input: ReserveStep): Promise<ReservedStep>;
  /** Gives up a refund that was set aside and not paid. */
  dropRefund(input: { readonly checkoutId: string; readonly refundId: string }): Promise<void>;
  /** Takes an event off the sale for good. */
  cancelEvent(eventId: string): Promise<void>;
  /** Checkouts that have claims in an event, some at a time; where to go on, empty when that was all. */
  listClaimants(input: { readonly eventId: string; readonly cursor: string }): Promise<ClaimantsStep>;
  isCheckoutRunning(checkoutId: string): Promise<boolean>;

  /** Looks for some seconds for what belongs to nothing; where to go on, empty when that was all. */
  lookForOrphans(input: OrphansStep): Promise<OrphansFound>;

  /** Compares the books for some seconds; where to go on, empty when that was all. */
  compareBooks(input: BooksStep): Promise<BooksPage>;

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
  /** Absent in answers from before there was one: succeeded. */
  readonly outcome?: "succeeded" | "pending" | "failed";
}

/** What Stripe's word on a payment means for its order. */
export interface FollowedStep {
  readonly accountId: string;
  readonly eventId: string;
  /** Whose tickets became void by money that moved at Stripe itself. */
  readonly voidSeatIds: readonly string[];
  readonly failedRefunds: readonly FailedRefundInput[];
  readonly disputes: readonly DisputeState[];
}

export interface DisputeState extends DisputeInput {
  /** Stripe's word. */
  readonly status: string;
}

/** Is it decided, by Stripe's word? */
export const isDisputeOpen = (status: string): boolean =>
  ["needs_response", "under_review", "warning_needs_response", "warning_under_review"].includes(status);

export interface SaleState {
  /** As the checkout was begun, as far as tickets need it. */
  readonly purchase: Purchase;
  /** It has given no seat back. */
  readonly whole: boolean;
  readonly eventCancelled: boolean;
}

/** What tickets are issued for. */
export type Purchase = Pick<CheckoutInput, "checkoutId" | "accountId" | "event" | "seats" | "amount" | "currency">;

export const orphanKinds = ["sale", "payment", "refund", "failed refund", "order", "cancelled event"] as const;
export type OrphanKind = (typeof orphanKinds)[number];

export interface OrphansStep {
  readonly kind: OrphanKind;
  /** What changed within [since, before) is looked at. Epoch milliseconds. */
  readonly sinceMs: number;
  readonly beforeMs: number;
  readonly cursor: string;
}

export type Orphan =
  /** Claims or money of a checkout that has no order, and whose workflow does not run. */
  | { readonly kind: "checkout"; readonly checkoutId: string; readonly eventId: string }
  /** A refund whose workflow died halfway. */
  | { readonly kind: "refund"; readonly refund: RefundInput }
  | { readonly kind: "failed refund"; readonly refund: FailedRefundInput }
  /** Seats that are claimed, although their tickets are void. */
  | { readonly kind: "seats"; readonly seats: SeatsStep }
  /** Valid tickets whose seats nobody has claimed. */
  | { readonly kind: "unclaimed"; readonly checkoutId: string; readonly seatIds: readonly string[] }
  /** An event that is cancelled and whose orders nobody gives back. */
  | { readonly kind: "cancelled event"; readonly eventId: string };

export interface OrphansFound {
  readonly orphans: readonly Orphan[];
  readonly looked: number;
  /** When the oldest of those began or changed that is still looked after, or waits for a person; 0: there is none. The next search begins there. */
  readonly oldestOpenMs: number;
  readonly nextCursor: string;
}

/** Stripe's payments first; then our own payments, orders and claims that those did not lead to. */
export const booksParts = ["stripe", "payment", "order", "sale"] as const;
export type BooksPart = (typeof booksParts)[number];

export interface BooksStep {
  readonly part: BooksPart;
  /** What was made or changed within [since, before) is looked at. Epoch milliseconds. */
  readonly sinceMs: number;
  readonly beforeMs: number;
  /** What changed since then may be under way. */
  readonly settledMs: number;
  readonly cursor: string;
}

export interface BooksPage {
  readonly compared: number;
  readonly figures: readonly BooksFigures[];
  readonly findings: readonly BooksFinding[];
  /** Checkouts with differences that are under way. */
  readonly inFlight: readonly string[];
  readonly foreign: number;
  readonly nextCursor: string;
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
  readonly kind: RefundKind;
  readonly requestedBy: string;
  readonly reason: string;
  /** Empty: of none. */
  readonly insteadOf: string;
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
  /** Whose tickets are void. */
  readonly voidSeatIds: readonly string[];
  readonly ticketIds: readonly string[];
  readonly amountRefunded: number;
  readonly accountId: string;
}

/** The type of the failure by which awaitPayment says "not yet". */
export const paymentUndecided = "PAYMENT_UNDECIDED";
