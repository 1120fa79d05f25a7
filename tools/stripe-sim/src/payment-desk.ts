// What one request does to payments: reads rows, asks the pure rules, writes rows and events into a draft.
import type { Stripe } from "stripe";
import { checkPart } from "./amounts.js";
import type { Books } from "./books.js";
import { type BillingDetails, behaviourOf, cardOfName, type Method, readCard, type TypedCard } from "./cards.js";
import type { Draft } from "./drafts.js";
import { invalidRequest, noSuch, noSuchReference, StripeFailure } from "./failures.js";
import { type Renderer, renderPaymentError } from "./objects.js";
import { changedMetadata, type MetadataChange } from "./params.js";
import {
  authenticatePayment,
  type CancellationReason,
  type Charge,
  cancelPayment,
  capturePayment,
  confirmPayment,
  type Payment,
  type Refusal,
  refuseChangeOf,
  type Step,
} from "./payment-intents.js";
import {
  type RefundOrder,
  type RefundStep,
  type RefundWord,
  refundCharge,
  settleRefund,
  tellRefund,
} from "./refunds.js";

export interface Call {
  readonly draft: Draft;
  readonly books: Books;
  readonly renderer: Renderer;
  /** Milliseconds. */
  readonly now: number;
  readonly newId: (prefix: string) => string;
  readonly searchLagMs: number;
  readonly times: BankTimes;
}

/** How long the buyer's bank takes, in milliseconds. */
export interface BankTimes {
  /** For refunds to the cards that let them wait or fail. */
  readonly refundSettleMs: number;
  /** From the payment to the dispute, for the cards that dispute it. */
  readonly disputeOpenMs: number;
  /** From the dispute to the last moment for evidence. */
  readonly disputeDueMs: number;
  /** From the evidence to the verdict. */
  readonly disputeSettleMs: number;
}

/** The object to answer with; `failure` when the state has changed and the answer is an error all the same. */
export interface Done {
  readonly object: object;
  readonly failure?: StripeFailure;
}

const secondsOf = (milliseconds: number) => Math.floor(milliseconds / 1000);

export interface NewMethod {
  readonly card: TypedCard | { readonly token: string };
  readonly billing: BillingDetails;
  readonly metadata: Readonly<Record<string, string>>;
}

export function createMethod(call: Call, { card, billing, metadata }: NewMethod): Method {
  const stored = "token" in card ? cardOfName(card.token, "tok_", call.now) : readCard(card, call.now);
  if (stored === undefined) throw noSuchReference("token", "token" in card ? card.token : "", "card[token]");
  if (stored instanceof StripeFailure) throw stored;
  const method: Method = {
    id: call.newId("pm"),
    created: secondsOf(call.now),
    card: stored,
    billing,
    metadata,
    used: false,
  };
  call.draft.put("methods", method);
  return method;
}

/** One of ours, or a new one for a public test name such as pm_card_visa; undefined: there is none. */
export function findMethod(call: Call, id: string): Method | undefined {
  const card = cardOfName(id, "pm_card_", call.now);
  if (card === undefined) return call.draft.get("methods", id);
  const method: Method = {
    id: call.newId("pm"),
    created: secondsOf(call.now),
    card,
    billing: {},
    metadata: {},
    used: false,
  };
  call.draft.put("methods", method);
  return method;
}

function methodNamed(call: Call, id: string): Method {
  const method = findMethod(call, id);
  if (method === undefined) throw noSuchReference("PaymentMethod", id, "payment_method");
  return method;
}

export type MethodChoice = { readonly id: string } | { readonly data: NewMethod } | undefined;

function chosenMethod(call: Call, choice: MethodChoice): Method | undefined {
  if (choice === undefined) return undefined;
  return "id" in choice ? methodNamed(call, choice.id) : createMethod(call, choice.data);
}

export interface ConfirmOptions {
  readonly offSession: boolean;
  readonly errorOnRequiresAction: boolean;
  readonly useSdk: boolean;
}

type Terms = Pick<
  Payment,
  | "allowedTypes"
  | "amount"
  | "automatic"
  | "captureMethod"
  | "currency"
  | "description"
  | "receiptEmail"
  | "requestThreeDSecure"
  | "returnUrl"
  | "setupFutureUsage"
  | "statementDescriptor"
  | "statementDescriptorSuffix"
>;

export interface NewPayment {
  readonly terms: Terms;
  readonly metadata: Readonly<Record<string, string>>;
  readonly method: MethodChoice;
  /** Unset: it is not confirmed yet. */
  readonly confirm?: ConfirmOptions;
}

