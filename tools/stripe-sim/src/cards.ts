// Stripe's public test cards: which number or name does what. Of a card only brand, last four digits and expiry are kept.
// Source of numbers, names and outcomes: https://docs.stripe.com/testing
import { derivedHex64 } from "@onsale/kit/ids";
import { cardRefused, type StripeFailure } from "./failures.js";

/** What the issuer says when it refuses. */
export interface Decline {
  readonly code: "card_declined" | "expired_card" | "incorrect_cvc" | "processing_error";
  readonly declineCode?: string;
  readonly message: string;
  readonly adviceCode?: string;
  readonly networkDeclineCode?: string;
  /** Refused by Stripe's own rules before the issuer was asked. */
  readonly blocked?: boolean;
}

const declined = "Your card was declined.";

export const declines = {
  generic: {
    code: "card_declined",
    declineCode: "generic_decline",
    message: declined,
    adviceCode: "try_again_later",
    networkDeclineCode: "01",
  },
  insufficientFunds: {
    code: "card_declined",
    declineCode: "insufficient_funds",
    message: "Your card has insufficient funds.",
    adviceCode: "try_again_later",
    networkDeclineCode: "51",
  },
  lostCard: { code: "card_declined", declineCode: "lost_card", message: declined, adviceCode: "do_not_try_again" },
  stolenCard: { code: "card_declined", declineCode: "stolen_card", message: declined, adviceCode: "do_not_try_again" },
  fraudulent: { code: "card_declined", declineCode: "fraudulent", message: declined, adviceCode: "do_not_try_again" },
  blocked: { code: "card_declined", declineCode: "fraudulent", message: declined, blocked: true },
  velocity: {
    code: "card_declined",
    declineCode: "card_velocity_exceeded",
    message: "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
  },
  // The documentation gives these three no decline code.
  expiredCard: { code: "expired_card", message: "Your card has expired." },
  incorrectCvc: { code: "incorrect_cvc", message: "Your card's security code is incorrect." },
  processingError: {
    code: "processing_error",
    message: "An error occurred while processing your card. Try again in a little bit.",
  },
} as const satisfies Record<string, Decline>;

/**
 * required: on every payment. when_off_session_set_up: not when the buyer is away. when_asked: if the payment asks for
 * it by request_three_d_secure. not_enrolled and unsupported: never.
 */
type Authentication = "required" | "when_off_session_set_up" | "when_asked" | "not_enrolled" | "unsupported";

export interface Behaviour {
  readonly authentication: Authentication;
  readonly decline?: Decline;
  /** Refused although the buyer approved. */
  readonly declineAfterAuthentication?: Decline;
  readonly riskLevel?: "elevated" | "highest";
  readonly cvcCheck?: "fail" | "unchecked";
  /** How refunds to it go: later, or given back to us after all. */
  readonly refund?: "pending" | "fails";
  /** Disputed by its holder after the payment. inquiry: the bank only asks. */
  readonly dispute?: { readonly reason: "fraudulent" | "product_not_received"; readonly inquiry: boolean };
}

interface TestCard extends Partial<Behaviour> {
  readonly number: string;
  /** As in pm_card_<name> and tok_<name>; some numbers have none. */
  readonly names: readonly string[];
  readonly country?: string;
  readonly funding?: "credit" | "debit" | "prepaid";
}

