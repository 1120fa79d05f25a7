// Buyers of a whole sale, in the load generator's process, and the books in which their answers are checked against each other.

import { setTimeout as sleep } from "node:timers/promises";
import { closeServices, connectServices } from "@onsale/gateway/clients/services";
import { DomainError } from "@onsale/kit/errors";
import { HoldRequest, type HoldResponse } from "@onsale/proto/inventory/v1/seats";
import { chanceFrom, type House, seatIdsOf, seatsInRow, seatsOfSection, sectionId, startOf } from "./house.js";
import { fillIn, type Overheard } from "./overheard.js";
import { openResp } from "./resp-client.js";
import { percentile } from "./statistics.js";

export interface SaleJob {
  readonly kind: "sale";
  readonly address: string;
  readonly sharedSecret: string;
  readonly valkeyPort: number;
  readonly eventId: string;
  readonly house: House;
  /** At least so many come; more while seats are left. */
  readonly buyers: number;
  /** Shopping at the same time. */
  readonly atOnce: number;
  readonly seed: number;
  /** The scripts of a claim, for 1, 2, 3 and 4 seats. */
  readonly claims: readonly (readonly Overheard[])[];
  /** Every so many purchases one is claimed for real, in MongoDB. */
  readonly realClaimEvery: number;
  readonly holdTtlMs: number;
  readonly holdMarginMs: number;
  /** Sold before the sale began. */
  readonly soldBefore: readonly string[];
  readonly giveUpAfterMs: number;
}

export interface SaleTally {
  readonly buyers: number;
  readonly orders: number;
  readonly seatsSold: number;
  readonly realClaims: number;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly cancelled: number;
  readonly walkedAway: number;
  readonly mapReads: number;
  /** From the first buyer until every seat was sold; undefined: some were left. */
  readonly soldOutMs: number | undefined;
  readonly wallMs: number;
  readonly holdP50Ms: number;
  readonly holdP99Ms: number;
  /** Seats that two buyers were told to have bought; seats that two held at the same time, by the store's clock. */
  readonly soldTwice: number;
  readonly heldTwice: number;
  /** Sold by our books and not in the map at the end, or the reverse. */
  readonly mapDiffers: number;
}

const tries = 6;
const patient = 20;
/** Of those who hold: how many give the seats back at once, and how many just leave. */
const cancels = 0.12;
const walksAway = 0.08;
/** How old the map may be that somebody looks at. */
const mapAgeMs = 500;

/** What our buyers were told of a seat. */
interface Told {
  readonly holdId: string;
  readonly sold: boolean;
  readonly deadlineMs: number;
}

