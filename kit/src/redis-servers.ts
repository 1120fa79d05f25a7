// The servers of a Valkey or Redis themselves, for those who must know which one answers them, and since when.
/// <reference path="./cluster-key-slot.d.ts" />
import calculateSlot from "cluster-key-slot";
import { Redis } from "ioredis";
import { connectionOptions, gatherWrites, keepScripts, leavesReplica, type RedisConnecting } from "./redis.js";
import { type HostAndPort, type RedisAddress, readRedisUrl } from "./redis-url.js";

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
  const address = readRedisUrl(settings.url);
  if (address.isCluster) return new ClusterServers<Client>(settings, address);
  const [{ host, port }] = address.nodes;
  const only = new Connection<Client>(settings, address, { host, port }, {});
  return { of: () => only, all: () => [only], close: () => only.close() };
}

interface Hooks {
  /** The connection is over, and a new one will be tried. */
  readonly onClose?: () => void;
  /** An answer that says that somebody else has the keys, or that the cluster is not whole. */
  readonly onElsewhere?: (message: string) => void;
}

class Connection<Client extends Redis> implements RedisServer<Client> {
  readonly address: string;
  readonly client: Client;
  private static made = 0;
  private number = ++Connection.made;
  private asking: Promise<string> | undefined;
  private away = false;
  private closed = false;

  constructor(settings: RedisServersSettings, address: RedisAddress, at: HostAndPort, hooks: Hooks) {
    this.address = nameOf(at);
    const { options, onAway, onBack } = settings;
    const made = new Redis({
      ...optionsFor(settings, address, at),
      reconnectOnError: (error: Error) => {
        if (/^(MOVED|CLUSTERDOWN) /.test(error.message)) hooks.onElsewhere?.(error.message);
        return (options.reconnectOnError ?? leavesReplica)(error);
      },
    });
    const client = gatherWrites(keepScripts(made, options.scripts));
    this.client = client as Client;
    // Comes before the socket is opened anew, so before any command can reach whoever answers there next.
    client.on("close", () => {
      this.number = ++Connection.made;
      this.asking = undefined;
      hooks.onClose?.();
    });
    client.on("error", (error) => {
      if (!this.away && !this.closed) onAway(this.address, error);
      this.away = true;
    });
    client.on("ready", () => {
      if (this.away) onBack(this.address);
      this.away = false;
    });
    client.connect().catch(() => undefined); // told by the error event; it keeps trying
  }

  get connection(): number {
    return this.number;
  }

  life(): Promise<string> {
    if (this.asking) return this.asking;
    const asked = lifeOf(this.client).catch((error: unknown) => {
      if (this.asking === asked) this.asking = undefined;
      throw error;
    });
    this.asking = asked;
    return asked;
  }

  close(): void {
    this.closed = true;
    this.client.disconnect();
  }
}

/** The masters of a cluster, and which of them has which slot. */
class ClusterServers<Client extends Redis> implements RedisServers<Client> {
  private readonly servers = new Map<string, Connection<Client>>();
  private readonly owners: (Connection<Client> | undefined)[] = new Array(slots).fill(undefined);
  /** Where to ask who has what. */
  private known: readonly HostAndPort[];
  private looking = false;
  private lookOnceMore = false;
  private timer: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(
    private readonly settings: RedisServersSettings,
    private readonly address: RedisAddress,
  ) {
    this.known = address.nodes;
    this.look();
  }

  of(tag: string): RedisServer<Client> | undefined {
    return this.owners[slotOf(tag)];
  }

  all(): readonly RedisServer<Client>[] {
    return [...this.servers.values()];
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    for (const server of this.servers.values()) server.close();
  }

  private connect(host: string, port: number): Connection<Client> {
    const name = nameOf({ host, port });
    const there = this.servers.get(name);
    if (there) return there;
    const server = new Connection<Client>(
      this.settings,
      this.address,
      { host, port },
      {
        onClose: () => this.look(),
        onElsewhere: (message) => this.elsewhere(message, host),
      },
    );
    this.servers.set(name, server);
    return server;
  }

  /** "MOVED <slot> <host>:<port>": true at once, so that the next try goes there. */
  private elsewhere(message: string, from: string): void {
    const [kind, slot = "", target = ""] = message.split(" ");
    const at = target.lastIndexOf(":");
    const port = Number(target.slice(at + 1));
    if (this.closed) return;
    if (kind === "MOVED" && Number(slot) < slots && port > 0)
      this.owners[Number(slot)] = this.connect(target.slice(0, at) || from, port);
    this.look();
  }

  private look(): void {
    if (this.closed) return;
    if (this.looking) this.lookOnceMore = true;
    else void this.lookNow();
  }

  private async lookNow(): Promise<void> {
    this.looking = true;
    this.lookOnceMore = false;
    clearTimeout(this.timer);
    const found = await this.ask();
    this.looking = false;
    if (this.closed) return;
    if (found) this.take(found);
    const complete = found !== undefined && this.owners.every((owner) => owner?.client.status === "ready");
    this.timer = setTimeout(() => this.look(), complete && !this.lookOnceMore ? lookMs : lookAgainMs).unref();
  }

  /** In any order, the connected ones first: one that has lost the others' sight knows nothing new. */
  private async ask(): Promise<OwnedSlots[] | undefined> {
    const connected = shuffled([...this.servers.values()].filter(({ client }) => client.status === "ready"));
    for (const { client, address: name } of connected) {
      const found = await slotsOf(client, name.slice(0, name.lastIndexOf(":"))).catch(() => undefined);
      if (found) return found;
    }
    for (const at of shuffled([...this.known, ...this.address.nodes])) {
      if (this.closed) return undefined;
      const client = new Redis({ ...optionsFor(this.settings, this.address, at), retryStrategy: () => null });
      client.on("error", () => undefined); // the next one is asked
      try {
        await client.connect();
        return await slotsOf(client, at.host);
      } catch {
        // The next one is asked.
      } finally {
        client.disconnect();
      }
    }
    return undefined;
  }

  private take(found: readonly OwnedSlots[]): void {
    const next: (Connection<Client> | undefined)[] = new Array(slots).fill(undefined);
    const places = new Map<string, HostAndPort>();
    for (const { first, last, master, replicas } of found) {
      next.fill(this.connect(master.host, master.port), first, last + 1);
      for (const place of [master, ...replicas]) places.set(nameOf(place), place);
    }
    // Nobody has it for the moment: whoever had it last will say so.
    for (let slot = 0; slot < slots; slot++) this.owners[slot] = next[slot] ?? this.owners[slot];
    this.known = [...places.values()];
    const used = new Set(this.owners);
    for (const [name, server] of this.servers) {
      if (used.has(server)) continue;
      this.servers.delete(name);
      server.client.disconnect();
    }
  }
}

const optionsFor = ({ options, ca }: RedisServersSettings, address: RedisAddress, { host, port }: HostAndPort) => ({
  ...options,
  ...connectionOptions(address, ca),
  host,
  port,
  db: address.database,
  lazyConnect: true,
});

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

/** The slot of all keys with this {tag}. */
export const slotOf = (tag: string): number => calculateSlot(tag);
