// Watching over gRPC: one request, and messages for as long as the caller stays; the caller's side connects again by itself.
import { type Client, status as Grpc, type Metadata, type ServiceError } from "@grpc/grpc-js";
import { DomainError } from "./errors.js";
import { callMetadata } from "./grpc-client.js";
import { refusalFrom, statusOf } from "./grpc-refusal.js";
import { checkSecret, type Trust } from "./grpc-trust.js";
import type { Logger } from "./log.js";
import type { Metrics } from "./metrics.js";

/** A server-streaming method, as ts-proto defines it. */
export interface WatchMethod<Request, Message> {
  readonly path: string;
  readonly requestStream: false;
  readonly responseStream: true;
  requestSerialize(value: Request): Buffer;
  requestDeserialize(bytes: Buffer): Request;
  responseSerialize(value: Message): Buffer;
  responseDeserialize(bytes: Buffer): Message;
}

// ---- the side that tells

export interface WatchServerSettings {
  readonly trust: Trust;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * The messages for one caller. It is ended (`return`) when the caller has left, and the signal tells it at once. What it
 * throws ends the call: a DomainError as the refusal that it is.
 */
export type WatchHandler<Request, Message> = (request: Request, signal: AbortSignal) => AsyncIterable<Message>;

/** What this needs of grpc-js's ServerWritableStream. */
interface WatchCall {
  readonly request: unknown;
  readonly metadata: Metadata;
  on(event: "cancelled" | "drain" | "error", then: () => void): unknown;
  off(event: "drain", then: () => void): unknown;
  write(message: unknown): boolean;
  end(): void;
  emit(event: "error", error: Partial<ServiceError>): boolean;
}

/** For `serve`: takes no message from the handler while the caller is slow to read. */
export function createWatches({ trust, log, metrics }: WatchServerSettings) {
  const open = metrics.gauge("onsale_rpc_watches", "Callers that are watching now", ["method"]);
  return <Request, Message>(method: WatchMethod<Request, Message>, handler: WatchHandler<Request, Message>) =>
    async (call: WatchCall): Promise<void> => {
      const left = new AbortController();
      call.on("cancelled", () => left.abort());
      call.on("error", () => left.abort());
      open.inc({ method: method.path });
      try {
        checkSecret(trust, call.metadata);
        for await (const message of handler(call.request as Request, left.signal)) {
          if (left.signal.aborted) break;
          if (!call.write(message)) await drained(call, left.signal);
        }
        if (!left.signal.aborted) call.end();
      } catch (thrown) {
        if (left.signal.aborted) return;
        const error = DomainError.from(thrown);
        if (error.code === "INTERNAL") log.error({ err: thrown, method: method.path }, "a bug: a watch failed");
        call.emit("error", statusOf(error));
      } finally {
        open.dec({ method: method.path });
      }
    };
}

function drained(call: WatchCall, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      call.off("drain", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    call.on("drain", done);
    signal.addEventListener("abort", done);
  });
}

// ---- the side that listens

export interface WatchSettings<Request, Message> {
  readonly channel: Client;
  readonly trust: Trust;
  readonly method: WatchMethod<Request, Message>;
  /** Asked anew for each connection: where to go on from. */
  readonly request: () => Request;
  readonly heard: (message: Message) => void;
  /** The line is broken, and another is being made; or, when trying again is of no use, that was it. */
  readonly lost: (why: DomainError, again: boolean) => void;
  /** A line on which nothing was heard for so long counts as broken. */
  readonly silenceMs: number;
}

export interface Watch {
  /** Nothing is heard after this. */
  stop(): void;
}

const firstPauseMs = 100;
const longestPauseMs = 2_000;

export function watch<Request, Message>(settings: WatchSettings<Request, Message>): Watch {
  const { channel, trust, method, request, heard, lost, silenceMs } = settings;
  let stopped = false;
  let pauseMs = firstPauseMs;
  let timer: NodeJS.Timeout | undefined;
  let cancel: (() => void) | undefined;

  function begin(): void {
    let over = false;
    const call = channel.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request(),
      callMetadata(trust, undefined),
    );
    const listen = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        end(new DomainError("UNAVAILABLE", `Nothing was heard from ${method.path} for ${silenceMs / 1000} s.`));
        call.cancel();
      }, silenceMs);
      timer.unref();
    };
    const end = (why: DomainError) => {
      if (over || stopped) return;
      over = true;
      clearTimeout(timer);
      const again = why.refusal.retryable || why.code === "INTERNAL";
      if (again) {
        // At random, so that all who lost the same server don't come back in the same moment.
        timer = setTimeout(begin, pauseMs * (0.5 + Math.random()));
        timer.unref();
        pauseMs = Math.min(pauseMs * 2, longestPauseMs);
      }
      lost(why, again);
    };
    cancel = () => {
      over = true;
      call.cancel();
    };
    call.on("data", (message: Message) => {
      if (over || stopped) return;
      pauseMs = firstPauseMs;
      listen();
      heard(message);
    });
    call.on("end", () => end(new DomainError("UNAVAILABLE", `${method.path} has ended.`)));
    call.on("error", (error: ServiceError) => {
      // A peer that is being set up wrongly may be set right; one that refuses will refuse again.
      const passing = error.code === Grpc.UNAUTHENTICATED || error.code === Grpc.UNIMPLEMENTED;
      const why = refusalFrom(error, method.path);
      end(passing ? new DomainError("UNAVAILABLE", why.message, {}, why) : why);
    });
    listen();
  }
  begin();

  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
      cancel?.();
    },
  };
}
