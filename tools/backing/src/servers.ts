// The three embedded servers, one function each: how it is started, and how we know that it serves.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TemporalConnection } from "@onsale/kit/temporal";
import { Connection } from "@temporalio/client";
import { Redis } from "ioredis";
import { MongoClient } from "mongodb";
import { type Env, type StartedProcess, startProcess } from "./child-process.js";
import { serverProgram } from "./programs.js";

export interface ServerOptions {
  readonly port: number;
  /** The server's own folder; made when missing. */
  readonly dataDir: string;
  readonly env: Env;
  readonly onLine?: ((line: string) => void) | undefined;
  readonly onUnexpectedExit?: ((how: string) => void) | undefined;
}

export interface ValkeyOptions extends ServerOptions {
  /** False: what is in memory is lost with the process. */
  readonly keepsData: boolean;
}

export async function startValkey({ port, dataDir, env, keepsData, ...hooks }: ValkeyOptions): Promise<StartedProcess> {
  await mkdir(dataDir, { recursive: true });
  const program = serverProgram("valkey");
  const durability = keepsData ? ["--appendonly", "yes", "--appendfsync", "everysec"] : ["--appendonly", "no"];
  return await startProcess({
    name: "valkey",
    command: program.command,
    // biome-ignore format: one option a line would hide that these are pairs
    args: [...program.args, "--bind", "127.0.0.1", "--port", String(port), "--dir", dataDir, "--save", "", "--maxmemory-policy", "noeviction", "--loglevel", "warning", ...durability],
    env: { PATH: env["PATH"], ...program.env },
    cwd: dataDir,
    ready: () => pingRedis(`redis://127.0.0.1:${port}`),
    readyWithinSeconds: 30,
    stopWithinSeconds: 10,
    ...hooks,
  });
}

/** A server that speaks MongoDB's protocol; always with --sync-on-commit: without it, it acknowledges what a crash takes back. */
export async function startMongodb({ port, dataDir, env, ...hooks }: ServerOptions): Promise<StartedProcess> {
  await mkdir(dataDir, { recursive: true });
  const config = join(dataDir, "secantusd.toml");
  // An empty file of ours, so that it reads no other from the person's home.
  await writeFile(config, "");
  const program = serverProgram("mongodb");
  return await startProcess({
    name: "mongodb",
    command: program.command,
    // biome-ignore format: one option a line would hide that these are pairs
    args: [...program.args, "--config", config, "--host", "127.0.0.1", "--port", String(port), "--storage-path", join(dataDir, "store"), "--cache-size", "256M", "--log-level", "WARNING", "--sync-on-commit"],
    env: { PATH: env["PATH"], HOME: env["HOME"], ...program.env },
    cwd: dataDir,
    ready: () => pingMongodb(`mongodb://127.0.0.1:${port}/?directConnection=true`),
    readyWithinSeconds: 60,
    stopWithinSeconds: 15,
    ...hooks,
  });
}

export interface TemporalOptions extends ServerOptions {
  /** Undefined: no Web UI. */
  readonly uiPort?: number | undefined;
  /** Where the Web UI has encrypted payloads decoded. */
  readonly uiCodecUrl?: string | undefined;
  /** False: commits are not forced to the disk; a killed process still finds them, a lost machine may not. */
  readonly keepsData: boolean;
}

// Defaults of the server are made for shared clusters: 10 listings/s and 2,400 calls/s a namespace. One test of ours needs more.
const dynamicConfig = [
  "frontend.namespaceRPS.visibility=1000",
  "frontend.namespaceRPS=20000",
  "frontend.namespaceBurstRatio=2",
  "frontend.rps=20000",
  "frontend.namespaceCount=10000",
  "history.rps=30000",
  "matching.rps=30000",
  "history.persistenceMaxQPS=50000",
  "matching.persistenceMaxQPS=50000",
  "frontend.persistenceMaxQPS=50000",
  "history.hostLevelCacheMaxSize=20000",
];

export async function startTemporal({
  port,
  uiPort,
  uiCodecUrl,
  dataDir,
  env,
  keepsData,
  ...hooks
}: TemporalOptions): Promise<StartedProcess> {
  await mkdir(dataDir, { recursive: true });
  const program = serverProgram("temporal");
  const codec = uiCodecUrl === undefined ? [] : ["--ui-codec-endpoint", uiCodecUrl];
  const ui = uiPort === undefined ? ["--headless"] : ["--ui-port", String(uiPort), ...codec];
  const limits = dynamicConfig.flatMap((setting) => ["--dynamic-config-value", setting]);
  const timeSkipping = keepsData ? [] : ["--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true"];
  return await startProcess({
    name: "temporal",
    command: program.command,
    // biome-ignore format: one option a line would hide that these are pairs
    args: [...program.args, "server", "start-dev", "--ip", "127.0.0.1", "--port", String(port), ...ui, "--db-filename", join(dataDir, "temporal.db"), "--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", keepsData ? "synchronous=NORMAL" : "synchronous=OFF", "--log-level", "error", ...limits, ...timeSkipping],
    env: { PATH: env["PATH"], HOME: dataDir, ...program.env },
    cwd: dataDir,
    ready: () => pingTemporal({ address: `127.0.0.1:${port}` }),
    readyWithinSeconds: 60,
    stopWithinSeconds: 15,
    ...hooks,
  });
}

// ---- does it serve?

export async function pingRedis(url: string): Promise<void> {
  const [first = ""] = url.split(","); // of a cluster, the server that is named first
  const redis = new Redis(first.replace("+cluster", ""), {
    lazyConnect: true,
    retryStrategy: () => null,
    connectTimeout: 2_000,
  });
  redis.on("error", () => undefined); // the call below rejects with it
  try {
    await redis.connect();
    await redis.ping();
  } finally {
    redis.disconnect();
  }
}

export async function pingMongodb(uri: string): Promise<void> {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: 2_000 });
  try {
    await client.db("admin").command({ ping: 1 });
  } finally {
    await client.close();
  }
}

export async function pingTemporal(to: TemporalConnection, namespace = "default"): Promise<void> {
  const connection = await Connection.connect({ ...to, connectTimeout: 2_000 });
  try {
    await connection.withDeadline(Date.now() + 2_000, () =>
      connection.workflowService.describeNamespace({ namespace }),
    );
  } finally {
    await connection.close();
  }
}
