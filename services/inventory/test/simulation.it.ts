// A crowd that holds, buys, walks away, gives back and retries at random, while Valkey forgets: what people were told must be true in the end.
import { setTimeout as sleep } from "node:timers/promises";
import { DomainError } from "@onsale/kit/errors";
import type { HoldRequest, HoldResponse } from "@onsale/proto/inventory/v1/seats";
import { expect, inject, test } from "vitest";
import {
  claimOf,
  claimsIn,
  freshId,
  hall,
  hallSeats,
  type Inventory,
  insist,
  newEvent,
  publishEvent,
  quantityWish,
  releaseOf,
  seatsWish,
  standing,
  startForTest,
} from "./inventory.js";

// The choices follow the seed; the timing does not, so a replay is the same crowd, not the same race.
const seed = Number(process.env["SIMULATION_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

/** mulberry32, by Tommy Ettinger (public domain). */
function randomFrom(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const rows = 4;
const seatsInRow = 12;
const limit = 6;
const ttlMs = 1_200;
const marginMs = 400;

/** What a checkout was told, and when (by this process's clock, which is Valkey's too). */
interface Told {
  readonly wish: HoldRequest;
  readonly held: HoldResponse;
  readonly heldAtMs: number;
  releaseAskedAtMs?: number;
  owns: Set<string>;
}

async function simulate(services: readonly Inventory[], eventId: string, forMs: number, losesMemory: boolean) {
  const random = randomFrom(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const seats = hallSeats(rows, seatsInRow);
  const users = Array.from({ length: 25 }, () => freshId("acc"));
  const told: Told[] = [];
  const counts: Record<string, number> = {};
  const violations: string[] = [];
  const count = (what: string) => {
    counts[what] = (counts[what] ?? 0) + 1;
  };
  let flushedAtMs = 0;

  function wishOf(userId: string): HoldRequest {
    const kind = random();
    if (kind < 0.5) {
      const first = Math.floor(random() * seats.length);
      const chosen = Array.from(
        { length: 1 + Math.floor(random() * 4) },
        (_, at) => seats[(first + at * (kind < 0.1 ? 7 : 1)) % seats.length],
      );
      return seatsWish(eventId, [...new Set(chosen as string[])], { userId });
    }
    return quantityWish(eventId, kind < 0.75 ? "A" : "FLOOR", 1 + Math.floor(random() * 3), { userId });
  }

  /** A seat that was promised to one must not be promised to another before its time is over. */
  function checkPromise({ wish, held, heldAtMs }: Told, askedAtMs: number): void {
    if (losesMemory && flushedAtMs > askedAtMs - ttlMs - marginMs) return;
    for (const other of told) {
      if (other.wish.checkoutId === wish.checkoutId || other.heldAtMs > askedAtMs) continue;
      const expired = other.owns.size === 0 && heldAtMs >= other.held.deadlineMs + marginMs;
      if (expired || other.releaseAskedAtMs !== undefined) continue;
      const theirs = new Set(other.held.seats.map(({ seatId }) => seatId));
      const both = held.seats.filter(({ seatId }) => theirs.has(seatId));
      if (both.length > 0) violations.push(`${both.map(({ seatId }) => seatId)} was promised twice`);
    }
  }

  async function visit(service: Inventory): Promise<void> {
    const wish = wishOf(pick(users));
    const [retries, leaves, late, givesBack, partly] = [
      random() < 0.2,
      random() < 0.25,
      random() < 0.15,
      random() < 0.25,
      random() < 0.5,
    ];
    const pauseMs = random() * 200;
    const askedAtMs = Date.now();
    let held: HoldResponse;
    try {
      held = await insist(() => service.seats.hold(wish));
    } catch (error) {
      return count(`hold ${DomainError.from(error).code}`);
    }
    count("held");
    const one: Told = { wish, held, heldAtMs: Date.now(), owns: new Set() };
    checkPromise(one, askedAtMs);
    told.push(one);
    if (retries) {
      const again = await insist(() => service.seats.hold(wish)).catch((error: unknown) => DomainError.from(error));
      if (!losesMemory && !(again instanceof DomainError)) expect(again).toEqual(held);
    }
    if (leaves) return count("walked away");
    await sleep(late ? ttlMs + marginMs - 100 + pauseMs * 2 : pauseMs);
    if (random() < 0.2) {
      one.releaseAskedAtMs = Date.now();
      await insist(() => service.seats.releaseHold(releaseOf(wish, held)));
      count("released");
    }
    const claim = claimOf(wish, held);
    try {
      const claiming = [insist(() => service.seats.claimSeats(claim))];
      if (retries) claiming.push(insist(() => pick(services).seats.claimSeats(claim)));
      await Promise.all(claiming);
      // That a hold was released is remembered by Valkey alone, and the workflow claims nothing after it.
      if (one.releaseAskedAtMs !== undefined && !losesMemory) violations.push("a released hold was claimed");
      one.owns = new Set(claim.seatIds);
      count("claimed");
    } catch (error) {
      count(`claim ${DomainError.from(error).code}`);
      one.releaseAskedAtMs ??= Date.now();
      await insist(() => service.seats.releaseClaims({ ...claim, seatIds: claim.seatIds }));
      await insist(() => service.seats.releaseHold(releaseOf(wish, held)));
      return;
    }
    if (!givesBack) return;
    await sleep(pauseMs);
    const back = partly ? claim.seatIds.slice(0, 1) : claim.seatIds;
    one.releaseAskedAtMs = Date.now();
    await insist(() => service.seats.releaseClaims({ ...claim, seatIds: back }));
    for (const seat of back) one.owns.delete(seat);
    count("given back");
  }

  const until = Date.now() + forMs;
  const crowd = Array.from({ length: 12 }, async (_, at) => {
    while (Date.now() < until) await visit(services[at % services.length] as Inventory);
  });
  const forgetting = (async () => {
    const [service] = services;
    while (losesMemory && service && Date.now() < until) {
      await sleep(300 + random() * 900);
      flushedAtMs = Date.now();
      await service.redis.unlink(...(await service.redis.keys(`{${eventId}}:*`)), "none");
      count("forgotten");
    }
  })();
  await Promise.all([...crowd, forgetting]);
  return { told, counts, violations };
}

async function checkEnd(services: readonly Inventory[], eventId: string, told: readonly Told[], keepsLimit: boolean) {
  const [service] = services;
  if (!service) throw new Error("there is one service at least");
  const claims = await claimsIn(service, eventId);
  const owned = told.flatMap(({ wish, owns }) => [...owns].map((seat) => `${seat} ${wish.checkoutId}`));
  expect(claims.map(({ seatId, checkoutId }) => `${seatId} ${checkoutId}`).sort()).toEqual(owned.sort());
  if (keepsLimit) {
    const perUser = new Map<string, number>();
    for (const { wish, owns } of told) perUser.set(wish.userId, (perUser.get(wish.userId) ?? 0) + owns.size);
    expect(Math.max(...perUser.values())).toBeLessThanOrEqual(limit);
  }
  await sleep(ttlMs + marginMs + 500);
  const sold = (section: string) => claims.filter(({ seatId }) => seatId.startsWith(`${section}-`)).length;
  for (const one of services) {
    const { sections } = await insist(() => one.seats.getAvailability({ eventId }));
    expect(sections).toEqual([
      { sectionId: "A", free: rows * seatsInRow - sold("A"), held: 0, sold: sold("A"), blocked: 0 },
      { sectionId: "FLOOR", free: 20 - sold("FLOOR"), held: 0, sold: sold("FLOOR"), blocked: 0 },
    ]);
  }
  // Whatever is free can be had, to the last place.
  const left = 20 - sold("FLOOR");
  let had = 0;
  while (had < left)
    had += (await service.seats.hold(quantityWish(eventId, "FLOOR", Math.min(limit, left - had)))).seats.length;
  await expect(service.seats.hold(quantityWish(eventId, "FLOOR", 1))).rejects.toMatchObject({
    code: "NOT_ENOUGH_SEATS",
  });
}

for (const { memory, losesMemory } of [
  { memory: "keeps its memory", losesMemory: false },
  { memory: "loses its memory again and again", losesMemory: true },
])
  test(`a crowd buys while Valkey ${memory}`, { timeout: 90_000 }, async () => {
    console.log(`simulation: SIMULATION_SEED=${seed}`);
    const env = {
      HOLD_TTL_SECONDS: String(ttlMs / 1000),
      HOLD_MARGIN_SECONDS: String(marginMs / 1000),
      SWEEP_SECONDS: "0.3",
      AVAILABILITY_CACHE_MS: "50",
    };
    const first = await startForTest(inject("backing"), env);
    const services = [first, await startForTest(inject("backing"), env, first.database)];
    try {
      const eventId = await publishEvent(
        first,
        newEvent({ seatsPerPerson: limit }, [hall(rows, seatsInRow), standing(20)]),
      );
      const { told, counts, violations } = await simulate(services, eventId, 5_000, losesMemory);
      console.log("simulation:", JSON.stringify(counts));
      expect(violations).toEqual([]);
      await checkEnd(services, eventId, told, !losesMemory);
      expect(counts["claimed"]).toBeGreaterThan(5);
    } finally {
      for (const service of services) await service.stop();
    }
  });
