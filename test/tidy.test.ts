// The repository's own rules, checked on every file of it: import walls, names, opening lines, who may touch what.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const notOurs = new Set(["node_modules", "dist", ".cache", ".data", ".git", "coverage", "gen", "histories"]);

function walk(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name);
    if (entry.isDirectory()) return notOurs.has(entry.name) ? [] : walk(path);
    return entry.isFile() ? [path] : [];
  });
}

interface Source {
  readonly path: string;
  readonly text: string;
  /** What it imports, statically or not: as written, relative paths resolved from the root. */
  readonly imports: readonly string[];
  readonly isTest: boolean;
}

const files = walk("");
const sources: Source[] = files
  .filter((path) => /\.(ts|tsx|mts|mjs)$/.test(path))
  .map((path) => {
    const text = readFileSync(join(root, path), "utf8");
    return {
      path,
      text,
      imports: importsOf(text).map((name) => (name.startsWith(".") ? posix.join(dirname(path), name) : name)),
      isTest: /\.(test|it)\.tsx?$/.test(path) || /(^|\/)test\//.test(path),
    };
  });
const product = sources.filter(({ isTest }) => !isTest);
const within = (folder: string) => product.filter(({ path }) => path.startsWith(`${folder}/`));

function importsOf(text: string): string[] {
  const statement = /(?:^|[\n;])\s*(?:import|export)\s(?:[^"';]*?\sfrom\s)?\s*["']([^"'\n]+)["']/g;
  const call = /\bimport\(\s*["']([^"'\n]+)["']\s*\)/g;
  return [...text.matchAll(statement), ...text.matchAll(call)].flatMap((match) => match[1] ?? []);
}

/** The package or folder of ours that an import leads to, as "kit" or "services/payment"; undefined for a stranger's. */
function ours(name: string): string | undefined {
  const byName: Record<string, string> = { kit: "kit", proto: "proto", workflows: "workflows" };
  const scoped = /^@onsale\/([^/]+)/.exec(name)?.[1];
  if (scoped !== undefined)
    return byName[scoped] ?? (existsSync(join(root, "services", scoped)) ? `services/${scoped}` : `tools/${scoped}`);
  const local = /^(kit|proto|workflows|services\/[^/]+|tools\/[^/]+)\//.exec(name)?.[1];
  return local;
}

function crossings(allowed: (source: Source, target: string, name: string) => boolean, among: readonly Source[]) {
  return among.flatMap((source) =>
    source.imports.flatMap((name) => {
      const target = ours(name);
      if (target === undefined || source.path.startsWith(`${target}/`)) return [];
      return allowed(source, target, name) ? [] : [`${source.path} imports ${name}`];
    }),
  );
}

describe("import walls", () => {
  it("are looked for in files that are really there", () => {
    for (const folder of ["kit", "services", "workflows", "tools"])
      expect(within(folder).length, folder).toBeGreaterThan(0);
    expect(
      importsOf(
        'import a from "b";\nimport type { c }\n  from "d";\nexport { e } from "f";\nimport "g"; await import("h")',
      ),
    ).toEqual(["b", "d", "f", "g", "h"]);
    expect(ours("@onsale/gateway/server")).toBe("services/gateway");
    expect(ours("services/payment/src/store.js")).toBe("services/payment");
    expect(ours("zod")).toBeUndefined();
  });

  it("kit and proto import nothing of ours", () => {
    expect(crossings(() => false, [...within("kit"), ...within("proto")])).toEqual([]);
  });

  it("services import kit and proto, never each other; the gateway also the workflows' contract", () => {
    const allowed = ({ path }: Source, target: string, name: string) =>
      target === "kit" ||
      target === "proto" ||
      (path.startsWith("services/gateway/") && /^@onsale\/workflows\/contract$/.test(name));
    expect(crossings(allowed, within("services"))).toEqual([]);
  });

  it("the pages, which know the REST API alone, import of ours only the table of currencies and what reads and writes by it", () => {
    const pure = new Set(["@onsale/kit/currencies", "@onsale/kit/money"]);
    const pages = product.filter(({ path }) => path.startsWith("services/storefront/web/"));
    const foreign = pages.flatMap(({ path, imports }) =>
      imports
        .filter((name) => ours(name) !== undefined && !name.startsWith("services/storefront/web/") && !pure.has(name))
        .map((name) => `${path} imports ${name}`),
    );
    expect(foreign).toEqual([]);
    // Nor do those bring anything else along.
    for (const name of pure)
      expect(
        sources
          .find(({ path }) => path === `${name.replace("@onsale/kit", "kit/src")}.ts`)
          ?.imports.filter((inner) => inner !== "kit/src/currencies.js"),
      ).toEqual([]);
  });

  it("the worker imports kit and proto only", () => {
    expect(crossings((_, target) => target === "kit" || target === "proto", within("workflows"))).toEqual([]);
  });

  it("workflow code, which is replayed, reaches nothing impure, by whatever way", () => {
    const pure = new Set(["@onsale/kit/money", "@temporalio/workflow", "@temporalio/common"]);
    const byPath = new Map(sources.map((source) => [source.path, source]));
    const impure: string[] = [];
    const seen = new Set<string>();
    const follow = (source: Source): void => {
      if (seen.has(source.path)) return;
      seen.add(source.path);
      for (const name of source.imports) {
        // A type leaves nothing in the bundle.
        if (pure.has(name) || onlyTypesFrom(source, name)) continue;
        const next = name.startsWith("workflows/src/") ? byPath.get(name.replace(/\.js$/, ".ts")) : undefined;
        if (next === undefined) impure.push(`${source.path} imports ${name}`);
        else follow(next);
      }
    };
    for (const source of within("workflows/src/workflows")) follow(source);
    expect(seen).toContain("workflows/src/contract.ts");
    expect(impure).toEqual([]);
  });

  it("each store's client is imported by one file of a service, or of its rooms", () => {
    const owners: Record<string, RegExp> = {
      mongodb: /^(services\/[^/]+\/src\/(store|[a-z-]+\/[a-z-]+-store)|kit\/src\/mongodb)\.ts$/,
      ioredis: /^(services\/[^/]+\/src\/((clients\/)?valkey|valkey\/connection)|kit\/src\/redis(-servers)?)\.ts$/,
      stripe: /^services\/[^/]+\/src\/stripe(-line|-objects)?\.ts$/,
    };
    const strays = [...within("kit"), ...within("services"), ...within("workflows")].flatMap(({ path, imports }) =>
      imports.filter((name) => owners[name] && !owners[name].test(path)).map((name) => `${path} imports ${name}`),
    );
    expect(strays).toEqual([]);
  });

  it("the environment is read by config and process alone", () => {
    const readers = [...within("kit"), ...within("services"), ...within("workflows")]
      .filter(({ path }) => !/(^|\/)(config|process|bundle)\.ts$/.test(path))
      .filter(({ text }) => /\bprocess\.env\b/.test(text))
      .map(({ path }) => path);
    expect(readers).toEqual([]);
  });
});

/**
 * The rooms of a service that has some, each with those that it may import from, so that arrows go one way. What stands in no room
 * (main, config, service, server, store) puts them together and may import all; no room imports it.
 */
const rooms: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  inventory: {
    hall: [],
    events: ["hall"],
    valkey: ["hall"],
    generations: ["events", "valkey"],
    "best-available": ["hall", "events"],
    channels: ["hall", "events", "valkey", "generations"],
    catalog: ["hall", "events", "generations", "channels"],
    seats: ["hall", "events", "valkey", "generations", "channels", "best-available"],
    live: ["hall", "events", "valkey", "generations"],
    recovery: ["hall", "events", "valkey", "generations", "channels", "seats"],
  },
};

