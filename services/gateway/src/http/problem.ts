// Refusals as RFC 9457 problem documents: what a client sees of a DomainError, and the headers that belong to it.
import { type DomainError, type RefusalCode, type RefusalDetails, refusals } from "@onsale/kit/errors";

export const problemMediaType = "application/problem+json";

/** Members of their own in every problem; details can't replace them. */
interface ProblemCore {
  /** "urn:onsale:problem:<CODE>": stable, never reused. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly instance: string;
  readonly code: RefusalCode;
  readonly requestId: string;
  /** True: the same request may succeed later, unchanged. */
  readonly retryable: boolean;
}
export type Problem = RefusalDetails & ProblemCore;

export interface ProblemAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Problem;
}

/** What the reader gets for the refusals whose own message is for operators, not for buyers. */
const outwardDetail: Partial<Record<RefusalCode, string>> = {
  INTERNAL:
    "Something went wrong on our side. It has been logged; please try again, and name the requestId if you ask us.",
  PEER_UNAUTHENTICATED:
    "Something is set up wrongly on our side. It has been logged; please name the requestId if you ask us.",
};

export function problemOf(error: DomainError, requestId: string): ProblemAnswer {
  const { http: status, title, retryable } = error.refusal;
  const body: Problem = {
    ...(outwardDetail[error.code] === undefined ? error.details : {}),
    type: `urn:onsale:problem:${error.code}`,
    title,
    status,
    detail: outwardDetail[error.code] ?? error.message,
    instance: `urn:onsale:request:${requestId}`,
    code: error.code,
    requestId,
    retryable,
  };
  return { status, headers: headersOf(error), body };
}

function headersOf(error: DomainError): Record<string, string> {
  const { http: status, retryable } = error.refusal;
  const headers: Record<string, string> = {};
  if (status === 401) {
    const why = error.code === "TOKEN_INVALID" || error.code === "TOKEN_EXPIRED" ? ', error="invalid_token"' : "";
    headers["WWW-Authenticate"] = `Bearer realm="onsale"${why}`;
  }
  const wait = error.details["retryAfterSeconds"];
  if (typeof wait === "number" && Number.isFinite(wait)) headers["Retry-After"] = String(Math.max(1, Math.ceil(wait)));
  else if (retryable) headers["Retry-After"] = "1";
  const allow = error.details["allow"];
  if (error.code === "METHOD_NOT_ALLOWED" && Array.isArray(allow)) headers["Allow"] = allow.join(", ");
  return headers;
}

/** The codes of one HTTP status, for the documentation of a route. */
export function codesByStatus(codes: readonly RefusalCode[]): ReadonlyMap<number, readonly RefusalCode[]> {
  const byStatus = new Map<number, RefusalCode[]>();
  for (const code of new Set(codes)) {
    const { http } = refusals[code];
    byStatus.set(http, [...(byStatus.get(http) ?? []), code]);
  }
  return new Map([...byStatus].sort(([a], [b]) => a - b));
}
