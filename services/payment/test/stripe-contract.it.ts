// Every request that we send to Stripe fits Stripe's own OpenAPI spec, as stripe-mock checks it.
//
// Our client speaks a version of the API (2026-10-28.endive) that is two releases newer than the spec in the newest
// stripe-mock (2026-08-26.dahlia). So both ends are held: the requests must pass the older spec here, each parameter must
// exist in the newer version's types (tsc, in stripe.ts), and what was removed in between must not be sent (below).
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import { createLogger } from "@onsale/kit/log";
import { createMetrics } from "@onsale/kit/metrics";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createBudget, createSlots } from "../src/budget.js";
import { evidenceFields } from "../src/disputes.js";
import { createStripe, type StripeApi } from "../src/stripe.js";
import type { Answer } from "../src/stripe-line.js";
import { findStripeMock, type RunningStripeMock, specApiVersion, startStripeMock } from "./stripe-mock.js";

const found = findStripeMock();
if ("missing" in found) process.stderr.write(`stripe-contract is skipped: ${found.missing}\n`);

interface Sent {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

describe.skipIf("missing" in found)("stripe-mock accepts", () => {
  let mock: RunningStripeMock;
  let recorder: Server;
  let stripe: StripeApi;
  const sent: Sent[] = [];

  beforeAll(async () => {
    if ("missing" in found) return;
    mock = await startStripeMock(found.program);
    recorder = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const body = Buffer.concat(chunks).toString();
      const { method = "", url = "", headers } = request;
      sent.push({ method, url, headers, body });
      const { host: _host, connection: _connection, ...passed } = headers;
      const answer = await fetch(`${mock.url}${url}`, {
        method,
        headers: passed as Record<string, string>,
        ...(method === "POST" && { body }),
      });
      response.writeHead(answer.status, { "content-type": "application/json" }).end(await answer.text());
    });
    await new Promise<void>((resolve) => recorder.listen(0, "127.0.0.1", resolve));
    const { port } = recorder.address() as { port: number };
    const log = createLogger("test", "silent");
    const metrics = createMetrics("test");
    const slots = createSlots({ perEndpoint: 1_000, total: 1_000, newShare: 1 }, Date.now);
    stripe = createStripe({
      secretKey: "sk_test_123",
      apiBase: `http://127.0.0.1:${port}`,
      timeoutMs: 10_000,
      webhookSecrets: ["whsec_test"],
      webhookToleranceSeconds: 300,
      breakerFailures: 5,
      breakerOpenMs: 1_000,
      budget: createBudget({ shared: slots, alone: slots, log, metrics }),
      log,
      metrics,
    });
  }, 120_000);

  afterAll(async () => {
    if ("missing" in found) return;
    stripe.stop();
    recorder.closeAllConnections();
    await new Promise((resolve) => recorder.close(resolve));
    await mock.stop();
  });

  const call = () => ({ lane: "money", deadlineMs: Date.now() + 10_000 }) as const;
  const refund = { intentId: "pi_123", checkoutId: "co_1", refundId: "rf_1", amount: 100 };
  const requests: [string, path: RegExp, () => Promise<Answer<unknown>>][] = [
    [
      "the creation of an intent",
      /^POST \/v1\/payment_intents$/,
      () =>
        stripe.createIntent(
          { checkoutId: "co_1", eventId: "ev_1", amount: 5_000, currency: "EUR", description: "Two seats" },
          "checkout-co_1:create",
          call(),
        ),
    ],
    [
      "its confirmation",
      /^POST \/v1\/payment_intents\/pi_123\/confirm$/,
      () =>
        stripe.confirmIntent(
          "pi_123",
          { paymentMethodId: "pm_card_visa", returnUrl: "https://shop.example/back" },
          "checkout-co_1:confirm:1",
          call(),
        ),
    ],
    [
      "its capture",
      /^POST \/v1\/payment_intents\/pi_123\/capture$/,
      () => stripe.captureIntent("pi_123", "checkout-co_1:capture", call()),
    ],
    [
      "its cancellation",
      /^POST \/v1\/payment_intents\/pi_123\/cancel$/,
      () => stripe.cancelIntent("pi_123", "abandoned", "checkout-co_1:cancel", call()),
    ],
    [
      "its cancellation without a reason",
      /^POST \/v1\/payment_intents\/pi_123\/cancel$/,
      () => stripe.cancelIntent("pi_123", undefined, "checkout-co_1:cancel", call()),
    ],
    ["its retrieval", /^GET \/v1\/payment_intents\/pi_123\?/, () => stripe.retrieveIntent("pi_123", call())],
    ["a search", /^GET \/v1\/payment_intents\/search\?/, () => stripe.findIntent("co_1", call())],
    [
      "a list of recent intents",
      /^GET \/v1\/payment_intents\?/,
      () => stripe.findRecentIntent("co_1", { fromMs: Date.now() - 10_000, toMs: Date.now() }, call()),
    ],
    ["a refund", /^POST \/v1\/refunds$/, () => stripe.createRefund(refund, "checkout-co_1:refund:rf_1", call())],
    [
      "a list of intents with their refunds",
      /^GET \/v1\/payment_intents\?/,
      () => stripe.listIntents({ fromMs: Date.now() - 10_000, beforeMs: Date.now() }, { limit: 50 }, call()),
    ],
    ["a dispute's retrieval", /^GET \/v1\/disputes\/du_123$/, () => stripe.retrieveDispute("du_123", call())],
    [
      "evidence on a dispute",
      /^POST \/v1\/disputes\/du_123$/,
      () =>
        stripe.giveEvidence(
          "du_123",
          Object.fromEntries(evidenceFields.map((field) => [field, "text"])),
          true,
          "checkout-co_1:evidence:du_123:0",
          call(),
        ),
    ],
    ["a list of refunds", /^GET \/v1\/refunds\?/, () => stripe.listRefunds("pi_123", call())],
  ];

  it.each(requests)("%s", async (_name, path, request) => {
    sent.length = 0;
    const answer = await request();
    expect(answer).toMatchObject({ ok: true });
    expect(sent).toHaveLength(1);
    const [{ method, url, headers, body }] = sent as [Sent];
    expect(`${method} ${url}`).toMatch(path);
    expect(headers["stripe-version"]).toBe("2026-10-28.endive");
    if (method === "POST") expect(headers["idempotency-key"]).toMatch(/^checkout-co_1:/);
    // Removed after the mock's spec: Stripe answers 400 payment_method_types_no_longer_supported.
    expect(new URLSearchParams(body).has("payment_method_types[0]")).toBe(false);
    expect(headers).not.toHaveProperty("x-stripe-client-telemetry");
  });

  it("nothing that its spec does not know, so that the above can fail", async () => {
    const answer = await fetch(`${mock.url}/v1/payment_intents`, {
      method: "POST",
      headers: { authorization: "Bearer sk_test_123", "content-type": "application/x-www-form-urlencoded" },
      body: "amount=5000&currency=eur&seats=2",
    });
    expect(answer.status).toBe(400);
  });

  it("requests for the version of the API that this file says it has", async () => {
    if ("missing" in found) return;
    const strict = await startStripeMock(found.program, "-strict-version-check");
    try {
      const ask = (version: string) =>
        fetch(`${strict.url}/v1/payment_intents/pi_123`, {
          headers: { authorization: "Bearer sk_test_123", "stripe-version": version },
        });
      expect((await ask(specApiVersion)).status).toBe(200);
      expect((await ask("2026-10-28.endive")).status).toBe(400);
    } finally {
      await strict.stop();
    }
  });
});
