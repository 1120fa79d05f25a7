// Takes money and lets it go again: authorize, capture, cancel. Each may be sent again at any time.
//
// One checkout has one PaymentIntent, and only the intent that the record names is ever confirmed; a new attempt after a
// decline confirms the same one. As Stripe takes money at most once for an intent, so do we, whatever is lost on the way.
//
// When a step's outcome is unknown (no answer, a cut answer, 5xx, 409, 429) the caller gets UNAVAILABLE and comes again.
// Then, in this order:
// 1. The record names the intent: Stripe is asked what became of it, and only what is still missing is sent.
// 2. It doesn't (the creation is unknown): the creation is repeated with its key, which makes Stripe tell what it did
//    the first time. Keys are kept for 24 hours; for an older one the intent is searched by its metadata first.
// 3. Stripe replays an error of its own servers for a key: it would for ever. The object is looked up, and only when
//    nothing was done the step goes out under a fresh key (stripeKey's generation).
import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import { type ChargesParts, Intents } from "./intents.js";
import { contended, createTurns, type Ledger, type RefusedAnswer, refusalOf, whileBusy } from "./ledger.js";
import {
  type Attempt,
  type AuthorizeOrder,
  beginRecord,
  type CancelReason,
  changeAttempt,
  decideAuthorize,
  decideCancel,
  decideCapture,
  isTaken,
  methodInvalid,
  openAttempt,
  type PaymentRecord,
  stripeKey,
  tombstone,
} from "./payments.js";
import type { Store } from "./store.js";
import type { StripeApi } from "./stripe.js";
import type { Answer, Call } from "./stripe-line.js";

const maxTurns = 20;

export interface Charges {
  authorize(order: AuthorizeOrder, deadlineMs: number): Promise<PaymentRecord>;
  capture(checkoutId: string, deadlineMs: number): Promise<PaymentRecord>;
  /** The record afterwards; a tombstone when there never was a payment. */
  cancel(checkoutId: string, reason: CancelReason | undefined, deadlineMs: number): Promise<PaymentRecord>;
}

export function createCharges(parts: ChargesParts): Charges {
  return new ChargesAtStripe(parts);
}

class ChargesAtStripe implements Charges {
  private readonly store: Store;
  private readonly stripe: StripeApi;
  private readonly ledger: Ledger;
  private readonly log: Logger;
  private readonly intents: Intents;
  private readonly inTurn = createTurns();

  constructor(parts: ChargesParts) {
    this.store = parts.store;
    this.stripe = parts.stripe;
    this.ledger = parts.ledger;
    this.log = parts.log;
    this.intents = new Intents(parts);
  }

  authorize(order: AuthorizeOrder, deadlineMs: number): Promise<PaymentRecord> {
    return this.inTurn(`authorize ${order.checkoutId}`, () => this.authorizeNow(order, deadlineMs));
  }

  capture(checkoutId: string, deadlineMs: number): Promise<PaymentRecord> {
    return this.inTurn(`capture ${checkoutId}`, () => this.captureNow(checkoutId, deadlineMs));
  }

  cancel(checkoutId: string, reason: CancelReason | undefined, deadlineMs: number): Promise<PaymentRecord> {
    return this.inTurn(`cancel ${checkoutId}`, () => this.cancelNow(checkoutId, reason, deadlineMs));
  }

  // ---- authorize

