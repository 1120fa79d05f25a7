// Giving an order's tickets back, where the event lets its buyers do so: asked once more, and true to the end about where it stands.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState, useSyncExternalStore } from "react";
import { ApiError, answered, api, newKey, type Order } from "../../api/client.js";
import { money } from "../../format.js";
import { whenLeft } from "../../session.js";
import { useText } from "../../text.js";
import { Button } from "../../ui/button.js";
import { Check } from "../../ui/field.js";
import { Notice, Problem } from "../../ui/notice.js";
import { seatText } from "./tickets-page.js";
import { leftOf, openSeats } from "./whats-left.js";

// What was asked for, as "key seat seat …": its Idempotency-Key and the seats, none for all. With it any later request, after a reload too,
// is about the same refund.
const prefix = "onsale.refund.";
const nameOf = (checkoutId: string) => `${prefix}${checkoutId}`;
const listeners = new Set<() => void>();

function keep(checkoutId: string, asked: string | undefined): void {
  if (asked === undefined) localStorage.removeItem(nameOf(checkoutId));
  else localStorage.setItem(nameOf(checkoutId), asked);
  for (const listener of listeners) listener();
}
whenLeft(() => {
  for (const name of Object.keys(localStorage)) if (name.startsWith(prefix)) localStorage.removeItem(name);
});

/** What was asked for, while its end has not been seen. */
export function useRefundAsked({ checkoutId, status }: Order): string | undefined {
  const asked = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      addEventListener("storage", listener);
      return () => {
        listeners.delete(listener);
        removeEventListener("storage", listener);
      };
    },
    () => localStorage.getItem(nameOf(checkoutId)) ?? undefined,
  );
  return isOver(status) ? undefined : asked;
}

/** Nothing more can be given back. */
const isOver = (status: Order["status"]): boolean => status === "refunded" || status === "voided";
const isEnd = (status: string | undefined): boolean => status === "refunded" || status === "failed";

function askFor(checkoutId: string, asked: string) {
  const [key = "", ...seats] = asked.split(" ");
  return answered(
    api.POST("/v1/orders/{checkoutId}/refund", {
      params: { path: { checkoutId }, header: { "Idempotency-Key": key } },
      body: seats.length === 0 ? {} : { seats },
    }),
  );
}

export function RefundBox({ order }: { order: Order }) {
  const text = useText();
  const queries = useQueryClient();
  const { checkoutId, amountRefunded, currency, refundable } = order;
  const open = openSeats(order);
  const [kept, setKept] = useState<ReadonlySet<string>>(new Set());
  const chosen = open.filter(({ seatId }) => !kept.has(seatId));
  const left = money(leftOf(chosen), currency, text.locale);
  const [sure, setSure] = useState(false);
  const asked = useRefundAsked(order);
  const renew = () =>
    Promise.all(
      ["orders", "tickets", "ticket", "checkout"].map((name) => queries.invalidateQueries({ queryKey: [name] })),
    );

  const ask = useMutation({
    mutationFn: () => {
      const seats = chosen.length === open.length ? [] : chosen.map(({ seatId }) => seatId);
      const fresh = [newKey(), ...seats].join(" ");
      keep(checkoutId, fresh);
      return askFor(checkoutId, fresh).then((standing) => ({ fresh, standing }));
    },
    onError: (error) => {
      // Refused for good: nothing is under way. Whatever else happened, it may be.
      if (error instanceof ApiError && !error.retryable && error.status < 500) keep(checkoutId, undefined);
    },
    onSuccess: ({ fresh, standing }) => queries.setQueryData(["refund", checkoutId, fresh], standing),
    onSettled: () => {
      setSure(false);
      setKept(new Set());
    },
  });

  // Under way: the same request again tells how it stands, until it is done.
  const progress = useQuery({
    queryKey: ["refund", checkoutId, asked],
    enabled: asked !== undefined && !ask.isPending,
    queryFn: () => askFor(checkoutId, asked ?? ""),
    refetchInterval: ({ state: { data, error } }) =>
      isEnd(data?.status) || (error instanceof ApiError && !error.retryable) ? false : 2_000,
    staleTime: ({ state: { data } }) => (isEnd(data?.status) ? Number.POSITIVE_INFINITY : 0),
    gcTime: 0,
  });
  const isDone = isEnd(progress.data?.status);
  const refusal = progress.error instanceof ApiError && !progress.error.retryable ? progress.error : undefined;
  // biome-ignore lint/correctness/useExhaustiveDependencies: once, when it is done or refused
  useEffect(() => {
    if (refusal) keep(checkoutId, undefined);
    // The order is read first: until it shows the end, it must not offer another beginning.
    if (isDone || refusal) void renew().then(() => keep(checkoutId, undefined));
  }, [isDone, refusal]);
  useEffect(() => {
    if (isOver(order.status)) keep(checkoutId, undefined);
  }, [order.status, checkoutId]);

  if (order.status === "refunded")
    return (
      <p className="text-sm text-soft">
        {text("refundDone", { amount: money(amountRefunded, currency, text.locale) })}
      </p>
    );
  if (asked !== undefined)
    return (
      <Notice tone="warn" title={text("refundUnderWay")} live>
        <p>{text("refundUnderWayText")}</p>
        <progress className="mt-2 w-full animate-pulse" aria-label={text("refundUnderWay")} />
      </Notice>
    );
  return (
    <>
      {ask.isError ? <Problem error={ask.error} /> : refusal ? <Problem error={refusal} /> : undefined}
      {!refundable ? (
        <p className="text-sm text-soft">{text("refundsByOrganiser")}</p>
      ) : sure ? (
        <div role="alertdialog" aria-label={text("refundAsk")} className="grid gap-3 border-t border-line pt-3">
          <p>{text("refundSure", { amount: left })}</p>
          <table className="w-full text-sm">
            <caption className="py-1 text-left font-semibold">{text("refundBySeat")}</caption>
            <tbody>
              {open.map((seat) => (
                <tr key={seat.seatId} className={kept.has(seat.seatId) ? "text-soft line-through" : ""}>
                  <td>
                    {open.length > 1 ? (
                      <Check
                        label={seatText(text, seat)}
                        checked={!kept.has(seat.seatId)}
                        onChange={(goesBack) => {
                          const next = new Set(kept);
                          if (goesBack) next.delete(seat.seatId);
                          else next.add(seat.seatId);
                          setKept(next);
                        }}
                      />
                    ) : (
                      seatText(text, seat)
                    )}
                  </td>
                  <td className="text-right tabular-nums">{money(seat.left, currency, text.locale)}</td>
                </tr>
              ))}
            </tbody>
          </table>
          <div className="flex flex-wrap gap-2">
            <Button look="main" disabled={ask.isPending || chosen.length === 0} onClick={() => ask.mutate()}>
              {ask.isPending ? text("refundUnderWay") : text("refundYes", { amount: left })}
            </Button>
            <Button look="quiet" disabled={ask.isPending} onClick={() => setSure(false)}>
              {text("refundNo")}
            </Button>
          </div>
        </div>
      ) : (
        <Button className="justify-self-start" onClick={() => setSure(true)}>
          {text("refundAsk")}
        </Button>
      )}
    </>
  );
}
