// The whole shop for a test: every process on throw-away data, people to use it, and the books to check afterwards.
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Backing, startBacking } from "@onsale/backing/backing";
import { freePort } from "@onsale/backing/ports";
import { newSecrets, type Secrets } from "@onsale/dev/secrets";
import { type Stack, type StackOptions, startStack } from "@onsale/dev/stack";
import { temporalConnection } from "@onsale/kit/temporal";
import { Client, Connection } from "@temporalio/client";
import { MongoClient } from "mongodb";
import { inject } from "vitest";
import { logIn, type Person, request, signUp } from "./rest.js";

export interface Shop {
  readonly url: string;
  readonly stack: Stack;
  /** Only when the shop has servers of its own, to be killed. */
  readonly backing: Backing | undefined;
  readonly temporal: Client;
  readonly mongo: MongoClient;
  readonly database: string;
  /** Of this shop alone: others share its Temporal. */
  readonly taskQueue: string;
  readonly organiser: Person;
  readonly operator: Person;
  readonly secrets: Secrets;
  /** Number of history events of a checkout. */
  historyLength(checkoutId: string): Promise<number>;
  stop(): Promise<void>;
}

export interface ShopOptions {
  /** True: Temporal, Valkey and MongoDB of its own, which the test may kill. */
  readonly ownServers?: boolean;
  readonly settings?: NonNullable<StackOptions["settings"]>;
  /** With servers of its own: payloads of workflows are encrypted, and Temporal's Web UI has a codec server. */
  readonly encrypted?: boolean;
  /** Each line that a process writes. */
  readonly onLine?: NonNullable<StackOptions["onLine"]>;
}

/** Many people from one address, and passwords that cost less: what is tested here is seats and money. */
const forTests = {
  all: { LOG_LEVEL: "warn" },
  gateway: { RATE_LIMITS: "false" },
  account: { ARGON2_MEMORY_KIB: "1024", ARGON2_PASSES: "1", PASSWORD_HASH_QUEUE: "1000" },
} as const;

