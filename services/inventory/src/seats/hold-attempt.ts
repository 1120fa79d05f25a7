// One try to hold seats: what is asked for, by whom, on which terms; the script decides, and what it answers becomes a hold or a refusal.
import { DomainError } from "@onsale/kit/errors";
import type { Metrics } from "@onsale/kit/metrics";
import { chooseBest, describeLeftover } from "../best-available/best-available.js";
import { type Boards, openBoard } from "../best-available/board.js";
import { orphansOfPick } from "../best-available/orphans.js";
import { generalPool } from "../channels/channel.js";
import type { Channels, Opened } from "../channels/channels.js";
import { accessibleEndsAtMs, type EventRecord, saleEndsAtMs } from "../events/events.js";
import type { Generations } from "../generations/generations.js";
import { checkSeatIds, findSeats } from "../hall/find-seats.js";
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
import type { HoldAnswer, HoldTerms } from "../valkey/seat-scripts.js";
import type { Valkey } from "../valkey/valkey.js";
import type { SeatMaps } from "./availability.js";
import { describe } from "./held-seats.js";
import { checkBest, checkQuantity, checkRoom, fits, sectionsOf } from "./hold-checks.js";
import { type Hold, type HoldWish, holdIdOf, type Party } from "./hold-request.js";
import {
  channelEnded,
  channelNotOpen,
  checkoutReused,
  codeLimitReached,
  limitReached,
  notEnoughPlaces,
  notEnoughSeats,
  seatsOrphaned,
  seatsTaken,
  sectionUnknown,
} from "./refusals.js";

/** What all tries of a process share. */
export interface AttemptDependencies {
  readonly generations: Generations;
  readonly valkey: Valkey;
  readonly maps: SeatMaps;
  readonly channels: Channels;
  readonly boards: Boards;
  readonly random: () => number;
  readonly chosen: ReturnType<Metrics["counter"]>;
  readonly scriptSeconds: ReturnType<Metrics["histogram"]>;
}

export interface Attempted {
  readonly wish: HoldWish;
  readonly event: EventRecord;
  readonly layout: Layout;
  /** By the wish's code; undefined: from the general sale. */
  readonly opened: Opened | undefined;
}

/** How often seats are chosen anew when others are quicker, each time from twice as many of the best. */
const choices = 8;
const firstSpread = 8;

export class HoldAttempt {
  readonly #generations;
  readonly #valkey;
  readonly #maps;
  readonly #channels;
  readonly #boards;
  readonly #random;
  readonly #chosen;
  readonly #scriptSeconds;
  readonly #wish;
  readonly #event;
  readonly #layout;
  readonly #channel;
  readonly #terms;
  /** Those who choose from the same seats. */
  readonly #crowd;
  /** Accessible seats are kept for who asks for them. */
  readonly #reserved;

  constructor({
    generations,
    valkey,
    maps,
    channels,
    boards,
    random,
    chosen,
    scriptSeconds,
    wish,
    event,
    layout,
    opened,
  }: AttemptDependencies & Attempted) {
    this.#generations = generations;
    this.#valkey = valkey;
    this.#maps = maps;
    this.#channels = channels;
    this.#boards = boards;
    this.#random = random;
    this.#chosen = chosen;
    this.#scriptSeconds = scriptSeconds;
    this.#wish = wish;
    this.#event = event;
    this.#layout = layout;
    this.#channel = opened?.channel;
    this.#terms = termsOf(wish, event, opened);
    this.#crowd = this.#channel ? `${event.eventId}:${this.#channel.channelId}` : event.eventId;
    this.#reserved = Date.now() < accessibleEndsAtMs(event);
  }

