// Choosing seats: on the map, in the list, or the best available; what is chosen is held with one request, all or nothing.
import { useMutation, useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useLocation } from "wouter";
import { ApiError, answered, api, type EventWithSections, newKey, type Schemas } from "../../api/client.js";
import { money } from "../../format.js";
import { useSession } from "../../session.js";
import { useText } from "../../text.js";
import { Button } from "../../ui/button.js";
import { Choice } from "../../ui/field.js";
import { Notice, Problem, Skeleton, useErrorText } from "../../ui/notice.js";
import { Title } from "../../ui/page.js";
import { useEvent } from "../events/event-page.js";
import { useLiveSeats } from "./live-seats.js";
import { SeatCanvas } from "./seat-canvas.js";
import { SeatList } from "./seat-list.js";
import { tierColour } from "./seat-painter.js";
import { findSeat, nameSeat, planSeats, seatStates } from "./seat-plan.js";

type NewCheckout = Schemas["NewCheckout"];

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

function Chooser({ event, plan }: { event: EventWithSections; plan: ReturnType<typeof planSeats> }) {
  const text = useText();
  const errorText = useErrorText();
  const [, go] = useLocation();
  const { eventId, tiers, currency, seatsPerPerson } = event;
  const live = useLiveSeats(eventId, plan);
  const { states, subscribe } = live;
  const [picked, setPicked] = useState<ReadonlySet<number>>(new Set());
  const [lost, setLost] = useState<string>();
  const [mode, setMode] = useState<"map" | "list">("map");
  const seated = plan.seatCount > 0;

  const names = useCallback(
    (seats: readonly number[]) => seats.map((seat) => text("seatName", { ...nameSeat(plan, seat) })).join("; "),
    [plan, text],
  );

  const pick = useCallback(
    (seat: number) => {
      setLost(undefined);
      setPicked((before) => {
        const next = new Set(before);
        if (next.delete(seat)) return next;
        if (states?.[seat] !== seatStates.free) return before;
        if (next.size >= seatsPerPerson) {
          setLost(text("limitHit", { limit: seatsPerPerson }));
          return before;
        }
        return next.add(seat);
      });
    },
    [states, seatsPerPerson, text],
  );

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
          setLost(text("seatGone", { seats: names(gone) }));
          return new Set([...before].filter((seat) => !gone.includes(seat)));
        });
      }),
    [subscribe, states, names, text],
  );

  const hold = useMutation({
    mutationFn: async (wanted: NewCheckout) => {
      // One key for all tries of this request: a retry after a lost answer meets the same hold.
      const key = newKey();
      for (let tries = 1; ; tries++) {
        try {
          return await answered(
            api.POST("/v1/checkouts", { params: { header: { "Idempotency-Key": key } }, body: wanted }),
          );
        } catch (error) {
          if (!(error instanceof ApiError) || !error.retryable || tries === 4) throw error;
          await new Promise((done) => setTimeout(done, 400 * tries * (0.5 + Math.random())));
        }
      }
    },
    onMutate: () => {
      holding.current = true;
      setLost(undefined);
    },
    onSettled: () => {
      holding.current = false;
    },
    onSuccess: ({ checkoutId }) => go(`/checkouts/${checkoutId}`),
    onError: (error) => {
      const taken = error instanceof ApiError && error.code === "SEAT_TAKEN" ? (error.details.seats ?? []) : [];
      if (taken.length === 0) return setLost(errorText(error).text);
      const gone = taken.flatMap((seatId) => findSeat(plan, seatId) ?? []);
      setPicked((before) => new Set([...before].filter((seat) => !gone.includes(seat))));
      setLost(text("seatGone", { seats: gone.length > 0 ? names(gone) : taken.join(", ") }));
    },
  });

  const amountOf = (seat: number) => tiers.find(({ id }) => id === nameSeat(plan, seat).tier)?.amount ?? 0;
  const total = [...picked].reduce((sum, seat) => sum + amountOf(seat), 0);
  const shared = { plan, live, picked, tiers, currency, onPick: pick };
  return (
    <div className="grid gap-4">
      <div>
        <p className="text-sm text-soft">
          {event.name} · {event.venue.city}
        </p>
        <Title page={text("mapTitle")}>{text("mapTitle")}</Title>
      </div>
      {live.status === "waiting" ? <Notice tone="warn" title={text("liveWait")} live /> : undefined}
      {lost ? <Notice tone="bad" title={lost} live /> : undefined}
      <div className="grid gap-6 lg:grid-cols-[1fr_22rem] lg:items-start">
        <div className="grid gap-3">
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
        <aside className="grid gap-4">
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
                        className="px-2"
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
                  <p className="flex justify-between border-t border-line pt-2 font-bold">
                    <span>{text("total")}</span>
                    <span className="tabular-nums">{money(total, currency, text.locale)}</span>
                  </p>
                  <Button
                    look="main"
                    disabled={hold.isPending}
                    onClick={() =>
                      hold.mutate({ eventId, seats: [...picked].map((seat) => nameSeat(plan, seat).seatId) })
                    }
                  >
                    {hold.isPending ? text("holding") : text("holdSeats", { count: picked.size })}
                  </Button>
                </>
              ) : undefined}
            </section>
          ) : undefined}
          {seated ? <Best event={event} busy={hold.isPending} onFind={hold.mutate} /> : undefined}
          <Places event={event} busy={hold.isPending} onTake={hold.mutate} />
        </aside>
      </div>
    </div>
  );
}

