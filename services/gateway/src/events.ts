// Routes of events: finding one, its seat map, and how many seats are left.
import { createHash } from "node:crypto";
import { DomainError } from "@onsale/kit/errors";
import type { CallOptions } from "@onsale/kit/grpc";
import { type Event, EventStatus, type Section } from "@onsale/proto/inventory/v1/catalog";
import type { Identity } from "./authenticate.js";
import { seatsIn, shownRow } from "./layout.js";
import { cache, type Route, route } from "./route.js";
import * as schema from "./schemas.js";
import type { Services } from "./services.js";

const tag = "events";
const anEvent = { params: schema.eventParams, unknownParam: "EVENT_NOT_FOUND" } as const;
const versionHeaders = {
  ETag: "Changes with the content; send it as If-None-Match and get 304 while nothing has changed.",
};

export function eventRoutes({ catalog, seats }: Services): Route[] {
  // When everybody looks at once, one question to the inventory answers all who wait for it.
  const sharedAvailability = shared((eventId: string, options: CallOptions) =>
    seats.getAvailability({ eventId }, options),
  );
  const sharedStates = shared((eventId: string, options: CallOptions) => seats.getSeatStates({ eventId }, options));

  return [
    route(
      {
        method: "get",
        path: "/v1/events",
        operationId: "searchEvents",
        tag,
        summary: "Published events by start time",
        access: "anyone",
        limits: ["anonymous"],
        query: schema.eventSearch,
        answers: { 200: { description: "A page of events.", schema: schema.eventPage } },
      },
      async ({ query, rpc }) => {
        const { events, nextCursor } = await catalog.searchEvents(
          {
            query: query.q ?? "",
            city: query.city ?? "",
            fromMs: query.from ?? 0,
            toMs: query.to ?? 0,
            cursor: query.cursor ?? "",
            limit: query.limit,
          },
          rpc(),
        );
        return {
          status: 200,
          body: { events: events.map(shownEvent), ...(nextCursor === "" ? {} : { nextCursor }) },
          headers: { "Cache-Control": cache.brief },
        };
      },
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
        answers: { 200: { description: "The event.", schema: schema.eventWithSections } },
        refusals: ["EVENT_NOT_FOUND"],
      },
      async ({ params, identity, rpc }) => {
        const { event, sections } = await catalog.getEvent({ ...params, viewerId: viewerOf(identity) }, rpc());
        const body = { ...shownEvent(event), sections: sections.map(shownSection) };
        return { status: 200, body, headers: { "Cache-Control": publicUnless(identity, body.status === "draft") } };
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
        answers: { 200: { description: "The numbers, and when they were read.", schema: schema.availability } },
        refusals: ["EVENT_NOT_FOUND"],
      },
      async ({ params, rpc }) => {
        const { sections, asOfMs } = await sharedAvailability(params.eventId, rpc());
        const total = (of: "free" | "held" | "sold" | "blocked") =>
          sections.reduce((sum, section) => sum + section[of], 0);
        return {
          status: 200,
          body: {
            sections: sections.map(({ sectionId, ...numbers }) => ({ section: sectionId, ...numbers })),
            totals: { free: total("free"), held: total("held"), sold: total("sold"), blocked: total("blocked") },
            asOf: new Date(asOfMs).toISOString(),
          },
          headers: { "Cache-Control": cache.seconds },
        };
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
        ].join(" "),
        access: "optional",
        limits: "by caller",
        ...anEvent,
        answers: {
          200: { description: "The layout.", schema: schema.layout, headers: versionHeaders },
          304: { description: "You have this version." },
        },
        refusals: ["EVENT_NOT_FOUND"],
      },
      async ({ params, identity, rpc }) => {
        const { eventId, layoutVersion, sections } = await catalog.getLayout(
          { ...params, viewerId: viewerOf(identity) },
          rpc(),
        );
        const body = {
          eventId,
          layoutVersion,
          seatCount: sections.flatMap((section) => section.rows).reduce((sum, row) => sum + seatsIn(row), 0),
          sections: sections.map((section) => ({ ...shownSection(section), rows: section.rows.map(shownRow) })),
        };
        return {
          status: 200,
          body,
          headers: { ETag: `"${layoutVersion}"`, "Cache-Control": publicUnless(identity, false) },
        };
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
      async ({ params, rpc }) => {
        const { states, seatCount, layoutVersion } = await sharedStates(params.eventId, rpc());
        const hash = createHash("sha256").update(layoutVersion).update("\n").update(states).digest("base64url");
        return {
          status: 200,
          bytes: states,
          headers: {
            "Content-Type": "application/octet-stream",
            ETag: `"${hash.slice(0, 22)}"`,
            "Cache-Control": cache.seconds,
            "Onsale-Layout-Version": layoutVersion,
            "Onsale-Seat-Count": String(seatCount),
          },
        };
      },
    ),
  ];
}

/** Calls for the same event that overlap in time share one answer. */
function shared<Result>(ask: (eventId: string, options: CallOptions) => Promise<Result>) {
  const asking = new Map<string, Promise<Result>>();
  return (eventId: string, options: CallOptions): Promise<Result> => {
    const running = asking.get(eventId);
    if (running) return running;
    const answer = ask(eventId, options).finally(() => asking.delete(eventId));
    asking.set(eventId, answer);
    return answer;
  };
}

/** Whose drafts may be seen: one's own; an operator's eyes see all. */
const viewerOf = (identity: Identity | undefined): string => {
  if (!identity) return "";
  return identity.roles.includes("operator") ? "*" : identity.accountId;
};

/** What was shown to a person may be a draft of theirs: no shared cache may keep it. */
const publicUnless = (identity: Identity | undefined, draft: boolean): string =>
  identity || draft ? "private, no-cache" : cache.brief;

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
    status: event.status === EventStatus.PUBLISHED ? "published" : "draft",
    startsAt: iso(event.startsAtMs),
    onSaleAt: iso(event.onSaleAtMs),
    offSaleAt: iso(event.offSaleAtMs === 0 ? event.startsAtMs : event.offSaleAtMs),
    currency: event.currency,
    seatsPerPerson: event.seatsPerPerson,
    tiers: event.tiers.map(({ tierId, name, amount }) => ({ id: tierId, name, amount })),
    capacity: event.capacity,
    layoutVersion: event.layoutVersion,
  } as const;
}

const shownSection = ({ sectionId, name, tierId, capacity, generalAdmission }: Section) => ({
  id: sectionId,
  name,
  tier: tierId,
  capacity,
  generalAdmission,
});
