// The answering end of calls over streams: so many at once of each stream, and an end that loses none.
import { Metadata, type ServiceError } from "@grpc/grpc-js";
import { DomainError } from "./errors.js";
import { statusOf } from "./grpc-refusal.js";
import { answerSpan, type CallContext, longestConnectionMs, rpcSeconds } from "./grpc-server.js";
import {
  closedRefusal,
  mostInMessage,
  packRefusal,
  type StreamCall,
  type StreamMethod,
  type StreamReply,
} from "./grpc-stream.js";
import { checkSecret, type Trust } from "./grpc-trust.js";
import type { Logger } from "./log.js";
import type { Metrics } from "./metrics.js";
import { endRefused, within } from "./tracing.js";

export interface StreamServerSettings {
  readonly trust: Trust;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Calls of one stream that are worked on at once; others wait, and are dropped when their callers have left. */
  readonly mostAtOnce?: number;
  /** A caller is asked to come back on a new stream after so long, and so finds processes that were added meanwhile. */
  readonly longestMs?: number;
}

/**
 * Plus up to a fifth at random. A line must have been left before its connection is too old: grpc-js's client cuts a connection
 * that was asked to go, with all that is under way on it, as soon as the next keepalive ping is due.
 */
const longestLineMs = (longestConnectionMs * 2) / 3;

export type StreamHandler<Request, Response> = (request: Request, context: CallContext) => Promise<Response>;

/** What this needs of grpc-js's ServerDuplexStream. */
export interface StreamOfCalls {
  readonly metadata: Metadata;
  sendMetadata(metadata: Metadata): void;
  on(event: "data", then: (message: { calls: StreamCall<unknown>[] }) => void): unknown;
  on(event: "cancelled" | "drain" | "error" | "end", then: () => void): unknown;
  write(message: unknown): boolean;
  pause(): unknown;
  resume(): unknown;
  end(): void;
  emit(event: "error", error: Partial<ServiceError>): boolean;
}

export interface StreamServer {
  /** For `serve`. */
  stream<Request, Response>(
    method: StreamMethod<Request, Response>,
    handler: StreamHandler<Request, Response>,
  ): (call: StreamOfCalls) => void;
  /** Asks all callers to go elsewhere, and waits until all that they have sent is answered, or so long. */
  drain(graceMs: number): Promise<void>;
}

export function createStreams(settings: StreamServerSettings): StreamServer {
  const { trust, log, metrics, mostAtOnce = 512, longestMs = longestLineMs } = settings;
  const gauge = metrics.gauge("onsale_rpc_streams", "Streams of calls that are open now", ["method"]);
  const seconds = rpcSeconds(metrics);
  const open = new Set<{ leave(): void }>();
  let draining = false;
  let drained: (() => void) | undefined;

  function serve(
    method: StreamMethod<unknown, unknown>,
    handler: StreamHandler<unknown, unknown>,
    call: StreamOfCalls,
  ) {
    const gone = new AbortController();
    const waiting: { one: StreamCall<unknown>; since: number }[] = [];
    const replies: StreamReply<unknown>[] = [];
    let working = 0;
    let leaving = false;
    let tellLeaving = false;
    let halfClosed = false;
    let blocked = false;
    let scheduled = false;
    let paused = false;
    let over = false;

    const self = {
      leave() {
        if (leaving || over) return;
        leaving = true;
        tellLeaving = true;
        schedule();
      },
    };
    const age = setTimeout(() => self.leave(), longestMs * (1 + Math.random() * 0.2));
    age.unref();

    function close(): void {
      if (over) return;
      over = true;
      clearTimeout(age);
      gone.abort();
      waiting.length = 0;
      open.delete(self);
      gauge.dec({ method: method.path });
      if (open.size === 0) drained?.();
    }

    function schedule(): void {
      if (scheduled || blocked || over) return;
      scheduled = true;
      setImmediate(flush);
    }

    function flush(): void {
      scheduled = false;
      while (!over && !blocked && (replies.length > 0 || tellLeaving)) {
        const message = { replies: replies.splice(0, mostInMessage), leaving: tellLeaving };
        tellLeaving = false;
        blocked = !call.write(message);
      }
      // A caller who does not read is not read either.
      const full = blocked || waiting.length > mostAtOnce;
      if (full !== paused && !over) {
        paused = full;
        if (full) call.pause();
        else call.resume();
      }
      if (halfClosed && !over && working === 0 && waiting.length === 0 && replies.length === 0) {
        call.end();
        close();
      }
    }

    function reply(id: number, begun: number, response: unknown, error: DomainError | undefined): void {
      seconds.observe({ method: method.path, code: error?.code ?? "OK" }, (performance.now() - begun) / 1000);
      if (over) return;
      replies.push(
        error ? { id, response: undefined, refusal: packRefusal(error) } : { id, response, refusal: undefined },
      );
      schedule();
    }

    function begin({ id, patienceMs, requestId, request, traceparent }: StreamCall<unknown>, since: number): void {
      const waited = performance.now() - since;
      if (waited >= patienceMs)
        return void reply(
          id,
          since,
          undefined,
          new DomainError("DEADLINE_EXCEEDED", "Nobody waits for this any more."),
        );
      working += 1;
      const context: CallContext = {
        requestId: requestId === "" ? undefined : requestId,
        deadline: Date.now() + patienceMs - waited,
        signal: gone.signal,
      };
      const span = traceparent === "" ? undefined : answerSpan(method.path, traceparent);
      const done = (response: unknown, error: DomainError | undefined) => {
        working -= 1;
        if (error) endRefused(span, error);
        else span?.end();
        reply(id, since, response, error);
        for (let next = waiting.shift(); next; next = working < mostAtOnce ? waiting.shift() : undefined)
          begin(next.one, next.since);
      };
      const failed = (thrown: unknown) => {
        const error = DomainError.from(thrown);
        if (error.code === "INTERNAL")
          within(span, () => log.error({ err: thrown, method: method.path, requestId }, "a bug: a call failed"));
        else if (log.isLevelEnabled("debug"))
          within(span, () => log.debug({ code: error.code, method: method.path, requestId }, "refused"));
        done(undefined, error);
      };
      if (request === undefined) failed(new DomainError("REQUEST_INVALID", "There is no request in the call."));
      else
        (span ? within(span, () => handler(request, context)) : handler(request, context)).then(
          (response) => done(response, undefined),
          failed,
        );
    }

    open.add(self);
    gauge.inc({ method: method.path });
    call.on("cancelled", close);
    call.on("error", close);
    call.on("drain", () => {
      blocked = false;
      flush();
    });
    call.on("data", ({ calls }) => {
      const now = performance.now();
      for (const one of calls) {
        if (working < mostAtOnce) begin(one, now);
        else waiting.push({ one, since: now });
      }
      if (waiting.length > mostAtOnce) schedule();
    });
    call.on("end", () => {
      halfClosed = true;
      schedule();
    });
    call.sendMetadata(new Metadata()); // tells the caller that the line is up
  }

  return {
    stream: (method, handler) => (call) => {
      try {
        checkSecret(trust, call.metadata);
        if (draining) throw closedRefusal();
        serve(method as StreamMethod<unknown, unknown>, handler as StreamHandler<unknown, unknown>, call);
      } catch (thrown) {
        call.emit("error", statusOf(DomainError.from(thrown)));
      }
    },
    async drain(graceMs) {
      draining = true;
      if (open.size === 0) return;
      for (const one of [...open]) one.leave();
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        drained = resolve;
        timer = setTimeout(resolve, graceMs);
      });
      clearTimeout(timer);
    },
  };
}
