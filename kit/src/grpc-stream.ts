// Calls over long-lived gRPC streams: many callers share a line, a message carries what came up in one turn of the event loop.
//
// A unary call pays for headers, an HTTP/2 stream and half a dozen objects each time. Here the stream stays, and calls are told
// apart by an id. What a unary call would give is kept: a deadline for each, refusals with their codes, trust, no call lost or
// made twice in silence. A method for it has messages of the shapes below, written in its own .proto.
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { type Client, type ClientDuplexStream, Metadata, type ServiceError } from "@grpc/grpc-js";
import { DomainError, isRefusalCode, type RefusalDetails } from "./errors.js";
import {
  answerSpan,
  type CallContext,
  type CallOptions,
  callMetadata,
  checkSecret,
  longestConnectionMs,
  openChannel,
  refusalFrom,
  rpcSeconds,
  rpcSpan,
  statusOf,
  type Trust,
} from "./grpc.js";
import { splitAddress } from "./lifecycle.js";
import type { Logger } from "./log.js";
import type { Metrics } from "./metrics.js";
import { endRefused, within } from "./tracing.js";

export interface StreamCall<Request> {
  id: number;
  /** For so long the caller waits, from when it was written. Relative, since clocks differ. */
  patienceMs: number;
  requestId: string;
  request: Request | undefined;
  /** W3C's; empty unless the caller is traced. */
  traceparent: string;
}
export interface StreamReply<Response> {
  id: number;
  response: Response | undefined;
  /** `details` is JSON, or empty. */
  refusal: { code: string; message: string; details: Buffer } | undefined;
}
export interface StreamReplies<Response> {
  replies: StreamReply<Response>[];
  /** Send no more calls here, and half-close. What was sent is still answered. */
  leaving: boolean;
}

/** A bidirectional method of this kind, as ts-proto defines it. */
export interface StreamMethod<Request, Response> {
  readonly path: string;
  readonly requestStream: true;
  readonly responseStream: true;
  requestSerialize(value: { calls: StreamCall<Request>[] }): Buffer;
  requestDeserialize(bytes: Buffer): { calls: StreamCall<Request>[] };
  responseSerialize(value: StreamReplies<Response>): Buffer;
  responseDeserialize(bytes: Buffer): StreamReplies<Response>;
}

/** Calls, or replies, in one message at most: so many of the largest still fit. */
const mostInMessage = 256;

// ---- the side that calls

export interface StreamsSettings<Request, Response> {
  /**
   * host:port, or dns:///host:port, or several with commas. A name may stand for several processes, which come and go: each
   * address has lines of its own.
   */
  readonly address: string;
  readonly trust: Trust;
  readonly method: StreamMethod<Request, Response>;
  /** True: doing it a second time is doing it once. Only then is a call whose line broke sent again. */
  readonly idempotent: boolean;
  /** For calls that name none. */
  readonly deadlineMs?: number;
  readonly linesEach?: number;
  /** Calls on a line that wait for their answer. Beyond that, new ones are refused at once. */
  readonly mostInFlight?: number;
  /** What a name stands for now; the system's resolver by default. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
  readonly resolveEveryMs?: number;
  /** A line on which nothing was heard for so long, while a call waited in vain, counts as broken. */
  readonly silenceMs?: number;
  /** How often a line's connection is asked whether it still lives. Milliseconds. */
  readonly keepaliveMs?: number;
}

export interface Streams<Request, Response> {
  /** How many lines there are to call on. While there is none, ask in another way. */
  lines(): number;
  /**
   * Refusals: those of the method; DEADLINE_EXCEEDED; UNAVAILABLE when there is no line, when every line has as many calls as
   * it may, and when the line broke under the call: whether it took effect is then unknown. An idempotent call is sent once
   * more first, on another line, if there is one and time is left.
   */
  call(request: Request, options?: CallOptions): Promise<Response>;
  /** No more calls; those in flight are still answered. */
  close(): void;
}

interface Pending<Request, Response> {
  readonly request: Request;
  readonly requestId: string;
  readonly traceparent: string;
  /** By performance.now(). */
  readonly deadline: number;
  /** Undefined: not written yet. */
  writtenAt: number | undefined;
  again: boolean;
  readonly resolve: (response: Response) => void;
  readonly reject: (refusal: DomainError) => void;
}

/** One stream on a connection of its own. */
interface Line<Request, Response> {
  readonly place: Place<Request, Response>;
  readonly channel: Client;
  readonly stream: ClientDuplexStream<{ calls: StreamCall<Request>[] }, StreamReplies<Response>>;
  /** Written or about to be. */
  readonly pending: Map<number, Pending<Request, Response>>;
  readonly outbox: number[];
  state: "opening" | "up" | "leaving" | "over";
  /** The other side has asked to be left; this line goes on until there is another, for a moment. */
  told: boolean;
  /** The stream takes no more for now. */
  blocked: boolean;
  scheduled: boolean;
  halfClosed: boolean;
  heardAt: number;
}