export async function openShop({
  ownServers = false,
  settings = {},
  encrypted = false,
  onLine,
}: ShopOptions = {}): Promise<Shop> {
  const folder = await mkdtemp(join(tmpdir(), "onsale-shop-"));
  const secrets = newSecrets();
  const codec = encrypted ? { ui: await freePort(), port: await freePort() } : undefined;
  const own = ownServers
    ? await startBacking({
        env: {},
        valkeyKeepsData: true,
        ...(codec && { ports: { temporalUi: codec.ui }, temporalCodecUrl: `http://127.0.0.1:${codec.port}` }),
      })
    : undefined;
  const backing = own ?? inject("backing");
  const database = `shop-${randomUUID().slice(0, 8)}`;
  const taskQueue = database;
  const merged: Record<string, Record<string, string | undefined>> = {
    all: { ...forTests.all, MONGODB_DATABASE: database, TASK_QUEUE: taskQueue },
  };
  for (const [name, values] of [...Object.entries(forTests), ...Object.entries(settings)])
    merged[name] = { ...merged[name], ...values };
  const stack = await startStack({
    backing,
    secrets,
    codec: codec && { port: codec.port, origins: [`http://127.0.0.1:${codec.ui}`] },
    stripeDataDir: join(folder, "stripe"),
    env: process.env,
    settings: merged,
    onLine: (name, line) => {
      onLine?.(name, line);
      if (process.env["SHOP_LOGS"]) console.log(`${name} ${line}`);
    },
  });
  const { TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE } = process.env;
  const isGiven = TEMPORAL_ADDRESS === backing.temporalAddress; // and then has its own TLS, key and namespace
  const connection = await Connection.connect(
    isGiven ? temporalConnection(process.env) : { address: backing.temporalAddress },
  );
  const temporal = new Client({ connection, namespace: (isGiven && TEMPORAL_NAMESPACE) || "default" });
  const mongo = await new MongoClient(backing.mongodbUri).connect();

  const operator = await logIn(stack.gatewayUrl, stack.operator.email, stack.operator.password);
  const newcomer = await signUp(stack.gatewayUrl);
  const roles = await operator.ask("PUT", `/v1/accounts/${newcomer.accountId}/roles`, {
    body: { roles: ["buyer", "organiser"] },
  });
  if (roles.status !== 200) throw new Error(`roles: ${roles.status} ${JSON.stringify(roles.body)}`);
  const organiser = await logIn(stack.gatewayUrl, newcomer.email, newcomer.password);

  return {
    url: stack.gatewayUrl,
    stack,
    backing: own,
    temporal,
    mongo,
    database,
    taskQueue,
    organiser,
    operator,
    secrets,
    async historyLength(checkoutId) {
      const { historyLength } = await temporal.workflow.getHandle(`checkout-${checkoutId}`).describe();
      return historyLength;
    },
    async stop() {
      await stack.stop();
      if (!own) await mongo.db(database).dropDatabase();
      await Promise.all([mongo.close(), connection.close()]);
      await own?.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

interface LedgerEntry {
  readonly id: string;
  readonly status: string;
  /** ISO 4217, in small letters. */
  readonly currency: string;
  /** Minor units, these four. */
  readonly authorized: number;
  readonly captured: number;
  readonly refunded: number;
  /** Reserved, and given back without having been captured. */
  readonly released: number;
  readonly successfulCharges: number;
  readonly metadata: Readonly<Record<string, string>>;
}

/** What four sets of books say about an event, and where they contradict each other (which must be nowhere). */
export async function audit(shop: Shop, eventId: string) {
  const db = shop.mongo.db(shop.database);
  // An organiser's block is a claim that nobody has paid for.
  const claims = await db
    .collection<{ seatId: string; checkoutId: string; kind?: string }>("claims")
    .find({ eventId, kind: { $ne: "block" } })
    .toArray();
  const tickets = await db
    .collection<{ seatId: string; checkoutId: string; status: string; seat: { amount: number } }>("tickets")
    .find({ eventId, status: "valid" })
    .toArray();
  const ledger = await stripeLedger(shop);
  const ours = ledger.filter((entry) => entry.metadata["eventId"] === eventId);
  const availability = await request<{ totals: { free: number; held: number; sold: number; blocked: number } }>(
    shop.url,
    "GET",
    `/v1/events/${eventId}/availability`,
  );
  const contradictions: string[] = [];
  const pairs = (entries: readonly { seatId: string; checkoutId: string }[]) =>
    entries.map(({ seatId, checkoutId }) => `${seatId} ${checkoutId}`).sort();
  const claimed = pairs(claims);
  const ticketed = pairs(tickets);
  if (JSON.stringify(claimed) !== JSON.stringify(ticketed))
    contradictions.push(`claims ${JSON.stringify(claimed)} but valid tickets ${JSON.stringify(ticketed)}`);
  if (new Set(claims.map(({ seatId }) => seatId)).size !== claims.length)
    contradictions.push("a seat is claimed twice");
  const byCheckout = new Map<string, number>();
  for (const { checkoutId, seat } of tickets)
    byCheckout.set(checkoutId, (byCheckout.get(checkoutId) ?? 0) + seat.amount);
  for (const { id, metadata, authorized, captured, refunded, released, successfulCharges, status } of ours) {
    const checkoutId = metadata["checkoutId"] ?? "";
    const owed = byCheckout.get(checkoutId) ?? 0;
    if (captured - refunded !== owed)
      contradictions.push(`${checkoutId}: Stripe keeps ${captured - refunded} on ${id}, its tickets cost ${owed}`);
    if (authorized !== captured + released)
      contradictions.push(`${checkoutId}: ${id} still has money reserved (${status})`);
    if (successfulCharges > 1) contradictions.push(`${checkoutId}: ${id} was charged ${successfulCharges} times`);
    byCheckout.delete(checkoutId);
  }
  for (const checkoutId of byCheckout.keys()) contradictions.push(`${checkoutId} has tickets and no payment at Stripe`);
  return { sold: claims.length, totals: availability.body.totals, contradictions, payments: ours };
}

export async function stripeLedger(shop: Shop): Promise<readonly LedgerEntry[]> {
  const answer = await fetch(`${shop.stack.stripeUrl}/_sim/ledger`);
  const { payment_intents } = (await answer.json()) as { payment_intents: LedgerEntry[] };
  return payment_intents;
}

/** Decides a 3-D Secure question as the buyer would on the bank's page. */
export async function answerBank(shop: Shop, checkoutId: string, outcome: "approve" | "fail"): Promise<void> {
  const entry = (await stripeLedger(shop)).find(({ metadata }) => metadata["checkoutId"] === checkoutId);
  const answer = await fetch(`${shop.stack.stripeUrl}/_sim/3ds/${entry?.id}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ outcome }),
  });
  if (!answer.ok) throw new Error(`3-D Secure: ${answer.status} ${await answer.text()}`);
}

/** Adds a rule to stripe-sim's fault plan. */
export async function plantFault(shop: Shop, rule: Readonly<Record<string, unknown>>): Promise<void> {
  const answer = await fetch(`${shop.stack.stripeUrl}/_sim/faults`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(rule),
  });
  if (!answer.ok) throw new Error(`fault plan: ${answer.status} ${await answer.text()}`);
}
