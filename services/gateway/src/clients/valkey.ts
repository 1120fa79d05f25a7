// The gateway's connection to Valkey, and what it does there besides counting requests: the records of idempotent requests.
import type { Logger } from "@onsale/kit/log";
import { openRedis, watchRedis } from "@onsale/kit/redis";
import type { Cluster, Redis } from "ioredis";
import type { AnswerStore, Found, Mine } from "../http/idempotency.js";

export type Valkey = Redis | Cluster;

/** Never queues while disconnected and never waits long: whoever asks does without Valkey rather than stall. */
export function connectValkey(url: string, log: Logger, ca?: string): Valkey {
  const valkey = openRedis({
    url,
    ca,
    options: {
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      connectTimeout: 1_000,
      commandTimeout: 500,
      retryStrategy: (attempt) => Math.min(50 * attempt, 1_000),
      lazyConnect: true,
    },
  });
  watchRedis(valkey, log, { away: "Valkey does not answer; going on without it", back: "Valkey answers again" });
  valkey.connect().catch(() => undefined); // the error event has told; it keeps trying
  return valkey;
}

/** The time by Valkey's clock; of a cluster, by the one of its masters that is furthest from ours. */
export async function valkeyTime(valkey: Valkey): Promise<number> {
  const servers = valkey.isCluster ? (valkey as Cluster).nodes("master") : [valkey];
  const times = await Promise.all(
    servers.map(async (server) => {
      const [seconds, micros] = await server.time();
      return Number(seconds) * 1000 + Number(micros) / 1000;
    }),
  );
  const now = Date.now();
  return times.reduce((one, other) => (Math.abs(other - now) > Math.abs(one - now) ? other : one), times[0] ?? now);
}

// A record is a string. While someone works on it: r, the fingerprint, who. When he has given up: l, the fingerprint. Then: a, the
// fingerprint, the sealed answer. How long ago it was written is told by how long it still lives. That is never longer than records are
// kept, unless Valkey's clock has gone back since: then its time begins now.
const fingerprintLength = 43; // 32 bytes in base64url
const scripts = {
  // ARGV: the record as it shall be, the fingerprint, for how long nobody else may have it, and how long it is kept.
  beginAnswer: `
local r = redis.call('GET', KEYS[1])
if r and string.sub(r, 2, ${fingerprintLength + 1}) ~= ARGV[2] then return {'other'} end
local what = r and string.sub(r, 1, 1)
if what == 'a' then return {'answered', string.sub(r, ${fingerprintLength + 2})} end
if what == 'r' then
  local lives, keep = redis.call('PTTL', KEYS[1]), tonumber(ARGV[4])
  if lives > keep then
    redis.call('PEXPIRE', KEYS[1], keep)
    lives = keep
  end
  local left = tonumber(ARGV[3]) - (keep - lives)
  if left > 0 then return {'running', tostring(left)} end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[4])
if r then return {'again'} end
return {'first'}`,
  // ARGV: the record as it must be, for how long it is kept from now on, and what it becomes if that is another.
  renewAnswer: `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`,
  finishAnswer: `
local r = redis.call('GET', KEYS[1])
if r and r ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
return 1`,
  leaveAnswer: `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
return 1`,
  forgetAnswer: `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`,
} as const;

type Script = (key: string, ...args: (string | number)[]) => Promise<unknown>;

/** Needs Redis 7 or Valkey: SET with both NX and GET. */
export function createAnswerStore(valkey: Valkey, prefix: string): AnswerStore {
  for (const [name, lua] of Object.entries(scripts)) valkey.defineCommand(name, { numberOfKeys: 1, lua });
  const run = valkey as unknown as Record<keyof typeof scripts, Script>;
  const keyOf = (id: string) => `${prefix}answer:${id}`;
  const runningOf = ({ fingerprint, owner }: Pick<Mine, "fingerprint" | "owner">) => `r${fingerprint}${owner}`;
  return {
    begin: async (id, { fingerprint, owner, lockMs, keepMs }): Promise<Found> => {
      const running = runningOf({ fingerprint, owner });
      // Nearly always nobody was here before, which is told without a script.
      const before = await valkey.set(keyOf(id), running, "PX", keepMs, "NX", "GET").catch((error: Error) => {
        if (!error.message.startsWith("OOM ")) throw error;
        return undefined; // a full server refuses it unread; the script reads first, and what was answered is answered again
      });
      if (before === null) return { kind: "first" };
      const [kind, more] = (await run.beginAnswer(keyOf(id), running, fingerprint, lockMs, keepMs)) as [
        string,
        string?,
      ];
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
    renew: async (id, mine) => void (await run.renewAnswer(keyOf(id), runningOf(mine), mine.keepMs)),
    finish: async (id, { sealed, surely, ...mine }) => {
      const answered = `a${mine.fingerprint}${sealed}`;
      if (surely) await valkey.set(keyOf(id), answered, "PX", mine.keepMs);
      else await run.finishAnswer(keyOf(id), runningOf(mine), mine.keepMs, answered);
    },
    leave: async (id, mine) =>
      void (await run.leaveAnswer(keyOf(id), runningOf(mine), mine.keepMs, `l${mine.fingerprint}`)),
    forget: async (id, mine) => void (await run.forgetAnswer(keyOf(id), runningOf(mine))),
  };
}
