// All concerts, searched and filtered; what is chosen is in the address, so that it can be shared.
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "wouter";
import { answered, api, type Event, serverNow } from "../../api/client.js";
import { dateAndTime, dayParts, money } from "../../format.js";
import { useText } from "../../text.js";
import { Button } from "../../ui/button.js";
import { Choice, Field } from "../../ui/field.js";
import { Empty, Problem, Skeleton } from "../../ui/notice.js";
import { Title } from "../../ui/page.js";

const cheapest = ({ tiers }: Event): number => Math.min(...tiers.map(({ amount }) => amount));
/** Major units that people think in. */
const priceSteps = [25, 50, 75, 100, 150];

export function EventListPage() {
  const text = useText();
  const [params, setParams] = useSearchParams();
  const chosen = (name: string): string => params.get(name) ?? "";
  const choose = (name: string, value: string) =>
    setParams(
      (before) => {
        const next = new URLSearchParams(before);
        if (value === "") next.delete(name);
        else next.set(name, value);
        return next;
      },
      { replace: true },
    );
  const [q, city, from, to] = [chosen("q"), chosen("city"), chosen("from"), chosen("to")];

  const list = useInfiniteQuery({
    queryKey: ["events", q, city, from, to],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      answered(
        api.GET("/v1/events", {
          signal,
          params: {
            query: {
              limit: 50,
              ...(q.trim() ? { q: q.trim() } : {}),
              ...(city ? { city } : {}),
              ...(from ? { from } : {}),
              ...(to ? { to } : {}),
              ...(pageParam ? { cursor: pageParam } : {}),
            },
          },
        }),
      ),
    getNextPageParam: (last) => last.nextCursor,
    placeholderData: (before) => before,
  });

  const most = Number(chosen("max")) || undefined;
  const found = (list.data?.pages.flatMap(({ events }) => events) ?? []).filter(
    (event) => most === undefined || cheapest(event) <= most * 100,
  );
  if (chosen("sort") === "price") found.sort((a, b) => cheapest(a) - cheapest(b));
  const cities = [
    ...new Set([...(list.data?.pages.flatMap(({ events }) => events.map(({ venue }) => venue.city)) ?? []), city]),
  ]
    .filter(Boolean)
    .sort((a, b) => a.localeCompare(b, text.locale));
  const filtered = [...params.keys()].length > 0;

  return (
    <div className="grid gap-6">
      <Title page={text("listTitle")}>{text("listTitle")}</Title>
      <search className="grid grid-cols-2 gap-3 rounded-xl border border-line bg-paper p-4 sm:grid-cols-3 lg:grid-cols-6">
        <Field
          className="col-span-2"
          label={text("searchLabel")}
          type="search"
          value={q}
          onChange={(change) => choose("q", change.target.value)}
        />
        <Choice label={text("cityLabel")} value={city} onChange={(change) => choose("city", change.target.value)}>
          <option value="">–</option>
          {cities.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </Choice>
        <Choice
          label={text("maxPriceLabel")}
          value={chosen("max")}
          onChange={(change) => choose("max", change.target.value)}
        >
          <option value="">{text("anyPrice")}</option>
          {priceSteps.map((step) => (
            <option key={step} value={step}>
              {step}
            </option>
          ))}
        </Choice>
        <Field
          label={text("fromLabel")}
          type="date"
          value={from}
          onChange={(change) => choose("from", change.target.value)}
        />
        <Field
          label={text("toLabel")}
          type="date"
          value={to}
          onChange={(change) => choose("to", change.target.value)}
        />
        <Choice
          className="col-span-2 sm:col-span-1"
          label={text("sortLabel")}
          value={chosen("sort")}
          onChange={(change) => choose("sort", change.target.value)}
        >
          <option value="">{text("sortDate")}</option>
          <option value="price">{text("sortPrice")}</option>
        </Choice>
        {filtered ? (
          <Button look="quiet" className="self-end justify-self-start" onClick={() => setParams({}, { replace: true })}>
            {text("clearFilters")}
          </Button>
        ) : undefined}
      </search>
      {list.isError ? (
        <Problem error={list.error} retry={() => void list.refetch()} />
      ) : list.isPending ? (
        <div className="grid gap-3" role="status" aria-label={text("loading")}>
          {[1, 2, 3, 4].map((key) => (
            <Skeleton key={key} className="h-28" />
          ))}
        </div>
      ) : found.length === 0 ? (
        <Empty title={text("emptyTitle")}>{text("emptyText")}</Empty>
      ) : (
        <>
          <p role="status" className="text-sm text-soft">
            {text("results", { count: found.length })}
          </p>
          <ul className="grid gap-3">
            {found.map((event) => (
              <li key={event.eventId}>
                <EventCard event={event} />
              </li>
            ))}
          </ul>
        </>
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

function EventCard({ event }: { event: Event }) {
  const text = useText();
  const { day, month, year } = dayParts(event.startsAt, event.venue.timeZone, text.locale);
  return (
    <Link
      href={`/events/${event.eventId}`}
      className="flex gap-4 rounded-xl border border-line bg-paper p-4 no-underline hover:border-accent"
    >
      <span
        aria-hidden
        className="grid w-16 shrink-0 content-center justify-items-center border-r border-dashed border-line pr-4"
      >
        <span className="text-3xl leading-none font-extrabold">{day}</span>
        <span className="text-sm font-semibold">{month}</span>
        <span className="text-xs text-soft">{year}</span>
      </span>
      <span className="min-w-0 flex-1">
        <span className="block text-lg leading-snug font-bold text-balance">{event.name}</span>
        <span className="mt-1 block text-sm text-soft">
          {event.venue.name}, {event.venue.city}
        </span>
        <span className="sr-only">{dateAndTime(event.startsAt, event.venue.timeZone, text.locale)}</span>
        <span className="mt-2 flex flex-wrap items-baseline justify-between gap-x-4 text-sm">
          <SaleState event={event} />
          <span className="font-semibold">
            {text("fromPrice", { price: money(cheapest(event), event.currency, text.locale) })}
          </span>
        </span>
      </span>
    </Link>
  );
}

function SaleState({ event }: { event: Event }) {
  const text = useText();
  const now = serverNow();
  if (now >= Date.parse(event.offSaleAt)) return <span className="text-soft">{text("saleEnded")}</span>;
  if (now >= Date.parse(event.onSaleAt)) return <span className="font-semibold text-good">{text("onSaleNow")}</span>;
  return (
    <span className="font-semibold text-warn">
      {text("onSaleFrom", { date: dateAndTime(event.onSaleAt, event.venue.timeZone, text.locale) })}
    </span>
  );
}
