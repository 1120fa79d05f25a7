// The connections to Valkey's servers: every command about an event goes to the one that has it, and fails with a reason that people understand.
import type { Logger } from "@onsale/kit/log";
import { refusalTeller, serverRefusal, serverUnavailable } from "@onsale/kit/redis-refusals";
import { openRedisServers, type RedisServer, type RedisServers } from "@onsale/kit/redis-servers";
import type { ChainableCommander, Redis } from "ioredis";
import { keysOf } from "./keys.js";
import { type Generation, type Life, type Marker, readMarker } from "./marker.js";
import { scripts } from "./scripts.js";

export interface ConnectionSettings {
  readonly url: string;
  /** As REDIS_TLS_CA. */
  readonly ca?: string | undefined;
  readonly log: Logger;
}

/** How many people's entries are read, or taken over, in one step. */
export const peopleAtOnce = 50;

/** What kind of answer it is, and what it says. */
export type Reply = [string, ...unknown[]];
type Scripts = { [Name in keyof typeof scripts]: (...args: (string | number | Buffer)[]) => Promise<unknown> };

export class ValkeyConnection {
  readonly #servers: RedisServers<Redis & Scripts>;
  readonly #tell: (error: unknown) => void;

  constructor({ url, ca, log }: ConnectionSettings) {
    this.#tell = refusalTeller(log);
    this.#servers = openRedisServers<Redis & Scripts>({
      url,
      ca,
      options: {
        // While it is away, fail at once: the caller tries again. And never send a command twice by ourselves: between the two,
        // another server may have taken over, which must be looked at first.
        enableOfflineQueue: false,
        maxRetriesPerRequest: 0,
        autoResendUnfulfilledCommands: false,
        enableAutoPipelining: false, // measured: it halves the rate of EVALSHA
        connectTimeout: 1_000,
        commandTimeout: 1_500,
        socketTimeout: 3_000,
        retryStrategy: (attempt) => Math.min(50 * attempt, 1_000),
        scripts: Object.fromEntries(Object.entries(scripts).map(([name, lua]) => [name, { lua }])),
      },
      onAway: (server, err) => log.warn({ err, server }, "Valkey is away: no seat there can be held until it is back"),
      onBack: (server) => log.info({ server }, "Valkey is back"),
    });
  }

  /** Whether a command about this event would be sent now; of no event: about any. */
  connected(eventId?: string): boolean {
    return eventId === undefined
      ? this.#servers.all().some(({ client }) => client.status === "ready")
      : this.#servers.of(eventId)?.client.status === "ready";
  }

  /** Changes with each connection to the server that has the event's keys, and when another server has them. */
  of(eventId: string): number {
    return this.#servers.of(eventId)?.connection ?? 0;
  }

  /** The server that has the event's keys. */
  at(eventId: string): Redis & Scripts {
    return this.#serverOf(eventId).client;
  }

  /** Of a cluster, one is enough: the events on it can be sold. */
  async ping(): Promise<void> {
    await this.asked(() => Promise.any(this.#servers.all().map(({ client }) => client.ping())));
  }

  close() {
    return this.#servers.close();
  }

  async life(eventId: string): Promise<Life> {
    const server = this.#serverOf(eventId);
    const { connection } = server;
    return { serverLife: await this.asked(() => server.life()), connection };
  }

  async marker(eventId: string): Promise<Marker | undefined> {
    return readMarker(await this.asked(() => this.at(eventId).get(keysOf(eventId, 0).marker)));
  }

  /** The server's clock. */
  async now(eventId: string): Promise<number> {
    const [seconds, micros] = await this.at(eventId).time();
    return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
  }

  /** What Valkey refuses becomes UNAVAILABLE, with its reason. */
  async asked<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      this.#tell(error);
      throw serverUnavailable(error, sentenceFor(error));
    }
  }

  /** What a script answers: its kind, then the rest. Undefined: this generation is not the one that Valkey has. */
  async script(
    name: keyof Scripts,
    on: Generation,
    keys: readonly string[],
    args: (string | number | Buffer)[],
  ): Promise<Reply | undefined> {
    // Checked in the same turn as it is sent: the marker that the arguments carry was trusted on that connection only.
    if (on.connection !== this.of(on.eventId)) return undefined;
    const reply = (await this.asked(() => this.at(on.eventId)[name](keys.length, ...keys, ...args))) as Reply;
    return reply[0] === "stale" ? undefined : reply;
  }

  /** Seats are missing though the marker is right: nobody may use the rest. */
  async closeBroken(eventId: string, key: string, marker: string): Promise<void> {
    await this.asked(() => this.at(eventId).close(1, key, marker, marker.replace("|open|", "|closed|")));
  }

  // ---- locks: for economy, never for correctness

  async lock(eventId: string, what: string, token: string, ttlMs: number): Promise<boolean> {
    return (await this.asked(() => this.at(eventId).takeLock(1, keysOf(eventId, 0).lock(what), token, ttlMs))) === 1;
  }

  /** 0 ms gives it back. */
  async renewLock(eventId: string, what: string, token: string, ttlMs: number): Promise<boolean> {
    return (await this.asked(() => this.at(eventId).renewLock(1, keysOf(eventId, 0).lock(what), token, ttlMs))) === 1;
  }

  #serverOf(eventId: string): RedisServer<Redis & Scripts> {
    const server = this.#servers.of(eventId);
    if (!server)
      throw serverUnavailable(
        new Error("no server of the cluster is known to have this event"),
        sentenceFor(undefined),
      );
    return server;
  }
}

export async function executed(pipeline: ChainableCommander): Promise<unknown[]> {
  return ((await pipeline.exec()) ?? []).map(([error, reply]) => {
    if (error) throw error;
    return reply;
  });
}

export function* inParts<T>(items: readonly T[], size: number): Generator<T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size);
}

/** Why seats can't be had, for whoever asked for them. A script that is refused has changed nothing. */
function sentenceFor(error: unknown): string {
  switch (serverRefusal(error)?.code) {
    case "OOM":
      return "No more seats can be held right now: the system is at its limit. Nothing was taken; please try again in a moment.";
    case "MISCONF":
    case "NOREPLICAS":
      return "No seats can be taken right now: they could not be kept safely. Nothing was taken; please try again in a moment.";
    default:
      return "The seats can't be reached right now. Please try again in a moment.";
  }
}