const testCards: readonly TestCard[] = [
  { number: "4242424242424242", names: ["visa", "us"] },
  { number: "4000056655665556", names: ["visa_debit"], funding: "debit" },
  { number: "5555555555554444", names: ["mastercard"], authentication: "not_enrolled" },
  { number: "2223003122003222", names: [] },
  { number: "5200828282828210", names: ["mastercard_debit"], funding: "debit" },
  { number: "5105105105105100", names: ["mastercard_prepaid"], funding: "prepaid" },
  { number: "378282246310005", names: ["amex", "amex_threeDSecureNotSupported"], authentication: "unsupported" },
  { number: "371449635398431", names: [], authentication: "unsupported" },
  { number: "6011111111111117", names: ["discover"] },
  { number: "6011000990139424", names: [] },
  { number: "6011981111111113", names: [], funding: "debit" },
  { number: "3056930009020004", names: ["diners"] },
  { number: "36227206271667", names: [] },
  { number: "3566002020360505", names: ["jcb"], country: "JP" },
  { number: "6200000000000005", names: ["unionpay"], country: "CN" },

  { number: "4000000760000002", names: ["br"], country: "BR" },
  { number: "4000001240000000", names: ["ca"], country: "CA" },
  { number: "4000004840008001", names: ["mx"], country: "MX" },
  { number: "4000000400000008", names: ["at"], country: "AT" },
  { number: "4000000560000004", names: ["be"], country: "BE" },
  { number: "4000002080000001", names: ["dk"], country: "DK" },
  { number: "4000002460000001", names: ["fi"], country: "FI" },
  { number: "4000002500000003", names: ["fr"], country: "FR" },
  { number: "4000002760000016", names: ["de"], country: "DE" },
  { number: "4000003720000005", names: ["ie"], country: "IE" },
  { number: "4000003800000008", names: ["it"], country: "IT" },
  { number: "4000004420000006", names: ["lu"], country: "LU" },
  { number: "4000005280000002", names: ["nl"], country: "NL" },
  { number: "4000005780000007", names: ["no"], country: "NO" },
  { number: "4000006160000005", names: ["pl"], country: "PL" },
  { number: "4000006200000007", names: ["pt"], country: "PT" },
  { number: "4000007240000007", names: ["es"], country: "ES" },
  { number: "4000007520000008", names: ["se"], country: "SE" },
  { number: "4000007560000009", names: ["ch"], country: "CH" },
  { number: "4000008260000000", names: ["gb"], country: "GB" },
  { number: "4000000360000006", names: ["au"], country: "AU" },
  { number: "4000003920000003", names: ["jp"], country: "JP" },

  { number: "4000000000000002", names: ["chargeDeclined", "visa_chargeDeclined"], decline: declines.generic },
  {
    number: "4000000000009995",
    names: ["chargeDeclinedInsufficientFunds", "visa_chargeDeclinedInsufficientFunds"],
    decline: declines.insufficientFunds,
  },
  {
    number: "4000000000009987",
    names: ["chargeDeclinedLostCard", "visa_chargeDeclinedLostCard"],
    decline: declines.lostCard,
  },
  {
    number: "4000000000009979",
    names: ["chargeDeclinedStolenCard", "visa_chargeDeclinedStolenCard"],
    decline: declines.stolenCard,
  },
  { number: "4000000000000069", names: ["chargeDeclinedExpiredCard"], decline: declines.expiredCard },
  { number: "4000000000000127", names: ["chargeDeclinedIncorrectCvc"], decline: declines.incorrectCvc },
  { number: "4000000000000119", names: ["chargeDeclinedProcessingError"], decline: declines.processingError },
  {
    number: "4000000000006975",
    names: ["chargeDeclinedVelocityLimitExceeded", "visa_chargeDeclinedVelocityLimitExceeded"],
    decline: declines.velocity,
  },
  // Can be stored, can't be charged.
  { number: "4000000000000341", names: ["chargeCustomerFail"], decline: declines.generic },

  { number: "4100000000000019", names: ["radarBlock"], decline: declines.blocked, riskLevel: "highest" },
  { number: "4000000000004954", names: ["riskLevelHighest"], decline: declines.blocked, riskLevel: "highest" },
  { number: "4000000000009235", names: ["riskLevelElevated"], riskLevel: "elevated" },
  { number: "4000000000000101", names: ["cvcCheckFail"], cvcCheck: "fail" },
  { number: "4000000000000077", names: ["bypassPending"] },
  { number: "4000003720000278", names: [], country: "IE" },
  { number: "4000000000007726", names: ["pendingRefund"], refund: "pending" },
  { number: "4000000000005126", names: ["refundFail"], refund: "fails" },
  { number: "4000000000000259", names: ["createDispute"], dispute: { reason: "fraudulent", inquiry: false } },
  {
    number: "4000000000002685",
    names: ["createDisputeProductNotReceived"],
    dispute: { reason: "product_not_received", inquiry: false },
  },
  { number: "4000000000001976", names: ["createDisputeInquiry"], dispute: { reason: "fraudulent", inquiry: true } },

  {
    number: "4000002500003155",
    names: ["authenticationRequiredOnSetup"],
    country: "FR",
    authentication: "required",
  },
  { number: "4000002760003184", names: ["authenticationRequired"], country: "DE", authentication: "required" },
  {
    number: "4000003800000446",
    names: ["authenticationRequiredSetupForOffSession"],
    country: "IT",
    authentication: "when_off_session_set_up",
  },
  {
    number: "4000008260003178",
    names: ["authenticationRequiredChargeDeclinedInsufficientFunds"],
    country: "GB",
    authentication: "required",
    declineAfterAuthentication: declines.insufficientFunds,
  },
  { number: "4000000000003220", names: ["threeDSecure2Required"], authentication: "required" },
  { number: "4000000000003063", names: ["threeDSecureRequired"], authentication: "required" },
  {
    number: "4000008400001629",
    names: ["threeDSecureRequiredChargeDeclined"],
    authentication: "required",
    declineAfterAuthentication: declines.generic,
  },
  {
    number: "4000008400001280",
    names: ["threeDSecureRequiredProcessingError"],
    decline: declines.generic,
    authentication: "not_enrolled",
  },
  { number: "4000000000003055", names: ["threeDSecureOptional"], authentication: "when_asked" },
  { number: "4000000000003097", names: ["threeDSecureOptionalProcessingError"], authentication: "not_enrolled" },
  { number: "4000582600000094", names: [], country: "GB", authentication: "required" },
  { number: "4000582600000045", names: [], country: "GB", authentication: "required" },
];

