// A program that we started: its pid, its last lines, its end; killed with us, restarted with the same arguments.
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { isMainThread } from "node:worker_threads";
import { python } from "./programs.js";

const launcher = fileURLToPath(new URL("../die-with-parent.py", import.meta.url));
const linesKept = 200;

export type Env = Readonly<Record<string, string | undefined>>;

export interface Program {
  /** Shown to people and put before its log lines. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Env;
  readonly cwd?: string;
  /** Resolves once the program really serves; rejects when it says something that makes no sense to wait on. Tried again until `readyWithinSeconds`. */
  readonly ready: () => Promise<void>;
  readonly readyWithinSeconds: number;
  /** After SIGTERM; then SIGKILL. */
  readonly stopWithinSeconds: number;
  readonly onLine?: ((line: string) => void) | undefined;
  /** It ended and nobody here asked for it. */
  readonly onUnexpectedExit?: ((how: string) => void) | undefined;
}

export interface StartedProcess {
  readonly name: string;
  /** Of the program itself; undefined while it is down. */
  readonly pid: number | undefined;
  /** The last lines that it printed, oldest first. */
  tail(lines?: number): string[];
  /** SIGKILL, and waits until it is gone. */
  kill9(): Promise<void>;
  /** SIGTERM, then SIGKILL when it takes too long. */
  stop(): Promise<void>;
  /** Stops it if it runs, then starts it with the same arguments, changed environment variables aside, and waits until it serves. */
  restart(env?: Env): Promise<void>;
}

/** How to spawn a program so that it dies with us, by kill -9 too; its pid and streams are the program's own. Main thread only. */
export function boundToUs(command: string, args: readonly string[]): [command: string, args: string[]] {
  return [python(), ["-I", "-S", launcher, String(process.pid), command, ...args]];
}

/** Starts a program and waits until it serves; throws an Error that carries its last lines when it does not. */
export async function startProcess(program: Program): Promise<StartedProcess> {
  if (!isMainThread)
    throw new Error("Start programs from the main thread: the kernel would kill them with the worker thread.");
  const lines: string[] = [];
  let env = program.env;
  let child: ChildProcess | undefined;
  let gone: Promise<string> = Promise.resolve("it was not started");
  let wanted = false;

  function launch(): void {
    const [command, args] = boundToUs(program.command, program.args);
    // Its own process group: Ctrl-C in the terminal reaches us alone, and we stop the parts in order.
    const started = spawn(command, args, {
      cwd: program.cwd,
      env: { ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    child = started;
    wanted = true;
    for (const stream of [started.stdout, started.stderr])
      createInterface({ input: stream }).on("line", (line) => {
        lines.push(line);
        if (lines.length > linesKept) lines.shift();
        program.onLine?.(line);
      });
    gone = new Promise((resolve) => {
      const end = (how: string) => {
        if (child === started) child = undefined;
        resolve(how);
        if (wanted && child === undefined) {
          wanted = false;
          program.onUnexpectedExit?.(how);
        }
      };
      started.once("error", (error) => end(error.message));
      started.once("exit", (code, signal) => end(signal ? `ended by ${signal}` : `ended with code ${code}`));
    });
  }

  async function waitUntilReady(): Promise<void> {
    const giveUpAt = Date.now() + program.readyWithinSeconds * 1000;
    let ended: string | undefined;
    void gone.then((how) => {
      ended = how;
    });
    let lastError: unknown;
    while (ended === undefined && Date.now() < giveUpAt) {
      try {
        await program.ready();
        if (ended === undefined) return;
      } catch (error) {
        lastError = error;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const why = ended ?? `it did not answer within ${program.readyWithinSeconds} s (${messageOf(lastError)})`;
    await end("SIGKILL");
    throw new Error(`${program.name} did not start: ${why}.\n${lines.slice(-15).join("\n")}`);
  }

  async function end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    wanted = false;
    child?.kill(signal);
    if (signal === "SIGTERM" && child !== undefined) {
      const killer = setTimeout(() => child?.kill("SIGKILL"), program.stopWithinSeconds * 1000);
      await gone;
      clearTimeout(killer);
    }
    await gone;
  }

  launch();
  await waitUntilReady();
  return {
    name: program.name,
    get pid() {
      return child?.pid;
    },
    tail: (count = 20) => lines.slice(-count),
    kill9: () => end("SIGKILL"),
    stop: () => end("SIGTERM"),
    async restart(changes = {}) {
      await end("SIGTERM");
      env = { ...env, ...changes };
      launch();
      await waitUntilReady();
    },
  };
}

export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
