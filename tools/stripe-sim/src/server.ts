// HTTP: who may ask, how often, what goes wrong, what is answered again, what is executed, and what is on disk by then.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import { accountId } from "./account-endpoints.js";
import { amountInWords } from "./amounts.js";
import { type Books, type Entry, pack, unpack } from "./books.js";
import { answerControl, type ControlOptions, type RequestLog } from "./control.js";
import { type Draft, openDraft } from "./drafts.js";
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
import { type FaultPlan, type Faults, noFaults } from "./faults.js";
import { emptyTree, type FormTree, isTree, parseForm } from "./form.js";
import { fingerprintOf, type IdempotencyRecord, judgeKey, type KeyedRequest, maxKeyLength } from "./idempotency.js";
import { apiVersion, expand, type Renderer } from "./objects.js";
import { approvalPage, cardPage, messagePage, pageHeaders, readExpiry, safeReturnUrl, withParams } from "./pages.js";
import { authenticate, type BankTimes, type Call, createMethod, type Done } from "./payment-desk.js";
import type { Payment } from "./payment-intents.js";
import type { RateLimits } from "./rate-limits.js";

export interface ServerOptions {
  readonly books: Books;
  readonly renderer: Renderer;
  readonly plan: FaultPlan;
  readonly rates: RateLimits;
  readonly requests: RequestLog;
  readonly control: ControlOptions | undefined;
  readonly newId: (prefix: string) => string;
  /** Milliseconds. */
  readonly clock: () => number;
  readonly searchLagMs: number;
  readonly times: BankTimes;
  /** Applies a change with the deliveries of its events, and resolves when it is on disk. */
  readonly commit: (entry: Entry, events: Draft["events"], faults: Faults["webhooks"]) => Promise<void>;
  /** Resolves when everything that can be seen is on disk. */
  readonly durable: () => Promise<void>;
  readonly log: Logger;
  readonly metrics: Metrics;
}

const maxBodyBytes = 1024 * 1024;

/** What a request comes to. */
interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly replayed: boolean;
}

