// What can be set, and what it is when nothing is.
import { address, seconds, wholeNumber } from "@onsale/kit/config";
import { redisSettings } from "@onsale/kit/redis-url";
import { z } from "zod";

const days = (count: number) => count * 24 * 60 * 60;
const positive = wholeNumber.positive();

export const accountSettings = {
  GRPC_LISTEN: address,
  MONGODB_URI: z.string().min(1),
  MONGODB_DATABASE: z.string().min(1).default("onsale"),
  ...redisSettings,

  /** Seals signing keys and marks refresh tokens. To change it, move the old one to _PREVIOUS for REFRESH_TOKEN_ABSOLUTE_SECONDS. */
  ACCOUNT_KEY_SECRET: z.string().min(32, "must have at least 32 characters"),
  ACCOUNT_KEY_SECRET_PREVIOUS: z.string().min(32, "must have at least 32 characters").optional(),

  ACCESS_TOKEN_ISSUER: z.string().min(1).default("onsale"),
  ACCESS_TOKEN_AUDIENCE: z.string().min(1).default("onsale"),
  ACCESS_TOKEN_SECONDS: seconds.default(600),
  /** A session ends when it was not refreshed for so long … */
  REFRESH_TOKEN_IDLE_SECONDS: seconds.default(days(30)),
  /** … and in any case so long after the log-in. */
  REFRESH_TOKEN_ABSOLUTE_SECONDS: seconds.default(days(90)),

  SIGNING_KEY_ROTATION_SECONDS: seconds.default(days(30)),
  /** Longer than any verifier caches the public keys. */
  SIGNING_KEY_PUBLISH_AHEAD_SECONDS: seconds.default(60 * 60),

  /** Argon2id. The defaults are the first choice of OWASP's Password Storage Cheat Sheet with 19 MiB. */
  ARGON2_MEMORY_KIB: positive.min(8).default(19_456),
  ARGON2_PASSES: positive.default(2),
  ARGON2_LANES: positive.default(1),
  /** Passwords hashed at the same time: each takes a core and ARGON2_MEMORY_KIB. */
  PASSWORD_HASH_CONCURRENCY: positive.default(2),
  /** Passwords that may wait for that; one more is refused as UNAVAILABLE. */
  PASSWORD_HASH_QUEUE: wholeNumber.nonnegative().default(100),

  /** Failed log-ins within LOGIN_WINDOW_SECONDS, after which more are refused. See attempts.ts for why there are three. */
  LOGIN_FAILURES_PER_ACCOUNT_AND_ADDRESS: positive.default(10),
  LOGIN_FAILURES_PER_ACCOUNT: positive.default(50),
  LOGIN_FAILURES_PER_ADDRESS: positive.default(100),
  LOGIN_WINDOW_SECONDS: positive.default(15 * 60),
  /** A block doubles each time within a day, up to this. */
  LOGIN_BLOCK_MAX_SECONDS: positive.default(60 * 60),

  /** Both or none: the first operator, made at start if it is not there. */
  ACCOUNT_BOOTSTRAP_OPERATOR_EMAIL: z.string().optional(),
  ACCOUNT_BOOTSTRAP_OPERATOR_PASSWORD: z.string().optional(),
};
