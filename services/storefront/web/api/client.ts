// The gateway's REST API as the pages use it: typed from its OpenAPI document, refusals as errors that a person can read.
import createClient from "openapi-fetch";
import type { components, paths } from "./gen/schema.js";
import { noteClock } from "./server-clock.js";

export type Schemas = components["schemas"];
export type Event = Schemas["Event"];
export type EventWithSections = Schemas["EventWithSections"];
export type Availability = Schemas["Availability"];
export type Layout = Schemas["Layout"];
export type Checkout = Schemas["Checkout"];
export type Order = Schemas["Order"];
export type Ticket = Schemas["Ticket"];
export type Account = Schemas["Account"];
type Problem = Partial<Schemas["Problem"]> & Record<string, unknown>;

/** A refusal of the API (RFC 9457), or that it could not be reached (code OFFLINE, status 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retryable: boolean,
    readonly details: Problem = {},
  ) {
    super(message);
  }
}

const offline = () => new ApiError(0, "OFFLINE", "", true);

/** Set by session.ts: how to get a token, and a fresh one when it was refused. */
export const credentials: { token: (renew: boolean) => Promise<string | undefined> } = {
  token: async () => undefined,
};

async function authorizedFetch(request: Request): Promise<Response> {
  const again = request.clone();
  const send = async (what: Request, token: string | undefined) => {
    if (token) what.headers.set("Authorization", `Bearer ${token}`);
    const sentAt = Date.now();
    try {
      const response = await fetch(what);
      noteClock(response, sentAt);
      return response;
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw offline();
    }
  };
  const isSession = new URL(request.url).pathname.startsWith("/v1/sessions/refresh");
  const token = isSession ? undefined : await credentials.token(false);
  const first = await send(request, token);
  if (first.status !== 401 || !token || !(await isAboutToken(first))) return first;
  const renewed = await credentials.token(true);
  return renewed ? await send(again, renewed) : first;
}

/** Or about a password, say: that is no reason to ask a second time. */
async function isAboutToken(response: Response): Promise<boolean> {
  const problem = (await response
    .clone()
    .json()
    .catch(() => ({}))) as Problem;
  return problem.code?.startsWith("TOKEN_") ?? true;
}

export const api = createClient<paths>({ baseUrl: location.origin, fetch: authorizedFetch });

interface Settled<Data> {
  readonly data?: Data;
  readonly error?: unknown;
  readonly response: Response;
}

/** The answer's data, or an ApiError. */
export async function answered<Data>(call: Promise<Settled<Data>>): Promise<NonNullable<Data>> {
  const { data, error, response } = await call;
  if (response.ok) return (data ?? undefined) as NonNullable<Data>;
  throw errorOf(response, error);
}

export function errorOf(response: Response, body: unknown): ApiError {
  const problem = (typeof body === "object" && body !== null ? body : {}) as Problem;
  const { code = "INTERNAL", detail = "", retryable = response.status >= 500 } = problem;
  return new ApiError(response.status, code, detail, retryable, problem);
}

export const newKey = (): string => crypto.randomUUID();
