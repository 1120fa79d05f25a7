// The ticket service's gRPC methods: decode, call the use case, encode.
import { DomainError } from "@onsale/kit/errors";
import type { ServiceHandlers } from "@onsale/kit/grpc-server";
import type { KeyRing } from "@onsale/kit/signing-keys";
import {
  type OrderDispute,
  Order as OrderMessage,
  type OrderRefund,
  OrderStatus,
  RefundKind,
  RefundState,
  Ticket as TicketMessage,
  type TicketServiceService,
  TicketStatus,
} from "@onsale/proto/ticket/v1/ticket";
import { endCheckout, type IssueParts, issueTickets } from "./issue.js";
import { pageFrom, readPage } from "./pages.js";
import { closeRefund, dropRefund, recordAnswer, recordPayment, reserveRefund, voidTickets } from "./refund.js";
import { createSales } from "./sales.js";
import { listChangedOrders, listDisputes, listRefunds, searchOrders } from "./search.js";
import {
  amountClosed,
  amountFailed,
  amountRefunded,
  type Dispute,
  leftOf,
  type Order,
  type OrderStatus as OrderStatusName,
  type Refund,
  type RefundState as RefundStateName,
  refundingSeatIds,
  statusOf,
  type Ticket,
  ticketIdFor,
} from "./tickets.js";
import { qrSvg } from "./tokens.js";

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
    async findTickets({ checkoutIds }) {
      if (checkoutIds.length > mostAtOnce)
        throw new DomainError("REQUEST_INVALID", `Ask for the tickets of ${mostAtOnce} checkouts at most.`);
      const found = await store.ticketsWith(checkoutIds);
      return {
        tickets: found.map(({ ticketId, checkoutId, seat: { seatId, amount }, currency, voidedAtMs }) => ({
          ...{ ticketId, checkoutId, seatId, amount, currency },
          status: voidedAtMs === undefined ? TicketStatus.VALID : TicketStatus.VOID,
        })),
      };
    },
    async searchOrders({ status, ...wish }) {
      const { entries, nextCursor } = await searchOrders(store, { ...wish, status: statusNamed[status] });
      return { orders: entries.map(toOrderMessage), nextCursor };
    },
    getSales: ({ eventId }) => sales.of(eventId),
    async reserveRefund({ kind: asked, ...wish }) {
      const { seatIds, amount, kind } = await reserveRefund(store, { ...wish, kind: ourKind(asked) }, now());
      return { seatIds: [...seatIds], amount, kind: kindMessages[kind] };
    },
    async dropRefund(wish) {
      await dropRefund(store, wish, now());
      return {};
    },
    async recordPayment({ checkoutId, refunds, disputes }) {
      // Who answered, Stripe does not know.
      const said = disputes.map(({ answeredAtMs: _, answeredBy: _by, ...dispute }) => dispute);
      const { order, voidSeatIds } = await recordPayment(store, { checkoutId, refunds, disputes: said }, now());
      return { order: toOrderMessage(order), voidSeatIds };
    },
    closeRefund: async (wish) => ({ order: toOrderMessage(await closeRefund(store, wish, now())) }),
    async listRefunds({ state, ...wish }) {
      const { entries, nextCursor } = await listRefunds(store, { ...wish, state: stateNamed[state] });
      return {
        refunds: entries.map(({ order: { checkoutId, userId, event, currency }, refund }) => ({
          checkoutId,
          userId,
          eventId: event.eventId,
          currency,
          refund: toRefundMessage(refund),
        })),
        nextCursor,
      };
    },
    async listDisputes(wish) {
      const { entries, nextCursor } = await listDisputes(store, wish);
      return {
        disputes: entries.map(({ order: { checkoutId, userId, event, currency }, dispute }) => ({
          ...{ checkoutId, userId, event, currency },
          dispute: toDisputeMessage(dispute),
        })),
        nextCursor,
      };
    },
    recordDisputeAnswer: async (wish) => ({ order: toOrderMessage(await recordAnswer(store, wish, now())) }),
    async endCheckout(wish) {
      const order = await endCheckout(store, wish);
      return order ? { order: toOrderMessage(order) } : {};
    },
    async listChangedOrders(wish) {
      const { entries, nextCursor } = await listChangedOrders(store, wish);
      return { orders: entries.map(toOrderMessage), nextCursor };
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
  voided: OrderStatus.VOIDED,
} as const;

