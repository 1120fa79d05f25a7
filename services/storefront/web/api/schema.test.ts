import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

it("the client's types are those of the gateway's OpenAPI document (npm run api -w @onsale/storefront)", () => {
  const storefront = fileURLToPath(new URL("../..", import.meta.url));
  const cli = fileURLToPath(import.meta.resolve("openapi-typescript")).replace(/dist.*$/, "bin/cli.js");
  const made = spawnSync(process.execPath, [cli, "../gateway/openapi.json"], {
    cwd: storefront,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" },
    maxBuffer: 16 * 1024 * 1024,
  });
  expect(made.status, made.stderr).toBe(0);
  const committed = readFileSync(`${storefront}web/api/gen/schema.d.ts`, "utf8");
  expect(made.stdout.trim() === committed.trim(), "run npm run api -w @onsale/storefront").toBe(true);
}, 60_000);
