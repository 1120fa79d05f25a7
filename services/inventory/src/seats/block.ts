// Taking seats off the sale and putting them back: the organiser's own claims. A block is a claim, so no seat is both blocked and sold.
import { DomainError } from "@onsale/kit/errors";
import { derivedHex64 } from "@onsale/kit/ids";
import type { Metrics } from "@onsale/kit/metrics";
import type { EventStore } from "../events/event-store.js";
import { type EventRecord, isId } from "../events/events.js";
import { eventNotFound, type KnownEvents } from "../events/known-events.js";
import type { Generations } from "../generations/generations.js";
import { findSeats } from "../hall/find-seats.js";
import { findSeat, type Layout, nameSeat, type Run, runsOf, seatsOf } from "../hall/layout.js";
import { lineProblem } from "../hall/problems.js";
import type { Valkey } from "../valkey/valkey.js";
import type { BlockStore, StoredBlock } from "./block-store.js";
import type { Claim, ClaimStore } from "./claim-store.js";
import type { Marks } from "./marks.js";

/*
 * The order is: the block's document (pending), Valkey, the claims together with the document (blocked). Valkey first, so that no
 * buyer is given a seat that is about to be blocked; the claims last, because they decide. Whatever stops in between:
 *
 *   - with a pending document alone, nothing has happened;
 *   - with seats blocked in Valkey and no claims, a retry goes on; without one, the reconciliation gives the document up, after
 *     which the claims can't be written any more, and then frees the seats;
 *   - lifting goes the other way: the claims, Valkey, the document. A retry finds in the document which seats Valkey may not know of.
 */

export interface BlockDependencies {
  readonly store: { readonly blocks: BlockStore; readonly claims: ClaimStore; readonly events: EventStore };
  readonly events: KnownEvents;
  readonly generations: Generations;
  readonly marks: Marks;
  readonly valkey: Valkey;
  readonly metrics: Metrics;
}

export interface BlockWish {
  readonly eventId: string;
  /** Chosen by the caller: a retry meets the same block. */
  readonly blockId: string;
  /** Empty: an operator. */
  readonly organiserId: string;
  /** Who asks. */
  readonly accountId: string;
  readonly seatIds: readonly string[];
  readonly reason: string;
}

export const mostSeatsInBlock = 5_000;

export const blockHoldId = (blockId: string): string => derivedHex64("block", blockId);

export class Blocks {
  readonly #store;
  readonly #events;
  readonly #generations;
  readonly #marks;
  readonly #valkey;
  readonly #changes;

