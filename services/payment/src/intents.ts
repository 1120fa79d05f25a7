// The one PaymentIntent of a checkout: made once, and found again when nobody knows whether it was made.
import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import { type Ledger, outcomeUnknown, type RefusedAnswer, whileBusy } from "./ledger.js";
import { type IntentSnapshot, keyLifetimeMs, type PaymentRecord, stripeKey } from "./payments.js";
import type { Store } from "./store.js";
import type { StripeApi } from "./stripe.js";
import type { Answer, Call } from "./stripe-line.js";

/** Our clock against Stripe's. */
const clockSkewMs = 10_000;
/** Recent intents are listed, which is exact; older ones are searched, when the search has long caught up. */
const recentMs = 10 * 60 * 1000;

export interface ChargesParts {
  readonly store: Store;
  readonly stripe: StripeApi;
  readonly ledger: Ledger;
  readonly log: Logger;
}

export class Intents {
  private readonly store: Store;
  private readonly stripe: StripeApi;
  private readonly ledger: Ledger;
  private readonly log: Logger;

  constructor({ store, stripe, ledger, log }: ChargesParts) {
    this.store = store;
    this.stripe = stripe;
    this.ledger = ledger;
    this.log = log;
  }

  /**
   * The record with its intent, made now if need be; the record as it is now if somebody else changed it; or Stripe's
   * refusal to make one.
   */
  async ensure(record: PaymentRecord, call: Call): Promise<PaymentRecord | RefusedAnswer> {
    const { intentId, creation, checkoutId, eventId, amount, currency, description } = record;
    if (intentId || !creation) return record;
    if (Date.now() - creation.firstSentAtMs > keyLifetimeMs) {
      const found = await this.search(checkoutId, call);
      return found ? this.adopt(record, found, call) : this.takeFreshKey(record, creation);
    }
    const answer = await whileBusy(call, () =>
      this.stripe.createIntent(
        { checkoutId, eventId, amount, currency, description },
        stripeKey(checkoutId, "create", creation.generation),
        call,
      ),
    );
    if (answer.ok) return this.adopt(record, answer.value, call);
    if (answer.reason === "unknown") {
      if (!answer.storedError) throw outcomeUnknown(answer);
      return this.afterStoredError(record, creation, call);
    }
    if (answer.reason === "declined") throw new Error("a creation can't be declined: it names no card");
    if (answer.code === "idempotency_error") throw this.keyReused(record, "create");
    return answer;
  }

  private async search(checkoutId: string, call: Call): Promise<IntentSnapshot | undefined> {
    const answer = await whileBusy(call, () => this.stripe.findIntent(checkoutId, call));
    if (answer.ok) return answer.value;
    if (answer.reason === "unknown") throw outcomeUnknown(answer);
    throw new Error(`Stripe refused a search: ${answer.reason}`);
  }

  private async afterStoredError(
    record: PaymentRecord,
    creation: NonNullable<PaymentRecord["creation"]>,
    call: Call,
  ): Promise<PaymentRecord> {
    const { checkoutId } = record;
    const [fromMs, toMs] = [creation.firstSentAtMs - clockSkewMs, Date.now() + clockSkewMs];
    if (toMs - fromMs > recentMs) {
      const found = await this.search(checkoutId, call);
      return found ? this.adopt(record, found, call) : this.takeFreshKey(record, creation);
    }
    const recent = await this.stripe.findRecentIntent(checkoutId, { fromMs, toMs }, call);
    if (recent.ok) return recent.value ? this.adopt(record, recent.value, call) : this.takeFreshKey(record, creation);
    if (recent.reason === "unknown") throw outcomeUnknown(recent);
    throw new Error(`Stripe refused to list intents: ${recent.reason}`);
  }

  private async takeFreshKey(
    record: PaymentRecord,
    { generation }: NonNullable<PaymentRecord["creation"]>,
  ): Promise<PaymentRecord> {
    const next = { ...record, creation: { firstSentAtMs: Date.now(), generation: generation + 1 } };
    return (await this.ledger.change(record, next)) ?? (await this.reread(record));
  }

  private async adopt(record: PaymentRecord, made: IntentSnapshot, call: Call): Promise<PaymentRecord> {
    const { checkoutId } = record;
    if (made.amount !== record.amount || made.currency !== record.currency || made.checkoutId !== checkoutId) {
      this.log.error(
        { checkoutId, amount: record.amount, currency: record.currency, made },
        "a bug: the intent is not ours",
      );
      throw new DomainError("INTERNAL", "Stripe made another payment than was asked for; nothing was charged.");
    }
    const written = await this.ledger.change(record, { ...record, intentId: made.intentId });
    if (written) return written;
    const now = await this.reread(record);
    // It changed for another reason (a cancellation, perhaps): the intent still has to be known.
    return now.intentId ? now : this.ensure(now, call).then((result) => ("reason" in result ? now : result));
  }

  async reread(record: PaymentRecord): Promise<PaymentRecord> {
    const now = await this.store.read(record.checkoutId);
    if (!now) throw new Error(`the payment of ${record.checkoutId} is gone`);
    return now;
  }

  keyReused(record: PaymentRecord, step: string): DomainError {
    this.log.error({ checkoutId: record.checkoutId, step }, "a bug: a key went out with two different requests");
    return new DomainError("INTERNAL", "Stripe was asked for two different things under one key. It has been logged.");
  }

  /** A success that Stripe only repeated is old: what is true now has to be read. */
  async newest(answer: Extract<Answer<IntentSnapshot>, { ok: true }>, call: Call): Promise<IntentSnapshot> {
    return answer.replayed ? this.ledger.present(answer.value.intentId, call) : answer.value;
  }
}
