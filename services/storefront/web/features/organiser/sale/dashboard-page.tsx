// One event of the organiser's: a draft to look at and publish, or its sale as it goes, by the second.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useMemo, useState } from "react";
import { Link } from "wouter";
import { answered, api } from "../../../api/client.js";
import { dateAndTime, money, wholeNumber } from "../../../format.js";
import { Button, ButtonLink } from "../../../ui/button.js";
import { Notice, Problem, Skeleton } from "../../../ui/notice.js";
import { Title } from "../../../ui/page.js";
import { useLiveSeats } from "../../seats/live-seats.js";
import { SeatCanvas } from "../../seats/seat-canvas.js";
import { nameSeat, planSeats, type SeatPlan } from "../../seats/seat-plan.js";
import { TierMark } from "../../seats/tier-mark.js";
import { CancelEvent } from "../events/cancel-event.js";
import { useDraftSeats } from "../hall/hall-preview.js";
import { WaitsForYou } from "../orders/waits-for-you.js";
import { type OwnEvent, publishEvent, type Sales, useOwnEvent, useSales } from "../organiser-api.js";
import { Confirm, EventNav, ForOrganisers, StatusMark } from "../organiser-frame.js";
import { useOrganiserText } from "../organiser-text.js";
import { Bar, Shares, TimeChart } from "./charts.js";

export function DashboardPage({ eventId }: { eventId: string }) {
  return (
    <ForOrganisers>
      <Loaded eventId={eventId} />
    </ForOrganisers>
  );
}

function Loaded({ eventId }: { eventId: string }) {
  const text = useOrganiserText();
  const event = useOwnEvent(eventId);
  if (event.isError) return <Problem error={event.error} retry={() => void event.refetch()} />;
  if (!event.data)
    return (
      <div className="grid gap-4" role="status" aria-label={text("loading")}>
        <Skeleton className="h-10 w-2/3" />
        <Skeleton className="h-32" />
        <Skeleton className="h-64" />
      </div>
    );
  const { data } = event;
  return (
    <div className="grid gap-6">
      <EventHead event={data} />
      <EventNav event={data} />
      {data.status === "draft" ? <Draft event={data} /> : <Sale event={data} />}
      <Facts event={data} />
      <div className="flex flex-wrap gap-3">
        <ButtonLink to={`/organiser/events/new?from=${eventId}`}>{text("copyEvent")}</ButtonLink>
        {data.status === "draft" ? undefined : (
          <>
            <ButtonLink to={`/organiser/orders?eventId=${eventId}`}>{text("itsOrders")}</ButtonLink>
            <ButtonLink to={`/events/${eventId}`}>{text("asBuyersSee")}</ButtonLink>
          </>
        )}
      </div>
      {data.status === "published" ? <CancelEvent event={data} /> : undefined}
    </div>
  );
}

/** The heading of each page of an event. */
export function EventHead({ event }: { event: OwnEvent }) {
  const text = useOrganiserText();
  return (
    <div className="grid gap-1">
      <Link href="/organiser" className="text-sm font-semibold text-soft underline underline-offset-4">
        {text("eventsTab")}
      </Link>
      <div className="flex flex-wrap items-center justify-between gap-x-4 gap-y-1">
        <Title page={event.name}>{event.name}</Title>
        <StatusMark status={event.status} />
      </div>
      <p className="text-sm text-soft">
        {dateAndTime(event.startsAt, event.venue.timeZone, text.locale)} · {event.venue.name}, {event.venue.city}
      </p>
    </div>
  );
}

