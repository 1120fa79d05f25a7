// The workflow of a refund that the bank sent back: it runs, and says so, until a person has seen to the money.
import { formatMoney } from "@onsale/kit/money";
import {
  condition,
  continueAsNew,
  defineSignal,
  log,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from "@temporalio/workflow";
import { type FailedRefundInput, plain, refundSeenToSignal } from "../contract.js";
import { index } from "./checkout-page.js";
import { inHouse, insist } from "./running-steps.js";

const seenTo = defineSignal<[]>(refundSeenToSignal);

/** Nobody need tell it: it looks by itself now and then. */
const lookEvery = "6h";

/** Ends once the order says that the money was asked for again, or paid another way. */
export async function failedRefund(input: FailedRefundInput): Promise<void> {
  const { refundId, checkoutId, accountId, eventId } = input;
  let told = false;
  setHandler(
    seenTo,
    () => {
      told = true;
    },
    { description: "Somebody has seen to the money; it looks at the order" },
  );
  index({ eventId, accountId, status: "refund_failed" });
  setCurrentDetails(
    [
      `**waits for a person**: ${formatMoney(input)} did not reach the buyer, because their bank sent it back`,
      "",
      `- order \`${plain(checkoutId)}\`, refund \`${plain(refundId)}\``,
      "- the tickets are void, the seats free, the money with us: it is owed to the buyer",
      "- on the order's page: ask for it again, or say how it was paid another way",
    ].join("\n"),
  );
  for (;;) {
    const look = () => inHouse("isRefundOwed", "Is it still owed?", [{ checkoutId, refundId }]);
    if (!(await insist(look))) break;
    await condition(() => told, lookEvery, { summary: "until somebody has seen to it" });
    told = false;
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof failedRefund>(input);
  }
  index({ status: "refunded" });
  setCurrentDetails("has ended: somebody has seen to the money");
  log.info("a failed refund was seen to", { refundId, checkoutId });
}
