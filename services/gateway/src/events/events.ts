// Routes of events: finding one, its seat map, and how many seats are left.
import { DomainError } from "@onsale/kit/errors";
import type { CallOptions } from "@onsale/kit/grpc-client";
import {
  type Event,
  EventSort,
  EventStatus,
  type GetEventResponse,
  type GetLayoutResponse,
  OrphanRule,
  type SearchEventsRequest,
  type Section,
} from "@onsale/proto/inventory/v1/catalog";
import type { GetAvailabilityResponse, GetSeatStatesResponse } from "@onsale/proto/inventory/v1/seats";
import type { Services } from "../clients/services.js";
import type { Identity } from "../http/authenticate.js";
import { cache, type Route, route } from "../http/route.js";
import {
  answerWith,
  fingerprint,
  keepingLast,
  remembering,
  type SharedAnswer,
  shareBytes,
  shareJson,
} from "../http/shared-answers.js";
import * as schema from "../schemas.js";
import { seatsIn, shownRow } from "./layout.js";
import { idOf, type LiveSeats } from "./live-seats.js";

const tag = "events";
const anEvent = { params: schema.eventParams, unknownParam: "EVENT_NOT_FOUND" } as const;
const versionHeaders = {
  ETag: "Changes with the content; send it as If-None-Match and get 304 while nothing has changed.",
};

