// Calls over streams, between two ends in one process: nothing lost, nothing made twice in silence, whatever breaks.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { deserialize, serialize } from "node:v8";
import { afterEach, describe, expect, test } from "vitest";
import { DomainError } from "./errors.js";
import { type CallContext, createGrpcServer } from "./grpc-server.js";
import type { StreamCall, StreamReplies } from "./grpc-stream.js";
import { connectStreams, type Streams, type StreamsSettings } from "./grpc-stream-client.js";
import { createStreams, type StreamServerSettings } from "./grpc-stream-server.js";
import type { Trust } from "./grpc-trust.js";
import { createLogger } from "./log.js";
import { createMetrics } from "./metrics.js";

interface Asked {
  readonly text: string;
  readonly padding?: string;
}
interface Told {
  readonly text: string;
  readonly by: string;
}

let messages = 0;
const definition = {
  talk: {
    path: "/onsale.test.v1.Talk/Talk",
    requestStream: true as const,
    responseStream: true as const,
    requestSerialize: (value: { calls: StreamCall<Asked>[] }): Buffer => serialize(value),
    requestDeserialize: (bytes: Buffer) => {
      messages += 1;
      return deserialize(bytes) as { calls: StreamCall<Asked>[] };
    },
    responseSerialize: (value: StreamReplies<Told>): Buffer => serialize(value),
    responseDeserialize: (bytes: Buffer) => deserialize(bytes) as StreamReplies<Told>,
  },
};

const closers: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

type Handler = (asked: Asked, context: CallContext) => Promise<string>;

interface ServeOptions {
  readonly longestConnectionMs?: number;
  readonly name?: string;
  readonly port?: number;
  readonly trust?: Trust;
  readonly streams?: Partial<StreamServerSettings>;
}

async function serve(handler: Handler = async ({ text }) => text, options: ServeOptions = {}) {
  const { name = "one", port = 0, trust = {} } = options;
  const log = createLogger("tested", "silent");
  const metrics = createMetrics("tested");
  const { longestConnectionMs } = options;
  const server = createGrpcServer({
    listen: `127.0.0.1:${port}`,
    trust,
    log,
    metrics,
    ...(longestConnectionMs === undefined ? {} : { longestConnectionMs }),
  });
  const streams = createStreams({ trust, log, metrics, ...options.streams });
  const seen: string[] = [];
  const talk = streams.stream(definition.talk, async (asked, context) => {
    seen.push(asked.text);
    return { text: await handler(asked, context), by: name };
  });
  server.serve(definition, {}, { talk });
  const bound = await server.start();
  const kill = () => server.stop(0);
  closers.push(kill);
  return { port: bound, address: `127.0.0.1:${bound}`, seen, metrics, streams, kill };
}

function call(address: string, options: Partial<StreamsSettings<Asked, Told>> = {}): Streams<Asked, Told> {
  const streams = connectStreams({ address, trust: {}, method: definition.talk, idempotent: true, ...options });
  closers.push(() => streams.close());
  return streams;
}

