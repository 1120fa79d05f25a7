// An event as an organiser types it, what is wrong with it and where, and what the API takes. Pure.
import { type Currency, currencies, digitsOf, type PriceFault, priceFault } from "@onsale/kit/currencies";
import { readAmount, writeAmount } from "@onsale/kit/money";
import type { Schemas } from "../../../api/client.js";
import {
  type Fault,
  faultKeys,
  type ReadLayout,
  readLayout,
  readWhole,
  type SectionForm,
} from "../hall/layout-form.js";
import { isTimeZone, momentOf, wallTime } from "./zoned-time.js";

export type NewEvent = Schemas["NewEvent"];

export interface TierForm {
  readonly id: string;
  readonly name: string;
  /** In major units, as "49.50" or "49,50". */
  readonly price: string;
}

/** Times are what the clocks at the venue show, as "2027-05-01T20:00"; empty where one may be left out. */
export interface EventForm {
  readonly name: string;
  readonly description: string;
  readonly venueName: string;
  readonly city: string;
  readonly country: string;
  readonly timeZone: string;
  readonly startsAt: string;
  readonly onSaleAt: string;
  readonly offSaleAt: string;
  readonly refundableUntil: string;
  readonly accessibleUntil: string;
  readonly currency: string;
  readonly seatsPerPerson: string;
  readonly orphanRule: NewEvent["orphanRule"];
  readonly tiers: readonly TierForm[];
  readonly sections: readonly SectionForm[];
}

export const emptyTier: TierForm = { id: "", name: "", price: "" };

export const emptyEvent = (timeZone: string): EventForm => ({
  name: "",
  description: "",
  venueName: "",
  city: "",
  country: "",
  timeZone,
  startsAt: "",
  onSaleAt: "",
  offSaleAt: "",
  refundableUntil: "",
  accessibleUntil: "",
  currency: "EUR",
  seatsPerPerson: "8",
  orphanRule: "lenient",
  tiers: [{ ...emptyTier, id: "standard" }],
  sections: [],
});

export const eventFaults = {
  country: "faultCountry",
  timeZone: "faultTimeZone",
  time: "faultTime",
  skipped: "faultSkipped",
  past: "faultPast",
  beforeStart: "faultBeforeStart",
  notAfterStart: "faultNotAfterStart",
  afterOpening: "faultAfterOpening",
  currency: "faultCurrency",
  price: "faultPrice",
  uneven: "faultPriceUneven",
  tooSmall: "faultPriceTooSmall",
  tooLarge: "faultPriceTooLarge",
  basket: "faultPriceBasket",
  tierId: "faultTierId",
} as const;

const mostSeatsPerPerson = 50;

/** "49.50" or "49,50" in minor units of the currency; undefined: no price above 0, or more digits than the currency has. */
export const readPrice = (text: string, currency: string): number | undefined =>
  readAmount(text, currency) || undefined;

/** Why nobody could ever pay that price, in the form's words. */
function tell(fault: PriceFault, { code }: Currency): Pick<Fault, "key" | "values"> {
  const show = (amount: number) => `${writeAmount(amount, code)} ${code}`;
  switch (fault.reason) {
    case "uneven":
      return { key: eventFaults.uneven, values: { step: show(fault.step) } };
    case "too small":
      return { key: eventFaults.tooSmall, values: { least: show(fault.least) } };
    case "too large":
      return { key: eventFaults.tooLarge, values: { most: show(fault.most) } };
    case "basket too large":
      return { key: eventFaults.basket, values: { count: fault.pieces, most: show(fault.most) } };
  }
}

export interface ReadEvent {
  /** Undefined while there are faults. */
  readonly event: NewEvent | undefined;
  readonly faults: readonly Fault[];
  readonly layout: ReadLayout;
}

const timeFields = ["startsAt", "onSaleAt", "offSaleAt", "refundableUntil", "accessibleUntil"] as const;
/** When the times of a draft are to the millisecond: a field says less than that, and twice the same when clocks are put back. */
export type KnownMoments = Partial<Record<(typeof timeFields)[number], number>>;

