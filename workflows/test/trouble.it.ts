// The checkout workflow when something fails: refusals late in the way, services that are away, operators, lost seats.
import { PaymentStatus } from "@onsale/proto/payment/v1/payment";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { after, declines, fails, losesAnswer, times, wantsApproval } from "./scripted-services.js";
import {
  cancel,
  type Handle,
  kinds,
  look,
  openStage,
  pay,
  record,
  refusal,
  result,
  type Stage,
  until,
} from "./stage.js";

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

const begin = async (more: Parameters<Stage["newCheckout"]>[0] = {}) => {
  const input = stage.newCheckout(more);
  return { input, handle: await stage.startCheckout(input), id: input.checkoutId };
};
const called = (id: string, method: string) => stage.services.methods(id).filter((one) => one === method).length;

/** Nothing charged, nothing owned, nothing held: whoever walked away, this is what must be left. */
function expectUndone(id: string) {
  const { payment, claimed, holdReleased, order, refunds } = stage.services.facts(id);
  expect(holdReleased).toBe(true);
  expect(claimed).toBe(false);
  expect(order).toBeUndefined();
  const returned = [...refunds.values()].reduce((sum, amount) => sum + amount, 0);
  expect(payment?.amountCaptured ?? 0).toBe(returned);
  if (payment) expect([PaymentStatus.CANCELLED, PaymentStatus.REFUNDED]).toContain(payment.status);
}

describe.concurrent("the seats are lost at the claim", () => {
  for (const code of ["SEAT_TAKEN", "HOLD_EXPIRED"] as const)
    it(`${code}: the authorization is cancelled, the buyer was never charged`, async () => {
      const { handle, id } = await begin();
      stage.services.script(id, "claimSeats", fails(code));
      expect(await pay(handle)).toMatchObject({ status: "cancelled", reason: code, ticketIds: [] });
      expect(stage.services.methods(id)).toEqual([
        "authorize",
        "claimSeats",
        "endCheckout",
        "releaseClaims",
        "cancel",
        "releaseHold",
      ]);
      expect(stage.services.facts(id).captures).toBe(0);
      expectUndone(id);
      if (code === "SEAT_TAKEN") await record("seat-lost", handle);
    });
});

describe.concurrent("the capture", () => {
  it("refused because the authorization is gone: claims, payment and hold are undone, last first", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "capture", fails("PAYMENT_STATE_CONFLICT"));
    expect(await pay(handle)).toMatchObject({ status: "cancelled", reason: "PAYMENT_STATE_CONFLICT" });
    expect(stage.services.methods(id).slice(2)).toEqual([
      "capture",
      "endCheckout",
      "releaseClaims",
      "cancel",
      "releaseHold",
    ]);
    expectUndone(id);
    await record("capture-refused", handle);
  });

  it("refused although the money was taken: it is given back, and the buyer is told", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "capture", async (_, model) => {
      await model();
      return fails("PAYMENT_STATE_CONFLICT")(stage.services.facts(id), model);
    });
    expect(await pay(handle)).toMatchObject({ status: "refunded", reason: "PAYMENT_STATE_CONFLICT" });
    expect(stage.services.calls(id).find(({ method }) => method === "refund")?.request).toMatchObject({
      refundId: `undelivered-${id}`,
      amount: 0,
    });
    expectUndone(id);
    expect(await refusal(pay(handle)).catch((error) => error.name)).toBe("WorkflowNotFoundError");
  });

  it("whose answer is lost is asked for again, and the money is taken once", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "capture", losesAnswer, losesAnswer, fails("INTERNAL"), fails("DEADLINE_EXCEEDED"));
    expect((await pay(handle)).status).toBe("completed");
    expect(stage.services.facts(id).captures).toBe(1);
    expect(called(id, "capture")).toBe(5);
  });
});

describe.concurrent("issuing the tickets", () => {
  it("fails with whatever code, and then works: money that was taken gets its tickets, whoever cancels", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "issueTickets", ...times(3, fails("UNAVAILABLE")), fails("REQUEST_INVALID"));
    const paying = pay(handle);
    await until(() => called(id, "issueTickets") >= 4);
    await handle.cancel(); // an operator's impatience changes nothing
    stage.services.script(id, "issueTickets", ...times(2, fails("INTERNAL")));
    expect((await paying).status).toBe("completed");
    expect((await result(handle)).status).toBe("completed");
    expect(stage.services.facts(id)).toMatchObject({ captures: 1, claimed: true, holdReleased: false });
    expect((await kinds(handle)).length).toBeLessThanOrEqual(40);
  });
});

