// Events: what one must be like, who may see it, when its seats are for sale, and how it is found. Pure.
import { currencies, priceFault } from "@onsale/kit/currencies";
import { derivedHex64 } from "@onsale/kit/ids";
import { tellPriceFault } from "@onsale/kit/money";
import type { PriceTier, Section, Venue } from "@onsale/proto/inventory/v1/catalog";
import { mostSeatsInEvent } from "../hall/layout.js";

/** How much a single seat left between taken ones counts when seats are chosen: never leave one where others will do, rather not, not at all. */
export const orphanRules = ["strict", "lenient", "off"] as const;
export type OrphanRule = (typeof orphanRules)[number];

/** An event as it is stored. */
export interface EventRecord {
  readonly eventId: string;
  readonly organiserId: string;
  readonly name: string;
  readonly description: string;
  readonly venue: Venue;
  readonly published: boolean;
  readonly startsAtMs: number;
  readonly onSaleAtMs: number;
  /** 0: until the event starts. */
  readonly offSaleAtMs: number;
  readonly currency: string;
  readonly seatsPerPerson: number;
  readonly tiers: readonly PriceTier[];
  readonly capacity: number;
  readonly layoutVersion: string;
  readonly orphanRule: OrphanRule;
  /** Until then accessible and companion seats are only for who asks for them. 0: until the event starts. */
  readonly accessibleUntilMs: number;
  /** Until then buyers may give their orders back by themselves. 0: they may not. */
  readonly refundableUntilMs: number;
  readonly createdAtMs: number;
  /** Off the sale for good since then; 0: it is not. A cancelled event stays published: those who have tickets find it. */
  readonly cancelledAtMs: number;
  readonly cancelReason: string;
  /** The newest generation of its seats in Valkey that was ever begun. */
  readonly epoch: number;
  /** Counts the edits of the draft. */
  readonly revision: number;
}

export type NewEvent = Omit<
  EventRecord,
  "published" | "capacity" | "layoutVersion" | "epoch" | "createdAtMs" | "cancelledAtMs" | "cancelReason" | "revision"
>;

export type EventStatus = "draft" | "published" | "cancelled";

export const statusOf = ({ published, cancelledAtMs }: EventRecord): EventStatus =>
  cancelledAtMs > 0 ? "cancelled" : published ? "published" : "draft";

export const saleEndsAtMs = ({ offSaleAtMs, startsAtMs }: Pick<EventRecord, "offSaleAtMs" | "startsAtMs">): number =>
  offSaleAtMs === 0 ? startsAtMs : offSaleAtMs;

/** When accessible and companion seats become seats like all others. */
export const accessibleEndsAtMs = ({
  accessibleUntilMs,
  startsAtMs,
}: Pick<EventRecord, "accessibleUntilMs" | "startsAtMs">): number =>
  accessibleUntilMs === 0 ? startsAtMs : accessibleUntilMs;

/** Stands for an operator, who sees every draft. */
export const everyViewer = "*";

export const isVisible = ({ published, organiserId }: EventRecord, viewerId: string): boolean =>
  published || viewerId === everyViewer || viewerId === organiserId;

export const isId = (text: string): boolean => /^[A-Za-z0-9_-]{1,64}$/.test(text);

// ---- what may be stored

export interface Problem {
  /** "sections[2].rows[0].gaps" */
  readonly at: string;
  /** "has seat 40, but the row ends at 30" */
  readonly problem: string;
}

const mostSeatsPerPerson = 100;
const mostSections = 500;
const mostRows = 10_000;
const mostPositions = 9_999;
const earliestMs = Date.UTC(2000, 0, 1);
const latestMs = Date.UTC(2200, 0, 1);

/** Everything that is wrong, at once. `inLayout` are those in sections, rows and seats. */
export function problemsOf(
  event: NewEvent,
  sections: readonly Section[],
): { readonly inEvent: readonly Problem[]; readonly inLayout: readonly Problem[] } {
  return { inEvent: problemsInEvent(event), inLayout: problemsInLayout(event, sections) };
}

