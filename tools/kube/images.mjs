// Builds every image by plain docker, and brings them into a cluster if IMAGE_LOAD says how:
//   node tools/kube/images.mjs [--tag TAG] [--registry PREFIX] [--only a,b] [--load] [--push] [-- docker build options…]
//   IMAGE_LOAD   a command that gets the images' names: `kind load docker-image`, `minikube image load`, …
//   IMAGE_BUILD  instead of `docker build`: a command that takes the same options
//   BASE_IMAGE, PYTHON_IMAGE  other images to build on
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = fileURLToPath(new URL("../..", import.meta.url));
const staged = join(root, ".cache/kube/backing");
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
/** Of the demo: image → the pins that it is made from. */
const servers = { temporal: "temporal.txt", valkey: "valkey.txt", mongodb: "mongodb.txt" };

/** Every service that has a process of its own, by the folders that are there. */
export function serviceNames() {
  const hasMain = (folder) => existsSync(join(root, folder, "src/main.ts"));
  const services = readdirSync(join(root, "services")).filter((name) => hasMain(`services/${name}`));
  return [...services, "worker", "stripe-sim"];
}

export function imageName(name, { registry = "", tag = version } = {}) {
  return `${registry ? `${registry}/` : ""}onsale/${name}:${tag}`;
}

function run(command, args, options = {}) {
  process.stdout.write(`$ ${command} ${args.join(" ")}\n`);
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit", ...options });
  if (status !== 0) {
    process.stderr.write(`${command} ${args.join(" ")}: ${error?.message ?? `ended with ${status}`}\n`);
    process.exit(1);
  }
}

/** The packages for the images' Python and system, whatever this machine's are; hash by hash as pinned. */
function stage(name) {
  const requirements = join(root, "tools/backing/requirements", servers[name]);
  const target = join(staged, name);
  const stamp = join(staged, `${name}.lock`);
  const lock = createHash("sha256").update(readFileSync(requirements)).digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock && existsSync(target)) return;
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  const arch = { x64: "x86_64", arm64: "aarch64" }[process.arch];
  const platforms = ["manylinux2014", ...Array.from({ length: 20 }, (_, index) => `manylinux_2_${17 + index}`)];
  run("python3", [
    ...[
      "-m",
      "pip",
      "install",
      "--quiet",
      "--target",
      target,
      "--no-deps",
      "--only-binary",
      ":all:",
      "--require-hashes",
    ],
    ...["--python-version", "3.11", "--implementation", "cp"],
    ...platforms.flatMap((platform) => ["--platform", `${platform}_${arch}`]),
    ...["--requirement", requirements],
  ]);
  writeFileSync(stamp, lock);
}

function git(...args) {
  const { status, stdout } = spawnSync("git", args, { cwd: root, encoding: "utf8" });
  return status === 0 ? stdout.trim() : "";
}

function main() {
  const cut = process.argv.indexOf("--");
  const own = process.argv.slice(2, cut === -1 ? undefined : cut);
  const more = cut === -1 ? [] : process.argv.slice(cut + 1);
  const { values } = parseArgs({
    args: own,
    options: {
      tag: { type: "string", default: version },
      registry: { type: "string", default: "" },
      only: { type: "string" },
      load: { type: "boolean", default: false },
      push: { type: "boolean", default: false },
    },
  });
  const all = [...serviceNames(), ...Object.keys(servers)];
  const names = values.only?.split(",") ?? all;
  const unknown = names.filter((name) => !all.includes(name));
  if (unknown.length > 0) throw new Error(`There is no image ${unknown.join(", ")}; there are ${all.join(", ")}.`);
  const loader = process.env.IMAGE_LOAD;
  if (values.load && !loader)
    throw new Error(
      "--load needs IMAGE_LOAD: the command that brings images into your cluster, as `kind load docker-image`.",
    );

  const [build = "docker", ...buildArgs] = (process.env.IMAGE_BUILD ?? "docker build").split(" ");
  const revision = `${git("rev-parse", "HEAD") || "unknown"}${git("status", "--porcelain") ? "-changed" : ""}`;
  const bases = ["BASE_IMAGE", "PYTHON_IMAGE"].flatMap((name) =>
    process.env[name] ? ["--build-arg", `${name}=${process.env[name]}`] : [],
  );
  const labels = ["--build-arg", `VERSION=${values.tag}`, "--build-arg", `REVISION=${revision}`];
  const env = { ...process.env, DOCKER_BUILDKIT: "1" };
  for (const name of names) {
    const image = imageName(name, values);
    const options = [...buildArgs, "-t", image, ...labels, ...bases, ...more];
    if (servers[name] === undefined) run(build, [...options, "--build-arg", `SERVICE=${name}`, "."], { env });
    else {
      stage(name);
      writeFileSync(join(staged, "secantusd.toml"), "");
      run(build, [...options, "--target", name, "-f", "tools/kube/backing.Dockerfile", staged], { env });
    }
    if (values.push) run("docker", ["push", image]);
  }
  if (values.load) {
    const [command, ...first] = loader.split(" ");
    run(command, [...first, ...names.map((name) => imageName(name, values))]);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    main();
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
}
