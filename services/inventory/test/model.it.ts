// Random histories of seats on a real Valkey, each compared with a model of fifty lines: maps, records, what people have, codes.

import { randomUUID } from "node:crypto";
import { derivedHex64 } from "@onsale/kit/ids";
import type { Section } from "@onsale/proto/inventory/v1/catalog";
import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { planLayout, type Run, readRuns, runsOf, type SectionPlan, seatsOf, writeRuns } from "../src/hall/layout.js";
import {
  drawSection,
  type HoldEntry,
  personOf,
  readEntries,
  readRecord,
  recordBytes,
  type SeatRecord,
  seatStates,
  stateAt,
  writeEntry,
  writeRecord,
} from "../src/hall/seat-map.js";
import { type Generation, writeMarker } from "../src/valkey/marker.js";
import { openValkey, type Valkey } from "../src/valkey/valkey.js";
import { eventually, hall, standing } from "./inventory.js";

const seed = Number(process.env["MODEL_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const histories = Number(process.env["MODEL_HISTORIES"] ?? 1_000);
const lanes = 8;

const ttlMs = 1_000_000;
const marginMs = 100_000;
const limit = 5;
/** No sum of these comes near a deadline or an expiry but from the side that it says, so a slow machine changes nothing. */
const passes = {
  short: 300_000,
  longer: 450_000,
  pastDeadline: 1_050_000,
  nearExpiry: 1_080_000,
  pastExpiry: 1_200_000,
};

const layout = planLayout("v", [
  { ...hall(2, 5), rows: [row("A", []), row("B", [4])] },
  hall(1, 6, { sectionId: "B" }),
  standing(7),
] as Section[]);
const seated = layout.sections.filter(({ generalAdmission }) => !generalAdmission);
const floor = layout.sections.find(({ generalAdmission }) => generalAdmission) as SectionPlan;
/** Nobody makes another generation here. */
function insisted<T>(answer: T | undefined): T {
  if (answer === undefined) throw new Error("the generation was replaced");
  return answer;
}

function row(label: string, blocked: number[]) {
  return { label, firstSeat: 1, seatCount: 5, gaps: [], blocked, accessible: [], companion: [] };
}

const users = ["acc_ada", "acc_bob", "acc_cy"] as const;
/** As random as real ones: what a person has is searched for them byte by byte. */
const holdIdOf = (hold: number) => derivedHex64("hold", String(hold));
const blockIdOf = (block: number) => `ff0000000000000${block}`;
const codes = [undefined, { codeId: "c0de000000000001", limit: 3 }, { codeId: "c0de000000000002", limit: 0 }] as const;
const nobody = "0".repeat(16);
/** A channel has half of each section from the beginning. */
const poolAtFirst = ({ seats }: SectionPlan, index: number) => (index < seats / 2 ? 1 : 0);

// ---- what happens

const who = fc.record({ hold: fc.nat(8), user: fc.nat(2) }).map(({ hold, user }) => ({
  holdId: holdIdOf(hold * 3 + user), // a hold is one person's
  userId: users[user] as string,
}));
/** Up to two stretches of seats. */
const someRuns = fc
  .array(fc.record({ section: fc.nat(1), start: fc.nat(9), length: fc.integer({ min: 1, max: 3 }) }), {
    minLength: 1,
    maxLength: 2,
  })
  .map((parts) => {
    const seats = new Map<string, { section: SectionPlan; index: number }>();
    for (const { section: at, start, length } of parts) {
      const section = seated[at] as SectionPlan;
      for (
        let index = start % section.seats;
        index < Math.min(section.seats, (start % section.seats) + length);
        index++
      )
        seats.set(`${at}:${index}`, { section, index });
    }
    return runsOf(layout, [...seats.values()]);
  });
const anyRuns = fc.oneof(
  { weight: 3, arbitrary: someRuns },
  {
    weight: 1,
    arbitrary: fc
      .record({ start: fc.nat(6), length: fc.integer({ min: 1, max: 4 }) })
      .map(({ start, length }): Run[] => [{ section: floor, start, length: Math.min(length, floor.seats - start) }]),
  },
);
const pool = fc.constantFrom(0, 0, 1, 1, 2);
const code = fc.constantFrom(...codes);
const known = fc.nat(30);

const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("hold" as const), who, runs: someRuns, pool, code }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("places" as const),
      who,
      wanted: fc.integer({ min: 1, max: 4 }),
      pool,
      code,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("hold outside the sale" as const),
      who,
      runs: someRuns,
      early: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("retry" as const), known }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("retry as another" as const), known }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("confirm" as const),
      known,
      by: fc.constantFrom("own", "own", "own", "another"),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("confirm what was lost" as const), who, runs: someRuns }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("sold elsewhere" as const), who, runs: someRuns, code }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("release" as const),
      known,
      by: fc.constantFrom("own", "own", "another"),
      part: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("release what never was" as const), who, runs: someRuns }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("give back" as const), known, seats: fc.integer({ min: 1, max: 3 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("block" as const), block: fc.nat(2), runs: someRuns }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("unblock" as const), block: fc.nat(2), runs: someRuns }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("assign" as const), pool, runs: anyRuns }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("time passes" as const), ms: fc.constantFrom(...Object.values(passes)) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("sweep" as const), most: fc.constantFrom(1, 2, 100) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

