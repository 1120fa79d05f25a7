// Holds over streams, on the real stores: the answers are those of the unary Hold, also while a process leaves.
import { connectStreams, type Streams } from "@onsale/kit/grpc-stream-client";
import { type HoldRequest, type HoldResponse, SeatServiceService } from "@onsale/proto/inventory/v1/seats";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import {
  expectRefusal,
  freshId,
  hall,
  hallSeats,
  type Inventory,
  newDatabase,
  newEvent,
  publishEvent,
  refusalOf,
  seatsWish,
  startForTest,
} from "./inventory.js";

const stores = inject("backing");
let inventory: Inventory;
const open: Streams<HoldRequest, HoldResponse>[] = [];
beforeAll(async () => {
  inventory = await startForTest(stores);
});
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});
afterAll(() => inventory.stop());

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 20_000; !(await condition()); ) {
    if (Date.now() > end) throw new Error("what was waited for did not come about");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function streamsTo(...ports: number[]): Promise<Streams<HoldRequest, HoldResponse>> {
  const streams = connectStreams<HoldRequest, HoldResponse>({
    address: ports.map((port) => `127.0.0.1:${port}`).join(),
    trust: {},
    method: SeatServiceService.holds,
    idempotent: true,
    deadlineMs: 20_000,
  });
  open.push(streams);
  await until(() => streams.lines() === ports.length);
  return streams;
}

describe("a hold over a stream", () => {
  test("is the hold that the unary call knows, and the other way round", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const streams = await streamsTo(inventory.port);
    const wish = seatsWish(eventId, ["A-A-1", "A-A-2"]);
    const streamed = await streams.call(wish);
    expect(streamed).toMatchObject({ eventName: "The Night Ferry", currency: "EUR", amount: 9900 });
    expect(await inventory.seats.hold(wish)).toEqual(streamed);
    const other = seatsWish(eventId, ["A-B-1"]);
    expect(await streams.call(other)).toEqual(await inventory.seats.hold(other));
  });

  test("is refused in the same words, with the same details", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const streams = await streamsTo(inventory.port);
    await streams.call(seatsWish(eventId, ["A-A-1"]));
    const wishes: HoldRequest[] = [
      seatsWish(eventId, ["A-A-1", "A-A-2"]),
      seatsWish(eventId, ["A-Z-99"]),
      seatsWish(freshId("evt"), ["A-A-1"]),
      seatsWish(eventId, hallSeats(1, 10)),
      { ...seatsWish(eventId, []), selection: undefined },
      seatsWish(eventId, ["A-A-3"], { checkoutId: "not an id" }),
    ];
    for (const wish of wishes) {
      const [streamed, unary] = [await refusalOf(streams.call(wish)), await refusalOf(inventory.seats.hold(wish))];
      expect([streamed.code, streamed.message, streamed.details]).toEqual([unary.code, unary.message, unary.details]);
      expect(streamed.code).not.toBe("INTERNAL");
    }
    await expectRefusal(streams.call(wishes[0] as HoldRequest), "SEAT_TAKEN");
  });

  test("is for one of a crowd, whoever asks at once and by whichever way", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(2, 10)]));
    const streams = await streamsTo(inventory.port);
    const seats = hallSeats(2, 10);
    const asked = seats.flatMap((seat) =>
      Array.from({ length: 8 }, (_, at) =>
        (at % 2 ? streams.call(seatsWish(eventId, [seat])) : inventory.seats.hold(seatsWish(eventId, [seat]))).then(
          ({ seats: [held] }) => held?.seatId,
          (error: { code?: string }) => error.code,
        ),
      ),
    );
    const outcomes = await Promise.all(asked);
    expect(outcomes.filter((one) => one === "SEAT_TAKEN")).toHaveLength(7 * seats.length);
    expect(outcomes.filter((one) => one !== "SEAT_TAKEN").sort()).toEqual([...seats].sort());
  });

  test("takes no seat when its caller has left before its turn came", async () => {
    const eventId = await publishEvent(inventory, newEvent({}, [hall(26, 40)]));
    const streams = await streamsTo(inventory.port);
    const seats = hallSeats(26, 40).map((seat) => ({ seat, checkoutId: freshId("chk") }));
    const impatient = await Promise.all(
      seats.map(({ seat, checkoutId }) =>
        streams.call(seatsWish(eventId, [seat], { checkoutId }), { deadlineMs: 1 }).then(
          () => "held",
          (error: { code?: string }) => error.code,
        ),
      ),
    );
    // Who was told nothing may have seats for a moment longer than he waited, but the queue behind him is not worked off.
    expect(impatient.filter((one) => one === "DEADLINE_EXCEEDED" || one === "UNAVAILABLE").length).toBeGreaterThan(300);
    await until(async () => {
      const before = await freeSeats(eventId);
      await new Promise((resolve) => setTimeout(resolve, 400));
      return before === (await freeSeats(eventId));
    });
    expect(await freeSeats(eventId)).toBeGreaterThan(seats.length / 4);
    for (const one of impatient) expect(["held", "DEADLINE_EXCEEDED", "UNAVAILABLE"]).toContain(one);
  });
});

const freeSeats = async (eventId: string): Promise<number> =>
  (await inventory.seats.getAvailability({ eventId })).sections.reduce((sum, { free }) => sum + free, 0);

test("a process that is stopped while the crowd is at it loses no call and doubles none", async () => {
  const database = newDatabase();
  const [first, second] = [await startForTest(stores, {}, database), await startForTest(stores, {}, database)];
  try {
    const rows = 20;
    const eventId = await publishEvent(second, newEvent({ seatsPerPerson: 1 }, [hall(rows, 20)]));
    const streams = await streamsTo(first.port, second.port);
    const seats = hallSeats(rows, 20);
    let asked = 0;
    const outcomes: string[] = [];
    const lanes = Array.from({ length: 10 }, async (_, lane) => {
      for (let at = lane; at < seats.length * 2; at += 10) {
        const seat = seats[at % seats.length] as string;
        if (++asked === 200) void first.context.lifecycle.stop("test");
        const wish = seatsWish(eventId, [seat]);
        outcomes.push(
          await streams.call(wish).then(
            ({ seats: [held] }) => held?.seatId ?? "",
            (error: { code?: string }) => error.code ?? "",
          ),
        );
      }
    });
    await Promise.all(lanes);
    expect(outcomes.filter((one) => one === "SEAT_TAKEN")).toHaveLength(seats.length);
    expect(outcomes.filter((one) => one !== "SEAT_TAKEN").sort()).toEqual([...seats].sort());
    await until(() => streams.lines() === 1);
    const shares = await Promise.all(
      [first, second].map(async ({ context }) =>
        Number(/onsale_holds_total\{[^}]*held[^}]*\} (\d+)/.exec(await context.metrics.registry.metrics())?.[1] ?? 0),
      ),
    );
    expect(shares[0]).toBeGreaterThan(0);
    expect(shares[1]).toBeGreaterThan(shares[0] ?? 0);
    expect((shares[0] ?? 0) + (shares[1] ?? 0)).toBe(seats.length);
  } finally {
    await second.stop();
    await first.stop();
  }
});
