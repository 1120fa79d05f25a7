// How much of Valkey's memory does a seat take, when the house is empty and when every seat is held?
import { setTimeout as sleep } from "node:timers/promises";
import { newId } from "@onsale/kit/ids";
import type { Findings, Goal } from "./rig/findings.js";
import { learnHold } from "./rig/hold-rounds.js";
import { blocksOf } from "./rig/house.js";
import { expectOutcomes, type Question, type Scope } from "./rig/question.js";
import { putOnSale, Snapshot } from "./rig/stage.js";
import { shown } from "./rig/statistics.js";

const mostBytes = 100;

export const memory: Question = {
  title: "Memory a seat",
  async ask({ ground, openStage, pick }: Scope): Promise<Findings> {
    const house = { seats: pick(60_000, 60_000, 4_000), sections: 8 };
    const { redis, generator, valkeyPort } = ground;
    const used = async () => {
      await sleep(pick(500, 300, 100));
      return Number(/^used_memory:(\d+)/m.exec(await redis.info("memory"))?.[1]);
    };
    const rows: { seatsPerHold: number; empty: number; held: number }[] = [];
    const stage = await openStage({ gateways: 0 });
    try {
      for (const seatsPerHold of [1, 2, 4]) {
        const before = await used();
        const sale = await putOnSale(stage, house);
        const empty = await used();
        const snapshot = await Snapshot.of(stage, sale);
        if (seatsPerHold === 1) await loadHoldScript();
        const command = await learnHold(stage, sale, seatsPerHold);
        await snapshot.restore();
        const count = blocksOf(house, seatsPerHold).length;
        const tally = await generator.run({
          kind: "raw holds",
          port: valkeyPort,
          command,
          eventId: sale.eventId,
          run: newId("run").slice(4),
          buyers: count, // each hold is another person's
          pace: { count, inFlight: 64 },
          traffic: { house, seatsPerHold, losers: 0, whole: true, count, seed: 7 },
        });
        expectOutcomes(tally, `filling the house by ${seatsPerHold}`, { won: count, lost: 0 });
        const full = await used();
        rows.push({
          seatsPerHold,
          empty: (empty - before) / house.seats,
          held: (full - before) / (count * seatsPerHold),
        });
        await snapshot.remove();
      }
    } finally {
      await stage.stop();
    }

    async function loadHoldScript(): Promise<void> {
      // The first hold sends the script itself; those that follow only its name, which is what learnHold listens for.
      const other = await putOnSale(stage, { seats: 100, sections: 1 });
      await stage.seats.hold({
        checkoutId: "chk_first",
        userId: "usr_first",
        eventId: other.eventId,
        selection: { $case: "seats", value: { seatIds: ["S1-1-1"] } },
      });
    }

    const goals: Goal[] = rows.map(({ seatsPerHold, held }) => ({
      goal: `≤ ${mostBytes} B a seat, all held, ${seatsPerHold} to a hold`,
      figure: `${shown(held)} B`,
      reached: held <= mostBytes,
    }));
    return {
      tables: [
        {
          title: `Bytes of Valkey's memory (used_memory) a seat; ${house.seats.toLocaleString("en")} seats`,
          columns: ["seats in a hold", "nobody there", "all held"],
          rows: rows.map(({ seatsPerHold, empty, held }) => [String(seatsPerHold), shown(empty), shown(held)]),
        },
      ],
      goals,
      notes: [
        "Every hold is another person's, the most expensive case. Beyond the 16 bytes of its record and its 2 bits in the map, what a held seat takes belongs to its hold (the record of the hold, its place in the index by expiry, its person's entry), so it is shared by the seats of the hold.",
      ],
    };
  },
};
