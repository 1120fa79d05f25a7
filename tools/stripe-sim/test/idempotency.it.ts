// Idempotency keys, rates and faults, as a client meets them.
import type { Stripe } from "stripe";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { errorOf, type Sim, startSim } from "./a-sim.js";

let sim: Sim;
let stripe: Stripe;
beforeEach(async () => {
  sim = await startSim();
  stripe = sim.stripe;
});
afterEach(() => sim.stop());

const order = {
  amount: 2000,
  currency: "eur",
  automatic_payment_methods: { enabled: true, allow_redirects: "never" },
} as const;
const authorization = { ...order, capture_method: "manual", confirm: true, payment_method: "pm_card_visa" } as const;

const countPayments = async () => (await stripe.paymentIntents.list({ limit: 100 })).data.length;

describe("idempotency", () => {
  it("answers a repeated request from its store, byte for byte", async () => {
    const post = () =>
      sim.fetch("/v1/payment_intents", {
        method: "POST",
        body: new URLSearchParams({ amount: "2000", currency: "eur" }),
        headers: { "idempotency-key": "k1" },
      });
    const first = await post();
    const second = await post();
    expect([first.status, second.status]).toEqual([200, 200]);
    expect(await second.text()).toBe(await first.text());
    expect(first.headers.get("idempotent-replayed")).toBeNull();
    expect(second.headers.get("idempotent-replayed")).toBe("true");
    expect(second.headers.get("original-request")).toBe(first.headers.get("request-id"));
    expect(second.headers.get("request-id")).not.toBe(first.headers.get("request-id"));
    expect(second.headers.get("idempotency-key")).toBe("k1");
    expect(await countPayments()).toBe(1);
  });

  it("answers with the moment it was stored, not with what has become of it", async () => {
    const { id } = await stripe.paymentIntents.create(authorization, { idempotencyKey: "k" });
    await stripe.paymentIntents.capture(id);
    expect((await stripe.paymentIntents.create(authorization, { idempotencyKey: "k" })).status).toBe(
      "requires_capture",
    );
    expect((await stripe.paymentIntents.retrieve(id)).status).toBe("succeeded");
  });

  it("replays a decline and an unexpected state", async () => {
    const declined = { ...authorization, payment_method: "pm_card_chargeDeclined" };
    const first = await errorOf(stripe.paymentIntents.create(declined, { idempotencyKey: "d" }));
    const second = await errorOf(stripe.paymentIntents.create(declined, { idempotencyKey: "d" }));
    expect(second).toMatchObject({ statusCode: 402, code: "card_declined" });
    expect(second.payment_intent?.id).toBe(first.payment_intent?.id);
    expect(await countPayments()).toBe(1);

    const { id } = await stripe.paymentIntents.create(order);
    await errorOf(stripe.paymentIntents.capture(id, {}, { idempotencyKey: "c" }));
    await stripe.paymentIntents.confirm(id, { payment_method: "pm_card_visa", capture_method: "manual" });
    const again = await errorOf(stripe.paymentIntents.capture(id, {}, { idempotencyKey: "c" }));
    expect(again).toMatchObject({ code: "payment_intent_unexpected_state" });
    expect(again.headers?.["idempotent-replayed"]).toBe("true");
    expect((await stripe.paymentIntents.capture(id, {}, { idempotencyKey: "c2" })).status).toBe("succeeded");
  });

  it("stores nothing of what failed validation, authentication or the rate", async () => {
    const bad = { ...order, amount: 1 };
    expect((await errorOf(stripe.paymentIntents.create(bad, { idempotencyKey: "v" }))).code).toBe("amount_too_small");
    expect(
      (await errorOf(sim.client({}, "wrong").paymentIntents.create(order, { idempotencyKey: "v" }))).statusCode,
    ).toBe(401);
    await sim.faults({ action: { type: "error_429" } });
    expect((await errorOf(stripe.paymentIntents.create(order, { idempotencyKey: "v" }))).statusCode).toBe(429);
    const made = await stripe.paymentIntents.create(order, { idempotencyKey: "v" });
    expect(made.lastResponse.headers["idempotent-replayed"]).toBeUndefined();
  });

  it("refuses a key with other parameters or for another endpoint; the order of parameters does not matter", async () => {
    const { id } = await stripe.paymentIntents.create(
      { ...order, metadata: { a: "1", b: "2" } },
      { idempotencyKey: "p" },
    );
    const same = await stripe.paymentIntents.create(
      { metadata: { b: "2", a: "1" }, ...order },
      { idempotencyKey: "p" },
    );
    expect(same.id).toBe(id);
    const other = await errorOf(stripe.paymentIntents.create({ ...order, amount: 2001 }, { idempotencyKey: "p" }));
    expect(other).toMatchObject({ type: "StripeIdempotencyError", statusCode: 400, rawType: "idempotency_error" });
    expect(other.message).toContain("same parameters");
    const elsewhere = await errorOf(stripe.paymentIntents.cancel(id, {}, { idempotencyKey: "p" }));
    expect(elsewhere).toMatchObject({ statusCode: 400, rawType: "idempotency_error" });
    expect(elsewhere.message).toContain(`('/v1/payment_intents/${id}/cancel' vs '/v1/payment_intents')`);
  });

  it("answers 409 while the first request is under way, and one payment comes of many", async () => {
    await sim.faults({ action: { type: "latency", ms: 300 } });
    const all = await Promise.allSettled(
      Array.from({ length: 5 }, () => stripe.paymentIntents.create(authorization, { idempotencyKey: "f" })),
    );
    const refused = all.flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
    expect(refused).toHaveLength(4);
    for (const error of refused) {
      expect(error).toMatchObject({ statusCode: 409, code: "idempotency_key_in_use" });
      expect(error.headers["stripe-should-retry"]).toBe("true");
    }
    expect(await countPayments()).toBe(1);
    const patient = sim.client({ maxNetworkRetries: 3 });
    expect((await patient.paymentIntents.create(authorization, { idempotencyKey: "f" })).status).toBe(
      "requires_capture",
    );
  });

  it("compares cards by what is kept of them only", async () => {
    const pay = (number: string, cvc: string) =>
      stripe.paymentMethods.create(
        { type: "card", card: { number, exp_month: 1, exp_year: 2040, cvc } },
        { idempotencyKey: "card" },
      );
    const first = await pay("4242424242424242", "123");
    expect((await pay("4242424242424242", "999")).id).toBe(first.id);
    expect((await errorOf(pay("4000000000000002", "123"))).rawType).toBe("idempotency_error");
  });

  it("is for POST; a key that is too long is refused", async () => {
    const get = () => sim.fetch("/v1/payment_intents", { headers: { "idempotency-key": "g" } });
    await get();
    expect((await get()).headers.get("idempotent-replayed")).toBeNull();
    expect((await errorOf(stripe.paymentIntents.create(order, { idempotencyKey: "x".repeat(256) }))).statusCode).toBe(
      400,
    );
  });
});

