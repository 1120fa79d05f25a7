// Payments and webhook deliveries in MongoDB: one document a checkout, replaced as a whole by whoever read its last version.
import { type DatabaseSettings, isDuplicateKey, openDatabase } from "@onsale/kit/mongodb";
import type { PaymentRecord, PaymentState } from "./payments.js";

type PaymentDocument = Omit<PaymentRecord, "checkoutId" | "disputes"> & {
  readonly _id: string;
  /** Absent in what was written before disputes were kept. */
  readonly disputes?: PaymentRecord["disputes"];
  readonly createdAt: Date;
  readonly updatedAt: Date;
};

/** A record with the times that its document has. */
export interface ListedRecord {
  readonly record: PaymentRecord;
  readonly createdAtMs: number;
  readonly changedAtMs: number;
}
export interface Listing {
  readonly changedSinceMs?: number;
  readonly changedBeforeMs?: number;
  /** Empty: all. */
  readonly states: readonly PaymentState[];
  readonly after?: { readonly changedAtMs: number; readonly checkoutId: string };
  readonly limit: number;
}

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

/** Every method throws UNAVAILABLE while MongoDB does not answer. */
export interface Store {
  read(checkoutId: string): Promise<PaymentRecord | undefined>;
  readByIntent(intentId: string): Promise<PaymentRecord | undefined>;
  readByIntents(intentIds: readonly string[]): Promise<readonly PaymentRecord[]>;
  /** Without tombstones. */
  find(checkoutIds: readonly string[]): Promise<readonly ListedRecord[]>;
  /** In order of the last change; without tombstones. */
  list(asked: Listing): Promise<readonly ListedRecord[]>;
  /** false: there is one already. */
  insert(record: PaymentRecord): Promise<boolean>;
  /** Writes the record as the version after its own; undefined: that version had been overtaken, and nothing was written. */
  replace(record: PaymentRecord): Promise<PaymentRecord | undefined>;
  readWebhook(stripeEventId: string): Promise<WebhookEntry | undefined>;
  /** false: it was noted already. */
  noteWebhook(entry: WebhookEntry): Promise<boolean>;
  /** Makes the indexes; again and again without harm. */
  prepare(): Promise<void>;
  ping(): Promise<void>;
  close(): Promise<void>;
}

export interface StoreSettings extends Pick<DatabaseSettings, "uri" | "database"> {
  readonly webhookMemoryDays: number;
}

export function openStore({ webhookMemoryDays, ...settings }: StoreSettings): Store {
  const { db, asked, ping, close } = openDatabase({
    appName: "onsale-payment",
    what: "The payment records",
    ...settings,
  });
  const payments = db.collection<PaymentDocument>("payments");
  const webhooks = db.collection<WebhookDocument>("webhooks");

  /** False: there is one already. */
  const unlessThere = (insert: () => Promise<unknown>): Promise<boolean> =>
    asked(async () => {
      try {
        await insert();
        return true;
      } catch (error) {
        if (isDuplicateKey(error)) return false;
        throw error;
      }
    });

  return {
    async read(checkoutId) {
      return fromDocument(await asked(() => payments.findOne({ _id: checkoutId })));
    },
    async readByIntent(intentId) {
      return fromDocument(await asked(() => payments.findOne({ intentId })));
    },
    async readByIntents(intentIds) {
      const found = await asked(() => payments.find({ intentId: { $in: [...intentIds] } }).toArray());
      return found.map(recordOf);
    },
    async find(checkoutIds) {
      const filter = { _id: { $in: [...checkoutIds] }, creation: { $exists: true } };
      return (await asked(() => payments.find(filter).toArray())).map(listed);
    },
    async list({ changedSinceMs, changedBeforeMs, states, after, limit }) {
      const from = Math.max(changedSinceMs ?? 0, after?.changedAtMs ?? 0);
      const found = await asked(() =>
        payments
          .find({
            creation: { $exists: true },
            updatedAt: {
              $gte: new Date(from),
              ...(changedBeforeMs !== undefined && { $lt: new Date(changedBeforeMs) }),
            },
            ...(states.length > 0 && { state: { $in: [...states] } }),
            ...(after && {
              $or: [
                { updatedAt: { $gt: new Date(after.changedAtMs) } },
                { updatedAt: new Date(after.changedAtMs), _id: { $gt: after.checkoutId } },
              ],
            }),
          })
          .sort({ updatedAt: 1, _id: 1 })
          .limit(limit)
          .toArray(),
      );
      return found.map(listed);
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
    prepare: () =>
      asked(async () => {
        // One intent belongs to one checkout; and webhooks about charges and refunds name the intent only.
        await payments.createIndex(
          { intentId: 1 },
          { unique: true, partialFilterExpression: { intentId: { $exists: true } } },
        );
        await payments.createIndex({ updatedAt: 1, _id: 1 });
        await webhooks.createIndex({ expiresAt: 1 }, { expireAfterSeconds: 0 });
      }),
    ping,
    close,
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

const fromDocument = (document: PaymentDocument | null): PaymentRecord | undefined =>
  document ? recordOf(document) : undefined;

const listed = (document: PaymentDocument): ListedRecord => ({
  record: recordOf(document),
  createdAtMs: document.createdAt.getTime(),
  changedAtMs: document.updatedAt.getTime(),
});

function recordOf(document: PaymentDocument): PaymentRecord {
  const { _id, createdAt: _created, updatedAt: _updated, disputes = [], ...rest } = document;
  return { checkoutId: _id, ...rest, disputes };
}
