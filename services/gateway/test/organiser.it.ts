// Organisers and operators at the API: their events, sales and orders, a cancellation; and what none of them may see.
import { randomUUID } from "node:crypto";
import { DomainError } from "@onsale/kit/errors";
import { type Event, EventStatus } from "@onsale/proto/inventory/v1/catalog";
import { PaymentStatus } from "@onsale/proto/payment/v1/payment";
import { GetSalesResponse, OrderStatus, RefundState } from "@onsale/proto/ticket/v1/ticket";
import {
  type CancelEventInput,
  cancelEventWorkflowId,
  checkoutWorkflowId,
  searchAttributes,
  workflowTypes,
} from "@onsale/workflows/contract";
import { Client, Connection } from "@temporalio/client";
import { defaultPayloadConverter, defineSearchAttributeKey, SearchAttributeType } from "@temporalio/common";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { anAccount, anEvent, anOrder, aPayment, aRefund, eventually, type Harness, startHarness } from "./harness.js";

const backing = inject("backing");
let gateway: Harness;
let connection: Connection;
let temporal: Client;
let organiser: string;
let operator: string;
let buyer: string;

beforeAll(async () => {
  connection = await Connection.connect({ address: backing.temporalAddress });
  temporal = new Client({ connection });
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace: "default" });
  const missing = Object.values(searchAttributes).filter((name) => !Object.hasOwn(customAttributes ?? {}, name));
  if (missing.length > 0)
    await connection.operatorService
      .addSearchAttributes({
        namespace: "default",
        searchAttributes: Object.fromEntries(missing.map((name) => [name, 2])),
      })
      .catch(() => undefined); // another test was faster
  gateway = await startHarness({
    ...backing,
    settings: { TEMPORAL_UI_URL: "https://temporal.example/", CANCEL_SETTLE_SECONDS: "7" },
  });
  organiser = await gateway.token("acc_org", { roles: ["organiser"] });
  operator = await gateway.token("acc_op", { roles: ["operator"] });
  buyer = await gateway.token("acc_1");
});
afterEach(() => gateway.reset());
afterAll(async () => {
  await gateway.stop();
  await connection.close();
});

const asked = (method: string) => gateway.calls.filter((call) => call.method === method).map(({ request }) => request);
const away = async () => {
  throw new DomainError("UNAVAILABLE", "Not now.");
};
/** As the inventory answers: drafts and layouts are their organiser's, and a foreign event is not told apart from none. */
function catalogWith(now: Event | (() => Event) = anEvent(), layoutSource = "") {
  const current = () => (typeof now === "function" ? now() : now);
  const none = () => new DomainError("EVENT_NOT_FOUND", "There is no such event.");
  return {
    getOwnEvent: async ({ eventId, organiserId }: { eventId: string; organiserId: string }) => {
      const event = current();
      if (eventId !== event.eventId || (organiserId !== "" && organiserId !== event.organiserId)) throw none();
      return { event, sections: [aSection], layoutSource };
    },
    getEvent: async ({ eventId, viewerId }: { eventId: string; viewerId: string }) => {
      const event = current();
      const hidden = event.status === EventStatus.DRAFT && viewerId !== "*" && viewerId !== event.organiserId;
      if (eventId !== event.eventId || hidden) throw none();
      return { event, sections: [{ ...aSection, rows: [] }] };
    },
    getEvents: async () => ({ events: [current()] }),
  };
}
const aSection = {
  sectionId: "A",
  name: "Stalls",
  tierId: "standard",
  generalAdmission: false,
  capacity: 5,
  focalRow: "A",
  focalSeat: 2,
  rows: [{ label: "A", firstSeat: 1, seatCount: 6, gaps: [2], blocked: [4], accessible: [], companion: [] }],
};

