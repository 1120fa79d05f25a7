// Holding seats and letting go of them: one script in Valkey for each.
import { DomainError } from "@onsale/kit/errors";
import { derivedHex64 } from "@onsale/kit/ids";
import type { Metrics } from "@onsale/kit/metrics";
import {
  type BestChoice,
  chooseBest,
  describeLeftover,
  type Leftover,
  mostCompanionsEach,
  orphansOfPick,
} from "../best-available/best-available.js";
import { createBoards, openBoard } from "../best-available/board.js";
import { channelSeats, codeInvalid, generalPool } from "../channels/channel.js";
import type { Channels, Opened } from "../channels/channels.js";
import { accessibleEndsAtMs, type EventRecord, isId, saleEndsAtMs } from "../events/events.js";
import { eventCancelled, type KnownEvents } from "../events/known-events.js";
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
} from "../hall/layout.js";
import { type Generations, rebuilding } from "../recovery/generation.js";
import type { Generation, HoldAnswer, Valkey } from "../valkey/valkey.js";
import type { SeatMaps } from "./availability.js";
import type { HoldRace } from "./hold-race.js";

export interface HoldDependencies {
  readonly events: KnownEvents;
  readonly generations: Generations;
  readonly valkey: Valkey;
  readonly maps: SeatMaps;
  readonly channels: Channels;
  readonly race: Pick<HoldRace, "won" | "refused">;
  readonly random: () => number;
  readonly metrics: Metrics;
}

export type Selection =
  /** `accessible`: accessible and companions' seats may be among them. */
  | { readonly seatIds: readonly string[]; readonly accessible?: boolean | undefined }
  /** Places of general admission, or seats side by side in this section. */
  | { readonly sectionId: string; readonly quantity: number }
  | { readonly best: BestWish };

export interface BestWish {
  readonly quantity: number;
  /** Empty: any section with rows. */
  readonly sectionIds: readonly string[];
  /** Of a seat, in minor units, both ends included. */
  readonly minAmount?: number | undefined;
  readonly maxAmount?: number | undefined;
  /** So many of the quantity are accessible seats, and so many are for who comes with them. */
  readonly accessible: number;
  readonly companions: number;
  readonly split: boolean;
}

/** A wish for seats that the service chooses, once its sections are known. */
type Party = Pick<BestChoice, "sections" | "quantity" | "accessible" | "companions" | "split">;

