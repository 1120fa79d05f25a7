// Presale codes: typed on an event's page or beside its seats, kept in this tab's memory alone, and what they open.
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useSyncExternalStore } from "react";
import { ApiError, answered, api, type Event, type EventWithSections, type Schemas } from "../../api/client.js";
import { dateAndTime } from "../../format.js";
import { refusalText } from "../../refusal-text.js";
import { whenLeft } from "../../session.js";
import { type Text, useText } from "../../text.js";
import { Button } from "../../ui/button.js";
import { Countdown, useIsPast } from "../../ui/countdown.js";
import { Field } from "../../ui/field.js";
import { Problem } from "../../ui/notice.js";

export interface OpenedCode {
  /** Goes into request bodies only: never into an address, a store of the browser, or a log. */
  readonly code: string;
  readonly channel: Schemas["OpenedChannel"];
}

const opened = new Map<Event["eventId"], OpenedCode>();
const listeners = new Set<() => void>();
const tell = () => {
  for (const listener of listeners) listener();
};
whenLeft(() => {
  opened.clear();
  tell();
});

export function putCodeAway(eventId: Event["eventId"]): void {
  if (opened.delete(eventId)) tell();
}

/** Refusals: ACCESS_CODE_INVALID, RATE_LIMITED, EVENT_NOT_FOUND, INVENTORY_REBUILDING. */
async function openCode(eventId: Event["eventId"], code: string): Promise<void> {
  const channel = await answered(
    api.POST("/v1/events/{eventId}/access", { params: { path: { eventId } }, body: { code } }),
  );
  opened.set(eventId, { code, channel });
  tell();
}

export function useOpenedCode(eventId: Event["eventId"]): OpenedCode | undefined {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => opened.get(eventId),
  );
}

/** When what this buyer may buy is on sale: by their code, or for everybody. */
export function useSale(event: Event, withCode: OpenedCode | undefined) {
  const opensMs = Date.parse(withCode?.channel.opensAt ?? event.onSaleAt);
  const closesMs = Date.parse(withCode?.channel.closesAt ?? event.offSaleAt);
  const before = !useIsPast(opensMs);
  const isPast = useIsPast(closesMs);
  const over = isPast || withCode?.channel.status === "ended";
  if (event.status === "cancelled") return { opensMs, state: "cancelled" } as const;
  return { opensMs, state: over ? "over" : before ? "before" : "open" } as const;
}

export function CodeBox({ event }: { event: EventWithSections }) {
  const withCode = useOpenedCode(event.eventId);
  return withCode ? <Opened event={event} withCode={withCode} /> : <AskCode event={event} />;
}

function AskCode({ event }: { event: EventWithSections }) {
  const text = useText();
  const open = useMutation({ mutationFn: (code: string) => openCode(event.eventId, code) });
  const submit = (happened: FormEvent<HTMLFormElement>) => {
    happened.preventDefault();
    const code = String(new FormData(happened.currentTarget).get("code") ?? "").trim();
    if (code !== "") open.mutate(code);
  };
  const wrong = open.error instanceof ApiError && open.error.code === "ACCESS_CODE_INVALID" ? open.error : undefined;
  return (
    <details>
      <summary className="min-h-11 py-2.5 font-semibold">{text("codeHave")}</summary>
      <form onSubmit={submit} className="grid gap-3 pt-1">
        <Field
          label={text("codeTitle")}
          name="code"
          required
          maxLength={64}
          autoComplete="off"
          autoCapitalize="characters"
          spellCheck={false}
          hint={text("codeHint")}
          problem={wrong && refusalText(text, wrong)}
        />
        {open.isError && !wrong ? <Problem error={open.error} /> : undefined}
        <Button type="submit" disabled={open.isPending}>
          {open.isPending ? text("loading") : text("codeOpen")}
        </Button>
      </form>
    </details>
  );
}

/** "Up to 4 seats per person, 10 seats by this code in all" */
function limitsText(text: Text, event: Event, { seatsPerPerson, seatsPerCode }: OpenedCode["channel"]): string {
  const person = text("codeLimits", { person: seatsPerPerson ?? event.seatsPerPerson });
  return seatsPerCode === undefined ? `${person}.` : `${person}, ${text("codeLimitAll", { code: seatsPerCode })}.`;
}

function Opened({ event, withCode }: { event: EventWithSections; withCode: OpenedCode }) {
  const text = useText();
  const { channel } = withCode;
  const { opensMs, state } = useSale(event, withCode);
  const { free, held, sold } = channel.seats;
  const all = free.length + held.length + sold.length;
  const day = (iso: string) => dateAndTime(iso, event.venue.timeZone, text.locale);
  return (
    <section aria-labelledby="code" className="grid gap-2 rounded-lg border-l-4 border-good bg-wash p-3">
      <h2 id="code" className="font-bold">
        {text("codeActive", { name: channel.name })}
      </h2>
      {state === "before" ? (
        <p>
          {text("codeOpensIn")} <Countdown untilMs={opensMs} className="text-xl font-extrabold" />
        </p>
      ) : (
        <p className={`font-semibold ${state === "open" ? "text-good" : "text-accent"}`}>
          {text(state === "open" ? "codeIsOpen" : "codeIsOver")}
        </p>
      )}
      <p className="text-sm">{text("codeWindow", { from: day(channel.opensAt), to: day(channel.closesAt) })}</p>
      <p className="text-sm">{limitsText(text, event, channel)}</p>
      <ul className="text-sm">
        {all > 0 ? <li>{text("codeSeats", { free: free.length, all })}</li> : undefined}
        {channel.generalAdmission.map((places) => (
          <li key={places.section}>
            {text("codePlaces", {
              section: event.sections.find(({ id }) => id === places.section)?.name ?? places.section,
              free: places.free,
            })}
          </li>
        ))}
      </ul>
      <Button look="quiet" className="justify-self-start" onClick={() => putCodeAway(event.eventId)}>
        {text("codePutAway")}
      </Button>
    </section>
  );
}
