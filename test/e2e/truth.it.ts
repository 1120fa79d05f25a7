// What operators and support do with their own tools, on the whole stack: Temporal's Reset and Terminate, a refund and a dispute at Stripe.
import { randomUUID } from "node:crypto";
import { checkoutWorkflowId, workflowTypes } from "@onsale/workflows/contract";
import { afterAll, beforeAll, expect, it } from "vitest";
import { publishEvent, signUp, untilStatus } from "./rest.js";
import { audit, openShop, type Shop, stripeLedger } from "./shop.js";

let shop: Shop;
beforeAll(async () => {
  shop = await openShop({ settings: { inventory: { EVENT_CACHE_MS: "500" } } });
});
afterAll(() => shop?.stop());

async function buy(eventId: string, seats: readonly string[], card?: string) {
  const person = await signUp(shop.url);
  const held = await person.hold(eventId, seats);
  expect(held.status, JSON.stringify(held.body)).toBe(201);
  const { checkoutId } = held.body;
  await person.pay(checkoutId, card);
  await untilStatus(person, checkoutId, ["completed"]);
  return { person, checkoutId };
}

interface Order {
  readonly status: string;
  readonly amountRefunded: number;
  readonly amountFailed: number;
  readonly seats: readonly { readonly left: number }[];
  readonly timeline: readonly { readonly step: string; readonly account?: string }[];
  readonly refunds: readonly { readonly kind: string; readonly state: string; readonly by: string }[];
  readonly disputes: readonly { readonly status: string }[];
}

async function orderOf(checkoutId: string): Promise<Order> {
  return (await shop.operator.ask<Order>("GET", `/v1/organiser/orders/${checkoutId}`)).body;
}

/** As support does it at Stripe: with the account's key, and without our metadata. */
async function atStripe(path: string, body: Readonly<Record<string, string>>): Promise<{ readonly id: string }> {
  const answer = await fetch(`${shop.stack.stripeUrl}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${shop.secrets.stripeSecretKey}` },
    body: new URLSearchParams(body),
  });
  expect(answer.status, await answer.clone().text()).toBeLessThan(300);
  return (await answer.json()) as { id: string };
}