/** `answerCacheMs`: for how long an answer with numbers that change by the second may be given again; others four times as long. */
export function eventRoutes({ catalog, seats }: Services, live: LiveSeats, answerCacheMs: number): Route[] {
  // When everybody looks at once, one question to the inventory answers all, with the same bytes.
  const fast = { keepMs: answerCacheMs, most: 1_000 };
  const slow = { keepMs: 4 * answerCacheMs, most: 200 };
  const foundEvents = remembering(
    { ...slow, most: 50 },
    async (_name, query: SearchEventsRequest, options: CallOptions) => {
      const { events, nextCursor } = await catalog.searchEvents(query, options);
      return await shareJson({ events: events.map(shownEvent), ...(nextCursor === "" ? {} : { nextCursor }) });
    },
  );
  // Counts over all events, which change slowly.
  const facets = remembering({ keepMs: 40 * answerCacheMs, most: 1 }, async (_name, options: CallOptions) => {
    const { cities, currencies } = await catalog.getEventFacets({}, options);
    return await shareJson({ cities, currencies });
  });
  const publicEvent = remembering(slow, async (eventId, options: CallOptions) =>
    shareEvent(await catalog.getEvent({ eventId, viewerId: "" }, options)),
  );
  const layouts = keepingLast<SharedAnswer>(slow.most);
  const layoutFor = async (eventId: string, viewerId: string, options: CallOptions) => {
    const found = await catalog.getLayout({ eventId, viewerId }, options);
    return await layouts(eventId, found.layoutVersion, () => shareJson(shownLayout(found), found.layoutVersion));
  };
  const publicLayout = remembering(slow, (eventId, options: CallOptions) => layoutFor(eventId, "", options));
  const availability = remembering(fast, async (eventId, options: CallOptions) => {
    const body = shownAvailability(await seats.getAvailability({ eventId }, options));
    // The same numbers read later are the same answer.
    const { asOf: _time, ...numbers } = body;
    return await shareJson(body, fingerprint(JSON.stringify(numbers)));
  });
  const liveStates = keepingLast<SharedAnswer>(fast.most);
  const askedStates = remembering(fast, async (eventId, options: CallOptions) =>
    shareStates(await seats.getSeatStates({ eventId }, options)),
  );
  /** Who watches the seats live anyway need not ask for them. */
  const states = (eventId: string, options: CallOptions): Promise<SharedAnswer> => {
    const known = live.known(eventId);
    if (!known) return askedStates(eventId, options);
    return liveStates(eventId, idOf(known.version), () => ({ ...shareStates(known), version: idOf(known.version) }));
  };

  /** What everybody may see, else what this viewer may. */
  async function seen<Result>(
    identity: Identity | undefined,
    forAll: () => Promise<Result>,
    forViewer: (viewerId: string) => Promise<Result>,
  ): Promise<Result> {
    try {
      return await forAll();
    } catch (error) {
      const hidden = identity && error instanceof DomainError && error.code === "EVENT_NOT_FOUND";
      if (!hidden) throw error;
      return await forViewer(viewerOf(identity));
    }
  }

  return [
    route(
      {
        method: "get",
        path: "/v1/events",
        operationId: "searchEvents",
        tag,
        summary: "Published events, searched and sorted",
        access: "anyone",
        limits: ["anonymous"],
        query: schema.eventSearch,
        answers: {
          200: { description: "A page of events.", schema: schema.eventPage, headers: versionHeaders },
          304: { description: "Nothing has changed." },
        },
      },
      async ({ query, rpc, header }) => {
        const wanted: SearchEventsRequest = {
          query: query.q ?? "",
          city: query.city ?? "",
          fromMs: query.from ?? 0,
          toMs: query.to ?? 0,
          currency: query.currency ?? "",
          priceFrom: query.priceFrom ?? 0,
          priceTo: query.priceTo ?? 0,
          sort: eventSorts[query.sort],
          cursor: query.cursor ?? "",
          limit: query.limit,
        };
        const page = await foundEvents(JSON.stringify(wanted), wanted, rpc());
        return answerWith(page, header("accept-encoding"), { "Cache-Control": cache.brief });
      },
    ),
    route(
      {
        method: "get",
        path: "/v1/event-facets",
        operationId: "getEventFacets",
        tag,
        summary: "The cities and currencies of published events, to narrow a search by",
        access: "anyone",
        limits: ["anonymous"],
        answers: {
          200: {
            description:
              "Each with how many events have it that begin today (UTC) or later. A city is there once, in one of the ways it is written.",
            schema: schema.eventFacets,
            headers: versionHeaders,
          },
          304: { description: "Nothing has changed." },
        },
      },
      async ({ rpc, header }) =>
        answerWith(await facets("all", rpc()), header("accept-encoding"), { "Cache-Control": cache.brief }),
    ),
    route(
      {
        method: "get",
        path: "/v1/events/{eventId}",
        operationId: "getEvent",
        tag,
        summary: "An event",
        description: "Drafts are found only by their organiser and by operators.",
        access: "optional",
        limits: "by caller",
        ...anEvent,
        answers: {
          200: { description: "The event.", schema: schema.eventWithSections, headers: versionHeaders },
          304: { description: "Nothing has changed." },
        },
        refusals: ["EVENT_NOT_FOUND"],
      },
      async ({ params: { eventId }, identity, rpc, header }) => {
        const event = await seen(
          identity,
          () => publicEvent(eventId, rpc()),
          async (viewerId) => shareEvent(await catalog.getEvent({ eventId, viewerId }, rpc())),
        );
        return answerWith(event, header("accept-encoding"), { "Cache-Control": publicUnless(identity) });
      },
    ),
    route(
      {
        method: "get",
        path: "/v1/events/{eventId}/availability",
        operationId: "getAvailability",
        tag,
        summary: "How many seats are free, held, sold and blocked, by section",
        access: "anyone",
        limits: ["anonymous"],
        ...anEvent,
        description:
          "`held` seats are in somebody's checkout, and become free again unless they are paid for in time; `sold` ones do not. An event of which all is held or sold is worth another look, one that is sold out is not.",
        answers: {
          200: {
            description: "The numbers, and when they were read.",
            schema: schema.availability,
            headers: versionHeaders,
          },
          304: { description: "The numbers have not changed." },
        },
        refusals: ["EVENT_NOT_FOUND", "INVENTORY_REBUILDING"],
      },
      async ({ params, rpc, header }) => {
        const { headers, ...numbers } = answerWith(
          await availability(params.eventId, rpc()),
          header("accept-encoding"),
          {
            "Cache-Control": cache.seconds,
          },
        );
        // Weak: the time in it may be another.
        return { ...numbers, headers: { ...headers, ETag: `W/${headers?.["ETag"]}` } };
      },
    ),
    route(
      {
        method: "get",
        path: "/v1/events/{eventId}/seats",
        operationId: "getLayout",
        tag,
        summary: "The seat map",
        description: [
          "Sections and their rows, in layout order: section by section, row by row, by rising seat number, leaving out the gaps.",
          "A row has `count` positions numbered from `first`; those in `gaps` have no seat.",
          "A seat's id is `<section>-<row>-<number>`. The n-th seat in this order is the n-th pair of bits of `/seats/state`.",
          "Sections of general admission have no rows; buy them by `{section, quantity}`.",
          "With `?version=` and the event's `layoutVersion` the answer never changes and may be kept for ever.",
        ].join(" "),
        access: "optional",
        limits: "by caller",
        ...anEvent,
        answers: {
          200: { description: "The layout.", schema: schema.layout, headers: versionHeaders },
          304: { description: "You have this version." },
        },
        query: schema.layoutQuery,
        refusals: ["EVENT_NOT_FOUND", "LAYOUT_CHANGED"],
      },
      async ({ params: { eventId }, query, identity, rpc, header }) => {
        const layout = await seen(
          identity,
          () => publicLayout(eventId, rpc()),
          (viewerId) => layoutFor(eventId, viewerId, rpc()),
        );
        if (query.version !== undefined && query.version !== layout.version)
          throw new DomainError(
            "LAYOUT_CHANGED",
            "The event has another seat layout by now. Ask for it without a version.",
            {
              layoutVersion: layout.version,
            },
          );
        const forever = query.version !== undefined && !identity;
        return answerWith(layout, header("accept-encoding"), {
          "Cache-Control": forever ? cache.forever : publicUnless(identity),
        });
      },
    ),
    route(
      {
        method: "get",
        path: "/v1/events/{eventId}/seats/state",
        operationId: "getSeatStates",
        tag,
        summary: "The state of every seat, two bits each",
        description:
          "Bytes. Each holds four seats in layout order, the first in the lowest two bits: 0 free, 1 held, 2 sold, 3 blocked.",
        access: "anyone",
        limits: ["anonymous"],
        ...anEvent,
        answers: {
          200: {
            description: "The states.",
            contentType: "application/octet-stream",
            headers: {
              ...versionHeaders,
              "Onsale-Layout-Version": "The version of the layout whose order this is.",
              "Onsale-Seat-Count": "The number of seats; what is left of the last byte is 0.",
            },
          },
          304: { description: "Nothing has changed." },
        },
        refusals: ["EVENT_NOT_FOUND", "INVENTORY_REBUILDING"],
      },
      async ({ params, rpc, header }) =>
        answerWith(await states(params.eventId, rpc()), header("accept-encoding"), { "Cache-Control": cache.seconds }),
    ),
  ];
}

