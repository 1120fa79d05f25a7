// Routes of disputes at buyers' banks: which wait for an answer, what is known of one's order, and the answer.
import { DomainError } from "@onsale/kit/errors";
import type { CallOptions } from "@onsale/kit/grpc-client";
import type { Order, OrderDispute } from "@onsale/proto/ticket/v1/ticket";
import { disputeChangedSignal, disputeWorkflowId } from "@onsale/workflows/contract";
import { type Route, route } from "../http/route.js";
import * as own from "../organisers/schemas.js";
import * as schema from "../schemas.js";
import { answerText, type EvidenceFacts, evidenceOf } from "./dispute-evidence.js";
import { shownMoment, shownPayment } from "./order-search.js";
import { askerOfRefund, orderFor, shownDispute, shownOrderFields, shownTicketEvent, voidSeatIds } from "./orders.js";
import { eventIdOf, mostEvents, type SoldOrderParts, shownBuyer, soldOrders } from "./sold-orders.js";
import { type Moment, timelineOf } from "./timeline.js";

const tag = "organisers";
const forOrganisers = { access: "account", roles: ["organiser", "operator"], limits: "by caller" } as const;
const aDispute = { params: schema.disputeParams, unknownParam: "DISPUTE_NOT_FOUND" } as const;
/** Stripe's words for a bank that waits for us. */
const wanted = ["needs_response", "warning_needs_response"];

