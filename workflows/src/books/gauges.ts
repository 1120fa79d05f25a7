// What a worker tells Prometheus of the books: what they came to the last time, wherever they were closed.
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import type { CloseBooksResult } from "../contract.js";
import { booksCauses } from "./findings.js";

export interface ClosedBooks {
  /** Before the first time: since when they are to be closed. */
  readonly closedAtMs: number;
  /** undefined: they were not closed yet, as far as Temporal remembers. */
  readonly result: CloseBooksResult | undefined;
}

const lookEveryMs = 15_000;

/** Asks Temporal now and then, and answers how to stop that. It remembers, where a worker that was started anew would not. */
export function watchBooks(
  last: () => Promise<ClosedBooks | undefined>,
  metrics: Metrics,
  log: Logger,
  everyMs = lookEveryMs,
): () => void {
  const findings = metrics.gauge("onsale_books_findings", "Differences when the books were closed last", ["cause"]);
  const difference = metrics.gauge(
    "onsale_books_difference",
    "What nothing explains of the money captured, in minor units, when the books were closed last",
    ["currency"],
  );
  let closedAtMs = Number.NaN;
  metrics.gaugeOf(
    "onsale_books_last_success_timestamp_seconds",
    "When the books were closed last, with differences or without; before the first time: since when they are to be",
    () => closedAtMs / 1_000,
  );
  const look = async () => {
    try {
      const found = await last();
      if (!found) return;
      // Temporal forgets a run after its retention, which may be shorter than the time to the next.
      if (closedAtMs > found.closedAtMs) return;
      closedAtMs = found.closedAtMs;
      if (!found.result) return;
      for (const cause of booksCauses) findings.set({ cause }, found.result.causes[cause] ?? 0);
      difference.reset();
      for (const { currency, difference: left } of found.result.figures) difference.set({ currency }, left);
    } catch (err) {
      log.debug({ err }, "the books' last result can't be read");
    }
  };
  const timer = setInterval(() => void look(), everyMs);
  const first = setTimeout(() => void look(), Math.min(everyMs, 2_000));
  timer.unref();
  first.unref();
  return () => {
    clearInterval(timer);
    clearTimeout(first);
  };
}
