// The endpoints of payment methods, and cards as requests give them.
import type { BillingDetails, Method } from "./cards.js";
import { type Endpoint, expand, list, paging } from "./endpoint.js";
import { noSuch } from "./failures.js";
import { changedMetadata, fields, integer, metadata, oneOf, readFields, required, text } from "./params.js";
import { createMethod, findMethod, type NewMethod } from "./payment-desk.js";

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
export const methodFields = {
  type: required(oneOf(["card"])),
  card: required(typedCard),
  billing_details: billingDetails,
  metadata,
} as const;

type GivenCard = NonNullable<ReturnType<typeof typedCard>>;

export function newMethod(
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

export const createPaymentMethod: Endpoint = {
  method: "POST",
  template: "/v1/payment_methods",
  read({ params }) {
    const given = readFields({ ...methodFields, expand }, params);
    const order = newMethod(given.card, given.billing_details, given.metadata, "");
    return (call) => ({ object: call.renderer.method(createMethod(call, order)) });
  },
};

export const getPaymentMethod: Endpoint = {
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

export const listPaymentMethods: Endpoint = {
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
