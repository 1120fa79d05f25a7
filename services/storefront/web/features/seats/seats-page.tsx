// Choosing seats: on the map, in the list, or the best available; what is chosen is held with one request, all or nothing.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useLocation } from "wouter";
import { ApiError, answered, api, type EventWithSections, newKey } from "../../api/client.js";
import { serverNow } from "../../api/server-clock.js";
import { money } from "../../format.js";
import { useSession } from "../../session.js";
import { useText } from "../../text.js";
import { Button } from "../../ui/button.js";
import { Countdown } from "../../ui/countdown.js";
import { Check } from "../../ui/field.js";
import { Notice, Problem, Skeleton, useErrorText } from "../../ui/notice.js";
import { Title } from "../../ui/page.js";
import { BasketNotice } from "../checkout/basket.js";
import { CodeBox, putCodeAway, useOpenedCode, useSale } from "../events/access-code.js";
import { useEvent } from "../events/event-page.js";
import { BestAvailable, Places, type Wish } from "./best-available.js";
import { useLiveSeats } from "./live-seats.js";
import { SeatCanvas } from "./seat-canvas.js";
import { SeatList } from "./seat-list.js";
import { findSeat, nameSeat, planSeats, type SeatPlan, seatRooms, seatStates } from "./seat-plan.js";
import { TierMark } from "./tier-mark.js";

