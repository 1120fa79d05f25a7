// Rounds of holds over one stage: every cell begins with the same seats, and is checked to have got the answers it must.
import { newId } from "@onsale/kit/ids";
import { HoldRequest } from "@onsale/proto/inventory/v1/seats";
import type { Watched } from "./cpu-time.js";
import type { Tally } from "./drive.js";
import { blocksOf, type House, seatIdsOf, sectionId, startOf } from "./house.js";
import { type Overheard, overhear } from "./overheard.js";
import { expectOutcomes } from "./question.js";
import { buyers, costOf, putOnSale, type Sale, Snapshot, type Stage, takeLosersSeats } from "./stage.js";
import { sum } from "./statistics.js";

export const ways = ["raw EVALSHA", "gRPC, unary", "gRPC, as the gateway does it", "REST"] as const;
export type Way = (typeof ways)[number];

/** Whose work a hold is, this way: what the others do meanwhile (sweeps, metrics) is not its cost. */
const takePart: Record<Way, readonly string[]> = {
  "raw EVALSHA": ["valkey"],
  "gRPC, unary": ["valkey", "inventory"],
  "gRPC, as the gateway does it": ["valkey", "inventory"],
  REST: ["valkey", "inventory", "gateway"],
};

export interface Cell {
  readonly way: Way;
  readonly seatsPerHold: number;
  readonly losers: number;
  readonly hotBlocks?: number;
  readonly count: number;
  readonly inFlight?: number;
  readonly perSecond?: number;
  /** How many of the stage's gateways and inventories take part. */
  readonly processes?: number;
}

export interface Measured {
  /** Microseconds of CPU a hold, by part. */
  readonly micros: ReadonlyMap<string, number>;
  /** All server processes that take part. */
  readonly serverMicros: number;
  readonly perSecond: number;
  readonly tally: Tally;
}

export interface HoldRounds {
  readonly sale: Sale;
  measure(cell: Cell): Promise<Measured>;
}

export async function prepareHoldRounds(stage: Stage, house: House, lengths: readonly number[]): Promise<HoldRounds> {
  const { ground } = stage;
  const sale = await putOnSale(stage, house);
  await takeLosersSeats(stage, sale);
  const snapshot = await Snapshot.of(stage, sale);
  const tokens = await ground.neighbours.tokens(buyers);
  const commands = new Map<number, Overheard>();
  for (const length of lengths) {
    commands.set(length, await learnHold(stage, sale, length));
    await snapshot.restore();
  }

  return {
    sale,
    async measure({ way, seatsPerHold, losers, hotBlocks, count, inFlight = 32, perSecond, processes = 1 }) {
      await snapshot.restore();
      const seed = 1 + Math.floor(Math.random() * 1e9);
      const job = {
        traffic: { house, seatsPerHold, losers, count, seed, ...(hotBlocks === undefined ? {} : { hotBlocks }) },
        pace: { count, inFlight, perSecond },
        eventId: sale.eventId,
        run: newId("run").slice(4),
        buyers,
      };
      const parts: Watched[] = stage.parts.map((part) => ({ ...part, pids: () => part.pids() }));
      const run = (): Promise<Tally> => {
        switch (way) {
          case "raw EVALSHA":
            return ground.generator.run({
              ...job,
              kind: "raw holds",
              port: ground.valkeyPort,
              command: commands.get(seatsPerHold) as Overheard,
            });
          case "gRPC, unary":
          case "gRPC, as the gateway does it":
            return ground.generator.run({
              ...job,
              kind: "gRPC holds",
              how: way === "gRPC, unary" ? "unary" : "gateway",
              addresses: stage.inventoryAddresses.slice(0, processes),
              sharedSecret: ground.sharedSecret,
            });
          case "REST":
            return ground.generator.run({
              ...job,
              kind: "REST holds",
              ports: stage.gatewayPorts.slice(0, processes),
              tokens,
            });
        }
      };
      const { answer: tally, micros: all } = await costOf({ ground, parts }, run);
      const lost = Math.floor(count * losers);
      expectOutcomes(tally, `${way}, ${seatsPerHold} seats`, { won: count - lost, lost });
      const ours = (part: string) => takePart[way].includes(part) || !takePart.REST.includes(part);
      const micros = new Map([...all].filter(([part]) => ours(part)).map(([part, total]) => [part, total / count]));
      return {
        micros,
        serverMicros: sum(takePart[way].map((part) => micros.get(part) ?? 0)),
        perSecond: (count * 1_000) / tally.wallMs,
        tally,
      };
    },
  };
}

export async function learnHold({ ground, seats }: Stage, sale: Sale, length: number): Promise<Overheard> {
  // A place whose number appears nowhere else in the command.
  const block = blocksOf(sale.house, length).findLast((one) => one.length === length);
  if (!block) throw new Error(`the house has no ${length} seats side by side`);
  const userId = "usr_overheard";
  const request = HoldRequest.fromPartial({
    checkoutId: `chk_overheard${length}`,
    userId,
    eventId: sale.eventId,
    selection: { $case: "seats", value: { seatIds: seatIdsOf(block) } },
  });
  const [command] = await overhear(ground.redisUrl, 1, async () => {
    const { holdId } = await seats.hold(request);
    return { holdId, userId, section: sectionId(block.section), start: startOf(block) };
  });
  return command as Overheard;
}
