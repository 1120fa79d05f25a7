// Gateways and inventories as processes of their own, to be killed by tests; and an event for them to sell.
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CreateEventRequest, Event, Section } from "@onsale/proto/inventory/v1/catalog";
import { expect } from "vitest";
import { freePort } from "../../../tools/backing/src/ports.js";
import type { Services } from "../src/clients/services.js";

export interface OwnProcess {
  readonly port: number;
  readonly address: string;
  readonly url: string;
  /** Starts it, with the same ports each time, and waits until it is ready. */
  launch(): Promise<void>;
  kill9(): Promise<void>;
  /** The sum of a metric over all labels; 0 while the process does not answer. */
  count(metric: string): Promise<number>;
}

export type Kind = "gateway" | "inventory";

const startsWithinMs = 90_000;

export async function until(condition: () => boolean | Promise<boolean>, what: string, ms = startsWithinMs) {
  for (const end = Date.now() + ms; !(await condition()); ) {
    if (Date.now() > end) throw new Error(`${what} did not come about`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Not started yet. */
export async function ownProcess(kind: Kind, settings: Record<string, string>): Promise<OwnProcess> {
  const program = fileURLToPath(new URL(`../../${kind}/dist/main.js`, import.meta.url));
  expect(existsSync(program), "npm run build makes it").toBe(true);
  const [port, opsPort] = [await freePort(), await freePort()];
  const address = `127.0.0.1:${port}`;
  let child: ChildProcess | undefined;
  const ask = (path: string) => fetch(`http://127.0.0.1:${opsPort}${path}`).catch(() => undefined);
  return {
    port,
    address,
    url: `http://${address}`,
    async launch() {
      child = spawn(process.execPath, [program], {
        stdio: ["ignore", "ignore", "inherit"],
        env: {
          PATH: process.env["PATH"],
          [kind === "gateway" ? "HTTP_LISTEN" : "GRPC_LISTEN"]: address,
          OPS_LISTEN: `127.0.0.1:${opsPort}`,
          LOG_LEVEL: "fatal",
          ...settings,
        },
      });
      await until(async () => (await ask("/readyz"))?.status === 200, `a ${kind} that is ready`);
    },
    async kill9() {
      const dying = child;
      if (!dying || dying.exitCode !== null || dying.signalCode !== null) return;
      const gone = new Promise((resolve) => dying.once("exit", resolve));
      dying.kill("SIGKILL");
      await gone;
    },
    async count(metric) {
      const text = (await (await ask("/metrics"))?.text()) ?? "";
      const lines = text.matchAll(new RegExp(`^${metric}(?:\\{[^}]*\\})? ([0-9.e+]+)$`, "gm"));
      return [...lines].reduce((sum, [, value]) => sum + Number(value), 0);
    },
  };
}

/** A hall A with rows R1, R2, …; on sale. Its id, and its seats in the order of its layout. */
export async function publishHall(services: Services, rows: number, perRow: number) {
  const eventId = `evt_${randomUUID().slice(0, 8)}`;
  const section = Section.fromPartial({
    sectionId: "A",
    name: "Hall",
    tierId: "T",
    rows: Array.from({ length: rows }, (_, at) => ({ label: `R${at + 1}`, firstSeat: 1, seatCount: perRow })),
  });
  const event = Event.fromPartial({
    eventId,
    organiserId: "org_hall",
    name: "Of their own",
    venue: { name: "Hall", city: "Kiel", country: "DE", timeZone: "Europe/Berlin" },
    startsAtMs: Date.now() + 30 * 86_400_000,
    onSaleAtMs: Date.now() - 60_000,
    currency: "EUR",
    seatsPerPerson: 4,
    tiers: [{ tierId: "T", name: "T", amount: 1000 }],
  });
  await services.catalog.createEvent(CreateEventRequest.fromPartial({ event, sections: [section] }), {
    deadlineMs: 30_000,
  });
  await services.catalog.publishEvent({ eventId, organiserId: "" }, { deadlineMs: 30_000 });
  const seats = Array.from({ length: rows * perRow }, (_, n) => `A-R${1 + Math.floor(n / perRow)}-${1 + (n % perRow)}`);
  return { eventId, seats };
}
