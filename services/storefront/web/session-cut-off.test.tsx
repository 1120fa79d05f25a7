// Who is here when a reload cut off a refresh whose cookie had come already: its key then belongs to another cookie.
// @vitest-environment happy-dom
import { screen } from "@testing-library/react";
import { afterAll, expect, it } from "vitest";
import { openFront, session } from "../test/front.js";
import { refusal } from "../test/scripted-api.js";

const oldKey = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
localStorage.setItem("onsale.session", "1");
localStorage.setItem("onsale.refresh-key", oldKey);
const front = await openFront();
afterAll(() => front.api.stop());

it("stays logged in: the refresh is begun anew, with the cookie that is there", async () => {
  const { restoreSession } = await import("./session.js");
  const keys = () => front.api.askedFor("POST /v1/sessions/refresh").map(({ headers }) => headers["idempotency-key"]);
  front.api.on("POST /v1/sessions/refresh", () =>
    keys().at(-1) === oldKey ? refusal(422, "IDEMPOTENCY_KEY_REUSED") : { status: 200, body: session() },
  );
  front.api.on("GET /v1/orders", { status: 200, body: { orders: [] } });
  front.open("/orders");
  void restoreSession();
  await screen.findByText("No orders yet");
  expect(location.pathname).toBe("/orders");
  expect(keys()).toHaveLength(2);
  expect(localStorage.getItem("onsale.refresh-key")).toBeNull();
  expect(await front.finish()).toEqual([]);
});
