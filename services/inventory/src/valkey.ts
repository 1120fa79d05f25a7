// Seats in Valkey: the connection, the keys, and the scripts of scripts.ts with typed answers.
import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import { type ChainableCommander, Redis } from "ioredis";
import type { Run, SectionPlan } from "./layout.js";
import { scripts } from "./scripts.js";
import { mapBytes, recordBytes, type SectionImage } from "./seat-map.js";

/** One connection to one life of one server. After a reconnect it is another, and what was known of the server is not. */
export interface Life {
  /** Changes whenever the server starts, or another takes over. */
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

interface HoldTerms {
  readonly holdId: string;
  readonly userId: string;
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
  | { readonly kind: "taken"; readonly ordinals: readonly number[] }
  | { readonly kind: "short"; readonly free: number }
  | { readonly kind: "limit"; readonly has: number }
  | { readonly kind: "early" | "over" | "stale" };

export type FenceAnswer =
  | { readonly kind: "ok"; readonly takenAgain: boolean }
  | { readonly kind: "taken"; readonly ordinals: readonly number[] }
  | { readonly kind: "ended" | "lapsed" | "stale" };

export interface ValkeySettings {
  readonly url: string;
  readonly holdTtlMs: number;
  readonly holdMarginMs: number;
  readonly holdMemoryMs: number;
  readonly log: Logger;
}

/** For how long a claim that is being written keeps its seats at least. */
const claimExtensionMs = 30_000;
/** Keys of a generation that never opens go away by themselves. */
const unopenedMs = 60 * 60 * 1000;

export type Valkey = ReturnType<typeof openValkey>;

type Reply = [string, ...unknown[]];
type Scripts = { [Name in keyof typeof scripts]: (...args: (string | number)[]) => Promise<unknown> };

export function openValkey({ url, holdTtlMs, holdMarginMs, holdMemoryMs, log }: ValkeySettings) {
  const redis = new Redis(url, {
    lazyConnect: true,
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
    reconnectOnError: (error) => error.message.startsWith("READONLY"),
  });
  for (const [name, lua] of Object.entries(scripts)) redis.defineCommand(name, { lua });
  const run = redis as unknown as Scripts;

  let connection = 0;
  let serverLife: Promise<string> | undefined;
  let away = false;
  // Comes before the socket is opened anew, so before any command can reach another server.
  redis.on("close", () => {
    connection += 1;
    serverLife = undefined;
  });
  redis.on("error", (err) => {
    if (!away) log.warn({ err }, "Valkey is away: no seat can be held until it is back");
    away = true;
  });
  redis.on("ready", () => {
    if (away) log.info("Valkey is back");
    away = false;
  });
  redis.connect().catch(() => undefined); // told by the error event; it keeps trying

  async function asked<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw unavailable(error);
    }
  }

  async function script(
    name: keyof Scripts,
    on: Life | Generation,
    keys: readonly string[],
    args: (string | number)[],
  ) {
    // Checked in the same turn as it is sent: the marker that the arguments carry was trusted on that connection only.
    if (on.connection !== connection) return ["stale"] satisfies Reply;
    return (await asked(() => run[name](keys.length, ...keys, ...args))) as Reply;
  }

  function holdKeys({ eventId, epoch }: Generation, holdId: string): string[] {
    const names = keysOf(eventId, epoch);
    return [names.marker, names.hold(holdId), names.people, names.byExpiry];
  }

  const holdArgs = (generation: Generation, terms: HoldTerms, wanted: number, runs: string) => [
    generation.marker,
    generation.epoch,
    terms.holdId,
    terms.userId,
    terms.limit,
    holdTtlMs,
    holdMarginMs,
    holdMemoryMs,
    terms.onSaleAtMs,
    terms.offSaleAtMs,
    wanted,
    runs,
  ];

  function runKeys({ eventId, epoch }: Generation, runs: readonly Run[]): string[] {
    const names = keysOf(eventId, epoch);
    return runs.flatMap(({ section }) => [names.records(section), names.map(section)]);
  }
  /** Seats are missing though the marker is right: nobody may use the rest. */
  const close = (key: string, marker: string) =>
    asked(() => run.close(1, key, marker, marker.replace("|open|", "|closed|")));
  const places = (runs: readonly Run[]) => runs.flatMap(({ start, length }) => [start, length]);

