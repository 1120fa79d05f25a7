// What checkouts have bought, as whoever looks for claims without an order is told.
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import {
  claimOf,
  expectRefusal,
  type Inventory,
  newEvent,
  publishEvent,
  seatsWish,
  startForTest,
} from "./inventory.js";

let inventory: Inventory;
beforeAll(async () => {
  inventory = await startForTest(inject("backing"));
});
afterAll(() => inventory?.stop());

async function bought(eventId: string, seatIds: string[]) {
  const wish = seatsWish(eventId, seatIds);
  const claim = claimOf(wish, await inventory.seats.hold(wish));
  await inventory.seats.claimSeats(claim);
  return claim;
}

const giveBack = ({ eventId, checkoutId, userId }: Awaited<ReturnType<typeof bought>>, seatIds: string[] = []) =>
  inventory.seats.releaseClaims({ eventId, checkoutId, userId, seatIds });

const saleOf = async (eventId: string, checkoutId: string) =>
  (await inventory.reconcile.getSale({ eventId, checkoutId })).sale;

describe("a sale", () => {
  test("is told as its tickets say it, in the order in which the seats were claimed", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const { checkoutId, userId } = await bought(eventId, ["A-B-2", "A-A-1"]);
    const { event } = await inventory.catalog.getEvent({ eventId, viewerId: "" });
    expect(await saleOf(eventId, checkoutId)).toMatchObject({
      userId,
      whole: true,
      amount: 9_900,
      currency: event?.currency,
      eventName: event?.name,
      startsAtMs: event?.startsAtMs,
      venueName: event?.venue?.name,
      eventCancelled: false,
      seats: [
        { seatId: "A-A-1", sectionId: "A", row: "A", number: "1", amount: 4_950 },
        { seatId: "A-B-2", sectionId: "A", row: "B", number: "2", amount: 4_950 },
      ],
    });
  });

  test("is what is left of it once seats are given back, and nothing when all are", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const claim = await bought(eventId, ["A-A-1", "A-A-2"]);
    await giveBack(claim, ["A-A-1"]);
    expect(await saleOf(eventId, claim.checkoutId)).toMatchObject({
      whole: false,
      amount: 4_950,
      seats: [{ seatId: "A-A-2" }],
    });
    await giveBack(claim);
    expect(await saleOf(eventId, claim.checkoutId)).toBeUndefined();
    expect(await saleOf(eventId, "chk_never")).toBeUndefined();
  });

  test("is listed by when it was claimed, page by page, each once; given back, no more", async () => {
    const eventId = await publishEvent(inventory, newEvent());
    const sinceMs = Date.now();
    const claims = [];
    for (const seat of ["A-A-1", "A-A-2", "A-A-3", "A-A-4", "A-A-5"]) claims.push(await bought(eventId, [seat]));
    const beforeMs = Date.now() + 1;
    const listed = async () => {
      const ids: string[] = [];
      for (let cursor = "", first = true; first || cursor !== ""; first = false) {
        const page = await inventory.reconcile.listSales({ sinceMs, beforeMs, cursor, limit: 2 });
        expect(page.sales.length).toBeLessThanOrEqual(2);
        ids.push(...page.sales.filter((sale) => sale.eventId === eventId).map(({ checkoutId }) => checkoutId));
        cursor = page.nextCursor;
      }
      return ids;
    };
    expect(await listed()).toEqual(claims.map(({ checkoutId }) => checkoutId));
    const [first, second] = claims;
    if (!first || !second) throw new Error("two were bought");
    await giveBack(first);
    expect(await listed()).not.toContain(first.checkoutId);
    expect(
      (await inventory.reconcile.listSales({ sinceMs: 0, beforeMs: sinceMs, cursor: "", limit: 0 })).sales,
    ).toEqual(expect.not.arrayContaining([expect.objectContaining({ checkoutId: second.checkoutId })]));
  });

  test("of what makes no sense is refused", async () => {
    await expectRefusal(saleOf("evt_unknown", "chk_1"), "EVENT_NOT_FOUND");
    const page = { sinceMs: 0, beforeMs: 1, cursor: "", limit: 0 };
    await expectRefusal(inventory.reconcile.listSales({ ...page, cursor: "no" }), "REQUEST_INVALID");
    await expectRefusal(inventory.reconcile.listSales({ ...page, limit: 501 }), "REQUEST_INVALID");
    await expectRefusal(inventory.reconcile.listSales({ ...page, sinceMs: -1 }), "REQUEST_INVALID");
  });
});
