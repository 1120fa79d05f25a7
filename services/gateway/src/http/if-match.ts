// Which revision of a thing a request is about: ETags of revisions, and the If-Match header (RFC 9110, RFC 6585). Pure.
import { DomainError } from "@onsale/kit/errors";
import { invalid } from "./validation.js";

/** Undefined: it has no revisions, or none any more. */
export const revisionTag = (revision: string | undefined): Record<string, string> =>
  revision === undefined ? {} : { ETag: `"${revision}"` };

/** The opaque part of an ETag: one that a proxy has marked as weak, since it compressed the answer, names the same revision. */
const tag = /^(?:W\/)?"([\x21\x23-\x7e]{0,100})"$/;

/** Undefined: any. "*" would mean that too, whatever somebody has saved meanwhile, so it has to be left out instead. Refusal: REQUEST_INVALID. */
export function wantedRevision(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const [, revision] = tag.exec(header.trim()) ?? [];
  if (revision !== undefined) return revision;
  throw invalid([
    { in: "header", parameter: "If-Match", detail: 'must be one ETag as you got it, in its quotation marks: "3"' },
  ]);
}

/** Refusals: IF_MATCH_REQUIRED, REQUEST_INVALID. */
export function requiredRevision(header: string | undefined): string {
  const revision = wantedRevision(header);
  if (revision !== undefined) return revision;
  throw new DomainError(
    "IF_MATCH_REQUIRED",
    "Send the ETag of the draft that you read as If-Match, so that you don't overwrite what somebody else has saved meanwhile. GET the event to have it.",
  );
}
