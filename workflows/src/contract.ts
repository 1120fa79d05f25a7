// What others know of the workflows: names, ids, inputs, answers. Plain data only: shared by workflow code and its callers.
import { formatMoney } from "@onsale/kit/money";

export const checkoutTaskQueue = "checkout";

/** Search attributes, all of type Keyword, registered by `registerSearchAttributes` before the first start. */
export const searchAttributes = {
  eventId: "OnsaleEventId",
  accountId: "OnsaleAccountId",
  status: "OnsaleStatus",
} as const;

export const workflowTypes = {
  checkout: "checkout",
  refund: "refund",
  settleLatePayment: "settleLatePayment",
  findOrphans: "findOrphans",
  openDispute: "openDispute",
  followPayment: "followPayment",
  failedRefund: "failedRefund",
  reconcileInventory: "reconcileInventory",
  closeBooks: "closeBooks",
  cancelEvent: "cancelEvent",
} as const;

/** The header with { traceparent } (W3C) of whoever started, updated or called: the name that Temporal's own tracing has for it. */
export const traceHeader = "_tracer-data";

export const checkoutWorkflowId = (checkoutId: string): string => `checkout-${checkoutId}`;
export const refundWorkflowId = (refundId: string): string => `refund-${refundId}`;
export const cancelEventWorkflowId = (eventId: string): string => `cancel-${eventId}`;
/** The refund of what is left of an order when its event is cancelled. One a checkout. */
export const cancelledEventRefundId = (checkoutId: string): string => `event-cancelled-${checkoutId}`;
/** The tickets of an order whose money can't go back, when its event is cancelled. One a checkout. */
export const cancelledEventVoidId = (checkoutId: string): string => `event-cancelled-void-${checkoutId}`;
/** The Temporal Schedule that compares seats with claims. A worker with a task queue of its own has one of its own. */
export const reconcileScheduleId = (taskQueue: string): string =>
  taskQueue === checkoutTaskQueue ? "reconcile-inventory" : `reconcile-inventory-${taskQueue}`;
export const latePaymentWorkflowId = (checkoutId: string): string => `late-payment-${checkoutId}`;
/** Takes what Stripe says of an order's money to the order: refunds made there, refunds sent back, disputes. */
export const followPaymentWorkflowId = (checkoutId: string, stripeEventId: string): string =>
  `follow-payment-${checkoutId}-${stripeEventId}`;
/** A refund that the bank sent back: it runs for as long as a person has to see to it. */
export const failedRefundWorkflowId = (refundId: string): string => `refund-failed-${refundId}`;

/** Update `submitPayment`(SubmitPayment) → CheckoutView. Rejected (ApplicationFailure whose type is a RefusalCode) when late, busy or done. */
export const submitPaymentUpdate = "submitPayment";
/** Update `cancel`() → CheckoutView. Rejected when paid or being paid; a buyer who gives up at 3-D Secure may cancel. */
export const cancelUpdate = "cancel";
/** Signal: Stripe said something about this checkout's payment; the workflow asks the payment service what is true now. */
export const paymentChangedSignal = "paymentChanged";
/** A dispute at the buyer's bank: it runs until that is decided. */
export const disputeWorkflowId = (disputeId: string): string => `dispute-${disputeId}`;
/** The Temporal Schedule that looks for what belongs to nothing. A worker with a task queue of its own has one of its own. */
export const orphansScheduleId = (taskQueue: string): string =>
  taskQueue === checkoutTaskQueue ? "find-orphans" : `find-orphans-${taskQueue}`;

/** The Temporal Schedule that closes the books each night. A worker with a task queue of its own has one of its own. */
export const booksScheduleId = (taskQueue: string): string =>
  taskQueue === checkoutTaskQueue ? "close-books" : `close-books-${taskQueue}`;
/** One that somebody asked for. */
export const booksWorkflowId = (booksId: string): string => `books-${booksId}`;

/** Signal to `openDispute`: Stripe said something about it. */
export const disputeChangedSignal = "disputeChanged";
/** Signal to `failedRefund`: somebody has asked for the money again, or has paid it another way. It looks at the order then. */
export const refundSeenToSignal = "refundSeenTo";
/**
 * Is a checkout in this status waiting for Stripe's word? Webhooks come for every payment, and each signal costs four
 * history events: signal only then. A word that comes too early to be signalled is found by the workflow's own polling.
 */
