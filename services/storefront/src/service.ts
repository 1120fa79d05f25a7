// The storefront put together: built pages, what the pages must know of this installation, and the way to the gateway.
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import type { ContextOf, RunningService } from "@onsale/kit/process";
import type { storefrontSettings } from "./config.js";
import { passOn } from "./gateway.js";
import { servePages } from "./pages.js";

/** A label must not take strangers' words. */
const knownMethods = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]);

export async function startStorefront(context: ContextOf<typeof storefrontSettings>): Promise<RunningService> {
  const { config, log, metrics, lifecycle } = context;
  const pages = servePages({
    folder: config.WEB_DIR ?? fileURLToPath(new URL("../dist-web", import.meta.url)),
    installation: {
      ...(config.STRIPE_PUBLISHABLE_KEY ? { stripePublishableKey: config.STRIPE_PUBLISHABLE_KEY } : {}),
      ...(config.CARD_PAGE_URL ? { cardPageUrl: config.CARD_PAGE_URL } : {}),
      ...(config.TEMPORAL_UI_URL ? { temporalUiUrl: config.TEMPORAL_UI_URL } : {}),
    },
  });
  const gateway = config.GATEWAY_URL ? passOn(config.GATEWAY_URL, log) : undefined;
  const seconds = metrics.histogram("onsale_http_seconds", "Time to answer a request, by route and status", [
    "method",
    "route",
    "status",
  ]);
  const server = createServer((request, response) => {
    const route = gateway?.takes(request.url ?? "/") ? "passed on" : routeOf(request.url ?? "/");
    const end = seconds.startTimer({ method: methodOf(request.method), route });
    // A stream of events lasts as long as its reader stays: that is no time to answer.
    const streams = /event-stream/.test(request.headers.accept ?? "");
    response.once("close", () => {
      if (!streams) end({ status: response.headersSent ? response.statusCode : 499 });
    });
    if (gateway?.takes(request.url ?? "/")) gateway.serve(request, response);
    else pages(request, response);
  });
  const split = config.HTTP_LISTEN.lastIndexOf(":");
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(Number(config.HTTP_LISTEN.slice(split + 1)), config.HTTP_LISTEN.slice(0, split), resolve);
  });
  lifecycle.onStop("http server", async () => {
    const closed = new Promise((done) => server.close(done));
    server.closeIdleConnections();
    const cut = setTimeout(() => server.closeAllConnections(), config.SHUTDOWN_GRACE_SECONDS * 500);
    await closed;
    clearTimeout(cut);
    gateway?.close();
  });
  const bound = server.address();
  return { port: typeof bound === "object" && bound ? bound.port : 0, ready: () => true };
}

const methodOf = (method = ""): string => (knownMethods.has(method) ? method : "other");

/** Few, whatever is asked for. */
function routeOf(url: string): string {
  return url.startsWith("/assets/") ? "asset" : url.startsWith("/installation.json") ? "installation" : "page";
}
