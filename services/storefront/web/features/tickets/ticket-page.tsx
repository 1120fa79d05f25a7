// One ticket with its code for the door, to show or to print.
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { encode } from "uqr";
import { answered, api } from "../../api/client.js";
import { dateAndTime, money } from "../../format.js";
import { useSession } from "../../session.js";
import { useText } from "../../text.js";
import { Button, ButtonLink } from "../../ui/button.js";
import { Problem, Skeleton } from "../../ui/notice.js";
import { Title } from "../../ui/page.js";
import { useLoggedIn } from "../account/log-in-page.js";
import { ticketOrKept } from "./kept-tickets.js";
import { seatText } from "./tickets-page.js";

export function TicketPage({ ticketId }: { ticketId: string }) {
  const text = useText();
  useLoggedIn();
  const session = useSession();
  const ticket = useQuery({
    queryKey: ["ticket", ticketId],
    enabled: session.kind !== "out",
    queryFn: ({ signal }) =>
      ticketOrKept(ticketId, () =>
        answered(api.GET("/v1/tickets/{ticketId}", { signal, params: { path: { ticketId } } })),
      ),
  });
  if (ticket.isError) return <Problem error={ticket.error} retry={() => void ticket.refetch()} />;
  if (!ticket.data) return <Skeleton className="h-96" />;
  const { event, seat, status, token, currency } = ticket.data;
  return (
    <article className="mx-auto grid max-w-md gap-4">
      <div className="grid gap-3 rounded-2xl border border-line bg-paper p-6 text-center">
        <Title page={event.name}>{event.name}</Title>
        <p className="text-balance">
          {dateAndTime(event.startsAt, event.timeZone, text.locale)}
          <br />
          {event.venue}, {event.city}
        </p>
        <p className="border-y border-dashed border-line py-3 text-xl font-bold">{seatText(text, seat)}</p>
        {token ? <Code content={token} label={text("ticketCode")} /> : undefined}
        <p className={`font-semibold ${status === "valid" ? "text-good" : "text-accent"}`}>
          {text(status === "valid" ? "ticketValid" : "ticketVoid")}
        </p>
        {ticket.data.disputed ? <p className="text-sm text-warn">{text("orderDisputed")}</p> : undefined}
        <p className="text-sm text-soft">
          {money(seat.amount, currency, text.locale)} · {ticket.data.ticketId}
        </p>
        <p className="no-print text-sm text-soft">{text("savedOffline")}</p>
      </div>
      <div className="no-print flex flex-wrap justify-center gap-2">
        <Button onClick={() => print()}>{text("printTickets")}</Button>
        <ButtonLink look="quiet" to="/tickets">
          {text("ticketsTitle")}
        </ButtonLink>
      </div>
    </article>
  );
}

/** Black on white whatever the theme is: scanners want it so. */
function Code({ content, label }: { content: string; label: string }) {
  const { size, path } = useMemo(() => {
    const { data, size } = encode(content, { ecc: "M", border: 2 });
    const path = data.flatMap((row, y) => row.flatMap((dark, x) => (dark ? [`M${x} ${y}h1v1h-1z`] : []))).join("");
    return { size, path };
  }, [content]);
  return (
    <svg
      role="img"
      aria-label={label}
      viewBox={`0 0 ${size} ${size}`}
      shapeRendering="crispEdges"
      className="mx-auto w-full max-w-72"
    >
      <path fill="#fff" d={`M0 0h${size}v${size}h-${size}z`} />
      <path fill="#000" d={path} />
    </svg>
  );
}
