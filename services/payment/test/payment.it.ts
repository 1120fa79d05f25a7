// The payment service as its callers see it, over gRPC, against stripe-sim, MongoDB and Valkey.
import { PaymentStatus } from "@onsale/proto/payment/v1/payment";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  newCheckoutId,
  newDatabase,
  orderFor,
  type PaymentClient,
  type PaymentInstance,
  refusalOf,
  type Simulator,
  startPaymentService,
  startSimulator,
  until,
  withMongo,
} from "./harness.js";
import { readLedger } from "./ledger-of-sim.js";

let simulator: Simulator;
let service: PaymentInstance;
let payments: PaymentClient;
const database = newDatabase();

beforeAll(async () => {
  simulator = await startSimulator({ SIM_REFUND_SETTLE_MS: "2000" });
  service = await startPaymentService({ stripeUrl: simulator.url, database });
  payments = service.client;
  await until(() => service.ready());
});
afterAll(async () => {
  await service?.stop();
  await simulator?.stop();
  await withMongo((client) => client.db(database).dropDatabase());
});

async function authorized(more: object = {}): Promise<string> {
  const checkoutId = newCheckoutId();
  const { payment } = await payments.authorize(orderFor(checkoutId, more));
  expect(payment).toMatchObject({ status: PaymentStatus.AUTHORIZED });
  return checkoutId;
}
async function captured(more: object = {}): Promise<string> {
  const checkoutId = await authorized(more);
  await payments.capture({ checkoutId });
  return checkoutId;
}
const ledger = (checkoutId: string) => readLedger(simulator, checkoutId);

describe("a payment", () => {
  it("is authorized, captured and refunded, each step once however often it is sent", async () => {
    const checkoutId = newCheckoutId();
    for (let time = 0; time < 2; time += 1) {
      const { payment } = await payments.authorize(orderFor(checkoutId));
      expect(payment).toMatchObject({
        checkoutId,
        status: PaymentStatus.AUTHORIZED,
        amount: 5_000,
        currency: "EUR",
        amountCaptured: 0,
        attempt: 1,
        declineCode: "",
        actionUrl: "",
      });
      expect(payment?.paymentIntentId).toMatch(/^pi_/);
    }
    for (let time = 0; time < 2; time += 1) {
      const { payment } = await payments.capture({ checkoutId });
      expect(payment).toMatchObject({ status: PaymentStatus.CAPTURED, amountCaptured: 5_000, amountRefunded: 0 });
    }
    // An authorization that comes again after all that tells how things stand, and changes nothing.
    const again = await payments.authorize(orderFor(checkoutId));
    expect(again.payment).toMatchObject({ status: PaymentStatus.CAPTURED });
    expect(await ledger(checkoutId)).toEqual({ intents: 1, authorized: 1, captured: 5_000, refunded: 0 });

    for (let time = 0; time < 2; time += 1) {
      const part = await payments.refund({ checkoutId, refundId: "rf_part", amount: 2_000 });
      expect(part).toMatchObject({
        amount: 2_000,
        payment: { status: PaymentStatus.PARTIALLY_REFUNDED, amountRefunded: 2_000 },
      });
      expect(part.stripeRefundId).toMatch(/^re_/);
    }
    const rest = await payments.refund({ checkoutId, refundId: "rf_rest", amount: 0 });
    expect(rest).toMatchObject({ amount: 3_000, payment: { status: PaymentStatus.REFUNDED, amountRefunded: 5_000 } });
    const restAgain = await payments.refund({ checkoutId, refundId: "rf_rest", amount: 0 });
    expect(restAgain).toMatchObject({ amount: 3_000, stripeRefundId: rest.stripeRefundId });
    expect(await ledger(checkoutId)).toEqual({ intents: 1, authorized: 1, captured: 5_000, refunded: 5_000 });
  });

  it.each([
    ["ISK", 990_000, 99_000],
    ["KWD", 12_500, 1_010],
    ["IDR", 999_999_999_999, 100_000_000_000],
  ])("is charged in %s as it stands, %d, and given back in its parts only", async (currency, amount, part) => {
    const checkoutId = newCheckoutId();
    await payments.authorize(orderFor(checkoutId, { currency, amount }));
    const { payment } = await payments.capture({ checkoutId });
    expect(payment).toMatchObject({ amount, currency, amountCaptured: amount });
    if (currency !== "IDR")
      expect(await refusalOf(payments.refund({ checkoutId, refundId: "rf_odd", amount: part + 5 }))).toMatchObject({
        code: "REQUEST_INVALID",
      });
    await payments.refund({ checkoutId, refundId: "rf_part", amount: part });
    await payments.refund({ checkoutId, refundId: "rf_rest", amount: 0 });
    expect(await ledger(checkoutId)).toEqual({ intents: 1, authorized: 1, captured: amount, refunded: amount });
  });

  it("carries no personal data to Stripe, only what finds it again", async () => {
    const checkoutId = await authorized();
    const { payment } = await payments.getPayment({ checkoutId, refresh: false });
    const response = await fetch(`${simulator.url}/v1/payment_intents/${payment?.paymentIntentId}`, {
      headers: { authorization: "Bearer sk_test_component" },
    });
    const intent = (await response.json()) as Record<string, unknown>;
    expect(intent["metadata"]).toEqual({ checkoutId, workflowId: `checkout-${checkoutId}`, eventId: "ev_concert" });
    expect(intent).toMatchObject({
      capture_method: "manual",
      description: "Two seats",
      customer: null,
      receipt_email: null,
    });
  });

  it("takes ten identical calls at once as one", async () => {
    const checkoutId = newCheckoutId();
    const ten = <Result>(call: () => Promise<Result>) => Promise.all(Array.from({ length: 10 }, call));
    for (const { payment } of await ten(() => payments.authorize(orderFor(checkoutId))))
      expect(payment).toMatchObject({ status: PaymentStatus.AUTHORIZED });
    for (const { payment } of await ten(() => payments.capture({ checkoutId })))
      expect(payment).toMatchObject({ status: PaymentStatus.CAPTURED });
    const refunds = await ten(() => payments.refund({ checkoutId, refundId: "rf_1", amount: 1_000 }));
    expect(new Set(refunds.map(({ stripeRefundId }) => stripeRefundId)).size).toBe(1);
    expect(await ledger(checkoutId)).toEqual({ intents: 1, authorized: 1, captured: 5_000, refunded: 1_000 });
  });
});

