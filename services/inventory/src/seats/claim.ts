// Making held seats a checkout's own for good, and giving them back. MongoDB decides; Valkey is asked before and told after.
import { setTimeout as sleep } from "node:timers/promises";
import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import { type EventRecord, isId } from "../events/events.js";
import { eventCancelled, type KnownEvents } from "../events/known-events.js";
import type { Generations } from "../generations/generations.js";
import { checkSeatIds, findSeats, mostSeatsAtOnce } from "../hall/find-seats.js";
import { type Run, runsOf, writeRuns } from "../hall/layout.js";
import type { FenceAnswer } from "../valkey/seat-scripts.js";
import type { Valkey } from "../valkey/valkey.js";
import type { Claim, ClaimStore } from "./claim-store.js";
import { describeSeat } from "./held-seats.js";
import { checkHoldId } from "./hold-checks.js";
import { holdIdOf } from "./hold-request.js";
import type { Marks } from "./marks.js";
import { seatsTaken, seatsTakenByName } from "./refusals.js";

export interface ClaimDependencies {
  readonly store: { readonly claims: ClaimStore };
  readonly events: KnownEvents;
  readonly generations: Generations;
  readonly marks: Marks;
  readonly valkey: Valkey;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Tells when the process stops: what is still being retried is left to the reconciliation then. */
  readonly running: () => boolean;
}

export interface ClaimWish {
  readonly eventId: string;
  readonly checkoutId: string;
  readonly userId: string;
  readonly holdId: string;
  readonly epoch: number;
  readonly deadlineMs: number;
  readonly seatIds: readonly string[];
}

/** Pauses before Valkey is told again that seats are sold. After the last, the reconciliation finds it. */
const pausesMs = [50, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000];
/** The buyer's step waits no longer for that. */
const tellingMs = 1_000;

export class Claims {
  readonly #store;
  readonly #events;
  readonly #generations;
  readonly #marks;
  readonly #valkey;
  readonly #log;
  readonly #running;
  readonly #outcomes;
  readonly #conflicts;
  readonly #untold;

