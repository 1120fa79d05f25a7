// Stopping in order, once, within a bound; and the operators' port.
import { Agent, request } from "node:http";
import { createServer } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { createLifecycle, splitAddress, startOpsServer } from "./lifecycle.js";
import { createLogger } from "./log.js";
import { createMetrics } from "./metrics.js";

const log = createLogger("tested", "silent");

describe("a lifecycle", () => {
  const lifecycle = () => {
    const exits: number[] = [];
    return { life: createLifecycle({ log, partTimeoutSeconds: 0.05, exit: (code) => exits.push(code) }), exits };
  };

  test("stops the last part first, each after the one before has stopped", async () => {
    const { life, exits } = lifecycle();
    const steps: string[] = [];
    for (const part of ["store", "cache", "server"])
      life.onStop(part, async () => {
        steps.push(`${part} begins`);
        await new Promise((resolve) => setTimeout(resolve, 5));
        steps.push(`${part} ends`);
      });
    expect(life.running()).toBe(true);
    const stopping = life.stop("test");
    expect(life.running()).toBe(false);
    await stopping;
    expect(steps).toEqual(["server", "cache", "store"].flatMap((part) => [`${part} begins`, `${part} ends`]));
    expect(exits).toEqual([0]);
  });

  test("stops once, however often it is asked", async () => {
    const { life, exits } = lifecycle();
    let stops = 0;
    life.onStop("part", () => {
      stops += 1;
    });
    await Promise.all([life.stop("SIGTERM"), life.stop("SIGINT"), life.stop("SIGTERM")]);
    await life.stop("again");
    expect([stops, exits]).toEqual([1, [0]]);
  });

  test("ends with the exit code that whoever stops it gives", async () => {
    const { life, exits } = lifecycle();
    await life.stop("the start failed", 1);
    expect(exits).toEqual([1]);
  });

  test("leaves a slow part behind and goes on, and says by its exit code that something failed", async () => {
    const { life, exits } = lifecycle();
    const stopped: string[] = [];
    life.onStop("first", () => stopped.push("first"));
    life.onStop("never ends", () => new Promise(() => undefined));
    life.onStop("throws", () => {
      throw new Error("can't");
    });
    life.onStop("rejects", () => Promise.reject(new Error("can't")));
    const from = performance.now();
    await life.stop("test");
    expect(performance.now() - from).toBeLessThan(2_000);
    expect(stopped).toEqual(["first"]);
    expect(exits).toEqual([1]);
  });

  test("stops a part that is registered while it is stopping", async () => {
    const { life } = lifecycle();
    const stopped: string[] = [];
    life.onStop("early", async () => {
      life.onStop("late", () => stopped.push("late"));
      stopped.push("early");
    });
    await life.stop("test");
    expect(stopped).toEqual(["early", "late"]);
  });
});

describe("the ops server", () => {
  const running: { stop(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const server of running.splice(0)) await server.stop();
  });
  async function start(ready: () => Promise<boolean> | boolean) {
    const metrics = createMetrics("tested");
    metrics.counter("onsale_tests_total", "Tests").inc();
    const server = await startOpsServer({ listen: "127.0.0.1:0", metrics, ready });
    running.push(server);
    return (path: string, method = "GET") => ask(server.port, path, method);
  }

  test("tells that the process lives, whether it is ready, and its metrics", async () => {
    let isReady = false;
    const get = await start(() => isReady);
    expect(await get("/healthz")).toMatchObject({ status: 200, body: "ok\n" });
    expect(await get("/readyz")).toMatchObject({ status: 503, body: "not ready\n" });
    isReady = true;
    expect(await get("/readyz")).toMatchObject({ status: 200, body: "ready\n" });
    const { status, body, type } = await get("/metrics");
    expect([status, type]).toEqual([200, expect.stringContaining("text/plain")]);
    expect(body).toContain('onsale_tests_total{service="tested"} 1');
  });

  test("is not ready when the question fails, and stays alive", async () => {
    const get = await start(() => Promise.reject(new Error("hunter2")));
    expect(await get("/readyz")).toEqual({ status: 503, body: "not ready\n", type: "text/plain; charset=utf-8" });
    expect((await get("/healthz")).status).toBe(200);
  });

  test("has nothing else", async () => {
    const get = await start(() => true);
    for (const path of ["/", "/healthzz", "/../etc/passwd", "/%00"]) expect((await get(path)).status).toBe(404);
  });

  test("says that it can't have a port which is taken", async () => {
    const other = createServer();
    const port = await new Promise<number>((resolve) =>
      other.listen(0, "127.0.0.1", () => resolve((other.address() as { port: number }).port)),
    );
    const starting = startOpsServer({
      listen: `127.0.0.1:${port}`,
      metrics: createMetrics("tested"),
      ready: () => true,
    });
    await expect(starting).rejects.toThrow(/EADDRINUSE/);
    other.close();
  });

  test("stops although a client keeps its connection", async () => {
    const metrics = createMetrics("tested");
    const server = await startOpsServer({ listen: "127.0.0.1:0", metrics, ready: () => true });
    const agent = new Agent({ keepAlive: true });
    await ask(server.port, "/healthz", "GET", agent);
    await server.stop();
    agent.destroy();
    await expect(ask(server.port, "/healthz", "GET")).rejects.toThrow(/ECONNREFUSED/);
  });
});

test("an address has a host and a port", () => {
  expect(splitAddress("127.0.0.1:7001")).toEqual(["127.0.0.1", 7001]);
  expect(splitAddress("::1:7001")).toEqual(["::1", 7001]);
});

function ask(port: number, path: string, method: string, agent = new Agent()) {
  return new Promise<{ status: number; body: string; type: string }>((resolve, reject) => {
    request({ host: "127.0.0.1", port, path, method, agent }, (response) => {
      let body = "";
      response.on("data", (chunk) => {
        body += chunk;
      });
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, body, type: String(response.headers["content-type"]) }),
      );
    })
      .on("error", reject)
      .end();
  });
}
