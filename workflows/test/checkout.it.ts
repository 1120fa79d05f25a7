// The checkout workflow's ordinary ways, on the real server: paid, declined, 3-D Secure, cancelled, expired, and their cost.
import { PaymentStatus } from "@onsale/proto/payment/v1/payment";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { after, declines, fails, isProcessing, losesAnswer, times, wantsApproval } from "./scripted-services.js";
import {
  cancel,
  events,
  type Handle,
  historyJson,
  kinds,
  look,
  openStage,
  pay,
  record,
  refusal,
  result,
  type Stage,
  signal,
  until,
} from "./stage.js";

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

const approve = (checkoutId: string) => {
  const { payment } = stage.services.facts(checkoutId);
  if (payment) payment.status = PaymentStatus.AUTHORIZED;
};
const begin = async (more: Parameters<Stage["newCheckout"]>[0] = {}) => {
  const input = stage.newCheckout(more);
  return { input, handle: await stage.startCheckout(input), id: input.checkoutId };
};
const statusIs = (handle: Handle, status: string) => until(async () => (await look(handle)).status === status);

describe.concurrent("a payment at the first try", () => {
  it("ends with tickets, step by step, within 28 history events", async () => {
    const { handle, id, input } = await begin();
    expect(await look(handle)).toMatchObject({ status: "held", ticketIds: [], deadlineMs: input.deadlineMs });
    expect(await pay(handle)).toMatchObject({ status: "completed", ticketIds: { length: 3 }, amount: 14_850 });
    expect(await result(handle)).toMatchObject({ status: "completed", checkoutId: id });
    expect(stage.services.methods(id)).toEqual(["authorize", "claimSeats", "capture", "issueTickets"]);
    expect(stage.services.calls(id)[0]?.request).toMatchObject({
      attempt: 1,
      userId: input.accountId,
      amount: 14_850,
      currency: "EUR",
      paymentMethodId: "pm_card_visa",
    });
    expect(stage.services.calls(id)[1]?.request).toMatchObject({
      holdId: input.holdId,
      epoch: 1,
      deadlineMs: input.deadlineMs,
    });
    const kindsOfEvents = await kinds(handle);
    expect(kindsOfEvents.length, kindsOfEvents.join("\n")).toBeLessThanOrEqual(28);
    await record("paid", handle);
  });

  it("stays within 28 events when its starter set no search attributes", async () => {
    const input = stage.newCheckout();
    const handle = await stage.client.workflow.start("checkout", {
      workflowId: `checkout-${input.checkoutId}`,
      taskQueue: stage.taskQueue,
      args: [input],
    });
    expect((await pay(handle)).status).toBe("completed");
    expect((await kinds(handle)).length).toBeLessThanOrEqual(28);
  });

  it("is one payment, however often the same update is sent", async () => {
    const { handle, id } = await begin();
    const views = await Promise.all([pay(handle, "key-1"), pay(handle, "key-1"), pay(handle, "key-1")]);
    expect(views.map((view) => view.status)).toEqual(["completed", "completed", "completed"]);
    expect(stage.services.methods(id).filter((method) => method === "authorize")).toHaveLength(1);
    // The same key after the end still gets the same answer, from the server's memory.
    expect((await pay(handle, "key-1")).status).toBe("completed");
  });

  it("is one payment when two different ones are sent at once: the other is told to wait", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "authorize", after(500));
    const both = await Promise.allSettled([pay(handle), pay(handle)]);
    const taken = both.filter((one) => one.status === "fulfilled");
    expect(taken).toHaveLength(1);
    const other = both.find((one) => one.status === "rejected");
    expect(await refusal(Promise.reject(other?.reason))).toBe("CHECKOUT_BUSY");
    expect(stage.services.facts(id).authorizations).toBe(1);
  });

  it("repeats a step whose answer was lost, and each thing happens once", async () => {
    const { handle, id } = await begin();
    for (const method of ["authorize", "claimSeats", "capture", "issueTickets"] as const)
      stage.services.script(id, method, losesAnswer);
    expect((await pay(handle)).status).toBe("completed");
    expect(stage.services.facts(id)).toMatchObject({ authorizations: 1, captures: 1, claimed: true });
    expect(stage.services.methods(id)).toHaveLength(8);
  });

  it("waits for Stripe when it is still processing", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "authorize", isProcessing);
    const paying = pay(handle);
    await until(() => stage.services.methods(id).includes("getPayment"));
    expect((await look(handle)).status).toBe("paying");
    approve(id);
    expect((await paying).status).toBe("completed");
  });
});

