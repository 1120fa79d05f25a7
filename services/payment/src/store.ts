// Payments and webhook deliveries in MongoDB: one document a checkout, replaced as a whole by whoever read its last version.
import { setTimeout as sleep } from "node:timers/promises";
import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import {
  MongoClient,
  MongoError,
  MongoNetworkError,
  MongoNotConnectedError,
  MongoOperationTimeoutError,
  MongoServerError,
  MongoServerSelectionError,
  MongoTopologyClosedError,
} from "mongodb";
import type { PaymentRecord } from "./payments.js";

type PaymentDocument = Omit<PaymentRecord, "checkoutId"> & {
  readonly _id: string;
  readonly createdAt: Date;
  readonly updatedAt: Date;
};

/** A delivery that was fully applied. */
export interface WebhookEntry {
  readonly stripeEventId: string;
  readonly type: string;
  /** Absent when it was about nothing of ours. */
  readonly checkoutId?: string;
}
interface WebhookDocument {
  readonly _id: string;
  readonly type: string;
  readonly checkoutId?: string;
  readonly appliedAt: Date;
  readonly expiresAt: Date;
}

export interface Store {
  read(checkoutId: string): Promise<PaymentRecord | undefined>;
  readByIntent(intentId: string): Promise<PaymentRecord | undefined>;
  /** false: there is one already. */
  insert(record: PaymentRecord): Promise<boolean>;
  /** Writes the record as the version after its own; undefined: that version had been overtaken, and nothing was written. */
  replace(record: PaymentRecord): Promise<PaymentRecord | undefined>;
  readWebhook(stripeEventId: string): Promise<WebhookEntry | undefined>;
  /** false: it was noted already. */
  noteWebhook(entry: WebhookEntry): Promise<boolean>;
  ready(): Promise<boolean>;
  stop(): Promise<void>;
}

export interface StoreSettings {
  readonly uri: string;
  readonly database: string;
  readonly webhookMemoryDays: number;
  readonly log: Logger;
}

export function createStore({ uri, database, webhookMemoryDays, log }: StoreSettings): Store {
  const client = new MongoClient(uri, {
    appName: "onsale-payment",
    ignoreUndefined: true,
    serverSelectionTimeoutMS: 3_000,
    connectTimeoutMS: 3_000,
    socketTimeoutMS: 10_000,
    writeConcern: { w: "majority" },
  });
  const payments = client.db(database).collection<PaymentDocument>("payments");
  const webhooks = client.db(database).collection<WebhookDocument>("webhooks");
  let indexed = false;
  let stopped = false;

  /** Until it succeeds: MongoDB may come up after us. */
  async function ensureIndexes(): Promise<void> {
    while (!indexed && !stopped) {
      try {
        // Asked for by name: a client whose first connection failed is dead to implicit ones from then on.
        await client.connect();
        // One intent belongs to one checkout; and webhooks about charges and refunds name the intent only.
        await payments.createIndex(
          { intentId: 1 },
          { unique: true, partialFilterExpression: { intentId: { $exists: true } } },
        );
        await webhooks.createIndex({ expiresAt: 1 }, { expireAfterSeconds: 0 });
        indexed = true;
      } catch (err) {
        log.warn({ err }, "the indexes can't be made yet; trying again");
        await sleep(1_000);
      }
    }
  }
  const indexing = ensureIndexes();

  return {
    async read(checkoutId) {
      return fromDocument(await asked(() => payments.findOne({ _id: checkoutId })));
    },
    async readByIntent(intentId) {
      return fromDocument(await asked(() => payments.findOne({ intentId })));
    },
    insert: ({ checkoutId, ...rest }) =>
      unlessThere(() => {
        const now = new Date();
        return payments.insertOne({ _id: checkoutId, ...rest, createdAt: now, updatedAt: now });
      }),
    async replace(record) {
      const { checkoutId, version, ...rest } = record;
      const set = { ...rest, version: version + 1, updatedAt: new Date() };
      const gone = optionalFields.filter((field) => record[field] === undefined);
      const result = await asked(() =>
        payments.updateOne(
          { _id: checkoutId, version },
          { $set: set, ...(gone.length > 0 && { $unset: Object.fromEntries(gone.map((field) => [field, ""])) }) },
        ),
      );
      return result.matchedCount === 1 ? { ...record, version: version + 1 } : undefined;
    },
    async readWebhook(stripeEventId) {
      const document = await asked(() => webhooks.findOne({ _id: stripeEventId }));
      if (!document) return undefined;
      const { type, checkoutId } = document;
      return { stripeEventId, type, ...(checkoutId && { checkoutId }) };
    },
    noteWebhook: ({ stripeEventId, type, checkoutId }) =>
      unlessThere(() => {
        const now = Date.now();
        return webhooks.insertOne({
          _id: stripeEventId,
          type,
          ...(checkoutId && { checkoutId }),
          appliedAt: new Date(now),
          expiresAt: new Date(now + webhookMemoryDays * 86_400_000),
        });
      }),
    async ready() {
      if (!indexed) return false;
      await client.db(database).command({ ping: 1 }, { timeoutMS: 2_000 });
      return true;
    },
    async stop() {
      stopped = true;
      await client.close();
      await indexing;
    },
  };
}

const optionalFields = [
  "intentId",
  "latestChargeId",
  "actionUrl",
  "cancellation",
  "unsureSinceMs",
  "creation",
] as const;

function fromDocument(document: PaymentDocument | null): PaymentRecord | undefined {
  if (!document) return undefined;
  const { _id, createdAt: _created, updatedAt: _updated, ...rest } = document;
  return { checkoutId: _id, ...rest };
}

/** A store that can't be asked is UNAVAILABLE; anything else is a bug. */
async function asked<Result>(operation: () => Promise<Result>): Promise<Result> {
  try {
    return await operation();
  } catch (error) {
    throw isOutage(error)
      ? new DomainError("UNAVAILABLE", "The payment records can't be reached right now. Please try again.", {}, error)
      : error;
  }
}

const socketErrors: ReadonlySet<string> = new Set(["EPIPE", "ECONNRESET", "ECONNREFUSED", "ECONNABORTED", "ETIMEDOUT"]);

function isOutage(error: unknown): boolean {
  if (
    error instanceof MongoNetworkError ||
    error instanceof MongoServerSelectionError ||
    error instanceof MongoNotConnectedError ||
    error instanceof MongoOperationTimeoutError ||
    error instanceof MongoTopologyClosedError
  )
    return true;
  // The driver lets a socket's own error through when the other side closed it just before the write.
  if (error instanceof Error && socketErrors.has((error as NodeJS.ErrnoException).code ?? "")) return true;
  return (
    error instanceof MongoError &&
    (error.hasErrorLabel("RetryableWriteError") ||
      error.hasErrorLabel("RetryableError") ||
      error.name === "MongoPoolClearedError" ||
      error.name === "MongoWriteConcernError")
  );
}

async function unlessThere(insert: () => Promise<unknown>): Promise<boolean> {
  try {
    await asked(insert);
    return true;
  } catch (error) {
    if (error instanceof MongoServerError && error.code === 11000) return false;
    throw error;
  }
}
