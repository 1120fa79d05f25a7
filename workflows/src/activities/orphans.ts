// The step that looks for what belongs to nothing: claims, money, refunds and cancelled events that no workflow looks after.
import type { CallOptions, ServiceClient } from "@onsale/kit/grpc-client";
import { type CatalogServiceService, EventStatus } from "@onsale/proto/inventory/v1/catalog";
import type { ReconcileServiceService } from "@onsale/proto/inventory/v1/reconcile";
import { type PaymentServiceService, PaymentStatus } from "@onsale/proto/payment/v1/payment";
import { type Order, RefundState, type TicketServiceService } from "@onsale/proto/ticket/v1/ticket";
import {
  cancelEventWorkflowId,
  checkoutWorkflowId,
  failedRefundWorkflowId,
  latePaymentWorkflowId,
  refundWorkflowId,
} from "../contract.js";
import type { Orphan, OrphanKind, OrphansFound, OrphansStep, Steps } from "../steps.js";
import type { Attempt } from "./attempts.js";
import { orderState, refundInput } from "./tickets.js";

export interface OrphanParts {
  readonly catalog: ServiceClient<CatalogServiceService>;
  readonly reconcile: ServiceClient<ReconcileServiceService>;
  readonly payment: ServiceClient<PaymentServiceService>;
  readonly ticket: ServiceClient<TicketServiceService>;
  readonly isWorkflowRunning: (workflowId: string) => Promise<boolean>;
}

interface Page {
  readonly orphans: readonly Orphan[];
  readonly looked: number;
  /** When the oldest of those began or changed that is still looked after, or waits for a person; 0: there is none. */
  readonly oldestOpenMs: number;
  readonly nextCursor: string;
}

/** A search goes on for so long, then says where it is: a long one must not look like a dead one. */
const enoughMs = 10_000;
const atOnce = 200;
/** So long after its start nobody waits for an event's seats any more. */
const concernMs = 30 * 24 * 60 * 60 * 1000;

/** Money that is reserved, taken, or may be in a moment. Nothing was taken of the others. */
const withMoney = [
  PaymentStatus.REQUIRES_ACTION,
  PaymentStatus.PROCESSING,
  PaymentStatus.AUTHORIZED,
  PaymentStatus.CAPTURED,
  PaymentStatus.PARTIALLY_REFUNDED,
];