export function disputeRoutes(parts: SoldOrderParts): Route[] {
  const { services, temporal, log } = parts;
  const { catalog, payment, ticket } = services;
  const { eventsSeen, organisersOf, buyersOf, paymentOf, historyOf } = soldOrders(parts);

  /** Until when its tickets could be given back; undefined while events can't be asked. */
  async function refundableUntilMs(order: Order, options: CallOptions): Promise<number | undefined> {
    try {
      const { events } = await catalog.getEvents({ eventIds: [eventIdOf(order)] }, options);
      return events[0]?.refundableUntilMs;
    } catch (error) {
      if (!(error instanceof DomainError && error.refusal.retryable)) throw error;
      return undefined;
    }
  }

  /** What is on the dispute at Stripe; undefined while Stripe can't be asked. */
  async function atBank(checkoutId: string, disputeId: string, options: CallOptions) {
    try {
      return (await payment.getDisputeEvidence({ checkoutId, disputeId }, options)).evidence;
    } catch (err) {
      log.warn({ err, checkoutId, disputeId }, "the evidence on a dispute can't be read now");
      return undefined;
    }
  }

  async function factsOf(order: Order, organiserId: string | undefined, options: () => CallOptions) {
    const [buyers, until, history] = await Promise.all([
      buyersOf([order], options()),
      refundableUntilMs(order, options()),
      historyOf(order.checkoutId),
    ]);
    const timeline = timelineOf(history, order, (refund) => askerOfRefund(refund, order, organiserId));
    const facts: EvidenceFacts = { order, buyer: buyers.get(order.userId), refundableUntilMs: until, timeline };
    return { buyers, facts };
  }

  return [
    route(
      {
        method: "get",
        path: "/v1/organiser/disputes",
        operationId: "listDisputes",
        tag,
        summary: "Payments of your events that are disputed at the buyers' banks",
        description: [
          "The open ones by the time until which the bank takes an answer, soonest first; the decided ones oldest first.",
          `Without an eventId, those of your ${mostEvents} newest events; an operator sees everybody's. A page is of orders.`,
        ].join(" "),
        ...forOrganisers,
        query: own.disputeSearch,
        answers: { 200: { description: "A page of disputes.", schema: own.disputePage } },
        refusals: ["EVENT_NOT_FOUND"],
      },
      async ({ query: { state, eventId, cursor = "", limit }, identity, rpc }) => {
        const eventIds = await eventsSeen(eventId, identity, false, rpc());
        if (eventIds === "none") return { status: 200, body: { disputes: [] } };
        const page = { decided: state === "decided", cursor, limit, eventIds };
        const { disputes, nextCursor } = await ticket.listDisputes(page, rpc());
        const buyers = await buyersOf(disputes, rpc());
        return {
          status: 200,
          body: {
            disputes: disputes.flatMap(({ checkoutId, userId, event, currency, dispute }) =>
              dispute
                ? {
                    ...{ checkoutId, currency },
                    event: shownTicketEvent(event),
                    buyer: shownBuyer(userId, buyers),
                    dispute: shownDispute(dispute),
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
        path: "/v1/orders/{checkoutId}/disputes/{disputeId}/evidence",
        operationId: "getDisputeEvidence",
        tag,
        summary: "What is known of a disputed order, for the bank",
        description: "By the event's organiser or an operator. It holds no ticket's code, and nothing of other orders.",
        ...forOrganisers,
        ...aDispute,
        answers: { 200: { description: "The facts.", schema: own.disputeEvidence } },
        refusals: ["ORDER_NOT_FOUND", "DISPUTE_NOT_FOUND"],
      },
      async ({ params: { checkoutId, disputeId }, identity, rpc }) => {
        const order = await orderFor(services, checkoutId, identity, rpc());
        const dispute = disputeOf(order, disputeId);
        const organiserId = (await organisersOf([eventIdOf(order)], identity, rpc()))(eventIdOf(order));
        const [{ buyers, facts }, paid, there] = await Promise.all([
          factsOf(order, organiserId, rpc),
          paymentOf(checkoutId, rpc()),
          atBank(checkoutId, disputeId, rpc()),
        ]);
        const { seats, refunds } = shownOrderFields(order, { organiserId, reasons: true });
        const { refundableUntilMs: until, timeline } = facts;
        const gone = new Set(voidSeatIds(order));
        return {
          status: 200,
          body: {
            checkoutId,
            dispute: shownDispute(dispute),
            answerable: isAnswerable(dispute),
            buyer: shownBuyer(order.userId, buyers),
            event: shownTicketEvent(order.event),
            bought: {
              at: new Date(order.createdAtMs).toISOString(),
              ...{ seats, amount: order.amount, currency: order.currency },
            },
            ...(until !== undefined && {
              shown: until === 0 ? {} : { refundableUntil: new Date(until).toISOString() },
            }),
            ...(paid && { payment: { ...shownPayment(paid), ...approvalIn(timeline) } }),
            tickets: order.ticketIds.map((ticketId, rank) => {
              const seatId = order.seats[rank]?.seatId ?? "";
              return { ticketId, seatId, status: gone.has(seatId) ? "void" : "valid" };
            }),
            refunds,
            timeline: timeline.map(shownMoment),
            draft: evidenceOf(facts),
            ...(there && { atBank: there }),
          },
        };
      },
    ),
    route(
      {
        method: "post",
        path: "/v1/orders/{checkoutId}/disputes/{disputeId}/evidence",
        operationId: "answerDispute",
        tag,
        summary: "Send your answer, with what is known of the order, to the bank",
        description:
          "By the event's organiser or an operator, once: the bank takes one answer. The order's timeline says who sent it, and when.",
        ...forOrganisers,
        idempotencyKey: "required",
        ...aDispute,
        body: own.disputeAnswer,
        answers: { 200: { description: "The dispute, as the order has it now.", schema: schema.orderDispute } },
        refusals: ["ORDER_NOT_FOUND", "DISPUTE_NOT_FOUND", "DISPUTE_CLOSED", "PAYMENT_STATE_CONFLICT"],
      },
      async ({ params: { checkoutId, disputeId }, body: { words }, identity, rpc }) => {
        const order = await orderFor(services, checkoutId, identity, rpc());
        disputeOf(order, disputeId);
        const { facts } = await factsOf(order, undefined, rpc);
        const text = answerText(words, order);
        try {
          const evidence = { ...evidenceOf(facts), uncategorized_text: text };
          await payment.submitDisputeEvidence({ checkoutId, disputeId, evidence, submit: true }, rpc());
        } catch (error) {
          // These words are there: sent by this request, whose answer was lost, with facts that have changed a little since.
          const sentBefore = error instanceof DomainError && error.code === "DISPUTE_CLOSED";
          if (!sentBefore || (await atBank(checkoutId, disputeId, rpc()))?.["uncategorized_text"] !== text) throw error;
        }
        const answered = await ticket.recordDisputeAnswer(
          { checkoutId, disputeId, answeredBy: identity.accountId },
          rpc(),
        );
        if (!answered.order) throw new Error("the ticket service answered without an order");
        // Its workflow asks Stripe now. It looks by itself, too: that it can't be told is no harm.
        await temporal.signal(disputeWorkflowId(disputeId), disputeChangedSignal).catch(() => false);
        return { status: 200, body: shownDispute(disputeOf(answered.order, disputeId)) };
      },
    ),
  ];
}

function disputeOf({ disputes }: Order, disputeId: string): OrderDispute {
  const dispute = disputes.find((one) => one.disputeId === disputeId);
  if (!dispute) throw new DomainError("DISPUTE_NOT_FOUND", "The order has no dispute with this id.");
  return dispute;
}

/** Stripe's word on an answer comes after the answer. */
const isAnswerable = ({ status, evidenceDueMs, answeredAtMs }: OrderDispute): boolean =>
  wanted.includes(status) && answeredAtMs === 0 && (evidenceDueMs === 0 || Date.now() < evidenceDueMs);

/** The last time that the bank asked the buyer to approve the payment, and what came of it. */
function approvalIn(timeline: readonly Moment[]) {
  const asked = timeline.findLast(({ step }) => step === "requires_action");
  if (!asked) return {};
  const approved = timeline.find(({ step, atMs }) => step === "authorized" && atMs >= asked.atMs);
  return {
    approvalAskedAt: new Date(asked.atMs).toISOString(),
    ...(approved && { approvedAt: new Date(approved.atMs).toISOString() }),
  };
}