/** What would be sent, or everything that is wrong. A time whose text is still that of a known moment means that moment. */
export function readEvent(form: EventForm, nowMs: number, known: KnownMoments = {}): ReadEvent {
  const faults: Fault[] = [];
  const say = (at: string, key: string, values?: Fault["values"]) =>
    faults.push({ at, key, ...(values ? { values } : {}) });
  const line = (at: string, text: string, most: number): string => {
    const trimmed = text.trim();
    if (trimmed === "") say(at, faultKeys.missing);
    else if (trimmed.length > most) say(at, faultKeys.tooLong, { most });
    return trimmed;
  };
  const { currency, orphanRule, timeZone } = form;
  const name = line("/name", form.name, 200);
  const description = form.description.trim();
  if (description.length > 5_000) say("/description", faultKeys.tooLong, { most: 5_000 });
  const venue = {
    name: line("/venue/name", form.venueName, 200),
    city: line("/venue/city", form.city, 100),
    country: form.country.trim().toUpperCase(),
    timeZone,
  };
  if (venue.country === "") say("/venue/country", faultKeys.missing);
  else if (!/^[A-Z]{2}$/.test(venue.country)) say("/venue/country", eventFaults.country);
  const zoned = isTimeZone(timeZone);
  if (!zoned) say("/venue/timeZone", eventFaults.timeZone);

  const time = (field: (typeof timeFields)[number], needed: boolean): number | undefined => {
    const at = `/${field}`;
    const wall = form[field];
    if (wall === "") {
      if (needed) say(at, faultKeys.missing);
      return undefined;
    }
    if (!zoned) return undefined;
    const before = known[field];
    if (before !== undefined && wallTime(before, timeZone) === wall) return before;
    const ms = momentOf(wall, timeZone);
    if (ms === undefined) say(at, momentOf(wall, "UTC") === undefined ? eventFaults.time : eventFaults.skipped);
    return ms;
  };
  const startsAt = time("startsAt", true);
  const onSaleAt = time("onSaleAt", true);
  const offSaleAt = time("offSaleAt", false);
  const refundableUntil = time("refundableUntil", false);
  const accessibleUntil = time("accessibleUntil", false);
  if (startsAt !== undefined) {
    if (startsAt <= nowMs) say("/startsAt", eventFaults.past);
    if (onSaleAt !== undefined && onSaleAt >= startsAt) say("/onSaleAt", eventFaults.beforeStart);
    for (const [at, ms] of [
      ["/offSaleAt", offSaleAt],
      ["/refundableUntil", refundableUntil],
      ["/accessibleUntil", accessibleUntil],
    ] as const)
      if (ms !== undefined && ms > startsAt) say(at, eventFaults.notAfterStart);
  }
  if (onSaleAt !== undefined && offSaleAt !== undefined && offSaleAt <= onSaleAt)
    say("/offSaleAt", eventFaults.afterOpening);

  const seatsPerPerson = readWhole(form.seatsPerPerson, 1, mostSeatsPerPerson);
  if (seatsPerPerson === undefined) say("/seatsPerPerson", faultKeys.whole, { least: 1, most: mostSeatsPerPerson });

  const charged = currencies.get(currency);
  if (!charged) say("/currency", eventFaults.currency);
  const tierIds = new Set<string>();
  if (form.tiers.length === 0) say("/tiers", faultKeys.missing);
  const tiers = form.tiers.map(({ id, name: tierName, price }, at) => {
    const where = `/tiers/${at}`;
    if (id === "") say(`${where}/id`, faultKeys.missing);
    else if (!/^[A-Za-z0-9_-]{1,32}$/.test(id)) say(`${where}/id`, eventFaults.tierId);
    else if (tierIds.has(id)) say(`${where}/id`, faultKeys.twice);
    tierIds.add(id);
    const amount = readPrice(price, currency);
    if (price.trim() === "") say(`${where}/amount`, faultKeys.missing);
    else if (amount === undefined) say(`${where}/amount`, eventFaults.price, { digits: digitsOf(currency).decimals });
    else if (charged) {
      const fault = priceFault(amount, seatsPerPerson ?? 1, charged);
      if (fault) faults.push({ at: `${where}/amount`, ...tell(fault, charged) });
    }
    return { id, name: line(`${where}/name`, tierName, 100), amount: amount ?? 0 };
  });

  const layout = readLayout(form.sections, [...tierIds]);
  faults.push(...layout.faults);
  if (faults.length > 0 || startsAt === undefined || onSaleAt === undefined || seatsPerPerson === undefined)
    return { event: undefined, faults, layout };
  const iso = (ms: number) => new Date(ms).toISOString();
  const optional = (key: string, ms: number | undefined) => (ms === undefined ? {} : { [key]: iso(ms) });
  const event: NewEvent = {
    name,
    ...(description === "" ? {} : { description }),
    venue,
    startsAt: iso(startsAt),
    onSaleAt: iso(onSaleAt),
    ...optional("offSaleAt", offSaleAt),
    ...optional("refundableUntil", refundableUntil),
    ...optional("accessibleUntil", accessibleUntil),
    currency,
    seatsPerPerson,
    orphanRule,
    tiers,
    sections: [...layout.sections],
  };
  return { event, faults, layout };
}

/** The price tiers that a hall needs: those that are there keep their names and prices, unused empty ones go. */
export function withTiers(
  tiers: readonly TierForm[],
  wanted: readonly { readonly id: string; readonly name: string }[],
): readonly TierForm[] {
  const nameOf = new Map(wanted.map(({ id, name }) => [id, name]));
  const kept = tiers
    .filter(({ id, name, price }) => nameOf.has(id) || name !== "" || price !== "")
    .map((tier) => ({ ...tier, name: tier.name || (nameOf.get(tier.id) ?? "") }));
  const known = new Set(kept.map(({ id }) => id));
  return [...kept, ...wanted.filter(({ id }) => !known.has(id)).map(({ id, name }) => ({ ...emptyTier, id, name }))];
}

