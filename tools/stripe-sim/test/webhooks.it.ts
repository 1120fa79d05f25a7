// Webhooks: signed as the client verifies them, delivered at least once, and as out of order as asked for.

import { rm } from "node:fs/promises";
import { createServer } from "node:http";
import { Stripe } from "stripe";
import { afterEach, describe, expect, it } from "vitest";
import { errorOf, type Receiver, type Sim, startReceiver, startSim, temporaryDirectory, until } from "./a-sim.js";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(env: Record<string, string> = {}, receiver?: Receiver) {
  const to = receiver ?? (await startReceiver());
  if (receiver === undefined) cleanups.push(() => to.stop());
  const sim = await startSim({
    STRIPE_WEBHOOK_URL: to.url,
    STRIPE_WEBHOOK_SECRET: to.secret,
    SIM_WEBHOOK_RETRY_MS: "20",
    ...env,
  });
  cleanups.push(() => sim.stop());
  return { sim, receiver: to };
}

const authorization = {
  amount: 2000,
  currency: "eur",
  capture_method: "manual",
  confirm: true,
  payment_method: "pm_card_visa",
  automatic_payment_methods: { enabled: true, allow_redirects: "never" },
} as const;
const typesOf = (events: readonly Stripe.Event[]) => events.map(({ type }) => type).sort();
const pending = async (sim: Sim) =>
  ((await (await sim.fetch("/_sim/webhooks")).json()) as { pending: { attempts: number }[] }).pending;

