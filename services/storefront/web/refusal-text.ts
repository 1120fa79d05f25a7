// What a refusal of the API means, in the reader's language, with its facts. A code that is new here is said in the API's own words.
import { ApiError, type Event } from "./api/client.js";
import { dateAndTime } from "./format.js";
import type { Values } from "./messages/fill.js";
import type { MessageKey, Text } from "./text.js";

type Details = ApiError["details"];
/** A sentence, or which of several by what the refusal tells. */
type Meaning = MessageKey | ((details: Details) => MessageKey);

const listed = (details: Details, name: string): string[] => {
  const value = details[name];
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : [];
};
const number = (details: Details, name: string): number | undefined => {
  const value = details[name];
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
};
/** The first with the facts, if they are there; else the second. */
const told =
  (full: MessageKey, short: MessageKey, ...facts: readonly string[]) =>
  (details: Details): MessageKey =>
    facts.every((name) => (Array.isArray(details[name]) ? listed(details, name).length > 0 : details[name]))
      ? full
      : short;

/** Every code that a buyer can meet. */
export const meanings: Readonly<Record<string, Meaning>> = {
  // The request itself: a page that sends such is broken or old.
  REQUEST_INVALID: (details) => (faultyFields(details).length > 0 ? "refusalRequestFields" : "refusalRequest"),
  JSON_MALFORMED: "refusalPageOld",
  BODY_TOO_LARGE: "refusalTooLarge",
  MEDIA_TYPE_UNSUPPORTED: "refusalPageOld",
  IDEMPOTENCY_KEY_REQUIRED: "refusalPageOld",
  IDEMPOTENCY_KEY_REUSED: "refusalKeyReused",
  IDEMPOTENCY_IN_FLIGHT: "refusalStillRunning",
  RATE_LIMITED: told("refusalRateWait", "refusalRateLimited", "retryAfterSeconds"),
  // Who asks.
  TOKEN_MISSING: "refusalLogIn",
  TOKEN_INVALID: "refusalLogIn",
  TOKEN_EXPIRED: "refusalLogIn",
  SESSION_REVOKED: "refusalLogIn",
  ROLE_REQUIRED: "refusalRole",
  CREDENTIALS_INVALID: "refusalCredentials",
  TOO_MANY_ATTEMPTS: told("refusalAttemptsWait", "refusalTooManyAttempts", "retryAfterSeconds"),
  EMAIL_TAKEN: "refusalEmailTaken",
  PASSWORD_WEAK: "refusalPasswordWeak",
  PASSWORD_WRONG: "refusalPasswordWrong",
  ACCOUNT_NOT_FOUND: "refusalNoAccount",
  // Concerts and seats.
  EVENT_NOT_FOUND: "refusalNoEvent",
  EVENT_CANCELLED: "refusalEventCancelled",
  SALE_NOT_OPEN: "refusalSaleNotOpen",
  SALE_ENDED: "refusalSaleEnded",
  SEAT_TAKEN: (details) =>
    listed(details, "own").length > 0
      ? "refusalSeatsYours"
      : listed(details, "seats").length > 0
        ? "seatGone"
        : "refusalSeatTaken",
  SEAT_UNKNOWN: told("refusalSeatsUnknown", "refusalSeatUnknown", "seats"),
  SECTION_UNKNOWN: told("refusalSectionUnknown", "refusalSeatUnknown", "section"),
  NOT_ENOUGH_SEATS: (details) => {
    if (number(details, "accessibleFree") !== undefined) return "refusalNotEnoughAccessible";
    if ((number(details, "largestGroup") ?? 0) > 0) return "refusalNotEnoughBeside";
    return (number(details, "free") ?? 0) > 0 ? "refusalNotEnoughLeft" : "refusalNotEnough";
  },
  SEAT_LIMIT_EXCEEDED: told("refusalLimitHas", "refusalLimit", "has"),
  SEAT_ORPHANED: told("refusalOrphanSeats", "refusalOrphan", "orphans", "alternative"),
  SEAT_ACCESSIBLE: told("refusalAccessibleSeats", "refusalAccessible", "seats"),
  LAYOUT_CHANGED: "layoutChanged",
  ACCESS_CODE_INVALID: "refusalCode",
  CHANNEL_NOT_OPEN: "refusalCodeEarly",
  CHANNEL_ENDED: "codeIsOver",
  CODE_LIMIT_EXCEEDED: (details) => (number(details, "has") === undefined ? "refusalCodeLimit" : "refusalCodeLeft"),
  SEAT_NOT_IN_CHANNEL: told("refusalCodeOtherSeats", "refusalCodeSeats", "seats"),
  LIVE_SEATS_FULL: "refusalLiveFull",
  INVENTORY_REBUILDING: "liveWait",
  // Checkouts, payments, tickets.
  HOLD_EXPIRED: "refusalExpired",
  CHECKOUT_NOT_FOUND: "refusalNoCheckout",
  CHECKOUT_EXPIRED: "refusalExpired",
  CHECKOUT_BUSY: "refusalBusy",
  CHECKOUT_COMPLETED: "refusalCompleted",
  CHECKOUT_CANCELLED: "refusalCancelled",
  PAYMENT_METHOD_INVALID: "refusalCard",
  PAYMENT_NOT_FOUND: "refusalNoPayment",
  PAYMENT_STATE_CONFLICT: "refusalPaymentState",
  REFUND_NOT_ALLOWED: told("refusalRefundUntil", "refusalRefundLate", "refundableUntil"),
  REFUND_TOO_LARGE: "refusalRefundTooLarge",
  REFUND_NOT_FOUND: "refusalNoRefund",
  REFUND_NOT_FAILED: "refusalRefundNotFailed",
  SEAT_REFUNDED: told("refusalSeatsRefunded", "refusalRefunded", "seats"),
  ORDER_NOT_FOUND: "refusalNoOrder",
  TICKET_NOT_FOUND: "refusalNoTicket",
  // The shop.
  UNAVAILABLE: "refusalUnavailable",
  DEADLINE_EXCEEDED: "refusalUnavailable",
  // Without its id it is no answer of the API, but of something before it.
  INTERNAL: told("refusalInternal", "refusalUnavailable", "requestId"),
};

