// Temporal behind TLS: certificates of both sides, an API key, and what is said when one of them is wrong.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createSecureServer } from "node:http2";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type TlsOptions } from "node:tls";
import { freePort } from "@onsale/backing/ports";
import { createLogger } from "@onsale/kit/log";
import { temporalConnection, temporalConnectionProblem } from "@onsale/kit/temporal";
import { Connection } from "@temporalio/client";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { openStage, pay, type Stage, until } from "./stage.js";

interface Pair {
  readonly certificate: string;
  readonly key: string;
}
const { makeAuthority, makeCertificate } = (await import(
  new URL("../../tools/kube/jobs/x509.mjs", import.meta.url).href
)) as {
  makeAuthority(name: string, days: number): Pair;
  makeCertificate(authority: Pair, name: string, dns: string[], days: number): Pair;
};
const authority = makeAuthority("temporal's", 10);
const server = makeCertificate(authority, "temporal", ["temporal.test"], 10);
const client = makeCertificate(authority, "onsale", ["onsale.test"], 10);
const stranger = makeAuthority("somebody else", 10);

const folder = mkdtempSync(join(tmpdir(), "onsale-tls-"));
const file = (name: string, text: string) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
const files = {
  ca: file("ca.pem", authority.certificate),
  strangerCa: file("stranger.pem", stranger.certificate),
  certificate: file("client.pem", client.certificate),
  key: file("client-key.pem", client.key),
};
let stage: Stage;
const closers: (() => unknown)[] = [];

beforeAll(async () => {
  stage = await openStage({ worker: false });
});
afterAll(async () => {
  await stage?.close();
  for (const close of closers.reverse()) await close();
  rmSync(folder, { recursive: true, force: true });
});

/** Temporal with TLS before it; HTTP/2 needs to be agreed on. */
async function behindTls(options: TlsOptions = {}): Promise<string> {
  const [host = "", port = ""] = inject("backing").temporalAddress.split(":");
  const own = { key: server.key, cert: server.certificate };
  const proxy = createServer({ ALPNProtocols: ["h2"], ...own, ...options }, (socket) => {
    const upstream = connectTcp(Number(port), host);
    socket.pipe(upstream).pipe(socket);
    for (const side of [socket, upstream]) {
      side.on("error", () => undefined);
      side.on("close", () => {
        socket.destroy();
        upstream.destroy();
      });
    }
  });
  proxy.on("tlsClientError", () => undefined);
  const listen = await freePort();
  await new Promise<void>((resolve) => proxy.listen(listen, "127.0.0.1", resolve));
  closers.push(() => proxy.close());
  return `127.0.0.1:${listen}`;
}

/**
 * What a worker says of a connection that fails: the first such line, else its last. It says it at every try, and at one or another it can't
 * know: in TLS 1.3 a certificate is refused after the handshake, and the end of the connection may overtake the reason.
 */
async function complaint(env: Record<string, string>, sentence = /./): Promise<string> {
  const { startWorker } = await import("../src/worker.js");
  const lines: string[] = [];
  const log = createLogger("workflows", "warn", { write: (line) => void lines.push(line) });
  const worker = startWorker(
    {
      connection: temporalConnection(env),
      namespace: "default",
      taskQueue: "nobody",
      name: "one",
      maxCachedWorkflows: 1,
      shutdownGraceMs: 1_000,
      reconcileEverySeconds: 0,
      orphansEverySeconds: 0,
      orphansAfterSeconds: 0,
      books: { settledAfterMs: 0 },
      onEnded: () => undefined,
    },
    () => ({}) as never,
    log,
  );
  const said = () => lines.map((line) => (JSON.parse(line) as { msg: string }).msg);
  await until(() => said().some((msg) => sentence.test(msg)) || lines.length >= 5);
  await worker.stop();
  expect(lines.join("")).not.toMatch(/PRIVATE KEY|hunter2/);
  return said().find((msg) => sentence.test(msg)) ?? said().at(-1) ?? "";
}

