// The ticket service's gRPC methods: decode, call the use case, encode.
import { DomainError } from "@onsale/kit/errors";
import type { ServiceHandlers } from "@onsale/kit/grpc";
import type { KeyRing } from "@onsale/kit/signing-keys";
import {
  Order as OrderMessage,
  OrderStatus,
  Ticket as TicketMessage,
  type TicketServiceService,
  TicketStatus,
} from "@onsale/proto/ticket/v1/ticket";
import { type IssueParts, issueTickets } from "./issue.js";
import { pageFrom, readPage } from "./pages.js";
import { createSales } from "./sales.js";
import { searchOrders } from "./search.js";
import {
  amountRefunded,
  type Order,
  type OrderStatus as OrderStatusName,
  refundingSeatIds,
  statusOf,
  type Ticket,
  ticketIdFor,
} from "./tickets.js";
import { qrSvg } from "./tokens.js";
import { dropRefund, reserveRefund, voidTickets } from "./void.js";

const mostAtOnce = 500;

export interface ServerParts extends IssueParts {
  readonly keys: KeyRing;
}

export function ticketHandlers({ keys, ...parts }: ServerParts): ServiceHandlers<typeof TicketServiceService> {
  const { store, now } = parts;
  const sales = createSales(store, now);

  return {
    issueTickets: async (purchase) => ({ order: toOrderMessage(await issueTickets(parts, purchase)) }),
    voidTickets: async ({ checkoutId, refundId, seatIds, amountRefunded: amount }) => ({
      order: toOrderMessage(await voidTickets(store, { checkoutId, refundId, seatIds, amount }, now())),
    }),
    async listTickets({ userId, cursor, limit }) {
      const page = readPage(cursor, limit);
      const found = await store.ticketsOf(named(userId), page);
      const { entries, nextCursor } = pageFrom(found, page.limit, (ticket) => ({
        atMs: ticket.issuedAtMs,
        id: ticket.ticketId,
      }));
      return { tickets: entries.map((ticket) => toTicketMessage(ticket)), nextCursor };
    },
    async getTicket({ ticketId, userId }) {
      const ticket = await store.ticket(ticketId);
      // Another person's ticket is not told apart from none: ids are not to be probed.
      if (!ticket || ticket.userId !== named(userId))
        throw new DomainError("TICKET_NOT_FOUND", "You have no ticket with this id.");
      return { ticket: toTicketMessage(ticket, ticket.voidedAtMs === undefined ? await qrSvg(ticket.token) : "") };
    },
    async listOrders({ userId, cursor, limit }) {
      const page = readPage(cursor, limit);
      const found = await store.ordersOf(named(userId), page);
      const { entries, nextCursor } = pageFrom(found, page.limit, (order) => ({
        atMs: order.createdAtMs,
        id: order.checkoutId,
      }));
      return { orders: entries.map(toOrderMessage), nextCursor };
    },
    async getOrder({ checkoutId, userId }) {
      const order = await store.order(checkoutId);
      if (!order || (userId !== "" && order.userId !== userId))
        throw new DomainError("ORDER_NOT_FOUND", "You have no order with this id.");
      return { order: toOrderMessage(order) };
    },
    async findOrders({ checkoutIds }) {
      if (checkoutIds.length > mostAtOnce)
        throw new DomainError("REQUEST_INVALID", `Ask for ${mostAtOnce} orders at most.`);
      return { orders: (await store.ordersWith(checkoutIds)).map(toOrderMessage) };
    },
    async searchOrders({ status, ...wish }) {
      const { entries, nextCursor } = await searchOrders(store, { ...wish, status: statusNamed[status] });
      return { orders: entries.map(toOrderMessage), nextCursor };
    },
    getSales: ({ eventId }) => sales.of(eventId),
    async reserveRefund(wish) {
      const { seatIds, amount } = await reserveRefund(store, wish, now());
      return { seatIds: [...seatIds], amount };
    },
    async dropRefund(wish) {
      await dropRefund(store, wish, now());
      return {};
    },
    getVerificationKeys: async () => ({ jwksJson: JSON.stringify(await keys.verificationKeys()) }),
  };
}

/** An empty user id would match nobody's tickets today and everybody's after a careless change. */
function named(userId: string): string {
  if (userId === "") throw new DomainError("REQUEST_INVALID", "Whose tickets or orders? The user id is missing.");
  return userId;
}

const statusMessages = {
  completed: OrderStatus.COMPLETED,
  partially_refunded: OrderStatus.PARTIALLY_REFUNDED,
  refunded: OrderStatus.REFUNDED,
} as const;

const statusNamed: Readonly<Record<OrderStatus, OrderStatusName | undefined>> = {
  [OrderStatus.UNSPECIFIED]: undefined,
  [OrderStatus.COMPLETED]: "completed",
  [OrderStatus.PARTIALLY_REFUNDED]: "partially_refunded",
  [OrderStatus.REFUNDED]: "refunded",
};

function toOrderMessage(order: Order): OrderMessage {
  return OrderMessage.create({
    checkoutId: order.checkoutId,
    userId: order.userId,
    event: order.event,
    seats: [...order.seats],
    amount: order.amount,
    amountRefunded: amountRefunded(order),
    currency: order.currency,
    status: statusMessages[statusOf(order)],
    createdAtMs: order.createdAtMs,
    ticketIds: order.seats.map(({ seatId }) => ticketIdFor(order.checkoutId, seatId)),
    refunds: order.refunds
      .filter(({ pending }) => !pending)
      .map(({ refundId, amount, seatIds, atMs }) => ({ refundId, amount, seatIds: [...seatIds], atMs })),
    refundingSeatIds: refundingSeatIds(order),
  });
}

function toTicketMessage(ticket: Ticket, qr = ""): TicketMessage {
  const { ticketId, checkoutId, event, seat, currency, issuedAtMs, voidedAtMs, token } = ticket;
  return TicketMessage.create({
    ticketId,
    checkoutId,
    event,
    seat,
    currency,
    status: voidedAtMs === undefined ? TicketStatus.VALID : TicketStatus.VOID,
    issuedAtMs,
    voidedAtMs: voidedAtMs ?? 0,
    token,
    qrSvg: qr,
  });
}