interface Place<Request, Response> {
  /** As given, and the address to go to. */
  readonly name: string;
  readonly address: string;
  readonly lines: Set<Line<Request, Response>>;
  wanted: boolean;
  pauseMs: number;
  timer: NodeJS.Timeout | undefined;
}

const firstPauseMs = 100;
const longestPauseMs = 2_000;
const sweepMs = 25;
const toFindAnotherMs = 500;
/** A line that has been left is cut then, should the other side not end it. */
const longestLeavingMs = 60_000;
/** With less time left, a second try is of no use. */
const leastTimeMs = 20;

const resolveBySystem = async (host: string): Promise<readonly string[]> =>
  (await lookup(host, { all: true })).map(({ address }) => address);

export function connectStreams<Request, Response>(
  settings: StreamsSettings<Request, Response>,
): Streams<Request, Response> {
  const { trust, method, idempotent, resolve = resolveBySystem, resolveEveryMs = 3_000 } = settings;
  const {
    deadlineMs: usualDeadlineMs = 5_000,
    linesEach = 1,
    mostInFlight = 2_000,
    silenceMs = 2_500,
    keepaliveMs,
  } = settings;
  type OurLine = Line<Request, Response>;
  type OurPlace = Place<Request, Response>;
  type OurPending = Pending<Request, Response>;

  const places = new Map<string, OurPlace>();
  /** Those that calls are put on. */
  let ready: OurLine[] = [];
  let lastId = 0;
  let turn = 0;
  let sweeping: NodeJS.Timeout | undefined;
  let closed = false;

  // ---- where to

  const named = settings.address.split(",").map((one) => {
    const address = one.trim().replace(/^dns:\/\/\//, "");
    const [host, port] = splitAddress(address);
    return { address, host: host.replace(/^\[(.*)\]$/, "$1"), port };
  });
  /** By name, so that a name that can't be resolved for a moment keeps its places. */
  const found = new Map<string, readonly string[]>();
  let looking: Promise<void> | undefined;
  let lookedAt = Number.NEGATIVE_INFINITY;

  const look = (): Promise<void> => {
    lookedAt = performance.now();
    looking ??= Promise.all(
      named.map(async ({ address, host, port }) => {
        if (isIP(host) !== 0) return void found.set(address, [address]);
        const hosts = await resolve(host).catch(() => []);
        if (hosts.length === 0) return;
        found.set(
          address,
          hosts.map((one) => (isIP(one) === 6 ? `[${one}]:${port}` : `${one}:${port}`)),
        );
      }),
    )
      .then(settle)
      .finally(() => {
        looking = undefined;
      });
    return looking;
  };

  /** Makes the places those that were found. */
  function settle(): void {
    if (closed) return;
    const wanted = new Map([...found].flatMap(([name, addresses]) => addresses.map((address) => [address, name])));
    for (const [address, name] of wanted) {
      const known = places.get(address);
      const place = known ?? { name, address, lines: new Set(), wanted: true, pauseMs: firstPauseMs, timer: undefined };
      places.set(address, place);
      place.wanted = true;
      fill(place);
    }
    for (const place of places.values()) if (!wanted.has(place.address)) abandon(place);
  }

  function abandon(place: OurPlace): void {
    place.wanted = false;
    clearTimeout(place.timer);
    place.timer = undefined;
    for (const line of place.lines) {
      if (line.state === "opening") end(line, new DomainError("UNAVAILABLE", `${place.address} is gone.`));
      else leave(line);
    }
    if (place.lines.size === 0) places.delete(place.address);
  }

  void look();
  const names = named.some(({ host }) => isIP(host) === 0);
  const relook = names ? setInterval(() => void look(), resolveEveryMs) : undefined;
  relook?.unref();

  // ---- lines

  function fill(place: OurPlace): void {
    if (closed || !place.wanted || place.timer) return;
    const usable = [...place.lines].filter(
      ({ state, told }) => state === "opening" || (state === "up" && !told),
    ).length;
    for (let at = usable; at < linesEach; at++) open(place);
  }

  function open(place: OurPlace): void {
    const channel = openChannel({
      address: place.address,
      trust,
      name: place.name,
      // Not one that others have used for a while: see longestLineMs.
      ownConnection: true,
      ...(keepaliveMs === undefined ? {} : { keepaliveMs }),
    });
    const stream = channel.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      callMetadata(trust, undefined),
    );
    const line: OurLine = {
      place,
      channel,
      stream,
      pending: new Map(),
      outbox: [],
      state: "opening",
      told: false,
      blocked: false,
      scheduled: false,
      halfClosed: false,
      heardAt: 0,
    };
    place.lines.add(line);
    stream.on("metadata", () => {
      if (line.state !== "opening") return;
      line.state = "up";
      line.heardAt = performance.now();
      refreshReady();
      for (const one of ready) if (one.told) leave(one);
    });
    stream.on("data", (message: StreamReplies<Response>) => hear(line, message));
    stream.on("drain", () => {
      line.blocked = false;
      flush(line);
    });
    stream.on("error", (error: ServiceError) => end(line, refusalFrom(error, method.path)));
    stream.on("end", () => end(line, new DomainError("UNAVAILABLE", `${method.path} has ended.`)));
  }

  const refreshReady = (): void => {
    ready = [...places.values()].flatMap(({ lines }) => [...lines].filter(({ state }) => state === "up"));
  };

  function hear(line: OurLine, { replies, leaving }: StreamReplies<Response>): void {
    line.heardAt = performance.now();
    if (replies.length > 0) line.place.pauseMs = firstPauseMs;
    for (const { id, response, refusal } of replies) {
      const one = line.pending.get(id);
      if (!one) continue; // too late: its caller has left
      line.pending.delete(id);
      if (refusal) one.reject(refusalOf(refusal));
      else if (response !== undefined) one.resolve(response);
      else one.reject(new DomainError("INTERNAL", `${method.path} gave an answer without content.`));
    }
    if (!leaving || line.told) return;
    line.told = true;
    if (ready.some(({ told }) => !told)) leave(line);
    else setTimeout(() => leave(line), toFindAnotherMs).unref();
    fill(line.place);
  }

  /** No more calls on this line: what was written is still answered there, what was not goes elsewhere if it can. */
  function leave(line: OurLine): void {
    if (line.state !== "up") return;
    line.state = "leaving";
    setTimeout(() => end(line, new DomainError("UNAVAILABLE", "It was left long ago.")), longestLeavingMs).unref();
    refreshReady();
    if (ready.length > 0)
      for (const id of line.outbox.splice(0)) {
        const one = line.pending.get(id);
        line.pending.delete(id);
        if (one) put(one);
      }
    flush(line);
  }

  function end(line: OurLine, why: DomainError): void {
    if (line.state === "over") return;
    const broken = line.state !== "leaving";
    line.state = "over";
    const { place } = line;
    place.lines.delete(line);
    refreshReady();
    line.stream.cancel();
    line.channel.close();
    const left = [...line.pending.values()];
    line.pending.clear();
    line.outbox.length = 0;
    for (const one of left) rescue(one, why);
    if (!place.wanted || closed) {
      if (place.lines.size === 0) places.delete(place.address);
      return;
    }
    if (!broken) {
      fill(place);
      return;
    }
    // At random, so that all who lost the same server don't come back in the same moment.
    place.timer ??= setTimeout(
      () => {
        place.timer = undefined;
        fill(place);
      },
      place.pauseMs * (0.5 + Math.random()),
    );
    place.timer.unref();
    place.pauseMs = Math.min(place.pauseMs * 2, longestPauseMs);
    if (names && performance.now() - lookedAt > firstPauseMs) void look();
  }

  /** What becomes of a call whose line broke. */
  function rescue(one: OurPending, why: DomainError): void {
    const written = one.writtenAt !== undefined;
    const mayGoOn = !written || (idempotent && !one.again);
    if (mayGoOn && ready.length > 0 && one.deadline - performance.now() > leastTimeMs) {
      one.again ||= written;
      one.writtenAt = undefined;
      if (put(one)) return;
    }
    // Whatever the line died of, to this caller it means that there is no answer.
    one.reject(
      why.code === "PEER_UNAUTHENTICATED"
        ? why
        : new DomainError(
            "UNAVAILABLE",
            written
              ? `The connection to ${method.path} broke before it answered; whether it took effect is unknown.`
              : `${method.path} can't be reached right now. Please try again.`,
            {},
            why,
          ),
    );
  }

  // ---- calls

  /** On the line with the fewest calls. False: none may have more. */
  function put(one: OurPending): boolean {
    let best: OurLine | undefined;
    turn = (turn + 1) % Math.max(ready.length, 1);
    for (let at = 0; at < ready.length; at++) {
      const line = ready[(turn + at) % ready.length] as OurLine;
      if (best === undefined || line.pending.size < best.pending.size) best = line;
    }
    if (best === undefined || best.pending.size >= mostInFlight) return false;
    lastId = lastId >= 0xffff_ffff ? 1 : lastId + 1;
    best.pending.set(lastId, one);
    best.outbox.push(lastId);
    if (!best.scheduled && !best.blocked) {
      best.scheduled = true;
      // After everything that this turn of the event loop has to read, so that one message carries all of it.
      setImmediate(flush, best);
    }
    sweeping ??= setInterval(sweep, sweepMs);
    return true;
  }

  function flush(line: OurLine): void {
    line.scheduled = false;
    const now = performance.now();
    while (line.state !== "over" && !line.blocked && line.outbox.length > 0) {
      const calls: StreamCall<Request>[] = [];
      for (const id of line.outbox.splice(0, mostInMessage)) {
        const one = line.pending.get(id);
        if (!one) continue; // its caller has left
        one.writtenAt = now;
        const { request, requestId, traceparent } = one;
        calls.push({ id, patienceMs: Math.max(1, Math.round(one.deadline - now)), requestId, request, traceparent });
      }
      if (calls.length > 0) line.blocked = !line.stream.write({ calls });
    }
    if (line.state === "leaving" && line.outbox.length === 0 && !line.halfClosed) {
      line.halfClosed = true;
      line.stream.end();
    }
  }

  function sweep(): void {
    const now = performance.now();
    let left = 0;
    for (const { lines } of places.values())
      for (const line of lines) {
        let deaf = false;
        for (const [id, one] of line.pending) {
          if (one.deadline > now) continue;
          line.pending.delete(id);
          deaf ||= one.writtenAt !== undefined && Math.max(line.heardAt, one.writtenAt) <= now - silenceMs;
          one.reject(
            one.writtenAt === undefined
              ? new DomainError("UNAVAILABLE", `${method.path} was too busy to be asked in time. Please try again.`)
              : new DomainError(
                  "DEADLINE_EXCEEDED",
                  `${method.path} did not answer in time; whether it took effect is unknown.`,
                ),
          );
        }
        // Nobody else shall wait on this line.
        if (deaf) end(line, new DomainError("UNAVAILABLE", `${line.place.address} is silent.`));
        left += line.pending.size;
      }
    if (left > 0) return;
    clearInterval(sweeping);
    sweeping = undefined;
    if (closed) for (const { lines } of places.values()) for (const line of [...lines]) end(line, closedRefusal());
  }

  return {
    lines: () => ready.length,
    call: (request, { deadlineMs = usualDeadlineMs, requestId } = {}) =>
      new Promise<Response>((resolve, refuse) => {
        if (closed) return refuse(closedRefusal());
        const deadline = performance.now() + deadlineMs;
        const span = rpcSpan(method.path);
        const traceparent = span?.traceparent ?? "";
        const one = { request, requestId: requestId ?? "", traceparent, deadline, writtenAt: undefined, again: false };
        const reject = span
          ? (refusal: DomainError) => {
              endRefused(span, refusal);
              refuse(refusal);
            }
          : refuse;
        const answer = span
          ? (response: Response) => {
              span.end();
              resolve(response);
            }
          : resolve;
        if (put({ ...one, resolve: answer, reject })) return;
        reject(
          ready.length === 0
            ? new DomainError("UNAVAILABLE", `${method.path} can't be reached right now. Please try again.`)
            : new DomainError(
                "UNAVAILABLE",
                `As many calls of ${method.path} are under way as may be. Please try again in a moment.`,
                { retryAfterSeconds: 1 },
              ),
        );
      }),
    close() {
      if (closed) return;
      closed = true;
      clearInterval(relook);
      for (const place of [...places.values()]) abandon(place);
      sweeping ??= setInterval(sweep, sweepMs);
    },
  };
}

const closedRefusal = (): DomainError => new DomainError("UNAVAILABLE", "This process is about to stop.");

function refusalOf({ code, message, details }: NonNullable<StreamReply<unknown>["refusal"]>): DomainError {
  return new DomainError(isRefusalCode(code) ? code : "INTERNAL", message, detailsOf(details));
}

/** A refusal without its details is still the refusal. */
function detailsOf(packed: Buffer): RefusalDetails {
  if (packed.length === 0) return {};
  try {
    return JSON.parse(packed.toString()) as RefusalDetails;
  } catch {
    return {};
  }
}

// ---- the side that answers

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

function packRefusal({ code, message, details }: DomainError): NonNullable<StreamReply<unknown>["refusal"]> {
  let packed = "";
  try {
    packed = JSON.stringify(details);
  } catch {
    // not JSON after all: a bug, but no reason to lose the refusal
  }
  return { code, message, details: packed.length > 2 ? Buffer.from(packed) : Buffer.alloc(0) };
}
