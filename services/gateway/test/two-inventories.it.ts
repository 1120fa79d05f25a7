// Two gateways and two inventories sell the same hall; one of each is killed, then the others, while a crowd is at it.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, inject, test } from "vitest";
import { closeServices, connectServices } from "../src/clients/services.js";
import { startHarness } from "./harness.js";
import { type OwnProcess, ownProcess, publishHall, until } from "./processes.js";

const backing = inject("backing");
const processes: OwnProcess[] = [];
afterAll(() => Promise.all(processes.map((one) => one.kill9())));

interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: a checkout or a problem
  readonly body: any;
  readonly replayed: boolean;
}

test("kill -9 of one of each, then of the others: no hold lost or doubled, and a retry over the other gateway gets the same answer", async () => {
  // Its neighbours stand in for accounts, payments and tickets.
  const harness = await startHarness(backing);
  const run = randomUUID().slice(0, 8);
  const shared = { GRPC_SHARED_SECRET: harness.sharedSecret, REDIS_URL: backing.redisUrl };
  const inventories = await Promise.all(
    [1, 2].map(() =>
      ownProcess("inventory", {
        ...shared,
        MONGODB_URI: backing.mongodbUri,
        MONGODB_DATABASE: `two-inventories-${run}`,
      }),
    ),
  );
  const gateways = await Promise.all(
    [1, 2].map(() =>
      ownProcess("gateway", {
        ...shared,
        ACCOUNT_ADDRESS: harness.neighbourAddress,
        PAYMENT_ADDRESS: harness.neighbourAddress,
        TICKET_ADDRESS: harness.neighbourAddress,
        INVENTORY_ADDRESS: inventories.map(({ address }) => address).join(","),
        TEMPORAL_ADDRESS: backing.temporalAddress,
        TASK_QUEUE: `two-inventories-${run}`,
        REDIS_PREFIX: `two-${run}:`,
        IDEMPOTENCY_SECRET: "a-secret-of-this-test",
      }),
    ),
  );
  processes.push(...inventories, ...gateways);
  await Promise.all(processes.map((one) => one.launch()));
  const address = inventories.map((one) => one.address).join(",");
  const services = connectServices(
    { account: address, inventory: address, payment: address, ticket: address },
    { sharedSecret: harness.sharedSecret },
  );
  try {
    const { eventId, seats } = await publishHall(services, 20, 20);
    const failures: string[] = [];
    const owners = new Map<string, string>();
    const refused = new Set<string>();
    const cutOff = { inFlight: 0, retriedElsewhere: 0 };
    let answered = 0;
    let next = 0;
    let stop = false;

    /** One try at one gateway; undefined: nobody knows what it did. */
    async function send(gateway: number, token: string, key: string, seat: string): Promise<Answer | undefined> {
      try {
        const response = await fetch(`${gateways[gateway]?.url}/v1/checkouts`, {
          method: "POST",
          headers: { "content-type": "application/json", authorization: `Bearer ${token}`, "idempotency-key": key },
          body: JSON.stringify({ eventId, seats: [seat] }),
        });
        const body = (await response.json()) as Answer["body"];
        return { status: response.status, body, replayed: response.headers.get("idempotent-replayed") === "true" };
      } catch {
        return undefined;
      }
    }

    /** What a browser does: the same request again, here and there, until there is an answer for good. */
    async function insist(first: number, token: string, key: string, seat: string): Promise<Answer> {
      for (let tries = 0, end = Date.now() + 90_000; ; tries++) {
        const answer = await send((first + tries) % 2, token, key, seat);
        if (!answer) cutOff.inFlight += 1;
        else if (!answer.body.retryable) return answer;
        else if (![409, 503].includes(answer.status)) failures.push(`${key}: ${answer.status} ${answer.body.code}`);
        if (Date.now() > end) throw new Error(`${key} got no answer: ${JSON.stringify(answer?.body)}`);
        if (tries > 0) await sleep(100);
      }
    }

    async function buyer(): Promise<void> {
      while (!stop) {
        const nth = next++;
        // Each seat is wanted some ten times, one after the other of the hall.
        const seat = seats[(Math.floor(nth / 10) + Math.floor(Math.random() * 12)) % seats.length] as string;
        const key = `buyer-${nth}`;
        const token = await harness.token(`acc_${run}_${nth}`);
        const first = nth % 2;
        try {
          const answer = await insist(first, token, key, seat);
          const { checkoutId, code } = answer.body;
          if (answer.status === 201) {
            const owner = owners.get(seat);
            if (owner && owner !== checkoutId) failures.push(`${seat} was given to ${owner} and to ${checkoutId}`);
            if (answer.body.seats.map((one: { seatId: string }) => one.seatId).join() !== seat)
              failures.push(`${key} asked for ${seat} and got another seat`);
            owners.set(seat, checkoutId);
          } else if (code === "SEAT_TAKEN") refused.add(seat);
          else failures.push(`${key}: ${answer.status} ${JSON.stringify(answer.body)}`);
          if (nth % 3 === 0) {
            const again = await insist(1 - first, token, key, seat);
            cutOff.retriedElsewhere += 1;
            const same = again.status === answer.status && again.body.checkoutId === checkoutId;
            if (!same || again.body.code !== code)
              failures.push(`${key} was told ${JSON.stringify(answer)}, then ${JSON.stringify(again)}`);
          }
        } catch (error) {
          failures.push(String(error));
        }
        answered += 1;
        await sleep(10);
      }
    }
    const buyers = Array.from({ length: 16 }, buyer);
    const holdsOf = (one: OwnProcess) => one.count("onsale_holds_total");
    const requestsOf = (one: OwnProcess) => one.count("onsale_http_seconds_count");
    const busy = (most: number) => async () =>
      (await Promise.all(inventories.map(holdsOf))).every((count) => count > most) &&
      (await Promise.all(gateways.map(requestsOf))).every((count) => count > most);
    await until(busy(40), "traffic on all four");

    for (const dying of [0, 1]) {
      const [inventory, gateway] = [inventories[dying], gateways[dying]] as [OwnProcess, OwnProcess];
      const living = inventories[1 - dying] as OwnProcess;
      await Promise.all([inventory.kill9(), gateway.kill9()]);
      const before = { answered, holds: await holdsOf(living) };
      await until(() => answered > before.answered + 60, "requests that go on");
      expect(await holdsOf(living)).toBeGreaterThan(before.holds + 20);
      await Promise.all([inventory.launch(), gateway.launch()]);
      await until(
        async () => (await holdsOf(inventory)) > 20 && (await requestsOf(gateway)) > 20,
        "traffic on the new",
      );
    }
    stop = true;
    await Promise.all(buyers);

    expect(failures).toEqual([]);
    expect(answered).toBe(next);
    expect(owners.size).toBeGreaterThan(50);
    expect(cutOff.inFlight).toBeGreaterThan(0);
    expect(cutOff.retriedElsewhere).toBeGreaterThan(50);
    // Whoever was told that a seat is taken, it was by someone who has been told so: no hold is nobody's.
    expect([...refused].filter((seat) => !owners.has(seat))).toEqual([]);
    const { totals } = (await (await fetch(`${gateways[0]?.url}/v1/events/${eventId}/availability`)).json()) as {
      totals: object;
    };
    expect(totals).toMatchObject({ free: seats.length - owners.size, held: owners.size, sold: 0 });
  } finally {
    closeServices(services);
    await harness.stop();
  }
}, 300_000);