export function SeatsPage({ eventId }: { eventId: string }) {
  const text = useText();
  const session = useSession();
  const [, go] = useLocation();
  const here = `/events/${eventId}/seats`;
  useEffect(() => {
    if (session.kind === "out") go(`/login?next=${encodeURIComponent(here)}`, { replace: true });
  }, [session.kind, go, here]);
  const event = useEvent(eventId);
  const layout = useQuery({
    queryKey: ["layout", eventId],
    queryFn: ({ signal }) => answered(api.GET("/v1/events/{eventId}/seats", { signal, params: { path: { eventId } } })),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const plan = useMemo(() => (layout.data ? planSeats(layout.data) : undefined), [layout.data]);
  const failed = event.error ?? layout.error;
  if (failed) return <Problem error={failed} retry={() => void Promise.all([event.refetch(), layout.refetch()])} />;
  if (!event.data || !plan)
    return (
      <div className="grid gap-4" role="status" aria-label={text("loading")}>
        <Skeleton className="h-10 w-2/3" />
        <Skeleton className="h-[60dvh]" />
      </div>
    );
  return <Chooser event={event.data} plan={plan} />;
}

/** What went wrong, and what could be done about it at once. */
interface Told {
  readonly title: string;
  readonly action?: { readonly label: string; readonly run: () => void };
}

function Chooser({ event, plan }: { event: EventWithSections; plan: SeatPlan }) {
  const text = useText();
  const errorText = useErrorText();
  const queries = useQueryClient();
  const [, go] = useLocation();
  const { eventId, tiers, currency } = event;
  const withCode = useOpenedCode(eventId);
  const limit = withCode?.channel.seatsPerPerson ?? event.seatsPerPerson;
  const sale = useSale(event, withCode);
  const opened = useMemo(() => {
    if (!withCode) return undefined;
    const { free, held, sold } = withCode.channel.seats;
    return new Set([...free, ...held, ...sold].flatMap((seatId) => findSeat(plan, seatId) ?? []));
  }, [withCode, plan]);
  const openedSections = useMemo(
    () => opened && [...new Set([...opened].map((seat) => nameSeat(plan, seat).section))],
    [opened, plan],
  );
  const live = useLiveSeats(eventId, plan, opened);
  const { states, subscribe } = live;
  const [picked, setPicked] = useState<ReadonlySet<number>>(new Set());
  const [told, setTold] = useState<Told>();
  const [mode, setMode] = useState<"map" | "list">("map");
  const [needsRoom, setNeedsRoom] = useState(false);
  const seated = plan.seatCount > 0;
  const hasAccessible = useMemo(() => plan.room.includes(seatRooms.accessible), [plan]);
  const keptRooms = Date.parse(event.accessibleUntil) > serverNow();
  const picksRoom = keptRooms && [...picked].some((seat) => plan.room[seat] !== seatRooms.none);

  const names = useCallback(
    (seats: readonly number[]) => seats.map((seat) => text("seatName", { ...nameSeat(plan, seat) })).join("; "),
    [plan, text],
  );

  const pick = useCallback(
    (seat: number) => {
      setTold(undefined);
      setPicked((before) => {
        const next = new Set(before);
        if (next.delete(seat)) return next;
        if (states?.[seat] !== seatStates.free) return before;
        if (next.size >= limit) {
          setTold({ title: text("limitHit", { limit }) });
          return before;
        }
        return next.add(seat);
      });
    },
    [states, limit, text],
  );

  // With another code, or none, other seats can be had.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the pick is emptied when the code changes, and only then
  useEffect(() => setPicked(new Set()), [opened]);

  // Someone else takes a seat that was only picked here: it goes from the pick, and is said.
  const holding = useRef(false);
  useEffect(
    () =>
      subscribe((changed) => {
        if (holding.current) return;
        setPicked((before) => {
          const gone = [...before].filter(
            (seat) => (changed === undefined || changed.includes(seat)) && states?.[seat] !== seatStates.free,
          );
          if (gone.length === 0) return before;
          setTold({ title: text("seatGone", { seats: names(gone) }) });
          return new Set([...before].filter((seat) => !gone.includes(seat)));
        });
      }),
    [subscribe, states, names, text],
  );

  const hold = useMutation({
    mutationFn: async (wish: Wish) => {
      const body = {
        eventId,
        layoutVersion: plan.layoutVersion,
        ...wish,
        ...(withCode ? { accessCode: withCode.code } : {}),
      };
      // One key for all tries of this request: a retry after a lost answer meets the same hold.
      const key = newKey();
      for (let tries = 1; ; tries++) {
        try {
          return await answered(api.POST("/v1/checkouts", { params: { header: { "Idempotency-Key": key } }, body }));
        } catch (error) {
          if (!(error instanceof ApiError) || !error.retryable || tries === 4) throw error;
          await new Promise((done) => setTimeout(done, 400 * tries * (0.5 + Math.random())));
        }
      }
    },
    onMutate: () => {
      holding.current = true;
      setTold(undefined);
    },
    onSettled: () => {
      holding.current = false;
    },
    onSuccess: ({ checkoutId }) => go(`/checkouts/${checkoutId}`),
    onError: (error, wish) => {
      const { code, details }: Pick<ApiError, "code" | "details"> =
        error instanceof ApiError ? error : { code: "OFFLINE", details: {} };
      const seatsIn = (value: unknown) => (Array.isArray(value) ? value.map(String) : []);
      const found = (value: unknown) => seatsIn(value).flatMap((seatId) => findSeat(plan, seatId) ?? []);
      const taken = code === "SEAT_TAKEN" ? seatsIn(details["seats"]) : [];
      if (taken.length > 0) {
        const gone = found(taken);
        setPicked((before) => new Set([...before].filter((seat) => !gone.includes(seat))));
        if (gone.length === 0) return setTold({ title: errorText(error).text });
        // What is theirs already, in another checkout, was taken by nobody.
        const own = found(details["own"]);
        const others = gone.filter((seat) => !own.includes(seat));
        const said = [
          others.length > 0 ? text("seatGone", { seats: names(others) }) : "",
          own.length > 0 ? text("refusalSeatsYours", { seats: names(own) }) : "",
        ];
        return setTold({ title: said.join(" ").trim() });
      }
      const title = errorText(error).text;
      const instead = code === "SEAT_ORPHANED" ? found(details["alternative"]) : [];
      if (instead.length > 0)
        return setTold({
          title,
          action: {
            label: text("takeInstead", { seats: names(instead) }),
            run: () => {
              setPicked(new Set(instead));
              setTold(undefined);
            },
          },
        });
      if (code === "NOT_ENOUGH_SEATS" && details["splitWouldHelp"] === true && "bestAvailable" in wish)
        return setTold({
          title,
          action: {
            label: text("bestTryGroups"),
            run: () => hold.mutate({ bestAvailable: { ...wish.bestAvailable, split: true } }),
          },
        });
      if (code === "CHANNEL_ENDED" || code === "ACCESS_CODE_INVALID") putCodeAway(eventId);
      if (code === "LAYOUT_CHANGED") {
        setPicked(new Set());
        for (const name of ["layout", "event"]) void queries.invalidateQueries({ queryKey: [name, eventId] });
      }
      setTold({ title });
    },
  });

  const amountOf = (seat: number) => tiers.find(({ id }) => id === nameSeat(plan, seat).tier)?.amount ?? 0;
  const total = money(
    [...picked].reduce((sum, seat) => sum + amountOf(seat), 0),
    currency,
    text.locale,
  );
  const closed = sale.state !== "open";
  const holdButton = (className: string) => (
    <Button
      look="main"
      className={className}
      disabled={hold.isPending || closed || (picksRoom && !needsRoom)}
      onClick={() =>
        hold.mutate({
          seats: [...picked].map((seat) => nameSeat(plan, seat).seatId),
          ...(picksRoom ? { accessible: true } : {}),
        })
      }
    >
      {hold.isPending ? text("holding") : text("holdSeats", { count: picked.size })}
    </Button>
  );
  const codeBox = (
    <div className="rounded-xl border border-line bg-paper p-4">
      <CodeBox event={event} />
    </div>
  );
  const shared = { plan, live, picked, tiers, currency, onPick: pick };
  const asked = { event, limit, busy: hold.isPending, closed };
  return (
    <div className="grid gap-4">
      <div>
        <p className="text-sm text-soft">
          {event.name} · {event.venue.city}
        </p>
        <Title page={text("mapTitle")}>{text("mapTitle")}</Title>
      </div>
      <BasketNotice eventId={eventId} />
      {sale.state === "before" ? (
        <Notice title={text(withCode ? "codeOpensIn" : "saleOpensIn")}>
          <p>
            <Countdown untilMs={sale.opensMs} className="text-2xl font-extrabold text-ink" />
          </p>
          <p>{text("saleGateText")}</p>
        </Notice>
      ) : undefined}
      {sale.state === "cancelled" ? (
        <Notice tone="bad" title={text("eventCancelled")}>
          {text("eventCancelledText")}
        </Notice>
      ) : undefined}
      {sale.state === "over" ? <Notice tone="warn" title={text(withCode ? "codeIsOver" : "saleIsOver")} /> : undefined}
      {live.status === "waiting" ? <Notice tone="warn" title={text("liveWait")} live /> : undefined}
      {live.status === "asking" && navigator.onLine ? (
        <p role="status" className="text-sm text-soft">
          {text("liveOff")}
        </p>
      ) : undefined}
      {told ? (
        <Notice tone="bad" title={told.title} live>
          {told.action ? <Button onClick={told.action.run}>{told.action.label}</Button> : undefined}
        </Notice>
      ) : undefined}
      <div className="grid gap-6 lg:grid-cols-[minmax(0,1fr)_22rem] lg:items-start">
        <div className="grid min-w-0 gap-3">
          {seated ? (
            <>
              <div className="flex flex-wrap items-center gap-2">
                {(["map", "list"] as const).map((name) => (
                  <Button
                    key={name}
                    aria-pressed={mode === name}
                    look={mode === name ? "main" : "plain"}
                    onClick={() => setMode(name)}
                  >
                    {text(name === "map" ? "viewMap" : "viewList")}
                  </Button>
                ))}
                {mode === "map" ? <p className="text-sm text-soft">{text("mapHint")}</p> : undefined}
              </div>
              {withCode ? <p className="text-sm text-soft">{text("codeOnMap")}</p> : undefined}
              {!states ? (
                <Skeleton className="h-[60dvh]" />
              ) : mode === "map" ? (
                <SeatCanvas {...shared} />
              ) : (
                <SeatList {...shared} />
              )}
              <Legend tiers={tiers} currency={currency} />
            </>
          ) : undefined}
        </div>
        <aside className="grid min-w-0 gap-4">
          {withCode ? codeBox : undefined}
          {seated ? (
            <section aria-labelledby="pick" className="grid gap-3 rounded-xl border border-line bg-paper p-4">
              <h2 id="pick" className="text-lg font-bold">
                {text("yourPick")}
              </h2>
              {picked.size === 0 ? <p className="text-soft">{text("nothingPicked")}</p> : undefined}
              <ul className="grid gap-1">
                {[...picked].map((seat) => (
                  <li key={seat} className="flex items-center justify-between gap-2">
                    <span>{text("seatName", { ...nameSeat(plan, seat) })}</span>
                    <span className="flex items-center gap-1 tabular-nums">
                      {money(amountOf(seat), currency, text.locale)}
                      <Button
                        look="quiet"
                        className="-mr-2 min-w-11"
                        aria-label={text("removeSeat", { seat: names([seat]) })}
                        onClick={() => pick(seat)}
                      >
                        ×
                      </Button>
                    </span>
                  </li>
                ))}
              </ul>
              {picked.size > 0 ? (
                <>
                  {picksRoom ? (
                    <Check label={text("accessibleAsk")} checked={needsRoom} onChange={setNeedsRoom} />
                  ) : undefined}
                  <p className="flex justify-between border-t border-line pt-2 font-bold">
                    <span>{text("total")}</span>
                    <span className="tabular-nums">{total}</span>
                  </p>
                  {holdButton("max-lg:hidden")}
                </>
              ) : undefined}
            </section>
          ) : undefined}
          {seated ? (
            <BestAvailable
              {...asked}
              key={withCode?.channel.channelId}
              hasAccessible={hasAccessible}
              sections={openedSections}
              onFind={hold.mutate}
            />
          ) : undefined}
          <Places {...asked} withCode={withCode} onTake={hold.mutate} />
          {withCode ? undefined : codeBox}
        </aside>
      </div>
      {picked.size > 0 ? (
        // On a phone the pick lies below the map: what matters of it stays in reach of the thumb.
        <div className="sticky bottom-0 z-20 -mx-4 flex items-center justify-between gap-3 border-t border-line bg-paper px-4 py-2 shadow-lg lg:hidden">
          <span aria-hidden className="grid text-sm">
            <span className="text-soft">{text("pickCount", { count: picked.size })}</span>
            <span className="font-bold tabular-nums">{total}</span>
          </span>
          {holdButton("shrink")}
        </div>
      ) : undefined}
    </div>
  );
}

function Legend({ tiers, currency }: { tiers: EventWithSections["tiers"]; currency: string }) {
  const text = useText();
  return (
    <ul aria-label={text("legend")} className="flex flex-wrap gap-x-4 gap-y-1 text-sm">
      {tiers.map((tier, at) => (
        <li key={tier.id} className="flex items-center gap-1.5">
          <TierMark tier={at} />
          {tier.name}, {money(tier.amount, currency, text.locale)}
        </li>
      ))}
      <li className="flex items-center gap-1.5">
        <svg aria-hidden viewBox="-8 -8 16 16" className="size-4">
          <circle r="5" className="fill-none stroke-soft" strokeWidth="1.5" />
        </svg>
        {text("seatHeld")}
      </li>
      <li className="flex items-center gap-1.5">
        <svg aria-hidden viewBox="-8 -8 16 16" className="size-4">
          <circle r="3" className="fill-edge" />
        </svg>
        {text("seatSold")}
      </li>
    </ul>
  );
}
