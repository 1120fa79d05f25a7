// What a hold may ask for, and whether a hold that is there is what is asked for.
import { DomainError } from "@onsale/kit/errors";
import { mostCompanionsEach } from "../best-available/choice.js";
import { type EventRecord, isId } from "../events/events.js";
import { findSeats, mostSeatsAtOnce } from "../hall/find-seats.js";
import {
  type Layout,
  nameSeat,
  type Run,
  runsOf,
  type Seat,
  type SectionPlan,
  seatsOf,
  writeRuns,
} from "../hall/layout.js";
import { type BestWish, type HoldWish, holdIdOf, type Selection } from "./hold-request.js";
import { sectionUnknown } from "./refusals.js";

export function checkIds({ checkoutId, userId }: Pick<HoldWish, "checkoutId" | "userId">): void {
  if (!isId(checkoutId) || !isId(userId))
    throw new DomainError(
      "REQUEST_INVALID",
      "The checkout's and the user's id must be 1 to 64 of A-Z, a-z, 0-9, _ and -.",
    );
}

export function checkHoldId(checkoutId: string, holdId: string): void {
  if (!isId(checkoutId) || holdId !== holdIdOf(checkoutId))
    throw new DomainError("REQUEST_INVALID", "This hold does not belong to this checkout.");
}

export function checkQuantity(quantity: number): void {
  if (!Number.isInteger(quantity) || quantity < 1 || quantity > mostSeatsAtOnce)
    throw new DomainError("REQUEST_INVALID", `Ask for 1 to ${mostSeatsAtOnce} seats.`);
}

export function checkBest({ quantity, accessible, companions, minAmount = 0, maxAmount }: BestWish): void {
  checkQuantity(quantity);
  const invalid = (message: string) => new DomainError("REQUEST_INVALID", message);
  const isCount = (value: number) => Number.isInteger(value) && value >= 0;
  if (!isCount(accessible) || !isCount(companions))
    throw invalid("The numbers of accessible and companions' seats must be whole numbers from 0.");
  if (accessible + companions > quantity)
    throw invalid(
      `${accessible} accessible and ${companions} companions' seats are more than the ${quantity} asked for. The quantity counts all of them.`,
    );
  if (companions > accessible * mostCompanionsEach)
    throw invalid(
      `Each accessible seat comes with at most ${mostCompanionsEach} companions' seats. Ask for the others as ordinary seats.`,
    );
  const isAmount = (value: number) => Number.isSafeInteger(value) && value >= 0;
  if (!isAmount(minAmount) || (maxAmount !== undefined && !isAmount(maxAmount)))
    throw invalid("A price must be a whole number from 0, in the currency's minor unit.");
  if (maxAmount !== undefined && minAmount > maxAmount) throw invalid("The lowest price is above the highest one.");
}

/** Those with rows that fit the wish. Refusals: SECTION_UNKNOWN (details.sections), REQUEST_INVALID for general admission. */
export function sectionsOf({ tiers }: EventRecord, layout: Layout, wish: BestWish): SectionPlan[] {
  const { sectionIds, minAmount = 0, maxAmount = Number.POSITIVE_INFINITY } = wish;
  const unknown = [...new Set(sectionIds)].filter((sectionId) => !layout.sectionById.has(sectionId));
  if (unknown.length > 0) throw sectionUnknown(unknown);
  const general = sectionIds.find((sectionId) => layout.sectionById.get(sectionId)?.generalAdmission);
  if (general !== undefined)
    throw new DomainError(
      "REQUEST_INVALID",
      `Section ${general} is general admission: it has places, not seats to choose from. Ask for it by section and quantity.`,
      { section: general },
    );
  if (layout.sections.every(({ generalAdmission }) => generalAdmission))
    throw new DomainError(
      "REQUEST_INVALID",
      "This event has no seats to choose from, only general admission. Ask for a section and a quantity.",
    );
  const amounts = new Map(tiers.map(({ tierId, amount }) => [tierId, amount]));
  const wanted = new Set(sectionIds);
  return layout.sections.filter(({ sectionId, tierId, generalAdmission }) => {
    const amount = amounts.get(tierId) ?? Number.NaN;
    return (
      !generalAdmission && (wanted.size === 0 || wanted.has(sectionId)) && amount >= minAmount && amount <= maxAmount
    );
  });
}

/** Accessible seats, and those beside them for companions, are only for who asks for them. Refusal: SEAT_ACCESSIBLE (details.seats). */
export function checkRoom(seats: readonly Seat[], accessible: boolean): void {
  const rooms = seats.filter(({ section, index }) => section.accessible.has(index));
  const companions = seats.filter(({ section, index }) => section.companion.has(index));
  const kept = accessible
    ? companions.length > rooms.length * mostCompanionsEach
      ? companions
      : []
    : [...rooms, ...companions];
  if (kept.length === 0) return;
  const names = kept.map((seat) => nameSeat(seat).seatId);
  const which = names.length === 1 ? `Seat ${names[0]} is` : `The seats ${names.join(", ")} are`;
  throw new DomainError(
    "SEAT_ACCESSIBLE",
    accessible
      ? `${which} for companions: choose an accessible seat too, for each ${mostCompanionsEach} of them.`
      : `${which} kept for people who need an accessible seat, and for who comes with them. If you do, ask again with accessible; otherwise choose other seats.`,
    { seats: names },
  );
}

/** Is what a hold has what is asked for now? */
export function fits(event: EventRecord, layout: Layout, selection: Selection, runs: readonly Run[]): boolean {
  if ("seatIds" in selection)
    return writeRuns(runsOf(layout, findSeats(layout, selection.seatIds))) === writeRuns(runs);
  const count = runs.reduce((sum, { length }) => sum + length, 0);
  if (!("best" in selection))
    return count === selection.quantity && runs.every(({ section }) => section.sectionId === selection.sectionId);
  const { best } = selection;
  const sections = new Set(sectionsOf(event, layout, best));
  const rooms = seatsOf(runs).filter(({ section, index }) => section.accessible.has(index)).length;
  return (
    count === best.quantity &&
    runs.every(({ section }) => sections.has(section)) &&
    (best.accessible === 0 || rooms === best.accessible)
  );
}
