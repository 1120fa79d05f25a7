// The journal: JSON lines on disk. A line counts once it is synced; all lines that wait are synced together.
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "@onsale/kit/log";
import type { Entry } from "./books.js";

export interface Journal {
  /** Resolves when the entry is on disk. */
  append(entry: Entry): Promise<void>;
  /** Resolves when everything appended so far is on disk: what a reader has seen can't be lost any more. */
  durable(): Promise<void>;
  /** Rewrites the journal with what the books hold now, while appends go on. */
  compact(): Promise<void>;
  close(): Promise<void>;
}

export interface JournalOptions {
  readonly directory: string;
  readonly log: Logger;
  /** Called for every line at the start, in order. */
  readonly replay: (entry: Entry) => void;
  /** The books as they are now. */
  readonly entries: () => Iterable<Entry>;
  readonly compactBytes: number;
  /** The disk refused: nothing more can be acknowledged. */
  readonly onBroken: (error: unknown) => void;
}

const fileName = "journal.jsonl";
const draftName = "journal.jsonl.new";
/** Rows written between two turns of the event loop while the journal is rewritten. */
const rowsPerTurn = 500;

export async function openJournal(options: JournalOptions): Promise<Journal> {
  const { directory, log } = options;
  await mkdir(directory, { recursive: true });
  await rm(join(directory, draftName), { force: true });
  let file = await open(join(directory, fileName), "a+");
  let length = await replayFile(file, options);
  await file.truncate(length);
  await syncDirectory(directory);

  interface Waiting {
    readonly line: string;
    readonly settle: (error?: unknown) => void;
  }
  let waiting: Waiting[] = [];
  let writing: Promise<void> | undefined;
  let last: Promise<void> = Promise.resolve();
  let broken: unknown;
  let compacting: Promise<void> | undefined;
  /** Lines since the rewrite under way began. */
  let since: string[] | undefined;
  let lengthAfterRewrite = 0;

  async function writeWaiting() {
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      const text = batch.map(({ line }) => line).join("");
      try {
        if (broken !== undefined) throw broken;
        await file.appendFile(text);
        await file.datasync();
        length += Buffer.byteLength(text);
        since?.push(text);
        for (const { settle } of batch) settle();
      } catch (error) {
        if (broken === undefined) {
          broken = error;
          options.onBroken(error);
        }
        for (const { settle } of batch) settle(error);
      }
    }
    writing = undefined;
  }

  async function quiet() {
    while (writing !== undefined) await writing.catch(() => undefined);
  }

  function append(entry: Entry): Promise<void> {
    const line = `${JSON.stringify(entry)}\n`;
    last = new Promise<void>((resolve, reject) => {
      waiting.push({ line, settle: (error) => (error === undefined ? resolve() : reject(error)) });
    });
    writing ??= Promise.resolve().then(writeWaiting);
    if (length > options.compactBytes && length > 2 * lengthAfterRewrite)
      compact().catch((err: unknown) => log.error({ err }, "the journal could not be rewritten; it goes on growing"));
    return last;
  }

  function compact(): Promise<void> {
    compacting ??= rewrite().finally(() => {
      compacting = undefined;
      since = undefined;
      lengthAfterRewrite = length;
    });
    return compacting;
  }

  // Rows are read while others change: every line written meanwhile is repeated behind them, and as lines hold whole
  // rows, replaying all of it ends where the books are.
  async function rewrite(): Promise<void> {
    const before = length;
    since = [];
    const draft = await open(join(directory, draftName), "w");
    try {
      let rows: string[] = [];
      for (const entry of options.entries()) {
        rows.push(`${JSON.stringify(entry)}\n`);
        if (rows.length < rowsPerTurn) continue;
        await draft.appendFile(rows.join(""));
        rows = [];
      }
      await draft.appendFile(rows.join(""));
      await draft.datasync();
      await quiet();
      writing = swap(draft).finally(writeWaiting);
      await writing;
      log.info({ bytesBefore: before, bytesAfter: length }, "the journal was rewritten");
    } catch (error) {
      await draft.close().catch(() => undefined);
      await rm(join(directory, draftName), { force: true });
      throw error;
    }
  }

  // This holds the writer's turn. Lines that still wait are in the books and so may be in the draft in part: they go
  // with it whole, or a crash right now would keep half of a change.
  async function swap(draft: FileHandle): Promise<void> {
    const batch = waiting;
    waiting = [];
    try {
      await draft.appendFile([...(since ?? []), ...batch.map(({ line }) => line)].join(""));
      await draft.datasync();
      const size = (await draft.stat()).size;
      await draft.close();
      const next = await open(join(directory, draftName), "a");
      await rename(join(directory, draftName), join(directory, fileName));
      const old = file;
      file = next;
      length = size;
      await syncDirectory(directory);
      await old.close();
    } catch (error) {
      waiting = [...batch, ...waiting];
      throw error;
    }
    for (const { settle } of batch) settle();
  }

  return {
    append,
    durable: () => last,
    compact,
    async close() {
      await compacting?.catch(() => undefined);
      await quiet();
      const problem = broken;
      broken ??= new Error("the journal is closed");
      await file.close();
      // So that the process ends as failed, and is started afresh.
      if (problem !== undefined) throw problem;
    },
  };
}

/** Answers how many bytes of the file hold whole lines. Only the last line may be torn: nobody was told that it counts. */
async function replayFile(file: FileHandle, { directory, log, replay }: JournalOptions): Promise<number> {
  let good = 0;
  let lineNumber = 0;
  let rest: Buffer = Buffer.alloc(0);
  let bad: { readonly line: number; readonly error: unknown } | undefined;
  for await (const chunk of file.createReadStream({ start: 0, autoClose: false }) as AsyncIterable<Buffer>) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      if (bad !== undefined) throw unreadable(directory, bad.line, bad.error);
      lineNumber += 1;
      try {
        replay(JSON.parse(rest.toString("utf8", 0, end)) as Entry);
        good += end + 1;
      } catch (error) {
        bad = { line: lineNumber, error };
      }
      rest = rest.subarray(end + 1);
    }
  }
  if (bad !== undefined && rest.length > 0) throw unreadable(directory, bad.line, bad.error);
  const size = (await file.stat()).size;
  if (size > good)
    log.warn({ bytes: size - good }, "the journal ends in a torn line, which nobody was told of: dropped");
  return good;
}

function unreadable(directory: string, line: number, cause: unknown): Error {
  const message = `${join(directory, fileName)} can't be read at line ${line}, and more lines follow: the file was damaged. Restore it, or set it aside to start empty.`;
  return new Error(message, { cause });
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
