// The steps with orders and tickets, through the ticket service, and the look at other workflows.
import { DomainError } from "@onsale/kit/errors";
import type { CallOptions, ServiceClient } from "@onsale/kit/grpc-client";
import {
  type Order,
  type OrderRefund,
  RefundKind,
  RefundState,
  type TicketServiceService,
} from "@onsale/proto/ticket/v1/ticket";
import {
  checkoutWorkflowId,
  type RefundInput,
  type RefundKind as RefundKindName,
  refundWorkflowId,
} from "../contract.js";
import type { OrderState, Steps } from "../steps.js";
import type { Attempt } from "./attempts.js";

type TicketSteps = Pick<
  Steps,
  | "issueTickets"
  | "voidTickets"
  | "findOrder"
  | "endCheckout"
  | "reserveRefund"
  | "dropRefund"
  | "findDeadRefunds"
  | "isRefundOwed"
  | "isCheckoutRunning"
>;

export function ticketSteps(
  ticket: ServiceClient<TicketServiceService>,
  isWorkflowRunning: (workflowId: string) => Promise<boolean>,
  attempt: Attempt,
): TicketSteps {
  return {
    issueTickets: ({ checkoutId, accountId, event, seats, amount, currency }) =>
      attempt(["CHECKOUT_CANCELLED"], async (options) => {
        const { order } = await ticket.issueTickets(
          { checkoutId, userId: accountId, event: { ...event }, seats: [...seats], amount, currency },
          options,
        );
        if (order?.ticketIds.length !== seats.length)
          throw new Error(
            `the ticket service issued ${order?.ticketIds.length ?? 0} tickets for ${seats.length} seats`,
          );
        return order.ticketIds;
      }),

    voidTickets: ({ seatIds, ...step }) =>
      attempt([], async (options) => {
        const { order } = await ticket.voidTickets({ ...step, seatIds: [...seatIds] }, options);
        return seatIds.length > 0 ? seatIds : (order?.seats.map((seat) => seat.seatId) ?? []);
      }),

    findOrder: (checkoutId) =>
      attempt([], async (options) => {
        const order = await orderOf(ticket, checkoutId, options);
        return order && orderState(order);
      }),

    endCheckout: (step) =>
      attempt([], async (options) => {
        const { order } = await ticket.endCheckout(step, options);
        return order && orderState(order);
      }),

    reserveRefund: ({ seatIds, kind, ...step }) =>
      attempt("all", async (options) => {
        const { amount, ...reserved } = await ticket.reserveRefund(
          { ...step, seatIds: [...seatIds], kind: kindNumbers[kind] },
          options,
        );
        return { seatIds: reserved.seatIds, amount };
      }),

    dropRefund: (step) =>
      attempt([], async (options) => {
        await ticket.dropRefund(step, options);
      }),

    findDeadRefunds: ({ checkoutId, refundId }) =>
      attempt([], async (options) => {
        const order = await orderOf(ticket, checkoutId, options);
        const others = (order?.refunds ?? []).filter(
          (refund) => refund.state === RefundState.PENDING && refund.refundId !== refundId,
        );
        const dead: RefundInput[] = [];
        for (const refund of others)
          if (order && !(await isWorkflowRunning(refundWorkflowId(refund.refundId))))
            dead.push(refundInput({ checkoutId, userId: order.userId, eventId: order.event?.eventId ?? "" }, refund));
        return dead;
      }),

    isRefundOwed: ({ checkoutId, refundId }) =>
      attempt([], async (options) => {
        const order = await orderOf(ticket, checkoutId, options);
        return order?.refunds.find((refund) => refund.refundId === refundId)?.state === RefundState.FAILED;
      }),

    isCheckoutRunning: (checkoutId) => attempt([], () => isWorkflowRunning(checkoutWorkflowId(checkoutId))),
  };
}

async function orderOf(
  ticket: ServiceClient<TicketServiceService>,
  checkoutId: string,
  options: CallOptions,
): Promise<Order | undefined> {
  try {
    return (await ticket.getOrder({ checkoutId, userId: "" }, options)).order;
  } catch (thrown) {
    if (thrown instanceof DomainError && thrown.code === "ORDER_NOT_FOUND") return undefined;
    throw thrown;
  }
}

export function orderState({ seats, refunds, ticketIds, amountRefunded, userId: accountId }: Order): OrderState {
  const void_ = refunds.filter(({ state }) => state !== RefundState.PENDING).flatMap(({ seatIds }) => seatIds);
  return {
    seatIds: seats.map((seat) => seat.seatId),
    voidSeatIds: [...new Set(void_)],
    ticketIds,
    amountRefunded,
    accountId,
  };
}

const kindNumbers: Readonly<Record<RefundKindName, RefundKind>> = {
  return: RefundKind.RETURN,
  goodwill: RefundKind.GOODWILL,
  void: RefundKind.VOID,
};

/** What a refund's workflow was started with, as far as its reservation tells: enough to end it. */
export function refundInput(
  order: { readonly checkoutId: string; readonly userId: string; readonly eventId: string },
  { refundId, seatIds, amount, kind, requestedBy, reason }: OrderRefund,
): RefundInput {
  const { checkoutId, userId: accountId, eventId } = order;
  const named = (Object.keys(kindNumbers) as RefundKindName[]).find((name) => kindNumbers[name] === kind);
  return { refundId, checkoutId, accountId, eventId, seatIds, amount, kind: named ?? "return", requestedBy, reason };
}
