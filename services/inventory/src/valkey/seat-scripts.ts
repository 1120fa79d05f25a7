// The scripts that change seats, with typed answers. Undefined always means that the generation is not the one that Valkey has.
import { type Run, type SectionPlan, writeRuns } from "../hall/layout.js";
import { personOf } from "../hall/seat-map.js";
import type { Reply, ValkeyConnection } from "./connection.js";
import { keysOf } from "./keys.js";
import type { Generation } from "./marker.js";
import { describeHold, type KnownAnswer } from "./seat-reads.js";

export interface HoldTimes {
  readonly holdTtlMs: number;
  readonly holdMarginMs: number;
  readonly holdMemoryMs: number;
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
  | { readonly kind: "early" | "over" | "reused" };

export type FenceAnswer =
  /** The code, if it was made with one. */
  | { readonly kind: "ok"; readonly takenAgain: boolean; readonly codeId: string | undefined }
  | { readonly kind: "taken"; readonly ordinals: readonly number[] }
  | { readonly kind: "ended" | "lapsed" };

/** For how long a claim that is being written keeps its seats at least. */
const claimExtensionMs = 30_000;

export class SeatScripts {
  readonly #connection: ValkeyConnection;
  readonly #times: HoldTimes;

  constructor(connection: ValkeyConnection, times: HoldTimes) {
    this.#connection = connection;
    this.#times = times;
  }

  /** Takes seats. `runs` as writeRuns wrote them. */
  async hold(
    generation: Generation,
    terms: HoldTerms,
    runs: readonly Run[],
    text: string,
  ): Promise<HoldAnswer | undefined> {
    const keys = [...holdKeys(generation, terms.holdId), ...runKeys(generation, runs), ...codeKeys(generation, terms)];
    const args = [...this.#holdArgs(generation, terms), text, ...places(runs), ...codeArgs(terms)];
    return readHold(generation, terms, await this.#connection.script("hold", generation, keys, args), text);
  }

  /** Takes any places of a general-admission section. */
  async holdPlaces(
    generation: Generation,
    terms: HoldTerms,
    section: SectionPlan,
    wanted: number,
  ): Promise<HoldAnswer | undefined> {
    const names = keysOf(generation.eventId, generation.epoch);
    const keys = [
      ...holdKeys(generation, terms.holdId),
      names.records(section),
      names.map(section),
      names.nextPlace(section),
      names.returned(section, terms.pool),
      ...codeKeys(generation, terms),
    ];
    const args = [
      ...this.#holdArgs(generation, terms),
      `~${section.sectionId}`,
      section.seats,
      wanted,
      ...codeArgs(terms),
    ];
    return readHold(generation, terms, await this.#connection.script("holdPlaces", generation, keys, args), "");
  }

  async fence(
    generation: Generation,
    hold: { holdId: string; userId: string; epoch: number; deadlineMs: number; limit: number },
    runs: readonly Run[],
    text: string,
  ): Promise<FenceAnswer | undefined> {
    const keys = [...ownedKeys(generation, hold.holdId), ...runKeys(generation, runs)];
    const [kind, ...rest] =
      (await this.#connection.script("fence", generation, keys, [
        generation.marker,
        generation.epoch,
        hold.holdId,
        personOf(hold.userId),
        hold.epoch,
        hold.deadlineMs,
        hold.deadlineMs + this.#times.holdMarginMs,
        claimExtensionMs,
        hold.limit,
        text,
        ...places(runs),
      ])) ?? [];
    if (kind === "ok") return { kind, takenAgain: rest[0] === 1, codeId: (rest[1] as string) || undefined };
    if (kind === "taken") return { kind, ordinals: rest as number[] };
    if (kind === "ended" || kind === "lapsed") return { kind };
    if (kind === undefined) return undefined;
    throw new Error(`the script fence answered ${kind}`);
  }

  /** Marks seats as sold. */
  async settle(
    generation: Generation,
    owner: { holdId: string; userId: string; codeId?: string | undefined; seats: number; askedNow: boolean },
    runs: readonly Run[],
  ): Promise<true | undefined> {
    const keys = [...ownedKeys(generation, owner.holdId), ...runKeys(generation, runs)];
    const [kind] =
      (await this.#connection.script("settle", generation, keys, [
        generation.epoch,
        owner.holdId,
        personOf(owner.userId),
        owner.askedNow ? 1 : 0,
        owner.seats,
        owner.codeId ?? "",
        writeRuns(runs),
        ...places(runs),
      ])) ?? [];
    return kind === undefined ? undefined : true;
  }

