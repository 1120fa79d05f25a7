// Ed25519 signing keys that rotate by themselves: published before they sign, kept until what they signed has expired.
import { createHash, createPrivateKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import type { Sealer } from "./sealed.js";

/** One key as it is stored. The private half is sealed; the rest is public. */
export interface StoredKey {
  /** 1, 2, 3 …: unique in the store, which is how several processes make one next key and not several. */
  readonly sequence: number;
  readonly kid: string;
  /** The public key: `x` of the JWK (RFC 8037), base64url. */
  readonly x: string;
  /** PKCS #8, sealed with the kid as its label. */
  readonly sealedPrivateKey: string;
  readonly signsFromMs: number;
}

export interface SigningKeyStore {
  list(): Promise<readonly StoredKey[]>;
  /** False when a key with this sequence is stored already: another process was first. */
  add(key: StoredKey): Promise<boolean>;
  remove(sequence: number): Promise<void>;
}

export interface Rotation {
  /** How long a key signs. */
  readonly rotateEveryMs: number;
  /** How long a key is published before it signs: more than any verifier caches the public keys. */
  readonly publishAheadMs: number;
  /** How long a key is published after it signed last: more than what it signed lives. Undefined: for ever. */
  readonly keepMs?: number | undefined;
}

export interface PublicJwk {
  readonly kty: "OKP";
  readonly crv: "Ed25519";
  readonly x: string;
  readonly kid: string;
  readonly use: "sig";
  readonly alg: "EdDSA";
}

export interface SigningKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
}

export interface KeyRing {
  /** The key to sign with now. */
  signingKey(): Promise<SigningKey>;
  /** A JWK set (RFC 7517): next, current and retiring keys. */
  verificationKeys(): Promise<{ readonly keys: readonly PublicJwk[] }>;
}

interface Plan {
  /** Which key signs now; undefined when there is none. */
  readonly signing: number | undefined;
  /** The key to make now, if one is due. */
  readonly next: { readonly sequence: number; readonly signsFromMs: number } | undefined;
  /** Keys that nothing valid was signed with. */
  readonly expired: readonly number[];
}

/** What is to be done about these keys at this moment. */
export function planRotation(
  keys: readonly Pick<StoredKey, "sequence" | "signsFromMs">[],
  nowMs: number,
  { rotateEveryMs, publishAheadMs, keepMs }: Rotation,
): Plan {
  const ordered = [...keys].sort((a, b) => a.sequence - b.sequence);
  const newest = ordered.at(-1);
  // Another process's clock may be a little ahead: when no key is old enough, the oldest signs early rather than nothing.
  const signing = (ordered.findLast((key) => key.signsFromMs <= nowMs) ?? ordered[0])?.sequence;
  if (!newest) return { signing, next: { sequence: 1, signsFromMs: nowMs }, expired: [] };
  const dueMs = newest.signsFromMs + rotateEveryMs;
  const next =
    dueMs - publishAheadMs <= nowMs
      ? // Late, because nothing ran for a while: even so it is published for its full time before it signs.
        { sequence: newest.sequence + 1, signsFromMs: Math.max(dueMs, nowMs + publishAheadMs) }
      : undefined;
  const expired = ordered.flatMap((key, at) => {
    const successor = ordered[at + 1];
    const over = keepMs !== undefined && successor !== undefined && successor.signsFromMs + keepMs <= nowMs;
    return over ? [key.sequence] : [];
  });
  return { signing, next, expired };
}

export function newSigningKey(sequence: number, signsFromMs: number, sealer: Sealer): StoredKey {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const { x } = publicKey.export({ format: "jwk" }) as { x: string };
  // RFC 7638's thumbprint, its first 66 bits: the kid is in every token, and tokens are in QR codes.
  const thumbprint = createHash("sha256").update(JSON.stringify({ crv: "Ed25519", kty: "OKP", x }));
  const kid = thumbprint.digest("base64url").slice(0, 11);
  const sealedPrivateKey = sealer.seal(privateKey.export({ format: "der", type: "pkcs8" }), kid);
  return { sequence, kid, x, sealedPrivateKey, signsFromMs };
}

export interface KeyRingSettings {
  readonly store: SigningKeyStore;
  readonly sealer: Sealer;
  readonly rotation: Rotation;
  readonly now: () => number;
  /** How old the keys in memory may get before the store is asked again. */
  readonly refreshMs?: number;
}

/**
 * Keys in memory, refreshed from the store when they are asked for and old; rotation happens then too, so there is no
 * timer. While the store does not answer, the keys in memory go on: they were good a minute ago.
 */
export function createKeyRing({ store, sealer, rotation, now, refreshMs = 60_000 }: KeyRingSettings): KeyRing {
  const { rotateEveryMs, publishAheadMs } = rotation;
  if (publishAheadMs < 2 * refreshMs)
    throw new Error(`A signing key must be published for at least ${(2 * refreshMs) / 1000} s before it signs.`);
  if (rotateEveryMs <= publishAheadMs)
    throw new Error("Signing keys must rotate less often than they are published ahead.");

  const opened = new Map<string, KeyObject>();
  let known: { keys: readonly StoredKey[]; askAgainAtMs: number } | undefined;
  let asking: Promise<readonly StoredKey[]> | undefined;

  async function refresh(): Promise<readonly StoredKey[]> {
    let keys = await store.list();
    const { next } = planRotation(keys, now(), rotation);
    if (next) {
      await store.add(newSigningKey(next.sequence, next.signsFromMs, sealer));
      keys = await store.list(); // ours, or that of the process that was first
    }
    const { expired } = planRotation(keys, now(), rotation);
    for (const sequence of expired) await store.remove(sequence);
    keys = keys.filter((key) => !expired.includes(key.sequence));
    known = { keys, askAgainAtMs: now() + refreshMs };
    return keys;
  }

  async function currentKeys(): Promise<readonly StoredKey[]> {
    if (known && now() < known.askAgainAtMs) return known.keys;
    asking ??= refresh().finally(() => {
      asking = undefined;
    });
    try {
      return await asking;
    } catch (error) {
      if (!known) throw error;
      known = { keys: known.keys, askAgainAtMs: now() + refreshMs / 12 };
      return known.keys;
    }
  }

  return {
    async signingKey() {
      const keys = await currentKeys();
      const { signing } = planRotation(keys, now(), rotation);
      const key = keys.find(({ sequence }) => sequence === signing);
      if (!key) throw new Error("There is no signing key, although one was just made.");
      let privateKey = opened.get(key.kid);
      if (!privateKey) {
        const der = sealer.open(key.sealedPrivateKey, key.kid);
        privateKey = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
        opened.set(key.kid, privateKey);
      }
      return { kid: key.kid, privateKey };
    },
    async verificationKeys() {
      const keys = await currentKeys();
      return {
        keys: keys.map(({ kid, x }) => ({ kty: "OKP", crv: "Ed25519", x, kid, use: "sig", alg: "EdDSA" })),
      };
    },
  };
}