// ---- the model

interface ModelSeat {
  state: "free" | "held" | "sold" | "blocked";
  pool: number;
  holdId: string;
  /** Of a held seat. */
  expiresAtMs: number;
}
type ModelHold = { -readonly [Key in keyof HoldEntry]: HoldEntry[Key] } & { userId: string };

class Model {
  readonly seats = new Map<string, ModelSeat>();
  readonly holds = new Map<string, ModelHold>();
  readonly ended = new Set<string>();
  /** All holds there ever were, for others to be tried again. */
  readonly past: { holdId: string; userId: string; runs: readonly Run[]; deadlineMs: number; pool: number }[] = [];

  constructor() {
    for (const section of layout.sections)
      for (let index = 0; index < section.seats; index++) {
        const state = section.blocked.includes(index) ? "blocked" : "free";
        this.seats.set(keyOf(section, index), {
          state,
          pool: poolAtFirst(section, index),
          holdId: nobody,
          expiresAtMs: 0,
        });
      }
  }
  of = (runs: readonly Run[]): ModelSeat[] =>
    seatsOf(runs).map(({ section, index }) => this.seats.get(keyOf(section, index)) as ModelSeat);
  isFree = (seat: ModelSeat): boolean =>
    seat.state === "free" || (seat.state === "held" && seat.expiresAtMs <= Date.now());
  has(userId: string, except = ""): number {
    const counted = [...this.holds.values()].filter(
      (hold) =>
        hold.userId === userId && hold.holdId !== except && (hold.expiresAtMs === 0 || hold.expiresAtMs > Date.now()),
    );
    return counted.reduce((sum, { seats }) => sum + seats, 0);
  }
  used(codeId: string): number {
    return [...this.holds.values()].reduce((sum, hold) => sum + (hold.codeId === codeId ? hold.seats : 0), 0);
  }
  take(hold: ModelHold, runs: readonly Run[], state: "held" | "sold"): void {
    for (const seat of this.of(runs))
      Object.assign(seat, { state, holdId: hold.holdId, expiresAtMs: hold.expiresAtMs });
    this.holds.set(hold.holdId, hold);
  }
  free(holdId: string, seats: readonly ModelSeat[], states: readonly string[]): number {
    const own = seats.filter((seat) => seat.holdId === holdId && states.includes(seat.state));
    for (const seat of own) Object.assign(seat, { state: "free", holdId: nobody, expiresAtMs: 0 });
    return own.length;
  }
  end(holdId: string): void {
    this.holds.delete(holdId);
    this.ended.add(holdId);
  }
  lapsed = (): ModelHold[] =>
    [...this.holds.values()].filter(({ expiresAtMs }) => expiresAtMs > 0 && expiresAtMs <= Date.now());
}
const keyOf = ({ sectionId }: SectionPlan, index: number) => `${sectionId}:${index}`;
const countOf = (runs: readonly Run[]) => runs.reduce((sum, { length }) => sum + length, 0);

