// Changing one's password: who knows the present one sets another, and every other session ends.
import { DomainError } from "@onsale/kit/errors";
import { isId } from "./accounts.js";
import { attemptKeys, isClientAddress } from "./attempts.js";
import { longestGuess, type SessionDependencies, tooMany } from "./log-in.js";
import { checkNewPassword, invalid, readAccount } from "./sign-up.js";
import type { StoredAccount } from "./store.js";

export interface PasswordChange {
  readonly accountId: string;
  /** Goes on; all others end. */
  readonly sessionId: string;
  readonly currentPassword: string;
  readonly newPassword: string;
  /** IPv4 or IPv6; empty when unknown. */
  readonly clientAddress: string;
}

/**
 * Guesses at the present password count as failed log-ins, under the same counters. Sent again because its answer was lost, it finds the
 * new password in place and ends the other sessions once more. Refuses with REQUEST_INVALID, ACCOUNT_NOT_FOUND, PASSWORD_WEAK,
 * TOO_MANY_ATTEMPTS (details.retryAfterSeconds) and PASSWORD_WRONG.
 */
export async function changePassword(
  dependencies: Pick<SessionDependencies, "store" | "hasher" | "attempts" | "attemptHashKey" | "now">,
  given: PasswordChange,
  signal?: AbortSignal,
): Promise<void> {
  const { store, hasher, attempts, attemptHashKey, now } = dependencies;
  const { accountId, sessionId, newPassword, clientAddress } = given;
  if (!isId(sessionId)) throw invalid("sessionId", "The session id is missing or malformed.");
  if (given.currentPassword === "") throw invalid("currentPassword", "The current password is missing.");
  if (!isClientAddress(clientAddress)) throw invalid("clientAddress", "The client's address is not an IP address.");
  const { email, name } = await readAccount(store, accountId);
  checkNewPassword(newPassword, { email, name }, "newPassword");
  const currentPassword = given.currentPassword.slice(0, longestGuess);
  if (currentPassword === newPassword)
    throw new DomainError("PASSWORD_WEAK", "The new password is the one that you have. Choose another.", {
      field: "newPassword",
    });

  const admission = await attempts.admit(attemptKeys(attemptHashKey, email, clientAddress));
  if (!admission.ok) throw tooMany(admission.retryAfterSeconds);
  let decided = false;
  try {
    const changed = await change();
    decided = true;
    if (!changed) {
      await admission.attempt.failed();
      throw new DomainError("PASSWORD_WRONG", "The current password is not the one that you gave.", {
        field: "currentPassword",
      });
    }
    await admission.attempt.succeeded();
  } finally {
    if (!decided) await admission.attempt.undecided();
  }
  await store.endSessionsOf(accountId, "the password was changed", now(), sessionId);

  /** False: the current password is wrong. */
  async function change(): Promise<boolean> {
    const account = (await store.accountById(accountId)) as StoredAccount | undefined;
    if (!account) throw new DomainError("ACCOUNT_NOT_FOUND", "There is no account with this id.");
    if (!(await hasher.verify(account.passwordHash, currentPassword, signal)).correct)
      return (await hasher.verify(account.passwordHash, newPassword, signal)).correct;
    const replacement = await hasher.hash(newPassword, signal);
    if (await store.replacePasswordHash(accountId, account.passwordHash, replacement)) return true;
    throw new DomainError("UNAVAILABLE", "The password is being changed elsewhere right now. Please try again.");
  }
}
