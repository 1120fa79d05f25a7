// An organiser's own events, newest first: what is searched, and what a cursor means. Pure.
import { derivedHex64 } from "@onsale/kit/ids";
import { readCursorParts, writeCursorParts } from "./cursors.js";
import type { EventStatus } from "./events.js";

export interface OwnEventSearch {
  /** Empty: everybody's. */
  readonly organiserId: string;
  readonly statuses: readonly EventStatus[];
  readonly words: readonly string[];
  readonly limit: number;
  readonly after: { readonly createdAtMs: number; readonly eventId: string } | undefined;
}

type OwnPlace = NonNullable<OwnEventSearch["after"]>;

export function writeOwnCursor(search: OwnEventSearch, { createdAtMs, eventId }: OwnPlace): string {
  return writeCursorParts([createdAtMs, eventId, ownCheck(search, createdAtMs, eventId)]);
}

export function readOwnCursor(search: OwnEventSearch, cursor: string): OwnPlace | undefined {
  const place = readPlace(cursor);
  if (!place) return undefined;
  const [createdAtMs, eventId, check] = place;
  return check === ownCheck(search, createdAtMs, eventId) ? { createdAtMs, eventId } : undefined;
}

const ownCheck = ({ organiserId, statuses, words }: OwnEventSearch, createdAtMs: number, eventId: string): string =>
  derivedHex64("own cursor", JSON.stringify([organiserId, statuses, words]), String(createdAtMs), eventId);

/** What a cursor says, true or not. */
function readPlace(cursor: string): [ms: number, id: string, check: unknown] | undefined {
  const place = readCursorParts(cursor);
  if (place?.length !== 3) return undefined;
  const [ms, id, check] = place;
  return Number.isSafeInteger(ms) && typeof id === "string" ? [ms as number, id, check] : undefined;
}
