import type { Row, Section } from "@onsale/proto/inventory/v1/catalog";
import { describe, expect, test } from "vitest";
import { layoutFingerprint } from "../hall/layout-version.js";
import { problemsOf } from "./event-checks.js";
import { fingerprint, isVisible, type NewEvent } from "./events.js";
import { searchWords } from "./search-words.js";

const event: NewEvent = {
  eventId: "evt_1",
  organiserId: "acc_1",
  name: "The Night Ferry",
  description: "Doors at seven.\nBring a coat.",
  venue: { name: "Große Freiheit", city: "São Paulo", country: "BR", timeZone: "America/Sao_Paulo" },
  startsAtMs: Date.UTC(2030, 4, 1),
  onSaleAtMs: Date.UTC(2029, 4, 1),
  offSaleAtMs: 0,
  currency: "BRL",
  seatsPerPerson: 8,
  tiers: [{ tierId: "standard", name: "Standard", amount: 4950 }],
  orphanRule: "lenient",
  accessibleUntilMs: 0,
  refundableUntilMs: 0,
};
const row: Row = { label: "A", firstSeat: 1, seatCount: 10, gaps: [3], blocked: [4], accessible: [], companion: [] };
const section: Section = {
  sectionId: "A",
  name: "Hall",
  tierId: "standard",
  rows: [row],
  generalAdmission: false,
  capacity: 0,
  focalRow: "",
  focalSeat: 0,
};
const floor: Section = { ...section, sectionId: "FLOOR", rows: [], generalAdmission: true, capacity: 500 };

const eventPlaces = (change: Partial<NewEvent>) =>
  problemsOf({ ...event, ...change }, [section]).inEvent.map(({ at }) => at);
const layoutPlaces = (...sections: Section[]) => problemsOf(event, sections).inLayout.map(({ at }) => at);
const rowPlaces = (change: Partial<Row>) => layoutPlaces({ ...section, rows: [{ ...row, ...change }] });

