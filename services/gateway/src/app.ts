// The HTTP side of every route: who asks, how often, with what body and key; then the handler; then its answer or a problem.
import type { IncomingMessage } from "node:http";
import { DomainError } from "@onsale/kit/errors";
import { newId } from "@onsale/kit/ids";
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import express, { type Express, type NextFunction, type Request, type Response } from "express";
import helmet from "helmet";
import { z } from "zod";
import { type Authenticator, bearerToken, type Identity, requireRole } from "./authenticate.js";
import { type Attempt, type Idempotency, ReplayedRefusal } from "./idempotency.js";
import { problemMediaType, problemOf } from "./problem.js";
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

export function createApp(dependencies: AppDependencies): Express {
  const { routes, authenticator, idempotency, rateLimits, closing, metrics, log } = dependencies;
  const seconds = metrics.histogram("onsale_http_seconds", "Time to answer a request, by route and status", [
    "method",
    "route",
    "status",
  ]);
  const app = express();
  app.disable("x-powered-by").disable("etag").set("query parser", "simple").set("case sensitive routing", true);
  app.set("trust proxy", dependencies.trustProxy);

  app.use(identify, observe);
  app.use(
    helmet({
      contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
      crossOriginResourcePolicy: { policy: dependencies.corsOrigins.length > 0 ? "cross-origin" : "same-origin" },
      referrerPolicy: { policy: "no-referrer" },
    }),
  );
  app.use(crossOrigin(dependencies.corsOrigins));

  const byPath = groupByPath(routes);
  for (const [path, here] of byPath) {
    const place = app.route(path.replaceAll(/\{(\w+)\}/g, ":$1"));
    for (const one of here)
      place[one.method]((request, response, next) => void serve(one, request, response).catch(next));
    place.all((request, response) => {
      response.locals["route"] = path;
      const allow = [...here.map(({ method }) => method.toUpperCase()), "OPTIONS"];
      if (allow.includes("GET")) allow.push("HEAD");
      if (request.method === "OPTIONS") {
        response.setHeader("Allow", allow.join(", "));
        return send(request, response, { status: 204 });
      }
      refuse(request, response, new DomainError("METHOD_NOT_ALLOWED", `Here you can ${allow.join(", ")}.`, { allow }));
    });
  }
  app.use((request, response) =>
    refuse(
      request,
      response,
      new DomainError("ROUTE_NOT_FOUND", "There is nothing at this address. The API is described at /docs."),
    ),
  );
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) =>
    refuse(
      request,
      response,
      // Express could not decode the path.
      error instanceof URIError || (error as { status?: unknown })?.status === 400
        ? new DomainError("REQUEST_INVALID", "The address is not valid: a %-escape in it does not decode.")
        : DomainError.from(error),
    ),
  );
  return app;

  /** From the request to its answer, in the order in which the checks are cheapest. */
  async function serve(one: Route, request: Request, response: Response): Promise<void> {
    response.locals["route"] = one.path;
    const identity = await admit(one, request, response);
    if (one.roles && identity) requireRole(identity, one.roles);
    const params = paramsOf(one, request);
    const raw =
      one.method === "get" || one.method === "delete" ? Buffer.alloc(0) : await bodyOf(one, request, response);
    const key = one.idempotencyKey ? keyOf(request, one.idempotencyKey) : undefined;
    const query = one.query ? validate(one.query, { ...request.query }, "query") : {};
    const body = jsonOf(one, request, raw);
    const handle = (attempt: Attempt | undefined): Promise<Answer> => {
      const call: Call<unknown, unknown, unknown, unknown, unknown> = {
        params,
        query,
        body,
        raw,
        identity,
        attempt,
        clientAddress: request.ip ?? "",
        origin: `${request.protocol}://${request.host}`,
        header: (name) => request.get(name),
        rpc: (deadlineMs) => ({ requestId: idOf(response), ...(deadlineMs === undefined ? {} : { deadlineMs }) }),
        closing,
      };
      return one.handle(call as Call<never, never, never, never, never>);
    };
    if (key === undefined) return send(request, response, await handle(undefined));
    const keyed = {
      key,
      scope: identity ? `account ${identity.accountId}` : "anonymous",
      target: `${request.method} ${request.path}`,
      body: one.cookie ? Buffer.concat([raw, Buffer.from(request.get("cookie") ?? "")]) : raw,
    };
    const { answer, replayed } = await idempotency.once(keyed, handle);
    if (replayed) response.setHeader("Idempotent-Replayed", "true");
    send(request, response, answer);
  }

  /** Who asks, and may they, so often? A bad token counts against its address. */
  async function admit(one: Route, request: Request, response: Response): Promise<Identity | undefined> {
    let identity: Identity | undefined;
    let refusal: unknown;
    if (one.access !== "anyone") {
      try {
        const token = bearerToken(request.get("authorization"));
        if (token !== undefined) identity = await authenticator.verify(token);
        else if (one.access === "account")
          refusal = new DomainError("TOKEN_MISSING", "Log in first: send the access token as Authorization: Bearer …");
      } catch (error) {
        refusal = error;
      }
    }
    response.locals["accountId"] = identity?.accountId;
    const policies: readonly Policy[] =
      one.limits === "none" ? [] : one.limits === "by caller" ? [identity ? "account" : "anonymous"] : one.limits;
    for (const policy of rateLimits ? policies : []) {
      const who = policy === "account" && identity ? identity.accountId : countedAddress(request.ip ?? "");
      const taken = await rateLimits?.take(policy, who);
      for (const [name, value] of Object.entries(taken?.headers ?? {})) response.setHeader(name, value);
      if (taken?.refusal) throw taken.refusal;
    }
    if (refusal !== undefined) throw refusal;
    return identity;
  }

  function refuse(request: Request, response: Response, error: DomainError): void {
    const answer = problemOf(error, idOf(response));
    if (answer.status >= 500) {
      const what = { err: error, requestId: idOf(response), route: response.locals["route"], code: error.code };
      if (error.refusal.retryable) log.warn(what, "a request failed for now: a part does not answer, or not yet");
      else log.error(what, "a bug: a request failed");
    }
    response.locals["code"] = error.code;
    if (response.headersSent) return void response.destroy();
    if (error instanceof ReplayedRefusal) response.setHeader("Idempotent-Replayed", "true");
    send(request, response, {
      status: answer.status,
      bytes: Buffer.from(JSON.stringify(answer.body)),
      headers: { ...answer.headers, "Content-Type": problemMediaType },
    });
  }

  function send(request: Request, response: Response, answer: Answer): void {
    const bytes = answer.bytes ?? (answer.body === undefined ? undefined : Buffer.from(JSON.stringify(answer.body)));
    response.statusCode = answer.status;
    response.setHeader("Cache-Control", cache.never);
    if (bytes) response.setHeader("Content-Type", "application/json");
    for (const [name, value] of Object.entries(answer.headers ?? {})) response.setHeader(name, value);
    if (closing.aborted) response.setHeader("Connection", "close");
    if (answer.status === 200 && isKnown(request, answer.headers?.["ETag"])) {
      response.statusCode = 304;
      response.removeHeader("Content-Type");
      return void response.end();
    }
    if (bytes) response.setHeader("Content-Length", bytes.length);
    const shown = bytes && request.method !== "HEAD" ? bytes : undefined;
    const unread = unreadBody(request);
    if (unread === "asks first") response.setHeader("Connection", "close");
    // What is short is read and forgotten by Node itself, and the connection serves on.
    if (unread !== "long") return void response.end(shown);
    // The rest of the body is not wanted. Closing at once would reset the connection before the sender has read the
    // answer, so it stays a moment, unread.
    response.setHeader("Connection", "close");
    response.flushHeaders();
    if (shown) response.write(shown);
    const timer = setTimeout(() => {
      response.end();
      request.socket.destroySoon();
    }, lingerMs);
    request.socket.once("close", () => clearTimeout(timer));
  }

  function observe(request: Request, response: Response, next: NextFunction): void {
    const begun = performance.now();
    response.once("close", () => {
      const took = performance.now() - begun;
      const { route = "unknown", code, accountId } = response.locals;
      const status = response.writableFinished || response.headersSent ? response.statusCode : 499;
      seconds.observe({ method: request.method, route, status: String(status) }, took / 1000);
      if (route === "/healthz" || route === "/readyz" || route === "/metrics") return;
      log.info(
        {
          requestId: idOf(response),
          method: request.method,
          // Without the query: what people search for is theirs.
          path: request.path.slice(0, 200),
          status,
          ms: Math.round(took * 10) / 10,
          ...(code ? { code } : {}),
          ...(accountId ? { accountId } : {}),
        },
        "request",
      );
    });
    next();
  }
}

