// Readers of live seats while the Valkey server that has their event dies with what only it knew, and another is rebuilt.
import { randomUUID } from "node:crypto";
import { slotOf } from "@onsale/kit/redis-servers";
import { HoldRequest, type HoldResponse } from "@onsale/proto/inventory/v1/seats";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { type ClusterNode, startValkeyCluster, type ValkeyCluster } from "../../../tools/backing/src/valkey-cluster.js";
import { closeServices, connectServices, type Services } from "../src/clients/services.js";
import { type Harness, startHarness } from "./harness.js";
import { type OwnProcess, ownProcess, publishHall, until } from "./processes.js";

const backing = inject("backing");
let cluster: ValkeyCluster;
let inventories: OwnProcess[] = [];
/** The first one's neighbours are those that nobody asks here: accounts, payments, tickets. */
const gateways: Harness[] = [];
let services: Services;
const readers: Reader[] = [];

beforeAll(async () => {
  cluster = await startValkeyCluster({ env: process.env });
  const sharedSecret = "gateway-test-secret-0123456789";
  const settings = {
    GRPC_SHARED_SECRET: sharedSecret,
    REDIS_URL: cluster.url,
    MONGODB_URI: backing.mongodbUri,
    MONGODB_DATABASE: `live-cluster-${randomUUID().slice(0, 8)}`,
    LIVE_TICK_MS: "50",
  };
  inventories = await Promise.all([1, 2].map(() => ownProcess("inventory", settings)));
  await Promise.all(inventories.map((one) => one.launch()));
  const address = inventories.map((one) => one.address).join(",");
  for (let n = 0; n < 2; n++)
    gateways.push(
      await startHarness({
        ...backing,
        settings: { INVENTORY_ADDRESS: address, LIVE_HEARTBEAT_SECONDS: "1", SHUTDOWN_GRACE_SECONDS: "2" },
      }),
    );
  expect(gateways[0]?.sharedSecret).toBe(sharedSecret);
  services = connectServices(
    { account: address, inventory: address, payment: address, ticket: address },
    { sharedSecret },
  );
}, 120_000);
afterAll(async () => {
  for (const reader of readers) reader.leave();
  if (services) closeServices(services);
  await Promise.all(gateways.map((gateway) => gateway.stop()));
  await Promise.all(inventories.map((one) => one.kill9()));
  await cluster?.stop();
});

const [free, held, sold] = [0, 1, 2];

/** A browser with the map open. It says what it was shown that can't be: that is what the test is about. */
class Reader {
  readonly kinds: string[] = [];
  readonly wrong: string[] = [];
  states: number[] = [];
  lastId: string | undefined;
  retryMs: number | undefined;
  status = 0;
  ended = false;
  /** Seats that are sold, or held by a hold that all servers know: never free again in this test. */
  readonly #kept: Map<number, number>;
  readonly #leaving = new AbortController();

  constructor(gateway: Harness, eventId: string, kept: Map<number, number>, lastEventId?: string) {
    this.#kept = kept;
    readers.push(this);
    void this.#read(`${gateway.url}/v1/events/${eventId}/seats/stream`, lastEventId);
  }

  leave(): void {
    this.#leaving.abort();
  }

  get epoch(): number {
    return Number(this.lastId?.split("-")[0] ?? -1);
  }

