// What an endpoint is, and what many of them share: expanding, optional fields, lists in pages.
import { invalidRequest, noSuchReference } from "./failures.js";
import type { FormTree } from "./form.js";
import { integer, listOf, type TimeRange, text, unset } from "./params.js";
import type { Call, Done } from "./payment-desk.js";

/** Executes a request whose parameters are valid. */
export type Execute = (call: Call) => Done;

export interface Reading {
  readonly id: string;
  readonly params: FormTree;
  /** As asked for by Stripe-Version, a date and perhaps a name. */
  readonly version: string;
}

export interface Endpoint {
  readonly method: "GET" | "POST";
  /** As /v1/payment_intents/:id/confirm; also the name that rates are counted by. */
  readonly template: string;
  /** Throws a StripeFailure for parameters that won't do. */
  readonly read: (reading: Reading) => Execute;
}

export const expand = listOf(text(200), 20);

export function present<Name extends string, Value>(name: Name, value: Value | typeof unset | undefined) {
  return (value === undefined || value === unset ? {} : { [name]: value }) as { [Key in Name]?: Value };
}

export const paging = {
  ending_before: text(500),
  expand,
  limit: integer({ min: 1, max: 100 }),
  starting_after: text(500),
} as const;

interface Page {
  readonly ending_before: string | undefined;
  readonly limit: number | undefined;
  readonly starting_after: string | undefined;
}

interface Listing<Row> {
  readonly url: string;
  readonly kind: string;
  readonly rows: Iterable<Row>;
  readonly keep: (row: Row) => boolean;
  readonly render: (row: Row) => object;
}

/** Newest first, https://docs.stripe.com/api/pagination */
export function list<Row extends { readonly id: string }>(page: Page, listing: Listing<Row>): Done {
  const { ending_before: before, starting_after: after, limit = 10 } = page;
  if (before !== undefined && after !== undefined)
    throw invalidRequest("You may only specify one of these parameters: ending_before, starting_after.", {
      code: "parameters_exclusive",
      param: "ending_before",
    });
  const rows = [...listing.rows].reverse();
  const at = (cursor: string, name: string) => {
    const index = rows.findIndex((row) => row.id === cursor);
    if (index < 0) throw noSuchReference(listing.kind, cursor, name);
    return index;
  };
  let kept: Row[];
  let more: boolean;
  if (before === undefined) {
    const fitting = rows.slice(after === undefined ? 0 : at(after, "starting_after") + 1).filter(listing.keep);
    kept = fitting.slice(0, limit);
    more = fitting.length > limit;
  } else {
    const fitting = rows.slice(0, at(before, "ending_before")).filter(listing.keep);
    kept = fitting.slice(-limit);
    more = fitting.length > limit;
  }
  return { object: { object: "list", data: kept.map(listing.render), has_more: more, url: listing.url } };
}

export function within(range: TimeRange | undefined, created: number): boolean {
  return created >= (range?.from ?? 0) && created <= (range?.to ?? Number.POSITIVE_INFINITY);
}
