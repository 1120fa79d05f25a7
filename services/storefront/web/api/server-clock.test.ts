import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { narrowed, type Offset } from "./server-clock.js";

/** What an answer's Date header says of a server that is `ahead` when asked at `sentAt` and read `after` later. */
const header = (ahead: number, at: number) => Math.floor((at + ahead) / 1000) * 1000;

describe("the server's clock", () => {
  it("lies between the bounds that its answers give, and each answer can only narrow them", () => {
    const upTo = (max: number) => fc.integer({ min: 0, max });
    const answers = fc.array(fc.record({ pause: upTo(5_000), there: upTo(900), back: upTo(900) }), { minLength: 1 });
    fc.assert(
      fc.property(fc.integer({ min: -86_400_000, max: 86_400_000 }), answers, (ahead, all) => {
        let known: Offset | undefined;
        let now = 1_800_000_000_000;
        for (const { pause, there, back } of all) {
          const sentAt = now + pause;
          now = sentAt + there + back;
          const before = known;
          known = narrowed(known, header(ahead, sentAt + there), sentAt, now);
          expect(known.atLeast).toBeLessThanOrEqual(ahead);
          expect(known.atMost).toBeGreaterThanOrEqual(ahead);
          if (before) {
            expect(known.atLeast).toBeGreaterThanOrEqual(before.atLeast);
            expect(known.atMost).toBeLessThanOrEqual(before.atMost);
          }
        }
      }),
    );
  });

  it("is known to a few milliseconds once answers came from both sides of a full second", () => {
    const late = narrowed(undefined, header(0, 10_998), 10_995, 10_999);
    const both = narrowed(late, header(0, 11_002), 11_001, 11_004);
    expect(both.atMost - both.atLeast).toBeLessThan(10);
  });

  it("starts anew when a clock was set", () => {
    const known = narrowed(undefined, 5_000, 5_100, 5_200);
    expect(narrowed(known, 65_000, 6_100, 6_200)).toEqual({ atLeast: 58_800, atMost: 59_900 });
  });
});
