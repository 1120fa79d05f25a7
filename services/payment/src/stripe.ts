// The only file that speaks to Stripe: requests by way of budget and circuit breaker, answers in our own words, and
// the webhooks' signatures.
//
// Two rules of idempotency live here and in payments.ts (stripeKey), and ADR 2 gives the reasons:
// 1. Every write carries a key made of the workflow's id and the step. The client's own repetition of a request whose
//    connection closed is switched off: it would pass by the budget.
// 2. An answer says whether Stripe replayed it. A replayed success is old news (the intent may have moved on since), so
//    whoever gets one reads the intent afterwards. A replayed error of Stripe's servers will come again for ever: the
//    step looks the object up, and takes a fresh key only if nothing was made.
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import { beginSpan, within as inSpan } from "@onsale/kit/tracing";
import { BrokenCircuitError, CircuitState, ConsecutiveBreaker, circuitBreaker, handleAll } from "cockatiel";
import Stripe from "stripe";
import type { Budget, Lane } from "./budget.js";
import type { DisputeSnapshot, Evidence } from "./disputes.js";
import type { CancelReason, Decline, IntentSnapshot } from "./payments.js";
import type { RefundSnapshot } from "./refunds.js";
import {
  entryOf,
  type IntentWithCharge,
  lastOf,
  readDispute,
  readEvent,
  readIntent,
  readIntentWithCharge,
  readRefund,
  type WebhookEvent,
} from "./stripe-objects.js";

/** The version of Stripe's API that this code was written against, whatever the account's default is. */
const apiVersion = "2026-10-28.endive";

/** Who waits for this, and until when. */
export interface Call {
  readonly lane: Lane;
  /** Epoch milliseconds. Nothing is sent after it. */
  readonly deadlineMs: number;
}

export type Answer<Value> =
  | { readonly ok: true; readonly value: Value; readonly replayed: boolean }
  /** The bank or Stripe said no to this card. Nothing was taken. */
  | {
      readonly ok: false;
      readonly reason: "declined";
      readonly decline: Decline;
      readonly intent: IntentSnapshot | undefined;
      readonly replayed: boolean;
    }
  /** Stripe refused the request as it stands. Nothing was done. */
  | {
      readonly ok: false;
      readonly reason: "refused";
      readonly code: string;
      readonly param: string | undefined;
      readonly message: string;
    }
  /** Whether it took effect is unknown. `storedError`: Stripe keeps this error for the key, and will only repeat it. */
  | {
      readonly ok: false;
      readonly reason: "unknown";
      readonly cause: "connection" | "server" | "busy" | "limited" | "account" | "unreadable";
      readonly storedError: boolean;
      readonly error: unknown;
    };

export interface NewIntent {
  readonly checkoutId: string;
  readonly eventId: string;
  readonly amount: number;
  readonly currency: string;
  readonly description: string;
}

/** A page of intents, newest first. */
export interface IntentPage {
  readonly intents: readonly (IntentSnapshot & { readonly createdAtMs: number })[];
  readonly isLast: boolean;
}

export interface StripeApi {
  createIntent(intent: NewIntent, key: string, call: Call): Promise<Answer<IntentSnapshot>>;
  confirmIntent(
    intentId: string,
    how: { readonly paymentMethodId: string; readonly returnUrl: string },
    key: string,
    call: Call,
  ): Promise<Answer<IntentSnapshot>>;
  captureIntent(intentId: string, key: string, call: Call): Promise<Answer<IntentSnapshot>>;
  cancelIntent(
    intentId: string,
    reason: CancelReason | undefined,
    key: string,
    call: Call,
  ): Promise<Answer<IntentSnapshot>>;
  /** With its refunds and disputes. */
  retrieveIntent(intentId: string, call: Call): Promise<Answer<IntentSnapshot>>;
  /** By the metadata that we gave it. Stripe's search lags: a minute usually, longer in an outage. */
  findIntent(checkoutId: string, call: Call): Promise<Answer<IntentSnapshot | undefined>>;
  /** The same among those made between two moments, without a lag, but a page of 100 at a time. */
  findRecentIntent(
    checkoutId: string,
    made: { readonly fromMs: number; readonly toMs: number },
    call: Call,
  ): Promise<Answer<IntentSnapshot | undefined>>;
  /** Those made between two moments, with their refunds and disputes, without a lag. `after`: the page behind this one. */
  listIntents(
    made: { readonly fromMs?: number; readonly beforeMs?: number },
    page: { readonly after?: string; readonly limit: number },
    call: Call,
  ): Promise<Answer<IntentPage>>;
  createRefund(
    refund: {
      readonly intentId: string;
      readonly checkoutId: string;
      readonly refundId: string;
      readonly amount: number;
    },
    key: string,
    call: Call,
  ): Promise<Answer<RefundSnapshot>>;
  /** All refunds of an intent, oldest first, without a lag. */
  listRefunds(intentId: string, call: Call): Promise<Answer<readonly RefundSnapshot[]>>;
  retrieveDispute(disputeId: string, call: Call): Promise<Answer<DisputeSnapshot>>;
  /** Puts evidence on a dispute beside what is there; `submit` sends all of it to the bank, once and for ever. */
  giveEvidence(
    disputeId: string,
    evidence: Evidence,
    submit: boolean,
    key: string,
    call: Call,
  ): Promise<Answer<DisputeSnapshot>>;
  /** undefined: no secret of ours signed these bytes lately. */
  readWebhook(body: Buffer, signature: string): WebhookEvent | undefined;
  stop(): void;
}

