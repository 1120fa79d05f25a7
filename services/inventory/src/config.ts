// What can be set, and what it is when nothing is.
import { address, seconds, wholeNumber } from "@onsale/kit/config";
import { z } from "zod";

export const inventorySettings = {
  GRPC_LISTEN: address,
  MONGODB_URI: z.string().min(1),
  MONGODB_DATABASE: z.string().min(1).default("onsale"),
  REDIS_URL: z.string().min(1),

  /** How long a buyer has to pay. */
  HOLD_TTL_SECONDS: seconds.default(300),
  /**
   * How much longer the seats stay taken in Valkey. It must be more than the grace that the workflow gives to a payment in
   * flight at the deadline: the workflow ends a hold, and this only where the workflow never came to be.
   */
  HOLD_MARGIN_SECONDS: seconds.default(120),
  /** How long a hold that has ended is remembered, so that a late retry of it does not take the seats again. */
  HOLD_MEMORY_SECONDS: seconds.default(6 * 60 * 60),

  /** How often expired holds are cleared away. */
  SWEEP_SECONDS: seconds.default(1),
  /** How often the seats of an event in use are compared with its claims. */
  RECONCILE_SECONDS: seconds.default(300),
  /** How old the numbers of an availability may be. */
  AVAILABILITY_CACHE_MS: wholeNumber.nonnegative().max(10_000).default(250),
  /** How old what a process knows of an event may be. */
  EVENT_CACHE_MS: wholeNumber.nonnegative().max(5_000).default(5_000),
  /** Layouts kept in memory. */
  LAYOUT_CACHE_SIZE: wholeNumber.positive().default(200),
};
