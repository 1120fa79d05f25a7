import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Layout, nameSeat, planLayout, type Run, runsOf, type SectionPlan, seatsOf } from "../hall/layout.js";
import { mapBytes, type SeatState, setState, stateAt } from "../hall/seat-map.js";
import { chooseBest, describeLeftover } from "./best-available.js";
import { createBoards, openBoard } from "./board.js";
import type { BestChoice } from "./choice.js";
import { orphansOfPick } from "./orphans.js";

interface RowIn {
  readonly seatCount: number;
  readonly gaps?: readonly number[];
  readonly accessible?: readonly number[];
  readonly companion?: readonly number[];
}

function plan(sections: readonly (readonly RowIn[])[], focal: { row: string; seat: number } | undefined = undefined) {
  return planLayout(
    "v",
    sections.map((rows, nr) => ({
      sectionId: `S${nr}`,
      name: "",
      tierId: "t",
      generalAdmission: false,
      capacity: 0,
      focalRow: focal?.row ?? "",
      focalSeat: focal?.seat ?? 0,
      rows: rows.map(({ seatCount, gaps = [], accessible = [], companion = [] }, at) => ({
        label: `R${at}`,
        firstSeat: 1,
        seatCount,
        gaps: [...gaps],
        blocked: [],
        accessible: accessible.filter((number) => !gaps.includes(number)),
        companion: companion.filter((number) => !gaps.includes(number) && !accessible.includes(number)),
      })),
    })),
  );
}

type Maps = Map<SectionPlan, Uint8Array>;

/** A seat is taken where the list says so; it begins anew when it is over. */
function mapsOf({ sections }: Layout, taken: readonly boolean[]): Maps {
  let nth = 0;
  return new Map(
    sections.map((section) => {
      const map = new Uint8Array(mapBytes(section.seats));
      for (let at = 0; at < section.seats; at++, nth++)
        setState(map, at, (taken[nth % taken.length] ? 1 + (nth % 3) : 0) as SeatState);
      return [section, map];
    }),
  );
}

const emptyMaps = (layout: Layout) => mapsOf(layout, [false]);

const asked = (layout: Layout, choice: Partial<BestChoice>): BestChoice => ({
  sections: layout.sections,
  quantity: 1,
  accessible: 0,
  companions: 0,
  reserved: true,
  split: false,
  orphans: "lenient",
  spread: 1,
  random: () => 0,
  ...choice,
});

const names = (runs: readonly Run[] | undefined) => runs && seatsOf(runs).map((seat) => nameSeat(seat).seatId);

// ---- the slow, obvious way

interface Place {
  readonly section: SectionPlan;
  readonly start: number;
  readonly badness: number;
  readonly orphans: number;
}

const isOrdinary = ({ accessible, companion }: SectionPlan, index: number) =>
  !accessible.has(index) && !companion.has(index);

/** The number of the seat if it is in this row, free and for everyone. */
function freeNumbers(section: SectionPlan, map: Uint8Array, label: string): Map<number, number> {
  const numbers = new Map<number, number>();
  for (let index = 0; index < section.seats; index++) {
    const { row, number } = nameSeat({ section, index });
    if (row === label && stateAt(map, index) === 0 && isOrdinary(section, index)) numbers.set(number, index);
  }
  return numbers;
}

/** Each way to have so many seats side by side. The focal point is the middle of the first row. */
function allPlaces(maps: Maps, quantity: number): Place[] {
  return [...maps].flatMap(([section, map]) =>
    section.rows.flatMap(({ label, positions }, rank) => {
      const free = freeNumbers(section, map, label);
      const single = (number: number) => free.has(number) && !free.has(number - 1) && !free.has(number + 1);
      return [...free.keys()].flatMap((first) => {
        const wanted = Array.from({ length: quantity }, (_, at) => first + at);
        if (!wanted.every((number) => free.has(number))) return [];
        const before = [...free.keys()].filter(single).length;
        const after = new Map([...free].filter(([number]) => !wanted.includes(number)));
        const singles = [...after.keys()].filter((number) => !after.has(number - 1) && !after.has(number + 1));
        const aside = Math.abs(first + (quantity - 1) / 2 - (1 + positions) / 2);
        const orphans = singles.length - before + wanted.filter(single).length;
        return [{ section, start: free.get(first) ?? -1, badness: rank + aside / 4, orphans }];
      });
    }),
  );
}

