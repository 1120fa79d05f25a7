// Seats in Valkey: the connection, the keys, and the scripts of scripts.ts with typed answers.
import type { Logger } from "@onsale/kit/log";
import { openRedis, openRedisServers, type RedisServer } from "@onsale/kit/redis";
import { refusalTeller, serverRefusal, serverUnavailable } from "@onsale/kit/redis-refusals";
import type { ChainableCommander, Redis } from "ioredis";
import { type Run, type SectionPlan, writeRuns } from "../hall/layout.js";
import { type HoldEntry, mapBytes, personOf, readEntries, recordBytes, type SectionImage } from "../hall/seat-map.js";
import { scripts } from "./scripts.js";

/** One connection to one life of the server that has an event. After a reconnect it is another, and what was known is not. */
export interface Life {
  /** Changes whenever the server starts, another takes over, or another has the event. */
  readonly serverLife: string;
  readonly connection: number;
}

/** Which generation of an event's seats Valkey has. */
export interface Marker {
  readonly epoch: number;
  readonly open: boolean;
  readonly serverLife: string;
  /** The last epoch before this one that was open; 0: none. */
  readonly before: number;
}

/** A generation to read from and write to, on the connection where it was found trustworthy. */
export interface Generation {
  readonly eventId: string;
  readonly epoch: number;
  readonly marker: string;
  readonly connection: number;
}

export interface HoldTerms {
  readonly holdId: string;
  readonly userId: string;
  /** Whose seats: 0 the general sale's, else a channel's. */
  readonly pool: number;
  /** The code with which they are taken: 16 hex digits; and how many seats it may have, all people together (0: any number). */
  readonly code?: { readonly codeId: string; readonly limit: number } | undefined;
  /** Seats that a person may have in this event. */
  readonly limit: number;
  readonly onSaleAtMs: number;
  readonly offSaleAtMs: number;
}

/** A hold that Valkey knows of. */
export interface KnownHold {
  readonly state: "held" | "sold";
  readonly epoch: number;
  readonly deadlineMs: number;
  readonly expiresAtMs: number;
  readonly userId: string;
  readonly runs: string;
}

/** As the people of an event have them. */
export interface OwnHold {
  readonly holdId: string;
  /** 0: sold. */
  readonly expiresAtMs: number;
  readonly known: KnownHold | undefined;
}

export interface KnownAnswer {
  readonly kind: "known";
  /** Undefined: it has ended. */
  readonly hold: KnownHold | undefined;
  readonly nowMs: number;
}

export type HoldAnswer =
  | { readonly kind: "held"; readonly deadlineMs: number; readonly runs: string }
  | KnownAnswer
  /** Places of the taken seats among those asked for. */
  | {
      readonly kind: "taken";
      readonly ordinals: readonly number[] /** Those of them that the person has. */;
      readonly own: readonly number[];
    }
  | { readonly kind: "short"; readonly free: number }
  | { readonly kind: "limit" | "code-limit"; readonly has: number }
  /** reused: another person's hold has this id. */
  | { readonly kind: "early" | "over" | "reused" | "stale" };

export type FenceAnswer =
  /** The code, if it was made with one. */
  | { readonly kind: "ok"; readonly takenAgain: boolean; readonly codeId: string | undefined }
  | { readonly kind: "taken"; readonly ordinals: readonly number[] }
  | { readonly kind: "ended" | "lapsed" | "stale" };

/** Hears what livePublish tells. What is missed while the line is broken is not made up for. */
export interface LiveEar {
  join(eventId: string): void;
  leave(eventId: string): void;
  close(): void;
}

export interface ValkeySettings {
  readonly url: string;
  /** As REDIS_TLS_CA. */
  readonly ca?: string | undefined;
  readonly holdTtlMs: number;
  readonly holdMarginMs: number;
  readonly holdMemoryMs: number;
  readonly log: Logger;
}

/** For how long a claim that is being written keeps its seats at least. */
const claimExtensionMs = 30_000;
/** How many people's entries are read, or taken over, in one step. */
const peopleAtOnce = 50;
/** Keys of a generation that never opens go away by themselves. */
const unopenedMs = 60 * 60 * 1000;

