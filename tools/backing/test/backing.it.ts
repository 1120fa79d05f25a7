// The embedded servers: they start, survive kill -9 with their data, and die with the process that started them.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Connection } from "@temporalio/client";
import { Redis } from "ioredis";
import { MongoClient } from "mongodb";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { searchAttributes } from "../../../workflows/src/contract.js";
import { type Backing, onsaleSearchAttributes, startBacking } from "../src/backing.js";
import { pingMongodb, pingRedis, pingTemporal } from "../src/servers.js";

/** Nothing: which programs the servers are is no matter of who starts them. */
const embedded = {};

describe("the backing that vitest shares", () => {
  it("answers on all three addresses", async () => {
    const { redisUrl, mongodbUri, temporalAddress } = inject("backing");
    await pingRedis(redisUrl);
    await pingMongodb(mongodbUri);
    await pingTemporal({ address: temporalAddress });
  });

  it("knows the search attributes that the workflows use", async () => {
    expect([...onsaleSearchAttributes].sort()).toEqual(Object.values(searchAttributes).sort());
    const connection = await Connection.connect({ address: inject("backing").temporalAddress });
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace: "default" });
    await connection.close();
    for (const name of onsaleSearchAttributes) expect(customAttributes?.[name], name).toBe(2);
  });
});

describe("a backing of one's own", () => {
  let backing: Backing;
  let dataDir: string;
  const ends: string[] = [];

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), "onsale-test-data-"));
    backing = await startBacking({
      dataDir,
      env: embedded,
      onUnexpectedExit: (server, how) => ends.push(`${server} ${how}`),
    });
  });
  afterAll(async () => {
    await backing?.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  it("keeps Valkey's keys over kill -9, on the same port", async () => {
    const before = backing.processes.valkey?.pid;
    await withRedis(backing.redisUrl, (redis) => redis.set("kept", "yes"));
    await backing.processes.valkey?.kill9();
    await expect(pingRedis(backing.redisUrl)).rejects.toThrow();
    await backing.processes.valkey?.restart();
    expect(await withRedis(backing.redisUrl, (redis) => redis.get("kept"))).toBe("yes");
    expect(backing.processes.valkey?.pid).not.toBe(before);
  });

  it("keeps an acknowledged write of the MongoDB server over kill -9", async () => {
    const client = new MongoClient(backing.mongodbUri);
    await client.db("backing").collection("kept").insertOne({ answer: 42 });
    await client.close();
    await backing.processes.mongodb?.kill9();
    await backing.processes.mongodb?.restart();
    const again = new MongoClient(backing.mongodbUri);
    expect(await again.db("backing").collection("kept").findOne({ answer: 42 })).toBeTruthy();
    await again.close();
  });

  it("keeps Temporal's workflows and search attributes over kill -9", async () => {
    const connection = await Connection.connect({ address: backing.temporalAddress });
    await connection.workflowService.startWorkflowExecution({
      namespace: "default",
      workflowId: "kept",
      requestId: "kept",
      workflowType: { name: "nobody-runs-it" },
      taskQueue: { name: "nobody-listens" },
      searchAttributes: {
        indexedFields: {
          OnsaleStatus: { metadata: { encoding: Buffer.from("json/plain") }, data: Buffer.from('"held"') },
        },
      },
    });
    await connection.close();
    await backing.processes.temporal?.kill9();
    await backing.processes.temporal?.restart();
    const again = await Connection.connect({ address: backing.temporalAddress });
    const found = await again.workflowService.describeWorkflowExecution({
      namespace: "default",
      execution: { workflowId: "kept" },
    });
    expect(found.workflowExecutionInfo?.type?.name).toBe("nobody-runs-it");
    const { customAttributes } = await again.operatorService.listSearchAttributes({ namespace: "default" });
    expect(Object.keys(customAttributes ?? {})).toContain("OnsaleStatus");
    await again.close();
    const ui = await fetch(String(backing.temporalUiUrl));
    expect(ui.status).toBe(200);
  });

  it("tells of an end that nobody asked for, and only of that", async () => {
    expect(ends).toEqual([]);
    process.kill(Number(backing.processes.valkey?.pid), "SIGKILL");
    await expect.poll(() => ends).toEqual(["valkey ended by SIGKILL"]);
    expect(backing.processes.valkey?.pid).toBeUndefined();
    await backing.processes.valkey?.restart();
  });

  it("uses what the environment names, and starts nothing for it", async () => {
    const { redisUrl, mongodbUri, temporalAddress } = backing;
    const env = { ...embedded, REDIS_URL: redisUrl, MONGODB_URI: mongodbUri, TEMPORAL_ADDRESS: temporalAddress };
    const second = await startBacking({ env });
    expect(second).toMatchObject({ redisUrl, mongodbUri, temporalAddress, processes: {} });
    await second.stop();
    await pingRedis(redisUrl);
  });
});

it("says which setting names a server that does not answer, without its password", async () => {
  const env = {
    ...embedded,
    REDIS_URL: "redis://:hunter2@127.0.0.1:1",
    MONGODB_URI: inject("backing").mongodbUri,
    TEMPORAL_ADDRESS: inject("backing").temporalAddress,
  };
  const error = await startBacking({ env }).then(
    () => undefined,
    (thrown: Error) => thrown,
  );
  expect(error?.message).toMatch(/^REDIS_URL is set in the environment, but the server it names does not answer/);
  expect(error?.message).not.toContain("hunter2");
});

it("leaves no process behind when the one that started it is killed with -9", async () => {
  const backingModule = new URL("../dist/backing.js", import.meta.url);
  const script = `
    const { startBacking } = await import(${JSON.stringify(backingModule.href)});
    const { processes } = await startBacking({ env: process.env });
    console.log(JSON.stringify(Object.values(processes).map((server) => server.pid)));
    setInterval(() => undefined, 1000);`;
  const parent = spawn(process.execPath, ["--input-type=module", "-e", script], {
    env: embedded, // and all three start
    stdio: ["ignore", "pipe", "inherit"],
  });
  const pids = await new Promise<number[]>((resolve, reject) => {
    parent.once("exit", (code) => reject(new Error(`ended with ${code} before its servers ran`)));
    parent.stdout.on("data", (chunk: Buffer) => resolve(JSON.parse(chunk.toString()) as number[]));
  });
  expect(pids).toHaveLength(3);
  expect(pids.every(alive)).toBe(true);
  parent.kill("SIGKILL");
  await expect.poll(() => pids.filter(alive)).toEqual([]);
});

function alive(pid: number): boolean {
  const status = `/proc/${pid}/stat`;
  // A zombie waits for init to collect it: it holds no port and no memory.
  if (existsSync(status)) return !/\) Z /.test(readFileSync(status, "utf8"));
  return false;
}

async function withRedis<Result>(url: string, use: (redis: Redis) => Promise<Result>): Promise<Result> {
  const redis = new Redis(url);
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}
