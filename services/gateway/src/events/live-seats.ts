// Live seats over SSE: one watch of the inventory an event, one encoded buffer for all of its readers, and a door for slow ones.

/*
 * The event stream, for whoever writes a client:
 *
 *   snapshot  {version, layoutVersion, seatCount, states, places}: all seats; states is base64 of the bytes of GET …/seats/state
 *   reset     the same, after the seats were restored under a new epoch: whatever was known is void
 *   changes   {version, changes, places?}: "start:length:state" by comma, start counted in layout order. Absolute states, so that
 *             hearing one twice does no harm. Empty: you are up to date.
 *   wait      {code, detail}: what you have may be old; ends with any of the above
 *   closed    {reason, detail}: the last event; EventSource comes back by itself after the time in `retry`
 *
 * The id of snapshot, reset and changes is "<epoch>-<version>", the same at every gateway. Sent back as Last-Event-ID within a
 * minute or so, it brings the changes since; later, a snapshot.
 */
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { DomainError } from "@onsale/kit/errors";
import type { Watch } from "@onsale/kit/grpc-watch";
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import type { SeatChange, SeatChanges, SeatSnapshot, SeatVersion } from "@onsale/proto/inventory/v1/live";
import type { SectionAvailability } from "@onsale/proto/inventory/v1/seats";
import type { Services } from "../clients/services.js";
import { countedAddress } from "../http/rate-limit.js";
import { type Route, route } from "../http/route.js";
import * as schema from "../schemas.js";

