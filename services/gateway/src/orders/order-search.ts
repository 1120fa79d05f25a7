// Routes by which organisers and operators find orders and see what happened to one.
import { DomainError } from "@onsale/kit/errors";
import type { CallOptions } from "@onsale/kit/grpc-client";
import type { Logger } from "@onsale/kit/log";
import { EventStatus } from "@onsale/proto/inventory/v1/catalog";
import { type Payment, PaymentStatus } from "@onsale/proto/payment/v1/payment";
import { type Order, OrderStatus, RefundState, type SearchOrdersRequest } from "@onsale/proto/ticket/v1/ticket";
import { checkoutWorkflowId } from "@onsale/workflows/contract";
import type { Services } from "../clients/services.js";
import type { HistoryEvent, Temporal } from "../clients/temporal.js";
import type { Identity } from "../http/authenticate.js";
import { type Route, route } from "../http/route.js";
import { askerOf, ownedEvent } from "../organisers/organiser.js";
import * as own from "../organisers/schemas.js";
import * as schema from "../schemas.js";
import { askerOfRefund, orderFor, shownOrderFields, shownRefund } from "./orders.js";
import { type Moment, timelineOf } from "./timeline.js";

export interface OrderSearchDependencies {
  readonly services: Services;
  readonly temporal: Temporal;
  readonly namespace: string;
  readonly temporalUiUrl: string | undefined;
  readonly log: Logger;
}

const tag = "organisers";
const forOrganisers = { access: "account", roles: ["organiser", "operator"], limits: "by caller" } as const;
/** An organiser's newest: older events' orders are found by naming the event. */
const mostEvents = 500;

interface Buyer {
  readonly email: string;
  readonly name: string;
}

