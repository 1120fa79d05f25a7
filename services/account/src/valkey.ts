// Counters of failed log-ins in Valkey, shared by all pods; in this process's memory while Valkey does not answer.

import type { Logger } from "@onsale/kit/log";
import { openRedis, watchRedis } from "@onsale/kit/redis";
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from "rate-limiter-flexible";
import { type AttemptKeys, blockSeconds } from "./attempts.js";

export interface AttemptLimits {
  readonly perAccountAndAddress: number;
  readonly perAccount: number;
  readonly perAddress: number;
  readonly windowSeconds: number;
  readonly blockMaxSeconds: number;
}

export type Admission =
  | { readonly ok: true; readonly attempt: Attempt }
  | { readonly ok: false; readonly retryAfterSeconds: number };

/** An admitted attempt: exactly one of these is told of its outcome. */
export interface Attempt {
  succeeded(): Promise<void>;
  failed(): Promise<void>;
  /** Neither: something else broke. It is not held against anybody. */
  undecided(): Promise<void>;
}

export interface AttemptCounters {
  admit(keys: AttemptKeys): Promise<Admission>;
  close(): void;
}

const knownPlaceSeconds = 90 * 24 * 60 * 60;
const strikeSeconds = 24 * 60 * 60;

export function openAttemptCounters(url: string, limits: AttemptLimits, log: Logger, ca?: string): AttemptCounters {
  const { windowSeconds, blockMaxSeconds } = limits;
  const redis = openRedis({
    url,
    ca,
    options: {
      enableOfflineQueue: false, // while Valkey is away, fail at once and count in memory
      maxRetriesPerRequest: 0,
      // A Valkey that hangs is one that is away: the first command finds out, the others don't wait for it.
      socketTimeout: 500,
      commandTimeout: 1_000,
      connectTimeout: 2_000,
      retryStrategy: (attempt) => Math.min(attempt * 100, 2_000),
    },
  });
  watchRedis(redis, log, {
    away: "Valkey is away: failed log-ins are counted in this process only",
    back: "Valkey is back: failed log-ins are counted for all processes again",
  });

  const counter = (name: string, points: number, duration = windowSeconds) => {
    const options = { keyPrefix: `account:login:${name}`, points, duration };
    return new RateLimiterRedis({
      ...options,
      storeClient: redis,
      rejectIfRedisNotReady: true,
      insuranceLimiter: new RateLimiterMemory(options),
    });
  };
  const pairs = counter("pair", limits.perAccountAndAddress);
  const accounts = counter("account", limits.perAccount);
  const addresses = counter("address", limits.perAddress);
  const strikes = counter("strikes", 1_000_000, strikeSeconds);

  /** Seconds to wait, or undefined when counted. */
  async function count(limiter: RateLimiterRedis, key: string): Promise<number | undefined> {
    try {
      await limiter.consume(key);
      return undefined;
    } catch (refused) {
      if (!(refused instanceof RateLimiterRes)) throw refused;
      if (refused.consumedPoints > limiter.points + 1) return secondsOf(refused.msBeforeNext);
      // The one that crosses the limit decides how long the block is.
      const { consumedPoints: strike } = await strikes.penalty(`${limiter.keyPrefix}:${key}`);
      const seconds = blockSeconds(strike, windowSeconds, blockMaxSeconds);
      await limiter.block(key, seconds);
      return seconds;
    }
  }

  const knownKey = (keys: AttemptKeys) => `account:login:known:${keys.accountAndAddress}`;

  async function isKnown(keys: AttemptKeys): Promise<boolean> {
    if (keys.address === undefined) return false;
    try {
      return (await redis.exists(knownKey(keys))) === 1;
    } catch {
      return false; // the stricter answer; in memory the account's counter starts at nothing anyway
    }
  }

  async function remember(keys: AttemptKeys): Promise<void> {
    if (keys.address === undefined) return;
    try {
      await redis.set(knownKey(keys), "1", "EX", knownPlaceSeconds);
    } catch {
      // The next log-in from there remembers it.
    }
  }

  return {
    async admit(keys) {
      const { address } = keys;
      if (address !== undefined) {
        const seen = await addresses.get(address);
        if (seen && seen.consumedPoints >= addresses.points)
          return { ok: false, retryAfterSeconds: secondsOf(seen.msBeforeNext) };
      }
      const waitForPair = await count(pairs, keys.accountAndAddress);
      if (waitForPair !== undefined) return { ok: false, retryAfterSeconds: waitForPair };
      const known = await isKnown(keys);
      const waitForAccount = known ? undefined : await count(accounts, keys.account);
      if (waitForAccount !== undefined) {
        await pairs.reward(keys.accountAndAddress);
        return { ok: false, retryAfterSeconds: waitForAccount };
      }
      const attempt: Attempt = {
        async succeeded() {
          await Promise.all([pairs.delete(keys.accountAndAddress), accounts.delete(keys.account), remember(keys)]);
        },
        async failed() {
          if (address !== undefined) await addresses.penalty(address);
        },
        async undecided() {
          await pairs.reward(keys.accountAndAddress);
          if (!known) await accounts.reward(keys.account);
        },
      };
      return { ok: true, attempt };
    },
    close: () => redis.disconnect(),
  };
}

const secondsOf = (ms: number): number => Math.max(1, Math.ceil(ms / 1000));
