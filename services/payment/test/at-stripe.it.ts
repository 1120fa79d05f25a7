// Money that moves at Stripe itself: refunds of its dashboard, refunds that a bank sends back, disputes; and the books.
import { createServer, type Server } from "node:http";
import {
  DisputeStatus,
  type ListedPayment,
  type Payment,
  PaymentStatus,
  RefundStatus,
  type StripePayment,
} from "@onsale/proto/payment/v1/payment";
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

let simulator: Simulator;
let service: PaymentInstance;
let payments: PaymentClient;
let inbox: Server;
const handled: string[] = [];
const database = newDatabase();

beforeAll(async () => {
  // Stripe's deliveries go straight to the service, as through the gateway.
  inbox = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const delivery = { body: Buffer.concat(chunks), signature: String(request.headers["stripe-signature"]) };
    const status = await payments.handleWebhook(delivery).then(
      ({ stripeEventType, checkoutId }) => {
        handled.push(`${stripeEventType} ${checkoutId}`);
        return 200;
      },
      () => 503,
    );
    response.writeHead(status).end();
  });
  await new Promise<void>((resolve) => inbox.listen(0, "127.0.0.1", resolve));
  const { port } = inbox.address() as { port: number };
  simulator = await startSimulator({
    STRIPE_WEBHOOK_URL: `http://127.0.0.1:${port}/`,
    SIM_WEBHOOK_RETRY_MS: "100",
    SIM_REFUND_SETTLE_MS: "60000",
    SIM_DISPUTE_OPEN_MS: "50",
    SIM_DISPUTE_SETTLE_MS: "50",
  });
  service = await startPaymentService({ stripeUrl: simulator.url, database });
  payments = service.client;
  await until(() => service.ready());
});
afterAll(async () => {
  await simulator?.stop();
  await service?.stop();
  await new Promise((resolve) => inbox.close(resolve));
  await withMongo((client) => client.db(database).dropDatabase());
});

async function captured(paymentMethodId = "pm_card_visa"): Promise<string> {
  const checkoutId = newCheckoutId();
  await payments.authorize(orderFor(checkoutId, { paymentMethodId }));
  await payments.capture({ checkoutId });
  return checkoutId;
}
const known = async (checkoutId: string, refresh = false): Promise<Payment> => {
  const { payment } = await payments.getPayment({ checkoutId, refresh });
  if (!payment) throw new Error("there is a payment");
  return payment;
};
async function refundAtStripe(checkoutId: string, amount: number): Promise<string> {
  const { paymentIntentId } = await known(checkoutId);
  const response = await fetch(`${simulator.url}/v1/refunds`, {
    method: "POST",
    headers: { authorization: "Bearer sk_test_dashboard", "content-type": "application/x-www-form-urlencoded" },
    body: `payment_intent=${paymentIntentId}&amount=${amount}`,
  });
  return ((await response.json()) as { id: string }).id;
}
const bankSays = (path: string, word: object) => simulator.ask("POST", `/_sim/${path}`, word);
/** Without asking Stripe: only its webhooks have told. */
const toldOf = (checkoutId: string, is: (payment: Payment) => boolean) =>
  until(async () => is(await known(checkoutId)));

