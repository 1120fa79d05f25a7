// The API: who may ask, how often, what goes wrong, what is answered again, what is executed, and what is on disk by then.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Counter } from "@onsale/kit/metrics";
import { accountId } from "./account-endpoints.js";
import { type Entry, pack, unpack } from "./books.js";
import type { Draft } from "./drafts.js";
import { expandPathsOf, findRoute, type Route } from "./endpoints.js";
import {
  type ApiError,
  invalidApiKey,
  invalidRequest,
  keyInUse,
  keyOfOtherEndpoint,
  keyOfOtherParameters,
  noAccessToAccount,
  noApiKey,
  rateLimited,
  StripeFailure,
  secretKeyRequired,
  serverError,
  unrecognizedUrl,
} from "./failures.js";
import { type Faults, noFaults } from "./faults.js";
import { type FormTree, isTree, parseForm } from "./form.js";
import { headerOf, json, maxBodyBytes, readBody } from "./http.js";
import { fingerprintOf, type IdempotencyRecord, judgeKey, type KeyedRequest, maxKeyLength } from "./idempotency.js";
import { apiVersion, expand } from "./objects.js";
import type { Done } from "./payment-desk.js";
import type { ServerOptions } from "./server.js";

/** What a request comes to. */
interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly replayed: boolean;
}

interface Work {
  readonly route: Route;
  readonly params: FormTree;
  readonly version: string;
  readonly requestId: string;
  readonly path: string;
}

export class Api {
  private readonly options: ServerOptions;
  private readonly answered: Counter<"endpoint" | "status">;
  private readonly running = new Map<string, KeyedRequest>();

  constructor(options: ServerOptions) {
    this.options = options;
    this.answered = options.metrics.counter("stripe_sim_requests_total", "Requests to the API.", [
      "endpoint",
      "status",
    ]);
  }

  async handle(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const method = request.method ?? "GET";
    const requestId = this.options.newId("req");
    const key = headerOf(request, "idempotency-key");
    const version = headerOf(request, "stripe-version") ?? apiVersion;
    const route = findRoute(method, url.pathname);
    let faults = noFaults;
    let answer: Answer | undefined;
    try {
      const params = await this.admit(request, url, route);
      if (!/^\d{4}-\d{2}-\d{2}(?:\.[a-z]+)?$/.test(version))
        throw invalidRequest(`Invalid Stripe API version: ${version.slice(0, 40)}`);
      const keyed = method === "POST" ? key : undefined;
      const work = { route: route!, params, version, requestId, path: url.pathname };
      if (keyed === undefined) {
        faults = this.options.plan.faultsFor(this.faulted(work, method, key, false));
        answer = await this.perform(work, undefined, faults);
      } else answer = await this.performKeyed(work, method, keyed, (found) => (faults = found));
    } catch (error) {
      if (!(error instanceof StripeFailure)) throw error;
      answer = { ...answerOfFailure(error, requestId), replayed: false };
    }
    const cut = answer !== undefined && faults.ending?.type === "body_cut";
    const lost = answer === undefined || faults.ending?.type === "reset_after_commit";
    this.answered.inc({
      endpoint: route === undefined ? "none" : `${method} ${route.endpoint.template}`,
      status: lost ? "reset" : String(answer!.status),
    });
    this.options.requests.add({
      at: new Date(this.options.clock()).toISOString(),
      requestId,
      method,
      path: url.pathname,
      ...(key === undefined ? {} : { idempotencyKey: key }),
      ...(lost ? {} : { status: answer!.status }),
      replayed: answer?.replayed ?? false,
      ...(faults.ending === undefined ? {} : { fault: faults.ending.type }),
    });
    if (lost) {
      response.socket?.resetAndDestroy();
      return;
    }
    const { status, text, headers } = answer!;
    const body = Buffer.from(text);
    response.writeHead(status, {
      "Content-Type": "application/json",
      "Content-Length": body.length,
      "Cache-Control": "no-cache, no-store",
      "Request-Id": requestId,
      "Stripe-Version": version,
      ...(key === undefined || method !== "POST" ? {} : { "Idempotency-Key": key, "Original-Request": requestId }),
      ...(status >= 400 && status !== 409 && status !== 429 ? { "Stripe-Should-Retry": "false" } : {}),
      ...headers,
    });
    if (cut) response.write(body.subarray(0, body.length >> 1), () => response.socket?.destroy());
    else response.end(body);
  }

