// What can be set, and what it is when nothing is.
import { address } from "@onsale/kit/config";
import { z } from "zod";

export const storefrontSettings = {
  HTTP_LISTEN: address,
  /** Where the built pages are. */
  WEB_DIR: z.string().min(1).optional(),
  /**
   * The gateway, for installations without an ingress in front: what is not a page is passed on to it, so that pages and API
   * have one origin.
   */
  GATEWAY_URL: z.url({ protocol: /^https?$/ }).optional(),
  /** pk_…: cards are typed into Stripe's own Payment Element. */
  STRIPE_PUBLISHABLE_KEY: z
    .string()
    .regex(/^pk_(test|live)_[A-Za-z0-9]+$/, "must be a publishable key of Stripe, pk_test_… or pk_live_…")
    .optional(),
  /** Otherwise: stripe-sim, as the buyer's browser reaches it; cards are typed into a page of its own. */
  CARD_PAGE_URL: z.url({ protocol: /^https?$/ }).optional(),
  /** The Temporal Web UI, as an operator's browser reaches it. */
  TEMPORAL_UI_URL: z.url({ protocol: /^https?$/ }).optional(),
};
