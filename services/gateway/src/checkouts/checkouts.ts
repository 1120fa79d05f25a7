// Checkouts as the API sees them: where one stands, wherever that is known, and how it is shown. Knows no HTTP.
import { DomainError } from "@onsale/kit/errors";
import type { CallOptions } from "@onsale/kit/grpc-client";
import type { Logger } from "@onsale/kit/log";
import type { HoldResponse } from "@onsale/proto/inventory/v1/seats";
import { PaymentStatus } from "@onsale/proto/payment/v1/payment";
import { type Order, OrderStatus } from "@onsale/proto/ticket/v1/ticket";
import {
  type CheckoutInput,
  type CheckoutStatus,
  type CheckoutView,
  checkoutDetails,
  checkoutQuery,
  checkoutStatuses,
  checkoutSummary,
  checkoutWorkflowId,
  endReasons,
  latePaymentWorkflowId,
  longestStepMs,
  type SettleLatePaymentInput,
  type SettleLatePaymentResult,
  searchAttributes,
  workflowTypes,
} from "@onsale/workflows/contract";
import type { Services } from "../clients/services.js";
import type { Description, Start, Started, Temporal } from "../clients/temporal.js";
import { gatherOrders } from "./earlier-orders.js";

/** How long a payment that is in flight at the deadline may take. */
const graceMs = 60_000;
/** Between the clocks of Temporal and its workers. */
const clockMarginMs = 2_000;

export const notFound = () =>
  new DomainError(
    "CHECKOUT_NOT_FOUND",
    "There is no such checkout among yours. Its id is in the answer to POST /v1/checkouts.",
  );

export interface Standing {
  readonly view: CheckoutView;
  /** Is the workflow still at it? Not when an order stands already, and it was reset. */
  readonly open: boolean;
}

export type Checkouts = ReturnType<typeof createCheckouts>;

export interface CheckoutsDependencies {
  readonly temporal: Temporal;
  readonly services: Services;
  readonly taskQueue: string;
  readonly log: Logger;
}

