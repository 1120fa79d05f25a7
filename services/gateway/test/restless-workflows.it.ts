// Checkouts over REST while their workflow is about to close, is reset, or loses its worker: no answer is untrue, and none is lost.
import { fileURLToPath } from "node:url";
import { PaymentStatus } from "@onsale/proto/payment/v1/payment";
import { checkoutWorkflowId, latePaymentWorkflowId, searchAttributes } from "@onsale/workflows/contract";
import { Client, Connection } from "@temporalio/client";
import { defaultPayloadConverter } from "@temporalio/common";
import { DefaultLogger, NativeConnection, Runtime, Worker } from "@temporalio/worker";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { aHold, aPayment, eventually, type Harness, startHarness } from "./harness.js";

const backing = inject("backing");
const namespace = "default";
let gateway: Harness;
let connection: Connection;
let native: NativeConnection;
let temporal: Client;
const workers: { stop(): Promise<void> }[] = [];

beforeAll(async () => {
  Runtime.install({
    logger: new DefaultLogger("ERROR"),
    telemetryOptions: { logging: { forward: {}, filter: "ERROR" } },
  });
  gateway = await startHarness({ ...backing, settings: { PAYMENT_WAIT_SECONDS: "20" } });
  connection = await Connection.connect({ address: backing.temporalAddress });
  native = await NativeConnection.connect({ address: backing.temporalAddress });
  temporal = new Client({ connection });
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  const missing = Object.values(searchAttributes).filter((name) => !Object.hasOwn(customAttributes ?? {}, name));
  if (missing.length > 0)
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map((name) => [name, 2])),
    });
}, 120_000);
const begun: string[] = [];
afterEach(async () => {
  for (const workflowId of begun.splice(0))
    await temporal.workflow
      .getHandle(workflowId)
      .terminate()
      .catch(() => undefined); // it has ended
  for (const worker of workers.splice(0)) await worker.stop();
  gateway.reset();
});
afterAll(async () => {
  await gateway?.stop();
  await native?.close();
  await connection?.close();
});

async function startWorker() {
  const worker = await Worker.create({
    connection: native,
    taskQueue: gateway.taskQueue,
    workflowsPath: fileURLToPath(new URL("./tiny-workflows.ts", import.meta.url)),
    maxCachedWorkflows: 0,
  });
  const running = worker.run();
  const one = {
    async stop() {
      if (worker.getState() === "RUNNING") worker.shutdown();
      await running;
    },
  };
  workers.push(one);
  return one;
}

let counter = 0;
async function aCheckout() {
  counter += 1;
  const token = await gateway.token(`acc_${gateway.run}_${counter}`);
  gateway.replies.seats = { hold: async () => aHold([`A-A-${counter}`]), releaseHold: async () => ({ released: 1 }) };
  const body = { eventId: "evt_1", seats: [`A-A-${counter}`] };
  const bought = await gateway.post("/v1/checkouts", { token, key: `k${counter}`, body });
  expect(bought.status, bought.text).toBe(201);
  const { checkoutId } = bought.body as { checkoutId: string };
  const path = `/v1/checkouts/${checkoutId}`;
  begun.push(checkoutWorkflowId(checkoutId));
  return {
    checkoutId,
    workflowId: checkoutWorkflowId(checkoutId),
    look: () => gateway.get(path, { token }),
    cancel: () => gateway.delete(path, { token }),
    pay: (paymentMethodId: string, key = "p") =>
      gateway.post(`${path}/payment`, { token, key, body: { paymentMethodId } }),
  };
}

const statusOf = async (workflowId: string) => {
  const { searchAttributes: found } = await temporal.workflow.getHandle(workflowId).describe();
  return found[searchAttributes.status]?.[0];
};

/** How many updates its newest run has accepted. */
async function acceptedBy(workflowId: string): Promise<number> {
  const { events = [] } = await temporal.workflow.getHandle(workflowId).fetchHistory();
  return (events ?? []).filter((event) => event.workflowExecutionUpdateAcceptedEventAttributes).length;
}

