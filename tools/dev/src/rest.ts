// A client of the REST API as an integrator would write one: JSON, a token, an Idempotency-Key, problems as errors.
import { randomUUID } from "node:crypto";

export interface Ask {
  readonly body?: unknown;
  readonly token?: string | undefined;
  /** Of a POST; undefined: a new one. */
  readonly key?: string;
}

/** A refusal: the problem document that came instead of the answer. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly document: Readonly<Record<string, unknown>>;

  constructor(request: string, status: number, document: Readonly<Record<string, unknown>>) {
    const errors = Array.isArray(document["errors"]) ? ` ${JSON.stringify(document["errors"])}` : "";
    super(
      `${request} was refused: ${status} ${String(document["code"] ?? "")}: ${String(document["detail"] ?? "")}${errors}`,
    );
    this.status = status;
    this.code = String(document["code"] ?? "");
    this.document = document;
  }
}

export interface Rest {
  readonly url: string;
  get<Body>(path: string, ask?: Ask): Promise<Body>;
  post<Body>(path: string, ask?: Ask): Promise<Body>;
  put<Body>(path: string, ask?: Ask): Promise<Body>;
  delete<Body>(path: string, ask?: Ask): Promise<Body>;
  /** A GET of what is not JSON. */
  bytes(path: string): Promise<Uint8Array>;
  /** The refusal itself, for those who expect one. Throws when there was none. */
  refused(attempt: Promise<unknown>): Promise<Problem>;
}

const tries = 6;

/** What may succeed when sent again (429, 503, a cut connection) is sent again with the same key, after what Retry-After says. */
export function createRest(url: string): Rest {
  async function send(
    method: string,
    path: string,
    { body, token, key = randomUUID() }: Ask = {},
  ): Promise<Uint8Array> {
    const request = `${method} ${path}`;
    for (let attempt = 1; ; attempt++) {
      let wait = 250 * 2 ** attempt;
      try {
        const response = await fetch(`${url}${path}`, {
          method,
          headers: {
            ...(body === undefined ? {} : { "content-type": "application/json" }),
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
            ...(method === "POST" ? { "idempotency-key": key } : {}),
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
          signal: AbortSignal.timeout(60_000),
        });
        const bytes = new Uint8Array(await response.arrayBuffer());
        if (response.ok) return bytes;
        const content = parsed<Record<string, unknown>>(bytes);
        const problem = new Problem(request, response.status, content);
        if (content["retryable"] !== true || attempt >= tries) throw problem;
        wait = Number(response.headers.get("retry-after") ?? 0) * 1000 || wait;
      } catch (error) {
        if (error instanceof Problem) throw error;
        if (attempt >= tries)
          throw new Error(`${request} got no answer from ${url}: ${String((error as Error).cause ?? error)}`, {
            cause: error,
          });
      }
      await new Promise((resolve) => setTimeout(resolve, Math.min(wait, 30_000)));
    }
  }
  const json =
    (method: string) =>
    async <Body>(path: string, ask?: Ask) =>
      parsed<Body>(await send(method, path, ask));
  return {
    url,
    get: json("GET"),
    post: json("POST"),
    put: json("PUT"),
    delete: json("DELETE"),
    bytes: (path) => send("GET", path),
    async refused(attempt) {
      try {
        await attempt;
      } catch (error) {
        if (error instanceof Problem) return error;
        throw error;
      }
      throw new Error("The request was expected to be refused, but it was answered.");
    },
  };
}

function parsed<Body>(bytes: Uint8Array): Body {
  const text = new TextDecoder().decode(bytes);
  return (text === "" ? {} : JSON.parse(text)) as Body;
}
