// Orders, and giving one back: only where it is allowed, asked once more, and told as it is until the money is on its way.
// @vitest-environment happy-dom
import { screen, waitFor, within } from "@testing-library/react";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { anOrder, openFront } from "../../../test/front.js";
import { refusal } from "../../../test/scripted-api.js";

let front: Awaited<ReturnType<typeof openFront>>;
beforeAll(async () => {
  front = await openFront();
  await front.logIn();
});
beforeEach(() => localStorage.removeItem("onsale.refund.chk_1"));
afterEach(async () => expect(await front.finish()).toEqual([]));
afterAll(() => front.api.stop());

const listing = "GET /v1/orders";
const refunding = "POST /v1/orders/{checkoutId}/refund";
const list = (more: Parameters<typeof anOrder>[0]) =>
  front.api.on(listing, { status: 200, body: { orders: [anOrder(more)] } });
const refund = (status: "pending" | "refunded") => ({
  status: status === "pending" ? 202 : 200,
  body: { refundId: "rfd_1", checkoutId: "chk_1", status },
});

const aRefund = {
  refundId: "rfd_1",
  kind: "return" as const,
  state: "paid" as const,
  amount: 3_050,
  seats: ["A-C-1"],
  money: [{ seat: "A-C-1", amount: 3_050 }],
  requestedAt: "2026-11-02T10:00:00.000Z",
  at: "2026-11-02T10:00:00.000Z",
  by: "organiser" as const,
};

