// Routes by which organisers and operators find orders and see what happened to one.
import { type Payment, PaymentStatus } from "@onsale/proto/payment/v1/payment";
import { OrderStatus, RefundState, type SearchOrdersRequest } from "@onsale/proto/ticket/v1/ticket";
import { checkoutWorkflowId } from "@onsale/workflows/contract";
import { type Route, route } from "../http/route.js";
import * as own from "../organisers/schemas.js";
import * as schema from "../schemas.js";
import { askerOfRefund, orderFor, shownRefund } from "./orders.js";
import { eventIdOf, mostEvents, type SoldOrderParts, shownBuyer, soldOrders } from "./sold-orders.js";
import { type Moment, timelineOf } from "./timeline.js";

export interface OrderSearchDependencies extends SoldOrderParts {
  readonly namespace: string;
  readonly temporalUiUrl: string | undefined;
}

const tag = "organisers";
const forOrganisers = { access: "account", roles: ["organiser", "operator"], limits: "by caller" } as const;
export function orderSearchRoutes(dependencies: OrderSearchDependencies): Route[] {
  const { services, namespace, temporalUiUrl } = dependencies;
  const { account, ticket } = services;
  const { eventsSeen, organisersOf, buyersOf, shownSold, paymentOf, historyOf } = soldOrders(dependencies);

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

export const shownMoment = ({ atMs, ...moment }: Moment) => ({ at: new Date(atMs).toISOString(), ...moment });

export const shownPayment = ({ paymentIntentId, status, amountCaptured, amountRefunded }: Payment) => ({
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
