// Routes of channels: an organiser sets seats aside for who has a code, and a buyer sees what a code opens.
import type { Channel } from "@onsale/proto/inventory/v1/channels";
import type { Services } from "../clients/services.js";
import type { Identity } from "../http/authenticate.js";
import type { CodeGuard } from "../http/rate-limit.js";
import { type Route, route } from "../http/route.js";
import * as schema from "../schemas.js";

const tag = "organisers";
const anEvent = { params: schema.eventParams, unknownParam: "EVENT_NOT_FOUND" } as const;
const aChannel = { params: schema.channelParams, unknownParam: "EVENT_NOT_FOUND" } as const;
const forOrganisers = { access: "account", roles: ["organiser", "operator"], limits: "by caller" } as const;
/** 60,000 seats and 10,000 codes. */
const mostBytes = 3 * 1024 * 1024;
const writingMs = 30_000;

export function channelRoutes({ channels }: Services, guard: CodeGuard): Route[] {
  return [
    route(
      {
        method: "put",
        path: "/v1/organiser/events/{eventId}/channels/{channelId}",
        operationId: "putChannel",
        tag,
        summary: "Set seats aside for who has a code",
        description: [
          "Makes the channel what the body says, whatever it was before; the same again changes nothing.",
          "Until it closes, its seats are not in the general sale and show as blocked there. Then, or when it is deleted, what is left goes back by itself.",
          "Seats that a buyer holds or owns stay that buyer's. They may be named: they become the channel's when they come back.",
          "The last places of general admission are taken, as many of them as asked for that are free.",
        ].join(" "),
        ...forOrganisers,
        ...aChannel,
        body: schema.newChannel,
        bodyLimitBytes: mostBytes,
        answers: { 200: { description: "The channel.", schema: schema.putChannel } },
        refusals: [
          "EVENT_NOT_FOUND",
          "SEAT_UNKNOWN",
          "SECTION_UNKNOWN",
          "SEATS_ALLOCATED",
          "NOT_ENOUGH_SEATS",
          "CODE_DUPLICATE",
          "CHANNEL_LIMIT_REACHED",
          "INVENTORY_REBUILDING",
        ],
      },
      async ({ params, body, identity, rpc }) => {
        const { channel, notFree } = await channels.putChannel(
          {
            ...params,
            organiserId: askerOf(identity),
            name: body.name,
            codes: body.codes,
            opensAtMs: body.opensAt,
            closesAtMs: body.closesAt,
            seatsPerPerson: body.seatsPerPerson ?? 0,
            seatsPerCode: body.seatsPerCode ?? 0,
            seatIds: body.seats ?? [],
            places: (body.generalAdmission ?? []).map(({ section, quantity }) => ({ sectionId: section, quantity })),
          },
          rpc(writingMs),
        );
        if (!channel) throw new Error("the inventory answered without a channel");
        return { status: 200, body: { channel: shownChannel(channel), notFree } };
      },
    ),
    route(
      {
        method: "delete",
        path: "/v1/organiser/events/{eventId}/channels/{channelId}",
        operationId: "deleteChannel",
        tag,
        summary: "End a channel and forget it",
        description: "What is left of its seats goes back to the general sale. Deleting what is not there is fine.",
        ...forOrganisers,
        ...aChannel,
        answers: { 204: { description: "It is gone." } },
        refusals: ["EVENT_NOT_FOUND", "INVENTORY_REBUILDING"],
      },
      async ({ params, identity, rpc }) => {
        await channels.deleteChannel({ ...params, organiserId: askerOf(identity) }, rpc(writingMs));
        return { status: 204 };
      },
    ),
    route(
      {
        method: "get",
        path: "/v1/organiser/events/{eventId}/channels",
        operationId: "listChannels",
        tag,
        summary: "The channels of an event",
        ...forOrganisers,
        ...anEvent,
        answers: { 200: { description: "All of them, without their codes.", schema: schema.channelList } },
        refusals: ["EVENT_NOT_FOUND"],
      },
      async ({ params, identity, rpc }) => {
        const found = await channels.listChannels({ ...params, organiserId: askerOf(identity) }, rpc());
        return { status: 200, body: { channels: found.channels.map(shownChannel) } };
      },
    ),
    route(
      {
        method: "post",
        path: "/v1/events/{eventId}/access",
        operationId: "openWithCode",
        tag: "events",
        summary: "What an access code opens",
        description:
          "Changes nothing. The code goes into the body, never into an address. Codes that open nothing are counted, and too many in a row are refused.",
        access: "optional",
        limits: "by caller",
        ...anEvent,
        body: schema.codeTry,
        answers: { 200: { description: "The channel and its seats.", schema: schema.openedChannel } },
        refusals: ["EVENT_NOT_FOUND", "ACCESS_CODE_INVALID", "INVENTORY_REBUILDING"],
      },
      async ({ params, body, identity, clientAddress, rpc }) => {
        const opened = await guard({ accountId: identity?.accountId, clientAddress }, () =>
          channels.openWithCode({ ...params, code: body.code }, rpc()),
        );
        const { free, held, sold, blocked } = opened;
        return {
          status: 200,
          body: {
            ...shownWindow(opened, opened.asOfMs),
            seats: { free, held, sold, blocked },
            generalAdmission: opened.places.map(({ sectionId, ...counts }) => ({ section: sectionId, ...counts })),
            asOf: new Date(opened.asOfMs).toISOString(),
          },
        };
      },
    ),
  ];
}

/** Whose events may be changed: one's own; an operator's hands reach all. */
const askerOf = ({ roles, accountId }: Identity): string => (roles.includes("operator") ? "" : accountId);

function shownWindow(channel: Omit<Channel, "codeCount" | "seatIds" | "places">, nowMs: number) {
  const { channelId, name, opensAtMs, closesAtMs, seatsPerPerson, seatsPerCode, ended } = channel;
  const status = ended || closesAtMs <= nowMs ? "ended" : opensAtMs <= nowMs ? "open" : "upcoming";
  return {
    channelId,
    name,
    opensAt: new Date(opensAtMs).toISOString(),
    closesAt: new Date(closesAtMs).toISOString(),
    status,
    ...(seatsPerPerson > 0 ? { seatsPerPerson } : {}),
    ...(seatsPerCode > 0 ? { seatsPerCode } : {}),
  };
}

const shownChannel = (channel: Channel) => ({
  ...shownWindow(channel, Date.now()),
  codes: channel.codeCount,
  seats: channel.seatIds,
  generalAdmission: channel.places.map(({ sectionId, quantity }) => ({ section: sectionId, quantity })),
});
