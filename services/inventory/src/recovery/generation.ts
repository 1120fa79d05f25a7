// Which generation of an event's seats in Valkey may be trusted, and how one is made anew from the claims.

/*
 * Valkey may lose what it acknowledged: when it is flushed, restarts with an older file, or a replica takes over that had not
 * heard everything. The rule is simple. Beside an event's seats stands a marker with their epoch and the life (see kit/src/redis.ts)
 * of the server on which they were made or checked. A process uses seats only if
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
import { type Allotments, poolsOf } from "../channels/channel.js";
import type { ChannelStore } from "../channels/channel-store.js";
import type { EventStore } from "../events/event-store.js";
import type { EventRecord } from "../events/events.js";
import { findSeat, type Layout, nameSeat, type Run, runsOf, writeRuns } from "../hall/layout.js";
import {
  drawSection,
  readRecord,
  type SeatRecord,
  type SectionImage,
  type Sold,
  seatStates,
  writeEntry,
} from "../hall/seat-map.js";
import type { BlockStore } from "../seats/block-store.js";
import type { Claim, ClaimStore } from "../seats/claim-store.js";
import type { Generation, Marker, Valkey } from "../valkey/valkey.js";
import { writeMarker } from "../valkey/valkey.js";

export interface GenerationDependencies {
  readonly store: {
    readonly blocks: BlockStore;
    readonly channels: ChannelStore;
    readonly claims: ClaimStore;
    readonly events: EventStore;
  };
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
  /** Frees seats that a block has given back, likewise. */
  unblock(event: EventRecord, holdId: string, seatIds: readonly string[]): Promise<void>;
  /** Compares seats and claims, and puts right what differs: how many seats there are, and how many did. */
  reconcile(event: EventRecord): Promise<{ readonly seats: number; readonly corrected: number }>;
  /** The same for some seats, where there is a generation at all; how many differed. Cheap when none does: MongoDB is not asked then. */
  align(event: EventRecord, expected: readonly ExpectedSeat[]): Promise<number>;
  /** Events whose seats were used by this process lately. */
  used(): readonly { readonly event: EventRecord; readonly generation: Generation }[];
}

/** What is thought of a seat: claimed by this hold, or by none. */
export interface ExpectedSeat {
  readonly seatId: string;
  readonly holdId: string | undefined;
}

interface Checkout {
  /** "block": an organiser's; then the seats are blocked, not sold. */
  readonly kind?: "block" | undefined;
  readonly holdId: string;
  readonly userId: string;
  /** The code that the seats were bought with. */
  readonly codeId?: string | undefined;
}

