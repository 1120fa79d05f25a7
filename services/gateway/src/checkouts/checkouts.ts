// Checkouts as the API sees them: where one stands, wherever that is known, and how it is shown. Knows no HTTP.
import { DomainError } from "@onsale/kit/errors";
import type { CallOptions } from "@onsale/kit/grpc-client";
import type { Logger } from "@onsale/kit/log";
import type { HoldResponse } from "@onsale/proto/inventory/v1/seats";
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
  searchAttributes,
  workflowTypes,
} from "@onsale/workflows/contract";
import type { Services } from "../clients/services.js";
import type { Description, Start, Temporal } from "../clients/temporal.js";
import { gatherOrders } from "./earlier-orders.js";

/** How long a payment that is in flight at the deadline may take. */
const graceMs = 60_000;

export const notFound = () =>
  new DomainError(
    "CHECKOUT_NOT_FOUND",
    "There is no such checkout among yours. Its id is in the answer to POST /v1/checkouts.",
  );

export interface Standing {
  readonly view: CheckoutView;
  /** Is the workflow still at it? */
  readonly open: boolean;
}

export type Checkouts = ReturnType<typeof createCheckouts>;

export function createCheckouts({ temporal, services, log }: { temporal: Temporal; services: Services; log: Logger }) {
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

  /** A closed checkout. Its order tells, if there is one, whatever a late run of it returned; one that was closed by force returned nothing. */
  async function closed(checkoutId: string, accountId: string, options: CallOptions): Promise<CheckoutView> {
    const workflowId = checkoutWorkflowId(checkoutId);
    const returned = await temporal.result<CheckoutView>(workflowId).catch((err: unknown) => {
      log.warn({ err, checkoutId }, "a checkout has closed without a result");
      return undefined;
    });
    const order = await orderOf(checkoutId, accountId, options).catch((error: unknown) => {
      if (returned?.kind === "done") return undefined; // what the workflow returned is true enough
      throw error;
    });
    if (order) return withOrder(returned?.kind === "done" ? returned.result : viewOfOrder(order), order);
    if (returned?.kind === "done") return returned.result;
    return { ...untold(await temporal.input<CheckoutInput>(workflowId), "cancelled"), reason: "CLOSED_BY_OPERATOR" };
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
      const view = description.open
        ? await running(checkoutId, description)
        : await closed(checkoutId, accountId, options);
      return { view, open: description.open };
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

    /** Is it this account's, and does it run? Cheaper than `look`. Refusal: CHECKOUT_NOT_FOUND. */
    async isOpen(checkoutId: string, accountId: string): Promise<boolean> {
      const description = await temporal.describe(checkoutWorkflowId(checkoutId));
      if (description && description.attributes[searchAttributes.accountId] !== accountId) throw notFound();
      return description?.open ?? false;
    },

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
