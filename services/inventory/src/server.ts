// The gRPC side: requests into use cases, answers out of them; nothing is decided here.
import { DomainError } from "@onsale/kit/errors";
import type { GrpcServer } from "@onsale/kit/grpc";
import { CatalogServiceService, type Event, EventStatus } from "@onsale/proto/inventory/v1/catalog";
import { type HoldRequest, type HoldResponse, SeatServiceService } from "@onsale/proto/inventory/v1/seats";
import { countAvailability, describeStates, type SeatMaps } from "./availability.js";
import type { Catalog } from "./catalog.js";
import type { Claims } from "./claim.js";
import type { EventRecord, NewEvent } from "./events.js";
import type { Hold, Holds, Selection } from "./hold.js";
import type { KnownEvents } from "./known-events.js";

export interface InventoryUseCases {
  readonly catalog: Catalog;
  readonly events: KnownEvents;
  readonly holds: Holds;
  readonly claims: Claims;
  readonly maps: SeatMaps;
}

export function serveInventory(server: GrpcServer, { catalog, events, holds, claims, maps }: InventoryUseCases): void {
  server.serve(CatalogServiceService, {
    createEvent: async ({ event, sections }) => {
      if (!event) throw new DomainError("REQUEST_INVALID", "There is no event in the request.");
      return { event: eventOf(await catalog.create(newEventOf(event), sections)) };
    },
    publishEvent: async ({ eventId, organiserId }) => ({ event: eventOf(await catalog.publish(eventId, organiserId)) }),
    getEvent: async ({ eventId, viewerId }) => {
      const { event, sections } = await catalog.show(eventId, viewerId);
      return { event: eventOf(event), sections };
    },
    getLayout: async ({ eventId, viewerId }) => {
      const { event, sections } = await catalog.layout(eventId, viewerId);
      return { eventId, layoutVersion: event.layoutVersion, sections };
    },
    searchEvents: async (request) => {
      const { events: found, nextCursor } = await catalog.search(request);
      return { events: found.map(eventOf), nextCursor };
    },
  });

  server.serve(SeatServiceService, {
    hold: async (request) => holdOf(await holds.hold({ ...request, selection: selectionOf(request) })),
    releaseHold: async (request) => ({ released: await holds.release(request) }),
    claimSeats: (request) => claims.claim(request),
    releaseClaims: ({ eventId, checkoutId, userId, seatIds }) => claims.release(eventId, checkoutId, userId, seatIds),
    getAvailability: async ({ eventId }) => {
      const { sections, asOfMs } = countAvailability(await maps.recent(await events.published(eventId)));
      return { sections: [...sections], asOfMs };
    },
    getSeatStates: async ({ eventId }) => {
      const { states, ...rest } = describeStates(await maps.recent(await events.published(eventId)));
      return { states: Buffer.from(states), ...rest };
    },
  });
}

function selectionOf({ selection }: HoldRequest): Selection {
  switch (selection?.$case) {
    case "seats":
      return { seatIds: selection.value.seatIds };
    case "quantity":
      return selection.value;
    default:
      throw new DomainError("REQUEST_INVALID", "Name the seats to hold, or a section and a quantity.");
  }
}

function holdOf({ event, seats, ...held }: Hold): HoldResponse {
  const { name, startsAtMs, venue, currency } = event;
  const { city, timeZone } = venue;
  return { ...held, seats: [...seats], currency, eventName: name, startsAtMs, venueName: venue.name, city, timeZone };
}

function newEventOf({
  venue,
  status: _status,
  capacity: _capacity,
  layoutVersion: _version,
  ...event
}: Event): NewEvent {
  return { ...event, venue: venue ?? { name: "", city: "", country: "", timeZone: "" } };
}

function eventOf({ published, epoch: _epoch, tiers, ...event }: EventRecord): Event {
  return { ...event, tiers: [...tiers], status: published ? EventStatus.PUBLISHED : EventStatus.DRAFT };
}
