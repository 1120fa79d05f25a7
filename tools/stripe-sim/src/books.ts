// Everything the simulated Stripe remembers, in memory, changed only by whole entries so that a journal can rebuild it.
import { deflateRawSync, inflateRawSync } from "node:zlib";
import type { Method } from "./cards.js";
import type { Dispute } from "./disputes.js";
import type { IdempotencyRecord } from "./idempotency.js";
import type { Charge, Payment } from "./payment-intents.js";
import type { Refund } from "./refunds.js";

export interface StoredEvent {
  readonly id: string;
  readonly type: string;
  /** Seconds. */
  readonly created: number;
  /** The event as Stripe's JSON but for pending_webhooks, packed. */
  readonly packed: string;
}

/** One event still to be delivered to the webhook address. */
export interface Delivery {
  readonly id: string;
  readonly eventId: string;
  /** Attempts made so far. */
  readonly attempts: number;
  /** Milliseconds. */
  readonly dueAt: number;
}

export interface Rows {
  readonly payments: Payment;
  readonly charges: Charge;
  readonly refunds: Refund;
  readonly disputes: Dispute;
  readonly methods: Method;
  readonly events: StoredEvent;
  readonly keys: IdempotencyRecord;
  readonly deliveries: Delivery;
}
export type TableName = keyof Rows;
export const tableNames: readonly TableName[] = [
  "payments",
  "charges",
  "refunds",
  "disputes",
  "methods",
  "events",
  "keys",
  "deliveries",
];

/** One change, whole: rows as they are now, and the ids of rows that are gone. Applying it twice changes nothing. */
export interface Entry {
  readonly put?: { readonly [Table in TableName]?: readonly Rows[Table][] };
  readonly drop?: { readonly [Table in TableName]?: readonly string[] };
}

type Tables = { readonly [Table in TableName]: Map<string, Rows[Table]> };

export interface Books {
  readonly tables: Tables;
  readonly chargesOf: (paymentId: string) => readonly Charge[];
  readonly refundsOf: (chargeId: string) => readonly Refund[];
  readonly disputesOf: (chargeId: string) => readonly Dispute[];
  readonly paymentOfSource: (sourceId: string) => Payment | undefined;
  readonly pendingDeliveriesOf: (eventId: string) => number;
  apply(entry: Entry): void;
  /** All rows as entries, for a new journal; the books may change meanwhile. */
  entries(): Generator<Entry>;
}

export function createBooks(): Books {
  const tables: Tables = {
    payments: new Map(),
    charges: new Map(),
    refunds: new Map(),
    disputes: new Map(),
    methods: new Map(),
    events: new Map(),
    keys: new Map(),
    deliveries: new Map(),
  };
  const chargeIds = new Map<string, Set<string>>();
  const refundIds = new Map<string, Set<string>>();
  const disputeIds = new Map<string, Set<string>>();
  const sources = new Map<string, string>();
  const pending = new Map<string, number>();

  function count(eventId: string, change: number) {
    const now = (pending.get(eventId) ?? 0) + change;
    if (now > 0) pending.set(eventId, now);
    else pending.delete(eventId);
  }

  function put<Table extends TableName>(table: Table, row: Rows[Table]) {
    const rows = tables[table] as Map<string, Rows[Table]>;
    if (table === "charges") link(chargeIds, (row as Charge).paymentId, row.id);
    if (table === "refunds") link(refundIds, (row as Refund).chargeId, row.id);
    if (table === "disputes") link(disputeIds, (row as Dispute).chargeId, row.id);
    if (table === "payments") {
      const { action } = row as Payment;
      if (action !== undefined) sources.set(action.sourceId, row.id);
    }
    if (table === "deliveries" && !rows.has(row.id)) count((row as Delivery).eventId, 1);
    rows.set(row.id, row);
  }

  function drop(table: TableName, id: string) {
    if (table === "deliveries") {
      const delivery = tables.deliveries.get(id);
      if (delivery !== undefined) count(delivery.eventId, -1);
    }
    tables[table].delete(id);
  }

  return {
    tables,
    chargesOf: (paymentId) => [...(chargeIds.get(paymentId) ?? [])].map((id) => tables.charges.get(id)!),
    refundsOf: (chargeId) => [...(refundIds.get(chargeId) ?? [])].map((id) => tables.refunds.get(id)!),
    disputesOf: (chargeId) => [...(disputeIds.get(chargeId) ?? [])].map((id) => tables.disputes.get(id)!),
    paymentOfSource: (sourceId) => tables.payments.get(sources.get(sourceId) ?? ""),
    pendingDeliveriesOf: (eventId) => pending.get(eventId) ?? 0,
    apply(entry) {
      for (const table of tableNames) {
        for (const row of entry.put?.[table] ?? []) put(table, row);
        for (const id of entry.drop?.[table] ?? []) drop(table, id);
      }
    },
    *entries() {
      for (const table of tableNames) for (const row of tables[table].values()) yield { put: { [table]: [row] } };
    },
  };
}

function link(index: Map<string, Set<string>>, from: string, to: string) {
  const ids = index.get(from);
  if (ids === undefined) index.set(from, new Set([to]));
  else ids.add(to);
}

/** A body kept for a day or a month: a quarter of its length, and out of the way of a reader of the journal. */
export function pack(text: string): string {
  return deflateRawSync(text).toString("base64");
}

export function unpack(packed: string): string {
  return inflateRawSync(Buffer.from(packed, "base64")).toString();
}