function problemsInEvent(event: NewEvent): Problem[] {
  const problems: Problem[] = [];
  const say = (at: string, problem: string | undefined) => {
    if (problem) problems.push({ at, problem });
  };
  const { venue, tiers, seatsPerPerson } = event;
  const id = "must be 1 to 64 of A-Z, a-z, 0-9, _ and -";
  if (!isId(event.eventId)) say("event.event_id", id);
  if (!isId(event.organiserId)) say("event.organiser_id", id);
  say("event.name", lineProblem(event.name, 200));
  say("event.description", textProblem(event.description, 10_000));
  say("event.venue.name", lineProblem(venue.name, 200));
  say("event.venue.city", lineProblem(venue.city, 100));
  if (!/^[A-Z]{2}$/.test(venue.country)) say("event.venue.country", "must be two capital letters, as DE");
  if (!isTimeZone(venue.timeZone))
    say("event.venue.time_zone", "must be a time zone of the IANA database, as Europe/Berlin");

  say("event.starts_at_ms", timeProblem(event.startsAtMs));
  say("event.on_sale_at_ms", timeProblem(event.onSaleAtMs));
  if (event.onSaleAtMs >= event.startsAtMs) say("event.on_sale_at_ms", "must be before the event starts");
  if (event.offSaleAtMs !== 0) {
    say("event.off_sale_at_ms", timeProblem(event.offSaleAtMs));
    if (event.offSaleAtMs <= event.onSaleAtMs) say("event.off_sale_at_ms", "must be after the sale opens");
  }

  if (event.accessibleUntilMs !== 0) {
    say("event.accessible_until_ms", timeProblem(event.accessibleUntilMs));
    if (event.accessibleUntilMs > event.startsAtMs)
      say("event.accessible_until_ms", "must not be after the event starts");
  }
  if (event.refundableUntilMs !== 0) say("event.refundable_until_ms", timeProblem(event.refundableUntilMs));
  if (!orphanRules.includes(event.orphanRule)) say("event.orphan_rule", `must be one of ${orphanRules.join(", ")}`);

  if (!isWithin(seatsPerPerson, 1, mostSeatsPerPerson))
    say("event.seats_per_person", `must be from 1 to ${mostSeatsPerPerson}`);

  if (!isWithin(tiers.length, 1, 50)) say("event.tiers", "must be 1 to 50 price tiers");
  const seen = new Set<string>();
  for (const [at, tier] of tiers.entries()) {
    const where = `event.tiers[${at}]`;
    if (!/^[A-Za-z0-9_-]{1,32}$/.test(tier.tierId))
      say(`${where}.tier_id`, "must be 1 to 32 of A-Z, a-z, 0-9, _ and -");
    if (seen.has(tier.tierId)) say(`${where}.tier_id`, "is used twice");
    seen.add(tier.tierId);
    say(`${where}.name`, lineProblem(tier.name, 100));
  }
  return [...problems, ...problemsInPrices(event)];
}

/** What would be published and could never be paid: one seat must be worth a charge, a full basket no more than one. */
export function problemsInPrices({
  currency: code,
  seatsPerPerson,
  tiers,
}: Pick<NewEvent, "currency" | "seatsPerPerson" | "tiers">): Problem[] {
  const currency = currencies.get(code);
  if (!currency)
    return [{ at: "event.currency", problem: "must be a currency that can be charged, in capital letters, as EUR" }];
  return tiers.flatMap(({ amount }, index) => {
    const at = `event.tiers[${index}].amount`;
    if (amount === 0)
      return [
        { at, problem: "is 0, but every seat is paid through Stripe, which can't charge 0: free seats can't be sold" },
      ];
    const fault = priceFault(amount, Math.max(1, seatsPerPerson), currency);
    return fault ? [{ at, problem: tellPriceFault(fault, code) }] : [];
  });
}

function problemsInLayout({ tiers }: NewEvent, sections: readonly Section[]): Problem[] {
  const problems: Problem[] = [];
  const say = (at: string, problem: string | undefined) => {
    if (problem) problems.push({ at, problem });
  };
  if (!isWithin(sections.length, 1, mostSections)) say("sections", `must be 1 to ${mostSections}`);
  if (sections.reduce((sum, { rows }) => sum + rows.length, 0) > mostRows)
    say("sections", `may have at most ${mostRows} rows together`);

  const tierIds = new Set(tiers.map(({ tierId }) => tierId));
  const seen = new Set<string>();
  let seats = 0;
  for (const [at, section] of sections.entries()) {
    const where = `sections[${at}]`;
    if (!/^[A-Z0-9]{1,12}$/.test(section.sectionId)) say(`${where}.section_id`, "must be 1 to 12 of A-Z and 0-9");
    if (seen.has(section.sectionId)) say(`${where}.section_id`, "is used twice");
    seen.add(section.sectionId);
    say(`${where}.name`, lineProblem(section.name, 100));
    if (!tierIds.has(section.tierId)) say(`${where}.tier_id`, "is not among the event's price tiers");
    if (section.generalAdmission) {
      if (section.rows.length > 0) say(`${where}.rows`, "must be empty in general admission");
      if (section.focalRow !== "" || section.focalSeat !== 0)
        say(`${where}.focal_row`, "must be empty in general admission, which has no rows");
      if (!isWithin(section.capacity, 1, mostSeatsInEvent))
        say(`${where}.capacity`, `must be from 1 to ${mostSeatsInEvent}`);
      else seats += section.capacity;
    } else if (section.rows.length === 0)
      say(`${where}.rows`, "must be at least one, or the section general admission");
    else {
      seats += problemsInRows(section, where, say);
      say(`${where}.focal_row`, focalProblem(section));
    }
  }
  if (seats > mostSeatsInEvent)
    say("sections", `have ${seats} seats, but an event may have at most ${mostSeatsInEvent}`);
  return problems;
}

