// @vitest-environment happy-dom
import { currencies } from "@onsale/kit/currencies";
import { writeAmount } from "@onsale/kit/money";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  addRows,
  brushes,
  emptySection,
  formOf,
  layoutOf,
  paintSeat,
  readLayout,
  readNumbers,
  rowLabel,
  type SectionForm,
  writeNumbers,
} from "../hall/layout-form.js";
import {
  copyOf,
  differences,
  type EventForm,
  emptyEvent,
  formOfDraft,
  momentsOf,
  pointerOf,
  readEvent,
  readPrice,
  refusedFields,
  withTiers,
} from "./event-form.js";

const now = Date.parse("2027-01-01T00:00:00Z");
const stalls = addRows({ ...emptySection, id: "A", name: "Stalls", tier: "standard" }, 3, "10");
const evening = (changes: Partial<EventForm> = {}): EventForm => ({
  ...emptyEvent("Europe/Berlin"),
  name: " An evening ",
  venueName: "Hall",
  city: "Leipzig",
  country: "de",
  startsAt: "2027-05-01T20:00",
  onSaleAt: "2027-02-01T10:00",
  tiers: [{ id: "standard", name: "Everywhere", price: "49,50" }],
  sections: [stalls],
  ...changes,
});
const faultsOf = (form: EventForm) => readEvent(form, now).faults.map(({ at, key }) => `${at} ${key}`);

describe("an event that was typed", () => {
  it("becomes what the API takes, its times those of the venue", () => {
    const { event, faults } = readEvent(evening({ offSaleAt: "2027-05-01T19:00" }), now);
    expect(faults).toEqual([]);
    expect(event).toEqual({
      name: "An evening",
      venue: { name: "Hall", city: "Leipzig", country: "DE", timeZone: "Europe/Berlin" },
      startsAt: "2027-05-01T18:00:00.000Z",
      onSaleAt: "2027-02-01T09:00:00.000Z",
      offSaleAt: "2027-05-01T17:00:00.000Z",
      currency: "EUR",
      seatsPerPerson: 8,
      orphanRule: "lenient",
      tiers: [{ id: "standard", name: "Everywhere", amount: 4950 }],
      sections: [
        {
          id: "A",
          name: "Stalls",
          tier: "standard",
          rows: ["A", "B", "C"].map((label) => ({ label, seats: 10 })),
        },
      ],
    });
  });

  it.each<[Partial<EventForm>, string[]]>([
    [{ name: " " }, ["/name faultMissing"]],
    [{ country: "Germany" }, ["/venue/country faultCountry"]],
    [{ timeZone: "Mars/Olympus" }, ["/venue/timeZone faultTimeZone"]],
    [{ startsAt: "" }, ["/startsAt faultMissing"]],
    [{ startsAt: "2026-05-01T20:00", onSaleAt: "2026-04-01T20:00" }, ["/startsAt faultPast"]],
    [{ onSaleAt: "2027-05-01T20:00" }, ["/onSaleAt faultBeforeStart"]],
    [{ onSaleAt: "2027-03-28T02:30" }, ["/onSaleAt faultSkipped"]],
    [{ offSaleAt: "2027-01-31T10:00" }, ["/offSaleAt faultAfterOpening"]],
    [{ refundableUntil: "2027-05-02T10:00" }, ["/refundableUntil faultNotAfterStart"]],
    [{ seatsPerPerson: "0" }, ["/seatsPerPerson faultWhole"]],
    [{ tiers: [{ id: "standard", name: "All", price: "0" }] }, ["/tiers/0/amount faultPrice"]],
    [{ tiers: [{ id: "standard", name: "All", price: "1.234" }] }, ["/tiers/0/amount faultPrice"]],
    ...(
      [
        ["EUR", "0.25", "8", "faultPriceTooSmall"],
        ["JPY", "40", "8", "faultPriceTooSmall"],
        ["ISK", "99", "8", "faultPriceTooSmall"],
        ["ISK", "9900.50", "8", "faultPrice"],
        ["KWD", "1.005", "8", "faultPriceUneven"],
        ["EUR", "1000000", "1", "faultPriceTooLarge"],
        ["EUR", "200000", "8", "faultPriceBasket"],
        ["HUF", "125000", "8", "faultPriceBasket"],
      ] as const
    ).map(([currency, price, seatsPerPerson, fault]): [Partial<EventForm>, string[]] => [
      { currency, seatsPerPerson, tiers: [{ id: "standard", name: "All", price }] },
      [`/tiers/0/amount ${fault}`],
    ]),
    [{ currency: "CUP" }, ["/currency faultCurrency"]],
    [{ tiers: [{ id: "other", name: "All", price: "10" }] }, ["/sections/0/tier faultUnknownTier"]],
    [{ sections: [] }, ["/sections faultNoSections"]],
    [{ sections: [{ ...stalls, focalRow: "D", focalSeat: "1" }] }, ["/sections/0/focalPoint/row faultNoSuchRow"]],
    [{ sections: [{ ...stalls, kind: "places", capacity: "many" }] }, ["/sections/0/capacity faultWhole"]],
  ])("%j is refused at its field", (changes, faults) => {
    expect(faultsOf(evening(changes))).toEqual(faults);
  });

  it("has prices in the currency's own digits", () => {
    expect(["49.50", "49,5", "49", "0,01"].map((text) => readPrice(text, "EUR"))).toEqual([4950, 4950, 4900, 1]);
    expect(["1500", "1500.0", "-1", "", "1e3", "1.500,00"].map((text) => readPrice(text, "JPY"))).toEqual([
      1500,
      ...Array(5).fill(undefined),
    ]);
  });

  it.each([
    ["ISK", "9900", 990_000],
    ["UGX", "50000", 5_000_000],
    ["HUF", "15000", 1_500_000],
    ["KWD", "12,5", 12_500],
    ["JPY", "4950", 4_950],
    ["IDR", "1500000", 150_000_000],
  ])("in %s, %s is sent in Stripe's unit", (currency, price, amount) => {
    const { event, faults } = readEvent(
      evening({ currency, tiers: [{ id: "standard", name: "Everywhere", price }] }),
      now,
    );
    expect(faults).toEqual([]);
    expect(event).toMatchObject({ currency, tiers: [{ amount }] });
  });

  it("can be copied in every currency, and is the same when it is read again", () => {
    for (const { code, least, step } of currencies.values()) {
      const form = evening({
        currency: code,
        tiers: [{ id: "standard", name: "All", price: writeAmount(least + step, code) }],
      });
      const { event, faults } = readEvent(form, now);
      expect(faults, code).toEqual([]);
      if (!event) continue;
      expect(event.tiers[0]?.amount, code).toBe(least + step);
      const { tiers, currency } = copyOf({ ...event, description: "" }, []);
      expect(readEvent(evening({ currency, tiers }), now).event?.tiers, code).toEqual(event.tiers);
    }
  });

  it("can begin as a copy of another, with times of its own", () => {
    const { event } = readEvent(evening(), now);
    if (!event) throw new Error("the evening has faults");
    const copy = copyOf({ ...event, description: "" }, event.sections.map(formOf));
    expect(copy).toMatchObject({ startsAt: "", onSaleAt: "" });
    const again = readEvent({ ...copy, startsAt: "2027-05-01T20:00", onSaleAt: "2027-02-01T10:00" }, now);
    expect(again.event).toEqual(event);
  });

  it("keeps the price tiers that have a name or a price when a hall brings others", () => {
    const named = { id: "vip", name: "VIP", price: "" };
    const unnamed = { id: "standard", name: "", price: "" };
    const wanted = ["front", "vip"].map((id) => ({ id, name: `The ${id}` }));
    expect(withTiers([named, unnamed], wanted)).toEqual([named, { id: "front", name: "The front", price: "" }]);
    expect(withTiers([unnamed], [{ id: "standard", name: "All" }])).toEqual([{ ...unnamed, name: "All" }]);
  });
});