describe.concurrent("a declined payment", () => {
  it("leaves the hold, says why, and the next card succeeds", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "authorize", declines);
    const declined = await pay(handle);
    expect(declined).toMatchObject({ status: "held", decline: { code: "insufficient_funds" } });
    expect((await look(handle)).decline?.message).toBe("Your card has insufficient funds.");
    const completed = await pay(handle);
    expect(completed.status).toBe("completed");
    expect(completed.decline).toBeUndefined();
    expect(
      stage.services
        .calls(id)
        .filter(({ method }) => method === "authorize")
        .map(({ request }) => request.attempt),
    ).toEqual([1, 2]);
    await record("declined-then-paid", handle);
  });

  it("with a payment method unknown to Stripe is refused with its code, and the buyer may try again", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "authorize", fails("PAYMENT_METHOD_INVALID"));
    expect(await refusal(pay(handle))).toBe("PAYMENT_METHOD_INVALID");
    expect((await look(handle)).status).toBe("held");
    expect((await pay(handle)).status).toBe("completed");
  });

  it("with nonsense for input is refused before anything is recorded", async () => {
    const { handle } = await begin();
    await look(handle);
    const before = (await kinds(handle)).length;
    for (const nonsense of [
      {},
      { paymentMethodId: 7, returnUrl: "x" },
      { paymentMethodId: "p".repeat(300), returnUrl: "x" },
      undefined,
    ])
      expect(await refusal(handle.executeUpdate("submitPayment", { args: [nonsense] }))).toBe("REQUEST_INVALID");
    expect((await kinds(handle)).length).toBe(before);
    await cancel(handle);
  });
});

describe.concurrent("3-D Secure", () => {
  it("waits for the buyer, is woken by the webhook's signal, and completes; the bank's address is in no history", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "authorize", wantsApproval);
    expect(await pay(handle)).toMatchObject({ status: "requires_action" });
    expect(await refusal(pay(handle))).toBe("CHECKOUT_BUSY");
    await signal(handle); // about something else: nothing is decided
    approve(id);
    await signal(handle);
    const view = await result(handle);
    expect(view.status).toBe("completed");
    const bytes = /"([A-Za-z0-9+/]{8,}=*)"/g;
    const told = (await historyJson(handle)).replace(bytes, (_, text: string) =>
      Buffer.from(text, "base64").toString(),
    );
    expect(told).toContain("requires_action");
    expect(told).not.toContain("bank.example");
    await record("3ds", handle);
  });

  it("is found out by polling when no webhook comes, at a cost that does not grow with the wait", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "authorize", wantsApproval);
    await pay(handle);
    await until(() => stage.services.methods(id).filter((method) => method === "getPayment").length >= 2);
    const waiting = await kinds(handle);
    approve(id);
    expect((await result(handle)).status).toBe("completed");
    expect(waiting.filter((kind) => kind === "activityTaskScheduled")).toHaveLength(2);
    expect((await kinds(handle)).length).toBeLessThanOrEqual(40);
  });

  it("refused by the buyer at the bank is a decline, and another card may be tried", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "authorize", wantsApproval);
    await pay(handle);
    Object.assign(stage.services.facts(id).payment ?? {}, {
      status: PaymentStatus.UNPAID,
      declineCode: "payment_intent_authentication_failure",
      declineMessage: "The bank could not confirm it was you.",
    });
    await signal(handle);
    await statusIs(handle, "held");
    expect((await look(handle)).decline?.code).toBe("payment_intent_authentication_failure");
    expect((await pay(handle)).status).toBe("completed");
  });

  it("can be given up: nothing is charged and the seats are free", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "authorize", wantsApproval);
    await pay(handle);
    expect(await cancel(handle)).toMatchObject({ status: "cancelled", reason: "BUYER_CANCELLED" });
    expect(stage.services.facts(id)).toMatchObject({
      payment: { status: PaymentStatus.CANCELLED },
      holdReleased: true,
      captures: 0,
    });
  });
});

