import { appendFile, mkdtemp, open, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "@onsale/kit/log";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createBooks, type Delivery } from "./books.js";
import { openJournal } from "./journal.js";

const log = createLogger("test", "silent");
let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "journal-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));
const path = () => join(directory, "journal.jsonl");

async function start(compactBytes = 1e9, onBroken: (error: unknown) => void = () => undefined) {
  const books = createBooks();
  const journal = await openJournal({
    directory,
    log,
    replay: (entry) => books.apply(entry),
    entries: () => books.entries(),
    compactBytes,
    onBroken,
  });
  const put = (...rows: Delivery[]) => {
    books.apply({ put: { deliveries: rows } });
    return journal.append({ put: { deliveries: rows } });
  };
  const drop = (id: string) => {
    books.apply({ drop: { deliveries: [id] } });
    return journal.append({ drop: { deliveries: [id] } });
  };
  return { books, journal, put, drop };
}
const row = (id: string, attempts = 0): Delivery => ({ id, eventId: "evt", attempts, dueAt: 0 });

describe("the journal", () => {
  it("gives back what was appended, in order", async () => {
    const { put, drop, journal } = await start();
    await Promise.all([put(row("a")), put(row("b")), put(row("a", 1)), drop("b")]);
    await journal.close();
    const again = await start();
    expect([...again.books.tables.deliveries.values()]).toEqual([row("a", 1)]);
    await again.journal.close();
  });

  it.each([1, 5, 20])(
    "drops a torn last line, cut %i bytes short, and goes on behind the good ones",
    async (missing) => {
      const { put, journal } = await start();
      await put(row("a"));
      await put(row("b"));
      await journal.close();
      const { length } = await readFile(path());
      await truncate(path(), length - missing);
      const second = await start();
      expect([...second.books.tables.deliveries.keys()]).toEqual(["a"]);
      await second.put(row("c"));
      await second.journal.close();
      const third = await start();
      expect([...third.books.tables.deliveries.keys()]).toEqual(["a", "c"]);
      await third.journal.close();
    },
  );

  it("drops garbage at the end, with or without an end of line", async () => {
    for (const garbage of ["\u0000\u0000\u0000", "{\n", '{"put":{"deliveries":[{"id"\n']) {
      await writeFile(path(), "");
      const { put, journal } = await start();
      await put(row("a"));
      await journal.close();
      await appendFile(path(), garbage);
      const again = await start();
      expect([...again.books.tables.deliveries.keys()]).toEqual(["a"]);
      await again.journal.close();
    }
  });

  it("does not start over a line damaged in the middle: that one may have been acknowledged", async () => {
    const { put, journal } = await start();
    await put(row("a"));
    await put(row("b"));
    await journal.close();
    const text = await readFile(path(), "utf8");
    await writeFile(path(), text.replace("{", "#"));
    await expect(start()).rejects.toThrow("can't be read at line 1");
    expect(await readFile(path(), "utf8")).toBe(text.replace("{", "#"));
  });

  it("is rewritten under load without losing or reviving a row", async () => {
    const { books, put, drop, journal } = await start(2_000);
    for (let turn = 0; turn < 300; turn += 1) {
      const work = [put(row(`r${turn % 37}`, turn), row(`s${turn % 11}`, turn))];
      if (turn % 3 === 0) work.push(drop(`r${(turn * 7) % 37}`));
      if (turn % 10 === 0) work.push(journal.compact());
      if (turn % 4 === 0) await Promise.all(work);
    }
    await journal.durable();
    await journal.close();
    const size = (await readFile(path())).length;
    expect(size).toBeLessThan(20_000);
    expect(await readdir(directory)).toEqual(["journal.jsonl"]);
    const again = await start();
    expect(new Map(again.books.tables.deliveries)).toEqual(new Map(books.tables.deliveries));
    await again.journal.close();
  });

  it("syncs what waits together: a thousand lines don't cost a thousand syncs", async () => {
    const { put, journal } = await start();
    const handle = await open(path());
    const syncs = vi.spyOn(Object.getPrototypeOf(handle) as typeof handle, "datasync");
    await handle.close();
    await Promise.all(Array.from({ length: 1000 }, (_, at) => put(row(`r${at}`))));
    expect(syncs.mock.calls.length).toBeGreaterThanOrEqual(1);
    expect(syncs.mock.calls.length).toBeLessThanOrEqual(3);
    syncs.mockRestore();
    await journal.close();
  });

  it("throws away a rewrite that a crash interrupted", async () => {
    const { put, journal } = await start();
    await put(row("a"));
    await journal.close();
    await writeFile(join(directory, "journal.jsonl.new"), "half");
    const again = await start();
    expect([...again.books.tables.deliveries.keys()]).toEqual(["a"]);
    expect(await readdir(directory)).toEqual(["journal.jsonl"]);
    await again.journal.close();
  });

  it("acknowledges nothing when the disk refuses, says so once, and ends as failed", async () => {
    const problems: unknown[] = [];
    const { put, journal } = await start(1e9, (error) => problems.push(error));
    await put(row("a"));
    const handle = await open(path());
    const sync = vi
      .spyOn(Object.getPrototypeOf(handle) as typeof handle, "datasync")
      .mockRejectedValue(new Error("no space left on device"));
    await handle.close();
    const results = await Promise.allSettled([put(row("b")), put(row("c")), journal.durable()]);
    sync.mockRestore();
    expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
    // What was refused may or may not be on disk: nothing behind it may be acknowledged, even if the disk works again.
    await expect(put(row("d"))).rejects.toThrow("no space left");
    expect(problems).toHaveLength(1);
    await expect(journal.close()).rejects.toThrow("no space left");
  });

  it("acknowledges nothing once it is closed", async () => {
    const problems: unknown[] = [];
    const { put, journal } = await start(1e9, (error) => problems.push(error));
    await journal.close();
    await expect(put(row("a"))).rejects.toThrow("closed");
    await expect(journal.durable()).rejects.toThrow("closed");
  });
});
