// gRPC as the services use it: promises in and out, a deadline on every call, one error table, health, mutual trust.
import { createHash, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  credentials as channelCredentials,
  status as Grpc,
  Metadata,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type ServiceError,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import type { Histogram } from "prom-client";
import { DomainError, isRefusalCode, type RefusalDetails, refusals } from "./errors.js";
import { splitAddress } from "./lifecycle.js";
import type { Logger } from "./log.js";
import type { Metrics } from "./metrics.js";
import { beginSpan, continueSpan, currentSpan, endRefused, type Span, tracing, within } from "./tracing.js";

const codeKey = "onsale-code";
const detailsKey = "onsale-details-bin";
const secretKey = "onsale-secret";
const requestIdKey = "onsale-request-id";
const traceparentKey = "traceparent";
/** What fits in a metadata value; a request id may come from outside, and a strange one is not worth a failed call. */
const printable = /^[\x21-\x7e]{1,200}$/;
const maxMessageBytes = 16 * 1024 * 1024;

/** How peers know each other; without any of it the channel is open, which suits tests alone. */
export interface Trust {
  readonly sharedSecret?: string | undefined;
  readonly tls?: { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer } | undefined;
}

export function readTrust(config: {
  GRPC_SHARED_SECRET?: string | undefined;
  GRPC_TLS_CA?: string | undefined;
  GRPC_TLS_CERT?: string | undefined;
  GRPC_TLS_KEY?: string | undefined;
  NODE_ENV: string;
}): Trust {
  const { GRPC_TLS_CA: ca, GRPC_TLS_CERT: cert, GRPC_TLS_KEY: key, GRPC_SHARED_SECRET: sharedSecret } = config;
  const given = [ca, cert, key].filter((file) => file !== undefined);
  if (given.length !== 0 && given.length !== 3)
    throw new Error("Mutual TLS needs all of GRPC_TLS_CA, GRPC_TLS_CERT and GRPC_TLS_KEY.");
  if (config.NODE_ENV === "production" && !sharedSecret && given.length === 0)
    throw new Error("In production, services must know each other: set GRPC_TLS_CA/CERT/KEY or GRPC_SHARED_SECRET.");
  const tls =
    ca && cert && key ? { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) } : undefined;
  return { sharedSecret, tls };
}

// ---- types: what ts-proto's definitions carry

interface Method<Request, Response> {
  path: string;
  requestStream: false;
  responseStream: false;
  requestSerialize(value: Request): Buffer;
  requestDeserialize(bytes: Buffer): Request;
  responseSerialize(value: Response): Buffer;
  responseDeserialize(bytes: Buffer): Response;
}
// biome-ignore lint/suspicious/noExplicitAny: a definition's methods differ in their messages; inference below restores each
type AnyMethod = Method<any, any>;
type Unary<Definition> = {
  [Name in keyof Definition]: Definition[Name] extends AnyMethod ? Name : never;
}[keyof Definition];
type Asked<M> = M extends { requestSerialize(value: infer Request): Buffer } ? Request : never;
type Answered<M> = M extends { responseDeserialize(bytes: Buffer): infer Response } ? Response : never;

export interface CallOptions {
  /** Over the client's default. Always bounded. */
  readonly deadlineMs?: number;
  readonly requestId?: string | undefined;
}
export interface CallContext {
  readonly requestId: string | undefined;
  /** Epoch milliseconds by which the caller stops waiting. */
  readonly deadline: number;
  /** Aborted when the caller gives up. */
  readonly signal: AbortSignal;
}

/** A service's unary methods as async functions. */
export type ServiceClient<Definition> = {
  readonly [Name in Unary<Definition>]: (
    request: Asked<Definition[Name]>,
    options?: CallOptions,
  ) => Promise<Answered<Definition[Name]>>;
} & { close(): void; ready(deadlineMs: number): Promise<void> };

/** What a service implements. Throw DomainError to refuse. */
export type ServiceHandlers<Definition> = {
  readonly [Name in Unary<Definition>]: (
    request: Asked<Definition[Name]>,
    context: CallContext,
  ) => Promise<Answered<Definition[Name]>>;
};

// ---- client

export interface ClientSettings {
  /** host:port, or any target that grpc-js resolves (dns:///…). */
  readonly address: string;
  readonly trust: Trust;
  /** For calls that name none. Milliseconds. */
  readonly deadlineMs?: number;
}

