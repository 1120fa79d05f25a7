// onsale's own front before PostgreSQL: the gateway's checks, records and limits, with a hold in SQL in place of the inventory's.
import { createServer, type Server } from "node:http";
import { connectValkey, createAnswerStore } from "@onsale/gateway/clients/valkey";
import { createApp } from "@onsale/gateway/http/app";
import { createAuthenticator } from "@onsale/gateway/http/authenticate";
import { createIdempotency } from "@onsale/gateway/http/idempotency";
import { createRateLimits } from "@onsale/gateway/http/rate-limit";
import { route } from "@onsale/gateway/http/route";
import { newCheckout } from "@onsale/gateway/schemas";
import { DomainError } from "@onsale/kit/errors";
import { createLogger } from "@onsale/kit/log";
import { createMetrics } from "@onsale/kit/metrics";
import type { Pool } from "pg";
import type { Reserve } from "./reserve.js";

export interface SameFront {
  readonly pool: Pool;
  readonly reserve: Reserve;
  readonly jwksJson: string;
  readonly redisUrl: string;
}

export function sameFront({ pool, reserve, jwksJson, redisUrl }: SameFront): Server {
  const log = createLogger("same-front", "info");
  const metrics = createMetrics("same-front");
  const valkey = connectValkey(redisUrl, log);
  const most = { points: 900_000_000, seconds: 60 };
  const checkouts = route(
    {
      method: "post",
      path: "/v1/checkouts",
      operationId: "createCheckout",
      tag: "checkouts",
      summary: "Hold seats",
      access: "account",
      limits: "by caller",
      idempotencyKey: "required",
      body: newCheckout,
      hot: true,
      answers: { 201: { description: "The seats are held." } },
    },
    async ({ body, identity, attempt }) => {
      if (!("seats" in body) || !body.seats) throw new DomainError("REQUEST_INVALID", "Here seats are named.");
      const { eventId, seats } = body;
      const reserved = await reserve(pool, {
        eventId,
        userId: identity.accountId,
        idempotencyKey: attempt.key,
        seats,
      });
      switch (reserved.kind) {
        case "held":
          return {
            status: 201,
            body: { checkoutId: reserved.holdId, eventId, seats, deadline: reserved.deadline.toISOString() },
            headers: { Location: `/v1/checkouts/${reserved.holdId}` },
          };
        case "taken":
          throw new DomainError("SEAT_TAKEN", `Not free any more: ${reserved.seats.join(", ")}.`, {
            seats: reserved.seats,
          });
        case "limit":
          throw new DomainError("SEAT_LIMIT_EXCEEDED", "This is more than one person may have.", { has: reserved.has });
        case "unknown":
          throw new DomainError("SEAT_UNKNOWN", "There are no such seats.", { seats: reserved.seats });
      }
    },
  );
  const app = createApp({
    routes: [checkouts],
    authenticator: createAuthenticator({ fetchKeys: async () => jwksJson, issuer: "onsale", audience: "onsale", log }),
    idempotency: createIdempotency(createAnswerStore(valkey, "same-front:"), log, "a secret of the benchmark"),
    rateLimits: createRateLimits(valkey, "same-front:", {
      anonymous: most,
      account: most,
      credentials: most,
      codes: most,
      codesByAddress: most,
      webhooks: most,
    }),
    trustProxy: false,
    corsOrigins: [],
    closing: new AbortController().signal,
    metrics,
    log,
  });
  return createServer(app);
}
