// The hall of a new event: from a template, from a file, or section by section; with the map of it.
import { useState } from "react";
import { wholeNumber } from "../../../format.js";
import { Button } from "../../../ui/button.js";
import { Choice, Field } from "../../../ui/field.js";
import { Notice } from "../../../ui/notice.js";
import { Confirm } from "../organiser-frame.js";
import { type OrganiserText, useOrganiserText } from "../organiser-text.js";
import { HallImport } from "./hall-import.js";
import { HallPreview, type ShownTier } from "./hall-preview.js";
import {
  addRows,
  emptySection,
  mostSeats,
  type ReadLayout,
  type RowForm,
  readWhole,
  rowLabel,
  type SectionForm,
} from "./layout-form.js";
import { type TemplateName, type TemplateNames, templateNames, venueTemplate } from "./venue-templates.js";

/** What is wrong at a place of the event; undefined: nothing, or nothing that should be said yet. */
export type FaultAt = (at: string) => string | undefined;

export interface HallEditorProps {
  readonly sections: readonly SectionForm[];
  readonly layout: ReadLayout;
  readonly tiers: readonly ShownTier[];
  readonly currency: string;
  readonly faultAt: FaultAt;
  readonly hasFaultIn: (prefix: string) => boolean;
  readonly onSections: (sections: readonly SectionForm[]) => void;
  /** A whole hall, with the price tiers that it needs. */
  readonly onHall: (
    sections: readonly SectionForm[],
    tiers: readonly { readonly id: string; readonly name: string }[],
  ) => void;
}

const templateKeys = {
  theatre: "templateTheatre",
  hall: "templateHall",
  arena: "templateArena",
  club: "templateClub",
} as const;

const namesIn = (text: OrganiserText): TemplateNames => ({
  stalls: text("nameStalls"),
  circle: text("nameCircle"),
  block: text("nameBlock"),
  upper: text("nameUpper"),
  floor: text("nameFloor"),
  standing: text("nameStanding"),
  hall: text("nameHall"),
  box: text("nameBox"),
  front: text("nameFront"),
  standard: text("nameStandard"),
});

export function HallEditor(props: HallEditorProps) {
  const { sections, layout, tiers, currency, faultAt, hasFaultIn, onSections, onHall } = props;
  const text = useOrganiserText();
  const [way, setWay] = useState<"template" | "file">("template");
  const [waiting, setWaiting] = useState<() => void>();
  // What would replace a hall that is there asks first.
  const replace = (act: () => void) => (sections.length === 0 ? act() : setWaiting(() => act));
  const change = (at: number, section: SectionForm) => onSections(sections.map((one, i) => (i === at ? section : one)));
  const fromTemplate = (name: TemplateName) =>
    replace(() => {
      const made = venueTemplate(name, namesIn(text));
      onHall(made.sections, made.tiers);
    });
  return (
    <div className="grid gap-4">
      <div className="flex flex-wrap gap-2">
        {(["template", "file"] as const).map((name) => (
          <Button
            key={name}
            aria-pressed={way === name}
            look={way === name ? "main" : "plain"}
            onClick={() => setWay(name)}
          >
            {text(name === "template" ? "hallFromTemplate" : "hallFromFile")}
          </Button>
        ))}
        <Button
          onClick={() => onSections([...sections, { ...emptySection, id: nextId(sections), tier: tiers[0]?.id ?? "" }])}
        >
          {text("addSection")}
        </Button>
      </div>
      {way === "template" ? (
        <ul className="grid gap-2 sm:grid-cols-2">
          {templateNames.map((name) => (
            <li key={name} className="grid">
              <Button className="justify-start text-left" onClick={() => fromTemplate(name)}>
                {text(templateKeys[name])}
              </Button>
            </li>
          ))}
        </ul>
      ) : (
        <HallImport
          onRead={(read) =>
            replace(() =>
              onHall(
                read.sections,
                read.tiers.map((id) => ({ id, name: "" })),
              ),
            )
          }
        />
      )}
      {waiting ? (
        <Confirm
          question={text("replaceHall")}
          yes={text("replaceHallYes")}
          busy={false}
          onYes={() => {
            waiting();
            setWaiting(undefined);
          }}
          onNo={() => setWaiting(undefined)}
        />
      ) : undefined}
      {faultAt("/sections") ? <Notice tone="bad" title={faultAt("/sections") ?? ""} live /> : undefined}
      {sections.length > 0 ? (
        <>
          <p role="status" className="font-semibold">
            {text("hallSum", {
              count: layout.seats,
              sections: wholeNumber(sections.length, text.locale),
            })}
          </p>
          <ol className="grid gap-2">
            {sections.map((section, at) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: a section has no other name that stays while it is typed
              <li key={at}>
                <SectionEditor
                  section={section}
                  at={at}
                  tiers={tiers}
                  faultAt={faultAt}
                  hasFault={hasFaultIn(`/sections/${at}`)}
                  onChange={(next) => change(at, next)}
                  onRemove={() => onSections(sections.filter((_, i) => i !== at))}
                />
              </li>
            ))}
          </ol>
          {layout.seats > mostSeats ? undefined : (
            <section aria-labelledby="preview" className="grid gap-3">
              <h3 id="preview" className="text-lg font-bold">
                {text("previewTitle")}
              </h3>
              <HallPreview layout={layout} sections={sections} tiers={tiers} currency={currency} onPaint={change} />
            </section>
          )}
        </>
      ) : undefined}
    </div>
  );
}

