// Giving an order's tickets back, where the event lets its buyers do so: asked once more, and true to the end about where it stands.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState, useSyncExternalStore } from "react";
import { ApiError, answered, api, newKey, type Order } from "../../api/client.js";
import { money } from "../../format.js";
import { whenLeft } from "../../session.js";
import { useText } from "../../text.js";
import { Button } from "../../ui/button.js";
import { Notice, Problem } from "../../ui/notice.js";
import { seatText } from "./tickets-page.js";
import { leftOf, openSeats } from "./whats-left.js";

// The Idempotency-Key of a refund that was asked for: with it any later request, after a reload too, is about the same refund.
const prefix = "onsale.refund.";
const nameOf = (checkoutId: string) => `${prefix}${checkoutId}`;
const listeners = new Set<() => void>();

function keepKey(checkoutId: string, key: string | undefined): void {
  if (key === undefined) localStorage.removeItem(nameOf(checkoutId));
  else localStorage.setItem(nameOf(checkoutId), key);
  for (const listener of listeners) listener();
}
whenLeft(() => {
  for (const name of Object.keys(localStorage)) if (name.startsWith(prefix)) localStorage.removeItem(name);
});

/** The key, while a refund was asked for and its end has not been seen. */
export function useRefundAsked({ checkoutId, status }: Order): string | undefined {
  const key = useSyncExternalStore(
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
  return isOver(status) ? undefined : key;
}

/** Nothing more can be given back. */
const isOver = (status: Order["status"]): boolean => status === "refunded" || status === "voided";
const isEnd = (status: string | undefined): boolean => status === "refunded" || status === "failed";

const askFor = (checkoutId: string, key: string) =>
  answered(
    api.POST("/v1/orders/{checkoutId}/refund", {
      params: { path: { checkoutId }, header: { "Idempotency-Key": key } },
      body: {},
    }),
  );

export function RefundBox({ order }: { order: Order }) {
  const text = useText();
  const queries = useQueryClient();
  const { checkoutId, amountRefunded, currency, refundable } = order;
  const open = openSeats(order);
  const left = money(leftOf(open), currency, text.locale);
  const [sure, setSure] = useState(false);
  const key = useRefundAsked(order);
  const renew = () =>
    Promise.all(
      ["orders", "tickets", "ticket", "checkout"].map((name) => queries.invalidateQueries({ queryKey: [name] })),
    );

  const ask = useMutation({
    mutationFn: () => {
      const fresh = newKey();
      keepKey(checkoutId, fresh);
      return askFor(checkoutId, fresh);
    },
    onError: (error) => {
      // Refused for good: nothing is under way. Whatever else happened, it may be.
      if (error instanceof ApiError && !error.retryable && error.status < 500) keepKey(checkoutId, undefined);
    },
    onSuccess: (standing) => queries.setQueryData(["refund", checkoutId], standing),
    onSettled: () => setSure(false),
  });

  // Under way: the same request again tells how it stands, until it is done.
  const progress = useQuery({
    queryKey: ["refund", checkoutId],
    enabled: key !== undefined && !ask.isPending,
    queryFn: () => askFor(checkoutId, key ?? ""),
    refetchInterval: ({ state: { data, error } }) =>
      isEnd(data?.status) || (error instanceof ApiError && !error.retryable) ? false : 2_000,
    staleTime: ({ state: { data } }) => (isEnd(data?.status) ? Number.POSITIVE_INFINITY : 0),
    gcTime: 0,
  });
  const isDone = isEnd(progress.data?.status);
  const refusal = progress.error instanceof ApiError && !progress.error.retryable ? progress.error : undefined;
  // biome-ignore lint/correctness/useExhaustiveDependencies: once, when it is done or refused
  useEffect(() => {
    if (refusal) keepKey(checkoutId, undefined);
    // The order is read first: until it shows the end, it must not offer another beginning.
    if (isDone || refusal) void renew().then(() => keepKey(checkoutId, undefined));
  }, [isDone, refusal]);
  useEffect(() => {
    if (isOver(order.status)) keepKey(checkoutId, undefined);
  }, [order.status, checkoutId]);

  if (order.status === "refunded")
    return (
      <p className="text-sm text-soft">
        {text("refundDone", { amount: money(amountRefunded, currency, text.locale) })}
      </p>
    );
  if (key !== undefined)
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
                <tr key={seat.seatId}>
                  <td className="py-1">{seatText(text, seat)}</td>
                  <td className="text-right tabular-nums">{money(seat.left, currency, text.locale)}</td>
                </tr>
              ))}
            </tbody>
          </table>
          <div className="flex flex-wrap gap-2">
            <Button look="main" disabled={ask.isPending} onClick={() => ask.mutate()}>
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
