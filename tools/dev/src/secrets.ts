// The secrets of one installation on this machine: made once, kept with its data, so that a restart can read what it wrote.
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Secrets {
  readonly grpcSharedSecret: string;
  /** Under which services keep their private keys in MongoDB. 32 bytes, base64. */
  readonly keyEncryption: string;
  readonly idempotency: string;
  /** Between payment and stripe-sim; shaped as Stripe's are. */
  readonly stripeSecretKey: string;
  readonly stripeWebhook: string;
  /** For what workflows are given and answer: "id:base64", as PAYLOAD_ENCRYPTION_KEYS. */
  readonly payloadKeys: string;
}

export function newSecrets(): Secrets {
  return {
    grpcSharedSecret: randomBytes(24).toString("base64url"),
    keyEncryption: randomBytes(32).toString("base64"),
    idempotency: randomBytes(24).toString("base64url"),
    stripeSecretKey: `sk_test_${randomBytes(24).toString("hex")}`,
    stripeWebhook: `whsec_${randomBytes(24).toString("hex")}`,
    payloadKeys: `dev:${randomBytes(32).toString("base64")}`,
  };
}

export function keptSecrets(dataDir: string): Secrets {
  const file = join(dataDir, "secrets.json");
  const known = read(file);
  const fresh = newSecrets();
  const secrets = { ...fresh, ...known };
  // One that the version before did not have is kept from now on, too.
  if (known === undefined || Object.keys(fresh).some((name) => !Object.hasOwn(known, name))) {
    mkdirSync(dataDir, { recursive: true });
    writeFileSync(file, `${JSON.stringify(secrets, undefined, 2)}\n`, { mode: 0o600 });
  }
  return secrets;
}

function read(file: string): Partial<Secrets> | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Partial<Secrets>;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return undefined;
  }
}
