// Payments, refunds and payment methods through the official client.
import type { Stripe } from "stripe";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { errorOf, type Sim, startSim, until } from "./a-sim.js";

let sim: Sim;
let stripe: Stripe;
beforeAll(async () => {
  sim = await startSim({ SIM_REFUND_SETTLE_MS: "100" });
  stripe = sim.stripe;
});
afterAll(() => sim.stop());

const noRedirects = { enabled: true, allow_redirects: "never" } as const;
const order = { amount: 4950, currency: "eur", automatic_payment_methods: noRedirects } as const;

function authorize(payment_method: string, more: Partial<Stripe.PaymentIntentCreateParams> = {}) {
  return stripe.paymentIntents.create({ ...order, capture_method: "manual", confirm: true, payment_method, ...more });
}

describe("a payment with manual capture", () => {
  it("is authorized, then captured", async () => {
    const authorized = await authorize("pm_card_visa", {
      metadata: { checkout_id: "c1" },
      description: "2 seats",
      expand: ["latest_charge"],
    });
    expect(authorized).toMatchObject({
      object: "payment_intent",
      status: "requires_capture",
      amount: 4950,
      amount_capturable: 4950,
      amount_received: 0,
      capture_method: "manual",
      currency: "eur",
      canceled_at: null,
      cancellation_reason: null,
      description: "2 seats",
      last_payment_error: null,
      livemode: false,
      metadata: { checkout_id: "c1" },
      next_action: null,
      payment_method_types: ["card"],
    });
    expect(authorized.client_secret).toMatch(new RegExp(`^${authorized.id}_secret_\\w+$`));
    expect(authorized.payment_method).toMatch(/^pm_(?!card)/);
    expect(authorized.latest_charge).toMatchObject({
      object: "charge",
      captured: false,
      paid: true,
      status: "succeeded",
      payment_intent: authorized.id,
      payment_method_details: { type: "card", card: { brand: "visa", last4: "4242" } },
    });

    const captured = await stripe.paymentIntents.capture(authorized.id);
    expect(captured).toMatchObject({ status: "succeeded", amount_capturable: 0, amount_received: 4950 });
    const charge = await stripe.charges.retrieve(String(captured.latest_charge));
    expect(charge).toMatchObject({ captured: true, amount_captured: 4950, amount_refunded: 0, refunded: false });
    expect(await sim.ledger(authorized.id)).toMatchObject({
      authorized: 4950,
      captured: 4950,
      refunded: 0,
      released: 0,
    });
  });

  it("may be captured in part: the rest is released", async () => {
    const { id } = await authorize("pm_card_visa");
    const captured = await stripe.paymentIntents.capture(id, { amount_to_capture: 1000 });
    expect(captured).toMatchObject({ status: "succeeded", amount_received: 1000, amount_capturable: 0 });
    const charge = await stripe.charges.retrieve(String(captured.latest_charge));
    expect(charge).toMatchObject({ amount: 4950, amount_captured: 1000, amount_refunded: 3950, refunded: false });
    expect(await sim.ledger(id)).toMatchObject({ authorized: 4950, captured: 1000, refunded: 0, released: 3950 });
  });

  it("can't be captured for more, or twice, or not at all", async () => {
    const { id } = await authorize("pm_card_visa");
    expect(await errorOf(stripe.paymentIntents.capture(id, { amount_to_capture: 4951 }))).toMatchObject({
      statusCode: 400,
      code: "amount_too_large",
      param: "amount_to_capture",
    });
    await stripe.paymentIntents.capture(id);
    const twice = await errorOf(stripe.paymentIntents.capture(id));
    expect(twice).toMatchObject({
      statusCode: 400,
      rawType: "invalid_request_error",
      code: "payment_intent_unexpected_state",
      payment_intent: { id, status: "succeeded" },
    });
    expect(twice.message).toContain("already been captured");
    const fresh = await stripe.paymentIntents.create(order);
    expect(fresh.status).toBe("requires_payment_method");
    expect((await errorOf(stripe.paymentIntents.capture(fresh.id))).message).toContain(
      "status of requires_payment_method",
    );
  });

  it("is cancelled and releases the authorization; captured money can't be cancelled", async () => {
    const { id } = await authorize("pm_card_visa");
    const cancelled = await stripe.paymentIntents.cancel(id, { cancellation_reason: "abandoned" });
    expect(cancelled).toMatchObject({ status: "canceled", cancellation_reason: "abandoned", amount_capturable: 0 });
    expect(cancelled.canceled_at).toBeGreaterThan(1_600_000_000);
    expect(await sim.ledger(id)).toMatchObject({ cancelled: true, captured: 0, released: 4950 });
    expect((await errorOf(stripe.paymentIntents.cancel(id))).code).toBe("payment_intent_unexpected_state");

    const other = await authorize("pm_card_visa");
    await stripe.paymentIntents.capture(other.id);
    const refused = await errorOf(stripe.paymentIntents.cancel(other.id));
    expect(refused).toMatchObject({ code: "payment_intent_unexpected_state", statusCode: 400 });
    expect(refused.message).toContain("status of succeeded");
  });
});