  /** Routes, keys, rates, body: what comes before idempotency, so that nothing of it is stored. Answers the parameters. */
  private async admit(request: IncomingMessage, url: URL, route: Route | undefined): Promise<FormTree> {
    const method = request.method ?? "GET";
    const body = await readBody(request);
    if (route === undefined) throw unrecognizedUrl(method, url.pathname);
    checkApiKey(request.headers.authorization);
    const account = headerOf(request, "stripe-account");
    if (account !== undefined && account !== accountId) throw noAccessToAccount(account);
    const reason = this.options.rates.take(`${method} ${route.endpoint.template}`, this.options.clock());
    if (reason !== undefined) throw rateLimited(reason);
    if (body === undefined) throw invalidRequest(`The request's body is longer than ${maxBodyBytes} bytes.`);
    const type = request.headers["content-type"];
    if (body !== "" && type !== undefined && !/^application\/x-www-form-urlencoded\b/i.test(type))
      throw invalidRequest(
        "Invalid request (check that your POST content type is application/x-www-form-urlencoded). If you have any questions, we can help at https://support.stripe.com/.",
      );
    const form = parseForm(url.search.slice(1), method === "POST" ? body : "");
    if (!form.ok) throw invalidRequest(form.problem);
    return form.tree;
  }

  private faulted({ route, params, path }: Work, method: string, key: string | undefined, replay: boolean) {
    const given = params["metadata"];
    const about = isTree(params["payment_intent"]) ? "" : String(params["payment_intent"] ?? route.id);
    const payment = this.options.books.tables.payments.get(about);
    const ofRequest = isTree(given)
      ? [
          Object.fromEntries(Object.entries(given).filter(([, value]) => typeof value === "string")) as Record<
            string,
            string
          >,
        ]
      : [];
    return {
      method,
      path,
      idempotencyKey: key,
      metadata: [...ofRequest, ...(payment === undefined ? [] : [payment.metadata])],
      replay,
    };
  }

  private async performKeyed(
    work: Work,
    method: string,
    key: string,
    setFaults: (faults: Faults) => void,
  ): Promise<Answer | undefined> {
    if (key.length > maxKeyLength)
      throw invalidRequest(`An Idempotency-Key can have up to ${maxKeyLength} characters; this one has ${key.length}.`);
    const request: KeyedRequest = { path: work.path, fingerprint: fingerprintOf(work.params) };
    const verdict = judgeKey(
      request,
      this.options.books.tables.keys.get(key),
      this.running.get(key),
      this.options.clock(),
    );
    if (verdict.kind === "in_use") throw keyInUse(key);
    if (verdict.kind === "other_parameters") throw keyOfOtherParameters(key);
    if (verdict.kind === "other_endpoint") throw keyOfOtherEndpoint(key, work.path, verdict.firstPath);
    const faults = this.options.plan.faultsFor(this.faulted(work, method, key, verdict.kind === "replay"));
    setFaults(faults);
    if (verdict.kind === "replay") {
      await sleep(faults.latencyMs);
      if (faults.ending?.type === "reset_before_commit") return undefined;
      await this.options.durable();
      return this.replayOf(verdict.record);
    }
    this.running.set(key, request);
    try {
      return await this.perform(work, { key, ...request }, faults);
    } finally {
      this.running.delete(key);
    }
  }

