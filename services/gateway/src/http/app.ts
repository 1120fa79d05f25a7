// The HTTP side of every route: who asks, how often, with what body and key; then the handler; then its answer or a problem.
import type { IncomingMessage, ServerResponse } from "node:http";
import { DomainError } from "@onsale/kit/errors";
import { newId } from "@onsale/kit/ids";
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import express, { type Express, type NextFunction, type Request, type Response } from "express";
import helmet, { type HelmetOptions } from "helmet";
import { z } from "zod";
import { codesOf } from "../openapi/openapi.js";
import { type Authenticator, bearerToken, type Identity, requireRole } from "./authenticate.js";
import { type Attempt, type Idempotency, ReplayedRefusal } from "./idempotency.js";
import { codesByStatus, problemMediaType, problemOf } from "./problem.js";
import { countedAddress, type Policy, type RateLimits } from "./rate-limit.js";
import { parseJson, readBody, requireJson, unreadBody } from "./request-body.js";
import { type Answer, type Call, cache, defaultBodyLimitBytes, type Route } from "./route.js";
import { invalid, validate } from "./validation.js";

export interface AppDependencies {
  readonly routes: readonly Route[];
  readonly authenticator: Authenticator;
  readonly idempotency: Idempotency;
  /** undefined: no limits. */
  readonly rateLimits: RateLimits | undefined;
  readonly trustProxy: false | number | string[];
  readonly corsOrigins: readonly string[];
  readonly closing: AbortSignal;
  readonly metrics: Metrics;
  readonly log: Logger;
}

/** How long a connection whose body we do not read stays, so that its sender can read why. */
const lingerMs = 2_000;

export type Listener = (request: IncomingMessage, response: ServerResponse) => void;

/** One request on its way to its answer. */
interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly id: string;
  readonly begunAt: number;
  /** As Express reads it: behind a proxy, what that says. */
  readonly seen: () => Pick<Request, "ip" | "protocol" | "host">;
  readonly path: string;
  /** What the answer has besides its own; a later one of the same name replaces an earlier. */
  readonly headers: Record<string, string>;
  // Told to log and metrics at the end.
  route: string;
  code?: string;
  accountId?: string | undefined;
  streams?: true;
}

const security: HelmetOptions = {
  contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  referrerPolicy: { policy: "no-referrer" },
};

/**
 * Express finds the route of a request. Routes that are `hot` are found before it is asked, by method and address alone: their
 * requests then cost half as much. From there on all is the same, `serve`.
 */