  private async authorizeNow(order: AuthorizeOrder, deadlineMs: number): Promise<PaymentRecord> {
    const call: Call = { lane: "new", deadlineMs };
    let record = await this.store.read(order.checkoutId);
    /** Has the attempt's confirmation surely not been sent by anybody, or was Stripe asked since? */
    let certain = false;
    for (let turn = 0; turn < maxTurns; turn += 1) {
      const step = decideAuthorize(record, order);
      if (step.kind === "refuse") {
        if (step.code === "INTERNAL")
          this.log.error({ checkoutId: order.checkoutId, amount: order.amount }, "a bug: a checkout's amount changed");
        throw refusalOf(step);
      }
      if (step.kind === "begin" || !record) {
        const begun = beginRecord(order, Date.now());
        certain = await this.store.insert(begun);
        record = certain ? begun : await this.store.read(order.checkoutId);
        continue;
      }
      if (step.kind === "answer") return record;
      if (step.kind === "next") {
        const opened: PaymentRecord | undefined = await this.ledger.change(record, openAttempt(record, order));
        certain = opened !== undefined;
        record = opened ?? (await this.intents.reread(record));
        continue;
      }
      const ready = await this.intents.ensure(record, call);
      if ("reason" in ready) throw this.notAccepted(ready);
      if (ready.intentId === undefined || decideAuthorize(ready, order).kind !== "confirm") {
        record = ready;
        continue;
      }
      if (!certain || ready.unsureSinceMs !== undefined) {
        record = await this.ledger.refresh(ready, call);
        certain = true;
        continue;
      }
      const confirmed: { record: PaymentRecord; done: boolean } = await this.confirm(
        ready,
        ready.intentId,
        step.attempt,
        order,
        call,
      );
      if (confirmed.done) return confirmed.record;
      record = confirmed.record;
    }
    throw contended();
  }

  private async confirm(
    record: PaymentRecord,
    intentId: string,
    { attempt, generation }: Attempt,
    order: AuthorizeOrder,
    call: Call,
  ): Promise<{ record: PaymentRecord; done: boolean }> {
    const key = stripeKey(record.checkoutId, `confirm:${attempt}`, generation);
    const answer = await whileBusy(call, () =>
      this.stripe.confirmIntent(
        intentId,
        { paymentMethodId: order.paymentMethodId, returnUrl: order.returnUrl },
        key,
        call,
      ),
    );
    if (answer.ok)
      return {
        record: await this.ledger.settle(record, await this.intents.newest(answer, call), call, { attempt }),
        done: true,
      };
    if (answer.reason === "declined") {
      const snapshot = answer.intent && !answer.replayed ? answer.intent : await this.ledger.present(intentId, call);
      return {
        record: await this.ledger.settle(record, snapshot, call, { attempt, decline: answer.decline }),
        done: true,
      };
    }
    if (answer.reason === "unknown") {
      if (!answer.storedError) return this.ledger.unknown(record, "confirm", answer);
      const now = await this.ledger.refresh(record, call);
      if (decideAuthorize(now, order).kind !== "confirm") return { record: now, done: false };
      const fresh = await this.ledger.change(now, changeAttempt(now, attempt, { generation: generation + 1 }));
      return { record: fresh ?? (await this.intents.reread(record)), done: false };
    }
    if (answer.code === "idempotency_error") throw this.intents.keyReused(record, "confirm");
    if (isAboutMethod(answer)) {
      const now = await this.ledger.change(record, changeAttempt(record, attempt, { outcome: "method_invalid" }));
      if (now) throw refusalOf(methodInvalid);
      return { record: await this.intents.reread(record), done: false };
    }
    const now = await this.ledger.refresh(record, call);
    if (decideAuthorize(now, order).kind !== "confirm") return { record: now, done: false };
    throw this.notAccepted(answer);
  }

  private notAccepted({ code, param, message }: RefusedAnswer): DomainError {
    this.log.error({ code, param, stripe: message }, "Stripe refused a request for good");
    return new DomainError(
      "REQUEST_INVALID",
      "Stripe does not accept this payment as it stands. Nothing was charged.",
      {
        stripeCode: code,
      },
    );
  }

  // ---- capture

  private async captureNow(checkoutId: string, deadlineMs: number): Promise<PaymentRecord> {
    const call: Call = { lane: "money", deadlineMs };
    let record = await this.store.read(checkoutId);
    let fresh = false;
    for (let turn = 0; turn < maxTurns; turn += 1) {
      const step = decideCapture(record, fresh);
      if (step.kind === "refuse") throw refusalOf(step);
      if (!record?.intentId) throw new Error("a payment without an intent can't be captured");
      if (step.kind === "answer") return record;
      if (step.kind === "look") {
        record = await this.ledger.refresh(record, call);
        fresh = true;
        continue;
      }
      const { intentId, captureGeneration } = record;
      const key = stripeKey(checkoutId, "capture", captureGeneration);
      const answer = await whileBusy(call, () => this.stripe.captureIntent(intentId, key, call));
      if (answer.ok) {
        record = await this.ledger.settle(record, await this.intents.newest(answer, call), call);
        fresh = true;
        continue;
      }
      if (answer.reason === "unknown" && !answer.storedError) return this.ledger.unknown(record, "capture", answer);
      if (answer.reason === "refused" && answer.code === "idempotency_error")
        throw this.intents.keyReused(record, "capture");
      record = await this.ledger.refresh(record, call);
      fresh = true;
      if (decideCapture(record, true).kind !== "capture") continue;
      if (answer.reason !== "unknown") throw this.notDone(checkoutId, "capture", answer);
      const next = { ...record, captureGeneration: captureGeneration + 1 };
      record = (await this.ledger.change(record, next)) ?? (await this.intents.reread(record));
    }
    throw contended();
  }

