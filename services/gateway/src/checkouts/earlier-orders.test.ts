import { setImmediate } from "node:timers/promises";
import { DomainError } from "@onsale/kit/errors";
import { Order } from "@onsale/proto/ticket/v1/ticket";
import { expect, test } from "vitest";
import { gatherOrders } from "./earlier-orders.js";

const orders = [Order.fromPartial({ checkoutId: "chk_1", userId: "acc_1" })];

function aTicketService() {
  const asked: { checkoutIds: readonly string[]; deadlineMs: number | undefined }[] = [];
  const find = gatherOrders({
    findOrders: async ({ checkoutIds }, { deadlineMs } = {}) => {
      asked.push({ checkoutIds, deadlineMs });
      if (checkoutIds.includes("chk_away")) throw new DomainError("UNAVAILABLE", "MongoDB is away.");
      return { orders: orders.filter(({ checkoutId }) => checkoutIds.includes(checkoutId)) };
    },
  });
  return { asked, find };
}

test("what is asked in one turn is one call, and each gets its own answer", async () => {
  const { asked, find } = aTicketService();
  const found = await Promise.all([
    find("chk_1", "acc_1", {}),
    find("chk_2", "acc_1", {}),
    find("chk_1", "acc_other", {}),
  ]);
  expect(found).toEqual([orders[0], undefined, undefined]);
  expect(asked).toEqual([{ checkoutIds: ["chk_1", "chk_2"], deadlineMs: undefined }]);
});

test("a later turn is another call; so is another deadline, and what is beyond 500", async () => {
  const { asked, find } = aTicketService();
  const first = find("chk_1", "acc_1", {});
  const hurried = find("chk_1", "acc_1", { deadlineMs: 5 });
  await setImmediate();
  await setImmediate();
  await Promise.all([first, hurried, find("chk_3", "acc_1", {})]);
  expect(asked.map(({ deadlineMs }) => deadlineMs)).toEqual([undefined, 5, undefined]);
  await Promise.all(Array.from({ length: 501 }, (_, at) => find(`chk_many${at}`, "acc_1", {})));
  expect(asked.slice(3).map(({ checkoutIds }) => checkoutIds.length)).toEqual([500, 1]);
});

test("a call that fails fails for all that asked together, and for nobody after them", async () => {
  const { find } = aTicketService();
  const together = await Promise.allSettled([find("chk_away", "acc_1", {}), find("chk_1", "acc_1", {})]);
  expect(together.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(await find("chk_1", "acc_1", {})).toEqual(orders[0]);
});
