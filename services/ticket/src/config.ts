// What can be set, and what it is when nothing is.
import { address, seconds } from "@onsale/kit/config";
import { z } from "zod";

const year = 365 * 24 * 60 * 60;

export const ticketSettings = {
  GRPC_LISTEN: address,
  MONGODB_URI: z.string().min(1),
  MONGODB_DATABASE: z.string().min(1).default("onsale"),

  /** Seals the keys that sign tickets. To change it, move the old one to _PREVIOUS and leave it there. */
  TICKET_KEY_SECRET: z.string().min(32, "must have at least 32 characters"),
  TICKET_KEY_SECRET_PREVIOUS: z.string().min(32, "must have at least 32 characters").optional(),
  /** The `iss` of ticket tokens: which installation a gate trusts. */
  TICKET_ISSUER: z.string().min(1).max(60).default("onsale"),
  SIGNING_KEY_ROTATION_SECONDS: seconds.default(year),
  /** Gates fetch the public keys at least this often. */
  SIGNING_KEY_PUBLISH_AHEAD_SECONDS: seconds.default(24 * 60 * 60),
};