const rowIn = fc
  .record({
    seatCount: fc.integer({ min: 2, max: 20 }),
    gap: fc.integer({ min: 1, max: 20 }),
    rooms: fc.uniqueArray(fc.integer({ min: 1, max: 20 }), { maxLength: 2 }),
    companions: fc.uniqueArray(fc.integer({ min: 1, max: 20 }), { maxLength: 3 }),
  })
  .map(({ seatCount, gap, rooms, companions }) => ({
    seatCount,
    gaps: gap <= seatCount ? [gap] : [],
    accessible: rooms.filter((number) => number <= seatCount),
    companion: companions.filter((number) => number <= seatCount),
  }));
const situation = fc.record({
  layout: fc
    .array(fc.array(rowIn, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 3 })
    .map((rows) => plan(rows)),
  taken: fc.oneof(
    fc.array(fc.boolean(), { minLength: 61, maxLength: 131 }),
    fc.array(
      fc.integer({ min: 0, max: 9 }).map((n) => n > 0),
      { minLength: 61, maxLength: 131 },
    ), // nearly full
    fc.array(
      fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
      { minLength: 61, maxLength: 131 },
    ), // nearly empty
  ),
  quantity: fc.integer({ min: 1, max: 6 }),
  spread: fc.integer({ min: 1, max: 40 }),
  random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
});

function expectFree(maps: Maps, runs: readonly Run[]): void {
  const seats = seatsOf(runs);
  expect(new Set(names(runs)).size).toBe(seats.length);
  for (const { section, index } of seats) expect(stateAt(maps.get(section) as Uint8Array, index)).toBe(0);
}

describe("the chosen seats", () => {
  test("are free, for everyone, side by side, and found whenever there are any; an orphan is left only if it must be", () => {
    fc.assert(
      fc.property(situation, ({ layout, taken, quantity, spread, random }) => {
        const maps = mapsOf(layout, taken);
        const places = allPlaces(maps, quantity);
        const runs = chooseBest(openBoard(maps), asked(layout, { quantity, spread, random: () => random }));
        if (!runs) return void expect(places).toEqual([]);
        expect(runs).toHaveLength(1);
        expectFree(maps, runs);
        const chosen = places.find(({ section, start }) => section === runs[0]?.section && start === runs[0].start);
        expect(chosen).toBeDefined();
        expect(runs[0]?.length).toBe(quantity);
        const clean = places.filter(({ orphans }) => orphans <= 0);
        if (clean.length > 0) expect(chosen?.orphans).toBeLessThanOrEqual(0);
        const ranked = (clean.length > 0 ? clean : places).map(({ badness }) => badness).sort((a, b) => a - b);
        expect(chosen?.badness).toBeLessThanOrEqual(ranked[Math.min(spread, ranked.length) - 1] ?? -1);
      }),
      { numRuns: 300 },
    );
  });

  test("are the very best when no crowd is there, whatever the rule about orphans", () => {
    fc.assert(
      fc.property(
        situation,
        fc.constantFrom("strict" as const, "lenient" as const, "off" as const),
        (given, orphans) => {
          const { layout, taken, quantity, random } = given;
          const maps = mapsOf(layout, taken);
          const places = allPlaces(maps, quantity);
          const clean = orphans === "off" ? [] : places.filter((place) => place.orphans <= 0);
          const best = Math.min(...(clean.length > 0 ? clean : places).map(({ badness }) => badness));
          const runs = chooseBest(openBoard(maps), asked(layout, { quantity, orphans, random: () => random }));
          const chosen = places.find(({ section, start }) => section === runs?.[0]?.section && start === runs[0].start);
          expect(chosen?.badness ?? Number.POSITIVE_INFINITY).toBe(best);
        },
      ),
      { numRuns: 200 },
    );
  });

  test("are in the middle of the front row, or at the section's own focal point", () => {
    const eleven = [{ seatCount: 11 }, { seatCount: 11 }, { seatCount: 13 }];
    const middle = plan([eleven]);
    expect(names(chooseBest(openBoard(emptyMaps(middle)), asked(middle, { quantity: 3 })))).toEqual([
      "S0-R0-5",
      "S0-R0-6",
      "S0-R0-7",
    ]);
    const aside = plan([eleven], { row: "R1", seat: 1 });
    expect(names(chooseBest(openBoard(emptyMaps(aside)), asked(aside, { quantity: 2 })))).toEqual([
      "S0-R1-1",
      "S0-R1-2",
    ]);
    const behind = plan([eleven], { row: "R2", seat: 7 });
    expect(names(chooseBest(openBoard(emptyMaps(behind)), asked(behind, { quantity: 1 })))).toEqual(["S0-R2-7"]);
  });

  test("leave no orphan, though that is further from the middle; and do when it can't be helped, or does not matter", () => {
    const layout = plan([[{ seatCount: 4 }, { seatCount: 4 }]]);
    const choose = (maps: Maps, choice: Partial<BestChoice>) =>
      names(chooseBest(openBoard(maps), asked(layout, { quantity: 2, ...choice })));
    // In the middle of four, two leave an orphan on each side.
    expect(choose(emptyMaps(layout), { orphans: "off" })).toEqual(["S0-R0-2", "S0-R0-3"]);
    expect(choose(emptyMaps(layout), { random: () => 0.9 })).toEqual(["S0-R0-3", "S0-R0-4"]);
    // Three are free in the front: a pair leaves one. Behind, two.
    const three = mapsOf(layout, [true, false, false, false, true, false, false, true]);
    expect(choose(three, {})).toEqual(["S0-R1-2", "S0-R1-3"]);
    const only = mapsOf(layout, [true, false, false, false, true, true, true, true]);
    expect(choose(only, { orphans: "strict" })).toHaveLength(2);
  });

  test("are spread over all sections when their best places are as good as each other", () => {
    const layout = plan(Array.from({ length: 64 }, () => [{ seatCount: 20 }, { seatCount: 20 }]));
    const board = openBoard(emptyMaps(layout));
    let seed = 7;
    const random = () => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return seed / 2_147_483_648;
    };
    for (const spread of [1, 8, 256]) {
      const times = new Map<string, number>();
      for (let buyer = 0; buyer < 3_200; buyer++) {
        const [run] = chooseBest(board, asked(layout, { quantity: 2, spread, random })) ?? [];
        if (!run) throw new Error("all seats are free");
        if (spread < 256 && run.start >= 20) throw new Error("the front rows are free");
        times.set(run.section.sectionId, (times.get(run.section.sectionId) ?? 0) + 1);
      }
      expect(times.size).toBe(64);
      for (const count of times.values()) expect(count).toBeLessThan(120); // 50 each, but for chance
    }
  });

  test("come from the sections asked for only", () => {
    const layout = plan([[{ seatCount: 10 }], [{ seatCount: 10 }], [{ seatCount: 10 }]]);
    const [, second] = layout.sections;
    const board = openBoard(emptyMaps(layout));
    const choice = asked(layout, { quantity: 4, sections: second ? [second] : [] });
    expect(chooseBest(board, choice)?.[0]?.section).toBe(second);
    expect(chooseBest(board, { ...choice, sections: [] })).toBeUndefined();
  });
});