// ---- both together

let valkey: Valkey;
let redis: Redis;
beforeAll(async () => {
  const url = inject("backing").redisUrl;
  const log = { warn() {}, info() {}, error() {}, debug() {} } as never;
  valkey = openValkey({ url, holdTtlMs: ttlMs, holdMarginMs: marginMs, holdMemoryMs: 60_000, log });
  redis = new Redis(url);
  await eventually(async () => expect(valkey.connection.connected()).toBe(true));
});
afterAll(() => {
  valkey.connection.close();
  redis.disconnect();
});

class History {
  readonly model = new Model();
  private version = 0;
  private constructor(readonly generation: Generation) {}

  static async begin(): Promise<History> {
    const eventId = `evt_${randomUUID().slice(0, 18)}`;
    const images = layout.sections.map((section) => {
      const pools = Uint8Array.from({ length: section.seats }, (_, index) => poolAtFirst(section, index));
      return drawSection(section, [], { blocked: [], pools });
    });
    await valkey.epochs.draw(eventId, 1, images, new Map());
    const marker = { epoch: 1, open: false, serverLife: "ab".repeat(20), before: 0 };
    await valkey.epochs.begin(eventId, marker);
    await valkey.epochs.open(eventId, marker, layout.sections);
    const open = writeMarker({ ...marker, open: true });
    return new History({ eventId, epoch: 1, marker: open, connection: valkey.connection.of(eventId) });
  }
  private key = (name: string) => `{${this.generation.eventId}}:1:${name}`;

