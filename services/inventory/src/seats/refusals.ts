// Why seats are refused, each as a sentence with what a program needs to know beside it.
import { DomainError } from "@onsale/kit/errors";
import type { Leftover } from "../best-available/best-available.js";
import type { EventRecord } from "../events/events.js";
import { shown } from "../hall/find-seats.js";
import { nameSeat, type Run, type Seat, seatsOf } from "../hall/layout.js";
import type { Party, Selection } from "./hold-request.js";

/** `own`: those of them that the asker has, by another checkout. */
export function seatsTaken(
  runs: readonly Run[],
  ordinals: readonly number[],
  own: readonly number[] = [],
): DomainError {
  const all = seatsOf(runs);
  const named = (places: readonly number[]) => places.flatMap((at) => (all[at] ? [nameSeat(all[at]).seatId] : []));
  return own.length > 0 ? seatsOwned(named(ordinals), named(own)) : seatsTakenByName(named(ordinals));
}

function seatsOwned(seats: readonly string[], own: readonly string[]): DomainError {
  const which = own.length === 1 ? `Seat ${own[0]} is` : `The seats ${own.join(", ")} are`;
  const others = seats.filter((seat) => !own.includes(seat));
  const rest = others.length > 0 ? ` ${others.join(", ")} ${others.length === 1 ? "is" : "are"} another's.` : "";
  const message = `${which} yours already, held or bought by another checkout of yours. Finish that one, or cancel it to choose anew.${rest}`;
  return new DomainError("SEAT_TAKEN", message, { seats, own });
}

export function seatsTakenByName(seats: readonly string[]): DomainError {
  const which = seats.length === 1 ? `Seat ${seats[0]} is` : `The seats ${seats.join(", ")} are`;
  return new DomainError("SEAT_TAKEN", `${which} not free any more. Please choose others.`, { seats });
}

export function notEnoughPlaces(selection: Selection, free: number): DomainError {
  if (!("sectionId" in selection)) throw new Error("only places are counted by a script");
  const { sectionId } = selection;
  return new DomainError("NOT_ENOUGH_SEATS", `Section ${sectionId} has only ${free} free places.`, {
    section: sectionId,
    free,
  });
}

/** Details: free, largestGroup, splitWouldHelp; section when only one was asked for; accessibleFree when such seats were. */
export function notEnoughSeats(
  { sections, quantity, accessible, split }: Party,
  left: Leftover,
  inGroups: () => readonly Run[] | undefined,
): DomainError {
  const { free, largestGroup, accessibleFree } = left;
  const where = sections.length === 1 ? `Section ${sections[0]?.sectionId}` : "What you asked for";
  const splitWouldHelp = !split && quantity > 1 && (accessible > 0 ? inGroups() !== undefined : free >= quantity);
  const say = () => {
    if (sections.length === 0) return "No section has seats at this price. Ask for another price, or other sections.";
    if (accessible > 0)
      return accessibleFree < accessible
        ? `${where} has ${accessibleFree} free accessible seats. Ask for fewer, or in other sections.`
        : `${where} has no ${quantity} free seats side by side with ${accessible} accessible among them.${splitWouldHelp ? " Ask for groups apart from each other (split), or for fewer." : " Ask for fewer."}`;
    if (free < quantity) return `${where} has ${free === 0 ? "no free seat" : `only ${free} free seats`}.`;
    const most = `${where} has no ${quantity} free seats side by side, but ${largestGroup}.`;
    return splitWouldHelp
      ? `${most} Ask for fewer, or for groups apart from each other (split).`
      : `${most} Ask for fewer.`;
  };
  return new DomainError("NOT_ENOUGH_SEATS", say(), {
    ...(sections.length === 1 ? { section: sections[0]?.sectionId } : {}),
    free,
    largestGroup,
    splitWouldHelp,
    ...(accessible > 0 ? { accessibleFree } : {}),
  });
}

export function seatsOrphaned(orphans: readonly Seat[], instead: readonly Seat[]): DomainError {
  const names = (seats: readonly Seat[]) => seats.map((seat) => nameSeat(seat).seatId);
  const [single, ...others] = names(orphans);
  const left = others.length === 0 ? `seat ${single}` : `the seats ${[single, ...others].join(", ")}`;
  return new DomainError(
    "SEAT_ORPHANED",
    `These would leave ${left} single, which hardly anyone buys. Take ${names(instead).join(", ")} instead, or others.`,
    { orphans: names(orphans), alternative: names(instead) },
  );
}

export function sectionUnknown(sectionIds: readonly string[]): DomainError {
  const [first, ...others] = sectionIds.map(shown);
  const which = others.length === 0 ? `section "${first}"` : `sections ${[first, ...others].join(", ")}`;
  return new DomainError("SECTION_UNKNOWN", `This event has no ${which}.`, {
    section: first,
    sections: [first, ...others],
  });
}

export const checkoutReused = (): DomainError =>
  new DomainError("IDEMPOTENCY_KEY_REUSED", "This checkout holds other seats. Start a new checkout for these.");

export function layoutChanged({ layoutVersion }: EventRecord): DomainError {
  return new DomainError(
    "LAYOUT_CHANGED",
    "The seats of this event are laid out differently from what you have seen. Load the layout again, and choose from it.",
    { layoutVersion },
  );
}

export function limitReached(limit: number, has: number): DomainError {
  const already = has > 0 ? ` You have ${has} already, held or bought.` : "";
  const message = `One person may have at most ${limit} seats of this event.${already}`;
  return new DomainError("SEAT_LIMIT_EXCEEDED", message, { limit, has });
}

// ---- with a code

export function codeLimitReached(limit: number, has: number): DomainError {
  const left = Math.max(0, limit - has);
  const message = `With this code, at most ${limit} seats can be held or bought, by all who use it together; ${left} ${left === 1 ? "is" : "are"} left.`;
  return new DomainError("CODE_LIMIT_EXCEEDED", message, { limit, has });
}

export function channelNotOpen(opensAtMs: number): DomainError {
  const opensAt = new Date(opensAtMs).toISOString();
  return new DomainError("CHANNEL_NOT_OPEN", `The seats of this code are on sale from ${opensAt}.`, { opensAt });
}

export const channelEnded = (): DomainError =>
  new DomainError(
    "CHANNEL_ENDED",
    "The time of this code is over. Seats that were left are in the general sale now: ask again without the code.",
  );

export function notInChannel(seats: readonly Seat[], isGeneralOpen: boolean): DomainError {
  const names = seats.map((seat) => nameSeat(seat).seatId);
  const which = names.length === 1 ? `Seat ${names[0]} is` : `The seats ${names.join(", ")} are`;
  const advice = isGeneralOpen
    ? "Take the code's seats in one checkout, and the others in another."
    : "The general sale is not open yet: choose from the seats that the code opens.";
  return new DomainError("SEAT_NOT_IN_CHANNEL", `${which} not among those that this code opens. ${advice}`, {
    seats: names,
  });
}
