// The versions of an event's seats in Valkey, for those who watch them change (see live/live-seats.ts).
import { openRedis } from "@onsale/kit/redis";
import type { ConnectionSettings, ValkeyConnection } from "./connection.js";
import { keysOf } from "./keys.js";
import type { Generation } from "./marker.js";

/** Hears what livePublish tells. What is missed while the line is broken is not made up for. */
export interface LiveEar {
  join(eventId: string): void;
  leave(eventId: string): void;
  close(): void;
}

export class LiveLog {
  readonly #connection: ValkeyConnection;
  readonly #settings: Pick<ConnectionSettings, "url" | "ca">;

  constructor(connection: ValkeyConnection, settings: Pick<ConnectionSettings, "url" | "ca">) {
    this.#connection = connection;
    this.#settings = settings;
  }

  /** Takes the event's lock "live", or keeps it; and the head, "" when there is none. Undefined: as above. */
  async look(
    generation: Generation,
    { token, lockMs, keepMs }: { token: string; lockMs: number; keepMs: number },
  ): Promise<{ leads: boolean; head: string } | undefined> {
    const { marker, lock, live, liveSnapshot, liveChanges } = keysOf(generation.eventId, 0);
    const keys = [marker, lock("live"), live, liveSnapshot, liveChanges];
    const args = [generation.marker, token, lockMs, keepMs];
    const [kind, leads, head] = (await this.#connection.script("liveLook", generation, keys, args)) ?? [];
    return kind === "ok" ? { leads: leads === 1, head: head as string } : undefined;
  }

  /** The head, what it describes, and the changes that led there, oldest first; later ones may be among them already. */
  async stored(eventId: string): Promise<{ head: string; snapshot: Buffer; changes: Buffer[] } | undefined> {
    const { live, liveSnapshot, liveChanges } = keysOf(eventId, 0);
    const [[head, snapshot], changes] = await this.#connection.asked(() =>
      Promise.all([
        this.#connection.at(eventId).mgetBuffer(live, liveSnapshot),
        this.#connection.at(eventId).xrangeBuffer(liveChanges, "-", "+"),
      ]),
    );
    if (!head || !snapshot) return undefined;
    return { head: head.toString(), snapshot, changes: changes.flatMap(([, [, change]]) => change ?? []) };
  }

  /** Writes the next version and tells who listens. overtaken: the head is another than `before`. */
  async publish(
    generation: Generation,
    next: {
      readonly before: string;
      readonly head: string;
      readonly snapshot: Buffer;
      /** Empty: a log of its own begins. */
      readonly change: Buffer;
      readonly version: number;
      readonly keepFrom: number;
      readonly keepMs: number;
    },
  ): Promise<"ok" | "overtaken" | undefined> {
    const { marker, live, liveSnapshot, liveChanges } = keysOf(generation.eventId, 0);
    const keys = [marker, live, liveSnapshot, liveChanges];
    const ids = [`${next.version}-1`, `${next.keepFrom}-0`, next.keepMs];
    const args = [generation.marker, next.before, next.head, next.snapshot, next.change, ...ids, live];
    const [kind] = (await this.#connection.script("livePublish", generation, keys, args)) ?? [];
    return kind as "ok" | "overtaken" | undefined;
  }

  /** What livePublish tells, of the events that were joined: one connection, whatever their number. */
  listen(heard: (eventId: string, head: string, change: Buffer) => void): LiveEar {
    const ear = openRedis({
      ...this.#settings,
      options: {
        lazyConnect: true,
        enableOfflineQueue: true,
        autoResubscribe: true,
        maxRetriesPerRequest: null,
        retryStrategy: (attempt) => Math.min(50 * attempt, 1_000),
      },
    });
    ear.on("error", () => undefined); // told by the other connection; it keeps trying
    ear.on("messageBuffer", (channel: Buffer, message: Buffer) => {
      const cut = message.indexOf("\n");
      const eventId = /^\{(.*)\}:live$/.exec(channel.toString())?.[1];
      if (eventId !== undefined && cut >= 0)
        heard(eventId, message.toString("utf8", 0, cut), message.subarray(cut + 1));
    });
    return {
      join: (eventId) => void ear.subscribe(keysOf(eventId, 0).live).catch(() => undefined),
      leave: (eventId) => void ear.unsubscribe(keysOf(eventId, 0).live).catch(() => undefined),
      close: () => ear.disconnect(),
    };
  }
}
