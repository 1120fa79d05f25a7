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

async function buy(eventId: string, seats: readonly string[]) {
  const person = await signUp(shop.url);
  const held = await person.hold(eventId, seats);
  expect(held.status, JSON.stringify(held.body)).toBe(201);
  const { checkoutId } = held.body;
  await person.pay(checkoutId);
  await untilStatus(person, checkoutId, ["completed"]);
  return { person, checkoutId };
}

interface Order {
  readonly status: string;
  readonly amountRefunded: number;
  readonly refunds: readonly { readonly kind: string; readonly state: string; readonly by: string }[];
  readonly disputes: readonly { readonly status: string }[];
}

async function orderOf(checkoutId: string): Promise<Order> {
  return (await shop.operator.ask<Order>("GET", `/v1/organiser/orders/${checkoutId}`)).body;
}

/** As support does it at Stripe: with the account's key, and without our metadata. */
async function atStripe(path: string, body: Readonly<Record<string, string>>): Promise<void> {
  const answer = await fetch(`${shop.stack.stripeUrl}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${shop.secrets.stripeSecretKey}` },
    body: new URLSearchParams(body),
  });
  expect(answer.status, await answer.clone().text()).toBeLessThan(300);
}

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

it("a dispute is on the order, and its workflow waits for a person", async () => {
  const eventId = await publishEvent(shop.organiser);
  const { checkoutId } = await buy(eventId, ["A-A-1"]);
  await atStripe(`/_sim/disputes/${await intentOf(checkoutId)}`, {});
  await expect
    .poll(() => orderOf(checkoutId), { timeout: 30_000 })
    .toMatchObject({ status: "completed", disputes: [{ status: "needs_response" }] });
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
  const { contradictions } = await audit(shop, eventId);
  expect(contradictions).toEqual([]);
});