describe("a refund made at Stripe itself", () => {
  it("reaches the record by webhook, beside ours, and counts against what is left", async () => {
    const checkoutId = await captured();
    const ours = await payments.refund({ checkoutId, refundId: "rf_1", amount: 1_000 });
    expect(ours).toMatchObject({ amount: 1_000, status: RefundStatus.SUCCEEDED });
    const outside = await refundAtStripe(checkoutId, 1_500);
    await toldOf(checkoutId, ({ refunds }) => refunds.length === 2);
    const payment = await known(checkoutId);
    expect(payment).toMatchObject({ status: PaymentStatus.PARTIALLY_REFUNDED, amountRefunded: 2_500 });
    expect(payment.refunds.find(({ refundId }) => refundId === outside)).toMatchObject({
      stripeRefundId: outside,
      amount: 1_500,
      status: RefundStatus.SUCCEEDED,
      outside: true,
      createdAtMs: expect.any(Number),
    });
    expect(payment.refunds.find(({ refundId }) => refundId === "rf_1")).toMatchObject({
      stripeRefundId: ours.stripeRefundId,
      outside: false,
    });
    expect(await payments.refund({ checkoutId, refundId: "rf_2", amount: 0 })).toMatchObject({ amount: 2_500 });
  });

  it("is found among more than Stripe tells at once", async () => {
    const checkoutId = await captured();
    for (let count = 0; count < 12; count += 1) await refundAtStripe(checkoutId, 10 + count);
    const payment = await known(checkoutId, true);
    expect(payment.refunds.map(({ amount }) => amount)).toEqual(Array.from({ length: 12 }, (_, count) => 10 + count));
    expect(payment.amountRefunded).toBe(payment.refunds.reduce((sum, { amount }) => sum + amount, 0));
  });
});

describe("a refund that the bank sends back", () => {
  it("fails after it had succeeded, with its reason; the money is there for another", async () => {
    const checkoutId = await captured();
    const { stripeRefundId } = await payments.refund({ checkoutId, refundId: "rf_1", amount: 0 });
    await bankSays(`refunds/${stripeRefundId}`, { status: "failed", failure_reason: "lost_or_stolen_card" });
    await toldOf(checkoutId, ({ refunds: [refund] }) => refund?.status === RefundStatus.FAILED);
    expect(await known(checkoutId)).toMatchObject({
      status: PaymentStatus.CAPTURED,
      amountRefunded: 0,
      refunds: [{ refundId: "rf_1", failureReason: "lost_or_stolen_card" }],
    });
    expect(await refusalOf(payments.refund({ checkoutId, refundId: "rf_1", amount: 0 }))).toMatchObject({
      code: "PAYMENT_STATE_CONFLICT",
      error: { details: { refundStatus: "failed", failureReason: "lost_or_stolen_card" } },
    });
    expect(await payments.refund({ checkoutId, refundId: "rf_2", amount: 0 })).toMatchObject({
      amount: 5_000,
      status: RefundStatus.SUCCEEDED,
    });
  });

  it("may wait first, and then fail, arrive, or be cancelled", async () => {
    for (const [word, status, given] of [
      ["failed", RefundStatus.FAILED, 0],
      ["succeeded", RefundStatus.SUCCEEDED, 5_000],
      ["canceled", RefundStatus.CANCELED, 0],
    ] as const) {
      const checkoutId = await captured("pm_card_pendingRefund");
      const sent = await payments.refund({ checkoutId, refundId: "rf_1", amount: 0 });
      expect(sent).toMatchObject({ status: RefundStatus.PENDING, payment: { amountRefunded: 5_000 } });
      await bankSays(`refunds/${sent.stripeRefundId}`, { status: word });
      await toldOf(checkoutId, ({ refunds: [refund] }) => refund?.status === status);
      expect(await known(checkoutId)).toMatchObject({ amountRefunded: given });
    }
  });
});

