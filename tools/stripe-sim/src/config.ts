// The settings of stripe-sim.
import { address, flag, wholeNumber } from "@onsale/kit/config";
import { z } from "zod";
import { faultRules } from "./faults.js";

const share = z.coerce.number().min(0, "must be between 0 and 1").max(1, "must be between 0 and 1");
const notNegative = wholeNumber.min(0, "must not be negative");
const atLeastOne = wholeNumber.min(1, "must be at least 1");
/** A timer of Node's can't be set any later. */
export const longestTimerMs = 2 ** 31 - 1;
const webAddress = z.url({ protocol: /^https?$/, message: "must be an http or https URL" });

const faultsFromJson = z.string().transform((text, context) => {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    context.addIssue("must be JSON: a list of fault rules");
    return z.NEVER;
  }
  const rules = faultRules.safeParse(parsed);
  if (rules.success) return rules.data;
  for (const { path, message } of rules.error.issues) context.addIssue(`rule ${path.join(".")}: ${message}`);
  return z.NEVER;
});

export const stripeSimSettings = {
  HTTP_LISTEN: address.default("127.0.0.1:0"),
  /** Where a browser finds this process; used in links to its pages. Unset: http:// and the address listened on. */
  PUBLIC_URL: webAddress.optional(),
  /** Where the journal lives. One process at a time. */
  SIM_DATA_DIR: z.string().min(1).default(".data/stripe-sim"),
  /** Where events are posted, signed with STRIPE_WEBHOOK_SECRET. Unset: events are kept for GET /v1/events only. */
  STRIPE_WEBHOOK_URL: webAddress.optional(),
  STRIPE_WEBHOOK_SECRET: z
    .string()
    .regex(/^whsec_\S+$/, "must start with whsec_")
    .optional(),
  /** Requests a second; 0: no limit. Stripe's defaults, https://docs.stripe.com/rate-limits */
  SIM_RATE_PER_ENDPOINT: notNegative.default(25),
  SIM_RATE_TOTAL: notNegative.default(100),
  /** Opens /_sim/… to whoever reaches the port: faults, ledger, request log, 3-D Secure by request. */
  SIM_CONTROL: flag.default(false),
  /** A JSON list of fault rules; see README. */
  SIM_FAULTS: faultsFromJson.default([]),
  /** Of every random choice: the same seed and the same requests in the same order give the same run. */
  SIM_SEED: wholeNumber.default(1),
  /** Share of events that are delivered twice. */
  SIM_WEBHOOK_DUPLICATES: share.default(0),
  /** Share of events that are held back by up to SIM_WEBHOOK_REORDER_MS, so that later ones overtake them. */
  SIM_WEBHOOK_REORDERED: share.default(0),
  SIM_WEBHOOK_REORDER_MS: notNegative.default(1_000),
  /** Added before every delivery. */
  SIM_WEBHOOK_DELAY_MS: notNegative.default(0),
  SIM_WEBHOOK_CONCURRENCY: atLeastOne.default(8),
  SIM_WEBHOOK_ATTEMPTS: atLeastOne.default(16),
  /** Wait after the first failed attempt; it doubles up to 60 s. */
  SIM_WEBHOOK_RETRY_MS: atLeastOne.default(500),
  SIM_WEBHOOK_TIMEOUT_MS: atLeastOne.default(10_000),
  /** How long a change stays unseen by search; Stripe says usually under a minute, https://docs.stripe.com/search */
  SIM_SEARCH_LAG_MS: notNegative.default(0),
  /** How long refunds to the "pending" and "failing" test cards take to settle. */
  SIM_REFUND_SETTLE_MS: notNegative.default(1_000),
  /** How soon the holder of a "disputing" test card disputes the payment. */
  SIM_DISPUTE_OPEN_MS: notNegative.default(1_000),
  /** How long evidence is taken; a dispute that nobody answers is lost then. Nine days at most cards. */
  SIM_DISPUTE_DUE_MS: notNegative.max(longestTimerMs).default(9 * 24 * 60 * 60 * 1000),
  /** How long the bank takes over evidence that decides: winning_evidence, losing_evidence, escalate_inquiry_evidence. */
  SIM_DISPUTE_SETTLE_MS: notNegative.default(1_000),
  /** The journal is rewritten once it is this long and twice as long as after the last rewrite. */
  SIM_COMPACT_BYTES: atLeastOne.default(64 * 1024 * 1024),
};