/** The first letter that is free. */
function nextId(sections: readonly SectionForm[]): string {
  const ids = new Set(sections.map(({ id }) => id));
  for (let index = 0; ; index++) if (!ids.has(rowLabel(index))) return rowLabel(index);
}

function SectionEditor({
  section,
  at,
  tiers,
  faultAt,
  hasFault,
  onChange,
  onRemove,
}: {
  section: SectionForm;
  at: number;
  tiers: readonly ShownTier[];
  faultAt: FaultAt;
  hasFault: boolean;
  onChange: (section: SectionForm) => void;
  onRemove: () => void;
}) {
  const text = useOrganiserText();
  const [opened, setOpened] = useState(section.name === "");
  const open = opened || hasFault;
  const where = `/sections/${at}`;
  const set = (changes: Partial<SectionForm>) => onChange({ ...section, ...changes });
  const title = [section.id, section.name].filter(Boolean).join(" · ") || text("sectionLabel");
  const size =
    section.kind === "places"
      ? text("placesOf", { count: Number(section.capacity) || 0 })
      : text("rowsOf", { count: section.rows.length });
  return (
    <section aria-label={title} className="rounded-xl border border-line bg-paper">
      <button
        type="button"
        aria-expanded={open}
        className="flex min-h-11 w-full items-center justify-between gap-3 px-4 py-2 text-left font-semibold"
        onClick={() => setOpened(!open)}
      >
        <span className="min-w-0 break-words">{title}</span>
        <span className="flex shrink-0 items-center gap-2 text-sm font-normal text-soft">
          {size} <span aria-hidden>{open ? "▾" : "▸"}</span>
        </span>
      </button>
      {open ? (
        <div className="grid gap-3 border-t border-line p-4">
          <div className="grid grid-cols-2 items-start gap-3 sm:grid-cols-4">
            <Field
              label={text("sectionId")}
              value={section.id}
              maxLength={12}
              autoCapitalize="characters"
              problem={faultAt(`${where}/id`)}
              onChange={(change) => set({ id: change.target.value.toUpperCase() })}
            />
            <Field
              label={text("name")}
              value={section.name}
              maxLength={100}
              problem={faultAt(`${where}/name`)}
              onChange={(change) => set({ name: change.target.value })}
            />
            <div>
              <Choice
                label={text("tierLabel")}
                value={section.tier}
                onChange={(change) => set({ tier: change.target.value })}
              >
                {tiers.some(({ id }) => id === section.tier) ? undefined : (
                  <option value={section.tier}>{section.tier || "–"}</option>
                )}
                {tiers.map(({ id, name }) => (
                  <option key={id} value={id}>
                    {name || id}
                  </option>
                ))}
              </Choice>
              <Told fault={faultAt(`${where}/tier`)} />
            </div>
            <Choice
              label={text("kindLabel")}
              value={section.kind}
              onChange={(change) => set({ kind: change.target.value === "places" ? "places" : "rows" })}
            >
              <option value="rows">{text("kindRows")}</option>
              <option value="places">{text("kindPlaces")}</option>
            </Choice>
          </div>
          {section.kind === "places" ? (
            <Field
              className="sm:w-1/4"
              label={text("capacityLabel")}
              inputMode="numeric"
              value={section.capacity}
              problem={faultAt(`${where}/capacity`)}
              onChange={(change) => set({ capacity: change.target.value })}
            />
          ) : (
            <Rows section={section} where={where} faultAt={faultAt} onChange={onChange} />
          )}
          <Button look="quiet" className="justify-self-start" onClick={onRemove}>
            {text("removeSection")}
          </Button>
        </div>
      ) : undefined}
    </section>
  );
}

