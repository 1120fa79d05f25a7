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
}

export function newSecrets(): Secrets {
  return {
    grpcSharedSecret: randomBytes(24).toString("base64url"),
    keyEncryption: randomBytes(32).toString("base64"),
    idempotency: randomBytes(24).toString("base64url"),
    stripeSecretKey: `sk_test_${randomBytes(24).toString("hex")}`,
    stripeWebhook: `whsec_${randomBytes(24).toString("hex")}`,
  };
}

export function keptSecrets(dataDir: string): Secrets {
  const file = join(dataDir, "secrets.json");
  try {
    return { ...newSecrets(), ...(JSON.parse(readFileSync(file, "utf8")) as Partial<Secrets>) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    const secrets = newSecrets();
    mkdirSync(dataDir, { recursive: true });
    writeFileSync(file, `${JSON.stringify(secrets, undefined, 2)}\n`, { mode: 0o600 });
    return secrets;
  }
}