describe("walls between the rooms of a service", () => {
  const roomOf = (path: string) => /^services\/([^/]+)\/src\/([^/]+)\/[^/]/.exec(path);

  it.each(Object.entries(rooms))("%s: its folders are the rooms that are named", (service, named) => {
    const folders = within(`services/${service}/src`).flatMap(({ path }) => roomOf(path)?.[2] ?? []);
    expect([...new Set(folders)].sort()).toEqual(Object.keys(named).sort());
  });

  it.each(Object.entries(rooms))("%s: no room leads back to itself", (_, named) => {
    const reach = (room: string, path: readonly string[]): string[] =>
      path.includes(room)
        ? [[...path, room].join(" → ")]
        : (named[room] ?? []).flatMap((next) => reach(next, [...path, room]));
    expect(Object.keys(named).flatMap((room) => reach(room, []))).toEqual([]);
  });

  it.each(Object.entries(rooms))(
    "%s: a room imports from those that it may, and from all of them",
    (service, named) => {
      const crossed = within(`services/${service}/src`).flatMap(({ path, imports }) => {
        const from = roomOf(path)?.[2];
        if (from === undefined) return [];
        return imports
          .filter((name) => name.startsWith(`services/${service}/`))
          .map((name) => ({ path, name, from, to: roomOf(name)?.[2] ?? "no room" }))
          .filter(({ to }) => to !== from);
      });
      expect(
        crossed.filter(({ from, to }) => !named[from]?.includes(to)).map(({ path, name }) => `${path} imports ${name}`),
      ).toEqual([]);
      const used = new Set(crossed.map(({ from, to }) => `${from} → ${to}`));
      const allowed = Object.entries(named).flatMap(([from, all]) => all.map((to) => `${from} → ${to}`));
      expect(allowed.filter((arrow) => !used.has(arrow))).toEqual([]);
    },
  );

  it("inventory: only valkey/ speaks to Valkey, and reads its answers' kinds; only generations/ judges a generation", () => {
    const inventory = within("services/inventory/src");
    const speaking = inventory
      .filter(({ path }) => !/\/(valkey\/[^/]+|config)\.ts$/.test(path))
      .filter(({ imports }) => imports.some((name) => name === "ioredis" || name.startsWith("@onsale/kit/redis")));
    expect(speaking.map(({ path }) => path)).toEqual([]);
    // Whoever answers "another generation is there" says undefined; trying again is for generations.run alone.
    const byHand = inventory
      .filter(({ path }) => !/\/(valkey|generations)\//.test(path))
      .filter(({ text }) => /["']stale["']|judgeMarker/.test(text));
    expect(byHand.map(({ path }) => path)).toEqual([]);
  });
});

function onlyTypesFrom({ text, path }: Source, name: string): boolean {
  const statements = [...text.matchAll(/(?:^|\n)\s*import\s([^"';]*?)\sfrom\s+["']([^"'\n]+)["']/g)];
  return statements
    .filter((match) => {
      const written = match[2] ?? "";
      return (written.startsWith(".") ? posix.join(dirname(path), written) : written) === name;
    })
    .every((match) => /^type\s/.test(match[1] ?? ""));
}

describe("names", () => {
  it("say what something is: no drawer for odds and ends", () => {
    const drawer = /^(utils?|helpers?|common|misc|base|managers?|shared|lib|types|constants)$/;
    const drawers = files.filter((path) => path.split("/").some((part) => drawer.test(part.replace(/\..*$/, ""))));
    expect(drawers).toEqual([]);
  });

  it("are kebab-case in the code", () => {
    const odd = sources.filter(
      ({ path }) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.(test|it|config|d))?\.(ts|tsx|mts|mjs)$/.test(basename(path)),
    );
    expect(odd.map(({ path }) => path)).toEqual([]);
  });

  it("have no index.ts but the one that bundles the workflows", () => {
    const indexes = files.filter((path) => /(^|\/)index\.(ts|tsx|js|mjs)$/.test(path));
    expect(indexes.filter((path) => path !== "workflows/src/workflows/index.ts")).toEqual([]);
  });
});

describe("every source file", () => {
  it("begins with a comment that says what it owns", () => {
    const silent = sources
      .filter(({ path }) => path !== "vitest.config.ts")
      .filter(({ path }) => !/\.test\.ts$/.test(path)) // it lies beside what it tests
      .filter(({ text }) => !/^\/\/ \S.{8,}/.test(text));
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  it("does not switch the type checker off", () => {
    const loopholes = [/\bas any\b/, /@ts-ignore/, /@ts-nocheck/, /\bas unknown as any\b/];
    const offenders = sources
      .filter(({ path }) => path !== "test/tidy.test.ts")
      .flatMap(({ path, text }) =>
        loopholes.filter((loophole) => loophole.test(text)).map((loophole) => `${path}: ${loophole.source}`),
      );
    expect(offenders).toEqual([]);
  });

  it("leaves nothing for later in a comment, and no test switched off without a reason", () => {
    const later = /\b(TODO|FIXME|XXX|HACK)\b/;
    const silenced = /\b(?:it|test|describe)\.(?:only|skip)\(/;
    const offenders = sources
      .filter(({ path }) => path !== "test/tidy.test.ts")
      .filter(({ text }) => later.test(text) || silenced.test(text));
    expect(offenders.map(({ path }) => path)).toEqual([]);
  });

  it("has no enum, decorator or namespace of ours", () => {
    const offenders = product.filter(({ text }) =>
      /(?:^|\n)\s*(?:export\s+)?(?:const\s+)?(?:enum|namespace)\s+\w+\s*\{/.test(text),
    );
    expect(offenders.map(({ path }) => path)).toEqual([]);
  });
});

/** Lines of the longest function of a part: what it has come to, and no more again. Where rooms are made it goes down to 120. */
const longestFunction: Readonly<Record<string, number>> = {
  "services/inventory": 112,
  "services/account": 120,
  "services/storefront/src": 120,
  "services/payment": 125,
  "services/codec": 125,
  kit: 105,
  // Not there yet.
  "services/ticket": 300,
  "services/storefront/web": 400,
  "services/gateway": 400,
  workflows: 400,
  tools: 190,
};

describe("functions", () => {
  // The compiler that npm gives to openapi-typescript: the one that we build with has no parser to call.
  const storefront = createRequire(join(root, "services/storefront/package.json"));
  const ts = createRequire(storefront.resolve("openapi-typescript"))("typescript");

  /** "name, 130 lines" of those that are longer than they may be. */
  function tooLong({ path, text }: Source, most: number): string[] {
    const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
    const found: string[] = [];
    const lineAt = (position: number): number => file.getLineAndCharacterOfPosition(position).line;
    const visit = (node: TsNode): void => {
      if (ts.isFunctionLike(node) && node.body) {
        const lines = lineAt(node.end) - lineAt(node.getStart()) + 1;
        const name = node.name?.getText() ?? node.parent?.name?.getText() ?? "a function";
        if (lines > most) found.push(`${path}: ${name}, ${lines} lines`);
      }
      ts.forEachChild(node, visit);
    };
    visit(file);
    return found;
  }

  it.each(Object.entries(longestFunction))("of %s have at most %i lines", (home, most) => {
    expect(within(home).flatMap((source) => tooLong(source, most))).toEqual([]);
  });

  it("are measured", () => {
    const text = "const one = () => {\n  two;\n};\nclass Three {\n  four() {\n    return 5;\n\n  }\n}\n";
    expect(tooLong({ path: "x.ts", text, imports: [], isTest: false }, 3)).toEqual(["x.ts: four, 4 lines"]);
  });
});

/** As much of a syntax tree's node as is asked after. */
interface TsNode {
  readonly end: number;
  readonly body?: TsNode;
  readonly name?: TsNode;
  readonly parent?: TsNode;
  getStart(): number;
  getText(): string;
}

describe("every text file", () => {
  const texts = files
    .filter((path) => !/\.(png|jpg|ico|woff2?|tsbuildinfo)$/.test(path))
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));

  it("names no package registry: where packages come from is the machine's business", () => {
    const hosts = [
      ["registry", "npmjs", "org"],
      ["registry", "yarnpkg", "com"],
      ["pypi", "org"],
      ["pythonhosted", "org"],
      ["npm", "pkg", "github", "com"],
    ].map((parts) => parts.join("."));
    const named = texts.flatMap(({ path, text }) =>
      hosts.filter((host) => text.includes(host)).map((host) => `${path}: ${host}`),
    );
    expect(named).toEqual([]);
  });

  it("names files that are there, where it leads newcomers", () => {
    const paths = /`((?:services|workflows|kit|tools|proto|test)\/[\w./-]+\.(?:ts|tsx|mjs|lua|proto))`/g;
    const guides = texts.filter(({ path }) => /^(README|CONTRIBUTING|docs\/(ARCHITECTURE|GLOSSARY))\.md$/.test(path));
    const lost = guides.flatMap(({ path, text }) =>
      [...text.matchAll(paths)]
        .map(([, named = ""]) => named)
        .filter((named) => !existsSync(join(root, named)))
        .map((named) => `${path}: ${named}`),
    );
    expect(guides.length).toBe(4);
    expect(lost).toEqual([]);
  });

  it("holds no live secret", () => {
    // A live key of Stripe, a private key: in their published shapes.
    const shapes = [/\b[sr]k_live_[0-9A-Za-z]{24,}/, /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s*[A-Za-z0-9+/]{40}/];
    const leaks = texts.flatMap(({ path, text }) =>
      shapes.filter((shape) => shape.test(text)).map((shape) => `${path}: ${shape.source}`),
    );
    expect(leaks).toEqual([]);
  });
});

describe("packages", () => {
  const packages = files
    .filter((path) => basename(path) === "package.json")
    .map((path) => ({
      path,
      json: JSON.parse(readFileSync(join(root, path), "utf8")) as Record<string, Record<string, string>>,
    }));

  it("pin every dependency exactly", () => {
    const loose = packages.flatMap(({ path, json }) =>
      ["dependencies", "devDependencies"].flatMap((kind) =>
        Object.entries(json[kind] ?? {})
          .filter(([, version]) => !/^(npm:[^@]*@?[^@]+@)?\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
          .map(([name, version]) => `${path}: ${name} ${version}`),
      ),
    );
    expect(loose).toEqual([]);
  });

  it("declare what they import", () => {
    const undeclared = packages
      .filter(({ path }) => path !== "package.json")
      .flatMap(({ path, json }) => {
        const declared = { ...json["dependencies"], ...json["devDependencies"] };
        return within(dirname(path)).flatMap((source) =>
          source.imports
            .filter((name) => !name.startsWith("node:") && !/^(kit|proto|services|workflows|tools|bench)\//.test(name))
            .map((name) =>
              name
                .split("/")
                .slice(0, name.startsWith("@") ? 2 : 1)
                .join("/"),
            )
            .filter((name) => declared[name] === undefined && name !== "vitest")
            .map((name) => `${source.path} imports ${name}`),
        );
      });
    expect([...new Set(undeclared)]).toEqual([]);
  });
});
