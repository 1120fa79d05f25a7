import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isTimeZone, momentOf, wallTime } from "./zoned-time.js";

const zones = ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "UTC"];

describe("times at a place", () => {
  it("are the moments that its clocks mean, in summer and in winter", () => {
    expect(momentOf("2027-05-01T20:00", "Europe/Berlin")).toBe(Date.parse("2027-05-01T18:00:00Z"));
    expect(momentOf("2027-12-01T20:00", "Europe/Berlin")).toBe(Date.parse("2027-12-01T19:00:00Z"));
    expect(momentOf("2027-05-01T20:00:30", "Asia/Kathmandu")).toBe(Date.parse("2027-05-01T14:15:00Z"));
  });

  it("are none when the clocks skip them, and the first of two when they come twice", () => {
    expect(momentOf("2027-03-28T02:30", "Europe/Berlin")).toBeUndefined();
    expect(momentOf("2027-10-31T02:30", "Europe/Berlin")).toBe(Date.parse("2027-10-31T00:30:00Z"));
    for (const nonsense of ["", "2027-05-01", "2027-02-30T10:00", "2027-13-01T10:00", "tomorrow"])
      expect(momentOf(nonsense, "UTC")).toBeUndefined();
  });

  it("lead back to what the clocks show, whatever the moment and the zone", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_000_000 }), fc.constantFrom(...zones), (quarters, zone) => {
        const ms = quarters * 900_000;
        const wall = wallTime(ms, zone);
        const back = momentOf(wall, zone);
        expect(back).toBeDefined();
        expect(wallTime(back ?? 0, zone)).toBe(wall);
        // Another moment only where the clocks show the same time twice.
        expect(Math.abs((back ?? 0) - ms)).toBeLessThanOrEqual(3_600_000);
      }),
    );
  });

  it("need a zone that there is", () => {
    expect(isTimeZone("Europe/Berlin")).toBe(true);
    expect(isTimeZone("Europe/Atlantis")).toBe(false);
  });
});