function focalProblem({ focalRow, focalSeat, rows }: Section): string | undefined {
  if (focalRow === "" && focalSeat === 0) return undefined;
  const row = rows.find(({ label }) => label === focalRow);
  if (!row) return `is "${focalRow.slice(0, 12)}", but the section has no such row`;
  const last = row.firstSeat + row.seatCount - 1;
  return isWithin(focalSeat, row.firstSeat, last)
    ? undefined
    : `points to seat ${focalSeat}, but row ${row.label} has ${row.firstSeat} to ${last}`;
}

/** Answers how many seats the rows have. */
function problemsInRows({ rows }: Section, section: string, say: (at: string, problem: string) => void): number {
  const labels = new Set<string>();
  let seats = 0;
  for (const [at, { label, firstSeat, seatCount, gaps, blocked, accessible, companion }] of rows.entries()) {
    const where = `${section}.rows[${at}]`;
    if (!/^[A-Z0-9]{1,4}$/.test(label)) say(`${where}.label`, "must be 1 to 4 of A-Z and 0-9");
    if (labels.has(label)) say(`${where}.label`, "is used twice in the section");
    labels.add(label);
    const last = firstSeat + seatCount - 1;
    if (!isWithin(firstSeat, 1, mostPositions)) say(`${where}.first_seat`, `must be from 1 to ${mostPositions}`);
    if (!isWithin(seatCount, 1, mostPositions)) say(`${where}.seat_count`, `must be from 1 to ${mostPositions}`);
    else if (last > mostPositions)
      say(`${where}.seat_count`, `reaches number ${last}; the highest is ${mostPositions}`);
    const none = new Set(gaps);
    const closed = new Set(blocked);
    if (none.size < gaps.length) say(`${where}.gaps`, "names a seat twice");
    if (closed.size < blocked.length) say(`${where}.blocked`, "names a seat twice");
    const outside = (number: number) => !isWithin(number, firstSeat, last);
    const strayGap = gaps.find(outside);
    if (strayGap !== undefined) say(`${where}.gaps`, `has ${strayGap}, but the row has ${firstSeat} to ${last}`);
    const strayBlock = blocked.find(outside);
    if (strayBlock !== undefined) say(`${where}.blocked`, `has ${strayBlock}, but the row has ${firstSeat} to ${last}`);
    const both = blocked.find((number) => none.has(number));
    if (both !== undefined) say(`${where}.blocked`, `has ${both}, which is a gap`);
    for (const [name, list] of [
      ["accessible", accessible],
      ["companion", companion],
    ] as const) {
      if (new Set(list).size < list.length) say(`${where}.${name}`, "names a seat twice");
      const stray = list.find(outside);
      if (stray !== undefined) say(`${where}.${name}`, `has ${stray}, but the row has ${firstSeat} to ${last}`);
      const gap = list.find((number) => none.has(number));
      if (gap !== undefined) say(`${where}.${name}`, `has ${gap}, which is a gap`);
    }
    const forBoth = companion.find((number) => accessible.includes(number));
    if (forBoth !== undefined) say(`${where}.companion`, `has ${forBoth}, which is accessible already`);
    if (none.size >= seatCount) say(`${where}.gaps`, "leave no seat in the row");
    seats += Math.max(0, seatCount - none.size);
  }
  return seats;
}

const isWithin = (value: number, least: number, most: number): boolean =>
  Number.isSafeInteger(value) && value >= least && value <= most;

export function lineProblem(text: string, most: number): string | undefined {
  if (text.trim() === "") return "must not be empty";
  if (/[\p{Cc}\p{Cs}]/u.test(text)) return "must not have control characters";
  return text.length > most ? `may have at most ${most} characters` : undefined;
}

function textProblem(text: string, most: number): string | undefined {
  if (/[\p{Cc}\p{Cs}]/u.test(text.replace(/[\n\r\t]/g, " "))) return "must not have control characters but line breaks";
  return text.length > most ? `may have at most ${most} characters` : undefined;
}

export const timeProblem = (ms: number): string | undefined =>
  isWithin(ms, earliestMs, latestMs) ? undefined : "must be a time between 2000 and 2200, in milliseconds since 1970";

function isTimeZone(name: string): boolean {
  try {
    // Intl takes offsets as "+01:00" too, but those know no summer time.
    return /^[A-Za-z]/.test(name) && new Intl.DateTimeFormat("en", { timeZone: name }) !== undefined;
  } catch {
    return false;
  }
}

