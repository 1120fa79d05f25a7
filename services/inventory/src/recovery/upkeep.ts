// What a process does by itself, now and then: clears expired holds away, and compares seats with claims.
import { setTimeout as sleep } from "node:timers/promises";
import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import type { Channels } from "../channels/channels.js";
import type { EventRecord } from "../events/events.js";
import type { Generations } from "../generations/generations.js";
import type { SeatMaps } from "../seats/availability.js";
import type { Valkey } from "../valkey/valkey.js";
import type { Comparison } from "./comparison.js";

export interface UpkeepDependencies {
  readonly maps: SeatMaps;
  readonly channels: Channels;
  readonly generations: Generations;
  readonly comparison: Comparison;
  readonly valkey: Valkey;
  readonly sweepMs: number;
  /** 0: never. */
  readonly reconcileMs: number;
  readonly log: Logger;
}

/** Runs until stopped; `stop` waits for what is running. */
export function startUpkeep({
  maps,
  channels,
  generations,
  comparison,
  valkey,
  sweepMs,
  reconcileMs,
  log,
}: UpkeepDependencies) {
  const stopping = new AbortController();

  async function every(pauseMs: number, what: string, work: () => Promise<void>): Promise<void> {
    while (!stopping.signal.aborted) {
      await sleep(pauseMs, undefined, { signal: stopping.signal }).catch(() => undefined);
      if (stopping.signal.aborted || !valkey.connection.connected()) continue;
      try {
        await passingOver(work);
      } catch (err) {
        log.error({ err }, `a bug: ${what} failed`);
      }
    }
  }

  /** What can be tried again is, in the next round. */
  async function passingOver(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof DomainError && error.refusal.retryable)) throw error;
    }
  }

  const sweeping = every(sweepMs, "clearing expired holds away", async () => {
    for (const { event } of generations.used()) {
      // A server of the cluster that is away, or an event that is being restored, keeps no other from being looked after.
      if (valkey.connection.connected(event.eventId)) await passingOver(() => maps.sweep(event));
    }
  });
  const tending = every(Math.max(sweepMs, 250), "ending channels and giving back their seats", () =>
    channels.tend(generations.used().map(({ event }) => event)),
  );
  async function reconcile(event: EventRecord): Promise<void> {
    // The lock is not given back: it says that this was done lately, by whichever process.
    if (!(await valkey.connection.lock(event.eventId, "reconcile", "done", Math.floor(reconcileMs * 0.9)))) return;
    const { corrected } = await comparison.all(event);
    if (corrected > 0) log.warn({ eventId: event.eventId, corrected }, "seats were put right by the claims");
  }
  const reconciling =
    reconcileMs === 0
      ? undefined
      : every(reconcileMs, "comparing seats with claims", async () => {
          for (const { event } of generations.used()) await passingOver(() => reconcile(event));
        });

  return {
    async stop(): Promise<void> {
      stopping.abort();
      await Promise.all([sweeping, tending, reconciling]);
    },
  };
}
