// Gives captured money back, in full or in part; each refund id once.
//
// A refund is written down, with the amount it comes to, before Stripe is asked: so two of them never promise the same
// money, and a repetition asks for the same amount. Whether an earlier try made it is read from Stripe's list of the
// intent's refunds, which (unlike its search) doesn't lag; only what isn't there is asked for again.

import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import { contended, createTurns, type Ledger, outcomeUnknown, refusalOf, whileBusy } from "./ledger.js";
import { changeRefund, decideRefund, dropRefund, type PaymentRecord, type RefundOrder, stripeKey } from "./payments.js";
import { type RefundEntry, type RefundSnapshot, toldRefund } from "./refunds.js";
import type { Store } from "./store.js";
import type { StripeApi } from "./stripe.js";
import type { Call } from "./stripe-line.js";

const maxTurns = 20;

export interface Refunds {
  refund(order: RefundOrder, deadlineMs: number): Promise<{ record: PaymentRecord; refund: RefundEntry }>;
}

export interface RefundsParts {
  readonly store: Store;
  readonly stripe: StripeApi;
  readonly ledger: Ledger;
  readonly log: Logger;
}

export function createRefunds({ store, stripe, ledger, log }: RefundsParts): Refunds {
  const inTurn = createTurns();

  async function refund(
    order: RefundOrder,
    deadlineMs: number,
  ): Promise<{ record: PaymentRecord; refund: RefundEntry }> {
    const call: Call = { lane: "money", deadlineMs };
    let record = await store.read(order.checkoutId);
    let fresh = false;
    /** The refund that this very call wrote down: nobody can have sent it yet. */
    let reserved: string | undefined;
    for (let turn = 0; turn < maxTurns; turn += 1) {
      const step = decideRefund(record, order, fresh);
      if (step.kind === "refuse") throw refusalOf(step);
      if (!record?.intentId) throw new Error("a captured payment has an intent");
      if (step.kind === "answer") return { record, refund: step.refund };
      if (step.kind === "look") {
        record = await ledger.refresh(record, call);
        fresh = true;
        continue;
      }
      if (step.kind === "reserve") {
        const written: PaymentRecord | undefined = await ledger.change(record, changeRefund(record, step.refund));
        if (written) reserved = step.refund.refundId;
        record = written ?? (await store.read(order.checkoutId));
        continue;
      }
      record = await send(
        record,
        record.intentId,
        step.refund,
        reserved === step.refund.refundId,
        order.refundId,
        call,
      );
      reserved = undefined;
    }
    throw contended();
  }

  async function send(
    record: PaymentRecord,
    intentId: string,
    entry: RefundEntry,
    isNew: boolean,
    /** The refund that the caller asks for; `entry` may be an earlier one that has to be settled first. */
    wantedId: string,
    call: Call,
  ): Promise<PaymentRecord | undefined> {
    const { checkoutId } = record;
    const { refundId, amount, generation } = entry;
    const made = isNew ? undefined : await find(intentId, refundId, call);
    if (made) return note(record, entry, made, call);
    const key = stripeKey(checkoutId, `refund:${refundId}`, generation);
    const answer = await whileBusy(call, () =>
      stripe.createRefund({ intentId, checkoutId, refundId, amount }, key, call),
    );
    if (answer.ok) {
      // What Stripe only repeats may have moved on since.
      const now = answer.replayed ? await find(intentId, refundId, call) : answer.value;
      return note(record, entry, now ?? answer.value, call);
    }
    if (answer.reason === "unknown") {
      if (!answer.storedError) return ledger.unknown(record, "refund", answer);
      const found = await find(intentId, refundId, call);
      if (found) return note(record, entry, found, call);
      const next = changeRefund(record, { ...entry, generation: generation + 1 });
      return (await ledger.change(record, next)) ?? store.read(checkoutId);
    }
    const why = answer.reason === "refused" ? { code: answer.code, stripe: answer.message } : { code: answer.reason };
    if (answer.reason === "refused" && answer.code === "idempotency_error") {
      log.error({ checkoutId, refundId, ...why }, "a bug: a refund's key went out with two different requests");
      throw new DomainError(
        "INTERNAL",
        "Stripe was asked for two different refunds under one key. It has been logged.",
      );
    }
    // Nothing was given back, so the money is free for another refund; what is left is read afresh.
    log.warn({ checkoutId, refundId, amount, ...why }, "Stripe refused a refund");
    const now = await drop({ store, ledger }, record, refundId, call);
    if (refundId !== wantedId) return now;
    const tooMuch =
      answer.reason === "refused" && (answer.code === "charge_already_refunded" || answer.param === "amount");
    throw tooMuch
      ? new DomainError("REFUND_TOO_LARGE", "Stripe refused this refund: more was asked for than is left.", { amount })
      : new DomainError(
          "PAYMENT_STATE_CONFLICT",
          why.code === "charge_disputed"
            ? "The buyer's bank disputes this payment, so Stripe refunds none of it: the bank decides whose the money is."
            : "Stripe refused this refund, and nothing was given back.",
          { stripeCode: why.code },
        );
  }

  async function find(intentId: string, refundId: string, call: Call): Promise<RefundSnapshot | undefined> {
    const answer = await whileBusy(call, () => stripe.listRefunds(intentId, call));
    if (answer.ok) return answer.value.find((each) => each.refundId === refundId);
    if (answer.reason === "unknown") throw outcomeUnknown(answer);
    throw new Error(`Stripe refused to list refunds: ${answer.reason}`);
  }

  async function note(
    record: PaymentRecord,
    entry: RefundEntry,
    told: RefundSnapshot,
    call: Call,
  ): Promise<PaymentRecord | undefined> {
    const { checkoutId, intentId } = record;
    const { stripeRefundId, amount } = told;
    if (amount !== entry.amount) {
      log.error({ checkoutId, stripeRefundId, amount, expected: entry.amount }, "a bug: a refund has another amount");
      throw new DomainError("INTERNAL", "Stripe refunded another amount than was asked for. It has been logged.");
    }
    const next = changeRefund(record, toldRefund(entry, told));
    const written = await ledger.change(record, next);
    if (!written || !intentId) return store.read(checkoutId);
    return ledger.settle(written, await ledger.present(intentId, call), call);
  }

  return {
    refund: (order, deadlineMs) => inTurn(`refund ${order.checkoutId}`, () => refund(order, deadlineMs)),
  };
}

/** Whatever else changes the record meanwhile, the refund leaves it. */
async function drop(
  { store, ledger }: Pick<RefundsParts, "store" | "ledger">,
  record: PaymentRecord,
  refundId: string,
  call: Call,
): Promise<PaymentRecord> {
  let current: PaymentRecord | undefined = record;
  for (let turn = 0; turn < maxTurns && current; turn += 1) {
    const dropped: PaymentRecord | undefined = await ledger.change(current, dropRefund(current, refundId));
    if (dropped) return ledger.refresh(dropped, call);
    current = await store.read(record.checkoutId);
  }
  throw contended();
}
