// Presale channels of an event: who has a code buys seats that were set aside, in a window of its own.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useCallback, useId, useState } from "react";
import { ApiError, answered, api, type Schemas } from "../../../api/client.js";
import { serverNow } from "../../../api/server-clock.js";
import { dateAndTime, wholeNumber } from "../../../format.js";
import { Button } from "../../../ui/button.js";
import { Field } from "../../../ui/field.js";
import { Notice, Problem, Skeleton } from "../../../ui/notice.js";
import { findSeat, nameSeat, type SeatPlan } from "../../seats/seat-plan.js";
import { refusedFields } from "../events/event-form.js";
import { wallTime } from "../events/zoned-time.js";
import { type Channel, channelsKey, type OwnEvent, useChannels, useOwnEvent } from "../organiser-api.js";
import { Confirm, EventNav, ForOrganisers } from "../organiser-frame.js";
import { capital, faultText, useOrganiserText } from "../organiser-text.js";
import { EventHead, useSeatsOf } from "../sale/dashboard-page.js";
import { SeatPicker } from "../seats/seat-picker.js";
import { type ChannelForm, channelIdFor, emptyChannel, newCodes, readChannel } from "./channel-form.js";

export function ChannelsPage({ eventId }: { eventId: string }) {
  return (
    <ForOrganisers>
      <Loaded eventId={eventId} />
    </ForOrganisers>
  );
}

function Loaded({ eventId }: { eventId: string }) {
  const event = useOwnEvent(eventId);
  if (event.isError) return <Problem error={event.error} retry={() => void event.refetch()} />;
  if (!event.data) return <Skeleton className="h-96" />;
  return (
    <div className="grid gap-6">
      <EventHead event={event.data} />
      <EventNav event={event.data} />
      <Channels event={event.data} />
    </div>
  );
}

type Editing = { readonly kind: "new" } | { readonly kind: "change"; readonly channel: Channel };

function Channels({ event }: { event: OwnEvent }) {
  const text = useOrganiserText();
  const channels = useChannels(event.eventId);
  const [editing, setEditing] = useState<Editing>();
  const [stored, setStored] = useState<Schemas["StoredChannel"]>();
  return (
    <>
      <p className="max-w-prose text-soft">{text("channelsText")}</p>
      {stored ? (
        <Notice
          tone={stored.notFree.length > 0 ? "warn" : "good"}
          title={text("channelStored", { name: stored.channel.name })}
          live
        >
          {stored.notFree.length > 0
            ? text("channelNotFree", { count: stored.notFree.length })
            : text("channelCodesKept")}
        </Notice>
      ) : undefined}
      {channels.isError ? (
        <Problem error={channels.error} retry={() => void channels.refetch()} />
      ) : !channels.data ? (
        <Skeleton className="h-24" />
      ) : channels.data.channels.length === 0 ? (
        editing ? undefined : (
          <p className="text-soft">{text("noChannels")}</p>
        )
      ) : (
        <ul className="grid gap-3">
          {channels.data.channels.map((channel) => (
            <li key={channel.channelId}>
              <ChannelCard
                event={event}
                channel={channel}
                onChange={() => {
                  setStored(undefined);
                  setEditing({ kind: "change", channel });
                }}
              />
            </li>
          ))}
        </ul>
      )}
      {editing ? (
        <ChannelEditor
          key={editing.kind === "new" ? "" : editing.channel.channelId}
          event={event}
          taken={channels.data?.channels.map(({ channelId }) => channelId) ?? []}
          channel={editing.kind === "new" ? undefined : editing.channel}
          onDone={(done) => {
            setStored(done);
            setEditing(undefined);
          }}
        />
      ) : event.status === "cancelled" ? undefined : (
        <Button
          look="main"
          className="justify-self-start"
          onClick={() => {
            setStored(undefined);
            setEditing({ kind: "new" });
          }}
        >
          {text("newChannel")}
        </Button>
      )}
    </>
  );
}

const statusKeys = { upcoming: "channelUpcoming", open: "channelOpen", ended: "channelEnded" } as const;