describe("a dispute", () => {
  const disputed = async (method = "pm_card_createDispute"): Promise<{ checkoutId: string; disputeId: string }> => {
    const checkoutId = await captured(method);
    await toldOf(checkoutId, ({ disputes }) => disputes.length === 1);
    const [dispute] = (await known(checkoutId)).disputes;
    return { checkoutId, disputeId: dispute?.disputeId ?? "" };
  };

  it("reaches the record by webhook with its deadline; its money can't be refunded until it is won", async () => {
    const { checkoutId, disputeId } = await disputed();
    expect((await known(checkoutId)).disputes).toMatchObject([
      { amount: 5_000, reason: "fraudulent", status: DisputeStatus.NEEDS_RESPONSE, hasEvidence: false },
    ]);
    expect((await known(checkoutId)).disputes[0]?.evidenceDueMs).toBeGreaterThan(Date.now());
    expect(await refusalOf(payments.refund({ checkoutId, refundId: "rf_1", amount: 0 }))).toMatchObject({
      code: "PAYMENT_STATE_CONFLICT",
      error: { details: { left: 0, disputed: 5_000 } },
    });
    const evidence = { uncategorized_text: "winning_evidence" };
    await payments.submitDisputeEvidence({ checkoutId, disputeId, evidence, submit: true });
    await toldOf(checkoutId, ({ disputes: [dispute] }) => dispute?.status === DisputeStatus.WON);
    expect(await payments.refund({ checkoutId, refundId: "rf_1", amount: 0 })).toMatchObject({ amount: 5_000 });
  });

  it("about a part of the payment: Stripe refunds nothing of the rest, and that is told as what it is", async () => {
    const checkoutId = await captured();
    const { paymentIntentId } = await known(checkoutId);
    await bankSays(`disputes/${paymentIntentId}`, { reason: "duplicate", amount: 1_000 });
    const refused = await refusalOf(payments.refund({ checkoutId, refundId: "rf_1", amount: 2_000 }));
    expect(refused).toMatchObject({
      code: "PAYMENT_STATE_CONFLICT",
      error: { details: { stripeCode: "charge_disputed" } },
    });
    expect((await known(checkoutId)).disputes).toMatchObject([{ amount: 1_000, reason: "duplicate" }]);
    expect((await known(checkoutId)).refunds).toEqual([]);
  });

  it("takes evidence in parts; the same again does nothing; after it was sent nothing is added", async () => {
    const { checkoutId, disputeId } = await disputed("pm_card_createDisputeProductNotReceived");
    const give = (evidence: Record<string, string>, submit = false) =>
      payments.submitDisputeEvidence({ checkoutId, disputeId, evidence, submit });
    expect(await give({ customer_name: "A. Buyer" })).toMatchObject({
      dispute: { status: DisputeStatus.NEEDS_RESPONSE, hasEvidence: true },
    });
    await give({ customer_name: "Another" });
    // Back to what was there before: a new request, though it looks like the first one.
    await give({ customer_name: "A. Buyer" });
    await give({ product_description: "Two seats", service_date: "2027-03-01" }, true);
    const again = await give({ product_description: "Two seats" }, true);
    expect(again).toMatchObject({ dispute: { status: DisputeStatus.UNDER_REVIEW, evidenceDueMs: 0 } });
    expect((await payments.getDisputeEvidence({ checkoutId, disputeId })).evidence).toEqual({
      customer_name: "A. Buyer",
      product_description: "Two seats",
      service_date: "2027-03-01",
    });
    expect(await refusalOf(give({ product_description: "Three seats" }, true))).toMatchObject({
      code: "DISPUTE_CLOSED",
    });
  });

  it("has its evidence sent once, whatever happens to Stripe's answer", async () => {
    for (const action of [
      { type: "reset_after_commit" },
      { type: "reset_before_commit" },
      { type: "error_500_stored", executed: true },
      { type: "error_500_stored" },
    ]) {
      const { checkoutId, disputeId } = await disputed();
      await simulator.plan({ match: { method: "POST", path: `/disputes/${disputeId}$` }, action });
      const give = () =>
        payments.submitDisputeEvidence({ checkoutId, disputeId, evidence: { customer_name: "X" }, submit: true });
      let answer = await refusalOf(give());
      for (let tries = 0; answer.code === "UNAVAILABLE" && tries < 5; tries += 1) answer = await refusalOf(give());
      expect(answer.code, JSON.stringify(action)).toBe("none");
      expect(await payments.getDisputeEvidence({ checkoutId, disputeId })).toMatchObject({
        dispute: { status: DisputeStatus.UNDER_REVIEW },
        evidence: { customer_name: "X" },
      });
    }
  });

  it("of another checkout, or none, is not this one's; and what is no evidence is refused", async () => {
    const [one, other] = [await disputed(), await captured()];
    const ask = { evidence: { customer_name: "X" }, submit: false };
    for (const [checkoutId, disputeId] of [
      [other, one.disputeId],
      [one.checkoutId, "du_none"],
      [newCheckoutId(), one.disputeId],
    ] as const) {
      const notFound = { code: "DISPUTE_NOT_FOUND" };
      expect(await refusalOf(payments.submitDisputeEvidence({ checkoutId, disputeId, ...ask }))).toMatchObject(
        notFound,
      );
      expect(await refusalOf(payments.getDisputeEvidence({ checkoutId, disputeId }))).toMatchObject(notFound);
    }
    for (const evidence of [{ favourite_colour: "red" }, { customer_name: "x".repeat(20_001) }])
      expect(await refusalOf(payments.submitDisputeEvidence({ ...one, ...ask, evidence }))).toMatchObject({
        code: "REQUEST_INVALID",
      });
    expect(await refusalOf(payments.getDisputeEvidence({ ...one, disputeId: "../refunds" }))).toMatchObject({
      code: "REQUEST_INVALID",
    });
  });
});

