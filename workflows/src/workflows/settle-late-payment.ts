// Money that arrives after its checkout has ended: cancelled or given back, unless an order stands for it.
import { log, setCurrentDetails } from "@temporalio/workflow";
import { type SettleLatePaymentInput, type SettleLatePaymentResult, undeliveredRefundId } from "../contract.js";
import { settlement } from "../payments.js";
import { atStripe, inHouse } from "./running-steps.js";

/** May be started for any webhook, any number of times: what is settled already stays as it is. */
export async function settleLatePayment({ checkoutId }: SettleLatePaymentInput): Promise<SettleLatePaymentResult> {
  const done = (action: SettleLatePaymentResult["action"], because: string, amount = 0): SettleLatePaymentResult => {
    setCurrentDetails(`${action}: ${because}`);
    log.info("a late payment was settled", { checkoutId, action, because, amount });
    return { checkoutId, action, amount, because };
  };
  if (await inHouse("isCheckoutRunning", "Does the checkout still run?", [checkoutId]))
    return done("nothing", "the checkout still runs and settles its payment itself");
  const order = await inHouse("findOrder", "Is there an order?", [checkoutId]);
  if (order) return done("nothing", "the order stands");
  const payment = await atStripe.getPayment.executeWithOptions({ summary: "Ask Stripe for the payment" }, [checkoutId]);

  let todo = settlement(payment);
  if (todo === "cancel") {
    const left = await atStripe.cancelPayment.executeWithOptions({ summary: "Cancel the late authorization" }, [
      checkoutId,
      "abandoned",
    ]);
    todo = settlement(left);
    if (todo !== "refund") return done("cancelled", "the checkout had ended without tickets; nothing was taken");
  }
  if (todo === "nothing") return done("nothing", payment ? "the money is back already" : "there never was a payment");
  const { amount } = await atStripe.refundPayment.executeWithOptions({ summary: "Give the late money back" }, [
    { checkoutId, refundId: undeliveredRefundId(checkoutId), amount: 0 },
  ]);
  return done("refunded", "the money was taken after the checkout had ended without tickets", amount);
}
