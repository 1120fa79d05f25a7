// The gateway's settings; the only place that names its environment variables.
import { clockSettings } from "@onsale/kit/clocks";
import { address, flag, seconds, target, wholeNumber } from "@onsale/kit/config";
import { payloadEncryptionSettings } from "@onsale/kit/payload-encryption";
import { redisSettings } from "@onsale/kit/redis-url";
import { temporalSettings } from "@onsale/kit/temporal";
import { checkoutTaskQueue } from "@onsale/workflows/contract";
import { z } from "zod";

/** "600/60": so many requests in so many seconds. */
const rate = z
  .string()
  .regex(/^[1-9]\d{0,8}\/[1-9]\d{0,5}$/, 'must be requests/seconds, as "600/60"')
  .transform((text) => {
    const [points = 0, seconds = 0] = text.split("/").map(Number);
    return { points, seconds };
  });
export type Rate = z.infer<typeof rate>;

/** Whose X-Forwarded-* headers count: "false", a number of proxies, or their addresses and subnets by comma. */
const trustedProxies = z
  .string()
  .regex(/^(false|\d{1,2}|[0-9a-fA-F.:/,\s]+|[a-z,]+)$/, "must be false, a number of proxies, or addresses by comma")
  .transform((text): false | number | string[] => {
    if (text === "false") return false;
    if (/^\d{1,2}$/.test(text)) return Number(text);
    return text.split(",").map((part) => part.trim());
  });

const commaList = z.string().transform((text) =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== ""),
);

export const gatewaySettings = {
  /** Where the REST API is served. */
  HTTP_LISTEN: address.default("127.0.0.1:8080"),
  ACCOUNT_ADDRESS: address,
  /** Holds go over streams to each process that this stands for; the rest is asked of one after the other. */
  INVENTORY_ADDRESS: target,
  PAYMENT_ADDRESS: address,
  TICKET_ADDRESS: address,
  ...temporalSettings,
  ...payloadEncryptionSettings,
  /** Where Temporal's Web UI is, for links from an order to its checkout; no links without it. */
  TEMPORAL_UI_URL: z
    .url({ protocol: /^https?$/ })
    .transform((url) => url.replace(/\/+$/, ""))
    .optional(),
  /** The queue that the workers of checkouts, refunds and late payments serve. */
  TASK_QUEUE: z.string().min(1).default(checkoutTaskQueue),
  /** Rate limits and stored answers. */
  ...redisSettings,
  ...clockSettings,
  /** Before each key in Valkey. */
  REDIS_PREFIX: z.string().default("gw:"),
  /** Claims that access tokens must carry, as the account service writes them. */
  ACCESS_TOKEN_ISSUER: z.string().min(1).default("onsale"),
  ACCESS_TOKEN_AUDIENCE: z.string().min(1).default("onsale"),
  /** Where buyers reach the shop, for the way back from 3-D Secure; without it, the address that the request came to. */
  PUBLIC_URL: z
    .url({ protocol: /^https?$/ })
    .transform((url) => url.replace(/\/+$/, ""))
    .optional(),
  /** Where the storefront's pages are: buyers come back there from their bank. Without it, a plain page says to go back. */
  STOREFRONT_URL: z.url({ protocol: /^https?$/ }).optional(),
  TRUST_PROXY: trustedProxies.default(false),
  /** Browser origins that may call the API; none by default. */
  CORS_ORIGINS: commaList.default([]),
  /** Per address, without a token. Generous: a whole office or campus may share one address. */
  RATE_ANONYMOUS: rate.default({ points: 6000, seconds: 60 }),
  /** Per account, with a token. */
  RATE_ACCOUNT: rate.default({ points: 600, seconds: 60 }),
  /** Per address, for sign-up, log-in and refresh, on top. The account service throttles guessing by itself. */
  RATE_CREDENTIALS: rate.default({ points: 1200, seconds: 60 }),
  /** Wrong access codes per account, or per address without a token; right ones are not counted. */
  RATE_CODES: rate.default({ points: 20, seconds: 60 }),
  /** Wrong access codes per address, whatever the account. */
  RATE_CODES_ADDRESS: rate.default({ points: 200, seconds: 60 }),
  /** Per address, for webhooks. */
  RATE_WEBHOOKS: rate.default({ points: 30_000, seconds: 60 }),
  /** Off for load tests alone. */
  RATE_LIMITS: flag.default(true),
  /** For how long an answer that is the same for all may be given again: seats and numbers. Events and layouts: four times as long. */
  ANSWER_CACHE_MS: wholeNumber.nonnegative().max(5_000).default(100),
  /** Readers of live seats in this process, and of one address. A reader is a connection, and some 30 KB. */
  LIVE_READERS: wholeNumber.positive().default(10_000),
  LIVE_READERS_PER_ADDRESS: wholeNumber.positive().default(500),
  /** A reader who lets so much pile up is dropped. */
  LIVE_READER_BUFFER_BYTES: wholeNumber.min(65_536).default(262_144),
  /** Between two signs of life while nothing changes, so that no proxy takes the connection for dead. */
  LIVE_HEARTBEAT_SECONDS: seconds.default(15),
  /** How long POST …/payment waits for the outcome before it answers 202. */
  PAYMENT_WAIT_SECONDS: seconds.default(25),
  /** How long POST …/refund waits for the outcome before it answers 202. */
  REFUND_WAIT_SECONDS: seconds.default(20),
  /** From an event's cancellation until its orders are given back: longer than EVENT_CACHE_MS of the inventory, plus a claim's time. */
  CANCEL_SETTLE_SECONDS: seconds.default(15),
  /** Mixed into the encryption of stored answers; the same in every gateway. A new one forgets the stored answers. */
  IDEMPOTENCY_SECRET: z.string().min(16, "must have at least 16 characters").optional(),
  /** After SIGTERM, how long connections are still accepted, so that a load balancer has time to look away. */
  DRAIN_DELAY_SECONDS: z.coerce.number().min(0).default(0),
};