describe("own events", () => {
  test("an organiser lists their own, an operator everybody's", async () => {
    gateway.replies.catalog = {
      listEvents: async () => ({ events: [anEvent({ status: EventStatus.CANCELLED })], nextCursor: "c2" }),
    };
    const told = await gateway.get("/v1/organiser/events?status=cancelled&q=ferry&limit=5&cursor=c1", {
      token: organiser,
    });
    expect(told.status, told.text).toBe(200);
    expect(told.body).toMatchObject({ events: [{ eventId: "evt_1", status: "cancelled" }], nextCursor: "c2" });
    expect(told.headers.get("cache-control")).toBe("no-store");
    await gateway.get("/v1/organiser/events", { token: operator });
    expect(asked("catalog.listEvents")).toEqual([
      { organiserId: "acc_org", status: EventStatus.CANCELLED, query: "ferry", cursor: "c1", limit: 5 },
      { organiserId: "", status: EventStatus.UNSPECIFIED, query: "", cursor: "", limit: 20 },
    ]);
  });

  test("one comes with its layout as it was sent, and can be sent again", async () => {
    const sections = [{ id: "A", name: "Stalls", tier: "standard", rows: { count: 2, seats: 10, gaps: [3] } }];
    gateway.replies.catalog = { createEvent: async () => ({ event: anEvent() }) };
    const body = {
      name: "The Night Ferry",
      venue: { name: "Harbour Hall", city: "Kiel", country: "DE", timeZone: "Europe/Berlin" },
      startsAt: "2027-05-01T18:00:00Z",
      onSaleAt: "2027-04-01T10:00:00Z",
      currency: "EUR",
      refundableUntil: "2027-04-24T22:00:00+02:00",
      tiers: [{ id: "standard", name: "Standard", amount: 4950 }],
      sections,
    };
    const made = await gateway.post("/v1/organiser/events", { token: organiser, key: randomUUID(), body });
    expect(made.status, made.text).toBe(201);
    const [{ event, layoutSource }] = asked("catalog.createEvent");
    expect(event).toMatchObject({ refundableUntilMs: Date.UTC(2027, 3, 24, 20), organiserId: "acc_org" });

    gateway.replies.catalog = catalogWith(anEvent({ refundableUntilMs: event.refundableUntilMs }), layoutSource);
    const told = await gateway.get("/v1/organiser/events/evt_1", { token: organiser });
    expect(told.status, told.text).toBe(200);
    expect(told.body).toMatchObject({
      eventId: "evt_1",
      status: "published",
      organiserId: "acc_org",
      createdAt: "2027-03-01T00:00:00.000Z",
      refundableUntil: "2027-04-24T20:00:00.000Z",
    });
    expect(told.body.sections).toEqual(sections);
    expect(told.body.cancellation).toBeUndefined();
  });

  test("one whose words were not kept comes row by row, in a form that can be sent", async () => {
    gateway.replies.catalog = catalogWith();
    const { sections } = (await gateway.get("/v1/organiser/events/evt_1", { token: organiser })).body;
    expect(sections).toEqual([
      {
        id: "A",
        name: "Stalls",
        tier: "standard",
        focalPoint: { row: "A", seat: 2 },
        rows: [{ label: "A", first: 1, seats: 6, gaps: [2], blocked: [4] }],
      },
    ]);
    const { newSection } = await import("../src/schemas.js");
    expect(newSection.safeParse(sections[0]).success).toBe(true);
  });

  test("another's, or none, is not there, whichever way it is looked at", async () => {
    gateway.replies.catalog = catalogWith(anEvent({ organiserId: "acc_else" }));
    for (const eventId of ["evt_1", "evt_none", "not%20an%20id"])
      for (const [method, path] of [
        ["GET", `/v1/organiser/events/${eventId}`],
        ["GET", `/v1/organiser/events/${eventId}/sales`],
        ["POST", `/v1/organiser/events/${eventId}/cancel`],
        ["GET", eventId.includes("%") ? undefined : `/v1/organiser/orders?eventId=${eventId}`],
      ] as const) {
        if (path === undefined) continue;
        const told = await gateway.send(method, path, {
          token: organiser,
          ...(method === "POST" ? { key: randomUUID(), body: {} } : {}),
        });
        expect({ path, status: told.status, code: told.body.code }).toEqual({
          path,
          status: 404,
          code: "EVENT_NOT_FOUND",
        });
      }
    expect(asked("catalog.cancelEvent")).toEqual([]);
    expect(asked("ticket.searchOrders")).toEqual([]);
  });
});