describe("rates", () => {
  const hurry = async (limited: Sim) => {
    const tries = await Promise.allSettled(
      Array.from({ length: 10 }, (_, at) => limited.stripe.paymentIntents.create(order, { idempotencyKey: `r${at}` })),
    );
    const at = tries.findIndex(({ status }) => status === "rejected");
    return { at, refused: tries.flatMap((one) => (one.status === "rejected" ? [one.reason] : [])) };
  };

  it.each([
    ["endpoint-rate", { SIM_RATE_PER_ENDPOINT: "2" }],
    ["global-rate", { SIM_RATE_TOTAL: "2" }],
  ])("are limited (%s), and nothing is stored of what was refused", async (reason, env) => {
    const limited = await startSim(env);
    const { at, refused } = await hurry(limited);
    // Two at once and two a second: how many more pass depends on how fast this machine is.
    expect(refused.length).toBeGreaterThanOrEqual(4);
    expect(refused.length).toBeLessThanOrEqual(8);
    for (const error of refused) {
      expect(error).toMatchObject({ type: "StripeRateLimitError", statusCode: 429, code: "rate_limit" });
      expect(error.headers["stripe-rate-limited-reason"]).toBe(reason);
    }
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const later = await limited.stripe.paymentIntents.create(order, { idempotencyKey: `r${at}` });
    expect(later.lastResponse.headers["idempotent-replayed"]).toBeUndefined();
    await limited.stop();
  });
});

