// Who is here after a reload: asked again while the shop is busy, with the same key, so that the answer is had once.
// @vitest-environment happy-dom
import { screen } from "@testing-library/react";
import { afterAll, expect, it } from "vitest";
import { openFront, session } from "../test/front.js";
import { refusal } from "../test/scripted-api.js";

localStorage.setItem("onsale.session", "1");
const front = await openFront();
afterAll(() => front.api.stop());

it("stays logged in over a reload, though the shop can't say so at once", async () => {
  const { restoreSession } = await import("./session.js");
  let tries = 0;
  front.api.on("POST /v1/sessions/refresh", () => {
    tries += 1;
    if (tries === 1) return refusal(409, "IDEMPOTENCY_IN_FLIGHT", { retryable: true });
    return tries === 2 ? refusal(503, "UNAVAILABLE", { retryable: true }) : { status: 200, body: session() };
  });
  front.api.on("GET /v1/orders", { status: 200, body: { orders: [] } });
  front.open("/orders");
  void restoreSession();
  await screen.findByText("No orders yet");
  expect(location.pathname).toBe("/orders");
  const keys = front.api.askedFor("POST /v1/sessions/refresh").map(({ headers }) => headers["idempotency-key"]);
  expect(new Set(keys).size).toBe(1);
  expect(await front.finish()).toEqual([]);
});