export function createPayment(call: Call, order: NewPayment): Done {
  const method = chosenMethod(call, order.method);
  const id = call.newId("pi");
  const payment: Payment = {
    ...order.terms,
    id,
    clientSecret: `${id}_secret_${call.newId("").slice(1)}`,
    created: secondsOf(call.now),
    changedAt: call.now,
    status: method === undefined ? "requires_payment_method" : "requires_confirmation",
    metadata: order.metadata,
    ...(method === undefined ? {} : { methodId: method.id }),
    amountCapturable: 0,
    amountReceived: 0,
  };
  call.draft.put("payments", payment);
  call.draft.emit("payment_intent.created", id);
  return order.confirm === undefined ? done(call, payment) : confirm(call, payment, method, order.confirm);
}

export function paymentNamed(call: Call, id: string): Payment {
  const payment = call.draft.get("payments", id);
  if (payment === undefined) throw noSuch("payment_intent", id, "intent");
  return payment;
}

export type PaymentChange = { readonly [Term in keyof Terms]?: Terms[Term] | undefined };

export interface PaymentUpdate {
  /** `undefined` unsets. */
  readonly change: PaymentChange;
  readonly metadata: MetadataChange | undefined;
  readonly method: MethodChoice;
}

/** What may be said about a payment at any time. */
const words: readonly string[] = ["description"];

export function updatePayment(call: Call, id: string, { change, metadata, method: choice }: PaymentUpdate): Done {
  const before = paymentNamed(call, id);
  const terms = Object.keys(change).filter((term) => !words.includes(term));
  const refusal = refuseChangeOf(before, choice === undefined ? terms.map(snakeCase) : ["payment_method"]);
  if (refusal !== undefined) throw refused(call, refusal, before);
  const method = chosenMethod(call, choice);
  const { action, ...rest } = before;
  const restarts = terms.length > 0 || method !== undefined;
  const merged = {
    ...rest,
    ...(action === undefined || restarts ? {} : { action }),
    ...change,
    ...(method === undefined ? {} : { methodId: method.id }),
  };
  const payment = {
    ...Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== undefined)),
    status: restarts
      ? merged.methodId === undefined
        ? "requires_payment_method"
        : "requires_confirmation"
      : before.status,
    metadata: changedMetadata(before.metadata, metadata),
    changedAt: call.now,
  } as Payment;
  call.draft.put("payments", payment);
  return done(call, payment);
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

export interface Confirm {
  readonly change: PaymentChange;
  readonly method: MethodChoice;
  readonly options: ConfirmOptions;
}

export function confirmNamed(call: Call, id: string, { change, method: choice, options }: Confirm): Done {
  const before = paymentNamed(call, id);
  const payment: Payment = { ...before, ...(change as Partial<Terms>) };
  const method = chosenMethod(call, choice ?? (payment.methodId === undefined ? undefined : { id: payment.methodId }));
  return confirm(call, payment, method, options);
}

function confirm(call: Call, payment: Payment, method: Method | undefined, options: ConfirmOptions): Done {
  const step = confirmPayment(payment, {
    ...options,
    method,
    now: secondsOf(call.now),
    chargeId: call.newId("ch"),
    sourceId: call.newId("src"),
  });
  return take(call, step, payment, method);
}

/** The buyer's answer at the 3-D Secure page. */
export function authenticate(call: Call, payment: Payment, outcome: "approve" | "fail"): Done {
  const method = call.draft.get("methods", payment.methodId ?? "");
  if (method === undefined) throw invalidRequest("This PaymentIntent is not waiting for authentication.");
  const step = authenticatePayment(payment, {
    outcome,
    method,
    chargeId: call.newId("ch"),
    now: secondsOf(call.now),
  });
  return take(call, step, payment, method);
}

export function captureNamed(
  call: Call,
  id: string,
  { amount, metadata }: { amount: number | undefined; metadata: MetadataChange | undefined },
): Done {
  const payment = paymentNamed(call, id);
  if (amount !== undefined) checkPart(amount, payment.currency, "amount_to_capture");
  const charge = call.draft.get("charges", payment.latestChargeId ?? "");
  const changed = { ...payment, metadata: changedMetadata(payment.metadata, metadata) };
  return take(call, capturePayment(changed, charge, amount), payment);
}

export function cancelNamed(call: Call, id: string, reason: CancellationReason | undefined): Done {
  const payment = paymentNamed(call, id);
  const charge = call.draft.get("charges", payment.latestChargeId ?? "");
  return take(call, cancelPayment(payment, charge, reason, secondsOf(call.now)), payment);
}

