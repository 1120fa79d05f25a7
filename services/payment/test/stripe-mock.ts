// Finds or builds stripe-mock (Stripe's own server of canned answers, which checks requests against its OpenAPI spec) and runs it.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { createInterface } from "node:readline";

const version = "v0.203.0";
/** The version of Stripe's API in that release's spec. */
export const specApiVersion = "2026-08-26.dahlia";
const cache = new URL("../../../.cache/go/", import.meta.url).pathname;

const answers = (program: string, ...args: string[]): boolean => {
  try {
    execFileSync(program, args, { stdio: "ignore", timeout: 30_000 });
    return true;
  } catch {
    return false;
  }
};

/** The program's path, or why there is none. */
export function findStripeMock(): { readonly program: string } | { readonly missing: string } {
  const cached = `${cache}bin/stripe-mock`;
  if (existsSync(cached)) return { program: cached };
  if (answers("stripe-mock", "-version")) return { program: "stripe-mock" };
  if (!answers("go", "version"))
    return {
      missing: `no stripe-mock on PATH or in .cache/go/bin, and no Go to build it with (go install github.com/stripe/stripe-mock@${version})`,
    };
  mkdirSync(cache, { recursive: true });
  try {
    execFileSync("go", ["install", `github.com/stripe/stripe-mock@${version}`], {
      env: { ...process.env, GOPATH: `${cache}path`, GOBIN: `${cache}bin`, GOFLAGS: "-modcacherw" },
      stdio: "pipe",
      timeout: 300_000,
    });
    return { program: cached };
  } catch (error) {
    return { missing: `stripe-mock ${version} can't be built: ${error instanceof Error ? error.message : error}` };
  }
}

export interface RunningStripeMock {
  readonly url: string;
  stop(): Promise<void>;
}

export async function startStripeMock(program: string, ...options: string[]): Promise<RunningStripeMock> {
  // Both addresses: it falls back to fixed ports for the one that isn't given. No port: any free one.
  const child: ChildProcess = spawn(program, ["-http-addr", "127.0.0.1:", "-https-addr", "127.0.0.1:", ...options], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  if (!child.stdout) throw new Error("stripe-mock has no output");
  const lines = createInterface({ input: child.stdout });
  const url = await new Promise<string>((resolve, reject) => {
    lines.on("line", (line) => {
      const found = /^Listening for HTTP at address: (\S+)/.exec(line);
      if (found) resolve(`http://${found[1]}`);
    });
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`stripe-mock ended with ${code}`)));
  });
  return {
    url,
    async stop() {
      child.kill();
      await ended;
    },
  };
}
