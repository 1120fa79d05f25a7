import { describe, expect, it } from "vitest";
import type { Layout } from "../../api/client.js";
import { findSeat, nameSeat, planSeats, seatAt, unpackStates } from "./seat-plan.js";

const row = (label: string, count: number, gaps: number[] = [], first = 1) => ({ label, first, count, gaps });
const layout = (): Layout => ({
  eventId: "evt_1",
  layoutVersion: "v1",
  seatCount: 9 + 10 + 5,
  sections: [
    {
      id: "A",
      name: "Stalls",
      tier: "T1",
      capacity: 19,
      generalAdmission: false,
      rows: [row("A", 10, [5]), row("B", 10)],
    },
    { id: "GA", name: "Floor", tier: "T2", capacity: 100, generalAdmission: true, rows: [] },
    { id: "B", name: "Balcony", tier: "T2", capacity: 5, generalAdmission: false, rows: [row("A", 5, [], 11)] },
  ],
});

describe("the plan of the seats", () => {
  const plan = planSeats(layout());

  it("gives every seat its name in layout order, gaps left out", () => {
    const names = Array.from({ length: plan.seatCount }, (_, seat) => nameSeat(plan, seat).seatId);
    expect(names.slice(0, 6)).toEqual(["A-A-1", "A-A-2", "A-A-3", "A-A-4", "A-A-6", "A-A-7"]);
    expect(names[9]).toBe("A-B-1");
    expect(names.slice(-5)).toEqual(["B-A-11", "B-A-12", "B-A-13", "B-A-14", "B-A-15"]);
    for (const [seat, name] of names.entries()) expect(findSeat(plan, name)).toBe(seat);
    for (const unknown of ["A-A-5", "A-C-1", "C-A-1", "A-A-0", ""]) expect(findSeat(plan, unknown)).toBeUndefined();
  });

  it("finds each seat where it lies, and none in a gap or outside", () => {
    for (let seat = 0; seat < plan.seatCount; seat++)
      expect(seatAt(plan, plan.x[seat] ?? 0, plan.y[seat] ?? 0)).toBe(seat);
    const beside = findSeat(plan, "A-A-4") ?? 0;
    expect(seatAt(plan, (plan.x[beside] ?? 0) + 1, plan.y[beside] ?? 0)).toBeUndefined();
    expect(seatAt(plan, -1, -1)).toBeUndefined();
  });

  it("puts no section on another, and none on the stage", () => {
    const sections = plan.sections;
    for (const [at, a] of sections.entries()) {
      expect(a.y).toBeGreaterThan(4);
      for (const b of sections.slice(at + 1)) {
        const apart = a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y;
        expect(apart, `${a.id} and ${b.id}`).toBe(true);
      }
    }
  });

  it("unpacks two bits a seat, the first in the lowest", () => {
    expect([...unpackStates(Uint8Array.of(0b11100100, 0b01), 5)]).toEqual([0, 1, 2, 3, 1]);
  });
});