  constructor({ store, events, generations, marks, valkey, metrics }: BlockDependencies) {
    this.#store = store;
    this.#events = events;
    this.#generations = generations;
    this.#marks = marks;
    this.#valkey = valkey;
    this.#changes = metrics.counter("onsale_blocked_seats_total", "Seats blocked and unblocked by organisers", [
      "what",
    ]);
  }

  /** All or none. Refusals: those of BlockService.BlockSeats. */
  async block(wish: BlockWish): Promise<StoredBlock> {
    const { eventId, blockId, accountId, seatIds, reason } = wish;
    const event = await this.#owned(eventId, wish.organiserId);
    if (!isId(blockId) || !isId(accountId))
      throw new DomainError(
        "REQUEST_INVALID",
        "The block's and the account's id must be 1 to 64 of A-Z, a-z, 0-9, _ and -.",
      );
    const unsound = lineProblem(reason, 200);
    if (unsound) throw new DomainError("REQUEST_INVALID", `The reason ${unsound}.`);
    const layout = await this.#events.layoutOf(event.layoutVersion);
    const runs = this.#checkSeats(layout, seatIds);
    const holdId = blockHoldId(blockId);

    const wanted: StoredBlock = {
      blockId,
      holdId,
      accountId,
      reason,
      state: "pending",
      seatIds: [...seatIds],
      at: new Date(),
    };
    const begun = await this.#store.blocks.begin(eventId, wanted);
    const asked = new Set(seatIds);
    if (
      begun.seatIds.some((seatId) => !asked.has(seatId)) ||
      (begun.state === "pending" && begun.seatIds.length < asked.size)
    )
      throw new DomainError("IDEMPOTENCY_KEY_REUSED", "This block has other seats. Make a new one for these.");
    if (begun.state === "blocked") return begun;

    const answer = await this.#inValkey(event, holdId, runs);
    if (answer.kind === "taken") {
      await this.#store.blocks.abandon(eventId, holdId, Date.now());
      await this.#marks.unblock(event, holdId, seatIds); // another try of ours may have got further
      throw await this.#notFree(event, layout, runs, answer.ordinals);
    }
    const seats = seatsOf(runs).map((seat) => ({
      seatId: nameSeat(seat).seatId,
      sectionId: seat.section.sectionId,
      amount: 0,
    }));
    const outcome = await this.#store.blocks.commit(eventId, begun, seats);
    switch (outcome.kind) {
      case "blocked": {
        // The seats may have been made anew since Valkey was told.
        await this.#marks.settle(event, claimsOf(begun), { askedNow: false });
        this.#changes.inc({ what: "blocked" }, seatIds.length);
        return { ...begun, state: "blocked" };
      }
      case "taken": {
        await this.#store.blocks.abandon(eventId, holdId, Date.now());
        await this.#marks.unblock(event, holdId, seatIds);
        await this.#marks.settle(event, outcome.owners, { askedNow: true }); // Valkey believed that they were free
        const theirs = outcome.owners.filter(({ kind }) => kind !== "block");
        throw theirs.length > 0
          ? takenByBuyers(theirs.map(({ seatId }) => seatId))
          : alreadyBlocked(outcome.owners.map(({ seatId }) => seatId));
      }
      case "gone":
        await this.#marks.unblock(event, holdId, seatIds);
        throw new DomainError("UNAVAILABLE", "Blocking these seats took too long and was given up. Please try again.");
    }
  }

  /** Puts seats back on sale; answers which were blocked. Fails until Valkey knows too, so that the caller tries again. */
  async unblock(eventId: string, organiserId: string, seatIds: readonly string[]): Promise<string[]> {
    const event = await this.#owned(eventId, organiserId);
    const layout = await this.#events.layoutOf(event.layoutVersion);
    this.#checkSeats(layout, seatIds);
    const sold = (await this.#store.claims.forSeats(eventId, seatIds)).filter(({ kind }) => kind !== "block");
    if (sold.length > 0) throw takenByBuyers(sold.map(({ seatId }) => seatId));

    const asked = new Set(seatIds);
    const lifted: string[] = [];
    const parts: { block: StoredBlock; seats: string[] }[] = [];
    for (const one of await this.#store.blocks.of(eventId)) {
      const seats = one.state === "blocked" ? one.seatIds.filter((seatId) => asked.has(seatId)) : [];
      if (seats.length > 0) parts.push({ block: one, seats });
      lifted.push(...seats);
    }
    const fixed = seatIds.filter((seatId) => !lifted.includes(seatId) && isBlockedByLayout(layout, seatId));
    if (fixed.length > 0)
      throw new DomainError(
        "BLOCKED_BY_LAYOUT",
        `${fixed.slice(0, 50).join(", ")} ${fixed.length === 1 ? "is" : "are"} not for sale by the event's layout, which can't be changed once it is made.`,
        { seats: fixed.slice(0, 50) },
      );
    for (const { block: one, seats } of parts) {
      const ended = await this.#store.blocks.endClaims(eventId, one.holdId, seats);
      await this.#marks.unblock(event, one.holdId, seats);
      await this.#store.blocks.forgetSeats(eventId, one.blockId, seats);
      this.#changes.inc({ what: "unblocked" }, ended);
    }
    return lifted;
  }

  /** Blocks that still have seats, oldest first; and the seats that the layout blocks. */
  async list(eventId: string, organiserId: string): Promise<{ blocks: StoredBlock[]; byLayout: string[] }> {
    const event = await this.#owned(eventId, organiserId);
    const layout = await this.#events.layoutOf(event.layoutVersion);
    const made = (await this.#store.blocks.of(eventId)).filter(({ state }) => state === "blocked");
    const claims = await this.#store.claims.forSeats(eventId, [...new Set(made.flatMap((one) => one.seatIds))]);
    const holder = new Map(claims.map(({ seatId, holdId }) => [seatId, holdId]));
    const blocks = made
      .map((one) => ({ ...one, seatIds: one.seatIds.filter((seatId) => holder.get(seatId) === one.holdId) }))
      .filter(({ seatIds }) => seatIds.length > 0)
      .sort((a, b) => a.at.getTime() - b.at.getTime());
    const byLayout = layout.sections.flatMap((section) =>
      section.blocked.map((index) => nameSeat({ section, index }).seatId),
    );
    return { blocks, byLayout };
  }

  /** A draft's seats are blocked in its layout: until it is published they are nobody's. */
  async #owned(eventId: string, organiserId: string): Promise<EventRecord> {
    const found = isId(eventId) ? (await this.#store.events.find(eventId))?.event : undefined;
    if (!found || (organiserId !== "" && found.organiserId !== organiserId)) throw eventNotFound();
    if (!found.published)
      throw new DomainError(
        "EVENT_IS_DRAFT",
        "This event is a draft, so nobody can take its seats. Publish it first, or block seats in its layout.",
      );
    return found;
  }

  #checkSeats(layout: Layout, seatIds: readonly string[]): Run[] {
    if (seatIds.length < 1 || seatIds.length > mostSeatsInBlock)
      throw new DomainError("REQUEST_INVALID", `Name 1 to ${mostSeatsInBlock} seats.`);
    if (new Set(seatIds).size < seatIds.length)
      throw new DomainError("REQUEST_INVALID", "A seat is named twice. Name each seat once.");
    const seats = findSeats(layout, seatIds);
    if (seats.some(({ section }) => section.generalAdmission))
      throw new DomainError(
        "REQUEST_INVALID",
        "Places in general admission have no seats to block. Set them aside as a channel's instead.",
      );
    return runsOf(layout, seats);
  }

  #inValkey(event: EventRecord, holdId: string, runs: readonly Run[]) {
    return this.#generations.run(event, (generation) => this.#valkey.seats.block(generation, holdId, runs));
  }

  /** Why seats can't be blocked: those that are already are told apart from those that are a buyer's. */
  async #notFree(event: EventRecord, layout: Layout, runs: readonly Run[], ordinals: readonly number[]) {
    const all = seatsOf(runs);
    const seatIds = ordinals.flatMap((at) => (all[at] ? [nameSeat(all[at]).seatId] : []));
    const claims = new Map(
      (await this.#store.claims.forSeats(event.eventId, seatIds)).map((claim) => [claim.seatId, claim]),
    );
    const taken = seatIds.filter((seatId) => {
      const claim = claims.get(seatId);
      return claim ? claim.kind !== "block" : !isBlockedByLayout(layout, seatId);
    });
    return taken.length > 0 ? takenByBuyers(taken) : alreadyBlocked(seatIds);
  }
}

