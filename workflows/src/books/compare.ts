// The books of one checkout, compared: Stripe's word against our record, the order, its tickets and its claims. Pure.
import type { BooksCause, BooksFigures, BooksFinding } from "../contract.js";
import { causes } from "./findings.js";

export interface StripeRefundFact {
  /** Ours; of one made at Stripe itself: Stripe's. */
  readonly refundId: string;
  readonly amount: number;
  /** Stripe's word. */
  readonly status: "pending" | "requires_action" | "succeeded" | "failed" | "canceled";
  readonly outside: boolean;
}

export interface DisputeFact {
  readonly disputeId: string;
  readonly amount: number;
  /** Stripe's word. */
  readonly status: string;
}

/** A PaymentIntent with what became of its money, as Stripe has it, or as our record has it. */
export interface PaymentFact {
  readonly intentId: string;
  readonly state: "open" | "authorized" | "captured" | "cancelled";
  readonly amount: number;
  readonly currency: string;
  readonly captured: number;
  readonly refunded: number;
  readonly refunds: readonly StripeRefundFact[];
  readonly disputes: readonly DisputeFact[];
}

export interface OrderRefundFact {
  readonly refundId: string;
  readonly kind: "return" | "goodwill" | "void" | "outside" | "dispute";
  readonly state: "pending" | "paid" | "failed" | "replaced" | "closed";
  readonly amount: number;
  readonly seatIds: readonly string[];
  readonly money: readonly { readonly seatId: string; readonly amount: number }[];
}

export interface OrderFact {
  readonly amount: number;
  readonly currency: string;
  readonly seats: readonly { readonly seatId: string; readonly amount: number }[];
  readonly refunds: readonly OrderRefundFact[];
  readonly disputes: readonly DisputeFact[];
}

export interface TicketFact {
  readonly seatId: string;
  readonly valid: boolean;
}

export type RecordProblem = "intent_unknown" | "record_contradicts";

/** What the books have of one checkout; undefined: there is none. */
export interface Entry {
  readonly checkoutId: string;
  readonly stripe: PaymentFact | undefined;
  readonly record: PaymentFact | undefined;
  readonly order: OrderFact | undefined;
  readonly tickets: readonly TicketFact[];
  readonly claimedSeatIds: readonly string[];
  /** Stripe was asked for the record's PaymentIntent: it has none, or says what can't be. */
  readonly recordProblem?: RecordProblem;
}

export interface Compared {
  readonly findings: readonly BooksFinding[];
  readonly figures: readonly BooksFigures[];
}

type Find = (cause: BooksCause, about: readonly string[], amount: number) => void;

export function compare(entry: Entry): Compared {
  const { checkoutId, stripe, record, order } = entry;
  const currency = stripe?.currency ?? order?.currency ?? record?.currency ?? "";
  const findings: BooksFinding[] = [];
  const find: Find = (cause, about, amount) =>
    findings.push({ cause, who: causes[cause].who, checkoutId, about, amount, currency });
  if (entry.recordProblem) find(entry.recordProblem, record ? [record.intentId] : [], record?.amount ?? 0);
  else compareRecord(stripe, record, find);
  if (order) compareOrder(entry, order, find);
  else compareWithoutOrder(entry, find);
  return { findings, figures: figuresOf(entry) };
}

/** A PaymentIntent that names a checkout whose payment is another one. */
export function compareSecond(checkoutId: string, stripe: PaymentFact): Compared {
  const { currency } = stripe;
  const left = leftAt(stripe);
  const cause = left > 0 ? "captured_twice" : stripe.state === "authorized" ? "authorization_left" : undefined;
  const amount = left > 0 ? left : stripe.amount;
  const about = [stripe.intentId];
  return {
    findings: cause ? [{ cause, who: "person", checkoutId, about, amount, currency }] : [],
    figures: figuresOf({ stripe, order: undefined, tickets: [] }),
  };
}

// ---- one with another