  /** Stripe refuses, and still says that the payment is in the very state which allows it. */
  private notDone(checkoutId: string, step: string, answer: Exclude<Answer<never>, { ok: true }>): DomainError {
    const why = answer.reason === "refused" ? { code: answer.code, stripe: answer.message } : { code: answer.reason };
    this.log.error({ checkoutId, step, ...why }, "Stripe refused a step that its own state allows");
    return new DomainError("UNAVAILABLE", `Stripe refused to ${step} this payment for now. It will be tried again.`, {
      retryAfterSeconds: 5,
    });
  }

  // ---- cancel

  private async cancelNow(
    checkoutId: string,
    reason: CancelReason | undefined,
    deadlineMs: number,
  ): Promise<PaymentRecord> {
    const call: Call = { lane: "money", deadlineMs };
    let record = await this.store.read(checkoutId);
    for (let turn = 0; turn < maxTurns; turn += 1) {
      const step = decideCancel(record);
      if (step.kind === "tombstone" || !record) {
        const stone = tombstone(checkoutId, reason, Date.now());
        if (await this.store.insert(stone)) return stone;
        record = await this.store.read(checkoutId);
        continue;
      }
      if (step.kind === "answer") return record;
      if (step.kind === "mark") {
        const cancellation = { requestedAtMs: Date.now(), ...(reason && { reason }) };
        record = (await this.ledger.change(record, { ...record, cancellation })) ?? (await this.intents.reread(record));
        continue;
      }
      const ready = await this.intents.ensure(record, call);
      if ("reason" in ready) {
        // Stripe would not even make it: there is nothing to cancel.
        record =
          (await this.ledger.change(record, { ...record, state: "cancelled" })) ?? (await this.intents.reread(record));
        continue;
      }
      if (ready.intentId === undefined || decideCancel(ready).kind !== "cancel") {
        record = ready;
        continue;
      }
      if (ready.unsureSinceMs !== undefined) {
        record = await this.ledger.refresh(ready, call);
        continue;
      }
      record = await this.cancelIntent(ready, ready.intentId, call);
    }
    throw contended();
  }

  private async cancelIntent(record: PaymentRecord, intentId: string, call: Call): Promise<PaymentRecord> {
    const { checkoutId, cancelGeneration, cancellation } = record;
    const key = stripeKey(checkoutId, "cancel", cancelGeneration);
    const answer = await whileBusy(call, () => this.stripe.cancelIntent(intentId, cancellation?.reason, key, call));
    if (answer.ok) return this.ledger.settle(record, await this.intents.newest(answer, call), call);
    if (answer.reason === "unknown" && !answer.storedError) return this.ledger.unknown(record, "cancel", answer);
    if (answer.reason === "refused" && answer.code === "idempotency_error")
      throw this.intents.keyReused(record, "cancel");
    const now = await this.ledger.refresh(record, call);
    if (now.state === "cancelled" || isTaken(now.state)) return now;
    // processing: the bank has not decided, and until then Stripe lets nobody cancel.
    if (answer.reason !== "unknown") throw this.notDone(checkoutId, "cancel", answer);
    return (
      (await this.ledger.change(now, { ...now, cancelGeneration: cancelGeneration + 1 })) ??
      (await this.intents.reread(now))
    );
  }
}

/** "No such PaymentMethod", "was used before", and the like. */
const isAboutMethod = ({ code, param, message }: RefusedAnswer): boolean =>
  param === "payment_method" || code.startsWith("payment_method_") || /\bPaymentMethod\b/.test(message);
