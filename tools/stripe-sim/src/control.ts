// /_sim: what tests and operators of the simulator do with it, and Stripe has no such thing.

import { z } from "zod";
import type { Books } from "./books.js";
import { type DisputeOrder, disputeReasons, type Verdict, withheld } from "./disputes.js";
import { StripeFailure } from "./failures.js";
import { type FaultPlan, faultRule, faultRules, maxRules } from "./faults.js";
import type { Payment } from "./payment-intents.js";
import { type Refund, type RefundWord, refundFailures } from "./refunds.js";

/** One request as it is remembered: no parameters, so no card numbers. */
export interface SeenRequest {
  readonly at: string;
  readonly requestId: string;
  readonly method: string;
  readonly path: string;
  readonly idempotencyKey?: string;
  /** Unset: the connection was reset instead of an answer. */
  readonly status?: number;
  readonly replayed: boolean;
  /** Of the fault that ended it. */
  readonly fault?: string;
}

const requestsKept = 10_000;

export interface RequestLog {
  add(request: SeenRequest): void;
  /** Oldest first. */
  list(): readonly SeenRequest[];
}

export function createRequestLog(): RequestLog {
  let seen: SeenRequest[] = [];
  return {
    add(request) {
      seen.push(request);
      if (seen.length > 2 * requestsKept) seen = seen.slice(-requestsKept);
    },
    list: () => seen.slice(-requestsKept),
  };
}

/** What became of the money of one PaymentIntent; amounts in minor units. */
export interface LedgerLine {
  readonly id: string;
  readonly status: Payment["status"];
  readonly currency: string;
  readonly metadata: Payment["metadata"];
  /** By charges that succeeded, however they went on. */
  readonly authorized: number;
  readonly captured: number;
  readonly refunded: number;
  /** Authorized and given back without having been captured. */
  readonly released: number;
  readonly cancelled: boolean;
  /** More than one would be a payment made twice. */
  readonly successfulCharges: number;
  readonly failedCharges: number;
  readonly refunds: number;
  /** Kept from the account by disputes that are open or lost. */
  readonly disputed: number;
}

const isBack = (status: Refund["status"]): boolean => status === "failed" || status === "canceled";

export function ledgerLine(books: Books, payment: Payment): LedgerLine {
  const charges = books.chargesOf(payment.id);
  const successful = charges.filter((charge) => charge.status === "succeeded");
  const sum = (amounts: readonly number[]) => amounts.reduce((total, amount) => total + amount, 0);
  return {
    id: payment.id,
    status: payment.status,
    currency: payment.currency,
    metadata: payment.metadata,
    authorized: sum(successful.map(({ amount }) => amount)),
    captured: sum(successful.map(({ amountCaptured }) => amountCaptured)),
    refunded: sum(successful.map(({ amountRefunded }) => amountRefunded)),
    released: sum(successful.map(({ amountReleased }) => amountReleased)),
    cancelled: payment.status === "canceled",
    successfulCharges: successful.length,
    failedCharges: charges.length - successful.length,
    refunds: sum(successful.map(({ id }) => books.refundsOf(id).filter(({ status }) => !isBack(status)).length)),
    disputed: sum(successful.flatMap(({ id }) => books.disputesOf(id).map(withheld))),
  };
}

export interface ControlRequest {
  readonly method: string;
  /** After /_sim/. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: string;
}

export interface ControlAnswer {
  readonly status: number;
  readonly body: object;
}

export interface ControlOptions {
  readonly books: Books;
  readonly plan: FaultPlan;
  readonly requests: RequestLog;
  /** Answers the PaymentIntent after it; undefined when it does not wait for the buyer. */
  readonly authenticate: (paymentId: string, outcome: "approve" | "fail") => Promise<object | undefined>;
  /** Sends an event once more; undefined when there is none of that id or nowhere to send it. */
  readonly resend: (eventId: string) => Promise<object | undefined>;
  // The three below answer the object after it, and throw a StripeFailure when that can't be.
  readonly tellRefund: (refundId: string, word: RefundWord) => Promise<object>;
  readonly dispute: (paymentId: string, order: DisputeWish) => Promise<object>;
  readonly decideDispute: (disputeId: string, verdict: Verdict) => Promise<object>;
}
type DisputeWish = Pick<DisputeOrder, "amount" | "inquiry" | "reason">;

const problem = (status: number, message: string): ControlAnswer => ({ status, body: { error: { message } } });

