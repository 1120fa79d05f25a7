import { describe, expect, it } from "vitest";
import { createRateLimits } from "./rate-limits.js";

describe("rate limits", () => {
  it("give each endpoint one second's worth at once, and refill evenly", () => {
    const rates = createRateLimits({ perEndpoint: 4, total: 0 });
    const take = (at: number, endpoint = "a") => rates.take(endpoint, at);
    expect([0, 0, 0, 0, 0].map((at) => take(at))).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      "endpoint-rate",
    ]);
    expect(take(0, "b")).toBeUndefined();
    expect([take(249), take(250), take(251)]).toEqual(["endpoint-rate", undefined, "endpoint-rate"]);
    expect(Array.from({ length: 5 }, () => take(60_000)).filter((one) => one === undefined)).toHaveLength(4);
  });

  it("limit all endpoints together; what is refused costs nothing", () => {
    const rates = createRateLimits({ perEndpoint: 2, total: 3 });
    expect(rates.take("a", 0)).toBeUndefined();
    expect(rates.take("a", 0)).toBeUndefined();
    expect(rates.take("a", 0)).toBe("endpoint-rate");
    expect(rates.take("b", 0)).toBeUndefined();
    expect(rates.take("c", 0)).toBe("global-rate");
  });

  it("can be lifted, and don't mind a clock that goes back", () => {
    const lifted = createRateLimits({ perEndpoint: 0, total: 0 });
    expect(Array.from({ length: 1000 }, () => lifted.take("a", 0)).every((one) => one === undefined)).toBe(true);
    const rates = createRateLimits({ perEndpoint: 1, total: 0 });
    expect([rates.take("a", 5_000), rates.take("a", 0), rates.take("a", 999)]).toEqual([
      undefined,
      "endpoint-rate",
      "endpoint-rate",
    ]);
  });

  it("search has four fifths of it", () => {
    const rates = createRateLimits({ perEndpoint: 25, total: 0 });
    const taken = Array.from({ length: 30 }, () => rates.take("GET /v1/payment_intents/search", 0));
    expect(taken.filter((one) => one === undefined)).toHaveLength(20);
  });
});
