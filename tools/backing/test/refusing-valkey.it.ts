// A real Valkey that refuses, in each way that can be brought about, and what kit makes of it.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DomainError } from "@onsale/kit/errors";
import { openRedis } from "@onsale/kit/redis";
import { serverRefusal, serverUnavailable } from "@onsale/kit/redis-refusals";
import { openRedisServers } from "@onsale/kit/redis-servers";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { StartedProcess } from "../src/child-process.js";
import { freePort } from "../src/ports.js";
import { startValkey } from "../src/servers.js";

let folder: string;
let valkey: StartedProcess;
let operator: Redis;
let port: number;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "onsale-refusing-"));
  port = await freePort();
  valkey = await startValkey({ port, dataDir: folder, env: process.env, keepsData: false });
  operator = new Redis(port, "127.0.0.1");
});
afterEach(async () => {
  for (const [setting, value] of Object.entries({ maxmemory: "0", "min-replicas-to-write": "0", save: "" }))
    await operator.config("SET", setting, value);
  await operator.replicaof("NO", "ONE");
});
afterAll(async () => {
  operator?.disconnect();
  await valkey?.stop();
  await rm(folder, { recursive: true, force: true });
});

const scripts = {
  raise: { lua: "return redis.call('INCR', KEYS[1])", numberOfKeys: 1 },
  raiseByCount: { lua: "return redis.call('INCRBY', KEYS[1], #ARGV)" },
};
type Scripted = Redis & {
  raise(key: string): Promise<number>;
  raiseByCount(keys: number, ...keysAndArguments: string[]): Promise<number>;
};
const open = (user = "") =>
  openRedis({ url: `redis://${user}127.0.0.1:${port}`, options: { maxRetriesPerRequest: 0, scripts } }) as Scripted;

/** It can't save any more: its folder is gone. */
async function failToSave(): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await operator.config("SET", "save", "3600 1");
  await operator.bgsave();
  await expect.poll(() => operator.info("persistence")).toContain("rdb_last_bgsave_status:err");
}

describe("a write and a script are refused for a reason that is not ours, and named", () => {
  const ways: [code: string | RegExp, breaks: () => Promise<unknown>][] = [
    ["OOM", () => operator.config("SET", "maxmemory", "1000")],
    ["NOREPLICAS", () => operator.config("SET", "min-replicas-to-write", "1")],
    ["READONLY", async () => operator.replicaof("127.0.0.1", await freePort())],
    ["MISCONF", failToSave],
    [
      /^(NOPERM|ERR ACL failure in script)$/,
      () => operator.acl("SETUSER", "nobody", "on", "nopass", "+@connection", "+info", "+eval", "~*"),
    ],
  ];
  test.each(ways)("%s", async (code, breaks) => {
    await breaks();
    const redis = open(typeof code === "string" ? "" : "nobody:x@");
    try {
      for (const ask of [() => redis.set("key", "value"), () => redis.raise("number"), () => redis.raise("number")]) {
        let error: unknown;
        // Not at once when the connection is made anew, as one to a replica is.
        const answer = async () => {
          error = await ask().catch((refused: unknown) => refused);
          return serverRefusal(error)?.code;
        };
        await expect.poll(answer, { message: `of ${String(error)}` }).toMatch(code);
        expect(serverUnavailable(error, "Try again.")).toMatchObject({ code: "UNAVAILABLE", message: "Try again." });
      }
    } finally {
      redis.disconnect();
    }
  });

  test("NOAUTH", async () => {
    await operator.config("SET", "requirepass", "secret");
    const redis = new Redis(port, "127.0.0.1", { enableReadyCheck: false });
    redis.on("error", () => undefined);
    try {
      const error = await redis.set("key", "value").catch((refused: unknown) => refused);
      expect(serverRefusal(error)?.code, String(error)).toBe("NOAUTH");
    } finally {
      redis.disconnect();
      await operator.config("SET", "requirepass", "");
    }
  });

  test("BUSY", async () => {
    const redis = open();
    await operator.config("SET", "busy-reply-threshold", "50");
    const looping = new Redis(port, "127.0.0.1");
    const ended = looping.eval("while true do end", 0).catch((killed: Error) => killed.message);
    try {
      await expect
        .poll(async () => serverRefusal(await redis.raise("number").catch((refused: unknown) => refused))?.code)
        .toBe("BUSY");
      await operator.script("KILL");
      expect(await ended).toContain("killed");
      expect(await redis.raise("number")).toBeGreaterThan(0);
    } finally {
      redis.disconnect();
      looping.disconnect();
      await operator.config("SET", "busy-reply-threshold", "5000");
    }
  });
});

test("a command that is wrong is ours, and stays what it is", async () => {
  await operator.set("text", "not a number");
  const wrong = await operator.incr("text").catch((refused: unknown) => refused);
  expect(serverRefusal(wrong)).toBeUndefined();
  expect(serverUnavailable(wrong, "Try again.")).toBe(wrong);
  const inScript = await operator
    .eval("return redis.call('INCR', KEYS[1])", 1, "text")
    .catch((thrown: unknown) => thrown);
  expect(serverUnavailable(inScript, "Try again.")).toBe(inScript);
  const refusal = new DomainError("SEAT_TAKEN", "It is taken.");
  expect(serverUnavailable(refusal, "Try again.")).toBe(refusal);
});

test("scripts that are forgotten again and again run all the same, each once", async () => {
  const redis = open();
  const servers = openRedisServers<Scripted>({
    url: `redis://127.0.0.1:${port}`,
    options: { scripts },
    onAway: () => undefined,
    onBack: () => undefined,
  });
  const server = servers.of("any")?.client as Scripted;
  redis.defineCommand("raiseLater", { lua: "return redis.call('INCR', KEYS[1])", numberOfKeys: 1 });
  const { raiseLater } = redis as unknown as { raiseLater: (key: string) => Promise<number> };
  let forgetting = true;
  const forget = (async () => {
    while (forgetting) await operator.script("FLUSH");
  })();
  const rounds = 150;
  try {
    const callers = Array.from({ length: 20 }, async () => {
      for (let round = 0; round < rounds; round++) {
        await Promise.all([redis.raise("a"), raiseLater.call(redis, "b"), server.raise("c")]);
        await server.raiseByCount(1, "d", "x", "y", "z");
        const pipeline = redis.pipeline();
        void (pipeline as unknown as Scripted).raise("e");
        const [piped] = (await pipeline.exec()) ?? [];
        expect(piped?.[0]).toBeNull();
      }
    });
    await Promise.all(callers);
    const made = 20 * rounds;
    const counts = await operator.mget("a", "b", "c", "d", "e");
    expect(counts.map(Number)).toEqual([made, made, made, 3 * made, made]);
  } finally {
    forgetting = false;
    await forget;
    redis.disconnect();
    servers.close();
  }
});
