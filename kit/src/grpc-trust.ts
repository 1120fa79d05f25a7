// How services know each other: by certificates, by a shared secret, or, in tests, not at all.
import { createHash, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Metadata } from "@grpc/grpc-js";
import { DomainError } from "./errors.js";
import { secretKey } from "./grpc-method.js";

/** How peers know each other; without any of it the channel is open, which suits tests alone. */
export interface Trust {
  readonly sharedSecret?: string | undefined;
  readonly tls?: { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer } | undefined;
}

export function readTrust(config: {
  GRPC_SHARED_SECRET?: string | undefined;
  GRPC_TLS_CA?: string | undefined;
  GRPC_TLS_CERT?: string | undefined;
  GRPC_TLS_KEY?: string | undefined;
  NODE_ENV: string;
}): Trust {
  const { GRPC_TLS_CA: ca, GRPC_TLS_CERT: cert, GRPC_TLS_KEY: key, GRPC_SHARED_SECRET: sharedSecret } = config;
  const given = [ca, cert, key].filter((file) => file !== undefined);
  if (given.length !== 0 && given.length !== 3)
    throw new Error("Mutual TLS needs all of GRPC_TLS_CA, GRPC_TLS_CERT and GRPC_TLS_KEY.");
  if (config.NODE_ENV === "production" && !sharedSecret && given.length === 0)
    throw new Error("In production, services must know each other: set GRPC_TLS_CA/CERT/KEY or GRPC_SHARED_SECRET.");
  const tls =
    ca && cert && key ? { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) } : undefined;
  return { sharedSecret, tls };
}

/** Refusal: PEER_UNAUTHENTICATED. */
export function checkSecret({ sharedSecret }: Trust, metadata: Metadata): void {
  if (!sharedSecret) return;
  const given = metadata.get(secretKey)[0]?.toString() ?? "";
  const hash = (text: string) => createHash("sha256").update(text).digest();
  if (!timingSafeEqual(hash(given), hash(sharedSecret)))
    throw new DomainError("PEER_UNAUTHENTICATED", "The caller does not have this installation's shared secret.");
}