/** What a stored payment method remembers of its test card. */
function keyOf(card: TestCard): string {
  return card.names[0] ?? `ending in ${card.number.slice(-4)}`;
}

const byKey = new Map(testCards.map((card) => [keyOf(card), card]));
const byName = new Map(testCards.flatMap((card) => card.names.map((name) => [name, card] as const)));
const byNumber = new Map(testCards.map((card) => [card.number, card]));

/** The documented numbers, for tests and the card page's hints. */
export const testCardNumbers: readonly string[] = testCards.map(({ number }) => number);
export const testCardNames: readonly string[] = [...byName.keys()];

/** What is kept of a card. */
export interface StoredCard {
  readonly brand: string;
  readonly last4: string;
  readonly expMonth: number;
  readonly expYear: number;
  readonly country: string;
  readonly funding: string;
  /** Equal for equal cards; made of what is kept here, so that no number can be found from it. */
  readonly fingerprint: string;
  /** Which test card it is. */
  readonly key: string;
  readonly cvcGiven: boolean;
}

export interface BillingDetails {
  readonly email?: string;
  readonly name?: string;
  readonly phone?: string;
  readonly address?: Readonly<Record<string, string>>;
}

export interface Method {
  readonly id: string;
  readonly created: number;
  readonly card: StoredCard;
  readonly billing: BillingDetails;
  readonly metadata: Readonly<Record<string, string>>;
  /** A payment method that belongs to no customer serves one payment attempt. */
  readonly used: boolean;
}

export function behaviourOf(card: StoredCard): Behaviour {
  const { authentication = "not_enrolled", ...rest } = byKey.get(card.key)!;
  return { ...rest, authentication };
}

