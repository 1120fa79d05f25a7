// What seats look like to those who hold or own them, with their prices.
import type { EventRecord } from "../events/events.js";
import { nameSeat, type Run, type Seat, seatsOf } from "../hall/layout.js";
import type { HeldSeat, Hold } from "./hold-request.js";

export function describe(
  event: EventRecord,
  held: Pick<Hold, "holdId" | "epoch" | "deadlineMs">,
  runs: readonly Run[],
): Hold {
  const seats = seatsOf(runs).map((seat) => describeSeat(event, seat));
  return { ...held, event, seats, amount: seats.reduce((sum, { amount }) => sum + amount, 0) };
}

export function describeSeat(event: EventRecord, seat: Seat): HeldSeat {
  const { sectionId, tierId, generalAdmission } = seat.section;
  const { seatId, row, number } = nameSeat(seat);
  const tier = event.tiers.find((one) => one.tierId === tierId);
  if (!tier) throw new Error(`event ${event.eventId} has no price tier ${tierId}`);
  return { seatId, sectionId, row: generalAdmission ? "" : row, number: String(number), tierId, amount: tier.amount };
}
