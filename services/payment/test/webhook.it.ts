// Webhooks: real deliveries of stripe-sim, and forged, old, repeated and reordered ones made here with the same secret.
import { createHmac, randomUUID } from "node:crypto";
import { createServer, type Server } from "node:http";
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
  untilAnswered,
  webhookSecret,
  withMongo,
} from "./harness.js";

interface Delivery {
  readonly body: Buffer;
  readonly signature: string;
}

let simulator: Simulator;
let service: PaymentInstance;
let payments: PaymentClient;
let inbox: Server;
const deliveries: Delivery[] = [];
const database = newDatabase();
const oldSecret = "whsec_before_the_rotation";

beforeAll(async () => {
  inbox = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    deliveries.push({ body: Buffer.concat(chunks), signature: String(request.headers["stripe-signature"]) });
    response.writeHead(200).end();
  });
  await new Promise<void>((resolve) => inbox.listen(0, "127.0.0.1", resolve));
  const { port } = inbox.address() as { port: number };
  simulator = await startSimulator({ STRIPE_WEBHOOK_URL: `http://127.0.0.1:${port}/` });
  service = await startPaymentService({
    stripeUrl: simulator.url,
    database,
    env: { STRIPE_WEBHOOK_SECRET: `${webhookSecret}, ${oldSecret}` },
  });
  payments = service.client;
  await until(() => service.ready());
});
afterAll(async () => {
  await service?.stop();
  await simulator?.stop();
  await new Promise((resolve) => inbox.close(resolve));
  await withMongo((client) => client.db(database).dropDatabase());
});

const parsed = ({ body }: Delivery) =>
  JSON.parse(body.toString()) as { id: string; type: string; data: { object: Record<string, unknown> } };

/** Waits for Stripe's own delivery of this type about this checkout. */
async function delivered(type: string, checkoutId: string): Promise<Delivery> {
  const find = () =>
    deliveries.find((delivery) => {
      const event = parsed(delivery);
      return event.type === type && JSON.stringify(event.data.object["metadata"]).includes(checkoutId);
    });
  await until(() => Promise.resolve(find() !== undefined));
  return find() as Delivery;
}

function signed(body: string | Buffer, { secret = webhookSecret, ageSeconds = 0 } = {}): Delivery {
  const time = Math.floor(Date.now() / 1000) - ageSeconds;
  const digest = createHmac("sha256", secret).update(`${time}.`).update(body).digest("hex");
  return { body: Buffer.from(body), signature: `t=${time},v1=${digest}` };
}
const eventOf = (type: string, object: object, id = `evt_${randomUUID().replaceAll("-", "")}`) =>
  JSON.stringify({ id, object: "event", type, created: Math.floor(Date.now() / 1000), data: { object } });

async function threeDSecure(outcome: "approve" | "fail"): Promise<string> {
  const checkoutId = newCheckoutId();
  const asks = { paymentMethodId: "pm_card_threeDSecure2Required" };
  const { payment } = await payments.authorize(orderFor(checkoutId, asks));
  await simulator.ask("POST", `/_sim/3ds/${payment?.paymentIntentId}`, { outcome });
  return checkoutId;
}

