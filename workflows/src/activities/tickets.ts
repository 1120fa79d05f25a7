// The steps with orders and tickets, through the ticket service, and the look at another checkout's workflow.
import { DomainError } from "@onsale/kit/errors";
import type { ServiceClient } from "@onsale/kit/grpc";
import { RefundKind, type TicketServiceService } from "@onsale/proto/ticket/v1/ticket";
import { checkoutWorkflowId } from "../contract.js";
import type { Steps } from "../steps.js";
import type { Attempt } from "./attempts.js";

type TicketSteps = Pick<
  Steps,
  "issueTickets" | "voidTickets" | "findOrder" | "reserveRefund" | "dropRefund" | "isCheckoutRunning"
>;

const kinds = { return: RefundKind.RETURN, goodwill: RefundKind.GOODWILL, void: RefundKind.VOID } as const;

export function ticketSteps(
  ticket: ServiceClient<TicketServiceService>,
  isWorkflowRunning: (workflowId: string) => Promise<boolean>,
  attempt: Attempt,
): TicketSteps {
  return {
    issueTickets: ({ checkoutId, accountId, event, seats, amount, currency }) =>
      attempt([], async (options) => {
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
        try {
          const { order } = await ticket.getOrder({ checkoutId, userId: "" }, options);
          if (!order) return undefined;
          const { amountRefunded, userId: accountId } = order;
          return { seatIds: order.seats.map((seat) => seat.seatId), amountRefunded, accountId };
        } catch (thrown) {
          if (thrown instanceof DomainError && thrown.code === "ORDER_NOT_FOUND") return undefined;
          throw thrown;
        }
      }),

    reserveRefund: ({ seatIds, kind = "return", requestedBy = "", reason = "", insteadOf = "", ...step }) =>
      attempt("all", (options) =>
        ticket.reserveRefund(
          { ...step, seatIds: [...seatIds], kind: kinds[kind], requestedBy, reason, insteadOf },
          options,
        ),
      ),

    dropRefund: (step) =>
      attempt([], async (options) => {
        await ticket.dropRefund(step, options);
      }),

    isCheckoutRunning: (checkoutId) => attempt([], () => isWorkflowRunning(checkoutWorkflowId(checkoutId))),
  };
}
