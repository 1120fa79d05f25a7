// The endpoints: which URLs there are, which parameters each takes, and what it does. Nothing else is answered.
// Source of parameters: the types of the official client, and https://docs.stripe.com/api
import type { BillingDetails, Method } from "./cards.js";
import { invalidRequest, noSuch, noSuchReference } from "./failures.js";
import type { FormTree } from "./form.js";
import { renderEvent } from "./objects.js";
import {
  changedMetadata,
  fields,
  integer,
  listOf,
  metadata,
  oneOf,
  type Reader,
  readFields,
  required,
  type TimeRange,
  text,
  textOrUnset,
  timeRange,
  unset,
  yesOrNo,
} from "./params.js";
import {
  type Call,
  cancelNamed,
  captureNamed,
  confirmNamed,
  createMethod,
  createPayment,
  createRefund,
  type Done,
  findMethod,
  type MethodChoice,
  type NewMethod,
  type PaymentChange,
  paymentNamed,
  updatePayment,
} from "./payment-desk.js";
import { amountInWords } from "./refunds.js";
import { matchesSearch, parseSearch } from "./search.js";

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

export interface Route {
  readonly endpoint: Endpoint;
  readonly id: string;
}

const maxAmount = 99_999_999;

// https://docs.stripe.com/currencies#presentment-currencies
const currencies = new Set(
  "usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd xof xpf yer zar zmw".split(
    " ",
  ),
);

// https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
const minimums: Readonly<Record<string, number>> = {
  aed: 200,
  aud: 50,
  bgn: 100,
  brl: 50,
  cad: 50,
  chf: 50,
  czk: 1500,
  dkk: 250,
  eur: 50,
  gbp: 30,
  hkd: 400,
  huf: 17500,
  inr: 50,
  jpy: 50,
  mxn: 1000,
  myr: 200,
  nok: 300,
  nzd: 50,
  pln: 200,
  ron: 200,
  sek: 300,
  sgd: 50,
  thb: 1000,
  usd: 50,
};

const expand = listOf(text(200), 20);
const currency: Reader<string | undefined> = (value, name) => {
  const given = text(10)(value, name)?.toLowerCase();
  if (given === undefined || currencies.has(given)) return given;
  throw invalidRequest(
    `Invalid currency: ${given}. Stripe currently supports these currencies: ${[...currencies].join(", ")}`,
    { param: name },
  );
};
const url: Reader<string | undefined> = (value, name) => {
  const given = text(2048)(value, name);
  if (given === undefined) return undefined;
  if (URL.canParse(given) && !/^(?:javascript|data|file):/i.test(given)) return given;
  throw invalidRequest("Not a valid URL", { code: "url_invalid", param: name });
};

function checkAmount(amount: number, inCurrency: string) {
  const minimum = minimums[inCurrency] ?? 1;
  if (amount < minimum)
    throw invalidRequest(`Amount must be at least ${amountInWords(minimum, inCurrency)} ${inCurrency}`, {
      code: "amount_too_small",
      param: "amount",
    });
  if (amount > maxAmount)
    throw invalidRequest(`Amount must be no more than ${amountInWords(maxAmount, inCurrency)}`, {
      code: "amount_too_large",
      param: "amount",
    });
}

const billingDetails = fields({
  email: text(800),
  name: text(5000),
  phone: text(20),
  address: fields({
    city: text(5000),
    country: text(2),
    line1: text(5000),
    line2: text(5000),
    postal_code: text(5000),
    state: text(5000),
  }),
});
const typedCard = fields({
  number: text(40),
  exp_month: integer(),
  exp_year: integer(),
  cvc: text(10),
  token: text(200),
});
const methodFields = {
  type: required(oneOf(["card"])),
  card: required(typedCard),
  billing_details: billingDetails,
  metadata,
} as const;

type GivenCard = NonNullable<ReturnType<typeof typedCard>>;

