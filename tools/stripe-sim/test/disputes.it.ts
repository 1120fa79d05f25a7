// Disputes, and what a bank says later about refunds, through the official client and by control.
import { rm } from "node:fs/promises";
import type { Stripe } from "stripe";
import { afterEach, describe, expect, it } from "vitest";
import { errorOf, type Receiver, type Sim, startReceiver, startSim, temporaryDirectory, until } from "./a-sim.js";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(env: Record<string, string> = {}): Promise<{ sim: Sim; receiver: Receiver }> {
  const receiver = await startReceiver();
  cleanups.push(() => receiver.stop());
  const sim = await startSim({
    STRIPE_WEBHOOK_URL: receiver.url,
    STRIPE_WEBHOOK_SECRET: receiver.secret,
    SIM_DISPUTE_OPEN_MS: "50",
    SIM_DISPUTE_SETTLE_MS: "50",
    SIM_REFUND_SETTLE_MS: "60000",
    ...env,
  });
  cleanups.push(() => sim.stop());
  return { sim, receiver };
}

async function paid({ stripe }: Sim, method: string): Promise<string> {
  const { id } = await stripe.paymentIntents.create({
    amount: 4950,
    currency: "eur",
    confirm: true,
    payment_method: method,
    automatic_payment_methods: { enabled: true, allow_redirects: "never" },
  });
  return id;
}
const disputeOf = ({ stripe }: Sim, id: string): Promise<Stripe.Dispute> =>
  until(async () => (await stripe.disputes.list({ payment_intent: id })).data[0]);
const told = (receiver: Receiver, id: string) =>
  receiver.events.filter(({ data }) => (data.object as { id?: string }).id === id).map(({ type }) => type);
const bankSays = (sim: Sim, path: string, word: object) =>
  sim.fetch(`/_sim/${path}`, { method: "POST", body: JSON.stringify(word) });

