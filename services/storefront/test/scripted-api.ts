// The API for pages under test: a real HTTP server on this machine whose answers a test writes. Each request and each answer is held
// against the gateway's OpenAPI document, so that a page is never shown a shape that the real API doesn't have.
import { readFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Ajv2020 } from "ajv/dist/2020.js";

export interface Asked {
  readonly method: string;
  /** As in the document: /v1/events/{eventId} */
  readonly path: string;
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
}

export interface Answer {
  readonly status: number;
  /** Undefined: none. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** The connection breaks instead. */
  readonly broken?: boolean;
}

type Script = Answer | ((asked: Asked) => Answer | Promise<Answer>);

interface Operation {
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly required?: boolean }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: object }>> };
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema: object }>> }>
  >;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

const document = JSON.parse(
  readFileSync(join(fileURLToPath(import.meta.url), "../../../gateway/openapi.json"), "utf8"),
) as Document;
const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
ajv.addSchema({ $id: "api", components: document.components });
/** References of the document lead into the schema that was added. */
const check = (schema: object, value: unknown): string | undefined => {
  const text = JSON.stringify(schema).replaceAll('"#/components/', '"api#/components/');
  const valid = ajv.compile(JSON.parse(text) as object);
  return valid(value) ? undefined : ajv.errorsText(valid.errors);
};

export type ScriptedApi = Awaited<ReturnType<typeof startScriptedApi>>;

export async function startScriptedApi() {
  const scripts = new Map<string, Script>();
  const asked: Asked[] = [];
  const problems: string[] = [];
  /** Milliseconds that the server's clock is ahead of this machine's. */
  const clock = { aheadMs: 0 };

  function find(method: string, pathname: string) {
    for (const [path, operations] of Object.entries(document.paths)) {
      const names: string[] = [];
      const form = path.replace(/\{(\w+)\}/g, (_, name: string) => `(?<p${names.push(name)}>[^/]+)`);
      const match = new RegExp(`^${form}$`).exec(pathname);
      const operation = operations[method.toLowerCase()];
      if (!match || !operation) continue;
      const params = Object.fromEntries(names.map((name, at) => [name, decodeURIComponent(match[at + 1] ?? "")]));
      return { path, operation, params };
    }
    return undefined;
  }

  async function answer(one: Asked, operation: Operation): Promise<Answer> {
    const name = `${one.method} ${one.path}`;
    for (const { name: header, in: where, required } of operation.parameters ?? [])
      if (where === "header" && required && one.headers[header.toLowerCase()] === undefined)
        problems.push(`${name}: asked without ${header}`);
    const wanted = operation.requestBody?.content["application/json"]?.schema;
    const wrong = wanted && check(wanted, one.body);
    if (wrong) problems.push(`${name}: asked with ${JSON.stringify(one.body)}: ${wrong}`);
    const script = scripts.get(name);
    if (script === undefined) {
      problems.push(`${name}: the page asks for what the test does not answer`);
      return { status: 500 };
    }
    const given = typeof script === "function" ? await script(one) : script;
    const response = operation.responses[String(given.status)];
    const schema = Object.values(response?.content ?? {})[0]?.schema;
    const untrue = !response
      ? `the API has no answer ${given.status}`
      : schema && given.body !== undefined
        ? check(schema, given.body)
        : undefined;
    if (untrue && !given.broken) problems.push(`${name}: answered ${given.status} with an untrue shape: ${untrue}`);
    return given;
  }

  const send = (response: ServerResponse, { status, body, headers, broken }: Answer) => {
    if (broken) return void response.destroy();
    response.writeHead(status, {
      Date: new Date(Date.now() + clock.aheadMs).toUTCString(),
      "Content-Type": status >= 400 ? "application/problem+json" : "application/json",
      // As the real one says of what is somebody's own: else an answer with an ETag is kept.
      "Cache-Control": "no-store",
      ...headers,
    });
    response.end(body === undefined ? "" : JSON.stringify(body));
  };
  let open = 0;
  const server = createServer((request, response) => {
    open += 1;
    response.once("close", () => (open -= 1));
    let text = "";
    request.on("data", (chunk) => (text += chunk));
    request.on("end", () => {
      const url = new URL(request.url ?? "/", "http://shop.test");
      if (url.pathname === "/installation.json")
        return send(response, { status: 200, body: { cardPageUrl: "https://cards.test/card" } });
      const method = request.method ?? "GET";
      const found = find(method, url.pathname);
      if (!found) {
        problems.push(`${method} ${url.pathname}: there is no such operation`);
        return send(response, { status: 404 });
      }
      const one: Asked = {
        method,
        path: found.path,
        params: found.params,
        query: url.searchParams,
        headers: request.headers,
        body: text === "" ? undefined : (JSON.parse(text) as unknown),
      };
      asked.push(one);
      answer(one, found.operation).then(
        (given) => send(response, given),
        (error: unknown) => {
          problems.push(`${method} ${url.pathname}: ${String(error)}`);
          send(response, { status: 500 });
        },
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    problems,
    clock,
    /** `operation`: "GET /v1/events/{eventId}" */
    on(operation: string, script: Script): void {
      scripts.set(operation, script);
    },
    /** What was asked of one operation. */
    askedFor: (operation: string): Asked[] => asked.filter(({ method, path }) => `${method} ${path}` === operation),
    /** Resolves when nobody is asking any more, or after a second: an answer may be one that never comes. */
    async rest(): Promise<void> {
      for (let quiet = 0, tries = 0; quiet < 3 && tries < 200; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        quiet = open === 0 ? quiet + 1 : 0;
      }
    },
    forgetAll(): void {
      scripts.clear();
      asked.length = 0;
      problems.length = 0;
      clock.aheadMs = 0;
    },
    async stop(): Promise<void> {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

/** A refusal as the API writes it (RFC 9457). */
export const refusal = (status: number, code: string, more: Readonly<Record<string, unknown>> = {}): Answer => ({
  status,
  body: {
    type: `urn:onsale:problem:${code}`,
    title: "Refused",
    status,
    detail: `In the API's own words: ${code}.`,
    code,
    instance: "urn:onsale:request:req_test",
    requestId: "req_test",
    retryable: false,
    ...more,
  },
});
