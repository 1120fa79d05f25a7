// Which programs are started here, as set-up decided and wrote down (tools/setup.mjs, ../choose-programs.mjs): the same for everyone.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const file = fileURLToPath(new URL("../../../.cache/programs.json", import.meta.url));

export type ServerName = "valkey" | "mongodb" | "temporal";

export interface ServerProgram {
  /** An absolute path. */
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** By its own words, as "Redis 7.0.15"; undefined where it was not needed, because the environment named a server to use. */
  readonly version?: string;
  readonly from: "PATH" | "pinned";
  /** Files of it, whose absence means that it is gone. */
  readonly files: readonly string[];
  /** What else was on PATH, and why it is not used. */
  readonly passedOver: readonly string[];
}

interface Programs {
  readonly servers: Readonly<Record<ServerName, ServerProgram>>;
  /** The Python that binds what is started to who started it. */
  readonly python: string;
}

let decided: Programs | undefined;

/** Read once: what this process starts and what it says of it are the same. */
function programs(): Programs {
  if (decided !== undefined) return decided;
  if (!existsSync(file)) throw new Error(`It is not decided yet which servers to start. ${remedy}`);
  decided = JSON.parse(readFileSync(file, "utf8")) as Programs;
  return decided;
}

const remedy = "Run `node tools/setup.mjs install`, which looks at PATH and installs what is missing.";

/** Throws an Error that says what to do when it is not there. */
export function serverProgram(name: ServerName): ServerProgram {
  const program = programs().servers[name];
  const missing = program.files.find((path) => !existsSync(path));
  if (missing !== undefined) throw new Error(`The program for ${name} is not there: ${missing}. ${remedy}`);
  return program;
}

export function python(): string {
  return programs().python;
}

/** For people: what it is, in which version, and where from. */
export function programInWords(name: ServerName): string {
  const { command, version = "of unknown version", from } = programs().servers[name];
  return from === "PATH" ? `${version}, on PATH: ${command}` : `${version}, the pinned one`;
}

/** For people: the programs on PATH that are not used, one sentence each. */
export function programsPassedOver(): string[] {
  return Object.values(programs().servers).flatMap(({ passedOver }) => passedOver);
}
