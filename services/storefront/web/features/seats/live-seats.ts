// The seats' states as they change: a stream of events from the gateway, and asking every few seconds while there is none.
import { useCallback, useEffect, useRef, useState } from "react";
import { api, type Event } from "../../api/client.js";
import { type SeatPlan, stateByCode, unpackStates } from "./seat-plan.js";

export interface LiveSeats {
  /** One byte a seat, in layout order; the same array is changed in place. Undefined: not here yet. */
  readonly states: Uint8Array | undefined;
  readonly status: "starting" | "live" | "asking" | "waiting";
  /** Calls with each batch of changed seats; undefined: any may have. */
  subscribe(listener: (changed: readonly number[] | undefined) => void): () => void;
}

interface Snapshot {
  readonly layoutVersion: string;
  readonly seatCount: number;
  /** base64 of two bits a seat */
  readonly states: string;
}
interface Changes {
  /** "first seat:how many:state", by comma; empty: nothing is new */
  readonly changes: string;
}

const askEveryMs = 3_000;
/** A stream that was refused, not only cut, is not opened again by the browser. */
const listenAgainMs = 20_000;

/** `opened`: the seats of a code; with it the states are those for its buyer. */
export function useLiveSeats(
  eventId: Event["eventId"],
  plan: SeatPlan | undefined,
  opened: ReadonlySet<number> | undefined,
): LiveSeats {
  const listeners = useRef(new Set<(changed: readonly number[] | undefined) => void>());
  const [states, setStates] = useState<Uint8Array>();
  const [status, setStatus] = useState<LiveSeats["status"]>("starting");

  useEffect(() => {
    if (!plan) return;
    let held: Uint8Array | undefined;
    const seen = (state: number, seat: number) => (opened ? stateByCode(state, opened.has(seat)) : state);
    let stopped = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const tell = (changed: readonly number[] | undefined) => {
      for (const listener of listeners.current) listener(changed);
    };

    function take(told: Uint8Array): void {
      const fresh = opened ? told.map(seen) : told;
      if (!held) {
        held = fresh;
        setStates(fresh);
        tell(undefined);
        return;
      }
      const changed: number[] = [];
      for (let seat = 0; seat < fresh.length; seat++) if (fresh[seat] !== held[seat]) changed.push(seat);
      held.set(fresh);
      if (changed.length > 0) tell(changed);
    }

    async function ask(): Promise<void> {
      try {
        const { data, response } = await api.GET("/v1/events/{eventId}/seats/state", {
          params: { path: { eventId } },
          parseAs: "arrayBuffer",
        });
        if (stopped) return;
        if (response.ok && data) {
          take(unpackStates(new Uint8Array(data as unknown as ArrayBuffer), plan?.seatCount ?? 0));
          setStatus("asking");
        } else if (response.status === 503) setStatus("waiting");
      } catch {
        setStatus("asking");
      }
      if (stopped) return;
      if (stream.readyState === EventSource.CLOSED && Date.now() - listenedAt > listenAgainMs) listen();
      timer = setTimeout(() => void ask(), askEveryMs * (0.8 + 0.4 * Math.random()));
    }

    const whole = ({ data }: MessageEvent<string>) => {
      clearTimeout(timer);
      timer = undefined;
      const { states: text } = JSON.parse(data) as Snapshot;
      take(
        unpackStates(
          Uint8Array.from(atob(text), (character) => character.charCodeAt(0)),
          plan.seatCount,
        ),
      );
      setStatus("live");
    };
    const some = ({ data }: MessageEvent<string>) => {
      if (!held) return;
      const changed: number[] = [];
      for (const run of (JSON.parse(data) as Changes).changes.split(",")) {
        const [start = 0, length = 0, state = 0] = run.split(":").map(Number);
        for (let seat = start; seat < start + length; seat++) {
          held[seat] = seen(state, seat);
          changed.push(seat);
        }
      }
      setStatus("live");
      tell(changed);
    };

    let stream: EventSource;
    let listenedAt = 0;
    function listen(): void {
      listenedAt = Date.now();
      stream = new EventSource(`/v1/events/${encodeURIComponent(eventId)}/seats/stream`);
      stream.addEventListener("snapshot", whole);
      stream.addEventListener("reset", whole);
      stream.addEventListener("changes", some);
      stream.addEventListener("wait", () => setStatus("waiting"));
      stream.onerror = () => {
        if (timer === undefined && !stopped) timer = setTimeout(() => void ask(), 200);
      };
    }
    listen();

    return () => {
      stopped = true;
      stream.close();
      clearTimeout(timer);
    };
  }, [eventId, plan, opened]);

  const subscribe = useCallback((listener: (changed: readonly number[] | undefined) => void) => {
    listeners.current.add(listener);
    return () => {
      listeners.current.delete(listener);
    };
  }, []);
  return { states, status, subscribe };
}
