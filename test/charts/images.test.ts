// Dockerfiles, and what goes into images: checked without building one.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { chartTools, root } from "./chart.js";

// helm and its like are programs of their own, which may have to wait for a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const dockerfiles = ["Dockerfile", "tools/kube/backing.Dockerfile"];
const read = (file: string) => readFileSync(join(root, file), "utf8");
const tools = chartTools();
const hadolint = "missing" in tools ? "" : join(tools.folder, "bin/hadolint");

describe("Dockerfiles", () => {
  it.skipIf(!existsSync(hadolint)).each(dockerfiles)(
    `%s passes hadolint${existsSync(hadolint) ? "" : " (skipped: node tools/kube/install-checks.mjs brings it)"}`,
    (file) => {
      // DL3006: a base image that is an argument carries its tag in the argument's default.
      const { status, stdout } = spawnSync(hadolint, ["--ignore", "DL3006", join(root, file)], { encoding: "utf8" });
      expect(stdout).toBe("");
      expect(status).toBe(0);
    },
  );

  it.each(dockerfiles)("%s ends as a user that is not root, with its version and revision", (file) => {
    const stages = read(file)
      .split(/^FROM /m)
      .slice(1);
    const final = file === "Dockerfile" ? stages.slice(-1) : stages;
    for (const stage of final) {
      expect(stage).toMatch(/^USER 1000:1000$/m);
      expect(stage).toContain("org.opencontainers.image.version=");
      expect(stage).toContain("org.opencontainers.image.revision=");
      expect(stage).toMatch(/^ENTRYPOINT \[/m); // no shell between the kubelet's signal and the process
    }
  });
});

describe("what goes into an image", () => {
  const built = (service: string) => existsSync(join(root, service, "dist/main.js"));
  const pack = (service: string): string => {
    const target = mkdtempSync(join(tmpdir(), `onsale-image-${service}-`));
    const packed = spawnSync(
      process.execPath,
      [join(root, "tools/kube/pack.mjs"), "pack", service, root, join(root, "node_modules"), target],
      { encoding: "utf8" },
    );
    expect(packed.status, packed.stderr).toBe(0);
    return target;
  };

  it.skipIf(!built("services/gateway"))(
    "is what the gateway reaches, without the worker that it does not",
    { timeout: 60_000 },
    () => {
      const folder = pack("gateway");
      try {
        expect(existsSync(join(folder, "node_modules/@temporalio/client"))).toBe(true);
        expect(existsSync(join(folder, "node_modules/@temporalio/worker"))).toBe(false);
        expect(existsSync(join(folder, "node_modules/typescript"))).toBe(false);
        // Without settings it ends by saying which it needs: so every import was found.
        const { stderr } = spawnSync(process.execPath, [join(folder, "main.mjs")], { encoding: "utf8", env: {} });
        expect(stderr).toContain("gateway: The configuration is not usable.");
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );
});

describe("a process that is still loading", () => {
  it("is ended by SIGTERM, also as process 1", async () => {
    const preload = join(root, "tools/kube/jobs/first-signals.mjs");
    const code = (own: string) =>
      `${own} process.kill(process.pid, "SIGTERM"); setTimeout(() => process.exit(7), 2000);`;
    const run = (own: string) =>
      spawnSync(process.execPath, ["--import", preload, "--input-type=module", "-e", code(own)], { encoding: "utf8" })
        .status;
    expect(run("")).toBe(143);
    // A service's own handler, once it is there, decides alone.
    expect(run('process.on("SIGTERM", () => process.exit(3));')).toBe(3);
  });
});