export interface LiveSeatsDependencies {
  readonly watchSeats: Services["watchSeats"];
  readonly mostReaders: number;
  readonly mostReadersPerAddress: number;
  readonly readerBufferBytes: number;
  readonly heartbeatMs: number;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** What is known of an event's seats at this moment. */
export interface KnownStates {
  readonly states: Buffer;
  readonly seatCount: number;
  readonly layoutVersion: string;
  readonly version: SeatVersion;
}

export interface LiveSeats {
  /**
   * How to answer a reader. Refusals: LIVE_SEATS_FULL; EVENT_NOT_FOUND; UNAVAILABLE when not even that one must wait can be told.
   */
  admit(eventId: string, address: string, lastEventId: string | undefined): Promise<(response: ServerResponse) => void>;
  /** The states, if they are being watched and up to date. */
  known(eventId: string): KnownStates | undefined;
  /** Says goodbye to every reader. */
  drain(): void;
}

/** For how long a new reader waits for the first word about an event. */
const firstWordMs = 5_000;
/** A broken line to the inventory is mostly mended at once: readers are told only after this. */
const brokenLineMs = 1_500;
/** After its last reader an event is watched a little longer. */
const lingerMs = 20_000;
const aliveSilenceMs = 15_000;
const windowMs = 60_000;
const windowBytes = 512 * 1024;
/** A reader who is let go has so long to read why. */
const farewellMs = 10_000;
const retryMs = { from: 1_000, to: 5_000 };

interface Reader {
  readonly response: ServerResponse;
  /** How much was ever sent while more was waiting, and since when that has not changed. */
  stuck: { readonly sent: number; readonly sinceMs: number } | undefined;
}

/** One event for many: as it is, and wrapped as one chunk of HTTP/1.1. */
interface Frame {
  readonly plain: Buffer;
  readonly chunk: Buffer;
}

/** The versions before the present one, without a hole. */
interface Past {
  readonly plain: Buffer;
  readonly atMs: number;
}

export function createLiveSeats(dependencies: LiveSeatsDependencies): LiveSeats {
  const { watchSeats, mostReaders, mostReadersPerAddress, readerBufferBytes, heartbeatMs, log, metrics } = dependencies;
  const readersNow = metrics.gauge("onsale_live_readers", "Readers of live seats");
  const eventsNow = metrics.gauge("onsale_live_watched_events", "Events whose seats are watched");
  metrics.gaugeOf(
    "onsale_live_stale_events",
    "Events whose readers wait, since what inventory knows of the seats can't be told",
    () => [...feeds.values()].filter((feed) => feed.known() === undefined).length,
  );
  const endings = metrics.counter(
    "onsale_live_readers_ended_total",
    "Readers of live seats who were let go, or refused",
    ["reason"],
    [{ reason: "TOO_SLOW" }, { reason: "RESTARTING" }, { reason: "full: all" }, { reason: "full: address" }],
  );
  const told = metrics.counter("onsale_live_events_total", "Events encoded for readers, by kind", ["kind"]);
  const feeds = new Map<string, Feed>();
  const byAddress = new Map<string, number>();
  let readers = 0;
  let draining = false;

  type Feed = ReturnType<typeof openFeed>;

  function openFeed(eventId: string) {
    const here = new Set<Reader>();
    let seats: (KnownStates & { readonly places: readonly SectionAvailability[] }) | undefined;
    let past: Past[] = [];
    let waiting: string | undefined;
    let snapshot: Frame | undefined;
    let heardMs = performance.now();
    let broken: NodeJS.Timeout | undefined;
    let leaving: NodeJS.Timeout | undefined;
    let ended: DomainError | undefined;
    let announce = () => {};
    const firstWord = new Promise<void>((resolve) => {
      announce = resolve;
    });

    const frame = (kind: string, id: SeatVersion | undefined, data: unknown): Frame => {
      told.inc({ kind });
      return encodeEvent(kind, id, data);
    };

    function broadcast(one: Frame): void {
      heardMs = performance.now();
      for (const reader of here) write(reader, one, drop);
    }

    function drop(reader: Reader): void {
      if (!here.delete(reader)) return;
      const detail =
        "You read more slowly than the seats change, so the connection is closed. Come back for a new snapshot.";
      sayGoodbye(reader, "TOO_SLOW", detail);
    }

    function end(reason: string, detail: string): void {
      for (const reader of here) sayGoodbye(reader, reason, detail);
      here.clear();
      close();
    }

    function close(): void {
      clearTimeout(broken);
      clearTimeout(leaving);
      clearInterval(heartbeat);
      watching.stop();
      if (feeds.get(eventId) === feed) feeds.delete(eventId);
      eventsNow.set(feeds.size);
    }

    function wait(code: string): void {
      if (waiting === code) return;
      waiting = code;
      broadcast(frame("wait", undefined, { code, detail: waitingFor(code) }));
    }

    function replaceAll(value: SeatSnapshot): void {
      const { version, layoutVersion, seatCount, states, places, recent } = value;
      if (!version) throw new Error("a snapshot of seats has no version");
      const kind = seats && seats.version.epoch !== version.epoch ? "reset" : "snapshot";
      seats = { version, layoutVersion, seatCount, states, places };
      const atMs = performance.now();
      past = [];
      for (const one of recent) {
        // A whole map is of use only with all that belongs to it, which only the newest has here.
        if (one.states.length > 0) past = [];
        else past.push({ plain: encodeEvent("changes", one.version, shownChange(one)).plain, atMs });
      }
      snapshot = undefined;
      waiting = undefined;
      if (here.size > 0) broadcast(kind === "snapshot" ? snapshotFrame() : frame(kind, version, shownSeats(seats)));
    }

    function change(value: SeatChange): void {
      const { version, runs, states, places } = value;
      if (!seats || !version || version.epoch !== seats.version.epoch || version.version !== seats.version.version + 1)
        throw new Error(`a change of seats does not follow what came before it: ${JSON.stringify(version)}`);
      const changed = new Map(places.map((one) => [one.sectionId, one]));
      seats = {
        ...seats,
        version,
        states: states.length > 0 ? states : withRuns(seats.states, runs),
        places: seats.places.map((one) => changed.get(one.sectionId) ?? one),
      };
      snapshot = undefined;
      waiting = undefined;
      const one = states.length > 0 ? snapshotFrame() : frame("changes", version, shownChange(value));
      past.push({ plain: one.plain, atMs: performance.now() });
      forgetTooOld();
      broadcast(one);
    }

    function forgetTooOld(): void {
      const oldest = performance.now() - windowMs;
      let bytes = past.reduce((sum, { plain }) => sum + plain.length, 0);
      let from = 0;
      for (; from < past.length; from++) {
        const { atMs, plain } = past[from] as Past;
        if (atMs >= oldest && bytes <= windowBytes) break;
        bytes -= plain.length;
      }
      if (from > 0) past = past.slice(from);
    }

    function snapshotFrame(): Frame {
      if (!seats) throw new Error("there are no seats to show yet");
      snapshot ??= frame("snapshot", seats.version, shownSeats(seats));
      return snapshot;
    }

    const upToDate = (): Frame =>
      frame("changes", seats?.version, { version: seats ? idOf(seats.version) : undefined, changes: "" });

    /** What one reader must hear first. */
    function greeting(lastEventId: string | undefined): Buffer {
      const parts: Buffer[] = [Buffer.from(`retry: ${Math.round(between(retryMs))}\n\n`)];
      if (seats) {
        const missed = since(lastEventId);
        if (!missed) parts.push(snapshotFrame().plain);
        else parts.push(...missed);
        if (missed?.length === 0 && waiting === undefined) parts.push(upToDate().plain);
      }
      if (waiting !== undefined)
        parts.push(frame("wait", undefined, { code: waiting, detail: waitingFor(waiting) }).plain);
      return Buffer.concat(parts);
    }

    /** The changes after an id, or undefined when a snapshot is what is needed, or shorter. */
    function since(lastEventId: string | undefined): Buffer[] | undefined {
      const [, epoch, version] = /^(\d{1,15})-(\d{1,15})$/.exec(lastEventId ?? "") ?? [];
      if (!seats || version === undefined || Number(epoch) !== seats.version.epoch) return undefined;
      const behind = seats.version.version - Number(version);
      if (behind < 0 || behind > past.length) return undefined;
      const missed = past.slice(past.length - behind).map(({ plain }) => plain);
      const length = missed.reduce((sum, { length: one }) => sum + one, 0);
      return length > seats.states.length * 1.4 + 2_000 ? undefined : missed;
    }

    function hear({ what }: SeatChanges): void {
      clearTimeout(broken);
      broken = undefined;
      switch (what?.$case) {
        case "snapshot":
          replaceAll(what.value);
          break;
        case "change":
          change(what.value);
          break;
        case "wait":
          wait(what.value.code);
          break;
        case "alive":
          if (waiting !== undefined) {
            waiting = undefined;
            broadcast(upToDate());
          }
          break;
      }
      announce();
    }

    const watching: Watch = watchSeats.watch({
      request: () => ({ eventId, after: seats?.version }),
      silenceMs: aliveSilenceMs,
      heard: (message) => {
        try {
          hear(message);
        } catch (err) {
          // Begins anew with a snapshot.
          log.error({ err, eventId }, "a bug: the seats of an event can't be shown live");
          seats = undefined;
          end("RESTARTING", "The connection begins anew.");
        }
      },
      lost: (why, again) => {
        if (!again) {
          ended = why;
          end(why.code, why.message);
          announce();
          return;
        }
        broken ??= setTimeout(() => {
          wait("UNAVAILABLE");
          announce();
        }, brokenLineMs);
      },
    });

    const heartbeat = setInterval(
      () => {
        const quiet = performance.now() - heardMs >= heartbeatMs * 0.9;
        for (const reader of here) {
          if (isStuck(reader)) drop(reader);
          else if (quiet) write(reader, lifeSign, drop);
        }
        if (quiet) heardMs = performance.now();
      },
      Math.max(heartbeatMs / 2, 50),
    );
    heartbeat.unref();

    const feed = {
      firstWord,
      ended: () => ended,
      isKnown: () => seats !== undefined || waiting !== undefined,
      known: () => (waiting === undefined ? seats : undefined),
      end,
      /** The reader is here from now on, and hears everything that comes. */
      join(response: ServerResponse, lastEventId: string | undefined, left: () => void): void {
        clearTimeout(leaving);
        leaving = undefined;
        const reader: Reader = { response, stuck: undefined };
        response.write(greeting(lastEventId));
        here.add(reader);
        response.once("close", () => {
          here.delete(reader);
          left();
          feed.leaveIfLonely();
        });
      },
      leaveIfLonely(): void {
        if (here.size > 0 || leaving || feeds.get(eventId) !== feed) return;
        leaving = setTimeout(() => {
          leaving = undefined;
          if (here.size === 0) close();
        }, lingerMs);
        leaving.unref();
      },
    };
    return feed;
  }

  /** Counts one reader more; how to count him out again. */
  function enter(address: string): () => void {
    const own = byAddress.get(address) ?? 0;
    const why = readers >= mostReaders ? "all" : own >= mostReadersPerAddress ? "address" : undefined;
    if (why) {
      endings.inc({ reason: `full: ${why}` });
      throw new DomainError(
        "LIVE_SEATS_FULL",
        why === "all"
          ? "As many people as fit here are watching the seats live. Ask for …/seats/state now and then instead, or try again."
          : `From your address ${own} connections are watching seats live, and no more are allowed. Close some, or ask for …/seats/state now and then instead.`,
        { retryAfterSeconds: Math.round(5 + Math.random() * 10) },
      );
    }
    readers += 1;
    byAddress.set(address, own + 1);
    readersNow.set(readers);
    let here = true;
    return () => {
      if (!here) return;
      here = false;
      readers -= 1;
      const rest = (byAddress.get(address) ?? 1) - 1;
      if (rest > 0) byAddress.set(address, rest);
      else byAddress.delete(address);
      readersNow.set(readers);
    };
  }

  /** To all alike, in the same buffer. Whoever has too much unread is let go. */
  function write(reader: Reader, one: Frame, drop: (reader: Reader) => void): void {
    const { response } = reader;
    const { socket } = response;
    // Past Node's own framing, which would take three pieces for one: the chunk is made, and it is this response's turn.
    if (socket && response.chunkedEncoding && !response.writableEnded) socket.write(one.chunk);
    else response.write(one.plain);
    if ((socket?.writableLength ?? response.writableLength) > readerBufferBytes) drop(reader);
  }

  function isStuck(reader: Reader): boolean {
    const socket: Socket | null = reader.response.socket;
    if (!socket || socket.writableLength === 0) {
      reader.stuck = undefined;
      return false;
    }
    // What Node has handed on: it does not grow while the other side takes nothing.
    const sent = socket.bytesWritten - socket.writableLength;
    if (reader.stuck?.sent !== sent) reader.stuck = { sent, sinceMs: performance.now() };
    return performance.now() - reader.stuck.sinceMs > 2 * heartbeatMs;
  }

  function sayGoodbye({ response }: Reader, reason: string, detail: string): void {
    endings.inc({ reason });
    const { socket } = response;
    const retry = Math.round(between(retryMs));
    const last = encodeEvent("closed", undefined, { reason, detail }).plain;
    response.end(Buffer.concat([Buffer.from(`retry: ${retry}\n`), last]), () => socket?.end());
    const timer = setTimeout(() => socket?.destroy(), farewellMs);
    timer.unref();
    socket?.once("close", () => clearTimeout(timer));
  }

  return {
    async admit(eventId, clientAddress, lastEventId) {
      if (draining) throw new DomainError("UNAVAILABLE", "This gateway is stopping. Please connect again.");
      const leave = enter(countedAddress(clientAddress));
      try {
        let feed = feeds.get(eventId);
        if (!feed) {
          feed = openFeed(eventId);
          feeds.set(eventId, feed);
          eventsNow.set(feeds.size);
        }
        if (!feed.isKnown()) await Promise.race([feed.firstWord, pause(firstWordMs)]);
        const ended = feed.ended();
        if (ended) throw ended;
        feed.leaveIfLonely(); // should the reader be gone before it is here
        if (!feed.isKnown() || feeds.get(eventId) !== feed)
          throw new DomainError(
            "UNAVAILABLE",
            "The seats can't be watched right now. Please try again in a few seconds.",
          );
        // Who asked for the headers alone, or is gone already, does not come in.
        const waited = setTimeout(leave, 1_000);
        waited.unref();
        const { join } = feed;
        return (response) => {
          clearTimeout(waited);
          if (response.destroyed || response.socket?.destroyed) return leave();
          join(response, lastEventId, leave);
        };
      } catch (error) {
        leave();
        throw error;
      }
    },
    known: (eventId) => feeds.get(eventId)?.known(),
    drain() {
      draining = true;
      for (const feed of [...feeds.values()]) feed.end("RESTARTING", "This gateway is being restarted. Connect again.");
    },
  };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms).unref());
