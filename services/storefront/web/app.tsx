// Which page is at which address.
import { lazy, Suspense } from "react";
import { Route, Switch } from "wouter";
import { EventListPage } from "./features/events/event-list-page.js";
import { EventPage } from "./features/events/event-page.js";
import { useText } from "./text.js";
import { ButtonLink } from "./ui/button.js";
import { Empty, Skeleton } from "./ui/notice.js";
import { Frame, Title } from "./ui/page.js";

// What a first visit doesn't show comes when it is wanted.
const SeatsPage = lazy(async () => ({ default: (await import("./features/seats/seats-page.js")).SeatsPage }));
const CheckoutPage = lazy(async () => ({
  default: (await import("./features/checkout/checkout-page.js")).CheckoutPage,
}));
const TicketsPage = lazy(async () => ({ default: (await import("./features/tickets/tickets-page.js")).TicketsPage }));
const TicketPage = lazy(async () => ({ default: (await import("./features/tickets/ticket-page.js")).TicketPage }));
const OrdersPage = lazy(async () => ({ default: (await import("./features/tickets/orders-page.js")).OrdersPage }));
const LogInPage = lazy(async () => ({ default: (await import("./features/account/log-in-page.js")).LogInPage }));
const SignUpPage = lazy(async () => ({ default: (await import("./features/account/log-in-page.js")).SignUpPage }));
const AccountPage = lazy(async () => ({ default: (await import("./features/account/account-page.js")).AccountPage }));

export function App() {
  return (
    <Frame>
      <Suspense fallback={<Skeleton className="h-96" />}>
        <Switch>
          <Route path="/" component={EventListPage} />
          <Route path="/events/:eventId">{({ eventId }) => <EventPage eventId={eventId} />}</Route>
          {/* A waiting room belongs between the event's page and this one: whoever is let in comes here. */}
          <Route path="/events/:eventId/seats">{({ eventId }) => <SeatsPage eventId={eventId} />}</Route>
          <Route path="/checkouts/:checkoutId">{({ checkoutId }) => <CheckoutPage checkoutId={checkoutId} />}</Route>
          <Route path="/tickets" component={TicketsPage} />
          <Route path="/tickets/:ticketId">{({ ticketId }) => <TicketPage ticketId={ticketId} />}</Route>
          <Route path="/orders" component={OrdersPage} />
          <Route path="/login" component={LogInPage} />
          <Route path="/signup" component={SignUpPage} />
          <Route path="/account" component={AccountPage} />
          <Route component={NotFound} />
        </Switch>
      </Suspense>
    </Frame>
  );
}

function NotFound() {
  const text = useText();
  return (
    <div className="grid gap-6">
      <Title page={text("notFoundTitle")}>{text("notFoundTitle")}</Title>
      <Empty title={text("notFoundText")}>
        <ButtonLink to="/">{text("toConcerts")}</ButtonLink>
      </Empty>
    </div>
  );
}
