// Rows as the objects that Stripe answers with, in full, as the client's types promise them.
// Source of shapes: the types of the official client, API version below.
import type { Stripe } from "stripe";
import type { Books, Rows, StoredEvent, TableName } from "./books.js";
import { unpack } from "./books.js";
import { behaviourOf, type Method, type StoredCard } from "./cards.js";
import { type Dispute, takesEvidence } from "./disputes.js";
import { docUrl, invalidRequest } from "./failures.js";
import type { Charge, Payment, PaymentError } from "./payment-intents.js";
import type { Refund } from "./refunds.js";

/** The version whose shapes are answered, whatever version is asked for. */
export const apiVersion = "2026-10-28.endive";

export interface Lookup {
  get<Table extends TableName>(table: Table, id: string): Rows[Table] | undefined;
  /** Oldest first. */
  refundsOf(chargeId: string): readonly Refund[];
}

export function lookupIn(books: Books): Lookup {
  return { get: (table, id) => books.tables[table].get(id), refundsOf: books.refundsOf };
}

export type RenderedObject =
  | Stripe.PaymentIntent
  | Stripe.Charge
  | Stripe.Refund
  | Stripe.Dispute
  | Stripe.PaymentMethod;

export interface Renderer {
  readonly apiVersion: string;
  payment(payment: Payment, lookup: Lookup): Stripe.PaymentIntent;
  charge(charge: Charge): Stripe.Charge;
  refund(refund: Refund): Stripe.Refund;
  dispute(dispute: Dispute): Stripe.Dispute;
  method(method: Method): Stripe.PaymentMethod;
  /** Any of them, by the prefix of its id. */
  byId(id: string, lookup: Lookup): RenderedObject | undefined;
  /** Where the buyer approves. */
  actionUrl(sourceId: string): string;
}

/** `publicUrl` without a slash at its end. */
export function createRenderer(publicUrl: () => string): Renderer {
  const actionUrl = (sourceId: string) => `${publicUrl()}/3ds/${sourceId}`;
  const renderer: Renderer = {
    apiVersion,
    payment: (payment, lookup) => renderPayment(payment, lookup, actionUrl),
    charge: renderCharge,
    refund: renderRefund,
    dispute: renderDispute,
    method: renderMethod,
    byId(id, lookup) {
      if (id.startsWith("pi_")) return ifFound(lookup.get("payments", id), (row) => renderer.payment(row, lookup));
      if (id.startsWith("ch_")) return ifFound(lookup.get("charges", id), renderCharge);
      if (id.startsWith("re_")) return ifFound(lookup.get("refunds", id), renderRefund);
      if (id.startsWith("du_")) return ifFound(lookup.get("disputes", id), renderDispute);
      return ifFound(lookup.get("methods", id), renderMethod);
    },
    actionUrl,
  };
  return renderer;
}

function ifFound<Row, Out>(row: Row | undefined, render: (row: Row) => Out): Out | undefined {
  return row === undefined ? undefined : render(row);
}