/** Writes what a legal move changes. */
function take(call: Call, step: Step | Refusal, before: Payment, method?: Method): Done {
  if (!step.ok) throw refused(call, step, before);
  const payment = { ...step.payment, changedAt: call.now };
  const { draft } = call;
  draft.put("payments", payment);
  if (step.charge !== undefined) draft.put("charges", withDispute(call, step.charge));
  if (step.methodUsed && method !== undefined) draft.put("methods", { ...method, used: true });
  for (const event of step.events) draft.emit(event, event.startsWith("charge.") ? step.charge!.id : payment.id);
  if (step.failed === undefined) return done(call, payment);
  const { doc_url: _, type: __, ...error } = renderPaymentError(step.failed, draft);
  const failure = new StripeFailure(402, {
    ...(error as { code: string; message: string }),
    type: "card_error",
    payment_intent: call.renderer.payment(payment, draft),
  });
  return { object: {}, failure };
}

/** A charge that has just been captured, with the moment when its card's holder disputes it. */
function withDispute({ now, times }: Call, charge: Charge): Charge {
  if (!charge.captured || behaviourOf(charge.card).dispute === undefined) return charge;
  return { ...charge, disputeAt: now + times.disputeOpenMs };
}

function done(call: Call, payment: Payment): Done {
  return { object: call.renderer.payment(payment, call.draft) };
}

/** Nothing has changed: the object goes with the error as it was. */
function refused(call: Call, refusal: Refusal, payment: Payment): StripeFailure {
  const known = call.books.tables.payments.has(payment.id);
  return invalidRequest(refusal.message, {
    ...(refusal.code === "" ? {} : { code: refusal.code }),
    ...(refusal.param === undefined ? {} : { param: refusal.param }),
    ...(known
      ? { payment_intent: call.renderer.payment(call.books.tables.payments.get(payment.id)!, call.draft) }
      : {}),
  });
}

export interface NewRefund extends Omit<RefundOrder, "id" | "now" | "settlesAt"> {
  readonly of: { readonly chargeId: string } | { readonly paymentId: string };
}

export function createRefund(call: Call, { of, ...order }: NewRefund): Done {
  const { draft } = call;
  let chargeId: string | undefined;
  if ("chargeId" in of) chargeId = of.chargeId;
  else {
    const payment = draft.get("payments", of.paymentId);
    if (payment === undefined) throw noSuchReference("payment_intent", of.paymentId, "payment_intent");
    chargeId = payment.latestChargeId;
  }
  const charge = draft.get("charges", chargeId ?? "");
  if (charge === undefined && "chargeId" in of) throw noSuchReference("charge", of.chargeId, "charge");
  if (charge === undefined || charge.status === "failed") {
    const paymentId = charge?.paymentId ?? ("paymentId" in of ? of.paymentId : "");
    throw invalidRequest(`This PaymentIntent (${paymentId}) does not have a successful charge to refund.`, {
      param: "payment_intent",
    });
  }
  if (order.amount !== undefined) checkPart(order.amount, charge.currency, "amount");
  const step = refundCharge(charge, {
    ...order,
    id: call.newId("re"),
    now: secondsOf(call.now),
    settlesAt: call.now + call.times.refundSettleMs,
  });
  return takeRefund(call, step);
}

/** The bank's last word on a refund; undefined when it has come already. */
export function settle(call: Call, refundId: string): Done | undefined {
  const refund = call.draft.get("refunds", refundId);
  if (refund?.settlesAt === undefined) return undefined;
  return takeRefund(call, settleRefund(refund, call.draft.get("charges", refund.chargeId)!), { status: refund.status });
}

/** The bank says something about a refund, whatever its card is known for. */
export function tellRefundNamed(call: Call, refundId: string, word: RefundWord): Done {
  const refund = call.draft.get("refunds", refundId);
  if (refund === undefined) throw noSuch("refund", refundId, "id");
  const charge = call.draft.get("charges", refund.chargeId)!;
  return takeRefund(call, tellRefund(refund, charge, word), { status: refund.status });
}

export function cancelRefundNamed(call: Call, refundId: string): Done {
  const refund = call.draft.get("refunds", refundId);
  if (refund === undefined) throw noSuch("refund", refundId, "id");
  // https://docs.stripe.com/api/refunds/cancel
  if (refund.status !== "requires_action")
    throw invalidRequest(
      `This refund can't be canceled because it has a status of ${refund.status}. Only a refund with a status of requires_action can be canceled.`,
    );
  return tellRefundNamed(call, refundId, { status: "canceled" });
}

function takeRefund({ draft, renderer }: Call, step: RefundStep | Refusal, previous?: object): Done {
  if (!step.ok)
    throw invalidRequest(step.message, {
      ...(step.code === "" ? {} : { code: step.code }),
      ...(step.param === undefined ? {} : { param: step.param }),
    });
  draft.put("charges", step.charge);
  draft.put("refunds", step.refund);
  for (const event of step.events) {
    const about = event === "charge.refunded" ? step.charge.id : step.refund.id;
    draft.emit(event satisfies Stripe.Event.Type, about, event.endsWith("refund.updated") ? previous : undefined);
  }
  return { object: renderer.refund(step.refund) };
}
