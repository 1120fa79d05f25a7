// What the organiser's pages ask of the API, and how often.
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { answered, api, newKey, type Schemas } from "../../api/client.js";

export type OwnEvent = Schemas["OwnEvent"] & {
  /** Of a draft: the ETag that names what was read, for whoever edits or publishes it. */
  readonly tag?: string;
};
export type Sales = Schemas["Sales"];
export type SoldOrder = Schemas["SoldOrder"];
export type OrderWithTimeline = Schemas["OrderWithTimeline"];
export type DisputeEvidence = Schemas["DisputeEvidence"];
export type Channel = Schemas["Channel"];
export type Block = Schemas["Block"];

export const eventStatuses = ["draft", "published", "cancelled"] as const;
export const orderStatuses = ["completed", "partially_refunded", "refunded", "voided"] as const;

const salesEveryMs = 4_000;
/** What needs somebody comes from banks: days later, mostly. */
const waitingEveryMs = 15_000;

export const isOneOf = <Name extends string>(names: readonly Name[], text: string): text is Name =>
  (names as readonly string[]).includes(text);

export function useOwnEvents(q: string, status: string) {
  return useInfiniteQuery({
    queryKey: ["organiser", "events", q, status],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      answered(
        api.GET("/v1/organiser/events", {
          signal,
          params: {
            query: {
              limit: 20,
              ...(q.trim() ? { q: q.trim() } : {}),
              ...(isOneOf(eventStatuses, status) ? { status } : {}),
              ...(pageParam ? { cursor: pageParam } : {}),
            },
          },
        }),
      ),
    getNextPageParam: (last) => last.nextCursor,
    placeholderData: keepPreviousData,
  });
}

export const ownEventKey = (eventId: string) => ["organiser", "event", eventId] as const;

type OwnEventCall = Promise<{
  readonly data?: Schemas["OwnEvent"];
  readonly error?: unknown;
  readonly response: Response;
}>;

async function withTag(call: OwnEventCall): Promise<OwnEvent> {
  const event = await answered(call);
  const tag = (await call).response.headers.get("ETag");
  return tag === null ? event : { ...event, tag };
}

export const readOwnEvent = (eventId: string, signal?: AbortSignal): Promise<OwnEvent> =>
  withTag(api.GET("/v1/organiser/events/{eventId}", { ...(signal && { signal }), params: { path: { eventId } } }));

/** As it is stored now, and as it stays while it is edited: what is typed belongs to what was read. */
export function useDraft(eventId: string) {
  return useQuery({
    queryKey: ["organiser", "draft", eventId],
    queryFn: ({ signal }) => readOwnEvent(eventId, signal),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });
}

/** The same again is the same as once, also after an answer that was lost. */
export const replaceDraft = (eventId: string, tag: string, event: Schemas["NewEvent"]): Promise<OwnEvent> =>
  withTag(
    api.PUT("/v1/organiser/events/{eventId}", {
      params: { path: { eventId }, header: { "If-Match": tag } },
      body: event,
    }),
  );

export function useOwnEvent(eventId: string, enabled = true) {
  return useQuery({
    queryKey: ownEventKey(eventId),
    enabled,
    queryFn: ({ signal }) => readOwnEvent(eventId, signal),
    // Orders of a cancelled event are being given back.
    refetchInterval: ({ state: { data } }) =>
      data?.cancellation && data.cancellation.refunded < data.cancellation.total ? salesEveryMs : false,
  });
}

export function useSales(eventId: string, enabled: boolean) {
  return useQuery({
    queryKey: ["organiser", "sales", eventId],
    enabled,
    queryFn: ({ signal }) =>
      answered(api.GET("/v1/organiser/events/{eventId}/sales", { signal, params: { path: { eventId } } })),
    refetchInterval: salesEveryMs,
    staleTime: 0,
  });
}

export interface OrderQuery {
  readonly q: string;
  readonly status: string;
  readonly eventId: string;
}

