// The route of an event's sales: its seats, money, race and checkouts in one answer, for an organiser's dashboard.
import type { CallOptions } from "@onsale/kit/grpc-client";
import { type Event, EventStatus, type Section } from "@onsale/proto/inventory/v1/catalog";
import type { GetAvailabilityResponse } from "@onsale/proto/inventory/v1/seats";
import type { GetSalesResponse } from "@onsale/proto/ticket/v1/ticket";
import { type CheckoutStatus, searchAttributes, workflowTypes } from "@onsale/workflows/contract";
import type { Services } from "../clients/services.js";
import type { Temporal } from "../clients/temporal.js";
import { type Route, route } from "../http/route.js";
import { eventParams } from "../schemas.js";
import { ownedEvent } from "./organiser.js";
import * as own from "./schemas.js";

export function salesRoutes(services: Services, temporal: Temporal): Route[] {
  const { catalog, seats, ticket } = services;

  /** None of a draft, whose seats are nobody's yet. */
  async function availability({ eventId, status }: Event, options: CallOptions): Promise<GetAvailabilityResponse> {
    if (status === EventStatus.DRAFT) return { sections: [], asOfMs: Date.now() };
    return await seats.getAvailability({ eventId }, options);
  }

  return [
    route(
      {
        method: "get",
        path: "/v1/organiser/events/{eventId}/sales",
        operationId: "getSales",
        tag: "organisers",
        summary: "What an event has sold, and how it goes",
        description: "Good to some seconds: it may be asked for every few of them.",
        access: "account",
        roles: ["organiser", "operator"],
        limits: "by caller",
        params: eventParams,
        unknownParam: "EVENT_NOT_FOUND",
        answers: { 200: { description: "The numbers.", schema: own.sales } },
        refusals: ["EVENT_NOT_FOUND", "INVENTORY_REBUILDING"],
      },
      async ({ params: { eventId }, identity, rpc }) => {
        const { event, sections } = await ownedEvent(services, eventId, identity, rpc());
        const [free, sold, race, checkouts] = await Promise.all([
          availability(event, rpc()),
          ticket.getSales({ eventId }, rpc()),
          catalog.countHolds({ eventId }, rpc()),
          countCheckouts(temporal, eventId),
        ]);
        return {
          status: 200,
          body: {
            ...shownSales(event, sections, free, sold),
            holds: { won: race.won, lost: race.lost },
            checkouts,
            conversion: checkouts.started === 0 ? 0 : Math.min(1, checkouts.completed / checkouts.started),
          },
        };
      },
    ),
  ];
}

/** Of an event, by status, from Temporal's visibility store. The id is checked before: it goes into a query. */
async function countCheckouts(temporal: Temporal, eventId: string) {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(eventId)) throw new Error("an event's id that no event can have");
  const all = `WorkflowType = '${workflowTypes.checkout}' AND ${searchAttributes.eventId} = '${eventId}'`;
  const ended = (status: CheckoutStatus) =>
    temporal.count(`${all} AND ${searchAttributes.status} = '${status}' AND ExecutionStatus != 'Running'`);
  const [started, running, completed, expired, cancelled, refunded] = await Promise.all([
    temporal.count(all),
    temporal.count(`${all} AND ExecutionStatus = 'Running'`),
    ended("completed"),
    ended("expired"),
    ended("cancelled"),
    // Money came, no tickets did: for the buyer that is a checkout that was called off.
    ended("refunded"),
  ]);
  return { started, completed, expired, cancelled: cancelled + refunded, running };
}

function shownSales(
  event: Event,
  sections: readonly Section[],
  { sections: counts }: GetAvailabilityResponse,
  sales: GetSalesResponse,
) {
  const total = (of: "free" | "held" | "sold" | "blocked") => counts.reduce((sum, one) => sum + one[of], 0);
  const sold = new Map(sales.tiers.map((tier) => [tier.tierId, tier]));
  return {
    asOf: new Date(sales.asOfMs).toISOString(),
    currency: event.currency,
    seats: {
      total: event.capacity,
      sold: total("sold"),
      held: total("held"),
      free: total("free"),
      blocked: total("blocked"),
    },
    revenue: {
      gross: sales.gross,
      refunded: sales.refunded,
      failed: sales.amountFailed,
      net: sales.gross - sales.refunded,
    },
    orders: sales.orders,
    tickets: sales.tickets,
    refunds: sales.refunds,
    refundsFailed: sales.refundsFailed,
    tiers: event.tiers.map(({ tierId, name }) => ({
      tierId,
      name,
      total: sections.reduce((sum, section) => (section.tierId === tierId ? sum + section.capacity : sum), 0),
      sold: sold.get(tierId)?.sold ?? 0,
      revenue: sold.get(tierId)?.amount ?? 0,
    })),
    seriesStepMs: sales.seriesStepMs,
    series: sales.series.map(({ atMs, sold: seats, amount }) => ({ at: atMs, sold: seats, revenue: amount })),
  };
}
