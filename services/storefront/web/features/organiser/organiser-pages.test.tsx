// The organiser's pages with a scripted API: refusals at their fields, keys of repeated requests, money given back in part.
// @vitest-environment happy-dom
import { screen, waitFor, within } from "@testing-library/react";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { account, anEvent, anOrder, openFront, session } from "../../../test/front.js";
import { refusal } from "../../../test/scripted-api.js";
import { addRows, emptySection } from "./hall/layout-form.js";

// There is no canvas to draw on here; the map is looked at in a real browser.
vi.mock(import("../seats/seat-canvas.js"), async (original) => ({
  ...(await original()),
  SeatCanvas: () => <canvas />,
}));

let front: Awaited<ReturnType<typeof openFront>>;

async function logInAs(...roles: ("buyer" | "organiser" | "operator")[]): Promise<void> {
  front.api.on("POST /v1/sessions", { status: 201, body: { ...session(), account: { ...account, roles } } });
  const { logIn } = await import("../../session.js");
  await logIn(account.email, "a long and quiet river");
}

beforeAll(async () => {
  front = await openFront();
});
beforeEach(() => {
  sessionStorage.clear();
  return logInAs("buyer", "organiser");
});
afterEach(async () => expect(await front.finish()).toEqual([]));
afterAll(() => front.api.stop());

const listing = "GET /v1/organiser/events";
const seatMap = () =>
  front.api.on("GET /v1/events/{eventId}/seats", {
    status: 200,
    body: {
      eventId: "evt_1",
      layoutVersion: "v1",
      seatCount: 0,
      sections: [{ id: "GA", name: "Floor", tier: "T1", capacity: 100, generalAdmission: true, rows: [] }],
    },
  });

describe("the organiser's events", () => {
  it("are not asked for by who is no organiser; who was one until now is told by the API", async () => {
    await logInAs("buyer");
    front.open("/organiser");
    await screen.findByText("This part is for organisers");
    expect(screen.queryByText("New event")).toBeNull();
    expect(front.api.askedFor(listing)).toEqual([]);

    await logInAs("buyer", "organiser");
    front.api.on(listing, refusal(403, "ROLE_REQUIRED"));
    front.open("/organiser");
    await screen.findByText(/^Your account may not do this\./);
  });

  it("are none at first; when they can't be had, they are asked for again by a button", async () => {
    front.api.on(listing, refusal(403, "ROLE_REQUIRED"));
    const user = front.open("/organiser");
    await screen.findByText(/^Your account may not do this\./);
    front.api.on(listing, { status: 200, body: { events: [] } });
    await user.click(screen.getByRole("button", { name: "Try again" }));
    await screen.findByText("No events yet");
  });
});