export function createCheckouts({ temporal, services, taskQueue, log }: CheckoutsDependencies) {
  const orderOf = gatherOrders(services.ticket);

  /** A running checkout; without a worker to ask, as its search attributes and its input tell. */
  async function running(checkoutId: string, description: Description): Promise<CheckoutView> {
    const workflowId = checkoutWorkflowId(checkoutId);
    try {
      return await temporal.query<CheckoutView>(workflowId, checkoutQuery);
    } catch (err) {
      log.warn({ err, checkoutId }, "a checkout can't be asked; answering from what Temporal keeps");
      return untold(await temporal.input<CheckoutInput>(workflowId), statusOf(description) ?? "held");
    }
  }

  /**
   * The order of a checkout that runs although it has one: an operator has reset it, or started another under its id. Of the latter nothing
   * tells but the order, which is taken as none while the orders do not answer.
   */
  async function earlierOrder(
    checkoutId: string,
    { open, again, attributes }: Description,
    options: CallOptions,
  ): Promise<Order | undefined> {
    if (!open) return undefined;
    const accountId = attributes[searchAttributes.accountId] ?? "";
    if (again) return orderOf(checkoutId, accountId, options);
    return orderOf(checkoutId, accountId, { ...options, deadlineMs: 1_000 }).catch(() => undefined);
  }

  /** A checkout that returned. Its order tells, if there is one, whatever a late run of it returned. */
  async function returned(checkoutId: string, accountId: string, options: CallOptions): Promise<CheckoutView> {
    const outcome = await temporal.result<CheckoutView>(checkoutWorkflowId(checkoutId)).catch((err: unknown) => {
      log.warn({ err, checkoutId }, "what a checkout returned can't be read");
      return undefined;
    });
    const view = outcome?.kind === "done" ? outcome.result : undefined;
    const order = await orderOf(checkoutId, accountId, options).catch((error: unknown) => {
      if (view) return undefined; // what the workflow returned is true enough
      throw error;
    });
    if (order) return withOrder(view ?? viewOfOrder(order), order);
    if (view) return view;
    throw new DomainError("UNAVAILABLE", "How this checkout ended can't be read right now. Please try again.", {
      retryAfterSeconds: 1,
    });
  }

  /**
   * A checkout that was closed by force: nobody knows yet what became of its seats and its money, so that is found out, and until then
   * nothing is said of them.
   */
  async function broken(
    checkoutId: string,
    accountId: string,
    description: Description,
    options: CallOptions,
  ): Promise<CheckoutView> {
    const order = await orderOf(checkoutId, accountId, options);
    if (order) return viewOfOrder(order);
    const input = await temporal.input<CheckoutInput>(checkoutWorkflowId(checkoutId));
    if (!(await isSettled(checkoutId, description)))
      return { ...untold(input, "paying"), reason: endReasons.closedByOperator };
    // It may have come to its tickets meanwhile; else what was taken is back.
    const late = await orderOf(checkoutId, accountId, options);
    if (late) return viewOfOrder(late);
    const paid = await services.payment.getPayment({ checkoutId, refresh: false }, options).catch((error: unknown) => {
      if (DomainError.from(error).code === "PAYMENT_NOT_FOUND") return undefined;
      throw error;
    });
    const status = paid?.payment?.status === PaymentStatus.REFUNDED ? "refunded" : "cancelled";
    return { ...untold(input, status), reason: endReasons.closedByOperator };
  }

  /** Has a settlement that began after the end come to one? If none was made, it is begun: the one that `findOrphans` would begin. */
  async function isSettled(checkoutId: string, description: Description): Promise<boolean> {
    const workflowId = latePaymentWorkflowId(checkoutId);
    const settlement = await temporal.describe(workflowId);
    if (settlement?.open) return false;
    const isLater = settlement && settlement.startedAtMs >= (description.closedAtMs ?? 0);
    // One that failed is left to findOrphans, which names it for a person.
    if (isLater && settlement.status === "FAILED") return false;
    if (isLater && settlement.status === "COMPLETED") {
      const outcome = await temporal.result<SettleLatePaymentResult>(workflowId);
      return outcome.kind === "done" && outcome.result.action !== "person";
    }
    const started = await settle(checkoutId, description);
    if (started.kind !== "running") log.warn({ checkoutId, started }, "a settlement can't be begun now");
    return false;
  }

  /** Begins the settlement of a checkout that has ended, or finds it running. */
  async function settle(checkoutId: string, description: Description | undefined): Promise<Started> {
    const workflowId = latePaymentWorkflowId(checkoutId);
    const attributes = whose(description?.attributes ?? {});
    const start = { type: workflowTypes.settleLatePayment, workflowId, taskQueue, attributes, mayRepeat: true };
    if (description?.closedAtMs === undefined || description.status === "COMPLETED") {
      const input: SettleLatePaymentInput = { checkoutId };
      return temporal.start({ ...start, input, summary: `Money of ${checkoutId}, which had ended` });
    }
    const checkout = await temporal.input<CheckoutInput>(checkoutWorkflowId(checkoutId));
    const notBeforeMs = description.closedAtMs + longestStepMs + clockMarginMs;
    const input: SettleLatePaymentInput = { checkoutId, eventId: checkout.event.eventId, checkout, notBeforeMs };
    return temporal.start({ ...start, input, summary: `Checkout ${checkoutId}, which was closed by force` });
  }

  return {
    /** Where a checkout stands. Refusal: CHECKOUT_NOT_FOUND, also for another account's. */
    async look(checkoutId: string, accountId: string, options: CallOptions): Promise<Standing> {
      let description: Description | undefined;
      try {
        description = await temporal.describe(checkoutWorkflowId(checkoutId));
      } catch (error) {
        // A finished checkout can be shown without Temporal.
        const order = await orderOf(checkoutId, accountId, options).catch(() => undefined);
        if (order) return { view: viewOfOrder(order), open: false };
        throw error;
      }
      if (!description) {
        // Never was, or so long ago that Temporal has forgotten it.
        const order = await orderOf(checkoutId, accountId, options);
        if (!order) throw notFound();
        return { view: viewOfOrder(order), open: false };
      }
      if (description.attributes[searchAttributes.accountId] !== accountId) throw notFound();
      if (description.open) {
        const [order, view] = await Promise.all([
          earlierOrder(checkoutId, description, options),
          running(checkoutId, description),
        ]);
        return order ? { view: viewOfOrder(order), open: false } : { view, open: true };
      }
      const view =
        description.status === "COMPLETED"
          ? await returned(checkoutId, accountId, options)
          : await broken(checkoutId, accountId, description, options);
      return { view, open: false };
    },

    /** A checkout as it is shown, with the bank's page while the buyer is wanted there. Without payment, the page is left out: asking again brings it. */
    async shown(view: CheckoutView, options: CallOptions) {
      if (view.status !== "requires_action") return shownCheckout(view);
      const found = await services.payment
        .getPayment({ checkoutId: view.checkoutId, refresh: false }, options)
        .catch((err: unknown) => {
          log.warn({ err, checkoutId: view.checkoutId }, "the bank's page of a checkout is not known now");
          return undefined;
        });
      return shownCheckout(view, found?.payment?.actionUrl || undefined);
    },

    /** Is it this account's, and does it run without an order? Cheaper than `look`. Refusal: CHECKOUT_NOT_FOUND. */
    async isOpen(checkoutId: string, accountId: string, options: CallOptions): Promise<boolean> {
      const description = await temporal.describe(checkoutWorkflowId(checkoutId));
      if (description && description.attributes[searchAttributes.accountId] !== accountId) throw notFound();
      if (!description?.open) return false;
      return (await earlierOrder(checkoutId, description, options)) === undefined;
    },

    earlierOrder,
    settle,

    /** The order of an earlier checkout with this id, if Temporal has forgotten the checkout but not the order. */
    order: orderOf,
  };
}