const mostEventsInUse = 2_000;
const lockMs = 15_000;
/** So that a crowd of refused requests does not ask for the lock each by itself. */
const pauseBetweenTriesMs = 100;
/** A block that has got no claims for so long never will: whoever made it is gone. */
const blockingMs = 60_000;

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
  const rebuilds = metrics.counter(
    "onsale_seat_rebuilds_total",
    "Generations of seats made anew, by outcome",
    ["outcome"],
    [{ outcome: "opened" }, { outcome: "overtaken" }, { outcome: "failed" }],
  );
  const rebuildSeconds = metrics.histogram("onsale_seat_rebuild_seconds", "Time to make seats anew from the claims");
  const corrections = metrics.counter(
    "onsale_seat_corrections_total",
    "Seats in Valkey put right by the claims",
    ["what"],
    [{ what: "freed" }, { what: "claimed" }],
  );
  const inUse = new Map<string, { event: EventRecord; generation: Generation }>();
  const making = new Map<string, Promise<unknown>>();

  function trusted(event: EventRecord): Generation | undefined {
    const known = inUse.get(event.eventId)?.generation;
    return known && known.connection === valkey.connection(event.eventId) && known.epoch >= event.epoch
      ? known
      : undefined;
  }

  async function look(eventId: string, leastEpoch: number) {
    const life = await valkey.life(eventId);
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
      const stored = (await store.events.find(eventId))?.event;
      if (!stored) return;
      const { life, marker: old, verdict } = await look(eventId, stored.epoch);
      if (verdict === "trusted") return; // another process was quicker
      const layout = await layoutOf(stored.layoutVersion);
      const epoch = await store.events.raiseEpoch(eventId, old?.epoch ?? 0);
      if (epoch === undefined) return;

      const first = await store.claims.all(eventId); // (a)
      // Should the channels change from here on, whoever changes them, or the upkeep, finds their version in Valkey too low.
      const allotments = await store.channels.of(eventId);
      const images = drawSections(layout, first, allotments);
      await valkey.draw(
        eventId,
        epoch,
        images,
        describePeople(layout, first),
        describeCodes(first),
        allotments.version,
      );
      const before = old?.open ? old.epoch : (old?.before ?? 0);
      const marker: Marker = { epoch, open: false, serverLife: life.serverLife, before };
      if (!(await valkey.begin(eventId, marker))) return void rebuilds.inc({ outcome: "overtaken" }); // (b)
      const closed: Generation = { eventId, epoch, marker: writeMarker(marker), connection: life.connection };

      const corrected = await catchUp(stored, layout, closed, first); // (c)
      let adopted = 0;
      for (const from of new Set([before, old?.epoch ?? 0].filter((past) => past > 0))) {
        adopted += (await valkey.adopt(closed, from)) ?? 0; // (d)
      }
      if (life.connection !== valkey.connection(eventId)) throw new Error("the connection to Valkey broke meanwhile");
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
    const now = await store.claims.all(eventId);
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
        await store.claims.forSeats(
          eventId,
          marked.map(({ seatId }) => seatId),
        )
      ).map((claim) => [claim.seatId, claim.holdId]),
    );
    for (const claim of marked)
      if (still.get(claim.seatId) !== claim.holdId) await freeIn(generation, layout, claim, [claim.seatId], false);
  }

  /**
   * Makes seats what the claims say. `claimed`: those that Valkey has as claimed, and by which hold, read before the claims were.
   * How many seats differed.
   */
  async function putRight(
    eventId: string,
    layout: Layout,
    generation: Generation,
    claimed: ReadonlyMap<string, string>,
    claims: readonly Claim[],
  ): Promise<number> {
    const missing = claims.filter((claim) => claimed.get(claim.seatId) !== claim.holdId);
    const owned = new Map(claims.map((claim) => [claim.seatId, claim]));
    const gone = [...claimed].filter(([seatId, holdId]) => {
      const owner = owned.get(seatId);
      // A block takes no seat that looks sold, so that one is freed before.
      return !owner || (owner.kind === "block" && owner.holdId !== holdId);
    });
    const coming = await pendingBlocks(eventId, gone);
    let kept = 0;
    const people =
      gone.length === 0 ? undefined : await valkey.peopleOf(generation, new Set(gone.map(([, one]) => one)));
    for (const [seatId, holdId] of gone) {
      if (coming.has(`${seatId} ${holdId}`)) {
        kept += 1;
        continue;
      }
      if ((await valkey.unblock(generation, holdId, seatRuns(layout, [seatId]))) === 1) continue;
      await freeIn(generation, layout, { holdId, userId: people?.get(holdId) ?? "" }, [seatId], false);
    }
    // A person's entry counts all seats of the hold.
    const whole = new Map<string, Claim>();
    for (const checkoutId of new Set(missing.map((claim) => claim.checkoutId)))
      for (const claim of await store.claims.ofCheckout(eventId, checkoutId)) whole.set(claim.seatId, claim);
    for (const claim of missing) whole.set(claim.seatId, claim);
    await markSold(generation, layout, [...whole.values()], true);
    await freeVanished(eventId, layout, generation, [...whole.values()]);
    corrections.inc({ what: "freed" }, gone.length - kept);
    corrections.inc({ what: "claimed" }, missing.length);
    return gone.length - kept + missing.length;
  }

  /**
   * Of seats that Valkey has as claimed, and that had no such claim a moment ago: those of blocks that are being made, or have been
   * made since. Blocks that are not going to be made any more are given up.
   */
  async function pendingBlocks(eventId: string, seats: readonly (readonly [string, string])[]): Promise<Set<string>> {
    const coming = new Set<string>();
    if (seats.length === 0) return coming;
    const holds = new Set(seats.map(([, holdId]) => holdId));
    const pending = new Set<string>();
    for (const { state, holdId } of await store.blocks.of(eventId))
      if (state === "pending" && holds.has(holdId)) pending.add(holdId);
    for (const holdId of pending)
      if (await store.blocks.abandon(eventId, holdId, Date.now() - blockingMs)) pending.delete(holdId);
    // Asked after the blocks: one that is not pending any more got its claims before.
    const claims = await store.claims.forSeats(
      eventId,
      seats.map(([seatId]) => seatId),
    );
    const made = new Set(claims.map(({ seatId, holdId }) => `${seatId} ${holdId}`));
    for (const [seatId, holdId] of seats)
      if (pending.has(holdId) || made.has(`${seatId} ${holdId}`)) coming.add(`${seatId} ${holdId}`);
    return coming;
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
      const { kind, userId = "", codeId } = owned[0] ?? {};
      if (kind === "block") {
        if (!(await markBlocked(generation, holdId, runs))) return false;
        continue;
      }
      const owner = { holdId, userId, codeId, seats: owned.length, askedNow };
      if (!(await valkey.settle(generation, owner, runs))) return false;
    }
    return true;
  }

  /** All of them that nobody holds: a hold that Valkey gave on a blocked seat is refused at its claim, and ends. False: as above. */
  async function markBlocked(generation: Generation, holdId: string, runs: readonly Run[]): Promise<boolean> {
    const answer = await valkey.block(generation, holdId, runs);
    if (answer.kind !== "taken") return answer.kind === "ok";
    for (const { section, start, length } of runs)
      for (let index = start; index < start + length; index++) {
        const one = await valkey.block(generation, holdId, [{ section, start: index, length: 1 }]);
        if (one.kind === "stale") return false;
      }
    return true;
  }

  async function freeIn(
    generation: Generation,
    layout: Layout,
    { kind, holdId, userId, codeId }: Checkout,
    seatIds: readonly string[],
    ends: boolean,
  ): Promise<boolean> {
    const runs = runsOf(
      layout,
      seatIds.flatMap((seatId) => findSeat(layout, seatId) ?? []),
    );
    if (kind === "block") return (await valkey.unblock(generation, holdId, runs)) !== undefined;
    return (await valkey.release(generation, { holdId, userId, codeId, what: "claim", ends }, runs)) !== undefined;
  }

  /** Does it in whichever generation is there, also a closed one; again when that has just been replaced. */
  async function inPresent(event: EventRecord, act: (generation: Generation) => Promise<boolean>): Promise<boolean> {
    for (let tries = 0; tries < 5; tries++) {
      const life = await valkey.life(event.eventId);
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

    unblock: (event, holdId, seatIds) =>
      generations.free(event, { kind: "block", holdId, userId: "" }, seatIds, { ends: false }),

    async reconcile(event) {
      const { eventId } = event;
      const layout = await layoutOf(event.layoutVersion);
      const generation = await generations.current(event);
      // Valkey first: a seat was marked as claimed only after its claim was there, so one without a claim now has lost it since.
      const claimed = new Map<string, string>();
      let seats = 0;
      for (const section of layout.sections) {
        const records = await valkey.records(generation, section);
        if (!records) return { seats: 0, corrected: 0 }; // replaced: the new one was made from the claims
        for (let index = 0; index < section.seats; index++) {
          const holdId = claimedBy(readRecord(records, index));
          if (holdId !== undefined) claimed.set(nameSeat({ section, index }).seatId, holdId);
        }
        seats += section.seats;
      }
      const claims = await store.claims.all(eventId);
      return { seats, corrected: await putRight(eventId, layout, generation, claimed, claims) };
    },

    async align(event, expected) {
      const { eventId } = event;
      const layout = await layoutOf(event.layoutVersion);
      let corrected = 0;
      await inPresent(event, async (generation) => {
        const claimed = new Map<string, string>();
        const wrong: string[] = [];
        const seats = expected.flatMap(({ seatId }) => findSeat(layout, seatId) ?? []);
        const records = await valkey.seatRecords(generation, seats);
        if (!records) return false;
        for (const [at, seat] of seats.entries()) {
          const { seatId } = nameSeat(seat);
          const holdId = claimedBy(readRecord(records[at] as Buffer, 0));
          if (holdId === expected.find((one) => one.seatId === seatId)?.holdId) continue;
          wrong.push(seatId);
          if (holdId !== undefined) claimed.set(seatId, holdId);
        }
        // What was thought may be old by now: MongoDB says what is.
        if (wrong.length > 0)
          corrected = await putRight(eventId, layout, generation, claimed, await store.claims.forSeats(eventId, wrong));
        return true;
      });
      return corrected;
    },

    used: () => [...inUse.values()],
  };
  return generations;
}

