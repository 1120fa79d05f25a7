// Passwords: which are too weak (pure), and hashing with Argon2id, a few at a time.
import { randomBytes } from "node:crypto";
import { hash, verify } from "@node-rs/argon2";
import { DomainError } from "@onsale/kit/errors";
import { countCharacters } from "./accounts.js";

const shortest = 10;
const longest = 128;
const fewestDifferent = 5;

// Those that everybody tries first, of ten characters and more; the shorter ones are refused by their length.
const commonest = new Set(
  `
  password10 password11 password12 password123 password1234 password12345 password123456 passwordpassword mypassword
  mypassword1 newpassword newpassword1 thepassword yourpassword changeme123 changemenow iloveyou12 iloveyou123 iloveyouforever
  1234567890 12345678910 123456789a 123456789q 1234567890a 0123456789 0987654321 9876543210 1029384756 1q2w3e4r5t 1q2w3e4r5t6y
  1qaz2wsx3edc 1qazxsw23edc qwertyuiop qwertyuiop1 qwertyuiop123 qwerty1234 qwerty12345 qwerty123456 qwertyqwerty asdfghjkl1
  asdfghjkl123 asdfasdf1234 zxcvbnm123 abcdefghij abcdefghijk abcd123456 abc1234567 abc123456789 a123456789 q1w2e3r4t5 q1w2e3r4t5y6
  welcome123 welcome1234 letmein123 letmein1234 administrator administrator1 admin12345 admin123456 superman123 football123
  baseball123 basketball princess123 sunshine123 starwars123 dragon12345 monkey12345 trustno1trustno1 correcthorsebatterystaple
  manchester manchester1 liverpool1 chelsea123 arsenal123 barcelona1 realmadrid p@ssword123 p@ssw0rd123 passw0rd123 secret12345
  computer123 internet123 samsung123 michael123 jordan12345 charlie123 whatever123 ticket1234 tickets123 ticketmaster
  `
    .trim()
    .split(/\s+/),
);

/** Same glyphs, same password, whatever the keyboard composed (NIST SP 800-63B, 3.1.1.2). */
export const normalisePassword = (password: string): string => password.normalize("NFKC");

/** Why this password is too weak, in one sentence; undefined when it will do. */
export function weakness(given: string, about: { readonly email: string; readonly name: string }): string | undefined {
  if (given.length > 4 * longest) return `The password has more than ${longest} characters.`;
  const password = normalisePassword(given);
  const length = countCharacters(password);
  if (length < shortest) return `The password has ${length} characters; it needs at least ${shortest}.`;
  if (length > longest) return `The password has more than ${longest} characters.`;
  const plain = password.toLowerCase();
  if (new Set(plain).size < fewestDifferent)
    return `The password repeats the same few characters; it needs at least ${fewestDifferent} different ones.`;
  if (commonest.has(plain)) return "The password is one of those that everybody tries first. Choose another.";
  const personal = [about.email, about.email.slice(0, about.email.lastIndexOf("@")), about.name];
  if (personal.some((text) => bare(text) === bare(plain)))
    return "The password is your e-mail or your name. Choose another.";
  return undefined;
}

const bare = (text: string): string => normalisePassword(text).toLowerCase().replace(/\s+/g, "");

// ---- hashing

export interface HashingSettings {
  readonly memoryKib: number;
  readonly passes: number;
  readonly lanes: number;
  /** Hashed at the same time. */
  readonly concurrency: number;
  /** Waiting for their turn. */
  readonly queue: number;
}

export interface Verdict {
  readonly correct: boolean;
  /** Set when the password was right but hashed with other parameters than today's: store this instead. */
  readonly rehashed?: string;
}

export interface PasswordHasher {
  /** The PHC string. Throws UNAVAILABLE when too many wait, or when the signal says that the caller has gone. */
  hash(password: string, signal?: AbortSignal): Promise<string>;
  /** Undefined for an account that does not exist: takes the same time, and is never correct. */
  verify(stored: string | undefined, password: string, signal?: AbortSignal): Promise<Verdict>;
}

export function createPasswordHasher(settings: HashingSettings): PasswordHasher {
  const { memoryKib, passes, lanes } = settings;
  const parameters = { memoryCost: memoryKib, timeCost: passes, parallelism: lanes };
  const current = `$argon2id$v=19$m=${memoryKib},t=${passes},p=${lanes}$`;
  const inTurn = createTurns(settings.concurrency, settings.queue);
  const nobodys = hash(randomBytes(16).toString("hex"), parameters);
  nobodys.catch(() => undefined); // whoever awaits it gets the failure

  return {
    hash: (password, signal) => inTurn(() => hash(normalisePassword(password), parameters), signal),
    verify: (stored, given, signal) =>
      inTurn(async () => {
        const password = normalisePassword(given);
        const correct = await verify(stored ?? (await nobodys), password);
        if (!correct || stored === undefined) return { correct: false };
        return stored.startsWith(current) ? { correct } : { correct, rehashed: await hash(password, parameters) };
      }, signal),
  };
}

/** Runs at most so many at once and lets at most so many wait: a log-in storm must cost time, not memory. */
export function createTurns(
  concurrency: number,
  queue: number,
): <T>(work: () => Promise<T>, signal?: AbortSignal) => Promise<T> {
  let running = 0;
  const waiting: { begin(): void }[] = [];

  const turn = (signal: AbortSignal | undefined) =>
    new Promise<void>((resolve, reject) => {
      if (signal?.aborted) return reject(gone());
      if (running < concurrency) {
        running += 1;
        return resolve();
      }
      if (waiting.length >= queue)
        return reject(
          new DomainError("UNAVAILABLE", "Too many people are logging in right now. Please try again in a moment."),
        );
      const place = {
        begin: () => {
          signal?.removeEventListener("abort", leave);
          running += 1;
          resolve();
        },
      };
      const leave = () => {
        waiting.splice(waiting.indexOf(place), 1);
        reject(gone());
      };
      signal?.addEventListener("abort", leave, { once: true });
      waiting.push(place);
    });

  return async (work, signal) => {
    await turn(signal);
    try {
      return await work();
    } finally {
      running -= 1;
      waiting.shift()?.begin();
    }
  };
}

const gone = () => new DomainError("UNAVAILABLE", "The caller stopped waiting before the password was checked.");
