// Logging in, refreshing and logging out: a session's whole life.
import { DomainError } from "@onsale/kit/errors";
import { newId } from "@onsale/kit/ids";
import type { KeyRing } from "@onsale/kit/signing-keys";
import { type AccessTokenSettings, signAccessToken } from "./access-tokens.js";
import { type Account, isId, normaliseEmail } from "./accounts.js";
import { attemptKeys, isClientAddress } from "./attempts.js";
import type { PasswordHasher } from "./passwords.js";
import { expiryFrom, judge, type RefreshTokens, type SessionLifetimes } from "./sessions.js";
import { accepted, invalid } from "./sign-up.js";
import type { AccountStore, StoredAccount } from "./store.js";
import type { AttemptCounters } from "./valkey.js";

export interface SessionDependencies {
  readonly store: AccountStore;
  readonly hasher: PasswordHasher;
  readonly attempts: AttemptCounters;
  /** Hashes e-mails and addresses for the counters. */
  readonly attemptHashKey: Buffer;
  readonly keys: KeyRing;
  readonly refreshTokens: RefreshTokens;
  readonly accessTokens: AccessTokenSettings;
  readonly lifetimes: SessionLifetimes;
  readonly now: () => number;
}

/** What the person who logged in takes away. */
export interface OpenSession {
  readonly account: Account;
  readonly sessionId: string;
  readonly accessToken: string;
  readonly accessExpiresAtMs: number;
  readonly refreshToken: string;
  readonly refreshExpiresAtMs: number;
}

export interface LogIn {
  readonly email: string;
  readonly password: string;
  /** IPv4 or IPv6; empty when unknown. */
  readonly clientAddress: string;
}

/** Longer than any password that `weakness` lets through, in UTF-16 units before normalisation. */
export const longestGuess = 1_000;

/** Refuses with REQUEST_INVALID, TOO_MANY_ATTEMPTS (details.retryAfterSeconds) and CREDENTIALS_INVALID. */
export async function logIn(
  dependencies: SessionDependencies,
  given: LogIn,
  signal?: AbortSignal,
): Promise<OpenSession> {
  const { attempts, attemptHashKey } = dependencies;
  const email = accepted("email", normaliseEmail(given.email));
  if (given.password === "") throw invalid("password", "The password is missing.");
  if (!isClientAddress(given.clientAddress))
    throw invalid("clientAddress", "The client's address is not an IP address.");

  const admission = await attempts.admit(attemptKeys(attemptHashKey, email, given.clientAddress));
  if (!admission.ok) throw tooMany(admission.retryAfterSeconds);
  let decided = false;
  try {
    const account = await checkedAccount(dependencies, email, given.password, signal);
    decided = true;
    if (!account) {
      await admission.attempt.failed();
      throw new DomainError("CREDENTIALS_INVALID", "The e-mail or the password is wrong.");
    }
    await admission.attempt.succeeded();
    return await openSession(dependencies, account);
  } finally {
    if (!decided) await admission.attempt.undecided();
  }
}

/** The account, if there is one and the password is right. Takes as long when there is none. */
async function checkedAccount(
  { store, hasher }: SessionDependencies,
  email: string,
  password: string,
  signal: AbortSignal | undefined,
): Promise<StoredAccount | undefined> {
  const account = await store.accountByEmail(email);
  const verdict = await hasher.verify(account?.passwordHash, password.slice(0, longestGuess), signal);
  if (!account || !verdict.correct) return undefined;
  if (verdict.rehashed) await store.replacePasswordHash(account.accountId, account.passwordHash, verdict.rehashed);
  return account;
}

