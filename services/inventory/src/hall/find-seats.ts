// Seats by their ids, as a request names them: each once, and each in the hall.
import { DomainError } from "@onsale/kit/errors";
import { findSeat, type Layout, type Seat } from "./layout.js";

/** More than a person may ever have, so that nonsense is refused early. */
export const mostSeatsAtOnce = 100;

/** Each of them once, in the order asked for. */
export function checkSeatIds(seatIds: readonly string[]): void {
  if (seatIds.length < 1 || seatIds.length > mostSeatsAtOnce)
    throw new DomainError("REQUEST_INVALID", `Name 1 to ${mostSeatsAtOnce} seats.`);
  if (new Set(seatIds).size < seatIds.length)
    throw new DomainError("REQUEST_INVALID", "A seat is named twice. Name each seat once.");
}

/** Refusal: SEAT_UNKNOWN (details.seats). */
export function findSeats(layout: Layout, seatIds: readonly string[]): Seat[] {
  const found = seatIds.map((seatId) => findSeat(layout, seatId));
  const unknown = seatIds.filter((_, at) => found[at] === undefined).map(shown);
  if (unknown.length > 0)
    throw new DomainError(
      "SEAT_UNKNOWN",
      `This event has no ${unknown.length === 1 ? "seat" : "seats"} ${unknown.join(", ")}.`,
      {
        seats: unknown,
      },
    );
  return found as Seat[];
}

export const shown = (text: string): string => text.replace(/[^\x20-\x7e]/g, "?").slice(0, 40);
