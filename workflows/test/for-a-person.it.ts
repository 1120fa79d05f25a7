// What waits for a person is counted: disputes by how long is left for an answer, and what the last search for orphans has named.
import { randomUUID } from "node:crypto";
import { DisputeStatus } from "@onsale/proto/payment/v1/payment";
import { OrderRefund, RefundState } from "@onsale/proto/ticket/v1/ticket";
import { disputeWorkflowId, type FindOrphansResult, workflowTypes } from "@onsale/workflows/contract";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openStage, pay, result, type Stage, until } from "./stage.js";

const hourMs = 3_600_000;

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

async function sold() {
  const input = stage.newCheckout();
  const handle = await stage.startCheckout(input);
  await pay(handle);
  await result(handle);
  return { id: input.checkoutId, facts: stage.services.facts(input.checkoutId) };
}

it.each([
  ["disputed", 4 * 24 * hourMs],
  ["dispute_due", 2 * 24 * hourMs],
  ["dispute_last_day", 12 * hourMs],
])("a dispute is found as %s with %d ms left", async (status, leftMs) => {
  const { id, facts } = await sold();
  const disputeId = `dp_${randomUUID().slice(0, 8)}`;
  const about = { disputeId, amount: 14_850, reason: "fraudulent", createdAtMs: 1, hasEvidence: false };
  const evidenceDueMs = Date.now() + leftMs;
  if (facts.payment) facts.payment.disputes = [{ ...about, status: DisputeStatus.NEEDS_RESPONSE, evidenceDueMs }];
  await stage.client.workflow.execute(workflowTypes.followPayment, {
    workflowId: `follow-${randomUUID()}`,
    taskQueue: stage.taskQueue,
    args: [{ checkoutId: id }],
  });
  const handle = stage.client.workflow.getHandle(disputeWorkflowId(disputeId));
  await until(async () => (await handle.describe()).searchAttributes["OnsaleStatus"]?.[0] === status);
});

it("workers tell Prometheus how many, of the last search as of now", async () => {
  const lost = [await sold(), await sold()];
  for (const { id, facts } of lost) {
    facts.order?.refunds.push(
      OrderRefund.create({ refundId: "rfd_1", seatIds: ["A-1-1"], atMs: 7, state: RefundState.PAID }),
    );
    facts.sale = undefined;
    stage.services.orphanage.changedOrders.push({ checkoutId: id, atMs: Date.now() });
  }
  const search = () =>
    stage.client.workflow.execute(workflowTypes.findOrphans, {
      workflowId: `orphans-${randomUUID()}`,
      taskQueue: stage.taskQueue,
      args: [{ settledAfterMs: -60_000 }],
    }) as Promise<FindOrphansResult>;
  const gauge = async (name: string) => {
    const found = new RegExp(`^${name}(?:{.*})? (.+)$`, "m").exec(await worker.metrics());
    return Number(found?.[1] ?? Number.NaN);
  };
  expect((await search()).forAPerson).toHaveLength(2);
  let worker = await stage.startWorker();
  await until(async () => (await gauge("onsale_orphans_for_a_person")) === 2, 60_000);
  // Other tests have disputes at the same Temporal.
  await until(async () => (await gauge("onsale_disputes_last_day")) >= 1, 60_000);
  await until(async () => (await gauge("onsale_disputes_due")) >= 2, 60_000);
  await worker.stop();

  stage.services.orphanage.changedOrders.length = 0;
  expect((await search()).forAPerson).toEqual([]);
  worker = await stage.startWorker();
  await until(async () => (await gauge("onsale_orphans_for_a_person")) === 0, 60_000);
});
