// The OpenAPI 3.1 document, made from the routes' contracts, and its viewer: Swagger UI from our own disk, nothing from elsewhere.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import {
  OpenAPIRegistry,
  OpenApiGeneratorV31,
  type ResponseConfig,
  type RouteConfig,
} from "@asteasolutions/zod-to-openapi";
import { type RefusalCode, refusals } from "@onsale/kit/errors";
import { z } from "zod";
import { codesByStatus, problemMediaType } from "../http/problem.js";
import { type AnswerContract, type Contract, cache, defaultBodyLimitBytes, type Route, route } from "../http/route.js";
import { problem } from "../schemas.js";

export type OpenApiDocument = ReturnType<OpenApiGeneratorV31["generateDocument"]>;

const about = `Sells seats when everybody comes at once.

**Idempotency.** POST requests that change something take an \`Idempotency-Key\` (1 to 255 visible ASCII characters; a UUID is a good one), and most require it. For 24 hours the same key with the same body gives the same answer, with \`Idempotent-Replayed: true\`; with another body it is refused with 422. Refusals are answers too: after one, use a new key. What is refused as malformed, unauthenticated or too often (400, 401, 403, 413, 415, 429), and failures of ours (5xx), are not kept: repair the request or wait, and use the same key again.

**Problems.** Every refusal is an RFC 9457 problem document. Branch on its \`code\`: it never changes its meaning.

**Times** are ISO 8601 in UTC. **Amounts** are integers in the currency's minor unit as Stripe counts it: in hundredths, but BIF, CLP, DJF, GNF, JPY, KMF, KRW, MGA, PYG, RWF, VND, VUV, XAF, XOF and XPF in whole units and BHD, JOD, KWD, OMR and TND in thousandths. ISK and UGX are counted in hundredths too, though they have no decimals: 990000 is ISK 9,900.

**Rate limits** are told in \`RateLimit\` and \`RateLimit-Policy\`; a 429 says in \`Retry-After\` when to come back.`;

const idempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/)
  .meta({ param: { name: "Idempotency-Key", in: "header" }, example: "6f2a1c3e-7e1b-4a52-9d38-0f3f4a7f9b10" });

const ifMatch = z
  .string()
  .max(200)
  .meta({
    param: { name: "If-Match", in: "header" },
    description: "The ETag of what you read: with another one there by now nothing is done (412).",
    example: '"3"',
  });

export function openApiDocument(routes: readonly Contract[]): OpenApiDocument {
  const registry = new OpenAPIRegistry();
  registry.registerComponent("securitySchemes", "accessToken", {
    type: "http",
    scheme: "bearer",
    bearerFormat: "JWT",
    description: "The accessToken of POST /v1/sessions.",
  });
  for (const contract of routes) if (!contract.undocumented) registry.registerPath(pathOf(contract));
  return new OpenApiGeneratorV31(registry.definitions, { sortComponents: "alphabetically" }).generateDocument({
    openapi: "3.1.0",
    info: {
      title: "onsale",
      version: "1.0.0",
      description: about,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    tags: [...new Set(routes.filter((one) => !one.undocumented).map(({ tag }) => tag))].map((name) => ({ name })),
  });
}

function pathOf(contract: Contract): RouteConfig {
  const { method, path, operationId, tag, summary, description, access, body, query, params } = contract;
  const key = contract.idempotencyKey;
  const match = contract.ifMatch;
  const headers =
    key || match
      ? z.object({
          ...(key ? { "Idempotency-Key": key === "required" ? idempotencyKey : idempotencyKey.optional() } : {}),
          ...(match ? { "If-Match": match === "required" ? ifMatch : ifMatch.optional() } : {}),
        })
      : undefined;
  return {
    method,
    path,
    operationId,
    tags: [tag],
    summary,
    ...(description || contract.roles
      ? {
          description: [description, contract.roles && `Needs the role ${contract.roles.join(" or ")}.`]
            .filter(Boolean)
            .join("\n\n"),
        }
      : {}),
    security: access === "account" ? [{ accessToken: [] }] : access === "optional" ? [{}, { accessToken: [] }] : [],
    request: {
      ...(params ? { params } : {}),
      ...(query ? { query } : {}),
      ...(headers ? { headers } : {}),
      ...(body ? { body: { required: true, content: { "application/json": { schema: body } } } } : {}),
      ...(contract.rawBody
        ? { body: { required: true, content: { "application/json": { schema: { type: "object" as const } } } } }
        : {}),
    },
    responses: {
      ...Object.fromEntries(Object.entries(contract.answers).map(([status, answer]) => [status, answerOf(answer)])),
      ...refusalsOf(contract),
    },
  };
}

function answerOf({ description, schema, contentType, headers }: AnswerContract): ResponseConfig {
  const told = Object.entries(headers ?? {}).map(([name, says]) => [
    name,
    { description: says, schema: { type: "string" as const } },
  ]);
  const content = schema
    ? { "application/json": { schema } }
    : contentType
      ? {
          [contentType]: {
            schema: { type: "string" as const, ...(contentType.startsWith("text/") ? {} : { format: "binary" }) },
          },
        }
      : undefined;
  return {
    description,
    ...(told.length > 0 ? { headers: Object.fromEntries(told) } : {}),
    ...(content ? { content } : {}),
  };
}

/** Every refusal that a route can give: its own, and those of the features that its contract names. */
export function codesOf(contract: Contract): RefusalCode[] {
  const { method, access, roles, limits, idempotencyKey: key, ifMatch, body, query, rawBody, unknownParam } = contract;
  const takesBody = method === "post" || method === "put";
  return [
    ...(contract.refusals ?? []),
    ...(unknownParam ? [unknownParam] : []),
    ...(body || query || key || ifMatch ? (["REQUEST_INVALID"] as const) : []),
    ...(takesBody ? (["BODY_TOO_LARGE", "MEDIA_TYPE_UNSUPPORTED"] as const) : []),
    ...(takesBody && !rawBody ? (["JSON_MALFORMED"] as const) : []),
    ...(key ? (["IDEMPOTENCY_KEY_REUSED", "IDEMPOTENCY_IN_FLIGHT"] as const) : []),
    ...(key === "required" ? (["IDEMPOTENCY_KEY_REQUIRED"] as const) : []),
    ...(ifMatch === "required" ? (["IF_MATCH_REQUIRED"] as const) : []),
    ...(access === "account" ? (["TOKEN_MISSING"] as const) : []),
    ...(access === "anyone" ? [] : (["TOKEN_INVALID", "TOKEN_EXPIRED"] as const)),
    ...(roles ? (["ROLE_REQUIRED"] as const) : []),
    ...(limits === "none" ? [] : (["RATE_LIMITED", "DEADLINE_EXCEEDED"] as const)),
    "UNAVAILABLE",
    "INTERNAL",
  ];
}

function refusalsOf(contract: Contract): Record<string, ResponseConfig> {
  const byStatus = codesByStatus(codesOf(contract));
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      String(status),
      {
        description: [
          ...codes.map((code) => `- \`${code}\`: ${refusals[code].title}.`),
          ...(codes.includes("BODY_TOO_LARGE")
            ? [`\nAt most ${contract.bodyLimitBytes ?? defaultBodyLimitBytes} bytes.`]
            : []),
        ].join("\n"),
        content: { [problemMediaType]: { schema: problem } },
      },
    ]),
  );
}