export interface StripeSettings {
  readonly secretKey: string;
  readonly apiBase: string;
  readonly timeoutMs: number;
  readonly webhookSecrets: readonly string[];
  readonly webhookToleranceSeconds: number;
  readonly breakerFailures: number;
  readonly breakerOpenMs: number;
  readonly budget: Budget;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export function createStripe(settings: StripeSettings): StripeApi {
  const { budget, log, metrics } = settings;
  const base = new URL(settings.apiBase);
  const protocol = base.protocol === "http:" ? "http" : "https";
  // A connection that idles for long may be closed by the other side just as the next request goes out on it.
  const agent = new (protocol === "http" ? HttpAgent : HttpsAgent)({
    keepAlive: true,
    timeout: 4_000,
    scheduling: "lifo",
  });
  const client = new Stripe(settings.secretKey, {
    apiVersion,
    maxNetworkRetries: 0,
    timeout: settings.timeoutMs,
    telemetry: false,
    host: base.hostname,
    port: base.port || (protocol === "http" ? 80 : 443),
    protocol,
    httpClient: sendingOnce(Stripe.createNodeHttpClient(agent)),
  });

  const requests = metrics.counter("onsale_stripe_requests_total", "Requests to Stripe", ["endpoint", "outcome"]);
  const seconds = metrics.histogram("onsale_stripe_request_seconds", "Time Stripe took to answer", ["endpoint"]);
  const breakerState = metrics.gauge(
    "onsale_stripe_breaker_state",
    "The circuit breaker before Stripe: 0 closed, 1 open, 2 trying again",
  );
  breakerState.set(0);
  const breaker = circuitBreaker(handleAll, {
    halfOpenAfter: settings.breakerOpenMs,
    breaker: new ConsecutiveBreaker(settings.breakerFailures),
  });
  let openUntilMs = 0;
  breaker.onStateChange((state) => {
    breakerState.set(state === CircuitState.Closed ? 0 : state === CircuitState.HalfOpen ? 2 : 1);
    if (state === CircuitState.Open) openUntilMs = Date.now() + settings.breakerOpenMs;
    log[state === CircuitState.Open ? "error" : "info"](
      { breaker: CircuitState[state] },
      state === CircuitState.Open ? "Stripe fails again and again: leaving it alone for a while" : "Stripe's breaker",
    );
  });
  const brokenCircuit = () =>
    new DomainError(
      "UNAVAILABLE",
      "Stripe does not answer at the moment. Nothing was sent to it; please try again shortly.",
      { retryAfterSeconds: Math.max(1, Math.ceil((openUntilMs - Date.now()) / 1000)) },
    );

  /** Sends one request when its turn comes. Throws UNAVAILABLE only when nothing was sent. */
  async function ask<Raw extends Stripe.Response<unknown>, Value>(
    endpoint: Endpoint,
    call: Call,
    send: () => Promise<Raw>,
    read: (raw: Raw) => Value,
  ): Promise<Answer<Value>> {
    if (breaker.state === CircuitState.Open && Date.now() < openUntilMs) throw brokenCircuit();
    await budget.take({ endpoint, lane: call.lane, shared: sharedEndpoints.has(endpoint) }, call.deadlineMs);
    let answer: Answer<Value>;
    let sent = false;
    try {
      // Only what says that Stripe is unwell may reach the breaker as an error; a decline is a sound answer.
      answer = await breaker.execute(async () => {
        sent = true;
        const end = seconds.startTimer({ endpoint });
        // Stripe itself is told nothing of our traces.
        const span = beginSpan(`stripe ${endpoint}`, { kind: "client", attributes: { "peer.service": "stripe" } });
        const result = await inSpan(span, () => within(settings.timeoutMs, send)).then(
          (raw): Answer<Value> => understood(raw, read),
          (error: unknown) => failed(error),
        );
        end();
        span?.set("onsale.outcome", outcomeOf(result));
        span?.end(!result.ok && result.reason === "unknown");
        if (!result.ok && result.reason === "unknown" && unwell.has(result.cause)) throw new Unwell(result);
        return result;
      });
    } catch (thrown) {
      if (thrown instanceof BrokenCircuitError && !sent) throw brokenCircuit();
      if (!(thrown instanceof Unwell)) throw thrown;
      answer = thrown.answer;
    }
    const outcome = outcomeOf(answer);
    requests.inc({ endpoint, outcome });
    if (!answer.ok && answer.reason === "unknown")
      log[answer.cause === "account" || answer.cause === "unreadable" ? "error" : "warn"](
        { err: answer.error, endpoint, outcome },
        "Stripe's answer is unknown",
      );
    return answer;
  }

  /** Every object of a list, oldest first; Stripe gives the newest first, a hundred at a time. */
  async function all<Value>(
    askAfter: (
      after: string | undefined,
    ) => Promise<Answer<{ values: readonly Value[]; last?: string; isLast: boolean }>>,
  ): Promise<Answer<readonly Value[]>> {
    const values: Value[] = [];
    for (let after: string | undefined; ; ) {
      const page = await askAfter(after);
      if (!page.ok) return page;
      values.push(...page.value.values);
      after = page.value.last;
      if (page.value.isLast || !after) return { ok: true, value: values.reverse(), replayed: false };
    }
  }

  const listRefunds = (intentId: string, call: Call): Promise<Answer<readonly RefundSnapshot[]>> =>
    all((after) =>
      ask(
        "refunds",
        call,
        () => client.refunds.list({ payment_intent: intentId, limit: 100, ...(after && { starting_after: after }) }),
        ({ data, has_more }) => ({ values: data.map(readRefund), isLast: !has_more, ...lastOf(data) }),
      ),
    );

  const listDisputes = (intentId: string, call: Call): Promise<Answer<readonly DisputeSnapshot[]>> =>
    all((after) =>
      ask(
        "disputes",
        call,
        () => client.disputes.list({ payment_intent: intentId, limit: 100, ...(after && { starting_after: after }) }),
        ({ data, has_more }) => ({ values: data.map(readDispute), isLast: !has_more, ...lastOf(data) }),
      ),
    );

  /** An intent that came with its charge, and what did not fit into the answer. Most payments need no more questions. */
  async function complete(
    { snapshot, isDisputed, hasAllRefunds }: IntentWithCharge,
    call: Call,
  ): Promise<Answer<IntentSnapshot>> {
    let whole = snapshot;
    if (!hasAllRefunds) {
      const refunds = await listRefunds(snapshot.intentId, call);
      if (!refunds.ok) return refunds;
      whole = { ...whole, refunds: refunds.value };
    }
    if (isDisputed) {
      const disputes = await listDisputes(snapshot.intentId, call);
      if (!disputes.ok) return disputes;
      whole = { ...whole, disputes: disputes.value.map(entryOf) };
    }
    return { ok: true, value: whole, replayed: false };
  }

  const expand = ["latest_charge"];
  return {
    createIntent: ({ checkoutId, eventId, amount, currency, description }, idempotencyKey, call) =>
      ask(
        "create",
        call,
        () =>
          client.paymentIntents.create(
            {
              amount,
              currency: currency.toLowerCase(),
              // Cards only: a method must allow capturing later, and have the buyer back within the hold's minutes.
              // This parameter took the place of payment_method_types, which this API version refuses.
              allowed_payment_method_types: ["card"],
              capture_method: "manual",
              metadata: { checkoutId, workflowId: `checkout-${checkoutId}`, eventId },
              ...(description && { description }),
            },
            { idempotencyKey },
          ),
        readIntent,
      ),
    confirmIntent: (intentId, { paymentMethodId, returnUrl }, idempotencyKey, call) =>
      ask(
        "confirm",
        call,
        () =>
          client.paymentIntents.confirm(
            intentId,
            { payment_method: paymentMethodId, return_url: returnUrl, expand },
            { idempotencyKey },
          ),
        readIntent,
      ),
    captureIntent: (intentId, idempotencyKey, call) =>
      ask("capture", call, () => client.paymentIntents.capture(intentId, { expand }, { idempotencyKey }), readIntent),
    cancelIntent: (intentId, reason, idempotencyKey, call) =>
      ask(
        "cancel",
        call,
        () =>
          client.paymentIntents.cancel(
            intentId,
            { ...(reason && { cancellation_reason: reason }), expand },
            { idempotencyKey },
          ),
        readIntent,
      ),
    async retrieveIntent(intentId, call) {
      const read = await ask(
        "retrieve",
        call,
        () => client.paymentIntents.retrieve(intentId, { expand: ["latest_charge.refunds"] }),
        readIntentWithCharge,
      );
      return read.ok ? complete(read.value, call) : read;
    },
    findIntent: (checkoutId, call) =>
      ask(
        "search",
        call,
        () => client.paymentIntents.search({ query: `metadata['checkoutId']:'${checkoutId}'`, limit: 10 }),
        ({ data }) => data.map(readIntent).find((intent) => intent.checkoutId === checkoutId),
      ),
    async findRecentIntent(checkoutId, { fromMs, toMs }, call) {
      const created = { gte: Math.floor(fromMs / 1000), lte: Math.ceil(toMs / 1000) };
      let after: string | undefined;
      for (;;) {
        const page = await ask(
          "list",
          call,
          () => client.paymentIntents.list({ created, limit: 100, ...(after && { starting_after: after }) }),
          ({ data, has_more }) => ({ intents: data.map(readIntent), isLast: !has_more }),
        );
        if (!page.ok) return page;
        const { intents, isLast } = page.value;
        const value = intents.find((intent) => intent.checkoutId === checkoutId);
        after = intents.at(-1)?.intentId;
        if (value || isLast || !after) return { ok: true, value, replayed: false };
      }
    },
    async listIntents({ fromMs, beforeMs }, { after, limit }, call) {
      const created = {
        ...(fromMs !== undefined && { gte: Math.ceil(fromMs / 1000) }),
        ...(beforeMs !== undefined && { lt: Math.ceil(beforeMs / 1000) }),
      };
      const page = await ask(
        "list",
        call,
        () =>
          client.paymentIntents.list({
            ...(Object.keys(created).length > 0 && { created }),
            limit,
            expand: ["data.latest_charge.refunds"],
            ...(after && { starting_after: after }),
          }),
        ({ data, has_more }) => ({
          found: data.map((intent) => ({ read: readIntentWithCharge(intent), createdAtMs: intent.created * 1000 })),
          isLast: !has_more,
        }),
      );
      if (!page.ok) return page;
      const intents: (IntentSnapshot & { createdAtMs: number })[] = [];
      for (const { read, createdAtMs } of page.value.found) {
        const whole = await complete(read, call);
        if (!whole.ok) return whole;
        intents.push({ ...whole.value, createdAtMs });
      }
      return { ok: true, value: { intents, isLast: page.value.isLast }, replayed: false };
    },
    createRefund: ({ intentId, checkoutId, refundId, amount }, idempotencyKey, call) =>
      ask(
        "refund",
        call,
        () =>
          client.refunds.create(
            { payment_intent: intentId, amount, metadata: { checkoutId, refundId } },
            { idempotencyKey },
          ),
        readRefund,
      ),
    listRefunds,
    retrieveDispute: (disputeId, call) => ask("dispute", call, () => client.disputes.retrieve(disputeId), readDispute),
    giveEvidence: (disputeId, evidence, submit, idempotencyKey, call) =>
      ask(
        "evidence",
        call,
        () => client.disputes.update(disputeId, { evidence: { ...evidence }, submit }, { idempotencyKey }),
        readDispute,
      ),
    readWebhook(body, signature) {
      for (const secret of settings.webhookSecrets) {
        try {
          return readEvent(client.webhooks.constructEvent(body, signature, secret, settings.webhookToleranceSeconds));
        } catch (error) {
          if (!(error instanceof Stripe.errors.StripeSignatureVerificationError)) throw notAnEvent(error);
        }
      }
      return undefined;
    },
    stop: () => agent.destroy(),
  };
}

const outcomeOf = (answer: Answer<unknown>): string =>
  answer.ok ? "ok" : answer.reason === "unknown" ? answer.cause : answer.reason;

type Endpoint =
  | "create"
  | "confirm"
  | "capture"
  | "cancel"
  | "retrieve"
  | "search"
  | "list"
  | "refund"
  | "refunds"
  | "disputes"
  | "dispute"
  | "evidence";
/** Where looking (the lane "new") may not take the last turn from money that is under way. */
const sharedEndpoints: ReadonlySet<Endpoint> = new Set(["retrieve", "list", "refunds", "disputes", "dispute"]);

/** The client repeats a request by itself when the connection closed early, retries or not: it knows such an error by its code. */
function sendingOnce(plain: Stripe.HttpClient): Stripe.HttpClient {
  return Object.assign(Object.create(plain) as Stripe.HttpClient, {
    makeRequest: (...request: Parameters<Stripe.HttpClient["makeRequest"]>) =>
      plain.makeRequest(...request).catch((error: Error & { code?: string }) => {
        if (error.code !== "ECONNRESET" && error.code !== "EPIPE") throw error;
        throw new Error("the connection to Stripe closed before its answer came", { cause: error });
      }),
  });
}

/** The client's own timeout counts the silence between bytes; this one counts everything. */
async function within<Result>(timeoutMs: number, work: () => Promise<Result>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Stripe took longer than ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}

// ---- failures

type Unknown = Extract<Answer<never>, { reason: "unknown" }>;
const unwell: ReadonlySet<Unknown["cause"]> = new Set(["connection", "server"]);

class Unwell extends Error {
  readonly answer: Unknown;
  constructor(answer: Unknown) {
    super("Stripe is unwell", { cause: answer.error });
    this.answer = answer;
  }
}

const wasReplayed = (headers: Readonly<Record<string, unknown>> | undefined): boolean =>
  String(headers?.["idempotent-replayed"] ?? "").toLowerCase() === "true";

function failed(error: unknown): Exclude<Answer<never>, { ok: true }> {
  const unknown = (cause: Unknown["cause"], storedError = false): Unknown => ({
    ok: false,
    reason: "unknown",
    cause,
    storedError,
    error,
  });
  // What isn't Stripe's own error object: our timer, a socket, or bytes that are no JSON.
  if (!(error instanceof Stripe.errors.StripeError) || error.statusCode === undefined) return unknown("connection");
  const { statusCode: status, code = "" } = error;
  const replayed = wasReplayed(error.headers);
  if (status >= 500) return unknown("server", replayed);
  if (status === 409) return unknown("busy");
  if (status === 429 || code === "rate_limit" || code === "lock_timeout") return unknown("limited");
  if (status === 401 || status === 403) return unknown("account");
  if (status === 402) {
    const intent = error.payment_intent ? readIntent(error.payment_intent) : undefined;
    return {
      ok: false,
      reason: "declined",
      decline: { code: error.decline_code || code || "generic_decline" },
      intent,
      replayed,
    };
  }
  return {
    ok: false,
    reason: "refused",
    code: code || (error.rawType ?? ""),
    param: error.param,
    message: error.message,
  };
}

// ---- reading

function understood<Raw extends Stripe.Response<unknown>, Value>(raw: Raw, read: (raw: Raw) => Value): Answer<Value> {
  try {
    return { ok: true, value: read(raw), replayed: wasReplayed(raw.lastResponse?.headers) };
  } catch (error) {
    return { ok: false, reason: "unknown", cause: "unreadable", storedError: false, error };
  }
}

/** Rightly signed, but not an event of the kind that this endpoint is for. */
function notAnEvent(cause: unknown): DomainError {
  return new DomainError(
    "REQUEST_INVALID",
    "The body is signed by Stripe but is not an event that this endpoint reads.",
    {},
    cause,
  );
}
