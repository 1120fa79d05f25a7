// What Stripe tells by itself: a delivery is verified, taken as a hint to look, and noted once its effect is stored.
import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import { contended, type Ledger } from "./ledger.js";
import { agrees, type PaymentRecord } from "./payments.js";
import type { Store } from "./store.js";
import type { StripeApi } from "./stripe.js";
import type { Call } from "./stripe-line.js";
import type { WebhookEvent } from "./stripe-objects.js";

export interface HandledWebhook {
  readonly stripeEventId: string;
  readonly stripeEventType: string;
  /** undefined: about nothing of ours. */
  readonly record: PaymentRecord | undefined;
  readonly seenBefore: boolean;
}

export interface Webhooks {
  handle(body: Buffer, signature: string, deadlineMs: number): Promise<HandledWebhook>;
}

export interface WebhooksParts {
  readonly store: Store;
  readonly stripe: StripeApi;
  readonly ledger: Ledger;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export function createWebhooks({ store, stripe, ledger, log, metrics }: WebhooksParts): Webhooks {
  const deliveries = metrics.counter(
    "onsale_stripe_webhooks_total",
    "Webhook deliveries by what they came to",
    ["outcome"],
    [{ outcome: "applied" }, { outcome: "duplicate" }, { outcome: "not_ours" }, { outcome: "forged" }],
  );

  /** The payment that an event is about, if it is one of ours. */
  async function paymentOf({ intentId, checkoutId, intent }: WebhookEvent): Promise<PaymentRecord | undefined> {
    if (!intentId) return undefined;
    for (let turn = 0; turn < 5; turn += 1) {
      const record: PaymentRecord | undefined =
        (await store.readByIntent(intentId)) ?? (checkoutId ? await store.read(checkoutId) : undefined);
      if (!record || record.intentId === intentId) return record;
      // The metadata names a checkout of ours whose record doesn't know its intent yet: the creation's answer was lost.
      if (record.intentId || !record.creation || !intent) {
        log.warn({ checkoutId, intentId }, "Stripe tells of an intent that is not the one of this checkout");
        return undefined;
      }
      if (intent.amount !== record.amount || intent.currency !== record.currency) {
        log.error({ checkoutId, intentId }, "a bug: an intent of this checkout has another amount");
        return undefined;
      }
      const adopted = await ledger.change(record, { ...record, intentId });
      if (adopted) return adopted;
    }
    throw contended();
  }

  return {
    async handle(body, signature, deadlineMs) {
      const event = stripe.readWebhook(body, signature);
      if (!event) {
        deliveries.inc({ outcome: "forged" });
        throw new DomainError(
          "WEBHOOK_SIGNATURE_INVALID",
          "The delivery is not signed with one of this endpoint's secrets, or its signature is too old. Nothing was done.",
        );
      }
      const { id: stripeEventId, type: stripeEventType } = event;
      const seen = await store.readWebhook(stripeEventId);
      if (seen) {
        deliveries.inc({ outcome: "duplicate" });
        const record = seen.checkoutId ? await store.read(seen.checkoutId) : undefined;
        return { stripeEventId, stripeEventType, record, seenBefore: true };
      }
      const call: Call = { lane: "money", deadlineMs };
      let record = await paymentOf(event);
      if (record && !(event.intent && agrees(record, event.intent))) record = await ledger.refresh(record, call);
      // Noted last: a delivery that was cut short midway comes again, and is applied again, which changes nothing.
      const isFirst = await store.noteWebhook({
        stripeEventId,
        type: stripeEventType,
        ...(record && { checkoutId: record.checkoutId }),
      });
      deliveries.inc({ outcome: !isFirst ? "duplicate" : record ? "applied" : "not_ours" });
      return { stripeEventId, stripeEventType, record, seenBefore: !isFirst };
    },
  };
}
