// The storefront's server: pages and their headers, and the API behind it on the same origin.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createContext } from "@onsale/kit/process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { storefrontSettings } from "../src/config.js";
import { startStorefront } from "../src/service.js";

let folder: string;
let gateway: Server;
let url: string;
let stop: () => Promise<void>;
let seen: { method: string | undefined; url: string | undefined; headers: Record<string, unknown>; body: string }[] =
  [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "onsale-web-"));
  mkdirSync(join(folder, "assets"));
  writeFileSync(join(folder, "index.html"), "<!doctype html><title>shop</title>");
  writeFileSync(join(folder, "assets/app-abc123.js"), "export {}");
  gateway = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => {
      seen.push({ method: request.method, url: request.url, headers: request.headers, body });
      if (request.url === "/v1/stream") {
        response.writeHead(200, { "Content-Type": "text/event-stream" });
        response.write("data: first\n\n");
        setTimeout(() => response.write("data: second\n\n"), 50);
        return;
      }
      response.writeHead(201, { "Content-Type": "application/json", "Set-Cookie": "a=b; HttpOnly", ETag: '"1"' });
      response.end('{"ok":true}');
    });
  });
  await new Promise<void>((resolve) => gateway.listen(0, "127.0.0.1", resolve));
  const started = await start(`http://127.0.0.1:${(gateway.address() as AddressInfo).port}`);
  ({ url, stop } = started);
});
afterAll(async () => {
  await stop();
  gateway.closeAllConnections();
  gateway.close();
  rmSync(folder, { recursive: true });
});

async function start(gatewayUrl: string, env: Record<string, string> = {}) {
  const context = createContext("storefront", storefrontSettings, {
    NODE_ENV: "test",
    LOG_LEVEL: "silent",
    HTTP_LISTEN: "127.0.0.1:0",
    WEB_DIR: folder,
    GATEWAY_URL: gatewayUrl,
    CARD_PAGE_URL: "http://127.0.0.1:12111/card",
    ...env,
  });
  const { port } = await startStorefront(context);
  return { url: `http://127.0.0.1:${port}`, stop: () => context.lifecycle.stop("test") };
}

describe("pages", () => {
  test("hashed files for ever, the page itself asked for each time, at every address", async () => {
    const asset = await fetch(`${url}/assets/app-abc123.js`);
    expect(asset.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
    for (const path of ["/", "/events/evt_1", "/checkouts/chk_1?payment_method=pm_1"]) {
      const page = await fetch(`${url}${path}`);
      expect({ status: page.status, cache: page.headers.get("cache-control") }).toEqual({
        status: 200,
        cache: "no-cache",
      });
      expect(await page.text()).toContain("<title>shop</title>");
    }
    expect((await fetch(`${url}/assets/app-gone.js`)).status).toBe(404);
  });

  test("let in no code of strangers, unless cards are typed at Stripe", async () => {
    const policy = (await fetch(url)).headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|\*|stripe/);
    const real = await start("http://127.0.0.1:1", { STRIPE_PUBLISHABLE_KEY: "pk_test_123" });
    const withStripe = (await fetch(real.url)).headers.get("content-security-policy") ?? "";
    expect(withStripe).toContain("script-src 'self' https://js.stripe.com https://*.js.stripe.com;");
    expect(withStripe).toContain("frame-src https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com;");
    expect(withStripe.replaceAll("https://*.js.stripe.com", "")).not.toMatch(/unsafe|\*/);
    await real.stop();
  });

  test("know their installation, and nothing secret", async () => {
    expect(await (await fetch(`${url}/installation.json`)).json()).toEqual({
      cardPageUrl: "http://127.0.0.1:12111/card",
    });
  });

  test("are read only, and no path leaves their folder", async () => {
    expect((await fetch(url, { method: "POST", body: "x" })).status).toBe(405);
    const answer = await new Promise<string>((resolve) => {
      const socket = connect(Number(new URL(url).port), "127.0.0.1", () =>
        socket.write("GET /assets/../../../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
      );
      let text = "";
      socket.on("data", (chunk) => (text += chunk.toString()));
      socket.on("close", () => resolve(text));
    });
    expect(answer).not.toContain("root:");
  });
});

describe("the API on the same origin", () => {
  test("is passed on as it is, with the sender's address", async () => {
    seen = [];
    const answer = await fetch(`${url}/v1/checkouts?x=1`, {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": "k" },
      body: '{"a":1}',
    });
    expect({ status: answer.status, cookie: answer.headers.get("set-cookie"), body: await answer.json() }).toEqual({
      status: 201,
      cookie: "a=b; HttpOnly",
      body: { ok: true },
    });
    expect(answer.headers.get("content-security-policy")).toBeNull(); // the gateway has its own
    expect(seen[0]).toMatchObject({ method: "POST", url: "/v1/checkouts?x=1", body: '{"a":1}' });
    expect(seen[0]?.headers).toMatchObject({
      "idempotency-key": "k",
      "x-forwarded-for": expect.stringContaining("127.0.0.1"),
      host: new URL(url).host,
    });
  });

  test("streams as it comes, and lets go when the reader leaves", async () => {
    const leaving = new AbortController();
    const stream = await fetch(`${url}/v1/stream`, { signal: leaving.signal });
    const reader = (stream.body as ReadableStream<Uint8Array>).getReader();
    const text = new TextDecoder();
    expect(text.decode((await reader.read()).value)).toContain("first");
    expect(text.decode((await reader.read()).value)).toContain("second");
    leaving.abort();
    await expect
      .poll(() => new Promise<number>((resolve) => gateway.getConnections((_, count) => resolve(count))))
      .toBeLessThanOrEqual(1); // what is left is kept for the next request
  });

  test("a gateway that is away is a problem that may pass", async () => {
    const lonely = await start("http://127.0.0.1:1");
    const answer = await fetch(`${lonely.url}/v1/events`);
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ code: "UNAVAILABLE", retryable: true });
    await lonely.stop();
  });
});