function groupByPath(routes: readonly Route[]): Map<string, Route[]> {
  const groups = new Map<string, Route[]>();
  for (const one of routes) groups.set(one.path, [...(groups.get(one.path) ?? []), one]);
  return groups;
}

/** Takes the sender's request id if it is a plain word, else makes one. */
function identify(request: Request, response: Response, next: NextFunction): void {
  const given = request.get("x-request-id");
  const id = given !== undefined && /^[A-Za-z0-9._-]{1,100}$/.test(given) ? given : newId("req");
  response.locals["requestId"] = id;
  response.setHeader("X-Request-Id", id);
  next();
}

const idOf = (response: Response): string => String(response.locals["requestId"] ?? "");

/** Lets browsers of these origins call the API. Access tokens go in a header, and the one cookie is for pages of our own origin, so no credentials are allowed. */
function crossOrigin(origins: readonly string[]) {
  return (request: Request, response: Response, next: NextFunction): void => {
    if (origins.length === 0) return void next();
    response.vary("Origin");
    const origin = request.get("origin");
    if (origin === undefined || !origins.includes(origin)) return void next();
    response.setHeader("Access-Control-Allow-Origin", origin);
    response.setHeader(
      "Access-Control-Expose-Headers",
      "ETag, Idempotent-Replayed, Location, Onsale-Layout-Version, Onsale-Seat-Count, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id",
    );
    if (request.method !== "OPTIONS" || request.get("access-control-request-method") === undefined) return void next();
    response.setHeader("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE");
    response.setHeader(
      "Access-Control-Allow-Headers",
      "Authorization, Content-Type, Idempotency-Key, If-None-Match, X-Request-Id",
    );
    response.setHeader("Access-Control-Max-Age", "600");
    response.statusCode = 204;
    response.end();
  };
}

