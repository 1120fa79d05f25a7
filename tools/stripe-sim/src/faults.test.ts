import { describe, expect, it } from "vitest";
import { createFaultPlan, type FaultedRequest, faultRules } from "./faults.js";

const request: FaultedRequest = {
  method: "POST",
  path: "/v1/payment_intents",
  idempotencyKey: "checkout-1:authorize",
  metadata: [{ checkout_id: "c1" }],
  replay: false,
};
const planOf = (...rules: object[]) => createFaultPlan(faultRules.parse(rules), 1);
const endings = (plan: ReturnType<typeof planOf>, times: number, one = request) =>
  Array.from({ length: times }, () => (plan.faultsFor(one).ending === undefined ? "." : "x")).join("");
const action = { type: "body_cut" };

describe("the fault plan", () => {
  it("counts", () => {
    expect(endings(planOf({ action }), 4)).toBe("x...");
    expect(endings(planOf({ action, count: 2 }), 4)).toBe("xx..");
    expect(endings(planOf({ action, match: { nth: 3 } }), 5)).toBe("..x..");
    expect(endings(planOf({ action, match: { every: 2 }, count: 2 }), 7)).toBe(".x.x...");
  });

  it("chooses by chance the same way for the same seed", () => {
    const rule = { action, match: { probability: 0.3, seed: 42 }, count: 1000 };
    const run = endings(planOf(rule), 200);
    expect(endings(planOf(rule), 200)).toBe(run);
    expect(endings(planOf({ ...rule, match: { probability: 0.3, seed: 43 } }), 200)).not.toBe(run);
    const hits = run.split("x").length - 1;
    expect(hits).toBeGreaterThan(30);
    expect(hits).toBeLessThan(90);
  });

  it.each([
    [{ method: "GET" }, false],
    [{ method: "POST", path: "^/v1/payment_intents$" }, true],
    [{ path: "/capture$" }, false],
    [{ idempotencyKey: ":authorize$" }, true],
    [{ idempotencyKey: ":capture$" }, false],
    [{ metadata: { checkout_id: "c1" } }, true],
    [{ metadata: { checkout_id: "c2" } }, false],
    [{ metadata: { checkout_id: "c1", other: "x" } }, false],
  ])("fits %j: %s", (match, fits) => {
    expect(endings(planOf({ action, match }), 1)).toBe(fits ? "x" : ".");
  });

  it("adds up latency and webhooks, and lets the first ending win without spending the others", () => {
    const plan = planOf(
      { action: { type: "latency", ms: 5 } },
      { action: { type: "latency", ms: 7 } },
      { action: { type: "error_429" } },
      { action: { type: "body_cut" } },
      { action: { type: "webhook_duplicate", copies: 2 } },
      { action: { type: "webhook_delay", ms: 9 } },
    );
    expect(plan.faultsFor(request)).toEqual({
      latencyMs: 12,
      ending: { type: "error_429" },
      webhooks: { drop: false, copies: 2, delayMs: 9 },
    });
    expect(plan.faultsFor(request).ending).toEqual({ type: "body_cut" });
    expect(plan.faultsFor(request).ending).toBeUndefined();
  });

  it("spends errors and webhook faults on what is executed, not on a replay", () => {
    const plan = planOf({ action: { type: "error_500_stored" } }, { action: { type: "webhook_drop" } });
    expect(plan.faultsFor({ ...request, replay: true })).toMatchObject({
      ending: undefined,
      webhooks: { drop: false },
    });
    expect(plan.faultsFor(request)).toMatchObject({ ending: { executed: false }, webhooks: { drop: true } });
  });

  it("can be read and emptied", () => {
    const plan = planOf({ action, name: "one" }, { action });
    plan.faultsFor(request);
    expect(plan.list()).toMatchObject([
      { id: 1, name: "one", fitted: 1, hit: 1 },
      { id: 2, fitted: 0, hit: 0 },
    ]);
    expect([plan.remove(1), plan.remove(1), plan.remove()]).toEqual([1, 0, 1]);
  });
});
