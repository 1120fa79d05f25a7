// How a list's cursor is written: parts that nobody but the list can make sense of. Pure.

/** As long as cursors get. */
const longestCursor = 500;

export const writeCursorParts = (parts: readonly unknown[]): string =>
  Buffer.from(JSON.stringify(parts)).toString("base64url");

export function readCursorParts(cursor: string): unknown[] | undefined {
  if (cursor.length > longestCursor || !/^[A-Za-z0-9_-]+$/.test(cursor)) return undefined;
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString());
    return Array.isArray(parts) ? (parts as unknown[]) : undefined;
  } catch {
    return undefined;
  }
}