describe("the books", () => {
  it("list Stripe's payments page by page beside our records, with what is not ours", async () => {
    const since = Math.floor(Date.now() / 1000) * 1000;
    const refundedId = await captured();
    await refundAtStripe(refundedId, 700);
    const disputedId = await captured();
    await bankSays(`disputes/${(await known(disputedId)).paymentIntentId}`, { amount: 900 });
    const open = newCheckoutId();
    await payments.authorize(orderFor(open));
    await payments.cancel({ checkoutId: open, reason: "abandoned" });
    const stranger = (await (
      await fetch(`${simulator.url}/v1/payment_intents`, {
        method: "POST",
        headers: { authorization: "Bearer sk_test_another", "content-type": "application/x-www-form-urlencoded" },
        body: "amount=1234&currency=eur",
      })
    ).json()) as { id: string };

    const rows: StripePayment[] = [];
    for (let cursor = ""; ; ) {
      const page = await payments.listStripePayments({ createdSinceMs: since, createdBeforeMs: 0, cursor, limit: 3 });
      expect(page.payments.length).toBeLessThanOrEqual(3);
      rows.push(...page.payments);
      cursor = page.nextCursor;
      if (cursor === "") break;
    }
    expect(new Set(rows.map(({ paymentIntentId }) => paymentIntentId)).size).toBe(rows.length);
    const of = (checkoutId: string) => rows.find((row) => row.checkoutId === checkoutId);
    expect(of(refundedId)).toMatchObject({
      stripeStatus: "succeeded",
      amount: 5_000,
      currency: "EUR",
      amountCaptured: 5_000,
      amountRefunded: 700,
      amountDisputed: 0,
      refunds: [{ amount: 700, outside: true }],
      record: { checkoutId: refundedId, status: expect.anything() },
    });
    expect(of(disputedId)).toMatchObject({ amountDisputed: 900, disputes: [{ amount: 900 }] });
    expect(of(open)).toMatchObject({ stripeStatus: "canceled", amountCaptured: 0, amountRefunded: 0, refunds: [] });
    const foreign = rows.find(({ paymentIntentId }) => paymentIntentId === stranger.id);
    expect(foreign).toMatchObject({ checkoutId: "", amount: 1_234 });
    expect(foreign?.record).toBeUndefined();
    const before = { createdSinceMs: 0, createdBeforeMs: since - 3_600_000, cursor: "", limit: 0 };
    expect(await payments.listStripePayments(before)).toEqual({ payments: [], nextCursor: "" });
    expect(await refusalOf(payments.listStripePayments({ ...before, cursor: "pi_unheard_of" }))).toMatchObject({
      code: "REQUEST_INVALID",
    });
  });

  it("list our records in order of their change, each once, without tombstones", async () => {
    const since = Date.now();
    const made = [await captured(), await captured(), await captured(), await captured()];
    await payments.cancel({ checkoutId: newCheckoutId(), reason: "abandoned" });
    const all = async (more: object = {}) => {
      const rows: ListedPayment[] = [];
      for (let cursor = ""; ; ) {
        const asked = { changedSinceMs: since, changedBeforeMs: 0, statuses: [], limit: 1, ...more, cursor };
        const page = await payments.listPayments(asked);
        rows.push(...page.payments);
        cursor = page.nextCursor;
        if (cursor === "") return rows;
      }
    };
    const ids = async (more: object = {}) => (await all(more)).map(({ payment }) => payment?.checkoutId);
    // Webhooks of these payments are under way and may move them to the end.
    await until(async () => made.every((id) => handled.includes(`payment_intent.succeeded ${id}`)));
    const listed = await all();
    expect(
      listed
        .map(({ payment }) => payment?.checkoutId)
        .filter((id) => made.includes(id ?? ""))
        .toSorted(),
    ).toEqual(made.toSorted());
    const changes = listed.map(({ changedAtMs }) => changedAtMs);
    expect(changes).toEqual(changes.toSorted((a, b) => a - b));
    expect(listed.find(({ payment }) => payment?.checkoutId === made[0])).toMatchObject({
      userId: "acc_buyer",
      eventId: "ev_concert",
      createdAtMs: expect.any(Number),
    });
    expect(listed.every(({ payment }) => payment?.paymentIntentId !== "")).toBe(true);
    await payments.refund({ checkoutId: made[1] ?? "", refundId: "rf_1", amount: 0 });
    expect(await ids({ statuses: [PaymentStatus.REFUNDED] })).toEqual([made[1]]);
    expect((await ids()).at(-1)).toBe(made[1]);
    expect(await ids({ changedBeforeMs: since })).toEqual([]);
    const tombstone = newCheckoutId();
    await payments.cancel({ checkoutId: tombstone, reason: "abandoned" });
    const { payments: found } = await payments.findPayments({
      checkoutIds: [made[0] ?? "", tombstone, "chk_unheard_of"],
    });
    expect(found).toEqual([listed.find(({ payment }) => payment?.checkoutId === made[0])]);
    const bad = { changedSinceMs: 0, changedBeforeMs: 0, statuses: [], cursor: "nonsense", limit: 1 };
    expect(await refusalOf(payments.listPayments(bad))).toMatchObject({ code: "REQUEST_INVALID" });
    expect(await refusalOf(payments.listPayments({ ...bad, cursor: "", limit: 501 }))).toMatchObject({
      code: "REQUEST_INVALID",
    });
  });
});

