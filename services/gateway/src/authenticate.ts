// Who asks: access tokens, verified here with the account service's public keys, and the roles they carry.
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
});

export function createAuthenticator({
  fetchKeys,
  issuer,
  audience,
  log,
  refreshEveryMs = 300_000,
  leastRefreshMs = 5_000,
}: AuthenticatorSettings): Authenticator {
  let known: { set: JSONWebKeySet; find: ReturnType<typeof createLocalJWKSet> } | undefined;
  let askedAt = Number.NEGATIVE_INFINITY;
  let asking: Promise<void> | undefined;
  let failing = false;

  async function ask(): Promise<void> {
    try {
      const set = jwks.parse(JSON.parse(await fetchKeys())) as JSONWebKeySet;
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

  return {
    async verify(token) {
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
      const { sub, sid, roles: given } = claimed.data;
      return { accountId: sub, sessionId: sid, roles: roles.filter((role) => given.includes(role)) };
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