  async #read(url: string, lastEventId: string | undefined): Promise<void> {
    try {
      const headers: Record<string, string> = lastEventId === undefined ? {} : { "last-event-id": lastEventId };
      const response = await fetch(url, { headers, signal: this.#leaving.signal });
      this.status = response.status;
      let rest = "";
      for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        rest += part;
        for (let cut = rest.indexOf("\n\n"); cut >= 0; cut = rest.indexOf("\n\n")) {
          this.#hear(rest.slice(0, cut));
          rest = rest.slice(cut + 2);
        }
      }
    } catch (error) {
      if (!this.#leaving.signal.aborted) this.wrong.push(`the line broke: ${error}`);
    }
    this.ended = true;
  }

  #hear(block: string): void {
    const field = (name: string) =>
      block
        .split("\n")
        .find((line) => line.startsWith(`${name}:`))
        ?.slice(name.length + 1)
        .trim();
    this.retryMs ??= Number(field("retry")) || undefined;
    const kind = field("event");
    if (kind === undefined) return;
    this.kinds.push(kind);
    const data = JSON.parse(field("data") ?? "{}");
    const id = field("id");
    if (kind === "snapshot" || kind === "reset") {
      const bytes = Buffer.from(data.states, "base64");
      this.states = Array.from({ length: data.seatCount }, (_, at) => ((bytes[at >> 2] ?? 0) >> (2 * (at & 3))) & 3);
    } else if (kind === "changes") {
      this.#mustFollow(id);
      for (const run of data.changes === "" ? [] : data.changes.split(",")) {
        const [start, length, state] = run.split(":").map(Number);
        this.states.fill(state, start, start + length);
      }
    }
    if (id !== undefined) this.lastId = id;
    for (const [seat, least] of this.#kept)
      if ((this.states[seat] ?? least) < least)
        this.wrong.push(`${kind} ${id}: seat ${seat} is shown as ${this.states[seat]}, but is ${least}`);
  }

  /** Changes are of use only to who has all that was before. */
  #mustFollow(id: string | undefined): void {
    const [epoch = 0, version = 0] = (id ?? "").split("-").map(Number);
    const [lastEpoch = 0, lastVersion = 0] = (this.lastId ?? "").split("-").map(Number);
    if (this.lastId === undefined) {
      if (this.states.length === 0 && this.kinds.length > 1) this.wrong.push(`changes ${id} to nothing`);
    } else if (epoch !== lastEpoch || version > lastVersion + 1 || version < lastVersion)
      this.wrong.push(`changes ${id} follow ${this.lastId}`);
  }
}

/** Its replica hears no more of it. */
async function cutOff(master: ClusterNode): Promise<void> {
  for (const node of cluster.nodes) {
    const info = await node.redis.info("replication");
    if (!info.includes("role:slave") || !info.includes(`master_port:${master.port}\r`)) continue;
    await node.redis.config("SET", "masteruser", "nobody");
    await node.redis.config("SET", "masterauth", "wrong");
    await master.redis.call("CLIENT", "KILL", "TYPE", "replica");
    return await until(
      async () => (await node.redis.info("replication")).includes("master_link_status:down"),
      "a line that is cut",
    );
  }
  throw new Error(`no replica follows ${master.process.name}`);
}

const checkouts = { made: 0 };
async function hold(eventId: string, seatIds: string[]): Promise<{ wish: HoldRequest; held: HoldResponse }> {
  checkouts.made += 1;
  const wish = HoldRequest.fromPartial({
    checkoutId: `chk_live_${checkouts.made}`,
    userId: `acc_live_${checkouts.made}`,
    eventId,
    selection: { $case: "seats", value: { seatIds } },
  });
  return { wish, held: await services.seats.hold(wish, { deadlineMs: 10_000 }) };
}
async function sell(eventId: string, seatIds: string[]): Promise<void> {
  const { wish, held } = await hold(eventId, seatIds);
  const { checkoutId, userId } = wish;
  const { holdId, epoch, deadlineMs } = held;
  await services.seats.claimSeats(
    { eventId, checkoutId, userId, holdId, epoch, deadlineMs, seatIds },
    { deadlineMs: 20_000 },
  );
}

