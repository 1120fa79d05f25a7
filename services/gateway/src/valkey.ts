// The gateway's connection to Valkey, and what it does there besides counting requests: the records of idempotent requests.
import type { Logger } from "@onsale/kit/log";
import { Redis } from "ioredis";
import type { AnswerStore, Found } from "./idempotency.js";

export type Valkey = Redis;

/** Never queues while disconnected and never waits long: whoever asks does without Valkey rather than stall. */
export function connectValkey(url: string, log: Logger): Valkey {
  const valkey = new Redis(url, {
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    connectTimeout: 1_000,
    commandTimeout: 500,
    retryStrategy: (attempt) => Math.min(50 * attempt, 1_000),
    lazyConnect: true,
  });
  let reported = false;
  valkey.on("error", (err) => {
    if (!reported) log.warn({ err }, "Valkey does not answer; going on without it");
    reported = true;
  });
  valkey.on("ready", () => {
    if (reported) log.info("Valkey answers again");
    reported = false;
  });
  valkey.connect().catch(() => undefined); // the error event has told; it keeps trying
  return valkey;
}

// A record is a hash: f fingerprint, o who works on it, u until when (epoch ms by Valkey's clock), a the sealed answer.
const clock = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) ";
const scripts = {
  beginAnswer: `${clock}
local f, u, a = unpack(redis.call('HMGET', KEYS[1], 'f', 'u', 'a'))
if f and f ~= ARGV[1] then return {'other'} end
if a then return {'answered', a} end
if u and tonumber(u) > now then return {'running', tostring(tonumber(u) - now)} end
redis.call('HSET', KEYS[1], 'f', ARGV[1], 'o', ARGV[2], 'u', string.format('%.0f', now + tonumber(ARGV[3])))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if f then return {'again'} end
return {'first'}`,
  renewAnswer: `${clock}
if redis.call('HGET', KEYS[1], 'o') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'u', string.format('%.0f', now + tonumber(ARGV[2])))
return 1`,
  finishAnswer: `
local o = redis.call('HGET', KEYS[1], 'o')
if o and o ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'f', ARGV[2], 'o', ARGV[1], 'a', ARGV[3])
redis.call('HDEL', KEYS[1], 'u')
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1`,
  leaveAnswer: `
if redis.call('HGET', KEYS[1], 'o') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'u', '0')
return 1`,
  forgetAnswer: `
if redis.call('HGET', KEYS[1], 'o') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`,
} as const;

type Script = (key: string, ...args: (string | number)[]) => Promise<unknown>;

export function createAnswerStore(valkey: Valkey, prefix: string): AnswerStore {
  for (const [name, lua] of Object.entries(scripts)) valkey.defineCommand(name, { numberOfKeys: 1, lua });
  const run = valkey as unknown as Record<keyof typeof scripts, Script>;
  const keyOf = (id: string) => `${prefix}answer:${id}`;
  return {
    begin: async (id, { fingerprint, owner, lockMs, keepMs }): Promise<Found> => {
      const [kind, more] = (await run.beginAnswer(keyOf(id), fingerprint, owner, lockMs, keepMs)) as [string, string?];
      switch (kind) {
        case "first":
        case "again":
        case "other":
          return { kind };
        case "running":
          return { kind, forMs: Number(more) };
        case "answered":
          return { kind, sealed: more ?? "" };
        default:
          throw new Error(`the script answered ${kind}`);
      }
    },
    renew: async (id, owner, lockMs) => void (await run.renewAnswer(keyOf(id), owner, lockMs)),
    finish: async (id, { fingerprint, owner, sealed, keepMs }) =>
      void (await run.finishAnswer(keyOf(id), owner, fingerprint, sealed, keepMs)),
    leave: async (id, owner) => void (await run.leaveAnswer(keyOf(id), owner)),
    forget: async (id, owner) => void (await run.forgetAnswer(keyOf(id), owner)),
  };
}
