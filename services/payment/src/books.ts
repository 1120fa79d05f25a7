// The payments as our records have them, and as Stripe has them, page by page: for whoever compares the two.
import { DomainError } from "@onsale/kit/errors";
import { outcomeUnknown } from "./ledger.js";
import type { IntentSnapshot, PaymentRecord, PaymentState } from "./payments.js";
import type { ListedRecord, Store } from "./store.js";
import type { StripeApi } from "./stripe.js";

export interface ChangedPayments {
  readonly changedSinceMs?: number;
  readonly changedBeforeMs?: number;
  /** Empty: all. */
  readonly states: readonly PaymentState[];
  /** Where the page before this one ended. */
  readonly cursor: string;
  readonly limit: number;
}

export interface MadeAtStripe {
  readonly createdSinceMs?: number;
  readonly createdBeforeMs?: number;
  readonly cursor: string;
  readonly limit: number;
}

/** An empty cursor: there is no more. */
export interface Page<Row> {
  readonly rows: readonly Row[];
  readonly nextCursor: string;
}

export interface StripePaymentRow {
  readonly intent: IntentSnapshot & { readonly createdAtMs: number };
  /** undefined: we have none for this intent. */
  readonly record: PaymentRecord | undefined;
}

export interface Books {
  ours(asked: ChangedPayments): Promise<Page<ListedRecord>>;
  atStripe(asked: MadeAtStripe, deadlineMs: number): Promise<Page<StripePaymentRow>>;
}

export function createBooks({ store, stripe }: { readonly store: Store; readonly stripe: StripeApi }): Books {
  return {
    async ours({ cursor, limit, ...filter }) {
      // One more than asked for tells whether there is more.
      const found = await store.list({ ...filter, limit: limit + 1, ...(cursor && { after: readPosition(cursor) }) });
      const rows = found.slice(0, limit);
      const last = found.length > limit ? rows.at(-1) : undefined;
      return { rows, nextCursor: last ? positionAfter(last) : "" };
    },

    async atStripe({ createdSinceMs, createdBeforeMs, cursor, limit }, deadlineMs) {
      if (cursor && !/^pi_[A-Za-z0-9_]{1,200}$/.test(cursor)) throw notACursor();
      const page = await stripe.listIntents(
        {
          ...(createdSinceMs !== undefined && { fromMs: createdSinceMs }),
          ...(createdBeforeMs !== undefined && { beforeMs: createdBeforeMs }),
        },
        { limit, ...(cursor && { after: cursor }) },
        { lane: "new", deadlineMs },
      );
      if (!page.ok) {
        if (page.reason === "unknown") throw outcomeUnknown(page);
        if (page.reason === "refused" && page.param === "starting_after") throw notACursor();
        throw new Error(`Stripe refused to list intents: ${page.reason}`);
      }
      const { intents, isLast } = page.value;
      const records = await store.readByIntents(intents.map(({ intentId }) => intentId));
      const byIntent = new Map(records.map((record) => [record.intentId, record]));
      return {
        rows: intents.map((intent) => ({ intent, record: byIntent.get(intent.intentId) })),
        nextCursor: isLast ? "" : (intents.at(-1)?.intentId ?? ""),
      };
    },
  };
}

const positionAfter = ({ changedAtMs, record }: ListedRecord): string =>
  Buffer.from(`${changedAtMs}.${record.checkoutId}`).toString("base64url");

function readPosition(cursor: string): { readonly changedAtMs: number; readonly checkoutId: string } {
  const [, changedAtMs, checkoutId] =
    /^(\d{1,15})\.([A-Za-z0-9_-]{1,100})$/.exec(Buffer.from(cursor, "base64url").toString()) ?? [];
  if (changedAtMs === undefined || checkoutId === undefined) throw notACursor();
  return { changedAtMs: Number(changedAtMs), checkoutId };
}

const notACursor = (): DomainError =>
  new DomainError(
    "REQUEST_INVALID",
    "The cursor is not one of ours. Take nextCursor from the page before, or begin anew.",
  );
