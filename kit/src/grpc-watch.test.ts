import { once } from "node:events";
import { connect } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import type { UntypedServiceImplementation } from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import { DomainError } from "./errors.js";
import { openChannel } from "./grpc-client.js";
import { createGrpcServer, type GrpcServer } from "./grpc-server.js";
import type { Trust } from "./grpc-trust.js";
import { createWatches, type Watch, type WatchMethod, watch } from "./grpc-watch.js";
import { createLogger } from "./log.js";
import { createMetrics } from "./metrics.js";

const text = { to: (value: string) => Buffer.from(value), from: (bytes: Buffer) => bytes.toString() };
const method: WatchMethod<string, string> = {
  path: "/test.Ticker/Watch",
  requestStream: false,
  responseStream: true,
  requestSerialize: text.to,
  requestDeserialize: text.from,
  responseSerialize: text.to,
  responseDeserialize: text.from,
};

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

type Handler = (request: string, signal: AbortSignal) => AsyncIterable<string>;

async function serve(handler: Handler, trust: Trust = {}, listen = "127.0.0.1:0") {
  const metrics = createMetrics("test");
  const log = createLogger("test", "silent");
  const server: GrpcServer = createGrpcServer({ listen, trust, log, metrics });
  const watches = createWatches({ trust, log, metrics });
  const implementation: UntypedServiceImplementation = { watch: watches(method, handler) };
  server.serve({ watch: method }, {}, implementation);
  const port = await server.start();
  cleanUps.push(() => server.stop(50));
  const open = async () =>
    (await metrics.registry.getSingleMetric("onsale_rpc_watches")?.get())?.values.reduce(
      (sum, one) => sum + one.value,
      0,
    );
  return { server, port, open };
}

function listen(port: number, trust: Trust = {}, silenceMs = 5_000, request = () => "from here") {
  const heard: string[] = [];
  const lost: { code: string; again: boolean }[] = [];
  const channel = openChannel({ address: `127.0.0.1:${port}`, trust });
  const watching: Watch = watch({
    channel,
    trust,
    method,
    request,
    silenceMs,
    heard: (message) => heard.push(message),
    lost: ({ code }, again) => lost.push({ code, again }),
  });
  cleanUps.push(() => {
    watching.stop();
    channel.close();
  });
  return { heard, lost, watching };
}

async function until(check: () => unknown): Promise<void> {
  for (const end = Date.now() + 10_000; !(await check()); await sleep(10))
    if (Date.now() > end) throw new Error(`it never came: ${check}`);
}

const forever = async (signal: AbortSignal) => {
  if (!signal.aborted) await once(signal, "abort");
};

describe("watching", () => {
  it("hears what is told, and the teller learns that the listener has left", async () => {
    let ended = false;
    const { port, open } = await serve(async function* (request, signal) {
      try {
        yield `${request}: one`;
        yield "two";
        await forever(signal);
      } finally {
        ended = true;
      }
    });
    const { heard, lost, watching } = listen(port);
    await until(() => heard.length === 2);
    expect(heard).toEqual(["from here: one", "two"]);
    expect(await open()).toBe(1);
    watching.stop();
    await until(() => ended);
    await until(async () => (await open()) === 0);
    expect(lost).toEqual([]);
  });

  it("connects again by itself after a break, and asks to go on from where it is", async () => {
    let calls = 0;
    const { port } = await serve(async function* (request, signal) {
      calls += 1;
      yield `${request} ${calls}`;
      if (calls < 3) throw new DomainError("UNAVAILABLE", "Not now.");
      await forever(signal);
    });
    const { heard, lost } = listen(port, {}, 5_000, () => `call`);
    await until(() => heard.length === 3);
    expect(heard).toEqual(["call 1", "call 2", "call 3"]);
    expect(lost).toEqual([
      { code: "UNAVAILABLE", again: true },
      { code: "UNAVAILABLE", again: true },
    ]);
  });

  it("does not try again what was refused", async () => {
    let calls = 0;
    // biome-ignore lint/correctness/useYield: refused before there is anything to tell
    const { port } = await serve(async function* () {
      calls += 1;
      throw new DomainError("EVENT_NOT_FOUND", "There is no such event.");
    });
    const { lost } = listen(port);
    await until(() => lost.length > 0);
    await sleep(300);
    expect(lost).toEqual([{ code: "EVENT_NOT_FOUND", again: false }]);
    expect(calls).toBe(1);
  });

  it("hears nothing without the secret, and keeps asking: it may be set right", async () => {
    const { port } = await serve(
      async function* () {
        yield "a secret";
      },
      { sharedSecret: "the right secret, long" },
    );
    const { heard, lost } = listen(port, { sharedSecret: "a wrong secret, as long" });
    await until(() => lost.length >= 2);
    expect(heard).toEqual([]);
    expect(lost.every(({ again }) => again)).toBe(true);
  });

  it("takes silence for a broken line", async () => {
    let calls = 0;
    const { port } = await serve(async function* (_request, signal) {
      calls += 1;
      yield "hello";
      await forever(signal);
    });
    const { heard, lost } = listen(port, {}, 150);
    await until(() => calls >= 2 && heard.length >= 2);
    expect(lost[0]).toEqual({ code: "UNAVAILABLE", again: true });
  });

  it("survives a server that goes and comes back", async () => {
    const handler: Handler = async function* (_request, signal) {
      yield "hello";
      await forever(signal);
    };
    const first = await serve(handler);
    const { heard, lost } = listen(first.port);
    await until(() => heard.length === 1);
    await first.server.stop(50);
    await until(() => lost.length > 0);
    await serve(handler, {}, `127.0.0.1:${first.port}`);
    await until(() => heard.length === 2);
  });

  it("takes nothing more from the teller while the listener does not read", async () => {
    let told = 0;
    const { port } = await serve(async function* (_request, signal) {
      while (!signal.aborted && told < 100_000) {
        told += 1;
        yield "x".repeat(64 * 1024);
      }
    });
    // Plain HTTP/2: grpc-js's own client reads on when nobody reads from it.
    const session = connect(`http://127.0.0.1:${port}`);
    cleanUps.push(() => session.destroy());
    const call = session.request({
      ":method": "POST",
      ":path": method.path,
      "content-type": "application/grpc",
      te: "trailers",
    });
    call.on("error", () => undefined);
    call.end(Buffer.from([0, 0, 0, 0, 1, 120])); // not compressed, one byte long: "x"
    await until(() => told > 0);
    let before = -1;
    await until(async () => {
      const same = told === before;
      before = told;
      await sleep(200);
      return same;
    });
    expect(told).toBeLessThan(1_000);
  });
});
