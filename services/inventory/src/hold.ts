// Holding seats and letting go of them: one script in Valkey for each.
import { DomainError } from "@onsale/kit/errors";
import { derivedHex64 } from "@onsale/kit/ids";
import type { Metrics } from "@onsale/kit/metrics";
import { chooseAdjacent } from "./adjacent.js";
import type { SeatMaps } from "./availability.js";
import { type EventRecord, isId, saleEndsAtMs } from "./events.js";
import { type Generations, rebuilding } from "./generation.js";
import type { KnownEvents } from "./known-events.js";
import {
  findSeat,
  type Layout,
  nameSeat,
  type Run,
  readRuns,
  runsOf,
  type Seat,
  type SectionPlan,
  seatsOf,
  writeRuns,
} from "./layout.js";
import type { Generation, HoldAnswer, Valkey } from "./valkey.js";

export interface HoldDependencies {
  readonly events: KnownEvents;
  readonly generations: Generations;
  readonly valkey: Valkey;
  readonly maps: SeatMaps;
  readonly random: () => number;
  readonly metrics: Metrics;
}

export type Selection =
  | { readonly seatIds: readonly string[] }
  | { readonly sectionId: string; readonly quantity: number };

export interface HoldWish {
  readonly checkoutId: string;
  readonly userId: string;
  readonly eventId: string;
  readonly selection: Selection;
}

export interface Hold {
  readonly holdId: string;
  readonly epoch: number;
  /** By Valkey's clock. */
  readonly deadlineMs: number;
  readonly event: EventRecord;
  readonly seats: readonly HeldSeat[];
  readonly amount: number;
}

export interface HeldSeat {
  readonly seatId: string;
  readonly sectionId: string;
  /** Empty in general admission. */
  readonly row: string;
  readonly number: string;
  readonly tierId: string;
  readonly amount: number;
}

export interface ReleaseWish {
  readonly eventId: string;
  readonly checkoutId: string;
  readonly holdId: string;
  readonly userId: string;
  /** Empty: whichever the hold has. */
  readonly seatIds: readonly string[];
}

export type Holds = ReturnType<typeof createHolds>;

/** More than a person may ever have, so that nonsense is refused early. */
export const mostSeatsAtOnce = 100;
/** How often seats are chosen anew when others are quicker. */
const choices = 8;
const firstSpread = 8;

export const holdIdOf = (checkoutId: string): string => derivedHex64("hold", checkoutId);

