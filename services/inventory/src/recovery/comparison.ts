// Seats in Valkey compared with the claims in MongoDB, and put right where they differ.
import type { Metrics } from "@onsale/kit/metrics";
import type { EventRecord } from "../events/events.js";
import type { Generations } from "../generations/generations.js";
import { findSeat, type Layout, nameSeat } from "../hall/layout.js";
import { readRecord, type SeatRecord, seatStates } from "../hall/seat-map.js";
import type { BlockStore } from "../seats/block-store.js";
import type { Claim, ClaimStore } from "../seats/claim-store.js";
import { markClaimed, markFree, runsOfSeats } from "../seats/marks.js";
import type { Generation } from "../valkey/marker.js";
import type { Valkey } from "../valkey/valkey.js";

export interface ComparisonDependencies {
  readonly store: { readonly claims: ClaimStore; readonly blocks: BlockStore };
  readonly valkey: Pick<Valkey, "seats" | "read">;
  readonly generations: Generations;
  readonly layoutOf: (layoutVersion: string) => Promise<Layout>;
  readonly metrics: Metrics;
}

/** What is thought of a seat: claimed by this hold, or by none. */
export interface ExpectedSeat {
  readonly seatId: string;
  readonly holdId: string | undefined;
}

/** A block that has got no claims for so long never will: whoever made it is gone. */
const blockingMs = 60_000;

export class Comparison {
  readonly #store;
  readonly #valkey;
  readonly #generations;
  readonly #layoutOf;
  readonly #corrections;