describe("a card that disputes", () => {
  it.each([
    ["pm_card_createDispute", "fraudulent"],
    ["pm_card_createDisputeProductNotReceived", "product_not_received"],
  ])("%s takes the money; winning evidence brings it back", async (method, reason) => {
    const { sim, receiver } = await start();
    const id = await paid(sim, method);
    const dispute = await disputeOf(sim, id);
    expect(dispute).toMatchObject({
      object: "dispute",
      amount: 4950,
      reason,
      status: "needs_response",
      payment_intent: id,
      is_charge_refundable: false,
      evidence_details: { has_evidence: false, submission_count: 0, due_by: expect.any(Number) },
      balance_transactions: [{ amount: -4950, reporting_category: "dispute" }],
    });
    expect(await sim.ledger(id)).toMatchObject({ captured: 4950, refunded: 0, disputed: 4950 });
    expect(await sim.stripe.charges.retrieve(String(dispute.charge))).toMatchObject({ disputed: true });
    expect(await errorOf(sim.stripe.refunds.create({ payment_intent: id }))).toMatchObject({
      statusCode: 400,
      code: "charge_disputed",
    });

    const staged = await sim.stripe.disputes.update(dispute.id, {
      evidence: { customer_name: "A. Buyer", product_description: "Two seats" },
      submit: false,
    });
    expect(staged).toMatchObject({ status: "needs_response", evidence_details: { has_evidence: true } });
    const sent = await sim.stripe.disputes.update(dispute.id, { evidence: { uncategorized_text: "winning_evidence" } });
    expect(sent).toMatchObject({
      status: "under_review",
      evidence: { customer_name: "A. Buyer", uncategorized_text: "winning_evidence" },
      evidence_details: { submission_count: 1, due_by: null },
    });
    expect(await errorOf(sim.stripe.disputes.update(dispute.id, { submit: true }))).toMatchObject({ statusCode: 400 });
    await receiver.waitFor((events) => events.some(({ type }) => type === "charge.dispute.closed"));
    expect(await sim.stripe.disputes.retrieve(dispute.id)).toMatchObject({ status: "won" });
    expect(await sim.ledger(id)).toMatchObject({ disputed: 0 });
    await until(async () => (told(receiver, dispute.id).length >= 6 ? true : undefined));
    expect(told(receiver, dispute.id).toSorted()).toEqual([
      "charge.dispute.closed",
      "charge.dispute.created",
      "charge.dispute.funds_reinstated",
      "charge.dispute.funds_withdrawn",
      "charge.dispute.updated",
      "charge.dispute.updated",
    ]);
    expect(await sim.stripe.refunds.create({ payment_intent: id })).toMatchObject({ amount: 4950 });
  });

  it("loses for us with losing evidence, or when nobody answers in time", async () => {
    const { sim } = await start({ SIM_DISPUTE_DUE_MS: "2000" });
    const [answered, ignored] = [await paid(sim, "pm_card_createDispute"), await paid(sim, "pm_card_createDispute")];
    const { id } = await disputeOf(sim, answered);
    await sim.stripe.disputes.update(id, { evidence: { uncategorized_text: "losing_evidence" } });
    for (const payment of [answered, ignored]) {
      await until(async () => ((await disputeOf(sim, payment)).status === "lost" ? true : undefined));
      expect(await sim.ledger(payment)).toMatchObject({ disputed: 4950 });
      expect(await errorOf(sim.stripe.refunds.create({ payment_intent: payment }))).toMatchObject({
        code: "charge_disputed",
      });
    }
    expect((await disputeOf(sim, ignored)).evidence_details).toMatchObject({ past_due: true, submission_count: 0 });
  });

  it("may only ask: an inquiry can be refunded, and can become a dispute", async () => {
    const { sim } = await start();
    const id = await paid(sim, "pm_card_createDisputeInquiry");
    const inquiry = await disputeOf(sim, id);
    expect(inquiry).toMatchObject({
      status: "warning_needs_response",
      is_charge_refundable: true,
      balance_transactions: [],
    });
    expect(await sim.ledger(id)).toMatchObject({ disputed: 0 });
    expect(await sim.stripe.refunds.create({ payment_intent: id, amount: 950 })).toMatchObject({ status: "succeeded" });
    await sim.stripe.disputes.update(inquiry.id, { evidence: { uncategorized_text: "escalate_inquiry_evidence" } });
    await until(async () => ((await disputeOf(sim, id)).status === "needs_response" ? true : undefined));
    expect(await sim.ledger(id)).toMatchObject({ disputed: 4950, refunded: 950 });
  });

  it("still does when the simulator was away in between", async () => {
    const directory = await temporaryDirectory();
    cleanups.push(() => rm(directory, { recursive: true, force: true }));
    const before = await startSim({ SIM_DATA_DIR: directory, SIM_DISPUTE_OPEN_MS: "600" });
    const id = await paid(before, "pm_card_createDispute");
    await before.stop();
    const { sim } = await start({ SIM_DATA_DIR: directory });
    expect(await disputeOf(sim, id)).toMatchObject({ status: "needs_response" });
  });
});

