// Channels and blocks over REST: what an organiser may do, what a code opens, and that a code is told to nobody.
import { DomainError } from "@onsale/kit/errors";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { type Harness, startHarness } from "./harness.js";

let gateway: Harness;
let buyer: string;
let organiser: string;
let operator: string;

beforeAll(async () => {
  gateway = await startHarness({ ...inject("backing"), settings: { RATE_CODES: "3/60", RATE_CODES_ADDRESS: "30/60" } });
  buyer = await gateway.token("acc_1");
  organiser = await gateway.token("acc_org", { roles: ["buyer", "organiser"] });
  operator = await gateway.token("acc_op", { roles: ["operator"] });
});
afterEach(() => gateway.reset());
afterAll(() => gateway.stop());

const asked = (method: string) => gateway.calls.filter((call) => call.method === method).map((call) => call.request);
let keys = 0;
const newKey = () => `channels-${gateway.run}-${++keys}`;

const stored = {
  channelId: "fans",
  name: "Fan club",
  opensAtMs: Date.UTC(2027, 2, 1),
  closesAtMs: Date.UTC(2027, 2, 2),
  seatsPerPerson: 2,
  seatsPerCode: 0,
  codeCount: 2,
  seatIds: ["A-A-1"],
  places: [{ sectionId: "FLOOR", quantity: 20 }],
  ended: false,
};
const body = {
  name: "Fan club",
  codes: ["ANCHOR-1", "ANCHOR-2"],
  opensAt: "2027-03-01T00:00:00Z",
  closesAt: "2027-03-02T00:00:00Z",
  seatsPerPerson: 2,
  seats: ["A-A-1"],
  generalAdmission: [{ section: "FLOOR", quantity: 20 }],
};
const path = "/v1/organiser/events/evt_1/channels/fans";
const shown = {
  channelId: "fans",
  name: "Fan club",
  opensAt: "2027-03-01T00:00:00.000Z",
  closesAt: "2027-03-02T00:00:00.000Z",
  status: expect.stringMatching(/^(upcoming|open|ended)$/),
  seatsPerPerson: 2,
  codes: 2,
  seats: ["A-A-1"],
  generalAdmission: [{ section: "FLOOR", quantity: 20 }],
};

