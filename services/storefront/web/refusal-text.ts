// What a refusal of the API means, in the reader's language. What is not listed here is said in the API's own words.
import { ApiError, type Event } from "./api/client.js";
import { dateAndTime } from "./format.js";
import type { MessageKey, Text } from "./text.js";

const meanings: Readonly<Record<string, MessageKey>> = {
  RATE_LIMITED: "refusalRateLimited",
  TOO_MANY_ATTEMPTS: "refusalTooManyAttempts",
  CREDENTIALS_INVALID: "refusalCredentials",
  EMAIL_TAKEN: "refusalEmailTaken",
  SALE_NOT_OPEN: "refusalSaleNotOpen",
  SALE_ENDED: "refusalSaleEnded",
  SEAT_LIMIT_EXCEEDED: "refusalLimit",
  SEAT_ORPHANED: "refusalOrphan",
  SEAT_ACCESSIBLE: "refusalAccessible",
  LAYOUT_CHANGED: "layoutChanged",
  ACCESS_CODE_INVALID: "refusalCode",
  CHANNEL_NOT_OPEN: "refusalCodeEarly",
  CHANNEL_ENDED: "codeIsOver",
  CODE_LIMIT_EXCEEDED: "refusalCodeLimit",
  SEAT_NOT_IN_CHANNEL: "refusalCodeSeats",
  HOLD_EXPIRED: "refusalExpired",
  CHECKOUT_EXPIRED: "refusalExpired",
  CHECKOUT_BUSY: "refusalBusy",
  CHECKOUT_COMPLETED: "refusalCompleted",
  CHECKOUT_CANCELLED: "refusalCancelled",
  REFUND_NOT_ALLOWED: "refusalRefundLate",
  EVENT_CANCELLED: "eventCancelled",
  UNAVAILABLE: "refusalUnavailable",
  DEADLINE_EXCEEDED: "refusalUnavailable",
};

/** Here the API's English says more than these words: which characters, how many seats are left. */
const wordier: Readonly<Record<string, MessageKey>> = {
  PASSWORD_WEAK: "refusalPasswordWeak",
  NOT_ENOUGH_SEATS: "refusalNotEnough",
};

/** Times in it are those of the venue, if it is given. */
export function refusalText(text: Text, error: ApiError, venue?: Event["venue"]): string {
  const { code, details, message } = error;
  const key = meanings[code] ?? (text.language === "en" && message ? undefined : wordier[code]);
  if (key === undefined) return message || text("refusalUnavailable");
  const at = details["opensAt"] ?? details["onSaleAt"];
  const date =
    typeof at === "string"
      ? dateAndTime(at, venue?.timeZone ?? Intl.DateTimeFormat().resolvedOptions().timeZone, text.locale)
      : "";
  return text(key, { date, limit: String(details["limit"] ?? "") });
}

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