describe("a draft that is edited", () => {
  const stored = (changes: object = {}) => {
    const { event } = readEvent(evening(), now);
    if (!event) throw new Error("the form has faults");
    const { startsAt } = event;
    return { ...event, description: "", offSaleAt: startsAt, accessibleUntil: startsAt, ...changes };
  };
  const again = (draft: ReturnType<typeof stored>, changes: Partial<EventForm> = {}) =>
    readEvent({ ...formOfDraft(draft, draft.sections.map(formOf)), ...changes }, now, momentsOf(draft)).event;

  it("is sent back as it came, when nothing is changed: times to the millisecond, rows of any kind", () => {
    const named = { id: "B", name: "Circle", tier: "standard", focalPoint: { row: "B", seat: 4 } };
    const sections = [
      { ...named, rows: { count: 2, seats: 4, first: 3, gaps: [5], blocked: ["B-3"], accessible: ["A-4"] } },
      { id: "GA", name: "Floor", tier: "standard", capacity: 70 },
    ];
    const draft = stored({
      startsAt: "2027-05-01T18:00:30.250Z",
      // Of the hour that comes twice when clocks are put back, the second.
      onSaleAt: "2026-10-25T01:30:00.000Z",
      offSaleAt: "2027-05-01T17:00:00.000Z",
      refundableUntil: "2027-04-01T00:00:00.000Z",
      accessibleUntil: "2027-05-01T18:00:30.250Z",
      description: "Four acts.",
      sections,
    });
    const { accessibleUntil: _follows, ...same } = draft;
    expect(again(draft)).toEqual({
      ...same,
      sections: [
        {
          ...named,
          rows: [
            { label: "A", seats: 4, first: 3, gaps: [5], accessible: [4] },
            { label: "B", seats: 4, first: 3, gaps: [5], blocked: [3] },
          ],
        },
        sections[1],
      ],
    });
  });

  it("keeps a time while its text stays, and in another time zone means that text there", () => {
    const draft = stored({ startsAt: "2027-05-01T18:00:30.000Z" });
    expect(again(draft, { startsAt: "2027-05-01T20:01" })?.startsAt).toBe("2027-05-01T18:01:00.000Z");
    expect(again(draft, { timeZone: "Europe/London" })?.startsAt).toBe("2027-05-01T19:00:00.000Z");
  });

  it("lets what followed the start follow it again", () => {
    const draft = stored();
    const form = formOfDraft(draft, []);
    expect([form.offSaleAt, form.accessibleUntil, form.refundableUntil]).toEqual(["", "", ""]);
    expect(again(draft, { startsAt: "2027-06-01T20:00" })).not.toHaveProperty("offSaleAt");
  });

  it("differs from another in parts that are named", () => {
    const one = formOfDraft(stored(), [stalls]);
    expect(differences(one, { ...one })).toEqual([]);
    expect(
      differences(one, { ...one, city: "Halle", tiers: [], sections: [stalls, stalls], refundableUntil: "" }),
    ).toEqual(["eventWhere", "eventPrices", "partHall"]);
    expect(differences(one, { ...one, description: "x", startsAt: "", orphanRule: "off" })).toEqual([
      "partWhat",
      "eventWhen",
      "partRules",
    ]);
  });
});

