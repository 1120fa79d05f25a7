// Payments and webhook deliveries in MongoDB: one document a checkout, replaced as a whole by whoever read its last version.
import { type DatabaseSettings, isDuplicateKey, openDatabase } from "@onsale/kit/mongodb";
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

/** Every method throws UNAVAILABLE while MongoDB does not answer. */
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

function fromDocument(document: PaymentDocument | null): PaymentRecord | undefined {
  if (!document) return undefined;
  const { _id, createdAt: _created, updatedAt: _updated, ...rest } = document;
  return { checkoutId: _id, ...rest };
}