describe.concurrent("inventory is away for 30 s at the claim", () => {
  it("the checkout waits, shows why, completes, and its history stays short", async () => {
    const { handle, id } = await begin();
    stage.services.goDown(id, "claimSeats");
    const paying = pay(handle);
    await new Promise((resolve) => setTimeout(resolve, 30_000));
    expect(called(id, "claimSeats")).toBeGreaterThan(5);
    const { raw } = await handle.describe();
    const pending = raw.pendingActivities?.[0];
    expect(pending?.activityType?.name).toBe("claimSeats");
    expect(pending?.lastFailure?.message).toContain("claimSeats is down");
    stage.services.comeUp(id, "claimSeats");
    expect((await paying).status).toBe("completed");
    expect((await kinds(handle)).length).toBeLessThanOrEqual(34);
  });
});

describe.concurrent("an operator presses Cancel in the Web UI", () => {
  const stops = async (handle: Handle, id: string) => {
    await handle.cancel();
    const view = await result(handle);
    expect(view).toMatchObject({ status: "cancelled", reason: "OPERATOR_CANCELLED", ticketIds: [] });
    expectUndone(id);
    return view;
  };

  it("while it is held", async () => {
    const { handle, id } = await begin();
    await look(handle);
    await stops(handle, id);
    expect(stage.services.methods(id)).toEqual(["releaseHold", "getOrder", "getPayment"]);
    await record("cancelled-by-operator", handle);
  });

  it("before its first workflow task", async () => {
    const { handle, id } = await begin();
    await stops(handle, id);
  });

  it("after a decline", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "authorize", declines);
    await pay(handle);
    await stops(handle, id);
  });

  it("while it authorizes: the outcome is waited for, then undone, and the buyer is answered", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "authorize", after(1_500));
    const paying = pay(handle);
    await until(() => called(id, "authorize") === 1);
    await stops(handle, id);
    expect(await paying).toMatchObject({ status: "cancelled", reason: "OPERATOR_CANCELLED" });
    expect(stage.services.methods(id)).toEqual(["authorize", "endCheckout", "cancel", "releaseHold"]);
  });

  it("while the payment service is away", async () => {
    const { handle, id } = await begin();
    stage.services.goDown(id, "authorize");
    const paying = pay(handle);
    await until(() => called(id, "authorize") >= 2);
    await stops(handle, id);
    expect((await paying).status).toBe("cancelled");
  });

  it("while it waits for 3-D Secure", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "authorize", wantsApproval);
    await pay(handle);
    await stops(handle, id);
  });

  it("while inventory is away at the claim", async () => {
    const { handle, id } = await begin();
    stage.services.goDown(id, "claimSeats");
    const paying = pay(handle);
    await until(() => called(id, "claimSeats") >= 4);
    await stops(handle, id);
    expect((await paying).status).toBe("cancelled");
  });

  it("while it captures: too late, the buyer gets the tickets", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "capture", after(1_500));
    const paying = pay(handle);
    await until(() => called(id, "capture") === 1);
    await handle.cancel();
    expect((await paying).status).toBe("completed");
    expect((await result(handle)).status).toBe("completed");
    expect(stage.services.methods(id)).not.toContain("releaseHold");
  });

  it("while undoing fails: it goes on until all is undone", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "authorize", declines);
    await pay(handle);
    stage.services.script(id, "cancel", ...times(2, fails("UNAVAILABLE")), fails("PAYMENT_STATE_CONFLICT"));
    stage.services.script(id, "releaseHold", ...times(5, fails("INVENTORY_REBUILDING")));
    await handle.cancel();
    await until(() => called(id, "cancel") >= 2);
    await handle.cancel();
    expect((await result(handle)).status).toBe("cancelled");
    expect(called(id, "cancel")).toBe(4);
    expect(called(id, "releaseHold")).toBe(6);
    expectUndone(id);
  });
});

describe.concurrent("requests to a checkout that is ending or has ended", () => {
  it("are refused with what it ended as", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "releaseHold", after(1_500));
    const cancelling = cancel(handle);
    await until(() => called(id, "releaseHold") === 1);
    expect(await refusal(pay(handle)).catch((error) => error.name)).toMatch(/CHECKOUT_CANCELLED|WorkflowNotFoundError/);
    expect((await cancelling).status).toBe("cancelled");
    await expect(pay(handle)).rejects.toMatchObject({ name: "WorkflowNotFoundError" });
    expect((await look(handle)).status).toBe("cancelled");
  });

  it("a refusal that nobody foresaw ends the checkout, undone, with its code", async () => {
    const { handle, id } = await begin();
    stage.services.script(id, "claimSeats", fails("SEAT_UNKNOWN"));
    expect(await pay(handle)).toMatchObject({ status: "cancelled", reason: "SEAT_UNKNOWN" });
    expectUndone(id);
  });
});
