// Valkey or Redis as every service reaches it: one server or a cluster, with or without TLS, all by the same setting.

/*
 * There are two ways in. `openRedis` gives an ordinary client, which follows keys through a cluster by itself: for what may be
 * lost, such as counters and locks. `openRedisServers` (redis-servers.ts) gives the servers themselves, for those who must know which server
 * answers them and since when: nothing is ever sent to another server, or a second time, behind their back.
 */
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { Cluster, Redis, type RedisOptions } from "ioredis";
import type { Logger } from "./log.js";
import { refusalTeller } from "./redis-refusals.js";
import { type RedisAddress, readRedisUrl } from "./redis-url.js";
import { beginSpan, tracing } from "./tracing.js";

/** ioredis's options, but for where to connect. */
export type RedisTuning = Omit<
  RedisOptions,
  | "host"
  | "port"
  | "path"
  | "db"
  | "username"
  | "password"
  | "tls"
  | "readOnly"
  | "replyMapping"
  | "himportFieldsets"
  | "scripts"
> & { readonly scripts?: Record<string, { lua: string; numberOfKeys?: number }> };

export interface RedisConnecting {
  readonly url: string;
  /** REDIS_TLS_CA. */
  readonly ca?: string | undefined;
  /** As for one server; what they say of reconnecting and queueing holds for a cluster as a whole. */
  readonly options: RedisTuning;
}

/** Whatever is true of each connection. */
export function connectionOptions(
  address: RedisAddress,
  ca: string | undefined,
): Pick<RedisOptions, "username" | "password" | "tls"> {
  const [{ host: known }] = address.nodes;
  return {
    ...(address.username !== undefined && { username: address.username }),
    ...(address.password !== undefined && { password: address.password }),
    ...(address.tls && {
      tls: {
        ...(ca !== undefined && { ca: readFileSync(ca) }),
        // A cluster may name its servers by number, while their certificates are made out to the name that we were given.
        checkServerIdentity: (host: string, certificate: PeerCertificate) => {
          const problem = checkServerIdentity(host, certificate);
          return problem && isIP(host) !== 0 ? checkServerIdentity(known, certificate) : problem;
        },
      },
    }),
  };
}

/**
 * What a client sends in one turn of the event loop leaves in one write: a write costs either side more than most commands do.
 * Unlike ioredis's own pipelining, each command stays as it is, on the connection that it was given to.
 */
export function gatherWrites<Client extends Redis>(client: Client): Client {
  if (tracing()) traceCommands(client);
  client.on("connect", () => {
    const { stream } = client;
    const write = stream.write.bind(stream) as (what: unknown) => boolean;
    let commands = "";
    const leave = () => {
      if (commands !== "" && stream.writable) write(commands);
      commands = "";
    };
    stream.write = ((what: unknown) => {
      if (typeof what !== "string") {
        leave();
        return write(what);
      }
      if (commands === "") setImmediate(leave);
      commands += what;
      return !stream.writableNeedDrain;
    }) as typeof stream.write;
  });
  return client;
}

/** A span for each command that is sent in one. Its name alone: keys and values are not for spans. */
function traceCommands(client: Redis): void {
  const send = client.sendCommand.bind(client);
  client.sendCommand = (command, stream) => {
    const name = command.name.toUpperCase();
    const span = beginSpan(`valkey ${name}`, {
      kind: "client",
      attributes: { "db.system.name": "redis", "db.operation.name": name },
    });
    if (span)
      command.promise.then(
        () => span.end(),
        (error: Error) => {
          const kind = /^[A-Z]+(?= )/.exec(error.message)?.[0] ?? error.name;
          span.set("error.type", kind);
          span.end(!handled.has(kind));
        },
      );
    return send(command, stream);
  };
}

/**
 * A script that the server has forgotten is sent whole. ioredis does so too, but then takes it for known again, although it may be
 * forgotten once more on the way: after a takeover, a restart, or a SCRIPT FLUSH. NOSCRIPT says that nothing was run.
 */