describe("webhooks", () => {
  it("tell each step, signed, with the object as it was then", async () => {
    const { sim, receiver } = await start();
    const { id } = await sim.stripe.paymentIntents.create(authorization, { idempotencyKey: "w" });
    await sim.stripe.paymentIntents.capture(id);
    await sim.stripe.refunds.create({ payment_intent: id, amount: 500 });
    const events = await receiver.waitFor(({ length }) => length >= 7);
    expect(typesOf(events)).toEqual([
      "charge.captured",
      "charge.refunded",
      "charge.succeeded",
      "payment_intent.amount_capturable_updated",
      "payment_intent.created",
      "payment_intent.succeeded",
      "refund.created",
    ]);
    const capturable = events.find(({ type }) => type === "payment_intent.amount_capturable_updated")!;
    expect(capturable).toMatchObject({
      object: "event",
      api_version: "2026-10-28.endive",
      livemode: false,
      request: { id: expect.stringMatching(/^req_/), idempotency_key: "w" },
      data: { object: { id, object: "payment_intent", status: "requires_capture", amount_capturable: 2000 } },
    });
    const refunded = events.find(({ type }) => type === "charge.refunded")!;
    expect(refunded.data.object).toMatchObject({ object: "charge", amount_refunded: 500, payment_intent: id });
    const stored = await sim.stripe.events.retrieve(capturable.id);
    expect(stored.data).toEqual(capturable.data);
    await until(async () => ((await pending(sim)).length === 0 ? true : undefined));
    const listed = await sim.stripe.events.list({ types: ["payment_intent.created", "refund.created"] });
    expect(typesOf(listed.data)).toEqual(["payment_intent.created", "refund.created"]);
    expect(listed.data.every(({ pending_webhooks }) => pending_webhooks === 0)).toBe(true);
  });

  it("tell of declines, approvals, refusals and cancellations", async () => {
    const { sim, receiver } = await start();
    await errorOf(sim.stripe.paymentIntents.create({ ...authorization, payment_method: "pm_card_chargeDeclined" }));
    const failed = await receiver.waitFor((all) => all.some(({ type }) => type === "payment_intent.payment_failed"));
    expect(failed.find(({ type }) => type === "payment_intent.payment_failed")!.data.object).toMatchObject({
      status: "requires_payment_method",
      last_payment_error: { code: "card_declined" },
    });
    expect(typesOf(failed)).toContain("charge.failed");
    const waiting = await sim.stripe.paymentIntents.create({
      ...authorization,
      payment_method: "pm_card_authenticationRequired",
    });
    await receiver.waitFor((all) => all.some(({ type }) => type === "payment_intent.requires_action"));
    await sim.fetch(`/_sim/3ds/${waiting.id}`, { method: "POST", body: "approve" });
    await sim.stripe.paymentIntents.cancel(waiting.id);
    const last = await receiver.waitFor((all) => all.some(({ type }) => type === "payment_intent.canceled"));
    const approved = last.find(({ type }) => type === "payment_intent.amount_capturable_updated")!;
    expect(approved.request).toEqual({ id: null, idempotency_key: null });
  });

  it("a wrong secret does not verify, a changed body neither", async () => {
    const { sim, receiver } = await start();
    await sim.stripe.paymentIntents.create(authorization);
    await receiver.waitFor(({ length }) => length >= 1);
    const { body, signature } = receiver.deliveries[0]!;
    const { webhooks } = new Stripe("sk_test_x");
    expect(signature).toMatch(/^t=\d+,v1=[0-9a-f]{64}$/);
    expect(webhooks.constructEvent(body, signature, receiver.secret).id).toMatch(/^evt_/);
    expect(() => webhooks.constructEvent(body, signature, "whsec_other")).toThrow();
    expect(() => webhooks.constructEvent(`${body} `, signature, receiver.secret)).toThrow();
  });

  it("are sent again until somebody says 2xx, and given up at last", async () => {
    const { sim, receiver } = await start({ SIM_WEBHOOK_ATTEMPTS: "4" });
    let refusals = 2;
    receiver.answer((event) => {
      if (event.type === "charge.succeeded") return 500;
      if (event.type !== "payment_intent.created" || refusals === 0) return 200;
      refusals -= 1;
      return 302;
    });
    await sim.stripe.paymentIntents.create(authorization);
    await receiver.waitFor((all) => all.some(({ type }) => type === "payment_intent.created"));
    await until(async () => ((await pending(sim)).length === 0 ? true : undefined));
    const attempts = (type: string) =>
      receiver.deliveries.filter(({ body }) => body.includes(`"type": "${type}"`)).length;
    expect(attempts("payment_intent.created")).toBe(3);
    expect(attempts("charge.succeeded")).toBe(4);
    expect(attempts("payment_intent.amount_capturable_updated")).toBe(1);
  });

  it("wait on disk while nobody listens, across a restart", async () => {
    const directory = await temporaryDirectory();
    cleanups.push(() => rm(directory, { recursive: true, force: true }));
    const early = await startReceiver();
    const port = Number(new URL(early.url).port);
    await early.stop();
    const env = { SIM_DATA_DIR: directory, STRIPE_WEBHOOK_URL: early.url, STRIPE_WEBHOOK_SECRET: early.secret };
    const first = await startSim({ ...env, SIM_WEBHOOK_RETRY_MS: "60000" });
    await first.stripe.paymentIntents.create(authorization);
    await until(async () => ((await pending(first)).every(({ attempts }) => attempts > 0) ? true : undefined));
    expect((await first.stripe.events.list()).data.every(({ pending_webhooks }) => pending_webhooks === 1)).toBe(true);
    await first.stop();
    const late = await startReceiver(port);
    cleanups.push(() => late.stop());
    // The wait of the first process goes on in the second one: it is cut short by asking for the event once more.
    const second = await startSim(env);
    cleanups.push(() => second.stop());
    expect(await pending(second)).toHaveLength(3);
    const { data } = await second.stripe.events.list({ type: "payment_intent.created" });
    expect((await second.fetch(`/_sim/webhooks/${data[0]!.id}`, { method: "POST" })).status).toBe(202);
    await late.waitFor((all) => all.some(({ id }) => id === data[0]!.id));
  });

  it("come due after a restart", async () => {
    const directory = await temporaryDirectory();
    cleanups.push(() => rm(directory, { recursive: true, force: true }));
    const receiver = await startReceiver();
    cleanups.push(() => receiver.stop());
    const env = { SIM_DATA_DIR: directory, STRIPE_WEBHOOK_URL: receiver.url, STRIPE_WEBHOOK_SECRET: receiver.secret };
    const first = await startSim({ ...env, SIM_WEBHOOK_DELAY_MS: "1500" });
    await first.stripe.paymentIntents.create(authorization);
    await first.stop();
    expect(receiver.events).toHaveLength(0);
    const second = await startSim(env);
    cleanups.push(() => second.stop());
    await receiver.waitFor(({ length }) => length === 3);
  });

  it("are doubled and overtaken as often as asked for, the same way for the same seed", async () => {
    const orderWith = async (seed: string) => {
      const { sim, receiver } = await start({
        SIM_SEED: seed,
        SIM_WEBHOOK_DUPLICATES: "0.5",
        SIM_WEBHOOK_REORDERED: "0.5",
        SIM_WEBHOOK_REORDER_MS: "400",
        SIM_WEBHOOK_CONCURRENCY: "1",
      });
      for (let at = 0; at < 5; at += 1) await sim.stripe.paymentIntents.create(authorization);
      await until(async () => ((await pending(sim)).length === 0 ? true : undefined));
      const made = (await sim.stripe.events.list({ limit: 100 })).data.map(({ id }) => id).reverse();
      return receiver.events.map(({ id }) => made.indexOf(id));
    };
    const seen = await orderWith("7");
    expect(new Set(seen).size).toBe(15);
    expect(seen.length).toBeGreaterThan(15);
    expect(seen).not.toEqual([...seen].sort((left, right) => left - right));
    const copies = (order: readonly number[]) => [...order].sort((left, right) => left - right);
    expect(copies(await orderWith("7"))).toEqual(copies(seen));
  });

  it("are lost, doubled or late for a request that the fault plan names", async () => {
    const { sim, receiver } = await start();
    await sim.faults({ match: { method: "POST", nth: 1 }, action: { type: "webhook_drop" } });
    const lost = await sim.stripe.paymentIntents.create(authorization);
    await sim.faults({ match: { path: "/capture$" }, action: { type: "webhook_duplicate" } });
    await sim.stripe.paymentIntents.capture(lost.id);
    await receiver.waitFor(({ length }) => length === 4);
    expect(typesOf(receiver.events)).toEqual([
      "charge.captured",
      "charge.captured",
      "payment_intent.succeeded",
      "payment_intent.succeeded",
    ]);
    expect((await sim.stripe.events.list({ type: "payment_intent.created" })).data).toHaveLength(1);
    await sim.faults({ match: { path: "/refunds$" }, action: { type: "webhook_delay", ms: 300 } });
    const before = Date.now();
    await sim.stripe.refunds.create({ payment_intent: lost.id });
    await receiver.waitFor(({ length }) => length === 6);
    expect(Date.now() - before).toBeGreaterThanOrEqual(300);
  });

  it("never hold up the API: a receiver that does not answer", async () => {
    const stuck = createServer(() => undefined);
    await new Promise<void>((resolve) => stuck.listen(0, "127.0.0.1", resolve));
    cleanups.push(async () => stuck.closeAllConnections());
    const { port } = stuck.address() as { port: number };
    const { sim } = await start({
      STRIPE_WEBHOOK_URL: `http://127.0.0.1:${port}/`,
      SIM_WEBHOOK_CONCURRENCY: "2",
      SIM_WEBHOOK_TIMEOUT_MS: "60000",
    });
    for (let at = 0; at < 10; at += 1) await sim.stripe.paymentIntents.create(authorization);
    const connections = await new Promise((resolve) => stuck.getConnections((_, count) => resolve(count)));
    expect(connections).toBe(2);
    expect(await pending(sim)).toHaveLength(30);
    stuck.close();
  });

  it("need both an address and a secret", async () => {
    await expect(startSim({ STRIPE_WEBHOOK_URL: "http://127.0.0.1:1/" })).rejects.toThrow("go together");
    await expect(startSim({ STRIPE_WEBHOOK_SECRET: "secret" })).rejects.toThrow("whsec_");
  });
});
