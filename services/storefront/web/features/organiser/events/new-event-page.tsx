// Making an event, and editing its draft: what, where, when, for how much, in which hall. Saved as a draft, or published at once.
import { currencies } from "@onsale/kit/currencies";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useEffect, useId, useMemo, useRef, useState } from "react";
import { useLocation, useSearchParams } from "wouter";
import { ApiError, answered, api, newKey } from "../../../api/client.js";
import { serverNow } from "../../../api/server-clock.js";
import { dateAndTime } from "../../../format.js";
import { whenLeft } from "../../../session.js";
import { Button, ButtonLink } from "../../../ui/button.js";
import { Choice, Field } from "../../../ui/field.js";
import { Notice, Problem, Skeleton } from "../../../ui/notice.js";
import { Title } from "../../../ui/page.js";
import { type FaultAt, HallEditor } from "../hall/hall-editor.js";
import { formOf } from "../hall/layout-form.js";
import {
  type OwnEvent,
  ownEventKey,
  publishEvent,
  readOwnEvent,
  replaceDraft,
  useDraft,
  useOwnEvent,
} from "../organiser-api.js";
import { ForOrganisers } from "../organiser-frame.js";
import { capital, faultText, useOrganiserText } from "../organiser-text.js";
import {
  copyOf,
  differences,
  type EventForm,
  emptyEvent,
  emptyTier,
  formOfDraft,
  momentsOf,
  type NewEvent,
  type RefusedField,
  readEvent,
  readPrice,
  refusedFields,
  wallInDays,
  withTiers,
} from "./event-form.js";
import { momentOf } from "./zoned-time.js";

/** What was typed so far, for this tab: a reload or a wrong link loses nothing. Of a draft, with what was read of it. */
const keptKey = "onsale.new-event";
const keptDraftKey = "onsale.edited-draft";
const forget = (key: string): void => sessionStorage.removeItem(key);
whenLeft(() => [keptKey, keptDraftKey].forEach(forget));

interface KeptDraft {
  readonly draft: OwnEvent;
  readonly form: EventForm;
}

function kept<Value>(key: string): Value | undefined {
  try {
    const text = sessionStorage.getItem(key);
    return text ? (JSON.parse(text) as Value) : undefined;
  } catch {
    return undefined;
  }
}

function keptForm(): EventForm | undefined {
  const form = kept<EventForm>(keptKey);
  return form && { ...emptyEvent("UTC"), ...form };
}

function keepForm(form: EventForm, draft: OwnEvent | undefined): void {
  try {
    // What was only looked at is read anew the next time.
    if (draft && differences(form, formOfStored(draft)).length === 0) forget(keptDraftKey);
    else if (draft) sessionStorage.setItem(keptDraftKey, JSON.stringify({ draft, form } satisfies KeptDraft));
    else sessionStorage.setItem(keptKey, JSON.stringify(form));
  } catch {
    // No room, or not allowed here: then a reload loses what was typed, as on most pages.
  }
}

const hereZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

function firstForm(): EventForm {
  const zone = hereZone();
  const now = serverNow();
  return {
    ...emptyEvent(zone),
    startsAt: wallInDays(now, 60, "20:00", zone),
    onSaleAt: wallInDays(now, 7, "10:00", zone),
  };
}

export function NewEventPage() {
  return (
    <ForOrganisers>
      <FromWhere />
    </ForOrganisers>
  );
}

function FromWhere() {
  const text = useOrganiserText();
  const [params] = useSearchParams();
  const from = params.get("from") ?? "";
  const source = useOwnEvent(from, from !== "");
  const begin = useMemo(() => {
    if (from === "") return keptForm() ?? firstForm();
    return source.data ? copyOf(source.data, source.data.sections.map(formOf)) : undefined;
  }, [from, source.data]);
  if (source.isError) return <Problem error={source.error} retry={() => void source.refetch()} />;
  return (
    <div className="grid gap-6">
      <Title page={text("newEvent")}>{text("newEvent")}</Title>
      {begin ? <Editor key={from} begin={begin} /> : <Skeleton className="h-96" />}
    </div>
  );
}

