// Disputes at the API: whose are listed, what is known of one, and the one answer that the bank takes.
import { randomUUID } from "node:crypto";
import { DomainError } from "@onsale/kit/errors";
import { DisputeStatus, PaymentStatus } from "@onsale/proto/payment/v1/payment";
import type { OrderDispute } from "@onsale/proto/ticket/v1/ticket";
import { afterAll, afterEach, beforeAll, expect, inject, test } from "vitest";
import { anAccount, anEvent, anOrder, aPayment, type Harness, startHarness } from "./harness.js";

let gateway: Harness;
let organiser: string;
let operator: string;

beforeAll(async () => {
  gateway = await startHarness(inject("backing"));
  organiser = await gateway.token("acc_org", { roles: ["organiser"] });
  operator = await gateway.token("acc_op", { roles: ["operator"] });
});
afterEach(() => gateway.reset());
afterAll(() => gateway.stop());

const asked = (method: string) => gateway.calls.filter((call) => call.method === method).map(({ request }) => request);
const dueAtMs = Date.UTC(2099, 0, 1);
const aDispute = (over: Partial<OrderDispute> = {}): OrderDispute => ({
  ...{ disputeId: "dp_1", amount: 9900, reason: "fraudulent", status: "needs_response" },
  ...{ createdAtMs: Date.UTC(2027, 4, 2), evidenceDueMs: dueAtMs, answeredAtMs: 0, answeredBy: "" },
  ...over,
});
const closed = async () => {
  throw new DomainError("DISPUTE_CLOSED", "It takes none any more.");
};

/** The neighbours, with one disputed order; `atBank`: what is on the dispute at Stripe. */
function there({ dispute = aDispute(), owner = "acc_org", atBank = {} as Record<string, string> } = {}) {
  const order = anOrder("chk_1", "acc_1", { disputes: [dispute] });
  const event = anEvent({ organiserId: owner });
  gateway.replies.account = { findAccounts: async () => ({ accounts: [anAccount()] }) };
  gateway.replies.catalog = {
    getEvents: async () => ({ events: [event] }),
    listEvents: async () => ({ events: [event], nextCursor: "" }),
  };
  const stripes = { ...dispute, status: DisputeStatus.UNDER_REVIEW, hasEvidence: true };
  gateway.replies.payment = {
    getPayment: async () => ({ payment: { ...aPayment("chk_1", PaymentStatus.CAPTURED), amountCaptured: 9900 } }),
    getDisputeEvidence: async () => ({ dispute: stripes, evidence: atBank }),
    submitDisputeEvidence: async () => ({ dispute: stripes }),
  };
  gateway.replies.ticket = {
    getOrder: async () => ({ order }),
    listDisputes: async () => ({
      disputes: [{ checkoutId: "chk_1", userId: "acc_1", event: order.event, currency: "EUR", dispute }],
      nextCursor: "n2",
    }),
    recordDisputeAnswer: async ({ answeredBy }) => ({
      order: { ...order, disputes: [{ ...dispute, answeredAtMs: Date.UTC(2027, 4, 3), answeredBy }] },
    }),
  };
}
const path = (checkoutId = "chk_1", disputeId = "dp_1") => `/v1/orders/${checkoutId}/disputes/${disputeId}/evidence`;
const send = (words: string, { token = organiser, key = randomUUID() as string } = {}) =>
  gateway.post(path(), { token, key, body: { words } });

test("are listed with their day, order and event: one's own, or an operator's all", async () => {
  there();
  const told = await gateway.get("/v1/organiser/disputes?state=open", { token: organiser });
  expect(told.status, told.text).toBe(200);
  expect(told.body).toEqual({
    disputes: [
      {
        checkoutId: "chk_1",
        currency: "EUR",
        event: expect.objectContaining({ eventId: "evt_1" }),
        buyer: { accountId: "acc_1", email: "ada@example.test", name: "Ada" },
        dispute: {
          ...{ disputeId: "dp_1", amount: 9900, reason: "fraudulent", status: "needs_response" },
          ...{ createdAt: "2027-05-02T00:00:00.000Z", evidenceDueAt: "2099-01-01T00:00:00.000Z" },
        },
      },
    ],
    nextCursor: "n2",
  });
  await gateway.get("/v1/organiser/disputes?state=decided&limit=3&cursor=c", { token: operator });
  expect(asked("ticket.listDisputes")).toEqual([
    { decided: false, cursor: "", limit: 20, eventIds: ["evt_1"] },
    { decided: true, cursor: "c", limit: 3, eventIds: [] },
  ]);
  for (const query of ["", "?state=lost"])
    expect((await gateway.get(`/v1/organiser/disputes${query}`, { token: organiser })).body.code).toBe(
      "REQUEST_INVALID",
    );
  const buyer = await gateway.token("acc_1");
  expect((await gateway.get("/v1/organiser/disputes?state=open", { token: buyer })).status).toBe(403);
});

