// What the books may find: each kind of difference with its cause in words, and who can mend it. Pure.
import type { BooksCause, BooksFinding } from "../contract.js";

interface Known {
  readonly because: string;
  /** itself: this run has the payment asked again and told to its order, or the next `findOrphans` settles it. */
  readonly who: BooksFinding["who"];
  /** Stripe's word is to be taken to the order anew. */
  readonly follow?: true;
}

export const causes: Readonly<Record<BooksCause, Known>> = {
  captured_without_order: {
    because:
      "Stripe has taken this money, and there is no order for it. findOrphans issues the tickets or gives it back.",
    who: "itself",
  },
  captured_twice: {
    because: "A second payment of this checkout was captured at Stripe. Give it back in Stripe's dashboard.",
    who: "person",
  },
  captured_amount_differs: {
    because: "What Stripe has taken is not what the order costs.",
    who: "person",
  },
  currency_differs: { because: "Stripe has taken another currency than the order's.", who: "person" },
  order_not_captured: {
    because: "There is an order with tickets, and Stripe has not taken the money for it.",
    who: "person",
  },
  order_without_payment: {
    because: "There is an order with tickets, and Stripe has no payment for it.",
    who: "person",
  },
  order_inconsistent: {
    because: "The order does not add up: its seats' prices, or its refunds and whose money they are.",
    who: "person",
  },
  authorization_left: {
    because:
      "Money is reserved at Stripe that nothing will take. findOrphans releases what a record of ours knows; the rest lapses by itself after seven days.",
    who: "itself",
  },
  record_missing: {
    because: "Stripe has a payment that names this checkout, and the payment service knows none of it.",
    who: "person",
  },
  record_differs: {
    because: "The payment's record was behind Stripe (a lost webhook). Stripe was asked again, and the order is told.",
    who: "itself",
    follow: true,
  },
  record_contradicts: {
    because: "The payment's record says what can't follow from what Stripe says. Somebody has changed one of them.",
    who: "person",
  },
  intent_unknown: {
    because: "The payment's record names a PaymentIntent that this Stripe account does not have.",
    who: "stripe",
  },
  refund_unknown: {
    because: "Stripe has a refund that the order does not know (a lost webhook). The order is told.",
    who: "itself",
    follow: true,
  },
  refund_not_at_stripe: {
    because: "The order says that this money went back, and Stripe has no such refund.",
    who: "person",
  },
  refund_amount_differs: { because: "Stripe has given back another amount than the order says.", who: "person" },
  refund_failed_unnoticed: {
    because: "The bank sent this refund back, and the order takes it for paid. The order is told, and owes it.",
    who: "itself",
    follow: true,
  },
  refund_state_differs: {
    because:
      "Stripe has given this back, and the order says that it is still owed or was paid another way: it may go back twice.",
    who: "person",
  },
  refund_unfinished: {
    because: "A refund was set aside, and no workflow goes on with it. findOrphans begins it again.",
    who: "itself",
  },
  dispute_unknown: {
    because: "Stripe's word on a dispute has not reached the order (a lost webhook). The order is told.",
    who: "itself",
    follow: true,
  },
  dispute_differs: { because: "The order counts a dispute as lost that is not lost at Stripe.", who: "stripe" },
  ticket_missing: { because: "A seat of the order has no ticket.", who: "person" },
  ticket_without_order: {
    because: "There is a ticket, and its order has no such seat or does not exist.",
    who: "person",
  },
  ticket_valid_after_refund: { because: "A ticket is valid although its seat was given back.", who: "person" },
  ticket_without_money: { because: "A ticket is valid although all of its order's money went back.", who: "person" },
  ticket_void_without_reason: {
    because: "A ticket is void, its money is kept, and no refund or void of the order says why.",
    who: "person",
  },
  seat_not_claimed: { because: "A ticket is valid, and its seat is not claimed: it may be sold again.", who: "person" },
  seat_claimed_after_void: {
    because: "A seat is claimed although its ticket is void. findOrphans frees it.",
    who: "itself",
  },
  claim_without_order: {
    because:
      "A checkout has claimed seats that no order of it has. findOrphans frees those of a checkout without an order.",
    who: "itself",
  },
};

export const booksCauses = Object.keys(causes) as readonly BooksCause[];
