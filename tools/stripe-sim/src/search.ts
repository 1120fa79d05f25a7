// Stripe's search query language, as far as PaymentIntents can be searched by it.
// Source: https://docs.stripe.com/search
import { invalidRequest } from "./failures.js";
import type { Payment } from "./payment-intents.js";

type Operator = ":" | "~" | ">" | "<" | ">=" | "<=";

interface Clause {
  readonly negated: boolean;
  readonly field: string;
  /** Of metadata. */
  readonly key?: string;
  readonly operator: Operator;
  /** null asks whether the field is absent. */
  readonly value: string | null;
}

export type SearchQuery = { readonly joined: "all" | "any"; readonly clauses: readonly Clause[] };

const numberFields = ["amount", "created"];
const wordFields = ["currency", "status", "customer", "id"];
const maxClauses = 10;

const clausePattern =
  /\s*(-?)([a-z_]+)(?:\[(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\])?\s*(>=|<=|:|~|>|<)\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|(-?\d+)|(null))/y;
const joinPattern = /\s+(AND|OR)\s+|\s+(?=[-a-z])/y;

/** Throws a StripeFailure that says what is wrong. */
export function parseSearch(text: string): SearchQuery {
  const clauses: Clause[] = [];
  const joins = new Set<string>();
  let at = 0;
  for (;;) {
    clausePattern.lastIndex = at;
    const found = clausePattern.exec(text);
    if (found === null) throw notUnderstood(text);
    clauses.push(readClause(found));
    at = clausePattern.lastIndex;
    if (text.slice(at).trim() === "") break;
    joinPattern.lastIndex = at;
    const join = joinPattern.exec(text);
    if (join === null) throw notUnderstood(text);
    joins.add(join[1] ?? "AND");
    at = joinPattern.lastIndex;
  }
  if (joins.size > 1) throw invalidRequest("Search queries can't combine AND with OR.", { param: "query" });
  if (clauses.length > maxClauses)
    throw invalidRequest(`Search queries can have up to ${maxClauses} clauses.`, { param: "query" });
  return { joined: joins.has("OR") ? "any" : "all", clauses };
}

function readClause(found: RegExpExecArray): Clause {
  const [, minus, field = "", key1, key2, operator, text1, text2, digits] = found;
  const key = key1 ?? key2;
  const value = text1 ?? text2 ?? digits;
  const clause: Clause = {
    negated: minus === "-",
    field,
    ...(key === undefined ? {} : { key: unescaped(key) }),
    operator: operator as Operator,
    value: value === undefined ? null : unescaped(value),
  };
  const known =
    field === "metadata" ? key !== undefined : key === undefined && [...numberFields, ...wordFields].includes(field);
  if (!known)
    throw invalidRequest(
      `Field \`${field}\` is an unsupported search field for resource \`payment_intents\`. See http://stripe.com/docs/search#query-fields-for-payment-intents for a list of supported fields.`,
      { param: "query" },
    );
  const isNumber = numberFields.includes(field);
  const fits = isNumber
    ? clause.operator !== "~" && value !== undefined && /^-?\d+$/.test(value)
    : clause.operator === ":" || (clause.operator === "~" && value !== undefined && field === "metadata");
  if (!fits)
    throw invalidRequest(`The operator \`${operator}\` or its value can't be used with the field \`${field}\`.`, {
      param: "query",
    });
  return clause;
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, "$1");
}

function notUnderstood(text: string) {
  return invalidRequest(
    `We were unable to parse your search query \`${text.slice(0, 200)}\`. Please try using the format \`metadata["key"]:"value"\` to query for metadata or key:"value" to query for other fields.`,
    { param: "query" },
  );
}

export function matchesSearch({ joined, clauses }: SearchQuery, payment: Payment): boolean {
  return joined === "all"
    ? clauses.every((clause) => matchesClause(clause, payment))
    : clauses.some((clause) => matchesClause(clause, payment));
}

function matchesClause(clause: Clause, payment: Payment): boolean {
  return holds(clause, fieldValue(clause, payment)) !== clause.negated;
}

function fieldValue({ field, key }: Clause, payment: Payment): string | number | undefined {
  switch (field) {
    case "metadata":
      return payment.metadata[key!];
    case "amount":
      return payment.amount;
    case "created":
      return payment.created;
    case "currency":
      return payment.currency;
    case "status":
      return payment.status;
    case "id":
      return payment.id;
    default:
      return undefined;
  }
}

function holds({ operator, value }: Clause, actual: string | number | undefined): boolean {
  if (value === null) return actual === undefined;
  if (actual === undefined) return false;
  if (typeof actual === "string") {
    const [left, right] = [actual.toLowerCase(), value.toLowerCase()];
    return operator === "~" ? left.includes(right) : left === right;
  }
  const number = Number(value);
  switch (operator) {
    case ">":
      return actual > number;
    case "<":
      return actual < number;
    case ">=":
      return actual >= number;
    case "<=":
      return actual <= number;
    default:
      return actual === number;
  }
}