const isGiven = ({ status }: StripeRefundFact): boolean => status !== "failed" && status !== "canceled";
const given = ({ refunds }: PaymentFact): number => sum(refunds.filter(isGiven));
const lost = ({ disputes }: PaymentFact): number => sum(disputes.filter(({ status }) => status === "lost"));
/** At Stripe, and ours unless a bank decides otherwise. */
const leftAt = (stripe: PaymentFact): number => stripe.captured - given(stripe) - lost(stripe);

const sum = (of: readonly { readonly amount: number }[]): number => of.reduce((total, { amount }) => total + amount, 0);

function compareRecord(stripe: PaymentFact | undefined, record: PaymentFact | undefined, find: Find): void {
  if (!stripe) return;
  if (!record) {
    if (stripe.captured > 0 || stripe.state === "authorized") find("record_missing", [stripe.intentId], stripe.amount);
    return;
  }
  const isSameMoney = stripe.amount === record.amount && stripe.currency === record.currency;
  if (!isSameMoney) find("record_contradicts", [stripe.intentId], stripe.amount);
  else if (told(stripe) !== told(record))
    find("record_differs", [stripe.intentId], Math.abs(leftAt(stripe) - leftAt(record)));
}

const told = ({ state, captured, refunded, disputes }: PaymentFact): string =>
  JSON.stringify([state, captured, refunded, inOrder(disputes)]);

const inOrder = (disputes: readonly DisputeFact[]): string[] =>
  disputes.map(({ disputeId, status, amount }) => `${disputeId} ${status} ${amount}`).sort();

function compareWithoutOrder({ stripe, tickets, claimedSeatIds }: Entry, find: Find): void {
  if (stripe && leftAt(stripe) > 0) find("captured_without_order", [stripe.intentId], leftAt(stripe));
  if (stripe?.state === "authorized") find("authorization_left", [stripe.intentId], stripe.amount);
  if (tickets.length > 0)
    find(
      "ticket_without_order",
      tickets.map(({ seatId }) => seatId),
      0,
    );
  if (claimedSeatIds.length > 0) find("claim_without_order", claimedSeatIds, 0);
}

function compareOrder(entry: Entry, order: OrderFact, find: Find): void {
  const { stripe, claimedSeatIds } = entry;
  const { seats, refunds, amount } = order;
  const counted = refunds.filter(({ state }) => state !== "replaced");
  if (
    sum(seats) !== amount ||
    counted.some((refund) => refund.state !== "failed" && sum(refund.money) !== refund.amount)
  )
    find("order_inconsistent", [], Math.abs(sum(seats) - amount));
  if (!stripe) {
    if (amount > 0 && !entry.recordProblem) find("order_without_payment", [], amount);
  } else if (stripe.captured === 0) find("order_not_captured", [stripe.intentId], amount);
  else if (stripe.currency !== order.currency) find("currency_differs", [stripe.intentId], amount);
  else if (stripe.captured !== amount)
    find("captured_amount_differs", [stripe.intentId], Math.abs(stripe.captured - amount));
  if (stripe) {
    compareRefunds(stripe, order, find);
    compareDisputes(stripe, order, find);
  }
  compareTickets(entry, order, find);

  const valid = new Set(entry.tickets.filter((ticket) => ticket.valid).map(({ seatId }) => seatId));
  const own = new Map(seats.map(({ seatId, amount: price }) => [seatId, price]));
  const claimed = new Set(claimedSeatIds);
  const named = (cause: BooksCause, seatIds: readonly string[]) => {
    if (seatIds.length > 0) find(cause, seatIds, sum(seatIds.map((seatId) => ({ amount: own.get(seatId) ?? 0 }))));
  };
  named(
    "seat_not_claimed",
    [...valid].filter((seatId) => own.has(seatId) && !claimed.has(seatId)),
  );
  named(
    "seat_claimed_after_void",
    entry.tickets.filter((ticket) => !ticket.valid && claimed.has(ticket.seatId)).map(({ seatId }) => seatId),
  );
  named(
    "claim_without_order",
    claimedSeatIds.filter((seatId) => !own.has(seatId)),
  );
}

