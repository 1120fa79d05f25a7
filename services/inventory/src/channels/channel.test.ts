import { randomBytes } from "node:crypto";
import type { Section } from "@onsale/proto/inventory/v1/catalog";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { EventRecord } from "../events/events.js";
import { planLayout, type SectionPlan } from "../hall/layout.js";
import {
  allottedToOthers,
  type Channel,
  type ChannelWish,
  choosePlaces,
  codeIdOf,
  codesInCommon,
  hasCode,
  hashCode,
  packCodes,
  placesOf,
  plainCode,
  poolsOf,
  problemsOfChannel,
  refitChannels,
  seatIdsOf,
} from "./channel.js";

const row = { label: "A", firstSeat: 1, seatCount: 10, gaps: [5], blocked: [1], accessible: [], companion: [] };
const hall: Section = {
  sectionId: "A",
  name: "Hall",
  tierId: "t",
  rows: [row],
  generalAdmission: false,
  capacity: 0,
  focalRow: "",
  focalSeat: 0,
};
const layout = planLayout("v", [hall, { ...hall, sectionId: "FLOOR", rows: [], generalAdmission: true, capacity: 20 }]);
const floor = layout.sectionById.get("FLOOR") as SectionPlan;
const event = {
  eventId: "evt_1",
  capacity: 29,
  seatsPerPerson: 8,
  startsAtMs: Date.UTC(2030, 0, 1),
  offSaleAtMs: 0,
} as EventRecord;

const wish: ChannelWish = {
  channelId: "fans",
  name: "Fan club",
  codes: ["ANCHOR-1"],
  opensAtMs: Date.UTC(2029, 0, 1),
  closesAtMs: Date.UTC(2029, 0, 2),
  seatsPerPerson: 0,
  seatsPerCode: 0,
  seatIds: ["A-A-2"],
  places: [{ sectionId: "FLOOR", quantity: 5 }],
};
const channel = (channelId: string, pool: number, runs: string, ended = false): Channel => ({
  ...wish,
  channelId,
  pool,
  runs,
  codesId: channelId,
  codeCount: 1,
  ended,
  fingerprint: "",
});

