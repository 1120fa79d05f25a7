import { describe, expect, it, vi } from "vitest";
import { judgeClocks, offsetOf, watchClocks } from "./clocks.js";
import { createLogger } from "./log.js";
import { createMetrics } from "./metrics.js";

describe("how far a clock is ahead", () => {
  it.each([
    [1_000, 1_000, 1_010, 0],
    [1_005, 1_000, 1_010, 0],
    // The way took long: anything within is fine.
    [1_005, 1_000, 9_000, 0],
    [61_010, 1_000, 1_010, 60_000],
    [-59_000, 1_000, 1_010, -60_000],
  ])("%i there, asked between %i and %i: %i", (there, sent, answered, offset) => {
    expect(offsetOf(there, sent, answered)).toBe(offset);
  });
});

describe("which clock is the odd one", () => {
  const verdict = (valkey: number | undefined, temporal: number | undefined) =>
    judgeClocks(
      new Map(Object.entries({ valkey, temporal }).filter((one): one is [string, number] => one[1] !== undefined)),
    );
  it.each([
    [0, 0, { apartMs: 0 }],
    [-600_000, 0, { apartMs: 600_000, odd: "valkey", aheadMs: -600_000 }],
    [0, 600_000, { apartMs: 600_000, odd: "temporal", aheadMs: 600_000 }],
    // Both say the same of us.
    [600_000, 600_100, { apartMs: 600_100, odd: undefined, aheadMs: -600_000 }],
    [-20_000, 20_000, { apartMs: 40_000 }],
    [undefined, 40_000, { apartMs: 40_000, odd: "temporal", aheadMs: 40_000 }],
    [undefined, -40_000, { apartMs: 40_000, odd: "temporal", aheadMs: -40_000 }],
    [undefined, undefined, { apartMs: 0 }],
  ])("Valkey %s ms, Temporal %s ms ahead of ours", (valkey, temporal, expected) => {
    expect(verdict(valkey, temporal)).toMatchObject(expected);
  });
});

describe("watching", () => {
  function watching(read: () => Promise<number>) {
    const lines: string[] = [];
    const metrics = createMetrics("test");
    const watch = watchClocks({
      clocks: [
        { of: "valkey", read },
        { of: "temporal", read: async () => Date.now() },
      ],
      checkMs: 5,
      apartMaxMs: 30_000,
      means: "Every hold is expired before its buyer can pay.",
      metrics,
      log: createLogger("test", "info", { write: (line: string) => lines.push(line) }),
    });
    const gauge = async () =>
      (await metrics.registry.metrics()).match(/clock_offset_seconds\{.*of="valkey".*\} (\S+)/)?.[1];
    return { ...watch, said: () => lines.map((line) => JSON.parse(line).msg as string), gauge };
  }

  it("refuses beyond the bound, says once which clock and what it means, and agrees again by itself", async () => {
    let behindMs = 0;
    const watch = watching(async () => Date.now() - behindMs);
    try {
      await vi.waitFor(async () => expect(await watch.gauge()).toBe("0"));
      expect(watch.agree()).toBe(true);
      behindMs = 612_000;
      await vi.waitFor(() => expect(watch.agree()).toBe(false));
      expect(Number(await watch.gauge())).toBeCloseTo(-612, 0);
      behindMs = 10_000;
      await vi.waitFor(() => expect(watch.agree()).toBe(true));
      expect(watch.said()).toEqual([
        expect.stringMatching(
          /^The clock of valkey is 61[12]\.\d s behind, more than the 30\.0 s .* Every hold is expired .*\(NTP\)/,
        ),
        "the clocks agree again",
      ]);
    } finally {
      watch.stop();
    }
  });

  it("does not mind a clock that can't be read, and shows no number of it", async () => {
    let isAway = false;
    const watch = watching(async () => {
      if (isAway) throw new Error("away");
      return Date.now() - 20_000;
    });
    try {
      await vi.waitFor(async () => expect(Number(await watch.gauge())).toBeCloseTo(-20, 0));
      isAway = true;
      await vi.waitFor(async () => expect(await watch.gauge()).toBeUndefined());
      expect(watch.agree()).toBe(true);
    } finally {
      watch.stop();
    }
  });

  it("looks twice before it refuses", async () => {
    let reads = 0;
    const watch = watching(async () => Date.now() - (++reads === 2 ? 612_000 : 0));
    try {
      await vi.waitFor(() => expect(reads).toBeGreaterThan(6));
      expect(watch.said()).toEqual([]);
      expect(watch.agree()).toBe(true);
    } finally {
      watch.stop();
    }
  });
});
