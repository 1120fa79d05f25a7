// The composition of the inventory service: stores, what is remembered, use cases, upkeep, server.
import { createGrpcServer } from "@onsale/kit/grpc-server";
import { createStreams } from "@onsale/kit/grpc-stream-server";
import { createWatches } from "@onsale/kit/grpc-watch";
import { type ContextOf, prepareWhenAvailable, type RunningService } from "@onsale/kit/process";
import { Catalog } from "./catalog/catalog.js";
import { createDrafts } from "./catalog/drafts.js";
import { Channels } from "./channels/channels.js";
import type { inventorySettings } from "./config.js";
import { rememberEvents } from "./events/known-events.js";
import { Generations } from "./generations/generations.js";
import { createLiveSeats } from "./live/live-seats.js";
import { Comparison } from "./recovery/comparison.js";
import { startFollower } from "./recovery/follower.js";
import { Rebuild } from "./recovery/rebuild.js";
import { createReconciliation } from "./recovery/reconcile.js";
import { startUpkeep } from "./recovery/upkeep.js";
import { createSeatMaps } from "./seats/availability.js";
import { Blocks } from "./seats/block.js";
import { Claims } from "./seats/claim.js";
import { Holds } from "./seats/hold.js";
import { Marks } from "./seats/marks.js";
import { createOwnSeats } from "./seats/own-seats.js";
import { createSales } from "./seats/sales.js";
import { serveInventory, serveLive, serveOrganisers, serveReconciliation } from "./server.js";
import { openStore } from "./store.js";
import { createHoldRace } from "./valkey/hold-race.js";
import { openValkey } from "./valkey/valkey.js";

export async function startInventory({
  config,
  log,
  metrics,
  lifecycle,
  trust,
}: ContextOf<typeof inventorySettings>): Promise<RunningService> {
  const store = openStore({ uri: config.MONGODB_URI, database: config.MONGODB_DATABASE });
  lifecycle.onStop("mongodb", () => store.close());
  const valkey = openValkey({
    url: config.REDIS_URL,
    ca: config.REDIS_TLS_CA,
    holdTtlMs: Math.round(config.HOLD_TTL_SECONDS * 1000),
    holdMarginMs: Math.round(config.HOLD_MARGIN_SECONDS * 1000),
    holdMemoryMs: Math.round(config.HOLD_MEMORY_SECONDS * 1000),
    log,
  });
  lifecycle.onStop("valkey", () => valkey.connection.close());

  const events = rememberEvents(store, {
    eventCacheMs: config.EVENT_CACHE_MS,
    layoutCacheSize: config.LAYOUT_CACHE_SIZE,
  });
  const { layoutOf } = events;
  const rebuild = new Rebuild({ store, valkey, layoutOf, log, metrics });
  const generations = new Generations({ valkey, rebuild: (event) => rebuild.make(event) });
  const marks = new Marks({ valkey, generations, layoutOf });
  const comparison = new Comparison({ store, valkey, generations, layoutOf, metrics });
  const maps = createSeatMaps({ valkey, generations, events, cacheMs: config.AVAILABILITY_CACHE_MS, metrics });
  const channels = new Channels({
    store,
    events,
    generations,
    valkey,
    codeSecret: config.ACCESS_CODE_SECRET,
    cacheMs: config.EVENT_CACHE_MS,
    statesCacheMs: config.AVAILABILITY_CACHE_MS,
    now: Date.now,
    log,
  });
  const blocks = new Blocks({ store, events, generations, marks, valkey, metrics });
  const race = createHoldRace({ url: config.REDIS_URL, ca: config.REDIS_TLS_CA, log });
  lifecycle.onStop("hold race", () => race.close());
  const holds = new Holds({ events, generations, valkey, maps, channels, race, random: Math.random, metrics });
  const claims = new Claims({ store, events, generations, marks, valkey, log, metrics, running: lifecycle.running });
  const live = createLiveSeats({ valkey, generations, events, tickMs: config.LIVE_TICK_MS, log, metrics });
  const ownSeats = createOwnSeats({ store, valkey, events, generations });
  const sales = createSales({ store, events });
  const catalog = new Catalog({ store, events, generations, now: Date.now });
  const drafts = createDrafts({ store, events, now: Date.now });

  const upkeep = startUpkeep({
    maps,
    channels,
    generations,
    comparison,
    valkey,
    sweepMs: config.SWEEP_SECONDS * 1000,
    reconcileMs: config.RECONCILE_SECONDS * 1000,
    log,
  });
  lifecycle.onStop("upkeep", () => upkeep.stop());

  const server = createGrpcServer({
    listen: config.GRPC_LISTEN,
    trust,
    log,
    metrics,
    reflection: config.NODE_ENV !== "production",
    healthListen: config.GRPC_HEALTH_LISTEN,
  });
  const streams = createStreams({ trust, log, metrics });
  serveInventory(server, { catalog, drafts, events, holds, claims, maps, race, sales }, streams);
  serveOrganisers(server, { channels, blocks });
  const reconciliation = createReconciliation({ store, events, comparison, now: Date.now, log });
  serveReconciliation(server, reconciliation, sales);
  serveLive(server, { live, ownSeats }, createWatches({ trust, log, metrics }));

  await prepareWhenAvailable({ log, lifecycle }, () => store.prepare());
  const port = await server.start();
  if (config.FOLLOW_CLAIMS) {
    const times = { graceMs: config.FOLLOW_GRACE_SECONDS * 1000, leaseMs: config.FOLLOW_LEASE_SECONDS * 1000 };
    const follower = startFollower({ store, events, comparison, reconciliation, ...times, log, metrics });
    lifecycle.onStop("follower", () => follower.stop());
  }
  lifecycle.onStop("grpc", () => server.stop(config.SHUTDOWN_GRACE_SECONDS * 900));
  lifecycle.onStop("streams", () => streams.drain(config.SHUTDOWN_GRACE_SECONDS * 800));
  lifecycle.onStop("live seats", () => live.stop()); // first: their watchers go to another process
  return {
    port,
    ready: () =>
      Promise.all([store.ping(), valkey.connection.ping()]).then(
        () => true,
        () => false,
      ),
  };
}
