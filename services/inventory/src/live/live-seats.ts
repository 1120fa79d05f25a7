// Seats as they change: one process an event writes versions of its map to Valkey, and all of them tell their callers.

/*
 * Of the processes that watch an event, the one with the lock "live" reads the 2-bit maps some five times a second, compares them
 * with the last version, and writes what differs as the next one. So nothing needs to be told by the scripts that change seats: an
 * expiry, a sweep, a correction and a rebuilding are seen like any hold, and a hundred changes of one seat cost as much as one.
 *
 * The map that a version describes is written in the same step as the version, and only while the version before is still the last.
 * So a leader that dies between reading and writing takes nothing with it: whoever comes next compares the maps with what was
 * written, not with what was read. And two that believe to lead do no harm: the second finds another head, and looks again.
 * The lock is for economy.
 *
 * Versions belong to an epoch of the event's seats (see generations/generations.ts). The first one of a log is the server's clock in
 * milliseconds, each next one is one more: should the log be lost within an epoch, the new one begins above all that were.
 */
import { randomUUID } from "node:crypto";
import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import type { SeatChanges, SeatVersion } from "@onsale/proto/inventory/v1/live";
import type { KnownEvents } from "../events/known-events.js";
import type { Generations } from "../generations/generations.js";
import type { Valkey } from "../valkey/valkey.js";
import { EventFeed } from "./event-feed.js";

export interface LiveDependencies {
  readonly valkey: Valkey;
  readonly generations: Generations;
  readonly events: KnownEvents;
  /** How often the leader reads the maps. */
  readonly tickMs: number;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface LiveSeats {
  /**
   * What SeatChanges says, from `after` on. A caller who is slow to take them gets fewer and larger ones, in the end a snapshot.
   * Ends when the signal is aborted. Throws EVENT_NOT_FOUND, and UNAVAILABLE when this process stops.
   */
  watch(eventId: string, after: SeatVersion | undefined, signal: AbortSignal): AsyncIterable<SeatChanges>;
  stop(): Promise<void>;
}

const aliveEveryMs = 5_000;

export function createLiveSeats({ valkey, generations, events, tickMs, log, metrics }: LiveDependencies): LiveSeats {
  const written = metrics.counter("onsale_live_versions_total", "Versions of seat maps written, by kind", ["kind"]);
  const following = metrics.gauge("onsale_live_events", "Events whose seats are watched here");
  const leading = metrics.gauge("onsale_live_events_led", "Events whose versions this process writes");
  const me = randomUUID();
  const followed = new Map<string, EventFeed>();
  const ear = valkey.live.listen((eventId, head, change) => followed.get(eventId)?.hear(head, change));
  let stopping = false;

  function followedEvent(eventId: string): EventFeed {
    const known = followed.get(eventId);
    if (known) return known;
    const fresh = new EventFeed({
      ...{ eventId, valkey, generations, events, tickMs, log, me, written, leading },
      isStopping: () => stopping,
      onEnd: () => {
        followed.delete(eventId);
        following.set(followed.size);
        ear.leave(eventId);
      },
    });
    ear.join(eventId);
    followed.set(eventId, fresh);
    following.set(followed.size);
    return fresh;
  }

  return {
    async *watch(eventId, after, signal) {
      if (stopping) throw new DomainError("UNAVAILABLE", "This process stops: another one tells about the seats.");
      await events.published(eventId); // so that what does not exist is never followed
      const event = followedEvent(eventId);
      let sent = after;
      /** What the caller believes: undefined once it is up to date. */
      let mood: string | undefined = "new";
      let call = () => {};
      const calling = () => call();
      event.join(calling);
      signal.addEventListener("abort", calling);
      try {
        while (!signal.aborted) {
          const ended = event.ended();
          if (ended) throw ended;
          let quiet = true;
          const waiting = event.waiting();
          if (waiting !== undefined) {
            if (event.settled() && waiting !== mood) {
              mood = waiting;
              quiet = false;
              yield { what: { $case: "wait", value: { code: waiting } } };
            }
          } else {
            const changes = event.since(sent);
            const snapshot = changes ? undefined : event.snapshot();
            quiet = changes?.length === 0 && mood === undefined;
            if (snapshot) {
              sent = snapshot.version;
              yield { what: { $case: "snapshot", value: snapshot } };
            }
            for (const change of changes ?? []) {
              sent = change.version;
              yield { what: { $case: "change", value: change } };
            }
            if (changes?.length === 0 && mood !== undefined) yield { what: { $case: "alive", value: {} } };
            mood = undefined;
          }
          if (!quiet || signal.aborted) continue;
          const timely = await new Promise<boolean>((resolve) => {
            const timer = setTimeout(() => resolve(false), aliveEveryMs);
            call = () => {
              clearTimeout(timer);
              resolve(true);
            };
          });
          call = () => {};
          if (timely || !event.settled()) continue;
          if (mood === undefined) yield { what: { $case: "alive", value: {} } };
          else mood = "new"; // says again that it waits
        }
      } finally {
        signal.removeEventListener("abort", calling);
        event.leave(calling);
      }
    },

    async stop() {
      stopping = true;
      const all = [...followed.values()];
      for (const event of all) event.stop();
      await Promise.all(all.map((event) => event.running()));
      ear.close();
    },
  };
}
