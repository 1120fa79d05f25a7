// How does onsale compare with what most teams would write, Express and PostgreSQL, under the same load in the same run?
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type StartedProcess, startProcess } from "@onsale/backing/child-process";
import { freePort } from "@onsale/backing/ports";
import { newId } from "@onsale/kit/ids";
import { Client } from "pg";
import { postgresqlPrograms, startPostgresql } from "./peers/postgresql.js";
import { familyOf, type Watched } from "./rig/cpu-time.js";
import type { Tally } from "./rig/drive.js";
import type { Findings, Goal, Table } from "./rig/findings.js";
import { prepareHoldRounds } from "./rig/hold-rounds.js";
import { blocksOf, seatIdsOf, splitHouse } from "./rig/house.js";
import { expectOutcomes, type Question, type Scope } from "./rig/question.js";
import { buyers, costOf, type Ground, nodeFlags, watch } from "./rig/stage.js";
import { median, medianRatio, shown, sum, times } from "./rig/statistics.js";

const program = fileURLToPath(new URL("./peers/shop.js", import.meta.url));

const allShops = [
  { name: "onsale's front, FOR UPDATE", front: "onsale", variant: "for update" },
  { name: "onsale's front, unique constraint", front: "onsale", variant: "unique" },
  { name: "Express, FOR UPDATE", front: "express", variant: "for update" },
  { name: "Express, unique constraint", front: "express", variant: "unique" },
  { name: "onsale's front, nothing behind it", front: "onsale", variant: "nothing" },
] as const;
const ours = "onsale";

const traffics = [
  { name: "all win", losers: 0 },
  { name: "90 % lose", losers: 0.9 },
  { name: "90 % lose, on 10 pairs of seats", losers: 0.9, hotBlocks: 10 },
] as const;

const seatsPerHold = 2;

type RunningShop = (typeof allShops)[number] & { readonly port: number; readonly process: StartedProcess };

interface Cell {
  readonly micros: ReadonlyMap<string, number>;
  readonly together: number;
  readonly perSecond: number;
  readonly tally: Tally;
}