export type Valkey = ReturnType<typeof openValkey>;

/** What lets seats go, or makes a sale that was begun the buyer's, works on a server that is full (maxmemory), too. */
const worksWhenFull: ReadonlySet<string> = new Set<keyof typeof scripts>([
  "fence",
  "settle",
  "release",
  "unblock",
  "sweep",
]);
/** These are refused there before they do anything, whatever they would do first. Others are, at their first write that needs room. */
const endsWhenFull: ReadonlySet<string> = new Set<keyof typeof scripts>(["hold", "holdPlaces"]);

function whenFull(name: string, lua: string): string {
  if (worksWhenFull.has(name)) return `#!lua flags=allow-oom\n${lua}`;
  return endsWhenFull.has(name) ? `#!lua\n${lua}` : lua;
}

type Reply = [string, ...unknown[]];
type Scripts = { [Name in keyof typeof scripts]: (...args: (string | number | Buffer)[]) => Promise<unknown> };

export function openValkey({ url, ca, holdTtlMs, holdMarginMs, holdMemoryMs, log }: ValkeySettings) {
  const servers = openRedisServers<Redis & Scripts>({
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
      scripts: Object.fromEntries(Object.entries(scripts).map(([name, lua]) => [name, { lua: whenFull(name, lua) }])),
    },
    onAway: (server, err) => log.warn({ err, server }, "Valkey is away: no seat there can be held until it is back"),
    onBack: (server) => log.info({ server }, "Valkey is back"),
  });

  function serverOf(eventId: string): RedisServer<Redis & Scripts> {
    const server = servers.of(eventId);
    if (!server)
      throw serverUnavailable(
        new Error("no server of the cluster is known to have this event"),
        sentenceFor(undefined),
      );
    return server;
  }
  /** The server that has the event's keys: every command about an event goes through this. */
  const at = (eventId: string) => serverOf(eventId).client;
  const connectionOf = (eventId: string) => servers.of(eventId)?.connection ?? 0;

  const tell = refusalTeller(log);
  async function asked<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      tell(error);
      throw serverUnavailable(error, sentenceFor(error));
    }
  }

  async function script(
    name: keyof Scripts,
    on: Generation,
    keys: readonly string[],
    args: (string | number | Buffer)[],
  ) {
    // Checked in the same turn as it is sent: the marker that the arguments carry was trusted on that connection only.
    if (on.connection !== connectionOf(on.eventId)) return ["stale"] satisfies Reply;
    return (await asked(() => at(on.eventId)[name](keys.length, ...keys, ...args))) as Reply;
  }

  function holdKeys({ eventId, epoch }: Generation, holdId: string): string[] {
    const names = keysOf(eventId, epoch);
    return [names.marker, names.ended(holdId), names.people, names.queue];
  }
  /** Of a hold that there is: its person's, and its code's if it has one. */
  function ownedKeys({ eventId, epoch }: Generation, holdId: string): string[] {
    const names = keysOf(eventId, epoch);
    return [names.marker, names.ended(holdId), names.people, names.late, names.codes];
  }

  const holdArgs = (generation: Generation, terms: HoldTerms) => [
    generation.marker,
    terms.holdId,
    personOf(terms.userId),
    terms.limit,
    holdTtlMs,
    holdMarginMs,
    terms.onSaleAtMs,
    terms.offSaleAtMs,
    terms.pool,
  ];
  const codeKeys = ({ eventId, epoch }: Generation, { code }: HoldTerms) =>
    code ? [keysOf(eventId, epoch).codes] : [];
  const codeArgs = ({ code }: HoldTerms) => (code ? [code.codeId, code.limit] : []);

  function runKeys({ eventId, epoch }: Generation, runs: readonly Run[]): string[] {
    const names = keysOf(eventId, epoch);
    return runs.flatMap(({ section }) => [names.records(section), names.map(section)]);
  }
  /** Seats are missing though the marker is right: nobody may use the rest. */
  const close = (eventId: string, key: string, marker: string) =>
    asked(() => at(eventId).close(1, key, marker, marker.replace("|open|", "|closed|")));
  const places = (runs: readonly Run[]) => runs.flatMap(({ start, length }) => [start, length]);

  return {
    /** Whether a command about this event would be sent now; of no event: about any. */
    connected: (eventId?: string) =>
      eventId === undefined
        ? servers.all().some(({ client }) => client.status === "ready")
        : servers.of(eventId)?.client.status === "ready",
    /** Changes with each connection to the server that has the event's keys, and when another server has them. */
    connection: (eventId: string) => connectionOf(eventId),
    /** Of a cluster, one is enough: the events on it can be sold. */
    ping: () => asked(() => Promise.any(servers.all().map(({ client }) => client.ping()))).then(() => undefined),
    close: () => servers.close(),

    async life(eventId: string): Promise<Life> {
      const server = serverOf(eventId);
      const { connection } = server;
      return { serverLife: await asked(() => server.life()), connection };
    },

    async marker(eventId: string): Promise<Marker | undefined> {
      return readMarker(await asked(() => at(eventId).get(keysOf(eventId, 0).marker)));
    },

    /** Takes seats. `runs` as writeRuns wrote them. */
    async hold(generation: Generation, terms: HoldTerms, runs: readonly Run[], text: string): Promise<HoldAnswer> {
      const keys = [
        ...holdKeys(generation, terms.holdId),
        ...runKeys(generation, runs),
        ...codeKeys(generation, terms),
      ];
      const args = [...holdArgs(generation, terms), text, ...places(runs), ...codeArgs(terms)];
      return readHold(generation, terms, await script("hold", generation, keys, args), text);
    },

    /** Takes any places of a general-admission section. */
    async holdPlaces(
      generation: Generation,
      terms: HoldTerms,
      section: SectionPlan,
      wanted: number,
    ): Promise<HoldAnswer> {
      const names = keysOf(generation.eventId, generation.epoch);
      const keys = [
        ...holdKeys(generation, terms.holdId),
        names.records(section),
        names.map(section),
        names.nextPlace(section),
        names.returned(section, terms.pool),
        ...codeKeys(generation, terms),
      ];
      const args = [...holdArgs(generation, terms), `~${section.sectionId}`, section.seats, wanted, ...codeArgs(terms)];
      return readHold(generation, terms, await script("holdPlaces", generation, keys, args), "");
    },

    /** What is known of a person's hold, without changing anything; undefined: nothing. */
    async knownHold(eventId: string, holdId: string, userId: string): Promise<KnownAnswer | undefined> {
      const epoch = readMarker(await asked(() => at(eventId).get(keysOf(eventId, 0).marker)))?.epoch ?? 0;
      const names = keysOf(eventId, epoch);
      const [ended, entries, nowMs] = await asked(() =>
        Promise.all([
          at(eventId).exists(names.ended(holdId)),
          at(eventId).hgetBuffer(names.people, personOf(userId)),
          serverTime(at(eventId)),
        ]),
      );
      if (ended === 1) return { kind: "known", hold: undefined, nowMs };
      const entry = readEntries(entries ?? Buffer.alloc(0)).find((one) => one.holdId === holdId);
      return entry && { kind: "known", hold: describeHold(epoch, userId, entry), nowMs };
    },

    /** Whose holds are these? Reads all people of the event, a few at a time: for repairs. */
    async peopleOf({ eventId, epoch }: Generation, holdIds: ReadonlySet<string>): Promise<Map<string, string>> {
      const found = new Map<string, string>();
      const { people } = keysOf(eventId, epoch);
      for (let cursor = "0"; ; ) {
        const [next, fields] = await asked(() => at(eventId).hscanBuffer(people, cursor, "COUNT", peopleAtOnce));
        for (let field = 0; field < fields.length; field += 2)
          for (const { holdId } of readEntries(fields[field + 1] as Buffer))
            if (holdIds.has(holdId)) found.set(holdId, (fields[field] as Buffer).toString());
        cursor = next.toString();
        if (cursor === "0") return found;
      }
    },

    /** The holds that a person has. Undefined: another generation is there. */
    async holdsOf(
      { eventId, epoch, marker, connection: on }: Generation,
      userId: string,
    ): Promise<{ holds: OwnHold[]; nowMs: number } | undefined> {
      if (on !== connectionOf(eventId)) return undefined;
      const names = keysOf(eventId, epoch);
      const [found, entries, nowMs] = await asked(() =>
        Promise.all([
          at(eventId).get(names.marker),
          at(eventId).hgetBuffer(names.people, personOf(userId)),
          serverTime(at(eventId)),
        ]),
      );
      if (found !== marker) return undefined;
      const holds = readEntries(entries ?? Buffer.alloc(0)).map((entry) => ({
        holdId: entry.holdId,
        expiresAtMs: entry.expiresAtMs,
        known: entry.runs === "" ? undefined : describeHold(epoch, userId, entry),
      }));
      return { holds, nowMs };
    },

    async fence(
      generation: Generation,
      hold: { holdId: string; userId: string; epoch: number; deadlineMs: number; limit: number },
      runs: readonly Run[],
      text: string,
    ): Promise<FenceAnswer> {
      const keys = [...ownedKeys(generation, hold.holdId), ...runKeys(generation, runs)];
      const [kind, ...rest] = await script("fence", generation, keys, [
        generation.marker,
        generation.epoch,
        hold.holdId,
        personOf(hold.userId),
        hold.epoch,
        hold.deadlineMs,
        hold.deadlineMs + holdMarginMs,
        claimExtensionMs,
        hold.limit,
        text,
        ...places(runs),
      ]);
      if (kind === "ok") return { kind, takenAgain: rest[0] === 1, codeId: (rest[1] as string) || undefined };
      if (kind === "taken") return { kind, ordinals: rest as number[] };
      if (kind === "ended" || kind === "lapsed" || kind === "stale") return { kind };
      throw new Error(`the script fence answered ${kind}`);
    },

    /** Marks seats as sold. False: the generation is not the one that Valkey has. */
    async settle(
      generation: Generation,
      owner: { holdId: string; userId: string; codeId?: string | undefined; seats: number; askedNow: boolean },
      runs: readonly Run[],
    ): Promise<boolean> {
      const keys = [...ownedKeys(generation, owner.holdId), ...runKeys(generation, runs)];
      const [kind] = await script("settle", generation, keys, [
        generation.epoch,
        owner.holdId,
        personOf(owner.userId),
        owner.askedNow ? 1 : 0,
        owner.seats,
        owner.codeId ?? "",
        writeRuns(runs),
        ...places(runs),
      ]);
      return kind !== "stale";
    },

    /** Frees seats that carry this hold. Undefined: the generation is not the one that Valkey has, or not open. */
    async release(
      generation: Generation,
      hold: { holdId: string; userId: string; codeId?: string | undefined; what: "hold" | "claim"; ends: boolean },
      runs: readonly Run[],
    ): Promise<number | undefined> {
      const names = keysOf(generation.eventId, generation.epoch);
      const keys = [
        ...ownedKeys(generation, hold.holdId),
        ...runs.flatMap(({ section }) => [names.records(section), names.map(section), names.returned(section)]),
      ];
      const [kind, freed] = await script("release", generation, keys, [
        generation.epoch,
        hold.holdId,
        personOf(hold.userId),
        hold.what,
        holdMemoryMs,
        hold.ends ? 1 : 0,
        hold.codeId ?? "",
        ...runs.flatMap(({ section, start, length }) => [start, length, section.generalAdmission ? 1 : 0]),
      ]);
      return kind === "ok" ? (freed as number) : undefined;
    },

    /** Gives seats and places another pool; "old": a newer version of the channels has begun to. */
    async assign(
      generation: Generation,
      version: number,
      pool: number,
      runs: readonly Run[],
    ): Promise<"ok" | "old" | "stale"> {
      const names = keysOf(generation.eventId, generation.epoch);
      const keys = runs.flatMap(({ section }) => [
        names.records(section),
        names.map(section),
        names.nextPlace(section),
        names.returned(section),
      ]);
      const args = runs.flatMap(({ section, start, length }) => [start, length, section.generalAdmission ? 1 : 0]);
      const [kind] = await script(
        "assign",
        generation,
        [names.marker, names.pools, ...keys],
        [generation.epoch, version, pool, ...args],
      );
      return kind as "ok" | "old" | "stale";
    },

    /** Says that all pools are those of this version. */
    async poolsDone(generation: Generation, version: number): Promise<void> {
      const names = keysOf(generation.eventId, generation.epoch);
      await script("assigned", generation, [names.marker, names.pools], [generation.epoch, version]);
    },

    /** The version of the channels that all pools are of; 0: there was none. */
    async poolsVersion({ eventId, epoch }: Generation): Promise<number> {
      const text = await asked(() => at(eventId).get(keysOf(eventId, epoch).pools));
      return Number(/:(\d+)$/.exec(text ?? "")?.[1] ?? 0);
    },

    /** Blocks free seats of any pool, all or none; in an open or a closed generation. */
    async block(
      generation: Generation,
      blockId: string,
      runs: readonly Run[],
    ): Promise<{ kind: "ok" | "stale" } | { kind: "taken"; ordinals: readonly number[] }> {
      const { marker } = keysOf(generation.eventId, generation.epoch);
      const args = [generation.epoch, blockId, ...places(runs)];
      const [kind, ...rest] = await script("block", generation, [marker, ...runKeys(generation, runs)], args);
      return kind === "taken" ? { kind, ordinals: rest as number[] } : { kind: kind as "ok" | "stale" };
    },

    /** Frees the seats that carry this block. Undefined: the generation is not the one that Valkey has. */
    async unblock(generation: Generation, blockId: string, runs: readonly Run[]): Promise<number | undefined> {
      const { marker } = keysOf(generation.eventId, generation.epoch);
      const args = [generation.epoch, blockId, ...places(runs)];
      const [kind, freed] = await script("unblock", generation, [marker, ...runKeys(generation, runs)], args);
      return kind === "ok" ? (freed as number) : undefined;
    },

    /** Clears away about `most` expired holds: how many they were, and whether there are more. Undefined: as above. */
    async sweep(
      generation: Generation,
      most: number,
    ): Promise<{ readonly cleared: number; readonly more: boolean } | undefined> {
      const names = keysOf(generation.eventId, generation.epoch);
      const keys = [names.marker, names.people, names.queue, names.late, names.codes];
      const lasts = holdTtlMs + holdMarginMs;
      const args = [generation.marker, names.event, names.generation, most, holdMemoryMs, lasts];
      const [kind, cleared, more] = await script("sweep", generation, keys, args);
      return kind === "ok" ? { cleared: cleared as number, more: more === 1 } : undefined;
    },

    /** All maps at one moment, or undefined when the generation is another by then. And the server's clock. */
    async maps(
      { eventId, epoch, marker, connection: on }: Generation,
      sections: readonly SectionPlan[],
    ): Promise<{ maps: Buffer[]; nowMs: number } | undefined> {
      if (on !== connectionOf(eventId)) return undefined;
      const names = keysOf(eventId, epoch);
      const [[found, ...maps], nowMs] = await asked(() =>
        Promise.all([at(eventId).mgetBuffer(names.marker, ...sections.map(names.map)), serverTime(at(eventId))]),
      );
      if (found?.toString() !== marker) return undefined;
      if (maps.every((map, at) => map?.length === mapBytes(sections[at]?.seats ?? 0)))
        return { maps: maps as Buffer[], nowMs };
      await close(eventId, names.marker, marker);
      return undefined;
    },

    /** All records of a section, or undefined as above. */
    async records({ eventId, epoch, marker, connection: on }: Generation, section: SectionPlan) {
      if (on !== connectionOf(eventId)) return undefined;
      const names = keysOf(eventId, epoch);
      const [found, records] = await asked(() => at(eventId).mgetBuffer(names.marker, names.records(section)));
      if (found?.toString() !== marker) return undefined;
      if (records?.length === section.seats * recordBytes) return records;
      await close(eventId, names.marker, marker);
      return undefined;
    },

    /** The record of each of these seats, in their order. Undefined: the generation is not the one that Valkey has. */
    async seatRecords(
      { eventId, epoch, connection: on }: Generation,
      seats: readonly { readonly section: SectionPlan; readonly index: number }[],
    ): Promise<Buffer[] | undefined> {
      if (on !== connectionOf(eventId)) return undefined;
      const names = keysOf(eventId, epoch);
      const pipeline = at(eventId).pipeline();
      for (const { section, index } of seats)
        pipeline.getrangeBuffer(names.records(section), index * recordBytes, (index + 1) * recordBytes - 1);
      // Last, so that what was read before it was this epoch's.
      pipeline.get(names.marker);
      const replies = await asked(() => executed(pipeline));
      const records = replies.slice(0, -1) as Buffer[];
      const present = readMarker(replies.at(-1) as string | null)?.epoch === epoch;
      return present && records.every((record) => record.length === recordBytes) ? records : undefined;
    },

    // ---- locks: for economy, never for correctness

    async lock(eventId: string, what: string, token: string, ttlMs: number): Promise<boolean> {
      return (await asked(() => at(eventId).takeLock(1, keysOf(eventId, 0).lock(what), token, ttlMs))) === 1;
    },
    /** 0 ms gives it back. */
    async renewLock(eventId: string, what: string, token: string, ttlMs: number): Promise<boolean> {
      return (await asked(() => at(eventId).renewLock(1, keysOf(eventId, 0).lock(what), token, ttlMs))) === 1;
    },

    // ---- seats as they change (see live.ts)

    /** Takes the event's lock "live", or keeps it; and the head, "" when there is none. Undefined: as above. */
    async liveLook(
      generation: Generation,
      { token, lockMs, keepMs }: { token: string; lockMs: number; keepMs: number },
    ): Promise<{ leads: boolean; head: string } | undefined> {
      const { marker, lock, live, liveSnapshot, liveChanges } = keysOf(generation.eventId, 0);
      const keys = [marker, lock("live"), live, liveSnapshot, liveChanges];
      const args = [generation.marker, token, lockMs, keepMs];
      const [kind, leads, head] = await script("liveLook", generation, keys, args);
      return kind === "ok" ? { leads: leads === 1, head: head as string } : undefined;
    },

    /** The head, what it describes, and the changes that led there, oldest first; later ones may be among them already. */
    async liveStored(eventId: string): Promise<{ head: string; snapshot: Buffer; changes: Buffer[] } | undefined> {
      const { live, liveSnapshot, liveChanges } = keysOf(eventId, 0);
      const [[head, snapshot], changes] = await asked(() =>
        Promise.all([at(eventId).mgetBuffer(live, liveSnapshot), at(eventId).xrangeBuffer(liveChanges, "-", "+")]),
      );
      if (!head || !snapshot) return undefined;
      return { head: head.toString(), snapshot, changes: changes.flatMap(([, [, change]]) => change ?? []) };
    },

    /** Writes the next version and tells who listens. overtaken: the head is another than `before`. */
    async livePublish(
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
    ): Promise<"ok" | "overtaken" | "stale"> {
      const { marker, live, liveSnapshot, liveChanges } = keysOf(generation.eventId, 0);
      const keys = [marker, live, liveSnapshot, liveChanges];
      const ids = [`${next.version}-1`, `${next.keepFrom}-0`, next.keepMs];
      const args = [generation.marker, next.before, next.head, next.snapshot, next.change, ...ids, live];
      const [kind] = await script("livePublish", generation, keys, args);
      return kind as "ok" | "overtaken" | "stale";
    },

    /** What livePublish tells, of the events that were joined: one connection, whatever their number. */
    listen(heard: (eventId: string, head: string, change: Buffer) => void): LiveEar {
      const ear = openRedis({
        url,
        ca,
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
    },

    // ---- a new generation

    /**
     * Writes the keys of an epoch that nobody uses yet. People: user id → entries as seat-map.ts writes them; codes: code → seats.
     * The version is that of the channels whose pools are drawn.
     */
    async draw(
      eventId: string,
      epoch: number,
      images: readonly SectionImage[],
      people: ReadonlyMap<string, Buffer>,
      codes: ReadonlyMap<string, number> = new Map(),
      version = 0,
    ) {
      const names = keysOf(eventId, epoch);
      await asked(() => at(eventId).unlink(...names.all(images.map(({ section }) => section))));
      await asked(() => at(eventId).set(names.pools, `${version}:${version}`, "PX", unopenedMs));
      for (const { section, records, map, nextPlace, returnedPlaces, pooledPlaces } of images) {
        const pipeline = at(eventId).pipeline();
        pipeline.set(names.records(section), records, "PX", unopenedMs);
        pipeline.set(names.map(section), map, "PX", unopenedMs);
        if (section.generalAdmission) {
          pipeline.set(names.nextPlace(section), String(nextPlace), "PX", unopenedMs);
          for (const part of inParts(returnedPlaces, 1_000))
            pipeline.rpush(names.returned(section), ...part.map(String));
          pipeline.pexpire(names.returned(section), unopenedMs);
          // These lists stay when the generation does not: a key more or less, of a channel's places.
          for (const [pool, places] of pooledPlaces) {
            pipeline.unlink(names.returned(section, pool));
            for (const part of inParts(places, 1_000))
              pipeline.rpush(names.returned(section, pool), ...part.map(String));
          }
        }
        await asked(() => executed(pipeline));
      }
      for (const [key, fields] of [
        [names.people, [...people].map(([userId, entries]) => [personOf(userId), entries] as const)],
        [names.codes, [...codes]],
      ] as const)
        for (const part of inParts<readonly [string, Buffer | number]>(fields, 1_000)) {
          const pipeline = at(eventId).pipeline();
          pipeline.hset(key, ...part.flat());
          pipeline.pexpire(key, unopenedMs);
          await asked(() => executed(pipeline));
        }
    },

    /** False: an epoch as new or newer is there. */
    async begin(eventId: string, marker: Marker): Promise<boolean> {
      return (
        (await asked(() => at(eventId).begin(1, keysOf(eventId, 0).marker, marker.epoch, writeMarker(marker)))) === 1
      );
    },

    /** Brings the holds that an earlier epoch still has into this one, where their seats are free. How many. Undefined: as above. */
    async adopt(generation: Generation, from: number): Promise<number | undefined> {
      const names = keysOf(generation.eventId, generation.epoch);
      const { people } = keysOf(generation.eventId, from);
      const keys = [names.marker, names.people, names.late, names.codes, people];
      let adopted = 0;
      for (let cursor = "0"; ; ) {
        const [next, fields] = await asked(() => at(generation.eventId).hscan(people, cursor, "COUNT", peopleAtOnce));
        const users = fields.filter((_, field) => field % 2 === 0);
        for (const part of inParts(users, peopleAtOnce)) {
          const args = [generation.marker, names.event, names.generation, ...part];
          const [kind, count] = await script("adopt", generation, keys, args);
          if (kind !== "ok") return undefined;
          adopted += count as number;
        }
        cursor = next;
        if (cursor === "0") return adopted;
      }
    },

    /** False: another epoch has taken over meanwhile. */
    async open(eventId: string, marker: Marker, sections: readonly SectionPlan[]): Promise<boolean> {
      const names = keysOf(eventId, marker.epoch);
      const keys = [names.marker, ...names.all(sections)];
      const [closed, open] = [writeMarker({ ...marker, open: false }), writeMarker({ ...marker, open: true })];
      return (await asked(() => at(eventId).open(keys.length, ...keys, closed, open))) === 1;
    },

    async forget(eventId: string, epoch: number, sections: readonly SectionPlan[]): Promise<void> {
      await asked(() => at(eventId).unlink(...keysOf(eventId, epoch).all(sections)));
    },
  };
}

function keysOf(eventId: string, epoch: number) {
  const event = `{${eventId}}:`;
  const generation = `${event}${epoch}:`;
  const names = {
    event,
    generation,
    marker: `${event}epoch`,
    ended: (holdId: string) => `${event}x:${holdId}`,
    lock: (what: string) => `${event}lock:${what}`,
    live: `${event}live`,
    liveSnapshot: `${event}live:s`,
    liveChanges: `${event}live:c`,
    people: `${generation}u`,
    queue: `${generation}q`,
    late: `${generation}d`,
    records: ({ sectionId }: SectionPlan) => `${generation}r:${sectionId}`,
    map: ({ sectionId }: SectionPlan) => `${generation}m:${sectionId}`,
    nextPlace: ({ sectionId }: SectionPlan) => `${generation}n:${sectionId}`,
    codes: `${generation}c`,
    pools: `${generation}a`,
    returned: ({ sectionId }: SectionPlan, pool = 0) => `${generation}g:${sectionId}${pool === 0 ? "" : `:${pool}`}`,
  };
  return {
    ...names,
    /** All keys of the epoch. */
    all: (sections: readonly SectionPlan[]) => [
      names.people,
      names.queue,
      names.late,
      names.codes,
      names.pools,
      ...sections.flatMap((section) => [names.records(section), names.map(section)]),
      ...sections
        .filter(({ generalAdmission }) => generalAdmission)
        .flatMap((section) => [names.nextPlace(section), names.returned(section)]),
    ],
  };
}

export function writeMarker({ epoch, open, serverLife, before }: Marker): string {
  return `${epoch}|${open ? "open" : "closed"}|${serverLife}|${before}`;
}

export function readMarker(text: string | null): Marker | undefined {
  const [, epoch, state, serverLife = "", before] = /^(\d+)\|(open|closed)\|([0-9a-f]+)\|(\d+)$/.exec(text ?? "") ?? [];
  return epoch === undefined
    ? undefined
    : { epoch: Number(epoch), open: state === "open", serverLife, before: Number(before) };
}

function readHold({ epoch }: Generation, { userId }: HoldTerms, reply: Reply, text: string): HoldAnswer {
  const [kind, ...rest] = reply;
  switch (kind) {
    case "held":
      return { kind, deadlineMs: rest[0] as number, runs: (rest[1] as string | undefined) ?? text };
    case "known": {
      if (rest.length === 0) return { kind, hold: undefined, nowMs: 0 };
      const [deadlineMs, expiresAtMs, runs, nowMs] = rest as [number, number, string, number];
      return { kind, hold: describeHold(epoch, userId, { deadlineMs, expiresAtMs, runs }), nowMs };
    }
    case "taken": {
      const ordinals = (rest as number[]).map((place) => (place < 0 ? -1 - place : place));
      return { kind, ordinals, own: ordinals.filter((_, nth) => (rest[nth] as number) < 0) };
    }
    case "short":
      return { kind, free: rest[0] as number };
    case "limit":
    case "code-limit":
      return { kind, has: rest[0] as number };
    case "early":
    case "over":
    case "reused":
    case "stale":
      return { kind };
    default:
      throw new Error(`the script hold answered ${kind}`);
  }
}

function describeHold(
  epoch: number,
  userId: string,
  { deadlineMs, expiresAtMs, runs }: Pick<HoldEntry, "deadlineMs" | "expiresAtMs" | "runs">,
): KnownHold {
  return { state: expiresAtMs === 0 ? "sold" : "held", epoch, deadlineMs, expiresAtMs, userId, runs };
}

async function serverTime(redis: Redis): Promise<number> {
  const [seconds, micros] = await redis.time();
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}

async function executed(pipeline: ChainableCommander): Promise<unknown[]> {
  return ((await pipeline.exec()) ?? []).map(([error, reply]) => {
    if (error) throw error;
    return reply;
  });
}

function* inParts<T>(items: readonly T[], size: number): Generator<T[]> {
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