describe("a payment step by step", () => {
  it("waits for a method, for confirmation, and succeeds at once without manual capture", async () => {
    const made = await stripe.paymentIntents.create(order);
    expect(made).toMatchObject({ status: "requires_payment_method", capture_method: "automatic_async" });
    const updated = await stripe.paymentIntents.update(made.id, {
      amount: 6000,
      payment_method: "pm_card_mastercard",
      metadata: { a: "1", b: "2" },
    });
    expect(updated).toMatchObject({ status: "requires_confirmation", amount: 6000, metadata: { a: "1", b: "2" } });
    const emptied = await stripe.paymentIntents.update(made.id, { metadata: { a: "" }, description: "x" });
    expect(emptied).toMatchObject({ metadata: { b: "2" }, description: "x", status: "requires_confirmation" });
    const confirmed = await stripe.paymentIntents.confirm(made.id);
    expect(confirmed).toMatchObject({ status: "succeeded", amount_received: 6000, description: "x" });
    expect((await errorOf(stripe.paymentIntents.confirm(made.id))).message).toContain("already succeeded");
    expect(await errorOf(stripe.paymentIntents.update(made.id, { amount: 7000 }))).toMatchObject({
      code: "payment_intent_unexpected_state",
    });
    expect(await stripe.paymentIntents.update(made.id, { metadata: { late: "yes" } })).toMatchObject({
      metadata: { b: "2", late: "yes" },
      status: "succeeded",
    });
  });

  it("says what is missing: a method, or where to come back to", async () => {
    const made = await stripe.paymentIntents.create(order);
    const noMethod = await errorOf(stripe.paymentIntents.confirm(made.id));
    expect(noMethod).toMatchObject({ code: "payment_intent_unexpected_state", statusCode: 400 });
    expect(noMethod.message).toContain("missing a payment method");
    const open = { amount: 1000, currency: "eur", payment_method: "pm_card_visa", confirm: true };
    expect((await errorOf(stripe.paymentIntents.create(open))).message).toContain("`return_url` must be specified");
    const cards = await stripe.paymentIntents.create({ ...open, allowed_payment_method_types: ["card"] });
    expect(cards).toMatchObject({ status: "succeeded", allowed_payment_method_types: ["card"] });
    const returning = await stripe.paymentIntents.create({ ...open, return_url: "https://example.com/back" });
    expect(returning.status).toBe("succeeded");
  });

  it("uses a payment method once", async () => {
    const method = await stripe.paymentMethods.create({
      type: "card",
      card: { number: "4242 4242 4242 4242", exp_month: 12, exp_year: 2040, cvc: "123" },
      billing_details: { name: "A Buyer", email: "buyer@example.com" },
    });
    expect(method).toMatchObject({
      object: "payment_method",
      type: "card",
      billing_details: { name: "A Buyer" },
      card: { brand: "visa", last4: "4242", exp_month: 12, exp_year: 2040, checks: { cvc_check: "pass" } },
    });
    expect(JSON.stringify(method)).not.toContain("42424242");
    expect((await authorize(method.id)).payment_method).toBe(method.id);
    expect((await errorOf(authorize(method.id))).message).toContain("previously used");
    expect((await stripe.paymentMethods.retrieve(method.id)).id).toBe(method.id);
  });
});

