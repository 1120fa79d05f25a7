// Routes of what was bought: orders, their refunds, and tickets.
import { DomainError } from "@onsale/kit/errors";
import type { CallOptions } from "@onsale/kit/grpc-client";
import { derivedId } from "@onsale/kit/ids";
import { EventStatus } from "@onsale/proto/inventory/v1/catalog";
import {
  type Order,
  type OrderDispute,
  type OrderRefund,
  OrderStatus,
  RefundKind,
  RefundState,
  type Ticket,
  type TicketEvent,
  TicketStatus,
} from "@onsale/proto/ticket/v1/ticket";
import {
  cancelledEventRefundId,
  failedRefundWorkflowId,
  type RefundInput,
  type RefundResult,
  refundSeenToSignal,
  refundWorkflowId,
  searchAttributes,
  workflowTypes,
} from "@onsale/workflows/contract";
import type { z } from "zod";
import { shownSeat } from "../checkouts/checkouts.js";
import type { Services } from "../clients/services.js";
import type { Temporal } from "../clients/temporal.js";
import type { Identity } from "../http/authenticate.js";
import { cache, type Route, route } from "../http/route.js";
import * as schema from "../schemas.js";

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

  /** What of their events says what may become of these orders; none while events can't be asked. */
  async function eventsOf(orders: readonly Order[], options: CallOptions): Promise<ReadonlyMap<string, OrderedEvent>> {
    const eventIds = [...new Set(orders.flatMap(({ event }) => event?.eventId ?? []))];
    if (eventIds.length === 0) return new Map();
    try {
      const { events } = await catalog.getEvents({ eventIds }, options);
      return new Map(
        events.map(({ eventId, organiserId, status, refundableUntilMs }) => [
          eventId,
          // What is cancelled is given back by itself.
          { organiserId, refundableUntilMs: status === EventStatus.PUBLISHED ? refundableUntilMs : 0 },
        ]),
      );
    } catch (error) {
      if (!(error instanceof DomainError && error.refusal.retryable)) throw error;
      return new Map();
    }
  }

  /** A buyer's own order, which may be given back now. Refusals: ORDER_NOT_FOUND, REFUND_NOT_ALLOWED. */
  async function ownRefundable(
    checkoutId: string,
    { amount, kind, reason, insteadOf }: z.output<typeof schema.newRefund>,
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
    if (amount !== undefined || reason !== undefined || insteadOf !== undefined || (kind ?? "return") !== "return")
      throw new DomainError(
        "REFUND_NOT_ALLOWED",
        "How money goes back is for the organiser to choose: name the seats alone, and you get what is left of what you paid for them.",
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

  /** Whose event it is, for an operator who looks at it; organisers look at their own. */
  const organiserOf = async (order: Order, identity: Identity, options: CallOptions): Promise<string | undefined> =>
    identity.roles.includes("operator")
      ? (await eventsOf([order], options)).get(order.event?.eventId ?? "")?.organiserId
      : identity.accountId;

  /** Whoever waits for a failed refund to be seen to looks at its order now. It looks by itself, too: that it can't be told is no harm. */
  const seenTo = (refundId: string): Promise<unknown> =>
    temporal.signal(failedRefundWorkflowId(refundId), refundSeenToSignal).catch(() => false);

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
        const events = await eventsOf(orders, rpc());
        return {
          status: 200,
          body: {
            orders: orders.map((order) => shownOrder(order, events)),
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
        return { status: 200, body: shownOrder(order, await eventsOf([order], rpc())) };
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
          "A return: the money goes back, the seats' tickets become void, the seats are free again.",
          "Buyers may do it with their own orders until the event's refundableUntil, and get what is left of what they paid for the seats.",
          "Operators and the event's organiser may do it at any time, and choose an amount: below what is left of the seats' money, the difference is kept.",
          "They may also give money back out of goodwill (the tickets stay), make tickets void without money, and ask again for a refund that failed.",
          "Never goes more back for a seat than was paid for it.",
          "202 means that it is under way and will not be forgotten.",
        ].join(" "),
        access: "account",
        limits: "by caller",
        idempotencyKey: "required",
        ...anOrder,
        body: schema.newRefund,
        answers: {
          200: { description: "Given back, or failed at the bank: see its status.", schema: schema.refund },
          202: { description: "Under way.", schema: schema.refund },
        },
        refusals: [
          "ORDER_NOT_FOUND",
          "REFUND_NOT_ALLOWED",
          "SEAT_UNKNOWN",
          "SEAT_REFUNDED",
          "REFUND_TOO_LARGE",
          "REFUND_NOT_FOUND",
          "REFUND_NOT_FAILED",
          "PAYMENT_STATE_CONFLICT",
          "PAYMENT_NOT_FOUND",
        ],
      },
      async ({ params, body, identity, attempt, rpc, closing }) => {
        const order = await refundedBy(params.checkoutId, body, identity, rpc());
        checkWish(body);
        const refundId = derivedId("rfd", identity.accountId, order.checkoutId, attempt.key);
        const workflowId = refundWorkflowId(refundId);
        const input = refundOf(order, body, { refundId, requestedBy: identity.accountId });
        const started = await temporal.start({
          type: workflowTypes.refund,
          workflowId,
          taskQueue,
          input,
          attributes: {
            [searchAttributes.eventId]: input.eventId,
            [searchAttributes.accountId]: input.accountId,
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
        const outcome = await temporal.result<RefundResult>(workflowId, refundWaitMs, closing);
        if (body.insteadOf !== undefined) await seenTo(body.insteadOf);
        if (outcome.kind !== "done")
          return { status: 202, body: { refundId, checkoutId: order.checkoutId, status: "pending" } };
        const { amount, seatIds, outcome: end = "paid" } = outcome.result;
        const status = end === "failed" ? "failed" : "refunded";
        return { status: 200, body: { refundId, checkoutId: order.checkoutId, status, amount, seats: seatIds } };
      },
    ),
    route(
      {
        method: "post",
        path: "/v1/orders/{checkoutId}/refunds/{refundId}/closure",
        operationId: "closeRefund",
        tag,
        summary: "A refund that failed was paid another way",
        description:
          "By the event's organiser or an operator. Nothing is owed to the buyer any more; the order says who closed it, and how.",
        access: "account",
        roles: ["organiser", "operator"],
        limits: "by caller",
        idempotencyKey: "required",
        params: schema.refundParams,
        unknownParam: "ORDER_NOT_FOUND",
        body: schema.refundClosure,
        answers: { 200: { description: "The order.", schema: schema.order } },
        refusals: ["ORDER_NOT_FOUND", "REFUND_NOT_FOUND", "REFUND_NOT_FAILED"],
      },
      async ({ params: { checkoutId, refundId }, body: { reason }, identity, rpc }) => {
        await orderFor(services, checkoutId, identity, rpc());
        const { order } = await ticket.closeRefund(
          { checkoutId, refundId, closedBy: identity.accountId, reason },
          rpc(),
        );
        if (!order) throw new Error("the ticket service answered without an order");
        await seenTo(refundId);
        return {
          status: 200,
          body: {
            ...shownOrderFields(order, { organiserId: await organiserOf(order, identity, rpc()), reasons: true }),
            refundable: false,
          },
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

/** The refund that is asked for; whether it may go back, the ticket service decides. */
export function refundOf(
  order: Order,
  { seats, amount, kind = "return", reason, insteadOf }: z.output<typeof schema.newRefund>,
  by: { readonly refundId: string; readonly requestedBy: string },
): RefundInput {
  return {
    ...by,
    checkoutId: order.checkoutId,
    accountId: order.userId,
    eventId: order.event?.eventId ?? "",
    seatIds: seats ?? [],
    amount: amount ?? 0,
    kind,
    ...(reason === undefined ? {} : { reason }),
    ...(insteadOf === undefined ? {} : { insteadOf }),
  };
}

/** What of a wish makes no sense, whatever the order is. Refusal: REQUEST_INVALID. */
function checkWish({ seats, amount, kind = "return", reason, insteadOf }: z.output<typeof schema.newRefund>): void {
  const refuse = (message: string) => {
    throw new DomainError("REQUEST_INVALID", message);
  };
  if (insteadOf !== undefined && (seats !== undefined || amount !== undefined || kind !== "return"))
    refuse("A refund that failed is asked for again as it was: leave seats, amount and kind out.");
  if (insteadOf !== undefined) return;
  if (kind === "return" && amount !== undefined && seats === undefined)
    refuse(
      'Whose money is it? Name the seats that are given back, or say kind "goodwill" for money that leaves the tickets valid.',
    );
  if (kind === "goodwill" && amount === undefined) refuse("Goodwill is an amount of money: say how much.");
  if (kind === "void" && amount !== undefined)
    refuse("Tickets are made void without money: leave the amount out, or give the seats back.");
  if (kind !== "return" && reason === undefined) refuse("Say why: the reason stands on the order.");
}

export function shownTicketEvent(event: TicketEvent | undefined) {
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
    case OrderStatus.VOIDED:
      return "voided";
    default:
      return "completed";
  }
}

interface OrderedEvent {
  readonly organiserId: string;
  readonly refundableUntilMs: number;
}

function shownOrder(order: Order, events: ReadonlyMap<string, OrderedEvent>) {
  const event = events.get(order.event?.eventId ?? "");
  const until = event?.refundableUntilMs ?? 0;
  const gone = new Set([...voidSeatIds(order), ...order.refundingSeatIds]);
  const left = order.seats.some(({ seatId }) => !gone.has(seatId));
  return {
    ...shownOrderFields(order, { organiserId: event?.organiserId, reasons: false }),
    refundable: left && Date.now() < until,
  };
}

/** Those of refunds under way are not void yet. */
export const voidSeatIds = ({ refunds }: Order): string[] => [
  ...new Set(refunds.filter(({ state }) => state !== RefundState.PENDING).flatMap(({ seatIds }) => seatIds)),
];

export interface OrderReader {
  /** Whose event it is; undefined while that can't be told. */
  readonly organiserId: string | undefined;
  /** The reasons that were given are for those who look after orders. */
  readonly reasons: boolean;
}

export function shownOrderFields(order: Order, reader: OrderReader) {
  const left = new Map(order.left.map(({ seatId, amount }) => [seatId, amount]));
  return {
    checkoutId: order.checkoutId,
    event: shownTicketEvent(order.event),
    seats: order.seats.map((seat) => ({ ...shownSeat(seat), left: left.get(seat.seatId) ?? 0 })),
    amount: order.amount,
    amountRefunded: order.amountRefunded,
    amountFailed: order.amountFailed,
    currency: order.currency,
    status: shownOrderStatus(order.status),
    createdAt: new Date(order.createdAtMs).toISOString(),
    tickets: order.ticketIds,
    refundedSeats: voidSeatIds(order),
    refunds: order.refunds.map((refund) => shownRefund(refund, order, reader)),
    disputes: order.disputes.map(shownDispute),
  };
}

/** Which account answered, the timeline says to whoever may know. */
export const shownDispute = ({ disputeId, amount, reason, status, ...at }: OrderDispute) => ({
  ...{ disputeId, amount, reason, status },
  createdAt: new Date(at.createdAtMs).toISOString(),
  ...(at.evidenceDueMs > 0 && { evidenceDueAt: new Date(at.evidenceDueMs).toISOString() }),
  ...(at.answeredAtMs > 0 && { answeredAt: new Date(at.answeredAtMs).toISOString() }),
});

export type RefundAsker = NonNullable<z.output<typeof schema.orderRefund>["by"]>;

/** Who asked, in words that say no account. Undefined: from before it was written down. */
export function askerOfRefund(
  { requestedBy, refundId }: Pick<OrderRefund, "requestedBy" | "refundId">,
  { checkoutId, userId }: { readonly checkoutId: string; readonly userId: string },
  organiserId: string | undefined,
): RefundAsker | undefined {
  if (refundId === cancelledEventRefundId(checkoutId)) return "event cancelled";
  if (requestedBy === "") return undefined;
  if (requestedBy === "stripe") return "stripe";
  if (requestedBy === userId) return "buyer";
  return requestedBy === (organiserId ?? requestedBy) ? "organiser" : "operator";
}

export function shownRefund(
  refund: OrderRefund,
  order: { readonly checkoutId: string; readonly userId: string },
  { organiserId, reasons }: OrderReader,
) {
  const { refundId, amount, seatIds, money, reason, failureReason, replacedBy, closedReason } = refund;
  const by = askerOfRefund(refund, order, organiserId);
  return {
    refundId,
    kind: refundKindNames[refund.kind],
    state: refundStateNames[refund.state],
    amount,
    seats: seatIds,
    money: money.map((part) => ({ seat: part.seatId, amount: part.amount })),
    requestedAt: new Date(refund.requestedAtMs).toISOString(),
    at: new Date(refund.atMs).toISOString(),
    ...(by && { by }),
    ...(failureReason !== "" && { failureReason }),
    ...(replacedBy !== "" && { replacedBy }),
    ...(reasons && reason !== "" && { reason }),
    ...(reasons && closedReason !== "" && { closedReason }),
  };
}

const refundKindNames: Readonly<Record<RefundKind, (typeof schema.refundKinds)[number]>> = {
  [RefundKind.UNSPECIFIED]: "return",
  [RefundKind.RETURN]: "return",
  [RefundKind.GOODWILL]: "goodwill",
  [RefundKind.VOID]: "void",
  [RefundKind.OUTSIDE]: "outside",
  [RefundKind.DISPUTE]: "dispute",
};

const refundStateNames: Readonly<Record<RefundState, (typeof schema.refundStates)[number]>> = {
  [RefundState.UNSPECIFIED]: "paid",
  [RefundState.PENDING]: "pending",
  [RefundState.PAID]: "paid",
  [RefundState.FAILED]: "failed",
  [RefundState.REPLACED]: "replaced",
  [RefundState.CLOSED]: "closed",
};

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
    disputed: ticket.disputed,
  };
}