export interface ChannelSettings extends Pick<ClientSettings, "address" | "trust"> {
  /** Whose certificate is expected there, when it is not the address's. */
  readonly name?: string;
  /** A connection of its own, as old as the channel; otherwise channels to one address share what is there. */
  readonly ownConnection?: boolean;
  /** How often a connection in use is asked whether it still lives. Milliseconds. */
  readonly keepaliveMs?: number;
}

/** The line that calls of every kind are made on. */
export function openChannel({
  address,
  trust,
  name = address,
  ownConnection = false,
  keepaliveMs = 30_000,
}: ChannelSettings): Client {
  const options: ChannelOptions = {
    "grpc.use_local_subchannel_pool": ownConnection ? 1 : 0,
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.max_send_message_length": maxMessageBytes,
    "grpc.keepalive_time_ms": keepaliveMs,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 2_000,
    // A name stands for several processes, which come and go: half a minute with the old addresses would be felt.
    "grpc.dns_min_time_between_resolutions_ms": 3_000,
    "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
  };
  if (name !== address) {
    options["grpc.ssl_target_name_override"] = splitAddress(name)[0];
    options["grpc.default_authority"] = name;
  }
  // grpc-js knows no list of names, but one of numbers.
  const target = address.includes(",") ? `ipv4:${address}` : address;
  return new Client(target, credentialsFor(trust), options);
}

/** What goes along with every call. */
export function callMetadata(
  { sharedSecret }: Trust,
  requestId: string | undefined,
  span: Span | undefined = currentSpan(),
): Metadata {
  const metadata = new Metadata();
  if (span) metadata.set(traceparentKey, span.traceparent);
  if (sharedSecret) metadata.set(secretKey, sharedSecret);
  if (requestId && printable.test(requestId)) metadata.set(requestIdKey, requestId);
  return metadata;
}

export function connect<Definition extends object>(
  definition: Definition,
  settings: ClientSettings,
): ServiceClient<Definition> {
  const client = openChannel(settings);
  const calls: Record<string, unknown> = {
    close: () => client.close(),
    ready: (deadlineMs: number) =>
      new Promise<void>((resolve, reject) =>
        client.waitForReady(Date.now() + deadlineMs, (error) =>
          error ? reject(new DomainError("UNAVAILABLE", `${settings.address} does not answer.`, {}, error)) : resolve(),
        ),
      ),
  };
  for (const [name, method] of Object.entries(definition as Record<string, AnyMethod>)) {
    if (method.requestStream || method.responseStream) continue;
    calls[name] = (request: unknown, { deadlineMs, requestId }: CallOptions = {}) =>
      new Promise((resolve, reject) => {
        const span = rpcSpan(method.path);
        const metadata = callMetadata(settings.trust, requestId, span);
        client.makeUnaryRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize,
          request,
          metadata,
          { deadline: Date.now() + (deadlineMs ?? settings.deadlineMs ?? 5_000) },
          (error, response) => {
            if (!error) {
              span?.end();
              return resolve(response);
            }
            const refusal = refusalFrom(error, method.path);
            endRefused(span, refusal);
            reject(refusal);
          },
        );
      });
  }
  return calls as ServiceClient<Definition>;
}

/** The span of a call to another process, if anybody traces it. */
export const rpcSpan = (path: string): Span | undefined =>
  beginSpan(path.slice(1), { kind: "client", attributes: rpcAttributes(path) });

/** The same call, seen by who answers it. */
export const answerSpan = (path: string, traceparent: string | undefined): Span | undefined =>
  continueSpan(traceparent, path.slice(1), { kind: "server", attributes: rpcAttributes(path) });

const rpcAttributes = (path: string) => ({ "rpc.system.name": "grpc", "rpc.method": path.slice(1) });

function credentialsFor({ tls }: Trust): ChannelCredentials {
  return tls ? channelCredentials.createSsl(tls.ca, tls.key, tls.cert) : channelCredentials.createInsecure();
}

/** A gRPC failure as the DomainError that the other side threw, or the nearest truth about the connection. */
export function refusalFrom(error: ServiceError, path: string): DomainError {
  const code = error.metadata?.get(codeKey)[0]?.toString();
  if (code && isRefusalCode(code)) {
    return new DomainError(code, error.details, detailsFrom(error.metadata), error);
  }
  if (error.code === Grpc.DEADLINE_EXCEEDED)
    return new DomainError(
      "DEADLINE_EXCEEDED",
      `${path} did not answer in time; whether it took effect is unknown.`,
      {},
      error,
    );
  if (error.code === Grpc.UNAVAILABLE || error.code === Grpc.CANCELLED)
    return new DomainError("UNAVAILABLE", `${path} can't be reached right now. Please try again.`, {}, error);
  if (error.code === Grpc.UNAUTHENTICATED)
    return new DomainError(
      "PEER_UNAUTHENTICATED",
      `${path} did not accept this caller: check the shared secret or certificates.`,
      {},
      error,
    );
  return new DomainError("INTERNAL", `${path} failed.`, {}, error);
}

