// A change in the making: what one request reads and writes, applied to the books whole or not at all.
import type { Stripe } from "stripe";
import type { Books, Entry, Rows, StoredEvent, TableName } from "./books.js";
import { pack } from "./books.js";
import type { Lookup, Renderer } from "./objects.js";

export interface Draft extends Lookup {
  put<Table extends TableName>(table: Table, row: Rows[Table]): void;
  /** Records an event about an object as the draft has it now. */
  emit(type: Stripe.Event.Type, objectId: string, previous?: object): void;
  readonly events: readonly StoredEvent[];
  /** Everything put and emitted. */
  entry(): Entry;
}

export interface DraftOptions {
  readonly books: Books;
  readonly renderer: Renderer;
  readonly newId: (prefix: string) => string;
  /** Milliseconds. */
  readonly now: number;
  /** The request that causes the events; undefined: nobody asked (a page, a clock). */
  readonly request: { readonly id: string; readonly idempotencyKey: string | undefined } | undefined;
}

export function openDraft({ books, renderer, newId, now, request }: DraftOptions): Draft {
  const changed = new Map<TableName, Map<string, Rows[TableName]>>();
  const events: StoredEvent[] = [];

  function rows<Table extends TableName>(table: Table): Map<string, Rows[Table]> {
    let map = changed.get(table);
    if (map === undefined) {
      map = new Map();
      changed.set(table, map);
    }
    return map as Map<string, Rows[Table]>;
  }

  const draft: Draft = {
    get: (table, id) => rows(table).get(id) ?? books.tables[table].get(id),
    refundsOf(chargeId) {
      const known = books.refundsOf(chargeId);
      const made = [...rows("refunds").values()].filter((refund) => refund.chargeId === chargeId);
      const ids = new Set([...known, ...made].map(({ id }) => id));
      return [...ids].flatMap((id) => draft.get("refunds", id) ?? []);
    },
    put: (table, row) => void rows(table).set(row.id, row),
    emit(type, objectId, previous) {
      const event = {
        id: newId("evt"),
        object: "event",
        api_version: renderer.apiVersion,
        created: Math.floor(now / 1000),
        data: {
          object: renderer.byId(objectId, draft) ?? {},
          ...(previous === undefined ? {} : { previous_attributes: previous }),
        },
        livemode: false,
        pending_webhooks: 0,
        request: { id: request?.id ?? null, idempotency_key: request?.idempotencyKey ?? null },
        type,
      };
      const stored: StoredEvent = { id: event.id, type, created: event.created, packed: pack(JSON.stringify(event)) };
      events.push(stored);
      rows("events").set(stored.id, stored);
    },
    events,
    entry: () => ({
      put: Object.fromEntries([...changed].map(([table, map]) => [table, [...map.values()]])) as NonNullable<
        Entry["put"]
      >,
    }),
  };
  return draft;
}
