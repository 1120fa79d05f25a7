// A PaymentIntent's life: which moves are legal in which state, and what each changes. Pure: no clock, no store, no HTTP.
// Source: https://docs.stripe.com/payments/paymentintents/lifecycle and https://docs.stripe.com/api/payment_intents
import {
  type Behaviour,
  behaviourOf,
  type Decline,
  declines,
  type Method,
  type StoredCard,
  usedBefore,
} from "./cards.js";

export type PaymentStatus =
  | "requires_payment_method"
  | "requires_confirmation"
  | "requires_action"
  | "requires_capture"
  | "succeeded"
  | "canceled";

export type CancellationReason = "abandoned" | "duplicate" | "fraudulent" | "requested_by_customer";

/** How the last attempt failed. */
export interface PaymentError {
  readonly kind: "declined" | "authentication_failed";
  readonly type: "card_error" | "invalid_request_error";
  readonly code: string;
  readonly declineCode?: string;
  readonly adviceCode?: string;
  readonly networkDeclineCode?: string;
  readonly message: string;
  readonly methodId: string;
  readonly chargeId?: string;
}

/** The buyer's bank waits for the buyer, at the page of this source. */
export interface PendingAction {
  readonly sourceId: string;
  /** Unset: the client library shows the page itself (use_stripe_sdk). */
  readonly returnUrl?: string;
}

/** Amounts in minor units of `currency`; times in seconds. */
export interface Payment {
  readonly id: string;
  readonly clientSecret: string;
  readonly created: number;
  /** Milliseconds; what search lags behind. */
  readonly changedAt: number;
  readonly amount: number;
  readonly currency: string;
  readonly status: PaymentStatus;
  readonly captureMethod: "automatic" | "automatic_async" | "manual";
  /** Set when payment methods come from the account's settings. */
  readonly automatic?: { readonly allowRedirects: "always" | "never" };
  readonly allowedTypes?: readonly string[];
  readonly requestThreeDSecure: "any" | "automatic" | "challenge";
  readonly setupFutureUsage?: "off_session" | "on_session";
  readonly metadata: Readonly<Record<string, string>>;
  readonly description?: string;
  readonly receiptEmail?: string;
  readonly statementDescriptor?: string;
  readonly statementDescriptorSuffix?: string;
  readonly returnUrl?: string;
  readonly methodId?: string;
  readonly latestChargeId?: string;
  readonly amountCapturable: number;
  readonly amountReceived: number;
  readonly lastError?: PaymentError;
  readonly action?: PendingAction;
  readonly cancelledAt?: number;
  readonly cancellationReason?: CancellationReason;
}

export interface Charge {
  readonly id: string;
  readonly paymentId: string;
  readonly methodId: string;
  readonly created: number;
  readonly amount: number;
  readonly currency: string;
  readonly status: "succeeded" | "failed";
  readonly card: StoredCard;
  readonly billing: Method["billing"];
  /** Approved by the buyer at the 3-D Secure page. */
  readonly authenticated: boolean;
  readonly failure?: Decline;
  readonly captured: boolean;
  readonly amountCaptured: number;
  /** Given back without ever having been taken: the rest of a partial capture, or a cancelled authorization. */
  readonly amountReleased: number;
  /** By refunds that have not failed. */
  readonly amountRefunded: number;
  /** Milliseconds: when its holder disputes it, for the test cards that do. */
  readonly disputeAt?: number;
  /** Ever. */
  readonly disputed?: boolean;
  /** By a dispute that is open or lost: it can't be refunded. */
  readonly chargedBack?: boolean;
  readonly metadata: Readonly<Record<string, string>>;
  readonly description?: string;
  readonly receiptEmail?: string;
  readonly statementDescriptor?: string;
  readonly statementDescriptorSuffix?: string;
}

export type PaymentEvent =
  | "charge.captured"
  | "charge.failed"
  | "charge.refunded"
  | "charge.succeeded"
  | "payment_intent.amount_capturable_updated"
  | "payment_intent.canceled"
  | "payment_intent.payment_failed"
  | "payment_intent.requires_action"
  | "payment_intent.succeeded";