describe("a draft", () => {
  const path = "/v1/organiser/events/evt_1";
  const draft = anEvent({ status: EventStatus.DRAFT });
  const sections = [{ id: "A", name: "Stalls", tier: "standard", rows: { count: 2, seats: 10, gaps: [3] } }];
  const body = {
    name: "The Day Ferry",
    venue: { name: "Harbour Hall", city: "Kiel", country: "DE", timeZone: "Europe/Berlin" },
    startsAt: "2027-05-02T20:00:00+02:00",
    onSaleAt: "2027-04-01T10:00:00Z",
    currency: "EUR",
    tiers: [{ id: "standard", name: "Standard", amount: 4950 }],
    sections,
  };
  const put = (headers: Record<string, string>, more: object = {}, token = organiser) =>
    gateway.put(path, { token, body: { ...body, ...more }, headers });
  const current = { "if-match": '"7"' };
  const problemOf = ({ status, body: told }: Awaited<ReturnType<typeof put>>) => ({ status, code: told.code });

  test("is read with its revision, which makes the edit, and comes back with the next one", async () => {
    gateway.replies.catalog = {
      getOwnEvent: async () => ({ event: draft, sections: [aSection], layoutSource: "", revision: "7" }),
      replaceDraft: async ({ event }) => ({ event: { ...draft, ...event, organiserId: "acc_org" }, revision: "8" }),
    };
    const read = await gateway.get(path, { token: organiser });
    const etag = read.headers.get("etag") ?? "";
    expect(etag).toBe('"7"');
    expect((await gateway.get(path, { token: organiser, headers: { "if-none-match": etag } })).status).toBe(304);

    const told = await put({ "if-match": etag });
    expect(told.status, told.text).toBe(200);
    expect(told.headers.get("etag")).toBe('"8"');
    expect(told.body).toMatchObject({ eventId: "evt_1", status: "draft", name: "The Day Ferry", sections });
    const [request] = asked("catalog.replaceDraft");
    expect(request).toMatchObject({
      organiserId: "acc_org",
      revision: "7",
      event: { eventId: "evt_1", startsAtMs: Date.UTC(2027, 4, 2, 18), seatsPerPerson: 8, description: "" },
      sections: [{ sectionId: "A", capacity: 18, rows: [{ label: "A", gaps: [3] }, { label: "B" }] }],
    });
    expect(JSON.parse(request.layoutSource)).toEqual(sections);
    // An operator edits anybody's; a proxy may have marked the ETag as weak.
    expect((await put({ "if-match": 'W/"8"' }, {}, operator)).status).toBe(200);
    expect(asked("catalog.replaceDraft")[1]).toMatchObject({ organiserId: "", revision: "8" });
  });

  test("is not edited without the revision that was read, nor with a body that is wrong; it is told as for a new one", async () => {
    expect(problemOf(await put({}))).toEqual({ status: 428, code: "IF_MATCH_REQUIRED" });
    for (const header of ["7", "*", '"6", "7"']) {
      const told = await put({ "if-match": header });
      expect(problemOf(told), header).toEqual({ status: 400, code: "REQUEST_INVALID" });
      expect(told.body.errors).toMatchObject([{ in: "header", parameter: "If-Match" }]);
    }
    for (const more of [
      { name: "", venue: { ...body.venue, country: "de" } },
      { organiserId: "acc_else" },
      { sections: [{ ...sections[0], rows: { count: 0, seats: 2 } }] },
      { sections: [{ ...sections[0], rows: { count: 2, seats: 2, blocked: ["C-1"] } }] },
    ]) {
      const asNew = await gateway.post("/v1/organiser/events", {
        token: organiser,
        key: randomUUID(),
        body: { ...body, ...more },
      });
      const told = await put(current, more);
      expect(problemOf(told)).toEqual(problemOf(asNew));
      expect(told.body.errors).toEqual(asNew.body.errors);
      expect(told.body.detail).toBe(asNew.body.detail);
      expect(told.status).toBeLessThan(500);
    }
    expect((await gateway.put(path, { body, headers: current })).status).toBe(401);
    expect(problemOf(await put(current, {}, buyer))).toEqual({ status: 403, code: "ROLE_REQUIRED" });
    expect(asked("catalog.replaceDraft")).toEqual([]);
    expect(asked("catalog.createEvent")).toEqual([]);
  });

  test.each([
    ["EVENT_NOT_FOUND", 404, {}],
    ["EVENT_NOT_DRAFT", 409, { status: "published" }],
    ["DRAFT_CHANGED", 412, {}],
    ["CHANNEL_IN_THE_WAY", 409, { channels: [{ channelId: "fans", name: "Fan club", problem: "has no seats" }] }],
    ["LAYOUT_INVALID", 422, { problems: [{ at: "sections[0].section_id", problem: "is used twice" }] }],
  ] as const)("that the inventory refuses to edit: %s", async (code, status, details) => {
    gateway.replies.catalog = {
      replaceDraft: async () => {
        throw new DomainError(code, "In its own words.", details);
      },
    };
    const told = await put(current);
    expect(problemOf(told)).toEqual({ status, code });
    // A problem's status is the answer's.
    const { status: _status, ...rest } = details as Record<string, unknown>;
    expect(told.body).toMatchObject({ ...rest, status, detail: "In its own words.", retryable: false });
  });

  test("is published as it was read, if its revision is named", async () => {
    gateway.replies.catalog = { publishEvent: async () => ({ event: anEvent() }) };
    const publish = (headers: Record<string, string>) =>
      gateway.post(`${path}/publish`, { token: organiser, key: randomUUID(), headers });
    for (const headers of [current, {}] as Record<string, string>[]) expect((await publish(headers)).status).toBe(200);
    expect(asked("catalog.publishEvent")).toEqual([
      { eventId: "evt_1", organiserId: "acc_org", revision: "7" },
      { eventId: "evt_1", organiserId: "acc_org" },
    ]);
    gateway.replies.catalog = {
      publishEvent: async () => {
        throw new DomainError("DRAFT_CHANGED", "It was changed.");
      },
    };
    expect(problemOf(await publish(current))).toEqual({ status: 412, code: "DRAFT_CHANGED" });
  });
});