describe("a new event", () => {
  const creating = "POST /v1/organiser/events";
  const typed = () => ({
    timeZone: "Europe/Berlin",
    name: "Nachtmusik",
    venueName: "Gewandhaus",
    city: "Leipzig",
    country: "DE",
    startsAt: "2099-05-01T20:00",
    onSaleAt: "2099-02-01T10:00",
    currency: "EUR",
    seatsPerPerson: "8",
    tiers: [{ id: "standard", name: "Everywhere", price: "49.50" }],
    sections: [
      { ...emptySection, id: "GA", name: "Floor", tier: "standard", kind: "places", capacity: "100" },
      addRows({ ...emptySection, id: "A", name: "Stalls", tier: "standard" }, 2, "10"),
    ],
  });
  const keysOf = (operation: string) => front.api.askedFor(operation).map(({ headers }) => headers["idempotency-key"]);

  it("shows the API's refusals at their fields, and sends the same content with the same key only", async () => {
    sessionStorage.setItem("onsale.new-event", JSON.stringify(typed()));
    front.api.on(
      creating,
      refusal(422, "LAYOUT_INVALID", {
        problems: [
          { at: "event.on_sale_at_ms", problem: "must be earlier, says the inventory" },
          { at: "sections[1].rows[0].seat_count", problem: "are too many, says the inventory" },
        ],
      }),
    );
    const user = front.open("/organiser/events/new");
    // By its text: to look for roles among the hundreds of time zones and currencies takes long.
    const save = await screen.findByText("Save as a draft");
    await user.click(save);
    await screen.findByText("Must be earlier, says the inventory");
    expect(screen.getByLabelText("On sale from").getAttribute("aria-invalid")).toBe("true");
    // The section was closed: what is wrong in it opens it.
    await screen.findByText("Seats: Are too many, says the inventory");
    await waitFor(() => expect(document.activeElement).toBe(screen.getByLabelText("On sale from")));

    front.api.on(creating, { status: 503, broken: true });
    await user.click(save);
    await screen.findByText("No connection");
    front.api.on(creating, { status: 201, body: { ...draft(), sections: undefined } });
    front.api.on("GET /v1/organiser/events/{eventId}", { status: 200, body: draft() });
    seatMap();
    await user.clear(screen.getByLabelText("City"));
    await user.type(screen.getByLabelText("City"), "Halle");
    await user.click(save);
    await screen.findByText(/This is a draft/);
    const [first, again, other] = keysOf(creating);
    expect(first).toBe(again);
    expect(other).not.toBe(first);
    expect(front.api.askedFor(creating)[0]?.body).toMatchObject({
      name: "Nachtmusik",
      onSaleAt: "2099-02-01T09:00:00.000Z",
      tiers: [{ id: "standard", amount: 4950 }],
      sections: [
        { id: "GA", capacity: 100 },
        { id: "A", rows: [{ label: "A", seats: 10 }, { label: "B" }] },
      ],
    });
    // It is stored: nothing is kept to be typed on.
    expect(sessionStorage.getItem("onsale.new-event")).toBeNull();
  });

  it("that was saved and could not be published says so, and leads to the draft", async () => {
    sessionStorage.setItem("onsale.new-event", JSON.stringify(typed()));
    front.api.on(creating, { status: 201, body: { ...draft(), sections: undefined } });
    front.api.on(
      "POST /v1/organiser/events/{eventId}/publish",
      refusal(422, "LAYOUT_INVALID", { detail: "The hall has no seats." }),
    );
    const user = front.open("/organiser/events/new");
    await user.click(await screen.findByText("Save and publish"));
    await screen.findByText("Saved as a draft, but not published yet");
    screen.getByText("The hall has no seats.");
    expect(screen.getByText("To the draft").getAttribute("href")).toBe("/organiser/events/evt_1");
    expect(front.api.askedFor(creating)).toHaveLength(1);
  });

  it("takes a file, and says line by line what is wrong with it", async () => {
    const user = front.open("/organiser/events/new");
    await user.click(await screen.findByText("From a file"));
    const file = new File(["section,tier,row,seats\nA,t,A,10\nA,t,,12\n"], "hall.csv", { type: "text/csv" });
    await user.upload(screen.getByLabelText("CSV or JSON file"), file);
    await screen.findByText("line 3: row is missing");
    const pasted = screen.getByLabelText("Or paste it here");
    await user.clear(pasted);
    await user.click(pasted);
    await user.paste('[{"id": "GA", "name": "Floor", "tier": "vip", "capacity": 80}]');
    await user.click(screen.getByText("Read it"));
    await screen.findByText("80 places · sections: 1");
    // Its price tier is there now, to be given a name and a price.
    expect(screen.getAllByLabelText("Short name").map((field) => (field as HTMLInputElement).value)).toEqual(["vip"]);
  });
});

