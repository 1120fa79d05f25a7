// Which generation of an event's seats in Valkey may be trusted, and how one is made anew from the claims.

/*
 * Valkey may lose what it acknowledged: when it is flushed, restarts with an older file, or a replica takes over that had not
 * heard everything. The rule is simple. Beside an event's seats stands a marker with their epoch and the server life (run_id) in
 * which they were made or checked. A process uses seats only if
 *
 *   1. the marker names the life of the server that this connection leads to, so nothing was lost since;
 *   2. its epoch is not below the event's in MongoDB, so that it is not an abandoned copy;
 *   3. it is open.
 *
 * Otherwise it makes a new generation, and until that is open holds are refused with INVENTORY_REBUILDING:
 *
 *   a. raise the epoch in MongoDB; read the claims; write the seats under keys of the new epoch, which nobody reads yet;
 *   b. put the marker to the new epoch, closed. From here on, whoever has written a claim marks it sold in the new epoch;
 *   c. read the claims again, and put right what has changed since (a): a claim written before this read is in it, and one written
 *      after it is marked by its writer, because that comes after (b);
 *   d. bring over the holds of the earlier epoch that have survived, where their seats are free;
 *   e. open.
 *
 * Two processes that do this at once do no harm: their epochs differ, the higher one wins at (b), and the other fails at (e).
 */
import { randomUUID } from "node:crypto";
import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import type { EventRecord } from "./events.js";
import { findSeat, type Layout, nameSeat, runsOf, writeRuns } from "./layout.js";
import { drawSection, readRecord, type Sold, seatStates } from "./seat-map.js";
import type { Claim, Store } from "./store.js";
import type { Generation, Marker, Valkey } from "./valkey.js";
import { writeMarker } from "./valkey.js";