export async function playSale(job: SaleJob): Promise<SaleTally> {
  const { address, eventId, house, seed } = job;
  const trust = { sharedSecret: job.sharedSecret };
  const services = connectServices({ account: address, inventory: address, payment: address, ticket: address }, trust);
  const valkey = await openResp(job.valkeyPort);
  const chance = chanceFrom(seed);
  const books = new Map<string, Told>(
    job.soldBefore.map((seat) => [seat, { holdId: "before", sold: true, deadlineMs: 0 }]),
  );
  const outcomes: Record<string, number> = {};
  const holdMs: number[] = [];
  let [came, orders, realClaims, cancelled, walkedAway, mapReads, soldTwice, heldTwice] = [0, 0, 0, 0, 0, 0, 0, 0];
  let seatsSold = job.soldBefore.length;
  let soldOutMs: number | undefined;
  const begunAt = performance.now();
  const firstSeat = [0];
  for (let section = 0; section < house.sections; section++)
    firstSeat.push((firstSeat[section] as number) + seatsOfSection(house, section));

  let map: { readonly states: Uint8Array; readonly readAt: number } | undefined;
  let reading: Promise<Uint8Array> | undefined;
  async function look(): Promise<Uint8Array> {
    if (map && performance.now() - map.readAt < mapAgeMs) return map.states;
    reading ??= services.seats.getSeatStates({ eventId }).then(({ states }) => {
      mapReads += 1;
      map = { states, readAt: performance.now() };
      reading = undefined;
      return states;
    });
    return await reading;
  }
  /** Whoever finds nothing looks at the map before trying again, and goes home when there is nothing left. */
  async function soldOut(): Promise<boolean> {
    const states = await look();
    for (let seat = 0; seat < house.seats; seat++) if (isFree(states, seat)) return false;
    return true;
  }
  const isFree = (states: Uint8Array, seat: number) => (((states[seat >> 2] ?? 0) >> ((seat & 3) * 2)) & 3) === 0;

  /** Seats side by side that look free; the front sections draw the crowd. */
  function choose(states: Uint8Array, length: number): string[] | undefined {
    for (let look = 0; look < 40; look++) {
      const section = Math.floor(house.sections * chance() ** (look < 8 ? 2 : 1));
      const seats = seatsOfSection(house, section);
      const row = Math.floor(chance() * Math.ceil(seats / seatsInRow));
      const inRow = Math.min(seatsInRow, seats - row * seatsInRow);
      const from = Math.floor(chance() * inRow);
      for (let step = 0; step < inRow; step++) {
        const first = ((from + step) % inRow) + 1;
        if (first + length - 1 > inRow) continue;
        const block = { section, row, first, length };
        const at = (firstSeat[section] as number) + startOf(block);
        if (Array.from({ length }, (_, next) => at + next).every((seat) => isFree(states, seat)))
          return seatIdsOf(block);
      }
    }
    return undefined;
  }

  async function ask(request: HoldRequest): Promise<HoldResponse | string> {
    const askedAt = performance.now();
    try {
      const held = await services.seats.hold(request);
      outcomes["held"] = (outcomes["held"] ?? 0) + 1;
      note(held);
      return held;
    } catch (error) {
      const { code } = DomainError.from(error);
      outcomes[code] = (outcomes[code] ?? 0) + 1;
      return code;
    } finally {
      holdMs.push(performance.now() - askedAt);
    }
  }

  function note({ holdId, deadlineMs, seats }: HoldResponse): void {
    const grantedMs = deadlineMs - job.holdTtlMs;
    for (const { seatId } of seats) {
      const before = books.get(seatId);
      if (before?.sold) soldTwice += 1;
      else if (before && before.holdId !== holdId && grantedMs < before.deadlineMs) heldTwice += 1;
      books.set(seatId, { holdId, sold: false, deadlineMs });
    }
  }

  function notBought(why: string): false {
    outcomes[`claim: ${why}`] = (outcomes[`claim: ${why}`] ?? 0) + 1;
    return false;
  }

  async function buy(checkoutId: string, userId: string, held: HoldResponse): Promise<boolean> {
    const { holdId, epoch, deadlineMs } = held;
    const seatIds = held.seats.map(({ seatId }) => seatId);
    if (orders++ % job.realClaimEvery === 0) {
      realClaims += 1;
      try {
        const wish = { eventId, checkoutId, userId, holdId, epoch, deadlineMs, seatIds };
        await services.seats.claimSeats(wish, { deadlineMs: 30_000 });
      } catch (error) {
        return notBought(DomainError.from(error).code);
      }
    } else {
      const first = held.seats[0];
      if (!first) throw new Error("a hold without seats");
      const block = { section: 0, row: Number(first.row) - 1, first: Number(first.number), length: seatIds.length };
      const now = {
        holdId,
        userId,
        section: first.sectionId,
        start: startOf(block),
        times: [deadlineMs, deadlineMs + job.holdMarginMs],
      };
      for (const script of job.claims[seatIds.length - 1] ?? []) {
        const said = await valkey.ask(fillIn(script, now));
        if (said !== "ok") return notBought(said);
      }
    }
    for (const seatId of seatIds) {
      const told = books.get(seatId);
      if (told?.sold || told?.holdId !== holdId) soldTwice += 1;
      books.set(seatId, { holdId, sold: true, deadlineMs });
    }
    seatsSold += seatIds.length;
    if (seatsSold >= house.seats) soldOutMs ??= performance.now() - begunAt;
    return true;
  }

  async function shop(buyer: number): Promise<void> {
    const userId = `usr_sale${buyer}`;
    // 1 to 4, pairs above all.
    let wanted = [1, 2, 2, 2, 2, 3, 4, 4][Math.floor(chance() * 8)] as number;
    const picks = chance() < 0.4;
    // Half of those who leave the choice to the service want one section, the others the best of the house.
    const sectionIds = chance() < 0.5 ? [sectionId(Math.floor(chance() * house.sections))] : [];
    for (let attempt = 0; attempt < tries; attempt++) {
      const checkoutId = `chk_sale${buyer}x${attempt}`;
      const named = picks ? choose(await look(), wanted) : undefined;
      if (picks && !named && (await soldOut())) return;
      const answer = await ask(
        HoldRequest.fromPartial({
          checkoutId,
          userId,
          eventId,
          selection: named
            ? { $case: "seats", value: { seatIds: named } }
            : { $case: "bestAvailable", value: { quantity: wanted, sectionIds } },
        }),
      );
      if (typeof answer === "string") {
        // Few are left: rather one seat than none.
        if (answer === "NOT_ENOUGH_SEATS" && attempt % 2 === 1) wanted = 1;
        if (answer === "NOT_ENOUGH_SEATS") {
          if (await soldOut()) return;
          sectionIds.length = 0;
        }
        continue;
      }
      await sleep(5 + chance() * 40);
      const mood = chance();
      if (mood < cancels) {
        cancelled += 1;
        for (const { seatId } of answer.seats) books.delete(seatId);
        const seatIds = answer.seats.map(({ seatId }) => seatId);
        await services.seats.releaseHold({ eventId, checkoutId, holdId: answer.holdId, userId, seatIds });
      } else if (mood < cancels + walksAway) walkedAway += 1;
      else await buy(checkoutId, userId, answer);
      return;
    }
  }

  async function lane(at: number): Promise<void> {
    while (came < job.buyers || (seatsSold < house.seats && performance.now() - begunAt < job.giveUpAfterMs)) {
      if (came >= job.buyers) {
        // The crowd is gone, and what is left is held by those who walked away: a few wait for it.
        if (at >= patient) return;
        await sleep(100);
      }
      await shop(came++);
    }
  }
  try {
    await Promise.all(Array.from({ length: job.atOnce }, (_, at) => lane(at)));
    const wallMs = performance.now() - begunAt;
    await sleep(mapAgeMs);
    map = undefined;
    const states = await look();
    let mapDiffers = 0;
    for (let section = 0; section < house.sections; section++)
      for (let index = 0; index < seatsOfSection(house, section); index++) {
        const seat = (firstSeat[section] as number) + index;
        const row = Math.floor(index / seatsInRow);
        const sold = (((states[seat >> 2] ?? 0) >> ((seat & 3) * 2)) & 3) === 2;
        const id = `${sectionId(section)}-${row + 1}-${(index % seatsInRow) + 1}`;
        if (sold !== (books.get(id)?.sold ?? false)) mapDiffers += 1;
      }
    return {
      buyers: came,
      orders,
      seatsSold,
      realClaims,
      outcomes,
      cancelled,
      walkedAway,
      mapReads,
      soldOutMs,
      wallMs,
      holdP50Ms: percentile(holdMs, 50),
      holdP99Ms: percentile(holdMs, 99),
      soldTwice,
      heldTwice,
      mapDiffers,
    };
  } finally {
    valkey.close();
    closeServices(services);
  }
}
