// Every refusal the system can give: one table from code to gRPC status, HTTP status and advice, and one error class.
import { status as Grpc } from "@grpc/grpc-js";

interface Refusal {
  readonly grpc: Grpc;
  readonly http: number;
  /** True: the same request may succeed later, unchanged. */
  readonly retryable: boolean;
  /** One short sentence part, the `title` of the problem document. */
  readonly title: string;
}

const refusal = (http: number, grpc: Grpc, title: string, retryable = false): Refusal => ({
  grpc,
  http,
  retryable,
  title,
});

/** A code is never reused for another meaning: clients branch on it. */
export const refusals = {
  // the request itself
  REQUEST_INVALID: refusal(400, Grpc.INVALID_ARGUMENT, "The request is not valid"),
  JSON_MALFORMED: refusal(400, Grpc.INVALID_ARGUMENT, "The body is not valid JSON"),
  BODY_TOO_LARGE: refusal(413, Grpc.INVALID_ARGUMENT, "The body is too large"),
  MEDIA_TYPE_UNSUPPORTED: refusal(415, Grpc.INVALID_ARGUMENT, "The body must be JSON"),
  ROUTE_NOT_FOUND: refusal(404, Grpc.NOT_FOUND, "There is nothing at this address"),
  METHOD_NOT_ALLOWED: refusal(405, Grpc.UNIMPLEMENTED, "This method is not allowed here"),
  IDEMPOTENCY_KEY_REQUIRED: refusal(400, Grpc.INVALID_ARGUMENT, "An Idempotency-Key header is required"),
  IDEMPOTENCY_KEY_REUSED: refusal(422, Grpc.INVALID_ARGUMENT, "The Idempotency-Key was used with another request"),
  IF_MATCH_REQUIRED: refusal(428, Grpc.INVALID_ARGUMENT, "An If-Match header is required"),
  IDEMPOTENCY_IN_FLIGHT: refusal(
    409,
    Grpc.ABORTED,
    "The first request with this Idempotency-Key is still running",
    true,
  ),
  RATE_LIMITED: refusal(429, Grpc.RESOURCE_EXHAUSTED, "Too many requests", true),
  // who asks
  TOKEN_MISSING: refusal(401, Grpc.UNAUTHENTICATED, "Log in first"),
  TOKEN_INVALID: refusal(401, Grpc.UNAUTHENTICATED, "The access token is not valid"),
  TOKEN_EXPIRED: refusal(401, Grpc.UNAUTHENTICATED, "The access token has expired"),
  ROLE_REQUIRED: refusal(403, Grpc.PERMISSION_DENIED, "Your account may not do this"),
  CREDENTIALS_INVALID: refusal(401, Grpc.UNAUTHENTICATED, "E-mail or password is wrong"),
  TOO_MANY_ATTEMPTS: refusal(429, Grpc.RESOURCE_EXHAUSTED, "Too many attempts", true),
  SESSION_REVOKED: refusal(401, Grpc.UNAUTHENTICATED, "The session has ended"),
  EMAIL_TAKEN: refusal(409, Grpc.ALREADY_EXISTS, "There is an account with this e-mail"),
  PASSWORD_WEAK: refusal(422, Grpc.INVALID_ARGUMENT, "The password is too weak"),
  PASSWORD_WRONG: refusal(403, Grpc.PERMISSION_DENIED, "The current password is wrong"),
  ACCOUNT_NOT_FOUND: refusal(404, Grpc.NOT_FOUND, "There is no such account"),
  // events and seats
  EVENT_NOT_FOUND: refusal(404, Grpc.NOT_FOUND, "There is no such event"),
  EVENT_EXISTS: refusal(409, Grpc.ALREADY_EXISTS, "This event id is taken by another event"),
  LAYOUT_INVALID: refusal(422, Grpc.INVALID_ARGUMENT, "The seat layout is not valid"),
  SALE_NOT_OPEN: refusal(409, Grpc.FAILED_PRECONDITION, "The sale has not started"),
  SALE_ENDED: refusal(409, Grpc.FAILED_PRECONDITION, "The sale has ended"),
  SEAT_UNKNOWN: refusal(422, Grpc.INVALID_ARGUMENT, "A seat does not exist in this event"),
  SECTION_UNKNOWN: refusal(422, Grpc.INVALID_ARGUMENT, "A section does not exist in this event"),
  SEAT_TAKEN: refusal(409, Grpc.FAILED_PRECONDITION, "A seat is not free"),
  NOT_ENOUGH_SEATS: refusal(409, Grpc.FAILED_PRECONDITION, "Not enough seats are free"),
  SEAT_LIMIT_EXCEEDED: refusal(409, Grpc.FAILED_PRECONDITION, "The limit of seats a person is reached"),
  SEAT_ORPHANED: refusal(409, Grpc.FAILED_PRECONDITION, "These seats would leave a single one between taken ones"),
  SEAT_ACCESSIBLE: refusal(409, Grpc.FAILED_PRECONDITION, "A seat is kept for people who need its room"),
  LAYOUT_CHANGED: refusal(409, Grpc.FAILED_PRECONDITION, "The event has another seat layout by now"),
  HOLD_EXPIRED: refusal(409, Grpc.FAILED_PRECONDITION, "The hold has expired"),
  EVENT_NOT_DRAFT: refusal(409, Grpc.FAILED_PRECONDITION, "The event is not a draft any more"),
  DRAFT_CHANGED: refusal(412, Grpc.FAILED_PRECONDITION, "The draft has been changed since you read it"),
  EVENT_IS_DRAFT: refusal(409, Grpc.FAILED_PRECONDITION, "The event is not published yet"),
  EVENT_CANCELLED: refusal(409, Grpc.FAILED_PRECONDITION, "The event was cancelled"),
  // channels and blocks
  ACCESS_CODE_INVALID: refusal(403, Grpc.PERMISSION_DENIED, "This code opens nothing here"),
  CHANNEL_NOT_OPEN: refusal(409, Grpc.FAILED_PRECONDITION, "The code's sale has not started"),
  CHANNEL_ENDED: refusal(409, Grpc.FAILED_PRECONDITION, "The code's sale has ended"),
  CODE_LIMIT_EXCEEDED: refusal(409, Grpc.FAILED_PRECONDITION, "The limit of seats a code is reached"),
  SEAT_NOT_IN_CHANNEL: refusal(409, Grpc.FAILED_PRECONDITION, "A seat is not among those that the code opens"),
  CODE_DUPLICATE: refusal(422, Grpc.INVALID_ARGUMENT, "A code is used twice"),
  CHANNEL_IN_THE_WAY: refusal(409, Grpc.FAILED_PRECONDITION, "A channel of the draft does not fit any more"),
  SEATS_ALLOCATED: refusal(409, Grpc.FAILED_PRECONDITION, "Seats belong to another channel"),
  CHANNEL_LIMIT_REACHED: refusal(409, Grpc.FAILED_PRECONDITION, "The event can have no more channels or codes"),
  SEATS_BLOCKED: refusal(409, Grpc.FAILED_PRECONDITION, "Seats are blocked already"),
  BLOCKED_BY_LAYOUT: refusal(409, Grpc.FAILED_PRECONDITION, "Seats are not for sale by the layout"),
  LIVE_SEATS_FULL: refusal(503, Grpc.RESOURCE_EXHAUSTED, "No more readers of live seats fit here", true),
  INVENTORY_REBUILDING: refusal(503, Grpc.UNAVAILABLE, "The seats of this event are being restored", true),
  // checkouts, payments, tickets
  CHECKOUT_NOT_FOUND: refusal(404, Grpc.NOT_FOUND, "There is no such checkout"),
  CHECKOUT_EXPIRED: refusal(410, Grpc.FAILED_PRECONDITION, "The checkout has expired"),
  CHECKOUT_CANCELLED: refusal(410, Grpc.FAILED_PRECONDITION, "The checkout was cancelled"),
  CHECKOUT_COMPLETED: refusal(409, Grpc.FAILED_PRECONDITION, "The checkout is paid already"),
  CHECKOUT_BUSY: refusal(409, Grpc.FAILED_PRECONDITION, "A payment for this checkout is being processed"),
  PAYMENT_METHOD_INVALID: refusal(422, Grpc.INVALID_ARGUMENT, "Stripe does not know this payment method"),
  PAYMENT_NOT_FOUND: refusal(404, Grpc.NOT_FOUND, "There is no such payment"),
  PAYMENT_STATE_CONFLICT: refusal(409, Grpc.FAILED_PRECONDITION, "The payment is not in a state that allows this"),
  REFUND_TOO_LARGE: refusal(422, Grpc.FAILED_PRECONDITION, "The refund is larger than what is left"),
  SEAT_REFUNDED: refusal(409, Grpc.FAILED_PRECONDITION, "A seat's money has gone back already"),
  REFUND_NOT_FOUND: refusal(404, Grpc.NOT_FOUND, "The order has no such refund"),
  REFUND_NOT_FAILED: refusal(409, Grpc.FAILED_PRECONDITION, "The refund has not failed"),
  REFUND_NOT_ALLOWED: refusal(409, Grpc.FAILED_PRECONDITION, "This order can't be given back by its buyer"),
  DISPUTE_NOT_FOUND: refusal(404, Grpc.NOT_FOUND, "The order has no such dispute"),
  DISPUTE_CLOSED: refusal(409, Grpc.FAILED_PRECONDITION, "The dispute takes no answer any more"),
  WEBHOOK_SIGNATURE_INVALID: refusal(400, Grpc.INVALID_ARGUMENT, "The webhook signature is not valid"),
  TICKET_NOT_FOUND: refusal(404, Grpc.NOT_FOUND, "There is no such ticket"),
  ORDER_NOT_FOUND: refusal(404, Grpc.NOT_FOUND, "There is no such order"),
  // us
  UNAVAILABLE: refusal(503, Grpc.UNAVAILABLE, "A part of the system does not answer", true),
  DEADLINE_EXCEEDED: refusal(504, Grpc.DEADLINE_EXCEEDED, "The answer took too long; the outcome is unknown", true),
  PEER_UNAUTHENTICATED: refusal(500, Grpc.UNAUTHENTICATED, "The services do not trust each other"),
  INTERNAL: refusal(500, Grpc.INTERNAL, "Something went wrong on our side"),
} as const satisfies Record<string, Refusal>;