export interface Step {
  readonly ok: true;
  readonly payment: Payment;
  readonly charge?: Charge;
  readonly events: readonly PaymentEvent[];
  /** The issuer was asked: the payment method has served. */
  readonly methodUsed: boolean;
  /** The state has changed and the answer is an error all the same. */
  readonly failed?: PaymentError;
}

export interface Refusal {
  readonly ok: false;
  readonly code: string;
  readonly message: string;
  readonly param?: string;
}

const confirmable: readonly PaymentStatus[] = ["requires_payment_method", "requires_confirmation", "requires_action"];
const cancellable: readonly PaymentStatus[] = [
  "requires_payment_method",
  "requires_capture",
  "requires_confirmation",
  "requires_action",
];

function unexpectedState(message: string): Refusal {
  return { ok: false, code: "payment_intent_unexpected_state", message };
}

export interface Confirmation {
  readonly method: Method | undefined;
  /** Seconds. */
  readonly now: number;
  readonly chargeId: string;
  readonly sourceId: string;
  readonly offSession: boolean;
  readonly errorOnRequiresAction: boolean;
  /** The client library shows the page: no redirect. */
  readonly useSdk: boolean;
}

/** Asks the issuer, or the buyer first where the card wants it. */
export function confirmPayment(payment: Payment, confirmation: Confirmation): Step | Refusal {
  const { method, now } = confirmation;
  if (payment.status === "succeeded")
    return unexpectedState(
      "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed.",
    );
  if (!confirmable.includes(payment.status))
    return unexpectedState(
      `You cannot confirm this PaymentIntent because it has a status of ${payment.status}. Only a PaymentIntent with one of the following statuses may be confirmed: requires_confirmation, requires_action, requires_payment_method.`,
    );
  if (method === undefined)
    return unexpectedState(
      "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a payment method or ConfirmationToken.",
    );
  if (method.used) return { ok: false, code: "", message: usedBefore, param: "payment_method" };
  if (needsRedirectAddress(payment))
    return {
      ok: false,
      code: "",
      message:
        "A `return_url` must be specified because this Payment Intent is configured to automatically accept the payment methods enabled in the Dashboard, some of which may require a full page redirect to succeed. If you do not want to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` to `true` and `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and Payment Intents.",
    };
  const behaviour = behaviourOf(method.card);
  const chosen = withoutAttempt({ ...payment, methodId: method.id });
  if (!mustAuthenticate(behaviour, payment, confirmation.offSession))
    return attempt(chosen, method, { chargeId: confirmation.chargeId, now, authenticated: false });

  if (confirmation.offSession)
    return declineWith(chosen, method, authenticationRequired, confirmation.chargeId, now, false);
  if (confirmation.errorOnRequiresAction)
    return declineWith(chosen, method, authenticationNotHandled, confirmation.chargeId, now, false);
  const returnUrl = confirmation.useSdk ? undefined : payment.returnUrl;
  return {
    ok: true,
    payment: {
      ...chosen,
      status: "requires_action",
      action: { sourceId: confirmation.sourceId, ...(returnUrl === undefined ? {} : { returnUrl }) },
    },
    events: ["payment_intent.requires_action"],
    methodUsed: false,
  };
}

/** Methods that come from the account's settings may send the buyer away, unless that was ruled out. */
function needsRedirectAddress({ automatic, returnUrl }: Payment): boolean {
  return automatic?.allowRedirects === "always" && returnUrl === undefined;
}

function mustAuthenticate(behaviour: Behaviour, payment: Payment, offSession: boolean): boolean {
  if (behaviour.authentication === "required") return true;
  if (behaviour.authentication === "when_off_session_set_up") return !offSession;
  return behaviour.authentication === "when_asked" && payment.requestThreeDSecure !== "automatic" && !offSession;
}