describe("with certificates of both sides", () => {
  let ours: Record<string, string>;
  beforeAll(async () => {
    ours = {
      TEMPORAL_ADDRESS: await behindTls({ ca: authority.certificate, requestCert: true, rejectUnauthorized: true }),
      TEMPORAL_TLS_CA: files.ca,
      TEMPORAL_TLS_CERT: files.certificate,
      TEMPORAL_TLS_KEY: files.key,
      TEMPORAL_TLS_SERVER_NAME: "temporal.test",
    };
  });

  it("a checkout is started, worked on and paid", async () => {
    const worker = await stage.startWorker(ours);
    const connection = await Connection.connect(temporalConnection(ours));
    await connection.workflowService.describeNamespace({ namespace: "default" });
    await connection.close();
    const handle = await stage.startCheckout(stage.newCheckout());
    expect((await pay(handle)).status).toBe("completed");
    await worker.stop();
  });

  it.each([
    ["no certificate of ours", { TEMPORAL_TLS_CERT: "", TEMPORAL_TLS_KEY: "" }, /wants a certificate of ours/],
    [
      "another authority",
      { TEMPORAL_TLS_CA: files.strangerCa },
      /not signed by an authority that is trusted here: check TEMPORAL_TLS_CA/,
    ],
    [
      "another name",
      { TEMPORAL_TLS_SERVER_NAME: "elsewhere.test" },
      /made out to another name: check TEMPORAL_ADDRESS/,
    ],
  ])("%s is complained about", async (_, change, sentence) => {
    const env = { ...ours, ...change };
    expect(await complaint(env, sentence)).toMatch(sentence);
    // The gateway's and the jobs' client is another one, with words of its own.
    const told = async () => {
      const connection = Connection.lazy({ ...temporalConnection(env), interceptors: [] });
      const failure = await connection
        .withDeadline(Date.now() + 5_000, () => connection.workflowService.getSystemInfo({}))
        .catch((error: unknown) => error);
      await connection.close();
      return temporalConnectionProblem(failure) ?? String(failure);
    };
    await expect.poll(told).toMatch(sentence);
  });
});

it("TLS where there is none is complained about", async () => {
  const env = { TEMPORAL_ADDRESS: inject("backing").temporalAddress, TEMPORAL_TLS: "true", TEMPORAL_TLS_CA: files.ca };
  expect(await complaint(env, /does not speak TLS/)).toMatch(/does not speak TLS there/);
});

it("an API key goes along with every call, within TLS", async () => {
  const seen: string[] = [];
  const http2 = createSecureServer({ key: server.key, cert: server.certificate });
  // As a server that wants keys: whoever has another one is turned away (gRPC's UNAUTHENTICATED).
  http2.on("stream", (stream, headers) => {
    seen.push(String(headers["authorization"]));
    stream.respond(
      { ":status": 200, "content-type": "application/grpc", "grpc-status": "16", "grpc-message": "no" },
      { endStream: true },
    );
  });
  const listen = await freePort();
  await new Promise<void>((resolve) => http2.listen(listen, "127.0.0.1", resolve));
  closers.push(() => http2.close());
  const env = {
    TEMPORAL_ADDRESS: `127.0.0.1:${listen}`,
    TEMPORAL_TLS_CA: files.ca,
    TEMPORAL_TLS_SERVER_NAME: "temporal.test",
    TEMPORAL_API_KEY_FILE: file("api-key", "hunter2-the-api-key\n"),
  };
  await complaint(env); // says nothing of the key
  expect(seen).toContain("Bearer hunter2-the-api-key");
  const ofWorker = seen.length;
  await expect(Connection.connect({ ...temporalConnection(env), connectTimeout: 3_000 })).rejects.toThrow();
  expect(seen.slice(ofWorker)).toContain("Bearer hunter2-the-api-key");
});
