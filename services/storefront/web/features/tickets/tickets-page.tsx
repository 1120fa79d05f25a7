// The tickets of the account, also without a connection once they were seen.
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { answered, api, type Ticket } from "../../api/client.js";
import { dateAndTime } from "../../format.js";
import { useSession } from "../../session.js";
import { useText } from "../../text.js";
import { Button, ButtonLink } from "../../ui/button.js";
import { Empty, Problem, Skeleton } from "../../ui/notice.js";
import { Title } from "../../ui/page.js";
import { useLoggedIn } from "../account/log-in-page.js";
import { firstTicketsOrKept } from "./kept-tickets.js";

export const seatText = (text: ReturnType<typeof useText>, seat: Ticket["seat"]): string =>
  seat.row
    ? text("seatName", { section: seat.section, row: seat.row, number: seat.number })
    : text("placeName", { section: seat.section });

const bySeat = new Intl.Collator("en", { numeric: true });

/** Orders as they come, the tickets of each by their seats. */
function inOrder(tickets: readonly Ticket[]): readonly Ticket[] {
  const orders = [...new Set(tickets.map(({ checkoutId }) => checkoutId))];
  return orders.flatMap((order) =>
    tickets
      .filter(({ checkoutId }) => checkoutId === order)
      .sort((a, b) => bySeat.compare(a.seat.seatId, b.seat.seatId)),
  );
}

export function TicketsPage() {
  const text = useText();
  useLoggedIn();
  const session = useSession();
  const tickets = useInfiniteQuery({
    queryKey: ["tickets"],
    enabled: session.kind !== "out",
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) => {
      const ask = () =>
        answered(
          api.GET("/v1/tickets", {
            signal,
            params: { query: { limit: 50, ...(pageParam ? { cursor: pageParam } : {}) } },
          }),
        );
      return pageParam ? ask() : firstTicketsOrKept(ask);
    },
    getNextPageParam: (last) => last.nextCursor,
  });
  const found = tickets.data && inOrder(tickets.data.pages.flatMap((page) => page.tickets));
  return (
    <div className="grid gap-6">
      <Title page={text("ticketsTitle")}>{text("ticketsTitle")}</Title>
      {tickets.isError ? (
        <Problem error={tickets.error} retry={() => void tickets.refetch()} />
      ) : !found ? (
        <Skeleton className="h-40" />
      ) : found.length === 0 ? (
        <Empty title={text("noTicketsTitle")}>
          <p>{text("noTicketsText")}</p>
          <ButtonLink to="/" className="mt-4">
            {text("toConcerts")}
          </ButtonLink>
        </Empty>
      ) : (
        <ul className="grid gap-3 sm:grid-cols-2">
          {found.map((ticket) => (
            <li key={ticket.ticketId}>
              <Link
                href={`/tickets/${ticket.ticketId}`}
                className="grid gap-1 rounded-xl border border-line bg-paper p-4 no-underline hover:border-accent"
              >
                <span className="text-lg font-bold">{ticket.event.name}</span>
                <span className="text-sm text-soft">
                  {dateAndTime(ticket.event.startsAt, ticket.event.timeZone, text.locale)}
                </span>
                <span className="border-t border-dashed border-line pt-2 font-semibold">
                  {seatText(text, ticket.seat)}
                </span>
                <span className={`text-sm font-semibold ${ticket.status === "valid" ? "text-good" : "text-accent"}`}>
                  {text(ticket.status === "valid" ? "ticketValid" : "ticketVoid")}
                </span>
              </Link>
            </li>
          ))}
        </ul>
      )}
      {tickets.hasNextPage ? (
        <Button className="justify-self-center" onClick={() => void tickets.fetchNextPage()}>
          {text("more")}
        </Button>
      ) : undefined}
    </div>
  );
}