function newMethod(
  card: GivenCard,
  billing: ReturnType<typeof billingDetails>,
  given: ReturnType<typeof metadata>,
  prefix: string,
): NewMethod {
  const nameOf = (field: string) => (prefix === "" ? `card[${field}]` : `${prefix}[card][${field}]`);
  const { token, number, exp_month, exp_year, cvc } = card;
  const rest = { billing: givenOnly(billing ?? {}) as BillingDetails, metadata: changedMetadata({}, given) };
  if (token !== undefined) return { ...rest, card: { token } };
  return {
    ...rest,
    card: {
      number: required(() => number)(undefined, nameOf("number")),
      expMonth: required(() => exp_month)(undefined, nameOf("exp_month")),
      expYear: required(() => exp_year)(undefined, nameOf("exp_year")),
      ...(cvc === undefined ? {} : { cvc }),
    },
  };
}

/** Without what is undefined, deeply. */
function givenOnly(given: object): object {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    entries.map(([key, value]) => [key, typeof value === "object" && value !== null ? givenOnly(value) : value]),
  );
}

const methodData = fields(methodFields);
const methodOptions = fields({
  card: fields({
    capture_method: oneOf(["manual"]),
    request_three_d_secure: oneOf(["any", "automatic", "challenge"]),
  }),
});
const captureMethod = oneOf(["automatic", "automatic_async", "manual"]);
const setupFutureUsage = oneOf(["off_session", "on_session"]);
const offSession: Reader<boolean | undefined> = (value, name) =>
  value === "one_off" || value === "recurring" ? true : yesOrNo(value, name);

function methodChoice(id: string | undefined, data: ReturnType<typeof methodData>): MethodChoice {
  if (id !== undefined && data !== undefined)
    throw invalidRequest("You may only specify one of these parameters: payment_method, payment_method_data.", {
      code: "parameters_exclusive",
      param: "payment_method",
    });
  if (id !== undefined) return { id };
  if (data === undefined) return undefined;
  return { data: newMethod(data.card, data.billing_details, data.metadata, "payment_method_data") };
}

/** Since this version, payment methods come from the account's settings, restricted by allowed_payment_method_types. */
const typesRemovedSince = "2026-09-30";
const types = listOf(text(50));

/** Answers what restricts the payment to cards; throws for any other kind of method. */
function restrictedTypes(
  {
    allowed_payment_method_types: allowed,
    payment_method_types: old,
  }: { allowed_payment_method_types?: string[] | undefined; payment_method_types?: string[] | undefined },
  version: string,
): readonly string[] | undefined {
  if (old !== undefined && version.slice(0, 10) >= typesRemovedSince)
    throw invalidRequest(
      "The payment_method_types parameter is no longer supported on this API version. Use dynamic payment methods, allowed_payment_method_types or excluded_payment_method_types instead.",
      { code: "payment_method_types_no_longer_supported", param: "payment_method_types" },
    );
  if (old !== undefined && allowed !== undefined)
    throw invalidRequest(
      "You may only specify one of these parameters: payment_method_types, allowed_payment_method_types.",
      { code: "parameters_exclusive", param: "allowed_payment_method_types" },
    );
  const given = old ?? allowed;
  const name = old === undefined ? "allowed_payment_method_types" : "payment_method_types";
  if (given !== undefined && !given.includes("card"))
    throw invalidRequest(
      `The payment method type "${String(given[0]).slice(0, 50)}" is invalid. Please ensure the provided type is activated in your dashboard (https://dashboard.stripe.com/account/payments/settings) and your account is enabled for any preview features that you are trying to use.`,
      { code: "payment_intent_invalid_parameter", param: name },
    );
  return given;
}

const onlyWhenConfirming = ["error_on_requires_action", "off_session", "return_url", "use_stripe_sdk"] as const;