function renderPayment(
  payment: Payment,
  lookup: Lookup,
  actionUrl: (sourceId: string) => string,
): Stripe.PaymentIntent {
  return {
    id: payment.id,
    object: "payment_intent",
    allowed_payment_method_types: payment.allowedTypes === undefined ? null : [...payment.allowedTypes],
    amount: payment.amount,
    amount_capturable: payment.amountCapturable,
    amount_details: { tip: {} },
    amount_received: payment.amountReceived,
    application: null,
    application_fee_amount: null,
    automatic_payment_methods:
      payment.automatic === undefined ? null : { allow_redirects: payment.automatic.allowRedirects, enabled: true },
    canceled_at: payment.cancelledAt ?? null,
    cancellation_reason: payment.cancellationReason ?? null,
    capture_method: payment.captureMethod,
    client_secret: payment.clientSecret,
    confirmation_method: "automatic",
    created: payment.created,
    currency: payment.currency,
    customer: null,
    customer_account: null,
    description: payment.description ?? null,
    excluded_payment_method_types: null,
    last_payment_error: payment.lastError === undefined ? null : renderPaymentError(payment.lastError, lookup),
    latest_charge: payment.latestChargeId ?? null,
    livemode: false,
    managed_payments: null,
    metadata: { ...payment.metadata },
    next_action: renderNextAction(payment, actionUrl),
    on_behalf_of: null,
    payment_method: payment.methodId ?? null,
    payment_method_configuration_details: null,
    payment_method_options: {
      card: {
        installments: null,
        mandate_options: null,
        network: null,
        request_three_d_secure: payment.requestThreeDSecure,
      },
    },
    payment_method_types: ["card"],
    payment_record: null,
    processing: null,
    receipt_email: payment.receiptEmail ?? null,
    review: null,
    setup_future_usage: payment.setupFutureUsage ?? null,
    shipping: null,
    source: null,
    statement_descriptor: payment.statementDescriptor ?? null,
    statement_descriptor_suffix: payment.statementDescriptorSuffix ?? null,
    status: payment.status,
    transfer_data: null,
    transfer_group: null,
  };
}

/** The part of a failed attempt that last_payment_error and the 402 share. */
export function renderPaymentError(error: PaymentError, lookup: Lookup): Stripe.PaymentIntent.LastPaymentError {
  const method = lookup.get("methods", error.methodId);
  return {
    ...(error.adviceCode === undefined ? {} : { advice_code: error.adviceCode }),
    ...(error.chargeId === undefined ? {} : { charge: error.chargeId }),
    code: error.code as Stripe.PaymentIntent.LastPaymentError.Code,
    ...(error.declineCode === undefined ? {} : { decline_code: error.declineCode }),
    doc_url: docUrl(error.code),
    message: error.message,
    ...(error.networkDeclineCode === undefined ? {} : { network_decline_code: error.networkDeclineCode }),
    ...(method === undefined ? {} : { payment_method: renderMethod(method) }),
    type: error.type,
  };
}

function renderNextAction(
  { action }: Payment,
  actionUrl: (sourceId: string) => string,
): Stripe.PaymentIntent.NextAction | null {
  if (action === undefined) return null;
  const url = actionUrl(action.sourceId);
  if (action.returnUrl !== undefined)
    return { type: "redirect_to_url", redirect_to_url: { return_url: action.returnUrl, url } };
  return {
    type: "use_stripe_sdk",
    use_stripe_sdk: { type: "three_d_secure_redirect", source: action.sourceId, stripe_js: url },
  };
}

function renderChecks(card: StoredCard) {
  const { cvcCheck } = behaviourOf(card);
  return {
    address_line1_check: null,
    address_postal_code_check: null,
    cvc_check: card.cvcGiven ? (cvcCheck ?? "pass") : null,
  };
}

function renderBilling(billing: Method["billing"]) {
  const { address = {} } = billing;
  return {
    address: {
      city: address["city"] ?? null,
      country: address["country"] ?? null,
      line1: address["line1"] ?? null,
      line2: address["line2"] ?? null,
      postal_code: address["postal_code"] ?? null,
      state: address["state"] ?? null,
    },
    email: billing.email ?? null,
    name: billing.name ?? null,
    phone: billing.phone ?? null,
    tax_id: null,
  };
}

function renderMethod(method: Method): Stripe.PaymentMethod {
  const { card } = method;
  return {
    id: method.id,
    object: "payment_method",
    allow_redisplay: "unspecified",
    billing_details: renderBilling(method.billing),
    card: {
      brand: card.brand,
      checks: renderChecks(card),
      country: card.country,
      display_brand: card.brand,
      exp_month: card.expMonth,
      exp_year: card.expYear,
      fingerprint: card.fingerprint,
      funding: card.funding,
      generated_from: null,
      last4: card.last4,
      networks: { available: [card.brand], preferred: null },
      regulated_status: "unregulated",
      three_d_secure_usage: { supported: behaviourOf(card).authentication !== "unsupported" },
      wallet: null,
    },
    created: method.created,
    customer: null,
    customer_account: null,
    livemode: false,
    metadata: { ...method.metadata },
    type: "card",
  };
}

