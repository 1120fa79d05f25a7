// The workflow of a dispute at the buyer's bank: it runs until that is decided, and calls for a person before evidence is due.
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
import { type DisputeInput, disputeChangedSignal, plain } from "../contract.js";
import { isDisputeOpen } from "../steps.js";
import { index } from "./checkout-page.js";
import { takeStripesWord } from "./follow-payment.js";

const changed = defineSignal<[]>(disputeChangedSignal);

const dayMs = 24 * 60 * 60 * 1000;
/** From then on it counts as due: banks decide against whoever does not answer. */
const urgentMs = 3 * dayMs;
/** From then on somebody is woken for it. */
const lastMs = dayMs;
/** Its webhook may be lost. */
const lookEveryMs = dayMs;

/** What becomes of the tickets, the ticket service decides by Stripe's word; this tells people. */
export async function openDispute(input: DisputeInput): Promise<void> {
  const { disputeId, checkoutId, accountId, eventId, reason, evidenceDueMs } = input;
  let told = false;
  setHandler(
    changed,
    () => {
      told = true;
    },
    { description: "Stripe said something about it" },
  );
  for (;;) {
    const followed = await takeStripesWord(checkoutId);
    const status = followed?.disputes.find((dispute) => dispute.disputeId === disputeId)?.status ?? "unknown";
    const wanted = status === "needs_response" || status === "warning_needs_response";
    const left = evidenceDueMs - Date.now();
    const due = wanted && evidenceDueMs > 0 && left < urgentMs;
    const open = isDisputeOpen(status);
    const found = due && left < lastMs ? "dispute_last_day" : due ? "dispute_due" : open ? "disputed" : undefined;
    index({ eventId, accountId, status: found ?? `dispute_${status}` });
    setCurrentDetails(
      [
        `**${plain(status)}**: ${formatMoney(input)} of order \`${plain(checkoutId)}\` ${open ? "are disputed" : "were disputed"} at the buyer's bank (${plain(reason)})`,
        "",
        wanted &&
          evidenceDueMs > 0 &&
          `- **waits for a person**: evidence is due by ${new Date(evidenceDueMs).toISOString()}`,
        open
          ? "- its tickets stay valid and say that they are disputed; a refund is not possible until it is decided"
          : "- has ended: the order says what became of money and tickets",
      ]
        .filter((line) => typeof line === "string")
        .join("\n"),
    );
    if (!open) break;
    const changesIn = wanted && evidenceDueMs > 0 ? [urgentMs, lastMs].map((threshold) => left - threshold) : [];
    const next = changesIn.filter((ms) => ms > 0);
    await condition(() => told, Math.max(Math.min(...next, lookEveryMs), 1_000), {
      summary: "until Stripe says more",
    });
    told = false;
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof openDispute>(input);
  }
  log.info("a dispute was decided", { disputeId, checkoutId });
}
