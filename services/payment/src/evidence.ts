// Evidence on a dispute: read, added to, and sent to the bank once.
//
// The dispute is read before anything is sent: what is there already isn't sent again, and the key names both where the
// change begins and what it wants. So a repetition whose answer was lost finds its own work, or repeats the same request.
import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import { type DisputeSnapshot, decideEvidence, type Evidence, evidenceChange } from "./disputes.js";
import { contended, createTurns, type Ledger, outcomeUnknown, whileBusy } from "./ledger.js";
import { type PaymentRecord, stripeKey } from "./payments.js";
import type { Store } from "./store.js";
import type { StripeApi } from "./stripe.js";
import type { Answer, Call } from "./stripe-line.js";

const maxTurns = 5;

export interface EvidenceOrder {
  readonly checkoutId: string;
  readonly disputeId: string;
  readonly evidence: Evidence;
  readonly submit: boolean;
}

export interface DisputeEvidence {
  read(checkoutId: string, disputeId: string, deadlineMs: number): Promise<DisputeSnapshot>;
  give(order: EvidenceOrder, deadlineMs: number): Promise<DisputeSnapshot>;
}

export interface DisputeEvidenceParts {
  readonly store: Store;
  readonly stripe: StripeApi;
  readonly ledger: Ledger;
  readonly log: Logger;
}

export function createDisputeEvidence({ store, stripe, ledger, log }: DisputeEvidenceParts): DisputeEvidence {
  const inTurn = createTurns();

  async function present(record: PaymentRecord | undefined, disputeId: string, call: Call): Promise<DisputeSnapshot> {
    const intentId = record?.intentId;
    const answer = intentId ? await whileBusy(call, () => stripe.retrieveDispute(disputeId, call)) : undefined;
    if (answer?.ok && answer.value.intentId === intentId) return answer.value;
    if (answer && !answer.ok && answer.reason === "unknown") throw outcomeUnknown(answer);
    throw new DomainError("DISPUTE_NOT_FOUND", "This checkout's payment has no such dispute. Nothing was changed.", {
      disputeId,
    });
  }

  async function give(
    { checkoutId, disputeId, evidence, submit }: EvidenceOrder,
    call: Call,
  ): Promise<DisputeSnapshot> {
    const record = await store.read(checkoutId);
    for (let generation = 0; generation < maxTurns; generation += 1) {
      const dispute = await present(record, disputeId, call);
      const step = decideEvidence(dispute, evidence, submit, Date.now());
      if (step === "answer") return dispute;
      if (step === "too_late")
        throw new DomainError(
          "DISPUTE_CLOSED",
          "This dispute takes no answer any more: one was sent to the bank already, its time has passed, or the bank has decided.",
          { disputeId, disputeStatus: dispute.status },
        );
      const change = evidenceChange(dispute, evidence, submit);
      const key = stripeKey(checkoutId, `evidence:${disputeId}:${change}`, generation);
      const answer = await whileBusy(call, () => stripe.giveEvidence(disputeId, evidence, submit, key, call));
      if (answer.ok && !answer.replayed) {
        if (record) await ledger.refresh(record, call);
        return answer.value;
      }
      // A success that is only repeated, or an error of Stripe's that would be for ever: what is true is looked up, and
      // what is still missing goes out under a fresh key.
      if (answer.ok || (answer.reason === "unknown" && answer.storedError)) continue;
      if (answer.reason === "unknown") throw outcomeUnknown(answer);
      throw refused(checkoutId, disputeId, answer);
    }
    throw contended();
  }

  function refused(
    checkoutId: string,
    disputeId: string,
    answer: Exclude<Answer<never>, { ok: true } | { reason: "unknown" }>,
  ): DomainError {
    const why = answer.reason === "refused" ? { code: answer.code, stripe: answer.message } : { code: answer.reason };
    log.warn({ checkoutId, disputeId, ...why }, "Stripe refused evidence");
    return new DomainError("PAYMENT_STATE_CONFLICT", "Stripe refused this evidence, and nothing was changed.", {
      disputeId,
      stripeCode: why.code,
    });
  }

  return {
    async read(checkoutId, disputeId, deadlineMs) {
      return present(await store.read(checkoutId), disputeId, { lane: "new", deadlineMs });
    },
    give: (order, deadlineMs) => inTurn(order.disputeId, () => give(order, { lane: "money", deadlineMs })),
  };
}
