// What one person holds or owns in an event: for a map on which one's own seats look like one's own.
import { DomainError } from "@onsale/kit/errors";
import { isId } from "../events/events.js";
import type { KnownEvents } from "../events/known-events.js";
import type { Generations } from "../generations/generations.js";
import { rebuilding } from "../generations/trust.js";
import { type Layout, nameSeat, readRuns, type Seat, seatsOf } from "../hall/layout.js";
import { readRecord, seatStates } from "../hall/seat-map.js";
import type { Generation } from "../valkey/marker.js";
import type { Valkey } from "../valkey/valkey.js";
import type { ClaimStore } from "./claim-store.js";
import { describeSeat } from "./held-seats.js";
import type { HeldSeat } from "./hold-request.js";

export interface OwnSeatsDependencies {
  readonly store: { readonly claims: ClaimStore };
  readonly valkey: Valkey;
  readonly events: KnownEvents;
  readonly generations: Generations;
}

export interface OwnSeats {
  readonly holdId: string;
  /** Empty: not known. Valkey knows holds, not their checkouts; claims know theirs. */
  readonly checkoutId: string;
  /** 0: owned. */
  readonly deadlineMs: number;
  readonly seats: readonly HeldSeat[];
}

export type OwnSeatsOf = ReturnType<typeof createOwnSeats>;

/** Seats by hold, found in the records themselves, are shared by all who ask within this time. */
const recordsCacheMs = 2_000;
const mostEvents = 50;

export function createOwnSeats({ store, valkey, events, generations }: OwnSeatsDependencies) {
  const byHold = new Map<
    string,
    { readonly epoch: number; readonly atMs: number; readonly seats: Promise<SeatsByHold> }
  >();

  /**
   * A hold's own record is gone some hours after it was sold, and after a rebuilding; then only the seats' records tell.
   * That means reading all of them, so it is done once for all.
   */
  async function fromRecords(generation: Generation, layout: Layout): Promise<SeatsByHold> {
    const { eventId, epoch } = generation;
    const known = byHold.get(eventId);
    if (known && known.epoch === epoch && performance.now() - known.atMs < recordsCacheMs) return await known.seats;
    const seats = readAll(valkey, generation, layout);
    byHold.delete(eventId);
    byHold.set(eventId, { epoch, atMs: performance.now(), seats });
    if (byHold.size > mostEvents) byHold.delete(byHold.keys().next().value as string);
    seats.catch(() => byHold.delete(eventId));
    return await seats;
  }

  async function find(generation: Generation, layout: Layout, userId: string) {
    const own = await valkey.read.holdsOf(generation, userId);
    if (!own) return undefined;
    const found: { holdId: string; deadlineMs: number; owned: boolean; seats: Seat[] }[] = [];
    for (const { holdId, expiresAtMs, known } of own.holds) {
      const owned = expiresAtMs === 0;
      if (!owned && expiresAtMs <= own.nowMs) continue;
      const seats = known
        ? seatsOf(readRuns(layout, known.runs))
        : ((await fromRecords(generation, layout)).get(holdId) ?? []);
      if (seats.length > 0)
        found.push({ holdId, owned, seats, deadlineMs: owned ? 0 : (known?.deadlineMs ?? expiresAtMs) });
    }
    return { found, nowMs: own.nowMs };
  }

  return {
    /** Refusals: REQUEST_INVALID, EVENT_NOT_FOUND, INVENTORY_REBUILDING, UNAVAILABLE. */
    async of(eventId: string, userId: string): Promise<{ own: OwnSeats[]; asOfMs: number }> {
      if (!isId(userId))
        throw new DomainError("REQUEST_INVALID", "The user's id must be 1 to 64 of A-Z, a-z, 0-9, _ and -.");
      const event = await events.published(eventId);
      const layout = await events.layoutOf(event.layoutVersion);
      const read = await generations.run(event, (generation) => find(generation, layout, userId));

      // The claims decide what is owned, of which some may have been given back since; they are asked by their ids.
      const claimable = read.found.filter(({ owned }) => owned).flatMap(({ seats }) => seats);
      const claims =
        claimable.length === 0
          ? []
          : await store.claims.forSeats(
              eventId,
              claimable.map((seat) => nameSeat(seat).seatId),
            );
      const claimed = new Map(
        claims
          .filter((claim) => claim.userId === userId && claim.kind === undefined)
          .map((claim) => [claim.seatId, claim]),
      );
      const own: OwnSeats[] = [];
      for (const { holdId, deadlineMs, owned, seats } of read.found) {
        const described = seats.map((seat) => describeSeat(event, seat));
        const mine = owned ? described.filter(({ seatId }) => claimed.get(seatId)?.holdId === holdId) : described;
        const checkoutId = owned ? (claimed.get(mine[0]?.seatId ?? "")?.checkoutId ?? "") : "";
        if (mine.length > 0) own.push({ holdId, checkoutId, deadlineMs, seats: mine });
      }
      return { own, asOfMs: read.nowMs };
    },
  };
}

type SeatsByHold = ReadonlyMap<string, Seat[]>;

async function readAll(valkey: Valkey, generation: Generation, layout: Layout): Promise<SeatsByHold> {
  const seats = new Map<string, Seat[]>();
  for (const section of layout.sections) {
    const records = await valkey.read.records(generation, section);
    if (!records) throw rebuilding();
    for (let index = 0; index < section.seats; index++) {
      const { state, holdId } = readRecord(records, index);
      if (state !== seatStates.held && state !== seatStates.sold) continue;
      const own = seats.get(holdId);
      if (own) own.push({ section, index });
      else seats.set(holdId, [{ section, index }]);
    }
  }
  return seats;
}
