// Closing the books: the schedule that does it, its way through all pages, what it tells and mends, and its gauges.
import { randomUUID } from "node:crypto";
import { DomainError } from "@onsale/kit/errors";
import { Sale } from "@onsale/proto/inventory/v1/reconcile";
import { Payment, PaymentRefund, PaymentStatus, RefundStatus, StripePayment } from "@onsale/proto/payment/v1/payment";
import { Order, OrderStatus } from "@onsale/proto/ticket/v1/ticket";
import { ScheduleNotFoundError } from "@temporalio/client";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import {
  booksScheduleId,
  booksWorkflowId,
  type CloseBooksInput,
  type CloseBooksResult,
  checkoutWorkflowId,
  workflowTypes,
} from "../src/contract.js";
import { openStage, record, type Stage, type StagedWorker, until } from "./stage.js";

let stage: Stage;
let worker: StagedWorker;
beforeAll(async () => {
  stage = await openStage({ worker: false });
  worker = await stage.startWorker();
});
afterAll(async () => {
  await schedule()
    .delete()
    .catch(() => undefined);
  await stage.close();
});
beforeEach(() => {
  const { atStripe, orphanage } = stage.services;
  atStripe.payments.length = 0;
  atStripe.asked.length = 0;
  atStripe.before = async () => undefined;
  for (const list of Object.values(orphanage)) list.length = 0;
});

const schedule = () => stage.client.schedule.getHandle(booksScheduleId(stage.taskQueue));

/** A checkout that was paid and has its tickets, an hour ago. */
function sold(amount = 9_900) {
  const checkoutId = `chk_${randomUUID().slice(0, 12)}`;
  const seats = ["A-1-1", "A-1-2"].map((seatId) => ({
    ...{ seatId, sectionId: "A", row: "1", number: "1", tierId: "T1", amount: amount / 2 },
  }));
  const money = { amount, currency: "EUR", amountCaptured: amount };
  const payment = Payment.create({
    ...{ checkoutId, paymentIntentId: `pi_${checkoutId}`, status: PaymentStatus.CAPTURED, eventId: "evt_1", ...money },
  });
  const facts = stage.services.facts(checkoutId);
  facts.payment = payment;
  facts.order = Order.create({
    ...{ checkoutId, userId: "acc_1", seats, amount, currency: "EUR", status: OrderStatus.COMPLETED },
    event: { eventId: "evt_1", name: "The Night Ferry", startsAtMs: 1, venueName: "", city: "", timeZone: "" },
  });
  facts.sale = Sale.create({ userId: "acc_1", seats, whole: true, amount, currency: "EUR" });
  const atStripe = StripePayment.create({
    ...{ paymentIntentId: payment.paymentIntentId, checkoutId, stripeStatus: "succeeded", ...money, record: payment },
    createdAtMs: Date.now() - 3_600_000,
  });
  stage.services.atStripe.payments.push(atStripe);
  return { checkoutId, facts, atStripe };
}

async function begin(input: CloseBooksInput = { settledAfterMs: 0 }, ...more: readonly unknown[]) {
  return stage.client.workflow.start(workflowTypes.closeBooks, {
    workflowId: booksWorkflowId(randomUUID()),
    taskQueue: stage.taskQueue,
    args: [input, ...more],
  });
}
const closed = async (run: { result(): Promise<unknown> }) => (await run.result()) as CloseBooksResult;

it("is scheduled each night at its time, by the first worker; and not when it is not wanted", async () => {
  await expect(schedule().describe()).rejects.toThrow(ScheduleNotFoundError);
  const other = await stage.startWorker({ BOOKS_AT: "04:20", BOOKS_WINDOW_HOURS: "30", BOOKS_SETTLED_SECONDS: "60" });
  await until(() =>
    schedule()
      .describe()
      .then(
        () => true,
        () => false,
      ),
  );
  const made = await schedule().describe();
  expect(made.spec.calendars).toMatchObject([{ hour: [{ start: 4 }], minute: [{ start: 20 }] }]);
  expect(made.policies).toMatchObject({ catchupWindow: 12 * 3_600_000 });
  expect(made.action).toMatchObject({
    workflowType: workflowTypes.closeBooks,
    args: [{ settledAfterMs: 60_000, windowMs: 30 * 3_600_000 }],
  });
  await other.stop();
});

