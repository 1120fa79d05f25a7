// The rush: 200 buyers at once on 50 seats, through REST. Exactly 50 seats are sold, and all books agree.
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Person, publishEvent, signUp, untilStatus } from "./rest.js";
import { audit, openShop, type Shop } from "./shop.js";

const buyers = 200;
const seats = 50;
let shop: Shop;
let people: Person[];

beforeAll(async () => {
  shop = await openShop();
  people = [];
  for (let at = 0; at < buyers; at += 20)
    people.push(...(await Promise.all(Array.from({ length: 20 }, () => signUp(shop.url)))));
});
afterAll(() => shop?.stop());

/** Deterministic, so that a failure can be run again. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const seatIdOf = (at: number) => `A-A-${(at % seats) + 1}`;

/** Asks again, with the same key, while the answer is that it is not known yet or came too late to be told, as every client must. */
async function answered<Answer extends { readonly status: number }>(ask: () => Promise<Answer>): Promise<Answer> {
  for (const end = Date.now() + 120_000; ; ) {
    const answer = await ask();
    const inFlight = (answer as { body?: { code?: string } }).body?.code === "IDEMPOTENCY_IN_FLIGHT";
    if ((answer.status < 500 && answer.status !== 202 && !inFlight) || Date.now() > end) return answer;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

describe("200 buyers at once on 50 seats", () => {
  it("sells each seat once and tells everybody else which seat is gone", async () => {
    const eventId = await publishEvent(shop.organiser, { seatsPerRow: seats });
    const holds = await Promise.all(
      people.map((person, at) => {
        const key = randomUUID();
        return answered(() => person.hold(eventId, [seatIdOf(at)], key));
      }),
    );

    const won = holds.flatMap((hold, at) => (hold.status === 201 ? [at] : []));
    expect(won).toHaveLength(seats);
    for (const [at, hold] of holds.entries()) {
      if (hold.status === 201) continue;
      expect(hold.status).toBe(409);
      expect(hold.body).toMatchObject({ code: "SEAT_TAKEN", seats: [seatIdOf(at)] });
    }

    const paid = await Promise.all(
      won.map(async (at) => {
        const { checkoutId } = holds[at]!.body;
        const key = randomUUID();
        const payment = await answered(() => people[at]!.pay(checkoutId, "pm_card_visa", key));
        expect(payment.status).toBe(200);
        return untilStatus(people[at]!, checkoutId, ["completed"], 180_000);
      }),
    );
    expect(new Set(paid.flatMap((checkout) => checkout.seats.map(({ seatId }) => seatId))).size).toBe(seats);

    const books = await audit(shop, eventId);
    expect(books.contradictions).toEqual([]);
    expect(books.sold).toBe(seats);
    expect(books.totals).toMatchObject({ sold: seats, held: 0 });
    for (const at of won.slice(0, 3)) {
      const tickets = await people[at]!.ask<{ tickets: unknown[] }>("GET", "/v1/tickets");
      expect(tickets.body.tickets).toHaveLength(1);
    }
  });

  it("keeps the books right when cards are declined and buyers walk away", async () => {
    const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);
    console.log(`SEED=${seed}`);
    const chance = random(seed);
    const eventId = await publishEvent(shop.organiser, { seatsPerRow: seats });
    const plans = people.map(() => {
      const dice = chance();
      if (dice < 0.25) return "decline" as const;
      if (dice < 0.4) return "walk away" as const;
      if (dice < 0.5) return "decline, then pay" as const;
      return "pay" as const;
    });
    const outcomes = await Promise.all(
      people.map(async (person, at) => {
        const seatId = seatIdOf(at);
        const holdOnce = () => {
          const key = randomUUID();
          return answered(() => person.hold(eventId, [seatId], key));
        };
        let hold = await holdOnce();
        // Seats come back when somebody gives up: the ones who lost try again a few times.
        for (let tries = 0; hold.status === 409 && tries < 4; tries += 1) {
          await new Promise((resolve) => setTimeout(resolve, 500 + chance() * 3000));
          hold = await holdOnce();
        }
        if (hold.status !== 201) return "lost";
        const { checkoutId } = hold.body;
        const plan = plans[at]!;
        if (plan !== "walk away" && plan !== "pay") {
          const key = randomUUID();
          const refused = await answered(() => person.pay(checkoutId, "pm_card_chargeDeclined", key));
          expect(refused.status, JSON.stringify(refused.body)).toBe(200);
          expect(refused.body.status).toBe("declined");
        }
        if (plan === "walk away" || plan === "decline") {
          const left = await answered(() => person.cancel(checkoutId));
          expect(left.body.status).toBe("cancelled");
          return "gave up";
        }
        const key = randomUUID();
        await answered(() => person.pay(checkoutId, "pm_card_visa", key));
        const end = await untilStatus(person, checkoutId, ["completed"], 180_000);
        return end.status;
      }),
    );
    const bought = outcomes.filter((outcome) => outcome === "completed").length;
    const books = await audit(shop, eventId);
    expect(books.contradictions).toEqual([]);
    expect(books.sold).toBe(bought);
    expect(books.totals).toMatchObject({ sold: bought, held: 0 });
    expect(outcomes).toContain("gave up");
    expect(bought).toBeGreaterThan(seats / 2);
  });
});