export function orderSearchRoutes(dependencies: OrderSearchDependencies): Route[] {
  const { services, temporal, namespace, temporalUiUrl, log } = dependencies;
  const { account, catalog, payment, ticket } = services;

  /** Whose orders may be seen: those of this event, if it is one's own; else of one's newest events. None: of all. */
  async function eventsSeen(
    eventId: string | undefined,
    identity: Identity,
    named: boolean,
    options: CallOptions,
  ): Promise<string[] | "none"> {
    const organiserId = askerOf(identity);
    if (eventId !== undefined) return [(await ownedEvent(services, eventId, identity, options)).event.eventId];
    if (organiserId === "" && !named) return [];
    const { events } = await catalog.listEvents(
      { organiserId, status: EventStatus.UNSPECIFIED, query: "", cursor: "", limit: mostEvents },
      options,
    );
    return events.length === 0 ? "none" : events.map((event) => event.eventId);
  }

  /** Whose events these are, by event: one's own, or, for an operator, as the catalog says; nobody's while it can't be asked. */
  async function organisersOf(
    eventIds: readonly string[],
    identity: Identity,
    options: CallOptions,
  ): Promise<(eventId: string) => string | undefined> {
    if (!identity.roles.includes("operator")) return () => identity.accountId;
    if (eventIds.length === 0) return () => undefined;
    try {
      const { events } = await catalog.getEvents({ eventIds: [...new Set(eventIds)] }, options);
      const known = new Map(events.map(({ eventId, organiserId }) => [eventId, organiserId]));
      return (eventId) => known.get(eventId);
    } catch (error) {
      if (!(error instanceof DomainError && error.refusal.retryable)) throw error;
      return () => undefined;
    }
  }

  /** Who they are, by account id; nobody while accounts can't be asked: orders are shown all the same. */
  async function buyersOf(
    orders: readonly Pick<Order, "userId">[],
    options: CallOptions,
  ): Promise<ReadonlyMap<string, Buyer>> {
    const accountIds = [...new Set(orders.map(({ userId }) => userId))];
    if (accountIds.length === 0) return new Map();
    try {
      const { accounts } = await account.findAccounts({ accountIds, email: "" }, options);
      return new Map(accounts.map((one) => [one.accountId, one]));
    } catch (error) {
      if (!(error instanceof DomainError && error.refusal.retryable)) throw error;
      log.warn({ err: error }, "buyers can't be looked up now; their orders are shown without");
      return new Map();
    }
  }

  const shownBuyer = (userId: string, buyers: ReadonlyMap<string, Buyer>) => {
    const found = buyers.get(userId);
    return { accountId: userId, ...(found && { email: found.email, name: found.name }) };
  };
  const shownSold = (order: Order, buyers: ReadonlyMap<string, Buyer>, organiserId: string | undefined) => ({
    ...shownOrderFields(order, { organiserId, reasons: true }),
    buyer: shownBuyer(order.userId, buyers),
  });

  /** Absent while payments can't be asked. */
  async function paymentOf(checkoutId: string, options: CallOptions): Promise<Payment | undefined> {
    try {
      return (await payment.getPayment({ checkoutId, refresh: false }, options)).payment;
    } catch (err) {
      log.warn({ err, checkoutId }, "the payment of an order can't be looked up now");
      return undefined;
    }
  }

  /** Undefined when Temporal has forgotten it, or can't be asked. */
  async function historyOf(checkoutId: string): Promise<HistoryEvent[] | undefined> {
    try {
      return await temporal.history(checkoutWorkflowId(checkoutId));
    } catch (err) {
      log.warn({ err, checkoutId }, "the history of a checkout can't be read now");
      return undefined;
    }
  }

  return [
    route(
      {
        method: "get",
        path: "/v1/organiser/orders",
        operationId: "searchOrders",
        tag,
        summary: "Orders of your events, newest first",
        description: [
          `Without an eventId, those of your ${mostEvents} newest events; an operator sees everybody's.`,
          "A page may be shorter than its limit and not the last.",
        ].join(" "),
        ...forOrganisers,
        query: own.orderSearch,
        answers: { 200: { description: "A page of orders.", schema: own.soldOrderPage } },
        refusals: ["EVENT_NOT_FOUND"],
      },
      async ({ query, identity, rpc }) => {
        const finder = finderOf(query.q);
        const nothing = { status: 200, body: { orders: [] } };
        const eventIds = await eventsSeen(query.eventId, identity, finder.seatId !== undefined, rpc());
        if (eventIds === "none") return nothing;
        const { email, ...found } = finder;
        if (email !== undefined) {
          const [buyer] = (await account.findAccounts({ accountIds: [], email }, rpc())).accounts;
          if (!buyer) return nothing;
          found.userId = buyer.accountId;
        }
        const { orders, nextCursor } = await ticket.searchOrders(
          {
            eventIds,
            status: query.status === undefined ? OrderStatus.UNSPECIFIED : statusNamed[query.status],
            ...{ checkoutId: "", ticketId: "", userId: "", seatId: "" },
            ...found,
            cursor: query.cursor ?? "",
            limit: query.limit,
          },
          rpc(),
        );
        const [buyers, organiserOf] = await Promise.all([
          buyersOf(orders, rpc()),
          organisersOf(orders.map(eventIdOf), identity, rpc()),
        ]);
        return {
          status: 200,
          body: {
            orders: orders.map((order) => shownSold(order, buyers, organiserOf(eventIdOf(order)))),
            ...(nextCursor === "" ? {} : { nextCursor }),
          },
        };
      },
    ),
    route(
      {
        method: "get",
        path: "/v1/organiser/refunds",
        operationId: "listRefunds",
        tag,
        summary: "Refunds of your events that failed, and those under way, oldest first",
        description: [
          "A failed one needs a person: ask for the money again, or pay it another way and close it.",
          `Without an eventId, those of your ${mostEvents} newest events; an operator sees everybody's. A page is of orders.`,
        ].join(" "),
        ...forOrganisers,
        query: own.refundSearch,
        answers: { 200: { description: "A page of refunds.", schema: own.refundPage } },
        refusals: ["EVENT_NOT_FOUND"],
      },
      async ({ query: { state, eventId, cursor = "", limit }, identity, rpc }) => {
        const eventIds = await eventsSeen(eventId, identity, false, rpc());
        if (eventIds === "none") return { status: 200, body: { refunds: [] } };
        const { refunds, nextCursor } = await ticket.listRefunds(
          { state: refundStates[state], beforeMs: 0, cursor, limit, eventIds },
          rpc(),
        );
        const [buyers, organiserOf] = await Promise.all([
          buyersOf(refunds, rpc()),
          organisersOf(
            refunds.map((one) => one.eventId),
            identity,
            rpc(),
          ),
        ]);
        return {
          status: 200,
          body: {
            refunds: refunds.flatMap(({ refund, ...order }) =>
              refund
                ? {
                    checkoutId: order.checkoutId,
                    eventId: order.eventId,
                    currency: order.currency,
                    buyer: shownBuyer(order.userId, buyers),
                    refund: shownRefund(refund, order, { organiserId: organiserOf(order.eventId), reasons: true }),
                  }
                : [],
            ),
            ...(nextCursor === "" ? {} : { nextCursor }),
          },
        };
      },
    ),
    route(
      {
        method: "get",
        path: "/v1/organiser/orders/{checkoutId}",
        operationId: "getSoldOrder",
        tag,
        summary: "An order of one of your events, and what happened to it",
        ...forOrganisers,
        params: schema.checkoutParams,
        unknownParam: "ORDER_NOT_FOUND",
        answers: { 200: { description: "The order.", schema: own.orderWithTimeline } },
        refusals: ["ORDER_NOT_FOUND"],
      },
      async ({ params: { checkoutId }, identity, rpc }) => {
        const order = await orderFor(services, checkoutId, identity, rpc());
        const [buyers, organiserOf, paid, history] = await Promise.all([
          buyersOf([order], rpc()),
          organisersOf([eventIdOf(order)], identity, rpc()),
          paymentOf(checkoutId, rpc()),
          historyOf(checkoutId),
        ]);
        const organiserId = organiserOf(eventIdOf(order));
        const timeline = timelineOf(history, order, (refund) => askerOfRefund(refund, order, organiserId));
        return {
          status: 200,
          body: {
            ...shownSold(order, buyers, organiserId),
            ...(paid && { payment: shownPayment(paid) }),
            timeline: timeline.map(shownMoment),
            ...(temporalUiUrl === undefined || !history
              ? {}
              : {
                  workflowUrl: `${temporalUiUrl}/namespaces/${namespace}/workflows/${checkoutWorkflowId(checkoutId)}`,
                }),
          },
        };
      },
    ),
  ];
}