describe("groups", () => {
  test("are as large as there are, in as few as that makes, in one section where one has enough; and only if allowed", () => {
    fc.assert(
      fc.property(situation, ({ layout, taken, quantity, spread, random }) => {
        const maps = mapsOf(layout, taken);
        const choice = asked(layout, { quantity, spread, random: () => random });
        const board = openBoard(maps);
        const whole = chooseBest(board, choice);
        const runs = chooseBest(board, { ...choice, split: true });
        if (whole) return void expect(runs).toEqual(whole);
        const freeIn = (section: SectionPlan) =>
          section.rows.reduce(
            (sum, { label }) => sum + freeNumbers(section, maps.get(section) as Uint8Array, label).size,
            0,
          );
        const all = layout.sections.reduce((sum, section) => sum + freeIn(section), 0);
        if (!runs || quantity === 1) return void expect(all < quantity || quantity === 1).toBe(true);
        expectFree(maps, runs);
        const seats = seatsOf(runs);
        expect(seats).toHaveLength(quantity);
        expect(runsOf(layout, seats)).toEqual(runs);
        for (const { section, index } of seats) expect(isOrdinary(section, index)).toBe(true);

        // Groups end where rows do, though places go on.
        const groups: { row: string; last: number; size: number }[] = [];
        for (const seat of seats) {
          const { row, number } = nameSeat(seat);
          const key = `${seat.section.sectionId} ${row}`;
          const before = groups.at(-1);
          if (before && before.row === key && before.last + 1 === number) {
            before.last = number;
            before.size += 1;
          } else groups.push({ row: key, last: number, size: 1 });
        }
        const where = new Set(seats.map(({ section }) => section));
        const enough = layout.sections.some((section) => freeIn(section) >= quantity);
        if (enough) expect(where.size).toBe(1);
        const pool = enough ? layout.sections.filter((section) => freeIn(section) >= quantity) : layout.sections;
        const largestOf = (sections: readonly SectionPlan[]) => {
          const some: Maps = new Map(sections.map((section) => [section, maps.get(section) as Uint8Array]));
          for (let size = quantity; size > 0; size--) if (allPlaces(some, size).length > 0) return size;
          return 0;
        };
        expect(Math.max(...groups.map(({ size }) => size))).toBe(largestOf(pool));
      }),
      { numRuns: 200 },
    );
  });

  test("are in neighbouring rows rather than far apart", () => {
    const layout = plan([[{ seatCount: 2 }, { seatCount: 3 }, { seatCount: 2 }, { seatCount: 1 }, { seatCount: 2 }]]);
    const board = openBoard(emptyMaps(layout));
    const runs = chooseBest(board, asked(layout, { quantity: 5, split: true }));
    expect(names(runs)).toEqual(["S0-R0-1", "S0-R0-2", "S0-R1-1", "S0-R1-2", "S0-R1-3"]);
    expect(describeLeftover(board, asked(layout, {}))).toEqual({ free: 10, largestGroup: 3, accessibleFree: 0 });
  });

  test("go over several sections when none has enough", () => {
    const layout = plan([[{ seatCount: 3 }], [{ seatCount: 2 }], [{ seatCount: 2 }]]);
    const choice = asked(layout, { quantity: 6 });
    expect(chooseBest(openBoard(emptyMaps(layout)), choice)).toBeUndefined();
    expect(chooseBest(openBoard(emptyMaps(layout)), { ...choice, split: true })).toHaveLength(3);
    expect(chooseBest(openBoard(emptyMaps(layout)), { ...choice, split: true, quantity: 8 })).toBeUndefined();
  });
});