const between = ({ from, to }: { from: number; to: number }): number => from + Math.random() * (to - from);

const waitingFor = (code: string): string =>
  code === "INVENTORY_REBUILDING"
    ? "The seats of this event are being restored after a failure. Nothing is lost; what you see may be old for a moment."
    : "The seats can't be read right now; what you see may be old for a moment.";

// ---- frames

export const idOf = ({ epoch, version }: SeatVersion): string => `${epoch}-${version}`;

export function encodeEvent(kind: string, id: SeatVersion | undefined, data: unknown): Frame {
  // JSON has no line breaks of its own, so it is one line of data.
  return framed(`event: ${kind}\n${id ? `id: ${idOf(id)}\n` : ""}data: ${JSON.stringify(data)}\n\n`);
}

function framed(text: string): Frame {
  const plain = Buffer.from(text);
  const chunk = Buffer.concat([Buffer.from(`${plain.length.toString(16)}\r\n`), plain, Buffer.from("\r\n")]);
  return { plain, chunk };
}

const lifeSign = framed(": still here\n\n");

function shownSeats(seats: KnownStates & { readonly places: readonly SectionAvailability[] }) {
  return {
    version: idOf(seats.version),
    layoutVersion: seats.layoutVersion,
    seatCount: seats.seatCount,
    states: seats.states.toString("base64"),
    places: seats.places.map(shownPlaces),
  };
}