describe("sales", () => {
  const sales: GetSalesResponse = {
    asOfMs: Date.UTC(2027, 3, 1, 12),
    gross: 14_850,
    refunded: 4_950,
    orders: 2,
    ordersRefunded: 1,
    tickets: 2,
    refunds: 1,
    refundsFailed: 1,
    amountFailed: 700,
    tiers: [{ tierId: "standard", sold: 2, amount: 9_900 }],
    series: [
      { atMs: 1_000, sold: 3, amount: 14_850 },
      { atMs: 2_000, sold: 0, amount: 0 },
    ],
    seriesStepMs: 1_000,
  };
  const counts = { sectionId: "A", free: 1, held: 1, sold: 2, blocked: 1 };

  test("of an event: seats, money, tiers, race and checkouts", async () => {
    const eventId = `evt_${gateway.run}`;
    const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);
    const start = (status: string) =>
      temporal.workflow.start(workflowTypes.checkout, {
        workflowId: checkoutWorkflowId(`chk_${randomUUID()}`),
        taskQueue: gateway.taskQueue, // nobody serves it: they run until they are terminated
        args: [{}],
        typedSearchAttributes: [
          { key: keyword(searchAttributes.eventId), value: eventId },
          { key: keyword(searchAttributes.status), value: status },
        ],
      });
    const ended = await Promise.all(["completed", "completed", "expired", "cancelled", "refunded"].map(start));
    await start("held");
    for (const handle of ended) await handle.terminate("the test's");

    gateway.replies.catalog = {
      ...catalogWith(
        anEvent({
          eventId,
          capacity: 5,
          tiers: [
            { tierId: "standard", name: "Standard", amount: 4_950 },
            { tierId: "box", name: "Boxes", amount: 9_000 },
          ],
        }),
      ),
      countHolds: async () => ({ won: 7, lost: 41 }),
    };
    gateway.replies.seats = { getAvailability: async () => ({ sections: [counts], asOfMs: 5 }) };
    gateway.replies.ticket = { getSales: async () => sales };
    await eventually(async () => {
      const told = await gateway.get(`/v1/organiser/events/${eventId}/sales`, { token: organiser });
      expect(told.status, told.text).toBe(200);
      expect(told.body).toEqual({
        asOf: "2027-04-01T12:00:00.000Z",
        currency: "EUR",
        seats: { total: 5, sold: 2, held: 1, free: 1, blocked: 1 },
        revenue: { gross: 14_850, refunded: 4_950, failed: 700, net: 9_900 },
        orders: 2,
        tickets: 2,
        refunds: 1,
        refundsFailed: 1,
        tiers: [
          { tierId: "standard", name: "Standard", total: 5, sold: 2, revenue: 9_900 },
          { tierId: "box", name: "Boxes", total: 0, sold: 0, revenue: 0 },
        ],
        holds: { won: 7, lost: 41 },
        checkouts: { started: 6, completed: 2, expired: 1, cancelled: 2, running: 1 },
        conversion: 2 / 6,
        seriesStepMs: 1_000,
        series: [
          { at: 1_000, sold: 3, revenue: 14_850 },
          { at: 2_000, sold: 0, revenue: 0 },
        ],
      });
    });
  });

  test("of a draft are nothing yet", async () => {
    gateway.replies.catalog = {
      ...catalogWith(anEvent({ status: EventStatus.DRAFT })),
      countHolds: async () => ({ won: 0, lost: 0 }),
    };
    gateway.replies.ticket = { getSales: async () => ({ ...sales, tiers: [], series: [] }) };
    const told = await gateway.get("/v1/organiser/events/evt_1/sales", { token: operator });
    expect(told.body).toMatchObject({ seats: { total: 100, sold: 0, held: 0, free: 0, blocked: 0 }, series: [] });
    expect(asked("seats.getAvailability")).toEqual([]);
  });

  test("while seats are being restored, or a part is away: try again", async () => {
    gateway.replies.catalog = { ...catalogWith(), countHolds: async () => ({ won: 0, lost: 0 }) };
    gateway.replies.ticket = { getSales: async () => sales };
    gateway.replies.seats = {
      getAvailability: async () => {
        throw new DomainError("INVENTORY_REBUILDING", "They are being restored.");
      },
    };
    const told = await gateway.get("/v1/organiser/events/evt_1/sales", { token: organiser });
    expect({ status: told.status, code: told.body.code, again: told.body.retryable }).toEqual({
      status: 503,
      code: "INVENTORY_REBUILDING",
      again: true,
    });
    gateway.replies.ticket = { getSales: away };
    expect((await gateway.get("/v1/organiser/events/evt_1/sales", { token: organiser })).status).toBe(503);
  });
});