export function createApp(dependencies: AppDependencies): Listener & Pick<Express, "router"> {
  const { routes, authenticator, idempotency, rateLimits, trustProxy, corsOrigins, closing, metrics } = dependencies;
  const { log } = dependencies;
  const seconds = metrics.histogram("onsale_http_seconds", "Time to answer a request, by route and status", [
    "method",
    "route",
    "status",
  ]);
  // A series that appears with its first failure shows Prometheus no increase, so what objectives are counted by is there from the
  // start: all answers in two series, and of the routes where the crowd is, each answer that they can give.
  const outcomes = ["answered", "failed"] as const;
  const answers = metrics.counter(
    "onsale_api_answers_total",
    "Answers of the API, probes left out: failed are those with a status of 500 or more",
    ["outcome"],
    outcomes.map((outcome) => ({ outcome })),
  );
  const [answered, failed] = [answers.labels({ outcome: "answered" }), answers.labels({ outcome: "failed" })];
  for (const one of routes.filter(({ hot }) => hot))
    for (const status of statusesOf(one))
      seconds.zero({ method: one.method.toUpperCase(), route: one.path, status: String(status) });
  // Of what is logged of every request, nothing can be a secret: there is nothing to look for in it.
  const requestLog = log.child({}, { redact: [] });
  const securityHeaders = helmetHeaders({
    ...security,
    crossOriginResourcePolicy: { policy: corsOrigins.length > 0 ? "cross-origin" : "same-origin" },
  });
  const app = express();
  app.disable("x-powered-by").disable("etag").set("query parser", "simple").set("case sensitive routing", true);
  app.set("trust proxy", trustProxy);

  app.use((request, response, next) => {
    const exchange = begin(request, response, request.path, () => request);
    response.locals["exchange"] = exchange;
    if (!answerPreflight(exchange, corsOrigins)) next();
  });

  const byPath = groupByPath(routes);
  for (const [path, here] of byPath) {
    const place = app.route(path.replaceAll(/\{(\w+)\}/g, ":$1"));
    for (const one of here)
      place[one.method](
        (request, response, next) => void serve(one, exchangeOf(response), request.params, request.query).catch(next),
      );
    place.all((request, response) => {
      const exchange = exchangeOf(response);
      exchange.route = path;
      const allow = [...here.map(({ method }) => method.toUpperCase()), "OPTIONS"];
      if (allow.includes("GET")) allow.push("HEAD");
      if (request.method === "OPTIONS") {
        exchange.headers["Allow"] = allow.join(", ");
        return send(exchange, { status: 204 });
      }
      refuse(exchange, new DomainError("METHOD_NOT_ALLOWED", `Here you can ${allow.join(", ")}.`, { allow }));
    });
  }
  app.use((_, response) =>
    refuse(
      exchangeOf(response),
      new DomainError("ROUTE_NOT_FOUND", "There is nothing at this address. The API is described at /docs."),
    ),
  );
  app.use((error: unknown, _request: Request, response: Response, _next: NextFunction) =>
    refuse(
      exchangeOf(response),
      // Express could not decode the path.
      error instanceof URIError || (error as { status?: unknown })?.status === 400
        ? new DomainError("REQUEST_INVALID", "The address is not valid: a %-escape in it does not decode.")
        : DomainError.from(error),
    ),
  );

  const hot = new Map(
    routes.flatMap((one) => (one.hot ? [[`${one.method.toUpperCase()} ${one.path}`, one] as const] : [])),
  );
  const listener: Listener = (request, response) => {
    const one = hot.get(`${request.method} ${request.url}`);
    if (one === undefined) return void app(request, response);
    const exchange = begin(request, response, one.path, () => seenByExpress(app, request));
    if (answerPreflight(exchange, corsOrigins)) return;
    serve(one, exchange, {}, {}).catch((error: unknown) => refuse(exchange, DomainError.from(error)));
  };
  return Object.assign(listener, { router: app.router });

  function begin(request: IncomingMessage, response: ServerResponse, path: string, seen: Exchange["seen"]): Exchange {
    const id = identify(request);
    const headers = { ...securityHeaders, "X-Request-Id": id };
    const exchange: Exchange = {
      request,
      response,
      id,
      begunAt: performance.now(),
      seen,
      path,
      headers,
      route: "unknown",
    };
    response.once("close", () => observe(exchange));
    return exchange;
  }

  /** From the request to its answer, in the order in which the checks are cheapest. */
  async function serve(one: Route, exchange: Exchange, givenParams: unknown, givenQuery: object): Promise<void> {
    exchange.route = one.path;
    const { request, path } = exchange;
    const identity = await admit(one, exchange);
    if (one.roles && identity) requireRole(identity, one.roles);
    const params = paramsOf(one, givenParams);
    const raw = one.method === "get" || one.method === "delete" ? Buffer.alloc(0) : await bodyOf(one, exchange);
    const key = one.idempotencyKey ? keyOf(request, one.idempotencyKey) : undefined;
    const query = one.query ? validate(one.query, { ...givenQuery }, "query") : {};
    const body = jsonOf(one, request, raw);
    const handle = (attempt: Attempt | undefined): Promise<Answer> => {
      const call: Call<unknown, unknown, unknown, unknown, unknown> = {
        params,
        query,
        body,
        raw,
        identity,
        attempt,
        get clientAddress() {
          return addressOf(exchange);
        },
        get origin() {
          const { protocol, host } = exchange.seen();
          return `${protocol}://${host}`;
        },
        header: (name) => headerOf(request, name),
        rpc: (deadlineMs) => ({ requestId: exchange.id, ...(deadlineMs === undefined ? {} : { deadlineMs }) }),
        closing,
      };
      return one.handle(call as Call<never, never, never, never, never>);
    };
    if (key === undefined) return send(exchange, await handle(undefined));
    const keyed = {
      key,
      scope: identity ? `account ${identity.accountId}` : "anonymous",
      target: `${request.method} ${path}`,
      body: one.cookie ? Buffer.concat([raw, Buffer.from(headerOf(request, "cookie") ?? "")]) : raw,
    };
    const { answer, replayed } = await idempotency.once(keyed, handle);
    if (replayed) exchange.headers["Idempotent-Replayed"] = "true";
    send(exchange, answer);
  }

  /** Who asks, and may they, so often? A bad token counts against its address. */
  async function admit(one: Route, exchange: Exchange): Promise<Identity | undefined> {
    let identity: Identity | undefined;
    let refusal: unknown;
    if (one.access !== "anyone") {
      try {
        const token = bearerToken(exchange.request.headers.authorization);
        if (token !== undefined) identity = await authenticator.verify(token);
        else if (one.access === "account")
          refusal = new DomainError("TOKEN_MISSING", "Log in first: send the access token as Authorization: Bearer …");
      } catch (error) {
        refusal = error;
      }
    }
    exchange.accountId = identity?.accountId;
    const policies: readonly Policy[] =
      one.limits === "none" ? [] : one.limits === "by caller" ? [identity ? "account" : "anonymous"] : one.limits;
    for (const policy of rateLimits ? policies : []) {
      const who = policy === "account" && identity ? identity.accountId : countedAddress(addressOf(exchange));
      const taken = await rateLimits?.take(policy, who);
      Object.assign(exchange.headers, taken?.headers);
      if (taken?.refusal) throw taken.refusal;
    }
    if (refusal !== undefined) throw refusal;
    return identity;
  }

  function addressOf({ request, seen }: Exchange): string {
    return (trustProxy === false ? request.socket.remoteAddress : seen().ip) ?? "";
  }

  function refuse(exchange: Exchange, error: DomainError): void {
    const { response, id: requestId } = exchange;
    const answer = problemOf(error, requestId);
    if (answer.status >= 500) {
      const what = { err: error, requestId, route: exchange.route, code: error.code };
      if (error.refusal.retryable) log.warn(what, "a request failed for now: a part does not answer, or not yet");
      else log.error(what, "a bug: a request failed");
    }
    exchange.code = error.code;
    if (response.headersSent) return void response.destroy();
    if (error instanceof ReplayedRefusal) exchange.headers["Idempotent-Replayed"] = "true";
    send(exchange, {
      status: answer.status,
      body: answer.body,
      headers: { ...answer.headers, "Content-Type": problemMediaType },
    });
  }

  function send(exchange: Exchange, answer: Answer): void {
    const { request, response } = exchange;
    // Text goes out in one piece with its headers, bytes do not.
    const bytes = answer.bytes ?? (answer.body === undefined ? undefined : JSON.stringify(answer.body));
    const headers = exchange.headers;
    headers["Cache-Control"] = cache.never;
    if (bytes) headers["Content-Type"] = "application/json";
    Object.assign(headers, answer.headers);
    if (closing.aborted) headers["Connection"] = "close";
    if (answer.status === 200 && isKnown(request, answer.headers?.["ETag"])) {
      delete headers["Content-Type"];
      return void response.writeHead(304, headers).end();
    }
    if (answer.stream && request.method !== "HEAD") {
      exchange.streams = true;
      response.writeHead(answer.status, headers).flushHeaders();
      answer.stream(response);
      return;
    }
    if (bytes) headers["Content-Length"] = String(Buffer.byteLength(bytes));
    const shown = bytes && request.method !== "HEAD" ? bytes : undefined;
    const unread = unreadBody(request);
    // The rest of a long body is not wanted, and one that is asked about first will not be sent.
    if (unread === "asks first" || unread === "long") headers["Connection"] = "close";
    response.writeHead(answer.status, headers);
    // What is short is read and forgotten by Node itself, and the connection serves on.
    if (unread !== "long") return void response.end(shown);
    // Closing at once would reset the connection before the sender has read the answer, so it stays a moment, unread.
    response.flushHeaders();
    if (shown) response.write(shown);
    const timer = setTimeout(() => {
      response.end();
      request.socket.destroySoon();
    }, lingerMs);
    request.socket.once("close", () => clearTimeout(timer));
  }

  function observe({ request, response, id, begunAt, path, route, code, accountId, streams }: Exchange): void {
    const took = performance.now() - begunAt;
    const status = response.writableFinished || response.headersSent ? response.statusCode : 499;
    // How long someone watched is no time to answer.
    if (!streams) seconds.observe({ method: request.method ?? "", route, status: String(status) }, took / 1000);
    if (route === "/healthz" || route === "/readyz" || route === "/metrics") return;
    if (!streams) (status >= 500 ? failed : answered).inc();
    requestLog.info(
      {
        requestId: id,
        method: request.method,
        // Without the query: what people search for is theirs.
        path: path.slice(0, 200),
        status,
        ms: Math.round(took * 10) / 10,
        ...(code ? { code } : {}),
        ...(accountId ? { accountId } : {}),
      },
      "request",
    );
  }
}

