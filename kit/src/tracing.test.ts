// Spans: when there is one and when there is none, what they carry over, and what being off costs.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { readConfig } from "./config.js";
import { DomainError } from "./errors.js";
import { createLogger } from "./log.js";
import {
  beginSpan,
  beginTrace,
  continueSpan,
  currentSpan,
  isTraced,
  type RunningTracing,
  readTraceparent,
  type Span,
  spanFields,
  startTracing,
  tellSpan,
  traced,
  traceIdOf,
  tracing,
  tracingSettings,
  within,
} from "./tracing.js";

interface Received {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly status: { readonly code?: number };
}

const received: Received[] = [];
const headers: (string | undefined)[] = [];
let binary = Buffer.alloc(0);
let collector: Server;
let url: string;
beforeAll(async () => {
  collector = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    headers.push(request.headers["content-type"]);
    if (request.headers["content-type"] === "application/json") {
      const { resourceSpans } = JSON.parse(body.toString());
      for (const { scopeSpans } of resourceSpans) for (const { spans } of scopeSpans) received.push(...spans);
    } else binary = body;
    response.writeHead(200, { "content-type": request.headers["content-type"] ?? "" }).end();
  });
  await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
});
afterAll(() => void collector.close());

const silent = createLogger("test", "silent");
const configOf = (env: Record<string, string>) =>
  readConfig(tracingSettings, { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_EXPORTER_OTLP_PROTOCOL: "http/json", ...env });
let running: RunningTracing | undefined;
const start = async (env: Record<string, string> = {}) => {
  running = await startTracing("test", configOf(env), silent);
};
/** Ends tracing, and gives what was sent. */
async function sent(): Promise<Received[]> {
  await running?.stop();
  running = undefined;
  return received.splice(0);
}
beforeEach(() => void received.splice(0));
afterEach(() => running?.stop());

