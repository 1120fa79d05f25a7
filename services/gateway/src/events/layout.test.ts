// Tests of layouts: labels, equal rows, gaps, and what is refused.
import { DomainError } from "@onsale/kit/errors";
import fc from "fast-check";
import { expect, test } from "vitest";
import { expandLayout, rowLabel, seatsIn, shownRow } from "./layout.js";

test("rows are labelled as columns of a spreadsheet are", () => {
  expect([0, 1, 25, 26, 27, 51, 52, 701, 702].map(rowLabel)).toEqual([
    "A",
    "B",
    "Z",
    "AA",
    "AB",
    "AZ",
    "BA",
    "ZZ",
    "AAA",
  ]);
});

test("labels never repeat, and sort by length and letters as their rows do", () => {
  const labels = Array.from({ length: 2000 }, (_, index) => rowLabel(index));
  expect(new Set(labels).size).toBe(2000);
  expect([...labels].sort((a, b) => a.length - b.length || (a < b ? -1 : 1))).toEqual(labels);
});

const head = { id: "A", name: "Stalls", tier: "standard" };

test("equal rows: gaps in each of them, blocked seats where they are", () => {
  const [section] = expandLayout([
    {
      ...head,
      rows: {
        count: 3,
        seats: 5,
        gaps: [3],
        blocked: ["A-1", "C-5"],
        accessible: ["B-4"],
        companion: ["B-5"],
      },
    },
  ]);
  expect(section).toEqual({
    sectionId: "A",
    name: "Stalls",
    tierId: "standard",
    generalAdmission: false,
    capacity: 12,
    focalRow: "",
    focalSeat: 0,
    rows: [
      { label: "A", firstSeat: 1, seatCount: 5, gaps: [3], blocked: [1], accessible: [], companion: [] },
      { label: "B", firstSeat: 1, seatCount: 5, gaps: [3], blocked: [], accessible: [4], companion: [5] },
      { label: "C", firstSeat: 1, seatCount: 5, gaps: [3], blocked: [5], accessible: [], companion: [] },
    ],
  });
});

test("rows as they are named, and general admission", () => {
  expect(
    expandLayout([
      {
        ...head,
        focalPoint: { row: "K1", seat: 102 },
        rows: [{ label: "K1", seats: 4, first: 101, blocked: [102], accessible: [103] }],
      },
      { ...head, id: "GA", capacity: 500 },
    ]),
  ).toMatchObject([
    {
      rows: [{ label: "K1", firstSeat: 101, seatCount: 4, gaps: [], blocked: [102], accessible: [103], companion: [] }],
      focalRow: "K1",
      focalSeat: 102,
      capacity: 4,
      generalAdmission: false,
    },
    { sectionId: "GA", rows: [], capacity: 500, generalAdmission: true },
  ]);
});

test("a blocked seat in a row that is not there, and a house that is too large, are refused", () => {
  expect(() => expandLayout([{ ...head, rows: { count: 2, seats: 5, blocked: ["C-1"] } }])).toThrow(DomainError);
  expect(() => expandLayout([{ ...head, rows: { count: 601, seats: 100 } }])).toThrow("60000");
  expect(expandLayout([{ ...head, rows: { count: 600, seats: 100 } }])[0]?.capacity).toBe(60_000);
});

test("a section has as many seats as its rows have positions, less the gaps", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 1, max: 50 }),
      fc.uniqueArray(fc.integer({ min: 1, max: 50 })),
      (count, seats, gaps) => {
        const inside = gaps.filter((gap) => gap <= seats);
        const [section] = expandLayout([{ ...head, rows: { count, seats, gaps: inside } }]);
        expect(section?.capacity).toBe(count * (seats - inside.length));
      },
    ),
    { numRuns: 50 },
  );
});

test("a row on the map leaves out what it does not have", () => {
  expect(
    shownRow({ label: "A", firstSeat: 1, seatCount: 9, gaps: [], blocked: [], accessible: [], companion: [] }),
  ).toEqual({
    label: "A",
    first: 1,
    count: 9,
  });
  expect(seatsIn({ seatCount: 9, gaps: [3, 3, 4] })).toBe(7);
});
