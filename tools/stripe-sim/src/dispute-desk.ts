// What one request, or the bank's clock, does to disputes: reads rows, asks the pure rules, writes rows and events into a draft.

import { behaviourOf } from "./cards.js";
import {
  type Dispute,
  type DisputeOrder,
  type DisputeStep,
  decideDispute,
  giveEvidence,
  openDispute,
  type Verdict,
  verdictByEvidence,
} from "./disputes.js";
import { invalidRequest, noSuch } from "./failures.js";
import { changedMetadata, type MetadataChange, unset } from "./params.js";
import type { Call, Done } from "./payment-desk.js";
import type { Charge, Refusal } from "./payment-intents.js";

const secondsOf = (milliseconds: number) => Math.floor(milliseconds / 1000);
const dueBy = ({ now, times }: Call): number => secondsOf(now + times.disputeDueMs);

function chargeOf(call: Call, { chargeId }: Dispute): Charge {
  return call.draft.get("charges", chargeId)!;
}

/** Somebody at the buyer's bank disputes a payment. */
export function disputePayment(
  call: Call,
  paymentId: string,
  order: Pick<DisputeOrder, "amount" | "inquiry" | "reason">,
): Done {
  const payment = call.draft.get("payments", paymentId);
  const charge = call.draft.get("charges", payment?.latestChargeId ?? "");
  if (charge === undefined) throw noSuch("charge", paymentId, "payment_intent");
  return take(
    call,
    openDispute(charge, { ...order, id: call.newId("du"), now: secondsOf(call.now), dueBy: dueBy(call) }),
  );
}

/** The test cards that are disputed by themselves; undefined: this charge isn't any more. */
export function disputeAsItsCardSays(call: Call, chargeId: string): Done | undefined {
  const charge = call.draft.get("charges", chargeId);
  if (charge?.disputeAt === undefined) return undefined;
  const dispute = behaviourOf(charge.card).dispute;
  // Refunded in the meantime: a charge without money left can't be disputed.
  if (dispute === undefined || charge.amountRefunded === charge.amountCaptured) return undefined;
  return disputePayment(call, charge.paymentId, dispute);
}

export interface GivenEvidence {
  readonly evidence: readonly (readonly [string, string | typeof unset])[];
  readonly metadata: MetadataChange | undefined;
  readonly submit: boolean;
}

export function giveDisputeEvidence(call: Call, id: string, given: GivenEvidence): Done {
  const before = call.draft.get("disputes", id);
  if (before === undefined) throw noSuch("dispute", id, "id");
  const named = { ...before, metadata: changedMetadata(before.metadata, given.metadata) };
  if (given.evidence.length === 0 && !given.submit) {
    call.draft.put("disputes", named);
    call.draft.emit("charge.dispute.updated", id, { metadata: before.metadata });
    return { object: call.renderer.dispute(named) };
  }
  const merged = { ...Object.fromEntries(Object.entries(before.evidence)), ...Object.fromEntries(given.evidence) };
  const evidence = Object.fromEntries(
    Object.entries(merged).filter((entry): entry is [string, string] => entry[1] !== unset),
  );
  const step = giveEvidence(named, chargeOf(call, before), {
    evidence,
    submit: given.submit,
    settlesAt: call.now + call.times.disputeSettleMs,
  });
  return take(call, step, { status: before.status });
}

/** What the bank says when its time has come; undefined: by now there is nothing to say. */
export function settleDispute(call: Call, id: string, actsAt: number): Done | undefined {
  const dispute = call.draft.get("disputes", id);
  // Somebody else was quicker, and set another time or none.
  if (dispute?.actsAt !== actsAt) return undefined;
  const late = dispute.status === "needs_response" || dispute.status === "warning_needs_response";
  return decideNamed(call, id, late ? "lost" : (verdictByEvidence(dispute) ?? "lost"));
}

export function decideNamed(call: Call, id: string, verdict: Verdict): Done {
  const dispute = call.draft.get("disputes", id);
  if (dispute === undefined) throw noSuch("dispute", id, "id");
  const step = decideDispute(dispute, chargeOf(call, dispute), verdict, {
    now: secondsOf(call.now),
    dueBy: dueBy(call),
  });
  return take(call, step, { status: dispute.status });
}

function take({ draft, renderer }: Call, step: DisputeStep | Refusal, previous?: object): Done {
  if (!step.ok)
    throw invalidRequest(step.message, {
      ...(step.code === "" ? {} : { code: step.code }),
      ...(step.param === undefined ? {} : { param: step.param }),
    });
  draft.put("charges", step.charge);
  draft.put("disputes", step.dispute);
  for (const event of step.events)
    draft.emit(event, step.dispute.id, event === "charge.dispute.created" ? undefined : previous);
  return { object: renderer.dispute(step.dispute) };
}