export const peers: Question = {
  title: "onsale and its peers",
  async ask(scope: Scope): Promise<Findings> {
    const { ground, openStage, pick, say } = scope;
    const programs = postgresqlPrograms();
    if (programs === undefined)
      return {
        tables: [],
        goals: [],
        notes: [],
        skipped: "there is no PostgreSQL on this machine (initdb and postgres, on PATH or in /usr/lib/postgresql).",
      };
    const shops = pick<readonly (typeof allShops)[number][]>(allShops, allShops, [
      allShops[0],
      allShops[3],
      allShops[4],
    ]);
    const rounds = pick(5, 1, 1);
    let asked = 0;
    const count = pick(4_000, 400, 20);
    const house = { seats: pick(60_000, 60_000, 3_000), sections: 8 };
    const stops: (() => Promise<unknown>)[] = [];
    try {
      const postgresql = await startPostgresql(programs);
      stops.push(() => postgresql.stop());
      ground.onStop(() => postgresql.stop()); // should the run be interrupted
      const database = new Client({ connectionString: postgresql.url });
      await database.connect();
      stops.push(() => database.end());

      const stage = await openStage();
      stops.push(() => stage.stop());
      const holds = await prepareHoldRounds(stage, house, []);
      const { eventId } = holds.sale;
      const tokens = await ground.neighbours.tokens(buyers);
      const started: RunningShop[] = [];
      for (const shop of shops) started.push({ ...shop, ...(await startShop(ground, postgresql.url, shop)) });
      stops.push(() => Promise.all(started.map(({ process: one }) => one.stop())));

      await database.query("CREATE TABLE all_seats AS SELECT * FROM seats");
      await database.query("CREATE TABLE early_holds AS SELECT * FROM seat_holds");
      await database.query("INSERT INTO all_seats (event_id, seat_id) SELECT $1, unnest($2::text[])", [
        eventId,
        blocksOf(house, 1).flatMap(seatIdsOf),
      ]);
      const taken = splitHouse(house, 1).taken.flatMap(seatIdsOf);
      await database.query(
        "UPDATE all_seats SET hold_id = gen_random_uuid(), user_id = 'usr_early', held_until = now() + interval '1 day' WHERE seat_id = ANY($1)",
        [taken],
      );
      await database.query(
        "INSERT INTO early_holds SELECT event_id, seat_id, hold_id, user_id, held_until FROM all_seats WHERE hold_id IS NOT NULL",
      );
      const freeSeats = async () => {
        await database.query("TRUNCATE seats, holds, seat_holds");
        await database.query("INSERT INTO seats SELECT * FROM all_seats ORDER BY seat_id");
        await database.query("INSERT INTO seat_holds SELECT * FROM early_holds ORDER BY seat_id");
        await database.query("ANALYZE seats");
        await database.query("ANALYZE seat_holds");
      };

      type Traffic = { readonly losers: number; readonly hotBlocks?: number };
      const measurePeer = async (
        shop: RunningShop,
        traffic: Traffic,
        many = count,
        perSecond?: number,
      ): Promise<Cell> => {
        await freeSeats();
        const parts: Watched[] = [
          watch("shop", [shop.process]),
          { name: "postgresql", pids: () => (postgresql.server.pid ? familyOf(postgresql.server.pid) : []) },
          watch("valkey", [ground.valkey]),
          ground.generator,
        ];
        const { answer: tally, micros } = await costOf({ ground, parts }, () =>
          ground.generator.run({
            kind: "REST holds",
            ports: [shop.port],
            tokens,
            eventId,
            run: newId("run").slice(4),
            buyers,
            pace: { count: many, inFlight: perSecond ? 200 : 32, perSecond },
            traffic: { house, seatsPerHold, ...traffic, count: many, seed: 1 + Math.floor(Math.random() * 1e9) },
          }),
        );
        const lost = Math.floor(many * traffic.losers);
        expectOutcomes(tally, shop.name, { won: many - lost, lost });
        return cellOf(tally, micros, ["shop", "postgresql", ...(shop.front === "onsale" ? ["valkey"] : [])]);
      };
      const measureOurs = async (traffic: Traffic, many = count, perSecond?: number): Promise<Cell> => {
        const { tally, micros } = await holds.measure({
          way: "REST",
          seatsPerHold,
          ...traffic,
          count: many,
          ...(perSecond ? { inFlight: 200, perSecond } : {}),
        });
        const totals = new Map([...micros].map(([part, each]) => [part, each * tally.count]));
        return cellOf(tally, totals, ["gateway", "inventory", "valkey"]);
      };

      // It can't know who loses.
      const canTake = (shop: RunningShop, { losers }: Traffic) => shop.variant !== "nothing" || losers === 0;
      say("warming up");
      const warm = pick(4_000, 400, 5);
      for (const { losers } of traffics.slice(0, 2)) {
        await measureOurs({ losers }, warm);
        for (const shop of started) if (canTake(shop, { losers })) await measurePeer(shop, { losers }, warm);
      }
      const seen = new Map<string, Cell[]>();
      const note = (key: string, cell: Cell) => void seen.set(key, [...(seen.get(key) ?? []), cell]);
      const perSecond = 100;
      for (let round = 1; round <= rounds && (round === 1 || scope.seconds() < pick(180, 30, 60)); round++) {
        asked = round;
        say(`round ${round} of ${rounds}`);
        for (const traffic of traffics) {
          const { name: what, ...aim } = traffic;
          note(`${ours}|${what}`, await measureOurs(aim));
          const able = started.filter((shop) => canTake(shop, aim));
          for (const shop of able) note(`${shop.name}|${what}`, await measurePeer(shop, aim));
          if (round > 1) continue;
          const paced = pick(200, 60, 5);
          note(`${ours}|${what}|paced`, await measureOurs(aim, paced, perSecond));
          for (const shop of able) note(`${shop.name}|${what}|paced`, await measurePeer(shop, aim, paced, perSecond));
        }
      }

      const of = (name: string, traffic: string, more = "") => seen.get(`${name}|${traffic}${more}`) ?? [];
      const together = (name: string, traffic: string) => of(name, traffic).map((cell) => cell.together);
      const ratio = (name: string, traffic: string) => medianRatio(together(name, traffic), together(ours, traffic));
      const names = [ours, ...shops.map(({ name }) => name)];
      const table = (what: string): Table => ({
        title: `${what}: CPU µs a REST hold of ${seatsPerHold} seats; 32 in flight; p50 and p99 at ${perSecond} holds/s`,
        columns: [
          "",
          "front process",
          "inventory",
          "valkey",
          "postgresql",
          "together",
          "to onsale",
          "holds/s",
          "p50 ms",
          "p99 ms",
        ],
        rows: names.flatMap((name) => {
          const cells = of(name, what);
          if (cells.length === 0) return [];
          const paced = of(name, what, "|paced");
          const part = (key: string) =>
            cells.some(({ micros }) => micros.has(key))
              ? shown(median(cells.map(({ micros }) => micros.get(key) ?? 0)))
              : "-";
          const row = [
            name,
            part(name === ours ? "gateway" : "shop"),
            part("inventory"),
            part("valkey"),
            part("postgresql"),
            shown(median(together(name, what))),
            times(ratio(name, what)),
            shown(median(cells.map((cell) => cell.perSecond))),
            shown(median(paced.map(({ tally }) => tally.p50Ms))),
            shown(median(paced.map(({ tally }) => tally.p99Ms))),
          ];
          return [row];
        }),
      });
      const fair = shops.filter(({ front, variant }) => front === "onsale" && variant !== "nothing");
      const alone = together(allShops[4].name, traffics[0].name);
      /** What stands behind the front, without the front: of winners only, since the front alone refuses nobody. */
      const behind = (name: string) =>
        together(name, traffics[0].name).map((all, at) => all - (alone[at] ?? Number.NaN));
      const behindRatios = fair.map(({ name, variant }) => ({
        variant,
        ratio: medianRatio(behind(name), behind(ours)),
      }));
      const goalOf = (what: string, ratios: readonly { variant: string; ratio: number }[]): Goal => ({
        goal: `at least 4× less CPU than PostgreSQL behind the same front (aim 6×), ${what}`,
        figure: ratios.map((one) => `${times(one.ratio)} (${one.variant})`).join(", "),
        reached: ratios.every((one) => one.ratio >= 4),
      });
      const goals: Goal[] = [
        ...traffics.slice(0, 2).map(({ name: what }) =>
          goalOf(
            `${what}, front included`,
            fair.map((shop) => ({ variant: shop.variant, ratio: ratio(shop.name, what) })),
          ),
        ),
        goalOf(`${traffics[0].name}, what is behind the front`, behindRatios),
      ];
      return {
        tables: traffics.map(({ name }) => table(name)),
        goals,
        notes: [
          `Medians of ${asked} rounds.`,
          `PostgreSQL ${postgresql.version} as initdb sets it up (fsync and synchronous_commit on), 16 connections a shop, prepared statements, on the same disk. Its share is that of all its processes.`,
          "onsale's front is the gateway's own code: token check, validation, idempotency records and rate limits in Valkey, metrics, logs. The Express front has a JSON parser, the same token check, zod, a histogram, a log line, and keeps its keys in PostgreSQL; it has no rate limits.",
          `The front by itself, with nothing behind it, takes ${shown(median(alone))} µs. Without it, all win: ${[ours, ...fair.map(({ name }) => name)].map((name) => `${name} ${shown(median(behind(name)))} µs (${times(medianRatio(behind(name), behind(ours)))})`).join(", ")}.`,
          "onsale's own row is the gateway without Temporal, as in the question hold: no peer starts a workflow either.",
        ],
      };
    } finally {
      for (const stop of stops.reverse()) await stop();
    }
  },
};

