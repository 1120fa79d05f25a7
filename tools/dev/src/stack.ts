// The whole product as processes of this machine, on a given backing: which there are, how they find each other, how they stop.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Backing } from "@onsale/backing/backing";
import { type Env, type StartedProcess, startProcess } from "@onsale/backing/child-process";
import { freePort } from "@onsale/backing/ports";
import type { Secrets } from "./secrets.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** In the order in which they are stopped: who asks before who answers. */
const programs = {
  storefront: "services/storefront",
  gateway: "services/gateway",
  worker: "workflows",
  codec: "services/codec",
  ticket: "services/ticket",
  payment: "services/payment",
  inventory: "services/inventory",
  account: "services/account",
  "stripe-sim": "tools/stripe-sim",
} as const;

export type ProcessName = keyof typeof programs;
export const processNames = Object.keys(programs) as ProcessName[];
const stopOrder: readonly (readonly ProcessName[])[] = [
  ["storefront"],
  ["gateway"],
  ["worker", "codec"],
  ["ticket", "payment", "inventory", "account"],
  ["stripe-sim"],
];

export interface StackOptions {
  readonly backing: Pick<Backing, "redisUrl" | "mongodbUri" | "temporalAddress">;
  readonly secrets: Secrets;
  /** Where stripe-sim keeps its payments. */
  readonly stripeDataDir: string;
  /** Encrypts what workflows are given, and starts a codec server for Temporal's Web UI: where it is served, and for whom. */
  readonly codec?: { readonly port: number; readonly origins: readonly string[] } | undefined;
  /** For links from orders to their checkouts. */
  readonly temporalUiUrl?: string | undefined;
  /** Of the person who starts it. PATH and the like go to all; STRIPE_SECRET_KEY means the real Stripe, without stripe-sim. */
  readonly env: Env;
  /** Undefined: a free one. */
  readonly ports?: { readonly gateway?: number; readonly stripeSim?: number; readonly storefront?: number };
  /** Settings on top: for all processes, or for one. */
  readonly settings?: { readonly [Name in ProcessName | "all"]?: Env };
  readonly onLine?: ((process: ProcessName, line: string) => void) | undefined;
  readonly onUnexpectedExit?: ((process: ProcessName, how: string) => void) | undefined;
  readonly onReady?: ((process: ProcessName) => void) | undefined;
}

export interface Stack {
  /** Without a slash at the end. */
  readonly gatewayUrl: string;
  /** The shop's pages, with the API beside them on the same origin. */
  readonly storefrontUrl: string;
  /** Undefined with the real Stripe. */
  readonly stripeUrl: string | undefined;
  /** host:port of the gRPC services. */
  readonly addresses: { readonly [Name in GrpcName]: string };
  /** Where /healthz, /readyz and /metrics of each process are. */
  readonly opsUrls: { readonly [Name in ProcessName]?: string };
  readonly operator: { readonly email: string; readonly password: string };
  readonly processes: { readonly [Name in ProcessName]?: StartedProcess };
  stop(): Promise<void>;
}

type GrpcName = "account" | "inventory" | "payment" | "ticket";
const grpcNames: readonly GrpcName[] = ["account", "inventory", "payment", "ticket"];

/** The first operator, whom the account service makes by itself; everybody else signs up. */
export const operator = { email: "operator@example.test", password: "seven lanterns at dusk" } as const;

