import { DomainError, type RefusalCode, refusals } from "@onsale/kit/errors";
import { Payment, PaymentStatus } from "@onsale/proto/payment/v1/payment";
import { describe, expect, it } from "vitest";
import { paymentStatuses } from "../payments.js";
import { failureFrom, isAnswer } from "./attempts.js";
import { stateOf } from "./payment.js";

const everyCode = Object.keys(refusals) as RefusalCode[];
const error = (code: RefusalCode, details = {}) => new DomainError(code, `about ${code}`, details);

describe("what a refusal means to a step", () => {
  it("trouble that passes, or that someone mends, is tried again, whatever the step", () => {
    const again = everyCode.filter((code) => refusals[code].retryable);
    expect(again).toEqual(expect.arrayContaining(["UNAVAILABLE", "DEADLINE_EXCEEDED", "INVENTORY_REBUILDING"]));
    for (const code of [...again, "INTERNAL", "PEER_UNAUTHENTICATED"] as const)
      expect(isAnswer(error(code), "all"), code).toBe(false);
  });

  it("a step before the capture takes every other refusal for an answer", () => {
    for (const code of ["SEAT_TAKEN", "HOLD_EXPIRED", "PAYMENT_STATE_CONFLICT", "REQUEST_INVALID"] as const)
      expect(isAnswer(error(code), "all"), code).toBe(true);
  });

  it("a step that must happen takes none, or only those it names", () => {
    for (const code of everyCode) expect(isAnswer(error(code), []), code).toBe(false);
    expect(everyCode.filter((code) => isAnswer(error(code), ["REFUND_TOO_LARGE"]))).toEqual(["REFUND_TOO_LARGE"]);
  });
});

describe("the failure that Temporal is given", () => {
  it("has the code for its type, and tells whether to try again", () => {
    expect(failureFrom(error("SEAT_TAKEN", { seats: ["A-1-1"] }), true)).toMatchObject({
      type: "SEAT_TAKEN",
      message: "about SEAT_TAKEN",
      nonRetryable: true,
      details: [{ seats: ["A-1-1"] }],
    });
    expect(failureFrom(error("UNAVAILABLE"), false).nonRetryable).toBe(false);
  });

  it("waits as long as the service asks", () => {
    expect(failureFrom(error("RATE_LIMITED", { retryAfterSeconds: 7 }), false).nextRetryDelay).toBe(7_000);
    expect(failureFrom(error("UNAVAILABLE", { retryAfterSeconds: "soon" }), false).nextRetryDelay).toBeUndefined();
  });

  it("carries no cause into the history: a client library's error may hold metadata with secrets", () => {
    const failure = failureFrom(new DomainError("UNAVAILABLE", "away", {}, new Error("onsale-secret: hunter2")), false);
    expect(failure.cause).toBeUndefined();
    expect(JSON.stringify(failure)).not.toContain("hunter2");
  });
});

describe("a payment as the workflow sees it", () => {
  it("has a status for each that the payment service knows, and refuses one that it doesn't", () => {
    const known = Object.values(PaymentStatus).filter((status) => status !== PaymentStatus.UNSPECIFIED);
    expect(known.map((status) => stateOf(Payment.create({ status })).status).sort()).toEqual(
      [...paymentStatuses].sort(),
    );
    expect(() => stateOf(Payment.create({ status: PaymentStatus.UNSPECIFIED }))).toThrow("unknown status");
  });

  it("leaves out what is empty", () => {
    expect(stateOf(Payment.create({ status: PaymentStatus.AUTHORIZED, paymentIntentId: "pi_1" }))).toEqual({
      status: "authorized",
      amountCaptured: 0,
      amountRefunded: 0,
    });
  });
});
