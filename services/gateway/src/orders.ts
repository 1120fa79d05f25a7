// Routes of what was bought: orders, their refunds, and tickets.
import { currencies } from "@onsale/kit/currencies";
import { DomainError } from "@onsale/kit/errors";
import type { CallOptions } from "@onsale/kit/grpc";
import { derivedId } from "@onsale/kit/ids";
import { EventStatus } from "@onsale/proto/inventory/v1/catalog";
import { type Order, OrderStatus, type Ticket, type TicketEvent, TicketStatus } from "@onsale/proto/ticket/v1/ticket";
import {
  type RefundInput,
  type RefundResult,
  refundWorkflowId,
  searchAttributes,
  workflowTypes,
} from "@onsale/workflows/contract";
import type { z } from "zod";
import type { Identity } from "./authenticate.js";
import { shownSeat } from "./checkouts.js";
import { cache, type Route, route } from "./route.js";
import * as schema from "./schemas.js";
import type { Services } from "./services.js";
import type { Temporal } from "./temporal.js";
import { invalid } from "./validation.js";

export interface OrderDependencies {
  readonly services: Services;
  readonly temporal: Temporal;
  readonly taskQueue: string;
  readonly refundWaitMs: number;
}

const tag = "orders and tickets";
const anOrder = { params: schema.checkoutParams, unknownParam: "ORDER_NOT_FOUND" } as const;

