// Serves the built pages: hashed files for ever, the one HTML page for every address, and the headers that keep strangers' code out.
import type { IncomingMessage, ServerResponse } from "node:http";
import sirv from "sirv";

/** What a page must know of the installation that it runs in. Public. */
export interface Installation {
  readonly stripePublishableKey?: string;
  readonly cardPageUrl?: string;
  readonly temporalUiUrl?: string;
}

export interface PagesSettings {
  readonly folder: string;
  readonly installation: Installation;
}

// What Stripe.js needs, by https://docs.stripe.com/security/guide#content-security-policy
const stripeScript = "https://js.stripe.com https://*.js.stripe.com";
const stripeFrames = `${stripeScript} https://hooks.stripe.com`;
const stripeApi = "https://api.stripe.com";

/** No inline script, no code of others but Stripe's own (its terms want it loaded from there), no framing by anyone. */
export function contentSecurityPolicy({ stripePublishableKey }: Installation): string {
  const stripe = stripePublishableKey !== undefined;
  return [
    "default-src 'none'",
    `script-src 'self'${stripe ? ` ${stripeScript}` : ""}`,
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    `connect-src 'self'${stripe ? ` ${stripeApi}` : ""}`,
    ...(stripe ? [`frame-src ${stripeFrames}`] : []),
    "worker-src 'self'",
    "manifest-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}

export function servePages({ folder, installation }: PagesSettings) {
  const csp = contentSecurityPolicy(installation);
  const told = Buffer.from(JSON.stringify(installation));
  const files = sirv(folder, {
    // Only in production are the files known for sure; a developer's build replaces them.
    dev: false,
    etag: true,
    single: true,
    gzip: true,
    brotli: true,
    ignores: [/^\/assets\//, /^\/installation\.json/, /^\/kept\//],
    setHeaders: (response, path) => {
      const hashed = path.startsWith("/assets/");
      response.setHeader("Cache-Control", hashed ? "public, max-age=31536000, immutable" : "no-cache");
    },
  });
  return (request: IncomingMessage, response: ServerResponse): void => {
    response.setHeader("Content-Security-Policy", csp);
    response.setHeader("X-Content-Type-Options", "nosniff");
    response.setHeader("Referrer-Policy", "same-origin");
    response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
    response.setHeader("Permissions-Policy", "camera=(), geolocation=(), microphone=()");
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.writeHead(405, { Allow: "GET, HEAD", "Content-Type": "text/plain; charset=utf-8" });
      return void response.end("Pages can only be read.\n");
    }
    if (request.url === "/installation.json") {
      response.writeHead(200, { "Content-Type": "application/json", "Cache-Control": "no-cache" });
      return void response.end(told);
    }
    files(request, response, () => {
      response.writeHead(404, { "Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store" });
      response.end("There is no such file.\n");
    });
  };
}
