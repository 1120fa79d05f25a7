// Accounts, sessions and signing keys in MongoDB.
import { type DatabaseSettings, isDuplicateKey, openDatabase } from "@onsale/kit/mongodb";
import type { SigningKeyStore, StoredKey } from "@onsale/kit/signing-keys";
import type { Account, Role } from "./accounts.js";
import type { Session } from "./sessions.js";

export interface StoredAccount extends Account {
  /** PHC string. */
  readonly passwordHash: string;
}

/** Every method throws UNAVAILABLE while MongoDB does not answer. */
export interface AccountStore {
  readonly signingKeys: SigningKeyStore;
  /** Makes the indexes; again and again without harm. */
  prepare(): Promise<void>;
  ping(): Promise<void>;
  /** Which unique value was there before, if one was. */
  addAccount(account: StoredAccount): Promise<"added" | "id taken" | "email taken">;
  accountById(accountId: string): Promise<StoredAccount | undefined>;
  accountByEmail(email: string): Promise<StoredAccount | undefined>;
  setRoles(accountId: string, roles: readonly Role[]): Promise<StoredAccount | undefined>;
  /** Only while the old hash is still the stored one: whether it was. */
  replacePasswordHash(accountId: string, old: string, replacement: string): Promise<boolean>;
  /** Those that are there. */
  accountsById(accountIds: readonly string[]): Promise<readonly StoredAccount[]>;
  addSession(session: Session): Promise<void>;
  session(sessionId: string): Promise<Session | undefined>;
  /** True for the one caller that still finds `fromHash` as the session's current token, and the session not ended. */
  rotateToken(sessionId: string, fromHash: string, toHash: string, expiresAtMs: number): Promise<boolean>;
  endSession(sessionId: string, because: string, nowMs: number): Promise<void>;
  /** All but one, if one is named. */
  endSessionsOf(accountId: string, because: string, nowMs: number, butSessionId?: string): Promise<void>;
  close(): Promise<void>;
}

interface AccountDocument {
  _id: string;
  email: string;
  name: string;
  roles: readonly Role[];
  passwordHash: string;
  createdAt: Date;
}

interface SessionDocument {
  _id: string;
  accountId: string;
  tokenHash: string;
  createdAt: Date;
  /** MongoDB removes the document some time after this. */
  expiresAt: Date;
  endsAt: Date;
  ended?: { at: Date; because: string };
}

interface KeyDocument extends Omit<StoredKey, "sequence"> {
  _id: number;
}

export function openStore(settings: Pick<DatabaseSettings, "uri" | "database">): AccountStore {
  const { db, asked, ping, close } = openDatabase({ appName: "onsale-account", what: "Accounts", ...settings });
  const accounts = db.collection<AccountDocument>("accounts");
  const sessions = db.collection<SessionDocument>("sessions");
  const keys = db.collection<KeyDocument>("signing_keys");

  return {
    signingKeys: {
      list: () =>
        asked(async () => (await keys.find().toArray()).map(({ _id, ...key }) => ({ sequence: _id, ...key }))),
      add: ({ sequence, ...key }) =>
        asked(async () => (await unlessDuplicate(() => keys.insertOne({ _id: sequence, ...key }))) === undefined),
      remove: (sequence) => asked(() => keys.deleteOne({ _id: sequence })).then(() => undefined),
    },
    prepare: () =>
      asked(async () => {
        await accounts.createIndex({ email: 1 }, { unique: true, name: "email_unique" });
        await sessions.createIndex({ accountId: 1 }, { name: "account" });
        await sessions.createIndex({ expiresAt: 1 }, { expireAfterSeconds: 0, name: "expiry" });
      }),
    ping,
    addAccount: ({ accountId, email, name, roles, passwordHash, createdAtMs }) =>
      asked(async () => {
        const createdAt = new Date(createdAtMs);
        const duplicate = await unlessDuplicate(() =>
          accounts.insertOne({ _id: accountId, email, name, roles, passwordHash, createdAt }),
        );
        if (!duplicate) return "added";
        return (await accounts.findOne({ _id: accountId }, { projection: { _id: 1 } })) ? "id taken" : "email taken";
      }),
    accountById: (accountId) => asked(async () => toAccount(await accounts.findOne({ _id: accountId }))),
    accountByEmail: (email) => asked(async () => toAccount(await accounts.findOne({ email }))),
    setRoles: (accountId, roles) =>
      asked(async () =>
        toAccount(
          await accounts.findOneAndUpdate({ _id: accountId }, { $set: { roles } }, { returnDocument: "after" }),
        ),
      ),
    replacePasswordHash: (accountId, old, replacement) =>
      asked(() =>
        accounts.updateOne({ _id: accountId, passwordHash: old }, { $set: { passwordHash: replacement } }),
      ).then(({ matchedCount }) => matchedCount === 1),
    accountsById: (accountIds) =>
      asked(async () =>
        (await accounts.find({ _id: { $in: [...accountIds] } }).toArray()).flatMap((found) => toAccount(found) ?? []),
      ),
    addSession: ({ sessionId, accountId, tokenHash, createdAtMs, expiresAtMs, endsAtMs }) =>
      asked(async () => {
        // The id is random: a duplicate is this very session, written by a try whose answer was lost.
        await unlessDuplicate(() =>
          sessions.insertOne({
            _id: sessionId,
            accountId,
            tokenHash,
            createdAt: new Date(createdAtMs),
            expiresAt: new Date(expiresAtMs),
            endsAt: new Date(endsAtMs),
          }),
        );
      }),
    session: (sessionId) => asked(async () => toSession(await sessions.findOne({ _id: sessionId }))),
    rotateToken: (sessionId, fromHash, toHash, expiresAtMs) =>
      asked(async () => {
        const { modifiedCount } = await sessions.updateOne(
          { _id: sessionId, tokenHash: fromHash, ended: { $exists: false } },
          { $set: { tokenHash: toHash, expiresAt: new Date(expiresAtMs) } },
        );
        return modifiedCount === 1;
      }),
    endSession: (sessionId, because, nowMs) =>
      asked(() =>
        sessions.updateOne(
          { _id: sessionId, ended: { $exists: false } },
          { $set: { ended: { at: new Date(nowMs), because } } },
        ),
      ).then(() => undefined),
    endSessionsOf: (accountId, because, nowMs, butSessionId) =>
      asked(() =>
        sessions.updateMany(
          {
            accountId,
            ended: { $exists: false },
            ...(butSessionId === undefined ? {} : { _id: { $ne: butSessionId } }),
          },
          { $set: { ended: { at: new Date(nowMs), because } } },
        ),
      ).then(() => undefined),
    close,
  };
}

function toAccount(document: AccountDocument | null): StoredAccount | undefined {
  if (!document) return undefined;
  const { _id, createdAt, ...rest } = document;
  return { accountId: _id, createdAtMs: createdAt.getTime(), ...rest };
}

function toSession(document: SessionDocument | null): Session | undefined {
  if (!document) return undefined;
  const { _id, createdAt, expiresAt, endsAt, ended, ...rest } = document;
  return {
    sessionId: _id,
    createdAtMs: createdAt.getTime(),
    expiresAtMs: expiresAt.getTime(),
    endsAtMs: endsAt.getTime(),
    ended: ended !== undefined,
    ...rest,
  };
}

/** Undefined when it was written. */
async function unlessDuplicate(write: () => Promise<unknown>): Promise<"duplicate" | undefined> {
  try {
    await write();
    return undefined;
  } catch (error) {
    if (isDuplicateKey(error)) return "duplicate";
    throw error;
  }
}
