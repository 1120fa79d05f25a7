import type { Section } from "@onsale/proto/inventory/v1/catalog";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { findSeat, type Layout, nameSeat, planLayout, readRuns, runsOf, seatsOf, writeRuns } from "./layout.js";

const row = fc
  .record({
    firstSeat: fc.integer({ min: 1, max: 500 }),
    seatCount: fc.integer({ min: 1, max: 60 }),
    holes: fc.uniqueArray(fc.nat(59), { maxLength: 12 }),
    shut: fc.uniqueArray(fc.nat(59), { maxLength: 6 }),
  })
  .map(({ firstSeat, seatCount, holes, shut }) => {
    const gaps = holes.filter((at) => at < seatCount).slice(0, seatCount - 1);
    const blocked = shut.filter((at) => at < seatCount && !gaps.includes(at));
    return {
      firstSeat,
      seatCount,
      gaps: gaps.map((at) => firstSeat + at),
      blocked: blocked.map((at) => firstSeat + at),
      accessible: [],
      companion: [],
    };
  });

const section = fc.oneof(
  { weight: 3, arbitrary: fc.array(row, { minLength: 1, maxLength: 6 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 200 }) },
);

const sections = fc.array(section, { minLength: 1, maxLength: 4 }).map((list) =>
  list.map(
    (content, at): Section => ({
      sectionId: `S${at}`,
      name: "Section",
      tierId: "t",
      generalAdmission: typeof content === "number",
      capacity: typeof content === "number" ? content : 0,
      focalRow: "",
      focalSeat: 0,
      rows: typeof content === "number" ? [] : content.map((plan, nr) => ({ ...plan, label: `R${nr}` })),
    }),
  ),
);

/** The slow, obvious way: all seat ids of a section in order. */
function listSeats({ sectionId, rows, generalAdmission, capacity }: Section): string[] {
  if (generalAdmission) return Array.from({ length: capacity }, (_, at) => `${sectionId}-GA-${at + 1}`);
  const ids: string[] = [];
  for (const { label, firstSeat, seatCount, gaps } of rows)
    for (let number = firstSeat; number < firstSeat + seatCount; number++)
      if (!gaps.includes(number)) ids.push(`${sectionId}-${label}-${number}`);
  return ids;
}

describe("a layout", () => {
  test("finds and names every seat as a list of all seats would", () => {
    fc.assert(
      fc.property(sections, (given) => {
        const layout = planLayout("v", given);
        for (const [at, one] of given.entries()) {
          const plan = layout.sections[at];
          const ids = listSeats(one);
          expect(plan?.seats).toBe(ids.length);
          if (!plan) continue;
          for (const [index, seatId] of ids.entries()) {
            expect(findSeat(layout, seatId)).toEqual({ section: plan, index });
            expect(nameSeat({ section: plan, index }).seatId).toBe(seatId);
          }
          expect(() => nameSeat({ section: plan, index: ids.length })).toThrow(RangeError);
          const blocked = one.rows.flatMap(({ label, blocked: shut }) =>
            [...shut].sort((a, b) => a - b).map((number) => ids.indexOf(`${one.sectionId}-${label}-${number}`)),
          );
          expect(plan.blocked).toEqual(blocked);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("has no seat where there is a gap, or under a second name", () => {
    const layout = planLayout("v", [
      {
        sectionId: "A",
        name: "",
        tierId: "t",
        generalAdmission: false,
        capacity: 0,
        rows: [{ label: "C", firstSeat: 3, seatCount: 4, gaps: [5], blocked: [], accessible: [], companion: [] }],
        focalRow: "",
        focalSeat: 0,
      },
    ]);
    expect(findSeat(layout, "A-C-6")?.index).toBe(2);
    for (const seatId of [
      "A-C-5",
      "A-C-2",
      "A-C-7",
      "A-C-03",
      "A-C-3.0",
      "A-C-3 ",
      "A-D-3",
      "B-C-3",
      "A-C",
      "",
      "A-C-3-1",
    ])
      expect(findSeat(layout, seatId), seatId).toBeUndefined();
  });

  test("knows accessible and companions' seats by their places, and each row's nearest to the focal point", () => {
    const rowOf = (
      label: string,
      firstSeat: number,
      seatCount: number,
      rooms: Partial<Section["rows"][number]> = {},
    ) => ({
      label,
      firstSeat,
      seatCount,
      gaps: [],
      blocked: [],
      accessible: [],
      companion: [],
      ...rooms,
    });
    const rows = [
      rowOf("A", 1, 10, { gaps: [2], accessible: [9, 2, 3], companion: [4] }),
      rowOf("B", 101, 11),
      rowOf("C", 1, 1),
    ];
    const head = { sectionId: "A", name: "", tierId: "t", generalAdmission: false, capacity: 0, rows };
    const planned = (focalRow: string, focalSeat: number) => {
      const [plan] = planLayout("v", [{ ...head, focalRow, focalSeat }]).sections;
      return plan?.rows.map(({ rowsAway, focalHalves }) => [rowsAway, focalHalves / 2]);
    };
    expect(planned("", 0)).toEqual([
      [0, 5.5],
      [1, 106],
      [2, 1],
    ]);
    expect(planned("B", 101)).toEqual([
      [1, 1],
      [0, 101],
      [1, 1],
    ]);
    expect(planned("A", 10)).toEqual([
      [0, 10],
      [1, 111],
      [2, 1],
    ]);
    expect(planned("C", 1)).toEqual([
      [2, 5.5],
      [1, 106],
      [0, 1],
    ]);
    const [plan] = planLayout("v", [{ ...head, focalRow: "B", focalSeat: 103 }]).sections;
    expect([...(plan?.accessible ?? [])]).toEqual([1, 7]);
    expect([...(plan?.companion ?? [])]).toEqual([2]);
    expect(plan?.rows.map(({ accessible }) => accessible)).toEqual([[1, 7], [], []]);
    expect(plan?.rowsByDistance.map((near) => near.map(({ label }) => label))).toEqual([["B"], ["A", "C"]]);
  });

  test("merges seats into runs and back, and reads runs as it wrote them", () => {
    const chosen = sections.chain((given) => {
      const layout = planLayout("v", given);
      const all = layout.sections.flatMap((plan) =>
        Array.from({ length: plan.seats }, (_, index) => ({ section: plan, index })),
      );
      return fc.tuple(fc.constant<Layout>(layout), fc.shuffledSubarray(all, { minLength: 1 }));
    });
    fc.assert(
      fc.property(chosen, ([layout, seats]) => {
        const runs = runsOf(layout, seats);
        const names = (list: typeof seats) => list.map((seat) => nameSeat(seat).seatId);
        expect(names(seatsOf(runs)).sort()).toEqual(names(seats).sort());
        for (const [at, run] of runs.entries()) {
          const before = runs[at - 1];
          if (before?.section === run.section) expect(before.start + before.length).toBeLessThan(run.start);
        }
        expect(readRuns(layout, writeRuns(runs))).toEqual(runs);
      }),
      { numRuns: 60 },
    );
  });
});
