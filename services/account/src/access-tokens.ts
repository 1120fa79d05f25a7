// Access tokens: short-lived JWTs that others verify by themselves, with the public keys. Ended sessions' tokens live out their time.
import { newId } from "@onsale/kit/ids";
import type { KeyRing } from "@onsale/kit/signing-keys";
import { SignJWT } from "jose";
import type { Account } from "./accounts.js";

export interface AccessTokenSettings {
  readonly issuer: string;
  readonly audience: string;
  readonly lifetimeSeconds: number;
}

export interface AccessToken {
  readonly token: string;
  readonly expiresAtMs: number;
}

/** JWS, typ "at+jwt" (RFC 9068), EdDSA; claims iss, aud, sub (account id), sid (session id), roles, iat, exp, jti. */
export async function signAccessToken(
  keys: KeyRing,
  settings: AccessTokenSettings,
  account: Pick<Account, "accountId" | "roles">,
  sessionId: string,
  nowMs: number,
): Promise<AccessToken> {
  const { kid, privateKey } = await keys.signingKey();
  const issuedAt = Math.floor(nowMs / 1000);
  const expiresAt = issuedAt + settings.lifetimeSeconds;
  const token = await new SignJWT({ sid: sessionId, roles: [...account.roles] })
    .setProtectedHeader({ alg: "EdDSA", typ: "at+jwt", kid })
    .setIssuer(settings.issuer)
    .setAudience(settings.audience)
    .setSubject(account.accountId)
    .setJti(newId("jti", nowMs))
    .setIssuedAt(issuedAt)
    .setExpirationTime(expiresAt)
    .sign(privateKey);
  return { token, expiresAtMs: expiresAt * 1000 };
}