describe("lists of seat numbers", () => {
  it("are read back as they were written", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 9_999 }), { maxLength: 60 }), (numbers) => {
        const sorted = [...numbers].sort((a, b) => a - b);
        expect(readNumbers(writeNumbers(numbers))).toEqual(sorted);
      }),
    );
  });

  it("take what people type, and nothing else", () => {
    expect(readNumbers(" 3, 8;10-12 ")).toEqual([3, 8, 10, 11, 12]);
    expect(writeNumbers([12, 11, 10, 3, 4])).toBe("3 4 10-12");
    for (const wrong of ["a", "1-", "5-3", "0", "1.5", "1-9999", "12345"]) expect(readNumbers(wrong)).toBeUndefined();
  });
});

describe("drawing on a section", () => {
  const numbersOf = (section: SectionForm, name: "gaps" | "accessible" | "companion" | "blocked") =>
    readNumbers(section.rows[0]?.[name] ?? "");

  it("makes a seat what the brush says, and the same again undoes it", () => {
    const once = paintSeat(stalls, "A", 4, "accessible");
    expect(numbersOf(once, "accessible")).toEqual([4]);
    expect(paintSeat(once, "A", 4, "accessible")).toEqual(stalls);
    const focal = paintSeat(stalls, "B", 5, "focal");
    expect([focal.focalRow, focal.focalSeat]).toEqual(["B", "5"]);
    expect(paintSeat(focal, "B", 5, "focal")).toEqual(stalls);
  });

  it("never makes a layout that the API would refuse, as long as a row keeps a seat", () => {
    const stroke = fc.record({ number: fc.integer({ min: 1, max: 9 }), brush: fc.constantFrom(...brushes) });
    fc.assert(
      fc.property(fc.array(stroke, { maxLength: 30 }), (strokes) => {
        const painted = strokes.reduce(
          (section, { number, brush }) => paintSeat(section, "A", number, brush),
          stalls as SectionForm,
        );
        const { faults, sections, seats } = readLayout([painted], ["standard"]);
        expect(faults).toEqual([]);
        expect(layoutOf(sections)).toMatchObject({ seatCount: seats });
        expect(readLayout(sections.map(formOf), ["standard"]).sections).toEqual(sections);
      }),
    );
  });

  it("labels rows on from those that are there", () => {
    expect([0, 25, 26, 701, 702].map(rowLabel)).toEqual(["A", "Z", "AA", "ZZ", "AAA"]);
    expect(addRows(stalls, 2, "12").rows.map(({ label, seats }) => label + seats)).toEqual([
      "A10",
      "B10",
      "C10",
      "D12",
      "E12",
    ]);
  });
});

describe("refusals of the API", () => {
  it("are shown at the fields that they are about, whoever speaks", () => {
    expect(
      [
        "event.starts_at_ms",
        "event.venue.time_zone",
        "event.tiers[1].tier_id",
        "sections[2].rows[0].seat_count",
        "sections[0].section_id",
        "sections[0].tier_id",
        "sections[0].focal_row",
        "sections",
      ].map(pointerOf),
    ).toEqual([
      "/startsAt",
      "/venue/timeZone",
      "/tiers/1/id",
      "/sections/2/rows/0/seats",
      "/sections/0/id",
      "/sections/0/tier",
      "/sections/0/focalPoint/row",
      "/sections",
    ]);
    expect(
      refusedFields({
        errors: [{ in: "body", pointer: "/name", detail: "must not be empty" }],
        problems: [{ at: "event.on_sale_at_ms", problem: "must be before the event starts" }],
      }),
    ).toEqual([
      { at: "/name", text: "must not be empty" },
      { at: "/onSaleAt", text: "must be before the event starts" },
    ]);
    expect(refusedFields({ errors: "none", problems: [7] })).toEqual([]);
  });
});
