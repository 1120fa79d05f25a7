// When 10,000 holds expire at once, how long do others wait?
import { setTimeout as sleep } from "node:timers/promises";
import { newId } from "@onsale/kit/ids";
import type { Tally } from "./rig/drive.js";
import type { Findings } from "./rig/findings.js";
import { learnHold } from "./rig/hold-rounds.js";
import { expectOutcomes, type Question, type Scope } from "./rig/question.js";
import { buyers, putOnSale, type Sale, Snapshot } from "./rig/stage.js";
import { median, shown } from "./rig/statistics.js";

const mostDelayMs = 50;
const perSecond = 200;

export const expiry: Question = {
  title: "Holds that expire together",
  async ask({ ground, openStage, pick, say }: Scope): Promise<Findings> {
    const many = pick(10_000, 10_000, 500);
    const ttlSeconds = pick(3, 3, 1);
    const marginSeconds = pick(1, 1, 0.5);
    // A sweep a second, each of 2,000 at most.
    const lookSeconds = pick(7, 7, 1.5);
    const rounds = pick(3, 1, 1);
    const { redis, generator, valkeyPort } = ground;
    const stage = await openStage({
      gateways: 0,
      inventorySettings: { HOLD_TTL_SECONDS: String(ttlSeconds), HOLD_MARGIN_SECONDS: String(marginSeconds) },
    });
    const seen: { quiet: Tally; expiring: Tally; slowestMs: number; leftAfter: number; madeInMs: number }[] = [];
    try {
      const crowd = await putOnSale(stage, { seats: 60_000, sections: 8 });
      const others = await putOnSale(stage, { seats: 60_000, sections: 8 });
      const [crowdBefore, othersBefore] = [await Snapshot.of(stage, crowd), await Snapshot.of(stage, others)];
      const pace = async (seconds: number): Promise<Tally> => {
        const count = Math.round(seconds * perSecond);
        const tally = await generator.run({
          kind: "gRPC holds",
          how: "gateway",
          addresses: stage.inventoryAddresses,
          sharedSecret: ground.sharedSecret,
          ...holdsOf(others, count),
          pace: { count, inFlight: 200, perSecond },
        });
        expectOutcomes(tally, "the others", { won: count, lost: 0 });
        return tally;
      };
      await pace(pick(1, 1, 0.2));
      const command = await learnHold(stage, crowd, 1);
      for (let round = 1; round <= rounds; round++) {
        say(`round ${round} of ${rounds}`);
        await crowdBefore.restore();
        await othersBefore.restore();
        const begunAt = performance.now();
        const made = await generator.run({
          kind: "raw holds",
          port: valkeyPort,
          command,
          ...holdsOf(crowd, many),
          pace: { count: many, inFlight: 64 },
        });
        expectOutcomes(made, "the crowd", { won: many, lost: 0 });
        const quiet = await pace(pick(1.5, 1.5, 0.3));
        await othersBefore.restore();
        // The last 0.3 s of peace belong to it, and enough afterwards for every sweep.
        const expiresInMs = begunAt + (ttlSeconds + marginSeconds) * 1_000 - performance.now();
        await sleep(Math.max(0, expiresInMs - 300));
        await redis.config("SET", "slowlog-log-slower-than", "500");
        await redis.config("SET", "slowlog-max-len", "10000");
        await redis.slowlog("RESET");
        const expiring = await pace(lookSeconds);
        const slow = (await redis.slowlog("GET", -1)) as [number, number, number][];
        const slowestMs = Math.max(0, ...slow.map(([, , micros]) => micros / 1_000));
        const { sections } = await stage.seats.getAvailability({ eventId: crowd.eventId });
        const leftAfter = sections.reduce((all, { held }) => all + held, 0);
        seen.push({ quiet, expiring, slowestMs, leftAfter, madeInMs: made.wallMs });
      }
    } finally {
      await stage.stop();
    }
    const middle = (pick: (one: (typeof seen)[number]) => number) => median(seen.map(pick));
    const delay = middle(({ quiet, expiring }) => expiring.maxMs - quiet.p50Ms);
    return {
      tables: [
        {
          title: `Others' holds over gRPC, ${perSecond} a second, on another event; medians of ${rounds} rounds`,
          columns: ["", "p50 ms", "p99 ms", "slowest ms"],
          rows: [
            [
              "before",
              ...(["p50Ms", "p99Ms", "maxMs"] as const).map((key) => shown(middle(({ quiet }) => quiet[key]))),
            ],
            [
              `while ${many.toLocaleString("en")} holds expire`,
              ...(["p50Ms", "p99Ms", "maxMs"] as const).map((key) => shown(middle(({ expiring }) => expiring[key]))),
            ],
          ],
        },
      ],
      goals: [
        {
          goal: `${many.toLocaleString("en")} holds that expire together delay nobody by more than ${mostDelayMs} ms`,
          figure: `the slowest took ${shown(delay)} ms more than the median before`,
          reached: delay <= mostDelayMs,
        },
        {
          goal: "all of their seats are free again",
          figure: `${Math.max(...seen.map(({ leftAfter }) => leftAfter))} still shown as held, ${lookSeconds - 0.3} s after`,
          reached: seen.every(({ leftAfter }) => leftAfter === 0),
        },
      ],
      notes: [
        `The holds were made within ${shown(middle(({ madeInMs }) => madeInMs / 1_000))} s, each of another person. The longest single command in Valkey meanwhile took ${shown(middle(({ slowestMs }) => slowestMs))} ms (0: none over 0.5 ms).`,
      ],
    };
  },
};

function holdsOf({ eventId, house }: Sale, count: number) {
  return {
    eventId,
    run: newId("run").slice(4),
    buyers: Math.max(buyers, count),
    traffic: { house, seatsPerHold: 1, losers: 0, whole: true, count, seed: 1 + Math.floor(Math.random() * 1e9) },
  };
}
