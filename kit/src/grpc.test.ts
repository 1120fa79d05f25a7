// gRPC between two ends in one process: refusals, deadlines, trust, health, reflection and draining.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Writable } from "node:stream";
import { Client, credentials, loadPackageDefinition, type ServiceDefinition, type ServiceError } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { protoPath } from "grpc-health-check";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { DomainError } from "./errors.js";
import { connect } from "./grpc-client.js";
import { type CallContext, createGrpcServer, type GrpcServer, type ServiceHandlers } from "./grpc-server.js";
import type { Trust } from "./grpc-trust.js";
import { createLogger } from "./log.js";
import { createMetrics } from "./metrics.js";

// A definition as ts-proto makes it, its messages JSON. Named like a real service, so that reflection finds its file.
const method = <Request, Response>(name: string) => ({
  path: `/onsale.account.v1.AccountService/${name}`,
  requestStream: false as const,
  responseStream: false as const,
  requestSerialize: (value: Request) => Buffer.from(JSON.stringify(value)),
  requestDeserialize: (bytes: Buffer) => JSON.parse(bytes.toString()) as Request,
  responseSerialize: (value: Response) => Buffer.from(JSON.stringify(value)),
  responseDeserialize: (bytes: Buffer) => JSON.parse(bytes.toString()) as Response,
});
const definition = {
  echo: method<{ text: string }, { text: string }>("Echo"),
  act: method<Record<string, never>, { done: boolean }>("Act"),
};
type Handlers = ServiceHandlers<typeof definition>;
type Act = (context: CallContext) => Promise<{ done: boolean }>;

const secret = "a shared secret of the tests";
const running: GrpcServer[] = [];
const clients: { close(): void }[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const server of running.splice(0)) await server.stop(0);
});

async function serve(
  act: Act = async () => ({ done: true }),
  options: { trust?: Trust; reflection?: boolean; healthListen?: string } = {},
) {
  const logged: string[] = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      logged.push(String(chunk));
      done();
    },
  });
  const metrics = createMetrics("tested");
  const server = createGrpcServer({
    listen: "127.0.0.1:0",
    trust: options.trust ?? {},
    log: createLogger("tested", "debug", sink),
    metrics,
    reflection: options.reflection ?? false,
    healthListen: options.healthListen,
  });
  const handlers: Handlers = { echo: async ({ text }) => ({ text }), act: (_, context) => act(context) };
  server.serve(definition, handlers);
  running.push(server);
  return { port: await server.start(), server, logged, metrics };
}

function callers(port: number, trust: Trust = {}, deadlineMs = 5_000) {
  const client = connect(definition, { address: `127.0.0.1:${port}`, trust, deadlineMs });
  clients.push(client);
  return client;
}

async function refused(call: Promise<unknown>): Promise<DomainError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof DomainError) return error;
    throw error;
  }
  throw new Error("expected a refusal, and there was none");
}

