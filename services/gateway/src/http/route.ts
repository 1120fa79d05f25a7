// What a route of the REST API is: its contract, from which the checks and the OpenAPI document are made, and its handler.
import type { ServerResponse } from "node:http";
import type { RefusalCode } from "@onsale/kit/errors";
import type { CallOptions } from "@onsale/kit/grpc-client";
import type { z } from "zod";
import type { Identity, Role } from "./authenticate.js";
import type { Attempt } from "./idempotency.js";
import type { Policy } from "./rate-limit.js";

export type Method = "get" | "post" | "put" | "delete";

export interface Answer {
  readonly status: number;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as they are, with the Content-Type in `headers`. */
  readonly bytes?: Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  /** An answer that goes on: after the headers it gets the response, writes it, and ends it. Not called for HEAD. */
  readonly stream?: (response: ServerResponse) => void;
}

/** One request, as a handler sees it: checked, and with what it may need to know of its sender. */
export interface Call<Params, Query, Body, Who, Key> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  /** The body as it came, for routes with `rawBody`. */
  readonly raw: Buffer;
  readonly identity: Who;
  readonly attempt: Key;
  readonly clientAddress: string;
  /** "https://host" as the sender addressed us. Chosen by the sender. */
  readonly origin: string;
  header(name: string): string | undefined;
  /** Options for a call to a service: the request id goes along. */
  rpc(deadlineMs?: number): CallOptions;
  /** Aborted when the gateway is about to stop: long waits end early. */
  readonly closing: AbortSignal;
}

export interface AnswerContract {
  readonly description: string;
  readonly schema?: z.ZodType;
  /** Another Content-Type than JSON, described in words. */
  readonly contentType?: string;
  /** Header name → what it says. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Contract {
  readonly method: Method;
  /** As OpenAPI writes it: /v1/events/{eventId}. */
  readonly path: string;
  readonly operationId: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  /** anyone: no token. optional: a token is honoured. account: a token is required. */
  readonly access: "anyone" | "optional" | "account";
  /** One of them, with access account. */
  readonly roles?: readonly Role[];
  /** none: probes and the documentation. */
  readonly limits: readonly Policy[] | "by caller" | "none";
  readonly idempotencyKey?: "required" | "optional";
  /** Of which revision the request is: see if-match.ts. */
  readonly ifMatch?: "required" | "optional";
  /** What a malformed id in the path means: there is no such thing. */
  readonly params?: z.ZodObject;
  readonly unknownParam?: RefusalCode;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  /** The cookie counts as part of the body: an Idempotency-Key without it is of no use. */
  readonly cookie?: boolean;
  /** The body is bytes for the handler, of any type. */
  readonly rawBody?: boolean;
  /** Default 32 KiB. */
  readonly bodyLimitBytes?: number;
  readonly answers: Readonly<Record<number, AnswerContract>>;
  /** Its own refusals; those of its features (token, body, key, limits) are added. */
  readonly refusals?: readonly RefusalCode[];
  /** Where the crowd is: served without asking Express. Only for a path without parameters; a query leads to Express again. */
  readonly hot?: boolean;
  /** Left out of the OpenAPI document: the documentation's own files. */
  readonly undocumented?: boolean;
}

export interface Route extends Contract {
  handle(call: Call<never, never, never, never, never>): Promise<Answer>;
}

type Given<Schema, Otherwise> = Schema extends z.ZodType ? z.output<Schema> : Otherwise;
type Caller<C extends Contract> = C["access"] extends "account"
  ? Identity
  : C["access"] extends "optional"
    ? Identity | undefined
    : undefined;

type Key<C extends Contract> = C["idempotencyKey"] extends "required"
  ? Attempt
  : C["idempotencyKey"] extends "optional"
    ? Attempt | undefined
    : undefined;

/** A route, with the handler's types taken from the contract. */
export function route<const C extends Contract>(
  contract: C,
  handle: (
    call: Call<
      Given<C["params"], Record<never, never>>,
      Given<C["query"], Record<never, never>>,
      Given<C["body"], undefined>,
      Caller<C>,
      Key<C>
    >,
  ) => Promise<Answer>,
): Route {
  return { ...contract, handle: handle as Route["handle"] };
}

export const defaultBodyLimitBytes = 32 * 1024;

export const cache = {
  /** Anything personal, or that must be true now. */
  never: "no-store",
  /** Numbers that change by the second. */
  seconds: "public, max-age=1, stale-while-revalidate=2",
  /** Never another under the same address. */
  forever: "public, max-age=31536000, immutable",
  /** What an organiser may edit. */
  brief: "public, max-age=15, stale-while-revalidate=60",
} as const;
