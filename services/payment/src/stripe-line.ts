// The line to Stripe: each request in its turn of the budget, past the circuit breaker, timed, and its answer in our own words.
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
import type { Counter, Histogram, Metrics } from "@onsale/kit/metrics";
import { beginSpan, within as inSpan } from "@onsale/kit/tracing";
import {
  BrokenCircuitError,
  type CircuitBreakerPolicy,
  CircuitState,
  ConsecutiveBreaker,
  circuitBreaker,
  handleAll,
} from "cockatiel";
import Stripe from "stripe";
import type { Budget, Lane } from "./budget.js";
import type { Decline, IntentSnapshot } from "./payments.js";
import { readIntent } from "./stripe-objects.js";

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

export class StripeLine {
  readonly client: Stripe;
  private readonly agent: HttpAgent | HttpsAgent;
  private readonly settings: StripeSettings;
  private readonly breaker: CircuitBreakerPolicy;
  private readonly requests: Counter<"endpoint" | "outcome">;
  private readonly seconds: Histogram<"endpoint">;
  private openUntilMs = 0;

  constructor(settings: StripeSettings) {
    this.settings = settings;
    const { metrics } = settings;
    const base = new URL(settings.apiBase);
    const protocol = base.protocol === "http:" ? "http" : "https";
    // A connection that idles for long may be closed by the other side just as the next request goes out on it.
    this.agent = new (protocol === "http" ? HttpAgent : HttpsAgent)({
      keepAlive: true,
      timeout: 4_000,
      scheduling: "lifo",
    });
    this.client = new Stripe(settings.secretKey, {
      apiVersion,
      maxNetworkRetries: 0,
      timeout: settings.timeoutMs,
      telemetry: false,
      host: base.hostname,
      port: base.port || (protocol === "http" ? 80 : 443),
      protocol,
      httpClient: sendingOnce(Stripe.createNodeHttpClient(this.agent)),
    });
    this.requests = metrics.counter("onsale_stripe_requests_total", "Requests to Stripe", ["endpoint", "outcome"]);
    this.seconds = metrics.histogram("onsale_stripe_request_seconds", "Time Stripe took to answer", ["endpoint"]);
    this.breaker = this.openBreaker();
  }

  private openBreaker(): CircuitBreakerPolicy {
    const { metrics, log, breakerOpenMs, breakerFailures } = this.settings;
    const gauge = metrics.gauge(
      "onsale_stripe_breaker_state",
      "The circuit breaker before Stripe: 0 closed, 1 open, 2 trying again",
    );
    gauge.set(0);
    const breaker = circuitBreaker(handleAll, {
      halfOpenAfter: breakerOpenMs,
      breaker: new ConsecutiveBreaker(breakerFailures),
    });
    breaker.onStateChange((state) => {
      gauge.set(state === CircuitState.Closed ? 0 : state === CircuitState.HalfOpen ? 2 : 1);
      if (state === CircuitState.Open) this.openUntilMs = Date.now() + breakerOpenMs;
      log[state === CircuitState.Open ? "error" : "info"](
        { breaker: CircuitState[state] },
        state === CircuitState.Open ? "Stripe fails again and again: leaving it alone for a while" : "Stripe's breaker",
      );
    });
    return breaker;
  }

  private brokenCircuit(): DomainError {
    return new DomainError(
      "UNAVAILABLE",
      "Stripe does not answer at the moment. Nothing was sent to it; please try again shortly.",
      { retryAfterSeconds: Math.max(1, Math.ceil((this.openUntilMs - Date.now()) / 1000)) },
    );
  }

  /** Sends one request when its turn comes. Throws UNAVAILABLE only when nothing was sent. */
  async ask<Raw extends Stripe.Response<unknown>, Value>(
    endpoint: Endpoint,
    call: Call,
    send: () => Promise<Raw>,
    read: (raw: Raw) => Value,
  ): Promise<Answer<Value>> {
    const { budget, log } = this.settings;
    if (this.breaker.state === CircuitState.Open && Date.now() < this.openUntilMs) throw this.brokenCircuit();
    await budget.take({ endpoint, lane: call.lane, shared: sharedEndpoints.has(endpoint) }, call.deadlineMs);
    let answer: Answer<Value>;
    let sent = false;
    try {
      // Only what says that Stripe is unwell may reach the breaker as an error; a decline is a sound answer.
      answer = await this.breaker.execute(async () => {
        sent = true;
        const result = await this.send(endpoint, send, read);
        if (!result.ok && result.reason === "unknown" && unwell.has(result.cause)) throw new Unwell(result);
        return result;
      });
    } catch (thrown) {
      if (thrown instanceof BrokenCircuitError && !sent) throw this.brokenCircuit();
      if (!(thrown instanceof Unwell)) throw thrown;
      answer = thrown.answer;
    }
    const outcome = outcomeOf(answer);
    this.requests.inc({ endpoint, outcome });
    if (!answer.ok && answer.reason === "unknown")
      log[answer.cause === "account" || answer.cause === "unreadable" ? "error" : "warn"](
        { err: answer.error, endpoint, outcome },
        "Stripe's answer is unknown",
      );
    return answer;
  }

  private async send<Raw extends Stripe.Response<unknown>, Value>(
    endpoint: Endpoint,
    send: () => Promise<Raw>,
    read: (raw: Raw) => Value,
  ): Promise<Answer<Value>> {
    const end = this.seconds.startTimer({ endpoint });
    // Stripe itself is told nothing of our traces.
    const span = beginSpan(`stripe ${endpoint}`, { kind: "client", attributes: { "peer.service": "stripe" } });
    const result = await inSpan(span, () => within(this.settings.timeoutMs, send)).then(
      (raw): Answer<Value> => understood(raw, read),
      (error: unknown) => failed(error),
    );
    end();
    span?.set("onsale.outcome", outcomeOf(result));
    span?.end(!result.ok && result.reason === "unknown");
    return result;
  }

  close(): void {
    this.agent.destroy();
  }
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