export function orderRoutes({ services, temporal, taskQueue, refundWaitMs }: OrderDependencies): Route[] {
  const { ticket, catalog } = services;

  /** Until when the orders of these events may be given back by their buyers, by event; none while events can't be asked. */
  async function refundableUntil(orders: readonly Order[], options: CallOptions): Promise<ReadonlyMap<string, number>> {
    const eventIds = [...new Set(orders.flatMap(({ event }) => event?.eventId ?? []))];
    if (eventIds.length === 0) return new Map();
    try {
      const { events } = await catalog.getEvents({ eventIds }, options);
      return new Map(
        events
          // What is cancelled is given back by itself.
          .filter(({ status }) => status === EventStatus.PUBLISHED)
          .map((event) => [event.eventId, event.refundableUntilMs]),
      );
    } catch (error) {
      if (!(error instanceof DomainError && error.refusal.retryable)) throw error;
      return new Map();
    }
  }

  /** A buyer's own order, which may be given back now. Refusals: ORDER_NOT_FOUND, REFUND_NOT_ALLOWED. */
  async function ownRefundable(
    checkoutId: string,
    { amount }: z.output<typeof schema.newRefund>,
    { accountId }: Identity,
    options: CallOptions,
  ): Promise<Order> {
    const { order } = await ticket.getOrder({ checkoutId, userId: accountId }, options);
    if (!order?.event) throw new Error("the ticket service answered without an order");
    const { events } = await catalog.getEvents({ eventIds: [order.event.eventId] }, options);
    const event = events[0];
    const until = event?.status === EventStatus.PUBLISHED ? event.refundableUntilMs : 0;
    if (until === 0)
      throw new DomainError(
        "REFUND_NOT_ALLOWED",
        event?.status === EventStatus.CANCELLED
          ? "The event was cancelled: your money goes back without your asking for it."
          : "Tickets of this event can't be given back. Its organiser may make an exception.",
      );
    if (Date.now() >= until)
      throw new DomainError(
        "REFUND_NOT_ALLOWED",
        `Tickets of this event could be given back until ${new Date(until).toISOString()}.`,
        { refundableUntil: new Date(until).toISOString() },
      );
    if (amount !== undefined)
      throw new DomainError(
        "REFUND_NOT_ALLOWED",
        "How much goes back is for the organiser to choose: leave the amount out, and you get what you paid for the seats.",
      );
    return order;
  }

  /** The order that is to be refunded, if they may: its event's organiser, an operator, or its buyer in time. */
  async function refundedBy(
    checkoutId: string,
    body: z.output<typeof schema.newRefund>,
    identity: Identity,
    options: CallOptions,
  ): Promise<Order> {
    if (!identity.roles.includes("organiser") && !identity.roles.includes("operator"))
      return await ownRefundable(checkoutId, body, identity, options);
    try {
      return await orderFor(services, checkoutId, identity, options);
    } catch (error) {
      // An organiser may be a buyer too.
      if (!(error instanceof DomainError && error.code === "ORDER_NOT_FOUND")) throw error;
      return await ownRefundable(checkoutId, body, identity, options);
    }
  }

  return [
    route(
      {
        method: "get",
        path: "/v1/orders",
        operationId: "listOrders",
        tag,
        summary: "Your orders, newest first",
        access: "account",
        limits: "by caller",
        query: schema.page,
        answers: { 200: { description: "A page of orders.", schema: schema.orderPage } },
      },
      async ({ query, identity, rpc }) => {
        const { orders, nextCursor } = await ticket.listOrders(
          { userId: identity.accountId, cursor: query.cursor ?? "", limit: query.limit },
          rpc(),
        );
        const until = await refundableUntil(orders, rpc());
        return {
          status: 200,
          body: {
            orders: orders.map((order) => shownOrder(order, until)),
            ...(nextCursor === "" ? {} : { nextCursor }),
          },
        };
      },
    ),
    route(
      {
        method: "get",
        path: "/v1/orders/{checkoutId}",
        operationId: "getOrder",
        tag,
        summary: "One of your orders",
        description: "An order has the id of its checkout.",
        access: "account",
        limits: "by caller",
        ...anOrder,
        answers: { 200: { description: "The order.", schema: schema.order } },
        refusals: ["ORDER_NOT_FOUND"],
      },
      async ({ params, identity, rpc }) => {
        const { order } = await ticket.getOrder({ ...params, userId: identity.accountId }, rpc());
        if (!order) throw new Error("the ticket service answered without an order");
        return { status: 200, body: shownOrder(order, await refundableUntil([order], rpc())) };
      },
    ),
    route(
      {
        method: "post",
        path: "/v1/orders/{checkoutId}/refund",
        operationId: "refundOrder",
        tag,
        summary: "Give an order's money back",
        description: [
          "The money goes back, the seats' tickets become void, the seats are free again.",
          "Buyers may do it with their own orders until the event's refundableUntil, and get what they paid for the seats.",
          "Operators and the event's organiser may do it at any time, and choose an amount: below the seats' price, the difference is kept.",
          "202 means that it is under way and will not be forgotten.",
        ].join(" "),
        access: "account",
        limits: "by caller",
        idempotencyKey: "required",
        ...anOrder,
        body: schema.newRefund,
        answers: {
          200: { description: "Given back.", schema: schema.refund },
          202: { description: "Under way.", schema: schema.refund },
        },
        refusals: [
          "ORDER_NOT_FOUND",
          "REFUND_NOT_ALLOWED",
          "SEAT_UNKNOWN",
          "SEAT_REFUNDED",
          "REFUND_TOO_LARGE",
          "PAYMENT_STATE_CONFLICT",
          "PAYMENT_NOT_FOUND",
        ],
      },
      async ({ params, body, identity, attempt, rpc, closing }) => {
        const order = await refundedBy(params.checkoutId, body, identity, rpc());
        const refundId = derivedId("rfd", identity.accountId, order.checkoutId, attempt.key);
        const workflowId = refundWorkflowId(refundId);
        const asked = refundOf(order, body, { refundId, requestedBy: identity.accountId });
        // What is left of the order says nothing about a refund that was begun before: ask it first.
        if (asked instanceof DomainError && !(await temporal.describe(workflowId))) throw asked;
        if (!(asked instanceof DomainError)) {
          const started = await temporal.start({
            type: workflowTypes.refund,
            workflowId,
            taskQueue,
            input: asked,
            attributes: {
              [searchAttributes.eventId]: asked.eventId,
              [searchAttributes.accountId]: asked.accountId,
            },
            summary: `Refund of ${order.checkoutId}`,
          });
          if (started.kind === "not-started" || started.kind === "unknown")
            throw new DomainError(
              "UNAVAILABLE",
              "The refund could not be started right now. Send the same request again, with the same Idempotency-Key.",
              { retryAfterSeconds: 2 },
              started.cause,
            );
        }
        const outcome = await temporal.result<RefundResult>(workflowId, refundWaitMs, closing);
        if (outcome.kind !== "done")
          return { status: 202, body: { refundId, checkoutId: order.checkoutId, status: "pending" } };
        const { amount, seatIds } = outcome.result;
        return {
          status: 200,
          body: { refundId, checkoutId: order.checkoutId, status: "refunded", amount, seats: seatIds },
        };
      },
    ),
    route(
      {
        method: "get",
        path: "/v1/tickets",
        operationId: "listTickets",
        tag,
        summary: "Your tickets, newest first",
        access: "account",
        limits: "by caller",
        query: schema.page,
        answers: { 200: { description: "A page of tickets, without their QR codes.", schema: schema.ticketPage } },
      },
      async ({ query, identity, rpc }) => {
        const { tickets, nextCursor } = await ticket.listTickets(
          { userId: identity.accountId, cursor: query.cursor ?? "", limit: query.limit },
          rpc(),
        );
        return {
          status: 200,
          body: { tickets: tickets.map(shownTicket), ...(nextCursor === "" ? {} : { nextCursor }) },
        };
      },
    ),
    route(
      {
        method: "get",
        path: "/v1/tickets/keys",
        operationId: "getTicketKeys",
        tag,
        summary: "The public keys of tickets, for gates",
        access: "anyone",
        limits: ["anonymous"],
        answers: { 200: { description: "JWKS.", schema: schema.keySet } },
      },
      async ({ rpc }) => {
        const { jwksJson } = await ticket.getVerificationKeys({}, rpc());
        return {
          status: 200,
          body: JSON.parse(jwksJson),
          headers: { "Cache-Control": cache.brief, "Content-Type": "application/jwk-set+json" },
        };
      },
    ),
    route(
      {
        method: "get",
        path: "/v1/tickets/{ticketId}",
        operationId: "getTicket",
        tag,
        summary: "A ticket, with its QR code",
        access: "account",
        limits: "by caller",
        params: schema.ticketParams,
        unknownParam: "TICKET_NOT_FOUND",
        answers: { 200: { description: "The ticket.", schema: schema.ticket } },
        refusals: ["TICKET_NOT_FOUND"],
      },
      async ({ params, identity, rpc }) => {
        const { ticket: found } = await ticket.getTicket({ ...params, userId: identity.accountId }, rpc());
        if (!found) throw new Error("the ticket service answered without a ticket");
        return { status: 200, body: shownTicket(found) };
      },
    ),
  ];
}