describe("a decline", () => {
  it.each([
    ["pm_card_visa_chargeDeclined", "generic_decline", "declined"],
    ["pm_card_visa_chargeDeclinedInsufficientFunds", "insufficient_funds", "not enough money"],
    ["pm_card_chargeDeclinedExpiredCard", "expired_card", "expired"],
    ["pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "security code"],
    ["pm_card_chargeDeclinedProcessingError", "processing_error", "try again"],
    ["pm_card_visa_chargeDeclinedVelocityLimitExceeded", "card_velocity_exceeded", "limit"],
    // These three are not told apart, as Stripe asks.
    ["pm_card_visa_chargeDeclinedLostCard", "generic_decline", "declined"],
    ["pm_card_visa_chargeDeclinedStolenCard", "generic_decline", "declined"],
    ["pm_card_radarBlock", "generic_decline", "declined"],
  ])("of %s is an answer: %s", async (paymentMethodId, code, words) => {
    const checkoutId = newCheckoutId();
    for (let time = 0; time < 2; time += 1) {
      const { payment } = await payments.authorize(orderFor(checkoutId, { paymentMethodId }));
      expect(payment).toMatchObject({ status: PaymentStatus.UNPAID, attempt: 1, declineCode: code });
      expect(payment?.declineMessage.toLowerCase()).toContain(words);
    }
    expect(await ledger(checkoutId)).toMatchObject({ intents: 1, authorized: 0 });
  });

  it("leaves room for a second attempt, on the same intent", async () => {
    const checkoutId = newCheckoutId();
    const first = await payments.authorize(orderFor(checkoutId, { paymentMethodId: "pm_card_visa_chargeDeclined" }));
    const second = await payments.authorize(orderFor(checkoutId, { attempt: 2 }));
    expect(second.payment).toMatchObject({ status: PaymentStatus.AUTHORIZED, attempt: 2, declineCode: "" });
    expect(second.payment?.paymentIntentId).toBe(first.payment?.paymentIntentId);
    // The first attempt, late: no third confirmation.
    const late = await payments.authorize(orderFor(checkoutId, { paymentMethodId: "pm_card_visa_chargeDeclined" }));
    expect(late.payment).toMatchObject({ status: PaymentStatus.AUTHORIZED, attempt: 2 });
    expect(await ledger(checkoutId)).toEqual({ intents: 1, authorized: 1, captured: 0, refunded: 0 });
  });
});

describe("3-D Secure", () => {
  const asks = { paymentMethodId: "pm_card_threeDSecure2Required" };

  async function acting(): Promise<{ checkoutId: string; intentId: string }> {
    const checkoutId = newCheckoutId();
    const { payment } = await payments.authorize(orderFor(checkoutId, asks));
    expect(payment).toMatchObject({ status: PaymentStatus.REQUIRES_ACTION, attempt: 1 });
    expect(payment?.actionUrl).toMatch(/^http/);
    return { checkoutId, intentId: payment?.paymentIntentId ?? "" };
  }
  const answer = (intentId: string, outcome: "approve" | "fail") =>
    simulator.ask("POST", `/_sim/3ds/${intentId}`, { outcome });

  it("sends the buyer to the bank, and is authorized when the buyer approves", async () => {
    const { checkoutId, intentId } = await acting();
    const waiting = await payments.authorize(orderFor(checkoutId, asks));
    expect(waiting.payment).toMatchObject({ status: PaymentStatus.REQUIRES_ACTION });
    await answer(intentId, "approve");
    const asKnown = await payments.getPayment({ checkoutId, refresh: false });
    expect(asKnown.payment).toMatchObject({ status: PaymentStatus.REQUIRES_ACTION });
    const asIs = await payments.getPayment({ checkoutId, refresh: true });
    expect(asIs.payment).toMatchObject({ status: PaymentStatus.AUTHORIZED, actionUrl: "", attempt: 1 });
    const { payment } = await payments.capture({ checkoutId });
    expect(payment).toMatchObject({ status: PaymentStatus.CAPTURED });
  });

  it("captures what was approved, even if no word of it came", async () => {
    const { checkoutId, intentId } = await acting();
    await answer(intentId, "approve");
    const { payment } = await payments.capture({ checkoutId });
    expect(payment).toMatchObject({ status: PaymentStatus.CAPTURED, amountCaptured: 5_000 });
  });

  it("is a decline when the buyer fails, and the next attempt may succeed", async () => {
    const { checkoutId, intentId } = await acting();
    await answer(intentId, "fail");
    const { payment } = await payments.getPayment({ checkoutId, refresh: true });
    expect(payment).toMatchObject({
      status: PaymentStatus.UNPAID,
      declineCode: "payment_intent_authentication_failure",
    });
    const next = await payments.authorize(orderFor(checkoutId, { attempt: 2 }));
    expect(next.payment).toMatchObject({ status: PaymentStatus.AUTHORIZED, attempt: 2, declineCode: "" });
  });

  it("lets the buyer give up on the bank's page and use another card", async () => {
    const { checkoutId } = await acting();
    const next = await payments.authorize(orderFor(checkoutId, { attempt: 2 }));
    expect(next.payment).toMatchObject({ status: PaymentStatus.AUTHORIZED, attempt: 2, actionUrl: "" });
    expect(await ledger(checkoutId)).toEqual({ intents: 1, authorized: 1, captured: 0, refunded: 0 });
  });

  it("can be cancelled while the buyer is away", async () => {
    const { checkoutId } = await acting();
    const { payment } = await payments.cancel({ checkoutId, reason: "abandoned" });
    expect(payment).toMatchObject({ status: PaymentStatus.CANCELLED, actionUrl: "" });
  });
});

describe("capture refuses", () => {
  it("what was never authorized", async () => {
    expect(await refusalOf(payments.capture({ checkoutId: newCheckoutId() }))).toMatchObject({
      code: "PAYMENT_NOT_FOUND",
    });
    const checkoutId = newCheckoutId();
    await payments.authorize(orderFor(checkoutId, { paymentMethodId: "pm_card_visa_chargeDeclined" }));
    expect(await refusalOf(payments.capture({ checkoutId }))).toMatchObject({ code: "PAYMENT_STATE_CONFLICT" });
  });

  it("what was cancelled, by us or at Stripe", async () => {
    const ours = await authorized();
    await payments.cancel({ checkoutId: ours, reason: "" });
    expect(await refusalOf(payments.capture({ checkoutId: ours }))).toMatchObject({ code: "PAYMENT_STATE_CONFLICT" });

    const lapsed = await authorized();
    const { payment } = await payments.getPayment({ checkoutId: lapsed, refresh: false });
    const response = await fetch(`${simulator.url}/v1/payment_intents/${payment?.paymentIntentId}/cancel`, {
      method: "POST",
      headers: { authorization: "Bearer sk_test_component" },
    });
    expect(response.status).toBe(200);
    expect(await refusalOf(payments.capture({ checkoutId: lapsed }))).toMatchObject({ code: "PAYMENT_STATE_CONFLICT" });
    const known = await payments.getPayment({ checkoutId: lapsed, refresh: false });
    expect(known.payment).toMatchObject({ status: PaymentStatus.CANCELLED });
  });
});

describe("cancel", () => {
  it("releases what was authorized, once", async () => {
    const checkoutId = await authorized();
    for (let time = 0; time < 2; time += 1) {
      const { payment } = await payments.cancel({ checkoutId, reason: "requested_by_customer" });
      expect(payment).toMatchObject({ status: PaymentStatus.CANCELLED, amountCaptured: 0 });
    }
    expect(await refusalOf(payments.authorize(orderFor(checkoutId, { attempt: 2 })))).toMatchObject({
      code: "PAYMENT_STATE_CONFLICT",
    });
    expect(await ledger(checkoutId)).toMatchObject({ intents: 1, captured: 0 });
  });

  it("leaves what was captured", async () => {
    const checkoutId = await captured();
    const { payment } = await payments.cancel({ checkoutId, reason: "abandoned" });
    expect(payment).toMatchObject({ status: PaymentStatus.CAPTURED, amountCaptured: 5_000 });
    const refund = await payments.refund({ checkoutId, refundId: "rf_1", amount: 0 });
    expect(refund.payment).toMatchObject({ status: PaymentStatus.REFUNDED });
  });

  it("of nothing answers nothing, and shuts the door for an authorization that comes late", async () => {
    const checkoutId = newCheckoutId();
    for (let time = 0; time < 2; time += 1)
      expect((await payments.cancel({ checkoutId, reason: "abandoned" })).payment).toBeUndefined();
    expect(await refusalOf(payments.authorize(orderFor(checkoutId)))).toMatchObject({ code: "PAYMENT_STATE_CONFLICT" });
    expect((await payments.getPayment({ checkoutId, refresh: true })).payment).toBeUndefined();
    expect(await refusalOf(payments.capture({ checkoutId }))).toMatchObject({ code: "PAYMENT_STATE_CONFLICT" });
    expect(await refusalOf(payments.refund({ checkoutId, refundId: "rf_1", amount: 0 }))).toMatchObject({
      code: "PAYMENT_NOT_FOUND",
    });
    expect(await ledger(checkoutId)).toMatchObject({ intents: 0 });
  });

  it("and authorize at the same moment never leave money behind", async () => {
    const rounds = Array.from({ length: 12 }, async (_, round) => {
      const checkoutId = newCheckoutId();
      const authorizing = refusalOf(payments.authorize(orderFor(checkoutId)));
      await new Promise((resolve) => setTimeout(resolve, round * 4));
      await payments.cancel({ checkoutId, reason: "abandoned" });
      await authorizing;
      const { payment } = await payments.getPayment({ checkoutId, refresh: true });
      expect([undefined, PaymentStatus.CANCELLED]).toContain(payment?.status);
      expect(await ledger(checkoutId)).toMatchObject({ authorized: 0, captured: 0 });
    });
    await Promise.all(rounds);
  });

  it("and capture at the same moment agree on one of the two", async () => {
    for (let round = 0; round < 6; round += 1) {
      const checkoutId = await authorized();
      const [capture, cancel] = await Promise.all([
        refusalOf(payments.capture({ checkoutId })),
        payments.cancel({ checkoutId, reason: "abandoned" }),
      ]);
      const { payment } = await payments.getPayment({ checkoutId, refresh: true });
      const { captured: taken } = await ledger(checkoutId);
      expect(cancel.payment?.status).toBe(payment?.status);
      if (payment?.status === PaymentStatus.CAPTURED) expect(taken).toBe(5_000);
      else {
        expect(payment?.status).toBe(PaymentStatus.CANCELLED);
        expect(capture.code).toBe("PAYMENT_STATE_CONFLICT");
        expect(taken).toBe(0);
      }
    }
  });
});

describe("refund refuses", () => {
  it("more than is left, whatever was refunded elsewhere", async () => {
    const checkoutId = await captured();
    expect(await refusalOf(payments.refund({ checkoutId, refundId: "rf_1", amount: 5_001 }))).toMatchObject({
      code: "REFUND_TOO_LARGE",
      error: { details: { left: 5_000, currency: "EUR" } },
    });
    const { payment } = await payments.getPayment({ checkoutId, refresh: false });
    const response = await fetch(`${simulator.url}/v1/refunds`, {
      method: "POST",
      headers: { authorization: "Bearer sk_test_component", "content-type": "application/x-www-form-urlencoded" },
      body: `payment_intent=${payment?.paymentIntentId}&amount=4000`,
    });
    expect(response.status).toBe(200);
    expect(await refusalOf(payments.refund({ checkoutId, refundId: "rf_2", amount: 2_000 }))).toMatchObject({
      code: "REFUND_TOO_LARGE",
    });
    const rest = await payments.refund({ checkoutId, refundId: "rf_3", amount: 0 });
    expect(rest).toMatchObject({ amount: 1_000, payment: { status: PaymentStatus.REFUNDED } });
    expect(await refusalOf(payments.refund({ checkoutId, refundId: "rf_4", amount: 0 }))).toMatchObject({
      code: "REFUND_TOO_LARGE",
    });
  });

  it("what was not captured, what doesn't exist, and another amount under the same id", async () => {
    expect(
      await refusalOf(payments.refund({ checkoutId: newCheckoutId(), refundId: "rf_1", amount: 0 })),
    ).toMatchObject({ code: "PAYMENT_NOT_FOUND" });
    const open = await authorized();
    expect(await refusalOf(payments.refund({ checkoutId: open, refundId: "rf_1", amount: 0 }))).toMatchObject({
      code: "PAYMENT_STATE_CONFLICT",
    });
    const checkoutId = await captured();
    await payments.refund({ checkoutId, refundId: "rf_1", amount: 1_000 });
    expect(await refusalOf(payments.refund({ checkoutId, refundId: "rf_1", amount: 1_001 }))).toMatchObject({
      code: "IDEMPOTENCY_KEY_REUSED",
    });
  });

  it("nothing of two that together are too much, but gives only one of them", async () => {
    const checkoutId = await captured();
    const results = await Promise.all(
      ["rf_1", "rf_2", "rf_3"].map((refundId) => refusalOf(payments.refund({ checkoutId, refundId, amount: 3_000 }))),
    );
    expect(results.map(({ code }) => code).sort()).toEqual(["REFUND_TOO_LARGE", "REFUND_TOO_LARGE", "none"]);
    expect(await ledger(checkoutId)).toMatchObject({ captured: 5_000, refunded: 3_000 });
  });

  it("the repetition of one that the bank sent back, whose money can then be refunded another time", async () => {
    const checkoutId = await captured({ paymentMethodId: "pm_card_refundFail" });
    const sent = await payments.refund({ checkoutId, refundId: "rf_1", amount: 0 });
    expect(sent).toMatchObject({ amount: 5_000, payment: { status: PaymentStatus.REFUNDED } });
    await until(async () => {
      const { payment } = await payments.getPayment({ checkoutId, refresh: true });
      return payment?.status === PaymentStatus.CAPTURED && payment.amountRefunded === 0;
    });
    expect(await refusalOf(payments.refund({ checkoutId, refundId: "rf_1", amount: 0 }))).toMatchObject({
      code: "PAYMENT_STATE_CONFLICT",
      error: { details: { refundStatus: "failed" } },
    });
    const again = await payments.refund({ checkoutId, refundId: "rf_2", amount: 0 });
    expect(again).toMatchObject({ amount: 5_000 });
  });

  it("the repetition, too, when it comes back while Stripe is being asked", async () => {
    const checkoutId = await captured({ paymentMethodId: "pm_card_refundFail" });
    const { payment } = await payments.refund({ checkoutId, refundId: "rf_1", amount: 0 });
    // Asked before the bank's word, and answered after it.
    await new Promise((resolve) => setTimeout(resolve, 900));
    await simulator.plan({
      match: { method: "GET", path: `^/v1/payment_intents/${payment?.paymentIntentId}$` },
      action: { type: "latency", ms: 1_600 },
    });
    const seen = await payments.getPayment({ checkoutId, refresh: true });
    expect(seen.payment).toMatchObject({ status: PaymentStatus.CAPTURED, amountRefunded: 0 });
    expect(await refusalOf(payments.refund({ checkoutId, refundId: "rf_1", amount: 0 }))).toMatchObject({
      code: "PAYMENT_STATE_CONFLICT",
      error: { details: { refundStatus: "failed" } },
    });
  });

  it("nothing of a refund that is pending: it counts as given", async () => {
    const checkoutId = await captured({ paymentMethodId: "pm_card_pendingRefund" });
    const sent = await payments.refund({ checkoutId, refundId: "rf_1", amount: 0 });
    expect(sent).toMatchObject({ amount: 5_000, payment: { status: PaymentStatus.REFUNDED } });
  });
});

describe("bad input is refused, and nothing is stored", () => {
  const bad: [string, object, string][] = [
    ["a NUL byte in an id", { checkoutId: "co\u0000x" }, "REQUEST_INVALID"],
    ["an empty id", { checkoutId: "" }, "REQUEST_INVALID"],
    ["a quote in an id, which a search would trip over", { checkoutId: "co_'1" }, "REQUEST_INVALID"],
    ["a huge id", { checkoutId: "x".repeat(10_000) }, "REQUEST_INVALID"],
    ["no amount", { amount: 0 }, "REQUEST_INVALID"],
    ["a negative amount", { amount: -5_000 }, "REQUEST_INVALID"],
    ["more than Stripe takes", { amount: 100_000_000 }, "REQUEST_INVALID"],
    ["attempt 0", { attempt: 0 }, "REQUEST_INVALID"],
    ["a currency of nonsense", { currency: "EURO" }, "REQUEST_INVALID"],
    ["a currency that Stripe doesn't take", { currency: "CUP" }, "REQUEST_INVALID"],
    ["a fraction of a króna", { currency: "ISK", amount: 990_050 }, "REQUEST_INVALID"],
    ["a thousandth of a dinar", { currency: "KWD", amount: 5_124 }, "REQUEST_INVALID"],
    ["thirteen digits", { currency: "IDR", amount: 1_000_000_000_000 }, "REQUEST_INVALID"],
    ["a NUL byte in the description", { description: "a\u0000b" }, "REQUEST_INVALID"],
    ["a return address that is a script", { returnUrl: "javascript:alert(1)" }, "REQUEST_INVALID"],
    ["no return address", { returnUrl: "" }, "REQUEST_INVALID"],
    ["a card number for a payment method", { paymentMethodId: "4242424242424242" }, "PAYMENT_METHOD_INVALID"],
    ["no payment method", { paymentMethodId: "" }, "PAYMENT_METHOD_INVALID"],
    ["another path in the payment method", { paymentMethodId: "pm_x/../../v1/refunds" }, "PAYMENT_METHOD_INVALID"],
  ];
  it.each(bad)("%s", async (_what, more, code) => {
    const order = orderFor(newCheckoutId(), more);
    expect(await refusalOf(payments.authorize(order))).toMatchObject({ code });
    if (!("checkoutId" in more))
      expect((await payments.getPayment({ checkoutId: order.checkoutId, refresh: false })).payment).toBeUndefined();
  });

  it("in every other request too", async () => {
    const [checkoutId, refundId] = [newCheckoutId(), "rf_1"];
    const invalid = { code: "REQUEST_INVALID" };
    expect(await refusalOf(payments.capture({ checkoutId: "" }))).toMatchObject(invalid);
    expect(await refusalOf(payments.cancel({ checkoutId, reason: "because" }))).toMatchObject(invalid);
    expect(await refusalOf(payments.cancel({ checkoutId: "a b", reason: "" }))).toMatchObject(invalid);
    expect(await refusalOf(payments.refund({ checkoutId, refundId: "", amount: 1 }))).toMatchObject(invalid);
    expect(await refusalOf(payments.refund({ checkoutId, refundId, amount: -1 }))).toMatchObject(invalid);
    expect(await refusalOf(payments.getPayment({ checkoutId: "\u0000", refresh: true }))).toMatchObject(invalid);
  });

  it("a payment method that Stripe does not know, for good; the next attempt is free", async () => {
    const checkoutId = newCheckoutId();
    for (let time = 0; time < 2; time += 1) {
      const refused = await refusalOf(payments.authorize(orderFor(checkoutId, { paymentMethodId: "pm_unheard_of" })));
      expect(refused).toMatchObject({ code: "PAYMENT_METHOD_INVALID", error: { refusal: { retryable: false } } });
    }
    const next = await payments.authorize(orderFor(checkoutId, { attempt: 2 }));
    expect(next.payment).toMatchObject({ status: PaymentStatus.AUTHORIZED, attempt: 2 });
  });

  it("another amount, currency or card for the same attempt", async () => {
    const checkoutId = await authorized();
    expect(await refusalOf(payments.authorize(orderFor(checkoutId, { amount: 4_999 })))).toMatchObject({
      code: "INTERNAL",
    });
    expect(await refusalOf(payments.authorize(orderFor(checkoutId, { currency: "USD" })))).toMatchObject({
      code: "INTERNAL",
    });
    const other = newCheckoutId();
    await payments.authorize(orderFor(other, { paymentMethodId: "pm_card_visa_chargeDeclined" }));
    expect(await refusalOf(payments.authorize(orderFor(other)))).toMatchObject({ code: "IDEMPOTENCY_KEY_REUSED" });
  });

  it("less than Stripe takes: refused for good, and cancelling it ends well", async () => {
    const checkoutId = newCheckoutId();
    expect(await refusalOf(payments.authorize(orderFor(checkoutId, { amount: 1 })))).toMatchObject({
      code: "REQUEST_INVALID",
    });
    const { payment } = await payments.cancel({ checkoutId, reason: "abandoned" });
    expect(payment).toMatchObject({ status: PaymentStatus.CANCELLED });
  });
});

describe("what is stored and told", () => {
  it("has no card, no payment method and no client secret", async () => {
    const checkoutId = await captured();
    const document = await withMongo((client) =>
      client.db(database).collection<{ _id: string }>("payments").findOne({ _id: checkoutId }),
    );
    expect(document).toMatchObject({ state: "captured", accountId: "acc_buyer" });
    expect(JSON.stringify(document)).not.toMatch(/pm_card|client_secret|4242|example/);
  });

  it("counts requests and outcomes", async () => {
    const metrics = await service.metrics();
    expect(metrics).toMatch(/onsale_stripe_requests_total\{endpoint="confirm",outcome="ok",service="payment"\} \d+/);
    expect(metrics).toMatch(
      /onsale_stripe_requests_total\{endpoint="confirm",outcome="declined",service="payment"\} \d+/,
    );
    expect(metrics).toMatch(/onsale_payments_total\{outcome="captured",service="payment"\} \d+/);
    expect(metrics).toMatch(/onsale_payments_total\{outcome="declined",service="payment"\} \d+/);
    expect(metrics).toMatch(/onsale_stripe_breaker_state\{service="payment"\} 0/);
  });
});