describe("accessible seats", () => {
  // Row R1: an accessible seat with two companions', alone at one side; two accessible ones at the other.
  const layout = plan([
    [{ seatCount: 12 }, { seatCount: 12, accessible: [2, 9, 12], companion: [3, 4, 10] }],
    [{ seatCount: 12 }],
  ]);
  const choose = (choice: Partial<BestChoice>, taken: readonly string[] = []) => {
    const maps = emptyMaps(layout);
    for (const seatId of taken)
      for (const [section, map] of maps)
        for (let index = 0; index < section.seats; index++)
          if (nameSeat({ section, index }).seatId === seatId) setState(map, index, 2);
    return names(chooseBest(openBoard(maps), asked(layout, choice)));
  };

  test("come with as many companions' seats as asked for, beside them", () => {
    expect(choose({ quantity: 1, accessible: 1 })).toEqual(["S0-R1-9"]);
    expect(choose({ quantity: 3, accessible: 1, companions: 2 })).toEqual(["S0-R1-2", "S0-R1-3", "S0-R1-4"]);
    expect(choose({ quantity: 2, accessible: 1, companions: 1 }, ["S0-R1-8"])).toEqual(["S0-R1-9", "S0-R1-10"]);
    // Nobody but a companion gets a companion's seat, and nobody gets an accessible one too many.
    expect(choose({ quantity: 2, accessible: 1 })).toEqual(["S0-R1-8", "S0-R1-9"]);
    expect(choose({ quantity: 3, accessible: 2, companions: 1 })).toBeUndefined();
    // Three, where there are only two companions' seats: the third sits on an ordinary one.
    expect(choose({ quantity: 4, accessible: 1, companions: 3 })?.filter((name) => /-[234]$/.test(name))).toHaveLength(
      3,
    );
    expect(choose({ quantity: 1, accessible: 1 }, ["S0-R1-2", "S0-R1-9", "S0-R1-12"])).toBeUndefined();
  });

  test("may be apart when the party may be split, each with its companions", () => {
    const runs = choose({ quantity: 5, accessible: 2, companions: 2, split: true });
    expect(runs).toHaveLength(5);
    expect(runs?.filter((name) => ["S0-R1-2", "S0-R1-9", "S0-R1-12"].includes(name))).toHaveLength(2);
    expect(choose({ quantity: 4, accessible: 4, split: true })).toBeUndefined();
  });

  test("are for nobody else while they are kept, and for all afterwards", () => {
    fc.assert(
      fc.property(situation, fc.boolean(), ({ layout: other, taken, quantity, spread, random }, split) => {
        const maps = mapsOf(other, taken);
        const choice = asked(other, { quantity, spread, split, random: () => random });
        for (const { section, index } of seatsOf(chooseBest(openBoard(maps), choice) ?? []))
          expect(isOrdinary(section, index)).toBe(true);
      }),
      { numRuns: 100 },
    );
    const front = Array.from({ length: 12 }, (_, at) => [`S0-R0-${at + 1}`, `S1-R0-${at + 1}`]).flat();
    expect(choose({ quantity: 4, sections: layout.sections.slice(0, 1) }, front)).toEqual(
      ["5", "6", "7", "8"].map((number) => `S0-R1-${number}`),
    );
    expect(choose({ quantity: 12 }, front)).toBeUndefined();
    expect(choose({ quantity: 12, reserved: false }, front)).toHaveLength(12);
  });

  test("are given with exactly so many, free, in one row, whatever is taken", () => {
    fc.assert(
      fc.property(situation, fc.nat(2), ({ layout: other, taken, quantity, spread, random }, companions) => {
        const maps = mapsOf(other, taken);
        const choice = asked(other, {
          quantity,
          accessible: 1,
          companions: Math.min(companions, quantity - 1),
          spread,
        });
        const runs = chooseBest(openBoard(maps), { ...choice, random: () => random });
        if (!runs) return;
        expectFree(maps, runs);
        const seats = seatsOf(runs);
        expect(seats).toHaveLength(quantity);
        expect(new Set(seats.map((seat) => nameSeat(seat).row)).size).toBe(1);
        expect(seats.filter(({ section, index }) => section.accessible.has(index))).toHaveLength(1);
        expect(seats.filter(({ section, index }) => section.companion.has(index)).length).toBeLessThanOrEqual(
          choice.companions,
        );
      }),
      { numRuns: 200 },
    );
  });
});