const statusNamed: Readonly<Record<OrderStatus, OrderStatusName | undefined>> = {
  [OrderStatus.UNSPECIFIED]: undefined,
  [OrderStatus.COMPLETED]: "completed",
  [OrderStatus.PARTIALLY_REFUNDED]: "partially_refunded",
  [OrderStatus.REFUNDED]: "refunded",
  [OrderStatus.VOIDED]: "voided",
};

const kindMessages = {
  return: RefundKind.RETURN,
  goodwill: RefundKind.GOODWILL,
  void: RefundKind.VOID,
  outside: RefundKind.OUTSIDE,
  dispute: RefundKind.DISPUTE,
} as const;

function ourKind(kind: RefundKind): "return" | "goodwill" | "void" {
  switch (kind) {
    case RefundKind.UNSPECIFIED:
    case RefundKind.RETURN:
      return "return";
    case RefundKind.GOODWILL:
      return "goodwill";
    case RefundKind.VOID:
      return "void";
    default:
      throw new DomainError("REQUEST_INVALID", "Only Stripe and banks make such refunds.");
  }
}

const stateMessages = {
  pending: RefundState.PENDING,
  paid: RefundState.PAID,
  failed: RefundState.FAILED,
  replaced: RefundState.REPLACED,
  closed: RefundState.CLOSED,
} as const;

const stateNamed: Readonly<Record<RefundState, RefundStateName | undefined>> = {
  [RefundState.UNSPECIFIED]: undefined,
  [RefundState.PENDING]: "pending",
  [RefundState.PAID]: "paid",
  [RefundState.FAILED]: "failed",
  [RefundState.REPLACED]: "replaced",
  [RefundState.CLOSED]: "closed",
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
    refunds: [...order.refunds].sort((a, b) => a.requestedAtMs - b.requestedAtMs).map(toRefundMessage),
    refundingSeatIds: refundingSeatIds(order),
    left: [...leftOf(order)].map(([seatId, amount]) => ({ seatId, amount })),
    amountFailed: amountFailed(order),
    amountClosed: amountClosed(order),
    disputes: order.disputes.map(toDisputeMessage),
  });
}

const toDisputeMessage = ({ answeredAtMs = 0, answeredBy = "", ...dispute }: Dispute): OrderDispute => ({
  ...dispute,
  answeredAtMs,
  answeredBy,
});

function toRefundMessage({ insteadOf: _, ...refund }: Refund): OrderRefund {
  const { failureReason = "", replacedBy = "", closedBy = "", closedReason = "" } = refund;
  return {
    ...refund,
    kind: kindMessages[refund.kind],
    state: stateMessages[refund.state],
    seatIds: [...refund.seatIds],
    money: [...refund.money],
    failureReason,
    replacedBy,
    closedBy,
    closedReason,
  };
}

function toTicketMessage(ticket: Ticket, qr = ""): TicketMessage {
  const { ticketId, checkoutId, event, seat, currency, issuedAtMs, voidedAtMs, token, disputed } = ticket;
  return TicketMessage.create({
    ticketId,
    checkoutId,
    event,
    seat,
    currency,
    status: voidedAtMs === undefined ? TicketStatus.VALID : TicketStatus.VOID,
    issuedAtMs,
    voidedAtMs: voidedAtMs ?? 0,
    // What is void opens no gate: its code is nobody's to keep.
    token: voidedAtMs === undefined ? token : "",
    qrSvg: qr,
    disputed,
  });
}
