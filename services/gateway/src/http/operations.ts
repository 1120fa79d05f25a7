// Routes for operators and their probes.
import { DomainError } from "@onsale/kit/errors";
import type { Metrics } from "@onsale/kit/metrics";
import { type Route, route } from "./route.js";

const tag = "operations";
const text = (status: number, body: string, type = "text/plain; charset=utf-8") => ({
  status,
  bytes: Buffer.from(body),
  headers: { "Content-Type": type },
});

export function operationRoutes(metrics: Metrics, ready: () => boolean): Route[] {
  const probe = { method: "get", tag, access: "anyone", limits: "none" } as const;
  return [
    route(
      {
        ...probe,
        path: "/healthz",
        operationId: "isAlive",
        summary: "Does the process live?",
        answers: { 200: { description: "Yes.", contentType: "text/plain" } },
      },
      async () => text(200, "ok\n"),
    ),
    route(
      {
        ...probe,
        path: "/readyz",
        operationId: "isReady",
        summary: "Can it serve?",
        answers: { 200: { description: "Yes.", contentType: "text/plain" } },
      },
      async () => {
        if (!ready())
          throw new DomainError(
            "UNAVAILABLE",
            "Not ready: starting, stopping, without the keys of access tokens, or with clocks too far apart; the log says which.",
          );
        return text(200, "ready\n");
      },
    ),
    route(
      {
        ...probe,
        path: "/metrics",
        operationId: "getMetrics",
        summary: "Metrics for Prometheus",
        answers: { 200: { description: "Prometheus' text format.", contentType: "text/plain" } },
      },
      async () => text(200, await metrics.registry.metrics(), metrics.registry.contentType),
    ),
  ];
}
