// Every fault at every step: after the caller has come again, money moved exactly once and the record says so.
import { PaymentStatus } from "@onsale/proto/payment/v1/payment";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  newCheckoutId,
  newDatabase,
  orderFor,
  type PaymentInstance,
  refusalOf,
  type Simulator,
  startPaymentService,
  startSimulator,
  until,
  untilAnswered,
  withMongo,
} from "./harness.js";
import { readLedger } from "./ledger-of-sim.js";

let simulator: Simulator;
/** Two processes of the service, as Kubernetes would run them; a retry may reach either. */
let pods: [PaymentInstance, PaymentInstance];
const database = newDatabase();

beforeAll(async () => {
  simulator = await startSimulator();
  const env = { STRIPE_TIMEOUT_SECONDS: "0.7" };
  const start = () => startPaymentService({ stripeUrl: simulator.url, database, env });
  pods = [await start(), await start()];
  await until(() => pods[0].ready());
});
afterAll(async () => {
  for (const pod of pods ?? []) await pod.stop();
  await simulator?.stop();
  await withMongo((client) => client.db(database).dropDatabase());
});

const ledger = (checkoutId: string) => readLedger(simulator, checkoutId);

const faults = {
  "a reset before it took effect": { type: "reset_before_commit" },
  "a reset after it took effect": { type: "reset_after_commit" },
  "half an answer": { type: "body_cut" },
  "a 500 that Stripe stores": { type: "error_500_stored" },
  "a 500 that Stripe stores although it took effect": { type: "error_500_stored", executed: true },
  "a 500 that Stripe does not store": { type: "error_500_unstored" },
  "a 429": { type: "error_429" },
  "an answer after the timeout": { type: "latency", ms: 900 },
} as const;

const steps = {
  create: "^/v1/payment_intents$",
  confirm: "/confirm$",
  capture: "/capture$",
  cancel: "/cancel$",
  refund: "^/v1/refunds$",
} as const;
type Step = keyof typeof steps;
const faultAt = (step: Step, action: object, count = 1) => ({
  match: { method: "POST", path: steps[step] },
  action,
  count,
});

/** Retries alternate between the two processes. */
function either<Result>(call: (pod: PaymentInstance) => Promise<Result>): Promise<Result> {
  let turn = 0;
  return untilAnswered(() => call(pods[turn++ % 2 === 0 ? 0 : 1]));
}
const authorize = (checkoutId: string, more: object = {}) =>
  either(({ client }) => client.authorize(orderFor(checkoutId, more)));

async function buyAndRefund(checkoutId: string): Promise<void> {
  const { payment } = await authorize(checkoutId);
  expect(payment).toMatchObject({ status: PaymentStatus.AUTHORIZED, attempt: 1 });
  const capture = await either(({ client }) => client.capture({ checkoutId }));
  expect(capture.payment).toMatchObject({ status: PaymentStatus.CAPTURED, amountCaptured: 5_000 });
  const refund = await either(({ client }) => client.refund({ checkoutId, refundId: "rf_1", amount: 2_000 }));
  expect(refund).toMatchObject({ amount: 2_000, payment: { status: PaymentStatus.PARTIALLY_REFUNDED } });
  expect(await ledger(checkoutId)).toEqual({ intents: 1, authorized: 1, captured: 5_000, refunded: 2_000 });
}

