import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chooseAdjacent } from "./adjacent.js";
import { nameSeat, planLayout, type SectionPlan } from "./layout.js";
import { mapBytes, type SeatState, setState, stateAt } from "./seat-map.js";

function plan(rows: { seatCount: number; gaps?: number[] }[]): SectionPlan {
  const { sections } = planLayout("v", [
    {
      sectionId: "S",
      name: "",
      tierId: "t",
      generalAdmission: false,
      capacity: 0,
      rows: rows.map(({ seatCount, gaps = [] }, at) => ({
        label: `R${at}`,
        firstSeat: 1,
        seatCount,
        gaps,
        blocked: [],
      })),
    },
  ]);
  if (!sections[0]) throw new Error("there is one section");
  return sections[0];
}

const rows = fc
  .array(fc.record({ seatCount: fc.integer({ min: 2, max: 20 }), gap: fc.integer({ min: 1, max: 20 }) }), {
    minLength: 1,
    maxLength: 6,
  })
  .map((list) => list.map(({ seatCount, gap }) => ({ seatCount, gaps: gap <= seatCount ? [gap] : [] })));
const situation = fc.record({
  rows,
  taken: fc.array(fc.boolean(), { minLength: 130, maxLength: 130 }),
  quantity: fc.integer({ min: 1, max: 6 }),
  spread: fc.integer({ min: 1, max: 40 }),
  random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
});

function mapOf(section: SectionPlan, taken: readonly boolean[]): Uint8Array {
  const map = new Uint8Array(mapBytes(section.seats));
  for (let at = 0; at < section.seats; at++) setState(map, at, (taken[at] ? 1 + (at % 3) : 0) as SeatState);
  return map;
}

/** The slow, obvious way: every choice that there is. */
function allChoices(section: SectionPlan, map: Uint8Array, quantity: number): number[] {
  const starts: number[] = [];
  for (let start = 0; start + quantity <= section.seats; start++) {
    const names = Array.from({ length: quantity }, (_, at) => nameSeat({ section, index: start + at }));
    const free = names.every((_, at) => stateAt(map, start + at) === 0);
    const adjacent = names.every(
      ({ row, number }, at) => row === names[0]?.row && number === (names[0]?.number ?? 0) + at,
    );
    if (free && adjacent) starts.push(start);
  }
  return starts;
}

describe("the chosen seats", () => {
  test("are free and side by side in one row, and are found whenever there are any", () => {
    fc.assert(
      fc.property(situation, ({ rows: given, taken, quantity, spread, random }) => {
        const section = plan(given);
        const map = mapOf(section, taken);
        const chosen = chooseAdjacent({ section, map, quantity, spread, random: () => random });
        const all = allChoices(section, map, quantity);
        if (chosen) expect(all).toContain(chosen.start);
        expect(chosen?.length).toBe(all.length > 0 ? quantity : undefined);
      }),
    );
  });

  test("are among the best, as if all had been compared", () => {
    fc.assert(
      fc.property(situation, ({ rows: given, taken, quantity, spread, random }) => {
        const section = plan(given);
        const map = mapOf(section, taken);
        const badness = (start: number) => {
          const { row, number } = nameSeat({ section, index: start });
          const rank = section.rows.findIndex(({ label }) => label === row);
          const middle = 1 + ((section.rows[rank]?.positions ?? 0) - 1) / 2;
          return rank + Math.abs(number + (quantity - 1) / 2 - middle) / 4;
        };
        const chosen = chooseAdjacent({ section, map, quantity, spread, random: () => random });
        const ranked = allChoices(section, map, quantity)
          .map(badness)
          .sort((a, b) => a - b);
        if (chosen)
          expect(badness(chosen.start)).toBeLessThanOrEqual(ranked[Math.min(spread, ranked.length) - 1] ?? -1);
      }),
    );
  });

  test("are in the middle of the front row when all are free and no crowd is there", () => {
    const section = plan([{ seatCount: 11 }, { seatCount: 11 }]);
    const map = new Uint8Array(mapBytes(22));
    expect(chooseAdjacent({ section, map, quantity: 3, spread: 1, random: () => 0.9 })?.start).toBe(4);
  });

  test("differ from one buyer to the next", () => {
    const section = plan([{ seatCount: 20 }, { seatCount: 20 }]);
    const map = new Uint8Array(mapBytes(40));
    const starts = [0, 0.3, 0.6, 0.9].map(
      (random) => chooseAdjacent({ section, map, quantity: 2, spread: 16, random: () => random })?.start,
    );
    expect(new Set(starts).size).toBe(4);
  });
});
