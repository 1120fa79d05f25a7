// The endpoints of payment intents.
import { checkAmount, currency } from "./amounts.js";
import { type Endpoint, expand, list, paging, present, within } from "./endpoint.js";
import { invalidRequest, noSuchReference } from "./failures.js";
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
  text,
  textOrUnset,
  timeRange,
  unset,
  yesOrNo,
} from "./params.js";
import {
  cancelNamed,
  captureNamed,
  confirmNamed,
  createPayment,
  type MethodChoice,
  type PaymentChange,
  paymentNamed,
  updatePayment,
} from "./payment-desk.js";
import { methodFields, newMethod } from "./payment-method-endpoints.js";
import { matchesSearch, parseSearch } from "./search.js";

export const url: Reader<string | undefined> = (value, name) => {
  const given = text(2048)(value, name);
  if (given === undefined) return undefined;
  if (URL.canParse(given) && !/^(?:javascript|data|file):/i.test(given)) return given;
  throw invalidRequest("Not a valid URL", { code: "url_invalid", param: name });
};

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

export const createPaymentIntent: Endpoint = {
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

export const updatePaymentIntent: Endpoint = {
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

export const confirmPaymentIntent: Endpoint = {
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

export const capturePaymentIntent: Endpoint = {
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

export const cancelPaymentIntent: Endpoint = {
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

export const getPaymentIntent: Endpoint = {
  method: "GET",
  template: "/v1/payment_intents/:id",
  read({ id, params }) {
    readFields({ expand }, params);
    return (call) => ({ object: call.renderer.payment(paymentNamed(call, id), call.draft) });
  },
};

export const listPaymentIntents: Endpoint = {
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

export const searchPaymentIntents: Endpoint = {
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
