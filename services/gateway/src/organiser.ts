// Routes of organisers: making an event and putting it on sale.
import { derivedId } from "@onsale/kit/ids";
import { EventStatus, OrphanRule } from "@onsale/proto/inventory/v1/catalog";
import { shownEvent } from "./events.js";
import { expandLayout } from "./layout.js";
import { type Route, route } from "./route.js";
import * as schema from "./schemas.js";
import type { Services } from "./services.js";

const tag = "organisers";
/** 60,000 seats are written seat by seat. */
const writingMs = 30_000;
const defaultSeatsPerPerson = 8;
const orphanRuleNamed = { strict: OrphanRule.STRICT, lenient: OrphanRule.LENIENT, off: OrphanRule.OFF } as const;

export function organiserRoutes({ catalog }: Services): Route[] {
  return [
    route(
      {
        method: "post",
        path: "/v1/organiser/events",
        operationId: "createEvent",
        tag,
        summary: "Make an event, as a draft",
        description: [
          `Up to ${schema.mostSeats} seats. A section is one of: a list of rows; so many equal rows, labelled A to Z, AA, AB, …; a capacity, for general admission.`,
          "Sections may share a price tier.",
        ].join(" "),
        access: "account",
        roles: ["organiser", "operator"],
        limits: "by caller",
        idempotencyKey: "required",
        body: schema.newEvent,
        bodyLimitBytes: 1024 * 1024,
        answers: { 201: { description: "The draft.", schema: schema.event, headers: { Location: "The event." } } },
        refusals: ["LAYOUT_INVALID", "EVENT_EXISTS"],
      },
      async ({ body, identity, attempt, rpc }) => {
        const eventId = derivedId("evt", identity.accountId, attempt.key);
        const { event } = await catalog.createEvent(
          {
            event: {
              eventId,
              organiserId: identity.accountId,
              name: body.name,
              description: body.description ?? "",
              venue: body.venue,
              status: EventStatus.DRAFT,
              startsAtMs: body.startsAt,
              onSaleAtMs: body.onSaleAt,
              offSaleAtMs: body.offSaleAt ?? 0,
              currency: body.currency,
              seatsPerPerson: body.seatsPerPerson ?? defaultSeatsPerPerson,
              tiers: body.tiers.map(({ id, name, amount }) => ({ tierId: id, name, amount })),
              capacity: 0,
              layoutVersion: "",
              orphanRule: orphanRuleNamed[body.orphanRule ?? "lenient"],
              accessibleUntilMs: body.accessibleUntil ?? 0,
            },
            sections: expandLayout(body.sections),
          },
          rpc(writingMs),
        );
        return { status: 201, body: shownEvent(event), headers: { Location: `/v1/events/${eventId}` } };
      },
    ),
    route(
      {
        method: "post",
        path: "/v1/organiser/events/{eventId}/publish",
        operationId: "publishEvent",
        tag,
        summary: "Publish a draft",
        description:
          "It can be found from now on, and bought from its on-sale time on. Publishing twice is the same as once.",
        access: "account",
        roles: ["organiser", "operator"],
        limits: "by caller",
        idempotencyKey: "required",
        params: schema.eventParams,
        unknownParam: "EVENT_NOT_FOUND",
        answers: { 200: { description: "The event.", schema: schema.event } },
        refusals: ["EVENT_NOT_FOUND", "LAYOUT_INVALID"],
      },
      async ({ params, identity, rpc }) => {
        const organiserId = identity.roles.includes("operator") ? "" : identity.accountId;
        const { event } = await catalog.publishEvent({ eventId: params.eventId, organiserId }, rpc(writingMs));
        return { status: 200, body: shownEvent(event) };
      },
    ),
  ];
}