/** As an operator does: to right after its first task; what came since is brought along, or is not. */
async function reset(workflowId: string, { bringsAlong }: { bringsAlong: boolean }): Promise<void> {
  const handle = temporal.workflow.getHandle(workflowId);
  const { runId } = await handle.describe();
  const { events } = await handle.fetchHistory();
  const done = events?.find((event) => event.workflowTaskCompletedEventAttributes);
  await connection.workflowService.resetWorkflowExecution({
    namespace,
    workflowExecution: { workflowId, runId },
    reason: "a test",
    requestId: crypto.randomUUID(),
    workflowTaskFinishEventId: done?.eventId ?? null,
    resetReapplyExcludeTypes: bringsAlong ? [] : [1, 2], // signals, updates
  });
}

describe("a workflow that is about to close", () => {
  const service = () => connection.workflowService;
  /** A worker by hand: takes the next workflow task, and says what is done. */
  const takeTask = async () => {
    const task = await connection.withDeadline(Date.now() + 30_000, () =>
      service().pollWorkflowTaskQueue({ namespace, taskQueue: { name: gateway.taskQueue }, identity: "by hand" }),
    );
    expect(task.taskToken?.length).toBeGreaterThan(0);
    return (commands: object[]) =>
      service().respondWorkflowTaskCompleted({ namespace, taskToken: task.taskToken, identity: "by hand", commands });
  };
  const waitsForApproval = {
    commandType: 13, // UPSERT_WORKFLOW_SEARCH_ATTRIBUTES
    upsertWorkflowSearchAttributesCommandAttributes: {
      searchAttributes: {
        indexedFields: {
          [searchAttributes.status]: {
            ...defaultPayloadConverter.toPayload("requires_action"),
            metadata: { encoding: Buffer.from("json/plain"), type: Buffer.from("Keyword") },
          },
        },
      },
    },
  };
  const ends = {
    commandType: 4, // COMPLETE_WORKFLOW_EXECUTION
    completeWorkflowExecutionCommandAttributes: {
      result: { payloads: [defaultPayloadConverter.toPayload({ status: "completed" })] },
    },
  };

  /** It has tried to end, but something had come meanwhile; now it is about to try again. */
  async function closing() {
    const checkout = await aCheckout();
    await (await takeTask())([waitsForApproval]);
    const handle = temporal.workflow.getHandle(checkout.workflowId);
    await handle.signal("something");
    const done = await takeTask();
    await handle.signal("something");
    await expect(done([ends])).rejects.toThrow(/UnhandledCommand/);
    const again = await takeTask();
    const soon = Date.now() + 500;
    await expect(connection.withDeadline(soon, () => handle.signal("refused"))).rejects.toThrow();
    gateway.replies.payment = {
      handleWebhook: async () => ({
        stripeEventId: "evt_s",
        stripeEventType: "payment_intent.succeeded",
        checkoutId: checkout.checkoutId,
        seenBefore: false,
        payment: aPayment(checkout.checkoutId, PaymentStatus.CAPTURED),
      }),
    };
    return { ...checkout, end: () => again([ends]) };
  }
  const webhook = () =>
    gateway.post("/v1/webhooks/stripe", {
      raw: '{"id":"evt_s"}',
      headers: { "content-type": "application/json", "stripe-signature": "t=1,v1=00" },
    });

  test("a webhook is taken, and judged by how it ended", async () => {
    const { end, checkoutId } = await closing();
    const told = webhook();
    await new Promise((resolve) => setTimeout(resolve, 700));
    await end();
    expect((await told).status).toBe(200);
    // It agrees with the end: nothing is to be settled.
    await expect(temporal.workflow.getHandle(latePaymentWorkflowId(checkoutId)).describe()).rejects.toThrow();
  });

  test("a webhook is taken also when the worker has died over it", async () => {
    const { workflowId } = await closing();
    expect((await webhook()).status).toBe(200);
    const { events } = await temporal.workflow.getHandle(workflowId).fetchHistory();
    const signals = events?.flatMap((event) => event.workflowExecutionSignaledEventAttributes?.signalName ?? []);
    expect(signals).toContain("paymentChanged");
  });

  test("a payment or a cancellation gets the end that it comes to", async () => {
    const { end, pay, cancel } = await closing();
    const told = Promise.all([pay("pm_ok"), cancel()]);
    await new Promise((resolve) => setTimeout(resolve, 700));
    await end();
    for (const { status, body } of await told)
      expect({ status, code: body.code }).toEqual({ status: 409, code: "CHECKOUT_COMPLETED" });
  });
});

