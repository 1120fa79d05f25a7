// How the race for an event's seats goes: holds won and lost, counted in this process and added to Valkey every second.
import { DomainError, type RefusalCode } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import { openRedis, watchRedis } from "@onsale/kit/redis";

export interface HoldRace {
  won(eventId: string): void;
  /** Counts what others were quicker for; any other refusal is no race. */
  refused(eventId: string, code: RefusalCode): void;
  /** Of all processes, good to a second. Lost when Valkey is emptied, and with a process that dies: figures for people, no more. */
  of(eventId: string): Promise<{ readonly won: number; readonly lost: number }>;
  close(): Promise<void>;
}

/** Others were quicker. Being too early, or over one's limit, is no race. */
const lostBy: readonly RefusalCode[] = ["SEAT_TAKEN", "NOT_ENOUGH_SEATS"];
const tellEveryMs = 1_000;
const keptSeconds = 400 * 24 * 60 * 60;
/** While Valkey is away; then the race of further events is not counted. */
const mostEventsUntold = 5_000;

const keyOf = (eventId: string): string => `race:{${eventId}}`;

export function createHoldRace(settings: { url: string; ca: string | undefined; log: Logger }): HoldRace {
  const { url, ca, log } = settings;
  // A line of its own: what is told here must never wait before a hold, nor a hold before it.
  const redis = openRedis({
    url,
    ca,
    options: {
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      connectTimeout: 2_000,
      commandTimeout: 1_000,
      retryStrategy: (attempt) => Math.min(attempt * 100, 2_000),
    },
  });
  watchRedis(redis, log, {
    away: "Valkey is away: holds won and lost are counted in this process only",
    back: "Valkey is back: holds won and lost are counted for all processes again",
  });
  let untold = new Map<string, { won: number; lost: number }>();

  function count(eventId: string, what: "won" | "lost", by = 1): void {
    const known = untold.get(eventId);
    if (known) known[what] += by;
    else if (untold.size < mostEventsUntold) untold.set(eventId, { won: 0, lost: 0, [what]: by });
  }

  /** What can't be told stays for the next time. An answer that gets lost counts twice. */
  async function tell(): Promise<void> {
    const told = untold;
    untold = new Map();
    await Promise.all(
      [...told].map(async ([eventId, { won, lost }]) => {
        const key = keyOf(eventId);
        try {
          if (won > 0) await redis.hincrby(key, "won", won);
        } catch {
          count(eventId, "won", won);
        }
        try {
          if (lost > 0) await redis.hincrby(key, "lost", lost);
          await redis.expire(key, keptSeconds);
        } catch {
          count(eventId, "lost", lost);
        }
      }),
    );
  }

  const timer = setInterval(() => void (untold.size > 0 && tell()), tellEveryMs);
  timer.unref();

  return {
    won: (eventId) => count(eventId, "won"),
    refused(eventId, code) {
      if (lostBy.includes(code)) count(eventId, "lost");
    },
    async of(eventId) {
      try {
        const [won, lost] = await redis.hmget(keyOf(eventId), "won", "lost");
        return { won: Number(won ?? 0), lost: Number(lost ?? 0) };
      } catch (error) {
        throw new DomainError("UNAVAILABLE", "The counts of holds can't be read right now.", {}, error);
      }
    },
    async close() {
      clearInterval(timer);
      await tell();
      redis.disconnect();
    },
  };
}
