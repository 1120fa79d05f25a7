// A store that comes late, goes away, or stands still: refusals that say so in time, and everything goes on afterwards.
import { createServer, connect as dial, type Server, type Socket } from "node:net";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import {
  claimOf,
  claimsIn,
  expectRefusal,
  type Inventory,
  insist,
  newDatabase,
  newEvent,
  publishEvent,
  seatsWish,
  startForTest,
} from "./inventory.js";

/** Stands between the service and a store. */
class Gate {
  private server: Server | undefined;
  private readonly sockets = new Set<Socket>();
  private port = 0;
  private still = false;

  constructor(
    private readonly host: string,
    private readonly targetPort: number,
  ) {}

  async open(): Promise<number> {
    this.server = createServer((near) => {
      const far = dial(this.targetPort, this.host);
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.sockets.add(socket);
        if (this.still) socket.pause();
        socket.on("data", (bytes) => other.write(bytes));
        socket.on("error", () => undefined);
        socket.on("close", () => {
          this.sockets.delete(socket);
          other.destroy();
        });
      }
    });
    await new Promise<void>((resolve) => this.server?.listen(this.port, "127.0.0.1", resolve));
    this.port = (this.server.address() as { port: number }).port;
    return this.port;
  }

  /** Cuts what is connected, and refuses what comes. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.server?.close(resolve));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  /** Bytes are no longer passed on, or again. */
  hold(still: boolean): void {
    this.still = still;
    for (const socket of this.sockets) still ? socket.pause() : socket.resume();
  }
}

const { redisUrl, mongodbUri } = inject("backing");
const redisAt = new URL(redisUrl);
const mongodbAt = new URL(mongodbUri);
const valkey = new Gate(redisAt.hostname, Number(redisAt.port || 6379));
const mongodb = new Gate(mongodbAt.hostname, Number(mongodbAt.port || 27017));

let inventory: Inventory;
beforeAll(async () => {
  // The ports are known, but nothing answers there yet.
  const stores = { redisUrl: `redis://127.0.0.1:${await valkey.open()}`, mongodbUri: "" };
  const mongodbPort = await mongodb.open();
  await valkey.close();
  await mongodb.close();
  stores.mongodbUri = `mongodb://127.0.0.1:${mongodbPort}/?directConnection=true`;
  const starting = startForTest(stores, {}, newDatabase());
  await new Promise((resolve) => setTimeout(resolve, 500));
  await mongodb.open();
  inventory = await starting;
});
afterAll(async () => {
  await inventory?.stop();
  await valkey.close();
  await mongodb.close();
});

const inTime = async (call: Promise<unknown>, withinMs: number) => {
  const asked = Date.now();
  await call;
  expect(Date.now() - asked).toBeLessThan(withinMs);
};

test("a service that starts before its stores serves once they are there", async () => {
  expect(await inventory.ready()).toBe(false);
  const { event } = await inventory.catalog.createEvent(newEvent());
  const publish = () => inventory.catalog.publishEvent({ eventId: event?.eventId ?? "", organiserId: "" });
  await expectRefusal(publish(), "UNAVAILABLE");
  await valkey.open();
  await insist(publish);
  expect(await inventory.ready()).toBe(true);
  await inventory.seats.hold(seatsWish(event?.eventId ?? "", ["A-A-1"]));
});

test("while MongoDB is away seats are held, and claims wait for it", async () => {
  const eventId = await publishEvent(inventory, newEvent());
  const first = seatsWish(eventId, ["A-A-1"]);
  const claim = claimOf(first, await inventory.seats.hold(first));
  await mongodb.close();
  await new Promise((resolve) => setTimeout(resolve, 1_100)); // what is remembered of the event is old now
  const wish = seatsWish(eventId, ["A-A-2"]);
  await inventory.seats.hold(wish);
  await inTime(expectRefusal(inventory.seats.claimSeats(claim), "UNAVAILABLE"), 10_000);
  expect(await inventory.ready()).toBe(false);
  await mongodb.open();
  expect(await insist(() => inventory.seats.claimSeats(claim))).toEqual({ fresh: true });
  expect(await inventory.ready()).toBe(true);
});

test("a claim whose outcome nobody heard is one claim after it is tried again", async () => {
  const eventId = await publishEvent(inventory, newEvent());
  const wish = seatsWish(eventId, ["A-A-1", "A-A-2"]);
  const claim = claimOf(wish, await inventory.seats.hold(wish));
  const trying = inventory.seats.claimSeats(claim, { deadlineMs: 1_500 });
  await new Promise((resolve) => setTimeout(resolve, 5));
  mongodb.hold(true);
  await inTime(
    trying.catch(() => undefined),
    3_000,
  );
  mongodb.hold(false);
  await insist(() => inventory.seats.claimSeats(claim));
  expect(await claimsIn(inventory, eventId)).toHaveLength(2);
});

test("a Valkey that stands still is refused in time, and is used again when it moves", async () => {
  const eventId = await publishEvent(inventory, newEvent());
  const wish = seatsWish(eventId, ["A-A-1"]);
  const claim = claimOf(wish, await inventory.seats.hold(wish));
  valkey.hold(true);
  await inTime(expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-A-2"])), "UNAVAILABLE"), 4_000);
  await inTime(expectRefusal(inventory.seats.claimSeats(claim), "UNAVAILABLE"), 4_000);
  valkey.hold(false);
  expect(await insist(() => inventory.seats.claimSeats(claim))).toEqual({ fresh: true });
  await expectRefusal(
    insist(() => inventory.seats.hold(seatsWish(eventId, ["A-A-1"]))),
    "SEAT_TAKEN",
  );
  // Broken connections are not broken servers: the seats were not made anew for it.
  expect(await inventory.redis.get(`{${eventId}}:epoch`)).toMatch(/^1\|open/);
});
