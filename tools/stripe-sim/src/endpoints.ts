// The endpoints: which URLs there are. What each takes and does is beside its resource; nothing else is answered.
// Source of parameters: the types of the official client, and https://docs.stripe.com/api
import { getAccount, getBalance, getEvent, listEvents } from "./account-endpoints.js";
import { getDispute, listDisputes, updateDispute } from "./dispute-endpoints.js";
import { type Endpoint, expand } from "./endpoint.js";
import type { FormTree } from "./form.js";
import {
  cancelPaymentIntent,
  capturePaymentIntent,
  confirmPaymentIntent,
  createPaymentIntent,
  getPaymentIntent,
  listPaymentIntents,
  searchPaymentIntents,
  updatePaymentIntent,
} from "./payment-intent-endpoints.js";
import { createPaymentMethod, getPaymentMethod, listPaymentMethods } from "./payment-method-endpoints.js";
import {
  cancelRefund,
  createRefundEndpoint,
  getCharge,
  getRefund,
  listCharges,
  listRefunds,
  updateRefund,
} from "./refund-endpoints.js";

export interface Route {
  readonly endpoint: Endpoint;
  readonly id: string;
}

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
  cancelRefund,
  listDisputes,
  getDispute,
  updateDispute,
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
