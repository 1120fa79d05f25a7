// Checkouts that were begun in this browser and not yet seen to an end: their time, from whatever page, and the way back to them.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState, useSyncExternalStore } from "react";
import { Link, useLocation } from "wouter";
import { ApiError, answered, api, type Checkout } from "../../api/client.js";
import { useSession, whenLeft } from "../../session.js";
import { type MessageKey, useText } from "../../text.js";
import { Button, ButtonLink } from "../../ui/button.js";
import { Countdown, useTimeLeft } from "../../ui/countdown.js";
import { Notice, Problem } from "../../ui/notice.js";

/** Nothing more happens to a checkout in one of these, but for a refund. */
export const settled: readonly Checkout["status"][] = ["completed", "expired", "cancelled", "refunded"];

interface Begun {
  readonly checkoutId: string;
  readonly eventId: string;
}

// Ids only: what they stand for is asked of the API, which answers their owner alone.
const storedName = "onsale.checkouts";
const most = 5;
const listeners = new Set<() => void>();
let known: { readonly text: string | null; readonly begun: readonly Begun[] } = { text: null, begun: [] };

function begunHere(): readonly Begun[] {
  const text = localStorage.getItem(storedName);
  if (text !== known.text) {
    let begun: readonly Begun[] = [];
    try {
      begun = JSON.parse(text ?? "[]") as readonly Begun[];
    } catch {
      // Somebody wrote something else there: nothing is begun.
    }
    known = { text, begun };
  }
  return known.begun;
}

function store(begun: readonly Begun[]): void {
  if (begun.length === 0) localStorage.removeItem(storedName);
  else localStorage.setItem(storedName, JSON.stringify(begun.slice(-most)));
  for (const listener of listeners) listener();
}

export function remember({ checkoutId, eventId }: Begun): void {
  const others = begunHere().filter((one) => one.checkoutId !== checkoutId);
  if (others.length === begunHere().length) store([...others, { checkoutId, eventId }]);
}
export function forget(checkoutId: string): void {
  const others = begunHere().filter((one) => one.checkoutId !== checkoutId);
  if (others.length < begunHere().length) store(others);
}
whenLeft(() => store([]));

function useBegun(): readonly Begun[] {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    addEventListener("storage", listener);
    return () => {
      listeners.delete(listener);
      removeEventListener("storage", listener);
    };
  }, begunHere);
}

/** `heldEveryMs`: how often it is asked for while nothing is being decided. */
export function useCheckout(checkoutId: string | undefined, heldEveryMs: number) {
  const session = useSession();
  return useQuery({
    queryKey: ["checkout", checkoutId],
    enabled: session.kind === "in" && checkoutId !== undefined,
    queryFn: ({ signal }) =>
      answered(api.GET("/v1/checkouts/{checkoutId}", { signal, params: { path: { checkoutId: checkoutId ?? "" } } })),
    // Held: another tab or the bank may change it. Being decided: soon.
    refetchInterval: ({ state: { data } }) =>
      !data || settled.includes(data.status) ? false : data.status === "paying" ? 1_000 : heldEveryMs,
    refetchOnWindowFocus: true,
    staleTime: 0,
  });
}

const said: Readonly<Record<Checkout["status"], MessageKey>> = {
  held: "basketHeld",
  paying: "basketPaying",
  requires_action: "basketAction",
  completed: "statusCompleted",
  expired: "deadlineOver",
  cancelled: "statusCancelled",
  refunded: "statusRefunded",
};