// ---- the same event again

/** The same for the same event and layout, whatever the order in which a client sent numbers. */
export function fingerprint(event: NewEvent, sections: readonly Section[]): string {
  return fingerprintWith(event, layoutFingerprint(sections));
}

/** Of what is stored, as it would be made again. */
export const storedFingerprint = (event: EventRecord): string => fingerprintWith(event, event.layoutVersion);

function fingerprintWith(event: NewEvent, layoutVersion: string): string {
  const { eventId, organiserId, name, description, venue, startsAtMs, onSaleAtMs, offSaleAtMs } = event;
  const { currency, seatsPerPerson, tiers } = event;
  return derivedHex64(
    "event",
    JSON.stringify([
      [eventId, organiserId, name, description, startsAtMs, onSaleAtMs, offSaleAtMs, currency, seatsPerPerson],
      [venue.name, venue.city, venue.country, venue.timeZone],
      tiers.map(({ tierId, name: tier, amount }) => [tierId, tier, amount]),
      layoutVersion,
      // Only where they are given: events made before there were these keep their fingerprint.
      ...(event.orphanRule === "lenient" && event.accessibleUntilMs === 0
        ? []
        : [[event.orphanRule, event.accessibleUntilMs]]),
      ...(event.refundableUntilMs === 0 ? [] : [["refundable until", event.refundableUntilMs]]),
    ]),
  );
}

/** Names the layout: sections with the same seats, names and tiers have the same version. */
export function layoutFingerprint(sections: readonly Section[]): string {
  const numbers = (list: readonly number[]) => [...list].sort((a, b) => a - b);
  return derivedHex64(
    "layout",
    JSON.stringify(
      sections.map(({ sectionId, name, tierId, generalAdmission, capacity, rows, focalRow, focalSeat }) => [
        [sectionId, name, tierId, generalAdmission ? capacity : 0],
        rows.map(({ label, firstSeat, seatCount, gaps, blocked, accessible, companion }) => [
          label,
          firstSeat,
          seatCount,
          numbers(gaps),
          numbers(blocked),
          // Only where there are any: a layout from before there were these keeps its version.
          ...(accessible.length + companion.length === 0 ? [] : [numbers(accessible), numbers(companion)]),
        ]),
        ...(focalRow === "" ? [] : [[focalRow, focalSeat]]),
      ]),
    ),
  );
}

// ---- how events are found

/** Lower case, without accents, words only: "Café del Mar!" → "cafe del mar". */
export function searchWords(text: string): string[] {
  return (
    text
      .normalize("NFKD")
      .replace(/\p{M}/gu, "")
      .toLowerCase()
      .replace(/ß/g, "ss")
      .match(/[\p{L}\p{N}]+/gu) ?? []
  );
}

// ---- an organiser's own, newest first

export interface OwnEventSearch {
  /** Empty: everybody's. */
  readonly organiserId: string;
  readonly statuses: readonly EventStatus[];
  readonly words: readonly string[];
  readonly limit: number;
  readonly after: { readonly createdAtMs: number; readonly eventId: string } | undefined;
}

type OwnPlace = NonNullable<OwnEventSearch["after"]>;

export function writeOwnCursor(search: OwnEventSearch, { createdAtMs, eventId }: OwnPlace): string {
  return writeCursorParts([createdAtMs, eventId, ownCheck(search, createdAtMs, eventId)]);
}

export function readOwnCursor(search: OwnEventSearch, cursor: string): OwnPlace | undefined {
  const place = readPlace(cursor);
  if (!place) return undefined;
  const [createdAtMs, eventId, check] = place;
  return check === ownCheck(search, createdAtMs, eventId) ? { createdAtMs, eventId } : undefined;
}

const ownCheck = ({ organiserId, statuses, words }: OwnEventSearch, createdAtMs: number, eventId: string): string =>
  derivedHex64("own cursor", JSON.stringify([organiserId, statuses, words]), String(createdAtMs), eventId);

/** What a cursor says, true or not. */
function readPlace(cursor: string): [ms: number, id: string, check: unknown] | undefined {
  const place = readCursorParts(cursor);
  if (place?.length !== 3) return undefined;
  const [ms, id, check] = place;
  return Number.isSafeInteger(ms) && typeof id === "string" ? [ms as number, id, check] : undefined;
}

/** As long as cursors get. */
const longestCursor = 500;

export const writeCursorParts = (parts: readonly unknown[]): string =>
  Buffer.from(JSON.stringify(parts)).toString("base64url");

export function readCursorParts(cursor: string): unknown[] | undefined {
  if (cursor.length > longestCursor || !/^[A-Za-z0-9_-]+$/.test(cursor)) return undefined;
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString());
    return Array.isArray(parts) ? (parts as unknown[]) : undefined;
  } catch {
    return undefined;
  }
}
