// Routes of organisers: making an event, editing its draft, putting it on sale, looking at one's own, and calling one off.
import { DomainError } from "@onsale/kit/errors";
import type { CallOptions } from "@onsale/kit/grpc-client";
import { derivedId } from "@onsale/kit/ids";
import {
  type Event,
  EventStatus,
  type GetOwnEventResponse,
  OrphanRule,
  type Section,
} from "@onsale/proto/inventory/v1/catalog";
import {
  type CancelEventInput,
  cancelEventWorkflowId,
  searchAttributes,
  workflowTypes,
} from "@onsale/workflows/contract";
import type { z } from "zod";
import type { Services } from "../clients/services.js";
import type { Temporal } from "../clients/temporal.js";
import { shownEvent } from "../events/events.js";
import { expandLayout, sectionsAsSent } from "../events/layout.js";
import type { Identity } from "../http/authenticate.js";
import { requiredRevision, revisionTag, wantedRevision } from "../http/if-match.js";
import { type Route, route } from "../http/route.js";
import * as schema from "../schemas.js";
import * as own from "./schemas.js";

const tag = "organisers";
/** 60,000 seats are written seat by seat. */
const writingMs = 30_000;
const orphanRuleNamed = { strict: OrphanRule.STRICT, lenient: OrphanRule.LENIENT, off: OrphanRule.OFF } as const;

const forOrganisers = { access: "account", roles: ["organiser", "operator"], limits: "by caller" } as const;
const anEvent = { params: schema.eventParams, unknownParam: "EVENT_NOT_FOUND" } as const;

const draftTag = {
  ETag: "Of a draft: another one after each edit. Send it as If-Match when you edit or publish what you have read.",
};
/** 60,000 seats, row by row. */
const mostBytes = 1024 * 1024;

/** Whose events are seen and changed: one's own; an operator's hands reach all. */
export const askerOf = ({ roles, accountId }: Identity): string => (roles.includes("operator") ? "" : accountId);

/** One's own event, or any for an operator; sections without their rows. Another's is not told apart from none: EVENT_NOT_FOUND. */
export async function ownedEvent(
  { catalog }: Pick<Services, "catalog">,
  eventId: string,
  identity: Identity,
  options: CallOptions,
): Promise<{ readonly event: Event; readonly sections: readonly Section[] }> {
  const organiserId = askerOf(identity);
  const { event, sections } = await catalog.getEvent({ eventId, viewerId: organiserId || "*" }, options);
  if (!event || (organiserId !== "" && event.organiserId !== organiserId))
    throw new DomainError("EVENT_NOT_FOUND", "There is no such event among yours.");
  return { event, sections };
}

export interface OrganiserDependencies {
  readonly services: Services;
  readonly temporal: Temporal;
  readonly taskQueue: string;
  readonly cancelSettleMs: number;
}

