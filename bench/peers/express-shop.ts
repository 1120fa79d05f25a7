// The front that most teams would write: Express with a JSON parser, a token check, zod, a log line and a histogram.
import { createServer, type Server } from "node:http";
import { createLogger } from "@onsale/kit/log";
import { createMetrics } from "@onsale/kit/metrics";
import express, { type NextFunction, type Request, type Response } from "express";
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from "jose";
import type { Pool } from "pg";
import { z } from "zod";
import type { Reserve } from "./reserve.js";

const newCheckout = z.strictObject({
  eventId: z.string().min(1).max(64),
  seats: z
    .array(z.string().regex(/^[A-Z0-9]{1,12}-[A-Z0-9]{1,4}-[1-9]\d{0,4}$/))
    .min(1)
    .max(50)
    .refine((list) => new Set(list).size === list.length, "a seat is named twice"),
});

export function expressShop({ pool, reserve, jwksJson }: { pool: Pool; reserve: Reserve; jwksJson: string }): Server {
  const keys = createLocalJWKSet(JSON.parse(jwksJson) as JSONWebKeySet);
  const log = createLogger("express-shop", "info");
  const seconds = createMetrics("express-shop").histogram("http_seconds", "Time to answer a request", [
    "route",
    "status",
  ]);
  const app = express();
  app.disable("x-powered-by").disable("etag");

  app.use((request: Request, response: Response, next: NextFunction) => {
    const begun = performance.now();
    response.once("finish", () => {
      const ms = performance.now() - begun;
      seconds.observe({ route: request.path, status: String(response.statusCode) }, ms / 1_000);
      log.info({ method: request.method, path: request.path, status: response.statusCode, ms }, "request");
    });
    next();
  });
  app.use(express.json({ limit: "32kb" }));
  app.use(async (request: Request, response: Response, next: NextFunction) => {
    const token = /^Bearer (\S+)$/.exec(request.get("authorization") ?? "")?.[1] ?? "";
    try {
      const { payload } = await jwtVerify(token, keys, { issuer: "onsale", audience: "onsale", algorithms: ["EdDSA"] });
      response.locals["userId"] = payload.sub;
      next();
    } catch {
      response.status(401).json({ code: "TOKEN_INVALID" });
    }
  });
  app.post("/v1/checkouts", async (request: Request, response: Response) => {
    const idempotencyKey = request.get("idempotency-key");
    const body = newCheckout.safeParse(request.body);
    if (!body.success || !idempotencyKey) return void response.status(400).json({ code: "REQUEST_INVALID" });
    const { eventId, seats } = body.data;
    const userId = String(response.locals["userId"]);
    const reserved = await reserve(pool, { eventId, userId, idempotencyKey, seats });
    switch (reserved.kind) {
      case "held":
        response
          .status(201)
          .json({ checkoutId: reserved.holdId, eventId, seats, deadline: reserved.deadline.toISOString() });
        return;
      case "taken":
        response.status(409).json({ code: "SEAT_TAKEN", seats: reserved.seats });
        return;
      case "limit":
        response.status(409).json({ code: "SEAT_LIMIT_EXCEEDED", has: reserved.has });
        return;
      case "unknown":
        response.status(404).json({ code: "SEAT_UNKNOWN", seats: reserved.seats });
    }
  });
  app.use((error: unknown, _request: Request, response: Response, _next: NextFunction) => {
    log.error({ err: error }, "a request failed");
    response.status(500).json({ code: "INTERNAL" });
  });
  return createServer(app);
}
