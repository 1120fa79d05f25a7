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

/** A call on its way. */
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

/** Lines are opened at once; `lines()` says when there are some. */
export function connectStreams<Request, Response>(
  settings: StreamsSettings<Request, Response>,
): Streams<Request, Response> {
  return new LinesToPlaces(settings);
}

const usual = {
  deadlineMs: 5_000,
  linesEach: 1,
  mostInFlight: 2_000,
  silenceMs: 2_500,
  resolve: resolveBySystem,
  resolveEveryMs: 3_000,
};

class LinesToPlaces<Request, Response> implements Streams<Request, Response> {
  private readonly settings: StreamsSettings<Request, Response> & typeof usual;
  private readonly path: string;
  private readonly named: readonly Named[];
  /** By name, so that a name that can't be resolved for a moment keeps its places. */
  private readonly found = new Map<string, readonly string[]>();
  private readonly places = new Map<string, Place<Request, Response>>();
  /** Those that calls are put on. */
  private ready: Line<Request, Response>[] = [];
  private lastId = 0;
  private turn = 0;
  private looking: Promise<void> | undefined;
  private lookedAt = Number.NEGATIVE_INFINITY;
  private readonly relook: NodeJS.Timeout | undefined;
  private sweeping: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(settings: StreamsSettings<Request, Response>) {
    this.settings = { ...usual, ...settings };
    this.path = settings.method.path;
    this.named = namedIn(settings.address);
    void this.look();
    if (this.hasNames()) this.relook = setInterval(() => void this.look(), this.settings.resolveEveryMs).unref();
  }

  lines(): number {
    return this.ready.length;
  }

  call(
    request: Request,
    { deadlineMs = this.settings.deadlineMs, requestId = "" }: CallOptions = {},
  ): Promise<Response> {
    return new Promise<Response>((resolve, reject) => {
      if (this.closed) return reject(closedRefusal());
      const deadline = performance.now() + deadlineMs;
      const call = traced(this.path, {
        request,
        requestId,
        traceparent: "",
        deadline,
        writtenAt: undefined,
        again: false,
        resolve,
        reject,
      });
      if (!this.put(call)) call.reject(this.noRoom());
    });
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    clearInterval(this.relook);
    for (const place of [...this.places.values()]) this.abandon(place);
    this.sweeping ??= setInterval(() => this.sweep(), sweepMs);
  }

  // ---- where to

  private look(): Promise<void> {
    this.lookedAt = performance.now();
    this.looking ??= Promise.all(
      this.named.map(async ({ address, host, port }) => {
        if (isIP(host) !== 0) return void this.found.set(address, [address]);
        const hosts = await this.settings.resolve(host).catch(() => []);
        if (hosts.length === 0) return;
        this.found.set(
          address,
          hosts.map((one) => (isIP(one) === 6 ? `[${one}]:${port}` : `${one}:${port}`)),
        );
      }),
    )
      .then(() => this.settle())
      .finally(() => {
        this.looking = undefined;
      });
    return this.looking;
  }

  /** Makes the places those that were found. */
  private settle(): void {
    if (this.closed) return;
    const wanted = new Map([...this.found].flatMap(([name, addresses]) => addresses.map((address) => [address, name])));
    for (const [address, name] of wanted) {
      const known = this.places.get(address);
      const place = known ?? { name, address, lines: new Set(), wanted: true, pauseMs: firstPauseMs, timer: undefined };
      this.places.set(address, place);
      place.wanted = true;
      this.fill(place);
    }
    for (const place of this.places.values()) if (!wanted.has(place.address)) this.abandon(place);
  }

  private abandon(place: Place<Request, Response>): void {
    place.wanted = false;
    clearTimeout(place.timer);
    place.timer = undefined;
    for (const line of place.lines) {
      if (line.state === "opening") this.end(line, new DomainError("UNAVAILABLE", `${place.address} is gone.`));
      else this.leave(line);
    }
    if (place.lines.size === 0) this.places.delete(place.address);
  }