export function organiserRoutes({ services, temporal, taskQueue, cancelSettleMs }: OrganiserDependencies): Route[] {
  const { catalog, ticket } = services;

  /** With its layout, and how far it is given back if it was cancelled. Refusal: EVENT_NOT_FOUND. */
  async function ownEvent(eventId: string, organiserId: string, options: CallOptions) {
    const found = await catalog.getOwnEvent({ eventId, organiserId }, options);
    if (!found.event) throw new Error("the inventory answered without an event");
    const cancelled = found.event.status === EventStatus.CANCELLED;
    const sales = cancelled ? await ticket.getSales({ eventId }, options) : undefined;
    const progress = sales && { refunded: sales.ordersRefunded, total: sales.orders };
    return { event: shownOwnEvent(found.event, found, progress), revision: found.revision };
  }

  return [
    route(
      {
        method: "get",
        path: "/v1/organiser/events",
        operationId: "listOwnEvents",
        tag,
        summary: "Your events in any status, newest first",
        description: "An operator sees everybody's.",
        ...forOrganisers,
        query: own.ownEventSearch,
        answers: { 200: { description: "A page of events.", schema: schema.eventPage } },
      },
      async ({ query, identity, rpc }) => {
        const { events, nextCursor } = await catalog.listEvents(
          {
            organiserId: askerOf(identity),
            status: query.status === undefined ? EventStatus.UNSPECIFIED : statusNamed[query.status],
            query: query.q ?? "",
            cursor: query.cursor ?? "",
            limit: query.limit,
          },
          rpc(),
        );
        return { status: 200, body: { events: events.map(shownEvent), ...(nextCursor === "" ? {} : { nextCursor }) } };
      },
    ),
    route(
      {
        method: "get",
        path: "/v1/organiser/events/{eventId}",
        operationId: "getOwnEvent",
        tag,
        summary: "One of your events, with its layout as you sent it",
        ...forOrganisers,
        ...anEvent,
        answers: {
          200: { description: "The event.", schema: own.ownEvent, headers: draftTag },
          304: { description: "The draft is the one that you have." },
        },
        refusals: ["EVENT_NOT_FOUND"],
      },
      async ({ params: { eventId }, identity, rpc }) => {
        const { event, revision } = await ownEvent(eventId, askerOf(identity), rpc());
        return { status: 200, body: event, headers: revisionTag(revision) };
      },
    ),
    route(
      {
        method: "put",
        path: "/v1/organiser/events/{eventId}",
        operationId: "replaceDraft",
        tag,
        summary: "Edit a draft",
        description: [
          "Puts this content in place of the draft's, whole: what is left out is not kept. It stays its organiser's, whoever edits it.",
          "Send the ETag of the draft that you read as If-Match: if somebody has saved it since, nothing is changed.",
          "The same again is the same as once, also when its first answer was lost. A published event can't be edited.",
          "Its channels keep their seats, by their ids; if they can't, the draft stays as it was and you are told which stands in the way.",
        ].join(" "),
        ...forOrganisers,
        ifMatch: "required",
        ...anEvent,
        body: schema.newEvent,
        bodyLimitBytes: mostBytes,
        answers: { 200: { description: "The draft as it is now.", schema: own.ownEvent, headers: draftTag } },
        refusals: ["EVENT_NOT_FOUND", "EVENT_NOT_DRAFT", "DRAFT_CHANGED", "CHANNEL_IN_THE_WAY", "LAYOUT_INVALID"],
      },
      async ({ params: { eventId }, body, identity, header, rpc }) => {
        const wanted = {
          event: eventOf(eventId, identity.accountId, body),
          sections: expandLayout(body.sections),
          layoutSource: JSON.stringify(body.sections),
        };
        const revision = requiredRevision(header("if-match"));
        const replaced = await catalog.replaceDraft(
          { ...wanted, organiserId: askerOf(identity), revision },
          rpc(writingMs),
        );
        if (!replaced.event) throw new Error("the inventory answered without an event");
        return {
          status: 200,
          body: shownOwnEvent(replaced.event, wanted, undefined),
          headers: revisionTag(replaced.revision),
        };
      },
    ),
    route(
      {
        method: "post",
        path: "/v1/organiser/events/{eventId}/cancel",
        operationId: "cancelEvent",
        tag,
        summary: "Call an event off, and give every order back",
        description: [
          "For good. From now on its seats can't be held or bought, and all of its orders are given back, which may take a while:",
          "GET the event to see how far that is. Cancelling twice is the same as once.",
        ].join(" "),
        ...forOrganisers,
        idempotencyKey: "required",
        ...anEvent,
        body: own.newCancellation,
        answers: { 202: { description: "It is off the sale, and is being given back.", schema: own.ownEvent } },
        refusals: ["EVENT_NOT_FOUND", "EVENT_IS_DRAFT"],
      },
      async ({ params: { eventId }, body, identity, rpc }) => {
        const organiserId = askerOf(identity);
        const { event } = await ownedEvent(services, eventId, identity, rpc());
        if (event.status === EventStatus.DRAFT)
          throw new DomainError("EVENT_IS_DRAFT", "The event is a draft: nobody has seen it, so nothing is cancelled.");
        // First what can't be lost: whatever dies from here on, the event is taken off the sale and its orders are given back.
        const input: CancelEventInput = { eventId, requestedBy: identity.accountId, settleMs: cancelSettleMs };
        const started = await temporal.start({
          type: workflowTypes.cancelEvent,
          workflowId: cancelEventWorkflowId(eventId),
          taskQueue,
          input,
          attributes: { [searchAttributes.eventId]: eventId },
          summary: `Cancellation of ${eventId}`,
          // One that was ended by force is begun anew by asking again; one that is done finds nothing to do.
          mayRepeat: true,
        });
        if (started.kind === "not-started" || started.kind === "unknown")
          throw new DomainError(
            "UNAVAILABLE",
            "The cancellation could not be started right now. Send the same request again, with the same Idempotency-Key.",
            { retryAfterSeconds: 2 },
            started.cause,
          );
        await catalog.cancelEvent({ eventId, organiserId, reason: body.reason ?? "" }, rpc());
        return { status: 202, body: (await ownEvent(eventId, organiserId, rpc())).event };
      },
    ),
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
        bodyLimitBytes: mostBytes,
        answers: { 201: { description: "The draft.", schema: schema.event, headers: { Location: "The event." } } },
        refusals: ["LAYOUT_INVALID", "EVENT_EXISTS"],
      },
      async ({ body, identity, attempt, rpc }) => {
        const eventId = derivedId("evt", identity.accountId, attempt.key);
        const { event } = await catalog.createEvent(
          {
            event: eventOf(eventId, identity.accountId, body),
            sections: expandLayout(body.sections),
            layoutSource: JSON.stringify(body.sections),
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
          "It can be found from now on, and bought from its on-sale time on. Publishing twice is the same as once. With If-Match the draft is published only as you have read it.",
        access: "account",
        roles: ["organiser", "operator"],
        limits: "by caller",
        idempotencyKey: "required",
        ifMatch: "optional",
        params: schema.eventParams,
        unknownParam: "EVENT_NOT_FOUND",
        answers: { 200: { description: "The event.", schema: schema.event } },
        refusals: ["EVENT_NOT_FOUND", "EVENT_CANCELLED", "LAYOUT_INVALID", "DRAFT_CHANGED"],
      },
      async ({ params, identity, header, rpc }) => {
        const revision = wantedRevision(header("if-match"));
        const asked = {
          eventId: params.eventId,
          organiserId: askerOf(identity),
          ...(revision === undefined ? {} : { revision }),
        };
        const { event } = await catalog.publishEvent(asked, rpc(writingMs));
        return { status: 200, body: shownEvent(event) };
      },
    ),
  ];
}

