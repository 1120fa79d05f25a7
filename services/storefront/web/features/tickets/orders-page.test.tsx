// Orders, and giving one back: only where it is allowed, asked once more, and told as it is until the money is on its way.
// @vitest-environment happy-dom
import { screen, waitFor } from "@testing-library/react";
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