  private hasNames(): boolean {
    return this.named.some(({ host }) => isIP(host) === 0);
  }

  // ---- lines

  private fill(place: Place<Request, Response>): void {
    if (this.closed || !place.wanted || place.timer) return;
    const usable = [...place.lines].filter(
      ({ state, told }) => state === "opening" || (state === "up" && !told),
    ).length;
    for (let at = usable; at < this.settings.linesEach; at++) this.open(place);
  }

  private open(place: Place<Request, Response>): void {
    const { method, trust, keepaliveMs } = this.settings;
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
    const line: Line<Request, Response> = {
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
      this.refreshReady();
      for (const one of this.ready) if (one.told) this.leave(one);
    });
    stream.on("data", (message: StreamReplies<Response>) => this.hear(line, message));
    stream.on("drain", () => {
      line.blocked = false;
      this.flush(line);
    });
    stream.on("error", (error: ServiceError) => this.end(line, refusalFrom(error, this.path)));
    stream.on("end", () => this.end(line, new DomainError("UNAVAILABLE", `${this.path} has ended.`)));
  }

  private refreshReady(): void {
    this.ready = [...this.places.values()].flatMap(({ lines }) => [...lines].filter(({ state }) => state === "up"));
  }

  private hear(line: Line<Request, Response>, { replies, leaving }: StreamReplies<Response>): void {
    line.heardAt = performance.now();
    if (replies.length > 0) line.place.pauseMs = firstPauseMs;
    for (const { id, response, refusal } of replies) {
      const one = line.pending.get(id);
      if (!one) continue; // too late: its caller has left
      line.pending.delete(id);
      if (refusal) one.reject(refusalOf(refusal));
      else if (response !== undefined) one.resolve(response);
      else one.reject(new DomainError("INTERNAL", `${this.path} gave an answer without content.`));
    }
    if (!leaving || line.told) return;
    line.told = true;
    if (this.ready.some(({ told }) => !told)) this.leave(line);
    else setTimeout(() => this.leave(line), toFindAnotherMs).unref();
    this.fill(line.place);
  }

  /** No more calls on this line: what was written is still answered there, what was not goes elsewhere if it can. */
  private leave(line: Line<Request, Response>): void {
    if (line.state !== "up") return;
    line.state = "leaving";
    setTimeout(() => this.end(line, new DomainError("UNAVAILABLE", "It was left long ago.")), longestLeavingMs).unref();
    this.refreshReady();
    if (this.ready.length > 0)
      for (const id of line.outbox.splice(0)) {
        const one = line.pending.get(id);
        line.pending.delete(id);
        if (one) this.put(one);
      }
    this.flush(line);
  }

  private end(line: Line<Request, Response>, why: DomainError): void {
    if (line.state === "over") return;
    const broken = line.state !== "leaving";
    line.state = "over";
    const { place } = line;
    place.lines.delete(line);
    this.refreshReady();
    line.stream.cancel();
    line.channel.close();
    const left = [...line.pending.values()];
    line.pending.clear();
    line.outbox.length = 0;
    for (const one of left) this.rescue(one, why);
    if (!place.wanted || this.closed) {
      if (place.lines.size === 0) this.places.delete(place.address);
      return;
    }
    if (!broken) {
      this.fill(place);
      return;
    }
    // At random, so that all who lost the same server don't come back in the same moment.
    place.timer ??= setTimeout(
      () => {
        place.timer = undefined;
        this.fill(place);
      },
      place.pauseMs * (0.5 + Math.random()),
    );
    place.timer.unref();
    place.pauseMs = Math.min(place.pauseMs * 2, longestPauseMs);
    if (this.hasNames() && performance.now() - this.lookedAt > firstPauseMs) void this.look();
  }

  /** What becomes of a call whose line broke. */
  private rescue(one: Pending<Request, Response>, why: DomainError): void {
    const written = one.writtenAt !== undefined;
    const mayGoOn = !written || (this.settings.idempotent && !one.again);
    if (mayGoOn && this.ready.length > 0 && one.deadline - performance.now() > leastTimeMs) {
      one.again ||= written;
      one.writtenAt = undefined;
      if (this.put(one)) return;
    }
    // Whatever the line died of, to this caller it means that there is no answer.
    one.reject(
      why.code === "PEER_UNAUTHENTICATED"
        ? why
        : new DomainError(
            "UNAVAILABLE",
            written
              ? `The connection to ${this.path} broke before it answered; whether it took effect is unknown.`
              : `${this.path} can't be reached right now. Please try again.`,
            {},
            why,
          ),
    );
  }

  // ---- calls

  /** On the line with the fewest calls. False: none may have more. */
  private put(one: Pending<Request, Response>): boolean {
    let best: Line<Request, Response> | undefined;
    this.turn = (this.turn + 1) % Math.max(this.ready.length, 1);
    for (let at = 0; at < this.ready.length; at++) {
      const line = this.ready[(this.turn + at) % this.ready.length] as Line<Request, Response>;
      if (best === undefined || line.pending.size < best.pending.size) best = line;
    }
    if (best === undefined || best.pending.size >= this.settings.mostInFlight) return false;
    this.lastId = this.lastId >= 0xffff_ffff ? 1 : this.lastId + 1;
    best.pending.set(this.lastId, one);
    best.outbox.push(this.lastId);
    if (!best.scheduled && !best.blocked) {
      best.scheduled = true;
      // After everything that this turn of the event loop has to read, so that one message carries all of it.
      setImmediate(this.flush, best);
    }
    this.sweeping ??= setInterval(() => this.sweep(), sweepMs);
    return true;
  }

  private noRoom(): DomainError {
    return this.ready.length === 0
      ? new DomainError("UNAVAILABLE", `${this.path} can't be reached right now. Please try again.`)
      : new DomainError(
          "UNAVAILABLE",
          `As many calls of ${this.path} are under way as may be. Please try again in a moment.`,
          { retryAfterSeconds: 1 },
        );
  }

  private readonly flush = (line: Line<Request, Response>): void => {
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
  };

  private sweep(): void {
    const now = performance.now();
    let left = 0;
    for (const { lines } of this.places.values())
      for (const line of lines) {
        let deaf = false;
        for (const [id, one] of line.pending) {
          if (one.deadline > now) continue;
          line.pending.delete(id);
          deaf ||=
            one.writtenAt !== undefined && Math.max(line.heardAt, one.writtenAt) <= now - this.settings.silenceMs;
          one.reject(
            one.writtenAt === undefined
              ? new DomainError("UNAVAILABLE", `${this.path} was too busy to be asked in time. Please try again.`)
              : new DomainError(
                  "DEADLINE_EXCEEDED",
                  `${this.path} did not answer in time; whether it took effect is unknown.`,
                ),
          );
        }
        // Nobody else shall wait on this line.
        if (deaf) this.end(line, new DomainError("UNAVAILABLE", `${line.place.address} is silent.`));
        left += line.pending.size;
      }
    if (left > 0) return;
    clearInterval(this.sweeping);
    this.sweeping = undefined;
    if (this.closed)
      for (const { lines } of this.places.values()) for (const line of [...lines]) this.end(line, closedRefusal());
  }
}

interface Named {
  readonly address: string;
  readonly host: string;
  readonly port: number;
}

function namedIn(addresses: string): Named[] {
  return addresses.split(",").map((one) => {
    const address = one.trim().replace(/^dns:\/\/\//, "");
    const [host, port] = splitAddress(address);
    return { address, host: host.replace(/^\[(.*)\]$/, "$1"), port };
  });
}

/** The call in a span of its own, if it is traced. */
function traced<Request, Response>(path: string, call: Pending<Request, Response>): Pending<Request, Response> {
  const span = rpcSpan(path);
  if (!span) return call;
  return {
    ...call,
    traceparent: span.traceparent,
    resolve(response) {
      span.end();
      call.resolve(response);
    },
    reject(refusal) {
      endRefused(span, refusal);
      call.reject(refusal);
    },
  };
}