describe("a draft", () => {
  const reading = "GET /v1/organiser/events/{eventId}";
  const saving = "PUT /v1/organiser/events/{eventId}";
  const editPath = "/organiser/events/evt_1/edit";
  const made = draft();
  const evening = { ...made, offSaleAt: made.startsAt, accessibleUntil: made.startsAt };
  const stored = (revision: number, more: object = {}) => ({
    status: 200,
    body: { ...evening, ...more },
    headers: { ETag: `"${revision}"` },
  });
  const city = () => screen.getByLabelText<HTMLInputElement>("City");
  const retype = async (user: ReturnType<typeof front.open>, value: string) => {
    await user.clear(city());
    await user.type(city(), value);
  };
  const tagsOf = (operation: string) => front.api.askedFor(operation).map(({ headers }) => headers["if-match"]);

  it("is edited from its page, in the form of a new event that it fills; what is saved is shown there", async () => {
    front.api.on(reading, stored(3));
    seatMap();
    const user = front.open("/organiser/events/evt_1");
    await user.click(await screen.findByRole("link", { name: "Edit draft" }));
    await screen.findByText("100 places · sections: 1");
    expect(screen.getByLabelText<HTMLInputElement>("Name of the event").value).toBe("Nachtmusik");
    expect(screen.getByLabelText<HTMLInputElement>("Price (EUR)").value).toBe("129.00");
    expect(screen.getByLabelText<HTMLInputElement>("Starts").value).not.toBe("");
    expect(screen.getByLabelText<HTMLInputElement>("On sale until").value).toBe("");
    await retype(user, "Halle");

    // The first answer is lost; the same again is the same edit.
    front.api.on(saving, { status: 503, broken: true });
    await user.click(screen.getByText("Save changes"));
    await screen.findByText("No connection");
    const venue = { ...evening.venue, city: "Halle" };
    front.api.on(saving, stored(4, { venue }));
    front.api.on(reading, stored(4, { venue }));
    await user.click(screen.getByText("Save changes"));
    await screen.findByText(/Gewandhaus, Halle/);
    await screen.findByText(/This is a draft/);
    expect(tagsOf(saving)).toEqual(['"3"', '"3"']);
    const [{ body } = { body: undefined }] = front.api.askedFor(saving);
    const { name, currency, tiers, sections, startsAt, onSaleAt, seatsPerPerson, orphanRule } = evening;
    const description = "Four acts.";
    const same = { name, description, currency, tiers, sections, seatsPerPerson, orphanRule };
    expect(body).toEqual({ ...same, venue, startsAt: expect.any(String), onSaleAt: expect.any(String) });
    expect(Date.parse(startsAt)).toBeGreaterThan(Date.parse(onSaleAt));
    expect(sessionStorage.getItem("onsale.edited-draft")).toBeNull();

    // It is published as it was read.
    front.api.on("POST /v1/organiser/events/{eventId}/publish", refusal(412, "DRAFT_CHANGED"));
    await user.click(screen.getByRole("button", { name: "Publish" }));
    await user.click(within(screen.getByRole("alertdialog")).getByRole("button", { name: "Publish" }));
    await waitFor(() => expect(tagsOf("POST /v1/organiser/events/{eventId}/publish")).toEqual(['"4"']));
    await screen.findByRole("alert");
  });

  it("that somebody else has saved meanwhile is not overwritten unasked: theirs, or mine in its place", async () => {
    front.api.on(reading, stored(3));
    const user = front.open(editPath);
    await screen.findByText("100 places · sections: 1");
    await retype(user, "Halle");
    const theirs = { name: "Tagmusik", venue: { ...evening.venue, city: "Dresden" } };
    front.api.on(reading, stored(4, theirs));
    front.api.on(saving, refusal(412, "DRAFT_CHANGED"));
    await user.click(screen.getByText("Save changes"));
    await screen.findByText("Somebody has saved this draft meanwhile");
    await screen.findByText("Different from yours: What, Where.");
    expect(city().value).toBe("Halle");
    await user.click(screen.getByText("Take what is stored"));
    await waitFor(() => expect(city().value).toBe("Dresden"));
    expect(screen.queryByText("Somebody has saved this draft meanwhile")).toBeNull();

    // And once more, with the other choice; what was typed outlives a reload, and is still known to be of what was read.
    await retype(user, "Jena");
    await waitFor(() => expect(sessionStorage.getItem("onsale.edited-draft")).toContain("Jena"));
    front.api.on(reading, stored(5));
    const later = front.open(editPath);
    await screen.findByText("100 places · sections: 1");
    expect(city().value).toBe("Jena");
    await later.click(screen.getByText("Save changes"));
    await screen.findByText("Somebody has saved this draft meanwhile");
    front.api.on(saving, stored(6, { venue: { ...evening.venue, city: "Jena" } }));
    front.api.on("POST /v1/organiser/events/{eventId}/publish", { status: 200, body: anEvent() });
    seatMap();
    await later.click(screen.getByText("Store mine instead"));
    await screen.findByText(/This is a draft/);
    expect(tagsOf(saving)).toEqual(['"3"', '"4"', '"5"']);
    expect(front.api.askedFor(saving).at(-1)?.body).toMatchObject({ name: "Tagmusik", venue: { city: "Jena" } });
  });

  it("that is published meanwhile, or was, can be copied instead", async () => {
    front.api.on(reading, stored(3));
    const user = front.open(editPath);
    await screen.findByText("100 places · sections: 1");
    front.api.on(saving, refusal(409, "EVENT_NOT_DRAFT"));
    await user.click(screen.getByText("Save changes"));
    await screen.findByText("This event is not a draft any more");
    front.api.on(reading, { status: 200, body: { ...evening, status: "published" } });
    front.open(editPath);
    await screen.findByText("This event is not a draft any more");
    expect(screen.getByText("Copy into a new event").getAttribute("href")).toBe("/organiser/events/new?from=evt_1");
    expect(screen.queryByText("Save changes")).toBeNull();
  });

  it("shows the API's refusals at their fields, and a channel that stands in the way by its name", async () => {
    front.api.on(reading, stored(3));
    const user = front.open(editPath);
    await screen.findByText("100 places · sections: 1");
    front.api.on(
      saving,
      refusal(400, "REQUEST_INVALID", { problems: [{ at: "event.venue.city", problem: "is nowhere, says it" }] }),
    );
    await user.click(screen.getByText("Save changes"));
    await screen.findByText("Is nowhere, says it");
    expect(city().getAttribute("aria-invalid")).toBe("true");
    await retype(user, "Halle");
    const channels = [{ channelId: "fans", name: "Fan club", problem: "has seats that are not in the new hall" }];
    front.api.on(saving, refusal(409, "CHANNEL_IN_THE_WAY", { detail: "“Fan club” has seats.", channels }));
    await user.click(screen.getByText("Save changes"));
    await screen.findByText(/Fan club/);
    await user.click(screen.getByText("Undo my changes"));
    expect(city().value).toBe("Leipzig");
  });
});

