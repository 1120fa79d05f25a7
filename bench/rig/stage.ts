// What a question is asked of: a Valkey and a MongoDB of its own, inventory and gateway processes, and their clocks.
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onsaleSearchAttributes } from "@onsale/backing/backing";
import { type StartedProcess, startProcess } from "@onsale/backing/child-process";
import { freePort } from "@onsale/backing/ports";
import { registerSearchAttributes } from "@onsale/backing/search-attributes";
import { startMongodb, startTemporal, startValkey } from "@onsale/backing/servers";
import { connect, type ServiceClient } from "@onsale/kit/grpc-client";
import { newId } from "@onsale/kit/ids";
import { CatalogServiceService, Event } from "@onsale/proto/inventory/v1/catalog";
import { HoldRequest, SeatServiceService } from "@onsale/proto/inventory/v1/seats";
import { Redis } from "ioredis";
import { between, type CpuMeter, startCpuMeter, type Watched } from "./cpu-time.js";
import { type Generator, startGenerator } from "./generator.js";
import { type Block, type House, seatIdsOf, sectionsOf, splitHouse } from "./house.js";
import { type Neighbours, startNeighbours } from "./neighbours.js";

const root = fileURLToPath(new URL(import.meta.url.includes("/dist/") ? "../../../" : "../../", import.meta.url));
const withoutTemporal = fileURLToPath(new URL("./without-temporal.js", import.meta.url));

/** As the product is run; peers run with the same. */
export const nodeFlags = ["--enable-source-maps"];

/** How many buyers there are; each has a token and takes his turn. */
export const buyers = 2_000;

/** The servers under everything, started once for a run of the benchmark. */
export interface Ground {
  readonly redisUrl: string;
  readonly valkeyPort: number;
  readonly valkey: StartedProcess;
  readonly redis: Redis;
  readonly mongodbUri: string;
  /** Undefined: a MongoDB of yours, by MONGODB_URI. */
  readonly mongodb: StartedProcess | undefined;
  readonly neighbours: Neighbours;
  readonly sharedSecret: string;
  readonly meter: CpuMeter;
  readonly generator: Generator;
  readonly folder: string;
  /** What else was started and must end with the run, last one first. */
  onStop(stop: () => Promise<unknown> | unknown): void;
  stop(): Promise<void>;
}

