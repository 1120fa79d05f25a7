// A Temporal of yours behind TLS: everyone that npm start starts speaks TLS to it, with the certificate that was asked for.
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type TLSSocket } from "node:tls";
import { startBacking } from "@onsale/backing/backing";
import { freePort } from "@onsale/backing/ports";
import { MongoClient } from "mongodb";
import { afterAll, beforeAll, expect, inject, it } from "vitest";
import { newSecrets } from "../src/secrets.js";
import { startStack } from "../src/stack.js";

interface Pair {
  readonly certificate: string;
  readonly key: string;
}
const { makeAuthority, makeCertificate } = (await import(
  new URL("../../kube/jobs/x509.mjs", import.meta.url).href
)) as {
  makeAuthority(name: string, days: number): Pair;
  makeCertificate(authority: Pair, name: string, dns: string[], days: number): Pair;
};
const authority = makeAuthority("temporal's", 10);
const server = makeCertificate(authority, "temporal", ["temporal.test"], 10);
const client = makeCertificate(authority, "onsale", ["onsale.test"], 10);

const folder = mkdtempSync(join(tmpdir(), "onsale-tls-"));
const database = `tls-${randomUUID().slice(0, 8)}`;
const accepted = { count: 0 };
let env: Record<string, string | undefined>;
let close: () => void;

beforeAll(async () => {
  const [host = "", port = ""] = inject("backing").temporalAddress.split(":");
  const own = { key: server.key, cert: server.certificate, ca: authority.certificate };
  const wantsClients = { ALPNProtocols: ["h2"], requestCert: true, rejectUnauthorized: true };
  const proxy = createServer({ ...own, ...wantsClients }, (socket: TLSSocket) => {
    accepted.count += 1;
    const upstream = connect(Number(port), host);
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
  close = () => proxy.close();
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  env = {
    PATH: process.env["PATH"],
    REDIS_URL: inject("backing").redisUrl,
    MONGODB_URI: inject("backing").mongodbUri,
    MONGODB_DATABASE: database,
    TEMPORAL_ADDRESS: `127.0.0.1:${listen}`,
    TEMPORAL_TLS_CA: file("ca.pem", authority.certificate),
    TEMPORAL_TLS_CERT: file("client.pem", client.certificate),
    TEMPORAL_TLS_KEY: file("client-key.pem", client.key),
    TEMPORAL_TLS_SERVER_NAME: "temporal.test",
  };
});
afterAll(async () => {
  close?.();
  rmSync(folder, { recursive: true, force: true });
  const mongo = await new MongoClient(inject("backing").mongodbUri).connect();
  await mongo.db(database).dropDatabase();
  await mongo.close();
});

it("is spoken to with the settings that are given, by set-up and by each service", async () => {
  const backing = await startBacking({ env });
  expect(backing.processes).toEqual({});
  const beforeServices = accepted.count;
  expect(beforeServices).toBeGreaterThan(0);
  const settings = { all: { TASK_QUEUE: database, LOG_LEVEL: "warn" } };
  // Waits until each is ready, which the gateway and the worker are once they have reached Temporal.
  const stack = await startStack({
    backing,
    secrets: newSecrets(),
    stripeDataDir: join(folder, "stripe"),
    env,
    settings,
  });
  try {
    expect(accepted.count - beforeServices).toBeGreaterThanOrEqual(2);
  } finally {
    await stack.stop();
    await backing.stop();
  }
});

it("is not spoken to in the clear, and what is wrong is said", async () => {
  const { TEMPORAL_TLS_CA, TEMPORAL_TLS_CERT, TEMPORAL_TLS_KEY, TEMPORAL_TLS_SERVER_NAME, ...inTheClear } = env;
  await expect(startBacking({ env: inTheClear })).rejects.toThrow(
    /^TEMPORAL_ADDRESS is set .* does not answer in the clear/,
  );
  const withoutKey = { ...env, TEMPORAL_TLS_KEY: undefined };
  await expect(startBacking({ env: withoutKey })).rejects.toThrow("needs both TEMPORAL_TLS_CERT and TEMPORAL_TLS_KEY");
  const otherName = { ...env, TEMPORAL_TLS_SERVER_NAME: "somebody-else.test" };
  await expect(startBacking({ env: otherName })).rejects.toThrow(/does not answer with TLS/);
});
