// One concert: what, when, where, for how much, how many seats are left, and when the sale opens.
import { useQuery } from "@tanstack/react-query";
import { type Availability, answered, api, type EventWithSections } from "../../api/client.js";
import { dateAndTime, money, wholeNumber } from "../../format.js";
import { useSession } from "../../session.js";
import { useText } from "../../text.js";
import { ButtonLink } from "../../ui/button.js";
import { Countdown } from "../../ui/countdown.js";
import { Problem, Skeleton } from "../../ui/notice.js";
import { Title } from "../../ui/page.js";
import { BasketNotice } from "../checkout/basket.js";
import { CodeBox, useOpenedCode, useSale } from "./access-code.js";

export function useEvent(eventId: string) {
  return useQuery({
    queryKey: ["event", eventId],
    queryFn: ({ signal }) => answered(api.GET("/v1/events/{eventId}", { signal, params: { path: { eventId } } })),
    staleTime: 60_000,
  });
}

export function useAvailability(eventId: string, everyMs: number) {
  return useQuery({
    queryKey: ["availability", eventId],
    queryFn: ({ signal }) =>
      answered(api.GET("/v1/events/{eventId}/availability", { signal, params: { path: { eventId } } })),
    refetchInterval: everyMs,
  });
}

export function EventPage({ eventId }: { eventId: string }) {
  const text = useText();
  const event = useEvent(eventId);
  const availability = useAvailability(eventId, 5_000);
  if (event.isError) return <Problem error={event.error} retry={() => void event.refetch()} />;
  if (event.isPending)
    return (
      <div className="grid gap-4" role="status" aria-label={text("loading")}>
        <Skeleton className="h-10 w-2/3" />
        <Skeleton className="h-48" />
        <Skeleton className="h-32" />
      </div>
    );
  const { data } = event;
  const prices = data.tiers.map(({ amount }) => amount);
  const [lowest, highest] = [Math.min(...prices), Math.max(...prices)];
  return (
    // On a phone what one came for follows the title; beside everything else where there is room.
    <article className="grid gap-6 lg:grid-cols-[minmax(0,1fr)_20rem] lg:items-start">
      <div>
        <Title page={data.name}>{data.name}</Title>
        <p className="mt-1 font-semibold">
          {lowest === highest
            ? money(lowest, data.currency, text.locale)
            : text("priceRangeAll", {
                from: money(lowest, data.currency, text.locale),
                to: money(highest, data.currency, text.locale),
              })}
        </p>
        {data.description ? <p className="mt-3 max-w-prose whitespace-pre-line">{data.description}</p> : undefined}
        <div className="mt-4 empty:mt-0">
          <BasketNotice eventId={eventId} />
        </div>
      </div>
      <SaleBox event={data} />
      <div className="grid gap-6 lg:col-start-1">
        <dl className="grid gap-4 rounded-xl border border-line bg-paper p-4 sm:grid-cols-2">
          <div>
            <dt className="text-sm font-semibold text-soft">{text("eventWhen")}</dt>
            <dd>{dateAndTime(data.startsAt, data.venue.timeZone, text.locale)}</dd>
          </div>
          <div>
            <dt className="text-sm font-semibold text-soft">{text("eventWhere")}</dt>
            <dd>
              {data.venue.name}, {data.venue.city}
            </dd>
          </div>
          <div className="sm:col-span-2">
            <dt className="text-sm font-semibold text-soft">{text("eventPrices")}</dt>
            <dd>
              <ul className="mt-1 divide-y divide-line">
                {data.tiers.map((tier) => (
                  <li key={tier.id} className="flex justify-between gap-4 py-1.5">
                    <span>{tier.name}</span>
                    <span className="font-semibold tabular-nums">{money(tier.amount, data.currency, text.locale)}</span>
                  </li>
                ))}
              </ul>
              <p className="mt-2 text-sm text-soft">
                {text("allIn")} {text("eventLimit", { count: data.seatsPerPerson })}.
              </p>
              <p className="mt-1 text-sm text-soft">
                {data.refundableUntil
                  ? text("refundUntil", {
                      date: dateAndTime(data.refundableUntil, data.venue.timeZone, text.locale),
                    })
                  : text("refundNever")}
              </p>
            </dd>
          </div>
        </dl>
        {/* Of a cancelled concert no seat can be had, whatever its numbers were. */}
        {data.status === "cancelled" ? undefined : (
          <section aria-labelledby="availability" className="rounded-xl border border-line bg-paper p-4">
            <h2 id="availability" className="text-lg font-bold">
              {text("availabilityTitle")}
            </h2>
            {availability.isError ? (
              <Problem error={availability.error} retry={() => void availability.refetch()} />
            ) : availability.data ? (
              <Numbers totals={availability.data.totals} />
            ) : (
              <Skeleton className="mt-3 h-24" />
            )}
          </section>
        )}
      </div>
    </article>
  );
}