const authenticationRequired: Decline & { readonly errorCode: string } = {
  code: "card_declined",
  errorCode: "authentication_required",
  declineCode: "authentication_required",
  message: "Your card was declined. This transaction requires authentication.",
};
const authenticationNotHandled: Decline = {
  code: "card_declined",
  declineCode: "authentication_not_handled",
  message:
    "This payment required an authentication action to complete, but `error_on_requires_action` was set. When you're ready, you can upgrade your integration to handle actions at https://stripe.com/docs/payments/payment-intents/upgrade-to-handle-actions.",
};

export interface Authentication {
  readonly outcome: "approve" | "fail";
  readonly method: Method;
  readonly chargeId: string;
  readonly now: number;
}

/** The buyer has answered at the 3-D Secure page. */
export function authenticatePayment(
  payment: Payment,
  { outcome, method, chargeId, now }: Authentication,
): Step | Refusal {
  if (payment.status !== "requires_action")
    return unexpectedState(
      `This PaymentIntent is not waiting for authentication: it has a status of ${payment.status}.`,
    );
  const settled = withoutAttempt(payment);
  if (outcome === "approve") return attempt(settled, method, { chargeId, now, authenticated: true });
  const { methodId: _, ...rest } = settled;
  return {
    ok: true,
    payment: {
      ...rest,
      status: "requires_payment_method",
      lastError: {
        kind: "authentication_failed",
        type: "invalid_request_error",
        code: "payment_intent_authentication_failure",
        message:
          "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod to attempt to fulfill this PaymentIntent again.",
        methodId: method.id,
      },
    },
    events: ["payment_intent.payment_failed"],
    methodUsed: false,
  };
}

function withoutAttempt({ action: _, lastError: __, ...rest }: Payment): Payment {
  return rest;
}

function attempt(
  payment: Payment,
  method: Method,
  { chargeId, now, authenticated }: { chargeId: string; now: number; authenticated: boolean },
): Step {
  const behaviour = behaviourOf(method.card);
  const cvcDecline = behaviour.cvcCheck === "fail" && method.card.cvcGiven ? declines.incorrectCvc : undefined;
  const decline = behaviour.decline ?? cvcDecline ?? (authenticated ? behaviour.declineAfterAuthentication : undefined);
  if (decline !== undefined) return declineWith(payment, method, decline, chargeId, now, authenticated);
  const capturedAtOnce = payment.captureMethod !== "manual";
  const charge: Charge = {
    ...chargeOf(payment, method, chargeId, now, authenticated),
    status: "succeeded",
    captured: capturedAtOnce,
    amountCaptured: capturedAtOnce ? payment.amount : 0,
  };
  return {
    ok: true,
    payment: {
      ...payment,
      status: capturedAtOnce ? "succeeded" : "requires_capture",
      latestChargeId: chargeId,
      amountCapturable: capturedAtOnce ? 0 : payment.amount,
      amountReceived: capturedAtOnce ? payment.amount : 0,
    },
    charge,
    events: [
      "charge.succeeded",
      capturedAtOnce ? "payment_intent.succeeded" : "payment_intent.amount_capturable_updated",
    ],
    methodUsed: true,
  };
}

function chargeOf(payment: Payment, method: Method, id: string, created: number, authenticated: boolean) {
  const { description, receiptEmail, statementDescriptor, statementDescriptorSuffix } = payment;
  return {
    id,
    paymentId: payment.id,
    methodId: method.id,
    created,
    amount: payment.amount,
    currency: payment.currency,
    card: method.card,
    billing: method.billing,
    authenticated,
    captured: false,
    amountCaptured: 0,
    amountReleased: 0,
    amountRefunded: 0,
    metadata: payment.metadata,
    ...(description === undefined ? {} : { description }),
    ...(receiptEmail === undefined ? {} : { receiptEmail }),
    ...(statementDescriptor === undefined ? {} : { statementDescriptor }),
    ...(statementDescriptorSuffix === undefined ? {} : { statementDescriptorSuffix }),
  };
}

