// Reads of one checkout, or of some, what Stripe and the services have, for the books.
import { DomainError } from "@onsale/kit/errors";
import type { CallOptions, ServiceClient } from "@onsale/kit/grpc-client";
import type { ReconcileServiceService } from "@onsale/proto/inventory/v1/reconcile";
import type { ListedPayment, Payment, PaymentServiceService, StripePayment } from "@onsale/proto/payment/v1/payment";
import type { FoundTicket, Order, TicketServiceService } from "@onsale/proto/ticket/v1/ticket";
import type { Entry, PaymentFact, RecordProblem } from "../books/compare.js";
import { orderFact, recordFact, stripeFact, ticketFacts } from "./books-facts.js";

export interface BooksParts {
  readonly reconcile: ServiceClient<ReconcileServiceService>;
  readonly payment: ServiceClient<PaymentServiceService>;
  readonly ticket: ServiceClient<TicketServiceService>;
}

/** A checkout that is to be compared, with what is known of it already. */
export interface Candidate {
  readonly checkoutId: string;
  /** undefined: Stripe has to be asked. */
  readonly stripe: StripePayment | undefined;
  readonly record: Payment | undefined;
}

const minuteMs = 60_000;
/** A minute of the greatest rush has some thousand payments. */
const mostMinutes = 60;

/** One that Stripe's list led to. */
export interface Listed extends Candidate {
  readonly stripe: StripePayment;
}

export type BooksReader = ReturnType<typeof createBooksReader>;