function Told({ fault }: { fault: string | undefined }) {
  return fault ? <p className="mt-1 text-sm text-accent">{fault}</p> : undefined;
}

const rowsAtOnce = 100;

function Rows({
  section,
  where,
  faultAt,
  onChange,
}: {
  section: SectionForm;
  where: string;
  faultAt: FaultAt;
  onChange: (section: SectionForm) => void;
}) {
  const text = useOrganiserText();
  const [count, setCount] = useState("1");
  const [seats, setSeats] = useState("20");
  const [shown, setShown] = useState(rowsAtOnce);
  const wanted = readWhole(count, 1, 1_000 - section.rows.length);
  const change = (rank: number, row: RowForm) =>
    onChange({ ...section, rows: section.rows.map((one, i) => (i === rank ? row : one)) });
  return (
    <>
      <Told fault={faultAt(`${where}/rows`)} />
      {section.rows.length > 0 ? (
        <div className="grid gap-1">
          <div aria-hidden className="grid grid-cols-[4rem_1fr_1fr_auto] gap-2 text-sm font-semibold">
            <span>{text("rowLabel")}</span>
            <span>{text("seatsLabel")}</span>
            <span>{text("firstLabel")}</span>
            <span className="w-11" />
          </div>
          {section.rows.slice(0, shown).map((row, rank) => (
            <RowEditor
              // biome-ignore lint/suspicious/noArrayIndexKey: a row has no other name that stays while it is typed
              key={rank}
              row={row}
              where={`${where}/rows/${rank}`}
              faultAt={faultAt}
              onChange={(next) => change(rank, next)}
              onRemove={() => onChange({ ...section, rows: section.rows.filter((_, i) => i !== rank) })}
            />
          ))}
          {section.rows.length > shown ? (
            <Button className="justify-self-start" onClick={() => setShown(shown + rowsAtOnce)}>
              {text("more")}
            </Button>
          ) : undefined}
        </div>
      ) : undefined}
      <div className="flex flex-wrap items-end gap-3">
        <Field
          className="w-24"
          label={text("rowsToAdd")}
          inputMode="numeric"
          value={count}
          onChange={(typed) => setCount(typed.target.value)}
        />
        <Field
          className="w-32"
          label={text("seatsEach")}
          inputMode="numeric"
          value={seats}
          onChange={(typed) => setSeats(typed.target.value)}
        />
        <Button
          disabled={wanted === undefined}
          onClick={() => wanted !== undefined && onChange(addRows(section, wanted, seats))}
        >
          {text("addRows")}
        </Button>
      </div>
      <div className="grid grid-cols-2 items-start gap-3 sm:w-1/2">
        <div>
          <Choice
            label={text("focalRow")}
            value={section.focalRow}
            onChange={(typed) =>
              onChange({
                ...section,
                focalRow: typed.target.value,
                focalSeat: typed.target.value === "" ? "" : section.focalSeat,
              })
            }
          >
            <option value="">{text("focalMiddle")}</option>
            {section.rows.map(({ label }) => (
              <option key={label}>{label}</option>
            ))}
          </Choice>
          <Told fault={faultAt(`${where}/focalPoint/row`)} />
        </div>
        <Field
          label={text("focalSeat")}
          inputMode="numeric"
          disabled={section.focalRow === ""}
          value={section.focalSeat}
          problem={faultAt(`${where}/focalPoint/seat`)}
          onChange={(typed) => onChange({ ...section, focalSeat: typed.target.value })}
        />
      </div>
    </>
  );
}

