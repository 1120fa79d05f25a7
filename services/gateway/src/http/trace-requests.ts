// Where traces begin: a span for each request to the API, in one trace for each checkout.
import type { IncomingMessage, ServerResponse } from "node:http";
import { derivedId } from "@onsale/kit/ids";
import { beginTrace, traceIdOf, tracing, within } from "@onsale/kit/tracing";
import type { Listener } from "./app.js";
import type { Route } from "./route.js";

/**
 * The same listener, each request within a span; the very same one while tracing is off.
 *
 * A caller's traceparent is taken over, and the span of the request is answered as traceparent. Without one, everything about
 * a checkout is in the trace whose id is made of the checkout's: whether it is kept is decided once, by that id, and whoever
 * has a checkout id knows the trace.
 */
export function traceRequests(listener: Listener, routes: readonly Route[]): Listener {
  if (!tracing()) return listener;
  const find = finderOf(routes);
  return (request, response) => {
    const path = pathOf(request);
    const method = request.method ?? "";
    const found = find(method, path);
    if (found !== undefined && isUntold(found)) return listener(request, response);
    // Names of spans are few, whatever is asked for.
    const route = found?.path ?? "unknown";
    const checkoutId = checkoutOf(method, path, request);
    const span = beginTrace(`${method} ${route}`, {
      kind: "server",
      attributes: {
        "http.request.method": method,
        "http.route": route,
        ...(checkoutId !== undefined && { "onsale.checkout_id": checkoutId }),
      },
      traceparent: headerOf(request, "traceparent"),
      traceId: checkoutId === undefined ? undefined : traceIdOf(checkoutId),
    });
    if (!span) return listener(request, response);
    response.setHeader("traceparent", span.traceparent);
    within(span, () => {
      keepSpan(request);
      keepSpan(response);
      listener(request, response);
    });
    // After the listener's own: what it writes to the log at the end is still within.
    response.once("close", () => {
      const status = response.headersSent ? response.statusCode : 499;
      span.set("http.response.status_code", status);
      span.end(status >= 500);
    });
    function keepSpan(emitter: IncomingMessage | ServerResponse): void {
      // Its events come from the socket, which serves many requests: told here, they belong to this one.
      const { emit } = emitter;
      emitter.emit = (...event: Parameters<typeof emit>) => within(span, () => emit.apply(emitter, event));
    }
  };
}

/** Probes and the documentation tell nothing; live seats last for hours, and are no answer that anyone waits for. */
const isUntold = ({ limits, answers }: Route): boolean =>
  limits === "none" || Object.values(answers).some(({ contentType }) => contentType === "text/event-stream");

/** The route that Express will find. */
function finderOf(routes: readonly Route[]): (method: string, path: string) => Route | undefined {
  const known = routes.map((route) => ({
    route,
    method: route.method.toUpperCase(),
    shape: new RegExp(`^${route.path.replaceAll(/[.*+?^$()|[\]\\]/g, "\\$&").replaceAll(/\{\w+\}/g, "[^/]+")}$`),
  }));
  const hot = new Map(
    routes.flatMap((one) => (one.hot ? [[`${one.method.toUpperCase()} ${one.path}`, one] as const] : [])),
  );
  return (method, path) => {
    const asked = method === "HEAD" ? "GET" : method;
    return hot.get(`${method} ${path}`) ?? known.find((one) => one.method === asked && one.shape.test(path))?.route;
  };
}

const pathOf = ({ url = "" }: IncomingMessage): string => {
  const end = url.indexOf("?");
  return end < 0 ? url : url.slice(0, end);
};

const headerOf = ({ headers }: IncomingMessage, name: string): string | undefined => {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
};

/** The checkout that a request is about, by its address; by who asks and their key when it is to be made. Not yet believed: it chooses a trace, no more. */
function checkoutOf(method: string, path: string, request: IncomingMessage): string | undefined {
  const named = /^\/v1\/(?:organiser\/orders|checkouts|orders)\/(chk_[0-9a-z]{1,40})(?:\/|$)/.exec(path)?.[1];
  if (named !== undefined) return named;
  if (method !== "POST" || path !== "/v1/checkouts") return undefined;
  const key = headerOf(request, "idempotency-key");
  const accountId = claimedAccount(headerOf(request, "authorization"));
  return key === undefined || accountId === undefined ? undefined : derivedId("chk", accountId, key);
}

function claimedAccount(authorization: string | undefined): string | undefined {
  const payload = /^Bearer [^.]+\.([^.]+)\./i.exec(authorization ?? "")?.[1];
  if (payload === undefined) return undefined;
  try {
    const { sub } = JSON.parse(Buffer.from(payload, "base64url").toString()) as { sub?: unknown };
    return typeof sub === "string" ? sub : undefined;
  } catch {
    return undefined;
  }
}
