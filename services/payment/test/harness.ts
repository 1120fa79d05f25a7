// What the component tests stand on: stripe-sim and payment services in this process, over real gRPC and real stores.
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { connect as connectTcp, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DomainError, type RefusalCode } from "@onsale/kit/errors";
import { connect, type ServiceClient } from "@onsale/kit/grpc-client";
import { createContext } from "@onsale/kit/process";
import { PaymentServiceService } from "@onsale/proto/payment/v1/payment";
import { stripeSimSettings } from "@onsale/stripe-sim/config";
import { startStripeSim } from "@onsale/stripe-sim/service";
import { MongoClient } from "mongodb";
import { inject } from "vitest";
import { paymentSettings } from "../src/config.js";
import { startPayment } from "../src/service.js";

export const webhookSecret = "whsec_component_test";

export interface Simulator {
  readonly url: string;
  ask(method: string, path: string, body?: unknown): Promise<unknown>;
  /** Plans faults; each hits once unless it says otherwise. */
  plan(...rules: readonly object[]): Promise<void>;
  stop(): Promise<void>;
}

export async function startSimulator(env: Readonly<Record<string, string>> = {}): Promise<Simulator> {
  const folder = await mkdtemp(join(tmpdir(), "stripe-sim-"));
  const context = createContext("stripe-sim", stripeSimSettings, {
    HTTP_LISTEN: "127.0.0.1:0",
    SIM_DATA_DIR: folder,
    SIM_CONTROL: "true",
    SIM_RATE_PER_ENDPOINT: "0",
    SIM_RATE_TOTAL: "0",
    ...("STRIPE_WEBHOOK_URL" in env && { STRIPE_WEBHOOK_SECRET: webhookSecret }),
    LOG_LEVEL: "silent",
    ...env,
  });
  const { port } = await startStripeSim(context);
  const url = `http://127.0.0.1:${port}`;
  const ask = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(`${url}${path}`, {
      method,
      ...(body !== undefined && { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? undefined : JSON.parse(text);
  };
  return {
    url,
    ask,
    async plan(...rules) {
      await ask("DELETE", "/_sim/faults");
      if (rules.length > 0) await ask("POST", "/_sim/faults", rules);
    },
    async stop() {
      await context.lifecycle.stop("test");
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export type PaymentClient = ServiceClient<PaymentServiceService>;

export interface PaymentInstance {
  readonly client: PaymentClient;
  ready(): Promise<boolean>;
  metrics(): Promise<string>;
  stop(): Promise<void>;
}

export interface PaymentOptions {
  readonly stripeUrl: string;
  readonly database: string;
  readonly env?: Readonly<Record<string, string>>;
}

export async function startPaymentService({ stripeUrl, database, env }: PaymentOptions): Promise<PaymentInstance> {
  const { mongodbUri, redisUrl } = inject("backing");
  const context = createContext("payment", paymentSettings, {
    GRPC_LISTEN: "127.0.0.1:0",
    MONGODB_URI: mongodbUri,
    MONGODB_DATABASE: database,
    REDIS_URL: redisUrl,
    STRIPE_SECRET_KEY: "sk_test_component",
    STRIPE_API_BASE: stripeUrl,
    STRIPE_WEBHOOK_SECRET: webhookSecret,
    STRIPE_BUDGET_NAME: database,
    STRIPE_RATE_PER_ENDPOINT: "1000",
    STRIPE_RATE_TOTAL: "4000",
    STRIPE_TIMEOUT_SECONDS: "2",
    STRIPE_BREAKER_FAILURES: "50",
    LOG_LEVEL: "silent",
    ...env,
  });
  const { port, ready } = await startPayment(context);
  const client = connect(PaymentServiceService, {
    address: `127.0.0.1:${port}`,
    trust: context.trust,
    deadlineMs: 20_000,
  });
  return {
    client,
    ready: async () => {
      try {
        return await ready();
      } catch {
        return false;
      }
    },
    metrics: () => context.metrics.registry.metrics(),
    async stop() {
      client.close();
      await context.lifecycle.stop("test");
    },
  };
}

export const newDatabase = (): string => `payment_${randomUUID().replaceAll("-", "")}`;
export const newCheckoutId = (): string => `co_${randomUUID().replaceAll("-", "")}`;

export async function withMongo<Result>(use: (client: MongoClient) => Promise<Result>): Promise<Result> {
  const client = new MongoClient(inject("backing").mongodbUri);
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

export const orderFor = (checkoutId: string, more: object = {}) => ({
  checkoutId,
  userId: "acc_buyer",
  eventId: "ev_concert",
  attempt: 1,
  amount: 5_000,
  currency: "EUR",
  paymentMethodId: "pm_card_visa",
  description: "Two seats",
  returnUrl: "https://shop.example/checkouts/back",
  ...more,
});

/** The refusal's code and details; "none" when there was no refusal. */
export async function refusalOf(call: Promise<unknown>): Promise<{ code: RefusalCode | "none"; error?: DomainError }> {
  try {
    await call;
    return { code: "none" };
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    return { code: error.code, error };
  }
}

/** Comes again, as an activity does, as long as the refusal says that this may help. */
export async function untilAnswered<Result>(call: () => Promise<Result>, tries = 12): Promise<Result> {
  for (let left = tries; ; left -= 1) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof DomainError) || !error.refusal.retryable || left <= 1) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

export async function until(what: () => Promise<boolean>, timeoutMs = 30_000): Promise<void> {
  for (const end = Date.now() + timeoutMs; !(await what()); ) {
    if (Date.now() > end) throw new Error("it did not come about in time");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A wire to a server that can be cut and mended. */
export async function startWire(
  host: string,
  port: number,
): Promise<{ port: number; cut(): void; mend(): void; stop(): Promise<void> }> {
  const sockets = new Set<Socket>();
  let whole = true;
  const server: Server = createServer((near) => {
    if (!whole) {
      near.destroy();
      return;
    }
    const far = connectTcp(port, host);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.pipe(other);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        sockets.delete(one);
        other.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = () => {
    whole = false;
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as { port: number }).port,
    cut,
    mend: () => {
      whole = true;
    },
    async stop() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
