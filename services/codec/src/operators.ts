// Who may read what workflows were given: operators, by the shop's access token or by that of the Web UI's single sign-on.
import { DomainError } from "@onsale/kit/errors";
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  decodeJwt,
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  jwtVerify,
} from "jose";

export interface Operators {
  /** The name for the audit. Refusals: TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, ROLE_REQUIRED; UNAVAILABLE while there are no keys. */
  admit(authorization: string | undefined): Promise<string>;
  /** Can tokens be checked? */
  ready(): Promise<boolean>;
}

export interface ShopTokens {
  /** Asks the account service; JWKS as JSON. */
  readonly fetchKeys: () => Promise<string>;
  readonly issuer: string;
  readonly audience: string;
}

export interface SignOnTokens {
  readonly jwksUrl: string;
  readonly issuer: string;
  readonly audience: string;
  readonly rolesClaim: string;
  readonly role: string;
}

const keysServeMs = 300_000;
/** Between two requests for keys: forged ids must not become load on the account service. */
const leastRefreshMs = 5_000;

export function createOperators(shop: ShopTokens | undefined, signOn: SignOnTokens | undefined): Operators {
  const shopKeys = shop && keysOf(shop.fetchKeys);
  const signOnKeys = signOn && createRemoteJWKSet(new URL(signOn.jwksUrl), { timeoutDuration: 5_000 });

  async function shopOperator(token: string): Promise<string> {
    if (!shop || !shopKeys) throw unknownIssuer();
    // What a token says of itself decides nothing. The type keeps tickets, signed too, from opening doors.
    const { issuer, audience } = shop;
    const payload = await shopKeys.verify(token, { algorithms: ["EdDSA"], typ: "at+jwt", issuer, audience });
    const { sub = "", roles } = payload;
    if (!Array.isArray(roles) || !roles.includes("operator")) throw notOperator("operator");
    return `account ${sub}`;
  }

  async function signOnOperator(token: string): Promise<string> {
    if (!signOn || !signOnKeys) throw unknownIssuer();
    const { issuer, audience, rolesClaim, role } = signOn;
    const { payload } = await jwtVerify(token, signOnKeys, { issuer, audience, requiredClaims: ["exp"] });
    if (!rolesIn(payload, rolesClaim).includes(role)) throw notOperator(role);
    return `single sign-on ${payload.sub ?? "without a subject"}`;
  }

  return {
    async admit(authorization) {
      const token = /^Bearer\s+(\S+)$/i.exec(authorization ?? "")?.[1];
      if (token === undefined)
        throw new DomainError(
          "TOKEN_MISSING",
          "Send an operator's access token as Authorization: Bearer …. In the Web UI: switch on “pass the user access token” for the codec server.",
        );
      try {
        // Only which keys are asked depends on it.
        const { iss } = decodeJwt(token);
        return await (shop && iss === shop.issuer ? shopOperator(token) : signOnOperator(token));
      } catch (error) {
        if (error instanceof DomainError) throw error;
        if (error instanceof errors.JWTExpired)
          throw new DomainError("TOKEN_EXPIRED", "The access token has expired: log in again.", {}, error);
        if (error instanceof errors.JWKSTimeout || !(error instanceof errors.JOSEError || error instanceof TypeError))
          throw new DomainError("UNAVAILABLE", "Access tokens can't be checked right now.", {}, error);
        throw new DomainError("TOKEN_INVALID", "The access token is not valid here.", {}, error);
      }
    },
    async ready() {
      return shopKeys === undefined || (await shopKeys.ready());
    },
  };
}

const unknownIssuer = () => new DomainError("TOKEN_INVALID", "This token's issuer is not known here.");
const notOperator = (role: string) =>
  new DomainError("ROLE_REQUIRED", `Only people with the role ${role} may read what workflows were given.`);

function rolesIn(payload: JWTPayload, claim: string): readonly unknown[] {
  let value: unknown = payload[claim];
  // A claim of just this name goes before a way into objects.
  if (value === undefined)
    value = claim
      .split(".")
      .reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], payload);
  if (typeof value === "string") return value.split(/[\s,]+/);
  return Array.isArray(value) ? value : [];
}

/** The account service's keys, asked for when they are needed, old, or do not have the one that a token names. */
function keysOf(fetchKeys: () => Promise<string>) {
  let known: ReturnType<typeof createLocalJWKSet> | undefined;
  let askedAt = Number.NEGATIVE_INFINITY;
  let hadAt = Number.NEGATIVE_INFINITY;

  async function refresh(leastMs: number): Promise<void> {
    if (performance.now() - askedAt < leastMs) return;
    askedAt = performance.now();
    known = createLocalJWKSet(JSON.parse(await fetchKeys()) as JSONWebKeySet);
    hadAt = performance.now();
  }
  async function current(): Promise<NonNullable<typeof known>> {
    if (!known) await refresh(0);
    else if (performance.now() - hadAt > keysServeMs) await refresh(leastRefreshMs).catch(() => undefined);
    return known as NonNullable<typeof known>;
  }
  return {
    async verify(token: string, options: Parameters<typeof jwtVerify>[2]): Promise<JWTPayload> {
      const how = { ...options, requiredClaims: ["sub", "exp", "iat"] };
      const keys = await current();
      try {
        return (await jwtVerify(token, keys, how)).payload;
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
        await refresh(leastRefreshMs);
        return (await jwtVerify(token, await current(), how)).payload;
      }
    },
    ready: () =>
      current().then(
        () => true,
        () => false,
      ),
  };
}
