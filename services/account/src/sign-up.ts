// Signing up, the first operator, reading an account and setting its roles.
import { DomainError } from "@onsale/kit/errors";
import { derivedId, newId } from "@onsale/kit/ids";
import type { Logger } from "@onsale/kit/log";
import { type Account, type Checked, checkName, checkRoles, isId, normaliseEmail, type Role } from "./accounts.js";
import { type PasswordHasher, weakness } from "./passwords.js";
import type { AccountStore, StoredAccount } from "./store.js";

export interface SignUpDependencies {
  readonly store: AccountStore;
  readonly hasher: PasswordHasher;
  readonly now: () => number;
}

export interface SignUp {
  /** Chosen by the caller, so that a retry meets the same account; empty: a new one. */
  readonly accountId: string;
  readonly email: string;
  readonly password: string;
  readonly name: string;
}

/**
 * Refuses with REQUEST_INVALID, PASSWORD_WEAK, EMAIL_TAKEN, or IDEMPOTENCY_KEY_REUSED when the account id is another
 * person's. The same id, e-mail and password again give the account that is there.
 */
export async function signUp(
  { store, hasher, now }: SignUpDependencies,
  given: SignUp,
  roles: readonly Role[] = ["buyer"],
  signal?: AbortSignal,
): Promise<Account> {
  if (given.accountId !== "" && !isId(given.accountId))
    throw invalid("accountId", "The account id must be 1 to 100 printable ASCII characters without spaces.");
  const email = accepted("email", normaliseEmail(given.email));
  const name = accepted("name", checkName(given.name));
  checkNewPassword(given.password, { email, name });

  const accountId = given.accountId === "" ? newId("acc", now()) : given.accountId;
  const existing = (await store.accountById(accountId)) ?? (await store.accountByEmail(email));
  if (existing) return await sameAgain(hasher, existing, { accountId, email, password: given.password }, signal);

  const passwordHash = await hasher.hash(given.password, signal);
  const account: StoredAccount = { accountId, email, name, roles, passwordHash, createdAtMs: now() };
  const outcome = await store.addAccount(account);
  if (outcome === "email taken") throw emailTaken();
  if (outcome === "added") return account;
  const first = await store.accountById(accountId); // of two at the same time, the other one
  if (!first) throw new DomainError("UNAVAILABLE", "The account is being changed right now. Please try again.");
  return await sameAgain(hasher, first, { accountId, email, password: given.password }, signal);
}

/** Refuses with REQUEST_INVALID and PASSWORD_WEAK. */
export function checkNewPassword(
  password: string,
  about: { readonly email: string; readonly name: string },
  field = "password",
): void {
  if (/\p{Cc}/u.test(password)) throw invalid(field, "The password has control characters in it.");
  const weak = weakness(password, about);
  if (weak) throw new DomainError("PASSWORD_WEAK", weak, { field });
}

/** A retry of the sign-up that made this account gets its answer; anything else is refused. */
async function sameAgain(
  hasher: PasswordHasher,
  existing: StoredAccount,
  given: { readonly accountId: string; readonly email: string; readonly password: string },
  signal: AbortSignal | undefined,
): Promise<Account> {
  if (existing.email !== given.email)
    throw new DomainError(
      "IDEMPOTENCY_KEY_REUSED",
      "This account id belongs to an account with another e-mail. Sign up under a new one.",
    );
  if (existing.accountId !== given.accountId) throw emailTaken();
  const { correct } = await hasher.verify(existing.passwordHash, given.password, signal);
  if (!correct) throw emailTaken();
  return existing;
}

/** Refuses with ACCOUNT_NOT_FOUND. */
export async function readAccount(store: AccountStore, accountId: string): Promise<Account> {
  const account = isId(accountId) ? await store.accountById(accountId) : undefined;
  if (!account) throw notFound();
  return account;
}

const mostAtOnce = 100;

/** Those of these ids, and the one with this e-mail; an e-mail that is none finds nobody. Refuses with REQUEST_INVALID. */
export async function findAccounts(
  store: AccountStore,
  { accountIds, email }: { readonly accountIds: readonly string[]; readonly email: string },
): Promise<readonly Account[]> {
  if (accountIds.length > mostAtOnce)
    throw invalid("accountIds", `At most ${mostAtOnce} accounts can be asked for at once.`);
  const ids = [...new Set(accountIds.filter(isId))];
  const address = email === "" ? undefined : normaliseEmail(email);
  const [byId, byEmail] = await Promise.all([
    ids.length === 0 ? [] : store.accountsById(ids),
    address?.ok ? store.accountByEmail(address.value) : undefined,
  ]);
  if (!byEmail || byId.some(({ accountId }) => accountId === byEmail.accountId)) return byId;
  return [...byId, byEmail];
}

/** Tokens carry the new roles from the next refresh on. Refuses with REQUEST_INVALID and ACCOUNT_NOT_FOUND. */
export async function setRoles(store: AccountStore, accountId: string, given: readonly string[]): Promise<Account> {
  const roles = accepted("roles", checkRoles(given));
  const account = isId(accountId) ? await store.setRoles(accountId, roles) : undefined;
  if (!account) throw notFound();
  return account;
}

/**
 * Makes the first operator if it is not there. An account with this e-mail that somebody signed up is left as it is: whoever
 * was faster than the operator must not become one. The password of an operator that is there is not changed either.
 */
export async function bootstrapOperator(
  { store, hasher, now }: SignUpDependencies,
  { email, password }: { readonly email: string; readonly password: string },
  log: Logger,
): Promise<void> {
  const normalised = accepted("ACCOUNT_BOOTSTRAP_OPERATOR_EMAIL", normaliseEmail(email));
  const accountId = derivedId("acc", "bootstrap operator", normalised);
  const existing = await store.accountByEmail(normalised);
  if (!existing) {
    await signUp({ store, hasher, now }, { accountId, email, password, name: "Operator" }, ["operator"]);
    log.info({ accountId }, "the first operator was made");
  } else if (existing.accountId !== accountId) {
    log.warn(
      { accountId: existing.accountId },
      "the first operator was not made: somebody signed up with ACCOUNT_BOOTSTRAP_OPERATOR_EMAIL; set another one, or give that account the role",
    );
  }
}

export function accepted<Value>(field: string, checked: Checked<Value>): Value {
  if (!checked.ok) throw invalid(field, checked.why);
  return checked.value;
}

export const invalid = (field: string, why: string) => new DomainError("REQUEST_INVALID", why, { field });

const emailTaken = () =>
  new DomainError("EMAIL_TAKEN", "There is an account with this e-mail already. Log in, or sign up with another one.");
const notFound = () => new DomainError("ACCOUNT_NOT_FOUND", "There is no account with this id.");
