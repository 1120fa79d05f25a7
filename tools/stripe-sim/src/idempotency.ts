// Idempotency keys as Stripe documents them: who gets the stored answer, who is refused, what is forgotten when. Pure.
// Source: https://docs.stripe.com/api/idempotent_requests and https://docs.stripe.com/error-low-level#idempotency
import { createHash } from "node:crypto";
import { type FormTree, type FormValue, isTree } from "./form.js";

/** Keys belong to an account; there is one account here. */
export interface IdempotencyRecord {
  /** The key. */
  readonly id: string;
  readonly path: string;
  readonly fingerprint: string;
  readonly status: number;
  /** The body, byte for byte, packed. */
  readonly packed: string;
  readonly requestId: string;
  /** Milliseconds. */
  readonly storedAt: number;
}

export const keptMilliseconds = 24 * 60 * 60 * 1000;
export const maxKeyLength = 255;

export interface KeyedRequest {
  readonly path: string;
  readonly fingerprint: string;
}

export type Verdict =
  | { readonly kind: "execute" }
  | { readonly kind: "replay"; readonly record: IdempotencyRecord }
  | { readonly kind: "in_use" }
  | { readonly kind: "other_parameters" }
  | { readonly kind: "other_endpoint"; readonly firstPath: string };

/**
 * `running` is the request that holds the key at this moment. Parameters are compared before anything else: a key with
 * two meanings is a bug of the caller whether or not the first request has ended.
 */
export function judgeKey(
  request: KeyedRequest,
  record: IdempotencyRecord | undefined,
  running: KeyedRequest | undefined,
  now: number,
): Verdict {
  const kept = record !== undefined && now - record.storedAt < keptMilliseconds ? record : undefined;
  const first = running ?? kept;
  if (first === undefined) return { kind: "execute" };
  if (first.path !== request.path) return { kind: "other_endpoint", firstPath: first.path };
  if (first.fingerprint !== request.fingerprint) return { kind: "other_parameters" };
  return running === undefined && kept !== undefined ? { kind: "replay", record: kept } : { kind: "in_use" };
}

/**
 * Of the parameters in any order. What could be turned back into a card is left out: of a number only its last four
 * digits count, of a security code nothing.
 */
export function fingerprintOf(tree: FormTree): string {
  return createHash("sha256")
    .update(JSON.stringify(canonical(tree)))
    .digest("base64url");
}

function canonical(value: FormValue, name = ""): unknown {
  if (typeof value === "string") {
    if (name === "cvc") return "";
    return name === "number" ? value.slice(-4) : value;
  }
  if (Array.isArray(value)) return value.map((item) => canonical(item));
  if (!isTree(value)) return undefined;
  return Object.keys(value)
    .sort()
    .map((key) => [key, canonical(value[key]!, key)]);
}
