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
import {
  contended,
  createTurns,
  type Ledger,
  outcomeUnknown,
  type RefusedAnswer,
  refusalOf,
  whileBusy,
} from "./ledger.js";
import {
  type Attempt,
  type AuthorizeOrder,
  beginRecord,
  type CancelReason,
  changeAttempt,
  decideAuthorize,
  decideCancel,
  decideCapture,
  type IntentSnapshot,
  isTaken,
  keyLifetimeMs,
  methodInvalid,
  openAttempt,
  type PaymentRecord,
  stripeKey,
  tombstone,
} from "./payments.js";
import type { Store } from "./store.js";
import type { Answer, Call, StripeApi } from "./stripe.js";

const maxTurns = 20;
/** Our clock against Stripe's. */
const clockSkewMs = 10_000;
/** Recent intents are listed, which is exact; older ones are searched, when the search has long caught up. */
const recentMs = 10 * 60 * 1000;

export interface Charges {
  authorize(order: AuthorizeOrder, deadlineMs: number): Promise<PaymentRecord>;
  capture(checkoutId: string, deadlineMs: number): Promise<PaymentRecord>;
  /** The record afterwards; a tombstone when there never was a payment. */
  cancel(checkoutId: string, reason: CancelReason | undefined, deadlineMs: number): Promise<PaymentRecord>;
}

export interface ChargesParts {
  readonly store: Store;
  readonly stripe: StripeApi;
  readonly ledger: Ledger;
  readonly log: Logger;
}

