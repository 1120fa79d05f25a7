// Says what is wrong with a request, field by field, without repeating what was sent: it may be a secret.
import { DomainError } from "@onsale/kit/errors";
import type { z } from "zod";

export interface Fault {
  readonly in: "body" | "query" | "header";
  /** JSON Pointer into the body (RFC 6901), for in: body. */
  readonly pointer?: string;
  /** Name of the query parameter or header. */
  readonly parameter?: string;
  readonly detail: string;
}

const mostFaults = 20;

/** The value as its schema gives it, or REQUEST_INVALID with `errors`. */
export function validate<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  place: Fault["in"],
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw invalid(result.error.issues.flatMap((issue) => faultsOf(issue, place)));
}

export function invalid(faults: readonly Fault[]): DomainError {
  const errors = faults.slice(0, mostFaults);
  const first = errors[0];
  const where = first?.pointer ?? first?.parameter ?? "";
  const more = faults.length > 1 ? `, and ${faults.length - 1} more` : "";
  return new DomainError(
    "REQUEST_INVALID",
    `The request is not valid: ${where ? `${where}: ` : ""}${first?.detail ?? "unknown reason"}${more}.`,
    { errors },
  );
}

type Issue = z.core.$ZodIssue;

function faultsOf(issue: Issue, place: Fault["in"], above: readonly PropertyKey[] = []): Fault[] {
  const path = [...above, ...issue.path];
  if (issue.code === "unrecognized_keys")
    return issue.keys.slice(0, mostFaults).map((key) => fault(place, [...path, key], "unknown field"));
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    // The alternative that the sender most likely meant is the one with the least to complain about.
    const nearest = issue.errors.reduce((best, branch) => (weight(branch) < weight(best) ? branch : best));
    return nearest.flatMap((inner) => faultsOf(inner, place, path));
  }
  return [fault(place, path, issue.message)];
}

/** Fields at the top that something is wrong with: many faults in one field still mean the alternative that has this field. */
const weight = (issues: readonly Issue[]): number =>
  new Set(
    issues.flatMap((issue) => issue.path[0] ?? (issue.code === "unrecognized_keys" ? issue.keys : [issue.message])),
  ).size;

function fault(place: Fault["in"], path: readonly PropertyKey[], detail: string): Fault {
  if (place !== "body") return { in: place, parameter: shown(path.join(".")), detail };
  return { in: place, pointer: shown(path.map((part) => `/${escaped(String(part))}`).join("")), detail };
}

const escaped = (part: string): string => part.replaceAll("~", "~0").replaceAll("/", "~1");
/** A field's name comes from the sender: bounded, and without what could break a terminal. */
const shown = (text: string): string => text.replace(/\p{C}/gu, "?").slice(0, 120);
