// The codec server: shows operators what encrypted payloads say, in Temporal's Web UI and CLI, and writes down who read what.

/*
 * Its API is Temporal's (https://docs.temporal.io/codec-server): POST /decode with { payloads } whose bytes are base64. There
 * is no /encode: nobody needs to make payloads by hand, and whoever could would make them in our name.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { DomainError } from "@onsale/kit/errors";
import { connect } from "@onsale/kit/grpc-client";
import { listenOn, splitAddress } from "@onsale/kit/lifecycle";
import { isEncrypted, type Payload, payloadEncryption, workflowOf } from "@onsale/kit/payload-encryption";
import type { ContextOf, RunningService } from "@onsale/kit/process";
import { AccountServiceService } from "@onsale/proto/account/v1/account";
import { RateLimiterMemory, RateLimiterRes } from "rate-limiter-flexible";
import { z } from "zod";
import type { codecSettings } from "./config.js";
import { createOperators, type Operators, type SignOnTokens } from "./operators.js";

type CodecContext = ContextOf<typeof codecSettings>;

const mostBytes = 16 * 1024 * 1024;
const base64 = z.string().regex(/^[A-Za-z0-9+/_-]*={0,2}$/);
const asked = z.object({
  payloads: z
    .array(z.object({ metadata: z.record(z.string(), base64).default({}), data: base64.default("") }))
    .max(10_000),
});
const loopback = new Set(["127.0.0.1", "localhost", "[::1]"]);

export async function startCodec({ config, log, metrics, lifecycle, trust }: CodecContext): Promise<RunningService> {
  const open = config.CODEC_OPEN_ON_LOOPBACK;
  const [host, port] = splitAddress(config.CODEC_LISTEN);
  const signOn = signOnOf(config);
  if (open && (config.NODE_ENV === "production" || !loopback.has(host)))
    throw new Error(
      "CODEC_OPEN_ON_LOOPBACK lets everybody on this machine decode. It is for development: CODEC_LISTEN must be 127.0.0.1, and NODE_ENV not production.",
    );
  if (!open && !config.ACCOUNT_ADDRESS && !signOn)
    throw new Error(
      "Nobody could be admitted: set ACCOUNT_ADDRESS, for operators with the shop's access token, or CODEC_OIDC_JWKS_URL, for those with the Web UI's single sign-on.",
    );

  const codec = payloadEncryption(config.PAYLOAD_ENCRYPTION_KEYS);
  if (!codec) throw new Error("PAYLOAD_ENCRYPTION_KEYS is not set: there is nothing to decode with.");
  const account = config.ACCOUNT_ADDRESS
    ? connect(AccountServiceService, { address: config.ACCOUNT_ADDRESS, trust })
    : undefined;
  if (account) lifecycle.onStop("client of account", () => account.close());
  const operators: Operators = open
    ? { admit: async () => "anyone on this machine", ready: async () => true }
    : createOperators(
        account && {
          fetchKeys: async () => (await account.getVerificationKeys({}, { deadlineMs: 3_000 })).jwksJson,
          issuer: config.ACCESS_TOKEN_ISSUER,
          audience: config.ACCESS_TOKEN_AUDIENCE,
        },
        signOn,
      );
  if (open) log.warn("CODEC_OPEN_ON_LOOPBACK: everybody on this machine may decode, without a token");

  const outcomes = metrics.counter("onsale_codec_requests_total", "Requests to decode payloads, by outcome", [
    "outcome",
  ]);
  const allowance = new RateLimiterMemory({ points: config.CODEC_RATE.most, duration: config.CODEC_RATE.everySeconds });

  /** Each by itself: one that can't be opened (of a key that was dropped, say) hides none of the others. */
  async function decoded(payloads: readonly Payload[], who: string): Promise<Payload[]> {
    let failures = 0;
    const shown = await Promise.all(
      payloads.map(async (payload) => {
        try {
          const [plain = payload] = (await codec?.decode([payload])) ?? [];
          return plain;
        } catch (err) {
          if (failures === 0) log.warn({ err, who, workflowId: workflowOf(payload) }, "a payload stays encrypted");
          failures += 1;
          return payload;
        }
      }),
    );
    return shown;
  }

  async function decode(request: IncomingMessage): Promise<unknown> {
    if (open && !loopback.has(splitAddress(request.headers.host ?? "")[0]))
      throw new DomainError(
        "REQUEST_INVALID",
        "In this mode the codec server is called by 127.0.0.1 or localhost only.",
      );
    const who = await operators.admit(request.headers.authorization);
    await take(allowance, who);
    const payloads = readPayloads(await bodyOf(request));
    const answer = await decoded(payloads, who);
    const secret = payloads.filter(isEncrypted);
    const workflows = [...new Set(secret.map((payload) => workflowOf(payload) ?? "unnamed"))];
    const namespace = String(request.headers["x-namespace"] ?? "").slice(0, 200);
    if (secret.length > 0)
      log.info({ audit: "payloads decoded", who, workflows, payloads: secret.length, namespace }, "payloads decoded");
    return { payloads: answer.map(written) };
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const origin = request.headers.origin;
    response.setHeader("vary", "Origin");
    response.setHeader("cache-control", "no-store");
    response.setHeader("x-content-type-options", "nosniff");
    if (origin !== undefined && config.CODEC_ORIGINS.includes(origin)) {
      response.setHeader("access-control-allow-origin", origin);
      response.setHeader("access-control-allow-credentials", "true");
      if (request.method === "OPTIONS") {
        response.setHeader("access-control-allow-methods", "POST");
        const wanted = String(request.headers["access-control-request-headers"] ?? "");
        if (/^[\w-]+(\s*,\s*[\w-]+)*$/.test(wanted)) response.setHeader("access-control-allow-headers", wanted);
        if (request.headers["access-control-request-private-network"] === "true")
          response.setHeader("access-control-allow-private-network", "true");
        response.setHeader("access-control-max-age", "600");
      }
    }
    const say = (status: number, body: unknown) => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
      if (status === 413) request.destroy();
    };
    if (request.method === "OPTIONS") return void response.writeHead(204).end();
    const path = (request.url ?? "").replace(/\?.*$/, "");
    try {
      if (!path.endsWith("/decode"))
        throw new DomainError(
          "ROUTE_NOT_FOUND",
          "There is POST /decode here, and nothing else: payloads are not encoded.",
        );
      if (request.method !== "POST") throw new DomainError("METHOD_NOT_ALLOWED", "Here you can POST.");
      say(200, await decode(request));
      outcomes.inc({ outcome: "OK" });
    } catch (thrown) {
      const error = DomainError.from(thrown);
      outcomes.inc({ outcome: error.code });
      if (error.code === "INTERNAL") log.error({ err: thrown }, "a bug: a request failed");
      else log.info({ audit: "decoding refused", code: error.code, origin: origin?.slice(0, 200) }, "decoding refused");
      const { retryAfterSeconds } = error.details;
      if (typeof retryAfterSeconds === "number") response.setHeader("retry-after", String(retryAfterSeconds));
      say(error.refusal.http, { code: error.code, message: error.message });
    }
  }

  const server = createServer({ headersTimeout: 10_000, requestTimeout: 30_000 }, (request, response) => {
    void serve(request, response);
  });
  await listenOn(server, host.replace(/^\[(.*)\]$/, "$1"), port);
  lifecycle.onStop("http server", () => {
    server.closeIdleConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return { port: (server.address() as { port: number }).port, ready: () => operators.ready() };
}

function signOnOf(config: CodecContext["config"]): SignOnTokens | undefined {
  const { CODEC_OIDC_JWKS_URL: jwksUrl, CODEC_OIDC_ISSUER: issuer, CODEC_OIDC_AUDIENCE: audience } = config;
  if (!jwksUrl) return undefined;
  if (!issuer || !audience)
    throw new Error(
      "With CODEC_OIDC_JWKS_URL, CODEC_OIDC_ISSUER and CODEC_OIDC_AUDIENCE are needed too: tokens made for others must not open this.",
    );
  return { jwksUrl, issuer, audience, rolesClaim: config.CODEC_OIDC_ROLES_CLAIM, role: config.CODEC_OIDC_ROLE };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > mostBytes)
      throw new DomainError("BODY_TOO_LARGE", `Ask for fewer payloads at once: at most ${mostBytes} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function readPayloads(text: string): Payload[] {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw new DomainError("JSON_MALFORMED", "The body is not valid JSON.");
  }
  const read = asked.safeParse(body);
  if (!read.success)
    throw new DomainError(
      "REQUEST_INVALID",
      "The body must be { payloads: [{ metadata, data }] }, with bytes in base64.",
    );
  return read.data.payloads.map(({ metadata, data }) => ({
    metadata: Object.fromEntries(Object.entries(metadata).map(([name, value]) => [name, Buffer.from(value, "base64")])),
    data: Buffer.from(data, "base64"),
  }));
}

const written = ({ metadata, data }: Payload) => ({
  metadata: Object.fromEntries(
    Object.entries(metadata ?? {}).map(([name, value]) => [name, Buffer.from(value).toString("base64")]),
  ),
  data: Buffer.from(data ?? []).toString("base64"),
});

/** Refusal: RATE_LIMITED. */
async function take(allowance: RateLimiterMemory, who: string): Promise<void> {
  try {
    await allowance.consume(who);
  } catch (refused) {
    if (!(refused instanceof RateLimiterRes)) throw refused;
    throw new DomainError("RATE_LIMITED", "You have asked for very much. Please wait a little.", {
      retryAfterSeconds: Math.ceil(refused.msBeforeNext / 1000),
    });
  }
}
