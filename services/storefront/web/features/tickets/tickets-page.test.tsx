// The list of tickets: the newest order first, and in it the seats as they stand side by side.
// @vitest-environment happy-dom
import { screen } from "@testing-library/react";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { anOrder, openFront } from "../../../test/front.js";

let front: Awaited<ReturnType<typeof openFront>>;
beforeAll(async () => {
  front = await openFront();
});
afterEach(async () => expect(await front.finish()).toEqual([]));
afterAll(() => front.api.stop());

it("keeps orders together, newest first, and their seats in order", async () => {
  const ticket = (checkoutId: string, row: string, number: string) => ({
    ticketId: `tkt_${checkoutId}_${row}${number}`,
    checkoutId,
    event: anOrder().event,
    seat: { seatId: `A-${row}-${number}`, section: "A", row, number, tier: "T1", amount: 12_900 },
    currency: "EUR",
    status: "valid",
    disputed: false,
    issuedAt: "2026-11-30T10:00:00.000Z",
    code: "eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl",
  });
  await front.logIn();
  front.api.on("GET /v1/tickets", {
    status: 200,
    body: {
      tickets: [
        ticket("chk_new", "C", "10"),
        ticket("chk_new", "C", "9"),
        ticket("chk_new", "B", "11"),
        ticket("chk_old", "A", "2"),
        ticket("chk_old", "A", "1"),
      ],
    },
  });
  front.open("/tickets");
  await screen.findByText("Section A, row C, seat 10");
  expect(screen.getAllByText(/^Section A, row/).map((seat) => seat.textContent)).toEqual([
    "Section A, row B, seat 11",
    "Section A, row C, seat 9",
    "Section A, row C, seat 10",
    "Section A, row A, seat 1",
    "Section A, row A, seat 2",
  ]);
});