export type RefusalCode = keyof typeof refusals;

/** JSON-safe facts for the caller: the seats that are taken, the seconds to wait. Never anything personal. */
export type RefusalDetails = Readonly<Record<string, unknown>>;

/** A refusal that crosses boundaries with its code. The message is for the person who reads it. */
export class DomainError extends Error {
  override readonly name = "DomainError";
  readonly code: RefusalCode;
  readonly details: RefusalDetails;

  constructor(code: RefusalCode, message: string, details: RefusalDetails = {}, cause?: unknown) {
    // A refusal is an answer, given thousands of times a second: where it was thrown tells nobody anything. A bug's place does.
    const frames = Error.stackTraceLimit;
    if (code !== "INTERNAL") Error.stackTraceLimit = 0;
    super(message, cause === undefined ? undefined : { cause });
    Error.stackTraceLimit = frames;
    this.code = code;
    this.details = details;
  }

  get refusal(): Refusal {
    return refusals[this.code];
  }

  /** Whatever was thrown, as a DomainError; what is not one is a bug of ours and becomes INTERNAL, its cause kept for the log. */
  static from(thrown: unknown): DomainError {
    if (thrown instanceof DomainError) return thrown;
    return new DomainError(
      "INTERNAL",
      "Something went wrong on our side. It has been logged; please try again.",
      {},
      thrown,
    );
  }
}

export function isRefusalCode(code: string): code is RefusalCode {
  return Object.hasOwn(refusals, code);
}