export function createCharges({ store, stripe, ledger, log }: ChargesParts): Charges {
  const inTurn = createTurns();

  // ---- the intent

  /**
   * The record with its intent, made now if need be; the record as it is now if somebody else changed it; or Stripe's
   * refusal to make one.
   */
  async function ensureIntent(record: PaymentRecord, call: Call): Promise<PaymentRecord | RefusedAnswer> {
    const { intentId, creation, checkoutId, eventId, amount, currency, description } = record;
    if (intentId || !creation) return record;
    if (Date.now() - creation.firstSentAtMs > keyLifetimeMs) {
      const found = await search(checkoutId, call);
      return found ? adopt(record, found, call) : takeFreshKey(record, creation);
    }
    const answer = await whileBusy(call, () =>
      stripe.createIntent(
        { checkoutId, eventId, amount, currency, description },
        stripeKey(checkoutId, "create", creation.generation),
        call,
      ),
    );
    if (answer.ok) return adopt(record, answer.value, call);
    if (answer.reason === "unknown") {
      if (!answer.storedError) throw outcomeUnknown(answer);
      return afterStoredError(record, creation, call);
    }
    if (answer.reason === "declined") throw new Error("a creation can't be declined: it names no card");
    if (answer.code === "idempotency_error") throw keyReused(record, "create");
    return answer;
  }

  async function search(checkoutId: string, call: Call): Promise<IntentSnapshot | undefined> {
    const answer = await whileBusy(call, () => stripe.findIntent(checkoutId, call));
    if (answer.ok) return answer.value;
    if (answer.reason === "unknown") throw outcomeUnknown(answer);
    throw new Error(`Stripe refused a search: ${answer.reason}`);
  }

  async function afterStoredError(
    record: PaymentRecord,
    creation: NonNullable<PaymentRecord["creation"]>,
    call: Call,
  ): Promise<PaymentRecord> {
    const { checkoutId } = record;
    const [fromMs, toMs] = [creation.firstSentAtMs - clockSkewMs, Date.now() + clockSkewMs];
    if (toMs - fromMs > recentMs) {
      const found = await search(checkoutId, call);
      return found ? adopt(record, found, call) : takeFreshKey(record, creation);
    }
    const recent = await stripe.findRecentIntent(checkoutId, { fromMs, toMs }, call);
    if (recent.ok) return recent.value ? adopt(record, recent.value, call) : takeFreshKey(record, creation);
    if (recent.reason === "unknown") throw outcomeUnknown(recent);
    throw new Error(`Stripe refused to list intents: ${recent.reason}`);
  }

  async function takeFreshKey(
    record: PaymentRecord,
    { generation }: NonNullable<PaymentRecord["creation"]>,
  ): Promise<PaymentRecord> {
    const next = { ...record, creation: { firstSentAtMs: Date.now(), generation: generation + 1 } };
    return (await ledger.change(record, next)) ?? (await reread(record));
  }

  async function adopt(record: PaymentRecord, made: IntentSnapshot, call: Call): Promise<PaymentRecord> {
    const { checkoutId } = record;
    if (made.amount !== record.amount || made.currency !== record.currency || made.checkoutId !== checkoutId) {
      log.error(
        { checkoutId, amount: record.amount, currency: record.currency, made },
        "a bug: the intent is not ours",
      );
      throw new DomainError("INTERNAL", "Stripe made another payment than was asked for; nothing was charged.");
    }
    const written = await ledger.change(record, { ...record, intentId: made.intentId });
    if (written) return written;
    const now = await reread(record);
    // It changed for another reason (a cancellation, perhaps): the intent still has to be known.
    return now.intentId ? now : ensureIntent(now, call).then((result) => ("reason" in result ? now : result));
  }

  async function reread(record: PaymentRecord): Promise<PaymentRecord> {
    const now = await store.read(record.checkoutId);
    if (!now) throw new Error(`the payment of ${record.checkoutId} is gone`);
    return now;
  }

  function keyReused(record: PaymentRecord, step: string): DomainError {
    log.error({ checkoutId: record.checkoutId, step }, "a bug: a key went out with two different requests");
    return new DomainError("INTERNAL", "Stripe was asked for two different things under one key. It has been logged.");
  }

  /** A success that Stripe only repeated is old: what is true now has to be read. */
  const newest = (answer: Extract<Answer<IntentSnapshot>, { ok: true }>, call: Call): Promise<IntentSnapshot> =>
    answer.replayed ? ledger.present(answer.value.intentId, call) : Promise.resolve(answer.value);

  // ---- authorize

  async function authorize(order: AuthorizeOrder, deadlineMs: number): Promise<PaymentRecord> {
    const call: Call = { lane: "new", deadlineMs };
    let record = await store.read(order.checkoutId);
    /** Has the attempt's confirmation surely not been sent by anybody, or was Stripe asked since? */
    let certain = false;
    for (let turn = 0; turn < maxTurns; turn += 1) {
      const step = decideAuthorize(record, order);
      if (step.kind === "refuse") {
        if (step.code === "INTERNAL")
          log.error({ checkoutId: order.checkoutId, amount: order.amount }, "a bug: a checkout's amount changed");
        throw refusalOf(step);
      }
      if (step.kind === "begin" || !record) {
        const begun = beginRecord(order, Date.now());
        certain = await store.insert(begun);
        record = certain ? begun : await store.read(order.checkoutId);
        continue;
      }
      if (step.kind === "answer") return record;
      if (step.kind === "next") {
        const opened: PaymentRecord | undefined = await ledger.change(record, openAttempt(record, order));
        certain = opened !== undefined;
        record = opened ?? (await reread(record));
        continue;
      }
      const ready = await ensureIntent(record, call);
      if ("reason" in ready) throw notAccepted(ready);
      if (ready.intentId === undefined || decideAuthorize(ready, order).kind !== "confirm") {
        record = ready;
        continue;
      }
      if (!certain || ready.unsureSinceMs !== undefined) {
        record = await ledger.refresh(ready, call);
        certain = true;
        continue;
      }
      const confirmed: { record: PaymentRecord; done: boolean } = await confirm(
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

  async function confirm(
    record: PaymentRecord,
    intentId: string,
    { attempt, generation }: Attempt,
    order: AuthorizeOrder,
    call: Call,
  ): Promise<{ record: PaymentRecord; done: boolean }> {
    const key = stripeKey(record.checkoutId, `confirm:${attempt}`, generation);
    const answer = await whileBusy(call, () =>
      stripe.confirmIntent(intentId, { paymentMethodId: order.paymentMethodId, returnUrl: order.returnUrl }, key, call),
    );
    if (answer.ok)
      return { record: await ledger.settle(record, await newest(answer, call), call, { attempt }), done: true };
    if (answer.reason === "declined") {
      const snapshot = answer.intent && !answer.replayed ? answer.intent : await ledger.present(intentId, call);
      return {
        record: await ledger.settle(record, snapshot, call, { attempt, decline: answer.decline }),
        done: true,
      };
    }
    if (answer.reason === "unknown") {
      if (!answer.storedError) return ledger.unknown(record, "confirm", answer);
      const now = await ledger.refresh(record, call);
      if (decideAuthorize(now, order).kind !== "confirm") return { record: now, done: false };
      const fresh = await ledger.change(now, changeAttempt(now, attempt, { generation: generation + 1 }));
      return { record: fresh ?? (await reread(record)), done: false };
    }
    if (answer.code === "idempotency_error") throw keyReused(record, "confirm");
    if (isAboutMethod(answer)) {
      const now = await ledger.change(record, changeAttempt(record, attempt, { outcome: "method_invalid" }));
      if (now) throw refusalOf(methodInvalid);
      return { record: await reread(record), done: false };
    }
    const now = await ledger.refresh(record, call);
    if (decideAuthorize(now, order).kind !== "confirm") return { record: now, done: false };
    throw notAccepted(answer);
  }

  /** "No such PaymentMethod", "was used before", and the like. */
  const isAboutMethod = ({ code, param, message }: RefusedAnswer): boolean =>
    param === "payment_method" || code.startsWith("payment_method_") || /\bPaymentMethod\b/.test(message);

  function notAccepted({ code, param, message }: RefusedAnswer): DomainError {
    log.error({ code, param, stripe: message }, "Stripe refused a request for good");
    return new DomainError(
      "REQUEST_INVALID",
      "Stripe does not accept this payment as it stands. Nothing was charged.",
      {
        stripeCode: code,
      },
    );
  }

  // ---- capture

  async function capture(checkoutId: string, deadlineMs: number): Promise<PaymentRecord> {
    const call: Call = { lane: "money", deadlineMs };
    let record = await store.read(checkoutId);
    let fresh = false;
    for (let turn = 0; turn < maxTurns; turn += 1) {
      const step = decideCapture(record, fresh);
      if (step.kind === "refuse") throw refusalOf(step);
      if (!record?.intentId) throw new Error("a payment without an intent can't be captured");
      if (step.kind === "answer") return record;
      if (step.kind === "look") {
        record = await ledger.refresh(record, call);
        fresh = true;
        continue;
      }
      const { intentId, captureGeneration } = record;
      const key = stripeKey(checkoutId, "capture", captureGeneration);
      const answer = await whileBusy(call, () => stripe.captureIntent(intentId, key, call));
      if (answer.ok) {
        record = await ledger.settle(record, await newest(answer, call), call);
        fresh = true;
        continue;
      }
      if (answer.reason === "unknown" && !answer.storedError) return ledger.unknown(record, "capture", answer);
      if (answer.reason === "refused" && answer.code === "idempotency_error") throw keyReused(record, "capture");
      record = await ledger.refresh(record, call);
      fresh = true;
      if (decideCapture(record, true).kind !== "capture") continue;
      if (answer.reason !== "unknown") throw notDone(checkoutId, "capture", answer);
      const next = { ...record, captureGeneration: captureGeneration + 1 };
      record = (await ledger.change(record, next)) ?? (await reread(record));
    }
    throw contended();
  }

  /** Stripe refuses, and still says that the payment is in the very state which allows it. */
  function notDone(checkoutId: string, step: string, answer: Exclude<Answer<never>, { ok: true }>): DomainError {
    const why = answer.reason === "refused" ? { code: answer.code, stripe: answer.message } : { code: answer.reason };
    log.error({ checkoutId, step, ...why }, "Stripe refused a step that its own state allows");
    return new DomainError("UNAVAILABLE", `Stripe refused to ${step} this payment for now. It will be tried again.`, {
      retryAfterSeconds: 5,
    });
  }

  // ---- cancel

  async function cancel(
    checkoutId: string,
    reason: CancelReason | undefined,
    deadlineMs: number,
  ): Promise<PaymentRecord> {
    const call: Call = { lane: "money", deadlineMs };
    let record = await store.read(checkoutId);
    for (let turn = 0; turn < maxTurns; turn += 1) {
      const step = decideCancel(record);
      if (step.kind === "tombstone" || !record) {
        const stone = tombstone(checkoutId, reason, Date.now());
        if (await store.insert(stone)) return stone;
        record = await store.read(checkoutId);
        continue;
      }
      if (step.kind === "answer") return record;
      if (step.kind === "mark") {
        const cancellation = { requestedAtMs: Date.now(), ...(reason && { reason }) };
        record = (await ledger.change(record, { ...record, cancellation })) ?? (await reread(record));
        continue;
      }
      const ready = await ensureIntent(record, call);
      if ("reason" in ready) {
        // Stripe would not even make it: there is nothing to cancel.
        record = (await ledger.change(record, { ...record, state: "cancelled" })) ?? (await reread(record));
        continue;
      }
      if (ready.intentId === undefined || decideCancel(ready).kind !== "cancel") {
        record = ready;
        continue;
      }
      if (ready.unsureSinceMs !== undefined) {
        record = await ledger.refresh(ready, call);
        continue;
      }
      record = await cancelIntent(ready, ready.intentId, call);
    }
    throw contended();
  }

  async function cancelIntent(record: PaymentRecord, intentId: string, call: Call): Promise<PaymentRecord> {
    const { checkoutId, cancelGeneration, cancellation } = record;
    const key = stripeKey(checkoutId, "cancel", cancelGeneration);
    const answer = await whileBusy(call, () => stripe.cancelIntent(intentId, cancellation?.reason, key, call));
    if (answer.ok) return ledger.settle(record, await newest(answer, call), call);
    if (answer.reason === "unknown" && !answer.storedError) return ledger.unknown(record, "cancel", answer);
    if (answer.reason === "refused" && answer.code === "idempotency_error") throw keyReused(record, "cancel");
    const now = await ledger.refresh(record, call);
    if (now.state === "cancelled" || isTaken(now.state)) return now;
    // processing: the bank has not decided, and until then Stripe lets nobody cancel.
    if (answer.reason !== "unknown") throw notDone(checkoutId, "cancel", answer);
    return (await ledger.change(now, { ...now, cancelGeneration: cancelGeneration + 1 })) ?? (await reread(now));
  }

  return {
    authorize: (order, deadlineMs) => inTurn(`authorize ${order.checkoutId}`, () => authorize(order, deadlineMs)),
    capture: (checkoutId, deadlineMs) => inTurn(`capture ${checkoutId}`, () => capture(checkoutId, deadlineMs)),
    cancel: (checkoutId, reason, deadlineMs) =>
      inTurn(`cancel ${checkoutId}`, () => cancel(checkoutId, reason, deadlineMs)),
  };
}
