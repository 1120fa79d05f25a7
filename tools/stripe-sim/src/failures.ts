// Stripe's error answers: types, codes, statuses and the sentences that clients match on.
// Source of shapes and codes: https://docs.stripe.com/api/errors and https://docs.stripe.com/error-codes

export interface ApiError {
  readonly type: "api_error" | "card_error" | "idempotency_error" | "invalid_request_error";
  readonly message: string;
  readonly code?: string;
  readonly param?: string;
  readonly decline_code?: string;
  readonly advice_code?: string;
  readonly network_decline_code?: string;
  readonly doc_url?: string;
  readonly charge?: string;
  readonly payment_intent?: object;
  readonly payment_method?: object;
}

/** Thrown where a request can't go on; the server turns it into the answer. */
export class StripeFailure extends Error {
  readonly status: number;
  readonly error: ApiError;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, error: ApiError, headers: Readonly<Record<string, string>> = {}) {
    super(error.message);
    this.status = status;
    this.error = error.code === undefined ? error : { ...error, doc_url: docUrl(error.code) };
    this.headers = headers;
  }
}

export function docUrl(code: string): string {
  return `https://stripe.com/docs/error-codes/${code.replaceAll("_", "-")}`;
}

export interface Details {
  readonly code?: string;
  readonly param?: string;
  readonly payment_intent?: object;
}

export function invalidRequest(message: string, details: Details = {}): StripeFailure {
  return new StripeFailure(400, { type: "invalid_request_error", message, ...details });
}

/** The object named by the URL does not exist: 404. */
export function noSuch(kind: string, id: string, param: string): StripeFailure {
  const message = `No such ${kind}: '${id}'`;
  return new StripeFailure(404, { type: "invalid_request_error", code: "resource_missing", message, param });
}

/** An object that a parameter refers to does not exist: 400. */
export function noSuchReference(kind: string, id: string, param: string): StripeFailure {
  return invalidRequest(`No such ${kind}: '${id}'`, { code: "resource_missing", param });
}

export function cardRefused(code: string, message: string, details: { param?: string; decline_code?: string } = {}) {
  return new StripeFailure(402, { type: "card_error", code, message, ...details });
}

export function unrecognizedUrl(method: string, path: string): StripeFailure {
  const message = `Unrecognized request URL (${method}: ${path}). Please see https://stripe.com/docs or we can help at https://support.stripe.com/.`;
  return new StripeFailure(404, { type: "invalid_request_error", message });
}

export function noApiKey(): StripeFailure {
  const message =
    "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details, or we can help at https://support.stripe.com/.";
  return new StripeFailure(
    401,
    { type: "invalid_request_error", message },
    { "WWW-Authenticate": 'Basic realm="Stripe"' },
  );
}

/** The key is not repeated but for its kind and last four characters, as Stripe does. */
export function invalidApiKey(key: string): StripeFailure {
  const kind = /^[a-z]{2}_(?:test|live)_/.exec(key)?.[0] ?? "";
  const rest = key.slice(kind.length);
  const shown = rest.length > 8 ? "*".repeat(rest.length - 4) + rest.slice(-4) : "*".repeat(rest.length);
  const message = `Invalid API Key provided: ${kind}${shown}`;
  return new StripeFailure(
    401,
    { type: "invalid_request_error", message },
    { "WWW-Authenticate": 'Basic realm="Stripe"' },
  );
}

export function secretKeyRequired(): StripeFailure {
  const message =
    "This API call cannot be made with a publishable API key. Please use a secret API key. You can find a list of your API keys at https://dashboard.stripe.com/account/apikeys.";
  return new StripeFailure(403, { type: "invalid_request_error", code: "secret_key_required", message });
}

export function noAccessToAccount(account: string): StripeFailure {
  const message = `The provided key does not have access to account '${account}' (or that account does not exist). Application access may have been revoked.`;
  return new StripeFailure(403, { type: "invalid_request_error", code: "account_invalid", message });
}

/** Stripe names what ran out in a header: https://docs.stripe.com/rate-limits#handling-limiting-gracefully */
export function rateLimited(reason: "endpoint-rate" | "global-rate"): StripeFailure {
  const message =
    "Request rate limit exceeded. You can learn more about rate limits here https://stripe.com/docs/rate-limits.";
  return new StripeFailure(
    429,
    { type: "invalid_request_error", code: "rate_limit", message },
    { "Stripe-Rate-Limited-Reason": reason },
  );
}

export function keyInUse(key: string): StripeFailure {
  const message = `There is currently another in-progress request using this Idempotent Key (that probably means you submitted twice, and the other request is still going through): ${key}. Please try again later.`;
  return new StripeFailure(
    409,
    { type: "idempotency_error", code: "idempotency_key_in_use", message },
    { "Stripe-Should-Retry": "true" },
  );
}

export function keyOfOtherParameters(key: string): StripeFailure {
  const message = `Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a key other than '${key}' if you meant to execute a different request.`;
  return new StripeFailure(400, { type: "idempotency_error", message });
}

export function keyOfOtherEndpoint(key: string, path: string, firstPath: string): StripeFailure {
  const message = `Keys for idempotent requests can only be used for the same endpoint they were first used for ('${path}' vs '${firstPath}'). Try using a key other than '${key}' if you meant to execute a different request.`;
  return new StripeFailure(400, { type: "idempotency_error", message });
}

export function serverError(retry: boolean): StripeFailure {
  const message =
    "An unknown error occurred on Stripe's side. The outcome of the request is not certain. See https://stripe.com/docs/error-low-level#server-errors.";
  return new StripeFailure(500, { type: "api_error", message }, { "Stripe-Should-Retry": String(retry) });
}