function Numbers({ totals }: { totals: Availability["totals"] }) {
  const text = useText();
  const all = Math.max(1, totals.free + totals.held + totals.sold + totals.blocked);
  const parts = [
    { key: "free", count: totals.free, className: "bg-good" },
    { key: "held", count: totals.held, className: "bg-warn" },
    { key: "sold", count: totals.sold, className: "bg-soft" },
    { key: "blocked", count: totals.blocked, className: "bg-edge" },
  ] as const;
  return (
    <>
      <svg
        aria-hidden
        viewBox="0 0 100 3"
        preserveAspectRatio="none"
        className="mt-3 h-3 w-full overflow-hidden rounded-full"
      >
        {parts.map(({ key, count }, at) => (
          <rect
            key={key}
            x={(100 * parts.slice(0, at).reduce((sum, part) => sum + part.count, 0)) / all}
            width={(100 * count) / all}
            height="3"
            className={{ free: "fill-good", held: "fill-warn", sold: "fill-soft", blocked: "fill-edge" }[key]}
          />
        ))}
      </svg>
      <dl className="mt-3 grid grid-cols-2 gap-3 sm:grid-cols-4">
        {parts.map(({ key, count, className }) => (
          <div key={key} className="grid content-between">
            <dt className="flex items-center gap-2 text-sm text-soft">
              <span aria-hidden className={`inline-block size-3 shrink-0 rounded-full ${className}`} />
              {text(key)}
            </dt>
            <dd className="text-xl font-bold tabular-nums">{wholeNumber(count, text.locale)}</dd>
          </div>
        ))}
      </dl>
      {totals.held > 0 ? <p className="mt-2 text-sm text-soft">{text("heldHint")}</p> : undefined}
    </>
  );
}

function SaleBox({ event }: { event: EventWithSections }) {
  const text = useText();
  const session = useSession();
  const withCode = useOpenedCode(event.eventId);
  const general = useSale(event, undefined);
  const sale = useSale(event, withCode);
  const seats = `/events/${event.eventId}/seats`;
  const isOut = session.kind === "out";
  const toSeats = isOut ? `/login?next=${encodeURIComponent(seats)}` : seats;
  const [withoutCode, byCode] = isOut
    ? (["logInToBuy", "codeLogIn"] as const)
    : (["chooseSeats", "codeToSeats"] as const);
  return (
    <aside className="grid gap-3 rounded-xl border border-line bg-paper p-4 lg:sticky lg:top-4 lg:col-start-2 lg:row-span-2 lg:row-start-1">
      {general.state === "cancelled" ? (
        <>
          <p className="font-semibold text-accent">{text("eventCancelled")}</p>
          <p className="text-sm text-soft">{text("eventCancelledText")}</p>
        </>
      ) : general.state === "over" ? (
        <p className="font-semibold">{text("saleIsOver")}</p>
      ) : general.state === "before" ? (
        <div>
          <p className="text-sm text-soft">{text("saleOpensIn")}</p>
          <p className="text-3xl font-extrabold">
            <Countdown untilMs={general.opensMs} />
          </p>
          <p className="text-sm text-soft">{dateAndTime(event.onSaleAt, event.venue.timeZone, text.locale)}</p>
        </div>
      ) : (
        <p className="font-semibold text-good">{text("saleIsOpen")}</p>
      )}
      {general.state === "over" || general.state === "cancelled" ? undefined : <CodeBox event={event} />}
      {sale.state === "open" ? (
        <ButtonLink look="main" to={toSeats}>
          {text(withCode ? byCode : withoutCode)}
        </ButtonLink>
      ) : sale.state === "before" ? (
        // Looking is free: who knows the hall is quicker when it opens.
        <ButtonLink to={toSeats}>{text("lookAtSeats")}</ButtonLink>
      ) : undefined}
    </aside>
  );
}