describe("orders of one's events", () => {
  const order = anOrder("chk_1", "acc_1", {
    refunds: [aRefund({ requestedBy: "acc_op", reason: "She is ill" })],
    amountRefunded: 4950,
    status: OrderStatus.PARTIALLY_REFUNDED,
  });
  const search = async (query: string, token = organiser) => {
    const told = await gateway.get(`/v1/organiser/orders${query}`, { token });
    expect(told.status, told.text).toBe(200);
    return told.body;
  };
  const answer = (over: object = {}) => {
    gateway.replies.ticket = { searchOrders: async () => ({ orders: [order], nextCursor: "n2" }) };
    gateway.replies.account = { findAccounts: async () => ({ accounts: [anAccount()] }) };
    gateway.replies.catalog = {
      ...catalogWith(),
      listEvents: async () => ({ events: [anEvent(), anEvent({ eventId: "evt_2" })], nextCursor: "more" }),
      ...over,
    };
  };
  const wish = {
    eventIds: ["evt_1", "evt_2"],
    status: OrderStatus.UNSPECIFIED,
    ...{ checkoutId: "", ticketId: "", userId: "", seatId: "" },
    cursor: "",
    limit: 20,
  };

  test("come with their buyers, newest first, of one's newest events alone", async () => {
    answer();
    expect(await search("")).toEqual({
      orders: [
        expect.objectContaining({
          checkoutId: "chk_1",
          status: "partially_refunded",
          amountRefunded: 4950,
          refundedSeats: ["A-A-1"],
          buyer: { accountId: "acc_1", email: "ada@example.test", name: "Ada" },
        }),
      ],
      nextCursor: "n2",
    });
    expect(asked("catalog.listEvents")[0]).toMatchObject({ organiserId: "acc_org", limit: 500 });
    expect(asked("ticket.searchOrders")).toEqual([wish]);
    expect(asked("account.findAccounts")).toEqual([{ accountIds: ["acc_1"], email: "" }]);
  });

  test("are found by order, ticket, seat and e-mail", async () => {
    answer();
    await search(`?q=chk_06h0vhz01dkv9jkn9tbs3ym0mr&status=refunded&limit=3&cursor=c`);
    await search("?q=tkt_06h0vhz01dkv9jkn9tbs3ym0mr");
    await search("?q=A-C-12&eventId=evt_1&status=voided");
    await search(`?q=${encodeURIComponent(" Ada@Example.test ")}`);
    expect(asked("ticket.searchOrders")).toEqual([
      { ...wish, checkoutId: "chk_06h0vhz01dkv9jkn9tbs3ym0mr", status: OrderStatus.REFUNDED, limit: 3, cursor: "c" },
      { ...wish, ticketId: "tkt_06h0vhz01dkv9jkn9tbs3ym0mr" },
      { ...wish, eventIds: ["evt_1"], seatId: "A-C-12", status: OrderStatus.VOIDED },
      { ...wish, userId: "acc_1" },
    ]);
    expect(asked("account.findAccounts").filter(({ email }) => email !== "")).toEqual([
      { accountIds: [], email: "Ada@Example.test" },
    ]);
  });

  test("of an operator are everybody's; a seat is looked for in the newest events", async () => {
    answer();
    await search("", operator);
    await search("?q=A-C-12", operator);
    expect(asked("ticket.searchOrders").map(({ eventIds }) => eventIds)).toEqual([[], ["evt_1", "evt_2"]]);
    expect(asked("catalog.listEvents").map(({ organiserId }) => organiserId)).toEqual([""]);
  });

  test("of nobody's events, or of an unknown buyer, are none: and nothing else is asked", async () => {
    answer({ listEvents: async () => ({ events: [], nextCursor: "" }) });
    expect(await search("")).toEqual({ orders: [] });
    answer();
    gateway.replies.account = { findAccounts: async () => ({ accounts: [] }) };
    expect(await search("?q=nobody@example.test")).toEqual({ orders: [] });
    expect(asked("ticket.searchOrders")).toEqual([]);
  });

  test("are shown without their buyers while accounts can't be asked", async () => {
    answer();
    gateway.replies.account = { findAccounts: away };
    expect((await search("")).orders[0].buyer).toEqual({ accountId: "acc_1" });
    const found = await gateway.get("/v1/organiser/orders?q=ada@example.test", { token: organiser });
    expect(found.status).toBe(503);
  });

  test.each([
    "?q=",
    `?q=${"long".repeat(64)}`,
    "?q=a%00b",
    "?q=a&q=b",
    "?status=paid",
    "?limit=0",
    "?limit=101",
    "?eventId=a%20b",
    "?cursor=%00",
    "?userId=acc_1",
  ])("%s is refused, field by field", async (query) => {
    const told = await gateway.get(`/v1/organiser/orders${query}`, { token: organiser });
    expect({ status: told.status, code: told.body.code }, told.text).toEqual({ status: 400, code: "REQUEST_INVALID" });
    expect(gateway.calls).toEqual([]);
  });

  describe("whose refunds wait for somebody", () => {
    const failed = aRefund({ state: RefundState.FAILED, failureReason: "lost_or_stolen_card" });
    const listed = { checkoutId: "chk_1", userId: "acc_1", eventId: "evt_1", currency: "EUR", refund: failed };
    const list = async (query = "?state=failed", token = organiser) => {
      answer();
      gateway.replies.ticket = { listRefunds: async () => ({ refunds: [listed], nextCursor: "n2" }) };
      return await gateway.get(`/v1/organiser/refunds${query}`, { token });
    };

    test("are listed with order, amount, since when and why, of one's own events", async () => {
      const told = await list();
      expect(told.status, told.text).toBe(200);
      expect(told.body).toEqual({
        refunds: [
          {
            checkoutId: "chk_1",
            eventId: "evt_1",
            currency: "EUR",
            buyer: { accountId: "acc_1", email: "ada@example.test", name: "Ada" },
            refund: expect.objectContaining({
              refundId: "rfd_1",
              amount: 4950,
              state: "failed",
              at: "2027-04-02T00:00:00.000Z",
              failureReason: "lost_or_stolen_card",
            }),
          },
        ],
        nextCursor: "n2",
      });
      const wished = { state: RefundState.FAILED, beforeMs: 0, cursor: "", limit: 20, eventIds: ["evt_1", "evt_2"] };
      expect(asked("ticket.listRefunds")).toEqual([wished]);
    });

    test("of an operator are everybody's; of one event its own; of no state or a strange one none", async () => {
      await list("?state=pending&limit=3&cursor=c", operator);
      expect(asked("ticket.listRefunds")).toEqual([
        { state: RefundState.PENDING, beforeMs: 0, cursor: "c", limit: 3, eventIds: [] },
      ]);
      for (const query of ["", "?state=paid"]) expect((await list(query)).body.code).toBe("REQUEST_INVALID");
      expect((await list(undefined, await gateway.token("acc_1"))).status).toBe(403);
    });
  });

  describe("one of them", () => {
    const one = (token = organiser, id = "chk_1") => gateway.get(`/v1/organiser/orders/${id}`, { token });
    const there = (owner = "acc_org") => {
      gateway.replies.ticket = { getOrder: async () => ({ order }) };
      gateway.replies.account = { findAccounts: async () => ({ accounts: [anAccount()] }) };
      gateway.replies.catalog = catalogWith(anEvent({ organiserId: owner }));
      gateway.replies.payment = {
        getPayment: async () => ({ payment: { ...aPayment("chk_1", PaymentStatus.CAPTURED), amountCaptured: 9900 } }),
      };
    };

    test("is told with its payment, its timeline and a link to its workflow", async () => {
      there();
      const checkoutId = `chk_${randomUUID()}`;
      gateway.replies.ticket = { getOrder: async () => ({ order: { ...order, checkoutId } }) };
      const handle = await temporal.workflow.start(workflowTypes.checkout, {
        workflowId: checkoutWorkflowId(checkoutId),
        taskQueue: gateway.taskQueue,
        args: [{ secret: "what histories hold" }],
      });
      await handle.terminate("the test's");
      const told = await one(organiser, checkoutId);
      expect(told.status, told.text).toBe(200);
      expect(told.body).toMatchObject({
        checkoutId,
        buyer: { email: "ada@example.test" },
        payment: { reference: "pi_1", status: "captured", captured: 9900, refunded: 0 },
        workflowUrl: `https://temporal.example/namespaces/default/workflows/checkout-${checkoutId}`,
      });
      const steps = told.body.timeline.map(({ step }: { step: string }) => step);
      expect([...steps].sort()).toEqual(["held", "issued", "refunded", "stopped"]);
      expect(told.text).not.toContain("what histories hold");
      expect(asked("payment.getPayment")).toEqual([{ checkoutId, refresh: false }]);
    });

    test("whose checkout Temporal has forgotten has its issue and refunds, and no link", async () => {
      there();
      const told = await one();
      expect(told.body.timeline).toEqual([
        { at: "2027-04-01T11:00:00.000Z", step: "issued" },
        {
          at: "2027-04-02T00:00:00.000Z",
          step: "refunded",
          detail: "rfd_1",
          amount: 4950,
          seats: ["A-A-1"],
          by: "operator",
          account: "acc_op",
          reason: "She is ill",
        },
      ]);
      expect(told.body.workflowUrl).toBeUndefined();
    });

    test("is shown without its payment while that can't be asked", async () => {
      there();
      gateway.replies.payment = { getPayment: away };
      const told = await one();
      expect({ status: told.status, payment: told.body.payment }).toEqual({ status: 200, payment: undefined });
    });

    test("of another's event is not there; an operator sees it", async () => {
      there("acc_else");
      const told = await one();
      expect({ status: told.status, code: told.body.code }).toEqual({ status: 404, code: "ORDER_NOT_FOUND" });
      expect(told.text).not.toContain("ada@example.test");
      expect((await one(operator)).status).toBe(200);
      gateway.replies.ticket = {};
      const none = await one(operator, "chk_none");
      expect({ status: none.status, code: none.body.code }).toEqual({ status: 404, code: "ORDER_NOT_FOUND" });
      expect((await one(organiser, "not%20an%20id")).body.code).toBe("ORDER_NOT_FOUND");
    });
  });
});