  return {
    /** Whether a command would be sent now. */
    connected: () => redis.status === "ready",
    /** Changes with each connection. */
    connection: () => connection,
    ping: () => asked(() => redis.ping()).then(() => undefined),
    close: () => redis.disconnect(),

    async life(): Promise<Life> {
      serverLife ??= redis.info("server").then((info) => {
        const life = /^run_id:([0-9a-f]+)/m.exec(info)?.[1];
        if (!life) throw new Error("Valkey does not tell its run_id");
        return life;
      });
      const on = connection;
      const asking = serverLife;
      try {
        return { serverLife: await asking, connection: on };
      } catch (error) {
        if (serverLife === asking) serverLife = undefined;
        throw unavailable(error);
      }
    },

    async marker(eventId: string): Promise<Marker | undefined> {
      return readMarker(await asked(() => redis.get(keysOf(eventId, 0).marker)));
    },

    /** Takes seats. `runs` as writeRuns wrote them. */
    async hold(generation: Generation, terms: HoldTerms, runs: readonly Run[], text: string): Promise<HoldAnswer> {
      const wanted = runs.reduce((sum, { length }) => sum + length, 0);
      const keys = [...holdKeys(generation, terms.holdId), ...runKeys(generation, runs)];
      const args = [...holdArgs(generation, terms, wanted, text), ...places(runs)];
      return readHold(await script("hold", generation, keys, args));
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
        names.returned(section),
      ];
      const args = [...holdArgs(generation, terms, wanted, `~${section.sectionId}`), section.seats];
      return readHold(await script("holdPlaces", generation, keys, args));
    },

    /** What is known of a hold, without changing anything; undefined: nothing. */
    async knownHold(eventId: string, holdId: string): Promise<KnownAnswer | undefined> {
      const text = await asked(() => redis.get(keysOf(eventId, 0).hold(holdId)));
      if (text === null) return undefined;
      return { kind: "known", hold: readKnownHold(text), nowMs: await asked(() => serverTime(redis)) };
    },

    async fence(
      generation: Generation,
      hold: { holdId: string; userId: string; epoch: number; deadlineMs: number; limit: number },
      runs: readonly Run[],
      text: string,
    ): Promise<FenceAnswer> {
      const keys = [...holdKeys(generation, hold.holdId), ...runKeys(generation, runs)];
      const [kind, ...rest] = await script("fence", generation, keys, [
        generation.marker,
        generation.epoch,
        hold.holdId,
        hold.userId,
        hold.epoch,
        hold.deadlineMs,
        hold.deadlineMs + holdMarginMs,
        claimExtensionMs,
        holdMemoryMs,
        runs.reduce((sum, { length }) => sum + length, 0),
        text,
        hold.limit,
        ...places(runs),
      ]);
      if (kind === "ok") return { kind, takenAgain: rest[0] === 1 };
      if (kind === "taken") return { kind, ordinals: rest as number[] };
      if (kind === "ended" || kind === "lapsed" || kind === "stale") return { kind };
      throw new Error(`the script fence answered ${kind}`);
    },

    /** Marks seats as sold. False: the generation is not the one that Valkey has. */
    async settle(
      generation: Generation,
      owner: { holdId: string; userId: string; seats: number; askedNow: boolean },
      runs: readonly Run[],
      text: string,
    ): Promise<boolean> {
      const keys = [...holdKeys(generation, owner.holdId), ...runKeys(generation, runs)];
      const [kind] = await script("settle", generation, keys, [
        generation.epoch,
        owner.holdId,
        owner.userId,
        owner.askedNow ? 1 : 0,
        holdMemoryMs,
        owner.seats,
        text,
        ...places(runs),
      ]);
      return kind !== "stale";
    },

