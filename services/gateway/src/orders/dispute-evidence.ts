// What a bank is told in a dispute, by Stripe's names for it: facts of the order, and the words of whoever answers. Pure.
// Source of the names: https://docs.stripe.com/api/disputes/evidence_object
import { formatMoney } from "@onsale/kit/money";
import type { Order } from "@onsale/proto/ticket/v1/ticket";
import type { Moment } from "./timeline.js";

export interface EvidenceFacts {
  readonly order: Order;
  readonly buyer: { readonly email: string; readonly name: string } | undefined;
  /** Until when tickets could be given back, as the shop showed it; 0: not at all; undefined: not known now. */
  readonly refundableUntilMs: number | undefined;
  readonly timeline: readonly Moment[];
}

/** Of what a buyer did. Undoing and refunds are told apart from it. */
const activity: Partial<Record<Moment["step"], string>> = {
  held: "The buyer, logged in, chose the seats.",
  requires_action: "The bank asked the buyer to approve the payment (3-D Secure).",
  authorized: "The bank authorized the payment.",
  captured: "The payment was taken.",
  issued: "The tickets were issued to the buyer's account at once, to be shown there.",
};

/** Nothing secret: no ticket's code, no address of the network, nothing of other orders. */
export function evidenceOf({ order, buyer, refundableUntilMs, timeline }: EvidenceFacts): Record<string, string> {
  const { event } = order;
  const policy = policyOf(refundableUntilMs);
  const fields: Readonly<Record<string, string | undefined>> = {
    customer_name: buyer?.name,
    customer_email_address: buyer?.email,
    product_description: bought(order),
    service_date: event && day(event.startsAtMs, event.timeZone),
    refund_policy_disclosure: policy,
    cancellation_policy_disclosure: policy,
    access_activity_log: timeline
      .flatMap(({ atMs, step }) => (activity[step] ? [`${iso(atMs)} ${activity[step]}`] : []))
      .join("\n"),
  };
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, text]) => (text === undefined || text === "" ? [] : [[name, text]])),
  );
}

/** The words, and below them what was bought and what went back: the same for the same words, whenever they are sent. */
export const answerText = (words: string, order: Order): string =>
  `${words}\n\nOrder ${order.checkoutId} of ${iso(order.createdAtMs)}. ${bought(order)}`;

function bought({ event, seats, amount, currency }: Order): string {
  const count = `${seats.length} ticket${seats.length === 1 ? "" : "s"}`;
  const what = event
    ? `${count} for "${event.name}", ${event.venueName}, ${event.city}, ${iso(event.startsAtMs)}`
    : `${count}`;
  const each = seats.map(({ seatId, amount: price }) => `${seatId} (${formatMoney({ amount: price, currency })})`);
  return `${what}. Seats: ${each.join(", ")}. Total: ${formatMoney({ amount, currency })}.`;
}

function policyOf(untilMs: number | undefined): string | undefined {
  if (untilMs === undefined) return undefined;
  const stated = "The shop shows before the purchase:";
  return untilMs === 0
    ? `${stated} tickets of this event are not taken back. They go back if the event is cancelled.`
    : `${stated} tickets of this event can be given back, for what was paid, until ${iso(untilMs)}.`;
}

const iso = (ms: number): string => `${new Date(ms).toISOString().slice(0, 16).replace("T", " ")} UTC`;

/** The day at the venue, as 2027-05-01. */
function day(ms: number, timeZone: string): string {
  const parts = new Intl.DateTimeFormat("en-CA", { timeZone, year: "numeric", month: "2-digit", day: "2-digit" });
  return parts.format(new Date(ms));
}
