// What an account is, and which e-mails, names and roles are acceptable. Pure.
import { domainToASCII } from "node:url";

export const roles = ["buyer", "organiser", "operator", "gate"] as const;
export type Role = (typeof roles)[number];

export interface Account {
  readonly accountId: string;
  /** As `normaliseEmail` gives it. */
  readonly email: string;
  readonly name: string;
  readonly roles: readonly Role[];
  readonly createdAtMs: number;
}

/** A value, or one sentence about what is wrong with the field. */
export type Checked<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly why: string };

const good = <Value>(value: Value): Checked<Value> => ({ ok: true, value });
const bad = (why: string): Checked<never> => ({ ok: false, why });

export const hasControlCharacters = (text: string): boolean => /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u.test(text);
export const countCharacters = (text: string): number => [...text].length;

// What may stand before the @ without quotes (RFC 5322 atext, and letters of any script as in RFC 6531), in dotted parts.
const localPart = /^[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]+(\.[\p{L}\p{M}\p{N}!#$%&'*+/=?^_`{|}~-]+)*$/u;
const domainLabel = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const maxEmailBytes = 254; // RFC 5321, the path without its brackets
const maxLocalBytes = 64;

/**
 * The one spelling of an e-mail that accounts are found by: trimmed, NFC, lower case on both sides, the domain in ASCII
 * (IDNA). Lower case before the @ too: mail systems that tell A from a there are a curiosity, people who type both are not.
 */
export function normaliseEmail(given: string): Checked<string> {
  if (given.length > 4 * maxEmailBytes) return bad("The e-mail is too long.");
  const text = given.trim().normalize("NFC").toLowerCase().normalize("NFC");
  if (text === "") return bad("The e-mail is missing.");
  if (hasControlCharacters(text)) return bad("The e-mail has control characters in it.");
  const at = text.lastIndexOf("@");
  const local = text.slice(0, at);
  const domain = at < 1 ? "" : domainToASCII(text.slice(at + 1));
  const labels = domain.split(".");
  const top = labels.at(-1) ?? "";
  const wellFormed =
    localPart.test(local) && labels.length >= 2 && labels.every((label) => domainLabel.test(label)) && !/^\d/.test(top);
  if (!wellFormed) return bad("The e-mail does not look like one: it should be like name@example.com.");
  const email = `${local}@${domain}`;
  if (Buffer.byteLength(local) > maxLocalBytes || Buffer.byteLength(email) > maxEmailBytes)
    return bad("The e-mail is too long.");
  return good(email);
}

export function checkName(given: string): Checked<string> {
  if (given.length > 1_000) return bad("The name has more than 100 characters.");
  const name = given.normalize("NFC").trim();
  if (name === "") return bad("The name is missing.");
  // Joiners (ZWJ, ZWNJ) are format characters, but names in Persian and Indic scripts need them.
  if (hasControlCharacters(name.replace(/[\u200c\u200d]/g, ""))) return bad("The name has control characters in it.");
  if (countCharacters(name) > 100) return bad("The name has more than 100 characters.");
  return good(name);
}

/** In the order of the table, each once. */
export function checkRoles(given: readonly string[]): Checked<readonly Role[]> {
  if (given.length === 0) return bad("An account needs at least one role.");
  const unknown = given.filter((role) => !(roles as readonly string[]).includes(role));
  if (unknown.length > 0) return bad(`The roles are ${roles.join(", ")}; there are no others.`);
  return good(roles.filter((role) => given.includes(role)));
}

/** Ids are chosen by callers here: printable ASCII without spaces, short. */
export const isId = (text: string): boolean => /^[\x21-\x7e]{1,100}$/.test(text);