export function useSoldOrders({ q, status, eventId }: OrderQuery) {
  return useInfiniteQuery({
    queryKey: ["organiser", "orders", q, status, eventId],
    initialPageParam: "",
    queryFn: ({ pageParam, signal }) =>
      answered(
        api.GET("/v1/organiser/orders", {
          signal,
          params: {
            query: {
              limit: 20,
              ...(q.trim() ? { q: q.trim() } : {}),
              ...(isOneOf(orderStatuses, status) ? { status } : {}),
              ...(eventId ? { eventId } : {}),
              ...(pageParam ? { cursor: pageParam } : {}),
            },
          },
        }),
      ),
    getNextPageParam: (last) => last.nextCursor,
    placeholderData: keepPreviousData,
    staleTime: 2_000,
  });
}

/** Refunds that failed, oldest first: the first page, for somebody to see to. */
export function useFailedRefunds(eventId: string) {
  return useQuery({
    queryKey: ["organiser", "refunds", eventId],
    queryFn: ({ signal }) =>
      answered(
        api.GET("/v1/organiser/refunds", {
          signal,
          params: { query: { state: "failed", limit: 20, ...(eventId ? { eventId } : {}) } },
        }),
      ),
    staleTime: 2_000,
    refetchInterval: waitingEveryMs,
  });
}

/** Disputes that the bank has not decided, the first that wants an answer first: the first page. */
export function useOpenDisputes(eventId: string) {
  return useQuery({
    queryKey: ["organiser", "disputes", eventId],
    queryFn: ({ signal }) =>
      answered(
        api.GET("/v1/organiser/disputes", {
          signal,
          params: { query: { state: "open", limit: 20, ...(eventId ? { eventId } : {}) } },
        }),
      ),
    staleTime: 2_000,
    refetchInterval: waitingEveryMs,
  });
}

export function useDisputeEvidence(checkoutId: string, disputeId: string) {
  return useQuery({
    queryKey: ["organiser", "dispute", checkoutId, disputeId],
    queryFn: ({ signal }) =>
      answered(
        api.GET("/v1/orders/{checkoutId}/disputes/{disputeId}/evidence", {
          signal,
          params: { path: { checkoutId, disputeId } },
        }),
      ),
    staleTime: 2_000,
    // Stripe's word on an answer comes some moments after it.
    refetchInterval: ({ state: { data } }) =>
      data?.dispute.answeredAt && data.dispute.status.endsWith("needs_response") ? salesEveryMs : false,
  });
}

export const soldOrderKey = (checkoutId: string) => ["organiser", "order", checkoutId] as const;

export function useSoldOrder(checkoutId: string) {
  return useQuery({
    queryKey: soldOrderKey(checkoutId),
    queryFn: ({ signal }) =>
      answered(api.GET("/v1/organiser/orders/{checkoutId}", { signal, params: { path: { checkoutId } } })),
    staleTime: 2_000,
  });
}

export const channelsKey = (eventId: string) => ["organiser", "channels", eventId] as const;

export function useChannels(eventId: string) {
  return useQuery({
    queryKey: channelsKey(eventId),
    queryFn: ({ signal }) =>
      answered(api.GET("/v1/organiser/events/{eventId}/channels", { signal, params: { path: { eventId } } })),
  });
}

export const blocksKey = (eventId: string) => ["organiser", "blocks", eventId] as const;

export function useBlocks(eventId: string, enabled: boolean) {
  return useQuery({
    queryKey: blocksKey(eventId),
    enabled,
    queryFn: ({ signal }) =>
      answered(api.GET("/v1/organiser/events/{eventId}/blocks", { signal, params: { path: { eventId } } })),
  });
}

/** Publishing twice is the same as once. With a tag: the draft as it was read, or not at all. */
export const publishEvent = (eventId: string, tag?: string) =>
  answered(
    api.POST("/v1/organiser/events/{eventId}/publish", {
      params: { path: { eventId }, header: { "Idempotency-Key": newKey(), ...(tag && { "If-Match": tag }) } },
    }),
  );