/** A refusal without its details is still the refusal. */
function detailsFrom(metadata: Metadata): RefusalDetails {
  try {
    const packed = metadata.get(detailsKey)[0];
    return packed ? (JSON.parse(packed.toString()) as RefusalDetails) : {};
  } catch {
    return {};
  }
}

// ---- server

export interface GrpcServerSettings {
  readonly listen: string;
  readonly trust: Trust;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Off in production. */
  readonly reflection?: boolean;
  /** Where health is answered to anyone, in the clear, besides `listen`: a kubelet that asks has no certificate. */
  readonly healthListen?: string | undefined;
  /** A caller is asked to come on a new connection after so long, and so finds processes that were added meanwhile. */
  readonly longestConnectionMs?: number;
}

/** Give or take a tenth, which grpc-js adds at random. */
export const longestConnectionMs = 120_000;

export interface GrpcServer {
  /** Streaming methods come as grpc-watch.ts and grpc-stream.ts make them. */
  serve<Definition extends object>(
    definition: Definition,
    handlers: ServiceHandlers<Definition>,
    streaming?: UntypedServiceImplementation,
  ): void;
  /** Binds and answers health checks with SERVING; the port that was bound. */
  start(): Promise<number>;
  /** NOT_SERVING, then waits for calls in flight, then cuts what is left. */
  stop(graceMs: number): Promise<void>;
}

export function createGrpcServer({
  listen,
  trust,
  log,
  metrics,
  reflection,
  healthListen,
  longestConnectionMs: connectionMs = longestConnectionMs,
}: GrpcServerSettings): GrpcServer {
  const server = new Server({
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.max_send_message_length": maxMessageBytes,
    "grpc.max_connection_age_ms": connectionMs,
  });
  const health = new HealthImplementation({ "": "NOT_SERVING" });
  health.addToServer(server);
  const probes = healthListen === undefined ? undefined : new Server();
  if (probes) health.addToServer(probes);
  const seconds = rpcSeconds(metrics);
  const names: string[] = [];
  let inFlight = 0;

  function handle(method: AnyMethod, handler: (request: never, context: CallContext) => Promise<unknown>) {
    interface Asking {
      request: unknown;
      metadata: Metadata;
      getDeadline(): Date | number;
      on(event: "cancelled", then: () => void): void;
    }
    type Callback = (error: Partial<ServiceError> | null, response?: unknown) => void;
    async function answer(call: Asking, callback: Callback, span?: Span): Promise<void> {
      const end = seconds.startTimer({ method: method.path });
      inFlight += 1;
      const requestId = call.metadata.get(requestIdKey)[0]?.toString();
      try {
        checkSecret(trust, call.metadata);
        const aborted = new AbortController();
        call.on("cancelled", () => aborted.abort());
        const context = { requestId, deadline: Number(call.getDeadline()), signal: aborted.signal };
        const response = await handler(call.request as never, context);
        end({ code: "OK" });
        span?.end();
        callback(null, response);
      } catch (thrown) {
        const error = DomainError.from(thrown);
        end({ code: error.code });
        if (error.code === "INTERNAL")
          log.error({ err: thrown, method: method.path, requestId }, "a bug: an RPC failed");
        else log.debug({ code: error.code, method: method.path, requestId }, "refused");
        endRefused(span, error);
        callback(statusOf(error));
      } finally {
        inFlight -= 1;
      }
    }
    return (call: Asking, callback: Callback) => {
      const span = tracing() ? answerSpan(method.path, call.metadata.get(traceparentKey)[0]?.toString()) : undefined;
      return span ? within(span, () => answer(call, callback, span)) : answer(call, callback);
    };
  }

  return {
    serve(definition, handlers, streaming = {}) {
      const implementation: UntypedServiceImplementation = { ...streaming };
      for (const [name, method] of Object.entries(definition as Record<string, AnyMethod>)) {
        if (method.requestStream || method.responseStream) continue;
        const handler = (handlers as Record<string, (request: never, context: CallContext) => Promise<unknown>>)[name];
        if (handler) implementation[name] = handle(method, handler) as UntypedServiceImplementation[string];
      }
      const first = Object.values(definition as Record<string, AnyMethod>)[0];
      if (first) names.push(first.path.split("/")[1] ?? "");
      server.addService(definition as ServiceDefinition, implementation);
    },
    async start() {
      if (reflection) await addReflection(server, names);
      const credentials = trust.tls
        ? ServerCredentials.createSsl(trust.tls.ca, [{ private_key: trust.tls.key, cert_chain: trust.tls.cert }], true)
        : ServerCredentials.createInsecure();
      const bind = (to: Server, address: string, how: ServerCredentials) =>
        new Promise<number>((resolve, reject) =>
          to.bindAsync(address, how, (error, bound) => (error ? reject(error) : resolve(bound))),
        );
      const port = await bind(server, listen, credentials);
      if (probes && healthListen) await bind(probes, healthListen, ServerCredentials.createInsecure());
      for (const name of ["", ...names]) health.setStatus(name, "SERVING");
      return port;
    },
    async stop(graceMs) {
      for (const name of ["", ...names]) health.setStatus(name, "NOT_SERVING");
      let drained = false;
      server.tryShutdown(() => {
        drained = true;
      });
      // A peer that watches our health keeps its stream open for ever: what counts is that no call has been in flight for
      // a moment, long enough for the last answers to leave.
      const giveUpAt = Date.now() + graceMs;
      for (let quiet = 0; !drained && quiet < 5 && Date.now() < giveUpAt; quiet = inFlight === 0 ? quiet + 1 : 0)
        await sleep(20);
      if (!drained) server.forceShutdown();
      probes?.forceShutdown();
    },
  };
}

