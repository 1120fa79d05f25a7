// The seats as a list by section and row, for the keyboard and for screen readers: it can all that the map can.
import { useEffect, useState } from "react";
import { money } from "../../format.js";
import { useText } from "../../text.js";
import { Choice } from "../../ui/field.js";
import type { LiveSeats } from "./live-seats.js";
import { stateText } from "./seat-canvas.js";
import { nameSeat, type SeatPlan, seatStates } from "./seat-plan.js";

export interface SeatListProps {
  readonly plan: SeatPlan;
  readonly live: LiveSeats;
  readonly picked: ReadonlySet<number>;
  readonly tiers: readonly { readonly id: string; readonly name: string; readonly amount: number }[];
  readonly currency: string;
  readonly onPick: (seat: number) => void;
}

export function SeatList({ plan, live, picked, tiers, currency, onPick }: SeatListProps) {
  const text = useText();
  const { states, subscribe } = live;
  const seated = plan.sections.filter(({ generalAdmission }) => !generalAdmission);
  const [chosen, choose] = useState(seated[0]?.id ?? "");
  const [, changed] = useState(0);
  useEffect(() => subscribe(() => changed((count) => count + 1)), [subscribe]);
  const section = seated.find(({ id }) => id === chosen);
  if (!states || !section) return undefined;
  const freeIn = (first: number, count: number): number => {
    let free = 0;
    for (let seat = first; seat < first + count; seat++) if (states[seat] === seatStates.free) free += 1;
    return free;
  };
  const tier = tiers.find(({ id }) => id === section.tier);
  return (
    <div className="grid gap-4">
      <Choice label={text("sectionLabel")} value={chosen} onChange={(change) => choose(change.target.value)}>
        {seated.map(({ id, name, firstSeat, seats }) => (
          <option key={id} value={id}>
            {name} – {text("listSection", { section: id, count: freeIn(firstSeat, seats) })}
          </option>
        ))}
      </Choice>
      {tier ? (
        <p className="font-semibold">
          {tier.name} · {money(tier.amount, currency, text.locale)}
        </p>
      ) : undefined}
      <div className="grid max-h-[60dvh] gap-2 overflow-auto rounded-xl border border-line bg-paper p-3">
        {section.rows.map((row) => (
          <fieldset
            key={row.label}
            className="flex flex-wrap items-center gap-1.5 border-b border-line pb-2 last:border-0"
          >
            <legend className="float-left w-20 text-sm font-semibold">{text("listRow", { row: row.label })}</legend>
            {Array.from({ length: row.seats }, (_, at) => row.firstSeat + at).map((seat) => {
              const mine = picked.has(seat);
              const free = states[seat] === seatStates.free;
              const { section: sectionId, number } = nameSeat(plan, seat);
              return (
                <button
                  key={seat}
                  type="button"
                  aria-pressed={mine}
                  aria-disabled={!free && !mine}
                  aria-label={`${text("seatName", { section: sectionId, row: row.label, number })}, ${mine ? text("seatMine") : stateText(text, states[seat])}`}
                  onClick={() => (free || mine) && onPick(seat)}
                  className={`h-11 min-w-11 rounded-lg border px-1 text-sm tabular-nums ${mine ? "border-ink bg-accent font-bold text-on-accent" : free ? "border-good bg-paper text-ink hover:bg-wash" : "border-line bg-wash text-soft line-through"}`}
                >
                  {number}
                </button>
              );
            })}
          </fieldset>
        ))}
      </div>
    </div>
  );
}