describe("faults", () => {
  it("reset before anything happened: the client's own retry makes it happen", async () => {
    await sim.faults({ match: { path: "/capture$" }, action: { type: "reset_before_commit" }, count: 2 });
    const { id } = await stripe.paymentIntents.create(authorization);
    expect(await errorOf(stripe.paymentIntents.capture(id, {}, { idempotencyKey: "c" }))).toMatchObject({
      type: "StripeConnectionError",
    });
    expect((await stripe.paymentIntents.retrieve(id)).status).toBe("requires_capture");
    expect((await stripe.paymentIntents.capture(id, {}, { idempotencyKey: "c" })).status).toBe("succeeded");
  });

  it("reset after it happened: the key tells", async () => {
    await sim.faults({ match: { path: "/capture$" }, action: { type: "reset_after_commit" }, count: 2 });
    const { id } = await stripe.paymentIntents.create(authorization);
    // Twice, as the client repeats a reset request once by itself.
    await errorOf(stripe.paymentIntents.capture(id, {}, { idempotencyKey: "c" }));
    expect((await stripe.paymentIntents.retrieve(id)).status).toBe("succeeded");
    const replay = await stripe.paymentIntents.capture(id, {}, { idempotencyKey: "c" });
    expect(replay.lastResponse.headers["idempotent-replayed"]).toBe("true");
    expect(await sim.ledger(id)).toMatchObject({ captured: 2000, successfulCharges: 1 });
    const captures = (await sim.requests()).filter(({ path }) => path.endsWith("/capture"));
    expect(captures).toMatchObject([
      { idempotencyKey: "c", fault: "reset_after_commit", replayed: false },
      { idempotencyKey: "c", fault: "reset_after_commit", replayed: true },
      { idempotencyKey: "c", status: 200, replayed: true },
    ]);
    expect(captures[0]).not.toHaveProperty("status");
  });

  it("a body cut midway: it happened, and the client can't read it", async () => {
    await sim.faults({ match: { method: "POST" }, action: { type: "body_cut" } });
    expect(await errorOf(stripe.paymentIntents.create(authorization, { idempotencyKey: "b" }))).toMatchObject({
      type: "StripeConnectionError",
    });
    expect(await countPayments()).toBe(1);
    const replay = await stripe.paymentIntents.create(authorization, { idempotencyKey: "b" });
    expect(replay.lastResponse.headers["idempotent-replayed"]).toBe("true");
  });

  it("a stored 500 is repeated by its key, whether or not it happened", async () => {
    await sim.faults({ action: { type: "error_500_stored" } });
    for (const replayed of [undefined, "true"]) {
      const error = await errorOf(stripe.paymentIntents.create(authorization, { idempotencyKey: "s" }));
      expect(error).toMatchObject({ type: "StripeAPIError", statusCode: 500, rawType: "api_error" });
      expect(error.headers?.["idempotent-replayed"]).toBe(replayed);
      expect(error.headers?.["stripe-should-retry"]).toBe("false");
    }
    expect(await countPayments()).toBe(0);
    await sim.faults({ action: { type: "error_500_stored", executed: true } });
    const metadata = { checkout_id: "lost" };
    await errorOf(stripe.paymentIntents.create({ ...authorization, metadata }, { idempotencyKey: "s2" }));
    const { data } = await stripe.paymentIntents.search({ query: "metadata['checkout_id']:'lost'" });
    expect(data).toMatchObject([{ status: "requires_capture" }]);
  });

  it("a 500 that is not stored goes away", async () => {
    await sim.faults({ action: { type: "error_500_unstored" } });
    const error = await errorOf(stripe.paymentIntents.create(authorization, { idempotencyKey: "u" }));
    expect(error).toMatchObject({ statusCode: 500 });
    expect(error.headers?.["stripe-should-retry"]).toBe("true");
    expect((await stripe.paymentIntents.create(authorization, { idempotencyKey: "u" })).status).toBe(
      "requires_capture",
    );
  });

  it("meet the requests they are meant for", async () => {
    await sim.faults(
      { match: { metadata: { checkout_id: "x" }, path: "/capture$" }, action: { type: "error_500_unstored" } },
      { match: { idempotencyKey: "^second", nth: 2 }, action: { type: "error_429" } },
    );
    const spared = await stripe.paymentIntents.create({ ...authorization, metadata: { checkout_id: "y" } });
    const hit = await stripe.paymentIntents.create({ ...authorization, metadata: { checkout_id: "x" } });
    expect((await stripe.paymentIntents.capture(spared.id)).status).toBe("succeeded");
    expect((await errorOf(stripe.paymentIntents.capture(hit.id))).statusCode).toBe(500);
    await stripe.paymentIntents.create(order, { idempotencyKey: "second-a" });
    expect((await errorOf(stripe.paymentIntents.create(order, { idempotencyKey: "second-b" }))).statusCode).toBe(429);
    await stripe.paymentIntents.create(order, { idempotencyKey: "second-c" });
  });

  it("come from the settings too, and can be seen and removed", async () => {
    const planned = await startSim({
      SIM_FAULTS: JSON.stringify([{ name: "first", match: { nth: 1 }, action: { type: "error_500_unstored" } }]),
    });
    expect((await errorOf(planned.stripe.paymentIntents.list())).statusCode).toBe(500);
    await planned.stripe.paymentIntents.list();
    await planned.faults({ action: { type: "error_500_unstored" }, count: 100 });
    const list = async () =>
      (await (await planned.fetch("/_sim/faults")).json()) as { rules: { id: number; hit: number }[] };
    expect((await list()).rules).toMatchObject([
      { name: "first", hit: 1 },
      { hit: 0, count: 100 },
    ]);
    expect(await (await planned.fetch("/_sim/faults/2", { method: "DELETE" })).json()).toEqual({ removed: 1 });
    expect(await (await planned.fetch("/_sim/faults", { method: "DELETE" })).json()).toEqual({ removed: 1 });
    await planned.stripe.paymentIntents.list();
    await planned.stop();
    await expect(startSim({ SIM_FAULTS: '[{"action":{"type":"earthquake"}}]' })).rejects.toThrow("SIM_FAULTS");
  });
});