it("goes through all pages, tries again what is away, and accounts for the money", async () => {
  const one = sold();
  for (let more = 0; more < 4; more++) sold();
  const { atStripe } = stage.services;
  let away = 1;
  atStripe.before = async (cursor) => {
    if (cursor === "2" && away-- > 0) throw new DomainError("UNAVAILABLE", "scripted: Stripe is away");
  };
  const run = await begin();
  const result = await closed(run);
  expect(result).toMatchObject({
    ...{ scope: "everything", sinceMs: 0, compared: 5, causes: {}, findings: [], foreign: 0 },
    inFlight: { count: 0 },
    figures: [{ currency: "EUR", payments: 5, captured: 49_500, tickets: 49_500, difference: 0 }],
  });
  expect(atStripe.asked).toContain("4");
  expect(stage.services.methods(one.checkoutId)).not.toContain("getPayment");
  await record("close-books", run);
});

it("begins where another run of it has stopped, and adds to what that had found", async () => {
  sold();
  sold();
  sold();
  const beforeMs = Date.now();
  const figures = { currency: "EUR", payments: 7, captured: 700, tickets: 700, kept: 0, refunds: 0, disputes: 0 };
  const sofar: CloseBooksResult = {
    ...{
      scope: "everything",
      sinceMs: 0,
      beforeMs,
      compared: 7,
      causes: { ticket_missing: 1 },
      findings: [],
      foreign: 2,
    },
    figures: [{ ...figures, owed: 0, paidElsewhere: 0, setAside: 0, difference: 0, held: 0 }],
    inFlight: { count: 1, checkoutIds: ["chk_x"] },
  };
  const progress = { at: "stripe", cursor: "2", settledMs: beforeMs, followed: 0, sofar };
  expect(await closed(await begin({ settledAfterMs: 0 }, progress))).toMatchObject({
    ...{ compared: 8, causes: { ticket_missing: 1 }, foreign: 2, inFlight: { count: 1 } },
    figures: [{ payments: 8, captured: 10_600, difference: 0 }],
  });
});

it("names what differs, takes a refund that nobody told us of to its order, and is balanced the next time", async () => {
  const lost = sold();
  lost.facts.lostTickets.push("A-1-2");
  const untold = sold();
  const refund = PaymentRefund.create({
    ...{ refundId: "re_1", stripeRefundId: "re_1", amount: 9_900, status: RefundStatus.SUCCEEDED, outside: true },
  });
  const given = { refunds: [refund], amountRefunded: 9_900 };
  untold.atStripe.amountRefunded = 9_900;
  untold.atStripe.refunds.push(refund);
  // The record as the list has it is behind; asked again, it is not.
  if (untold.facts.payment) Object.assign(untold.facts.payment, given, { status: PaymentStatus.REFUNDED });
  const run = await begin();
  const { findings, figures, causes } = await closed(run);
  expect(findings.map(({ cause, checkoutId, who }) => [cause, checkoutId, who])).toEqual(
    expect.arrayContaining([
      ["ticket_missing", lost.checkoutId, "person"],
      ["refund_unknown", untold.checkoutId, "itself"],
    ]),
  );
  expect(causes).toMatchObject({ ticket_missing: 1, refund_unknown: 1 });
  const { currentDetails } = await run.query<{ currentDetails: string }>("__temporal_workflow_metadata");
  expect(currentDetails).toMatch(/^has ended; \*\*\d differences\*\*$/m);
  expect(currentDetails).toContain(`**ticket_missing** (person) \`${lost.checkoutId}\`: \`A-1-2\`, EUR 49.50.`);
  expect(currentDetails).toContain("| EUR | EUR 198.00 | EUR 148.50 |");
  expect(figures).toMatchObject([{ captured: 19_800, tickets: 14_850, refunds: 9_900, difference: -4_950 }]);
  await until(() => stage.services.methods(untold.checkoutId).includes("recordPayment"));
  await until(async () => /onsale_books_findings\{cause="ticket_missing"[^}]*\} 1/.test(await worker.metrics()));
  const told = await worker.metrics();
  expect(told).toMatch(/onsale_books_findings\{cause="captured_twice"[^}]*\} 0/);
  expect(told).toMatch(/onsale_books_difference\{currency="EUR"[^}]*\} -4950/);
  expect(told).toMatch(/onsale_books_last_success_timestamp_seconds(\{[^}]*\})? 1\d{9}/);

  lost.facts.lostTickets.length = 0;
  await until(async () => Object.keys((await closed(await begin())).causes).length === 0);
  // What somebody asked for of a time of their choice is not what the gauges tell.
  lost.facts.lostTickets.push("A-1-1");
  const chosen = await closed(await begin({ settledAfterMs: 0, sinceMs: Date.now() - 7_200_000 }));
  expect(chosen).toMatchObject({ scope: "chosen", causes: { ticket_missing: 1 } });
  await until(
    async () => /onsale_books_findings\{cause="ticket_missing"[^}]*\} 0/.test(await worker.metrics()),
    60_000,
  );
});

