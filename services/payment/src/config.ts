// Every setting of the payment service.
import { address, seconds, wholeNumber } from "@onsale/kit/config";
import { redisSettings } from "@onsale/kit/redis-url";
import { z } from "zod";

const share = z.coerce.number().gt(0).max(1);

export const paymentSettings = {
  GRPC_LISTEN: address,
  MONGODB_URI: z.string().min(1),
  MONGODB_DATABASE: z.string().min(1).default("onsale"),
  ...redisSettings,

  STRIPE_SECRET_KEY: z.string().min(1),
  /** Another server that speaks Stripe's API, such as stripe-sim. */
  STRIPE_API_BASE: z.url({ protocol: /^https?$/ }).default("https://api.stripe.com"),
  /** One or more signing secrets (whsec_…), separated by commas: during a rotation the old and the new one both count. */
  STRIPE_WEBHOOK_SECRET: z
    .string()
    .transform((text) => text.split(",").map((secret) => secret.trim()))
    .refine((secrets) => secrets.every((secret) => secret.length > 0), "must be secrets separated by commas"),
  /** A delivery signed longer ago than this is refused, so that a recorded one can't be played again. */
  STRIPE_WEBHOOK_TOLERANCE_SECONDS: seconds.default(300),
  /** A delivery is remembered for so long. Stripe redelivers for three days at most. */
  STRIPE_WEBHOOK_MEMORY_DAYS: seconds.default(30),
  /** One request to Stripe, from the first byte sent to the last one read. */
  STRIPE_TIMEOUT_SECONDS: seconds.default(8),

  /** Stripe's limits for this account: requests a second at one endpoint, and in all. */
  STRIPE_RATE_PER_ENDPOINT: wholeNumber.min(1).default(25),
  STRIPE_RATE_TOTAL: wholeNumber.min(1).default(100),
  /** How much of the limits this installation uses; the rest absorbs jitter on the way and other users of the account. */
  STRIPE_RATE_USE_SHARE: share.default(0.9),
  /** How much of the budget new authorizations may take; the rest is kept for captures, cancellations and refunds. */
  STRIPE_RATE_NEW_SHARE: share.default(0.8),
  /** How much of the budget one process uses by itself while Valkey can't be asked: one over the number of processes. */
  STRIPE_RATE_ALONE_SHARE: share.default(0.25),
  /** Processes that use the same Stripe account share one budget by this name. */
  STRIPE_BUDGET_NAME: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/, "must be letters, digits, _ or -")
    .default("stripe"),

  /** So many failures of the connection or of Stripe's servers in a row open the circuit breaker. */
  STRIPE_BREAKER_FAILURES: wholeNumber.min(1).default(5),
  /** So long it stays open before one call may try. */
  STRIPE_BREAKER_OPEN_SECONDS: seconds.default(5),
};