export interface GenerationDependencies {
  readonly store: Store;
  readonly valkey: Valkey;
  readonly layoutOf: (layoutVersion: string) => Promise<Layout>;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface Generations {
  /** The one to use now. Throws INVENTORY_REBUILDING when there is none, and sees to it that there will be; UNAVAILABLE without Valkey. */
  current(event: EventRecord): Promise<Generation>;
  /** A script has found another marker than the one we believed in. */
  distrust(generation: Generation): void;
  /** Waits until there is one, making it if necessary. */
  ensure(event: EventRecord, withinMs: number): Promise<void>;
  /** Marks claimed seats as sold in whichever generation is there, open or not. False: none is there, so the next one will be made with them. */
  settle(event: EventRecord, claims: readonly Claim[], how: { askedNow: boolean }): Promise<boolean>;
  /** Frees seats whose claims are gone, likewise. */
  free(event: EventRecord, checkout: Checkout, seatIds: readonly string[], how: { ends: boolean }): Promise<void>;
  /** Compares seats and claims, and puts right what differs. Answers how many seats did. */
  reconcile(event: EventRecord): Promise<number>;
  /** Events whose seats were used by this process lately. */
  used(): readonly { readonly event: EventRecord; readonly generation: Generation }[];
}

interface Checkout {
  readonly holdId: string;
  readonly userId: string;
}

const mostEventsInUse = 2_000;
const lockMs = 15_000;
/** So that a crowd of refused requests does not ask for the lock each by itself. */
const pauseBetweenTriesMs = 100;
const adoptedAtOnce = 50;

export const rebuilding = (): DomainError =>
  new DomainError(
    "INVENTORY_REBUILDING",
    "The seats of this event are being restored after a failure. Nothing is lost; please try again in a moment.",
    { retryAfterSeconds: 1 },
  );

export type MarkerVerdict = "trusted" | "being made" | "lost";

/** The three rules. */
export function judgeMarker(marker: Marker | undefined, serverLife: string, leastEpoch: number): MarkerVerdict {
  if (!marker || marker.serverLife !== serverLife || marker.epoch < leastEpoch) return "lost";
  return marker.open ? "trusted" : "being made";
}

export function createGenerations(dependencies: GenerationDependencies): Generations {
  const { store, valkey, layoutOf, log, metrics } = dependencies;
  const rebuilds = metrics.counter("onsale_seat_rebuilds_total", "Generations of seats made anew, by outcome", [
    "outcome",
  ]);
  const rebuildSeconds = metrics.histogram("onsale_seat_rebuild_seconds", "Time to make seats anew from the claims");
  const corrections = metrics.counter("onsale_seat_corrections_total", "Seats in Valkey put right by the claims", [
    "what",
  ]);
  const inUse = new Map<string, { event: EventRecord; generation: Generation }>();
  const making = new Map<string, Promise<unknown>>();

  function trusted(event: EventRecord): Generation | undefined {
    const known = inUse.get(event.eventId)?.generation;
    return known && known.connection === valkey.connection() && known.epoch >= event.epoch ? known : undefined;
  }

  async function look(eventId: string, leastEpoch: number) {
    const life = await valkey.life();
    const marker = await valkey.marker(eventId);
    return { life, marker, verdict: judgeMarker(marker, life.serverLife, leastEpoch) };
  }

  function use(event: EventRecord, marker: Marker, connection: number): Generation {
    const generation = { eventId: event.eventId, epoch: marker.epoch, marker: writeMarker(marker), connection };
    inUse.delete(event.eventId); // to the end: the first ones are those used longest ago
    inUse.set(event.eventId, { event, generation });
    if (inUse.size > mostEventsInUse) inUse.delete(inUse.keys().next().value as string);
    return generation;
  }

  /** Makes a new generation, unless another process is at it. At most one at a time here. */
  function make(event: EventRecord): Promise<unknown> {
    const { eventId } = event;
    const running = making.get(eventId);
    if (running) return running;
    const work = rebuild(event)
      .catch((err: unknown) => {
        rebuilds.inc({ outcome: "failed" });
        log.warn({ err, eventId }, "the seats of an event could not be restored; it will be tried again");
      })
      .finally(() => {
        setTimeout(() => making.delete(eventId), pauseBetweenTriesMs).unref();
      });
    making.set(eventId, work);
    return work;
  }

  async function rebuild(event: EventRecord): Promise<void> {
    const { eventId } = event;
    const token = randomUUID();
    if (!(await valkey.lock(eventId, "rebuild", token, lockMs))) return;
    const end = rebuildSeconds.startTimer();
    const renewal = setInterval(() => {
      valkey.renewLock(eventId, "rebuild", token, lockMs).catch(() => undefined);
    }, lockMs / 3);
    try {
      const stored = (await store.findEvent(eventId))?.event;
      if (!stored) return;
      const { life, marker: old, verdict } = await look(eventId, stored.epoch);
      if (verdict === "trusted") return; // another process was quicker
      const layout = await layoutOf(stored.layoutVersion);
      const epoch = await store.raiseEpoch(eventId, old?.epoch ?? 0);
      if (epoch === undefined) return;

      const first = await store.allClaims(eventId); // (a)
      await valkey.draw(eventId, epoch, drawSections(layout, first), describePeople(first));
      const before = old?.open ? old.epoch : (old?.before ?? 0);
      const marker: Marker = { epoch, open: false, serverLife: life.serverLife, before };
      if (!(await valkey.begin(eventId, marker))) return void rebuilds.inc({ outcome: "overtaken" }); // (b)
      const closed: Generation = { eventId, epoch, marker: writeMarker(marker), connection: life.connection };

      const corrected = await catchUp(stored, layout, closed, first); // (c)
      let adopted = 0;
      for (const from of new Set([before, old?.epoch ?? 0].filter((past) => past > 0))) {
        const holds = await valkey.holdsByExpiry(eventId, from); // (d)
        for (let at = 0; at < holds.length; at += adoptedAtOnce)
          adopted += (await valkey.adopt(closed, holds.slice(at, at + adoptedAtOnce))) ?? 0;
      }
      if (life.connection !== valkey.connection()) throw new Error("the connection to Valkey broke meanwhile");
      if (!(await valkey.open(eventId, marker, layout.sections))) return void rebuilds.inc({ outcome: "overtaken" }); // (e)
      rebuilds.inc({ outcome: "opened" });
      log.info(
        { eventId, epoch, claims: first.length, corrected, holds: adopted },
        "the seats of an event are restored",
      );
      for (const past of new Set([before, old?.epoch ?? 0]))
        if (past > 0) await valkey.forget(eventId, past, layout.sections);
    } finally {
      clearInterval(renewal);
      end();
      await valkey.renewLock(eventId, "rebuild", token, 0).catch(() => undefined);
    }
  }

  /** What changed among the claims while the new generation was written. */
  async function catchUp(
    event: EventRecord,
    layout: Layout,
    closed: Generation,
    first: readonly Claim[],
  ): Promise<number> {
    const { eventId } = event;
    const before = new Map(first.map((claim) => [claim.seatId, claim]));
    const now = await store.allClaims(eventId);
    const added = now.filter((claim) => before.get(claim.seatId)?.holdId !== claim.holdId);
    for (const claim of now) if (before.get(claim.seatId)?.holdId === claim.holdId) before.delete(claim.seatId);
    // What is left in `before` is gone, and either its releaser has freed it in the new generation or we do.
    for (const gone of before.values()) await freeIn(closed, layout, gone, [gone.seatId], false);
    await markSold(closed, layout, added, true);
    await freeVanished(eventId, layout, closed, added);
    return added.length + before.size;
  }

  /** Claims that were given back while we marked them sold: their releaser may have come before us. */
  async function freeVanished(eventId: string, layout: Layout, generation: Generation, marked: readonly Claim[]) {
    if (marked.length === 0) return;
    const still = new Map(
      (
        await store.claimsFor(
          eventId,
          marked.map(({ seatId }) => seatId),
        )
      ).map((claim) => [claim.seatId, claim.holdId]),
    );
    for (const claim of marked)
      if (still.get(claim.seatId) !== claim.holdId) await freeIn(generation, layout, claim, [claim.seatId], false);
  }

  /** False: the generation has been replaced. */
  async function markSold(
    generation: Generation,
    layout: Layout,
    claims: readonly Claim[],
    askedNow: boolean,
  ): Promise<boolean> {
    for (const [holdId, owned] of groupByHold(claims)) {
      const runs = runsOf(
        layout,
        owned.flatMap(({ seatId }) => findSeat(layout, seatId) ?? []),
      );
      if (runs.length === 0) continue;
      const userId = owned[0]?.userId ?? "";
      const owner = { holdId, userId, seats: owned.length, askedNow };
      if (!(await valkey.settle(generation, owner, runs, writeRuns(runs)))) return false;
    }
    return true;
  }

  async function freeIn(
    generation: Generation,
    layout: Layout,
    { holdId, userId }: Checkout,
    seatIds: readonly string[],
    ends: boolean,
  ): Promise<boolean> {
    const runs = runsOf(
      layout,
      seatIds.flatMap((seatId) => findSeat(layout, seatId) ?? []),
    );
    return (await valkey.release(generation, { holdId, userId, what: "claim", ends }, runs)) !== undefined;
  }

  /** Does it in whichever generation is there, also a closed one; again when that has just been replaced. */
  async function inPresent(event: EventRecord, act: (generation: Generation) => Promise<boolean>): Promise<boolean> {
    for (let tries = 0; tries < 5; tries++) {
      const life = await valkey.life();
      const marker = await valkey.marker(event.eventId);
      // Nothing there, or nothing that will be used: whatever comes will be made from the claims as they are by then.
      if (!marker || marker.serverLife !== life.serverLife) return false;
      const { connection } = life;
      if (await act({ eventId: event.eventId, epoch: marker.epoch, marker: writeMarker(marker), connection }))
        return true;
    }
    throw new DomainError("UNAVAILABLE", "The seats are being restored again and again. Please try again in a moment.");
  }

  const generations: Generations = {
    async current(event) {
      const known = trusted(event);
      if (known) return known;
      const { life, marker, verdict } = await look(event.eventId, event.epoch);
      if (verdict === "trusted" && marker) return use(event, marker, life.connection);
      void make(event);
      throw rebuilding();
    },

    distrust(generation) {
      if (inUse.get(generation.eventId)?.generation === generation) inUse.delete(generation.eventId);
    },

    async ensure(event, withinMs) {
      const until = Date.now() + withinMs;
      for (;;) {
        try {
          return void (await generations.current(event));
        } catch (error) {
          const building = error instanceof DomainError && error.code === "INVENTORY_REBUILDING";
          if (!building || Date.now() > until) throw error;
        }
        await making.get(event.eventId);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },

    async settle(event, claims, { askedNow }) {
      const layout = await layoutOf(event.layoutVersion);
      return await inPresent(event, (generation) => markSold(generation, layout, claims, askedNow));
    },

    async free(event, checkout, seatIds, { ends }) {
      const layout = await layoutOf(event.layoutVersion);
      await inPresent(event, (generation) => freeIn(generation, layout, checkout, seatIds, ends));
    },

    async reconcile(event) {
      const { eventId } = event;
      const layout = await layoutOf(event.layoutVersion);
      const generation = await generations.current(event);
      // Valkey first: a seat was marked sold only after its claim was there, so one without a claim now has lost it since.
      const sold = new Map<string, string>();
      for (const section of layout.sections) {
        const records = await valkey.records(generation, section);
        if (!records) return 0; // replaced: the new one was made from the claims
        for (let index = 0; index < section.seats; index++) {
          const { state, holdId } = readRecord(records, index);
          if (state === seatStates.sold) sold.set(nameSeat({ section, index }).seatId, holdId);
        }
      }
      const claims = await store.allClaims(eventId);
      const missing = claims.filter((claim) => sold.get(claim.seatId) !== claim.holdId);
      for (const { seatId } of claims) sold.delete(seatId);
      for (const [seatId, holdId] of sold) await freeIn(generation, layout, { holdId, userId: "" }, [seatId], false);
      const ofHolds = new Set(missing.map(({ holdId }) => holdId));
      const whole = claims.filter(({ holdId }) => ofHolds.has(holdId)); // settle counts all seats of a hold
      await markSold(generation, layout, whole, true);
      await freeVanished(eventId, layout, generation, whole);
      corrections.inc({ what: "freed" }, sold.size);
      corrections.inc({ what: "sold" }, missing.length);
      return sold.size + missing.length;
    },

    used: () => [...inUse.values()],
  };
  return generations;
}

function groupByHold(claims: readonly Claim[]): Map<string, Claim[]> {
  const groups = new Map<string, Claim[]>();
  for (const claim of claims) {
    const group = groups.get(claim.holdId);
    if (group) group.push(claim);
    else groups.set(claim.holdId, [claim]);
  }
  return groups;
}

function drawSections(layout: Layout, claims: readonly Claim[]) {
  const sold = new Map<string, Sold[]>(layout.sections.map(({ sectionId }) => [sectionId, []]));
  for (const { seatId, holdId } of claims) {
    const seat = findSeat(layout, seatId);
    if (seat) sold.get(seat.section.sectionId)?.push({ index: seat.index, holdId });
  }
  return layout.sections.map((section) => drawSection(section, sold.get(section.sectionId) ?? []));
}

/** As the scripts keep it: user → "hold:seats:0;…". */
function describePeople(claims: readonly Claim[]): Map<string, string> {
  const people = new Map<string, string>();
  for (const [holdId, owned] of groupByHold(claims)) {
    const userId = owned[0]?.userId ?? "";
    people.set(userId, `${people.get(userId) ?? ""}${holdId}:${owned.length}:0;`);
  }
  return people;
}