export function createHolds({ events, generations, valkey, maps, random, metrics }: HoldDependencies) {
  const outcomes = metrics.counter("onsale_holds_total", "Holds asked for, by outcome", ["outcome"]);
  const scriptSeconds = metrics.histogram(
    "onsale_hold_script_seconds",
    "Time of one hold script, with the way to Valkey",
  );

  /** Runs a hold script in the present generation; once more when it has just been replaced. */
  async function inPresent(event: EventRecord, take: (generation: Generation) => Promise<HoldAnswer>) {
    for (let last = false; ; last = true) {
      const generation = await generations.current(event);
      const end = scriptSeconds.startTimer();
      const answer = await take(generation);
      end();
      if (answer.kind !== "stale") return { generation, answer };
      generations.distrust(generation);
      if (last) throw rebuilding();
    }
  }

  async function hold(wish: HoldWish): Promise<Hold> {
    checkIds(wish);
    const event = await events.published(wish.eventId);
    const layout = await events.layoutOf(event.layoutVersion);
    const holdId = holdIdOf(wish.checkoutId);
    const terms = {
      holdId,
      userId: wish.userId,
      limit: event.seatsPerPerson,
      onSaleAtMs: event.onSaleAtMs,
      offSaleAtMs: saleEndsAtMs(event),
    };
    const { selection } = wish;

    /** What a script has answered to a wish for these runs (undefined: it chose them itself), as a hold or a refusal. */
    function conclude(generation: Generation, answer: HoldAnswer, wanted: readonly Run[] | undefined): Hold {
      switch (answer.kind) {
        case "held": {
          const runs = wanted ?? readRuns(layout, answer.runs);
          return describe(event, { holdId, epoch: generation.epoch, deadlineMs: answer.deadlineMs }, runs);
        }
        case "known": {
          const known = answer.hold;
          if (!known || (known.state === "held" && known.deadlineMs <= answer.nowMs))
            throw new DomainError(
              "HOLD_EXPIRED",
              "This checkout has ended, and its seats are free again. Start a new checkout to try again.",
            );
          const runs = readRuns(layout, known.runs);
          if (known.userId !== wish.userId || !fits(layout, selection, runs))
            throw new DomainError(
              "IDEMPOTENCY_KEY_REUSED",
              "This checkout holds other seats. Start a new checkout for these.",
            );
          return describe(event, { holdId, epoch: known.epoch, deadlineMs: known.deadlineMs }, runs);
        }
        case "taken":
          throw seatsTaken(wanted ?? [], answer.ordinals);
        case "short":
          throw notEnough(selection, answer.free);
        case "limit":
          throw limitReached(event, answer.has);
        case "early":
          throw new DomainError("SALE_NOT_OPEN", `The sale opens at ${new Date(event.onSaleAtMs).toISOString()}.`, {
            onSaleAt: new Date(event.onSaleAtMs).toISOString(),
          });
        case "over":
          throw new DomainError("SALE_ENDED", "The sale of this event has ended.");
        case "stale":
          throw rebuilding();
      }
    }

    async function holdSeats(seatIds: readonly string[]): Promise<Hold> {
      const seats = findSeats(layout, seatIds);
      if (seats.some(({ section }) => section.generalAdmission))
        throw new DomainError(
          "REQUEST_INVALID",
          "Places in general admission are not chosen one by one: ask for a section and a quantity.",
        );
      const runs = runsOf(layout, seats);
      const text = writeRuns(runs);
      const { generation, answer } = await inPresent(event, (now) => valkey.hold(now, terms, runs, text));
      return conclude(generation, answer, runs);
    }

    async function holdPlaces(section: SectionPlan, quantity: number): Promise<Hold> {
      const ask = () => inPresent(event, (now) => valkey.holdPlaces(now, terms, section, quantity));
      let { generation, answer } = await ask();
      // Places of holds that have just expired may not be back yet.
      if (answer.kind === "short" && (await maps.sweep(event)) > 0) ({ generation, answer } = await ask());
      return conclude(generation, answer, undefined);
    }

    async function holdAdjacent(section: SectionPlan, quantity: number): Promise<Hold> {
      for (let choice = 1, spread = firstSpread; ; choice++, spread *= 2) {
        // The first look may be a little old, since a crowd shares it; one who has lost a race looks again.
        const read = await (choice === 1 ? maps.recent(event) : maps.fresh(event));
        const map = read.maps.get(section);
        const run = map && chooseAdjacent({ section, map, quantity, spread, random });
        if (!run) {
          if (choice === 1) continue;
          // Nothing to choose; but this may be a retry of a hold that has its seats, perhaps the last ones.
          const generation = await generations.current(event);
          const known = await valkey.knownHold(event.eventId, holdId);
          if (!known || (known.hold?.state === "held" && known.hold.epoch !== generation.epoch))
            throw notEnough(selection, undefined);
          return conclude(generation, known, undefined);
        }
        const { generation, answer } = await inPresent(event, (now) =>
          valkey.hold(now, terms, [run], writeRuns([run])),
        );
        if (answer.kind !== "taken") return conclude(generation, answer, [run]);
        if (choice === choices) throw notEnough(selection, undefined);
      }
    }

    if ("seatIds" in selection) {
      checkSeatIds(selection.seatIds);
      if (selection.seatIds.length > event.seatsPerPerson) throw limitReached(event, 0);
      return await holdSeats(selection.seatIds);
    }
    const { sectionId, quantity } = selection;
    if (!Number.isInteger(quantity) || quantity < 1 || quantity > mostSeatsAtOnce)
      throw new DomainError("REQUEST_INVALID", `Ask for 1 to ${mostSeatsAtOnce} seats.`);
    const section = layout.sectionById.get(sectionId);
    if (!section)
      throw new DomainError("SECTION_UNKNOWN", `This event has no section ${quoted(sectionId)}.`, {
        section: shown(sectionId),
      });
    if (quantity > event.seatsPerPerson) throw limitReached(event, 0);
    return await (section.generalAdmission ? holdPlaces(section, quantity) : holdAdjacent(section, quantity));
  }

  return {
    /** Refusals: those of SeatService.Hold, REQUEST_INVALID, SECTION_UNKNOWN, HOLD_EXPIRED, IDEMPOTENCY_KEY_REUSED, UNAVAILABLE. */
    async hold(wish: HoldWish): Promise<Hold> {
      try {
        const held = await hold(wish);
        outcomes.inc({ outcome: "held" });
        return held;
      } catch (error) {
        outcomes.inc({ outcome: DomainError.from(error).code });
        throw error;
      }
    },

    /** Frees what the hold still has. How many seats that were. */
    async release({ eventId, checkoutId, holdId, userId, seatIds }: ReleaseWish): Promise<number> {
      checkHoldId(checkoutId, holdId);
      if (seatIds.length > mostSeatsAtOnce) throw new DomainError("REQUEST_INVALID", "These are too many seats.");
      const event = await events.published(eventId);
      const layout = await events.layoutOf(event.layoutVersion);
      const known = seatIds.length === 0 ? (await valkey.knownHold(eventId, holdId))?.hold : undefined;
      const runs = known ? readRuns(layout, known.runs) : runsOf(layout, findSeats(layout, seatIds));
      for (let last = false; ; last = true) {
        const generation = await generations.current(event);
        const freed = await valkey.release(generation, { holdId, userId, what: "hold", ends: true }, runs);
        if (freed !== undefined) return freed;
        generations.distrust(generation);
        if (last) throw rebuilding();
      }
    },
  };
}

