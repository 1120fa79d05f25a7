// One concert: what, when, where, for how much, how many seats are left, and when the sale opens.
import { useQuery } from "@tanstack/react-query";
import { type Availability, answered, api, type EventWithSections } from "../../api/client.js";
import { dateAndTime, money, wholeNumber } from "../../format.js";
import { useSession } from "../../session.js";
import { useText } from "../../text.js";
import { ButtonLink } from "../../ui/button.js";
import { Countdown, useTimeLeft } from "../../ui/countdown.js";
import { Problem, Skeleton } from "../../ui/notice.js";
import { Title } from "../../ui/page.js";

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
  return (
    <article className="grid gap-6 lg:grid-cols-[1fr_20rem] lg:items-start">
      <div className="grid gap-6">
        <div>
          <Title page={data.name}>{data.name}</Title>
          {data.description ? <p className="mt-3 max-w-prose whitespace-pre-line">{data.description}</p> : undefined}
        </div>
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
            </dd>
          </div>
        </dl>
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
      </div>
      <SaleBox event={data} />
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
    { key: "blocked", count: totals.blocked, className: "bg-line" },
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
            className={{ free: "fill-good", held: "fill-warn", sold: "fill-soft", blocked: "fill-line" }[key]}
          />
        ))}
      </svg>
      <dl className="mt-3 grid grid-cols-2 gap-3 sm:grid-cols-4">
        {parts.map(({ key, count, className }) => (
          <div key={key}>
            <dt className="flex items-center gap-2 text-sm text-soft">
              <span aria-hidden className={`inline-block size-3 rounded-full ${className}`} />
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
  const opens = Date.parse(event.onSaleAt);
  const before = useTimeLeft(opens).seconds > 0;
  const over = useTimeLeft(Date.parse(event.offSaleAt)).seconds === 0;
  const seats = `/events/${event.eventId}/seats`;
  return (
    <aside className="sticky bottom-0 grid gap-3 rounded-xl border border-line bg-paper p-4 shadow-lg lg:top-4 lg:shadow-none">
      {over ? (
        <p className="font-semibold">{text("saleIsOver")}</p>
      ) : before ? (
        <div>
          <p className="text-sm text-soft">{text("saleOpensIn")}</p>
          <p className="text-3xl font-extrabold">
            <Countdown untilMs={opens} />
          </p>
          <p className="text-sm text-soft">{dateAndTime(event.onSaleAt, event.venue.timeZone, text.locale)}</p>
        </div>
      ) : (
        <>
          <p className="font-semibold text-good">{text("saleIsOpen")}</p>
          <ButtonLink look="main" to={session.kind === "out" ? `/login?next=${encodeURIComponent(seats)}` : seats}>
            {session.kind === "out" ? text("logInToBuy") : text("chooseSeats")}
          </ButtonLink>
        </>
      )}
    </aside>
  );
}