const draft = () => ({
  ...anEvent(),
  status: "draft",
  createdAt: "2026-11-01T10:00:00.000Z",
  organiserId: "acc_1",
  sections: [{ id: "GA", name: "Floor", tier: "T1", capacity: 100 }],
});

describe("a dispute", () => {
  const evidencePath = "/v1/orders/{checkoutId}/disputes/{disputeId}/evidence";
  const dispute = {
    disputeId: "dp_1",
    amount: 15_000,
    reason: "product_not_received",
    status: "needs_response",
    createdAt: "2026-11-02T10:00:00.000Z",
    evidenceDueAt: "2026-11-09T10:00:00.000Z",
  };
  const evidence = (more: object = {}) => {
    const { event, seats, amount, currency } = anOrder();
    return {
      ...{ checkoutId: "chk_1", dispute, answerable: true, event, refunds: [], timeline: [] },
      buyer: { accountId: "acc_2", email: "bo@example.test", name: "Bo" },
      bought: { at: "2026-11-01T10:00:00.000Z", seats, amount, currency },
      shown: {},
      payment: { reference: "pi_1", status: "captured", captured: amount, refunded: 0 },
      tickets: seats.map(({ seatId }) => ({ ticketId: `tkt_${seatId}`, seatId, status: "valid" })),
      draft: { customer_name: "Bo", refund_policy_disclosure: "Tickets are not taken back." },
      atBank: {},
      ...more,
    };
  };

  it("is listed with its day above the orders, and leads to what is known of it", async () => {
    front.api.on("GET /v1/organiser/orders", { status: 200, body: { orders: [] } });
    front.api.on("GET /v1/organiser/refunds", { status: 200, body: { refunds: [] } });
    const { event, currency } = anOrder();
    const buyer = { accountId: "acc_2", email: "bo@example.test" };
    front.api.on("GET /v1/organiser/disputes", {
      status: 200,
      body: { disputes: [{ checkoutId: "chk_1", event, currency, buyer, dispute }] },
    });
    front.api.on(`GET ${evidencePath}`, { status: 200, body: evidence() });
    const user = front.open("/organiser/orders");
    await screen.findByText("Payments that are disputed");
    screen.getByText(/^answer by .*2026/);
    await user.click(screen.getByRole("link", { name: "bo@example.test" }));
    await screen.findByText("Dispute over €150.00: needs response");
    screen.getByText("Tickets are not taken back.");
  });

  it("is answered in one's own words, once one is sure; the same again after a lost answer", async () => {
    front.api.on(`GET ${evidencePath}`, { status: 200, body: evidence() });
    front.api.on(`POST ${evidencePath}`, { status: 503, broken: true });
    const user = front.open("/organiser/orders/chk_1/disputes/dp_1");
    const ask = await screen.findByRole("button", { name: "Send to the bank…" });
    expect(ask.hasAttribute("disabled")).toBe(true);
    await user.type(screen.getByLabelText("Your own words"), "She was there.");
    await user.click(ask);
    const yes = within(screen.getByRole("alertdialog")).getByRole("button", { name: "Send to the bank" });
    await user.click(yes);
    await screen.findByText("No connection");
    const answeredAt = "2026-11-03T10:00:00.000Z";
    const sent = { ...dispute, status: "under_review", answeredAt };
    front.api.on(`POST ${evidencePath}`, { status: 200, body: sent });
    front.api.on(`GET ${evidencePath}`, {
      status: 200,
      body: evidence({ dispute: sent, answerable: false, atBank: { uncategorized_text: "She was there." } }),
    });
    await user.click(yes);
    await screen.findByText(/^Answered on/);
    screen.getByText("She was there.");
    expect(screen.queryByRole("button", { name: "Send to the bank…" })).toBeNull();
    const asked = front.api.askedFor(`POST ${evidencePath}`);
    expect(asked.map(({ body }) => body)).toEqual(Array(2).fill({ words: "She was there." }));
    expect(new Set(asked.map(({ headers }) => headers["idempotency-key"])).size).toBe(1);
  });

  it("that takes no answer any more says why", async () => {
    front.api.on(`GET ${evidencePath}`, { status: 200, body: evidence() });
    front.api.on(`POST ${evidencePath}`, refusal(409, "DISPUTE_CLOSED"));
    const user = front.open("/organiser/orders/chk_1/disputes/dp_1");
    await user.type(await screen.findByLabelText("Your own words"), "Too late.");
    await user.click(screen.getByRole("button", { name: "Send to the bank…" }));
    await user.click(within(screen.getByRole("alertdialog")).getByRole("button", { name: "Send to the bank" }));
    await screen.findByText("In the API's own words: DISPUTE_CLOSED.");
  });
});

