import { createServer, type Server } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { readConfig } from "./config.js";
import { openRedisServers, slotOf } from "./redis-servers.js";
import { readRedisUrl, redisSettings, redisUrlProblem } from "./redis-url.js";

describe("REDIS_URL", () => {
  it("names one server", () => {
    expect(readRedisUrl("redis://127.0.0.1:6380")).toEqual({
      nodes: [{ host: "127.0.0.1", port: 6380 }],
      isCluster: false,
      tls: false,
      username: undefined,
      password: undefined,
      database: 0,
    });
    expect(readRedisUrl("rediss://us%40er:p%2Cw@valkey.example/3")).toEqual({
      nodes: [{ host: "valkey.example", port: 6379 }],
      isCluster: false,
      tls: true,
      username: "us@er",
      password: "p,w",
      database: 3,
    });
    expect(readRedisUrl("redis://[::1]:7000/")).toMatchObject({ nodes: [{ host: "::1", port: 7000 }], database: 0 });
  });

  it("names a cluster by several of its servers, or by one", () => {
    const three = [1, 2, 3].map((port) => ({ host: "a.example", port }));
    for (const text of [
      "redis://:secret@a.example:1,redis://a.example:2,redis://a.example:3",
      "redis://:secret@a.example:1, a.example:2, a.example:3",
    ])
      expect(readRedisUrl(text)).toMatchObject({ nodes: three, isCluster: true, password: "secret", tls: false });
    expect(readRedisUrl("rediss+cluster://a.example:1")).toMatchObject({
      nodes: [{ host: "a.example", port: 1 }],
      isCluster: true,
      tls: true,
    });
  });

  it.each([
    "",
    "127.0.0.1:6379",
    "http://a:1",
    "redis://",
    "redis:///socket",
    "redis://a:1/x",
    "redis://a:99999",
    "redis://a:1?family=6",
    "redis://a:1,",
    "redis://a:1,rediss://b:2",
  ])("%j is refused with what it must be", (text) => {
    expect(redisUrlProblem(text)).toMatch(/^must be redis:\/\//);
  });

  it("says what is wrong with a cluster's, without repeating a secret", () => {
    expect(redisUrlProblem("redis://a:1/2,redis://b:2")).toMatch(/no database/);
    expect(redisUrlProblem("redis+cluster://a:1/1")).toMatch(/no database/);
    const twoPasswords = "redis://:hunter2@a:1,redis://:hunter3@b:2";
    expect(redisUrlProblem(twoPasswords)).toMatch(/same user and password/);
    expect(() => readConfig(redisSettings, { REDIS_URL: twoPasswords })).toThrow(/REDIS_URL: must have the same user/);
    expect(() => readConfig(redisSettings, { REDIS_URL: twoPasswords })).not.toThrow(/hunter/);
    expect(readConfig(redisSettings, { REDIS_URL: "redis://a:1,b:2" })).toEqual({ REDIS_URL: "redis://a:1,b:2" });
  });
});

it("slots are those of the cluster specification", () => {
  expect(slotOf("123456789")).toBe(0x31c3);
  expect(slotOf("")).toBe(0);
  // As CLUSTER KEYSLOT answers.
  expect(slotOf("foo")).toBe(12_182);
  expect(slotOf("evt_1")).toBe(9_052);
});

describe("the servers of a cluster", () => {
  const running: Server[] = [];
  const clients: { close(): void }[] = [];
  afterEach(() => {
    for (const client of clients.splice(0)) client.close();
    for (const server of running.splice(0)) server.close();
  });

  /** Speaks just enough: HELLO and whatever else the client says first is "OK", and these commands have answers of their own. */
  async function scripted(
    answers: Record<string, (args: string[]) => string>,
  ): Promise<{ port: number; stop(): void }> {
    const sockets = new Set<import("node:net").Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => undefined);
      let text = "";
      socket.on("data", (bytes) => {
        text += bytes.toString();
        for (;;) {
          const parts = /^\*(\d+)\r\n/.exec(text);
          if (!parts) return;
          const args: string[] = [];
          let at = parts[0].length;
          for (let n = 0; n < Number(parts[1]); n++) {
            const length = /^\$(\d+)\r\n/.exec(text.slice(at));
            if (!length) return;
            at += length[0].length;
            args.push(text.slice(at, at + Number(length[1])));
            at += Number(length[1]) + 2;
          }
          if (at > text.length) return;
          text = text.slice(at);
          const name = args[0]?.toLowerCase() ?? "";
          const found = answers[`${name} ${args[1]?.toLowerCase()}`] ?? answers[name];
          socket.write(found?.(args) ?? (name === "hello" ? "%1\r\n+proto\r\n:3\r\n" : "+OK\r\n"));
        }
      });
    });
    running.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    return {
      port,
      stop() {
        server.close();
        for (const socket of sockets) socket.destroy();
      },
    };
  }

  const bulk = (text: string) => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
  const everythingAt = (port: number, host = "127.0.0.1") =>
    `*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n${bulk(host)}:${port}\r\n`;
  const open = (url: string) => {
    const servers = openRedisServers({
      url,
      options: { enableOfflineQueue: false, maxRetriesPerRequest: 0, retryStrategy: () => 20 },
      onAway: () => undefined,
      onBack: () => undefined,
    });
    clients.push(servers);
    return servers;
  };
  const info = (text: string) => () => bulk(text);

  it("are asked for from whichever address answers; a nameless one is the one that was asked", async () => {
    const server = await scripted({ "cluster slots": () => everythingAt(server.port, ""), get: () => bulk("here") });
    const servers = open(`redis://127.0.0.1:1,redis://127.0.0.1:${server.port}`);
    await expect.poll(() => servers.of("x")?.client.status, { timeout: 10_000 }).toBe("ready");
    expect(await servers.of("x")?.client.get("{x}")).toBe("here");
    expect(servers.all().map(({ address }) => address)).toEqual([`127.0.0.1:${server.port}`]);
  });

  it("a slot that has moved: the command fails, the next goes to the new server, and it is another connection", async () => {
    let owner = 0;
    const second = await scripted({ "cluster slots": () => everythingAt(owner), get: () => bulk("second") });
    const first = await scripted({
      "cluster slots": () => everythingAt(owner),
      get: () => `-MOVED ${slotOf("x")} 127.0.0.1:${second.port}\r\n`,
    });
    owner = first.port;
    const servers = open(`redis+cluster://127.0.0.1:${first.port}`);
    await expect.poll(() => servers.of("x")?.client.status, { timeout: 10_000 }).toBe("ready");
    const before = servers.of("x")?.connection;
    owner = second.port;
    await expect(servers.of("x")?.client.get("{x}")).rejects.toThrow(/^MOVED/);
    // At once, by the word of the server that refused.
    expect(servers.of("x")?.address).toBe(`127.0.0.1:${second.port}`);
    expect(servers.of("x")?.connection).not.toBe(before);
    await expect.poll(() => servers.of("x")?.client.status, { timeout: 10_000 }).toBe("ready");
    expect(await servers.of("x")?.client.get("{x}")).toBe("second");
    await expect.poll(() => servers.all().length, { timeout: 10_000 }).toBe(1);
  });

  it("a connection that breaks is another one afterwards, whose life is asked for anew; a replica has none", async () => {
    let replication = "role:master\r\nmaster_replid:aa11\r\n";
    const server = await scripted({ "info replication": () => info(replication)() });
    const servers = open(`redis://127.0.0.1:${server.port}`);
    await expect.poll(() => servers.of("x")?.client.status, { timeout: 10_000 }).toBe("ready");
    const one = servers.of("x");
    const before = one?.connection;
    expect(await one?.life()).toBe("aa11");
    replication = "role:slave\r\nmaster_replid:bb22\r\n";
    expect(await one?.life()).toBe("aa11"); // asked once a connection
    one?.client.disconnect(true);
    await expect
      .poll(() => one?.connection !== before && one?.client.status === "ready", { timeout: 10_000 })
      .toBe(true);
    await expect(one?.life()).rejects.toThrow(/^READONLY/);
    replication = "role:master\r\nmaster_replid:bb22\r\n";
    expect(await one?.life()).toBe("bb22"); // a failure is not kept
  });
});
