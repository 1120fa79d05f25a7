// npm test: every check there is, in order, each with its time; a table at the end and the sum as the last line.
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { boundToUs } from "@onsale/backing/child-process";
import { programInWords, programsPassedOver } from "@onsale/backing/programs";
import { paints } from "./log-line.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const bin = (name: string) => join(root, "node_modules/.bin", name);
const paint = paints(process.stdout.isTTY === true);

interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Why, when it was skipped. */
  readonly note?: string;
  /** Each test that failed: file, name and the first line of why. */
  readonly failures?: readonly string[];
}

interface Check {
  readonly title: string;
  run(): Promise<Outcome>;
}

/** Without arguments everything; with arguments only vitest, which gets them: a file filter, --project unit, -t name. */
export async function run(args: readonly string[]): Promise<void> {
  const filter = args.filter((arg) => arg !== "--");
  const checks = filter.length > 0 ? [vitest(`vitest ${filter.join(" ")}`, filter)] : everything();
  process.stdout.write(`${standsOn().join("\n")}\n`);
  const results: { title: string; outcome: Outcome; seconds: number }[] = [];
  for (const check of checks) {
    process.stdout.write(`\n${paint.bold(`── ${check.title} `.padEnd(80, "─"))}\n`);
    const startedAt = Date.now();
    const outcome = await check.run();
    const seconds = (Date.now() - startedAt) / 1000;
    results.push({ title: check.title, outcome, seconds });
    process.stdout.write(`${verdict(outcome)} in ${seconds.toFixed(1)} s${outcome.note ? `: ${outcome.note}` : ""}\n`);
  }
  const total = { passed: 0, failed: 0, skipped: 0 };
  process.stdout.write("\n");
  for (const { title, outcome, seconds } of results) {
    for (const key of ["passed", "failed", "skipped"] as const) total[key] += outcome[key];
    const counts = `${outcome.passed} passed, ${outcome.failed} failed${outcome.skipped > 0 ? `, ${outcome.skipped} skipped` : ""}`;
    process.stdout.write(
      `${verdict(outcome)} ${title.padEnd(32)} ${`${seconds.toFixed(1)} s`.padStart(8)}  ${counts}\n`,
    );
  }
  // Once more at the end: a log that is cut in the middle still tells what failed.
  const failures = results.flatMap(({ title, outcome }) =>
    (outcome.failures ?? []).map((failure) => `${verdict(outcome)} ${title}: ${failure}`),
  );
  if (failures.length > 0) process.stdout.write(`\n${failures.join("\n")}\n`);
  const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
  process.stdout.write(`\n${total.passed} passed, ${total.failed} failed${skipped}\n`);
  process.exitCode = total.failed > 0 ? 1 : 0;
}

/** Which servers the tests start: what fails on one machine only may be for that. */
function standsOn(): string[] {
  const started = (["temporal", "valkey", "mongodb"] as const).map((name) => `Servers: ${programInWords(name)}`);
  const given = ["TEMPORAL_ADDRESS", "REDIS_URL", "MONGODB_URI"].filter((name) => process.env[name]);
  return [
    ...started,
    ...programsPassedOver().map((sentence) => `Not used: ${sentence}`),
    ...(given.length > 0 ? [`Where tests share a server: yours, by ${given.join(", ")}`] : []),
  ];
}

function verdict({ passed, failed, skipped }: Outcome): string {
  if (failed > 0) return paint.red("FAILED ");
  return passed === 0 && skipped > 0 ? paint.yellow("skipped") : paint.green("passed ");
}

function everything(): Check[] {
  return [
    program("typecheck", bin("tsc"), ["-b"]),
    program("format and lint", bin("biome"), ["check", "--error-on-warnings", "."]),
    program("proto lint", bin("buf"), ["lint"]),
    protoBreaking(),
    program("proto freshness", process.execPath, ["tools/proto.mjs", "check"]),
    vitest("unit tests", ["--project", "unit"]),
    vitest("component tests", ["--project", "component"]),
    vitest("end-to-end tests", ["--project", "e2e"]),
  ];
}

function program(title: string, command: string, args: readonly string[]): Check {
  return {
    title,
    run: async () => ((await runToEnd(command, args)) === 0 ? one("passed") : one("failed")),
  };
}

function one(how: keyof Pick<Outcome, "passed" | "failed" | "skipped">, note?: string): Outcome {
  return { passed: 0, failed: 0, skipped: 0, [how]: 1, ...(note ? { note } : {}) };
}

