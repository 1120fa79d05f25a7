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
import type { Gauge, Metrics } from "./metrics.js";
import { endRefused, type Span, within } from "./tracing.js";

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

/** What the streams of one process share. */
interface Shared {
  readonly log: Logger;
  readonly gauge: Gauge<"method">;
  readonly seconds: ReturnType<typeof rpcSeconds>;
  readonly mostAtOnce: number;
  readonly open: Set<AnsweredStream>;
  /** Told when the last stream has closed. */
  drained: (() => void) | undefined;
}

export function createStreams({
  trust,
  log,
  metrics,
  mostAtOnce = 512,
  longestMs = longestLineMs,
}: StreamServerSettings): StreamServer {
  const shared: Shared = {
    log,
    gauge: metrics.gauge("onsale_rpc_streams", "Streams of calls that are open now", ["method"]),
    seconds: rpcSeconds(metrics),
    mostAtOnce,
    open: new Set(),
    drained: undefined,
  };
  let draining = false;
  return {
    stream: (method, handler) => (call) => {
      try {
        checkSecret(trust, call.metadata);
        if (draining) throw closedRefusal();
        const stream = new AnsweredStream(shared, method.path, handler as StreamHandler<unknown, unknown>, call);
        stream.leaveAfter(longestMs * (1 + Math.random() * 0.2));
      } catch (thrown) {
        call.emit("error", statusOf(DomainError.from(thrown)));
      }
    },
    async drain(graceMs) {
      draining = true;
      if (shared.open.size === 0) return;
      for (const stream of [...shared.open]) stream.leave();
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        shared.drained = resolve;
        timer = setTimeout(resolve, graceMs);
      });
      clearTimeout(timer);
    },
  };
}

/** One caller's stream: its calls, each answered as soon as its work is done. */
class AnsweredStream {
  private readonly gone = new AbortController();
  private readonly waiting: { one: StreamCall<unknown>; since: number }[] = [];
  private readonly replies: StreamReply<unknown>[] = [];
  private working = 0;
  private leaving = false;
  private tellLeaving = false;
  private halfClosed = false;
  private blocked = false;
  private scheduled = false;
  private paused = false;
  private over = false;
  private age: NodeJS.Timeout | undefined;

  constructor(
    private readonly shared: Shared,
    private readonly path: string,
    private readonly handler: StreamHandler<unknown, unknown>,
    private readonly call: StreamOfCalls,
  ) {
    shared.open.add(this);
    shared.gauge.inc({ method: path });
    call.on("cancelled", () => this.close());
    call.on("error", () => this.close());
    call.on("drain", () => {
      this.blocked = false;
      this.flush();
    });
    call.on("data", ({ calls }) => this.take(calls));
    call.on("end", () => {
      this.halfClosed = true;
      this.schedule();
    });
    call.sendMetadata(new Metadata()); // tells the caller that the line is up
  }

  leaveAfter(ms: number): void {
    this.age = setTimeout(() => this.leave(), ms).unref();
  }

  /** Asks the caller to go elsewhere; what it has sent is still answered. */
  leave(): void {
    if (this.leaving || this.over) return;
    this.leaving = true;
    this.tellLeaving = true;
    this.schedule();
  }

  private close(): void {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.age);
    this.gone.abort();
    this.waiting.length = 0;
    this.shared.open.delete(this);
    this.shared.gauge.dec({ method: this.path });
    if (this.shared.open.size === 0) this.shared.drained?.();
  }

  // ---- what is said

  private schedule(): void {
    if (this.scheduled || this.blocked || this.over) return;
    this.scheduled = true;
    setImmediate(this.flush);
  }

  private readonly flush = (): void => {
    this.scheduled = false;
    while (!this.over && !this.blocked && (this.replies.length > 0 || this.tellLeaving)) {
      const message = { replies: this.replies.splice(0, mostInMessage), leaving: this.tellLeaving };
      this.tellLeaving = false;
      this.blocked = !this.call.write(message);
    }
    if (this.over) return;
    // A caller who does not read is not read either.
    const full = this.blocked || this.waiting.length > this.shared.mostAtOnce;
    if (full !== this.paused) {
      this.paused = full;
      if (full) this.call.pause();
      else this.call.resume();
    }
    if (this.halfClosed && this.working === 0 && this.waiting.length === 0 && this.replies.length === 0) {
      this.call.end();
      this.close();
    }
  };

  private reply(id: number, begun: number, response: unknown, error: DomainError | undefined): void {
    this.shared.seconds.observe({ method: this.path, code: error?.code ?? "OK" }, (performance.now() - begun) / 1000);
    if (this.over) return;
    this.replies.push(
      error ? { id, response: undefined, refusal: packRefusal(error) } : { id, response, refusal: undefined },
    );
    this.schedule();
  }

  // ---- what is asked

  private take(calls: readonly StreamCall<unknown>[]): void {
    const now = performance.now();
    for (const one of calls) {
      if (this.working < this.shared.mostAtOnce) this.begin(one, now);
      else this.waiting.push({ one, since: now });
    }
    if (this.waiting.length > this.shared.mostAtOnce) this.schedule();
  }

  private begin(one: StreamCall<unknown>, since: number): void {
    const { id, patienceMs, requestId, request, traceparent } = one;
    const waited = performance.now() - since;
    if (waited >= patienceMs) {
      this.reply(id, since, undefined, new DomainError("DEADLINE_EXCEEDED", "The caller's deadline has passed."));
      return;
    }
    this.working += 1;
    const context: CallContext = {
      requestId: requestId === "" ? undefined : requestId,
      deadline: Date.now() + patienceMs - waited,
      signal: this.gone.signal,
    };
    const span = traceparent === "" ? undefined : answerSpan(this.path, traceparent);
    const failed = (thrown: unknown) => {
      const error = DomainError.from(thrown);
      within(span, () => this.logFailure(thrown, error, requestId));
      this.finish(one, since, span, undefined, error);
    };
    if (request === undefined) failed(new DomainError("REQUEST_INVALID", "There is no request in the call."));
    else
      (span ? within(span, () => this.handler(request, context)) : this.handler(request, context)).then(
        (response) => this.finish(one, since, span, response, undefined),
        failed,
      );
  }

  private finish(
    { id }: StreamCall<unknown>,
    since: number,
    span: Span | undefined,
    response: unknown,
    error: DomainError | undefined,
  ): void {
    this.working -= 1;
    if (error) endRefused(span, error);
    else span?.end();
    this.reply(id, since, response, error);
    const { mostAtOnce } = this.shared;
    for (let next = this.waiting.shift(); next; next = this.working < mostAtOnce ? this.waiting.shift() : undefined)
      this.begin(next.one, next.since);
  }

  private logFailure(thrown: unknown, error: DomainError, requestId: string): void {
    const { log } = this.shared;
    if (error.code === "INTERNAL") log.error({ err: thrown, method: this.path, requestId }, "a bug: a call failed");
    else if (log.isLevelEnabled("debug")) log.debug({ code: error.code, method: this.path, requestId }, "refused");
  }
}
