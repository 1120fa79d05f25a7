// Reads a request's parameters one by one and refuses what is unknown, missing or malformed in Stripe's words.
import { invalidRequest } from "./failures.js";
import { type FormTree, type FormValue, isTree } from "./form.js";

/** Answers the value, or undefined when the parameter is absent; throws a StripeFailure. */
export type Reader<T> = (value: FormValue | undefined, name: string) => T;
type Read<Readers> = { [Name in keyof Readers]: Readers[Name] extends Reader<infer T> ? T : never };

/** A parameter that may be emptied: present with no value, it unsets. */
export const unset = Symbol("unset");

export function required<T>(reader: Reader<T | undefined>): Reader<T> {
  return (value, name) => {
    const result = reader(value, name);
    if (result === undefined)
      throw invalidRequest(`Missing required param: ${name}.`, { code: "parameter_missing", param: name });
    return result;
  };
}

/** The named parameters and no others. */
export function fields<Readers extends Record<string, Reader<unknown>>>(
  readers: Readers,
): Reader<Read<Readers> | undefined> {
  return (value, name) => {
    if (value === undefined) return undefined;
    if (!isTree(value)) throw invalidRequest("Invalid object", { param: name });
    return readFields(readers, value, name);
  };
}

export function readFields<Readers extends Record<string, Reader<unknown>>>(
  readers: Readers,
  tree: FormTree,
  prefix = "",
): Read<Readers> {
  const nameOf = (field: string) => (prefix === "" ? field : `${prefix}[${field}]`);
  const unknown = Object.keys(tree).filter((field) => !Object.hasOwn(readers, field));
  if (unknown.length > 0) throw unknownParameters(unknown.map(nameOf));
  return Object.fromEntries(
    Object.entries(readers).map(([field, reader]) => [field, reader(tree[field], nameOf(field))]),
  ) as Read<Readers>;
}

function unknownParameters(names: readonly string[]) {
  const message =
    names.length === 1 ? `Received unknown parameter: ${names[0]}` : `Received unknown parameters: ${names.join(", ")}`;
  return invalidRequest(message, { code: "parameter_unknown", param: names[0]! });
}

function plain(value: FormValue, name: string): string {
  if (typeof value === "string") return value;
  throw invalidRequest(`Invalid string: ${JSON.stringify(value).slice(0, 100)}`, { param: name });
}

function emptyNotAllowed(name: string) {
  return invalidRequest(
    `You passed an empty string for '${name}'. We assume empty values are an attempt to unset a parameter; however '${name}' cannot be unset. You should remove '${name}' from your request or supply a non-empty value.`,
    { code: "parameter_invalid_empty", param: name },
  );
}

/** Text that can't be empty. */
export function text(maxLength: number): Reader<string | undefined> {
  return (value, name) => {
    if (value === undefined) return undefined;
    const result = plain(value, name);
    if (result === "") throw emptyNotAllowed(name);
    if (result.length > maxLength)
      throw invalidRequest(`Invalid string: ${result.slice(0, 20)}…; must be at most ${maxLength} characters`, {
        param: name,
      });
    return result;
  };
}

/** Text whose empty value unsets it. */
export function textOrUnset(maxLength: number): Reader<string | typeof unset | undefined> {
  const reader = text(maxLength);
  return (value, name) => (value === "" ? unset : reader(value, name));
}

export function integer(limits: { min?: number; max?: number } = {}): Reader<number | undefined> {
  return (value, name) => {
    if (value === undefined) return undefined;
    const digits = plain(value, name);
    const details = { code: "parameter_invalid_integer", param: name };
    if (digits === "") throw emptyNotAllowed(name);
    const number = Number(digits);
    if (!/^-?\d+$/.test(digits) || !Number.isSafeInteger(number))
      throw invalidRequest(`Invalid integer: ${digits.slice(0, 40)}`, details);
    if (limits.min !== undefined && number < limits.min)
      throw invalidRequest(`This value must be greater than or equal to ${limits.min}.`, details);
    if (limits.max !== undefined && number > limits.max)
      throw invalidRequest(`This value must be less than or equal to ${limits.max}.`, details);
    return number;
  };
}