export const awaitsPaymentSignal = (status: CheckoutStatus): boolean => status === "requires_action";
/** Query → CheckoutView. */
export const checkoutQuery = "checkout";

export const checkoutStatuses = [
  "held",
  "paying",
  "requires_action",
  "completed",
  "expired",
  "cancelled",
  "refunded",
] as const;
export type CheckoutStatus = (typeof checkoutStatuses)[number];

export interface CheckoutSeat {
  readonly seatId: string;
  readonly sectionId: string;
  /** Empty in general admission. */
  readonly row: string;
  readonly number: string;
  readonly tierId: string;
  /** Minor units. */
  readonly amount: number;
}

/** The event as it goes on the ticket. */
export interface CheckoutEvent {
  readonly eventId: string;
  readonly name: string;
  readonly startsAtMs: number;
  readonly venueName: string;
  readonly city: string;
  readonly timeZone: string;
}

/**
 * The workflow's input: the hold that was won. No personal data: it stays in histories. Encrypted, where there are keys; what
 * is a bare string, as ids and summaries are, is never encrypted (kit/src/payload-encryption.ts).
 */
export interface CheckoutInput {
  readonly checkoutId: string;
  readonly accountId: string;
  readonly event: CheckoutEvent;
  readonly holdId: string;
  readonly epoch: number;
  /** By the seat store's clock. */
  readonly deadlineMs: number;
  readonly seats: readonly CheckoutSeat[];
  readonly amount: number;
  readonly currency: string;
  /** How long a payment in flight at the deadline may take to tell its outcome. */
  readonly graceMs: number;
}

export interface SubmitPayment {
  /** Stripe's id, pm_… */
  readonly paymentMethodId: string;
  /** Where Stripe sends the buyer after 3-D Secure. */
  readonly returnUrl: string;
}

export interface CheckoutView {
  readonly checkoutId: string;
  readonly accountId: string;
  readonly eventId: string;
  readonly status: CheckoutStatus;
  readonly deadlineMs: number;
  readonly seats: readonly CheckoutSeat[];
  readonly amount: number;
  readonly currency: string;
  /** Why the last payment was declined, in Stripe's words and ours. The buyer may try again while status is held. */
  readonly decline?: { readonly code: string; readonly message: string };
  /** Why it ended without tickets, when it did: one of `endReasons`, or the code of the refusal that ended it (SEAT_TAKEN, …). */
  readonly reason?: string;
  readonly ticketIds: readonly string[];
}

/** return: seats and their money; goodwill: money, and the tickets stay; void: tickets, and the money stays. */
export const refundKinds = ["return", "goodwill", "void"] as const;
export type RefundKind = (typeof refundKinds)[number];

/** Something of an order is given back: money first, then tickets, then seats. What may go back, the ticket service decides. */
export interface RefundInput {
  readonly refundId: string;
  readonly checkoutId: string;
  readonly accountId: string;
  readonly eventId: string;
  /** Empty: all whose tickets are valid. */
  readonly seatIds: readonly string[];
  /** Minor units; 0: all that is left of the seats' money. */
  readonly amount: number;
  /** Of refunds that began before there were kinds. */
  readonly again?: boolean;
  /** Absent: return. */
  readonly kind?: RefundKind;
  /** In the words of whoever asked. */
  readonly reason?: string;
  /** The id of a refund that failed, and whose money this one pays. */
  readonly insteadOf?: string;
  readonly requestedBy: string;
}

export interface RefundResult {
  readonly refundId: string;
  readonly checkoutId: string;
  readonly amount: number;
  /** Whose tickets are void. */
  readonly seatIds: readonly string[];
  /** failed: the bank did not take the money; a person sees to it. Absent: paid. */
  readonly outcome?: "paid" | "failed";
}

/** Stripe said something about money that an order stands on. */
export interface FollowPaymentInput {
  readonly checkoutId: string;
}

export interface FailedRefundInput {
  readonly refundId: string;
  readonly checkoutId: string;
  readonly accountId: string;
  readonly eventId: string;
  readonly amount: number;
  readonly currency: string;
}

