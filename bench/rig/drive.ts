// Sends a number of requests, so many at a time or so many a second, and keeps the books: outcomes, times, how long it took.
import { setTimeout as sleep } from "node:timers/promises";
import { percentile } from "./statistics.js";

export type Outcome = "won" | "lost" | (string & {});

export interface Tally {
  readonly outcomes: Readonly<Record<string, number>>;
  readonly count: number;
  readonly wallMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** When each request was due or sent, epoch milliseconds, in the order of the requests; if it was asked for. */
  readonly sentAt?: readonly number[];
}

export interface Pace {
  readonly count: number;
  /** At most so many unanswered at a time. */
  readonly inFlight: number;
  /** Undefined: as fast as answers come. Else at this rate whatever the answers do; time counts from when a request was due. */
  readonly perSecond?: number | undefined;
  readonly keepTimes?: boolean;
}

export interface Books {
  /** Takes the time from `startedAt` (performance.now) to now. */
  note(outcome: Outcome, startedAt: number): void;
  close(): Tally;
}

export function openBooks(): Books {
  const outcomes: Record<string, number> = {};
  const times: number[] = [];
  const openedAt = performance.now();
  return {
    note(outcome, startedAt) {
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      times.push(performance.now() - startedAt);
    },
    close: () => ({
      outcomes,
      count: times.length,
      wallMs: performance.now() - openedAt,
      p50Ms: percentile(times, 50),
      p99Ms: percentile(times, 99),
      maxMs: times.reduce((most, time) => Math.max(most, time), 0),
    }),
  };
}

export async function drive(
  { count, inFlight, perSecond, keepTimes }: Pace,
  send: (at: number, lane: number) => Promise<Outcome>,
): Promise<Tally> {
  const books = openBooks();
  const sentAt: number[] = [];
  let next = 0;
  const begunAt = performance.now();
  const dueAt = (at: number) => (perSecond === undefined ? undefined : begunAt + (at * 1000) / perSecond);

  async function serve(lane: number): Promise<void> {
    for (let at = next++; at < count; at = next++) {
      const due = dueAt(at);
      const wait = due === undefined ? 0 : due - performance.now();
      if (wait > 0) await sleep(wait);
      // Timers may ring a moment early.
      const startedAt = Math.min(due ?? Number.POSITIVE_INFINITY, performance.now());
      if (keepTimes) sentAt[at] = performance.timeOrigin + startedAt;
      books.note(await send(at, lane), startedAt);
    }
  }
  await Promise.all(Array.from({ length: Math.min(inFlight, count) }, (_, lane) => serve(lane)));
  return { ...books.close(), ...(keepTimes ? { sentAt } : {}) };
}