/** The order, for operators and the event's organiser. For others it is not there. Refusal: ORDER_NOT_FOUND. */
export async function orderFor(
  { ticket, catalog }: Pick<Services, "ticket" | "catalog">,
  checkoutId: string,
  identity: Identity,
  options: CallOptions,
): Promise<Order> {
  const { order } = await ticket.getOrder({ checkoutId, userId: "" }, options);
  if (!order?.event) throw new Error("the ticket service answered without an order");
  if (identity.roles.includes("operator")) return order;
  const { events } = await catalog.getEvents({ eventIds: [order.event.eventId] }, options);
  if (events[0]?.organiserId !== identity.accountId)
    throw new DomainError("ORDER_NOT_FOUND", "There is no such order for your events.");
  return order;
}

/** The refund that is asked for, or why it can't be: SEAT_UNKNOWN, REQUEST_INVALID, REFUND_TOO_LARGE. */
export function refundOf(
  order: Order,
  { seats, amount }: z.output<typeof schema.newRefund>,
  by: { readonly refundId: string; readonly requestedBy: string },
): RefundInput | DomainError {
  const prices = new Map(order.seats.map((seat) => [seat.seatId, seat.amount]));
  const foreign = (seats ?? []).filter((seat) => !prices.has(seat));
  if (foreign.length > 0)
    return new DomainError("SEAT_UNKNOWN", "Some of these seats are not part of the order.", { seats: foreign });
  const left = order.amount - order.amountRefunded;
  const step = currencies.get(order.currency)?.step ?? 1;
  if (amount !== undefined && amount !== left && amount % step !== 0)
    return invalid([
      { in: "body", pointer: "/amount", detail: `must be a multiple of ${step} in ${order.currency}, as at Stripe` },
    ]);
  const wanted = amount ?? seats?.reduce((sum, seat) => sum + (prices.get(seat) ?? 0), 0) ?? left;
  if (left <= 0 || wanted > left)
    return new DomainError("REFUND_TOO_LARGE", "The refund is larger than what is left of the order.", {
      amount: wanted,
      left,
    });
  return {
    ...by,
    checkoutId: order.checkoutId,
    accountId: order.userId,
    eventId: order.event?.eventId ?? "",
    seatIds: seats ?? [],
    amount: amount === undefined && seats === undefined ? 0 : wanted,
    ...(amount === undefined ? {} : { again: true }),
  };
}