const authorizationDays = 7;

function renderCharge(charge: Charge): Stripe.Charge {
  const { failure, card } = charge;
  const succeeded = charge.status === "succeeded";
  const givenBack = charge.amountRefunded + charge.amountReleased;
  const brandInCapitals = card.brand.toUpperCase();
  return {
    id: charge.id,
    object: "charge",
    amount: charge.amount,
    amount_captured: charge.amountCaptured,
    amount_refunded: givenBack,
    application: null,
    application_fee: null,
    application_fee_amount: null,
    balance_transaction: null,
    billing_details: renderBilling(charge.billing),
    calculated_statement_descriptor: charge.statementDescriptor ?? "STRIPE-SIM",
    captured: charge.captured,
    created: charge.created,
    currency: charge.currency,
    customer: null,
    description: charge.description ?? null,
    disputed: charge.disputed ?? false,
    failure_balance_transaction: null,
    failure_code: failure?.code ?? null,
    failure_message: failure?.message ?? null,
    fraud_details: {},
    livemode: false,
    metadata: { ...charge.metadata },
    on_behalf_of: null,
    outcome: renderOutcome(charge),
    paid: succeeded,
    payment_intent: charge.paymentId,
    payment_method: charge.methodId,
    payment_method_details: {
      card: {
        amount_authorized: succeeded ? charge.amount : null,
        authorization_code: succeeded ? charge.id.slice(-6).toUpperCase() : null,
        brand: card.brand,
        ...(succeeded ? { capture_before: charge.created + authorizationDays * 24 * 60 * 60 } : {}),
        checks: renderChecks(card),
        country: card.country,
        electronic_commerce_indicator: null,
        exp_month: card.expMonth,
        exp_year: card.expYear,
        extended_authorization: { status: "disabled" },
        fingerprint: card.fingerprint,
        funding: card.funding,
        incremental_authorization: { status: "unavailable" },
        installments: null,
        last4: card.last4,
        mandate: null,
        multicapture: { status: "unavailable" },
        network: card.brand,
        network_token: { used: false },
        network_transaction_id: null,
        overcapture: { maximum_amount_capturable: charge.amount, status: "unavailable" },
        regulated_status: "unregulated",
        three_d_secure: charge.authenticated
          ? {
              authentication_flow: "challenge",
              electronic_commerce_indicator: brandInCapitals === "MASTERCARD" ? "02" : "05",
              exemption_indicator: null,
              result: "authenticated",
              result_reason: null,
              transaction_id: null,
              version: "2.2.0",
            }
          : null,
        transaction_link_id: null,
        wallet: null,
      },
      type: "card",
    },
    radar_options: {},
    receipt_email: charge.receiptEmail ?? null,
    receipt_number: null,
    receipt_url: null,
    refunded: succeeded && givenBack === charge.amount,
    review: null,
    shipping: null,
    source: null,
    source_transfer: null,
    statement_descriptor: charge.statementDescriptor ?? null,
    statement_descriptor_suffix: charge.statementDescriptorSuffix ?? null,
    status: charge.status,
    transfer_data: null,
    transfer_group: null,
  };
}