const createPaymentIntent: Endpoint = {
  method: "POST",
  template: "/v1/payment_intents",
  read({ params, version }) {
    const given = readFields(
      {
        amount: required(integer({ min: 1 })),
        currency: required(currency),
        allowed_payment_method_types: types,
        automatic_payment_methods: fields({
          enabled: required(yesOrNo),
          allow_redirects: oneOf(["always", "never"]),
        }),
        capture_method: captureMethod,
        confirm: yesOrNo,
        confirmation_method: oneOf(["automatic"]),
        customer: text(500),
        description: textOrUnset(1000),
        error_on_requires_action: yesOrNo,
        expand,
        metadata,
        off_session: offSession,
        payment_method: text(500),
        payment_method_data: methodData,
        payment_method_options: methodOptions,
        payment_method_types: types,
        receipt_email: textOrUnset(800),
        return_url: url,
        setup_future_usage: setupFutureUsage,
        statement_descriptor: text(22),
        statement_descriptor_suffix: text(22),
        use_stripe_sdk: yesOrNo,
      },
      params,
    );
    checkAmount(given.amount, given.currency);
    if (given.customer !== undefined) throw noSuchReference("customer", given.customer, "customer");
    const allowedTypes = restrictedTypes(given, version);
    const automatic = given.automatic_payment_methods;
    if (allowedTypes !== undefined && automatic !== undefined)
      throw invalidRequest(
        "You may only specify one of these parameters: automatic_payment_methods, allowed_payment_method_types.",
        { code: "parameters_exclusive", param: "automatic_payment_methods" },
      );
    if (given.confirm !== true)
      for (const name of onlyWhenConfirming)
        if (given[name] !== undefined)
          throw invalidRequest(`You may only specify \`${name}\` when \`confirm\` is set to true.`, { param: name });
    const fromSettings = allowedTypes === undefined && automatic?.enabled !== false;
    const method = methodChoice(given.payment_method, given.payment_method_data);
    return (call) =>
      createPayment(call, {
        terms: {
          amount: given.amount,
          currency: given.currency,
          captureMethod:
            given.payment_method_options?.card?.capture_method ?? given.capture_method ?? "automatic_async",
          requestThreeDSecure: given.payment_method_options?.card?.request_three_d_secure ?? "automatic",
          ...(fromSettings ? { automatic: { allowRedirects: automatic?.allow_redirects ?? "always" } } : {}),
          ...(allowedTypes === undefined ? {} : { allowedTypes }),
          ...present("setupFutureUsage", given.setup_future_usage),
          ...present("description", given.description),
          ...present("receiptEmail", given.receipt_email),
          ...present("returnUrl", given.return_url),
          ...present("statementDescriptor", given.statement_descriptor),
          ...present("statementDescriptorSuffix", given.statement_descriptor_suffix),
        },
        metadata: changedMetadata({}, given.metadata),
        method,
        ...(given.confirm === true ? { confirm: confirmOptions(given) } : {}),
      });
  },
};

function present<Name extends string, Value>(name: Name, value: Value | typeof unset | undefined) {
  return (value === undefined || value === unset ? {} : { [name]: value }) as { [Key in Name]?: Value };
}

/** Of an update: what is given changes, what is emptied becomes undefined. */
function changed<Name extends string, Value>(name: Name, value: Value | typeof unset | undefined) {
  return (value === undefined ? {} : { [name]: value === unset ? undefined : value }) as {
    [Key in Name]?: Value | undefined;
  };
}

function confirmOptions(given: {
  off_session: boolean | undefined;
  error_on_requires_action: boolean | undefined;
  use_stripe_sdk: boolean | undefined;
}) {
  return {
    offSession: given.off_session ?? false,
    errorOnRequiresAction: given.error_on_requires_action ?? false,
    useSdk: given.use_stripe_sdk ?? false,
  };
}