async function until(condition: () => boolean | Promise<boolean>, what = "what was waited for"): Promise<void> {
  for (const end = Date.now() + 15_000; !(await condition()); ) {
    if (Date.now() > end) throw new Error(`${what} did not come about`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
async function up(address: string, options: Partial<StreamsSettings<Asked, Told>> = {}): Promise<Streams<Asked, Told>> {
  const streams = call(address, options);
  await until(() => streams.lines() > 0, "a line");
  return streams;
}
async function refused(work: Promise<unknown>): Promise<DomainError> {
  const outcome = await work.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if ("value" in outcome) expect.fail(`it was not refused, but answered ${JSON.stringify(outcome.value)}`);
  expect(outcome.error).toBeInstanceOf(DomainError);
  return outcome.error as DomainError;
}
/** Holds calls back until it is opened. */
function gate() {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}
const words = (count: number, of = "w") => Array.from({ length: count }, (_, at) => `${of}${at}`);

describe("a call", () => {
  test("gets its own answer, whichever order they come in; those of one moment travel together", async () => {
    const { address } = await serve(async ({ text }) => {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 10));
      return text.toUpperCase();
    });
    const streams = await up(address);
    messages = 0;
    const told = await Promise.all(words(200).map((text) => streams.call({ text })));
    expect(told.map(({ text }) => text)).toEqual(words(200, "W"));
    expect(messages).toBe(1);
  });

  test("is refused with code, words and details; a bug is INTERNAL; both leave the line as it is", async () => {
    const { address } = await serve(async ({ text }) => {
      if (text === "bug") throw new Error("a secret of the house");
      if (text === "plain") throw new DomainError("SALE_ENDED", "It is over.");
      throw new DomainError("SEAT_TAKEN", "Gone.", { seats: ["A-1", "Ä-2"] });
    });
    const streams = await up(address);
    const [taken, plain, bug] = await Promise.all(
      ["taken", "plain", "bug"].map((text) => refused(streams.call({ text }))),
    );
    expect(taken).toMatchObject({ code: "SEAT_TAKEN", message: "Gone.", details: { seats: ["A-1", "Ä-2"] } });
    expect(plain).toMatchObject({ code: "SALE_ENDED", message: "It is over.", details: {} });
    expect(bug?.code).toBe("INTERNAL");
    expect(JSON.stringify(bug)).not.toContain("secret");
    expect(streams.lines()).toBe(1);
  });

  test("takes its request id and its deadline along", async () => {
    const contexts: CallContext[] = [];
    const { address } = await serve(async ({ text }, context) => {
      contexts.push(context);
      return text;
    });
    const streams = await up(address);
    await streams.call({ text: "a" }, { requestId: "req_1", deadlineMs: 60_000 });
    await streams.call({ text: "b" });
    expect(contexts.map(({ requestId }) => requestId)).toEqual(["req_1", undefined]);
    const [far = 0, near = 0] = contexts.map(({ deadline }) => deadline - Date.now());
    expect(far).toBeGreaterThan(50_000);
    expect(far).toBeLessThanOrEqual(60_000);
    expect(near).toBeLessThanOrEqual(5_000);
  });

  test("that is not answered in time is DEADLINE_EXCEEDED; others on the line are not disturbed", async () => {
    const { opened, open } = gate();
    const { address, seen } = await serve(async ({ text }) => {
      if (text === "slow") await opened;
      return text;
    });
    const streams = await up(address);
    const slow = refused(streams.call({ text: "slow" }, { deadlineMs: 60 }));
    const quick = streams.call({ text: "quick" });
    expect(await quick).toEqual({ text: "quick", by: "one" });
    expect((await slow).code).toBe("DEADLINE_EXCEEDED");
    open();
    expect((await streams.call({ text: "after" })).text).toBe("after");
    expect(seen).toEqual(["slow", "quick", "after"]);
  });

  test("is not begun when its caller has left before its turn came", async () => {
    const { opened, open } = gate();
    const { address, seen } = await serve(
      async ({ text }) => {
        if (text === "first") await opened;
        return text;
      },
      { streams: { mostAtOnce: 1 } },
    );
    const streams = await up(address);
    const first = streams.call({ text: "first" });
    const gone = refused(streams.call({ text: "gone" }, { deadlineMs: 50 }));
    const patient = streams.call({ text: "patient" });
    expect((await gone).code).toBe("DEADLINE_EXCEEDED");
    await sleep(200); // the other side counts from when it got the call
    open();
    expect((await first).text).toBe("first");
    expect((await patient).text).toBe("patient");
    expect(seen).toEqual(["first", "patient"]);
  });
});

describe("too many calls", () => {
  test("are refused at once, and the rest is served", async () => {
    const { opened, open } = gate();
    const { address, seen } = await serve(async ({ text }) => {
      await opened;
      return text;
    });
    const streams = await up(address, { mostInFlight: 10 });
    const taken = words(10).map((text) => streams.call({ text }));
    const refusal = await refused(streams.call({ text: "eleventh" }));
    expect(refusal).toMatchObject({ code: "UNAVAILABLE", details: { retryAfterSeconds: 1 } });
    expect(refusal.refusal.retryable).toBe(true);
    open();
    expect((await Promise.all(taken)).map(({ text }) => text)).toEqual(words(10));
    expect(seen).not.toContain("eleventh");
    expect((await streams.call({ text: "twelfth" })).text).toBe("twelfth");
  });

  test("and large ones wait for the peer to read, then all arrive", async () => {
    const { address } = await serve(
      async ({ text, padding = "" }) => {
        await new Promise((resolve) => setImmediate(resolve));
        return `${text} ${padding.length}`;
      },
      { streams: { mostAtOnce: 4 } },
    );
    const streams = await up(address, { deadlineMs: 60_000 });
    const padding = "x".repeat(40_000);
    const asked: Promise<Told>[] = [];
    for (const text of words(400)) {
      asked.push(streams.call({ text, padding }));
      if (asked.length % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const told = await Promise.all(asked);
    expect(told.map(({ text }) => text)).toEqual(words(400).map((text) => `${text} 40000`));
  });
});

describe("a line that breaks", () => {
  test("has its calls sent once more on another, if they are idempotent", async () => {
    const { opened, open } = gate();
    const stuck = await serve(() => new Promise(() => undefined), { name: "dies" });
    const other = await serve(
      async ({ text }) => {
        await opened;
        return text;
      },
      { name: "lives" },
    );
    const streams = call(`${stuck.address}, ${other.address}`);
    const count = 40;
    await until(() => streams.lines() === 2);
    const told = words(count).map((text) => streams.call({ text }));
    await until(() => stuck.seen.length + other.seen.length === count);
    expect(stuck.seen.length).toBe(count / 2); // in balance
    await stuck.kill();
    open();
    expect((await Promise.all(told)).map(({ text }) => text)).toEqual(words(count));
    expect([...other.seen].sort()).toEqual(words(count).sort());
  });

  test("answers them UNAVAILABLE if there is no other, and when they are not idempotent", async () => {
    const alone = await serve(() => new Promise(() => undefined));
    const streams = await up(alone.address);
    const lost = words(3).map((text) => refused(streams.call({ text })));
    await until(() => alone.seen.length === 3);
    await alone.kill();
    for (const one of await Promise.all(lost)) expect(one.code).toBe("UNAVAILABLE");
    expect(streams.lines()).toBe(0);
    expect((await refused(streams.call({ text: "later" }))).code).toBe("UNAVAILABLE");

    const [dying, living] = [await serve(() => new Promise(() => undefined)), await serve()];
    const once = await up(dying.address, { idempotent: false });
    const both = call(`${dying.address},${living.address}`, { idempotent: false });
    await until(() => both.lines() === 2);
    const unsure = refused(once.call({ text: "once" }));
    await until(() => dying.seen.includes("once"));
    await dying.kill();
    expect((await unsure).message).toContain("unknown");
    expect(living.seen).toEqual([]);
  });

  test("is made again, at the same address, without being asked", async () => {
    const before = await serve(undefined, { name: "before" });
    const streams = await up(before.address);
    expect((await streams.call({ text: "a" })).by).toBe("before");
    await before.kill();
    await until(() => streams.lines() === 0);
    await serve(undefined, { name: "after", port: before.port });
    await until(() => streams.lines() > 0);
    expect((await streams.call({ text: "b" })).by).toBe("after");
  });

  test("and one that is silent is not waited for by others", async () => {
    const { port, kill } = await serve(async () => new Promise(() => undefined), { name: "deaf" });
    const streams = await up(`127.0.0.1:${port}`, { silenceMs: 50 });
    expect((await refused(streams.call({ text: "a" }, { deadlineMs: 60 }))).code).toBe("DEADLINE_EXCEEDED");
    await until(() => streams.lines() === 0, "the silent line was given up");
    await kill();
  });
});

describe("a server that is about to stop", () => {
  test("answers what it has; new calls go elsewhere; nothing is lost", async () => {
    const { opened, open } = gate();
    const slowly: Handler = async ({ text }) => {
      await opened;
      return text;
    };
    const [first, second] = [await serve(slowly, { name: "first" }), await serve(undefined, { name: "second" })];
    const streams = await up(first.address);
    const mixed = call(`${first.address},${second.address}`);
    const early = words(20, "early").map((text) => streams.call({ text }));
    await until(() => first.seen.length === 20);
    await until(() => mixed.lines() === 2);
    const drained = first.streams.drain(10_000);
    await until(() => streams.lines() === 0, "the caller was told");
    const late = await Promise.all(words(50, "late").map((text) => mixed.call({ text })));
    expect(new Set(late.map(({ by }) => by))).toEqual(new Set(["second"]));
    open();
    await drained;
    expect((await Promise.all(early)).map(({ by }) => by)).toEqual(Array(20).fill("first"));
    expect(first.seen.filter((text) => text.startsWith("early"))).toEqual(words(20, "early"));
    await first.kill();
  });

  test("loses no call of a steady traffic, and does none twice", async () => {
    const [first, second] = [await serve(undefined, { name: "first" }), await serve(undefined, { name: "second" })];
    const streams = call(`${first.address},${second.address}`);
    await until(() => streams.lines() === 2);
    let stop = false;
    let sent = 0;
    const callers = Array.from({ length: 8 }, async (_, lane) => {
      for (let at = 0; !stop; at++) {
        sent += 1;
        await streams.call({ text: `${lane}-${at}` });
      }
    });
    await until(() => first.seen.length > 100);
    await first.streams.drain(10_000);
    await first.kill();
    const by = second.seen.length;
    await until(() => second.seen.length > by + 100);
    stop = true;
    await Promise.all(callers);
    const real = [...first.seen, ...second.seen];
    expect(real.length).toBe(sent);
    expect(new Set(real).size).toBe(sent);
  });

  test("and one that asks its callers to come again now and then is served by a new line", async () => {
    const { address, metrics } = await serve(undefined, { streams: { longestMs: 30 } });
    const streams = await up(address);
    for (let at = 0; at < 300; at++) {
      expect((await streams.call({ text: String(at) })).text).toBe(String(at));
      if (at % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(await metrics.registry.metrics()).toContain("onsale_rpc_streams");
  });

  test("and whose connections grow old breaks no call: each line is left before its connection is cut", async () => {
    // In production a line is for 80 s, a connection for 120 s, and a ping comes every 30 s.
    const { address } = await serve(({ text }) => sleep(2, text), {
      longestConnectionMs: 1_200,
      streams: { longestMs: 400 },
    });
    const streams = await up(address, { keepaliveMs: 30, idempotent: false });
    const end = Date.now() + 4_000;
    let answered = 0;
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        while (Date.now() < end) {
          await streams.call({ text: "still there?" });
          answered += 1;
        }
      }),
    );
    expect(answered).toBeGreaterThan(100);
  });
});

describe("addresses", () => {
  test("behind a name come and go, and calls follow", async () => {
    const servers = [await serve(undefined, { name: "0" }), await serve(undefined, { name: "1" })];
    // Two processes on one machine differ by port, which a name does not tell: the second name stands in for it.
    let there: Record<string, string[]> = { a: ["127.0.0.1"], b: [] };
    const streams = call(`dns:///a:${servers[0]?.port},b:${servers[1]?.port}`, {
      resolve: async (host) => there[host] ?? [],
      resolveEveryMs: 10,
    });
    const bySet = async () => {
      const told = await Promise.all(words(10).map((text) => streams.call({ text }).catch(() => ({ by: "-" }))));
      return [...new Set(told.map(({ by }) => by))].sort().join();
    };
    await until(async () => (await bySet()) === "0", "the first alone");
    there = { a: ["127.0.0.1"], b: ["127.0.0.1"] };
    await until(async () => (await bySet()) === "0,1", "both");
    await servers[0]?.kill();
    await until(async () => (await bySet()) === "1", "the second alone");
    // A name server that fails for a moment takes nothing away.
    there = {};
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await bySet()).toBe("1");
  });

  test("that are gone are left without a call lost", async () => {
    const servers = [await serve(undefined, { name: "0" }), await serve(undefined, { name: "1" })];
    const byPort = (host: string) => (host === "gone" ? there : ["127.0.0.1"]);
    let there = ["127.0.0.1"];
    const streams = call(`gone:${servers[0]?.port},stays:${servers[1]?.port}`, {
      resolve: async (host) => byPort(host),
      resolveEveryMs: 10,
    });
    await until(() => streams.lines() === 2);
    let failed = 0;
    let stop = false;
    const traffic = (async () => {
      while (!stop)
        await Promise.all(words(5).map((text) => streams.call({ text }))).catch(() => {
          failed += 1;
        });
    })();
    there = ["127.0.0.2"]; // nobody listens there
    await until(async () => /onsale_rpc_streams\{[^}]*\} 0/.test((await servers[0]?.metrics.registry.metrics()) ?? ""));
    stop = true;
    await traffic;
    expect(failed).toBe(0);
  });
});

