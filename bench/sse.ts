// How soon does a reader see a hold when 5,000 are reading, and what does each cost?
import { readFileSync } from "node:fs";
import { newId } from "@onsale/kit/ids";
import type { Tally } from "./rig/drive.js";
import type { Findings } from "./rig/findings.js";
import { startGenerator } from "./rig/generator.js";
import { requestsOf, seatsOfSection, startOf } from "./rig/house.js";
import { expectOutcomes, type Question, type Scope } from "./rig/question.js";
import type { ReadersTally } from "./rig/reader-load.js";
import { buyers, costOf, putOnSale } from "./rig/stage.js";
import { percentile, shown, sum } from "./rig/statistics.js";

const wanted = 5_000;
const perSecond = 200;
const seatsPerHold = 2;
const mostP99Ms = 500;
/** Of the readers that a version reached, so many are taken at random for each hold in it. */
const sample = 50;

export const sse: Question = {
  title: "Live seats",
  async ask({ ground, openStage, pick, say }: Scope): Promise<Findings> {
    const allowed = Number(/^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? 1_024);
    const most = pick(wanted, 1_000, 20);
    const readers = Math.min(most, allowed - 200);
    const seconds = pick(15, 6, 1.5);
    const house = { seats: pick(60_000, 60_000, 4_000), sections: 8 };
    const audience = startGenerator("readers");
    const stage = await openStage({
      gatewaySettings: { LIVE_READERS: "20000", LIVE_READERS_PER_ADDRESS: "20000" },
    });
    let read: ReadersTally;
    let tally: Tally;
    let micros: ReadonlyMap<string, number>;
    let before: ReadonlyMap<string, number>;
    const count = Math.round(perSecond * seconds);
    const traffic = { house, seatsPerHold, losers: 0, count, seed: 11 };
    let sentAt: readonly number[];
    try {
      const sale = await putOnSale(stage, house);
      say(`${readers} readers come`);
      let ready = () => {};
      const here = new Promise<void>((resolve) => {
        ready = resolve;
      });
      const quietMs = pick(3_000, 2_000, 300);
      const reading = audience.run(
        {
          kind: "readers",
          port: stage.gatewayPorts[0] as number,
          eventId: sale.eventId,
          readers,
          seconds: seconds + quietMs / 1_000 + 2,
        },
        () => ready(),
      );
      await Promise.race([here, reading]);
      say("a sale begins");
      const parts = [...stage.parts, audience];
      before = (await costOf({ ground, parts }, () => new Promise((resolve) => setTimeout(resolve, quietMs)))).micros;
      before = new Map([...before].map(([part, all]) => [part, (all * 1_000) / quietMs]));
      const costs = await costOf({ ground, parts }, () =>
        ground.generator.run({
          kind: "gRPC holds",
          how: "gateway",
          addresses: stage.inventoryAddresses,
          sharedSecret: ground.sharedSecret,
          eventId: sale.eventId,
          run: newId("run").slice(4),
          buyers,
          traffic,
          pace: { count, inFlight: 200, perSecond, keepTimes: true },
        }),
      );
      tally = costs.answer;
      micros = costs.micros;
      expectOutcomes(tally, "the sale", { won: count, lost: 0 });
      sentAt = tally.sentAt ?? [];
      read = await reading;
    } finally {
      await stage.stop();
      await audience.stop();
    }

    // Which hold changed which seat, by its place in layout order.
    const firstOf: number[] = [];
    for (let section = 0, at = 0; section < house.sections; at += seatsOfSection(house, section++)) firstOf.push(at);
    const holdOf = new Map(
      requestsOf(traffic).map(({ block }, at) => [(firstOf[block.section] as number) + startOf(block), at]),
    );
    const delays: number[] = [];
    let deltas = 0;
    const told = new Set<number>();
    for (const { changes, arrivals } of read.versions) {
      if (!changes) continue;
      deltas += arrivals.length;
      for (const change of changes.split(",")) {
        const [start = 0, length = 0, state] = change.split(":").map(Number);
        for (let seat = start; seat < start + length; seat++) {
          const hold = state === 1 ? holdOf.get(seat) : undefined;
          if (hold === undefined) continue;
          told.add(hold);
          for (let look = 0; look < sample; look++)
            delays.push((arrivals[Math.floor(Math.random() * arrivals.length)] as number) - (sentAt[hold] as number));
        }
      }
    }
    const p99 = percentile(delays, 99);
    const perDelta = (part: string) =>
      ((micros.get(part) ?? 0) - ((before.get(part) ?? 0) * tally.wallMs) / 1_000) / deltas;
    const core = (part: string) => `${(((micros.get(part) ?? 0) / (tally.wallMs * 1_000)) * 100).toFixed(0)} %`;
    return {
      tables: [
        {
          title: `${read.readers.toLocaleString("en")} readers at one gateway, ${perSecond} holds of ${seatsPerHold} seats a second for ${shown(tally.wallMs / 1_000)} s`,
          columns: [
            "hold to reader p50 ms",
            "p99 ms",
            "slowest ms",
            "versions/s",
            "gateway CPU µs a reader and version",
            "gateway",
            "inventory",
            "valkey",
            "readers' process",
          ],
          rows: [
            [
              shown(percentile(delays, 50)),
              shown(p99),
              shown(percentile(delays, 100)),
              shown((read.versions.length * 1_000) / tally.wallMs),
              shown(perDelta("gateway")),
              ...["gateway", "inventory", "valkey", "readers"].map(core),
            ],
          ],
        },
      ],
      goals: [
        {
          goal: `a hold is at every reader within ${mostP99Ms} ms (p99), ${wanted.toLocaleString("en")} reading`,
          figure: `p50 ${shown(percentile(delays, 50))} ms, p99 ${shown(p99)} ms, with ${read.readers.toLocaleString("en")} readers`,
          reached: p99 <= mostP99Ms && read.readers >= Math.min(most, wanted),
        },
        {
          goal: "no reader dropped, no hold untold",
          figure: `${read.dropped} dropped, ${count - told.size} of ${count} untold`,
          reached: read.dropped === 0 && told.size === count,
        },
      ],
      notes: [
        "Time counts from when the hold's request was due to when its seat's change was read from a reader's socket. Versions are made every 200 ms, so half of that is waiting for the next one. Percentages are of one core.",
        ...(readers < most
          ? [`This machine allows ${allowed} open files a process, so only ${readers} readers came (ulimit -n).`]
          : []),
        `${shown(sum(read.versions.map(({ arrivals }) => arrivals.length)))} times a reader got a version, ${shown(read.bytes / Math.max(1, read.readers) / 1_024)} KiB a reader.`,
      ],
    };
  },
};