describe("a delivery", () => {
  it("of an approval makes the payment authorized; the same again is answered the same and changes nothing", async () => {
    const checkoutId = await threeDSecure("approve");
    const delivery = await delivered("payment_intent.amount_capturable_updated", checkoutId);
    const first = await payments.handleWebhook(delivery);
    expect(first).toMatchObject({
      stripeEventType: "payment_intent.amount_capturable_updated",
      checkoutId,
      seenBefore: false,
      payment: { status: PaymentStatus.AUTHORIZED },
    });
    const again = await payments.handleWebhook(delivery);
    expect(again).toEqual({ ...first, seenBefore: true });
  });

  it("of a failed 3-D Secure makes it a decline", async () => {
    const checkoutId = await threeDSecure("fail");
    const handled = await payments.handleWebhook(await delivered("payment_intent.payment_failed", checkoutId));
    expect(handled.payment).toMatchObject({
      status: PaymentStatus.UNPAID,
      declineCode: "payment_intent_authentication_failure",
    });
  });

  it("that twenty handlers get at once is applied once", async () => {
    const checkoutId = await threeDSecure("approve");
    const delivery = await delivered("payment_intent.amount_capturable_updated", checkoutId);
    let sent = 0;
    const handled = await Promise.all(
      Array.from({ length: 20 }, () =>
        untilAnswered(() => {
          sent += 1;
          return payments.handleWebhook(delivery);
        }),
      ),
    );
    for (const { payment } of handled) expect(payment).toMatchObject({ status: PaymentStatus.AUTHORIZED });
    const first = handled.filter(({ seenBefore }) => !seenBefore);
    if (sent === handled.length) expect(first).toHaveLength(1);
    else expect(first.length).toBeLessThanOrEqual(1); // none is, when the first one's answer was lost and asked for again
    expect(await payments.handleWebhook(delivery)).toMatchObject({ seenBefore: true });
  });

  it("that comes late never turns back what is true by now", async () => {
    const checkoutId = await threeDSecure("approve");
    await payments.capture({ checkoutId });
    const types = [
      "payment_intent.succeeded",
      "payment_intent.amount_capturable_updated",
      "payment_intent.requires_action",
    ];
    for (const type of types) {
      const handled = await payments.handleWebhook(await delivered(type, checkoutId));
      expect(handled).toMatchObject({ checkoutId, payment: { status: PaymentStatus.CAPTURED } });
    }
  });

  it("about a charge finds its payment by the intent, and brings what was refunded elsewhere", async () => {
    const checkoutId = newCheckoutId();
    await payments.authorize(orderFor(checkoutId));
    const { payment } = await payments.capture({ checkoutId });
    const response = await fetch(`${simulator.url}/v1/refunds`, {
      method: "POST",
      headers: { authorization: "Bearer sk_test_component", "content-type": "application/x-www-form-urlencoded" },
      body: `payment_intent=${payment?.paymentIntentId}&amount=1200`,
    });
    expect(response.status).toBe(200);
    const handled = await payments.handleWebhook(await delivered("charge.refunded", checkoutId));
    expect(handled).toMatchObject({
      checkoutId,
      payment: { status: PaymentStatus.PARTIALLY_REFUNDED, amountRefunded: 1_200 },
    });
  });

  it("can't lie: a rightly signed event that says otherwise only makes us look", async () => {
    const checkoutId = newCheckoutId();
    const { payment } = await payments.authorize(orderFor(checkoutId));
    const lie = eventOf("payment_intent.succeeded", {
      object: "payment_intent",
      id: payment?.paymentIntentId,
      status: "succeeded",
      amount: 5_000,
      amount_received: 5_000,
      currency: "eur",
      metadata: { checkoutId },
    });
    const handled = await payments.handleWebhook(signed(lie));
    expect(handled.payment).toMatchObject({ status: PaymentStatus.AUTHORIZED, amountCaptured: 0 });
  });

  it("makes an intent known whose creation's answer was lost", async () => {
    const checkoutId = newCheckoutId();
    await simulator.plan({
      match: { method: "POST", path: "^/v1/payment_intents$" },
      action: { type: "reset_after_commit" },
    });
    expect(await refusalOf(payments.authorize(orderFor(checkoutId)))).toMatchObject({ code: "UNAVAILABLE" });
    const list = (await (
      await fetch(`${simulator.url}/v1/payment_intents?limit=1`, {
        headers: { authorization: "Bearer sk_test_component" },
      })
    ).json()) as { data: { id: string }[] };
    const handled = await payments.handleWebhook(signed(eventOf("payment_intent.created", list.data[0] as object)));
    expect(handled).toMatchObject({ checkoutId, payment: { paymentIntentId: list.data[0]?.id } });
    const { payment } = await payments.authorize(orderFor(checkoutId));
    expect(payment).toMatchObject({ status: PaymentStatus.AUTHORIZED, paymentIntentId: list.data[0]?.id });
  });

  it.each([
    ["another object", "customer.created", { object: "customer", id: "cus_1", metadata: {} }],
    [
      "an intent of somebody else",
      "payment_intent.created",
      {
        object: "payment_intent",
        id: "pi_other",
        status: "requires_payment_method",
        amount: 1,
        currency: "eur",
        metadata: {},
      },
    ],
    [
      "a checkout that we don't know",
      "payment_intent.created",
      {
        object: "payment_intent",
        id: "pi_other",
        status: "requires_payment_method",
        amount: 1,
        currency: "eur",
        metadata: { checkoutId: "co_unknown" },
      },
    ],
    [
      "metadata that is a trap",
      "payment_intent.created",
      {
        object: "payment_intent",
        id: "pi_other",
        status: "requires_payment_method",
        amount: 1,
        currency: "eur",
        metadata: { checkoutId: "__proto__" },
      },
    ],
  ])("about %s is about nothing of ours", async (_what, type, object) => {
    const handled = await payments.handleWebhook(signed(eventOf(type, object)));
    expect(handled).toMatchObject({ stripeEventType: type, checkoutId: "", seenBefore: false });
    expect(handled.payment).toBeUndefined();
  });

  it("that was cut short midway is applied when it comes again", async () => {
    const checkoutId = await threeDSecure("approve");
    const delivery = await delivered("payment_intent.amount_capturable_updated", checkoutId);
    await simulator.plan({ match: { method: "GET" }, action: { type: "reset_before_commit" } });
    expect(await refusalOf(payments.handleWebhook(delivery))).toMatchObject({ code: "UNAVAILABLE" });
    const handled = await payments.handleWebhook(delivery);
    expect(handled).toMatchObject({ seenBefore: false, payment: { status: PaymentStatus.AUTHORIZED } });
  });

  it("signed with the secret of before the rotation counts too", async () => {
    const body = eventOf("customer.created", { object: "customer", id: "cus_1" });
    expect(await payments.handleWebhook(signed(body, { secret: oldSecret }))).toMatchObject({ checkoutId: "" });
  });
});