const shownPlaces = ({ sectionId, free, held, sold, blocked }: SectionAvailability) => ({
  section: sectionId,
  free,
  held,
  sold,
  blocked,
});

export function shownChange({ version, runs, places }: SeatChange) {
  const told: string[] = [];
  let seat = 0;
  for (let at = 0; at + 2 < runs.length; at += 3) {
    seat += runs[at] as number;
    told.push(`${seat}:${runs[at + 1]}:${runs[at + 2]}`);
    seat += runs[at + 1] as number;
  }
  return {
    version: version ? idOf(version) : undefined,
    changes: told.join(","),
    ...(places.length > 0 ? { places: places.map(shownPlaces) } : {}),
  };
}

/** A copy of the 2-bit map with the runs of a SeatChange in it. */
export function withRuns(states: Buffer, runs: readonly number[]): Buffer {
  const changed = Buffer.from(states);
  let seat = 0;
  for (let at = 0; at + 2 < runs.length; at += 3) {
    seat += runs[at] as number;
    const end = seat + (runs[at + 1] as number);
    const state = runs[at + 2] as number;
    for (; seat < end; seat++) {
      const shift = (seat & 3) * 2;
      changed[seat >> 2] = ((changed[seat >> 2] ?? 0) & ~(3 << shift)) | (state << shift);
    }
  }
  return changed;
}