/** Undefined: nobody has a claim on this seat, as far as its record says. */
function claimedBy({ state, holdId }: SeatRecord): string | undefined {
  const isClaimed = state === seatStates.sold || (state === seatStates.blocked && holdId !== byLayout);
  return isClaimed ? holdId : undefined;
}

const seatRuns = (layout: Layout, seatIds: readonly string[]): Run[] =>
  runsOf(
    layout,
    seatIds.flatMap((seatId) => findSeat(layout, seatId) ?? []),
  );

function groupByHold(claims: readonly Claim[]): Map<string, Claim[]> {
  const groups = new Map<string, Claim[]>();
  for (const claim of claims) {
    const group = groups.get(claim.holdId);
    if (group) group.push(claim);
    else groups.set(claim.holdId, [claim]);
  }
  return groups;
}

/** What a seat that the layout blocks carries. */
const byLayout = "0".repeat(16);

function drawSections(layout: Layout, claims: readonly Claim[], allotments: Allotments): SectionImage[] {
  const seats = new Map(layout.sections.map((section) => [section, { sold: [] as Sold[], blocked: [] as Sold[] }]));
  for (const { kind, seatId, holdId } of claims) {
    const seat = findSeat(layout, seatId);
    if (seat) seats.get(seat.section)?.[kind === "block" ? "blocked" : "sold"].push({ index: seat.index, holdId });
  }
  const pools = poolsOf(layout, allotments);
  return [...seats].map(([section, { sold, blocked }]) =>
    drawSection(section, sold, { blocked, pools: pools.get(section) }),
  );
}

/** As the scripts keep it: user → an entry for each hold. */
function describePeople(layout: Layout, claims: readonly Claim[]): Map<string, Buffer> {
  const people = new Map<string, Buffer>();
  for (const [holdId, owned] of groupByHold(claims)) {
    const { kind, userId = "", codeId } = owned[0] ?? {};
    if (kind === "block") continue; // nobody's seats
    const runs = writeRuns(
      seatRuns(
        layout,
        owned.map(({ seatId }) => seatId),
      ),
    );
    const entry = writeEntry({ holdId, seats: owned.length, deadlineMs: 0, expiresAtMs: 0, codeId, runs });
    people.set(userId, Buffer.concat([people.get(userId) ?? Buffer.alloc(0), entry]));
  }
  return people;
}

/** Code → how many seats it has. */
function describeCodes(claims: readonly Claim[]): Map<string, number> {
  const codes = new Map<string, number>();
  for (const { codeId } of claims) if (codeId !== undefined) codes.set(codeId, (codes.get(codeId) ?? 0) + 1);
  return codes;
}
