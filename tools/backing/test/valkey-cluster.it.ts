// What the gateway, the account and the payment service keep in Valkey: on a cluster, on one whose servers are full, and through TLS.
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect as dial } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type Server } from "node:tls";
import { promisify } from "node:util";
import { createLogger } from "@onsale/kit/log";
import { openRedis } from "@onsale/kit/redis";
import { openRedisServers } from "@onsale/kit/redis-servers";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { openAttemptCounters } from "../../../services/account/src/valkey.js";
import { connectValkey, createAnswerStore, type Valkey } from "../../../services/gateway/src/clients/valkey.js";
import { createIdempotency } from "../../../services/gateway/src/http/idempotency.js";
import { createRateLimits } from "../../../services/gateway/src/http/rate-limit.js";
import { createSharedSlots } from "../../../services/payment/src/valkey.js";
import { startValkeyCluster, type ValkeyCluster } from "../src/valkey-cluster.js";

const log = createLogger("tested", "silent");
let cluster: ValkeyCluster;
let valkey: Valkey;
beforeAll(async () => {
  cluster = await startValkeyCluster({ env: process.env });
  valkey = connectValkey(cluster.url, log);
  if (valkey.status !== "ready") await once(valkey, "ready");
});
afterEach(() => memory("0"));
afterAll(async () => {
  valkey?.disconnect();
  await cluster?.stop();
});

const memory = (bytes: string) =>
  Promise.all(cluster.nodes.map(({ redis }) => redis.config("SET", "maxmemory", bytes)));

const keysOnMasters = () => Promise.all(cluster.nodes.slice(0, 3).map(({ redis }) => redis.dbsize()));

describe("the gateway", () => {
  it("stores answers on all servers, and goes without when they are full", async () => {
    const store = createAnswerStore(valkey, "cluster-test:");
    const idempotency = createIdempotency(store, log);
    const keyed = (key: string) => ({ key, scope: "acc_1", target: "POST /v1/checkouts", body: Buffer.from("{}") });
    let runs = 0;
    const work = async () => ({ status: 201, body: { run: ++runs } });
    for (let at = 0; at < 12; at++) await idempotency.once(keyed(`key-${at}`), work);
    for (let at = 0; at < 12; at++)
      expect(await idempotency.once(keyed(`key-${at}`), work)).toEqual({
        answer: { status: 201, body: { run: at + 1 } },
        replayed: true,
      });
    for (const count of await keysOnMasters()) expect(count).toBeGreaterThan(0);

    await memory("1000");
    // Not stored, so run again: what a request makes has an id that follows from its key.
    for (const run of [13, 14])
      expect(await idempotency.once(keyed("key-full"), work)).toEqual({
        answer: { status: 201, body: { run } },
        replayed: false,
      });
    // What was stored before is still answered.
    expect(await idempotency.once(keyed("key-0"), work)).toMatchObject({ replayed: true });
  });

  it("counts requests on all servers, and by itself when they are full", async () => {
    const rate = { points: 2, seconds: 60 };
    const rates = {
      anonymous: rate,
      account: rate,
      credentials: rate,
      webhooks: rate,
      codes: rate,
      codesByAddress: rate,
    };
    const two = [1, 2].map(() => createRateLimits(valkey, "cluster-test:", rates));
    const take = (gateway: number, who: string) => two[gateway]?.take("account", who);
    for (const who of ["acc_1", "acc_2", "acc_3", "acc_4", "acc_5"]) {
      expect((await take(0, who))?.refusal).toBeUndefined();
      expect((await take(1, who))?.refusal).toBeUndefined();
      expect((await take(0, who))?.refusal?.code).toBe("RATE_LIMITED");
    }
    await memory("1000");
    expect((await take(0, "acc_full"))?.refusal).toBeUndefined();
    expect((await take(0, "acc_full"))?.refusal).toBeUndefined();
    expect((await take(0, "acc_full"))?.refusal?.code).toBe("RATE_LIMITED");
    expect((await take(1, "acc_full"))?.refusal).toBeUndefined();
  });
});