describe("cards that are refused", () => {
  it.each([
    ["pm_card_chargeDeclined", "card_declined", "generic_decline"],
    ["pm_card_visa_chargeDeclined", "card_declined", "generic_decline"],
    ["pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"],
    ["pm_card_chargeDeclinedLostCard", "card_declined", "lost_card"],
    ["pm_card_chargeDeclinedStolenCard", "card_declined", "stolen_card"],
    ["pm_card_chargeDeclinedExpiredCard", "expired_card", undefined],
    ["pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", undefined],
    ["pm_card_chargeDeclinedProcessingError", "processing_error", undefined],
    ["pm_card_chargeCustomerFail", "card_declined", "generic_decline"],
    ["pm_card_radarBlock", "card_declined", "fraudulent"],
  ])("%s: 402 %s %s, and the payment waits for another", async (name, code, declineCode) => {
    const error = await errorOf(authorize(name, { metadata: { name } }));
    expect(error).toMatchObject({
      type: "StripeCardError",
      statusCode: 402,
      rawType: "card_error",
      code,
      payment_intent: { status: "requires_payment_method", payment_method: null, metadata: { name } },
      payment_method: { type: "card" },
    });
    expect(error.decline_code || undefined).toBe(declineCode);
    expect(error.doc_url).toBe(`https://stripe.com/docs/error-codes/${code.replaceAll("_", "-")}`);
    const payment = await stripe.paymentIntents.retrieve(error.payment_intent!.id, { expand: ["latest_charge"] });
    expect(payment.last_payment_error).toMatchObject({ code, message: error.message, type: "card_error" });
    expect(payment.last_payment_error?.payment_method?.card?.last4).toMatch(/^\d{4}$/);
    expect(payment.latest_charge).toMatchObject({ status: "failed", paid: false, failure_code: code });
    const again = await stripe.paymentIntents.confirm(payment.id, { payment_method: "pm_card_visa" });
    expect(again).toMatchObject({ status: "requires_capture", last_payment_error: null });
    expect(await sim.ledger(payment.id)).toMatchObject({ successfulCharges: 1, failedCharges: 1 });
  });

  const typed = { exp_month: 12, exp_year: 2040, cvc: "123" };
  it.each([
    ["a wrong check digit", { ...typed, number: "4242424242424241" }, "incorrect_number", "number"],
    ["letters", { ...typed, number: "not a card" }, "invalid_number", "number"],
    ["month 13", { ...typed, number: "4242424242424242", exp_month: 13 }, "invalid_expiry_month", "exp_month"],
    ["last year", { ...typed, number: "4242424242424242", exp_year: 2020 }, "invalid_expiry_year", "exp_year"],
    ["two digits of code", { ...typed, number: "4242424242424242", cvc: "12" }, "invalid_cvc", "cvc"],
  ])("typed with %s: %s", async (_, card, code, param) => {
    const error = await errorOf(stripe.paymentMethods.create({ type: "card", card }));
    expect(error).toMatchObject({ statusCode: 402, rawType: "card_error", code, param });
  });

  it("a real-looking number that is no test card is declined", async () => {
    const error = await errorOf(
      stripe.paymentMethods.create({ type: "card", card: { ...typed, number: "4539578763621486" } }),
    );
    expect(error).toMatchObject({ code: "card_declined", decline_code: "test_mode_live_card" });
  });
});