it("finds nothing in what is under way: its workflow runs, or it changed just now", async () => {
  const input = stage.newCheckout();
  await stage.startCheckout(input);
  const { checkoutId } = input;
  const money = { amount: 14_850, currency: "EUR", amountCaptured: 14_850 };
  const payment = Payment.create({
    checkoutId,
    paymentIntentId: "pi_running",
    status: PaymentStatus.CAPTURED,
    ...money,
  });
  stage.services.facts(checkoutId).payment = payment;
  stage.services.atStripe.payments.push(
    StripePayment.create({
      ...{ paymentIntentId: "pi_running", checkoutId, stripeStatus: "succeeded", ...money, record: payment },
      createdAtMs: Date.now() - 60_000,
    }),
  );
  const running = await closed(await begin());
  expect(running).toMatchObject({ causes: {}, figures: [], inFlight: { count: 1, checkoutIds: [checkoutId] } });
  await stage.client.workflow.getHandle(checkoutWorkflowId(checkoutId)).terminate("a test");
  expect(await closed(await begin())).toMatchObject({ causes: { captured_without_order: 1 }, inFlight: { count: 0 } });
  // Made within the time in which it may be under way, and listed all the same since that began just now.
  expect(await closed(await begin({ settledAfterMs: 120_000 }))).toMatchObject({ compared: 0, causes: {} });
});

it("keeps a hundred of the differences, and counts all", async () => {
  for (let at = 0; at < 130; at++) sold(2_000).facts.lostTickets.push("A-1-1");
  const { findings, causes, figures } = await closed(await begin());
  expect(findings).toHaveLength(100);
  expect(causes).toEqual({ ticket_missing: 130 });
  expect(figures).toMatchObject([{ captured: 260_000, tickets: 130_000, difference: 130_000 }]);
});

it("stands very many payments with a short history", async () => {
  const many = Number(process.env["BOOKS_TEST_PAYMENTS"] ?? 2_000);
  for (let at = 0; at < many; at++) sold(1_000);
  stage.services.atStripe.pageSize = 50;
  const run = await begin();
  expect(await closed(run)).toMatchObject({ compared: many, figures: [{ captured: many * 1_000, difference: 0 }] });
  // A step goes on for ten seconds.
  const { historyLength, startTime, closeTime } = await run.describe();
  const seconds = ((closeTime?.getTime() ?? 0) - startTime.getTime()) / 1_000;
  expect(historyLength).toBeLessThan(40 + 2 * seconds);
}, 600_000);