/** An event is off the sale for good, and every order of it is given back. */
export interface CancelEventInput {
  readonly eventId: string;
  readonly requestedBy: string;
  /** How long it takes until no process sells its seats any more: what was sold until then is given back too. */
  readonly settleMs: number;
  /** What earlier runs of the same cancellation have come to; absent in the first. */
  readonly soFar?: CancelEventResult;
}

export interface CancelEventResult {
  /** Orders that were given back. */
  readonly refunded: number;
  /** Orders whose seats are free and whose buyers are still owed money: a person sees to them. At most 100 are named. */
  readonly owed?: readonly { readonly checkoutId: string; readonly because: string }[];
}

export interface SettleLatePaymentInput {
  readonly checkoutId: string;
  /** Where its seats are, for a checkout that may have no payment to tell. */
  readonly eventId?: string;
}

/** What was done about money or seats of a checkout that has no order and does not run. */
export interface SettleLatePaymentResult {
  readonly checkoutId: string;
  /**
   * nothing: no money, or an order stands for it, or the checkout still runs and settles it itself. finished: the money was taken and the
   * seats are its own, so its tickets were issued. person: it can't be settled without one.
   */
  readonly action: "nothing" | "cancelled" | "refunded" | "finished" | "person";
  /** What was given back, in minor units. */
  readonly amount: number;
  /** One sentence for operators. */
  readonly because: string;
}

export interface DisputeInput {
  readonly disputeId: string;
  readonly checkoutId: string;
  readonly accountId: string;
  readonly eventId: string;
  readonly amount: number;
  readonly currency: string;
  /** Stripe's word. */
  readonly reason: string;
  /** Until when evidence is taken; 0: none is. */
  readonly evidenceDueMs: number;
}

/** How long something must have been standing alone before it counts as an orphan. */
export interface FindOrphansInput {
  readonly settledAfterMs: number;
}

/** What one search for orphans came to: claims, payments, refunds and cancellations that no workflow looks after any more. */
export interface FindOrphansResult {
  /** The next search begins here. Epoch milliseconds. */
  readonly lookedUntilMs: number;
  readonly looked: number;
  /** Those that were taken up and put right, or are about to be. */
  readonly mended: number;
  /** Checkouts that need a person, with the reason; at most 100. */
  readonly forAPerson: readonly { readonly checkoutId: string; readonly because: string }[];
}

/** How the books are closed unless somebody says otherwise: more than a day back, so that nights overlap. */
export const usualBooks = { windowMs: 26 * 60 * 60_000, settledAfterMs: 15 * 60_000 } as const;

export interface CloseBooksInput {
  /** What changed since then may be under way still, and is no finding. */
  readonly settledAfterMs: number;
  /** So far back from its end; absent, and no time chosen: everything. */
  readonly windowMs?: number;
  /** A time that somebody chose. Epoch milliseconds. */
  readonly sinceMs?: number;
  readonly beforeMs?: number;
}

export type BooksCause =
  | "captured_without_order"
  | "captured_twice"
  | "captured_amount_differs"
  | "currency_differs"
  | "order_not_captured"
  | "order_without_payment"
  | "order_inconsistent"
  | "authorization_left"
  | "record_missing"
  | "record_differs"
  | "record_contradicts"
  | "intent_unknown"
  | "refund_unknown"
  | "refund_not_at_stripe"
  | "refund_amount_differs"
  | "refund_failed_unnoticed"
  | "refund_state_differs"
  | "refund_unfinished"
  | "dispute_unknown"
  | "dispute_differs"
  | "ticket_missing"
  | "ticket_without_order"
  | "ticket_valid_after_refund"
  | "ticket_without_money"
  | "ticket_void_without_reason"
  | "seat_not_claimed"
  | "seat_claimed_after_void"
  | "claim_without_order";

/** A difference between two of the books. */
export interface BooksFinding {
  readonly cause: BooksCause;
  /** Who can mend it. itself: nobody has to, the next run says whether it was. */
  readonly who: "itself" | "person" | "stripe";
  readonly checkoutId: string;
  /** What it is about: a PaymentIntent, a refund, a dispute, seats. */
  readonly about: readonly string[];
  /** At stake, in minor units; 0: no money is. */
  readonly amount: number;
  readonly currency: string;
}

/**
 * The money of one currency, in minor units. What was captured is what tickets cost, what was kept, what went back and what is owed; the
 * difference is what nothing explains, and 0 when there is no finding.
 */