/** Every status that a route's contract names. */
const statusesOf = (contract: Route): readonly number[] => [
  ...Object.keys(contract.answers).map(Number),
  ...codesByStatus(codesOf(contract)).keys(),
];

const exchangeOf = (response: Response): Exchange => response.locals["exchange"] as Exchange;

/** A request that Express was not asked about, as it would read it. */
function seenByExpress(app: Express, request: IncomingMessage): Pick<Request, "ip" | "protocol" | "host"> {
  const { headers, socket } = request;
  return Object.assign(Object.create(app.request, { headers: { value: headers }, socket: { value: socket } }), { app });
}

/** What helmet sets is the same for every answer, so it is asked once. */
function helmetHeaders(options: HelmetOptions): Record<string, string> {
  const headers: Record<string, string> = {};
  const response = {
    setHeader(name: string, value: unknown) {
      headers[name] = String(value);
    },
    removeHeader: () => undefined,
  };
  let done = false;
  helmet(options)({} as IncomingMessage, response as unknown as ServerResponse, (error?: unknown) => {
    if (error !== undefined) throw error;
    done = true;
  });
  if (!done) throw new Error("helmet's headers are not known at once any more");
  return headers;
}

const headerOf = ({ headers }: IncomingMessage, name: string): string | undefined => {
  const value = headers[name.toLowerCase()];
  return Array.isArray(value) ? value.join(", ") : value;
};

