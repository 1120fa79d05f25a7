// The codec server: operators alone read payloads, from the Web UI's pages alone, not without limit, and every reading is written down.
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createGrpcServer } from "@onsale/kit/grpc-server";
import { createLogger } from "@onsale/kit/log";
import { createMetrics } from "@onsale/kit/metrics";
import { type Payload, payloadEncryption } from "@onsale/kit/payload-encryption";
import { createContext } from "@onsale/kit/process";
import { AccountServiceService } from "@onsale/proto/account/v1/account";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { codecSettings } from "../src/config.js";
import { startCodec } from "../src/service.js";

const keys = `k1:${Buffer.alloc(32, 1).toString("base64")}`;
const origin = "https://temporal.example";
const secret = "pm_card_visa_of_somebody";
const closers: (() => unknown)[] = [];
let shopKey: CryptoKey;
let signOnKey: CryptoKey;
let account: { port: number; asked: number };
let jwksUrl: string;

beforeAll(async () => {
  const shop = await generateKeyPair("EdDSA", { crv: "Ed25519" });
  const signOn = await generateKeyPair("ES256");
  shopKey = shop.privateKey;
  signOnKey = signOn.privateKey;
  const jwks = async (key: CryptoKey, kid: string) => JSON.stringify({ keys: [{ ...(await exportJWK(key)), kid }] });
  const shopJwks = await jwks(shop.publicKey, "shop-1");
  const signOnJwks = await jwks(signOn.publicKey, "sso-1");

  const log = createLogger("account", "silent");
  const grpc = createGrpcServer({ listen: "127.0.0.1:0", trust: {}, log, metrics: createMetrics("account") });
  account = { port: 0, asked: 0 };
  grpc.serve(AccountServiceService, {
    getVerificationKeys: async () => {
      account.asked += 1;
      return { jwksJson: shopJwks };
    },
  } as never);
  account.port = await grpc.start();
  closers.push(() => grpc.stop(0));

  const sso: Server = createServer((_, response) => void response.end(signOnJwks));
  await new Promise<void>((resolve) => sso.listen(0, "127.0.0.1", resolve));
  jwksUrl = `http://127.0.0.1:${(sso.address() as AddressInfo).port}/keys`;
  closers.push(() => sso.close());
});
afterAll(async () => {
  for (const close of closers.reverse()) await close();
});

async function open(env: Record<string, string> = {}) {
  const lines: string[] = [];
  const context = createContext("codec", codecSettings, {
    CODEC_LISTEN: "127.0.0.1:0",
    PAYLOAD_ENCRYPTION_KEYS: keys,
    CODEC_ORIGINS: origin,
    ACCOUNT_ADDRESS: `127.0.0.1:${account.port}`,
    LOG_LEVEL: "silent",
    ...env,
  });
  const log = createLogger("codec", "info", { write: (line) => void lines.push(line) });
  const running = await startCodec({ ...context, log });
  closers.push(() => context.lifecycle.stop("test"));
  const url = `http://127.0.0.1:${running.port}`;
  const decode = (payloads: unknown, headers: Record<string, string> = {}) =>
    fetch(`${url}/decode`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-namespace": "default", ...headers },
      body: typeof payloads === "string" ? payloads : JSON.stringify({ payloads }),
    });
  return { url, decode, lines, ready: () => running.ready() };
}

const token = (claims: object = {}, how: { typ?: string; key?: CryptoKey; alg?: string; kid?: string } = {}) =>
  new SignJWT({ roles: ["buyer", "operator"], sid: "ses_1", ...claims })
    .setProtectedHeader({ alg: how.alg ?? "EdDSA", typ: how.typ ?? "at+jwt", kid: how.kid ?? "shop-1" })
    .setIssuer((claims as { iss?: string }).iss ?? "onsale")
    .setAudience((claims as { aud?: string }).aud ?? "onsale")
    .setSubject("acc_1")
    .setIssuedAt()
    .setExpirationTime((claims as { exp?: number }).exp ?? "5m")
    .sign(how.key ?? shopKey);
const bearer = async (...given: Parameters<typeof token>) => ({ authorization: `Bearer ${await token(...given)}` });

const inJson = ({ metadata, data }: Payload) => ({
  metadata: Object.fromEntries(
    Object.entries(metadata ?? {}).map(([name, value]) => [name, Buffer.from(value).toString("base64")]),
  ),
  data: Buffer.from(data ?? []).toString("base64"),
});
const payload = (value: unknown): Payload => ({
  metadata: { encoding: Buffer.from("json/plain") },
  data: Buffer.from(JSON.stringify(value)),
});
async function encrypted(value: unknown, workflowId = "checkout-chk_1", setting = keys) {
  const [sealed] = (await payloadEncryption(setting)?.encode([payload(value)], { workflowId })) ?? [];
  return inJson(sealed as Payload);
}
const shown = async (response: Response) => {
  const { payloads } = (await response.json()) as { payloads: { data: string }[] };
  return payloads.map(({ data }) => Buffer.from(data, "base64").toString());
};