/**
 * Does the sender have this version? Unlike Express's own check, whatever its Cache-Control says: fetch() adds no-cache of
 * itself when a page sets If-None-Match.
 */
function isKnown(request: Request, etag: string | undefined): boolean {
  const known = request.get("if-none-match");
  if (etag === undefined || known === undefined || (request.method !== "GET" && request.method !== "HEAD"))
    return false;
  return known === "*" || known.split(",").some((one) => one.trim().replace(/^W\//, "") === etag);
}

function paramsOf({ params, unknownParam }: Route, request: Request): unknown {
  if (!params) return {};
  const result = params.safeParse(request.params);
  if (result.success) return result.data;
  throw new DomainError(unknownParam ?? "ROUTE_NOT_FOUND", "There is nothing with this id.");
}

async function bodyOf(one: Route, request: Request, response: Response): Promise<Buffer> {
  const hasBody = declaresBody(request);
  if (hasBody && !one.rawBody) requireJson(request.get("content-type"));
  return readBody(request, response, one.bodyLimitBytes ?? defaultBodyLimitBytes);
}

const declaresBody = ({ headers }: IncomingMessage): boolean =>
  headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;

const nothing = z.strictObject({});

function jsonOf(one: Route, request: Request, raw: Buffer): unknown {
  if (one.rawBody || one.method === "get" || one.method === "delete") return undefined;
  if (one.body) return validate(one.body, parseJson(raw), "body");
  if (raw.length > 0) {
    requireJson(request.get("content-type"));
    validate(nothing, parseJson(raw), "body");
  }
  return undefined;
}

function keyOf(request: Request, needed: "required" | "optional"): string | undefined {
  const key = request.get("idempotency-key");
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