describe("an organiser's channels", () => {
  test("are stored, listed without their codes, and deleted", async () => {
    gateway.replies.channels = {
      putChannel: async () => ({ channel: stored, notFree: ["A-A-1"] }),
      listChannels: async () => ({ channels: [stored, { ...stored, channelId: "old", ended: true }] }),
      deleteChannel: async () => ({}),
    };
    const told = await gateway.send("PUT", path, { token: organiser, body });
    expect(told.status, told.text).toBe(200);
    expect(told.body).toEqual({ channel: shown, notFree: ["A-A-1"] });
    expect(told.text).not.toContain("ANCHOR");
    expect(told.headers.get("cache-control")).toBe("no-store");
    expect(asked("channels.putChannel")).toEqual([
      {
        eventId: "evt_1",
        channelId: "fans",
        organiserId: "acc_org",
        name: "Fan club",
        codes: ["ANCHOR-1", "ANCHOR-2"],
        opensAtMs: Date.UTC(2027, 2, 1),
        closesAtMs: Date.UTC(2027, 2, 2),
        seatsPerPerson: 2,
        seatsPerCode: 0,
        seatIds: ["A-A-1"],
        places: [{ sectionId: "FLOOR", quantity: 20 }],
      },
    ]);
    const list = await gateway.get("/v1/organiser/events/evt_1/channels", { token: operator });
    expect(list.body.channels).toEqual([shown, { ...shown, channelId: "old", status: "ended" }]);
    expect((await gateway.send("DELETE", path, { token: operator })).status).toBe(204);
    expect(asked("channels.deleteChannel")).toEqual([{ eventId: "evt_1", channelId: "fans", organiserId: "" }]);
  });

  test("take 10,000 codes and 60,000 seats, and not one more", async () => {
    gateway.replies.channels = { putChannel: async () => ({ channel: stored, notFree: [] }) };
    const codes = Array.from({ length: 10_000 }, (_, at) => `A-LONG-CODE-OF-SOME-FAN-${at}`);
    const seats = Array.from({ length: 60_000 }, (_, at) => `SECTION-${at}-9999`);
    const told = await gateway.send("PUT", path, { token: organiser, body: { ...body, codes, seats } });
    expect(told.status, told.text).toBe(200);
    const more = await gateway.send("PUT", path, {
      token: organiser,
      body: { ...body, codes: [...codes, "ONE-MORE"] },
    });
    expect({ status: more.status, code: more.body.code }).toEqual({ status: 400, code: "REQUEST_INVALID" });
    expect(asked("channels.putChannel")).toHaveLength(1);
  });

  test.each([
    ["no codes", { codes: [] }],
    ["no list of codes", { codes: undefined }],
    ["a code that is none", { codes: [5] }],
    ["a code with a line break", { codes: ["FERRY\nSECRET"] }],
    ["no window", { opensAt: undefined }],
    ["a window that is no time", { closesAt: "tomorrow" }],
    ["a limit of 0", { seatsPerPerson: 0 }],
    ["half a seat a code", { seatsPerCode: 0.5 }],
    ["a seat twice", { seats: ["A-A-1", "A-A-1"] }],
    ["places of no number", { generalAdmission: [{ section: "FLOOR", quantity: -1 }] }],
    ["a field that does not exist", { pool: 4 }],
  ])("are refused with %s, and the codes are not repeated", async (_, change) => {
    const told = await gateway.send("PUT", path, { token: organiser, body: { ...body, ...change } });
    expect({ status: told.status, code: told.body.code }, told.text).toEqual({ status: 400, code: "REQUEST_INVALID" });
    expect(told.text).not.toMatch(/ANCHOR|SECRET/);
    expect(gateway.calls).toEqual([]);
  });

  test("are no buyer's business", async () => {
    for (const [method, at] of [
      ["PUT", path],
      ["DELETE", path],
      ["GET", "/v1/organiser/events/evt_1/channels"],
      ["GET", "/v1/organiser/events/evt_1/blocks"],
    ] as const) {
      expect((await gateway.send(method, at, { token: buyer, ...(method === "PUT" ? { body } : {}) })).status).toBe(
        403,
      );
      expect((await gateway.send(method, at, method === "PUT" ? { body } : {})).status).toBe(401);
    }
    expect(gateway.calls).toEqual([]);
  });

  test("say what the inventory refuses", async () => {
    gateway.replies.channels = {
      putChannel: async () => {
        throw new DomainError("SEATS_ALLOCATED", "A-A-1 is another channel's.", { seats: ["A-A-1"] });
      },
    };
    const told = await gateway.send("PUT", path, { token: organiser, body });
    expect(told.body).toMatchObject({ status: 409, code: "SEATS_ALLOCATED", seats: ["A-A-1"] });
    const odd = await gateway.send("PUT", "/v1/organiser/events/evt_1/channels/a%20b", { token: organiser, body });
    expect(odd.body.code).toBe("EVENT_NOT_FOUND");
  });
});