// ---- an event that is there, as a beginning for another

export interface CopiedEvent {
  readonly name: string;
  readonly description: string;
  readonly venue: NewEvent["venue"];
  readonly currency: string;
  readonly seatsPerPerson: number;
  readonly orphanRule: NewEvent["orphanRule"];
  readonly tiers: readonly { readonly id: string; readonly name: string; readonly amount: number }[];
}

/** All but its times: another evening is another time. */
export function copyOf(event: CopiedEvent, sections: readonly SectionForm[]): EventForm {
  const { name, description, venue, currency, seatsPerPerson, orphanRule, tiers } = event;
  return {
    ...emptyEvent(venue.timeZone),
    name,
    description,
    venueName: venue.name,
    city: venue.city,
    country: venue.country,
    currency,
    seatsPerPerson: String(seatsPerPerson),
    orphanRule,
    tiers: tiers.map((tier) => ({ id: tier.id, name: tier.name, price: writeAmount(tier.amount, currency) })),
    sections,
  };
}

// ---- a draft that is edited

export interface DraftTimes {
  readonly startsAt: string;
  readonly onSaleAt: string;
  /** The start, if none was given; so is the next but one. */
  readonly offSaleAt: string;
  readonly refundableUntil?: string;
  readonly accessibleUntil: string;
}

/** What its times are. Those that were left out follow the start again. */
export function momentsOf(draft: DraftTimes): KnownMoments {
  const moments: KnownMoments = {};
  for (const field of timeFields) {
    const iso = draft[field];
    const follows = (field === "offSaleAt" || field === "accessibleUntil") && iso === draft.startsAt;
    if (iso !== undefined && !follows) moments[field] = Date.parse(iso);
  }
  return moments;
}

/** A draft as it would have been typed. */
export function formOfDraft(draft: CopiedEvent & DraftTimes, sections: readonly SectionForm[]): EventForm {
  const { timeZone } = draft.venue;
  const times = Object.entries(momentsOf(draft)).map(([field, ms]) => [field, wallTime(ms, timeZone)]);
  return { ...copyOf(draft, sections), ...Object.fromEntries(times) };
}

/** The parts of the form, by the names of their titles. */
const parts = {
  partWhat: ["name", "description"],
  eventWhere: ["venueName", "city", "country", "timeZone"],
  eventWhen: timeFields,
  eventPrices: ["currency", "tiers"],
  partHall: ["sections"],
  partRules: ["seatsPerPerson", "orphanRule"],
} as const satisfies Record<string, readonly (keyof EventForm)[]>;
export type FormPart = keyof typeof parts;

/** In which parts one form says something else than the other. */
export function differences(one: EventForm, other: EventForm): FormPart[] {
  const saysOf = (form: EventForm, fields: readonly (keyof EventForm)[]) =>
    JSON.stringify(fields.map((field) => form[field]));
  return (Object.keys(parts) as FormPart[]).filter((part) => saysOf(one, parts[part]) !== saysOf(other, parts[part]));
}

/** A time that the form suggests: in so many days, at that hour by the clocks there. */
export const wallInDays = (nowMs: number, days: number, hour: string, timeZone: string): string =>
  `${wallTime(nowMs + days * 86_400_000, timeZone).slice(0, 10)}T${hour}`;

// ---- refusals of the API, at the fields that they are about

export interface RefusedField {
  readonly at: string;
  readonly text: string;
}

const renamed: Readonly<Record<string, string>> = {
  section_id: "id",
  tier_id: "tier",
  seat_count: "seats",
  first_seat: "first",
  focal_row: "focalPoint/row",
  focal_seat: "focalPoint/seat",
};

/** "event.tiers[0].tier_id" as "/tiers/0/id": the services speak of their own fields, the form of the API's. */
export function pointerOf(at: string): string {
  const parts = at
    .replace(/^event\./, "")
    .replaceAll("[", ".")
    .replaceAll("]", "")
    .split(".");
  return parts
    .map((part) => {
      if (parts[0] === "tiers" && part === "tier_id") return "/id";
      const plain = renamed[part] ?? part.replace(/_ms$/, "");
      return `/${plain.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())}`;
    })
    .join("");
}

/** From a problem document: `errors` of the gateway's check, `problems` of the inventory's. */
export function refusedFields(details: Readonly<Record<string, unknown>>): readonly RefusedField[] {
  const list = (value: unknown): readonly Record<string, unknown>[] =>
    Array.isArray(value) ? value.filter((one) => typeof one === "object" && one !== null) : [];
  return [
    ...list(details["errors"]).map(({ pointer, detail }) => ({
      at: String(pointer ?? ""),
      text: String(detail ?? ""),
    })),
    ...list(details["problems"]).map(({ at, problem }) => ({
      at: pointerOf(String(at ?? "")),
      text: String(problem ?? ""),
    })),
  ];
}
