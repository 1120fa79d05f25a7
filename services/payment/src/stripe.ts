// Stripe's endpoints as payment uses them, in payment's own words, and the webhooks' signatures.
import { DomainError } from "@onsale/kit/errors";
import Stripe from "stripe";
import type { DisputeSnapshot, Evidence } from "./disputes.js";
import type { CancelReason, IntentSnapshot } from "./payments.js";
import type { RefundSnapshot } from "./refunds.js";
import { type Answer, type Call, StripeLine, type StripeSettings } from "./stripe-line.js";
import {
  entryOf,
  type IntentWithCharge,
  lastOf,
  readDispute,
  readEvent,
  readIntent,
  readIntentWithCharge,
  readRefund,
  type WebhookEvent,
} from "./stripe-objects.js";

export interface NewIntent {
  readonly checkoutId: string;
  readonly eventId: string;
  readonly amount: number;
  readonly currency: string;
  readonly description: string;
}

export interface NewRefund {
  readonly intentId: string;
  readonly checkoutId: string;
  readonly refundId: string;
  readonly amount: number;
}

/** A page of intents, newest first. */
export interface IntentPage {
  readonly intents: readonly (IntentSnapshot & { readonly createdAtMs: number })[];
  readonly isLast: boolean;
}

export interface StripeApi {
  createIntent(intent: NewIntent, key: string, call: Call): Promise<Answer<IntentSnapshot>>;
  confirmIntent(
    intentId: string,
    how: { readonly paymentMethodId: string; readonly returnUrl: string },
    key: string,
    call: Call,
  ): Promise<Answer<IntentSnapshot>>;
  captureIntent(intentId: string, key: string, call: Call): Promise<Answer<IntentSnapshot>>;
  cancelIntent(
    intentId: string,
    reason: CancelReason | undefined,
    key: string,
    call: Call,
  ): Promise<Answer<IntentSnapshot>>;
  /** With its refunds and disputes. */
  retrieveIntent(intentId: string, call: Call): Promise<Answer<IntentSnapshot>>;
  /** By the metadata that we gave it. Stripe's search lags: a minute usually, longer in an outage. */
  findIntent(checkoutId: string, call: Call): Promise<Answer<IntentSnapshot | undefined>>;
  /** The same among those made between two moments, without a lag, but a page of 100 at a time. */
  findRecentIntent(
    checkoutId: string,
    made: { readonly fromMs: number; readonly toMs: number },
    call: Call,
  ): Promise<Answer<IntentSnapshot | undefined>>;
  /** Those made between two moments, with their refunds and disputes, without a lag. `after`: the page behind this one. */
  listIntents(
    made: { readonly fromMs?: number; readonly beforeMs?: number },
    page: { readonly after?: string; readonly limit: number },
    call: Call,
  ): Promise<Answer<IntentPage>>;
  createRefund(refund: NewRefund, key: string, call: Call): Promise<Answer<RefundSnapshot>>;
  /** All refunds of an intent, oldest first, without a lag. */
  listRefunds(intentId: string, call: Call): Promise<Answer<readonly RefundSnapshot[]>>;
  retrieveDispute(disputeId: string, call: Call): Promise<Answer<DisputeSnapshot>>;
  /** Puts evidence on a dispute beside what is there; `submit` sends all of it to the bank, once and for ever. */
  giveEvidence(
    disputeId: string,
    evidence: Evidence,
    submit: boolean,
    key: string,
    call: Call,
  ): Promise<Answer<DisputeSnapshot>>;
  /** undefined: no secret of ours signed these bytes lately. */
  readWebhook(body: Buffer, signature: string): WebhookEvent | undefined;
  stop(): void;
}

export function createStripe(settings: StripeSettings): StripeApi {
  return new StripeEndpoints(settings);
}

/** What comes with an intent, so that most payments need no second question. */
const expand = ["latest_charge"];

class StripeEndpoints implements StripeApi {
  private readonly line: StripeLine;
  private readonly client: Stripe;

  constructor(private readonly settings: StripeSettings) {
    this.line = new StripeLine(settings);
    this.client = this.line.client;
  }

  // ---- intents