export async function openGround(): Promise<Ground> {
  const stops: (() => Promise<unknown> | unknown)[] = [];
  const stop = async () => {
    for (const one of stops.splice(0).reverse())
      await Promise.resolve(one()).catch((error: unknown) => process.stderr.write(`while stopping: ${error}\n`));
  };
  try {
    const folder = await mkdtemp(join(tmpdir(), "onsale-bench-"));
    stops.push(() => rm(folder, { recursive: true, force: true }));
    const valkeyPort = await freePort();
    const env = process.env;
    // Always one of our own: the benchmark empties it between rounds.
    const valkey = await startValkey({ port: valkeyPort, dataDir: join(folder, "valkey"), env, keepsData: false });
    stops.push(() => valkey.stop());
    const redisUrl = `redis://127.0.0.1:${valkeyPort}`;
    const redis = new Redis(redisUrl);
    stops.push(() => redis.disconnect());
    let mongodbUri = process.env["MONGODB_URI"];
    let mongodb: StartedProcess | undefined;
    if (!mongodbUri) {
      const port = await freePort();
      mongodb = await startMongodb({ port, dataDir: join(folder, "mongodb"), env });
      const { stop: stopMongodb } = mongodb;
      stops.push(() => stopMongodb());
      mongodbUri = `mongodb://127.0.0.1:${port}/?directConnection=true`;
    }
    const sharedSecret = randomBytes(24).toString("base64url");
    const neighbours = await startNeighbours(sharedSecret);
    stops.push(() => neighbours.stop());
    const meter = startCpuMeter();
    stops.push(() => meter.stop());
    const generator = startGenerator();
    stops.push(() => generator.stop());
    return {
      redisUrl,
      valkeyPort,
      valkey,
      redis,
      mongodbUri,
      mongodb,
      neighbours,
      sharedSecret,
      meter,
      generator,
      folder,
      onStop: (one) => void stops.push(one),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

export interface StageOptions {
  readonly inventories?: number;
  /** Each gateway asks the inventory of its own number, or the last one. */
  readonly gateways?: number;
  /**
   * shipped: the gateway as it is. without Temporal: the same program, but a won hold starts no workflow (see
   * without-temporal.ts).
   */
  readonly gateway?: "shipped" | "without Temporal";
  readonly temporalAddress?: string;
  /** On top of the defaults, for inventory. */
  readonly inventorySettings?: Readonly<Record<string, string>>;
  /** Likewise for the gateway. */
  readonly gatewaySettings?: Readonly<Record<string, string>>;
}

export interface Stage {
  readonly ground: Ground;
  readonly database: string;
  readonly inventoryAddresses: readonly string[];
  readonly gatewayPorts: readonly number[];
  readonly inventories: readonly StartedProcess[];
  readonly gateways: readonly StartedProcess[];
  readonly catalog: ServiceClient<CatalogServiceService>;
  readonly seats: ServiceClient<SeatServiceService>;
  /** valkey, inventory, gateway and the load generator. */
  readonly parts: readonly Watched[];
  stop(): Promise<void>;
}

/** A part is one or several processes under one name. */
export const watch = (name: string, processes: readonly (StartedProcess | undefined)[]): Watched => ({
  name,
  pids: () => processes.flatMap((one) => (one?.pid === undefined ? [] : [one.pid])),
});

export async function openStage(ground: Ground, options: StageOptions = {}): Promise<Stage> {
  const { sharedSecret, redisUrl, mongodbUri, neighbours, folder } = ground;
  const stops: (() => Promise<unknown> | unknown)[] = [];
  const stop = async () => {
    for (const one of stops.splice(0).reverse()) await one();
  };
  ground.onStop(stop); // should the run be interrupted
  const database = `onsale_bench_${newId("run").slice(4)}`;
  const common = {
    PATH: process.env["PATH"],
    NODE_ENV: "production",
    LOG_LEVEL: "info",
    GRPC_SHARED_SECRET: sharedSecret,
    REDIS_URL: redisUrl,
    MONGODB_URI: mongodbUri,
    MONGODB_DATABASE: database,
  };

  async function launch(name: string, program: string, nodeArgs: string[], env: Record<string, string | undefined>) {
    const opsPort = await freePort();
    const log = join(folder, `${name}-${newId("log").slice(4)}.log`);
    const started = await startProcess({
      name,
      command: "/bin/sh",
      // Logs go to a file, as a container's do, and not through the benchmark's own process.
      args: [
        "-c",
        'log="$1"; shift; exec "$@" >"$log"',
        "sh",
        log,
        process.execPath,
        ...nodeFlags,
        ...nodeArgs,
        program,
      ],
      env: { ...common, OPS_LISTEN: `127.0.0.1:${opsPort}`, ...env },
      cwd: root,
      ready: async () => {
        const answer = await fetch(`http://127.0.0.1:${opsPort}/readyz`, { signal: AbortSignal.timeout(5_000) });
        if (answer.status !== 200) throw new Error(`/readyz answers ${answer.status}`);
      },
      readyWithinSeconds: 60,
      stopWithinSeconds: 15,
    }).catch(async (error: Error) => {
      const told = await readFile(log, "utf8").catch(() => "");
      throw new Error(`${error.message}\n${told.slice(-2_000)}`, { cause: error });
    });
    stops.push(() => started.stop());
    return started;
  }

  try {
    const times = (count: number) => Array.from({ length: count }, (_, at) => at);
    const inventoryAddresses: string[] = [];
    for (const _ of times(options.inventories ?? 1)) inventoryAddresses.push(`127.0.0.1:${await freePort()}`);
    const inventories = await Promise.all(
      inventoryAddresses.map((address) =>
        launch("inventory", join(root, "services/inventory/dist/main.js"), [], {
          GRPC_LISTEN: address,
          // Holds of a round must not lapse before the next.
          HOLD_TTL_SECONDS: "3600",
          // Seats are set free between rounds behind the service's back: nothing shall compare them meanwhile.

          ...options.inventorySettings,
        }),
      ),
    );
    const shipped = options.gateway === "shipped";
    const gatewayPorts: number[] = [];
    for (const _ of times(options.gateways ?? 1)) gatewayPorts.push(await freePort());
    const gateways = await Promise.all(
      gatewayPorts.map((port, at) =>
        launch("gateway", join(root, "services/gateway/dist/main.js"), shipped ? [] : ["--import", withoutTemporal], {
          HTTP_LISTEN: `127.0.0.1:${port}`,
          ACCOUNT_ADDRESS: neighbours.address,
          TICKET_ADDRESS: neighbours.address,
          PAYMENT_ADDRESS: neighbours.address,
          INVENTORY_ADDRESS: inventoryAddresses[Math.min(at, inventoryAddresses.length - 1)],
          TEMPORAL_ADDRESS: options.temporalAddress ?? "127.0.0.1:1",
          IDEMPOTENCY_SECRET: sharedSecret,
          // Counted as in production, with limits that nobody reaches.
          RATE_LIMITS: "true",
          RATE_ACCOUNT: "900000000/60",
          RATE_ANONYMOUS: "900000000/60",
          ...options.gatewaySettings,
        }),
      ),
    );
    if (!shipped && gateways.some((one) => !one.tail().some((line) => line.includes("starts no workflows"))))
      throw new Error("the gateway was to start no workflows, but without-temporal.ts did not find its place in it");
    const trust = { sharedSecret };
    const address = inventoryAddresses[0] as string;
    const catalog = connect(CatalogServiceService, { address, trust, deadlineMs: 60_000 });
    const seats = connect(SeatServiceService, { address, trust, deadlineMs: 30_000 });
    stops.push(
      () => catalog.close(),
      () => seats.close(),
    );
    return {
      ground,
      database,
      inventoryAddresses,
      gatewayPorts,
      inventories,
      gateways,
      catalog,
      seats,
      parts: [
        watch("valkey", [ground.valkey]),
        watch("inventory", inventories),
        watch("gateway", gateways),
        ground.generator,
      ],
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A Temporal of its own for a stage whose gateway is the shipped one; nobody works on its workflows. */
export async function openTemporal(ground: Ground): Promise<{ server: StartedProcess; address: string }> {
  const port = await freePort();
  const folder = join(ground.folder, `temporal-${port}`);
  const server = await startTemporal({ port, dataDir: folder, env: process.env, keepsData: false });
  const address = `127.0.0.1:${port}`;
  await registerSearchAttributes({ address }, onsaleSearchAttributes);
  return { server, address };
}

// ---- events

export interface Sale {
  readonly eventId: string;
  readonly house: House;
}

/** A published event, on sale. */
export async function putOnSale({ catalog }: Pick<Stage, "catalog">, house: House): Promise<Sale> {
  const eventId = newId("evt");
  const hour = 3_600_000;
  const event = Event.fromPartial({
    eventId,
    organiserId: "org_bench",
    name: "The Benchmark",
    venue: { name: "Loopback Hall", city: "Berlin", country: "DE", timeZone: "Europe/Berlin" },
    startsAtMs: Date.now() + 1_000 * hour,
    onSaleAtMs: Date.now() - hour,
    currency: "EUR",
    seatsPerPerson: 100,
    tiers: [{ tierId: "STALLS", name: "Stalls", amount: 5_000 }],
  });
  await catalog.createEvent({ event, sections: sectionsOf(house, "STALLS"), layoutSource: "" });
  await catalog.publishEvent({ eventId, organiserId: "" });
  return { eventId, house };
}

/** Holds the seats for which losers will ask, by people who do nothing else. */
export async function takeLosersSeats({ seats }: Stage, { eventId, house }: Sale): Promise<void> {
  const rows = splitHouse(house, 10).taken;
  const hold = ({ at, block }: { at: number; block: Block }) =>
    seats.hold(
      HoldRequest.fromPartial({
        checkoutId: `chk_taken${at}`,
        userId: `usr_early${at}`,
        eventId,
        selection: { $case: "seats", value: { seatIds: seatIdsOf(block) } },
      }),
    );
  const all = rows.map((block, at) => ({ at, block }));
  for (let at = 0; at < all.length; at += 50) await Promise.all(all.slice(at, at + 50).map(hold));
}

/** All keys of an event as they are now, to be brought back between rounds. */
export class Snapshot {
  private constructor(
    private readonly redis: Redis,
    private readonly eventId: string,
    private readonly kept: ReadonlyMap<string, Buffer>,
  ) {}

  static async of(stage: Stage, { eventId }: Sale): Promise<Snapshot> {
    const { redis } = stage.ground;
    const keys = await keysOf(redis, eventId);
    const dumps = await Promise.all(keys.map((key) => redis.dumpBuffer(key)));
    const kept = keys.flatMap((key, at): [string, Buffer][] => (dumps[at] ? [[key, dumps[at]]] : []));
    return new Snapshot(redis, eventId, new Map(kept));
  }

  /** The event's keys are gone; the event is not to be used again. */
  async remove(): Promise<void> {
    const keys = await keysOf(this.redis, this.eventId);
    for (let at = 0; at < keys.length; at += 1_000) await this.redis.del(...keys.slice(at, at + 1_000));
  }

  /** In one step, so that nobody sees the event without its marker. Keys that expire by themselves then no longer do. */
  async restore(): Promise<void> {
    const multi = this.redis.multi();
    const extra = (await keysOf(this.redis, this.eventId)).filter((key) => !this.kept.has(key));
    for (let at = 0; at < extra.length; at += 1_000) multi.unlink(...extra.slice(at, at + 1_000));
    for (const [key, dump] of this.kept) multi.restore(key, 0, dump, "REPLACE");
    for (const [error] of (await multi.exec()) ?? []) if (error) throw error;
  }
}

async function keysOf(redis: Redis, eventId: string): Promise<string[]> {
  const keys = new Set<string>();
  for (let cursor = "0", first = true; first || cursor !== "0"; first = false) {
    const [next, found] = await redis.scan(cursor, "MATCH", `{${eventId}}:*`, "COUNT", 5_000);
    for (const key of found) keys.add(key);
    cursor = next;
  }
  return [...keys];
}

/** What `work` cost each part, in microseconds of CPU time. */
export async function costOf<Answer>(
  stage: Pick<Stage, "ground" | "parts">,
  work: () => Promise<Answer>,
): Promise<{ answer: Answer; micros: Map<string, number> }> {
  const before = await stage.ground.meter.read(stage.parts);
  const answer = await work();
  const after = await stage.ground.meter.read(stage.parts);
  return { answer, micros: new Map([...between(before, after)].map(([name, ns]) => [name, ns / 1_000])) };
}