export function EditDraftPage({ eventId }: { eventId: string }) {
  return (
    <ForOrganisers>
      <FromDraft eventId={eventId} />
    </ForOrganisers>
  );
}

const formOfStored = (draft: OwnEvent): EventForm => formOfDraft(draft, draft.sections.map(formOf));

function FromDraft({ eventId }: { eventId: string }) {
  const text = useOrganiserText();
  const stored = useDraft(eventId);
  const { data } = stored;
  const begin = useMemo((): KeptDraft | undefined => {
    const before = kept<KeptDraft>(keptDraftKey);
    if (before?.draft.eventId === eventId) return before;
    return data && { draft: data, form: formOfStored(data) };
  }, [eventId, data]);
  if (stored.isError) return <Problem error={stored.error} retry={() => void stored.refetch()} />;
  return (
    <div className="grid gap-6">
      <Title page={text("editDraft")}>{text("editDraft")}</Title>
      {!data || !begin ? (
        <Skeleton className="h-96" />
      ) : data.status === "draft" ? (
        <Editor begin={begin.form} beginDraft={begin.draft} />
      ) : (
        <NoDraft eventId={eventId} />
      )}
    </div>
  );
}

/** It was published, here or elsewhere. */
function NoDraft({ eventId }: { eventId: string }) {
  const text = useOrganiserText();
  return (
    <Notice tone="warn" title={text("noDraftTitle")} live>
      <p>{text("noDraftText")}</p>
      <div className="mt-3 flex flex-wrap gap-3">
        <ButtonLink to={`/organiser/events/${eventId}`}>{text("toEvent")}</ButtonLink>
        <ButtonLink to={`/organiser/events/new?from=${eventId}`}>{text("copyEvent")}</ButtonLink>
      </div>
    </Notice>
  );
}

interface Saved {
  readonly eventId: string;
  /** Why it could not be published after it had been saved. */
  readonly unpublished?: unknown;
}