function cellOf(tally: Tally, totals: ReadonlyMap<string, number>, takePart: readonly string[]): Cell {
  const micros = new Map(
    [...totals].filter(([part]) => takePart.includes(part)).map(([part, all]) => [part, all / tally.count]),
  );
  return { micros, together: sum(micros.values()), perSecond: (tally.count * 1_000) / tally.wallMs, tally };
}

async function startShop(
  ground: Ground,
  databaseUrl: string,
  { front, variant }: { front: string; variant: string },
): Promise<{ port: number; process: StartedProcess }> {
  const port = await freePort();
  const log = join(ground.folder, `shop-${port}.log`);
  const shop = await startProcess({
    name: `${front} shop, ${variant}`,
    command: "/bin/sh",
    args: ["-c", 'log="$1"; shift; exec "$@" >"$log"', "sh", log, process.execPath, ...nodeFlags, program],
    env: {
      PATH: process.env["PATH"],
      NODE_ENV: "production",
      FRONT: front,
      VARIANT: variant,
      DATABASE_URL: databaseUrl,
      REDIS_URL: ground.redisUrl,
      JWKS: ground.neighbours.jwksJson,
      PORT: String(port),
    },
    ready: async () => {
      // No such route, or no token: it serves.
      const { status } = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(2_000) });
      if (status >= 500) throw new Error(`it answers ${status}: ${readFileSync(log, "utf8").slice(-500)}`);
    },
    readyWithinSeconds: 30,
    stopWithinSeconds: 5,
  });
  return { port, process: shop };
}
