// Does it matter that a crowd wants the same few seats, and what does losing cost?
import type { Findings, Goal, Table } from "./rig/findings.js";
import { type Measured, prepareHoldRounds, type Way } from "./rig/hold-rounds.js";
import type { Question, Scope } from "./rig/question.js";
import { median, medianRatio, shown, times } from "./rig/statistics.js";

const traffics = [
  { name: "all win, spread", losers: 0 },
  { name: "90 % lose, spread", losers: 0.9 },
  { name: "90 % lose, on 10 seats", losers: 0.9, hotBlocks: 10 },
] as const;
const [winners, spread, hotSeats] = traffics.map(({ name }) => name) as [string, string, string];

export const hot: Question = {
  title: "Hot seats, and losing",
  async ask(scope: Scope): Promise<Findings> {
    const { openStage, pick, say } = scope;
    let asked = 0;
    const counts: Partial<Record<Way, number>> = {
      "raw EVALSHA": pick(20_000, 6_000, 60),
      "gRPC, as the gateway does it": pick(6_000, 2_000, 20),
      REST: pick(8_000, 800, 20),
    };
    const ways = Object.keys(counts) as Way[];
    const rounds = pick(5, 2, 1);
    const stage = await openStage();
    const seen = new Map<string, Measured[]>();
    const of = (way: Way, name: string) => seen.get(`${way}|${name}`) ?? [];
    try {
      const holds = await prepareHoldRounds(stage, { seats: pick(60_000, 60_000, 4_000), sections: 8 }, [1]);
      say("warming up");
      for (const way of ways)
        for (const { name: _, ...aim } of traffics)
          await holds.measure({ way, seatsPerHold: 1, ...aim, count: pick(8_000, 1_000, 5) });
      for (let round = 1; round <= rounds && (round === 1 || scope.seconds() < pick(60, 20, 60)); round++) {
        asked = round;
        say(`round ${round} of ${rounds}`);
        for (const way of ways)
          for (const { name, ...aim } of traffics)
            seen.set(`${way}|${name}`, [
              ...of(way, name),
              await holds.measure({ way, seatsPerHold: 1, ...aim, count: counts[way] ?? 0 }),
            ]);
      }
    } finally {
      await stage.stop();
    }
    const rates = (way: Way, name: string) => of(way, name).map(({ perSecond }) => perSecond);
    const costs = (way: Way, name: string) => of(way, name).map(({ serverMicros }) => serverMicros);
    const hotToSpread = (way: Way) => medianRatio(rates(way, hotSeats), rates(way, spread));
    const loserToWinner = (way: Way) => medianRatio(costs(way, spread), costs(way, winners));
    const table: Table = {
      title: "1 seat a hold, 32 in flight; ratios are to the row before them in the same round",
      columns: [
        "way",
        "traffic",
        "holds/s",
        "servers' CPU µs a hold",
        "rate: hot to spread",
        "cost: losing to winning",
      ],
      rows: ways.flatMap((way) =>
        traffics.map(({ name }) => [
          way,
          name,
          shown(median(rates(way, name))),
          shown(median(costs(way, name))),
          name === hotSeats ? times(hotToSpread(way)) : "",
          name === spread ? times(loserToWinner(way)) : "",
        ]),
      ),
    };
    const all = (ratio: (way: Way) => number) => ways.map((way) => `${times(ratio(way))} ${way}`).join(", ");
    const goals: Goal[] = [
      {
        goal: "hot seats at ≥ 0.9× the rate of spread ones",
        figure: all(hotToSpread),
        reached: ways.every((way) => hotToSpread(way) >= 0.9),
      },
      {
        goal: "traffic of 90 % losers costs no more than that of winners",
        figure: all(loserToWinner),
        reached: ways.every((way) => loserToWinner(way) <= 1),
      },
    ];
    return {
      tables: [table],
      goals,
      notes: [
        `Medians of ${asked} rounds.`,
        "Hot and spread traffic have the same share of losers; they differ in where those aim.",
      ],
    };
  },
};
