// The codec server's settings.
import { address, flag } from "@onsale/kit/config";
import { payloadEncryptionSettings } from "@onsale/kit/payload-encryption";
import { z } from "zod";

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