/** Clients of yesterday must understand what we speak today: proto/ is compared with that of the branch main. */
function protoBreaking(): Check {
  return {
    title: "proto breaking changes",
    async run() {
      const base = ["main", "origin/main"].find(
        (name) => git("rev-parse", "--verify", "--quiet", `${name}^{commit}`).ok,
      );
      if (base === undefined) return one("skipped", "this clone has no branch main to compare with");
      if (!git("ls-tree", "--name-only", base, "proto/onsale/").text)
        return one("skipped", `${base} has no proto/ yet, so there is nothing to break`);
      const folder = mkdtempSync(join(tmpdir(), "onsale-main-"));
      try {
        const archive = spawnSync("git", ["archive", base, "proto"], { cwd: root, maxBuffer: 256 * 1024 * 1024 });
        const unpacked = spawnSync("tar", ["-x", "-C", folder], { input: archive.stdout });
        if (archive.status !== 0 || unpacked.status !== 0) return one("failed", `could not read proto/ of ${base}`);
        copyFileSync(join(root, "buf.yaml"), join(folder, "buf.yaml"));
        return (await runToEnd(bin("buf"), ["breaking", "--against", folder])) === 0 ? one("passed") : one("failed");
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  };
}

function git(...args: string[]): { ok: boolean; text: string } {
  const { status, stdout } = spawnSync("git", args, { cwd: root, encoding: "utf8" });
  return { ok: status === 0, text: (stdout ?? "").trim() };
}

function vitest(title: string, args: readonly string[]): Check {
  return {
    title,
    async run() {
      mkdirSync(join(root, ".cache"), { recursive: true });
      const report = join(root, ".cache", `vitest-${process.pid}.json`);
      rmSync(report, { force: true });
      const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`, "--passWithNoTests"];
      const code = await runToEnd(process.execPath, [
        join(root, "node_modules/vitest/vitest.mjs"),
        "run",
        ...reporters,
        ...args,
      ]);
      const counted = existsSync(report) ? (JSON.parse(readFileSync(report, "utf8")) as VitestReport) : undefined;
      rmSync(report, { force: true });
      const passed = counted?.numPassedTests ?? 0;
      const failed = counted?.numFailedTests ?? 0;
      const skipped = (counted?.numPendingTests ?? 0) + (counted?.numTodoTests ?? 0);
      const failures = counted ? failuresIn(counted) : [];
      // A file that could not be loaded, or an error outside of any test, fails the run without failing a test.
      if (code !== 0 && failed === 0)
        return { passed, failed: 1, skipped, failures, note: `vitest ended with code ${code}` };
      if (passed + failed + skipped === 0) return { passed, failed, skipped, note: "there is no test here" };
      return { passed, failed, skipped, failures };
    },
  };
}

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly failureMessages?: readonly string[] | null;
    }[];
  }[];
}

function failuresIn({ testResults }: VitestReport): string[] {
  const line = (text = "") => stripVTControlCharacters(text).trim().split("\n", 1)[0] ?? "";
  return testResults.flatMap(({ name, status, message, assertionResults }) => {
    const file = relative(root, name);
    const failed = assertionResults.filter((test) => test.status === "failed");
    if (failed.length === 0) return status === "failed" ? [`${file}: ${line(message)}`] : [];
    return failed.map((test) => `${file} > ${test.fullName}: ${line(test.failureMessages?.[0])}`);
  });
}

/** Its output goes to ours; a signal that we get, it gets too. */
async function runToEnd(command: string, args: readonly string[]): Promise<number> {
  const [launcher, launched] = boundToUs(command, args);
  const child = spawn(launcher, launched, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  let stoppedBy: NodeJS.Signals | undefined;
  const pass = (signal: NodeJS.Signals) => {
    stoppedBy = signal;
    child.kill(signal);
  };
  process.on("SIGTERM", pass).on("SIGHUP", pass).on("SIGINT", pass);
  const code = await new Promise<number>((resolve) => {
    child.once("error", (error) => {
      process.stderr.write(`${command}: ${error.message}\n`);
      resolve(127);
    });
    child.once("close", (exitCode) => resolve(exitCode ?? 1));
  });
  process.off("SIGTERM", pass).off("SIGHUP", pass).off("SIGINT", pass);
  if (stoppedBy) process.exit(stoppedBy === "SIGINT" ? 130 : 143);
  return code;
}
