// Installs what `npm test` checks the chart and the Dockerfiles with, into .cache: helm (built by Go), kubernetes-validate, hadolint, and
// the schemas of cert-manager's, the Gateway API's and the Prometheus operator's kinds (out of their Go modules). Prometheus and promtool
// come from the system's packages, if this is root on a system with apt. Says what could not be had and why; the checks that need it are
// then skipped. `node tools/kube/install-checks.mjs`
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
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

/** Module, version, and where in it are the CustomResourceDefinitions of the kinds that the chart makes. */
const schemaSources = [
  [
    "github.com/cert-manager/cert-manager",
    "v1.21.2",
    ["deploy/crds/cert-manager.io_certificates.yaml", "deploy/crds/cert-manager.io_issuers.yaml"],
  ],
  ["sigs.k8s.io/gateway-api", "v1.4.1", ["config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"]],
  [
    "github.com/prometheus-operator/prometheus-operator",
    "v0.85.0",
    [
      "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
      "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ],
  ],
];

function installSchemas() {
  const folder = join(root, ".cache/kube/crds");
  const stamp = join(folder, "onsale.json");
  const lock = JSON.stringify(schemaSources);
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return `${folder} is there`;
  if (!answers("go", "version")) return "not installed: there is no Go to fetch their modules with";
  mkdirSync(folder, { recursive: true });
  const gopath = join(goCache, "crds");
  for (const [module, version, files] of schemaSources) {
    const { stdout, error } = spawnSync("go", ["mod", "download", "-json", `${module}@${version}`], {
      cwd: folder,
      env: { ...process.env, GOPATH: gopath, GOFLAGS: "-modcacherw" },
      encoding: "utf8",
      timeout: 300_000,
    });
    const told = stdout ? JSON.parse(stdout) : { Error: String(error) };
    if (!told.Dir) return `not installed: ${module}@${version}: ${told.Error}`;
    for (const file of files) copyFileSync(join(told.Dir, file), join(folder, basename(file)));
  }
  rmSync(gopath, { recursive: true, force: true });
  writeFileSync(stamp, lock);
  return folder;
}

function installPrometheus() {
  if (answers("promtool", "--version") && answers("prometheus", "--version")) return "those on PATH";
  if (process.getuid?.() !== 0 || !answers("apt-get", "--version"))
    return "not installed: there are none on PATH, and this is not root on a system with apt";
  const apt = (...args) =>
    spawnSync("apt-get", args, {
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
      encoding: "utf8",
      timeout: 300_000,
    });
  apt("update");
  const { status, stderr } = apt("install", "-y", "--no-install-recommends", "prometheus");
  return status === 0 ? "by apt" : `not installed: ${stderr?.trim().split("\n").slice(-2).join(" ")}`;
}

say(`helm: ${installHelm()}`);
say(`prometheus and promtool: ${installPrometheus()}`);
say(`schemas of cert-manager, Gateway API and Prometheus operator: ${installSchemas()}`);
say(`kubernetes-validate and hadolint: ${installPythonTools()}`);