/** The map's data of an event, published or not. */
export function useSeatsOf(event: OwnEvent) {
  const { eventId, status } = event;
  const layout = useQuery({
    queryKey: ["layout", eventId],
    queryFn: ({ signal }) => answered(api.GET("/v1/events/{eventId}/seats", { signal, params: { path: { eventId } } })),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const onSale = status !== "draft";
  const plan = useMemo(() => (layout.data ? planSeats(layout.data) : undefined), [layout.data]);
  const live = useLiveSeats(eventId, onSale ? plan : undefined, undefined);
  const draft = useDraftSeats(onSale ? undefined : layout.data);
  return { layout, plan: onSale ? plan : draft.plan, live: onSale ? live : draft.live };
}

function Draft({ event }: { event: OwnEvent }) {
  const text = useOrganiserText();
  const queries = useQueryClient();
  const { plan, live, layout } = useSeatsOf(event);
  const [sure, setSure] = useState(false);
  const publish = useMutation({
    mutationFn: () => publishEvent(event.eventId, event.tag),
    onSettled: async () => {
      setSure(false);
      await Promise.all(["organiser", "layout"].map((key) => queries.invalidateQueries({ queryKey: [key] })));
    },
  });
  const nothing = useCallback(() => undefined, []);
  const picked = useMemo(() => new Set<number>(), []);
  return (
    <>
      <section className="grid gap-3 rounded-xl border border-line bg-paper p-4">
        <p>{text("draftText")}</p>
        {publish.isError ? <Problem error={publish.error} /> : undefined}
        {sure ? (
          <Confirm
            question={text("publishSure")}
            yes={text("publish")}
            busy={publish.isPending}
            onYes={() => publish.mutate()}
            onNo={() => setSure(false)}
          />
        ) : (
          <div className="flex flex-wrap gap-3">
            <Button look="main" onClick={() => setSure(true)}>
              {text("publish")}
            </Button>
            <ButtonLink to={`/organiser/events/${event.eventId}/edit`}>{text("editDraft")}</ButtonLink>
          </div>
        )}
      </section>
      {layout.isError ? (
        <Problem error={layout.error} retry={() => void layout.refetch()} />
      ) : plan ? (
        <SeatCanvas
          plan={plan}
          live={live}
          picked={picked}
          tiers={event.tiers}
          currency={event.currency}
          onPick={nothing}
        />
      ) : (
        <Skeleton className="h-[60dvh]" />
      )}
    </>
  );
}

function Facts({ event }: { event: OwnEvent }) {
  const text = useOrganiserText();
  const at = (iso: string) => dateAndTime(iso, event.venue.timeZone, text.locale);
  const orphan = { strict: "orphanStrict", lenient: "orphanLenient", off: "orphanOff" } as const;
  const facts = [
    { label: text("onSaleAtLabel"), fact: at(event.onSaleAt) },
    { label: text("offSaleAtLabel"), fact: at(event.offSaleAt) },
    {
      label: text("refundableUntilLabel"),
      fact: event.refundableUntil ? at(event.refundableUntil) : text("refundableNever"),
    },
    { label: text("accessibleUntilLabel"), fact: at(event.accessibleUntil) },
    { label: text("limitLabel"), fact: wholeNumber(event.seatsPerPerson, text.locale) },
    { label: text("orphanLabel"), fact: text(orphan[event.orphanRule]) },
    {
      label: text("eventPrices"),
      fact: event.tiers.map(({ name, amount }) => `${name} ${money(amount, event.currency, text.locale)}`).join(" · "),
    },
    { label: text("madeAt"), fact: at(event.createdAt) },
  ];
  return (
    <section aria-labelledby="facts" className="rounded-xl border border-line bg-paper p-4">
      <h2 id="facts" className="text-lg font-bold">
        {text("factsTitle")}
      </h2>
      <dl className="mt-3 grid gap-3 sm:grid-cols-2 lg:grid-cols-4">
        {facts.map(({ label, fact }) => (
          <div key={label}>
            <dt className="text-sm font-semibold text-soft">{label}</dt>
            <dd>{fact}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function Sale({ event }: { event: OwnEvent }) {
  const text = useOrganiserText();
  const sales = useSales(event.eventId, true);
  const { cancellation } = event;
  return (
    <>
      {cancellation ? (
        <Notice
          tone="bad"
          title={text("cancelledAt", { date: dateAndTime(cancellation.at, event.venue.timeZone, text.locale) })}
        >
          {cancellation.reason ? <p>{cancellation.reason}</p> : undefined}
          <p role="status">
            {text("cancelProgress", {
              refunded: wholeNumber(cancellation.refunded, text.locale),
              total: wholeNumber(cancellation.total, text.locale),
            })}
          </p>
          <progress
            className="mt-2 w-full"
            aria-label={text("cancelProgressLabel")}
            max={Math.max(1, cancellation.total)}
            value={cancellation.total === 0 ? 1 : cancellation.refunded}
          />
        </Notice>
      ) : undefined}
      <WaitsForYou eventId={event.eventId} />
      {sales.data ? (
        <Figures event={event} sales={sales.data} stale={sales.isError} />
      ) : sales.isError ? (
        <Problem error={sales.error} retry={() => void sales.refetch()} />
      ) : (
        <Skeleton className="h-64" />
      )}
      <LiveMap event={event} />
    </>
  );
}

function Figures({ event, sales, stale }: { event: OwnEvent; sales: Sales; stale: boolean }) {
  const text = useOrganiserText();
  const { seats, revenue, tiers, holds, checkouts, series, currency } = sales;
  const { timeZone } = event.venue;
  const number = useCallback((value: number) => wholeNumber(value, text.locale), [text]);
  const price = (amount: number) => money(amount, currency, text.locale);
  const percent = (part: number) =>
    new Intl.NumberFormat(text.locale, { style: "percent", maximumFractionDigits: 1 }).format(part);
  const showTime = (at: number) =>
    new Intl.DateTimeFormat(text.locale, {
      day: "numeric",
      month: "short",
      hour: "numeric",
      minute: "2-digit",
      ...(sales.seriesStepMs < 60_000 ? { second: "2-digit" } : {}),
      timeZone,
    }).format(new Date(at));
  const clock = new Intl.DateTimeFormat(text.locale, { timeStyle: "medium", timeZone }).format(new Date(sales.asOf));
  let soFar = 0;
  const total = series.map(({ at, revenue: amount }) => {
    soFar += amount;
    return { at, value: soFar };
  });
  const tries = holds.won + holds.lost;
  return (
    <>
      {stale ? <Notice tone="warn" title={text("salesStale", { time: clock })} live /> : undefined}
      <section aria-labelledby="figures" className="grid gap-4 rounded-xl border border-line bg-paper p-4">
        <div className="flex flex-wrap items-baseline justify-between gap-x-4">
          <h2 id="figures" className="text-lg font-bold">
            {text("salesTitle")}
          </h2>
          <p className="text-sm text-soft tabular-nums">{text("asOf", { time: clock })}</p>
        </div>
        <dl className="grid grid-cols-2 gap-x-4 gap-y-3 sm:grid-cols-3 lg:grid-cols-5">
          <Figure
            label={text("revenueNet")}
            value={price(revenue.net)}
            more={
              [
                revenue.refunded > 0 ? text("revenueRefunded", { amount: price(revenue.refunded) }) : "",
                revenue.failed > 0 ? text("revenueFailed", { amount: price(revenue.failed) }) : "",
              ]
                .filter((words) => words !== "")
                .join("; ") || undefined
            }
          />
          <Figure
            label={text("ticketsSold")}
            value={number(sales.tickets)}
            more={text("ofPlaces", { places: number(seats.total) })}
          />
          <Figure
            label={text("ordersTab")}
            value={number(sales.orders)}
            more={sales.refunds > 0 ? text("refundsCount", { count: sales.refunds }) : undefined}
          />
          <Figure
            label={text("conversion")}
            value={percent(sales.conversion)}
            more={text("conversionOf", { started: number(checkouts.started) })}
          />
          <Figure
            label={text("holdLosers")}
            value={number(holds.lost)}
            more={tries > 0 ? text("holdLosersOf", { share: percent(holds.lost / tries) }) : undefined}
          />
        </dl>
      </section>
      <section aria-labelledby="now" className="rounded-xl border border-line bg-paper p-4">
        <h2 id="now" className="mb-3 text-lg font-bold">
          {text("availabilityTitle")}
        </h2>
        <Shares
          show={number}
          shares={[
            { key: "sold", label: text("sold"), count: seats.sold, look: "accent" },
            { key: "held", label: text("heldNow"), count: seats.held, look: "warn" },
            { key: "free", label: text("free"), count: seats.free, look: "good" },
            { key: "blocked", label: text("blocked"), count: seats.blocked, look: "line" },
          ]}
        />
      </section>
      <section
        aria-labelledby="overTime"
        className="grid gap-6 rounded-xl border border-line bg-paper p-4 lg:grid-cols-2 lg:items-start"
      >
        <h2 id="overTime" className="text-lg font-bold lg:col-span-2">
          {text("overTimeTitle")}
        </h2>
        <TimeChart
          title={text("chartSold")}
          kind="bars"
          points={series.map(({ at, sold }) => ({ at, value: sold }))}
          show={number}
          showTime={showTime}
        />
        <TimeChart title={text("chartRevenue")} kind="line" points={total} show={price} showTime={showTime} />
      </section>
      <div className="grid gap-6 lg:grid-cols-2 lg:items-start">
        <section aria-labelledby="tiers" className="rounded-xl border border-line bg-paper p-4">
          <h2 id="tiers" className="mb-2 text-lg font-bold">
            {text("byTier")}
          </h2>
          <ul className="grid gap-3">
            {tiers.map((tier) => (
              <li key={tier.tierId} className="grid gap-1">
                <p className="flex flex-wrap justify-between gap-x-4">
                  <span className="flex items-center gap-1.5 font-semibold">
                    <TierMark tier={event.tiers.findIndex(({ id }) => id === tier.tierId)} />
                    {tier.name}
                  </span>
                  <span className="tabular-nums">{price(tier.revenue)}</span>
                </p>
                <Bar part={tier.sold} whole={tier.total} />
                <p className="text-sm text-soft tabular-nums">
                  {text("tierSold", { sold: number(tier.sold), total: number(tier.total) })}
                </p>
              </li>
            ))}
          </ul>
        </section>
        <section aria-labelledby="checkouts" className="rounded-xl border border-line bg-paper p-4">
          <h2 id="checkouts" className="mb-3 text-lg font-bold">
            {text("checkoutsTitle", { count: number(checkouts.started) })}
          </h2>
          <Shares
            show={number}
            shares={[
              { key: "completed", label: text("checkoutsCompleted"), count: checkouts.completed, look: "good" },
              { key: "running", label: text("checkoutsRunning"), count: checkouts.running, look: "warn" },
              { key: "expired", label: text("checkoutsExpired"), count: checkouts.expired, look: "soft" },
              { key: "cancelled", label: text("checkoutsCancelled"), count: checkouts.cancelled, look: "line" },
            ]}
          />
          <h3 className="mt-4 mb-2 font-bold">{text("raceTitle")}</h3>
          <Shares
            show={number}
            shares={[
              { key: "won", label: text("holdsWon"), count: holds.won, look: "good" },
              { key: "lost", label: text("holdsLost"), count: holds.lost, look: "accent" },
            ]}
          />
        </section>
      </div>
    </>
  );
}

function Figure({ label, value, more }: { label: string; value: string; more: string | undefined }) {
  return (
    <div>
      <dt className="text-sm text-soft">{label}</dt>
      <dd className="text-2xl font-extrabold tabular-nums">{value}</dd>
      {more ? <dd className="text-sm text-soft">{more}</dd> : undefined}
    </div>
  );
}

function LiveMap({ event }: { event: OwnEvent }) {
  const text = useOrganiserText();
  const { plan, live, layout } = useSeatsOf(event);
  const [chosen, choose] = useState<number>();
  const picked = useMemo(() => new Set(chosen === undefined ? [] : [chosen]), [chosen]);
  const pick = useCallback((seat: number) => choose((before) => (before === seat ? undefined : seat)), []);
  return (
    <section aria-labelledby="map" className="grid gap-3">
      <h2 id="map" className="text-lg font-bold">
        {text("liveMapTitle")}
      </h2>
      {layout.isError ? (
        <Problem error={layout.error} retry={() => void layout.refetch()} />
      ) : plan && (live.states || plan.seatCount === 0) ? (
        <>
          <SeatCanvas
            plan={plan}
            live={live}
            picked={picked}
            tiers={event.tiers}
            currency={event.currency}
            onPick={pick}
          />
          <p role="status" className="min-h-11 text-sm">
            {chosen === undefined ? text("liveMapHint") : <Chosen plan={plan} seat={chosen} eventId={event.eventId} />}
          </p>
        </>
      ) : (
        <Skeleton className="h-[60dvh]" />
      )}
    </section>
  );
}

function Chosen({ plan, seat, eventId }: { plan: SeatPlan; seat: number; eventId: string }) {
  const text = useOrganiserText();
  const { section, row, number, seatId } = nameSeat(plan, seat);
  return (
    <>
      {text("seatName", { section, row, number })}{" "}
      <Link
        href={`/organiser/orders?${new URLSearchParams({ eventId, q: seatId })}`}
        className="font-semibold underline underline-offset-4"
      >
        {text("findItsOrder")}
      </Link>
    </>
  );
}
