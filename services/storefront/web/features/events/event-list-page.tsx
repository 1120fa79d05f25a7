// All concerts, searched and filtered; what is chosen is in the address, so that it can be shared.
import { currencies as charged, minorPerUnit, mostInAny } from "@onsale/kit/currencies";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link, useSearchParams } from "wouter";
import { answered, api, type Event } from "../../api/client.js";
import { serverNow } from "../../api/server-clock.js";
import { dateAndTime, dayParts, money, roundMoney } from "../../format.js";
import { useText } from "../../text.js";
import { Button } from "../../ui/button.js";
import { Choice, Field } from "../../ui/field.js";
import { Empty, Problem, Skeleton } from "../../ui/notice.js";
import { Title } from "../../ui/page.js";

const cheapest = ({ tiers }: Event): number => Math.min(...tiers.map(({ amount }) => amount));
/** In what people think in: where the least that can be charged is some hundred times what it is in euros, so are these. */
const priceSteps = [25, 50, 75, 100, 150];
function stepsOf(currency: string): readonly number[] {
  const least = (charged.get(currency)?.least ?? 0) / minorPerUnit(currency);
  const size = least > 0 ? 10 ** Math.max(0, Math.floor(Math.log10(2 * least) + 0.35)) : 1;
  return priceSteps.map((step) => step * size);
}
/** The address has whole units, the API minor ones. */
const inMinor = (most: number, currency: string): number =>
  Math.min(Math.max(1, Math.round(most * minorPerUnit(currency))), charged.get(currency)?.most ?? mostInAny);
const sorts = ["price", "name"] as const;
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
  const choose = (name: string, value: string, without?: string) =>
    setParams(
      (before) => {
        const next = new URLSearchParams(before);
        if (without) next.delete(without);
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

  // What there is to choose from does not depend on what is looked for.
  const facets = useQuery({
    queryKey: ["event-facets"],
    staleTime: 300_000,
    queryFn: ({ signal }) => answered(api.GET("/v1/event-facets", { signal })),
  });
  const currencies = facets.data?.currencies.map(({ value }) => value) ?? [];
  const most = Number(chosen("max")) > 0 ? Number(chosen("max")) : undefined;
  // A price is one of a currency: the one that is chosen, else that of most concerts.
  const wished = currencies.find((one) => one === chosen("currency")) ?? "";
  const currency = wished || (most === undefined ? "" : (currencies[0] ?? ""));
  const priceTo = most !== undefined && currency ? inMinor(most, currency) : undefined;
  const asksForMoney = most !== undefined || chosen("currency") !== "";
  const sort = sorts.find((one) => one === chosen("sort"));
  // Concerts that are over are shown to who asks for their days.
  const today = new Date(serverNow()).toISOString().slice(0, 10);
  const since = from || (to && to < today ? "" : today);

  const list = useInfiniteQuery({
    queryKey: ["events", q, city, since, to, currency, priceTo, sort],
    enabled: !asksForMoney || facets.isSuccess,
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
              ...(since ? { from: since } : {}),
              ...(to ? { to } : {}),
              ...(currency ? { currency } : {}),
              ...(priceTo === undefined ? {} : { priceTo }),
              ...(sort ? { sort } : {}),
              ...(pageParam ? { cursor: pageParam } : {}),
            },
          },
        }),
      ),
    getNextPageParam: (last) => last.nextCursor,
    placeholderData: (before) => before,
  });

  const found = list.data?.pages.flatMap(({ events }) => events) ?? [];
  const { hasNextPage, isFetchingNextPage, isFetchNextPageError, fetchNextPage } = list;
  const cities = [...new Set([...(facets.data?.cities ?? []).map(({ value }) => value), city])]
    .filter(Boolean)
    .sort((a, b) => a.localeCompare(b, text.locale));
  const shownCurrency = currency || (currencies[0] ?? "");
  const steps = shownCurrency ? stepsOf(shownCurrency) : priceSteps;
  const sayPrice = (major: number): string =>
    shownCurrency
      ? roundMoney(Math.round(major * minorPerUnit(shownCurrency)), shownCurrency, text.locale)
      : String(major);
  // Without its facets the shop can't be asked for a price; a page that did not come leaves those that did.
  const failed = asksForMoney && facets.isError ? facets : list.isError && !isFetchNextPageError ? list : undefined;

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
            value={most ?? ""}
            onChange={(change) => choose("max", change.target.value)}
          >
            <option value="">{text("anyPrice")}</option>
            {[...new Set(most === undefined ? steps : [...steps, most])]
              .sort((a, b) => a - b)
              .map((step) => (
                <option key={step} value={step}>
                  {sayPrice(step)}
                </option>
              ))}
          </Choice>
          {currencies.length > 1 ? (
            <Choice
              label={text("currencyLabel")}
              value={currency}
              // A price in another currency would be another price.
              onChange={(change) => choose("currency", change.target.value, "max")}
            >
              <option value="">{text("anyCurrency")}</option>
              {currencies.map((one) => (
                <option key={one}>{one}</option>
              ))}
            </Choice>
          ) : undefined}
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
            value={sort ?? ""}
            onChange={(change) => choose("sort", change.target.value)}
          >
            <option value="">{text("sortDate")}</option>
            <option value="price">{text("sortPrice")}</option>
            <option value="name">{text("sortName")}</option>
          </Choice>
        </div>
        {filtered ? (
          <Button look="quiet" className="justify-self-start px-0" onClick={() => setParams({}, { replace: true })}>
            {text("clearFilters")}
          </Button>
        ) : undefined}
      </search>
      {failed ? (
        <Problem error={failed.error} retry={() => void failed.refetch()} />
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
            {text(hasNextPage ? "resultsSoFar" : "results", { count: found.length })}
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
      {isFetchNextPageError ? (
        <Problem error={list.error} retry={() => void fetchNextPage()} />
      ) : hasNextPage && !failed ? (
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
        <span className="block text-lg leading-snug font-bold text-balance hyphens-auto wrap-anywhere">
          {event.name}
        </span>
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