type RpcLabels = "method" | "code";

/** One for all servers of a process, whatever the kind of call. */
export function rpcSeconds(metrics: Metrics): Histogram<RpcLabels> {
  const name = "onsale_rpc_seconds";
  const known = metrics.registry.getSingleMetric(name) as Histogram<RpcLabels> | undefined;
  return known ?? metrics.histogram<RpcLabels>(name, "Time to answer an RPC, by outcome", ["method", "code"]);
}

/** Lets grpcurl and the like list the methods. The proto files lie beside the compiled package. */
async function addReflection(server: Server, names: readonly string[]): Promise<void> {
  const [{ ReflectionService }, { loadSync }] = await Promise.all([
    import("@grpc/reflection"),
    import("@grpc/proto-loader"),
  ]);
  const root = fileURLToPath(new URL("../../proto/", import.meta.url));
  const files = names.map((name) => name.split(".").slice(0, -1).join("/"));
  const { readdirSync } = await import("node:fs");
  const protos = [...new Set(files)].flatMap((folder) =>
    readdirSync(`${root}${folder}`)
      .filter((file) => file.endsWith(".proto"))
      .map((file) => `${folder}/${file}`),
  );
  new ReflectionService(loadSync(protos, { includeDirs: [root] })).addToServer(server);
}

/** Refusal: PEER_UNAUTHENTICATED. */
export function checkSecret({ sharedSecret }: Trust, metadata: Metadata): void {
  if (!sharedSecret) return;
  const given = metadata.get(secretKey)[0]?.toString() ?? "";
  const hash = (text: string) => createHash("sha256").update(text).digest();
  if (!timingSafeEqual(hash(given), hash(sharedSecret)))
    throw new DomainError("PEER_UNAUTHENTICATED", "The caller does not have this installation's shared secret.");
}

// Trailers are HTTP/2 headers: of bounded size, and only of well-formed text. What does not fit must not turn a refusal
// into a broken call.
const longestMessage = 2_000;
const mostDetailBytes = 40_000;

/** How a call ends that is refused. */
export function statusOf(error: DomainError): Partial<ServiceError> {
  const metadata = new Metadata();
  metadata.set(codeKey, error.code);
  const details = packed(error.details);
  if (details.length > 2 && details.length <= mostDetailBytes) metadata.set(detailsKey, details);
  // By way of bytes: half of a surrogate pair, from a text cut in the middle, becomes U+FFFD.
  const message = Buffer.from(error.message.slice(0, longestMessage)).toString();
  return { code: refusals[error.code].grpc, details: message, metadata };
}

function packed(details: RefusalDetails): Buffer {
  try {
    return Buffer.from(JSON.stringify(details));
  } catch {
    return Buffer.alloc(0); // not JSON after all: a bug, but no reason to lose the refusal
  }
}
