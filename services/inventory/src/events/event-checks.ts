// What an event must be like to be stored, its prices among it. Pure.
import { currencies, priceFault } from "@onsale/kit/currencies";
import { tellPriceFault } from "@onsale/kit/money";
import type { Section } from "@onsale/proto/inventory/v1/catalog";
import { problemsInLayout } from "../hall/layout-checks.js";
import { isWithin, lineProblem, type Problem, textProblem, timeProblem } from "../hall/problems.js";
import { isId, type NewEvent, orphanRules } from "./events.js";

const mostSeatsPerPerson = 100;

/** Everything that is wrong, at once. `inLayout` are those in sections, rows and seats. */
export function problemsOf(
  event: NewEvent,
  sections: readonly Section[],
): { readonly inEvent: readonly Problem[]; readonly inLayout: readonly Problem[] } {
  return { inEvent: problemsInEvent(event), inLayout: problemsInLayout(event.tiers, sections) };
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

function isTimeZone(name: string): boolean {
  try {
    // Intl takes offsets as "+01:00" too, but those know no summer time.
    return /^[A-Za-z]/.test(name) && new Intl.DateTimeFormat("en", { timeZone: name }) !== undefined;
  } catch {
    return false;
  }
}