describe("what may be stored", () => {
  test("is a sound event", () => {
    expect(problemsOf(event, [section, floor])).toEqual({ inEvent: [], inLayout: [] });
  });

  test("is not an event with wrong fields", () => {
    const tier = { tierId: "standard", name: "Standard", amount: 4950 };
    const { venue } = event;
    for (const [change, at] of [
      [{ eventId: "a b" }, "event.event_id"],
      [{ eventId: "{tag}" }, "event.event_id"],
      [{ organiserId: "" }, "event.organiser_id"],
      [{ name: " " }, "event.name"],
      [{ name: "a\u0000b" }, "event.name"],
      [{ name: "a\nb" }, "event.name"],
      [{ name: "x".repeat(201) }, "event.name"],
      [{ description: "a\u0007" }, "event.description"],
      [{ venue: { ...venue, name: "" } }, "event.venue.name"],
      [{ venue: { ...venue, city: "" } }, "event.venue.city"],
      [{ venue: { ...venue, country: "Brazil" } }, "event.venue.country"],
      [{ venue: { ...venue, timeZone: "Mars/Base" } }, "event.venue.time_zone"],
      [{ venue: { ...venue, timeZone: "+01:00" } }, "event.venue.time_zone"],
      [{ venue: { ...venue, timeZone: "" } }, "event.venue.time_zone"],
      [{ onSaleAtMs: Date.UTC(2031, 0, 1) }, "event.on_sale_at_ms"],
      [{ onSaleAtMs: -1 }, "event.on_sale_at_ms"],
      [{ offSaleAtMs: Date.UTC(2028, 0, 1) }, "event.off_sale_at_ms"],
      [{ startsAtMs: Date.UTC(2300, 0, 1) }, "event.starts_at_ms"],
      [{ currency: "eur" }, "event.currency"],
      [{ currency: "XXQ" }, "event.currency"],
      [{ seatsPerPerson: 0 }, "event.seats_per_person"],
      [{ seatsPerPerson: 101, tiers: [{ ...tier, amount: 500 }] }, "event.seats_per_person"],
      [{ tiers: [{ ...tier, amount: 0 }] }, "event.tiers[0].amount"],
      [{ tiers: [{ ...tier, amount: -5 }] }, "event.tiers[0].amount"],
      [{ tiers: [{ ...tier, amount: 1.5 }] }, "event.tiers[0].amount"],
      [{ tiers: [{ ...tier, amount: 20_000_000 }] }, "event.tiers[0].amount"],
      [{ tiers: [tier, tier] }, "event.tiers[1].tier_id"],
      [{ tiers: [tier, { ...tier, tierId: "a b" }] }, "event.tiers[1].tier_id"],
      [{ tiers: [{ ...tier, name: "" }] }, "event.tiers[0].name"],
      [{ tiers: [] }, "event.tiers"],
    ] as [Partial<NewEvent>, string][])
      expect(eventPlaces(change), JSON.stringify(change)).toEqual([at]);
  });

  test("tells why seats can't be free", () => {
    const [problem] = problemsOf({ ...event, tiers: [{ tierId: "standard", name: "Free", amount: 0 }] }, [
      section,
    ]).inEvent;
    expect(problem?.problem).toContain("Stripe");
  });

  test("is not a layout with wrong sections, rows or seats", () => {
    expect(layoutPlaces()).toEqual(["sections"]);
    expect(layoutPlaces(section, section)).toEqual(["sections[1].section_id"]);
    expect(layoutPlaces({ ...section, sectionId: "a" })).toEqual(["sections[0].section_id"]);
    expect(layoutPlaces({ ...section, name: "\u0000" })).toEqual(["sections[0].name"]);
    expect(layoutPlaces({ ...section, tierId: "vip" })).toEqual(["sections[0].tier_id"]);
    expect(layoutPlaces({ ...section, rows: [] })).toEqual(["sections[0].rows"]);
    expect(layoutPlaces({ ...section, rows: [row, row] })).toEqual(["sections[0].rows[1].label"]);
    expect(layoutPlaces({ ...floor, capacity: 0 })).toEqual(["sections[0].capacity"]);
    expect(layoutPlaces({ ...floor, rows: [row] })).toEqual(["sections[0].rows"]);
    expect(layoutPlaces({ ...floor, capacity: 60_000 }, section)).toEqual(["sections"]);
    expect(rowPlaces({ label: "" })).toEqual(["sections[0].rows[0].label"]);
    expect(rowPlaces({ label: "ABCDE" })).toEqual(["sections[0].rows[0].label"]);
    expect(rowPlaces({ firstSeat: 0, gaps: [], blocked: [] })).toEqual(["sections[0].rows[0].first_seat"]);
    expect(rowPlaces({ seatCount: 0, gaps: [], blocked: [] })).toContain("sections[0].rows[0].seat_count");
    expect(rowPlaces({ firstSeat: 9_995, gaps: [], blocked: [] })).toEqual(["sections[0].rows[0].seat_count"]);
    expect(rowPlaces({ gaps: [11] })).toEqual(["sections[0].rows[0].gaps"]);
    expect(rowPlaces({ gaps: [3, 3] })).toEqual(["sections[0].rows[0].gaps"]);
    expect(rowPlaces({ blocked: [0] })).toEqual(["sections[0].rows[0].blocked"]);
    expect(rowPlaces({ blocked: [3] })).toEqual(["sections[0].rows[0].blocked"]);
    expect(rowPlaces({ seatCount: 1, gaps: [1], blocked: [] })).toEqual(["sections[0].rows[0].gaps"]);
  });

  test("is told with everything that is wrong at once", () => {
    const { inEvent, inLayout } = problemsOf({ ...event, name: "", currency: "" }, [
      { ...section, tierId: "x", rows: [] },
    ]);
    expect(inEvent.map(({ at }) => at)).toEqual(["event.name", "event.currency"]);
    expect(inLayout.map(({ at }) => at)).toEqual(["sections[0].tier_id", "sections[0].rows"]);
  });
});