  constructor({ store, valkey, generations, layoutOf, metrics }: ComparisonDependencies) {
    this.#store = store;
    this.#valkey = valkey;
    this.#generations = generations;
    this.#layoutOf = layoutOf;
    this.#corrections = metrics.counter(
      "onsale_seat_corrections_total",
      "Seats in Valkey put right by the claims",
      ["what"],
      [{ what: "freed" }, { what: "claimed" }],
    );
  }

  /** All seats: how many there are, and how many differed and were put right. */
  async all(event: EventRecord): Promise<{ readonly seats: number; readonly corrected: number }> {
    const { eventId } = event;
    const layout = await this.#layoutOf(event.layoutVersion);
    const generation = await this.#generations.current(event);
    // Valkey first: a seat was marked as claimed only after its claim was there, so one without a claim now has lost it since.
    const claimed = new Map<string, string>();
    let seats = 0;
    for (const section of layout.sections) {
      const records = await this.#valkey.read.records(generation, section);
      if (!records) return { seats: 0, corrected: 0 }; // replaced: the new one was made from the claims
      for (let index = 0; index < section.seats; index++) {
        const holdId = claimedBy(readRecord(records, index));
        if (holdId !== undefined) claimed.set(nameSeat({ section, index }).seatId, holdId);
      }
      seats += section.seats;
    }
    const claims = await this.#store.claims.all(eventId);
    return { seats, corrected: await this.#putRight(eventId, layout, generation, claimed, claims) };
  }

  /** Some seats, where there is a generation at all; how many differed. Cheap when none does: MongoDB is not asked then. */
  async some(event: EventRecord, expected: readonly ExpectedSeat[]): Promise<number> {
    const { eventId } = event;
    const layout = await this.#layoutOf(event.layoutVersion);
    const corrected = await this.#generations.runInAny(event, async (generation) => {
      const claimed = new Map<string, string>();
      const wrong: string[] = [];
      const seats = expected.flatMap(({ seatId }) => findSeat(layout, seatId) ?? []);
      const records = await this.#valkey.read.seatRecords(generation, seats);
      if (!records) return undefined;
      for (const [at, seat] of seats.entries()) {
        const { seatId } = nameSeat(seat);
        const holdId = claimedBy(readRecord(records[at] as Buffer, 0));
        if (holdId === expected.find((one) => one.seatId === seatId)?.holdId) continue;
        wrong.push(seatId);
        if (holdId !== undefined) claimed.set(seatId, holdId);
      }
      // What was thought may be old by now: MongoDB says what is.
      const claims = wrong.length > 0 ? await this.#store.claims.forSeats(eventId, wrong) : [];
      return await this.#putRight(eventId, layout, generation, claimed, claims);
    });
    return corrected ?? 0;
  }

  /**
   * Makes seats what the claims say. `claimed`: those that Valkey has as claimed, and by which hold, read before the claims were.
   * How many seats differed.
   */
  async #putRight(
    eventId: string,
    layout: Layout,
    generation: Generation,
    claimed: ReadonlyMap<string, string>,
    claims: readonly Claim[],
  ): Promise<number> {
    const missing = claims.filter((claim) => claimed.get(claim.seatId) !== claim.holdId);
    const owned = new Map(claims.map((claim) => [claim.seatId, claim]));
    const gone = [...claimed].filter(([seatId, holdId]) => {
      const owner = owned.get(seatId);
      // A block takes no seat that looks sold, so that one is freed before.
      return !owner || (owner.kind === "block" && owner.holdId !== holdId);
    });
    const coming = await this.#pendingBlocks(eventId, gone);
    let kept = 0;
    const people =
      gone.length === 0 ? undefined : await this.#valkey.read.peopleOf(generation, new Set(gone.map(([, one]) => one)));
    for (const [seatId, holdId] of gone) {
      if (coming.has(`${seatId} ${holdId}`)) {
        kept += 1;
        continue;
      }
      if ((await this.#valkey.seats.unblock(generation, holdId, runsOfSeats(layout, [seatId]))) === 1) continue;
      await markFree(this.#valkey, generation, layout, { holdId, userId: people?.get(holdId) ?? "" }, [seatId], false);
    }
    // A person's entry counts all seats of the hold.
    const whole = new Map<string, Claim>();
    for (const checkoutId of new Set(missing.map((claim) => claim.checkoutId)))
      for (const claim of await this.#store.claims.ofCheckout(eventId, checkoutId)) whole.set(claim.seatId, claim);
    for (const claim of missing) whole.set(claim.seatId, claim);
    await markClaimed(this.#valkey, generation, layout, [...whole.values()], true);
    await freeVanished(this.#store, this.#valkey, eventId, layout, generation, [...whole.values()]);
    this.#corrections.inc({ what: "freed" }, gone.length - kept);
    this.#corrections.inc({ what: "claimed" }, missing.length);
    return gone.length - kept + missing.length;
  }

  /**
   * Of seats that Valkey has as claimed, and that had no such claim a moment ago: those of blocks that are being made, or have been
   * made since. Blocks that are not going to be made any more are given up.
   */
  async #pendingBlocks(eventId: string, seats: readonly (readonly [string, string])[]): Promise<Set<string>> {
    const coming = new Set<string>();
    if (seats.length === 0) return coming;
    const holds = new Set(seats.map(([, holdId]) => holdId));
    const pending = new Set<string>();
    for (const { state, holdId } of await this.#store.blocks.of(eventId))
      if (state === "pending" && holds.has(holdId)) pending.add(holdId);
    for (const holdId of pending)
      if (await this.#store.blocks.abandon(eventId, holdId, Date.now() - blockingMs)) pending.delete(holdId);
    // Asked after the blocks: one that is not pending any more got its claims before.
    const claims = await this.#store.claims.forSeats(
      eventId,
      seats.map(([seatId]) => seatId),
    );
    const made = new Set(claims.map(({ seatId, holdId }) => `${seatId} ${holdId}`));
    for (const [seatId, holdId] of seats)
      if (pending.has(holdId) || made.has(`${seatId} ${holdId}`)) coming.add(`${seatId} ${holdId}`);
    return coming;
  }
}

/** Claims that were given back while we marked them sold: their releaser may have come before us. */
export async function freeVanished(
  store: { readonly claims: ClaimStore },
  valkey: Pick<Valkey, "seats">,
  eventId: string,
  layout: Layout,
  generation: Generation,
  marked: readonly Claim[],
): Promise<void> {
  if (marked.length === 0) return;
  const still = new Map(
    (
      await store.claims.forSeats(
        eventId,
        marked.map(({ seatId }) => seatId),
      )
    ).map((claim) => [claim.seatId, claim.holdId]),
  );
  for (const claim of marked)
    if (still.get(claim.seatId) !== claim.holdId)
      await markFree(valkey, generation, layout, claim, [claim.seatId], false);
}

/** Undefined: nobody has a claim on this seat, as far as its record says. */
function claimedBy({ state, holdId }: SeatRecord): string | undefined {
  const isClaimed = state === seatStates.sold || (state === seatStates.blocked && holdId !== byLayout);
  return isClaimed ? holdId : undefined;
}

/** What a seat that the layout blocks carries. */
const byLayout = "0".repeat(16);
