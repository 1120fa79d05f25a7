// npm start as a person meets it: what it prints, a second start, a part that dies, Ctrl-C, kill -9.
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programInWords } from "@onsale/backing/programs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createRest, type Rest } from "../src/rest.js";
import { readRunning } from "../src/running.js";
import { logIn, logins } from "../src/seed.js";

const module = new URL("../dist/start.js", import.meta.url);
let dataDir: string;
const started: ChildProcess[] = [];

interface Started {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly exit: Promise<number | null>;
}

function start(...args: string[]): Started {
  const script = `await (await import(${JSON.stringify(module.href)})).run(${JSON.stringify(args)})`;
  const { PATH, HOME } = process.env;
  const env = { PATH, HOME, ONSALE_DATA_DIR: dataDir };
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  started.push(child);
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
  return { child, output: () => text, exit: new Promise((resolve) => child.once("close", resolve)) };
}

async function ready({ output, child }: Started): Promise<Rest> {
  await expect.poll(() => output().includes("npm run demo") || child.exitCode !== null, { timeout: 90_000 }).toBe(true);
  const running = readRunning(dataDir);
  if (running?.gatewayUrl === undefined) throw new Error(`It did not start:\n${output()}`);
  return createRest(running.gatewayUrl);
}

/** All processes below this one that are not zombies. */
function descendants(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (state !== "Z") parents.set(Number(name), Number(parent));
    } catch {
      // it ended while we looked
    }
  }
  const below = (parent: number): number[] =>
    [...parents].filter(([, of]) => of === parent).flatMap(([child]) => [child, ...below(child)]);
  return below(pid);
}

const alive = (pid: number) => {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
};

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "onsale-start-"));
});
afterAll(async () => {
  for (const child of started) child.kill("SIGKILL");
  await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
});

it("starts everything, refuses a second time, restarts what dies, stops in order, and keeps its data", async () => {
  const first = start("--quiet");
  const rest = await ready(first);
  for (const expected of [
    rest.url,
    `${rest.url}/docs`,
    "/namespaces/default/workflows",
    "buyer@example.test",
    "operator@example.test",
    programInWords("temporal"),
    programInWords("valkey"),
    programInWords("mongodb"),
  ])
    expect(first.output()).toContain(expected);
  const { events } = await rest.get<{ events: { eventId: string }[] }>("/v1/events?limit=100");
  expect(events.length).toBeGreaterThanOrEqual(5);
  for (const { eventId } of events) expect(first.output()).toContain(eventId);
  for (const login of logins) expect((await logIn(rest, login)).account.roles).toEqual(login.roles);

  const second = start();
  expect(await second.exit).toBe(1);
  expect(second.output()).toContain("running from this folder already");
  expect(second.output()).toContain(rest.url);

  const parts = descendants(Number(first.child.pid));
  const account = parts.find((pid) =>
    readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("services/account/dist/main.js"),
  );
  process.kill(Number(account), "SIGKILL");
  await expect.poll(first.output, { timeout: 30_000 }).toContain("account is back.");
  await logIn(rest, logins[0]!);

  first.child.kill("SIGTERM");
  expect(await first.exit).toBe(0);
  expect(first.output()).toMatch(/Stopped\.\n$/);
  expect(parts.filter(alive)).toEqual([]);
  expect(readRunning(dataDir)).toBeUndefined();

  const startedAt = Date.now();
  const third = start();
  const again = await ready(third);
  const seconds = (Date.now() - startedAt) / 1000;
  // 8 s on an idle machine of 2 cores; here another test file runs beside it.
  expect(seconds, "a second start is quick").toBeLessThan(30);
  const kept = await again.get<{ events: { eventId: string }[] }>("/v1/events?limit=100");
  expect(kept.events.map(({ eventId }) => eventId)).toEqual(events.map(({ eventId }) => eventId));

  const orphans = descendants(Number(third.child.pid));
  expect(orphans.length).toBeGreaterThanOrEqual(10);
  third.child.kill("SIGKILL");
  await expect.poll(() => orphans.filter(alive)).toEqual([]);
}, 240_000);

it("says what is wrong with a command line, and starts nothing", async () => {
  const wrong = start("--prot", "1");
  expect(await wrong.exit).toBe(1);
  expect(wrong.output()).toContain("--prot");
  expect(wrong.output()).toContain("--port PORT");
});

it("names a port that is in use", async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const { port } = other.address() as AddressInfo;
  const wrong = start("--port", String(port));
  expect(await wrong.exit).toBe(1);
  expect(wrong.output()).toContain(`Port ${port} is in use`);
  other.close();
});