function ChannelCard({ event, channel, onChange }: { event: OwnEvent; channel: Channel; onChange: () => void }) {
  const text = useOrganiserText();
  const queries = useQueryClient();
  const [sure, setSure] = useState(false);
  const { eventId } = event;
  const { channelId, name, status, seats, generalAdmission, codes, seatsPerPerson, seatsPerCode } = channel;
  const remove = useMutation({
    mutationFn: () =>
      answered(
        api.DELETE("/v1/organiser/events/{eventId}/channels/{channelId}", { params: { path: { eventId, channelId } } }),
      ),
    onSettled: () => queries.invalidateQueries({ queryKey: channelsKey(eventId) }),
  });
  const places = generalAdmission.reduce((sum, { quantity }) => sum + quantity, 0);
  const at = (iso: string) => dateAndTime(iso, event.venue.timeZone, text.locale);
  return (
    <section aria-label={name} className="grid gap-2 rounded-xl border border-line bg-paper p-4">
      <div className="flex flex-wrap items-baseline justify-between gap-x-4">
        <h2 className="text-lg font-bold break-words">{name}</h2>
        <span
          className={`text-sm font-semibold ${status === "open" ? "text-good" : status === "ended" ? "text-soft" : "text-warn"}`}
        >
          {text(statusKeys[status])}
        </span>
      </div>
      <p className="text-sm text-soft">
        {text("channelWindow", { from: at(channel.opensAt), to: at(channel.closesAt) })}
      </p>
      <p className="text-sm">
        {[
          text("channelSeats", { count: seats.length + places }),
          text("channelCodes", { count: codes }),
          ...(seatsPerPerson === undefined ? [] : [text("channelPerPerson", { count: seatsPerPerson })]),
          ...(seatsPerCode === undefined ? [] : [text("channelPerCode", { count: seatsPerCode })]),
        ].join(" · ")}
      </p>
      {remove.isError ? <Problem error={remove.error} retry={() => remove.mutate()} /> : undefined}
      {sure ? (
        <Confirm
          question={text("deleteChannelSure", { name })}
          yes={text("deleteChannel")}
          busy={remove.isPending}
          onYes={() => remove.mutate()}
          onNo={() => setSure(false)}
        />
      ) : (
        <div className="flex flex-wrap gap-3">
          <Button onClick={onChange}>{text("changeChannel")}</Button>
          <Button look="quiet" onClick={() => setSure(true)}>
            {text("deleteChannel")}
          </Button>
        </div>
      )}
    </section>
  );
}

function formFrom(event: OwnEvent, channel: Channel | undefined): ChannelForm {
  const { timeZone } = event.venue;
  if (!channel) {
    const opens = Math.max(serverNow() + 3_600_000, Date.parse(event.onSaleAt) - 2 * 86_400_000);
    const wall = (ms: number) => wallTime(ms, timeZone);
    const end = Math.min(Math.max(Date.parse(event.onSaleAt), opens + 86_400_000), Date.parse(event.offSaleAt));
    return { ...emptyChannel, opensAt: wall(opens), closesAt: wall(end) };
  }
  return {
    ...emptyChannel,
    name: channel.name,
    opensAt: wallTime(Date.parse(channel.opensAt), timeZone),
    closesAt: wallTime(Date.parse(channel.closesAt), timeZone),
    seatsPerPerson: channel.seatsPerPerson === undefined ? "" : String(channel.seatsPerPerson),
    seatsPerCode: channel.seatsPerCode === undefined ? "" : String(channel.seatsPerCode),
    places: Object.fromEntries(channel.generalAdmission.map(({ section, quantity }) => [section, String(quantity)])),
  };
}

function ChannelEditor(props: {
  event: OwnEvent;
  channel: Channel | undefined;
  taken: readonly string[];
  onDone: (stored: Schemas["StoredChannel"] | undefined) => void;
}) {
  const { plan, live, layout } = useSeatsOf(props.event);
  if (layout.isError) return <Problem error={layout.error} retry={() => void layout.refetch()} />;
  if (!plan) return <Skeleton className="h-96" />;
  return <ChannelFields {...props} plan={plan} live={live} />;
}

