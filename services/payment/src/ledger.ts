// Keeps the records true: asks Stripe, and applies what it says by compare-and-set, so that an older word never
// overwrites a newer one.

import { setTimeout as sleep } from "node:timers/promises";
import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import { disputeStatuses } from "./disputes.js";
import { applySnapshot, type Decline, type IntentSnapshot, type PaymentRecord, type Refused } from "./payments.js";
import type { Store } from "./store.js";
import type { StripeApi } from "./stripe.js";
import type { Answer, Call } from "./stripe-line.js";

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
  /** Asks Stripe and applies. A record without an intent stays as it is. */
  refresh(record: PaymentRecord, call: Call): Promise<PaymentRecord>;
  /** The intent as Stripe has it at this moment, with its refunds and disputes. */
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
  const refundOutcomes = ["pending", "requires_action", "succeeded", "failed", "canceled", "outside"] as const;
  const refunds = metrics.counter(
    "onsale_refunds_total",
    "Refunds by the statuses they came to; one made at Stripe itself counts as outside, too",
    ["outcome"],
    refundOutcomes.map((outcome) => ({ outcome })),
  );
  const disputes = metrics.counter(
    "onsale_disputes_total",
    "Disputes by the statuses they came to, in Stripe's words",
    ["outcome"],
    [...disputeStatuses, "unknown"].map((outcome) => ({ outcome })),
  );

  async function change(record: PaymentRecord, next: PaymentRecord): Promise<PaymentRecord | undefined> {
    const written = await store.replace({ ...next, version: record.version });
    if (!written) return undefined;
    if (next.state !== record.state && next.state !== "unpaid") outcomes.inc({ outcome: next.state });
    const [was, is] = [record.attempts.at(-1), next.attempts.at(-1)];
    if (is && is.outcome !== was?.outcome && (is.outcome === "declined" || is.outcome === "method_invalid"))
      outcomes.inc({ outcome: is.outcome });
    for (const refund of next.refunds) {
      const before = record.refunds.find(({ refundId }) => refundId === refund.refundId);
      if (refund.outside && !before) refunds.inc({ outcome: "outside" });
      if (refund.status !== "open" && refund.status !== before?.status) refunds.inc({ outcome: refund.status });
    }
    for (const { disputeId, status } of next.disputes)
      if (record.disputes.find((before) => before.disputeId === disputeId)?.status !== status)
        disputes.inc({ outcome: status });
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

  return {
    change,
    present,
    settle,
    async refresh(record, call) {
      if (!record.intentId) return record;
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