export async function answerControl(request: ControlRequest, options: ControlOptions): Promise<ControlAnswer> {
  const { method, path } = request;
  const [section, id, ...more] = path.split("/");
  if (more.length === 0)
    switch (`${method} ${section}`) {
      case "GET faults":
        if (id === undefined) return { status: 200, body: { rules: options.plan.list() } };
        break;
      case "POST faults":
        if (id === undefined) return addFaults(request.body, options.plan);
        break;
      case "DELETE faults":
        return removeFaults(id, options.plan);
      case "GET ledger":
        if (id === undefined) return ledger(request.query, options.books);
        break;
      case "GET requests":
        if (id === undefined) return { status: 200, body: { requests: options.requests.list() } };
        break;
      case "GET webhooks":
        if (id === undefined) return { status: 200, body: { pending: [...options.books.tables.deliveries.values()] } };
        break;
      case "POST webhooks": {
        const sent = id === undefined ? undefined : await options.resend(id);
        return sent === undefined
          ? problem(404, "There is no such event, or no STRIPE_WEBHOOK_URL is set to send it to.")
          : { status: 202, body: sent };
      }
      case "POST 3ds": {
        const outcome = readOutcome(request.body);
        if (outcome === undefined) return problem(400, 'Say {"outcome":"approve"} or {"outcome":"fail"}.');
        const payment = id === undefined ? undefined : await options.authenticate(id, outcome);
        return payment === undefined
          ? problem(409, "There is no such PaymentIntent, or it does not wait for the buyer's approval.")
          : { status: 200, body: payment };
      }
      case "POST refunds":
        if (id !== undefined) return say(refundWord, request.body, (word) => options.tellRefund(id, word));
        break;
      case "POST disputes":
        if (id?.startsWith("pi_")) return say(disputeWish, request.body, (order) => options.dispute(id, order));
        if (id !== undefined) return say(verdict, request.body, ({ outcome }) => options.decideDispute(id, outcome));
        break;
    }
  return problem(
    404,
    "There are GET|POST|DELETE /_sim/faults, DELETE /_sim/faults/{id}, GET /_sim/ledger, GET /_sim/requests, GET /_sim/webhooks, POST /_sim/webhooks/{event}, POST /_sim/3ds/{payment_intent}, POST /_sim/refunds/{refund} and POST /_sim/disputes/{payment_intent or dispute} here.",
  );
}

const refundWord = z
  .strictObject({
    status: z.enum(["requires_action", "succeeded", "failed", "canceled"]),
    failure_reason: z.enum(refundFailures).optional(),
  })
  .transform(
    ({ status, failure_reason }): RefundWord => ({
      status,
      ...(failure_reason === undefined ? {} : { failureReason: failure_reason }),
    }),
  );
const disputeWish = z
  .strictObject({
    reason: z.enum(disputeReasons).default("fraudulent"),
    inquiry: z.boolean().default(false),
    amount: z.int().min(1).optional(),
  })
  .transform(
    ({ reason, inquiry, amount }): DisputeWish => ({ reason, inquiry, ...(amount === undefined ? {} : { amount }) }),
  );
const verdict = z.strictObject({ outcome: z.enum(["won", "lost", "escalated"]) });

/** What the buyer's bank does: read from the body, done, or refused as Stripe's API would. */
async function say<Word>(
  shape: z.ZodType<Word>,
  body: string,
  act: (word: Word) => Promise<object>,
): Promise<ControlAnswer> {
  const read = shape.safeParse(parsed(body === "" ? "{}" : body));
  if (!read.success) return problem(400, sentenceOf(read.error));
  try {
    return { status: 200, body: await act(read.data) };
  } catch (error) {
    if (!(error instanceof StripeFailure)) throw error;
    return problem(error.status === 404 ? 404 : 409, error.message);
  }
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

function sentenceOf(error: z.ZodError): string {
  return error.issues.map(({ path, message }) => `${path.join(".") || "body"}: ${message}`).join("; ");
}

function readOutcome(body: string): "approve" | "fail" | undefined {
  const found = /^\s*(?:\{\s*"outcome"\s*:\s*"(approve|fail)"\s*\}|(?:outcome=)?(approve|fail))\s*$/.exec(body);
  return (found?.[1] ?? found?.[2]) as "approve" | "fail" | undefined;
}

function addFaults(body: string, plan: FaultPlan): ControlAnswer {
  let given: unknown;
  try {
    given = JSON.parse(body);
  } catch {
    return problem(400, "The body must be JSON: one fault rule or a list of them.");
  }
  const read = Array.isArray(given)
    ? faultRules.safeParse(given)
    : faultRule.transform((rule) => [rule]).safeParse(given);
  if (!read.success)
    return problem(
      400,
      read.error.issues.map(({ path, message }) => `${path.join(".") || "rule"}: ${message}`).join("; "),
    );
  if (plan.list().length + read.data.length > maxRules)
    return problem(409, `There may be ${maxRules} rules at a time; DELETE /_sim/faults first.`);
  return { status: 201, body: { rules: plan.add(read.data) } };
}

function removeFaults(id: string | undefined, plan: FaultPlan): ControlAnswer {
  const removed = plan.remove(id === undefined ? undefined : Number(id));
  return id !== undefined && removed === 0
    ? problem(404, "There is no such rule.")
    : { status: 200, body: { removed } };
}

function ledger(query: URLSearchParams, books: Books): ControlAnswer {
  const id = query.get("payment_intent");
  const wanted = [...query].flatMap(([name, value]) => {
    const key = /^metadata\[(.+)\]$/.exec(name)?.[1];
    return key === undefined ? [] : [[key, value] as const];
  });
  const lines = [...books.tables.payments.values()]
    .filter((payment) => id === null || payment.id === id)
    .filter(({ metadata }) => wanted.every(([key, value]) => metadata[key] === value))
    .map((payment) => ledgerLine(books, payment));
  const totals: Record<string, { authorized: number; captured: number; refunded: number; released: number }> = {};
  for (const { currency, authorized, captured, refunded, released } of lines) {
    totals[currency] ??= { authorized: 0, captured: 0, refunded: 0, released: 0 };
    const total = totals[currency];
    total.authorized += authorized;
    total.captured += captured;
    total.refunded += refunded;
    total.released += released;
  }
  return { status: 200, body: { totals, payment_intents: lines } };
}