describe("3-D Secure", () => {
  const back = "https://shop.example/back?order=1";

  it("sends the buyer to a page; approved there, the payment is authorized and the buyer comes back", async () => {
    const payment = await authorize("pm_card_authenticationRequired", {
      automatic_payment_methods: { enabled: true },
      return_url: back,
      description: "<b>2 seats</b>",
    });
    expect(payment).toMatchObject({
      status: "requires_action",
      latest_charge: null,
      next_action: { type: "redirect_to_url", redirect_to_url: { return_url: back } },
    });
    const { url } = payment.next_action!.redirect_to_url!;
    expect(url).toMatch(new RegExp(`^${sim.url}/3ds/src_`));
    const page = await fetch(url!);
    const text = await page.text();
    expect(page.status).toBe(200);
    expect(page.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(text).toContain("€49.50");
    expect(text).toContain("ending in 3184");
    expect(text).not.toContain("<b>2 seats");
    const answer = await fetch(url!, {
      method: "POST",
      body: new URLSearchParams({ outcome: "approve" }),
      redirect: "manual",
    });
    expect(answer.status).toBe(303);
    const location = new URL(answer.headers.get("location")!);
    expect(`${location.origin}${location.pathname}`).toBe("https://shop.example/back");
    expect(Object.fromEntries(location.searchParams)).toEqual({
      order: "1",
      payment_intent: payment.id,
      payment_intent_client_secret: payment.client_secret,
      redirect_status: "succeeded",
    });
    const after = await stripe.paymentIntents.retrieve(payment.id, { expand: ["latest_charge"] });
    expect(after).toMatchObject({ status: "requires_capture", next_action: null });
    expect((after.latest_charge as Stripe.Charge).payment_method_details?.card?.three_d_secure?.result).toBe(
      "authenticated",
    );
    const second = await fetch(url!, { method: "POST", body: new URLSearchParams({ outcome: "approve" }) });
    expect(second.status).toBe(409);
    expect(await sim.ledger(payment.id)).toMatchObject({ successfulCharges: 1 });
  });

  it("refused there, the payment waits for another method", async () => {
    const payment = await authorize("pm_card_threeDSecure2Required", { return_url: back });
    const answer = await fetch(payment.next_action!.redirect_to_url!.url!, {
      method: "POST",
      body: new URLSearchParams({ outcome: "fail" }),
      redirect: "manual",
    });
    expect(new URL(answer.headers.get("location")!).searchParams.get("redirect_status")).toBe("failed");
    const after = await stripe.paymentIntents.retrieve(payment.id);
    expect(after).toMatchObject({
      status: "requires_payment_method",
      payment_method: null,
      last_payment_error: { code: "payment_intent_authentication_failure", type: "invalid_request_error" },
    });
    expect(after.last_payment_error?.payment_method?.card?.last4).toBe("3220");
  });

  it("approved, and declined all the same by the card that does so", async () => {
    const payment = await authorize("pm_card_threeDSecureRequiredChargeDeclined");
    expect(payment.next_action).toMatchObject({ type: "use_stripe_sdk", use_stripe_sdk: {} });
    const answer = await fetch(`${sim.url}/_sim/3ds/${payment.id}`, { method: "POST", body: '{"outcome":"approve"}' });
    expect(await answer.json()).toMatchObject({
      status: "requires_payment_method",
      last_payment_error: { code: "card_declined", decline_code: "generic_decline" },
    });
  });

  it("can't happen while the buyer is away, nor when it was ruled out", async () => {
    const away = await errorOf(authorize("pm_card_authenticationRequired", { off_session: true }));
    expect(away).toMatchObject({
      statusCode: 402,
      code: "authentication_required",
      decline_code: "authentication_required",
    });
    const ruledOut = await errorOf(authorize("pm_card_authenticationRequired", { error_on_requires_action: true }));
    expect(ruledOut).toMatchObject({ statusCode: 402, decline_code: "authentication_not_handled" });
  });

  it("is asked for by request where the card only supports it", async () => {
    const asked = { payment_method_options: { card: { request_three_d_secure: "any" } } } as const;
    expect((await authorize("pm_card_threeDSecureOptional")).status).toBe("requires_capture");
    expect((await authorize("pm_card_threeDSecureOptional", asked)).status).toBe("requires_action");
    expect((await authorize("pm_card_visa", asked)).status).toBe("requires_capture");
  });

  it("can be given up by cancelling: its page then says so", async () => {
    const payment = await authorize("pm_card_authenticationRequired", { return_url: back });
    const { url } = payment.next_action!.redirect_to_url!;
    await stripe.paymentIntents.cancel(payment.id);
    expect(await (await fetch(url!)).text()).toContain("This is settled");
    expect((await fetch(`${sim.url}/3ds/src_unknown`)).status).toBe(404);
    expect((await fetch(`${sim.url}/_sim/3ds/${payment.id}`, { method: "POST", body: "approve" })).status).toBe(409);
  });
});

describe("refunds", () => {
  async function paid(method = "pm_card_visa") {
    const { id } = await authorize(method);
    return await stripe.paymentIntents.capture(id);
  }

  it("give back in part, then the rest, never more", async () => {
    const { id, latest_charge } = await paid();
    const part = await stripe.refunds.create({
      payment_intent: id,
      amount: 1000,
      reason: "requested_by_customer",
      metadata: { refund_id: "r1" },
    });
    expect(part).toMatchObject({
      object: "refund",
      amount: 1000,
      status: "succeeded",
      payment_intent: id,
      charge: latest_charge,
      reason: "requested_by_customer",
      metadata: { refund_id: "r1" },
    });
    const moreThanAll = await errorOf(stripe.refunds.create({ payment_intent: id, amount: 5000 }));
    expect(moreThanAll).toMatchObject({ statusCode: 400, param: "amount" });
    expect(moreThanAll.message).toBe("Refund amount (€50.00) is greater than charge amount (€49.50)");
    const moreThanLeft = await errorOf(stripe.refunds.create({ payment_intent: id, amount: 4000 }));
    expect(moreThanLeft.message).toBe("Refund amount (€40.00) is greater than unrefunded amount on charge (€39.50)");
    expect((await stripe.refunds.create({ charge: String(latest_charge) })).amount).toBe(3950);
    expect(await errorOf(stripe.refunds.create({ payment_intent: id }))).toMatchObject({
      statusCode: 400,
      code: "charge_already_refunded",
    });
    expect(await stripe.charges.retrieve(String(latest_charge))).toMatchObject({
      refunded: true,
      amount_refunded: 4950,
    });
    expect((await stripe.refunds.list({ payment_intent: id })).data.map(({ amount }) => amount)).toEqual([3950, 1000]);
    expect((await stripe.refunds.retrieve(part.id)).id).toBe(part.id);
    expect(await sim.ledger(id)).toMatchObject({ captured: 4950, refunded: 4950, refunds: 2 });
  });

  it("need money that was taken", async () => {
    const { id } = await authorize("pm_card_visa");
    expect((await errorOf(stripe.refunds.create({ payment_intent: id }))).message).toContain(
      "does not have a successful charge to refund",
    );
    expect(await errorOf(stripe.refunds.create({ payment_intent: "pi_none" }))).toMatchObject({
      statusCode: 400,
      code: "resource_missing",
    });
    expect(await errorOf(stripe.refunds.create({}))).toMatchObject({ code: "parameter_missing" });
  });

  it("may take their time, and may come back", async () => {
    const slow = await paid("pm_card_pendingRefund");
    const pending = await stripe.refunds.create({ payment_intent: slow.id });
    expect(pending.status).toBe("pending");
    await until(async () => ((await stripe.refunds.retrieve(pending.id)).status === "succeeded" ? true : undefined));

    const failing = await paid("pm_card_refundFail");
    const refund = await stripe.refunds.create({ payment_intent: failing.id });
    expect(refund.status).toBe("succeeded");
    await until(async () => ((await stripe.refunds.retrieve(refund.id)).status === "failed" ? true : undefined));
    expect(await sim.ledger(failing.id)).toMatchObject({ captured: 4950, refunded: 0, refunds: 0 });
    const types = (await stripe.events.list({ types: ["refund.failed", "refund.updated"] })).data;
    expect(types.some((event) => event.type === "refund.failed")).toBe(true);
  });
});

describe("finding things", () => {
  it("searches by metadata and status", async () => {
    const mine = await authorize("pm_card_visa", { metadata: { checkout_id: "it's mine", step: "a" } });
    await authorize("pm_card_visa", { metadata: { checkout_id: "another" } });
    const find = async (query: string) => (await stripe.paymentIntents.search({ query })).data.map(({ id }) => id);
    expect(await find("metadata['checkout_id']:'it\\'s mine'")).toEqual([mine.id]);
    expect(await find(`metadata["checkout_id"]:"it's mine" AND status:"requires_capture"`)).toEqual([mine.id]);
    expect(await find(`metadata['checkout_id']:"it's mine" AND status:'succeeded'`)).toEqual([]);
    expect(await find(`metadata['checkout_id']:"it's mine" AND -status:'succeeded' AND amount>4949`)).toEqual([
      mine.id,
    ]);
    expect(await find(`metadata['checkout_id']:'nobody' OR metadata['step']:'a'`)).toEqual([mine.id]);
    expect(await find("metadata['checkout_id']~'mine'")).toEqual([mine.id]);
    for (const query of ["status", "status:", "colour:'red'", "metadata['a']:'b' AND status:'c' OR amount>1", "'"])
      expect(await errorOf(find(query)), query).toMatchObject({ statusCode: 400, param: "query" });
  });

  it("lists newest first, page by page", async () => {
    const made: string[] = [];
    for (let amount = 100; amount < 105; amount += 1)
      made.unshift((await stripe.paymentIntents.create({ ...order, amount })).id);
    const first = await stripe.paymentIntents.list({ limit: 2 });
    expect(first).toMatchObject({ object: "list", has_more: true, url: "/v1/payment_intents" });
    expect(first.data.map(({ id }) => id)).toEqual(made.slice(0, 2));
    const next = await stripe.paymentIntents.list({ limit: 3, starting_after: made[1]! });
    expect(next.data.map(({ id }) => id)).toEqual(made.slice(2));
    const before = await stripe.paymentIntents.list({ limit: 10, ending_before: made[2]! });
    expect(before).toMatchObject({ has_more: false });
    expect(before.data.map(({ id }) => id)).toEqual(made.slice(0, 2));
    const page = await stripe.paymentIntents.search({ query: "amount<105", limit: 2 });
    expect(page.has_more).toBe(true);
    const rest = await stripe.paymentIntents.search({ query: "amount<105", limit: 10, page: page.next_page! });
    expect([...page.data, ...rest.data].map(({ id }) => id)).toEqual(made);
    expect(await errorOf(stripe.paymentIntents.list({ starting_after: "pi_none" }))).toMatchObject({
      code: "resource_missing",
    });
  });

  it("expands what can be expanded", async () => {
    const { id } = await authorize("pm_card_visa");
    const { data } = await stripe.paymentIntents.list({
      limit: 1,
      expand: ["data.latest_charge", "data.payment_method"],
    });
    expect(data[0]).toMatchObject({
      id,
      latest_charge: { object: "charge" },
      payment_method: { object: "payment_method" },
    });
    const error = await errorOf(stripe.paymentIntents.retrieve(id, { expand: ["amount"] }));
    expect(error.message).toBe("This property cannot be expanded (amount).");
  });

  it("knows its account and balance", async () => {
    expect(await stripe.accounts.retrieveCurrent()).toMatchObject({ object: "account", charges_enabled: true });
    expect(await stripe.balance.retrieve()).toMatchObject({ object: "balance", livemode: false });
  });
});

describe("what Stripe refuses", () => {
  it.each<[string, Record<string, unknown>, object]>([
    ["no amount", { amount: undefined }, { code: "parameter_missing", param: "amount" }],
    ["no currency", { currency: undefined }, { code: "parameter_missing", param: "currency" }],
    ["an amount in words", { amount: "ten" }, { code: "parameter_invalid_integer", param: "amount" }],
    ["a broken amount", { amount: 10.5 }, { code: "parameter_invalid_integer", param: "amount" }],
    ["a negative amount", { amount: -5 }, { code: "parameter_invalid_integer", param: "amount" }],
    ["too little", { amount: 49 }, { code: "amount_too_small", param: "amount" }],
    ["too much", { amount: 100_000_000 }, { code: "amount_too_large", param: "amount" }],
    ["an empty amount", { amount: "" }, { code: "parameter_invalid_empty", param: "amount" }],
    ["play money", { currency: "xyz" }, { param: "currency" }],
    ["a parameter it does not know", { colour: "red" }, { code: "parameter_unknown", param: "colour" }],
    ["one that hides", { __proto__x: { polluted: "yes" } }, { code: "parameter_unknown" }],
    ["a wrong choice", { capture_method: "later" }, { param: "capture_method" }],
    ["neither true nor false", { confirm: "maybe" }, { param: "confirm" }],
    ["return_url without confirm", { return_url: "https://example.com" }, { param: "return_url" }],
    ["a script to return to", { confirm: true, return_url: "javascript:alert(1)" }, { code: "url_invalid" }],
    ["an unknown method", { payment_method: "pm_none" }, { code: "resource_missing", param: "payment_method" }],
    ["an unknown test name", { payment_method: "pm_card_none" }, { code: "resource_missing" }],
    ["a customer", { customer: "cus_1" }, { code: "resource_missing", param: "customer" }],
    [
      "the old list of methods",
      { automatic_payment_methods: undefined, payment_method_types: ["card"] },
      { code: "payment_method_types_no_longer_supported" },
    ],
    ["both lists", { allowed_payment_method_types: ["card"] }, { code: "parameters_exclusive" }],
    ["metadata that is too long", { metadata: { a: "x".repeat(501) } }, { param: "metadata[a]" }],
    ["metadata key that is too long", { metadata: { ["k".repeat(41)]: "x" } }, { param: "metadata" }],
    [
      "too much metadata",
      { metadata: Object.fromEntries(Array.from({ length: 51 }, (_, at) => [`k${at}`, "v"])) },
      { param: "metadata" },
    ],
    ["an object for a string", { description: { a: "b" } }, { param: "description" }],
  ])("%s", async (_, more, expected) => {
    const params = { ...order, ...more } as unknown as Stripe.PaymentIntentCreateParams;
    const before = (await stripe.paymentIntents.list({ limit: 1 })).data[0]?.id;
    expect(await errorOf(stripe.paymentIntents.create(params))).toMatchObject({
      statusCode: 400,
      rawType: "invalid_request_error",
      ...expected,
    });
    expect((await stripe.paymentIntents.list({ limit: 1 })).data[0]?.id).toBe(before);
  });

  it("the old list of methods goes with an old version", async () => {
    const old = sim.client({ apiVersion: "2025-03-31.basil" });
    const made = await old.paymentIntents.create({
      amount: 1000,
      currency: "usd",
      payment_method_types: ["card"],
      confirm: true,
      payment_method: "pm_card_visa",
    } as Stripe.PaymentIntentCreateParams);
    expect(made.status).toBe("succeeded");
    expect(made.lastResponse.apiVersion).toBe("2025-03-31.basil");
  });

  it("names the parameter it does not know in Stripe's words", async () => {
    const error = await errorOf(stripe.paymentIntents.create({ ...order, foo: "1" } as never));
    expect(error.message).toBe("Received unknown parameter: foo");
    expect(error.requestId).toMatch(/^req_/);
  });

  it("objects that do not exist", async () => {
    for (const [work, message] of [
      [() => stripe.paymentIntents.retrieve("pi_none"), "No such payment_intent: 'pi_none'"],
      [() => stripe.paymentIntents.confirm("pi_none"), "No such payment_intent: 'pi_none'"],
      [() => stripe.refunds.retrieve("re_none"), "No such refund: 're_none'"],
      [() => stripe.charges.retrieve("ch_none"), "No such charge: 'ch_none'"],
      [() => stripe.events.retrieve("evt_none"), "No such event: 'evt_none'"],
      [() => stripe.paymentMethods.retrieve("pm_none"), "No such PaymentMethod: 'pm_none'"],
    ] as const) {
      const error = await errorOf(work());
      expect(error).toMatchObject({ statusCode: 404, code: "resource_missing", message });
    }
  });

  it("addresses that do not exist, in any method", async () => {
    expect(await errorOf(stripe.customers.list())).toMatchObject({
      statusCode: 404,
      message: expect.stringContaining("Unrecognized request URL (GET: /v1/customers)"),
    });
    for (const path of [
      "/",
      "/v1",
      "/v1/",
      "//",
      "/v1/payment_intents/",
      "/v1/payment_intents/a/b",
      "/v2/core/events",
      "/healthz",
    ])
      expect((await sim.fetch(path)).status, path).toBe(404);
    expect((await sim.fetch("/v1/payment_intents", { method: "DELETE" })).status).toBe(404);
  });

  it("keys that are missing, wrong, live or publishable", async () => {
    const withKey = (key: string) => errorOf(sim.client({}, key).paymentIntents.list());
    expect(await withKey("sk_live_12345678abcd")).toMatchObject({
      type: "StripeAuthenticationError",
      statusCode: 401,
      message: "Invalid API Key provided: sk_live_********abcd",
    });
    expect(await withKey("nonsense")).toMatchObject({ statusCode: 401 });
    expect(await withKey("pk_test_12345")).toMatchObject({ statusCode: 403, code: "secret_key_required" });
    const without = await sim.fetch("/v1/payment_intents", { headers: { authorization: "" } });
    expect(without.status).toBe(401);
    expect(without.headers.get("www-authenticate")).toContain("Basic");
    const basic = Buffer.from("sk_test_basic:").toString("base64");
    expect((await sim.fetch("/v1/payment_intents", { headers: { authorization: `Basic ${basic}` } })).status).toBe(200);
    const foreign = sim.client({ stripeAccount: "acct_other" });
    expect(await errorOf(foreign.paymentIntents.list())).toMatchObject({ statusCode: 403, code: "account_invalid" });
  });

  it("bodies that are no forms", async () => {
    const post = (body: string, type = "application/x-www-form-urlencoded") =>
      sim.fetch("/v1/payment_intents", { method: "POST", body, headers: { "content-type": type } });
    expect((await post('{"amount":1}', "application/json")).status).toBe(400);
    expect((await post("amount=%FF")).status).toBe(400);
    expect((await post("a=1&a[b]=2")).status).toBe(400);
    expect((await post(`a${"[x]".repeat(50)}=1`)).status).toBe(400);
    expect((await post("a=1&".repeat(2000))).status).toBe(400);
    expect((await post(`description=${"x".repeat(1_100_000)}`)).status).toBe(400);
    const nul = await post("amount=1000&currency=eur&metadata[a]=%00&description=a%00b");
    expect(nul.status).toBe(200);
    expect(await nul.json()).toMatchObject({ description: "a\u0000b" });
  });
});