const soon = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe("a call", () => {
  test("goes there and back", async () => {
    const { port, metrics } = await serve();
    for (const text of ["", "zoë 💺\u0000", "x".repeat(8 * 1024 * 1024)])
      expect(await callers(port).echo({ text })).toEqual({ text });
    const shown = await metrics.registry.metrics();
    expect(shown).toContain('method="/onsale.account.v1.AccountService/Echo",code="OK"} 3');
  });

  test("brings its request id and deadline along", async () => {
    const seen: CallContext[] = [];
    const { port } = await serve(async (context) => {
      seen.push(context);
      return { done: true };
    });
    const client = callers(port, {}, 4_000);
    await client.act({}, { requestId: "req-1" });
    await client.act({}, { deadlineMs: 9_000 });
    expect(seen.map(({ requestId }) => requestId)).toEqual(["req-1", undefined]);
    for (const [at, ms] of [4_000, 9_000].entries()) {
      expect(seen[at]!.deadline - Date.now()).toBeGreaterThan(ms - 2_000);
      expect(seen[at]!.deadline - Date.now()).toBeLessThanOrEqual(ms + 50);
    }
  });

  test.each(["zoë", "a\nb", "a\u0000b", "x".repeat(10_000), ""])(
    "works with a strange request id, case %#",
    async (requestId) => {
      const { port } = await serve();
      expect(await callers(port).act({}, { requestId })).toEqual({ done: true });
    },
  );

  test("ends at its deadline, and tells the other side to stop", async () => {
    let stopped = false;
    const { port } = await serve(async ({ signal }) => {
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      stopped = true;
      return { done: true };
    });
    const from = performance.now();
    const error = await refused(callers(port).act({}, { deadlineMs: 200 }));
    expect(performance.now() - from).toBeLessThan(1_500);
    expect(error.code).toBe("DEADLINE_EXCEEDED");
    expect(error.message).toMatch(/unknown/);
    await soon(100);
    expect(stopped).toBe(true);
  });

  test("says UNAVAILABLE when nobody is there", async () => {
    const { port, server } = await serve();
    await server.stop(0);
    const error = await refused(callers(port).act({}, { deadlineMs: 3_000 }));
    expect(["UNAVAILABLE", "DEADLINE_EXCEEDED"]).toContain(error.code);
    expect(error.refusal.retryable).toBe(true);
    expect((await refused(callers(port).ready(300))).code).toBe("UNAVAILABLE");
  });

  test("finds a server that comes back at the same port", async () => {
    const { port, server } = await serve();
    const client = callers(port);
    await client.act({});
    await server.stop(0);
    await refused(client.act({}, { deadlineMs: 500 }));
    const again = createGrpcServer({
      listen: `127.0.0.1:${port}`,
      trust: {},
      log: createLogger("tested", "silent"),
      metrics: createMetrics("tested"),
    });
    again.serve(definition, { echo: async ({ text }) => ({ text }), act: async () => ({ done: true }) });
    running.push(again);
    await again.start();
    await client.ready(5_000);
    expect(await client.act({})).toEqual({ done: true });
  });
});

describe("a refusal", () => {
  const refuse = (error: unknown) => serve(() => Promise.reject(error));

  test("arrives with its code, words and details", async () => {
    const message = "Zoë's seats are gone: 100 % taken\n(both)";
    const details = { seats: ["A-1", "Ä-2 💺"], retryAfterSeconds: 3 };
    const { port } = await refuse(new DomainError("SEAT_TAKEN", message, details, new Error("hunter2")));
    const error = await refused(callers(port).act({}));
    expect([error.code, error.message, error.details]).toEqual(["SEAT_TAKEN", message, details]);
  });

  test("arrives with the details of a thousand seats", async () => {
    const seats = Array.from({ length: 1_000 }, (_, at) => `section-north-row-${at % 40}-seat-${at}`);
    const { port } = await refuse(new DomainError("SEAT_TAKEN", "Gone.", { seats }));
    const error = await refused(callers(port).act({}));
    expect([error.code, error.details]).toEqual(["SEAT_TAKEN", { seats }]);
  });

  test("arrives although its words can't be written down exactly", async () => {
    const { port } = await refuse(new DomainError("SEAT_TAKEN", "half a character: \ud83d", { seat: "\ud83d" }));
    const error = await refused(callers(port).act({}));
    expect([error.code, error.message]).toEqual(["SEAT_TAKEN", "half a character: \ufffd"]);
  });

  test("arrives although its details are no JSON", async () => {
    const { port } = await refuse(new DomainError("SEAT_TAKEN", "Gone.", { count: 1n }));
    const error = await refused(callers(port).act({}));
    expect([error.code, error.details]).toEqual(["SEAT_TAKEN", {}]);
  });

  test("arrives, shortened, when there is too much of it", async () => {
    const words = "very ".repeat(200_000);
    const { port } = await refuse(new DomainError("SEAT_TAKEN", words, { seats: Array(20_000).fill("A-1") }));
    const error = await refused(callers(port).act({}));
    expect([error.code, error.message, error.details]).toEqual(["SEAT_TAKEN", words.slice(0, 2_000), {}]);
  });

  test("of a bug is INTERNAL outside, and has its cause in the log only", async () => {
    const { port, logged } = await refuse(new TypeError("hunter2 is not a function"));
    const error = await refused(callers(port).act({}, { requestId: "req-7" }));
    expect(error.code).toBe("INTERNAL");
    const wire = error.cause as ServiceError;
    expect(JSON.stringify([error.message, error.details, wire.details, wire.metadata.toJSON()])).not.toContain(
      "hunter2",
    );
    const line = logged.map((text) => JSON.parse(text)).find(({ level }) => level === "error");
    expect(line).toMatchObject({
      requestId: "req-7",
      err: { type: "TypeError", message: "hunter2 is not a function" },
    });
  });

  test("is counted under its code", async () => {
    const { port, metrics } = await refuse(new DomainError("SEAT_TAKEN", "Gone."));
    await refused(callers(port).act({}));
    expect(await metrics.registry.metrics()).toMatch(/code="SEAT_TAKEN"[^}]*} 1/);
  });

  test("of a message that can't be read is INTERNAL, and the server lives", async () => {
    const { port } = await serve();
    const raw = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
    clients.push(raw);
    const error = await new Promise<ServiceError | null>((resolve) =>
      raw.makeUnaryRequest(
        definition.echo.path,
        (text: string) => Buffer.from(text),
        (bytes) => bytes,
        "not JSON",
        resolve,
      ),
    );
    expect(error?.code).toBeGreaterThan(0);
    expect(await callers(port).echo({ text: "still here" })).toEqual({ text: "still here" });
  });
});

