// Passes API requests on to the gateway as they are, streams included, for installations without an ingress in front.
import { Agent, request as ask, type IncomingMessage, type ServerResponse } from "node:http";
import { request as askByTls, Agent as TlsAgent } from "node:https";
import type { Logger } from "@onsale/kit/log";

/** What belongs to the gateway. Everything else is a page. */
const apiPaths = /^\/(v1|docs|\.well-known)(\/|$|\?)|^\/openapi\.json(\?|$)/;

/** Of one hop only (RFC 9110, 7.6.1). */
const hopHeaders = ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

export function passOn(gatewayUrl: string, log: Logger) {
  const target = new URL(gatewayUrl);
  const secure = target.protocol === "https:";
  const agent = secure ? new TlsAgent({ keepAlive: true }) : new Agent({ keepAlive: true });
  return {
    takes: (url: string): boolean => apiPaths.test(url),

    serve(request: IncomingMessage, response: ServerResponse): void {
      const headers = { ...request.headers };
      for (const name of hopHeaders) delete headers[name];
      const sender = request.socket.remoteAddress ?? "";
      headers["x-forwarded-for"] = [request.headers["x-forwarded-for"], sender].filter(Boolean).join(", ");
      headers["x-forwarded-host"] ??= request.headers.host;
      headers["x-forwarded-proto"] ??= "http";
      const length = request.headers["content-length"];
      const chunked = request.headers["transfer-encoding"] !== undefined;
      if (chunked) headers["transfer-encoding"] = "chunked";
      const upstream = (secure ? askByTls : ask)(
        {
          agent,
          hostname: target.hostname,
          port: target.port || (secure ? 443 : 80),
          method: request.method,
          path: request.url,
          headers,
        },
        (answer) => {
          const shown = { ...answer.headers };
          for (const name of hopHeaders) delete shown[name];
          response.writeHead(answer.statusCode ?? 502, shown);
          response.flushHeaders(); // a stream of events begins before its first one
          answer.pipe(response);
          answer.once("error", () => response.destroy());
        },
      );
      upstream.once("error", (err) => {
        if (response.headersSent || response.destroyed) return void response.destroy();
        log.warn({ err }, "the gateway does not answer");
        const problem = {
          type: "urn:onsale:problem:UNAVAILABLE",
          title: "Not available for now",
          status: 503,
          detail: "The shop can't be reached right now. Nothing was lost; please try again in a moment.",
          code: "UNAVAILABLE",
          retryable: true,
        };
        response.writeHead(503, { "Content-Type": "application/problem+json", "Retry-After": "2" });
        response.end(JSON.stringify(problem));
      });
      response.once("close", () => upstream.destroy());
      if (chunked || (length !== undefined && length !== "0")) request.pipe(upstream);
      else upstream.end();
    },

    close: (): void => agent.destroy(),
  };
}
