// The seats as a list: that everything on the map can be done here, with keys alone.
// @vitest-environment happy-dom
import { act, cleanup, render, screen } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { useState } from "react";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Layout } from "../../api/client.js";
import type { LiveSeats } from "./live-seats.js";
import { SeatList } from "./seat-list.js";
import { findSeat, planSeats, type SeatPlan, seatStates } from "./seat-plan.js";

vi.setConfig({ testTimeout: 60_000 });
afterEach(cleanup);

const layout = (rows: Layout["sections"][number]["rows"]): Layout => ({
  eventId: "evt_1",
  layoutVersion: "v1",
  seatCount: rows.reduce((sum, { count, gaps = [] }) => sum + count - gaps.length, 0),
  sections: [{ id: "A", name: "Stalls", tier: "T1", capacity: 100, generalAdmission: false, rows }],
});
const tiers = [{ id: "T1", name: "Gold", amount: 12_900 }];

function Page({ plan, live, picks }: { plan: SeatPlan; live: LiveSeats; picks: number[] }) {
  const [picked, setPicked] = useState<ReadonlySet<number>>(new Set());
  const pick = (seat: number) => {
    picks.push(seat);
    setPicked((before) => new Set(before.has(seat) ? [...before].filter((one) => one !== seat) : [...before, seat]));
  };
  return <SeatList plan={plan} live={live} picked={picked} tiers={tiers} currency="EUR" onPick={pick} />;
}

function draw(given: Layout) {
  const plan = planSeats(given);
  const states = new Uint8Array(plan.seatCount);
  const listeners = new Set<(changed: readonly number[] | undefined) => void>();
  const live: LiveSeats = {
    states,
    status: "live",
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const picks: number[] = [];
  return {
    plan,
    states,
    picks,
    page: <Page plan={plan} live={live} picks={picks} />,
    change(seatId: string, state: number): void {
      const seat = findSeat(plan, seatId) ?? 0;
      states[seat] = state;
      for (const listener of listeners) listener([seat]);
    },
  };
}

const focused = () => document.activeElement?.getAttribute("aria-label");

describe("the list of seats", () => {
  it("is one stop for Tab; arrows, Home and End go from seat to seat; Space and Enter pick", async () => {
    const { page, picks, plan } = draw(
      layout([
        { label: "A", first: 1, count: 10, gaps: [5] },
        { label: "B", first: 1, count: 8 },
      ]),
    );
    render(page);
    const user = userEvent.setup({ delay: null });
    await user.tab(); // the section
    await user.tab();
    expect(focused()).toBe("Section A, row A, seat 1, free");
    await user.keyboard("{ArrowRight}{ArrowRight}{ArrowRight}{ArrowRight}");
    expect(focused()).toContain("row A, seat 6"); // there is no seat 5
    await user.keyboard("{ArrowDown}");
    expect(focused()).toContain("row B, seat 5"); // right behind it: the shorter row stands in the middle
    await user.keyboard("{End}{ArrowRight}");
    expect(focused()).toContain("row B, seat 8");
    await user.keyboard("{Home} ");
    expect(focused()).toBe("Section A, row B, seat 1, picked");
    expect(picks).toEqual([findSeat(plan, "A-B-1")]);
    await user.keyboard("{Enter}");
    expect(focused()).toBe("Section A, row B, seat 1, free");
    await user.tab();
    await user.tab({ shift: true });
    expect(focused()).toContain("row B, seat 1"); // back where one was
  });

  it("shows what others do as it happens, and lets nobody pick what is not free", async () => {
    const { page, picks, change } = draw(layout([{ label: "A", first: 1, count: 3 }]));
    render(page);
    act(() => change("A-A-2", seatStates.held));
    const taken = screen.getByRole("button", { name: "Section A, row A, seat 2, in another basket" });
    expect(taken.getAttribute("aria-disabled")).toBe("true");
    screen.getByRole("option", { name: /2 seats free/ });
    await userEvent.setup({ delay: null }).click(taken);
    expect(picks).toEqual([]);
    act(() => change("A-A-2", seatStates.free));
    await userEvent
      .setup({ delay: null })
      .click(screen.getByRole("button", { name: "Section A, row A, seat 2, free" }));
    expect(picks).toHaveLength(1);
  });

  it("says which seats are accessible, which are for companions, and which a code does not open", () => {
    const { page, change } = draw(layout([{ label: "A", first: 1, count: 4, accessible: [1], companion: [2] }]));
    render(page);
    act(() => change("A-A-4", seatStates.elsewhere));
    screen.getByRole("button", { name: "Section A, row A, seat 1, free, accessible seat" });
    screen.getByRole("button", { name: "Section A, row A, seat 2, free, companion seat" });
    screen.getByRole("button", { name: "Section A, row A, seat 4, not among your code's seats" });
  });

  it("shows a section of 6,000 seats part by part, every seat in reach", async () => {
    const rows = Array.from({ length: 60 }, (_, at) => ({ label: `R${at + 1}`, first: 1, count: 100 }));
    const { page } = draw(layout(rows));
    render(page);
    const buttons = () => document.querySelectorAll("button[data-seat]").length;
    expect(buttons()).toBe(1_500);
    const parts = screen.getByLabelText("Rows");
    expect(parts.querySelectorAll("option")).toHaveLength(4);
    await userEvent.setup({ delay: null }).selectOptions(parts, "R46 to R60");
    expect(buttons()).toBe(1_500);
    expect(document.querySelector('[aria-label="Section A, row R60, seat 100, free"]')).not.toBeNull();
  });
});