/** 1, 2, 3, … */
const upTo = (most: number): number[] => Array.from({ length: most }, (_, at) => at + 1);

function Legend({ tiers, currency }: { tiers: EventWithSections["tiers"]; currency: string }) {
  const text = useText();
  const marks = ["●", "■", "◆", "▲"];
  return (
    <ul aria-label={text("legend")} className="flex flex-wrap gap-x-4 gap-y-1 text-sm">
      {tiers.map((tier, at) => (
        <li key={tier.id} className="flex items-center gap-1.5">
          <svg aria-hidden viewBox="0 0 10 12" className="size-4">
            <text x="5" y="10" textAnchor="middle" fontSize="11" fill={tierColour(at)}>
              {marks[at % marks.length]}
            </text>
          </svg>
          {tier.name}, {money(tier.amount, currency, text.locale)}
        </li>
      ))}
      <li>
        <span aria-hidden>○</span> {text("seatHeld")}
      </li>
      <li>
        <span aria-hidden>·</span> {text("seatSold")}
      </li>
    </ul>
  );
}

function Best({
  event,
  busy,
  onFind,
}: {
  event: EventWithSections;
  busy: boolean;
  onFind: (wanted: NewCheckout) => void;
}) {
  const text = useText();
  const prices = [...new Set(event.tiers.map(({ amount }) => amount))].sort((a, b) => a - b);
  const [quantity, setQuantity] = useState(2);
  const [most, setMost] = useState(prices.length - 1);
  const [section, setSection] = useState("");
  const maxAmount = prices[most] ?? 0;
  return (
    <section aria-labelledby="best" className="grid gap-3 rounded-xl border border-line bg-paper p-4">
      <h2 id="best" className="text-lg font-bold">
        {text("bestTitle")}
      </h2>
      <div className="grid grid-cols-2 gap-3">
        <Choice
          label={text("bestQuantity")}
          value={quantity}
          onChange={(change) => setQuantity(Number(change.target.value))}
        >
          {upTo(event.seatsPerPerson).map((count) => (
            <option key={count}>{count}</option>
          ))}
        </Choice>
        <Choice label={text("sectionLabel")} value={section} onChange={(change) => setSection(change.target.value)}>
          <option value="">{text("anySection")}</option>
          {event.sections
            .filter(({ generalAdmission }) => !generalAdmission)
            .map(({ id, name }) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
        </Choice>
      </div>
      {prices.length > 1 ? (
        <label className="text-sm font-semibold">
          {text("bestMaxPrice", { price: money(maxAmount, event.currency, text.locale) })}
          <input
            type="range"
            className="mt-1 h-11 w-full"
            min={0}
            max={prices.length - 1}
            value={most}
            aria-valuetext={money(maxAmount, event.currency, text.locale)}
            onChange={(change) => setMost(Number(change.target.value))}
          />
        </label>
      ) : undefined}
      <Button
        disabled={busy}
        onClick={() =>
          onFind({
            eventId: event.eventId,
            bestAvailable: {
              quantity,
              ...(prices.length > 1 ? { maxAmount } : {}),
              ...(section ? { sections: [section] } : {}),
            },
          })
        }
      >
        {busy ? text("holding") : text("bestFind")}
      </Button>
    </section>
  );
}

function Places({
  event,
  busy,
  onTake,
}: {
  event: EventWithSections;
  busy: boolean;
  onTake: (wanted: NewCheckout) => void;
}) {
  const text = useText();
  const open = event.sections.filter(({ generalAdmission }) => generalAdmission);
  const [quantity, setQuantity] = useState(1);
  return open.map((section) => {
    const tier = event.tiers.find(({ id }) => id === section.tier);
    return (
      <section key={section.id} className="grid gap-3 rounded-xl border border-line bg-paper p-4">
        <h2 className="text-lg font-bold">{section.name}</h2>
        {tier ? <p>{money(tier.amount, event.currency, text.locale)}</p> : undefined}
        <Choice
          label={text("placesLabel")}
          value={quantity}
          onChange={(change) => setQuantity(Number(change.target.value))}
        >
          {upTo(event.seatsPerPerson).map((count) => (
            <option key={count}>{count}</option>
          ))}
        </Choice>
        <Button
          look="main"
          disabled={busy}
          onClick={() => onTake({ eventId: event.eventId, section: section.id, quantity })}
        >
          {busy ? text("holding") : text("takePlaces")}
        </Button>
      </section>
    );
  });
}
