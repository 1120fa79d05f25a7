// Pages of a list: an opaque cursor names the last entry of the page before.
import { DomainError } from "@onsale/kit/errors";

export interface Position {
  readonly atMs: number;
  readonly id: string;
}

export interface PageWish {
  readonly after: Position | undefined;
  /** At least 1. */
  readonly limit: number;
}

interface Limits {
  readonly usual: number;
  readonly most: number;
}

const people: Limits = { usual: 20, most: 100 };
/** For programs that read on. */
export const programs: Limits = { usual: 100, most: 500 };

/** REQUEST_INVALID for a cursor that we did not make, and for a limit out of bounds; 0 is the usual one. */
export function readPage(cursor: string, limit: number, { usual, most }: Limits = people): PageWish {
  if (limit < 0 || limit > most) throw new DomainError("REQUEST_INVALID", `The limit must be from 1 to ${most}.`);
  return { after: cursor === "" ? undefined : positionFrom(cursor), limit: limit || usual };
}

export function cursorFor({ atMs, id }: Position): string {
  return Buffer.from(JSON.stringify([atMs, id])).toString("base64url");
}

function positionFrom(cursor: string): Position {
  try {
    const [atMs, id, ...rest] = JSON.parse(Buffer.from(cursor, "base64url").toString()) as unknown[];
    if (Number.isSafeInteger(atMs) && typeof id === "string" && rest.length === 0) return { atMs: atMs as number, id };
  } catch {
    // Not ours; told below.
  }
  throw new DomainError("REQUEST_INVALID", "The cursor is not one that this list gave. Start again without it.");
}

/** The page and the cursor of the next one, from one entry more than the page holds. */
export function pageFrom<Entry>(
  entries: readonly Entry[],
  limit: number,
  positionOf: (entry: Entry) => Position,
): { readonly entries: readonly Entry[]; readonly nextCursor: string } {
  const page = entries.slice(0, limit);
  const last = page.at(-1);
  return { entries: page, nextCursor: last && entries.length > limit ? cursorFor(positionOf(last)) : "" };
}
