// How does a whole on-sale go: how soon is the house sold out, at what cost a seat, with how much memory, and is any seat sold twice?
import { HoldRequest } from "@onsale/proto/inventory/v1/seats";
import { forgetPeakMemory, peakMemoryBytes } from "./rig/cpu-time.js";
import type { Findings, Goal, Table } from "./rig/findings.js";
import { type Block, blocksOf, seatIdsOf, seatsInRow, sectionId, startOf } from "./rig/house.js";
import { type Overheard, overhear } from "./rig/overheard.js";
import type { Question, Scope } from "./rig/question.js";
import type { SaleTally } from "./rig/sale-load.js";
import { costOf, putOnSale, type Sale, type Stage } from "./rig/stage.js";
import { shown, sum } from "./rig/statistics.js";

const parts = ["valkey", "inventory", "load generator"] as const;

interface Played {
  readonly seats: number;
  readonly sections: number;
  readonly tally: SaleTally;
  readonly micros: ReadonlyMap<string, number>;
  readonly peaks: ReadonlyMap<string, number>;
}

export const onsale: Question = {
  title: "A whole on-sale",
  async ask({ ground, openStage, pick, say }: Scope): Promise<Findings> {
    const sales = pick(
      [
        { seats: 6_000, sections: 8, buyers: 10_000 },
        { seats: 60_000, sections: 8, buyers: 100_000 },
        { seats: 60_000, sections: 64, buyers: 100_000 },
      ],
      [
        { seats: 1_500, sections: 8, buyers: 2_500 },
        { seats: 6_000, sections: 64, buyers: 10_000 },
      ],
      [{ seats: 400, sections: 2, buyers: 300 }],
    );
    const holdTtlMs = pick(3_000, 3_000, 1_000);
    const holdMarginMs = pick(1_000, 1_000, 500);
    const played: Played[] = [];
    const seed = 1 + Math.floor(Math.random() * 1e6);
    // A real MongoDB takes all claims; the embedded one takes some hundred a second, and would be what is measured.
    const realClaimEvery = ground.mongodb === undefined ? 1 : 100;
    for (const { seats, sections, buyers } of sales) {
      say(`${seats} seats in ${sections} sections, ${buyers} buyers (seed ${seed})`);
      const stage = await openStage({
        gateways: 0,
        inventorySettings: {
          HOLD_TTL_SECONDS: String(holdTtlMs / 1_000),
          HOLD_MARGIN_SECONDS: String(holdMarginMs / 1_000),
        },
      });
      try {
        const sale = await putOnSale(stage, { seats, sections });
        const { claims, soldBefore } = await learnClaims(stage, sale, holdMarginMs);
        const watched = stage.parts.filter((part) => (parts as readonly string[]).includes(part.name));
        for (const part of watched) for (const pid of part.pids()) forgetPeakMemory(pid);
        const { answer: tally, micros } = await costOf({ ground, parts: watched }, () =>
          ground.generator.run({
            kind: "sale",
            address: stage.inventoryAddresses[0] as string,
            sharedSecret: ground.sharedSecret,
            valkeyPort: ground.valkeyPort,
            eventId: sale.eventId,
            house: sale.house,
            buyers,
            atOnce: pick(400, 400, 50),
            seed,
            claims,
            realClaimEvery,
            holdTtlMs,
            holdMarginMs,
            soldBefore,
            giveUpAfterMs: pick(90_000, 40_000, 20_000),
          }),
        );
        const peaks = new Map(watched.map((part) => [part.name, sum(part.pids().map(peakMemoryBytes))]));
        played.push({ seats, sections, tally, micros, peaks });
      } finally {
        await stage.stop();
      }
    }

    const name = ({ seats, sections }: Played) => `${seats.toLocaleString("en")} in ${sections}`;
    const mib = (bytes = 0) => shown(bytes / 1024 ** 2);
    const each = ({ micros, tally }: Played, part: string) => (micros.get(part) ?? 0) / tally.seatsSold;
    const tries = ({ outcomes }: SaleTally) =>
      sum(Object.entries(outcomes).map(([code, count]) => (code.startsWith("claim") ? 0 : count)));
    const sold: Table = {
      title: "The sale",
      columns: [
        "seats in sections",
        "buyers",
        "tries",
        "seats taken",
        "too few left",
        "orders",
        "given back",
        "left to lapse",
        "sold out after s",
        "tries/s",
        "p50 ms",
        "p99 ms",
      ],
      rows: played.map((one) => {
        const { tally } = one;
        return [
          name(one),
          tally.buyers.toLocaleString("en"),
          tries(tally).toLocaleString("en"),
          (tally.outcomes["SEAT_TAKEN"] ?? 0).toLocaleString("en"),
          (tally.outcomes["NOT_ENOUGH_SEATS"] ?? 0).toLocaleString("en"),
          tally.orders.toLocaleString("en"),
          tally.cancelled.toLocaleString("en"),
          tally.walkedAway.toLocaleString("en"),
          tally.soldOutMs === undefined ? `not: ${tally.seatsSold} sold` : shown(tally.soldOutMs / 1_000),
          shown((tries(tally) * 1_000) / tally.wallMs),
          shown(tally.holdP50Ms),
          shown(tally.holdP99Ms),
        ];
      }),
    };
    const cost: Table = {
      title: "What it took",
      columns: [
        "seats in sections",
        ...parts.map((part) => `${part} CPU µs a seat sold`),
        "servers' CPU µs a try",
        ...parts.map((part) => `${part} peak MiB`),
      ],
      rows: played.map((one) => [
        name(one),
        ...parts.map((part) => shown(each(one, part))),
        shown(((one.micros.get("valkey") ?? 0) + (one.micros.get("inventory") ?? 0)) / tries(one.tally)),
        ...parts.map((part) => mib(one.peaks.get(part))),
      ]),
    };
    const truth: Table = {
      title: "Checked by the buyers' own books",
      columns: ["seats in sections", "sold", "sold twice", "held twice at once", "map differs"],
      rows: played.map((one) => [
        name(one),
        one.tally.seatsSold.toLocaleString("en"),
        ...[one.tally.soldTwice, one.tally.heldTwice, one.tally.mapDiffers].map(String),
      ]),
    };
    const wrong = sum(played.map(({ tally }) => tally.soldTwice + tally.heldTwice + tally.mapDiffers));
    const [small, large] = [played[0] as Played, played[1] ?? (played[0] as Played)];
    const servers = (one: Played) => each(one, "valkey") + each(one, "inventory");
    const goals: Goal[] = [
      {
        goal: "oversold seats: 0",
        figure: `${wrong} of ${sum(played.map(({ tally }) => tally.seatsSold))}`,
        reached: wrong === 0,
      },
      {
        goal: "every sale is sold out",
        figure: played
          .map(
            (one) =>
              `${name(one)}: ${one.tally.soldOutMs === undefined ? "no" : `${shown(one.tally.soldOutMs / 1_000)} s`}`,
          )
          .join(", "),
        reached: played.every(({ tally }) => tally.soldOutMs !== undefined),
      },
      {
        goal: `a seat of ${large.seats.toLocaleString("en")} costs no more than 1.5× one of ${small.seats.toLocaleString("en")}`,
        figure: `${shown(servers(large))} µs to ${shown(servers(small))} µs`,
        reached: servers(large) <= 1.5 * servers(small),
      },
    ];
    return {
      tables: [sold, cost, truth],
      goals,
      notes: [
        "Buyers speak gRPC, with the gateway's own client; what REST adds is in the question hold. 60 % ask for the best available seats, side by side, half of them of one section; 40 % pick from a map up to 0.5 s old, most of them at the front; up to 6 tries each, 1 to 4 seats; whoever finds nothing looks at the map, and leaves when no seat is free. Of those who hold, 12 % give the seats back and 8 % walk away; holds last 3 s here (and 1 s more in Valkey), so that what they leave comes back within the sale.",
        realClaimEvery === 1
          ? "Every purchase is a claim in MongoDB."
          : "One purchase in 100 is claimed through the inventory for real. The others run the two scripts that a claim runs in Valkey, as the inventory sends them, without the transaction: the embedded MongoDB-protocol server takes 60 to 250 writes a second and would be all that is measured. With MONGODB_URI every purchase is a claim.",
        "Sold twice: two buyers were told to have bought a seat. Held twice: a hold was given before the one before it on that seat had ended, by the store's clock. Map differs: the map at the end shows a seat otherwise than the buyers' books.",
      ],
    };
  },
};

