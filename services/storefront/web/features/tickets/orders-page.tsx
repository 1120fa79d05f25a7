// Orders with their receipts, and what became of their money.
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { answered, api, type Order } from "../../api/client.js";
import { dateAndTime, money } from "../../format.js";
import { useSession } from "../../session.js";
import { useText } from "../../text.js";
import { Button, ButtonLink } from "../../ui/button.js";
import { Empty, Notice, Problem, Skeleton } from "../../ui/notice.js";
import { Title } from "../../ui/page.js";
import { useLoggedIn } from "../account/log-in-page.js";
import { RefundBox, useRefundAsked } from "./refund-box.js";
import { seatText } from "./tickets-page.js";
import { openDispute, orderStatusKeys, refundKindKeys, refundStateKeys } from "./whats-left.js";

export function OrdersPage() {
  const text = useText();
  useLoggedIn();
  const session = useSession();
  const orders = useInfiniteQuery({
    queryKey: ["orders"],
    enabled: session.kind === "in",
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      answered(
        api.GET("/v1/orders", {
          signal,
          params: { query: { limit: 20, ...(pageParam ? { cursor: pageParam } : {}) } },
        }),
      ),
    getNextPageParam: (last) => last.nextCursor,
  });
  const found = orders.data?.pages.flatMap((page) => page.orders);
  return (
    <div className="grid gap-6">
      <Title page={text("ordersTitle")}>{text("ordersTitle")}</Title>
      {orders.isError ? (
        <Problem error={orders.error} retry={() => void orders.refetch()} />
      ) : !found ? (
        <Skeleton className="h-40" />
      ) : found.length === 0 ? (
        <Empty title={text("noOrdersTitle")}>
          <p>{text("noOrdersText")}</p>
          <ButtonLink to="/" className="mt-4">
            {text("toConcerts")}
          </ButtonLink>
        </Empty>
      ) : (
        <ul className="grid gap-4">
          {found.map((order) => (
            <li key={order.checkoutId}>
              <OrderCard order={order} />
            </li>
          ))}
        </ul>
      )}
      {orders.hasNextPage ? (
        <Button className="justify-self-center" onClick={() => void orders.fetchNextPage()}>
          {text("more")}
        </Button>
      ) : undefined}
    </div>
  );
}

function OrderCard({ order }: { order: Order }) {
  const text = useText();
  const { checkoutId, event, seats, amount, amountRefunded, amountFailed, currency, status, refunds } = order;
  const asked = useRefundAsked(order);
  const gone = new Set(order.refundedSeats);
  const day = new Intl.DateTimeFormat(text.locale, { dateStyle: "medium", timeZone: event.timeZone });
  return (
    <section className="grid gap-3 rounded-xl border border-line bg-paper p-4">
      <div className="flex flex-wrap items-baseline justify-between gap-x-4">
        <h2 className="text-lg font-bold">
          <Link href={`/events/${event.eventId}`} className="no-underline hover:underline">
            {event.name}
          </Link>
        </h2>
        {asked ? undefined : (
          <span
            className={`text-sm font-semibold ${status === "completed" && amountFailed === 0 ? "text-good" : "text-warn"}`}
          >
            {text(amountFailed > 0 ? "orderRefundFailed" : orderStatusKeys[status])}
          </span>
        )}
      </div>
      <p className="text-sm text-soft">
        {dateAndTime(event.startsAt, event.timeZone, text.locale)} · {event.venue}, {event.city}
      </p>
      {amountFailed > 0 ? (
        <Notice
          tone="warn"
          title={text("refundFailedOwed", { amount: money(amountFailed, currency, text.locale) })}
          live
        >
          <p>{text("refundFailedText")}</p>
        </Notice>
      ) : undefined}
      {openDispute(order) ? <Notice tone="warn" title={text("orderDisputed")} /> : undefined}
      <details>
        <summary className="min-h-11 py-2 font-semibold">{text("receipt")}</summary>
        <table className="w-full text-sm">
          <tbody>
            {seats.map((seat) => (
              <tr key={seat.seatId}>
                <td className="py-1">
                  {seatText(text, seat)}
                  {gone.has(seat.seatId) ? <span className="text-soft"> · {text("seatVoid")}</span> : undefined}
                </td>
                <td className="text-right tabular-nums">{money(seat.amount, currency, text.locale)}</td>
              </tr>
            ))}
            <tr className="border-t border-line font-bold">
              <th scope="row" className="py-1 text-left">
                {text("total")}
              </th>
              <td className="text-right tabular-nums">{money(amount, currency, text.locale)}</td>
            </tr>
            {amountRefunded > 0 ? (
              <tr>
                <th scope="row" className="py-1 text-left font-normal">
                  {text("orderRefunded")}
                </th>
                <td className="text-right tabular-nums">{money(-amountRefunded, currency, text.locale)}</td>
              </tr>
            ) : undefined}
          </tbody>
        </table>
        {refunds.length > 0 ? (
          <ul className="mt-2 grid gap-1 text-sm">
            {refunds.map((refund) => (
              <li key={refund.refundId} className="flex justify-between gap-4">
                <span>
                  {text(refundKindKeys[refund.kind])}
                  <span className="text-soft">
                    {" "}
                    · {text(refundStateKeys[refund.state])} · {day.format(new Date(refund.at))}
                  </span>
                </span>
                <span className="tabular-nums">{money(refund.amount, currency, text.locale)}</span>
              </li>
            ))}
          </ul>
        ) : undefined}
        <p className="mt-2 text-sm text-soft">
          {dateAndTime(order.createdAt, event.timeZone, text.locale)} · {checkoutId}
        </p>
      </details>
      <RefundBox order={order} />
    </section>
  );
}