  constructor({ store, events, generations, marks, valkey, log, metrics, running }: ClaimDependencies) {
    this.#store = store;
    this.#events = events;
    this.#generations = generations;
    this.#marks = marks;
    this.#valkey = valkey;
    this.#log = log;
    this.#running = running;
    this.#outcomes = metrics.counter("onsale_claims_total", "Claims asked for, by outcome", ["outcome"]);
    this.#conflicts = metrics.counter(
      "onsale_claim_conflicts_total",
      "Claims for which Valkey had the seats and MongoDB did not",
    );
    this.#untold = metrics.counter("onsale_claims_untold_total", "Claims that Valkey could not be told of");
  }

  /** All or none, for good. Refusals: SEAT_TAKEN (details.seats), HOLD_EXPIRED, EVENT_CANCELLED, SEAT_UNKNOWN, REQUEST_INVALID, INVENTORY_REBUILDING, UNAVAILABLE. */
  async claim(wish: ClaimWish): Promise<{ fresh: boolean }> {
    try {
      const claimed = await this.#claim(wish);
      this.#outcomes.inc({ outcome: claimed.fresh ? "claimed" : "repeated" });
      return claimed;
    } catch (error) {
      this.#outcomes.inc({ outcome: DomainError.from(error).code });
      throw error;
    }
  }

  /** How many seats were given back now. Fails until Valkey knows too, so that the caller tries again. */
  async release(
    eventId: string,
    checkoutId: string,
    userId: string,
    seatIds: readonly string[],
  ): Promise<{ released: number }> {
    if (!isId(checkoutId) || !isId(userId) || seatIds.length > mostSeatsAtOnce)
      throw new DomainError("REQUEST_INVALID", "The ids are not a checkout's and a user's, or the seats are too many.");
    const event = await this.#events.published(eventId);
    const layout = await this.#events.layoutOf(event.layoutVersion);
    findSeats(layout, seatIds);
    const { released, seatIds: freed, all, codeId } = await this.#store.claims.release(eventId, checkoutId, seatIds);
    await this.#marks.free(event, { holdId: holdIdOf(checkoutId), userId, codeId }, freed, { ends: all });
    return { released };
  }

  #fence(event: EventRecord, wish: ClaimWish, runs: readonly Run[]): Promise<FenceAnswer> {
    return this.#generations.run(event, (generation) =>
      this.#valkey.seats.fence(generation, { ...wish, limit: event.seatsPerPerson }, runs, writeRuns(runs)),
    );
  }

  async #tellUntilKnown(event: EventRecord, claims: readonly Claim[], askedNow: boolean): Promise<void> {
    for (const pauseMs of [0, ...pausesMs]) {
      if (pauseMs > 0) await sleep(pauseMs, undefined, { ref: false });
      if (!this.#running()) return;
      try {
        await this.#marks.settle(event, claims, { askedNow });
        return;
      } catch (err) {
        if (err instanceof DomainError && err.refusal.retryable) continue;
        this.#log.error({ err, eventId: event.eventId }, "a bug: seats could not be marked as sold");
        return;
      }
    }
    this.#untold.inc();
    this.#log.warn({ eventId: event.eventId, seats: claims.length }, "Valkey could not be told that seats are sold");
  }

  /** Tells Valkey that seats are sold; goes on in the background when that takes long. The claim stands whether or not it knows. */
  async #tell(event: EventRecord, claims: readonly Claim[], askedNow: boolean): Promise<void> {
    const enough = new AbortController();
    const waited = sleep(tellingMs, undefined, { signal: enough.signal, ref: false }).catch(() => undefined);
    await Promise.race([this.#tellUntilKnown(event, claims, askedNow), waited]);
    enough.abort();
  }

  /** Valkey believed that these seats were ours, or nobody's. */
  async #correct(event: EventRecord, owners: readonly Claim[]): Promise<void> {
    this.#conflicts.inc();
    const blocked = owners.filter(({ kind }) => kind === "block");
    if (blocked.length > 0) await this.#tell(event, blocked, true);
    const sold = owners.filter(({ kind }) => kind !== "block");
    for (const checkoutId of new Set(sold.map((owner) => owner.checkoutId)))
      await this.#tell(event, await this.#store.claims.ofCheckout(event.eventId, checkoutId), true);
  }

  async #claim(wish: ClaimWish): Promise<{ fresh: boolean }> {
    const { eventId, checkoutId, userId, holdId, seatIds } = wish;
    checkHoldId(checkoutId, holdId);
    checkSeatIds(seatIds);
    if (!isId(userId) || ![wish.epoch, wish.deadlineMs].every((n) => Number.isSafeInteger(n) && n >= 0))
      throw new DomainError("REQUEST_INVALID", "The user's id, the epoch or the deadline is not one that a hold has.");
    const event = await this.#events.published(eventId);
    // Refused even if it has the seats: then they are given back, before any money was taken for them.
    if (event.cancelledAtMs > 0) throw eventCancelled();
    const layout = await this.#events.layoutOf(event.layoutVersion);
    const seats = findSeats(layout, seatIds);
    const runs = runsOf(layout, seats);
    const mineBy = (codeId: string | undefined): Claim[] =>
      seatIds.map((seatId) => ({ seatId, checkoutId, holdId, userId, ...(codeId === undefined ? {} : { codeId }) }));

    const fenced = await this.#fence(event, wish, runs);
    if (fenced.kind !== "ok") {
      // A try before this one may have written the claim and died; then the seats are this checkout's, whatever Valkey says.
      if (await this.#store.claims.owns(eventId, checkoutId, seatIds)) {
        await this.#tell(event, await this.#store.claims.ofCheckout(eventId, checkoutId), true);
        return { fresh: false };
      }
      if (fenced.kind === "taken") throw seatsTaken(runs, fenced.ordinals);
      throw new DomainError(
        "HOLD_EXPIRED",
        "The time to buy these seats is over, and they are no longer held for this checkout.",
      );
    }

    const outcome = await this.#store.claims.claim({
      eventId,
      checkoutId,
      holdId,
      userId,
      codeId: fenced.codeId,
      seats: seats.map((seat) => describeSeat(event, seat)),
    });
    switch (outcome.kind) {
      case "claimed":
        await this.#tell(event, mineBy(fenced.codeId), false);
        return { fresh: outcome.fresh };
      case "taken":
        await this.#correct(event, outcome.owners);
        throw seatsTakenByName(outcome.owners.map(({ seatId }) => seatId));
      case "released":
        throw new DomainError("HOLD_EXPIRED", "This checkout has given its seats back.");
    }
  }
}