test("tell all that is known of the order, and nothing secret", async () => {
  there({ atBank: { customer_name: "Ada" } });
  const told = await gateway.get(path(), { token: organiser });
  expect(told.status, told.text).toBe(200);
  expect(told.body).toMatchObject({
    answerable: true,
    buyer: { email: "ada@example.test" },
    bought: { amount: 9900, currency: "EUR" },
    payment: { reference: "pi_1", captured: 9900 },
    tickets: [{ status: "valid" }, { status: "valid" }],
    timeline: [{ step: "issued" }, { step: "dispute_opened" }],
    draft: { customer_name: "Ada", customer_email_address: "ada@example.test" },
    atBank: { customer_name: "Ada" },
  });
  expect(told.body.draft.product_description).toContain("Total: EUR 99.00");
  expect(told.body.draft.refund_policy_disclosure).toContain("before the purchase");
  expect(told.body.draft.service_date).toMatch(/^2027-\d\d-\d\d$/);
  expect(told.text).not.toMatch(/token|qrSvg|client_secret/i);
  // Stripe away: the rest is shown.
  gateway.replies.payment = {};
  const without = await gateway.get(path(), { token: organiser });
  expect(without.status, without.text).toBe(200);
  expect([without.body.atBank, without.body.payment]).toEqual([undefined, undefined]);
});

test("are answered once, by whoever may; the same request again is the same answer", async () => {
  there();
  const key = randomUUID();
  const words = "She was at the door.\nHere is when.";
  const first = await send(words, { key });
  expect(first.status, first.text).toBe(200);
  expect(first.body).toMatchObject({ disputeId: "dp_1", answeredAt: "2027-05-03T00:00:00.000Z" });
  expect((await send(words, { key })).body).toEqual(first.body);
  expect(asked("payment.submitDisputeEvidence")).toEqual([
    {
      ...{ checkoutId: "chk_1", disputeId: "dp_1", submit: true },
      evidence: expect.objectContaining({
        customer_name: "Ada",
        uncategorized_text: expect.stringMatching(/^She was at the door\.\nHere is when\.\n\nOrder chk_1/),
      }),
    },
  ]);
  expect(asked("ticket.recordDisputeAnswer")).toEqual([
    { checkoutId: "chk_1", disputeId: "dp_1", answeredBy: "acc_org" },
  ]);
});

test("whose answer was sent, and not written down, is written down by the next try; other words are refused", async () => {
  there();
  await send("My words.");
  const [sent] = asked("payment.submitDisputeEvidence") as { evidence: Record<string, string> }[];
  there({ atBank: sent?.evidence ?? {} });
  gateway.replies.payment = { ...gateway.replies.payment, submitDisputeEvidence: closed };
  expect((await send("My words.")).status).toBe(200);
  const others = await send("Other words.");
  expect([others.status, others.body.code, others.body.detail]).toEqual([
    409,
    "DISPUTE_CLOSED",
    "It takes none any more.",
  ]);
  expect(asked("ticket.recordDisputeAnswer")).toHaveLength(2);
});

test("of another's event, or none of this order, are not there; nothing is sent without words", async () => {
  there({ owner: "acc_else" });
  expect((await gateway.get(path(), { token: organiser })).body.code).toBe("ORDER_NOT_FOUND");
  expect((await send("Words.")).body.code).toBe("ORDER_NOT_FOUND");
  expect((await gateway.get(path(), { token: operator })).status).toBe(200);
  expect((await gateway.get(path("chk_1", "dp_2"), { token: operator })).body.code).toBe("DISPUTE_NOT_FOUND");
  for (const words of ["", "  ", "a\u0000b", "x".repeat(5_001)])
    expect((await send(words, { token: operator })).body.code).toBe("REQUEST_INVALID");
  expect(asked("payment.submitDisputeEvidence")).toEqual([]);
});

test("that are decided, or past their day, say that they take no answer", async () => {
  for (const over of [{ status: "won" }, { status: "under_review" }, { evidenceDueMs: 1 }, { answeredAtMs: 1 }]) {
    there({ dispute: aDispute(over) });
    expect((await gateway.get(path(), { token: organiser })).body.answerable, JSON.stringify(over)).toBe(false);
  }
});
