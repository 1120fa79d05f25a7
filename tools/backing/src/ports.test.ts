import { execFile } from "node:child_process";
import { createServer } from "node:net";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { freePort, isFree, portFrom } from "./ports.js";

it("hands out no port twice, also to callers at the same time", async () => {
  const ports = await Promise.all(Array.from({ length: 300 }, freePort));
  expect(new Set(ports).size).toBe(300);
});

it("keeps a port's guard until the process ends, and a server can take the port", async () => {
  const port = await freePort();
  const guard = port + 6000;
  expect(await isFree(guard)).toBe(false);
  expect(await isFree(port)).toBe(true);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  expect(await isFree(port)).toBe(false);
  expect(await portFrom(port)).toBeGreaterThan(port);
  await new Promise((resolve) => server.close(resolve));
});

it("does not keep a process alive", async () => {
  const module = new URL("../dist/ports.js", import.meta.url);
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["-e", `import(${JSON.stringify(module.href)}).then(async ({ freePort }) => console.log(await freePort()))`],
    { timeout: 20_000 },
  );
  expect(Number(stdout)).toBeGreaterThanOrEqual(20_000);
});