describe.each(Object.entries(faults))("%s", (_name, action) => {
  it.each(["create", "confirm", "capture", "refund"] as const)("at %s", async (step) => {
    await simulator.plan(faultAt(step, action));
    await buyAndRefund(newCheckoutId());
  });

  it("at every step at once, twice each", async () => {
    await simulator.plan(
      ...(["create", "confirm", "capture", "refund"] as const).map((step) => faultAt(step, action, 2)),
    );
    await buyAndRefund(newCheckoutId());
  });

  it("at cancel", async () => {
    const checkoutId = newCheckoutId();
    await simulator.plan(faultAt("cancel", action));
    await authorize(checkoutId);
    const { payment } = await either(({ client }) => client.cancel({ checkoutId, reason: "abandoned" }));
    expect(payment).toMatchObject({ status: PaymentStatus.CANCELLED });
    expect(await ledger(checkoutId)).toMatchObject({ intents: 1, authorized: 0, captured: 0 });
  });

  it("at a confirmation that is declined", async () => {
    const checkoutId = newCheckoutId();
    await simulator.plan(faultAt("confirm", action));
    const declined = { paymentMethodId: "pm_card_visa_chargeDeclinedInsufficientFunds" };
    const { payment } = await authorize(checkoutId, declined);
    expect(payment).toMatchObject({ status: PaymentStatus.UNPAID, attempt: 1, declineCode: "insufficient_funds" });
    const second = await authorize(checkoutId, { attempt: 2 });
    expect(second.payment).toMatchObject({ status: PaymentStatus.AUTHORIZED, attempt: 2 });
    expect(await ledger(checkoutId)).toEqual({ intents: 1, authorized: 1, captured: 0, refunded: 0 });
  });

  it("at reading, which everything else relies on", async () => {
    const checkoutId = newCheckoutId();
    await simulator.plan(
      faultAt("confirm", { type: "reset_after_commit" }),
      faultAt("capture", { type: "reset_after_commit" }),
      { match: { method: "GET" }, action, count: 2 },
    );
    await buyAndRefund(checkoutId);
  });

  it("at a creation that is then cancelled: the intent is found and cancelled", async () => {
    const checkoutId = newCheckoutId();
    await simulator.plan(faultAt("create", action));
    await refusalOf(pods[0].client.authorize(orderFor(checkoutId)));
    const { payment } = await either(({ client }) => client.cancel({ checkoutId, reason: "abandoned" }));
    expect(payment).toMatchObject({ status: PaymentStatus.CANCELLED });
    const late = await refusalOf(pods[1].client.authorize(orderFor(checkoutId)));
    expect(late.code).toBe("PAYMENT_STATE_CONFLICT");
    expect(await ledger(checkoutId)).toMatchObject({ intents: 1, authorized: 0, captured: 0 });
  });
});

describe("a service that died midway", () => {
  const forget = (checkoutId: string, fields: Record<string, "">, set: object = {}) =>
    withMongo((client) =>
      client
        .db(database)
        .collection<{ _id: string }>("payments")
        .updateOne({ _id: checkoutId }, { $unset: fields, $set: set, $inc: { version: 1 } }),
    );
  const asSent = { attempts: [{ attempt: 1, methodHash: "", outcome: "open", generation: 0 }] };

  it("before it could note the intent makes no second one", async () => {
    const checkoutId = newCheckoutId();
    await authorize(checkoutId);
    const { methodHash } = await import("../src/payments.js");
    asSent.attempts[0]!.methodHash = methodHash("pm_card_visa");
    await forget(checkoutId, { intentId: "", latestChargeId: "" }, { state: "unpaid", ...asSent });
    const fresh = await startPaymentService({ stripeUrl: simulator.url, database });
    try {
      const { payment } = await untilAnswered(() => fresh.client.authorize(orderFor(checkoutId)));
      expect(payment).toMatchObject({ status: PaymentStatus.AUTHORIZED, attempt: 1 });
      expect(await ledger(checkoutId)).toEqual({ intents: 1, authorized: 1, captured: 0, refunded: 0 });
    } finally {
      await fresh.stop();
    }
  });

  it("a day ago finds the intent by its metadata, when the key is long forgotten", async () => {
    const checkoutId = newCheckoutId();
    await authorize(checkoutId);
    const { methodHash } = await import("../src/payments.js");
    asSent.attempts[0]!.methodHash = methodHash("pm_card_visa");
    const aDayAgo = { firstSentAtMs: Date.now() - 25 * 3_600_000, generation: 0 };
    await forget(checkoutId, { intentId: "", latestChargeId: "" }, { state: "unpaid", creation: aDayAgo, ...asSent });
    const { payment } = await either(({ client }) => client.authorize(orderFor(checkoutId)));
    expect(payment).toMatchObject({ status: PaymentStatus.AUTHORIZED });
    expect(await ledger(checkoutId)).toEqual({ intents: 1, authorized: 1, captured: 0, refunded: 0 });
  });

  it("after the capture, before it could note it, captures once", async () => {
    const checkoutId = newCheckoutId();
    await authorize(checkoutId);
    await either(({ client }) => client.capture({ checkoutId }));
    await forget(checkoutId, {}, { state: "authorized", amountCaptured: 0 });
    const { payment } = await either(({ client }) => client.capture({ checkoutId }));
    expect(payment).toMatchObject({ status: PaymentStatus.CAPTURED, amountCaptured: 5_000 });
    expect(await ledger(checkoutId)).toEqual({ intents: 1, authorized: 1, captured: 5_000, refunded: 0 });
  });

  it("after the capture sees what happened since, where Stripe only repeats its old answer", async () => {
    const checkoutId = newCheckoutId();
    await authorize(checkoutId);
    const { payment } = await either(({ client }) => client.capture({ checkoutId }));
    const response = await fetch(`${simulator.url}/v1/refunds`, {
      method: "POST",
      headers: { authorization: "Bearer sk_test_component", "content-type": "application/x-www-form-urlencoded" },
      body: `payment_intent=${payment?.paymentIntentId}&amount=700`,
    });
    expect(response.status).toBe(200);
    await forget(checkoutId, {}, { state: "authorized", amountCaptured: 0 });
    const again = await either(({ client }) => client.capture({ checkoutId }));
    expect(again.payment).toMatchObject({ status: PaymentStatus.PARTIALLY_REFUNDED, amountRefunded: 700 });
  });

  it("after a refund, before it could note it, refunds once, even a day later", async () => {
    const checkoutId = newCheckoutId();
    await authorize(checkoutId);
    await either(({ client }) => client.capture({ checkoutId }));
    await either(({ client }) => client.refund({ checkoutId, refundId: "rf_1", amount: 1_500 }));
    const open = { refundId: "rf_1", requested: 1_500, amount: 1_500, status: "open", generation: 7 };
    // Generation 7 is a key that Stripe has never seen: what it would do with one that it has forgotten.
    await forget(checkoutId, {}, { state: "captured", amountRefunded: 0, refunds: [open] });
    const again = await either(({ client }) => client.refund({ checkoutId, refundId: "rf_1", amount: 1_500 }));
    expect(again).toMatchObject({ amount: 1_500, payment: { amountRefunded: 1_500 } });
    expect(await ledger(checkoutId)).toMatchObject({ captured: 5_000, refunded: 1_500 });
  });
});