function compareRefunds(stripe: PaymentFact, { refunds }: OrderFact, find: Find): void {
  const atStripe = new Set(stripe.refunds.map(({ refundId }) => refundId));
  for (const said of stripe.refunds) {
    const { refundId, amount, status } = said;
    const known = refunds.find((refund) => refund.refundId === refundId);
    if (!known) {
      // One of ours that failed and that the order does not know was given up because it failed.
      if (isGiven(said) || said.outside) find("refund_unknown", [refundId], isGiven(said) ? amount : 0);
    } else if (known.amount !== amount) find("refund_amount_differs", [refundId], Math.abs(known.amount - amount));
    else if (known.state === "pending") {
      // While the bank has not taken it, its workflow waits.
      if (status === "succeeded" || !isGiven(said)) find("refund_unfinished", [refundId], amount);
    } else if (isGiven(said)) {
      if (known.state !== "paid") find("refund_state_differs", [refundId], amount);
    } else if (known.state === "paid") find("refund_failed_unnoticed", [refundId], amount);
  }
  for (const { refundId, kind, state, amount } of refunds) {
    if (atStripe.has(refundId) || kind === "dispute") continue;
    if (state === "pending") find("refund_unfinished", [refundId], amount);
    if (state === "paid" && amount > 0) find("refund_not_at_stripe", [refundId], amount);
  }
}

/** Words that an order does not keep. */
const untold = "unknown";

function compareDisputes(stripe: PaymentFact, { refunds, disputes }: OrderFact, find: Find): void {
  const counted = refunds.filter(({ kind }) => kind === "dispute").map(({ refundId }) => refundId);
  for (const { disputeId, status, amount } of stripe.disputes) {
    if (status === untold) continue;
    const known = disputes.find((dispute) => dispute.disputeId === disputeId);
    if (counted.includes(disputeId) && status !== "lost") find("dispute_differs", [disputeId], amount);
    else if (known?.status !== status || (status === "lost" && !counted.includes(disputeId)))
      find("dispute_unknown", [disputeId], amount);
  }
  for (const refundId of counted)
    if (!stripe.disputes.some(({ disputeId }) => disputeId === refundId))
      find("dispute_differs", [refundId], sum(refunds.filter((refund) => refund.refundId === refundId)));
}

function compareTickets({ stripe, tickets }: Entry, order: OrderFact, find: Find): void {
  const { seats, refunds } = order;
  const left = leftOf(order);
  const reasons = givenBackSeats(order);
  const named = (cause: BooksCause, seatIds: readonly string[]) => {
    if (seatIds.length > 0) find(cause, seatIds, sum(seatIds.map((seatId) => ({ amount: left.get(seatId) ?? 0 }))));
  };
  const state = new Map(tickets.map(({ seatId, valid }) => [seatId, valid]));
  const seatIds = seats.map(({ seatId }) => seatId);
  const isValid = (seatId: string) => state.get(seatId) === true;
  const isVoid = (seatId: string) => state.get(seatId) === false;
  named(
    "ticket_missing",
    seatIds.filter((seatId) => !state.has(seatId)),
  );
  named(
    "ticket_without_order",
    tickets.map(({ seatId }) => seatId).filter((seatId) => !left.has(seatId)),
  );
  named(
    "ticket_valid_after_refund",
    seatIds.filter((seatId) => isValid(seatId) && reasons.has(seatId)),
  );
  named(
    "ticket_void_without_reason",
    seatIds.filter((seatId) => isVoid(seatId) && !reasons.has(seatId)),
  );
  // Goodwill may give back all of a valid ticket's money; a refund that is under way has not made its tickets void yet.
  const explained = refunds.some(({ kind, state: of }) => of === "pending" || (kind === "goodwill" && of === "paid"));
  const valid = seatIds.filter((seatId) => isValid(seatId) && !reasons.has(seatId));
  if (stripe && stripe.captured > 0 && leftAt(stripe) <= 0 && !explained && valid.length > 0)
    find("ticket_without_money", valid, sum(seats.filter(({ seatId }) => valid.includes(seatId))));
}

// ---- the order's own money, by its seats