export interface BooksFigures {
  readonly currency: string;
  /** With money captured. */
  readonly payments: number;
  readonly captured: number;
  /** What valid tickets cost, less goodwill. */
  readonly tickets: number;
  /** Of void tickets: fees, and money that stayed. Below 0: more went back than was paid. */
  readonly kept: number;
  /** By Stripe, sent or on their way. */
  readonly refunds: number;
  /** Lost to banks. */
  readonly disputes: number;
  /** Refunds that banks sent back. */
  readonly owed: number;
  /** Refunds that were paid another way than by Stripe. */
  readonly paidElsewhere: number;
  /** For refunds that are not at Stripe yet. */
  readonly setAside: number;
  readonly difference: number;
  /** Of captured: what disputes that are not decided keep from us. */
  readonly held: number;
}

/** What one closing of the books came to. */
export interface CloseBooksResult {
  /** usual: as the schedule does it. everything, chosen: somebody asked for that. */
  readonly scope: "usual" | "everything" | "chosen";
  readonly sinceMs: number;
  readonly beforeMs: number;
  /** Checkouts that were compared. */
  readonly compared: number;
  readonly figures: readonly BooksFigures[];
  /** Of all findings. */
  readonly causes: Readonly<Partial<Record<BooksCause, number>>>;
  /** At most 100 are named. */
  readonly findings: readonly BooksFinding[];
  /** Differences of checkouts that are under way: no findings, and their money is in no figure. At most 100 are named. */
  readonly inFlight: { readonly count: number; readonly checkoutIds: readonly string[] };
  /** Stripe's objects that name no checkout: somebody else's who has the same account. */
  readonly foreign: number;
}

/** What one comparison of the seats in Valkey with the claims in MongoDB came to. */
export interface ReconcileResult {
  readonly events: number;
  readonly seats: number;
  /** Seats that were put right. */
  readonly corrected: number;
  /** Events that could not be compared, because their seats are being restored or their server does not answer. */
  readonly unavailable: number;
}

/** Why a checkout ended without tickets, besides the codes of refusals. */
export const endReasons = {
  /** Nobody paid in time. */
  timeUp: "CHECKOUT_EXPIRED",
  buyerCancelled: "BUYER_CANCELLED",
  /** Someone pressed Cancel in the Temporal Web UI. */
  operatorCancelled: "OPERATOR_CANCELLED",
  /** The authorization was gone when it was to be captured, or before. */
  paymentGone: "PAYMENT_STATE_CONFLICT",
} as const;

/** The refund that returns money captured for a checkout that could not get its tickets. One a checkout. */
export const undeliveredRefundId = (checkoutId: string): string => `undelivered-${checkoutId}`;

// ---- what the Temporal Web UI shows of a checkout from its start; the starter passes them as staticSummary/staticDetails

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** "3 seats · The Night Ferry · EUR 148.50" */
export function checkoutSummary({ seats, event, amount, currency }: CheckoutInput): string {
  return [counted(seats.length, "seat"), plain(event.name), formatMoney({ amount, currency })].join(" · ");
}

/** Markdown: what is bought, where and when, for how much, until when. */
export function checkoutDetails(input: CheckoutInput): string {
  const { event, seats, amount, currency, deadlineMs } = input;
  const price = (minor: number) => formatMoney({ amount: minor, currency });
  return [
    `**${plain(event.name)}**, ${plain(event.venueName)}, ${plain(event.city)}, ${isoMinute(event.startsAtMs)} UTC`,
    "",
    "| seat | section | row | number | tier | price |",
    "|---|---|---|---|---|---|",
    ...seats.map(
      (seat) =>
        `| ${[seat.seatId, seat.sectionId, seat.row, seat.number, seat.tierId].map(plain).join(" | ")} | ${price(seat.amount)} |`,
    ),
    "",
    `Total **${price(amount)}**. Held until ${new Date(deadlineMs).toISOString()}.`,
    "",
    `Checkout \`${plain(input.checkoutId)}\`, hold \`${plain(input.holdId)}\`, account \`${plain(input.accountId)}\`.`,
  ].join("\n");
}

/** Organisers choose these words: they must not become markup in an operator's page. */
export const plain = (text: string): string => text.replace(/[\\`*_{}[\]<>()#|!\r\n]/g, " ").trim();

const isoMinute = (ms: number): string => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