const updatePaymentIntent: Endpoint = {
  method: "POST",
  template: "/v1/payment_intents/:id",
  read({ id, params }) {
    const given = readFields(
      {
        amount: integer({ min: 1 }),
        capture_method: captureMethod,
        currency,
        description: textOrUnset(1000),
        expand,
        metadata,
        payment_method: text(500),
        payment_method_data: methodData,
        payment_method_options: methodOptions,
        receipt_email: textOrUnset(800),
        setup_future_usage: setupFutureUsage,
        statement_descriptor: text(22),
        statement_descriptor_suffix: text(22),
      },
      params,
    );
    if (given.amount !== undefined && given.currency !== undefined) checkAmount(given.amount, given.currency);
    const method = methodChoice(given.payment_method, given.payment_method_data);
    const card = given.payment_method_options?.card;
    const change: PaymentChange = {
      ...changed("amount", given.amount),
      ...changed("captureMethod", card?.capture_method ?? given.capture_method),
      ...changed("currency", given.currency),
      ...changed("description", given.description),
      ...changed("receiptEmail", given.receipt_email),
      ...changed("requestThreeDSecure", card?.request_three_d_secure),
      ...changed("setupFutureUsage", given.setup_future_usage),
      ...changed("statementDescriptor", given.statement_descriptor),
      ...changed("statementDescriptorSuffix", given.statement_descriptor_suffix),
    };
    return (call) => {
      const before = paymentNamed(call, id);
      if (given.amount !== undefined || given.currency !== undefined)
        checkAmount(given.amount ?? before.amount, given.currency ?? before.currency);
      return updatePayment(call, id, { change, metadata: given.metadata, method });
    };
  },
};

const confirmPaymentIntent: Endpoint = {
  method: "POST",
  template: "/v1/payment_intents/:id/confirm",
  read({ id, params }) {
    const given = readFields(
      {
        capture_method: captureMethod,
        error_on_requires_action: yesOrNo,
        expand,
        off_session: offSession,
        payment_method: text(500),
        payment_method_data: methodData,
        payment_method_options: methodOptions,
        receipt_email: textOrUnset(800),
        return_url: url,
        setup_future_usage: setupFutureUsage,
        use_stripe_sdk: yesOrNo,
      },
      params,
    );
    const card = given.payment_method_options?.card;
    const method = methodChoice(given.payment_method, given.payment_method_data);
    const change = {
      ...present("captureMethod", card?.capture_method ?? given.capture_method),
      ...present("receiptEmail", given.receipt_email),
      ...present("requestThreeDSecure", card?.request_three_d_secure),
      ...present("returnUrl", given.return_url),
      ...present("setupFutureUsage", given.setup_future_usage),
    };
    return (call) => confirmNamed(call, id, { change, method, options: confirmOptions(given) });
  },
};

const capturePaymentIntent: Endpoint = {
  method: "POST",
  template: "/v1/payment_intents/:id/capture",
  read({ id, params }) {
    const given = readFields(
      {
        amount_to_capture: integer({ min: 1 }),
        expand,
        final_capture: yesOrNo,
        metadata,
        statement_descriptor: text(22),
        statement_descriptor_suffix: text(22),
      },
      params,
    );
    if (given.final_capture === false)
      throw invalidRequest("This PaymentIntent can be captured once only: multicapture is not available.", {
        param: "final_capture",
      });
    return (call) => captureNamed(call, id, { amount: given.amount_to_capture, metadata: given.metadata });
  },
};

const cancelPaymentIntent: Endpoint = {
  method: "POST",
  template: "/v1/payment_intents/:id/cancel",
  read({ id, params }) {
    const given = readFields(
      {
        cancellation_reason: oneOf(["abandoned", "duplicate", "fraudulent", "requested_by_customer"]),
        expand,
      },
      params,
    );
    return (call) => cancelNamed(call, id, given.cancellation_reason);
  },
};

const getPaymentIntent: Endpoint = {
  method: "GET",
  template: "/v1/payment_intents/:id",
  read({ id, params }) {
    readFields({ expand }, params);
    return (call) => ({ object: call.renderer.payment(paymentNamed(call, id), call.draft) });
  },
};

