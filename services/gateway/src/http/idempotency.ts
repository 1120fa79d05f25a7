// The same Idempotency-Key with the same body gives the same answer; with another body, a refusal. For 24 hours, in Valkey.
//
// What is stored is of no use to whoever reads Valkey: the answer is sealed under a key made of the Idempotency-Key and
// the body, neither of which is stored. While Valkey is away requests go on without this: the ids of everything that a
// POST makes are derived from account and key, so that a retry meets what the first try made. Two things are then weaker:
// a refresh of a session whose answer was lost ends that session (its token counts as used twice), and a second log-in
// is a second session.
import { createCipheriv, createDecipheriv, hash, randomBytes } from "node:crypto";
import { DomainError, isRefusalCode, type RefusalCode, type RefusalDetails, refusals } from "@onsale/kit/errors";
import { freshBytes } from "@onsale/kit/ids";
import type { Logger } from "@onsale/kit/log";

export type Found =
  | { readonly kind: "first" }
  /** Someone began with this key before, and no answer is known: whatever it did may have happened. */
  | { readonly kind: "again" }
  | { readonly kind: "other" }
  | { readonly kind: "running"; readonly forMs: number }
  | { readonly kind: "answered"; readonly sealed: string };

export interface AnswerStore {
  begin(id: string, claim: { fingerprint: string; owner: string; lockMs: number; keepMs: number }): Promise<Found>;
  renew(id: string, mine: Mine): Promise<void>;
  /** `surely`: nobody else can have the key by now, so this need not be looked up. */
  finish(
    id: string,
    done: { fingerprint: string; owner: string; sealed: string; keepMs: number; surely: boolean },
  ): Promise<void>;
  /** Gives up without an answer; the next one with this key is told `again`. */
  leave(id: string, mine: Mine): Promise<void>;
  /** Gives up, and nothing was done: the next one is the first. */
  forget(id: string, mine: Mine): Promise<void>;
}

/** The record as its owner has left it. */
export interface Mine {
  readonly fingerprint: string;
  readonly owner: string;
  readonly keepMs: number;
}

/** An answer that can be stored: JSON, or nothing. */
export interface StoredAnswer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Keyed {
  readonly key: string;
  /** Whose key it is: an account's, or that of everybody without one. */
  readonly scope: string;
  /** Method and path. */
  readonly target: string;
  readonly body: Buffer;
}

/** What a handler knows of its Idempotency-Key. */
export interface Attempt {
  readonly key: string;
  /** True only when it is certain that nobody began with this key before. */
  readonly first: boolean;
  /** Called before refusing: nothing was done under this key, the next attempt may be the first again. */
  nothingHappened(): void;
}

export interface Idempotency {
  /** Runs the work once for its key. A refusal that was stored is thrown again. */
  once<Answer extends StoredAnswer>(
    keyed: Keyed,
    work: (attempt: Attempt) => Promise<Answer>,
  ): Promise<{ answer: Answer | StoredAnswer; replayed: boolean }>;
}

/** Thrown in place of a stored refusal, so that the header can say so. */
export class ReplayedRefusal extends DomainError {}

const keepMs = 24 * 3600 * 1000;
/** Renewed while the work runs: after a crash the key is free again this soon. */
const lockMs = 6_000;
const renewEveryMs = 2_000;
/** An owner who is heard of so late may have lost the key to another. */
const surelyMs = 3_000;

const processName = randomBytes(9).toString("base64url");
let requests = 0;