function renderOutcome({ failure, card }: Charge): Stripe.Charge.Outcome {
  const riskLevel = behaviourOf(card).riskLevel ?? "normal";
  const riskScore = { normal: 20, elevated: 65, highest: 95 }[riskLevel];
  const shared = {
    advice_code: (failure?.adviceCode ?? null) as Stripe.Charge.Outcome["advice_code"],
    network_advice_code: null,
    network_decline_code: failure?.networkDeclineCode ?? null,
    risk_level: riskLevel,
    risk_score: riskScore,
  };
  if (failure === undefined)
    return {
      ...shared,
      network_status: "approved_by_network",
      reason: null,
      seller_message: "Payment complete.",
      type: "authorized",
    };
  if (failure.blocked === true)
    return {
      ...shared,
      network_status: "not_sent_to_network",
      reason: "highest_risk_level",
      seller_message: "Stripe blocked this payment as too risky.",
      type: "blocked",
    };
  return {
    ...shared,
    network_status: "declined_by_network",
    reason: failure.declineCode ?? failure.code,
    seller_message: "The bank did not accept the payment.",
    type: "issuer_declined",
  };
}

function renderRefund(refund: Refund): Stripe.Refund {
  return {
    id: refund.id,
    object: "refund",
    amount: refund.amount,
    balance_transaction: null,
    charge: refund.chargeId,
    created: refund.created,
    currency: refund.currency,
    customer: null,
    customer_account: null,
    destination_details: {
      card: { reference_status: "pending", reference_type: "acquirer_reference_number", type: "refund" },
      type: "card",
    },
    ...(refund.status === "failed"
      ? {
          failure_balance_transaction: `txn_${refund.id.slice("re_".length)}`,
          failure_reason: refund.failureReason ?? "unknown",
        }
      : {}),
    metadata: { ...refund.metadata },
    payment_intent: refund.paymentId,
    payment_method: refund.methodId,
    ...(refund.status === "pending" ? { pending_reason: "processing" } : {}),
    reason: refund.reason ?? null,
    receipt_number: null,
    source_transfer_reversal: null,
    status: refund.status,
    transfer_reversal: null,
  };
}

const noEvidence = {
  access_activity_log: null,
  billing_address: null,
  cancellation_policy: null,
  cancellation_policy_disclosure: null,
  cancellation_rebuttal: null,
  customer_communication: null,
  customer_email_address: null,
  customer_name: null,
  customer_purchase_ip: null,
  customer_signature: null,
  duplicate_charge_documentation: null,
  duplicate_charge_explanation: null,
  duplicate_charge_id: null,
  enhanced_evidence: {},
  product_description: null,
  receipt: null,
  refund_policy: null,
  refund_policy_disclosure: null,
  refund_refusal_explanation: null,
  service_date: null,
  service_documentation: null,
  shipping_address: null,
  shipping_carrier: null,
  shipping_date: null,
  shipping_documentation: null,
  shipping_tracking_number: null,
  uncategorized_file: null,
  uncategorized_text: null,
} as const satisfies Stripe.Dispute.Evidence;

function renderDispute(dispute: Dispute): Stripe.Dispute {
  const { status, withdrawnAt, reinstatedAt } = dispute;
  const isInquiry = status.startsWith("warning_");
  const moved = [
    ...(withdrawnAt === undefined ? [] : [disputeMoney(dispute, -dispute.amount, withdrawnAt, "dispute")]),
    ...(reinstatedAt === undefined ? [] : [disputeMoney(dispute, dispute.amount, reinstatedAt, "dispute_reversal")]),
  ];
  return {
    id: dispute.id,
    object: "dispute",
    amount: dispute.amount,
    balance_transactions: moved,
    charge: dispute.chargeId,
    created: dispute.created,
    currency: dispute.currency,
    enhanced_eligibility_types: [],
    evidence: { ...noEvidence, ...dispute.evidence },
    evidence_details: {
      due_by: takesEvidence(dispute) ? dispute.dueBy : null,
      enhanced_eligibility: {},
      has_evidence: Object.keys(dispute.evidence).length > 0,
      past_due: dispute.submissions === 0 && !takesEvidence(dispute),
      submission_count: dispute.submissions,
      submission_method: dispute.submissions === 0 ? "not_submitted" : "manual",
    },
    intended_submission_method: null,
    is_charge_refundable: isInquiry || status === "won",
    livemode: false,
    metadata: { ...dispute.metadata },
    network_reason_code: null,
    payment_intent: dispute.paymentId,
    payment_method_details: {
      card: {
        brand: dispute.brand,
        case_type: isInquiry ? "inquiry" : "chargeback",
        network: dispute.brand,
        network_reason_code: null,
      },
      type: "card",
    },
    reason: dispute.reason,
    status,
  };
}

