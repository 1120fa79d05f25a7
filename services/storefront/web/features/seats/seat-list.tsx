// The seats as a list by section and row, for the keyboard and for screen readers: it can all that the map can.
import { type KeyboardEvent, memo, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { money } from "../../format.js";
import { useText } from "../../text.js";
import { Choice } from "../../ui/field.js";
import type { LiveSeats } from "./live-seats.js";
import { roomText, stateText } from "./seat-canvas.js";
import { nameSeat, type PlannedRow, type PlannedSection, type SeatPlan, seatStates } from "./seat-plan.js";
import { TierMark } from "./tier-mark.js";

export interface SeatListProps {
  readonly plan: SeatPlan;
  readonly live: LiveSeats;
  readonly picked: ReadonlySet<number>;
  readonly tiers: readonly { readonly id: string; readonly name: string; readonly amount: number }[];
  readonly currency: string;
  readonly onPick: (seat: number) => void;
}

/** More rows than these are shown part by part, so that the page stays quick. */
const mostSeatsShown = 1_500;

/** Neighbouring rows with at most so many seats together. */
function partsOf({ rows }: PlannedSection): PlannedRow[][] {
  const parts: PlannedRow[][] = [];
  let seats = Number.POSITIVE_INFINITY;
  for (const row of rows) {
    if (seats + row.seats > mostSeatsShown) {
      parts.push([]);
      seats = 0;
    }
    parts.at(-1)?.push(row);
    seats += row.seats;
  }
  return parts;
}

/** The seat that an arrow key leads to from this one; undefined: it leads nowhere. */
function nextSeat(plan: SeatPlan, rows: readonly PlannedRow[], from: number, key: string): number | undefined {
  const at = rows.findIndex(({ firstSeat, seats }) => from >= firstSeat && from < firstSeat + seats);
  const row = rows[at];
  if (!row) return undefined;
  const last = row.firstSeat + row.seats - 1;
  if (key === "ArrowRight") return from < last ? from + 1 : undefined;
  if (key === "ArrowLeft") return from > row.firstSeat ? from - 1 : undefined;
  if (key === "Home") return row.firstSeat;
  if (key === "End") return last;
  const other = rows[key === "ArrowDown" ? at + 1 : key === "ArrowUp" ? at - 1 : -1];
  if (!other || other.seats === 0) return undefined;
  // The one that lies straight before or behind it.
  let nearest = other.firstSeat;
  for (let seat = other.firstSeat; seat < other.firstSeat + other.seats; seat++)
    if (Math.abs((plan.x[seat] ?? 0) - (plan.x[from] ?? 0)) < Math.abs((plan.x[nearest] ?? 0) - (plan.x[from] ?? 0)))
      nearest = seat;
  return nearest;
}

export function SeatList({ plan, live, picked, tiers, currency, onPick }: SeatListProps) {
  const text = useText();
  const { states, subscribe } = live;
  const seated = useMemo(() => plan.sections.filter(({ generalAdmission }) => !generalAdmission), [plan]);
  const [chosen, choose] = useState(seated[0]?.id ?? "");
  const [part, setPart] = useState(0);
  // One seat can be reached with Tab; arrows go on from there.
  const [current, setCurrent] = useState<number>();
  const list = useRef<HTMLDivElement>(null);
  const [, changed] = useState(0);
  useEffect(() => subscribe(() => changed((count) => count + 1)), [subscribe]);
  const section = seated.find(({ id }) => id === chosen);
  const parts = useMemo(() => (section ? partsOf(section) : []), [section]);
  const rows = parts[part] ?? parts[0] ?? [];
  const visit = useCallback((seat: number) => setCurrent(seat), []);
  if (!states || !section) return undefined;
  const freeIn = (first: number, count: number): number => {
    let free = 0;
    for (let seat = first; seat < first + count; seat++) if (states[seat] === seatStates.free) free += 1;
    return free;
  };
  const tier = tiers.find(({ id }) => id === section.tier);
  const first = rows[0]?.firstSeat ?? 0;
  const end = first + rows.reduce((sum, { seats }) => sum + seats, 0);
  const stop = current !== undefined && current >= first && current < end ? current : first;
  const move = (happened: KeyboardEvent) => {
    const next = nextSeat(plan, rows, stop, happened.key);
    if (next === undefined) return;
    happened.preventDefault();
    setCurrent(next);
    list.current?.querySelector<HTMLElement>(`[data-seat="${next}"]`)?.focus();
  };
  return (
    <div className="grid gap-4">
      <div className="grid gap-3 sm:grid-cols-2">
        <Choice
          label={text("sectionLabel")}
          value={chosen}
          onChange={(change) => {
            choose(change.target.value);
            setPart(0);
          }}
        >
          {seated.map(({ id, name, firstSeat, seats }) => (
            <option key={id} value={id}>
              {name} – {text("listSection", { section: id, count: freeIn(firstSeat, seats) })}
            </option>
          ))}
        </Choice>
        {parts.length > 1 ? (
          <Choice label={text("listRows")} value={part} onChange={(change) => setPart(Number(change.target.value))}>
            {parts.map((some, at) => (
              <option key={some[0]?.label} value={at}>
                {text("listRowsSome", { from: some[0]?.label ?? "", to: some.at(-1)?.label ?? "" })}
              </option>
            ))}
          </Choice>
        ) : undefined}
      </div>
      {tier ? (
        <p className="flex items-center gap-1.5 font-semibold">
          <TierMark tier={tiers.indexOf(tier)} />
          {tier.name} · {money(tier.amount, currency, text.locale)}
        </p>
      ) : undefined}
      <p id="list-hint" className="text-sm text-soft">
        {text("listHint")}
      </p>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the seats in it are buttons; arrow keys lead from one to the next */}
      <div
        ref={list}
        onKeyDown={move}
        className="grid max-h-[60dvh] gap-2 overflow-auto rounded-xl border border-line bg-paper p-3"
      >
        {rows.map((row) => (
          <Row
            key={row.label}
            plan={plan}
            row={row}
            look={lookOf(row, states, picked)}
            stop={stop >= row.firstSeat && stop < row.firstSeat + row.seats ? stop : undefined}
            onVisit={visit}
            onPick={onPick}
          />
        ))}
      </div>
    </div>
  );
}

