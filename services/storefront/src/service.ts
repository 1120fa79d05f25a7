// The storefront put together: built pages, what the pages must know of this installation, and the way to the gateway.
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import type { ContextOf, RunningService } from "@onsale/kit/process";
import type { storefrontSettings } from "./config.js";
import { passOn } from "./gateway.js";
import { servePages } from "./pages.js";

export async function startStorefront(context: ContextOf<typeof storefrontSettings>): Promise<RunningService> {
  const { config, log, lifecycle } = context;
  const pages = servePages({
    folder: config.WEB_DIR ?? fileURLToPath(new URL("../dist-web", import.meta.url)),
    installation: {
      ...(config.STRIPE_PUBLISHABLE_KEY ? { stripePublishableKey: config.STRIPE_PUBLISHABLE_KEY } : {}),
      ...(config.CARD_PAGE_URL ? { cardPageUrl: config.CARD_PAGE_URL } : {}),
      ...(config.TEMPORAL_UI_URL ? { temporalUiUrl: config.TEMPORAL_UI_URL } : {}),
    },
  });
  const gateway = config.GATEWAY_URL ? passOn(config.GATEWAY_URL, log) : undefined;
  const server = createServer((request, response) => {
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
