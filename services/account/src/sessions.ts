// What a session is: one log-in and all the refresh tokens that follow from it, of which only the last is good. Pure.
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { deriveKey } from "@onsale/kit/sealed";

export interface Session {
  readonly sessionId: string;
  readonly accountId: string;
  /** SHA-256 of the refresh token that is good now, base64url. The token itself is stored nowhere. */
  readonly tokenHash: string;
  readonly createdAtMs: number;
  /** Ends when it was not refreshed until then. */
  readonly expiresAtMs: number;
  /** Ends then, refreshed or not. */
  readonly endsAtMs: number;
  readonly ended: boolean;
}

export interface SessionLifetimes {
  readonly idleMs: number;
  readonly absoluteMs: number;
}

export const expiryFrom = (nowMs: number, endsAtMs: number, { idleMs }: SessionLifetimes): number =>
  Math.min(nowMs + idleMs, endsAtMs);

/** What presenting a genuine token means for its session. */
export function judge(session: Session | undefined, tokenHash: string, nowMs: number): "good" | "over" | "reused" {
  if (!session || session.ended || session.expiresAtMs <= nowMs || session.endsAtMs <= nowMs) return "over";
  // Genuine, of this session, and not the current one: so it was traded in before, and somebody kept a copy.
  return session.tokenHash === tokenHash ? "good" : "reused";
}

// ---- refresh tokens

/**
 * "<session id>.<256 random bits>.<mark>". The mark (HMAC under a key that is not in the database) tells a token that was
 * once good from an invented one, without a list of all that were ever used: an invented one must not end a session,
 * and costs no look-up.
 */
export interface RefreshTokens {
  issue(sessionId: string): { readonly token: string; readonly hash: string };
  /** Undefined: not one of ours. */
  read(token: string): { readonly sessionId: string; readonly hash: string } | undefined;
}

const shape = /^(ses_[0-9a-z]{26})\.([\w-]{43})\.([\w-]{22})$/;
const markBytes = 16;

export function createRefreshTokens(secret: string, previousSecret?: string): RefreshTokens {
  const [markingKey, ...olderKeys] = [secret, ...(previousSecret ? [previousSecret] : [])].map((text) =>
    deriveKey(text, "refresh-token marks"),
  ) as [Buffer, ...Buffer[]];
  const mark = (key: Buffer, sessionId: string, random: string) =>
    createHmac("sha256", key).update(`${sessionId}.${random}`).digest().subarray(0, markBytes);
  return {
    issue(sessionId) {
      const random = randomBytes(32).toString("base64url");
      const token = `${sessionId}.${random}.${mark(markingKey, sessionId, random).toString("base64url")}`;
      return { token, hash: hashOf(token) };
    },
    read(token) {
      const [, sessionId, random, given] = shape.exec(token) ?? [];
      if (!sessionId || !random || !given) return undefined;
      const bytes = Buffer.from(given, "base64url");
      // One spelling only: base64url's last character has spare bits.
      if (bytes.toString("base64url") !== given) return undefined;
      const genuine = [markingKey, ...olderKeys].some((key) => timingSafeEqual(mark(key, sessionId, random), bytes));
      return genuine ? { sessionId, hash: hashOf(token) } : undefined;
    },
  };
}

const hashOf = (token: string): string => createHash("sha256").update(token).digest("base64url");