function groupByPath(routes: readonly Route[]): Map<string, Route[]> {
  const groups = new Map<string, Route[]>();
  for (const one of routes) groups.set(one.path, [...(groups.get(one.path) ?? []), one]);
  return groups;
}

/** The sender's request id if it is a plain word, else a new one. */
function identify(request: IncomingMessage): string {
  const given = headerOf(request, "x-request-id");
  return given !== undefined && /^[A-Za-z0-9._-]{1,100}$/.test(given) ? given : newId("req");
}

/**
 * Lets browsers of these origins call the API; true: that was all they asked. Access tokens go in a header, and the one cookie
 * is for pages of our own origin, so no credentials are allowed.
 */
function answerPreflight({ request, response, headers }: Exchange, origins: readonly string[]): boolean {
  if (origins.length === 0) return false;
  headers["Vary"] = "Origin";
  const { origin } = request.headers;
  if (origin === undefined || !origins.includes(origin)) return false;
  headers["Access-Control-Allow-Origin"] = origin;
  headers["Access-Control-Expose-Headers"] =
    "ETag, Idempotent-Replayed, Location, Onsale-Layout-Version, Onsale-Seat-Count, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id";
  if (request.method !== "OPTIONS" || request.headers["access-control-request-method"] === undefined) return false;
  headers["Access-Control-Allow-Methods"] = "GET, POST, PUT, DELETE";
  headers["Access-Control-Allow-Headers"] =
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-Request-Id";
  headers["Access-Control-Max-Age"] = "600";
  response.writeHead(204, headers).end();
  return true;
}

/**
 * Does the sender have this version? Unlike Express's own check, whatever its Cache-Control says: fetch() adds no-cache of
 * itself when a page sets If-None-Match.
 */
function isKnown(request: IncomingMessage, etag: string | undefined): boolean {
  const known = request.headers["if-none-match"];
  if (etag === undefined || known === undefined || (request.method !== "GET" && request.method !== "HEAD"))
    return false;
  const opaque = etag.replace(/^W\//, "");
  return known === "*" || known.split(",").some((one) => one.trim().replace(/^W\//, "") === opaque);
}

function paramsOf({ params, unknownParam }: Route, given: unknown): unknown {
  if (!params) return {};
  const result = params.safeParse(given);
  if (result.success) return result.data;
  throw new DomainError(unknownParam ?? "ROUTE_NOT_FOUND", "There is nothing with this id.");
}

function bodyOf(one: Route, { request, response }: Exchange): Promise<Buffer> {
  const hasBody = declaresBody(request);
  if (hasBody && !one.rawBody) requireJson(request.headers["content-type"]);
  return readBody(request, response, one.bodyLimitBytes ?? defaultBodyLimitBytes);
}

const declaresBody = ({ headers }: IncomingMessage): boolean =>
  headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;

const nothing = z.strictObject({});

function jsonOf(one: Route, request: IncomingMessage, raw: Buffer): unknown {
  if (one.rawBody || one.method === "get" || one.method === "delete") return undefined;
  if (one.body) return validate(one.body, parseJson(raw), "body");
  if (raw.length > 0) {
    requireJson(request.headers["content-type"]);
    validate(nothing, parseJson(raw), "body");
  }
  return undefined;
}

function keyOf(request: IncomingMessage, needed: "required" | "optional"): string | undefined {
  const key = headerOf(request, "idempotency-key");
  if (key === undefined) {
    if (needed === "optional") return undefined;
    throw new DomainError(
      "IDEMPOTENCY_KEY_REQUIRED",
      "Send an Idempotency-Key header, a new UUID for each new request, so that a retry has no second effect.",
    );
  }
  if (/^[\x21-\x7e]{1,255}$/.test(key)) return key;
  throw invalid([{ in: "header", parameter: "Idempotency-Key", detail: "must be 1 to 255 visible ASCII characters" }]);
}
