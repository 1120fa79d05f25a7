// A service's end of gRPC: async functions as methods, health, reflection, an end that waits for the calls in flight.
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type ServiceError,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import { DomainError } from "./errors.js";
import {
  type Answered,
  type AnyMethod,
  type Asked,
  maxMessageBytes,
  requestIdKey,
  rpcAttributes,
  traceparentKey,
  type Unary,
} from "./grpc-method.js";
import { statusOf } from "./grpc-refusal.js";
import { checkSecret, type Trust } from "./grpc-trust.js";
import type { Logger } from "./log.js";
import type { Histogram, Metrics } from "./metrics.js";
import { continueSpan, endRefused, type Span, tracing, within } from "./tracing.js";

export interface CallContext {
  readonly requestId: string | undefined;
  /** Epoch milliseconds by which the caller stops waiting. */
  readonly deadline: number;
  /** Aborted when the caller gives up. */
  readonly signal: AbortSignal;
}

/** What a service implements. Throw DomainError to refuse. */
export type ServiceHandlers<Definition> = {
  readonly [Name in Unary<Definition>]: (
    request: Asked<Definition[Name]>,
    context: CallContext,
  ) => Promise<Answered<Definition[Name]>>;
};

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

/** The span of a call from another process, in the trace of who asks. */
export const answerSpan = (path: string, traceparent: string | undefined): Span | undefined =>
  continueSpan(traceparent, path.slice(1), { kind: "server", attributes: rpcAttributes(path) });

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
