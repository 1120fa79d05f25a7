// The benchmark itself, so that it can't rot: every question asked once, with next to nothing to do, as a person would ask it.
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { boundToUs } from "@onsale/backing/child-process";
import { afterAll, expect, it } from "vitest";
import { questionNames } from "../rig/question-names.js";

const program = fileURLToPath(new URL("../dist/bench.js", import.meta.url));
// A folder for temporary files that nobody else uses, so that what is left in it was left by the benchmark.
const temporary = mkdtempSync(join(tmpdir(), "bench-test-"));
chmodSync(temporary, 0o711); // PostgreSQL runs as another user
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

async function run(...args: string[]): Promise<{ code: number | null; output: string }> {
  if (!existsSync(program)) throw new Error(`${program} is not built. Run \`npx tsc -b\`.`);
  const script = `const { run } = await import(${JSON.stringify(pathToFileURL(program).href)}); await run(process.argv.slice(1));`;
  const [command, launched] = boundToUs(process.execPath, ["--input-type=module", "-e", script, "--", ...args]);
  const child = spawn(command, launched, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, TMPDIR: temporary },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk) => {
      output += String(chunk);
    });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, output };
}

it("answers every question, and leaves nothing behind", { timeout: 300_000, retry: 1 }, async () => {
  const { code, output } = await run("--smoke");
  expect(code, output).toBe(0);
  expect(output.match(/^── /gm), output).toHaveLength(questionNames.length);
  // What was sold and held is right however little time there is.
  expect(output).toContain("oversold seats: 0: 0 of");
  expect(readdirSync(temporary)).toEqual([]);
});

it("says what it does not know", async () => {
  const { code, output } = await run("holds", "--fast");
  expect(code).toBe(2);
  expect(output).toContain("knows no --fast, holds");
});