describe("an order", () => {
  it("that can't be given back by its buyer says who decides", async () => {
    list({ refundable: false });
    front.open("/orders");
    await screen.findByText(/through the organiser/);
    expect(screen.queryByRole("button", { name: "Give the tickets back" })).toBeNull();
  });

  it("is given back only when asked twice; the money is told before", async () => {
    list({ refundable: true });
    front.api.on(refunding, () => {
      list({ refundable: false, status: "refunded", amountRefunded: 12_900 });
      return refund("refunded");
    });
    const user = front.open("/orders");
    await user.click(await screen.findByRole("button", { name: "Give the tickets back" }));
    screen.getByText(/You get €129\.00 back/);
    screen.getByRole("table", { name: "What goes back, seat by seat" });
    await user.click(screen.getByRole("button", { name: "Keep the tickets" }));
    expect(front.api.askedFor(refunding)).toHaveLength(0);
    await user.click(screen.getByRole("button", { name: "Give the tickets back" }));
    await user.click(screen.getByRole("button", { name: "Give back, get €129.00" }));
    await screen.findByText(/€129\.00 went back to your card/);
    expect(localStorage.getItem("onsale.refund.chk_1")).toBeNull();
  });

  it("whose refund takes long says so, over a reload too, and asks about the same refund until it is done", async () => {
    list({ refundable: true });
    front.api.on(refunding, refund("pending"));
    const user = front.open("/orders");
    await user.click(await screen.findByRole("button", { name: "Give the tickets back" }));
    await user.click(screen.getByRole("button", { name: /^Give back, get/ }));
    await screen.findByText("Your refund is under way…");
    expect(screen.queryByText("Paid")).toBeNull();
    front.open("/orders");
    await screen.findByText("Your refund is under way…");
    front.api.on(refunding, () => {
      list({ refundable: false, status: "refunded", amountRefunded: 12_900 });
      return refund("refunded");
    });
    await screen.findByText(/went back to your card/);
    const keys = front.api.askedFor(refunding).map(({ headers }) => headers["idempotency-key"]);
    expect(keys.length).toBeGreaterThan(1);
    expect(new Set(keys).size).toBe(1);
  });

  it("gives back what is left of each seat, and nothing for what went back before", async () => {
    const seat = (number: number, left: number) => ({
      seatId: `A-C-${number}`,
      section: "A",
      row: "C",
      number: String(number),
      tier: "T1",
      amount: 5_000,
      left,
    });
    const goodwill = {
      ...aRefund,
      refundId: "rfd_2",
      kind: "goodwill" as const,
      seats: [],
      amount: 600,
    };
    const seats = [seat(1, 1_950), seat(2, 4_400), seat(3, 5_000)];
    list({
      refundable: true,
      status: "partially_refunded",
      amount: 15_000,
      amountRefunded: 3_650,
      seats,
      refundedSeats: ["A-C-1"],
      refunds: [aRefund, goodwill],
    });
    front.api.on(refunding, () => {
      // A fee was kept for the first: the order never becomes refunded, and still this refund has ended.
      list({ status: "partially_refunded", amount: 15_000, seats, refundedSeats: ["A-C-1", "A-C-2", "A-C-3"] });
      return refund("refunded");
    });
    const user = front.open("/orders");
    await screen.findByText("Partly refunded");
    screen.getByText("Goodwill; the tickets stay valid");
    await user.click(screen.getByRole("button", { name: "Give the tickets back" }));
    screen.getByText(/You get €94\.00 back/);
    const lines = within(screen.getByRole("table", { name: "What goes back, seat by seat" })).getAllByRole("row");
    expect(lines.map(({ textContent }) => textContent?.match(/€.*/)?.[0])).toEqual(["€44.00", "€50.00"]);
    await user.click(screen.getByRole("button", { name: "Give back, get €94.00" }));
    await waitFor(() => expect(localStorage.getItem("onsale.refund.chk_1")).toBeNull());
    await screen.findByText(/through the organiser/);
    expect(screen.queryByText("Your refund is under way…")).toBeNull();
  });

  it("gives back the seats that are chosen, for the sum of what is left of them, and then others", async () => {
    const seat = (number: number, left: number) => {
      const [place] = anOrder().seats;
      if (!place) throw new Error("an order has a seat");
      return { ...place, seatId: `A-C-${number}`, number: String(number), left };
    };
    const seats = [seat(1, 1_950), seat(2, 4_400), seat(3, 5_000)];
    list({ refundable: true, seats });
    const gone: string[] = [];
    front.api.on(refunding, () => {
      gone.push(...(gone.length === 0 ? ["A-C-2"] : ["A-C-3"]));
      const left = seats.map((one) => (gone.includes(one.seatId) ? { ...one, left: 0 } : one));
      list({ refundable: true, status: "partially_refunded", seats: left, refundedSeats: [...gone] });
      return refund("refunded");
    });
    const user = front.open("/orders");
    for (const [keep, sum] of [
      [[1, 3], "44.00"],
      [[1], "50.00"],
    ] as const) {
      await user.click(await screen.findByRole("button", { name: "Give the tickets back" }));
      for (const number of keep)
        await user.click(screen.getByRole("checkbox", { name: new RegExp(`seat ${number}$`, "i") }));
      await user.click(screen.getByRole("button", { name: `Give back, get €${sum}` }));
      await waitFor(() => expect(localStorage.getItem("onsale.refund.chk_1")).toBeNull());
    }
    // One seat is left: there is nothing to choose.
    await user.click(await screen.findByRole("button", { name: "Give the tickets back" }));
    expect(screen.queryByRole("checkbox")).toBeNull();
    screen.getByRole("button", { name: "Give back, get €19.50" });
    const asked = front.api.askedFor(refunding);
    expect(asked.map(({ body }) => body)).toEqual([{ seats: ["A-C-2"] }, { seats: ["A-C-3"] }]);
    expect(new Set(asked.map(({ headers }) => headers["idempotency-key"])).size).toBe(2);
  });

  it("whose refund failed says what is owed; one that is void or disputed says that", async () => {
    const failed = { ...aRefund, state: "failed" as const };
    list({ status: "voided", amountFailed: 12_900, refundedSeats: ["A-C-1"], refunds: [failed] });
    front.open("/orders");
    await screen.findByText("Refund failed: we owe you €129.00");
    screen.getByText("Refund failed");
    list({ status: "voided", refundedSeats: ["A-C-1"] });
    front.open("/orders");
    await screen.findByText("Void");
    const dispute = { disputeId: "dp_1", amount: 12_900, reason: "fraudulent", createdAt: "2026-11-02T10:00:00.000Z" };
    list({ disputes: [{ ...dispute, status: "under_review" }] });
    front.open("/orders");
    await screen.findByText(/disputed at the bank/);
  });

  it("that is refused after all says why, and nothing is left under way", async () => {
    list({ refundable: true });
    front.api.on(refunding, refusal(409, "REFUND_NOT_ALLOWED"));
    const user = front.open("/orders");
    await user.click(await screen.findByRole("button", { name: "Give the tickets back" }));
    await user.click(screen.getByRole("button", { name: /^Give back, get/ }));
    await screen.findByText(/can't be given back by yourself any more/);
    await waitFor(() => expect(localStorage.getItem("onsale.refund.chk_1")).toBeNull());
    screen.getByText("Paid");
  });
});