  async take(one: Step): Promise<void> {
    const { model, generation } = this;
    switch (one.do) {
      case "hold":
        return await this.hold(one.who, one.runs, one.pool, one.pool === 0 ? undefined : one.code);
      case "hold outside the sale": {
        const [onSaleAtMs, offSaleAtMs] = one.early ? [Date.now() + 1e6, 9e12] : [0, Date.now() - 1e6];
        const terms = { ...one.who, pool: 0, limit, onSaleAtMs, offSaleAtMs };
        const answer = insisted(await valkey.seats.hold(generation, terms, one.runs, writeRuns(one.runs)));
        if (model.ended.has(one.who.holdId) || model.holds.has(one.who.holdId)) expect(answer.kind).toBe("known");
        else expect(answer.kind).toBe(one.early ? "early" : "over");
        return;
      }
      case "places":
        return await this.places(one.who, one.wanted, one.pool, one.pool === 0 ? undefined : one.code);
      case "retry": {
        const past = this.pastOf(one.known);
        return past && (await this.hold(past, past.runs, past.pool, undefined));
      }
      case "retry as another": {
        const past = this.pastOf(one.known);
        if (!past || !model.of(past.runs).some((seat) => seat.holdId === past.holdId && !model.isFree(seat))) return;
        if (model.ended.has(past.holdId)) return;
        const terms = {
          holdId: past.holdId,
          userId: another(past.userId),
          pool: 0,
          limit: 99,
          onSaleAtMs: 0,
          offSaleAtMs: 9e12,
        };
        expect(await valkey.seats.hold(generation, terms, past.runs, "")).toEqual({ kind: "reused" });
        return;
      }
      case "confirm": {
        const past = this.pastOf(one.known);
        if (!past) return;
        const userId = one.by === "own" ? past.userId : another(past.userId);
        return await this.confirm({ ...past, userId }, 1, past.deadlineMs);
      }
      case "confirm what was lost":
        if (model.holds.has(one.who.holdId)) return;
        return await this.confirm({ ...one.who, runs: one.runs }, 0, Date.now() + ttlMs);
      case "sold elsewhere":
        if (model.holds.has(one.who.holdId)) return;
        return await this.settle({ ...one.who, runs: one.runs }, one.code?.codeId, true);
      case "release": {
        const past = this.pastOf(one.known);
        if (!past) return;
        const runs = one.part ? past.runs.slice(0, 1).map((run) => ({ ...run, length: 1 })) : past.runs;
        return await this.release({ ...past, userId: one.by === "own" ? past.userId : another(past.userId) }, runs);
      }
      case "release what never was":
        return await this.release(one.who, one.runs);
      case "give back": {
        const past = this.pastOf(one.known);
        const hold = past && model.holds.get(past.holdId);
        if (!past || !hold || hold.expiresAtMs !== 0) return;
        const mine = seatsOf(past.runs).filter(({ section, index }) => {
          const seat = model.seats.get(keyOf(section, index));
          return seat?.state === "sold" && seat.holdId === past.holdId;
        });
        const runs = runsOf(layout, mine.slice(0, one.seats));
        const ends = mine.length <= one.seats;
        const freed = model.free(past.holdId, model.of(runs), ["held", "sold"]);
        expect(await valkey.seats.release(generation, { ...past, what: "claim", ends }, runs)).toBe(freed);
        hold.seats -= freed;
        if (ends) model.end(past.holdId);
        else if (hold.seats <= 0) model.holds.delete(past.holdId);
        return;
      }
      case "block": {
        const seats = model.of(one.runs);
        const blockId = blockIdOf(one.block);
        const taken = seats.flatMap((seat, at) =>
          model.isFree(seat) || (seat.state === "blocked" && seat.holdId === blockId) ? [] : [at],
        );
        const answer = insisted(await valkey.seats.block(generation, blockId, one.runs));
        if (taken.length > 0) return expect(answer).toEqual({ kind: "taken", ordinals: taken });
        expect(answer).toEqual({ kind: "ok" });
        for (const seat of seats) Object.assign(seat, { state: "blocked", holdId: blockId, expiresAtMs: 0 });
        return;
      }
      case "unblock": {
        const freed = model.free(blockIdOf(one.block), model.of(one.runs), ["blocked"]);
        expect(await valkey.seats.unblock(generation, blockIdOf(one.block), one.runs)).toBe(freed);
        return;
      }
      case "assign": {
        this.version += 1;
        expect(await valkey.seats.assign(generation, this.version, one.pool, one.runs)).toBe("ok");
        for (const seat of model.of(one.runs)) seat.pool = one.pool;
        return;
      }
      case "time passes":
        return await this.pass(one.ms);
      case "sweep":
        return await this.sweep(one.most);
    }
  }
  private pastOf = (at: number) => this.model.past[at % Math.max(1, this.model.past.length)];

  private async hold(
    who: { holdId: string; userId: string },
    runs: readonly Run[],
    pool: number,
    code: (typeof codes)[number],
  ) {
    const { model, generation } = this;
    const terms = { holdId: who.holdId, userId: who.userId, pool, code, limit, onSaleAtMs: 0, offSaleAtMs: 9e12 };
    const wanted = countOf(runs);
    const text = writeRuns(runs);
    const answer = insisted(await valkey.seats.hold(generation, terms, runs, text));
    if (this.isKnown(who.holdId, answer)) return;
    const seats = model.of(runs);
    const taken = seats.flatMap((seat, at) => (seat.pool === pool && model.isFree(seat) ? [] : [at]));
    const own = taken.filter((at) => model.holds.get(seats[at]?.holdId ?? "")?.userId === who.userId);
    if (taken.length > 0) return expect(answer).toEqual({ kind: "taken", ordinals: taken, own });
    if (this.isOverLimit(terms, wanted, answer)) return;
    expect(answer).toMatchObject({ kind: "held", runs: text });
    this.note(answer as { deadlineMs: number }, terms, runs);
  }