describe("trust", () => {
  test("is asked for as with unary calls: nobody without the secret gets a line", async () => {
    const trust = { sharedSecret: "the secret of this installation" };
    const { address, seen } = await serve(undefined, { trust });
    const streams = await up(address, { trust });
    expect((await streams.call({ text: "a" })).text).toBe("a");
    const strangers = [call(address), call(address, { trust: { sharedSecret: "another secret altogether" } })];
    await new Promise((resolve) => setTimeout(resolve, 200));
    for (const stranger of strangers) {
      expect(stranger.lines()).toBe(0);
      expect((await refused(stranger.call({ text: "b" }))).code).toBe("UNAVAILABLE");
    }
    expect(seen).toEqual(["a"]);
  });

  test("by certificates, under the name that was asked for, whatever its address", async () => {
    const tls = certificates();
    const { port } = await serve(undefined, { trust: { tls } });
    const resolve = async () => ["127.0.0.1"];
    const streams = await up(`inventory.example:${port}`, { trust: { tls }, resolve });
    expect((await streams.call({ text: "a" })).text).toBe("a");
    const misled = call(`elsewhere.example:${port}`, { trust: { tls }, resolve });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(misled.lines()).toBe(0);
  });
});

describe("closing", () => {
  test("answers calls in flight, takes no new ones, and lets the process end", async () => {
    const { opened, open } = gate();
    const { address, seen } = await serve(async ({ text }) => {
      await opened;
      return text;
    });
    const streams = await up(address);
    const last = streams.call({ text: "last" });
    await until(() => seen.length === 1);
    streams.close();
    expect((await refused(streams.call({ text: "more" }))).code).toBe("UNAVAILABLE");
    open();
    expect((await last).text).toBe("last");
    await until(() => streams.lines() === 0);
  });
});

function certificates(): NonNullable<Trust["tls"]> {
  const folder = mkdtempSync(join(tmpdir(), "onsale-kit-stream-tls-"));
  closers.push(() => rmSync(folder, { recursive: true, force: true }));
  const at = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => execFileSync("openssl", args, { stdio: "pipe" });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl(
    "req",
    "-x509",
    ...newKey,
    "-keyout",
    at("ca-key.pem"),
    "-out",
    at("ca.pem"),
    "-subj",
    "/CN=ca",
    "-days",
    "2",
  );
  openssl("req", ...newKey, "-keyout", at("key.pem"), "-out", at("csr.pem"), "-subj", "/CN=service");
  writeFileSync(at("ext"), "subjectAltName=DNS:inventory.example\n");
  const signing = [
    "-CA",
    at("ca.pem"),
    "-CAkey",
    at("ca-key.pem"),
    "-CAcreateserial",
    "-days",
    "2",
    "-extfile",
    at("ext"),
  ];
  openssl("x509", "-req", "-in", at("csr.pem"), ...signing, "-out", at("cert.pem"));
  return { ca: readFileSync(at("ca.pem")), cert: readFileSync(at("cert.pem")), key: readFileSync(at("key.pem")) };
}
