// The same service on a cluster: events spread over servers, slots that move, masters that die with what only they knew.
import { setTimeout as sleep } from "node:timers/promises";
import { DomainError } from "@onsale/kit/errors";
import { slotOf } from "@onsale/kit/redis-servers";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { type ClusterNode, startValkeyCluster, type ValkeyCluster } from "../../../tools/backing/src/valkey-cluster.js";
import {
  claimOf,
  claimsIn,
  expectRefusal,
  freshId,
  hall,
  hallSeats,
  type Inventory,
  insist,
  newEvent,
  publishEvent,
  quantityWish,
  releaseOf,
  seatsWish,
  standing,
  startForTest,
} from "./inventory.js";

let cluster: ValkeyCluster;
let inventory: Inventory;
let sibling: Inventory;
beforeAll(async () => {
  cluster = await startValkeyCluster({ env: process.env });
  const stores = { ...inject("backing"), redisUrl: cluster.url };
  inventory = await startForTest(stores, { AVAILABILITY_CACHE_MS: "0", SWEEP_SECONDS: "60" });
  sibling = await startForTest(stores, { AVAILABILITY_CACHE_MS: "0", SWEEP_SECONDS: "60" }, inventory.database);
});
afterAll(async () => {
  await inventory?.stop();
  await sibling?.stop();
  await cluster?.stop();
});

const masterOf = (eventId: string) => cluster.masterOf(slotOf(eventId));
const publish = (...of: Parameters<typeof newEvent>) => insist(() => publishEvent(inventory, newEvent(...of)));

/** A published event that is on this server. */
async function publishOn(node: ClusterNode, sections = [hall(5, 10)]): Promise<string> {
  for (;;) {
    const eventId = freshId("evt");
    if ((await masterOf(eventId)) === node) return await publish({ eventId }, sections);
  }
}

async function holdAndClaim(eventId: string, seatIds: string[]) {
  const wish = seatsWish(eventId, seatIds);
  const held = await insist(() => inventory.seats.hold(wish));
  await insist(() => inventory.seats.claimSeats(claimOf(wish, held)));
}

const countsOf = async (service: Inventory, eventId: string) =>
  (await insist(() => service.seats.getAvailability({ eventId }))).sections;

const epochOf = async (eventId: string) =>
  Number((await (await masterOf(eventId)).redis.get(`{${eventId}}:epoch`))?.split("|")[0]);

test("events lie on all of the servers, and everything works on each", async () => {
  const masters = cluster.nodes.slice(0, 3);
  const events = await Promise.all(masters.map((node) => publishOn(node, [hall(2, 5), standing(10)])));
  await Promise.all(
    events.map(async (eventId, at) => {
      await holdAndClaim(eventId, ["A-A-1", "A-A-2"]);
      const wish = seatsWish(eventId, ["A-B-1", "A-B-2", "A-A-4"]);
      const held = await inventory.seats.hold(wish);
      expect(await sibling.seats.hold(wish)).toEqual(held);
      await sibling.seats.hold(quantityWish(eventId, "FLOOR", 4));
      await expectRefusal(sibling.seats.hold(seatsWish(eventId, ["A-A-2"])), "SEAT_TAKEN");
      expect(await countsOf(sibling, eventId)).toEqual([
        { sectionId: "A", free: 5, held: 3, sold: 2, blocked: 0 },
        { sectionId: "FLOOR", free: 6, held: 4, sold: 0, blocked: 0 },
      ]);
      expect(await sibling.seats.releaseHold(releaseOf(wish, held))).toEqual({ released: 3 });
      // Nothing of the event is on another server.
      for (const node of masters) {
        const keys = Number(await node.redis.call("CLUSTER", "COUNTKEYSINSLOT", slotOf(eventId)));
        expect(keys > 0, node.process.name).toBe(node === masters[at]);
      }
      expect(await epochOf(eventId)).toBe(1);
    }),
  );
});

test("a slot that moves with a live event: retryable refusals meanwhile, nothing lost, nothing sold twice", async () => {
  const [from, to] = cluster.nodes;
  if (!from || !to) throw new Error("there are six");
  const eventId = await publishOn(from, [hall(6, 10)]);
  await holdAndClaim(eventId, ["A-A-1"]);
  const kept = seatsWish(eventId, ["A-A-2", "A-A-3"]);
  const keptHold = await inventory.seats.hold(kept);

  const refusals = new Map<string, number>();
  const holders = new Map<string, string[]>();
  let moving = true;
  // Each buyer tries one seat after the other until the slot has moved.
  const crowd = Array.from({ length: 12 }, async (_, at) => {
    const service = at % 2 ? inventory : sibling;
    for (let round = 0; moving || round < 10; round++) {
      const wish = seatsWish(eventId, [`A-${"BCDEF"[round % 5]}-${1 + Math.floor(Math.random() * 10)}`]);
      try {
        const held = await service.seats.hold(wish);
        const claim = claimOf(wish, held);
        await insist(() => service.seats.claimSeats(claim));
        holders.set(claim.seatIds[0] ?? "", [...(holders.get(claim.seatIds[0] ?? "") ?? []), claim.checkoutId]);
      } catch (error) {
        const { code, refusal } = DomainError.from(error);
        refusals.set(code, (refusals.get(code) ?? 0) + 1);
        if (code !== "SEAT_TAKEN") expect(refusal.retryable, code).toBe(true);
        await sleep(5);
      }
    }
  });
  let steps = 0;
  await cluster.moveSlot(slotOf(eventId), to, async () => {
    // Halfway some keys are here and some there.
    await sleep(++steps < 5 ? 60 : 0);
  });
  moving = false;
  await Promise.all(crowd);

  expect(refusals.get("UNAVAILABLE") ?? 0).toBeGreaterThan(0);
  expect([...holders.values()].filter((checkouts) => checkouts.length > 1)).toEqual([]);
  expect(await insist(() => inventory.seats.claimSeats(claimOf(kept, keptHold)))).toEqual({ fresh: true });
  const sold = (await claimsIn(inventory, eventId)).map(({ seatId }) => seatId).sort();
  expect(sold).toEqual([...holders.keys(), "A-A-1", "A-A-2", "A-A-3"].sort());
  for (const service of [inventory, sibling])
    expect((await countsOf(service, eventId))[0]).toMatchObject({ sold: sold.length, held: 0, blocked: 0 });
  expect(await masterOf(eventId)).toBe(to);
  // It was compared with the claims on the server that has it now.
  expect(await epochOf(eventId)).toBe(2);
});

