// Tests of the API's description: valid, fresh, and the same as what is served.
import { readFileSync } from "node:fs";
import { refusals } from "@onsale/kit/errors";
import { createLogger } from "@onsale/kit/log";
import { createMetrics } from "@onsale/kit/metrics";
import { Validator } from "@seriousme/openapi-schema-validator";
import { afterAll, expect, test } from "vitest";
import { createApp } from "../http/app.js";
import { describeApi } from "./describe-api.js";
import { codesOf } from "./openapi.js";

const { routes, document, close } = describeApi();
afterAll(close);

test("the document is OpenAPI 3.1", async () => {
  const validator = new Validator();
  const result = await validator.validate(structuredClone(document) as unknown as Record<string, unknown>);
  expect(result.errors).toBeUndefined();
  expect(result.valid).toBe(true);
  expect(validator.version).toBe("3.1");
}, 60_000);

test("the committed copy is fresh: if not, npm run openapi -w @onsale/gateway", () => {
  const committed: unknown = JSON.parse(readFileSync(new URL("../../openapi.json", import.meta.url), "utf8"));
  expect(committed).toEqual(JSON.parse(JSON.stringify(document)));
});

test("every route of the app is in the document, and the other way round", () => {
  const app = createApp({
    routes,
    authenticator: {} as never,
    idempotency: {} as never,
    rateLimits: undefined,
    trustProxy: false,
    corsOrigins: [],
    closing: new AbortController().signal,
    metrics: createMetrics("gateway"),
    log: createLogger("gateway", "silent"),
  });
  const served = (app.router.stack as unknown as { route?: { path: string; methods: Record<string, boolean> } }[])
    .flatMap(({ route }) => (route ? Object.keys(route.methods).map((method) => `${method} ${route.path}`) : []))
    .filter((entry) => !entry.startsWith("_all ") && !entry.includes(" /docs/"))
    .map((entry) => entry.replaceAll(/:(\w+)/g, "{$1}"));
  const described = Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
    Object.keys(item as object).map((method) => `${method} ${path}`),
  );
  expect(served.sort()).toEqual(described.sort());
  expect(served.length).toBeGreaterThan(25);
});

test("the routes that were promised are there", () => {
  const promised = [
    "post /v1/accounts",
    "post /v1/sessions",
    "post /v1/sessions/refresh",
    "delete /v1/sessions/current",
    "get /v1/events",
    "get /v1/events/{eventId}",
    "get /v1/events/{eventId}/availability",
    "get /v1/events/{eventId}/seats",
    "get /v1/events/{eventId}/seats/state",
    "post /v1/organiser/events",
    "post /v1/organiser/events/{eventId}/publish",
    "post /v1/checkouts",
    "get /v1/checkouts/{checkoutId}",
    "delete /v1/checkouts/{checkoutId}",
    "post /v1/checkouts/{checkoutId}/payment",
    "get /v1/orders",
    "get /v1/tickets",
    "get /v1/tickets/{ticketId}",
    "post /v1/webhooks/stripe",
  ];
  expect(routes.map(({ method, path }) => `${method} ${path}`)).toEqual(expect.arrayContaining(promised));
});

test("every POST that changes something takes an Idempotency-Key, save Stripe's, which has ids of its own", () => {
  const without = routes.filter(({ method, idempotencyKey }) => method === "post" && !idempotencyKey);
  const changesNothing = "/v1/events/{eventId}/access";
  expect(without.map(({ path }) => path)).toEqual([changesNothing, "/v1/webhooks/stripe"]);
});

test("requests are strict: an unknown field is refused in every schema that a body has", () => {
  const loose: string[] = [];
  const look = (schema: Record<string, unknown>, where: string): void => {
    const ref = schema["$ref"];
    if (typeof ref === "string") {
      const name = ref.split("/").at(-1) ?? "";
      look((document.components?.schemas?.[name] ?? {}) as Record<string, unknown>, name);
      return;
    }
    if (schema["type"] === "object" && schema["additionalProperties"] !== false) loose.push(where);
    for (const [key, inner] of Object.entries((schema["properties"] ?? {}) as object)) look(inner, `${where}.${key}`);
    for (const inner of (schema["anyOf"] ?? schema["oneOf"] ?? []) as Record<string, unknown>[]) look(inner, where);
    if (schema["items"]) look(schema["items"] as Record<string, unknown>, `${where}[]`);
  };
  let bodies = 0;
  for (const [path, item] of Object.entries(document.paths ?? {}))
    for (const operation of Object.values(
      item as Record<string, { requestBody?: { content: Record<string, { schema: Record<string, unknown> }> } }>,
    )) {
      const schema = operation.requestBody?.content["application/json"]?.schema;
      if (!schema || path === "/v1/webhooks/stripe") continue;
      bodies += 1;
      look(schema, path);
    }
  expect(loose).toEqual([]);
  expect(bodies).toBeGreaterThanOrEqual(8);
});

test("every pattern is one that a client's regular expressions can read", () => {
  const patterns: string[] = [];
  JSON.stringify(document, (key, value: unknown) => {
    if (key === "pattern" && typeof value === "string") patterns.push(value);
    return value;
  });
  expect(patterns.length).toBeGreaterThan(20);
  for (const pattern of patterns) {
    expect(() => new RegExp(pattern, "u")).not.toThrow();
    expect(pattern).not.toMatch(/\/[a-z]*$/);
  }
});

test("each operation names the refusals it can give, by their codes", () => {
  for (const route of routes.filter(({ undocumented }) => !undocumented)) {
    const operations = (document.paths?.[route.path] ?? {}) as Record<
      string,
      { responses: Record<string, { description: string }> }
    >;
    const responses = operations[route.method]?.responses ?? {};
    for (const code of codesOf(route)) expect(responses[refusals[code].http]?.description).toContain(`\`${code}\``);
  }
});
