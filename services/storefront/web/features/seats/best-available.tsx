// Asking for seats without choosing them one by one: the best ones within a price, or places of general admission.
import { minorPerUnit } from "@onsale/kit/currencies";
import { useState } from "react";
import type { EventWithSections, Schemas } from "../../api/client.js";
import { money, roundMoney } from "../../format.js";
import { useText } from "../../text.js";
import { Button } from "../../ui/button.js";
import { Check, Choice } from "../../ui/field.js";
import { Range } from "../../ui/range.js";
import type { OpenedCode } from "../events/access-code.js";

/** Without the code and the layout's version, which are the same for every wish. */
export type Wish =
  | Pick<Schemas["SeatChoice"], "seats" | "accessible">
  | Pick<Schemas["QuantityChoice"], "section" | "quantity">
  | Pick<Schemas["BestChoice"], "bestAvailable">;

const mostCompanionsEach = 3;
/** from, …, most */
const upTo = (most: number, from = 1): number[] =>
  Array.from({ length: Math.max(0, most - from + 1) }, (_, at) => from + at);

export interface BestAvailableProps {
  readonly event: EventWithSections;
  /** Seats that one person may have. */
  readonly limit: number;
  /** Whether the event has seats with room for a wheelchair. */
  readonly hasAccessible: boolean;
  /** Sections to choose from; undefined: all. */
  readonly sections: readonly string[] | undefined;
  readonly busy: boolean;
  readonly closed: boolean;
  readonly onFind: (wish: Wish) => void;
}

export function BestAvailable({ event, limit, hasAccessible, sections, busy, closed, onFind }: BestAvailableProps) {
  const text = useText();
  const { currency, tiers } = event;
  const seated = event.sections.filter(
    ({ id, generalAdmission }) => !generalAdmission && (sections?.includes(id) ?? true),
  );
  const priced = tiers.filter(({ id }) => seated.some(({ tier }) => tier === id));
  // Whole units of money from the lowest price to the highest, whatever steps the tiers have.
  const step = minorPerUnit(currency);
  const lowest = Math.floor(Math.min(...priced.map(({ amount }) => amount)) / step) * step;
  const highest = Math.ceil(Math.max(...priced.map(({ amount }) => amount)) / step) * step;
  const [quantity, setQuantity] = useState(Math.min(2, limit));
  const [range, setRange] = useState<readonly [number, number]>();
  const [from, to] = range ?? [lowest, highest];
  const [section, setSection] = useState("");
  const [split, setSplit] = useState(false);
  const [accessible, setAccessible] = useState(0);
  const [companions, setCompanions] = useState(0);
  const say = (amount: number) => roundMoney(amount, currency, text.locale);
  const inRange = priced.filter(({ amount }) => amount >= from && amount <= to);
  const rooms = Math.min(accessible, quantity);
  const beside = Math.min(companions, quantity - rooms, rooms * mostCompanionsEach);
  if (seated.length === 0) return undefined;
  return (
    <section aria-labelledby="best" className="grid gap-3 rounded-xl border border-line bg-paper p-4">
      <h2 id="best" className="text-lg font-bold">
        {text("bestTitle")}
      </h2>
      <div className="grid grid-cols-2 gap-3">
        <Choice
          label={text("bestQuantity")}
          value={quantity}
          onChange={(change) => setQuantity(Number(change.target.value))}
        >
          {upTo(limit).map((count) => (
            <option key={count}>{count}</option>
          ))}
        </Choice>
        <Choice label={text("sectionLabel")} value={section} onChange={(change) => setSection(change.target.value)}>
          <option value="">{text("anySection")}</option>
          {seated.map(({ id, name }) => (
            <option key={id} value={id}>
              {name}
            </option>
          ))}
        </Choice>
      </div>
      {highest > lowest ? (
        <div>
          <Range
            label={text("priceRange")}
            fromLabel={text("priceFrom")}
            toLabel={text("priceTo")}
            min={lowest}
            max={highest}
            step={step}
            from={from}
            to={to}
            say={say}
            told={text("priceBetween", { from: say(from), to: say(to) })}
            onChange={(...next) => setRange(next)}
          />
          <p aria-live="polite" className={`text-sm ${inRange.length === 0 ? "text-accent" : "text-soft"}`}>
            {inRange.length === 0
              ? text("priceFitsNone")
              : text("priceFits", {
                  tiers: inRange
                    .map(({ name, amount }) => `${name} ${money(amount, currency, text.locale)}`)
                    .join(", "),
                })}
          </p>
        </div>
      ) : undefined}
      {hasAccessible ? (
        <div className="grid gap-1">
          <div className="grid grid-cols-2 gap-3">
            <Choice
              label={text("bestAccessible")}
              value={rooms}
              onChange={(change) => setAccessible(Number(change.target.value))}
            >
              {upTo(quantity, 0).map((count) => (
                <option key={count}>{count}</option>
              ))}
            </Choice>
            <Choice
              label={text("bestCompanions")}
              value={beside}
              disabled={rooms === 0}
              onChange={(change) => setCompanions(Number(change.target.value))}
            >
              {upTo(Math.min(quantity - rooms, rooms * mostCompanionsEach), 0).map((count) => (
                <option key={count}>{count}</option>
              ))}
            </Choice>
          </div>
          <p className="text-sm text-soft">{text("bestAccessibleHint")}</p>
        </div>
      ) : undefined}
      {quantity > 1 ? <Check label={text("bestSplit")} checked={split} onChange={setSplit} /> : undefined}
      <Button
        disabled={busy || closed || inRange.length === 0}
        onClick={() =>
          onFind({
            bestAvailable: {
              quantity,
              ...(from > lowest ? { minAmount: from } : {}),
              ...(to < highest ? { maxAmount: to } : {}),
              ...(section ? { sections: [section] } : {}),
              ...(rooms > 0 ? { accessible: rooms, companions: beside } : {}),
              ...(split && quantity > 1 ? { split } : {}),
            },
          })
        }
      >
        {busy ? text("holding") : text("bestFind")}
      </Button>
    </section>
  );
}

