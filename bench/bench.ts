// npm run bench: asks the questions by name, or all of them; prints what they answer, and keeps it for bench/README.md.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkout } from "./checkout.js";
import { expiry } from "./expiry.js";
import { hold } from "./hold.js";
import { hot } from "./hot.js";
import { map } from "./map.js";
import { memory } from "./memory.js";
import { onsale } from "./onsale.js";
import { peers } from "./peers.js";
import { describeMachine, fillIn, type Goal, inMarkdown, onTerminal, type Result } from "./rig/findings.js";
import type { Question, Scope, Size } from "./rig/question.js";
import { type QuestionName, questionNames } from "./rig/question-names.js";
import { type Ground, openGround, openStage, type Stage } from "./rig/stage.js";
import { sse } from "./sse.js";

const here = fileURLToPath(new URL(import.meta.url.includes("/dist/") ? "../" : "./", import.meta.url));
const results = join(here, "results");
const readme = join(here, "README.md");

const questions: Record<QuestionName, Question> = { hold, peers, hot, onsale, sse, memory, expiry, map, checkout };

const usage = `npm run bench [-- name …] [--quick] [--write]

  name      ${questionNames.join(", ")}; none: all of them
  --quick   less of everything: to look, not to quote
  --write   afterwards, put what bench/results holds into bench/README.md
`;

export async function run(args: readonly string[]): Promise<void> {
  const flags = args.filter((arg) => arg.startsWith("-") && arg !== "--");
  const names = args.filter((arg) => !arg.startsWith("-"));
  const unknown = [
    ...flags.filter((flag) => !["--quick", "--write", "--smoke"].includes(flag)),
    ...names.filter((name) => !(questionNames as readonly string[]).includes(name)),
  ];
  if (unknown.length > 0) {
    process.stderr.write(`The benchmark knows no ${unknown.join(", ")}.\n\n${usage}`);
    process.exitCode = 2;
    return;
  }
  const size: Size = flags.includes("--smoke") ? "smoke" : flags.includes("--quick") ? "quick" : "full";
  const asked = questionNames.filter((name) => names.length === 0 || names.includes(name));
  const failed = await ask(asked, size, ["npm run bench --", ...args.filter((arg) => arg !== "--write")].join(" "));
  if (flags.includes("--write")) writeReadme();
  process.exitCode = failed.length > 0 ? 1 : 0;
}

async function ask(names: readonly QuestionName[], size: Size, command: string): Promise<QuestionName[]> {
  const failed: QuestionName[] = [];
  const ground = await openGround();
  const stopped = (signal: NodeJS.Signals) => {
    process.stderr.write(`\n${signal}: stopping what was started …\n`);
    void ground.stop().finally(() => process.exit(signal === "SIGINT" ? 130 : 143));
  };
  process.once("SIGINT", stopped).once("SIGTERM", stopped).once("SIGHUP", stopped);
  try {
    const machine = describeMachine([await versionOf(ground.redis), `load ${loadAverage()} at the start`]);
    process.stdout.write(`${machine}\n\n`);
    const shared = size === "smoke" ? sharedStages(ground) : undefined;
    for (const name of names) {
      const question = questions[name];
      const begun = Date.now();
      const scope: Scope = {
        ground,
        openStage: shared ?? ((options) => openStage(ground, options)),
        pick: (full, quick, smoke) => (size === "full" ? full : size === "quick" ? quick : smoke),
        seconds: () => (Date.now() - begun) / 1_000,
        say: (line) => {
          process.stderr.write(`  ${name}, ${scope.seconds().toFixed(0).padStart(3)} s: ${line}\n`);
        },
      };
      try {
        const findings = await question.ask(scope);
        const result: Result = {
          question: name,
          title: question.title,
          at: new Date(begun).toISOString(),
          command,
          machine,
          seconds: (Date.now() - begun) / 1_000,
          ...findings,
        };
        process.stdout.write(`${onTerminal(result)}\n`);
        if (size === "full") keep(result);
      } catch (error) {
        failed.push(name);
        process.stderr.write(`${name} FAILED: ${error instanceof Error ? error.stack : String(error)}\n`);
      }
    }
  } finally {
    await ground.stop();
    process.off("SIGINT", stopped).off("SIGTERM", stopped).off("SIGHUP", stopped);
  }
  return failed;
}

/** For smoke: two stages for all, one whose holds last and one whose holds don't, stopped with the ground. */
function sharedStages(ground: Ground): Scope["openStage"] {
  const opened = new Map<boolean, Promise<Stage>>();
  return async (options = {}) => {
    const brief = options.inventorySettings?.["HOLD_TTL_SECONDS"] !== undefined;
    const stage = opened.get(brief) ?? openStage(ground, brief ? options : {});
    if (!opened.has(brief)) ground.onStop(async () => await (await stage).stop());
    opened.set(brief, stage);
    return { ...(await stage), stop: async () => undefined };
  };
}

function keep(result: Result): void {
  mkdirSync(results, { recursive: true });
  writeFileSync(join(results, `${result.question}.json`), `${JSON.stringify(result, undefined, 2)}\n`);
}

/** Every result that is kept goes to its place in the README. */
function writeReadme(): void {
  const found = (existsSync(results) ? readdirSync(results) : [])
    .filter((file) => file.endsWith(".json"))
    .map((file) => JSON.parse(readFileSync(join(results, file), "utf8")) as Result);
  let page = readFileSync(readme, "utf8");
  for (const result of found) page = fillIn(page, result.question, inMarkdown(result));
  const ordered = questionNames.flatMap((name) => found.filter(({ question }) => question === name));
  page = fillIn(page, "summary", summary(ordered));
  writeFileSync(readme, page);
}

function summary(found: readonly Result[]): string {
  const row = ({ question }: Result, { goal, figure, reached }: Goal) =>
    `| ${question} | ${goal} | ${figure} | ${reached ? "reached" : "**not reached**"} |`;
  return [
    "| question | goal | measured | |",
    "| --- | --- | --- | --- |",
    ...found.flatMap((result) => result.goals.map((goal) => row(result, goal))),
  ].join("\n");
}

async function versionOf(redis: { info(section: string): Promise<string> }): Promise<string> {
  const info = await redis.info("server");
  const valkey = /^valkey_version:(\S+)/m.exec(info)?.[1];
  return valkey ? `Valkey ${valkey}` : `Redis ${/^redis_version:(\S+)/m.exec(info)?.[1] ?? "?"}`;
}

const loadAverage = (): string => readFileSync("/proc/loadavg", "utf8").split(" ")[0] ?? "?";
