// Presale codes: what one opens, what is said when it opens nothing, and that it stays where nobody finds it.
// @vitest-environment happy-dom
import { screen, waitFor } from "@testing-library/react";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { anEvent, openFront } from "../../../test/front.js";
import { refusal } from "../../../test/scripted-api.js";
import { stateByCode } from "../seats/seat-plan.js";

let front: Awaited<ReturnType<typeof openFront>>;
const opening = "POST /v1/events/{eventId}/access";
const channel = (more: Readonly<Record<string, unknown>> = {}) => ({
  channelId: "fans",
  name: "Fan club",
  opensAt: new Date(Date.now() - 60_000).toISOString(),
  closesAt: new Date(Date.now() + 86_400_000).toISOString(),
  status: "open",
  seatsPerPerson: 4,
  seatsPerCode: 6,
  seats: { free: ["A-A-1", "A-A-2"], held: ["A-A-3"], sold: [], blocked: [] },
  generalAdmission: [{ section: "GA", free: 20, held: 0, sold: 0, blocked: 0 }],
  asOf: new Date().toISOString(),
  ...more,
});

beforeAll(async () => {
  front = await openFront();
});
beforeEach(async () => {
  const { putCodeAway } = await import("./access-code.js");
  putCodeAway("evt_1");
  const event = anEvent({ onSaleAt: new Date(Date.now() + 86_400_000).toISOString() });
  front.api.on("GET /v1/events/{eventId}", { status: 200, body: event });
  front.api.on("GET /v1/events/{eventId}/availability", {
    status: 200,
    body: {
      eventId: "evt_1",
      sections: [],
      totals: { free: 37, held: 1, sold: 2, blocked: 0 },
      asOf: new Date().toISOString(),
    },
  });
});
afterEach(async () => expect(await front.finish()).toEqual([]));
afterAll(() => front.api.stop());

async function type(code: string) {
  const user = front.open("/events/evt_1");
  await user.click(await screen.findByText("I have a presale code"));
  await user.type(screen.getByLabelText("Presale code"), code);
  await user.click(screen.getByRole("button", { name: "Use the code" }));
  return user;
}

describe("a presale code", () => {
  it("shows its window, its limits and what it opens, before the general sale", async () => {
    front.api.on(opening, { status: 200, body: channel() });
    const user = await type(" fans24 ");
    await screen.findByText("Your code opens: Fan club");
    screen.getByText("Its sale is open.");
    screen.getByText("Up to 4 seats per person, 6 seats by this code in all.");
    screen.getByText("2 seats free of 3");
    screen.getByText(/20 places free/);
    expect(front.api.askedFor(opening)[0]?.body).toEqual({ code: "fans24" });
    expect(screen.getByRole("link", { name: "Log in to buy with the code" }).getAttribute("href")).toBe(
      `/login?next=${encodeURIComponent("/events/evt_1/seats")}`,
    );
    await user.click(screen.getByRole("button", { name: "Go on without the code" }));
    screen.getByText("I have a presale code");
  });

  it("is in no address and in no store of the browser", async () => {
    front.api.on(opening, { status: 200, body: channel() });
    await type("sesame-open");
    await screen.findByText("Your code opens: Fan club");
    const everywhere = JSON.stringify([location.href, { ...localStorage }, { ...sessionStorage }, document.cookie]);
    expect(everywhere).not.toMatch(/sesame/i);
    expect(front.api.asked.some(({ path, query }) => /sesame/.test(`${path}${query}`))).toBe(false);
    const links = [...document.querySelectorAll("a")].map(({ href }) => href).join();
    expect(links).not.toMatch(/sesame/i);
  });

  it("that opens nothing is said beside the field, which has the focus again", async () => {
    front.api.on(opening, refusal(403, "ACCESS_CODE_INVALID"));
    await type("wrong");
    await screen.findByText(/This code opens nothing here/);
    const field = screen.getByLabelText("Presale code");
    expect(field.getAttribute("aria-invalid")).toBe("true");
    await waitFor(() => expect(document.activeElement).toBe(field));
  });

  it("may be tried so often only, and that is said", async () => {
    front.api.on(opening, refusal(429, "RATE_LIMITED"));
    await type("again");
    expect((await screen.findByRole("alert")).textContent).toContain("Too many requests at once");
  });

  it("that is not open yet counts down, and one whose time is over says where its seats are", async () => {
    front.api.on(opening, {
      status: 200,
      body: channel({ status: "upcoming", opensAt: new Date(Date.now() + 3_600_000).toISOString() }),
    });
    await type("early");
    const box = (await screen.findByText(/Its sale opens in/)).closest("section");
    expect(box?.querySelector('[role="timer"]')?.textContent).toMatch(/^(1:00:0[01]|59:\d\d)$/);
    const { putCodeAway } = await import("./access-code.js");
    putCodeAway("evt_1");
    front.api.on(opening, {
      status: 200,
      body: channel({ status: "ended", closesAt: new Date(Date.now() - 1_000).toISOString() }),
    });
    await type("late");
    await screen.findByText(/seats that were left are in the general sale/);
  });

  it("turns the map round: its seats are free for its buyer, the others are not", () => {
    expect([0, 1, 2, 3].map((state) => stateByCode(state, true))).toEqual([0, 1, 2, 0]);
    expect([0, 1, 2, 3].map((state) => stateByCode(state, false))).toEqual([4, 1, 2, 3]);
  });
});
