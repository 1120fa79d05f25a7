// A Valkey cluster for tests: three masters, each with a replica, on free loopback ports, with nothing kept.
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { type Env, type StartedProcess, startProcess } from "./child-process.js";
import { freePort } from "./ports.js";
import { serverProgram } from "./programs.js";
import { pingRedis } from "./servers.js";

export interface ClusterNode {
  readonly port: number;
  /** As CLUSTER NODES names it. */
  readonly id: string;
  readonly process: StartedProcess;
  /** For the test itself: to look into this server, and to break it. */
  readonly redis: Redis;
}

export interface ValkeyCluster {
  /** All six, as REDIS_URL takes them. */
  readonly url: string;
  /** The masters, then their replicas: as it was at the start. */
  readonly nodes: readonly ClusterNode[];
  /** The node that has this slot by the word of the others, whatever it was at the start. */
  masterOf(slot: number): Promise<ClusterNode>;
  /** Moves a slot with its keys to another master, a few keys at a time, as an operator's tool does. `between` runs before each few. */
  moveSlot(slot: number, to: ClusterNode, between?: () => Promise<void>): Promise<void>;
  stop(): Promise<void>;
}

export interface ValkeyClusterOptions {
  readonly env: Env;
  /** A master that is silent for so long is replaced by its replica. */
  readonly nodeTimeoutMs?: number;
}

const slots = 16_384;
const masters = 3;
const withinMs = 20_000;

export async function startValkeyCluster({ env, nodeTimeoutMs = 1_000 }: ValkeyClusterOptions): Promise<ValkeyCluster> {
  const folder = await mkdtemp(join(tmpdir(), `onsale-backing-${process.pid}-cluster-`));
  const nodes: ClusterNode[] = [];

  async function stop(): Promise<void> {
    for (const { redis } of nodes) redis.disconnect();
    await Promise.all(nodes.map(({ process }) => process.kill9()));
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }

  async function startNode(at: number): Promise<ClusterNode & { readonly busPort: number }> {
    const dataDir = join(folder, String(at));
    await mkdir(dataDir);
    const [port, busPort] = [await freePort(), await freePort()];
    const program = serverProgram("valkey");
    const process = await startProcess({
      name: `valkey-${at}`,
      command: program.command,
      // biome-ignore format: one option a line would hide that these are pairs
      args: [...program.args, "--bind", "127.0.0.1", "--port", String(port), "--cluster-enabled", "yes", "--cluster-port", String(busPort), "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", String(nodeTimeoutMs), "--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0", "--dir", dataDir, "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction", "--loglevel", "warning", "--enable-debug-command", "local"],
      env: { PATH: env["PATH"], ...program.env },
      cwd: dataDir,
      ready: () => pingRedis(`redis://127.0.0.1:${port}`),
      readyWithinSeconds: 30,
      stopWithinSeconds: 5,
    });
    const redis = new Redis(port, "127.0.0.1", { retryStrategy: () => 100 });
    redis.on("error", () => undefined); // tests kill it
    const id = (await redis.call("CLUSTER", "MYID")) as string;
    const node = { port, busPort, id, process, redis };
    nodes.push(node);
    return node;
  }

  try {
    const started = await Promise.all(Array.from({ length: 2 * masters }, (_, at) => startNode(at)));
    nodes.sort(
      (one, other) => started.findIndex(({ id }) => id === one.id) - started.findIndex(({ id }) => id === other.id),
    );
    const [first] = started;
    if (!first) throw new Error("a cluster has nodes");
    const share = Math.ceil(slots / masters);
    for (const [at, { redis, port, busPort }] of started.entries()) {
      await redis.call("CLUSTER", "SET-CONFIG-EPOCH", at + 1);
      if (at < masters) await redis.call("CLUSTER", "ADDSLOTSRANGE", at * share, Math.min((at + 1) * share, slots) - 1);
      if (at > 0) await first.redis.call("CLUSTER", "MEET", "127.0.0.1", port, busPort);
    }
    await until("all know each other", async () => {
      const known = await Promise.all(started.map(({ redis }) => clusterInfo(redis, "cluster_known_nodes")));
      return known.every((count) => count === String(2 * masters));
    });
    await Promise.all(
      started.slice(masters).map(({ redis }, at) => redis.call("CLUSTER", "REPLICATE", started[at]?.id ?? "")),
    );
    await until("all serve, and the replicas have what their masters have", async () => {
      const states = await Promise.all(started.map(({ redis }) => clusterInfo(redis, "cluster_state")));
      const links = await Promise.all(started.slice(masters).map(({ redis }) => redis.info("replication")));
      return states.every((state) => state === "ok") && links.every((info) => info.includes("master_link_status:up"));
    });
  } catch (error) {
    await stop();
    throw error;
  }

  async function masterOf(slot: number): Promise<ClusterNode> {
    for (const { redis } of nodes.filter(({ redis }) => redis.status === "ready")) {
      const reply = (await redis.call("CLUSTER", "SLOTS")) as [number, number, [string, number], ...unknown[]][];
      const port = reply.find(([from, to]) => from <= slot && slot <= to)?.[2][1];
      const found = nodes.find((node) => node.port === port);
      if (found) return found;
    }
    throw new Error(`no node of the cluster knows who has slot ${slot}`);
  }

  return {
    url: nodes.map(({ port }) => `redis://127.0.0.1:${port}`).join(","),
    nodes,
    masterOf,
    async moveSlot(slot, to, between = () => Promise.resolve()) {
      const from = await masterOf(slot);
      await to.redis.call("CLUSTER", "SETSLOT", slot, "IMPORTING", from.id);
      await from.redis.call("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id);
      for (;;) {
        await between();
        const keys = (await from.redis.call("CLUSTER", "GETKEYSINSLOT", slot, 10)) as string[];
        if (keys.length === 0) break;
        await from.redis.call("MIGRATE", "127.0.0.1", to.port, "", 0, 5_000, "KEYS", ...keys);
      }
      // The new owner first, so that there always is one.
      for (const node of [to, from, ...nodes.filter((other) => other !== to && other !== from)]) {
        const role = await node.redis.info("replication");
        if (role.includes("role:master")) await node.redis.call("CLUSTER", "SETSLOT", slot, "NODE", to.id);
      }
    },
    stop,
  };
}

async function clusterInfo(redis: Redis, field: string): Promise<string | undefined> {
  const info = (await redis.call("CLUSTER", "INFO")) as string;
  return new RegExp(`^${field}:(.*?)\\r?$`, "m").exec(info)?.[1];
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const giveUpAt = Date.now() + withinMs;
  while (!(await isSo())) {
    if (Date.now() > giveUpAt)
      throw new Error(`the cluster did not come to be: not true within ${withinMs} ms that ${what}`);
    await sleep(50);
  }
}
