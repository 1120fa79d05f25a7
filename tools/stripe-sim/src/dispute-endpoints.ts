// The endpoints of disputes.
import { giveDisputeEvidence } from "./dispute-desk.js";
import { type Endpoint, expand, list, paging, within } from "./endpoint.js";
import { invalidRequest, noSuch } from "./failures.js";
import { fields, metadata, readFields, text, textOrUnset, timeRange, unset, yesOrNo } from "./params.js";

/** Files are not here, and neither is what only some networks' own programmes take. */
export const evidenceFields = [
  "access_activity_log",
  "billing_address",
  "cancellation_policy_disclosure",
  "cancellation_rebuttal",
  "customer_email_address",
  "customer_name",
  "customer_purchase_ip",
  "duplicate_charge_explanation",
  "duplicate_charge_id",
  "product_description",
  "refund_policy_disclosure",
  "refund_refusal_explanation",
  "service_date",
  "shipping_address",
  "shipping_carrier",
  "shipping_date",
  "shipping_tracking_number",
  "uncategorized_text",
] as const;
const evidenceText = textOrUnset(20_000);
const readEvidence = fields(Object.fromEntries(evidenceFields.map((name) => [name, evidenceText])));
/** https://docs.stripe.com/api/disputes/update */
const longestEvidence = 150_000;

export const getDispute: Endpoint = {
  method: "GET",
  template: "/v1/disputes/:id",
  read({ id, params }) {
    readFields({ expand }, params);
    return (call) => {
      const dispute = call.draft.get("disputes", id);
      if (dispute === undefined) throw noSuch("dispute", id, "id");
      return { object: call.renderer.dispute(dispute) };
    };
  },
};

export const updateDispute: Endpoint = {
  method: "POST",
  template: "/v1/disputes/:id",
  read({ id, params }) {
    const given = readFields({ evidence: readEvidence, expand, metadata, submit: yesOrNo }, params);
    const evidence = Object.entries(given.evidence ?? {}).filter(
      (entry): entry is [string, string | typeof unset] => entry[1] !== undefined,
    );
    if (evidence.reduce((sum, [, value]) => sum + (value === unset ? 0 : value.length), 0) > longestEvidence)
      throw invalidRequest(`Evidence can have up to ${longestEvidence} characters in all.`, { param: "evidence" });
    return (call) =>
      giveDisputeEvidence(call, id, {
        evidence,
        metadata: given.metadata,
        submit: given.submit ?? given.evidence !== undefined,
      });
  },
};

export const listDisputes: Endpoint = {
  method: "GET",
  template: "/v1/disputes",
  read({ params }) {
    const given = readFields({ ...paging, charge: text(500), created: timeRange, payment_intent: text(500) }, params);
    return (call) =>
      list(given, {
        url: "/v1/disputes",
        kind: "dispute",
        rows: call.books.tables.disputes.values(),
        keep: (dispute) =>
          within(given.created, dispute.created) &&
          (given.charge === undefined || dispute.chargeId === given.charge) &&
          (given.payment_intent === undefined || dispute.paymentId === given.payment_intent),
        render: call.renderer.dispute,
      });
  },
};
