// What does a hold cost, by process: the script alone, over gRPC, over REST; won and lost; 1 to 8 seats; one process and two?
import { limitCpu } from "./rig/cpu-share.js";
import type { Findings, Goal, Table } from "./rig/findings.js";
import { type Cell, type Measured, prepareHoldRounds, type Way, ways } from "./rig/hold-rounds.js";
import type { Question, Scope } from "./rig/question.js";
import { openTemporal, watch } from "./rig/stage.js";
import { median, medianRatio, shown, times } from "./rig/statistics.js";

const lengths = [1, 2, 4, 8] as const;
const traffics = [
  { name: "all win", losers: 0 },
  { name: "90 % lose", losers: 0.9 },
] as const;
const parts = ["valkey", "inventory", "gateway"] as const;
/** Each process of one and two: on a machine of few cores two could not do more than one, were they not held to so much. */
const shareOfACore = 0.3;
const inFlightEach = 64;

export const hold: Question = {
  title: "What a hold costs",
  async ask(scope: Scope): Promise<Findings> {
    const { ground, openStage, pick, say } = scope;
    const rounds = pick(5, 2, 1);
    const counts: Record<Way, number> = {
      "raw EVALSHA": pick(6_000, 2_000, 60),
      "gRPC, unary": pick(3_000, 800, 20),
      "gRPC, as the gateway does it": pick(4_000, 1_200, 20),
      REST: pick(6_000, 600, 20),
    };
    const askedLengths = pick<readonly number[]>(lengths, [1, 8], [1, 8]);
    const house = { seats: pick(60_000, 60_000, 6_000), sections: 8 };
    const perSecond = 300;

    const stage = await openStage({ inventories: 2, gateways: 2 });
    let asked = 0;
    let limited = false;
    const seen = new Map<string, Measured[]>();
    const key = (way: Way, traffic: string, length: number, more = "") => `${way}|${traffic}|${length}|${more}`;
    const all = (...where: Parameters<typeof key>) => seen.get(key(...where)) ?? [];
    try {
      const holds = await prepareHoldRounds(stage, house, askedLengths);
      const measure = async (cell: Cell, ...where: Parameters<typeof key>) => {
        const measured = await holds.measure(cell);
        seen.set(key(...where), [...all(...where), measured]);
      };
      say("warming up");
      const warmUp = (way: Way) => (way === "raw EVALSHA" ? pick(500, 500, 20) : pick(8_000, 1_000, 10));
      for (const way of ways)
        for (const { losers } of traffics)
          await holds.measure({ way, seatsPerHold: 1, losers, count: warmUp(way), processes: 2 });
      for (let round = 1; round <= rounds && (round === 1 || scope.seconds() < pick(330, 30, 60)); round++) {
        asked = round;
        say(`round ${round} of ${rounds}`);
        for (const length of askedLengths)
          for (const { name, losers } of traffics)
            for (const way of ways)
              await measure({ way, seatsPerHold: length, losers, count: counts[way] }, way, name, length);
        if (round % 2 === 1)
          for (const { name, losers } of traffics)
            for (const way of ways.slice(1))
              await measure(
                { way, seatsPerHold: 1, losers, count: pick(300, 150, 20), inFlight: 200, perSecond },
                way,
                name,
                1,
                "paced",
              );
        const limit = limitCpu(
          [...stage.gateways, ...stage.inventories].flatMap(({ pid }) => pid ?? []),
          shareOfACore,
        );
        limited = limit !== undefined;
        try {
          for (const processes of pick([1, 2], [1, 2], [1]))
            await measure(
              {
                way: "REST",
                seatsPerHold: 1,
                losers: 0.9,
                count: counts.REST,
                inFlight: inFlightEach * processes,
                processes,
              },
              "REST",
              "90 % lose",
              1,
              `${processes} processes`,
            );
        } finally {
          limit?.lift();
        }
      }
    } finally {
      await stage.stop();
    }
    const shipped = await asShipped(scope);

    const medianOf = (list: readonly Measured[], pick: (one: Measured) => number) => median(list.map(pick));
    const raw = (traffic: string, length: number) => all("raw EVALSHA", traffic, length);
    const ratioToRaw = (way: Way, traffic: string, length: number) =>
      medianRatio(
        all(way, traffic, length).map(({ serverMicros }) => serverMicros),
        raw(traffic, length).map(({ serverMicros }) => serverMicros),
      );
    const partOf = (list: readonly Measured[], part: string) =>
      shown(medianOf(list, ({ micros }) => micros.get(part) ?? Number.NaN));

    const main: Table = {
      title: `CPU µs a hold of 1 seat, by process; 32 in flight; p50 and p99 at ${perSecond} holds/s`,
      columns: ["way", "traffic", ...parts, "together", "to raw", "load generator", "holds/s", "p50 ms", "p99 ms"],
      rows: ways.flatMap((way) =>
        traffics.map(({ name }) => {
          const cells = all(way, name, 1);
          const paced = all(way, name, 1, "paced");
          return [
            way,
            name,
            ...parts.map((part) => partOf(cells, part)),
            shown(medianOf(cells, ({ serverMicros }) => serverMicros)),
            times(ratioToRaw(way, name, 1)),
            partOf(cells, ground.generator.name),
            shown(medianOf(cells, (one) => one.perSecond)),
            shown(medianOf(paced, ({ tally }) => tally.p50Ms)),
            shown(medianOf(paced, ({ tally }) => tally.p99Ms)),
          ];
        }),
      ),
    };
    const byLength: Table = {
      title: "CPU µs a hold, all server processes together, by seats in the hold (and to raw)",
      columns: ["way", "traffic", ...askedLengths.map(String)],
      rows: ways.flatMap((way) =>
        traffics.map(({ name }) => [
          way,
          name,
          ...askedLengths.map(
            (length) =>
              `${shown(medianOf(all(way, name, length), ({ serverMicros }) => serverMicros))} (${times(ratioToRaw(way, name, length))})`,
          ),
        ]),
      ),
    };
    const scaling: Table = {
      title: `One process and two${limited ? `, each held to ${shareOfACore * 100} % of a core` : ""}: REST, 1 seat, 90 % lose, ${inFlightEach} in flight for each`,
      columns: ["gateways + inventories", "holds/s", "CPU µs a hold", ...parts],
      rows: [1, 2].map((processes) => {
        const cells = all("REST", "90 % lose", 1, `${processes} processes`);
        return [
          `${processes} + ${processes}`,
          shown(medianOf(cells, (one) => one.perSecond)),
          shown(medianOf(cells, ({ serverMicros }) => serverMicros)),
          ...parts.map((part) => partOf(cells, part)),
        ];
      }),
    };
    const scaled = medianRatio(
      all("REST", "90 % lose", 1, "2 processes").map((one) => one.perSecond),
      all("REST", "90 % lose", 1, "1 processes").map((one) => one.perSecond),
    );

    const restCost = (traffic: string) => medianOf(all("REST", traffic, 1), ({ serverMicros }) => serverMicros);
    const eight = medianRatio(
      raw("all win", 8).map(({ micros }) => micros.get("valkey") ?? 0),
      raw("all win", 1).map(({ micros }) => micros.get("valkey") ?? 0),
    );
    const goals: Goal[] = [
      ...traffics.map(({ name }) => ({
        goal: `REST hold, everything on, ${name}: ≤ 20× the CPU of the raw EVALSHA in the same traffic (aim 12×)`,
        figure: `${times(ratioToRaw("REST", name, 1))} (${shown(restCost(name))} µs)`,
        reached: ratioToRaw("REST", name, 1) <= 20,
      })),
      {
        goal: "8 adjacent seats ≤ 1.3× the Valkey CPU of one",
        figure: times(eight),
        reached: eight <= 1.3,
      },
    ];
    return {
      tables: [main, byLength, scaling, ...(shipped ? [shipped] : [])],
      goals,
      notes: [
        `Medians of ${asked} rounds.`,
        "REST has all of production on: token check, validation, idempotency records, rate limits (with limits that nobody reaches), metrics, logs to a file. Valkey's share includes the gateway's own three scripts a request.",
        "A won REST hold starts a workflow, which is not the question: in these gateways the Temporal client is replaced by one that starts nothing (rig/without-temporal.ts); the look for an earlier order goes over gRPC to a stand-in. The last table has the gateway as it is shipped.",
        limited
          ? `Two gateways and two inventories do ${times(scaled)} the holds of one each. Each process is held to ${shareOfACore * 100} % of a core by a cgroup, as a container's limit does, so that the machine's other work and the load generator don't decide it.`
          : `No cgroups could be made here, so all processes share the machine's cores with the load generator: two of each do ${times(scaled)} the holds of one.`,
      ],
    };
  },
};