  private async places(
    who: { holdId: string; userId: string },
    wanted: number,
    pool: number,
    code: (typeof codes)[number],
  ) {
    const { model, generation } = this;
    const terms = { ...who, pool, code, limit, onSaleAtMs: 0, offSaleAtMs: 9e12 };
    const answer = insisted(await valkey.seats.holdPlaces(generation, terms, floor, wanted));
    if (this.isKnown(who.holdId, answer)) return;
    if (this.isOverLimit(terms, wanted, answer)) return;
    const ofPool = model.of([{ section: floor, start: 0, length: floor.seats }]).filter((seat) => seat.pool === pool);
    if (answer.kind === "short") {
      // Those of holds that have expired count when they come by, and surely once they are cleared away.
      expect(answer.free).toBeLessThan(wanted);
      expect(answer.free).toBeGreaterThanOrEqual(ofPool.filter(({ state }) => state === "free").length);
      expect(answer.free).toBeLessThanOrEqual(ofPool.filter(model.isFree).length);
      return;
    }
    if (answer.kind !== "held") return expect(answer.kind).toBe("held");
    const runs = readRuns(layout, answer.runs);
    expect(countOf(runs)).toBe(wanted);
    expect(writeRuns(runsOf(layout, seatsOf(runs)))).toBe(answer.runs);
    for (const seat of model.of(runs)) expect([seat.pool, model.isFree(seat)]).toEqual([pool, true]);
    this.note(answer, terms, runs);
  }

  /** What is known of a hold is all that is said. */
  private isKnown(holdId: string, answer: { kind: string }): boolean {
    const hold = this.model.holds.get(holdId);
    if (!hold && !this.model.ended.has(holdId)) return false;
    expect(answer.kind).toBe("known");
    const said = (answer as { hold?: { state: string; deadlineMs: number; runs: string } }).hold;
    if (this.model.ended.has(holdId)) expect(said).toBeUndefined();
    else
      expect(said).toMatchObject({
        state: hold?.expiresAtMs === 0 ? "sold" : "held",
        deadlineMs: hold?.deadlineMs,
        runs: hold?.runs,
      });
    return true;
  }
  private isOverLimit(
    terms: { userId: string; code: (typeof codes)[number] },
    wanted: number,
    answer: object,
  ): boolean {
    const has = this.model.has(terms.userId);
    const used = terms.code ? this.model.used(terms.code.codeId) : 0;
    if (has + wanted > limit) expect(answer).toEqual({ kind: "limit", has });
    else if (terms.code && terms.code.limit > 0 && used + wanted > terms.code.limit)
      expect(answer).toEqual({ kind: "code-limit", has: used });
    else return false;
    return true;
  }
  private note(
    { deadlineMs }: { deadlineMs: number },
    { holdId, userId, code, pool }: { holdId: string; userId: string; pool: number; code: (typeof codes)[number] },
    runs: readonly Run[],
  ) {
    expect(Math.abs(deadlineMs - ttlMs - Date.now())).toBeLessThan(20_000);
    const hold = {
      holdId,
      userId,
      seats: countOf(runs),
      deadlineMs,
      expiresAtMs: deadlineMs + marginMs,
      codeId: code?.codeId,
    };
    this.model.take({ ...hold, runs: writeRuns(runs) }, runs, "held");
    this.model.past.push({ holdId, userId, runs, deadlineMs, pool });
  }

