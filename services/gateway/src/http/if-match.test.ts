// Tests of If-Match: what counts as a revision, and what is no answer to "which one did you read?".
import { DomainError } from "@onsale/kit/errors";
import { describe, expect, test } from "vitest";
import { requiredRevision, revisionTag, wantedRevision } from "./if-match.js";

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof DomainError) return error.code;
    throw error;
  }
  return "none";
};

describe("If-Match", () => {
  test("is the ETag as it was got, also after a proxy has marked it as weak", () => {
    const { ETag } = revisionTag("17");
    expect(ETag).toBe('"17"');
    for (const header of [ETag, ` ${ETag} `, `W/${ETag}`]) expect(requiredRevision(header)).toBe("17");
    expect(wantedRevision('"of something else"'.replaceAll(" ", "-"))).toBe("of-something-else");
    expect(revisionTag(undefined)).toEqual({});
  });

  test("that names none, several or any is refused, and one that is missing where it is needed", () => {
    for (const header of ["", "17", "*", '"1", "2"', '"1""', 'w/"1"', '"a b"', `"${"x".repeat(101)}"`])
      expect(
        codeOf(() => wantedRevision(header)),
        header,
      ).toBe("REQUEST_INVALID");
    expect(wantedRevision(undefined)).toBeUndefined();
    expect(codeOf(() => requiredRevision(undefined))).toBe("IF_MATCH_REQUIRED");
  });
});
