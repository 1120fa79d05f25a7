// Tests of buying's pure parts: the way back from the bank, refunds, late money, and which answers are kept.
import { refusals } from "@onsale/kit/errors";
import { PaymentStatus } from "@onsale/proto/payment/v1/payment";
import { type Order, OrderStatus } from "@onsale/proto/ticket/v1/ticket";
import { expect, test } from "vitest";
import { isFinal } from "../http/idempotency.js";
import { refundOf } from "../orders/orders.js";
import { returnUrl } from "./buy.js";
import { isSettled } from "./webhooks.js";

test.each([
  ["http://127.0.0.1:8080", "http://127.0.0.1:8080/v1/checkouts/chk_1/return"],
  ["http://localhost", "http://localhost/v1/checkouts/chk_1/return"],
  ["http://[::1]:80", "http://[::1]/v1/checkouts/chk_1/return"],
  ["https://shop.example", "https://shop.example/v1/checkouts/chk_1/return"],
  ["http://shop.example", "https://shop.example/v1/checkouts/chk_1/return"],
  ["http://127.0.0.1.evil.example", "https://127.0.0.1.evil.example/v1/checkouts/chk_1/return"],
  ["https://shop.example/base", "https://shop.example/base/v1/checkouts/chk_1/return"],
])("from the bank back to %s: plain HTTP on one's own machine only", (base, expected) => {
  expect(returnUrl(base, "chk_1")).toBe(expected);
});

const seat = (seatId: string, amount: number) => ({
  seatId,
  sectionId: "A",
  row: "A",
  number: "1",
  tierId: "t",
  amount,
});
const order = (over: Partial<Order> = {}): Order => ({
  checkoutId: "chk_1",
  userId: "acc_1",
  event: { eventId: "evt_1", name: "", startsAtMs: 0, venueName: "", city: "", timeZone: "" },
  seats: [seat("A-A-1", 5000), seat("A-A-2", 3000)],
  amount: 8000,
  amountRefunded: 0,
  currency: "EUR",
  status: OrderStatus.COMPLETED,
  createdAtMs: 0,
  ticketIds: [],
  refunds: [],
  refundingSeatIds: [],
  left: [],
  amountFailed: 0,
  amountClosed: 0,
  disputes: [],
  ...over,
});
const by = { refundId: "rfd_1", requestedBy: "acc_op" };

test("a refund passes on what was asked: whether it may go back, and how much, is not decided here", () => {
  const { accountId, eventId } = { accountId: "acc_1", eventId: "evt_1" };
  expect(refundOf(order(), {}, by)).toEqual({
    ...by,
    checkoutId: "chk_1",
    accountId,
    eventId,
    seatIds: [],
    amount: 0,
    kind: "return",
  });
  expect(refundOf(order({ amountRefunded: 8000 }), { seats: ["A-A-2"], amount: 9000 }, by)).toMatchObject({
    seatIds: ["A-A-2"],
    amount: 9000,
  });
  expect(refundOf(order(), { kind: "goodwill", amount: 5, reason: "rain" }, by)).toMatchObject({
    kind: "goodwill",
    amount: 5,
    reason: "rain",
  });
  expect(refundOf(order(), { insteadOf: "rfd_0" }, by)).toMatchObject({ insteadOf: "rfd_0" });
});

test("money and end agree, or someone has to look", () => {
  const payment = (status: PaymentStatus) => ({ status }) as Parameters<typeof isSettled>[1];
  expect(isSettled("completed", payment(PaymentStatus.CAPTURED))).toBe(true);
  expect(isSettled("expired", payment(PaymentStatus.CANCELLED))).toBe(true);
  expect(isSettled("refunded", payment(PaymentStatus.REFUNDED))).toBe(true);
  expect(isSettled("expired", payment(PaymentStatus.CAPTURED))).toBe(false);
  expect(isSettled("cancelled", payment(PaymentStatus.AUTHORIZED))).toBe(false);
  expect(isSettled("completed", payment(PaymentStatus.AUTHORIZED))).toBe(false);
  expect(isSettled(undefined, payment(PaymentStatus.UNPAID))).toBe(false);
  expect(isSettled("cancelled", payment(PaymentStatus.REQUIRES_ACTION))).toBe(false);
});

test("stored for good are the domain's answers, never what a client can repair or what may pass", () => {
  const final = Object.keys(refusals).filter((code) => isFinal(code as keyof typeof refusals));
  expect(final).toEqual(
    expect.arrayContaining(["SEAT_TAKEN", "CHECKOUT_EXPIRED", "EMAIL_TAKEN", "SEAT_UNKNOWN", "EVENT_NOT_FOUND"]),
  );
  for (const never of [
    "REQUEST_INVALID",
    "TOKEN_EXPIRED",
    "ROLE_REQUIRED",
    "RATE_LIMITED",
    "INTERNAL",
    "UNAVAILABLE",
    "IDEMPOTENCY_IN_FLIGHT",
    "BODY_TOO_LARGE",
    "CREDENTIALS_INVALID",
  ])
    expect(final).not.toContain(never);
});