const rowOf = ({ section, row }: Block) => `${sectionId(section)}-${row + 1}-`;

/** Buys 1, 2, 3 and 4 seats for real, and listens to the scripts of each claim. */
async function learnClaims({ ground, seats }: Stage, { eventId, house }: Sale, holdMarginMs: number) {
  const claims: (readonly Overheard[])[] = [];
  const soldBefore: string[] = [];
  // The first one only loads the scripts.
  for (const length of [1, 1, 2, 3, 4]) {
    const userId = `usr_early${soldBefore.length}`;
    const checkoutId = `chk_early${soldBefore.length}`;
    // A row of its own for each, and a place whose number appears nowhere else in the command.
    const block = blocksOf(house, length).findLast(
      (one) => startOf(one) > seatsInRow && !soldBefore.some((seat) => seat.startsWith(rowOf(one))),
    );
    if (!block) throw new Error("the house is too small to learn a claim in");
    const seatIds = seatIdsOf(block);
    const held = await seats.hold(
      HoldRequest.fromPartial({ checkoutId, userId, eventId, selection: { $case: "seats", value: { seatIds } } }),
    );
    const { holdId, epoch, deadlineMs } = held;
    const claim = async () => {
      await seats.claimSeats({ eventId, checkoutId, userId, holdId, epoch, deadlineMs, seatIds });
      const times = [deadlineMs, deadlineMs + holdMarginMs];
      return { holdId, userId, section: sectionId(block.section), start: startOf(block), times };
    };
    if (soldBefore.length === 0) await claim();
    else claims.push(await overhear(ground.redisUrl, 2, claim));
    soldBefore.push(...seatIds);
  }
  return { claims, soldBefore };
}
