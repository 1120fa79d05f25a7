// What Stripe's refunds and ours come to together.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { givenBy, mergeRefunds, type RefundEntry, type RefundSnapshot } from "./refunds.js";

const ours: RefundEntry = { refundId: "r1", requested: 0, amount: 2_000, status: "open", generation: 0 };
const told = (id: string, more: Partial<RefundSnapshot> = {}): RefundSnapshot => ({
  stripeRefundId: id,
  amount: 2_000,
  status: "succeeded",
  createdAtMs: 1_000,
  ...more,
});
const asOurs = { refundId: "r1", checkoutId: "co_1" };

describe("Stripe's refunds and ours", () => {
  it("become one by our id, and keep what was asked for", () => {
    expect(mergeRefunds([ours], [told("re_1", asOurs)], "co_1")).toEqual([
      { ...ours, status: "succeeded", stripeRefundId: "re_1", createdAtMs: 1_000 },
    ]);
  });

  it("name what failed and why, in an entry of before these were kept, too", () => {
    const old: RefundEntry = { ...ours, status: "succeeded", stripeRefundId: "re_1" };
    const failed = told("re_1", { ...asOurs, status: "failed", failureReason: "lost_or_stolen_card" });
    const merged = mergeRefunds([old], [failed], "co_1");
    expect(merged).toMatchObject([{ refundId: "r1", status: "failed", failureReason: "lost_or_stolen_card" }]);
    expect(givenBy(merged)).toBe(0);
  });

  it("tell those of Stripe's dashboard, and whose metadata name another checkout, apart", () => {
    const found = mergeRefunds([], [told("re_1"), told("re_2", { ...asOurs, checkoutId: "co_2" })], "co_1");
    expect(found).toMatchObject([
      { refundId: "re_1", outside: true },
      { refundId: "re_2", outside: true },
    ]);
  });

  it("bring back one of ours that the record has lost, but take no second for the same", () => {
    const merged = mergeRefunds([], [told("re_1", asOurs), told("re_2", { ...asOurs, createdAtMs: 2_000 })], "co_1");
    expect(merged.map(({ refundId, outside = false }) => [refundId, outside])).toEqual([
      ["r1", false],
      ["re_2", true],
    ]);
    const other = mergeRefunds([ours], [told("re_1", { ...asOurs, amount: 1 })], "co_1");
    expect(other.map(({ refundId, amount }) => [refundId, amount])).toEqual([
      ["re_1", 1],
      ["r1", 2_000],
    ]);
  });

  it("add up to what Stripe says, however often and in whatever order they are told", () => {
    const any = fc.uniqueArray(
      fc.record({
        stripeRefundId: fc.nat({ max: 20 }).map((number) => `re_${number}`),
        amount: fc.integer({ min: 1, max: 100 }),
        status: fc.constantFrom<RefundSnapshot["status"]>("pending", "succeeded", "failed", "canceled"),
        createdAtMs: fc.nat({ max: 5 }),
      }),
      { selector: ({ stripeRefundId }) => stripeRefundId },
    );
    fc.assert(
      fc.property(any, fc.nat({ max: 20 }), (all, few) => {
        const once = mergeRefunds(mergeRefunds([], all.slice(0, few), "co_1"), all, "co_1");
        expect(givenBy(once)).toBe(givenBy(all));
        expect(mergeRefunds(once, all, "co_1")).toEqual(once);
        const ages = once.map(({ createdAtMs = 0 }) => createdAtMs);
        expect(ages).toEqual(ages.toSorted((a, b) => a - b));
      }),
    );
  });
});