  async hold(): Promise<Hold> {
    const { selection } = this.#wish;
    const { limit } = this.#terms;
    if ("seatIds" in selection) {
      checkSeatIds(selection.seatIds);
      if (selection.seatIds.length > limit) throw limitReached(limit, 0);
      return await this.#holdSeats(selection.seatIds, selection.accessible === true);
    }
    if ("best" in selection) {
      checkBest(selection.best);
      if (selection.best.quantity > limit) throw limitReached(limit, 0);
      return await this.#holdBest({
        ...selection.best,
        sections: sectionsOf(this.#event, this.#layout, selection.best),
      });
    }
    const { sectionId, quantity } = selection;
    checkQuantity(quantity);
    const section = this.#layout.sectionById.get(sectionId);
    if (!section) throw sectionUnknown([sectionId]);
    if (quantity > limit) throw limitReached(limit, 0);
    if (section.generalAdmission) return await this.#holdPlaces(section, quantity);
    return await this.#holdBest({ sections: [section], quantity, accessible: 0, companions: 0, split: false });
  }

  /** Runs a hold script. */
  #ask(take: (generation: Generation) => Promise<HoldAnswer | undefined>) {
    return this.#generations.run(this.#event, async (generation) => {
      // Seats for somebody who has left would stay held until they expire.
      if (Date.now() > (this.#wish.deadline ?? Number.POSITIVE_INFINITY))
        throw new DomainError("DEADLINE_EXCEEDED", "Nobody waits for this hold any more.");
      const end = this.#scriptSeconds.startTimer();
      let answer = await take(generation);
      end();
      // What has just expired may still be counted.
      if (answer?.kind === "code-limit" && (await this.#maps.sweep(this.#event)) > 0) answer = await take(generation);
      return answer && { generation, answer };
    });
  }

  /** Free seats as this buyer may take them. */
  async #mapsFor(isFresh: boolean) {
    return this.#channel
      ? await this.#channels.mapsOf(this.#event, this.#layout, this.#channel, isFresh)
      : (await (isFresh ? this.#maps.fresh(this.#event) : this.#maps.recent(this.#event))).maps;
  }

  /** What a script has answered to a wish for these runs (undefined: it chose them itself), as a hold or a refusal. */
  #conclude(generation: Generation, answer: HoldAnswer, wanted: readonly Run[] | undefined): Hold {
    switch (answer.kind) {
      case "held": {
        const runs = wanted ?? readRuns(this.#layout, answer.runs);
        return describe(
          this.#event,
          { holdId: this.#terms.holdId, epoch: generation.epoch, deadlineMs: answer.deadlineMs },
          runs,
        );
      }
      case "known": {
        const known = answer.hold;
        if (!known || (known.state === "held" && known.deadlineMs <= answer.nowMs))
          throw new DomainError(
            "HOLD_EXPIRED",
            "This checkout has ended, and its seats are free again. Start a new checkout to try again.",
          );
        const runs = readRuns(this.#layout, known.runs);
        if (!fits(this.#event, this.#layout, this.#wish.selection, runs)) throw checkoutReused();
        return describe(
          this.#event,
          { holdId: this.#terms.holdId, epoch: known.epoch, deadlineMs: known.deadlineMs },
          runs,
        );
      }
      case "reused":
        throw checkoutReused();
      case "taken":
        throw seatsTaken(wanted ?? [], answer.ordinals, answer.own);
      case "short":
        throw notEnoughPlaces(this.#wish.selection, answer.free);
      case "limit":
        throw limitReached(this.#terms.limit, answer.has);
      case "code-limit":
        throw codeLimitReached(this.#terms.code?.limit ?? 0, answer.has);
      case "early":
        if (this.#channel) throw channelNotOpen(this.#channel.opensAtMs);
        throw new DomainError("SALE_NOT_OPEN", `The sale opens at ${new Date(this.#event.onSaleAtMs).toISOString()}.`, {
          onSaleAt: new Date(this.#event.onSaleAtMs).toISOString(),
        });
      case "over":
        if (this.#channel) throw channelEnded();
        throw new DomainError("SALE_ENDED", "The sale of this event has ended.");
    }
  }

  async #holdSeats(seatIds: readonly string[], accessible: boolean): Promise<Hold> {
    const seats = findSeats(this.#layout, seatIds);
    if (this.#reserved) checkRoom(seats, accessible);
    if (seats.some(({ section }) => section.generalAdmission))
      throw new DomainError(
        "REQUEST_INVALID",
        "Places in general admission are not chosen one by one: ask for a section and a quantity.",
      );
    if (this.#event.orphanRule === "strict") await this.#refuseOrphans(seats);
    const runs = runsOf(this.#layout, seats);
    const text = writeRuns(runs);
    const { generation, answer } = await this.#ask((now) => this.#valkey.seats.hold(now, this.#terms, runs, text));
    if (answer.kind === "held") this.#boards.gone(this.#crowd, runs);
    return this.#conclude(generation, answer, runs);
  }

  async #holdPlaces(section: SectionPlan, quantity: number): Promise<Hold> {
    const askFor = () => this.#ask((now) => this.#valkey.seats.holdPlaces(now, this.#terms, section, quantity));
    let { generation, answer } = await askFor();
    // Places of holds that have just expired may not be back yet.
    if (answer.kind === "short" && (await this.#maps.sweep(this.#event)) > 0) ({ generation, answer } = await askFor());
    return this.#conclude(generation, answer, undefined);
  }

  /** Only the maps of their own sections are read, so that it can be done for every pick. */
  async #refuseOrphans(seats: readonly Seat[]): Promise<void> {
    if (this.#channel) {
      const found = orphansOfPick(openBoard(await this.#mapsFor(true)), seats, { reserved: this.#reserved });
      if (found) throw seatsOrphaned(found.orphans, found.instead);
      return;
    }
    const sections = [...new Set(seats.map(({ section }) => section))];
    const read = await this.#generations.run(this.#event, (generation) => this.#valkey.read.maps(generation, sections));
    const now = new Map(sections.map((section, at) => [section, read.maps[at] as Uint8Array]));
    if (!orphansOfPick(openBoard(now), seats, { reserved: this.#reserved })) return;
    // Holds that have just expired may still be on the map: before somebody is refused, they are cleared away.
    const found = orphansOfPick(openBoard((await this.#maps.fresh(this.#event)).maps), seats, {
      reserved: this.#reserved,
    });
    if (found) throw seatsOrphaned(found.orphans, found.instead);
  }

  async #holdBest(party: Party): Promise<Hold> {
    const choice = { ...party, reserved: this.#reserved, orphans: this.#event.orphanRule, random: this.#random };
    for (let tries = 1, spread = firstSpread; ; tries++, spread *= 2) {
      // The first look may be a little old, since a crowd shares it; one who has lost a race looks again.
      const seen = await this.#mapsFor(tries > 1);
      const board = this.#boards.of(this.#crowd, seen);
      let runs = chooseBest(board, { ...choice, spread });
      if (!runs && tries > 1) {
        const asRead = this.#boards.asRead(this.#crowd, seen);
        runs = asRead && chooseBest(asRead, { ...choice, spread });
      }
      if (!runs) {
        if (tries === 1) continue;
        // Nothing to choose; but this may be a retry of a hold that has its seats, perhaps the last ones.
        this.#chosen.inc({ outcome: "nothing" });
        const generation = await this.#generations.current(this.#event);
        const known = await this.#valkey.read.knownHold(this.#event.eventId, this.#terms.holdId, this.#wish.userId);
        if (!known || (known.hold?.state === "held" && known.hold.epoch !== generation.epoch))
          throw notEnoughSeats(party, describeLeftover(board, choice), () =>
            chooseBest(board, { ...choice, spread, split: true }),
          );
        return this.#conclude(generation, known, undefined);
      }
      const settle = this.#boards.take(this.#crowd, runs);
      let nowTaken: readonly Run[] = [];
      try {
        const { generation, answer } = await this.#ask((now) =>
          this.#valkey.seats.hold(now, this.#terms, runs, writeRuns(runs)),
        );
        if (answer.kind === "held") nowTaken = runs;
        if (answer.kind !== "taken") {
          this.#chosen.inc({ outcome: answer.kind });
          return this.#conclude(generation, answer, runs);
        }
        nowTaken = runsAt(this.#layout, runs, answer.ordinals);
      } finally {
        settle(nowTaken);
      }
      this.#chosen.inc({ outcome: "lost" });
      if (tries === choices)
        throw new DomainError(
          "NOT_ENOUGH_SEATS",
          `Others were quicker ${choices} times in a row. There are still free seats: try again with a new checkout.`,
          { lostRaces: choices },
        );
    }
  }
}

/** What the script is to check beside the seats: a channel has its own window, limit and seats. */
function termsOf(wish: HoldWish, event: EventRecord, opened: Opened | undefined): HoldTerms {
  const channel = opened?.channel;
  return {
    holdId: holdIdOf(wish.checkoutId),
    userId: wish.userId,
    limit: channel && channel.seatsPerPerson > 0 ? channel.seatsPerPerson : event.seatsPerPerson,
    onSaleAtMs: channel ? channel.opensAtMs : event.onSaleAtMs,
    offSaleAtMs: channel ? (channel.ended ? 0 : channel.closesAtMs) : saleEndsAtMs(event),
    pool: channel ? channel.pool : generalPool,
    code: opened && { codeId: opened.codeId, limit: opened.channel.seatsPerCode },
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