/** Fees are not simulated. */
function disputeMoney(
  { id, currency }: Dispute,
  amount: number,
  created: number,
  category: "dispute" | "dispute_reversal",
): Stripe.BalanceTransaction {
  return {
    id: `txn_${category === "dispute" ? "w" : "r"}${id.slice("du_".length)}`,
    object: "balance_transaction",
    amount,
    available_on: created,
    balance_type: "payments",
    created,
    currency,
    description: category === "dispute" ? "Chargeback withdrawal" : "Chargeback reversal",
    exchange_rate: null,
    fee: 0,
    fee_details: [],
    net: amount,
    reporting_category: category,
    source: id,
    status: "available",
    type: "adjustment",
  };
}

/** The event with the number of deliveries that are still to succeed. */
export function renderEvent(event: StoredEvent, pendingWebhooks: number): object {
  return { ...(JSON.parse(unpack(event.packed)) as object), pending_webhooks: pendingWebhooks };
}

/** Fields that are ids and become objects on demand; others can't, https://docs.stripe.com/expand */
const expandable: Readonly<Record<string, readonly string[]>> = {
  payment_intent: ["application", "customer", "latest_charge", "on_behalf_of", "payment_method", "review", "source"],
  charge: [
    "application",
    "application_fee",
    "balance_transaction",
    "customer",
    "failure_balance_transaction",
    "on_behalf_of",
    "payment_intent",
    "refunds",
    "review",
    "source_transfer",
    "transfer",
  ],
  refund: ["balance_transaction", "charge", "customer", "payment_intent", "payment_method", "transfer_reversal"],
  dispute: ["charge", "payment_intent"],
  payment_method: ["customer"],
};
/** As many as a list within another object has. */
const refundsExpanded = 10;
const maxExpandDepth = 4;

/** Replaces ids by objects, in place. */
export function expand(object: object, paths: readonly string[], renderer: Renderer, lookup: Lookup): void {
  for (const path of paths) {
    const parts = path.split(".");
    if (parts.length > maxExpandDepth)
      throw invalidRequest(`You cannot expand more than ${maxExpandDepth} levels of a property (${path}).`, {
        param: "expand",
      });
    expandPath(object as Record<string, unknown>, parts, path);
  }

  function expandPath(target: Record<string, unknown>, [head, ...rest]: readonly string[], path: string): void {
    if (head === undefined) return;
    if (head === "data" && Array.isArray(target["data"])) {
      if (rest.length === 0) throw cannotExpand(path);
      for (const item of target["data"]) expandPath(item as Record<string, unknown>, rest, path);
      return;
    }
    if (!expandable[String(target["object"])]?.includes(head)) throw cannotExpand(path);
    if (head === "refunds") target[head] = refundsOf(String(target["id"]));
    const value = target[head];
    if (typeof value === "string") target[head] = renderer.byId(value, lookup) ?? value;
    const next = target[head];
    if (rest.length > 0 && typeof next === "object" && next !== null)
      expandPath(next as Record<string, unknown>, rest, path);
  }

  function refundsOf(chargeId: string): object {
    const refunds = [...lookup.refundsOf(chargeId)].reverse();
    return {
      object: "list",
      data: refunds.slice(0, refundsExpanded).map(renderer.refund),
      has_more: refunds.length > refundsExpanded,
      url: `/v1/charges/${chargeId}/refunds`,
    };
  }
}

function cannotExpand(path: string) {
  return invalidRequest(`This property cannot be expanded (${path}).`, { param: "expand" });
}
