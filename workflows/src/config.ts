// The settings of the worker and of the codec server.
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

const rate = z
  .string()
  .regex(/^[1-9]\d{0,6}\/[1-9]\d{0,4}$/, 'must be requests/seconds, as "600/60"')
  .transform((text) => {
    const [most = 0, everySeconds = 0] = text.split("/").map(Number);
    return { most, everySeconds };
  });

export const codecSettings = {
  /** Where payloads are decoded, over HTTP; TLS is the ingress's. */
  CODEC_LISTEN: address.default("127.0.0.1:8088"),
  PAYLOAD_ENCRYPTION_KEYS: payloadEncryptionSettings.PAYLOAD_ENCRYPTION_KEYS.unwrap(),
  /** Where Temporal's Web UI is served, as browsers name it: https://temporal.example.com. Several by comma. */
  CODEC_ORIGINS: z
    .string()
    .default("")
    .transform((text) =>
      text
        .split(",")
        .map((part) => part.trim().replace(/\/+$/, ""))
        .filter((part) => part !== ""),
    ),
  /** The account service, whose keys prove the shop's access tokens; the role operator is asked for. */
  ACCOUNT_ADDRESS: address.optional(),
  ACCESS_TOKEN_ISSUER: z.string().min(1).default("onsale"),
  ACCESS_TOKEN_AUDIENCE: z.string().min(1).default("onsale"),
  /** The keys of the single sign-on whose tokens the Web UI passes on. */
  CODEC_OIDC_JWKS_URL: z.url({ protocol: /^https?$/ }).optional(),
  CODEC_OIDC_ISSUER: z.string().min(1).optional(),
  CODEC_OIDC_AUDIENCE: z.string().min(1).optional(),
  /** The claim that lists a person's roles; dots lead into objects, as in realm_access.roles. */
  CODEC_OIDC_ROLES_CLAIM: z.string().min(1).default("roles"),
  CODEC_OIDC_ROLE: z.string().min(1).default("operator"),
  /** Of one person. */
  CODEC_RATE: rate.default({ most: 600, everySeconds: 60 }),
  /** Development only: whoever is on this machine may decode, without a token. */
  CODEC_OPEN_ON_LOOPBACK: flag.default(false),
};