  private async confirm(
    one: { holdId: string; userId: string; runs: readonly Run[] },
    epoch: number,
    deadlineMs: number,
  ) {
    const { model, generation } = this;
    const { holdId, userId, runs } = one;
    const hold = model.holds.get(holdId)?.userId === userId ? model.holds.get(holdId) : undefined;
    const present = hold?.deadlineMs ?? deadlineMs;
    const asked = { holdId, userId, epoch, deadlineMs: present, limit };
    const answer = insisted(await valkey.seats.fence(generation, asked, runs, writeRuns(runs)));
    const seats = model.of(runs);
    const own = (seat: ModelSeat) => seat.holdId === holdId && (seat.state === "sold" || seat.state === "held");
    const expect1 = (kind: string) => expect([kind, answer.kind]).toEqual([kind, kind]);
    if (model.ended.has(holdId)) return expect1("ended");
    if (hold && hold.expiresAtMs !== 0 && hold.expiresAtMs <= Date.now()) return expect1("lapsed");
    const taken = seats.flatMap((seat, at) => (own(seat) || model.isFree(seat) ? [] : [at]));
    if (taken.length > 0) return expect(answer).toEqual({ kind: "taken", ordinals: taken });
    if (!hold && seats.some(own)) return expect1("ended");
    const missing = seats.some((seat) => !own(seat));
    if (missing && !(epoch < 1 && present + marginMs >= Date.now())) return expect1("lapsed");
    if (missing && model.has(userId, holdId) + countOf(runs) > limit) return expect1("lapsed");
    expect(answer).toEqual({ kind: "ok", takenAgain: missing, codeId: hold?.codeId });
    const held = seats.filter((seat) => seat.state === "held" && own(seat));
    const soonest = Math.min(...held.map(({ expiresAtMs }) => expiresAtMs));
    if (missing || soonest < Date.now() + 30_000) {
      const record = readRecordOf(
        await this.recordsOf(),
        seats.findIndex((seat) => seat.state !== "sold"),
        runs,
      );
      const expiresAtMs = record.expiresAtMs;
      expect(expiresAtMs).toBeGreaterThanOrEqual(present + marginMs);
      expect(expiresAtMs).toBeLessThan(Math.max(present + marginMs, Date.now() + 30_000) + 1);
      for (const seat of seats) if (seat.state !== "sold") Object.assign(seat, { state: "held", holdId, expiresAtMs });
      const entry = { holdId, userId, seats: countOf(runs), deadlineMs: present, expiresAtMs, codeId: hold?.codeId };
      model.holds.set(holdId, { ...entry, runs: writeRuns(runs) });
      if (!hold) model.past.push({ holdId, userId, runs, deadlineMs: present, pool: 0 });
    }
    await this.settle(one, hold?.codeId, false);
  }

  private async settle(
    { holdId, userId, runs }: { holdId: string; userId: string; runs: readonly Run[] },
    codeId: string | undefined,
    askedNow: boolean,
  ) {
    const { model, generation } = this;
    const known = model.holds.get(holdId);
    const owner = { holdId, userId, codeId, seats: countOf(runs), askedNow };
    expect(await valkey.seats.settle(generation, owner, runs)).toBe(true);
    const entry = { holdId, userId, seats: countOf(runs), deadlineMs: known?.deadlineMs ?? 0, expiresAtMs: 0 };
    model.take({ ...entry, codeId: known?.codeId ?? codeId, runs: known?.runs ?? writeRuns(runs) }, runs, "sold");
    if (!model.past.some((past) => past.holdId === holdId))
      model.past.push({ holdId, userId, runs, deadlineMs: Date.now() + ttlMs, pool: 0 });
  }

  private async release({ holdId, userId }: { holdId: string; userId: string }, runs: readonly Run[]) {
    const { model, generation } = this;
    const hold = model.holds.get(holdId)?.userId === userId ? model.holds.get(holdId) : undefined;
    const answer = await valkey.seats.release(generation, { holdId, userId, what: "hold", ends: true }, runs);
    if (hold?.expiresAtMs === 0) return expect(answer).toBe(0);
    if (!hold) {
      expect(answer).toBe(0);
      if (!model.of(runs).some((seat) => seat.holdId === holdId)) model.ended.add(holdId);
      return;
    }
    expect(answer).toBe(model.free(holdId, [...model.seats.values()], ["held"]));
    model.end(holdId);
  }

