// The step that compares the books: a page of Stripe's payments, or of our own records, each with all that belongs to it.
import type { CallOptions } from "@onsale/kit/grpc-client";
import type { Payment, StripePayment } from "@onsale/proto/payment/v1/payment";
import type { BooksPage, BooksPart, BooksStep, Steps } from "../steps.js";
import type { Attempt } from "./attempts.js";
import { add, createJudge, mapSome, nothing } from "./books-judge.js";
import { type BooksParts, type Candidate, createBooksReader, type Listed } from "./books-reader.js";

/** A comparison goes on for so long, then says where it is; or until it has found so much. */
const enoughMs = 10_000;
const enoughFound = 100;
/** Stripe's are read in small pages: each may need a request of its own for its disputes. */
const stripeAtOnce = 50;
/** As our ids are. Another program that has the same account may use the same word for something else. */
const mayBeOurs = /^[A-Za-z0-9_-]{1,100}$/;
const atOnce = 100;

export function booksSteps(
  parts: BooksParts & { readonly isWorkflowRunning: (workflowId: string) => Promise<boolean> },
  attempt: Attempt,
): Pick<Steps, "compareBooks"> {
  const { reconcile, payment, ticket, isWorkflowRunning } = parts;
  const reader = createBooksReader(parts);
  const { judgeListed, judge, judgeSecond } = createJudge(reader, isWorkflowRunning);

  const looks: Readonly<Record<BooksPart, (step: BooksStep, options: CallOptions) => Promise<BooksPage>>> = {
    async stripe({ sinceMs, beforeMs, settledMs, cursor }, options) {
      const page = { createdSinceMs: sinceMs, createdBeforeMs: beforeMs, cursor, limit: stripeAtOnce };
      const { payments, nextCursor } = await payment.listStripePayments(page, options);
      const named = payments.filter(({ checkoutId }) => mayBeOurs.test(checkoutId));
      const records = await reader.recordsOf(
        named.map(({ checkoutId }) => checkoutId),
        options,
      );
      const candidates: Listed[] = [];
      const seconds: StripePayment[] = [];
      for (const stripe of named) {
        const { checkoutId, paymentIntentId, record } = stripe;
        const own = record ?? recordWithIntent(records.get(checkoutId)?.payment);
        const isMain = own
          ? own.paymentIntentId === paymentIntentId
          : !candidates.some((one) => one.checkoutId === checkoutId);
        if (isMain) candidates.push({ checkoutId, stripe, record: own });
        else seconds.push(stripe);
      }
      const judged = await judgeListed(candidates, settledMs, options);
      const more = seconds.map((stripe) => judgeSecond(stripe, settledMs)).reduce(add, nothing);
      return { ...add(judged, more), foreign: payments.length - named.length, nextCursor };
    },

    // Those that Stripe's list did not lead to: older ones that have changed, and those that Stripe does not know.
    async payment({ sinceMs, beforeMs, settledMs, cursor }, options) {
      const page = { changedSinceMs: sinceMs, changedBeforeMs: beforeMs, statuses: [], cursor, limit: atOnce };
      const { payments, nextCursor } = await payment.listPayments(page, options);
      const candidates: Candidate[] = [];
      for (const { payment: record, createdAtMs } of payments) {
        if (!record?.paymentIntentId) continue;
        const candidate = { checkoutId: record.checkoutId, stripe: undefined, record };
        const { paymentIntentId, checkoutId } = record;
        // What Stripe has was compared when its list led to it.
        if (createdAtMs >= sinceMs && (await reader.isAtStripe(paymentIntentId, checkoutId, createdAtMs, options)))
          continue;
        candidates.push(candidate);
      }
      return { ...(await judgeSome(candidates, settledMs, options)), nextCursor };
    },

    // Those that no payment led to: older ones that have changed, and those that have none.
    async order({ sinceMs, beforeMs, settledMs, cursor }, options) {
      const page = { changedSinceMs: sinceMs, changedBeforeMs: beforeMs, cursor, limit: atOnce };
      const { orders, nextCursor } = await ticket.listChangedOrders(page, options);
      const { isCovered, recordOf } = await paymentsOf(orders, sinceMs, options);
      const candidates: Candidate[] = [];
      for (const { checkoutId, createdAtMs } of orders) {
        if (isCovered(checkoutId)) continue;
        // Its record is lost, and Stripe's list has led to it.
        const record = recordOf(checkoutId);
        if (!record && createdAtMs >= sinceMs && (await reader.isNamedAtStripe(checkoutId, createdAtMs, options)))
          continue;
        candidates.push({ checkoutId, stripe: undefined, record });
      }
      return { ...(await judgeSome(candidates, settledMs, options)), nextCursor };
    },

    async sale({ sinceMs, beforeMs, settledMs, cursor }, options) {
      const { sales, nextCursor } = await reconcile.listSales({ sinceMs, beforeMs, cursor, limit: atOnce }, options);
      const orders = await reader.ordersOf(
        sales.map(({ checkoutId }) => checkoutId),
        options,
      );
      const without = sales.filter(({ checkoutId }) => !orders.has(checkoutId));
      const { isCovered, recordOf } = await paymentsOf(without, sinceMs, options);
      const pages = await mapSome(
        without.filter(({ checkoutId }) => !isCovered(checkoutId)),
        ({ checkoutId, eventId }) =>
          judge({ checkoutId, stripe: undefined, record: recordOf(checkoutId) }, settledMs, options, eventId),
      );
      return { ...pages.reduce(add, nothing), nextCursor };
    },
  };

  const judgeSome = async (candidates: readonly Candidate[], settledMs: number, options: CallOptions) =>
    (await mapSome(candidates, (candidate) => judge(candidate, settledMs, options))).reduce(add, nothing);

  /** Their records, and which of them a payment leads to, in this run or in the next. */
  async function paymentsOf(all: readonly { readonly checkoutId: string }[], sinceMs: number, options: CallOptions) {
    const records = await reader.recordsOf(
      all.map(({ checkoutId }) => checkoutId),
      options,
    );
    const recordOf = (checkoutId: string) => recordWithIntent(records.get(checkoutId)?.payment);
    const isCovered = (checkoutId: string) =>
      recordOf(checkoutId) !== undefined && (records.get(checkoutId)?.changedAtMs ?? 0) >= sinceMs;
    return { recordOf, isCovered };
  }

  return {
    compareBooks: (step) =>
      attempt([], async (options) => {
        const end = Date.now() + enoughMs;
        let sum: BooksPage = { ...nothing, nextCursor: step.cursor };
        do sum = add(sum, await looks[step.part]({ ...step, cursor: sum.nextCursor }, options));
        while (sum.nextCursor !== "" && sum.findings.length + sum.inFlight.length < enoughFound && Date.now() < end);
        return sum;
      }),
  };
}

/** One whose PaymentIntent was never made, or never learnt of, says nothing of a payment. */
const recordWithIntent = (record: Payment | undefined): Payment | undefined =>
  record?.paymentIntentId ? record : undefined;