describe("reset by an operator", () => {
  test("a payment that is being decided is brought along, and its buyer gets its outcome", async () => {
    await startWorker();
    const { pay, workflowId } = await aCheckout();
    const paying = pay("pm_slow");
    await eventually(async () => expect(await statusOf(workflowId)).toBe("paying"));
    await reset(workflowId, { bringsAlong: true });
    await eventually(async () => expect(await statusOf(workflowId)).toBe("paying"));
    await temporal.workflow.getHandle(workflowId).signal("paymentChanged");
    const told = await paying;
    expect({ status: told.status, end: told.body.status }, told.text).toEqual({ status: 200, end: "completed" });
  });

  test("a payment that is not brought along is sent there anew", async () => {
    await startWorker();
    const { pay, workflowId } = await aCheckout();
    const paying = pay("pm_slow");
    await eventually(async () => expect(await statusOf(workflowId)).toBe("paying"));
    await reset(workflowId, { bringsAlong: false });
    await eventually(async () => expect(await statusOf(workflowId)).toBe("paying"));
    await temporal.workflow.getHandle(workflowId).signal("paymentChanged");
    const told = await paying;
    expect({ status: told.status, end: told.body.status }, told.text).toEqual({ status: 200, end: "completed" });
  });

  test("a cancellation goes through too", async () => {
    await startWorker();
    const { pay, cancel, workflowId } = await aCheckout();
    const paying = pay("pm_slow");
    await eventually(async () => expect(await statusOf(workflowId)).toBe("paying"));
    const cancelling = cancel();
    await eventually(async () => expect(await acceptedBy(workflowId)).toBe(2));
    await reset(workflowId, { bringsAlong: false });
    // Whichever of the two comes first there: a checkout that was cancelled takes no payment.
    const handle = temporal.workflow.getHandle(workflowId);
    await eventually(async () => {
      const isClosed = (await handle.describe()).status.name !== "RUNNING";
      expect(isClosed || (await acceptedBy(workflowId)) === 2).toBe(true);
    });
    await handle.signal("paymentChanged").catch(() => undefined);
    const told = await cancelling;
    expect({ status: told.status, end: told.body.status }, told.text).toMatchObject({ status: 200 });
    expect([200, 409, 410]).toContain((await paying).status);
  });
});

describe("a worker that dies", () => {
  test("while cancelling: another one goes on, and the buyer is told so", async () => {
    const first = await startWorker();
    const { pay, cancel, workflowId } = await aCheckout();
    const paying = pay("pm_slow");
    await eventually(async () => expect(await statusOf(workflowId)).toBe("paying"));
    const cancelling = cancel();
    await eventually(async () => expect(await acceptedBy(workflowId)).toBe(2));
    await first.stop();
    await temporal.workflow.getHandle(workflowId).signal("paymentChanged");
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    await startWorker();
    const told = await cancelling;
    expect({ status: told.status, end: told.body.status }, told.text).toMatchObject({ status: 200 });
    expect((await paying).status).toBe(200);
  });

  test("and none comes: taken, and told as that", async () => {
    const first = await startWorker();
    const { pay, cancel, look, workflowId } = await aCheckout();
    const paying = pay("pm_slow");
    await eventually(async () => expect(await statusOf(workflowId)).toBe("paying"));
    const cancelling = cancel();
    await eventually(async () => expect(await acceptedBy(workflowId)).toBe(2));
    await first.stop();
    const told = await cancelling;
    expect({ status: told.status, now: told.body.status }, told.text).toEqual({ status: 202, now: "paying" });
    expect((await paying).status).toBe(202);
    expect((await look()).status).toBe(200);
  });
});