  createIntent(
    { checkoutId, eventId, amount, currency, description }: NewIntent,
    idempotencyKey: string,
    call: Call,
  ): Promise<Answer<IntentSnapshot>> {
    const intent = {
      amount,
      currency: currency.toLowerCase(),
      // Cards only: a method must allow capturing later, and have the buyer back within the hold's minutes.
      // This parameter took the place of payment_method_types, which this API version refuses.
      allowed_payment_method_types: ["card" as const],
      capture_method: "manual" as const,
      metadata: { checkoutId, workflowId: `checkout-${checkoutId}`, eventId },
      ...(description && { description }),
    };
    return this.line.ask(
      "create",
      call,
      () => this.client.paymentIntents.create(intent, { idempotencyKey }),
      readIntent,
    );
  }

  confirmIntent(
    intentId: string,
    { paymentMethodId, returnUrl }: { readonly paymentMethodId: string; readonly returnUrl: string },
    idempotencyKey: string,
    call: Call,
  ): Promise<Answer<IntentSnapshot>> {
    const how = { payment_method: paymentMethodId, return_url: returnUrl, expand };
    return this.line.ask(
      "confirm",
      call,
      () => this.client.paymentIntents.confirm(intentId, how, { idempotencyKey }),
      readIntent,
    );
  }

  captureIntent(intentId: string, idempotencyKey: string, call: Call): Promise<Answer<IntentSnapshot>> {
    return this.line.ask(
      "capture",
      call,
      () => this.client.paymentIntents.capture(intentId, { expand }, { idempotencyKey }),
      readIntent,
    );
  }

  cancelIntent(
    intentId: string,
    reason: CancelReason | undefined,
    idempotencyKey: string,
    call: Call,
  ): Promise<Answer<IntentSnapshot>> {
    const how = { ...(reason && { cancellation_reason: reason }), expand };
    return this.line.ask(
      "cancel",
      call,
      () => this.client.paymentIntents.cancel(intentId, how, { idempotencyKey }),
      readIntent,
    );
  }

  async retrieveIntent(intentId: string, call: Call): Promise<Answer<IntentSnapshot>> {
    const read = await this.line.ask(
      "retrieve",
      call,
      () => this.client.paymentIntents.retrieve(intentId, { expand: ["latest_charge.refunds"] }),
      readIntentWithCharge,
    );
    return read.ok ? this.complete(read.value, call) : read;
  }

  findIntent(checkoutId: string, call: Call): Promise<Answer<IntentSnapshot | undefined>> {
    return this.line.ask(
      "search",
      call,
      () => this.client.paymentIntents.search({ query: `metadata['checkoutId']:'${checkoutId}'`, limit: 10 }),
      ({ data }) => data.map(readIntent).find((intent) => intent.checkoutId === checkoutId),
    );
  }

  async findRecentIntent(
    checkoutId: string,
    { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number },
    call: Call,
  ): Promise<Answer<IntentSnapshot | undefined>> {
    const created = { gte: Math.floor(fromMs / 1000), lte: Math.ceil(toMs / 1000) };
    let after: string | undefined;
    for (;;) {
      const page = await this.line.ask(
        "list",
        call,
        () => this.client.paymentIntents.list({ created, limit: 100, ...(after && { starting_after: after }) }),
        ({ data, has_more }) => ({ intents: data.map(readIntent), isLast: !has_more }),
      );
      if (!page.ok) return page;
      const { intents, isLast } = page.value;
      const value = intents.find((intent) => intent.checkoutId === checkoutId);
      after = intents.at(-1)?.intentId;
      if (value || isLast || !after) return { ok: true, value, replayed: false };
    }
  }

  async listIntents(
    { fromMs, beforeMs }: { readonly fromMs?: number; readonly beforeMs?: number },
    { after, limit }: { readonly after?: string; readonly limit: number },
    call: Call,
  ): Promise<Answer<IntentPage>> {
    const created = {
      ...(fromMs !== undefined && { gte: Math.ceil(fromMs / 1000) }),
      ...(beforeMs !== undefined && { lt: Math.ceil(beforeMs / 1000) }),
    };
    const page = await this.line.ask(
      "list",
      call,
      () =>
        this.client.paymentIntents.list({
          ...(Object.keys(created).length > 0 && { created }),
          limit,
          expand: ["data.latest_charge.refunds"],
          ...(after && { starting_after: after }),
        }),
      ({ data, has_more }) => ({
        found: data.map((intent) => ({ read: readIntentWithCharge(intent), createdAtMs: intent.created * 1000 })),
        isLast: !has_more,
      }),
    );
    if (!page.ok) return page;
    const intents: (IntentSnapshot & { createdAtMs: number })[] = [];
    for (const { read, createdAtMs } of page.value.found) {
      const whole = await this.complete(read, call);
      if (!whole.ok) return whole;
      intents.push({ ...whole.value, createdAtMs });
    }
    return { ok: true, value: { intents, isLast: page.value.isLast }, replayed: false };
  }

