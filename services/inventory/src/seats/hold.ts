// Holding seats and letting go of them: one script in Valkey for each.
import { DomainError } from "@onsale/kit/errors";
import type { Metrics } from "@onsale/kit/metrics";
import { chooseBest, describeLeftover } from "../best-available/best-available.js";
import { createBoards, openBoard } from "../best-available/board.js";
import { orphansOfPick } from "../best-available/orphans.js";
import { channelSeats, codeInvalid, generalPool } from "../channels/channel.js";
import type { Channels, Opened } from "../channels/channels.js";
import { accessibleEndsAtMs, type EventRecord, saleEndsAtMs } from "../events/events.js";
import { eventCancelled, type KnownEvents } from "../events/known-events.js";
import type { Generations } from "../generations/generations.js";
import { checkSeatIds, findSeats, mostSeatsAtOnce } from "../hall/find-seats.js";
import {
  type Layout,
  type Run,
  readRuns,
  runsOf,
  type Seat,
  type SectionPlan,
  seatsOf,
  writeRuns,
} from "../hall/layout.js";
import type { Generation } from "../valkey/marker.js";
import type { HoldAnswer } from "../valkey/seat-scripts.js";
import type { Valkey } from "../valkey/valkey.js";
import type { SeatMaps } from "./availability.js";
import { describe } from "./held-seats.js";
import { checkBest, checkHoldId, checkIds, checkQuantity, checkRoom, fits, sectionsOf } from "./hold-checks.js";
import type { HoldRace } from "./hold-race.js";
import { type Hold, type HoldWish, holdIdOf, type Party, type ReleaseWish } from "./hold-request.js";
import {
  channelEnded,
  channelNotOpen,
  checkoutReused,
  codeLimitReached,
  layoutChanged,
  limitReached,
  notEnoughPlaces,
  notEnoughSeats,
  notInChannel,
  seatsOrphaned,
  seatsTaken,
  sectionUnknown,
} from "./refusals.js";

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

export type Holds = ReturnType<typeof createHolds>;
/** How often seats are chosen anew when others are quicker, each time from twice as many of the best. */
const choices = 8;
const firstSpread = 8;

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

  /** Runs a hold script. */
  const ask = (
    event: EventRecord,
    take: (generation: Generation) => Promise<HoldAnswer | undefined>,
    deadline = Number.POSITIVE_INFINITY,
  ) =>
    generations.run(event, async (generation) => {
      // Seats for somebody who has left would stay held until they expire.
      if (Date.now() > deadline) throw new DomainError("DEADLINE_EXCEEDED", "Nobody waits for this hold any more.");
      const end = scriptSeconds.startTimer();
      let answer = await take(generation);
      end();
      // What has just expired may still be counted.
      if (answer?.kind === "code-limit" && (await maps.sweep(event)) > 0) answer = await take(generation);
      return answer && { generation, answer };
    });

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
      if (await valkey.read.knownHold(event.eventId, holdIdOf(wish.checkoutId), wish.userId)) return undefined;
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
      const { generation, answer } = await ask(
        event,
        (now) => valkey.seats.hold(now, terms, runs, text),
        wish.deadline,
      );
      if (answer.kind === "held") boards.gone(crowd, runs);
      return conclude(generation, answer, runs);
    }

    async function holdPlaces(section: SectionPlan, quantity: number): Promise<Hold> {
      const askFor = () => ask(event, (now) => valkey.seats.holdPlaces(now, terms, section, quantity), wish.deadline);
      let { generation, answer } = await askFor();
      // Places of holds that have just expired may not be back yet.
      if (answer.kind === "short" && (await maps.sweep(event)) > 0) ({ generation, answer } = await askFor());
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
      const read = await generations.run(event, (generation) => valkey.read.maps(generation, sections));
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
          const known = await valkey.read.knownHold(event.eventId, holdId, wish.userId);
          if (!known || (known.hold?.state === "held" && known.hold.epoch !== generation.epoch))
            throw notEnoughSeats(party, describeLeftover(board, choice), () =>
              chooseBest(board, { ...choice, spread, split: true }),
            );
          return conclude(generation, known, undefined);
        }
        const settle = boards.take(crowd, runs);
        let nowTaken: readonly Run[] = [];
        try {
          const { generation, answer } = await ask(
            event,
            (now) => valkey.seats.hold(now, terms, runs, writeRuns(runs)),
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
      const known = seatIds.length === 0 ? (await valkey.read.knownHold(eventId, holdId, userId))?.hold : undefined;
      const runs = known ? readRuns(layout, known.runs) : runsOf(layout, findSeats(layout, seatIds));
      return await generations.run(event, (generation) =>
        valkey.seats.release(generation, { holdId, userId, what: "hold", ends: true }, runs),
      );
    },
  };
}

/** Those at these places, counted over all runs. */
function runsAt(layout: Layout, runs: readonly Run[], ordinals: readonly number[]): Run[] {
  const all = seatsOf(runs);
  return runsOf(
    layout,
    ordinals.flatMap((at) => all[at] ?? []),
  );
}