describe("seats picked by hand", () => {
  const layout = plan([
    [
      { seatCount: 8, gaps: [5] },
      { seatCount: 8, accessible: [4] },
    ],
  ]);
  const [section] = layout.sections;
  if (!section) throw new Error("there is a section");
  const pick = (seatIds: readonly string[], taken: readonly string[] = []) => {
    const map = new Uint8Array(mapBytes(section.seats));
    const indexOf = (seatId: string) =>
      Array.from({ length: section.seats }, (_, index) => index).find(
        (index) => nameSeat({ section, index }).seatId === seatId,
      ) ?? -1;
    for (const seatId of taken) setState(map, indexOf(seatId), 1);
    const seats = seatIds.map((seatId) => ({ section, index: indexOf(seatId) }));
    const found = orphansOfPick(openBoard(new Map([[section, map]])), seats, { reserved: true });
    return (
      found && {
        orphans: found.orphans.map((seat) => nameSeat(seat).seatId),
        instead: found.instead.map((seat) => nameSeat(seat).seatId),
      }
    );
  };
  const r0 = (...numbers: number[]) => numbers.map((number) => `S0-R0-${number}`);
  const r1 = (...numbers: number[]) => numbers.map((number) => `S0-R1-${number}`);

  test("leave an orphan at a row's end, an aisle, or between taken ones, and there is another way", () => {
    expect(pick(r0(2, 3))).toEqual({ orphans: r0(1, 4), instead: expect.any(Array) });
    expect(pick(r0(2, 3))?.instead).toEqual(r0(1, 2));
    expect(pick(r0(3))).toEqual({ orphans: r0(4), instead: r0(4) });
    expect(pick(r1(7))).toEqual({ orphans: r1(8), instead: r1(8) });
    expect(pick(r1(2, 7))).toEqual({ orphans: r1(1, 3, 8), instead: expect.any(Array) });
    // With others that are picked well: these stay.
    expect(pick([...r0(1, 2), ...r1(6)])).toEqual({
      orphans: r1(5),
      instead: expect.arrayContaining([...r0(1, 2), ...r1(5)]),
    });
  });

  test("leave none, or one that can't be helped, or are not all free", () => {
    expect(pick(r0(1, 2))).toBeUndefined();
    expect(pick(r0(1, 2, 3, 4))).toBeUndefined();
    expect(pick(r0(6, 7))).toBeUndefined(); // two of three leave one, whichever they are
    expect(pick(r0(7))).toEqual({ orphans: r0(6, 8), instead: r0(6) });
    expect(pick(r0(2, 3), r0(1, 4))).toBeUndefined();
    expect(pick(r0(2, 3), r0(3))).toBeUndefined();
    expect(pick(r1(4))).toBeUndefined(); // the accessible seat itself
  });

  test("as proposed leave none, and are as many", () => {
    const free = fc.array(fc.boolean(), { minLength: 15, maxLength: 15 });
    fc.assert(
      fc.property(free, fc.uniqueArray(fc.nat(14), { minLength: 1, maxLength: 6 }), (taken, picks) => {
        const names15 = Array.from({ length: section.seats }, (_, index) => nameSeat({ section, index }).seatId);
        const gone = names15.filter((_, at) => taken[at]);
        const wanted = picks.flatMap((at) => names15[at] ?? []);
        const found = pick(wanted, gone);
        if (!found) return;
        expect(new Set(found.instead).size).toBe(wanted.length);
        for (const seatId of found.instead) expect(gone).not.toContain(seatId);
        expect(pick(found.instead, gone)).toBeUndefined();
      }),
      { numRuns: 300 },
    );
  });
});

