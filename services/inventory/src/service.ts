// The composition of the inventory service: stores, what is remembered, use cases, upkeep, server.
import { createGrpcServer } from "@onsale/kit/grpc";
import { type ContextOf, prepareWhenAvailable, type RunningService } from "@onsale/kit/process";
import { createSeatMaps } from "./availability.js";
import { createCatalog } from "./catalog.js";
import { createClaims } from "./claim.js";
import type { inventorySettings } from "./config.js";
import { createGenerations } from "./generation.js";
import { createHolds } from "./hold.js";
import { rememberEvents } from "./known-events.js";
import { serveInventory } from "./server.js";
import { openStore } from "./store.js";
import { startUpkeep } from "./upkeep.js";
import { openValkey } from "./valkey.js";

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
    holdTtlMs: Math.round(config.HOLD_TTL_SECONDS * 1000),
    holdMarginMs: Math.round(config.HOLD_MARGIN_SECONDS * 1000),
    holdMemoryMs: Math.round(config.HOLD_MEMORY_SECONDS * 1000),
    log,
  });
  lifecycle.onStop("valkey", () => valkey.close());

  const events = rememberEvents(store, {
    eventCacheMs: config.EVENT_CACHE_MS,
    layoutCacheSize: config.LAYOUT_CACHE_SIZE,
  });
  const generations = createGenerations({ store, valkey, layoutOf: events.layoutOf, log, metrics });
  const maps = createSeatMaps({ valkey, generations, events, cacheMs: config.AVAILABILITY_CACHE_MS, metrics });
  const holds = createHolds({ events, generations, valkey, maps, random: Math.random, metrics });
  const claims = createClaims({ store, events, generations, valkey, log, metrics, running: lifecycle.running });
  const catalog = createCatalog({ store, events, generations, now: Date.now });

  const upkeep = startUpkeep({
    maps,
    generations,
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
  });
  serveInventory(server, { catalog, events, holds, claims, maps });

  await prepareWhenAvailable({ log, lifecycle }, () => store.prepare());
  const port = await server.start();
  lifecycle.onStop("grpc", () => server.stop(config.SHUTDOWN_GRACE_SECONDS * 900));
  return {
    port,
    ready: () =>
      Promise.all([store.ping(), valkey.ping()]).then(
        () => true,
        () => false,
      ),
  };
}
