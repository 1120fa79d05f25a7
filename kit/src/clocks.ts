// The clocks that a sale goes by, compared: those of the servers with this machine's own, now and then.

import { seconds } from "./config.js";
import type { Logger } from "./log.js";
import type { Metrics } from "./metrics.js";

export const clockSettings = {
  /** How often the servers are asked for their time. */
  CLOCK_CHECK_SECONDS: seconds.default(30),
  /**
   * Clocks further apart than this make the process unready. A tenth of what a hold lasts (HOLD_TTL_SECONDS), and half of what
   * Valkey keeps seats beyond the checkout's own end (HOLD_MARGIN_SECONDS less the grace of 60 s): up to here buyers only notice
   * that they have some seconds more or less.
   */
  CLOCK_APART_MAX_SECONDS: seconds.default(30),
};

export interface Clock {
  /** In metrics and in the log. */
  readonly of: string;
  /** Epoch milliseconds there, at some moment between call and answer. */
  read(): Promise<number>;
}

export interface ClocksSettings {
  readonly clocks: readonly Clock[];
  readonly checkMs: number;
  readonly apartMaxMs: number;
  /** What goes wrong while they are apart, for the log. */
  readonly means: string;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly nowMs?: () => number;
}

/** How far a server's clock is ahead of ours, at the least: what the way there and back may have taken is not held against it. */
export function offsetOf(there: number, sentAtMs: number, answeredAtMs: number): number {
  if (there > answeredAtMs) return there - answeredAtMs;
  return there < sentAtMs ? there - sentAtMs : 0;
}

export interface Verdict {
  readonly apartMs: number;
  /** The one furthest from the middle one of all, and how far it is ahead of that. Undefined: ours. */
  readonly odd: string | undefined;
  readonly aheadMs: number;
}

/** `offsets`: how far each is ahead of ours. */
export function judgeClocks(offsets: ReadonlyMap<string, number>): Verdict {
  const all: (readonly [string | undefined, number])[] = [[undefined, 0], ...offsets];
  const sorted = all.map(([, offset]) => offset).sort((a, b) => a - b);
  // Of two, nobody knows which is right: then it is said of the other one.
  const middle = all.length === 2 ? 0 : (sorted[Math.floor((sorted.length - 1) / 2)] ?? 0);
  const [odd, offset] = all.reduce((one, other) =>
    Math.abs(other[1] - middle) >= Math.abs(one[1] - middle) ? other : one,
  );
  return { apartMs: (sorted.at(-1) ?? 0) - (sorted[0] ?? 0), odd, aheadMs: offset - middle };
}

/** Looks at once and then every so often, until stopped. A clock that can't be read is no reason for anything: others tell that. */
export function watchClocks(settings: ClocksSettings) {
  const { clocks, checkMs, apartMaxMs, means, metrics, log, nowMs = () => Date.now() } = settings;
  const offsetSeconds = metrics.gauge(
    "onsale_clock_offset_seconds",
    "How far a server's clock is ahead of this machine's, at the least",
    ["of"],
  );
  let tooFarApart = false;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  async function offsetNow({ of, read }: Clock): Promise<readonly [string, number] | undefined> {
    const sentAtMs = nowMs();
    try {
      return [of, offsetOf(await read(), sentAtMs, nowMs())];
    } catch (err) {
      log.debug({ err, of }, "a clock could not be read");
      return undefined;
    }
  }

  async function look(): Promise<Verdict> {
    const found = (await Promise.all(clocks.map(offsetNow))).filter((one) => one !== undefined);
    const offsets = new Map(found);
    for (const { of } of clocks) {
      const offset = offsets.get(of);
      if (offset === undefined) offsetSeconds.remove({ of });
      else offsetSeconds.set({ of }, offset / 1000);
    }
    return judgeClocks(offsets);
  }

  async function check(): Promise<void> {
    let verdict = await look();
    // Once more before anything is stopped: a clock may be set between two looks at it.
    if (verdict.apartMs > apartMaxMs) verdict = await look();
    const isApart = verdict.apartMs > apartMaxMs;
    const shown = (ms: number) => `${(Math.abs(ms) / 1000).toFixed(1)} s`;
    if (isApart && !tooFarApart) {
      const { odd = "this machine", aheadMs } = verdict;
      log.error(
        { of: odd, apartSeconds: verdict.apartMs / 1000 },
        `The clock of ${odd} is ${shown(aheadMs)} ${aheadMs > 0 ? "ahead" : "behind"}, more than the ${shown(apartMaxMs)} of CLOCK_APART_MAX_SECONDS. ${means} ` +
          "This process is not ready until the clocks agree: set that machine's time (NTP), then everything goes on by itself.",
      );
    }
    if (!isApart && tooFarApart) log.info("the clocks agree again");
    tooFarApart = isApart;
  }

  async function run(): Promise<void> {
    await check().catch((err: unknown) => log.error({ err }, "a bug: the clocks could not be compared"));
    if (!stopped) timer = setTimeout(() => void run(), checkMs).unref();
  }
  void run();

  return {
    /** False while clocks are known to be too far apart. */
    agree: () => !tooFarApart,
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