export const yesOrNo: Reader<boolean | undefined> = (value, name) => {
  if (value === undefined) return undefined;
  const word = plain(value, name);
  if (word === "true" || word === "1") return true;
  if (word === "false" || word === "0") return false;
  throw invalidRequest(`Invalid boolean: ${word.slice(0, 40)}`, { param: name });
};

export function oneOf<const Choice extends string>(choices: readonly Choice[]): Reader<Choice | undefined> {
  return (value, name) => {
    if (value === undefined) return undefined;
    const word = plain(value, name);
    if (word === "") throw emptyNotAllowed(name);
    const found = choices.find((choice) => choice === word);
    if (found !== undefined) return found;
    const list = choices.length < 3 ? choices.join(" or ") : `${choices.slice(0, -1).join(", ")}, or ${choices.at(-1)}`;
    throw invalidRequest(`Invalid ${name}: must be one of ${list}`, { param: name });
  };
}

export function listOf<T>(reader: Reader<T | undefined>, maxLength = 100): Reader<T[] | undefined> {
  return (value, name) => {
    if (value === undefined) return undefined;
    const items = Array.isArray(value) ? value : isTree(value) ? inOrder(value, name) : undefined;
    if (items === undefined) throw invalidRequest("Invalid array", { param: name });
    if (items.length > maxLength)
      throw invalidRequest(`Invalid array: at most ${maxLength} values can be given`, { param: name });
    return items.map((item, index) => required(reader)(item, `${name}[${index}]`));
  };
}

function inOrder(tree: FormTree, name: string): FormValue[] {
  return Object.keys(tree).map((_, index) => {
    const item = tree[String(index)];
    if (item !== undefined) return item;
    throw invalidRequest(
      "If passing an array with explicit keys (e.g. foo[0]=a&foo[1]=b) instead of as an array (e.g. foo[]=a&foo[]=b), the keys must be numeric and sequential starting from 0.",
      { param: name },
    );
  });
}

/** Changes to metadata: an empty value removes its key; empty metadata removes all. */
export type MetadataChange = Readonly<Record<string, string>> | typeof unset;

/** Limits: 50 keys of 40 characters, values of 500; https://docs.stripe.com/api/metadata */
export const metadata: Reader<MetadataChange | undefined> = (value, name) => {
  if (value === undefined) return undefined;
  if (value === "") return unset;
  if (!isTree(value)) throw invalidRequest("Invalid object", { param: name });
  const entries = Object.entries(value);
  if (entries.length > 50) throw invalidRequest("You can specify up to 50 metadata keys.", { param: name });
  for (const [key, item] of entries) {
    const param = `${name}[${key}]`;
    if (key.length > 40 || /[[\]]/.test(key))
      throw invalidRequest(
        `Metadata keys can have up to 40 characters and no square brackets. Invalid key: ${key.slice(0, 60)}`,
        { param: name },
      );
    const itemText = plain(item, param);
    if (itemText.length > 500)
      throw invalidRequest(
        `Metadata values can have up to 500 characters, but you passed in a value that is ${itemText.length} characters.`,
        { param },
      );
  }
  return Object.fromEntries(entries) as Record<string, string>;
};

export function changedMetadata(
  before: Readonly<Record<string, string>>,
  change: MetadataChange | undefined,
): Readonly<Record<string, string>> {
  if (change === undefined) return before;
  if (change === unset) return {};
  const merged = Object.entries({ ...before, ...change });
  return Object.fromEntries(merged.filter(([, value]) => value !== ""));
}

export interface TimeRange {
  readonly from?: number;
  readonly to?: number;
}

/** created=… or created[gte]=… and so on, in seconds; both ends are inclusive in the result. */
export const timeRange: Reader<TimeRange | undefined> = (value, name) => {
  if (value === undefined) return undefined;
  const moment = integer({ min: 0 });
  if (!isTree(value)) {
    const exactly = moment(value, name)!;
    return { from: exactly, to: exactly };
  }
  const { gt, gte, lt, lte } = readFields({ gt: moment, gte: moment, lt: moment, lte: moment }, value, name);
  const from = gt === undefined ? gte : gt + 1;
  const to = lt === undefined ? lte : lt - 1;
  return { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
};