it("a record of before these were kept reads well, and learns of them", async () => {
  const checkoutId = await captured();
  await payments.refund({ checkoutId, refundId: "rf_1", amount: 1_000 });
  await until(() => Promise.resolve(handled.includes(`refund.created ${checkoutId}`)));
  await withMongo((client) =>
    client
      .db(database)
      .collection<{ _id: string }>("payments")
      .updateOne(
        { _id: checkoutId },
        {
          $unset: { disputes: "" },
          $set: {
            refunds: [{ refundId: "rf_1", requested: 1_000, amount: 1_000, status: "succeeded", generation: 0 }],
          },
        },
      ),
  );
  expect(await known(checkoutId)).toMatchObject({ refunds: [{ refundId: "rf_1", createdAtMs: 0 }], disputes: [] });
  expect((await known(checkoutId, true)).refunds).toMatchObject([
    { refundId: "rf_1", stripeRefundId: expect.stringMatching(/^re_/), createdAtMs: expect.any(Number) },
  ]);
});

it("counts refunds and disputes by what they came to", async () => {
  const metrics = await service.metrics();
  for (const outcome of ["succeeded", "failed", "canceled", "pending", "outside"])
    expect(metrics).toMatch(new RegExp(`onsale_refunds_total\\{outcome="${outcome}",service="payment"\\} [1-9]`));
  for (const outcome of ["needs_response", "under_review", "won"])
    expect(metrics).toMatch(new RegExp(`onsale_disputes_total\\{outcome="${outcome}",service="payment"\\} [1-9]`));
  expect(metrics).toMatch(/onsale_disputes_total\{outcome="lost",service="payment"\} 0/);
});