describe("WEBHOOK_SIGNATURE_INVALID for", () => {
  const body = eventOf("customer.created", { object: "customer", id: "cus_1" });
  const good = () => signed(body);
  it.each<[string, () => Delivery]>([
    ["another secret", () => signed(body, { secret: "whsec_of_somebody_else" })],
    ["a signature of ten minutes ago", () => signed(body, { ageSeconds: 600 })],
    ["a body of one more space", () => ({ ...good(), body: Buffer.from(`${body} `) })],
    ["no signature", () => ({ ...good(), signature: "" })],
    ["nonsense for a signature", () => ({ ...good(), signature: "v1=\u0000,t=now" })],
    ["a signature without its time", () => ({ ...good(), signature: good().signature.replace(/^t=\d+,/, "") })],
    [
      "a signature of the scheme for tests only",
      () => ({ ...good(), signature: good().signature.replace("v1=", "v0=") }),
    ],
    ["no body", () => ({ ...good(), body: Buffer.alloc(0) })],
  ])("%s", async (_what, delivery) => {
    expect(await refusalOf(payments.handleWebhook(delivery()))).toMatchObject({
      code: "WEBHOOK_SIGNATURE_INVALID",
      error: { refusal: { retryable: false } },
    });
  });

  it.each([
    ["no JSON", "seats"],
    ["no event", "[1]"],
    ["null", "null"],
    ["an event without an object", JSON.stringify({ id: "evt_1", object: "event", type: "x", data: null })],
  ])("a rightly signed body that is %s is refused as invalid", async (_what, text) => {
    expect(await refusalOf(payments.handleWebhook(signed(text)))).toMatchObject({ code: "REQUEST_INVALID" });
  });

  it("and nothing of it is remembered", async () => {
    const noted = await withMongo((client) => client.db(database).collection("webhooks").countDocuments({ type: "x" }));
    expect(noted).toBe(0);
  });
});

it("deliveries are forgotten after a month, by the store itself", async () => {
  const { indexes, entry } = await withMongo(async (client) => ({
    indexes: await client.db(database).collection("webhooks").indexes(),
    entry: await client.db(database).collection("webhooks").findOne({}),
  }));
  expect(indexes).toContainEqual(expect.objectContaining({ key: { expiresAt: 1 }, expireAfterSeconds: 0 }));
  const expiresAt = entry?.["expiresAt"] as Date | undefined;
  const days = ((expiresAt?.getTime() ?? 0) - Date.now()) / 86_400_000;
  expect(days).toBeGreaterThan(29);
  expect(days).toBeLessThanOrEqual(30);
});