export function keepScripts<Client extends Redis | Cluster>(
  client: Client,
  scripts: RedisTuning["scripts"] = {},
): Client {
  type Send = (this: unknown, ...args: unknown[]) => unknown;
  const methods = client as unknown as Record<string, Send>;
  function keep(name: string, { lua, numberOfKeys }: { lua: string; numberOfKeys?: number | undefined }): void {
    for (const [method, whole] of [
      [name, "eval"],
      [`${name}Buffer`, "evalBuffer"],
    ] as const) {
      const send = methods[method] as Send;
      methods[method] = function (...args) {
        const sent = send.apply(this, args);
        if (!(sent instanceof Promise)) return sent; // a pipeline, which gathers
        return sent.catch((error: Error) => {
          if (!error.message.startsWith("NOSCRIPT")) throw error;
          return methods[whole]?.call(client, lua, ...(numberOfKeys === undefined ? [] : [numberOfKeys]), ...args);
        });
      };
    }
  }
  const define = client.defineCommand.bind(client);
  client.defineCommand = (name, definition) => {
    define(name, definition);
    keep(name, definition);
  };
  for (const [name, definition] of Object.entries(scripts)) keep(name, definition);
  return client;
}

/** What was a master may be a replica now: whoever has taken over is found at the same name, by a connection made anew. */
export const leavesReplica = (error: Error): boolean => error.message.startsWith("READONLY");

/** Answers that are followed by another try at once: no such script yet, and "ask another server". */
const handled: ReadonlySet<string> = new Set(["NOSCRIPT", "MOVED", "ASK", "TRYAGAIN"]);

/** A client of one server, or of a cluster: the same commands, as long as all keys of one have the same {tag}. */
export function openRedis({ url, ca, options }: RedisConnecting): Redis | Cluster {
  const address = readRedisUrl(url);
  const [first] = address.nodes;
  const tuned = { reconnectOnError: leavesReplica, ...options };
  if (!address.isCluster) {
    const client = new Redis({ ...tuned, ...connectionOptions(address, ca), ...first, db: address.database });
    return gatherWrites(keepScripts(client, options.scripts));
  }
  const { retryStrategy, enableOfflineQueue = true, lazyConnect = false, scripts, ...each } = tuned;
  const cluster = new Cluster([...address.nodes], {
    enableOfflineQueue,
    lazyConnect,
    ...(scripts && { scripts }),
    ...(retryStrategy && { clusterRetryStrategy: (attempt: number) => retryStrategy(attempt) ?? undefined }),
    slotsRefreshInterval: 5_000,
    maxRedirections: 5,
    // As with one server: while a part of it is away, fail at once, and never send a command again that may have arrived.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    retryDelayOnTryAgain: 50,
    // Names stay names, for the certificates.
    dnsLookup: (host, found) => found(null, host),
    redisOptions: { ...each, ...connectionOptions(address, ca) },
  });
  cluster.on("+node", gatherWrites);
  return keepScripts(cluster, scripts);
}

/** Logs once when it goes away, and once when it is back; of a cluster, for each server by itself too. And what it refuses, and why. */
export function watchRedis(
  client: Redis | Cluster,
  log: Logger,
  said: { readonly away: string; readonly back: string },
) {
  const missing = new Set<string>();
  const away = (err: unknown, server = "") => {
    if (!missing.has(server)) log.warn({ err, ...(server !== "" && { server }) }, said.away);
    missing.add(server);
  };
  const back = (server = "") => {
    if (missing.delete(server)) log.info(server === "" ? {} : { server }, said.back);
  };
  const tell = refusalTeller(log);
  const send: Redis["sendCommand"] = client.sendCommand.bind(client);
  client.sendCommand = (...sent: Parameters<typeof send>) => {
    sent[0].promise.catch(tell);
    return send(...sent);
  };
  client.on("error", (err: unknown) => away(err));
  client.on("ready", () => back());
  if (!client.isCluster) return;
  client.on("node error", (err: unknown, server: string) => away(err, server));
  client.on("+node", (node: Redis) => node.on("ready", () => back(`${node.options.host}:${node.options.port}`)));
}