// ---- served

const swaggerUi = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
const viewerFiles: Readonly<Record<string, string>> = {
  "swagger-ui.css": "text/css; charset=utf-8",
  "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
  "favicon-32x32.png": "image/png",
};
const viewerPage = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>onsale API</title>
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body><main id="api"></main><script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body>
</html>
`;
const viewerStart = `window.ui = SwaggerUIBundle({ url: "/openapi.json", dom_id: "#api", deepLinking: true, validatorUrl: null });\n`;
/** What the viewer needs and no more: our own script and style, the small images that its style carries in itself. */
const viewerPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

export function documentationRoutes(documented: readonly Route[]): Route[] {
  const open = { method: "get", tag: "documentation", access: "anyone", limits: "none" } as const;
  const viewer = (path: string, type: string, read: () => Buffer): Route => {
    let file: { bytes: Buffer; etag: string } | undefined;
    return route({ ...open, path, operationId: path, summary: path, undocumented: true, answers: {} }, async () => {
      if (!file) {
        const bytes = read();
        file = { bytes, etag: `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"` };
      }
      return {
        status: 200,
        bytes: file.bytes,
        headers: {
          "Content-Type": type,
          "Content-Security-Policy": viewerPolicy,
          "Cache-Control": "public, max-age=300",
          ETag: file.etag,
        },
      };
    });
  };
  const itself = route(
    {
      ...open,
      path: "/openapi.json",
      operationId: "getOpenApi",
      summary: "This document",
      answers: { 200: { description: "OpenAPI 3.1.", schema: z.looseObject({}) } },
    },
    async () => ({ status: 200, body: document, headers: { "Cache-Control": cache.brief } }),
  );
  const page = route(
    {
      ...open,
      path: "/docs",
      operationId: "getDocs",
      summary: "This document, to read and to try",
      answers: { 200: { description: "A page.", contentType: "text/html" } },
    },
    async () => ({
      status: 200,
      bytes: Buffer.from(viewerPage),
      headers: { "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": viewerPolicy },
    }),
  );
  const document = openApiDocument([...documented, itself, page]);
  return [
    itself,
    page,
    viewer("/docs/start.js", "text/javascript; charset=utf-8", () => Buffer.from(viewerStart)),
    ...Object.entries(viewerFiles).map(([name, type]) =>
      viewer(`/docs/${name}`, type, () => readFileSync(join(swaggerUi, name))),
    ),
  ];
}