describe.concurrent("cancelling", () => {
  it("frees the seats at once, and the workflow completes with its view", async () => {
    const { handle, id } = await begin();
    expect(await cancel(handle)).toMatchObject({ status: "cancelled", reason: "BUYER_CANCELLED" });
    expect(await result(handle)).toMatchObject({ status: "cancelled" });
    expect(stage.services.methods(id)).toEqual(["releaseHold", "getOrder", "getPayment"]);
    await record("cancelled", handle);
  });

  it("is refused while a payment is being processed", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "authorize", after(1_500));
    const paying = pay(handle);
    await until(() => stage.services.methods(id).includes("authorize"));
    expect(await refusal(cancel(handle))).toBe("CHECKOUT_BUSY");
    expect((await paying).status).toBe("completed");
  });

  it("after a decline cancels the PaymentIntent too, before the seats are freed", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "authorize", declines);
    await pay(handle);
    await cancel(handle);
    expect(stage.services.methods(id)).toEqual(["authorize", "endCheckout", "cancel", "releaseHold"]);
  });
});

describe.concurrent("the deadline", () => {
  it("ends an unpaid checkout within 16 history events", async () => {
    const { handle, id } = await begin({ deadlineMs: Date.now() + 700 });
    expect(await result(handle)).toMatchObject({ status: "expired", reason: "CHECKOUT_EXPIRED" });
    expect(stage.services.methods(id)).toEqual(["releaseHold", "getOrder", "getPayment"]);
    const kindsOfEvents = await kinds(handle);
    expect(kindsOfEvents.length, kindsOfEvents.join("\n")).toBeLessThanOrEqual(16);
    await record("expired", handle);
  });

  it("already past is the end at once", async () => {
    const { handle } = await begin({ deadlineMs: Date.now() - 60_000 });
    expect((await result(handle)).status).toBe("expired");
  });

  it("waits for a payment in flight, which may still succeed", async () => {
    const { handle, id } = await begin({ deadlineMs: Date.now() + 4_000, graceMs: 20_000 });
    stage.services.script(id, "authorize", after(5_500));
    expect((await pay(handle)).status).toBe("completed");
    expect(stage.services.facts(id).holdReleased).toBe(false);
  });

  it("declines in the grace end it as expired, with the decline told", async () => {
    const { handle, id } = await begin({ deadlineMs: Date.now() + 4_000, graceMs: 20_000 });
    stage.services.script(id, "authorize", after(5_500, declines));
    expect(await pay(handle)).toMatchObject({ status: "expired", decline: { code: "insufficient_funds" } });
    expect(stage.services.methods(id)).toEqual(["authorize", "endCheckout", "cancel", "releaseHold"]);
  });

  it("cancels what is still undecided after the grace, and only then frees the seats", async () => {
    const deadlineMs = Date.now() + 4_000;
    const { handle, id } = await begin({ deadlineMs, graceMs: 3_000 });
    stage.services.script(id, "authorize", wantsApproval);
    await pay(handle);
    await new Promise((resolve) => setTimeout(resolve, deadlineMs + 100 - Date.now()));
    expect(await refusal(pay(handle))).toMatch(/CHECKOUT_(BUSY|EXPIRED)/);
    expect((await result(handle)).status).toBe("expired");
    const methods = stage.services.methods(id);
    expect(methods.indexOf("cancel")).toBeGreaterThan(0);
    expect(methods.indexOf("releaseHold")).toBeGreaterThan(methods.indexOf("cancel"));
    expect(stage.services.facts(id)).toMatchObject({ payment: { status: PaymentStatus.CANCELLED }, captures: 0 });
  });

  it("lets the cancellation's answer decide: captured money gets its tickets", async () => {
    const { handle, id } = await begin({ deadlineMs: Date.now() + 4_000, graceMs: 500 });
    stage.services.script(id, "authorize", wantsApproval);
    stage.services.script(id, "cancel", (facts) => {
      Object.assign(facts.payment ?? {}, { status: PaymentStatus.CAPTURED, amountCaptured: 14_850 });
      return { payment: facts.payment };
    });
    await pay(handle);
    expect((await result(handle)).status).toBe("completed");
    expect(stage.services.facts(id)).toMatchObject({ claimed: true, holdReleased: false });
  });

  it("never frees the seats while cancelling fails", async () => {
    const { handle, id } = await begin({ deadlineMs: Date.now() + 4_000, graceMs: 200 });
    stage.services.script(id, "authorize", wantsApproval);
    stage.services.goDown(id, "cancel");
    await pay(handle);
    await until(() => stage.services.methods(id).filter((method) => method === "cancel").length >= 3);
    expect(stage.services.methods(id)).not.toContain("releaseHold");
    stage.services.comeUp(id, "cancel");
    expect((await result(handle)).status).toBe("expired");
    expect(stage.services.methods(id).at(-1)).toBe("releaseHold");
  });

  it("gives up an authorization that never answers, and cancels it before the seats are freed", async () => {
    const { handle, id } = await begin({ deadlineMs: Date.now() + 4_000, graceMs: 1_000 });
    stage.services.goDown(id, "authorize");
    expect(await pay(handle)).toMatchObject({ status: "expired", reason: "CHECKOUT_EXPIRED" });
    const methods = stage.services.methods(id);
    expect(methods.slice(-3)).toEqual(["cancel", "endCheckout", "releaseHold"]);
    expect(methods.lastIndexOf("authorize")).toBeLessThan(methods.indexOf("cancel"));
  });
});

