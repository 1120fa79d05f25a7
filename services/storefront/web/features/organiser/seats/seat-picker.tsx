// Choosing seats of an event for something of the organiser's: on the map, in the list, or whole rows and sections at once.
import { useState } from "react";
import { Button } from "../../../ui/button.js";
import { Choice } from "../../../ui/field.js";
import { Skeleton } from "../../../ui/notice.js";
import type { LiveSeats } from "../../seats/live-seats.js";
import { SeatCanvas } from "../../seats/seat-canvas.js";
import { SeatList } from "../../seats/seat-list.js";
import { nameSeat, type SeatPlan } from "../../seats/seat-plan.js";
import type { OwnEvent } from "../organiser-api.js";
import { useOrganiserText } from "../organiser-text.js";
import { seatRuns } from "./seat-runs.js";

export function SeatPicker({
  event,
  plan,
  live,
  picked,
  onPick,
  onMany,
  onClear,
}: {
  event: OwnEvent;
  plan: SeatPlan;
  live: LiveSeats;
  picked: ReadonlySet<number>;
  onPick: (seat: number) => void;
  /** A whole row or section. */
  onMany: (seats: readonly number[]) => void;
  onClear: () => void;
}) {
  const text = useOrganiserText();
  const [mode, setMode] = useState<"map" | "list">("map");
  const seated = plan.sections.filter(({ generalAdmission }) => !generalAdmission);
  const [sectionId, chooseSection] = useState(seated[0]?.id ?? "");
  const [label, chooseRow] = useState("");
  const section = seated.find(({ id }) => id === sectionId);
  const row = section?.rows.find((one) => one.label === label);
  if (seated.length === 0) return undefined;
  const seen = { plan, live, picked, tiers: event.tiers, currency: event.currency, onPick };
  const addMany = () => {
    const from = row ?? section;
    if (from) onMany(Array.from({ length: from.seats }, (_, at) => from.firstSeat + at));
  };
  return (
    <div className="grid gap-3">
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
      </div>
      {!live.states ? (
        <Skeleton className="h-[60dvh]" />
      ) : mode === "map" ? (
        <SeatCanvas {...seen} />
      ) : (
        <SeatList {...seen} />
      )}
      <div className="grid grid-cols-2 items-end gap-3 sm:grid-cols-[1fr_1fr_auto]">
        <Choice
          label={text("sectionLabel")}
          value={sectionId}
          onChange={(change) => {
            chooseSection(change.target.value);
            chooseRow("");
          }}
        >
          {seated.map(({ id, name }) => (
            <option key={id} value={id}>
              {name}
            </option>
          ))}
        </Choice>
        <Choice label={text("rowLabel")} value={label} onChange={(change) => chooseRow(change.target.value)}>
          <option value="">{text("allRows")}</option>
          {section?.rows.map((one) => (
            <option key={one.label}>{one.label}</option>
          ))}
        </Choice>
        <Button className="col-span-2 sm:col-span-1" onClick={addMany}>
          {text(row ? "addWholeRow" : "addWholeSection")}
        </Button>
      </div>
      <div className="flex flex-wrap items-center gap-x-4 gap-y-1">
        <p role="status" className="font-semibold">
          {text("pickedCount", { count: picked.size })}
        </p>
        {picked.size > 0 ? (
          <Button look="quiet" onClick={onClear}>
            {text("clearPicked")}
          </Button>
        ) : undefined}
      </div>
      {picked.size > 0 ? <Runs seats={[...picked].map((seat) => nameSeat(plan, seat).seatId)} /> : undefined}
    </div>
  );
}

const runsShown = 8;

/** Which seats, briefly. */
export function Runs({ seats }: { seats: readonly string[] }) {
  const text = useOrganiserText();
  const runs = seatRuns(seats);
  return (
    <ul className="flex flex-wrap gap-1.5 text-sm">
      {runs.slice(0, runsShown).map((run) => (
        <li key={run.seats[0]} className="rounded-lg bg-wash px-2 py-1">
          {runText(text, run)}
        </li>
      ))}
      {runs.length > runsShown ? (
        <li className="px-2 py-1 text-soft">{text("andMore", { count: runs.length - runsShown })}</li>
      ) : undefined}
    </ul>
  );
}

export function runText(
  text: ReturnType<typeof useOrganiserText>,
  { section, row, from, to }: ReturnType<typeof seatRuns>[number],
): string {
  if (from === to) return text("seatName", { section, row, number: from });
  return text("runName", { section, row, from, to });
}