    /** Frees seats that carry this hold. Undefined: the generation is not the one that Valkey has, or not open. */
    async release(
      generation: Generation,
      hold: { holdId: string; userId: string; what: "hold" | "claim"; ends: boolean },
      runs: readonly Run[],
    ): Promise<number | undefined> {
      const names = keysOf(generation.eventId, generation.epoch);
      const keys = [
        ...holdKeys(generation, hold.holdId),
        ...runs.flatMap(({ section }) => [names.records(section), names.map(section), names.returned(section)]),
      ];
      const [kind, freed] = await script("release", generation, keys, [
        generation.epoch,
        hold.holdId,
        hold.userId,
        hold.what,
        holdMemoryMs,
        hold.ends ? 1 : 0,
        ...runs.flatMap(({ section, start, length }) => [start, length, section.generalAdmission ? 1 : 0]),
      ]);
      return kind === "ok" ? (freed as number) : undefined;
    },

    /** How many expired holds were cleared away, at most `most`. Undefined: as above. */
    async sweep(generation: Generation, most: number): Promise<number | undefined> {
      const names = keysOf(generation.eventId, generation.epoch);
      const args = [generation.marker, names.event, names.generation, most, holdMemoryMs];
      const [kind, swept] = await script("sweep", generation, [names.marker, names.byExpiry, names.people], args);
      return kind === "ok" ? (swept as number) : undefined;
    },

    /** All maps at one moment, or undefined when the generation is another by then. And the server's clock. */
    async maps(
      { eventId, epoch, marker, connection: on }: Generation,
      sections: readonly SectionPlan[],
    ): Promise<{ maps: Buffer[]; nowMs: number } | undefined> {
      if (on !== connection) return undefined;
      const names = keysOf(eventId, epoch);
      const [[found, ...maps], nowMs] = await asked(() =>
        Promise.all([redis.mgetBuffer(names.marker, ...sections.map(names.map)), serverTime(redis)]),
      );
      if (found?.toString() !== marker) return undefined;
      if (maps.every((map, at) => map?.length === mapBytes(sections[at]?.seats ?? 0)))
        return { maps: maps as Buffer[], nowMs };
      await close(names.marker, marker);
      return undefined;
    },

    /** All records of a section, or undefined as above. */
    async records({ eventId, epoch, marker, connection: on }: Generation, section: SectionPlan) {
      if (on !== connection) return undefined;
      const names = keysOf(eventId, epoch);
      const [found, records] = await asked(() => redis.mgetBuffer(names.marker, names.records(section)));
      if (found?.toString() !== marker) return undefined;
      if (records?.length === section.seats * recordBytes) return records;
      await close(names.marker, marker);
      return undefined;
    },

    // ---- locks: for economy, never for correctness

    async lock(eventId: string, what: string, token: string, ttlMs: number): Promise<boolean> {
      return (await asked(() => redis.set(keysOf(eventId, 0).lock(what), token, "PX", ttlMs, "NX"))) === "OK";
    },
    /** 0 ms gives it back. */
    async renewLock(eventId: string, what: string, token: string, ttlMs: number): Promise<boolean> {
      return (await asked(() => run.renewLock(1, keysOf(eventId, 0).lock(what), token, ttlMs))) === 1;
    },

    // ---- a new generation

    /** Writes the keys of an epoch that nobody uses yet. People: user id → entries as the scripts keep them. */
    async draw(eventId: string, epoch: number, images: readonly SectionImage[], people: ReadonlyMap<string, string>) {
      const names = keysOf(eventId, epoch);
      await asked(() => redis.unlink(...names.all(images.map(({ section }) => section))));
      for (const { section, records, map, nextPlace, returnedPlaces } of images) {
        const pipeline = redis.pipeline();
        pipeline.set(names.records(section), records, "PX", unopenedMs);
        pipeline.set(names.map(section), map, "PX", unopenedMs);
        if (section.generalAdmission) {
          pipeline.set(names.nextPlace(section), String(nextPlace), "PX", unopenedMs);
          for (const part of inParts(returnedPlaces, 1_000))
            pipeline.rpush(names.returned(section), ...part.map(String));
          pipeline.pexpire(names.returned(section), unopenedMs);
        }
        await asked(() => executed(pipeline));
      }
      for (const part of inParts([...people], 1_000)) {
        const pipeline = redis.pipeline();
        pipeline.hset(names.people, ...part.flat());
        pipeline.pexpire(names.people, unopenedMs);
        await asked(() => executed(pipeline));
      }
    },

    /** False: an epoch as new or newer is there. */
    async begin(eventId: string, marker: Marker): Promise<boolean> {
      return (await asked(() => run.begin(1, keysOf(eventId, 0).marker, marker.epoch, writeMarker(marker)))) === 1;
    },

