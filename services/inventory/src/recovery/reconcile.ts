// Comparing the seats in Valkey with the claims in MongoDB, event by event: for the schedule that does it, and for operators.
import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import { allEvents, type SearchPlace } from "../events/event-search.js";
import type { EventStore } from "../events/event-store.js";
import { type EventRecord, isId } from "../events/events.js";
import type { KnownEvents } from "../events/known-events.js";
import type { Comparison } from "./comparison.js";

export interface ReconcileDependencies {
  readonly store: { readonly events: EventStore };
  readonly events: KnownEvents;
  readonly comparison: Comparison;
  readonly now: () => number;
  readonly log: Logger;
}

export interface Reconciled {
  readonly events: number;
  readonly seats: number;
  readonly corrected: number;
  /** Events that could not be compared now. */
  readonly unavailable: number;
  /** Empty: that was all. */
  readonly nextCursor: string;
}

export type Reconciliation = ReturnType<typeof createReconciliation>;

/** So long after its start an event's seats are nobody's concern any more. */
const concernMs = 24 * 60 * 60 * 1000;
const eventsAtOnce = 50;
/** A call ends before its caller gives up, however many events there are. */
const longEnoughMs = 10_000;

export function createReconciliation({ store, events, comparison, now, log }: ReconcileDependencies) {
  async function compare(event: EventRecord): Promise<{ seats: number; corrected: number }> {
    const found = await comparison.all(event);
    const { eventId } = event;
    if (found.corrected > 0) log.warn({ eventId, corrected: found.corrected }, "seats were put right by the claims");
    return found;
  }

  return {
    /** Refusals: EVENT_NOT_FOUND, INVENTORY_REBUILDING, UNAVAILABLE. */
    async one(eventId: string): Promise<Reconciled> {
      return { events: 1, unavailable: 0, nextCursor: "", ...(await compare(await events.published(eventId))) };
    },

    /** The events after the cursor, by their start, for some seconds. Refusals: REQUEST_INVALID, UNAVAILABLE (MongoDB). */
    async some(cursor: string): Promise<Reconciled> {
      const until = now() + longEnoughMs;
      const page = await store.events.search({
        ...allEvents,
        fromMs: now() - concernMs,
        limit: eventsAtOnce,
        after: readCursor(cursor),
      });
      const sum = { events: 0, seats: 0, corrected: 0, unavailable: 0 };
      for (const [at, event] of page.entries()) {
        try {
          const { seats, corrected } = await compare(event);
          sum.events += 1;
          sum.seats += seats;
          sum.corrected += corrected;
        } catch (error) {
          // Its seats are being restored, which this may have begun, or their server is away: the others are compared anyway.
          if (!(error instanceof DomainError && error.refusal.retryable)) throw error;
          sum.unavailable += 1;
        }
        const last = at === page.length - 1 && page.length < eventsAtOnce;
        if (!last && (now() > until || at === page.length - 1)) return { ...sum, nextCursor: writeCursor(event) };
      }
      return { ...sum, nextCursor: "" };
    },
  };
}

const writeCursor = ({ startsAtMs, eventId }: EventRecord): string => `${startsAtMs}:${eventId}`;

function readCursor(cursor: string): SearchPlace | undefined {
  if (cursor === "") return undefined;
  const [, startsAtMs, eventId = ""] = /^(\d{1,15}):(.*)$/.exec(cursor) ?? [];
  if (startsAtMs === undefined || !isId(eventId))
    throw new DomainError("REQUEST_INVALID", "The cursor is not one that an answer before had.");
  return { keys: [Number(startsAtMs)], eventId };
}