describe("cancelling an event", () => {
  const cancel = (eventId: string, { token = organiser, body = {} as object, key = randomUUID() as string } = {}) =>
    gateway.post(`/v1/organiser/events/${eventId}/cancel`, { token, key, body });
  const setUp = (status: EventStatus = EventStatus.PUBLISHED) => {
    const eventId = `evt_${randomUUID().slice(0, 8)}`;
    let event = anEvent({ eventId, status });
    gateway.replies.catalog = {
      ...catalogWith(() => event),
      cancelEvent: async ({ reason }) => {
        event = anEvent({ eventId, status: EventStatus.CANCELLED, cancelledAtMs: 1_000, cancelReason: reason });
        return { event };
      },
    };
    gateway.replies.ticket = {
      getSales: async () => GetSalesResponse.create({ ordersRefunded: 3, orders: 7 }),
    };
    return eventId;
  };

  test("begins to give its orders back before it is off the sale, and tells how far that is", async () => {
    const eventId = setUp();
    const told = await cancel(eventId, { body: { reason: "The singer, ada@example.test, is ill." } });
    expect(told.status, told.text).toBe(202);
    expect(told.body).toMatchObject({
      eventId,
      status: "cancelled",
      cancellation: {
        at: "1970-01-01T00:00:01.000Z",
        reason: "The singer, ada@example.test, is ill.",
        refunded: 3,
        total: 7,
      },
    });
    const looked = await gateway.get(`/v1/organiser/events/${eventId}`, { token: organiser });
    expect(looked.body.cancellation).toEqual(told.body.cancellation);

    const handle = temporal.workflow.getHandle(cancelEventWorkflowId(eventId));
    const { events } = await handle.fetchHistory();
    const started = events?.[0]?.workflowExecutionStartedEventAttributes;
    const [payload] = started?.input?.payloads ?? [];
    const input: CancelEventInput = { eventId, requestedBy: "acc_org", settleMs: 7_000 };
    expect(payload && defaultPayloadConverter.fromPayload(payload)).toEqual(input);
    // People's words stay with the event.
    expect(Buffer.from(JSON.stringify(events)).toString()).not.toContain("singer");
    await handle.terminate("the test's");
  });

  test("twice is the same as once", async () => {
    const eventId = setUp();
    expect((await cancel(eventId)).status).toBe(202);
    expect((await cancel(eventId)).status).toBe(202);
    await temporal.workflow.getHandle(cancelEventWorkflowId(eventId)).terminate("the test's");
  });

  test("of a draft is refused, and starts nothing", async () => {
    const eventId = setUp(EventStatus.DRAFT);
    const told = await cancel(eventId);
    expect({ status: told.status, code: told.body.code }).toEqual({ status: 409, code: "EVENT_IS_DRAFT" });
    await expect(temporal.workflow.getHandle(cancelEventWorkflowId(eventId)).describe()).rejects.toThrow();
  });

  test("needs a key, a body that is one, and the role", async () => {
    const eventId = setUp();
    const path = `/v1/organiser/events/${eventId}/cancel`;
    const codes = [
      (await gateway.post(path, { token: organiser, body: {} })).body.code,
      (await cancel(eventId, { body: { reason: "two\nlines" } })).body.code,
      (await cancel(eventId, { body: { reason: "x".repeat(201) } })).body.code,
      (await cancel(eventId, { body: { refund: false } })).body.code,
      (await cancel(eventId, { token: buyer })).body.code,
    ];
    expect(codes).toEqual([
      "IDEMPOTENCY_KEY_REQUIRED",
      "REQUEST_INVALID",
      "REQUEST_INVALID",
      "REQUEST_INVALID",
      "ROLE_REQUIRED",
    ]);
    expect(asked("catalog.cancelEvent")).toEqual([]);
  });

  test("that can't be begun is not done by half: the event stays on sale", async () => {
    const lonely = await startHarness({
      ...backing,
      temporalAddress: "127.0.0.1:1",
      settings: { CANCEL_SETTLE_SECONDS: "7" },
    });
    try {
      lonely.replies.catalog = catalogWith();
      const told = await lonely.post("/v1/organiser/events/evt_1/cancel", {
        token: await lonely.token("acc_org", { roles: ["organiser"] }),
        key: randomUUID(),
        body: {},
      });
      expect({ status: told.status, code: told.body.code }).toEqual({ status: 503, code: "UNAVAILABLE" });
      expect(lonely.calls.map(({ method }) => method)).not.toContain("catalog.cancelEvent");
    } finally {
      await lonely.stop();
    }
  });
});

