// What reaches a process's standard output of the lines that it gathers, however it ends.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";

const built = (file: string) => new URL(`../dist/${file}.js`, import.meta.url).href;
beforeAll(() => {
  expect(existsSync(fileURLToPath(built("log"))), "npm run build makes it").toBe(true);
});

const preamble = `
import { createLogger } from ${JSON.stringify(built("log"))};
import { processLifecycle } from ${JSON.stringify(built("lifecycle"))};
const log = createLogger("tested", "trace");
const turn = () => new Promise((resolve) => setImmediate(resolve));
let n = 0;
const say = (times, msg = "line") => { for (let i = 0; i < times; i++) log.info({ n: n++ }, msg); };
`;

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly text: string;
  readonly errors: string;
}

/** Runs it as a process of its own; `during` sees what it has written so far. */
async function run(
  script: string,
  { during, readsAfterMs = 0 }: { during?: (text: string, pid: number) => void; readsAfterMs?: number } = {},
): Promise<Ended> {
  const child = spawn(process.execPath, ["--input-type=module", "-e", preamble + script], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (data) => {
    errors += data;
  });
  if (readsAfterMs > 0) await new Promise((resolve) => setTimeout(resolve, readsAfterMs));
  child.stdout.setEncoding("utf8").on("data", (data) => {
    text += data;
    during?.(text, child.pid as number);
  });
  return await new Promise((resolve) => {
    child.once("close", (code, signal) => resolve({ code, signal, text, errors }));
  });
}

/** Each must be a whole line of JSON. */
const linesOf = (text: string): { n?: number; msg: string; level: string }[] =>
  text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
const numbersOf = (text: string) => linesOf(text).flatMap(({ n }) => (n === undefined ? [] : [n]));
const upTo = (end: number) => Array.from({ length: end }, (_, n) => n);

describe("every line, once, in its order", () => {
  test("over turns of the event loop, from loggers and their children", async () => {
    const { text, code } = await run(`
      const child = log.child({ part: "child" });
      for (let t = 0; t < 200; t++) {
        say(3);
        child.warn({ n: n++ }, "x".repeat(t));
        if (t % 3 === 0) await turn();
        if (t % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
        process.nextTick(() => say(1));
        await Promise.resolve().then(() => say(1));
      }`);
    expect(code).toBe(0);
    expect(numbersOf(text)).toEqual(upTo(200 * 6));
  });

  test("when the process ends by itself, by process.exit within a turn, or by an error that nobody caught", async () => {
    for (const [end, code] of [
      ["", 0],
      ["process.exit(7);", 7],
      ["setTimeout(() => { say(5); process.exit(3); });", 3],
    ] as const) {
      const ended = await run(`say(1000); await turn(); say(5); ${end}`);
      expect({ end, code: ended.code }).toEqual({ end, code });
      const count = numbersOf(ended.text).length;
      expect(numbersOf(ended.text)).toEqual(upTo(end.startsWith("setTimeout") ? 1010 : 1005));
      expect(count).toBeGreaterThan(0);
    }
    const thrown = await run(`say(20); await turn(); say(20); throw new Error("nobody catches this");`);
    expect(thrown.code).toBe(1);
    expect(numbersOf(thrown.text)).toEqual(upTo(40));
  });

  test("when nobody reads for a while, and the pipe is full", async () => {
    const { text } = await run(`for (let t = 0; t < 20; t++) { say(100, "x".repeat(300)); await turn(); }`, {
      readsAfterMs: 400,
    });
    expect(text.length).toBeGreaterThan(500_000);
    expect(numbersOf(text)).toEqual(upTo(2000));
  });

  test("at SIGTERM: what was logged before, while stopping, and at the very end", async () => {
    const ended = await run(
      `const lifecycle = processLifecycle(log, 5);
       lifecycle.onStop("part", async () => { say(10); await turn(); say(10); });
       const timer = setInterval(() => say(7), 1);
       lifecycle.onStop("timer", () => { clearInterval(timer); say(10); });
       say(1, "up");`,
      {
        during: (text, pid) => {
          if (numbersOf(text.slice(0, text.lastIndexOf("\n") + 1)).length > 100) process.kill(pid, "SIGTERM");
        },
      },
    );
    expect(ended, ended.errors).toMatchObject({ code: 0, signal: null });
    const numbers = numbersOf(ended.text);
    expect(numbers).toEqual(upTo(numbers.length));
    // 1 and then sevens, and 30 while it stopped.
    expect((numbers.length - 31) % 7).toBe(0);
    expect(linesOf(ended.text).at(-1)?.msg).toBe("stopped");
  });
});

test("kill -9 takes what was logged in that turn of the event loop, and nothing of the turns before", async () => {
  const ended = await run(`
    for (let t = 0; t < 50; t++) { say(10); await turn(); }
    await turn();
    log.info("of the last turn");
    process.kill(process.pid, "SIGKILL");
    for (;;) {}`);
  expect(ended.signal).toBe("SIGKILL");
  expect(numbersOf(ended.text)).toEqual(upTo(500));
  expect(ended.text).not.toContain("of the last turn");
});

test("kill -9 at any moment leaves whole lines, without a gap", async () => {
  const ended = await run(`setInterval(() => say(20, "x".repeat(200)), 0);`, {
    during: (text, pid) => {
      if (text.length > 200_000) process.kill(pid, "SIGKILL");
    },
  });
  expect(ended.signal).toBe("SIGKILL");
  // A last line may be torn: a write that the kernel was at.
  const whole = ended.text.slice(0, ended.text.lastIndexOf("\n") + 1);
  const numbers = numbersOf(whole);
  expect(numbers).toEqual(upTo(numbers.length));
  expect(numbers.length).toBeGreaterThan(500);
});

test("a line that is logged while the process ends is not lost either", async () => {
  const { text } = await run(`process.on("exit", () => say(3)); say(2); process.exit(0);`);
  expect(numbersOf(text)).toEqual(upTo(5));
});
