// Keeps the records true: asks Stripe, and applies what it says by compare-and-set, so that an older word never
// overwrites a newer one.

import { setTimeout as sleep } from "node:timers/promises";
import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import {
  applySnapshot,
  changeRefund,
  type Decline,
  type IntentSnapshot,
  type PaymentRecord,
  type Refused,
} from "./payments.js";
import type { Store } from "./store.js";
import type { Answer, Call, StripeApi } from "./stripe.js";

/** Writes lose to other writes only; so many in a row mean that something is wrong. */
const maxTurns = 20;

export interface Ledger {
  /** Writes what was decided on `record`. undefined: another write came first; read again and decide again. */
  change(record: PaymentRecord, next: PaymentRecord): Promise<PaymentRecord | undefined>;
  /**
   * Applies a snapshot that is newer than `record`. When the record has changed meanwhile, asks Stripe for a newer one.
   * `answered` names the attempt that this answers.
   */
  settle(record: PaymentRecord, snapshot: IntentSnapshot, call: Call, answered?: Answered): Promise<PaymentRecord>;
  /** Asks Stripe and applies; with `refunds`, their statuses too. The record must have an intent. */
  refresh(record: PaymentRecord, call: Call, options?: { readonly refunds?: boolean }): Promise<PaymentRecord>;
  /** The intent as Stripe has it at this moment. */
  present(intentId: string, call: Call): Promise<IntentSnapshot>;
  /** Notes that a step's outcome is unknown, as well as it can, and throws UNAVAILABLE. */
  unknown(record: PaymentRecord, step: string, answer: UnknownAnswer): Promise<never>;
}
export interface Answered {
  readonly attempt: number;
  readonly decline?: Decline | undefined;
}
export type UnknownAnswer = Extract<Answer<never>, { reason: "unknown" }>;
export type RefusedAnswer = Extract<Answer<never>, { reason: "refused" }>;

