// One gateway's client and two inventory processes, which are killed in turn while a crowd is at it.

import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { DomainError } from "@onsale/kit/errors";
import { Event, Section } from "@onsale/proto/inventory/v1/catalog";
import type { HoldRequest } from "@onsale/proto/inventory/v1/seats";
import { afterAll, expect, inject, test } from "vitest";
import { freePort } from "../../../tools/backing/src/ports.js";
import { closeServices, connectServices } from "../src/services.js";

const { redisUrl, mongodbUri } = inject("backing");
const program = fileURLToPath(new URL("../../inventory/dist/main.js", import.meta.url));
const sharedSecret = "two-inventories-secret-0123456789";
const database = `two-inventories-${randomUUID().slice(0, 8)}`;

interface Process {
  readonly port: number;
  readonly opsPort: number;
  child: ChildProcess;
}
const processes: Process[] = [];
afterAll(() => {
  for (const { child } of processes) child.kill("SIGKILL");
});

function launch(port: number, opsPort: number): ChildProcess {
  const child = spawn(process.execPath, [program], {
    stdio: ["ignore", "ignore", "inherit"],
    env: {
      PATH: process.env["PATH"],
      GRPC_LISTEN: `127.0.0.1:${port}`,
      OPS_LISTEN: `127.0.0.1:${opsPort}`,
      GRPC_SHARED_SECRET: sharedSecret,
      REDIS_URL: redisUrl,
      MONGODB_URI: mongodbUri,
      MONGODB_DATABASE: database,
      LOG_LEVEL: "fatal",
    },
  });
  return child;
}
async function start(): Promise<Process> {
  const [port, opsPort] = [await freePort(), await freePort()];
  const started = { port, opsPort, child: launch(port, opsPort) };
  processes.push(started);
  return started;
}
const answersReady = ({ opsPort }: Process) =>
  fetch(`http://127.0.0.1:${opsPort}/readyz`).then(
    ({ status }) => status === 200,
    () => false,
  );
async function holdsDoneBy({ opsPort }: Process): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${opsPort}/metrics`)).text();
  return [...text.matchAll(/^onsale_holds_total\{[^}]*\} (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
}
async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const end = Date.now() + 45_000; !(await condition()); ) {
    if (Date.now() > end) throw new Error(`${what} did not come about`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test("kill -9 of either, one after the other: no call lost, no seat doubled, and the traffic moves over and back", async () => {
  expect(existsSync(program), "npm run build makes it").toBe(true);
  const [one, two] = [await start(), await start()];
  await until(async () => (await answersReady(one)) && (await answersReady(two)), "both processes");
  const address = `127.0.0.1:${one.port},127.0.0.1:${two.port}`;
  const services = connectServices(
    { account: address, inventory: address, payment: address, ticket: address },
    { sharedSecret },
  );
  try {
    const eventId = `evt_${randomUUID().slice(0, 8)}`;
    const rows = 40;
    const perRow = 50;
    const section = Section.fromPartial({
      sectionId: "A",
      name: "Hall",
      tierId: "T",
      rows: Array.from({ length: rows }, (_, at) => ({ label: `R${at + 1}`, firstSeat: 1, seatCount: perRow })),
    });
    const event = Event.fromPartial({
      eventId,
      organiserId: "org_two",
      name: "Twice",
      venue: { name: "Hall", city: "Kiel", country: "DE", timeZone: "Europe/Berlin" },
      startsAtMs: Date.now() + 30 * 86_400_000,
      onSaleAtMs: Date.now() - 60_000,
      currency: "EUR",
      seatsPerPerson: 4,
      tiers: [{ tierId: "T", name: "T", amount: 1000 }],
    });
    await services.catalog.createEvent({ event, sections: [section] }, { deadlineMs: 30_000 });
    await services.catalog.publishEvent({ eventId, organiserId: "" }, { deadlineMs: 30_000 });

    const owners = new Map<string, string>();
    const failures: string[] = [];
    let answered = 0;
    let next = 0;
    let stop = false;
    /** As a gateway does it: each checkout asks once, and its answer is believed. */
    async function buyer(): Promise<void> {
      while (!stop) {
        const nth = next++;
        const place = nth % (rows * perRow);
        const seat = `A-R${1 + Math.floor(place / perRow)}-${1 + (place % perRow)}`;
        const checkoutId = `chk_${nth}`;
        const wish: HoldRequest = {
          checkoutId,
          userId: `acc_${nth}`,
          eventId,
          selection: { $case: "seats", value: { seatIds: [seat] } },
        };
        try {
          const held = await services.seats.hold(wish, { deadlineMs: 15_000 });
          if (owners.has(seat)) failures.push(`${seat} was given to ${owners.get(seat)} and to ${checkoutId}`);
          owners.set(seat, checkoutId);
          if (held.seats[0]?.seatId !== seat) failures.push(`${checkoutId} asked for ${seat} and got another seat`);
        } catch (error) {
          const { code } = DomainError.from(error);
          if (code === "SEAT_TAKEN") {
            // By whom? By nobody if this very call had taken it unseen and was then made again under another name.
            if (!owners.has(seat) && nth >= rows * perRow) failures.push(`${seat} is taken, and nobody was told so`);
          } else failures.push(`${checkoutId}: ${code} ${DomainError.from(error).message}`);
        }
        answered += 1;
        await new Promise((resolve) => setTimeout(resolve, 4));
      }
    }
    const buyers = Array.from({ length: 24 }, buyer);
    const both = async () => (await holdsDoneBy(one)) > 50 && (await holdsDoneBy(two)) > 50;
    await until(both, "traffic on both");

    for (const dying of [one, two]) {
      const living = dying === one ? two : one;
      dying.child.kill("SIGKILL");
      const before = [answered, await holdsDoneBy(living)];
      await until(async () => answered > (before[0] ?? 0) + 100, "calls that go on");
      expect(await holdsDoneBy(living)).toBeGreaterThanOrEqual((before[1] ?? 0) + 50);
      dying.child = launch(dying.port, dying.opsPort);
      await until(() => answersReady(dying), "the new process");
      await until(async () => (await holdsDoneBy(dying)) > 50, "traffic on the new process");
    }
    stop = true;
    await Promise.all(buyers);
    expect(failures).toEqual([]);
    expect(answered).toBe(next);
    expect(owners.size).toBeGreaterThan(200);
  } finally {
    closeServices(services);
  }
}, 120_000);
