// What does the map of a large house weigh, and what does it cost to read?
import { newId } from "@onsale/kit/ids";
import type { Findings } from "./rig/findings.js";
import { prepareHoldRounds } from "./rig/hold-rounds.js";
import { openHttp, writeRequest } from "./rig/http-client.js";
import type { Question, Scope } from "./rig/question.js";
import { costOf, type Stage } from "./rig/stage.js";
import { shown } from "./rig/statistics.js";

const mostBytes = 15 * 1_024;
const mostMicros = 1_000;

export const map: Question = {
  title: "The map of a large house",
  async ask({ ground, openStage, pick }: Scope): Promise<Findings> {
    const house = { seats: pick(60_000, 60_000, 4_000), sections: pick(64, 64, 8) };
    const reads = pick(1_000, 300, 20);
    const { redis } = ground;
    // Nothing remembered: every read is one of Valkey.
    const cold = await openStage({ gateways: 0, inventorySettings: { AVAILABILITY_CACHE_MS: "0" } });
    let fresh: { bytes: number; valkeyMicros: number; valkey: number; inventory: number };
    try {
      const eventId = await fill(cold);
      const read = () => cold.seats.getSeatStates({ eventId });
      for (let at = 0; at < reads / 4; at++) await read();
      await redis.config("RESETSTAT");
      const { answer: bytes, micros } = await costOf({ ...cold, parts: cold.parts }, async () => {
        let size = 0;
        for (let at = 0; at < reads; at++) size = (await read()).states.length;
        return size;
      });
      const stats = await redis.info("commandstats");
      const own = /^cmdstat_(config|info|ping)/;
      const spent = [...stats.matchAll(/^(cmdstat_\S+?):calls=\d+,usec=(\d+)/gm)]
        .filter(([, name]) => !own.test(name ?? ""))
        .reduce((all, [, , usec]) => all + Number(usec), 0);
      fresh = {
        bytes,
        valkeyMicros: spent / reads,
        valkey: (micros.get("valkey") ?? 0) / reads,
        inventory: (micros.get("inventory") ?? 0) / reads,
      };
    } finally {
      await cold.stop();
    }
    // As it is run: whoever asks within a quarter of a second shares one read.
    const warm = await openStage();
    let shared: { bytes: number; micros: ReadonlyMap<string, number> };
    try {
      const eventId = await fill(warm);
      const connection = await openHttp(warm.gatewayPorts[0] as number);
      const request = writeRequest({ method: "GET", path: `/v1/events/${eventId}/seats/state`, host: "127.0.0.1" });
      const read = async () => {
        const { status, body } = await connection.send(request);
        if (status !== 200) throw new Error(`the map answers ${status}: ${body.toString().slice(0, 200)}`);
        return body.length;
      };
      for (let at = 0; at < reads; at++) await read();
      const { answer: bytes, micros } = await costOf(warm, async () => {
        let size = 0;
        for (let at = 0; at < reads * 2; at++) size = await read();
        return size;
      });
      shared = { bytes, micros: new Map([...micros].map(([part, all]) => [part, all / (reads * 2)])) };
      connection.close();
    } finally {
      await warm.stop();
    }
    return {
      tables: [
        {
          title: `A map of ${house.seats.toLocaleString("en")} seats in ${house.sections} sections, a third of them held: CPU µs a read`,
          columns: ["", "bytes", "valkey", "inventory", "gateway"],
          rows: [
            ["gRPC, every read from Valkey", String(fresh.bytes), shown(fresh.valkey), shown(fresh.inventory), "-"],
            [
              "REST, as it is run (remembered for 0.25 s)",
              String(shared.bytes),
              ...["valkey", "inventory", "gateway"].map((part) => shown(shared.micros.get(part) ?? 0)),
            ],
          ],
        },
      ],
      goals: [
        {
          goal: "a map of 60,000 seats ≤ 15 KB",
          figure: `${(Math.max(fresh.bytes, shared.bytes) / 1_024).toFixed(1)} KB`,
          reached: Math.max(fresh.bytes, shared.bytes) <= mostBytes,
        },
        {
          goal: "≤ 1 ms at the server",
          figure: `${shown(fresh.valkeyMicros / 1_000)} ms in Valkey's commands`,
          reached: fresh.valkeyMicros <= mostMicros,
        },
      ],
      notes: [
        "In Valkey's commands: what INFO commandstats counts for all that one read runs, the sweep before it included.",
      ],
    };

    async function fill(stage: Stage): Promise<string> {
      const holds = await prepareHoldRounds({ ...stage, parts: [] }, house, []);
      const count = Math.floor(house.seats / 6);
      await ground.generator.run({
        kind: "gRPC holds",
        how: "gateway",
        addresses: stage.inventoryAddresses,
        sharedSecret: ground.sharedSecret,
        eventId: holds.sale.eventId,
        run: newId("run").slice(4),
        buyers: count,
        pace: { count, inFlight: 64 },
        traffic: { house, seatsPerHold: 2, losers: 0, count, seed: 3 },
      });
      return holds.sale.eventId;
    }
  },
};