export function createSimServer(options: ServerOptions): Server {
  const { books, clock, newId, log } = options;
  const running = new Map<string, KeyedRequest>();
  const answered = options.metrics.counter("stripe_sim_requests_total", "Requests to the API.", ["endpoint", "status"]);

  const server = createServer((request, response) => {
    handle(request, response).catch((err: unknown) => {
      log.error({ err }, "a bug: a request ended in an unexpected error");
      if (response.headersSent) response.destroy();
      else response.writeHead(500, { "content-type": "text/plain" }).end("stripe-sim failed; see its log\n");
    });
  });
  server.keepAliveTimeout = 60_000;
  return server;

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = `http://localhost${request.url}`;
    const url = new URL(URL.canParse(asked) ? asked : "http://localhost/");
    const path = url.pathname;
    if (path.startsWith("/_sim/")) return handleControl(request, response, url);
    if (path.startsWith("/3ds/")) return handleApproval(request, response, path.slice("/3ds/".length));
    if (path === "/card") return handleCard(request, response, url);
    return handleApi(request, response, url);
  }

  // The API

  async function handleApi(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const method = request.method ?? "GET";
    const requestId = newId("req");
    const key = headerOf(request, "idempotency-key");
    const version = headerOf(request, "stripe-version") ?? apiVersion;
    const route = findRoute(method, url.pathname);
    let faults = noFaults;
    let answer: Answer | undefined;
    try {
      const params = await admit(request, url, route);
      if (!/^\d{4}-\d{2}-\d{2}(?:\.[a-z]+)?$/.test(version))
        throw invalidRequest(`Invalid Stripe API version: ${version.slice(0, 40)}`);
      const keyed = method === "POST" ? key : undefined;
      const work = { route: route!, params, version, requestId, path: url.pathname };
      if (keyed === undefined) {
        faults = options.plan.faultsFor(faulted(work, method, key, false));
        answer = await perform(work, undefined, faults);
      } else answer = await performKeyed(work, method, keyed, (found) => (faults = found));
    } catch (error) {
      if (!(error instanceof StripeFailure)) throw error;
      answer = { ...answerOfFailure(error, requestId), replayed: false };
    }
    const cut = answer !== undefined && faults.ending?.type === "body_cut";
    const lost = answer === undefined || faults.ending?.type === "reset_after_commit";
    answered.inc({
      endpoint: route === undefined ? "none" : `${method} ${route.endpoint.template}`,
      status: lost ? "reset" : String(answer!.status),
    });
    options.requests.add({
      at: new Date(clock()).toISOString(),
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
  async function admit(request: IncomingMessage, url: URL, route: Route | undefined): Promise<FormTree> {
    const method = request.method ?? "GET";
    const body = await readBody(request);
    if (route === undefined) throw unrecognizedUrl(method, url.pathname);
    checkApiKey(request.headers.authorization);
    const account = headerOf(request, "stripe-account");
    if (account !== undefined && account !== accountId) throw noAccessToAccount(account);
    const reason = options.rates.take(`${method} ${route.endpoint.template}`, clock());
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

  interface Work {
    readonly route: Route;
    readonly params: FormTree;
    readonly version: string;
    readonly requestId: string;
    readonly path: string;
  }

  function faulted({ route, params, path }: Work, method: string, key: string | undefined, replay: boolean) {
    const given = params["metadata"];
    const about = isTree(params["payment_intent"]) ? "" : String(params["payment_intent"] ?? route.id);
    const payment = books.tables.payments.get(about);
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

  async function performKeyed(
    work: Work,
    method: string,
    key: string,
    setFaults: (faults: Faults) => void,
  ): Promise<Answer | undefined> {
    if (key.length > maxKeyLength)
      throw invalidRequest(`An Idempotency-Key can have up to ${maxKeyLength} characters; this one has ${key.length}.`);
    const request: KeyedRequest = { path: work.path, fingerprint: fingerprintOf(work.params) };
    const verdict = judgeKey(request, books.tables.keys.get(key), running.get(key), clock());
    if (verdict.kind === "in_use") throw keyInUse(key);
    if (verdict.kind === "other_parameters") throw keyOfOtherParameters(key);
    if (verdict.kind === "other_endpoint") throw keyOfOtherEndpoint(key, work.path, verdict.firstPath);
    const faults = options.plan.faultsFor(faulted(work, method, key, verdict.kind === "replay"));
    setFaults(faults);
    if (verdict.kind === "replay") {
      await sleep(faults.latencyMs);
      if (faults.ending?.type === "reset_before_commit") return undefined;
      await options.durable();
      return replayOf(verdict.record);
    }
    running.set(key, request);
    try {
      return await perform(work, { key, ...request }, faults);
    } finally {
      running.delete(key);
    }
  }

  function replayOf(record: IdempotencyRecord): Answer {
    return {
      status: record.status,
      text: unpack(record.packed),
      headers: { "Idempotent-Replayed": "true", "Original-Request": record.requestId },
      replayed: true,
    };
  }

  /** Answers undefined when the fault plan wants the connection reset before anything happens. */
  async function perform(
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
    const call = newCall({ id: requestId, idempotencyKey: keyed?.key });

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
      if (failure === undefined) expand(object, expandPaths, options.renderer, call.draft);
      outcome = failure === undefined ? { status: 200, text: json(object) } : answerOfFailure(failure, requestId);
      entry = call.draft.entry();
      events = call.draft.events;
    }
    if (ending?.type === "error_500_stored") outcome = answerOfFailure(serverError(false), requestId);
    if (keyed !== undefined) entry = withKey(entry, keyed, outcome, requestId);
    if (entry.put === undefined || Object.keys(entry.put).length === 0) await options.durable();
    else await options.commit(entry, events, faults.webhooks);
    return { ...outcome, headers: {}, replayed: false };
  }

  function withKey(
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
      storedAt: clock(),
    };
    return { ...entry, put: { ...entry.put, keys: [record] } };
  }

  function newCall(request: Parameters<typeof openDraft>[0]["request"]): Call {
    const now = clock();
    const { renderer } = options;
    return {
      draft: openDraft({ books, renderer, newId, now, request }),
      books,
      renderer,
      now,
      newId,
      searchLagMs: options.searchLagMs,
      times: options.times,
    };
  }

  // The page of the buyer's bank

  async function handleApproval(request: IncomingMessage, response: ServerResponse, sourceId: string): Promise<void> {
    const body = await readBody(request);
    const payment = books.paymentOfSource(sourceId);
    if (payment === undefined)
      return html(
        response,
        404,
        messagePage("Nothing to approve here", "This link is not known. Go back to the shop and try again."),
      );
    if (payment.action?.sourceId !== sourceId)
      return html(
        response,
        request.method === "POST" ? 409 : 200,
        messagePage(
          "This is settled",
          "The payment has been answered or has ended. Go back to the shop to see how it stands.",
        ),
      );
    if (request.method === "GET" || request.method === "HEAD") {
      await options.durable();
      return html(response, 200, approvalPage(approvalOf(payment)));
    }
    const form = parseForm(body ?? "");
    const outcome = form.ok ? form.tree["outcome"] : undefined;
    if (request.method !== "POST" || (outcome !== "approve" && outcome !== "fail"))
      return html(response, 400, messagePage("That is no answer", "Approve or refuse the payment."));
    const done = await answerBuyer(payment, outcome);
    const back = payment.action.returnUrl;
    if (back === undefined)
      return html(response, 200, messagePage("Thank you", "You can close this page and go back to the shop."));
    const location = withParams(back, {
      payment_intent: payment.id,
      payment_intent_client_secret: payment.clientSecret,
      redirect_status: done ? "succeeded" : "failed",
    });
    response.writeHead(303, { ...pageHeaders, location }).end();
  }

  function approvalOf({ amount, currency, description, methodId }: Payment) {
    const card = books.tables.methods.get(methodId ?? "")?.card;
    return {
      amount: amountInWords(amount, currency),
      description,
      card: card === undefined ? "" : `${card.brand[0]!.toUpperCase()}${card.brand.slice(1)} ending in ${card.last4}`,
    };
  }

  /** Whether the payment went through. */
  async function answerBuyer(payment: Payment, outcome: "approve" | "fail"): Promise<boolean> {
    const call = newCall(undefined);
    const done = authenticate(call, payment, outcome);
    await options.commit(call.draft.entry(), call.draft.events, noFaults.webhooks);
    return outcome === "approve" && done.failure === undefined;
  }

  // The page where a card is typed

  async function handleCard(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const body = await readBody(request);
    const form = request.method === "POST" ? parseForm(body ?? "") : { ok: true as const, tree: emptyTree() };
    const field = (name: string) => {
      const value = form.ok ? form.tree[name] : undefined;
      return typeof value === "string" ? value : "";
    };
    const returnUrl = safeReturnUrl(
      request.method === "POST" ? field("return_url") : (url.searchParams.get("return_url") ?? undefined),
    );
    if (returnUrl === undefined)
      return html(
        response,
        400,
        messagePage("This page was opened wrongly", "It needs return_url, an http or https address to go back to."),
      );
    if (request.method !== "POST") return html(response, 200, cardPage({ returnUrl }));
    const expiry = readExpiry(field("expiry"));
    if (expiry === undefined)
      return html(response, 422, cardPage({ returnUrl, problem: "Write the expiry as on the card: month / year." }));
    const call = newCall(undefined);
    try {
      const method = createMethod(call, {
        card: { number: field("number"), expMonth: expiry.month, expYear: expiry.year, cvc: field("cvc").trim() },
        billing: {},
        metadata: {},
      });
      await options.commit(call.draft.entry(), [], noFaults.webhooks);
      response.writeHead(303, { ...pageHeaders, location: withParams(returnUrl, { payment_method: method.id }) }).end();
    } catch (error) {
      if (!(error instanceof StripeFailure)) throw error;
      html(response, 422, cardPage({ returnUrl, problem: error.message }));
    }
  }

  // Control

  async function handleControl(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const body = await readBody(request);
    const answer = (status: number, content: object) =>
      response.writeHead(status, { "content-type": "application/json" }).end(`${json(content)}\n`);
    const refuse = (status: number, message: string) => answer(status, { error: { message } });
    if (options.control === undefined)
      return void refuse(
        403,
        "The control API is closed. Set SIM_CONTROL=true to open it, where only tests can reach it.",
      );
    if (headerOf(request, "origin") !== undefined) return void refuse(403, "The control API is not for web pages.");
    if (body === undefined) return void refuse(413, `The body is longer than ${maxBodyBytes} bytes.`);
    const result = await answerControl(
      { method: request.method ?? "GET", path: url.pathname.slice("/_sim/".length), query: url.searchParams, body },
      options.control,
    );
    await options.durable();
    answer(result.status, result.body);
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

function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  const one = Array.isArray(value) ? value[0] : value;
  return one === "" ? undefined : one;
}

/** Undefined when it is too long; the rest of it is read and thrown away, so that the answer can be heard. */
async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length <= maxBodyBytes) chunks.push(chunk);
  }
  return length > maxBodyBytes ? undefined : Buffer.concat(chunks).toString();
}

function answerOfFailure({ status, error, headers }: StripeFailure, requestId: string) {
  const full: ApiError & { readonly request_log_url: string } = {
    ...error,
    request_log_url: `https://dashboard.stripe.com/test/logs/${requestId}`,
  };
  const sorted = Object.fromEntries(Object.entries(full).sort(([left], [right]) => (left < right ? -1 : 1)));
  return { status, text: json({ error: sorted }), headers };
}

function json(value: object): string {
  return JSON.stringify(value, null, 2);
}

function html(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, pageHeaders).end(text);
}

function sleep(milliseconds: number): Promise<void> {
  return milliseconds === 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, milliseconds));
}