describe("changing one's password", () => {
  const body = { currentPassword: "seven lanterns at dusk", newPassword: "eight lanterns at dawn" };
  const change = (given: object = body) => gateway.put("/v1/accounts/me/password", { token: buyer, body: given });

  test("is passed on with whose, from where and which session stays", async () => {
    gateway.replies.account = { changePassword: async () => ({}) };
    const told = await change();
    expect({ status: told.status, text: told.text }).toEqual({ status: 204, text: "" });
    expect(asked("account.changePassword")).toEqual([
      { accountId: "acc_1", sessionId: "ses_1", ...body, clientAddress: "127.0.0.1" },
    ]);
    expect(told.headers.get("ratelimit-policy")).toContain("credentials");
  });

  test.each([
    ["PASSWORD_WRONG", 403],
    ["PASSWORD_WEAK", 422],
    ["TOO_MANY_ATTEMPTS", 429],
  ] as const)("is refused: %s", async (code, status) => {
    gateway.replies.account = {
      changePassword: async () => {
        throw new DomainError(code, "No.");
      },
    };
    const told = await change();
    expect({ status: told.status, code: told.body.code }).toEqual({ status, code });
  });

  test("needs both passwords and nothing else, and repeats none of them", async () => {
    for (const given of [
      {},
      { currentPassword: "x y z" },
      { ...body, email: "a@b.test" },
      { ...body, newPassword: "" },
      [],
    ]) {
      const told = await change(given);
      expect({ status: told.status, code: told.body.code }).toEqual({ status: 400, code: "REQUEST_INVALID" });
      expect(told.text).not.toContain("lanterns");
    }
    const stranger = await gateway.put("/v1/accounts/me/password", { body });
    expect(stranger.body.code).toBe("TOKEN_MISSING");
    expect(gateway.calls).toEqual([]);
  });
});
