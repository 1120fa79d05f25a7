// The TypeScript of proto/: `generate` writes it, `check` tells whether what is committed is what would be written.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

function generate(folder) {
  const buf = join(root, "node_modules/.bin/buf");
  const { status, error } = spawnSync(buf, ["generate", "--output", folder], { cwd: root, stdio: "inherit" });
  if (status !== 0) {
    process.stderr.write(`buf generate failed${error ? `: ${error.message}` : ""}.\n`);
    process.exit(1);
  }
}

function files(folder) {
  if (!existsSync(folder)) return new Map();
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".ts"));
  return new Map(paths.map((path) => [path, readFileSync(join(folder, path), "utf8")]));
}

function check() {
  const folder = mkdtempSync(join(tmpdir(), "onsale-proto-"));
  try {
    generate(folder);
    const fresh = files(join(folder, "proto/gen"));
    const committed = files(join(root, "proto/gen"));
    const stale = [...new Set([...fresh.keys(), ...committed.keys()])].filter(
      (path) => fresh.get(path) !== committed.get(path),
    );
    if (fresh.size === 0) throw new Error("buf generated nothing");
    if (stale.length === 0) return;
    process.stderr.write(`Generated code does not match proto/. Run \`npm run proto\` and commit the result:\n`);
    for (const path of stale.sort()) process.stderr.write(`  proto/gen/${path}\n`);
    process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const [, , command] = process.argv;
if (command === "generate") generate(root);
else if (command === "check") check();
else {
  process.stderr.write("usage: node tools/proto.mjs generate|check\n");
  process.exitCode = 2;
}