  /** All that is written with a time is put so much nearer. */
  private async pass(ms: number) {
    const { model } = this;
    const nearer = (at: number) => (at === 0 ? 0 : Math.max(1, at - ms));
    for (const seat of model.seats.values()) seat.expiresAtMs = nearer(seat.expiresAtMs);
    for (const hold of model.holds.values())
      Object.assign(hold, { expiresAtMs: nearer(hold.expiresAtMs), deadlineMs: nearer(hold.deadlineMs) });
    for (const past of model.past) past.deadlineMs = nearer(past.deadlineMs);

    const [people, queue, late, ...records] = await Promise.all([
      redis.hgetallBuffer(this.key("u")),
      redis.lrangeBuffer(this.key("q"), "0", "-1"),
      redis.zrange(this.key("d"), "0", "-1", "WITHSCORES"),
      ...layout.sections.map(({ sectionId }) => redis.getBuffer(this.key(`r:${sectionId}`))),
    ]);
    const pipeline = redis.pipeline();
    for (const [userId, entries] of Object.entries(people)) {
      const moved = readEntries(entries).map((entry) =>
        writeEntry({ ...entry, deadlineMs: nearer(entry.deadlineMs), expiresAtMs: nearer(entry.expiresAtMs) }),
      );
      pipeline.hset(this.key("u"), userId, Buffer.concat(moved));
    }
    for (const [at, item] of queue.entries()) {
      item.writeUIntBE(nearer(item.readUIntBE(0, 6)), 0, 6);
      pipeline.lset(this.key("q"), String(at), item);
    }
    for (let at = 0; at < late.length; at += 2)
      pipeline.zadd(this.key("d"), String(nearer(Number(late[at + 1]))), late[at] as string);
    for (const [at, { sectionId, seats }] of layout.sections.entries()) {
      const moved = records[at] as Buffer;
      for (let index = 0; index < seats; index++) {
        const record = readRecord(moved, index);
        writeRecord(moved, index, { ...record, expiresAtMs: nearer(record.expiresAtMs) });
      }
      pipeline.set(this.key(`r:${sectionId}`), moved);
    }
    await pipeline.exec();
  }

  private async sweep(most: number) {
    const { model, generation } = this;
    const lapsed = model.lapsed();
    let cleared = 0;
    for (let more = true; more; ) {
      const answer = await valkey.seats.sweep(generation, most);
      cleared += answer?.cleared ?? 0;
      more = answer?.more ?? false;
    }
    expect(cleared).toBe(lapsed.length);
    for (const { holdId } of lapsed) {
      model.free(holdId, [...model.seats.values()], ["held"]);
      model.end(holdId);
    }
  }

  private async recordsOf() {
    const read = await Promise.all(layout.sections.map(({ sectionId }) => redis.getBuffer(this.key(`r:${sectionId}`))));
    return new Map(layout.sections.map((section, at) => [section, read[at] as Buffer]));
  }