describe("by control", () => {
  it("any payment is disputed, in part too, and decided", async () => {
    const { sim } = await start();
    const id = await paid(sim, "pm_card_visa");
    expect((await bankSays(sim, `disputes/${id}`, { amount: 4951 })).status).toBe(409);
    expect((await bankSays(sim, `disputes/${id}`, { amount: 950, reason: "duplicate" })).status).toBe(200);
    const dispute = await disputeOf(sim, id);
    expect(dispute).toMatchObject({ amount: 950, reason: "duplicate" });
    expect((await bankSays(sim, `disputes/${dispute.id}`, { outcome: "won" })).status).toBe(200);
    expect(await disputeOf(sim, id)).toMatchObject({ status: "won" });
    expect((await bankSays(sim, `disputes/${dispute.id}`, { outcome: "lost" })).status).toBe(409);
    expect((await bankSays(sim, "disputes/du_none", { outcome: "lost" })).status).toBe(404);
    expect((await bankSays(sim, `disputes/${dispute.id}`, { outcome: "perhaps" })).status).toBe(400);
  });

  it("a refund that waits fails, with its reason and its three events; and one that arrived comes back", async () => {
    const { sim, receiver } = await start();
    const slow = await paid(sim, "pm_card_pendingRefund");
    const pending = await sim.stripe.refunds.create({ payment_intent: slow });
    expect(pending.status).toBe("pending");
    await bankSays(sim, `refunds/${pending.id}`, { status: "failed", failure_reason: "lost_or_stolen_card" });
    const id = await paid(sim, "pm_card_visa");
    const arrived = await sim.stripe.refunds.create({ payment_intent: id });
    await bankSays(sim, `refunds/${arrived.id}`, { status: "failed" });
    for (const [refund, payment, reason] of [
      [pending.id, slow, "lost_or_stolen_card"],
      [arrived.id, id, "expired_or_canceled_card"],
    ] as const) {
      expect(await sim.stripe.refunds.retrieve(refund)).toMatchObject({
        status: "failed",
        failure_reason: reason,
        failure_balance_transaction: expect.stringMatching(/^txn_/),
      });
      expect(await sim.ledger(payment)).toMatchObject({ captured: 4950, refunded: 0, refunds: 0 });
      await until(async () => (told(receiver, refund).length === 4 ? true : undefined));
      expect(told(receiver, refund).toSorted()).toEqual([
        "charge.refund.updated",
        "refund.created",
        "refund.failed",
        "refund.updated",
      ]);
    }
    expect((await bankSays(sim, `refunds/${arrived.id}`, { status: "succeeded" })).status).toBe(409);
  });

  it("only a refund that waits for its buyer can be cancelled", async () => {
    const { sim } = await start();
    const id = await paid(sim, "pm_card_pendingRefund");
    const refund = await sim.stripe.refunds.create({ payment_intent: id });
    expect(await errorOf(sim.stripe.refunds.cancel(refund.id))).toMatchObject({ statusCode: 400 });
    await bankSays(sim, `refunds/${refund.id}`, { status: "requires_action" });
    expect(await sim.stripe.refunds.cancel(refund.id)).toMatchObject({ status: "canceled" });
    expect(await sim.ledger(id)).toMatchObject({ refunded: 0, refunds: 0 });
    expect(await sim.stripe.refunds.create({ payment_intent: id })).toMatchObject({ amount: 4950 });
  });
});

describe("lists for the books", () => {
  it("have a charge's refunds within, ten of them, and pages for the rest", async () => {
    const { sim } = await start();
    const id = await paid(sim, "pm_card_visa");
    const made: string[] = [];
    for (let count = 0; count < 12; count += 1)
      made.unshift((await sim.stripe.refunds.create({ payment_intent: id, amount: 10 + count })).id);
    const { data } = await sim.stripe.paymentIntents.list({
      created: { gte: 1, lte: Math.ceil(Date.now() / 1000) },
      expand: ["data.latest_charge.refunds"],
    });
    const refunds = (data[0]!.latest_charge as Stripe.Charge).refunds!;
    expect(refunds).toMatchObject({ object: "list", has_more: true });
    expect(refunds.data.map((refund) => refund.id)).toEqual(made.slice(0, 10));
    const rest = await sim.stripe.refunds.list({ payment_intent: id, limit: 100, starting_after: made[9]! });
    expect([rest.data.map((refund) => refund.id), rest.has_more]).toEqual([made.slice(10), false]);
    expect((await sim.stripe.paymentIntents.list({ created: { lt: 1 } })).data).toEqual([]);
    // Without being asked for, they are not there.
    expect(await sim.stripe.paymentIntents.retrieve(id, { expand: ["latest_charge"] })).not.toHaveProperty(
      "latest_charge.refunds",
    );
  });
});
