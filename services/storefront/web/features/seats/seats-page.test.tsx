// Choosing seats with a scripted API: what is said when they can't be held.
// @vitest-environment happy-dom
import { screen } from "@testing-library/react";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { anEvent, openFront } from "../../../test/front.js";
import { refusal } from "../../../test/scripted-api.js";

// There is no canvas to draw on here; the map is looked at in a real browser.
vi.mock(import("./seat-canvas.js"), async (original) => ({ ...(await original()), SeatCanvas: () => <canvas /> }));

/** What happy-dom lacks: a stream of events. This one tells once that all seats are free. */
class AllFree {
  static readonly CLOSED = 2;
  readonly readyState = 1;
  addEventListener(name: string, listener: (event: { data: string }) => void): void {
    if (name !== "snapshot") return;
    const data = JSON.stringify({ layoutVersion: "v1", seatCount: 8, states: btoa("\0\0") });
    queueMicrotask(() => listener({ data }));
  }
  close(): void {}
}

let front: Awaited<ReturnType<typeof openFront>>;
beforeAll(async () => {
  vi.stubGlobal("EventSource", AllFree);
  front = await openFront();
});
beforeEach(async () => {
  await front.logIn();
  front.api.on("GET /v1/events/{eventId}", { status: 200, body: anEvent({ capacity: 8 }) });
  front.api.on("GET /v1/events/{eventId}/seats", {
    status: 200,
    body: {
      eventId: "evt_1",
      layoutVersion: "v1",
      seatCount: 8,
      sections: [
        {
          id: "A",
          name: "Stalls",
          tier: "T1",
          capacity: 8,
          generalAdmission: false,
          rows: [{ label: "C", first: 1, count: 8 }],
        },
      ],
    },
  });
});
afterEach(async () => expect(await front.finish()).toEqual([]));
afterAll(() => front.api.stop());

describe("seats that can't be held", () => {
  const holding = "POST /v1/checkouts";
  const taken = (details: object) => refusal(409, "SEAT_TAKEN", { retryable: false, ...details });
  const seat = (number: number) => screen.findByRole("button", { name: new RegExp(`row C, seat ${number},`) });
  async function hold(...numbers: number[]): Promise<string> {
    const user = front.open("/events/evt_1/seats");
    await user.click(await screen.findByRole("button", { name: "List" }));
    for (const number of numbers) await user.click(await seat(number));
    await user.click(screen.getAllByRole("button", { name: /^Hold / })[0] as HTMLElement);
    return (await screen.findByRole("alert")).textContent;
  }

  it("go from the pick, and it is said that others were faster", async () => {
    front.api.on(holding, taken({ seats: ["A-C-2"] }));
    expect(await hold(2, 3)).toContain("Section A, row C, seat 2: someone was faster.");
    expect((await seat(3)).getAttribute("aria-pressed")).toBe("true");
    expect((await seat(2)).getAttribute("aria-pressed")).toBe("false");
  });

  it("because the buyer has them already are told apart from those that others have", async () => {
    front.api.on(holding, taken({ seats: ["A-C-4", "A-C-5"], own: ["A-C-4"] }));
    const both = await hold(4, 5);
    expect(both).toContain("Section A, row C, seat 5: someone was faster.");
    expect(both).toContain("Section A, row C, seat 4: you have these already, in another checkout of yours.");
    front.api.on(holding, taken({ seats: ["A-C-4"], own: ["A-C-4"] }));
    const own = await hold(4);
    expect(own).toContain("you have these already");
    expect(own).not.toContain("someone was faster");
  });
});