describe("a shared secret", () => {
  test("lets in who has it, and nobody else", async () => {
    let acts = 0;
    const act: Act = async () => {
      acts += 1;
      return { done: true };
    };
    const { port } = await serve(act, { trust: { sharedSecret: secret } });
    expect(await callers(port, { sharedSecret: secret }).act({})).toEqual({ done: true });
    for (const sharedSecret of [undefined, "another shared secret", `${secret}x`, secret.slice(1)]) {
      const error = await refused(callers(port, { sharedSecret }).act({}));
      expect(error.code).toBe("PEER_UNAUTHENTICATED");
      expect(error.message).not.toContain(secret);
    }
    expect(acts).toBe(1);
  });
});

describe("mutual TLS", () => {
  const folder = mkdtempSync(join(tmpdir(), "onsale-kit-tls-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const hasOpenssl = (() => {
    try {
      execFileSync("openssl", ["version"]);
      return true;
    } catch {
      return false;
    }
  })();
  let ours: NonNullable<Trust["tls"]>;
  let foreign: NonNullable<Trust["tls"]>;

  beforeAll(() => {
    if (!hasOpenssl) return;
    ours = authority("ours");
    foreign = authority("foreign");
  });

  /** A certificate authority and one certificate by it, for both ends. */
  function authority(name: string) {
    const at = (file: string) => join(folder, `${name}-${file}`);
    const openssl = (...args: string[]) => execFileSync("openssl", args, { stdio: "pipe" });
    const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    openssl(
      "req",
      "-x509",
      ...newKey,
      "-keyout",
      at("ca.key"),
      "-out",
      at("ca.pem"),
      "-subj",
      `/CN=${name}`,
      "-days",
      "2",
    );
    openssl("req", ...newKey, "-keyout", at("key.pem"), "-out", at("csr.pem"), "-subj", "/CN=service");
    writeFileSync(at("ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
    const signing = [
      "-CA",
      at("ca.pem"),
      "-CAkey",
      at("ca.key"),
      "-CAcreateserial",
      "-extfile",
      at("ext"),
      "-days",
      "2",
    ];
    openssl("x509", "-req", "-in", at("csr.pem"), ...signing, "-out", at("cert.pem"));
    return { ca: readFileSync(at("ca.pem")), cert: readFileSync(at("cert.pem")), key: readFileSync(at("key.pem")) };
  }

  test.skipIf(!hasOpenssl)("lets in who has a certificate of our authority (skipped without openssl)", async () => {
    const { port } = await serve(undefined, { trust: { tls: ours } });
    expect(await callers(port, { tls: ours }).echo({ text: "x" })).toEqual({ text: "x" });
  });

  test.skipIf(!hasOpenssl)("lets in nobody else (skipped without openssl)", async () => {
    let acts = 0;
    const act: Act = async () => {
      acts += 1;
      return { done: true };
    };
    const { port } = await serve(act, { trust: { tls: ours } });
    const intruders: Trust[] = [
      {},
      { tls: foreign },
      { tls: { ...foreign, ca: ours.ca } }, // believes our server, but has another authority's certificate
      { sharedSecret: secret },
    ];
    for (const trust of intruders) {
      const error = await refused(callers(port, trust).act({}, { deadlineMs: 1_500 }));
      expect(["UNAVAILABLE", "DEADLINE_EXCEEDED"]).toContain(error.code);
    }
    // A client that trusts our authority and shows no certificate at all.
    const bare = new Client(`127.0.0.1:${port}`, credentials.createSsl(ours.ca));
    clients.push(bare);
    const { act: acting } = definition;
    const error = await new Promise<ServiceError | null>((resolve) =>
      bare.makeUnaryRequest(
        acting.path,
        acting.requestSerialize,
        acting.responseDeserialize,
        {},
        { deadline: Date.now() + 1_500 },
        resolve,
      ),
    );
    expect(error).toBeTruthy();
    expect(acts).toBe(0);
  });

  test.skipIf(!hasOpenssl)("and the client believes no other server (skipped without openssl)", async () => {
    const { port } = await serve(undefined, { trust: { tls: foreign } });
    const error = await refused(callers(port, { tls: ours }).act({}, { deadlineMs: 1_500 }));
    expect(["UNAVAILABLE", "DEADLINE_EXCEEDED"]).toContain(error.code);
  });
});

interface Answers {
  [method: string]: (
    request: object,
    answer: (error: ServiceError | null, response: { status: string }) => void,
  ) => { on(event: string, then: (data: never) => void): void };
}
function clientOf(file: string, includeDirs: string[], name: string, port: number): Answers & { close(): void } {
  const loaded = loadSync(file, { includeDirs, keepCase: true, enums: String, defaults: true, oneofs: true });
  let found: unknown = loadPackageDefinition(loaded);
  for (const part of name.split(".")) found = (found as Record<string, unknown>)[part];
  const Service = found as new (address: string, with_: typeof insecure) => Answers & { close(): void };
  const insecure = credentials.createInsecure();
  const client = new Service(`127.0.0.1:${port}`, insecure);
  clients.push(client);
  return client;
}

describe("health", () => {
  const checker = (port: number) => {
    const client = clientOf(protoPath, [dirname(protoPath)], "grpc.health.v1.Health", port);
    return (service: string) =>
      new Promise<string>((resolve) => {
        client["Check"]!({ service }, (error, response) => resolve(error ? `error ${error.code}` : response.status));
      });
  };

  test("is SERVING from the start, for the whole and for the service, without the shared secret", async () => {
    const { port } = await serve(undefined, { trust: { sharedSecret: secret } });
    const check = checker(port);
    expect(await check("")).toBe("SERVING");
    expect(await check("onsale.account.v1.AccountService")).toBe("SERVING");
    expect(await check("onsale.nothing.v1.Nothing")).toBe("error 5");
  });

  test("is also at a port of its own, which serves nothing else", async () => {
    const free = createServer();
    await new Promise<void>((resolve) => free.listen(0, "127.0.0.1", resolve));
    const { port } = free.address() as { port: number };
    await new Promise((resolve) => free.close(resolve));
    const { server } = await serve(undefined, { trust: { sharedSecret: secret }, healthListen: `127.0.0.1:${port}` });
    expect(await checker(port)("")).toBe("SERVING");
    const asked = callers(port, { sharedSecret: secret }).echo({ text: "x" });
    await expect(asked).rejects.toThrow("failed");
    await server.stop(0);
    expect(await checker(port)("")).toMatch(/^error/);
  });

  test("is NOT_SERVING while the server drains", async () => {
    let finish: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const { port, server } = await serve(async () => {
      await held;
      return { done: true };
    });
    const client = clientOf(protoPath, [dirname(protoPath)], "grpc.health.v1.Health", port);
    const statuses: string[] = [];
    const watching = client["Watch"]!({ service: "" }, () => undefined);
    watching.on("data", ({ status }: { status: string }) => statuses.push(status));
    watching.on("error", () => undefined);
    const acting = callers(port).act({});
    while (statuses.length === 0) await soon(10);
    const from = performance.now();
    const stopping = server.stop(4_000);
    await soon(200);
    expect(statuses).toEqual(["SERVING", "NOT_SERVING"]);
    finish();
    expect(await acting).toEqual({ done: true });
    await stopping;
    expect(performance.now() - from, "the watcher does not hold it up").toBeLessThan(2_000);
  });
});

describe("reflection", () => {
  const { resolve } = createRequire(import.meta.url);
  const root = join(dirname(resolve("@grpc/reflection/package.json")), "build/proto");
  const listed = (port: number) =>
    new Promise<string[]>((done) => {
      const name = "grpc.reflection.v1.ServerReflection";
      const client = clientOf(join(root, "grpc/reflection/v1/reflection.proto"), [root], name, port);
      const stream = (client as unknown as Record<string, () => DuplexOf>)["ServerReflectionInfo"]!();
      stream.on("data", (answer) => done(answer.list_services_response?.service.map((each) => each.name) ?? []));
      stream.on("error", (error) => done([`error ${(error as unknown as ServiceError).code}`]));
      stream.write({ list_services: "" });
    });
  interface DuplexOf {
    on(
      event: "data" | "error",
      then: (answer: { list_services_response?: { service: { name: string }[] } }) => void,
    ): void;
    write(request: object): void;
  }

  test("lists the services when it is on", async () => {
    const { port } = await serve(undefined, { reflection: true });
    expect(await listed(port)).toContain("onsale.account.v1.AccountService");
  });

  test("is not there when it is off", async () => {
    const { port } = await serve();
    expect(await listed(port)).toEqual(["error 12"]);
  });
});

describe("stopping", () => {
  test("waits for calls in flight and takes no new ones", async () => {
    let began: () => void = () => undefined;
    const beginning = new Promise<void>((resolve) => {
      began = resolve;
    });
    const { port, server } = await serve(async () => {
      began();
      await soon(300);
      return { done: true };
    });
    const client = callers(port);
    const acting = client.act({});
    await beginning;
    const from = performance.now();
    const stopping = server.stop(5_000);
    await soon(20);
    const late = refused(callers(port).act({}, { deadlineMs: 250 }));
    expect(await acting).toEqual({ done: true });
    await stopping;
    expect(performance.now() - from).toBeLessThan(3_000);
    expect(["UNAVAILABLE", "DEADLINE_EXCEEDED"]).toContain((await late).code);
  });

  test("cuts what takes longer than its grace", async () => {
    const { port, server } = await serve(() => new Promise(() => undefined));
    const acting = refused(callers(port).act({}));
    await soon(100);
    const from = performance.now();
    await server.stop(200);
    expect(performance.now() - from).toBeLessThan(1_500);
    expect((await acting).refusal.retryable).toBe(true);
  });
});

test("every method of a service must have a handler, which the compiler checks; streams are left to others", () => {
  const streaming = { ...definition, watch: { ...definition.echo, path: "/x/Watch", responseStream: true as const } };
  const client = connect(streaming as unknown as typeof definition & ServiceDefinition, {
    address: "127.0.0.1:1",
    trust: {},
  });
  clients.push(client);
  expect(client).not.toHaveProperty("watch");
  expect(client).toHaveProperty("echo");
});