export function createIdempotency(store: AnswerStore, log: Logger, secret = ""): Idempotency {
  async function begin(id: string, fingerprint: string, owner: string): Promise<Found | undefined> {
    try {
      return await store.begin(id, { fingerprint, owner, lockMs, keepMs });
    } catch (err) {
      log.debug({ err }, "the stored answers are out of reach; going on without them");
      return undefined;
    }
  }

  const quietly = (what: Promise<void>) =>
    what.catch((err: unknown) => log.debug({ err }, "a record of an idempotent request could not be written"));

  return {
    async once(keyed, work) {
      const id = recordId(keyed, secret);
      const { fingerprint, sealingKey } = secretsOf(keyed, secret);
      requests += 1;
      const owner = `${processName}${requests.toString(36)}`;
      const mine: Mine = { fingerprint, owner, keepMs };
      let heldSince = performance.now();
      const found = await begin(id, fingerprint, owner);
      switch (found?.kind) {
        case "other":
          throw new DomainError(
            "IDEMPOTENCY_KEY_REUSED",
            "This Idempotency-Key was used with another body. Use a new key for a new request.",
          );
        case "running":
          throw new DomainError(
            "IDEMPOTENCY_IN_FLIGHT",
            "The first request with this Idempotency-Key is still running. Send it again in a moment to get its answer.",
            { retryAfterSeconds: 1 },
          );
        case "answered":
          return { answer: replay(unseal(found.sealed, sealingKey)), replayed: true };
      }

      const renew = async () => {
        const asked = performance.now();
        await store.renew(id, mine);
        heldSince = asked;
      };
      const renewal = setInterval(() => void quietly(renew()), renewEveryMs);
      renewal.unref();
      let nothingHappened = false;
      const attempt: Attempt = {
        key: keyed.key,
        first: found?.kind === "first",
        nothingHappened: () => {
          nothingHappened = true;
        },
      };
      const keep = (answer: Sealable) => {
        const surely = found !== undefined && performance.now() - heldSince < surelyMs;
        return quietly(store.finish(id, { ...mine, sealed: seal(answer, sealingKey), surely }));
      };
      try {
        const answer = await work(attempt);
        // 202 says "not decided yet": the same request again shall learn the outcome.
        if (answer.status === 202) await quietly(store.leave(id, mine));
        else await keep({ answer });
        return { answer, replayed: false };
      } catch (thrown) {
        // A refusal need not be known to be stored before it is told: should that fail, the next attempt is judged anew, and
        // nothing has happened before. It is on its way, though, ahead of any question of the same sender.
        if (thrown instanceof DomainError && isFinal(thrown.code))
          void keep({ refusal: { code: thrown.code, message: thrown.message, details: thrown.details } });
        else if (nothingHappened) await quietly(store.forget(id, mine));
        else await quietly(store.leave(id, mine));
        throw thrown;
      } finally {
        clearInterval(renewal);
      }
    },
  };
}

/** Is this refusal the answer for good? Not when the same request may succeed later, nor when it never reached the domain. */
export function isFinal(code: RefusalCode): boolean {
  const { http, retryable } = refusals[code];
  return !retryable && http < 500 && ![400, 401, 403, 413, 415, 429].includes(http);
}

type Sealable =
  | { readonly answer: StoredAnswer }
  | { readonly refusal: { readonly code: RefusalCode; readonly message: string; readonly details: RefusalDetails } };

function replay(stored: Sealable): StoredAnswer {
  if ("answer" in stored) return stored.answer;
  const { code, message, details } = stored.refusal;
  throw new ReplayedRefusal(isRefusalCode(code) ? code : "INTERNAL", message, details);
}

const lengthFirst = (part: string): string => `${Buffer.byteLength(part)}:${part}`;
/** Whose key it is and what for, with no way to read it as another. */
const named = (purpose: string, { scope, target, key }: Keyed, secret: string): string =>
  `onsale ${purpose} ${[secret, scope, target, key].map(lengthFirst).join("")}`;

/** With another secret it is another record: what was stored under the old one can't be read, so it counts as never stored. */
const recordId = (keyed: Keyed, secret: string): string =>
  hash("sha256", named("idempotency record 2", keyed, secret), "base64url");

/**
 * Both from one hash over the installation's secret, the Idempotency-Key and the body (the one-step key derivation of NIST
 * SP 800-56C), so that the fingerprint helps nobody to guess a body without its Idempotency-Key.
 */
function secretsOf(keyed: Keyed, secret: string): { fingerprint: string; sealingKey: Buffer } {
  const derived = hash(
    "sha512",
    Buffer.concat([Buffer.from(named("idempotency sealing 2", keyed, secret)), keyed.body]),
    "buffer",
  );
  return { sealingKey: derived.subarray(0, 32), fingerprint: derived.toString("base64url", 32) };
}

function seal(content: Sealable, key: Buffer): string {
  const nonce = freshBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  const sealed = Buffer.concat([cipher.update(JSON.stringify(content), "utf8"), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString("base64");
}

function unseal(text: string, key: Buffer): Sealable {
  const bytes = Buffer.from(text, "base64");
  const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, 12), { authTagLength: 16 });
  decipher.setAuthTag(bytes.subarray(12, 28));
  const opened = Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]);
  return JSON.parse(opened.toString("utf8")) as Sealable;
}
