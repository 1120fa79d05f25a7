// Follows the claims in MongoDB, and sees to it that Valkey knows of each: a process may die between writing one and telling.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import type { KnownEvents } from "../events/known-events.js";
import type { Comparison } from "./comparison.js";
import type { ClaimChange, FollowerStore } from "./follower-store.js";
import type { Reconciliation } from "./reconcile.js";

/*
 * Whoever writes a claim tells Valkey at once, so almost always there is nothing to do here: a seat is looked at a little later, and
 * only if Valkey has it otherwise, MongoDB is asked what is true now. So a change may be handled twice, late, or out of order, and
 * by two processes at a time; nothing ever goes from Valkey to MongoDB. One process of a deployment follows; the others wait for
 * its lease to end.
 */

export interface FollowerDependencies {
  readonly store: { readonly follower: FollowerStore };
  readonly events: KnownEvents;
  readonly comparison: Comparison;
  readonly reconciliation: Reconciliation;
  /** How long the writer of a claim has to tell Valkey itself. */
  readonly graceMs: number;
  readonly leaseMs: number;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Changes are looked at together, so that a busy sale is not asked after seat by seat. */
const lookEveryMs = 200;

/** Runs until stopped; `stop` waits for what is running. */
export function startFollower(dependencies: FollowerDependencies) {
  const { store, events, comparison, reconciliation, graceMs, leaseMs, log, metrics } = dependencies;
  const followed = metrics.counter("onsale_claim_changes_total", "Changes of claims that were followed");
  const losses = metrics.counter("onsale_claim_places_lost_total", "Times that the place among the changes was lost");
  const owner = randomUUID();
  const stopping = new AbortController();
  const pause = (ms: number) => sleep(ms, undefined, { signal: stopping.signal }).catch(() => undefined);
  const isPassing = (error: unknown) => error instanceof DomainError && error.refusal.retryable;

  async function run(): Promise<void> {
    /** When the place was last lost, until the changes are followed again. */
    let lostAt: number | undefined;
    while (!stopping.signal.aborted) {
      try {
        const lease = await store.follower.follow(owner, leaseMs);
        if (lease) await follow(lostAt === undefined ? lease.place : undefined);
        lostAt = undefined;
        if (!lease) await pause(leaseMs / 3);
      } catch (err) {
        if (!isPassing(err)) {
          losses.inc();
          // From now on, and everything is compared. If it is lost again at once, something is wrong that haste doesn't mend.
          const again = lostAt !== undefined && performance.now() - lostAt < 60_000;
          if (!again)
            log.warn({ err }, "the claims can't be followed from where they were left: all seats are compared");
          else log.error({ err }, "the claims can't be followed; it will be tried again in a minute");
          if (again) await pause(60_000);
          lostAt = performance.now();
        }
        await pause(1_000);
      }
    }
  }

  /** From this place on, or from now on, until the lease is another's or something fails. */
  async function follow(from: string | undefined): Promise<void> {
    const changes = store.follower.changes(from);
    const young: { readonly change: ClaimChange; readonly at: number; readonly place: string | undefined }[] = [];
    /** By event, then seat: what is to be looked at. */
    const due = new Map<string, Map<string, string | undefined>>();
    /** Up to here everything has been looked at; and will have been, once `due` is empty. */
    let done = from;
    let reached = from;
    async function read(): Promise<boolean> {
      const change = await changes.next();
      if (change) young.push({ change, at: performance.now(), place: changes.place() });
      else if (young.length === 0) reached = changes.place();
      return change !== undefined;
    }
    try {
      if (from === undefined) {
        await read(); // now it is open: what changes from here on is not missed
        await compareAll();
      }
      let [renewedAt, lookedAt] = [performance.now(), 0];
      while (!stopping.signal.aborted) {
        await read();
        const now = performance.now();
        if (now - lookedAt >= lookEveryMs) {
          lookedAt = now;
          for (let next = young[0]; next && next.at <= now - graceMs; next = young[0]) {
            young.shift();
            reached = next.place;
            const { eventId, seatId, holdId } = next.change;
            const seats = due.get(eventId) ?? new Map<string, string | undefined>();
            due.set(eventId, seats.set(seatId, holdId));
            followed.inc();
          }
          await lookAtAll(due);
          if (due.size === 0) done = reached;
        }
        if (now - renewedAt < leaseMs / 3) continue;
        renewedAt = now;
        if (!(await store.follower.follow(owner, leaseMs, done))) return;
      }
      await store.follower.follow(owner, 0, done).catch(() => undefined); // the next one need not wait
    } finally {
      await changes.close();
    }
  }

  /** What can't be looked at now stays. */
  async function lookAtAll(due: Map<string, Map<string, string | undefined>>): Promise<void> {
    for (const [eventId, seats] of due) {
      try {
        const event = await events.published(eventId);
        const expected = [...seats].map(([seatId, holdId]) => ({ seatId, holdId }));
        const corrected = await comparison.some(event, expected);
        if (corrected > 0) log.info({ eventId, corrected }, "Valkey was told of claims whose writer had not told it");
        due.delete(eventId);
      } catch (error) {
        if (isPassing(error)) continue;
        due.delete(eventId);
        if (error instanceof DomainError) continue; // no such event any more
        log.error({ err: error, eventId }, "a bug: seats could not be compared with their claims");
      }
    }
  }

  async function compareAll(): Promise<void> {
    for (let cursor = "", first = true; (first || cursor !== "") && !stopping.signal.aborted; first = false)
      ({ nextCursor: cursor } = await reconciliation.some(cursor));
  }

  const running = run();
  return {
    async stop(): Promise<void> {
      stopping.abort();
      await running;
    },
  };
}