const shareEvent = ({ event, sections }: GetEventResponse): Promise<SharedAnswer> =>
  shareJson({ ...shownEvent(event), sections: sections.map(shownSection) });

const shownLayout = ({ eventId, layoutVersion, sections }: GetLayoutResponse) => ({
  eventId,
  layoutVersion,
  seatCount: sections.flatMap((section) => section.rows).reduce((sum, row) => sum + seatsIn(row), 0),
  sections: sections.map((section) => ({
    ...shownSection(section),
    ...(section.focalRow === "" ? {} : { focalPoint: { row: section.focalRow, seat: section.focalSeat } }),
    rows: section.rows.map(shownRow),
  })),
});

function shownAvailability({ sections, asOfMs }: GetAvailabilityResponse) {
  const total = (of: "free" | "held" | "sold" | "blocked") => sections.reduce((sum, section) => sum + section[of], 0);
  return {
    sections: sections.map(({ sectionId, ...numbers }) => ({ section: sectionId, ...numbers })),
    totals: { free: total("free"), held: total("held"), sold: total("sold"), blocked: total("blocked") },
    asOf: new Date(asOfMs).toISOString(),
  };
}

const shareStates = ({ states, seatCount, layoutVersion }: GetSeatStatesResponse): SharedAnswer =>
  shareBytes(
    states,
    {
      "Content-Type": "application/octet-stream",
      "Onsale-Layout-Version": layoutVersion,
      "Onsale-Seat-Count": String(seatCount),
    },
    layoutVersion,
  );

/** Whose drafts may be seen: one's own; an operator's eyes see all. */
const viewerOf = (identity: Identity | undefined): string => {
  if (!identity) return "";
  return identity.roles.includes("operator") ? "*" : identity.accountId;
};

/** What was shown to a person may be a draft of theirs: no shared cache may keep it. */
const publicUnless = (identity: Identity | undefined): string => (identity ? "private, no-cache" : cache.brief);

export function shownEvent(event: Event | undefined) {
  if (!event) throw new Error("the inventory answered without an event");
  const { venue } = event;
  if (!venue) throw new DomainError("INTERNAL", "An event has no venue.");
  const iso = (ms: number) => new Date(ms).toISOString();
  return {
    eventId: event.eventId,
    name: event.name,
    description: event.description,
    venue: { name: venue.name, city: venue.city, country: venue.country, timeZone: venue.timeZone },
    status: eventStatusNames[event.status],
    startsAt: iso(event.startsAtMs),
    onSaleAt: iso(event.onSaleAtMs),
    offSaleAt: iso(event.offSaleAtMs === 0 ? event.startsAtMs : event.offSaleAtMs),
    currency: event.currency,
    seatsPerPerson: event.seatsPerPerson,
    tiers: event.tiers.map(({ tierId, name, amount }) => ({ id: tierId, name, amount })),
    capacity: event.capacity,
    layoutVersion: event.layoutVersion,
    orphanRule: orphanRuleNames[event.orphanRule],
    accessibleUntil: iso(event.accessibleUntilMs === 0 ? event.startsAtMs : event.accessibleUntilMs),
    ...(event.refundableUntilMs === 0 ? {} : { refundableUntil: iso(event.refundableUntilMs) }),
  } as const;
}

const eventSorts = { date: EventSort.DATE, price: EventSort.PRICE, name: EventSort.NAME } as const;

const eventStatusNames = {
  [EventStatus.UNSPECIFIED]: "draft",
  [EventStatus.DRAFT]: "draft",
  [EventStatus.PUBLISHED]: "published",
  [EventStatus.CANCELLED]: "cancelled",
} as const;

const orphanRuleNames = {
  [OrphanRule.UNSPECIFIED]: "lenient",
  [OrphanRule.STRICT]: "strict",
  [OrphanRule.LENIENT]: "lenient",
  [OrphanRule.OFF]: "off",
} as const;

const shownSection = ({ sectionId, name, tierId, capacity, generalAdmission }: Section) => ({
  id: sectionId,
  name,
  tier: tierId,
  capacity,
  generalAdmission,
});