function ChannelFields({
  event,
  channel,
  taken,
  plan,
  live,
  onDone,
}: {
  event: OwnEvent;
  channel: Channel | undefined;
  taken: readonly string[];
  plan: SeatPlan;
  live: ReturnType<typeof useSeatsOf>["live"];
  onDone: (stored: Schemas["StoredChannel"] | undefined) => void;
}) {
  const text = useOrganiserText();
  const queries = useQueryClient();
  const codesId = useId();
  const [form, setForm] = useState(() => formFrom(event, channel));
  const [picked, setPicked] = useState<ReadonlySet<number>>(
    () => new Set(channel?.seats.flatMap((seatId) => findSeat(plan, seatId) ?? [])),
  );
  const [tried, setTried] = useState(false);
  const set = (changes: Partial<ChannelForm>) => setForm((before) => ({ ...before, ...changes }));
  const seatIds = [...picked].map((seat) => nameSeat(plan, seat).seatId);
  const read = readChannel(form, seatIds, event.venue.timeZone);
  const channelId = channel?.channelId ?? channelIdFor(form.name, taken);
  const put = useMutation({
    mutationFn: (body: Schemas["NewChannel"]) =>
      answered(
        api.PUT("/v1/organiser/events/{eventId}/channels/{channelId}", {
          params: { path: { eventId: event.eventId, channelId } },
          body,
        }),
      ),
    onSuccess: async (stored) => {
      await queries.invalidateQueries({ queryKey: channelsKey(event.eventId) });
      onDone(stored);
    },
  });
  const refused = put.error instanceof ApiError ? refusedFields(put.error.details) : [];
  const faultAt = (at: string): string | undefined => {
    const told = refused.find((field) => field.at === at)?.text;
    const fault = tried ? read.faults.find((one) => one.at === at) : undefined;
    const said = fault ? faultText(text, fault.key, fault.values) : told;
    return said && capital(said);
  };
  const pick = useCallback(
    (seat: number) =>
      setPicked((before) => {
        const next = new Set(before);
        return next.delete(seat) ? next : next.add(seat);
      }),
    [],
  );
  const general = plan.sections.filter(({ generalAdmission }) => generalAdmission);
  const noSeats = faultAt("/seats");
  return (
    <form
      noValidate
      aria-label={channel?.name ?? text("newChannel")}
      className="grid gap-4 rounded-xl border border-line bg-paper p-4"
      onSubmit={(happened) => {
        happened.preventDefault();
        setTried(true);
        if (read.channel) put.mutate(read.channel);
      }}
    >
      <h2 className="text-lg font-bold">{channel?.name ?? text("newChannel")}</h2>
      <div className="grid items-start gap-3 sm:grid-cols-2">
        <Field
          className="sm:col-span-2"
          label={text("name")}
          value={form.name}
          maxLength={100}
          problem={faultAt("/name")}
          onChange={(change) => set({ name: change.target.value })}
        />
        <Field
          type="datetime-local"
          label={text("opensAtLabel")}
          hint={text("timesHint", { zone: event.venue.timeZone.replaceAll("_", " ") })}
          value={form.opensAt}
          problem={faultAt("/opensAt")}
          onChange={(change) => set({ opensAt: change.target.value })}
        />
        <Field
          type="datetime-local"
          label={text("closesAtLabel")}
          hint={text("closesAtHint")}
          value={form.closesAt}
          problem={faultAt("/closesAt")}
          onChange={(change) => set({ closesAt: change.target.value })}
        />
        <Field
          label={text("perPersonLabel")}
          inputMode="numeric"
          hint={text("perPersonHint", { limit: wholeNumber(event.seatsPerPerson, text.locale) })}
          value={form.seatsPerPerson}
          problem={faultAt("/seatsPerPerson")}
          onChange={(change) => set({ seatsPerPerson: change.target.value })}
        />
        <Field
          label={text("perCodeLabel")}
          inputMode="numeric"
          hint={text("perCodeHint")}
          value={form.seatsPerCode}
          problem={faultAt("/seatsPerCode")}
          onChange={(change) => set({ seatsPerCode: change.target.value })}
        />
      </div>
      <div>
        <label htmlFor={codesId} className="mb-1 block text-sm font-semibold">
          {text("codesLabel")}
        </label>
        <textarea
          id={codesId}
          rows={5}
          spellCheck={false}
          autoComplete="off"
          className="w-full rounded-lg border border-edge bg-paper px-3 py-2 font-mono text-sm text-ink"
          aria-invalid={faultAt("/codes") ? true : undefined}
          aria-describedby={`${codesId}-told`}
          value={form.codes}
          onChange={(change) => set({ codes: change.target.value })}
        />
        <p id={`${codesId}-told`} className={`mt-1 text-sm ${faultAt("/codes") ? "text-accent" : "text-soft"}`}>
          {faultAt("/codes") ?? text(channel ? "codesAgainHint" : "codesHint")}
        </p>
        <Button
          className="mt-2"
          onClick={() => set({ codes: [form.codes.trim(), ...newCodes(10)].filter(Boolean).join("\n") })}
        >
          {text("makeCodes")}
        </Button>
      </div>
      {general.map(({ id, name }) => (
        <Field
          key={id}
          className="sm:w-1/2"
          label={text("placesIn", { section: name })}
          inputMode="numeric"
          value={form.places[id] ?? ""}
          problem={faultAt(`/generalAdmission/${id}`)}
          onChange={(change) => set({ places: { ...form.places, [id]: change.target.value } })}
        />
      ))}
      <SeatPicker
        event={event}
        plan={plan}
        live={live}
        picked={picked}
        onPick={pick}
        onMany={(seats) => setPicked((before) => new Set([...before, ...seats]))}
        onClear={() => setPicked(new Set())}
      />
      {noSeats ? <Notice tone="bad" title={noSeats} live /> : undefined}
      {tried && read.faults.length > 0 ? (
        <Notice tone="bad" title={text("faultsLeft", { count: read.faults.length })} live />
      ) : undefined}
      {put.isError ? <Problem error={put.error} /> : undefined}
      <div className="flex flex-wrap gap-3">
        <Button type="submit" look="main" disabled={put.isPending}>
          {put.isPending ? text("working") : text("storeChannel")}
        </Button>
        <Button disabled={put.isPending} onClick={() => onDone(undefined)}>
          {text("confirmNo")}
        </Button>
      </div>
    </form>
  );
}
