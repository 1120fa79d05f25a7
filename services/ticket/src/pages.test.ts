// Cursors: what we made is read back; what we did not make is refused.
import { describe, expect, it } from "vitest";
import { cursorFor, pageFrom, readPage } from "./pages.js";

describe("readPage", () => {
  it("reads its own cursor back", () => {
    const position = { atMs: 1_800_000_000_123, id: "tkt_1" };
    expect(readPage(cursorFor(position), 5)).toEqual({ after: position, limit: 5 });
    expect(readPage("", 0)).toEqual({ after: undefined, limit: 20 });
  });

  it.each(["x", "bm90IGpzb24", cursorFor({ atMs: 1.5, id: "x" }), Buffer.from("[1]").toString("base64url"), "\0"])(
    "refuses %j",
    (cursor) => {
      expect(() => readPage(cursor, 5)).toThrow(/cursor/);
    },
  );

  it.each([-1, 101])("refuses a limit of %d", (limit) => {
    expect(() => readPage("", limit)).toThrow(/limit/);
  });
});

it("gives a next cursor only when there is more", () => {
  const entries = [3, 2, 1].map((atMs) => ({ atMs, id: String(atMs) }));
  const page = pageFrom(entries, 2, (entry) => entry);
  expect(page.entries).toEqual(entries.slice(0, 2));
  expect(readPage(page.nextCursor, 2).after).toEqual({ atMs: 2, id: "2" });
  expect(pageFrom(entries, 3, (entry) => entry).nextCursor).toBe("");
});
