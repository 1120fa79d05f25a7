// What the product stands on: Temporal, Valkey and a MongoDB-protocol server, embedded or, where the environment names them, given.
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { temporalConnection } from "@onsale/kit/temporal";
import type { Env, StartedProcess } from "./child-process.js";
import { messageOf } from "./child-process.js";
import { freePort } from "./ports.js";
import type { ServerName } from "./programs.js";
import { registerSearchAttributes } from "./search-attributes.js";
import { pingMongodb, pingRedis, pingTemporal, startMongodb, startTemporal, startValkey } from "./servers.js";

export interface BackingOptions {
  /** Data is kept here; undefined: in a temporary folder that `stop` throws away. */
  readonly dataDir?: string | undefined;
  /** REDIS_URL, MONGODB_URI and TEMPORAL_ADDRESS (with the other TEMPORAL_* settings) replace the embedded part. */
  readonly env: Env;
  /** Undefined: a free one. The Web UI starts when its port is given or data is kept. */
  readonly ports?: {
    readonly valkey?: number;
    readonly mongodb?: number;
    readonly temporal?: number;
    readonly temporalUi?: number;
  };
  /** Where Temporal's Web UI has encrypted payloads decoded. */
  readonly temporalCodecUrl?: string | undefined;
  /** Ephemeral data only: Valkey writes an append-only file, so that it finds its keys again after kill9 and restart. */
  readonly valkeyKeepsData?: boolean;
  /** Keyword search attributes to register. */
  readonly searchAttributes?: readonly string[];
  readonly onLine?: ((server: ServerName, line: string) => void) | undefined;
  readonly onUnexpectedExit?: ((server: ServerName, how: string) => void) | undefined;
}

export interface Backing {
  readonly redisUrl: string;
  readonly mongodbUri: string;
  readonly temporalAddress: string;
  /** Undefined when there is no Web UI, or none that we know of. */
  readonly temporalUiUrl: string | undefined;
  /** The embedded servers; a given one is not here. */
  readonly processes: { readonly [Name in ServerName]?: StartedProcess };
  stop(): Promise<void>;
}

/** Checkout attributes; the names are the workflows' contract (workflows/src/contract.ts), which a test compares. */
export const onsaleSearchAttributes = ["OnsaleEventId", "OnsaleAccountId", "OnsaleStatus"] as const;

export async function startBacking(options: BackingOptions): Promise<Backing> {
  const { env, ports = {} } = options;
  const keepsData = options.dataDir !== undefined;
  const dataDir = options.dataDir ?? (await temporaryFolder());
  await mkdir(dataDir, { recursive: true });
  const started: StartedProcess[] = [];
  const hooks = (name: ServerName) => ({
    onLine: (line: string) => options.onLine?.(name, line),
    onUnexpectedExit: (how: string) => options.onUnexpectedExit?.(name, how),
  });
  const remember = (server: StartedProcess) => {
    started.push(server);
    return server;
  };

  async function stop(): Promise<void> {
    // Temporal first: it is the only one that keeps working by itself.
    for (const name of ["temporal", "mongodb", "valkey"])
      await Promise.all(started.filter((server) => server.name === name).map((server) => server.stop()));
    if (!keepsData) await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
  }

  async function valkey() {
    const given = env["REDIS_URL"];
    if (given) {
      await reach("REDIS_URL", () => pingRedis(given));
      return { url: given };
    }
    const port = ports.valkey ?? (await freePort());
    const server = remember(
      await startValkey({
        port,
        dataDir: join(dataDir, "valkey"),
        env,
        keepsData: keepsData || options.valkeyKeepsData === true,
        ...hooks("valkey"),
      }),
    );
    return { url: `redis://127.0.0.1:${port}`, server };
  }

  async function mongodb() {
    const given = env["MONGODB_URI"];
    if (given) {
      await reach("MONGODB_URI", () => pingMongodb(given));
      return { uri: given };
    }
    const port = ports.mongodb ?? (await freePort());
    const server = remember(await startMongodb({ port, dataDir: join(dataDir, "mongodb"), env, ...hooks("mongodb") }));
    return { uri: `mongodb://127.0.0.1:${port}/?directConnection=true`, server };
  }

  async function temporal() {
    const given = env["TEMPORAL_ADDRESS"];
    if (given) {
      const connection = temporalConnection(env);
      const namespace = env["TEMPORAL_NAMESPACE"] || "default";
      const how = connection.tls ? " with TLS" : " in the clear, without TLS";
      await reach("TEMPORAL_ADDRESS", () => pingTemporal(connection, namespace), how);
      await registerSearchAttributes(connection, options.searchAttributes ?? onsaleSearchAttributes, namespace);
      return { address: given, uiUrl: env["TEMPORAL_UI_URL"] };
    }
    const port = ports.temporal ?? (await freePort());
    const uiPort = ports.temporalUi ?? (keepsData ? await freePort() : undefined);
    const server = remember(
      await startTemporal({
        port,
        uiPort,
        uiCodecUrl: options.temporalCodecUrl,
        dataDir: join(dataDir, "temporal"),
        env,
        keepsData,
        ...hooks("temporal"),
      }),
    );
    const address = `127.0.0.1:${port}`;
    await registerSearchAttributes({ address }, options.searchAttributes ?? onsaleSearchAttributes);
    return { address, uiUrl: uiPort === undefined ? undefined : `http://127.0.0.1:${uiPort}`, server };
  }

  const results = await Promise.allSettled([valkey(), mongodb(), temporal()] as const);
  const failure = results.find((result) => result.status === "rejected");
  if (failure) {
    await stop();
    throw failure.reason;
  }
  const [redis, mongo, workflowServer] = results as unknown as [
    PromiseFulfilledResult<Awaited<ReturnType<typeof valkey>>>,
    PromiseFulfilledResult<Awaited<ReturnType<typeof mongodb>>>,
    PromiseFulfilledResult<Awaited<ReturnType<typeof temporal>>>,
  ];
  return {
    redisUrl: redis.value.url,
    mongodbUri: mongo.value.uri,
    temporalAddress: workflowServer.value.address,
    temporalUiUrl: workflowServer.value.uiUrl,
    processes: {
      ...(redis.value.server && { valkey: redis.value.server }),
      ...(mongo.value.server && { mongodb: mongo.value.server }),
      ...(workflowServer.value.server && { temporal: workflowServer.value.server }),
    },
    stop,
  };
}

async function reach(setting: string, ping: () => Promise<void>, how = ""): Promise<void> {
  try {
    await ping();
  } catch (error) {
    // The value is not repeated: it may hold a password.
    throw new Error(
      `${setting} is set in the environment, but the server it names does not answer${how} (${messageOf(error)}). ` +
        `Start that server, or unset ${setting} to use the embedded one.`,
      { cause: error },
    );
  }
}

/** Named after us; those of processes that were killed and could not clean up are removed. */
async function temporaryFolder(): Promise<string> {
  for (const name of await readdir(tmpdir())) {
    const owner = Number(/^onsale-backing-(\d+)-/.exec(name)?.[1]);
    if (owner > 0 && !isAlive(owner)) await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
  return await mkdtemp(join(tmpdir(), `onsale-backing-${process.pid}-`));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