export async function startStack(options: StackOptions): Promise<Stack> {
  const { backing, secrets, env } = options;
  const realStripe = env["STRIPE_SECRET_KEY"] || undefined; // set to nothing is not set
  const names = processNames
    .filter((name) => name !== "stripe-sim" || !realStripe)
    .filter((name) => name !== "codec" || options.codec);
  for (const name of names)
    if (!existsSync(mainOf(name)))
      throw new Error(`${name} is not built: there is no ${mainOf(name)}. Run \`npx tsc -b\`.`);

  const grpcPort = await portsFor(grpcNames);
  const opsPort = await portsFor(names);
  const gatewayPort = options.ports?.gateway ?? (await freePort());
  const stripePort = options.ports?.stripeSim ?? (await freePort());
  const gatewayUrl = `http://127.0.0.1:${gatewayPort}`;
  const storefrontPort = options.ports?.storefront ?? (await freePort());
  const storefrontUrl = `http://127.0.0.1:${storefrontPort}`;
  const stripeUrl = realStripe ? undefined : `http://127.0.0.1:${stripePort}`;
  const addressOf = (name: GrpcName) => `127.0.0.1:${grpcPort[name]}`;

  const inherited = ["PATH", "HOME", "TZ", "LANG", "LC_ALL", "NODE_EXTRA_CA_CERTS"];
  const ofTelemetry = Object.keys(env).filter((name) => name.startsWith("OTEL_"));
  // How to reach a Temporal, and where in it: said of the one that is given, not of an embedded one.
  const isGiven = env["TEMPORAL_ADDRESS"] === backing.temporalAddress;
  const ofTemporal = Object.keys(env).filter((name) => isGiven && /^TEMPORAL_(NAMESPACE|TLS|API_KEY)/.test(name));
  const payloadKeys = env["PAYLOAD_ENCRYPTION_KEYS"] || (options.codec ? secrets.payloadKeys : undefined);
  const common: Env = {
    ...Object.fromEntries([...inherited, ...ofTelemetry, ...ofTemporal].map((name) => [name, env[name]])),
    NODE_ENV: "development",
    LOG_LEVEL: env["LOG_LEVEL"] ?? "info",
    GRPC_SHARED_SECRET: secrets.grpcSharedSecret,
    REDIS_URL: backing.redisUrl,
    MONGODB_URI: backing.mongodbUri,
    MONGODB_DATABASE: env["MONGODB_DATABASE"],
    TEMPORAL_ADDRESS: backing.temporalAddress,
    ACCOUNT_ADDRESS: addressOf("account"),
    INVENTORY_ADDRESS: addressOf("inventory"),
    PAYMENT_ADDRESS: addressOf("payment"),
    TICKET_ADDRESS: addressOf("ticket"),
  };
  const own: Readonly<Record<ProcessName, Env>> = {
    storefront: {
      HTTP_LISTEN: `127.0.0.1:${storefrontPort}`,
      GATEWAY_URL: gatewayUrl,
      STRIPE_PUBLISHABLE_KEY: realStripe ? env["STRIPE_PUBLISHABLE_KEY"] : undefined,
      CARD_PAGE_URL: stripeUrl && `${stripeUrl}/card`,
      TEMPORAL_UI_URL: options.temporalUiUrl,
    },
    gateway: {
      HTTP_LISTEN: `127.0.0.1:${gatewayPort}`,
      IDEMPOTENCY_SECRET: secrets.idempotency,
      STOREFRONT_URL: storefrontUrl,
      TEMPORAL_UI_URL: options.temporalUiUrl,
      PAYLOAD_ENCRYPTION_KEYS: payloadKeys,
    },
    worker: { PAYLOAD_ENCRYPTION_KEYS: payloadKeys },
    codec: {
      PAYLOAD_ENCRYPTION_KEYS: payloadKeys,
      CODEC_LISTEN: `127.0.0.1:${options.codec?.port ?? 0}`,
      CODEC_ORIGINS: options.codec?.origins.join(","),
      // The development server's Web UI knows no log-in, so it has no token to pass on.
      CODEC_OPEN_ON_LOOPBACK: "true",
    },
    ticket: { GRPC_LISTEN: addressOf("ticket"), TICKET_KEY_SECRET: secrets.keyEncryption },
    payment: {
      GRPC_LISTEN: addressOf("payment"),
      STRIPE_SECRET_KEY: realStripe ?? secrets.stripeSecretKey,
      STRIPE_WEBHOOK_SECRET: (realStripe && env["STRIPE_WEBHOOK_SECRET"]) || secrets.stripeWebhook,
      STRIPE_API_BASE: stripeUrl,
    },
    inventory: { GRPC_LISTEN: addressOf("inventory"), HOLD_TTL_SECONDS: env["HOLD_TTL_SECONDS"] },
    account: {
      GRPC_LISTEN: addressOf("account"),
      ACCOUNT_KEY_SECRET: secrets.keyEncryption,
      ACCOUNT_BOOTSTRAP_OPERATOR_EMAIL: operator.email,
      ACCOUNT_BOOTSTRAP_OPERATOR_PASSWORD: operator.password,
    },
    "stripe-sim": {
      HTTP_LISTEN: `127.0.0.1:${stripePort}`,
      SIM_DATA_DIR: options.stripeDataDir,
      SIM_CONTROL: "true",
      STRIPE_WEBHOOK_URL: `${gatewayUrl}/v1/webhooks/stripe`,
      STRIPE_WEBHOOK_SECRET: secrets.stripeWebhook,
    },
  };

  const processes: { [Name in ProcessName]?: StartedProcess } = {};
  async function stop(): Promise<void> {
    for (const group of stopOrder) await Promise.all(group.map((name) => processes[name]?.stop()));
  }

  async function startOne(name: ProcessName): Promise<void> {
    processes[name] = await startProcess({
      name,
      command: process.execPath,
      args: ["--enable-source-maps", mainOf(name)],
      env: {
        ...common,
        OPS_LISTEN: `127.0.0.1:${opsPort[name]}`,
        ...own[name],
        ...options.settings?.all,
        ...options.settings?.[name],
      },
      cwd: root,
      ready: () => answersReady(`http://127.0.0.1:${opsPort[name]}/readyz`),
      readyWithinSeconds: 60,
      // A worker lets the step finish that it is in the middle of.
      stopWithinSeconds: name === "worker" ? 45 : 20,
      onLine: (line) => options.onLine?.(name, line),
      onUnexpectedExit: (how) => options.onUnexpectedExit?.(name, how),
    });
    options.onReady?.(name);
  }

  const results = await Promise.allSettled(names.map(startOne));
  const failures = results.flatMap((result) => (result.status === "rejected" ? [result.reason as Error] : []));
  if (failures.length > 0) {
    await stop();
    throw new Error(failures.map((failure) => failure.message).join("\n\n"), { cause: failures[0] });
  }
  return {
    gatewayUrl,
    storefrontUrl,
    stripeUrl,
    addresses: {
      account: addressOf("account"),
      inventory: addressOf("inventory"),
      payment: addressOf("payment"),
      ticket: addressOf("ticket"),
    },
    opsUrls: Object.fromEntries(names.map((name) => [name, `http://127.0.0.1:${opsPort[name]}`])),
    operator,
    processes,
    stop,
  };
}

function mainOf(name: ProcessName): string {
  return join(root, programs[name], "dist/main.js");
}

async function portsFor<Name extends string>(names: readonly Name[]): Promise<Record<Name, number>> {
  const entries = names.map(async (name): Promise<[Name, number]> => [name, await freePort()]);
  return Object.fromEntries(await Promise.all(entries)) as Record<Name, number>;
}

async function answersReady(url: string): Promise<void> {
  const response = await fetch(url, { signal: AbortSignal.timeout(5_000) });
  if (response.status !== 200) throw new Error(`/readyz answers ${response.status}`);
}