function declineWith(
  payment: Payment,
  method: Method,
  decline: Decline & { readonly errorCode?: string },
  chargeId: string,
  now: number,
  authenticated: boolean,
): Step {
  const { errorCode = decline.code, ...failure } = decline;
  const { methodId: _, ...rest } = payment;
  const failed: PaymentError = {
    kind: "declined",
    type: "card_error",
    code: errorCode,
    message: failure.message,
    methodId: method.id,
    chargeId,
    ...(failure.declineCode === undefined ? {} : { declineCode: failure.declineCode }),
    ...(failure.adviceCode === undefined ? {} : { adviceCode: failure.adviceCode }),
    ...(failure.networkDeclineCode === undefined ? {} : { networkDeclineCode: failure.networkDeclineCode }),
  };
  return {
    ok: true,
    payment: { ...rest, status: "requires_payment_method", latestChargeId: chargeId, lastError: failed },
    charge: { ...chargeOf(payment, method, chargeId, now, authenticated), status: "failed", failure },
    events: ["charge.failed", "payment_intent.payment_failed"],
    methodUsed: true,
    failed,
  };
}

/** Takes what was authorized, or less: the rest is released for good. */
export function capturePayment(
  payment: Payment,
  charge: Charge | undefined,
  amount: number | undefined,
): Step | Refusal {
  if (payment.status === "succeeded")
    return unexpectedState("This PaymentIntent could not be captured because it has already been captured.");
  if (payment.status !== "requires_capture" || charge === undefined)
    return unexpectedState(
      `This PaymentIntent could not be captured because it has a status of ${payment.status}. Only a PaymentIntent with one of the following statuses may be captured: requires_capture.`,
    );
  const taken = amount ?? payment.amountCapturable;
  if (taken > payment.amountCapturable)
    return {
      ok: false,
      code: "amount_too_large",
      message: `The amount to capture (${taken}) is greater than the remaining amount that can be captured on this PaymentIntent (${payment.amountCapturable}).`,
      param: "amount_to_capture",
    };
  return {
    ok: true,
    payment: { ...payment, status: "succeeded", amountCapturable: 0, amountReceived: taken },
    charge: { ...charge, captured: true, amountCaptured: taken, amountReleased: charge.amount - taken },
    events: ["charge.captured", "payment_intent.succeeded"],
    methodUsed: false,
  };
}

/** Ends a payment that has taken nothing; what was authorized is released. */
export function cancelPayment(
  payment: Payment,
  charge: Charge | undefined,
  reason: CancellationReason | undefined,
  now: number,
): Step | Refusal {
  if (!cancellable.includes(payment.status))
    return unexpectedState(
      `You cannot cancel this PaymentIntent because it has a status of ${payment.status}. Only a PaymentIntent with one of the following statuses may be canceled: requires_payment_method, requires_capture, requires_confirmation, requires_action, processing.`,
    );
  const { action: _, ...rest } = payment;
  const cancelled: Payment = {
    ...rest,
    status: "canceled",
    amountCapturable: 0,
    cancelledAt: now,
    ...(reason === undefined ? {} : { cancellationReason: reason }),
  };
  if (payment.status !== "requires_capture" || charge === undefined)
    return { ok: true, payment: cancelled, events: ["payment_intent.canceled"], methodUsed: false };
  return {
    ok: true,
    payment: cancelled,
    charge: { ...charge, amountReleased: charge.amount },
    events: ["charge.refunded", "payment_intent.canceled"],
    methodUsed: false,
  };
}

/** What may be changed late: only words about the payment, never its terms. */
export function refuseChangeOf(payment: Payment, terms: readonly string[]): Refusal | undefined {
  const [term] = terms;
  if (term === undefined || confirmable.includes(payment.status)) return undefined;
  return unexpectedState(
    `This PaymentIntent's ${term} could not be updated because it has a status of ${payment.status}. You may only update the ${term} of a PaymentIntent with one of the following statuses: requires_payment_method, requires_confirmation, requires_action.`,
  );
}