/** The gateway with its Temporal client, and what Temporal itself takes. */
async function asShipped({ ground, openStage, pick, say }: Scope): Promise<Table | undefined> {
  const count = pick(300, 100, 0);
  if (count === 0) return undefined;
  say("the gateway as it is shipped, with Temporal");
  const { server, address } = await openTemporal(ground);
  try {
    const stage = await openStage({ gateway: "shipped", temporalAddress: address });
    try {
      const parted = { ...stage, parts: [...stage.parts, watch("temporal", [server])] };
      const holds = await prepareHoldRounds(parted, { seats: 6_000, sections: 8 }, []);
      const cell = { way: "REST", seatsPerHold: 1, inFlight: 16 } as const;
      await holds.measure({ ...cell, losers: 0, count: 30 });
      await holds.measure({ ...cell, losers: 1, count: 500 });
      const won: Measured[] = [];
      const lost: Measured[] = [];
      for (let round = 0; round < pick(3, 1, 1); round++) {
        won.push(await holds.measure({ ...cell, losers: 0, count }));
        lost.push(await holds.measure({ ...cell, losers: 1, count: count * 5 }));
      }
      const row = (what: string, cells: readonly Measured[]) => [
        what,
        ...[...parts, "temporal"].map((part) => shown(median(cells.map(({ micros }) => micros.get(part) ?? 0)))),
      ];
      return {
        title: "The gateway as shipped: CPU µs a REST hold of 1 seat, by process",
        columns: ["", ...parts, "temporal (dev server)"],
        rows: [row("won, workflow started", won), row("lost", lost)],
      };
    } finally {
      await stage.stop();
    }
  } finally {
    await server.stop();
  }
}