export interface PlacesProps {
  readonly event: EventWithSections;
  readonly limit: number;
  readonly withCode: OpenedCode | undefined;
  readonly busy: boolean;
  readonly closed: boolean;
  readonly onTake: (wish: Wish) => void;
}

/** A box for each section of general admission; with a code, for those that it opens. */
export function Places({ event, limit, withCode, busy, closed, onTake }: PlacesProps) {
  const text = useText();
  const [wanted, setWanted] = useState<Readonly<Record<string, number>>>({});
  const open = event.sections
    .filter(({ generalAdmission }) => generalAdmission)
    .map((section) => ({
      ...section,
      own: withCode?.channel.generalAdmission.find(({ section: id }) => id === section.id),
    }))
    .filter(({ own }) => withCode === undefined || own !== undefined);
  return open.map(({ id, name, tier: tierId, own }) => {
    const tier = event.tiers.find((one) => one.id === tierId);
    const quantity = wanted[id] ?? 1;
    return (
      <section key={id} aria-label={name} className="grid gap-3 rounded-xl border border-line bg-paper p-4">
        <h2 className="flex justify-between gap-4 text-lg font-bold">
          <span>{name}</span>
          {tier ? <span className="tabular-nums">{money(tier.amount, event.currency, text.locale)}</span> : undefined}
        </h2>
        {own ? <p className="text-sm text-soft">{text("codePlaces", { section: name, free: own.free })}</p> : undefined}
        <Choice
          label={text("placesLabel")}
          value={quantity}
          onChange={(change) => setWanted({ ...wanted, [id]: Number(change.target.value) })}
        >
          {upTo(limit).map((count) => (
            <option key={count}>{count}</option>
          ))}
        </Choice>
        <Button look="main" disabled={busy || closed} onClick={() => onTake({ section: id, quantity })}>
          {busy ? text("holding") : text("takePlaces")}
        </Button>
      </section>
    );
  });
}
