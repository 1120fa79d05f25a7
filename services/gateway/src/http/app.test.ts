// What the app counts of its answers: there from the start, so that not even the first failure is missed.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { DomainError } from "@onsale/kit/errors";
import { createLogger } from "@onsale/kit/log";
import { createMetrics } from "@onsale/kit/metrics";
import { afterAll, expect, test, vi } from "vitest";
import { createApp } from "./app.js";
import { type Route, route } from "./route.js";

const open = {
  tag: "test",
  summary: "",
  access: "anyone",
  limits: "none",
  answers: { 200: { description: "" } },
} as const;
const answering = (path: string, answer: () => number, more: { hot?: true; method?: "post" } = {}): Route =>
  route({ method: "get", ...open, path, operationId: path, ...more }, async () => {
    const status = answer();
    if (status === 503) throw new DomainError("UNAVAILABLE", "The seats do not answer.");
    if (status === 409) throw new DomainError("SEAT_TAKEN", "Seat A-A-1 is not free any more.");
    if (status === 500) throw new Error("a bug");
    return { status };
  });
let status = 200;
const metrics = createMetrics("gateway");
const app = createApp({
  routes: [
    answering("/v1/events", () => status),
    answering("/v1/checkouts", () => status, { hot: true, method: "post" }),
    answering("/readyz", () => status),
  ],
  authenticator: {} as never,
  idempotency: {} as never,
  rateLimits: undefined,
  trustProxy: false,
  corsOrigins: [],
  closing: new AbortController().signal,
  metrics,
  log: createLogger("gateway", "silent"),
});
const server = createServer(app);
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

/** As Prometheus reads it; undefined: there is no such series. */
async function read(series: string): Promise<number | undefined> {
  const line = (await metrics.registry.metrics()).split("\n").find((one) => one.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}
const answers = (outcome: string) => read(`onsale_api_answers_total{outcome="${outcome}",service="gateway"}`);
const both = async () => [await answers("answered"), await answers("failed")];

test("failures and answers are counted from zero on, whatever the route; probes and refusals are no failures", async () => {
  expect(await both()).toEqual([0, 0]);
  const ask = async (path: string, given: number, method = "GET") => {
    status = given;
    const told = await fetch(`${url}${path}`, { method });
    await told.arrayBuffer();
    return told.status;
  };
  expect(await ask("/v1/events", 503)).toBe(503);
  await vi.waitFor(async () => expect(await both()).toEqual([0, 1]));
  expect(await ask("/v1/events", 500)).toBe(500);
  await vi.waitFor(async () => expect(await both()).toEqual([0, 2]));
  expect(await ask("/readyz", 503)).toBe(503);
  expect(await ask("/v1/events", 409)).toBe(409);
  expect(await ask("/nowhere", 200)).toBe(404);
  expect(await ask("/v1/events", 200)).toBe(200);
  await vi.waitFor(async () => expect(await both()).toEqual([3, 2]));
});

test("of a route where the crowd is, each answer that it can give has its times from zero on", async () => {
  const count = (code: number) =>
    read(`onsale_http_seconds_count{service="gateway",method="POST",route="/v1/checkouts",status="${code}"}`);
  expect(await Promise.all([200, 500, 503, 418].map(count))).toEqual([0, 0, 0, undefined]);
  status = 503;
  await (await fetch(`${url}/v1/checkouts`, { method: "POST" })).arrayBuffer();
  await vi.waitFor(async () => expect(await count(503)).toBe(1));
});
