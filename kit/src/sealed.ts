// Small secrets at rest: sealed with AES-256-GCM under a key derived from a secret that is not in the same store.
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";

export interface Sealer {
  /** "s1.<nonce>.<ciphertext and tag>" in base64url. The label is not stored: opening needs the same one, so that sealed values can't be swapped. */
  seal(plain: Uint8Array, label: string): string;
  /** Throws an Error when the secret or the label is another one, or the text was changed. */
  open(sealed: string, label: string): Buffer;
}

export interface SealerSettings {
  /** A long random text; every process that opens needs the same one. */
  readonly secret: string;
  /** The secret before this one: still opens, never seals, so that the secret can be changed without losing what is stored. */
  readonly previousSecret?: string | undefined;
  /** Separates what is derived from one secret: "access-token keys". */
  readonly purpose: string;
}

/** 32 bytes by HKDF-SHA-256 (RFC 5869). The secret must have enough entropy by itself: this is no password hash. */
export function deriveKey(secret: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync("sha256", secret, "", `onsale ${purpose}`, 32));
}

const version = "s1";
const nonceBytes = 12;
const tagBytes = 16;

export function createSealer({ secret, previousSecret, purpose }: SealerSettings): Sealer {
  const sealingKey = deriveKey(secret, purpose);
  const openingKeys = [sealingKey, ...(previousSecret ? [deriveKey(previousSecret, purpose)] : [])];
  return {
    seal(plain, label) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv("aes-256-gcm", sealingKey, nonce).setAAD(Buffer.from(label));
      const body = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
      return [version, nonce.toString("base64url"), body.toString("base64url")].join(".");
    },
    open(sealed, label) {
      const [given, nonceText = "", bodyText = "", ...rest] = sealed.split(".");
      const nonce = Buffer.from(nonceText, "base64url");
      const body = Buffer.from(bodyText, "base64url");
      if (given !== version || rest.length > 0 || nonce.length !== nonceBytes || body.length < tagBytes)
        throw new Error("This is not a sealed value.");
      const text = body.subarray(0, -tagBytes);
      for (const key of openingKeys) {
        try {
          const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: tagBytes });
          decipher.setAAD(Buffer.from(label)).setAuthTag(body.subarray(-tagBytes));
          return Buffer.concat([decipher.update(text), decipher.final()]);
        } catch {
          // Not this key; GCM does not tell a wrong key from a changed text, and neither do we.
        }
      }
      throw new Error("A sealed value can't be opened: it was sealed with another secret, or it was changed.");
    },
  };
}
