// Checkouts over REST with a real Temporal: starting, retrying, paying, cancelling, webhooks, refunds; with and without a worker.
import { randomUUID } from "node:crypto";
import { createServer, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { DomainError } from "@onsale/kit/errors";
import { derivedId } from "@onsale/kit/ids";
import { EventStatus } from "@onsale/proto/inventory/v1/catalog";
import { PaymentStatus, RefundStatus } from "@onsale/proto/payment/v1/payment";
import { OrderStatus, RefundState } from "@onsale/proto/ticket/v1/ticket";
import {
  checkoutWorkflowId,
  followPaymentWorkflowId,
  latePaymentWorkflowId,
  searchAttributes,
} from "@onsale/workflows/contract";
import { Client, Connection } from "@temporalio/client";
import { DefaultLogger, NativeConnection, Runtime, Worker } from "@temporalio/worker";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import {
  aHold,
  anEvent,
  anOrder,
  aPayment,
  aRefund,
  aSeat,
  eventually,
  type Harness,
  startHarness,
} from "./harness.js";
import { settledSignal } from "./tiny-workflows.js";

const backing = inject("backing");
let gateway: Harness;
let temporal: Client;
let valkey: Redis;
let stopWorker: () => Promise<void>;

beforeAll(async () => {
  gateway = await startHarness({ ...backing, settings: { PAYMENT_WAIT_SECONDS: "2", REFUND_WAIT_SECONDS: "2" } });
  valkey = new Redis(backing.redisUrl);
  const connection = await Connection.connect({ address: backing.temporalAddress });
  temporal = new Client({ connection });
  Runtime.install({
    logger: new DefaultLogger("ERROR"),
    telemetryOptions: { logging: { forward: {}, filter: "ERROR" } },
  });
  await registerAttributes(connection);
  const native = await NativeConnection.connect({ address: backing.temporalAddress });
  const worker = await Worker.create({
    connection: native,
    taskQueue: gateway.taskQueue,
    workflowsPath: fileURLToPath(new URL("./tiny-workflows.ts", import.meta.url)),
  });
  const running = worker.run();
  stopWorker = async () => {
    worker.shutdown();
    await running;
    await native.close();
    await connection.close();
  };
}, 120_000);
afterEach(() => gateway.reset());
afterAll(async () => {
  await gateway.stop();
  await stopWorker();
  valkey.disconnect();
});

let counter = 0;
/** Each test has its own buyer and seat. */
async function aBuyer(over: { deadlineMs?: number } = {}) {
  counter += 1;
  const accountId = `acc_${gateway.run}_${counter}`;
  const token = await gateway.token(accountId);
  const key = `key-${counter}`;
  const seat = `A-A-${counter}`;
  gateway.replies.seats = {
    hold: async () => aHold([seat], over),
    releaseHold: async () => ({ released: 1 }),
  };
  const body = { eventId: "evt_1", seats: [seat] };
  const buy = (asked: object = {}) => gateway.post("/v1/checkouts", { token, key, body, ...asked });
  const checkoutId = derivedId("chk", accountId, key);
  const pay = (paymentMethodId: string, payKey: string) =>
    gateway.post(`/v1/checkouts/${checkoutId}/payment`, { token, key: payKey, body: { paymentMethodId } });
  const look = () => gateway.get(`/v1/checkouts/${checkoutId}`, { token });
  const cancel = () => gateway.delete(`/v1/checkouts/${checkoutId}`, { token });
  return { accountId, token, key, seat, body, buy, checkoutId, pay, look, cancel, path: `/v1/checkouts/${checkoutId}` };
}
const callsOf = (method: string) => gateway.calls.filter((call) => call.method === method);
/** Valkey loses what it has of this gateway. */
async function flush(): Promise<void> {
  const keys = await valkey.keys(`${gateway.redisPrefix}answer:*`);
  if (keys.length > 0) await valkey.del(...keys);
}

describe("a won hold", () => {
  test("becomes a checkout, findable and readable for operators", async () => {
    const { buy, seat, accountId, checkoutId } = await aBuyer();
    const told = await buy();
    expect(told.status, told.text).toBe(201);
    expect(told.body).toEqual({
      checkoutId,
      eventId: "evt_1",
      status: "held",
      deadline: expect.stringMatching(/^\d{4}-.*Z$/),
      seats: [{ seatId: seat, section: "A", row: "A", number: String(counter), tier: "standard", amount: 4950 }],
      amount: 4950,
      currency: "EUR",
      tickets: [],
    });
    expect(told.headers.get("location")).toBe(`/v1/checkouts/${checkoutId}`);
    expect(told.headers.get("cache-control")).toBe("no-store");
    expect(callsOf("seats.hold")).toMatchObject([
      {
        request: {
          checkoutId,
          userId: accountId,
          eventId: "evt_1",
          selection: { $case: "seats", value: { seatIds: [seat] } },
        },
      },
    ]);
    const found = await temporal.workflow.getHandle(checkoutWorkflowId(checkoutId)).describe();
    expect(found.searchAttributes).toMatchObject({
      [searchAttributes.eventId]: ["evt_1"],
      [searchAttributes.accountId]: [accountId],
      [searchAttributes.status]: ["held"],
    });
    expect(await found.staticSummary()).toBe("1 seat · The Night Ferry · EUR 49.50");
    expect(await found.staticDetails()).toContain(seat);
  });

  test("by section and quantity", async () => {
    const { buy } = await aBuyer();
    const told = await buy({ body: { eventId: "evt_1", section: "GA", quantity: 3 } });
    expect(told.status).toBe(201);
    expect(callsOf("seats.hold")[0]?.request.selection).toEqual({
      $case: "quantity",
      value: { sectionId: "GA", quantity: 3 },
    });
  });

  test("the request id goes along to the services", async () => {
    const { buy } = await aBuyer();
    const told = await buy({ headers: { "x-request-id": "from-the-client-1" } });
    expect(told.headers.get("x-request-id")).toBe("from-the-client-1");
    expect(callsOf("seats.hold")[0]?.requestId).toBe("from-the-client-1");
  });

  test("a retry with the same key and body gets the same answer, and no second hold", async () => {
    const { buy } = await aBuyer();
    const first = await buy();
    const second = await buy();
    expect(second.status).toBe(201);
    expect(second.body).toEqual(first.body);
    expect(second.headers.get("idempotent-replayed")).toBe("true");
    expect(second.headers.get("location")).toBe(first.headers.get("location"));
    expect(callsOf("seats.hold")).toHaveLength(1);
  });

  test("so it does when Valkey has lost the first answer", async () => {
    const { buy, checkoutId } = await aBuyer();
    const deadlineMs = Date.now() + 250_000;
    gateway.replies.seats = { hold: async () => aHold(["A-A-1"], { deadlineMs }) };
    const first = await buy();
    await flush();
    const second = await buy();
    expect(second.status).toBe(201);
    expect(second.headers.get("idempotent-replayed")).toBeNull();
    expect(second.body).toEqual(first.body);
    const { runId } = await temporal.workflow.getHandle(checkoutWorkflowId(checkoutId)).describe();
    expect(runId).toBeTruthy();
    expect(callsOf("seats.releaseHold")).toEqual([]);
  });

  test("20 times at once: one hold, one checkout, one answer", async () => {
    const { buy, checkoutId } = await aBuyer();
    const told = await Promise.all(Array.from({ length: 20 }, () => buy()));
    expect(callsOf("seats.hold")).toHaveLength(1);
    for (const { status, body, headers } of told) {
      if (status === 201) expect(body.checkoutId).toBe(checkoutId);
      else {
        expect({ status, code: body.code }).toEqual({ status: 409, code: "IDEMPOTENCY_IN_FLIGHT" });
        expect(headers.get("retry-after")).toBe("1");
      }
    }
    expect(told.some(({ status }) => status === 201)).toBe(true);
  });

  test("the same key with another body is refused", async () => {
    const { buy } = await aBuyer();
    await buy();
    const told = await buy({ body: { eventId: "evt_1", seats: ["B-B-2"] } });
    expect({ status: told.status, code: told.body.code }).toEqual({ status: 422, code: "IDEMPOTENCY_KEY_REUSED" });
    expect(callsOf("seats.hold")).toHaveLength(1);
  });

  test("the same key of another buyer is another key", async () => {
    const { buy, checkoutId } = await aBuyer();
    await buy();
    const other = await buy({ token: await gateway.token("acc_other") });
    expect(other.status).toBe(201);
    expect(other.body.checkoutId).not.toBe(checkoutId);
  });

  test("a refusal is an answer too: the retry gets it again, even when the seat is free by now", async () => {
    const { buy } = await aBuyer();
    let taken = true;
    gateway.replies.seats = {
      hold: async () => {
        if (taken) throw new DomainError("SEAT_TAKEN", "Gone.", { seats: ["A-A-1"] });
        return aHold(["A-A-1"]);
      },
    };
    expect((await buy()).body).toMatchObject({ code: "SEAT_TAKEN", seats: ["A-A-1"] });
    taken = false;
    const again = await buy();
    expect(again.status).toBe(409);
    expect(again.body).toMatchObject({ code: "SEAT_TAKEN", seats: ["A-A-1"] });
    expect(again.headers.get("idempotent-replayed")).toBe("true");
    expect(again.body.requestId).toBe(again.headers.get("x-request-id"));
  });

  test("what may pass is no answer: after a 503 the same key succeeds", async () => {
    const { buy } = await aBuyer();
    gateway.replies.seats = {
      hold: async () => {
        throw new DomainError("INVENTORY_REBUILDING", "In a moment.");
      },
    };
    const first = await buy();
    expect(first.status).toBe(503);
    expect(first.headers.get("retry-after")).toBe("1");
    gateway.replies.seats = { hold: async () => aHold(["A-A-1"]) };
    expect((await buy()).status).toBe(201);
  });

  test("a very late retry, when the checkout has ended: its end, and the stray hold is released", async () => {
    const { buy, checkoutId, cancel } = await aBuyer();
    await buy();
    expect((await cancel()).status).toBe(200);
    await closed(checkoutId);
    await flush();
    gateway.calls.length = 0;
    const told = await buy();
    expect(told.status, told.text).toBe(201);
    expect(told.body).toMatchObject({ checkoutId, status: "cancelled" });
    expect(callsOf("seats.releaseHold")).toHaveLength(1);
  });
});

test("a key that was used up long ago, by a checkout that Temporal has forgotten, sells nothing anew", async () => {
  const { buy, checkoutId, accountId } = await aBuyer();
  gateway.replies.ticket = { findOrders: async () => ({ orders: [anOrder(checkoutId, accountId)] }) };
  const told = await buy();
  expect(told.status).toBe(201);
  expect(told.body).toMatchObject({ checkoutId, status: "completed", tickets: ["tkt_1", "tkt_2"] });
  expect(callsOf("seats.releaseHold")).toHaveLength(1);
  await expect(temporal.workflow.getHandle(checkoutWorkflowId(checkoutId)).describe()).rejects.toThrow();
});

describe("looking", () => {
  test("at one's own", async () => {
    const { buy, look } = await aBuyer();
    const { body } = await buy();
    const told = await look();
    expect(told.status).toBe(200);
    expect(told.body).toEqual(body);
  });

  test("at another buyer's is the same as at none", async () => {
    const { buy, path, pay, cancel } = await aBuyer();
    await buy();
    const stranger = await gateway.token("acc_stranger");
    const theirs = await gateway.get(path, { token: stranger });
    const nobodys = await gateway.get("/v1/checkouts/chk_00000000000000000000000000", { token: stranger });
    expect(theirs.status).toBe(404);
    const same = ({ body: { requestId: _, instance: __, ...rest } }: typeof theirs) => rest;
    expect(same(theirs)).toEqual(same(nobodys));
    expect(theirs.body.code).toBe("CHECKOUT_NOT_FOUND");
    for (const told of [
      await gateway.delete(path, { token: stranger }),
      await gateway.post(`${path}/payment`, { token: stranger, key: "s", body: { paymentMethodId: "pm_ok" } }),
    ])
      expect({ status: told.status, code: told.body.code }).toEqual({ status: 404, code: "CHECKOUT_NOT_FOUND" });
    expect((await pay("pm_ok", "p")).body.status).toBe("completed");
    expect((await cancel()).body.code).toBe("CHECKOUT_COMPLETED");
  });

  test("an order that was refunded since", async () => {
    const { buy, pay, look, checkoutId, accountId } = await aBuyer();
    await buy();
    await pay("pm_ok", "p");
    await closed(checkoutId);
    expect((await look()).body.status).toBe("completed");
    gateway.replies.ticket = {
      findOrders: async () => ({ orders: [anOrder(checkoutId, accountId, { status: OrderStatus.REFUNDED })] }),
    };
    expect((await look()).body).toMatchObject({ status: "refunded", tickets: ["tkt_1", "tkt_2"] });
  });

  test("a completed checkout while the orders do not answer", async () => {
    const { buy, pay, look, checkoutId } = await aBuyer();
    await buy();
    await pay("pm_ok", "p");
    await closed(checkoutId);
    gateway.replies.ticket = {
      findOrders: async () => {
        throw new DomainError("UNAVAILABLE", "MongoDB is away.");
      },
    };
    expect((await look()).body.status).toBe("completed");
  });

  test("one that Temporal has forgotten lives on as its order", async () => {
    const { look, checkoutId, accountId } = await aBuyer();
    gateway.replies.ticket = { findOrders: async () => ({ orders: [anOrder(checkoutId, accountId)] }) };
    const told = await look();
    expect(told.status).toBe(200);
    expect(told.body).toMatchObject({ checkoutId, status: "completed", amount: 9900, tickets: ["tkt_1", "tkt_2"] });
    expect(callsOf("ticket.findOrders")[0]?.request).toEqual({ checkoutIds: [checkoutId] });
  });

  describe("one that an operator has terminated", () => {
    async function terminated() {
      const buyer = await aBuyer();
      await buyer.buy();
      await temporal.workflow.getHandle(checkoutWorkflowId(buyer.checkoutId)).terminate("by hand");
      const settlement = temporal.workflow.getHandle(latePaymentWorkflowId(buyer.checkoutId));
      const withPayment = (status: PaymentStatus | undefined) => {
        gateway.replies.payment = {
          getPayment: async () => {
            if (status === undefined) throw new DomainError("PAYMENT_NOT_FOUND", "There is no such payment.");
            return { payment: aPayment(buyer.checkoutId, status) };
          },
        };
      };
      const settled = async (told: string) => {
        await settlement.signal(settledSignal, told);
        await settlement.result();
      };
      return { ...buyer, settlement, settled, withPayment };
    }

    test("is being settled: nothing is said of its seats and its money, and its settlement is begun, once", async () => {
      const { look, pay, cancel, settlement, checkoutId } = await terminated();
      for (let time = 1; time <= 2; time++)
        expect((await look()).body).toMatchObject({ status: "paying", reason: "CLOSED_BY_OPERATOR", tickets: [] });
      for (const told of [await pay("pm_ok", "p"), await cancel()])
        expect({ status: told.status, code: told.body.code }, told.text).toEqual({
          status: 409,
          code: "CHECKOUT_BUSY",
        });
      const [started] = (await settlement.fetchHistory()).events ?? [];
      const [payload] = started?.workflowExecutionStartedEventAttributes?.input?.payloads ?? [];
      const { closeTime } = await temporal.workflow.getHandle(checkoutWorkflowId(checkoutId)).describe();
      const input = JSON.parse(Buffer.from(payload?.data ?? []).toString());
      // A step that was under way may still take effect; and its hold goes too.
      expect(input).toMatchObject({
        checkoutId,
        eventId: "evt_1",
        checkout: { checkoutId, holdId: expect.any(String) },
      });
      expect(input.notBeforeMs - Number(closeTime)).toBeGreaterThanOrEqual(30_000);
    });

    test.each([
      ["cancelled", undefined, "cancelled"],
      ["nothing", PaymentStatus.CANCELLED, "cancelled"],
      ["refunded", PaymentStatus.REFUNDED, "refunded"],
      ["nothing", PaymentStatus.REFUNDED, "refunded"],
    ])("was settled (%s, payment %s): %s", async (action, payment, status) => {
      const { look, pay, settled, withPayment } = await terminated();
      await look();
      withPayment(payment);
      await settled(action);
      expect((await look()).body).toMatchObject({ status, reason: "CLOSED_BY_OPERATOR" });
      expect((await pay("pm_ok", "p")).body.code).toBe("CHECKOUT_CANCELLED");
    });

    test("came to its tickets after all", async () => {
      const { look, settled, checkoutId, accountId } = await terminated();
      await look();
      await settled("finished");
      gateway.replies.ticket = { findOrders: async () => ({ orders: [anOrder(checkoutId, accountId)] }) };
      expect((await look()).body).toMatchObject({ status: "completed", tickets: ["tkt_1", "tkt_2"] });
    });

    test("whose money needs a person is still being settled, and not begun again", async () => {
      const { look, settled, settlement } = await terminated();
      await look();
      const { runId } = await settlement.describe();
      await settled("person");
      expect((await look()).body).toMatchObject({ status: "paying", reason: "CLOSED_BY_OPERATOR" });
      expect((await settlement.describe()).runId).toBe(runId);
    });

    test("whose settlement was terminated too is settled again", async () => {
      const { look, settlement } = await terminated();
      await look();
      const { runId } = await settlement.describe();
      await settlement.terminate("by hand");
      expect((await look()).body.status).toBe("paying");
      expect((await settlement.describe()).runId).not.toBe(runId);
    });

    test("whose orders do not answer: no answer is better than an untrue one", async () => {
      const { look } = await terminated();
      gateway.replies.ticket = {
        findOrders: async () => {
          throw new DomainError("UNAVAILABLE", "MongoDB is away.");
        },
      };
      expect((await look()).status).toBe(503);
    });
  });

  describe("one that an operator has reset, and that has an order", () => {
    async function again() {
      const buyer = await aBuyer();
      await buyer.buy();
      const workflowId = checkoutWorkflowId(buyer.checkoutId);
      await buyer.pay("pm_ok", "p");
      await closed(buyer.checkoutId);
      const { events } = await temporal.workflow.getHandle(workflowId).fetchHistory();
      const first = events?.find((event) => event.workflowTaskCompletedEventAttributes);
      await temporal.workflowService.resetWorkflowExecution({
        namespace: "default",
        workflowExecution: { workflowId },
        reason: "a test",
        requestId: randomUUID(),
        workflowTaskFinishEventId: first?.eventId ?? null,
        resetReapplyExcludeTypes: [1, 2], // signals, updates
      });
      const order = anOrder(buyer.checkoutId, buyer.accountId);
      gateway.replies.ticket = { findOrders: async () => ({ orders: [order] }) };
      return buyer;
    }

    test("shows the order, and is neither paid nor cancelled again, while it runs", async () => {
      const { look, pay, cancel } = await again();
      expect((await look()).body).toMatchObject({ status: "completed", tickets: ["tkt_1", "tkt_2"] });
      for (const told of [await pay("pm_ok", "p2"), await cancel()])
        expect(told.body.code, told.text).toBe("CHECKOUT_COMPLETED");
    });

    test("hears what moves at Stripe itself", async () => {
      const { checkoutId } = await again();
      const payment = aPayment(checkoutId, PaymentStatus.REFUNDED);
      const outside = {
        ...{ refundId: "re_1", stripeRefundId: "re_1", amount: 9900, status: RefundStatus.SUCCEEDED },
        ...{ createdAtMs: 1, failureReason: "", outside: true },
      };
      gateway.replies.payment = {
        handleWebhook: async () => ({
          ...{ stripeEventId: "evt_out", stripeEventType: "charge.refunded", checkoutId, seenBefore: false },
          payment: { ...payment, refunds: [outside] },
        }),
      };
      expect((await webhook()).status).toBe(200);
      await temporal.workflow.getHandle(followPaymentWorkflowId(checkoutId, "evt_out")).describe();
    });
  });
});

describe("paying", () => {
  test("at the first try; a retry gets the same answer, also when Valkey has lost it", async () => {
    const { buy, pay, seat, checkoutId } = await aBuyer();
    await buy();
    const paid = await pay("pm_ok", "p1");
    expect(paid.status, paid.text).toBe(200);
    expect(paid.body).toMatchObject({ checkoutId, status: "completed", tickets: [`tkt-${seat}`] });
    const again = await pay("pm_ok", "p1");
    expect(again.body).toEqual(paid.body);
    expect(again.headers.get("idempotent-replayed")).toBe("true");
    await closed(checkoutId);
    await flush();
    const late = await pay("pm_ok", "p1");
    expect({ status: late.status, replayed: late.headers.get("idempotent-replayed") }).toEqual({
      status: 200,
      replayed: null,
    });
    expect(late.body).toEqual(paid.body);
    const another = await pay("pm_ok", "p2");
    expect({ status: another.status, code: another.body.code }).toEqual({ status: 409, code: "CHECKOUT_COMPLETED" });
  });

  test("a decline is an answer, and another card may be tried", async () => {
    const { buy, pay, look } = await aBuyer();
    await buy();
    const declined = await pay("pm_declined", "p1");
    expect(declined.status).toBe(200);
    expect(declined.body).toMatchObject({
      status: "declined",
      decline: { code: "card_declined", message: "The bank said no." },
    });
    expect(declined.body.deadline).toBeTruthy();
    expect((await look()).body.status).toBe("held");
    expect((await pay("pm_ok", "p2")).body.status).toBe("completed");
  });

  test("3-D Secure: the buyer is sent to the bank, and the webhook wakes the checkout", async () => {
    const { buy, pay, look, checkoutId, path } = await aBuyer();
    await buy();
    const asked = aPayment(checkoutId, PaymentStatus.REQUIRES_ACTION);
    gateway.replies.payment = {
      getPayment: async () => ({ payment: { ...asked, actionUrl: "https://bank.test/approve" } }),
    };
    const told = await pay("pm_3ds", "p1");
    expect(told.body).toMatchObject({
      status: "requires_action",
      actionUrl: "https://bank.test/approve",
      reason: `${gateway.url}${path}/return`,
    });
    expect((await look()).body.actionUrl).toBe("https://bank.test/approve");
    const page = await gateway.get(`${path}/return?payment_intent=pi_1&payment_intent_client_secret=secret`);
    expect(page.status).toBe(200);
    expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(page.headers.get("content-security-policy")).toContain("default-src 'none'");
    gateway.replies.payment = {
      handleWebhook: async () => ({
        stripeEventId: "evt_s",
        stripeEventType: "payment_intent.amount_capturable_updated",
        checkoutId,
        seenBefore: false,
        payment: aPayment(checkoutId),
      }),
    };
    const hook = await webhook();
    expect({ status: hook.status, body: hook.body }).toEqual({ status: 200, body: { received: true } });
    await eventually(async () => expect((await look()).body.status).toBe("completed"));
  });

  test("what is not decided in time is 202; the same request later tells the outcome", async () => {
    const { buy, pay, look, checkoutId } = await aBuyer();
    await buy();
    const begun = Date.now();
    const told = await pay("pm_slow", "p1");
    expect(told.status).toBe(202);
    expect(told.body.status).toBe("paying");
    expect(Date.now() - begun).toBeLessThan(15_000);
    const meanwhile = await pay("pm_ok", "p2");
    expect({ status: meanwhile.status, code: meanwhile.body.code }).toEqual({ status: 409, code: "CHECKOUT_BUSY" });
    expect((await look()).body.status).toBe("paying");
    await temporal.workflow.getHandle(checkoutWorkflowId(checkoutId)).signal("paymentChanged");
    const later = await eventually(async () => {
      const answer = await pay("pm_slow", "p1");
      expect(answer.status).toBe(200);
      return answer;
    });
    expect(later.body.status).toBe("completed");
  });

  test("a payment method that Stripe does not know", async () => {
    const { buy, pay } = await aBuyer();
    await buy();
    const told = await pay("pm_unknown", "p1");
    expect({ status: told.status, code: told.body.code, detail: told.body.detail, hint: told.body.hint }).toEqual({
      status: 422,
      code: "PAYMENT_METHOD_INVALID",
      detail: "Stripe knows no such card.",
      hint: "pm",
    });
    expect((await pay("pm_ok", "p2")).body.status).toBe("completed");
  });

  test("too late", async () => {
    const { buy, pay, look, cancel, checkoutId } = await aBuyer({ deadlineMs: Date.now() + 300 });
    await buy();
    await closed(checkoutId);
    expect((await look()).body).toMatchObject({ status: "expired", reason: "CHECKOUT_EXPIRED" });
    for (const told of [await pay("pm_ok", "p1"), await cancel()])
      expect({ status: told.status, code: told.body.code }).toEqual({ status: 410, code: "CHECKOUT_EXPIRED" });
  });

  test("for a checkout that never was", async () => {
    const { pay } = await aBuyer();
    expect((await pay("pm_ok", "p1")).body.code).toBe("CHECKOUT_NOT_FOUND");
  });
});

test("cancelling, twice; then there is nothing to pay", async () => {
  const { buy, cancel, pay } = await aBuyer();
  await buy();
  for (const told of [await cancel(), await cancel()])
    expect({ status: told.status, end: told.body.status }).toEqual({ status: 200, end: "cancelled" });
  const told = await pay("pm_ok", "p");
  expect({ status: told.status, code: told.body.code }).toEqual({ status: 410, code: "CHECKOUT_CANCELLED" });
});

describe("webhooks", () => {
  const says = (checkoutId: string, status: PaymentStatus) => {
    gateway.replies.payment = {
      handleWebhook: async () => ({
        stripeEventId: "evt_s",
        stripeEventType: "payment_intent.succeeded",
        checkoutId,
        seenBefore: false,
        payment: aPayment(checkoutId, status),
      }),
    };
  };
  const late = async (checkoutId: string) =>
    temporal.workflow
      .getHandle(latePaymentWorkflowId(checkoutId))
      .result()
      .catch(() => undefined);

  test("about nothing of ours are taken and forgotten", async () => {
    gateway.replies.payment = {
      handleWebhook: async () => ({
        stripeEventId: "evt_s",
        stripeEventType: "customer.created",
        checkoutId: "",
        seenBefore: false,
        payment: undefined,
      }),
    };
    expect((await webhook()).status).toBe(200);
  });

  test("cost a checkout that waits for none no history event", async () => {
    const { buy, checkoutId } = await aBuyer();
    await buy();
    await eventually(async () => expect((await historyOf(checkoutId)).length).toBeGreaterThanOrEqual(5));
    const before = (await historyOf(checkoutId)).length;
    says(checkoutId, PaymentStatus.UNPAID);
    expect((await webhook()).status).toBe(200);
    expect(await historyOf(checkoutId)).toHaveLength(before);
    expect(await late(checkoutId)).toBeUndefined();
  });

  test("that agree with a checkout's end change nothing", async () => {
    const { buy, pay, checkoutId } = await aBuyer();
    await buy();
    await pay("pm_ok", "p");
    await closed(checkoutId);
    says(checkoutId, PaymentStatus.CAPTURED);
    expect((await webhook()).status).toBe(200);
    expect(await late(checkoutId)).toBeUndefined();
  });

  test("that tell of money after the end start its settlement, once for each delivery that needs it", async () => {
    const { buy, cancel, checkoutId } = await aBuyer();
    await buy();
    await cancel();
    await closed(checkoutId);
    says(checkoutId, PaymentStatus.AUTHORIZED);
    expect((await webhook()).status).toBe(200);
    expect(await late(checkoutId)).toBe(checkoutId);
    expect((await webhook()).status).toBe(200); // redelivered
    expect(await late(checkoutId)).toBe(checkoutId);
  });

  test("about a checkout that is nowhere known start its settlement too", async () => {
    const { checkoutId } = await aBuyer();
    says(checkoutId, PaymentStatus.CAPTURED);
    expect((await webhook()).status).toBe(200);
    expect(await late(checkoutId)).toBe(checkoutId);
  });
});

describe("refunds", () => {
  let organiser: string;
  let order: ReturnType<typeof anOrder>;
  let event: ReturnType<typeof anEvent>;
  let refundCount = 0;
  beforeAll(async () => {
    organiser = await gateway.token("acc_org", { roles: ["organiser"] });
  });
  const prepare = (over: Parameters<typeof anOrder>[2] = {}) => {
    order = anOrder(`chk_refund_${gateway.run}_${++refundCount}`, "acc_1", over);
    event = anEvent({ organiserId: "acc_org" });
    gateway.replies.ticket = {
      getOrder: async ({ userId }) => {
        if (userId !== "" && userId !== "acc_1") throw new DomainError("ORDER_NOT_FOUND", "You have no such order.");
        return { order };
      },
    };
    gateway.replies.catalog = {
      getEvents: async () => ({ events: [event] }),
    };
    return (body: object, { token = organiser, key = `refund-${refundCount}` } = {}) =>
      gateway.post(`/v1/orders/${order.checkoutId}/refund`, { token, key, body });
  };

  test("of all, by the event's organiser; a retry is the same refund, though nothing is left", async () => {
    const refund = prepare();
    const told = await refund({});
    expect(told.status, told.text).toBe(200);
    expect(told.body).toMatchObject({ checkoutId: order.checkoutId, status: "refunded", amount: 0, seats: [] });
    expect(callsOf("ticket.getOrder")[0]?.request).toEqual({ checkoutId: order.checkoutId, userId: "" });
    await flush();
    gateway.replies.ticket = { getOrder: async () => ({ order: { ...order, amountRefunded: 9900 } }) };
    const again = await refund({});
    expect({ status: again.status, body: again.body }).toEqual({ status: 200, body: told.body });
  });

  test("of a seat: what is left of it, as the ticket service knows", async () => {
    expect((await prepare()({ seats: ["A-A-2"] })).body).toMatchObject({
      status: "refunded",
      amount: 0,
      seats: ["A-A-2"],
    });
  });

  test("that the workflow refuses", async () => {
    const told = await prepare()({ seats: ["A-A-1"], amount: 1300 });
    expect({ status: told.status, code: told.body.code }).toEqual({ status: 422, code: "REFUND_TOO_LARGE" });
  });

  test.each([
    ["an amount of nobody's", { amount: 100 }, "Name the seats"],
    ["goodwill without money", { kind: "goodwill", reason: "rain" }, "how much"],
    ["goodwill without a reason", { kind: "goodwill", amount: 100 }, "why"],
    ["a void with money", { kind: "void", amount: 100, reason: "fraud" }, "without money"],
    ["a void without a reason", { kind: "void" }, "why"],
    ["another amount for one that failed", { insteadOf: "rfd_1", seats: ["A-A-1"], amount: 3 }, "as it was"],
    ["a kind that is Stripe's", { kind: "outside", reason: "x" }, ""],
  ])("of %s: no sense", async (_, body, words) => {
    const told = await prepare()(body);
    expect({ status: told.status, code: told.body.code }, told.text).toEqual({ status: 400, code: "REQUEST_INVALID" });
    expect(told.text).toContain(words);
  });

  test("out of goodwill, or void, with who and why", async () => {
    expect((await prepare()({ kind: "goodwill", amount: 600, reason: "It rained" })).body).toMatchObject({
      status: "refunded",
      amount: 600,
      seats: ["goodwill", "It rained", "acc_org"],
    });
  });

  test("that the bank did not take", async () => {
    const told = await prepare()({ kind: "void", reason: "the bank said no" });
    expect({ status: told.status, said: told.body.status }).toEqual({ status: 200, said: "failed" });
  });

  test("of one that failed, asked for again", async () => {
    const refund = prepare();
    expect((await refund({ insteadOf: "rfd_0", reason: "new card" }, { key: "a" })).status).toBe(200);
    const told = await refund({ insteadOf: "rfd_gone" }, { key: "b" });
    expect({ status: told.status, code: told.body.code }).toEqual({ status: 409, code: "REFUND_NOT_FAILED" });
  });

  describe("that failed, and was paid another way", () => {
    const close = (body: object, token = organiser) =>
      gateway.post(`/v1/orders/${order.checkoutId}/refunds/rfd_1/closure`, { token, key: randomUUID(), body });
    const closable = () => {
      prepare();
      const refund = aRefund({ state: RefundState.CLOSED, closedBy: "acc_org", closedReason: "bank transfer" });
      gateway.replies.ticket = {
        getOrder: async () => ({ order }),
        closeRefund: async () => ({ order: { ...order, refunds: [refund], amountRefunded: 4950 } }),
      };
    };

    test("is closed by the organiser, with how", async () => {
      closable();
      const told = await close({ reason: "bank transfer" });
      expect(told.status, told.text).toBe(200);
      expect(told.body).toMatchObject({
        amountRefunded: 4950,
        refunds: [{ refundId: "rfd_1", state: "closed", by: "buyer", closedReason: "bank transfer" }],
      });
      expect(callsOf("ticket.closeRefund").map(({ request }) => request)).toEqual([
        { checkoutId: order.checkoutId, refundId: "rfd_1", closedBy: "acc_org", reason: "bank transfer" },
      ]);
    });

    test("by nobody else, and not without words", async () => {
      closable();
      const stranger = await close({ reason: "x" }, await gateway.token("acc_else", { roles: ["organiser"] }));
      expect({ status: stranger.status, code: stranger.body.code }).toEqual({ status: 404, code: "ORDER_NOT_FOUND" });
      expect((await close({ reason: "x" }, await gateway.token("acc_1"))).status).toBe(403);
      expect((await close({})).status).toBe(400);
      expect(callsOf("ticket.closeRefund")).toEqual([]);
    });

    test.each(["REFUND_NOT_FOUND", "REFUND_NOT_FAILED"] as const)("unless it is %s", async (code) => {
      closable();
      gateway.replies.ticket = {
        ...gateway.replies.ticket,
        closeRefund: async () => {
          throw new DomainError(code, "No.");
        },
      };
      expect((await close({ reason: "x" })).body.code).toBe(code);
    });
  });

  test("that takes its time: 202, then the outcome", async () => {
    const refund = prepare();
    const told = await refund({ seats: ["A-A-1"], amount: 700 });
    expect({ status: told.status, said: told.body.status }).toEqual({ status: 202, said: "pending" });
    await eventually(async () =>
      expect((await refund({ seats: ["A-A-1"], amount: 700 })).body).toMatchObject({ status: "refunded", amount: 700 }),
    );
  });

  test("by another organiser: there is no such order; by an operator: yes", async () => {
    const refund = prepare();
    const stranger = await refund({}, { token: await gateway.token("acc_else", { roles: ["organiser"] }) });
    expect({ status: stranger.status, code: stranger.body.code }).toEqual({ status: 404, code: "ORDER_NOT_FOUND" });
    const operator = await refund({}, { token: await gateway.token("acc_op", { roles: ["operator"] }) });
    expect(operator.status).toBe(200);
  });

  describe("by the buyer", () => {
    const hour = 60 * 60 * 1000;
    let buyer: string;
    beforeAll(async () => {
      buyer = await gateway.token("acc_1");
    });
    /** An order whose event may be given back for so long. */
    const own = (forMs: number, over: Parameters<typeof anOrder>[2] = {}) => {
      const refund = prepare(over);
      event = anEvent({ organiserId: "acc_org", refundableUntilMs: forMs === 0 ? 0 : Date.now() + forMs });
      return (body: object, more: { token?: string; key?: string } = {}) => refund(body, { token: buyer, ...more });
    };
    const look = async () => (await gateway.get(`/v1/orders/${order.checkoutId}`, { token: buyer })).body;

    test("in time: all of the order, or some of its seats, for what is left of them", async () => {
      const refund = own(hour);
      expect(await look()).toMatchObject({ refundable: true, refundedSeats: [] });
      const seat = await refund({ seats: ["A-A-2"] });
      expect(seat.status, seat.text).toBe(200);
      expect(seat.body).toMatchObject({ status: "refunded", amount: 0, seats: ["A-A-2"] });
      const all = await own(hour)({});
      expect(all.status, all.text).toBe(200);
    });

    test.each<[string, number]>([
      ["too late", -1_000],
      ["never", 0],
    ])("%s: refused, and the order says so", async (_, forMs) => {
      const refund = own(forMs);
      const told = await refund({});
      expect({ status: told.status, code: told.body.code }, told.text).toEqual({
        status: 409,
        code: "REFUND_NOT_ALLOWED",
      });
      expect((await look()).refundable).toBe(false);
    });

    test("of a cancelled event: refused, since it is given back without that", async () => {
      const refund = own(hour);
      event = anEvent({ organiserId: "acc_org", refundableUntilMs: Date.now() + hour, status: EventStatus.CANCELLED });
      const told = await refund({});
      expect({ code: told.body.code, detail: told.body.detail }).toEqual({
        code: "REFUND_NOT_ALLOWED",
        detail: expect.stringContaining("cancelled"),
      });
      expect((await look()).refundable).toBe(false);
    });

    test.each([
      { seats: ["A-A-1"], amount: 9900 },
      { kind: "goodwill", amount: 100, reason: "It rained" },
      { kind: "void", reason: "x" },
      { insteadOf: "rfd_0" },
    ])("never for an amount of the buyer's choice, nor in another way: %j", async (body) => {
      const told = await own(hour)(body);
      expect({ status: told.status, code: told.body.code }).toEqual({ status: 409, code: "REFUND_NOT_ALLOWED" });
    });

    test("never of another's order", async () => {
      const told = await own(hour)({}, { token: await gateway.token("acc_else") });
      expect({ status: told.status, code: told.body.code }).toEqual({ status: 404, code: "ORDER_NOT_FOUND" });
    });

    test("by an organiser who is a buyer elsewhere: like every buyer", async () => {
      const refund = own(hour);
      event = { ...event, organiserId: "acc_else" };
      const both = await gateway.token("acc_1", { roles: ["buyer", "organiser"] });
      const amount = await refund({ amount: 10 }, { token: both, key: "some" });
      expect(amount.body.code).toBe("REFUND_NOT_ALLOWED");
      expect((await refund({}, { token: both, key: "all" })).status).toBe(200);
    });

    test("of nothing that is left: not refundable", async () => {
      own(hour, {
        refunds: [
          aRefund({ requestedBy: "acc_org", reason: "between us" }),
          aRefund({ refundId: "rfd_2", seatIds: ["A-A-2"], state: RefundState.PENDING }),
        ],
        refundingSeatIds: ["A-A-2"],
        left: [
          { seatId: "A-A-1", amount: 0 },
          { seatId: "A-A-2", amount: 0 },
        ],
      });
      const seen = await look();
      expect(seen).toMatchObject({
        refundable: false,
        refundedSeats: ["A-A-1"],
        seats: [{ left: 0 }, { left: 0 }],
        refunds: [
          { by: "organiser", state: "paid", kind: "return" },
          { by: "buyer", state: "pending" },
        ],
      });
      expect(JSON.stringify(seen)).not.toContain("between us");
    });

    test("while events can't be asked: the order is shown, as not refundable now", async () => {
      own(hour);
      gateway.replies.catalog = {
        getEvents: async () => {
          throw new DomainError("UNAVAILABLE", "No.");
        },
      };
      expect(await look()).toMatchObject({ checkoutId: order.checkoutId, refundable: false });
    });

    test("that the workflow refuses, because another was quicker", async () => {
      const told = await own(hour, { seats: [aSeat("A-A-13")], amount: 4950 })({ seats: ["A-A-13"] });
      expect({ status: told.status, code: told.body.code }).toEqual({ status: 409, code: "SEAT_REFUNDED" });
    });
  });
});

describe("without a worker", () => {
  let lonely: Harness;
  beforeAll(async () => {
    lonely = await startHarness({ ...backing, settings: { PAYMENT_WAIT_SECONDS: "2" } });
    lonely.replies.seats = { hold: async () => aHold(["A-A-1"]), releaseHold: async () => ({ released: 1 }) };
  });
  afterAll(() => lonely.stop());

  test("seats are held, the checkout can be seen, and a payment says that its outcome is unknown", async () => {
    const token = await lonely.token(`acc_${lonely.run}`);
    const bought = await lonely.post("/v1/checkouts", {
      token,
      key: "k",
      body: { eventId: "evt_1", seats: ["A-A-1"] },
    });
    expect(bought.status, bought.text).toBe(201);
    const path = `/v1/checkouts/${bought.body.checkoutId}`;
    const looked = await lonely.get(path, { token });
    expect({ status: looked.status, body: looked.body }).toEqual({ status: 200, body: bought.body });
    const paid = await lonely.post(`${path}/payment`, { token, key: "p", body: { paymentMethodId: "pm_ok" } });
    expect({ status: paid.status, code: paid.body.code, retryable: paid.body.retryable }).toEqual({
      status: 504,
      code: "DEADLINE_EXCEEDED",
      retryable: true,
    });
    const stranger = await lonely.get(path, { token: await lonely.token("acc_stranger") });
    expect(stranger.status).toBe(404);
  });

  test("a gateway that is told to stop lets the payment's answer out first", async () => {
    const stopping = await startHarness({ ...backing, settings: { PAYMENT_WAIT_SECONDS: "20" } });
    stopping.replies.seats = { hold: async () => aHold(["A-A-1"]) };
    const token = await stopping.token(`acc_${stopping.run}`);
    const bought = await stopping.post("/v1/checkouts", {
      token,
      key: "k",
      body: { eventId: "evt_1", seats: ["A-A-1"] },
    });
    const paying = stopping.post(`/v1/checkouts/${bought.body.checkoutId}/payment`, {
      token,
      key: "p",
      body: { paymentMethodId: "pm_ok" },
    });
    await new Promise((resolve) => setTimeout(resolve, 500));
    const begun = Date.now();
    await stopping.stop();
    expect(Date.now() - begun).toBeLessThan(15_000);
    const told = await paying;
    expect({ status: told.status, code: told.body.code }).toEqual({ status: 504, code: "DEADLINE_EXCEEDED" });
    expect(told.headers.get("connection")).toBe("close");
    await expect(fetch(`${stopping.url}/healthz`)).rejects.toThrow();
  });
});

describe("without Temporal", () => {
  async function against(temporalAddress: string) {
    const lost = await startHarness({ ...backing, temporalAddress });
    lost.replies.seats = { hold: async () => aHold(["A-A-1"]), releaseHold: async () => ({ released: 1 }) };
    const token = await lost.token("acc_1");
    const buy = (key = "k") => lost.post("/v1/checkouts", { token, key, body: { eventId: "evt_1", seats: ["A-A-1"] } });
    const released = () => lost.calls.filter(({ method }) => method === "seats.releaseHold");
    return { lost, token, buy, released };
  }

  test("that can't be reached: nothing was started, so the hold is released at once, each time", async () => {
    const { lost, buy, released, token } = await against("127.0.0.1:1");
    try {
      for (const times of [1, 2]) {
        const begun = Date.now();
        const told = await buy();
        expect({ status: told.status, code: told.body.code }, told.text).toEqual({ status: 503, code: "UNAVAILABLE" });
        expect(told.body.detail).toContain("set free again");
        expect(told.headers.get("retry-after")).toBe("2");
        expect(Date.now() - begun).toBeLessThan(15_000);
        expect(released()).toHaveLength(times);
      }
      expect(released()[0]?.request).toMatchObject({ userId: "acc_1", holdId: "00000000000000aa", seatIds: ["A-A-1"] });
      expect((await lost.get("/v1/checkouts/chk_1", { token })).status).toBe(503);
      expect((await lost.gateway.ready()) === true).toBe(true);
    } finally {
      await lost.stop();
    }
  });

  test("that takes the start and never answers: it may run, so the hold stays", async () => {
    const silent = await startSilentServer();
    const { lost, buy, released } = await against(silent.address);
    try {
      const begun = Date.now();
      const told = await buy();
      expect({ status: told.status, code: told.body.code, retryable: told.body.retryable }).toEqual({
        status: 503,
        code: "UNAVAILABLE",
        retryable: true,
      });
      expect(told.body.detail).toContain("stay held");
      expect(Date.now() - begun).toBeLessThan(15_000);
      expect(released()).toEqual([]);
    } finally {
      await lost.stop();
      silent.stop();
    }
  });

  test("a later attempt with the same key never releases what an earlier one may have started", async () => {
    const silent = await startSilentServer();
    const { lost, buy, released } = await against(silent.address);
    try {
      expect((await buy()).status).toBe(503);
      // Now nothing listens there any more: this attempt certainly starts nothing, but the first one may have.
      silent.stop();
      const begun = Date.now();
      const told = await buy();
      expect(Date.now() - begun).toBeLessThan(15_000);
      expect({ status: told.status, code: told.body.code }).toEqual({ status: 503, code: "UNAVAILABLE" });
      expect(released()).toEqual([]);
    } finally {
      await lost.stop();
    }
  });
});

/** Accepts connections, and never says a word. */
async function startSilentServer() {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => sockets.add(socket.on("error", () => undefined).resume()));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${(server.address() as { port: number }).port}`,
    stop: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

const webhook = () =>
  gateway.post("/v1/webhooks/stripe", {
    raw: '{"id":"evt_s"}',
    headers: { "content-type": "application/json", "stripe-signature": "t=1,v1=00" },
  });

const closed = (checkoutId: string) => temporal.workflow.getHandle(checkoutWorkflowId(checkoutId)).result();

const historyOf = async (checkoutId: string) =>
  (await temporal.workflow.getHandle(checkoutWorkflowId(checkoutId)).fetchHistory()).events ?? [];

async function registerAttributes(connection: Connection): Promise<void> {
  const namespace = "default";
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  const missing = Object.values(searchAttributes).filter((name) => !Object.hasOwn(customAttributes ?? {}, name));
  if (missing.length === 0) return;
  await connection.operatorService.addSearchAttributes({
    namespace,
    searchAttributes: Object.fromEntries(missing.map((name) => [name, 2])),
  });
}
