// Routes of blocks: an organiser takes seats off the sale, and puts them back.
import { derivedId } from "@onsale/kit/ids";
import type { Block } from "@onsale/proto/inventory/v1/blocks";
import type { Services } from "../clients/services.js";
import type { Identity } from "../http/authenticate.js";
import { type Route, route } from "../http/route.js";
import * as schema from "../schemas.js";

const tag = "organisers";
const forOrganisers = { access: "account", roles: ["organiser", "operator"], limits: "by caller" } as const;
const anEvent = { params: schema.eventParams, unknownParam: "EVENT_NOT_FOUND" } as const;
/** 5,000 seat ids. */
const mostBytes = 512 * 1024;
const writingMs = 30_000;

export function blockRoutes({ blocks }: Services): Route[] {
  return [
    route(
      {
        method: "post",
        path: "/v1/organiser/events/{eventId}/blocks",
        operationId: "blockSeats",
        tag,
        summary: "Take seats off the sale",
        description: "All of the seats or none: one that a buyer holds or owns is never blocked.",
        ...forOrganisers,
        idempotencyKey: "required",
        ...anEvent,
        body: schema.newBlock,
        bodyLimitBytes: mostBytes,
        answers: { 201: { description: "The block.", schema: schema.block } },
        refusals: [
          "EVENT_NOT_FOUND",
          "EVENT_IS_DRAFT",
          "SEAT_UNKNOWN",
          "SEAT_TAKEN",
          "SEATS_BLOCKED",
          "INVENTORY_REBUILDING",
        ],
      },
      async ({ params, body, identity, attempt, rpc }) => {
        const { accountId } = identity;
        const { block } = await blocks.blockSeats(
          {
            ...params,
            blockId: derivedId("blk", accountId, params.eventId, attempt.key),
            organiserId: askerOf(identity),
            accountId,
            seatIds: body.seats,
            reason: body.reason,
          },
          rpc(writingMs),
        );
        if (!block) throw new Error("the inventory answered without a block");
        return { status: 201, body: shownBlock(block) };
      },
    ),
    route(
      {
        method: "post",
        path: "/v1/organiser/events/{eventId}/unblocks",
        operationId: "unblockSeats",
        tag,
        summary: "Put blocked seats back on sale",
        description: "From whichever blocks. Seats that are free already are fine.",
        ...forOrganisers,
        idempotencyKey: "required",
        ...anEvent,
        body: schema.unblock,
        bodyLimitBytes: mostBytes,
        answers: { 200: { description: "Which were blocked.", schema: schema.unblocked } },
        refusals: [
          "EVENT_NOT_FOUND",
          "EVENT_IS_DRAFT",
          "SEAT_UNKNOWN",
          "SEAT_TAKEN",
          "BLOCKED_BY_LAYOUT",
          "INVENTORY_REBUILDING",
        ],
      },
      async ({ params, body, identity, rpc }) => {
        const wish = { ...params, organiserId: askerOf(identity), seatIds: body.seats };
        const { seatIds } = await blocks.unblockSeats(wish, rpc(writingMs));
        return { status: 200, body: { seats: seatIds } };
      },
    ),
    route(
      {
        method: "get",
        path: "/v1/organiser/events/{eventId}/blocks",
        operationId: "listBlocks",
        tag,
        summary: "What is blocked, by whom and why",
        ...forOrganisers,
        ...anEvent,
        answers: { 200: { description: "Blocks that still have seats.", schema: schema.blockList } },
        refusals: ["EVENT_NOT_FOUND", "EVENT_IS_DRAFT"],
      },
      async ({ params, identity, rpc }) => {
        const found = await blocks.listBlocks({ ...params, organiserId: askerOf(identity) }, rpc());
        return { status: 200, body: { blocks: found.blocks.map(shownBlock), byLayout: found.byLayout } };
      },
    ),
  ];
}

/** Whose events may be changed: one's own; an operator's hands reach all. */
const askerOf = ({ roles, accountId }: Identity): string => (roles.includes("operator") ? "" : accountId);

const shownBlock = ({ blockId, seatIds, reason, accountId, blockedAtMs }: Block) => ({
  blockId,
  seats: seatIds,
  reason,
  accountId,
  blockedAt: new Date(blockedAtMs).toISOString(),
});
