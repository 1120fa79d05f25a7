// Why a card was declined, in a sentence for the buyer that says what to do next. Pure.

const anotherCard = "Please use another card, or ask your bank.";

/**
 * Stripe's decline codes (docs.stripe.com/declines/codes) that a buyer can act on. What is missing here is told in
 * general words.
 */
const sentences: Readonly<Record<string, string>> = {
  authentication_required: "Your bank wants you to approve this payment. Please try again and follow its steps.",
  payment_intent_authentication_failure:
    "Your bank did not confirm that it is you. Nothing was charged. Please try again, or use another card.",
  approve_with_id: `Your bank could not approve the payment just now. Please try once more. If that fails: ${anotherCard}`,
  call_issuer: "Your bank declined the card. Please call it, or use another card.",
  card_not_supported: "This card can't be used for this kind of purchase. Please use another card.",
  card_velocity_exceeded: `The card's limit is reached. ${anotherCard}`,
  currency_not_supported: "This card can't pay in this currency. Please use another card.",
  expired_card: "The card has expired. Please use another card.",
  incorrect_cvc: "The card's security code is wrong. Please check it and try again.",
  invalid_cvc: "The card's security code is wrong. Please check it and try again.",
  incorrect_number: "The card number is wrong. Please check it and try again.",
  invalid_number: "The card number is wrong. Please check it and try again.",
  incorrect_zip: "The postal code does not match the card. Please check it and try again.",
  incorrect_address: "The address does not match the card. Please check it and try again.",
  invalid_expiry_month: "The card's expiry date is wrong. Please check it and try again.",
  invalid_expiry_year: "The card's expiry date is wrong. Please check it and try again.",
  insufficient_funds: "There is not enough money on the card. Please use another card.",
  withdrawal_count_limit_exceeded: `The card's limit is reached. ${anotherCard}`,
  issuer_not_available: "Your bank could not be reached. Please try again in a moment.",
  try_again_later: "Your bank could not decide just now. Please try again in a moment.",
  processing_error: "Something went wrong while the card was processed. Please try again in a moment.",
  reenter_transaction: "Your bank could not process the payment. Please try again.",
  testmode_decline: "This is a test card, and test cards can't pay here. Please use a real card.",
};

/** Stripe asks not to tell these apart from any other decline: whoever holds the card may not be its owner. */
const kept: ReadonlySet<string> = new Set([
  "fraudulent",
  "lost_card",
  "stolen_card",
  "pickup_card",
  "merchant_blacklist",
  "restricted_card",
  "security_violation",
  "stop_payment_order",
]);

export interface ToldDecline {
  readonly code: string;
  readonly message: string;
}

/** What the buyer may be told. */
export function tellDecline(code: string): ToldDecline {
  const told = kept.has(code) ? "generic_decline" : code;
  const known = Object.hasOwn(sentences, told) ? sentences[told] : undefined;
  return { code: told, message: known ?? `The card was declined, and nothing was charged. ${anotherCard}` };
}
