import { describe, expect, it } from "vitest";
import { cardOfName } from "./cards.js";
import { type Dispute, decideDispute, giveEvidence, openDispute, withheld } from "./disputes.js";
import type { Charge, Refusal } from "./payment-intents.js";
import { refundCharge } from "./refunds.js";

const now = 1_800_000_000;
const charge: Charge = {
  id: "ch_1",
  paymentId: "pi_1",
  methodId: "pm_1",
  created: now,
  amount: 1000,
  currency: "eur",
  status: "succeeded",
  card: cardOfName("pm_card_visa", "pm_card_", now * 1000)!,
  billing: {},
  authenticated: false,
  captured: true,
  amountCaptured: 1000,
  amountReleased: 0,
  amountRefunded: 0,
  metadata: {},
};
const order = { id: "du_1", reason: "fraudulent", inquiry: false, now, dueBy: now + 100 } as const;
const done = <Step extends { readonly ok: true }>(step: Step | Refusal): Step => {
  if (!step.ok) throw new Error(step.message);
  return step;
};
const opened = (more: Partial<typeof order> | { inquiry: boolean } = {}) =>
  done(openDispute(charge, { ...order, ...more }));
const decided = (
  { dispute, charge: of }: { dispute: Dispute; charge: Charge },
  verdict: "won" | "lost" | "escalated",
) => decideDispute(dispute, of, verdict, { now: now + 50, dueBy: now + 200 });
const refund = (of: Charge) => refundCharge(of, { id: "re_1", metadata: {}, now, settlesAt: 1 });

describe("a dispute", () => {
  it("takes the money at once, and lets nothing be refunded until it is won", () => {
    const { dispute, charge: disputed, events } = opened();
    expect(dispute).toMatchObject({ status: "needs_response", amount: 1000 });
    expect(withheld(dispute)).toBe(1000);
    expect(events).toEqual(["charge.dispute.created", "charge.dispute.funds_withdrawn"]);
    expect(refund(disputed)).toMatchObject({ ok: false, code: "charge_disputed" });
    const lost = done(decided({ dispute, charge: disputed }, "lost"));
    expect([lost.dispute.status, withheld(lost.dispute), lost.events]).toEqual([
      "lost",
      1000,
      ["charge.dispute.closed"],
    ]);
    expect(refund(lost.charge)).toMatchObject({ ok: false, code: "charge_disputed" });
    const won = done(decided({ dispute, charge: disputed }, "won"));
    expect([won.dispute.status, withheld(won.dispute)]).toEqual(["won", 0]);
    expect(refund(won.charge)).toMatchObject({ ok: true });
  });

  it("is about what was not refunded, and there is none where nothing is left", () => {
    expect(done(openDispute({ ...charge, amountRefunded: 400 }, order)).dispute.amount).toBe(600);
    for (const nothing of [{ amountRefunded: 1000 }, { captured: false, amountCaptured: 0 }, { chargedBack: true }])
      expect(openDispute({ ...charge, ...nothing }, order), JSON.stringify(nothing)).toMatchObject({ ok: false });
    expect(openDispute(charge, { ...order, amount: 1001 })).toMatchObject({ ok: false });
  });

  it("takes evidence until it is submitted, and has its test's verdict from it", () => {
    const { dispute, charge: of } = opened();
    const change = { evidence: { uncategorized_text: "winning_evidence" }, settlesAt: 7 };
    const staged = done(giveEvidence(dispute, of, { ...change, submit: false }));
    expect(staged.dispute).toMatchObject({ status: "needs_response", submissions: 0, actsAt: dispute.actsAt });
    const sent = done(giveEvidence(staged.dispute, of, { ...change, submit: true }));
    expect(sent.dispute).toMatchObject({ status: "under_review", submissions: 1, actsAt: 7 });
    expect(giveEvidence(sent.dispute, of, { ...change, submit: true })).toMatchObject({ ok: false });
    const plain = done(
      giveEvidence(dispute, of, { evidence: { product_description: "x" }, settlesAt: 7, submit: true }),
    );
    expect(plain.dispute.actsAt).toBeUndefined();
  });
});

describe("an inquiry", () => {
  it("moves no money and can be refunded; it closes, or becomes a dispute", () => {
    const inquiry = opened({ inquiry: true });
    expect(inquiry.dispute.status).toBe("warning_needs_response");
    expect(withheld(inquiry.dispute)).toBe(0);
    expect(refund(inquiry.charge)).toMatchObject({ ok: true });
    for (const verdict of ["won", "lost"] as const)
      expect(done(decided(inquiry, verdict)).dispute.status).toBe("warning_closed");
    const escalated = done(decided(inquiry, "escalated"));
    expect(escalated.dispute).toMatchObject({ status: "needs_response", dueBy: now + 200 });
    expect(withheld(escalated.dispute)).toBe(1000);
    expect(decided(escalated, "escalated")).toMatchObject({ ok: false });
  });
});
