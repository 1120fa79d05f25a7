// Orders of the organiser's events: found by order, ticket, seat or the buyer's e-mail; what is asked is in the address.
import { type FormEvent, useState } from "react";
import { Link } from "wouter";
import { dateAndTime, money } from "../../../format.js";
import { Button } from "../../../ui/button.js";
import { Choice, Field } from "../../../ui/field.js";
import { Empty, Problem, Skeleton } from "../../../ui/notice.js";
import { Title } from "../../../ui/page.js";
import { orderStatusKeys } from "../../tickets/whats-left.js";
import { orderStatuses, type SoldOrder, useOwnEvent, useSoldOrders } from "../organiser-api.js";
import { ForOrganisers, OrganiserNav } from "../organiser-frame.js";
import { useChosen } from "../organiser-page.js";
import { useOrganiserText } from "../organiser-text.js";
import { WaitsForYou } from "./waits-for-you.js";

export function OrderSearchPage() {
  return (
    <ForOrganisers>
      <Search />
    </ForOrganisers>
  );
}

function Search() {
  const text = useOrganiserText();
  const { chosen, choose, clear, any } = useChosen();
  const [q, status, eventId] = [chosen("q"), chosen("status"), chosen("eventId")];
  const [typed, setTyped] = useState(q);
  const event = useOwnEvent(eventId, eventId !== "");
  const orders = useSoldOrders({ q, status, eventId });
  const found = orders.data?.pages.flatMap((page) => page.orders);
  return (
    <div className="grid gap-6">
      <Title page={text("ordersTitle")}>{text("ordersTitle")}</Title>
      <OrganiserNav />
      <search>
        <form
          className="grid items-start gap-3 rounded-xl border border-line bg-paper p-4 sm:grid-cols-[2fr_1fr_auto]"
          onSubmit={(happened: FormEvent) => {
            happened.preventDefault();
            choose("q", typed.trim());
          }}
        >
          <Field
            label={text("orderSearchLabel")}
            type="search"
            hint={text("orderSearchHint")}
            value={typed}
            onChange={(change) => setTyped(change.target.value)}
          />
          <Choice
            label={text("statusLabel")}
            value={status}
            onChange={(change) => choose("status", change.target.value)}
          >
            <option value="">{text("anyStatus")}</option>
            {orderStatuses.map((name) => (
              <option key={name} value={name}>
                {text(orderStatusKeys[name])}
              </option>
            ))}
          </Choice>
          <Button type="submit" look="main" className="sm:mt-6">
            {text("searchOrders")}
          </Button>
          {any ? (
            <div className="flex flex-wrap items-center gap-x-4 sm:col-span-3">
              {eventId ? (
                <p className="text-sm">
                  {text("onlyOfEvent")} <strong>{event.data?.name ?? eventId}</strong>
                </p>
              ) : undefined}
              <Button
                look="quiet"
                onClick={() => {
                  setTyped("");
                  clear();
                }}
              >
                {text("clearFilters")}
              </Button>
            </div>
          ) : undefined}
        </form>
      </search>
      <WaitsForYou eventId={eventId} />
      {orders.isError ? (
        <Problem error={orders.error} retry={() => void orders.refetch()} />
      ) : !found ? (
        <div className="grid gap-3" role="status" aria-label={text("loading")}>
          {[1, 2, 3].map((key) => (
            <Skeleton key={key} className="h-24" />
          ))}
        </div>
      ) : found.length === 0 ? (
        <Empty title={text("noOrderFound")}>{text(any ? "noOrderFoundText" : "noOrdersYetText")}</Empty>
      ) : (
        <ul className="grid gap-3">
          {found.map((order) => (
            <li key={order.checkoutId}>
              <OrderCard order={order} />
            </li>
          ))}
        </ul>
      )}
      {orders.hasNextPage ? (
        <Button
          className="justify-self-center"
          disabled={orders.isFetchingNextPage}
          onClick={() => void orders.fetchNextPage()}
        >
          {text("more")}
        </Button>
      ) : undefined}
    </div>
  );
}

function OrderCard({ order }: { order: SoldOrder }) {
  const text = useOrganiserText();
  const { checkoutId, event, buyer, seats, amount, currency, status } = order;
  return (
    <Link
      href={`/organiser/orders/${checkoutId}`}
      className="grid gap-1 rounded-xl border border-line bg-paper p-4 no-underline hover:border-accent"
    >
      <span className="flex flex-wrap items-baseline justify-between gap-x-4">
        <span className="min-w-0 font-bold break-words">{buyer.email ?? buyer.accountId}</span>
        <span className="font-semibold tabular-nums">{money(amount, currency, text.locale)}</span>
      </span>
      <span className="flex flex-wrap justify-between gap-x-4 text-sm">
        <span className="text-soft">
          {event.name} · {text("placesCount", { count: seats.length })}
        </span>
        <span className={`font-semibold ${status === "completed" ? "text-good" : "text-warn"}`}>
          {text(orderStatusKeys[status])}
        </span>
      </span>
      <span className="flex flex-wrap gap-x-4 text-sm text-soft">
        <span>{dateAndTime(order.createdAt, event.timeZone, text.locale)}</span>
        <span className="break-all">{checkoutId}</span>
      </span>
    </Link>
  );
}