describe("a channel", () => {
  test("is sound, with seats or places or both, and all limits or none", () => {
    for (const change of [{}, { seatIds: [] }, { places: [] }, { seatsPerPerson: 8, seatsPerCode: 29 }])
      expect(problemsOfChannel({ ...wish, ...change }, event, layout)).toEqual([]);
  });

  test.each<[Partial<ChannelWish>, string]>([
    [{ channelId: "a b" }, "channel_id"],
    [{ name: "" }, "name"],
    [{ name: "a\nb" }, "name"],
    [{ codes: [] }, "codes"],
    [{ codes: Array.from({ length: 10_001 }, (_, at) => `CODE-${at}`) }, "codes"],
    [{ codes: ["GOOD", " VIP "] }, "codes[1]"],
    [{ codes: ["LONG".repeat(17)] }, "codes[0]"],
    [{ codes: ["AB\u0007CD"] }, "codes[0]"],
    [{ codes: ["AB\ud800CD"] }, "codes[0]"],
    [{ opensAtMs: -1 }, "opens_at_ms"],
    [{ closesAtMs: Number.NaN }, "closes_at_ms"],
    [{ closesAtMs: wish.opensAtMs }, "closes_at_ms"],
    [{ closesAtMs: event.startsAtMs + 1 }, "closes_at_ms"],
    [{ seatsPerPerson: 9 }, "seats_per_person"],
    [{ seatsPerPerson: -1 }, "seats_per_person"],
    [{ seatsPerCode: 0.5 }, "seats_per_code"],
    [{ seatIds: [], places: [] }, "seats"],
    [{ seatIds: ["A-A-2", "A-A-2"] }, "seats"],
    [{ seatIds: ["FLOOR-GA-1"] }, "seats"],
    [{ places: [{ sectionId: "A", quantity: 1 }] }, "places[0].section_id"],
    [{ places: [{ sectionId: "FLOOR", quantity: 21 }] }, "places[0].quantity"],
    [{ places: [{ sectionId: "FLOOR", quantity: 0 }] }, "places[0].quantity"],
    [
      {
        places: [
          { sectionId: "FLOOR", quantity: 1 },
          { sectionId: "FLOOR", quantity: 1 },
        ],
      },
      "places[1].section_id",
    ],
  ])("is not sound with %j", (change, at) => {
    const problems = problemsOfChannel({ ...wish, ...change }, event, layout);
    expect(problems.map((problem) => problem.at)).toContain(at);
    expect(JSON.stringify(problems)).not.toMatch(/VIP|LONG|GOOD/);
  });

  test("has its seats until it ends, and no two have the same", () => {
    const fans = channel("fans", 1, "A:1:2,~FLOOR:15:5");
    const press = channel("press", 2, "A:4:1", true);
    const pools = poolsOf(layout, { channels: [fans, press] });
    expect([...(pools.get(layout.sections[0] as SectionPlan) ?? [])]).toEqual([0, 1, 1, 0, 0, 0, 0, 0, 0]);
    expect([...(pools.get(floor) ?? [])].filter((pool) => pool === 1)).toHaveLength(5);
    expect(allottedToOthers({ channels: [fans, press] }, "new", layout, ["A-A-2", "A-A-3", "A-A-4", "A-A-6"])).toEqual([
      "A-A-2",
      "A-A-3",
    ]);
    expect(allottedToOthers({ channels: [fans] }, "fans", layout, ["A-A-2"])).toEqual([]);
    expect(seatIdsOf(fans, layout)).toEqual(["A-A-2", "A-A-3"]);
    expect(placesOf(fans, layout)).toEqual([{ sectionId: "FLOOR", quantity: 5 }]);
    expect(poolsOf(layout, { channels: [channel("x", 1, "")] }).size).toBe(0);
  });

  const now = Date.UTC(2028, 0, 1);
  const halls = (rows: Section["rows"], capacity: number) =>
    planLayout("w", [
      { ...hall, sectionId: "NEW" },
      { ...hall, rows },
      { ...hall, sectionId: "FLOOR", rows: [], generalAdmission: true, capacity },
    ]);

  test("of an edited draft has the same seats and as many places, wherever they are in the new hall", () => {
    const before = [channel("fans", 1, "A:1:2,~FLOOR:15:5"), channel("press", 2, "A:7:2,~FLOOR:12:3")];
    const to = halls(
      [
        { ...row, label: "B" },
        { ...row, gaps: [4, 6] },
      ],
      8,
    );
    const { channels, misfits } = refitChannels(before, layout, to, event, now);
    expect(misfits).toEqual([]);
    for (const [at, one] of channels.entries()) {
      const old = before[at] as Channel;
      expect(one).toEqual({ ...old, runs: one.runs });
      expect(seatIdsOf(one, to)).toEqual(seatIdsOf(old, layout));
      expect(placesOf(one, to)).toEqual(placesOf(old, layout));
    }
    const floorPools = [...(poolsOf(to, { channels }).get(to.sectionById.get("FLOOR") as SectionPlan) ?? [])];
    expect(floorPools.sort()).toEqual([1, 1, 1, 1, 1, 2, 2, 2]);
  });

  test("of an edited draft is in the way of what it does not fit, unless it is over", () => {
    const fans = { ...channel("fans", 1, "A:0:1,A:8:1,~FLOOR:0:6"), seatsPerPerson: 5, seatsPerCode: 9 };
    const press = channel("press", 2, "~FLOOR:10:4");
    const to = halls([{ ...row, seatCount: 9 }], 8);
    const edited = { ...event, seatsPerPerson: 4, capacity: 8, offSaleAtMs: wish.closesAtMs - 1 };
    const told = (at: number) =>
      refitChannels([fans, press], layout, to, edited, at).misfits.map(
        ({ channelId, problem, seats }) => `${channelId} ${problem} ${seats.join()}`,
      );
    expect(told(now)).toEqual([
      "fans closes after the end of the event's sale ",
      "fans allows 5 seats a person, but the event 4 ",
      "fans allows 9 seats a code, but the event has 8 places ",
      "fans has seats that are not in the new hall A-A-10",
      "press closes after the end of the event's sale ",
      "press has 4 places in section FLOOR, where 2 are left for it in the new hall ",
    ]);
    expect(told(wish.closesAtMs)).toEqual([]);
    const over = refitChannels([{ ...fans, ended: true }], layout, to, edited, now);
    expect(over.misfits).toEqual([]);
    expect(over.channels.map((one) => [one.ended, seatIdsOf(one, to)])).toEqual([[true, ["A-A-1"]]]);
    // A section that has rows now, or none any more: its seats are others, whatever their names.
    const turned = planLayout("x", [{ ...hall, sectionId: "FLOOR", rows: [{ ...row, label: "GA" }] }]);
    expect(refitChannels([press], layout, turned, event, now).misfits).toMatchObject([
      { problem: "has places in section FLOOR, which is no general admission in the new hall" },
    ]);
    const standing = planLayout("y", [{ ...hall, rows: [], generalAdmission: true, capacity: 30 }]);
    expect(refitChannels([channel("x", 1, "A:0:1")], layout, standing, event, now).misfits).toMatchObject([
      { seats: ["A-A-1"] },
    ]);
  });

  test("gets the last free places, keeps its own, and never another's", () => {
    const pools = (places: number[], pool = 1) =>
      Uint8Array.from({ length: 20 }, (_, at) => (places.includes(at) ? pool : 0));
    const all = () => true;
    expect(choosePlaces(floor, 3, undefined, undefined, all)).toEqual({ places: [17, 18, 19] });
    expect(choosePlaces(floor, 3, undefined, pools([18]), (at) => at !== 19)).toEqual({ places: [15, 16, 17] });
    expect(choosePlaces(floor, 3, pools([2]), undefined, all)).toEqual({ places: [2, 18, 19] });
    // Smaller: those that buyers have are kept before those that are free.
    expect(choosePlaces(floor, 1, pools([17, 18, 19]), undefined, (at) => at !== 17)).toEqual({ places: [17] });
    expect(choosePlaces(floor, 20, undefined, pools([0]), all)).toEqual({ free: 19 });
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat(19)),
        fc.uniqueArray(fc.nat(19)),
        fc.uniqueArray(fc.nat(19)),
        fc.integer({ min: 1, max: 20 }),
        (own, others, taken, quantity) => {
          const mine = own.filter((at) => !others.includes(at));
          const chosen = choosePlaces(floor, quantity, pools(mine), pools(others, 2), (at) => !taken.includes(at));
          const possible = Array.from({ length: 20 }, (_, at) => at).filter(
            (at) => !others.includes(at) && (mine.includes(at) || !taken.includes(at)),
          );
          if ("free" in chosen) {
            expect(chosen.free).toBe(possible.length);
            expect(chosen.free).toBeLessThan(quantity);
          } else {
            expect(new Set(chosen.places).size).toBe(quantity);
            for (const at of chosen.places) expect(possible).toContain(at);
            if (quantity >= mine.length) for (const at of mine) expect(chosen.places).toContain(at);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("a code", () => {
  const of = { eventId: "evt_1", salt: "ab" };

  test("means the same however it is typed, and something else in another event or under another secret", () => {
    const hash = hashCode("", of, "Anchor-1");
    for (const typed of ["ANCHOR-1", " anchor-1\t", "ＡＮＣＨＯＲ－１"]) expect(hashCode("", of, typed)).toEqual(hash);
    expect(plainCode(" straße ")).toBe("STRASSE");
    expect(hashCode("", { ...of, eventId: "evt_2" }, "ANCHOR-1")).not.toEqual(hash);
    expect(hashCode("", { ...of, salt: "ac" }, "ANCHOR-1")).not.toEqual(hash);
    expect(hashCode("another secret of 16", of, "ANCHOR-1")).not.toEqual(hash);
    expect(codeIdOf(hash)).toMatch(/^[0-9a-f]{16}$/);
    expect(hash.toString("latin1")).not.toContain("ANCHOR");
  });

  test("is found among 10,000, and others are not", () => {
    const hashes = Array.from({ length: 10_000 }, (_, at) => hashCode("", of, `CODE-${at}`));
    const codes = packCodes(hashes);
    if (!("packed" in codes)) throw new Error("they differ");
    expect(codes.packed).toHaveLength(160_000);
    for (let at = 0; at < 10_000; at += 7) expect(hasCode(codes.packed, hashes[at] as Buffer)).toBe(true);
    for (let at = 0; at < 1_000; at++) expect(hasCode(codes.packed, randomBytes(16))).toBe(false);
    expect(hasCode(Buffer.alloc(0), hashes[0] as Buffer)).toBe(false);
    const other = packCodes([hashes[5] as Buffer, hashes[9_999] as Buffer, randomBytes(16)]);
    expect("packed" in other && codesInCommon(other.packed, codes.packed)).toBe(2);
  });

  test("that is there twice is found by its places", () => {
    const hashes = ["one1", "two2", "ONE1 "].map((code) => hashCode("", of, code));
    expect(packCodes(hashes)).toEqual({ same: [0, 2] });
  });
});
