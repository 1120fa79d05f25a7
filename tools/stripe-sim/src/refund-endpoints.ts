// The endpoints of refunds, and of the charges that they give back.
import { type Endpoint, expand, list, paging, present, within } from "./endpoint.js";
import { invalidRequest, noSuch } from "./failures.js";
import { changedMetadata, integer, metadata, oneOf, readFields, text, timeRange } from "./params.js";
import { cancelRefundNamed, createRefund } from "./payment-desk.js";

export const createRefundEndpoint: Endpoint = {
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

export const getRefund: Endpoint = {
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

export const updateRefund: Endpoint = {
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

export const cancelRefund: Endpoint = {
  method: "POST",
  template: "/v1/refunds/:id/cancel",
  read({ id, params }) {
    readFields({ expand }, params);
    return (call) => cancelRefundNamed(call, id);
  },
};

export const listRefunds: Endpoint = {
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

export const getCharge: Endpoint = {
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

export const listCharges: Endpoint = {
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
