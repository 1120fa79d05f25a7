// The worker's settings.
import { address, flag, seconds, wholeNumber } from "@onsale/kit/config";
import { z } from "zod";
import { checkoutTaskQueue } from "./contract.js";

export const workerSettings = {
  TEMPORAL_ADDRESS: address,
  TEMPORAL_NAMESPACE: z.string().min(1).default("default"),
  INVENTORY_ADDRESS: address,
  PAYMENT_ADDRESS: address,
  TICKET_ADDRESS: address,
  TASK_QUEUE: z.string().min(1).default(checkoutTaskQueue),
  /** A cached workflow is some 380 KB of memory and saves replaying it whenever it wakes. */
  MAX_CACHED_WORKFLOWS: wholeNumber.min(0).max(100_000).default(1_000),
  /** Where Temporal's own metrics are served for Prometheus, as host:port. Unset: nowhere. */
  TEMPORAL_METRICS_LISTEN: address.optional(),
  /**
   * true: a checkout stays with the build that began it, and new ones go to the deployment's current build. Then a
   * build takes no work until it was made current (by the operator, or by WORKER_PROMOTE).
   */
  WORKER_VERSIONING: flag.default(false),
  /** With versioning: a build that never was current makes itself current when it starts. A later restart changes nothing. */
  WORKER_PROMOTE: flag.default(false),
  DEPLOYMENT_NAME: z.string().min(1).default("onsale-checkout"),
  /** Names this build. Unset: a hash of the workflows' code, which is what must not differ unnoticed. */
  BUILD_ID: z.string().min(1).optional(),
  /** How often all seats are compared with their claims, by a Temporal Schedule that the worker makes if there is none. 0: it makes none. */
  RECONCILE_EVERY_SECONDS: wholeNumber.min(0).default(300),
  /** Longer than the longest step (30 s), so that a stopped worker leaves no step cut off. */
  SHUTDOWN_GRACE_SECONDS: seconds.default(40),
};
