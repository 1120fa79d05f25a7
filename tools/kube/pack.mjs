// What goes into a service's image: follows its imports from main.js, and copies the files of ours and the packages that it reaches.
//   node pack.mjs folder SERVICE                           → the service's folder
//   node pack.mjs pack SERVICE ROOT NODE_MODULES TARGET    → fills TARGET
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";

function folderOf(service, root = ".") {
  const folder = [`services/${service}`, `tools/${service}`].find((path) =>
    existsSync(join(root, path, "src/main.ts")),
  );
  if (service === "worker") return "workflows";
  if (folder === undefined) throw new Error(`There is no service ${service}: no services/${service}/src/main.ts.`);
  return folder;
}

/** Packages and files that a module names, statically or not. */
function importsOf(file) {
  const text = readFileSync(file, "utf8");
  const statement = /(?:^|[\n;])\s*(?:import|export)\s*(?:[^"';]*?\sfrom\s)?\s*["']([^"'\n]+)["']/g;
  const call = /\b(?:import|require|resolve)\(\s*["']([^"'\n]+)["']\s*\)/g;
  return [...text.matchAll(statement), ...text.matchAll(call)].map((match) => match[1]);
}

function pack(service, root, nodeModules, target) {
  const folder = folderOf(service, root);
  const ours = new Map(); // name → folder
  for (const parent of ["", "services", "tools"])
    for (const name of readdirSync(join(root, parent))) {
      const manifest = join(root, parent, name, "package.json");
      if (name !== "node_modules" && existsSync(manifest))
        ours.set(JSON.parse(readFileSync(manifest, "utf8")).name, join(parent, name));
    }

  // ---- our modules, from the entry on
  const files = new Set();
  const strangers = new Map(); // package → the folder of ours that asks for it
  const follow = (file) => {
    if (files.has(file)) return;
    files.add(file);
    if (!file.endsWith(".js")) return;
    for (const name of importsOf(file)) {
      if (name.startsWith("node:")) continue;
      if (name.startsWith(".")) follow(resolve(dirname(file), name));
      else if (name.startsWith("@onsale/")) {
        const [scope, short, ...path] = name.split("/");
        const home = ours.get(`${scope}/${short}`);
        if (home === undefined) throw new Error(`${file} imports ${name}, which is no package of this repository.`);
        const { exports } = JSON.parse(readFileSync(join(root, home, "package.json"), "utf8"));
        follow(join(root, home, exports["./*"].default.replace("*", path.join("/"))));
      } else strangers.set(packageOf(name), relative(root, file));
    }
  };
  follow(join(root, folder, "dist/main.js"));
  // Jobs of the chart run in the same images.
  if (existsSync(join(root, folder, "dist/store.js"))) follow(join(root, folder, "dist/store.js"));

  const folders = new Set([...files].map((file) => relative(root, file).split("/dist/")[0]));
  for (const home of folders) {
    copy(join(root, home, "package.json"), join(target, home, "package.json"));
    cpSync(join(root, home, "dist"), join(target, home, "dist"), {
      recursive: true,
      preserveTimestamps: true, // the worker compares its bundle's age with that of the code
      filter: (path) => !/\.(d\.ts|d\.ts\.map|tsbuildinfo)$/.test(path),
    });
    // What it reads at run time that is no code, as the package's `files` name it.
    const { files: named = [] } = JSON.parse(readFileSync(join(root, home, "package.json"), "utf8"));
    for (const extra of new Set(["dist-web", ...named]))
      if (extra !== "dist" && existsSync(join(root, home, extra)))
        cpSync(join(root, home, extra), join(target, home, extra), { recursive: true });
  }
  // A package of ours that is reached in part (the gateway knows the workflows' contract only) brings only that part.
  for (const home of folders)
    for (const file of walk(join(target, home, "dist")))
      if (file.endsWith(".js") && home !== folder && !files.has(join(root, relative(target, file)))) {
        rmSync(file);
        rmSync(`${file}.map`, { force: true });
      }
  cpSync(join(root, "tools/kube/jobs"), join(target, "tools/kube/jobs"), { recursive: true });
  writeFileSync(join(target, "package.json"), `${JSON.stringify({ private: true, type: "module" })}\n`);
  writeFileSync(join(target, "main.mjs"), `// The process of this image.\nawait import("./${folder}/dist/main.js");\n`);
  mkdirSync(join(target, "node_modules/@onsale"), { recursive: true });
  for (const [name, home] of ours)
    if (folders.has(home)) symlinkSync(join("../..", home), join(target, "node_modules", name));
  if (service === "worker") strangers.set("@temporalio/client", "the drain of the worker");

  // ---- the packages that they reach, and those that these need
  const kept = new Set();
  const keep = (name, from, isNeeded) => {
    for (let at = from; ; at = dirname(at)) {
      const place = basename(at) === "node_modules" ? join(at, name) : join(at, "node_modules", name);
      if (existsSync(join(place, "package.json"))) {
        if (kept.has(place)) return;
        kept.add(place);
        const manifest = JSON.parse(readFileSync(join(place, "package.json"), "utf8"));
        for (const next of Object.keys(manifest.dependencies ?? {})) keep(next, place, true);
        for (const next of Object.keys({ ...manifest.optionalDependencies, ...manifest.peerDependencies }))
          keep(next, place, false);
        return;
      }
      if (at === dirname(nodeModules) || at === "/") break;
    }
    if (isNeeded) throw new Error(`${name} is not among the packages for production, but ${from} asks for it.`);
  };
  for (const [name, asker] of strangers) keep(name, dirname(nodeModules), asker);
  for (const place of kept)
    cpSync(place, join(target, "node_modules", relative(nodeModules, place)), {
      recursive: true,
      filter: (path) =>
        (path === place || !path.slice(place.length).includes("/node_modules")) &&
        !/\.(d\.[cm]?ts|d\.[cm]?ts\.map|md|markdown)$/.test(path) &&
        isForThisMachine(path) &&
        !isDocumentation(path),
    });
  const bytes = [...walk(target)].reduce((sum, file) => sum + statSync(file).size, 0);
  process.stdout.write(`${service}: ${kept.size} packages, ${(bytes / 1e6).toFixed(1)} MB\n`);
}

/** Temporal's package carries its native code for five systems. */
function isForThisMachine(path) {
  const release = /\/core-bridge\/releases\/([^/]+)/.exec(path)?.[1];
  if (release === undefined) return true;
  const arch = { x64: "x86_64", arm64: "aarch64" }[process.arch];
  return release === `${arch}-unknown-linux-gnu`;
}

/** Source maps of the API's viewer, sources of native code: read by nobody. */
function isDocumentation(path) {
  return (
    /\/swagger-ui-dist\/.*(\.map|es-bundle[^/]*\.js)$/.test(path) || /\/core-bridge\/(sdk-core|src)(\/|$)/.test(path)
  );
}

function packageOf(name) {
  return name
    .split("/")
    .slice(0, name.startsWith("@") ? 2 : 1)
    .join("/");
}

function* walk(folder) {
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* walk(path);
    else if (entry.isFile()) yield path;
  }
}

function copy(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, to);
}

const [command, service, ...paths] = process.argv.slice(2);
if (command === "folder" && service) process.stdout.write(folderOf(service));
else if (command === "pack" && service && paths.length === 3) pack(service, ...paths.map((path) => resolve(path)));
else {
  process.stderr.write("usage: node pack.mjs folder SERVICE | pack SERVICE ROOT NODE_MODULES TARGET\n");
  process.exit(2);
}