export function orphanSteps(parts: OrphanParts, attempt: Attempt): Pick<Steps, "lookForOrphans"> {
  const { catalog, reconcile, payment, ticket, isWorkflowRunning } = parts;

  const ordersOf = async (checkoutIds: readonly string[], options: CallOptions): Promise<Map<string, Order>> => {
    if (checkoutIds.length === 0) return new Map();
    const { orders } = await ticket.findOrders({ checkoutIds: [...checkoutIds] }, options);
    return new Map(orders.map((order) => [order.checkoutId, order]));
  };

  /** Checkouts that have claims or money, and no order. */
  async function withoutOrder(
    found: readonly { readonly checkoutId: string; readonly eventId: string; readonly atMs: number }[],
    nextCursor: string,
    options: CallOptions,
  ): Promise<Page> {
    const orders = await ordersOf(
      found.map(({ checkoutId }) => checkoutId),
      options,
    );
    const orphans: Orphan[] = [];
    let oldestOpenMs = 0;
    for (const { checkoutId, eventId, atMs } of found) {
      if (orders.has(checkoutId)) continue;
      if (await isWorkflowRunning(checkoutWorkflowId(checkoutId))) oldestOpenMs = earlier(oldestOpenMs, atMs);
      else if (await isWorkflowRunning(latePaymentWorkflowId(checkoutId))) oldestOpenMs = earlier(oldestOpenMs, atMs);
      else orphans.push({ kind: "checkout", checkoutId, eventId });
    }
    return { orphans, looked: found.length, oldestOpenMs, nextCursor };
  }

  type Look = (step: Omit<OrphansStep, "kind">, options: CallOptions) => Promise<Page>;
  const looks: Readonly<Record<OrphanKind, Look>> = {
    async sale({ sinceMs, beforeMs, cursor }, options) {
      const { sales, nextCursor } = await reconcile.listSales({ sinceMs, beforeMs, cursor, limit: atOnce }, options);
      return withoutOrder(sales, nextCursor, options);
    },

    async payment({ sinceMs, beforeMs, cursor }, options) {
      const page = { changedSinceMs: sinceMs, changedBeforeMs: beforeMs, statuses: withMoney, cursor, limit: atOnce };
      const { payments, nextCursor } = await payment.listPayments(page, options);
      const found = payments.map((one) => ({
        checkoutId: one.payment?.checkoutId ?? "",
        eventId: one.eventId,
        atMs: one.changedAtMs,
      }));
      return withoutOrder(found, nextCursor, options);
    },

    // Those under way, however long ago they began: few at any time, so they need no place to go on from.
    async refund({ beforeMs, cursor }, options) {
      const page = { state: RefundState.PENDING, beforeMs, cursor, limit: atOnce, eventIds: [] };
      const { refunds, nextCursor } = await ticket.listRefunds(page, options);
      const orphans: Orphan[] = [];
      for (const { refund, ...order } of refunds)
        if (refund && !(await isWorkflowRunning(refundWorkflowId(refund.refundId))))
          orphans.push({ kind: "refund", refund: refundInput(order, refund) });
      return { orphans, looked: refunds.length, oldestOpenMs: 0, nextCursor };
    },

    async "failed refund"({ beforeMs, cursor }, options) {
      const page = { state: RefundState.FAILED, beforeMs, cursor, limit: atOnce, eventIds: [] };
      const { refunds, nextCursor } = await ticket.listRefunds(page, options);
      const orphans: Orphan[] = [];
      for (const { refund, checkoutId, userId: accountId, eventId, currency } of refunds) {
        if (!refund || (await isWorkflowRunning(failedRefundWorkflowId(refund.refundId)))) continue;
        const { refundId, amount } = refund;
        orphans.push({ kind: "failed refund", refund: { refundId, checkoutId, accountId, eventId, amount, currency } });
      }
      return { orphans, looked: refunds.length, oldestOpenMs: 0, nextCursor };
    },

    // An order that changed and has void tickets: its seats must be free. One that lost no ticket owns all of its seats.
    async order({ sinceMs, beforeMs, cursor }, options) {
      const page = { changedSinceMs: sinceMs, changedBeforeMs: beforeMs, cursor, limit: atOnce };
      const { orders, nextCursor } = await ticket.listChangedOrders(page, options);
      const orphans: Orphan[] = [];
      let oldestOpenMs = 0;
      for (const order of orders) {
        if (order.refunds.length === 0) continue;
        const running = order.refunds.filter(({ state }) => state === RefundState.PENDING);
        if (running.length > 0) {
          oldestOpenMs = earlier(oldestOpenMs, Math.min(...order.refunds.map(({ atMs }) => atMs)));
          continue;
        }
        const { checkoutId, userId: accountId } = order;
        const { voidSeatIds, seatIds } = orderState(order);
        const eventId = order.event?.eventId ?? "";
        const { sale } = await reconcile.getSale({ eventId, checkoutId }, options);
        const claimed = new Set(sale?.seats.map(({ seatId }) => seatId));
        const left = voidSeatIds.filter((seatId) => claimed.has(seatId));
        if (left.length > 0) orphans.push({ kind: "seats", seats: { eventId, checkoutId, accountId, seatIds: left } });
        const lost = seatIds.filter((seatId) => !voidSeatIds.includes(seatId) && !claimed.has(seatId));
        if (lost.length === 0) continue;
        orphans.push({ kind: "unclaimed", checkoutId, seatIds: lost });
        oldestOpenMs = earlier(oldestOpenMs, Math.min(...order.refunds.map(({ atMs }) => atMs)));
      }
      return { orphans, looked: orders.length, oldestOpenMs, nextCursor };
    },

    async "cancelled event"({ beforeMs, cursor }, options) {
      const { events, nextCursor } = await catalog.listEvents(
        { organiserId: "", status: EventStatus.CANCELLED, query: "", cursor, limit: 100 },
        options,
      );
      const orphans: Orphan[] = [];
      for (const { eventId, cancelledAtMs, startsAtMs } of events) {
        if (cancelledAtMs >= beforeMs || startsAtMs < beforeMs - concernMs) continue;
        if (await isWorkflowRunning(cancelEventWorkflowId(eventId))) continue;
        const { checkoutIds } = await catalog.listClaimants({ eventId, cursor: "", limit: 0 }, options);
        if (checkoutIds.length > 0) orphans.push({ kind: "cancelled event", eventId });
      }
      return { orphans, looked: events.length, oldestOpenMs: 0, nextCursor };
    },
  };

  return {
    lookForOrphans: ({ kind, ...step }) =>
      attempt([], async (options) => {
        const end = Date.now() + enoughMs;
        let sum: OrphansFound = { orphans: [], looked: 0, oldestOpenMs: 0, nextCursor: step.cursor };
        do {
          const page = await looks[kind]({ ...step, cursor: sum.nextCursor }, options);
          sum = {
            orphans: [...sum.orphans, ...page.orphans],
            looked: sum.looked + page.looked,
            oldestOpenMs: earlier(sum.oldestOpenMs, page.oldestOpenMs),
            nextCursor: page.nextCursor,
          };
          // A history is not the place for thousands of them: they are mended before the search goes on.
        } while (sum.nextCursor !== "" && sum.orphans.length < atOnce && Date.now() < end);
        return sum;
      }),
  };
}

/** Of times of which 0 is none. */
const earlier = (one: number, other: number): number =>
  one === 0 || other === 0 ? one || other : Math.min(one, other);
