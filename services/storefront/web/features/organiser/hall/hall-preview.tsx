// The hall that is being made, on the map that buyers will see; a tapped seat becomes what the brush says. The list does the same.
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import type { Layout } from "../../../api/client.js";
import { Button } from "../../../ui/button.js";
import type { LiveSeats } from "../../seats/live-seats.js";
import { SeatCanvas } from "../../seats/seat-canvas.js";
import { SeatList } from "../../seats/seat-list.js";
import { planSeats, type SeatPlan, seatRooms, seatStates } from "../../seats/seat-plan.js";
import { useOrganiserText } from "../organiser-text.js";
import { type Brush, brushes, layoutOf, paintSeat, type ReadLayout, type SectionForm } from "./layout-form.js";

type Listener = (changed: readonly number[] | undefined) => void;

/** Seats of an event that nobody can buy yet: free, but for those that the layout blocks. */
export function useDraftSeats(layout: Layout | undefined): { plan: SeatPlan | undefined; live: LiveSeats } {
  const geometry = JSON.stringify(
    layout?.sections.map(({ id, name, tier, capacity, rows }) => [
      [id, name, tier, capacity],
      rows.map(({ label, first, count, gaps }) => [label, first, count, gaps]),
    ]),
  );
  // The map keeps its place and zoom while only what seats are for changes.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the same geometry is the same plan
  const plan = useMemo(() => layout && planSeats(layout), [geometry]);
  const states = useMemo(() => plan && new Uint8Array(plan.seatCount), [plan]);
  const listeners = useRef(new Set<Listener>());
  useEffect(() => {
    if (!plan || !states || !layout) return;
    const changed: number[] = [];
    for (const [at, section] of layout.sections.entries())
      for (const [rank, row] of section.rows.entries()) {
        const closed = new Set(row.blocked);
        const [accessible, companion] = [new Set(row.accessible), new Set(row.companion)];
        const planned = plan.sections[at]?.rows[rank];
        if (!planned) continue;
        for (let seat = planned.firstSeat; seat < planned.firstSeat + planned.seats; seat++) {
          const number = plan.number[seat] ?? 0;
          const state = closed.has(number) ? seatStates.blocked : seatStates.free;
          const room = accessible.has(number)
            ? seatRooms.accessible
            : companion.has(number)
              ? seatRooms.companion
              : seatRooms.none;
          if (states[seat] === state && plan.room[seat] === room) continue;
          states[seat] = state;
          plan.room[seat] = room;
          changed.push(seat);
        }
      }
    if (changed.length > 0) for (const listener of listeners.current) listener(changed);
  }, [layout, plan, states]);
  const subscribe = useCallback((listener: Listener) => {
    listeners.current.add(listener);
    return () => {
      listeners.current.delete(listener);
    };
  }, []);
  const live = useMemo((): LiveSeats => ({ states, status: "live", subscribe }), [states, subscribe]);
  return { plan, live };
}

export interface ShownTier {
  readonly id: string;
  readonly name: string;
  readonly amount: number;
}

const brushKeys = {
  accessible: "brushAccessible",
  companion: "brushCompanion",
  blocked: "brushBlocked",
  gaps: "brushGaps",
  focal: "brushFocal",
} as const;

export function HallPreview({
  layout,
  sections,
  tiers,
  currency,
  onPaint,
}: {
  layout: ReadLayout;
  sections: readonly SectionForm[];
  tiers: readonly ShownTier[];
  currency: string;
  onPaint: (at: number, section: SectionForm) => void;
}) {
  const text = useOrganiserText();
  const shown = useMemo(() => layoutOf(layout.sections), [layout]);
  const { plan, live } = useDraftSeats(shown);
  const [mode, setMode] = useState<"map" | "list">("map");
  const [brush, setBrush] = useState<Brush>("accessible");
  const seatAtRow = useCallback(
    (at: number, label: string, number: number): number | undefined => {
      const row = plan?.sections[at]?.rows.find((one) => one.label === label);
      if (!row || !plan) return undefined;
      for (let seat = row.firstSeat; seat < row.firstSeat + row.seats; seat++)
        if (plan.number[seat] === number) return seat;
      return undefined;
    },
    [plan],
  );
  const painted = useMemo(() => {
    const seats = new Set<number>();
    const add = (seat: number | undefined) => {
      if (seat !== undefined) seats.add(seat);
    };
    for (const [at, section] of layout.sections.entries()) {
      if (!("rows" in section) || !Array.isArray(section.rows)) continue;
      if (brush === "focal") {
        if (section.focalPoint) add(seatAtRow(at, section.focalPoint.row, section.focalPoint.seat));
      } else if (brush !== "gaps")
        for (const row of section.rows) for (const number of row[brush] ?? []) add(seatAtRow(at, row.label, number));
    }
    return seats;
  }, [layout, brush, seatAtRow]);

  const latest = useRef({ sections, brush, onPaint });
  latest.current = { sections, brush, onPaint };
  const pick = useCallback(
    (seat: number) => {
      const at = plan?.sectionOf[seat] ?? 0;
      const row = plan?.sections[at]?.rows.find(
        ({ firstSeat, seats }) => seat >= firstSeat && seat < firstSeat + seats,
      );
      const section = latest.current.sections[at];
      if (!plan || !row || !section) return;
      latest.current.onPaint(at, paintSeat(section, row.label, plan.number[seat] ?? 0, latest.current.brush));
    },
    [plan],
  );
  if (!plan) return undefined;
  const seen = { plan, live, picked: painted, tiers, currency, onPick: pick };
  return (
    <div className="grid gap-3">
      {plan.seatCount > 0 ? (
        <>
          <fieldset>
            <legend className="mb-1 text-sm font-semibold">{text("brushLegend")}</legend>
            <div className="flex flex-wrap gap-2">
              {brushes.map((name) => (
                <Button
                  key={name}
                  aria-pressed={brush === name}
                  look={brush === name ? "main" : "plain"}
                  onClick={() => setBrush(name)}
                >
                  {text(brushKeys[name])}
                </Button>
              ))}
            </div>
          </fieldset>
          <div className="flex flex-wrap items-center gap-2">
            {(["map", "list"] as const).map((name) => (
              <Button
                key={name}
                aria-pressed={mode === name}
                look={mode === name ? "main" : "plain"}
                onClick={() => setMode(name)}
              >
                {text(name === "map" ? "viewMap" : "viewList")}
              </Button>
            ))}
            <p className="text-sm text-soft">{text(brush === "gaps" ? "brushGapsHint" : "brushHint")}</p>
          </div>
        </>
      ) : undefined}
      {mode === "map" || plan.seatCount === 0 ? <SeatCanvas {...seen} /> : <SeatList {...seen} />}
    </div>
  );
}
