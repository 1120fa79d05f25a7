// The organiser's events, searched and filtered; what is chosen is in the address.
import { Link, useSearchParams } from "wouter";
import { dateAndTime, wholeNumber } from "../../format.js";
import { Button, ButtonLink } from "../../ui/button.js";
import { Choice, Field } from "../../ui/field.js";
import { Empty, Problem, Skeleton } from "../../ui/notice.js";
import { Title } from "../../ui/page.js";
import { eventStatuses, useOwnEvents } from "./organiser-api.js";
import { ForOrganisers, OrganiserNav, StatusMark } from "./organiser-frame.js";
import { useOrganiserText } from "./organiser-text.js";

export function OrganiserPage() {
  return (
    <ForOrganisers>
      <Events />
    </ForOrganisers>
  );
}

const statusKeys = { draft: "statusDraft", published: "statusPublished", cancelled: "statusOff" } as const;

/** What is chosen, in the address; a change replaces it, so that Back leaves the page. */
export function useChosen() {
  const [params, setParams] = useSearchParams();
  return {
    chosen: (name: string): string => params.get(name) ?? "",
    choose: (name: string, value: string) =>
      setParams(
        (before) => {
          const next = new URLSearchParams(before);
          if (value === "") next.delete(name);
          else next.set(name, value);
          return next;
        },
        { replace: true },
      ),
    clear: () => setParams({}, { replace: true }),
    any: [...params.keys()].length > 0,
  };
}

function Events() {
  const text = useOrganiserText();
  const { chosen, choose, clear, any } = useChosen();
  const [q, status] = [chosen("q"), chosen("status")];
  const list = useOwnEvents(q, status);
  const found = list.data?.pages.flatMap(({ events }) => events);
  return (
    <div className="grid gap-6">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <Title page={text("organiserTitle")}>{text("organiserTitle")}</Title>
        <ButtonLink look="main" to="/organiser/events/new">
          {text("newEvent")}
        </ButtonLink>
      </div>
      <OrganiserNav />
      <search className="grid gap-3 rounded-xl border border-line bg-paper p-4 sm:grid-cols-[2fr_1fr_auto]">
        <Field
          label={text("eventSearchLabel")}
          type="search"
          value={q}
          onChange={(change) => choose("q", change.target.value)}
        />
        <Choice label={text("statusLabel")} value={status} onChange={(change) => choose("status", change.target.value)}>
          <option value="">{text("anyStatus")}</option>
          {eventStatuses.map((name) => (
            <option key={name} value={name}>
              {text(statusKeys[name])}
            </option>
          ))}
        </Choice>
        {any ? (
          <Button look="quiet" className="self-end justify-self-start" onClick={clear}>
            {text("clearFilters")}
          </Button>
        ) : undefined}
      </search>
      {list.isError ? (
        <Problem error={list.error} retry={() => void list.refetch()} />
      ) : !found ? (
        <div className="grid gap-3" role="status" aria-label={text("loading")}>
          {[1, 2, 3].map((key) => (
            <Skeleton key={key} className="h-24" />
          ))}
        </div>
      ) : found.length === 0 ? (
        <Empty title={text(any ? "noEventFits" : "noEventsTitle")}>
          <p>{text(any ? "noEventFitsText" : "noEventsText")}</p>
          {any ? undefined : (
            <ButtonLink look="main" to="/organiser/events/new" className="mt-4">
              {text("newEvent")}
            </ButtonLink>
          )}
        </Empty>
      ) : (
        <ul className="grid gap-3">
          {found.map((event) => (
            <li key={event.eventId}>
              <Link
                href={`/organiser/events/${event.eventId}`}
                className="grid gap-1 rounded-xl border border-line bg-paper p-4 no-underline hover:border-accent"
              >
                <span className="flex flex-wrap items-start justify-between gap-x-4 gap-y-1">
                  <span className="min-w-0 text-lg leading-snug font-bold break-words">{event.name}</span>
                  <StatusMark status={event.status} />
                </span>
                <span className="text-sm text-soft">
                  {dateAndTime(event.startsAt, event.venue.timeZone, text.locale)}
                </span>
                <span className="text-sm text-soft">
                  {event.venue.name}, {event.venue.city} ·{" "}
                  {text("placesCount", { count: event.capacity, shown: wholeNumber(event.capacity, text.locale) })}
                </span>
              </Link>
            </li>
          ))}
        </ul>
      )}
      {list.hasNextPage ? (
        <Button
          className="justify-self-center"
          disabled={list.isFetchingNextPage}
          onClick={() => void list.fetchNextPage()}
        >
          {text("more")}
        </Button>
      ) : undefined}
    </div>
  );
}