export function createBooksReader({ reconcile, payment, ticket }: BooksParts) {
  const recordsOf = async (
    checkoutIds: readonly string[],
    options: CallOptions,
  ): Promise<ReadonlyMap<string, ListedPayment>> => {
    if (checkoutIds.length === 0) return new Map();
    const { payments } = await payment.findPayments({ checkoutIds: [...new Set(checkoutIds)] }, options);
    return new Map(payments.map((listed) => [listed.payment?.checkoutId ?? "", listed]));
  };

  const ordersOf = async (
    checkoutIds: readonly string[],
    options: CallOptions,
  ): Promise<ReadonlyMap<string, Order>> => {
    if (checkoutIds.length === 0) return new Map();
    const { orders } = await ticket.findOrders({ checkoutIds: [...new Set(checkoutIds)] }, options);
    return new Map(orders.map((order) => [order.checkoutId, order]));
  };

  const ticketsOf = async (
    checkoutIds: readonly string[],
    options: CallOptions,
  ): Promise<ReadonlyMap<string, readonly FoundTicket[]>> => {
    const { tickets } = await ticket.findTickets({ checkoutIds: [...new Set(checkoutIds)] }, options);
    const found = new Map<string, FoundTicket[]>();
    for (const one of tickets) found.set(one.checkoutId, [...(found.get(one.checkoutId) ?? []), one]);
    return found;
  };

  async function claimedBy(eventId: string, checkoutId: string, options: CallOptions): Promise<readonly string[]> {
    if (eventId === "") return [];
    try {
      const { sale } = await reconcile.getSale({ eventId, checkoutId }, options);
      return sale?.seats.map(({ seatId }) => seatId) ?? [];
    } catch (thrown) {
      if (thrown instanceof DomainError && thrown.code === "EVENT_NOT_FOUND") return [];
      throw thrown;
    }
  }

  const madeIn = stripeByMinutes(payment);

  return {
    recordsOf,
    ordersOf,
    ticketsOf,
    claimedBy,

    /** Has Stripe this PaymentIntent of this checkout? Ours is written down just before it is made; one that is not found so is asked for. */
    async isAtStripe(
      intentId: string,
      checkoutId: string,
      createdAtMs: number,
      options: CallOptions,
    ): Promise<boolean> {
      const minute = Math.floor(createdAtMs / minuteMs);
      for (const at of [minute, minute + 1]) if ((await madeIn(at, options)).intentIds.has(intentId)) return true;
      const record = (await recordsOf([checkoutId], options)).get(checkoutId);
      return (await askStripe(record, undefined, options)).recordProblem === undefined;
    },

    /** Has it one that names this checkout? It is paid shortly before it has an order. */
    async isNamedAtStripe(checkoutId: string, orderedAtMs: number, options: CallOptions): Promise<boolean> {
      const minute = Math.floor(orderedAtMs / minuteMs);
      for (const at of [minute, minute - 1, minute - 2])
        if ((await madeIn(at, options)).checkoutIds.has(checkoutId)) return true;
      return false;
    },

    /** All of it as it is now, each from its owner. */
    async entryOf({ checkoutId, stripe: listed }: Candidate, knownEventId: string, options: CallOptions) {
      const record = (await recordsOf([checkoutId], options)).get(checkoutId);
      const asked = await askStripe(record, listed, options);
      const [orders, tickets] = await Promise.all([ordersOf([checkoutId], options), ticketsOf([checkoutId], options)]);
      const order = orders.get(checkoutId);
      const eventId = order?.event?.eventId || record?.eventId || knownEventId;
      const entry: Entry = {
        checkoutId,
        ...asked,
        record: record?.payment?.paymentIntentId ? recordFact(record.payment) : undefined,
        order: order && orderFact(order),
        tickets: ticketFacts(tickets.get(checkoutId)),
        claimedSeatIds: await claimedBy(eventId, checkoutId, options),
      };
      const changedAtMs = Math.max(
        record?.changedAtMs ?? 0,
        order?.createdAtMs ?? 0,
        listed?.createdAtMs ?? 0,
        ...(order?.refunds.map(({ atMs }) => atMs) ?? []),
        ...(listed?.refunds.map(({ createdAtMs }) => createdAtMs) ?? []),
        ...(listed?.disputes.map(({ createdAtMs }) => createdAtMs) ?? []),
      );
      return { entry, order, eventId, changedAtMs };
    },
  };

  /** The payment at Stripe as it is now. That brings the record up to it, where it can follow. */
  async function askStripe(
    record: ListedPayment | undefined,
    listed: StripePayment | undefined,
    options: CallOptions,
  ): Promise<{ stripe: PaymentFact | undefined; recordProblem?: RecordProblem }> {
    const fallback = listed && stripeFact(listed);
    const own = record?.payment;
    if (!own?.paymentIntentId) return { stripe: fallback };
    try {
      const { payment: fresh } = await payment.getPayment({ checkoutId: own.checkoutId, refresh: true }, options);
      return { stripe: fresh ? recordFact(fresh) : fallback };
    } catch (thrown) {
      // Anything else passes, and is tried again.
      if (!(thrown instanceof DomainError) || thrown.code !== "INTERNAL") throw thrown;
      return { stripe: fallback, recordProblem: listed ? "record_contradicts" : "intent_unknown" };
    }
  }
}

/** Stripe's payments by the minutes in which they were made; kept for a while, since ours come in about the same order. */
function stripeByMinutes(payment: BooksParts["payment"]) {
  const minutes = new Map<
    number,
    { readonly intentIds: ReadonlySet<string>; readonly checkoutIds: ReadonlySet<string> }
  >();

  return async function madeIn(minute: number, options: CallOptions) {
    const known = minutes.get(minute);
    if (known) return known;
    const found: StripePayment[] = [];
    for (let cursor = ""; ; ) {
      const made = { createdSinceMs: minute * minuteMs, createdBeforeMs: (minute + 1) * minuteMs };
      const { payments, nextCursor } = await payment.listStripePayments({ ...made, cursor, limit: 100 }, options);
      found.push(...payments);
      cursor = nextCursor;
      if (cursor === "") break;
    }
    const fresh = {
      intentIds: new Set(found.map(({ paymentIntentId }) => paymentIntentId)),
      checkoutIds: new Set(found.map(({ checkoutId }) => checkoutId)),
    };
    // One that is not over yet gets more of them.
    if ((minute + 2) * minuteMs < Date.now()) minutes.set(minute, fresh);
    for (const oldest of [...minutes.keys()].slice(0, -mostMinutes)) minutes.delete(oldest);
    return fresh;
  };
}