/** From here on the replica hears nothing: what the master acknowledges now, it alone knows. */
async function cutOff(master: ClusterNode): Promise<ClusterNode> {
  for (const node of cluster.nodes) {
    const info = await node.redis.info("replication");
    if (!info.includes("role:slave") || !info.includes(`master_port:${master.port}\r`)) continue;
    await node.redis.config("SET", "masteruser", "nobody");
    await node.redis.config("SET", "masterauth", "wrong");
    await master.redis.call("CLIENT", "KILL", "TYPE", "replica");
    await expect.poll(() => node.redis.info("replication")).toContain("master_link_status:down");
    return node;
  }
  throw new Error(`no replica follows ${master.process.name}`);
}

test("a master dies with holds that its replica never heard of: nobody is sold what another has", async () => {
  const [other, , master] = cluster.nodes;
  if (!master || !other) throw new Error("there are six");
  const eventId = await publishOn(master);
  const elsewhere = await publishOn(other);
  await holdAndClaim(eventId, ["A-A-1"]);
  const known = seatsWish(eventId, ["A-A-2"]);
  const knownHold = await inventory.seats.hold(known);
  await expect.poll(() => master.redis.wait(1, 100)).toBe(1);
  const replica = await cutOff(master);

  await holdAndClaim(eventId, ["A-A-3"]);
  const overtaken = seatsWish(eventId, ["A-B-1", "A-B-2"]);
  const overtakenHold = await inventory.seats.hold(overtaken);
  const lucky = seatsWish(eventId, ["A-C-1"]);
  const luckyHold = await inventory.seats.hold(lucky);
  await master.process.kill9();

  // Until it is restored from the claims, no seat is shown or given: "try again", not "free".
  const shown = new Set<string>();
  await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-D-1"])), "UNAVAILABLE");
  await inventory.seats.hold(seatsWish(elsewhere, ["A-A-1"])); // the others go on
  await expect
    .poll(
      async () => {
        const answer = await inventory.seats.getAvailability({ eventId }).catch((error: unknown) => error);
        if (!(answer instanceof DomainError)) return answer;
        expect(answer.refusal.retryable, answer.message).toBe(true);
        shown.add(answer.code);
        return undefined;
      },
      { timeout: 20_000, interval: 30 },
    )
    .toMatchObject({ sections: [{ sectionId: "A", free: 47, held: 1, sold: 2, blocked: 0 }] });
  expect(shown).toContain("UNAVAILABLE");
  expect(shown).toContain("INVENTORY_REBUILDING");
  expect(await masterOf(eventId)).toBe(replica);
  expect(await epochOf(eventId)).toBe(2);

  await expectRefusal(
    insist(() => sibling.seats.hold(seatsWish(eventId, ["A-A-3"]))),
    "SEAT_TAKEN",
  );
  const quick = seatsWish(eventId, ["A-B-2"]);
  const quickHold = await sibling.seats.hold(quick);
  const refused = await expectRefusal(inventory.seats.claimSeats(claimOf(overtaken, overtakenHold)), "SEAT_TAKEN");
  expect(refused.details).toEqual({ seats: ["A-B-2"] });
  for (const [wish, held] of [
    [quick, quickHold],
    [lucky, luckyHold],
    [known, knownHold],
  ] as const)
    expect(await inventory.seats.claimSeats(claimOf(wish, held))).toEqual({ fresh: true });
  expect((await claimsIn(inventory, eventId)).map(({ seatId }) => seatId).sort()).toEqual(
    ["A-A-1", "A-A-2", "A-A-3", "A-B-2", "A-C-1"].sort(),
  );
  await master.process.restart();
});

test("a master that is replaced on purpose, and gets its place back, costs no hold", async () => {
  const [node] = cluster.nodes;
  if (!node) throw new Error("there are six");
  const eventId = await publishOn(node);
  const wish = seatsWish(eventId, hallSeats(1, 3));
  const held = await inventory.seats.hold(wish);
  const replicas = await Promise.all(
    cluster.nodes.map(async (other) => ({ other, info: await other.redis.info("replication") })),
  );
  const replica = replicas.find(({ info }) => info.includes(`master_port:${node.port}\r`))?.other;
  for (const next of [replica, node]) {
    const epoch = await epochOf(eventId);
    await expect.poll(() => next?.redis.info("replication")).toContain("master_link_status:up");
    await next?.redis.call("CLUSTER", "FAILOVER");
    await expect.poll(() => masterOf(eventId), { timeout: 10_000 }).toBe(next);
    expect(await insist(() => sibling.seats.hold(wish))).toMatchObject({ deadlineMs: held.deadlineMs });
    expect((await countsOf(inventory, eventId))[0]).toMatchObject({ held: 3, free: 47 });
    expect(await epochOf(eventId)).toBe(epoch + 1);
  }
  expect(await inventory.seats.claimSeats(claimOf(wish, held))).toEqual({ fresh: true });
});