const claimsOf = ({ blockId, holdId, accountId, seatIds }: StoredBlock): Claim[] =>
  seatIds.map((seatId) => ({ kind: "block", seatId, checkoutId: blockId, holdId, userId: accountId }));

function isBlockedByLayout(layout: Layout, seatId: string): boolean {
  const seat = findSeat(layout, seatId);
  return seat?.section.blocked.includes(seat.index) ?? false;
}

function takenByBuyers(seats: readonly string[]): DomainError {
  const told = seats.slice(0, 50);
  const which = seats.length === 1 ? `Seat ${told[0]} is` : `The seats ${told.join(", ")} are`;
  return new DomainError(
    "SEAT_TAKEN",
    `${which} held or bought by a buyer. Nothing was changed; leave ${seats.length === 1 ? "it" : "them"} out, or refund the order first.`,
    { seats: told },
  );
}

function alreadyBlocked(seats: readonly string[]): DomainError {
  const told = seats.slice(0, 50);
  const which = seats.length === 1 ? `Seat ${told[0]} is` : `The seats ${told.join(", ")} are`;
  return new DomainError(
    "SEATS_BLOCKED",
    `${which} blocked already. Nothing was changed; leave ${seats.length === 1 ? "it" : "them"} out.`,
    {
      seats: told,
    },
  );
}
