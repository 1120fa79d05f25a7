// What is asked about orders for whoever looks after them: which they may see, whose they are, what was paid, what happened.
import { DomainError } from "@onsale/kit/errors";
import type { CallOptions } from "@onsale/kit/grpc-client";
import type { Logger } from "@onsale/kit/log";
import { EventStatus } from "@onsale/proto/inventory/v1/catalog";
import type { Payment } from "@onsale/proto/payment/v1/payment";
import type { Order } from "@onsale/proto/ticket/v1/ticket";
import { checkoutWorkflowId } from "@onsale/workflows/contract";
import type { Services } from "../clients/services.js";
import type { HistoryEvent, Temporal } from "../clients/temporal.js";
import type { Identity } from "../http/authenticate.js";
import { askerOf, ownedEvent } from "../organisers/organiser.js";
import { shownOrderFields } from "./orders.js";

export interface SoldOrderParts {
  readonly services: Services;
  readonly temporal: Temporal;
  readonly log: Logger;
}

/** An organiser's newest: older events' orders are found by naming the event. */
export const mostEvents = 500;

export interface Buyer {
  readonly email: string;
  readonly name: string;
}

export const eventIdOf = ({ event }: Order): string => event?.eventId ?? "";

export const shownBuyer = (userId: string, buyers: ReadonlyMap<string, Buyer>) => {
  const found = buyers.get(userId);
  return { accountId: userId, ...(found && { email: found.email, name: found.name }) };
};

export function soldOrders({ services, temporal, log }: SoldOrderParts) {
  const { account, catalog, payment } = services;

  /** Whose orders may be seen: those of this event, if it is one's own; else of one's newest events. None: of all. */
  async function eventsSeen(
    eventId: string | undefined,
    identity: Identity,
    named: boolean,
    options: CallOptions,
  ): Promise<string[] | "none"> {
    const organiserId = askerOf(identity);
    if (eventId !== undefined) return [(await ownedEvent(services, eventId, identity, options)).event.eventId];
    if (organiserId === "" && !named) return [];
    const { events } = await catalog.listEvents(
      { organiserId, status: EventStatus.UNSPECIFIED, query: "", cursor: "", limit: mostEvents },
      options,
    );
    return events.length === 0 ? "none" : events.map((event) => event.eventId);
  }

  /** Whose events these are, by event: one's own, or, for an operator, as the catalog says; nobody's while it can't be asked. */
  async function organisersOf(
    eventIds: readonly string[],
    identity: Identity,
    options: CallOptions,
  ): Promise<(eventId: string) => string | undefined> {
    if (!identity.roles.includes("operator")) return () => identity.accountId;
    if (eventIds.length === 0) return () => undefined;
    try {
      const { events } = await catalog.getEvents({ eventIds: [...new Set(eventIds)] }, options);
      const known = new Map(events.map(({ eventId, organiserId }) => [eventId, organiserId]));
      return (eventId) => known.get(eventId);
    } catch (error) {
      if (!(error instanceof DomainError && error.refusal.retryable)) throw error;
      return () => undefined;
    }
  }

  /** Who they are, by account id; nobody while accounts can't be asked: orders are shown all the same. */
  async function buyersOf(
    orders: readonly Pick<Order, "userId">[],
    options: CallOptions,
  ): Promise<ReadonlyMap<string, Buyer>> {
    const accountIds = [...new Set(orders.map(({ userId }) => userId))];
    if (accountIds.length === 0) return new Map();
    try {
      const { accounts } = await account.findAccounts({ accountIds, email: "" }, options);
      return new Map(accounts.map((one) => [one.accountId, one]));
    } catch (error) {
      if (!(error instanceof DomainError && error.refusal.retryable)) throw error;
      log.warn({ err: error }, "buyers can't be looked up now; their orders are shown without");
      return new Map();
    }
  }

  const shownSold = (order: Order, buyers: ReadonlyMap<string, Buyer>, organiserId: string | undefined) => ({
    ...shownOrderFields(order, { organiserId, reasons: true }),
    buyer: shownBuyer(order.userId, buyers),
  });

  /** Absent while payments can't be asked. */
  async function paymentOf(checkoutId: string, options: CallOptions): Promise<Payment | undefined> {
    try {
      return (await payment.getPayment({ checkoutId, refresh: false }, options)).payment;
    } catch (err) {
      log.warn({ err, checkoutId }, "the payment of an order can't be looked up now");
      return undefined;
    }
  }

  /** Undefined when Temporal has forgotten it, or can't be asked. */
  async function historyOf(checkoutId: string): Promise<HistoryEvent[] | undefined> {
    try {
      return await temporal.history(checkoutWorkflowId(checkoutId));
    } catch (err) {
      log.warn({ err, checkoutId }, "the history of a checkout can't be read now");
      return undefined;
    }
  }

  return { eventsSeen, organisersOf, buyersOf, shownSold, paymentOf, historyOf };
}