/** Here the API's English says more than these words: which characters, how many seats are left, what is wrong with a field. */
export const wordier: ReadonlySet<string> = new Set(["PASSWORD_WEAK", "NOT_ENOUGH_SEATS", "REQUEST_INVALID"]);

/** Pages that are loaded on demand bring words of their own: what they don't know they leave to the others. */
export type Teacher = (text: Text, error: ApiError) => string | undefined;
const teachers: Teacher[] = [];
export const teachRefusals = (teacher: Teacher): void => void teachers.push(teacher);

/** Times in it are those of the venue, if it is given. */
export function refusalText(text: Text, error: ApiError, venue?: Event["venue"]): string {
  const { code, details, message } = error;
  if (text.language === "en" && message && wordier.has(code)) return message;
  const meaning = Object.hasOwn(meanings, code) ? meanings[code] : undefined;
  if (meaning === undefined) {
    for (const teacher of teachers) {
      const words = teacher(text, error);
      if (words !== undefined) return words;
    }
    return message || text("refusalUnavailable");
  }
  return text(typeof meaning === "function" ? meaning(details) : meaning, factsOf(text, details, venue));
}

function factsOf(text: Text, details: Details, venue: Event["venue"] | undefined): Values {
  const at = details["opensAt"] ?? details["onSaleAt"] ?? details["refundableUntil"];
  const zone = venue?.timeZone ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
  const [limit, has = 0, free = 0] = ["limit", "has", "free"].map((name) => number(details, name));
  const own = listed(details, "own");
  const list = (names: readonly string[]) => names.join(", ");
  return {
    date: typeof at === "string" ? dateAndTime(at, zone, text.locale) : "",
    wait: waitText(text.locale, number(details, "retryAfterSeconds") ?? 0),
    fields: list(faultyFields(details).map((name) => fieldName(text, name))),
    seats: list(own.length > 0 ? own : listed(details, "seats")),
    orphans: list(listed(details, "orphans")),
    alternative: list(listed(details, "alternative")),
    sections: list(listed(details, "sections")) || String(details["section"] ?? ""),
    limit: limit ?? "",
    has,
    left: Math.max(0, (limit ?? 0) - has),
    free: number(details, "accessibleFree") ?? free,
    count: number(details, "largestGroup") ?? free,
    requestId: String(details["requestId"] ?? ""),
  };
}

const waitText = (locale: string, seconds: number): string => {
  const [value, unit] = seconds < 120 ? [Math.max(1, seconds), "second"] : [seconds / 60, "minute"];
  return new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "long" }).format(Math.ceil(value));
};

/** The names of what is wrong: the last part of a pointer into the body, or the parameter's name. */
function faultyFields({ errors }: Details): string[] {
  const named = (errors ?? []).flatMap(
    ({ pointer, parameter }) => pointer?.split("/").findLast((part) => /\D/.test(part)) ?? parameter ?? [],
  );
  return [...new Set(named)];
}

/** As the pages call them. */
const fieldNames: Readonly<Record<string, MessageKey>> = {
  email: "email",
  password: "password",
  newPassword: "accountPasswordNew",
  currentPassword: "accountPasswordNow",
  name: "name",
  q: "searchLabel",
  city: "cityLabel",
  from: "fromLabel",
  to: "toLabel",
  currency: "currencyLabel",
  priceFrom: "maxPriceLabel",
  priceTo: "maxPriceLabel",
  sort: "sortLabel",
  quantity: "bestQuantity",
  section: "sectionLabel",
};
const fieldName = (text: Text, name: string): string => {
  const key = Object.hasOwn(fieldNames, name) ? fieldNames[name] : undefined;
  return key ? text(key) : name;
};

/** By Stripe's decline code; what is not here is told in general words. */
const declines: Readonly<Record<string, MessageKey>> = {
  insufficient_funds: "declinedFunds",
  expired_card: "declinedExpired",
  incorrect_cvc: "declinedCode",
  invalid_cvc: "declinedCode",
  payment_intent_authentication_failure: "declinedApproval",
  authentication_required: "declinedApproval",
};

export function declineText(text: Text, decline: { readonly code: string; readonly message: string }): string {
  if (text.language === "en" && decline.message) return decline.message;
  return text(declines[decline.code] ?? "declinedBank");
}

/** The shop was not reached, or answered something that is not of its API. */
export const isOffline = (error: unknown): boolean => !(error instanceof ApiError) || error.code === "OFFLINE";
