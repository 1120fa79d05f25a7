// What a process does by itself, now and then: clears expired holds away, and compares seats with claims.
import { setTimeout as sleep } from "node:timers/promises";
import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import type { SeatMaps } from "./availability.js";
import type { Generations } from "./generation.js";
import type { Valkey } from "./valkey.js";

export interface UpkeepDependencies {
  readonly maps: SeatMaps;
  readonly generations: Generations;
  readonly valkey: Valkey;
  readonly sweepMs: number;
  readonly reconcileMs: number;
  readonly log: Logger;
}

/** Runs until stopped; `stop` waits for what is running. */
export function startUpkeep({ maps, generations, valkey, sweepMs, reconcileMs, log }: UpkeepDependencies) {
  const stopping = new AbortController();

  async function every(pauseMs: number, what: string, work: () => Promise<void>): Promise<void> {
    while (!stopping.signal.aborted) {
      await sleep(pauseMs, undefined, { signal: stopping.signal }).catch(() => undefined);
      if (stopping.signal.aborted || !valkey.connected()) continue;
      try {
        await work();
      } catch (err) {
        const passing = err instanceof DomainError && err.refusal.retryable;
        if (!passing) log.error({ err }, `a bug: ${what} failed`);
      }
    }
  }

  const sweeping = every(sweepMs, "clearing expired holds away", async () => {
    for (const { event } of generations.used()) await maps.sweep(event);
  });
  const reconciling = every(reconcileMs, "comparing seats with claims", async () => {
    for (const { event } of generations.used()) {
      // The lock is not given back: it says that this was done lately, by whichever process.
      if (!(await valkey.lock(event.eventId, "reconcile", "done", Math.floor(reconcileMs * 0.9)))) continue;
      const corrected = await generations.reconcile(event);
      if (corrected > 0) log.warn({ eventId: event.eventId, corrected }, "seats were put right by the claims");
    }
  });

  return {
    async stop(): Promise<void> {
      stopping.abort();
      await Promise.all([sweeping, reconciling]);
    },
  };
}