describe("an access code", () => {
  const opened = {
    ...stored,
    free: ["A-A-1"],
    held: ["A-A-2"],
    sold: [],
    blocked: ["A-A-3"],
    places: [{ sectionId: "FLOOR", free: 3, held: 2, sold: 1, blocked: 0 }],
    asOfMs: Date.UTC(2027, 2, 1, 12),
  };
  const invalid = async () => {
    throw new DomainError("ACCESS_CODE_INVALID", "This code does not open seats of this event.");
  };

  test("shows what it opens, and no shared cache keeps it", async () => {
    gateway.replies.channels = { openWithCode: async () => opened };
    const told = await gateway.post("/v1/events/evt_1/access", { body: { code: "ANCHOR-1" } });
    expect(told.status, told.text).toBe(200);
    expect(told.body).toEqual({
      channelId: "fans",
      name: "Fan club",
      opensAt: "2027-03-01T00:00:00.000Z",
      closesAt: "2027-03-02T00:00:00.000Z",
      status: "open",
      seatsPerPerson: 2,
      seats: { free: ["A-A-1"], held: ["A-A-2"], sold: [], blocked: ["A-A-3"] },
      generalAdmission: [{ section: "FLOOR", free: 3, held: 2, sold: 1, blocked: 0 }],
      asOf: "2027-03-01T12:00:00.000Z",
    });
    expect(told.headers.get("cache-control")).toBe("no-store");
    expect(asked("channels.openWithCode")).toEqual([{ eventId: "evt_1", code: "ANCHOR-1" }]);
  });

  test.each([[{}], [{ code: "" }], [{ code: 7 }], [{ code: "X".repeat(101) }], [{ code: "A\u0000BCDE" }]])(
    "is refused as %j",
    async (bad) => {
      const told = await gateway.post("/v1/events/evt_1/access", { token: buyer, body: bad });
      expect({ status: told.status, code: told.body.code }).toEqual({ status: 400, code: "REQUEST_INVALID" });
      expect(gateway.calls).toEqual([]);
    },
  );

  test("goes along with a checkout, and comes back in no answer", async () => {
    gateway.replies.seats = {
      hold: async () => {
        throw new DomainError("CHANNEL_NOT_OPEN", "The seats of this code are on sale later.", {
          opensAt: "2027-03-01T00:00:00.000Z",
        });
      },
    };
    const wish = { eventId: "evt_1", seats: ["A-A-1"], accessCode: "ANCHOR-1" };
    const token = await gateway.token("acc_fan");
    const told = await gateway.post("/v1/checkouts", { token, key: newKey(), body: wish });
    expect(told.body).toMatchObject({ status: 409, code: "CHANNEL_NOT_OPEN", opensAt: "2027-03-01T00:00:00.000Z" });
    expect(told.text).not.toContain("ANCHOR");
    await gateway.post("/v1/checkouts", { token, key: newKey(), body: { ...wish, accessCode: undefined } });
    await gateway.post("/v1/checkouts", {
      token,
      key: newKey(),
      body: { eventId: "evt_1", section: "FLOOR", quantity: 2, accessCode: "ANCHOR-2" },
    });
    expect(asked("seats.hold").map(({ accessCode }) => accessCode)).toEqual(["ANCHOR-1", undefined, "ANCHOR-2"]);
    for (const accessCode of ["", 5, null, "A\nB"]) {
      const bad = await gateway.post("/v1/checkouts", { token, key: newKey(), body: { ...wish, accessCode } });
      expect({ status: bad.status, code: bad.body.code }).toEqual({ status: 400, code: "REQUEST_INVALID" });
    }
    expect(asked("seats.hold")).toHaveLength(3);
  });

  test("can't be guessed for long: by one account, at once or one by one, by looking or by buying", async () => {
    gateway.replies.channels = { openWithCode: invalid };
    gateway.replies.seats = { hold: invalid };
    const token = await gateway.token("acc_guesser");
    const look = (code: string) => gateway.post("/v1/events/evt_1/access", { token, body: { code } });
    const buy = (accessCode: string) =>
      gateway.post("/v1/checkouts", { token, key: newKey(), body: { eventId: "evt_1", seats: ["A-A-1"], accessCode } });
    const told = await Promise.all([look("GUESS1"), look("GUESS2"), buy("GUESS3"), buy("GUESS4"), look("GUESS5")]);
    expect(told.map(({ status }) => status).sort()).toEqual([403, 403, 403, 429, 429]);
    const late = await buy("ANCHOR-1");
    expect(late.body).toMatchObject({ status: 429, code: "RATE_LIMITED", retryAfterSeconds: expect.any(Number) });
    expect(late.headers.get("retry-after")).toBeTruthy();
    expect(asked("channels.openWithCode").length + asked("seats.hold").length).toBe(3);
    // Another account is not kept from its own tries.
    const other = await gateway.token("acc_other");
    expect((await gateway.post("/v1/events/evt_1/access", { token: other, body: { code: "GUESS" } })).status).toBe(403);
  });

  test("that is right is never counted", async () => {
    gateway.replies.channels = { openWithCode: async () => opened };
    const token = await gateway.token("acc_honest");
    for (let look = 0; look < 8; look++)
      expect((await gateway.post("/v1/events/evt_1/access", { token, body: { code: "ANCHOR-1" } })).status).toBe(200);
  });
});

