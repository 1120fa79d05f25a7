// The scripts' commands, exactly as the inventory sends them: overheard once, then filled in for other seats and holds.
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { personOf } from "@onsale/inventory/hall/seat-map";
import { Redis } from "ioredis";
import { writeCommand } from "./resp-client.js";

/** What differs from hold to hold. */
export interface Particulars {
  readonly holdId: string;
  readonly userId: string;
  readonly section: string;
  /** Place of the first seat in its section. */
  readonly start: number;
  /** Epoch milliseconds that the command carries, 13 digits each. */
  readonly times?: readonly number[];
}

/** A command, with the particulars that it was overheard with. */
export interface Overheard {
  readonly args: readonly string[];
  readonly was: Particulars;
}

/**
 * Listens (MONITOR) while `act` makes the inventory run `scripts` scripts for one hold; those commands, in order. The inventory must
 * have run them before: the first time a script goes over whole, and not by its name.
 */
export async function overhear(
  redisUrl: string,
  scripts: number,
  act: () => Promise<Particulars>,
): Promise<readonly Overheard[]> {
  const redis = new Redis(redisUrl);
  const monitor = await redis.monitor();
  const heard: string[][] = [];
  monitor.on("monitor", (_time: string, args: string[], source: string) => {
    if (source !== "lua" && /^(evalsha|fcall)$/i.test(args[0] ?? "")) heard.push(args);
  });
  try {
    const was = await act();
    for (let tries = 0; tries < 150; tries++) {
      const found = heard.filter((args) => args.includes(was.holdId));
      if (found.length >= scripts) return found.slice(-scripts).map((args) => ({ args, was }));
      await sleep(20);
    }
    throw new Error(
      `of ${scripts} scripts for one hold, ${heard.filter((args) => args.includes(was.holdId)).length} were seen in Valkey: the benchmark must learn the new way`,
    );
  } finally {
    const closed = once(monitor, "end");
    monitor.disconnect();
    redis.disconnect();
    await closed;
  }
}

const word = (text: string | number) => new RegExp(`(^|[^0-9A-Za-z])${text}(?![0-9A-Za-z])`, "g");

export function fillIn({ args, was }: Overheard, now: Particulars): Buffer {
  const section = word(was.section);
  const start = word(was.start);
  return writeCommand(
    args.map((arg) => {
      let filled = arg.replaceAll(was.holdId, now.holdId).replaceAll(personOf(was.userId), personOf(now.userId));
      for (const [at, time] of (was.times ?? []).entries())
        filled = filled.replaceAll(String(time), String(now.times?.[at] ?? time));
      return filled.replace(section, `$1${now.section}`).replace(start, `$1${now.start}`);
    }),
  );
}
