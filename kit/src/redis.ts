// Valkey or Redis as every service reaches it: one server or a cluster, with or without TLS, all by the same setting.

/*
 * There are two ways in. `openRedis` gives an ordinary client, which follows keys through a cluster by itself: for what may be
 * lost, such as counters and locks. `openRedisServers` gives the servers themselves, for those who must know which server
 * answers them and since when: nothing is ever sent to another server, or a second time, behind their back.
 */
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { Cluster, Redis, type RedisOptions } from "ioredis";
import { z } from "zod";
import type { Logger } from "./log.js";
import { refusalTeller } from "./redis-refusals.js";
import { beginSpan, tracing } from "./tracing.js";

export const redisSettings = {
  REDIS_URL: z.string().superRefine((text, context) => {
    const problem = redisUrlProblem(text);
    if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
  }),
  /** With rediss://: a PEM file with the authorities to trust in place of the well-known ones. */
  REDIS_TLS_CA: z.string().optional(),
};

interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

export interface RedisAddress {
  /** Of a cluster: where to ask first; it tells of its other servers. */
  readonly nodes: readonly [HostAndPort, ...HostAndPort[]];
  readonly isCluster: boolean;
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
}

const shape =
  "must be redis://[user:password@]host[:port][/database] for one server; for a cluster several of its servers with commas " +
  "between, as redis://a:6379,b:6379, or a single one as redis+cluster://a:6379; and rediss in place of redis for TLS";

/** Undefined: the setting is fine. Values are not repeated: there may be a password in it. */
export function redisUrlProblem(text: string): string | undefined {
  const read = tryRead(text);
  return typeof read === "string" ? read : undefined;
}

/** Throws an Error that says what is wrong. */
export function readRedisUrl(text: string): RedisAddress {
  const read = tryRead(text);
  if (typeof read === "string") throw new Error(`REDIS_URL ${read}`);
  return read;
}