// ---- what is asked for

function checkIds({ checkoutId, userId }: Pick<HoldWish, "checkoutId" | "userId">): void {
  if (!isId(checkoutId) || !isId(userId))
    throw new DomainError(
      "REQUEST_INVALID",
      "The checkout's and the user's id must be 1 to 64 of A-Z, a-z, 0-9, _ and -.",
    );
}

/** Each of them once, in the order asked for. */
export function checkSeatIds(seatIds: readonly string[]): void {
  if (seatIds.length < 1 || seatIds.length > mostSeatsAtOnce)
    throw new DomainError("REQUEST_INVALID", `Name 1 to ${mostSeatsAtOnce} seats.`);
  if (new Set(seatIds).size < seatIds.length)
    throw new DomainError("REQUEST_INVALID", "A seat is named twice. Name each seat once.");
}

export function checkHoldId(checkoutId: string, holdId: string): void {
  if (!isId(checkoutId) || holdId !== holdIdOf(checkoutId))
    throw new DomainError("REQUEST_INVALID", "This hold does not belong to this checkout.");
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

const shown = (text: string): string => text.replace(/[^\x20-\x7e]/g, "?").slice(0, 40);
const quoted = (text: string): string => `"${shown(text)}"`;

/** Is what a hold has what is asked for now? */
function fits(layout: Layout, selection: Selection, runs: readonly Run[]): boolean {
  if ("seatIds" in selection)
    return writeRuns(runsOf(layout, findSeats(layout, selection.seatIds))) === writeRuns(runs);
  const count = runs.reduce((sum, { length }) => sum + length, 0);
  return count === selection.quantity && runs.every(({ section }) => section.sectionId === selection.sectionId);
}

// ---- what is answered

function describe(event: EventRecord, held: Pick<Hold, "holdId" | "epoch" | "deadlineMs">, runs: readonly Run[]): Hold {
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

export function seatsTaken(runs: readonly Run[], ordinals: readonly number[]): DomainError {
  const all = seatsOf(runs);
  return seatsTakenByName(ordinals.flatMap((at) => (all[at] ? [nameSeat(all[at]).seatId] : [])));
}

export function seatsTakenByName(seats: readonly string[]): DomainError {
  const which = seats.length === 1 ? `Seat ${seats[0]} is` : `The seats ${seats.join(", ")} are`;
  return new DomainError("SEAT_TAKEN", `${which} not free any more. Please choose others.`, { seats });
}

function notEnough(selection: Selection, free: number | undefined): DomainError {
  if ("seatIds" in selection) throw new Error("named seats are taken, never too few");
  const { sectionId, quantity } = selection;
  const message =
    free === undefined
      ? `Section ${sectionId} has no ${quantity} free seats side by side. Ask for fewer, or choose seats by hand.`
      : `Section ${sectionId} has only ${free} free places.`;
  return new DomainError(
    "NOT_ENOUGH_SEATS",
    message,
    free === undefined ? { section: sectionId } : { section: sectionId, free },
  );
}

function limitReached({ seatsPerPerson }: EventRecord, has: number): DomainError {
  const already = has > 0 ? ` You have ${has} already, held or bought.` : "";
  const message = `One person may have at most ${seatsPerPerson} seats of this event.${already}`;
  return new DomainError("SEAT_LIMIT_EXCEEDED", message, { limit: seatsPerPerson, has });
}
