// A PostgreSQL of the benchmark's own, from the machine's packages: made in a temporary folder, thrown away afterwards.
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { boundToUs, type StartedProcess, startProcess } from "@onsale/backing/child-process";
import { freePort } from "@onsale/backing/ports";
import { Client } from "pg";

const schema = fileURLToPath(
  new URL(import.meta.url.includes("/dist/") ? "../../peers/schema.sql" : "./schema.sql", import.meta.url),
);

export interface Postgresql {
  readonly url: string;
  readonly version: string;
  readonly server: StartedProcess;
  stop(): Promise<void>;
}

/** The folder of initdb and postgres; undefined: this machine has none. */
export function postgresqlPrograms(): string | undefined {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [
    ...(process.env["PATH"] ?? "").split(delimiter),
    ...versions.map((version) => join(debian, version, "bin")),
  ];
  return folders.find(
    (folder) => folder !== "" && ["initdb", "postgres"].every((program) => canRun(join(folder, program))),
  );
}

function canRun(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** PostgreSQL refuses to run as root: root runs it as its package's user. Throws where there is none. */
function unprivileged(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const entry = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"))
    .find(([name]) => name === "postgres");
  if (!entry) throw new Error("PostgreSQL does not run as root, and this machine has no user postgres to run it as.");
  return { uid: Number(entry[2]), gid: Number(entry[3]) };
}

function asThem(
  them: { uid: number; gid: number } | undefined,
  command: string,
  args: readonly string[],
): [string, string[]] {
  if (!them) return [command, [...args]];
  return ["setpriv", [`--reuid=${them.uid}`, `--regid=${them.gid}`, "--clear-groups", "--", command, ...args]];
}

/** With the settings that initdb gives it: what is committed is on the disk. */
export async function startPostgresql(programs: string): Promise<Postgresql> {
  const them = unprivileged();
  const folder = mkdtempSync(join(tmpdir(), "onsale-bench-postgresql-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    const password = randomBytes(18).toString("base64url");
    const [data, passwordFile] = [join(folder, "data"), join(folder, "password")];
    writeFileSync(passwordFile, password, { mode: 0o600 });
    if (them) {
      chownSync(folder, them.uid, them.gid);
      chownSync(passwordFile, them.uid, them.gid);
    }
    chmodSync(folder, 0o700);
    const env = { PATH: process.env["PATH"], LC_ALL: "C.UTF-8" };
    const [initdb, initdbArgs] = asThem(them, join(programs, "initdb"), [
      "--pgdata",
      data,
      "--username=bench",
      "--auth=scram-sha-256",
      `--pwfile=${passwordFile}`,
      "--encoding=UTF8",
      "--no-sync",
    ]);
    const made = spawnSync(initdb, initdbArgs, { cwd: "/", env, encoding: "utf8" });
    if (made.status !== 0) throw new Error(`initdb failed: ${made.error?.message ?? `${made.stdout}${made.stderr}`}`);

    const port = await freePort();
    const url = `postgres://bench:${password}@127.0.0.1:${port}/postgres`;
    const answer = async <Answer>(ask: (client: Client) => Promise<Answer>): Promise<Answer> => {
      const client = new Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
      client.on("error", () => undefined); // the call below rejects with it
      await client.connect();
      try {
        return await ask(client);
      } finally {
        await client.end();
      }
    };
    // The kernel forgets who to die with when the user changes: so the launcher is started as that user, too.
    const [bound, boundArgs] = boundToUs(join(programs, "postgres"), [
      ...["-D", data, "-p", String(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="],
    ]);
    const [command, args] = asThem(them, bound, boundArgs);
    const server = await startProcess({
      name: "postgresql",
      command,
      args,
      env,
      cwd: "/",
      ready: () => answer((client) => client.query("SELECT 1")).then(() => undefined),
      readyWithinSeconds: 30,
      stopWithinSeconds: 15,
    });
    const version = await answer(async (client) => {
      await client.query(readFileSync(schema, "utf8"));
      return (await client.query<{ server_version: string }>("SHOW server_version")).rows[0]?.server_version ?? "?";
    });
    return {
      url,
      version: version.split(" ")[0] ?? version,
      server,
      async stop() {
        await server.stop();
        remove();
      },
    };
  } catch (error) {
    remove();
    throw error;
  }
}
