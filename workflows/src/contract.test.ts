import { describe, expect, it } from "vitest";
import {
  awaitsPaymentSignal,
  type CheckoutInput,
  checkoutDetails,
  checkoutStatuses,
  checkoutSummary,
  checkoutWorkflowId,
  latePaymentWorkflowId,
  plain,
  refundWorkflowId,
  undeliveredRefundId,
} from "./contract.js";

const input: CheckoutInput = {
  checkoutId: "chk_1",
  accountId: "acc_1",
  event: {
    eventId: "evt_1",
    name: "The Night Ferry",
    startsAtMs: Date.UTC(2027, 4, 1, 18),
    venueName: "Harbour Hall",
    city: "Hamburg",
    timeZone: "Europe/Berlin",
  },
  holdId: "0123456789abcdef",
  epoch: 1,
  deadlineMs: Date.UTC(2027, 0, 1, 12, 5),
  seats: [
    { seatId: "A-1-1", sectionId: "A", row: "1", number: "1", tierId: "standard", amount: 4_950 },
    { seatId: "GA-7", sectionId: "GA", row: "", number: "7", tierId: "floor", amount: 3_000 },
  ],
  amount: 7_950,
  currency: "EUR",
  graceMs: 60_000,
};

describe("what the Web UI shows from the start", () => {
  it("one line: how many seats, of what, for how much, in the currency's own unit", () => {
    expect(checkoutSummary(input)).toBe("2 seats · The Night Ferry · EUR 79.50");
    expect(checkoutSummary({ ...input, seats: input.seats.slice(0, 1), amount: 4_950, currency: "JPY" })).toBe(
      "1 seat · The Night Ferry · JPY 4,950",
    );
  });

  it("details: a row a seat, the total, the deadline, the ids", () => {
    const details = checkoutDetails(input);
    expect(details).toContain("Harbour Hall, Hamburg, 2027-05-01 18:00 UTC");
    expect(details).toContain("| A-1-1 | A | 1 | 1 | standard | EUR 49.50 |");
    expect(details).toContain("| GA-7 | GA |  | 7 | floor | EUR 30.00 |");
    expect(details).toContain("Total **EUR 79.50**. Held until 2027-01-01T12:05:00.000Z.");
  });

  it("an organiser's words can't become markup", () => {
    const name = "[click](javascript:alert(1)) <img src=x> **bold** `code` | cell\nnext";
    const shown = checkoutSummary({ ...input, event: { ...input.event, name } });
    expect(shown).not.toMatch(/[[\]<>*`|\n]/);
    expect(plain("  Björk & Sons – live! ")).toBe("Björk & Sons – live");
  });
});

it("ids differ by what they name", () => {
  const ids = [checkoutWorkflowId("x"), refundWorkflowId("x"), latePaymentWorkflowId("x"), undeliveredRefundId("x")];
  expect(new Set(ids).size).toBe(4);
});

it("a webhook's signal is wanted only while the buyer's approval is waited for", () => {
  expect(checkoutStatuses.filter(awaitsPaymentSignal)).toEqual(["requires_action"]);
});