describe("the control API", () => {
  it("is closed unless opened", async () => {
    const closed = await startSim({ SIM_CONTROL: "false" });
    for (const path of ["faults", "ledger", "requests", "webhooks"])
      expect((await closed.fetch(`/_sim/${path}`)).status, path).toBe(403);
    expect((await closed.fetch("/_sim/faults", { method: "POST", body: "[]" })).status).toBe(403);
    expect((await closed.fetch("/_sim/3ds/pi_1", { method: "POST", body: "approve" })).status).toBe(403);
    await closed.stop();
    expect((await sim.fetch("/_sim/ledger", { headers: { origin: "https://evil.example" } })).status).toBe(403);
  });

  it.each([
    ["not JSON", "{"],
    ["no action", "{}"],
    ["an unknown field", '{"action":{"type":"body_cut"},"color":"red"}'],
    ["a broken pattern", '{"action":{"type":"body_cut"},"match":{"path":"("}}'],
    ["no end", '{"action":{"type":"body_cut"},"count":0}'],
    ["two ways to choose", '{"action":{"type":"body_cut"},"match":{"nth":1,"every":2}}'],
    ["too many", JSON.stringify(Array.from({ length: 101 }, () => ({ action: { type: "body_cut" } })))],
  ])("refuses a rule with %s", async (_, body) => {
    const response = await sim.fetch("/_sim/faults", { method: "POST", body });
    expect(response.status).toBe(400);
    expect(((await response.json()) as { error: { message: string } }).error.message).not.toBe("");
  });

  it("adds up the ledger", async () => {
    const metadata = { checkout_id: "l" };
    const { id } = await stripe.paymentIntents.create({ ...authorization, metadata });
    await stripe.paymentIntents.capture(id, { amount_to_capture: 1500 });
    await stripe.refunds.create({ payment_intent: id, amount: 500 });
    await stripe.paymentIntents.create({ ...authorization, currency: "usd" });
    const ledger = async (query = "") => await (await sim.fetch(`/_sim/ledger${query}`)).json();
    expect(await ledger()).toMatchObject({
      totals: {
        eur: { authorized: 2000, captured: 1500, refunded: 500, released: 500 },
        usd: { authorized: 2000, captured: 0, refunded: 0, released: 0 },
      },
    });
    expect(await ledger("?metadata[checkout_id]=l")).toMatchObject({ payment_intents: [{ id, refunds: 1 }] });
    expect((await sim.fetch("/_sim/nothing")).status).toBe(404);
  });
});
