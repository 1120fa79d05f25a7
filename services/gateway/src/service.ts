// Puts the gateway together: lines to the services, Temporal and Valkey, then the routes, then the HTTP server.
import { setMaxListeners } from "node:events";
import { createServer, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { watchClocks } from "@onsale/kit/clocks";
import { DomainError } from "@onsale/kit/errors";
import { newId } from "@onsale/kit/ids";
import { listenOn, splitAddress } from "@onsale/kit/lifecycle";
import { payloadEncryption } from "@onsale/kit/payload-encryption";
import type { ContextOf, RunningService } from "@onsale/kit/process";
import { temporalConnection } from "@onsale/kit/temporal";
import { accountRoutes } from "./accounts/accounts.js";
import { buyRoutes } from "./checkouts/buy.js";
import { createCheckouts } from "./checkouts/checkouts.js";
import { webhookRoutes } from "./checkouts/webhooks.js";
import { closeServices, connectServices, type Services } from "./clients/services.js";
import { connectTemporal, type Temporal } from "./clients/temporal.js";
import { connectValkey, createAnswerStore, valkeyTime } from "./clients/valkey.js";
import type { gatewaySettings } from "./config.js";
import { eventRoutes } from "./events/events.js";
import { createLiveSeats, liveSeatRoutes } from "./events/live-seats.js";
import { createApp } from "./http/app.js";
import { type Authenticator, createAuthenticator } from "./http/authenticate.js";
import { createIdempotency } from "./http/idempotency.js";
import { operationRoutes } from "./http/operations.js";
import { problemMediaType, problemOf } from "./http/problem.js";
import { createRateLimits, guardCodes, type RateLimits } from "./http/rate-limit.js";
import type { Route } from "./http/route.js";
import { traceRequests } from "./http/trace-requests.js";
import { documentationRoutes } from "./openapi/openapi.js";
import { booksRoutes } from "./operators/books.js";
import { disputeRoutes } from "./orders/disputes.js";
import { orderSearchRoutes } from "./orders/order-search.js";
import { orderRoutes } from "./orders/orders.js";
import { blockRoutes } from "./organisers/blocks.js";
import { channelRoutes } from "./organisers/channels.js";
import { organiserRoutes } from "./organisers/organiser.js";
import { salesRoutes } from "./organisers/sales.js";

type GatewayContext = ContextOf<typeof gatewaySettings>;

export async function startGateway(context: GatewayContext): Promise<RunningService> {
  const { config, log, metrics, lifecycle, trust } = context;

  const valkey = connectValkey(config.REDIS_URL, log, config.REDIS_TLS_CA);
  lifecycle.onStop("valkey", () => valkey.disconnect());
  const services = connectServices(
    {
      account: config.ACCOUNT_ADDRESS,
      inventory: config.INVENTORY_ADDRESS,
      payment: config.PAYMENT_ADDRESS,
      ticket: config.TICKET_ADDRESS,
    },
    trust,
  );
  lifecycle.onStop("services", () => closeServices(services));
  const temporal = connectTemporal({
    connection: temporalConnection(config),
    namespace: config.TEMPORAL_NAMESPACE,
    encryption: payloadEncryption(config.PAYLOAD_ENCRYPTION_KEYS),
    eager: true,
    log,
  });
  lifecycle.onStop("temporal", () => temporal.close());
  const authenticator = createAuthenticator({
    fetchKeys: async () => (await services.account.getVerificationKeys({}, { deadlineMs: 3_000 })).jwksJson,
    issuer: config.ACCESS_TOKEN_ISSUER,
    audience: config.ACCESS_TOKEN_AUDIENCE,
    log,
  });
  lifecycle.onStop("authenticator", () => authenticator.stop());

  const clocks = watchClocks({
    clocks: [
      { of: "valkey", read: () => valkeyTime(valkey) },
      { of: "temporal", read: () => temporal.time(config.TASK_QUEUE) },
    ],
    checkMs: config.CLOCK_CHECK_SECONDS * 1000,
    apartMaxMs: config.CLOCK_APART_MAX_SECONDS * 1000,
    means:
      "Valkey's clock sets the deadline of a hold, and Temporal's ends it: buyers have so much less time to pay (none, at five minutes), or lose their seats before their time is over.",
    metrics,
    log,
  });
  lifecycle.onStop("clocks", () => clocks.stop());

  const ready = () => lifecycle.running() && authenticator.ready() && clocks.agree();
  const closing = new AbortController();
  setMaxListeners(0, closing.signal); // one for each payment that waits
  const rateLimits = config.RATE_LIMITS
    ? createRateLimits(valkey, config.REDIS_PREFIX, {
        anonymous: config.RATE_ANONYMOUS,
        account: config.RATE_ACCOUNT,
        credentials: config.RATE_CREDENTIALS,
        codes: config.RATE_CODES,
        codesByAddress: config.RATE_CODES_ADDRESS,
        webhooks: config.RATE_WEBHOOKS,
      })
    : undefined;
  const routes = apiRoutes({ ...context, services, temporal, authenticator, rateLimits, ready });
  const app = createApp({
    routes,
    authenticator,
    idempotency: createIdempotency(createAnswerStore(valkey, config.REDIS_PREFIX), log, config.IDEMPOTENCY_SECRET),
    rateLimits,
    trustProxy: config.TRUST_PROXY,
    corsOrigins: config.CORS_ORIGINS,
    closing: closing.signal,
    metrics,
    log,
  });
  const listener = traceRequests(app, routes);

  const server = createServer(
    {
      // Whoever sends slowly on purpose is cut off; a load balancer keeps idle connections for less than 65 s.
      headersTimeout: 10_000,
      requestTimeout: 30_000,
      keepAliveTimeout: 65_000,
      connectionsCheckingInterval: 2_000,
      maxHeaderSize: 16 * 1024,
    },
    listener,
  );
  // A body is asked for only when it is about to be read.
  server.on("checkContinue", (request, response) => void listener(request, response));
  server.on("clientError", answerBrokenRequest);
  const [host, port] = splitAddress(config.HTTP_LISTEN);
  await listenOn(server, host, port);
  lifecycle.onStop("http server", async () => {
    if (config.DRAIN_DELAY_SECONDS > 0)
      await new Promise((done) => setTimeout(done, config.DRAIN_DELAY_SECONDS * 1000));
    closing.abort();
    const cut = setTimeout(
      () => server.closeAllConnections(),
      Math.max(config.SHUTDOWN_GRACE_SECONDS - config.DRAIN_DELAY_SECONDS - 1, 0.5) * 1000,
    );
    const closed = new Promise<void>((done) => server.close(() => done()));
    server.closeIdleConnections();
    await closed;
    clearTimeout(cut);
  });

  return { port: (server.address() as { port: number }).port, ready };
}

export interface ApiDependencies extends Pick<GatewayContext, "config" | "log" | "metrics"> {
  readonly services: Services;
  readonly temporal: Temporal;
  readonly authenticator: Authenticator;
  /** undefined: no limits. */
  readonly rateLimits?: RateLimits | undefined;
  readonly ready: () => boolean;
}

/** Every route that is served, the documentation's own included. */
export function apiRoutes({
  config,
  log,
  metrics,
  services,
  temporal,
  authenticator,
  rateLimits,
  ready,
}: ApiDependencies): Route[] {
  const guard = guardCodes(rateLimits);
  const taskQueue = config.TASK_QUEUE;
  const checkouts = createCheckouts({ temporal, services, taskQueue, log });
  const liveSeats = createLiveSeats({
    watchSeats: services.watchSeats,
    mostReaders: config.LIVE_READERS,
    mostReadersPerAddress: config.LIVE_READERS_PER_ADDRESS,
    readerBufferBytes: config.LIVE_READER_BUFFER_BYTES,
    heartbeatMs: config.LIVE_HEARTBEAT_SECONDS * 1000,
    log,
    metrics,
  });
  const routes: Route[] = [
    ...accountRoutes(services, authenticator),
    ...eventRoutes(services, liveSeats, config.ANSWER_CACHE_MS),
    ...liveSeatRoutes(liveSeats, services),
    ...organiserRoutes({ services, temporal, taskQueue, cancelSettleMs: config.CANCEL_SETTLE_SECONDS * 1000 }),
    ...salesRoutes(services, temporal),
    ...orderSearchRoutes({
      services,
      temporal,
      namespace: config.TEMPORAL_NAMESPACE,
      temporalUiUrl: config.TEMPORAL_UI_URL,
      log,
    }),
    ...disputeRoutes({ services, temporal, log }),
    ...channelRoutes(services, guard),
    ...blockRoutes(services),
    ...buyRoutes({
      services,
      temporal,
      checkouts,
      guard,
      taskQueue,
      paymentWaitMs: config.PAYMENT_WAIT_SECONDS * 1000,
      publicUrl: config.PUBLIC_URL,
      storefrontUrl: config.STOREFRONT_URL,
      log,
    }),
    ...orderRoutes({ services, temporal, taskQueue, refundWaitMs: config.REFUND_WAIT_SECONDS * 1000 }),
    ...webhookRoutes({ services, temporal, checkouts, taskQueue }),
    ...booksRoutes(temporal, taskQueue),
    ...operationRoutes(metrics, ready),
  ];
  return [...routes, ...documentationRoutes(routes)];
}

/** What is not HTTP, or comes too slowly, never becomes a request; it gets its problem document all the same. */
function answerBrokenRequest(error: Error & { code?: string }, socket: Duplex): void {
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
  const status = error.code === "HPE_HEADER_OVERFLOW" ? 431 : error.code === "ERR_HTTP_REQUEST_TIMEOUT" ? 408 : 400;
  const detail =
    status === 431
      ? "The headers are too large."
      : status === 408
        ? "The request did not arrive in time."
        : "This is not valid HTTP.";
  const problem = problemOf(new DomainError("REQUEST_INVALID", detail), newId("req")).body;
  const body = JSON.stringify({ ...problem, status });
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: ${problemMediaType}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