describe("an order", () => {
  const getting = "GET /v1/organiser/orders/{checkoutId}";
  const refunding = "POST /v1/orders/{checkoutId}/refund";
  const seat = (number: number) => ({
    seatId: `A-C-${number}`,
    section: "A",
    row: "C",
    number: String(number),
    tier: "T1",
    amount: 5_000,
    left: 5_000,
  });
  const aRefund = (more: Readonly<Record<string, unknown>> = {}) => ({
    refundId: "rfd_1",
    kind: "return",
    state: "paid",
    amount: 5_000,
    seats: ["A-C-1"],
    money: [{ seat: "A-C-1", amount: 5_000 }],
    requestedAt: "2026-11-02T10:00:00.000Z",
    at: "2026-11-03T10:00:00.000Z",
    by: "buyer",
    ...more,
  });
  const sold = (more: Readonly<Record<string, unknown>> = {}) => {
    const { refundable: _, ...order } = anOrder({ seats: [seat(1), seat(2), seat(3)], amount: 15_000 });
    return {
      ...order,
      buyer: { accountId: "acc_2", email: "bo@example.test", name: "Bo" },
      payment: { reference: "pi_1", status: "captured", captured: 15_000, refunded: 0 },
      timeline: [
        { at: "2026-11-01T10:00:00.000Z", step: "held" },
        { at: "2026-11-01T10:00:09.000Z", step: "declined", detail: "card_declined" },
      ],
      ...more,
    };
  };

  it("is given back in part, with a fee kept; asked twice after a lost answer, it is one refund", async () => {
    front.api.on(getting, { status: 200, body: sold() });
    const user = front.open("/organiser/orders/chk_1");
    await screen.findByText("Payment declined");
    screen.getByText("card_declined");
    expect(screen.queryByText("Open in the Temporal Web UI")).toBeNull();
    await user.click(screen.getByRole("checkbox", { name: /seat 2/ }));
    const amount = screen.getByLabelText("Amount (EUR)");
    await user.type(amount, "100.01");
    await screen.findByText("Must be an amount up to €100.00");
    const ask = () => screen.getByRole("button", { name: "Give back…" });
    expect(ask().hasAttribute("disabled")).toBe(true);
    await user.clear(amount);
    await user.type(amount, "95");
    await user.click(ask());
    await user.keyboard("{Escape}");
    expect(front.api.askedFor(refunding)).toEqual([]);
    await user.click(ask());
    front.api.on(refunding, { status: 503, broken: true });
    const yes = within(screen.getByRole("alertdialog")).getByRole("button", { name: "Give €95.00 back" });
    await user.click(yes);
    await screen.findByText("No connection");
    front.api.on(refunding, {
      status: 200,
      body: { refundId: "rfd_1", checkoutId: "chk_1", status: "refunded", amount: 9_500, seats: ["A-C-1", "A-C-3"] },
    });
    front.api.on(getting, {
      status: 200,
      body: sold({
        status: "partially_refunded",
        amountRefunded: 9_500,
        refundedSeats: ["A-C-1", "A-C-3"],
        // Of the money of those two, a fee was kept: it is theirs, not the third's.
        seats: [{ ...seat(1), left: 250 }, seat(2), { ...seat(3), left: 250 }],
      }),
    });
    await user.click(yes);
    await screen.findByText("The money is on its way back.");
    await screen.findByText("Partly refunded");
    const asked = front.api.askedFor(refunding);
    expect(asked.map(({ body }) => body)).toEqual(Array(2).fill({ seats: ["A-C-1", "A-C-3"], amount: 9_500 }));
    expect(new Set(asked.map(({ headers }) => headers["idempotency-key"])).size).toBe(1);
    await user.click(ask());
    screen.getByText("Give €50.00 back for one seat?");
  });

  it("gives money back out of goodwill, or makes tickets void, with a reason and never without", async () => {
    front.api.on(getting, { status: 200, body: sold({ seats: [{ ...seat(1), left: 1_000 }, seat(2), seat(3)] }) });
    front.api.on(refunding, {
      status: 200,
      body: { refundId: "rfd_1", checkoutId: "chk_1", status: "refunded", amount: 600, seats: [] },
    });
    const user = front.open("/organiser/orders/chk_1");
    await user.selectOptions(await screen.findByLabelText("What is to happen"), "goodwill");
    const ask = (name: string) => screen.getByRole("button", { name });
    await user.type(screen.getByLabelText("Amount (EUR)"), "6");
    expect(ask("Give back…").hasAttribute("disabled")).toBe(true);
    await user.type(screen.getByLabelText("Why"), "The show began late");
    await user.click(ask("Give back…"));
    screen.getByText("Give €6.00 back, with the tickets staying valid?");
    await user.click(ask("Give €6.00 back"));
    await screen.findByText("The money is on its way back.");
    await user.selectOptions(screen.getByLabelText("What is to happen"), "void");
    expect(screen.queryByLabelText("Amount (EUR)")).toBeNull();
    await user.click(screen.getByRole("checkbox", { name: /seat 2/ }));
    await user.type(screen.getByLabelText("Why"), "Sold on");
    await user.click(ask("Make void…"));
    await user.click(ask("Make void"));
    await waitFor(() => expect(front.api.askedFor(refunding)).toHaveLength(2));
    expect(front.api.askedFor(refunding).map(({ body }) => body)).toEqual([
      { kind: "goodwill", seats: ["A-C-1", "A-C-2", "A-C-3"], amount: 600, reason: "The show began late" },
      { kind: "void", seats: ["A-C-1", "A-C-3"], reason: "Sold on" },
    ]);
  });

  it("whose refund failed says what is owed; it is asked for again, or closed as paid another way", async () => {
    const closing = "POST /v1/orders/{checkoutId}/refunds/{refundId}/closure";
    const failed = sold({
      amountFailed: 5_000,
      refundedSeats: ["A-C-1"],
      refunds: [aRefund({ state: "failed", failureReason: "lost_or_stolen_card" })],
      timeline: [
        { at: "2026-11-02T10:00:00.000Z", step: "refunded_outside", by: "stripe", amount: 100 },
        { at: "2026-11-03T10:00:00.000Z", step: "refund_failed", amount: 5_000, reason: "lost_or_stolen_card" },
      ],
    });
    front.api.on(getting, { status: 200, body: failed });
    front.api.on(refunding, refusal(409, "REFUND_NOT_FAILED"));
    const { refundable: _, ...order } = anOrder();
    front.api.on(closing, { status: 200, body: { ...order, refundable: false } });
    const user = front.open("/organiser/orders/chk_1");
    await screen.findByText(/^€50\.00 is owed to the buyer since/);
    screen.getByText(/^Money given back at Stripe itself/);
    screen.getByText("at Stripe or the bank");
    await user.click(screen.getByRole("button", { name: "Ask for it again" }));
    await user.click(within(screen.getByRole("alertdialog")).getByRole("button", { name: "Ask for it again" }));
    await screen.findByText(/^This refund has not failed/);
    expect(front.api.askedFor(refunding).map(({ body }) => body)).toEqual([{ insteadOf: "rfd_1" }]);
    await user.keyboard("{Escape}");
    await user.type(await screen.findByLabelText("How the buyer got the money"), "bank transfer");
    await user.click(screen.getByRole("button", { name: "Paid another way" }));
    front.api.on(getting, { status: 200, body: sold({ refunds: [aRefund({ state: "closed" })] }) });
    await user.click(within(screen.getByRole("alertdialog")).getByRole("button", { name: "Paid another way" }));
    await waitFor(() => expect(screen.queryByText("Refunds that failed")).toBeNull());
    expect(front.api.askedFor(closing).map(({ body }) => body)).toEqual([{ reason: "bank transfer" }]);
  });

  it("that waits for somebody to see to its refund is shown above all others, and found by being void", async () => {
    const { refundable: _, ...order } = anOrder({ status: "voided" });
    const buyer = { accountId: "acc_2", email: "bo@example.test" };
    const search = "GET /v1/organiser/orders";
    front.api.on(search, { status: 200, body: { orders: [{ ...order, buyer }] } });
    const refund = aRefund({ state: "failed" });
    front.api.on("GET /v1/organiser/refunds", {
      status: 200,
      body: { refunds: [{ checkoutId: "chk_7", eventId: "evt_1", currency: "EUR", buyer, refund }] },
    });
    front.api.on("GET /v1/organiser/disputes", { status: 200, body: { disputes: [] } });
    const user = front.open("/organiser/orders");
    await screen.findByText("Refunds that need you");
    const link = screen.getByRole("link", { name: "bo@example.test" });
    expect(link.getAttribute("href")).toBe("/organiser/orders/chk_7");
    await user.selectOptions(screen.getByRole("combobox", { name: "Status" }), "Void");
    await waitFor(() => expect(front.api.askedFor(search).at(-1)?.query.get("status")).toBe("voided"));
  });

  it("that is disputed says so, and until when it is to be answered", async () => {
    const dispute = {
      disputeId: "dp_1",
      amount: 15_000,
      reason: "product_not_received",
      status: "needs_response",
      createdAt: "2026-11-02T10:00:00.000Z",
      evidenceDueAt: "2026-11-09T10:00:00.000Z",
    };
    front.api.on(getting, { status: 200, body: sold({ disputes: [dispute] }) });
    front.open("/organiser/orders/chk_1");
    await screen.findByText("Dispute over €150.00: needs response");
    screen.getByText("product not received");
    screen.getByText(/^The bank takes an answer until/);
    const link = screen.getByRole("link", { name: "What is known, and the answer" });
    expect(link.getAttribute("href")).toBe("/organiser/orders/chk_1/disputes/dp_1");
  });

  it("says why it can't be given back, and that a refund is under way", async () => {
    front.api.on(getting, { status: 200, body: sold() });
    front.api.on(refunding, refusal(422, "REFUND_TOO_LARGE"));
    const user = front.open("/organiser/orders/chk_1");
    await user.click(await screen.findByRole("button", { name: "Give back…" }));
    await user.click(screen.getByRole("button", { name: "Give €150.00 back" }));
    await screen.findByText(/^More is asked back than is left of these seats' money\./);
    front.api.on(refunding, {
      status: 202,
      body: { refundId: "rfd_1", checkoutId: "chk_1", status: "pending" },
    });
    await user.click(screen.getByRole("button", { name: "Give €150.00 back" }));
    await screen.findByText("It is under way, and will not be forgotten.");
    expect(front.api.askedFor(refunding).map(({ body }) => body)).toEqual([{}, {}]);
  });
});