describe.concurrent("what operators see", () => {
  it("search attributes follow the status, and one query finds a checkout by event", async () => {
    const { handle, id, input } = await begin();
    stage.services.script(id, "authorize", wantsApproval);
    await pay(handle);
    const query = `OnsaleEventId = '${input.event.eventId}' AND OnsaleStatus = 'requires_action'`;
    await until(async () => (await stage.client.workflow.count(query)).count === 1);
    approve(id);
    await signal(handle);
    await result(handle);
    const ended = `OnsaleAccountId = '${input.accountId}' AND OnsaleStatus = 'completed'`;
    await until(async () => (await stage.client.workflow.count(ended)).count === 1);
  });

  it("a static summary, and current details that say what it waits for and what went wrong", async () => {
    const { handle, id } = await begin();
    const details = async () => {
      const { currentDetails } = (await handle.query("__temporal_workflow_metadata")) as { currentDetails: string };
      return currentDetails;
    };
    expect(await (await handle.describe()).staticSummary()).toBe("3 seats · The Night Ferry · EUR 148.50");
    expect(await (await handle.describe()).staticDetails()).toContain("| A-1-2 | A | 1 | 2 | standard | EUR 49.50 |");
    expect(await details()).toContain("**held**: waits for the buyer to pay");
    stage.services.script(id, "authorize", declines);
    await pay(handle);
    expect(await details()).toContain("last decline: insufficient funds");
    stage.services.script(id, "issueTickets", ...times(6, fails("UNAVAILABLE", "the ticket store is away")));
    const paying = pay(handle);
    await until(async () => (await details()).includes("last problem: UNAVAILABLE: the ticket store is away"));
    expect(await details()).toContain("**paying**: issues the tickets");
    expect((await paying).status).toBe("completed");
    expect(await details()).toContain("**completed**");
  });

  it("rows with summaries for the steps at Stripe and the timer", async () => {
    const { handle } = await begin();
    await pay(handle);
    const summaries = (await events(handle)).map(({ userMetadata }) =>
      userMetadata?.summary?.data ? JSON.parse(Buffer.from(userMetadata.summary.data).toString()) : undefined,
    );
    expect(summaries).toEqual(
      expect.arrayContaining([
        "3 seats · The Night Ferry · EUR 148.50",
        "the hold ends",
        "Authorize EUR 148.50 at Stripe",
        "Capture EUR 148.50",
      ]),
    );
  });

  it("no workflow history holds a name or an address of a person", async () => {
    const { handle, input } = await begin();
    await pay(handle);
    const text = (await historyJson(handle)).replaceAll(/"data": "([^"]+)"/g, (_, data) =>
      Buffer.from(data, "base64").toString(),
    );
    expect(text).not.toMatch(/@[a-z0-9-]+\.(com|org|example)/i);
    expect(text).toContain(input.accountId);
  });
});