/** Of each seat's price: what did not go back, is not owed and is not set aside. */
function leftOf({ seats, refunds }: OrderFact): ReadonlyMap<string, number> {
  const left = new Map(seats.map(({ seatId, amount }) => [seatId, amount]));
  for (const { state, money } of refunds)
    if (state !== "replaced")
      for (const { seatId, amount } of money) left.set(seatId, (left.get(seatId) ?? 0) - amount);
  return left;
}

/** Whose tickets a refund or a void has made void. */
const givenBackSeats = ({ refunds }: OrderFact): ReadonlySet<string> =>
  new Set(refunds.filter(({ state }) => state !== "pending").flatMap(({ seatIds }) => seatIds));

// ---- figures

/** What Stripe took, against what the order and its tickets say became of it: two that must agree, each from its own source. */
function figuresOf({ stripe, order, tickets }: Pick<Entry, "stripe" | "order" | "tickets">): readonly BooksFigures[] {
  const figures: BooksFigures[] = [];
  const open = stripe?.disputes.filter(({ status }) => keepsOpen.has(status)) ?? [];
  if (stripe && stripe.captured > 0) {
    const { currency, captured } = stripe;
    // What went back beyond what came, without an order, is a loss that is known.
    const kept = order ? 0 : Math.min(0, leftAt(stripe));
    const back = { refunds: given(stripe), disputes: lost(stripe) };
    figures.push(balanced({ ...nothing(currency), payments: 1, captured, kept, ...back, held: sum(open) }));
  }
  if (order) {
    const left = leftOf(order);
    const reasons = givenBackSeats(order);
    const state = new Map(tickets.map(({ seatId, valid }) => [seatId, valid]));
    const of = (isCounted: (seatId: string) => boolean) =>
      [...left].reduce((total, [seatId, amount]) => (isCounted(seatId) ? total + amount : total), 0);
    const inState = (wanted: OrderRefundFact["state"]) =>
      sum(order.refunds.filter((refund) => refund.state === wanted));
    const atStripe = new Set((stripe?.refunds ?? []).filter(isGiven).map(({ refundId }) => refundId));
    figures.push(
      balanced({
        ...nothing(order.currency),
        tickets: of((seatId) => state.get(seatId) === true),
        kept: of((seatId) => state.get(seatId) === false && reasons.has(seatId)),
        owed: inState("failed"),
        paidElsewhere: inState("closed"),
        setAside: sum(order.refunds.filter(({ refundId, state: at }) => at === "pending" && !atStripe.has(refundId))),
      }),
    );
  }
  return addFigures([], figures);
}

/** In which the bank has the money, and has not decided. */
const keepsOpen: ReadonlySet<string> = new Set(["needs_response", "under_review", untold]);

const nothing = (currency: string): BooksFigures => ({
  ...{ currency, payments: 0, captured: 0, tickets: 0, kept: 0, refunds: 0, disputes: 0 },
  ...{ owed: 0, paidElsewhere: 0, setAside: 0, difference: 0, held: 0 },
});

function balanced(figures: BooksFigures): BooksFigures {
  const { captured, tickets, kept, refunds, disputes, owed, paidElsewhere, setAside } = figures;
  return { ...figures, difference: captured - tickets - kept - refunds - disputes - owed - paidElsewhere - setAside };
}

const amounts = [
  ...(["payments", "captured", "tickets", "kept", "refunds", "disputes"] as const),
  ...(["owed", "paidElsewhere", "setAside", "difference", "held"] as const),
];

/** By currency, in alphabetical order; different currencies are never added. */
export function addFigures(one: readonly BooksFigures[], other: readonly BooksFigures[]): readonly BooksFigures[] {
  const sums = new Map<string, { -readonly [Name in keyof BooksFigures]: BooksFigures[Name] }>();
  for (const figures of [...one, ...other]) {
    const total = sums.get(figures.currency) ?? { ...nothing(figures.currency) };
    for (const name of amounts) total[name] += figures[name];
    sums.set(figures.currency, total);
  }
  return [...sums.values()].sort((a, b) => (a.currency < b.currency ? -1 : 1));
}