/** The card behind pm_card_visa (prefix "pm_card_") or tok_visa (prefix "tok_"). It expires at the end of next year. */
export function cardOfName(id: string, prefix: "pm_card_" | "tok_", now: number): StoredCard | undefined {
  const card = id.startsWith(prefix) ? byName.get(id.slice(prefix.length)) : undefined;
  if (card === undefined) return undefined;
  return stored(card, { expMonth: 12, expYear: new Date(now).getUTCFullYear() + 1, cvcGiven: false });
}

export interface TypedCard {
  readonly number: string;
  readonly expMonth: number;
  readonly expYear: number;
  readonly cvc?: string;
}

/** Checks a typed card as Stripe does before it asks anyone, and forgets its number and code. `now` in milliseconds. */
export function readCard(typed: TypedCard, now: number): StoredCard | StripeFailure {
  const number = typed.number.replace(/[\s-]/g, "");
  if (!/^\d{12,19}$/.test(number))
    return cardRefused("invalid_number", "The card number is not a valid credit card number.", { param: "number" });
  if (!luhn(number)) return cardRefused("incorrect_number", "Your card number is incorrect.", { param: "number" });
  const expYear = typed.expYear < 100 ? 2000 + typed.expYear : typed.expYear;
  if (typed.expMonth < 1 || typed.expMonth > 12)
    return cardRefused("invalid_expiry_month", "Your card's expiration month is invalid.", { param: "exp_month" });
  const today = new Date(now);
  const thisYear = today.getUTCFullYear();
  if (expYear < thisYear || expYear > thisYear + 50)
    return cardRefused("invalid_expiry_year", "Your card's expiration year is invalid.", { param: "exp_year" });
  if (expYear === thisYear && typed.expMonth < today.getUTCMonth() + 1)
    return cardRefused("invalid_expiry_month", "Your card's expiration month is invalid.", { param: "exp_month" });
  const cvcLength = brandOf(number) === "amex" ? 4 : 3;
  if (typed.cvc !== undefined && !new RegExp(`^\\d{${cvcLength}}$`).test(typed.cvc))
    return cardRefused("invalid_cvc", "Your card's security code is invalid.", { param: "cvc" });
  const card = byNumber.get(number);
  if (card === undefined)
    return cardRefused(
      "card_declined",
      "Your card was declined. Your request was in test mode, but used a non test card. For a list of valid test cards, visit: https://stripe.com/docs/testing.",
      { decline_code: "test_mode_live_card" },
    );
  return stored(card, { expMonth: typed.expMonth, expYear, cvcGiven: typed.cvc !== undefined });
}

function stored(
  card: TestCard,
  entered: { readonly expMonth: number; readonly expYear: number; readonly cvcGiven: boolean },
): StoredCard {
  const brand = brandOf(card.number);
  const last4 = card.number.slice(-4);
  const key = keyOf(card);
  return {
    brand,
    last4,
    ...entered,
    country: card.country ?? "US",
    funding: card.funding ?? "credit",
    fingerprint: derivedHex64("card", brand, last4, key),
    key,
  };
}

export function brandOf(number: string): string {
  if (/^4/.test(number)) return "visa";
  if (/^(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/.test(number)) return "mastercard";
  if (/^3[47]/.test(number)) return "amex";
  if (/^(?:6011|65|64[4-9])/.test(number)) return "discover";
  if (/^3(?:0[0-5]|[689])/.test(number)) return "diners";
  if (/^35/.test(number)) return "jcb";
  if (/^62/.test(number)) return "unionpay";
  return "unknown";
}

/** The check digit of card numbers, ISO/IEC 7812-1. */
export function luhn(number: string): boolean {
  let sum = 0;
  for (let at = 0; at < number.length; at += 1) {
    const digit = Number(number[number.length - 1 - at]);
    const weighted = at % 2 === 1 ? digit * 2 : digit;
    sum += weighted > 9 ? weighted - 9 : weighted;
  }
  return sum % 10 === 0;
}

export const usedBefore =
  "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with a connected account without Customer attachment, or was detached from a Customer. It may not be used again. To use a PaymentMethod multiple times, you must attach it to a Customer first.";
