// The servers of a Valkey or Redis themselves, for those who must know which one answers them, and since when.
import { Redis } from "ioredis";
import { connectionOptions, gatherWrites, keepScripts, leavesReplica, type RedisConnecting } from "./redis.js";
import { type HostAndPort, readRedisUrl } from "./redis-url.js";

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
