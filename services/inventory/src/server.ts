// The gRPC side: requests into use cases, answers out of them; nothing is decided here.
import { DomainError } from "@onsale/kit/errors";
import type { GrpcServer, ServiceHandlers } from "@onsale/kit/grpc-server";
import type { StreamServer } from "@onsale/kit/grpc-stream-server";
import type { createWatches } from "@onsale/kit/grpc-watch";
import { BlockServiceService } from "@onsale/proto/inventory/v1/blocks";
import {
  CatalogServiceService,
  type Event,
  EventSort,
  EventStatus,
  OrphanRule,
} from "@onsale/proto/inventory/v1/catalog";
import { ChannelServiceService } from "@onsale/proto/inventory/v1/channels";
import { LiveSeatServiceService } from "@onsale/proto/inventory/v1/live";
import { ReconcileServiceService, type Sale as SaleMessage } from "@onsale/proto/inventory/v1/reconcile";
import { type HoldRequest, type HoldResponse, SeatServiceService } from "@onsale/proto/inventory/v1/seats";
import type { Catalog, EventQuery } from "./catalog/catalog.js";
import type { Drafts } from "./catalog/drafts.js";
import type { ChannelState, Channels } from "./channels/channels.js";
import {
  type EventRecord,
  type NewEvent,
  orphanRules,
  type EventStatus as StatusName,
  statusOf,
} from "./events/events.js";
import type { KnownEvents } from "./events/known-events.js";
import type { LiveSeats } from "./live/live-seats.js";
import type { Reconciliation } from "./recovery/reconcile.js";
import { countAvailability, describeStates, type SeatMaps } from "./seats/availability.js";
import type { Blocks } from "./seats/block.js";
import type { StoredBlock } from "./seats/block-store.js";
import type { Claims } from "./seats/claim.js";
import type { Holds } from "./seats/hold.js";
import type { Hold, Selection } from "./seats/hold-request.js";
import { type HoldAnswerer, holdStream } from "./seats/hold-stream.js";
import type { OwnSeatsOf } from "./seats/own-seats.js";
import type { Sale, Sales } from "./seats/sales.js";
import type { HoldRace } from "./valkey/hold-race.js";

export interface InventoryUseCases {
  readonly catalog: Catalog;
  readonly drafts: Drafts;
  readonly events: KnownEvents;
  readonly holds: Holds;
  readonly claims: Claims;
  readonly maps: SeatMaps;
  readonly race: HoldRace;
  readonly sales: Sales;
}

export function serveInventory(
  server: GrpcServer,
  { catalog, drafts, events, holds, claims, maps, race, sales }: InventoryUseCases,
  streams: StreamServer,
): void {
  server.serve(CatalogServiceService, {
    createEvent: async ({ event, sections, layoutSource }) => {
      if (!event) throw new DomainError("REQUEST_INVALID", "There is no event in the request.");
      return { event: eventOf(await catalog.create(newEventOf(event), sections, layoutSource)) };
    },
    publishEvent: async ({ eventId, organiserId, revision }) => ({
      event: eventOf(await catalog.publish(eventId, organiserId, revision)),
    }),
    replaceDraft: async ({ event, sections, layoutSource, organiserId, revision }) => {
      if (!event) throw new DomainError("REQUEST_INVALID", "There is no event in the request.");
      const replaced = await drafts.replace({
        wanted: newEventOf(event),
        sections,
        layoutSource,
        organiserId,
        revision,
      });
      return { event: eventOf(replaced.event), revision: replaced.revision };
    },
    getEvent: async ({ eventId, viewerId }) => {
      const { event, sections } = await catalog.show(eventId, viewerId);
      return { event: eventOf(event), sections };
    },
    getLayout: async ({ eventId, viewerId }) => {
      const { event, sections } = await catalog.layout(eventId, viewerId);
      return { eventId, layoutVersion: event.layoutVersion, sections };
    },
    searchEvents: async ({ sort, ...request }) => {
      const { events: found, nextCursor } = await catalog.search({ ...request, sort: sortNamed[sort] });
      return { events: found.map(eventOf), nextCursor };
    },
    getEventFacets: () => catalog.facets(),
    listEvents: async ({ status, ...request }) => {
      const { events: found, nextCursor } = await catalog.listOwn({ ...request, status: statusNamed[status] });
      return { events: found.map(eventOf), nextCursor };
    },
    getOwnEvent: async ({ eventId, organiserId }) => {
      const { event, ...layout } = await catalog.own(eventId, organiserId);
      return { event: eventOf(event), ...layout };
    },
    getEvents: async ({ eventIds }) => ({ events: (await catalog.some(eventIds)).map(eventOf) }),
    cancelEvent: async ({ eventId, organiserId, reason }) => ({
      event: eventOf(await catalog.cancel(eventId, organiserId, reason)),
    }),
    listClaimants: ({ eventId, cursor, limit }) => sales.claimants(eventId, cursor, limit),
    countHolds: ({ eventId }) => race.of(eventId),
  });

  const answerHold: HoldAnswerer = async (request, { deadline }) =>
    holdOf(await holds.hold({ ...request, selection: selectionOf(request), deadline }));
  const seatHandlers: ServiceHandlers<SeatServiceService> = {
    hold: answerHold,
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
  };
  server.serve(SeatServiceService, seatHandlers, holdStream(streams, answerHold));
}