const lists = ["gaps", "accessible", "companion", "blocked"] as const;
const listKeys = {
  gaps: "gapsLabel",
  accessible: "accessibleLabel",
  companion: "companionLabel",
  blocked: "blockedLabel",
} as const;

const cell = "min-h-11 w-full rounded-lg border border-edge bg-paper px-2 text-ink";

function RowEditor({
  row,
  where,
  faultAt,
  onChange,
  onRemove,
}: {
  row: RowForm;
  where: string;
  faultAt: FaultAt;
  onChange: (row: RowForm) => void;
  onRemove: () => void;
}) {
  const text = useOrganiserText();
  const [opened, setOpened] = useState(false);
  const open = opened || lists.some((name) => faultAt(`${where}/${name}`) !== undefined);
  const name = text("listRow", { row: row.label });
  const plain = [
    { field: "label", label: text("rowLabel") },
    { field: "seats", label: text("seatsLabel") },
    { field: "first", label: text("firstLabel") },
  ] as const;
  const faults = plain.flatMap(({ field, label }) => {
    const fault = faultAt(`${where}/${field}`);
    return fault ? [`${label}: ${fault}`] : [];
  });
  const special = lists.filter((list) => row[list] !== "");
  return (
    <fieldset className="border-b border-line pb-1">
      <legend className="sr-only">{name}</legend>
      <div className="grid grid-cols-[4rem_1fr_1fr_auto] gap-2">
        {plain.map(({ field, label }) => (
          <input
            key={field}
            className={cell}
            aria-label={`${name}: ${label}`}
            aria-invalid={faultAt(`${where}/${field}`) ? true : undefined}
            inputMode={field === "label" ? "text" : "numeric"}
            placeholder={field === "first" ? "1" : undefined}
            maxLength={4}
            value={row[field]}
            onChange={(change) =>
              onChange({
                ...row,
                [field]: field === "label" ? change.target.value.toUpperCase() : change.target.value,
              })
            }
          />
        ))}
        <Button
          className="w-11 px-0"
          aria-expanded={open}
          aria-label={text("moreOfRow", { row: row.label })}
          onClick={() => setOpened(!open)}
        >
          <span aria-hidden>{open ? "▾" : "…"}</span>
        </Button>
      </div>
      {faults.length > 0 ? <Told fault={faults.join(" ")} /> : undefined}
      {special.length > 0 && !open ? (
        <p className="text-sm text-soft">
          {special.map((list) => `${text(listKeys[list])}: ${row[list]}`).join(" · ")}
        </p>
      ) : undefined}
      {open ? (
        <div className="my-2 grid grid-cols-2 items-start gap-3 rounded-lg bg-wash p-3 sm:grid-cols-4">
          {lists.map((list) => (
            <Field
              key={list}
              label={text(listKeys[list])}
              placeholder="1 2 5-8"
              value={row[list]}
              problem={faultAt(`${where}/${list}`)}
              onChange={(change) => onChange({ ...row, [list]: change.target.value })}
            />
          ))}
          <Button look="quiet" className="col-span-2 justify-self-start" onClick={onRemove}>
            {text("removeRow", { row: row.label })}
          </Button>
        </div>
      ) : undefined}
    </fieldset>
  );
}