export function startOf(input: CheckoutInput, taskQueue: string): Start {
  return {
    type: workflowTypes.checkout,
    workflowId: checkoutWorkflowId(input.checkoutId),
    taskQueue,
    input,
    attributes: {
      [searchAttributes.eventId]: input.event.eventId,
      [searchAttributes.accountId]: input.accountId,
      [searchAttributes.status]: "held",
    },
    summary: checkoutSummary(input),
    details: checkoutDetails(input),
  };
}

export function inputOf(checkoutId: string, accountId: string, eventId: string, hold: HoldResponse): CheckoutInput {
  const { eventName: name, startsAtMs, venueName, city, timeZone } = hold;
  return {
    checkoutId,
    accountId,
    event: { eventId, name, startsAtMs, venueName, city, timeZone },
    holdId: hold.holdId,
    epoch: hold.epoch,
    deadlineMs: hold.deadlineMs,
    seats: hold.seats,
    amount: hold.amount,
    currency: hold.currency,
    graceMs,
  };
}

/** A checkout of which no more than its input and a status is known. */
export function untold(input: CheckoutInput, status: CheckoutStatus): CheckoutView {
  const { checkoutId, accountId, deadlineMs, seats, amount, currency } = input;
  return {
    checkoutId,
    accountId,
    eventId: input.event.eventId,
    status,
    deadlineMs,
    seats,
    amount,
    currency,
    ticketIds: [],
  };
}

function statusOf({ attributes }: Description): CheckoutStatus | undefined {
  return checkoutStatuses.find((status) => status === attributes[searchAttributes.status]);
}

/** Event and account of the checkout, so that operators find what is about it beside it. */
export function whose(attributes: Readonly<Record<string, string>>): Record<string, string> {
  const names = [searchAttributes.eventId, searchAttributes.accountId];
  return Object.fromEntries(names.flatMap((name) => (attributes[name] ? [[name, attributes[name]]] : [])));
}

/** Whatever a run that was reset returned: the order stands. */
function withOrder({ reason: _reason, decline: _decline, ...view }: CheckoutView, order: Order): CheckoutView {
  return {
    ...view,
    status: order.status === OrderStatus.REFUNDED ? "refunded" : "completed",
    ticketIds: order.ticketIds,
  };
}

export const viewOfOrder = (order: Order): CheckoutView => ({
  checkoutId: order.checkoutId,
  accountId: order.userId,
  eventId: order.event?.eventId ?? "",
  status: order.status === OrderStatus.REFUNDED ? "refunded" : "completed",
  deadlineMs: 0,
  seats: order.seats,
  amount: order.amount,
  currency: order.currency,
  ticketIds: order.ticketIds,
});

/** Why nothing can be done any more about a checkout that has ended so. */
export function overRefusal(view: CheckoutView): DomainError {
  const details = { status: view.status, ...(view.reason === undefined ? {} : { reason: view.reason }) };
  switch (view.status) {
    case "completed":
      return new DomainError(
        "CHECKOUT_COMPLETED",
        "This checkout is paid. Your tickets are under /v1/tickets.",
        details,
      );
    case "paying":
      return new DomainError(
        "CHECKOUT_BUSY",
        "This checkout was closed by an operator, and what became of its seats and its money is being found out. Nothing was done now; " +
          "GET the checkout in a few seconds.",
        details,
      );
    case "refunded":
      return new DomainError("CHECKOUT_CANCELLED", "This checkout has ended, and its money was given back.", details);
    case "expired":
      return new DomainError("CHECKOUT_EXPIRED", "The time to pay is over and the seats are free again.", details);
    default:
      return new DomainError(
        "CHECKOUT_CANCELLED",
        "This checkout has ended without tickets and its seats are free again.",
        details,
      );
  }
}

export function shownSeat(seat: {
  readonly seatId: string;
  readonly sectionId: string;
  readonly row: string;
  readonly number: string;
  readonly tierId: string;
  readonly amount: number;
}) {
  const { seatId, sectionId, row, number, tierId, amount } = seat;
  return { seatId, section: sectionId, row, number, tier: tierId, amount };
}

/** The action URL is the bank's page, while it is wanted; the payment service knows it, and no workflow's history does. */
export function shownCheckout(view: CheckoutView, actionUrl?: string) {
  const { checkoutId, eventId, status, deadlineMs, seats, amount, currency, decline, reason } = view;
  return {
    checkoutId,
    eventId,
    status,
    ...(deadlineMs > 0 ? { deadline: new Date(deadlineMs).toISOString() } : {}),
    seats: seats.map(shownSeat),
    amount,
    currency,
    ...(decline ? { decline: { code: decline.code, message: decline.message } } : {}),
    ...(actionUrl === undefined ? {} : { actionUrl }),
    ...(reason === undefined ? {} : { reason }),
    tickets: view.ticketIds,
  };
}