test("the master with the event dies: readers wait or begin anew, see no seat that is sold as free, and end up with the truth", async () => {
  const { eventId, seats } = await publishHall(services, 8, 25);
  const at = (seatId: string) => seats.indexOf(seatId);
  const kept = new Map<number, number>();
  const keep = (seatIds: string[], state: number) => {
    for (const seatId of seatIds) kept.set(at(seatId), state);
  };
  const watch = (gateway: number, lastEventId?: string) =>
    new Reader(gateways[gateway] as Harness, eventId, kept, lastEventId);
  const everyone = (have: Reader[], seatIds: string[], state: number) =>
    until(
      () => have.every(({ states }) => seatIds.every((seatId) => states[at(seatId)] === state)),
      `${seatIds} as ${state} for all`,
    );

  const here = [watch(0), watch(0), watch(1), watch(1)];
  await until(() => here.every(({ states }) => states.length === seats.length), "a first map");
  // Sold, and held in a way that all servers know.
  await sell(eventId, ["A-R1-1", "A-R1-2"]);
  await hold(eventId, ["A-R2-1"]);
  await everyone(here, ["A-R1-1", "A-R1-2"], sold);
  await everyone(here, ["A-R2-1"], held);
  const master = await cluster.masterOf(slotOf(eventId));
  await until(async () => (await master.redis.wait(1, 100)) === 1, "a replica that has all");
  keep(["A-R1-1", "A-R1-2"], sold);
  keep(["A-R2-1"], held);
  const gone = watch(1);
  await until(() => gone.states.length === seats.length, "its map");
  gone.leave();

  await cutOff(master);
  await sell(eventId, ["A-R3-1"]);
  await hold(eventId, ["A-R4-1", "A-R4-2"]);
  await everyone(here, ["A-R3-1"], sold);
  await everyone(here, ["A-R4-1", "A-R4-2"], held);
  keep(["A-R3-1"], sold);
  const before = here.map(({ lastId }) => lastId as string);
  const epochBefore = here[0]?.epoch ?? 0;
  expect(new Set(here.map(({ epoch }) => epoch))).toEqual(new Set([epochBefore]));

  await master.process.kill9();
  // Those who come meanwhile, new or again, until all is well.
  const meanwhile: Reader[] = [];
  let well = false;
  const coming = (async () => {
    for (let nth = 0; !well && meanwhile.length < 24; nth++) {
      meanwhile.push(watch(nth % 2, nth % 3 === 0 ? undefined : nth % 3 === 1 ? before[nth % 4] : gone.lastId));
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  })();
  await until(() => here.every(({ epoch }) => epoch > epochBefore), "all begin anew");
  well = true;
  await coming;

  for (const { kinds, wrong, ended } of here) {
    expect(wrong).toEqual([]);
    // Nobody was sent away for it; they heard that they must wait, then got everything anew.
    expect(ended).toBe(false);
    expect(kinds).toContain("wait");
    expect(kinds.indexOf("reset")).toBeGreaterThan(kinds.indexOf("wait"));
  }
  // What only the dead server knew is free, as it is for whoever buys now; what was sold is not.
  await everyone(here, ["A-R4-1", "A-R4-2"], free);
  await everyone(here, ["A-R2-1"], held);
  await everyone(here, ["A-R1-1", "A-R1-2", "A-R3-1"], sold);
  const truth = async (gateway: number) => {
    const response = await fetch(`${gateways[gateway]?.url}/v1/events/${eventId}/seats/state`);
    const bytes = Buffer.from(await response.arrayBuffer());
    return seats.map((_, seat) => ((bytes[seat >> 2] ?? 0) >> (2 * (seat & 3))) & 3);
  };
  for (const nth of [0, 1]) await expect.poll(() => truth(nth), { timeout: 10_000 }).toEqual(here[0]?.states);
  expect(new Set(here.map(({ lastId }) => lastId)).size).toBe(1);

  // Whoever came meanwhile was shown the truth, or told to wait or to come again.
  for (const reader of meanwhile) {
    expect(reader.wrong).toEqual([]);
    expect([200, 503]).toContain(reader.status);
    if (reader.status === 503) continue;
    expect(reader.retryMs).toBeGreaterThan(0);
    if (reader.ended) expect(reader.kinds.at(-1)).toBe("closed");
  }
  const stayed = meanwhile.filter(({ status, ended }) => status === 200 && !ended);
  expect(stayed.length).toBeGreaterThan(0);
  await until(() => stayed.every(({ lastId }) => lastId === here[0]?.lastId), "the same for all who came");
  for (const { states } of stayed) expect(states).toEqual(here[0]?.states);

  // With an id of before, at either gateway: everything anew, not what seems to follow.
  for (const nth of [0, 1])
    for (const id of [before[nth], gone.lastId, `${epochBefore}-999999`, `${epochBefore + 9}-1`]) {
      const late = watch(nth, id);
      await until(() => late.lastId !== undefined, "an answer");
      expect(late.kinds[0]).toBe("snapshot");
      expect(late.states).toEqual(here[0]?.states);
      expect(late.wrong).toEqual([]);
      late.leave();
    }

  // And it goes on: the same change for all, and for who comes back with an id of now, that change alone.
  const now = here[0]?.lastId;
  await sell(eventId, ["A-R4-1"]);
  await everyone([...here, ...stayed], ["A-R4-1"], sold);
  const back = watch(1, now);
  await until(() => back.lastId !== undefined, "what was missed");
  expect(new Set(back.kinds)).toEqual(new Set(["changes"]));
  await until(() => back.lastId === here[0]?.lastId, "all that was missed");
  for (const { wrong } of [...here, ...stayed]) expect(wrong).toEqual([]);
}, 300_000);
