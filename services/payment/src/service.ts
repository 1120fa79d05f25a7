// How the payment service is put together: stores, Stripe behind budget and breaker, use cases, server.
import { createGrpcServer } from "@onsale/kit/grpc-server";
import { type ContextOf, prepareWhenAvailable, type RunningService } from "@onsale/kit/process";
import { PaymentServiceService } from "@onsale/proto/payment/v1/payment";
import { createBooks } from "./books.js";
import { createBudget, createSlots } from "./budget.js";
import { createCharges } from "./charge.js";
import type { paymentSettings } from "./config.js";
import { createDisputeEvidence } from "./evidence.js";
import { createLedger } from "./ledger.js";
import { createRefunds } from "./refund.js";
import { createHandlers } from "./server.js";
import { openStore } from "./store.js";
import { createStripe } from "./stripe.js";
import { createSharedSlots } from "./valkey.js";
import { createWebhooks } from "./webhook.js";

export async function startPayment({
  config,
  log,
  metrics,
  lifecycle,
  trust,
}: ContextOf<typeof paymentSettings>): Promise<RunningService> {
  const store = openStore({
    uri: config.MONGODB_URI,
    database: config.MONGODB_DATABASE,
    webhookMemoryDays: config.STRIPE_WEBHOOK_MEMORY_DAYS,
  });
  lifecycle.onStop("MongoDB", () => store.close());

  const rates = (share: number) => ({
    perEndpoint: config.STRIPE_RATE_PER_ENDPOINT * share,
    total: config.STRIPE_RATE_TOTAL * share,
    newShare: config.STRIPE_RATE_NEW_SHARE,
  });
  const shared = createSharedSlots({
    url: config.REDIS_URL,
    ca: config.REDIS_TLS_CA,
    name: config.STRIPE_BUDGET_NAME,
    rates: rates(config.STRIPE_RATE_USE_SHARE),
    log,
  });
  lifecycle.onStop("Valkey", () => shared.stop());
  const alone = createSlots(rates(config.STRIPE_RATE_USE_SHARE * config.STRIPE_RATE_ALONE_SHARE), Date.now);
  const stripe = createStripe({
    secretKey: config.STRIPE_SECRET_KEY,
    apiBase: config.STRIPE_API_BASE,
    timeoutMs: config.STRIPE_TIMEOUT_SECONDS * 1000,
    webhookSecrets: config.STRIPE_WEBHOOK_SECRET,
    webhookToleranceSeconds: config.STRIPE_WEBHOOK_TOLERANCE_SECONDS,
    breakerFailures: config.STRIPE_BREAKER_FAILURES,
    breakerOpenMs: config.STRIPE_BREAKER_OPEN_SECONDS * 1000,
    budget: createBudget({ shared, alone, log, metrics }),
    log,
    metrics,
  });
  lifecycle.onStop("Stripe", () => stripe.stop());

  const ledger = createLedger({ store, stripe, log, metrics });
  const charges = createCharges({ store, stripe, ledger, log });
  const refunds = createRefunds({ store, stripe, ledger, log });
  const webhooks = createWebhooks({ store, stripe, ledger, log, metrics });

  const evidence = createDisputeEvidence({ store, stripe, ledger, log });
  const books = createBooks({ store, stripe });

  const reflection = config.NODE_ENV !== "production";
  const healthListen = config.GRPC_HEALTH_LISTEN;
  const server = createGrpcServer({ listen: config.GRPC_LISTEN, trust, log, metrics, reflection, healthListen });
  server.serve(PaymentServiceService, createHandlers({ charges, refunds, webhooks, evidence, books, ledger, store }));
  await prepareWhenAvailable({ log, lifecycle }, () => store.prepare());
  const port = await server.start();
  lifecycle.onStop("gRPC", () => server.stop(config.SHUTDOWN_GRACE_SECONDS * 1000));
  return {
    port,
    ready: () =>
      store.ping().then(
        () => true,
        () => false,
      ),
  };
}