describe("an organiser's blocks", () => {
  const block = {
    blockId: "blk_1",
    reason: "Camera",
    accountId: "acc_org",
    blockedAtMs: 1_800_000_000_000,
    seatIds: ["A-A-1"],
  };
  const wish = { seats: ["A-A-1"], reason: "Camera" };
  const at = "/v1/organiser/events/evt_1/blocks";

  test("are made once a key, listed with who and why, and lifted", async () => {
    gateway.replies.blocks = {
      blockSeats: async ({ blockId }) => ({ block: { ...block, blockId } }),
      listBlocks: async () => ({ blocks: [block], byLayout: ["A-B-1"] }),
      unblockSeats: async ({ seatIds }) => ({ seatIds }),
    };
    const key = newKey();
    const told = await gateway.post(at, { token: organiser, key, body: wish });
    expect(told.status, told.text).toBe(201);
    const shownBlock = {
      seats: ["A-A-1"],
      reason: "Camera",
      accountId: "acc_org",
      blockedAt: "2027-01-15T08:00:00.000Z",
    };
    expect(told.body).toEqual({ blockId: expect.stringMatching(/^blk_/), ...shownBlock });
    expect((await gateway.post(at, { token: organiser, key, body: wish })).body).toEqual(told.body);
    expect(asked("blocks.blockSeats")).toEqual([
      {
        eventId: "evt_1",
        blockId: told.body.blockId,
        organiserId: "acc_org",
        accountId: "acc_org",
        seatIds: ["A-A-1"],
        reason: "Camera",
      },
    ]);
    const list = await gateway.get(at, { token: organiser });
    expect(list.body).toEqual({ blocks: [{ blockId: "blk_1", ...shownBlock }], byLayout: ["A-B-1"] });
    const lifted = await gateway.post("/v1/organiser/events/evt_1/unblocks", {
      token: operator,
      key: newKey(),
      body: { seats: ["A-A-1"] },
    });
    expect(lifted.body).toEqual({ seats: ["A-A-1"] });
    expect(asked("blocks.unblockSeats")).toEqual([{ eventId: "evt_1", organiserId: "", seatIds: ["A-A-1"] }]);
  });

  test.each([
    ["no seats", { seats: [] }],
    ["a seat twice", { seats: ["A-A-1", "A-A-1"] }],
    ["no reason", { reason: undefined }],
    ["an empty reason", { reason: "  " }],
    ["a reason of control characters", { reason: "a\u0007" }],
    ["too many seats", { seats: Array.from({ length: 5_001 }, (_, nr) => `A-A-${nr}`) }],
    ["a field that does not exist", { force: true }],
  ])("are refused with %s", async (_, change) => {
    const told = await gateway.post(at, { token: organiser, key: newKey(), body: { ...wish, ...change } });
    expect({ status: told.status, code: told.body.code }, told.text).toEqual({ status: 400, code: "REQUEST_INVALID" });
    expect(gateway.calls).toEqual([]);
  });

  test("name the seats that are a buyer's", async () => {
    gateway.replies.blocks = {
      blockSeats: async () => {
        throw new DomainError("SEAT_TAKEN", "Seat A-A-1 is held or bought by a buyer.", { seats: ["A-A-1"] });
      },
    };
    const told = await gateway.post(at, { token: organiser, key: newKey(), body: wish });
    expect(told.body).toMatchObject({ status: 409, code: "SEAT_TAKEN", seats: ["A-A-1"] });
    expect((await gateway.post(at, { token: organiser, body: wish })).body.code).toBe("IDEMPOTENCY_KEY_REQUIRED");
    expect((await gateway.post(at, { token: buyer, key: newKey(), body: wish })).body.code).toBe("ROLE_REQUIRED");
  });
});