  /** An intent that came with its charge, and what did not fit into the answer. Most payments need no more questions. */
  private async complete(
    { snapshot, isDisputed, hasAllRefunds }: IntentWithCharge,
    call: Call,
  ): Promise<Answer<IntentSnapshot>> {
    let whole = snapshot;
    if (!hasAllRefunds) {
      const refunds = await this.listRefunds(snapshot.intentId, call);
      if (!refunds.ok) return refunds;
      whole = { ...whole, refunds: refunds.value };
    }
    if (isDisputed) {
      const disputes = await this.listDisputes(snapshot.intentId, call);
      if (!disputes.ok) return disputes;
      whole = { ...whole, disputes: disputes.value.map(entryOf) };
    }
    return { ok: true, value: whole, replayed: false };
  }

  // ---- refunds and disputes

  createRefund(
    { intentId, checkoutId, refundId, amount }: NewRefund,
    idempotencyKey: string,
    call: Call,
  ): Promise<Answer<RefundSnapshot>> {
    const refund = { payment_intent: intentId, amount, metadata: { checkoutId, refundId } };
    return this.line.ask("refund", call, () => this.client.refunds.create(refund, { idempotencyKey }), readRefund);
  }

  listRefunds(intentId: string, call: Call): Promise<Answer<readonly RefundSnapshot[]>> {
    return everyPage((after) =>
      this.line.ask(
        "refunds",
        call,
        () => this.client.refunds.list({ payment_intent: intentId, limit: 100, ...after }),
        ({ data, has_more }) => ({ values: data.map(readRefund), isLast: !has_more, ...lastOf(data) }),
      ),
    );
  }

  private listDisputes(intentId: string, call: Call): Promise<Answer<readonly DisputeSnapshot[]>> {
    return everyPage((after) =>
      this.line.ask(
        "disputes",
        call,
        () => this.client.disputes.list({ payment_intent: intentId, limit: 100, ...after }),
        ({ data, has_more }) => ({ values: data.map(readDispute), isLast: !has_more, ...lastOf(data) }),
      ),
    );
  }

  retrieveDispute(disputeId: string, call: Call): Promise<Answer<DisputeSnapshot>> {
    return this.line.ask("dispute", call, () => this.client.disputes.retrieve(disputeId), readDispute);
  }

  giveEvidence(
    disputeId: string,
    evidence: Evidence,
    submit: boolean,
    idempotencyKey: string,
    call: Call,
  ): Promise<Answer<DisputeSnapshot>> {
    return this.line.ask(
      "evidence",
      call,
      () => this.client.disputes.update(disputeId, { evidence: { ...evidence }, submit }, { idempotencyKey }),
      readDispute,
    );
  }

  // ---- webhooks

  readWebhook(body: Buffer, signature: string): WebhookEvent | undefined {
    const { webhookSecrets, webhookToleranceSeconds } = this.settings;
    for (const secret of webhookSecrets) {
      try {
        return readEvent(this.client.webhooks.constructEvent(body, signature, secret, webhookToleranceSeconds));
      } catch (error) {
        if (!(error instanceof Stripe.errors.StripeSignatureVerificationError)) throw notAnEvent(error);
      }
    }
    return undefined;
  }

  stop(): void {
    this.line.close();
  }
}

/** Every object of a list, oldest first; Stripe gives the newest first, a hundred at a time. */
async function everyPage<Value>(
  askAfter: (after: {
    readonly starting_after?: string;
  }) => Promise<Answer<{ values: readonly Value[]; last?: string; isLast: boolean }>>,
): Promise<Answer<readonly Value[]>> {
  const values: Value[] = [];
  for (let last: string | undefined; ; ) {
    const page = await askAfter(last ? { starting_after: last } : {});
    if (!page.ok) return page;
    values.push(...page.value.values);
    last = page.value.last;
    if (page.value.isLast || !last) return { ok: true, value: values.reverse(), replayed: false };
  }
}

/** Rightly signed, but not an event of the kind that this endpoint is for. */
function notAnEvent(cause: unknown): DomainError {
  return new DomainError(
    "REQUEST_INVALID",
    "The body is signed by Stripe but is not an event that this endpoint reads.",
    {},
    cause,
  );
}