describe("an operator", () => {
  it("reads payloads, encrypted or not, and is written down with the workflows, without what was read", async () => {
    const { decode, lines, ready } = await open();
    expect(await ready()).toBe(true);
    const asked = [
      await encrypted({ paymentMethodId: secret }),
      inJson(payload({ plain: true })),
      await encrypted([1, 2], "refund-rfd_1"),
    ];
    const answer = await decode(asked, await bearer());
    expect(answer.status).toBe(200);
    expect(await shown(answer)).toEqual([`{"paymentMethodId":"${secret}"}`, '{"plain":true}', "[1,2]"]);
    const audit = lines.map((line) => JSON.parse(line)).find((line) => line.audit === "payloads decoded");
    expect(audit).toMatchObject({
      who: "account acc_1",
      workflows: ["checkout-chk_1", "refund-rfd_1"],
      payloads: 2,
      namespace: "default",
    });
    expect(lines.join("")).not.toContain(secret);
  });

  it("of the Web UI's single sign-on may too, when the token is made for this and has the role", async () => {
    const { decode } = await open({
      CODEC_OIDC_JWKS_URL: jwksUrl,
      CODEC_OIDC_ISSUER: "https://sso.example",
      CODEC_OIDC_AUDIENCE: "temporal-ui",
      CODEC_OIDC_ROLES_CLAIM: "realm_access.roles",
      CODEC_OIDC_ROLE: "shop-operator",
    });
    const asked = [await encrypted({ a: 1 })];
    const sso = { key: signOnKey, alg: "ES256", typ: "JWT", kid: "sso-1" };
    const claims = { iss: "https://sso.example", aud: "temporal-ui", realm_access: { roles: ["shop-operator"] } };
    expect((await decode(asked, await bearer(claims, sso))).status).toBe(200);
    expect((await decode(asked, await bearer({ ...claims, realm_access: { roles: [] } }, sso))).status).toBe(403);
    expect((await decode(asked, await bearer({ ...claims, realm_access: undefined }, sso))).status).toBe(403);
    expect((await decode(asked, await bearer({ ...claims, aud: "another" }, sso))).status).toBe(401);
    // The shop's operators as well.
    expect((await decode(asked, await bearer())).status).toBe(200);
  });

  it("reads the others when one payload's key was dropped", async () => {
    const { decode, lines } = await open();
    const dropped = await encrypted({ a: 1 }, "checkout-chk_2", `gone:${Buffer.alloc(32, 7).toString("base64")}`);
    const answer = await decode([dropped, await encrypted({ b: 2 })], await bearer());
    const texts = await shown(answer);
    expect(texts[1]).toBe('{"b":2}');
    expect(texts[0]).toBe(Buffer.from(dropped.data, "base64").toString());
    expect(lines.join("")).toContain("not among PAYLOAD_ENCRYPTION_KEYS");
  });
});

describe("nobody else", () => {
  it("reads anything", async () => {
    const { decode, lines } = await open();
    const asked = [await encrypted({ a: secret })];
    const now = Math.floor(Date.now() / 1000);
    const refusals: [Record<string, string>, number, string][] = [
      [{}, 401, "TOKEN_MISSING"],
      [{ authorization: "Bearer nonsense" }, 401, "TOKEN_INVALID"],
      [await bearer({ roles: ["buyer", "organiser"] }), 403, "ROLE_REQUIRED"],
      [await bearer({ roles: "operator" }), 403, "ROLE_REQUIRED"],
      [await bearer({ exp: now - 60 }), 401, "TOKEN_EXPIRED"],
      [await bearer({ aud: "another" }), 401, "TOKEN_INVALID"],
      [await bearer({ iss: "another" }), 401, "TOKEN_INVALID"],
      [await bearer({}, { typ: "ticket+jwt" }), 401, "TOKEN_INVALID"],
      [
        await bearer({}, { key: (await generateKeyPair("EdDSA", { crv: "Ed25519" })).privateKey }),
        401,
        "TOKEN_INVALID",
      ],
      [await bearer({}, { kid: "unknown" }), 401, "TOKEN_INVALID"],
    ];
    for (const [headers, status, code] of refusals) {
      const answer = await decode(asked, headers);
      expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([status, code]);
    }
    expect(lines.filter((line) => line.includes("payloads decoded"))).toEqual([]);
    expect(lines.join("")).not.toMatch(/eyJ/); // no token in the log
  });

  it("may ask for ever", async () => {
    const { decode } = await open({ CODEC_RATE: "3/60" });
    const asked = [await encrypted({ a: 1 })];
    const statuses: number[] = [];
    for (let at = 0; at < 4; at++) statuses.push((await decode(asked, await bearer())).status);
    expect(statuses).toEqual([200, 200, 200, 429]);
    const another = await bearer({ iss: "onsale" });
    expect((await decode(asked, another)).headers.get("retry-after")).toMatch(/^\d+$/);
  });
});

