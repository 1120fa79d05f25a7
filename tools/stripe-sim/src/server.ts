// HTTP: the API, the pages that buyers see, and the control API of tests.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import { Api } from "./api.js";
import type { Books, Entry } from "./books.js";
import { BuyerPages } from "./buyer-pages.js";
import { answerControl, type ControlOptions, type RequestLog } from "./control.js";
import type { Draft, openDraft } from "./drafts.js";
import type { FaultPlan, Faults } from "./faults.js";
import { headerOf, json, maxBodyBytes, readBody } from "./http.js";
import type { Renderer } from "./objects.js";
import type { Call } from "./payment-desk.js";
import type { RateLimits } from "./rate-limits.js";

export interface ServerOptions {
  readonly books: Books;
  readonly renderer: Renderer;
  /** A request at work; undefined: nobody asked, the bank acts by itself. */
  readonly newCall: (request: Parameters<typeof openDraft>[0]["request"]) => Call;
  readonly plan: FaultPlan;
  readonly rates: RateLimits;
  readonly requests: RequestLog;
  readonly control: ControlOptions | undefined;
  readonly newId: (prefix: string) => string;
  /** Milliseconds. */
  readonly clock: () => number;
  /** Applies a change with the deliveries of its events, and resolves when it is on disk. */
  readonly commit: (entry: Entry, events: Draft["events"], faults: Faults["webhooks"]) => Promise<void>;
  /** Resolves when everything that can be seen is on disk. */
  readonly durable: () => Promise<void>;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export function createSimServer(options: ServerOptions): Server {
  const { log } = options;
  const api = new Api(options);
  const pages = new BuyerPages(options);

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = `http://localhost${request.url}`;
    const url = new URL(URL.canParse(asked) ? asked : "http://localhost/");
    const path = url.pathname;
    if (path.startsWith("/_sim/")) return control(request, response, url);
    if (path.startsWith("/3ds/")) return pages.approval(request, response, path.slice("/3ds/".length));
    if (path === "/card") return pages.card(request, response, url);
    return api.handle(request, response, url);
  }

  async function control(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const body = await readBody(request);
    const answer = (status: number, content: object) =>
      response.writeHead(status, { "content-type": "application/json" }).end(`${json(content)}\n`);
    const refuse = (status: number, message: string) => answer(status, { error: { message } });
    if (options.control === undefined)
      return void refuse(
        403,
        "The control API is closed. Set SIM_CONTROL=true to open it, where only tests can reach it.",
      );
    if (headerOf(request, "origin") !== undefined) return void refuse(403, "The control API is not for web pages.");
    if (body === undefined) return void refuse(413, `The body is longer than ${maxBodyBytes} bytes.`);
    const result = await answerControl(
      { method: request.method ?? "GET", path: url.pathname.slice("/_sim/".length), query: url.searchParams, body },
      options.control,
    );
    await options.durable();
    answer(result.status, result.body);
  }

  const server = createServer((request, response) => {
    handle(request, response).catch((err: unknown) => {
      log.error({ err }, "a bug: a request ended in an unexpected error");
      if (response.headersSent) response.destroy();
      else response.writeHead(500, { "content-type": "text/plain" }).end("stripe-sim failed; see its log\n");
    });
  });
  server.keepAliveTimeout = 60_000;
  return server;
}
