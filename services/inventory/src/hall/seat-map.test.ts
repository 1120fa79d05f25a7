import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { planLayout } from "./layout.js";
import {
  countStates,
  drawSection,
  joinMaps,
  mapBytes,
  readEntries,
  readRecord,
  type SeatState,
  setState,
  stateAt,
  writeEntry,
  writeRecord,
} from "./seat-map.js";

const states = fc.array(fc.integer({ min: 0, max: 3 }) as fc.Arbitrary<SeatState>, { maxLength: 70 });

function pack(list: readonly SeatState[]): Uint8Array {
  const map = new Uint8Array(mapBytes(list.length));
  for (const [at, state] of list.entries()) setState(map, at, state);
  return map;
}

describe("a map", () => {
  test("has the first seat in the lowest bits", () => {
    expect([...pack([1, 2, 3, 0, 1])]).toEqual([0b00_11_10_01, 0b01]);
    expect(mapBytes(60_000)).toBe(15_000);
  });

  test("gives back what was put in, and counts it", () => {
    fc.assert(
      fc.property(states, (list) => {
        const map = pack(list);
        expect(list.map((_, at) => stateAt(map, at))).toEqual(list);
        const count = (state: SeatState) => list.filter((one) => one === state).length;
        expect(countStates(map, list.length)).toEqual({
          free: count(0),
          held: count(1),
          sold: count(2),
          blocked: count(3),
        });
      }),
    );
  });

  test("joined to others has all seats in order, without padding", () => {
    fc.assert(
      fc.property(fc.array(states, { maxLength: 6 }), (lists) => {
        const joined = joinMaps(lists.map((list) => ({ map: pack(list), seats: list.length })));
        const all = lists.flat();
        expect(joined.length).toBe(mapBytes(all.length));
        expect(all.map((_, at) => stateAt(joined, at))).toEqual(all);
      }),
    );
  });
});

test("a record gives back what was put in", () => {
  const record = fc.record({
    state: fc.integer({ min: 0, max: 3 }) as fc.Arbitrary<SeatState>,
    pool: fc.integer({ min: 0, max: 250 }),
    expiresAtMs: fc.integer({ min: 0, max: 2 ** 47 }),
    holdId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((id) => id.toString(16).padStart(16, "0")),
  });
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 5 }), (records) => {
      const bytes = Buffer.alloc(records.length * 16);
      for (const [at, one] of records.entries()) writeRecord(bytes, at, one);
      expect(records.map((_, at) => readRecord(bytes, at))).toEqual(records);
    }),
  );
});

describe("a section as it begins", () => {
  const draw = (generalAdmission: boolean, sold: number[], aside?: Parameters<typeof drawSection>[2]) => {
    const rows = [{ label: "A", firstSeat: 1, seatCount: 9, gaps: [4], blocked: [2], accessible: [], companion: [] }];
    const plan = planLayout("v", [
      {
        sectionId: "S",
        name: "",
        tierId: "t",
        generalAdmission,
        capacity: 8,
        rows: generalAdmission ? [] : rows,
        focalRow: "",
        focalSeat: 0,
      },
    ]).sections[0];
    if (!plan) throw new Error("there is one section");
    return drawSection(
      plan,
      sold.map((index) => ({ index, holdId: "00000000000000ab" })),
      aside,
    );
  };

  test("has its blocked and sold seats in map and records", () => {
    const { map, records } = draw(false, [5]);
    expect(Array.from({ length: 8 }, (_, at) => stateAt(map, at))).toEqual([0, 3, 0, 0, 0, 2, 0, 0]);
    expect(readRecord(records, 1)).toEqual({ state: 3, pool: 0, expiresAtMs: 0, holdId: "0".repeat(16) });
    expect(readRecord(records, 5)).toEqual({ state: 2, pool: 0, expiresAtMs: 0, holdId: "00000000000000ab" });
    expect(readRecord(records, 0)).toEqual({ state: 0, pool: 0, expiresAtMs: 0, holdId: "0".repeat(16) });
  });

  test("has the seats of blocks and channels: not free for everybody, and still whose they are", () => {
    const aside = {
      blocked: [{ index: 0, holdId: "00000000000000cd" }],
      pools: Uint8Array.from([7, 7, 0, 7, 0, 7, 0, 0]),
    };
    const { map, records } = draw(false, [5], aside);
    expect(Array.from({ length: 8 }, (_, at) => stateAt(map, at))).toEqual([3, 3, 0, 3, 0, 2, 0, 0]);
    expect(readRecord(records, 0)).toEqual({ state: 3, pool: 7, expiresAtMs: 0, holdId: "00000000000000cd" });
    expect(readRecord(records, 1)).toEqual({ state: 3, pool: 7, expiresAtMs: 0, holdId: "0".repeat(16) });
    expect(readRecord(records, 3)).toEqual({ state: 0, pool: 7, expiresAtMs: 0, holdId: "0".repeat(16) });
    expect(readRecord(records, 5)).toEqual({ state: 2, pool: 7, expiresAtMs: 0, holdId: "00000000000000ab" });
    expect(draw(true, [4], { ...aside, blocked: [] })).toMatchObject({
      nextPlace: 5,
      returnedPlaces: [2],
      pooledPlaces: new Map([[7, [0, 1, 3, 5]]]),
    });
  });

  test("in general admission goes on after the last sold place, and has the free ones before it", () => {
    expect(draw(true, [1, 4])).toMatchObject({ nextPlace: 5, returnedPlaces: [0, 2, 3] });
    expect(draw(true, [])).toMatchObject({ nextPlace: 0, returnedPlaces: [] });
  });
});

test("what a person has is read as it was written, one entry behind the other", () => {
  const entry = fc.record({
    holdId: fc.stringMatching(/^[0-9a-f]{16}$/),
    seats: fc.integer({ min: 1, max: 100 }),
    deadlineMs: fc.nat(2 ** 45),
    expiresAtMs: fc.nat(2 ** 45),
    codeId: fc.option(fc.stringMatching(/^[0-9a-f]{16}$/), { nil: undefined }),
    runs: fc.stringMatching(/^~?[A-Z0-9]{1,12}:\d{1,5}:\d{1,3}$/),
  });
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 5 }), (entries) => {
      expect(readEntries(Buffer.concat(entries.map(writeEntry)))).toEqual(entries);
    }),
  );
});
