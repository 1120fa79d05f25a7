// Delivers events to the webhook address: signed, at least once, retried, and as badly ordered as asked for.
// Source: https://docs.stripe.com/webhooks (signature: #verify-manually)
import { createHmac } from "node:crypto";
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import type { Books, Delivery, Entry, StoredEvent } from "./books.js";
import type { Faults } from "./faults.js";
import { renderEvent } from "./objects.js";

export interface WebhookSettings {
  readonly url: string | undefined;
  readonly secret: string | undefined;
  readonly duplicates: number;
  readonly reordered: number;
  readonly reorderMs: number;
  readonly delayMs: number;
  readonly concurrency: number;
  readonly attempts: number;
  readonly retryMs: number;
  readonly timeoutMs: number;
}

export interface Courier {
  /** The deliveries that these events need: to be written with them. */
  plan(events: readonly StoredEvent[], faults: Faults["webhooks"], now: number): readonly Delivery[];
  /** Sets off deliveries that are on disk. */
  send(deliveries: Iterable<Delivery>): void;
  stop(): Promise<void>;
}

export interface CourierOptions {
  readonly settings: WebhookSettings;
  readonly books: Books;
  readonly commit: (entry: Entry) => Promise<void>;
  readonly newId: (prefix: string) => string;
  readonly chance: () => number;
  readonly clock: () => number;
  readonly log: Logger;
  readonly metrics: Metrics;
}

const longestWaitMs = 60_000;

/** The value of Stripe-Signature; `seconds` is the moment of sending. */
export function signatureOf(body: string, secret: string, seconds: number): string {
  return `t=${seconds},v1=${createHmac("sha256", secret).update(`${seconds}.${body}`).digest("hex")}`;
}

export function createCourier(options: CourierOptions): Courier {
  const { settings, books, commit, newId, chance, clock, log, metrics } = options;
  const timers = new Map<string, NodeJS.Timeout>();
  const ready: Delivery[] = [];
  const underWay = new Set<Promise<void>>();
  const stopping = new AbortController();
  const attempts = metrics.counter("stripe_sim_webhook_attempts_total", "Webhook delivery attempts.", ["outcome"]);

  function plan(events: readonly StoredEvent[], faults: Faults["webhooks"], now: number): readonly Delivery[] {
    if (settings.url === undefined || faults.drop) return [];
    return events.flatMap((event) => {
      const copies = 1 + faults.copies + (chance() < settings.duplicates ? 1 : 0);
      return Array.from({ length: copies }, (): Delivery => {
        const heldBack = chance() < settings.reordered ? chance() * settings.reorderMs : 0;
        return {
          id: newId("whd"),
          eventId: event.id,
          attempts: 0,
          dueAt: Math.round(now + settings.delayMs + faults.delayMs + heldBack),
        };
      });
    });
  }

  function send(deliveries: Iterable<Delivery>): void {
    if (settings.url === undefined) return;
    for (const delivery of deliveries) {
      if (stopping.signal.aborted) return;
      const waitMs = delivery.dueAt - clock();
      if (waitMs <= 0) ready.push(delivery);
      else timers.set(delivery.id, setTimeout(comeDue, waitMs, delivery));
    }
    pump();
  }

  function comeDue(delivery: Delivery): void {
    timers.delete(delivery.id);
    ready.push(delivery);
    pump();
  }

  function pump(): void {
    while (underWay.size < settings.concurrency && !stopping.signal.aborted) {
      const delivery = ready.shift();
      if (delivery === undefined) return;
      const work = attempt(delivery)
        .catch((err: unknown) => log.error({ err, delivery: delivery.id }, "a webhook delivery was not recorded"))
        .finally(() => {
          underWay.delete(work);
          pump();
        });
      underWay.add(work);
    }
  }

  async function attempt(delivery: Delivery): Promise<void> {
    const event = books.tables.events.get(delivery.eventId);
    if (event === undefined) return commit({ drop: { deliveries: [delivery.id] } });
    const problem = await post(event);
    if (stopping.signal.aborted && problem !== undefined) return;
    attempts.inc({ outcome: problem === undefined ? "delivered" : "failed" });
    if (problem === undefined) return commit({ drop: { deliveries: [delivery.id] } });
    const made = delivery.attempts + 1;
    const about = { event: event.id, type: event.type, attempts: made, problem };
    if (made >= settings.attempts) {
      log.warn(about, "a webhook was given up: nobody answered it with 2xx; the event stays in GET /v1/events");
      return commit({ drop: { deliveries: [delivery.id] } });
    }
    const waitMs = Math.min(longestWaitMs, settings.retryMs * 2 ** (made - 1)) * (0.75 + chance() / 4);
    log.debug({ ...about, waitMs: Math.round(waitMs) }, "a webhook was not answered with 2xx; it will be sent again");
    const again: Delivery = { ...delivery, attempts: made, dueAt: Math.round(clock() + waitMs) };
    await commit({ put: { deliveries: [again] } });
    send([again]);
  }

  /** Answers why it failed. Redirects are failures, as for Stripe. */
  async function post(event: StoredEvent): Promise<string | undefined> {
    const body = JSON.stringify(renderEvent(event, books.pendingDeliveriesOf(event.id)), null, 2);
    try {
      const response = await fetch(settings.url!, {
        method: "POST",
        body,
        redirect: "manual",
        headers: {
          "content-type": "application/json; charset=utf-8",
          "user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
          "stripe-signature": signatureOf(body, settings.secret!, Math.floor(clock() / 1000)),
        },
        signal: AbortSignal.any([stopping.signal, AbortSignal.timeout(settings.timeoutMs)]),
      });
      await response.body?.cancel();
      return response.ok ? undefined : `status ${response.status}`;
    } catch (error) {
      const cause = error instanceof Error ? (error.cause ?? error) : error;
      return cause instanceof Error ? ((cause as NodeJS.ErrnoException).code ?? cause.name) : "unknown";
    }
  }

  return {
    plan,
    send,
    async stop() {
      stopping.abort();
      for (const timer of timers.values()) clearTimeout(timer);
      timers.clear();
      await Promise.allSettled(underWay);
    },
  };
}