describe("a board", () => {
  test("forgets what is taken, also on the next map, until it is settled", () => {
    const layout = plan([[{ seatCount: 4 }]]);
    const boards = createBoards();
    const first = emptyMaps(layout);
    const choice = asked(layout, { quantity: 2, random: () => 0.5 });
    const choose = (maps: Maps) => chooseBest(boards.of("e", maps), choice);
    const [a, b] = [choose(first), undefined as Run[] | undefined];
    const settleA = boards.take("e", a ?? []);
    const other = choose(first) ?? b ?? [];
    expect(new Set([...(names(a) ?? []), ...(names(other) ?? [])]).size).toBe(4);
    const settleB = boards.take("e", other);
    expect(choose(first)).toBeUndefined();
    const second = emptyMaps(layout);
    expect(choose(second)).toBeUndefined();
    settleA([]); // refused: they are free again
    expect(names(choose(second))).toEqual(names(a));
    settleB(other.slice(0, 1));
    expect(names(choose(second))).toEqual(names(a));
    expect(choose(emptyMaps(layout))).toBeDefined();
  });

  test("that much has happened to chooses as a new one with the same free seats", () => {
    const step = fc.record({
      giveBack: fc.boolean(),
      section: fc.nat(2),
      start: fc.nat(100),
      length: fc.integer({ min: 1, max: 8 }),
      choice: fc.record({
        quantity: fc.integer({ min: 1, max: 5 }),
        accessible: fc.nat(1),
        reserved: fc.boolean(),
        split: fc.boolean(),
        spread: fc.integer({ min: 1, max: 9 }),
      }),
    });
    fc.assert(
      fc.property(situation, fc.array(step, { minLength: 1, maxLength: 12 }), ({ layout, taken, random }, steps) => {
        const maps = mapsOf(layout, taken);
        const board = openBoard(maps);
        const now: Maps = new Map([...maps].map(([section, map]) => [section, map.slice()]));
        for (const { giveBack, section: nth, start, length, choice } of steps) {
          const section = layout.sections[nth % layout.sections.length] as SectionPlan;
          const from = start % section.seats;
          const run = { section, start: from, length: Math.min(length, section.seats - from) };
          if (giveBack) board.giveBack([run]);
          else board.take([run]);
          for (let index = from; index < from + run.length; index++)
            setState(
              now.get(section) as Uint8Array,
              index,
              giveBack ? stateAt(maps.get(section) as Uint8Array, index) : 2,
            );
          const wish = asked(layout, { ...choice, random: () => random });
          const fresh = openBoard(now);
          expect(names(chooseBest(board, wish))).toEqual(names(chooseBest(fresh, wish)));
          expect(describeLeftover(board, wish)).toEqual(describeLeftover(fresh, wish));
        }
      }),
      { numRuns: 150 },
    );
  });

  test("counts what is left as a list of all seats would", () => {
    fc.assert(
      fc.property(situation, ({ layout, taken, quantity }) => {
        const maps = mapsOf(layout, taken);
        const board = openBoard(maps);
        const left = describeLeftover(board, asked(layout, {}));
        expect(left.free).toBe(allPlaces(maps, 1).length);
        expect(allPlaces(maps, left.largestGroup + 1)).toEqual([]);
        if (left.largestGroup > 0) expect(allPlaces(maps, left.largestGroup)).not.toEqual([]);
        // What was learnt in vain does not outlast a seat that is given back.
        const runs = chooseBest(board, asked(layout, { quantity })) ?? [];
        board.take(runs);
        describeLeftover(board, asked(layout, {}));
        board.giveBack(runs);
        expect(describeLeftover(board, asked(layout, {}))).toEqual(left);
      }),
      { numRuns: 100 },
    );
  });
});
