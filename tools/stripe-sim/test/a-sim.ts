// Starts a simulator for a test, with the official client that speaks to it.
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createContext } from "@onsale/kit/process";
import { Stripe } from "stripe";
import { stripeSimSettings } from "../src/config.js";
import type { LedgerLine, SeenRequest } from "../src/control.js";
import { startStripeSim } from "../src/service.js";

type Env = Readonly<Record<string, string>>;

export interface Sim {
  readonly url: string;
  readonly stripe: Stripe;
  /** A client with the given options on top. */
  client(options?: object, key?: string): Stripe;
  /** Plain HTTP with a good key, for what the client would not send. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  faults(...rules: readonly object[]): Promise<void>;
  ledger(paymentId: string): Promise<LedgerLine>;
  requests(): Promise<readonly SeenRequest[]>;
  stop(): Promise<void>;
}

export const testKey = "sk_test_onsale";
/** Settings that keep limits and randomness out of tests that are not about them. */
const calm: Env = {
  NODE_ENV: "test",
  LOG_LEVEL: "fatal",
  SIM_CONTROL: "true",
  SIM_RATE_PER_ENDPOINT: "0",
  SIM_RATE_TOTAL: "0",
};

export async function temporaryDirectory(): Promise<string> {
  return await mkdtemp(join(tmpdir(), "stripe-sim-"));
}

export async function startSim(env: Env = {}): Promise<Sim> {
  const directory = env["SIM_DATA_DIR"] ?? (await temporaryDirectory());
  const discard = async () => {
    if (env["SIM_DATA_DIR"] === undefined) await rm(directory, { recursive: true, force: true });
  };
  const start = async () => {
    const context = createContext("stripe-sim", stripeSimSettings, { ...calm, SIM_DATA_DIR: directory, ...env });
    return { context, port: (await startStripeSim(context)).port };
  };
  const { context, port } = await start().catch(async (error: unknown) => {
    await discard();
    throw error;
  });
  return {
    ...simAt(port),
    async stop() {
      await context.lifecycle.stop("test");
      await discard();
    },
  };
}

/** A simulator that runs already, wherever. */
export function simAt(port: number): Omit<Sim, "stop"> {
  const url = `http://127.0.0.1:${port}`;
  const client = (options: object = {}, key = testKey) =>
    new Stripe(key, { host: "127.0.0.1", port, protocol: "http", maxNetworkRetries: 0, telemetry: false, ...options });
  async function control<Answer>(path: string, init?: RequestInit): Promise<Answer> {
    const response = await fetch(`${url}/_sim/${path}`, init);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as Answer;
  }
  return {
    url,
    stripe: client(),
    client,
    fetch: (path, init = {}) =>
      fetch(`${url}${path}`, {
        redirect: "manual",
        ...init,
        headers: { authorization: `Bearer ${testKey}`, ...init.headers },
      }),
    async faults(...rules) {
      await control("faults", { method: "POST", body: JSON.stringify(rules) });
    },
    async ledger(paymentId) {
      const { payment_intents: lines } = await control<{ payment_intents: LedgerLine[] }>(
        `ledger?payment_intent=${paymentId}`,
      );
      return lines[0]!;
    },
    requests: async () => (await control<{ requests: SeenRequest[] }>("requests")).requests,
  };
}

/** What the client throws, or a test failure when it throws nothing. */
export async function errorOf(work: Promise<unknown>): Promise<Stripe.errors.StripeError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof Stripe.errors.StripeError) return error;
    throw error;
  }
  throw new Error("the request was accepted, but should have been refused");
}

export interface Receiver {
  readonly url: string;
  readonly secret: string;
  /** Verified events in the order they came, repetitions included. */
  readonly events: readonly Stripe.Event[];
  readonly deliveries: readonly { readonly body: string; readonly signature: string; readonly status: number }[];
  /** What to answer from now on; 200 at first. */
  answer(status: number | ((event: Stripe.Event) => number)): void;
  waitFor(fits: (events: readonly Stripe.Event[]) => boolean, withinMs?: number): Promise<readonly Stripe.Event[]>;
  stop(): Promise<void>;
}

/** A webhook endpoint that checks every signature by the client's own constructEvent. */
export async function startReceiver(port = 0): Promise<Receiver> {
  const secret = "whsec_test_receiver";
  const { webhooks } = new Stripe(testKey);
  const events: Stripe.Event[] = [];
  const deliveries: { body: string; signature: string; status: number }[] = [];
  let statusFor: (event: Stripe.Event) => number = () => 200;
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    const signature = String(request.headers["stripe-signature"]);
    const event = webhooks.constructEvent(body, signature, secret);
    const status = statusFor(event);
    deliveries.push({ body, signature, status });
    if (status < 300) events.push(event);
    response.writeHead(status).end();
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const bound = (server.address() as { port: number }).port;
  return {
    url: `http://127.0.0.1:${bound}/webhooks`,
    secret,
    events,
    deliveries,
    answer: (status) => {
      statusFor = typeof status === "number" ? () => status : status;
    },
    async waitFor(fits, withinMs = 10_000) {
      for (const end = Date.now() + withinMs; Date.now() < end; ) {
        if (fits(events)) return events;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      throw new Error(`not within ${withinMs} ms; got: ${events.map(({ type }) => type).join(", ")}`);
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export async function until<T>(read: () => Promise<T | undefined>, withinMs = 10_000): Promise<T> {
  for (const end = Date.now() + withinMs; Date.now() < end; ) {
    const value = await read();
    if (value !== undefined) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`not within ${withinMs} ms`);
}