describe("a page", () => {
  it("of the Web UI is answered, another one is not", async () => {
    const { url, decode } = await open();
    const preflight = (from: string) =>
      fetch(`${url}/decode`, {
        method: "OPTIONS",
        headers: {
          origin: from,
          "access-control-request-method": "POST",
          "access-control-request-headers": "authorization,content-type,x-namespace",
        },
      });
    const allowed = await preflight(origin);
    expect([allowed.status, allowed.headers.get("access-control-allow-origin")]).toEqual([204, origin]);
    expect(allowed.headers.get("access-control-allow-headers")).toContain("authorization");
    expect((await preflight("https://evil.example")).headers.get("access-control-allow-origin")).toBeNull();
    const answer = await decode([await encrypted({ a: 1 })], { ...(await bearer()), origin });
    expect(answer.headers.get("access-control-allow-origin")).toBe(origin);
    expect(answer.headers.get("cache-control")).toBe("no-store");
  });
});

describe("a request", () => {
  it.each([
    ["not JSON", "{", 400, "JSON_MALFORMED"],
    ["no payloads", "{}", 400, "REQUEST_INVALID"],
    ["no base64", '{"payloads":[{"data":"%%"}]}', 400, "REQUEST_INVALID"],
    ["far too large", `{"payloads":["${"a".repeat(17 * 1024 * 1024)}"]}`, 413, "BODY_TOO_LARGE"],
  ])("that is %s is refused", async (_, body, status, code) => {
    const { decode } = await open();
    const answer = await decode(body, await bearer());
    expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([status, code]);
  });

  it("to encode is refused: nobody makes payloads in our name", async () => {
    const { url } = await open();
    const answer = await fetch(`${url}/encode`, { method: "POST", headers: await bearer(), body: '{"payloads":[]}' });
    expect(answer.status).toBe(404);
  });
});

describe("the mode for development", () => {
  it("asks for no token, but for this machine", async () => {
    const { decode, lines, url } = await open({ CODEC_OPEN_ON_LOOPBACK: "true", ACCOUNT_ADDRESS: "" });
    expect(await shown(await decode([await encrypted({ a: 1 })]))).toEqual(['{"a":1}']);
    expect(lines.join("")).toContain("anyone on this machine");
    // A page that made a name of its own point here.
    const port = Number(new URL(url).port);
    const status = await new Promise<number>((resolve, reject) => {
      const headers = { host: `evil.example:${port}` };
      request({ host: "127.0.0.1", port, path: "/decode", method: "POST", headers }, (response) =>
        resolve(response.statusCode ?? 0),
      )
        .on("error", reject)
        .end('{"payloads":[]}');
    });
    expect(status).toBe(400);
  });

  it.each([
    [{ CODEC_OPEN_ON_LOOPBACK: "true", CODEC_LISTEN: "0.0.0.0:0" }, /for development: CODEC_LISTEN must be 127.0.0.1/],
    [
      { CODEC_OPEN_ON_LOOPBACK: "true", NODE_ENV: "production", GRPC_SHARED_SECRET: "a-secret-of-sixteen" },
      /for development/,
    ],
    [{ ACCOUNT_ADDRESS: "" }, /Nobody could be admitted: set ACCOUNT_ADDRESS/],
    [{ CODEC_OIDC_JWKS_URL: "https://sso.example/keys" }, /CODEC_OIDC_ISSUER and CODEC_OIDC_AUDIENCE are needed too/],
    [{ PAYLOAD_ENCRYPTION_KEYS: "" }, /PAYLOAD_ENCRYPTION_KEYS/],
    [{ CODEC_RATE: "many" }, /CODEC_RATE: must be requests\/seconds/],
  ])("and other settings that contradict each other are refused: %j", async (env, sentence) => {
    await expect(open(env as unknown as Record<string, string>)).rejects.toThrow(sentence);
  });
});
