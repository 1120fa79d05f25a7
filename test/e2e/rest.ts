// People at the REST API: what a buyer, an organiser and an operator do, in one line each.
import { randomUUID } from "node:crypto";

export interface Answer<Body = Record<string, unknown>> {
  readonly status: number;
  readonly body: Body;
  readonly headers: Headers;
}

export interface CheckoutBody {
  readonly checkoutId: string;
  readonly status: string;
  readonly deadline: string;
  readonly seats: readonly { readonly seatId: string; readonly amount: number }[];
  readonly amount: number;
  readonly currency: string;
  readonly decline?: { readonly code: string; readonly message: string };
  readonly actionUrl?: string;
  readonly reason?: string;
  /** Of a problem document. */
  readonly code?: string;
}

export interface RequestOptions {
  readonly body?: unknown;
  readonly token?: string | undefined;
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One request. A body that is not JSON comes back as { text }. */
export async function request<Body = Record<string, unknown>>(
  gatewayUrl: string,
  method: string,
  path: string,
  { body, token, key, headers }: RequestOptions = {},
): Promise<Answer<Body>> {
  const response = await fetch(`${gatewayUrl}${path}`, {
    method,
    headers: {
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(key ? { "idempotency-key": key } : {}),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(60_000),
  });
  const text = await response.text();
  const isJson = /json/.test(response.headers.get("content-type") ?? "");
  return { status: response.status, headers: response.headers, body: (isJson ? JSON.parse(text) : { text }) as Body };
}

export type Person = Awaited<ReturnType<typeof signUp>>;

/** Creates an account, logs in and answers what that person can do. */
export async function signUp(gatewayUrl: string, email = `${randomUUID()}@example.test`) {
  const password = "a long and quiet river";
  const account = await request<{ accountId: string }>(gatewayUrl, "POST", "/v1/accounts", {
    body: { email, password, name: "A person" },
    key: randomUUID(),
  });
  if (account.status !== 201) throw new Error(`sign-up: ${account.status} ${JSON.stringify(account.body)}`);
  return logIn(gatewayUrl, email, password);
}

export async function logIn(gatewayUrl: string, email: string, password: string) {
  const session = await request<{ accessToken: string; refreshToken: string; account: { accountId: string } }>(
    gatewayUrl,
    "POST",
    "/v1/sessions",
    { body: { email, password } },
  );
  if (session.status !== 201 && session.status !== 200)
    throw new Error(`log-in: ${session.status} ${JSON.stringify(session.body)}`);
  const token = session.body.accessToken;
  const ask = <Body = Record<string, unknown>>(method: string, path: string, options: RequestOptions = {}) =>
    request<Body>(gatewayUrl, method, path, { token, ...options });
  return {
    email,
    password,
    token,
    refreshToken: session.body.refreshToken,
    accountId: session.body.account.accountId,
    ask,
    hold: (
      eventId: string,
      wish: readonly string[] | { section: string; quantity: number },
      key: string = randomUUID(),
    ) =>
      ask<CheckoutBody>("POST", "/v1/checkouts", {
        key,
        body: Array.isArray(wish) ? { eventId, seats: wish } : { eventId, ...wish },
      }),
    pay: (checkoutId: string, paymentMethodId = "pm_card_visa", key: string = randomUUID()) =>
      ask<CheckoutBody>("POST", `/v1/checkouts/${checkoutId}/payment`, { key, body: { paymentMethodId } }),
    checkout: (checkoutId: string) => ask<CheckoutBody>("GET", `/v1/checkouts/${checkoutId}`),
    cancel: (checkoutId: string) => ask<CheckoutBody>("DELETE", `/v1/checkouts/${checkoutId}`),
  };
}

/** Asks until the checkout is in one of the states, or throws after the time given. */
export async function untilStatus(
  person: Person,
  checkoutId: string,
  statuses: readonly string[],
  withinMs = 60_000,
): Promise<CheckoutBody> {
  const giveUpAt = Date.now() + withinMs;
  let last: Answer<CheckoutBody> | undefined;
  while (Date.now() < giveUpAt) {
    last = await person.checkout(checkoutId).catch(() => undefined);
    if (last?.status === 200 && statuses.includes(last.body.status)) return last.body;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  throw new Error(
    `checkout ${checkoutId} is not ${statuses.join(" or ")}: ${last?.status} ${JSON.stringify(last?.body)}`,
  );
}

/** A published event on sale: one section "A" of rows × seatsPerRow, and one of general admission "GA". */
export async function publishEvent(
  organiser: Person,
  {
    rows = 1,
    seatsPerRow = 50,
    capacity = 20,
    seatsPerPerson = 8,
    amount = 4950,
    currency = "EUR",
    onSaleInMs = -60_000,
  } = {},
): Promise<string> {
  const now = Date.now();
  const created = await organiser.ask<{ eventId: string }>("POST", "/v1/organiser/events", {
    key: randomUUID(),
    body: {
      name: "An evening of tests",
      description: "One act, many buyers.",
      venue: { name: "Test Hall", city: "Leipzig", country: "DE", timeZone: "Europe/Berlin" },
      startsAt: new Date(now + 30 * 86_400_000).toISOString(),
      onSaleAt: new Date(now + onSaleInMs).toISOString(),
      currency,
      seatsPerPerson,
      tiers: [{ id: "T1", name: "Everywhere", amount }],
      sections: [
        { id: "A", name: "Stalls", tier: "T1", rows: { count: rows, seats: seatsPerRow } },
        { id: "GA", name: "Floor", tier: "T1", capacity },
      ],
    },
  });
  if (created.status !== 201) throw new Error(`create event: ${created.status} ${JSON.stringify(created.body)}`);
  const published = await organiser.ask("POST", `/v1/organiser/events/${created.body.eventId}/publish`, {
    key: randomUUID(),
  });
  if (published.status !== 200) throw new Error(`publish: ${published.status} ${JSON.stringify(published.body)}`);
  return created.body.eventId;
}
