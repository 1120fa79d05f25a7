// The slots of Stripe's budget that all payment processes share, in Valkey: one script gives turns. The rule is
// budget.ts's createSlots, by Valkey's clock.

import type { Logger } from "@onsale/kit/log";
import { openRedis } from "@onsale/kit/redis";
import { refusalTeller } from "@onsale/kit/redis-refusals";
import type { Cluster, Redis } from "ioredis";
import { longestWaitMs, type Rates, type Slots, type Wanted } from "./budget.js";

// KEYS: the common row, the endpoint's row (sorted sets of the slots taken), the lanes' cursors (hash; in it, too, under "now" and
//       "ahead", the rows' own time at the last turn, and by how much it is ahead of the server's).
// ARGV: endpoint, 1 if lane "new", 1 if both lanes use the endpoint, slot lengths of endpoint and all (µs),
//       share of the lane "new", longest wait (µs), longest wait of anybody (µs). Answer: {1 if granted, wait in µs}.
// A cursor further ahead than anybody would wait is none: it tells of another time.
const reserveScript = `
local time = redis.call('TIME')
local clock = tonumber(time[1]) * 1000000 + tonumber(time[2])
local cursor = ARGV[1] .. ':' .. ARGV[2]
local isNew, shared = ARGV[2] == '1', ARGV[3] == '1'
local own, all = tonumber(ARGV[4]), tonumber(ARGV[5])
local share, longest = tonumber(ARGV[6]), tonumber(ARGV[7])
local floor, max = math.floor, math.max
local function name(slot) return string.format('%.0f', slot) end
local stored = redis.call('HMGET', KEYS[3], cursor, 'now', 'ahead')
local ahead = tonumber(stored[3] or 0)
if stored[2] then ahead = max(ahead, tonumber(stored[2]) - clock) end
local now = clock + ahead
local function closed(slot) return floor((slot + 1) * share) == floor(slot * share) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', name(floor(now / all) - 1))
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', name(floor(now / own) - 1))
-- After a removal: a full server takes what a script writes once it has begun, and refuses to begin with it.
redis.call('HSET', KEYS[3], 'now', name(now), 'ahead', name(ahead))
redis.call('PEXPIRE', KEYS[3], 120000)
local slot, after = floor(now / own), tonumber(stored[1] or 0)
if after > slot and after * own <= now + tonumber(ARGV[8]) + own then slot = after end
while true do
  local from = max(now, slot * own)
  if from - now > longest then return {0, floor(from - now)} end
  if not redis.call('ZSCORE', KEYS[2], name(slot)) and not (isNew and shared and closed(slot)) then
    for common = floor(from / all), math.ceil((slot + 1) * own / all) - 1 do
      if not redis.call('ZSCORE', KEYS[1], name(common)) and not (isNew and closed(common)) then
        local wait = max(from, common * all) - now
        if wait > longest then return {0, floor(wait)} end
        redis.call('ZADD', KEYS[1], name(common), name(common))
        redis.call('ZADD', KEYS[2], name(slot), name(slot))
        redis.call('HSET', KEYS[3], cursor, name(slot + 1))
        for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, 120000) end
        return {1, floor(wait)}
      end
    end
  end
  slot = slot + 1
end
`;

type WithReserve = (Redis | Cluster) & {
  reserveSlot(...keysAndArguments: (string | number)[]): Promise<[granted: number, waitMicroseconds: number]>;
};

export interface SharedSlotsSettings {
  readonly url: string;
  /** As REDIS_TLS_CA. */
  readonly ca?: string | undefined;
  /** Processes with the same name and rates share. */
  readonly name: string;
  readonly rates: Rates;
  readonly log: Logger;
}

/** A Valkey that is down or slow makes `reserve` throw soon; it never waits for a reconnection. */
export function createSharedSlots({ url, ca, name, rates, log }: SharedSlotsSettings): Slots & { stop(): void } {
  const redis = openRedis({
    url,
    ca,
    options: {
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      connectTimeout: 2_000,
      commandTimeout: 300,
      retryStrategy: (times) => Math.min(100 * times, 1_000),
      scripts: { reserveSlot: { lua: reserveScript, numberOfKeys: 3 } },
    },
  }) as WithReserve;
  redis.on("error", (err) => log.debug({ err }, "Valkey's connection failed"));
  const tell = refusalTeller(log);
  // Slots are counted from the epoch in lengths that follow from the rates: other rates, other rows.
  const prefix = `{onsale:${name}:${rates.perEndpoint}:${rates.total}}`;
  return {
    async reserve({ endpoint, lane, shared, maxWaitMs }: Wanted) {
      const reserved = redis.reserveSlot(
        `${prefix}:all`,
        `${prefix}:at:${endpoint}`,
        `${prefix}:cursors`,
        endpoint,
        lane === "new" ? 1 : 0,
        shared ? 1 : 0,
        1_000_000 / rates.perEndpoint,
        1_000_000 / rates.total,
        rates.newShare,
        Math.floor(maxWaitMs * 1000),
        Math.floor(Math.max(maxWaitMs, longestWaitMs) * 1000),
      );
      reserved.catch(tell);
      const [granted, waitMicroseconds] = await reserved;
      return { granted: granted === 1, waitMs: waitMicroseconds / 1000 };
    },
    stop: () => redis.disconnect(),
  };
}