const statusNamed = {
  draft: EventStatus.DRAFT,
  published: EventStatus.PUBLISHED,
  cancelled: EventStatus.CANCELLED,
} as const;

/** What an organiser sends, as the inventory takes it. */
const eventOf = (eventId: string, organiserId: string, body: z.output<typeof schema.newEvent>): Event => ({
  eventId,
  organiserId,
  name: body.name,
  description: body.description ?? "",
  venue: body.venue,
  status: EventStatus.DRAFT,
  startsAtMs: body.startsAt,
  onSaleAtMs: body.onSaleAt,
  offSaleAtMs: body.offSaleAt ?? 0,
  currency: body.currency,
  seatsPerPerson: body.seatsPerPerson ?? schema.defaultSeatsPerPerson,
  tiers: body.tiers.map(({ id, name, amount }) => ({ tierId: id, name, amount })),
  capacity: 0,
  layoutVersion: "",
  orphanRule: orphanRuleNamed[body.orphanRule ?? "lenient"],
  accessibleUntilMs: body.accessibleUntil ?? 0,
  refundableUntilMs: body.refundableUntil ?? 0,
  createdAtMs: 0,
  cancelledAtMs: 0,
  cancelReason: "",
});

function shownOwnEvent(
  event: Event,
  { sections, layoutSource }: Pick<GetOwnEventResponse, "sections" | "layoutSource">,
  progress: { readonly refunded: number; readonly total: number } | undefined,
) {
  return {
    ...shownEvent(event),
    createdAt: new Date(event.createdAtMs).toISOString(),
    organiserId: event.organiserId,
    sections: sectionsAsSent(layoutSource, sections),
    ...(progress && {
      cancellation: {
        at: new Date(event.cancelledAtMs).toISOString(),
        ...(event.cancelReason === "" ? {} : { reason: event.cancelReason }),
        ...progress,
      },
    }),
  };
}
