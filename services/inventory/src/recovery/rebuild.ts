// A new generation of an event's seats in Valkey, made from the claims in MongoDB.

/*
 * When the seats that are there may not be trusted (see generations/trust.ts):
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
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import { type Allotments, poolsOf } from "../channels/channel.js";
import type { ChannelStore } from "../channels/channel-store.js";
import type { EventStore } from "../events/event-store.js";
import type { EventRecord } from "../events/events.js";
import { lookAt } from "../generations/trust.js";
import { findSeat, type Layout, writeRuns } from "../hall/layout.js";
import { drawSection, type SectionImage, type Sold, writeEntry } from "../hall/seat-map.js";
import type { Claim, ClaimStore } from "../seats/claim-store.js";
import { claimsByHold, markClaimed, markFree, runsOfSeats } from "../seats/marks.js";
import { type Generation, type Marker, writeMarker } from "../valkey/marker.js";
import type { Valkey } from "../valkey/valkey.js";
import { freeVanished } from "./comparison.js";

export interface RebuildDependencies {
  readonly store: { readonly events: EventStore; readonly claims: ClaimStore; readonly channels: ChannelStore };
  readonly valkey: Valkey;
  readonly layoutOf: (layoutVersion: string) => Promise<Layout>;
  readonly log: Logger;
  readonly metrics: Metrics;
}

const lockMs = 15_000;

export class Rebuild {
  readonly #store;
  readonly #valkey;
  readonly #layoutOf;
  readonly #log;
  readonly #rebuilds;
  readonly #rebuildSeconds;

  constructor({ store, valkey, layoutOf, log, metrics }: RebuildDependencies) {
    this.#store = store;
    this.#valkey = valkey;
    this.#layoutOf = layoutOf;
    this.#log = log;
    this.#rebuilds = metrics.counter(
      "onsale_seat_rebuilds_total",
      "Generations of seats made anew, by outcome",
      ["outcome"],
      [{ outcome: "opened" }, { outcome: "overtaken" }, { outcome: "failed" }],
    );
    this.#rebuildSeconds = metrics.histogram("onsale_seat_rebuild_seconds", "Time to make seats anew from the claims");
  }

  /** Unless another process is at it, or was quicker. */
  async make(event: EventRecord): Promise<void> {
    try {
      await this.#rebuild(event);
    } catch (err) {
      this.#rebuilds.inc({ outcome: "failed" });
      this.#log.warn(
        { err, eventId: event.eventId },
        "the seats of an event could not be restored; it will be tried again",
      );
    }
  }

  async #rebuild(event: EventRecord): Promise<void> {
    const { eventId } = event;
    const token = randomUUID();
    if (!(await this.#valkey.connection.lock(eventId, "rebuild", token, lockMs))) return;
    const end = this.#rebuildSeconds.startTimer();
    const renewal = setInterval(() => {
      this.#valkey.connection.renewLock(eventId, "rebuild", token, lockMs).catch(() => undefined);
    }, lockMs / 3);
    try {
      const stored = (await this.#store.events.find(eventId))?.event;
      if (!stored) return;
      const { life, marker: old, verdict } = await lookAt(this.#valkey, eventId, stored.epoch);
      if (verdict === "trusted") return; // another process was quicker
      const layout = await this.#layoutOf(stored.layoutVersion);
      const epoch = await this.#store.events.raiseEpoch(eventId, old?.epoch ?? 0);
      if (epoch === undefined) return;

      const first = await this.#store.claims.all(eventId); // (a)
      // Should the channels change from here on, whoever changes them, or the upkeep, finds their version in Valkey too low.
      const allotments = await this.#store.channels.of(eventId);
      const images = drawSections(layout, first, allotments);
      await this.#valkey.epochs.draw(
        eventId,
        epoch,
        images,
        describePeople(layout, first),
        describeCodes(first),
        allotments.version,
      );
      const before = old?.open ? old.epoch : (old?.before ?? 0);
      const marker: Marker = { epoch, open: false, serverLife: life.serverLife, before };
      if (!(await this.#valkey.epochs.begin(eventId, marker))) return void this.#rebuilds.inc({ outcome: "overtaken" }); // (b)
      const closed: Generation = { eventId, epoch, marker: writeMarker(marker), connection: life.connection };

      const corrected = await this.#catchUp(stored, layout, closed, first); // (c)
      let adopted = 0;
      for (const from of new Set([before, old?.epoch ?? 0].filter((past) => past > 0))) {
        adopted += (await this.#valkey.epochs.adopt(closed, from)) ?? 0; // (d)
      }
      if (life.connection !== this.#valkey.connection.of(eventId))
        throw new Error("the connection to Valkey broke meanwhile");
      if (!(await this.#valkey.epochs.open(eventId, marker, layout.sections)))
        return void this.#rebuilds.inc({ outcome: "overtaken" }); // (e)
      this.#rebuilds.inc({ outcome: "opened" });
      this.#log.info(
        { eventId, epoch, claims: first.length, corrected, holds: adopted },
        "the seats of an event are restored",
      );
      for (const past of new Set([before, old?.epoch ?? 0]))
        if (past > 0) await this.#valkey.epochs.forget(eventId, past, layout.sections);
    } finally {
      clearInterval(renewal);
      end();
      await this.#valkey.connection.renewLock(eventId, "rebuild", token, 0).catch(() => undefined);
    }
  }

  /** What changed among the claims while the new generation was written. */
  async #catchUp(event: EventRecord, layout: Layout, closed: Generation, first: readonly Claim[]): Promise<number> {
    const { eventId } = event;
    const before = new Map(first.map((claim) => [claim.seatId, claim]));
    const now = await this.#store.claims.all(eventId);
    const added = now.filter((claim) => before.get(claim.seatId)?.holdId !== claim.holdId);
    for (const claim of now) if (before.get(claim.seatId)?.holdId === claim.holdId) before.delete(claim.seatId);
    // What is left in `before` is gone, and either its releaser has freed it in the new generation or we do.
    for (const gone of before.values()) await markFree(this.#valkey, closed, layout, gone, [gone.seatId], false);
    await markClaimed(this.#valkey, closed, layout, added, true);
    await freeVanished(this.#store, this.#valkey, eventId, layout, closed, added);
    return added.length + before.size;
  }
}

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
  for (const [holdId, owned] of claimsByHold(claims)) {
    const { kind, userId = "", codeId } = owned[0] ?? {};
    if (kind === "block") continue; // nobody's seats
    const runs = writeRuns(
      runsOfSeats(
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
