// What does a person cost who signs up, and what a checkout, from the hold to the tickets? Everything real, Stripe simulated.
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createRest } from "@onsale/dev/rest";
import { newSecrets } from "@onsale/dev/secrets";
import { startStack } from "@onsale/dev/stack";
import { connect } from "@onsale/kit/grpc-client";
import { newId } from "@onsale/kit/ids";
import { CatalogServiceService } from "@onsale/proto/inventory/v1/catalog";
import { drive, type Outcome, type Tally } from "./rig/drive.js";
import type { Findings } from "./rig/findings.js";
import { blocksOf, seatIdsOf } from "./rig/house.js";
import { expectOutcomes, type Question, type Scope } from "./rig/question.js";
import { costOf, openTemporal, putOnSale, watch } from "./rig/stage.js";
import { shown } from "./rig/statistics.js";

const services = ["gateway", "inventory", "account", "payment", "ticket", "worker"] as const;
const stores = ["valkey", "mongodb", "temporal"] as const;
const askEveryMs = 300;
/** Two minutes: what is not bought then, is not. */
const mostAsked = 400;
const inFlight = 12;

interface Checkout {
  readonly checkoutId: string;
  readonly status: string;
}

export const checkout: Question = {
  title: "A whole checkout",
  async ask({ ground, pick, say }: Scope): Promise<Findings> {
    const people = pick(60, 20, 2);
    const count = pick(400, 100, 4);
    const temporal = await openTemporal(ground);
    ground.onStop(() => temporal.server.stop());
    const secrets = newSecrets();
    const stack = await startStack({
      backing: { redisUrl: ground.redisUrl, mongodbUri: ground.mongodbUri, temporalAddress: temporal.address },
      secrets,
      stripeDataDir: join(ground.folder, "stripe-sim"),
      env: { PATH: process.env["PATH"], MONGODB_DATABASE: `onsale_bench_${newId("run").slice(4)}` },
      settings: { gateway: { RATE_LIMITS: "false" } },
    });
    const catalog = connect(CatalogServiceService, {
      address: stack.addresses.inventory,
      trust: { sharedSecret: secrets.grpcSharedSecret },
      deadlineMs: 60_000,
    });
    try {
      const house = { seats: 6_000, sections: 8 };
      const { eventId } = await putOnSale({ catalog }, house);
      const blocks = blocksOf(house, 2);
      const rest = createRest(stack.gatewayUrl);
      const tokens: string[] = [];
      const parts = [
        ...services.map((name) => watch(name, [stack.processes[name]])),
        watch("valkey", [ground.valkey]),
        watch("mongodb", [ground.mongodb]),
        watch("temporal", [temporal.server]),
      ];

      const signUp = async (): Promise<Outcome> => {
        const email = `${randomBytes(6).toString("hex")}@example.test`;
        const password = "five tram stops later";
        await rest.post("/v1/accounts", { body: { email, password, name: "Kim" } });
        const { accessToken } = await rest.post<{ accessToken: string }>("/v1/sessions", { body: { email, password } });
        tokens.push(accessToken);
        return "won";
      };
      const buy = async (at: number): Promise<Outcome> => {
        const token = tokens[at % tokens.length];
        const seats = seatIdsOf(blocks[at] as (typeof blocks)[number]);
        const { checkoutId } = await rest.post<Checkout>("/v1/checkouts", { token, body: { eventId, seats } });
        const body = { paymentMethodId: "pm_card_visa" };
        let { status } = await rest.post<Checkout>(`/v1/checkouts/${checkoutId}/payment`, { token, body });
        for (let asked = 0; (status === "held" || status === "paying") && asked < mostAsked; asked++) {
          await sleep(askEveryMs);
          status = (await rest.get<Checkout>(`/v1/checkouts/${checkoutId}`, { token })).status;
        }
        return status === "completed" ? "won" : status;
      };
      const measure = async (what: string, many: number, work: (at: number) => Promise<Outcome>) => {
        const { answer, micros } = await costOf({ ground, parts }, () => drive({ count: many, inFlight }, work));
        expectOutcomes(answer, what, { won: many });
        return { tally: answer, millis: new Map([...micros].map(([part, total]) => [part, total / many / 1_000])) };
      };

      say(`${people} people sign up`);
      const joined = await measure("signing up", people, signUp);
      say(`${count} checkouts`);
      const warm = pick(40, 10, 1);
      for (let at = 0; at < warm; at += inFlight)
        await Promise.all(
          Array.from({ length: Math.min(inFlight, warm - at) }, (_, lane) => buy(blocks.length - 1 - at - lane)),
        );
      const bought = await measure("a checkout", count, buy);
      const { totals } = await rest.get<{ totals: { sold: number } }>(`/v1/events/${eventId}/availability`);

      const row = (what: string, { tally, millis }: { tally: Tally; millis: ReadonlyMap<string, number> }) => [
        what,
        ...[...services, ...stores].map((part) => (millis.has(part) ? shown(millis.get(part) ?? 0) : "-")),
        shown((tally.count * 1_000) / tally.wallMs),
        shown(tally.p50Ms),
        shown(tally.p99Ms),
      ];
      const sold = 2 * (count + warm);
      return {
        tables: [
          {
            title: `CPU ms by process; ${inFlight} at a time`,
            columns: ["", ...services, ...stores, "a second", "p50 ms", "p99 ms"],
            rows: [row("sign up and log in", joined), row("hold 2 seats, pay, have tickets", bought)],
          },
        ],
        goals: [
          {
            goal: "every checkout ends with its tickets, and only their seats are sold",
            figure: `${count + warm} of ${count + warm}, ${totals.sold} seats sold`,
            reached: totals.sold === sold,
          },
        ],
        notes: [
          `A buyer asks for the state of a checkout every ${askEveryMs} ms until it is completed. Stripe is stripe-sim, on the same machine and not in the table.`,
          "Temporal is the development server and MongoDB the embedded server unless MONGODB_URI says otherwise: size your own by their makers' figures, by workflows and writes a second.",
        ],
      };
    } finally {
      catalog.close();
      await stack.stop();
    }
  },
};
