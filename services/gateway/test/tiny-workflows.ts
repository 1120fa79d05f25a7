// Stand-ins for the real workflows, with the same names and answers: what they do is decided by what they are sent.
import {
  type CheckoutInput,
  type CheckoutStatus,
  type CheckoutView,
  cancelUpdate,
  checkoutQuery,
  paymentChangedSignal,
  type RefundInput,
  type RefundResult,
  type SettleLatePaymentInput,
  type SubmitPayment,
  searchAttributes,
  submitPaymentUpdate,
} from "@onsale/workflows/contract";
import { defineSearchAttributeKey, SearchAttributeType } from "@temporalio/common";
import {
  ApplicationFailure,
  condition,
  defineQuery,
  defineSignal,
  defineUpdate,
  setHandler,
  upsertSearchAttributes,
} from "@temporalio/workflow";

const statusKey = defineSearchAttributeKey(searchAttributes.status, SearchAttributeType.KEYWORD);

export async function checkout(input: CheckoutInput): Promise<CheckoutView> {
  let status: CheckoutStatus = "held";
  let decline: CheckoutView["decline"];
  let returnsTo: string | undefined;
  let told = false;
  const become = (next: CheckoutStatus) => {
    status = next;
    upsertSearchAttributes([{ key: statusKey, value: next }]);
  };
  const view = (): CheckoutView => ({
    checkoutId: input.checkoutId,
    accountId: input.accountId,
    eventId: input.event.eventId,
    status,
    deadlineMs: input.deadlineMs,
    seats: input.seats,
    amount: input.amount,
    currency: input.currency,
    ...(decline ? { decline } : {}),
    // No checkout tells this as its reason: here it lets the test see what the gateway sent.
    ...(returnsTo === undefined ? {} : { reason: returnsTo }),
    ...(status === "expired" ? { reason: "CHECKOUT_EXPIRED" } : {}),
    ticketIds: status === "completed" ? input.seats.map((seat) => `tkt-${seat.seatId}`) : [],
  });
  setHandler(defineQuery<CheckoutView>(checkoutQuery), view);
  setHandler(defineSignal(paymentChangedSignal), () => {
    told = true;
    if (status === "requires_action" || status === "paying") become("completed");
  });
  setHandler(
    defineUpdate<CheckoutView, [SubmitPayment]>(submitPaymentUpdate),
    async ({ paymentMethodId, returnUrl }) => {
      decline = undefined;
      if (paymentMethodId === "pm_unknown")
        throw ApplicationFailure.create({
          type: "PAYMENT_METHOD_INVALID",
          message: "Stripe knows no such card.",
          details: [{ hint: "pm" }],
        });
      if (paymentMethodId === "pm_declined") decline = { code: "card_declined", message: "The bank said no." };
      else if (paymentMethodId === "pm_3ds") {
        returnsTo = returnUrl;
        become("requires_action");
      } else if (paymentMethodId === "pm_slow") {
        become("paying");
        await condition(() => told);
      } else become("completed");
      return view();
    },
    {
      validator: (_: SubmitPayment) => {
        if (status !== "held")
          throw ApplicationFailure.create({
            type: "CHECKOUT_BUSY",
            message: "One payment at a time.",
            nonRetryable: true,
          });
      },
    },
  );
  setHandler(defineUpdate<CheckoutView>(cancelUpdate), async () => {
    // A cancellation that takes a while, of a checkout whose payment does.
    if (status === "paying") await condition(() => told);
    become("cancelled");
    return view();
  });
  const ended = () => status === "completed" || status === "cancelled" || status === "expired";
  if (!(await condition(ended, Math.max(input.deadlineMs - Date.now(), 1)))) become("expired");
  return view();
}

export async function refund({
  refundId,
  checkoutId,
  amount,
  seatIds,
  kind,
  reason,
  insteadOf,
  requestedBy,
}: RefundInput): Promise<RefundResult> {
  if (amount === 1300) throw ApplicationFailure.nonRetryable("More than is left.", "REFUND_TOO_LARGE");
  if (seatIds.includes("A-A-13")) throw ApplicationFailure.nonRetryable("Another was quicker.", "SEAT_REFUNDED");
  if (insteadOf === "rfd_gone") throw ApplicationFailure.nonRetryable("It has not failed.", "REFUND_NOT_FAILED");
  // Says what it was asked, where only the answer can be seen.
  if (kind === "goodwill") return { refundId, checkoutId, amount, seatIds: [kind, reason ?? "", requestedBy] };
  if (kind === "void") return { refundId, checkoutId, amount, seatIds, outcome: "failed" };
  if (amount === 700) await condition(() => false, 6_000);
  return { refundId, checkoutId, amount, seatIds };
}

/** (what it comes to): ends a settlement that waits. */
export const settledSignal = "settled";

/** At once; of a checkout that was closed by force, once it is told. */
export async function settleLatePayment({ checkoutId, checkout: begun }: SettleLatePaymentInput): Promise<unknown> {
  if (!begun) return checkoutId;
  let action: string | undefined;
  setHandler(defineSignal<[string]>(settledSignal), (told) => {
    action = told;
  });
  await condition(() => action !== undefined);
  return { checkoutId, action, amount: 0, because: "the test says so" };
}

export async function followPayment(): Promise<void> {}