export interface HoldWish {
  readonly checkoutId: string;
  readonly userId: string;
  readonly eventId: string;
  readonly selection: Selection;
  /** Opens a channel's seats. A secret. */
  readonly accessCode?: string | undefined;
  /** What the buyer has seen. */
  readonly layoutVersion?: string | undefined;
  /** Epoch milliseconds by which whoever asks stops waiting. */
  readonly deadline?: number | undefined;
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
/** How often seats are chosen anew when others are quicker, each time from twice as many of the best. */
const choices = 8;
const firstSpread = 8;

export const holdIdOf = (checkoutId: string): string => derivedHex64("hold", checkoutId);

export function createHolds({ events, generations, valkey, maps, channels, race, random, metrics }: HoldDependencies) {
  const outcomes = metrics.counter("onsale_holds_total", "Holds asked for, by outcome", ["outcome"]);
  const chosen = metrics.counter("onsale_seats_chosen_total", "Choices of seats for buyers, by what became of them", [
    "outcome",
  ]);
  const boards = createBoards();
  const scriptSeconds = metrics.histogram(
    "onsale_hold_script_seconds",
    "Time of one hold script, with the way to Valkey",
  );

  /** Runs a hold script in the present generation; once more when it has just been replaced. */
  async function inPresent(
    event: EventRecord,
    take: (generation: Generation) => Promise<HoldAnswer>,
    deadline = Number.POSITIVE_INFINITY,
  ) {
    for (let last = false; ; last = true) {
      const generation = await generations.current(event);
      // Seats for somebody who has left would stay held until they expire.
      if (Date.now() > deadline) throw new DomainError("DEADLINE_EXCEEDED", "Nobody waits for this hold any more.");
      const end = scriptSeconds.startTimer();
      let answer = await take(generation);
      end();
      // What has just expired may still be counted.
      if (answer.kind === "code-limit" && (await maps.sweep(event)) > 0) answer = await take(generation);
      if (answer.kind !== "stale") return { generation, answer };
      generations.distrust(generation);
      if (last) throw rebuilding();
    }
  }

  /**
   * What a wish with a code is to be taken from; undefined: the general sale. A code takes its channel's seats. Once the general
   * sale is open it may name general seats as well, all of them: one checkout is one or the other.
   * Refusals: ACCESS_CODE_INVALID, SEAT_NOT_IN_CHANNEL (details.seats).
   */
  async function openedFor(wish: HoldWish, event: EventRecord, layout: Layout): Promise<Opened | undefined> {
    const { accessCode, selection } = wish;
    if (accessCode === undefined) return undefined;
    const opened = await channels.find(event.eventId, accessCode);
    if (!opened) {
      // A retry of what was held before the channel was deleted meets its hold: the script looks at nothing else then.
      if (await valkey.knownHold(event.eventId, holdIdOf(wish.checkoutId), wish.userId)) return undefined;
      throw codeInvalid();
    }
    if (!("seatIds" in selection)) return opened;
    checkSeatIds(selection.seatIds);
    const own = channelSeats(opened.channel, layout);
    const others = findSeats(layout, selection.seatIds).filter(({ section, index }) => !own.get(section)?.[index]);
    if (others.length === 0) return opened;
    const isGeneralOpen = Date.now() >= event.onSaleAtMs;
    if (others.length === selection.seatIds.length && isGeneralOpen) return undefined;
    throw notInChannel(others, isGeneralOpen);
  }

  async function hold(wish: HoldWish): Promise<Hold> {
    checkIds(wish);
    const event = await events.published(wish.eventId);
    if (event.cancelledAtMs > 0) throw eventCancelled();
    if (wish.layoutVersion !== undefined && wish.layoutVersion !== event.layoutVersion) throw layoutChanged(event);
    const layout = await events.layoutOf(event.layoutVersion);
    const holdId = holdIdOf(wish.checkoutId);
    const { selection } = wish;
    const opened = await openedFor(wish, event, layout);
    const channel = opened?.channel;
    const terms = {
      holdId,
      userId: wish.userId,
      limit: channel && channel.seatsPerPerson > 0 ? channel.seatsPerPerson : event.seatsPerPerson,
      onSaleAtMs: channel ? channel.opensAtMs : event.onSaleAtMs,
      offSaleAtMs: channel ? (channel.ended ? 0 : channel.closesAtMs) : saleEndsAtMs(event),
      pool: channel ? channel.pool : generalPool,
      code: opened && { codeId: opened.codeId, limit: opened.channel.seatsPerCode },
    };
    const { limit } = terms;
    /** Those who choose from the same seats. */
    const crowd = channel ? `${event.eventId}:${channel.channelId}` : event.eventId;
    /** Free seats as this buyer may take them. */
    const mapsFor = async (isFresh: boolean) =>
      channel
        ? await channels.mapsOf(event, layout, channel, isFresh)
        : (await (isFresh ? maps.fresh(event) : maps.recent(event))).maps;
    const reserved = Date.now() < accessibleEndsAtMs(event);

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
          if (!fits(event, layout, selection, runs)) throw checkoutReused();
          return describe(event, { holdId, epoch: known.epoch, deadlineMs: known.deadlineMs }, runs);
        }
        case "reused":
          throw checkoutReused();
        case "taken":
          throw seatsTaken(wanted ?? [], answer.ordinals, answer.own);
        case "short":
          throw notEnoughPlaces(selection, answer.free);
        case "limit":
          throw limitReached(limit, answer.has);
        case "code-limit":
          throw codeLimitReached(terms.code?.limit ?? 0, answer.has);
        case "early":
          if (channel) throw channelNotOpen(channel.opensAtMs);
          throw new DomainError("SALE_NOT_OPEN", `The sale opens at ${new Date(event.onSaleAtMs).toISOString()}.`, {
            onSaleAt: new Date(event.onSaleAtMs).toISOString(),
          });
        case "over":
          if (channel) throw channelEnded();
          throw new DomainError("SALE_ENDED", "The sale of this event has ended.");
        case "stale":
          throw rebuilding();
      }
    }

    async function holdSeats(seatIds: readonly string[], accessible: boolean): Promise<Hold> {
      const seats = findSeats(layout, seatIds);
      if (reserved) checkRoom(seats, accessible);
      if (seats.some(({ section }) => section.generalAdmission))
        throw new DomainError(
          "REQUEST_INVALID",
          "Places in general admission are not chosen one by one: ask for a section and a quantity.",
        );
      if (event.orphanRule === "strict") await refuseOrphans(seats);
      const runs = runsOf(layout, seats);
      const text = writeRuns(runs);
      const { generation, answer } = await inPresent(
        event,
        (now) => valkey.hold(now, terms, runs, text),
        wish.deadline,
      );
      if (answer.kind === "held") boards.gone(crowd, runs);
      return conclude(generation, answer, runs);
    }

    async function holdPlaces(section: SectionPlan, quantity: number): Promise<Hold> {
      const ask = () => inPresent(event, (now) => valkey.holdPlaces(now, terms, section, quantity), wish.deadline);
      let { generation, answer } = await ask();
      // Places of holds that have just expired may not be back yet.
      if (answer.kind === "short" && (await maps.sweep(event)) > 0) ({ generation, answer } = await ask());
      return conclude(generation, answer, undefined);
    }

    /** Only the maps of their own sections are read, so that it can be done for every pick. */
    async function refuseOrphans(seats: readonly Seat[]): Promise<void> {
      if (channel) {
        const found = orphansOfPick(openBoard(await mapsFor(true)), seats, { reserved });
        if (found) throw seatsOrphaned(found.orphans, found.instead);
        return;
      }
      const sections = [...new Set(seats.map(({ section }) => section))];
      const generation = await generations.current(event);
      const read = await valkey.maps(generation, sections);
      if (!read) return generations.distrust(generation); // the hold, which is next, says what is wrong
      const now = new Map(sections.map((section, at) => [section, read.maps[at] as Uint8Array]));
      if (!orphansOfPick(openBoard(now), seats, { reserved })) return;
      // Holds that have just expired may still be on the map: before somebody is refused, they are cleared away.
      const found = orphansOfPick(openBoard((await maps.fresh(event)).maps), seats, { reserved });
      if (found) throw seatsOrphaned(found.orphans, found.instead);
    }

    async function holdBest(party: Party): Promise<Hold> {
      const choice = { ...party, reserved, orphans: event.orphanRule, random };
      for (let tries = 1, spread = firstSpread; ; tries++, spread *= 2) {
        // The first look may be a little old, since a crowd shares it; one who has lost a race looks again.
        const seen = await mapsFor(tries > 1);
        const board = boards.of(crowd, seen);
        let runs = chooseBest(board, { ...choice, spread });
        if (!runs && tries > 1) {
          const asRead = boards.asRead(crowd, seen);
          runs = asRead && chooseBest(asRead, { ...choice, spread });
        }
        if (!runs) {
          if (tries === 1) continue;
          // Nothing to choose; but this may be a retry of a hold that has its seats, perhaps the last ones.
          chosen.inc({ outcome: "nothing" });
          const generation = await generations.current(event);
          const known = await valkey.knownHold(event.eventId, holdId, wish.userId);
          if (!known || (known.hold?.state === "held" && known.hold.epoch !== generation.epoch))
            throw notEnoughSeats(party, describeLeftover(board, choice), () =>
              chooseBest(board, { ...choice, spread, split: true }),
            );
          return conclude(generation, known, undefined);
        }
        const settle = boards.take(crowd, runs);
        let nowTaken: readonly Run[] = [];
        try {
          const { generation, answer } = await inPresent(
            event,
            (now) => valkey.hold(now, terms, runs, writeRuns(runs)),
            wish.deadline,
          );
          if (answer.kind === "held") nowTaken = runs;
          if (answer.kind !== "taken") {
            chosen.inc({ outcome: answer.kind });
            return conclude(generation, answer, runs);
          }
          nowTaken = runsAt(layout, runs, answer.ordinals);
        } finally {
          settle(nowTaken);
        }
        chosen.inc({ outcome: "lost" });
        if (tries === choices)
          throw new DomainError(
            "NOT_ENOUGH_SEATS",
            `Others were quicker ${choices} times in a row. There are still free seats: try again with a new checkout.`,
            { lostRaces: choices },
          );
      }
    }

    if ("seatIds" in selection) {
      checkSeatIds(selection.seatIds);
      if (selection.seatIds.length > limit) throw limitReached(limit, 0);
      return await holdSeats(selection.seatIds, selection.accessible === true);
    }
    if ("best" in selection) {
      checkBest(selection.best);
      if (selection.best.quantity > limit) throw limitReached(limit, 0);
      return await holdBest({ ...selection.best, sections: sectionsOf(event, layout, selection.best) });
    }
    const { sectionId, quantity } = selection;
    checkQuantity(quantity);
    const section = layout.sectionById.get(sectionId);
    if (!section) throw sectionUnknown([sectionId]);
    if (quantity > limit) throw limitReached(limit, 0);
    if (section.generalAdmission) return await holdPlaces(section, quantity);
    return await holdBest({ sections: [section], quantity, accessible: 0, companions: 0, split: false });
  }

  return {
    /** Refusals: those of SeatService.Hold, REQUEST_INVALID, UNAVAILABLE. */
    async hold(wish: HoldWish): Promise<Hold> {
      try {
        const held = await hold(wish);
        outcomes.inc({ outcome: "held" });
        race.won(wish.eventId);
        return held;
      } catch (error) {
        const { code } = DomainError.from(error);
        outcomes.inc({ outcome: code });
        race.refused(wish.eventId, code);
        throw error;
      }
    },

    /** Frees what the hold still has. How many seats that were. */
    async release({ eventId, checkoutId, holdId, userId, seatIds }: ReleaseWish): Promise<number> {
      checkHoldId(checkoutId, holdId);
      if (seatIds.length > mostSeatsAtOnce) throw new DomainError("REQUEST_INVALID", "These are too many seats.");
      const event = await events.published(eventId);
      const layout = await events.layoutOf(event.layoutVersion);
      const known = seatIds.length === 0 ? (await valkey.knownHold(eventId, holdId, userId))?.hold : undefined;
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

function checkQuantity(quantity: number): void {
  if (!Number.isInteger(quantity) || quantity < 1 || quantity > mostSeatsAtOnce)
    throw new DomainError("REQUEST_INVALID", `Ask for 1 to ${mostSeatsAtOnce} seats.`);
}

function checkBest({ quantity, accessible, companions, minAmount = 0, maxAmount }: BestWish): void {
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
function sectionsOf({ tiers }: EventRecord, layout: Layout, wish: BestWish): SectionPlan[] {
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
function checkRoom(seats: readonly Seat[], accessible: boolean): void {
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

const shown = (text: string): string => text.replace(/[^\x20-\x7e]/g, "?").slice(0, 40);

/** Is what a hold has what is asked for now? */
function fits(event: EventRecord, layout: Layout, selection: Selection, runs: readonly Run[]): boolean {
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

/** Those at these places, counted over all runs. */
function runsAt(layout: Layout, runs: readonly Run[], ordinals: readonly number[]): Run[] {
  const all = seatsOf(runs);
  return runsOf(
    layout,
    ordinals.flatMap((at) => all[at] ?? []),
  );
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

function notEnoughPlaces(selection: Selection, free: number): DomainError {
  if (!("sectionId" in selection)) throw new Error("only places are counted by a script");
  const { sectionId } = selection;
  return new DomainError("NOT_ENOUGH_SEATS", `Section ${sectionId} has only ${free} free places.`, {
    section: sectionId,
    free,
  });
}

/** Details: free, largestGroup, splitWouldHelp; section when only one was asked for; accessibleFree when such seats were. */
function notEnoughSeats(
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

function seatsOrphaned(orphans: readonly Seat[], instead: readonly Seat[]): DomainError {
  const names = (seats: readonly Seat[]) => seats.map((seat) => nameSeat(seat).seatId);
  const [single, ...others] = names(orphans);
  const left = others.length === 0 ? `seat ${single}` : `the seats ${[single, ...others].join(", ")}`;
  return new DomainError(
    "SEAT_ORPHANED",
    `These would leave ${left} single, which hardly anyone buys. Take ${names(instead).join(", ")} instead, or others.`,
    { orphans: names(orphans), alternative: names(instead) },
  );
}

function sectionUnknown(sectionIds: readonly string[]): DomainError {
  const [first, ...others] = sectionIds.map(shown);
  const which = others.length === 0 ? `section "${first}"` : `sections ${[first, ...others].join(", ")}`;
  return new DomainError("SECTION_UNKNOWN", `This event has no ${which}.`, {
    section: first,
    sections: [first, ...others],
  });
}

const checkoutReused = (): DomainError =>
  new DomainError("IDEMPOTENCY_KEY_REUSED", "This checkout holds other seats. Start a new checkout for these.");

function layoutChanged({ layoutVersion }: EventRecord): DomainError {
  return new DomainError(
    "LAYOUT_CHANGED",
    "The seats of this event are laid out differently from what you have seen. Load the layout again, and choose from it.",
    { layoutVersion },
  );
}

function limitReached(limit: number, has: number): DomainError {
  const already = has > 0 ? ` You have ${has} already, held or bought.` : "";
  const message = `One person may have at most ${limit} seats of this event.${already}`;
  return new DomainError("SEAT_LIMIT_EXCEEDED", message, { limit, has });
}

// ---- with a code

function codeLimitReached(limit: number, has: number): DomainError {
  const left = Math.max(0, limit - has);
  const message = `With this code, at most ${limit} seats can be held or bought, by all who use it together; ${left} ${left === 1 ? "is" : "are"} left.`;
  return new DomainError("CODE_LIMIT_EXCEEDED", message, { limit, has });
}

function channelNotOpen(opensAtMs: number): DomainError {
  const opensAt = new Date(opensAtMs).toISOString();
  return new DomainError("CHANNEL_NOT_OPEN", `The seats of this code are on sale from ${opensAt}.`, { opensAt });
}

const channelEnded = (): DomainError =>
  new DomainError(
    "CHANNEL_ENDED",
    "The time of this code is over. Seats that were left are in the general sale now: ask again without the code.",
  );

function notInChannel(seats: readonly Seat[], isGeneralOpen: boolean): DomainError {
  const names = seats.map((seat) => nameSeat(seat).seatId);
  const which = names.length === 1 ? `Seat ${names[0]} is` : `The seats ${names.join(", ")} are`;
  const advice = isGeneralOpen
    ? "Take the code's seats in one checkout, and the others in another."
    : "The general sale is not open yet: choose from the seats that the code opens.";
  return new DomainError("SEAT_NOT_IN_CHANNEL", `${which} not among those that this code opens. ${advice}`, {
    seats: names,
  });
}