export interface OrganiserUseCases {
  readonly channels: Channels;
  readonly blocks: Blocks;
}

export function serveOrganisers(server: GrpcServer, { channels, blocks }: OrganiserUseCases): void {
  server.serve(ChannelServiceService, {
    putChannel: async ({ eventId, organiserId, ...wish }) => {
      const { channel, notFree } = await channels.put(eventId, organiserId, wish);
      return { channel: channelOf(channel), notFree };
    },
    deleteChannel: async ({ eventId, channelId, organiserId }) => {
      await channels.delete(eventId, channelId, organiserId);
      return {};
    },
    listChannels: async ({ eventId, organiserId }) => ({
      channels: (await channels.list(eventId, organiserId)).map(channelOf),
    }),
    openWithCode: async ({ eventId, code }) => {
      const { channel, ...seats } = await channels.open(eventId, code);
      return { ...windowOf(channel), ...seats };
    },
  });
  server.serve(BlockServiceService, {
    blockSeats: async (wish) => ({ block: blockOf(await blocks.block(wish)) }),
    unblockSeats: async ({ eventId, organiserId, seatIds }) => ({
      seatIds: await blocks.unblock(eventId, organiserId, seatIds),
    }),
    listBlocks: async ({ eventId, organiserId }) => {
      const { blocks: made, byLayout } = await blocks.list(eventId, organiserId);
      return { blocks: made.map(blockOf), byLayout };
    },
  });
}

function windowOf(channel: Omit<ChannelState, "seatIds" | "places">) {
  const { channelId, name, opensAtMs, closesAtMs, seatsPerPerson, seatsPerCode, ended } = channel;
  return { channelId, name, opensAtMs, closesAtMs, seatsPerPerson, seatsPerCode, ended };
}

const channelOf = ({ seatIds, places, ...channel }: ChannelState) => ({
  ...windowOf(channel),
  codeCount: channel.codeCount,
  seatIds,
  places,
});

const blockOf = ({ blockId, reason, accountId, seatIds, at }: StoredBlock) => ({
  blockId,
  reason,
  accountId,
  seatIds,
  blockedAtMs: at.getTime(),
});

export interface LiveUseCases {
  readonly live: LiveSeats;
  readonly ownSeats: OwnSeatsOf;
}