/** On every page but the checkout's own and its event's, which say it themselves. */
export function BasketStrip() {
  const text = useText();
  const [here] = useLocation();
  const begun = useBegun().at(-1);
  const { data, error, refetch } = useCheckout(begun?.checkoutId, 15_000);
  const isGone = error instanceof ApiError && error.status === 404;
  useEffect(() => {
    if (begun && isGone) forget(begun.checkoutId);
  }, [begun, isGone]);
  const deadline = Date.parse(data?.deadline ?? "");
  const { seconds } = useTimeLeft(deadline);
  const isOver = data?.status === "held" && seconds === 0;
  useEffect(() => {
    if (isOver) void refetch();
  }, [isOver, refetch]);
  if (!begun || !data || here === `/checkouts/${data.checkoutId}` || here.startsWith(`/events/${data.eventId}`))
    return undefined;
  const ended = settled.includes(data.status);
  return (
    <div className="no-print flex min-h-11 items-center justify-center gap-3 bg-ink px-4 text-paper">
      <Link
        href={data.status === "completed" ? "/tickets" : `/checkouts/${data.checkoutId}`}
        onClick={() => ended && forget(data.checkoutId)}
        className="flex min-h-11 flex-wrap items-center justify-center gap-x-3 text-sm font-semibold"
      >
        <span className={ended ? "" : "max-sm:underline max-sm:underline-offset-4"}>{text(said[data.status])}</span>
        {data.status === "held" ? <Countdown untilMs={deadline} /> : undefined}
        {ended ? undefined : <span className="underline underline-offset-4 max-sm:hidden">{text("basketGo")}</span>}
      </Link>
      <span role="status" className="sr-only">
        {data.status === "held" && seconds <= 60 ? text("basketSoon") : ended ? text(said[data.status]) : ""}
      </span>
      {ended ? (
        <button
          type="button"
          aria-label={text("close")}
          className="min-h-11 min-w-11"
          onClick={() => forget(data.checkoutId)}
        >
          ×
        </button>
      ) : undefined}
    </div>
  );
}

/** On the pages of an event: what is held of it for this person, before more is chosen. */
export function BasketNotice({ eventId }: { eventId: string }) {
  const text = useText();
  const begun = useBegun().findLast((one) => one.eventId === eventId);
  const { data } = useCheckout(begun?.checkoutId, 15_000);
  useEffect(() => {
    if (data && settled.includes(data.status)) forget(data.checkoutId);
  }, [data]);
  if (!data || settled.includes(data.status)) return undefined;
  return (
    <Notice tone="warn" title={text(said[data.status])}>
      {data.status === "held" ? (
        <p>
          <Countdown untilMs={Date.parse(data.deadline ?? "")} className="text-2xl font-extrabold text-ink" />
        </p>
      ) : undefined}
      <div className="mt-2 flex flex-wrap items-center gap-x-4 gap-y-2">
        <ButtonLink look="main" to={`/checkouts/${data.checkoutId}`}>
          {text("basketGo")}
        </ButtonLink>
        {data.status === "paying" ? undefined : <GiveBack checkoutId={data.checkoutId} disabled={false} />}
      </div>
    </Notice>
  );
}

/** Asks once more before it does. */
export function GiveBack({ checkoutId, disabled }: { checkoutId: string; disabled: boolean }) {
  const text = useText();
  const queries = useQueryClient();
  const [sure, setSure] = useState(false);
  const giveBack = useMutation({
    mutationFn: () => answered(api.DELETE("/v1/checkouts/{checkoutId}", { params: { path: { checkoutId } } })),
    onSuccess: (ended) => queries.setQueryData(["checkout", checkoutId], ended),
    onSettled: () => queries.invalidateQueries({ queryKey: ["checkout", checkoutId] }),
  });
  if (!sure)
    return (
      <Button look="quiet" disabled={disabled} onClick={() => setSure(true)}>
        {text("giveBack")}
      </Button>
    );
  return (
    <div role="alertdialog" aria-label={text("giveBack")} className="grid gap-2">
      {giveBack.isError ? <Problem error={giveBack.error} /> : undefined}
      <p>{text("giveBackSure")}</p>
      <div className="flex flex-wrap gap-2">
        <Button autoFocus disabled={giveBack.isPending} onClick={() => giveBack.mutate()}>
          {text("giveBack")}
        </Button>
        <Button look="quiet" onClick={() => setSure(false)}>
          {text("keepSeats")}
        </Button>
      </div>
    </div>
  );
}