// ---- the routes

export function liveSeatRoutes(live: LiveSeats, { live: inventory }: Pick<Services, "live">): Route[] {
  const anEvent = { tag: "events", params: schema.eventParams, unknownParam: "EVENT_NOT_FOUND" } as const;
  let closing: AbortSignal | undefined;
  return [
    route(
      {
        ...anEvent,
        method: "get",
        path: "/v1/events/{eventId}/seats/stream",
        operationId: "streamSeats",
        summary: "The seats as they change",
        description: [
          "Server-sent events, for EventSource. `snapshot` comes first: `states` is base64 of what `/seats/state` answers.",
          "Then `changes`, some five times a second at most: `start:length:state` by comma, `start` counted in layout order,",
          "and `places`, the numbers of general-admission sections that have changed. `reset` replaces everything, like a snapshot.",
          "`wait` says that what you have may be old, until the next of these. `closed` is the last one, with its reason.",
          "After a broken connection EventSource sends Last-Event-ID, and gets the changes that it missed.",
          "Your own holds are `held` here as everyone's are: lay `/seats/mine` over it.",
        ].join(" "),
        access: "anyone",
        limits: ["anonymous"],
        answers: { 200: { description: "The events.", contentType: "text/event-stream" } },
        refusals: ["EVENT_NOT_FOUND", "LIVE_SEATS_FULL"],
      },
      async ({ params, clientAddress, header, closing: signal }) => {
        if (closing !== signal) {
          closing = signal;
          signal.addEventListener("abort", () => live.drain(), { once: true });
        }
        const stream = await live.admit(params.eventId, clientAddress, header("last-event-id"));
        return {
          status: 200,
          headers: {
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-store, no-transform",
            "X-Accel-Buffering": "no",
          },
          stream,
        };
      },
    ),
    route(
      {
        ...anEvent,
        method: "get",
        path: "/v1/events/{eventId}/seats/mine",
        operationId: "getOwnSeats",
        summary: "Your own seats: held, with their deadline, and owned",
        description:
          "On the map your own seats are held or sold like everyone's. `heldUntil` is when a hold's time to pay ends; `checkoutId` is told of owned seats.",
        access: "account",
        limits: "by caller",
        answers: { 200: { description: "Your seats in this event.", schema: schema.ownSeats } },
        refusals: ["EVENT_NOT_FOUND", "INVENTORY_REBUILDING"],
      },
      async ({ params, identity, rpc }) => {
        const { own, asOfMs } = await inventory.getOwnSeats({ ...params, userId: identity.accountId }, rpc());
        const shown = (deadlineMs: number) =>
          own
            .filter((one) => (deadlineMs === 0 ? one.deadlineMs === 0 : one.deadlineMs > 0))
            .flatMap((one) =>
              one.seats.map((seat) => ({
                seat: seat.seatId,
                section: seat.sectionId,
                ...(seat.row === "" ? {} : { row: seat.row }),
                number: seat.number,
                ...(one.deadlineMs === 0 ? {} : { heldUntil: new Date(one.deadlineMs).toISOString() }),
                ...(one.checkoutId === "" ? {} : { checkoutId: one.checkoutId }),
              })),
            );
        return {
          status: 200,
          body: { held: shown(1), owned: shown(0), asOf: new Date(asOfMs).toISOString() },
        };
      },
    ),
  ];
}