  /** Frees seats that carry this hold. Undefined also where the generation is not open. */
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
    const [kind, freed] =
      (await this.#connection.script("release", generation, keys, [
        generation.epoch,
        hold.holdId,
        personOf(hold.userId),
        hold.what,
        this.#times.holdMemoryMs,
        hold.ends ? 1 : 0,
        hold.codeId ?? "",
        ...runs.flatMap(({ section, start, length }) => [start, length, section.generalAdmission ? 1 : 0]),
      ])) ?? [];
    return kind === "ok" ? (freed as number) : undefined;
  }

  /** Gives seats and places another pool; "old": a newer version of the channels has begun to. */
  async assign(
    generation: Generation,
    version: number,
    pool: number,
    runs: readonly Run[],
  ): Promise<"ok" | "old" | undefined> {
    const names = keysOf(generation.eventId, generation.epoch);
    const keys = runs.flatMap(({ section }) => [
      names.records(section),
      names.map(section),
      names.nextPlace(section),
      names.returned(section),
    ]);
    const args = runs.flatMap(({ section, start, length }) => [start, length, section.generalAdmission ? 1 : 0]);
    const [kind] =
      (await this.#connection.script(
        "assign",
        generation,
        [names.marker, names.pools, ...keys],
        [generation.epoch, version, pool, ...args],
      )) ?? [];
    return kind as "ok" | "old" | undefined;
  }

  /** Says that all pools are those of this version. */
  async poolsDone(generation: Generation, version: number): Promise<void> {
    const names = keysOf(generation.eventId, generation.epoch);
    await this.#connection.script("assigned", generation, [names.marker, names.pools], [generation.epoch, version]);
  }

  /** Blocks free seats of any pool, all or none; in an open or a closed generation. */
  async block(
    generation: Generation,
    blockId: string,
    runs: readonly Run[],
  ): Promise<{ kind: "ok" } | { kind: "taken"; ordinals: readonly number[] } | undefined> {
    const { marker } = keysOf(generation.eventId, generation.epoch);
    const args = [generation.epoch, blockId, ...places(runs)];
    const [kind, ...rest] =
      (await this.#connection.script("block", generation, [marker, ...runKeys(generation, runs)], args)) ?? [];
    if (kind === undefined) return undefined;
    return kind === "taken" ? { kind, ordinals: rest as number[] } : { kind: "ok" };
  }

  /** Frees the seats that carry this block. */
  async unblock(generation: Generation, blockId: string, runs: readonly Run[]): Promise<number | undefined> {
    const { marker } = keysOf(generation.eventId, generation.epoch);
    const args = [generation.epoch, blockId, ...places(runs)];
    const [kind, freed] =
      (await this.#connection.script("unblock", generation, [marker, ...runKeys(generation, runs)], args)) ?? [];
    return kind === "ok" ? (freed as number) : undefined;
  }

  /** Clears away about `most` expired holds: how many they were, and whether there are more. */
  async sweep(
    generation: Generation,
    most: number,
  ): Promise<{ readonly cleared: number; readonly more: boolean } | undefined> {
    const names = keysOf(generation.eventId, generation.epoch);
    const keys = [names.marker, names.people, names.queue, names.late, names.codes];
    const lasts = this.#times.holdTtlMs + this.#times.holdMarginMs;
    const args = [generation.marker, names.event, names.generation, most, this.#times.holdMemoryMs, lasts];
    const [kind, cleared, more] = (await this.#connection.script("sweep", generation, keys, args)) ?? [];
    return kind === "ok" ? { cleared: cleared as number, more: more === 1 } : undefined;
  }

  #holdArgs(generation: Generation, terms: HoldTerms) {
    return [
      generation.marker,
      terms.holdId,
      personOf(terms.userId),
      terms.limit,
      this.#times.holdTtlMs,
      this.#times.holdMarginMs,
      terms.onSaleAtMs,
      terms.offSaleAtMs,
      terms.pool,
    ];
  }
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

function runKeys({ eventId, epoch }: Generation, runs: readonly Run[]): string[] {
  const names = keysOf(eventId, epoch);
  return runs.flatMap(({ section }) => [names.records(section), names.map(section)]);
}

const codeKeys = ({ eventId, epoch }: Generation, { code }: HoldTerms) => (code ? [keysOf(eventId, epoch).codes] : []);
const codeArgs = ({ code }: HoldTerms) => (code ? [code.codeId, code.limit] : []);
const places = (runs: readonly Run[]) => runs.flatMap(({ start, length }) => [start, length]);

function readHold(
  { epoch }: Generation,
  { userId }: HoldTerms,
  reply: Reply | undefined,
  text: string,
): HoldAnswer | undefined {
  if (!reply) return undefined;
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
      return { kind };
    default:
      throw new Error(`the script hold answered ${kind}`);
  }
}