/** What Stripe decides by itself, by the simulator's word. */
async function stripeSays(path: string, word: object): Promise<void> {
  const answer = await fetch(`${shop.stack.stripeUrl}/_sim/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(word),
  });
  expect(answer.status, await answer.clone().text()).toBeLessThan(300);
}

interface Sales {
  readonly revenue: { readonly gross: number; readonly refunded: number; readonly failed: number };
  readonly refundsFailed: number;
}
const salesOf = async (eventId: string) =>
  (await shop.organiser.ask<Sales>("GET", `/v1/organiser/events/${eventId}/sales`)).body;

const intentOf = async (checkoutId: string): Promise<string> =>
  (await stripeLedger(shop)).find(({ metadata }) => metadata["checkoutId"] === checkoutId)?.id ?? "";

async function reset(checkoutId: string): Promise<void> {
  const workflowId = checkoutWorkflowId(checkoutId);
  const { history } = await shop.temporal.workflowService.getWorkflowExecutionHistory({
    namespace: "default",
    execution: { workflowId },
  });
  const first = history?.events?.find((event) => event.workflowTaskCompletedEventAttributes);
  await shop.temporal.workflowService.resetWorkflowExecution({
    namespace: "default",
    workflowExecution: { workflowId },
    reason: "a test",
    workflowTaskFinishEventId: first?.eventId ?? null,
    requestId: randomUUID(),
  });
}

it("Reset of a completed checkout, with a seat given back, gives nothing back and sells nothing twice", async () => {
  const eventId = await publishEvent(shop.organiser);
  const { person, checkoutId } = await buy(eventId, ["A-A-1", "A-A-2"]);
  const refund = await shop.operator.ask<{ status: string }>("POST", `/v1/orders/${checkoutId}/refund`, {
    key: randomUUID(),
    body: { seats: ["A-A-1"] },
  });
  expect(refund.body.status).toBe("refunded");
  const before = await orderOf(checkoutId);
  await reset(checkoutId);
  const handle = shop.temporal.workflow.getHandle(checkoutWorkflowId(checkoutId));
  expect(await handle.result()).toMatchObject({ status: "completed" });
  expect(await orderOf(checkoutId)).toMatchObject({ ...before, timeline: expect.anything() });
  expect((await person.checkout(checkoutId)).body.status).toBe("completed");
  // The seat that is free is sold to somebody else, and the other is not.
  await buy(eventId, ["A-A-1"]);
  expect((await person.hold(eventId, ["A-A-2"])).body.code).toBe("SEAT_TAKEN");
  expect((await audit(shop, eventId)).contradictions).toEqual([]);
});

it("a refund of everything in Stripe's dashboard reaches the order, its tickets and its seats", async () => {
  const eventId = await publishEvent(shop.organiser);
  const { person, checkoutId } = await buy(eventId, ["A-A-1", "A-A-2"]);
  await atStripe("/v1/refunds", { payment_intent: await intentOf(checkoutId) });
  await expect
    .poll(() => orderOf(checkoutId), { timeout: 30_000 })
    .toMatchObject({ status: "refunded", refunds: [{ kind: "outside", state: "paid", by: "stripe" }] });
  await expect.poll(async () => (await person.hold(eventId, ["A-A-1"])).status, { timeout: 30_000 }).toBe(201);
  const { tickets } = (await person.ask<{ tickets: { status: string }[] }>("GET", "/v1/tickets")).body;
  expect(tickets.map(({ status }) => status)).toEqual(["void", "void"]);
});

it("a refund of Stripe's dashboard that is cancelled there has never been: order and sales are as they were", async () => {
  const eventId = await publishEvent(shop.organiser);
  const { checkoutId } = await buy(eventId, ["A-A-1", "A-A-2"], "pm_card_pendingRefund");
  const before = await orderOf(checkoutId);
  const { id } = await atStripe("/v1/refunds", { payment_intent: await intentOf(checkoutId), amount: "2000" });
  await expect
    .poll(() => orderOf(checkoutId), { timeout: 30_000 })
    .toMatchObject({ refunds: [{ kind: "outside", state: "pending" }] });
  await stripeSays(`refunds/${id}`, { status: "canceled" });
  await expect.poll(() => orderOf(checkoutId), { timeout: 30_000 }).toEqual(before);
  expect(await salesOf(eventId)).toMatchObject({ revenue: { refunded: 0, failed: 0 }, refundsFailed: 0 });
  // All of it can go back as ever; with this card that takes some time.
  const refund = await shop.operator.ask("POST", `/v1/orders/${checkoutId}/refund`, { key: randomUUID(), body: {} });
  expect(refund.status, JSON.stringify(refund.body)).toBe(202);
  await expect
    .poll(() => orderOf(checkoutId), { timeout: 30_000 })
    .toMatchObject({ refunds: [{ kind: "return", amount: 9_900 }] });
});

it("a refund of Stripe's dashboard that the bank sends back is owed, and counted as that", async () => {
  const eventId = await publishEvent(shop.organiser);
  const { checkoutId } = await buy(eventId, ["A-A-1", "A-A-2"]);
  const { id } = await atStripe("/v1/refunds", { payment_intent: await intentOf(checkoutId), amount: "2000" });
  await expect.poll(() => orderOf(checkoutId), { timeout: 30_000 }).toMatchObject({ amountRefunded: 2_000 });
  await stripeSays(`refunds/${id}`, { status: "failed" });
  await expect
    .poll(() => orderOf(checkoutId), { timeout: 30_000 })
    .toMatchObject({ status: "completed", amountRefunded: 0, amountFailed: 2_000 });
  await expect
    .poll(() => salesOf(eventId), { timeout: 30_000 })
    .toMatchObject({ revenue: { refunded: 0, failed: 2_000 }, refundsFailed: 1 });
});

it("a dispute waits for a person, who reads what is known and answers the bank, once", async () => {
  const eventId = await publishEvent(shop.organiser);
  const { person, checkoutId } = await buy(eventId, ["A-A-1"]);
  await atStripe(`/_sim/disputes/${await intentOf(checkoutId)}`, {});
  await expect
    .poll(() => orderOf(checkoutId), { timeout: 30_000 })
    .toMatchObject({ status: "completed", disputes: [{ status: "needs_response" }] });
  interface Disputes {
    readonly disputes: readonly { readonly checkoutId: string; readonly dispute: { readonly disputeId: string } }[];
  }
  const listed = async (state: string) =>
    (await shop.organiser.ask<Disputes>("GET", `/v1/organiser/disputes?state=${state}&eventId=${eventId}`)).body;
  const [open] = (await listed("open")).disputes;
  expect(open?.checkoutId).toBe(checkoutId);
  const path = `/v1/orders/${checkoutId}/disputes/${open?.dispute.disputeId}/evidence`;
  expect((await person.ask("GET", path)).status).toBe(403);
  const known = await shop.organiser.ask<{ draft: Record<string, string> }>("GET", path);
  expect(known.body).toMatchObject({ answerable: true, buyer: { email: person.email } });
  expect(known.body.draft["access_activity_log"]).toContain("The payment was taken.");
  const key = randomUUID();
  const answer = () => shop.organiser.ask("POST", path, { key, body: { words: "winning_evidence" } });
  const first = await answer();
  expect(first.status, JSON.stringify(first.body)).toBe(200);
  expect(await answer()).toMatchObject({ status: 200, body: first.body });
  await expect
    .poll(() => orderOf(checkoutId), { timeout: 30_000 })
    .toMatchObject({ disputes: [{ status: expect.stringMatching(/under_review|won/) }] });
  const late = await shop.operator.ask("POST", path, { key: randomUUID(), body: { words: "More words." } });
  expect([late.status, late.body["code"]]).toEqual([409, "DISPUTE_CLOSED"]);
  const { timeline } = await orderOf(checkoutId);
  expect(timeline.filter(({ step }) => step === "dispute_answered")).toMatchObject([{ account: expect.any(String) }]);
});

it("a cancelled event's failed refunds: list, orders, sales and workflows tell the same figures", async () => {
  const eventId = await publishEvent(shop.organiser);
  const orders = [
    await buy(eventId, ["A-A-1", "A-A-2"], "pm_card_refundFail"),
    await buy(eventId, ["A-A-3"], "pm_card_refundFail"),
    await buy(eventId, ["A-A-4"]),
  ];
  const cancelled = await shop.organiser.ask("POST", `/v1/organiser/events/${eventId}/cancel`, {
    key: randomUUID(),
    body: {},
  });
  expect(cancelled.status, JSON.stringify(cancelled.body)).toBe(202);
  interface Refunds {
    readonly refunds: readonly {
      readonly checkoutId: string;
      readonly refund: { readonly refundId: string; readonly amount: number };
    }[];
  }
  const figures = async () => {
    const list = await shop.organiser.ask<Refunds>("GET", `/v1/organiser/refunds?state=failed&eventId=${eventId}`);
    const sold = await Promise.all(orders.map(({ checkoutId }) => orderOf(checkoutId)));
    const bought = await Promise.all(
      orders.map(async ({ person, checkoutId }) => (await person.ask<Order>("GET", `/v1/orders/${checkoutId}`)).body),
    );
    const { revenue, refundsFailed } = await salesOf(eventId);
    const running = await shop.temporal.workflow.count(
      `WorkflowType = "failedRefund" AND ExecutionStatus = "Running" AND OnsaleEventId = "${eventId}"`,
    );
    const sum = (all: readonly Order[], name: "amountFailed" | "amountRefunded") =>
      all.reduce((total, order) => total + order[name], 0);
    return {
      owed: {
        list: list.body.refunds.reduce((total, { refund }) => total + refund.amount, 0),
        organiser: sum(sold, "amountFailed"),
        buyers: sum(bought, "amountFailed"),
        sales: revenue.failed,
      },
      back: { organiser: sum(sold, "amountRefunded"), buyers: sum(bought, "amountRefunded"), sales: revenue.refunded },
      failed: { list: list.body.refunds.length, sales: refundsFailed, workflows: running.count },
    };
  };
  await expect.poll(figures, { timeout: 60_000, interval: 1_000 }).toEqual({
    owed: { list: 14_850, organiser: 14_850, buyers: 14_850, sales: 14_850 },
    back: { organiser: 4_950, buyers: 4_950, sales: 4_950 },
    failed: { list: 2, sales: 2, workflows: 2 },
  });
  // One is paid another way: it is owed nowhere any more.
  const [, second] = orders;
  const list = await shop.organiser.ask<Refunds>("GET", `/v1/organiser/refunds?state=failed&eventId=${eventId}`);
  const owed = list.body.refunds.find(({ checkoutId }) => checkoutId === second?.checkoutId);
  const closing = `/v1/orders/${second?.checkoutId}/refunds/${owed?.refund.refundId}/closure`;
  const closed = await shop.organiser.ask("POST", closing, { key: randomUUID(), body: { reason: "in cash" } });
  expect(closed.status, JSON.stringify(closed.body)).toBe(200);
  await expect.poll(figures, { timeout: 60_000, interval: 1_000 }).toEqual({
    owed: { list: 9_900, organiser: 9_900, buyers: 9_900, sales: 9_900 },
    back: { organiser: 9_900, buyers: 9_900, sales: 9_900 },
    failed: { list: 1, sales: 1, workflows: 1 },
  });
});

it("a checkout terminated while it pays is found, and ends with its tickets or without its money", async () => {
  const eventId = await publishEvent(shop.organiser);
  const person = await signUp(shop.url);
  const held = await person.hold(eventId, ["A-A-1", "A-A-2"]);
  const { checkoutId } = held.body;
  const handle = shop.temporal.workflow.getHandle(checkoutWorkflowId(checkoutId));
  void person.pay(checkoutId).catch(() => undefined);
  await expect.poll(async () => (await intentOf(checkoutId)) !== "", { timeout: 30_000, interval: 10 }).toBe(true);
  await handle.terminate("a test").catch(() => undefined);
  // Steps that were under way end by themselves.
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  await shop.temporal.workflow.execute(workflowTypes.findOrphans, {
    workflowId: `orphans-${randomUUID()}`,
    taskQueue: shop.taskQueue,
    args: [{ settledAfterMs: 0 }],
  });
  // The buyer's own look has begun the settlement, which waits for what may be under way.
  const contradictions = async () => (await audit(shop, eventId)).contradictions;
  await expect.poll(contradictions, { timeout: 90_000, interval: 1_000 }).toEqual([]);
});
