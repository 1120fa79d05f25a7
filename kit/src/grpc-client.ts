// A caller's end of gRPC: unary methods as async functions, with a deadline on every call and refusals as DomainErrors.
import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  credentials as channelCredentials,
  Metadata,
} from "@grpc/grpc-js";
import { DomainError } from "./errors.js";
import {
  type Answered,
  type AnyMethod,
  type Asked,
  maxMessageBytes,
  requestIdKey,
  rpcAttributes,
  secretKey,
  traceparentKey,
  type Unary,
} from "./grpc-method.js";
import { refusalFrom } from "./grpc-refusal.js";
import type { Trust } from "./grpc-trust.js";
import { splitAddress } from "./lifecycle.js";
import { beginSpan, currentSpan, endRefused, type Span } from "./tracing.js";

/** What fits in a metadata value; a request id may come from outside, and a strange one is not worth a failed call. */
const printable = /^[\x21-\x7e]{1,200}$/;

export interface CallOptions {
  /** Over the client's default. Always bounded. */
  readonly deadlineMs?: number;
  readonly requestId?: string | undefined;
}

/** A service's unary methods as async functions. */
export type ServiceClient<Definition> = {
  readonly [Name in Unary<Definition>]: (
    request: Asked<Definition[Name]>,
    options?: CallOptions,
  ) => Promise<Answered<Definition[Name]>>;
} & { close(): void; ready(deadlineMs: number): Promise<void> };

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

function credentialsFor({ tls }: Trust): ChannelCredentials {
  return tls ? channelCredentials.createSsl(tls.ca, tls.key, tls.cert) : channelCredentials.createInsecure();
}
