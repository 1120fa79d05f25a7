// How the pages are built: hashed files under /assets, compressed once; the map and other languages in files of their own; and a
// service worker that knows this build.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const built = fileURLToPath(new URL("dist-web", import.meta.url));

let folder = built;
/** What a ticket needs to be shown without a connection, in each language: its pages with all that they import. */
const shownOffline = /\/(main\.tsx|ticket-page\.tsx|tickets-page\.tsx|messages\/(de|fr)\.ts|index\.html)$/;

/** Tells the service worker which build it belongs to: with each one it is another file, which browsers then take. */
const offline: Plugin = {
  name: "offline",
  apply: "build",
  configResolved({ build }) {
    folder = build.outDir;
  },
  generateBundle(_, bundle) {
    const wanted = new Set<string>();
    const add = (name: string): void => {
      const file = bundle[name];
      if (!file || wanted.has(name)) return;
      wanted.add(name);
      if (file.type === "chunk") for (const other of file.imports) add(other);
    };
    for (const file of Object.values(bundle))
      if (file.type === "chunk" ? shownOffline.test(file.facadeModuleId ?? "") : file.fileName.endsWith(".css"))
        add(file.fileName);
    const files = [...wanted].sort().map((name) => `/${name}`);
    if (!files.some((name) => name.includes("/ticket-page-")))
      this.error(
        "the ticket's page is not in a file of its own any more: say which files it needs without a connection",
      );
    told = { id: createHash("sha256").update(Object.keys(bundle).sort().join()).digest("hex").slice(0, 12), files };
  },
  closeBundle() {
    const worker = join(folder, "service-worker.js");
    const before = readFileSync(worker, "utf8");
    const after = before.replace(/^const build = .*$/m, `const build = ${JSON.stringify(told)};`);
    if (after === before) this.error("service-worker.js has no line for its build");
    writeFileSync(worker, after);
  },
};
let told: { readonly id: string; readonly files: readonly string[] } = { id: "", files: [] };

/** app.js.gz and app.js.br beside app.js: whoever serves the folder needs not compress. */
const compressed: Plugin = {
  name: "compressed",
  apply: "build",
  closeBundle() {
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !/\.(js|css|html|svg)$/.test(entry.name)) continue;
      const file = join(entry.parentPath, entry.name);
      const content = readFileSync(file);
      if (content.length < 1_000) continue;
      writeFileSync(`${file}.gz`, gzipSync(content, { level: 9 }));
      writeFileSync(`${file}.br`, brotliCompressSync(content));
    }
  },
};

export default defineConfig({
  root: fileURLToPath(new URL("web", import.meta.url)),
  plugins: [react(), tailwindcss(), offline, compressed],
  build: {
    outDir: built,
    emptyOutDir: true,
    target: "es2023",
    sourcemap: false,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
