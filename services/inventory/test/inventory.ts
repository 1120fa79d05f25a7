// What the component tests share: a service inside this process, and events to try it with.
import { randomUUID } from "node:crypto";
import { DomainError, type RefusalCode } from "@onsale/kit/errors";
import { connect, type ServiceClient } from "@onsale/kit/grpc-client";
import { derivedHex64 } from "@onsale/kit/ids";
import { type ContextOf, createContext } from "@onsale/kit/process";
import { BlockServiceService } from "@onsale/proto/inventory/v1/blocks";
import {
  CatalogServiceService,
  type CreateEventRequest,
  type Event,
  EventSort,
  EventStatus,
  OrphanRule,
  type SearchEventsRequest,
  type Section,
} from "@onsale/proto/inventory/v1/catalog";
import { ChannelServiceService } from "@onsale/proto/inventory/v1/channels";
import { ReconcileServiceService } from "@onsale/proto/inventory/v1/reconcile";
import { type HoldRequest, type HoldResponse, SeatServiceService } from "@onsale/proto/inventory/v1/seats";
import { Redis } from "ioredis";
import { MongoClient } from "mongodb";
import { expect } from "vitest";
import { inventorySettings } from "../src/config.js";
import { personOf, readEntries } from "../src/hall/seat-map.js";
import { startInventory } from "../src/service.js";

export interface Stores {
  readonly redisUrl: string;
  readonly mongodbUri: string;
}

export interface Inventory {
  readonly catalog: ServiceClient<CatalogServiceService>;
  readonly seats: ServiceClient<SeatServiceService>;
  readonly channels: ServiceClient<ChannelServiceService>;
  readonly blocks: ServiceClient<BlockServiceService>;
  readonly reconcile: ServiceClient<ReconcileServiceService>;
  readonly context: ContextOf<typeof inventorySettings>;
  readonly port: number;
  readonly ready: () => Promise<boolean> | boolean;
  /** The service's own stores, to look into and to break. */
  readonly redis: Redis;
  readonly mongodb: MongoClient;
  readonly database: string;
  stop(): Promise<void>;
}

export const newDatabase = (): string => `inventory-${randomUUID().slice(0, 8)}`;

export async function startForTest(
  stores: Stores,
  env: Record<string, string> = {},
  database = newDatabase(),
): Promise<Inventory> {
  const context = createContext("inventory", inventorySettings, {
    GRPC_LISTEN: "127.0.0.1:0",
    REDIS_URL: stores.redisUrl,
    MONGODB_URI: stores.mongodbUri,
    MONGODB_DATABASE: database,
    NODE_ENV: "test",
    LOG_LEVEL: process.env["INVENTORY_TEST_LOG"] ?? "silent",
    SHUTDOWN_GRACE_SECONDS: "2",
    EVENT_CACHE_MS: "1000",
    FOLLOW_CLAIMS: "false", // the follower's own test asks for it
    ...env,
  });
  const { port, ready } = await startInventory(context);
  const address = `127.0.0.1:${port}`;
  const trust = { sharedSecret: env["GRPC_SHARED_SECRET"] };
  const catalog = connect(CatalogServiceService, { address, trust, deadlineMs: 30_000 });
  const seats = connect(SeatServiceService, { address, trust, deadlineMs: 30_000 });
  const channels = connect(ChannelServiceService, { address, trust, deadlineMs: 30_000 });
  const blocks = connect(BlockServiceService, { address, trust, deadlineMs: 30_000 });
  const reconcile = connect(ReconcileServiceService, { address, trust, deadlineMs: 30_000 });
  const redis = new Redis(stores.redisUrl.split(",")[0] ?? ""); // of a cluster, its first server
  redis.on("error", () => undefined); // tests kill Valkey
  const mongodb = new MongoClient(stores.mongodbUri);
  return {
    catalog,
    seats,
    channels,
    blocks,
    reconcile,
    context,
    port,
    ready,
    redis,
    mongodb,
    database,
    async stop() {
      catalog.close();
      seats.close();
      channels.close();
      blocks.close();
      reconcile.close();
      redis.disconnect();
      await mongodb.close();
      await context.lifecycle.stop("test");
    },
  };
}

export const freshId = (prefix: string): string => `${prefix}_${randomUUID().replaceAll("-", "").slice(0, 20)}`;

const hour = 60 * 60 * 1000;

/** A concert that is on sale, in a small hall unless other sections are given. */
export function newEvent(event: Partial<Event> = {}, sections: Section[] = [hall(5, 10)]): CreateEventRequest {
  return {
    event: {
      eventId: freshId("evt"),
      organiserId: "acc_organiser",
      name: "The Night Ferry",
      description: "A concert.",
      venue: { name: "Große Freiheit", city: "Hamburg", country: "DE", timeZone: "Europe/Berlin" },
      status: EventStatus.UNSPECIFIED,
      startsAtMs: Date.now() + 30 * 24 * hour,
      onSaleAtMs: Date.now() - hour,
      offSaleAtMs: 0,
      currency: "EUR",
      seatsPerPerson: 8,
      tiers: [{ tierId: "standard", name: "Standard", amount: 4950 }],
      capacity: 0,
      layoutVersion: "",
      orphanRule: OrphanRule.LENIENT,
      accessibleUntilMs: 0,
      refundableUntilMs: 0,
      createdAtMs: 0,
      cancelledAtMs: 0,
      cancelReason: "",
      ...event,
    },
    sections,
    layoutSource: "",
  };
}

