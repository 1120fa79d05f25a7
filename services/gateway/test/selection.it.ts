// What a buyer may ask for over REST, as it reaches the inventory, and the refusals that come back.
import { DomainError } from "@onsale/kit/errors";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { type Harness, startHarness } from "./harness.js";

let gateway: Harness;
let buyer: string;

beforeAll(async () => {
  gateway = await startHarness({ ...inject("backing") });
  buyer = await gateway.token("acc_1");
});
afterEach(() => gateway.reset());
afterAll(() => gateway.stop());

let keys = 0;
const ask = (body: unknown) =>
  gateway.post("/v1/checkouts", { token: buyer, key: `selection-${gateway.run}-${++keys}`, body });

describe("the best available seats", () => {
  test.each<[Record<string, unknown>, Record<string, unknown>]>([
    [{ quantity: 2 }, { quantity: 2, sectionIds: [], accessible: 0, companions: 0, split: false }],
    [
      {
        quantity: 4,
        sections: ["A", "B2"],
        minAmount: 0,
        maxAmount: 9000,
        accessible: 1,
        companions: 3,
        split: true,
      },
      {
        quantity: 4,
        sectionIds: ["A", "B2"],
        minAmount: 0,
        maxAmount: 9000,
        accessible: 1,
        companions: 3,
        split: true,
      },
    ],
  ])("%j reach the inventory as they are", async (bestAvailable, value) => {
    gateway.replies.seats = {
      hold: async () => {
        throw new DomainError("NOT_ENOUGH_SEATS", "What you asked for has no 4 free seats side by side, but 3.", {
          free: 9,
          largestGroup: 3,
          splitWouldHelp: true,
        });
      },
    };
    const told = await ask({ eventId: "evt_1", layoutVersion: "00aa11bb22cc33dd", bestAvailable });
    expect(told.body).toMatchObject({
      status: 409,
      code: "NOT_ENOUGH_SEATS",
      free: 9,
      largestGroup: 3,
      splitWouldHelp: true,
      retryable: false,
    });
    expect(gateway.calls.map(({ request }) => request)).toMatchObject([
      { eventId: "evt_1", layoutVersion: "00aa11bb22cc33dd", selection: { $case: "bestAvailable", value } },
    ]);
  });

  test.each<[string, Record<string, unknown>, string]>([
    ["no quantity", {}, "/bestAvailable/quantity"],
    ["quantity 0", { quantity: 0 }, "/bestAvailable/quantity"],
    ["quantity 1,000", { quantity: 1000 }, "/bestAvailable/quantity"],
    ["half a seat", { quantity: 1.5 }, "/bestAvailable/quantity"],
    ["a section that can't be", { quantity: 1, sections: ["a b"] }, "/bestAvailable/sections/0"],
    ["no sections", { quantity: 1, sections: [] }, "/bestAvailable/sections"],
    ["a section twice", { quantity: 1, sections: ["A", "A"] }, "/bestAvailable/sections"],
    ["a negative price", { quantity: 1, minAmount: -1 }, "/bestAvailable/minAmount"],
    ["prices the wrong way round", { quantity: 1, minAmount: 2, maxAmount: 1 }, "/bestAvailable/maxAmount"],
    ["more accessible seats than seats", { quantity: 1, accessible: 2 }, "/bestAvailable/accessible"],
    ["companions of nobody", { quantity: 2, companions: 1 }, "/bestAvailable/companions"],
    ["four companions of one", { quantity: 5, accessible: 1, companions: 4 }, "/bestAvailable/companions"],
    ["a split that is no yes or no", { quantity: 2, split: "yes" }, "/bestAvailable/split"],
    ["an unknown field", { quantity: 2, row: "A" }, "/bestAvailable/row"],
    ["many faults", { quantity: "2", sections: [1, 2, 3], minAmount: "1", split: 1 }, "/bestAvailable/sections/2"],
  ])("are not asked for with %s", async (_, bestAvailable, pointer) => {
    const told = await ask({ eventId: "evt_1", bestAvailable });
    expect({ status: told.status, code: told.body.code }).toEqual({ status: 400, code: "REQUEST_INVALID" });
    expect(told.body.errors.map((error: { pointer: string }) => error.pointer)).toContain(pointer);
    expect(gateway.calls).toEqual([]);
  });

  test("are not asked for together with others", async () => {
    for (const also of [{ seats: ["A-A-1"] }, { section: "A", quantity: 1 }]) {
      const told = await ask({ eventId: "evt_1", bestAvailable: { quantity: 1 }, ...also });
      expect({ status: told.status, code: told.body.code }).toEqual({ status: 400, code: "REQUEST_INVALID" });
    }
    expect(gateway.calls).toEqual([]);
  });
});

describe("seats by name", () => {
  test("may be of several sections, accessible ones if that is said", async () => {
    gateway.replies.seats = {
      hold: async () => {
        throw new DomainError("SEAT_TAKEN", "Gone.", { seats: ["A-A-1"] });
      },
    };
    await ask({ eventId: "evt_1", seats: ["A-A-1", "B-C-2"] });
    await ask({ eventId: "evt_1", seats: ["A-A-1"], accessible: true });
    expect(gateway.calls.map(({ request }) => request.selection)).toEqual([
      { $case: "seats", value: { seatIds: ["A-A-1", "B-C-2"], accessible: undefined } },
      { $case: "seats", value: { seatIds: ["A-A-1"], accessible: true } },
    ]);
    expect((await ask({ eventId: "evt_1", seats: ["A-A-1"], accessible: 1 })).status).toBe(400);
    expect((await ask({ eventId: "evt_1", seats: ["A-A-1"], layoutVersion: "a b" })).status).toBe(400);
  });

  test.each<["SEAT_ORPHANED" | "SEAT_ACCESSIBLE" | "LAYOUT_CHANGED", Record<string, unknown>]>([
    ["SEAT_ORPHANED", { orphans: ["A-A-1"], alternative: ["A-A-1", "A-A-2"] }],
    ["SEAT_ACCESSIBLE", { seats: ["A-A-1"] }],
    ["LAYOUT_CHANGED", { layoutVersion: "00aa11bb22cc33dd" }],
  ])("are refused with %s, and what to do", async (code, details) => {
    gateway.replies.seats = {
      hold: async () => {
        throw new DomainError(code, "In the inventory's words.", details);
      },
    };
    const told = await ask({ eventId: "evt_1", seats: ["A-A-2", "A-A-3"] });
    expect(told.body).toMatchObject({ status: 409, code, detail: "In the inventory's words.", ...details });
  });
});