  async compare() {
    const { model, generation } = this;
    const [records, read, people, counts] = await Promise.all([
      this.recordsOf(),
      valkey.read.maps(generation, layout.sections),
      redis.hgetallBuffer(this.key("u")),
      redis.hgetall(this.key("c")),
    ]);
    const seats = layout.sections.flatMap((section, nth) =>
      Array.from({ length: section.seats }, (_, index) => ({
        seat: keyOf(section, index),
        ...readRecord(records.get(section) as Buffer, index),
        shown: stateAt(read?.maps[nth] as Buffer, index),
      })),
    );
    expect(seats).toEqual(
      [...model.seats].map(([seat, { state, ...record }]) => {
        const shown = state === "free" && record.pool !== 0 ? seatStates.blocked : seatStates[state];
        return { seat, ...record, state: seatStates[state], shown };
      }),
    );
    expect([...records].map(([section, { length }]) => length - section.seats * recordBytes)).toEqual([0, 0, 0]);
    const found = Object.entries(people).flatMap(([userId, entries]) =>
      readEntries(entries).map((entry) => ({ userId, ...entry })),
    );
    const byId = (a: { holdId: string }, b: { holdId: string }) => (a.holdId < b.holdId ? -1 : 1);
    const held = [...model.holds.values()].map((hold) => ({ ...hold, userId: personOf(hold.userId) }));
    expect(found.sort(byId)).toEqual(held.sort(byId));
    for (const { codeId } of codes.flatMap((one) => one ?? []))
      expect([codeId, Number(counts[codeId] ?? 0)]).toEqual([codeId, model.used(codeId)]);
    const ended = [...model.ended];
    if (ended.length > 0)
      expect(await redis.exists(...ended.map((holdId) => `{${generation.eventId}}:x:${holdId}`))).toBe(ended.length);
  }

  /** Whatever is free can be had, to the last place, and nothing else. */
  async sellOut() {
    const { model, generation } = this;
    const everyone = [0, 1, 2].map(async (pool) => {
      const terms = (buyer: number) => ({
        holdId: `ee0000000000${pool}00${buyer}`,
        userId: `acc_late${buyer}`,
        pool,
        limit: 99,
        onSaleAtMs: 0,
        offSaleAtMs: 9e12,
      });
      const free = layout.sections.map((section) =>
        Array.from({ length: section.seats }, (_, index) => ({ section, index })).filter((seat) => {
          const { state, pool: its } = model.seats.get(keyOf(section, seat.index)) as ModelSeat;
          return state === "free" && its === pool;
        }),
      );
      const places = free.pop()?.length ?? 0;
      const runs = runsOf(layout, free.flat());
      const answers = await Promise.all([
        ...(runs.length > 0 ? [valkey.seats.hold(generation, terms(1), runs, writeRuns(runs))] : []),
        ...(places > 0 ? [valkey.seats.holdPlaces(generation, terms(2), floor, places)] : []),
        valkey.seats.holdPlaces(generation, terms(3), floor, 1),
      ]);
      expect(answers.pop()).toEqual({ kind: "short", free: 0 });
      expect(answers.filter((answer) => answer?.kind !== "held")).toEqual([]);
    });
    await Promise.all(everyone);
  }

  async forget() {
    await valkey.epochs.forget(this.generation.eventId, 1, layout.sections);
    await redis.unlink(`{${this.generation.eventId}}:epoch`, this.key("g:FLOOR:1"), this.key("g:FLOOR:2"));
  }
}

const another = (userId: string) =>
  users[(users.indexOf(userId as (typeof users)[number]) + 1) % users.length] as string;

function readRecordOf(records: ReadonlyMap<SectionPlan, Buffer>, ordinal: number, runs: readonly Run[]): SeatRecord {
  const { section, index } = seatsOf(runs)[ordinal] as { section: SectionPlan; index: number };
  return readRecord(records.get(section) as Buffer, index);
}

test(`${histories} random histories end as a simple model of them does`, { timeout: 120_000 }, async () => {
  console.log(`model: MODEL_SEED=${seed}`);
  const property = fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 40 }), async (steps) => {
    const history = await History.begin();
    for (const one of steps) await history.take(one);
    await history.compare();
    await history["sweep"](100);
    await history.compare();
    await history.sellOut();
    await history.forget();
  });
  await Promise.all(
    Array.from({ length: lanes }, (_, lane) =>
      fc.assert(property, { seed: seed + lane, numRuns: Math.ceil(histories / lanes) }),
    ),
  );
});
