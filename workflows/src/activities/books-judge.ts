// Whether the books of one checkout differ: read once more from their owners, and left alone while something works on them.
import type { CallOptions } from "@onsale/kit/grpc-client";
import type { StripePayment } from "@onsale/proto/payment/v1/payment";
import { type Order, RefundState } from "@onsale/proto/ticket/v1/ticket";
import { addFigures, type Compared, compare, compareSecond, type Entry } from "../books/compare.js";
import { cancelEventWorkflowId, checkoutWorkflowId, latePaymentWorkflowId, refundWorkflowId } from "../contract.js";
import type { BooksPage } from "../steps.js";
import { orderFact, recordFact, stripeFact, ticketFacts } from "./books-facts.js";
import type { BooksReader, Candidate, Listed } from "./books-reader.js";

const callsAtOnce = 8;

export const nothing: BooksPage = { compared: 0, figures: [], findings: [], inFlight: [], foreign: 0, nextCursor: "" };

export const add = (one: BooksPage, other: BooksPage): BooksPage => ({
  compared: one.compared + other.compared,
  figures: addFigures(one.figures, other.figures),
  findings: [...one.findings, ...other.findings],
  inFlight: [...one.inFlight, ...other.inFlight],
  foreign: one.foreign + other.foreign,
  nextCursor: other.nextCursor,
});

export function createJudge(reader: BooksReader, isWorkflowRunning: (workflowId: string) => Promise<boolean>) {
  return { judgeListed, judge, judgeSecond };

  /** Of Stripe's list: most balance, and cost no more than they must. */
  async function judgeListed(
    candidates: readonly Listed[],
    settledMs: number,
    options: CallOptions,
  ): Promise<BooksPage> {
    if (candidates.length === 0) return nothing;
    const checkoutIds = candidates.map(({ checkoutId }) => checkoutId);
    const [orders, tickets] = await Promise.all([
      reader.ordersOf(checkoutIds, options),
      reader.ticketsOf(checkoutIds, options),
    ]);
    const pages = await mapSome(candidates, async (candidate) => {
      const { checkoutId, stripe, record } = candidate;
      const order = orders.get(checkoutId);
      const eventId = order?.event?.eventId || record?.eventId || "";
      const entry: Entry = {
        checkoutId,
        stripe: stripeFact(stripe),
        record: record && recordFact(record),
        order: order && orderFact(order),
        tickets: ticketFacts(tickets.get(checkoutId)),
        claimedSeatIds: await reader.claimedBy(eventId, checkoutId, options),
      };
      const compared = compare(entry);
      if (compared.findings.length === 0) return { ...nothing, compared: 1, figures: compared.figures };
      return judge(candidate, settledMs, options, eventId, compared);
    });
    return pages.reduce(add, nothing);
  }

  /** Reads it all once more, from its owners: what differs in both readings, and is not under way, is a finding. */
  async function judge(
    candidate: Candidate,
    settledMs: number,
    options: CallOptions,
    knownEventId = "",
    first?: Compared,
  ): Promise<BooksPage> {
    const { checkoutId } = candidate;
    const again = await reader.entryOf(candidate, knownEventId, options);
    const second = compare(again.entry);
    const found = first ? second.findings.filter(({ cause }) => isIn(first, cause)) : second.findings;
    if (second.findings.length === 0) return { ...nothing, compared: 1, figures: second.figures };
    const isUnderWay = again.changedAtMs >= settledMs || (await isRunning(again.order, checkoutId, again.eventId));
    // What is seen once only has changed just now.
    if (isUnderWay || found.length === 0) {
      const balances = second.figures.every(({ difference }) => difference === 0);
      return { ...nothing, compared: 1, figures: balances ? second.figures : [], inFlight: [checkoutId] };
    }
    return { ...nothing, compared: 1, figures: second.figures, findings: second.findings };
  }

  function judgeSecond(stripe: StripePayment, settledMs: number): BooksPage {
    const { findings, figures } = compareSecond(stripe.checkoutId, stripeFact(stripe));
    if (findings.length > 0 && stripe.createdAtMs >= settledMs) return { ...nothing, inFlight: [stripe.checkoutId] };
    return { ...nothing, findings, figures };
  }

  async function isRunning(order: Order | undefined, checkoutId: string, eventId: string): Promise<boolean> {
    const pending = order?.refunds.filter(({ state }) => state === RefundState.PENDING) ?? [];
    const workflowIds = [
      checkoutWorkflowId(checkoutId),
      latePaymentWorkflowId(checkoutId),
      ...pending.map(({ refundId }) => refundWorkflowId(refundId)),
      ...(eventId === "" ? [] : [cancelEventWorkflowId(eventId)]),
    ];
    for (const workflowId of workflowIds) if (await isWorkflowRunning(workflowId)) return true;
    return false;
  }
}

const isIn = ({ findings }: Compared, cause: string): boolean => findings.some((one) => one.cause === cause);

/** Some at a time, in order. */
export async function mapSome<One, Result>(
  all: readonly One[],
  work: (one: One) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let at = 0; at < all.length; at += callsAtOnce)
    results.push(...(await Promise.all(all.slice(at, at + callsAtOnce).map(work))));
  return results;
}
