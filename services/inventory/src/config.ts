// What can be set, and what it is when nothing is.
import { address, flag, seconds, wholeNumber } from "@onsale/kit/config";
import { redisSettings } from "@onsale/kit/redis-url";
import { z } from "zod";

export const inventorySettings = {
  GRPC_LISTEN: address,
  MONGODB_URI: z.string().min(1),
  MONGODB_DATABASE: z.string().min(1).default("onsale"),
  ...redisSettings,

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
  /** How often this process compares the seats of the events it uses with their claims by itself. 0: never, since a Temporal Schedule does. */
  RECONCILE_SECONDS: z.coerce.number().nonnegative().default(0),
  /** Whether this process may be the one that follows the claims in MongoDB, and tells Valkey of those that it was not told of. */
  FOLLOW_CLAIMS: flag.default(true),
  /** How long the writer of a claim has to tell Valkey by itself. */
  FOLLOW_GRACE_SECONDS: seconds.default(2),
  /** When the one that follows is gone, another does after this time. */
  FOLLOW_LEASE_SECONDS: seconds.default(15),
  /** How old the numbers of an availability may be. */
  AVAILABILITY_CACHE_MS: wholeNumber.nonnegative().max(10_000).default(250),
  /** How often the maps of an event that is being watched are looked at for changes. */
  LIVE_TICK_MS: wholeNumber.min(20).max(5_000).default(200),
  /** How old what a process knows of an event may be. */
  EVENT_CACHE_MS: wholeNumber.nonnegative().max(5_000).default(5_000),
  /**
   * Mixed into what is kept of access codes, so that a copy of the database alone is of no use for guessing them. The same in every
   * process; with another one, codes that were stored before open nothing until they are stored again.
   */
  ACCESS_CODE_SECRET: z
    .string()
    .refine((text) => text === "" || text.length >= 16, "must have at least 16 characters")
    .default(""),
  /** Layouts kept in memory. */
  LAYOUT_CACHE_SIZE: wholeNumber.positive().default(200),
};