const paging = {
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
function list<Row extends { readonly id: string }>(page: Page, listing: Listing<Row>): Done {
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

function within(range: TimeRange | undefined, created: number): boolean {
  return created >= (range?.from ?? 0) && created <= (range?.to ?? Number.POSITIVE_INFINITY);
}

const listPaymentIntents: Endpoint = {
  method: "GET",
  template: "/v1/payment_intents",
  read({ params }) {
    const given = readFields({ ...paging, created: timeRange, customer: text(500) }, params);
    return (call) =>
      list(given, {
        url: "/v1/payment_intents",
        kind: "payment_intent",
        rows: call.books.tables.payments.values(),
        keep: (payment) => given.customer === undefined && within(given.created, payment.created),
        render: (payment) => call.renderer.payment(payment, call.draft),
      });
  },
};

const searchPaymentIntents: Endpoint = {
  method: "GET",
  template: "/v1/payment_intents/search",
  read({ params }) {
    const given = readFields(
      { expand, limit: integer({ min: 1, max: 100 }), page: text(200), query: required(text(2000)) },
      params,
    );
    const query = parseSearch(given.query);
    const limit = given.limit ?? 10;
    const skip = given.page === undefined ? 0 : readPage(given.page);
    return (call) => {
      const seenUntil = call.now - call.searchLagMs;
      const found = [...call.books.tables.payments.values()]
        .reverse()
        .filter((payment) => payment.changedAt <= seenUntil && matchesSearch(query, payment));
      const more = found.length > skip + limit;
      return {
        object: {
          object: "search_result",
          data: found.slice(skip, skip + limit).map((payment) => call.renderer.payment(payment, call.draft)),
          has_more: more,
          next_page: more ? Buffer.from(`skip:${skip + limit}`).toString("base64url") : null,
          url: "/v1/payment_intents/search",
        },
      };
    };
  },
};

function readPage(page: string): number {
  const skip = /^skip:(\d{1,9})$/.exec(Buffer.from(page, "base64url").toString())?.[1];
  if (skip === undefined)
    throw invalidRequest("Invalid page: use the next_page of an earlier answer.", { param: "page" });
  return Number(skip);
}

const createRefundEndpoint: Endpoint = {
  method: "POST",
  template: "/v1/refunds",
  read({ params }) {
    const given = readFields(
      {
        amount: integer({ min: 1 }),
        charge: text(500),
        expand,
        metadata,
        payment_intent: text(500),
        reason: oneOf(["duplicate", "fraudulent", "requested_by_customer"]),
      },
      params,
    );
    if ((given.charge === undefined) === (given.payment_intent === undefined))
      throw invalidRequest(
        given.charge === undefined
          ? "One of the following params should be provided for this request: payment_intent or charge."
          : "You may only specify one of these parameters: charge, payment_intent.",
        given.charge === undefined
          ? { code: "parameter_missing", param: "payment_intent" }
          : { code: "parameters_exclusive", param: "charge" },
      );
    return (call) =>
      createRefund(call, {
        of: given.charge === undefined ? { paymentId: given.payment_intent! } : { chargeId: given.charge },
        ...present("amount", given.amount),
        ...present("reason", given.reason),
        metadata: changedMetadata({}, given.metadata),
      });
  },
};

const getRefund: Endpoint = {
  method: "GET",
  template: "/v1/refunds/:id",
  read({ id, params }) {
    readFields({ expand }, params);
    return (call) => {
      const refund = call.draft.get("refunds", id);
      if (refund === undefined) throw noSuch("refund", id, "id");
      return { object: call.renderer.refund(refund) };
    };
  },
};

const updateRefund: Endpoint = {
  method: "POST",
  template: "/v1/refunds/:id",
  read({ id, params }) {
    const given = readFields({ expand, metadata }, params);
    return (call) => {
      const before = call.draft.get("refunds", id);
      if (before === undefined) throw noSuch("refund", id, "id");
      const refund = { ...before, metadata: changedMetadata(before.metadata, given.metadata) };
      call.draft.put("refunds", refund);
      call.draft.emit("refund.updated", id, { metadata: before.metadata });
      return { object: call.renderer.refund(refund) };
    };
  },
};

const listRefunds: Endpoint = {
  method: "GET",
  template: "/v1/refunds",
  read({ params }) {
    const given = readFields({ ...paging, charge: text(500), created: timeRange, payment_intent: text(500) }, params);
    return (call) =>
      list(given, {
        url: "/v1/refunds",
        kind: "refund",
        rows: call.books.tables.refunds.values(),
        keep: (refund) =>
          within(given.created, refund.created) &&
          (given.charge === undefined || refund.chargeId === given.charge) &&
          (given.payment_intent === undefined || refund.paymentId === given.payment_intent),
        render: call.renderer.refund,
      });
  },
};

const getCharge: Endpoint = {
  method: "GET",
  template: "/v1/charges/:id",
  read({ id, params }) {
    readFields({ expand }, params);
    return (call) => {
      const charge = call.draft.get("charges", id);
      if (charge === undefined) throw noSuch("charge", id, "id");
      return { object: call.renderer.charge(charge) };
    };
  },
};

const listCharges: Endpoint = {
  method: "GET",
  template: "/v1/charges",
  read({ params }) {
    const given = readFields({ ...paging, created: timeRange, payment_intent: text(500) }, params);
    return (call) =>
      list(given, {
        url: "/v1/charges",
        kind: "charge",
        rows: call.books.tables.charges.values(),
        keep: (charge) =>
          within(given.created, charge.created) &&
          (given.payment_intent === undefined || charge.paymentId === given.payment_intent),
        render: call.renderer.charge,
      });
  },
};

const createPaymentMethod: Endpoint = {
  method: "POST",
  template: "/v1/payment_methods",
  read({ params }) {
    const given = readFields({ ...methodFields, expand }, params);
    const order = newMethod(given.card, given.billing_details, given.metadata, "");
    return (call) => ({ object: call.renderer.method(createMethod(call, order)) });
  },
};

const getPaymentMethod: Endpoint = {
  method: "GET",
  template: "/v1/payment_methods/:id",
  read({ id, params }) {
    readFields({ expand }, params);
    return (call) => {
      const method = findMethod(call, id);
      if (method === undefined) throw noSuch("PaymentMethod", id, "payment_method");
      return { object: call.renderer.method(method) };
    };
  },
};

const listPaymentMethods: Endpoint = {
  method: "GET",
  template: "/v1/payment_methods",
  read({ params }) {
    const given = readFields({ ...paging, type: oneOf(["card"]) }, params);
    return (call) =>
      list<Method>(given, {
        url: "/v1/payment_methods",
        kind: "PaymentMethod",
        rows: call.books.tables.methods.values(),
        keep: () => true,
        render: call.renderer.method,
      });
  },
};

const getEvent: Endpoint = {
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

const listEvents: Endpoint = {
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

const getAccount: Endpoint = {
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

const getBalance: Endpoint = {
  method: "GET",
  template: "/v1/balance",
  read({ params }) {
    readFields({ expand }, params);
    return ({ books }) => {
      const sums = new Map<string, number>();
      for (const charge of books.tables.charges.values())
        if (charge.captured)
          sums.set(charge.currency, (sums.get(charge.currency) ?? 0) + charge.amountCaptured - charge.amountRefunded);
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

const endpoints: readonly Endpoint[] = [
  createPaymentIntent,
  listPaymentIntents,
  searchPaymentIntents,
  getPaymentIntent,
  updatePaymentIntent,
  confirmPaymentIntent,
  capturePaymentIntent,
  cancelPaymentIntent,
  createRefundEndpoint,
  listRefunds,
  getRefund,
  updateRefund,
  getCharge,
  listCharges,
  createPaymentMethod,
  listPaymentMethods,
  getPaymentMethod,
  listEvents,
  getEvent,
  getAccount,
  getBalance,
];

const patterns = endpoints.map((endpoint) => ({
  endpoint,
  pattern: new RegExp(`^${endpoint.template.replace(":id", "([A-Za-z0-9_]{1,255})")}$`),
}));

/** The first that fits: /search comes before /:id. */
export function findRoute(method: string, path: string): Route | undefined {
  for (const { endpoint, pattern } of patterns) {
    const found = endpoint.method === method ? pattern.exec(path) : null;
    if (found !== null) return { endpoint, id: found[1] ?? "" };
  }
  return undefined;
}

/** Parameters that the pipeline reads by itself. */
export function expandPathsOf(params: FormTree): readonly string[] {
  return expand(params["expand"], "expand") ?? [];
}