it("the account service counts failed log-ins, and by itself when the servers are full", async () => {
  const limits = { perAccountAndAddress: 2, perAccount: 50, perAddress: 100, windowSeconds: 60, blockMaxSeconds: 600 };
  const counters = [1, 2].map(() => openAttemptCounters(cluster.url, limits, log));
  try {
    const keys = (name: string) => ({ account: name, address: "a1", accountAndAddress: `${name}:a1` });
    const fail = async (process: number, name: string) => {
      const admission = await counters[process]?.admit(keys(name));
      if (admission?.ok) await admission.attempt.failed();
      return admission?.ok;
    };
    // Until they are connected each counts by itself.
    let names = 0;
    const together = async () => {
      const name = `warm-up-${names++}`;
      return [await fail(0, name), await fail(1, name), await fail(0, name), await fail(1, name)];
    };
    await expect.poll(together, { timeout: 10_000 }).toEqual([true, true, false, false]);
    for (const name of ["n1", "n2", "n3", "n4"])
      expect([await fail(0, name), await fail(1, name), await fail(0, name), await fail(1, name)]).toEqual([
        true,
        true,
        false,
        false,
      ]);
    await memory("1000");
    expect([await fail(0, "full"), await fail(0, "full"), await fail(0, "full")]).toEqual([true, true, false]);
  } finally {
    for (const counter of counters) counter.close();
  }
});

it("the payment service shares its budget, also when the servers are full", async () => {
  const rates = { perEndpoint: 1, total: 1, newShare: 1 }; // turns a second apart
  const settings = { url: cluster.url, name: "cluster-test", rates, log };
  const two = [createSharedSlots(settings), createSharedSlots(settings)];
  try {
    const wanted = { endpoint: "capture", lane: "money", shared: false, maxWaitMs: 60_000 } as const;
    const reserve = (process: number) => two[process]?.reserve(wanted).catch(() => undefined);
    await expect.poll(() => reserve(0), { timeout: 10_000 }).toBeDefined();
    await expect.poll(() => reserve(1), { timeout: 10_000 }).toBeDefined();
    const turns = await Promise.all([0, 1, 0, 1, 0, 1].map((process) => two[process]?.reserve(wanted)));
    const waits = turns.map((turn) => turn?.waitMs ?? 0).sort((a, b) => a - b);
    for (let at = 1; at < waits.length; at++) expect((waits[at] ?? 0) - (waits[at - 1] ?? 0)).toBeGreaterThan(500);
    await memory("1000");
    const [one, other] = await Promise.all([0, 1].map((process) => two[process]?.reserve(wanted)));
    expect(Math.abs((one?.waitMs ?? 0) - (other?.waitMs ?? 0))).toBeGreaterThan(500);
  } finally {
    for (const slots of two) slots.stop();
  }
});

describe("through TLS", () => {
  let folder: string;
  let proxy: Server;
  let url: string;
  let ca: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "onsale-tls-"));
    ca = join(folder, "cert.pem");
    const key = join(folder, "key.pem");
    // biome-ignore format: pairs
    await promisify(execFile)("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", ca, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    const target = cluster.nodes[0]?.port ?? 0;
    proxy = createServer({ key: await readFile(key), cert: await readFile(ca) }, (near) => {
      const far = dial(target, "127.0.0.1");
      near.pipe(far).pipe(near);
      for (const socket of [near, far]) socket.on("error", () => undefined);
    });
    proxy.on("tlsClientError", () => undefined);
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    url = `rediss://localhost:${(proxy.address() as { port: number }).port}`;
  });
  afterAll(async () => {
    proxy?.close();
    if (folder) await rm(folder, { recursive: true, force: true });
  });
  const options = { lazyConnect: true, retryStrategy: () => null, connectTimeout: 5_000 };

  it("a server is believed by the authority that was named, and by none else", async () => {
    const trusting = openRedis({ url, ca, options });
    trusting.on("error", () => undefined);
    await trusting.connect();
    expect(await trusting.ping()).toBe("PONG");
    trusting.disconnect();

    const wary = openRedis({ url, options });
    const failure = new Promise<Error>((resolve) => wary.on("error", resolve));
    await expect(wary.connect()).rejects.toThrow();
    expect((await failure).message).toMatch(/self.signed certificate/);
    wary.disconnect();
  });

  it("the same for who keeps to one server", async () => {
    const away: string[] = [];
    const onAway = (_server: string, error: unknown) => void away.push((error as Error).message);
    const settings = {
      options: { enableOfflineQueue: false, retryStrategy: () => 50 },
      onAway,
      onBack: () => undefined,
    };
    const trusting = openRedisServers({ url, ca, ...settings });
    const wary = openRedisServers({ url, ...settings });
    await expect.poll(() => trusting.of("x")?.client.status, { timeout: 10_000 }).toBe("ready");
    await expect.poll(() => away.length, { timeout: 10_000 }).toBeGreaterThan(0);
    expect(away[0]).toMatch(/self.signed certificate/);
    expect(wary.of("x")?.client.status).not.toBe("ready");
    trusting.close();
    wary.close();
  });
});
