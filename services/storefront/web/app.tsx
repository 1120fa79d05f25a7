// Which page is at which address.
import { Component, lazy, type ReactNode, Suspense } from "react";
import { Route, Switch, useLocation } from "wouter";
import { BasketStrip } from "./features/checkout/basket.js";
import { EventListPage } from "./features/events/event-list-page.js";
import { EventPage } from "./features/events/event-page.js";
import { useText } from "./text.js";
import { Button, ButtonLink } from "./ui/button.js";
import { Empty, Notice, Skeleton } from "./ui/notice.js";
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
const OrganiserPage = lazy(async () => ({
  default: (await import("./features/organiser/organiser-page.js")).OrganiserPage,
}));
const NewEventPage = lazy(async () => ({
  default: (await import("./features/organiser/events/new-event-page.js")).NewEventPage,
}));
const EditDraftPage = lazy(async () => ({
  default: (await import("./features/organiser/events/new-event-page.js")).EditDraftPage,
}));
const DashboardPage = lazy(async () => ({
  default: (await import("./features/organiser/sale/dashboard-page.js")).DashboardPage,
}));
const ChannelsPage = lazy(async () => ({
  default: (await import("./features/organiser/channels/channels-page.js")).ChannelsPage,
}));
const BlocksPage = lazy(async () => ({
  default: (await import("./features/organiser/seats/blocks-page.js")).BlocksPage,
}));
const OrderSearchPage = lazy(async () => ({
  default: (await import("./features/organiser/orders/order-search-page.js")).OrderSearchPage,
}));
const OrderPage = lazy(async () => ({
  default: (await import("./features/organiser/orders/order-page.js")).OrderPage,
}));
const DisputePage = lazy(async () => ({
  default: (await import("./features/organiser/orders/dispute-page.js")).DisputePage,
}));

export function App() {
  const [page] = useLocation();
  return (
    <Frame strip={<BasketStrip />}>
      <Unbroken key={page}>
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
            <Route path="/organiser" component={OrganiserPage} />
            <Route path="/organiser/events/new" component={NewEventPage} />
            <Route path="/organiser/events/:eventId">{({ eventId }) => <DashboardPage eventId={eventId} />}</Route>
            <Route path="/organiser/events/:eventId/edit">{({ eventId }) => <EditDraftPage eventId={eventId} />}</Route>
            <Route path="/organiser/events/:eventId/channels">
              {({ eventId }) => <ChannelsPage eventId={eventId} />}
            </Route>
            <Route path="/organiser/events/:eventId/blocks">{({ eventId }) => <BlocksPage eventId={eventId} />}</Route>
            <Route path="/organiser/orders" component={OrderSearchPage} />
            <Route path="/organiser/orders/:checkoutId">
              {({ checkoutId }) => <OrderPage checkoutId={checkoutId} />}
            </Route>
            <Route path="/organiser/orders/:checkoutId/disputes/:disputeId">
              {({ checkoutId, disputeId }) => <DisputePage checkoutId={checkoutId} disputeId={disputeId} />}
            </Route>
            <Route component={NotFound} />
          </Switch>
        </Suspense>
      </Unbroken>
    </Frame>
  );
}

const reloadedKey = "onsale.reloaded";

/** A page that can't be shown. When its file is gone the shop was renewed meanwhile: then the new one is loaded, once. */
class Unbroken extends Component<{ children: ReactNode }, { broken: boolean }> {
  override state = { broken: false };

  static getDerivedStateFromError() {
    return { broken: true };
  }

  override componentDidCatch(error: unknown) {
    // What browsers say of a module that can't be had.
    if (!/dynamically imported module|module script|preload/i.test(String(error))) return;
    const before = Number(sessionStorage.getItem(reloadedKey) ?? 0);
    if (!navigator.onLine || Date.now() - before < 30_000) return;
    sessionStorage.setItem(reloadedKey, String(Date.now()));
    location.reload();
  }

  override render() {
    return this.state.broken ? <Broken /> : this.props.children;
  }
}

function Broken() {
  const text = useText();
  return (
    <Notice tone="bad" title={text("pageBroken")} live>
      <p>{text("pageBrokenText")}</p>
      <Button className="mt-3" onClick={() => location.reload()}>
        {text("reload")}
      </Button>
    </Notice>
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
