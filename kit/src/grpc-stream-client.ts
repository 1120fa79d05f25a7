// The calling end of calls over streams: lines to every address behind a name, and calls put on the one with the fewest.
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { Client, ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import { DomainError } from "./errors.js";
import { type CallOptions, callMetadata, openChannel, rpcSpan } from "./grpc-client.js";
import { refusalFrom } from "./grpc-refusal.js";
import {
  closedRefusal,
  mostInMessage,
  refusalOf,
  type StreamCall,
  type StreamMethod,
  type StreamReplies,
} from "./grpc-stream.js";
import type { Trust } from "./grpc-trust.js";
import { splitAddress } from "./lifecycle.js";
import { endRefused } from "./tracing.js";

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