type Finder = Partial<Pick<SearchOrdersRequest, "checkoutId" | "ticketId" | "userId" | "seatId">> & {
  readonly email?: string;
};

/** What the words of a search can be. */
export function finderOf(q: string | undefined): Finder {
  if (q === undefined) return {};
  if (q.includes("@")) return { email: q };
  if (/^chk_[0-9a-z]+$/.test(q)) return { checkoutId: q };
  if (/^tkt_[0-9a-z]+$/.test(q)) return { ticketId: q };
  return { seatId: q };
}

const statusNamed = {
  completed: OrderStatus.COMPLETED,
  partially_refunded: OrderStatus.PARTIALLY_REFUNDED,
  refunded: OrderStatus.REFUNDED,
  voided: OrderStatus.VOIDED,
} as const;

const refundStates = { failed: RefundState.FAILED, pending: RefundState.PENDING } as const;

const eventIdOf = ({ event }: Order): string => event?.eventId ?? "";

const shownMoment = ({ atMs, ...moment }: Moment) => ({ at: new Date(atMs).toISOString(), ...moment });

const shownPayment = ({ paymentIntentId, status, amountCaptured, amountRefunded }: Payment) => ({
  reference: paymentIntentId,
  status: paymentStatusNames[status],
  captured: amountCaptured,
  refunded: amountRefunded,
});

const paymentStatusNames: Readonly<Record<PaymentStatus, string>> = {
  [PaymentStatus.UNSPECIFIED]: "unknown",
  [PaymentStatus.UNPAID]: "unpaid",
  [PaymentStatus.REQUIRES_ACTION]: "requires_action",
  [PaymentStatus.PROCESSING]: "processing",
  [PaymentStatus.AUTHORIZED]: "authorized",
  [PaymentStatus.CAPTURED]: "captured",
  [PaymentStatus.CANCELLED]: "cancelled",
  [PaymentStatus.PARTIALLY_REFUNDED]: "partially_refunded",
  [PaymentStatus.REFUNDED]: "refunded",
};
