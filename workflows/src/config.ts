// The worker's settings.
import { address, flag, seconds, wholeNumber } from "@onsale/kit/config";
import { payloadEncryptionSettings } from "@onsale/kit/payload-encryption";
import { temporalSettings } from "@onsale/kit/temporal";
import { z } from "zod";
import { checkoutTaskQueue, usualBooks } from "./contract.js";

export const workerSettings = {
  ...temporalSettings,
  ...payloadEncryptionSettings,
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
  /**
   * With versioning: the workers decide among themselves which build is current (builds.ts), and move what builds without workers have
   * left open. false: an operator does.
   */
  WORKER_PROMOTE: flag.default(false),
  /** A worker must have run for so long before its build takes over from another. */
  WORKER_STEADY_SECONDS: wholeNumber.min(0).max(600).default(10),
  /** Names this worker in Temporal; unique among those that run. Unset: a name of its own at each start. */
  POD_NAME: z.string().min(1).optional(),
  DEPLOYMENT_NAME: z.string().min(1).default("onsale-checkout"),
  /** Names this build. Unset: a hash of the workflows' code, which is what must not differ unnoticed. */
  BUILD_ID: z.string().min(1).optional(),
  /** How often all seats are compared with their claims, by a Temporal Schedule that the worker makes if there is none. 0: it makes none. */
  RECONCILE_EVERY_SECONDS: wholeNumber.min(0).default(300),
  /** How often what no workflow looks after is searched for, by a Temporal Schedule that the worker makes if there is none. 0: it makes none. */
  ORPHANS_EVERY_SECONDS: wholeNumber.min(0).default(300),
  /** For so long something must stand alone: longer than a checkout lasts, its grace and its undoing included. */
  ORPHANS_AFTER_SECONDS: wholeNumber.min(0).default(900),
  /** When the books are closed each day, UTC, by a Temporal Schedule that the worker makes if there is none. never: it makes none. */
  BOOKS_AT: z
    .string()
    .regex(/^(([01]\d|2[0-3]):[0-5]\d|never)$/, 'must be a time of day in UTC as "03:10", or never')
    .default("03:10")
    .transform((text) => {
      const [hour = 0, minute = 0] = text.split(":").map(Number);
      return text === "never" ? undefined : { hour, minute };
    }),
  /** So far back each closing of the books looks; more than a day, so that they overlap. 0: at everything. */
  BOOKS_WINDOW_HOURS: wholeNumber
    .min(0)
    .max(100_000)
    .default(usualBooks.windowMs / 3_600_000),
  /** What changed in this time may be under way, and is no difference. */
  BOOKS_SETTLED_SECONDS: wholeNumber
    .min(0)
    .max(86_400)
    .default(usualBooks.settledAfterMs / 1_000),
  /** Longer than the longest step (30 s), so that a stopped worker leaves no step cut off. */
  SHUTDOWN_GRACE_SECONDS: seconds.default(40),
};
