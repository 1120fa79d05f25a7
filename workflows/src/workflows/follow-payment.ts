// The workflow that takes Stripe's word on an order's money to the order: refunds made there, refunds sent back, disputes.
import { WorkflowExecutionAlreadyStartedError } from "@temporalio/common";
import {
  getExternalWorkflowHandle,
  ParentClosePolicy,
  setCurrentDetails,
  startChild,
  workflowInfo,
} from "@temporalio/workflow";
import {
  type DisputeInput,
  disputeChangedSignal,
  disputeWorkflowId,
  type FailedRefundInput,
  type FollowPaymentInput,
  failedRefundWorkflowId,
} from "../contract.js";
import { type FollowedStep, isDisputeOpen } from "../steps.js";
import { attributeKeys, index } from "./checkout-page.js";
import type { failedRefund } from "./failed-refund.js";
import type { openDispute } from "./open-dispute.js";
import { atStripe, inHouse, insist } from "./running-steps.js";

/** May be started for any webhook, any number of times: what the order knows already stays as it is. */
export async function followPayment({ checkoutId }: FollowPaymentInput): Promise<void> {
  setCurrentDetails("asks Stripe what became of the money");
  const followed = await takeStripesWord(checkoutId);
  if (!followed) {
    setCurrentDetails("has ended: there is no order for this payment");
    return;
  }
  const { voidSeatIds, failedRefunds, disputes } = followed;
  setCurrentDetails(
    [
      "has ended: the order knows what Stripe says",
      "",
      `- seats of tickets that became void by it: ${voidSeatIds.length}`,
      `- refunds that the bank sent back: ${failedRefunds.length}`,
      `- disputes: ${disputes.length}`,
    ].join("\n"),
  );
}

/** Stripe's word on the order, its seats and whoever has to see to it. Undefined: there is no order, or no payment. */
export async function takeStripesWord(checkoutId: string): Promise<FollowedStep | undefined> {
  const summary = "Take Stripe's word to the order";
  const followed = await insist(() => atStripe.followPayment.executeWithOptions({ summary }, [checkoutId]));
  if (!followed) return undefined;
  const { accountId, eventId, voidSeatIds } = followed;
  index({ eventId, accountId });
  if (voidSeatIds.length > 0)
    await insist(() =>
      inHouse("releaseClaims", "Free the seats of void tickets", [
        { eventId, checkoutId, accountId, seatIds: voidSeatIds },
      ]),
    );
  await callForPeople(followed);
  return followed;
}

/** A workflow for each that needs a person, so that operators find it, and alerts count it. */
async function callForPeople({ failedRefunds, disputes }: FollowedStep): Promise<void> {
  for (const failed of failedRefunds) await callForRefund(failed);
  for (const { status, ...dispute } of disputes) await tellDispute(dispute, isDisputeOpen(status));
}

/** Once: a refund that was seen to is not called for again. */
export async function callForRefund(input: FailedRefundInput): Promise<void> {
  await once(() =>
    startChild<typeof failedRefund>("failedRefund", {
      workflowId: failedRefundWorkflowId(input.refundId),
      workflowIdReusePolicy: "ALLOW_DUPLICATE",
      parentClosePolicy: ParentClosePolicy.ABANDON,
      args: [input],
      ...whose(input),
      staticSummary: `A refund of ${input.checkoutId} that the bank sent back`,
    }),
  );
}

async function tellDispute(input: DisputeInput, open: boolean): Promise<void> {
  const workflowId = disputeWorkflowId(input.disputeId);
  if (open) {
    const fresh = await once(() =>
      startChild<typeof openDispute>("openDispute", {
        workflowId,
        workflowIdReusePolicy: "ALLOW_DUPLICATE",
        parentClosePolicy: ParentClosePolicy.ABANDON,
        args: [input],
        ...whose(input),
        staticSummary: `A dispute about ${input.checkoutId}`,
      }),
    );
    if (fresh) return;
  }
  // The dispute's own workflow comes here too, and needs no telling.
  if (workflowInfo().workflowId === workflowId) return;
  try {
    await getExternalWorkflowHandle(workflowId).signal(disputeChangedSignal);
  } catch {
    // It is decided, and its workflow has ended.
  }
}

async function once(start: () => Promise<unknown>): Promise<boolean> {
  try {
    await start();
    return true;
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return false;
    throw error;
  }
}

const whose = ({ eventId, accountId }: { readonly eventId: string; readonly accountId: string }) => ({
  typedSearchAttributes: [
    { key: attributeKeys.eventId, value: eventId },
    { key: attributeKeys.accountId, value: accountId },
  ],
});
