// A checkout's page in each state that the API can tell, and what it does about what goes wrong.
// @vitest-environment happy-dom
import { screen, waitFor } from "@testing-library/react";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { aCheckout, anEvent, openFront } from "../../../test/front.js";
import { refusal } from "../../../test/scripted-api.js";

let front: Awaited<ReturnType<typeof openFront>>;
beforeAll(async () => {
  front = await openFront();
  await front.logIn();
});
beforeEach(() => {
  front.api.on("GET /v1/events/{eventId}", { status: 200, body: anEvent() });
  localStorage.removeItem("onsale.checkouts");
});
afterEach(async () => expect(await front.finish()).toEqual([]));
afterAll(() => front.api.stop());

const reading = "GET /v1/checkouts/{checkoutId}";
const paying = "POST /v1/checkouts/{checkoutId}/payment";
const givingBack = "DELETE /v1/checkouts/{checkoutId}";
const keysOf = (operation: string) => front.api.askedFor(operation).map(({ headers }) => headers["idempotency-key"]);

describe("a held checkout", () => {
  it("shows what for, how much and how long, and that the time can't be extended", async () => {
    front.api.on(reading, { status: 200, body: aCheckout() });
    front.open("/checkouts/chk_1");
    expect((await screen.findByRole("timer")).textContent).toMatch(/^(5:00|4:5\d)$/);
    await screen.findByText("Nachtmusik");
    screen.getByText("Section A, row C, seat 1");
    screen.getByText(/can't be extended/);
    const link = await screen.findByRole("link", { name: "Pay by card" });
    expect(link.getAttribute("href")).toContain(encodeURIComponent("/checkouts/chk_1"));
  });

  it("counts by the server's clock, wherever this one stands", async () => {
    front.api.clock.aheadMs = 120_000;
    front.api.on(reading, { status: 200, body: aCheckout() });
    front.open("/checkouts/chk_1");
    await waitFor(() => expect(screen.getByRole("timer").textContent).toMatch(/^(3:00|2:5\d)$/));
  });

  it("warns in the last minute, to the eye and to a screen reader, and asks the server when it is over", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const deadline = new Date(Date.now() + 300_000).toISOString();
    let status: "held" | "expired" = "held";
    front.api.on(reading, () => ({ status: 200, body: aCheckout({ deadline, status }) }));
    front.open("/checkouts/chk_1");
    await screen.findByText(/can't be extended/);
    vi.setSystemTime(Date.now() + 245_000);
    const warning = await screen.findByText(/Less than a minute left/);
    expect(warning.getAttribute("aria-live")).toBe("assertive");
    status = "expired";
    vi.setSystemTime(Date.now() + 60_000);
    await screen.findByText("Your time is over");
    screen.getByText(/nothing was charged/);
    expect(screen.getByRole("link", { name: "Choose seats again" }).getAttribute("href")).toBe("/events/evt_1/seats");
  });

  it("is given back only when asked twice", async () => {
    front.api.on(reading, { status: 200, body: aCheckout() });
    front.api.on(givingBack, () => {
      front.api.on(reading, { status: 200, body: aCheckout({ status: "cancelled", reason: "BUYER_CANCELLED" }) });
      return { status: 200, body: aCheckout({ status: "cancelled", reason: "BUYER_CANCELLED" }) };
    });
    const user = front.open("/checkouts/chk_1");
    await user.click(await screen.findByRole("button", { name: "Give the seats back" }));
    await user.click(screen.getByRole("button", { name: "Keep them" }));
    expect(front.api.askedFor(givingBack)).toHaveLength(0);
    await user.click(screen.getByRole("button", { name: "Give the seats back" }));
    await user.click(screen.getByRole("button", { name: "Give the seats back" }));
    await screen.findByText("This checkout was cancelled");
  });
});

describe("paying", () => {
  it("sends one payment however often it is tried, and goes on when the shop answers again", async () => {
    front.api.on(reading, { status: 200, body: aCheckout() });
    let tries = 0;
    front.api.on(paying, () => {
      tries += 1;
      if (tries === 1) return { status: 0, broken: true };
      if (tries === 2) return refusal(503, "UNAVAILABLE", { retryable: true });
      front.api.on(reading, { status: 200, body: aCheckout({ status: "completed", tickets: ["tkt_1"] }) });
      return { status: 200, body: aCheckout({ status: "completed", tickets: ["tkt_1"] }) };
    });
    const user = front.open("/checkouts/chk_1?payment_method=pm_once");
    await user.click(await screen.findByRole("button", { name: "Pay €129.00" }));
    await screen.findByText("You have your tickets");
    expect(tries).toBe(3);
    expect(new Set(keysOf(paying)).size).toBe(1);
  });

  it("keeps the key of a payment over a reload", async () => {
    front.api.on(reading, { status: 200, body: aCheckout() });
    front.api.on(paying, refusal(409, "CHECKOUT_BUSY"));
    for (const _ of [1, 2]) {
      const user = front.open("/checkouts/chk_1?payment_method=pm_again");
      await user.click(await screen.findByRole("button", { name: /^Pay / }));
      await screen.findByText(/being taken already/);
    }
    expect(keysOf(paying)).toHaveLength(2);
    expect(new Set(keysOf(paying)).size).toBe(1);
  });

  it("says why a card was declined and lets another one try, with a new payment", async () => {
    const decline = { code: "insufficient_funds", message: "There is not enough money on the card." };
    front.api.on(reading, { status: 200, body: aCheckout() });
    front.api.on(paying, () => {
      front.api.on(reading, { status: 200, body: aCheckout({ decline }) });
      return { status: 200, body: { ...aCheckout({ decline }), status: "declined" } };
    });
    const user = front.open("/checkouts/chk_1?payment_method=pm_poor");
    await user.click(await screen.findByRole("button", { name: /^Pay / }));
    expect((await screen.findByText("The payment was declined")).closest('[role="alert"]')?.textContent).toContain(
      "There is not enough money on the card.",
    );
    screen.getByText(/Your seats are still held/);
    // The declined card is forgotten; the way to another one is there.
    expect(location.search).toBe("");
    await screen.findByRole("link", { name: "Pay by card" });
    front.open("/checkouts/chk_1?payment_method=pm_other");
    await user.click(await screen.findByRole("button", { name: /^Pay / }));
    await waitFor(() => expect(keysOf(paying)).toHaveLength(2));
    expect(new Set(keysOf(paying)).size).toBe(2);
  });

  it("tells the true state after a reload: being taken, approved at the bank, taken", async () => {
    front.api.on(reading, { status: 200, body: aCheckout({ status: "paying" }) });
    front.open("/checkouts/chk_1?payment_method=pm_1");
    await screen.findByText("Your payment is being taken…");
    expect(screen.queryByRole("button", { name: /^Pay / })).toBeNull();
    front.api.on(reading, {
      status: 200,
      body: aCheckout({ status: "requires_action", actionUrl: "https://bank.test/approve" }),
    });
    const approve = await screen.findByRole("link", { name: "Go to your bank's page" });
    expect(approve.getAttribute("href")).toBe("https://bank.test/approve");
    screen.getByRole("timer");
    front.api.on(reading, { status: 200, body: aCheckout({ status: "completed", tickets: ["tkt_1"] }) });
    await screen.findByText("You have your tickets");
  });

  it("says so when somebody else got the seats, and that nothing was charged", async () => {
    front.api.on(reading, { status: 200, body: aCheckout({ status: "cancelled", reason: "SEAT_TAKEN" }) });
    front.open("/checkouts/chk_1");
    await screen.findByText("Someone else got these seats in the meantime");
    screen.getByText(/Nothing was charged/);
  });
});

describe("the way back to a checkout", () => {
  it("is on every other page, with its time, until it has ended", async () => {
    front.api.on(reading, { status: 200, body: aCheckout() });
    front.api.on("GET /v1/orders", { status: 200, body: { orders: [] } });
    front.open("/checkouts/chk_1");
    await screen.findByText(/can't be extended/);
    front.open("/orders");
    const strip = await screen.findByRole("link", { name: /^Seats held for you/ });
    expect(strip.getAttribute("href")).toBe("/checkouts/chk_1");
    front.api.on(reading, { status: 200, body: aCheckout({ status: "expired" }) });
    const user = front.open("/orders");
    await screen.findByRole("link", { name: /^Your time is over/ });
    await user.click(screen.getByRole("button", { name: "Close" }));
    expect(screen.queryByText(/Your time is over/)).toBeNull();
    expect(localStorage.getItem("onsale.checkouts")).toBeNull();
  });
});
