// How many failed log-ins are borne: which counters an attempt touches, and for whom. Pure.
import { createHmac } from "node:crypto";
import { isIP } from "node:net";

/*
 * Three counters, because each alone can be turned against somebody:
 *
 * - account and address together: the usual guesser. Few failures, and a block that grows. It can't lock the owner out,
 *   who is at another address.
 * - account, from everywhere: a guesser with many addresses. More failures, a block that grows. Somebody could use it to
 *   lock an owner out on purpose; so an address from which the owner has logged in before is exempt from it, and only
 *   the owner's new devices wait.
 * - address, all accounts: one password tried on many accounts. Many failures, since a whole stadium may share one
 *   address behind NAT; log-ins that succeed are not counted at all.
 *
 * The first two are counted before the password is checked and given back after, so that a thousand guesses at once don't
 * all pass before the first is counted. The third is looked at before and counted after: two hundred people who log in
 * at once from one address, with the right passwords, must all get in.
 *
 * A refused attempt is not counted anywhere further: who is blocked at one counter can't fill the next.
 */

export interface AttemptKeys {
  readonly accountAndAddress: string;
  readonly account: string;
  /** Undefined when the caller did not say whence the log-in comes: then nobody is counted under "nowhere". */
  readonly address: string | undefined;
}

/** Keyed hashes: neither e-mails nor addresses are in Valkey. */
export function attemptKeys(hashKey: Buffer, email: string, clientAddress: string): AttemptKeys {
  const place = addressPlace(clientAddress);
  const hash = (...parts: string[]) =>
    createHmac("sha256", hashKey).update(JSON.stringify(parts)).digest("base64url").slice(0, 22);
  return {
    accountAndAddress: hash("account and address", email, place ?? ""),
    account: hash("account", email),
    address: place === undefined ? undefined : hash("address", place),
  };
}

export const isClientAddress = (text: string): boolean => text === "" || isIP(text) !== 0;

/** What counts as one place: an IPv4 address, or the /64 of an IPv6 one, since a /64 is what one customer has. */
export function addressPlace(clientAddress: string): string | undefined {
  const [text = ""] = clientAddress.split("%"); // a zone is local to the machine that saw it
  if (isIP(text) === 4) return text;
  if (isIP(text) !== 6) return undefined;
  const groups = ipv6Groups(text);
  const mapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (mapped)
    return groups
      .slice(6)
      .flatMap((group) => [group >> 8, group & 255])
      .join(".");
  return `${groups
    .slice(0, 4)
    .map((group) => group.toString(16))
    .join(":")}::/64`;
}

function ipv6Groups(text: string): number[] {
  const dotted = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const [a = 0, b = 0, c = 0, d = 0] = (dotted ?? []).slice(1).map(Number);
  const plain = dotted
    ? `${text.slice(0, dotted.index)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
    : text;
  const [head = "", tail] = plain.split("::");
  const parse = (part: string) => (part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16)));
  const start = parse(head);
  const end = parse(tail ?? "");
  const gap = tail === undefined ? 0 : 8 - start.length - end.length;
  return [...start, ...Array<number>(gap).fill(0), ...end];
}

/** The first block lasts the window, the next within a day twice that, and so on up to the limit. */
export const blockSeconds = (strike: number, windowSeconds: number, maxSeconds: number): number =>
  Math.max(windowSeconds, Math.min(maxSeconds, windowSeconds * 2 ** Math.min(strike - 1, 20)));