/** Section "A" with rows A, B, C, … */
export function hall(rows: number, seats: number, section: Partial<Section> = {}): Section {
  return {
    sectionId: "A",
    name: "Hall",
    tierId: "standard",
    rows: Array.from({ length: rows }, (_, at) => ({
      label: rowName(at),
      firstSeat: 1,
      seatCount: seats,
      gaps: [],
      blocked: [],
      accessible: [],
      companion: [],
    })),
    generalAdmission: false,
    capacity: 0,
    focalRow: "",
    focalSeat: 0,
    ...section,
  };
}

export const rowName = (at: number): string =>
  (at >= 26 ? rowName(Math.floor(at / 26) - 1) : "") + String.fromCharCode(65 + (at % 26));

export function standing(capacity: number, section: Partial<Section> = {}): Section {
  return {
    sectionId: "FLOOR",
    name: "Floor",
    tierId: "standard",
    rows: [],
    generalAdmission: true,
    capacity,
    focalRow: "",
    focalSeat: 0,
    ...section,
  };
}

export async function publishEvent({ catalog }: Inventory, request: CreateEventRequest): Promise<string> {
  const { event } = await catalog.createEvent(request);
  const eventId = event?.eventId ?? "";
  await catalog.publishEvent({ eventId, organiserId: "" });
  return eventId;
}

/** All published events by date. */
export const anySearch: SearchEventsRequest = {
  query: "",
  city: "",
  fromMs: 0,
  toMs: 0,
  currency: "",
  priceFrom: 0,
  priceTo: 0,
  sort: EventSort.UNSPECIFIED,
  cursor: "",
  limit: 0,
};

export const seatsWish = (
  eventId: string,
  seatIds: string[],
  who: { checkoutId?: string; userId?: string } = {},
): HoldRequest => ({
  checkoutId: who.checkoutId ?? freshId("chk"),
  userId: who.userId ?? freshId("acc"),
  eventId,
  selection: { $case: "seats", value: { seatIds } },
});

export const quantityWish = (
  eventId: string,
  sectionId: string,
  quantity: number,
  who: { checkoutId?: string; userId?: string } = {},
): HoldRequest => ({
  checkoutId: who.checkoutId ?? freshId("chk"),
  userId: who.userId ?? freshId("acc"),
  eventId,
  selection: { $case: "quantity", value: { sectionId, quantity } },
});

/** What the workflow asks for when it claims what a hold has. */
export const claimOf = (wish: HoldRequest, { holdId, epoch, deadlineMs, seats }: HoldResponse) => ({
  eventId: wish.eventId,
  checkoutId: wish.checkoutId,
  userId: wish.userId,
  holdId,
  epoch,
  deadlineMs,
  seatIds: seats.map(({ seatId }) => seatId),
});

export const releaseOf = (wish: HoldRequest, { holdId, seats }: HoldResponse) => ({
  eventId: wish.eventId,
  checkoutId: wish.checkoutId,
  userId: wish.userId,
  holdId,
  seatIds: seats.map(({ seatId }) => seatId),
});

export const holdIdFor = (checkoutId: string): string => derivedHex64("hold", checkoutId);

/** The refusal that a call ends with; fails when it succeeds. */
export async function refusalOf(call: Promise<unknown>): Promise<DomainError> {
  const outcome = await call.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if ("value" in outcome) expect.fail(`it was not refused, but answered ${JSON.stringify(outcome.value)}`);
  expect(outcome.error).toBeInstanceOf(DomainError);
  return outcome.error as DomainError;
}

export async function expectRefusal(call: Promise<unknown>, code: RefusalCode): Promise<DomainError> {
  const refusal = await refusalOf(call);
  expect(refusal.code, refusal.message).toBe(code);
  return refusal;
}

/** Like the workflow: what can be tried again is, for a while. */
export async function insist<T>(call: () => Promise<T>, forMs = 20_000): Promise<T> {
  const until = Date.now() + forMs;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const again = error instanceof DomainError && error.refusal.retryable;
      if (!again || Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Until an effect of the upkeep is there. */
export async function eventually<T>(look: () => Promise<T>, forMs = 30_000): Promise<T> {
  const until = Date.now() + forMs;
  for (;;) {
    try {
      return await look();
    } catch (error) {
      if (Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** The claims that MongoDB has: the truth. */
export async function claimsIn({ mongodb, database }: Inventory, eventId: string) {
  const claims = mongodb
    .db(database)
    .collection<{ _id: string; eventId: string; seatId: string; checkoutId: string }>("claims");
  return await claims.find({ _id: { $gte: `${eventId}:`, $lt: `${eventId};` } }).toArray();
}

/** What Valkey says that a person holds and owns in a generation. */
export async function entriesOf({ redis }: Inventory, eventId: string, epoch: number, userId: string) {
  return readEntries((await redis.hgetBuffer(`{${eventId}}:${epoch}:u`, personOf(userId))) ?? Buffer.alloc(0));
}

/** All seats of `hall(rows, seats)`, in layout order. */
export const hallSeats = (rows: number, seats: number): string[] =>
  Array.from({ length: rows }, (_, row) =>
    Array.from({ length: seats }, (_, seat) => `A-${rowName(row)}-${seat + 1}`),
  ).flat();
