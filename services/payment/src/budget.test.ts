// The turns: never more in a second than the rates allow, in order, with room kept for money in flight.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createSlots, type Lane } from "./budget.js";

const rates = { perEndpoint: 20, total: 50, newShare: 0.8 };
const long = 1_000_000;
const wanted = (endpoint: string, lane: Lane, maxWaitMs = long) => ({
  endpoint,
  lane,
  shared: endpoint === "retrieve",
  maxWaitMs,
});

/** The most turns that begin within any second. */
function busiestSecond(times: readonly number[]): number {
  const sorted = [...times].sort((a, b) => a - b);
  return Math.max(0, ...sorted.map((from, index) => sorted.findLastIndex((time) => time < from + 1_000) - index + 1));
}

describe("createSlots", () => {
  it("lets the first request go at once, and spreads a crowd evenly", async () => {
    const slots = createSlots(rates, () => 1_000_000);
    const turns = await Promise.all(Array.from({ length: 40 }, () => slots.reserve(wanted("capture", "money"))));
    expect(turns[0]).toEqual({ granted: true, waitMs: 0 });
    expect(turns.map(({ waitMs }) => waitMs)).toEqual(Array.from({ length: 40 }, (_, index) => index * 50));
  });

  it("keeps its distance between endpoints and lanes, whatever is asked when, and how often the clock goes back", async () => {
    const asked = fc.record({
      endpoint: fc.constantFrom("create", "confirm", "capture", "retrieve"),
      lane: fc.constantFrom<Lane>("money", "new"),
      afterMs: fc.nat({ max: 40 }),
      clockMovesMs: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, -1, -5_000, -600_000),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(asked, { minLength: 1, maxLength: 120 }), async (all) => {
        let now = 1_000_003;
        let clockIsOffMs = 0;
        const slots = createSlots(rates, () => now + clockIsOffMs);
        const times = new Map<string, number[]>();
        const lastOf = new Map<string, number>();
        for (const { endpoint, lane, afterMs, clockMovesMs } of all) {
          now += afterMs;
          clockIsOffMs += clockMovesMs;
          const { granted, waitMs } = await slots.reserve(wanted(endpoint, lane));
          expect(granted).toBe(true);
          const at = now + waitMs;
          times.set(endpoint, [...(times.get(endpoint) ?? []), at]);
          // In the order of asking, within a lane.
          expect(at).toBeGreaterThanOrEqual(lastOf.get(endpoint + lane) ?? 0);
          lastOf.set(endpoint + lane, at);
        }
        // A request may use the end of one slot and the next one the beginning of another: one more than the rate at most.
        for (const each of times.values()) expect(busiestSecond(each)).toBeLessThanOrEqual(rates.perEndpoint + 1);
        expect(busiestSecond([...times.values()].flat())).toBeLessThanOrEqual(rates.total + 1);
      }),
      { numRuns: 30 },
    );
  });

  it("lets money go ahead of a long queue of new authorizations", async () => {
    const slots = createSlots({ perEndpoint: 100, total: 50, newShare: 0.8 }, () => 1_000_000);
    for (let index = 0; index < 400; index += 1) await slots.reserve(wanted("create", "new"));
    const first = await slots.reserve(wanted("create", "new"));
    expect(first.waitMs).toBeGreaterThan(9_000);
    const money = await slots.reserve(wanted("capture", "money"));
    expect(money.waitMs).toBeLessThan(150);
  });

  it("keeps a part of an endpoint that both lanes use", async () => {
    const slots = createSlots({ perEndpoint: 20, total: 1_000, newShare: 0.8 }, () => 1_000_000);
    for (let index = 0; index < 100; index += 1) await slots.reserve(wanted("retrieve", "new"));
    const money = await slots.reserve(wanted("retrieve", "money"));
    expect(money.waitMs).toBeLessThan(300);
  });

  it.each([1, 10, 600])("goes on as before when the clock goes back by %i s", async (seconds) => {
    let now = 1_000_000_000;
    const slots = createSlots(rates, () => now);
    for (let index = 0; index < 10; index += 1) await slots.reserve(wanted("capture", "money", 1_000));
    now -= seconds * 1_000;
    expect(await slots.reserve(wanted("capture", "money", 1_000))).toEqual({ granted: true, waitMs: 500 });
    now += 500;
    expect(await slots.reserve(wanted("capture", "money", 1_000))).toEqual({ granted: true, waitMs: 50 });
    expect(await slots.reserve(wanted("create", "new", 1_000))).toMatchObject({ granted: true });
  });

  it("reserves nothing beyond the longest wait, and says how long it would have been", async () => {
    const slots = createSlots(rates, () => 1_000_000);
    const turns = [];
    for (let index = 0; index < 30; index += 1) turns.push(await slots.reserve(wanted("capture", "money", 500)));
    expect(turns.filter(({ granted }) => granted)).toHaveLength(11);
    expect(turns.at(-1)).toEqual({ granted: false, waitMs: 550 });
  });
});