function tryRead(text: string): RedisAddress | string {
  const [first = "", ...others] = text.split(",").map((part) => part.trim());
  const scheme = /^redis(s?)(\+cluster)?:\/\//.exec(first);
  if (!scheme) return shape;
  const prefix = scheme[0];
  const rest = others.map((part) => (part.startsWith(prefix) ? part : `${prefix}${part}`));
  if (rest.some((part) => part.slice(prefix.length).includes("://"))) return shape;
  const plain = [first, ...rest].map((part) => part.replace(prefix, "redis://"));
  if (!plain.every((part) => URL.canParse(part))) return shape;
  const [head, ...tail] = plain.map((part) => new URL(part)) as [URL, ...URL[]];
  if ([head, ...tail].some(({ hostname, search, hash }) => !hostname || search || hash)) return shape;
  if (
    tail.some(
      ({ username, password }) => (username || password) && username + password !== head.username + head.password,
    )
  )
    return "must have the same user and password for all servers of a cluster: write them once, at the first";
  const database = /^\/?(\d*)$/.exec(head.pathname)?.[1];
  if (database === undefined) return shape;
  const isCluster = tail.length > 0 || scheme[2] !== undefined;
  if (isCluster && [head, ...tail].some(({ pathname }) => !/^\/?0?$/.test(pathname)))
    return "must name no database for a cluster, which has only one";
  const place = ({ hostname, port }: URL): HostAndPort => ({
    host: hostname.replace(/^\[(.*)\]$/, "$1"),
    port: Number(port || 6379),
  });
  return {
    nodes: [place(head), ...tail.map(place)],
    isCluster,
    tls: scheme[1] === "s",
    username: decodeURIComponent(head.username) || undefined,
    password: decodeURIComponent(head.password) || undefined,
    database: Number(database),
  };
}

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
function connectionOptions(
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
function gatherWrites<Client extends Redis>(client: Client): Client {
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
function keepScripts<Client extends Redis | Cluster>(client: Client, scripts: RedisTuning["scripts"] = {}): Client {
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
const leavesReplica = (error: Error): boolean => error.message.startsWith("READONLY");

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

// ---- the servers themselves

/** One connection to one server. After a reconnect `connection` is another number, and so it is on another server. */
export interface RedisServer<Client extends Redis = Redis> {
  readonly address: string;
  readonly client: Client;
  readonly connection: number;
  /**
   * Names the unbroken life of what this server knows: another after a restart, and after a takeover by a replica, which may
   * lack what was acknowledged. Asked once a connection. Rejects on a replica.
   */
  life(): Promise<string>;
}

export interface RedisServers<Client extends Redis = Redis> {
  /** The one that has the keys with this {tag}; undefined while none is known. */
  of(tag: string): RedisServer<Client> | undefined;
  all(): readonly RedisServer<Client>[];
  close(): void;
}

export interface RedisServersSettings extends RedisConnecting {
  /** Told once an outage. */
  readonly onAway: (server: string, error: unknown) => void;
  readonly onBack: (server: string) => void;
}

const slots = 16_384;
/** How often a cluster is asked who has what, when nothing seems wrong; and when something does. */
const lookMs = 5_000;
const lookAgainMs = 200;

/**
 * Connects to the server, or to each master of the cluster, and keeps to them. `options` should have no offline queue and no
 * resending: then a command that is answered was run once, by the server that it was meant for.
 */
export function openRedisServers<Client extends Redis = Redis>(settings: RedisServersSettings): RedisServers<Client> {
  const { url, ca, options, onAway, onBack } = settings;
  const address = readRedisUrl(url);
  const servers = new Map<string, RedisServer<Client>>();
  const owners: (RedisServer<Client> | undefined)[] = address.isCluster ? new Array(slots).fill(undefined) : [];
  /** Where to ask who has what. */
  let known: HostAndPort[] = [...address.nodes];
  let connections = 0;
  let looking = false;
  let lookOnceMore = false;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const optionsFor = (host: string, port: number) => ({
    ...options,
    ...connectionOptions(address, ca),
    host,
    port,
    db: address.database,
    lazyConnect: true,
  });

  function connect(host: string, port: number): RedisServer<Client> {
    const name = nameOf({ host, port });
    const there = servers.get(name);
    if (there) return there;
    const made = new Redis({
      ...optionsFor(host, port),
      reconnectOnError: (error: Error) => {
        if (error.message.startsWith("MOVED ")) moved(error.message, host);
        else if (error.message.startsWith("CLUSTERDOWN")) look();
        return (options.reconnectOnError ?? leavesReplica)(error);
      },
    });
    const client = gatherWrites(keepScripts(made, options.scripts));
    let connection = ++connections;
    let asking: Promise<string> | undefined;
    let away = false;
    // Comes before the socket is opened anew, so before any command can reach whoever answers there next.
    client.on("close", () => {
      connection = ++connections;
      asking = undefined;
      if (address.isCluster) look();
    });
    client.on("error", (error) => {
      if (!away && !closed) onAway(name, error);
      away = true;
    });
    client.on("ready", () => {
      if (away) onBack(name);
      away = false;
    });
    const server: RedisServer<Client> = {
      address: name,
      client: client as Client,
      get connection() {
        return connection;
      },
      life() {
        if (asking) return asking;
        const asked = lifeOf(client).catch((error: unknown) => {
          if (asking === asked) asking = undefined;
          throw error;
        });
        asking = asked;
        return asked;
      },
    };
    servers.set(name, server);
    client.connect().catch(() => undefined); // told by the error event; it keeps trying
    return server;
  }

  // ---- of a cluster: who has what

  /** "MOVED <slot> <host>:<port>": true at once, so that the next try goes there. */
  function moved(message: string, from: string): void {
    const [, slot = "", target = ""] = message.split(" ");
    const at = target.lastIndexOf(":");
    const port = Number(target.slice(at + 1));
    if (closed || !address.isCluster || !(Number(slot) < slots) || !(port > 0)) return;
    owners[Number(slot)] = connect(target.slice(0, at) || from, port);
    look();
  }

  function look(): void {
    if (closed) return;
    if (looking) lookOnceMore = true;
    else void lookNow();
  }

  async function lookNow(): Promise<void> {
    looking = true;
    lookOnceMore = false;
    clearTimeout(timer);
    const found = await ask();
    looking = false;
    if (closed) return;
    if (found) take(found);
    const complete = found !== undefined && owners.every((owner) => owner?.client.status === "ready");
    timer = setTimeout(look, complete && !lookOnceMore ? lookMs : lookAgainMs).unref();
  }

  /** In any order, the connected ones first: one that has lost the others' sight knows nothing new. */
  async function ask(): Promise<OwnedSlots[] | undefined> {
    const connected = shuffled([...servers.values()].filter(({ client }) => client.status === "ready"));
    for (const { client, address: name } of connected) {
      const found = await slotsOf(client, name.slice(0, name.lastIndexOf(":"))).catch(() => undefined);
      if (found) return found;
    }
    for (const { host, port } of shuffled([...known, ...address.nodes])) {
      if (closed) return undefined;
      const client = new Redis({ ...optionsFor(host, port), retryStrategy: () => null });
      client.on("error", () => undefined); // the next one is asked
      try {
        await client.connect();
        return await slotsOf(client, host);
      } catch {
        // The next one is asked.
      } finally {
        client.disconnect();
      }
    }
    return undefined;
  }

  function take(found: readonly OwnedSlots[]): void {
    const next: (RedisServer<Client> | undefined)[] = new Array(slots).fill(undefined);
    const places = new Map<string, HostAndPort>();
    for (const { first, last, master, replicas } of found) {
      next.fill(connect(master.host, master.port), first, last + 1);
      for (const place of [master, ...replicas]) places.set(nameOf(place), place);
    }
    // Nobody has it for the moment: whoever had it last will say so.
    for (let slot = 0; slot < slots; slot++) owners[slot] = next[slot] ?? owners[slot];
    known = [...places.values()];
    const used = new Set(owners);
    for (const [name, server] of servers) {
      if (used.has(server)) continue;
      servers.delete(name);
      server.client.disconnect();
    }
  }

  const [first] = address.nodes;
  const only = address.isCluster ? undefined : connect(first.host, first.port);
  if (!only) look();

  return {
    of: (tag) => only ?? owners[slotOf(tag)],
    all: () => [...servers.values()],
    close() {
      closed = true;
      clearTimeout(timer);
      for (const { client } of servers.values()) client.disconnect();
    },
  };
}

/**
 * The id of its replication history: new whenever a server starts as a master or is made one, and the same as long as it stays
 * one (https://redis.io/docs/latest/operate/oss_and_stack/management/replication/, "replication ID").
 */
async function lifeOf(client: Redis): Promise<string> {
  const info = await client.info("replication");
  const role = /^role:(\w+)/m.exec(info)?.[1];
  // In the words of the server itself, so that it counts as what it is: passing.
  if (role !== "master") throw new Error(`READONLY this server is a ${role ?? "stranger"}, not the master`);
  const life = /^master_replid:([0-9a-f]+)/m.exec(info)?.[1];
  if (!life) throw new Error("the server does not tell its master_replid");
  return life;
}

interface OwnedSlots {
  readonly first: number;
  readonly last: number;
  readonly master: HostAndPort;
  readonly replicas: readonly HostAndPort[];
}

type SlotsReply = [first: number, last: number, ...servers: [host: string | null, port: number, ...unknown[]][]][];

async function slotsOf(client: Redis, host: string): Promise<OwnedSlots[]> {
  const reply = (await client.call("CLUSTER", "SLOTS")) as SlotsReply;
  return reply.flatMap(([first, last, ...servers]) => {
    // A server that doesn't know its own address yet says nothing there.
    const places = servers.map(([named, port]) => ({ host: named || host, port }));
    const [master, ...replicas] = places;
    return master && master.host !== "?" ? [{ first, last, master, replicas }] : [];
  });
}

const nameOf = ({ host, port }: HostAndPort): string => `${host}:${port}`;

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

// CRC16 as XMODEM has it, by table (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/, appendix A).
const crcOfByte = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  return crc;
});

/** The slot of all keys with this {tag}. ASCII. */
export function slotOf(tag: string): number {
  let crc = 0;
  for (let at = 0; at < tag.length; at++)
    crc = ((crc << 8) & 0xffff) ^ (crcOfByte[((crc >> 8) ^ tag.charCodeAt(at)) & 0xff] as number);
  return crc % slots;
}