function Editor({ begin, beginDraft }: { begin: EventForm; beginDraft?: OwnEvent }) {
  const text = useOrganiserText();
  const queries = useQueryClient();
  const [, go] = useLocation();
  const [form, setForm] = useState(begin);
  /** What was read of the draft that is edited; of a new event, nothing. */
  const [draft, setDraft] = useState(beginDraft);
  const [tried, setTried] = useState(false);
  const [refused, setRefused] = useState<readonly RefusedField[]>([]);
  const page = useRef<HTMLFormElement>(null);
  const known = useMemo(() => (draft ? momentsOf(draft) : {}), [draft]);
  const read = useMemo(() => readEvent(form, serverNow(), known), [form, known]);
  // Hundreds: drawn once, not with each key that is pressed.
  const zones = useMemo(
    () =>
      timeZones(form.timeZone).map((zone) => (
        <option key={zone} value={zone}>
          {zone.replaceAll("_", " ")}
        </option>
      )),
    [form.timeZone],
  );
  // The same content, the same key: sent twice, it is one event.
  const attempt = useRef<{ body: string; key: string }>(undefined);

  useEffect(() => {
    const timer = setTimeout(() => keepForm(form, draft), 300);
    return () => clearTimeout(timer);
  }, [form, draft]);

  const set = (changes: Partial<EventForm>) => {
    setRefused([]);
    setForm((before) => ({ ...before, ...changes }));
  };
  const faultAt: FaultAt = (at) => {
    const told = refused.find((field) => field.at === at)?.text;
    if (told) return capital(told);
    const fault = tried ? read.faults.find((one) => one.at === at) : undefined;
    return fault && capital(faultText(text, fault.key, fault.values));
  };
  const hasFaultIn = (prefix: string): boolean =>
    refused.some(({ at }) => at.startsWith(`${prefix}/`)) ||
    (tried && read.faults.some(({ at }) => at.startsWith(`${prefix}/`)));

  const save = useMutation({
    mutationFn: async ({ event, publish, over }: Save): Promise<Saved> => {
      const { eventId, tag } = over ? await replaceDraft(over.eventId, over.tag ?? "", event) : await create(event);
      if (!publish) return { eventId };
      try {
        await publishEvent(eventId, tag);
        return { eventId };
      } catch (unpublished) {
        return { eventId, unpublished };
      }
    },
    onSuccess: async ({ eventId, unpublished }) => {
      forget(draft ? keptDraftKey : keptKey);
      queries.removeQueries({ queryKey: ownEventKey(eventId) });
      queries.removeQueries({ queryKey: ["layout", eventId] });
      await queries.invalidateQueries({ queryKey: ["organiser", "events"] });
      if (unpublished === undefined) go(`/organiser/events/${eventId}`);
    },
    onError: (error) => setRefused(error instanceof ApiError ? refusedFields(error.details) : []),
  });
  const create = async (event: NewEvent): Promise<{ eventId: string; tag?: string }> => {
    const body = JSON.stringify(event);
    if (attempt.current?.body !== body) attempt.current = { body, key: newKey() };
    const { key } = attempt.current;
    return await answered(
      api.POST("/v1/organiser/events", { params: { header: { "Idempotency-Key": key } }, body: event }),
    );
  };
  const showFirst = () =>
    setTimeout(() => page.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus(), 50);
  const send = (publish: boolean, over = draft) => {
    setTried(true);
    const now = readEvent(form, serverNow(), known);
    if (now.event) save.mutate({ event: now.event, publish, over });
    else showFirst();
  };
  const beginAgain = (from: EventForm) => {
    setTried(false);
    setRefused([]);
    setForm(from);
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: once, when a refusal arrives
  useEffect(() => {
    if (refused.length > 0) showFirst();
  }, [refused]);

  const { data } = save;
  if (data?.unpublished !== undefined)
    return (
      <div className="grid gap-4">
        <Notice tone="warn" title={text("savedUnpublished")} live>
          <ButtonLink to={`/organiser/events/${data.eventId}`} className="mt-3">
            {text("toDraft")}
          </ButtonLink>
        </Notice>
        <Problem error={data.unpublished} />
      </div>
    );
  const faultCount = tried ? read.faults.length : 0;
  return (
    <form
      ref={page}
      noValidate
      className="grid gap-6"
      onSubmit={(happened: FormEvent) => {
        happened.preventDefault();
        send(false);
      }}
    >
      <Part title={text("partWhat")}>
        <Field
          label={text("eventName")}
          value={form.name}
          maxLength={200}
          problem={faultAt("/name")}
          onChange={(change) => set({ name: change.target.value })}
        />
        <LongField
          label={text("eventDescription")}
          value={form.description}
          problem={faultAt("/description")}
          onChange={(description) => set({ description })}
        />
      </Part>
      <Part title={text("eventWhere")}>
        <div className="grid items-start gap-3 sm:grid-cols-2 lg:grid-cols-4">
          <Field
            label={text("venueName")}
            value={form.venueName}
            maxLength={200}
            problem={faultAt("/venue/name")}
            onChange={(change) => set({ venueName: change.target.value })}
          />
          <Field
            label={text("cityLabel")}
            value={form.city}
            maxLength={100}
            problem={faultAt("/venue/city")}
            onChange={(change) => set({ city: change.target.value })}
          />
          <Field
            label={text("countryLabel")}
            value={form.country}
            maxLength={2}
            autoCapitalize="characters"
            hint={countryName(form.country, text.locale) ?? text("countryHint")}
            problem={faultAt("/venue/country")}
            onChange={(change) => set({ country: change.target.value.toUpperCase() })}
          />
          <div>
            <Choice
              label={text("timeZoneLabel")}
              value={form.timeZone}
              onChange={(change) => set({ timeZone: change.target.value })}
            >
              {zones}
            </Choice>
            <Told fault={faultAt("/venue/timeZone")} />
          </div>
        </div>
      </Part>
      <Part title={text("eventWhen")} hint={text("timesHint", { zone: form.timeZone.replaceAll("_", " ") })}>
        <div className="grid items-start gap-3 sm:grid-cols-2 lg:grid-cols-3">
          {times.map(({ field, label, hint }) => (
            <Field
              key={field}
              type="datetime-local"
              label={text(label)}
              value={form[field]}
              hint={inWords(form[field], form.timeZone, text.locale) ?? (hint ? text(hint) : undefined)}
              problem={faultAt(`/${field}`)}
              onChange={(change) => set({ [field]: change.target.value })}
            />
          ))}
        </div>
      </Part>
      <Tiers form={form} faultAt={faultAt} set={set} />
      <Part title={text("partHall")} hint={text("hallHint")}>
        <HallEditor
          sections={form.sections}
          layout={read.layout}
          tiers={form.tiers.map(({ id, name, price }) => ({
            id,
            name: name || id,
            amount: readPrice(price, form.currency) ?? 0,
          }))}
          currency={form.currency}
          faultAt={faultAt}
          hasFaultIn={hasFaultIn}
          onSections={(sections) => set({ sections })}
          onHall={(sections, wanted) => set({ sections, tiers: withTiers(form.tiers, wanted) })}
        />
      </Part>
      <Part title={text("partRules")}>
        <div className="grid items-start gap-3 sm:grid-cols-2">
          <Field
            label={text("limitLabel")}
            inputMode="numeric"
            value={form.seatsPerPerson}
            problem={faultAt("/seatsPerPerson")}
            onChange={(change) => set({ seatsPerPerson: change.target.value })}
          />
          <Choice
            label={text("orphanLabel")}
            value={form.orphanRule}
            onChange={(change) => set({ orphanRule: change.target.value as EventForm["orphanRule"] })}
          >
            <option value="strict">{text("orphanStrict")}</option>
            <option value="lenient">{text("orphanLenient")}</option>
            <option value="off">{text("orphanOff")}</option>
          </Choice>
        </div>
      </Part>
      {faultCount > 0 ? (
        <Notice tone="bad" title={text("faultsLeft", { count: faultCount })} live>
          <Button className="mt-2" onClick={showFirst}>
            {text("showFirstFault")}
          </Button>
        </Notice>
      ) : undefined}
      {!save.isError ? undefined : draft && refusedWith(save.error, "EVENT_NOT_DRAFT") ? (
        <NoDraft eventId={draft.eventId} />
      ) : draft && refusedWith(save.error, "DRAFT_CHANGED") ? (
        <Overtaken
          eventId={draft.eventId}
          mine={form}
          onTheirs={(theirs) => {
            save.reset();
            setDraft(theirs);
            beginAgain(formOfStored(theirs));
          }}
          onMine={(theirs) => {
            setDraft(theirs);
            send(save.variables.publish, theirs);
          }}
        />
      ) : (
        <Problem error={save.error} />
      )}
      <div className="flex flex-wrap gap-3 rounded-xl border border-line bg-paper p-4">
        <Button type="submit" disabled={save.isPending}>
          {save.isPending ? text("working") : text(draft ? "saveChanges" : "saveDraft")}
        </Button>
        <Button look="main" disabled={save.isPending} onClick={() => send(true)}>
          {text("saveAndPublish")}
        </Button>
        <Button
          look="quiet"
          disabled={save.isPending}
          onClick={() => beginAgain(draft ? formOfStored(draft) : firstForm())}
        >
          {text(draft ? "undoChanges" : "startOver")}
        </Button>
        <p className="w-full text-sm text-soft">{text("saveHint")}</p>
      </div>
    </form>
  );
}

interface Save {
  readonly event: NewEvent;
  readonly publish: boolean;
  /** The draft that it takes the place of, as it was read. */
  readonly over: OwnEvent | undefined;
}

const refusedWith = (error: unknown, code: string): boolean => error instanceof ApiError && error.code === code;

/** Somebody else has saved the draft: whose shall it be? */
function Overtaken({
  eventId,
  mine,
  onTheirs,
  onMine,
}: {
  eventId: string;
  mine: EventForm;
  onTheirs: (theirs: OwnEvent) => void;
  onMine: (theirs: OwnEvent) => void;
}) {
  const text = useOrganiserText();
  const theirs = useQuery({
    queryKey: ["organiser", "overtaken", eventId],
    queryFn: ({ signal }) => readOwnEvent(eventId, signal),
    staleTime: 0,
    gcTime: 0,
  });
  const { data } = theirs;
  const parts = useMemo(() => (data ? differences(mine, formOfStored(data)) : []), [mine, data]);
  if (theirs.isError) return <Problem error={theirs.error} retry={() => void theirs.refetch()} />;
  if (!data) return <Skeleton className="h-32" />;
  if (data.status !== "draft") return <NoDraft eventId={eventId} />;
  return (
    <Notice tone="bad" title={text("overtakenTitle")} live>
      <p>{text("overtakenText")}</p>
      {parts.length > 0 ? (
        <p>{text("overtakenParts", { parts: parts.map((part) => text(part)).join(", ") })}</p>
      ) : undefined}
      <div className="mt-3 flex flex-wrap gap-3">
        <Button onClick={() => onTheirs(data)}>{text("takeTheirs")}</Button>
        <Button onClick={() => onMine(data)}>{text("saveMine")}</Button>
      </div>
    </Notice>
  );
}

const times = [
  { field: "startsAt", label: "startsAtLabel", hint: undefined },
  { field: "onSaleAt", label: "onSaleAtLabel", hint: undefined },
  { field: "offSaleAt", label: "offSaleAtLabel", hint: "offSaleAtHint" },
  { field: "refundableUntil", label: "refundableUntilLabel", hint: "refundableUntilHint" },
  { field: "accessibleUntil", label: "accessibleUntilLabel", hint: "accessibleUntilHint" },
] as const;

function inWords(wall: string, timeZone: string, locale: string): string | undefined {
  try {
    const ms = wall === "" ? undefined : momentOf(wall, timeZone);
    return ms === undefined ? undefined : dateAndTime(new Date(ms).toISOString(), timeZone, locale);
  } catch {
    return undefined;
  }
}

function countryName(code: string, locale: string): string | undefined {
  if (!/^[A-Z]{2}$/.test(code)) return undefined;
  return new Intl.DisplayNames(locale, { type: "region", fallback: "none" }).of(code);
}

let knownZones: readonly string[] | undefined;
function timeZones(chosen: string): readonly string[] {
  knownZones ??= [...new Set(["UTC", ...Intl.supportedValuesOf("timeZone")])];
  return knownZones.includes(chosen) ? knownZones : [chosen, ...knownZones];
}

/** Those that are used most come first. */
const offered = [...new Set(["EUR", "USD", "GBP", "CHF", "JPY", ...currencies.keys()])];

function Part({ title, hint, children }: { title: string; hint?: string; children: ReactNode }) {
  const id = useId();
  return (
    <section aria-labelledby={id} className="grid gap-3 rounded-xl border border-line bg-paper p-4">
      <h2 id={id} className="text-lg font-bold">
        {title}
      </h2>
      {hint ? <p className="text-sm text-soft">{hint}</p> : undefined}
      {children}
    </section>
  );
}

function Told({ fault }: { fault: string | undefined }) {
  return fault ? <p className="mt-1 text-sm text-accent">{fault}</p> : undefined;
}

function LongField({
  label,
  value,
  problem,
  onChange,
}: {
  label: string;
  value: string;
  problem: string | undefined;
  onChange: (value: string) => void;
}) {
  const id = useId();
  return (
    <div>
      <label htmlFor={id} className="mb-1 block text-sm font-semibold">
        {label}
      </label>
      <textarea
        id={id}
        rows={3}
        maxLength={5_000}
        className="w-full rounded-lg border border-edge bg-paper px-3 py-2 text-ink"
        aria-invalid={problem ? true : undefined}
        value={value}
        onChange={(change) => onChange(change.target.value)}
      />
      <Told fault={problem} />
    </div>
  );
}

function Tiers({
  form,
  faultAt,
  set,
}: {
  form: EventForm;
  faultAt: FaultAt;
  set: (changes: Partial<EventForm>) => void;
}) {
  const text = useOrganiserText();
  const { tiers, currency } = form;
  const options = useMemo(() => {
    const names = new Intl.DisplayNames(text.locale, { type: "currency" });
    return offered.map((code) => (
      <option key={code} value={code}>
        {code} – {names.of(code)}
      </option>
    ));
  }, [text.locale]);
  const change = (at: number, changes: Partial<EventForm["tiers"][number]>) =>
    set({ tiers: tiers.map((tier, i) => (i === at ? { ...tier, ...changes } : tier)) });
  /** Sections follow when their tier gets another short name. */
  const rename = (at: number, id: string) => {
    const before = tiers[at]?.id;
    set({
      tiers: tiers.map((tier, i) => (i === at ? { ...tier, id } : tier)),
      sections: form.sections.map((section) => (section.tier === before ? { ...section, tier: id } : section)),
    });
  };
  return (
    <Part title={text("eventPrices")} hint={text("allInHint")}>
      <div className="w-full sm:w-1/2">
        <Choice
          label={text("currencyLabel")}
          value={currency}
          onChange={(typed) => set({ currency: typed.target.value })}
        >
          {options}
        </Choice>
        <Told fault={faultAt("/currency")} />
      </div>
      <Told fault={faultAt("/tiers")} />
      <ol className="grid gap-3">
        {tiers.map((tier, at) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a tier has no other name that stays while it is typed
          <li key={at}>
            <fieldset className="grid grid-cols-2 items-start gap-3 border-b border-line pb-3 sm:grid-cols-[2fr_1fr_1fr_auto]">
              <legend className="sr-only">{tier.name || text("tierNumber", { number: at + 1 })}</legend>
              <Field
                className="col-span-2 sm:col-span-1"
                label={text("tierName")}
                value={tier.name}
                maxLength={100}
                problem={faultAt(`/tiers/${at}/name`)}
                onChange={(typed) => change(at, { name: typed.target.value })}
              />
              <Field
                label={text("priceIn", { currency })}
                inputMode="decimal"
                value={tier.price}
                problem={faultAt(`/tiers/${at}/amount`)}
                onChange={(typed) => change(at, { price: typed.target.value })}
              />
              <Field
                label={text("shortName")}
                value={tier.id}
                maxLength={32}
                problem={faultAt(`/tiers/${at}/id`)}
                onChange={(typed) => rename(at, typed.target.value.trim())}
              />
              {tiers.length > 1 ? (
                <Button
                  look="quiet"
                  className="col-span-2 justify-self-start sm:col-span-1 sm:mt-6"
                  aria-label={text("removeTier", { tier: tier.name || tier.id })}
                  onClick={() => set({ tiers: tiers.filter((_, i) => i !== at) })}
                >
                  {text("unpickSeat")}
                </Button>
              ) : undefined}
            </fieldset>
          </li>
        ))}
      </ol>
      <Button
        className="justify-self-start"
        onClick={() => set({ tiers: [...tiers, { ...emptyTier, id: `tier-${tiers.length + 1}` }] })}
      >
        {text("addTier")}
      </Button>
    </Part>
  );
}