describe("off", () => {
  test("is what it is without an endpoint, when disabled, and with no exporter", () => {
    const read = (env: Record<string, string>) => isTraced(readConfig(tracingSettings, env));
    expect(read({})).toBe(false);
    expect(read({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://c:4318" })).toBe(true);
    expect(read({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://c:4318/v1/traces" })).toBe(true);
    expect(read({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://c:4318", OTEL_SDK_DISABLED: "TRUE" })).toBe(false);
    expect(read({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://c:4318", OTEL_TRACES_EXPORTER: "none" })).toBe(false);
  });

  test("there is no span, and work is run as it is", async () => {
    expect(tracing()).toBe(false);
    expect([currentSpan(), beginSpan("a"), continueSpan(`00-${"a".repeat(32)}-${"b".repeat(16)}-01`, "b")]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(beginTrace("a", {})).toBeUndefined();
    expect(spanFields()).toEqual({});
    const work = () => 7;
    expect(within(undefined, work)).toBe(7);
    expect(await traced("a", {}, async () => 8)).toBe(8);
  });

  test("costs no object: a million looks for a span leave nothing behind for the collector of garbage", () => {
    const look = () => {
      for (let at = 0; at < 1_000_000; at++) if (currentSpan() !== undefined || tracing()) throw new Error("not off");
    };
    look(); // compiled from here on
    const before = process.memoryUsage().heapUsed;
    look();
    // An object of the smallest kind for each would be 16 MB and more.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(2_000_000);
  });

  test.each([
    [
      { OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" },
      /must be http\/protobuf or http\/json; OTLP over gRPC is not spoken here/,
    ],
    [{ OTEL_TRACES_SAMPLER: "sometimes" }, /OTEL_TRACES_SAMPLER: must be one of always_on,/],
    [{ OTEL_TRACES_SAMPLER_ARG: "2" }, /OTEL_TRACES_SAMPLER_ARG/],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4318" }, /OTEL_EXPORTER_OTLP_ENDPOINT/],
  ])("%j is refused", (env, problem) => {
    expect(() => readConfig(tracingSettings, env as unknown as Record<string, string>)).toThrow(problem);
  });
});

describe("spans", () => {
  test("are below each other, over promises, and say of failures only their kind", async () => {
    await start();
    const root = beginTrace("root", {}) as Span;
    await within(root, async () => {
      await sleep(1);
      expect(currentSpan()?.spanId).toBe(root.spanId);
      await traced("child", { kind: "client" }, async () => {
        expect(currentSpan()?.spanId).not.toBe(root.spanId);
      });
      const taken = new DomainError("SEAT_TAKEN", "hunter2");
      await expect(traced("refused", {}, () => Promise.reject(taken))).rejects.toBe(taken);
      await expect(traced("broken", {}, () => Promise.reject(new Error("hunter2")))).rejects.toThrow("hunter2");
      const away = new DomainError("UNAVAILABLE", "hunter2");
      await expect(traced("away", {}, () => Promise.reject(away))).rejects.toBe(away);
    });
    root.end();
    const spans = await sent();
    expect(JSON.stringify(spans)).not.toContain("hunter2");
    const failed = Object.fromEntries(spans.map(({ name, status }) => [name, status.code === 2]));
    expect(failed).toEqual({ root: false, child: false, refused: false, broken: true, away: true });
    for (const { name, traceId, parentSpanId } of spans) {
      expect(traceId).toBe(root.traceId);
      if (name !== "root") expect(parentSpanId).toBe(root.spanId);
    }
  });

  test("begin only below another: what is not traced makes none", async () => {
    await start();
    expect(beginSpan("stray")).toBeUndefined();
    await traced("stray", {}, async () => expect(currentSpan()).toBeUndefined());
    expect(continueSpan(undefined, "stray")).toBeUndefined();
    expect(continueSpan("nonsense", "stray")).toBeUndefined();
    expect(continueSpan(`00-${"a".repeat(32)}-${"b".repeat(16)}-00`, "not sampled")).toBeUndefined();
    expect(await sent()).toEqual([]);
  });

  test("that have ended are no place for what outlives them", async () => {
    await start();
    const root = beginTrace("root", {}) as Span;
    let later: Promise<Span | undefined> = Promise.resolve(undefined);
    within(root, () => {
      later = sleep(20).then(() => beginSpan("later"));
    });
    root.end();
    root.end(true); // a second end changes nothing
    expect(await later).toBeUndefined();
    expect((await sent()).map(({ name, status }) => [name, status.code ?? 0])).toEqual([["root", 0]]);
  });

  test("go on below a caller's, or begin with the id that was chosen", async () => {
    await start();
    const traceId = traceIdOf("chk_1");
    expect(traceId).toMatch(/^[0-9a-f]{32}$/);
    beginTrace("chosen", { traceId })?.end();
    beginTrace("called", { traceId, traceparent: `00-${"c".repeat(32)}-${"d".repeat(16)}-01` })?.end();
    const [chosen, called] = await sent();
    expect(chosen?.traceId).toBe(traceId);
    expect(called).toMatchObject({ traceId: "c".repeat(32), parentSpanId: "d".repeat(16) });
  });

  test("of a workflow are told with their own ids and times", async () => {
    await start();
    tellSpan("workflow", {
      traceparent: `00-${"c".repeat(32)}-${"d".repeat(16)}-01`,
      spanId: "e".repeat(16),
      atMs: 1_700_000_001_000,
      endedAtMs: 1_700_000_003_500,
      failed: true,
    });
    expect(await sent()).toMatchObject([
      {
        traceId: "c".repeat(32),
        spanId: "e".repeat(16),
        parentSpanId: "d".repeat(16),
        startTimeUnixNano: "1700000001000000000",
        endTimeUnixNano: "1700000003500000000",
        status: { code: 2 },
      },
    ]);
  });

  test("are in the log while they run", async () => {
    await start();
    const lines: string[] = [];
    const sink = new Writable({
      write(chunk, _, done) {
        lines.push(String(chunk));
        done();
      },
    });
    const log = createLogger("test", "info", sink, spanFields);
    log.info("before");
    const root = beginTrace("root", {}) as Span;
    within(root, () => log.info({ port: 1 }, "within"));
    root.end();
    expect(JSON.parse(lines[0] ?? "")).not.toHaveProperty("trace_id");
    expect(JSON.parse(lines[1] ?? "")).toMatchObject({ port: 1, trace_id: root.traceId, span_id: root.spanId });
  });
});

describe("sampling", () => {
  const sampled = `00-${"c".repeat(32)}-${"d".repeat(16)}-01`;
  const unsampled = `00-${"c".repeat(32)}-${"d".repeat(16)}-00`;
  test.each([
    ["parentbased_traceidratio", "0", { root: false, sampled: true, unsampled: false }],
    ["parentbased_traceidratio", "1", { root: true, sampled: true, unsampled: false }],
    ["parentbased_always_on", "0", { root: true, sampled: true, unsampled: false }],
    ["parentbased_always_off", "1", { root: false, sampled: true, unsampled: false }],
    ["traceidratio", "0", { root: false, sampled: false, unsampled: false }],
    ["always_on", "0", { root: true, sampled: true, unsampled: true }],
    ["always_off", "1", { root: false, sampled: false, unsampled: false }],
  ])("%s with %s", async (OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG, expected) => {
    await start({ OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG });
    expect({
      root: beginTrace("a", {}) !== undefined,
      sampled: beginTrace("a", { traceparent: sampled }) !== undefined,
      unsampled: beginTrace("a", { traceparent: unsampled }) !== undefined,
    }).toEqual(expected);
  });

  test("keeps about the share that it is told, and all or nothing of a checkout", async () => {
    await start({ OTEL_TRACES_SAMPLER_ARG: "0.25" });
    const kept = Array.from({ length: 2_000 }, (_, at) => {
      const traceId = traceIdOf(`chk_${at}`);
      const twice = [1, 2].map(() => beginTrace("a", { traceId }) !== undefined);
      expect(twice[0]).toBe(twice[1]);
      return twice[0];
    }).filter(Boolean).length;
    expect(kept).toBeGreaterThan(400);
    expect(kept).toBeLessThan(600);
  });
});

describe("traceparent", () => {
  const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
  const spanId = "00f067aa0ba902b7";
  test.each([
    [`00-${traceId}-${spanId}-01`, { traceId, spanId, sampled: true }],
    [`00-${traceId}-${spanId}-00`, { traceId, spanId, sampled: false }],
    [`cc-${traceId}-${spanId}-03-what-the-future-brings`, { traceId, spanId, sampled: true }],
    [`00-${traceId}-${spanId}-01-more`, undefined],
    [`ff-${traceId}-${spanId}-01`, undefined],
    [`00-${"0".repeat(32)}-${spanId}-01`, undefined],
    [`00-${traceId}-${"0".repeat(16)}-01`, undefined],
    [`00-${traceId.toUpperCase()}-${spanId}-01`, undefined],
    ["", undefined],
  ])("%j", (text, expected) => {
    expect(readTraceparent(text)).toEqual(expected);
  });
});

test("a collector that is away is told of once, and holds nobody up", async () => {
  const lines: string[] = [];
  const sink = new Writable({
    write(chunk, _, done) {
      lines.push(String(chunk));
      done();
    },
  });
  const config = configOf({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9" });
  running = await startTracing("test", config, createLogger("test", "warn", sink));
  beginTrace("lost", {})?.end();
  const since = performance.now();
  await running?.stop();
  running = undefined;
  expect(performance.now() - since).toBeLessThan(8_000);
});

test("OTLP in Protobuf is the default", async () => {
  running = await startTracing("test", readConfig(tracingSettings, { OTEL_EXPORTER_OTLP_ENDPOINT: url }), silent);
  const root = beginTrace("in protobuf", {}) as Span;
  root.end();
  await sent();
  expect(headers.at(-1)).toBe("application/x-protobuf");
  expect(binary.includes(Buffer.from(root.traceId, "hex"))).toBe(true);
  expect(binary.toString("latin1")).toContain("onsale-test");
});