async function openSession(dependencies: SessionDependencies, account: Account): Promise<OpenSession> {
  const { store, keys, refreshTokens, accessTokens, lifetimes, now } = dependencies;
  const nowMs = now();
  const sessionId = newId("ses", nowMs);
  const access = await signAccessToken(keys, accessTokens, account, sessionId, nowMs);
  const refresh = refreshTokens.issue(sessionId);
  const endsAtMs = nowMs + lifetimes.absoluteMs;
  const expiresAtMs = expiryFrom(nowMs, endsAtMs, lifetimes);
  await store.addSession({
    sessionId,
    accountId: account.accountId,
    tokenHash: refresh.hash,
    createdAtMs: nowMs,
    expiresAtMs,
    endsAtMs,
    ended: false,
  });
  return {
    account,
    sessionId,
    accessToken: access.token,
    accessExpiresAtMs: access.expiresAtMs,
    refreshToken: refresh.token,
    refreshExpiresAtMs: expiresAtMs,
  };
}

/**
 * Trades a refresh token for new tokens. Of two that present the same one, even at the same moment, the first gets them,
 * and the second ends the session for both: one of the two is a thief, and we can't tell which. Refuses with SESSION_REVOKED.
 */
export async function refreshSession(dependencies: SessionDependencies, given: string): Promise<OpenSession> {
  const { store, keys, refreshTokens, accessTokens, lifetimes, now } = dependencies;
  if (given === "") throw invalid("refreshToken", "The refresh token is missing.");
  const presented = refreshTokens.read(given);
  if (!presented) throw revoked("This refresh token is not one of ours. Log in again.");
  const { sessionId } = presented;

  const session = await store.session(sessionId);
  const verdict = judge(session, presented.hash, now());
  if (verdict === "reused") return await endForReuse(store, sessionId, now());
  const account = session && verdict === "good" ? await store.accountById(session.accountId) : undefined;
  if (!session || !account) throw revoked("The session has ended. Log in again.");

  // Everything that can fail comes before the token is traded: after that, nothing must keep the new one from its owner.
  const nowMs = now();
  const access = await signAccessToken(keys, accessTokens, account, sessionId, nowMs);
  const refresh = refreshTokens.issue(sessionId);
  const expiresAtMs = expiryFrom(nowMs, session.endsAtMs, lifetimes);
  if (!(await store.rotateToken(sessionId, presented.hash, refresh.hash, expiresAtMs)))
    return await endForReuse(store, sessionId, nowMs);
  return {
    account,
    sessionId,
    accessToken: access.token,
    accessExpiresAtMs: access.expiresAtMs,
    refreshToken: refresh.token,
    refreshExpiresAtMs: expiresAtMs,
  };
}

async function endForReuse(store: AccountStore, sessionId: string, nowMs: number): Promise<never> {
  await store.endSession(sessionId, "a used refresh token was presented again", nowMs);
  throw revoked("This refresh token was used before, so its session was ended to be safe. Log in again.");
}

/** Ends the session, or all of the account's; access tokens live out their few minutes. Twice is fine, and so is a session that is long gone. */
export async function logOut(
  { store, now }: SessionDependencies,
  {
    accountId,
    sessionId,
    everywhere,
  }: { readonly accountId: string; readonly sessionId: string; readonly everywhere: boolean },
): Promise<void> {
  if (!isId(accountId)) throw invalid("accountId", "The account id is missing or malformed.");
  if (everywhere) return await store.endSessionsOf(accountId, "logged out everywhere", now());
  if (!isId(sessionId)) throw invalid("sessionId", "The session id is missing or malformed.");
  const session = await store.session(sessionId);
  if (session?.accountId === accountId) await store.endSession(sessionId, "logged out", now());
}

const revoked = (message: string) => new DomainError("SESSION_REVOKED", message);

export function tooMany(retryAfterSeconds: number): DomainError {
  const wait =
    retryAfterSeconds < 120 ? `${retryAfterSeconds} seconds` : `${Math.ceil(retryAfterSeconds / 60)} minutes`;
  return new DomainError("TOO_MANY_ATTEMPTS", `Too many failed log-ins. Please try again in ${wait}.`, {
    retryAfterSeconds,
  });
}
