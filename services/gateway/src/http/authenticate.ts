// Who asks: access tokens, verified here with the account service's public keys, and the roles they carry.
import { hash } from "node:crypto";
import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import { createLocalJWKSet, errors, type JSONWebKeySet, jwtVerify } from "jose";
import { z } from "zod";

export const roles = ["buyer", "organiser", "operator", "gate"] as const;
export type Role = (typeof roles)[number];

export interface Identity {
  readonly accountId: string;
  readonly sessionId: string;
  readonly roles: readonly Role[];
}

export interface Authenticator {
  /** Refusals: TOKEN_INVALID, TOKEN_EXPIRED; UNAVAILABLE while no keys were ever had. */
  verify(token: string): Promise<Identity>;
  /** The keys as the account service publishes them (JWKS). */
  keys(): Promise<JSONWebKeySet>;
  /** Were keys had at least once? */
  ready(): boolean;
  stop(): void;
}

export interface AuthenticatorSettings {
  /** Asks the account service; JWKS as JSON. */
  readonly fetchKeys: () => Promise<string>;
  readonly issuer: string;
  readonly audience: string;
  readonly log: Logger;
  /** Keys older than this are asked for again, in the background; while that fails, the old ones serve. */
  readonly refreshEveryMs?: number;
  /** Between two requests for keys because of an unknown key id: forged ids must not become load on the account service. */
  readonly leastRefreshMs?: number;
}

const jwks = z.object({ keys: z.array(z.looseObject({ kty: z.literal("OKP"), crv: z.string(), kid: z.string() })) });
const claims = z.object({
  sub: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
  sid: z.string().min(1).max(64),
  roles: z.array(z.string()),
  exp: z.number(),
});
/** Verified tokens that are remembered; some 300 bytes each. */
const mostTokens = 50_000;

export function createAuthenticator({
  fetchKeys,
  issuer,
  audience,
  log,
  refreshEveryMs = 300_000,
  leastRefreshMs = 5_000,
}: AuthenticatorSettings): Authenticator {
  let known: { set: JSONWebKeySet; find: ReturnType<typeof createLocalJWKSet> } | undefined;
  /** By hash, so that memory holds no token; those found to be good with the present keys, last used last. */
  const verifiedBefore = new Map<string, { readonly identity: Identity; readonly expiresAtMs: number }>();
  let askedAt = Number.NEGATIVE_INFINITY;
  let asking: Promise<void> | undefined;
  let failing = false;

  async function ask(): Promise<void> {
    try {
      const set = jwks.parse(JSON.parse(await fetchKeys())) as JSONWebKeySet;
      if (JSON.stringify(set) !== JSON.stringify(known?.set)) verifiedBefore.clear();
      known = { set, find: createLocalJWKSet(set) };
      if (failing) log.info("the keys of access tokens are here again");
      failing = false;
    } catch (err) {
      if (!failing) log.warn({ err, haveOldKeys: known !== undefined }, "the keys of access tokens can't be had");
      failing = true;
    }
  }

  /** One request at a time, and not more often than allowed. */
  function refresh(leastMs: number): Promise<void> {
    if (asking) return asking;
    if (performance.now() - askedAt < leastMs) return Promise.resolve();
    askedAt = performance.now();
    asking = ask().finally(() => {
      asking = undefined;
    });
    return asking;
  }

  async function current(): Promise<NonNullable<typeof known>> {
    if (!known) await refresh(250);
    if (!known)
      throw new DomainError(
        "UNAVAILABLE",
        "Access tokens can't be checked right now. Please try again in a few seconds.",
      );
    return known;
  }

  // Until the first keys are here it asks every second, then at leisure.
  const timer = setInterval(() => void refresh(known && !failing ? refreshEveryMs : 1_000), 1_000);
  timer.unref();
  void refresh(0);

  const options = {
    // Fixed here: what a token says of itself decides nothing. The type keeps tickets, signed too, from opening doors.
    algorithms: ["EdDSA"],
    typ: "at+jwt",
    issuer,
    audience,
    requiredClaims: ["sub", "sid", "exp", "iat"],
  };

  async function verified(token: string): Promise<unknown> {
    const keys = await current();
    try {
      return (await jwtVerify(token, keys.find, options)).payload;
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      await refresh(leastRefreshMs);
      return (await jwtVerify(token, (await current()).find, options)).payload;
    }
  }

  async function verify(token: string): Promise<{ identity: Identity; expiresAtMs: number }> {
    let payload: unknown;
    try {
      payload = await verified(token);
    } catch (error) {
      if (error instanceof DomainError) throw error;
      if (error instanceof errors.JWTExpired)
        throw new DomainError(
          "TOKEN_EXPIRED",
          "The access token has expired. Get a new one with POST /v1/sessions/refresh, or log in again.",
        );
      // The reason stays inside: it would tell a forger what to mend next.
      throw new DomainError("TOKEN_INVALID", "The access token is not valid. Log in again.", {}, error);
    }
    const claimed = claims.safeParse(payload);
    if (!claimed.success) throw new DomainError("TOKEN_INVALID", "The access token is not valid. Log in again.");
    const { sub, sid, roles: given, exp } = claimed.data;
    const identity = { accountId: sub, sessionId: sid, roles: roles.filter((role) => given.includes(role)) };
    return { identity, expiresAtMs: exp * 1000 };
  }

  return {
    async verify(token) {
      // Checking a signature costs more than all the rest of a request, and a buyer sends the same token with each.
      const id = hash("sha256", token, "base64url");
      const before = verifiedBefore.get(id);
      verifiedBefore.delete(id);
      const keys = known;
      const { identity, expiresAtMs } =
        before !== undefined && Date.now() < before.expiresAtMs ? before : await verify(token);
      if (keys === known) verifiedBefore.set(id, { identity, expiresAtMs });
      if (verifiedBefore.size > mostTokens) verifiedBefore.delete(verifiedBefore.keys().next().value as string);
      return identity;
    },
    keys: async () => (await current()).set,
    ready: () => known !== undefined,
    stop: () => clearInterval(timer),
  };
}

/** The token of an Authorization header; undefined when there is none. Refusal: TOKEN_INVALID. */
export function bearerToken(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const token = /^Bearer +([A-Za-z0-9._~+/=-]+) *$/i.exec(header)?.[1];
  if (token === undefined)
    throw new DomainError("TOKEN_INVALID", 'The Authorization header must be "Bearer" and an access token.');
  return token;
}

/** Refusal: ROLE_REQUIRED, unless the account has one of the roles. */
export function requireRole(identity: Identity, allowed: readonly Role[]): void {
  if (allowed.some((role) => identity.roles.includes(role))) return;
  throw new DomainError("ROLE_REQUIRED", `This needs an account with the role ${allowed.join(" or ")}.`, {
    roles: allowed,
  });
}