function shownTicketEvent(event: TicketEvent | undefined) {
  if (!event) throw new Error("the ticket service answered without an event");
  const { eventId, name, startsAtMs, venueName, city, timeZone } = event;
  return { eventId, name, startsAt: new Date(startsAtMs).toISOString(), venue: venueName, city, timeZone };
}

function shownOrderStatus(status: OrderStatus): z.output<typeof schema.order>["status"] {
  switch (status) {
    case OrderStatus.REFUNDED:
      return "refunded";
    case OrderStatus.PARTIALLY_REFUNDED:
      return "partially_refunded";
    default:
      return "completed";
  }
}

function shownOrder(order: Order, refundableUntil: ReadonlyMap<string, number>) {
  const until = refundableUntil.get(order.event?.eventId ?? "") ?? 0;
  const gone = new Set([...order.refunds.flatMap(({ seatIds }) => seatIds), ...order.refundingSeatIds]);
  const left = order.seats.some(({ seatId }) => !gone.has(seatId));
  return { ...shownOrderFields(order), refundable: left && Date.now() < until };
}

export function shownOrderFields(order: Order) {
  return {
    checkoutId: order.checkoutId,
    event: shownTicketEvent(order.event),
    seats: order.seats.map(shownSeat),
    amount: order.amount,
    amountRefunded: order.amountRefunded,
    currency: order.currency,
    status: shownOrderStatus(order.status),
    createdAt: new Date(order.createdAtMs).toISOString(),
    tickets: order.ticketIds,
    refundedSeats: order.refunds.flatMap(({ seatIds }) => seatIds),
  };
}

function shownTicket(ticket: Ticket) {
  if (!ticket.seat) throw new Error("the ticket service answered with a ticket without a seat");
  return {
    ticketId: ticket.ticketId,
    checkoutId: ticket.checkoutId,
    event: shownTicketEvent(ticket.event),
    seat: shownSeat(ticket.seat),
    currency: ticket.currency,
    status: ticket.status === TicketStatus.VALID ? "valid" : "void",
    issuedAt: new Date(ticket.issuedAtMs).toISOString(),
    ...(ticket.voidedAtMs > 0 ? { voidedAt: new Date(ticket.voidedAtMs).toISOString() } : {}),
    ...(ticket.token === "" ? {} : { token: ticket.token }),
    ...(ticket.qrSvg === "" ? {} : { qrSvg: ticket.qrSvg }),
  };
}
