// Money or seats of a checkout that has no order and runs no more: its tickets are issued after all, or everything goes back.
import { log, patched, setCurrentDetails, sleep } from "@temporalio/workflow";
import { type SettleLatePaymentInput, type SettleLatePaymentResult, undeliveredRefundId } from "../contract.js";
import { type PaymentState, settlement } from "../payments.js";
import type { SaleState } from "../steps.js";
import { index } from "./checkout-page.js";
import { atStripe, inHouse, insist, refusalOf } from "./running-steps.js";

type Done = (action: SettleLatePaymentResult["action"], because: string, amount?: number) => SettleLatePaymentResult;

/** May be started for any webhook, any number of times: what is settled already stays as it is. */
export async function settleLatePayment(input: SettleLatePaymentInput): Promise<SettleLatePaymentResult> {
  const { checkoutId } = input;
  const done: Done = (action, because, amount = 0) => {
    setCurrentDetails(`${action}: ${because}`);
    log.info("a late payment was settled", { checkoutId, action, because, amount });
    return { checkoutId, action, amount, because };
  };
  const { notBeforeMs = 0 } = input;
  if (notBeforeMs > Date.now()) {
    setCurrentDetails("waits until no step of the checkout, which was closed by force, can take effect any more");
    await sleep(notBeforeMs - Date.now(), { summary: "steps that were under way have ended" });
  }
  if (await inHouse("isCheckoutRunning", "Does the checkout still run?", [checkoutId]))
    return done("nothing", "the checkout still runs and settles its payment itself");
  const order = await inHouse("findOrder", "Is there an order?", [checkoutId]);
  if (order) return done("nothing", "the order stands");
  const payment = await atStripe.getPayment.executeWithOptions({ summary: "Ask Stripe for the payment" }, [checkoutId]);
  if (!patched("settle-seats")) return moneyBack(checkoutId, payment, done);

  const eventId = input.eventId ?? payment?.eventId;
  if (eventId) index({ eventId });
  const sale = eventId
    ? await insist(() => inHouse("findSale", "Has it seats?", [{ eventId, checkoutId }]))
    : undefined;
  if (sale && isPaid(payment, sale)) {
    const issued = await finish(sale, done);
    if (issued) return issued;
  }
  const late = await insist(() =>
    inHouse("endCheckout", "End it without an order", [{ checkoutId, reason: "settled" }]),
  );
  if (late) return done("nothing", "the order stands");
  if (sale && eventId) {
    const { accountId } = sale.purchase;
    await insist(() => inHouse("releaseClaims", "Free its seats", [{ eventId, checkoutId, accountId, seatIds: [] }]));
  }
  const { checkout } = input;
  if (checkout) await insist(() => inHouse("releaseHold", "Free its held seats", [checkout]));
  try {
    const back = await moneyBack(checkoutId, payment, done);
    return sale && back.action === "nothing"
      ? done("cancelled", "its seats are free; no money was taken for them")
      : back;
  } catch (error) {
    const refusal = refusalOf(error);
    if (!refusal) throw error;
    index({ status: "person" });
    return done("person", `the money can't be given back: ${refusal.code}, ${refusal.message}`);
  }
}

/** All of its seats are its own, and all of their price was taken: whoever pays gets the tickets. */
const isPaid = (payment: PaymentState | undefined, { whole, eventCancelled, purchase }: SaleState): boolean =>
  payment?.status === "captured" && payment.amountCaptured === purchase.amount && whole && !eventCancelled;

/** Undefined: it has ended without an order before, so the money goes back. */
async function finish({ purchase }: SaleState, done: Done): Promise<SettleLatePaymentResult | undefined> {
  try {
    await insist(() => inHouse("issueTickets", "Issue the tickets", [purchase]), undefined, ["CHECKOUT_CANCELLED"]);
  } catch (error) {
    if (!refusalOf(error)) throw error;
    return undefined;
  }
  return done("finished", "the money was taken and the seats are its own: the tickets are issued", purchase.amount);
}

async function moneyBack(
  checkoutId: string,
  payment: PaymentState | undefined,
  done: Done,
): Promise<SettleLatePaymentResult> {
  let todo = settlement(payment);
  // Cancelled also where there is none, so that an authorization which comes late is refused.
  if (todo === "cancel" || (!payment && patched("refuse-late-authorization"))) {
    const left = await atStripe.cancelPayment.executeWithOptions({ summary: "Cancel the late authorization" }, [
      checkoutId,
      "abandoned",
    ]);
    todo = settlement(left);
    if (todo !== "refund" && payment)
      return done("cancelled", "the checkout had ended without tickets; nothing was taken");
  }
  if (todo === "nothing") return done("nothing", payment ? "the money is back already" : "there never was a payment");
  const { amount } = await atStripe.refundPayment.executeWithOptions({ summary: "Give the late money back" }, [
    { checkoutId, refundId: undeliveredRefundId(checkoutId), amount: 0 },
  ]);
  return done("refunded", "the money was taken after the checkout had ended without tickets", amount);
}