    async holdsByExpiry(eventId: string, epoch: number): Promise<string[]> {
      return await asked(() => redis.zrange(keysOf(eventId, epoch).byExpiry, "0", "-1"));
    },

    /** How many holds were brought over. Undefined: as above. */
    async adopt(generation: Generation, holds: readonly string[]): Promise<number | undefined> {
      const names = keysOf(generation.eventId, generation.epoch);
      const args = [generation.marker, generation.epoch, names.event, names.generation, holdMemoryMs, ...holds];
      const [kind, adopted] = await script("adopt", generation, [names.marker, names.byExpiry, names.people], args);
      return kind === "ok" ? (adopted as number) : undefined;
    },

    /** False: another epoch has taken over meanwhile. */
    async open(eventId: string, marker: Marker, sections: readonly SectionPlan[]): Promise<boolean> {
      const names = keysOf(eventId, marker.epoch);
      const keys = [names.marker, ...names.all(sections)];
      const [closed, open] = [writeMarker({ ...marker, open: false }), writeMarker({ ...marker, open: true })];
      return (await asked(() => run.open(keys.length, ...keys, closed, open))) === 1;
    },

    async forget(eventId: string, epoch: number, sections: readonly SectionPlan[]): Promise<void> {
      await asked(() => redis.unlink(...keysOf(eventId, epoch).all(sections)));
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
    hold: (holdId: string) => `${event}h:${holdId}`,
    lock: (what: string) => `${event}lock:${what}`,
    people: `${generation}p`,
    byExpiry: `${generation}d`,
    records: ({ sectionId }: SectionPlan) => `${generation}r:${sectionId}`,
    map: ({ sectionId }: SectionPlan) => `${generation}m:${sectionId}`,
    nextPlace: ({ sectionId }: SectionPlan) => `${generation}n:${sectionId}`,
    returned: ({ sectionId }: SectionPlan) => `${generation}g:${sectionId}`,
  };
  return {
    ...names,
    /** All keys of the epoch. */
    all: (sections: readonly SectionPlan[]) => [
      names.people,
      names.byExpiry,
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

function readHold([kind, ...rest]: Reply): HoldAnswer {
  switch (kind) {
    case "held":
      return { kind, deadlineMs: rest[0] as number, runs: rest[1] as string };
    case "known":
      return { kind, hold: readKnownHold(rest[0] as string), nowMs: rest[1] as number };
    case "taken":
      return { kind, ordinals: rest as number[] };
    case "short":
      return { kind, free: rest[0] as number };
    case "limit":
      return { kind, has: rest[0] as number };
    case "early":
    case "over":
    case "stale":
      return { kind };
    default:
      throw new Error(`the script hold answered ${kind}`);
  }
}

/** Undefined: it has ended. */
function readKnownHold(text: string): KnownHold | undefined {
  const [kind, epoch, deadline, expiry, userId = "", runs = ""] = text.split("|");
  if (kind !== "H" && kind !== "S") return undefined;
  return {
    state: kind === "H" ? "held" : "sold",
    epoch: Number(epoch),
    deadlineMs: Number(deadline),
    expiresAtMs: Number(expiry),
    userId,
    runs,
  };
}

async function serverTime(redis: Redis): Promise<number> {
  const [seconds, micros] = await redis.time();
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}

async function executed(pipeline: ChainableCommander): Promise<void> {
  for (const [error] of (await pipeline.exec()) ?? []) if (error) throw error;
}

function* inParts<T>(items: readonly T[], size: number): Generator<T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size);
}

// What a server says that is starting, stopping, full, or no primary any more.
const passing =
  /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|OOM|BUSY|NOREPLICAS|UNBLOCKED|ERR max number of clients)/;

/** An answer that is an error of ours stays one; everything else means that the server is not there for now. */
function unavailable(error: unknown): unknown {
  if (error instanceof DomainError) return error;
  if (error instanceof Error && error.name === "ReplyError" && !passing.test(error.message)) return error;
  const message = "The seats can't be reached right now. Please try again in a moment.";
  return new DomainError("UNAVAILABLE", message, {}, error);
}
