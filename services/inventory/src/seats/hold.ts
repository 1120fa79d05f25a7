// Holding seats and letting go of them: one script in Valkey for each.
import { DomainError } from "@onsale/kit/errors";
import type { Metrics } from "@onsale/kit/metrics";
import { createBoards } from "../best-available/board.js";
import { channelSeats, codeInvalid } from "../channels/channel.js";
import type { Channels, Opened } from "../channels/channels.js";
import type { EventRecord } from "../events/events.js";
import { eventCancelled, type KnownEvents } from "../events/known-events.js";
import type { Generations } from "../generations/generations.js";
import { checkSeatIds, findSeats, mostSeatsAtOnce } from "../hall/find-seats.js";
import { type Layout, readRuns, runsOf } from "../hall/layout.js";
import type { HoldRace } from "../valkey/hold-race.js";
import type { Valkey } from "../valkey/valkey.js";
import type { SeatMaps } from "./availability.js";
import { HoldAttempt } from "./hold-attempt.js";
import { checkHoldId, checkIds } from "./hold-checks.js";
import { type Hold, type HoldWish, holdIdOf, type ReleaseWish } from "./hold-request.js";
import { layoutChanged, notInChannel } from "./refusals.js";

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

export class Holds {
  readonly #events;
  readonly #generations;
  readonly #valkey;
  readonly #maps;
  readonly #channels;
  readonly #race;
  readonly #random;
  readonly #outcomes;
  readonly #chosen;
  readonly #boards;
  readonly #scriptSeconds;

  constructor({ events, generations, valkey, maps, channels, race, random, metrics }: HoldDependencies) {
    this.#events = events;
    this.#generations = generations;
    this.#valkey = valkey;
    this.#maps = maps;
    this.#channels = channels;
    this.#race = race;
    this.#random = random;
    this.#outcomes = metrics.counter("onsale_holds_total", "Holds asked for, by outcome", ["outcome"]);
    this.#chosen = metrics.counter("onsale_seats_chosen_total", "Choices of seats for buyers, by what became of them", [
      "outcome",
    ]);
    this.#boards = createBoards();
    this.#scriptSeconds = metrics.histogram(
      "onsale_hold_script_seconds",
      "Time of one hold script, with the way to Valkey",
    );
  }

  /** Refusals: those of SeatService.Hold, REQUEST_INVALID, UNAVAILABLE. */
  async hold(wish: HoldWish): Promise<Hold> {
    try {
      const held = await this.#hold(wish);
      this.#outcomes.inc({ outcome: "held" });
      this.#race.won(wish.eventId);
      return held;
    } catch (error) {
      const { code } = DomainError.from(error);
      this.#outcomes.inc({ outcome: code });
      this.#race.refused(wish.eventId, code);
      throw error;
    }
  }

  /** Frees what the hold still has. How many seats that were. */
  async release({ eventId, checkoutId, holdId, userId, seatIds }: ReleaseWish): Promise<number> {
    checkHoldId(checkoutId, holdId);
    if (seatIds.length > mostSeatsAtOnce) throw new DomainError("REQUEST_INVALID", "These are too many seats.");
    const event = await this.#events.published(eventId);
    const layout = await this.#events.layoutOf(event.layoutVersion);
    const known = seatIds.length === 0 ? (await this.#valkey.read.knownHold(eventId, holdId, userId))?.hold : undefined;
    const runs = known ? readRuns(layout, known.runs) : runsOf(layout, findSeats(layout, seatIds));
    return await this.#generations.run(event, (generation) =>
      this.#valkey.seats.release(generation, { holdId, userId, what: "hold", ends: true }, runs),
    );
  }

  /**
   * What a wish with a code is to be taken from; undefined: the general sale. A code takes its channel's seats. Once the general
   * sale is open it may name general seats as well, all of them: one checkout is one or the other.
   * Refusals: ACCESS_CODE_INVALID, SEAT_NOT_IN_CHANNEL (details.seats).
   */
  async #openedFor(wish: HoldWish, event: EventRecord, layout: Layout): Promise<Opened | undefined> {
    const { accessCode, selection } = wish;
    if (accessCode === undefined) return undefined;
    const opened = await this.#channels.find(event.eventId, accessCode);
    if (!opened) {
      // A retry of what was held before the channel was deleted meets its hold: the script looks at nothing else then.
      if (await this.#valkey.read.knownHold(event.eventId, holdIdOf(wish.checkoutId), wish.userId)) return undefined;
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

  async #hold(wish: HoldWish): Promise<Hold> {
    checkIds(wish);
    const event = await this.#events.published(wish.eventId);
    if (event.cancelledAtMs > 0) throw eventCancelled();
    if (wish.layoutVersion !== undefined && wish.layoutVersion !== event.layoutVersion) throw layoutChanged(event);
    const layout = await this.#events.layoutOf(event.layoutVersion);
    const opened = await this.#openedFor(wish, event, layout);
    const shared = {
      generations: this.#generations,
      valkey: this.#valkey,
      maps: this.#maps,
      channels: this.#channels,
      boards: this.#boards,
      random: this.#random,
      chosen: this.#chosen,
      scriptSeconds: this.#scriptSeconds,
    };
    return await new HoldAttempt({ ...shared, wish, event, layout, opened }).hold();
  }
}
