// All concerts, searched and filtered; what is chosen is in the address, so that it can be shared.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link, useSearchParams } from "wouter";
import { answered, api, type Event } from "../../api/client.js";
import { serverNow } from "../../api/server-clock.js";
import { dateAndTime, dayParts, minorDigits, money, roundMoney } from "../../format.js";
import { useText } from "../../text.js";
import { Button } from "../../ui/button.js";
import { Choice, Field } from "../../ui/field.js";
import { Empty, Problem, Skeleton } from "../../ui/notice.js";
import { Title } from "../../ui/page.js";

const cheapest = ({ tiers }: Event): number => Math.min(...tiers.map(({ amount }) => amount));
/** Major units that people think in. */
const priceSteps = [25, 50, 75, 100, 150];
const inMajor = (event: Event): number => cheapest(event) / 10 ** minorDigits(event.currency);
/** By price the shop's pages are read on until all are here, or so many: the API sorts by date alone. */
const mostReadOn = 10;
const typingMs = 300;

/** What is typed goes into the address, and to the shop, when the typing rests. */
function useTyped(settled: string, settle: (value: string) => void) {
  const [typed, setTyped] = useState(settled);
  useEffect(() => setTyped(settled), [settled]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: begins anew with each key, and with nothing else
  useEffect(() => {
    if (typed === settled) return;
    const timer = setTimeout(() => settle(typed), typingMs);
    return () => clearTimeout(timer);
  }, [typed]);
  return [typed, setTyped] as const;
}

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
  const [typed, type] = useTyped(q, (value) => choose("q", value));
  const filtered = [...params.keys()].length > 0;
  const [unfolded, setUnfolded] = useState(filtered);

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

  // Which cities there are does not depend on what is looked for.
  const everywhere = useQuery({
    queryKey: ["cities"],
    enabled: filtered,
    staleTime: 300_000,
    queryFn: async ({ signal }) => {
      const { events } = await answered(api.GET("/v1/events", { signal, params: { query: { limit: 100 } } }));
      return events.map(({ venue }) => venue.city);
    },
  });

  const most = Number(chosen("max")) || undefined;
  const byPrice = chosen("sort") === "price";
  const loaded = list.data?.pages.flatMap(({ events }) => events) ?? [];
  const found = loaded.filter((event) => most === undefined || inMajor(event) <= most);
  if (byPrice) found.sort((a, b) => inMajor(a) - inMajor(b));
  const { hasNextPage, isFetchingNextPage, isFetchNextPageError, fetchNextPage } = list;
  const readsOn =
    (byPrice || most !== undefined) &&
    hasNextPage &&
    !isFetchNextPageError &&
    (list.data?.pages.length ?? 0) < mostReadOn;
  useEffect(() => {
    if (readsOn && !isFetchingNextPage) void fetchNextPage();
  }, [readsOn, isFetchingNextPage, fetchNextPage]);
  const cities = [...new Set([...(everywhere.data ?? []), ...loaded.map(({ venue }) => venue.city), city])]
    .filter(Boolean)
    .sort((a, b) => a.localeCompare(b, text.locale));
  const currencies = new Set(loaded.map(({ currency }) => currency));
  const sayPrice = (major: number): string => {
    const [currency] = currencies;
    return currency && currencies.size === 1
      ? roundMoney(major * 10 ** minorDigits(currency), currency, text.locale)
      : String(major);
  };

  return (
    <div className="grid gap-6">
      <Title page={text("listTitle")}>{text("listTitle")}</Title>
      <search className="grid gap-3 rounded-xl border border-line bg-paper p-4">
        <Field
          label={text("searchLabel")}
          type="search"
          value={typed}
          onChange={(change) => type(change.target.value)}
        />
        {/* On a phone the concerts come first: what narrows them is a tap away, and open when it is in use. */}
        <Button
          className="sm:hidden"
          aria-expanded={unfolded}
          aria-controls="filters"
          onClick={() => setUnfolded(!unfolded)}
        >
          {text("filters")}
        </Button>
        <div
          id="filters"
          className={`${unfolded ? "grid" : "hidden"} grid-cols-2 gap-3 sm:grid sm:grid-cols-3 lg:grid-cols-5`}
        >
          <Choice label={text("cityLabel")} value={city} onChange={(change) => choose("city", change.target.value)}>
            <option value="">{text("cityAny")}</option>
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
                {sayPrice(step)}
              </option>
            ))}
          </Choice>
          <Field
            label={text("fromLabel")}
            type="date"
            value={from}
            max={to || undefined}
            onChange={(change) => choose("from", change.target.value)}
          />
          <Field
            label={text("toLabel")}
            type="date"
            value={to}
            min={from || undefined}
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
        </div>
        {filtered ? (
          <Button look="quiet" className="justify-self-start px-0" onClick={() => setParams({}, { replace: true })}>
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
      ) : found.length === 0 && !readsOn ? (
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
      {hasNextPage ? (
        <Button className="justify-self-center" disabled={isFetchingNextPage} onClick={() => void fetchNextPage()}>
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
  if (event.status === "cancelled") return <span className="text-accent">{text("eventCancelled")}</span>;
  if (now >= Date.parse(event.offSaleAt)) return <span className="text-soft">{text("saleEnded")}</span>;
  if (now >= Date.parse(event.onSaleAt)) return <span className="font-semibold text-good">{text("onSaleNow")}</span>;
  return (
    <span className="font-semibold text-warn">
      {text("onSaleFrom", { date: dateAndTime(event.onSaleAt, event.venue.timeZone, text.locale) })}
    </span>
  );
}
