// Which program on PATH is used: by what real ones say of themselves, and never one that hangs, fails or talks nonsense.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";

interface Server {
  readonly setting: string;
}
interface Verdict {
  readonly version?: string;
  readonly refusal?: string;
}
const { servers, judge, chooseFromPath } = (await import(new URL("../choose-programs.mjs", import.meta.url).href)) as {
  servers: Record<"temporal" | "valkey" | "mongodb", Server>;
  judge(server: Server, said: string): Verdict;
  chooseFromPath(
    server: Server,
    path: string,
    withinSeconds?: number,
  ): Promise<{ chosen?: { command: string; version: string }; passedOver: string[] }>;
};

describe("what a program says of itself", () => {
  // As printed by the programs themselves.
  const redis6 = "Redis server v=6.2.14 sha=40305114:0 malloc=libc bits=64 build=dff95a8e7a99d269";
  const redis7 = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c971a948f0";
  const redis8 = "Redis server v=8.2.3 sha=b5d43ceb:0 malloc=jemalloc-5.3.0 bits=64 build=a4a1616166d42ee6";
  const valkey8 = "Valkey server v=8.1.8 sha=00000000:1 malloc=libc bits=64 build=7eb4ebc9d7e91f4e";
  const temporal = (cli: string, server: string, ui: string) =>
    `temporal version ${cli} (Server ${server}, UI ${ui})\n`;

  it.each([
    ["valkey", redis7, "Redis 7.0.15"],
    ["valkey", redis8, "Redis 8.2.3"],
    ["valkey", valkey8, "Valkey 8.1.8"],
    ["valkey", valkey8.replace("8.1.8", "7.2.0"), "Valkey 7.2.0"],
    ["valkey", `a stand-in's warning\n${redis7}`, "Redis 7.0.15"],
    ["temporal", temporal("1.9.1", "1.32.0", "2.54.1"), "Temporal 1.32.0"],
  ] as const)("%s: %j is used", (name, said, version) => {
    expect(judge(servers[name], said)).toEqual({ version });
  });

  it.each([
    ["valkey", redis6, "Redis 6.2.14 is older than 7.0"],
    ["valkey", valkey8.replace("8.1.8", "9.0.0"), "Valkey 9.0.0 is newer than 8"],
    ["valkey", redis7.replace("7.0.15", "10.0.0"), "Redis 10.0.0 is newer than 8"],
    ["valkey", "Redis server version 2.4.10 (00000000:0)", 'no known version: "Redis server version 2.4.10'],
    ["valkey", "KeyDB server v=6.3.4 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64", "no known version"],
    ["valkey", "", "no known version"],
    ["temporal", temporal("1.8.3", "1.31.2", "2.50.1"), "Temporal 1.31.2 is older than 1.32"],
    ["temporal", temporal("1.5.1", "1.29.1", "2.42.1"), "Temporal 1.29.1 is older than 1.32"],
    ["temporal", "temporal version 0.10.7 (server 1.21.3) (ui 2.17.2)", "Temporal 1.21.3 is older than 1.32"],
    ["temporal", temporal("1.99.0", "1.33.0", "2.99.0"), "Temporal 1.33.0 is newer than 1.32"],
    ["temporal", redis7, "no known version"],
  ] as const)("%s: %j is not used", (name, said, why) => {
    expect(judge(servers[name], said).refusal).toContain(why);
  });
});

describe("on PATH", () => {
  const root = mkdtempSync(join(tmpdir(), "onsale-programs-"));
  let folders: string[];
  beforeEach(() => {
    folders = [];
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  /** A folder on PATH, after those before, with a program that does this. */
  function program(name: string, script: string, mode = 0o755): string {
    const folder = mkdtempSync(join(root, "bin-"));
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, name), mode);
    folders.push(folder);
    return join(folder, name);
  }
  const says = (product: "Valkey" | "Redis") =>
    `echo '${product} server v=${product === "Valkey" ? "8.1.8" : "7.0.15"} sha=0'`;
  const choose = (withinSeconds?: number) => chooseFromPath(servers.valkey, folders.join(delimiter), withinSeconds);

  it("there is none: the pinned one is left", async () => {
    expect(await choose()).toEqual({ passedOver: [] });
    expect(await chooseFromPath(servers.mongodb, process.env["PATH"] ?? "")).toEqual({ passedOver: [] });
  });

  it("Valkey comes before Redis, wherever they are; by what they are, not by their name", async () => {
    const redis = program("redis-server", says("Redis"));
    expect((await choose()).chosen).toEqual({ command: redis, version: "Redis 7.0.15" });
    const valkey = program("valkey-server", says("Valkey"));
    expect((await choose()).chosen).toEqual({ command: valkey, version: "Valkey 8.1.8" });
    folders = [];
    const renamed = program("redis-server", says("Valkey"));
    expect((await choose()).chosen).toEqual({ command: renamed, version: "Valkey 8.1.8" });
  });

  it("an old one is passed over for the next name, and said to be", async () => {
    const old = program("valkey-server", "echo 'Redis server v=6.2.14 sha=0'");
    const redis = program("redis-server", says("Redis"));
    const { chosen, passedOver } = await choose();
    expect(chosen?.command).toBe(redis);
    expect(passedOver).toEqual([`${old}: Redis 6.2.14 is older than 7.0, the oldest that can be used`]);
  });

  it.each([
    ["fails", "echo 'Redis server v=7.0.15'; echo 'cannot open libssl.so.1.1' >&2; exit 127", /code 127: cannot open/],
    ["is ended by a signal", "kill -9 $$", /SIGKILL/],
    ["talks nonsense", "echo hello", /no known version: "hello"/],
    ["says nothing", "exit 0", /no known version/],
    ["hangs", "sleep 600", /does not answer --version within 1 s/],
    ["leaves something behind that hangs", "sleep 600 & echo 'Redis server v=7.0.15'", /does not answer/],
    ["never ends to talk", "while :; do echo Redis Redis Redis Redis Redis; done", /without an end|does not answer/],
    ["needs PATH, as a version manager's stand-in does", `[ "$WHERE" = here ] && ${says("Redis")}`, /code 1/],
  ])("one that %s is not used", async (_, script, why) => {
    const file = program("redis-server", script);
    process.env["WHERE"] = "here";
    const { chosen, passedOver } = await choose(1);
    delete process.env["WHERE"];
    expect(chosen).toBeUndefined();
    expect(passedOver).toHaveLength(1);
    expect(passedOver[0]).toMatch(new RegExp(`^${file}: `));
    expect(passedOver[0]).toMatch(why);
  });

  it("what can't be run is not looked at, nor is a folder", async () => {
    program("redis-server", says("Redis"), 0o644);
    const folder = mkdtempSync(join(root, "bin-"));
    mkdirSync(join(folder, "redis-server"));
    folders.push(folder);
    expect(await choose()).toEqual({ passedOver: [] });
  });
});