export function serveLive(
  server: GrpcServer,
  { live, ownSeats }: LiveUseCases,
  watches: ReturnType<typeof createWatches>,
): void {
  server.serve(
    LiveSeatServiceService,
    {
      getOwnSeats: async ({ eventId, userId }) => {
        const { own, asOfMs } = await ownSeats.of(eventId, userId);
        return { own: own.map((one) => ({ ...one, seats: [...one.seats] })), asOfMs };
      },
    },
    {
      watchSeats: watches(LiveSeatServiceService.watchSeats, ({ eventId, after }, signal) =>
        live.watch(eventId, after, signal),
      ),
    },
  );
}

export function serveReconciliation(server: GrpcServer, reconciliation: Reconciliation, sales: Sales): void {
  server.serve(ReconcileServiceService, {
    reconcileSeats: ({ eventId, cursor }) =>
      eventId === "" ? reconciliation.some(cursor) : reconciliation.one(eventId),
    listSales: (page) => sales.between(page),
    getSale: async ({ eventId, checkoutId }) => {
      const sale = await sales.of(eventId, checkoutId);
      return sale ? { sale: saleOf(sale) } : {};
    },
  });
}

function selectionOf({ selection }: HoldRequest): Selection {
  switch (selection?.$case) {
    case "seats":
    case "quantity":
      return selection.value;
    case "bestAvailable":
      return { best: selection.value };
    default:
      throw new DomainError("REQUEST_INVALID", "Name the seats to hold, a section and a quantity, or what is best.");
  }
}

const holdOf = ({ event, seats, ...held }: Hold): HoldResponse => ({
  ...held,
  seats: [...seats],
  ...eventOnTickets(event),
});

/** What tickets say of their event. */
function eventOnTickets({ name, startsAtMs, venue, currency }: EventRecord) {
  const { city, timeZone } = venue;
  return { currency, eventName: name, startsAtMs, venueName: venue.name, city, timeZone };
}

function saleOf({ event, userId, seats, whole, amount }: Sale): SaleMessage {
  const eventCancelled = event.cancelledAtMs > 0;
  return { userId, seats: [...seats], whole, amount, ...eventOnTickets(event), eventCancelled };
}

function newEventOf({
  venue,
  status: _status,
  capacity: _capacity,
  layoutVersion: _version,
  createdAtMs: _createdAt,
  cancelledAtMs: _cancelledAt,
  cancelReason: _reason,
  ...event
}: Event): NewEvent {
  return {
    ...event,
    venue: venue ?? { name: "", city: "", country: "", timeZone: "" },
    orphanRule: orphanRuleFrom(event.orphanRule),
  };
}

const orphanRuleOf = { strict: OrphanRule.STRICT, lenient: OrphanRule.LENIENT, off: OrphanRule.OFF } as const;

function orphanRuleFrom(rule: OrphanRule): EventRecord["orphanRule"] {
  if (rule === OrphanRule.UNSPECIFIED) return "lenient";
  const named = orphanRules.find((name) => orphanRuleOf[name] === rule);
  if (!named) throw new DomainError("REQUEST_INVALID", `event.orphan_rule must be one of ${orphanRules.join(", ")}.`);
  return named;
}

const sortNamed: Readonly<Record<EventSort, EventQuery["sort"]>> = {
  [EventSort.UNSPECIFIED]: "date",
  [EventSort.DATE]: "date",
  [EventSort.PRICE]: "price",
  [EventSort.NAME]: "name",
};

const statusNumbers = {
  draft: EventStatus.DRAFT,
  published: EventStatus.PUBLISHED,
  cancelled: EventStatus.CANCELLED,
} as const;

const statusNamed: Readonly<Record<EventStatus, StatusName | undefined>> = {
  [EventStatus.UNSPECIFIED]: undefined,
  [EventStatus.DRAFT]: "draft",
  [EventStatus.PUBLISHED]: "published",
  [EventStatus.CANCELLED]: "cancelled",
};

function eventOf(record: EventRecord): Event {
  const { published: _published, epoch: _epoch, revision: _revision, tiers, ...event } = record;
  return {
    ...event,
    tiers: [...tiers],
    status: statusNumbers[statusOf(record)],
    orphanRule: orphanRuleOf[event.orphanRule],
  };
}
