// What happens without a request: commits with their webhooks, the bank's word when its time has come, old rows dropped.
import type { Logger } from "@onsale/kit/log";
import type { Books, Entry } from "./books.js";
import { longestTimerMs } from "./config.js";
import { disputeAsItsCardSays, settleDispute } from "./dispute-desk.js";
import type { Draft } from "./drafts.js";
import { type Faults, noFaults } from "./faults.js";
import { keptMilliseconds } from "./idempotency.js";
import { authenticate, type Call, type Done, settle } from "./payment-desk.js";
import type { Courier } from "./webhooks.js";

const sweepEveryMs = 10 * 60 * 1000;
/** Stripe lists events of the last thirty days. */
const eventsKeptSeconds = 30 * 24 * 60 * 60;

export interface BankParts {
  readonly books: Books;
  readonly courier: Courier;
  readonly newCall: () => Call;
  /** Applies a change at once and resolves when it is on disk. */
  readonly write: (entry: Entry) => Promise<void>;
  /** Milliseconds. */
  readonly clock: () => number;
  readonly log: Logger;
}

export class Bank {
  private readonly parts: BankParts;
  private readonly settlements = new Set<NodeJS.Timeout>();
  private sweeping: NodeJS.Timeout | undefined;

  constructor(parts: BankParts) {
    this.parts = parts;
  }

  /** Takes up what a former process has left. */
  open(): void {
    const { books, courier } = this.parts;
    this.sweep();
    this.sweeping = setInterval(() => this.sweep(), sweepEveryMs);
    courier.send(books.tables.deliveries.values());
    this.setClocks({
      refunds: [...books.tables.refunds.values()],
      charges: [...books.tables.charges.values()],
      disputes: [...books.tables.disputes.values()],
    });
  }

  async close(): Promise<void> {
    clearInterval(this.sweeping);
    for (const timer of this.settlements) clearTimeout(timer);
    await this.parts.courier.stop();
  }

  async commit(entry: Entry, events: Draft["events"], faults: Faults["webhooks"]): Promise<void> {
    const { courier, write, clock } = this.parts;
    const deliveries = courier.plan(events, faults, clock());
    await write(deliveries.length === 0 ? entry : { ...entry, put: { ...entry.put, deliveries } });
    courier.send(deliveries);
    this.setClocks(entry.put ?? {});
  }

  async say(what: (call: Call) => Done): Promise<object> {
    const call = this.parts.newCall();
    const { object } = what(call);
    await this.commit(call.draft.entry(), call.draft.events, noFaults.webhooks);
    return object;
  }

  async authenticate(paymentId: string, outcome: "approve" | "fail"): Promise<object | undefined> {
    const payment = this.parts.books.tables.payments.get(paymentId);
    if (payment?.action === undefined) return undefined;
    const call = this.parts.newCall();
    authenticate(call, payment, outcome);
    await this.commit(call.draft.entry(), call.draft.events, noFaults.webhooks);
    return call.renderer.byId(paymentId, call.draft);
  }

  async resend(eventId: string): Promise<object | undefined> {
    const { books, courier, write, clock } = this.parts;
    const event = books.tables.events.get(eventId);
    if (event === undefined) return undefined;
    const [delivery] = courier.plan([event], noFaults.webhooks, clock());
    if (delivery === undefined) return undefined;
    await write({ put: { deliveries: [delivery] } });
    courier.send([delivery]);
    return delivery;
  }

  /** For every row that the bank has still something to say about. */
  private setClocks({ refunds = [], charges = [], disputes = [] }: NonNullable<Entry["put"]>): void {
    for (const { id, settlesAt } of refunds) this.settleLater(settlesAt, id, (call) => settle(call, id));
    for (const { id, disputeAt } of charges) this.settleLater(disputeAt, id, (call) => disputeAsItsCardSays(call, id));
    for (const { id, actsAt } of disputes) this.settleLater(actsAt, id, (call) => settleDispute(call, id, actsAt!));
  }

  private settleLater(at: number | undefined, id: string, act: (call: Call) => Done | undefined): void {
    if (at === undefined) return;
    const { newCall, clock, log } = this.parts;
    const timer = setTimeout(
      () => {
        this.settlements.delete(timer);
        const call = newCall();
        if (act(call) === undefined) return;
        this.commit(call.draft.entry(), call.draft.events, noFaults.webhooks).catch((err: unknown) =>
          log.error({ err, id }, "the bank's word did not come; it will at the next start"),
        );
      },
      Math.min(longestTimerMs, Math.max(0, at - clock())),
    );
    this.settlements.add(timer);
  }

  private sweep(): void {
    const { books, write, clock, log } = this.parts;
    const now = clock();
    const keys = [...books.tables.keys.values()].filter(({ storedAt }) => now - storedAt >= keptMilliseconds);
    const events = [...books.tables.events.values()].filter(({ created }) => now / 1000 - created > eventsKeptSeconds);
    if (keys.length + events.length === 0) return;
    write({ drop: { keys: keys.map(({ id }) => id), events: events.map(({ id }) => id) } }).catch((err: unknown) =>
      log.error({ err }, "old keys and events could not be dropped"),
    );
  }
}