describe("two processes at once", () => {
  it("take the same steps of the same checkouts as one", async () => {
    await simulator.plan();
    const both = <Result>(call: (pod: PaymentInstance) => Promise<Result>) =>
      Promise.all(pods.flatMap((pod) => [0, 1, 2].map(() => untilAnswered(() => call(pod)))));
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        const checkoutId = newCheckoutId();
        for (const { payment } of await both(({ client }) => client.authorize(orderFor(checkoutId))))
          expect(payment).toMatchObject({ status: PaymentStatus.AUTHORIZED });
        for (const { payment } of await both(({ client }) => client.capture({ checkoutId })))
          expect(payment).toMatchObject({ status: PaymentStatus.CAPTURED });
        const refund = { checkoutId, refundId: "rf_1", amount: 1_000 };
        for (const { amount } of await both(({ client }) => client.refund(refund))) expect(amount).toBe(1_000);
        expect(await ledger(checkoutId)).toEqual({ intents: 1, authorized: 1, captured: 5_000, refunded: 1_000 });
      }),
    );
  });

  it("that are both in the middle of the same refund give it once", async () => {
    const checkoutId = newCheckoutId();
    await authorize(checkoutId);
    await either(({ client }) => client.capture({ checkoutId }));
    // Slow enough that the second process finds nothing in Stripe's list and sends it too.
    await simulator.plan(faultAt("refund", { type: "latency", ms: 400 }, 1));
    const refund = { checkoutId, refundId: "rf_1", amount: 1_000 };
    const both = await Promise.all(pods.map(({ client }) => untilAnswered(() => client.refund(refund))));
    for (const { amount } of both) expect(amount).toBe(1_000);
    expect(await ledger(checkoutId)).toMatchObject({ captured: 5_000, refunded: 1_000 });
  });

  it("under a storm of random faults charge each checkout once or not at all", async () => {
    const types = ["reset_before_commit", "reset_after_commit", "body_cut", "error_500_unstored", "error_429"];
    await simulator.plan(
      ...types.map((type, index) => ({
        match: { probability: 0.06, seed: 40 + index },
        action: { type },
        count: 1_000,
      })),
      { match: { method: "POST", probability: 0.05, seed: 50 }, action: { type: "error_500_stored" }, count: 1_000 },
    );
    await Promise.all(
      Array.from({ length: 16 }, async (_, index) => {
        const checkoutId = newCheckoutId();
        const call = <Result>(work: (pod: PaymentInstance) => Promise<Result>) => {
          let turn = index;
          return untilAnswered(() => work(pods[turn++ % 2 === 0 ? 0 : 1]), 40);
        };
        const { payment } = await call(({ client }) => client.authorize(orderFor(checkoutId)));
        expect(payment).toMatchObject({ status: PaymentStatus.AUTHORIZED });
        if (index % 4 === 3) {
          await call(({ client }) => client.cancel({ checkoutId, reason: "abandoned" }));
          expect(await ledger(checkoutId)).toMatchObject({ intents: 1, authorized: 0, captured: 0 });
          return;
        }
        await call(({ client }) => client.capture({ checkoutId }));
        await call(({ client }) => client.refund({ checkoutId, refundId: "rf_1", amount: 1_000 }));
        expect(await ledger(checkoutId)).toEqual({ intents: 1, authorized: 1, captured: 5_000, refunded: 1_000 });
      }),
    );
    await simulator.plan();
  });
});
