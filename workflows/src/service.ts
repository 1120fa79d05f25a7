// The worker's composition: clients of the services, the activities made of them, and the worker that runs both.
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { connect } from "@onsale/kit/grpc-client";
import { payloadEncryption } from "@onsale/kit/payload-encryption";
import type { ContextOf, RunningService } from "@onsale/kit/process";
import { temporalConnection } from "@onsale/kit/temporal";
import { CatalogServiceService } from "@onsale/proto/inventory/v1/catalog";
import { ReconcileServiceService } from "@onsale/proto/inventory/v1/reconcile";
import { SeatServiceService } from "@onsale/proto/inventory/v1/seats";
import { PaymentServiceService } from "@onsale/proto/payment/v1/payment";
import { TicketServiceService } from "@onsale/proto/ticket/v1/ticket";
import { createActivities } from "./activities/steps.js";
import { watchBooks } from "./books/gauges.js";
import type { workerSettings } from "./config.js";
import { createEndCounter, watchTemporal } from "./ends.js";
import { successionMetrics } from "./succession.js";
import { installRuntime, startWorker } from "./worker.js";

/** `code`: the workflows' code, for tests that don't build it ahead. The port is 0: nobody calls a worker. */
export async function startWorkflows(
  { config, log, metrics, lifecycle, trust }: ContextOf<typeof workerSettings>,
  code?: string,
): Promise<RunningService> {
  const encryption = payloadEncryption(config.PAYLOAD_ENCRYPTION_KEYS);
  if (!encryption && config.NODE_ENV === "production")
    log.warn("PAYLOAD_ENCRYPTION_KEYS is not set: whoever may look at Temporal reads what workflows are given");
  installRuntime(log, config.TEMPORAL_METRICS_LISTEN);
  const inventory = connect(SeatServiceService, { address: config.INVENTORY_ADDRESS, trust });
  const payment = connect(PaymentServiceService, { address: config.PAYMENT_ADDRESS, trust });
  const ticket = connect(TicketServiceService, { address: config.TICKET_ADDRESS, trust });
  const reconcile = connect(ReconcileServiceService, { address: config.INVENTORY_ADDRESS, trust });
  const catalog = connect(CatalogServiceService, { address: config.INVENTORY_ADDRESS, trust });
  for (const [name, client] of Object.entries({ inventory, payment, ticket, reconcile, catalog }))
    lifecycle.onStop(`client of ${name}`, () => client.close());

  const succession = successionMetrics(metrics);
  const worker = startWorker(
    {
      connection: temporalConnection(config),
      namespace: config.TEMPORAL_NAMESPACE,
      encryption,
      taskQueue: config.TASK_QUEUE,
      maxCachedWorkflows: config.MAX_CACHED_WORKFLOWS,
      shutdownGraceMs: Math.max(config.SHUTDOWN_GRACE_SECONDS * 1_000 - 5_000, 1_000),
      name: config.POD_NAME ?? `${hostname()}-${randomUUID().slice(0, 8)}`,
      versioning: config.WORKER_VERSIONING
        ? {
            deploymentName: config.DEPLOYMENT_NAME,
            promote: config.WORKER_PROMOTE,
            steadyMs: config.WORKER_STEADY_SECONDS * 1_000,
            metrics: succession,
          }
        : undefined,
      buildId: config.BUILD_ID,
      reconcileEverySeconds: config.RECONCILE_EVERY_SECONDS,
      orphansEverySeconds: config.ORPHANS_EVERY_SECONDS,
      orphansAfterSeconds: config.ORPHANS_AFTER_SECONDS,
      booksAt: config.BOOKS_AT,
      books: {
        settledAfterMs: config.BOOKS_SETTLED_SECONDS * 1_000,
        ...(config.BOOKS_WINDOW_HOURS > 0 && { windowMs: config.BOOKS_WINDOW_HOURS * 3_600_000 }),
      },
      code,
      onEnded: createEndCounter(metrics),
    },
    ({ isWorkflowRunning }) =>
      createActivities({ inventory, catalog, reconcile, payment, ticket, isWorkflowRunning, log, metrics }),
    log,
  );
  lifecycle.onStop("worker", () => worker.stop());
  lifecycle.onStop("counts in Temporal", watchTemporal(worker, metrics, log));
  lifecycle.onStop("gauges of the books", watchBooks(worker.lastBooks, metrics, log));
  return { port: 0, ready: () => worker.ready() };
}