test("a layout's accessible seats and focal point are in it, and the rules of an event are known ones", () => {
  expect(rowPlaces({ accessible: [1, 2], companion: [5] })).toEqual([]);
  for (const change of [{ accessible: [11] }, { accessible: [3] }, { accessible: [1, 1] }])
    expect(rowPlaces(change)).toEqual(["sections[0].rows[0].accessible"]);
  expect(rowPlaces({ companion: [0] })).toEqual(["sections[0].rows[0].companion"]);
  expect(rowPlaces({ accessible: [1], companion: [1] })).toEqual(["sections[0].rows[0].companion"]);
  expect(layoutPlaces({ ...section, focalRow: "A", focalSeat: 3 })).toEqual([]);
  for (const focal of [
    { focalRow: "B", focalSeat: 1 },
    { focalRow: "A", focalSeat: 0 },
    { focalRow: "A", focalSeat: 11 },
    { focalRow: "", focalSeat: 4 },
  ])
    expect(layoutPlaces({ ...section, ...focal })).toEqual(["sections[0].focal_row"]);
  expect(layoutPlaces({ ...floor, focalRow: "A", focalSeat: 1 })).toEqual(["sections[0].focal_row"]);
  expect(eventPlaces({ accessibleUntilMs: event.startsAtMs })).toEqual([]);
  expect(eventPlaces({ accessibleUntilMs: event.startsAtMs + 1 })).toEqual(["event.accessible_until_ms"]);
  expect(eventPlaces({ accessibleUntilMs: -5 })).toEqual(["event.accessible_until_ms"]);
  expect(eventPlaces({ orphanRule: "never" as "off" })).toEqual(["event.orphan_rule"]);
});

test("events and layouts from before there were these keep their names", () => {
  // As they were made by the version before: a change here would make every stored event another one.
  expect(layoutFingerprint([section, floor])).toBe("d6ca574a5dd105d7");
  expect(fingerprint(event, [section, floor])).toBe("afdf042c5ff49687");
  expect(layoutFingerprint([{ ...section, focalRow: "A", focalSeat: 1 }])).not.toBe(layoutFingerprint([section]));
  const accessible = [{ ...section, rows: [{ ...row, accessible: [1] }] }];
  const companion = [{ ...section, rows: [{ ...row, companion: [1] }] }];
  expect(new Set([[section], accessible, companion].map(layoutFingerprint)).size).toBe(3);
  expect(fingerprint({ ...event, orphanRule: "off" }, [section])).not.toBe(fingerprint(event, [section]));
});

test("the same event has the same fingerprint, and another one has another", () => {
  const same = { ...section, rows: [{ ...row, gaps: [3], blocked: [4] }], capacity: 9 };
  expect(fingerprint({ ...event }, [same])).toBe(fingerprint(event, [section]));
  expect(fingerprint({ ...event, name: "Another" }, [section])).not.toBe(fingerprint(event, [section]));
  expect(fingerprint(event, [{ ...section, rows: [{ ...row, gaps: [2] }] }])).not.toBe(fingerprint(event, [section]));
});

test("a draft is seen by its organiser and by operators", () => {
  const changing = { epoch: 0, revision: 0, createdAtMs: 1, cancelledAtMs: 0, cancelReason: "" };
  const stored = { capacity: 9, layoutVersion: "v", ...changing };
  const record = { ...event, ...stored, published: false };
  expect(["acc_1", "*", "acc_2", ""].map((viewer) => isVisible(record, viewer))).toEqual([true, true, false, false]);
  expect(isVisible({ ...record, published: true }, "")).toBe(true);
});

test("words know neither case nor accents", () => {
  expect(searchWords("  Café-del  MAR! Große Ñandú ")).toEqual(["cafe", "del", "mar", "grosse", "nandu"]);
  expect(searchWords("$.*(){}[]|^\\ ?")).toEqual([]);
});