/** A digit a seat: its state, or 9 where it is picked. A row that looks the same is not drawn again. */
function lookOf(row: PlannedRow, states: Uint8Array, picked: ReadonlySet<number>): string {
  let look = "";
  for (let seat = row.firstSeat; seat < row.firstSeat + row.seats; seat++)
    look += picked.has(seat) ? "9" : String(states[seat]);
  return look;
}

interface RowProps {
  readonly plan: SeatPlan;
  readonly row: PlannedRow;
  readonly look: string;
  readonly stop: number | undefined;
  readonly onVisit: (seat: number) => void;
  readonly onPick: (seat: number) => void;
}

const Row = memo(function Row({ plan, row, look, stop, onVisit, onPick }: RowProps) {
  const text = useText();
  return (
    <fieldset aria-describedby="list-hint" className="border-b border-line pb-2 last:border-0 sm:flex sm:gap-1.5">
      <legend className="text-sm font-semibold max-sm:mb-1 sm:float-left sm:w-20 sm:shrink-0 sm:leading-11">
        {text("listRow", { row: row.label })}
      </legend>
      <div className="flex flex-wrap gap-1.5">
        {Array.from(look, (digit, at) => {
          const seat = row.firstSeat + at;
          const mine = digit === "9";
          const state = Number(digit);
          const free = state === seatStates.free;
          const { section, number } = nameSeat(plan, seat);
          const room = roomText(text, plan, seat);
          const told = [
            text("seatName", { section, row: row.label, number }),
            mine ? text("seatMine") : stateText(text, state),
            room,
          ];
          return (
            <button
              key={seat}
              type="button"
              data-seat={seat}
              tabIndex={seat === stop ? 0 : -1}
              aria-pressed={mine}
              aria-disabled={!free && !mine}
              aria-label={told.filter(Boolean).join(", ")}
              title={room || undefined}
              onFocus={() => onVisit(seat)}
              onClick={() => (free || mine) && onPick(seat)}
              className={`h-11 min-w-11 rounded-lg border px-1 text-sm tabular-nums ${mine ? "border-ink bg-accent font-bold text-on-accent" : free ? "border-good bg-paper text-ink hover:bg-wash" : "border-line bg-wash text-soft line-through"}`}
            >
              {number}
              {room ? <span aria-hidden> ♿&#xFE0E;</span> : undefined}
            </button>
          );
        })}
      </div>
    </fieldset>
  );
});