export interface LedgerParts {
  readonly store: Store;
  readonly stripe: StripeApi;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export function createLedger({ store, stripe, log, metrics }: LedgerParts): Ledger {
  const outcomes = metrics.counter("onsale_payments_total", "Payments by what became of them", ["outcome"]);

  async function change(record: PaymentRecord, next: PaymentRecord): Promise<PaymentRecord | undefined> {
    const written = await store.replace({ ...next, version: record.version });
    if (!written) return undefined;
    if (next.state !== record.state && next.state !== "unpaid") outcomes.inc({ outcome: next.state });
    const [was, is] = [record.attempts.at(-1), next.attempts.at(-1)];
    if (is && is.outcome !== was?.outcome && (is.outcome === "declined" || is.outcome === "method_invalid"))
      outcomes.inc({ outcome: is.outcome });
    return written;
  }

  async function present(intentId: string, call: Call): Promise<IntentSnapshot> {
    const answer = await stripe.retrieveIntent(intentId, call);
    if (answer.ok) return answer.value;
    if (answer.reason === "unknown") throw outcomeUnknown(answer);
    log.error({ intentId, answer: answer.reason }, "a bug, or another Stripe account: our intent can't be read");
    throw new DomainError("INTERNAL", "Stripe does not know this payment. It has been logged.");
  }

  async function settle(
    record: PaymentRecord,
    snapshot: IntentSnapshot,
    call: Call,
    answered?: Answered,
  ): Promise<PaymentRecord> {
    let current = record;
    let newest = snapshot;
    for (let turn = 0; turn < maxTurns; turn += 1) {
      const applied = applySnapshot(current, newest, answered);
      if (!applied.ok) {
        const { checkoutId, state, amount, currency, intentId } = current;
        log.error(
          { reason: applied.reason, checkoutId, record: { state, amount, currency, intentId }, stripe: newest },
          "a bug: Stripe's payment and our record contradict each other",
        );
        throw new DomainError(
          "INTERNAL",
          "Stripe's payment and our record contradict each other. Nothing was changed; it has been logged.",
        );
      }
      if (!applied.changed) return current;
      const written = await change(current, applied.record);
      if (written) return written;
      current = (await store.read(record.checkoutId)) ?? current;
      newest = await present(newest.intentId, call);
    }
    throw contended();
  }

  /** The record with its refunds' statuses, and how much all the intent's refunds give that did not fail. */
  async function refreshRefunds(
    record: PaymentRecord,
    intentId: string,
    call: Call,
  ): Promise<{ record: PaymentRecord; given: number }> {
    let current = record;
    for (let turn = 0; turn < maxTurns; turn += 1) {
      const answer = await stripe.listRefunds(intentId, call);
      if (!answer.ok) throw answer.reason === "unknown" ? outcomeUnknown(answer) : new Error("refunds can't be listed");
      const given = answer.value
        .filter(({ status }) => status !== "failed" && status !== "canceled")
        .reduce((sum, { amount }) => sum + amount, 0);
      let next = current;
      for (const { refundId, stripeRefundId, status, amount } of answer.value) {
        const entry = next.refunds.find((each) => each.refundId === refundId);
        if (entry && entry.amount === amount && (entry.status !== status || entry.stripeRefundId !== stripeRefundId))
          next = changeRefund(next, { ...entry, status, stripeRefundId });
      }
      if (next === current) return { record: current, given };
      const written = await change(current, next);
      if (written) return { record: written, given };
      current = (await store.read(record.checkoutId)) ?? current;
    }
    throw contended();
  }

  /**
   * Refunds and intent are two questions, and a bank may send a refund back between them. So both are asked again
   * until they agree; a payment on which they never do (more refunds than one page, say) is left to its webhooks.
   */
  async function refreshWithRefunds(record: PaymentRecord, intentId: string, call: Call): Promise<PaymentRecord> {
    let current = record;
    for (let turn = 0; turn < 3; turn += 1) {
      const listed = await refreshRefunds(current, intentId, call);
      const snapshot = await present(intentId, call);
      current = await settle(listed.record, snapshot, call);
      if ((snapshot.amountRefunded ?? listed.given) === listed.given) return current;
    }
    log.warn({ checkoutId: record.checkoutId }, "Stripe's refunds do not add up to what its charge says was refunded");
    return current;
  }

  return {
    change,
    present,
    settle,
    async refresh(record, call, { refunds = false } = {}) {
      if (!record.intentId) return record;
      if (refunds && record.refunds.length > 0) return refreshWithRefunds(record, record.intentId, call);
      return settle(record, await present(record.intentId, call), call);
    },
    async unknown(record, step, answer) {
      const { checkoutId } = record;
      log.warn(
        { checkoutId, step, cause: answer.cause },
        "a step's outcome is unknown; Stripe is asked before the next",
      );
      // Only spares the next caller a detour: every step also finds out by itself. So a failure here does no harm.
      if (record.unsureSinceMs === undefined)
        await store
          .replace({ ...record, unsureSinceMs: Date.now() })
          .catch((err: unknown) => log.warn({ err }, "not noted"));
      throw outcomeUnknown(answer);
    },
  };
}

export function outcomeUnknown(answer: UnknownAnswer): DomainError {
  const waiting = answer.cause === "limited" || answer.cause === "busy";
  return new DomainError(
    "UNAVAILABLE",
    waiting
      ? "Stripe is busy with this payment. Please try again in a moment."
      : "Stripe did not give an answer that can be relied on. The payment will be looked up before anything is tried again.",
    { retryAfterSeconds: 1 },
    answer.error,
  );
}

export const contended = (): DomainError =>
  new DomainError("UNAVAILABLE", "Too many requests work on this payment at once. Please try again in a moment.", {
    retryAfterSeconds: 1,
  });

export const refusalOf = ({ code, message, details }: Refused): DomainError => new DomainError(code, message, details);

/** While Stripe works on the same request for somebody else (409) or has no room (429), a short wait is all it takes. */
export async function whileBusy<Value>(call: Call, send: () => Promise<Answer<Value>>): Promise<Answer<Value>> {
  for (let pauseMs = 200; ; pauseMs *= 2) {
    const answer = await send();
    const isBusy = !answer.ok && answer.reason === "unknown" && (answer.cause === "busy" || answer.cause === "limited");
    if (!isBusy || pauseMs > 1_600 || Date.now() + pauseMs > call.deadlineMs) return answer;
    await sleep(pauseMs);
  }
}

/** Runs what has the same name one after the other, so that identical calls within this process don't meet at Stripe. */
export function createTurns(): <Result>(name: string, work: () => Promise<Result>) => Promise<Result> {
  const last = new Map<string, Promise<unknown>>();
  return async (name, work) => {
    const before = last.get(name) ?? Promise.resolve();
    const mine = before.then(work, work);
    const settled = mine.catch(() => undefined);
    last.set(name, settled);
    try {
      return await mine;
    } finally {
      if (last.get(name) === settled) last.delete(name);
    }
  };
}
