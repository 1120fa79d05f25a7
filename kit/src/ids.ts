// Ids: branded strings, random or derived. A derived id lets a retry meet what the first try made.
import { hash, randomBytes } from "node:crypto";

export type Branded<Name extends string> = string & { readonly __brand: Name };
export type AccountId = Branded<"AccountId">;
export type EventId = Branded<"EventId">;
export type CheckoutId = Branded<"CheckoutId">;

const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"; // Crockford's base 32, lower case

function base32(bytes: Uint8Array, length: number): string {
  let text = "";
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5 && text.length < length) {
      bits -= 5;
      text += alphabet[(value >> bits) & 31];
    }
    value &= (1 << bits) - 1;
  }
  return text;
}

const pool = { bytes: Buffer.alloc(0), used: 0 };

/** Random bytes as randomBytes gives them, drawn many at a time: asking the system costs more than the bytes. */
export function freshBytes(length: number): Buffer {
  if (pool.used + length > pool.bytes.length) {
    pool.bytes = randomBytes(4_096 + length);
    pool.used = 0;
  }
  pool.used += length;
  return pool.bytes.subarray(pool.used - length, pool.used);
}

/** "prefix_" and 26 base-32 characters: 48 bits of time, so that ids sort by age, and 80 random bits. */
export function newId(prefix: string, now = Date.now()): string {
  const bytes = freshBytes(17);
  bytes.writeUIntBE(now, 0, 6);
  return `${prefix}_${base32(bytes, 26)}`;
}

/** "prefix_" and 26 base-32 characters (130 bits of SHA-256) of the parts, each with its length, so that parts can't run together. */
export function derivedId(prefix: string, ...parts: readonly string[]): string {
  return `${prefix}_${base32(digest(parts), 26)}`;
}

/** 64 bits of SHA-256 in hex: what a seat record has room for. */
export function derivedHex64(...parts: readonly string[]): string {
  return digest(parts).subarray(0, 8).toString("hex");
}

function digest(parts: readonly string[]): Buffer {
  return hash("sha256", parts.map((part) => `${Buffer.byteLength(part)}:${part}`).join(""), "buffer");
}