  private replayOf(record: IdempotencyRecord): Answer {
    return {
      status: record.status,
      text: unpack(record.packed),
      headers: { "Idempotent-Replayed": "true", "Original-Request": record.requestId },
      replayed: true,
    };
  }

  /** Answers undefined when the fault plan wants the connection reset before anything happens. */
  private async perform(
    { route, params, version, requestId }: Work,
    keyed: (KeyedRequest & { readonly key: string }) | undefined,
    faults: Faults,
  ): Promise<Answer | undefined> {
    const { ending } = faults;
    if (ending?.type === "error_429") throw rateLimited("endpoint-rate");
    await sleep(faults.latencyMs);
    if (ending?.type === "reset_before_commit") return undefined;
    if (ending?.type === "error_500_unstored") throw serverError(true);
    const execute = route.endpoint.read({ id: route.id, params, version });
    const expandPaths = expandPathsOf(params);
    const call = this.options.newCall({ id: requestId, idempotencyKey: keyed?.key });

    let outcome: { readonly status: number; readonly text: string };
    let entry: Entry = {};
    let events: Draft["events"] = [];
    let done: Done | StripeFailure;
    if (ending?.type === "error_500_stored" && !ending.executed) done = serverError(false);
    else
      try {
        done = execute(call);
      } catch (error) {
        if (!(error instanceof StripeFailure)) throw error;
        done = error;
      }
    if (done instanceof StripeFailure) outcome = answerOfFailure(done, requestId);
    else {
      const { object, failure } = done;
      if (failure === undefined) expand(object, expandPaths, this.options.renderer, call.draft);
      outcome = failure === undefined ? { status: 200, text: json(object) } : answerOfFailure(failure, requestId);
      entry = call.draft.entry();
      events = call.draft.events;
    }
    if (ending?.type === "error_500_stored") outcome = answerOfFailure(serverError(false), requestId);
    if (keyed !== undefined) entry = this.withKey(entry, keyed, outcome, requestId);
    if (entry.put === undefined || Object.keys(entry.put).length === 0) await this.options.durable();
    else await this.options.commit(entry, events, faults.webhooks);
    return { ...outcome, headers: {}, replayed: false };
  }

  private withKey(
    entry: Entry,
    { key, path, fingerprint }: KeyedRequest & { readonly key: string },
    { status, text }: { readonly status: number; readonly text: string },
    requestId: string,
  ): Entry {
    const record: IdempotencyRecord = {
      id: key,
      path,
      fingerprint,
      status,
      packed: pack(text),
      requestId,
      storedAt: this.options.clock(),
    };
    return { ...entry, put: { ...entry.put, keys: [record] } };
  }
}

function checkApiKey(authorization: string | undefined): void {
  const key = apiKeyOf(authorization);
  if (key === undefined || key === "") throw noApiKey();
  if (/^pk_/.test(key)) throw secretKeyRequired();
  if (!/^sk_test_[A-Za-z0-9_]{1,250}$/.test(key)) throw invalidApiKey(key.slice(0, 100));
}

/** Bearer, or Basic with the key as the user. */
function apiKeyOf(authorization: string | undefined): string | undefined {
  const found = /^(bearer|basic)\s+(\S*)\s*$/i.exec(authorization ?? "");
  if (found === null) return undefined;
  const [, scheme, value = ""] = found;
  if (scheme?.toLowerCase() === "bearer") return value;
  return Buffer.from(value, "base64").toString().split(":")[0];
}

function answerOfFailure({ status, error, headers }: StripeFailure, requestId: string) {
  const full: ApiError & { readonly request_log_url: string } = {
    ...error,
    request_log_url: `https://dashboard.stripe.com/test/logs/${requestId}`,
  };
  const sorted = Object.fromEntries(Object.entries(full).sort(([left], [right]) => (left < right ? -1 : 1)));
  return { status, text: json({ error: sorted }), headers };
}

function sleep(milliseconds: number): Promise<void> {
  return milliseconds === 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, milliseconds));
}
