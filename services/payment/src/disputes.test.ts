// Whose the money is while a bank decides, and what evidence comes to.
import { describe, expect, it } from "vitest";
import { type DisputeSnapshot, decideEvidence, disputedAmount, disputeStatusOf, evidenceChange } from "./disputes.js";

const dispute: DisputeSnapshot = {
  disputeId: "du_1",
  amount: 5_000,
  reason: "fraudulent",
  status: "needs_response",
  createdAtMs: 1_000,
  hasEvidence: true,
  intentId: "pi_1",
  evidence: { customer_name: "A. Buyer" },
  submissions: 0,
};

describe("the money of a dispute", () => {
  it.each([
    ["needs_response", 5_000],
    ["under_review", 5_000],
    ["appeal_needs_response", 5_000],
    ["appeal_under_review", 5_000],
    ["lost", 5_000],
    ["a word that Stripe has yet to think of", 5_000],
    ["won", 0],
    ["prevented", 0],
    ["warning_needs_response", 0],
    ["warning_under_review", 0],
    ["warning_closed", 0],
  ])("%s keeps %i from us", (word, kept) => {
    expect(disputedAmount([{ ...dispute, status: disputeStatusOf(word) }])).toBe(kept);
  });
});

describe("evidence", () => {
  const nowMs = 1_000;

  it("that is there is not sent again; what is new is, until the bank has it", () => {
    expect(decideEvidence(dispute, { customer_name: "A. Buyer" }, false, nowMs)).toBe("answer");
    expect(decideEvidence(dispute, { customer_name: "A. Buyer" }, true, nowMs)).toBe("send");
    expect(decideEvidence(dispute, { customer_name: "Another" }, false, nowMs)).toBe("send");
    const sent: DisputeSnapshot = { ...dispute, status: "under_review", submissions: 1 };
    expect(decideEvidence(sent, { customer_name: "A. Buyer" }, true, nowMs)).toBe("answer");
    expect(decideEvidence(sent, { customer_name: "Another" }, true, nowMs)).toBe("too_late");
    const escalated: DisputeSnapshot = { ...dispute, submissions: 1 };
    expect(decideEvidence(escalated, { customer_name: "A. Buyer" }, true, nowMs)).toBe("send");
  });

  it("past its day is too late, unless it is there already", () => {
    const late: DisputeSnapshot = { ...dispute, evidenceDueMs: nowMs };
    expect(decideEvidence(late, { customer_name: "Another" }, true, nowMs)).toBe("too_late");
    expect(decideEvidence(late, { customer_name: "Another" }, true, nowMs - 1)).toBe("send");
    expect(decideEvidence(late, { customer_name: "A. Buyer" }, false, nowMs)).toBe("answer");
  });

  it("has one key for a change in whatever order it is written, and another for going back", () => {
    const [a, b] = [
      { customer_name: "X", service_date: "1" },
      { service_date: "1", customer_name: "X" },
    ];
    expect(evidenceChange(dispute, a, false)).toBe(evidenceChange(dispute, b, false));
    expect(evidenceChange(dispute, a, true)).not.toBe(evidenceChange(dispute, a, false));
    expect(evidenceChange({ ...dispute, evidence: a }, {}, false)).not.toBe(evidenceChange(dispute, {}, false));
  });
});
