// The endpoints of what belongs to the account: its events, itself, its balance.
import { withheld } from "./disputes.js";
import { type Endpoint, expand, list, paging, within } from "./endpoint.js";
import { noSuch } from "./failures.js";
import { renderEvent } from "./objects.js";
import { listOf, readFields, text, timeRange, yesOrNo } from "./params.js";

export const getEvent: Endpoint = {
  method: "GET",
  template: "/v1/events/:id",
  read({ id, params }) {
    readFields({ expand }, params);
    return (call) => {
      const event = call.draft.get("events", id);
      if (event === undefined) throw noSuch("event", id, "id");
      return { object: renderEvent(event, call.books.pendingDeliveriesOf(id)) };
    };
  },
};

export const listEvents: Endpoint = {
  method: "GET",
  template: "/v1/events",
  read({ params }) {
    const given = readFields(
      { ...paging, created: timeRange, delivery_success: yesOrNo, type: text(100), types: listOf(text(100), 20) },
      params,
    );
    const wanted = given.types ?? (given.type === undefined ? undefined : [given.type]);
    const fits = (type: string) =>
      wanted?.some((one) => one === type || (one.endsWith(".*") && type.startsWith(one.slice(0, -1)))) ?? true;
    return (call) =>
      list(given, {
        url: "/v1/events",
        kind: "event",
        rows: call.books.tables.events.values(),
        keep: (event) =>
          within(given.created, event.created) &&
          fits(event.type) &&
          (given.delivery_success === undefined ||
            given.delivery_success === (call.books.pendingDeliveriesOf(event.id) === 0)),
        render: (event) => renderEvent(event, call.books.pendingDeliveriesOf(event.id)),
      });
  },
};

/** The one account there is; every secret test key opens it. */
export const accountId = "acct_1StripeSimOnsale";

export const getAccount: Endpoint = {
  method: "GET",
  template: "/v1/account",
  read({ params }) {
    readFields({ expand }, params);
    return () => ({
      object: {
        id: accountId,
        object: "account",
        business_profile: null,
        business_type: "company",
        capabilities: { card_payments: "active", transfers: "active" },
        charges_enabled: true,
        country: "DE",
        default_currency: "eur",
        details_submitted: true,
        email: null,
        payouts_enabled: true,
        settings: { dashboard: { display_name: "stripe-sim", timezone: "Etc/UTC" } },
        type: "standard",
      },
    });
  },
};

export const getBalance: Endpoint = {
  method: "GET",
  template: "/v1/balance",
  read({ params }) {
    readFields({ expand }, params);
    return ({ books }) => {
      const sums = new Map<string, number>();
      for (const charge of books.tables.charges.values())
        if (charge.captured)
          sums.set(charge.currency, (sums.get(charge.currency) ?? 0) + charge.amountCaptured - charge.amountRefunded);
      for (const dispute of books.tables.disputes.values())
        sums.set(dispute.currency, (sums.get(dispute.currency) ?? 0) - withheld(dispute));
      const funds = [...sums].map(([inCurrency, amount]) => ({
        amount,
        currency: inCurrency,
        source_types: { card: amount },
      }));
      const none = funds.map((fund) => ({ ...fund, amount: 0, source_types: { card: 0 } }));
      return { object: { object: "balance", available: none, livemode: false, pending: funds } };
    };
  },
};
